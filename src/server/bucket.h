/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The inside of the table, for the sources that make it up: what a bucket is,
 * its plain pairs (table.c), and all its pairs alike (bucket.c). */

#pragma once

#include "server/objects.h"
#include "server/reclaim.h"
#include "server/table-internal.h"
#include "server/table.h"

#include <stdalign.h>
#include <stdatomic.h>

G_BEGIN_DECLS

#define SHMKV_CACHE_LINE 64

#define SHMKV_EMPTY G_MAXUINT64

/* As many slots as shmkv_slots_find() compares at once. */
#define SHMKV_GROUP 4u

/* From this many slots on, 4 MiB, a bucket's array is not copied to grow. */
#define SHMKV_LARGE_CAPACITY (1u << 18)

typedef struct
{
  guint64 hash;
  guint64 value;
} ShmkvSlot;

typedef struct
{
  alignas (SHMKV_CACHE_LINE) GRWLock lock;

  /* Odd while a writer is at it, and never the same again: see plain.h. */
  _Atomic guint32 sequence;

  /* Relaxed: the lock orders them for those who have it, the sequence for those
   * who do not.  (A prefetch can do with an address that is stale.) */
  _Atomic guint32 capacity;         /* homes; the array may be longer */
  _Atomic (ShmkvSlot *) slots;
  _Atomic (ShmkvObjects *) objects; /* NULL until there is a first one */

  GMutex turn;
  guint32 count;                    /* of pairs in the slots */
  guint16 overhang;                 /* slots beyond, without the one that stays empty */
  _Atomic guint16 waiting;          /* a hint: somebody has `turn` and wants to write */

  /* Written under the lock, and read without by shmkv_table_sweep(): a time
   * before which nothing expires here, see shmkv_due_time(). */
  _Atomic guint32 due;
  guint32 observers;
} ShmkvBucket;

G_STATIC_ASSERT (sizeof (ShmkvBucket) == SHMKV_CACHE_LINE);

struct _ShmkvTable
{
  ShmkvBucket *buckets;
  ShmkvHash hash;
  ShmkvReclaim reclaim;
  gboolean evict;
  ShmkvTableClock clock;
  ShmkvTableChanged changed;
  gpointer changed_data;
  _Atomic guint observers;          /* of all buckets */

  /* Under the last bucket's lock: the plain pair that no slot can hold. */
  gboolean has_last;
  guint64 last_value;

  /* Apart, as they change and what all operations read does not. */
  alignas (SHMKV_CACHE_LINE) ShmkvMemory memory;
  gsize largest_size;               /* that shmkv_table_trim() saw since it last did something */
  _Atomic (const ShmkvBucket *) sweeping; /* here `due` is not what it says; set under its lock */
  guint64 sweep_bucket;             /* where the next sweep begins */
  guint sweep_tag;
  _Atomic guint64 n_versions;       /* given out so far */
  _Atomic guint64 n_expiring;       /* keys that will */
  _Atomic guint64 n_expired;
  _Atomic guint64 n_evicted;
  _Atomic guint64 evict_hand;       /* the bucket where eviction goes on */
  _Atomic guint vain;               /* how often in a row nothing was found to evict */
};

/* Whether shmkv_table_sweep() is half-way through a bucket, whose lock the caller
 * has: the time when it is due is that of what was passed, only. */
static inline gboolean
shmkv_is_being_swept (const ShmkvTable *table, const ShmkvBucket *bucket)
{
  /* relaxed: the lock orders it */
  return atomic_load_explicit (&table->sweeping, memory_order_relaxed) == bucket;
}

/* ------------------------------------------------------------------- fields */

static inline ShmkvSlot *
shmkv_get_slots (const ShmkvBucket *bucket)
{
  /* relaxed: the lock orders it, or the sequence, or it is for a prefetch */
  return atomic_load_explicit (&bucket->slots, memory_order_relaxed);
}

static inline gsize
shmkv_get_capacity (const ShmkvBucket *bucket)
{
  /* relaxed: the same */
  return atomic_load_explicit (&bucket->capacity, memory_order_relaxed);
}

static inline ShmkvObjects *
shmkv_get_objects (const ShmkvBucket *bucket)
{
  /* relaxed: the same */
  return atomic_load_explicit (&bucket->objects, memory_order_relaxed);
}

/* Of the array, but for the slot at its end. */
static inline gsize
shmkv_get_length (const ShmkvBucket *bucket)
{
  return shmkv_get_capacity (bucket) + bucket->overhang;
}

static inline gboolean
shmkv_holds_last (const ShmkvTable *table, const ShmkvBucket *bucket)
{
  return bucket == &table->buckets[table->hash.n_buckets - 1] && table->has_last;
}

static inline guint
shmkv_bucket_index (const ShmkvTable *table, const ShmkvBucket *bucket)
{
  return bucket - table->buckets;
}

/* -------------------------------------------------------------------- locks */

