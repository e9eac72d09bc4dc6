/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What shmkv_table_apply() does with a key, whatever it has for a value. */

#include "config.h"

#include "server/bucket.h"

#include <string.h>

/* How often room is made, for one command, in its bucket and elsewhere. */
#define MAX_ROUNDS 64u

/* Evicted in one of them, of a bucket's pairs and in bytes, at most, unless more
 * is needed. */
#define ROUND_PART 256u
#define MAX_ROUND_ROOM ((gsize) 16 * 1024)

/* What a bucket takes for its first pair, at most, but for the pair. */
#define FIRST_ROOM 512u

/* Pairs that a bucket has at least, for it to choose from them what it evicts:
 * the one of so many that was not used for long is nearly as good as that of
 * all (Adas, Einziger, Friedman, "Limited Associativity Makes Concurrent
 * Software Caches a Breeze", 2021). */
#define MIN_ASSOCIATIVITY 8u

static inline gboolean
has_flag (const ShmkvTableCommand *command, guint flag)
{
  return (command->flags & flag) != 0;
}

static guint64
next_version (ShmkvTable *table)
{
  /* relaxed: all that counts is that none comes twice */
  return 1 + atomic_fetch_add_explicit (&table->n_versions, 1, memory_order_relaxed);
}

/* ------------------------------------------------------------------ answers */

/* FALSE where it does not fit. */
static gboolean
give_value (const ShmkvTableCommand *command, ShmkvTableAnswer *answer, const ShmkvField *value)
{
  gsize size = (value->integer + 7) & ~(gsize) 7;

  if (command->no_value)
    return TRUE;
  if (value->kind != SHMKV_WIRE_KIND_BYTES)
    {
      answer->value = *value;
      return TRUE;
    }
  if (size > command->buffer_size)
    {
      answer->needed = size;
      return FALSE;
    }
  if (value->integer > 0)
    memcpy (command->buffer, value->bytes, value->integer);
  if (size > value->integer)
    memset ((guint8 *) command->buffer + value->integer, 0, size - value->integer);
  answer->value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .integer = value->integer,
                                 .bytes = command->buffer };
  return TRUE;
}

/* --------------------------------------------------------------- conditions */

/* Version 0 is that of an absent key only. */
static gboolean
has_version (const ShmkvEntry *entry, guint64 version)
{
  if (version == 0)
    return !entry->present;
  return entry->present && entry->contents.version == version;
}

static gboolean
meets_conditions (const ShmkvTableCommand *command, const ShmkvEntry *entry)
{
  if (has_flag (command, SHMKV_WIRE_FLAG_IF_ABSENT) && entry->present)
    return FALSE;
  if (has_flag (command, SHMKV_WIRE_FLAG_IF_PRESENT) && !entry->present)
    return FALSE;
  if (has_flag (command, SHMKV_WIRE_FLAG_IF_VALUE)
      && !(entry->present && shmkv_field_equals (&entry->contents.value, &command->expected)))
    return FALSE;
  return !has_flag (command, SHMKV_WIRE_FLAG_IF_VERSION) || has_version (entry, command->version);
}

/* A key that is there has a version where one is asked for: 0 would say that it
 * is not. */
static void
answer_mismatch (const ShmkvTableCommand *command, ShmkvEntry *entry, ShmkvTableAnswer *answer)
{
  guint64 version = entry->contents.version;
  guint status = SHMKV_WIRE_STATUS_OK;

  if (has_flag (command, SHMKV_WIRE_FLAG_VERSION) && entry->present)
    {
      if (version == 0)
        {
          version = next_version (entry->table);
          status = shmkv_entry_adorn (entry, version, entry->contents.expiry);
        }
      answer->version = status == SHMKV_WIRE_STATUS_OK ? version : 0;
    }
  answer->status = status == SHMKV_WIRE_STATUS_OK ? SHMKV_WIRE_STATUS_MISMATCH : status;
}

/* --------------------------------------------------------------- operations */

