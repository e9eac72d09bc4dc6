/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How the table works.
 *
 * Order.  An integer key is hashed by a bijection of the 64-bit integers, so a
 * slot holds the hash in place of the key, and the key is computed back where
 * one is printed.  Byte strings are hashed by XXH3, with a seed.  The hash is
 * read as a fraction between 0 and 1.  Its product with the number of buckets,
 * in 128 bits, has the bucket in the high word and what remains, a fraction
 * again, in the low one; that times the bucket's capacity is the key's home
 * slot.  No step ever puts a greater hash before a smaller one: the buckets,
 * and the slots in each, are in order of hash.  A hash can therefore be the
 * cursor of a scan that nothing can confuse, be it growth, shrinking or
 * another's writes.  The first bits of a hash that are enough for that, its
 * bucket and its tag, are one; see scan.c.
 *
 * Plain pairs.  Those of two integers, with nothing else to them, are the ones
 * that have to be fast and small.  A bucket has them in an array of {hash,
 * value} that is probed linearly and kept sorted, without wrap-around (Amble
 * and Knuth, "Ordered hash tables", 1974; called Robin Hood hashing since).  A
 * pair sits at its home, or right behind the pair before it where that is
 * further on; so a set of keys and a capacity have one layout only, which is
 * what shmkv_table_check_bucket() checks.  Looking up is to skip the smaller
 * hashes from home on: an absent key costs no more than a present one, and four
 * fifths full costs some two slots.  Inserting moves the pairs up to the next
 * empty slot by one, deleting moves back those that are not at home; no
 * tombstones remain.
 *
 * The end.  An empty slot has the greatest hash, EMPTY, which ends every search
 * without a test of its own.  The array has room for an overhang, what is
 * pushed beyond the capacity, and one slot more that is always empty.  The
 * single key whose hash is EMPTY is kept aside, under the last bucket's lock.
 * A bucket without keys shares a constant array of empty slots.
 *
 * Growth.  A bucket that is four fifths full takes another quarter or so, and
 * one that is less than a third full gives up what it has too much.  The pairs
 * are dealt out to their new places in an array of its own, which then takes the
 * place of the other: those who read without the lock may still be in that one,
 * so it is retired and not freed; see reclaim.h.  Arrays of SHMKV_LARGE_CAPACITY
 * and more stay: their pairs are gathered at the array's end, then dealt out
 * from the front, in two sequential passes in the array itself, so that the
 * greatest buckets never exist twice.  Where there is no memory for a longer
 * array, its pairs are laid out in the same way for less capacity, which leaves
 * more room at its end.  How much is taken differs from bucket to bucket.  With
 * good hashing all buckets fill alike, and they would otherwise all grow at the
 * same moment: a stall, and a peak of memory.
 *
 * Memory.  Thousands of arrays that outgrow their places leave as many holes.
 * The pages of an array are given back to the kernel before it is freed, so
 * that a large hole costs addresses and no memory; large arrays move by
 * realloc(), which moves their pages and copies nothing.  What remains of the
 * holes when a table becomes empty is for shmkv_table_trim().  Ten million
 * pairs in 5000 buckets take 24 bytes each, locks and all.
 *
 * Objects.  Every other pair, be it that its key or value is a byte string or
 * that it expires, has a version or belongs to a session, is an object: see
 * objects.h for how it is found, and heap.h for where it lies.  A bucket's
 * structure for them exists while there are any, and its pointer is in the line
 * that every operation on the bucket reads anyhow; NULL is all that plain pairs
 * see of it.  A key is never in both places, and moves where its value or what
 * goes with it ask for that: see bucket.c, for which all pairs are alike.
 *
 * Expiry.  An object whose time has come is absent, by whatever finds it; the
 * clock is read only where there is one with a time. shmkv_table_sweep()
 * removes those that nobody finds, and leaves alone the buckets that are not
 * `due`.
 *
 * The limit.  What the table takes is counted before it is taken, to the byte.
 * At its limit an operation fails, or makes room, first in its own bucket: see
 * upkeep.c.
 *
 * Locks.  Whatever a bucket has is written under the writer's side of its
 * GRWLock, and read under the lock, too: except for plain pairs, which workers
 * read without, between two looks at the bucket's `sequence`; see plain.h.  A
 * read needs the lock where a writer is at it, where the bucket has objects, is
 * large, or where the key is the one kept aside.  So what such a reader looks at
 * is atomic: the sequence, the array's address and capacity, the pointer to the
 * objects, and the two words of a slot.  A writer does not store to an array
 * once it is retired, and always leaves EMPTY in its last slot.  The notes of
 * what was used, and the hints for shmkv_table_sweep(), are atomic as well.
 *
 * No thread ever holds two buckets' locks.  Where the C library lets readers
 * overtake a waiting writer, as glibc does, a writer might wait for ever while
 * readers overlap.  So one that finds the lock taken holds the bucket's `turn`
 * while it waits, and says so in `waiting`; readers that come now queue for
 * `turn` first.  Those before it finish, the writer is next, and whoever has
 * `turn` never has to wait for somebody who wants it.  Readers cannot starve
 * either: they let one writer pass, and are then waiting for the lock
 * themselves. */

#include "config.h"

#include "server/plain.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALWAYS_INLINE __attribute__ ((always_inline))

/* A bucket this small only shrinks when its last key goes. */
#define SMALL_CAPACITY 16u

/* Less is not worth a search for it: see shmkv_table_trim(). */
#define MIN_TRIMMED (16u * 1024 * 1024)

/* A step through the table ends after so many buckets, or keys. */
#define STEP_BUCKETS 128u
#define STEP_KEYS 256u

