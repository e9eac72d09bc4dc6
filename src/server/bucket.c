/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/bucket.h"

#include <stdlib.h>

/* ------------------------------------------------------- the objects' structure */

static void
set_objects (ShmkvBucket *bucket, ShmkvObjects *objects)
{
  /* relaxed: the lock orders it, or it is for a prefetch */
  atomic_store_explicit (&bucket->objects, objects, memory_order_relaxed);
}

ShmkvObjects *
shmkv_bucket_need_objects (ShmkvTable *table, ShmkvBucket *bucket, guint *status_out)
{
  ShmkvObjects *objects = shmkv_get_objects (bucket);

  if (objects != NULL)
    return objects;
  *status_out = shmkv_memory_take (&table->memory, sizeof (ShmkvObjects));
  if (*status_out != SHMKV_WIRE_STATUS_OK)
    return NULL;
  objects = malloc (sizeof *objects);
  if (objects == NULL)
    {
      shmkv_memory_give (&table->memory, sizeof (ShmkvObjects));
      *status_out = SHMKV_WIRE_STATUS_NO_MEMORY;
      return NULL;
    }
  shmkv_objects_init (objects);
  set_objects (bucket, objects);
  return objects;
}

static void
drop_objects (ShmkvTable *table, ShmkvBucket *bucket)
{
  ShmkvObjects *objects = shmkv_get_objects (bucket);

  set_objects (bucket, NULL);
  shmkv_objects_clear (objects, &table->memory);
  free (objects);
  shmkv_memory_give (&table->memory, sizeof (ShmkvObjects));
  shmkv_set_due (bucket, SHMKV_NEVER_DUE);
}

/* Where pairs are evicted it is known of plain ones, too, whether they are used. */
void
shmkv_bucket_tidy (ShmkvTable *table, ShmkvBucket *bucket)
{
  const ShmkvObjects *objects = shmkv_get_objects (bucket);

  if (objects != NULL && objects->count == 0 && (!table->evict || bucket->count == 0))
    drop_objects (table, bucket);
}

gsize
shmkv_bucket_size (const ShmkvBucket *bucket)
{
  const ShmkvObjects *objects = shmkv_get_objects (bucket);
  gsize size = shmkv_slots_size (bucket);

  if (objects != NULL)
    size += sizeof *objects + shmkv_objects_size (objects);
  return size;
}

/* ------------------------------------------------------------------ expiry */

static void
count_expiring (ShmkvTable *table, gint change)
{
  /* relaxed: a hint for shmkv_table_sweep() */
  if (change != 0)
    atomic_fetch_add_explicit (&table->n_expiring, (guint64) (gint64) change,
                               memory_order_relaxed);
}

static void
note_expiry (ShmkvTable *table, ShmkvBucket *bucket, gboolean before, gint64 expiry)
{
  count_expiring (table, (expiry != 0) - before);
  if (expiry != 0)
    shmkv_set_due (bucket, MIN (shmkv_get_due (bucket), shmkv_due_time (expiry)));
}

static gboolean
is_over (const ShmkvTable *table, gint64 expiry)
{
  return expiry != 0 && expiry <= shmkv_now_ms (table);
}

static void
count_one (_Atomic guint64 *counter)
{
  /* relaxed: it tells of nothing else */
  atomic_fetch_add_explicit (counter, 1, memory_order_relaxed);
}

/* ------------------------------------------------------------------ removal */

/* Without a word. */
static void
drop_object (ShmkvTable *table, ShmkvBucket *bucket, guint64 *word)
{
  count_expiring (table, -(gint) shmkv_word_object (*word)->has_expiry);
  shmkv_objects_remove (shmkv_get_objects (bucket), &table->memory, &table->hash, word);
}

static void
count_removal (ShmkvTable *table, guint change)
{
  if (change == SHMKV_WIRE_CHANGE_EXPIRED)
    count_one (&table->n_expired);
  else if (change == SHMKV_WIRE_CHANGE_EVICTED)
    count_one (&table->n_evicted);
}

void
shmkv_bucket_remove_object (ShmkvTable *table, ShmkvBucket *bucket, guint64 *word, guint change)
{
  ShmkvContents contents;

  shmkv_object_get (shmkv_word_object (*word), &contents);
  if (is_over (table, contents.expiry))
    change = SHMKV_WIRE_CHANGE_EXPIRED;
  shmkv_tell (table, bucket, &contents.key, change);
  count_removal (table, change);
  drop_object (table, bucket, word);
}

void
shmkv_bucket_remove_plain (ShmkvTable *table, ShmkvBucket *bucket, guint64 hash, guint change)
{
  ShmkvField key = { .kind = SHMKV_WIRE_KIND_INTEGER,
                     .integer = shmkv_unhash_integer (&table->hash, hash) };

  shmkv_slots_remove (table, bucket, hash);
  shmkv_tell (table, bucket, &key, change);
  count_removal (table, change);
}

