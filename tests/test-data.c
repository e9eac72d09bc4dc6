/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The library and a server in one process: byte strings, conditions, times to
 * live, scans, waits and watches, as a program uses them. */

#include "config.h"

#include "server/journal.h"
#include "server/server.h"
#include "shmkv/session-private.h"
#include "util.h"

#include <shmkv/shmkv.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSIONS 8
#define MAX_VALUE 100000

typedef struct
{
  char *name;
  ShmkvServer *server;
  ShmkvClient *client;
  GThread *reaper;
  _Atomic guint n_reaps;
  _Atomic gboolean ends;
} Fixture;

/* What the server's main loop does a few times a second. */
static gpointer
reap (gpointer data)
{
  Fixture *fixture = data;

  while (!atomic_load (&fixture->ends))
    {
      shmkv_server_reap (fixture->server);
      atomic_fetch_add (&fixture->n_reaps, 1);
      g_usleep (5000);
    }
  return NULL;
}

static void
on_quit (gpointer data)
{
}

static void
set_up_with (Fixture *fixture, guint64 max_value)
{
  g_autoptr (GError) error = NULL;
  ShmkvServerOptions options;

  fixture->name = util_name ();
  options = (ShmkvServerOptions) {
    .name = fixture->name,
    .buckets = 13,
    .workers = 2,
    .max_workers = 2,
    .sessions = SESSIONS,
    .ring_size = SHMKV_WIRE_MIN_RING_SIZE,
    .max_value = max_value,
    .mode = 0600,
    .group = (gid_t) -1,
    .spin_ns = 20000,
  };
  fixture->server = shmkv_server_new (&options, on_quit, fixture, &error);
  g_assert_no_error (error);
  atomic_store (&fixture->ends, FALSE);
  fixture->reaper = g_thread_new ("reaper", reap, fixture);
  fixture->client = shmkv_client_new (fixture->name, &error);
  g_assert_no_error (error);
  shmkv_client_set_timeout (fixture->client, UTIL_PATIENCE_US);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  set_up_with (fixture, MAX_VALUE);
}

static void
end_server (Fixture *fixture)
{
  if (fixture->server == NULL)
    return;
  atomic_store (&fixture->ends, TRUE);
  g_thread_join (fixture->reaper);
  g_clear_pointer (&fixture->server, shmkv_server_free);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  shmkv_client_unref (fixture->client);
  end_server (fixture);
  g_free (fixture->name);
}

static ShmkvSession *
session_new (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  ShmkvSession *session = shmkv_session_new (fixture->client, &error);

  g_assert_no_error (error);
  return session;
}

/* --------------------------------------------------------------------- calls */

#define REQUEST(...) (&(ShmkvRequest) { __VA_ARGS__ })

static ShmkvCompletion
call (Fixture *fixture, const ShmkvRequest *request)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completion = { .id = 0 };

  shmkv_client_call (fixture->client, request, &completion, &error);
  g_assert_no_error (error);
  g_assert_cmpint (completion.op, ==, request->op);
  return completion;
}

static void
assert_status (Fixture *fixture, const ShmkvRequest *request, ShmkvStatus status)
{
  ShmkvCompletion completion = call (fixture, request);

  g_assert_cmpint (completion.status, ==, status);
  shmkv_completion_clear (&completion);
}

static void
assert_fails (Fixture *fixture, const ShmkvRequest *request, ShmkvError code)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completion;

  g_assert_false (shmkv_client_call (fixture->client, request, &completion, &error));
  g_assert_error (error, SHMKV_ERROR, (int) code);
  /* It names the operation. */
  g_assert_nonnull (strstr (error->message, shmkv_op_to_string (request->op)));
}

static void
assert_bytes (ShmkvCompletion *completion, const void *bytes, gsize length)
{
  gsize n;
  gconstpointer found;

  g_assert_cmpint (completion->value_kind, ==, SHMKV_KIND_BYTES);
  found = g_bytes_get_data (completion->bytes, &n);
  g_assert_cmpmem (found, n, bytes, length);
  shmkv_completion_clear (completion);
}

/* The value of a key, which is this string. */
static void
assert_string (Fixture *fixture, ShmkvDatum key, const char *string)
{
  ShmkvCompletion completion = call (fixture, REQUEST (.op = SHMKV_OP_READ, .key = key));

  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
  assert_bytes (&completion, string, strlen (string));
}

static void
insert_string (Fixture *fixture, const char *key, const char *value)
{
  ShmkvCompletion completion
    = call (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = shmkv_string (key),
                              .value = shmkv_string (value)));

  g_assert_false (shmkv_status_is_failure (completion.status));
}

