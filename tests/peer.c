/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "peer.h"

#include "transport/wait.h"
#include "util.h"

#include <string.h>

typedef struct
{
  ShmkvResponsesLane *server;
  const ShmkvRequestsLane *client;
  guint32 generation;
  gboolean active;
  ShmkvConsumer requests;
  ShmkvProducer responses;
  GArray *payload;                  /* of guint64: of the request under way */
  guint n_pieces;                   /* how many there are of it */
  guint64 common;                   /* word 0 of the first, but for length and MORE */
  guint64 id;
  GQueue outgoing;                  /* of GArray of guint64: records, one after the other */
} Lane;

struct _Peer
{
  char *name;
  ShmkvSegment *segment;
  PeerHandler handler;
  gpointer data;
  guint n_lanes;
  Lane *lanes;
  GMutex mutex;                     /* held by the thread while it works */
  GThread *thread;
  gboolean paused;                  /* under the mutex */
  gboolean ends;                    /* the same */
  guint64 n_records;                /* the same */
};

/* ------------------------------------------------------------------ sessions */

static void
set_state (Lane *lane, guint phase)
{
  atomic_store (&lane->server->state, SHMKV_WIRE_LANE_STATE (lane->generation, phase));
  shmkv_futex_wake (&lane->server->state, G_MAXINT);
}

static void
publish (Lane *lane)
{
  shmkv_ring_publish_both (&lane->requests, &lane->responses, &lane->server->positions);
  shmkv_futex_wake (&lane->server->positions.head, G_MAXINT);
  shmkv_futex_wake (&lane->server->positions.tail, G_MAXINT);
}

static void
forget (Lane *lane)
{
  g_array_set_size (lane->payload, 0);
  lane->n_pieces = 0;
  g_queue_clear_full (&lane->outgoing, (GDestroyNotify) g_array_unref);
}

static void
admit (Peer *peer, guint index)
{
  Lane *lane = &peer->lanes[index];
  guint32 size = peer->segment->geometry.ring_size;

  shmkv_consumer_init (&lane->requests, shmkv_segment_requests_ring (peer->segment, index), size,
                       &lane->server->positions.head, &lane->client->tail, lane->requests.head);
  shmkv_producer_init (&lane->responses, shmkv_segment_responses_ring (peer->segment, index), size,
                       &lane->server->positions.tail, &lane->client->taken, lane->responses.tail);
  forget (lane);
  lane->active = TRUE;
  set_state (lane, SHMKV_WIRE_LANE_ACTIVE);
}

/* Whatever is left in the ring is not carried out. */
static void
let_go (Lane *lane)
{
  g_assert_true (shmkv_consumer_refresh (&lane->requests));
  lane->requests.head = lane->requests.tail;
  publish (lane);
  lane->active = FALSE;
  lane->generation++;
  set_state (lane, SHMKV_WIRE_LANE_FREE);
}

static void
look_at_claim (Peer *peer, guint index)
{
  Lane *lane = &peer->lanes[index];
  guint32 free_state = SHMKV_WIRE_LANE_STATE (lane->generation, SHMKV_WIRE_LANE_FREE);
  gboolean claimed = atomic_load (&lane->client->claim) == free_state;

  if (claimed && !lane->active)
    admit (peer, index);
  else if (!claimed && lane->active)
    let_go (lane);
}

/* ------------------------------------------------------------------ requests */

static void
complete (Peer *peer, guint index)
{
  Lane *lane = &peer->lanes[index];
  PeerRequest request = {
    .lane = index,
    .header = shmkv_header_unpack (lane->common),
    .id = lane->id,
    .n_pieces = lane->n_pieces,
    .payload = (const guint64 *) (const void *) lane->payload->data,
    .size = lane->payload->len * 8,
  };

  lane->n_pieces = 0;
  peer->handler (peer, &request, peer->data);
  g_array_set_size (lane->payload, 0);
}

