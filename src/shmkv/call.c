/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Blocking calls on a session: submit, flush, and wait for the answers.
 *
 * They use both sides of the session, so all requests of a call have IDs in a
 * row, and their answers come in a row, behind those of earlier requests, which
 * are kept for whoever takes them. */

#include "config.h"

#include "shmkv/error-private.h"
#include "shmkv/session-private.h"

#include <string.h>

/* The answers to requests with IDs in a row. */
typedef struct
{
  guint64 first;                    /* ID of the first request; 0: none yet */
  gsize submitted;
  gsize done;                       /* so many have been answered: the first ones */
  ShmkvCompletion *completions;
} Answers;

/* ------------------------------------------------------------------- wait */

/* Takes completions until `wanted` answers are there, and keeps those of earlier
 * requests.  Whether they are. */
static gboolean
take_answers (ShmkvSession *session, Answers *answers, gsize wanted)
{
  ShmkvTake take = SHMKV_TAKE_SKIPPED;

  g_mutex_lock (&session->taking);
  while (answers->done < wanted && shmkv_taker_goes_on (take))
    {
      ShmkvCompletion *completion = &answers->completions[answers->done];

      take = shmkv_session_next (session, completion);
      if (take == SHMKV_TAKE_ONE && completion->id >= answers->first)
        answers->done++;
      else if (take == SHMKV_TAKE_ONE)
        shmkv_taker_keep (&session->taker, completion);
      shmkv_session_give_room (session);
    }
  shmkv_session_note_take (session, take);
  shmkv_session_note_arrival (session);
  g_mutex_unlock (&session->taking);
  return answers->done == wanted;
}

/* Takes answers that came before the last request was submitted. */
static void
take_early_answers (ShmkvSession *session, Answers *answers)
{
  g_mutex_lock (&session->taking);
  answers->done += shmkv_taker_take_kept_from (&session->taker, answers->first,
                                               answers->completions, answers->submitted);
  g_mutex_unlock (&session->taking);
}

/* Waits for `wanted` answers, and no longer than `timeout_us` for the next. */
static ShmkvWait
await (ShmkvSession *session, Answers *answers, gsize wanted, gint64 timeout_us, GError **error)
{
  gint64 deadline = 0;
  gsize before = answers->done;

  while (!take_answers (session, answers, wanted))
    {
      ShmkvWait wait;

      /* relaxed: this thread found it broken */
      if (atomic_load_explicit (&session->broken, memory_order_relaxed) != SHMKV_BROKEN_NOT)
        {
          shmkv_session_check (session, error);
          return SHMKV_WAIT_FAILED;
        }
      if (answers->done > before)
        deadline = 0;
      before = answers->done;
      wait = shmkv_session_await_change (session, &session->arrival, timeout_us, &deadline, error);
      if (wait != SHMKV_WAIT_CHANGED)
        return wait;
    }
  return SHMKV_WAIT_CHANGED;
}

static void
set_timeout_error (const ShmkvSession *session, GError **error)
{
  g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_TIMEOUT,
               "the server named \"%s\" did not answer in time: whether the request was or will be "
               "carried out is unknown",
               session->client->segment->name);
}

/* The call ends: nobody waits for answers that did not come, and nobody else
 * takes those that did. */
static void
finish (ShmkvSession *session, const Answers *answers)
{
  /* relaxed: a count; only the taking side stores it */
  guint64 completed = atomic_load_explicit (&session->completed, memory_order_relaxed);

  atomic_store_explicit (&session->completed, completed + answers->submitted, memory_order_relaxed);
  if (answers->done == answers->submitted)
    return;
  g_mutex_lock (&session->taking);
  shmkv_taker_abandon (&session->taker, answers->first + answers->done,
                       answers->submitted - answers->done);
  g_mutex_unlock (&session->taking);
}

/* ------------------------------------------------------------------- call */

static gboolean
submit_one (ShmkvSession *session, const ShmkvRequest *request, Answers *answers, GError **error)
{
  guint64 id;

  if (G_UNLIKELY ((request->flags & SHMKV_FLAG_NO_RESPONSE) != 0))
    {
      g_set_error_literal (error, SHMKV_ERROR, SHMKV_ERROR_INVALID,
                           "a request that wants no response cannot be waited for: it was not "
                           "submitted");
      return FALSE;
    }
  id = shmkv_session_submit (session, request, error);
  if (id == 0)
    return FALSE;
  if (answers->submitted++ == 0)
    answers->first = id;
  return TRUE;
}

/* Waits for all that was submitted, for as long as the session does. */
static gboolean
await_all (ShmkvSession *session, Answers *answers, GError **error)
{
  switch (await (session, answers, answers->submitted, session->timeout_us, error))
    {
    case SHMKV_WAIT_CHANGED:
      return TRUE;
    case SHMKV_WAIT_TIMEOUT:
      set_timeout_error (session, error);
      break;
    case SHMKV_WAIT_FAILED:
      break;
    }
  return FALSE;
}

gboolean
shmkv_session_call (ShmkvSession *session, const ShmkvRequest *request,
                    ShmkvCompletion *completion_out, GError **error)
{
  Answers answers = { .completions = completion_out };
  gboolean answered;

  g_return_val_if_fail (session != NULL, FALSE);
  g_return_val_if_fail (request != NULL, FALSE);
  g_return_val_if_fail (completion_out != NULL, FALSE);

  if (!submit_one (session, request, &answers, error))
    return FALSE;
  answered = shmkv_session_flush (session, error) && await_all (session, &answers, error);
  finish (session, &answers);
  return answered;
}