static void
test_strings (Fixture *fixture, gconstpointer data)
{
  ShmkvDatum five = shmkv_integer (5), text_five = shmkv_string ("5");
  ShmkvDatum nul = shmkv_bytes ("a\0b", 3);
  g_autoptr (ShmkvSession) session = session_new (fixture);
  g_autoptr (GError) error = NULL;
  guint64 value = 1;
  gboolean found;

  insert_string (fixture, "5", "five");
  assert_status (fixture, REQUEST (.op = SHMKV_OP_READ, .key = five), SHMKV_STATUS_NO_KEY);
  g_assert_true (shmkv_client_insert (fixture->client, 5, 55, NULL, NULL));
  assert_string (fixture, text_five, "five");
  assert_status (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = nul, .value = nul),
                 SHMKV_STATUS_ADDED);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_READ, .key = shmkv_string ("a")),
                 SHMKV_STATUS_NO_KEY);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_DELETE, .key = nul), SHMKV_STATUS_OK);

  /* An integer key with a string for a value. */
  assert_status (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = five, .value = text_five),
                 SHMKV_STATUS_REPLACED);
  assert_string (fixture, five, "5");
  g_assert_false (shmkv_client_read (fixture->client, 5, &value, &found, &error));
  g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_WRONG_KIND);
  g_clear_error (&error);
  g_assert_false (shmkv_session_read (session, 5, &value, &found, &error));
  g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_WRONG_KIND);
  g_assert_cmpuint (value, ==, 1);

  /* Nothing is a value, too. */
  assert_status (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = five,
                                   .value = shmkv_bytes (NULL, 0)),
                 SHMKV_STATUS_REPLACED);
  assert_string (fixture, five, "");
}

static void
test_lengths (Fixture *fixture, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc (MAX_VALUE + 1);

  for (gsize i = 0; i <= MAX_VALUE; i++)
    bytes[i] = (guint8) (i * 31 + i / 256);
  for (guint round = 0; round < UTIL_N (2000); round++)
    {
      gsize length = round < 200 ? round
                                 : util_random_range (0, round % 10 == 0 ? MAX_VALUE + 1 : 5000);
      gsize key_length = util_random_range (1, round % 10 == 1 ? SHMKV_KEY_MAX + 1 : 50);
      ShmkvDatum key = shmkv_bytes (bytes, key_length);
      ShmkvDatum value = shmkv_bytes (bytes + round % 64, MIN (length, MAX_VALUE - 64));
      ShmkvCompletion completion;

      completion = call (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = key, .value = value));
      shmkv_completion_clear (&completion);
      completion = call (fixture, REQUEST (.op = SHMKV_OP_READ, .key = key));
      assert_bytes (&completion, value.bytes, value.length);
      if (round % 3 == 0)
        {
          completion = call (fixture, REQUEST (.op = SHMKV_OP_DELETE, .key = key,
                                               .flags = SHMKV_FLAG_OLD));
          assert_bytes (&completion, value.bytes, value.length);
        }
    }
  g_assert_cmpuint (shmkv_client_get_max_value (fixture->client), ==, MAX_VALUE);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = shmkv_integer (1),
                                   .value = shmkv_bytes (bytes, MAX_VALUE)),
                 SHMKV_STATUS_ADDED);
  assert_fails (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = shmkv_integer (1),
                                  .value = shmkv_bytes (bytes, MAX_VALUE + 1)),
                SHMKV_ERROR_TOO_LARGE);
}

static void
test_conditions (Fixture *fixture, gconstpointer data)
{
  ShmkvDatum key = shmkv_string ("key"), a = shmkv_string ("a"), b = shmkv_string ("b");
  ShmkvCompletion completion;
  guint64 version;

#define INSERT(...) REQUEST (.op = SHMKV_OP_INSERT, .key = key, __VA_ARGS__)
  assert_status (fixture, INSERT (.value = a, .flags = SHMKV_FLAG_IF_PRESENT),
                 SHMKV_STATUS_MISMATCH);
  assert_status (fixture, INSERT (.value = a, .flags = SHMKV_FLAG_IF_ABSENT), SHMKV_STATUS_ADDED);
  assert_status (fixture, INSERT (.value = b, .flags = SHMKV_FLAG_IF_ABSENT),
                 SHMKV_STATUS_MISMATCH);
  assert_string (fixture, key, "a");
  assert_status (fixture, INSERT (.value = b, .expected = b, .flags = SHMKV_FLAG_IF_VALUE),
                 SHMKV_STATUS_MISMATCH);
  completion = call (fixture, INSERT (.value = b, .expected = a,
                                      .flags = SHMKV_FLAG_IF_VALUE | SHMKV_FLAG_OLD
                                               | SHMKV_FLAG_VERSION));
  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_REPLACED);
  version = completion.version;
  g_assert_cmpuint (version, !=, 0);
  assert_bytes (&completion, "a", 1);
  completion = call (fixture, REQUEST (.op = SHMKV_OP_READ, .key = key,
                                       .flags = SHMKV_FLAG_VERSION));
  g_assert_cmpuint (completion.version, ==, version);
  assert_bytes (&completion, "b", 1);
  assert_status (fixture, INSERT (.value = a, .version = version + 1,
                                  .flags = SHMKV_FLAG_IF_VERSION),
                 SHMKV_STATUS_MISMATCH);
  assert_status (fixture, INSERT (.value = a, .flags = SHMKV_FLAG_IF_VERSION),
                 SHMKV_STATUS_MISMATCH);
  assert_status (fixture, INSERT (.value = a, .version = version, .flags = SHMKV_FLAG_IF_VERSION),
                 SHMKV_STATUS_REPLACED);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_DELETE, .key = key, .version = version,
                                   .flags = SHMKV_FLAG_IF_VERSION),
                 SHMKV_STATUS_MISMATCH);
  completion = call (fixture, REQUEST (.op = SHMKV_OP_DELETE, .key = key, .expected = a,
                                       .flags = SHMKV_FLAG_IF_VALUE | SHMKV_FLAG_OLD));
  assert_bytes (&completion, "a", 1);
  /* Version 0 means absent. */
  assert_status (fixture, INSERT (.value = shmkv_integer (5), .flags = SHMKV_FLAG_IF_VERSION),
                 SHMKV_STATUS_ADDED);
  completion = call (fixture, INSERT (.value = a, .flags = SHMKV_FLAG_OLD));
  g_assert_cmpint (completion.value_kind, ==, SHMKV_KIND_INTEGER);
  g_assert_cmpuint (completion.value, ==, 5);
  shmkv_completion_clear (&completion);
