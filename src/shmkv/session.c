/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/session-private.h"

#include "shmkv/error-private.h"

#include <stdlib.h>
#include <string.h>

/* Requests are shown to the server at the latest when there are this many
 * bytes of them: it can begin while the rest is being submitted.  A multiple
 * of a cache line that is small against a ring and large against the cost of
 * handing over. */
#define PUBLISH_BYTES 1024

/* How often a thread that waits for room takes the pieces of a long response. */
#define PIECES_SLICE_NS INT64_C (500000)

/* --------------------------------------------------------- open and close */

static void
waiter_init (ShmkvWaiter *waiter, ShmkvSession *session, const _Atomic uint32_t *word,
             _Atomic uint32_t *nap)
{
  waiter->word = word;
  waiter->nap = nap;
  waiter->slice_ns = SHMKV_SLICE_NS;
  waiter->alive_ns = shmkv_now_ns ();
  shmkv_spinner_init (&waiter->spinner, session->client->spin_ns);
  /* The last owner may have died asleep.  relaxed: nobody sleeps yet. */
  if (atomic_load_explicit (nap, memory_order_relaxed) % 2 != 0)
    atomic_fetch_add_explicit (nap, 1, memory_order_relaxed);
}

static ShmkvSession *
session_alloc (ShmkvClient *client)
{
  gsize size = (sizeof (ShmkvSession) + SHMKV_WIRE_ALIGN - 1) / SHMKV_WIRE_ALIGN * SHMKV_WIRE_ALIGN;
  ShmkvSession *session = aligned_alloc (SHMKV_WIRE_ALIGN, size);

  if (session == NULL)
    g_error ("out of memory");
  memset (session, 0, size);
  session->client = client;
  session->timeout_us = shmkv_client_get_timeout (client);
  g_mutex_init (&session->taking);
  shmkv_pending_init (&session->pending);
  shmkv_taker_init (&session->taker, &session->pending);
  return session;
}

static void
session_dispose (ShmkvSession *session)
{
  shmkv_taker_clear (&session->taker);
  shmkv_pending_clear (&session->pending);
  /* In the child of a fork() another thread of the parent may have it. */
  if (g_mutex_trylock (&session->taking))
    {
      g_mutex_unlock (&session->taking);
      g_mutex_clear (&session->taking);
    }
  free (session);
}

ShmkvSession *
shmkv_session_open (ShmkvClient *client, GError **error)
{
  ShmkvSession *session;

  if (client->forked)
    {
      shmkv_error_set_forked (error);
      return NULL;
    }
  session = session_alloc (client);
  if (!shmkv_session_claim_lane (session, error))
    {
      session_dispose (session);
      return NULL;
    }
  waiter_init (&session->room, session, &session->server_lane->positions.head,
               &session->client_lane->room_nap);
  waiter_init (&session->arrival, session, &session->server_lane->positions.tail,
               &session->client_lane->response_nap);
  return session;
}

ShmkvSession *
shmkv_session_new (ShmkvClient *client, GError **error)
{
  ShmkvSession *session;

  g_return_val_if_fail (client != NULL, NULL);

  session = shmkv_session_open (client, error);
  if (session != NULL)
    {
      session->holds_client = TRUE;
      shmkv_client_ref (client);
    }
  return session;
}

void
shmkv_session_free (ShmkvSession *session)
{
  ShmkvClient *client;

  g_return_if_fail (session != NULL);

  client = session->holds_client ? session->client : NULL;
  if (!session->client->forked)
    {
      shmkv_session_flush (session, NULL);
      shmkv_session_release_lane (session);
    }
  session_dispose (session);
  if (client != NULL)
    shmkv_client_unref (client);
}

ShmkvClient *
shmkv_session_get_client (const ShmkvSession *session)
{
  g_return_val_if_fail (session != NULL, NULL);

  return session->client;
}

/* ----------------------------------------------------------------- taking */

static void
set_broken (ShmkvSession *session)
{
  /* relaxed: only tells where to go on failing */
  atomic_store_explicit (&session->broken, TRUE, memory_order_relaxed);
}

