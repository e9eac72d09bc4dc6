/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the test routines found, as a table or as JSON. */

#pragma once

#include "client/cli.h"
#include "client/test-script.h"

G_BEGIN_DECLS

#define CLI_TEST_MAX_RUNS 10

typedef struct
{
  gboolean done;
  guint workers;
  guint64 operations;
  guint64 wrong;
  gint64 ns;
} CliTestResult;

typedef struct
{
  guint64 items;
  guint64 threads;
  guint64 window;
  guint64 runs;
  guint64 seed;
  CliTestResult results[CLI_TEST_MAX_RUNS][CLI_N_ROUTINES];
} CliTestReport;

void cli_test_report_print_json (const CliContext *context, const CliTestReport *report,
                                 guint run, CliRoutine routine);
void cli_test_report_print_table (const CliContext *context, const CliTestReport *report);

G_END_DECLS
