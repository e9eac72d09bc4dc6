/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv-client.h>

G_BEGIN_DECLS

/**
 * ShmkvSession:
 *
 * An ordered stream of requests to the server, and of their completions back.
 *
 * Requests take effect in the order in which they were submitted, and complete
 * in that order: a session reads its own writes.  Between sessions every
 * operation is linearizable per key.
 *
 * Submit many, flush once, take completions in batches:
 *
 * |[<!-- language="C" -->
 * for (i = 0; i < n; i++)
 *   shmkv_session_submit_read (session, keys[i], 0, GSIZE_TO_POINTER (i), &error);
 * shmkv_session_flush (session, &error);
 * while (shmkv_session_get_in_flight (session) > 0)
 *   n_taken = shmkv_session_take (session, completions, G_N_ELEMENTS (completions), -1, &error);
 * ]|
 *
 * Threads: a session has a submitting side (submit, flush) and a taking side
 * (take).  One thread at a time may use each; they may be the same thread or
 * two.  The blocking calls (shmkv_session_call() and so on) use both sides.
 *
 * Submitting never deadlocks: where there is no room for a request because
 * nobody took the completions, the library moves them to private memory.
 */
typedef struct _ShmkvSession ShmkvSession;

/**
 * ShmkvRequest:
 * @op: what to do
 * @flags: see #ShmkvFlags
 * @key: the key; the bucket's index for %SHMKV_OP_PRINT, the number of workers
 *   for %SHMKV_OP_START_WORKERS, unused for others without a key
 * @value: the value for %SHMKV_OP_INSERT
 * @user_data: comes back with the completion; the library does not look at it
 * @reserved: %NULL, for what later versions add
 *
 * A request of any kind.  What is not needed is to be 0, which an initializer
 * with named members sees to.
 */
typedef struct
{
  ShmkvOp op;
  ShmkvFlags flags;
  guint64 key;
  guint64 value;
  gpointer user_data;
  gpointer reserved[4];
} ShmkvRequest;

/**
 * ShmkvCompletion:
 * @id: the ID of the request
 * @user_data: what was submitted with the request
 * @op: the operation
 * @status: how it ended
 * @value: for %SHMKV_OP_READ with %SHMKV_STATUS_OK the value; for ThStart and
 *   ThStop with %SHMKV_STATUS_OK the number of workers now running; else 0
 * @pairs: (nullable): what %SHMKV_OP_PRINT and %SHMKV_OP_STATS return
 * @reserved: for what later versions add; not set
 *
 * The answer to a request.  Whoever takes a completion owns what it points to,
 * and frees it with shmkv_completion_clear(); those of insert, read and delete
 * requests on integers own nothing and need not be cleared.
 */
typedef struct
{
  guint64 id;
  gpointer user_data;
  ShmkvOp op;
  ShmkvStatus status;
  guint64 value;
  ShmkvPairs *pairs;
  gpointer reserved[4];
} ShmkvCompletion;

/**
 * shmkv_completion_clear:
 * @completion: a completion
 *
 * Frees what @completion owns, and sets it to zero.
 */
SHMKV_API void shmkv_completion_clear (ShmkvCompletion *completion);

/**
 * shmkv_session_new:
 * @client: the client
 * @error: %SHMKV_ERROR_NO_SESSION, %SHMKV_ERROR_SERVER_GONE,
 *   %SHMKV_ERROR_TIMEOUT, %SHMKV_ERROR_FORKED, %SHMKV_ERROR_SYSTEM
 *
 * Opens a session: takes one of the lanes that the server was started with.
 *
 * Returns: (transfer full): a session, or %NULL
 */
SHMKV_API ShmkvSession *shmkv_session_new (ShmkvClient *client, GError **error);

/**
 * shmkv_session_free:
 * @session: (transfer full): the session; no other thread may be using it
 *
 * Closes a session.  What was submitted is published and will be carried out;
 * completions that nobody took are lost.
 */
SHMKV_API void shmkv_session_free (ShmkvSession *session);

/**
 * shmkv_session_get_client:
 *
 * Returns: (transfer none): the client that @session belongs to
 */
SHMKV_API ShmkvClient *shmkv_session_get_client (const ShmkvSession *session);

/**
 * shmkv_session_submit_insert:
 * @session: the session
 * @key: the key
 * @value: the value
 * @flags: see #ShmkvFlags
 * @user_data: comes back with the completion
 * @error: %SHMKV_ERROR_SERVER_GONE, %SHMKV_ERROR_TIMEOUT (no room for so
 *   long; nothing was submitted), %SHMKV_ERROR_DROPPED, %SHMKV_ERROR_PROTOCOL,
 *   %SHMKV_ERROR_FORKED
 *
 * Submits "set @key to @value".  The server may see a request as soon as it is
 * submitted, and is sure to see it after shmkv_session_flush().
 *
 * Completes with %SHMKV_STATUS_ADDED, %SHMKV_STATUS_REPLACED or
 * %SHMKV_STATUS_NO_MEMORY.
 *
 * Returns: the request's ID, never 0: IDs count up from 1.  0 on error.
 */
SHMKV_API guint64 shmkv_session_submit_insert (ShmkvSession *session,
                                               guint64       key,
                                               guint64       value,
                                               ShmkvFlags    flags,
                                               gpointer      user_data,
                                               GError      **error);

