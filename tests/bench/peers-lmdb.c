/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* LMDB in memory: WHERE is a directory in a tmpfs.  Written through the map and
 * never synchronized, one write transaction for a batch with writes; reads in
 * one transaction that is renewed for each batch.  Keys are integers to it. */

#include "bench/peers-work.h"

#include <lmdb.h>
#include <string.h>

typedef struct
{
  MDB_env *env;
  MDB_dbi table;
  MDB_txn *reader;         /* reset between batches */
} Store;

static void
require (int code, const char *what)
{
  if (code != 0)
    peers_fail ("%s: %s", what, mdb_strerror (code));
}

static gpointer
open_store (const char *where, guint64 n)
{
  Store *store = g_new0 (Store, 1);
  MDB_txn *txn;

  require (mdb_env_create (&store->env), "mdb_env_create");
  require (mdb_env_set_mapsize (store->env, (64 << 20) + 256 * n), "mdb_env_set_mapsize");
  require (mdb_env_open (store->env, where, MDB_NOSYNC | MDB_WRITEMAP | MDB_NORDAHEAD, 0600),
           "mdb_env_open");
  require (mdb_txn_begin (store->env, NULL, 0, &txn), "mdb_txn_begin");
  require (mdb_dbi_open (txn, NULL, MDB_INTEGERKEY, &store->table), "mdb_dbi_open");
  require (mdb_txn_commit (txn), "mdb_txn_commit");
  require (mdb_txn_begin (store->env, NULL, MDB_RDONLY, &store->reader), "mdb_txn_begin");
  mdb_txn_reset (store->reader);
  return store;
}

static gboolean
has_writes (const PeersBatch *batch)
{
  for (gsize i = 0; i < batch->n; i++)
    {
      if (batch->writes[i])
        return TRUE;
    }
  return FALSE;
}

static void
do_batch (Store *store, MDB_txn *txn, PeersBatch *batch)
{
  for (gsize i = 0; i < batch->n; i++)
    {
      MDB_val key = { sizeof (guint64), &batch->keys[i] };
      MDB_val value = { sizeof (guint64), &batch->values[i] };

      if (batch->writes[i])
        require (mdb_put (txn, store->table, &key, &value, 0), "mdb_put");
      else if (mdb_get (txn, store->table, &key, &value) == 0 && value.mv_size == sizeof (guint64))
        memcpy (&batch->values[i], value.mv_data, sizeof (guint64));
    }
}

static void
send_batch (gpointer data, PeersBatch *batch)
{
  Store *store = data;
  MDB_txn *txn;

  if (has_writes (batch))
    {
      require (mdb_txn_begin (store->env, NULL, 0, &txn), "mdb_txn_begin");
      do_batch (store, txn, batch);
      require (mdb_txn_commit (txn), "mdb_txn_commit");
      return;
    }
  require (mdb_txn_renew (store->reader), "mdb_txn_renew");
  do_batch (store, store->reader, batch);
  mdb_txn_reset (store->reader);
}

static void
close_store (gpointer data)
{
  Store *store = data;

  mdb_txn_abort (store->reader);
  mdb_env_close (store->env);
  g_free (store);
}

int
main (int argc, char **argv)
{
  static const PeersDriver driver = {
    "lmdb", 1024, FALSE, open_store, send_batch, NULL, close_store
  };

  return peers_main (&driver, argc, argv);
}
