/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/statistics.h"

#include <math.h>
#include <string.h>

#define SERVICE_PREFIX "service_ns_"

#define COUNTER CLI_STATISTIC_COUNTER
#define GAUGE CLI_STATISTIC_GAUGE

/* In the order in which people see the groups. */
static const CliStatisticInfo infos[] = {
  { "uptime_ms", GAUGE, "Server", "milliseconds since the server started" },
  { "version", GAUGE, "Server", "the server's version: 10000 for each major, 100 for each minor" },
  { "cpu_user_us", COUNTER, "Server", "microseconds of CPU time that the server used itself" },
  { "cpu_system_us", COUNTER, "Server", "microseconds of CPU time that the kernel used for it" },
  { "regions_replaced", COUNTER, "Server", "times that somebody destroyed the shared memory" },
  { "workers", GAUGE, "Server", "workers at present" },
  { "shared_bytes", GAUGE, "Server", "bytes of shared memory" },
  { "keys", GAUGE, "Table", "keys at present" },
  { "buckets", GAUGE, "Table", "buckets of the table" },
  { "longest_bucket", GAUGE, "Table", "keys in the fullest bucket" },
  { "table_bytes", GAUGE, "Table", "bytes that the table has allocated" },
  { "max_memory", GAUGE, "Table", "bytes that it may have at most, 0 where there is no limit" },
  { "bytes_per_pair", GAUGE, "Table", "bytes of the table for each key" },
  { "expired", COUNTER, "Table", "keys whose time to live ran out" },
  { "evicted", COUNTER, "Table", "keys that made room for others" },
  { "inserts", COUNTER, "Requests", "inserts" },
  { "reads", COUNTER, "Requests", "reads" },
  { "read_hits", COUNTER, "Requests", "reads that found the key" },
  { "deletes", COUNTER, "Requests", "deletes" },
  { "delete_hits", COUNTER, "Requests", "deletes that found the key" },
  { "adds", COUNTER, "Requests", "adds and subtracts" },
  { "expires", COUNTER, "Requests", "requests to set a time to live" },
  { "ttls", COUNTER, "Requests", "requests for a time to live" },
  { "scans", COUNTER, "Requests", "steps of scans" },
  { "waits", COUNTER, "Requests", "waits for a key to change" },
  { "watches", COUNTER, "Requests", "waits of those who watch" },
  { "other_requests", COUNTER, "Requests", "requests of other kinds" },
  { "mismatches", COUNTER, "Requests", "requests whose condition was not met" },
  { "failed_requests", COUNTER, "Requests", "requests that failed" },
  { "bytes_in", COUNTER, "Requests", "bytes of requests" },
  { "bytes_out", COUNTER, "Requests", "bytes of responses" },
  { "sessions", GAUGE, "Sessions", "sessions that are open at present" },
  { "max_sessions", GAUGE, "Sessions", "sessions that can be open at once" },
  { "sessions_opened", COUNTER, "Sessions", "sessions that clients opened" },
  { "sessions_closed", COUNTER, "Sessions", "sessions that clients closed" },
  { "sessions_reclaimed", COUNTER, "Sessions", "sessions whose client died" },
  { "sessions_dropped", COUNTER, "Sessions", "sessions that broke the protocol" },
  { "batches", COUNTER, "Work", "batches of requests that workers took from a session" },
  { "stalls", COUNTER, "Work", "times that a session had no room for responses" },
  { "sleeps", COUNTER, "Work", "times that the server slept for want of work" },
  { "mutes", COUNTER, "Work", "times that it ignored its bell, which was rung for nothing" },
  { "wakes", COUNTER, "Work", "times that a client was woken" },
};

static const CliStatisticInfo unknown
  = { NULL, CLI_STATISTIC_UNKNOWN, "Others", "statistic of a later version" };

const CliStatisticInfo *
cli_statistic_get_info (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (infos); i++)
    {
      if (g_str_equal (infos[i].name, name))
        return &infos[i];
    }
  return &unknown;
}

