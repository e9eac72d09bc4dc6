/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/operate.h"

#include <string.h>

static void
count (ShmkvExecutor *executor, ShmkvCounter counter)
{
  shmkv_count (executor->counters, counter, 1);
}

/* -------------------------------------------------------------- on one key */

static void
count_begin (ShmkvExecutor *executor, const ShmkvServerRequest *request)
{
  static const ShmkvCounter counters[SHMKV_WIRE_N_OPS] = {
    [SHMKV_WIRE_OP_INSERT] = SHMKV_COUNTER_INSERTS,
    [SHMKV_WIRE_OP_READ] = SHMKV_COUNTER_READS,
    [SHMKV_WIRE_OP_DELETE] = SHMKV_COUNTER_DELETES,
    [SHMKV_WIRE_OP_ADD] = SHMKV_COUNTER_ADDS,
    [SHMKV_WIRE_OP_SUBTRACT] = SHMKV_COUNTER_ADDS,
    [SHMKV_WIRE_OP_EXPIRE] = SHMKV_COUNTER_EXPIRES,
    [SHMKV_WIRE_OP_TTL] = SHMKV_COUNTER_TTLS,
  };

  count (executor, counters[request->op]);
}

static void
count_end (ShmkvExecutor *executor, const ShmkvServerRequest *request, guint status)
{
  if (status == SHMKV_WIRE_STATUS_MISMATCH)
    count (executor, SHMKV_COUNTER_MISMATCHES);
  else if (status == SHMKV_WIRE_STATUS_OK && request->op == SHMKV_WIRE_OP_READ)
    count (executor, SHMKV_COUNTER_READ_HITS);
  else if (status == SHMKV_WIRE_STATUS_OK && request->op == SHMKV_WIRE_OP_DELETE)
    count (executor, SHMKV_COUNTER_DELETE_HITS);
}

/* Applies the command, with as much memory for the answer as it turns out to
 * need.  `memory_out` is where it is, NULL: in the command's own. */
static void
apply (ShmkvTable *table, ShmkvTableCommand *command, ShmkvTableAnswer *answer_out,
       gpointer *memory_out)
{
  *memory_out = NULL;
  for (;;)
    {
      shmkv_table_apply (table, command, answer_out);
      if (answer_out->needed == 0)
        return;
      g_free (*memory_out);
      *memory_out = g_try_malloc (answer_out->needed);
      if (*memory_out == NULL)
        {
          *answer_out = (ShmkvTableAnswer) { .status = SHMKV_WIRE_STATUS_NO_MEMORY };
          return;
        }
      command->buffer = *memory_out;
      command->buffer_size = answer_out->needed;
    }
}

static void
operate_on_key (ShmkvExecutor *executor, ShmkvLane *lane, const ShmkvServerRequest *request,
                ShmkvResponse *response_out)
{
  ShmkvTableCommand command = {
    .op = request->op,
    .flags = request->flags,
    .place = request->place,
    .key = request->key,
    .value = request->value,
    .expected = request->expected,
    .version = request->version,
    .ttl_ms = request->ttl_ms,
    .owner = lane->owned.owner,
  };
  ShmkvTableAnswer answer;

  /* What a change replaces gets memory of its own before it happens: afterwards
   * it is too late to find that there is none. */
  if ((request->flags & SHMKV_WIRE_FLAG_OLD) == 0)
    {
      command.buffer = executor->answer;
      command.buffer_size = SHMKV_ANSWER_SIZE;
    }
  count_begin (executor, request);
  /* Before it is there, for the same reason. */
  if ((request->flags & SHMKV_WIRE_FLAG_SESSION) != 0
      && !shmkv_owned_add (&lane->owned, executor->table, &request->key, &request->place))
    {
      response_out->status = SHMKV_WIRE_STATUS_NO_MEMORY;
      return;
    }
  apply (executor->table, &command, &answer, &response_out->memory);
  count_end (executor, request, answer.status);
  response_out->status = answer.status;
  response_out->value = answer.value;
  if ((request->flags & SHMKV_WIRE_FLAG_VERSION) != 0
      && answer.status < SHMKV_WIRE_STATUS_FIRST_FAILURE)
    {
      response_out->has_number = TRUE;
      response_out->number = answer.version;
    }
}

