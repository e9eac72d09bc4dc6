/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one thread of a benchmark does: keeps a window of requests in flight,
 * takes the responses and checks every one.
 *
 * There are two loops for it.  The plain one, bench-loop.c, is for integers in
 * requests of one operation each, as fast as they go; it reads the clock once per
 * chunk of requests, and is kept short, since its cost is measured too.  The
 * other one, bench-mix.c, can do all there is.
 *
 * A request's latency is the time from before the first of its chunk is
 * submitted until its response was taken.  In an open loop, where operations
 * begin at times that were fixed before, it is the time from when it was to
 * begin: so what it had to wait for those before it counts too. */

#pragma once

#include "client/bench-data.h"
#include "client/bench-work.h"
#include "client/crew.h"
#include "client/histogram.h"
#include "client/keygen.h"

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

#define CLI_BENCH_MAX_WINDOW (1u << 20)

typedef struct
{
  /* What to do. */
  ShmkvSession *session;
  const CliBenchWork *work;
  const CliBenchData *data;
  const GArray *cursors;   /* of guint64: where scans can begin; needed for them only */
  CliKeygen keygen;
  guint64 key_base;
  guint window;
  guint chunk;             /* requests between two flushes */
  gboolean has_all_keys;   /* a read that finds no key is wrong */
  guint64 next_id;         /* that the next response should have; kept from run to run */
  guint64 max_ops;
  gint64 max_ns;           /* 0: until max_ops */
  double period_ns;        /* open loop: from one operation to the next; 0: closed loop */
  double first_ns;         /* open loop: when the first one is to begin */

  /* What came of it. */
  guint64 ops;
  guint64 errors;          /* that the server reported */
  guint64 wrong;           /* answers that cannot be right */
  guint64 missing;         /* reads and deletes that found no key */
  guint64 pairs;           /* that scans brought */
  gint64 behind_ns;        /* open loop: how late the last operation began */
  CliHistogram latency;    /* in nanoseconds */
} CliBenchLoop;

/* The chunk that suits a window. */
guint cli_bench_get_chunk (guint window);

/* CliCrewFuncs for a CliBenchLoop.  The first one picks the loop that is right. */
gboolean cli_bench_loop_run (CliCrew *crew, gpointer loop, GError **error);
gboolean cli_bench_mix_run (CliCrew *crew, gpointer loop, GError **error);

G_END_DECLS
