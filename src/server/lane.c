/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/lane.h"

#include "transport/crash.h"
#include "transport/wait.h"

#include <string.h>

/* No more than this is sent at once, so that other lanes have their turn. */
#define SEND_BYTES (256u << 10)

/* ------------------------------------------------------------- life cycle */

/* Tells the client, and whoever waits for a lane. */
static void
set_state (ShmkvLane *lane, guint generation, guint phase)
{
  lane->state = SHMKV_WIRE_LANE_STATE (generation, phase);
  /* release: pairs with the acquire in the client's lane_state() */
  atomic_store_explicit (&lane->server->state, lane->state, memory_order_release);
  shmkv_futex_wake (&lane->server->state, G_MAXINT);
}

void
shmkv_lane_init (ShmkvLane *lane, const ShmkvSegment *segment, ShmkvWaits *waits, guint index)
{
  memset (lane, 0, sizeof *lane);
  lane->index = index;
  lane->segment = segment;
  lane->waits = waits;
  lane->max_value = segment->max_value;
  lane->wait.waiter.attention = &lane->attention;
  lane->client = shmkv_segment_requests_lane (segment, index);
  lane->server = shmkv_segment_responses_lane (segment, index);
  lane->ring = shmkv_segment_requests_ring (segment, index);
  lane->ring_size = segment->geometry.ring_size;
  set_state (lane, 1, SHMKV_WIRE_LANE_FREE);
}

/* What the session began and does not end. */
static void
forget (ShmkvLane *lane)
{
  shmkv_response_clear (&lane->outgoing.response);
  lane->outgoing = (ShmkvOutgoing) { 0 };
  shmkv_incoming_clear (&lane->incoming);
  shmkv_lane_end_wait (lane);
  if (lane->watches)
    shmkv_waits_end_watch (lane->waits);
  lane->watches = FALSE;
}

void
shmkv_lane_clear (ShmkvLane *lane)
{
  forget (lane);
  shmkv_owned_clear (&lane->owned);
}

/* The FREE state that a client claims to have found, for our generation. */
static guint32
free_state (const ShmkvLane *lane)
{
  return SHMKV_WIRE_LANE_STATE (SHMKV_WIRE_LANE_GENERATION (lane->state), SHMKV_WIRE_LANE_FREE);
}

gboolean
shmkv_lane_claim_changed (const ShmkvLane *lane)
{
  /* acquire: pairs with the release in the client's set_claim() */
  guint32 claim = atomic_load_explicit (&lane->client->claim, memory_order_acquire);

  switch (shmkv_lane_phase (lane))
    {
    case SHMKV_WIRE_LANE_FREE:
      return claim == free_state (lane);
    case SHMKV_WIRE_LANE_ACTIVE:
      return claim != free_state (lane);
    default:
      return FALSE;
    }
}

void
shmkv_lane_set_unfinished (ShmkvLane *lane)
{
  /* relaxed: a hint where to look for work */
  atomic_fetch_or_explicit (&lane->attention, SHMKV_LANE_UNFINISHED, memory_order_relaxed);
}

/* Not to be looked at again until the client takes responses.  Where it has taken
 * some since we looked, that is at the next turn, which is ours: a worker whom the
 * client woke for that may have found no reason to look after the lane, and be about
 * to sleep.  Not at once: a client that says now this, now that, would keep us for
 * ever. */
static void
set_stalled (ShmkvLane *lane)
{
  /* relaxed: a hint where to look for work; whoever takes the lane looks again */
  atomic_store_explicit (&lane->stalled_at, lane->responses.head, memory_order_relaxed);
  atomic_fetch_or_explicit (&lane->attention, SHMKV_LANE_STALLED, memory_order_relaxed);
  /* pairs with the fences in the client's shmkv_session_wake_server() and in the
   * worker's doze(): either we see what was taken, or the worker sees the bit, in
   * that look or in the next, for which the client wakes it */
  atomic_thread_fence (memory_order_seq_cst);
  /* relaxed: shmkv_producer_refresh() looks again, with acquire */
  if (G_LIKELY (atomic_load_explicit (&lane->client->taken, memory_order_relaxed)
                == lane->responses.head))
    return;
  /* relaxed: as above */
  atomic_fetch_and_explicit (&lane->attention, ~SHMKV_LANE_STALLED, memory_order_relaxed);
  shmkv_lane_set_unfinished (lane);
}

void
shmkv_lane_begin (ShmkvLane *lane)
{
  const guint ours = SHMKV_LANE_STALLED | SHMKV_LANE_UNFINISHED;

  /* relaxed: only the holder changes these bits */
  if (G_UNLIKELY ((atomic_load_explicit (&lane->attention, memory_order_relaxed) & ours) != 0))
    atomic_fetch_and_explicit (&lane->attention, ~ours, memory_order_relaxed);
}

