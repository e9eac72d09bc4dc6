/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Sizes and places in it are in words. */
struct _ShmkvChunk
{
  ShmkvChunk *next;
  guint16 size;                     /* with this header */
  guint16 end;                      /* where the next object goes */
  guint16 live;                     /* in use */
};

#define HEADER (sizeof (ShmkvChunk) / 8)

G_STATIC_ASSERT (sizeof (ShmkvChunk) == 16);

/* As many as an object's offset can tell. */
#define MAX_CHUNK 2047u

/* A chunk is this part of the heap, as half of one is free on average, but has
 * room for so many objects, as there is a header to it. */
#define CHUNK_PART 16u
#define MIN_OBJECTS 3u

/* An object that is a greater part of the heap, or of the greatest chunk, has a
 * block of its own. */
#define MAX_HEAP_PART 8u
#define MAX_SIZE (MAX_CHUNK / 4)

/* Of the chunks behind the hand, the emptiest of so many is compacted. */
#define SAMPLE 16u

/* How many chunks one allocation compacts at most, where memory would else have
 * to be taken, and where there is none to take. */
#define STEPS 2u
#define STEPS_WITHOUT_MEMORY 16u

/* Where others are evicted instead, only a chunk of which this part is garbage is
 * compacted, and none is looked for before that is true of all of them together:
 * what is copied for an object must not be many times its size. */
#define WORTH_PART 16u

/* Less is not worth the system call, and the page faults when it is used again. */
#define MIN_DISCARDED (16u * 1024)

void
shmkv_memory_discard (void *memory, gsize size)
{
  guintptr page, start, end;

  if (size < MIN_DISCARDED)
    return;
  page = sysconf (_SC_PAGESIZE);
  start = ((guintptr) memory + page - 1) & -page;
  end = ((guintptr) memory + size) & -page;
  if (end >= start + MIN_DISCARDED)
    madvise ((void *) start, end - start, MADV_DONTNEED);
}

/* ------------------------------------------------------------------- chunks */

static inline ShmkvObject *
object_at (ShmkvChunk *chunk, gsize offset)
{
  return (ShmkvObject *) ((guint64 *) chunk + offset);
}

static inline ShmkvChunk *
chunk_of (ShmkvObject *object)
{
  return (ShmkvChunk *) ((guint64 *) object - object->offset);
}

static inline gsize
n_words (const ShmkvObject *object)
{
  return shmkv_object_size (object) / 8;
}

/* Only what lives in a chunk knows its place there. */
static inline gboolean
is_dead (const ShmkvObject *object)
{
  return object->offset == 0;
}

/* The words at a place in a chunk that an object takes, or that are garbage. */
static inline gsize
n_words_at (const ShmkvObject *object)
{
  return is_dead (object) ? shmkv_object_value_length (object) / 8 : n_words (object);
}

static inline gsize
free_words (const ShmkvChunk *chunk)
{
  return chunk == NULL ? 0 : chunk->size - chunk->end;
}

/* All that is not in use, and that no object can be appended to. */
static gsize
garbage (const ShmkvHeap *heap)
{
  return heap->room - heap->live - free_words (heap->head);
}

/* More than this part of the room has to be compacted before room is added, and
 * more than that as soon as it is there: what is deleted is often followed by
 * more of the same, and waiting for that makes it cheaper. */
#define MAX_GARBAGE_PART 8u
#define MAX_DELETED_PART 4u

static gboolean
has_garbage (const ShmkvHeap *heap, guint part)
{
  return garbage (heap) > heap->room / part;
}

/* What is free in the head so far becomes garbage. */
static guint
add_chunk (ShmkvHeap *heap, ShmkvMemory *memory, gsize size)
{
  guint status = shmkv_memory_take (memory, size * 8);
  ShmkvChunk *chunk;

  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  chunk = malloc (size * 8);
  if (chunk == NULL)
    {
      shmkv_memory_give (memory, size * 8);
      return SHMKV_WIRE_STATUS_NO_MEMORY;
    }

  *chunk = (ShmkvChunk) { .next = chunk, .size = size, .end = HEADER };
  if (heap->head != NULL)
    {
      chunk->next = heap->head->next;
      heap->head->next = chunk;
    }
  else
    heap->hand = chunk;
  heap->head = chunk;
  heap->room += size - HEADER;
  heap->n_chunks++;
  return SHMKV_WIRE_STATUS_OK;
}

