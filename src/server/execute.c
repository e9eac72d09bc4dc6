/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/execute.h"

#include "server/operate.h"
#include "server/plain.h"
#include "server/request.h"
#include "transport/crash.h"

#include <string.h>

/* One out of so many batches of a worker is timed. */
#define TIMED_BATCHES 64

/* So many batches of what an owner left behind are carried out in a turn. */
#define REST_BATCHES 8

/* Functions that are marked as not to be inlined are kept out of the way of the
 * requests that go the short one: of their registers, above all. */

/* A request that goes the short way; or one that does not: then `op` is
 * SHMKV_WIRE_N_OPS, and `key` its place among those that were decoded in full. */
typedef struct
{
  guint op;
  gboolean silent;                  /* no response is wanted */
  guint32 end;                      /* where the next one begins in the ring */
  guint64 id;
  guint64 key;
  guint64 value;
  ShmkvTablePlace place;
} Request;

typedef struct
{
  guint n;
  guint n_full;                     /* of them, those that were decoded in full */
  guint failed;
  guint n_inserts, n_reads, n_read_hits, n_deletes, n_delete_hits; /* that went the short way */
  gboolean slow;                    /* it is one that takes long, alone */
  Request requests[SHMKV_BATCH_MAX];
  ShmkvServerRequest full[SHMKV_BATCH_MAX];
} Batch;

/* ----------------------------------------------------------------- decode */

#define NO_RESPONSE_BIT ((guint64) SHMKV_WIRE_FLAG_NO_RESPONSE << 48)

#define FORM(op, n_words, key_kind, value_kind) \
  [op] = (SHMKV_WIRE_HEADER_SIZE + (n_words) * 8) | (guint64) (op) << 32 \
         | (guint64) (key_kind) << 40 | (guint64) (value_kind) << 44

/* The one header that goes the short way, but for its flag; padding, of which a
 * header may be 0, never does. */
static const guint64 forms[] = {
  [SHMKV_WIRE_OP_PAD] = G_MAXUINT64,
  FORM (SHMKV_WIRE_OP_INSERT, 2, SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_KIND_INTEGER),
  FORM (SHMKV_WIRE_OP_READ, 1, SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_KIND_NONE),
  FORM (SHMKV_WIRE_OP_DELETE, 1, SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_KIND_NONE),
};

static gboolean
is_short (const Request *request)
{
  return request->op != SHMKV_WIRE_N_OPS;
}

static inline gboolean
has_short_form (uint64_t word)
{
  guint op = (uint8_t) (word >> 32);

  return op < G_N_ELEMENTS (forms) && (word & ~NO_RESPONSE_BIT) == forms[op];
}

/* Loads a request's other words, each once; `end` is where it ends. */
static inline void
load_short (const uint64_t *record, uint64_t word, guint32 end, Request *request)
{
  request->op = (uint8_t) (word >> 32);
  request->silent = (word & NO_RESPONSE_BIT) != 0;
  request->end = end;
  request->id = shmkv_load_word (record + 1);
  request->key = shmkv_load_word (record + 2);
  if (request->op == SHMKV_WIRE_OP_INSERT)
    request->value = shmkv_load_word (record + 3);
}

/* Takes requests that go the short way, as long as they follow each other in what
 * is known to be there. */
static inline void
read_short (ShmkvConsumer *ring, Batch *batch, guint max)
{
  const uint64_t *record = shmkv_consumer_next (ring);
  guint32 known = shmkv_consumer_known (ring), head = ring->head;
  guint n = batch->n;

  while (n < max && known > SHMKV_WIRE_HEADER_SIZE)
    {
      uint64_t word = shmkv_load_word (record);
      guint32 length = shmkv_header_length (word);

      if (G_UNLIKELY (!has_short_form (word) || length > known))
        break;
      head += length;
      load_short (record, word, head, &batch->requests[n++]);
      record += length / 8;
      known -= length;
    }
  batch->n = n;
  ring->head = head;
}

