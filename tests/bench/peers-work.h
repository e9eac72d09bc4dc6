/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every peer is given to do by tests/bench/peers, which runs one program
 * for each: the same keys and values in the same loops, with the same checks.
 *
 * A program brings a PeersDriver, and its main() is peers_main().  It prints
 * one line for each phase, in CSV:
 *
 *   peer,phase,ops,seconds,mops,mean_ns,p50_ns,p99_ns,wrong,bytes_per_pair
 *
 *   insert      all keys, ascending, into an empty store
 *   read        random keys, pipelined
 *   multiget    the same, many keys to a command; of those that can
 *   mixed       half reads and half updates of keys with a Zipf distribution of
 *               0.99, scattered over all keys; pipelined
 *   roundtrip   random keys, one read after the other, each timed
 *
 * Pipelined: chunks of requests are sent for as long as the window has room;
 * then the oldest chunk's answers are awaited.  Stores inside the process have
 * no window: they do a chunk at once.  The loop and the checks take some 3 ns an
 * operation, and a look at the clock some 25 ns more in the last phase.
 *
 * Keys are the numbers from 0 up; that, and inserting them in order, favours
 * trees, hash tables that use the key itself as hash, and protocols of text.
 * Values have 64 bits that follow from the key, so that every answer can be
 * checked; an update writes the value that was there. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Requests that are sent together. */
typedef struct
{
  gsize n;
  gboolean multi;          /* reads only, to be sent as one command for all keys */
  guint64 *keys;
  guint64 *values;         /* to write; of those that are read, by take(), what came */
  gboolean *writes;        /* which are to be written */
  guint64 wrong;           /* counts answers that are wrong already in their form */
} PeersBatch;

typedef struct
{
  const char *name;
  int chunk;               /* how many to send together; at most half of the window */
  gboolean has_multi;      /* whether it can do batches with `multi` */

  /* `where` is the program's argument, for up to `n` keys. */
  gpointer (*open) (const char *where, guint64 n);

  void (*send) (gpointer store, PeersBatch *batch);

  /* Waits for all answers to the oldest batch; NULL where send() does it all. */
  void (*take) (gpointer store, PeersBatch *batch);

  void (*close) (gpointer store);
} PeersDriver;

int peers_main (const PeersDriver *driver, int argc, char **argv);

/* Says what is wrong, and ends the program. */
void peers_fail (const char *format, ...) G_GNUC_PRINTF (1, 2) G_GNUC_NORETURN;

G_END_DECLS