/**
 * shmkv_session_submit_read:
 * @session: the session
 * @key: the key
 * @flags: see #ShmkvFlags
 * @user_data: comes back with the completion
 * @error: as shmkv_session_submit_insert()
 *
 * Submits "tell me the value of @key".  Completes with %SHMKV_STATUS_OK and
 * the value, or with %SHMKV_STATUS_NO_KEY.
 *
 * Returns: the request's ID, or 0
 */
SHMKV_API guint64 shmkv_session_submit_read (ShmkvSession *session,
                                             guint64       key,
                                             ShmkvFlags    flags,
                                             gpointer      user_data,
                                             GError      **error);

/**
 * shmkv_session_submit_delete:
 * @session: the session
 * @key: the key
 * @flags: see #ShmkvFlags
 * @user_data: comes back with the completion
 * @error: as shmkv_session_submit_insert()
 *
 * Submits "forget @key".  Completes with %SHMKV_STATUS_OK or
 * %SHMKV_STATUS_NO_KEY.
 *
 * Returns: the request's ID, or 0
 */
SHMKV_API guint64 shmkv_session_submit_delete (ShmkvSession *session,
                                               guint64       key,
                                               ShmkvFlags    flags,
                                               gpointer      user_data,
                                               GError      **error);

/**
 * shmkv_session_submit:
 * @session: the session
 * @request: (transfer none): what to submit
 * @error: as shmkv_session_submit_insert(), and %SHMKV_ERROR_INVALID for an
 *   operation that does not exist, or where @request's reserved members are
 *   not %NULL
 *
 * Submits a request of any kind.
 *
 * Returns: the request's ID, or 0
 */
SHMKV_API guint64 shmkv_session_submit (ShmkvSession       *session,
                                        const ShmkvRequest *request,
                                        GError            **error);

/**
 * shmkv_session_flush:
 * @session: the session
 * @error: %SHMKV_ERROR_SERVER_GONE, %SHMKV_ERROR_DROPPED, %SHMKV_ERROR_FORKED
 *
 * Publishes what was submitted, and wakes the server where it sleeps.
 *
 * Returns: whether it was done
 */
SHMKV_API gboolean shmkv_session_flush (ShmkvSession *session, GError **error);

/**
 * shmkv_session_take:
 * @session: the session
 * @completions_out: (out caller-allocates) (array length=n): where to put them
 * @n: how many there is room for
 * @timeout_us: how long to wait for the first one, in microseconds; 0 does not
 *   wait, -1 waits for ever
 * @error: %SHMKV_ERROR_SERVER_GONE, %SHMKV_ERROR_DROPPED,
 *   %SHMKV_ERROR_PROTOCOL, %SHMKV_ERROR_FORKED
 *
 * Takes the completions that are there, in the order of their requests; waits
 * for one where there is none.  Running out of time is not an error.  It does
 * not flush: that is the submitting side's.
 *
 * Returns: how many were taken, 0 where the time ran out, -1 on error
 */
SHMKV_API gssize shmkv_session_take (ShmkvSession    *session,
                                     ShmkvCompletion *completions_out,
                                     gsize            n,
                                     gint64           timeout_us,
                                     GError         **error);

/**
 * shmkv_session_get_in_flight:
 *
 * Returns: how many requests were submitted whose completions were not taken
 *   yet.  Exact where the caller is the only thread that uses @session.
 */
SHMKV_API guint64 shmkv_session_get_in_flight (const ShmkvSession *session);

/**
 * shmkv_session_get_silent_errors:
 *
 * Returns: how many requests with %SHMKV_FLAG_NO_RESPONSE failed so far,
 *   modulo 2^32; complete once a later request has completed
 */
SHMKV_API guint shmkv_session_get_silent_errors (const ShmkvSession *session);

/**
 * shmkv_session_call:
 * @session: the session
 * @request: (transfer none): what to do; %SHMKV_FLAG_NO_RESPONSE is invalid here
 * @completion_out: (out caller-allocates): the answer, also where it is a
 *   failure status; clear it with shmkv_completion_clear() for operations that
 *   return pairs
 * @error: what submitting and taking can fail with, and %SHMKV_ERROR_TIMEOUT
 *
 * Submits a request, flushes, and waits for its completion, for as long as the
 * time-out that the client had when the session was opened.  Completions of
 * earlier requests are kept for shmkv_session_take().
 *
 * Returns: whether there was an answer
 */
SHMKV_API gboolean shmkv_session_call (ShmkvSession       *session,
                                       const ShmkvRequest *request,
                                       ShmkvCompletion    *completion_out,
                                       GError            **error);

/**
 * shmkv_session_insert:
 *
 * shmkv_client_insert() in a session of one's own.
 *
 * Returns: whether it was done
 */
SHMKV_API gboolean shmkv_session_insert (ShmkvSession *session,
                                         guint64       key,
                                         guint64       value,
                                         gboolean     *added_out,
                                         GError      **error);

/**
 * shmkv_session_read:
 *
 * shmkv_client_read() in a session of one's own.
 *
 * Returns: whether there was an answer
 */
SHMKV_API gboolean shmkv_session_read (ShmkvSession *session,
                                       guint64       key,
                                       guint64      *value_out,
                                       gboolean     *found_out,
                                       GError      **error);

/**
 * shmkv_session_delete:
 *
 * shmkv_client_delete() in a session of one's own.
 *
 * Returns: whether there was an answer
 */
SHMKV_API gboolean shmkv_session_delete (ShmkvSession *session,
                                         guint64       key,
                                         gboolean     *found_out,
                                         GError      **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvSession, shmkv_session_free)

G_END_DECLS
