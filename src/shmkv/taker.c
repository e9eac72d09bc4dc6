/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/taker.h"

#include "shmkv/pairs-private.h"
#include "transport/crash.h"

#include <string.h>

/* IDs in a row. */
typedef struct
{
  guint64 first;
  guint64 n;
} Range;

void
shmkv_taker_init (ShmkvTaker *taker, ShmkvPending *pending, guint64 max_value)
{
  *taker = (ShmkvTaker) {
    .pending = pending,
    .max_value = max_value,
    .backlog = g_array_new (FALSE, FALSE, sizeof (ShmkvCompletion)),
    .abandoned = g_array_new (FALSE, FALSE, sizeof (Range)),
  };
}

void
shmkv_taker_clear (ShmkvTaker *taker)
{
  for (guint i = taker->backlog_taken; i < taker->backlog->len; i++)
    shmkv_completion_clear (&g_array_index (taker->backlog, ShmkvCompletion, i));
  g_free (taker->body.data);
  g_array_unref (taker->backlog);
  g_array_unref (taker->abandoned);
}

/* Whether `id` is the oldest of the abandoned, which then it no longer is. */
static gboolean
was_abandoned (ShmkvTaker *taker, guint64 id)
{
  Range *oldest;

  if (G_LIKELY (taker->abandoned->len == 0))
    return FALSE;
  oldest = &g_array_index (taker->abandoned, Range, 0);
  if (oldest->first != id)
    return FALSE;
  oldest->first++;
  if (--oldest->n == 0)
    g_array_remove_index (taker->abandoned, 0);
  return TRUE;
}

/* Matches a complete response, whose payload is in `completion_out`, with its
 * request. */
static inline ShmkvTake
complete (ShmkvTaker *taker, guint op, guint status, guint64 id, ShmkvCompletion *completion_out)
{
  ShmkvPendingEntry entry;

  if (!shmkv_pending_pop (taker->pending, &entry) || entry.id != id || entry.op != op)
    return SHMKV_TAKE_BROKEN;
  completion_out->id = id;
  completion_out->user_data = entry.user_data;
  completion_out->op = (ShmkvOp) op;
  completion_out->status = (ShmkvStatus) status;
  if (G_LIKELY (!was_abandoned (taker, id)))
    return SHMKV_TAKE_ONE;
  shmkv_completion_clear (completion_out);
  return SHMKV_TAKE_SKIPPED;
}

/* -------------------------------------------- what only some are answered with */

/* Whether bytes in the answer are pairs, as opposed to a value. */
static gboolean
has_pairs (guint op)
{
  return op == SHMKV_WIRE_OP_PRINT || op == SHMKV_WIRE_OP_STATS || op == SHMKV_WIRE_OP_SESSIONS
         || op == SHMKV_WIRE_OP_SCAN || op == SHMKV_WIRE_OP_WATCH;
}

/* Whether the answer may be bytes, which have to be freed: others than those
 * who asked for them would not, and what nobody asked for could fill the
 * memory. */
static gboolean
may_have_bytes (const ShmkvPendingEntry *entry)
{
  return has_pairs (entry->op) || entry->op == SHMKV_WIRE_OP_READ || entry->op == SHMKV_WIRE_OP_WAIT
         || (entry->flags & SHMKV_WIRE_FLAG_OLD) != 0;
}

static gboolean
may_have_number (const ShmkvPendingEntry *entry)
{
  return entry->op == SHMKV_WIRE_OP_WAIT || entry->op == SHMKV_WIRE_OP_SCAN
         || entry->op == SHMKV_WIRE_OP_WATCH || (entry->flags & SHMKV_WIRE_FLAG_VERSION) != 0;
}

