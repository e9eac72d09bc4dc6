/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/hash.h"

#include <xxhash.h>

guint64
shmkv_hash_key (const ShmkvHash *hash, const ShmkvField *key)
{
  if (key->kind == SHMKV_WIRE_KIND_INTEGER)
    return shmkv_hash_integer (hash, key->integer);
  return XXH3_64bits_withSeed (key->bytes, key->integer, hash->bytes_seed);
}
