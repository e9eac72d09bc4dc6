/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/owned.h"

#include "transport/crash.h"

#include <string.h>

/* Fewer than that are not worth looking through. */
#define MIN_LIMIT 64

/* So many are deleted at once: each is somewhere else in memory. */
#define END_KEYS 64

typedef struct
{
  ShmkvField key;
  ShmkvTablePlace place;
} Entry;

/* A copy of a key: one block, with the bytes behind it. */
static Entry *
entry_new (const ShmkvField *key, const ShmkvTablePlace *place)
{
  gsize length = key->kind == SHMKV_WIRE_KIND_BYTES ? (gsize) key->integer : 0;
  Entry *entry = g_try_malloc (sizeof *entry + length);

  if (entry == NULL)
    return NULL;
  *entry = (Entry) { .key = *key, .place = *place };
  if (key->kind == SHMKV_WIRE_KIND_BYTES)
    {
      entry->key.bytes = entry + 1;
      memcpy (entry + 1, key->bytes, length);
    }
  return entry;
}

/* The table's hash: nobody can make his keys collide, and a worker slow. */
static guint
hash_entry (gconstpointer data)
{
  const Entry *entry = data;

  return (guint) (entry->place.hash ^ entry->place.hash >> 32);
}

static gboolean
equal_entries (gconstpointer a_data, gconstpointer b_data)
{
  const Entry *a = a_data, *b = b_data;

  return shmkv_field_equals (&a->key, &b->key);
}

void
shmkv_owned_init (ShmkvOwned *owned, guint64 owner)
{
  *owned = (ShmkvOwned) { .owner = owner, .limit = MIN_LIMIT };
}

/* Keys that were deleted, or inserted by somebody else, since. */
static void
forget_lost (ShmkvOwned *owned, ShmkvTable *table)
{
  GHashTableIter iter;
  gpointer data;

  g_hash_table_iter_init (&iter, owned->keys);
  while (g_hash_table_iter_next (&iter, &data, NULL))
    {
      const Entry *entry = data;

      if (!shmkv_table_is_owned (table, &entry->place, &entry->key, owned->owner))
        g_hash_table_iter_remove (&iter);
    }
  owned->limit = MAX (MIN_LIMIT, 2 * g_hash_table_size (owned->keys));
}

gboolean
shmkv_owned_add (ShmkvOwned *owned, ShmkvTable *table, const ShmkvField *key,
                 const ShmkvTablePlace *place)
{
  const Entry like = { .key = *key, .place = *place };
  Entry *entry;

  if (owned->keys == NULL)
    owned->keys = g_hash_table_new_full (hash_entry, equal_entries, g_free, NULL);
  if (g_hash_table_contains (owned->keys, &like))
    return TRUE;
  if (g_hash_table_size (owned->keys) >= owned->limit)
    forget_lost (owned, table);
  entry = entry_new (key, place);
  if (entry == NULL)
    return FALSE;
  g_hash_table_add (owned->keys, entry);
  return TRUE;
}

/* What is done is removed at once: to free all of it in the end would take long,
 * too, and to begin anew each time would be to walk past what is gone. */
gboolean
shmkv_owned_end (ShmkvOwned *owned, ShmkvTable *table)
{
  gpointer data;

  if (owned->keys == NULL)
    return TRUE;
  if (!owned->ends)
    g_hash_table_iter_init (&owned->iter, owned->keys);
  owned->ends = TRUE;
  for (guint i = 0; i < END_KEYS; i++)
    {
      const Entry *entry;

      if (!g_hash_table_iter_next (&owned->iter, &data, NULL))
        {
          shmkv_owned_clear (owned);
          return TRUE;
        }
      entry = data;
      shmkv_table_delete_owned (table, &entry->place, &entry->key, owned->owner);
      g_hash_table_iter_remove (&owned->iter);
      SHMKV_CRASH_POINT ("reset-owned-key");
    }
  return FALSE;
}

void
shmkv_owned_clear (ShmkvOwned *owned)
{
  g_clear_pointer (&owned->keys, g_hash_table_unref);
}
