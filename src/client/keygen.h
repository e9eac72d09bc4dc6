/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which keys a benchmark asks for: numbers below n in some distribution. */

#pragma once

#include "client/random.h"

G_BEGIN_DECLS

typedef enum
{
  CLI_KEYS_UNIFORM,        /* each as likely as any other */
  CLI_KEYS_SEQUENTIAL,     /* one after the other, over and over */
  CLI_KEYS_ZIPF            /* key k - 1 with a probability in proportion to k^-theta */
} CliKeysKind;

typedef struct
{
  CliKeysKind kind;
  double theta;            /* CLI_KEYS_ZIPF; greater than 0 */
} CliKeysDistribution;

/* "uniform", "sequential" or "zipf:THETA".  The error is CLI_ERROR_USAGE. */
gboolean cli_keys_parse (const char *text, CliKeysDistribution *distribution_out, GError **error);

/* The most keys there can be; see cli_random_below(). */
#define CLI_KEYS_MAX (G_GUINT64_CONSTANT (1) << 32)

/* Members are private. */
typedef struct
{
  CliKeysDistribution distribution;
  guint64 n;
  guint64 random;
  guint64 next;

  /* Of the Zipf distribution only; see keygen.c. */
  double one_minus_theta;
  double inverse;          /* of that */
  double area_begin;
  double area_end;
  double accept;
} CliKeygen;

/* Numbers below `n`, at most CLI_KEYS_MAX.  `first` is where the sequential
 * ones begin. */
void cli_keygen_init (CliKeygen *keygen, const CliKeysDistribution *distribution, guint64 n,
                      guint64 seed, guint64 first);

guint64 cli_keygen_next_zipf (CliKeygen *keygen);

static inline guint64
cli_keygen_next (CliKeygen *keygen)
{
  guint64 key;

  switch (keygen->distribution.kind)
    {
    case CLI_KEYS_UNIFORM:
      return cli_random_below (&keygen->random, keygen->n);
    case CLI_KEYS_ZIPF:
      return cli_keygen_next_zipf (keygen);
    case CLI_KEYS_SEQUENTIAL:
      break;
    }
  key = keygen->next;
  keygen->next = key + 1 == keygen->n ? 0 : key + 1;
  return key;
}

G_END_DECLS
