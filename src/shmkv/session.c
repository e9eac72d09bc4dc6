/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/session-private.h"

#include "shmkv/error-private.h"
#include "transport/crash.h"

#include <stdlib.h>
#include <string.h>

/* How often a thread that waits for room takes long responses. */
#define LONG_SLICE_NS INT64_C (500000)

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
    return NULL;
  memset (session, 0, size);
  session->client = client;
  session->timeout_us = shmkv_client_get_timeout (client);
  g_mutex_init (&session->taking);
  shmkv_pending_init (&session->pending);
  shmkv_taker_init (&session->taker, &session->pending, client->segment->max_value);
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
  if (session == NULL)
    {
      g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_NO_MEMORY,
                   "there is no memory for a session with the server named \"%s\"",
                   client->segment->name);
      return NULL;
    }
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
      SHMKV_CRASH_POINT ("detach-begin");
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
set_broken (ShmkvSession *session, ShmkvBroken why)
{
  /* relaxed: only tells where to go on failing */
  atomic_store_explicit (&session->broken, why, memory_order_relaxed);
}

void
shmkv_session_note_take (ShmkvSession *session, ShmkvTake take)
{
  if (G_UNLIKELY (take == SHMKV_TAKE_BROKEN))
    set_broken (session, SHMKV_BROKEN_PROTOCOL);
  else if (G_UNLIKELY (take == SHMKV_TAKE_NO_MEMORY))
    set_broken (session, SHMKV_BROKEN_MEMORY);
}

/* Never later than that: the server stops where its longest record does not
 * fit, and that takes half the ring at most, with the padding before it. */
void
shmkv_session_give_room (ShmkvSession *session)
{
  ShmkvConsumer *ring = &session->taker.ring;

  if (shmkv_consumer_unpublished (ring) < ring->size / 4)
    return;
  SHMKV_CRASH_POINT ("take-done");
  shmkv_consumer_publish (ring);
  SHMKV_CRASH_POINT ("take-published");
  shmkv_session_wake_server (session);
}

/* Whether what was just read out of the responses is what the server wrote. */
static inline gboolean
was_intact (const ShmkvSession *session)
{
  const ShmkvSegment *segment = session->client->segment;
  gboolean lost = shmkv_rescue_is_lost (segment->responses.rescue);
  /* relaxed: what was read before is ordered by the fence in there; the server stores
   * the word before it puts other memory in the place of what is lost */
  guint32 service = atomic_load_explicit (&shmkv_segment_responses_header (segment)->service,
                                          memory_order_relaxed);

  /* What came before the server said that it is gone counts. */
  return !lost && (service == SHMKV_WIRE_SERVICE_RUNNING || service == SHMKV_WIRE_SERVICE_GONE);
}

ShmkvTake
shmkv_session_next (ShmkvSession *session, ShmkvCompletion *completion_out)
{
  ShmkvTake take = shmkv_taker_next (&session->taker, completion_out);

  if (take != SHMKV_TAKE_ONE || G_LIKELY (was_intact (session)))
    return take;
  shmkv_completion_clear (completion_out);
  return SHMKV_TAKE_BROKEN;
}

/* As many as there are of the kind that most are. */
static gsize
take_short (ShmkvSession *session, ShmkvCompletion *completions_out, gsize n)
{
  gsize taken = shmkv_taker_take_short (&session->taker, completions_out, n);

  if (taken == 0 || G_LIKELY (was_intact (session)))
    return taken;
  set_broken (session, SHMKV_BROKEN_PROTOCOL);
  return 0;
}

/* Takes what is there; under `taking`. */
static gsize
take_locked (ShmkvSession *session, ShmkvCompletion *completions_out, gsize n)
{
  gsize taken = shmkv_taker_take_kept (&session->taker, completions_out, n);

  while (taken < n)
    {
      ShmkvTake take;

      taken += take_short (session, &completions_out[taken], n - taken);
      if (taken == n)
        break;
      take = shmkv_session_next (session, &completions_out[taken]);
      if (take == SHMKV_TAKE_ONE)
        taken++;
      else if (take != SHMKV_TAKE_SKIPPED)
        {
          shmkv_session_note_take (session, take);
          break;
        }
    }
  shmkv_session_give_room (session);
  return taken;
}