/* Takes the name. */
static void
add (CliStatistics *statistics, char *name, guint64 value)
{
  CliServiceCount count = { .n = value };

  if (g_str_has_prefix (name, SERVICE_PREFIX)
      && g_ascii_string_to_unsigned (name + strlen (SERVICE_PREFIX), 10, 0, G_MAXUINT64,
                                     &count.bound_ns, NULL))
    {
      g_array_append_val (statistics->service, count);
      g_free (name);
    }
  else
    {
      const CliStatistic statistic = { name, value, cli_statistic_get_info (name) };

      g_array_append_val (statistics->list, statistic);
    }
}

static void
clear_statistic (gpointer statistic)
{
  g_free (((CliStatistic *) statistic)->name);
}

static int
compare_counts (gconstpointer a, gconstpointer b)
{
  guint64 bound_a = ((const CliServiceCount *) a)->bound_ns;
  guint64 bound_b = ((const CliServiceCount *) b)->bound_ns;

  return (bound_a > bound_b) - (bound_a < bound_b);
}

/* By the place of its group; in a group as the server tells them. */
static guint
get_rank (const CliStatistic *statistic)
{
  for (guint i = 0; i < G_N_ELEMENTS (infos); i++)
    {
      if (g_str_equal (infos[i].group, statistic->info->group))
        return i;
    }
  return G_N_ELEMENTS (infos);
}

static int
compare_statistics (gconstpointer a, gconstpointer b)
{
  guint rank_a = get_rank (a), rank_b = get_rank (b);

  return (rank_a > rank_b) - (rank_a < rank_b);
}

/* What takes longer than the last bound counts there. */
static void
unbound_last (GArray *service)
{
  if (service->len > 0)
    g_array_index (service, CliServiceCount, service->len - 1).bound_ns = G_MAXUINT64;
}

CliStatistics *
cli_statistics_new (const ShmkvPairs *pairs)
{
  CliStatistics *statistics = g_new (CliStatistics, 1);
  gsize n = shmkv_pairs_get_length (pairs);

  statistics->list = g_array_new (FALSE, FALSE, sizeof (CliStatistic));
  g_array_set_clear_func (statistics->list, clear_statistic);
  statistics->service = g_array_new (FALSE, FALSE, sizeof (CliServiceCount));
  for (gsize i = 0; i < n; i++)
    {
      ShmkvDatum name, value;

      shmkv_pairs_get (pairs, i, &name, &value);
      if (name.kind == SHMKV_KIND_BYTES && value.kind == SHMKV_KIND_INTEGER)
        add (statistics, g_utf8_make_valid ((const char *) name.bytes, name.length),
             value.integer);
    }
  /* Stable: g_array_sort() is. */
  g_array_sort (statistics->list, compare_statistics);
  g_array_sort (statistics->service, compare_counts);
  unbound_last (statistics->service);
  return statistics;
}

void
cli_statistics_free (CliStatistics *statistics)
{
  g_array_unref (statistics->list);
  g_array_unref (statistics->service);
  g_free (statistics);
}

gboolean
cli_statistics_find (const CliStatistics *statistics, const char *name, guint64 *value_out)
{
  for (guint i = 0; i < statistics->list->len; i++)
    {
      const CliStatistic *statistic = &g_array_index (statistics->list, CliStatistic, i);

      if (g_str_equal (statistic->name, name))
        {
          *value_out = statistic->value;
          return TRUE;
        }
    }
  return FALSE;
}

guint64
cli_statistics_count_service (const CliStatistics *statistics)
{
  guint64 n = 0;

  for (guint i = 0; i < statistics->service->len; i++)
    n += g_array_index (statistics->service, CliServiceCount, i).n;
  return n;
}

guint64
cli_statistics_get_service (const CliStatistics *statistics, double q)
{
  guint64 total = cli_statistics_count_service (statistics);
  guint64 rank = MAX ((guint64) ceil (q * (double) total), 1), n = 0;

  for (guint i = 0; i < statistics->service->len; i++)
    {
      const CliServiceCount *count = &g_array_index (statistics->service, CliServiceCount, i);

      n += count->n;
      if (n >= rank)
        return count->bound_ns;
    }
  return 0;
}