static inline void
shmkv_lock_to_read (ShmkvBucket *bucket)
{
  /* relaxed: who misses the hint overtakes the writer once more, and that is all */
  if (G_UNLIKELY (atomic_load_explicit (&bucket->waiting, memory_order_relaxed)))
    {
      g_mutex_lock (&bucket->turn);
      g_mutex_unlock (&bucket->turn);
    }
  g_rw_lock_reader_lock (&bucket->lock);
}

static inline void
shmkv_unlock_to_read (ShmkvBucket *bucket)
{
  g_rw_lock_reader_unlock (&bucket->lock);
}

/* Where others have the lock. */
void shmkv_wait_to_write (ShmkvBucket *bucket);

static inline void
shmkv_lock_to_write (ShmkvBucket *bucket)
{
  guint32 sequence;

  if (G_UNLIKELY (!g_rw_lock_writer_trylock (&bucket->lock)))
    shmkv_wait_to_write (bucket);
  /* relaxed: ours, under the lock */
  sequence = atomic_load_explicit (&bucket->sequence, memory_order_relaxed);
  /* relaxed: ordered by the fence */
  atomic_store_explicit (&bucket->sequence, sequence + 1, memory_order_relaxed);
  /* release: pairs with the acquire fence in shmkv_reading_is_valid(); who sees
   * anything of what we write sees that we do */
  atomic_thread_fence (memory_order_release);
}

static inline void
shmkv_unlock_to_write (ShmkvBucket *bucket)
{
  /* relaxed: ours, under the lock */
  guint32 sequence = atomic_load_explicit (&bucket->sequence, memory_order_relaxed);

  /* release: pairs with the acquire in shmkv_reading_begin() */
  atomic_store_explicit (&bucket->sequence, sequence + 1, memory_order_release);
  g_rw_lock_writer_unlock (&bucket->lock);
}

/* -------------------------------------------------------------------- slots */

/* The words of a slot that others may be reading without the lock. */
static inline guint64
shmkv_load_slot_word (const guint64 *word)
{
  /* relaxed: ordered by the sequence */
  return atomic_load_explicit ((const _Atomic guint64 *) word, memory_order_relaxed);
}

static inline void
shmkv_store_slot_word (guint64 *word, guint64 value)
{
  /* relaxed: the same */
  atomic_store_explicit ((_Atomic guint64 *) word, value, memory_order_relaxed);
}

static inline void
shmkv_store_slot (ShmkvSlot *slot, ShmkvSlot value)
{
  shmkv_store_slot_word (&slot->hash, value.hash);
  shmkv_store_slot_word (&slot->value, value.value);
}

static inline gsize
shmkv_slot_home (const ShmkvTable *table, guint64 hash, gsize capacity)
{
  return shmkv_scale (shmkv_hash_rest (&table->hash, hash), capacity);
}

/* The first slot from a home on whose hash is not smaller.  A pair is likely
 * within a group of its home, and to compare all four is cheaper than to foresee
 * which. */
static inline const ShmkvSlot *
shmkv_slots_search (const ShmkvSlot *slot, guint64 hash)
{
  slot += (shmkv_load_slot_word (&slot[0].hash) < hash)
          + (shmkv_load_slot_word (&slot[1].hash) < hash)
          + (shmkv_load_slot_word (&slot[2].hash) < hash)
          + (shmkv_load_slot_word (&slot[3].hash) < hash);
  while (shmkv_load_slot_word (&slot->hash) < hash)
    slot++;
  return slot;
}

/* With the lock. */
static inline ShmkvSlot *
shmkv_slots_find (const ShmkvTable *table, const ShmkvBucket *bucket, guint64 hash)
{
  const ShmkvSlot *home = shmkv_get_slots (bucket)
                          + shmkv_slot_home (table, hash, shmkv_get_capacity (bucket));

  return (ShmkvSlot *) shmkv_slots_search (home, hash);
}

/* Whether the slots are all there is to a key. */
static inline gboolean
shmkv_is_simple (const ShmkvBucket *bucket, guint64 hash)
{
  return shmkv_get_objects (bucket) == NULL && hash != SHMKV_EMPTY;
}

/* Whether a bucket of that capacity has its array moved by realloc(), and is
 * read with the lock only. */
static inline gboolean
shmkv_is_large (gsize capacity)
{
  return capacity >= SHMKV_LARGE_CAPACITY;
}

/* Adds or replaces a plain pair; the key is not that of an object. */
ShmkvTableInsert shmkv_slots_set (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash,
                                  guint64 value);

/* FALSE if there is none. */
gboolean shmkv_slots_remove (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash);

/* Where its value is; NULL if there is none. */
guint64 *shmkv_slots_value (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash);

/* Gives back what can be given back. */
void shmkv_slots_squeeze (ShmkvTable *table, ShmkvBucket *bucket);
void shmkv_slots_clear (ShmkvTable *table, ShmkvBucket *bucket);
gsize shmkv_slots_size (const ShmkvBucket *bucket);

/* The least that a key in that bucket with that tag can have. */
guint64 shmkv_first_hash (const ShmkvTable *table, guint bucket, guint tag);

/* ---------------------------------------------------------------- all pairs */

