/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/execute.h"

typedef struct
{
  guint op;                         /* SHMKV_WIRE_OP_*; N_OPS: not well formed */
  guint asked;                      /* the same, as the client wrote it */
  gboolean silent;                  /* no response is wanted */
  guint64 id;
  guint64 key;
  guint64 value;
  ShmkvTablePlace place;
} Request;

/* How an operation ended.  A body is sent in place of a value. */
typedef struct
{
  guint status;
  gboolean has_value;
  guint64 value;
  GByteArray *body;
} Outcome;

/* ----------------------------------------------------------------- decode */

#define NO_RESPONSE_BIT ((guint64) SHMKV_WIRE_FLAG_NO_RESPONSE << 48)

#define FORM(op, n_words, key_kind, value_kind) \
  [op] = (SHMKV_WIRE_HEADER_SIZE + (n_words) * 8) | (guint64) (op) << 32 \
         | (guint64) (key_kind) << 40 | (guint64) (value_kind) << 44

/* The one header that a request for an operation may have, but for its flag. */
static const guint64 forms[SHMKV_WIRE_N_OPS] = {
  FORM (SHMKV_WIRE_OP_INSERT, 2, SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_KIND_INTEGER),
  FORM (SHMKV_WIRE_OP_READ, 1, SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_KIND_NONE),
  FORM (SHMKV_WIRE_OP_DELETE, 1, SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_KIND_NONE),
  FORM (SHMKV_WIRE_OP_PRINT, 1, SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_KIND_NONE),
  FORM (SHMKV_WIRE_OP_START_WORKERS, 1, SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_KIND_NONE),
  FORM (SHMKV_WIRE_OP_STOP_WORKER, 0, SHMKV_WIRE_KIND_NONE, SHMKV_WIRE_KIND_NONE),
  FORM (SHMKV_WIRE_OP_QUIT, 0, SHMKV_WIRE_KIND_NONE, SHMKV_WIRE_KIND_NONE),
  FORM (SHMKV_WIRE_OP_PING, 0, SHMKV_WIRE_KIND_NONE, SHMKV_WIRE_KIND_NONE),
  FORM (SHMKV_WIRE_OP_STATS, 0, SHMKV_WIRE_KIND_NONE, SHMKV_WIRE_KIND_NONE),
};

static gboolean
is_table_op (guint op)
{
  return op >= SHMKV_WIRE_OP_INSERT && op <= SHMKV_WIRE_OP_DELETE;
}

/* Loads a request's words, each once. */
static void
load_request (const uint64_t *record, uint64_t header, Request *request)
{
  guint op = (uint8_t) (header >> 32);

  request->asked = op;
  request->op
    = op < SHMKV_WIRE_N_OPS && (header & ~NO_RESPONSE_BIT) == forms[op] ? op : SHMKV_WIRE_N_OPS;
  request->silent = (header & NO_RESPONSE_BIT) != 0;
  request->id = shmkv_load_word (record + 1);
  if (shmkv_header_length (header) > SHMKV_WIRE_HEADER_SIZE)
    request->key = shmkv_load_word (record + 2);
  if (request->op == SHMKV_WIRE_OP_INSERT)
    request->value = shmkv_load_word (record + 3);
}

/* Takes requests out of the ring, up to and including the first that is not
 * for the table: its answer may take more room. */
static guint
read_batch (ShmkvLane *lane, Request *batch, guint max)
{
  guint n = 0;

  while (n < max)
    {
      const uint64_t *record;
      uint64_t word;

      switch (shmkv_consumer_peek (&lane->requests, &record, &word))
        {
        case SHMKV_RING_RECORD:
          load_request (record, word, &batch[n]);
          shmkv_consumer_advance (&lane->requests, shmkv_header_length (word));
          if (!is_table_op (batch[n++].op))
            return n;
          break;
        case SHMKV_RING_EMPTY:
          return n;
        case SHMKV_RING_BAD_INDEX:
          shmkv_lane_drop (lane, SHMKV_WIRE_DROP_BAD_INDEX);
          return n;
        case SHMKV_RING_BAD_RECORD:
          shmkv_lane_drop (lane, SHMKV_WIRE_DROP_BAD_RECORD);
          return n;
        }
    }
  return n;
}