#undef INSERT
}

static void
test_add (Fixture *fixture, gconstpointer data)
{
  ShmkvDatum key = shmkv_string ("counter");
  ShmkvCompletion completion;

#define ADD(n, ...) REQUEST (.op = SHMKV_OP_ADD, .key = key, .value = shmkv_integer (n), __VA_ARGS__)
#define SUBTRACT(n, ...)                                                                           \
  REQUEST (.op = SHMKV_OP_SUBTRACT, .key = key, .value = shmkv_integer (n), __VA_ARGS__)
  assert_status (fixture, ADD (5, .flags = SHMKV_FLAG_IF_PRESENT), SHMKV_STATUS_NO_KEY);
  completion = call (fixture, ADD (5, .flags = SHMKV_FLAG_VERSION));
  g_assert_cmpuint (completion.value, ==, 5);
  g_assert_cmpuint (completion.version, !=, 0);
  completion = call (fixture, SUBTRACT (2, .flags = SHMKV_FLAG_IF_VERSION,
                                        .version = completion.version));
  g_assert_cmpuint (completion.value, ==, 3);
  assert_fails (fixture, SUBTRACT (4, .flags = SHMKV_FLAG_NONE), SHMKV_ERROR_OVERFLOW);
  completion = call (fixture, SUBTRACT (4, .flags = SHMKV_FLAG_WRAP));
  g_assert_cmpuint (completion.value, ==, G_MAXUINT64);
  assert_fails (fixture, ADD (1, .flags = SHMKV_FLAG_NONE), SHMKV_ERROR_OVERFLOW);
  insert_string (fixture, "counter", "not a number");
  assert_fails (fixture, ADD (1, .flags = SHMKV_FLAG_NONE), SHMKV_ERROR_WRONG_KIND);
  assert_string (fixture, key, "not a number");
#undef ADD
#undef SUBTRACT
}

static void
test_ttl (Fixture *fixture, gconstpointer data)
{
  ShmkvDatum key = shmkv_string ("short-lived");
  ShmkvCompletion completion;

  assert_status (fixture, REQUEST (.op = SHMKV_OP_TTL, .key = key), SHMKV_STATUS_NO_KEY);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_EXPIRE, .key = key), SHMKV_STATUS_NO_KEY);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = key, .value = key,
                                   .flags = SHMKV_FLAG_TTL, .ttl_ms = 1000000),
                 SHMKV_STATUS_ADDED);
  completion = call (fixture, REQUEST (.op = SHMKV_OP_TTL, .key = key));
  g_assert_cmpuint (completion.value, >, 1000000 - UTIL_PATIENCE_US / 1000);
  g_assert_cmpuint (completion.value, <=, 1000000);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_EXPIRE, .key = key), SHMKV_STATUS_OK);
  completion = call (fixture, REQUEST (.op = SHMKV_OP_TTL, .key = key));
  g_assert_cmpuint (completion.value, ==, 0);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_EXPIRE, .key = key, .flags = SHMKV_FLAG_TTL,
                                   .ttl_ms = SHMKV_TTL_MAX),
                 SHMKV_STATUS_OK);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_EXPIRE, .key = key, .flags = SHMKV_FLAG_TTL,
                                   .ttl_ms = 20),
                 SHMKV_STATUS_OK);
  /* Whoever waits for a change of it is told that it is gone. */
  completion = call (fixture, REQUEST (.op = SHMKV_OP_READ, .key = key,
                                       .flags = SHMKV_FLAG_VERSION));
  if (completion.status == SHMKV_STATUS_OK)
    {
      guint64 version = completion.version;

      shmkv_completion_clear (&completion);
      g_assert_true (shmkv_client_wait (fixture->client, &key, version, -1, &completion, NULL));
    }
  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_NO_KEY);
}

/* ---------------------------------------------------------------- many at once */

typedef struct
{
  ShmkvClient *client;
  guint64 n;
} Adder;

/* Adds one to a number that is written in a string, as an optimist does. */
static gpointer
add_in_string (gpointer data)
{
  Adder *adder = data;

  for (guint64 done = 0; done < adder->n;)
    {
      ShmkvRequest request = { .op = SHMKV_OP_READ, .key = shmkv_string ("sum"),
                               .flags = SHMKV_FLAG_VERSION };
      g_autofree char *text = NULL;
      ShmkvCompletion completion;

      g_assert_true (shmkv_client_call (adder->client, &request, &completion, NULL));
      g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
      text = g_strndup (g_bytes_get_data (completion.bytes, NULL),
                        g_bytes_get_size (completion.bytes));
      request.op = SHMKV_OP_INSERT;
      request.flags = SHMKV_FLAG_IF_VERSION;
      request.version = completion.version;
      shmkv_completion_clear (&completion);
      {
        g_autofree char *next
          = g_strdup_printf ("%" G_GUINT64_FORMAT, g_ascii_strtoull (text, NULL, 10) + 1);

        request.value = shmkv_string (next);
        g_assert_true (shmkv_client_call (adder->client, &request, &completion, NULL));
      }
      done += completion.status == SHMKV_STATUS_REPLACED;
    }
  return NULL;
}

