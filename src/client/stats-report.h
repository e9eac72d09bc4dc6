/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The server's statistics on standard output, in each of the forms. */

#pragma once

#include "client/cli.h"
#include "client/statistics.h"

G_BEGIN_DECLS

/* What the server told before, and how long ago; for rates. */
typedef struct
{
  const CliStatistics *statistics;  /* NULL: nothing was told before */
  double seconds;
} CliStatsBefore;

void cli_stats_print_text (const CliContext *context, const CliStatistics *statistics,
                           const CliStatsBefore *before);

/* `pairs` is where `statistics` are from: in JSON, nothing is left out. */
void cli_stats_print_json (const CliContext *context, const ShmkvPairs *pairs,
                           const CliStatistics *statistics, const CliStatsBefore *before);

/* Prometheus' text exposition format; the sessions' (nullable) behind it. */
void cli_stats_print_prometheus (const CliContext *context, const CliStatistics *statistics,
                                 const ShmkvPairs *sessions);

/* Of each session. */
void cli_stats_print_sessions (const CliContext *context, const ShmkvPairs *sessions);

G_END_DECLS
