/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Walks through the table, in the order of buckets and tags.
 *
 * A key's bucket and tag never change, whatever becomes of its value, and all
 * keys that have both in common, a group, are visited under one lock.  So the
 * next group's bucket and tag are all that a scan has to remember. */

#include "config.h"

#include "server/bucket.h"

/* After so much a step ends. */
#define STEP_SIZE (256u * 1024)
#define STEP_BUCKETS 256u
#define STEP_PAIRS 16384u           /* looked at */

/* What a buffer has room for, per pair, until it turns out to be too small. */
#define PAIR_SIZE 256u

#define CURSOR_BITS 44u
#define CHECK_SEED G_GUINT64_CONSTANT (0x5ca1ab1e0ddba11)

/* Where encoded pairs go, under a lock: nothing is allocated, and what does not
 * fit is counted only. */
typedef struct
{
  ShmkvTable *table;
  const ShmkvTableScan *scan;       /* NULL: all pairs */
  guint8 *buffer;
  gsize size;
  gsize length;                     /* of what was encoded, or would have been */
  gsize n;
  gsize n_seen;
  gint64 now;                       /* 0: not known yet */
} Sink;

/* -------------------------------------------------------------------- pairs */

static gboolean
wants_integers (const ShmkvTableScan *scan)
{
  return scan == NULL
         || (scan->prefix.kind == SHMKV_WIRE_KIND_NONE
             && (scan->options & (SHMKV_WIRE_SCAN_OPTION_INTEGER_KEYS
                                  | SHMKV_WIRE_SCAN_OPTION_BYTES_KEYS))
                != SHMKV_WIRE_SCAN_OPTION_BYTES_KEYS);
}

static gboolean
is_wanted (const ShmkvTableScan *scan, const ShmkvContents *contents)
{
  guint kinds;

  if (scan == NULL)
    return TRUE;
  kinds = scan->options & (SHMKV_WIRE_SCAN_OPTION_INTEGER_KEYS | SHMKV_WIRE_SCAN_OPTION_BYTES_KEYS);
  if (contents->key.kind == SHMKV_WIRE_KIND_INTEGER && !wants_integers (scan))
    return FALSE;
  if (contents->key.kind == SHMKV_WIRE_KIND_BYTES && kinds == SHMKV_WIRE_SCAN_OPTION_INTEGER_KEYS)
    return FALSE;
  if (contents->owner != 0 && (scan->options & SHMKV_WIRE_SCAN_OPTION_PERMANENT) != 0)
    return FALSE;
  return shmkv_field_begins_with (&contents->key, &scan->prefix);
}

/* The milliseconds left, 0 for ever; FALSE where there are none. */
static gboolean
get_ttl (Sink *sink, gint64 expiry, guint64 *ttl_out)
{
  *ttl_out = 0;
  if (expiry == 0)
    return TRUE;
  if (sink->now == 0)
    sink->now = shmkv_now_ms (sink->table);
  *ttl_out = expiry - sink->now;
  return expiry > sink->now;
}

static void
visit (Sink *sink, const ShmkvContents *contents)
{
  ShmkvPair pair = { .key = contents->key, .value = contents->value };
  gsize size;

  sink->n_seen++;
  if (!is_wanted (sink->scan, contents) || !get_ttl (sink, contents->expiry, &pair.ttl_ms))
    return;
  if (sink->scan != NULL && (sink->scan->options & SHMKV_WIRE_SCAN_OPTION_KEYS_ONLY) != 0)
    pair.value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_NONE };
  size = shmkv_pair_size (&pair);
  if (sink->length + size <= sink->size)
    shmkv_pair_encode ((uint64_t *) (gpointer) (sink->buffer + sink->length), &pair);
  sink->length += size;
  sink->n++;
}

static void
visit_plain (Sink *sink, guint64 hash, guint64 value)
{
  ShmkvContents contents = {
    .key = { .kind = SHMKV_WIRE_KIND_INTEGER,
             .integer = shmkv_unhash_integer (&sink->table->hash, hash) },
    .value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = value },
  };

  visit (sink, &contents);
}

static void
visit_object (Sink *sink, const ShmkvObject *object)
{
  ShmkvContents contents;

  shmkv_object_get (object, &contents);
  visit (sink, &contents);
}

/* ------------------------------------------------------------------- groups */

/* How far a walk through a bucket has come. */
typedef struct
{
  const ShmkvSlot *slot;
  const ShmkvSlot *slots_end;
  const guint64 *word;
  const guint64 *words_end;
  gboolean has_last;
} Walk;