static const ShmkvSlot no_slots[SHMKV_GROUP] = {
  { SHMKV_EMPTY, 0 }, { SHMKV_EMPTY, 0 }, { SHMKV_EMPTY, 0 }, { SHMKV_EMPTY, 0 },
};

/* ------------------------------------------------------------------- fields */

static inline void
set_slots (ShmkvBucket *bucket, const ShmkvSlot *slots)
{
  /* relaxed: the lock orders it, or it is for a prefetch */
  atomic_store_explicit (&bucket->slots, (ShmkvSlot *) slots, memory_order_relaxed);
}

/* Homes, and all slots but for the one at the end. */
static inline void
set_size (ShmkvBucket *bucket, gsize capacity, gsize length)
{
  /* relaxed: the same */
  atomic_store_explicit (&bucket->capacity, (guint32) capacity, memory_order_relaxed);
  bucket->overhang = length - capacity;
}

static inline gsize
max_count (gsize capacity)
{
  return capacity - capacity / 5;
}

/* Without memory to grow, the slots that are left will do; but not the very
 * last ones, as runs would become as long as the array. */
static gboolean
is_crammed (const ShmkvBucket *bucket)
{
  gsize capacity = shmkv_get_capacity (bucket);

  return bucket->count >= capacity - capacity / 16;
}

/* How far runs of pairs may reach beyond the capacity, at first.  One in a
 * thousand buckets needs more, and gets it by make_longer(). */
static inline gsize
usual_overhang (gsize capacity)
{
  return SHMKV_GROUP + MIN (capacity / 16, 12);
}

static gsize
array_size (gsize length)
{
  return length == 0 ? 0 : (length + 1) * sizeof (ShmkvSlot);
}

gsize
shmkv_slots_size (const ShmkvBucket *bucket)
{
  return array_size (shmkv_get_length (bucket));
}

/* ------------------------------------------------------------------- arrays */

/* Takes what a greater array needs more, if it is greater. */
static guint
take_more (ShmkvTable *table, gsize old_size, gsize size)
{
  return size > old_size ? shmkv_memory_take (&table->memory, size - old_size)
                         : SHMKV_WIRE_STATUS_OK;
}

static void
give_difference (ShmkvTable *table, gsize old_size, gsize size)
{
  if (size < old_size)
    shmkv_memory_give (&table->memory, old_size - size);
}

static void
store_empty (ShmkvSlot *slots, gsize n)
{
  for (gsize i = 0; i < n; i++)
    shmkv_store_slot_word (&slots[i].hash, SHMKV_EMPTY);
}

/* Where pairs would end that are dealt out for a capacity. */
static gsize
find_end (const ShmkvTable *table, const ShmkvBucket *bucket, gsize capacity)
{
  const ShmkvSlot *slots = shmkv_get_slots (bucket), *end = slots + shmkv_get_length (bucket);
  gsize next = 0;

  for (const ShmkvSlot *slot = slots; slot < end; slot++)
    if (slot->hash != SHMKV_EMPTY)
      next = MAX (next, shmkv_slot_home (table, slot->hash, capacity)) + 1;
  return next;
}

/* Copies the pairs to their places in an array that nobody else knows yet. */
static void
deal_out (const ShmkvTable *table, const ShmkvBucket *bucket, ShmkvSlot *to, gsize length,
          gsize capacity)
{
  const ShmkvSlot *slots = shmkv_get_slots (bucket), *end = slots + shmkv_get_length (bucket);
  gsize next = 0;

  for (const ShmkvSlot *slot = slots; slot < end; slot++)
    if (slot->hash != SHMKV_EMPTY)
      {
        gsize place = MAX (next, shmkv_slot_home (table, slot->hash, capacity));

        for (; next < place; next++)
          to[next].hash = SHMKV_EMPTY;
        to[next++] = *slot;
      }
  for (; next <= length; next++)
    to[next].hash = SHMKV_EMPTY;
}

/* Puts another array in the place of the bucket's, which is retired.  Cannot
 * fail. */
static void
replace_slots (ShmkvTable *table, ShmkvBucket *bucket, ShmkvRetired *retired,
               const ShmkvSlot *slots, gsize length, gsize capacity)
{
  ShmkvSlot *old = shmkv_get_slots (bucket);
  gsize old_size = shmkv_slots_size (bucket);

  set_slots (bucket, slots);
  set_size (bucket, capacity, length);
  if (old_size > 0)
    shmkv_reclaim_retire (&table->reclaim, retired, old, old_size);
}

/* Lays the pairs out for a capacity in an array of their own.  OK, or NO_MEMORY or
 * NO_SPACE and nothing changed. */
static guint
move_pairs (ShmkvTable *table, ShmkvBucket *bucket, gsize capacity, gsize length)
{
  gsize old_size = shmkv_slots_size (bucket), size = array_size (length);
  guint status = take_more (table, old_size, size);
  ShmkvRetired *retired;
  ShmkvSlot *slots;

  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  slots = malloc (size);
  retired = old_size > 0 ? shmkv_retired_new () : NULL;
  if (slots == NULL || (old_size > 0 && retired == NULL))
    {
      free (slots);
      g_free (retired);
      if (size > old_size)
        shmkv_memory_give (&table->memory, size - old_size);
      return SHMKV_WIRE_STATUS_NO_MEMORY;
    }
  deal_out (table, bucket, slots, length, capacity);
  replace_slots (table, bucket, retired, slots, length, capacity);
  give_difference (table, old_size, size);
  return SHMKV_WIRE_STATUS_OK;
}

