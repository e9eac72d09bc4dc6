/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The library's sessions, and a server that writes whatever it likes.
 *
 * An input is a sequence of calls and of what the server writes in between, and
 * while the client sleeps: states, positions, answers that are almost right, or
 * bytes.  Where its first byte says so, each load may find fresh ones.  Every call
 * returns; a failure has an error, a success has none; and what was answered can be
 * looked at, all of it. */

#include "config.h"

#include "fuzz/fuzz.h"

#include "shmkv/session-private.h"

#include <string.h>

#define LANES 3
#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE
#define MAX_VALUE 65536

#define COMPLETIONS 8

static struct
{
  FuzzInput input;
  ShmkvSegment segment;
  ShmkvClient client;
  ShmkvSession *session;
} scene;

/* ------------------------------------------------------------------- the server */

static ShmkvResponsesLane *
lane_of (guint8 which)
{
  return shmkv_segment_responses_lane (&scene.segment, which % LANES);
}

/* As a server does, whichever sessions are open: each claim is admitted. */
static void
admit (void)
{
  for (guint i = 0; i < LANES; i++)
    {
      ShmkvResponsesLane *lane = lane_of ((guint8) i);
      guint32 claim = atomic_load (&shmkv_segment_requests_lane (&scene.segment, i)->claim);

      if (claim != 0 && claim == atomic_load (&lane->state))
        atomic_store (&lane->state, claim - SHMKV_WIRE_LANE_FREE + SHMKV_WIRE_LANE_ACTIVE);
    }
}

/* Frees the lane: of the next generation, or not. */
static void
write_state (void)
{
  ShmkvResponsesLane *lane = lane_of (fuzz_u8 (&scene.input));
  guint32 generation = SHMKV_WIRE_LANE_GENERATION (atomic_load (&lane->state));
  guint8 how = fuzz_u8 (&scene.input);

  atomic_store (&lane->state, SHMKV_WIRE_LANE_STATE (generation + how / 4 % 2, how % 4));
}

static _Atomic uint32_t *
pick_word (void)
{
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (&scene.segment);
  ShmkvResponsesLane *lane = lane_of (fuzz_u8 (&scene.input));

  switch (fuzz_u8 (&scene.input) % 8)
    {
    case 0:
      return &header->service;
    case 1:
      return &header->server_asleep;
    case 2:
      return &header->crowd;
    case 3:
      return &lane->positions.head;
    case 4:
      return &lane->positions.tail;
    case 5:
      return &lane->state;
    case 6:
      return &lane->dropped;
    default:
      return &lane->silent_errors;
    }
}

static void
write_word (void)
{
  _Atomic uint32_t *word = pick_word ();

  atomic_store (word, fuzz_u32 (&scene.input));
}

static void
flip_word (void)
{
  _Atomic uint32_t *word = pick_word ();
  guint8 mask = fuzz_u8 (&scene.input);

  fuzz_flip (word, mask < 128 ? mask * 8u : ~(mask - 128u), 2 + fuzz_u8 (&scene.input) % 3);
}

/* All that was submitted has been read. */
static void
make_room (void)
{
  guint lane = fuzz_u8 (&scene.input) % LANES;

  atomic_store (&lane_of ((guint8) lane)->positions.head,
                atomic_load (&shmkv_segment_requests_lane (&scene.segment, lane)->tail));
}

static void
write_bytes (void)
{
  guint lane = fuzz_u8 (&scene.input) % LANES;
  guint offset = fuzz_u16 (&scene.input) % RING_SIZE;
  gsize n;
  const guint8 *bytes = fuzz_bytes (&scene.input, fuzz_u8 (&scene.input), &n);

  memcpy ((guint8 *) shmkv_segment_responses_ring (&scene.segment, lane) + offset, bytes,
          MIN (n, RING_SIZE - offset));
}

static void
write_ring (guint lane, guint32 position, guint64 word)
{
  shmkv_segment_responses_ring (&scene.segment, lane)[position % RING_SIZE / 8] = word;
}

/* Words that look like pairs, if they are looked at so. */
static guint64
body_word (guint8 shape, guint i)
{
  static const guint64 words[4][4] = {
    { 0x11, 1, 2, 0x11 },
    { 0x12, 5, 0x6f6c6c6568, 7 },
    { 0x111, 9, 8, 1000 },
    { 0x22, 1, 0x61, 0 },
  };

  return words[shape % 4][i % (shape % 4 == 0 ? 3 : 4)];
}

