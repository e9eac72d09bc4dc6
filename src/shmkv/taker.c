/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/taker.h"

#include "shmkv/pairs-private.h"

#include <string.h>

void
shmkv_taker_init (ShmkvTaker *taker, ShmkvPending *pending)
{
  *taker = (ShmkvTaker) {
    .pending = pending,
    .body = g_array_new (FALSE, FALSE, sizeof (guint64)),
    .backlog = g_array_new (FALSE, FALSE, sizeof (ShmkvCompletion)),
    .abandoned = g_array_new (FALSE, FALSE, sizeof (guint64)),
  };
}

void
shmkv_taker_clear (ShmkvTaker *taker)
{
  for (guint i = taker->backlog_taken; i < taker->backlog->len; i++)
    shmkv_completion_clear (&g_array_index (taker->backlog, ShmkvCompletion, i));
  g_array_unref (taker->body);
  g_array_unref (taker->backlog);
  g_array_unref (taker->abandoned);
}

/* Whether `id` is the oldest of the abandoned, which then it no longer is. */
static gboolean
was_abandoned (ShmkvTaker *taker, guint64 id)
{
  if (G_LIKELY (taker->abandoned->len == 0) || g_array_index (taker->abandoned, guint64, 0) != id)
    return FALSE;
  g_array_remove_index (taker->abandoned, 0);
  return TRUE;
}

/* Matches a complete response with its request. */
static ShmkvTake
complete (ShmkvTaker *taker, const ShmkvHeader *header, guint64 id, guint64 value,
          ShmkvPairs *pairs, ShmkvCompletion *completion_out)
{
  ShmkvPendingEntry entry;

  if (!shmkv_pending_pop (taker->pending, &entry) || entry.id != id || entry.op != header->op)
    {
      g_clear_pointer (&pairs, shmkv_pairs_unref);
      return SHMKV_TAKE_BROKEN;
    }
  completion_out->id = id;
  completion_out->user_data = entry.user_data;
  completion_out->op = (ShmkvOp) header->op;
  completion_out->status = (ShmkvStatus) header->extra;
  completion_out->value = value;
  completion_out->pairs = pairs;
  if (G_LIKELY (!was_abandoned (taker, id)))
    return SHMKV_TAKE_ONE;
  shmkv_completion_clear (completion_out);
  return SHMKV_TAKE_SKIPPED;
}

/* Adds a piece's bytes to those that came before. */
static gboolean
append_piece (ShmkvTaker *taker, const uint64_t *record, const ShmkvHeader *header, guint64 id)
{
  guint words = (header->length - SHMKV_WIRE_HEADER_SIZE) / 8;
  g_autofree guint64 *copy = g_new (guint64, words + 1);
  const uint64_t *cursor = copy;
  gsize left = words * 8;
  ShmkvField field;

  if (taker->body_id == 0)
    g_array_set_size (taker->body, 0);
  else if (taker->body_id != id)
    return FALSE;
  shmkv_ring_copy_out (copy, record + SHMKV_WIRE_HEADER_SIZE / 8, words * 8);
  /* The pairs that the pieces carry are made of whole words. */
  if (!shmkv_field_decode (&cursor, &left, SHMKV_WIRE_KIND_BYTES, &field) || left != 0
      || field.integer % 8 != 0
      || field.integer + (guint64) taker->body->len * 8 > SHMKV_WIRE_MAX_BODY)
    return FALSE;
  g_array_append_vals (taker->body, field.bytes, (guint) (field.integer / 8));
  taker->body_id = id;
  return TRUE;
}

/* Turns all the pieces into pairs. */
static ShmkvPairs *
steal_body (ShmkvTaker *taker)
{
  gsize n_bytes = (gsize) taker->body->len * 8;
  guint64 *body = (guint64 *) (void *) g_array_free (taker->body, FALSE);

  taker->body = g_array_new (FALSE, FALSE, sizeof (guint64));
  taker->body_id = 0;
  return shmkv_pairs_new_take (body, n_bytes);
}