static void
tell_of_all (ShmkvTable *table, ShmkvBucket *bucket)
{
  ShmkvSlot *slots = shmkv_get_slots (bucket);
  ShmkvField key = { .kind = SHMKV_WIRE_KIND_INTEGER };

  for (gsize i = 0; i < shmkv_get_length (bucket); i++)
    if (slots[i].hash != SHMKV_EMPTY)
      {
        key.integer = shmkv_unhash_integer (&table->hash, slots[i].hash);
        shmkv_tell (table, bucket, &key, SHMKV_WIRE_CHANGE_DELETED);
      }
  if (shmkv_holds_last (table, bucket))
    {
      key.integer = shmkv_unhash_integer (&table->hash, SHMKV_EMPTY);
      shmkv_tell (table, bucket, &key, SHMKV_WIRE_CHANGE_DELETED);
    }
}

/* The account of those that are about to go all at once. */
static void
forget_objects (ShmkvTable *table, ShmkvBucket *bucket)
{
  const ShmkvObjects *objects = shmkv_get_objects (bucket);
  ShmkvContents contents;

  for (gsize i = 0; i < objects->length; i++)
    if (objects->words[i] != SHMKV_EMPTY_WORD)
      {
        guint change = SHMKV_WIRE_CHANGE_DELETED;

        shmkv_object_get (shmkv_word_object (objects->words[i]), &contents);
        if (is_over (table, contents.expiry))
          change = SHMKV_WIRE_CHANGE_EXPIRED;
        count_removal (table, change);
        count_expiring (table, -(contents.expiry != 0));
        shmkv_tell (table, bucket, &contents.key, change);
      }
}

void
shmkv_bucket_clear (ShmkvTable *table, ShmkvBucket *bucket)
{
  if (shmkv_is_observed (table, bucket))
    tell_of_all (table, bucket);
  if (shmkv_holds_last (table, bucket))
    table->has_last = FALSE;
  shmkv_slots_clear (table, bucket);
  if (shmkv_get_objects (bucket) == NULL)
    return;
  forget_objects (table, bucket);
  drop_objects (table, bucket);
}

/* Only where something may have expired is every object looked at. */
gsize
shmkv_bucket_count (ShmkvTable *table, ShmkvBucket *bucket)
{
  gsize count = bucket->count + shmkv_holds_last (table, bucket);
  const ShmkvObjects *objects = shmkv_get_objects (bucket);
  gboolean swept;
  gint64 now;

  if (objects == NULL)
    return count;
  count += objects->count;
  swept = shmkv_is_being_swept (table, bucket);
  if (shmkv_get_due (bucket) == SHMKV_NEVER_DUE && !swept)
    return count;
  now = shmkv_now_ms (table);
  if (shmkv_due_time (now) < shmkv_get_due (bucket) && !swept)
    return count;

  for (gsize i = 0; i < objects->length; i++)
    if (objects->words[i] != SHMKV_EMPTY_WORD)
      {
        ShmkvContents contents;

        shmkv_object_get (shmkv_word_object (objects->words[i]), &contents);
        count -= contents.expiry != 0 && contents.expiry <= now;
      }
  return count;
}

/* ------------------------------------------------------------------ entries */

void
shmkv_entry_find (ShmkvEntry *entry, ShmkvTable *table, const ShmkvTablePlace *place,
                  const ShmkvField *key)
{
  ShmkvBucket *bucket = &table->buckets[place->bucket];
  const ShmkvObjects *objects = shmkv_get_objects (bucket);
  const guint64 *value = NULL;

  *entry = (ShmkvEntry) { .table = table, .bucket = bucket, .hash = place->hash, .key = *key };
  if (key->kind == SHMKV_WIRE_KIND_INTEGER)
    value = shmkv_slots_value (table, bucket, place->hash);
  if (value != NULL)
    {
      entry->present = TRUE;
      entry->contents.value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = *value };
    }
  else if (objects != NULL)
    {
      entry->word = shmkv_objects_find (objects, shmkv_hash_tag (&table->hash, place->hash), key);
      if (entry->word != NULL)
        {
          shmkv_object_get (shmkv_word_object (*entry->word), &entry->contents);
          entry->expired = is_over (table, entry->contents.expiry);
          entry->present = !entry->expired;
        }
    }
  entry->contents.key = *key;
  if (entry->present)
    shmkv_note_use (table, bucket, place->hash);
}

static gboolean
is_plain (const ShmkvContents *contents)
{
  return contents->key.kind == SHMKV_WIRE_KIND_INTEGER
         && contents->value.kind == SHMKV_WIRE_KIND_INTEGER && contents->version == 0
         && contents->expiry == 0 && contents->owner == 0;
}