static void
add_full (const ShmkvExecutor *executor, Batch *batch, guint32 end)
{
  ShmkvServerRequest *full = &batch->full[batch->n_full];

  if (shmkv_server_request_has_place (full))
    full->place = shmkv_table_locate_key (executor->table, &full->key);
  batch->requests[batch->n++]
    = (Request) { .op = SHMKV_WIRE_N_OPS, .key = batch->n_full++, .end = end };
}

/* The lane is dropped: what was read before still counts. */
static void
read_bad (ShmkvLane *lane, ShmkvRingPeek peek)
{
  shmkv_lane_drop (lane, peek == SHMKV_RING_BAD_INDEX ? SHMKV_WIRE_DROP_BAD_INDEX
                                                      : SHMKV_WIRE_DROP_BAD_RECORD);
}

static void
decode_pieces (const ShmkvLane *lane, ShmkvServerRequest *request_out)
{
  const ShmkvIncoming *incoming = &lane->incoming;

  if (incoming->status == SHMKV_WIRE_STATUS_OK)
    shmkv_server_request_decode (request_out, incoming->header, incoming->id, incoming->payload,
                                 incoming->size, lane->max_value);
  else
    shmkv_server_request_fail (request_out, incoming->header, incoming->id, incoming->status);
}

/* Takes pieces out of the ring, until the request is complete: it is a batch of
 * its own, so that no piece ever has to be put back. */
static G_GNUC_NO_INLINE void
read_pieces (const ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch)
{
  ShmkvIncoming *incoming = &lane->incoming;
  ShmkvConsumer *requests = &lane->requests;
  guint32 begin = requests->head;
  const uint64_t *record;
  uint64_t word;
  ShmkvRingPeek peek;

  while (requests->head - begin < SHMKV_BATCH_BYTES
         && (peek = shmkv_consumer_peek (requests, &record, &word)) != SHMKV_RING_EMPTY)
    {
      if (peek != SHMKV_RING_RECORD)
        {
          read_bad (lane, peek);
          return;
        }
      switch (shmkv_incoming_take (incoming, record, word, lane->max_value))
        {
        case SHMKV_INCOMING_MORE:
          shmkv_consumer_advance (requests, shmkv_header_length (word));
          SHMKV_CRASH_POINT ("execute-piece");
          break;
        case SHMKV_INCOMING_BAD:
          shmkv_lane_drop (lane, SHMKV_WIRE_DROP_BAD_PIECE);
          return;
        case SHMKV_INCOMING_COMPLETE:
          shmkv_consumer_advance (requests, shmkv_header_length (word));
          decode_pieces (lane, &batch->full[0]);
          add_full (executor, batch, requests->head);
          batch->slow = shmkv_server_request_is_slow (batch->full[0].op);
          return;
        }
    }
}

/* Copies and decodes a request.  FALSE where that is for a batch of its own: one
 * that is slow is not to keep those before it from being answered. */
static G_GNUC_NO_INLINE gboolean
read_full (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch, gsize *scratch_used,
           const uint64_t *record, uint64_t word)
{
  guint32 size = shmkv_header_length (word) - SHMKV_WIRE_HEADER_SIZE;
  guint64 *payload = executor->scratch + *scratch_used / 8;
  gboolean slow = shmkv_server_request_is_slow ((uint8_t) (word >> 32));

  if ((slow && batch->n > 0) || (word & SHMKV_WIRE_MORE) != 0
      || size > SHMKV_SCRATCH_SIZE - *scratch_used)
    return FALSE;
  shmkv_ring_copy_out (payload, record + 2, size);
  *scratch_used += size;
  shmkv_server_request_decode (&batch->full[batch->n_full], word, shmkv_load_word (record + 1),
                               payload, size, lane->max_value);
  shmkv_consumer_advance (&lane->requests, shmkv_header_length (word));
  add_full (executor, batch, lane->requests.head);
  batch->slow = slow;
  return TRUE;
}

