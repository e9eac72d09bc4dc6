/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/waits.h"

/* Those that wait for a bucket are found by its number, modulo this. */
#define N_QUEUES 256

struct _ShmkvWaits
{
  ShmkvTable *table;
  _Atomic guint n_ripe;             /* written under the mutex */

  /* Under the mutex. */
  GMutex mutex;
  GQueue queues[N_QUEUES];          /* of parked waiters, by bucket */
  GQueue watching;                  /* those that watch */
  guint n_watchers;                 /* sessions, parked or not */
  ShmkvJournal *journal;            /* open while there are any */
};

static GQueue *
queue_of (ShmkvWaits *waits, const ShmkvParked *waiter)
{
  return waiter->watches ? &waits->watching : &waits->queues[waiter->bucket % N_QUEUES];
}

/* ----------------------------------------------------------------- changes */

/* Under the mutex. */
static void
ripen (ShmkvWaits *waits, ShmkvParked *waiter)
{
  if (waiter->ripe)
    return;
  waiter->ripe = TRUE;
  /* relaxed: hints where to look for work; the mutex orders what is found */
  atomic_fetch_add_explicit (&waits->n_ripe, 1, memory_order_relaxed);
  atomic_fetch_or_explicit (waiter->attention, SHMKV_WAITS_RIPE, memory_order_relaxed);
}

/* Under the mutex: those that watch and do not care have seen it. */
static void
record_change (ShmkvWaits *waits, const ShmkvField *key, guint change)
{
  guint64 position = shmkv_journal_next (waits->journal);

  shmkv_journal_append (waits->journal, key, change);
  for (GList *link = waits->watching.head; link != NULL; link = link->next)
    {
      ShmkvParked *waiter = link->data;

      if (shmkv_field_begins_with (key, &waiter->prefix))
        ripen (waits, waiter);
      else if (!waiter->ripe && waiter->position == position)
        waiter->position++;
    }
}

/* By the table, under the bucket's lock. */
static void
on_changed (gpointer data, guint bucket, const ShmkvField *key, guint change)
{
  ShmkvWaits *waits = data;

  g_mutex_lock (&waits->mutex);
  for (GList *link = waits->queues[bucket % N_QUEUES].head; link != NULL; link = link->next)
    {
      ShmkvParked *waiter = link->data;

      if (waiter->bucket == bucket)
        ripen (waits, waiter);
    }
  if (waits->n_watchers > 0)
    record_change (waits, key, change);
  g_mutex_unlock (&waits->mutex);
}

/* ----------------------------------------------------------------- parking */

void
shmkv_waits_park (ShmkvWaits *waits, ShmkvParked *waiter)
{
  waiter->link = (GList) { .data = waiter };
  waiter->ripe = FALSE;
  if (!waiter->watches)
    shmkv_table_observe_bucket (waits->table, waiter->bucket, TRUE);
  g_mutex_lock (&waits->mutex);
  g_queue_push_tail_link (queue_of (waits, waiter), &waiter->link);
  /* What came since it looked. */
  if (waiter->watches && waiter->position != shmkv_journal_next (waits->journal))
    ripen (waits, waiter);
  waiter->parked = TRUE;
  g_mutex_unlock (&waits->mutex);
}

void
shmkv_waits_unpark (ShmkvWaits *waits, ShmkvParked *waiter)
{
  if (!waiter->parked)
    return;
  g_mutex_lock (&waits->mutex);
  g_queue_unlink (queue_of (waits, waiter), &waiter->link);
  waiter->parked = FALSE;
  if (waiter->ripe)
    {
      /* relaxed: as in ripen() */
      atomic_fetch_sub_explicit (&waits->n_ripe, 1, memory_order_relaxed);
      atomic_fetch_and_explicit (waiter->attention, ~SHMKV_WAITS_RIPE, memory_order_relaxed);
    }
  g_mutex_unlock (&waits->mutex);
  if (!waiter->watches)
    shmkv_table_observe_bucket (waits->table, waiter->bucket, FALSE);
}

gboolean
shmkv_waits_any_ripe (const ShmkvWaits *waits)
{
  /* relaxed: a hint */
  return atomic_load_explicit (&waits->n_ripe, memory_order_relaxed) > 0;
}

/* ---------------------------------------------------------------- watching */

gboolean
shmkv_waits_begin_watch (ShmkvWaits *waits)
{
  gboolean opened;

  g_mutex_lock (&waits->mutex);
  opened = waits->n_watchers > 0 || shmkv_journal_open (waits->journal);
  if (opened)
    waits->n_watchers++;
  g_mutex_unlock (&waits->mutex);
  if (opened)
    shmkv_table_observe_all (waits->table, TRUE);
  return opened;
}

void
shmkv_waits_end_watch (ShmkvWaits *waits)
{
  g_mutex_lock (&waits->mutex);
  if (--waits->n_watchers == 0)
    shmkv_journal_close (waits->journal);
  g_mutex_unlock (&waits->mutex);
  /* Last: while the journal is open, somebody who has seen it tells the table to
   * tell. */
  shmkv_table_observe_all (waits->table, FALSE);
}

guint
shmkv_waits_get_changes (ShmkvWaits *waits, const ShmkvField *prefix, guint64 *position,
                         void *buffer, gsize size, gsize *used_out)
{
  uint64_t *end = buffer;
  gsize left = size;
  guint64 next;
  guint status = SHMKV_WIRE_STATUS_OK;

  g_mutex_lock (&waits->mutex);
  next = shmkv_journal_next (waits->journal);
  if (*position > next)
    status = SHMKV_WIRE_STATUS_INVALID;
  else if (*position < shmkv_journal_first (waits->journal))
    {
      status = SHMKV_WIRE_STATUS_MISSED;
      *position = next;
    }
  else
    for (; *position < next; ++*position)
      {
        ShmkvPair pair = { .value = { .kind = SHMKV_WIRE_KIND_INTEGER } };

        pair.value.integer = shmkv_journal_get (waits->journal, *position, &pair.key);
        if (!shmkv_field_begins_with (&pair.key, prefix))
          continue;
        if (shmkv_pair_size (&pair) > left)
          break;
        end = shmkv_pair_encode (end, &pair);
        left -= shmkv_pair_size (&pair);
      }
  g_mutex_unlock (&waits->mutex);
  *used_out = size - left;
  return status;
}

guint64
shmkv_waits_get_position (ShmkvWaits *waits)
{
  guint64 position;

  g_mutex_lock (&waits->mutex);
  position = shmkv_journal_next (waits->journal);
  g_mutex_unlock (&waits->mutex);
  return position;
}

/* --------------------------------------------------------------- beginning */

ShmkvWaits *
shmkv_waits_new (ShmkvTable *table)
{
  ShmkvWaits *waits = g_new0 (ShmkvWaits, 1);

  waits->table = table;
  waits->journal = shmkv_journal_new ();
  g_mutex_init (&waits->mutex);
  for (guint i = 0; i < N_QUEUES; i++)
    g_queue_init (&waits->queues[i]);
  g_queue_init (&waits->watching);
  shmkv_table_set_changed (table, on_changed, waits);
  return waits;
}

void
shmkv_waits_free (ShmkvWaits *waits)
{
  shmkv_table_set_changed (waits->table, NULL, NULL);
  shmkv_journal_free (waits->journal);
  g_mutex_clear (&waits->mutex);
  g_free (waits);
}
