/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* TDB in memory: WHERE is a directory in a tmpfs.  Shared between processes, so
 * it locks, but with mutexes in the file and not by fcntl(2); never synchronized.
 * As many chains as keys. */

#include "bench/peers-work.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/types.h>
#include <tdb.h>

static gpointer
open_store (const char *where, guint64 n)
{
  g_autofree char *path = g_build_filename (where, "peers.tdb", NULL);
  int flags = TDB_NOSYNC | TDB_CLEAR_IF_FIRST | TDB_INCOMPATIBLE_HASH;
  struct tdb_context *tdb;

  if (tdb_runtime_check_for_robust_mutexes ())
    flags |= TDB_MUTEX_LOCKING;
  tdb = tdb_open (path, MIN (n, G_MAXINT / 8) | 1, flags, O_RDWR | O_CREAT, 0600);
  if (tdb == NULL)
    peers_fail ("tdb_open failed for %s", path);
  return tdb;
}

static int
take_value (TDB_DATA key, TDB_DATA data, void *value_out)
{
  if (data.dsize == sizeof (guint64))
    memcpy (value_out, data.dptr, sizeof (guint64));
  return 0;
}

static void
send_batch (gpointer store, PeersBatch *batch)
{
  for (gsize i = 0; i < batch->n; i++)
    {
      TDB_DATA key = { (unsigned char *) &batch->keys[i], sizeof (guint64) };
      TDB_DATA value = { (unsigned char *) &batch->values[i], sizeof (guint64) };

      if (!batch->writes[i])
        tdb_parse_record (store, key, take_value, &batch->values[i]);
      else if (tdb_store (store, key, value, TDB_REPLACE) != 0)
        peers_fail ("tdb_store: %s", tdb_errorstr (store));
    }
}

static void
close_store (gpointer store)
{
  tdb_close (store);
}

int
main (int argc, char **argv)
{
  static const PeersDriver driver = {
    "tdb", 1024, FALSE, open_store, send_batch, NULL, close_store
  };

  return peers_main (&driver, argc, argv);
}
