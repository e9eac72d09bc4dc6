/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which keys a benchmark asks for: numbers below n in some distribution. */

#pragma once

#include "client/random.h"

G_BEGIN_DECLS

typedef enum
{
  CLI_KEYS_UNIFORM,        /* each as likely as any other */
  CLI_KEYS_SEQUENTIAL,     /* one after the other, over and over */
  CLI_KEYS_ZIPF,           /* key k - 1 with a probability in proportion to k^-theta */
  CLI_KEYS_SCRAMBLED,      /* the same, with the frequent ones spread over all of them */
  CLI_KEYS_LATEST          /* the same, counted from the key that was added last */
} CliKeysKind;

/* That of YCSB. */
#define CLI_KEYS_THETA 0.99

typedef struct
{
  CliKeysKind kind;
  double theta;            /* the last three kinds; greater than 0 */
} CliKeysDistribution;

/* "uniform", "sequential", "zipf:THETA", "scrambled:THETA" or "latest:THETA", the
 * latter two without :THETA too.  The error is CLI_ERROR_USAGE. */
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
  guint64 n_added;
  guint64 stride;          /* from one added key to the next */
  guint64 first_added;
  guint64 multiplier;      /* CLI_KEYS_SCRAMBLED */

  /* Of the Zipf distributions only; see keygen.c. */
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

/* One of several generators that add keys behind the first `n`: generator `index`
 * of `stride`, which added `n_added` before.  Their keys are never the same. */
void cli_keygen_share (CliKeygen *keygen, guint64 index, guint64 stride, guint64 n_added);

/* A key that was not there. */
static inline guint64
cli_keygen_add (CliKeygen *keygen)
{
  return keygen->first_added + keygen->n_added++ * keygen->stride;
}

/* A number below `n` of any of the Zipf distributions, or one that was added. */
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
    case CLI_KEYS_SCRAMBLED:
    case CLI_KEYS_LATEST:
      return cli_keygen_next_zipf (keygen);
    case CLI_KEYS_SEQUENTIAL:
      break;
    }
  key = keygen->next;
  keygen->next = key + 1 == keygen->n ? 0 : key + 1;
  return key;
}

G_END_DECLS
