/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Measures one kind of operation, or a mix of them; see bench-run.h. */

#include "config.h"

#include "client/bench-plot.h"
#include "client/bench-report.h"
#include "client/bench-run.h"
#include "client/cli.h"
#include "client/output.h"
#include "client/report.h"

#include <math.h>

#define DEFAULT_SECONDS 2.0

/* --plot=text */
#define PLOT_TEXT "text"

typedef struct
{
  char *op;
  char *workload;
  char *distribution;
  char *key_size;
  char *value_size;
  char *histogram;
  char *plot;
  guint64 reads;
  guint64 keys;
  guint64 ops;             /* 0: no limit */
  guint64 threads;
  guint64 window;
  guint64 rate;            /* 0: as fast as it goes */
  guint64 seed;            /* 0: any */
  double seconds;          /* 0: no limit */
  double warmup;           /* 0: none */
  gboolean csv;
  gboolean no_preload;
  gboolean keep;
} BenchOptions;

/* ------------------------------------------------------------------ options */

#define VALUE_SIZE_MAX (G_GUINT64_CONSTANT (1) << 29)

static gboolean
parse_key_size (const char *text, gsize *size_out, GError **error)
{
  gsize min, max;

  if (!cli_bench_data_parse_size ("--key-size", text, SHMKV_KEY_MAX, &min, &max, error))
    return FALSE;
  *size_out = max;
  if (min == max && (max == 0 || max >= CLI_BENCH_KEY_SIZE_MIN))
    return TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "--key-size '%.100s' is not possible; it is one number, 0 or at least %u", text,
               CLI_BENCH_KEY_SIZE_MIN);
  return FALSE;
}

static gboolean
parse_data (const BenchOptions *given, CliBenchData *data, GError **error)
{
  if (given->key_size != NULL && !parse_key_size (given->key_size, &data->key_size, error))
    return FALSE;
  return given->value_size == NULL
         || cli_bench_data_parse_size ("--value-size", given->value_size, VALUE_SIZE_MAX,
                                       &data->value_min, &data->value_max, error);
}

/* What was given, but for what is made for a run. */
static gboolean
parse_settings (const BenchOptions *given, CliBenchSettings *settings, GError **error)
{
  *settings = (CliBenchSettings) {
    .keys = given->keys, .ops = given->ops, .seconds = given->seconds, .warmup = given->warmup,
    .threads = given->threads, .window = given->window, .rate = given->rate,
    .seed = given->seed != 0 ? given->seed : g_random_int (),
    .no_preload = given->no_preload, .keep = given->keep
  };
  if (given->ops == 0 && given->seconds <= 0)
    settings->seconds = DEFAULT_SECONDS;
  if (!cli_bench_work_parse (given->op, given->workload, given->reads, &settings->work, error))
    return FALSE;
  settings->distribution_name
    = given->distribution != NULL ? given->distribution : settings->work.distribution;
  return cli_keys_parse (settings->distribution_name, &settings->distribution, error)
         && parse_data (given, &settings->data, error);
}

static gboolean
is_plot_text (const BenchOptions *given)
{
  return given->plot != NULL && g_str_equal (given->plot, PLOT_TEXT);
}

static gboolean
refuse_pair (const char *a, const char *b, GError **error)
{
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "%s and %s do not go together", a, b);
  return FALSE;
}

static gboolean
check_outputs (const CliContext *context, const BenchOptions *given, GError **error)
{
  if (given->csv && context->json)
    return refuse_pair ("--csv", "--json", error);
  if (is_plot_text (given))
    return given->csv || context->json
             ? refuse_pair ("--plot=text", given->csv ? "--csv" : "--json", error) : TRUE;
  return given->plot == NULL || cli_bench_plot_check_name (given->plot, error);
}

static gboolean
check_options (const CliContext *context, const CliArgs *args, gconstpointer options,
               GError **error)
{
  const BenchOptions *given = options;
  CliBenchSettings settings;

  if (!isfinite (given->seconds) || !isfinite (given->warmup))
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE,
                           "--seconds and --warmup need a number of seconds that end");
      return FALSE;
    }
  return parse_settings (given, &settings, error) && check_outputs (context, given, error);
}

