/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one thread of a benchmark does: keeps a window of requests in flight,
 * takes the responses and checks every one.
 *
 * The clock is read once per turn of the loop, that is once per chunk of
 * requests, or per request where the window is 1.  Latency is that of a chunk:
 * from when its first request is about to be submitted until its last response
 * was taken. */

#pragma once

#include "client/crew.h"
#include "client/histogram.h"
#include "client/keygen.h"

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

typedef enum
{
  CLI_BENCH_INSERT,
  CLI_BENCH_READ,
  CLI_BENCH_DELETE,
  CLI_BENCH_MIXED,         /* one half reads, the other half inserts */
  CLI_BENCH_PING
} CliBenchOp;

/* "insert", "read" and so on.  The error is CLI_ERROR_USAGE. */
gboolean cli_bench_op_parse (const char *text, CliBenchOp *op_out, GError **error);

#define CLI_BENCH_MAX_WINDOW (1u << 20)

typedef struct
{
  /* What to do. */
  ShmkvSession *session;
  CliBenchOp op;
  CliKeygen keygen;
  guint64 key_base;
  guint window;
  guint chunk;             /* requests between two flushes */
  gboolean has_all_keys;   /* a read that finds no key is wrong */
  guint64 next_id;         /* that the next response should have; kept from run to run */
  guint64 max_ops;
  gint64 max_ns;           /* 0: until max_ops */

  /* What came of it. */
  guint64 ops;
  guint64 errors;          /* that the server reported */
  guint64 wrong;           /* answers that cannot be right */
  guint64 missing;         /* reads and deletes that found no key */
  CliHistogram latency;    /* in nanoseconds */
} CliBenchLoop;

/* The chunk that suits a window. */
guint cli_bench_get_chunk (guint window);

/* The value that every benchmark inserts under a key. */
guint64 cli_bench_get_value (guint64 key);

/* A CliCrewFunc for a CliBenchLoop. */
gboolean cli_bench_loop_run (CliCrew *crew, gpointer loop, GError **error);

G_END_DECLS