/* Bits of the byte that says how an answer is wrong, or only unusual. */
enum
{
  WRONG_LENGTH = 1,
  MORE = 2,
  WRONG_ID = 4,
  WRONG_OP = 8,
  NUMBER = 16,
  LONG = 32,
  UNPADDED = 64,                    /* reaches beyond the ring's end */
};

/* Where the next answer is expected, an answer to what was asked first; of a
 * session that is not ours, to anything. */
static void
write_answer (void)
{
  guint lane = fuzz_u8 (&scene.input) % LANES;
  guint8 wrong = fuzz_u8 (&scene.input), kind = fuzz_u8 (&scene.input) % 3;
  guint8 status = fuzz_u8 (&scene.input) % 32, n = fuzz_u8 (&scene.input);
  guint8 shape = fuzz_u8 (&scene.input);
  ShmkvResponsesLane *server = lane_of ((guint8) lane);
  guint32 tail = atomic_load (&server->positions.tail), begin = tail;
  guint32 to_end = RING_SIZE - tail % RING_SIZE, length;
  guint op = shape % SHMKV_WIRE_N_OPS;
  guint64 id = 1;

  if (to_end < RING_SIZE / 4 && (wrong & UNPADDED) == 0)
    {
      write_ring (lane, tail, to_end);
      begin = tail += to_end;
    }
  if (scene.session != NULL && scene.session->lane == lane)
    {
      const ShmkvPendingEntry *entry = shmkv_pending_peek (&scene.session->pending);

      id = entry != NULL ? entry->id : 1;
      op = entry != NULL ? entry->op : op;
    }
  tail += SHMKV_WIRE_HEADER_SIZE;
  if ((wrong & NUMBER) != 0)
    {
      write_ring (lane, tail, status);
      tail += 8;
    }
  if (kind == SHMKV_WIRE_KIND_BYTES)
    {
      write_ring (lane, tail, (wrong & LONG) != 0 ? n * 256u : n);
      tail += 8;
      for (guint i = 0; i < (n + 7) / 8u; i++, tail += 8)
        write_ring (lane, tail, body_word (shape, i));
    }
  else if (kind == SHMKV_WIRE_KIND_INTEGER)
    {
      write_ring (lane, tail, n);
      tail += 8;
    }
  length = tail - begin;
  if ((wrong & WRONG_LENGTH) != 0)
    length += shape - 128u;
  if ((wrong & WRONG_OP) != 0)
    op = shape;
  write_ring (lane, begin,
              shmkv_header_pack (length, op & 0xff, (wrong & NUMBER) != 0, kind, status)
                | ((wrong & MORE) != 0 ? SHMKV_WIRE_MORE : 0));
  write_ring (lane, begin + 8, (wrong & WRONG_ID) != 0 ? shape : id);
  atomic_store (&server->positions.tail, tail);
}

/* The next piece of what goes on. */
static void
write_piece (void)
{
  guint lane = fuzz_u8 (&scene.input) % LANES;
  guint8 how = fuzz_u8 (&scene.input);
  ShmkvResponsesLane *server = lane_of ((guint8) lane);
  guint32 tail = atomic_load (&server->positions.tail);
  guint32 to_end = RING_SIZE - tail % RING_SIZE, length;

  if (to_end < RING_SIZE / 4)
    {
      write_ring (lane, tail, to_end);
      tail += to_end;
    }
  length = SHMKV_WIRE_HEADER_SIZE + how % 64 * 16u;
  if (scene.session != NULL && scene.session->lane == lane)
    {
      const ShmkvTakerBody *body = &scene.session->taker.body;
      gsize left = MIN (body->size - body->filled, RING_SIZE / 4 - SHMKV_WIRE_HEADER_SIZE);

      if (how >= 64)
        length = SHMKV_WIRE_HEADER_SIZE + (guint32) left / 8 * 8;
      write_ring (lane, tail,
                  body->header | length
                    | (body->filled + length - SHMKV_WIRE_HEADER_SIZE < body->size ? SHMKV_WIRE_MORE
                                                                                  : 0));
      write_ring (lane, tail + 8, body->id);
    }
  for (guint i = 2; i < length / 8; i++)
    write_ring (lane, tail + i * 8, body_word (how, i - 2));
  atomic_store (&server->positions.tail, tail + length);
}