/* ---------------------------------------------------------------------- run */

/* Whatever would be in vain without is looked for before. */
static gboolean
check_surroundings (const CliContext *context, const BenchOptions *given,
                    const CliBenchSettings *settings, GError **error)
{
  guint64 max_value = shmkv_client_get_max_value (context->client);

  if (settings->data.value_max > max_value)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED,
                   "--value-size: values of %" G_GSIZE_FORMAT " bytes are longer than the server "
                   "takes, which is %" G_GUINT64_FORMAT "; its option --max-value sets that",
                   settings->data.value_max, max_value);
      return FALSE;
    }
  if (given->histogram != NULL && !cli_bench_can_write (given->histogram, error))
    return FALSE;
  return given->plot == NULL || is_plot_text (given)
         || cli_bench_plot_can_draw (given->plot, error);
}

static gboolean
plot (const CliContext *context, const BenchOptions *given, const CliBenchSettings *settings,
      const CliBenchResult *result, GError **error)
{
  g_autofree char *title = NULL;

  if (given->plot == NULL)
    return TRUE;
  if (is_plot_text (given))
    {
      cli_bench_plot_print (context, &result->latency);
      return TRUE;
    }
  title = g_strdup_printf ("shmkv %s: %s, %" G_GUINT64_FORMAT " keys, threads: %" G_GUINT64_FORMAT
                           ", window %" G_GUINT64_FORMAT,
                           shmkv_version (), settings->work.name, settings->keys,
                           settings->threads, settings->window);
  return cli_bench_plot_draw (given->plot, title, &result->latency, error);
}

static CliExit
judge (const CliBenchResult *result)
{
  if (result->wrong > 0)
    {
      cli_warn ("%" G_GUINT64_FORMAT " answers were wrong", result->wrong);
      return CLI_EXIT_NO;
    }
  if (result->errors > 0)
    {
      cli_warn ("the server reported %" G_GUINT64_FORMAT " errors", result->errors);
      return CLI_EXIT_FAILED;
    }
  return CLI_EXIT_OK;
}

static CliBenchFormat
get_format (const CliContext *context, const BenchOptions *given)
{
  if (given->csv)
    return CLI_BENCH_CSV;
  return context->json ? CLI_BENCH_JSON : CLI_BENCH_TEXT;
}

static gboolean
print_header (const CliContext *context, CliBenchFormat format, const CliBenchSettings *settings,
              const CliServerInfo *server, GError **error)
{
  cli_bench_report_print_header (context, format, settings, server);
  return cli_output_flush (error);
}

static gboolean
measure (const CliContext *context, CliBenchFormat format, const CliBenchSettings *settings,
         const CliServerInfo *server, CliBenchResult *result, GError **error)
{
  g_autoptr (CliBench) bench = cli_bench_new (context, settings, server, error);

  return bench != NULL && print_header (context, format, settings, server, error)
         && cli_bench_run (bench, result, error);
}

static CliExit
measure_and_report (const CliContext *context, const BenchOptions *given,
                    const CliBenchSettings *settings, GError **error)
{
  g_autofree CliBenchResult *result = g_new0 (CliBenchResult, 1);
  CliBenchFormat format = get_format (context, given);
  CliServerInfo server;

  if (!check_surroundings (context, given, settings, error)
      || !cli_server_info_get (context->client, &server, error)
      || !measure (context, format, settings, &server, result, error))
    return CLI_EXIT_FAILED;
  cli_bench_report_print (context, format, settings, &server, result);
  if ((given->histogram != NULL
       && !cli_bench_plot_write_hgrm (given->histogram, &result->latency, error))
      || !plot (context, given, settings, result, error))
    return CLI_EXIT_FAILED;
  return judge (result);
}

static CliExit
run_bench (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const BenchOptions *given = options;
  CliBenchSettings settings;
  CliExit status;

  if (!parse_settings (given, &settings, error))
    return CLI_EXIT_FAILED;
  cli_bench_data_init (&settings.data);
  status = measure_and_report (context, given, &settings, error);
  cli_bench_data_clear (&settings.data);
  return status;
}