void
shmkv_slots_clear (ShmkvTable *table, ShmkvBucket *bucket)
{
  gsize size = shmkv_slots_size (bucket);
  ShmkvRetired *retired;

  if (size == 0)
    return;
  bucket->count = 0;
  retired = shmkv_retired_new ();
  if (retired == NULL)
    {
      store_empty (shmkv_get_slots (bucket), shmkv_get_length (bucket));
      return;
    }
  replace_slots (table, bucket, retired, no_slots, 0, 0);
  shmkv_memory_give (&table->memory, size);
}

/* ------------------------------------------------------------ in their place */

/* Moves the pairs among the first `old_length` slots to the end of the first
 * `length`, and returns the first one's index.  What is copied without need, an
 * empty slot, is overwritten by the next pair: cheaper than to foresee it. */
static gsize
gather (ShmkvSlot *slots, gsize old_length, gsize length)
{
  gsize to = length;

  for (gsize from = old_length; from-- > 0;)
    {
      gboolean is_pair = slots[from].hash != SHMKV_EMPTY;

      shmkv_store_slot (&slots[to - 1], slots[from]);
      to -= is_pair;
    }
  return to;
}

/* Lays the pairs out anew for a capacity, in an array of that length, and returns
 * where the last one ends.
 *
 * None is written over one that is still to be read: gathered at the end they
 * have as many slots behind them as there are pairs to come, and the same must
 * be true of their new places.  Which is so as long as all places are within
 * the length: with a smaller capacity no place is further on than it was, and
 * with a greater one no run reaches further beyond the capacity. */
static gsize
lay_out (const ShmkvTable *table, ShmkvBucket *bucket, gsize old_length, gsize length,
         gsize capacity)
{
  ShmkvSlot *slots = shmkv_get_slots (bucket);
  gsize from = gather (slots, old_length, length), next = 0;

  store_empty (slots, from);
  shmkv_store_slot_word (&slots[length].hash, SHMKV_EMPTY);
  for (; from < length; from++)
    {
      ShmkvSlot slot = slots[from];

      shmkv_store_slot_word (&slots[from].hash, SHMKV_EMPTY);
      next = MAX (next, shmkv_slot_home (table, slot.hash, capacity));
      shmkv_store_slot (&slots[next++], slot);
    }
  return next;
}

/* Makes the array of a large bucket longer, or shorter: realloc() moves its pages
 * and copies nothing. */
static guint
resize_array (ShmkvTable *table, ShmkvBucket *bucket, gsize old_size, gsize size)
{
  guint status = take_more (table, old_size, size);
  ShmkvSlot *slots;

  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  if (size < old_size)
    shmkv_memory_discard ((guint8 *) shmkv_get_slots (bucket) + size, old_size - size);
  slots = realloc (shmkv_get_slots (bucket), size);
  if (slots != NULL)
    set_slots (bucket, slots);
  else if (size > old_size)
    {
      shmkv_memory_give (&table->memory, size - old_size);
      return SHMKV_WIRE_STATUS_NO_MEMORY;
    }
  /* At worst the array remains, and its end is not used. */
  give_difference (table, old_size, size);
  return SHMKV_WIRE_STATUS_OK;
}

static guint
grow_in_place (ShmkvTable *table, ShmkvBucket *bucket, gsize capacity, gsize length)
{
  gsize old_length = shmkv_get_length (bucket);
  guint status = resize_array (table, bucket, array_size (old_length), array_size (length));

  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  lay_out (table, bucket, old_length, length, capacity);
  set_size (bucket, capacity, length);
  return SHMKV_WIRE_STATUS_OK;
}

static void
shrink_in_place (ShmkvTable *table, ShmkvBucket *bucket, gsize capacity, gsize length)
{
  gsize old_length = shmkv_get_length (bucket);

  lay_out (table, bucket, old_length, old_length, capacity);
  if (length < old_length)
    resize_array (table, bucket, array_size (old_length), array_size (length));
  set_size (bucket, capacity, length);
}

/* ------------------------------------------------------------ grow and shrink */

static guint
set_room (ShmkvTable *table, ShmkvBucket *bucket, gsize capacity, gsize overhang)
{
  if (capacity > G_MAXUINT32 || overhang > G_MAXUINT16)
    return SHMKV_WIRE_STATUS_NO_MEMORY;
  if (shmkv_is_large (capacity) && shmkv_is_large (shmkv_get_capacity (bucket)))
    return grow_in_place (table, bucket, capacity, capacity + overhang);
  return move_pairs (table, bucket, capacity, capacity + overhang);
}

/* Twice the capacity while it is small, then between 1/8 and 3/8 more: that is
 * left to the low half of a hash, which has no say in anything else. */
static guint
grow (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash)
{
  gsize capacity = shmkv_get_capacity (bucket), overhang = bucket->overhang;

  if (capacity <= SMALL_CAPACITY)
    capacity += MAX (capacity, SHMKV_GROUP);
  else
    capacity += capacity / 8 + shmkv_scale (hash << 32, capacity / 4);
  return set_room (table, bucket, capacity, MAX (overhang, usual_overhang (capacity)));
}

/* With less capacity the end of the same array has more room. */
static gboolean
yield_capacity (ShmkvTable *table, ShmkvBucket *bucket)
{
  gsize capacity = shmkv_get_capacity (bucket), length = shmkv_get_length (bucket);
  gsize step = MAX (capacity / 32, SHMKV_GROUP);

  if (is_crammed (bucket) || capacity < 4 * step || bucket->count > capacity - step
      || bucket->overhang + step > G_MAXUINT16)
    return FALSE;
  lay_out (table, bucket, length, length, capacity - step);
  set_size (bucket, capacity - step, length);
  return TRUE;
}

