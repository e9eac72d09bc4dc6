/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Carries out the requests of a lane, a batch at a time.
 *
 * A batch goes through stages, so that the memory that a request needs is on
 * its way while the others are looked at: decode all, hash and prefetch the
 * buckets, prefetch locks and slots, execute and respond, publish once. */

#pragma once

#include "server/lane.h"
#include "server/server.h"
#include "server/stats.h"
#include "server/table.h"

G_BEGIN_DECLS

#define SHMKV_BATCH_MAX 32

typedef struct
{
  ShmkvServer *server;
  ShmkvTable *table;
  ShmkvCounters *counters;          /* the worker's own */
} ShmkvExecutor;

/* Serves a batch of an active lane that the caller holds.  How many requests
 * were carried out; 0 where there is nothing to do, no room for responses, or
 * where the lane had to be dropped. */
guint shmkv_execute_batch (const ShmkvExecutor *executor, ShmkvLane *lane);

/* Carries out what the lane's last owner published, without answering. */
void shmkv_execute_rest (const ShmkvExecutor *executor, ShmkvLane *lane);

G_END_DECLS