/* `previous` is the one before it, or itself. */
static void
remove_chunk (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvChunk *previous, ShmkvChunk *chunk)
{
  if (previous == chunk)
    previous = NULL;
  else
    previous->next = chunk->next;
  heap->holes = NULL;
  if (heap->head == chunk)
    heap->head = previous;
  if (heap->hand == chunk)
    heap->hand = previous;
  heap->room -= chunk->size - HEADER;
  heap->n_chunks--;
  shmkv_memory_give (memory, chunk->size * 8);
  free (chunk);
}

/* -------------------------------------------------------------------- holes */

/* What there is behind the header of garbage that is a hole.  When a chunk is
 * compacted all are forgotten, as some may lie there. */
typedef struct
{
  ShmkvObject *next;
  ShmkvChunk *chunk;
} Hole;

G_STATIC_ASSERT (sizeof (ShmkvObject) + sizeof (Hole) <= SHMKV_OBJECT_MIN_SIZE);

static void
add_hole (ShmkvHeap *heap, ShmkvChunk *chunk, ShmkvObject *object)
{
  Hole hole = { .next = heap->holes, .chunk = chunk };

  memcpy (object + 1, &hole, sizeof hole);
  heap->holes = object;
}

/* Puts an object where the last hole is, if that is of its size. */
static gboolean
fill_hole (ShmkvHeap *heap, gsize size, ShmkvObject **object_out)
{
  ShmkvObject *object = heap->holes;
  Hole hole;

  if (object == NULL || n_words_at (object) != size)
    return FALSE;
  memcpy (&hole, object + 1, sizeof hole);
  heap->holes = hole.next;
  object->offset = (guint64 *) object - (guint64 *) hole.chunk;
  hole.chunk->live += size;
  heap->live += size;
  *object_out = object;
  return TRUE;
}

/* --------------------------------------------------------------- compaction */

/* The chunk before the one that has the most to gain; its own is the head's
 * only where there is no other. */
static ShmkvChunk *
find_before_emptiest (ShmkvHeap *heap)
{
  ShmkvChunk *best = NULL, *previous = heap->hand;

  if (heap->head->next == heap->head)
    return heap->head;
  for (guint i = 0; i < SAMPLE; i++, previous = previous->next)
    {
      const ShmkvChunk *chunk = previous->next;

      if (chunk != heap->head
          && (best == NULL || chunk->size - chunk->live > best->next->size - best->next->live))
        best = previous;
      heap->hand = previous->next;
    }
  return best;
}

/* What compacting it yields. */
static gsize
gain (const ShmkvHeap *heap, const ShmkvChunk *chunk)
{
  return chunk->size - HEADER - chunk->live - (chunk == heap->head ? free_words (chunk) : 0);
}

static void
move (ShmkvObject *object, gsize size, ShmkvChunk *chunk, gsize offset, ShmkvHeapMoved moved,
      gpointer data)
{
  ShmkvObject *to = object_at (chunk, offset);

  if (to == object)
    return;
  memmove (to, object, size * 8);
  to->offset = offset;
  moved (data, object, to);
}

/* Those that live go to the head while they fit, the others to the front. */
static void
evacuate (ShmkvHeap *heap, ShmkvChunk *chunk, ShmkvHeapMoved moved, gpointer data)
{
  ShmkvChunk *head = heap->head;
  gsize end = HEADER, size;

  heap->holes = NULL;
  for (gsize from = HEADER; from < chunk->end; from += size)
    {
      ShmkvObject *object = object_at (chunk, from);

      size = n_words_at (object);
      if (is_dead (object))
        continue;
      if (head != chunk && free_words (head) >= size)
        {
          move (object, size, head, head->end, moved, data);
          head->end += size;
          head->live += size;
          continue;
        }
      move (object, size, chunk, end, moved, data);
      end += size;
    }
  chunk->end = end;
  chunk->live = end - HEADER;
}