static void
insert (const ShmkvTableCommand *command, ShmkvEntry *entry, ShmkvTableAnswer *answer)
{
  ShmkvTable *table = entry->table;
  gboolean replaces = entry->present;
  ShmkvContents contents = { .key = command->key, .value = command->value };
  guint status;

  if (!meets_conditions (command, entry))
    {
      answer_mismatch (command, entry, answer);
      return;
    }
  if (has_flag (command, SHMKV_WIRE_FLAG_OLD) && replaces
      && !give_value (command, answer, &entry->contents.value))
    return;

  if (has_flag (command, SHMKV_WIRE_FLAG_VERSION))
    contents.version = next_version (table);
  if (has_flag (command, SHMKV_WIRE_FLAG_TTL))
    contents.expiry = shmkv_now_ms (table) + command->ttl_ms;
  if (has_flag (command, SHMKV_WIRE_FLAG_SESSION))
    contents.owner = command->owner;
  status = shmkv_entry_set (entry, &contents);
  if (status != SHMKV_WIRE_STATUS_OK)
    {
      *answer = (ShmkvTableAnswer) { .status = status };
      return;
    }
  shmkv_tell (table, entry->bucket, &command->key, SHMKV_WIRE_CHANGE_SET);
  answer->status = replaces ? SHMKV_WIRE_STATUS_REPLACED : SHMKV_WIRE_STATUS_ADDED;
  answer->version = contents.version;
}

static void
delete (const ShmkvTableCommand *command, ShmkvEntry *entry, ShmkvTableAnswer *answer)
{
  if (!entry->present)
    {
      answer->status = SHMKV_WIRE_STATUS_NO_KEY;
      return;
    }
  if (!meets_conditions (command, entry))
    {
      answer_mismatch (command, entry, answer);
      return;
    }
  if (has_flag (command, SHMKV_WIRE_FLAG_OLD)
      && !give_value (command, answer, &entry->contents.value))
    return;
  answer->status = SHMKV_WIRE_STATUS_OK;
  shmkv_entry_remove (entry, SHMKV_WIRE_CHANGE_DELETED);
}

/* FALSE where the result is no 64-bit integer. */
static gboolean
compute (const ShmkvTableCommand *command, guint64 value, guint64 *result_out)
{
  guint64 amount = command->value.integer;
  gboolean overflow;

  if (command->op == SHMKV_WIRE_OP_ADD)
    overflow = __builtin_add_overflow (value, amount, result_out);
  else
    overflow = __builtin_sub_overflow (value, amount, result_out);
  return !overflow || has_flag (command, SHMKV_WIRE_FLAG_WRAP);
}

/* A key that has a version, or is to have one, gets a new one. */
static void
add (const ShmkvTableCommand *command, ShmkvEntry *entry, ShmkvTableAnswer *answer)
{
  ShmkvContents contents = { .key = command->key, .value = { .kind = SHMKV_WIRE_KIND_INTEGER } };
  guint64 result;

  if (entry->present)
    contents = entry->contents;
  else if (has_flag (command, SHMKV_WIRE_FLAG_IF_PRESENT))
    {
      answer->status = SHMKV_WIRE_STATUS_NO_KEY;
      return;
    }
  if (!meets_conditions (command, entry))
    {
      answer_mismatch (command, entry, answer);
      return;
    }
  if (contents.value.kind != SHMKV_WIRE_KIND_INTEGER)
    {
      answer->status = SHMKV_WIRE_STATUS_WRONG_KIND;
      return;
    }
  if (!compute (command, contents.value.integer, &result))
    {
      answer->status = SHMKV_WIRE_STATUS_OVERFLOW;
      return;
    }

  contents.value.integer = result;
  if (contents.version != 0 || has_flag (command, SHMKV_WIRE_FLAG_VERSION))
    contents.version = next_version (entry->table);
  answer->status = shmkv_entry_set (entry, &contents);
  if (answer->status != SHMKV_WIRE_STATUS_OK)
    return;
  shmkv_tell (entry->table, entry->bucket, &command->key, SHMKV_WIRE_CHANGE_SET);
  answer->value = contents.value;
  if (has_flag (command, SHMKV_WIRE_FLAG_VERSION))
    answer->version = contents.version;
}

static void
expire (const ShmkvTableCommand *command, ShmkvEntry *entry, ShmkvTableAnswer *answer)
{
  gint64 expiry = 0;

  answer->status = SHMKV_WIRE_STATUS_NO_KEY;
  if (!entry->present)
    return;
  if (has_flag (command, SHMKV_WIRE_FLAG_TTL))
    expiry = shmkv_now_ms (entry->table) + command->ttl_ms;
  answer->status = SHMKV_WIRE_STATUS_OK;
  if (expiry != entry->contents.expiry)
    answer->status = shmkv_entry_adorn (entry, entry->contents.version, expiry);
}

