/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A whole benchmark: every thread has a session, on which it both submits and
 * takes.  The phases: insert the keys, warm up, measure, delete the keys; the
 * last also after an error or a signal. */

#pragma once

#include "client/bench-loop.h"
#include "client/cli.h"
#include "client/server-info.h"

G_BEGIN_DECLS

#define CLI_BENCH_MAX_THREADS 1024

typedef struct
{
  CliBenchWork work;
  CliKeysDistribution distribution;
  const char *distribution_name;
  CliBenchData data;
  guint64 keys;
  guint64 ops;             /* 0: no limit */
  double seconds;          /* 0: no limit */
  double warmup;           /* 0: none */
  guint64 threads;
  guint64 window;
  guint64 rate;            /* operations a second of all threads; 0: closed loop */
  guint64 seed;
  gboolean no_preload;
  gboolean keep;
} CliBenchSettings;

typedef struct
{
  guint64 ops;
  guint64 errors;
  guint64 wrong;
  guint64 missing;
  guint64 pairs;
  gint64 ns;
  gint64 behind_ns;        /* of the thread that was the latest at the end */
  double client_cpu_ns;    /* user and system time for an operation */
  double server_cpu_ns;    /* negative where the server does not tell */
  CliHistogram latency;
} CliBenchResult;

/* Whether an open loop began its operations when it was told to, up to the end. */
gboolean cli_bench_has_kept_up (const CliBenchSettings *settings, const CliBenchResult *result);

typedef struct _CliBench CliBench;

/* Opens the sessions.  `settings` and `server` are to outlive it. */
CliBench *cli_bench_new (const CliContext *context, const CliBenchSettings *settings,
                         const CliServerInfo *server, GError **error);
void cli_bench_free (CliBench *bench);

/* Once. */
gboolean cli_bench_run (CliBench *bench, CliBenchResult *result, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CliBench, cli_bench_free)

G_END_DECLS
