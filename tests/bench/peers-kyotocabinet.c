/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kyoto Cabinet's StashDB, its hash table in the process's memory that is safe
 * for threads; as many buckets as keys. */

#include "bench/peers-work.h"

#include <kclangc.h>

static gpointer
open_store (const char *where, guint64 n)
{
  g_autofree char *path = g_strdup_printf (":#bnum=%" G_GUINT64_FORMAT, n);
  KCDB *db = kcdbnew ();

  if (!kcdbopen (db, path, KCOWRITER | KCOCREATE))
    peers_fail ("kcdbopen: %s", kcdbemsg (db));
  return db;
}

static void
send_batch (gpointer store, PeersBatch *batch)
{
  for (gsize i = 0; i < batch->n; i++)
    {
      const char *key = (const char *) &batch->keys[i];
      char *value = (char *) &batch->values[i];

      if (!batch->writes[i])
        kcdbgetbuf (store, key, sizeof (guint64), value, sizeof (guint64));
      else if (!kcdbset (store, key, sizeof (guint64), value, sizeof (guint64)))
        peers_fail ("kcdbset: %s", kcdbemsg (store));
    }
}

static void
close_store (gpointer store)
{
  kcdbclose (store);
  kcdbdel (store);
}

int
main (int argc, char **argv)
{
  static const PeersDriver driver = {
    "kyotocabinet", 1024, FALSE, open_store, send_batch, NULL, close_store
  };

  return peers_main (&driver, argc, argv);
}
