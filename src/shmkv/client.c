/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/client-private.h"

#include "shmkv/error-private.h"
#include "shmkv/fork-private.h"
#include "shmkv/session-private.h"
#include "transport/crash.h"
#include "transport/cpus.h"
#include "transport/name.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWNER_VARIABLE "SHMKV_OWNER"

/* ------------------------------------------------------- attach and detach */

static ShmkvClient *
client_new_take (ShmkvSegment *segment)
{
  ShmkvClient *client = g_new0 (ShmkvClient, 1);

  g_atomic_ref_count_init (&client->references);
  client->segment = segment;
  client->timeout_us = SHMKV_TIMEOUT_DEFAULT;
  /* On a single CPU, whoever spins keeps the server from answering. */
  client->n_cpus = shmkv_cpus_allowed ();
  client->spin_ns = client->n_cpus > 1 ? SHMKV_SPIN_DEFAULT_NS : 0;
  g_mutex_init (&client->mutex);
  g_cond_init (&client->returned);
  client->idle = g_ptr_array_new ();
  client->has_lane = g_new0 (gboolean, segment->geometry.sessions);
  shmkv_fork_watch (client);
  return client;
}

ShmkvClient *
shmkv_client_new_for_owner (const char *name, uid_t owner, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  ShmkvClient *client = NULL;
  ShmkvSegment *segment;

  shmkv_fork_hold ();
  segment = shmkv_segment_attach (shmkv_name_resolve (name), owner, &local_error);
  if (segment != NULL)
    client = client_new_take (segment);
  shmkv_fork_let_go ();
  if (client != NULL)
    return client;
  shmkv_error_take_segment (error, g_steal_pointer (&local_error));
  return NULL;
}

/* The user that a name or a number in the environment stands for. */
static gboolean
parse_owner (const char *text, uid_t *owner_out, GError **error)
{
  char buffer[4096];
  struct passwd entry, *found = NULL;
  guint64 number;

  if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32 - 1, &number, NULL))
    {
      *owner_out = (uid_t) number;
      return TRUE;
    }
  if (getpwnam_r (text, &entry, buffer, sizeof buffer, &found) == 0 && found != NULL)
    {
      *owner_out = entry.pw_uid;
      return TRUE;
    }
  g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_INVALID,
               OWNER_VARIABLE " is \"%s\", which is no user of this machine", text);
  return FALSE;
}

ShmkvClient *
shmkv_client_new (const char *name, GError **error)
{
  const char *text = secure_getenv (OWNER_VARIABLE);
  uid_t owner = geteuid ();

  if (text != NULL && !parse_owner (text, &owner, error))
    return NULL;
  return shmkv_client_new_for_owner (name, owner, error);
}

ShmkvClient *
shmkv_client_ref (ShmkvClient *client)
{
  g_return_val_if_fail (client != NULL, NULL);

  g_atomic_ref_count_inc (&client->references);
  return client;
}

void
shmkv_client_unref (ShmkvClient *client)
{
  g_return_if_fail (client != NULL);

  if (!g_atomic_ref_count_dec (&client->references))
    return;
  /* In the child of a fork(), another thread of the parent may have been
   * half-way through something here: then it is left alone. */
  if (client->forked && !g_mutex_trylock (&client->mutex))
    return;
  if (client->forked)
    g_mutex_unlock (&client->mutex);
  for (guint i = 0; i < client->idle->len; i++)
    shmkv_session_free (g_ptr_array_index (client->idle, i));
  g_ptr_array_unref (client->idle);
  g_free (client->has_lane);
  g_cond_clear (&client->returned);
  g_mutex_clear (&client->mutex);
  shmkv_fork_hold ();
  shmkv_fork_unwatch (client);
  SHMKV_CRASH_POINT ("detach-sessions");
  shmkv_segment_free (client->segment);
  SHMKV_CRASH_POINT ("detach-done");
  shmkv_fork_let_go ();
  g_free (client);
}

const char *
shmkv_client_get_name (const ShmkvClient *client)
{
  g_return_val_if_fail (client != NULL, NULL);

  return client->segment->name;
}

guint
shmkv_client_get_n_buckets (const ShmkvClient *client)
{
  g_return_val_if_fail (client != NULL, 0);

  return client->segment->buckets;
}

guint
shmkv_client_get_server_pid (const ShmkvClient *client)
{
  g_return_val_if_fail (client != NULL, 0);

  return client->segment->server_pid;
}

