/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How the table works.
 *
 * Order.  A key is hashed by a bijection of the 64-bit integers, so a slot
 * holds the hash in place of the key, and the key is computed back where one
 * is printed.  The hash is read as a fraction between 0 and 1.  Its product
 * with the number of buckets, in 128 bits, has the bucket in the high word and
 * what remains, a fraction again, in the low one; that times the bucket's
 * capacity is the key's home slot.  No step ever puts a greater hash before a
 * smaller one: the buckets, and the slots in each, are in order of hash.  A
 * hash can therefore be the cursor of a scan that nothing can confuse, be it
 * growth, shrinking or another's writes.
 *
 * Buckets.  Each is an array of {hash, value} that is probed linearly and kept
 * sorted, without wrap-around (Amble and Knuth, "Ordered hash tables", 1974;
 * called Robin Hood hashing since).  A pair sits at its home, or right behind
 * the pair before it where that is further on; so a set of keys and a capacity
 * have one layout only, which is what shmkv_table_check_bucket() checks.
 * Looking up is to skip the smaller hashes from home on: an absent key costs
 * no more than a present one, and four fifths full costs some two slots.
 * Inserting moves the pairs up to the next empty slot by one, deleting moves
 * back those that are not at home; no tombstones remain.
 *
 * The end.  An empty slot has the greatest hash, EMPTY, which ends every
 * search without a test of its own.  The array has room for an overhang, what
 * is pushed beyond the capacity, and one slot more that is always empty.  The
 * single key whose hash is EMPTY is kept aside, under the last bucket's lock.
 * A bucket without keys shares a constant array of empty slots.
 *
 * Growth.  A bucket that is four fifths full takes another quarter or so, and
 * one that is less than a third full gives up what it has too much.  In both
 * cases the pairs are gathered at the array's end, then dealt out to their new
 * places from the front: two sequential passes in the array itself, so that
 * the greatest buckets never exist twice.  How much is taken differs from
 * bucket to bucket.  With good hashing all buckets fill alike, and they would
 * otherwise all grow at the same moment: a stall, and a peak of memory.
 *
 * Memory.  Thousands of arrays that outgrow their places leave as many holes.
 * The pages of an array are given back to the kernel before it is freed, so
 * that a large hole costs addresses and no memory; very large arrays move by
 * realloc(), which moves their pages and copies nothing.  What remains of the
 * holes when a table becomes empty is for shmkv_table_trim().  Ten million
 * pairs in 5000 buckets take 24 bytes each, locks and all.
 *
 * Locks.  Whatever a bucket has is read under its GRWLock and written under
 * the writer's side of it, but for two fields that are atomic because
 * shmkv_table_prefetch_slot() peeks at them.  No thread ever holds two buckets'
 * locks.  Where the C library lets readers overtake a waiting writer, as glibc
 * does, a writer might wait for ever while readers overlap.  So one that finds
 * the lock taken holds the bucket's `turn` while it waits, and says so in
 * `waiting`; readers that come now queue for `turn` first.  Those before it
 * finish, the writer is next, and whoever has `turn` never has to wait for
 * somebody who wants it.  Readers cannot starve either: they let one writer
 * pass, and are then waiting for the lock themselves.
 *
 * Byte strings, and keys that carry more than a value, fit in later as heap
 * objects in a second small table per bucket.  The arrays above stay as they
 * are, and so does what an integer costs. */

#include "config.h"

#include "server/table-internal.h"
#include "server/table.h"

#include <malloc.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CACHE_LINE 64

#define EMPTY G_MAXUINT64

/* As many slots as find() compares at once. */
#define GROUP 4u

/* A bucket this small only shrinks when its last key goes. */
#define SMALL_CAPACITY 16u

/* From this size on glibc's malloc() maps an array by itself, and realloc()
 * moves the pages instead of copying. */
#define LARGE_ARRAY (128u * 1024)

/* Less is not worth the system call, and the page faults when it is used again. */
#define MIN_DISCARDED (16u * 1024)

/* Less is not worth a search for it: see shmkv_table_trim(). */
#define MIN_TRIMMED (16u * 1024 * 1024)