static gboolean
is_expected (ShmkvTaker *taker, const ShmkvHeader *header, guint64 id)
{
  const ShmkvPendingEntry *entry = shmkv_pending_peek (taker->pending);

  return entry != NULL && entry->id == id && entry->op == header->op
         && (header->key_kind == SHMKV_WIRE_KIND_NONE
             || (header->key_kind == SHMKV_WIRE_KIND_INTEGER && may_have_number (entry)))
         && (header->value_kind <= SHMKV_WIRE_KIND_INTEGER
             || (header->value_kind == SHMKV_WIRE_KIND_BYTES && may_have_bytes (entry)));
}

/* ------------------------------------------------------------------ bytes */

/* What is equal in all pieces of a response. */
static guint64
in_common (guint64 word)
{
  return word & ~(SHMKV_WIRE_MORE | G_MAXUINT32);
}

/* Makes room for the bytes of a response, before any of them is read.  Nobody
 * has it look for more memory than the longest answer can take. */
static ShmkvTake
begin_body (ShmkvTaker *taker, guint64 word, guint64 id, guint64 number, guint64 length)
{
  ShmkvTakerBody *body = &taker->body;
  gboolean pairs = has_pairs ((guint8) (word >> 32));

  if (length > (pairs ? SHMKV_WIRE_MAX_BODY : taker->max_value) || (pairs && length % 8 != 0))
    return SHMKV_TAKE_BROKEN;
  *body = (ShmkvTakerBody) {
    .id = id,
    .header = in_common (word),
    .number = number,
    .length = length,
    .size = shmkv_field_size (SHMKV_WIRE_KIND_BYTES, length) - 8,
  };
  /* Not g_malloc(), which ends the program: a server chose the size. */
  body->data = g_try_malloc (MAX (body->size, 8));
  return body->data != NULL ? SHMKV_TAKE_ONE : SHMKV_TAKE_NO_MEMORY;
}

/* The completion of a response whose bytes are all there. */
static ShmkvTake
finish_body (ShmkvTaker *taker, const ShmkvHeader *header, ShmkvCompletion *completion_out)
{
  ShmkvTakerBody body = taker->body;

  taker->body = (ShmkvTakerBody) { .id = 0 };
  *completion_out = (ShmkvCompletion) { .version = body.number };
  if (has_pairs (header->op))
    {
      gboolean no_memory;

      completion_out->pairs
        = shmkv_pairs_new_take ((guint64 *) (void *) body.data, body.size, &no_memory);
      if (completion_out->pairs == NULL)
        return no_memory ? SHMKV_TAKE_NO_MEMORY : SHMKV_TAKE_BROKEN;
    }
  else
    {
      completion_out->bytes = g_bytes_new_take (body.data, body.length);
      completion_out->value_kind = SHMKV_KIND_BYTES;
    }
  return complete (taker, header->op, header->extra, body.id, completion_out);
}

/* A record, or the rest of one, of a response with bytes. */
static ShmkvTake
add_piece (ShmkvTaker *taker, const uint64_t *words, guint32 n_bytes, const ShmkvHeader *header,
           ShmkvCompletion *completion_out)
{
  ShmkvTakerBody *body = &taker->body;

  /* The last piece is that with which all is there. */
  if (n_bytes > body->size - body->filled || header->more != (n_bytes < body->size - body->filled))
    return SHMKV_TAKE_BROKEN;
  shmkv_ring_copy_out ((uint64_t *) (void *) (body->data + body->filled), words, n_bytes);
  body->filled += n_bytes;
  shmkv_consumer_advance (&taker->ring, header->length);
  SHMKV_CRASH_POINT ("take-piece");
  return header->more ? SHMKV_TAKE_SKIPPED : finish_body (taker, header, completion_out);
}

static ShmkvTake
next_piece (ShmkvTaker *taker, const uint64_t *record, guint64 word, guint64 id,
            ShmkvCompletion *completion_out)
{
  ShmkvHeader header = shmkv_header_unpack (word);

  /* A piece without anything in it would not bring the end nearer. */
  if (id != taker->body.id || in_common (word) != taker->body.header
      || header.length == SHMKV_WIRE_HEADER_SIZE)
    return SHMKV_TAKE_BROKEN;
  return add_piece (taker, record + SHMKV_WIRE_HEADER_SIZE / 8,
                    header.length - SHMKV_WIRE_HEADER_SIZE, &header, completion_out);
}