guint64
shmkv_client_get_max_value (const ShmkvClient *client)
{
  g_return_val_if_fail (client != NULL, 0);

  return client->segment->max_value;
}

int
shmkv_client_dup_fd (ShmkvClient *client, GError **error)
{
  int fd;

  g_return_val_if_fail (client != NULL, -1);

  if (client->forked)
    {
      shmkv_error_set_forked (error);
      return -1;
    }
  /* The locks on our lanes belong to the open file, which goes with its last
   * descriptor. */
  fd = fcntl (client->segment->requests.fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0)
    g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_SYSTEM, "cannot duplicate a descriptor: %s",
                 g_strerror (errno));
  return fd;
}

gboolean
shmkv_handle_bus_error (const void *address)
{
  return shmkv_rescue (address);
}

void
shmkv_client_set_timeout (ShmkvClient *client, gint64 timeout_us)
{
  g_return_if_fail (client != NULL);
  g_return_if_fail (timeout_us >= -1);

  /* relaxed: a setting; nothing hangs on when others see it */
  atomic_store_explicit (&client->timeout_us, timeout_us, memory_order_relaxed);
}

gint64
shmkv_client_get_timeout (const ShmkvClient *client)
{
  g_return_val_if_fail (client != NULL, 0);

  /* relaxed: the same */
  return atomic_load_explicit (&client->timeout_us, memory_order_relaxed);
}

/* -------------------------------------------------------- borrowed sessions */

static gint64
deadline_of (const ShmkvClient *client)
{
  return shmkv_deadline_ns (shmkv_now_ns (), shmkv_client_get_timeout (client)) / 1000;
}

/* An idle session; NULL where there is none.  Either way one more is counted
 * as borrowed. */
static ShmkvSession *
take_idle (ShmkvClient *client)
{
  ShmkvSession *session = NULL;

  g_mutex_lock (&client->mutex);
  client->n_borrowed++;
  if (client->idle->len > 0)
    session = g_ptr_array_steal_index (client->idle, client->idle->len - 1);
  g_mutex_unlock (&client->mutex);
  return session;
}

/* Nothing was borrowed after all, for a reason that may go away when another
 * thread gives back what it borrowed (`may_wait`): waits for that.  FALSE where
 * there is nothing to wait for, or it takes too long. */
static gboolean
wait_for_returned (ShmkvClient *client, gboolean may_wait, gint64 deadline)
{
  gboolean returned;

  g_mutex_lock (&client->mutex);
  client->n_borrowed--;
  returned = may_wait
             && (client->idle->len > 0
                 || (client->n_borrowed > 0
                     && g_cond_wait_until (&client->returned, &client->mutex, deadline)));
  /* Others may be waiting for us. */
  if (!returned)
    g_cond_broadcast (&client->returned);
  g_mutex_unlock (&client->mutex);
  return returned;
}

/* An idle session, or a new one; where the server has none left, the next that
 * another thread gives back. */
static ShmkvSession *
borrow (ShmkvClient *client, GError **error)
{
  gint64 deadline = 0;

  if (client->forked)
    {
      shmkv_error_set_forked (error);
      return NULL;
    }
  for (;;)
    {
      g_autoptr (GError) local_error = NULL;
      ShmkvSession *session = take_idle (client);

      if (session == NULL)
        session = shmkv_session_open (client, &local_error);
      if (session != NULL)
        {
          session->timeout_us = shmkv_client_get_timeout (client);
          return session;
        }
      if (deadline == 0)
        deadline = deadline_of (client);
      if (!wait_for_returned (client,
                              g_error_matches (local_error, SHMKV_ERROR, SHMKV_ERROR_NO_SESSION),
                              deadline))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return NULL;
        }
    }
}

static void
give_back (ShmkvClient *client, ShmkvSession *session, gboolean usable)
{
  /* Others would wait behind what it still has in flight. */
  if (!usable)
    shmkv_session_free (session);
  g_mutex_lock (&client->mutex);
  client->n_borrowed--;
  if (usable)
    g_ptr_array_add (client->idle, session);
  g_cond_signal (&client->returned);
  g_mutex_unlock (&client->mutex);
}

/* ---------------------------------------------------------- blocking calls */

/* Looks at a request before a session is borrowed for it.  Not for those in
 * here, which are valid. */