typedef struct
{
  guint64 hash;
  guint64 value;
} Slot;

typedef struct
{
  alignas (CACHE_LINE) GRWLock lock;

  /* Relaxed: the lock orders them for all but shmkv_table_prefetch_slot(),
   * which takes none, and can do with an address that is stale. */
  _Atomic (Slot *) slots;
  _Atomic gsize capacity;           /* homes; the array may be longer */

  gsize length;                     /* slots but for the one at the end that stays empty; or 0 */
  gsize count;                      /* of pairs */

  GMutex turn;
  _Atomic guint waiting;            /* a hint: somebody has `turn` and wants to write */
} Bucket;

G_STATIC_ASSERT (sizeof (Bucket) == CACHE_LINE);

struct _ShmkvTable
{
  Bucket *buckets;
  guint64 n_buckets;
  guint64 seeds[2];
  gsize slots_limit;

  /* Under the last bucket's lock: the pair that no slot can hold. */
  gboolean has_last;
  guint64 last_value;

  /* Apart, as they change and what all operations read does not. */
  alignas (CACHE_LINE) _Atomic gsize slots_size;
  gsize largest_size;               /* that shmkv_table_trim() saw since it last did something */
};

static const Slot no_slots[GROUP] = {
  { EMPTY, 0 }, { EMPTY, 0 }, { EMPTY, 0 }, { EMPTY, 0 },
};

/* ------------------------------------------------------------ hash and home */

/* Multipliers of SplitMix64's finalizer, and their inverses modulo 2^64. */
#define MULTIPLIER_1 G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9)
#define MULTIPLIER_2 G_GUINT64_CONSTANT (0x94d049bb133111eb)
#define INVERSE_1 G_GUINT64_CONSTANT (0x96de1b173f119089)
#define INVERSE_2 G_GUINT64_CONSTANT (0x319642b2d24d8ec3)

G_STATIC_ASSERT (MULTIPLIER_1 * INVERSE_1 == 1);
G_STATIC_ASSERT (MULTIPLIER_2 * INVERSE_2 == 1);

/* Every bit of `x` reaches the upper half of the result, which is all that
 * buckets and homes are told apart by.  A shift by half the width is its own
 * inverse. */
static inline guint64
mix (guint64 x, guint64 seed)
{
  x ^= x >> 32;
  x *= MULTIPLIER_1;
  x += seed;
  x ^= x >> 32;
  return x * MULTIPLIER_2;
}

static inline guint64
unmix (guint64 x, guint64 seed)
{
  x *= INVERSE_2;
  x ^= x >> 32;
  x -= seed;
  x *= INVERSE_1;
  return x ^ x >> 32;
}

static inline guint64
hash_of_key (const ShmkvTable *table, guint64 key)
{
  return mix (key ^ table->seeds[0], table->seeds[1]);
}

static inline guint64
key_of_hash (const ShmkvTable *table, guint64 hash)
{
  return unmix (hash, table->seeds[1]) ^ table->seeds[0];
}

/* `fraction` / 2^64 of `n`, rounded down. */
static inline guint64
scale (guint64 fraction, guint64 n)
{
  return (unsigned __int128) fraction * n >> 64;
}

static inline gsize
home_of (const ShmkvTable *table, guint64 hash, gsize capacity)
{
  guint64 rest = hash * table->n_buckets;

  return scale (rest, capacity);
}

/* ------------------------------------------------------------------- fields */

static inline Slot *
get_slots (const Bucket *bucket)
{
  /* relaxed: the lock orders it, or it is for a prefetch */
  return atomic_load_explicit (&bucket->slots, memory_order_relaxed);
}

static inline gsize
get_capacity (const Bucket *bucket)
{
  /* relaxed: the same */
  return atomic_load_explicit (&bucket->capacity, memory_order_relaxed);
}

static inline void
set_slots (Bucket *bucket, const Slot *slots, gsize length)
{
  /* relaxed: the same */
  atomic_store_explicit (&bucket->slots, (Slot *) slots, memory_order_relaxed);
  bucket->length = length;
}

