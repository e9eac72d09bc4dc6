/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A whole server, with its threads: what it tells about itself, and what happens
 * without any client's doing. */

#include "config.h"

#include "server/server.h"
#include "server/table.h"
#include "transport/segment.h"
#include "util.h"
#include "wire/record.h"

#include <shmkv/shmkv.h>
#include <string.h>

typedef struct
{
  ShmkvServerOptions options;
  char *name;
  ShmkvServer *server;
  ShmkvClient *client;
  ShmkvSession *session;
  GThread *reaper;
  _Atomic gboolean ends;
} Fixture;

static ShmkvServerOptions
default_options (const char *name)
{
  return (ShmkvServerOptions) {
    .name = name,
    .buckets = 7,
    .workers = 2,
    .max_workers = 4,
    .sessions = 4,
    .ring_size = 4096,
    .mode = 0600,
    .group = (gid_t) -1,
  };
}

static void
on_quit (gpointer data)
{
}

static gpointer
reap (gpointer data)
{
  Fixture *fixture = data;

  while (!atomic_load (&fixture->ends))
    {
      shmkv_server_reap (fixture->server);
      g_usleep (1000);
    }
  return NULL;
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fixture->name = util_name ();
  fixture->options = default_options (fixture->name);
  fixture->server = shmkv_server_new (&fixture->options, on_quit, NULL, &error);
  g_assert_no_error (error);
  fixture->client = shmkv_client_new (fixture->name, &error);
  g_assert_no_error (error);
  fixture->session = shmkv_session_new (fixture->client, &error);
  g_assert_no_error (error);
  atomic_init (&fixture->ends, FALSE);
  fixture->reaper = g_thread_new ("reaper", reap, fixture);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  atomic_store (&fixture->ends, TRUE);
  g_thread_join (fixture->reaper);
  shmkv_session_free (fixture->session);
  shmkv_client_unref (fixture->client);
  shmkv_server_free (fixture->server);
  g_free (fixture->name);
}

static ShmkvCompletion
call (Fixture *fixture, ShmkvRequest request)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completion;

  shmkv_session_call (fixture->session, &request, &completion, &error);
  g_assert_no_error (error);
  return completion;
}

/* The number with this name, which must be there. */
static guint64
find (const ShmkvCompletion *completion, const char *name)
{
  g_assert_nonnull (completion->pairs);
  for (gsize i = 0; i < shmkv_pairs_get_length (completion->pairs); i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (completion->pairs, i, &key, &value);
      if (key.length == strlen (name) && memcmp (key.bytes, name, key.length) == 0)
        return value.integer;
    }
  g_error ("there is no %s", name);
}

static void
test_stats (Fixture *fixture, gconstpointer data)
{
  static const char *const names[]
    = { "uptime_ms", "version", "cpu_user_us", "cpu_system_us", "regions_replaced",
        "workers", "sessions",
        "shared_bytes", "buckets", "longest_bucket", "table_bytes", "max_memory",
        "bytes_per_pair", "expired", "evicted", "reads", "read_hits",
        "adds", "expires", "ttls", "scans", "waits", "watches", "mismatches", "failed_requests",
        "bytes_in", "bytes_out", "batches", "sleeps", "wakes", "sessions_reclaimed",
        "service_ns_64", "service_ns_1073741824" };
  ShmkvCompletion completion;
  const guint n_keys = 3000;        /* more than are counted in a step */
  guint64 n_timed = 0;

  for (guint i = 0; i < n_keys; i++)
    call (fixture, (ShmkvRequest) { .op = SHMKV_OP_INSERT, .key = shmkv_integer (i),
                                    .value = shmkv_string ("a value") });
  completion = call (fixture, (ShmkvRequest) { .op = SHMKV_OP_STATS });
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    find (&completion, names[i]);
  g_assert_cmpuint (find (&completion, "keys"), ==, n_keys);
  g_assert_cmpuint (find (&completion, "inserts"), ==, n_keys);
  g_assert_cmpuint (find (&completion, "bytes_in"), >=, n_keys * 40);
  g_assert_cmpuint (find (&completion, "bytes_per_pair"), ==,
                    (find (&completion, "table_bytes") + n_keys - 1) / n_keys);
  for (guint bit = 6; bit <= 30; bit++)
    {
      g_autofree char *name = g_strdup_printf ("service_ns_%u", 1u << bit);

      n_timed += find (&completion, name);
    }
  g_assert_cmpuint (n_timed, >, 0);
  g_assert_cmpuint (n_timed, <=, n_keys / 64 + 1);
  shmkv_completion_clear (&completion);
}

