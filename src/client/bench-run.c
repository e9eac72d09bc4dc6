/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/bench-run.h"

#include "client/bench-scan.h"
#include "client/interrupt.h"
#include "client/progress.h"
#include "client/random.h"

#include <math.h>
#include <sys/resource.h>

/* For what is not measured. */
#define SWEEP_WINDOW 1024

/* An open loop that is later than this at the end did not keep up; or than a
 * hundredth of the time that it ran. */
#define LATE_NS 1000000

struct _CliBench
{
  const CliContext *context;
  const CliBenchSettings *settings;
  const CliServerInfo *server;
  CliProgress progress;
  GArray *cursors;         /* NULL before they are needed */
  CliBenchLoop *loops;     /* of settings->threads */
};

/* Thread `index`'s share of `n`. */
static guint64
get_share (const CliBench *bench, guint64 n, guint64 index)
{
  guint64 threads = bench->settings->threads;

  return n / threads + (index < n % threads ? 1 : 0);
}

CliBench *
cli_bench_new (const CliContext *context, const CliBenchSettings *settings,
               const CliServerInfo *server, GError **error)
{
  g_autoptr (CliBench) bench = g_new0 (CliBench, 1);

  bench->context = context;
  bench->settings = settings;
  bench->server = server;
  bench->progress = cli_progress_start (context);
  bench->loops = g_new0 (CliBenchLoop, settings->threads);
  for (guint64 i = 0; i < settings->threads; i++)
    {
      CliBenchLoop *loop = &bench->loops[i];

      loop->session = shmkv_session_new (context->client, error);
      if (loop->session == NULL)
        return NULL;
      loop->next_id = 1;
      loop->key_base = cli_mix (settings->seed);
      loop->data = &settings->data;
    }
  return g_steal_pointer (&bench);
}

void
cli_bench_free (CliBench *bench)
{
  for (guint64 i = 0; i < bench->settings->threads; i++)
    g_clear_pointer (&bench->loops[i].session, shmkv_session_free);
  g_clear_pointer (&bench->cursors, g_array_unref);
  g_free (bench->loops);
  g_free (bench);
}

/* Runs all loops, which are set up but for the window. */
static gboolean
run_loops (CliBench *bench, guint64 window, gboolean stop_at_signal, gint64 *ns_out,
           GError **error)
{
  guint n = (guint) bench->settings->threads;
  g_autofree CliCrewTask *tasks = g_new (CliCrewTask, n);

  for (guint i = 0; i < n; i++)
    {
      CliBenchLoop *loop = &bench->loops[i];

      tasks[i] = (CliCrewTask) { cli_bench_loop_run, loop };
      loop->window = (guint) window;
      loop->chunk = cli_bench_get_chunk (loop->window);
      loop->ops = loop->errors = loop->wrong = loop->missing = loop->pairs = 0;
      loop->behind_ns = 0;
      loop->latency = (CliHistogram) { 0 };
    }
  return cli_crew_run (tasks, n, stop_at_signal, ns_out, error);
}

/* The most keys that a thread added. */
static guint64
get_most_added (const CliBench *bench)
{
  guint64 most = 0;

  for (guint64 i = 0; i < bench->settings->threads; i++)
    most = MAX (most, bench->loops[i].keygen.n_added);
  return most;
}

/* Inserts or deletes `keys` keys once; each thread has its share. */
static gboolean
sweep (CliBench *bench, CliBenchAction action, guint64 keys, gboolean stop_at_signal,
       GError **error)
{
  const CliKeysDistribution sequential = { CLI_KEYS_SEQUENTIAL, 0 };
  const CliBenchWork work = cli_bench_work_of (action);
  guint64 first = 0;
  gint64 ignored_ns;

  for (guint64 i = 0; i < bench->settings->threads; i++)
    {
      CliBenchLoop *loop = &bench->loops[i];

      cli_keygen_init (&loop->keygen, &sequential, keys, 0, first);
      loop->work = &work;
      loop->has_all_keys = FALSE;
      loop->max_ops = get_share (bench, keys, i);
      loop->max_ns = 0;
      loop->period_ns = 0;
      first += loop->max_ops;
    }
  return run_loops (bench, SWEEP_WINDOW, stop_at_signal, &ignored_ns, error);
}

/* All keys are there: nobody deletes them, and none had to make room. */
static gboolean
are_keys_certain (const CliBench *bench)
{
  return !bench->settings->no_preload && cli_bench_work_keeps_keys (&bench->settings->work)
         && bench->server->max_memory == 0;
}

static void
set_pace (const CliBench *bench, CliBenchLoop *loop, guint64 index)
{
  const CliBenchSettings *settings = bench->settings;

  loop->period_ns = 0;
  if (settings->rate == 0)
    return;
  loop->period_ns = (double) settings->threads * 1e9 / (double) settings->rate;
  loop->first_ns = loop->period_ns * (double) index / (double) settings->threads;
}

