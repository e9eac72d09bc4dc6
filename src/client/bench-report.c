/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/bench-report.h"

#include "client/json.h"
#include "client/output.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* What the kernel calls the CPU, or "unknown CPU". */
static char *
get_cpu_model (void)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL))
    return g_strdup ("unknown CPU");
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      const char *colon = strchr (*line, ':');

      if (colon != NULL && g_str_has_prefix (*line, "model name"))
        return g_strstrip (g_strdup (colon + 1));
    }
  return g_strdup ("unknown CPU");
}

static char *
get_server_version (const CliServerInfo *server)
{
  if (server->version == 0)
    return g_strdup ("unknown");
  return g_strdup_printf ("%u.%u.%u", (guint) (server->version / 10000),
                          (guint) (server->version / 100 % 100), (guint) (server->version % 100));
}

/* Million operations a second. */
static double
get_mops (const CliBenchResult *result)
{
  return result->ns > 0 ? (double) result->ops * 1e3 / (double) result->ns : 0;
}

/* ------------------------------------------------------------------- header */

static void
print_machine (const CliContext *context)
{
  g_autofree char *cpu = get_cpu_model ();
  struct utsname system = { .machine = "" };

  uname (&system);
  cli_print (context, "machine     %s, %s, %u of %ld CPUs\n", system.machine, cpu,
             g_get_num_processors (), sysconf (_SC_NPROCESSORS_ONLN));
  cli_print (context, "kernel      %s %s\n", system.sysname, system.release);
}

static void
print_server (const CliContext *context, const CliServerInfo *server)
{
  g_autofree char *version = get_server_version (server);

  cli_print (context,
             "shmkv       client %s; server %s, version %s, with %u buckets, workers: %u\n",
             shmkv_version (), shmkv_client_get_name (context->client), version,
             shmkv_client_get_n_buckets (context->client), server->workers);
}

/* What it does, such as "read 50 %, insert 50 %". */
static char *
describe_work (const CliBenchWork *work)
{
  static const char *const names[CLI_BENCH_N_ACTIONS] = {
    [CLI_BENCH_INSERT] = "insert",       [CLI_BENCH_READ] = "read",
    [CLI_BENCH_DELETE] = "delete",       [CLI_BENCH_PING] = "ping",
    [CLI_BENCH_APPEND] = "add new keys", [CLI_BENCH_SCAN] = "scan",
    [CLI_BENCH_MODIFY] = "read and set",
  };
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < CLI_BENCH_N_ACTIONS; i++)
    {
      if (work->percents[i] > 0)
        g_string_append_printf (text, "%s%s %u %%", text->len > 0 ? ", " : "", names[i],
                                work->percents[i]);
    }
  return g_string_free (text, FALSE);
}

static char *
describe_values (const CliBenchData *data)
{
  if (data->value_max == 0)
    return g_strdup ("integers");
  if (data->value_min == data->value_max)
    return g_strdup_printf ("%" G_GSIZE_FORMAT " bytes", data->value_max);
  return g_strdup_printf ("%" G_GSIZE_FORMAT " to %" G_GSIZE_FORMAT " bytes", data->value_min,
                          data->value_max);
}

static char *
describe_keys (const CliBenchData *data)
{
  if (data->key_size == 0)
    return g_strdup ("integers");
  return g_strdup_printf ("%" G_GSIZE_FORMAT " bytes", data->key_size);
}

static void
print_work (const CliContext *context, const CliBenchSettings *settings)
{
  g_autofree char *work = describe_work (&settings->work);
  g_autofree char *keys = describe_keys (&settings->data);
  g_autofree char *values = describe_values (&settings->data);

  cli_print (context, "work        %s: %s; seed %" G_GUINT64_FORMAT "\n", settings->work.name, work,
             settings->seed);
  cli_print (context, "data        %" G_GUINT64_FORMAT " keys, %s; keys: %s; values: %s\n",
             settings->keys, settings->distribution_name, keys, values);
  cli_print (context,
             "load        threads: %" G_GUINT64_FORMAT ", window %" G_GUINT64_FORMAT ", chunk %u; ",
             settings->threads, settings->window,
             cli_bench_get_chunk ((guint) settings->window));
  if (settings->rate > 0)
    cli_print (context, "open loop, %" G_GUINT64_FORMAT " operations/s\n", settings->rate);
  else
    cli_print (context, "closed loop, as fast as it goes\n");
}

