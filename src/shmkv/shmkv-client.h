/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv-error.h>
#include <shmkv/shmkv-pairs.h>
#include <shmkv/shmkv-request.h>
#include <shmkv/shmkv-types.h>

#include <sys/types.h>

G_BEGIN_DECLS

/**
 * ShmkvClient:
 *
 * The attachment of this process to a server.  All its functions may be
 * called from any thread at any time.
 *
 * The calls that do one thing and wait for it (shmkv_client_insert() and so
 * on) are the easy way: each borrows a session from the client for as long as
 * it takes, and opens one only where all are in use by other threads.  For
 * many requests at once, open a #ShmkvSession.
 *
 * In these calls "no such key" is an answer, not an error.  Their errors are
 * %SHMKV_ERROR_SERVER_GONE, %SHMKV_ERROR_TIMEOUT, %SHMKV_ERROR_NO_SESSION,
 * %SHMKV_ERROR_FORKED, %SHMKV_ERROR_DROPPED, %SHMKV_ERROR_PROTOCOL,
 * %SHMKV_ERROR_SYSTEM, and what they list themselves.  A request whose call
 * failed with a time-out or because the server is gone may or may not have
 * been carried out.
 *
 * The child of a fork() cannot use the clients and sessions of its parent: all
 * their functions fail there with %SHMKV_ERROR_FORKED.  It makes its own.
 */
typedef struct _ShmkvClient ShmkvClient;

/**
 * SHMKV_TIMEOUT_DEFAULT:
 *
 * The time-out of a new client, in microseconds.
 */
#define SHMKV_TIMEOUT_DEFAULT (5 * G_USEC_PER_SEC)

/**
 * shmkv_client_new:
 * @name: (nullable): the server's name; %NULL means the environment variable
 *   `SHMKV_NAME`, and where that is not set %SHMKV_NAME_DEFAULT
 * @error: %SHMKV_ERROR_INVALID, %SHMKV_ERROR_NO_SERVER, %SHMKV_ERROR_ACCESS,
 *   %SHMKV_ERROR_INCOMPATIBLE, %SHMKV_ERROR_SYSTEM
 *
 * Attaches to a server.  Waits, up to a second, for one that is just starting.
 *
 * A server sees everything that its clients tell it, so anyone who may create
 * files in `/dev/shm` could pose as one.  Trusted are servers of the calling
 * process's effective user and of root; another one only if the environment
 * variable `SHMKV_OWNER` names it (a user name or a number).
 *
 * Returns: (transfer full): a client, or %NULL
 */
SHMKV_API ShmkvClient *shmkv_client_new (const char *name, GError **error);

/**
 * shmkv_client_new_for_owner:
 * @name: (nullable): as for shmkv_client_new()
 * @owner: the user whose server is trusted, besides root's
 * @error: as for shmkv_client_new()
 *
 * Attaches to a server that another user runs and shares with this one.
 *
 * Returns: (transfer full): a client, or %NULL
 */
SHMKV_API ShmkvClient *shmkv_client_new_for_owner (const char *name,
                                                   uid_t       owner,
                                                   GError    **error);

/**
 * shmkv_client_ref:
 *
 * Returns: (transfer full): @client
 */
SHMKV_API ShmkvClient *shmkv_client_ref (ShmkvClient *client);

/**
 * shmkv_client_unref:
 * @client: (transfer full): the client
 *
 * The last reference detaches from the server.  Every session holds one.
 */
SHMKV_API void shmkv_client_unref (ShmkvClient *client);

/**
 * shmkv_client_get_name:
 *
 * Returns: (transfer none): the name of the server
 */
SHMKV_API const char *shmkv_client_get_name (const ShmkvClient *client);

/**
 * shmkv_client_get_n_buckets:
 *
 * Returns: how many buckets the server's table has
 */
SHMKV_API guint shmkv_client_get_n_buckets (const ShmkvClient *client);

/**
 * shmkv_client_get_server_pid:
 *
 * Returns: the server's process ID, in the server's own pid namespace
 */
SHMKV_API guint shmkv_client_get_server_pid (const ShmkvClient *client);

/**
 * shmkv_client_set_timeout:
 * @client: the client
 * @timeout_us: in microseconds; -1 waits for ever
 *
 * Sets how long blocking calls wait: those on @client, and those on sessions
 * that are opened afterwards.  A server that is gone is noticed in any case,
 * within a quarter of a second.
 */
SHMKV_API void shmkv_client_set_timeout (ShmkvClient *client, gint64 timeout_us);

/**
 * shmkv_client_get_timeout:
 *
 * Returns: the time-out in microseconds, or -1
 */
SHMKV_API gint64 shmkv_client_get_timeout (const ShmkvClient *client);

