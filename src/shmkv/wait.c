/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a client waits for its server; see transport/wait.h for the protocol. */

#include "config.h"

#include "shmkv/error-private.h"
#include "shmkv/session-private.h"
#include "transport/crash.h"

/* So many changes that were found by spinning, one after another. */
#define CLOCK_INTERVAL 256

gboolean
shmkv_session_server_is_running (const ShmkvSession *session)
{
  const ShmkvResponsesHeader *header
    = shmkv_segment_responses_header (session->client->segment);

  /* acquire: pairs with the release in the server's farewell, so that what it
   * published before is seen by whoever sees that it is gone */
  return atomic_load_explicit (&header->service, memory_order_acquire)
         == SHMKV_WIRE_SERVICE_RUNNING;
}

static const char *
drop_reason (const ShmkvSession *session)
{
  /* relaxed: for people */
  switch (atomic_load_explicit (&session->server_lane->dropped, memory_order_relaxed))
    {
    case SHMKV_WIRE_DROP_BAD_INDEX:
      return "a position in its rings was impossible";
    case SHMKV_WIRE_DROP_BAD_RECORD:
      return "a record with an impossible length was in its ring";
    case SHMKV_WIRE_DROP_BAD_PIECE:
      return "a piece of one request was followed by something else";
    default:
      return "its lane was lost";
    }
}

gboolean
shmkv_session_check (ShmkvSession *session, GError **error)
{
  const char *name = session->client->segment->name;
  guint32 state;

  if (session->client->forked)
    {
      shmkv_error_set_forked (error);
      return FALSE;
    }
  /* relaxed: a hint that the lane is lost; its rings are used all the same */
  state = atomic_load_explicit (&session->server_lane->state, memory_order_relaxed);
  /* relaxed: only tells where to go on failing */
  if (G_LIKELY (state == session->state && shmkv_session_server_is_running (session)
                && atomic_load_explicit (&session->broken, memory_order_relaxed)
                     == SHMKV_BROKEN_NOT))
    return TRUE;

  if (!shmkv_session_server_is_running (session))
    shmkv_error_set_gone (error, name);
  /* relaxed: the same */
  else if (atomic_load_explicit (&session->broken, memory_order_relaxed) == SHMKV_BROKEN_MEMORY)
    g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_NO_MEMORY,
                 "there is no memory for an answer of the server named \"%s\": it is lost, and this "
                 "session with it",
                 name);
  else if (state == session->state)
    shmkv_error_set_protocol (error, name, "what it wrote into the lane of this session is no "
                                           "answer to what was asked");
  else
    g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_DROPPED,
                 "the server named \"%s\" dropped this session, because %s", name,
                 drop_reason (session));
  return FALSE;
}

void
shmkv_session_wake_server (ShmkvSession *session)
{
  ShmkvResponsesHeader *server = shmkv_segment_responses_header (session->client->segment);
  ShmkvRequestsHeader *clients;

  /* pairs with the fence in the server's doze(): either it sees what we
   * published, or we see that it sleeps */
  atomic_thread_fence (memory_order_seq_cst);
  /* relaxed: ordered by the fence */
  if (G_LIKELY (atomic_load_explicit (&server->server_asleep, memory_order_relaxed) == 0))
    return;
  clients = shmkv_segment_requests_header (session->client->segment);
  /* release: pairs with the acquire in the server's doze() */
  atomic_fetch_add_explicit (&clients->doorbell, 1, memory_order_release);
  SHMKV_CRASH_POINT ("doorbell-rung");
  /* All: others may wait there who are not the server. */
  shmkv_futex_wake (&clients->doorbell, G_MAXINT);
}

/* Whether the server lives, asked of the kernel at most twice a slice, so that it is
 * asked after each. */
static gboolean
is_alive (ShmkvSession *session, ShmkvWaiter *waiter, gint64 now)
{
  if (now - waiter->alive_ns < SHMKV_SLICE_NS / 2)
    return TRUE;
  if (!shmkv_segment_server_is_alive (session->client->segment))
    return FALSE;
  waiter->alive_ns = now;
  return TRUE;
}

