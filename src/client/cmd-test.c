/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs the test routines several times, with twice as many workers each time,
 * and checks every response.  The keys are new ones that begin at a random
 * number; they, and the number of workers, are put back at the end, also after
 * an error or a signal. */

#include "config.h"

#include "client/cli.h"
#include "client/interrupt.h"
#include "client/output.h"
#include "client/progress.h"
#include "client/random.h"
#include "client/report.h"
#include "client/server-info.h"
#include "client/test-lane.h"
#include "client/test-report.h"

#define MAX_THREADS 1024

typedef struct
{
  guint64 items;
  guint64 threads;
  guint64 window;
  guint64 runs;
  guint64 seed;            /* 0: any */
} TestOptions;

typedef struct
{
  const CliContext *context;
  CliTestReport report;
  CliProgress progress;
  GPtrArray *lanes;        /* of CliTestLane */
  guint n_workers;         /* that run now */
} Test;

static gboolean
open_lanes (Test *test, GError **error)
{
  const CliTestReport *report = &test->report;
  guint64 key_base = cli_mix (report->seed);

  for (guint64 i = 0; i < report->threads; i++)
    {
      guint64 n_keys = report->items * (i + 1) / report->threads
                       - report->items * i / report->threads;
      CliTestLane *lane = cli_test_lane_new (test->context->client, key_base, n_keys,
                                             report->window, error);

      if (lane == NULL)
        return FALSE;
      g_ptr_array_add (test->lanes, lane);
      key_base += n_keys;
    }
  return TRUE;
}

static gboolean
set_workers (Test *test, guint n, GError **error)
{
  ShmkvClient *client = test->context->client;

  if (test->n_workers < n
      && !shmkv_client_start_workers (client, n - test->n_workers, &test->n_workers, error))
    return FALSE;
  while (test->n_workers > n)
    {
      if (!shmkv_client_stop_worker (client, &test->n_workers, error))
        return FALSE;
    }
  return TRUE;
}

/* Runs a routine in all lanes at once. */
static gboolean
run_lanes (Test *test, CliRoutine routine, guint64 seed, gboolean stop_at_signal,
           CliTestResult *result, GError **error)
{
  g_autoptr (GArray) tasks = g_array_new (FALSE, FALSE, sizeof (CliCrewTask));
  gboolean done;

  for (guint i = 0; i < test->lanes->len; i++)
    cli_test_lane_prepare (test->lanes->pdata[i], routine, seed + i, tasks);
  done = cli_crew_run ((CliCrewTask *) tasks->data, tasks->len, stop_at_signal, &result->ns, error);
  for (guint i = 0; i < test->lanes->len; i++)
    {
      CliTestLane *lane = test->lanes->pdata[i];

      result->operations += lane->script.n_steps;
      result->wrong += lane->n_wrong;
      cli_test_lane_finish (lane);
    }
  return done;
}

static gboolean
run_routine (Test *test, guint run, CliRoutine routine, GError **error)
{
  CliTestResult *result = &test->report.results[run][routine];

  cli_progress_draw (&test->progress, "run %u of %u, workers: %u, %s", run + 1,
                     (guint) test->report.runs, test->n_workers, cli_routine_get_name (routine));
  result->workers = test->n_workers;
  if (!run_lanes (test, routine, test->report.seed + run * MAX_THREADS, TRUE, result, error))
    return FALSE;

  result->done = TRUE;
  if (!test->context->json)
    return TRUE;
  cli_progress_clear (&test->progress);
  cli_test_report_print_json (test->context, &test->report, run, routine);
  return cli_output_flush (error);
}

/* Whether requests can still be expected to be carried out after `error`
 * (nullable). */
static gboolean
is_usable_after (const GError *error)
{
  return error == NULL || error->domain != SHMKV_ERROR
         || g_error_matches (error, SHMKV_ERROR, SHMKV_ERROR_TOO_MANY);
}

/* Deletes what the routines left behind. */
static gboolean
clean_up (Test *test, GError **error)
{
  CliTestResult ignored = { 0 };

  return run_lanes (test, CLI_ROUTINE_CLEANUP, 0, FALSE, &ignored, error);
}

static gboolean
run_once (Test *test, guint run, GError **error)
{
  gboolean done = set_workers (test, 1u << run, error);

  for (CliRoutine routine = 0; done && routine < CLI_N_ROUTINES; routine++)
    done = run_routine (test, run, routine, error);
  return done && clean_up (test, error);
}