/* Only what reaches beyond the capacity needs room.  Growing does not help
 * against that: a few keys of nearly the same hash would take up all memory. */
static G_GNUC_NO_INLINE guint
make_longer (ShmkvTable *table, ShmkvBucket *bucket)
{
  gsize overhang = bucket->overhang;
  guint status;

  overhang += MAX (overhang / 4, SHMKV_GROUP);
  status = set_room (table, bucket, shmkv_get_capacity (bucket), overhang);
  if (status != SHMKV_WIRE_STATUS_OK && yield_capacity (table, bucket))
    return SHMKV_WIRE_STATUS_OK;
  return status;
}

/* Down to a capacity that is smaller; unless too many pairs would be beyond it,
 * which all want to live in the same place, or there is no memory to do it. */
static void
shrink (ShmkvTable *table, ShmkvBucket *bucket, gsize capacity)
{
  gsize end = find_end (table, bucket, capacity);
  gsize length = MIN (MAX (end, capacity + usual_overhang (capacity)), shmkv_get_length (bucket));

  if (length > capacity + G_MAXUINT16)
    return;
  if (shmkv_is_large (capacity))
    shrink_in_place (table, bucket, capacity, length);
  else
    move_pairs (table, bucket, capacity, length);
}

/* -------------------------------------------------------------------- slots */

/* NULL where the only one is the one that must stay empty. */
static inline ShmkvSlot *
find_gap (const ShmkvBucket *bucket, ShmkvSlot *slot)
{
  while (slot->hash != SHMKV_EMPTY)
    slot++;
  return slot == shmkv_get_slots (bucket) + shmkv_get_length (bucket) ? NULL : slot;
}

/* A failure, as an insert tells it. */
static ShmkvTableInsert
as_insert (guint status)
{
  return status == SHMKV_WIRE_STATUS_NO_SPACE ? SHMKV_TABLE_NO_SPACE : SHMKV_TABLE_NO_MEMORY;
}

/* Sees to it that a bucket is not too full for another pair. */
static G_GNUC_NO_INLINE guint
make_wider (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash)
{
  guint status = grow (table, bucket, hash);

  if (status != SHMKV_WIRE_STATUS_OK)
    return is_crammed (bucket) ? status : SHMKV_WIRE_STATUS_OK;
  if (table->evict)
    shmkv_evict_prepare (table, bucket);
  return SHMKV_WIRE_STATUS_OK;
}

/* For a hash that is not SHMKV_EMPTY.  Once for the fast path, and once for all
 * others. */
static inline ALWAYS_INLINE ShmkvTableInsert
insert_pair (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash, guint64 value)
{
  ShmkvSlot *slot = shmkv_slots_find (table, bucket, hash), *gap;
  guint status;

  if (slot->hash == hash)
    {
      shmkv_store_slot_word (&slot->value, value);
      return SHMKV_TABLE_REPLACED;
    }

  if (bucket->count >= max_count (shmkv_get_capacity (bucket)))
    {
      status = make_wider (table, bucket, hash);
      if (status != SHMKV_WIRE_STATUS_OK)
        return as_insert (status);
      slot = shmkv_slots_find (table, bucket, hash);
    }
  while ((gap = find_gap (bucket, slot)) == NULL)
    {
      status = make_longer (table, bucket);
      if (status != SHMKV_WIRE_STATUS_OK)
        return as_insert (status);
      slot = shmkv_slots_find (table, bucket, hash);
    }

  for (; gap > slot; gap--)
    shmkv_store_slot (gap, gap[-1]);
  shmkv_store_slot (slot, (ShmkvSlot) { .hash = hash, .value = value });
  bucket->count++;
  return SHMKV_TABLE_ADDED;
}

static G_GNUC_NO_INLINE void
make_narrower (ShmkvTable *table, ShmkvBucket *bucket)
{
  if (bucket->count == 0)
    shmkv_slots_clear (table, bucket);
  else
    shrink (table, bucket, bucket->count + bucket->count * 4 / 5);
}

static inline ALWAYS_INLINE gboolean
delete_pair (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash)
{
  gsize capacity = shmkv_get_capacity (bucket);
  ShmkvSlot *slots = shmkv_get_slots (bucket);
  ShmkvSlot *slot = shmkv_slots_find (table, bucket, hash), *next;

  if (slot->hash != hash)
    return FALSE;

  for (next = slot + 1; next->hash != SHMKV_EMPTY; next++)
    {
      if (shmkv_slot_home (table, next->hash, capacity) == (gsize) (next - slots))
        break;
      shmkv_store_slot (next - 1, *next);
    }
  shmkv_store_slot_word (&next[-1].hash, SHMKV_EMPTY);
  bucket->count--;

  if (bucket->count == 0 || (bucket->count < capacity / 3 && capacity > SMALL_CAPACITY))
    make_narrower (table, bucket);
  return TRUE;
}

/* ------------------------------------ with the key whose hash is SHMKV_EMPTY */

static ShmkvTableInsert
insert_last (ShmkvTable *table, guint64 value)
{
  ShmkvTableInsert result = table->has_last ? SHMKV_TABLE_REPLACED : SHMKV_TABLE_ADDED;

  table->has_last = TRUE;
  table->last_value = value;
  return result;
}

static gboolean
delete_last (ShmkvTable *table)
{
  gboolean found = table->has_last;

  table->has_last = FALSE;
  return found;
}

ShmkvTableInsert
shmkv_slots_set (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash, guint64 value)
{
  if (G_LIKELY (hash != SHMKV_EMPTY))
    return insert_pair (table, bucket, hash, value);
  return insert_last (table, value);
}

