/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/test-report.h"

#include "client/json.h"
#include "client/output.h"

static double
get_seconds (const CliTestResult *result)
{
  return result->ns / 1e9;
}

/* Million operations a second. */
static double
get_rate (const CliTestResult *result)
{
  return result->ns > 0 ? result->operations * 1e3 / result->ns : 0;
}

void
cli_test_report_print_json (const CliContext *context, const CliTestReport *report, guint run,
                            CliRoutine routine)
{
  const CliTestResult *result = &report->results[run][routine];
  g_autoptr (GString) line = g_string_new (NULL);

  cli_json_open (line);
  cli_json_add_string (line, "routine", cli_routine_get_name (routine));
  cli_json_add_unsigned (line, "run", run + 1);
  cli_json_add_unsigned (line, "workers", result->workers);
  cli_json_add_unsigned (line, "threads", report->threads);
  cli_json_add_unsigned (line, "window",
                         routine == CLI_ROUTINE_READ_SEQUENTIAL ? 1 : report->window);
  cli_json_add_unsigned (line, "items", report->items);
  cli_json_add_unsigned (line, "ops", result->operations);
  cli_json_add_fixed (line, "seconds", get_seconds (result), 6);
  cli_json_add_fixed (line, "mops", get_rate (result), 3);
  cli_json_add_unsigned (line, "wrong", result->wrong);
  cli_json_add_unsigned (line, "seed", report->seed);
  cli_print_json (context, line);
}

static void
print_header (const CliContext *context, const CliTestReport *report)
{
  cli_print (context,
             "server %s: %u buckets; items %" G_GUINT64_FORMAT ", threads %" G_GUINT64_FORMAT
             ", window %" G_GUINT64_FORMAT ", seed %" G_GUINT64_FORMAT ", CPUs %u\n\n",
             shmkv_client_get_name (context->client),
             shmkv_client_get_n_buckets (context->client), report->items, report->threads,
             report->window, report->seed, g_get_num_processors ());
  cli_print (context, "%-16s %10s  %-8s", "routine", "operations", "workers");
  for (guint run = 0; run < report->runs; run++)
    cli_print (context, " %9u", 1u << run);
  cli_print (context, "\n");
}

typedef enum
{
  ROW_SECONDS,
  ROW_RATE,
  ROW_WRONG
} Row;

static void
print_cell (const CliContext *context, const CliTestResult *result, Row row)
{
  if (!result->done)
    cli_print (context, " %9s", "-");
  else if (row == ROW_SECONDS)
    cli_print (context, " %9.3f", get_seconds (result));
  else if (row == ROW_RATE)
    cli_print (context, " %9.3f", get_rate (result));
  else
    cli_print (context, " %9" G_GUINT64_FORMAT, result->wrong);
}

static void
print_row (const CliContext *context, const CliTestReport *report, CliRoutine routine, Row row)
{
  static const char *const units[] = { "seconds", "Mop/s", "wrong" };

  if (row == ROW_SECONDS)
    cli_print (context, "%-16s %10" G_GUINT64_FORMAT, cli_routine_get_name (routine),
               report->results[0][routine].operations);
  else
    cli_print (context, "%-16s %10s", "", "");
  cli_print (context, "  %-8s", units[row]);
  for (guint run = 0; run < report->runs; run++)
    print_cell (context, &report->results[run][routine], row);
  cli_print (context, "\n");
}

void
cli_test_report_print_table (const CliContext *context, const CliTestReport *report)
{
  print_header (context, report);
  for (CliRoutine routine = 0; routine < CLI_N_ROUTINES; routine++)
    {
      if (!report->results[0][routine].done)
        continue;
      print_row (context, report, routine, ROW_SECONDS);
      print_row (context, report, routine, ROW_RATE);
      print_row (context, report, routine, ROW_WRONG);
    }
}