static void
read_requests (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch, guint max)
{
  gsize scratch_used = 0;

  if (G_UNLIKELY (lane->incoming.active) && max > 0)
    {
      read_pieces (executor, lane, batch);
      return;
    }
  for (;;)
    {
      const uint64_t *record;
      uint64_t word;
      ShmkvRingPeek peek;

      read_short (&lane->requests, batch, max);
      if (batch->n == max)
        return;
      peek = shmkv_consumer_peek (&lane->requests, &record, &word);
      if (peek != SHMKV_RING_RECORD)
        {
          if (G_UNLIKELY (peek != SHMKV_RING_EMPTY))
            read_bad (lane, peek);
          return;
        }
      if (G_LIKELY (has_short_form (word)))
        {
          shmkv_consumer_advance (&lane->requests, shmkv_header_length (word));
          load_short (record, word, lane->requests.head, &batch->requests[batch->n++]);
        }
      else if (!read_full (executor, lane, batch, &scratch_used, record, word))
        {
          if (batch->n == 0)
            read_pieces (executor, lane, batch);
          return;
        }
      else if (batch->slow)
        return;
    }
}

/* Takes requests out of the ring, all into memory of our own. */
static void
read_batch (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch, guint max)
{
  read_requests (executor, lane, batch, max);
  /* They are carried out only if that was still the client's memory. */
  if (G_UNLIKELY (shmkv_segment_is_lost (lane->segment)))
    {
      batch->n = 0;
      batch->slow = FALSE;
    }
}

/* ---------------------------------------------------------------- execute */

static gboolean
has_place (const Batch *batch, const Request *request)
{
  return G_LIKELY (is_short (request))
         || shmkv_server_request_has_place (&batch->full[request->key]);
}

/* The first stage, over the whole batch: the buckets. */
static void
prefetch_buckets (const ShmkvTable *table, Batch *batch)
{
  Request *end = batch->requests + batch->n;

  for (Request *request = batch->requests; request < end; request++)
    if (has_place (batch, request))
      {
        request->place = G_LIKELY (is_short (request)) ? shmkv_plain_locate (table, request->key)
                                                       : batch->full[request->key].place;
        shmkv_plain_prefetch_bucket (table, &request->place);
      }
}

/* The second, some requests ahead: what the bucket, which has arrived meanwhile,
 * points to. */
static inline void
prefetch_contents (const ShmkvTable *table, const Batch *batch, const Request *request)
{
  if (G_LIKELY (request->op == SHMKV_WIRE_OP_READ))
    shmkv_plain_prefetch_slots (table, &request->place);
  else if (has_place (batch, request))
    shmkv_table_prefetch (table, &request->place);
}

static void
prefetch_first (const ShmkvTable *table, const Batch *batch)
{
  for (guint i = 0; i < MIN (batch->n, SHMKV_PREFETCH_AHEAD); i++)
    prefetch_contents (table, batch, &batch->requests[i]);
}

static guint
insert (ShmkvExecutor *executor, Batch *batch, const Request *request)
{
  batch->n_inserts++;
  switch (shmkv_table_insert (executor->table, &request->place, request->value))
    {
    case SHMKV_TABLE_ADDED:
      return SHMKV_WIRE_STATUS_ADDED;
    case SHMKV_TABLE_REPLACED:
      return SHMKV_WIRE_STATUS_REPLACED;
    case SHMKV_TABLE_NO_SPACE:
      return SHMKV_WIRE_STATUS_NO_SPACE;
    case SHMKV_TABLE_NO_MEMORY:
      break;
    }
  return SHMKV_WIRE_STATUS_NO_MEMORY;
}

static guint
delete_key (ShmkvExecutor *executor, Batch *batch, const Request *request)
{
  batch->n_deletes++;
  if (!shmkv_table_delete (executor->table, &request->place))
    return SHMKV_WIRE_STATUS_NO_KEY;
  batch->n_delete_hits++;
  return SHMKV_WIRE_STATUS_OK;
}

/* In full, what was to go the short way. */
static ShmkvServerRequest
lengthen (const Request *request)
{
  return (ShmkvServerRequest) {
    .op = request->op,
    .flags = request->silent ? SHMKV_WIRE_FLAG_NO_RESPONSE : 0,
    .silent = request->silent,
    .id = request->id,
    .key = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = request->key },
    .place = request->place,
  };
}

/* ---------------------------------------------------------------- respond */

static void
count_failure (Batch *batch, ShmkvLane *lane, gboolean silent)
{
  batch->failed++;
  if (silent)
    /* relaxed: published with the next response */
    atomic_store_explicit (&lane->server->silent_errors, ++lane->silent_errors,
                           memory_order_relaxed);
}

