/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/objects.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Words beyond the capacity, at first. */
#define OVERHANG 4u

/* An index this small does not shrink. */
#define SMALL_CAPACITY 16u

/* By so much an index grows at least, when it is not small any more. */
#define STEP 64u

/* What heap.c needs to tell of objects that have moved. */
typedef struct
{
  ShmkvObjects *objects;
  const ShmkvHash *hash;
} Context;

/* ------------------------------------------------------------------ objects */

/* Returns what is behind it.  Nothing in an object is aligned but its header. */
static const guint8 *
read_word (const guint8 *from, gpointer word)
{
  memcpy (word, from, 8);
  return from + 8;
}

void
shmkv_object_get (const ShmkvObject *object, ShmkvContents *contents)
{
  const guint8 *attribute = shmkv_object_attributes (object);
  const guint8 *payload = shmkv_object_payload (object);
  const guint8 *value = payload + shmkv_object_key_size (object);

  *contents = (ShmkvContents) { .key = { .kind = SHMKV_WIRE_KIND_INTEGER },
                                .value = { .kind = SHMKV_WIRE_KIND_INTEGER } };
  if (object->has_version)
    attribute = read_word (attribute, &contents->version);
  if (object->has_expiry)
    attribute = read_word (attribute, &contents->expiry);
  if (object->has_owner)
    read_word (attribute, &contents->owner);

  if (object->key_is_bytes)
    contents->key = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .bytes = payload,
                                   .integer = shmkv_object_key_length (object) };
  else
    memcpy (&contents->key.integer, payload, 8);
  if (object->value_is_bytes)
    contents->value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES,
                                     .integer = shmkv_object_value_length (object),
                                     .bytes = value };
  else
    memcpy (&contents->value.integer, value, 8);
}

static gboolean
has_key (const ShmkvObject *object, const ShmkvField *key)
{
  const guint8 *payload = shmkv_object_payload (object);

  if (key->kind == SHMKV_WIRE_KIND_INTEGER)
    return !object->key_is_bytes && memcmp (payload, &key->integer, 8) == 0;
  return object->key_is_bytes && shmkv_object_key_length (object) == key->integer
         && memcmp (payload, key->bytes, key->integer) == 0;
}

static guint64
hash_of (const ShmkvHash *hash, const ShmkvObject *object)
{
  ShmkvContents contents;

  shmkv_object_get (object, &contents);
  return shmkv_hash_key (hash, &contents.key);
}

/* Its offset is not known yet. */
static ShmkvObject
make_header (const ShmkvContents *contents)
{
  gboolean key_is_bytes = contents->key.kind == SHMKV_WIRE_KIND_BYTES;
  gboolean value_is_bytes = contents->value.kind == SHMKV_WIRE_KIND_BYTES;
  ShmkvObject header = {
    .key_is_bytes = key_is_bytes,
    .value_is_bytes = value_is_bytes,
    .has_version = contents->version != 0,
    .has_expiry = contents->expiry != 0,
    .has_owner = contents->owner != 0,
  };

  shmkv_object_set_lengths (&header, key_is_bytes ? contents->key.integer : 0,
                            value_is_bytes ? contents->value.integer : 0);
  return header;
}

static guint8 *
write_word (guint8 *to, gconstpointer word)
{
  memcpy (to, word, 8);
  return to + 8;
}

static void
write_attributes (ShmkvObject *object, const ShmkvContents *contents)
{
  guint8 *to = shmkv_object_attributes (object);

  if (contents->version != 0)
    to = write_word (to, &contents->version);
  if (contents->expiry != 0)
    to = write_word (to, &contents->expiry);
  if (contents->owner != 0)
    write_word (to, &contents->owner);
}

static guint8 *
write_field (guint8 *to, const ShmkvField *field)
{
  if (field->kind == SHMKV_WIRE_KIND_INTEGER)
    return write_word (to, &field->integer);
  if (field->integer > 0)
    memcpy (to, field->bytes, field->integer);
  return to + field->integer;
}