static inline void
set_capacity (Bucket *bucket, gsize capacity)
{
  /* relaxed: the same */
  atomic_store_explicit (&bucket->capacity, capacity, memory_order_relaxed);
}

static inline gsize
max_count (gsize capacity)
{
  return capacity - capacity / 5;
}

/* Without memory to grow, the slots that are left will do; but not the very
 * last ones, as runs would become as long as the array. */
static gboolean
is_crammed (const Bucket *bucket)
{
  gsize capacity = get_capacity (bucket);

  return bucket->count >= capacity - capacity / 16;
}

/* How far runs of pairs may reach beyond the capacity, at first.  One in a
 * thousand buckets needs more, and gets it by make_longer(). */
static inline gsize
usual_overhang (gsize capacity)
{
  return GROUP + MIN (capacity / 16, 12);
}

static gsize
array_size (gsize length)
{
  return length == 0 ? 0 : (length + 1) * sizeof (Slot);
}

/* Returns the sum. */
static gsize
add_size (ShmkvTable *table, gsize bytes)
{
  /* relaxed: nothing else depends on it */
  return atomic_fetch_add_explicit (&table->slots_size, bytes, memory_order_relaxed) + bytes;
}

/* -------------------------------------------------------------------- locks */

static inline void
lock_to_read (Bucket *bucket)
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
lock_to_write (Bucket *bucket)
{
  if (G_LIKELY (g_rw_lock_writer_trylock (&bucket->lock)))
    return;

  g_mutex_lock (&bucket->turn);
  /* relaxed: the same */
  atomic_store_explicit (&bucket->waiting, TRUE, memory_order_relaxed);
  g_rw_lock_writer_lock (&bucket->lock);
  atomic_store_explicit (&bucket->waiting, FALSE, memory_order_relaxed);
  g_mutex_unlock (&bucket->turn);
}

/* ------------------------------------------------------------------- arrays */

/* Those pages that lie within memory which is about to be freed. */
static void
discard_pages (void *memory, gsize size)
{
  guintptr page = sysconf (_SC_PAGESIZE);
  guintptr start = ((guintptr) memory + page - 1) & -page;
  guintptr end = ((guintptr) memory + size) & -page;

  if (end >= start + MIN_DISCARDED)
    madvise ((void *) start, end - start, MADV_DONTNEED);
}

static Slot *
extend_array (Slot *old, gsize old_size, gsize size)
{
  Slot *slots;

  if (old_size >= LARGE_ARRAY)
    return realloc (old, size);

  slots = malloc (size);
  if (slots == NULL || old_size == 0)
    return slots;
  memcpy (slots, old, old_size);
  discard_pages (old, old_size);
  free (old);
  return slots;
}

/* Changes nothing where it fails. */
static gboolean
extend_bucket (ShmkvTable *table, Bucket *bucket, gsize length)
{
  gsize old_size = array_size (bucket->length), size = array_size (length);
  Slot *slots = NULL;

  if (add_size (table, size - old_size) <= table->slots_limit)
    slots = extend_array (get_slots (bucket), old_size, size);
  if (slots == NULL)
    {
      add_size (table, old_size - size);
      return FALSE;
    }
  set_slots (bucket, slots, length);
  return TRUE;
}

/* Cannot fail: at worst the array remains, and its end is not used. */
static void
trim_bucket (ShmkvTable *table, Bucket *bucket, gsize length)
{
  gsize old_size = array_size (bucket->length), size = array_size (length);
  Slot *old = get_slots (bucket), *slots;

  discard_pages (old + length + 1, old_size - size);
  slots = realloc (old, size);
  set_slots (bucket, slots != NULL ? slots : old, length);
  add_size (table, size - old_size);
}

static void
empty_bucket (ShmkvTable *table, Bucket *bucket)
{
  gsize size = array_size (bucket->length);
  Slot *slots = get_slots (bucket);

  set_slots (bucket, no_slots, 0);
  set_capacity (bucket, 0);
  discard_pages (slots, size);
  free (slots);
  add_size (table, -size);
}

/* Moves the pairs among the first `old_length` slots to the end of the first
 * `length`, and returns the first one's index.  What is copied without need, an
 * empty slot, is overwritten by the next pair: cheaper than to foresee it. */