static inline void
respond_short (ShmkvLane *lane, Batch *batch, const Request *request, guint status)
{
  if (G_UNLIKELY (status >= SHMKV_WIRE_STATUS_FIRST_FAILURE))
    count_failure (batch, lane, request->silent);
  if (G_LIKELY (!request->silent))
    shmkv_lane_respond (lane, request->op, status, request->id);
}

/* FALSE where it is to be read in full. */
static inline gboolean
read_and_respond (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch, const Request *request)
{
  guint64 value;
  ShmkvTableRead found = shmkv_plain_read (executor->table, &request->place, &value);

  if (G_UNLIKELY (found == SHMKV_TABLE_OTHER))
    return FALSE;
  batch->n_reads++;
  if (found == SHMKV_TABLE_ABSENT)
    respond_short (lane, batch, request, SHMKV_WIRE_STATUS_NO_KEY);
  else
    {
      batch->n_read_hits++;
      if (G_LIKELY (!request->silent))
        shmkv_lane_respond_integer (lane, SHMKV_WIRE_OP_READ, SHMKV_WIRE_STATUS_OK, request->id,
                                    value);
    }
  return TRUE;
}

/* FALSE where it has to go the long way. */
static inline gboolean
execute_short (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch, const Request *request)
{
  switch (request->op)
    {
    case SHMKV_WIRE_OP_READ:
      return read_and_respond (executor, lane, batch, request);
    case SHMKV_WIRE_OP_INSERT:
      respond_short (lane, batch, request, insert (executor, batch, request));
      return TRUE;
    case SHMKV_WIRE_OP_DELETE:
      respond_short (lane, batch, request, delete_key (executor, batch, request));
      return TRUE;
    default:
      return FALSE;
    }
}

/* FALSE where the batch ends here. */
static gboolean
respond_full (ShmkvLane *lane, Batch *batch, gboolean silent, ShmkvResponse *response, guint behind)
{
  if (response->status >= SHMKV_WIRE_STATUS_FIRST_FAILURE)
    count_failure (batch, lane, silent);
  if (!silent)
    return shmkv_lane_answer (lane, response, behind);
  shmkv_response_clear (response);
  return TRUE;
}

/* The next request has come, or nobody would hear of a change.  Who watches goes
 * on behind the changes of other keys, which may not be known for long. */
static void
end_wait_unchanged (ShmkvLane *lane, ShmkvResponse *response_out)
{
  response_out->has_number = lane->wait.op == SHMKV_WIRE_OP_WATCH;
  shmkv_lane_end_wait (lane);
  if (response_out->has_number)
    response_out->number = lane->wait.version;
  response_out->status = SHMKV_WIRE_STATUS_UNCHANGED;
}

/* What takes long, and reads with locks only: no memory that others retire waits
 * for the end of it. */
static gboolean
operate_slowly (ShmkvExecutor *executor, ShmkvLane *lane, const ShmkvServerRequest *request,
                ShmkvResponse *response_out)
{
  gboolean done;

  if (executor->before_slow != NULL)
    executor->before_slow (executor->before_slow_data);
  SHMKV_CRASH_POINT ("execute-slow");
  shmkv_reader_rest (executor->reader);
  done = shmkv_operate (executor, lane, request, response_out);
  shmkv_reader_resume (executor->reader);
  return done;
}

/* FALSE where the batch ends here. */
static G_GNUC_NO_INLINE gboolean
carry_out (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch, const Request *request)
{
  ShmkvServerRequest lengthened;
  const ShmkvServerRequest *full = &lengthened;
  ShmkvResponse response;
  guint behind = batch->n - 1 - (guint) (request - batch->requests);
  gboolean done;

  if (is_short (request))
    lengthened = lengthen (request);
  else
    full = &batch->full[request->key];
  done = batch->slow ? operate_slowly (executor, lane, full, &response)
                     : shmkv_operate (executor, lane, full, &response);
  if (!done)
    {
      if (shmkv_lane_is_walking (lane)
          || (behind == 0 && !full->silent && shmkv_lane_phase (lane) == SHMKV_WIRE_LANE_ACTIVE))
        return FALSE;
      end_wait_unchanged (lane, &response);
    }
  return respond_full (lane, batch, full->silent, &response, behind)
         && lane->responses.tail - lane->responses.published < SHMKV_BATCH_BYTES;
}

