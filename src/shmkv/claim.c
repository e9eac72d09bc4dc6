/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a session gets its lane, and gives it back.
 *
 *   client: finds a lane in phase FREE, and takes the lock on it
 *   client: takes over the positions of both rings from the server's words
 *   client: stores the FREE state that it found in `claim`, and counts `arrivals`
 *   server: sees the claim and that the lane is locked; phase ACTIVE
 *   ...
 *   client: stores 0 in `claim`, and counts `arrivals`
 *   server: carries out what was published, without answering any more; phase
 *           FREE, of the next generation
 *   client: drops the lock
 *
 * Where a client dies, the lock goes, and the server does the same.  Only the
 * holder of the lock writes to the lane's words, and only the server changes
 * the phase, so nobody can die half-way through anything that another needs. */

#include "config.h"

#include "shmkv/error-private.h"
#include "shmkv/session-private.h"
#include "transport/crash.h"

#include <errno.h>
#include <unistd.h>

/* Our own sessions share one open file, so its locks do not keep them apart. */
static gboolean
reserve_lane (ShmkvClient *client, guint lane)
{
  gboolean free;

  g_mutex_lock (&client->mutex);
  free = !client->has_lane[lane];
  client->has_lane[lane] = TRUE;
  g_mutex_unlock (&client->mutex);
  return free;
}

static void
unreserve_lane (ShmkvClient *client, guint lane)
{
  g_mutex_lock (&client->mutex);
  client->has_lane[lane] = FALSE;
  g_mutex_unlock (&client->mutex);
}

static guint32
lane_state (const ShmkvClient *client, guint lane)
{
  /* acquire: pairs with the server's release when it frees or admits a lane,
   * so that the positions that we take over are the final ones */
  return atomic_load_explicit (&shmkv_segment_responses_lane (client->segment, lane)->state,
                               memory_order_acquire);
}

/* `*trouble_out' is the errno of a lock that failed, but not because somebody else
 * has it. */
static gboolean
lock_lane (ShmkvClient *client, guint lane, int *trouble_out)
{
  if (SHMKV_WIRE_LANE_PHASE (lane_state (client, lane)) != SHMKV_WIRE_LANE_FREE
      || !reserve_lane (client, lane))
    return FALSE;
  if (shmkv_segment_lock_lane (client->segment, lane))
    {
      /* Somebody may have had it and left since we looked. */
      SHMKV_CRASH_POINT ("claim-locked");
      if (SHMKV_WIRE_LANE_PHASE (lane_state (client, lane)) == SHMKV_WIRE_LANE_FREE)
        return TRUE;
      shmkv_segment_unlock_lane (client->segment, lane);
    }
  else if (errno != EAGAIN && errno != EACCES)
    *trouble_out = errno;
  unreserve_lane (client, lane);
  return FALSE;
}

static gboolean
find_lane (ShmkvSession *session, GError **error)
{
  ShmkvClient *client = session->client;
  int trouble = 0;

  for (guint lane = 0; lane < client->segment->geometry.sessions; lane++)
    if (lock_lane (client, lane, &trouble))
      {
        session->lane = lane;
        session->server_lane = shmkv_segment_responses_lane (client->segment, lane);
        session->client_lane = shmkv_segment_requests_lane (client->segment, lane);
        return TRUE;
      }
  /* A server that is gone frees no lane. */
  if (!shmkv_session_server_is_running (session)
      || !shmkv_segment_server_is_alive (client->segment))
    {
      shmkv_error_set_gone (error, client->segment->name);
      return FALSE;
    }
  if (trouble != 0)
    {
      g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_SYSTEM,
                   "cannot lock a session of the server named \"%s\": %s", client->segment->name,
                   g_strerror (trouble));
      return FALSE;
    }
  g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_NO_SESSION,
               "no session left: all %u of the server named \"%s\" are taken: close some, or start "
               "the server with more --sessions",
               client->segment->geometry.sessions, client->segment->name);
  return FALSE;
}