/* The rings go on where they are; the client has done the same. */
void
shmkv_lane_activate (ShmkvLane *lane)
{
  shmkv_consumer_init (&lane->requests, lane->ring, lane->ring_size, &lane->server->positions.head,
                       &lane->client->tail, lane->requests.head);
  shmkv_producer_init (&lane->responses, shmkv_segment_responses_ring (lane->segment, lane->index),
                       lane->ring_size, &lane->server->positions.tail, &lane->client->taken,
                       lane->responses.tail);
  lane->silent_errors = 0;
  lane->news_consumed = lane->news_produced = 0;
  /* relaxed: for people */
  atomic_store_explicit (&lane->counts.requests, 0, memory_order_relaxed);
  atomic_store_explicit (&lane->counts.failed, 0, memory_order_relaxed);
  atomic_store_explicit (&lane->counts.bytes_in, 0, memory_order_relaxed);
  /* relaxed: the same */
  atomic_store_explicit (&lane->counts.bytes_out, 0, memory_order_relaxed);
  atomic_store_explicit (&lane->counts.opened_us, g_get_monotonic_time (), memory_order_relaxed);
  /* relaxed: published by the state */
  atomic_store_explicit (&lane->server->silent_errors, 0, memory_order_relaxed);
  atomic_store_explicit (&lane->server->dropped, SHMKV_WIRE_DROP_NONE, memory_order_relaxed);
  /* relaxed: a hint where to look for work */
  atomic_store_explicit (&lane->claim, free_state (lane), memory_order_relaxed);
  shmkv_lane_begin (lane);
  set_state (lane, SHMKV_WIRE_LANE_GENERATION (lane->state), SHMKV_WIRE_LANE_ACTIVE);
}

/* Everyone who sleeps on the rings. */
static void
wake_all (ShmkvLane *lane)
{
  shmkv_futex_wake (&lane->server->positions.head, G_MAXINT);
  shmkv_futex_wake (&lane->server->positions.tail, G_MAXINT);
}

void
shmkv_lane_drop (ShmkvLane *lane, guint reason)
{
  /* What cannot be is not the client's fault then. */
  if (shmkv_segment_is_lost (lane->segment))
    return;
  forget (lane);
  /* relaxed: published by the state */
  atomic_store_explicit (&lane->server->dropped, reason, memory_order_relaxed);
  set_state (lane, SHMKV_WIRE_LANE_GENERATION (lane->state), SHMKV_WIRE_LANE_DROPPED);
  wake_all (lane);
}

void
shmkv_lane_free (ShmkvLane *lane)
{
  forget (lane);
  SHMKV_CRASH_POINT ("reset-forgotten");
  /* The next owner begins here. */
  shmkv_ring_publish_both (&lane->requests, &lane->responses, &lane->server->positions);
  SHMKV_CRASH_POINT ("reset-positions");
  set_state (lane, SHMKV_WIRE_LANE_GENERATION (lane->state) + 1, SHMKV_WIRE_LANE_FREE);
  SHMKV_CRASH_POINT ("reset-freed");
  wake_all (lane);
}

/* -------------------------------------------------------------- responses */

/* Wakes the client if it sleeps on `word`, which has just changed.  Twice for
 * one nap: what it was woken for first it may have seen before it announced
 * the nap, and may have been about to sleep; the second change it cannot have
 * seen, so its futex_wait() fails if it comes late. */
static guint
wake (const _Atomic uint32_t *word, const _Atomic uint32_t *nap_word, ShmkvNap *woken)
{
  /* relaxed: ordered by the fence in shmkv_lane_wake() */
  guint32 nap = atomic_load_explicit (nap_word, memory_order_relaxed);

  if (G_LIKELY (nap % 2 == 0))
    return 0;
  if (nap != woken->nap)
    *woken = (ShmkvNap) { .nap = nap };
  if (woken->wakes == 2)
    return 0;
  woken->wakes++;
  SHMKV_CRASH_POINT ("wake-begin");
  shmkv_futex_wake (word, G_MAXINT);
  return 1;
}

void
shmkv_lane_publish (ShmkvLane *lane)
{
  guint32 consumed = shmkv_consumer_unpublished (&lane->requests);
  guint32 produced = shmkv_producer_unpublished (&lane->responses);

  if (consumed == 0 && produced == 0)
    return;
  SHMKV_CRASH_POINT ("respond-filled");
  shmkv_ring_publish_both (&lane->requests, &lane->responses, &lane->server->positions);
  SHMKV_CRASH_POINT ("respond-published");
  lane->news_consumed += consumed;
  lane->news_produced += produced;
}

