/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The memory of a bucket's objects.
 *
 * A log-structured heap (Rumble, Kejriwal, Ousterhout, "Log-structured Memory
 * for DRAM-based Storage", FAST 2014), small enough to be one bucket's, and
 * guarded by its lock.  Objects are appended to a chunk of memory, the head.
 * Those that are freed leave garbage behind; where there is too much of it, the
 * chunk with the least that lives is compacted: its objects fill up the head,
 * and what does not fit moves together and becomes the next head.  No step
 * takes memory, so it works where there is none left, and none looks at more
 * than a chunk.
 *
 * Against malloc() for every object this spares its header and its rounding,
 * and the holes that remain where sizes change.  Chunks are some sixteenth of
 * the heap, so that what is not yet used of the head does not matter; objects
 * that are large next to that have a block of their own, from malloc(). */

#pragma once

#include "server/memory.h"

#include <string.h>

G_BEGIN_DECLS

/* A pair, and what goes with it.  Behind the header there are, without gaps, a
 * word for each of the three flags that is set, in their order; the key, if it is
 * an integer a word; and the value, likewise.
 *
 * Most keys and values are short: then the header is the first half of this
 * only, which is all that may be written.  The upper bits of the lengths are 0. */
typedef struct
{
  guint32 is_long : 1;
  guint32 key_is_bytes : 1;
  guint32 value_is_bytes : 1;
  guint32 has_version : 1;
  guint32 has_expiry : 1;
  guint32 has_owner : 1;
  guint32 offset : 11;              /* in the chunk, in words; 0: a block of its own, or garbage */
  guint32 key_low : 6;              /* of the lengths in bytes */
  guint32 value_low : 9;

  guint32 key_high : 11;
  guint32 value_high : 21;
} ShmkvObject;

#define SHMKV_OBJECT_KEY_BITS 6u
#define SHMKV_OBJECT_VALUE_BITS 9u

G_STATIC_ASSERT (sizeof (ShmkvObject) == 8);

/* No object is smaller: so one can always become that of two integers. */
#define SHMKV_OBJECT_MIN_SIZE 24u

static inline gsize
shmkv_object_header_size (const ShmkvObject *object)
{
  return object->is_long ? 8 : 4;
}

static inline gsize
shmkv_object_key_length (const ShmkvObject *object)
{
  return object->key_low | (object->is_long ? object->key_high << SHMKV_OBJECT_KEY_BITS : 0);
}

static inline gsize
shmkv_object_value_length (const ShmkvObject *object)
{
  return object->value_low | (object->is_long ? object->value_high << SHMKV_OBJECT_VALUE_BITS : 0);
}

static inline void
shmkv_object_set_lengths (ShmkvObject *header, gsize key_length, gsize value_length)
{
  header->key_low = key_length & ((1u << SHMKV_OBJECT_KEY_BITS) - 1);
  header->key_high = key_length >> SHMKV_OBJECT_KEY_BITS;
  header->value_low = value_length & ((1u << SHMKV_OBJECT_VALUE_BITS) - 1);
  header->value_high = value_length >> SHMKV_OBJECT_VALUE_BITS;
  header->is_long = header->key_high != 0 || header->value_high != 0;
}

static inline gsize
shmkv_object_n_attributes (const ShmkvObject *object)
{
  return object->has_version + object->has_expiry + object->has_owner;
}

static inline guint8 *
shmkv_object_attributes (const ShmkvObject *object)
{
  return (guint8 *) object + shmkv_object_header_size (object);
}

/* Where the key is. */
static inline guint8 *
shmkv_object_payload (const ShmkvObject *object)
{
  return shmkv_object_attributes (object) + 8 * shmkv_object_n_attributes (object);
}

static inline gsize
shmkv_object_key_size (const ShmkvObject *object)
{
  return object->key_is_bytes ? shmkv_object_key_length (object) : 8;
}

static inline gsize
shmkv_object_value_size (const ShmkvObject *object)
{
  return object->value_is_bytes ? shmkv_object_value_length (object) : 8;
}

/* A key can be read up to the next multiple of 8. */
static inline gsize
shmkv_object_size (const ShmkvObject *object)
{
  gsize key_size = shmkv_object_key_size (object);
  gsize size = shmkv_object_payload (object) - (const guint8 *) object
               + MAX (key_size + shmkv_object_value_size (object), (key_size + 7) & ~(gsize) 7);

  return MAX ((size + 7) & ~(gsize) 7, SHMKV_OBJECT_MIN_SIZE);
}

/* Its place remains the same. */
static inline void
shmkv_object_set_header (ShmkvObject *object, const ShmkvObject *header)
{
  ShmkvObject own = *header;

  own.offset = object->offset;
  memcpy (object, &own, shmkv_object_header_size (&own));
}

typedef struct _ShmkvChunk ShmkvChunk;

typedef struct
{
  ShmkvChunk *head;                 /* where objects are appended; the others follow in a circle */
  ShmkvChunk *hand;                 /* behind this one the search for garbage goes on */
  gsize room;                       /* words for objects in all chunks */
  gsize live;                       /* those that are in use */
  gsize blocks;                     /* bytes of the blocks */
  gsize n_chunks;
  ShmkvObject *holes;               /* garbage to reuse as it is, see shmkv_heap_free() */
} ShmkvHeap;

/* Told where an object is now, which was at `old`: nothing is there any more. */
typedef void (*ShmkvHeapMoved) (gpointer data, gconstpointer old, const ShmkvObject *object);

/* Memory for an object of that header, which is copied there, but for `offset`.
 * OK, or NO_MEMORY or NO_SPACE.  Others may move. */
guint shmkv_heap_allocate (ShmkvHeap *heap, ShmkvMemory *memory, const ShmkvObject *header,
                           ShmkvHeapMoved moved, gpointer data, ShmkvObject **object_out);

/* Nothing moves.  Where there is a limit at which others are evicted, the next
 * objects of the same size take the places of the last that were freed: so those
 * that follow each other there need no compaction. */
void shmkv_heap_free (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvObject *object);

/* Gives the end of an object back, whose size was `old_size` and by its header
 * is less now.  Returns where it is: a block may move. */
ShmkvObject *shmkv_heap_shrunk (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvObject *object,
                                gsize old_size);

/* Room for `size` bytes where a block is, which may move.  OK, or NO_MEMORY or
 * NO_SPACE.  Its header is to be changed accordingly. */
guint shmkv_heap_grow_block (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvObject **object,
                             gsize size);

/* A step against garbage, where there is too much. */
void shmkv_heap_tidy (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvHeapMoved moved, gpointer data);

/* A step against garbage, where there is any.  FALSE if it found none. */
gboolean shmkv_heap_compact (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvHeapMoved moved,
                             gpointer data);

/* Frees the chunks.  The blocks are to be freed before. */
void shmkv_heap_clear (ShmkvHeap *heap, ShmkvMemory *memory);

/* Bytes that the heap has taken. */
gsize shmkv_heap_size (const ShmkvHeap *heap);

/* For tests: NULL, or what is not as it must be. */
const char *shmkv_heap_check (const ShmkvHeap *heap);

G_END_DECLS
