/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/server.h"

#include "server/lanes.h"
#include "server/pool.h"
#include "server/printer.h"
#include "transport/cpus.h"
#include "transport/wait.h"
#include "wire/record.h"

#include <stdarg.h>
#include <string.h>

struct _ShmkvServer
{
  ShmkvSegment *segment;
  ShmkvTable *table;
  ShmkvLanes *lanes;
  ShmkvPool *pool;
  ShmkvPrinter *printer;
  ShmkvServerQuitFunc quit;
  gpointer quit_data;
  gint64 started_us;
  guint64 max_memory;
  ShmkvCounters *counters;          /* of the thread that reaps */
  ShmkvExecutor executor;           /* the same */
};

/* Rounds of the thread that reaps over lanes for which it made a change. */
#define RIPE_ROUNDS 16

/* ------------------------------------------------------------ start and end */

static ShmkvSegment *
create_segment (const ShmkvServerOptions *options, GError **error)
{
  ShmkvSegmentOptions segment_options = {
    .name = options->name,
    .geometry = { .sessions = options->sessions, .ring_size = options->ring_size },
    .buckets = options->buckets,
    .max_value = options->max_value != 0 ? options->max_value : SHMKV_WIRE_DEFAULT_MAX_VALUE,
    .mode = options->mode,
    .group = options->group,
  };

  return shmkv_segment_create (&segment_options, error);
}

static ShmkvPool *
create_pool (ShmkvServer *server, const ShmkvServerOptions *options)
{
  guint cpus = shmkv_cpus_allowed ();
  ShmkvPoolOptions pool_options = {
    .max_workers = options->max_workers,
    /* On a single CPU, a worker that spins keeps its clients from working. */
    .spin_ns = cpus > 1 ? options->spin_ns : 0,
    .max_awake = cpus,
  };

  return shmkv_pool_new (&pool_options, server, server->table, server->lanes, server->segment);
}

static guint64
random_seed (void)
{
  return (guint64) g_random_int () << 32 | g_random_int ();
}

static gboolean
fail (GError **error, gint code, const char *format, ...) G_GNUC_PRINTF (3, 4);

static gboolean
fail (GError **error, gint code, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  g_propagate_error (error, g_error_new_valist (SHMKV_SEGMENT_ERROR, code, format, arguments));
  va_end (arguments);
  return FALSE;
}

static gboolean
check_memory (const ShmkvServerOptions *options, GError **error)
{
  guint64 needed = shmkv_table_empty_size (options->buckets);

  if (options->max_memory == 0 || options->max_memory >= needed)
    return TRUE;
  return fail (error, SHMKV_SEGMENT_ERROR_NO_SPACE,
               "--max-memory is %" G_GUINT64_FORMAT " bytes, and %u empty buckets take %"
               G_GUINT64_FORMAT ": raise it, or lower --buckets",
               options->max_memory, options->buckets, needed);
}

static gboolean
create_table (ShmkvServer *server, const ShmkvServerOptions *options, GError **error)
{
  ShmkvTableOptions table_options = {
    .n_buckets = options->buckets,
    .seed = random_seed (),
    .max_memory = options->max_memory,
    .evict = options->evict,
  };

  server->table = shmkv_table_new (&table_options);
  return server->table != NULL
         || fail (error, SHMKV_SEGMENT_ERROR_NO_SPACE,
                  "not enough memory for %u buckets: lower --buckets", options->buckets);
}

static gboolean
start_threads (ShmkvServer *server, const ShmkvServerOptions *options, GError **error)
{
  g_autoptr (GError) thread_error = NULL;
  guint n_workers;

  server->printer = shmkv_printer_new (&thread_error);
  if (server->printer == NULL)
    return fail (error, SHMKV_SEGMENT_ERROR_SYSTEM, "cannot start a thread: %s",
                 thread_error->message);
  server->pool = create_pool (server, options);
  if (shmkv_pool_start_workers (server->pool, options->workers, &n_workers) != SHMKV_POOL_DONE)
    return fail (error, SHMKV_SEGMENT_ERROR_SYSTEM,
                 "cannot start %u workers: the system has not enough threads left",
                 options->workers);
  return TRUE;
}

static gboolean
set_up (ShmkvServer *server, const ShmkvServerOptions *options, GError **error)
{
  if (!create_table (server, options, error))
    return FALSE;
  if (!shmkv_executor_init (&server->executor, server, server->table, server->counters))
    return fail (error, SHMKV_SEGMENT_ERROR_NO_SPACE, "not enough memory");
  shmkv_reader_rest (server->executor.reader);
  server->lanes = shmkv_lanes_new (server->segment, server->table);
  return start_threads (server, options, error);
}