static guint
as_status (ShmkvTableInsert result)
{
  switch (result)
    {
    case SHMKV_TABLE_NO_SPACE:
      return SHMKV_WIRE_STATUS_NO_SPACE;
    case SHMKV_TABLE_NO_MEMORY:
      return SHMKV_WIRE_STATUS_NO_MEMORY;
    default:
      return SHMKV_WIRE_STATUS_OK;
    }
}

/* Where the slots cannot grow, what was an object remains one. */
static guint
set_plain (ShmkvEntry *entry, const ShmkvContents *contents)
{
  ShmkvTable *table = entry->table;
  ShmkvBucket *bucket = entry->bucket;
  gboolean expiring = entry->word != NULL && entry->contents.expiry != 0;
  guint status = as_status (shmkv_slots_set (table, bucket, entry->hash, contents->value.integer));

  if (entry->word == NULL)
    return status;
  if (status == SHMKV_WIRE_STATUS_OK)
    {
      drop_object (table, bucket, entry->word);
      return status;
    }
  status = shmkv_objects_replace (shmkv_get_objects (bucket), &table->memory, &table->hash,
                                  entry->word, contents);
  if (status == SHMKV_WIRE_STATUS_OK)
    note_expiry (table, bucket, expiring, 0);
  return status;
}

static guint
set_object (ShmkvEntry *entry, const ShmkvContents *contents)
{
  ShmkvTable *table = entry->table;
  ShmkvBucket *bucket = entry->bucket;
  gboolean expiring = entry->word != NULL && entry->contents.expiry != 0;
  guint status = SHMKV_WIRE_STATUS_NO_MEMORY;
  ShmkvObjects *objects = shmkv_bucket_need_objects (table, bucket, &status);

  if (objects == NULL)
    return status;
  if (entry->word != NULL)
    status = shmkv_objects_replace (objects, &table->memory, &table->hash, entry->word, contents);
  else
    status = shmkv_objects_add (objects, &table->memory, &table->hash, entry->hash, contents);
  if (status != SHMKV_WIRE_STATUS_OK)
    return status;

  if (entry->word == NULL && entry->present)
    shmkv_slots_remove (table, bucket, entry->hash);
  note_expiry (table, bucket, expiring, contents->expiry);
  if (table->evict)
    shmkv_evict_prepare (table, bucket);
  return status;
}

guint
shmkv_entry_set (ShmkvEntry *entry, const ShmkvContents *contents)
{
  guint status = is_plain (contents) ? set_plain (entry, contents) : set_object (entry, contents);

  if (status == SHMKV_WIRE_STATUS_OK && entry->expired)
    count_one (&entry->table->n_expired);
  return status;
}

guint
shmkv_entry_adorn (ShmkvEntry *entry, guint64 version, gint64 expiry)
{
  ShmkvTable *table = entry->table;
  ShmkvContents contents = entry->contents;
  guint status;

  contents.version = version;
  contents.expiry = expiry;
  if (entry->word == NULL || is_plain (&contents))
    return shmkv_entry_set (entry, &contents);

  status = shmkv_objects_adorn (shmkv_get_objects (entry->bucket), &table->memory, &table->hash,
                                entry->word, &contents);
  if (status == SHMKV_WIRE_STATUS_OK)
    note_expiry (table, entry->bucket, entry->contents.expiry != 0, expiry);
  return status;
}

void
shmkv_entry_remove (ShmkvEntry *entry, guint change)
{
  if (entry->word != NULL)
    shmkv_bucket_remove_object (entry->table, entry->bucket, entry->word, change);
  else
    shmkv_bucket_remove_plain (entry->table, entry->bucket, entry->hash, change);
}

/* ------------------------------------------------------------------- testing */

const char *
shmkv_bucket_check_objects (const ShmkvTable *table, const ShmkvBucket *bucket)
{
  const ShmkvObjects *objects = shmkv_get_objects (bucket);

  if (objects->count == 0 && !table->evict)
    return "a structure for objects without any";
  for (gsize i = 0; i < objects->length; i++)
    {
      ShmkvContents contents;

      if (objects->words[i] == SHMKV_EMPTY_WORD)
        continue;
      shmkv_object_get (shmkv_word_object (objects->words[i]), &contents);
      if (shmkv_scale (shmkv_hash_key (&table->hash, &contents.key), table->hash.n_buckets)
          != shmkv_bucket_index (table, bucket))
        return "an object is in a bucket that is not its own";
      if (contents.expiry != 0 && shmkv_due_time (contents.expiry) < shmkv_get_due (bucket)
          && !shmkv_is_being_swept (table, bucket))
        return "an object expires before the bucket is due";
    }
  return shmkv_objects_check (objects, &table->hash);
}
