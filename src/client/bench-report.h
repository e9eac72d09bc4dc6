/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a benchmark measured, and on what, as text, JSON or CSV. */

#pragma once

#include "client/bench-run.h"

G_BEGIN_DECLS

typedef enum
{
  CLI_BENCH_TEXT,
  CLI_BENCH_JSON,
  CLI_BENCH_CSV
} CliBenchFormat;

/* The machine, the versions and the settings; nothing but in text. */
void cli_bench_report_print_header (const CliContext *context, CliBenchFormat format,
                                    const CliBenchSettings *settings,
                                    const CliServerInfo *server);

void cli_bench_report_print (const CliContext *context, CliBenchFormat format,
                             const CliBenchSettings *settings, const CliServerInfo *server,
                             const CliBenchResult *result);

G_END_DECLS