static void
test_compare_and_swap (Fixture *fixture, gconstpointer data)
{
  Adder adder = { .client = fixture->client, .n = UTIL_N (2000) };
  g_autofree char *sum = g_strdup_printf ("%" G_GUINT64_FORMAT, 3 * adder.n);
  GThread *threads[3];

  insert_string (fixture, "sum", "0");
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("adder", add_in_string, &adder);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  assert_string (fixture, shmkv_string ("sum"), sum);
}

/* What a key should have: see model_step(). */
#define KEYS 20

typedef struct
{
  GBytes *values[KEYS];             /* NULL: absent */
  GQueue expected;                  /* of GBytes: what reads will bring; `absent` for NULL */
  GBytes *absent;
} Model;

static void
model_submit (Model *model, ShmkvSession *session, gboolean bytes_keys)
{
  g_autoptr (GError) error = NULL;
  guint i = util_random_range (0, KEYS);
  guint64 number = G_GUINT64_CONSTANT (0x0101010101010101) * i;
  ShmkvRequest request
    = { .key = bytes_keys ? shmkv_bytes (&number, 1 + i % 8) : shmkv_integer (i) };
  g_autofree guint8 *bytes = NULL;

  switch (util_random_range (0, 8))
    {
    case 0:
      request.op = SHMKV_OP_DELETE;
      request.flags = SHMKV_FLAG_OLD;
      break;
    case 1:
    case 2:
      request.op = SHMKV_OP_READ;
      break;
    default:
      {
        gsize n = util_random_range (0, util_random_range (0, 20) == 0 ? MAX_VALUE + 1 : 300);

        bytes = g_malloc (n + 1);
        memset (bytes, (int) g_test_rand_int (), n);
        request.op = SHMKV_OP_INSERT;
        request.flags = SHMKV_FLAG_OLD;
        request.value = shmkv_bytes (bytes, n);
      }
    }
  shmkv_session_submit (session, &request, &error);
  g_assert_no_error (error);
  g_queue_push_tail (&model->expected,
                     g_bytes_ref (model->values[i] != NULL ? model->values[i] : model->absent));
  if (request.op == SHMKV_OP_READ)
    return;
  g_clear_pointer (&model->values[i], g_bytes_unref);
  if (request.op == SHMKV_OP_INSERT)
    model->values[i] = g_bytes_new (request.value.bytes, request.value.length);
}

static void
model_take (Model *model, ShmkvSession *session, gint64 timeout_us)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completions[8];
  gssize n = shmkv_session_take (session, completions, G_N_ELEMENTS (completions), timeout_us,
                                 &error);

  g_assert_no_error (error);
  for (gssize i = 0; i < n; i++)
    {
      GBytes *expected = g_queue_pop_head (&model->expected);

      if (expected == model->absent)
        g_assert_cmpint (completions[i].value_kind, ==, SHMKV_KIND_NONE);
      else
        g_assert_true (g_bytes_equal (completions[i].bytes, expected));
      g_bytes_unref (expected);
      shmkv_completion_clear (&completions[i]);
    }
}

/* Short and long ones in the rings at once, and every answer is that of its
 * moment. */
static void
test_pipelined (Fixture *fixture, gconstpointer data)
{
  for (guint round = 0; round < 2; round++)
    {
      g_autoptr (ShmkvSession) session = session_new (fixture);
      Model model = { .absent = g_bytes_new (NULL, 0) };

      g_queue_init (&model.expected);
      for (guint i = 0; i < UTIL_N (10000); i++)
        {
          model_submit (&model, session, round == 0);
          if (util_random_range (0, 100) == 0)
            shmkv_session_flush (session, NULL);
          if (util_random_range (0, 20) == 0)
            model_take (&model, session, 0);
        }
      g_assert_true (shmkv_session_flush (session, NULL));
      while (shmkv_session_get_in_flight (session) > 0)
        model_take (&model, session, UTIL_PATIENCE_US);
      g_assert_true (g_queue_is_empty (&model.expected));
      for (guint i = 0; i < KEYS; i++)
        g_clear_pointer (&model.values[i], g_bytes_unref);
      g_bytes_unref (model.absent);
    }
}

static void
test_call_many (Fixture *fixture, gconstpointer data)
{
  const guint n = UTIL_N (20000);
  g_autofree ShmkvRequest *requests = g_new0 (ShmkvRequest, n);
  g_autofree ShmkvCompletion *completions = g_new (ShmkvCompletion, n);
  g_autofree guint8 *bytes = g_malloc0 (3000);

  for (guint i = 0; i < n; i++)
    {
      requests[i].op = i % 2 == 0 ? SHMKV_OP_INSERT : SHMKV_OP_READ;
      requests[i].key = shmkv_integer (i % 100 / 2);
      if (i % 2 == 0)
        requests[i].value = shmkv_bytes (bytes, i % 3000);
    }
  g_assert_true (shmkv_client_call_many (fixture->client, requests, n, completions, NULL));
  for (guint i = 0; i < n; i++)
    {
      g_assert_false (shmkv_status_is_failure (completions[i].status));
      if (i % 2 == 1)
        g_assert_cmpuint (g_bytes_get_size (completions[i].bytes), ==, (i - 1) % 3000);
      shmkv_completion_clear (&completions[i]);
    }
}

