/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Measures one kind of operation.  Every thread has a session, on which it both
 * submits and takes.  The phases: insert the keys, warm up, measure, delete the
 * keys; the last also after an error or a signal. */

#include "config.h"

#include "client/bench-loop.h"
#include "client/bench-report.h"
#include "client/cli.h"
#include "client/interrupt.h"
#include "client/output.h"
#include "client/progress.h"
#include "client/random.h"
#include "client/server-info.h"

#define MAX_THREADS 1024
#define DEFAULT_SECONDS 2.0

/* For what is not measured. */
#define SWEEP_WINDOW 1024

typedef struct
{
  char *op;
  char *distribution;
  guint64 keys;
  guint64 ops;             /* 0: no limit */
  guint64 threads;
  guint64 window;
  guint64 seed;            /* 0: any */
  double seconds;          /* 0: no limit */
  double warmup;           /* 0: none */
  gboolean no_preload;
  gboolean keep;
} BenchOptions;

typedef struct
{
  const CliContext *context;
  const BenchOptions *given;
  CliBenchOp op;
  CliKeysDistribution distribution;
  guint64 seed;
  CliProgress progress;
  CliBenchLoop *loops;     /* of given->threads */
} Bench;

static const char *
get_distribution (const BenchOptions *given)
{
  return given->distribution != NULL ? given->distribution : "uniform";
}

/* Thread `index`'s share of `n`. */
static guint64
get_share (const Bench *bench, guint64 n, guint64 index)
{
  guint64 threads = bench->given->threads;

  return n / threads + (index < n % threads ? 1 : 0);
}

static gboolean
open_sessions (Bench *bench, GError **error)
{
  for (guint64 i = 0; i < bench->given->threads; i++)
    {
      CliBenchLoop *loop = &bench->loops[i];

      loop->session = shmkv_session_new (bench->context->client, error);
      if (loop->session == NULL)
        return FALSE;
      loop->next_id = 1;
      loop->key_base = cli_mix (bench->seed);
    }
  return TRUE;
}

static void
close_sessions (Bench *bench)
{
  for (guint64 i = 0; i < bench->given->threads; i++)
    g_clear_pointer (&bench->loops[i].session, shmkv_session_free);
}

/* Runs all loops, which are set up but for the window. */
static gboolean
run_loops (Bench *bench, guint64 window, gboolean stop_at_signal, gint64 *ns_out, GError **error)
{
  guint n = (guint) bench->given->threads;
  g_autofree CliCrewTask *tasks = g_new (CliCrewTask, n);

  for (guint i = 0; i < n; i++)
    {
      CliBenchLoop *loop = &bench->loops[i];

      tasks[i] = (CliCrewTask) { cli_bench_loop_run, loop };
      loop->window = (guint) window;
      loop->chunk = cli_bench_get_chunk (loop->window);
      loop->ops = loop->errors = loop->wrong = loop->missing = 0;
      loop->latency = (CliHistogram) { 0 };
    }
  return cli_crew_run (tasks, n, stop_at_signal, ns_out, error);
}

/* Inserts or deletes every key once; each thread has its share. */
static gboolean
sweep (Bench *bench, CliBenchOp op, gboolean stop_at_signal, GError **error)
{
  const CliKeysDistribution sequential = { CLI_KEYS_SEQUENTIAL, 0 };
  guint64 first = 0;
  gint64 ignored_ns;

  for (guint64 i = 0; i < bench->given->threads; i++)
    {
      CliBenchLoop *loop = &bench->loops[i];

      cli_keygen_init (&loop->keygen, &sequential, bench->given->keys, 0, first);
      loop->op = op;
      loop->has_all_keys = FALSE;
      loop->max_ops = get_share (bench, bench->given->keys, i);
      loop->max_ns = 0;
      first += loop->max_ops;
    }
  return run_loops (bench, SWEEP_WINDOW, stop_at_signal, &ignored_ns, error);
}

/* All keys are there, and nobody deletes them. */
static gboolean
are_keys_certain (const Bench *bench)
{
  return !bench->given->no_preload && bench->op != CLI_BENCH_DELETE;
}