guint
shmkv_lane_wake (ShmkvLane *lane)
{
  guint32 consumed = lane->news_consumed, produced = lane->news_produced;

  if (consumed == 0 && produced == 0)
    return 0;
  lane->news_consumed = lane->news_produced = 0;
  /* pairs with the fence in the client's nap(): either it sees what we
   * published, or we see that it naps */
  atomic_thread_fence (memory_order_seq_cst);
  return (produced > 0 ? wake (&lane->server->positions.tail, &lane->client->response_nap,
                               &lane->response_nap) : 0)
         + (consumed > 0 ? wake (&lane->server->positions.head, &lane->client->room_nap,
                                 &lane->room_nap) : 0);
}

guint
shmkv_lane_room (ShmkvLane *lane, guint wanted)
{
  /* One more, for the padding at the end of the ring. */
  guint32 needed = (wanted + 1) * SHMKV_WIRE_SMALL_RESPONSE, room;

  if (shmkv_producer_room (&lane->responses) >= needed)
    return wanted;
  if (!shmkv_producer_refresh (&lane->responses))
    {
      shmkv_lane_drop (lane, SHMKV_WIRE_DROP_BAD_INDEX);
      return 0;
    }
  room = shmkv_producer_room (&lane->responses);
  if (room >= needed)
    return wanted;
  if (room >= 2 * SHMKV_WIRE_SMALL_RESPONSE)
    return room / SHMKV_WIRE_SMALL_RESPONSE - 1;
  set_stalled (lane);
  return 0;
}

/* -------------------------------------------------------- long responses */

void
shmkv_response_clear (ShmkvResponse *response)
{
  g_clear_pointer (&response->memory, g_free);
  g_clear_pointer (&response->array, g_byte_array_unref);
}

static guint64
payload_size (const ShmkvResponse *response)
{
  return (response->has_number ? 8 : 0)
         + shmkv_field_size (response->value.kind, response->value.integer);
}

/* Copies `n` bytes from `from` on of the value's bytes, with zeros behind the
 * last: nothing else of our memory. */
static void
copy_bytes (uint64_t *to, const ShmkvField *value, guint64 from, guint64 n)
{
  const guint8 *bytes = (const guint8 *) value->bytes + from;
  guint64 whole = MIN (n, value->integer - from) & ~G_GUINT64_CONSTANT (7);
  guint64 last = 0;

  shmkv_ring_copy_in (to, (const uint64_t *) (const void *) bytes, (guint32) whole);
  if (whole == n)
    return;
  memcpy (&last, bytes + whole, value->integer - from - whole);
  shmkv_store_word (to + whole / 8, last);
}

/* Writes `n` bytes from `from` on of the payload, both multiples of 8. */
static void
write_payload (uint64_t *to, const ShmkvResponse *response, guint64 from, guint64 n)
{
  guint64 words[2];
  guint n_words = 0;

  if (response->has_number)
    words[n_words++] = response->number;
  if (response->value.kind != SHMKV_WIRE_KIND_NONE)
    words[n_words++] = response->value.integer;
  for (; n > 0 && from < n_words * 8; from += 8, n -= 8)
    shmkv_store_word (to++, words[from / 8]);
  if (n > 0)
    copy_bytes (to, &response->value, from - n_words * 8, n);
}

static void
write_record (ShmkvLane *lane, uint64_t *record, const ShmkvResponse *response, guint64 from,
              guint32 n, gboolean more)
{
  guint key_kind = response->has_number ? SHMKV_WIRE_KIND_INTEGER : SHMKV_WIRE_KIND_NONE;

  shmkv_store_word (record, shmkv_header_pack (SHMKV_WIRE_HEADER_SIZE + n, response->op, key_kind,
                                               response->value.kind, response->status)
                              | (more ? SHMKV_WIRE_MORE : 0));
  shmkv_store_word (record + 1, response->id);
  write_payload (record + 2, response, from, n);
  shmkv_producer_commit (&lane->responses, SHMKV_WIRE_HEADER_SIZE + n);
}

/* Whether there is room for a record of `length` bytes, the padding before it,
 * and `behind` small ones with theirs. */
static gboolean
has_room (ShmkvLane *lane, guint32 length, guint behind)
{
  const ShmkvProducer *responses = &lane->responses;
  guint32 to_end = shmkv_ring_to_end (responses->size, responses->tail);
  guint32 padding = length <= to_end ? 0 : to_end;
  guint32 needed = padding + length + (behind + 1) * SHMKV_WIRE_SMALL_RESPONSE;

  /* What a refresh finds wrong, shmkv_lane_send() finds again. */
  return shmkv_producer_room (responses) >= needed
         || (shmkv_producer_refresh (&lane->responses)
             && shmkv_producer_room (responses) >= needed);
}

