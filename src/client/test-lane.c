/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/test-lane.h"

#include "client/cli.h"
#include "client/session.h"

/* Requests between two flushes, and responses taken at once. */
#define SUBMIT_CHUNK 64
#define TAKE_CHUNK 256

/* How long the taking thread waits before it looks whether there is anything
 * to wait for. */
#define SLICE_US (G_USEC_PER_SEC / 10)

CliTestLane *
cli_test_lane_new (ShmkvClient *client, guint64 key_base, guint64 n_keys, guint window,
                   GError **error)
{
  g_autoptr (CliTestLane) lane = g_new0 (CliTestLane, 1);

  lane->window = window;
  lane->n_keys = n_keys;
  lane->next_id = 1;
  lane->model.key_base = key_base;
  lane->model.values = g_try_new0 (guint64, n_keys);
  if (lane->model.values == NULL)
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_FAILED,
                           "there is no memory for so many items");
      return NULL;
    }
  lane->session = shmkv_session_new (client, error);
  return lane->session != NULL ? g_steal_pointer (&lane) : NULL;
}

void
cli_test_lane_free (CliTestLane *lane)
{
  g_clear_pointer (&lane->session, shmkv_session_free);
  g_free (lane->model.values);
  g_free (lane->first_wrong);
  g_free (lane);
}

static void
describe_wrong (CliTestLane *lane, const CliStep *step, const ShmkvCompletion *completion)
{
  lane->first_wrong = g_strdup_printf (
    "%s of key %" G_GUINT64_FORMAT " with ID %" G_GUINT64_FORMAT ": the answer to %s with ID %"
    G_GUINT64_FORMAT " was \"%s\", value %" G_GUINT64_FORMAT,
    shmkv_op_to_string (step->op), step->key, lane->next_id,
    shmkv_op_to_string (completion->op), completion->id,
    shmkv_status_to_string (completion->status), completion->value);
}

static void
check (CliTestLane *lane, CliScript *script, ShmkvCompletion *completion)
{
  CliStep step = cli_script_next (script);
  gboolean right = cli_model_check (&lane->model, &step, completion);

  if (!right || completion->id != lane->next_id)
    {
      lane->n_wrong++;
      if (lane->first_wrong == NULL)
        describe_wrong (lane, &step, completion);
    }
  lane->next_id = completion->id + 1;
}

static guint64
submit (ShmkvSession *session, const CliStep *step, GError **error)
{
  if (step->op == SHMKV_OP_INSERT)
    return shmkv_session_submit_insert (session, step->key, step->value, SHMKV_FLAG_NONE,
                                        step->user_data, error);
  if (step->op == SHMKV_OP_READ)
    return shmkv_session_submit_read (session, step->key, SHMKV_FLAG_NONE, step->user_data, error);
  return shmkv_session_submit_delete (session, step->key, SHMKV_FLAG_NONE, step->user_data, error);
}

static gboolean
submit_chunk (CliTestLane *lane, CliScript *script, guint n, GError **error)
{
  for (guint i = 0; i < n; i++)
    {
      CliStep step = cli_script_next (script);

      if (submit (lane->session, &step, error) == 0)
        return FALSE;
    }
  return shmkv_session_flush (lane->session, error);
}

static gboolean
submit_all (CliCrew *crew, CliTestLane *lane, GError **error)
{
  CliScript script = lane->script;

  while (script.step < script.n_steps && !cli_crew_should_stop (crew))
    {
      guint64 left = script.n_steps - script.step;
      guint room = cli_flow_get_room (&lane->flow, script.step);

      if (room == 0 && !cli_flow_wait (&lane->flow, script.step))
        break;
      if (room > 0 && !submit_chunk (lane, &script, MIN (MIN (room, left), SUBMIT_CHUNK), error))
        return FALSE;
    }
  cli_flow_finish (&lane->flow, script.step);
  return TRUE;
}

static gboolean
run_submitter (CliCrew *crew, gpointer data, GError **error)
{
  CliTestLane *lane = data;
  gboolean done = submit_all (crew, lane, error);

  if (!done)
    cli_flow_abort (&lane->flow);
  return done;
}

/* No response for so long is an error only where one was to come. */
static gboolean
check_patience (CliTestLane *lane, gint64 waited_us, GError **error)
{
  gint64 timeout_us = shmkv_client_get_timeout (shmkv_session_get_client (lane->session));

  if (timeout_us < 0 || waited_us < timeout_us || shmkv_session_get_in_flight (lane->session) == 0)
    return TRUE;
  cli_session_set_timeout_error (lane->session, error);
  return FALSE;
}

static gboolean
take_all (CliTestLane *lane, GError **error)
{
  CliScript script = lane->script;
  ShmkvCompletion completions[TAKE_CHUNK];
  gint64 waited_us = 0;

  while (script.step < script.n_steps && !cli_flow_is_over (&lane->flow, script.step)
         && !cli_flow_is_aborted (&lane->flow))
    {
      gssize n = shmkv_session_take (lane->session, completions, TAKE_CHUNK, SLICE_US, error);

      waited_us = n == 0 ? waited_us + SLICE_US : 0;
      if (n < 0 || !check_patience (lane, waited_us, error))
        return FALSE;
      for (gssize i = 0; i < n; i++)
        check (lane, &script, &completions[i]);
      cli_flow_took (&lane->flow, n);
    }
  return TRUE;
}

static gboolean
run_taker (CliCrew *crew, gpointer data, GError **error)
{
  CliTestLane *lane = data;
  gboolean done = take_all (lane, error);

  if (!done)
    cli_flow_abort (&lane->flow);
  return done;
}

static gboolean
run_one_by_one (CliCrew *crew, gpointer data, GError **error)
{
  CliTestLane *lane = data;
  CliScript submitted = lane->script, checked = lane->script;

  while (checked.step < checked.n_steps && !cli_crew_should_stop (crew))
    {
      CliStep step = cli_script_next (&submitted);
      const ShmkvRequest request = {
        .op = step.op,
        .key = shmkv_integer (step.key),
        .user_data = step.user_data,
      };
      ShmkvCompletion completion;

      if (!shmkv_session_call (lane->session, &request, &completion, error))
        return FALSE;
      check (lane, &checked, &completion);
    }
  return TRUE;
}

static void
add_task (GArray *tasks, CliCrewFunc func, CliTestLane *lane)
{
  const CliCrewTask task = { func, lane };

  g_array_append_val (tasks, task);
}

void
cli_test_lane_prepare (CliTestLane *lane, CliRoutine routine, guint64 seed, GArray *tasks)
{
  lane->script = cli_script_begin (routine, lane->model.key_base, lane->n_keys, seed);
  lane->n_wrong = 0;
  cli_flow_init (&lane->flow, lane->window);
  if (routine == CLI_ROUTINE_READ_SEQUENTIAL)
    {
      add_task (tasks, run_one_by_one, lane);
      return;
    }
  add_task (tasks, run_submitter, lane);
  add_task (tasks, run_taker, lane);
}

void
cli_test_lane_finish (CliTestLane *lane)
{
  cli_flow_clear (&lane->flow);
}