gboolean
shmkv_slots_remove (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash)
{
  if (G_LIKELY (hash != SHMKV_EMPTY))
    return delete_pair (table, bucket, hash);
  return delete_last (table);
}

guint64 *
shmkv_slots_value (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash)
{
  ShmkvSlot *slot;

  if (hash == SHMKV_EMPTY)
    return table->has_last ? &table->last_value : NULL;
  slot = shmkv_slots_find (table, bucket, hash);
  return slot->hash == hash ? &slot->value : NULL;
}

void
shmkv_slots_squeeze (ShmkvTable *table, ShmkvBucket *bucket)
{
  gsize capacity = bucket->count + bucket->count / 8 + 1;

  if (bucket->count > 0 && capacity < shmkv_get_capacity (bucket))
    shrink (table, bucket, capacity);
}

/* --------------------------------------------------------------- operations */

ShmkvTablePlace
shmkv_table_locate (const ShmkvTable *table, guint64 key)
{
  return shmkv_plain_locate (table, key);
}

ShmkvTablePlace
shmkv_table_locate_key (const ShmkvTable *table, const ShmkvField *key)
{
  guint64 hash = shmkv_hash_key (&table->hash, key);

  return (ShmkvTablePlace) { .hash = hash, .bucket = shmkv_scale (hash, table->hash.n_buckets) };
}

/* The lock is a pointer to the C library's. */
void
shmkv_table_prefetch (const ShmkvTable *table, const ShmkvTablePlace *place)
{
  const ShmkvBucket *bucket = &table->buckets[place->bucket];
  const ShmkvObjects *objects = shmkv_get_objects (bucket);

  __builtin_prefetch (bucket->lock.p, TRUE);
  shmkv_plain_prefetch_slots (table, place);
  if (objects != NULL)
    __builtin_prefetch (objects);
}

/* Whether an object has the key of that place, an integer. */
static gboolean
has_object (const ShmkvTable *table, const ShmkvBucket *bucket, guint64 hash)
{
  const ShmkvObjects *objects = shmkv_get_objects (bucket);
  ShmkvField key = { .kind = SHMKV_WIRE_KIND_INTEGER };

  if (objects == NULL || objects->count == 0)
    return FALSE;
  key.integer = shmkv_unhash_integer (&table->hash, hash);
  return shmkv_objects_find (objects, shmkv_hash_tag (&table->hash, hash), &key) != NULL;
}

static void
tell_of_integer (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash, guint change)
{
  ShmkvField key = { .kind = SHMKV_WIRE_KIND_INTEGER,
                     .integer = shmkv_unhash_integer (&table->hash, hash) };

  shmkv_tell (table, bucket, &key, change);
}

/* As a command: in all cases. */
static ShmkvTableInsert
insert_by_command (ShmkvTable *table, const ShmkvTablePlace *place, guint64 value)
{
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_INSERT,
    .place = *place,
    .key = { .kind = SHMKV_WIRE_KIND_INTEGER,
             .integer = shmkv_unhash_integer (&table->hash, place->hash) },
    .value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = value },
  };
  ShmkvTableAnswer answer;

  shmkv_table_apply (table, &command, &answer);
  if (answer.status == SHMKV_WIRE_STATUS_ADDED)
    return SHMKV_TABLE_ADDED;
  return answer.status == SHMKV_WIRE_STATUS_REPLACED ? SHMKV_TABLE_REPLACED
                                                     : as_insert (answer.status);
}

/* More than an insert tells: there is an object to replace. */
#define INSERT_BY_COMMAND (SHMKV_TABLE_NO_SPACE + 1)

/* The rest of an insert, where there is more to it. */
static G_GNUC_NO_INLINE guint
insert_among_others (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash, guint64 value)
{
  guint result;

  if (has_object (table, bucket, hash))
    return INSERT_BY_COMMAND;
  result = shmkv_slots_set (table, bucket, hash, value);
  if (result > SHMKV_TABLE_REPLACED)
    return result;
  if (result == SHMKV_TABLE_REPLACED)
    shmkv_note_use (table, bucket, hash);
  if (shmkv_is_observed (table, bucket))
    tell_of_integer (table, bucket, hash, SHMKV_WIRE_CHANGE_SET);
  return result;
}

static G_GNUC_NO_INLINE ShmkvTableInsert
insert_again (ShmkvTable *table, const ShmkvTablePlace *place, guint64 value, guint result)
{
  if (result == INSERT_BY_COMMAND || (result == SHMKV_TABLE_NO_SPACE && table->evict))
    return insert_by_command (table, place, value);
  return result;
}

ShmkvTableInsert
shmkv_table_insert (ShmkvTable *table, const ShmkvTablePlace *place, guint64 value)
{
  ShmkvBucket *bucket = &table->buckets[place->bucket];
  guint64 hash = place->hash;
  guint result;

  shmkv_lock_to_write (bucket);
  if (G_LIKELY (shmkv_is_simple (bucket, hash) && !shmkv_is_observed (table, bucket)))
    result = insert_pair (table, bucket, hash, value);
  else
    result = insert_among_others (table, bucket, hash, value);
  shmkv_unlock_to_write (bucket);
  return G_LIKELY (result <= SHMKV_TABLE_REPLACED) ? result
                                                   : insert_again (table, place, value, result);
}