/* Behind the header, which is there. */
static void
write_object (ShmkvObject *object, const ShmkvContents *contents)
{
  guint8 *to = shmkv_object_payload (object);

  write_attributes (object, contents);
  to = write_field (to, &contents->key);
  write_field (to, &contents->value);
}

/* -------------------------------------------------------------------- index */

static const guint64 no_words[] = { SHMKV_EMPTY_WORD };

static inline gsize
home_of (guint tag, gsize capacity)
{
  return (guint64) tag * capacity >> SHMKV_TAG_BITS;
}

static inline guint64
make_word (guint tag, const ShmkvObject *object)
{
  guint64 address = (guintptr) object >> 3;

  g_assert (address < (G_GUINT64_CONSTANT (1) << SHMKV_ADDRESS_BITS) - 1);
  return (guint64) tag << SHMKV_ADDRESS_BITS | address;
}

guint64 *
shmkv_objects_from (const ShmkvObjects *objects, guint tag)
{
  guint64 *word = objects->words + home_of (tag, objects->capacity);
  guint64 least = (guint64) tag << SHMKV_ADDRESS_BITS;

  while (*word < least)
    word++;
  return word;
}

guint64 *
shmkv_objects_find (const ShmkvObjects *objects, guint tag, const ShmkvField *key)
{
  guint64 *word = shmkv_objects_from (objects, tag);

  for (; shmkv_word_tag (*word) == tag && *word != SHMKV_EMPTY_WORD; word++)
    if (has_key (shmkv_word_object (*word), key))
      return word;
  return NULL;
}

static void
object_moved (gpointer data, gconstpointer old, const ShmkvObject *object)
{
  Context *context = data;
  guint tag = shmkv_hash_tag (context->hash, hash_of (context->hash, object));
  guint64 *word = shmkv_objects_from (context->objects, tag);

  while (shmkv_word_object (*word) != old)
    word++;
  *word = make_word (tag, object);
}

static gsize
index_size (gsize length)
{
  return length == 0 ? 0 : (length + 1) * sizeof (guint64);
}

/* A cache line has eight words: runs may be a little longer than those of slots. */
static gsize
max_count (gsize capacity)
{
  return capacity - capacity / 16;
}

/* From old to new, which is all empty.  Returns where the last one ends. */
static gsize
deal_out (const ShmkvObjects *objects, guint64 *words, gsize capacity)
{
  gsize next = 0;

  for (gsize i = 0; i < objects->length; i++)
    if (objects->words[i] != SHMKV_EMPTY_WORD)
      {
        next = MAX (next, home_of (shmkv_word_tag (objects->words[i]), capacity));
        words[next++] = objects->words[i];
      }
  return next;
}

/* Where the last one would end. */
static gsize
find_end (const ShmkvObjects *objects, gsize capacity)
{
  gsize next = 0;

  for (gsize i = 0; i < objects->length; i++)
    if (objects->words[i] != SHMKV_EMPTY_WORD)
      next = MAX (next, home_of (shmkv_word_tag (objects->words[i]), capacity)) + 1;
  return next;
}

static void
drop_words (ShmkvObjects *objects)
{
  gsize size = index_size (objects->length);

  if (size == 0)
    return;
  shmkv_memory_discard (objects->words, size);
  free (objects->words);
}

/* The old array is not counted twice while it is copied.  Where there is no
 * memory for it, that is known before all words are looked at. */
static guint
set_room (ShmkvObjects *objects, ShmkvMemory *memory, gsize capacity, gsize overhang)
{
  gsize least = index_size (capacity + overhang), old_size = index_size (objects->length);
  gsize size, end;
  guint status = least <= old_size ? SHMKV_WIRE_STATUS_OK
                                   : shmkv_memory_ask (memory, least - old_size);
  guint64 *words;

  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  end = MAX (find_end (objects, capacity), capacity) + overhang;
  size = index_size (end);
  if (size > old_size)
    status = shmkv_memory_take (memory, size - old_size);
  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  words = malloc (size);
  if (words == NULL)
    {
      if (size > old_size)
        shmkv_memory_give (memory, size - old_size);
      return SHMKV_WIRE_STATUS_NO_MEMORY;
    }

  memset (words, 0xff, size);
  deal_out (objects, words, capacity);
  drop_words (objects);
  objects->words = words;
  objects->capacity = capacity;
  objects->length = end;
  if (size < old_size)
    shmkv_memory_give (memory, old_size - size);
  return SHMKV_WIRE_STATUS_OK;
}