/* A key's place in its bucket; that it is valid ends with the next change. */
typedef struct
{
  ShmkvTable *table;
  ShmkvBucket *bucket;
  guint64 hash;
  ShmkvField key;

  guint64 *word;                    /* of its object; it may have expired */
  gboolean expired;
  gboolean present;                 /* then the following are what it has */
  ShmkvContents contents;
} ShmkvEntry;

void shmkv_entry_find (ShmkvEntry *entry, ShmkvTable *table, const ShmkvTablePlace *place,
                       const ShmkvField *key);

/* Gives the key these contents.  OK, or NO_MEMORY or NO_SPACE and nothing
 * changed.  The entry is not valid any more. */
guint shmkv_entry_set (ShmkvEntry *entry, const ShmkvContents *contents);

/* The same with the value it has; the entry is present. */
guint shmkv_entry_adorn (ShmkvEntry *entry, guint64 version, gint64 expiry);

/* And tells the observers, with SHMKV_WIRE_CHANGE_*. */
void shmkv_entry_remove (ShmkvEntry *entry, guint change);

/* The objects, which are made where there are none. NULL where that fails, for
 * the reason in `*status_out`. */
ShmkvObjects *shmkv_bucket_need_objects (ShmkvTable *table, ShmkvBucket *bucket,
                                         guint *status_out);

/* Removes what the structure is not needed for any more. */
void shmkv_bucket_tidy (ShmkvTable *table, ShmkvBucket *bucket);

/* Bytes that the bucket has taken. */
gsize shmkv_bucket_size (const ShmkvBucket *bucket);

/* Removes all pairs, without a word. */
void shmkv_bucket_clear (ShmkvTable *table, ShmkvBucket *bucket);

/* How many keys there are that have not expired. */
gsize shmkv_bucket_count (ShmkvTable *table, ShmkvBucket *bucket);

/* Removes one object, whose attributes are not in use any more. */
void shmkv_bucket_remove_object (ShmkvTable *table, ShmkvBucket *bucket, guint64 *word,
                                 guint change);
void shmkv_bucket_remove_plain (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash,
                                guint change);

/* For tests. */
const char *shmkv_bucket_check_objects (const ShmkvTable *table, const ShmkvBucket *bucket);

/* ------------------------------------------------------------- observation */

void shmkv_tell (ShmkvTable *table, ShmkvBucket *bucket, const ShmkvField *key, guint change);

static inline gboolean
shmkv_is_observed (const ShmkvTable *table, const ShmkvBucket *bucket)
{
  /* relaxed: who knows that it was set knows of what was before, too */
  return (bucket->observers | atomic_load_explicit (&table->observers, memory_order_relaxed)) != 0;
}

/* --------------------------------------------------------------------- time */

static inline gint64
shmkv_now_ms (const ShmkvTable *table)
{
  return table->clock ();
}

#define SHMKV_NEVER_DUE G_MAXUINT32

/* A time in milliseconds as a bucket's `due`, rounded down; all that is far off
 * is the same. */
static inline guint32
shmkv_due_time (gint64 time_ms)
{
  return MIN (time_ms >> 6, SHMKV_NEVER_DUE - 1);
}

static inline guint32
shmkv_get_due (const ShmkvBucket *bucket)
{
  /* relaxed: who misses what has just been written comes back */
  return atomic_load_explicit (&bucket->due, memory_order_relaxed);
}

static inline void
shmkv_set_due (ShmkvBucket *bucket, guint32 due)
{
  /* relaxed: the same */
  atomic_store_explicit (&bucket->due, due, memory_order_relaxed);
}

/* ----------------------------------------------------------------- eviction */

/* Says that a key was used. */
static inline void
shmkv_note_use (const ShmkvTable *table, const ShmkvBucket *bucket, guint64 hash)
{
  const ShmkvObjects *objects = shmkv_get_objects (bucket);

  if (objects != NULL && objects->used != NULL)
    {
      guint64 tag = shmkv_hash_tag (&table->hash, hash);
      gsize bit = tag * objects->n_used >> SHMKV_TAG_BITS;
      _Atomic guint64 *word = &objects->used[bit / 64];
      guint64 mask = G_GUINT64_CONSTANT (1) << bit % 64;

      /* relaxed: it orders nothing; set once, it is not written again */
      if ((atomic_load_explicit (word, memory_order_relaxed) & mask) == 0)
        atomic_fetch_or_explicit (word, mask, memory_order_relaxed);
    }
}

/* Sees to it that uses are noted, for as many pairs as there are. */
void shmkv_evict_prepare (ShmkvTable *table, ShmkvBucket *bucket);

/* With the bucket's lock: makes room for about so many bytes in it.  FALSE if
 * there is nothing to evict. */
gboolean shmkv_evict_from (ShmkvTable *table, ShmkvBucket *bucket, gsize bytes);

/* Without any lock: frees about so many bytes somewhere.  FALSE if it failed. */
gboolean shmkv_evict_elsewhere (ShmkvTable *table, gsize bytes);

G_END_DECLS
