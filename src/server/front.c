/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/front.h"

#include "transport/cpus.h"
#include "transport/crash.h"
#include "wire/record.h"

static ShmkvSegment *
create_segment (const ShmkvServerOptions *options, const ShmkvFront *old, GError **error)
{
  ShmkvSegmentOptions segment_options = {
    .name = options->name,
    .geometry = { .sessions = options->sessions, .ring_size = options->ring_size },
    .buckets = options->buckets,
    .max_value = options->max_value != 0 ? options->max_value : SHMKV_WIRE_DEFAULT_MAX_VALUE,
    .mode = options->mode,
    .group = options->group,
  };

  return shmkv_segment_create (&segment_options, old != NULL ? old->segment : NULL, error);
}

ShmkvFront *
shmkv_front_new (const ShmkvServerOptions *options, const ShmkvFront *old, GError **error)
{
  ShmkvSegment *segment = create_segment (options, old, error);
  ShmkvFront *front;

  if (segment == NULL)
    return NULL;
  front = g_new0 (ShmkvFront, 1);
  front->segment = segment;
  return front;
}

static ShmkvPool *
create_pool (ShmkvFront *front, const ShmkvServerOptions *options, ShmkvServer *server,
             ShmkvTable *table)
{
  guint cpus = shmkv_cpus_allowed ();
  ShmkvPoolOptions pool_options = {
    .max_workers = options->max_workers,
    /* On a single CPU, a worker that spins keeps its clients from working. */
    .spin_ns = cpus > 1 ? options->spin_ns : 0,
    .max_awake = cpus,
  };

  return shmkv_pool_new (&pool_options, server, table, front->lanes, front->segment);
}

gboolean
shmkv_front_open (ShmkvFront *front, const ShmkvServerOptions *options, ShmkvServer *server,
                  ShmkvTable *table, GError **error)
{
  guint n_started;

  front->lanes = shmkv_lanes_new (front->segment, table);
  if (front->lanes != NULL)
    front->pool = create_pool (front, options, server, table);
  if (front->pool == NULL)
    {
      g_set_error_literal (error, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_NO_SPACE,
                           "not enough memory: lower --buckets, --sessions or --workers");
      return FALSE;
    }
  if (shmkv_pool_start_workers (front->pool, options->workers, &n_started) != SHMKV_POOL_DONE)
    {
      g_set_error (error, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_SYSTEM,
                   "cannot start %u workers: the system has not enough threads or memory left: lower "
                   "--workers",
                   options->workers);
      return FALSE;
    }
  SHMKV_CRASH_POINT ("start-set-up");
  shmkv_segment_publish (front->segment);
  return TRUE;
}

void
shmkv_front_stop (ShmkvFront *front)
{
  shmkv_segment_retire (front->segment);
  shmkv_front_stop_workers (front);
}

void
shmkv_front_stop_workers (ShmkvFront *front)
{
  if (front->pool == NULL)
    return;
  shmkv_pool_stop (front->pool);
  SHMKV_CRASH_POINT ("stop-workers-stopped");
}

void
shmkv_front_say_farewell (ShmkvFront *front)
{
  if (front->lanes == NULL)
    return;
  shmkv_segment_say_gone (front->segment);
  /* pairs with the fence in the client's nap() */
  atomic_thread_fence (memory_order_seq_cst);
  SHMKV_CRASH_POINT ("stop-farewell");
  shmkv_lanes_wake_all (front->lanes);
  SHMKV_CRASH_POINT ("stop-woken");
}

void
shmkv_front_free (ShmkvFront *front)
{
  g_clear_pointer (&front->pool, shmkv_pool_free);
  g_clear_pointer (&front->lanes, shmkv_lanes_free);
  shmkv_segment_free (front->segment);
  g_free (front);
}