guint64
shmkv_first_hash (const ShmkvTable *table, guint bucket, guint tag)
{
  unsigned __int128 start = (unsigned __int128) bucket << 64
                            | (guint64) tag << (64 - SHMKV_TAG_BITS);

  return (start + table->hash.n_buckets - 1) / table->hash.n_buckets;
}

static void
begin_walk (Walk *walk, Sink *sink, ShmkvBucket *bucket, guint tag)
{
  const ShmkvTable *table = sink->table;
  const ShmkvObjects *objects = shmkv_get_objects (bucket);
  guint64 first = shmkv_first_hash (table, shmkv_bucket_index (table, bucket), tag);

  *walk = (Walk) { .has_last = shmkv_holds_last (table, bucket) };
  if (bucket->count > 0 && wants_integers (sink->scan))
    {
      walk->slot = shmkv_slots_find (table, bucket, first);
      walk->slots_end = shmkv_get_slots (bucket) + shmkv_get_length (bucket);
    }
  if (objects != NULL && objects->count > 0)
    {
      walk->word = shmkv_objects_from (objects, tag);
      walk->words_end = objects->words + objects->length;
    }
}

/* The tag of the next group; SHMKV_N_TAGS if there is none. */
static guint
next_tag (const ShmkvTable *table, Walk *walk)
{
  guint tag = walk->has_last ? SHMKV_N_TAGS - 1 : SHMKV_N_TAGS;

  while (walk->slot != walk->slots_end && walk->slot->hash == SHMKV_EMPTY)
    walk->slot++;
  while (walk->word != walk->words_end && *walk->word == SHMKV_EMPTY_WORD)
    walk->word++;
  if (walk->slot != walk->slots_end)
    tag = MIN (tag, shmkv_hash_tag (&table->hash, walk->slot->hash));
  if (walk->word != walk->words_end)
    tag = MIN (tag, shmkv_word_tag (*walk->word));
  return tag;
}

static void
visit_group (Sink *sink, Walk *walk, guint tag)
{
  const ShmkvTable *table = sink->table;

  for (; walk->slot != walk->slots_end; walk->slot++)
    if (walk->slot->hash != SHMKV_EMPTY)
      {
        if (shmkv_hash_tag (&table->hash, walk->slot->hash) != tag)
          break;
        visit_plain (sink, walk->slot->hash, walk->slot->value);
      }
  if (walk->has_last && tag == SHMKV_N_TAGS - 1)
    {
      visit_plain (sink, SHMKV_EMPTY, table->last_value);
      walk->has_last = FALSE;
    }
  for (; walk->word != walk->words_end; walk->word++)
    if (*walk->word != SHMKV_EMPTY_WORD)
      {
        if (shmkv_word_tag (*walk->word) != tag)
          break;
        visit_object (sink, shmkv_word_object (*walk->word));
      }
}

/* --------------------------------------------------------------------- scan */

static guint64
check_bits (const ShmkvTable *table, guint64 position)
{
  return shmkv_mix (position ^ table->hash.bytes_seed, CHECK_SEED) >> CURSOR_BITS << CURSOR_BITS;
}

/* The end has no position. */
static guint64
make_cursor (const ShmkvTable *table, guint64 position)
{
  return position >= table->hash.n_buckets << SHMKV_TAG_BITS ? 0
         : position | check_bits (table, position);
}

static gboolean
read_cursor (const ShmkvTable *table, guint64 cursor, guint64 *position_out)
{
  guint64 position = cursor & ((G_GUINT64_CONSTANT (1) << CURSOR_BITS) - 1);

  *position_out = position;
  return cursor == 0
         || (position != 0 && position < table->hash.n_buckets << SHMKV_TAG_BITS
             && cursor == (position | check_bits (table, position)));
}

static gboolean
is_full (const Sink *sink)
{
  return sink->n >= sink->scan->limit || sink->length >= STEP_SIZE || sink->n_seen >= STEP_PAIRS;
}

/* Groups from `*position` on, of one bucket, until the step is full or a group
 * does not fit; then FALSE, with the size that it takes in `*wanted_out`. */
