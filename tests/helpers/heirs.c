/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* heirs NAME KILLS SEED: how soon the lane of a killed client is usable again.  The
 * server NAME must have two sessions.  One is a bystander's, a thread that inserts
 * and reads all the time and checks the answers.  The other is taken by a process,
 * which works with it until it is killed at some moment; then this one takes it,
 * and gives it back.
 *
 * Prints "longest: N us" from the kill to a session that has answered, "checked: N"
 * answers of the bystander, "slowest: N us" among them, and "errors: N", which are
 * his and those that the heirs had, but that there was no session yet.
 *
 * heirs NAME works until it is killed. */

#define _GNU_SOURCE

#include "helper.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* After which a lane that is not free is an error. */
#define PATIENCE_US (30 * G_USEC_PER_SEC)

/* Also half-filled rings are left behind. */
G_GNUC_NORETURN static void
work (const char *name)
{
  ShmkvSession *session = helper_open (helper_attach (name));
  ShmkvCompletion completions[64];

  helper_say ("ready");
  for (guint64 i = 0;; i++)
    {
      helper_require (shmkv_session_submit_insert (session, i % 1000, i, 0, NULL, NULL) != 0,
                      "submit", NULL);
      if (i % 50 == 0)
        helper_require (shmkv_session_take (session, completions, 64, 0, NULL) >= 0, "take", NULL);
    }
}

typedef struct
{
  ShmkvSession *session;
  gint done;                        /* atomic */
  guint64 n_checked;
  guint64 n_wrong;
  gint64 slowest_us;
} Bystander;

/* The keys of others are below. */
#define BYSTANDERS_KEY 1000000

static gboolean
step (ShmkvSession *session, guint64 value)
{
  guint64 found_value = 0;
  gboolean found = FALSE;

  return shmkv_session_insert (session, BYSTANDERS_KEY, value, NULL, NULL)
         && shmkv_session_read (session, BYSTANDERS_KEY, &found_value, &found, NULL) && found
         && found_value == value;
}

static gpointer
stand_by (gpointer data)
{
  Bystander *bystander = data;

  while (!g_atomic_int_get (&bystander->done))
    {
      gint64 since_us = g_get_monotonic_time ();

      bystander->n_wrong += !step (bystander->session, bystander->n_checked);
      bystander->n_checked++;
      bystander->slowest_us = MAX (bystander->slowest_us, g_get_monotonic_time () - since_us);
    }
  return NULL;
}

/* A process that has its session when this returns. */
static GPid
spawn_victim (char *program, char *name)
{
  char *arguments[] = { program, name, NULL };
  GError *error = NULL;
  char byte;
  GPid pid;
  int fd;

  helper_require (g_spawn_async_with_pipes (NULL, arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                            NULL, &pid, NULL, &fd, NULL, &error),
                  program, &error);
  helper_require (read (fd, &byte, 1) == 1 && byte == 'r', "a victim has no session", NULL);
  close (fd);
  return pid;
}

/* Whether it got the session that the dead had, and that worked. */
static gboolean
inherit (ShmkvClient *client, guint64 *n_errors)
{
  GError *error = NULL;
  ShmkvSession *session = shmkv_session_new (client, &error);
  guint64 value;
  gboolean found;

  if (session == NULL)
    {
      *n_errors += !g_error_matches (error, SHMKV_ERROR, SHMKV_ERROR_NO_SESSION);
      g_error_free (error);
      return FALSE;
    }
  *n_errors += !shmkv_session_read (session, 1, &value, &found, NULL);
  shmkv_session_free (session);
  return TRUE;
}

/* Microseconds from a kill to the heir's first answer. */
static gint64
kill_one (ShmkvClient *client, char *program, char *name, GRand *random, guint64 *n_errors)
{
  GPid victim = spawn_victim (program, name);
  gint64 since_us;

  g_usleep ((gulong) g_rand_int_range (random, 0, 3000));
  helper_require (kill (victim, SIGKILL) == 0, "kill", NULL);
  since_us = g_get_monotonic_time ();
  while (!inherit (client, n_errors))
    {
      helper_require (g_get_monotonic_time () - since_us < PATIENCE_US, "the lane is not free", NULL);
      g_usleep (500);
    }
  since_us = g_get_monotonic_time () - since_us;
  helper_require (waitpid (victim, NULL, 0) == victim, "waitpid", NULL);
  return since_us;
}

int
main (int argc, char **argv)
{
  g_autoptr (GRand) random = NULL;
  Bystander bystander = { 0 };
  guint64 n_errors = 0;
  gint64 longest_us = 0;
  ShmkvClient *client;
  GThread *thread;

  helper_require (argc == 2 || argc == 4, "usage: heirs NAME [KILLS SEED]", NULL);
  if (argc == 2)
    work (argv[1]);

  random = g_rand_new_with_seed ((guint32) atoi (argv[3]));
  client = helper_attach (argv[1]);
  bystander.session = helper_open (client);
  thread = g_thread_new ("bystander", stand_by, &bystander);
  for (int i = 0; i < atoi (argv[2]); i++)
    longest_us = MAX (longest_us, kill_one (client, argv[0], argv[1], random, &n_errors));
  g_atomic_int_set (&bystander.done, TRUE);
  g_thread_join (thread);
  helper_say ("longest: %" G_GINT64_FORMAT " us", longest_us);
  helper_say ("checked: %" G_GUINT64_FORMAT, bystander.n_checked);
  helper_say ("slowest: %" G_GINT64_FORMAT " us", bystander.slowest_us);
  helper_say ("errors: %" G_GUINT64_FORMAT, n_errors + bystander.n_wrong);
  shmkv_session_free (bystander.session);
  shmkv_client_unref (client);
  return EXIT_SUCCESS;
}