/* The first piece, which may be the only one: it has the number and the length
 * in any case. */
static ShmkvTake
first_piece (ShmkvTaker *taker, const uint64_t *record, guint64 word, guint64 id,
             ShmkvCompletion *completion_out)
{
  ShmkvHeader header = shmkv_header_unpack (word);
  guint32 number_size = shmkv_field_size (header.key_kind, 0);
  guint32 overhead = SHMKV_WIRE_HEADER_SIZE + number_size + 8;
  const uint64_t *words = record + overhead / 8;
  guint64 number;
  ShmkvTake take;

  if (header.length < overhead)
    return SHMKV_TAKE_BROKEN;
  number = number_size > 0 ? shmkv_load_word (record + 2) : 0;
  take = begin_body (taker, word, id, number, shmkv_load_word (words - 1));
  if (take != SHMKV_TAKE_ONE)
    return take;
  return add_piece (taker, words, header.length - overhead, &header, completion_out);
}

/* ------------------------------------------------------------------- take */

static inline gboolean
has_length (const ShmkvHeader *header)
{
  return header->length
         == SHMKV_WIRE_HEADER_SIZE + shmkv_field_size (header->key_kind, 0)
              + shmkv_field_size (header->value_kind, 0);
}

/* A response with a number, but without bytes. */
static ShmkvTake
next_with_number (ShmkvTaker *taker, const uint64_t *record, const ShmkvHeader *header, guint64 id,
                  ShmkvCompletion *completion_out)
{
  if (header->more || !has_length (header))
    return SHMKV_TAKE_BROKEN;
  *completion_out = (ShmkvCompletion) {
    .version = header->key_kind != SHMKV_WIRE_KIND_NONE ? shmkv_load_word (record + 2) : 0,
    .value = header->value_kind != SHMKV_WIRE_KIND_NONE ? shmkv_load_word (record + 3) : 0,
    .value_kind = (ShmkvKind) header->value_kind,
  };
  shmkv_consumer_advance (&taker->ring, header->length);
  return complete (taker, header->op, header->extra, id, completion_out);
}

/* Whatever is not nothing or an integer in one record. */
static ShmkvTake
next_unusual (ShmkvTaker *taker, const uint64_t *record, guint64 word, guint64 id,
              ShmkvCompletion *completion_out)
{
  ShmkvHeader header = shmkv_header_unpack (word);

  if (shmkv_taker_in_pieces (taker))
    return next_piece (taker, record, word, id, completion_out);
  if (!is_expected (taker, &header, id))
    return SHMKV_TAKE_BROKEN;
  if (header.value_kind == SHMKV_WIRE_KIND_BYTES)
    return first_piece (taker, record, word, id, completion_out);
  if (header.key_kind == SHMKV_WIRE_KIND_NONE)
    return SHMKV_TAKE_BROKEN;
  return next_with_number (taker, record, &header, id, completion_out);
}

ShmkvTake
shmkv_taker_next (ShmkvTaker *taker, ShmkvCompletion *completion_out)
{
  const uint64_t *record;
  guint64 word, id;
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
  if (G_UNLIKELY (header.key_kind != SHMKV_WIRE_KIND_NONE
                  || header.value_kind > SHMKV_WIRE_KIND_INTEGER || header.more
                  || shmkv_taker_in_pieces (taker)))
    return next_unusual (taker, record, word, id, completion_out);
  if (!has_length (&header))
    return SHMKV_TAKE_BROKEN;
  completion_out->value
    = header.value_kind == SHMKV_WIRE_KIND_INTEGER ? shmkv_load_word (record + 2) : 0;
  completion_out->version = 0;
  completion_out->bytes = NULL;
  completion_out->pairs = NULL;
  completion_out->value_kind = (ShmkvKind) header.value_kind;
  shmkv_consumer_advance (&taker->ring, header.length);
  return complete (taker, header.op, header.extra, id, completion_out);
}

