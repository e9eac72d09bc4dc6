/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Latency by percentile, for people and for other programs. */

#pragma once

#include "client/cli.h"
#include "client/histogram.h"

G_BEGIN_DECLS

/* Whether `file` can be written to as far as can be seen before it is. */
gboolean cli_bench_can_write (const char *file, GError **error);

/* Whether there is what it takes to draw `file`, which is FILE.svg or FILE.png: a
 * wrong name is CLI_ERROR_USAGE. */
gboolean cli_bench_plot_check_name (const char *file, GError **error);
gboolean cli_bench_plot_can_draw (const char *file, GError **error);

/* Draws it, by gnuplot. */
gboolean cli_bench_plot_draw (const char *file, const char *title, const CliHistogram *latency,
                              GError **error);

/* On standard output, as text. */
void cli_bench_plot_print (const CliContext *context, const CliHistogram *latency);

/* In the percentile format of HdrHistogram, in microseconds. */
gboolean cli_bench_plot_write_hgrm (const char *file, const CliHistogram *latency, GError **error);

G_END_DECLS