/**
 * shmkv_client_insert:
 * @client: the client
 * @key: the key
 * @value: the value
 * @added_out: (out) (optional): %TRUE if the key is new, %FALSE if its value
 *   was replaced
 * @error: also %SHMKV_ERROR_NO_MEMORY
 *
 * Sets @key to @value.
 *
 * Returns: whether it was done
 */
SHMKV_API gboolean shmkv_client_insert (ShmkvClient *client,
                                        guint64      key,
                                        guint64      value,
                                        gboolean    *added_out,
                                        GError     **error);

/**
 * shmkv_client_read:
 * @client: the client
 * @key: the key
 * @value_out: (out): the value; untouched if there is no such key
 * @found_out: (out): whether there is such a key
 * @error: also %SHMKV_ERROR_WRONG_KIND, where the value is a byte string
 *
 * Gets the value of @key, which is an integer; shmkv_client_call() gets any.
 *
 * Returns: whether there was an answer
 */
SHMKV_API gboolean shmkv_client_read (ShmkvClient *client,
                                      guint64      key,
                                      guint64     *value_out,
                                      gboolean    *found_out,
                                      GError     **error);

/**
 * shmkv_client_delete:
 * @client: the client
 * @key: the key
 * @found_out: (out) (optional): whether there was something to delete
 * @error: see #ShmkvClient
 *
 * Forgets @key.
 *
 * Returns: whether there was an answer
 */
SHMKV_API gboolean shmkv_client_delete (ShmkvClient *client,
                                        guint64      key,
                                        gboolean    *found_out,
                                        GError     **error);

/**
 * shmkv_client_print:
 * @client: the client
 * @bucket: index of a bucket, less than shmkv_client_get_n_buckets()
 * @error: also %SHMKV_ERROR_OUT_OF_RANGE, %SHMKV_ERROR_BUSY,
 *   %SHMKV_ERROR_TOO_LARGE
 *
 * Has the server print a bucket on its standard output, and returns what is in
 * it.
 *
 * Returns: (transfer full): the pairs in the bucket, or %NULL
 */
SHMKV_API ShmkvPairs *shmkv_client_print (ShmkvClient *client,
                                          guint64      bucket,
                                          GError     **error);

/**
 * shmkv_client_start_workers:
 * @client: the client
 * @n: how many to add, at least 1
 * @n_workers_out: (out) (optional): how many there are now
 * @error: also %SHMKV_ERROR_TOO_MANY, %SHMKV_ERROR_NO_MEMORY; then no worker
 *   was added
 *
 * ThStart(n): adds workers.
 *
 * Returns: whether it was done
 */
SHMKV_API gboolean shmkv_client_start_workers (ShmkvClient *client,
                                               guint64      n,
                                               guint       *n_workers_out,
                                               GError     **error);

/**
 * shmkv_client_stop_worker:
 * @client: the client
 * @n_workers_out: (out) (optional): how many there are now
 * @error: also %SHMKV_ERROR_LAST_WORKER
 *
 * ThStop: stops one worker.
 *
 * Returns: whether it was done
 */
SHMKV_API gboolean shmkv_client_stop_worker (ShmkvClient *client,
                                             guint       *n_workers_out,
                                             GError     **error);

/**
 * shmkv_client_quit:
 * @client: the client
 * @error: see #ShmkvClient
 *
 * Ends the server.  Every other client is told at once.
 *
 * Returns: whether the server confirmed it
 */
SHMKV_API gboolean shmkv_client_quit (ShmkvClient *client, GError **error);

/**
 * shmkv_client_ping:
 * @client: the client
 * @error: see #ShmkvClient
 *
 * Returns: whether the server answered
 */
SHMKV_API gboolean shmkv_client_ping (ShmkvClient *client, GError **error);

/**
 * shmkv_client_stats:
 * @client: the client
 * @error: see #ShmkvClient
 *
 * Gets the server's statistics: pairs of a name (bytes) and an integer.  The
 * names are listed in shmkv-client(1); later versions add to them.
 *
 * Returns: (transfer full): the statistics, or %NULL
 */
SHMKV_API ShmkvPairs *shmkv_client_stats (ShmkvClient *client, GError **error);

/**
 * shmkv_client_call:
 * @client: the client
 * @request: (transfer none): what to do; %SHMKV_FLAG_NO_RESPONSE and
 *   %SHMKV_FLAG_SESSION are invalid here
 * @completion_out: (out caller-allocates): the answer; clear it with
 *   shmkv_completion_clear()
 * @error: also %SHMKV_ERROR_INVALID and %SHMKV_ERROR_TOO_LARGE, with which
 *   nothing was sent, and the #ShmkvError that belongs to a failure status
 *
 * Carries out a request of any kind, and waits for it.  "No such key" and a
 * condition that is not met are answers, not errors: see the completion's
 * status.
 *
 * Returns: whether there was an answer that is not a failure; where there was
 *   none, there is nothing in @completion_out to clear
 */
