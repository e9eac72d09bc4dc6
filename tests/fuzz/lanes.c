/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The server's lanes: clients that write whatever they like, whenever they like.
 *
 * An input is a sequence of what three hostile clients write into their lanes and
 * the header, with turns of a worker in between.  Where its first byte says so,
 * each load may find fresh bytes.  All the time there is an honest client in a
 * lane that the others leave alone: what it asks is answered within one round,
 * and as it should be.  In the end the hostile ones are killed, and their lanes
 * are free after a few rounds of the reaper. */

#include "config.h"

#include "fuzz/fuzz.h"

#include "server/lanes.h"

#include <string.h>

#define LANES 4
#define HONEST 0                    /* the others are hostile; behind the last there is nothing */
#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE
#define MAX_VALUE 2048

/* Its own end of a lane. */
typedef struct
{
  ShmkvProducer requests;
  ShmkvConsumer responses;
  guint64 last_id;
} Honest;

typedef struct
{
  FuzzInput input;
  ShmkvTable *table;
  ShmkvCounters *counters;
  ShmkvLanes *lanes;
  ShmkvExecutor executor;
  guint position;
  Honest honest;
} Scene;

static ShmkvSegment segment;

/* ------------------------------------------------------- the server around them */

guint fuzz_server_print (ShmkvServer *server, guint64 bucket, GByteArray **body_out);
GByteArray *fuzz_server_stats (ShmkvServer *server, const ShmkvTableStats *table);
guint fuzz_server_sessions (ShmkvServer *server, GByteArray **body_out);
guint fuzz_server_start_workers (ShmkvServer *server, guint64 n, guint64 *n_workers_out);
guint fuzz_server_stop_worker (ShmkvServer *server, guint64 *n_workers_out);
void fuzz_server_quit (ShmkvServer *server);

/* As long as the client likes. */
guint
fuzz_server_print (ShmkvServer *server, guint64 bucket, GByteArray **body_out)
{
  if (bucket >= 512)
    return SHMKV_WIRE_STATUS_OUT_OF_RANGE;
  *body_out = g_byte_array_new ();
  g_byte_array_set_size (*body_out, 24 + (guint) bucket * 24);
  memset ((*body_out)->data, 0x11, (*body_out)->len);
  return SHMKV_WIRE_STATUS_OK;
}

GByteArray *
fuzz_server_stats (ShmkvServer *server, const ShmkvTableStats *table)
{
  GByteArray *body = NULL;

  fuzz_server_print (server, 40, &body);
  return body;
}

guint
fuzz_server_sessions (ShmkvServer *server, GByteArray **body_out)
{
  return fuzz_server_print (server, 3, body_out);
}

guint
fuzz_server_start_workers (ShmkvServer *server, guint64 n, guint64 *n_workers_out)
{
  *n_workers_out = n;
  return n == 1 ? SHMKV_WIRE_STATUS_OK : SHMKV_WIRE_STATUS_TOO_MANY;
}

guint
fuzz_server_stop_worker (ShmkvServer *server, guint64 *n_workers_out)
{
  return SHMKV_WIRE_STATUS_LAST_WORKER;
}

void
fuzz_server_quit (ShmkvServer *server)
{
}

/* ------------------------------------------------------------------ the server */

static guint
serve (Scene *scene)
{
  ShmkvRound round;

  fuzz_begin_call ();
  round = shmkv_lanes_serve (scene->lanes, &scene->executor, &scene->position);
  return round.served;
}

static void
reap (Scene *scene)
{
  fuzz_begin_call ();
  shmkv_lanes_reap (scene->lanes, &scene->executor);
}

/* ------------------------------------------------------------------- the honest */

static guint32
lane_state (guint lane)
{
  return atomic_load (&shmkv_segment_responses_lane (&segment, lane)->state);
}

static void
open_honest (Scene *scene)
{
  ShmkvRequestsLane *client = shmkv_segment_requests_lane (&segment, HONEST);
  ShmkvResponsesLane *server = shmkv_segment_responses_lane (&segment, HONEST);

  shmkv_producer_init (&scene->honest.requests, shmkv_segment_requests_ring (&segment, HONEST),
                       RING_SIZE, &client->tail, &server->positions.head, 0);
  shmkv_consumer_init (&scene->honest.responses, shmkv_segment_responses_ring (&segment, HONEST),
                       RING_SIZE, &client->taken, &server->positions.tail, 0);
  fuzz_locked_lanes |= 1u << HONEST;
  atomic_store (&client->claim, lane_state (HONEST));
  reap (scene);
  g_assert_cmpuint (SHMKV_WIRE_LANE_PHASE (lane_state (HONEST)), ==, SHMKV_WIRE_LANE_ACTIVE);
}

