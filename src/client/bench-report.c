/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/bench-report.h"

#include "client/json.h"
#include "client/output.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* What the kernel calls the CPU, or NULL. */
static char *
get_cpu_model (void)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL))
    return NULL;
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      const char *colon = strchr (*line, ':');

      if (colon != NULL && g_str_has_prefix (*line, "model name"))
        return g_strstrip (g_strdup (colon + 1));
    }
  return NULL;
}

static void
print_machine (const CliContext *context)
{
  g_autofree char *cpu = get_cpu_model ();
  struct utsname system = { .machine = "" };

  uname (&system);
  cli_print (context, "machine     %s, %s, %u of %ld CPUs\n", system.machine,
             cpu != NULL ? cpu : "unknown CPU", g_get_num_processors (),
             sysconf (_SC_NPROCESSORS_ONLN));
  cli_print (context, "kernel      %s %s\n", system.sysname, system.release);
}

void
cli_bench_report_print_header (const CliContext *context, const CliBenchReport *report)
{
  if (context->json)
    return;
  print_machine (context);
  cli_print (context, "shmkv       client %s; server %s with %u buckets, workers: %u\n",
             shmkv_version (), shmkv_client_get_name (context->client),
             shmkv_client_get_n_buckets (context->client), report->workers);
  cli_print (context,
             "work        %s; %" G_GUINT64_FORMAT " keys, %s; threads: %" G_GUINT64_FORMAT
             ", window %" G_GUINT64_FORMAT "; seed %" G_GUINT64_FORMAT "\n",
             report->op, report->keys, report->distribution, report->threads, report->window,
             report->seed);
}

static double
get_rate (const CliBenchReport *report)
{
  return report->ns > 0 ? report->ops * 1e3 / report->ns : 0;
}

static void
print_json (const CliContext *context, const CliBenchReport *report)
{
  const CliHistogram *latency = &report->latency;
  g_autoptr (GString) line = g_string_new (NULL);

  cli_json_open (line);
  cli_json_add_string (line, "op", report->op);
  cli_json_add_unsigned (line, "threads", report->threads);
  cli_json_add_unsigned (line, "window", report->window);
  cli_json_add_unsigned (line, "keys", report->keys);
  cli_json_add_unsigned (line, "ops", report->ops);
  cli_json_add_fixed (line, "seconds", report->ns / 1e9, 6);
  cli_json_add_fixed (line, "mops", get_rate (report), 4);
  cli_json_add_unsigned (line, "errors", report->errors);
  cli_json_add_unsigned (line, "wrong", report->wrong);
  cli_json_add_fixed (line, "mean_ns", cli_histogram_mean (latency), 1);
  cli_json_add_unsigned (line, "p50_ns", cli_histogram_quantile (latency, 0.5));
  cli_json_add_unsigned (line, "p99_ns", cli_histogram_quantile (latency, 0.99));
  cli_json_add_unsigned (line, "p999_ns", cli_histogram_quantile (latency, 0.999));
  cli_json_add_unsigned (line, "max_ns", latency->max);
  cli_json_add_unsigned (line, "missing", report->missing);
  cli_json_add_string (line, "distribution", report->distribution);
  cli_json_add_unsigned (line, "chunk", cli_bench_get_chunk (report->window));
  cli_json_add_unsigned (line, "workers", report->workers);
  cli_json_add_unsigned (line, "buckets", shmkv_client_get_n_buckets (context->client));
  cli_json_add_unsigned (line, "seed", report->seed);
  cli_json_add_string (line, "version", shmkv_version ());
  cli_print_json (context, line);
}

static void
print_text (const CliContext *context, const CliBenchReport *report)
{
  const CliHistogram *latency = &report->latency;
  guint chunk = cli_bench_get_chunk (report->window);

  cli_print (context, "result      %.3f Mop/s: %" G_GUINT64_FORMAT " operations in %.3f s\n",
             get_rate (report), report->ops, report->ns / 1e9);
  cli_print (context,
             "checked     errors: %" G_GUINT64_FORMAT ", wrong answers: %" G_GUINT64_FORMAT
             ", keys not found: %" G_GUINT64_FORMAT "\n",
             report->errors, report->wrong, report->missing);
  cli_print (context,
             "latency     us: mean %.2f, p50 %.2f, p99 %.2f, p99.9 %.2f, max %.2f\n",
             cli_histogram_mean (latency) / 1e3, cli_histogram_quantile (latency, 0.5) / 1e3,
             cli_histogram_quantile (latency, 0.99) / 1e3,
             cli_histogram_quantile (latency, 0.999) / 1e3, latency->max / 1e3);
  if (chunk > 1)
    cli_print (context, "            from submitting the first to taking the last of %u requests\n",
               chunk);
}

void
cli_bench_report_print (const CliContext *context, const CliBenchReport *report)
{
  if (context->json)
    print_json (context, report);
  else
    print_text (context, report);
}