/* ------------------------------------------------------------------ waiting */

static void
answer_value (ShmkvExecutor *executor, ShmkvLane *lane, ShmkvResponse *response_out)
{
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_READ,
    .flags = SHMKV_WIRE_FLAG_VERSION,
    .place = lane->wait.place,
    .key = lane->wait.key,
    .buffer = executor->answer,
    .buffer_size = SHMKV_ANSWER_SIZE,
  };
  ShmkvTableAnswer answer;

  apply (executor->table, &command, &answer, &response_out->memory);
  response_out->status = answer.status;
  response_out->value = answer.value;
  if (answer.status == SHMKV_WIRE_STATUS_OK)
    {
      response_out->has_number = TRUE;
      response_out->number = answer.version;
    }
}

/* Whether the key is another than the session knows. */
static gboolean
look_at_key (ShmkvExecutor *executor, ShmkvLane *lane, ShmkvResponse *response_out)
{
  ShmkvLaneWait *wait = &lane->wait;

  if (shmkv_table_get_version (executor->table, &wait->place, &wait->key) == wait->version)
    return FALSE;
  answer_value (executor, lane, response_out);
  return TRUE;
}

/* Whether there are changes that the session does not know. */
static gboolean
look_at_changes (ShmkvExecutor *executor, ShmkvLane *lane, ShmkvResponse *response_out)
{
  ShmkvLaneWait *wait = &lane->wait;
  gsize used;

  response_out->status = shmkv_waits_get_changes (lane->waits, &wait->key, &wait->version,
                                                  executor->answer, SHMKV_ANSWER_SIZE, &used);
  if (response_out->status == SHMKV_WIRE_STATUS_INVALID)
    return TRUE;
  if (response_out->status == SHMKV_WIRE_STATUS_OK && used == 0)
    return FALSE;
  response_out->has_number = TRUE;
  response_out->number = wait->version;
  if (response_out->status == SHMKV_WIRE_STATUS_OK)
    response_out->value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES,
                                         .integer = used,
                                         .bytes = executor->answer };
  return TRUE;
}

gboolean
shmkv_operate_wait (ShmkvExecutor *executor, ShmkvLane *lane, ShmkvResponse *response_out)
{
  ShmkvLaneWait *wait = &lane->wait;
  gboolean (*look) (ShmkvExecutor *, ShmkvLane *, ShmkvResponse *)
    = wait->op == SHMKV_WIRE_OP_WATCH ? look_at_changes : look_at_key;

  *response_out = (ShmkvResponse) { .op = wait->op, .id = wait->id };
  /* Without parking first, as it may be over already. */
  if (!look (executor, lane, response_out))
    {
      shmkv_lane_park (lane);
      /* What changes from now on makes it ripe; what changed before is seen. */
      if (wait->op == SHMKV_WIRE_OP_WATCH || !look (executor, lane, response_out))
        return FALSE;
      shmkv_lane_unpark (lane);
    }
  shmkv_lane_end_wait (lane);
  return TRUE;
}

static gboolean
copy_key (ShmkvLaneWait *wait, const ShmkvField *key)
{
  wait->key = *key;
  if (key->kind != SHMKV_WIRE_KIND_BYTES)
    return TRUE;
  wait->memory = g_try_malloc (MAX (key->integer, 1));
  if (wait->memory == NULL)
    return FALSE;
  if (key->integer > 0)
    memcpy (wait->memory, key->bytes, key->integer);
  wait->key.bytes = wait->memory;
  return TRUE;
}

