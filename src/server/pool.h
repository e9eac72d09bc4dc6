/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The workers: as many as asked for, but no more awake than it pays.
 *
 * One worker leads.  It goes round the lanes and serves them; when there is
 * nothing to do it spins for a while, then sleeps on the doorbell.  The others
 * help: they sleep until the leader finds, round after round, more lanes with
 * work than it can take, and go back to sleep when they find none.  So at most
 * one idle worker spins, clients have at most one sleeper to wake, and sixteen
 * workers cost no more than one until there is work for them.  No more workers
 * are awake than there are CPUs.
 *
 * A leader that is woken again and again for nothing is deaf to the doorbell for a
 * moment, and looks for work only then: so nobody can keep it busy who has nothing
 * for it to do.
 *
 * Before the leader does something that takes long, it gives up the lead where
 * there are helpers: the next one that has nothing to do takes it.
 *
 * The leader never stops but at the end of the server: to stop a worker is to
 * stop a helper. */

#pragma once

#include "server/lanes.h"

G_BEGIN_DECLS

typedef struct _ShmkvPool ShmkvPool;

typedef struct
{
  guint max_workers;
  gint64 spin_ns;                   /* how long the leader spins at most */
  guint max_awake;                  /* workers awake at once; at least 1 */
} ShmkvPoolOptions;

typedef enum
{
  SHMKV_POOL_DONE,
  SHMKV_POOL_TOO_MANY,              /* beyond the maximum, or none */
  SHMKV_POOL_LAST_WORKER,
  SHMKV_POOL_NO_THREADS             /* the system has none left */
} ShmkvPoolResult;

/* A pool without workers.  The arguments outlive it.  NULL where there is no
 * memory. */
ShmkvPool *shmkv_pool_new (const ShmkvPoolOptions *options, ShmkvServer *server,
                           ShmkvTable *table, ShmkvLanes *lanes, const ShmkvSegment *segment);

/* Stops all workers, each after its turn, and waits for them. */
void shmkv_pool_stop (ShmkvPool *pool);

/* After stopping. */
void shmkv_pool_free (ShmkvPool *pool);

/* Adds `n` workers, or none.  By any thread. */
ShmkvPoolResult shmkv_pool_start_workers (ShmkvPool *pool, guint64 n, guint *n_workers_out);

/* Stops one, soon.  By any thread, also by a worker. */
ShmkvPoolResult shmkv_pool_stop_worker (ShmkvPool *pool, guint *n_workers_out);

guint shmkv_pool_get_n_workers (ShmkvPool *pool);

/* Adds what the workers have counted, also those that are no more. */
void shmkv_pool_add_counters (ShmkvPool *pool, guint64 sum[SHMKV_N_COUNTERS]);

G_END_DECLS
