/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where keys belong: see the beginning of table.c. */

#pragma once

#include "wire/record.h"

#include <glib.h>

G_BEGIN_DECLS

/* What the hash of a key depends on, but for the key. */
typedef struct
{
  guint64 n_buckets;
  guint64 seeds[2];                 /* for integers */
  guint64 bytes_seed;
} ShmkvHash;

/* A key's place in its bucket, roughly: so many bits of what remains of its hash
 * when the bucket is known. */
#define SHMKV_TAG_BITS 20u
#define SHMKV_N_TAGS (1u << SHMKV_TAG_BITS)

/* Multipliers of SplitMix64's finalizer, and their inverses modulo 2^64. */
#define SHMKV_MULTIPLIER_1 G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9)
#define SHMKV_MULTIPLIER_2 G_GUINT64_CONSTANT (0x94d049bb133111eb)
#define SHMKV_INVERSE_1 G_GUINT64_CONSTANT (0x96de1b173f119089)
#define SHMKV_INVERSE_2 G_GUINT64_CONSTANT (0x319642b2d24d8ec3)

G_STATIC_ASSERT (SHMKV_MULTIPLIER_1 * SHMKV_INVERSE_1 == 1);
G_STATIC_ASSERT (SHMKV_MULTIPLIER_2 * SHMKV_INVERSE_2 == 1);

/* Every bit of `x` reaches the upper half of the result, which is all that
 * buckets and homes are told apart by.  A shift by half the width is its own
 * inverse. */
static inline guint64
shmkv_mix (guint64 x, guint64 seed)
{
  x ^= x >> 32;
  x *= SHMKV_MULTIPLIER_1;
  x += seed;
  x ^= x >> 32;
  return x * SHMKV_MULTIPLIER_2;
}

static inline guint64
shmkv_unmix (guint64 x, guint64 seed)
{
  x *= SHMKV_INVERSE_2;
  x ^= x >> 32;
  x -= seed;
  x *= SHMKV_INVERSE_1;
  return x ^ x >> 32;
}

/* `fraction` / 2^64 of `n`, rounded down. */
static inline guint64
shmkv_scale (guint64 fraction, guint64 n)
{
  return (unsigned __int128) fraction * n >> 64;
}

static inline guint64
shmkv_hash_integer (const ShmkvHash *hash, guint64 key)
{
  return shmkv_mix (key ^ hash->seeds[0], hash->seeds[1]);
}

static inline guint64
shmkv_unhash_integer (const ShmkvHash *hash, guint64 value)
{
  return shmkv_unmix (value, hash->seeds[1]) ^ hash->seeds[0];
}

/* Of a key of kind INTEGER or BYTES. */
guint64 shmkv_hash_key (const ShmkvHash *hash, const ShmkvField *key);

/* What remains of a hash when the bucket is known: the greater the hash, the
 * greater this among those in a bucket. */
static inline guint64
shmkv_hash_rest (const ShmkvHash *hash, guint64 value)
{
  return value * hash->n_buckets;
}

static inline guint
shmkv_hash_tag (const ShmkvHash *hash, guint64 value)
{
  return shmkv_hash_rest (hash, value) >> (64 - SHMKV_TAG_BITS);
}

G_END_DECLS
