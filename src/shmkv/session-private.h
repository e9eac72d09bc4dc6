/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A session, inside.
 *
 * The submitting side and the taking side have their own cache lines, because
 * they may be different threads.  The words of the lane in shared memory are
 * described in wire/layout.h. */

#pragma once

#include "shmkv/client-private.h"
#include "shmkv/pending.h"
#include "shmkv/taker.h"
#include "transport/ring.h"
#include "transport/wait.h"

G_BEGIN_DECLS

/* How one side waits: for a word of the server to change. */
typedef struct
{
  const _Atomic uint32_t *word;
  guint32 seen;                     /* from this */
  const uint64_t *next;             /* what will be read when it has; to be prefetched */
  _Atomic uint32_t *nap;            /* ours, in shared memory: the announcement */
  ShmkvSpinner spinner;
  guint changes;                    /* how often it had when we spun */
  gint64 late_ns;                   /* the deadline after which it had, the last time */
  gint64 slice_ns;                  /* how long a nap lasts at most */
  gint64 alive_ns;                  /* when the server was last known to be alive */
} ShmkvWaiter;

/* Why nothing in a session's lane can be relied on any more. */
typedef enum
{
  SHMKV_BROKEN_NOT,
  SHMKV_BROKEN_PROTOCOL,            /* the server broke the protocol */
  SHMKV_BROKEN_MEMORY               /* there was no memory for an answer, which is lost */
} ShmkvBroken;

struct _ShmkvSession
{
  /* Constant while the session is open. */
  ShmkvClient *client;
  gboolean holds_client;            /* a reference to it */
  guint lane;
  guint32 state;                    /* of our lane, as long as it is ours */
  gint64 timeout_us;
  const ShmkvResponsesLane *server_lane;
  ShmkvRequestsLane *client_lane;

  /* The submitting side. */
  alignas (SHMKV_WIRE_ALIGN) ShmkvProducer requests;
  guint64 last_id;
  ShmkvWaiter room;
  gboolean cut;                     /* only the first pieces of a request were submitted */
  _Atomic guint64 submitted;        /* requests that will be answered */

  /* The taking side; under `taking`, but for the waiter, which is the taking
   * thread's. */
  alignas (SHMKV_WIRE_ALIGN) GMutex taking;
  ShmkvTaker taker;
  ShmkvWaiter arrival;
  _Atomic guint64 completed;        /* answers that were handed out */
  _Atomic guint broken;             /* ShmkvBroken; of whichever side found out */

  ShmkvPending pending;
};

/* Opens a session for `client` without taking a reference. */
ShmkvSession *shmkv_session_open (ShmkvClient *client, GError **error);

/* ------------------------------------------------------------- submitting */

/* Requests are shown to the server at the latest when there are this many
 * bytes of them: it can begin while the rest is being submitted.  A multiple
 * of a cache line that is small against a ring and large against the cost of
 * handing over. */
#define SHMKV_PUBLISH_BYTES 1024

/* Whether the server of `client` can be asked this at all; says why not. */
gboolean shmkv_request_check (const ShmkvClient *client, const ShmkvRequest *request,
                              GError **error);

/* Submits one that was checked, whatever is in it. */
guint64 shmkv_session_submit_any (ShmkvSession *session, const ShmkvRequest *request,
                                  GError **error);

/* Waits until there is room for a record where there was none. */
uint64_t *shmkv_session_wait_for_room (ShmkvSession *session, guint32 length, GError **error);

/* Shows the server what was committed. */
void shmkv_session_publish (ShmkvSession *session);

/* Remembers that a request will be answered; before the server can see all of
 * it. */
static inline void
shmkv_session_expect (ShmkvSession *session, guint op, guint flags, guint64 id, gpointer user_data)
{
  guint64 submitted;

  shmkv_pending_push (&session->pending, op, flags, id, user_data);
  /* relaxed: a count; only the submitting side stores it */
  submitted = atomic_load_explicit (&session->submitted, memory_order_relaxed);
  atomic_store_explicit (&session->submitted, submitted + 1, memory_order_relaxed);
}

/* ----------------------------------------------------------------- taking */

/* Under `taking`: as shmkv_taker_next(), but that what was read while somebody
 * destroyed the responses does not count. */
ShmkvTake shmkv_session_next (ShmkvSession *session, ShmkvCompletion *completion_out);

/* Under `taking`: remembers what that said, where it is the end. */
void shmkv_session_note_take (ShmkvSession *session, ShmkvTake take);

/* Under `taking`: gives room back to the server, once there is a good deal of
 * it. */
void shmkv_session_give_room (ShmkvSession *session);

/* Under `taking`: what to wait for where there was nothing. */
void shmkv_session_note_arrival (ShmkvSession *session);

/* --------------------------------------------------------------- blocking */

/* Turns a failure status into an error, and clears the completion then. */
gboolean shmkv_completion_check (ShmkvCompletion *completion, GError **error);

/* The answer to a Read of an integer; clears a completion that is none. */
gboolean shmkv_completion_get_integer (ShmkvCompletion *completion, const char *server_name,
                                       guint64 *value_out, gboolean *found_out, GError **error);

/* A datum that is a byte string, as long-lived as `bytes`. */
static inline ShmkvDatum
shmkv_datum_of_bytes (GBytes *bytes)
{
  gsize length;
  gconstpointer data = g_bytes_get_data (bytes, &length);

  return shmkv_bytes (data, length);
}

/* Calls with a request that the server answers when it likes, or when the next
 * one comes, which is after `timeout_us`. */
gboolean shmkv_session_call_patiently (ShmkvSession *session, const ShmkvRequest *request,
                                       gint64 timeout_us, ShmkvCompletion *completion_out,
                                       GError **error);

/* ------------------------------------------------------------------- lane */

/* Whether the session can still be used; says why not. */
gboolean shmkv_session_check (ShmkvSession *session, GError **error);

/* Whether the server has not said farewell yet. */
gboolean shmkv_session_server_is_running (const ShmkvSession *session);

/* Rings the server's bell if it sleeps.  Contains the publisher's fence. */
void shmkv_session_wake_server (ShmkvSession *session);

/* Takes a free lane: sets lane, state and both rings. */
gboolean shmkv_session_claim_lane (ShmkvSession *session, GError **error);

/* Gives it back, after everything that was published has been carried out. */
void shmkv_session_release_lane (ShmkvSession *session);

typedef enum
{
  SHMKV_WAIT_CHANGED,
  SHMKV_WAIT_TIMEOUT,
  SHMKV_WAIT_FAILED
} ShmkvWait;

/* Waits until the waiter's word is no longer what was seen.  `*deadline_ns` is
 * computed from `timeout_us` when first needed; set it to 0 before.  May say
 * CHANGED for no reason. */
ShmkvWait shmkv_session_await_change (ShmkvSession *session, ShmkvWaiter *waiter, gint64 timeout_us,
                              gint64 *deadline_ns, GError **error);

/* When `timeout_us` from now will be over; -1 never is. */
static inline gint64
shmkv_deadline_ns (gint64 now_ns, gint64 timeout_us)
{
  return timeout_us < 0 || timeout_us > (G_MAXINT64 - now_ns) / 1000 ? G_MAXINT64
                                                                    : now_ns + timeout_us * 1000;
}

/* For callers that poll and never wait: looks, from time to time, whether the
 * server lives. */
gboolean shmkv_session_check_alive (ShmkvSession *session, ShmkvWaiter *waiter, GError **error);

G_END_DECLS
