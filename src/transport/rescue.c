/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "transport/rescue.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* One mapping.  A signal handler goes through the list at any moment, so nodes are
 * never freed, but used again.  The mapping that it looks for is not unregistered
 * meanwhile: the thread that it runs in is using it. */
typedef struct _Node Node;

struct _Node
{
  ShmkvRescue rescue;               /* first: what others see of it */
  _Atomic guintptr base;
  _Atomic gboolean taken;           /* somebody uses the node */
  _Atomic gsize size;               /* 0: there is no mapping; stored last, and first */
  _Atomic int protection;
  _Atomic int fd;                   /* -1: nothing is repaired */
  _Atomic goffset mark_offset;
  _Atomic guint32 mark;
  Node *next;                       /* never changes once the node is in the list */
};

static _Atomic (Node *) nodes;

/* ------------------------------------------------------------- registering */

static Node *
add_node (void)
{
  Node *node = g_new0 (Node, 1);

  /* relaxed: ours */
  atomic_store_explicit (&node->taken, TRUE, memory_order_relaxed);
  /* relaxed: only to be compared */
  node->next = atomic_load_explicit (&nodes, memory_order_relaxed);
  /* release: pairs with the acquire in take_node() and find(); relaxed: to be compared */
  while (!atomic_compare_exchange_weak_explicit (&nodes, &node->next, node, memory_order_release,
                                                 memory_order_relaxed))
    continue;
  return node;
}

/* One that nobody uses.  Without a lock: a fork() may come at any moment. */
static Node *
take_node (void)
{
  /* acquire: pairs with the release in add_node() */
  for (Node *node = atomic_load_explicit (&nodes, memory_order_acquire); node != NULL;
       node = node->next)
    /* acquire: pairs with the release in shmkv_rescue_end() */
    if (!atomic_exchange_explicit (&node->taken, TRUE, memory_order_acquire))
      return node;
  return add_node ();
}

ShmkvRescue *
shmkv_rescue_watch (gpointer base, gsize size, int protection)
{
  Node *node = take_node ();

  /* relaxed: published by `size` */
  atomic_store_explicit (&node->base, (guintptr) base, memory_order_relaxed);
  atomic_store_explicit (&node->protection, protection, memory_order_relaxed);
  atomic_store_explicit (&node->fd, -1, memory_order_relaxed);
  /* relaxed: the same */
  atomic_store_explicit (&node->rescue.lost, FALSE, memory_order_relaxed);
  /* release: pairs with the acquire in contains() */
  atomic_store_explicit (&node->size, size, memory_order_release);
  return &node->rescue;
}

void
shmkv_rescue_set_repair (ShmkvRescue *rescue, int fd, goffset mark_offset, guint32 mark)
{
  Node *node = (Node *) rescue;

  /* relaxed: published by `fd` */
  atomic_store_explicit (&node->mark_offset, mark_offset, memory_order_relaxed);
  atomic_store_explicit (&node->mark, mark, memory_order_relaxed);
  /* release: pairs with the acquire in repair() */
  atomic_store_explicit (&node->fd, fd, memory_order_release);
}

void
shmkv_rescue_end (ShmkvRescue *rescue)
{
  Node *node = (Node *) rescue;

  /* relaxed: who may be looking at it looks for another one */
  atomic_store_explicit (&node->size, 0, memory_order_relaxed);
  /* release: pairs with the acquire in take_node() */
  atomic_store_explicit (&node->taken, FALSE, memory_order_release);
}

/* -------------------------------------------------------------------- losing */

static void
lose (Node *node)
{
  /* relaxed: ordered by the fence */
  atomic_store_explicit (&node->rescue.lost, TRUE, memory_order_relaxed);
  /* release: pairs with the acquire in shmkv_rescue_is_lost() */
  atomic_thread_fence (memory_order_release);
}

/* The mark first: whoever reads a zero where something was, and looks at the mark
 * after that, finds it. */
static gboolean
repair (Node *node)
{
  /* acquire: pairs with the release in shmkv_rescue_set_repair() */
  int fd = atomic_load_explicit (&node->fd, memory_order_acquire);
  /* relaxed: by that acquire */
  goffset mark_offset = atomic_load_explicit (&node->mark_offset, memory_order_relaxed);
  guint32 mark = atomic_load_explicit (&node->mark, memory_order_relaxed);

  if (fd < 0)
    return TRUE;
  if (mark_offset >= 0
      && pwrite (fd, &mark, sizeof mark, mark_offset) != (ssize_t) sizeof mark)
    return FALSE;
  /* relaxed: it does not change while the mapping is registered */
  return ftruncate (fd, (off_t) atomic_load_explicit (&node->size, memory_order_relaxed)) == 0;
}

gboolean
shmkv_rescue_repair (ShmkvRescue *rescue)
{
  Node *node = (Node *) rescue;

  lose (node);
  return repair (node);
}

/* -------------------------------------------------------------- in the handler */

static gboolean
contains (const Node *node, guintptr address)
{
  /* acquire: pairs with the release in shmkv_rescue_watch() */
  gsize size = atomic_load_explicit (&node->size, memory_order_acquire);
  guintptr base = atomic_load_explicit (&node->base, memory_order_acquire);

  /* A node that is used for something else meanwhile is not ours.  relaxed: after
   * the base, by its acquire */
  return address >= base && address - base < size
         && atomic_load_explicit (&node->size, memory_order_relaxed) == size;
}

static Node *
find (guintptr address)
{
  /* acquire: pairs with the release in add_node() */
  Node *node = atomic_load_explicit (&nodes, memory_order_acquire);

  while (node != NULL && !contains (node, address))
    node = node->next;
  return node;
}

static gboolean
replace (Node *node)
{
  /* relaxed: ours since contains() */
  guintptr base = atomic_load_explicit (&node->base, memory_order_relaxed);
  gsize size = atomic_load_explicit (&node->size, memory_order_relaxed);
  int protection = atomic_load_explicit (&node->protection, memory_order_relaxed);

  lose (node);
  if (mmap ((gpointer) base, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
      == MAP_FAILED)
    return FALSE;
  /* Where that fails, others who map the file may meet the signal, too: there is
   * nothing else to be done about it here. */
  repair (node);
  return TRUE;
}

gboolean
shmkv_rescue (const void *address)
{
  int code = errno;
  Node *node = find ((guintptr) address);
  gboolean replaced = node != NULL && replace (node);

  errno = code;
  return replaced;
}
