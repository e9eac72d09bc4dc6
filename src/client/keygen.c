/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The Zipf distribution by rejection-inversion: W. Hörmann and G. Derflinger,
 * "Rejection-inversion to generate variates from monotone discrete
 * distributions", ACM TOMACS 6 (1996).
 *
 * With h(x) = x^-theta, and H its integral, a number u drawn evenly from
 * H(1.5) - h(1) to H(n + 0.5) is a point under the curve, and x = H^-1(u) lies
 * nearest to an integer k.  The area over k is H(k - 0.5) to H(k + 0.5), a
 * little more than h(k), since h is convex; a point in what is too much is
 * rejected.  Where k - x is at most 2 - H^-1(H(2.5) - h(2)) it certainly is
 * not, and the second, dearer test is seldom needed.  It needs neither tables
 * nor a sum over all keys, and any theta greater than 0 will do.
 *
 * YCSB (Cooper, Silberstein, Tam, Ramakrishnan and Sears, "Benchmarking cloud
 * serving systems with YCSB", SoCC 2010) spreads the frequent keys by a hash.
 * Here the rank is multiplied by a number that has no divisor in common with n,
 * modulo n: so no two ranks become the same key, and the frequencies are exactly
 * those of the distribution. */

#include "config.h"

#include "client/keygen.h"

#include "client/cli.h"

#include <math.h>
#include <string.h>

#define THETA_MAX 100.0

/* Primes below 2^32, so that a product with a rank does not overflow; the second
 * for an n that is the first. */
#define SPREAD G_GUINT64_CONSTANT (2654435761)
#define OTHER_SPREAD G_GUINT64_CONSTANT (3266489917)

/* A theta so near to 1 is taken for 1, where the formulas are others.  It makes
 * no difference to anybody, and spares the others the loss of precision. */
#define NEAR_ONE 1e-6

static double
height (const CliKeygen *keygen, double x)
{
  return exp (-keygen->distribution.theta * log (x));
}

/* H (x) = (x^(1 - theta) - 1) / (1 - theta), which is log (x) for theta 1. */
static double
area (const CliKeygen *keygen, double x)
{
  if (keygen->one_minus_theta == 0)
    return log (x);
  return (exp (keygen->one_minus_theta * log (x)) - 1) * keygen->inverse;
}

static double
area_inverse (const CliKeygen *keygen, double u)
{
  if (keygen->one_minus_theta == 0)
    return exp (u);
  return exp (log (1 + keygen->one_minus_theta * u) * keygen->inverse);
}

static void
init_zipf (CliKeygen *keygen)
{
  double difference = 1 - keygen->distribution.theta;

  keygen->one_minus_theta = fabs (difference) > NEAR_ONE ? difference : 0;
  keygen->inverse = keygen->one_minus_theta != 0 ? 1 / keygen->one_minus_theta : 0;
  keygen->area_begin = area (keygen, 1.5) - 1;
  keygen->area_end = area (keygen, keygen->n + 0.5);
  keygen->accept = 2 - area_inverse (keygen, area (keygen, 2.5) - height (keygen, 2));
}

void
cli_keygen_init (CliKeygen *keygen, const CliKeysDistribution *distribution, guint64 n,
                 guint64 seed, guint64 first)
{
  *keygen = (CliKeygen) {
    .distribution = *distribution, .n = n, .random = seed, .next = first
  };
  cli_keygen_share (keygen, 0, 1, 0);
  if (distribution->theta > 0)
    init_zipf (keygen);
  keygen->multiplier = n % SPREAD == 0 ? OTHER_SPREAD : SPREAD;
}

void
cli_keygen_share (CliKeygen *keygen, guint64 index, guint64 stride, guint64 n_added)
{
  keygen->first_added = keygen->n + index;
  keygen->stride = stride;
  keygen->n_added = n_added;
}

/* 0 is the most frequent. */
static guint64
draw_rank (CliKeygen *keygen)
{
  for (;;)
    {
      double even = (cli_random_next (&keygen->random) >> 11) * 0x1p-53;
      double u = keygen->area_end + even * (keygen->area_begin - keygen->area_end);
      double x = area_inverse (keygen, u);
      double k = CLAMP (floor (x + 0.5), 1, (double) keygen->n);

      if (k - x <= keygen->accept || u >= area (keygen, k + 0.5) - height (keygen, k))
        return (guint64) k - 1;
    }
}

/* Of what this generator knows to be there. */
static guint64
get_latest (const CliKeygen *keygen, guint64 rank)
{
  if (rank < keygen->n_added)
    return keygen->first_added + (keygen->n_added - 1 - rank) * keygen->stride;
  return keygen->n - 1 - (rank - keygen->n_added);
}

guint64
cli_keygen_next_zipf (CliKeygen *keygen)
{
  guint64 rank = draw_rank (keygen);

  if (keygen->distribution.kind == CLI_KEYS_SCRAMBLED)
    return rank * keygen->multiplier % keygen->n;
  if (keygen->distribution.kind == CLI_KEYS_LATEST)
    return get_latest (keygen, rank);
  return rank;
}

static gboolean
parse_theta (const char *text, double *theta_out)
{
  char *end;

  if (*text == '\0' || text[strspn (text, ".0123456789")] != '\0')
    return FALSE;
  *theta_out = g_ascii_strtod (text, &end);
  return *end == '\0' && *theta_out > 0 && *theta_out <= THETA_MAX;
}

static const struct
{
  const char *name;
  CliKeysKind kind;
  gboolean needs_theta;
} zipf_kinds[] = {
  { "zipf", CLI_KEYS_ZIPF, TRUE },
  { "scrambled", CLI_KEYS_SCRAMBLED, FALSE },
  { "latest", CLI_KEYS_LATEST, FALSE },
};

static gboolean
parse_zipf (const char *text, CliKeysDistribution *distribution_out)
{
  gsize length = strcspn (text, ":");

  for (guint i = 0; i < G_N_ELEMENTS (zipf_kinds); i++)
    {
      if (strlen (zipf_kinds[i].name) != length || strncmp (text, zipf_kinds[i].name, length) != 0)
        continue;
      *distribution_out = (CliKeysDistribution) { zipf_kinds[i].kind, CLI_KEYS_THETA };
      if (text[length] == '\0')
        return !zipf_kinds[i].needs_theta;
      return parse_theta (text + length + 1, &distribution_out->theta);
    }
  return FALSE;
}

gboolean
cli_keys_parse (const char *text, CliKeysDistribution *distribution_out, GError **error)
{
  CliKeysDistribution distribution = { CLI_KEYS_UNIFORM, 0 };

  if (g_str_equal (text, "sequential"))
    distribution.kind = CLI_KEYS_SEQUENTIAL;
  else if (!g_str_equal (text, "uniform") && !parse_zipf (text, &distribution))
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
                   "there is no distribution '%s'; uniform, sequential, zipf:THETA, "
                   "scrambled:THETA and latest:THETA are possible, with a THETA such as 0.99",
                   text);
      return FALSE;
    }
  *distribution_out = distribution;
  return TRUE;
}