/* What can be known before is known before anything is submitted. */
static gboolean
check_all (ShmkvSession *session, const ShmkvRequest *requests, gsize n, GError **error)
{
  for (gsize i = 0; i < n; i++)
    if (!shmkv_request_check (session->client, &requests[i], error))
      {
        g_prefix_error (error, "request %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT ": ", i + 1, n);
        return FALSE;
      }
  return TRUE;
}

gboolean
shmkv_session_call_many (ShmkvSession *session, const ShmkvRequest *requests, gsize n,
                         ShmkvCompletion *completions_out, GError **error)
{
  Answers answers = { .completions = completions_out };
  gboolean submitted = TRUE, answered;

  g_return_val_if_fail (session != NULL, FALSE);
  g_return_val_if_fail (requests != NULL || n == 0, FALSE);
  g_return_val_if_fail (completions_out != NULL || n == 0, FALSE);

  if (n > 0)
    memset (completions_out, 0, n * sizeof *completions_out);
  if (!check_all (session, requests, n, error))
    return FALSE;
  /* Where there is no room, answers are moved to the backlog until there is. */
  for (gsize i = 0; i < n && submitted; i++)
    submitted = submit_one (session, &requests[i], &answers, error);
  if (answers.submitted == 0)
    return submitted;
  take_early_answers (session, &answers);
  answered = submitted && shmkv_session_flush (session, error)
             && await_all (session, &answers, error);
  if (!answered)
    take_answers (session, &answers, answers.submitted);
  finish (session, &answers);
  /* What came between the last answer and its end is no answer. */
  if (answers.done < n)
    memset (&completions_out[answers.done], 0, (n - answers.done) * sizeof *completions_out);
  return answered;
}

gboolean
shmkv_session_call_patiently (ShmkvSession *session, const ShmkvRequest *request,
                              gint64 timeout_us, ShmkvCompletion *completion_out, GError **error)
{
  static const ShmkvRequest ping = { .op = SHMKV_OP_PING };
  ShmkvCompletion completions[2] = { { .id = 0 } };
  Answers answers = { .completions = completions };
  gboolean answered = FALSE;

  if (!submit_one (session, request, &answers, error))
    return FALSE;
  if (shmkv_session_flush (session, error))
    switch (await (session, &answers, 1, timeout_us, error))
      {
      case SHMKV_WAIT_CHANGED:
        answered = TRUE;
        break;
      case SHMKV_WAIT_TIMEOUT:
        /* Any request ends the wait. */
        answered = submit_one (session, &ping, &answers, error)
                   && shmkv_session_flush (session, error)
                   && await_all (session, &answers, error);
        break;
      case SHMKV_WAIT_FAILED:
        break;
      }
  finish (session, &answers);
  if (answered)
    *completion_out = completions[0];
  else if (answers.done > 0)
    shmkv_completion_clear (&completions[0]);
  return answered;
}

gboolean
shmkv_session_wait (ShmkvSession *session, const ShmkvDatum *key, guint64 version,
                    gint64 timeout_us, ShmkvCompletion *completion_out, GError **error)
{
  ShmkvRequest request = { .op = SHMKV_OP_WAIT, .value = shmkv_integer (version) };

  g_return_val_if_fail (session != NULL, FALSE);
  g_return_val_if_fail (key != NULL, FALSE);
  g_return_val_if_fail (timeout_us >= -1, FALSE);
  g_return_val_if_fail (completion_out != NULL, FALSE);

  request.key = *key;
  return shmkv_session_call_patiently (session, &request, timeout_us, completion_out, error)
         && shmkv_completion_check (completion_out, error);
}

/* ---------------------------------------------------------------- answers */

gboolean
shmkv_completion_check (ShmkvCompletion *completion, GError **error)
{
  if (!shmkv_status_is_failure (completion->status))
    return TRUE;
  shmkv_error_set_status (error, completion->op, completion->status);
  shmkv_completion_clear (completion);
  return FALSE;
}

gboolean
shmkv_completion_get_integer (ShmkvCompletion *completion, const char *server_name,
                              guint64 *value_out, gboolean *found_out, GError **error)
{
  gboolean found = completion->status == SHMKV_STATUS_OK;

  if (G_UNLIKELY (found && completion->value_kind != SHMKV_KIND_INTEGER))
    {
      if (completion->value_kind == SHMKV_KIND_BYTES)
        g_set_error_literal (error, SHMKV_ERROR, SHMKV_ERROR_WRONG_KIND,
                             "read failed: the value of this key is a byte string, not an integer");
      else
        shmkv_error_set_protocol (error, server_name, "an answer without its value");
      shmkv_completion_clear (completion);
      return FALSE;
    }
  *found_out = found;
  if (found)
    *value_out = completion->value;
  return TRUE;
}

/* --------------------------------------------------- the three for integers */

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
  ShmkvRequest request
    = { .op = SHMKV_OP_INSERT, .key = shmkv_integer (key), .value = shmkv_integer (value) };
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
  ShmkvRequest request = { .op = SHMKV_OP_READ, .key = shmkv_integer (key) };
  ShmkvCompletion completion;

  g_return_val_if_fail (value_out != NULL, FALSE);
  g_return_val_if_fail (found_out != NULL, FALSE);

  return call_checked (session, &request, &completion, error)
         && shmkv_completion_get_integer (&completion, session->client->segment->name, value_out,
                                          found_out, error);
}

gboolean
shmkv_session_delete (ShmkvSession *session, guint64 key, gboolean *found_out, GError **error)
{
  ShmkvRequest request = { .op = SHMKV_OP_DELETE, .key = shmkv_integer (key) };
  ShmkvCompletion completion;

  if (!call_checked (session, &request, &completion, error))
    return FALSE;
  if (found_out != NULL)
    *found_out = completion.status == SHMKV_STATUS_OK;
  return TRUE;
}