/* FALSE if no chunk was found of which this part is garbage; 0: any part. */
static gboolean
compact (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvHeapMoved moved, gpointer data, guint part)
{
  ShmkvChunk *previous, *chunk;

  if (heap->head == NULL || garbage (heap) == 0
      || (part > 0 && garbage (heap) < heap->room / part))
    return FALSE;
  previous = find_before_emptiest (heap);
  chunk = previous->next;
  if (part > 0 && gain (heap, chunk) < chunk->size / part)
    return FALSE;
  evacuate (heap, chunk, moved, data);
  if (chunk->live == 0)
    remove_chunk (heap, memory, previous, chunk);
  else
    heap->head = chunk;
  return TRUE;
}

gboolean
shmkv_heap_compact (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvHeapMoved moved, gpointer data)
{
  return compact (heap, memory, moved, data, 0);
}

void
shmkv_heap_tidy (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvHeapMoved moved, gpointer data)
{
  if (has_garbage (heap, MAX_DELETED_PART))
    shmkv_heap_compact (heap, memory, moved, data);
}

/* --------------------------------------------------------------- allocation */

static gboolean
needs_block (const ShmkvHeap *heap, gsize size)
{
  return size > MAX_SIZE || size * MAX_HEAP_PART > heap->room + heap->blocks / 8;
}

/* Many objects are of the same size: nothing is left at a chunk's end that is a
 * multiple of it. */
static gsize
chunk_size (const ShmkvHeap *heap, gsize size)
{
  gsize n = MAX ((heap->room + heap->blocks / 8) / CHUNK_PART / size, MIN_OBJECTS);

  return HEADER + MIN (n, (MAX_CHUNK - HEADER) / size) * size;
}

/* Compacts until the head has room. */
static gboolean
make_room (ShmkvHeap *heap, ShmkvMemory *memory, gsize size, ShmkvHeapMoved moved, gpointer data,
           gboolean pressed)
{
  guint steps = pressed ? STEPS_WITHOUT_MEMORY : STEPS;
  guint part = pressed && memory->evicts ? WORTH_PART : 0;

  for (guint i = 0; i < steps && free_words (heap->head) < size; i++)
    if ((!pressed && !has_garbage (heap, MAX_GARBAGE_PART))
        || !compact (heap, memory, moved, data, part))
      break;
  return free_words (heap->head) >= size;
}

static guint
append (ShmkvHeap *heap, ShmkvMemory *memory, gsize size, ShmkvHeapMoved moved, gpointer data,
        ShmkvObject **object_out)
{
  ShmkvChunk *head;
  guint status;

  if (fill_hole (heap, size, object_out))
    return SHMKV_WIRE_STATUS_OK;
  if (!make_room (heap, memory, size, moved, data, FALSE))
    {
      status = add_chunk (heap, memory, chunk_size (heap, size));
      if (status != SHMKV_WIRE_STATUS_OK
          && !make_room (heap, memory, size, moved, data, TRUE))
        return status;
    }

  head = heap->head;
  *object_out = object_at (head, head->end);
  (*object_out)->offset = head->end;
  head->end += size;
  head->live += size;
  heap->live += size;
  return SHMKV_WIRE_STATUS_OK;
}

static guint
allocate_block (ShmkvHeap *heap, ShmkvMemory *memory, gsize size, ShmkvObject **object_out)
{
  guint status = shmkv_memory_take (memory, size);

  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  *object_out = malloc (size);
  if (*object_out == NULL)
    {
      shmkv_memory_give (memory, size);
      return SHMKV_WIRE_STATUS_NO_MEMORY;
    }
  (*object_out)->offset = 0;
  heap->blocks += size;
  return SHMKV_WIRE_STATUS_OK;
}

guint
shmkv_heap_allocate (ShmkvHeap *heap, ShmkvMemory *memory, const ShmkvObject *header,
                     ShmkvHeapMoved moved, gpointer data, ShmkvObject **object_out)
{
  gsize size = n_words (header);
  guint status = SHMKV_WIRE_STATUS_NO_MEMORY;

  if (needs_block (heap, size))
    status = allocate_block (heap, memory, size * 8, object_out);
  if (status != SHMKV_WIRE_STATUS_OK && size <= MAX_SIZE)
    status = append (heap, memory, size, moved, data, object_out);
  if (status == SHMKV_WIRE_STATUS_OK)
    shmkv_object_set_header (*object_out, header);
  return status;
}