ShmkvServer *
shmkv_server_new (const ShmkvServerOptions *options, ShmkvServerQuitFunc quit, gpointer quit_data,
                  GError **error)
{
  ShmkvSegment *segment = check_memory (options, error) ? create_segment (options, error) : NULL;
  g_autoptr (ShmkvServer) server = NULL;

  if (segment == NULL)
    return NULL;
  server = g_new0 (ShmkvServer, 1);
  server->segment = segment;
  server->quit = quit;
  server->quit_data = quit_data;
  server->started_us = g_get_monotonic_time ();
  server->max_memory = options->max_memory;
  server->counters = shmkv_counters_new ();
  if (!set_up (server, options, error))
    return NULL;
  shmkv_segment_publish (segment);
  return g_steal_pointer (&server);
}

static void
say_farewell (ShmkvServer *server)
{
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (server->segment);

  /* release: pairs with the acquire in the client's
   * shmkv_session_server_is_running(); what was answered was answered before */
  atomic_store_explicit (&header->service, SHMKV_WIRE_SERVICE_GONE, memory_order_release);
  /* pairs with the fence in the client's nap() */
  atomic_thread_fence (memory_order_seq_cst);
  shmkv_lanes_wake_all (server->lanes);
}

void
shmkv_server_free (ShmkvServer *server)
{
  shmkv_segment_retire (server->segment);
  if (server->pool != NULL)
    {
      shmkv_pool_stop (server->pool);
      say_farewell (server);
      shmkv_pool_free (server->pool);
    }
  g_clear_pointer (&server->printer, shmkv_printer_free);
  g_clear_pointer (&server->lanes, shmkv_lanes_free);
  shmkv_executor_clear (&server->executor);
  g_clear_pointer (&server->table, shmkv_table_free);
  shmkv_segment_free (server->segment);
  shmkv_counters_free (server->counters);
  g_free (server);
}

/* No worker may have noticed what this thread changed. */
static void
serve_ripe (ShmkvServer *server)
{
  guint position = 0;

  for (guint i = 0; i < RIPE_ROUNDS && shmkv_lanes_any_ripe (server->lanes); i++)
    shmkv_lanes_serve (server->lanes, &server->executor, &position);
}

void
shmkv_server_reap (ShmkvServer *server)
{
  shmkv_lanes_reap (server->lanes, &server->executor);
  shmkv_table_sweep (server->table);
  shmkv_reader_resume (server->executor.reader);
  serve_ripe (server);
  shmkv_reader_rest (server->executor.reader);
  shmkv_table_reclaim (server->table);
  shmkv_table_trim (server->table);
}

guint64
shmkv_server_get_shared_size (const ShmkvServer *server)
{
  return shmkv_segment_total_size (server->segment->geometry);
}

/* ------------------------------------------------------------------- pairs */

static void
append_named (GByteArray *body, const char *name, guint64 number)
{
  ShmkvPair pair = {
    .key = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = strlen (name), .bytes = name },
    .value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = number },
  };
  guint at = body->len;

  g_byte_array_set_size (body, at + (guint) shmkv_pair_size (&pair));
  shmkv_pair_encode ((uint64_t *) (void *) (body->data + at), &pair);
}

/* -------------------------------------------------------------- operations */

guint
shmkv_server_print (ShmkvServer *server, guint64 bucket, GByteArray **body_out)
{
  g_autoptr (GByteArray) body = NULL;
  gsize n;
  guint status;

  if (bucket >= shmkv_table_get_n_buckets (server->table))
    return SHMKV_WIRE_STATUS_OUT_OF_RANGE;
  /* Not to copy for nothing. */
  if (shmkv_printer_is_full (server->printer))
    return SHMKV_WIRE_STATUS_BUSY;
  status = shmkv_table_copy_bucket (server->table, (guint) bucket, &body, &n);
  if (status != SHMKV_WIRE_STATUS_OK)
    return status;
  if (!shmkv_printer_print (server->printer, (guint) bucket, g_byte_array_ref (body), n))
    return SHMKV_WIRE_STATUS_BUSY;
  *body_out = g_steal_pointer (&body);
  return SHMKV_WIRE_STATUS_OK;
}

static void
sum_counters (ShmkvServer *server, guint64 sum[SHMKV_N_COUNTERS])
{
  memset (sum, 0, SHMKV_N_COUNTERS * sizeof *sum);
  shmkv_pool_add_counters (server->pool, sum);
  shmkv_counters_add (sum, server->counters);
}