void
cli_bench_report_print_header (const CliContext *context, CliBenchFormat format,
                               const CliBenchSettings *settings, const CliServerInfo *server)
{
  if (format != CLI_BENCH_TEXT)
    return;
  print_machine (context);
  print_server (context, server);
  print_work (context, settings);
}

/* ------------------------------------------------------------- JSON and CSV */

/* An object, or two lines. */
typedef struct
{
  gboolean csv;
  GString *line;
  GString *names;          /* of CSV only */
} Fields;

static void
add_cell (Fields *fields, const char *name, const char *text)
{
  const char *comma = fields->names->len > 0 ? "," : "";

  g_string_append_printf (fields->names, "%s%s", comma, name);
  g_string_append (fields->line, comma);
  if (strpbrk (text, ",\"\n") == NULL)
    {
      g_string_append (fields->line, text);
      return;
    }
  g_string_append_c (fields->line, '"');
  for (; *text != '\0'; text++)
    g_string_append_printf (fields->line, "%s%c", *text == '"' ? "\"" : "", *text);
  g_string_append_c (fields->line, '"');
}

static void
add_text (Fields *fields, const char *name, const char *text)
{
  if (fields->csv)
    add_cell (fields, name, text);
  else
    cli_json_add_string (fields->line, name, text);
}

static void
add_number (Fields *fields, const char *name, guint64 number)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, number);

  if (fields->csv)
    add_cell (fields, name, text);
  else
    cli_json_add_unsigned (fields->line, name, number);
}

static void
add_fixed (Fields *fields, const char *name, double number, guint decimals)
{
  g_autofree char *format = g_strdup_printf ("%%.%uf", decimals);
  char text[G_ASCII_DTOSTR_BUF_SIZE + 16];

  if (fields->csv)
    add_cell (fields, name, g_ascii_formatd (text, sizeof text, format, number));
  else
    cli_json_add_fixed (fields->line, name, number, decimals);
}

static void
add_boolean (Fields *fields, const char *name, gboolean value)
{
  if (fields->csv)
    add_cell (fields, name, value ? "true" : "false");
  else
    cli_json_add_boolean (fields->line, name, value);
}

static void
add_latency (Fields *fields, const CliHistogram *latency)
{
  add_fixed (fields, "mean_ns", cli_histogram_mean (latency), 1);
  add_number (fields, "p50_ns", cli_histogram_quantile (latency, 0.5));
  add_number (fields, "p90_ns", cli_histogram_quantile (latency, 0.9));
  add_number (fields, "p99_ns", cli_histogram_quantile (latency, 0.99));
  add_number (fields, "p999_ns", cli_histogram_quantile (latency, 0.999));
  add_number (fields, "p9999_ns", cli_histogram_quantile (latency, 0.9999));
  add_number (fields, "max_ns", latency->max);
}

static void
add_result (Fields *fields, const CliBenchSettings *settings, const CliBenchResult *result)
{
  add_text (fields, "op", settings->work.name);
  add_number (fields, "threads", settings->threads);
  add_number (fields, "window", settings->window);
  add_number (fields, "keys", settings->keys);
  add_number (fields, "ops", result->ops);
  add_fixed (fields, "seconds", (double) result->ns / 1e9, 6);
  add_fixed (fields, "mops", get_mops (result), 4);
  add_number (fields, "errors", result->errors);
  add_number (fields, "wrong", result->wrong);
  add_latency (fields, &result->latency);
  add_number (fields, "missing", result->missing);
  add_number (fields, "pairs", result->pairs);
  add_fixed (fields, "client_cpu_ns", result->client_cpu_ns, 1);
  if (result->server_cpu_ns >= 0 || fields->csv)
    add_fixed (fields, "server_cpu_ns", result->server_cpu_ns, 1);
  add_number (fields, "behind_ns", (guint64) result->behind_ns);
  add_boolean (fields, "kept_up", cli_bench_has_kept_up (settings, result));
}

static void
add_settings (Fields *fields, const CliBenchSettings *settings)
{
  add_text (fields, "distribution", settings->distribution_name);
  add_number (fields, "reads", settings->work.percents[CLI_BENCH_READ]);
  add_number (fields, "key_size", settings->data.key_size);
  add_number (fields, "value_size_min", settings->data.value_min);
  add_number (fields, "value_size_max", settings->data.value_max);
  add_number (fields, "rate", settings->rate);
  add_number (fields, "chunk", cli_bench_get_chunk ((guint) settings->window));
  add_number (fields, "seed", settings->seed);
}