static gsize
gather (Slot *slots, gsize old_length, gsize length)
{
  gsize to = length;

  for (gsize from = old_length; from-- > 0;)
    {
      slots[to - 1] = slots[from];
      to -= slots[from].hash != EMPTY;
    }
  return to;
}

/* Lays the pairs out anew for a capacity and the bucket's length, and returns
 * where the last one ends.
 *
 * None is written over one that is still to be read: gathered at the end they
 * have as many slots behind them as there are pairs to come, and the same must
 * be true of their new places.  Which is so as long as all places are within
 * the length: with a smaller capacity no place is further on than it was, and
 * with a greater one no run reaches further beyond the capacity. */
static gsize
lay_out (const ShmkvTable *table, Bucket *bucket, gsize old_length, gsize capacity)
{
  Slot *slots = get_slots (bucket);
  gsize from = gather (slots, old_length, bucket->length), next = 0;

  memset (slots, 0xff, from * sizeof (Slot));
  slots[bucket->length].hash = EMPTY;
  for (; from < bucket->length; from++)
    {
      Slot slot = slots[from];

      slots[from].hash = EMPTY;
      next = MAX (next, home_of (table, slot.hash, capacity));
      slots[next++] = slot;
    }
  set_capacity (bucket, capacity);
  return next;
}

static gboolean
set_room (ShmkvTable *table, Bucket *bucket, gsize capacity, gsize overhang)
{
  gsize old_length = bucket->length;

  if (!extend_bucket (table, bucket, capacity + overhang))
    return FALSE;
  lay_out (table, bucket, old_length, capacity);
  return TRUE;
}

/* Twice the capacity while it is small, then between 1/8 and 3/8 more: that is
 * left to the low half of a hash, which has no say in anything else. */
static gboolean
grow (ShmkvTable *table, Bucket *bucket, guint64 hash)
{
  gsize capacity = get_capacity (bucket), overhang = bucket->length - capacity;

  if (capacity <= SMALL_CAPACITY)
    capacity += MAX (capacity, GROUP);
  else
    capacity += capacity / 8 + scale (hash << 32, capacity / 4);
  return set_room (table, bucket, capacity, MAX (overhang, usual_overhang (capacity)));
}

/* Only what reaches beyond the capacity needs room.  Growing does not help
 * against that: a few keys of nearly the same hash would take up all memory. */
static gboolean
make_longer (ShmkvTable *table, Bucket *bucket)
{
  gsize capacity = get_capacity (bucket), overhang = bucket->length - capacity;

  return set_room (table, bucket, capacity, overhang + MAX (overhang / 4, GROUP));
}

static void
shrink (ShmkvTable *table, Bucket *bucket)
{
  gsize capacity = bucket->count + bucket->count * 4 / 5, length, end;

  if (bucket->count == 0)
    {
      empty_bucket (table, bucket);
      return;
    }
  end = lay_out (table, bucket, bucket->length, capacity);
  length = MAX (end, capacity + usual_overhang (capacity));
  if (length < bucket->length)
    trim_bucket (table, bucket, length);
}

/* -------------------------------------------------------------------- slots */

/* The first slot whose hash is not smaller.  A pair is likely within a group
 * of its home, and to compare all four is cheaper than to foresee which. */
static inline Slot *
find (const ShmkvTable *table, const Bucket *bucket, guint64 hash)
{
  Slot *slot = get_slots (bucket) + home_of (table, hash, get_capacity (bucket));

  slot += (slot[0].hash < hash) + (slot[1].hash < hash) + (slot[2].hash < hash)
          + (slot[3].hash < hash);
  while (slot->hash < hash)
    slot++;
  return slot;
}

/* NULL where the only one is the one that must stay empty. */
static inline Slot *
find_gap (const Bucket *bucket, Slot *slot)
{
  while (slot->hash != EMPTY)
    slot++;
  return slot == get_slots (bucket) + bucket->length ? NULL : slot;
}

