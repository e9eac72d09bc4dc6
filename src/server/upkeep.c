/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How the table gets rid of keys by itself: of those that have expired, and, at
 * its memory limit, of those that were not used for long. */

#include "config.h"

#include "server/bucket.h"

#include <stdlib.h>

/* Buckets that a sweep looks at, objects under one lock, and objects in all that
 * need not be removed. */
#define SWEEP_BUCKETS (1u << 18)
#define SWEEP_OBJECTS 1024u
#define SWEEP_IN_VAIN (1u << 16)

/* Buckets that make room for another one's key, at most; and how often the hand
 * comes to places in each where there is nothing to evict. */
#define EVICT_BUCKETS 256u
#define EVICT_MISSES 4096u

/* Each time that nothing was found both become half as many, so often; buckets
 * that are empty do not count. */
#define EVICT_MAX_VAIN 8u

/* Plain pairs that are removed at once. */
#define EVICT_PLAIN 16u

/* -------------------------------------------------------------------- sweep */

/* Where a sweep is, and how much more it may do. */
typedef struct
{
  ShmkvTable *table;
  ShmkvBucket *bucket;
  guint tag;                        /* from here on; SHMKV_N_TAGS: it is through */
  gint64 now;
  guint n_left;                     /* objects that it may find without having to remove them */
} Sweep;

/* Removes an object, or notes when it will have to be. */
static gboolean
sweep_object (Sweep *sweep, const guint64 *word)
{
  ShmkvContents contents;

  shmkv_object_get (shmkv_word_object (*word), &contents);
  if (contents.expiry != 0 && contents.expiry <= sweep->now)
    {
      shmkv_bucket_remove_object (sweep->table, sweep->bucket, (guint64 *) word,
                                  SHMKV_WIRE_CHANGE_EXPIRED);
      return TRUE;
    }
  if (contents.expiry != 0)
    shmkv_set_due (sweep->bucket,
                   MIN (shmkv_get_due (sweep->bucket), shmkv_due_time (contents.expiry)));
  sweep->n_left -= sweep->n_left > 0;
  return FALSE;
}

/* Some objects, under one lock; all that have a tag in common. */
static void
sweep_some (Sweep *sweep)
{
  const ShmkvObjects *objects = shmkv_get_objects (sweep->bucket);
  const guint64 *word = objects == NULL ? NULL : shmkv_objects_from (objects, sweep->tag);

  for (guint n = 0; objects != NULL && objects->count > 0;)
    {
      if (word == objects->words + objects->length)
        break;
      if (*word == SHMKV_EMPTY_WORD)
        {
          word++;
          continue;
        }
      if (n++ >= SWEEP_OBJECTS && shmkv_word_tag (*word) != sweep->tag)
        {
          sweep->tag = shmkv_word_tag (*word);
          return;
        }
      sweep->tag = shmkv_word_tag (*word);
      if (sweep_object (sweep, word))
        word = shmkv_objects_from (objects, sweep->tag);
      else
        word++;
    }
  sweep->tag = SHMKV_N_TAGS;
}

/* Where it ends before it is through, the bucket remains due. */
/* Under the bucket's lock; NULL: none is. */
static void
set_swept (ShmkvTable *table, const ShmkvBucket *bucket)
{
  /* relaxed: who asks for the bucket has its lock */
  atomic_store_explicit (&table->sweeping, bucket, memory_order_relaxed);
}

static void
sweep_bucket (Sweep *sweep)
{
  ShmkvBucket *bucket = sweep->bucket;

  shmkv_lock_to_write (bucket);
  set_swept (sweep->table, bucket);
  if (sweep->tag == 0)
    shmkv_set_due (bucket, SHMKV_NEVER_DUE);
  for (;;)
    {
      sweep_some (sweep);
      if (sweep->tag == SHMKV_N_TAGS || sweep->n_left == 0)
        break;
      shmkv_unlock_to_write (bucket);
      shmkv_lock_to_write (bucket);
    }
  if (sweep->tag != SHMKV_N_TAGS)
    shmkv_set_due (bucket, shmkv_due_time (sweep->now));
  set_swept (sweep->table, NULL);
  shmkv_bucket_tidy (sweep->table, bucket);
  shmkv_unlock_to_write (bucket);
}

/* Few of the objects in a bucket may be due, while others are all the time: it
 * is how many are looked at in vain that is limited. */
void
shmkv_table_sweep (ShmkvTable *table)
{
  guint64 n = MIN (table->hash.n_buckets, SWEEP_BUCKETS);
  Sweep sweep = { .table = table, .n_left = SWEEP_IN_VAIN };

  /* relaxed: one that is missed is found the next time */
  if (atomic_load_explicit (&table->n_expiring, memory_order_relaxed) == 0)
    return;
  sweep.now = shmkv_now_ms (table);
  for (guint64 i = 0; i < n && sweep.n_left > 0; i++)
    {
      sweep.bucket = &table->buckets[table->sweep_bucket];
      sweep.tag = table->sweep_tag;
      if (shmkv_get_due (sweep.bucket) <= shmkv_due_time (sweep.now))
        sweep_bucket (&sweep);
      else
        sweep.tag = SHMKV_N_TAGS;
      table->sweep_tag = sweep.tag % SHMKV_N_TAGS;
      if (sweep.tag == SHMKV_N_TAGS)
        table->sweep_bucket = (table->sweep_bucket + 1) % table->hash.n_buckets;
    }
}