static ShmkvTableRead
read_object (const ShmkvTable *table, const ShmkvObjects *objects, guint64 hash,
             guint64 *value_out)
{
  ShmkvField key = { .kind = SHMKV_WIRE_KIND_INTEGER,
                     .integer = shmkv_unhash_integer (&table->hash, hash) };
  ShmkvContents contents;
  const guint64 *word;

  word = shmkv_objects_find (objects, shmkv_hash_tag (&table->hash, hash), &key);
  if (word == NULL)
    return SHMKV_TABLE_ABSENT;
  shmkv_object_get (shmkv_word_object (*word), &contents);
  if (contents.expiry != 0 && contents.expiry <= shmkv_now_ms (table))
    return SHMKV_TABLE_ABSENT;
  if (contents.value.kind != SHMKV_WIRE_KIND_INTEGER)
    return SHMKV_TABLE_OTHER;
  *value_out = contents.value.integer;
  return SHMKV_TABLE_FOUND;
}

/* A read where there is more to it. */
static G_GNUC_NO_INLINE ShmkvTableRead
read_among_others (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash, guint64 *value_out)
{
  const guint64 *value = shmkv_slots_value (table, bucket, hash);
  const ShmkvObjects *objects = shmkv_get_objects (bucket);
  ShmkvTableRead found = SHMKV_TABLE_ABSENT;

  if (value != NULL)
    {
      found = SHMKV_TABLE_FOUND;
      *value_out = *value;
    }
  else if (objects != NULL && objects->count > 0)
    found = read_object (table, objects, hash, value_out);
  if (found != SHMKV_TABLE_ABSENT)
    shmkv_note_use (table, bucket, hash);
  return found;
}

ShmkvTableRead
shmkv_table_read (ShmkvTable *table, const ShmkvTablePlace *place, guint64 *value_out)
{
  ShmkvBucket *bucket = &table->buckets[place->bucket];
  guint64 hash = place->hash;
  ShmkvTableRead found;

  shmkv_lock_to_read (bucket);
  if (G_LIKELY (shmkv_is_simple (bucket, hash)))
    {
      const ShmkvSlot *slot = shmkv_slots_find (table, bucket, hash);

      found = slot->hash == hash ? SHMKV_TABLE_FOUND : SHMKV_TABLE_ABSENT;
      if (found == SHMKV_TABLE_FOUND)
        *value_out = slot->value;
    }
  else
    found = read_among_others (table, bucket, hash, value_out);
  shmkv_unlock_to_read (bucket);
  return found;
}

static gboolean
delete_by_command (ShmkvTable *table, const ShmkvTablePlace *place)
{
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_DELETE,
    .place = *place,
    .key = { .kind = SHMKV_WIRE_KIND_INTEGER,
             .integer = shmkv_unhash_integer (&table->hash, place->hash) },
  };
  ShmkvTableAnswer answer;

  shmkv_table_apply (table, &command, &answer);
  return answer.status == SHMKV_WIRE_STATUS_OK;
}

/* Where no object has the key. */
static G_GNUC_NO_INLINE gboolean
delete_among_others (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash)
{
  gboolean found = shmkv_slots_remove (table, bucket, hash);

  if (!found)
    return FALSE;
  shmkv_bucket_tidy (table, bucket);
  if (shmkv_is_observed (table, bucket))
    tell_of_integer (table, bucket, hash, SHMKV_WIRE_CHANGE_DELETED);
  return TRUE;
}

gboolean
shmkv_table_delete (ShmkvTable *table, const ShmkvTablePlace *place)
{
  ShmkvBucket *bucket = &table->buckets[place->bucket];
  guint64 hash = place->hash;
  gboolean found, by_command = FALSE;

  shmkv_lock_to_write (bucket);
  if (G_LIKELY (shmkv_is_simple (bucket, hash) && !shmkv_is_observed (table, bucket)))
    found = delete_pair (table, bucket, hash);
  else
    {
      by_command = has_object (table, bucket, hash);
      found = !by_command && delete_among_others (table, bucket, hash);
    }
  shmkv_unlock_to_write (bucket);
  return G_UNLIKELY (by_command) ? delete_by_command (table, place) : found;
}

/* ------------------------------------------------------------- observation */

void
shmkv_table_set_changed (ShmkvTable *table, ShmkvTableChanged changed, gpointer data)
{
  table->changed = changed;
  table->changed_data = data;
}

void
shmkv_table_observe_bucket (ShmkvTable *table, guint bucket_index, gboolean observe)
{
  ShmkvBucket *bucket = &table->buckets[bucket_index];

  shmkv_lock_to_write (bucket);
  bucket->observers += observe ? 1 : -1;
  shmkv_unlock_to_write (bucket);
}

void
shmkv_table_observe_all (ShmkvTable *table, gboolean observe)
{
  /* relaxed: see shmkv_is_observed() */
  atomic_fetch_add_explicit (&table->observers, observe ? 1 : -1, memory_order_relaxed);
}

void
shmkv_tell (ShmkvTable *table, ShmkvBucket *bucket, const ShmkvField *key, guint change)
{
  if (shmkv_is_observed (table, bucket) && table->changed != NULL)
    table->changed (table->changed_data, shmkv_bucket_index (table, bucket), key, change);
}

/* -------------------------------------------------------------- whole buckets */

/* Whether a step from `begin` on that has looked at `n` keys so far goes on. */
static gboolean
step_goes_on (const ShmkvTable *table, guint begin, guint bucket, gsize n)
{
  return bucket < table->hash.n_buckets && bucket - begin < STEP_BUCKETS && n < STEP_KEYS;
}

/* How much a bucket is to look at, also what has expired.  Under its lock. */
static gsize
count_all (const ShmkvBucket *bucket)
{
  const ShmkvObjects *objects = shmkv_get_objects (bucket);

  return bucket->count + (objects != NULL ? objects->count : 0);
}

