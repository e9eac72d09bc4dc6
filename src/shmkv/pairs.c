/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/pairs-private.h"

#include "wire/record.h"

struct _ShmkvPairs
{
  gatomicrefcount references;
  guint64 *body;
  gsize n_bytes;
  guint32 *places;                  /* of each pair: its first word in the body */
  gsize n;
};

/* An index of 32 bits is enough for every word, and takes a quarter of the
 * shortest pair: what a server sends cannot grow in here to many times its
 * size. */
G_STATIC_ASSERT (SHMKV_WIRE_MAX_BODY / 8 <= G_MAXUINT32);

static ShmkvDatum
datum_of (const ShmkvField *field)
{
  ShmkvDatum datum = { .kind = (ShmkvKind) field->kind };

  if (field->kind == SHMKV_WIRE_KIND_BYTES)
    {
      datum.bytes = field->bytes;
      datum.length = field->integer;
    }
  else
    datum.integer = field->integer;
  return datum;
}

/* The pair at `*cursor`, which has a key; moves past it. */
static gboolean
next_pair (const uint64_t **cursor, size_t *left, ShmkvPair *pair_out)
{
  return shmkv_pair_decode (cursor, left, pair_out) && pair_out->key.kind != SHMKV_WIRE_KIND_NONE;
}

/* Counts the pairs; FALSE where they are not well formed. */
static gboolean
count (ShmkvPairs *pairs)
{
  const uint64_t *cursor = pairs->body;
  size_t left = pairs->n_bytes;
  ShmkvPair pair;

  for (; left > 0; pairs->n++)
    if (!next_pair (&cursor, &left, &pair))
      return FALSE;
  return TRUE;
}

static gboolean
note_places (ShmkvPairs *pairs)
{
  const uint64_t *cursor = pairs->body;
  size_t left = pairs->n_bytes;
  ShmkvPair pair;

  /* Not g_new(), which ends the program: a server chose the size. */
  pairs->places = g_try_new (guint32, pairs->n);
  if (pairs->places == NULL && pairs->n > 0)
    return FALSE;
  for (gsize i = 0; i < pairs->n; i++)
    {
      pairs->places[i] = (guint32) (cursor - pairs->body);
      next_pair (&cursor, &left, &pair);
    }
  return TRUE;
}

ShmkvPairs *
shmkv_pairs_new_take (guint64 *body, gsize n_bytes, gboolean *no_memory_out)
{
  g_autoptr (ShmkvPairs) pairs = g_new0 (ShmkvPairs, 1);
  gboolean well_formed, complete;

  g_atomic_ref_count_init (&pairs->references);
  pairs->body = body;
  pairs->n_bytes = n_bytes;
  well_formed = count (pairs);
  complete = well_formed && note_places (pairs);
  if (no_memory_out != NULL)
    *no_memory_out = well_formed && !complete;
  return complete ? g_steal_pointer (&pairs) : NULL;
}

static ShmkvPair
pair_at (const ShmkvPairs *pairs, gsize index)
{
  const uint64_t *cursor = pairs->body + pairs->places[index];
  size_t left = pairs->n_bytes - (gsize) pairs->places[index] * 8;
  ShmkvPair pair = { .ttl_ms = 0 };

  shmkv_pair_decode (&cursor, &left, &pair);
  return pair;
}

ShmkvPairs *
shmkv_pairs_ref (ShmkvPairs *pairs)
{
  g_return_val_if_fail (pairs != NULL, NULL);

  g_atomic_ref_count_inc (&pairs->references);
  return pairs;
}

void
shmkv_pairs_unref (ShmkvPairs *pairs)
{
  g_return_if_fail (pairs != NULL);

  if (!g_atomic_ref_count_dec (&pairs->references))
    return;
  g_free (pairs->places);
  g_free (pairs->body);
  g_free (pairs);
}

gsize
shmkv_pairs_get_length (const ShmkvPairs *pairs)
{
  g_return_val_if_fail (pairs != NULL, 0);

  return pairs->n;
}

void
shmkv_pairs_get (const ShmkvPairs *pairs, gsize index, ShmkvDatum *key_out, ShmkvDatum *value_out)
{
  ShmkvPair pair;

  g_return_if_fail (pairs != NULL);
  g_return_if_fail (index < pairs->n);

  pair = pair_at (pairs, index);
  if (key_out != NULL)
    *key_out = datum_of (&pair.key);
  if (value_out != NULL)
    *value_out = datum_of (&pair.value);
}

guint64
shmkv_pairs_get_ttl (const ShmkvPairs *pairs, gsize index)
{
  g_return_val_if_fail (pairs != NULL, 0);
  g_return_val_if_fail (index < pairs->n, 0);

  return pair_at (pairs, index).ttl_ms;
}
