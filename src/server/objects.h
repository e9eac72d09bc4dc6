/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The objects of a bucket: all pairs but those of two plain integers.
 *
 * An index of one word per object, with a tag and the object's address, is
 * kept like the bucket's slots: sorted by tag, probed linearly from a home that
 * follows from the tag.  Different keys may have the same tag, in any order;
 * they are told apart by themselves.
 *
 * All functions are called under the bucket's lock, the writer's side where
 * they change something. */

#pragma once

#include "server/hash.h"
#include "server/heap.h"

G_BEGIN_DECLS

typedef struct
{
  guint64 *words;                   /* one more than `length`, which stays empty */
  gsize capacity;                   /* homes */
  gsize length;
  gsize count;
  ShmkvHeap heap;

  /* Which pairs, plain ones too, were used since the hand passed: a bit for all
   * whose tags are near each other.  NULL where nothing is ever evicted. */
  _Atomic guint64 *used;
  gsize n_used;                     /* bits; a multiple of 64 */
  gsize hand;                       /* how many of them it has passed, see upkeep.c */
} ShmkvObjects;

/* What an object is to hold. */
typedef struct
{
  ShmkvField key;
  ShmkvField value;
  guint64 version;                  /* 0: none */
  gint64 expiry;                    /* 0: never */
  guint64 owner;                    /* 0: none */
} ShmkvContents;

#define SHMKV_EMPTY_WORD G_MAXUINT64
#define SHMKV_ADDRESS_BITS (64 - SHMKV_TAG_BITS)

static inline guint
shmkv_word_tag (guint64 word)
{
  return word >> SHMKV_ADDRESS_BITS;
}

static inline ShmkvObject *
shmkv_word_object (guint64 word)
{
  guint64 mask = (G_GUINT64_CONSTANT (1) << SHMKV_ADDRESS_BITS) - 1;

  return (ShmkvObject *) (guintptr) ((word & mask) << 3);
}

void shmkv_objects_init (ShmkvObjects *objects);

/* Frees all of them, and the index. */
void shmkv_objects_clear (ShmkvObjects *objects, ShmkvMemory *memory);

/* NULL where there is none with that key. */
guint64 *shmkv_objects_find (const ShmkvObjects *objects, guint tag, const ShmkvField *key);

/* The first word whose tag is not smaller; an empty one may come before it, and
 * nothing but empty ones to the end. */
guint64 *shmkv_objects_from (const ShmkvObjects *objects, guint tag);

/* What an object holds, inside of it. */
void shmkv_object_get (const ShmkvObject *object, ShmkvContents *contents_out);

/* These return OK, or NO_MEMORY or NO_SPACE and have changed nothing.  Neither
 * fails where the object becomes no larger than it was. */
guint shmkv_objects_add (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash,
                         guint64 key_hash, const ShmkvContents *contents);
guint shmkv_objects_replace (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash,
                             guint64 *word, const ShmkvContents *contents);

/* The same with the value that is there: that of `contents` is not looked at. */
guint shmkv_objects_adorn (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash,
                           guint64 *word, const ShmkvContents *contents);

void shmkv_objects_remove (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash,
                           guint64 *word);

/* Gives back what can be given back: to make room for others. */
void shmkv_objects_squeeze (ShmkvObjects *objects, ShmkvMemory *memory, const ShmkvHash *hash);

/* Bytes taken, but for the structure itself. */
gsize shmkv_objects_size (const ShmkvObjects *objects);

/* For tests: how far from home a word is at most. */
gsize shmkv_objects_longest_way (const ShmkvObjects *objects);

/* For tests: NULL, or what is not as it must be. */
const char *shmkv_objects_check (const ShmkvObjects *objects, const ShmkvHash *hash);

G_END_DECLS