/* Gives room back to the server, once there is a good deal of it.  Never later
 * than that: the server stops at a full ring, not at a nearly full one. */
static void
give_room (ShmkvSession *session)
{
  ShmkvConsumer *ring = &session->taker.ring;

  if (shmkv_consumer_unpublished (ring) < ring->size / 4)
    return;
  shmkv_consumer_publish (ring);
  shmkv_session_wake_server (session);
}

/* Takes what is there; under `taking`. */
static gsize
take_locked (ShmkvSession *session, ShmkvCompletion *completions_out, gsize n)
{
  gsize taken = shmkv_taker_take_kept (&session->taker, completions_out, n);

  while (taken < n)
    {
      ShmkvTake take = shmkv_taker_next (&session->taker, &completions_out[taken]);

      if (take == SHMKV_TAKE_ONE)
        taken++;
      else if (take == SHMKV_TAKE_BROKEN)
        set_broken (session);
      if (take == SHMKV_TAKE_NONE || take == SHMKV_TAKE_BROKEN)
        break;
    }
  give_room (session);
  return taken;
}

/* What to wait for where there was nothing; under `taking`. */
static void
note_arrival (ShmkvSession *session)
{
  session->arrival.seen = session->taker.ring.tail;
  session->arrival.next = shmkv_consumer_next (&session->taker.ring);
}

static gsize
take_now (ShmkvSession *session, ShmkvCompletion *completions_out, gsize n)
{
  guint64 completed;
  gsize taken;

  g_mutex_lock (&session->taking);
  taken = take_locked (session, completions_out, n);
  note_arrival (session);
  g_mutex_unlock (&session->taking);

  /* relaxed: a count; only the taking side stores it */
  completed = atomic_load_explicit (&session->completed, memory_order_relaxed);
  atomic_store_explicit (&session->completed, completed + taken, memory_order_relaxed);
  return taken;
}

gssize
shmkv_session_take (ShmkvSession *session, ShmkvCompletion *completions_out, gsize n,
                    gint64 timeout_us, GError **error)
{
  gint64 deadline = 0;
  gsize taken;

  g_return_val_if_fail (session != NULL, -1);
  g_return_val_if_fail (completions_out != NULL && n > 0, -1);
  g_return_val_if_fail (timeout_us >= -1, -1);

  if (session->client->forked)
    {
      shmkv_error_set_forked (error);
      return -1;
    }
  for (;;)
    {
      taken = take_now (session, completions_out, n);
      if (taken > 0)
        return (gssize) taken;
      /* relaxed: what broke it was found by this thread or will be found again */
      if (atomic_load_explicit (&session->broken, memory_order_relaxed))
        return shmkv_session_check (session, error) ? 0 : -1;
      if (timeout_us == 0)
        {
          if (shmkv_session_check_alive (session, &session->arrival, error))
            return 0;
          /* Its last words may have come before it went. */
          taken = take_now (session, completions_out, n);
          if (taken == 0)
            return -1;
          g_clear_error (error);
          return (gssize) taken;
        }
      switch (shmkv_session_wait (session, &session->arrival, timeout_us, &deadline, error))
        {
        case SHMKV_WAIT_CHANGED:
          break;
        case SHMKV_WAIT_TIMEOUT:
          return 0;
        case SHMKV_WAIT_FAILED:
          return -1;
        }
    }
}

void
shmkv_completion_clear (ShmkvCompletion *completion)
{
  g_return_if_fail (completion != NULL);

  g_clear_pointer (&completion->pairs, shmkv_pairs_unref);
  *completion = (ShmkvCompletion) { 0 };
}

guint64
shmkv_session_get_in_flight (const ShmkvSession *session)
{
  g_return_val_if_fail (session != NULL, 0);

  /* relaxed: counts; exact for a caller that is both sides */
  return atomic_load_explicit (&session->submitted, memory_order_relaxed)
         - atomic_load_explicit (&session->completed, memory_order_relaxed);
}

guint
shmkv_session_get_silent_errors (const ShmkvSession *session)
{
  g_return_val_if_fail (session != NULL, 0);

  if (session->client->forked)
    return 0;
  /* relaxed: ordered by the acquire of the response that made it complete */
  return atomic_load_explicit (&session->server_lane->silent_errors, memory_order_relaxed);
}

