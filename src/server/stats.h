/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Counters of what the server does.  Each worker has its own set, which only
 * it writes; whoever asks for statistics adds them up. */

#pragma once

#include "wire/layout.h"

#include <glib.h>

G_BEGIN_DECLS

/* The names are those that `shmkv-client stats` shows. */
typedef enum
{
  SHMKV_COUNTER_INSERTS,
  SHMKV_COUNTER_READS,
  SHMKV_COUNTER_READ_HITS,
  SHMKV_COUNTER_DELETES,
  SHMKV_COUNTER_DELETE_HITS,
  SHMKV_COUNTER_ADDS,
  SHMKV_COUNTER_EXPIRES,
  SHMKV_COUNTER_TTLS,
  SHMKV_COUNTER_SCANS,
  SHMKV_COUNTER_WAITS,
  SHMKV_COUNTER_WATCHES,
  SHMKV_COUNTER_OTHER_REQUESTS,
  SHMKV_COUNTER_MISMATCHES,
  SHMKV_COUNTER_FAILED_REQUESTS,
  SHMKV_COUNTER_BYTES_IN,
  SHMKV_COUNTER_BYTES_OUT,
  SHMKV_COUNTER_BATCHES,
  SHMKV_COUNTER_STALLS,
  SHMKV_COUNTER_SLEEPS,
  SHMKV_COUNTER_MUTES,
  SHMKV_COUNTER_WAKES,
  SHMKV_COUNTER_SESSIONS_OPENED,
  SHMKV_COUNTER_SESSIONS_CLOSED,
  SHMKV_COUNTER_SESSIONS_RECLAIMED,
  SHMKV_COUNTER_SESSIONS_DROPPED,
  /* The time from picking a batch up to publishing its answers, of one out of
   * many: how many took up to 64 ns, up to 128 ns, and so on; what takes longer
   * than the last says counts there. */
  SHMKV_COUNTER_SERVICE_NS,
  SHMKV_N_COUNTERS = SHMKV_COUNTER_SERVICE_NS + 25
} ShmkvCounter;

#define SHMKV_SERVICE_NS_FIRST_BIT 6 /* 64 ns */

typedef struct
{
  alignas (SHMKV_WIRE_ALIGN) _Atomic guint64 values[SHMKV_N_COUNTERS];
} ShmkvCounters;

const char *shmkv_counter_name (ShmkvCounter counter);

gint64 shmkv_clock_ns (void);

/* The CPU time of this process so far, in microseconds. */
void shmkv_get_cpu_times (guint64 *user_us_out, guint64 *system_us_out);

/* This version as a number: 10000 for each major, 100 for each minor. */
guint64 shmkv_get_version_number (void);

/* All zero; NULL where there is no memory. */
ShmkvCounters *shmkv_counters_new (void);
void shmkv_counters_free (ShmkvCounters *counters);

/* By the owner only. */
static inline void
shmkv_count (ShmkvCounters *counters, ShmkvCounter counter, guint64 n)
{
  /* relaxed: counts, with one writer */
  guint64 value = atomic_load_explicit (&counters->values[counter], memory_order_relaxed);

  atomic_store_explicit (&counters->values[counter], value + n, memory_order_relaxed);
}

/* The same, of a batch that took so long. */
void shmkv_count_service (ShmkvCounters *counters, gint64 ns);

/* Adds `counters`, which may be in use, to `sum`, which is the caller's. */
void shmkv_counters_add (guint64 sum[SHMKV_N_COUNTERS], const ShmkvCounters *counters);

G_END_DECLS
