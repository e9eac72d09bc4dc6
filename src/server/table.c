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
 * one that is less than a third full gives up what it has too much.  In both
 * cases the pairs are gathered at the array's end, then dealt out to their new
 * places from the front: two sequential passes in the array itself, so that the
 * greatest buckets never exist twice.  How much is taken differs from bucket to
 * bucket.  With good hashing all buckets fill alike, and they would otherwise
 * all grow at the same moment: a stall, and a peak of memory.
 *
 * Memory.  Thousands of arrays that outgrow their places leave as many holes.
 * The pages of an array are given back to the kernel before it is freed, so
 * that a large hole costs addresses and no memory; very large arrays move by
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
 * Locks.  Whatever a bucket has is read under its GRWLock and written under the
 * writer's side of it, but for three fields that are atomic because
 * shmkv_table_prefetch_slot() peeks at them, and the notes of what was used.
 * No thread ever holds two buckets' locks.  Where the C library lets readers
 * overtake a waiting writer, as glibc does, a writer might wait for ever while
 * readers overlap.  So one that finds the lock taken holds the bucket's `turn`
 * while it waits, and says so in `waiting`; readers that come now queue for
 * `turn` first.  Those before it finish, the writer is next, and whoever has
 * `turn` never has to wait for somebody who wants it.  Readers cannot starve
 * either: they let one writer pass, and are then waiting for the lock
 * themselves. */

#include "config.h"

#include "server/bucket.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALWAYS_INLINE __attribute__ ((always_inline))

/* A bucket this small only shrinks when its last key goes. */
#define SMALL_CAPACITY 16u

/* From this size on glibc's malloc() maps an array by itself, and realloc()
 * moves the pages instead of copying. */
#define LARGE_ARRAY (128u * 1024)

/* Less is not worth a search for it: see shmkv_table_trim(). */
#define MIN_TRIMMED (16u * 1024 * 1024)

/* A step through the table ends after so many buckets, or keys. */
#define STEP_BUCKETS 512u
#define STEP_KEYS 1024u

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
  atomic_store_explicit (&bucket->capacity, capacity, memory_order_relaxed);
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

static ShmkvSlot *
extend_array (ShmkvSlot *old, gsize old_size, gsize size)
{
  ShmkvSlot *slots;

  if (old_size >= LARGE_ARRAY)
    return realloc (old, size);

  slots = malloc (size);
  if (slots == NULL || old_size == 0)
    return slots;
  memcpy (slots, old, old_size);
  shmkv_memory_discard (old, old_size);
  free (old);
  return slots;
}

/* Makes the array longer, and leaves the rest to lay_out().  OK, or NO_MEMORY or
 * NO_SPACE and nothing changed. */
static guint
extend_bucket (ShmkvTable *table, ShmkvBucket *bucket, gsize length)
{
  gsize old_size = shmkv_slots_size (bucket), size = array_size (length);
  guint status = shmkv_memory_take (&table->memory, size - old_size);
  ShmkvSlot *slots;

  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  slots = extend_array (shmkv_get_slots (bucket), old_size, size);
  if (slots == NULL)
    {
      shmkv_memory_give (&table->memory, size - old_size);
      return SHMKV_WIRE_STATUS_NO_MEMORY;
    }
  set_slots (bucket, slots);
  return SHMKV_WIRE_STATUS_OK;
}

/* Cannot fail: at worst the array remains, and its end is not used. */
static void
trim_bucket (ShmkvTable *table, ShmkvBucket *bucket, gsize old_length, gsize length)
{
  gsize old_size = array_size (old_length), size = array_size (length);
  ShmkvSlot *old = shmkv_get_slots (bucket), *slots;

  shmkv_memory_discard (old + length + 1, old_size - size);
  slots = realloc (old, size);
  set_slots (bucket, slots != NULL ? slots : old);
  shmkv_memory_give (&table->memory, old_size - size);
}

void
shmkv_slots_clear (ShmkvTable *table, ShmkvBucket *bucket)
{
  gsize size = shmkv_slots_size (bucket);
  ShmkvSlot *slots = shmkv_get_slots (bucket);

  if (size == 0)
    return;
  set_slots (bucket, no_slots);
  set_size (bucket, 0, 0);
  bucket->count = 0;
  shmkv_memory_discard (slots, size);
  free (slots);
  shmkv_memory_give (&table->memory, size);
}

/* Moves the pairs among the first `old_length` slots to the end of the first
 * `length`, and returns the first one's index.  What is copied without need, an
 * empty slot, is overwritten by the next pair: cheaper than to foresee it. */