guint
shmkv_server_stats (ShmkvServer *server, GByteArray **body_out)
{
  GByteArray *body = g_byte_array_new ();
  guint64 counters[SHMKV_N_COUNTERS];
  guint64 user_us, system_us;
  ShmkvTableStats table;

  shmkv_table_get_stats (server->table, &table);
  sum_counters (server, counters);
  shmkv_get_cpu_times (&user_us, &system_us);
  append_named (body, "uptime_ms", (guint64) (g_get_monotonic_time () - server->started_us) / 1000);
  append_named (body, "version", shmkv_get_version_number ());
  append_named (body, "cpu_user_us", user_us);
  append_named (body, "cpu_system_us", system_us);
  append_named (body, "workers", shmkv_pool_get_n_workers (server->pool));
  append_named (body, "sessions", shmkv_lanes_count_active (server->lanes));
  append_named (body, "max_sessions", server->segment->geometry.sessions);
  append_named (body, "shared_bytes", shmkv_server_get_shared_size (server));
  append_named (body, "keys", table.keys);
  append_named (body, "buckets", shmkv_table_get_n_buckets (server->table));
  append_named (body, "longest_bucket", table.longest_bucket);
  append_named (body, "table_bytes", table.memory);
  append_named (body, "max_memory", server->max_memory);
  append_named (body, "bytes_per_pair",
                table.keys > 0 ? (table.memory + table.keys - 1) / table.keys : 0);
  append_named (body, "expired", table.expired);
  append_named (body, "evicted", table.evicted);
  for (guint i = 0; i < SHMKV_N_COUNTERS; i++)
    append_named (body, shmkv_counter_name (i), counters[i]);
  *body_out = body;
  return SHMKV_WIRE_STATUS_OK;
}

static void
append_of_lane (GByteArray *body, guint lane, const char *name, guint64 number)
{
  g_autofree char *full_name = g_strdup_printf ("%u.%s", lane, name);

  append_named (body, full_name, number);
}

guint
shmkv_server_sessions (ShmkvServer *server, GByteArray **body_out)
{
  GByteArray *body = g_byte_array_new ();
  gint64 now_us = g_get_monotonic_time ();
  ShmkvSessionStats stats;
  guint lane = 0;

  while (shmkv_lanes_next_session (server->lanes, &lane, &stats))
    {
      append_of_lane (body, stats.lane, "client_pid", stats.client_pid);
      append_of_lane (body, stats.lane, "in_use_ms",
                      (guint64) MAX (now_us - stats.opened_us, 0) / 1000);
      append_of_lane (body, stats.lane, "requests", stats.requests);
      append_of_lane (body, stats.lane, "failed", stats.failed);
      append_of_lane (body, stats.lane, "bytes_in", stats.bytes_in);
      append_of_lane (body, stats.lane, "bytes_out", stats.bytes_out);
    }
  *body_out = body;
  return SHMKV_WIRE_STATUS_OK;
}

void
shmkv_server_log_stats (ShmkvServer *server)
{
  guint64 counters[SHMKV_N_COUNTERS];
  g_autoptr (GString) text = g_string_new (NULL);
  ShmkvTableStats table;

  shmkv_table_get_stats (server->table, &table);
  sum_counters (server, counters);
  g_string_printf (text, "statistics: keys=%" G_GUINT64_FORMAT " table_bytes=%" G_GUINT64_FORMAT
                   " workers=%u sessions=%u",
                   table.keys, table.memory, shmkv_pool_get_n_workers (server->pool),
                   shmkv_lanes_count_active (server->lanes));
  g_string_append_printf (text, " expired=%" G_GUINT64_FORMAT " evicted=%" G_GUINT64_FORMAT,
                          table.expired, table.evicted);
  /* Times are for those who ask for them. */
  for (guint i = 0; i < SHMKV_COUNTER_SERVICE_NS; i++)
    g_string_append_printf (text, " %s=%" G_GUINT64_FORMAT, shmkv_counter_name (i), counters[i]);
  g_message ("%s", text->str);
}

static guint
status_of_pool (ShmkvPoolResult result)
{
  switch (result)
    {
    case SHMKV_POOL_DONE:
      return SHMKV_WIRE_STATUS_OK;
    case SHMKV_POOL_TOO_MANY:
      return SHMKV_WIRE_STATUS_TOO_MANY;
    case SHMKV_POOL_LAST_WORKER:
      return SHMKV_WIRE_STATUS_LAST_WORKER;
    case SHMKV_POOL_NO_THREADS:
      break;
    }
  return SHMKV_WIRE_STATUS_NO_MEMORY;
}

guint
shmkv_server_start_workers (ShmkvServer *server, guint64 n, guint64 *n_workers_out)
{
  guint n_workers;
  ShmkvPoolResult result = shmkv_pool_start_workers (server->pool, n, &n_workers);

  *n_workers_out = n_workers;
  return status_of_pool (result);
}

guint
shmkv_server_stop_worker (ShmkvServer *server, guint64 *n_workers_out)
{
  guint n_workers;
  ShmkvPoolResult result = shmkv_pool_stop_worker (server->pool, &n_workers);

  *n_workers_out = n_workers;
  return status_of_pool (result);
}

void
shmkv_server_quit (ShmkvServer *server)
{
  server->quit (server->quit_data);
}