static void
step_of_server (void)
{
  switch (fuzz_u8 (&scene.input) % 12)
    {
    case 10:
      flip_word ();
      break;
    case 11:
      fuzz_server_alive = fuzz_u8 (&scene.input) % 4 != 0;
      break;
    case 0:
      write_state ();
      break;
    case 1:
      write_word ();
      break;
    case 2:
      write_bytes ();
      break;
    case 3:
      make_room ();
      break;
    case 4:
    case 5:
      write_piece ();
      break;
    default:
      write_answer ();
      break;
    }
}

static void
while_asleep (void)
{
  fuzz_hold ();
  admit ();
  if (fuzz_left (&scene.input) > 0)
    step_of_server ();
  fuzz_go_on ();
}

/* ------------------------------------------------------------------- the client */

/* To be handed back; a sanitizer sees what is not ours. */
static void
look_at (gconstpointer bytes, gsize n)
{
  static volatile guint8 sink;

  for (gsize i = 0; i < n; i++)
    sink ^= ((const guint8 *) bytes)[i];
  (void) sink;
}

static void
look_at_datum (const ShmkvDatum *datum)
{
  g_assert_cmpuint (datum->kind, <=, SHMKV_KIND_BYTES);
  if (datum->kind == SHMKV_KIND_BYTES)
    look_at (datum->bytes, datum->length);
}

static void
look_at_pairs (const ShmkvPairs *pairs)
{
  for (gsize i = 0; i < shmkv_pairs_get_length (pairs); i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (pairs, i, &key, &value);
      look_at_datum (&key);
      look_at_datum (&value);
      g_assert_cmpuint (key.kind, !=, SHMKV_KIND_NONE);
      shmkv_pairs_get_ttl (pairs, i);
    }
}

static void
look_at_completion (ShmkvCompletion *completion)
{
  g_assert_nonnull (shmkv_status_to_string (completion->status));
  g_assert_nonnull (shmkv_op_to_string (completion->op));
  g_assert_cmpuint (completion->id, !=, 0);
  g_assert_true (completion->bytes == NULL || completion->pairs == NULL);
  g_assert_cmpint (completion->value_kind == SHMKV_KIND_BYTES, ==, completion->bytes != NULL);
  if (completion->bytes != NULL)
    look_at (g_bytes_get_data (completion->bytes, NULL), g_bytes_get_size (completion->bytes));
  if (completion->pairs != NULL)
    look_at_pairs (completion->pairs);
  shmkv_completion_clear (completion);
}

/* What a call returned. */
static void
judge (gboolean done, GError **error)
{
  g_assert_cmpint (done, ==, *error == NULL);
  g_assert_true (done || (*error)->message[0] != '\0');
  g_clear_error (error);
  fuzz_begin_call ();
}

static ShmkvDatum
pick_datum (void)
{
  guint8 what = fuzz_u8 (&scene.input);
  gsize n;
  const guint8 *bytes;

  if (what % 2 == 0)
    return shmkv_integer (what);
  bytes = fuzz_bytes (&scene.input, what / 16, &n);
  return shmkv_bytes (n > 0 ? bytes : (const guint8 *) "k", n > 0 ? n : 1);
}