/* ---------------------------------------------------------------- execute */

static void
prefetch (const ShmkvExecutor *executor, Request *batch, guint n)
{
  for (guint i = 0; i < n; i++)
    if (is_table_op (batch[i].op))
      {
        batch[i].place = shmkv_table_locate (executor->table, batch[i].key);
        shmkv_table_prefetch_bucket (executor->table, &batch[i].place);
      }
  for (guint i = 0; i < n; i++)
    if (is_table_op (batch[i].op))
      shmkv_table_prefetch_slot (executor->table, &batch[i].place);
}

static Outcome
insert (const ShmkvExecutor *executor, const Request *request)
{
  shmkv_count (executor->counters, SHMKV_COUNTER_INSERTS, 1);
  switch (shmkv_table_insert (executor->table, &request->place, request->value))
    {
    case SHMKV_TABLE_ADDED:
      return (Outcome) { .status = SHMKV_WIRE_STATUS_ADDED };
    case SHMKV_TABLE_REPLACED:
      return (Outcome) { .status = SHMKV_WIRE_STATUS_REPLACED };
    case SHMKV_TABLE_NO_MEMORY:
      break;
    }
  return (Outcome) { .status = SHMKV_WIRE_STATUS_NO_MEMORY };
}

static Outcome
read_key (const ShmkvExecutor *executor, const Request *request)
{
  Outcome outcome = { .status = SHMKV_WIRE_STATUS_OK, .has_value = TRUE };

  shmkv_count (executor->counters, SHMKV_COUNTER_READS, 1);
  if (!shmkv_table_read (executor->table, &request->place, &outcome.value))
    return (Outcome) { .status = SHMKV_WIRE_STATUS_NO_KEY };
  shmkv_count (executor->counters, SHMKV_COUNTER_READ_HITS, 1);
  return outcome;
}

static Outcome
delete_key (const ShmkvExecutor *executor, const Request *request)
{
  shmkv_count (executor->counters, SHMKV_COUNTER_DELETES, 1);
  if (!shmkv_table_delete (executor->table, &request->place))
    return (Outcome) { .status = SHMKV_WIRE_STATUS_NO_KEY };
  shmkv_count (executor->counters, SHMKV_COUNTER_DELETE_HITS, 1);
  return (Outcome) { .status = SHMKV_WIRE_STATUS_OK };
}

/* The operations on the server itself. */
static Outcome
administer (const ShmkvExecutor *executor, const Request *request)
{
  ShmkvServer *server = executor->server;
  Outcome outcome = { .status = SHMKV_WIRE_STATUS_UNSUPPORTED };

  shmkv_count (executor->counters, SHMKV_COUNTER_OTHER_REQUESTS, 1);
  switch (request->op)
    {
    case SHMKV_WIRE_OP_PRINT:
      outcome.status = shmkv_server_print (server, request->key, &outcome.body);
      break;
    case SHMKV_WIRE_OP_START_WORKERS:
      outcome.status = shmkv_server_start_workers (server, request->key, &outcome.value);
      outcome.has_value = outcome.status == SHMKV_WIRE_STATUS_OK;
      break;
    case SHMKV_WIRE_OP_STOP_WORKER:
      outcome.status = shmkv_server_stop_worker (server, &outcome.value);
      outcome.has_value = outcome.status == SHMKV_WIRE_STATUS_OK;
      break;
    case SHMKV_WIRE_OP_QUIT:
      shmkv_server_quit (server);
      outcome.status = SHMKV_WIRE_STATUS_OK;
      break;
    case SHMKV_WIRE_OP_PING:
      outcome.status = SHMKV_WIRE_STATUS_OK;
      break;
    case SHMKV_WIRE_OP_STATS:
      outcome.status = shmkv_server_stats (server, &outcome.body);
      break;
    default:
      break;
    }
  return outcome;
}