void
shmkv_session_note_arrival (ShmkvSession *session)
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
  shmkv_session_note_arrival (session);
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
      if (atomic_load_explicit (&session->broken, memory_order_relaxed) != SHMKV_BROKEN_NOT)
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
      switch (shmkv_session_await_change (session, &session->arrival, timeout_us, &deadline, error))
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
  g_clear_pointer (&completion->bytes, g_bytes_unref);
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

void
shmkv_session_publish (ShmkvSession *session)
{
  shmkv_producer_publish (&session->requests);
  SHMKV_CRASH_POINT ("submit-published");
  shmkv_session_wake_server (session);
  SHMKV_CRASH_POINT ("submit-woken");
}

gboolean
shmkv_session_flush (ShmkvSession *session, GError **error)
{
  g_return_val_if_fail (session != NULL, FALSE);

  if (!shmkv_session_check (session, error))
    return FALSE;
  if (shmkv_producer_unpublished (&session->requests) > 0)
    shmkv_session_publish (session);
  return TRUE;
}

/* Moves what has arrived out of the server's way, so that it can go on.  Where
 * somebody else is just taking, he does that.  Whether there were long
 * responses, of which there may be more without a request being read. */
static gboolean
drain (ShmkvSession *session)
{
  ShmkvTake take = SHMKV_TAKE_SKIPPED;
  gboolean were_long = FALSE;

  if (!g_mutex_trylock (&session->taking))
    return FALSE;
  while (shmkv_taker_goes_on (take))
    {
      ShmkvCompletion completion;

      take = shmkv_session_next (session, &completion);
      if (take != SHMKV_TAKE_ONE)
        continue;
      were_long = were_long || completion.bytes != NULL || completion.pairs != NULL;
      shmkv_taker_keep (&session->taker, &completion);
    }
  shmkv_session_note_take (session, take);
  were_long = were_long || shmkv_taker_in_pieces (&session->taker);
  shmkv_session_give_room (session);
  g_mutex_unlock (&session->taking);
  return were_long;
}

static gboolean
check_not_cut (const ShmkvSession *session, GError **error)
{
  if (!session->cut)
    return TRUE;
  g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_DROPPED,
               "nothing can be submitted any more in this session with the server named \"%s\", "
               "which took only a part of an earlier request: open another",
               session->client->segment->name);
  return FALSE;
}

