/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/stats.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[SHMKV_N_COUNTERS] = {
  [SHMKV_COUNTER_INSERTS] = "inserts",
  [SHMKV_COUNTER_READS] = "reads",
  [SHMKV_COUNTER_READ_HITS] = "read_hits",
  [SHMKV_COUNTER_DELETES] = "deletes",
  [SHMKV_COUNTER_DELETE_HITS] = "delete_hits",
  [SHMKV_COUNTER_OTHER_REQUESTS] = "other_requests",
  [SHMKV_COUNTER_FAILED_REQUESTS] = "failed_requests",
  [SHMKV_COUNTER_BATCHES] = "batches",
  [SHMKV_COUNTER_STALLS] = "stalls",
  [SHMKV_COUNTER_SLEEPS] = "sleeps",
  [SHMKV_COUNTER_WAKES] = "wakes",
  [SHMKV_COUNTER_SESSIONS_OPENED] = "sessions_opened",
  [SHMKV_COUNTER_SESSIONS_CLOSED] = "sessions_closed",
  [SHMKV_COUNTER_SESSIONS_RECLAIMED] = "sessions_reclaimed",
  [SHMKV_COUNTER_SESSIONS_DROPPED] = "sessions_dropped",
};

const char *
shmkv_counter_name (ShmkvCounter counter)
{
  return names[counter];
}

void
shmkv_counters_add (guint64 sum[SHMKV_N_COUNTERS], const ShmkvCounters *counters)
{
  for (guint i = 0; i < SHMKV_N_COUNTERS; i++)
    /* relaxed: counts */
    sum[i] += atomic_load_explicit (&counters->values[i], memory_order_relaxed);
}

ShmkvCounters *
shmkv_counters_new (void)
{
  ShmkvCounters *counters = aligned_alloc (SHMKV_WIRE_ALIGN, sizeof *counters);

  if (counters == NULL)
    g_error ("out of memory");
  memset (counters, 0, sizeof *counters);
  return counters;
}

void
shmkv_counters_free (ShmkvCounters *counters)
{
  free (counters);
}