/* Begins where the server is. */
static void
take_over_rings (ShmkvSession *session)
{
  const ShmkvSegment *segment = session->client->segment;
  const ShmkvResponsesLane *server_lane = session->server_lane;
  ShmkvRequestsLane *client_lane = session->client_lane;

  /* relaxed: ordered by the acquire of the lane's state */
  shmkv_producer_init (&session->requests, shmkv_segment_requests_ring (segment, session->lane),
                       segment->geometry.ring_size, &client_lane->tail, &server_lane->positions.head,
                       atomic_load_explicit (&server_lane->positions.head, memory_order_relaxed));
  /* relaxed: the same */
  shmkv_consumer_init (&session->taker.ring,
                       shmkv_segment_responses_ring (segment, session->lane),
                       segment->geometry.ring_size, &client_lane->taken, &server_lane->positions.tail,
                       atomic_load_explicit (&server_lane->positions.tail, memory_order_relaxed));
  /* relaxed: published by the claim */
  atomic_store_explicit (&client_lane->client_pid, (guint32) getpid (), memory_order_relaxed);
}

/* Changes our claim, and sees to it that the server notices. */
static void
set_claim (ShmkvSession *session, guint32 claim)
{
  /* release: pairs with the acquire in the server's lane_update() */
  atomic_store_explicit (&session->client_lane->claim, claim, memory_order_release);
  SHMKV_CRASH_POINT ("claim-stored");
  /* release: pairs with the acquire in the server's shmkv_lanes_serve() */
  atomic_fetch_add_explicit (&shmkv_segment_requests_header (session->client->segment)->arrivals, 1,
                             memory_order_release);
  SHMKV_CRASH_POINT ("claim-counted");
  shmkv_session_wake_server (session);
}

/* Waits until our lane's state is no longer `seen`. */
static gboolean
wait_for_state (ShmkvSession *session, guint32 seen, gint64 timeout_us)
{
  gint64 deadline = shmkv_deadline_ns (shmkv_now_ns (), timeout_us);

  while (lane_state (session->client, session->lane) == seen)
    {
      gint64 left = deadline - shmkv_now_ns ();

      if (left <= 0 || !shmkv_session_server_is_running (session)
          || !shmkv_segment_server_is_alive (session->client->segment))
        return FALSE;
      /* The server wakes us at every change of phase. */
      shmkv_futex_wait (&session->server_lane->state, seen, MIN (left, SHMKV_SLICE_NS));
    }
  return TRUE;
}

/* A lane may be lost as it is won; not so often, unless the server wants it. */
#define CLAIMS_MAX 16

static gboolean
claim_lane (ShmkvSession *session, guint n_more, GError **error)
{
  const char *name = session->client->segment->name;
  guint32 free_state, generation;

  if (!find_lane (session, error))
    return FALSE;
  take_over_rings (session);
  SHMKV_CRASH_POINT ("claim-rings");
  /* A claim that a dead client left behind may have been admitted with our lock
   * meanwhile: then the phase is ACTIVE already, and ours. */
  generation = SHMKV_WIRE_LANE_GENERATION (lane_state (session->client, session->lane));
  free_state = SHMKV_WIRE_LANE_STATE (generation, SHMKV_WIRE_LANE_FREE);
  session->state = SHMKV_WIRE_LANE_STATE (generation, SHMKV_WIRE_LANE_ACTIVE);
  set_claim (session, free_state);
  if (wait_for_state (session, free_state, session->timeout_us))
    {
      SHMKV_CRASH_POINT ("claim-admitted");
      if (lane_state (session->client, session->lane) == session->state)
        return TRUE;
      /* A claim that somebody gave up was admitted, and ended before ours. */
      shmkv_session_release_lane (session);
      if (n_more > 0)
        return claim_lane (session, n_more - 1, error);
      shmkv_error_set_protocol (error, name, "it gave away one lane after another that was ours");
      return FALSE;
    }

  if (!shmkv_session_server_is_running (session)
      || !shmkv_segment_server_is_alive (session->client->segment))
    shmkv_error_set_gone (error, name);
  else
    g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_TIMEOUT,
                 "the server named \"%s\" does not respond: no session was opened", name);
  shmkv_session_release_lane (session);
  return FALSE;
}

gboolean
shmkv_session_claim_lane (ShmkvSession *session, GError **error)
{
  return claim_lane (session, CLAIMS_MAX, error);
}

void
shmkv_session_release_lane (ShmkvSession *session)
{
  ShmkvClient *client = session->client;

  SHMKV_CRASH_POINT ("release-begin");
  set_claim (session, 0);
  /* So that the lane is free when we return; a server that is stopped or busy
   * frees it later by itself. */
  wait_for_state (session, session->state, SHMKV_SLICE_NS / 1000);
  SHMKV_CRASH_POINT ("release-waited");
  shmkv_segment_unlock_lane (client->segment, session->lane);
  SHMKV_CRASH_POINT ("release-unlocked");
  unreserve_lane (client, session->lane);
}