static void
answer_small (ShmkvLane *lane, const ShmkvResponse *response)
{
  guint32 n = (guint32) payload_size (response);
  uint64_t *record = shmkv_producer_reserve (&lane->responses, SHMKV_WIRE_HEADER_SIZE + n);

  write_record (lane, record, response, 0, n, FALSE);
}

/* Memory of its own for a value that is in somebody else's. */
static gboolean
own_value (ShmkvResponse *response)
{
  if (response->memory != NULL || response->array != NULL)
    return TRUE;
  response->memory = g_try_malloc (MAX (response->value.integer, 1));
  if (response->memory == NULL)
    return FALSE;
  if (response->value.integer > 0)
    memcpy (response->memory, response->value.bytes, response->value.integer);
  response->value.bytes = response->memory;
  return TRUE;
}

gboolean
shmkv_lane_answer (ShmkvLane *lane, ShmkvResponse *response, guint behind)
{
  guint64 size = payload_size (response);

  if (response->value.kind == SHMKV_WIRE_KIND_BYTES)
    {
      if (size + SHMKV_WIRE_HEADER_SIZE > shmkv_wire_max_record (lane->responses.size)
          || !has_room (lane, (guint32) size + SHMKV_WIRE_HEADER_SIZE, behind))
        {
          if (own_value (response))
            {
              lane->outgoing = (ShmkvOutgoing) { .active = TRUE, .response = *response };
              return FALSE;
            }
          *response = (ShmkvResponse) { .op = response->op,
                                        .id = response->id,
                                        .status = SHMKV_WIRE_STATUS_NO_MEMORY };
        }
    }
  answer_small (lane, response);
  shmkv_response_clear (response);
  return TRUE;
}

/* The next piece; FALSE where there is no room for it, as far as is known. */
static gboolean
send_piece (ShmkvLane *lane)
{
  ShmkvOutgoing *outgoing = &lane->outgoing;
  guint32 most = shmkv_wire_max_record (lane->responses.size) - SHMKV_WIRE_HEADER_SIZE;
  guint64 left = payload_size (&outgoing->response) - outgoing->sent;
  guint32 piece = (guint32) MIN (left, most);
  uint64_t *record = shmkv_producer_reserve (&lane->responses, SHMKV_WIRE_HEADER_SIZE + piece);

  if (record == NULL)
    return FALSE;
  write_record (lane, record, &outgoing->response, outgoing->sent, piece, piece < left);
  outgoing->sent += piece;
  SHMKV_CRASH_POINT ("respond-piece");
  if (piece == left)
    {
      shmkv_response_clear (&outgoing->response);
      outgoing->active = FALSE;
    }
  return TRUE;
}

gboolean
shmkv_lane_send (ShmkvLane *lane)
{
  guint32 begin = lane->responses.tail;

  while (lane->outgoing.active)
    {
      if (lane->responses.tail - begin >= SEND_BYTES)
        {
          shmkv_lane_set_unfinished (lane);
          return FALSE;
        }
      if (send_piece (lane))
        continue;
      if (!shmkv_producer_refresh (&lane->responses))
        {
          shmkv_lane_drop (lane, SHMKV_WIRE_DROP_BAD_INDEX);
          return FALSE;
        }
      if (!send_piece (lane))
        {
          set_stalled (lane);
          return FALSE;
        }
    }
  return TRUE;
}

/* ------------------------------------------------------------------ waiting */

void
shmkv_lane_park (ShmkvLane *lane)
{
  ShmkvLaneWait *wait = &lane->wait;

  wait->waiter.watches = wait->op == SHMKV_WIRE_OP_WATCH;
  wait->waiter.bucket = wait->place.bucket;
  wait->waiter.prefix = wait->key;
  wait->waiter.position = wait->version;
  shmkv_waits_park (lane->waits, &wait->waiter);
  SHMKV_CRASH_POINT ("wait-parked");
}

void
shmkv_lane_unpark (ShmkvLane *lane)
{
  if (!lane->wait.waiter.parked)
    return;
  shmkv_waits_unpark (lane->waits, &lane->wait.waiter);
  if (lane->wait.waiter.watches)
    lane->wait.version = lane->wait.waiter.position;
}

void
shmkv_lane_end_wait (ShmkvLane *lane)
{
  shmkv_lane_unpark (lane);
  g_clear_pointer (&lane->wait.memory, g_free);
  lane->wait.op = 0;
}
