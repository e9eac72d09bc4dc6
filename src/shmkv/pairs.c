/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/pairs-private.h"

#include "wire/record.h"

struct _ShmkvPairs
{
  gatomicrefcount references;
  guint64 *body;
  GArray *entries;                  /* of Entry, pointing into the body */
};

typedef struct
{
  ShmkvDatum key;
  ShmkvDatum value;
} Entry;

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

ShmkvPairs *
shmkv_pairs_new_take (guint64 *body, gsize n_bytes)
{
  g_autoptr (ShmkvPairs) pairs = g_new0 (ShmkvPairs, 1);
  const uint64_t *cursor = body;
  size_t left = n_bytes;

  g_atomic_ref_count_init (&pairs->references);
  pairs->body = body;
  pairs->entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  while (left > 0)
    {
      ShmkvField key, value;
      Entry entry;

      if (!shmkv_pair_decode (&cursor, &left, &key, &value))
        return NULL;
      entry.key = datum_of (&key);
      entry.value = datum_of (&value);
      g_array_append_val (pairs->entries, entry);
    }
  return g_steal_pointer (&pairs);
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
  g_array_unref (pairs->entries);
  g_free (pairs->body);
  g_free (pairs);
}

gsize
shmkv_pairs_get_length (const ShmkvPairs *pairs)
{
  g_return_val_if_fail (pairs != NULL, 0);

  return pairs->entries->len;
}

void
shmkv_pairs_get (const ShmkvPairs *pairs, gsize index, ShmkvDatum *key_out, ShmkvDatum *value_out)
{
  const Entry *entry;

  g_return_if_fail (pairs != NULL);
  g_return_if_fail (index < pairs->entries->len);

  entry = &g_array_index (pairs->entries, Entry, index);
  if (key_out != NULL)
    *key_out = entry->key;
  if (value_out != NULL)
    *value_out = entry->value;
}