/* TRUE with the response, or FALSE where the lane waits. */
static gboolean
begin_wait (ShmkvExecutor *executor, ShmkvLane *lane, const ShmkvServerRequest *request,
            ShmkvResponse *response_out)
{
  ShmkvLaneWait *wait = &lane->wait;

  wait->op = request->op;
  wait->id = request->id;
  wait->place = request->place;
  wait->version = request->value.integer;
  if (!copy_key (wait, &request->key))
    {
      shmkv_lane_end_wait (lane);
      response_out->status = SHMKV_WIRE_STATUS_NO_MEMORY;
      return TRUE;
    }
  return shmkv_operate_wait (executor, lane, response_out);
}

static gboolean
operate_watch (ShmkvExecutor *executor, ShmkvLane *lane, const ShmkvServerRequest *request,
               ShmkvResponse *response_out)
{
  if (!lane->watches && !shmkv_waits_begin_watch (lane->waits))
    {
      response_out->status = SHMKV_WIRE_STATUS_NO_MEMORY;
      return TRUE;
    }
  lane->watches = TRUE;
  if (request->value.integer != 0)
    return begin_wait (executor, lane, request, response_out);
  response_out->has_number = TRUE;
  response_out->number = shmkv_waits_get_position (lane->waits);
  response_out->value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .bytes = executor->answer };
  return TRUE;
}

/* ----------------------------------------------------------- on all the keys */

static void
answer_integer (ShmkvResponse *response_out, guint64 integer)
{
  response_out->value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = integer };
}

/* `array` is the value. */
static void
answer_array (ShmkvResponse *response_out, GByteArray *array)
{
  response_out->array = array;
  response_out->value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES,
                                       .integer = array->len,
                                       .bytes = array->data };
}

/* FALSE where there are more. */
static gboolean
walk_step (ShmkvTable *table, ShmkvLaneWait *wait)
{
  switch (wait->op)
    {
    case SHMKV_WIRE_OP_CLEAR:
      return shmkv_table_clear_step (table, &wait->bucket, &wait->n_keys);
    case SHMKV_WIRE_OP_COUNT:
      return shmkv_table_count_step (table, &wait->bucket, &wait->n_keys);
    default:
      return shmkv_table_stats_step (table, &wait->bucket, &wait->stats);
    }
}

gboolean
shmkv_operate_walk (ShmkvExecutor *executor, ShmkvLane *lane, ShmkvResponse *response_out)
{
  ShmkvLaneWait *wait = &lane->wait;

  *response_out = (ShmkvResponse) { .op = wait->op, .id = wait->id };
  if (!walk_step (executor->table, wait))
    {
      shmkv_lane_set_unfinished (lane);
      return FALSE;
    }
  if (wait->op == SHMKV_WIRE_OP_STATS)
    answer_array (response_out, shmkv_server_stats (executor->server, &wait->stats));
  else
    answer_integer (response_out, wait->n_keys);
  shmkv_lane_end_wait (lane);
  return TRUE;
}

/* In a large table it takes long: other lanes have their turn between the steps. */
static gboolean
begin_walk (ShmkvExecutor *executor, ShmkvLane *lane, const ShmkvServerRequest *request,
            ShmkvResponse *response_out)
{
  ShmkvLaneWait *wait = &lane->wait;

  wait->op = request->op;
  wait->id = request->id;
  wait->silent = request->silent;
  wait->bucket = 0;
  wait->n_keys = 0;
  wait->stats = (ShmkvTableStats) { 0 };
  return shmkv_operate_walk (executor, lane, response_out);
}