/* Those behind `last` go back into the ring. */
static void
give_back (ShmkvLane *lane, Batch *batch, const Request *last)
{
  batch->n = (guint) (last - batch->requests) + 1;
  lane->requests.head = last->end;
}

static void
execute (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch)
{
  const ShmkvTable *table = executor->table;
  const Request *end = batch->requests + batch->n;

  prefetch_first (table, batch);
  for (const Request *request = batch->requests; request < end; request++)
    {
      if (request + SHMKV_PREFETCH_AHEAD < end)
        prefetch_contents (table, batch, request + SHMKV_PREFETCH_AHEAD);
      SHMKV_CRASH_POINT ("execute-request");
      if (G_UNLIKELY (!execute_short (executor, lane, batch, request))
          && !carry_out (executor, lane, batch, request))
        {
          give_back (lane, batch, request);
          return;
        }
    }
}

/* ------------------------------------------------------------------- waits */

/* Whether the session has submitted another request. */
static gboolean
has_another (ShmkvLane *lane)
{
  const uint64_t *record;
  uint64_t word;
  ShmkvRingPeek peek = shmkv_consumer_peek (&lane->requests, &record, &word);

  if (peek == SHMKV_RING_BAD_INDEX || peek == SHMKV_RING_BAD_RECORD)
    read_bad (lane, peek);
  return peek == SHMKV_RING_RECORD;
}

/* The next step.  The room for the answer was there when the request was taken,
 * and nothing was answered since.  FALSE where there are more. */
static gboolean
walk_on (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch)
{
  ShmkvResponse response;

  return shmkv_operate_walk (executor, lane, &response)
         && respond_full (lane, batch, lane->wait.silent, &response, 0);
}

/* Looks after what the lane waits for.  FALSE where it still does, or where there
 * is no room for the answer. */
static G_GNUC_NO_INLINE gboolean
settle_wait (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch)
{
  ShmkvResponse response;

  if (shmkv_lane_is_walking (lane))
    return walk_on (executor, lane, batch);
  /* First: as long as there is no room, nobody is to look after it again. */
  shmkv_lane_unpark (lane);
  if (shmkv_lane_room (lane, 1) == 0)
    return FALSE;
  if (!shmkv_operate_wait (executor, lane, &response))
    {
      if (!has_another (lane))
        return FALSE;
      end_wait_unchanged (lane, &response);
    }
  return respond_full (lane, batch, FALSE, &response, 0);
}

/* ----------------------------------------------------------------- batches */

static gboolean
is_timed (ShmkvExecutor *executor)
{
  return ++executor->n_batches % TIMED_BATCHES == 0;
}

/* What went the short way. */
static void
count_short (ShmkvCounters *counters, const Batch *batch)
{
  shmkv_count (counters, SHMKV_COUNTER_INSERTS, batch->n_inserts);
  shmkv_count (counters, SHMKV_COUNTER_READS, batch->n_reads);
  shmkv_count (counters, SHMKV_COUNTER_READ_HITS, batch->n_read_hits);
  shmkv_count (counters, SHMKV_COUNTER_DELETES, batch->n_deletes);
  shmkv_count (counters, SHMKV_COUNTER_DELETE_HITS, batch->n_delete_hits);
}

/* What the batch did, for statistics. */
static void
account (ShmkvExecutor *executor, ShmkvLane *lane, const Batch *batch, guint32 consumed,
         guint32 produced)
{
  ShmkvCounters *counters = executor->counters;

  count_short (counters, batch);
  shmkv_count (counters, SHMKV_COUNTER_BATCHES, batch->n > 0);
  shmkv_count (counters, SHMKV_COUNTER_BYTES_IN, consumed);
  shmkv_count (counters, SHMKV_COUNTER_BYTES_OUT, produced);
  shmkv_lane_count (&lane->counts.requests, batch->n);
  shmkv_lane_count (&lane->counts.bytes_in, consumed);
  shmkv_lane_count (&lane->counts.bytes_out, produced);
  if (G_LIKELY (batch->failed == 0))
    return;
  shmkv_count (counters, SHMKV_COUNTER_FAILED_REQUESTS, batch->failed);
  shmkv_lane_count (&lane->counts.failed, batch->failed);
}

