/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/server.h"

#include "server/lanes.h"
#include "server/pool.h"
#include "server/printer.h"
#include "transport/cpus.h"
#include "transport/wait.h"
#include "wire/record.h"

#include <string.h>

/* Of two integers, encoded. */
#define PAIR_SIZE 24

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
  ShmkvCounters *counters;          /* of the thread that reaps */
};

/* ------------------------------------------------------------ start and end */

static ShmkvSegment *
create_segment (const ShmkvServerOptions *options, GError **error)
{
  ShmkvSegmentOptions segment_options = {
    .name = options->name,
    .geometry = { .sessions = options->sessions, .ring_size = options->ring_size },
    .buckets = options->buckets,
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

ShmkvServer *
shmkv_server_new (const ShmkvServerOptions *options, ShmkvServerQuitFunc quit, gpointer quit_data,
                  GError **error)
{
  ShmkvSegment *segment = create_segment (options, error);
  g_autoptr (ShmkvServer) server = NULL;
  guint n_workers;

  if (segment == NULL)
    return NULL;
  server = g_new0 (ShmkvServer, 1);
  server->segment = segment;
  server->quit = quit;
  server->quit_data = quit_data;
  server->started_us = g_get_monotonic_time ();
  server->counters = shmkv_counters_new ();
  server->table = shmkv_table_new (options->buckets, random_seed ());
  if (server->table == NULL)
    {
      g_set_error (error, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_NO_SPACE,
                   "not enough memory for %u buckets: lower --buckets", options->buckets);
      return NULL;
    }
  server->lanes = shmkv_lanes_new (segment);
  server->printer = shmkv_printer_new ();
  server->pool = create_pool (server, options);
  if (shmkv_pool_start_workers (server->pool, options->workers, &n_workers) != SHMKV_POOL_DONE)
    {
      g_set_error (error, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_SYSTEM,
                   "cannot start %u workers: the system has not enough threads left",
                   options->workers);
      return NULL;
    }
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
  g_clear_pointer (&server->table, shmkv_table_free);
  shmkv_segment_free (server->segment);
  shmkv_counters_free (server->counters);
  g_free (server);
}

void
shmkv_server_reap (ShmkvServer *server)
{
  ShmkvExecutor executor
    = { .server = server, .table = server->table, .counters = server->counters };

  shmkv_lanes_reap (server->lanes, &executor);
  shmkv_table_trim (server->table);
}

guint64
shmkv_server_get_shared_size (const ShmkvServer *server)
{
  return shmkv_segment_total_size (server->segment->geometry);
}

/* ------------------------------------------------------------------- pairs */

static void
append_pair (GByteArray *body, const ShmkvField *key, const ShmkvField *value)
{
  guint at = body->len;

  g_byte_array_set_size (body, at + (guint) shmkv_pair_size (key, value));
  shmkv_pair_encode ((uint64_t *) (void *) (body->data + at), key, value);
}

static void
append_named (GByteArray *body, const char *name, guint64 number)
{
  ShmkvField key = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = strlen (name), .bytes = name };
  ShmkvField value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = number };

  append_pair (body, &key, &value);
}

static GByteArray *
encode_bucket (const GArray *pairs)
{
  GByteArray *body = g_byte_array_new ();

  for (guint i = 0; i < pairs->len; i++)
    {
      const ShmkvTablePair *pair = &g_array_index (pairs, ShmkvTablePair, i);
      ShmkvField key = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = pair->key };
      ShmkvField value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = pair->value };

      append_pair (body, &key, &value);
    }
  return body;
}

/* -------------------------------------------------------------- operations */

guint
shmkv_server_print (ShmkvServer *server, guint64 bucket, GByteArray **body_out)
{
  g_autoptr (GByteArray) body = NULL;
  GArray *pairs;

  if (bucket >= shmkv_table_get_n_buckets (server->table))
    return SHMKV_WIRE_STATUS_OUT_OF_RANGE;
  /* Before the work, not after it. */
  if (shmkv_printer_is_full (server->printer))
    return SHMKV_WIRE_STATUS_BUSY;
  pairs = shmkv_table_copy_bucket (server->table, (guint) bucket);
  if (pairs->len > SHMKV_WIRE_MAX_BODY / PAIR_SIZE)
    {
      g_array_unref (pairs);
      return SHMKV_WIRE_STATUS_TOO_LARGE;
    }
  body = encode_bucket (pairs);
  if (!shmkv_printer_print (server->printer, (guint) bucket, pairs))
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
  ShmkvTableStats table;

  shmkv_table_get_stats (server->table, &table);
  sum_counters (server, counters);
  append_named (body, "uptime_ms", (guint64) (g_get_monotonic_time () - server->started_us) / 1000);
  append_named (body, "workers", shmkv_pool_get_n_workers (server->pool));
  append_named (body, "sessions", shmkv_lanes_count_active (server->lanes));
  append_named (body, "max_sessions", server->segment->geometry.sessions);
  append_named (body, "shared_bytes", shmkv_server_get_shared_size (server));
  append_named (body, "keys", table.keys);
  append_named (body, "buckets", shmkv_table_get_n_buckets (server->table));
  append_named (body, "longest_bucket", table.longest_bucket);
  append_named (body, "table_bytes", table.memory);
  for (guint i = 0; i < SHMKV_N_COUNTERS; i++)
    append_named (body, shmkv_counter_name (i), counters[i]);
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
  for (guint i = 0; i < SHMKV_N_COUNTERS; i++)
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