static void
ask (Honest *honest, guint op, const ShmkvField *key, const ShmkvField *value)
{
  guint64 payload[32];
  guint32 n = (guint32) (shmkv_field_encode (shmkv_field_encode (payload, key), value) - payload) * 8;
  guint32 length = SHMKV_WIRE_HEADER_SIZE + n;
  guint64 *record = shmkv_producer_reserve (&honest->requests, length);

  if (record == NULL)
    {
      g_assert_true (shmkv_producer_refresh (&honest->requests));
      record = shmkv_producer_reserve (&honest->requests, length);
    }
  g_assert_nonnull (record);
  shmkv_store_word (record, shmkv_header_pack (length, op, key->kind, value->kind, 0));
  shmkv_store_word (record + 1, ++honest->last_id);
  shmkv_ring_copy_in (record + 2, payload, n);
  shmkv_producer_commit (&honest->requests, length);
}

/* Takes the answer to the request `back` requests ago; returns its status. */
static guint
hear (Honest *honest, guint back, const ShmkvField *value)
{
  const uint64_t *record = NULL, *cursor;
  guint64 word = 0, payload[32];
  ShmkvHeader header;
  ShmkvField found;
  size_t left;

  g_assert_cmpint (shmkv_consumer_peek (&honest->responses, &record, &word), ==,
                   SHMKV_RING_RECORD);
  header = shmkv_header_unpack (word);
  g_assert_cmpuint (record[1], ==, honest->last_id - back);
  g_assert_cmpuint (header.key_kind, ==, SHMKV_WIRE_KIND_NONE);
  g_assert_false (header.more);
  left = header.length - SHMKV_WIRE_HEADER_SIZE;
  g_assert_cmpuint (left, <=, sizeof payload);
  memcpy (payload, record + 2, left);
  cursor = payload;
  g_assert_true (shmkv_field_decode (&cursor, &left, header.value_kind, &found));
  g_assert_true (shmkv_field_equals (&found, value));
  shmkv_consumer_advance (&honest->responses, header.length);
  shmkv_consumer_publish (&honest->responses);
  return header.extra;
}

/* Inserts, reads, deletes, and misses `key`: what is submitted at once, nobody
 * comes in between. */
static void
exchange_key (Scene *scene, const ShmkvField *key, const ShmkvField *value)
{
  static const ShmkvField none = { .kind = SHMKV_WIRE_KIND_NONE };
  Honest *honest = &scene->honest;
  guint inserted;

  ask (honest, SHMKV_WIRE_OP_INSERT, key, value);
  ask (honest, SHMKV_WIRE_OP_READ, key, &none);
  ask (honest, SHMKV_WIRE_OP_DELETE, key, &none);
  ask (honest, SHMKV_WIRE_OP_READ, key, &none);
  shmkv_producer_publish (&honest->requests);
  serve (scene);
  inserted = hear (honest, 3, &none);
  g_assert_true (inserted == SHMKV_WIRE_STATUS_ADDED || inserted == SHMKV_WIRE_STATUS_REPLACED);
  g_assert_cmpuint (hear (honest, 2, value), ==, SHMKV_WIRE_STATUS_OK);
  g_assert_cmpuint (hear (honest, 1, &none), ==, SHMKV_WIRE_STATUS_OK);
  g_assert_cmpuint (hear (honest, 0, &none), ==, SHMKV_WIRE_STATUS_NO_KEY);
}

static void
exchange (Scene *scene)
{
  static const char text[] = "what an honest client wrote";
  guint64 n = scene->honest.last_id / 4 % 8;
  ShmkvField integer = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = n };
  ShmkvField bytes = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = sizeof text - n, .bytes = text };

  switch (n % 3)
    {
    case 0:
      exchange_key (scene, &integer, &integer);
      break;
    case 1:
      exchange_key (scene, &integer, &bytes);
      break;
    default:
      exchange_key (scene, &bytes, &integer);
      break;
    }
}

/* ------------------------------------------------------------------ the hostile */

static guint
pick_lane (Scene *scene)
{
  return HONEST + 1 + fuzz_u8 (&scene->input) % (LANES - 1);
}

static _Atomic uint32_t *
pick_word (Scene *scene)
{
  ShmkvRequestsHeader *header = shmkv_segment_requests_header (&segment);
  ShmkvRequestsLane *lane = shmkv_segment_requests_lane (&segment, pick_lane (scene));

  switch (fuzz_u8 (&scene->input) % 8)
    {
    case 0:
      return &lane->claim;
    case 1:
      return &lane->client_pid;
    case 2:
      return &lane->tail;
    case 3:
      return &lane->room_nap;
    case 4:
      return &lane->taken;
    case 5:
      return &lane->response_nap;
    case 6:
      return &header->doorbell;
    default:
      return &header->arrivals;
    }
}