/* ------------------------------------------------------------- submitting */

static void
publish (ShmkvSession *session)
{
  shmkv_producer_publish (&session->requests);
  shmkv_session_wake_server (session);
}

gboolean
shmkv_session_flush (ShmkvSession *session, GError **error)
{
  g_return_val_if_fail (session != NULL, FALSE);

  if (!shmkv_session_check (session, error))
    return FALSE;
  if (shmkv_producer_unpublished (&session->requests) > 0)
    publish (session);
  return TRUE;
}

/* Moves what has arrived out of the server's way, so that it can go on.  Where
 * somebody else is just taking, he does that.  Whether a long response is under
 * way. */
static gboolean
drain (ShmkvSession *session)
{
  ShmkvCompletion completion;
  gboolean in_pieces;
  ShmkvTake take = SHMKV_TAKE_SKIPPED;

  if (!g_mutex_trylock (&session->taking))
    return FALSE;
  while (take == SHMKV_TAKE_ONE || take == SHMKV_TAKE_SKIPPED)
    {
      take = shmkv_taker_next (&session->taker, &completion);
      if (take == SHMKV_TAKE_ONE)
        shmkv_taker_keep (&session->taker, &completion);
    }
  if (take == SHMKV_TAKE_BROKEN)
    set_broken (session);
  in_pieces = session->taker.body_id != 0;
  give_room (session);
  g_mutex_unlock (&session->taking);
  return in_pieces;
}

/* Waits until there is room for a record. */
static uint64_t *
wait_for_room (ShmkvSession *session, guint32 length, GError **error)
{
  gint64 deadline = 0;
  uint64_t *record;

  publish (session);
  for (;;)
    {
      if (!shmkv_producer_refresh (&session->requests))
        set_broken (session);
      session->room.seen = session->requests.head;
      record = shmkv_producer_reserve (&session->requests, length);
      if (record != NULL)
        return record;
      /* Nobody wakes us for more pieces: those come without room. */
      session->room.slice_ns = drain (session) ? PIECES_SLICE_NS : SHMKV_SLICE_NS;
      if (!shmkv_session_check (session, error))
        return NULL;
      switch (shmkv_session_wait (session, &session->room, session->timeout_us, &deadline, error))
        {
        case SHMKV_WAIT_CHANGED:
          break;
        case SHMKV_WAIT_TIMEOUT:
          g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_TIMEOUT,
                       "the server named \"%s\" makes no room for another request: it was not "
                       "submitted",
                       session->client->segment->name);
          return NULL;
        case SHMKV_WAIT_FAILED:
          return NULL;
        }
    }
}

static guint64
submit (ShmkvSession *session, guint op, ShmkvFlags flags, guint n_words, guint64 key,
        guint64 value, gpointer user_data, GError **error)
{
  guint32 length = SHMKV_WIRE_HEADER_SIZE + n_words * 8;
  guint64 id, submitted;
  uint64_t *record;

  if (G_UNLIKELY (session->client->forked))
    {
      shmkv_error_set_forked (error);
      return 0;
    }
  record = shmkv_producer_reserve (&session->requests, length);
  if (G_UNLIKELY (record == NULL))
    {
      record = wait_for_room (session, length, error);
      if (record == NULL)
        return 0;
    }

  id = ++session->last_id;
  if (G_LIKELY ((flags & SHMKV_FLAG_NO_RESPONSE) == 0))
    {
      shmkv_pending_push (&session->pending, op, id, user_data);
      /* relaxed: a count; only the submitting side stores it */
      submitted = atomic_load_explicit (&session->submitted, memory_order_relaxed);
      atomic_store_explicit (&session->submitted, submitted + 1, memory_order_relaxed);
    }
  shmkv_store_word (record,
                    shmkv_header_pack (length, op,
                                       n_words > 0 ? SHMKV_WIRE_KIND_INTEGER : SHMKV_WIRE_KIND_NONE,
                                       n_words > 1 ? SHMKV_WIRE_KIND_INTEGER : SHMKV_WIRE_KIND_NONE,
                                       flags));
  shmkv_store_word (record + 1, id);
  if (n_words > 0)
    shmkv_store_word (record + 2, key);
  if (n_words > 1)
    shmkv_store_word (record + 3, value);
  shmkv_producer_commit (&session->requests, length);
  if (shmkv_producer_unpublished (&session->requests) >= PUBLISH_BYTES)
    publish (session);
  return id;
}