static void
test_sessions (Fixture *fixture, gconstpointer data)
{
  ShmkvCompletion completion;

  for (guint i = 0; i < 10; i++)
    call (fixture, (ShmkvRequest) { .op = SHMKV_OP_START_WORKERS, .key = shmkv_integer (0) });
  completion = call (fixture, (ShmkvRequest) { .op = SHMKV_OP_SESSIONS });
  g_assert_cmpuint (find (&completion, "0.requests"), ==, 10);
  g_assert_cmpuint (find (&completion, "0.failed"), ==, 10);
  g_assert_cmpuint (find (&completion, "0.bytes_in"), ==, 10 * 24);
  g_assert_cmpuint (find (&completion, "0.bytes_out"), ==, 10 * 16);
  g_assert_cmpuint (find (&completion, "0.client_pid"), !=, 0);
  g_assert_cmpuint (find (&completion, "0.in_use_ms"), <, UTIL_PATIENCE_US / 1000);
  g_assert_cmpuint (shmkv_pairs_get_length (completion.pairs), ==, 6);
  shmkv_completion_clear (&completion);
}

/* Keys that expire are changes, too: nobody has to touch them. */
static void
test_expiry (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 20; i++)
    {
      ShmkvCompletion completion
        = call (fixture, (ShmkvRequest) { .op = SHMKV_OP_INSERT,
                                          .flags = SHMKV_FLAG_TTL | SHMKV_FLAG_VERSION,
                                          .key = shmkv_string ("k"),
                                          .value = shmkv_integer (1),
                                          .ttl_ms = 5 });

      g_assert_cmpint (completion.status, ==, SHMKV_STATUS_ADDED);
      completion = call (fixture, (ShmkvRequest) { .op = SHMKV_OP_WAIT,
                                                   .key = shmkv_string ("k"),
                                                   .value = shmkv_integer (completion.version) });
      g_assert_cmpint (completion.status, ==, SHMKV_STATUS_NO_KEY);
    }
}

/* A limit that the empty table does not keep to is told, with both figures. */
static void
test_max_memory (void)
{
  g_autofree char *name = util_name ();
  ShmkvServerOptions options = default_options (name);
  guint64 needed = shmkv_table_empty_size (options.buckets);
  g_autofree char *figure = g_strdup_printf ("%" G_GUINT64_FORMAT, needed);
  g_autoptr (GError) error = NULL;
  ShmkvServer *server;

  options.max_memory = needed - 1;
  g_assert_null (shmkv_server_new (&options, on_quit, NULL, &error));
  g_assert_error (error, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, figure));
  g_assert_false (util_object_exists (name, "requests"));
  g_clear_error (&error);

  options.max_memory = needed;
  server = shmkv_server_new (&options, on_quit, NULL, &error);
  g_assert_no_error (error);
  shmkv_server_free (server);
}

int
main (int argc, char **argv)
{
#define ADD(name, function)                                                                        \
  g_test_add ("/server/" name, Fixture, NULL, set_up, function, tear_down)

  util_init (&argc, &argv);
  ADD ("stats", test_stats);
  ADD ("sessions", test_sessions);
  ADD ("expiry", test_expiry);
  g_test_add_func ("/server/max-memory", test_max_memory);
  return util_run ();
}