/* ---------------------------------------------------------------------- scans */

static gsize
scan_all (Fixture *fixture, const ShmkvDatum *prefix, ShmkvScanFlags flags, GHashTable *strings)
{
  g_autoptr (ShmkvScan) scan = shmkv_scan_new (fixture->client, prefix, flags);
  g_autoptr (GError) error = NULL;
  ShmkvPairs *pairs = NULL;
  gsize n = 0;

  while (shmkv_scan_next (scan, &pairs, &error) && pairs != NULL)
    {
      g_assert_cmpuint (shmkv_pairs_get_length (pairs), >, 0);
      for (gsize i = 0; i < shmkv_pairs_get_length (pairs); i++, n++)
        {
          ShmkvDatum key, value;

          shmkv_pairs_get (pairs, i, &key, &value);
          g_assert_cmpint (value.kind == SHMKV_KIND_NONE, ==, (flags & SHMKV_SCAN_KEYS_ONLY) != 0);
          if (key.kind == SHMKV_KIND_BYTES && strings != NULL)
            /* Never twice. */
            g_assert_true (g_hash_table_add (strings,
                                             g_strndup ((const char *) key.bytes, key.length)));
        }
      shmkv_pairs_unref (pairs);
    }
  g_assert_no_error (error);
  /* Whoever goes on at the end stays there. */
  g_assert_true (shmkv_scan_next (scan, &pairs, &error));
  g_assert_null (pairs);
  return n;
}

static void
test_scan (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) strings = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  ShmkvDatum a = shmkv_string ("a"), any = shmkv_string (""), none = shmkv_string ("x");
  g_autoptr (ShmkvSession) session = session_new (fixture);
  ShmkvCompletion completion;
  guint64 count = 0;

  g_assert_cmpuint (scan_all (fixture, NULL, SHMKV_SCAN_ALL, NULL), ==, 0);
  for (guint i = 0; i < 3000; i++)
    {
      g_autofree char *key = g_strdup_printf ("%c%u", "abc"[i % 3], i);

      g_assert_true (shmkv_client_insert (fixture->client, i, i, NULL, NULL));
      insert_string (fixture, key, key);
    }
  g_assert_true (shmkv_session_call (session,
                                     REQUEST (.op = SHMKV_OP_INSERT, .key = shmkv_string ("mine"),
                                              .value = shmkv_integer (1),
                                              .flags = SHMKV_FLAG_SESSION),
                                     &completion, NULL));
  g_assert_true (shmkv_client_count (fixture->client, &count, NULL));
  g_assert_cmpuint (count, ==, 6001);
  g_assert_cmpuint (scan_all (fixture, NULL, SHMKV_SCAN_ALL, strings), ==, 6001);
  g_assert_cmpuint (g_hash_table_size (strings), ==, 3001);
  g_assert_cmpuint (scan_all (fixture, NULL, SHMKV_SCAN_INTEGER_KEYS, NULL), ==, 3000);
  g_assert_cmpuint (scan_all (fixture, NULL, SHMKV_SCAN_BYTES_KEYS | SHMKV_SCAN_KEYS_ONLY, NULL),
                    ==, 3001);
  g_assert_cmpuint (scan_all (fixture, NULL, SHMKV_SCAN_PERMANENT, NULL), ==, 6000);
  g_assert_cmpuint (scan_all (fixture, &a, SHMKV_SCAN_ALL, NULL), ==, 1000);
  g_assert_cmpuint (scan_all (fixture, &any, SHMKV_SCAN_ALL, NULL), ==, 3001);
  g_assert_cmpuint (scan_all (fixture, &none, SHMKV_SCAN_ALL, NULL), ==, 0);
  g_assert_true (shmkv_client_clear (fixture->client, &count, NULL));
  g_assert_cmpuint (count, ==, 6001);
  g_assert_true (shmkv_client_clear (fixture->client, NULL, NULL));
  g_assert_true (shmkv_client_count (fixture->client, &count, NULL));
  g_assert_cmpuint (count, ==, 0);
}

/* Pairs far longer than the rings. */
static void
test_scan_long (Fixture *fixture, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc0 (MAX_VALUE);

  for (guint i = 0; i < 50; i++)
    assert_status (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = shmkv_integer (i),
                                     .value = shmkv_bytes (bytes, MAX_VALUE - i),
                                     .flags = SHMKV_FLAG_TTL, .ttl_ms = 1000000),
                   SHMKV_STATUS_ADDED);
  g_assert_cmpuint (scan_all (fixture, NULL, SHMKV_SCAN_ALL, NULL), ==, 50);
}

/* How long values may be does not matter to what a scan asks for. */
static void
test_scan_short_values (void)
{
  static guint8 bytes[SHMKV_KEY_MAX];
  ShmkvDatum longest = shmkv_bytes (bytes, sizeof bytes);
  Fixture fixture;

  set_up_with (&fixture, 1);
  assert_status (&fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = longest,
                                    .value = shmkv_string ("v")), SHMKV_STATUS_ADDED);
  insert_string (&fixture, "key", "");
  g_assert_cmpuint (scan_all (&fixture, NULL, SHMKV_SCAN_ALL, NULL), ==, 2);
  g_assert_cmpuint (scan_all (&fixture, &longest, SHMKV_SCAN_ALL, NULL), ==, 1);
  tear_down (&fixture, NULL);
}