static const BenchOptions defaults
  = { .keys = 1000000, .threads = 1, .window = 1024, .reads = CLI_BENCH_NO_READS };

#define OPTION(member) G_STRUCT_OFFSET (BenchOptions, member)

static const CliOption bench_options[] = {
  { "op", 'o', CLI_OPTION_TEXT, OPTION (op), "OP", "insert, read, delete, mixed or ping" },
  { "workload", 'W', CLI_OPTION_TEXT, OPTION (workload), "W", "one of YCSB's: a, b, c, d, e or f" },
  { "reads", 0, CLI_OPTION_NUMBER, OPTION (reads), "PERCENT",
    "how much of mixed is reads (default: 50)", 0, 100 },
  { "keys", 'k', CLI_OPTION_NUMBER, OPTION (keys), "N", "how many keys (default: 1000000)", 1,
    G_MAXUINT32 },
  { "ops", 0, CLI_OPTION_NUMBER, OPTION (ops), "N", "stop after N operations", 1, G_MAXUINT64 },
  { "seconds", 0, CLI_OPTION_SECONDS, OPTION (seconds), "SECONDS",
    "stop after so long (default: 2, or until --ops)" },
  { "warmup", 0, CLI_OPTION_SECONDS, OPTION (warmup), "SECONDS",
    "do the same before without measuring" },
  { "threads", 'T', CLI_OPTION_NUMBER, OPTION (threads), "N",
    "client threads, each with a session (default: 1)", 1, CLI_BENCH_MAX_THREADS },
  { "window", 'w', CLI_OPTION_NUMBER, OPTION (window), "N",
    "requests in flight for each thread (default: 1024)", 1, CLI_BENCH_MAX_WINDOW },
  { "rate", 'r', CLI_OPTION_NUMBER, OPTION (rate), "N",
    "begin N operations a second, all threads together", 1, 1000000000 },
  { "distribution", 'd', CLI_OPTION_TEXT, OPTION (distribution), "D",
    "uniform, sequential, zipf:THETA, scrambled or latest" },
  { "key-size", 0, CLI_OPTION_TEXT, OPTION (key_size), "BYTES",
    "keys are byte strings of this size" },
  { "value-size", 0, CLI_OPTION_TEXT, OPTION (value_size), "BYTES",
    "values are byte strings of this size, or MIN-MAX" },
  { "csv", 0, CLI_OPTION_FLAG, OPTION (csv), NULL, "print CSV: a line of names, a line of values" },
  { "histogram", 0, CLI_OPTION_TEXT, OPTION (histogram), "FILE",
    "write the latencies as HdrHistogram does" },
  { "plot", 0, CLI_OPTION_TEXT, OPTION (plot), "FILE",
    "draw them to FILE.svg or FILE.png, or print a plot with \"text\"" },
  { "no-preload", 0, CLI_OPTION_FLAG, OPTION (no_preload), NULL,
    "do not insert the keys before" },
  { "keep", 0, CLI_OPTION_FLAG, OPTION (keep), NULL, "do not delete the keys afterwards" },
  { "seed", 's', CLI_OPTION_NUMBER, OPTION (seed), "N",
    "chooses the keys, which are the same for the same N", 1, G_MAXUINT64 },
  { NULL }
};

const CliCommand cli_cmd_bench = {
  .name = "bench",
  .summary = "Measure one kind of operation, or a mix",
  .description =
    "Inserts the keys, does one kind of operation on them with many in flight, checks\n"
    "every answer, prints how long it took, and deletes the keys.  \"mixed\" is half\n"
    "reads, half inserts; the workloads are the core workloads of YCSB.  Latency is\n"
    "from before the first request of a chunk is submitted until the response was\n"
    "taken: a chunk is a quarter of the window, at most 64, and one request with\n"
    "--window=1.  With --rate it is from when the operation was to begin.\n"
    "The keys begin at a number that the seed decides.  For several processes with the\n"
    "same keys, give all the same --seed, one --keep, and then the others --no-preload\n"
    "and --keep.  Exits with 1 after a wrong answer.",
  .needs_client = TRUE,
  .options = bench_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .check = check_options,
  .run = run_bench,
};