/* As it should be. */
static void
claim (guint lane)
{
  guint generation = SHMKV_WIRE_LANE_GENERATION (lane_state (lane));

  fuzz_locked_lanes |= 1u << lane;
  atomic_store (&shmkv_segment_requests_lane (&segment, lane)->claim,
                SHMKV_WIRE_LANE_STATE (generation, SHMKV_WIRE_LANE_FREE));
  atomic_fetch_add (&shmkv_segment_requests_header (&segment)->arrivals, 1);
}

static void
come_or_go (Scene *scene)
{
  guint lane = pick_lane (scene);
  guint8 how = fuzz_u8 (&scene->input);

  if ((how & 1) != 0)
    claim (lane);
  if ((how & 2) != 0)
    fuzz_locked_lanes &= ~(1u << lane);
  if ((how & 4) != 0)
    atomic_store (&shmkv_segment_requests_lane (&segment, lane)->claim, 0);
}

static void
write_ring (guint lane, guint32 position, guint64 word)
{
  shmkv_segment_requests_ring (&segment, lane)[position % RING_SIZE / 8] = word;
}

/* Writes a field of the kind, and what it is good for, from a byte. */
static void
write_field (Scene *scene, guint lane, guint32 *position, guint kind)
{
  guint8 what;

  if (kind != SHMKV_WIRE_KIND_INTEGER && kind != SHMKV_WIRE_KIND_BYTES)
    return;
  what = fuzz_u8 (&scene->input);
  write_ring (lane, *position, what);
  *position += 8;
  if (kind == SHMKV_WIRE_KIND_BYTES)
    for (guint i = 0; i < (what + 7) / 8u; i++, *position += 8)
      write_ring (lane, *position, what % 16 * G_GUINT64_CONSTANT (0x0101010101010101));
}

/* What a SCAN asks for, in its value. */
static void
write_scan (Scene *scene, guint lane, guint32 *position)
{
  guint8 cursor = fuzz_u8 (&scene->input);
  const guint64 words[] = { SHMKV_WIRE_SCAN_WORDS * 8, cursor % 4, 1 + cursor / 32,
                            fuzz_u8 (&scene->input) & SHMKV_WIRE_SCAN_OPTIONS_ALL };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++, *position += 8)
    write_ring (lane, *position, words[i]);
}

static void
write_payload (Scene *scene, guint lane, guint32 *position, const ShmkvHeader *header)
{
  write_field (scene, lane, position, header->key_kind);
  if (header->op == SHMKV_WIRE_OP_SCAN && header->value_kind == SHMKV_WIRE_KIND_BYTES)
    write_scan (scene, lane, position);
  else
    write_field (scene, lane, position, header->value_kind);
  if ((header->extra & SHMKV_WIRE_FLAG_IF_VALUE) != 0)
    {
      guint kind = fuzz_u8 (&scene->input) % 3;

      write_ring (lane, *position, kind);
      *position += 8;
      write_field (scene, lane, position, kind);
    }
  if ((header->extra & SHMKV_WIRE_FLAG_IF_VERSION) != 0)
    write_field (scene, lane, position, SHMKV_WIRE_KIND_INTEGER);
  if ((header->extra & SHMKV_WIRE_FLAG_TTL) != 0)
    write_field (scene, lane, position, SHMKV_WIRE_KIND_INTEGER);
}

/* What the operation takes: keys and values of both kinds, where they may be. */
static void
set_kinds (ShmkvHeader *header, guint8 which)
{
  guint one = SHMKV_WIRE_KIND_INTEGER + which % 2, other = SHMKV_WIRE_KIND_INTEGER + which / 2 % 2;

  switch (header->op)
    {
    case SHMKV_WIRE_OP_INSERT:
      header->key_kind = (guint8) one;
      header->value_kind = (guint8) other;
      break;
    case SHMKV_WIRE_OP_ADD:
    case SHMKV_WIRE_OP_SUBTRACT:
    case SHMKV_WIRE_OP_WAIT:
      header->key_kind = (guint8) one;
      header->value_kind = SHMKV_WIRE_KIND_INTEGER;
      break;
    case SHMKV_WIRE_OP_READ:
    case SHMKV_WIRE_OP_DELETE:
    case SHMKV_WIRE_OP_EXPIRE:
    case SHMKV_WIRE_OP_TTL:
      header->key_kind = (guint8) one;
      break;
    case SHMKV_WIRE_OP_PRINT:
    case SHMKV_WIRE_OP_START_WORKERS:
      header->key_kind = SHMKV_WIRE_KIND_INTEGER;
      break;
    case SHMKV_WIRE_OP_SCAN:
      header->key_kind = one == SHMKV_WIRE_KIND_BYTES ? one : SHMKV_WIRE_KIND_NONE;
      header->value_kind = SHMKV_WIRE_KIND_BYTES;
      break;
    case SHMKV_WIRE_OP_WATCH:
      header->key_kind = one == SHMKV_WIRE_KIND_BYTES ? one : SHMKV_WIRE_KIND_NONE;
      header->value_kind = SHMKV_WIRE_KIND_INTEGER;
      break;
    default:
      break;
    }
}

