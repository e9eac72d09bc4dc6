/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/lane.h"

#include "transport/wait.h"

#include <string.h>

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
shmkv_lane_init (ShmkvLane *lane, const ShmkvSegment *segment, guint index)
{
  memset (lane, 0, sizeof *lane);
  lane->index = index;
  lane->segment = segment;
  lane->client = shmkv_segment_requests_lane (segment, index);
  lane->server = shmkv_segment_responses_lane (segment, index);
  lane->ring = shmkv_segment_requests_ring (segment, index);
  lane->ring_size = segment->geometry.ring_size;
  set_state (lane, 1, SHMKV_WIRE_LANE_FREE);
}

void
shmkv_lane_clear (ShmkvLane *lane)
{
  g_clear_pointer (&lane->outgoing.body, g_byte_array_unref);
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

/* Not to be looked at again until the client takes responses. */
static void
set_stalled (ShmkvLane *lane)
{
  /* relaxed: a hint where to look for work; whoever takes the lane looks again */
  atomic_store_explicit (&lane->stalled_at, lane->responses.head, memory_order_relaxed);
  atomic_store_explicit (&lane->stalled, TRUE, memory_order_relaxed);
}

void
shmkv_lane_begin (ShmkvLane *lane)
{
  /* relaxed: only the holder stores it */
  if (G_UNLIKELY (shmkv_lane_is_stalled (lane)))
    atomic_store_explicit (&lane->stalled, FALSE, memory_order_relaxed);
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
  g_clear_pointer (&lane->outgoing.body, g_byte_array_unref);
  /* relaxed: published by the state */
  atomic_store_explicit (&lane->server->dropped, reason, memory_order_relaxed);
  set_state (lane, SHMKV_WIRE_LANE_GENERATION (lane->state), SHMKV_WIRE_LANE_DROPPED);
  wake_all (lane);
}

void
shmkv_lane_free (ShmkvLane *lane)
{
  g_clear_pointer (&lane->outgoing.body, g_byte_array_unref);
  /* The next owner begins here. */
  shmkv_ring_publish_both (&lane->requests, &lane->responses, &lane->server->positions);
  set_state (lane, SHMKV_WIRE_LANE_GENERATION (lane->state) + 1, SHMKV_WIRE_LANE_FREE);
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
  /* relaxed: ordered by the fence in shmkv_lane_publish() */
  guint32 nap = atomic_load_explicit (nap_word, memory_order_relaxed);

  if (G_LIKELY (nap % 2 == 0))
    return 0;
  if (nap != woken->nap)
    *woken = (ShmkvNap) { .nap = nap };
  if (woken->wakes == 2)
    return 0;
  woken->wakes++;
  shmkv_futex_wake (word, G_MAXINT);
  return 1;
}

guint
shmkv_lane_publish (ShmkvLane *lane)
{
  gboolean consumed = shmkv_consumer_unpublished (&lane->requests) > 0;
  gboolean produced = shmkv_producer_unpublished (&lane->responses) > 0;

  if (!consumed && !produced)
    return 0;
  shmkv_ring_publish_both (&lane->requests, &lane->responses, &lane->server->positions);
  /* pairs with the fence in the client's nap(): either it sees what we
   * published, or we see that it naps */
  atomic_thread_fence (memory_order_seq_cst);
  return (produced ? wake (&lane->server->positions.tail, &lane->client->response_nap,
                           &lane->response_nap) : 0)
         + (consumed ? wake (&lane->server->positions.head, &lane->client->room_nap,
                             &lane->room_nap) : 0);
}

guint
shmkv_lane_room (ShmkvLane *lane, guint wanted)
{
  /* One more, for the padding at the end of the ring. */
  guint32 needed = (wanted + 1) * SHMKV_WIRE_SMALL_RESPONSE;
  guint32 room = shmkv_producer_room (&lane->responses);

  if (room < needed)
    {
      if (!shmkv_producer_refresh (&lane->responses))
        {
          shmkv_lane_drop (lane, SHMKV_WIRE_DROP_BAD_INDEX);
          return 0;
        }
      room = shmkv_producer_room (&lane->responses);
    }
  if (room >= needed)
    return wanted;
  if (room >= 2 * SHMKV_WIRE_SMALL_RESPONSE)
    return room / SHMKV_WIRE_SMALL_RESPONSE - 1;
  set_stalled (lane);
  return 0;
}

void
shmkv_lane_respond_body (ShmkvLane *lane, guint op, guint64 id, GByteArray *body)
{
  lane->outgoing = (ShmkvOutgoing) { .id = id, .op = op, .body = body };
}

/* The next piece; FALSE where there is no room for it, as far as is known. */
static gboolean
send_piece (ShmkvLane *lane)
{
  ShmkvOutgoing *outgoing = &lane->outgoing;
  guint32 overhead = SHMKV_WIRE_HEADER_SIZE + 8;
  guint32 left = outgoing->body->len - outgoing->sent;
  guint32 piece = MIN (left, shmkv_wire_max_record (lane->responses.size) - overhead);
  guint64 header = shmkv_header_pack (overhead + piece, outgoing->op, SHMKV_WIRE_KIND_NONE,
                                      SHMKV_WIRE_KIND_BYTES, SHMKV_WIRE_STATUS_OK);
  uint64_t *record = shmkv_producer_reserve (&lane->responses, overhead + piece);

  if (record == NULL)
    return FALSE;
  shmkv_store_word (record, header | (piece < left ? SHMKV_WIRE_MORE : 0));
  shmkv_store_word (record + 1, outgoing->id);
  shmkv_store_word (record + 2, piece);
  if (piece > 0)
    shmkv_ring_copy_in (record + 3,
                        (const uint64_t *) (void *) (outgoing->body->data + outgoing->sent), piece);
  shmkv_producer_commit (&lane->responses, overhead + piece);
  outgoing->sent += piece;
  if (piece == left)
    g_clear_pointer (&outgoing->body, g_byte_array_unref);
  return TRUE;
}

gboolean
shmkv_lane_send (ShmkvLane *lane)
{
  while (lane->outgoing.body != NULL)
    {
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