static ShmkvTableInsert
insert_pair (ShmkvTable *table, Bucket *bucket, guint64 hash, guint64 value)
{
  Slot *slot = find (table, bucket, hash), *gap;

  if (slot->hash == hash)
    {
      slot->value = value;
      return SHMKV_TABLE_REPLACED;
    }

  if (bucket->count >= max_count (get_capacity (bucket)))
    {
      if (!grow (table, bucket, hash) && is_crammed (bucket))
        return SHMKV_TABLE_NO_MEMORY;
      slot = find (table, bucket, hash);
    }
  while ((gap = find_gap (bucket, slot)) == NULL)
    {
      if (!make_longer (table, bucket))
        return SHMKV_TABLE_NO_MEMORY;
      slot = find (table, bucket, hash);
    }

  memmove (slot + 1, slot, (gap - slot) * sizeof (Slot));
  *slot = (Slot) { .hash = hash, .value = value };
  bucket->count++;
  return SHMKV_TABLE_ADDED;
}

static gboolean
delete_pair (ShmkvTable *table, Bucket *bucket, guint64 hash)
{
  gsize capacity = get_capacity (bucket);
  Slot *slots = get_slots (bucket), *slot = find (table, bucket, hash), *next;

  if (slot->hash != hash)
    return FALSE;

  for (next = slot + 1; next->hash != EMPTY; next++)
    if (home_of (table, next->hash, capacity) == (gsize) (next - slots))
      break;
  memmove (slot, slot + 1, (next - slot - 1) * sizeof (Slot));
  next[-1].hash = EMPTY;
  bucket->count--;

  if (bucket->count == 0 || (bucket->count < capacity / 3 && capacity > SMALL_CAPACITY))
    shrink (table, bucket);
  return TRUE;
}

/* ------------------------------------------- the key whose hash is EMPTY */

static ShmkvTableInsert
insert_last (ShmkvTable *table, guint64 value)
{
  ShmkvTableInsert result = table->has_last ? SHMKV_TABLE_REPLACED : SHMKV_TABLE_ADDED;

  table->has_last = TRUE;
  table->last_value = value;
  return result;
}

static gboolean
read_last (const ShmkvTable *table, guint64 *value_out)
{
  if (table->has_last)
    *value_out = table->last_value;
  return table->has_last;
}

static gboolean
delete_last (ShmkvTable *table)
{
  gboolean found = table->has_last;

  table->has_last = FALSE;
  return found;
}

static inline gboolean
holds_last (const ShmkvTable *table, const Bucket *bucket)
{
  return bucket == &table->buckets[table->n_buckets - 1] && table->has_last;
}

/* --------------------------------------------------------------- operations */

ShmkvTablePlace
shmkv_table_locate (const ShmkvTable *table, guint64 key)
{
  guint64 hash = hash_of_key (table, key);

  return (ShmkvTablePlace) { .hash = hash, .bucket = scale (hash, table->n_buckets) };
}

void
shmkv_table_prefetch_bucket (const ShmkvTable *table, const ShmkvTablePlace *place)
{
  __builtin_prefetch (&table->buckets[place->bucket], TRUE);
}

/* The lock is a pointer to the C library's.  Of the array it is the home and
 * the end of its group, often in the next cache line. */
void
shmkv_table_prefetch_slot (const ShmkvTable *table, const ShmkvTablePlace *place)
{
  const Bucket *bucket = &table->buckets[place->bucket];
  gsize home = home_of (table, place->hash, get_capacity (bucket));
  guintptr slot = (guintptr) get_slots (bucket) + home * sizeof (Slot);

  __builtin_prefetch (bucket->lock.p, TRUE);
  __builtin_prefetch ((gconstpointer) slot);
  __builtin_prefetch ((gconstpointer) (slot + (GROUP - 1) * sizeof (Slot)));
}

ShmkvTableInsert
shmkv_table_insert (ShmkvTable *table, const ShmkvTablePlace *place, guint64 value)
{
  Bucket *bucket = &table->buckets[place->bucket];
  ShmkvTableInsert result;

  lock_to_write (bucket);
  if (G_LIKELY (place->hash != EMPTY))
    result = insert_pair (table, bucket, place->hash, value);
  else
    result = insert_last (table, value);
  g_rw_lock_writer_unlock (&bucket->lock);
  return result;
}

