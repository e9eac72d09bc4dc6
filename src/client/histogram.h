/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A histogram of 64-bit numbers with a bounded relative error, in the manner of
 * HdrHistogram: 128 equal steps between a power of two and the next, and every
 * number below 256 on its own.  What it says of a quantile is at most 1/128,
 * that is 0.8 %, above the truth, never below it. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define CLI_HISTOGRAM_STEP_BITS 7
#define CLI_HISTOGRAM_STEPS (1u << CLI_HISTOGRAM_STEP_BITS)
#define CLI_HISTOGRAM_SIZE ((64 - CLI_HISTOGRAM_STEP_BITS + 1) * CLI_HISTOGRAM_STEPS)

typedef struct
{
  guint64 n;
  guint64 max;
  double sum;
  guint64 counts[CLI_HISTOGRAM_SIZE];
} CliHistogram;

/* All zero is an empty histogram. */

/* Where `value` is counted: the power of two that it begins with, and the
 * seven bits after that. */
static inline guint
cli_histogram_index (guint64 value)
{
  guint bits = 64 - (guint) __builtin_clzll (value | CLI_HISTOGRAM_STEPS);
  guint shift = bits - CLI_HISTOGRAM_STEP_BITS - 1;

  return shift * CLI_HISTOGRAM_STEPS + (guint) (value >> shift);
}

/* Counts `value` `times` times. */
static inline void
cli_histogram_add (CliHistogram *histogram, guint64 value, guint64 times)
{
  histogram->counts[cli_histogram_index (value)] += times;
  histogram->n += times;
  histogram->sum += (double) value * times;
  histogram->max = MAX (histogram->max, value);
}

/* The largest value that is counted at `index`. */
guint64 cli_histogram_upper_bound (guint index);

/* Adds what `other` counted. */
void cli_histogram_merge (CliHistogram *histogram, const CliHistogram *other);

/* The value that a share of `quantile` (0 to 1) of all is not above; 0 where
 * there are none. */
guint64 cli_histogram_quantile (const CliHistogram *histogram, double quantile);

double cli_histogram_mean (const CliHistogram *histogram);

/* The standard deviation, from the middles of the steps. */
double cli_histogram_deviation (const CliHistogram *histogram);

/* One line of a distribution by percentiles. */
typedef struct
{
  double percentile;       /* as a share, 0 to 1 */
  guint64 value;           /* that so many are not above */
  guint64 n;               /* how many are not */
} CliPercentile;

/* The percentiles that are worth a line: five each time that the rest is halved,
 * up to where only the greatest value is left, and 1.  Of a histogram that is not
 * empty.  (transfer full) (element-type CliPercentile) */
GArray *cli_histogram_percentiles (const CliHistogram *histogram);

G_END_DECLS
