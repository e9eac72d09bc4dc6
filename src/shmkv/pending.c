/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/pending.h"

static ShmkvPendingChunk *
chunk_new (void)
{
  ShmkvPendingChunk *chunk = g_new (ShmkvPendingChunk, 1);

  chunk->next = NULL;
  return chunk;
}

void
shmkv_pending_init (ShmkvPending *pending)
{
  ShmkvPendingChunk *chunk = chunk_new ();

  *pending = (ShmkvPending) { .push = { .chunk = chunk }, .pop = { .chunk = chunk } };
}

void
shmkv_pending_clear (ShmkvPending *pending)
{
  ShmkvPendingChunk *chunk = pending->pop.chunk;

  while (chunk != NULL)
    {
      ShmkvPendingChunk *next = chunk->next;

      g_free (chunk);
      chunk = next;
    }
  *pending = (ShmkvPending) { 0 };
}

void
shmkv_pending_push_chunk (ShmkvPending *pending)
{
  /* Visible to the other side with the next release of `pushed`. */
  pending->push.chunk->next = chunk_new ();
  pending->push = (ShmkvPendingEnd) { .chunk = pending->push.chunk->next };
}

void
shmkv_pending_pop_chunk (ShmkvPending *pending)
{
  ShmkvPendingChunk *done = pending->pop.chunk;

  pending->pop = (ShmkvPendingEnd) { .chunk = done->next };
  g_free (done);
}