static void
pick_request (ShmkvRequest *request)
{
  static const ShmkvOp likely[] = { SHMKV_OP_INSERT, SHMKV_OP_READ, SHMKV_OP_READ, SHMKV_OP_DELETE,
                                    SHMKV_OP_STATS, SHMKV_OP_WAIT, SHMKV_OP_PRINT, SHMKV_OP_PING };
  guint8 op = fuzz_u8 (&scene.input), flags = fuzz_u8 (&scene.input);

  *request = (ShmkvRequest) { .op = op < 200 ? likely[op % G_N_ELEMENTS (likely)]
                                             : (ShmkvOp) (op - 200) };
  if (flags < 128)
    {
      request->flags = (ShmkvFlags) ((flags & 1) != 0 ? SHMKV_FLAG_VERSION : 0)
                       | ((flags & 2) != 0 ? SHMKV_FLAG_OLD : 0);
      if (request->op != SHMKV_OP_READ)
        request->flags &= ~(guint) SHMKV_FLAG_VERSION;
      if (request->op != SHMKV_OP_DELETE)
        request->flags &= ~(guint) SHMKV_FLAG_OLD;
    }
  else
    request->flags = (ShmkvFlags) (flags * 4u);
  if (request->op != SHMKV_OP_PING && request->op != SHMKV_OP_STATS)
    request->key = request->op == SHMKV_OP_PRINT ? shmkv_integer (1) : pick_datum ();
  if (request->op == SHMKV_OP_INSERT)
    request->value = pick_datum ();
  if (request->op == SHMKV_OP_WAIT)
    request->value = shmkv_integer (flags);
}

static gint64
pick_timeout (void)
{
  static const gint64 timeouts[] = { 0, 1, 1000, 250000 };

  return timeouts[fuzz_u8 (&scene.input) % G_N_ELEMENTS (timeouts)];
}

static void
submit (void)
{
  g_autoptr (GError) error = NULL;
  ShmkvRequest request;
  gboolean done = TRUE;

  pick_request (&request);
  for (guint n = fuzz_u8 (&scene.input) % 4; done && n < 4; n++)
    {
      done = shmkv_session_submit (scene.session, &request, &error) != 0;
      judge (done, &error);
    }
}

static void
take (void)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completions[COMPLETIONS];
  gsize n = 1 + fuzz_u8 (&scene.input) % COMPLETIONS;
  gssize taken = shmkv_session_take (scene.session, completions, n, pick_timeout (), &error);

  judge (taken >= 0, &error);
  g_assert_cmpint (taken, <=, (gssize) n);
  for (gssize i = 0; i < taken; i++)
    look_at_completion (&completions[i]);
}

static void
call (void)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completion;
  ShmkvRequest request;
  gboolean done;

  pick_request (&request);
  done = shmkv_session_call (scene.session, &request, &completion, &error);
  judge (done, &error);
  if (done)
    look_at_completion (&completion);
}

static void
call_many (void)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completions[3] = { { 0 } };
  ShmkvRequest requests[3];
  gboolean done;

  for (guint i = 0; i < G_N_ELEMENTS (requests); i++)
    pick_request (&requests[i]);
  done = shmkv_session_call_many (scene.session, requests, G_N_ELEMENTS (requests), completions,
                                  &error);
  judge (done, &error);
  for (guint i = 0; i < G_N_ELEMENTS (requests); i++)
    if (completions[i].id != 0)
      look_at_completion (&completions[i]);
    else
      g_assert_false (done);
}

static void
wait_for_key (void)
{
  g_autoptr (GError) error = NULL;
  ShmkvDatum key = pick_datum ();
  ShmkvCompletion completion;
  gboolean done
    = shmkv_session_wait (scene.session, &key, 1, pick_timeout (), &completion, &error);

  judge (done, &error);
  if (done)
    look_at_completion (&completion);
}

/* With a session that is borrowed. */
static void
call_client (void)
{
  g_autoptr (GError) error = NULL;
  ShmkvDatum key = pick_datum ();
  guint64 value;
  gboolean found;

  judge (shmkv_client_read (&scene.client, key.integer, &value, &found, &error), &error);
  judge (shmkv_client_insert (&scene.client, key.integer, 1, NULL, &error), &error);
}

static void
scan (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvScan) walk = shmkv_scan_new (&scene.client, NULL, (ShmkvScanFlags) 0);

  for (guint n = 0; n < 4; n++)
    {
      ShmkvPairs *pairs;
      gboolean done = shmkv_scan_next (walk, &pairs, &error);

      judge (done, &error);
      if (!done || pairs == NULL)
        return;
      look_at_pairs (pairs);
      shmkv_pairs_unref (pairs);
    }
}

static void
watch (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvWatch) follow = shmkv_watch_new (&scene.client, NULL, &error);
  ShmkvPairs *changes;
  gboolean missed, done;

  judge (follow != NULL, &error);
  if (follow == NULL)
    return;
  done = shmkv_watch_next (follow, pick_timeout (), &changes, &missed, &error);
  judge (done, &error);
  if (!done || changes == NULL)
    return;
  look_at_pairs (changes);
  shmkv_pairs_unref (changes);
}

