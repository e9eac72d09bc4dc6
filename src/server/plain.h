/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The shortest way to a plain pair, inlined where requests are carried out: to
 * read one without the bucket's lock.
 *
 * Every writer has the GRWLock, and makes the bucket's `sequence` odd before and
 * even after what it does.  A reader that finds the same even number before and
 * after it looked has seen the bucket as it was at one moment; otherwise it
 * reads again, with the lock.  So readers write nothing that anybody shares:
 * neither do they wait for each other, nor is a lock's cache line passed around
 * among them.
 *
 * What a reader sees between the two looks may be anything that was ever
 * written there.  So it makes sure that the array and its capacity belong
 * together before it follows them; every slot that it may then look at is
 * within the array, of which the last slot is always empty and ends the search;
 * and the array stays where it is until the thread says that it holds nothing
 * any more: see reclaim.h.  But the arrays of large buckets are moved by
 * realloc(); those are read with the lock, and so is what has an object beside
 * it.
 *
 * After C. Lameter, "Effective synchronization on Linux/NUMA systems" (2005),
 * with the fences of H.-J. Boehm, "Can seqlocks get along with programming
 * language memory models?" (2012). */

#pragma once

#include "server/bucket.h"

G_BEGIN_DECLS

/* The second stage of prefetching is run so many operations ahead of their
 * execution: enough for memory to answer, and few enough for the CPU to have all
 * of them under way at once. */
#define SHMKV_PREFETCH_AHEAD 12u

static inline ShmkvTablePlace
shmkv_plain_locate (const ShmkvTable *table, guint64 key)
{
  guint64 hash = shmkv_hash_integer (&table->hash, key);

  return (ShmkvTablePlace) { .hash = hash, .bucket = shmkv_scale (hash, table->hash.n_buckets) };
}

static inline void
shmkv_plain_prefetch_bucket (const ShmkvTable *table, const ShmkvTablePlace *place)
{
  __builtin_prefetch (&table->buckets[place->bucket]);
}

/* The home and the end of its group, often in the next cache line. */
static inline void
shmkv_plain_prefetch_slots (const ShmkvTable *table, const ShmkvTablePlace *place)
{
  const ShmkvBucket *bucket = &table->buckets[place->bucket];
  gsize home = shmkv_slot_home (table, place->hash, shmkv_get_capacity (bucket));
  guintptr slot = (guintptr) shmkv_get_slots (bucket) + home * sizeof (ShmkvSlot);

  __builtin_prefetch ((gconstpointer) slot);
  __builtin_prefetch ((gconstpointer) (slot + (SHMKV_GROUP - 1) * sizeof (ShmkvSlot)));
}

static inline guint32
shmkv_reading_begin (const ShmkvBucket *bucket)
{
  /* acquire: pairs with the release in shmkv_unlock_to_write() */
  return atomic_load_explicit (&bucket->sequence, memory_order_acquire);
}

static inline gboolean
shmkv_reading_is_valid (const ShmkvBucket *bucket, guint32 sequence)
{
  /* acquire: pairs with the release fence in shmkv_lock_to_write() */
  atomic_thread_fence (memory_order_acquire);
  /* relaxed: ordered by the fence */
  return atomic_load_explicit (&bucket->sequence, memory_order_relaxed) == sequence;
}

/* FALSE where it has to be read with the lock. */
static inline gboolean
shmkv_plain_peek (const ShmkvTable *table, const ShmkvTablePlace *place, ShmkvTableRead *found_out,
                  guint64 *value_out)
{
  const ShmkvBucket *bucket = &table->buckets[place->bucket];
  guint32 sequence = shmkv_reading_begin (bucket);
  gsize capacity = shmkv_get_capacity (bucket);
  const ShmkvSlot *slot = shmkv_get_slots (bucket);
  guint64 hash = place->hash, value;

  if (G_UNLIKELY (sequence % 2 != 0 || shmkv_is_large (capacity) || !shmkv_is_simple (bucket, hash)
                  || !shmkv_reading_is_valid (bucket, sequence)))
    return FALSE;
  slot = shmkv_slots_search (slot + shmkv_slot_home (table, hash, capacity), hash);
  *found_out = shmkv_load_slot_word (&slot->hash) == hash ? SHMKV_TABLE_FOUND : SHMKV_TABLE_ABSENT;
  value = shmkv_load_slot_word (&slot->value);
  if (G_UNLIKELY (!shmkv_reading_is_valid (bucket, sequence)))
    return FALSE;
  *value_out = value;
  return TRUE;
}

/* As shmkv_table_read(), by a thread that has a reader which does not rest. */
static inline ShmkvTableRead
shmkv_plain_read (ShmkvTable *table, const ShmkvTablePlace *place, guint64 *value_out)
{
  ShmkvTableRead found;

  if (G_LIKELY (shmkv_plain_peek (table, place, &found, value_out)))
    return found;
  return shmkv_table_read (table, place, value_out);
}

G_END_DECLS