/* ----------------------------------------------------------------- eviction */

/* How often in a row nothing was found: where all keys are those of sessions, who
 * inserts one is not to look at thousands of them each time.  The hands go on
 * where they were, so that the table is passed all the same. */
static guint
get_vain (const ShmkvTable *table)
{
  /* relaxed: a hint */
  return atomic_load_explicit (&table->vain, memory_order_relaxed);
}

static void
set_vain (ShmkvTable *table, guint vain)
{
  /* relaxed: the same */
  if (get_vain (table) != vain)
    atomic_store_explicit (&table->vain, vain, memory_order_relaxed);
}

static gboolean
get_bit (const ShmkvObjects *objects, gsize bit)
{
  /* relaxed: the lock orders it */
  return (atomic_load_explicit (&objects->used[bit / 64], memory_order_relaxed) >> bit % 64 & 1)
         != 0;
}

static void
set_bit (_Atomic guint64 *words, gsize bit, gboolean value)
{
  guint64 mask = G_GUINT64_CONSTANT (1) << bit % 64;
  /* relaxed: the same */
  guint64 word = atomic_load_explicit (&words[bit / 64], memory_order_relaxed);

  atomic_store_explicit (&words[bit / 64], value ? word | mask : word & ~mask,
                         memory_order_relaxed);
}

static gsize
wanted_bits (const ShmkvBucket *bucket)
{
  gsize n = shmkv_get_capacity (bucket) + shmkv_get_objects (bucket)->capacity;

  return CLAMP ((n + 63) & ~(gsize) 63, 64, SHMKV_N_TAGS);
}

/* What is known goes on to be known, as far as bits have the same pairs. */
void
shmkv_evict_prepare (ShmkvTable *table, ShmkvBucket *bucket)
{
  ShmkvObjects *objects;
  _Atomic guint64 *used;
  guint status;
  gsize n;

  objects = shmkv_bucket_need_objects (table, bucket, &status);
  if (objects == NULL)
    return;
  n = wanted_bits (bucket);
  if (n <= objects->n_used && n > objects->n_used / 4)
    return;
  if (shmkv_memory_take (&table->memory, n / 8) != SHMKV_WIRE_STATUS_OK)
    return;
  used = calloc (n / 64, sizeof *used);
  if (used == NULL)
    {
      shmkv_memory_give (&table->memory, n / 8);
      return;
    }

  for (gsize i = 0; objects->n_used > 0 && i < n; i++)
    if (get_bit (objects, i * objects->n_used / n))
      set_bit (used, i, TRUE);
  if (objects->n_used > 0)
    objects->hand = objects->hand * n / objects->n_used;
  free (objects->used);
  shmkv_memory_give (&table->memory, objects->n_used / 8);
  objects->used = used;
  objects->n_used = n;
}

/* All plain pairs with tags from `begin` to `end`, without `end`, but for at
 * most one.  Returns the bytes. */
static gsize
evict_plain (ShmkvTable *table, ShmkvBucket *bucket, guint begin, guint end)
{
  guint64 hashes[EVICT_PLAIN];
  gsize n = 0;

  if (bucket->count > 0)
    {
      guint index = shmkv_bucket_index (table, bucket);
      const ShmkvSlot *slots_end = shmkv_get_slots (bucket) + shmkv_get_length (bucket), *slot;

      slot = shmkv_slots_find (table, bucket, shmkv_first_hash (table, index, begin));
      for (; slot < slots_end && n < EVICT_PLAIN; slot++)
        if (slot->hash != SHMKV_EMPTY)
          {
            if (shmkv_hash_tag (&table->hash, slot->hash) >= end)
              break;
            hashes[n++] = slot->hash;
          }
    }
  for (gsize i = 0; i < n; i++)
    shmkv_bucket_remove_plain (table, bucket, hashes[i], SHMKV_WIRE_CHANGE_EVICTED);
  return n * sizeof (ShmkvSlot);
}

/* The first that may go, as no session holds it; NULL if there is none. */
static guint64 *
find_victim (const ShmkvObjects *objects, guint begin, guint end)
{
  guint64 *word = shmkv_objects_from (objects, begin);

  for (; word < objects->words + objects->length; word++)
    if (*word != SHMKV_EMPTY_WORD)
      {
        if (shmkv_word_tag (*word) >= end)
          break;
        if (!shmkv_word_object (*word)->has_owner)
          return word;
      }
  return NULL;
}