/* Bits of the byte that says what is not as usual, and maybe wrong. */
enum
{
  MORE = 1,                         /* comes in pieces, with the next of the same ID */
  SAME_ID = 2,
  LONG = 4,                         /* as long as a record may be */
  FLAGS = 8,                        /* there are some */
  WRONG_LENGTH = 16,
  WRONG_KINDS = 32,
  WRONG_OP = 64,
  UNUSUAL = 128,                    /* without it, none of the others */
};

static void
pick_header (Scene *scene, guint8 how, ShmkvHeader *header)
{
  guint8 op = fuzz_u8 (&scene->input), kinds = fuzz_u8 (&scene->input);

  *header = (ShmkvHeader) { .op = (how & WRONG_OP) != 0 ? op : op % SHMKV_WIRE_N_OPS };
  set_kinds (header, kinds);
  if ((how & WRONG_KINDS) != 0)
    {
      header->key_kind = kinds % 4;
      header->value_kind = kinds / 4 % 4;
    }
  if ((how & FLAGS) != 0)
    header->extra = fuzz_u16 (&scene->input) & 0x7fff;
  header->more = (how & MORE) != 0;
}

/* Behind what is there: a request that could almost be one. */
static void
write_request (Scene *scene)
{
  guint lane = pick_lane (scene);
  _Atomic uint32_t *tail = &shmkv_segment_requests_lane (&segment, lane)->tail;
  guint32 begin = atomic_load (tail), to_end = RING_SIZE - begin % RING_SIZE, position;
  guint8 how = fuzz_u8 (&scene->input);
  ShmkvHeader header;

  if (how < UNUSUAL)
    how = 0;
  pick_header (scene, how, &header);
  /* One of a wrong length may also reach beyond the end. */
  if (to_end < RING_SIZE / 4 && (how & WRONG_LENGTH) == 0)
    {
      write_ring (lane, begin, to_end);
      begin += to_end;
    }
  position = begin + SHMKV_WIRE_HEADER_SIZE;
  write_payload (scene, lane, &position, &header);
  if ((how & LONG) != 0)
    position = begin + RING_SIZE / 4;
  header.length = position - begin;
  if ((how & WRONG_LENGTH) != 0)
    header.length += fuzz_u8 (&scene->input) - 128u;
  write_ring (lane, begin,
              shmkv_header_pack (header.length, header.op, header.key_kind, header.value_kind,
                                 header.extra)
                | (header.more ? SHMKV_WIRE_MORE : 0));
  write_ring (lane, begin + 8, (how & SAME_ID) != 0 ? 1 : begin);
  atomic_store (tail, position);
}

/* Nearer to the ring's end: with what is long, and answered by nothing. */
static void
write_filler (Scene *scene)
{
  guint lane = pick_lane (scene);
  guint8 how = fuzz_u8 (&scene->input);
  _Atomic uint32_t *tail = &shmkv_segment_requests_lane (&segment, lane)->tail;
  guint32 begin = atomic_load (tail), length = RING_SIZE / 4 - how / 4 * 8u;

  for (guint i = 0; i < how % 4; i++, begin += length)
    {
      write_ring (lane, begin, shmkv_header_pack (length, SHMKV_WIRE_OP_PING, 0, 0,
                                                  SHMKV_WIRE_FLAG_NO_RESPONSE));
      write_ring (lane, begin + 8, 1);
    }
  atomic_store (tail, begin);
}

static void
write_bytes (Scene *scene)
{
  guint lane = pick_lane (scene);
  guint offset = fuzz_u16 (&scene->input) % RING_SIZE;
  gsize n;
  const guint8 *bytes = fuzz_bytes (&scene->input, fuzz_u8 (&scene->input), &n);

  memcpy ((guint8 *) shmkv_segment_requests_ring (&segment, lane) + offset, bytes,
          MIN (n, RING_SIZE - offset));
}