SHMKV_API gboolean shmkv_client_call (ShmkvClient        *client,
                                      const ShmkvRequest *request,
                                      ShmkvCompletion    *completion_out,
                                      GError            **error);

/**
 * shmkv_client_call_many:
 * @client: the client
 * @requests: (array length=n): as for shmkv_session_call_many();
 *   %SHMKV_FLAG_SESSION is invalid here
 * @n: how many
 * @completions_out: (out caller-allocates) (array length=n): the answers, in the
 *   order of the requests, with failure statuses; where it fails, those that
 *   came, and zero for the others.  Clear each.
 * @error: see #ShmkvClient; also %SHMKV_ERROR_INVALID and
 *   %SHMKV_ERROR_TOO_LARGE, with which nothing was sent
 *
 * shmkv_session_call_many() in a borrowed session.
 *
 * Returns: whether all were answered
 */
SHMKV_API gboolean shmkv_client_call_many (ShmkvClient        *client,
                                           const ShmkvRequest *requests,
                                           gsize               n,
                                           ShmkvCompletion    *completions_out,
                                           GError            **error);

/**
 * shmkv_client_wait:
 * @client: the client
 * @key: the key
 * @version: a version of it that the caller knows; 0: it was absent
 * @timeout_us: how long to wait, in microseconds; -1 waits for ever
 * @completion_out: (out caller-allocates): as for shmkv_session_wait()
 * @error: as for shmkv_client_call()
 *
 * shmkv_session_wait() in a borrowed session, which other threads cannot borrow
 * meanwhile.
 *
 * Returns: whether there was an answer
 */
SHMKV_API gboolean shmkv_client_wait (ShmkvClient      *client,
                                      const ShmkvDatum *key,
                                      guint64           version,
                                      gint64            timeout_us,
                                      ShmkvCompletion  *completion_out,
                                      GError          **error);

/**
 * shmkv_client_count:
 * @client: the client
 * @count_out: (out): how many keys there are
 * @error: see #ShmkvClient
 *
 * Counts the keys, each bucket at its own moment.  Keys that expired within the
 * last quarter of a second may be among them.
 *
 * Returns: whether there was an answer
 */
SHMKV_API gboolean shmkv_client_count (ShmkvClient *client, guint64 *count_out, GError **error);

/**
 * shmkv_client_clear:
 * @client: the client
 * @count_out: (out) (optional): how many keys were deleted
 * @error: see #ShmkvClient
 *
 * Deletes all keys, of every kind and of every session, bucket by bucket: what
 * others insert meanwhile may remain.
 *
 * Returns: whether it was done
 */
SHMKV_API gboolean shmkv_client_clear (ShmkvClient *client, guint64 *count_out, GError **error);

/**
 * shmkv_client_session_stats:
 * @client: the client
 * @error: see #ShmkvClient
 *
 * As shmkv_client_stats(), with the counters of each open session; the names
 * are `LANE.COUNTER`.
 *
 * Returns: (transfer full): the statistics, or %NULL
 */
SHMKV_API ShmkvPairs *shmkv_client_session_stats (ShmkvClient *client, GError **error);

/**
 * shmkv_client_get_max_value:
 *
 * Returns: the longest value that the server takes, in bytes
 */
SHMKV_API guint64 shmkv_client_get_max_value (const ShmkvClient *client);

/**
 * shmkv_client_dup_fd:
 * @client: the client
 * @error: %SHMKV_ERROR_SYSTEM, %SHMKV_ERROR_FORKED
 *
 * Makes a descriptor that keeps the sessions of @client alive: as long as it or
 * a copy of it is open, in whatever process, the server takes none of them for
 * dead.  So a program that @client's process starts can inherit what
 * %SHMKV_FLAG_SESSION holds.  It is closed on exec unless the caller clears
 * that.  There is nothing else to do with it.
 *
 * Returns: a descriptor that the caller closes, or -1
 */
SHMKV_API int shmkv_client_dup_fd (ShmkvClient *client, GError **error);

/**
 * shmkv_handle_bus_error:
 * @address: where `SIGBUS` was raised: `si_addr` of its `siginfo_t`
 *
 * For the handler of `SIGBUS` of a program that has one; the library installs
 * none.  Whoever may write to a server's shared memory may also truncate it;
 * who touches it then is sent this signal.  The server notices, and makes it as
 * long again at once, so only those who are just using it are hit.  A program
 * that calls this in its handler stands that, too: its calls fail with
 * %SHMKV_ERROR_SERVER_GONE, and a new client can be attached.
 *
 * Async-signal-safe; keeps `errno`.  May be called for any address.
 *
 * Returns: whether @address was in memory of a client of this process, which has
 *   been replaced: then the handler returns.  Otherwise the signal means something
 *   else, and the handler does what it would do without this library
 */
SHMKV_API gboolean shmkv_handle_bus_error (const void *address);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvClient, shmkv_client_unref)

G_END_DECLS