static gboolean
check_request (const ShmkvClient *client, const ShmkvRequest *request, GError **error)
{
  if (!shmkv_request_check (client, request, error))
    return FALSE;
  if ((request->flags & (SHMKV_FLAG_SESSION | SHMKV_FLAG_NO_RESPONSE)) == 0)
    return TRUE;
  g_set_error_literal (error, SHMKV_ERROR, SHMKV_ERROR_INVALID,
                       (request->flags & SHMKV_FLAG_SESSION) != 0
                         ? "a key that belongs to a session needs a session of its own: open one, "
                           "with shmkv_session_new(), and call that: nothing was submitted"
                         : "a request that wants no response cannot be waited for: nothing was "
                           "submitted");
  return FALSE;
}

static gboolean
call (ShmkvClient *client, const ShmkvRequest *request, ShmkvCompletion *completion_out,
      GError **error)
{
  ShmkvSession *session = borrow (client, error);
  gboolean answered;

  if (session == NULL)
    return FALSE;
  answered = shmkv_session_call (session, request, completion_out, error);
  give_back (client, session, answered);
  return answered && shmkv_completion_check (completion_out, error);
}

gboolean
shmkv_client_call (ShmkvClient *client, const ShmkvRequest *request,
                   ShmkvCompletion *completion_out, GError **error)
{
  g_return_val_if_fail (client != NULL, FALSE);
  g_return_val_if_fail (request != NULL, FALSE);
  g_return_val_if_fail (completion_out != NULL, FALSE);

  return check_request (client, request, error) && call (client, request, completion_out, error);
}