/* Pairs are for those who asked for them: others would not free them, and what
 * nobody asked for could fill the memory piece by piece. */
static gboolean
is_expected (ShmkvTaker *taker, const ShmkvHeader *header, guint64 id)
{
  const ShmkvPendingEntry *entry = shmkv_pending_peek (taker->pending);

  return entry != NULL && entry->id == id && entry->op == header->op
         && (entry->op == SHMKV_WIRE_OP_PRINT || entry->op == SHMKV_WIRE_OP_STATS);
}

static ShmkvTake
next_piece (ShmkvTaker *taker, const uint64_t *record, const ShmkvHeader *header, guint64 id,
            ShmkvCompletion *completion_out)
{
  ShmkvPairs *pairs;

  if (!is_expected (taker, header, id) || !append_piece (taker, record, header, id))
    return SHMKV_TAKE_BROKEN;
  shmkv_consumer_advance (&taker->ring, header->length);
  if (header->more)
    return SHMKV_TAKE_SKIPPED;
  pairs = steal_body (taker);
  if (pairs == NULL)
    return SHMKV_TAKE_BROKEN;
  return complete (taker, header, id, 0, pairs, completion_out);
}

ShmkvTake
shmkv_taker_next (ShmkvTaker *taker, ShmkvCompletion *completion_out)
{
  const uint64_t *record;
  guint64 word, id, value = 0;
  ShmkvHeader header;

  switch (shmkv_consumer_peek (&taker->ring, &record, &word))
    {
    case SHMKV_RING_EMPTY:
      return SHMKV_TAKE_NONE;
    case SHMKV_RING_BAD_INDEX:
    case SHMKV_RING_BAD_RECORD:
      return SHMKV_TAKE_BROKEN;
    case SHMKV_RING_RECORD:
      break;
    }

  header = shmkv_header_unpack (word);
  id = shmkv_load_word (record + 1);
  if (header.key_kind != SHMKV_WIRE_KIND_NONE || header.value_kind > SHMKV_WIRE_KIND_BYTES)
    return SHMKV_TAKE_BROKEN;
  if (G_UNLIKELY (header.value_kind == SHMKV_WIRE_KIND_BYTES))
    return next_piece (taker, record, &header, id, completion_out);
  if (header.more || taker->body_id != 0
      || header.length
           != SHMKV_WIRE_HEADER_SIZE + shmkv_field_size (header.value_kind, 0))
    return SHMKV_TAKE_BROKEN;
  if (header.value_kind == SHMKV_WIRE_KIND_INTEGER)
    value = shmkv_load_word (record + 2);
  shmkv_consumer_advance (&taker->ring, header.length);
  return complete (taker, &header, id, value, NULL, completion_out);
}

void
shmkv_taker_keep (ShmkvTaker *taker, const ShmkvCompletion *completion)
{
  g_array_append_vals (taker->backlog, completion, 1);
}

gsize
shmkv_taker_take_kept (ShmkvTaker *taker, ShmkvCompletion *completions_out, gsize n)
{
  gsize kept = taker->backlog->len - taker->backlog_taken;

  n = MIN (n, kept);
  if (n == 0)
    return 0;
  memcpy (completions_out,
          &g_array_index (taker->backlog, ShmkvCompletion, taker->backlog_taken),
          n * sizeof (ShmkvCompletion));
  taker->backlog_taken += n;
  /* What was taken goes when it is half of all: each is moved once at most, on
   * average, and the array stays as small as what is kept. */
  if (taker->backlog_taken >= taker->backlog->len / 2)
    {
      g_array_remove_range (taker->backlog, 0, taker->backlog_taken);
      taker->backlog_taken = 0;
    }
  return n;
}

void
shmkv_taker_abandon (ShmkvTaker *taker, guint64 id)
{
  g_array_append_val (taker->abandoned, id);
}
