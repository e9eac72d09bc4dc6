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