/* Up to some size all buckets' indices take the same steps: what one leaves, as
 * it outgrows it, has the size that another one needs. */
static guint
grow (ShmkvObjects *objects, ShmkvMemory *memory)
{
  gsize capacity = objects->capacity;

  if (capacity < STEP)
    capacity += MAX (capacity, 2);
  else
    capacity += MAX (capacity / 8, STEP);
  return set_room (objects, memory, capacity, OVERHANG);
}

/* The word that is to move up for a new one, or is empty; all up to the next
 * empty one move.  NULL where there is none but the last. */
static guint64 *
find_place (const ShmkvObjects *objects, guint tag, guint64 **gap_out)
{
  guint64 *word = shmkv_objects_from (objects, tag), *gap;

  for (gap = word; *gap != SHMKV_EMPTY_WORD; gap++)
    ;
  *gap_out = gap;
  return gap == objects->words + objects->length ? NULL : word;
}

/* With less capacity an array that is no longer has more room at its end; little
 * less is mostly enough. */
static guint
yield_capacity (ShmkvObjects *objects, ShmkvMemory *memory, guint tag, guint status)
{
  gsize step = objects->capacity / 64 + OVERHANG;
  guint64 *gap;

  for (; objects->capacity > objects->count + OVERHANG; step *= 2)
    {
      gsize capacity = MAX (objects->count, objects->capacity - MIN (step, objects->capacity));
      guint result = set_room (objects, memory, capacity, OVERHANG);

      if (result != SHMKV_WIRE_STATUS_OK)
        return status;
      if (find_place (objects, tag, &gap) != NULL)
        return SHMKV_WIRE_STATUS_OK;
    }
  return status;
}

/* Whether another one can go instead: then an index does not get fuller than is
 * good for it. */
static gboolean
evicts_for (const ShmkvMemory *memory, guint status)
{
  return memory->evicts && status == SHMKV_WIRE_STATUS_NO_SPACE;
}

/* Sees to it that a word for that hash can be added. */
static guint
reserve_word (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash, guint64 key_hash)
{
  guint tag = shmkv_hash_tag (hash, key_hash);
  guint64 *gap;
  guint status;

  if (objects->count >= max_count (objects->capacity))
    {
      status = grow (objects, memory);
      if (status != SHMKV_WIRE_STATUS_OK
          && (evicts_for (memory, status) || objects->count >= objects->capacity))
        return status;
    }
  if (find_place (objects, tag, &gap) != NULL)
    return SHMKV_WIRE_STATUS_OK;
  status = set_room (objects, memory, objects->capacity, OVERHANG);
  if (status != SHMKV_WIRE_STATUS_OK)
    status = yield_capacity (objects, memory, tag, status);
  return status;
}

static void
add_word (ShmkvObjects *objects, guint tag, const ShmkvObject *object)
{
  guint64 *gap, *place = find_place (objects, tag, &gap);

  memmove (place + 1, place, (gap - place) * sizeof *place);
  *place = make_word (tag, object);
  objects->count++;
}

static void
remove_word (ShmkvObjects *objects, guint64 *word)
{
  guint64 *next;

  for (next = word + 1; *next != SHMKV_EMPTY_WORD; next++)
    if (home_of (shmkv_word_tag (*next), objects->capacity) == (gsize) (next - objects->words))
      break;
  memmove (word, word + 1, (next - word - 1) * sizeof *word);
  next[-1] = SHMKV_EMPTY_WORD;
  objects->count--;
}

static void
drop_index (ShmkvObjects *objects, ShmkvMemory *memory)
{
  gsize size = index_size (objects->length);

  drop_words (objects);
  objects->words = (guint64 *) no_words;
  objects->capacity = 0;
  objects->length = 0;
  shmkv_memory_give (memory, size);
}

/* ------------------------------------------------------------------ changes */

