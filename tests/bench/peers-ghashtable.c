/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A GHashTable behind one GRWLock, which is taken for each operation: what
 * threads of one process share.  The hash is the key itself, which costs
 * nothing, and suits keys that are numbers from 0 up best. */

#include "bench/peers-work.h"

typedef struct
{
  GHashTable *table;
  GRWLock lock;
} Store;

static gpointer
open_store (const char *where, guint64 n)
{
  Store *store = g_new0 (Store, 1);

  store->table = g_hash_table_new (g_direct_hash, g_direct_equal);
  g_rw_lock_init (&store->lock);
  return store;
}

static void
send_batch (gpointer data, PeersBatch *batch)
{
  Store *store = data;

  for (gsize i = 0; i < batch->n; i++)
    {
      gpointer key = GSIZE_TO_POINTER (batch->keys[i]);

      if (batch->writes[i])
        {
          g_rw_lock_writer_lock (&store->lock);
          g_hash_table_insert (store->table, key, GSIZE_TO_POINTER (batch->values[i]));
          g_rw_lock_writer_unlock (&store->lock);
        }
      else
        {
          g_rw_lock_reader_lock (&store->lock);
          batch->values[i] = GPOINTER_TO_SIZE (g_hash_table_lookup (store->table, key));
          g_rw_lock_reader_unlock (&store->lock);
        }
    }
}

static void
close_store (gpointer data)
{
  Store *store = data;

  g_hash_table_unref (store->table);
  g_rw_lock_clear (&store->lock);
  g_free (store);
}

int
main (int argc, char **argv)
{
  static const PeersDriver driver = {
    "ghashtable", 1024, FALSE, open_store, send_batch, NULL, close_store
  };

  return peers_main (&driver, argc, argv);
}