/* Takes one record; what it is part of is as it should be. */
static void
take (Peer *peer, guint index, const guint64 *record, guint64 word)
{
  Lane *lane = &peer->lanes[index];
  guint64 common = word & ~(SHMKV_WIRE_MORE | G_MAXUINT32), id = shmkv_load_word (record + 1);
  guint n_words = (shmkv_header_length (word) - SHMKV_WIRE_HEADER_SIZE) / 8;

  peer->n_records++;
  if (lane->n_pieces++ == 0)
    {
      lane->common = common;
      lane->id = id;
    }
  g_assert_cmphex (common, ==, lane->common);
  g_assert_cmpuint (id, ==, lane->id);
  for (guint i = 0; i < n_words; i++)
    {
      guint64 payload_word = shmkv_load_word (record + 2 + i);

      g_array_append_val (lane->payload, payload_word);
    }
  shmkv_consumer_advance (&lane->requests, shmkv_header_length (word));
  if ((word & SHMKV_WIRE_MORE) == 0)
    complete (peer, index);
}

static gboolean
take_some (Peer *peer, guint index)
{
  Lane *lane = &peer->lanes[index];
  const guint64 *record;
  guint64 word;

  for (guint i = 0; i < 16; i++)
    switch (shmkv_consumer_peek (&lane->requests, &record, &word))
      {
      case SHMKV_RING_RECORD:
        take (peer, index, record, word);
        break;
      case SHMKV_RING_EMPTY:
        return i > 0;
      default:
        g_error ("the client broke the protocol");
      }
  return TRUE;
}

/* ----------------------------------------------------------------- responses */

static gboolean
send_record (Lane *lane, const GArray *record)
{
  guint32 length = record->len * 8;
  guint64 *place = shmkv_producer_reserve (&lane->responses, length);

  if (place == NULL)
    {
      g_assert_true (shmkv_producer_refresh (&lane->responses));
      place = shmkv_producer_reserve (&lane->responses, length);
    }
  if (place == NULL)
    return FALSE;
  shmkv_ring_copy_in (place, (const guint64 *) (const void *) record->data, length);
  shmkv_producer_commit (&lane->responses, length);
  return TRUE;
}

static gboolean
send_some (Lane *lane)
{
  gboolean sent = FALSE;

  while (!g_queue_is_empty (&lane->outgoing)
         && send_record (lane, g_queue_peek_head (&lane->outgoing)))
    {
      g_array_unref (g_queue_pop_head (&lane->outgoing));
      sent = TRUE;
    }
  return sent;
}

void
peer_answer_to (Peer *peer, guint index, guint op, guint64 id, guint status,
                const ShmkvField *number, const ShmkvField *value)
{
  Lane *lane = &peer->lanes[index];
  gsize size = shmkv_field_size (number->kind, 0) + shmkv_field_size (value->kind, value->integer);
  g_autofree guint64 *payload = g_malloc (size + 8);
  gsize sent = 0;

  shmkv_field_encode (shmkv_field_encode (payload, number), value);
  do
    {
      gsize room = shmkv_wire_max_record (lane->responses.size) - SHMKV_WIRE_HEADER_SIZE;
      gsize here = MIN (size - sent, room);
      GArray *record = g_array_new (FALSE, FALSE, sizeof (guint64));
      guint64 header = shmkv_header_pack (SHMKV_WIRE_HEADER_SIZE + (guint32) here, op, number->kind,
                                          value->kind, status)
                       | (sent + here < size ? SHMKV_WIRE_MORE : 0);

      g_array_append_val (record, header);
      g_array_append_val (record, id);
      g_array_append_vals (record, payload + sent / 8, (guint) (here / 8));
      g_queue_push_tail (&lane->outgoing, record);
      sent += here;
    }
  while (sent < size);
}

void
peer_answer (Peer *peer, const PeerRequest *request, guint status, const ShmkvField *number,
             const ShmkvField *value)
{
  if ((request->header.extra & SHMKV_WIRE_FLAG_NO_RESPONSE) == 0)
    peer_answer_to (peer, request->lane, request->header.op, request->id, status, number, value);
}

/* --------------------------------------------------------------------- peer */