guint64
shmkv_session_submit_insert (ShmkvSession *session, guint64 key, guint64 value, ShmkvFlags flags,
                             gpointer user_data, GError **error)
{
  g_return_val_if_fail (session != NULL, 0);

  return submit (session, SHMKV_WIRE_OP_INSERT, flags, 2, key, value, user_data, error);
}

guint64
shmkv_session_submit_read (ShmkvSession *session, guint64 key, ShmkvFlags flags, gpointer user_data,
                           GError **error)
{
  g_return_val_if_fail (session != NULL, 0);

  return submit (session, SHMKV_WIRE_OP_READ, flags, 1, key, 0, user_data, error);
}

guint64
shmkv_session_submit_delete (ShmkvSession *session, guint64 key, ShmkvFlags flags,
                             gpointer user_data, GError **error)
{
  g_return_val_if_fail (session != NULL, 0);

  return submit (session, SHMKV_WIRE_OP_DELETE, flags, 1, key, 0, user_data, error);
}

/* How many of key and value an operation takes; -1 for one that is none. */
static int
operands (ShmkvOp op)
{
  switch (op)
    {
    case SHMKV_OP_INSERT:
      return 2;
    case SHMKV_OP_READ:
    case SHMKV_OP_DELETE:
    case SHMKV_OP_PRINT:
    case SHMKV_OP_START_WORKERS:
      return 1;
    case SHMKV_OP_STOP_WORKER:
    case SHMKV_OP_QUIT:
    case SHMKV_OP_PING:
    case SHMKV_OP_STATS:
      return 0;
    }
  return -1;
}

/* Whether nothing is asked for that only a later version knows. */
static gboolean
is_understood (const ShmkvRequest *request)
{
  for (gsize i = 0; i < G_N_ELEMENTS (request->reserved); i++)
    if (request->reserved[i] != NULL)
      return FALSE;
  return TRUE;
}

guint64
shmkv_session_submit (ShmkvSession *session, const ShmkvRequest *request, GError **error)
{
  int n_words;

  g_return_val_if_fail (session != NULL, 0);
  g_return_val_if_fail (request != NULL, 0);

  if (!is_understood (request))
    {
      g_set_error_literal (error, SHMKV_ERROR, SHMKV_ERROR_INVALID,
                           "reserved members of the request are set: nothing was submitted");
      return 0;
    }
  n_words = operands (request->op);
  if (n_words < 0)
    {
      g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_INVALID,
                   "%d is not an operation: nothing was submitted", (int) request->op);
      return 0;
    }
  return submit (session, request->op, request->flags, (guint) n_words, request->key,
                 request->value, request->user_data, error);
}

/* --------------------------------------------------------------- blocking */

/* Takes completions until that of `id` comes, and keeps those before it. */
static gboolean
take_until (ShmkvSession *session, guint64 id, ShmkvCompletion *completion_out)
{
  ShmkvTake take = SHMKV_TAKE_SKIPPED;
  gboolean found = FALSE;

  g_mutex_lock (&session->taking);
  while (!found && (take == SHMKV_TAKE_ONE || take == SHMKV_TAKE_SKIPPED))
    {
      take = shmkv_taker_next (&session->taker, completion_out);
      found = take == SHMKV_TAKE_ONE && completion_out->id == id;
      if (take == SHMKV_TAKE_ONE && !found)
        shmkv_taker_keep (&session->taker, completion_out);
    }
  if (take == SHMKV_TAKE_BROKEN)
    set_broken (session);
  give_room (session);
  note_arrival (session);
  g_mutex_unlock (&session->taking);
  return found;
}