static void
test_session_stats (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvPairs) pairs = shmkv_client_session_stats (fixture->client, NULL);

  g_assert_nonnull (pairs);
  g_assert_cmpuint (shmkv_pairs_get_length (pairs), >, 0);
  for (gsize i = 0; i < shmkv_pairs_get_length (pairs); i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (pairs, i, &key, &value);
      g_assert_cmpint (key.kind, ==, SHMKV_KIND_BYTES);
      g_assert_nonnull (memchr (key.bytes, '.', key.length));
      g_assert_cmpint (value.kind, ==, SHMKV_KIND_INTEGER);
    }
}

/* ---------------------------------------------------------------------- waits */

typedef struct
{
  ShmkvSession *session;
  ShmkvDatum mine, other;
  guint64 n;
  gboolean begins;
} Player;

/* Sets its key to 1, 2, 3 ...; each after the other has set his to the same, or
 * to one less. */
static gpointer
play (gpointer data)
{
  Player *player = data;
  guint64 version = 0;

  for (guint64 i = 1; i <= player->n; i++)
    {
      ShmkvRequest request
        = { .op = SHMKV_OP_INSERT, .key = player->mine, .value = shmkv_integer (i) };
      g_autoptr (GError) error = NULL;
      ShmkvCompletion completion;

      if (player->begins)
        g_assert_true (shmkv_session_call (player->session, &request, &completion, NULL));
      shmkv_session_wait (player->session, &player->other, version, -1, &completion, &error);
      g_assert_no_error (error);
      g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
      g_assert_cmpuint (completion.value, ==, i);
      g_assert_cmpuint (completion.version, !=, version);
      version = completion.version;
      if (!player->begins)
        g_assert_true (shmkv_session_call (player->session, &request, &completion, NULL));
    }
  return NULL;
}

/* Nobody sleeps: each is woken by the other. */
static void
test_wait_players (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) first = session_new (fixture), second = session_new (fixture);
  Player players[2] = {
    { first, shmkv_string ("ping"), shmkv_integer (1), UTIL_N (5000), TRUE },
    { second, shmkv_integer (1), shmkv_string ("ping"), UTIL_N (5000), FALSE },
  };
  GThread *thread = g_thread_new ("player", play, &players[1]);

  play (&players[0]);
  g_thread_join (thread);
}

static void
test_wait_timeout (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  ShmkvDatum key = shmkv_string ("key");
  ShmkvCompletion completion;
  guint64 version;

  /* Also with another completion that nobody took. */
  shmkv_session_submit_read (session, 77, 0, NULL, NULL);
  for (gint64 timeout_us = 0; timeout_us <= 20000; timeout_us += 10000)
    {
      gint64 start = g_get_monotonic_time ();

      g_assert_true (shmkv_session_wait (session, &key, 0, timeout_us, &completion, NULL));
      g_assert_cmpint (completion.status, ==, SHMKV_STATUS_UNCHANGED);
      g_assert_cmpint (g_get_monotonic_time () - start, >=, timeout_us);
      g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 1);
    }
  g_assert_true (shmkv_session_wait (session, &key, 5, -1, &completion, NULL));
  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_NO_KEY);
  insert_string (fixture, "key", "value");
  g_assert_true (shmkv_client_wait (fixture->client, &key, 0, -1, &completion, NULL));
  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
  version = completion.version;
  assert_bytes (&completion, "value", 5);
  g_assert_true (shmkv_client_wait (fixture->client, &key, version, 0, &completion, NULL));
  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_UNCHANGED);
  g_assert_true (shmkv_session_wait (session, &key, version + 1, 0, &completion, NULL));
  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
  shmkv_completion_clear (&completion);
  g_assert_cmpint (shmkv_session_take (session, &completion, 1, 0, NULL), ==, 1);
  g_assert_cmpint (completion.op, ==, SHMKV_OP_READ);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 0);
}

/* Time runs out and the key changes at the same moment: whatever is said, it is
 * right, and nothing is left over. */
static void
test_wait_race (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture), writer = session_new (fixture);
  ShmkvDatum key = shmkv_integer (9);
  guint n_changed = 0, n_unchanged = 0;
  guint64 version = 0;

  for (guint64 i = 1; i <= UTIL_N (3000); i++)
    {
      g_autoptr (GError) error = NULL;
      ShmkvCompletion completion;

      shmkv_session_submit_insert (writer, 9, i, SHMKV_FLAG_NO_RESPONSE, NULL, NULL);
      shmkv_session_flush (writer, NULL);
      shmkv_session_wait (session, &key, version, util_random_range (0, 100), &completion, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 0);
      if (completion.status == SHMKV_STATUS_UNCHANGED)
        {
          n_unchanged++;
          continue;
        }
      g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
      g_assert_cmpuint (completion.value, <=, i);
      version = completion.version;
      n_changed++;
    }
  g_test_message ("%u changed, %u unchanged", n_changed, n_unchanged);
}

static gpointer
wait_for_ever (gpointer data)
{
  g_autoptr (GError) error = NULL;
  ShmkvDatum key = shmkv_integer (1);
  ShmkvCompletion completion;

  g_assert_false (shmkv_session_wait (data, &key, 0, -1, &completion, &error));
  g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE);
  return NULL;
}

static void
test_wait_gone (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  GThread *thread = g_thread_new ("waiting", wait_for_ever, session);

  UTIL_AWAIT (atomic_load (&session->client_lane->response_nap) % 2 != 0);
  end_server (fixture);
  g_thread_join (thread);
}

