/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/clock.h"
#include "client/number.h"
#include "client/output.h"
#include "client/statistics.h"
#include "client/stats-report.h"

#include <math.h>

/* No --count was given. */
#define NO_COUNT G_MAXUINT64

typedef struct
{
  gboolean sessions;
  gboolean prometheus;
  double watch;            /* 0: once */
  guint64 count;
} StatsOptions;

/* From one print to the next. */
typedef struct
{
  const CliContext *context;
  const StatsOptions *options;
  CliStatistics *before;   /* NULL the first time */
  gint64 before_ns;
} Stats;

static gboolean
check_stats (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const StatsOptions *given = options;
  const char *other = context->json ? "--json" : "--watch";

  if (given->watch > 0 && !isfinite (given->watch))
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE,
                           "--watch needs a number of seconds that end");
      return FALSE;
    }
  if (given->watch == 0 && given->count != NO_COUNT)
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE, "--count needs --watch");
      return FALSE;
    }
  if (!given->prometheus || (!context->json && given->watch == 0))
    return TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "--prometheus and %s do not go together",
               other);
  return FALSE;
}

static gboolean
print_sessions (Stats *stats, GError **error)
{
  g_autoptr (ShmkvPairs) sessions = shmkv_client_session_stats (stats->context->client, error);

  if (sessions == NULL)
    return FALSE;
  cli_stats_print_sessions (stats->context, sessions);
  return TRUE;
}

static void
print_server (Stats *stats, const ShmkvPairs *pairs)
{
  gint64 now_ns = cli_clock_ns ();
  CliStatistics *statistics = cli_statistics_new (pairs);
  const CliStatsBefore before
    = { stats->before, (double) (now_ns - stats->before_ns) / 1e9 };

  if (stats->context->json)
    cli_stats_print_json (stats->context, pairs, statistics, &before);
  else
    cli_stats_print_text (stats->context, statistics, &before);
  g_clear_pointer (&stats->before, cli_statistics_free);
  stats->before = statistics;
  stats->before_ns = now_ns;
}

static gboolean
print_prometheus (Stats *stats, GError **error)
{
  g_autoptr (ShmkvPairs) pairs = shmkv_client_stats (stats->context->client, error);
  g_autoptr (ShmkvPairs) sessions = NULL;
  g_autoptr (CliStatistics) statistics = NULL;

  if (pairs != NULL && stats->options->sessions)
    sessions = shmkv_client_session_stats (stats->context->client, error);
  if (pairs == NULL || (stats->options->sessions && sessions == NULL))
    return FALSE;
  statistics = cli_statistics_new (pairs);
  cli_stats_print_prometheus (stats->context, statistics, sessions);
  return TRUE;
}

static gboolean
print_once (Stats *stats, GError **error)
{
  g_autoptr (ShmkvPairs) pairs = NULL;

  if (stats->options->prometheus)
    return print_prometheus (stats, error);
  if (stats->options->sessions)
    return print_sessions (stats, error);
  pairs = shmkv_client_stats (stats->context->client, error);
  if (pairs == NULL)
    return FALSE;
  print_server (stats, pairs);
  return TRUE;
}

/* Until it is interrupted, or has been printed often enough. */
static gboolean
print_again_and_again (Stats *stats, GError **error)
{
  for (guint64 i = 0; i < stats->options->count; i++)
    {
      if (i > 0)
        {
          g_usleep ((gulong) cli_seconds_to_usec (stats->options->watch));
          if (!stats->context->json)
            cli_print (stats->context, "\n");
        }
      if (!print_once (stats, error) || !cli_output_flush (error))
        return FALSE;
    }
  return TRUE;
}

static CliExit
run_stats (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const StatsOptions *given = options;
  Stats stats = { .context = context, .options = given };
  gboolean done
    = given->watch > 0 ? print_again_and_again (&stats, error) : print_once (&stats, error);

  g_clear_pointer (&stats.before, cli_statistics_free);
  return done ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

static const StatsOptions defaults = { .count = NO_COUNT };

static const CliOption stats_options[] = {
  { "sessions", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (StatsOptions, sessions), NULL,
    "those of each session" },
  { "prometheus", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (StatsOptions, prometheus), NULL,
    "in the text format of Prometheus" },
  { "watch", 'w', CLI_OPTION_SECONDS, G_STRUCT_OFFSET (StatsOptions, watch), "SECONDS",
    "again and again, with rates per second" },
  { "count", 'c', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (StatsOptions, count), "N",
    "with --watch, end after N times", 1, NO_COUNT - 1 },
  { NULL }
};

const CliCommand cli_cmd_stats = {
  .name = "stats",
  .summary = "Print the server's statistics",
  .description =
    "Prints a line \"NAME VALUE\" for each, in groups, and how long the server took to\n"
    "serve a batch of requests, in nanoseconds: half of those that it timed took no\n"
    "longer than service_p50_ns, and so on, to the next power of two.  With --json one\n"
    "object for all, with --sessions a line or an object for each open session.",
  .needs_client = TRUE,
  .options = stats_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .check = check_stats,
  .run = run_stats,
};