static gboolean
run_work (CliBench *bench, guint64 ops, double seconds, guint64 salt, gint64 *ns_out,
          GError **error)
{
  const CliBenchSettings *settings = bench->settings;

  for (guint64 i = 0; i < settings->threads; i++)
    {
      CliBenchLoop *loop = &bench->loops[i];
      guint64 first = (guint64) ((double) i / (double) settings->threads * (double) settings->keys);
      guint64 n_added = loop->keygen.n_added;

      cli_keygen_init (&loop->keygen, &settings->distribution, settings->keys,
                       cli_mix (settings->seed ^ cli_mix (salt + i)), first);
      cli_keygen_share (&loop->keygen, i, settings->threads, n_added);
      loop->work = &settings->work;
      loop->cursors = bench->cursors;
      loop->has_all_keys = are_keys_certain (bench);
      loop->max_ops = ops > 0 ? get_share (bench, ops, i) : G_MAXUINT64;
      loop->max_ns = (gint64) ceil (seconds * 1e9);
      set_pace (bench, loop, i);
    }
  return run_loops (bench, settings->window, TRUE, ns_out, error);
}

static gboolean
preload (CliBench *bench, GError **error)
{
  const CliBenchSettings *settings = bench->settings;

  if (settings->no_preload || !cli_bench_work_has_keys (&settings->work))
    return TRUE;
  cli_progress_draw (&bench->progress, "inserting %" G_GUINT64_FORMAT " keys", settings->keys);
  if (!sweep (bench, CLI_BENCH_INSERT, settings->keys, TRUE, error))
    return FALSE;
  for (guint64 i = 0; i < settings->threads; i++)
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
find_cursors (CliBench *bench, GError **error)
{
  CliBenchLoop *loop = &bench->loops[0];

  if (bench->settings->work.percents[CLI_BENCH_SCAN] == 0)
    return TRUE;
  cli_progress_draw (&bench->progress, "looking for places to scan");
  bench->cursors = cli_bench_scan_find_cursors (loop->session, error);
  if (bench->cursors == NULL)
    return FALSE;
  loop->next_id += bench->cursors->len;
  return TRUE;
}

static gboolean
warm_up (CliBench *bench, GError **error)
{
  gint64 ignored_ns;

  if (bench->settings->warmup <= 0)
    return TRUE;
  cli_progress_draw (&bench->progress, "warming up");
  return run_work (bench, 0, bench->settings->warmup, CLI_BENCH_MAX_THREADS, &ignored_ns, error);
}

/* User and system time of this process. */
static double
get_own_cpu_ns (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9
         + (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

static void
add_up (const CliBench *bench, CliBenchResult *result)
{
  for (guint64 i = 0; i < bench->settings->threads; i++)
    {
      const CliBenchLoop *loop = &bench->loops[i];

      result->ops += loop->ops;
      result->errors += loop->errors;
      result->wrong += loop->wrong;
      result->missing += loop->missing;
      result->pairs += loop->pairs;
      result->behind_ns = MAX (result->behind_ns, loop->behind_ns);
      cli_histogram_merge (&result->latency, &loop->latency);
    }
}

static gboolean
measure (CliBench *bench, CliBenchResult *result, GError **error)
{
  const CliBenchSettings *settings = bench->settings;
  ShmkvClient *client = bench->context->client;
  CliServerInfo before, after;
  double own_ns, n;

  cli_progress_draw (&bench->progress, "measuring");
  if (!cli_server_info_get (client, &before, error))
    return FALSE;
  own_ns = get_own_cpu_ns ();
  if (!run_work (bench, settings->ops, settings->seconds, 0, &result->ns, error))
    return FALSE;
  own_ns = get_own_cpu_ns () - own_ns;
  if (!cli_server_info_get (client, &after, error))
    return FALSE;
  add_up (bench, result);
  n = (double) MAX (result->ops, 1);
  result->client_cpu_ns = own_ns / n;
  result->server_cpu_ns
    = before.tells_cpu && after.tells_cpu ? (double) (after.cpu_us - before.cpu_us) * 1e3 / n : -1;
  return TRUE;
}

/* Not after an error of the library: the server may not answer any more. */
static void
clean_up (CliBench *bench, const GError *error)
{
  const CliBenchSettings *settings = bench->settings;

  if (settings->keep || !cli_bench_work_has_keys (&settings->work)
      || (error != NULL && error->domain == SHMKV_ERROR))
    return;
  cli_progress_draw (&bench->progress, "deleting the keys");
  sweep (bench, CLI_BENCH_DELETE, settings->keys + get_most_added (bench) * settings->threads,
         FALSE, NULL);
}

gboolean
cli_bench_run (CliBench *bench, CliBenchResult *result, GError **error)
{
  g_autoptr (GError) local = NULL;

  cli_interrupt_catch ();
  if (preload (bench, &local) && find_cursors (bench, &local) && warm_up (bench, &local))
    measure (bench, result, &local);
  clean_up (bench, local);
  cli_progress_clear (&bench->progress);
  if (local == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

gboolean
cli_bench_has_kept_up (const CliBenchSettings *settings, const CliBenchResult *result)
{
  return settings->rate == 0 || result->behind_ns <= MAX (LATE_NS, result->ns / 100);
}