static gboolean
run_work (Bench *bench, guint64 ops, double seconds, guint64 salt, gint64 *ns_out, GError **error)
{
  guint64 keys = bench->given->keys;

  for (guint64 i = 0; i < bench->given->threads; i++)
    {
      CliBenchLoop *loop = &bench->loops[i];
      guint64 first = (guint64) ((double) i / bench->given->threads * keys);

      cli_keygen_init (&loop->keygen, &bench->distribution, keys,
                       cli_mix (bench->seed ^ cli_mix (salt + i)), first);
      loop->op = bench->op;
      loop->has_all_keys = are_keys_certain (bench);
      loop->max_ops = ops > 0 ? get_share (bench, ops, i) : G_MAXUINT64;
      loop->max_ns = (gint64) (seconds * 1e9);
    }
  return run_loops (bench, bench->given->window, TRUE, ns_out, error);
}

static gboolean
preload (Bench *bench, GError **error)
{
  if (bench->given->no_preload || bench->op == CLI_BENCH_PING)
    return TRUE;
  cli_progress_draw (&bench->progress, "inserting %" G_GUINT64_FORMAT " keys", bench->given->keys);
  if (!sweep (bench, CLI_BENCH_INSERT, TRUE, error))
    return FALSE;
  for (guint64 i = 0; i < bench->given->threads; i++)
    {
      if (bench->loops[i].errors > 0)
        {
          g_set_error_literal (error, CLI_ERROR, CLI_ERROR_FAILED,
                               "the server could not take all the keys");
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
warm_up (Bench *bench, GError **error)
{
  gint64 ignored_ns;

  if (bench->given->warmup <= 0)
    return TRUE;
  cli_progress_draw (&bench->progress, "warming up");
  return run_work (bench, 0, bench->given->warmup, MAX_THREADS, &ignored_ns, error);
}

static gboolean
measure (Bench *bench, CliBenchReport *report, GError **error)
{
  const BenchOptions *given = bench->given;
  double seconds = given->ops == 0 && given->seconds <= 0 ? DEFAULT_SECONDS : given->seconds;

  cli_progress_draw (&bench->progress, "measuring");
  if (!run_work (bench, given->ops, seconds, 0, &report->ns, error))
    return FALSE;
  for (guint64 i = 0; i < given->threads; i++)
    {
      const CliBenchLoop *loop = &bench->loops[i];

      report->ops += loop->ops;
      report->errors += loop->errors;
      report->wrong += loop->wrong;
      report->missing += loop->missing;
      cli_histogram_merge (&report->latency, &loop->latency);
    }
  return TRUE;
}

/* Not after an error of the library: the server may not answer any more. */
static void
clean_up (Bench *bench, const GError *error)
{
  if (bench->given->keep || bench->op == CLI_BENCH_PING
      || (error != NULL && error->domain == SHMKV_ERROR))
    return;
  cli_progress_draw (&bench->progress, "deleting the keys");
  sweep (bench, CLI_BENCH_DELETE, FALSE, NULL);
}

static gboolean
run_phases (Bench *bench, CliBenchReport *report, GError **error)
{
  g_autoptr (GError) local = NULL;

  cli_interrupt_catch ();
  if (preload (bench, &local) && warm_up (bench, &local))
    measure (bench, report, &local);
  clean_up (bench, local);
  cli_progress_clear (&bench->progress);
  if (local == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
print_header (const CliContext *context, const CliBenchReport *report, GError **error)
{
  cli_bench_report_print_header (context, report);
  return cli_output_flush (error);
}

static gboolean
run_and_report (Bench *bench, GError **error)
{
  const BenchOptions *given = bench->given;
  g_autofree CliBenchReport *report = g_new0 (CliBenchReport, 1);
  gboolean done;

  *report = (CliBenchReport) {
    .op = given->op, .distribution = get_distribution (given),
    .keys = given->keys, .threads = given->threads, .window = given->window, .seed = bench->seed
  };
  done = cli_server_info_get_workers (bench->context->client, &report->workers, error)
         && open_sessions (bench, error) && print_header (bench->context, report, error)
         && run_phases (bench, report, error);
  close_sessions (bench);
  if (done)
    cli_bench_report_print (bench->context, report);
  return done;
}

static gboolean
check_options (const CliContext *context, const CliArgs *args, gconstpointer options,
               GError **error)
{
  const BenchOptions *given = options;
  CliBenchOp op;
  CliKeysDistribution distribution;

  if (given->op != NULL)
    return cli_bench_op_parse (given->op, &op, error)
           && cli_keys_parse (get_distribution (given), &distribution, error);
  g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE, "what to measure? Give --op=OP");
  return FALSE;
}

static CliExit
run_bench (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const BenchOptions *given = options;
  g_autofree CliBenchLoop *loops = g_new0 (CliBenchLoop, given->threads);
  Bench bench = { .context = context, .given = given, .loops = loops,
                  .seed = given->seed != 0 ? given->seed : g_random_int (),
                  .progress = cli_progress_start (context) };

  if (!cli_bench_op_parse (given->op, &bench.op, error)
      || !cli_keys_parse (get_distribution (given), &bench.distribution, error)
      || !run_and_report (&bench, error))
    return CLI_EXIT_FAILED;
  return CLI_EXIT_OK;
}

static const BenchOptions defaults = { .keys = 1000000, .threads = 1, .window = 1024 };

#define OPTION(member) G_STRUCT_OFFSET (BenchOptions, member)

static const CliOption bench_options[] = {
  { "op", 'o', CLI_OPTION_TEXT, OPTION (op), "OP", "insert, read, delete, mixed or ping" },
  { "keys", 'k', CLI_OPTION_NUMBER, OPTION (keys), "N", "how many keys (default: 1000000)", 1,
    G_MAXUINT32 },
  { "ops", 0, CLI_OPTION_NUMBER, OPTION (ops), "N", "stop after N operations", 1, G_MAXUINT64 },
  { "seconds", 0, CLI_OPTION_SECONDS, OPTION (seconds), "SECONDS",
    "stop after so long (default: 2, or until --ops)" },
  { "warmup", 0, CLI_OPTION_SECONDS, OPTION (warmup), "SECONDS",
    "do the same before without measuring" },
  { "threads", 'T', CLI_OPTION_NUMBER, OPTION (threads), "N",
    "client threads, each with a session (default: 1)", 1, MAX_THREADS },
  { "window", 'w', CLI_OPTION_NUMBER, OPTION (window), "N",
    "requests in flight for each thread (default: 1024)", 1, CLI_BENCH_MAX_WINDOW },
  { "distribution", 'd', CLI_OPTION_TEXT, OPTION (distribution), "D",
    "uniform (default), sequential or zipf:THETA" },
  { "no-preload", 0, CLI_OPTION_FLAG, OPTION (no_preload), NULL,
    "do not insert the keys before" },
  { "keep", 0, CLI_OPTION_FLAG, OPTION (keep), NULL, "do not delete the keys afterwards" },
  { "seed", 's', CLI_OPTION_NUMBER, OPTION (seed), "N",
    "chooses the keys, which are the same for the same N", 1, G_MAXUINT64 },
  { NULL }
};

const CliCommand cli_cmd_bench = {
  .name = "bench",
  .summary = "Measure one kind of operation",
  .description =
    "Inserts the keys, does one kind of operation on them with many in flight, checks\n"
    "every answer, prints how long it took, and deletes the keys.  \"mixed\" is half\n"
    "reads, half inserts.  With --window=1 the latency is that of each request;\n"
    "otherwise it is that of a chunk, from before its first request is submitted until\n"
    "its last response was taken: a chunk is a quarter of the window, at most 64.\n"
    "The keys begin at a number that the seed decides.  For several processes with the\n"
    "same keys, give all the same --seed, one --keep, and then the others --no-preload\n"
    "and --keep.",
  .needs_client = TRUE,
  .options = bench_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .check = check_options,
  .run = run_bench,
};
