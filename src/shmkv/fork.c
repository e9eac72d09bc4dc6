/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/fork-private.h"

#include "shmkv/client-private.h"

#include <pthread.h>

/* The only state of the library that is not in a client: fork handlers take
 * no argument.  Under the mutex. */
static GMutex mutex;
static GList *clients;

static void
before_fork (void)
{
  g_mutex_lock (&mutex);
}

static void
after_fork_in_parent (void)
{
  g_mutex_unlock (&mutex);
}

static void
after_fork_in_child (void)
{
  for (GList *link = clients; link != NULL; link = link->next)
    {
      ShmkvClient *client = link->data;

      client->forked = TRUE;
      shmkv_segment_abandon (client->segment);
    }
  g_mutex_unlock (&mutex);
}

void
shmkv_fork_hold (void)
{
  static gsize installed;

  if (g_once_init_enter (&installed))
    {
      pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
      g_once_init_leave (&installed, 1);
    }
  g_mutex_lock (&mutex);
}

void
shmkv_fork_let_go (void)
{
  g_mutex_unlock (&mutex);
}

void
shmkv_fork_watch (ShmkvClient *client)
{
  clients = g_list_prepend (clients, client);
}

void
shmkv_fork_unwatch (ShmkvClient *client)
{
  clients = g_list_remove (clients, client);
}