static gboolean
run_all (Test *test, guint n_workers_before, GError **error)
{
  for (guint run = 0; run < test->report.runs; run++)
    {
      if (!run_once (test, run, error))
        return FALSE;
    }
  return set_workers (test, n_workers_before, error);
}

/* As run_all(), but leaves the server as it was in any case. */
static gboolean
run_and_restore (Test *test, GError **error)
{
  g_autoptr (GError) local = NULL;
  guint n_workers_before;

  if (!cli_server_info_get_workers (test->context->client, &n_workers_before, error)
      || !open_lanes (test, error))
    return FALSE;
  test->n_workers = n_workers_before;
  cli_interrupt_catch ();
  if (run_all (test, n_workers_before, &local))
    return TRUE;

  if (is_usable_after (local))
    {
      clean_up (test, NULL);
      set_workers (test, n_workers_before, NULL);
    }
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
report_wrong (Test *test)
{
  for (guint i = 0; i < test->lanes->len; i++)
    {
      const CliTestLane *lane = test->lanes->pdata[i];

      if (lane->first_wrong == NULL)
        continue;
      cli_warn ("the first wrong answer: %s", lane->first_wrong);
      return TRUE;
    }
  return FALSE;
}

static gboolean
check_options (const CliContext *context, const CliArgs *args, gconstpointer options,
               GError **error)
{
  const TestOptions *given = options;

  if (given->threads <= given->items)
    return TRUE;
  g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE,
                       "there must be at least as many items as threads");
  return FALSE;
}

static CliExit
run_test (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const TestOptions *given = options;
  g_autoptr (GPtrArray) lanes
    = g_ptr_array_new_with_free_func ((GDestroyNotify) cli_test_lane_free);
  g_autofree Test *test = g_new0 (Test, 1);
  gboolean done, wrong;

  *test = (Test) { .context = context, .lanes = lanes, .progress = cli_progress_start (context) };
  test->report = (CliTestReport) {
    .items = given->items, .threads = given->threads, .window = given->window,
    .runs = given->runs, .seed = given->seed != 0 ? given->seed : g_random_int ()
  };
  done = run_and_restore (test, error);
  cli_progress_clear (&test->progress);
  wrong = report_wrong (test);
  if (!context->json && test->report.results[0][0].done)
    cli_test_report_print_table (context, &test->report);
  if (!done)
    return CLI_EXIT_FAILED;
  return wrong ? CLI_EXIT_NO : CLI_EXIT_OK;
}

static const TestOptions defaults = { .items = 1000000, .threads = 1, .window = 1024, .runs = 5 };

static const CliOption test_options[] = {
  { "items", 'i', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (TestOptions, items), "N",
    "keys, and operations of a routine (default: 1000000)", 1, G_MAXUINT32 },
  { "threads", 'T', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (TestOptions, threads), "N",
    "client threads, each with a session (default: 1)", 1, MAX_THREADS },
  { "window", 'w', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (TestOptions, window), "N",
    "requests in flight for each thread (default: 1024)", 1, 1 << 30 },
  { "runs", 'r', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (TestOptions, runs), "N",
    "runs, with 1, 2, 4, ... workers (default: 5)", 1, CLI_TEST_MAX_RUNS },
  { "seed", 's', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (TestOptions, seed), "N",
    "repeat the test with the seed that it printed", 1, G_MAXUINT64 },
  { NULL }
};

const CliCommand cli_cmd_test = {
  .name = "test",
  .summary = "Check the server's answers, and time it",
  .description =
    "Runs these routines with 1, 2, 4, 8 and 16 workers, and checks every response:\n"
    "\n"
    "  insert           all keys, which are new\n"
    "  read-sequential  one request in flight, at most 100000 for each thread\n"
    "  read-pipelined   as many as there are keys, at random\n"
    "  delete           all keys\n"
    "  read-deleted     to see that they are gone\n"
    "  mixed            half reads, a quarter inserts, a quarter deletes, at random\n"
    "\n"
    "Each client thread has a second thread that takes and checks the responses.\n"
    "The keys begin at a random number, so that they are nobody else's; they are\n"
    "deleted, and the workers restored, at the end.  Exits with 1 after a wrong\n"
    "answer.",
  .needs_client = TRUE,
  .options = test_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .check = check_options,
  .run = run_test,
};
