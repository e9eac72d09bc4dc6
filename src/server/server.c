/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/server.h"

#include "server/front.h"
#include "server/printer.h"
#include "wire/record.h"

#include <stdarg.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

struct _ShmkvServer
{
  ShmkvServerOptions options;
  char *name;
  ShmkvTable *table;
  ShmkvFront *front;                /* replaced by the thread that reaps, while there are no workers */
  ShmkvPrinter *printer;
  ShmkvServerQuitFunc quit;
  gpointer quit_data;
  gint64 started_us;
  ShmkvCounters *counters;          /* of the thread that reaps */
  ShmkvExecutor executor;           /* the same */

  /* Of the same thread. */
  int inotify;                      /* readable when it is time to look after the regions; or -1 */
  gboolean is_cut_off;              /* there are no regions, and no workers; perhaps not even
                                     * lanes and a pool */
  gint64 next_replacement_us;       /* not before */
  guint n_replaced;
};

/* Who destroys regions again and again is not to keep us from everything else. */
#define REPLACEMENT_INTERVAL_US (G_USEC_PER_SEC / 5)

/* Rounds of the thread that reaps over lanes for which it made a change. */
#define RIPE_ROUNDS 16

/* ------------------------------------------------------------ start and end */

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
fail_no_memory (GError **error)
{
  return fail (error, SHMKV_SEGMENT_ERROR_NO_SPACE,
               "not enough memory: lower --buckets, --sessions or --workers");
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
start_printer (ShmkvServer *server, GError **error)
{
  g_autoptr (GError) thread_error = NULL;

  server->printer = shmkv_printer_new (&thread_error);
  return server->printer != NULL
         || fail (error, SHMKV_SEGMENT_ERROR_SYSTEM, "cannot start a thread: %s",
                  thread_error->message);
}

static gboolean
set_up (ShmkvServer *server, GError **error)
{
  const ShmkvServerOptions *options = &server->options;

  if (!create_table (server, options, error))
    return FALSE;
  if (server->counters == NULL
      || !shmkv_executor_init (&server->executor, server, server->table, server->counters))
    return fail_no_memory (error);
  shmkv_reader_rest (server->executor.reader);
  return start_printer (server, error)
         && shmkv_front_open (server->front, options, server, server->table, error);
}

ShmkvServer *
shmkv_server_new (const ShmkvServerOptions *options, ShmkvServerQuitFunc quit, gpointer quit_data,
                  GError **error)
{
  ShmkvFront *front = check_memory (options, error) ? shmkv_front_new (options, NULL, error) : NULL;
  g_autoptr (ShmkvServer) server = NULL;

  if (front == NULL)
    return NULL;
  server = g_new0 (ShmkvServer, 1);
  server->front = front;
  server->options = *options;
  server->options.name = server->name = g_strdup (options->name);
  server->quit = quit;
  server->quit_data = quit_data;
  server->started_us = g_get_monotonic_time ();
  server->counters = shmkv_counters_new ();
  server->inotify = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  if (!set_up (server, error))
    return NULL;
  shmkv_segment_watch (front->segment, server->inotify);
  return g_steal_pointer (&server);
}

void
shmkv_server_free (ShmkvServer *server)
{
  shmkv_front_stop (server->front);
  shmkv_front_say_farewell (server->front);
  g_clear_pointer (&server->printer, shmkv_printer_free);
  shmkv_front_free (server->front);
  shmkv_executor_clear (&server->executor);
  g_clear_pointer (&server->table, shmkv_table_free);
  shmkv_counters_free (server->counters);
  if (server->inotify >= 0)
    close (server->inotify);
  g_free (server->name);
  g_free (server);
}

/* ------------------------------------------------------------- regions lost */

/* The workers are gone; what they counted stays. */
static void
keep_counters (ShmkvServer *server)
{
  guint64 sum[SHMKV_N_COUNTERS] = { 0 };

  if (server->front->pool == NULL)
    return;
  shmkv_pool_add_counters (server->front->pool, sum);
  for (guint i = 0; i < SHMKV_N_COUNTERS; i++)
    shmkv_count (server->counters, i, sum[i]);
}

/* Those who were attached are told, and their sessions end.  The new regions are
 * there before that, so that who comes again at once waits for them. */
static gboolean
replace_front (ShmkvServer *server, GError **error)
{
  ShmkvFront *old = server->front, *front;

  /* Without a pool, it is one that could not be opened. */
  if (old->pool != NULL && shmkv_pool_get_n_workers (old->pool) > 0)
    server->options.workers = shmkv_pool_get_n_workers (old->pool);
  /* The name is kept, where it is ours: nobody else is to get it meanwhile. */
  shmkv_front_stop_workers (old);
  front = shmkv_front_new (&server->options, old, error);
  shmkv_front_say_farewell (old);
  if (old->lanes != NULL)
    shmkv_lanes_end_sessions (old->lanes, &server->executor);
  if (front == NULL)
    return FALSE;
  keep_counters (server);
  shmkv_segment_unwatch (old->segment, server->inotify);
  shmkv_front_free (old);
  server->front = front;
  shmkv_segment_watch (front->segment, server->inotify);
  server->n_replaced++;
  return shmkv_front_open (front, &server->options, server, server->table, error);
}

/* What the kernel told is only that it is time to look.  Not until there are no more:
 * somebody may bring them about faster than we read. */
static void
forget_events (ShmkvServer *server)
{
  char events[4096];

  (void) !read (server->inotify, events, sizeof events);
}

/* Says it once, however often it is tried again. */
static gboolean
note_failure (ShmkvServer *server, GError *failure, GError **error)
{
  if (g_error_matches (failure, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_IN_USE))
    {
      g_propagate_error (error, failure);
      return FALSE;
    }
  if (!server->is_cut_off)
    g_warning ("cannot make new regions: %s: the table is kept, and this is tried again until it "
               "succeeds",
               failure->message);
  server->is_cut_off = TRUE;
  g_error_free (failure);
  return TRUE;
}

gboolean
shmkv_server_look_after_regions (ShmkvServer *server, GError **error)
{
  gint64 now = g_get_monotonic_time ();
  GError *failure = NULL;
  const char *damage;

  forget_events (server);
  if (now < server->next_replacement_us)
    return TRUE;
  damage = server->is_cut_off ? NULL : shmkv_segment_find_damage (server->front->segment);
  if (damage == NULL && !server->is_cut_off)
    return TRUE;
  if (damage != NULL)
    g_warning ("somebody else %s the shared memory of server \"%s\": all sessions end, the table is "
               "kept",
               damage, server->name);
  server->next_replacement_us = now + REPLACEMENT_INTERVAL_US;
  if (!replace_front (server, &failure))
    return note_failure (server, failure, error);
  server->is_cut_off = FALSE;
  g_message ("server \"%s\" has new shared memory: clients can attach again", server->name);
  return TRUE;
}

int
shmkv_server_get_events_fd (const ShmkvServer *server)
{
  return server->inotify;
}

/* ------------------------------------------------------------------- upkeep */

/* No worker may have noticed what this thread changed. */
static void
serve_ripe (ShmkvServer *server)
{
  guint position = 0;

  for (guint i = 0; i < RIPE_ROUNDS && shmkv_lanes_any_ripe (server->front->lanes); i++)
    shmkv_lanes_serve (server->front->lanes, &server->executor, &position);
}

void
shmkv_server_reap (ShmkvServer *server)
{
  if (!server->is_cut_off)
    shmkv_lanes_reap (server->front->lanes, &server->executor);
  shmkv_table_sweep (server->table);
  if (!server->is_cut_off)
    {
      shmkv_reader_resume (server->executor.reader);
      serve_ripe (server);
      shmkv_reader_rest (server->executor.reader);
    }
  shmkv_table_reclaim (server->table);
  shmkv_table_trim (server->table);
}

guint64
shmkv_server_get_shared_size (const ShmkvServer *server)
{
  return shmkv_segment_total_size (server->front->segment->geometry);
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
  if (server->front->pool != NULL)
    shmkv_pool_add_counters (server->front->pool, sum);
  shmkv_counters_add (sum, server->counters);
}

GByteArray *
shmkv_server_stats (ShmkvServer *server, const ShmkvTableStats *table)
{
  GByteArray *body = g_byte_array_new ();
  guint64 counters[SHMKV_N_COUNTERS];
  guint64 user_us, system_us;

  sum_counters (server, counters);
  shmkv_get_cpu_times (&user_us, &system_us);
  append_named (body, "uptime_ms", (guint64) (g_get_monotonic_time () - server->started_us) / 1000);
  append_named (body, "version", shmkv_get_version_number ());
  append_named (body, "cpu_user_us", user_us);
  append_named (body, "cpu_system_us", system_us);
  append_named (body, "regions_replaced", server->n_replaced);
  append_named (body, "workers", shmkv_pool_get_n_workers (server->front->pool));
  append_named (body, "sessions", shmkv_lanes_count_active (server->front->lanes));
  append_named (body, "max_sessions", server->front->segment->geometry.sessions);
  append_named (body, "shared_bytes", shmkv_server_get_shared_size (server));
  append_named (body, "keys", table->keys);
  append_named (body, "buckets", shmkv_table_get_n_buckets (server->table));
  append_named (body, "longest_bucket", table->longest_bucket);
  append_named (body, "table_bytes", table->memory);
  append_named (body, "max_memory", server->options.max_memory);
  append_named (body, "bytes_per_pair",
                table->keys > 0 ? (table->memory + table->keys - 1) / table->keys : 0);
  append_named (body, "expired", table->expired);
  append_named (body, "evicted", table->evicted);
  for (guint i = 0; i < SHMKV_N_COUNTERS; i++)
    append_named (body, shmkv_counter_name (i), counters[i]);
  return body;
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

  while (shmkv_lanes_next_session (server->front->lanes, &lane, &stats))
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

/* Also while it is cut off. */
void
shmkv_server_log_stats (ShmkvServer *server)
{
  const ShmkvFront *front = server->front;
  guint64 counters[SHMKV_N_COUNTERS];
  g_autoptr (GString) text = g_string_new (NULL);
  ShmkvTableStats table;

  shmkv_table_get_stats (server->table, &table);
  sum_counters (server, counters);
  g_string_printf (text, "statistics: keys=%" G_GUINT64_FORMAT " table_bytes=%" G_GUINT64_FORMAT
                   " workers=%u sessions=%u",
                   table.keys, table.memory,
                   front->pool != NULL ? shmkv_pool_get_n_workers (front->pool) : 0,
                   front->lanes != NULL ? shmkv_lanes_count_active (front->lanes) : 0);
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
  ShmkvPoolResult result = shmkv_pool_start_workers (server->front->pool, n, &n_workers);

  *n_workers_out = n_workers;
  return status_of_pool (result);
}

guint
shmkv_server_stop_worker (ShmkvServer *server, guint64 *n_workers_out)
{
  guint n_workers;
  ShmkvPoolResult result = shmkv_pool_stop_worker (server->front->pool, &n_workers);

  *n_workers_out = n_workers;
  return status_of_pool (result);
}

void
shmkv_server_quit (ShmkvServer *server)
{
  server->quit (server->quit_data);
}