guint
shmkv_objects_add (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash,
                   guint64 key_hash, const ShmkvContents *contents)
{
  Context context = { .objects = objects, .hash = hash };
  ShmkvObject header = make_header (contents), *object;
  guint status = reserve_word (objects, memory, hash, key_hash);

  if (status == SHMKV_WIRE_STATUS_OK)
    status = shmkv_heap_allocate (&objects->heap, memory, &header, object_moved, &context, &object);
  if (status != SHMKV_WIRE_STATUS_OK)
    {
      if (objects->count == 0)
        drop_index (objects, memory);
      return status;
    }
  write_object (object, contents);
  add_word (objects, shmkv_hash_tag (hash, key_hash), object);
  return SHMKV_WIRE_STATUS_OK;
}

static void
set_object (guint64 *word, const ShmkvObject *object)
{
  *word = make_word (shmkv_word_tag (*word), object);
}

static void
tidy (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash)
{
  Context context = { .objects = objects, .hash = hash };

  shmkv_heap_tidy (&objects->heap, memory, object_moved, &context);
}

/* For a header whose object is larger than that of `word`. */
static guint
allocate_other (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash,
                const ShmkvObject *header, ShmkvObject **object_out)
{
  Context context = { .objects = objects, .hash = hash };

  return shmkv_heap_allocate (&objects->heap, memory, header, object_moved, &context, object_out);
}

guint
shmkv_objects_replace (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash,
                       guint64 *word, const ShmkvContents *contents)
{
  ShmkvObject header = make_header (contents), *object = shmkv_word_object (*word);
  gsize old_size = shmkv_object_size (object);
  guint status;

  if (shmkv_object_size (&header) <= old_size)
    {
      shmkv_object_set_header (object, &header);
      write_object (object, contents);
      set_object (word, shmkv_heap_shrunk (&objects->heap, memory, object, old_size));
    }
  else
    {
      status = allocate_other (objects, memory, hash, &header, &object);
      if (status != SHMKV_WIRE_STATUS_OK)
        return status;
      write_object (object, contents);
      shmkv_heap_free (&objects->heap, memory, shmkv_word_object (*word));
      set_object (word, object);
    }
  tidy (objects, memory, hash);
  return SHMKV_WIRE_STATUS_OK;
}

/* Writes the attributes of `contents` and moves what is behind them there; from
 * another object, or the same, whose header is already the new one. */
static void
copy_adorned (ShmkvObject *object, const guint8 *payload, const ShmkvContents *contents)
{
  gsize size = shmkv_object_key_size (object) + shmkv_object_value_size (object);

  memmove (shmkv_object_payload (object), payload, size);
  write_attributes (object, contents);
}

guint
shmkv_objects_adorn (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash,
                     guint64 *word, const ShmkvContents *contents)
{
  ShmkvObject *old = shmkv_word_object (*word), *object, header = *old;
  const guint8 *payload = shmkv_object_payload (old);
  gsize old_size = shmkv_object_size (old);
  guint status;

  header.has_version = contents->version != 0;
  header.has_expiry = contents->expiry != 0;
  header.has_owner = contents->owner != 0;
  if (shmkv_object_size (&header) <= old_size)
    {
      shmkv_object_set_header (old, &header);
      copy_adorned (old, payload, contents);
      set_object (word, shmkv_heap_shrunk (&objects->heap, memory, old, old_size));
    }
  else if (old->offset == 0)
    {
      /* Not twice, were it only for a moment: there may be no room for that. */
      status = shmkv_heap_grow_block (&objects->heap, memory, &old, shmkv_object_size (&header));
      if (status != SHMKV_WIRE_STATUS_OK)
        return status;
      payload = shmkv_object_payload (old);
      shmkv_object_set_header (old, &header);
      copy_adorned (old, payload, contents);
      set_object (word, old);
    }
  else
    {
      status = allocate_other (objects, memory, hash, &header, &object);
      if (status != SHMKV_WIRE_STATUS_OK)
        return status;
      old = shmkv_word_object (*word);
      copy_adorned (object, shmkv_object_payload (old), contents);
      shmkv_heap_free (&objects->heap, memory, old);
      set_object (word, object);
    }
  tidy (objects, memory, hash);
  return SHMKV_WIRE_STATUS_OK;
}

