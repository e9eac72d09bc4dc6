/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/histogram.h"

#include <math.h>

guint64
cli_histogram_upper_bound (guint index)
{
  guint shift = index < 2 * CLI_HISTOGRAM_STEPS ? 0 : index / CLI_HISTOGRAM_STEPS - 1;
  guint64 step = index - shift * CLI_HISTOGRAM_STEPS;

  return (step << shift) + ((G_GUINT64_CONSTANT (1) << shift) - 1);
}

void
cli_histogram_merge (CliHistogram *histogram, const CliHistogram *other)
{
  for (guint i = 0; i < CLI_HISTOGRAM_SIZE; i++)
    histogram->counts[i] += other->counts[i];
  histogram->n += other->n;
  histogram->sum += other->sum;
  histogram->max = MAX (histogram->max, other->max);
}

guint64
cli_histogram_quantile (const CliHistogram *histogram, double quantile)
{
  guint64 rank = (guint64) ceil (quantile * histogram->n);
  guint64 seen = 0;

  if (histogram->n == 0)
    return 0;
  rank = CLAMP (rank, 1, histogram->n);
  for (guint i = 0; i < CLI_HISTOGRAM_SIZE; i++)
    {
      seen += histogram->counts[i];
      if (seen >= rank)
        return MIN (cli_histogram_upper_bound (i), histogram->max);
    }
  g_return_val_if_reached (histogram->max);
}

double
cli_histogram_mean (const CliHistogram *histogram)
{
  return histogram->n > 0 ? histogram->sum / histogram->n : 0;
}

static double
get_middle (guint index)
{
  double upper = (double) cli_histogram_upper_bound (index);
  double before = index > 0 ? (double) cli_histogram_upper_bound (index - 1) : -1;

  return (upper + before + 1) / 2;
}

double
cli_histogram_deviation (const CliHistogram *histogram)
{
  double mean = cli_histogram_mean (histogram);
  double sum = 0;

  for (guint i = 0; i < CLI_HISTOGRAM_SIZE; i++)
    {
      double difference = get_middle (i) - mean;

      sum += difference * difference * histogram->counts[i];
    }
  return histogram->n > 0 ? sqrt (sum / histogram->n) : 0;
}

/* How many are in the step of `value` and in those before. */
static guint64
count_up_to (const CliHistogram *histogram, guint64 value)
{
  guint end = cli_histogram_index (value);
  guint64 n = 0;

  for (guint i = 0; i <= end; i++)
    n += histogram->counts[i];
  return n;
}

#define TICKS_PER_HALF 5

/* After 0.5 the steps are half as long as before it, after 0.75 half of that, and
 * so on. */
static double
get_next_percentile (double percentile)
{
  return percentile + 1 / (TICKS_PER_HALF * exp2 (floor (-log2 (1 - percentile)) + 1));
}

GArray *
cli_histogram_percentiles (const CliHistogram *histogram)
{
  GArray *list = g_array_new (FALSE, FALSE, sizeof (CliPercentile));
  CliPercentile line = { 0 };

  g_return_val_if_fail (histogram->n > 0, list);
  while (line.percentile < 1)
    {
      line.value = cli_histogram_quantile (histogram, line.percentile);
      line.n = count_up_to (histogram, line.value);
      if (line.n == histogram->n)
        break;
      g_array_append_val (list, line);
      line.percentile = get_next_percentile (line.percentile);
    }
  line = (CliPercentile) { 1, histogram->max, histogram->n };
  g_array_append_val (list, line);
  return list;
}
