/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/reclaim.h"

#include "server/memory.h"

#include <stdlib.h>

struct _ShmkvRetired
{
  ShmkvRetired *next;
  guint64 epoch;                    /* that its retirement began */
  gpointer memory;
  gsize size;
};

void
shmkv_reclaim_init (ShmkvReclaim *reclaim)
{
  *reclaim = (ShmkvReclaim) { .epoch = 1 };
  g_mutex_init (&reclaim->mutex);
}

static void
free_list (ShmkvRetired *retired)
{
  while (retired != NULL)
    {
      ShmkvRetired *next = retired->next;

      shmkv_memory_discard (retired->memory, retired->size);
      free (retired->memory);
      g_free (retired);
      retired = next;
    }
}

void
shmkv_reclaim_clear (ShmkvReclaim *reclaim)
{
  g_assert (reclaim->readers == NULL);
  free_list (reclaim->first);
  g_mutex_clear (&reclaim->mutex);
}

/* ----------------------------------------------------------------- readers */

ShmkvReader *
shmkv_reader_new (ShmkvReclaim *reclaim)
{
  ShmkvReader *reader = aligned_alloc (alignof (ShmkvReader), sizeof *reader);

  if (reader == NULL)
    return NULL;
  *reader = (ShmkvReader) { .reclaim = reclaim, .seen = SHMKV_READER_RESTS };
  g_mutex_lock (&reclaim->mutex);
  reader->next = reclaim->readers;
  reclaim->readers = reader;
  g_mutex_unlock (&reclaim->mutex);
  shmkv_reader_resume (reader);
  return reader;
}

void
shmkv_reader_free (ShmkvReader *reader)
{
  ShmkvReclaim *reclaim = reader->reclaim;

  g_mutex_lock (&reclaim->mutex);
  for (ShmkvReader **link = &reclaim->readers; *link != NULL; link = &(*link)->next)
    if (*link == reader)
      {
        *link = reader->next;
        break;
      }
  g_mutex_unlock (&reclaim->mutex);
  free (reader);
  shmkv_reclaim_run (reclaim);
}

void
shmkv_reader_rest (ShmkvReader *reader)
{
  /* release: pairs with the acquire in oldest_seen(); what we read was read
   * before it is freed */
  atomic_store_explicit (&reader->seen, SHMKV_READER_RESTS, memory_order_release);
}

void
shmkv_reader_resume (ShmkvReader *reader)
{
  /* acquire: pairs with the release in shmkv_reclaim_retire() */
  guint64 epoch = atomic_load_explicit (&reader->reclaim->epoch, memory_order_acquire);

  /* relaxed: ordered by the fence */
  atomic_store_explicit (&reader->seen, epoch, memory_order_relaxed);
  /* pairs with the fence in take_free(): either it sees that we read again, or
   * we do not find what it frees */
  atomic_thread_fence (memory_order_seq_cst);
}

void
shmkv_reader_announce (ShmkvReader *reader, guint64 epoch)
{
  /* release: pairs with the acquire in oldest_seen() */
  atomic_store_explicit (&reader->seen, epoch, memory_order_release);
  shmkv_reclaim_run (reader->reclaim);
}

/* ----------------------------------------------------------------- writers */

/* Under the mutex. */
static guint64
oldest_seen (const ShmkvReclaim *reclaim)
{
  guint64 oldest = SHMKV_READER_RESTS;

  for (const ShmkvReader *reader = reclaim->readers; reader != NULL; reader = reader->next)
    {
      /* acquire: pairs with the release of whoever stored it; he has read what
       * we are about to free */
      guint64 seen = atomic_load_explicit (&reader->seen, memory_order_acquire);

      oldest = MIN (oldest, seen);
    }
  return oldest;
}

/* Under the mutex: takes the list of what can be freed out of the other. */
static ShmkvRetired *
take_free (ShmkvReclaim *reclaim)
{
  ShmkvRetired *first = reclaim->first, *last = NULL;
  guint64 oldest;

  if (first == NULL)
    return NULL;
  /* pairs with the fence in shmkv_reader_resume() */
  atomic_thread_fence (memory_order_seq_cst);
  oldest = oldest_seen (reclaim);
  for (ShmkvRetired *next = first; next != NULL && next->epoch <= oldest; next = next->next)
    last = next;
  if (last == NULL)
    return NULL;
  reclaim->first = last->next;
  if (reclaim->first == NULL)
    reclaim->last = NULL;
  last->next = NULL;
  return first;
}

void
shmkv_reclaim_run (ShmkvReclaim *reclaim)
{
  ShmkvRetired *list;

  /* Who has it now does the same, or comes again. */
  if (!g_mutex_trylock (&reclaim->mutex))
    return;
  list = take_free (reclaim);
  g_mutex_unlock (&reclaim->mutex);
  free_list (list);
}

ShmkvRetired *
shmkv_retired_new (void)
{
  return g_try_new (ShmkvRetired, 1);
}

void
shmkv_reclaim_retire (ShmkvReclaim *reclaim, ShmkvRetired *retired, gpointer memory, gsize size)
{
  ShmkvRetired *list = NULL;

  retired->next = NULL;
  retired->memory = memory;
  retired->size = size;
  g_mutex_lock (&reclaim->mutex);
  /* release: pairs with the acquire in shmkv_reader_pass() */
  retired->epoch = atomic_fetch_add_explicit (&reclaim->epoch, 1, memory_order_release) + 1;
  if (reclaim->last != NULL)
    reclaim->last->next = retired;
  else
    reclaim->first = retired;
  reclaim->last = retired;
  if (reclaim->readers == NULL)
    list = take_free (reclaim);
  g_mutex_unlock (&reclaim->mutex);
  free_list (list);
}