static gboolean
work_on_lane (Peer *peer, guint index)
{
  Lane *lane = &peer->lanes[index];
  gboolean worked;

  look_at_claim (peer, index);
  if (!lane->active || peer->paused)
    return FALSE;
  worked = send_some (lane);
  /* As the real one: no more is read before all is answered. */
  if (g_queue_is_empty (&lane->outgoing) && take_some (peer, index))
    {
      worked = TRUE;
      send_some (lane);
    }
  if (worked)
    publish (lane);
  return worked;
}

static gpointer
work (gpointer data)
{
  Peer *peer = data;
  gboolean ends = FALSE;

  while (!ends)
    {
      gboolean worked = FALSE;

      g_mutex_lock (&peer->mutex);
      for (guint i = 0; i < peer->n_lanes && !peer->ends; i++)
        worked = work_on_lane (peer, i) || worked;
      ends = peer->ends;
      g_mutex_unlock (&peer->mutex);
      if (worked)
        g_thread_yield ();
      else
        g_usleep (50);
    }
  return NULL;
}

Peer *
peer_new (guint sessions, guint ring_size, guint64 max_value, PeerHandler handler, gpointer data)
{
  Peer *peer = g_new0 (Peer, 1);
  g_autoptr (GError) error = NULL;
  ShmkvSegmentOptions options;

  peer->name = util_name ();
  options = (ShmkvSegmentOptions) {
    .name = peer->name,
    .geometry = { .sessions = sessions, .ring_size = ring_size },
    .buckets = 1,
    .max_value = max_value,
    .mode = 0600,
    .group = (gid_t) -1,
  };
  peer->segment = shmkv_segment_create (&options, NULL, &error);
  g_assert_no_error (error);
  peer->handler = handler;
  peer->data = data;
  peer->n_lanes = sessions;
  peer->lanes = g_new0 (Lane, sessions);
  for (guint i = 0; i < sessions; i++)
    {
      Lane *lane = &peer->lanes[i];

      lane->server = shmkv_segment_responses_lane (peer->segment, i);
      lane->client = shmkv_segment_requests_lane (peer->segment, i);
      lane->generation = 1;
      lane->payload = g_array_new (FALSE, FALSE, sizeof (guint64));
      g_queue_init (&lane->outgoing);
      set_state (lane, SHMKV_WIRE_LANE_FREE);
    }
  g_mutex_init (&peer->mutex);
  shmkv_segment_publish (peer->segment);
  peer->thread = g_thread_new ("peer", work, peer);
  return peer;
}

void
peer_end (Peer *peer)
{
  if (peer->thread == NULL)
    return;
  g_mutex_lock (&peer->mutex);
  peer->ends = TRUE;
  g_mutex_unlock (&peer->mutex);
  g_thread_join (g_steal_pointer (&peer->thread));
  atomic_store (&shmkv_segment_responses_header (peer->segment)->service, SHMKV_WIRE_SERVICE_GONE);
  for (guint i = 0; i < peer->n_lanes; i++)
    {
      shmkv_futex_wake (&peer->lanes[i].server->positions.head, G_MAXINT);
      shmkv_futex_wake (&peer->lanes[i].server->positions.tail, G_MAXINT);
    }
}

void
peer_free (Peer *peer)
{
  peer_end (peer);
  for (guint i = 0; i < peer->n_lanes; i++)
    {
      forget (&peer->lanes[i]);
      g_array_unref (peer->lanes[i].payload);
    }
  shmkv_segment_free (peer->segment);
  g_mutex_clear (&peer->mutex);
  g_free (peer->lanes);
  g_free (peer->name);
  g_free (peer);
}

const char *
peer_get_name (const Peer *peer)
{
  return peer->name;
}

void
peer_pause (Peer *peer)
{
  g_mutex_lock (&peer->mutex);
  peer->paused = TRUE;
  g_mutex_unlock (&peer->mutex);
}

void
peer_resume (Peer *peer)
{
  g_mutex_lock (&peer->mutex);
  peer->paused = FALSE;
  g_mutex_unlock (&peer->mutex);
}

guint64
peer_count_records (Peer *peer)
{
  guint64 n;

  g_mutex_lock (&peer->mutex);
  n = peer->n_records;
  g_mutex_unlock (&peer->mutex);
  return n;
}