/* The words from `object` to its end are garbage now, or free again. */
static void
leave (ShmkvHeap *heap, ShmkvChunk *chunk, gsize offset, gsize size)
{
  ShmkvObject *garbage_there = object_at (chunk, offset);

  chunk->live -= size;
  heap->live -= size;
  if (offset + size == chunk->end)
    {
      chunk->end = offset;
      return;
    }
  *garbage_there = (ShmkvObject) { .offset = 0 };
  shmkv_object_set_lengths (garbage_there, 0, size * 8);
  garbage_there->is_long = TRUE;
}

void
shmkv_heap_free (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvObject *object)
{
  gsize size = shmkv_object_size (object), offset = object->offset;
  ShmkvChunk *chunk;

  if (offset != 0)
    {
      chunk = chunk_of (object);
      leave (heap, chunk, offset, size / 8);
      if (memory->evicts && offset < chunk->end)
        add_hole (heap, chunk, object);
      return;
    }
  heap->blocks -= size;
  shmkv_memory_discard (object, size);
  free (object);
  shmkv_memory_give (memory, size);
}

/* Where realloc() cannot do it, the block remains as it is, and is not used to
 * its end. */
ShmkvObject *
shmkv_heap_shrunk (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvObject *object, gsize old_size)
{
  gsize size = shmkv_object_size (object);
  ShmkvObject *shrunk;

  if (size == old_size)
    return object;
  if (object->offset != 0)
    {
      leave (heap, chunk_of (object), object->offset + size / 8, (old_size - size) / 8);
      return object;
    }
  shmkv_memory_discard ((guint8 *) object + size, old_size - size);
  shrunk = realloc (object, size);
  heap->blocks -= old_size - size;
  shmkv_memory_give (memory, old_size - size);
  return shrunk != NULL ? shrunk : object;
}

guint
shmkv_heap_grow_block (ShmkvHeap *heap, ShmkvMemory *memory, ShmkvObject **object, gsize size)
{
  gsize more = size - shmkv_object_size (*object);
  guint status = shmkv_memory_take (memory, more);
  ShmkvObject *grown;

  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  grown = realloc (*object, size);
  if (grown == NULL)
    {
      shmkv_memory_give (memory, more);
      return SHMKV_WIRE_STATUS_NO_MEMORY;
    }
  heap->blocks += more;
  *object = grown;
  return SHMKV_WIRE_STATUS_OK;
}

void
shmkv_heap_clear (ShmkvHeap *heap, ShmkvMemory *memory)
{
  while (heap->head != NULL)
    remove_chunk (heap, memory, heap->head, heap->head->next);
}

/* ------------------------------------------------------------------- others */

gsize
shmkv_heap_size (const ShmkvHeap *heap)
{
  return heap->blocks + (heap->room + heap->n_chunks * HEADER) * 8;
}

static const char *
check_chunk (ShmkvChunk *chunk)
{
  gsize live = 0, size;

  for (gsize at = HEADER; at < chunk->end; at += size)
    {
      const ShmkvObject *object = object_at (chunk, at);

      size = n_words_at (object);
      if (size == 0 || at + size > chunk->end)
        return "an object reaches beyond its chunk";
      if (!is_dead (object) && object->offset != at)
        return "an object does not know where it is";
      live += is_dead (object) ? 0 : size;
    }
  if (chunk->end > chunk->size)
    return "a chunk is too full";
  return live == chunk->live ? NULL : "a chunk's count of what lives is wrong";
}

const char *
shmkv_heap_check (const ShmkvHeap *heap)
{
  ShmkvChunk *chunk = heap->head;
  gsize room = 0, live = 0, n_chunks = 0;
  gboolean has_hand = chunk == NULL;

  if (chunk != NULL)
    do
      {
        const char *fault = check_chunk (chunk);

        if (fault != NULL)
          return fault;
        room += chunk->size - HEADER;
        live += chunk->live;
        n_chunks++;
        has_hand |= chunk == heap->hand;
      }
    while ((chunk = chunk->next) != heap->head);
  if (!has_hand)
    return "the heap's hand is lost";
  if (room != heap->room || live != heap->live || n_chunks != heap->n_chunks)
    return "the heap's sums are wrong";
  return NULL;
}