gboolean
shmkv_table_count_step (ShmkvTable *table, guint *bucket, guint64 *n)
{
  guint begin = *bucket;
  gsize seen = 0;

  for (; step_goes_on (table, begin, *bucket, seen); (*bucket)++)
    {
      ShmkvBucket *next = &table->buckets[*bucket];

      shmkv_lock_to_read (next);
      *n += shmkv_bucket_count (table, next);
      seen += count_all (next);
      shmkv_unlock_to_read (next);
    }
  return *bucket >= table->hash.n_buckets;
}

gboolean
shmkv_table_clear_step (ShmkvTable *table, guint *bucket, guint64 *n)
{
  guint begin = *bucket;
  gsize seen = 0;

  for (; step_goes_on (table, begin, *bucket, seen); (*bucket)++)
    {
      ShmkvBucket *next = &table->buckets[*bucket];

      shmkv_lock_to_write (next);
      *n += shmkv_bucket_count (table, next);
      seen += count_all (next);
      shmkv_bucket_clear (table, next);
      shmkv_unlock_to_write (next);
    }
  return *bucket >= table->hash.n_buckets;
}

gboolean
shmkv_table_stats_step (ShmkvTable *table, guint *bucket, ShmkvTableStats *stats)
{
  guint begin = *bucket;
  gsize seen = 0;

  for (; step_goes_on (table, begin, *bucket, seen); (*bucket)++)
    {
      ShmkvBucket *next = &table->buckets[*bucket];
      guint64 count;

      shmkv_lock_to_read (next);
      count = shmkv_bucket_count (table, next);
      seen += count_all (next);
      shmkv_unlock_to_read (next);
      stats->keys += count;
      stats->longest_bucket = MAX (stats->longest_bucket, count);
    }
  stats->memory = shmkv_memory_used (&table->memory);
  /* relaxed: they tell of nothing else */
  stats->expired = atomic_load_explicit (&table->n_expired, memory_order_relaxed);
  stats->evicted = atomic_load_explicit (&table->n_evicted, memory_order_relaxed);
  return *bucket >= table->hash.n_buckets;
}

void
shmkv_table_get_stats (ShmkvTable *table, ShmkvTableStats *stats_out)
{
  guint bucket = 0;

  *stats_out = (ShmkvTableStats) { 0 };
  while (!shmkv_table_stats_step (table, &bucket, stats_out))
    ;
}

/* glibc only gives back what is at the end of its heap, where something always
 * is; the rest when it is asked to. */
gboolean
shmkv_table_trim (ShmkvTable *table)
{
  gsize size = shmkv_memory_used (&table->memory) - shmkv_table_empty_size (table->hash.n_buckets);

  table->largest_size = MAX (table->largest_size, size);
  if (table->largest_size - size < MAX (MIN_TRIMMED, size))
    return FALSE;

  table->largest_size = size;
#ifdef __GLIBC__
  malloc_trim (0);
#endif
  return TRUE;
}

/* ------------------------------------------------------------------ waiting */

/* See "Locks" above. */
void
shmkv_wait_to_write (ShmkvBucket *bucket)
{
  g_mutex_lock (&bucket->turn);
  /* relaxed: who misses the hint overtakes us once more, and that is all */
  atomic_store_explicit (&bucket->waiting, TRUE, memory_order_relaxed);
  g_rw_lock_writer_lock (&bucket->lock);
  atomic_store_explicit (&bucket->waiting, FALSE, memory_order_relaxed);
  g_mutex_unlock (&bucket->turn);
}

/* ---------------------------------------------------------------- the table */