/* Without a session only one can be opened. */
static void
open_session (void)
{
  g_autoptr (GError) error = NULL;

  if (scene.session != NULL)
    shmkv_session_free (g_steal_pointer (&scene.session));
  fuzz_begin_call ();
  scene.session = shmkv_session_new (&scene.client, &error);
  judge (scene.session != NULL, &error);
}

static void
step (void)
{
  g_autoptr (GError) error = NULL;
  guint8 what = fuzz_u8 (&scene.input) % 32;

  fuzz_begin_call ();
  if (what == 0 || (scene.session == NULL && what < 12))
    {
      open_session ();
      return;
    }
  switch (what)
    {
    case 1:
    case 2:
    case 3:
      submit ();
      break;
    case 4:
    case 5:
    case 6:
      take ();
      break;
    case 7:
      call ();
      break;
    case 8:
      call_many ();
      break;
    case 9:
      wait_for_key ();
      break;
    case 10:
      judge (shmkv_session_flush (scene.session, &error), &error);
      break;
    case 11:
      shmkv_session_get_in_flight (scene.session);
      shmkv_session_get_silent_errors (scene.session);
      break;
    case 12:
      call_client ();
      break;
    case 13:
      scan ();
      break;
    case 14:
      watch ();
      break;
    default:
      step_of_server ();
      break;
    }
}

/* ---------------------------------------------------------------------- a scene */

/* Once. */
static void
init (void)
{
  fuzz_log_init ();
  fuzz_segment_init (&scene.segment, (ShmkvGeometry) { LANES, RING_SIZE }, MAX_VALUE);
  g_atomic_ref_count_init (&scene.client.references);
  scene.client.segment = &scene.segment;
  scene.client.n_cpus = 2;
  g_mutex_init (&scene.client.mutex);
  g_cond_init (&scene.client.returned);
  scene.client.idle = g_ptr_array_new ();
  scene.client.has_lane = g_new0 (gboolean, LANES);
}

static void
scene_init (const guint8 *data, gsize size)
{
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (&scene.segment);
  guint8 chance;

  scene.input = (FuzzInput) { data, data + size };
  fuzz_segment_reset (&scene.segment);
  fuzz_world_reset ();
  shmkv_client_set_timeout (&scene.client, G_USEC_PER_SEC / 4);
  chance = fuzz_u8 (&scene.input);
  atomic_store (&header->service, SHMKV_WIRE_SERVICE_RUNNING);
  /* Others may have the first ones; behind the last lane there is nothing. */
  for (guint i = chance % LANES; i < LANES; i++)
    {
      /* The rings' ends are not far, and neither is that of the positions. */
      atomic_store (&lane_of ((guint8) i)->positions.head, 0u - chance % 32 * 16);
      atomic_store (&lane_of ((guint8) i)->positions.tail, 0u - chance % 32 * 32);
      atomic_store (&lane_of ((guint8) i)->state, SHMKV_WIRE_LANE_STATE (1, SHMKV_WIRE_LANE_FREE));
    }
  fuzz_on_sleep = while_asleep;
  fuzz_watch (scene.segment.responses.base, scene.segment.responses.size);
  fuzz_freshen_area (scene.segment.responses.base, scene.segment.responses.size);
  fuzz_freshen (&scene.input, chance < 128 ? 0 : (chance - 127) / 2);
}

static void
scene_clear (void)
{
  fuzz_begin_call ();
  if (scene.session != NULL)
    shmkv_session_free (g_steal_pointer (&scene.session));
  for (guint i = 0; i < scene.client.idle->len; i++)
    {
      fuzz_begin_call ();
      shmkv_session_free (scene.client.idle->pdata[i]);
    }
  g_ptr_array_set_size (scene.client.idle, 0);
  g_assert_cmpuint (scene.client.n_borrowed, ==, 0);
  for (guint i = 0; i < LANES; i++)
    g_assert_false (scene.client.has_lane[i]);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  if (scene.segment.requests.base == NULL)
    init ();
  scene_init (data, size);
  while (fuzz_left (&scene.input) > 0)
    step ();
  scene_clear ();
  return 0;
}