/* -------------------------------------------------------------------- watches */

/* The next changes of one key, in place of which there may be more at once. */
static void
expect_change (ShmkvWatch *watch, const char *key, ShmkvChange change)
{
  g_autoptr (ShmkvPairs) changes = NULL;
  g_autoptr (GError) error = NULL;
  ShmkvDatum found_key, found_change;
  gboolean missed = TRUE;

  shmkv_watch_next (watch, UTIL_PATIENCE_US, &changes, &missed, &error);
  g_assert_no_error (error);
  g_assert_false (missed);
  g_assert_nonnull (changes);
  g_assert_cmpuint (shmkv_pairs_get_length (changes), ==, 1);
  shmkv_pairs_get (changes, 0, &found_key, &found_change);
  g_assert_cmpmem (found_key.bytes, found_key.length, key, strlen (key));
  g_assert_cmpint (found_change.kind, ==, SHMKV_KIND_INTEGER);
  g_assert_cmpuint (found_change.integer, ==, change);
}

static void
expect_silence (ShmkvWatch *watch, gint64 timeout_us)
{
  g_autoptr (ShmkvPairs) changes = NULL;
  g_autoptr (GError) error = NULL;
  gboolean missed = TRUE;

  shmkv_watch_next (watch, timeout_us, &changes, &missed, &error);
  g_assert_no_error (error);
  g_assert_false (missed);
  g_assert_null (changes);
}

static void
test_watch (Fixture *fixture, gconstpointer data)
{
  ShmkvDatum prefix = shmkv_string ("a/");
  g_autoptr (ShmkvWatch) all = shmkv_watch_new (fixture->client, NULL, NULL);
  g_autoptr (ShmkvWatch) some = shmkv_watch_new (fixture->client, &prefix, NULL);

  g_assert_nonnull (all);
  g_assert_nonnull (some);
  expect_silence (all, 0);
  expect_silence (some, 10000);
  insert_string (fixture, "a/1", "x");
  expect_change (all, "a/1", SHMKV_CHANGE_SET);
  expect_change (some, "a/1", SHMKV_CHANGE_SET);
  insert_string (fixture, "b/1", "x");
  expect_change (all, "b/1", SHMKV_CHANGE_SET);
  expect_silence (some, 10000);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_DELETE, .key = shmkv_string ("a/1")),
                 SHMKV_STATUS_OK);
  expect_change (some, "a/1", SHMKV_CHANGE_DELETED);
  expect_change (all, "a/1", SHMKV_CHANGE_DELETED);
  assert_status (fixture, REQUEST (.op = SHMKV_OP_INSERT, .key = shmkv_string ("a/2"),
                                   .value = shmkv_integer (1), .flags = SHMKV_FLAG_TTL,
                                   .ttl_ms = 1),
                 SHMKV_STATUS_ADDED);
  expect_change (some, "a/2", SHMKV_CHANGE_SET);
  expect_change (some, "a/2", SHMKV_CHANGE_EXPIRED);
}

typedef struct
{
  ShmkvClient *client;
  guint n;
} Writer;

static gpointer
write_numbers (gpointer data)
{
  Writer *writer = data;

  for (guint64 i = 1; i <= writer->n; i++)
    g_assert_true (shmkv_client_insert (writer->client, i, i, NULL, NULL));
  return NULL;
}

/* Nothing is lost where the reader is fast enough, and else it is said. */
static void
test_watch_all (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvWatch) watch = shmkv_watch_new (fixture->client, NULL, NULL);
  Writer writer = { .client = fixture->client, .n = UTIL_N (20000) };
  GThread *thread = g_thread_new ("writer", write_numbers, &writer);
  gboolean missed = FALSE;
  guint64 seen = 0;

  while (seen < writer.n)
    {
      g_autoptr (ShmkvPairs) changes = NULL;
      g_autoptr (GError) error = NULL;
      gboolean missed_now = FALSE;

      shmkv_watch_next (watch, -1, &changes, &missed_now, &error);
      g_assert_no_error (error);
      g_assert_cmpint (missed_now, ==, changes == NULL);
      missed = missed || missed_now;
      for (gsize i = 0; changes != NULL && i < shmkv_pairs_get_length (changes); i++)
        {
          ShmkvDatum key;

          shmkv_pairs_get (changes, i, &key, NULL);
          if (missed)
            g_assert_cmpuint (key.integer, >, seen);
          else
            g_assert_cmpuint (key.integer, ==, seen + 1);
          seen = key.integer;
        }
    }
  g_thread_join (thread);
}

static void
test_watch_missed (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvWatch) watch = shmkv_watch_new (fixture->client, NULL, NULL);
  g_autoptr (ShmkvSession) session = session_new (fixture);
  g_autoptr (ShmkvPairs) changes = NULL;
  gboolean missed = FALSE;

  for (guint i = 0; i < 2 * SHMKV_JOURNAL_CHANGES; i++)
    shmkv_session_submit_insert (session, i, i, SHMKV_FLAG_NO_RESPONSE, NULL, NULL);
  g_assert_true (shmkv_session_insert (session, 0, 0, NULL, NULL));
  g_assert_true (shmkv_watch_next (watch, -1, &changes, &missed, NULL));
  g_assert_true (missed);
  g_assert_null (changes);
  g_assert_true (shmkv_session_insert (session, 0, 0, NULL, NULL));
  g_assert_true (shmkv_watch_next (watch, -1, &changes, &missed, NULL));
  g_assert_false (missed);
  g_assert_nonnull (changes);
}

