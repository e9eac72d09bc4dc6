/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a session remembers of the requests that it expects an answer to, in
 * the order of submission: a single-producer single-consumer queue in private
 * memory, without bound.
 *
 * The submitting side pushes, the taking side pops.  They may be different
 * threads: `pushed` is stored with release after an entry was written, and
 * loaded with acquire before one is read.  A server that answers what nobody
 * asked finds the queue empty. */

#pragma once

#include <glib.h>
#include <stdalign.h>
#include <stdatomic.h>

G_BEGIN_DECLS

typedef struct
{
  guint64 id;
  gpointer user_data;
  guint16 op;
  guint16 flags;                    /* what was asked for beside it: SHMKV_WIRE_FLAG_* */
} ShmkvPendingEntry;

#define SHMKV_PENDING_CHUNK 512

typedef struct _ShmkvPendingChunk ShmkvPendingChunk;

struct _ShmkvPendingChunk
{
  ShmkvPendingChunk *next;
  ShmkvPendingEntry entries[SHMKV_PENDING_CHUNK];
};

typedef struct
{
  ShmkvPendingChunk *chunk;
  guint index;
} ShmkvPendingEnd;

typedef struct
{
  ShmkvPendingEnd push;             /* the submitting side's */
  _Atomic guint64 pushed;

  alignas (64) ShmkvPendingEnd pop; /* the taking side's, from here on */
  guint64 popped;
  guint64 seen;                     /* `pushed`, as last seen */
} ShmkvPending;

void shmkv_pending_init (ShmkvPending *pending);
void shmkv_pending_clear (ShmkvPending *pending);

/* The end of a chunk is reached; for the two below. */
void shmkv_pending_push_chunk (ShmkvPending *pending);
void shmkv_pending_pop_chunk (ShmkvPending *pending);

static inline void
shmkv_pending_push (ShmkvPending *pending, guint op, guint flags, guint64 id, gpointer user_data)
{
  guint64 pushed;

  if (G_UNLIKELY (pending->push.index == SHMKV_PENDING_CHUNK))
    shmkv_pending_push_chunk (pending);
  pending->push.chunk->entries[pending->push.index++]
    = (ShmkvPendingEntry) {
        .id = id, .user_data = user_data, .op = (guint16) op, .flags = (guint16) flags
      };
  /* relaxed: only this thread stores it */
  pushed = atomic_load_explicit (&pending->pushed, memory_order_relaxed);
  /* release: pairs with the acquire in shmkv_pending_peek() */
  atomic_store_explicit (&pending->pushed, pushed + 1, memory_order_release);
}

/* The oldest entry; NULL where there is none. */
static inline const ShmkvPendingEntry *
shmkv_pending_peek (ShmkvPending *pending)
{
  if (pending->popped == pending->seen)
    {
      /* acquire: pairs with the release in shmkv_pending_push() */
      pending->seen = atomic_load_explicit (&pending->pushed, memory_order_acquire);
      if (pending->popped == pending->seen)
        return NULL;
    }
  if (G_UNLIKELY (pending->pop.index == SHMKV_PENDING_CHUNK))
    shmkv_pending_pop_chunk (pending);
  return &pending->pop.chunk->entries[pending->pop.index];
}

/* Takes out the entry that was peeked at. */
static inline void
shmkv_pending_drop (ShmkvPending *pending)
{
  pending->pop.index++;
  pending->popped++;
}

/* Peeks, and takes it out. */
static inline gboolean
shmkv_pending_pop (ShmkvPending *pending, ShmkvPendingEntry *entry_out)
{
  const ShmkvPendingEntry *entry = shmkv_pending_peek (pending);

  if (entry == NULL)
    return FALSE;
  *entry_out = *entry;
  shmkv_pending_drop (pending);
  return TRUE;
}

G_END_DECLS