/* What has to be done before the lane's next request is looked at.  FALSE where
 * that cannot be done now. */
static gboolean
finish_last (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch)
{
  if (G_UNLIKELY (lane->wait.op != 0) && !settle_wait (executor, lane, batch)
      && !lane->outgoing.active)
    return FALSE;
  return G_LIKELY (!lane->outgoing.active) || shmkv_lane_send (lane);
}

/* What was put together of pieces has been carried out. */
static void
forget_pieces (ShmkvLane *lane)
{
  if (G_UNLIKELY (lane->incoming.payload != NULL) && !lane->incoming.active)
    shmkv_incoming_clear (&lane->incoming);
}

static void
batch_init (Batch *batch)
{
  batch->n = batch->n_full = batch->failed = 0;
  batch->n_inserts = batch->n_reads = batch->n_read_hits = batch->n_deletes
    = batch->n_delete_hits = 0;
  batch->slow = FALSE;
}

/* Whether the lane's next batch may follow at once. */
static gboolean
may_go_on (const ShmkvLane *lane, const Batch *batch, guint max)
{
  return !batch->slow && !lane->outgoing.active && lane->wait.op == 0
         && shmkv_lane_phase (lane) == SHMKV_WIRE_LANE_ACTIVE
         && (batch->n == max || lane->requests.head != lane->requests.tail);
}

/* A client that sleeps is not woken for the first of many answers: to wake it costs
 * as much as a thousand requests, and it takes the place of somebody who is at
 * work.  There is another batch, as there are requests; and whoever carries that
 * out comes here again. */
static gboolean
may_wake_later (const ShmkvLane *lane)
{
  return lane->requests.head != lane->requests.tail
         && lane->news_produced < lane->responses.size / 2
         && lane->news_consumed < lane->requests.size / 2;
}

static void
wake (ShmkvExecutor *executor, ShmkvLane *lane)
{
  shmkv_count (executor->counters, SHMKV_COUNTER_WAKES, shmkv_lane_wake (lane));
  SHMKV_CRASH_POINT ("respond-woken");
}

void
shmkv_execute_later (ShmkvExecutor *executor, ShmkvLane *lane)
{
  executor->lanes = lane - lane->index;
  executor->owes = TRUE;
  executor->owed[lane->index / 64] |= G_GUINT64_CONSTANT (1) << lane->index % 64;
}

void
shmkv_execute_forget_owed (ShmkvExecutor *executor)
{
  memset (executor->owed, 0, sizeof executor->owed);
  executor->owes = FALSE;
}

/* Those whose answers are there, and who were to be woken later.  A lane that
 * somebody else holds is looked after by him. */
static void
wake_owed (ShmkvExecutor *executor)
{
  for (guint word = 0; word < G_N_ELEMENTS (executor->owed); word++)
    for (guint64 bits = executor->owed[word]; bits != 0; bits &= bits - 1)
      {
        ShmkvLane *lane = &executor->lanes[word * 64 + (guint) __builtin_ctzll (bits)];

        if (!shmkv_lane_hold (lane))
          continue;
        wake (executor, lane);
        shmkv_lane_let_go (lane);
      }
  shmkv_execute_forget_owed (executor);
}

/* Nobody sleeps through what takes long for what was answered before it. */
static G_GNUC_NO_INLINE void
wake_before_slow (ShmkvExecutor *executor, ShmkvLane *lane)
{
  wake (executor, lane);
  if (executor->owes)
    wake_owed (executor);
}

