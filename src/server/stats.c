/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char *const names[SHMKV_N_COUNTERS] = {
  [SHMKV_COUNTER_INSERTS] = "inserts",
  [SHMKV_COUNTER_READS] = "reads",
  [SHMKV_COUNTER_READ_HITS] = "read_hits",
  [SHMKV_COUNTER_DELETES] = "deletes",
  [SHMKV_COUNTER_DELETE_HITS] = "delete_hits",
  [SHMKV_COUNTER_ADDS] = "adds",
  [SHMKV_COUNTER_EXPIRES] = "expires",
  [SHMKV_COUNTER_TTLS] = "ttls",
  [SHMKV_COUNTER_SCANS] = "scans",
  [SHMKV_COUNTER_WAITS] = "waits",
  [SHMKV_COUNTER_WATCHES] = "watches",
  [SHMKV_COUNTER_OTHER_REQUESTS] = "other_requests",
  [SHMKV_COUNTER_MISMATCHES] = "mismatches",
  [SHMKV_COUNTER_FAILED_REQUESTS] = "failed_requests",
  [SHMKV_COUNTER_BYTES_IN] = "bytes_in",
  [SHMKV_COUNTER_BYTES_OUT] = "bytes_out",
  [SHMKV_COUNTER_BATCHES] = "batches",
  [SHMKV_COUNTER_STALLS] = "stalls",
  [SHMKV_COUNTER_SLEEPS] = "sleeps",
  [SHMKV_COUNTER_MUTES] = "mutes",
  [SHMKV_COUNTER_WAKES] = "wakes",
  [SHMKV_COUNTER_SESSIONS_OPENED] = "sessions_opened",
  [SHMKV_COUNTER_SESSIONS_CLOSED] = "sessions_closed",
  [SHMKV_COUNTER_SESSIONS_RECLAIMED] = "sessions_reclaimed",
  [SHMKV_COUNTER_SESSIONS_DROPPED] = "sessions_dropped",
  [SHMKV_COUNTER_SERVICE_NS + 0] = "service_ns_64",
  [SHMKV_COUNTER_SERVICE_NS + 1] = "service_ns_128",
  [SHMKV_COUNTER_SERVICE_NS + 2] = "service_ns_256",
  [SHMKV_COUNTER_SERVICE_NS + 3] = "service_ns_512",
  [SHMKV_COUNTER_SERVICE_NS + 4] = "service_ns_1024",
  [SHMKV_COUNTER_SERVICE_NS + 5] = "service_ns_2048",
  [SHMKV_COUNTER_SERVICE_NS + 6] = "service_ns_4096",
  [SHMKV_COUNTER_SERVICE_NS + 7] = "service_ns_8192",
  [SHMKV_COUNTER_SERVICE_NS + 8] = "service_ns_16384",
  [SHMKV_COUNTER_SERVICE_NS + 9] = "service_ns_32768",
  [SHMKV_COUNTER_SERVICE_NS + 10] = "service_ns_65536",
  [SHMKV_COUNTER_SERVICE_NS + 11] = "service_ns_131072",
  [SHMKV_COUNTER_SERVICE_NS + 12] = "service_ns_262144",
  [SHMKV_COUNTER_SERVICE_NS + 13] = "service_ns_524288",
  [SHMKV_COUNTER_SERVICE_NS + 14] = "service_ns_1048576",
  [SHMKV_COUNTER_SERVICE_NS + 15] = "service_ns_2097152",
  [SHMKV_COUNTER_SERVICE_NS + 16] = "service_ns_4194304",
  [SHMKV_COUNTER_SERVICE_NS + 17] = "service_ns_8388608",
  [SHMKV_COUNTER_SERVICE_NS + 18] = "service_ns_16777216",
  [SHMKV_COUNTER_SERVICE_NS + 19] = "service_ns_33554432",
  [SHMKV_COUNTER_SERVICE_NS + 20] = "service_ns_67108864",
  [SHMKV_COUNTER_SERVICE_NS + 21] = "service_ns_134217728",
  [SHMKV_COUNTER_SERVICE_NS + 22] = "service_ns_268435456",
  [SHMKV_COUNTER_SERVICE_NS + 23] = "service_ns_536870912",
  [SHMKV_COUNTER_SERVICE_NS + 24] = "service_ns_1073741824",
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

gint64
shmkv_clock_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * 1000000000 + now.tv_nsec;
}

static guint64
to_us (const struct timeval *time)
{
  return (guint64) time->tv_sec * G_USEC_PER_SEC + (guint64) time->tv_usec;
}

void
shmkv_get_cpu_times (guint64 *user_us_out, guint64 *system_us_out)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  *user_us_out = to_us (&usage.ru_utime);
  *system_us_out = to_us (&usage.ru_stime);
}

guint64
shmkv_get_version_number (void)
{
  guint major = 0, minor = 0, micro = 0;

  sscanf (PACKAGE_VERSION, "%u.%u.%u", &major, &minor, &micro);
  return major * G_GUINT64_CONSTANT (10000) + minor * 100 + micro;
}

void
shmkv_count_service (ShmkvCounters *counters, gint64 ns)
{
  guint bits = ns > 1 ? 64 - (guint) __builtin_clzll ((guint64) ns - 1) : 0;
  guint last = SHMKV_N_COUNTERS - 1 - SHMKV_COUNTER_SERVICE_NS;
  guint i = bits > SHMKV_SERVICE_NS_FIRST_BIT ? bits - SHMKV_SERVICE_NS_FIRST_BIT : 0;

  shmkv_count (counters, SHMKV_COUNTER_SERVICE_NS + MIN (i, last), 1);
}

ShmkvCounters *
shmkv_counters_new (void)
{
  ShmkvCounters *counters = aligned_alloc (SHMKV_WIRE_ALIGN, sizeof *counters);

  if (counters != NULL)
    memset (counters, 0, sizeof *counters);
  return counters;
}

void
shmkv_counters_free (ShmkvCounters *counters)
{
  free (counters);
}