gboolean
shmkv_table_read (ShmkvTable *table, const ShmkvTablePlace *place, guint64 *value_out)
{
  Bucket *bucket = &table->buckets[place->bucket];
  gboolean found;

  lock_to_read (bucket);
  if (G_LIKELY (place->hash != EMPTY))
    {
      const Slot *slot = find (table, bucket, place->hash);

      found = slot->hash == place->hash;
      if (found)
        *value_out = slot->value;
    }
  else
    found = read_last (table, value_out);
  g_rw_lock_reader_unlock (&bucket->lock);
  return found;
}

gboolean
shmkv_table_delete (ShmkvTable *table, const ShmkvTablePlace *place)
{
  Bucket *bucket = &table->buckets[place->bucket];
  gboolean found;

  lock_to_write (bucket);
  if (G_LIKELY (place->hash != EMPTY))
    found = delete_pair (table, bucket, place->hash);
  else
    found = delete_last (table);
  g_rw_lock_writer_unlock (&bucket->lock);
  return found;
}

/* -------------------------------------------------------------- whole buckets */

/* Hashes for keys, while the lock is held.  Returns how many there are; copies
 * none of them where that is more than there is room for. */
static gsize
copy_hashes (ShmkvTable *table, Bucket *bucket, GArray *pairs)
{
  ShmkvTablePair *to = (gpointer) pairs->data;
  const Slot *slot, *end;
  gsize count;

  lock_to_read (bucket);
  count = bucket->count + holds_last (table, bucket);
  if (count <= pairs->len)
    {
      slot = get_slots (bucket);
      for (end = slot + bucket->length; slot < end; slot++)
        if (slot->hash != EMPTY)
          *to++ = (ShmkvTablePair) { .key = slot->hash, .value = slot->value };
      if (holds_last (table, bucket))
        *to = (ShmkvTablePair) { .key = EMPTY, .value = table->last_value };
    }
  g_rw_lock_reader_unlock (&bucket->lock);
  return count;
}

/* The array is made outside of the lock, with some more room than there was
 * need for, as the bucket may grow meanwhile. */
GArray *
shmkv_table_copy_bucket (ShmkvTable *table, guint bucket)
{
  GArray *pairs = g_array_new (FALSE, FALSE, sizeof (ShmkvTablePair));
  gsize count;

  while ((count = copy_hashes (table, &table->buckets[bucket], pairs)) > pairs->len)
    g_array_set_size (pairs, count + count / 8);
  g_array_set_size (pairs, count);

  for (guint i = 0; i < pairs->len; i++)
    {
      ShmkvTablePair *pair = &g_array_index (pairs, ShmkvTablePair, i);

      pair->key = key_of_hash (table, pair->key);
    }
  return pairs;
}

void
shmkv_table_get_stats (ShmkvTable *table, ShmkvTableStats *stats_out)
{
  ShmkvTableStats stats = { .memory = sizeof *table + table->n_buckets * sizeof (Bucket) };

  for (guint64 i = 0; i < table->n_buckets; i++)
    {
      Bucket *bucket = &table->buckets[i];
      guint64 count;

      lock_to_read (bucket);
      count = bucket->count + holds_last (table, bucket);
      stats.memory += array_size (bucket->length);
      g_rw_lock_reader_unlock (&bucket->lock);
      stats.keys += count;
      stats.longest_bucket = MAX (stats.longest_bucket, count);
    }
  *stats_out = stats;
}

/* glibc only gives back what is at the end of its heap, where something always
 * is; the rest when it is asked to. */
gboolean
shmkv_table_trim (ShmkvTable *table)
{
  gsize size = add_size (table, 0);

  table->largest_size = MAX (table->largest_size, size);
  if (table->largest_size - size < MAX (MIN_TRIMMED, size))
    return FALSE;

  table->largest_size = size;
#ifdef __GLIBC__
  malloc_trim (0);
#endif
  return TRUE;
}

/* ---------------------------------------------------------------- the table */

