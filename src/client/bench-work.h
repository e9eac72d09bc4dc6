/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a benchmark does: which operations, in which shares. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  CLI_BENCH_INSERT,        /* set a key of those that there are */
  CLI_BENCH_READ,
  CLI_BENCH_DELETE,
  CLI_BENCH_PING,
  CLI_BENCH_APPEND,        /* insert a key that is new */
  CLI_BENCH_SCAN,          /* a few pairs from some place on */
  CLI_BENCH_MODIFY,        /* read a key, then set it: one operation */
  CLI_BENCH_N_ACTIONS
} CliBenchAction;

/* Percent of each; together 100. */
typedef struct
{
  const char *name;
  const char *distribution;    /* the one that it has by default */
  guint percents[CLI_BENCH_N_ACTIONS];
} CliBenchWork;

/* What --op and --workload, of which one is to be given, and --reads mean; NULL,
 * or CLI_BENCH_NO_READS, is what was not given.  The error is CLI_ERROR_USAGE. */
gboolean cli_bench_work_parse (const char *op, const char *workload, guint64 reads,
                               CliBenchWork *work_out, GError **error);

#define CLI_BENCH_NO_READS G_MAXUINT64

/* The one operation of which there are 100 percent. */
static inline CliBenchWork
cli_bench_work_of (CliBenchAction action)
{
  CliBenchWork work = { .name = "" };

  work.percents[action] = 100;
  return work;
}

/* Whether it is nothing but reads and inserts of keys that there are, deletes or
 * pings, each of which is one request. */
gboolean cli_bench_work_is_plain (const CliBenchWork *work);

/* Whether it deletes none. */
gboolean cli_bench_work_keeps_keys (const CliBenchWork *work);

/* Whether it is about keys at all. */
gboolean cli_bench_work_has_keys (const CliBenchWork *work);

G_END_DECLS