static gint64
read_clock (void)
{
  struct timespec time;

  clock_gettime (CLOCK_BOOTTIME, &time);
  return (gint64) time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void
init_bucket (ShmkvBucket *bucket)
{
  memset (bucket, 0, sizeof *bucket);
  g_rw_lock_init (&bucket->lock);
  g_mutex_init (&bucket->turn);
  set_slots (bucket, no_slots);
  shmkv_set_due (bucket, SHMKV_NEVER_DUE);
}

static void
free_bucket (ShmkvTable *table, ShmkvBucket *bucket)
{
  bucket->observers = 0;
  shmkv_bucket_clear (table, bucket);
  g_mutex_clear (&bucket->turn);
  g_rw_lock_clear (&bucket->lock);
}

guint64
shmkv_table_empty_size (guint n_buckets)
{
  return sizeof (ShmkvTable) + n_buckets * (guint64) sizeof (ShmkvBucket);
}

static void
init_hash (ShmkvHash *hash, guint n_buckets, guint64 seed)
{
  hash->n_buckets = n_buckets;
  hash->seeds[0] = shmkv_mix (seed, SHMKV_MULTIPLIER_2);
  hash->seeds[1] = shmkv_mix (~seed, SHMKV_MULTIPLIER_2);
  hash->bytes_seed = shmkv_mix (seed, SHMKV_MULTIPLIER_1);
}

ShmkvTable *
shmkv_table_new (const ShmkvTableOptions *options)
{
  guint n_buckets = options->n_buckets;
  gsize size = shmkv_table_empty_size (n_buckets);
  ShmkvTable *table;

  g_return_val_if_fail (n_buckets >= SHMKV_TABLE_MIN_BUCKETS, NULL);
  g_return_val_if_fail (n_buckets <= SHMKV_TABLE_MAX_BUCKETS, NULL);

  if (options->max_memory != 0 && size > options->max_memory)
    return NULL;
  table = aligned_alloc (SHMKV_CACHE_LINE, sizeof *table);
  if (table == NULL)
    return NULL;
  memset (table, 0, sizeof *table);
  table->buckets = aligned_alloc (SHMKV_CACHE_LINE, n_buckets * sizeof (ShmkvBucket));
  if (table->buckets == NULL)
    {
      free (table);
      return NULL;
    }

  init_hash (&table->hash, n_buckets, options->seed);
  table->memory.max = options->max_memory != 0 ? options->max_memory : G_MAXSIZE;
  table->memory.shortage = G_MAXSIZE;
  shmkv_memory_take (&table->memory, size);
  table->evict = options->evict && options->max_memory != 0;
  table->memory.evicts = table->evict;
  table->clock = read_clock;
  shmkv_reclaim_init (&table->reclaim);
  for (guint i = 0; i < n_buckets; i++)
    init_bucket (&table->buckets[i]);
  return table;
}

void
shmkv_table_free (ShmkvTable *table)
{
  table->changed = NULL;
  for (guint64 i = 0; i < table->hash.n_buckets; i++)
    free_bucket (table, &table->buckets[i]);
  shmkv_reclaim_clear (&table->reclaim);
  free (table->buckets);
  free (table);
}

ShmkvReader *
shmkv_table_add_reader (ShmkvTable *table)
{
  return shmkv_reader_new (&table->reclaim);
}

void
shmkv_table_reclaim (ShmkvTable *table)
{
  shmkv_reclaim_run (&table->reclaim);
}

guint
shmkv_table_get_n_buckets (const ShmkvTable *table)
{
  return table->hash.n_buckets;
}

/* ------------------------------------------------------------------- testing */

guint64
shmkv_table_key_at (const ShmkvTable *table, guint64 hash)
{
  return shmkv_unhash_integer (&table->hash, hash);
}

void
shmkv_table_limit_slots (ShmkvTable *table, gsize bytes)
{
  gsize size = shmkv_table_empty_size (table->hash.n_buckets);

  table->memory.shortage = bytes > G_MAXSIZE - size ? G_MAXSIZE : size + bytes;
}

void
shmkv_table_set_clock (ShmkvTable *table, ShmkvTableClock clock)
{
  table->clock = clock;
}

static const char *
check_slots (const ShmkvTable *table, const ShmkvBucket *bucket)
{
  const ShmkvSlot *slots = shmkv_get_slots (bucket);
  gsize capacity = shmkv_get_capacity (bucket), next = 0, n = 0;
  guint64 previous = 0;

  for (gsize i = 0; i < shmkv_get_length (bucket); i++)
    {
      guint64 hash = slots[i].hash;

      if (hash == SHMKV_EMPTY)
        continue;
      if (shmkv_scale (hash, table->hash.n_buckets) != shmkv_bucket_index (table, bucket))
        return "a key is in a bucket that is not its own";
      if (n > 0 && hash <= previous)
        return "the hashes are out of order";
      if (i != MAX (next, shmkv_slot_home (table, hash, capacity)))
        return "a pair is neither at home nor right behind another";
      if (has_object (table, bucket, hash))
        return "a key is plain and an object";
      previous = hash;
      next = i + 1;
      n++;
    }
  return n == bucket->count ? NULL : "the count is wrong";
}

static const char *
check_room (const ShmkvTable *table, const ShmkvBucket *bucket)
{
  gsize capacity = shmkv_get_capacity (bucket), length = shmkv_get_length (bucket);
  gboolean limited = table->memory.max != G_MAXSIZE || table->memory.shortage != G_MAXSIZE;

  if ((bucket->count == 0) != (shmkv_get_slots (bucket) == no_slots))
    return "slots without a key, or none with one";
  if (shmkv_get_slots (bucket)[length].hash != SHMKV_EMPTY)
    return "the last slot is not empty";
  if (length == 0)
    return capacity == 0 ? NULL : "a capacity without slots";
  if (length < capacity + SHMKV_GROUP)
    return "too short for its capacity";
  if (bucket->count > max_count (capacity) && !limited)
    return "too full";
  if (bucket->count < capacity / 3 && capacity > 2 * SMALL_CAPACITY)
    return "too empty";
  return NULL;
}

const char *
shmkv_table_check_bucket (ShmkvTable *table, guint bucket_index)
{
  ShmkvBucket *bucket = &table->buckets[bucket_index];
  const char *fault;

  shmkv_lock_to_read (bucket);
  fault = check_room (table, bucket);
  if (fault == NULL)
    fault = check_slots (table, bucket);
  if (fault == NULL && shmkv_get_objects (bucket) != NULL)
    fault = shmkv_bucket_check_objects (table, bucket);
  shmkv_unlock_to_read (bucket);
  return fault;
}

gsize
shmkv_table_longest_way (ShmkvTable *table, guint bucket_index)
{
  ShmkvBucket *bucket = &table->buckets[bucket_index];
  const ShmkvSlot *slots;
  gsize longest = 0;

  shmkv_lock_to_read (bucket);
  slots = shmkv_get_slots (bucket);
  for (gsize i = 0; i < shmkv_get_length (bucket); i++)
    if (slots[i].hash != SHMKV_EMPTY)
      longest = MAX (longest,
                     i - shmkv_slot_home (table, slots[i].hash, shmkv_get_capacity (bucket)));
  if (shmkv_get_objects (bucket) != NULL)
    longest = MAX (longest, shmkv_objects_longest_way (shmkv_get_objects (bucket)));
  shmkv_unlock_to_read (bucket);
  return longest;
}

gboolean
shmkv_table_check_memory (ShmkvTable *table)
{
  gsize size = shmkv_table_empty_size (table->hash.n_buckets);

  for (guint64 i = 0; i < table->hash.n_buckets; i++)
    size += shmkv_bucket_size (&table->buckets[i]);
  return size == shmkv_memory_used (&table->memory);
}