static gsize
evict_objects (ShmkvTable *table, ShmkvBucket *bucket, guint begin, guint end)
{
  const ShmkvObjects *objects = shmkv_get_objects (bucket);
  gsize freed = 0;
  guint64 *word;

  while (objects != NULL && (word = find_victim (objects, begin, end)) != NULL)
    {
      freed += sizeof *word + shmkv_object_size (shmkv_word_object (*word));
      shmkv_bucket_remove_object (table, bucket, word, SHMKV_WIRE_CHANGE_EVICTED);
    }
  return freed;
}

static gsize
evict_group (ShmkvTable *table, ShmkvBucket *bucket, gsize bit, gsize n_bits)
{
  guint begin = ((guint64) bit * SHMKV_N_TAGS + n_bits - 1) / n_bits;
  guint end = ((guint64) (bit + 1) * SHMKV_N_TAGS + n_bits - 1) / n_bits;

  return evict_plain (table, bucket, begin, end) + evict_objects (table, bucket, begin, end);
}

/* Where the hand is: it takes one bit of each word, and only then the next one,
 * that is furthest from those before.  Were it to go from bit to bit, in the
 * order of the hashes, the pairs would become ever denser from behind it, where
 * it has just been, to twice the average before it: more than there are homes.
 * The runs of slots, and of words of the index, would be as long as the bucket. */
static gsize
hand_bit (gsize hand, gsize n_bits)
{
  gsize n_words = n_bits / 64, round = hand / n_words, bit = 0;

  for (guint i = 0; i < 6; i++)
    bit |= (round >> i & 1) << (5 - i);
  return hand % n_words * 64 + bit;
}

/* The algorithm CLOCK: those that were used since the hand passed get another
 * round.  The hand may come far for one victim, but only as often as there were
 * uses that it comes to.  Where there was no memory to note it, nothing was used. */
static gboolean
evict_in_rounds (ShmkvTable *table, ShmkvBucket *bucket, gsize bytes, guint n_rounds)
{
  ShmkvObjects *objects = shmkv_get_objects (bucket);
  gboolean noted = objects != NULL && objects->used != NULL;
  gsize n = noted ? objects->n_used : 64, hand = noted ? objects->hand : 0, freed = 0;
  guint misses = 0, max_misses = noted ? EVICT_MISSES >> get_vain (table) : EVICT_MISSES;

  for (gsize i = 0; i < n_rounds * n && freed < bytes && misses < max_misses; i++)
    {
      gsize before = freed, bit = hand_bit (hand, n);

      if (noted && get_bit (objects, bit))
        set_bit (objects->used, bit, FALSE);
      else
        {
          freed += evict_group (table, bucket, bit, n);
          misses += freed == before;
        }
      hand = (hand + 1) % n;
    }
  if (noted)
    objects->hand = hand;
  return freed > 0;
}

gboolean
shmkv_evict_from (ShmkvTable *table, ShmkvBucket *bucket, gsize bytes)
{
  gboolean freed = evict_in_rounds (table, bucket, bytes, 2);

  if (freed)
    set_vain (table, 0);
  return freed;
}

/* Counts the bucket in `*n_tried` if there is anything in it. */
static gsize
evict_and_squeeze (ShmkvTable *table, ShmkvBucket *bucket, gsize bytes, guint n_rounds,
                   guint *n_tried)
{
  gsize before, after;
  ShmkvObjects *objects;

  shmkv_lock_to_write (bucket);
  before = shmkv_bucket_size (bucket);
  objects = shmkv_get_objects (bucket);
  *n_tried += bucket->count > 0 || objects != NULL;
  if ((bucket->count > 0 || objects != NULL)
      && evict_in_rounds (table, bucket, MAX (bytes, before / 16), n_rounds))
    {
      shmkv_slots_squeeze (table, bucket);
      if (objects != NULL)
        shmkv_objects_squeeze (objects, &table->memory, &table->hash);
      shmkv_bucket_tidy (table, bucket);
    }
  after = shmkv_bucket_size (bucket);
  shmkv_unlock_to_write (bucket);
  return before > after ? before - after : 0;
}

/* In each bucket that it comes to, the hand goes round so often. */
static gsize
evict_here_and_there (ShmkvTable *table, gsize bytes, guint n_rounds)
{
  guint64 n = table->hash.n_buckets;
  guint n_tried = 0, max_tried = EVICT_BUCKETS >> get_vain (table);
  gsize freed = 0;

  for (guint i = 0; i < MIN (n, EVICT_BUCKETS) && n_tried < max_tried && freed < bytes; i++)
    {
      /* relaxed: whose turn it is matters little */
      guint64 hand = atomic_fetch_add_explicit (&table->evict_hand, 1, memory_order_relaxed);

      freed += evict_and_squeeze (table, &table->buckets[hand % n], bytes, n_rounds, &n_tried);
    }
  return freed;
}

gboolean
shmkv_evict_elsewhere (ShmkvTable *table, gsize bytes)
{
  guint vain = get_vain (table);
  gboolean freed = evict_here_and_there (table, bytes, 1) > 0
                   || evict_here_and_there (table, bytes, 2) > 0;

  set_vain (table, freed ? 0 : MIN (vain + 1, EVICT_MAX_VAIN));
  return freed;
}