static void
tell_ttl (ShmkvEntry *entry, ShmkvTableAnswer *answer)
{
  answer->status = SHMKV_WIRE_STATUS_NO_KEY;
  if (!entry->present)
    return;
  answer->status = SHMKV_WIRE_STATUS_OK;
  answer->value.kind = SHMKV_WIRE_KIND_INTEGER;
  if (entry->contents.expiry != 0)
    answer->value.integer = MAX (entry->contents.expiry - shmkv_now_ms (entry->table), 1);
}

/* FALSE where a version is asked for that it does not have yet. */
static gboolean
read_value (const ShmkvTableCommand *command, ShmkvEntry *entry, ShmkvTableAnswer *answer)
{
  gboolean asked = has_flag (command, SHMKV_WIRE_FLAG_VERSION);

  if (!entry->present)
    {
      answer->status = SHMKV_WIRE_STATUS_NO_KEY;
      return TRUE;
    }
  if (asked && entry->contents.version == 0)
    return FALSE;
  answer->status = SHMKV_WIRE_STATUS_OK;
  answer->version = asked ? entry->contents.version : 0;
  give_value (command, answer, &entry->contents.value);
  return TRUE;
}

/* The value goes out first: it may move with what it is given. */
static void
read_with_version (const ShmkvTableCommand *command, ShmkvEntry *entry, ShmkvTableAnswer *answer)
{
  guint64 version;
  guint status;

  if (read_value (command, entry, answer) || !give_value (command, answer, &entry->contents.value))
    return;
  version = next_version (entry->table);
  status = shmkv_entry_adorn (entry, version, entry->contents.expiry);
  if (status == SHMKV_WIRE_STATUS_OK)
    answer->version = version;
  else
    answer->value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_NONE };
  answer->status = status;
}

/* With the lock to write. */
static void
write_key (ShmkvTable *table, const ShmkvTableCommand *command, ShmkvTableAnswer *answer)
{
  ShmkvEntry entry;

  *answer = (ShmkvTableAnswer) { .status = SHMKV_WIRE_STATUS_OK };
  shmkv_entry_find (&entry, table, &command->place, &command->key);
  switch (command->op)
    {
    case SHMKV_WIRE_OP_INSERT:
      insert (command, &entry, answer);
      break;
    case SHMKV_WIRE_OP_READ:
      read_with_version (command, &entry, answer);
      break;
    case SHMKV_WIRE_OP_DELETE:
      delete (command, &entry, answer);
      break;
    case SHMKV_WIRE_OP_EXPIRE:
      expire (command, &entry, answer);
      break;
    default:
      add (command, &entry, answer);
    }
}

/* With the lock to read.  FALSE where that is not enough. */
static gboolean
read_key (ShmkvTable *table, const ShmkvTableCommand *command, ShmkvTableAnswer *answer)
{
  ShmkvEntry entry;

  *answer = (ShmkvTableAnswer) { .status = SHMKV_WIRE_STATUS_OK };
  shmkv_entry_find (&entry, table, &command->place, &command->key);
  if (command->op == SHMKV_WIRE_OP_READ)
    return read_value (command, &entry, answer);
  tell_ttl (&entry, answer);
  return TRUE;
}

/* -------------------------------------------------------------- making room */

/* About what a command takes where it is the first in its bucket. */
static gsize
needed_room (const ShmkvTableCommand *command)
{
  return 64 + shmkv_field_size (command->key.kind, command->key.integer)
         + shmkv_field_size (command->value.kind, command->value.integer);
}

static gsize
count_pairs (const ShmkvBucket *bucket)
{
  const ShmkvObjects *objects = shmkv_get_objects (bucket);

  return bucket->count + (objects != NULL ? objects->count : 0);
}

/* What does not fit into an empty table is not worth evicting anything. */
static gboolean
can_make_room (const ShmkvTable *table, const ShmkvTableCommand *command)
{
  gsize size = shmkv_table_empty_size (table->hash.n_buckets) + needed_room (command);

  return table->evict && size <= table->memory.max;
}

/* The bytes to evict in that round.  What is evicted becomes of use only where
 * there is much of it, in a chunk or in an index: the more a bucket has, the
 * faster it gives, rather than to try again and again. */
