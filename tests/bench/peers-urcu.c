/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The lock-free hash table of liburcu, in the process: about the fastest that
 * threads can share.  A read is a section of its own; an update stores into the
 * pair that is there. */

#include "bench/peers-work.h"

/* Its calls inline. */
#define _LGPL_SOURCE
#include <urcu.h>
#include <urcu/rculfhash.h>

typedef struct
{
  struct cds_lfht_node node;
  guint64 key;
  guint64 value;
} Pair;

typedef struct
{
  struct cds_lfht *table;
  Pair *pairs;             /* those of the table, made at once */
  gsize n_pairs;
} Store;

static unsigned long
hash (guint64 key)
{
  key = (key ^ key >> 32) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  return key ^ key >> 32;
}

static int
match (struct cds_lfht_node *node, const void *key)
{
  return caa_container_of (node, Pair, node)->key == *(const guint64 *) key;
}

static Pair *
find (struct cds_lfht *table, const guint64 *key)
{
  struct cds_lfht_iter iter;
  struct cds_lfht_node *node;

  cds_lfht_lookup (table, hash (*key), match, key, &iter);
  node = cds_lfht_iter_get_node (&iter);
  return node != NULL ? caa_container_of (node, Pair, node) : NULL;
}

static gpointer
open_store (const char *where, guint64 n)
{
  gulong n_buckets = 1ul << g_bit_storage (n - 1);
  Store *store = g_new0 (Store, 1);

  rcu_register_thread ();
  store->table = cds_lfht_new (n_buckets, n_buckets, n_buckets, 0, NULL);
  store->pairs = g_new (Pair, n);
  return store;
}

static void
write_one (Store *store, guint64 key, guint64 value)
{
  Pair *pair = find (store->table, &key);

  if (pair != NULL)
    {
      CMM_STORE_SHARED (pair->value, value);
      return;
    }
  pair = &store->pairs[store->n_pairs++];
  cds_lfht_node_init (&pair->node);
  pair->key = key;
  pair->value = value;
  cds_lfht_add (store->table, hash (key), &pair->node);
}

static void
send_batch (gpointer data, PeersBatch *batch)
{
  Store *store = data;

  for (gsize i = 0; i < batch->n; i++)
    {
      rcu_read_lock ();
      if (batch->writes[i])
        write_one (store, batch->keys[i], batch->values[i]);
      else
        {
          const Pair *pair = find (store->table, &batch->keys[i]);

          batch->values[i] = pair != NULL ? CMM_LOAD_SHARED (pair->value) : 0;
        }
      rcu_read_unlock ();
    }
}

static void
close_store (gpointer data)
{
  Store *store = data;

  for (gsize i = 0; i < store->n_pairs; i++)
    {
      rcu_read_lock ();
      cds_lfht_del (store->table, &store->pairs[i].node);
      rcu_read_unlock ();
    }
  cds_lfht_destroy (store->table, NULL);
  g_free (store->pairs);
  g_free (store);
  rcu_unregister_thread ();
}

int
main (int argc, char **argv)
{
  static const PeersDriver driver = {
    "urcu", 1024, FALSE, open_store, send_batch, NULL, close_store
  };

  return peers_main (&driver, argc, argv);
}
