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
 * shmkv_session_new:
 * @client: the client
 * @error: %SHMKV_ERROR_NO_SESSION, %SHMKV_ERROR_SERVER_GONE,
 *   %SHMKV_ERROR_TIMEOUT, %SHMKV_ERROR_FORKED, %SHMKV_ERROR_SYSTEM,
 *   %SHMKV_ERROR_NO_MEMORY
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
 * @flags: those of #ShmkvFlags that Insert knows and that need no member of a
 *   #ShmkvRequest: not IF_VALUE, IF_VERSION and TTL
 * @user_data: comes back with the completion
 * @error: %SHMKV_ERROR_SERVER_GONE, %SHMKV_ERROR_TIMEOUT (no room for so
 *   long; nothing was submitted), %SHMKV_ERROR_DROPPED, %SHMKV_ERROR_PROTOCOL,
 *   %SHMKV_ERROR_FORKED, %SHMKV_ERROR_INVALID (other flags; nothing was
 *   submitted)
 *
 * Submits "set @key to @value".  The server may see a request as soon as it is
 * submitted, and is sure to see it after shmkv_session_flush().
 *
 * Completes with %SHMKV_STATUS_ADDED, %SHMKV_STATUS_REPLACED,
 * %SHMKV_STATUS_MISMATCH, %SHMKV_STATUS_NO_MEMORY or %SHMKV_STATUS_NO_SPACE.
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
 * the value, or with %SHMKV_STATUS_NO_KEY.  The value may be a byte string: see
 * the completion's value_kind, and clear it.
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
 * @error: as shmkv_session_submit_insert().  %SHMKV_ERROR_INVALID for an
 *   operation that does not exist, for a key, value or flag that it does not
 *   take, for a key that is empty or too long, for an impossible time to live,
 *   and where reserved members are not %NULL; %SHMKV_ERROR_TOO_LARGE for a
 *   value that is longer than shmkv_client_get_max_value(): nothing was
 *   submitted then.  Any other error in the middle of a long request leaves a
 *   session in which nothing more can be submitted, while what was submitted
 *   before is still answered; the message says so.
 *
 * Submits a request of any kind and length.  What @request points to is not
 * needed any more when this returns.
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
 *   %SHMKV_ERROR_PROTOCOL, %SHMKV_ERROR_FORKED, %SHMKV_ERROR_NO_MEMORY
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
 *   failure status; clear it with shmkv_completion_clear()
 * @error: what submitting and taking can fail with, %SHMKV_ERROR_TIMEOUT, and
 *   %SHMKV_ERROR_INVALID for %SHMKV_FLAG_NO_RESPONSE
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
 * shmkv_session_call_many:
 * @session: the session
 * @requests: (array length=n): what to do; %SHMKV_FLAG_NO_RESPONSE is invalid here
 * @n: how many
 * @completions_out: (out caller-allocates) (array length=n): the answers, in
 *   the order of the requests; where it fails, those that came, and zero for
 *   the others.  Clear each.
 * @error: as shmkv_session_call(); where one of the requests is not valid,
 *   none is submitted.  The time-out is for the next answer, not for all.
 *
 * Submits many requests and waits for all their completions: one call for many
 * keys.  Each takes effect by itself; they are not one transaction.  Completions
 * of earlier requests are kept for shmkv_session_take().
 *
 * Returns: whether all were answered
 */
SHMKV_API gboolean shmkv_session_call_many (ShmkvSession       *session,
                                            const ShmkvRequest *requests,
                                            gsize               n,
                                            ShmkvCompletion    *completions_out,
                                            GError            **error);

/**
 * shmkv_session_wait:
 * @session: the session
 * @key: the key
 * @version: a version of it that the caller knows; 0: it was absent
 * @timeout_us: how long to wait, in microseconds; -1 waits for ever
 * @completion_out: (out caller-allocates): %SHMKV_STATUS_OK with the value and
 *   version that it has now, %SHMKV_STATUS_NO_KEY where it is gone, or
 *   %SHMKV_STATUS_UNCHANGED where the time ran out.  Clear it.
 * @error: as shmkv_session_call(), and the #ShmkvError that belongs to a failure
 *   status
 *
 * Waits until the version of @key differs from @version.  That is told at once
 * where it is so already.  It takes effect behind all that was submitted, and
 * completions of that are kept for shmkv_session_take().  A server that is gone
 * is noticed as in every other call, whatever the time-out.
 *
 * Returns: whether there was an answer
 */
SHMKV_API gboolean shmkv_session_wait (ShmkvSession     *session,
                                       const ShmkvDatum *key,
                                       guint64           version,
                                       gint64            timeout_us,
                                       ShmkvCompletion  *completion_out,
                                       GError          **error);

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
 * shmkv_client_read() in a session of one's own; also with
 * %SHMKV_ERROR_WRONG_KIND.
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