static gsize
gather (ShmkvSlot *slots, gsize old_length, gsize length)
{
  gsize to = length;

  for (gsize from = old_length; from-- > 0;)
    {
      slots[to - 1] = slots[from];
      to -= slots[from].hash != SHMKV_EMPTY;
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

  memset (slots, 0xff, from * sizeof (ShmkvSlot));
  slots[length].hash = SHMKV_EMPTY;
  for (; from < length; from++)
    {
      ShmkvSlot slot = slots[from];

      slots[from].hash = SHMKV_EMPTY;
      next = MAX (next, shmkv_slot_home (table, slot.hash, capacity));
      slots[next++] = slot;
    }
  return next;
}

static guint
set_room (ShmkvTable *table, ShmkvBucket *bucket, gsize capacity, gsize overhang)
{
  gsize old_length = shmkv_get_length (bucket), length = capacity + overhang;
  guint status = SHMKV_WIRE_STATUS_NO_MEMORY;

  if (capacity <= G_MAXUINT32 && overhang <= G_MAXUINT16)
    status = extend_bucket (table, bucket, length);
  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  lay_out (table, bucket, old_length, length, capacity);
  set_size (bucket, capacity, length);
  return SHMKV_WIRE_STATUS_OK;
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
 * which all want to live in the same place. */
static void
shrink (ShmkvTable *table, ShmkvBucket *bucket, gsize capacity)
{
  gsize old_length = shmkv_get_length (bucket);
  gsize end = lay_out (table, bucket, old_length, old_length, capacity);
  gsize length = MIN (MAX (end, capacity + usual_overhang (capacity)), old_length);

  if (length > capacity + G_MAXUINT16)
    {
      lay_out (table, bucket, old_length, old_length, shmkv_get_capacity (bucket));
      return;
    }
  if (length < old_length)
    trim_bucket (table, bucket, old_length, length);
  set_size (bucket, capacity, length);
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
      slot->value = value;
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

  memmove (slot + 1, slot, (gap - slot) * sizeof (ShmkvSlot));
  *slot = (ShmkvSlot) { .hash = hash, .value = value };
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
    if (shmkv_slot_home (table, next->hash, capacity) == (gsize) (next - slots))
      break;
  memmove (slot, slot + 1, (next - slot - 1) * sizeof (ShmkvSlot));
  next[-1].hash = SHMKV_EMPTY;
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
  guint64 hash = shmkv_hash_integer (&table->hash, key);

  return (ShmkvTablePlace) { .hash = hash, .bucket = shmkv_scale (hash, table->hash.n_buckets) };
}

ShmkvTablePlace
shmkv_table_locate_key (const ShmkvTable *table, const ShmkvField *key)
{
  guint64 hash = shmkv_hash_key (&table->hash, key);

  return (ShmkvTablePlace) { .hash = hash, .bucket = shmkv_scale (hash, table->hash.n_buckets) };
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
  const ShmkvBucket *bucket = &table->buckets[place->bucket];
  gsize home = shmkv_slot_home (table, place->hash, shmkv_get_capacity (bucket));
  guintptr slot = (guintptr) shmkv_get_slots (bucket) + home * sizeof (ShmkvSlot);
  const ShmkvObjects *objects = shmkv_get_objects (bucket);

  __builtin_prefetch (bucket->lock.p, TRUE);
  __builtin_prefetch ((gconstpointer) slot);
  __builtin_prefetch ((gconstpointer) (slot + (SHMKV_GROUP - 1) * sizeof (ShmkvSlot)));
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

/* Whether all there is to it are the slots. */
static inline gboolean
is_simple (const ShmkvBucket *bucket, guint64 hash)
{
  return shmkv_get_objects (bucket) == NULL && hash != SHMKV_EMPTY;
}

ShmkvTableInsert
shmkv_table_insert (ShmkvTable *table, const ShmkvTablePlace *place, guint64 value)
{
  ShmkvBucket *bucket = &table->buckets[place->bucket];
  guint64 hash = place->hash;
  guint result;

  shmkv_lock_to_write (bucket);
  if (G_LIKELY (is_simple (bucket, hash) && !shmkv_is_observed (table, bucket)))
    result = insert_pair (table, bucket, hash, value);
  else
    result = insert_among_others (table, bucket, hash, value);
  g_rw_lock_writer_unlock (&bucket->lock);
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
  if (G_LIKELY (is_simple (bucket, hash)))
    {
      const ShmkvSlot *slot = shmkv_slots_find (table, bucket, hash);

      found = slot->hash == hash ? SHMKV_TABLE_FOUND : SHMKV_TABLE_ABSENT;
      if (found == SHMKV_TABLE_FOUND)
        *value_out = slot->value;
    }
  else
    found = read_among_others (table, bucket, hash, value_out);
  g_rw_lock_reader_unlock (&bucket->lock);
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
  if (G_LIKELY (is_simple (bucket, hash) && !shmkv_is_observed (table, bucket)))
    found = delete_pair (table, bucket, hash);
  else
    {
      by_command = has_object (table, bucket, hash);
      found = !by_command && delete_among_others (table, bucket, hash);
    }
  g_rw_lock_writer_unlock (&bucket->lock);
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
  g_rw_lock_writer_unlock (&bucket->lock);
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
      g_rw_lock_reader_unlock (&next->lock);
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
      g_rw_lock_writer_unlock (&next->lock);
    }
  return *bucket >= table->hash.n_buckets;
}

void
shmkv_table_get_stats (ShmkvTable *table, ShmkvTableStats *stats_out)
{
  ShmkvTableStats stats = { .memory = shmkv_memory_used (&table->memory) };

  for (guint64 i = 0; i < table->hash.n_buckets; i++)
    {
      ShmkvBucket *bucket = &table->buckets[i];
      guint64 count;

      shmkv_lock_to_read (bucket);
      count = shmkv_bucket_count (table, bucket);
      g_rw_lock_reader_unlock (&bucket->lock);
      stats.keys += count;
      stats.longest_bucket = MAX (stats.longest_bucket, count);
    }
  /* relaxed: they tell of nothing else */
  stats.expired = atomic_load_explicit (&table->n_expired, memory_order_relaxed);
  stats.evicted = atomic_load_explicit (&table->n_evicted, memory_order_relaxed);
  *stats_out = stats;
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
  free (table->buckets);
  free (table);
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
  g_rw_lock_reader_unlock (&bucket->lock);
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
  g_rw_lock_reader_unlock (&bucket->lock);
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