static Outcome
execute (const ShmkvExecutor *executor, const Request *request)
{
  switch (request->op)
    {
    case SHMKV_WIRE_OP_INSERT:
      return insert (executor, request);
    case SHMKV_WIRE_OP_READ:
      return read_key (executor, request);
    case SHMKV_WIRE_OP_DELETE:
      return delete_key (executor, request);
    default:
      return administer (executor, request);
    }
}

/* ---------------------------------------------------------------- respond */

static void
count_silent_error (ShmkvLane *lane)
{
  /* relaxed: published with the next response */
  atomic_store_explicit (&lane->server->silent_errors, ++lane->silent_errors, memory_order_relaxed);
}

static void
respond (const ShmkvExecutor *executor, ShmkvLane *lane, const Request *request, Outcome *outcome)
{
  gboolean failed = outcome->status >= SHMKV_WIRE_STATUS_FIRST_FAILURE;

  if (G_UNLIKELY (failed))
    shmkv_count (executor->counters, SHMKV_COUNTER_FAILED_REQUESTS, 1);
  if (G_UNLIKELY (request->silent))
    {
      if (failed)
        count_silent_error (lane);
      g_clear_pointer (&outcome->body, g_byte_array_unref);
    }
  else if (G_UNLIKELY (outcome->body != NULL))
    shmkv_lane_respond_body (lane, request->asked, request->id, outcome->body);
  else
    shmkv_lane_respond (lane, request->asked, outcome->status, request->id,
                        outcome->has_value ? &outcome->value : NULL);
}

guint
shmkv_execute_batch (const ShmkvExecutor *executor, ShmkvLane *lane)
{
  Request batch[SHMKV_BATCH_MAX];
  guint n = 0;

  if (G_LIKELY (lane->outgoing.body == NULL) || shmkv_lane_send (lane))
    n = read_batch (lane, batch, shmkv_lane_room (lane, SHMKV_BATCH_MAX));
  prefetch (executor, batch, n);
  for (guint i = 0; i < n; i++)
    {
      Outcome outcome = execute (executor, &batch[i]);

      respond (executor, lane, &batch[i], &outcome);
    }
  if (lane->outgoing.body != NULL)
    shmkv_lane_send (lane);
  shmkv_count (executor->counters, SHMKV_COUNTER_WAKES, shmkv_lane_publish (lane));
  shmkv_count (executor->counters, SHMKV_COUNTER_BATCHES, n > 0);
  shmkv_count (executor->counters, SHMKV_COUNTER_STALLS, shmkv_lane_is_stalled (lane));
  return n;
}

/* Print prints, too: for whoever wants no more than that. */
static gboolean
only_asks (const Request *request)
{
  return request->op == SHMKV_WIRE_OP_READ || request->op == SHMKV_WIRE_OP_STATS
         || request->op == SHMKV_WIRE_OP_PING
         || (request->op == SHMKV_WIRE_OP_PRINT && !request->silent);
}

void
shmkv_execute_rest (const ShmkvExecutor *executor, ShmkvLane *lane)
{
  /* Its owner may still be writing: no more than fits a ring. */
  guint left = lane->requests.size / SHMKV_WIRE_HEADER_SIZE;
  Request batch[SHMKV_BATCH_MAX];
  guint n;

  while (left > 0
         && (n = read_batch (lane, batch, MIN (left, SHMKV_BATCH_MAX))) > 0)
    {
      prefetch (executor, batch, n);
      for (guint i = 0; i < n; i++)
        {
          Outcome outcome;

          /* What only asks is not worth the time: nobody hears the answer. */
          if (only_asks (&batch[i]))
            continue;
          outcome = execute (executor, &batch[i]);
          g_clear_pointer (&outcome.body, g_byte_array_unref);
        }
      shmkv_consumer_publish (&lane->requests);
      left -= n;
    }
}