gboolean
shmkv_client_call_many (ShmkvClient *client, const ShmkvRequest *requests, gsize n,
                        ShmkvCompletion *completions_out, GError **error)
{
  ShmkvSession *session;
  gboolean answered;

  g_return_val_if_fail (client != NULL, FALSE);
  g_return_val_if_fail (requests != NULL || n == 0, FALSE);
  g_return_val_if_fail (completions_out != NULL || n == 0, FALSE);

  if (n > 0)
    memset (completions_out, 0, n * sizeof *completions_out);
  for (gsize i = 0; i < n; i++)
    if (!check_request (client, &requests[i], error))
      {
        g_prefix_error (error, "request %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT ": ", i + 1, n);
        return FALSE;
      }
  session = borrow (client, error);
  if (session == NULL)
    return FALSE;
  answered = shmkv_session_call_many (session, requests, n, completions_out, error);
  give_back (client, session, answered);
  return answered;
}

gboolean
shmkv_client_wait (ShmkvClient *client, const ShmkvDatum *key, guint64 version, gint64 timeout_us,
                   ShmkvCompletion *completion_out, GError **error)
{
  ShmkvRequest request = { .op = SHMKV_OP_WAIT, .value = shmkv_integer (version) };
  ShmkvSession *session;
  gboolean answered;

  g_return_val_if_fail (client != NULL, FALSE);
  g_return_val_if_fail (key != NULL, FALSE);
  g_return_val_if_fail (timeout_us >= -1, FALSE);
  g_return_val_if_fail (completion_out != NULL, FALSE);

  request.key = *key;
  if (!check_request (client, &request, error))
    return FALSE;
  session = borrow (client, error);
  if (session == NULL)
    return FALSE;
  answered
    = shmkv_session_call_patiently (session, &request, timeout_us, completion_out, error);
  give_back (client, session, answered);
  return answered && shmkv_completion_check (completion_out, error);
}

gboolean
shmkv_client_insert (ShmkvClient *client, guint64 key, guint64 value, gboolean *added_out,
                     GError **error)
{
  ShmkvRequest request
    = { .op = SHMKV_OP_INSERT, .key = shmkv_integer (key), .value = shmkv_integer (value) };
  ShmkvCompletion completion;

  g_return_val_if_fail (client != NULL, FALSE);

  if (!call (client, &request, &completion, error))
    return FALSE;
  if (added_out != NULL)
    *added_out = completion.status == SHMKV_STATUS_ADDED;
  return TRUE;
}

gboolean
shmkv_client_read (ShmkvClient *client, guint64 key, guint64 *value_out, gboolean *found_out,
                   GError **error)
{
  ShmkvRequest request = { .op = SHMKV_OP_READ, .key = shmkv_integer (key) };
  ShmkvCompletion completion;

  g_return_val_if_fail (client != NULL, FALSE);
  g_return_val_if_fail (value_out != NULL, FALSE);
  g_return_val_if_fail (found_out != NULL, FALSE);

  return call (client, &request, &completion, error)
         && shmkv_completion_get_integer (&completion, client->segment->name, value_out, found_out,
                                          error);
}

gboolean
shmkv_client_delete (ShmkvClient *client, guint64 key, gboolean *found_out, GError **error)
{
  ShmkvRequest request = { .op = SHMKV_OP_DELETE, .key = shmkv_integer (key) };
  ShmkvCompletion completion;

  g_return_val_if_fail (client != NULL, FALSE);

  if (!call (client, &request, &completion, error))
    return FALSE;
  if (found_out != NULL)
    *found_out = completion.status == SHMKV_STATUS_OK;
  return TRUE;
}

/* For the operations that return pairs. */
static ShmkvPairs *
call_for_pairs (ShmkvClient *client, const ShmkvRequest *request, GError **error)
{
  ShmkvCompletion completion;

  g_return_val_if_fail (client != NULL, NULL);

  if (!call (client, request, &completion, error))
    return NULL;
  if (completion.pairs == NULL)
    shmkv_error_set_protocol (error, client->segment->name, "an answer without its pairs");
  return completion.pairs;
}

ShmkvPairs *
shmkv_client_print (ShmkvClient *client, guint64 bucket, GError **error)
{
  return call_for_pairs (
    client, &(ShmkvRequest) { .op = SHMKV_OP_PRINT, .key = shmkv_integer (bucket) }, error);
}

ShmkvPairs *
shmkv_client_stats (ShmkvClient *client, GError **error)
{
  return call_for_pairs (client, &(ShmkvRequest) { .op = SHMKV_OP_STATS }, error);
}

ShmkvPairs *
shmkv_client_session_stats (ShmkvClient *client, GError **error)
{
  return call_for_pairs (client, &(ShmkvRequest) { .op = SHMKV_OP_SESSIONS }, error);
}

/* For the operations that answer with a number. */
static gboolean
call_for_number (ShmkvClient *client, const ShmkvRequest *request, guint64 *number_out,
                 GError **error)
{
  ShmkvCompletion completion;

  g_return_val_if_fail (client != NULL, FALSE);

  if (!call (client, request, &completion, error))
    return FALSE;
  if (completion.value_kind != SHMKV_KIND_INTEGER)
    {
      shmkv_error_set_protocol (error, client->segment->name, "an answer without its number");
      return FALSE;
    }
  if (number_out != NULL)
    *number_out = completion.value;
  return TRUE;
}

static gboolean
call_for_workers (ShmkvClient *client, const ShmkvRequest *request, guint *n_workers_out,
                  GError **error)
{
  guint64 n;

  if (!call_for_number (client, request, &n, error))
    return FALSE;
  if (n_workers_out != NULL)
    *n_workers_out = (guint) n;
  return TRUE;
}

gboolean
shmkv_client_start_workers (ShmkvClient *client, guint64 n, guint *n_workers_out, GError **error)
{
  return call_for_workers (
    client, &(ShmkvRequest) { .op = SHMKV_OP_START_WORKERS, .key = shmkv_integer (n) },
    n_workers_out, error);
}

gboolean
shmkv_client_stop_worker (ShmkvClient *client, guint *n_workers_out, GError **error)
{
  return call_for_workers (client, &(ShmkvRequest) { .op = SHMKV_OP_STOP_WORKER }, n_workers_out,
                           error);
}

gboolean
shmkv_client_count (ShmkvClient *client, guint64 *count_out, GError **error)
{
  g_return_val_if_fail (count_out != NULL, FALSE);

  return call_for_number (client, &(ShmkvRequest) { .op = SHMKV_OP_COUNT }, count_out, error);
}

gboolean
shmkv_client_clear (ShmkvClient *client, guint64 *count_out, GError **error)
{
  return call_for_number (client, &(ShmkvRequest) { .op = SHMKV_OP_CLEAR }, count_out, error);
}

/* For the operations that answer with nothing. */
static gboolean
call_for_nothing (ShmkvClient *client, const ShmkvRequest *request, GError **error)
{
  ShmkvCompletion completion;

  g_return_val_if_fail (client != NULL, FALSE);

  return call (client, request, &completion, error);
}

gboolean
shmkv_client_quit (ShmkvClient *client, GError **error)
{
  return call_for_nothing (client, &(ShmkvRequest) { .op = SHMKV_OP_QUIT }, error);
}

gboolean
shmkv_client_ping (ShmkvClient *client, GError **error)
{
  return call_for_nothing (client, &(ShmkvRequest) { .op = SHMKV_OP_PING }, error);
}