void
shmkv_objects_remove (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash,
                      guint64 *word)
{
  shmkv_heap_free (&objects->heap, memory, shmkv_word_object (*word));
  remove_word (objects, word);
  if (objects->count == 0)
    {
      drop_index (objects, memory);
      shmkv_heap_clear (&objects->heap, memory);
      return;
    }
  if (objects->capacity > SMALL_CAPACITY && objects->count < objects->capacity / 3)
    set_room (objects, memory, objects->count + objects->count / 2, OVERHANG);
  tidy (objects, memory, hash);
}

/* Compacting as many chunks as may have garbage would take too long in a great
 * bucket. */
void
shmkv_objects_squeeze (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash)
{
  Context context = { .objects = objects, .hash = hash };
  gsize capacity = objects->count + objects->count / 12 + 1;

  if (objects->count > 0 && capacity < objects->capacity)
    set_room (objects, memory, capacity, OVERHANG);
  for (guint i = 0; i < 16; i++)
    if (!shmkv_heap_compact (&objects->heap, memory, object_moved, &context))
      break;
}

/* ---------------------------------------------------------------- the whole */

void
shmkv_objects_init (ShmkvObjects *objects)
{
  *objects = (ShmkvObjects) { .words = (guint64 *) no_words };
}

static gsize
used_size (const ShmkvObjects *objects)
{
  return objects->n_used / 8;
}

void
shmkv_objects_clear (ShmkvObjects *objects, ShmkvMemory *memory)
{
  for (gsize i = 0; i < objects->length; i++)
    {
      ShmkvObject *object = shmkv_word_object (objects->words[i]);

      if (objects->words[i] != SHMKV_EMPTY_WORD && object->offset == 0)
        shmkv_heap_free (&objects->heap, memory, object);
    }
  shmkv_heap_clear (&objects->heap, memory);
  drop_index (objects, memory);
  objects->count = 0;
  objects->heap = (ShmkvHeap) { .head = NULL };
  shmkv_memory_give (memory, used_size (objects));
  free (objects->used);
  objects->used = NULL;
  objects->n_used = 0;
}

gsize
shmkv_objects_size (const ShmkvObjects *objects)
{
  return index_size (objects->length) + shmkv_heap_size (&objects->heap) + used_size (objects);
}

gsize
shmkv_objects_longest_way (const ShmkvObjects *objects)
{
  gsize longest = 0;

  for (gsize i = 0; i < objects->length; i++)
    if (objects->words[i] != SHMKV_EMPTY_WORD)
      longest = MAX (longest, i - home_of (shmkv_word_tag (objects->words[i]), objects->capacity));
  return longest;
}

const char *
shmkv_objects_check (const ShmkvObjects *objects, const ShmkvHash *hash)
{
  gsize next = 0, n = 0, live = 0, blocks = 0;
  guint previous = 0;

  if (objects->words[objects->length] != SHMKV_EMPTY_WORD)
    return "the last word is not empty";
  for (gsize i = 0; i < objects->length; i++)
    {
      guint64 word = objects->words[i];
      const ShmkvObject *object = shmkv_word_object (word);
      guint tag = shmkv_word_tag (word);

      if (word == SHMKV_EMPTY_WORD)
        continue;
      if (shmkv_hash_tag (hash, hash_of (hash, object)) != tag)
        return "a tag is wrong";
      if (tag < previous)
        return "the tags are out of order";
      if (i != MAX (next, home_of (tag, objects->capacity)))
        return "a word is neither at home nor right behind another";
      if (object->offset == 0)
        blocks += shmkv_object_size (object);
      else
        live += shmkv_object_size (object) / 8;
      previous = tag;
      next = i + 1;
      n++;
    }
  if (n != objects->count)
    return "the count of objects is wrong";
  if (live != objects->heap.live || blocks != objects->heap.blocks)
    return "the heap counts other objects than there are";
  return shmkv_heap_check (&objects->heap);
}