/* Nobody will take one that was submitted. */
static void
count_completed (ShmkvSession *session)
{
  /* relaxed: a count; only the taking side stores it */
  guint64 completed = atomic_load_explicit (&session->completed, memory_order_relaxed);

  atomic_store_explicit (&session->completed, completed + 1, memory_order_relaxed);
}

static gboolean
await (ShmkvSession *session, guint64 id, ShmkvCompletion *completion_out, GError **error)
{
  gint64 deadline = 0;

  while (!take_until (session, id, completion_out))
    {
      /* relaxed: this thread found it broken */
      if (atomic_load_explicit (&session->broken, memory_order_relaxed))
        return shmkv_session_check (session, error);
      switch (shmkv_session_wait (session, &session->arrival, session->timeout_us, &deadline, error))
        {
        case SHMKV_WAIT_CHANGED:
          break;
        case SHMKV_WAIT_TIMEOUT:
          g_mutex_lock (&session->taking);
          shmkv_taker_abandon (&session->taker, id);
          g_mutex_unlock (&session->taking);
          g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_TIMEOUT,
                       "the server named \"%s\" did not answer in time: whether the request was or "
                       "will be carried out is unknown",
                       session->client->segment->name);
          return FALSE;
        case SHMKV_WAIT_FAILED:
          return FALSE;
        }
    }
  return TRUE;
}

gboolean
shmkv_session_call (ShmkvSession *session, const ShmkvRequest *request,
                    ShmkvCompletion *completion_out, GError **error)
{
  gboolean answered;
  guint64 id;

  g_return_val_if_fail (session != NULL, FALSE);
  g_return_val_if_fail (request != NULL, FALSE);
  g_return_val_if_fail ((request->flags & SHMKV_FLAG_NO_RESPONSE) == 0, FALSE);
  g_return_val_if_fail (completion_out != NULL, FALSE);

  id = shmkv_session_submit (session, request, error);
  if (id == 0 || !shmkv_session_flush (session, error))
    return FALSE;
  answered = await (session, id, completion_out, error);
  count_completed (session);
  return answered;
}

gboolean
shmkv_completion_check (ShmkvCompletion *completion, GError **error)
{
  if (!shmkv_status_is_failure (completion->status))
    return TRUE;
  shmkv_error_set_status (error, completion->op, completion->status);
  shmkv_completion_clear (completion);
  return FALSE;
}

static gboolean
call_checked (ShmkvSession *session, const ShmkvRequest *request, ShmkvCompletion *completion_out,
              GError **error)
{
  return shmkv_session_call (session, request, completion_out, error)
         && shmkv_completion_check (completion_out, error);
}

gboolean
shmkv_session_insert (ShmkvSession *session, guint64 key, guint64 value, gboolean *added_out,
                      GError **error)
{
  ShmkvRequest request = { .op = SHMKV_OP_INSERT, .key = key, .value = value };
  ShmkvCompletion completion;

  if (!call_checked (session, &request, &completion, error))
    return FALSE;
  if (added_out != NULL)
    *added_out = completion.status == SHMKV_STATUS_ADDED;
  return TRUE;
}

gboolean
shmkv_session_read (ShmkvSession *session, guint64 key, guint64 *value_out, gboolean *found_out,
                    GError **error)
{
  ShmkvRequest request = { .op = SHMKV_OP_READ, .key = key };
  ShmkvCompletion completion;

  g_return_val_if_fail (value_out != NULL, FALSE);
  g_return_val_if_fail (found_out != NULL, FALSE);

  if (!call_checked (session, &request, &completion, error))
    return FALSE;
  *found_out = completion.status == SHMKV_STATUS_OK;
  if (*found_out)
    *value_out = completion.value;
  return TRUE;
}

gboolean
shmkv_session_delete (ShmkvSession *session, guint64 key, gboolean *found_out, GError **error)
{
  ShmkvRequest request = { .op = SHMKV_OP_DELETE, .key = key };
  ShmkvCompletion completion;

  if (!call_checked (session, &request, &completion, error))
    return FALSE;
  if (found_out != NULL)
    *found_out = completion.status == SHMKV_STATUS_OK;
  return TRUE;
}