/* Makes room for responses, all there are or a part. */
static void
take_responses (Scene *scene)
{
  guint lane = pick_lane (scene);
  guint8 left = fuzz_u8 (&scene->input);
  guint32 produced = atomic_load (&shmkv_segment_responses_lane (&segment, lane)->positions.tail);

  atomic_store (&shmkv_segment_requests_lane (&segment, lane)->taken,
                left == 0 ? produced : produced - left * 8u);
}

static void
flip_word (Scene *scene)
{
  _Atomic uint32_t *word = pick_word (scene);
  guint8 mask = fuzz_u8 (&scene->input);

  fuzz_flip (word, mask < 128 ? mask * 8u : ~(mask - 128u), 2 + fuzz_u8 (&scene->input) % 3);
}

static void
step (Scene *scene)
{
  _Atomic uint32_t *word;

  switch (fuzz_u8 (&scene->input) % 20)
    {
    case 16:
      flip_word (scene);
      break;
    case 17:
      write_filler (scene);
      break;
    case 0:
      come_or_go (scene);
      break;
    case 1:
      word = pick_word (scene);
      atomic_store (word, fuzz_u32 (&scene->input));
      break;
    case 2:
      word = pick_word (scene);
      atomic_fetch_add (word, (guint32) (gint8) fuzz_u8 (&scene->input) * 8);
      break;
    case 3:
      write_bytes (scene);
      break;
    case 4:
    case 5:
      take_responses (scene);
      break;
    case 6:
      reap (scene);
      break;
    case 7:
      exchange (scene);
      break;
    case 8:
    case 9:
    case 10:
      serve (scene);
      break;
    default:
      write_request (scene);
      break;
    }
}

/* All of them are killed. */
static void
end_hostile (Scene *scene)
{
  guint n_free = 0;

  fuzz_locked_lanes = 1u << HONEST;
  for (guint n = 0; n_free < LANES - 1; n++)
    {
      g_assert_cmpuint (n, <, 64);
      reap (scene);
      serve (scene);
      n_free = 0;
      for (guint i = HONEST + 1; i < LANES; i++)
        n_free += SHMKV_WIRE_LANE_PHASE (lane_state (i)) == SHMKV_WIRE_LANE_FREE;
    }
}

/* ---------------------------------------------------------------------- a scene */

static void
scene_init (Scene *scene, const guint8 *data, gsize size)
{
  ShmkvRequestsLane *hostile = shmkv_segment_requests_lane (&segment, HONEST + 1);

  memset (scene, 0, sizeof *scene);
  scene->input = (FuzzInput) { data, data + size };
  scene->table = shmkv_table_new (&(ShmkvTableOptions) { .n_buckets = 3, .seed = 1 });
  scene->counters = shmkv_counters_new ();
  scene->lanes = shmkv_lanes_new (&segment, scene->table);
  g_assert_true (shmkv_executor_init (&scene->executor, NULL, scene->table, scene->counters));
  fuzz_watch (segment.requests.base, segment.requests.size);
  open_honest (scene);
  fuzz_freshen_area (segment.requests.base, sizeof (ShmkvRequestsHeader));
  fuzz_freshen_area (hostile, (LANES - 1) * sizeof *hostile);
  fuzz_freshen_area (shmkv_segment_requests_ring (&segment, HONEST + 1), (LANES - 1) * RING_SIZE);
}

static void
scene_clear (Scene *scene)
{
  shmkv_lanes_free (scene->lanes);
  shmkv_executor_clear (&scene->executor);
  shmkv_counters_free (scene->counters);
  shmkv_table_free (scene->table);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  Scene scene;
  guint8 chance, claimed;

  fuzz_log_init ();
  if (segment.requests.base == NULL)
    fuzz_segment_init (&segment, (ShmkvGeometry) { LANES, RING_SIZE }, MAX_VALUE);
  fuzz_segment_reset (&segment);
  fuzz_world_reset ();
  scene_init (&scene, data, size);
  chance = fuzz_u8 (&scene.input);
  claimed = fuzz_u8 (&scene.input);
  for (guint i = 0; i < LANES - 1; i++)
    if ((claimed >> i & 1) != 0)
      claim (HONEST + 1 + i);
  fuzz_freshen (&scene.input, chance < 128 ? 0 : (chance - 127) / 2);

  while (fuzz_left (&scene.input) > 0)
    step (&scene);
  exchange (&scene);
  end_hostile (&scene);
  exchange (&scene);
  scene_clear (&scene);
  return 0;
}