/* A response that is nothing but a status, or a status and an integer, in one
 * record: its header, but for the operation and the status. */
#define BARE_HEADER ((guint64) SHMKV_WIRE_HEADER_SIZE)
#define INTEGER_HEADER \
  ((guint64) (SHMKV_WIRE_HEADER_SIZE + 8) | (guint64) SHMKV_WIRE_KIND_INTEGER << 44)
#define STATUS_MASK (G_GUINT64_CONSTANT (0x7fff) << 48)

/* The completion of such a response to what was asked first; FALSE where it is
 * another one. */
static inline gboolean
take_short (const uint64_t *record, uint64_t word, const ShmkvPendingEntry *entry,
            ShmkvCompletion *completion_out)
{
  uint64_t form = word & ~STATUS_MASK & ~((uint64_t) 0xff << 32);
  gboolean has_value = form == INTEGER_HEADER;

  if (G_UNLIKELY ((!has_value && form != BARE_HEADER) || entry->op != (uint8_t) (word >> 32)
                  || shmkv_load_word (record + 1) != entry->id))
    return FALSE;
  completion_out->id = entry->id;
  completion_out->user_data = entry->user_data;
  completion_out->op = (ShmkvOp) entry->op;
  completion_out->status = (ShmkvStatus) (word >> 48);
  completion_out->value = has_value ? shmkv_load_word (record + 2) : 0;
  completion_out->version = 0;
  completion_out->bytes = NULL;
  completion_out->pairs = NULL;
  completion_out->value_kind = has_value ? SHMKV_KIND_INTEGER : SHMKV_KIND_NONE;
  return TRUE;
}

gsize
shmkv_taker_take_short (ShmkvTaker *taker, ShmkvCompletion *completions_out, gsize n)
{
  ShmkvConsumer *ring = &taker->ring;
  const uint64_t *record = shmkv_consumer_next (ring);
  guint32 known, begin;
  gsize taken = 0;

  if (shmkv_taker_in_pieces (taker) || taker->abandoned->len > 0)
    return 0;
  /* What cannot be, shmkv_taker_next() finds again. */
  if (ring->head == ring->tail && !shmkv_consumer_refresh (ring))
    return 0;
  begin = known = shmkv_consumer_known (ring);
  while (taken < n && known >= SHMKV_WIRE_HEADER_SIZE)
    {
      const ShmkvPendingEntry *entry = shmkv_pending_peek (taker->pending);
      uint64_t word = shmkv_load_word (record);
      guint32 length = shmkv_header_length (word);

      if (G_UNLIKELY (entry == NULL || length > known
                      || !take_short (record, word, entry, &completions_out[taken])))
        break;
      shmkv_pending_drop (taker->pending);
      record += length / 8;
      known -= length;
      taken++;
    }
  shmkv_consumer_advance (ring, begin - known);
  return taken;
}

/* ---------------------------------------------------------------- backlog */

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

gsize
shmkv_taker_take_kept_from (ShmkvTaker *taker, guint64 first, ShmkvCompletion *completions_out,
                            gsize n)
{
  guint begin = taker->backlog->len;
  gsize found;

  while (begin > taker->backlog_taken
         && g_array_index (taker->backlog, ShmkvCompletion, begin - 1).id >= first)
    begin--;
  found = MIN (n, taker->backlog->len - begin);
  if (found > 0)
    memcpy (completions_out, &g_array_index (taker->backlog, ShmkvCompletion, begin),
            found * sizeof (ShmkvCompletion));
  g_array_remove_range (taker->backlog, begin, (guint) found);
  return found;
}

void
shmkv_taker_abandon (ShmkvTaker *taker, guint64 first, guint64 n)
{
  Range range = { .first = first, .n = n };

  if (n > 0)
    g_array_append_val (taker->abandoned, range);
}
