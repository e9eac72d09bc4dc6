/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a worker needs to carry out requests: its own, or everybody's. */

#pragma once

#include "server/lane.h"
#include "server/server.h"
#include "server/stats.h"
#include "server/table.h"

G_BEGIN_DECLS

/* Requests that are decoded in full are copied there, a batch of them. */
#define SHMKV_SCRATCH_SIZE (64u << 10)

/* Values that are answers are copied there, if they fit; so does a pair of the
 * longest key and a word. */
#define SHMKV_ANSWER_SIZE (SHMKV_WIRE_MAX_KEY_SIZE + 4096u)

typedef struct
{
  ShmkvServer *server;
  ShmkvTable *table;
  ShmkvCounters *counters;          /* the worker's own */
  ShmkvReader *reader;              /* the same; to pass between batches, to rest while asleep */
  guint64 *scratch;                 /* the same */
  guint64 *answer;                  /* the same */
  guint n_batches;
  guint batch_max;                  /* requests in a batch, at present */
  gboolean hurries;                 /* somebody waits who has little to do: turns are short */
  ShmkvLane *lanes;                 /* all of them; where it owes */
  gboolean owes;                    /* `owed` is not empty */
  guint64 owed[SHMKV_WIRE_MAX_SESSIONS / 64]; /* a bit per lane; see shmkv_execute_later() */
  void (*before_slow) (gpointer data); /* called before what may take long; or NULL */
  gpointer before_slow_data;
} ShmkvExecutor;

/* FALSE where there is no memory.  The arguments outlive it. */
gboolean shmkv_executor_init (ShmkvExecutor *executor, ShmkvServer *server, ShmkvTable *table,
                              ShmkvCounters *counters);
void shmkv_executor_clear (ShmkvExecutor *executor);

G_END_DECLS