static gsize
round_room (const ShmkvBucket *bucket, gsize room, guint i)
{
  gsize n = MIN (count_pairs (bucket) / ROUND_PART, (gsize) 1 << MIN (i, 16));

  return MAX (room, MIN (room * MAX (n, 1), MAX_ROUND_ROOM));
}

/* With the lock: FALSE where others must make room. */
static gboolean
write_with_room (ShmkvTable *table, const ShmkvTableCommand *command, ShmkvTableAnswer *answer)
{
  ShmkvBucket *bucket = &table->buckets[command->place.bucket];

  for (guint i = 0; i < MAX_ROUNDS; i++)
    {
      write_key (table, command, answer);
      if (answer->status != SHMKV_WIRE_STATUS_NO_SPACE || !can_make_room (table, command))
        return TRUE;
      if (count_pairs (bucket) < MIN_ASSOCIATIVITY
          || !shmkv_evict_from (table, bucket, round_room (bucket, needed_room (command), i)))
        return FALSE;
    }
  return FALSE;
}

static void
write_in_bucket (ShmkvTable *table, const ShmkvTableCommand *command, ShmkvTableAnswer *answer)
{
  ShmkvBucket *bucket = &table->buckets[command->place.bucket];
  gboolean done = FALSE;

  for (guint i = 0; !done && i < MAX_ROUNDS; i++)
    {
      shmkv_lock_to_write (bucket);
      done = write_with_room (table, command, answer);
      shmkv_bucket_tidy (table, bucket);
      shmkv_unlock_to_write (bucket);
      if (!done && !shmkv_evict_elsewhere (table, FIRST_ROOM + needed_room (command)))
        break;
    }
  if (done)
    return;
  /* The key itself may be among those that went last. */
  shmkv_lock_to_write (bucket);
  write_key (table, command, answer);
  shmkv_bucket_tidy (table, bucket);
  shmkv_unlock_to_write (bucket);
}

void
shmkv_table_apply (ShmkvTable *table, const ShmkvTableCommand *command, ShmkvTableAnswer *answer)
{
  ShmkvBucket *bucket = &table->buckets[command->place.bucket];
  gboolean done;

  if (command->op == SHMKV_WIRE_OP_READ || command->op == SHMKV_WIRE_OP_TTL)
    {
      shmkv_lock_to_read (bucket);
      done = read_key (table, command, answer);
      shmkv_unlock_to_read (bucket);
      if (done)
        return;
    }
  write_in_bucket (table, command, answer);
}

/* ------------------------------------------------------------------- others */

/* By a change of nothing to a value that nobody asks for. */
guint64
shmkv_table_get_version (ShmkvTable *table, const ShmkvTablePlace *place, const ShmkvField *key)
{
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_READ,
    .flags = SHMKV_WIRE_FLAG_VERSION,
    .place = *place,
    .key = *key,
    .no_value = TRUE,
  };
  ShmkvTableAnswer answer;

  shmkv_table_apply (table, &command, &answer);
  if (answer.status == SHMKV_WIRE_STATUS_NO_KEY)
    return 0;
  return answer.status == SHMKV_WIRE_STATUS_OK ? answer.version : SHMKV_TABLE_NO_VERSION;
}

gboolean
shmkv_table_delete_owned (ShmkvTable *table, const ShmkvTablePlace *place, const ShmkvField *key,
                          guint64 owner)
{
  ShmkvBucket *bucket = &table->buckets[place->bucket];
  ShmkvEntry entry;
  gboolean owned;

  shmkv_lock_to_write (bucket);
  shmkv_entry_find (&entry, table, place, key);
  owned = entry.present && entry.contents.owner == owner;
  if (owned)
    {
      shmkv_entry_remove (&entry, SHMKV_WIRE_CHANGE_DELETED);
      shmkv_bucket_tidy (table, bucket);
    }
  shmkv_unlock_to_write (bucket);
  return owned;
}

gboolean
shmkv_table_is_owned (ShmkvTable *table, const ShmkvTablePlace *place, const ShmkvField *key,
                      guint64 owner)
{
  ShmkvBucket *bucket = &table->buckets[place->bucket];
  ShmkvEntry entry;
  gboolean owned;

  shmkv_lock_to_read (bucket);
  shmkv_entry_find (&entry, table, place, key);
  owned = entry.present && entry.contents.owner == owner;
  shmkv_unlock_to_read (bucket);
  return owned;
}