uint64_t *
shmkv_session_wait_for_room (ShmkvSession *session, guint32 length, GError **error)
{
  gint64 deadline = 0;
  uint64_t *record;

  if (!check_not_cut (session, error))
    return NULL;
  shmkv_session_publish (session);
  SHMKV_CRASH_POINT ("submit-no-room");
  for (;;)
    {
      if (!shmkv_producer_refresh (&session->requests))
        set_broken (session, SHMKV_BROKEN_PROTOCOL);
      session->room.seen = session->requests.head;
      record = shmkv_producer_reserve (&session->requests, length);
      if (record != NULL)
        return record;
      /* Nobody wakes us for these: they come without room. */
      session->room.slice_ns = drain (session) ? LONG_SLICE_NS : SHMKV_SLICE_NS;
      if (!shmkv_session_check (session, error))
        return NULL;
      switch (shmkv_session_await_change (session, &session->room, session->timeout_us, &deadline, error))
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

/* A request of `n_words` integers: a key, or a key and a value.  In every caller
 * most of it is known when it is compiled. */
__attribute__ ((always_inline)) static inline guint64
submit (ShmkvSession *session, guint op, ShmkvFlags flags, guint n_words, guint64 key,
        guint64 value, gpointer user_data, GError **error)
{
  guint32 length = SHMKV_WIRE_HEADER_SIZE + n_words * 8;
  uint64_t *record;
  guint64 id;

  if (G_UNLIKELY (session->client->forked))
    {
      shmkv_error_set_forked (error);
      return 0;
    }
  record = shmkv_producer_reserve (&session->requests, length);
  if (G_UNLIKELY (record == NULL))
    {
      record = shmkv_session_wait_for_room (session, length, error);
      if (record == NULL)
        return 0;
    }

  id = ++session->last_id;
  if (G_LIKELY ((flags & SHMKV_FLAG_NO_RESPONSE) == 0))
    shmkv_session_expect (session, op, 0, id, user_data);
  shmkv_store_word (record,
                    shmkv_header_pack (length, op,
                                       n_words > 0 ? SHMKV_WIRE_KIND_INTEGER : SHMKV_WIRE_KIND_NONE,
                                       n_words > 1 ? SHMKV_WIRE_KIND_INTEGER : SHMKV_WIRE_KIND_NONE,
                                       flags));
  SHMKV_CRASH_POINT ("submit-half");
  shmkv_store_word (record + 1, id);
  if (n_words > 0)
    shmkv_store_word (record + 2, key);
  if (n_words > 1)
    shmkv_store_word (record + 3, value);
  SHMKV_CRASH_POINT ("submit-filled");
  shmkv_producer_commit (&session->requests, length);
  SHMKV_CRASH_POINT ("submit-committed");
  if (shmkv_producer_unpublished (&session->requests) >= SHMKV_PUBLISH_BYTES)
    shmkv_session_publish (session);
  return id;
}

/* With flags of which the server says more in its answer, or none that fits. */
static guint64
submit_flagged (ShmkvSession *session, ShmkvOp op, ShmkvFlags flags, guint64 key, guint64 value,
                gpointer user_data, GError **error)
{
  ShmkvRequest request
    = { .op = op, .flags = flags, .key = shmkv_integer (key), .user_data = user_data };

  if ((flags & (SHMKV_FLAG_IF_VALUE | SHMKV_FLAG_IF_VERSION | SHMKV_FLAG_TTL)) != 0)
    {
      g_set_error_literal (error, SHMKV_ERROR, SHMKV_ERROR_INVALID,
                           "a flag that says that there is more to the request needs "
                           "shmkv_session_submit(): nothing was submitted");
      return 0;
    }
  if (op == SHMKV_OP_INSERT)
    request.value = shmkv_integer (value);
  return shmkv_session_submit (session, &request, error);
}

guint64
shmkv_session_submit_insert (ShmkvSession *session, guint64 key, guint64 value, ShmkvFlags flags,
                             gpointer user_data, GError **error)
{
  g_return_val_if_fail (session != NULL, 0);

  if (G_UNLIKELY ((flags & ~SHMKV_FLAG_NO_RESPONSE) != 0))
    return submit_flagged (session, SHMKV_OP_INSERT, flags, key, value, user_data, error);
  return submit (session, SHMKV_WIRE_OP_INSERT, flags, 2, key, value, user_data, error);
}

guint64
shmkv_session_submit_read (ShmkvSession *session, guint64 key, ShmkvFlags flags, gpointer user_data,
                           GError **error)
{
  g_return_val_if_fail (session != NULL, 0);

  if (G_UNLIKELY ((flags & ~SHMKV_FLAG_NO_RESPONSE) != 0))
    return submit_flagged (session, SHMKV_OP_READ, flags, key, 0, user_data, error);
  return submit (session, SHMKV_WIRE_OP_READ, flags, 1, key, 0, user_data, error);
}

guint64
shmkv_session_submit_delete (ShmkvSession *session, guint64 key, ShmkvFlags flags,
                             gpointer user_data, GError **error)
{
  g_return_val_if_fail (session != NULL, 0);

  if (G_UNLIKELY ((flags & ~SHMKV_FLAG_NO_RESPONSE) != 0))
    return submit_flagged (session, SHMKV_OP_DELETE, flags, key, 0, user_data, error);
  return submit (session, SHMKV_WIRE_OP_DELETE, flags, 1, key, 0, user_data, error);
}

/* How many integers a request is made of and nothing else, the key first; -1
 * where there is more to it. */
static int
count_integers (const ShmkvRequest *request)
{
  if ((request->flags & ~SHMKV_FLAG_NO_RESPONSE) != 0
      || request->key.kind > SHMKV_KIND_INTEGER || request->value.kind > request->key.kind)
    return -1;
  return (int) request->key.kind + (int) request->value.kind;
}

guint64
shmkv_session_submit (ShmkvSession *session, const ShmkvRequest *request, GError **error)
{
  int n_words;

  g_return_val_if_fail (session != NULL, 0);
  g_return_val_if_fail (request != NULL, 0);

  if (!shmkv_request_check (session->client, request, error))
    return 0;
  n_words = count_integers (request);
  if (n_words < 0)
    return shmkv_session_submit_any (session, request, error);
  return submit (session, request->op, request->flags, (guint) n_words, request->key.integer,
                 request->value.integer, request->user_data, error);
}