ShmkvBatchResult
shmkv_execute_batch (ShmkvExecutor *executor, ShmkvLane *lane)
{
  gint64 begin_ns = G_UNLIKELY (is_timed (executor)) ? shmkv_clock_ns () : 0;
  ShmkvBatchResult result = SHMKV_BATCH_NOTHING;
  guint32 consumed, produced;
  Batch batch;

  batch_init (&batch);
  if (G_LIKELY (finish_last (executor, lane, &batch)))
    read_batch (executor, lane, &batch, shmkv_lane_room (lane, executor->batch_max));
  if (G_UNLIKELY (batch.slow))
    wake_before_slow (executor, lane);
  prefetch_buckets (executor->table, &batch);
  SHMKV_CRASH_POINT ("execute-read");
  execute (executor, lane, &batch);
  forget_pieces (lane);
  if (G_UNLIKELY (lane->outgoing.active))
    shmkv_lane_send (lane);

  consumed = shmkv_consumer_unpublished (&lane->requests);
  produced = shmkv_producer_unpublished (&lane->responses);
  shmkv_lane_publish (lane);
  account (executor, lane, &batch, consumed, produced);
  shmkv_count (executor->counters, SHMKV_COUNTER_STALLS, shmkv_lane_is_stalled (lane));
  if (G_UNLIKELY (begin_ns != 0) && produced > 0)
    shmkv_count_service (executor->counters, shmkv_clock_ns () - begin_ns);
  if (consumed > 0 || produced > 0)
    result = may_go_on (lane, &batch, executor->batch_max) ? SHMKV_BATCH_MORE : SHMKV_BATCH_LAST;
  else if (shmkv_lane_is_walking (lane))
    result = SHMKV_BATCH_LAST;
  if (result != SHMKV_BATCH_MORE || !may_wake_later (lane))
    wake (executor, lane);
  return result;
}

/* ------------------------------------------------------------------ the rest */

/* Nobody waits any more, or hears how many there were; but what was begun to be
 * cleared is cleared.  FALSE where there are more steps. */
static gboolean
end_unheard (ShmkvExecutor *executor, ShmkvLane *lane)
{
  ShmkvResponse response;

  if (lane->wait.op == SHMKV_WIRE_OP_CLEAR && !shmkv_operate_walk (executor, lane, &response))
    return FALSE;
  shmkv_lane_end_wait (lane);
  return TRUE;
}

/* What only asks is not worth the time: nobody hears the answer. */
static void
execute_unheard (ShmkvExecutor *executor, ShmkvLane *lane, Batch *batch,
                 const Request *request)
{
  ShmkvResponse response;

  if (is_short (request))
    {
      if (request->op == SHMKV_WIRE_OP_INSERT)
        insert (executor, batch, request);
      else if (request->op == SHMKV_WIRE_OP_DELETE)
        delete_key (executor, batch, request);
      return;
    }
  if (shmkv_server_request_only_asks (&batch->full[request->key]))
    return;
  shmkv_operate (executor, lane, &batch->full[request->key], &response);
  shmkv_response_clear (&response);
}

/* FALSE where there was none. */
static gboolean
execute_unheard_batch (ShmkvExecutor *executor, ShmkvLane *lane)
{
  guint32 before = lane->requests.head;
  Batch batch;

  batch_init (&batch);
  read_batch (executor, lane, &batch, SHMKV_BATCH_MAX);
  prefetch_buckets (executor->table, &batch);
  for (guint i = 0; i < batch.n; i++)
    {
      SHMKV_CRASH_POINT ("rest-request");
      execute_unheard (executor, lane, &batch, &batch.requests[i]);
    }
  count_short (executor->counters, &batch);
  forget_pieces (lane);
  shmkv_consumer_publish (&lane->requests);
  return lane->requests.head != before;
}

gboolean
shmkv_execute_rest (ShmkvExecutor *executor, ShmkvLane *lane, guint32 begin)
{
  if (!end_unheard (executor, lane))
    return FALSE;
  for (guint n = 0; n < REST_BATCHES; n++)
    {
      /* Its owner may still be writing: no more than fits a ring. */
      if (lane->requests.head - begin >= lane->requests.size
          || shmkv_lane_phase (lane) != SHMKV_WIRE_LANE_ACTIVE
          || !execute_unheard_batch (executor, lane))
        return TRUE;
      if (shmkv_lane_is_walking (lane))
        return FALSE;
    }
  return FALSE;
}