static void
operate_scan (ShmkvExecutor *executor, const ShmkvServerRequest *request,
              ShmkvResponse *response_out)
{
  const guint64 *words = request->value.bytes;
  GByteArray *body;
  ShmkvTableScan scan = { .prefix = request->key };
  guint64 cursor;

  if (request->value.integer != SHMKV_WIRE_SCAN_WORDS * 8
      || (words[SHMKV_WIRE_SCAN_OPTIONS] & ~(guint64) SHMKV_WIRE_SCAN_OPTIONS_ALL) != 0)
    {
      response_out->status = SHMKV_WIRE_STATUS_UNSUPPORTED;
      return;
    }
  if (words[SHMKV_WIRE_SCAN_LIMIT] == 0)
    {
      response_out->status = SHMKV_WIRE_STATUS_INVALID;
      return;
    }
  cursor = words[SHMKV_WIRE_SCAN_CURSOR];
  scan.limit = words[SHMKV_WIRE_SCAN_LIMIT];
  scan.options = (guint) words[SHMKV_WIRE_SCAN_OPTIONS];
  response_out->status = shmkv_table_scan (executor->table, &scan, &cursor, &body);
  if (response_out->status != SHMKV_WIRE_STATUS_OK)
    return;
  response_out->has_number = TRUE;
  response_out->number = cursor;
  answer_array (response_out, body);
}

/* ------------------------------------------------------------ on the server */

static void
operate_on_server (ShmkvExecutor *executor, const ShmkvServerRequest *request,
                   ShmkvResponse *response_out)
{
  ShmkvServer *server = executor->server;
  GByteArray *body = NULL;
  guint64 number = 0;

  switch (request->op)
    {
    case SHMKV_WIRE_OP_PRINT:
      response_out->status = shmkv_server_print (server, request->key.integer, &body);
      break;
    case SHMKV_WIRE_OP_SESSIONS:
      response_out->status = shmkv_server_sessions (server, &body);
      break;
    case SHMKV_WIRE_OP_START_WORKERS:
      response_out->status = shmkv_server_start_workers (server, request->key.integer, &number);
      break;
    case SHMKV_WIRE_OP_STOP_WORKER:
      response_out->status = shmkv_server_stop_worker (server, &number);
      break;
    case SHMKV_WIRE_OP_QUIT:
      shmkv_server_quit (server);
      return;
    default:
      response_out->status = SHMKV_WIRE_STATUS_UNSUPPORTED;
      return;
    }
  if (body != NULL)
    answer_array (response_out, body);
  else if (response_out->status == SHMKV_WIRE_STATUS_OK)
    answer_integer (response_out, number);
}

gboolean
shmkv_operate (ShmkvExecutor *executor, ShmkvLane *lane, const ShmkvServerRequest *request,
               ShmkvResponse *response_out)
{
  *response_out
    = (ShmkvResponse) { .op = request->op, .id = request->id, .status = request->status };
  if (request->status != SHMKV_WIRE_STATUS_OK)
    {
      count (executor, SHMKV_COUNTER_OTHER_REQUESTS);
      return TRUE;
    }
  switch (request->op)
    {
    case SHMKV_WIRE_OP_INSERT:
    case SHMKV_WIRE_OP_READ:
    case SHMKV_WIRE_OP_DELETE:
    case SHMKV_WIRE_OP_ADD:
    case SHMKV_WIRE_OP_SUBTRACT:
    case SHMKV_WIRE_OP_EXPIRE:
    case SHMKV_WIRE_OP_TTL:
      operate_on_key (executor, lane, request, response_out);
      return TRUE;
    case SHMKV_WIRE_OP_WAIT:
      count (executor, SHMKV_COUNTER_WAITS);
      return begin_wait (executor, lane, request, response_out);
    case SHMKV_WIRE_OP_WATCH:
      count (executor, SHMKV_COUNTER_WATCHES);
      return operate_watch (executor, lane, request, response_out);
    case SHMKV_WIRE_OP_SCAN:
      count (executor, SHMKV_COUNTER_SCANS);
      operate_scan (executor, request, response_out);
      return TRUE;
    default:
      count (executor, SHMKV_COUNTER_OTHER_REQUESTS);
      break;
    }
  switch (request->op)
    {
    case SHMKV_WIRE_OP_PING:
      return TRUE;
    case SHMKV_WIRE_OP_COUNT:
    case SHMKV_WIRE_OP_CLEAR:
    case SHMKV_WIRE_OP_STATS:
      return begin_walk (executor, lane, request, response_out);
    default:
      operate_on_server (executor, request, response_out);
      return TRUE;
    }
}