static gboolean
scan_bucket (Sink *sink, guint64 *position, gsize *wanted_out)
{
  ShmkvTable *table = sink->table;
  ShmkvBucket *bucket = &table->buckets[*position >> SHMKV_TAG_BITS];
  guint64 base = *position & -(guint64) SHMKV_N_TAGS;
  gboolean fits = TRUE;
  guint tag;
  Walk walk;

  shmkv_lock_to_read (bucket);
  begin_walk (&walk, sink, bucket, *position - base);
  while (!is_full (sink) && (tag = next_tag (table, &walk)) < SHMKV_N_TAGS)
    {
      gsize length = sink->length, n = sink->n;

      visit_group (sink, &walk, tag);
      fits = sink->length <= sink->size;
      if (!fits)
        {
          *wanted_out = sink->length;
          sink->length = length;
          sink->n = n;
          break;
        }
      *position = base + tag + 1;
    }
  if (fits && !is_full (sink))
    *position = base + SHMKV_N_TAGS;
  shmkv_unlock_to_read (bucket);
  return fits;
}

static gboolean
enlarge (Sink *sink, gsize size)
{
  guint8 *buffer = g_try_realloc (sink->buffer, size);

  if (buffer == NULL)
    return FALSE;
  sink->buffer = buffer;
  sink->size = size;
  return TRUE;
}

static guint
scan_step (Sink *sink, guint64 *position)
{
  guint64 end = sink->table->hash.n_buckets << SHMKV_TAG_BITS;
  guint64 last = *position + ((guint64) STEP_BUCKETS << SHMKV_TAG_BITS);
  gsize wanted = 0;

  while (!is_full (sink) && *position < MIN (end, last))
    if (!scan_bucket (sink, position, &wanted))
      {
        if (wanted > SHMKV_WIRE_MAX_BODY)
          return sink->n > 0 ? SHMKV_WIRE_STATUS_OK : SHMKV_WIRE_STATUS_TOO_LARGE;
        if (!enlarge (sink, wanted))
          return sink->n > 0 ? SHMKV_WIRE_STATUS_OK : SHMKV_WIRE_STATUS_NO_MEMORY;
      }
  return SHMKV_WIRE_STATUS_OK;
}

guint
shmkv_table_scan (ShmkvTable *table, const ShmkvTableScan *scan, guint64 *cursor,
                  GByteArray **body_out)
{
  Sink sink = { .table = table, .scan = scan };
  guint64 position;
  guint status;

  if (!read_cursor (table, *cursor, &position))
    return SHMKV_WIRE_STATUS_BAD_CURSOR;
  if (!enlarge (&sink, PAIR_SIZE * MIN (scan->limit, STEP_SIZE / PAIR_SIZE) + PAIR_SIZE))
    return SHMKV_WIRE_STATUS_NO_MEMORY;
  status = scan_step (&sink, &position);
  if (status != SHMKV_WIRE_STATUS_OK)
    {
      g_free (sink.buffer);
      return status;
    }
  *cursor = make_cursor (table, position);
  *body_out = g_byte_array_new_take (sink.buffer, sink.length);
  return SHMKV_WIRE_STATUS_OK;
}

/* -------------------------------------------------------------- whole buckets */

static void
copy_pairs (Sink *sink, ShmkvBucket *bucket)
{
  Walk walk;
  guint tag;

  sink->length = 0;
  sink->n = 0;
  sink->now = 0;
  shmkv_lock_to_read (bucket);
  begin_walk (&walk, sink, bucket, 0);
  while ((tag = next_tag (sink->table, &walk)) < SHMKV_N_TAGS)
    visit_group (sink, &walk, tag);
  shmkv_unlock_to_read (bucket);
}

/* The buffer is made outside of the lock, with some more room than there was
 * need for, as the bucket may grow meanwhile. */
guint
shmkv_table_copy_bucket (ShmkvTable *table, guint bucket, GByteArray **body_out, gsize *n_out)
{
  Sink sink = { .table = table };

  while (copy_pairs (&sink, &table->buckets[bucket]), sink.length > sink.size)
    {
      guint status = SHMKV_WIRE_STATUS_OK;

      if (sink.length > SHMKV_WIRE_MAX_BODY)
        status = SHMKV_WIRE_STATUS_TOO_LARGE;
      else if (!enlarge (&sink, sink.length + sink.length / 8))
        status = SHMKV_WIRE_STATUS_NO_MEMORY;
      if (status != SHMKV_WIRE_STATUS_OK)
        {
          g_free (sink.buffer);
          return status;
        }
    }
  *body_out = g_byte_array_new_take (sink.buffer, sink.length);
  *n_out = sink.n;
  return SHMKV_WIRE_STATUS_OK;
}