static void
init_bucket (Bucket *bucket)
{
  memset (bucket, 0, sizeof *bucket);
  g_rw_lock_init (&bucket->lock);
  g_mutex_init (&bucket->turn);
  set_slots (bucket, no_slots, 0);
}

static void
clear_bucket (Bucket *bucket)
{
  if (bucket->length > 0)
    free (get_slots (bucket));
  g_mutex_clear (&bucket->turn);
  g_rw_lock_clear (&bucket->lock);
}

ShmkvTable *
shmkv_table_new (guint n_buckets, guint64 seed)
{
  ShmkvTable *table;

  g_return_val_if_fail (n_buckets >= SHMKV_TABLE_MIN_BUCKETS, NULL);
  g_return_val_if_fail (n_buckets <= SHMKV_TABLE_MAX_BUCKETS, NULL);

  table = aligned_alloc (CACHE_LINE, sizeof *table);
  if (table == NULL)
    return NULL;
  memset (table, 0, sizeof *table);
  table->buckets = aligned_alloc (CACHE_LINE, n_buckets * sizeof (Bucket));
  if (table->buckets == NULL)
    {
      free (table);
      return NULL;
    }

  table->n_buckets = n_buckets;
  table->slots_limit = G_MAXSIZE;
  table->seeds[0] = mix (seed, MULTIPLIER_2);
  table->seeds[1] = mix (~seed, MULTIPLIER_2);
  for (guint i = 0; i < n_buckets; i++)
    init_bucket (&table->buckets[i]);
  return table;
}

void
shmkv_table_free (ShmkvTable *table)
{
  for (guint64 i = 0; i < table->n_buckets; i++)
    clear_bucket (&table->buckets[i]);
  free (table->buckets);
  free (table);
}

guint
shmkv_table_get_n_buckets (const ShmkvTable *table)
{
  return table->n_buckets;
}

/* ------------------------------------------------------------------- testing */

guint64
shmkv_table_key_at (const ShmkvTable *table, guint64 hash)
{
  return key_of_hash (table, hash);
}

void
shmkv_table_limit_slots (ShmkvTable *table, gsize bytes)
{
  table->slots_limit = bytes;
}

static const char *
check_slots (const ShmkvTable *table, const Bucket *bucket)
{
  const Slot *slots = get_slots (bucket);
  gsize capacity = get_capacity (bucket), next = 0, n = 0;
  guint64 previous = 0;

  for (gsize i = 0; i < bucket->length; i++)
    {
      guint64 hash = slots[i].hash;

      if (hash == EMPTY)
        continue;
      if (scale (hash, table->n_buckets) != (guint64) (bucket - table->buckets))
        return "a key is in a bucket that is not its own";
      if (n > 0 && hash <= previous)
        return "the hashes are out of order";
      if (i != MAX (next, home_of (table, hash, capacity)))
        return "a pair is neither at home nor right behind another";
      previous = hash;
      next = i + 1;
      n++;
    }
  return n == bucket->count ? NULL : "the count is wrong";
}

static const char *
check_room (const ShmkvTable *table, const Bucket *bucket)
{
  gsize capacity = get_capacity (bucket);

  if ((bucket->count == 0) != (get_slots (bucket) == no_slots))
    return "slots without a key, or none with one";
  if (get_slots (bucket)[bucket->length].hash != EMPTY)
    return "the last slot is not empty";
  if (bucket->length == 0)
    return capacity == 0 ? NULL : "a capacity without slots";
  if (bucket->length < capacity + GROUP)
    return "too short for its capacity";
  if (bucket->count > max_count (capacity) && table->slots_limit == G_MAXSIZE)
    return "too full";
  if (bucket->count < capacity / 3 && capacity > 2 * SMALL_CAPACITY)
    return "too empty";
  return NULL;
}

const char *
shmkv_table_check_bucket (ShmkvTable *table, guint bucket_index)
{
  Bucket *bucket = &table->buckets[bucket_index];
  const char *fault;

  lock_to_read (bucket);
  fault = check_room (table, bucket);
  if (fault == NULL)
    fault = check_slots (table, bucket);
  g_rw_lock_reader_unlock (&bucket->lock);
  return fault;
}
