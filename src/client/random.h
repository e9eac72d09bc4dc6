/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Random numbers that cost about a nanosecond: SplitMix64, from Steele, Lea and
 * Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014), with
 * the constants of Stafford's "Mix13" for the finalizer. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A permutation of all 64-bit numbers in which near ones end far apart. */
static inline guint64
cli_mix (guint64 x)
{
  x = (x ^ x >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ x >> 31;
}

/* The next random number; `*state` may start from anything. */
static inline guint64
cli_random_next (guint64 *state)
{
  *state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  return cli_mix (*state);
}

/* A number less than `n`, which is greater than 0 and at most 2^32: the high
 * half of a product instead of a division.  No number is more likely than
 * another by more than n / 2^32. */
static inline guint64
cli_random_below (guint64 *state, guint64 n)
{
  return (cli_random_next (state) >> 32) * n >> 32;
}

G_END_DECLS