gboolean
shmkv_session_check_alive (ShmkvSession *session, ShmkvWaiter *waiter, GError **error)
{
  if (!shmkv_session_check (session, error))
    return FALSE;
  if (is_alive (session, waiter, shmkv_now_ns ()))
    return TRUE;
  shmkv_error_set_gone (error, session->client->segment->name);
  return FALSE;
}

static gboolean
has_changed (const ShmkvWaiter *waiter)
{
  /* relaxed: whoever reads the ring loads the word again, with acquire */
  return atomic_load_explicit (waiter->word, memory_order_relaxed) != waiter->seen;
}

/* Whether more threads are at it than there are CPUs: as the server says, from
 * which nothing but our patience depends. */
static gboolean
is_crowded (const ShmkvSession *session)
{
  const ShmkvClient *client = session->client;

  /* relaxed: a hint */
  return atomic_load_explicit (&shmkv_segment_responses_header (client->segment)->crowd,
                               memory_order_relaxed)
         > client->n_cpus;
}

static gboolean
spin (const ShmkvSession *session, ShmkvWaiter *waiter)
{
  ShmkvSpin bout = is_crowded (session) ? shmkv_spin_begin_briefly (&waiter->spinner)
                                        : shmkv_spin_begin (&waiter->spinner);

  do
    {
      /* The line that holds it is under way while that of the word is. */
      __builtin_prefetch (waiter->next);
      if (has_changed (waiter))
        {
          shmkv_spin_paid (&bout);
          return TRUE;
        }
    }
  while (shmkv_spin_again (&bout));
  return FALSE;
}

/* Adds one to the announcement: odd while we nap. */
static void
announce (ShmkvWaiter *waiter)
{
  /* relaxed: only this thread stores it */
  guint32 nap = atomic_load_explicit (waiter->nap, memory_order_relaxed);

  /* relaxed: ordered by the fence in nap() where that matters */
  atomic_store_explicit (waiter->nap, nap + 1, memory_order_relaxed);
}

static void
nap (ShmkvSession *session, ShmkvWaiter *waiter, gint64 timeout_ns)
{
  announce (waiter);
  SHMKV_CRASH_POINT ("nap-announced");
  /* pairs with the fence in the server's shmkv_lane_wake(): either it sees that we
   * nap, or we see what it published */
  atomic_thread_fence (memory_order_seq_cst);
  if (!has_changed (waiter) && shmkv_session_server_is_running (session))
    shmkv_futex_wait (waiter->word, waiter->seen, timeout_ns);
  SHMKV_CRASH_POINT ("nap-woken");
  announce (waiter);
}

ShmkvWait
shmkv_session_await_change (ShmkvSession *session, ShmkvWaiter *waiter, gint64 timeout_us,
                    gint64 *deadline_ns, GError **error)
{
  gboolean changed;
  gint64 now;

  /* The clock is looked at only from time to time.  But it is: a word that is now
   * this, now that, with nothing behind it, is not worth more than the time-out. */
  changed = spin (session, waiter);
  if (G_LIKELY (changed && ++waiter->changes % CLOCK_INTERVAL != 0))
    return SHMKV_WAIT_CHANGED;

  now = shmkv_now_ns ();
  if (*deadline_ns == 0)
    *deadline_ns = shmkv_deadline_ns (now, timeout_us);
  if (now >= *deadline_ns && (!changed || waiter->late_ns == *deadline_ns))
    return SHMKV_WAIT_TIMEOUT;
  if (changed)
    {
      /* What has come just in time may still be taken. */
      waiter->late_ns = now >= *deadline_ns ? *deadline_ns : 0;
      return SHMKV_WAIT_CHANGED;
    }
  nap (session, waiter, MIN (waiter->slice_ns, *deadline_ns - now));
  if (has_changed (waiter) || shmkv_session_check_alive (session, waiter, error))
    return SHMKV_WAIT_CHANGED;
  /* Its last words may have come before it went. */
  if (!has_changed (waiter))
    return SHMKV_WAIT_FAILED;
  g_clear_error (error);
  return SHMKV_WAIT_CHANGED;
}