static void
add_machine (Fields *fields, const CliContext *context, const CliServerInfo *server)
{
  g_autofree char *cpu = get_cpu_model ();
  g_autofree char *server_version = get_server_version (server);
  struct utsname system = { .release = "" };

  uname (&system);
  add_number (fields, "workers", server->workers);
  add_number (fields, "buckets", shmkv_client_get_n_buckets (context->client));
  add_text (fields, "version", shmkv_version ());
  add_text (fields, "server_version", server_version);
  add_text (fields, "cpu", cpu);
  add_number (fields, "cpus", g_get_num_processors ());
  add_text (fields, "kernel", system.release);
}

static void
print_fields (const CliContext *context, gboolean csv, const CliBenchSettings *settings,
              const CliServerInfo *server, const CliBenchResult *result)
{
  g_autoptr (GString) line = g_string_new (NULL);
  g_autoptr (GString) names = g_string_new (NULL);
  Fields fields = { .csv = csv, .line = line, .names = names };

  if (!csv)
    cli_json_open (line);
  add_result (&fields, settings, result);
  add_settings (&fields, settings);
  add_machine (&fields, context, server);
  if (csv)
    cli_print (context, "%s\n%s\n", names->str, line->str);
  else
    cli_print_json (context, line);
}

/* --------------------------------------------------------------------- text */

static void
print_latency (const CliContext *context, const CliBenchSettings *settings,
               const CliHistogram *latency)
{
  guint chunk = cli_bench_get_chunk ((guint) settings->window);

  cli_print (context,
             "latency     us: mean %.2f, p50 %.2f, p90 %.2f, p99 %.2f, p99.9 %.2f, p99.99 %.2f, "
             "max %.2f\n",
             cli_histogram_mean (latency) / 1e3,
             (double) cli_histogram_quantile (latency, 0.5) / 1e3,
             (double) cli_histogram_quantile (latency, 0.9) / 1e3,
             (double) cli_histogram_quantile (latency, 0.99) / 1e3,
             (double) cli_histogram_quantile (latency, 0.999) / 1e3,
             (double) cli_histogram_quantile (latency, 0.9999) / 1e3,
             (double) latency->max / 1e3);
  if (settings->rate > 0)
    cli_print (context, "            from when it was to begin, until its response was taken\n");
  else if (chunk > 1)
    cli_print (context, "            from submitting the first of its chunk of %u, until its "
                        "response was taken\n", chunk);
}

static void
print_rate (const CliContext *context, const CliBenchSettings *settings,
            const CliBenchResult *result)
{
  if (settings->rate == 0)
    return;
  cli_print (context, "rate        asked for %" G_GUINT64_FORMAT "/s, achieved %.0f/s; %s\n",
             settings->rate, get_mops (result) * 1e6,
             cli_bench_has_kept_up (settings, result) ? "kept up" : "NOT KEPT UP");
  cli_print (context, "            %.3f ms behind at the end\n", (double) result->behind_ns / 1e6);
}

static void
print_cpu (const CliContext *context, const CliBenchResult *result)
{
  cli_print (context, "cpu         ns per operation: client %.1f, ", result->client_cpu_ns);
  if (result->server_cpu_ns >= 0)
    cli_print (context, "server %.1f\n", result->server_cpu_ns);
  else
    cli_print (context, "server unknown, since it does not tell\n");
}

static void
print_text (const CliContext *context, const CliBenchSettings *settings,
            const CliBenchResult *result)
{
  cli_print (context, "result      %.3f Mop/s: %" G_GUINT64_FORMAT " operations in %.3f s\n",
             get_mops (result), result->ops, (double) result->ns / 1e9);
  print_rate (context, settings, result);
  cli_print (context,
             "checked     errors: %" G_GUINT64_FORMAT ", wrong answers: %" G_GUINT64_FORMAT
             ", keys not found: %" G_GUINT64_FORMAT "\n",
             result->errors, result->wrong, result->missing);
  if (result->pairs > 0)
    cli_print (context, "scanned     %" G_GUINT64_FORMAT " pairs\n", result->pairs);
  print_latency (context, settings, &result->latency);
  print_cpu (context, result);
}

void
cli_bench_report_print (const CliContext *context, CliBenchFormat format,
                        const CliBenchSettings *settings, const CliServerInfo *server,
                        const CliBenchResult *result)
{
  if (format == CLI_BENCH_TEXT)
    print_text (context, settings, result);
  else
    print_fields (context, format == CLI_BENCH_CSV, settings, server, result);
}
