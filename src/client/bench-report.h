/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a benchmark measured, and on what, as text or as JSON. */

#pragma once

#include "client/bench-loop.h"
#include "client/cli.h"

G_BEGIN_DECLS

typedef struct
{
  const char *op;
  const char *distribution;
  guint64 keys;
  guint64 threads;
  guint64 window;
  guint64 seed;
  guint workers;

  guint64 ops;
  guint64 errors;
  guint64 wrong;
  guint64 missing;
  gint64 ns;
  CliHistogram latency;
} CliBenchReport;

/* The machine, the versions and the settings; nothing with --json. */
void cli_bench_report_print_header (const CliContext *context, const CliBenchReport *report);

void cli_bench_report_print (const CliContext *context, const CliBenchReport *report);

G_END_DECLS