/* ------------------------------------------------------- keys of a session */

static gboolean
exists (Fixture *fixture, ShmkvDatum key)
{
  ShmkvCompletion completion = call (fixture, REQUEST (.op = SHMKV_OP_READ, .key = key));
  gboolean found = completion.status == SHMKV_STATUS_OK;

  shmkv_completion_clear (&completion);
  return found;
}

static void
test_session_key (Fixture *fixture, gconstpointer data)
{
  ShmkvRequest request = { .op = SHMKV_OP_INSERT, .key = shmkv_string ("mine"),
                           .value = shmkv_integer (1), .flags = SHMKV_FLAG_SESSION };
  ShmkvSession *session = session_new (fixture);
  ShmkvCompletion completion;

  g_assert_true (shmkv_session_call (session, &request, &completion, NULL));
  g_assert_true (exists (fixture, request.key));
  shmkv_session_free (session);
  UTIL_AWAIT (!exists (fixture, request.key));
}

/* What the child of a process that ended has of its sessions. */
typedef enum
{
  HOLD_NOTHING,
  HOLD_BY_FORK,                     /* a descriptor, as what was forked */
  HOLD_BY_EXEC                      /* the same, as another program */
} Hold;

/* The child; until `end` closes. */
static void
live_on (ShmkvClient *client, Hold hold, int fd, int end)
{
  g_autoptr (GError) error = NULL;
  char byte;

  /* It has no more than the descriptor. */
  if (shmkv_client_dup_fd (client, &error) != -1
      || !g_error_matches (error, SHMKV_ERROR, SHMKV_ERROR_FORKED))
    _exit (1);
  if (hold != HOLD_BY_EXEC)
    _exit (read (end, &byte, 1) == 0 ? 0 : 1);
  if (fcntl (fd, F_SETFD, 0) == 0 && dup2 (end, STDIN_FILENO) == STDIN_FILENO)
    execl ("/bin/sh", "sh", "-c", "read line", (char *) NULL);
  _exit (1);
}

/* A process that takes a key for its session, and is killed; its child lives
 * on. */
static void
hold_and_die (const char *name, Hold hold, int end)
{
  ShmkvRequest request = { .op = SHMKV_OP_INSERT, .key = shmkv_string ("held"),
                           .value = shmkv_integer (1), .flags = SHMKV_FLAG_SESSION };
  ShmkvClient *client = shmkv_client_new (name, NULL);
  ShmkvSession *session = shmkv_session_new (client, NULL);
  int fd = hold != HOLD_NOTHING ? shmkv_client_dup_fd (client, NULL) : -1;
  ShmkvCompletion completion;

  if (!shmkv_session_call (session, &request, &completion, NULL)
      || completion.status != SHMKV_STATUS_ADDED || (hold != HOLD_NOTHING && fd < 0))
    _exit (1);
  if (fork () == 0)
    live_on (client, hold, fd, end);
  kill (getpid (), SIGKILL);
}

static void
check_dup_fd (Fixture *fixture, Hold hold)
{
  ShmkvDatum key = shmkv_string ("held");
  int end[2], status;
  pid_t child;

  g_assert_cmpint (pipe (end), ==, 0);
  child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      close (end[1]);
      hold_and_die (fixture->name, hold, end[0]);
    }
  close (end[0]);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFSIGNALED (status));
  if (hold != HOLD_NOTHING)
    /* The server has looked often enough for somebody who died. */
    for (guint n = atomic_load (&fixture->n_reaps) + 20; atomic_load (&fixture->n_reaps) < n;)
      g_assert_true (exists (fixture, key));
  else
    UTIL_AWAIT (!exists (fixture, key));
  close (end[1]);
  UTIL_AWAIT (!exists (fixture, key));
}

static void
test_dup_fd (Fixture *fixture, gconstpointer data)
{
  check_dup_fd (fixture, HOLD_NOTHING);
  check_dup_fd (fixture, HOLD_BY_FORK);
  check_dup_fd (fixture, HOLD_BY_EXEC);
}

int
main (int argc, char **argv)
{
#define TEST(name, function)                                                                       \
  g_test_add ("/data/" name, Fixture, NULL, set_up, function, tear_down)

  util_init (&argc, &argv);
  TEST ("strings", test_strings);
  TEST ("lengths", test_lengths);
  TEST ("conditions", test_conditions);
  TEST ("add", test_add);
  TEST ("ttl", test_ttl);
  TEST ("compare-and-swap", test_compare_and_swap);
  TEST ("pipelined", test_pipelined);
  TEST ("call-many", test_call_many);
  TEST ("scan/scan", test_scan);
  TEST ("scan/long", test_scan_long);
  g_test_add_func ("/data/scan/short-values", test_scan_short_values);
  TEST ("session-stats", test_session_stats);
  TEST ("wait/players", test_wait_players);
  TEST ("wait/timeout", test_wait_timeout);
  TEST ("wait/race", test_wait_race);
  TEST ("wait/gone", test_wait_gone);
  TEST ("watch/watch", test_watch);
  TEST ("watch/all", test_watch_all);
  TEST ("watch/missed", test_watch_missed);
  TEST ("session-key", test_session_key);
  TEST ("dup-fd", test_dup_fd);
  return util_run ();
}
