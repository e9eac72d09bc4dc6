/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The library and a server in one process: every call, as a program makes it.
 * What happens when things go wrong is in test-session-trouble.c. */

#include "config.h"

#include "server/server.h"
#include "shmkv/session-private.h"
#include "util.h"

#include <shmkv/shmkv.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS 7
#define SESSIONS 4
#define WORKERS 2
#define MAX_WORKERS 5

/* shmkv_integer(), for initializers. */
#define INTEGER(number) { .kind = SHMKV_KIND_INTEGER, .integer = (number) }

typedef struct
{
  char *name;
  ShmkvServer *server;
  ShmkvClient *client;
  _Atomic guint n_quits;
} Fixture;

static void
on_quit (gpointer data)
{
  Fixture *fixture = data;

  atomic_fetch_add (&fixture->n_quits, 1);
}

static void
start_server (Fixture *fixture, guint sessions, gint64 spin_ns)
{
  g_autoptr (GError) error = NULL;
  ShmkvServerOptions options;

  fixture->name = util_name ();
  options = (ShmkvServerOptions) {
    .name = fixture->name,
    .buckets = BUCKETS,
    .workers = WORKERS,
    .max_workers = MAX_WORKERS,
    .sessions = sessions,
    .ring_size = 8192,
    .mode = 0600,
    .group = (gid_t) -1,
    .spin_ns = spin_ns,
  };
  atomic_init (&fixture->n_quits, 0);
  fixture->server = shmkv_server_new (&options, on_quit, fixture, &error);
  g_assert_no_error (error);
  fixture->client = shmkv_client_new (fixture->name, &error);
  g_assert_no_error (error);
  shmkv_client_set_timeout (fixture->client, UTIL_PATIENCE_US);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  start_server (fixture, SESSIONS, 20000);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  shmkv_client_unref (fixture->client);
  shmkv_server_free (fixture->server);
  g_assert_false (util_object_exists (fixture->name, "requests"));
  g_assert_false (util_object_exists (fixture->name, "responses"));
  g_free (fixture->name);
}

static ShmkvSession *
session_new (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  ShmkvSession *session = shmkv_session_new (fixture->client, &error);

  g_assert_no_error (error);
  g_assert_nonnull (session);
  return session;
}

static void
flush (ShmkvSession *session)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (shmkv_session_flush (session, &error));
  g_assert_no_error (error);
}

/* Takes one completion, for which the caller waits. */
static ShmkvCompletion
take_one (ShmkvSession *session)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completion;

  g_assert_cmpint (shmkv_session_take (session, &completion, 1, UTIL_PATIENCE_US, &error), ==, 1);
  g_assert_no_error (error);
  return completion;
}

static void
assert_completion (const ShmkvCompletion *completion, guint64 id, ShmkvOp op, ShmkvStatus status,
                   guint64 value)
{
  g_assert_cmpuint (completion->id, ==, id);
  g_assert_cmpint (completion->op, ==, op);
  g_assert_cmpint (completion->status, ==, status);
  g_assert_cmpuint (completion->value, ==, value);
  g_assert_null (completion->pairs);
}

static guint64
stat_value (ShmkvClient *client, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvPairs) pairs = shmkv_client_stats (client, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < shmkv_pairs_get_length (pairs); i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (pairs, i, &key, &value);
      g_assert_cmpint (key.kind, ==, SHMKV_KIND_BYTES);
      g_assert_cmpint (value.kind, ==, SHMKV_KIND_INTEGER);
      if (key.length == strlen (name) && memcmp (key.bytes, name, key.length) == 0)
        return value.integer;
    }
  g_error ("no statistic is named \"%s\"", name);
}

/* ---------------------------------------------------------- blocking calls */

static void
test_client_calls (Fixture *fixture, gconstpointer data)
{
  ShmkvClient *client = fixture->client;
  g_autoptr (GError) error = NULL;
  gboolean added = FALSE, found = TRUE;
  guint64 value = 77;

  g_assert_true (shmkv_client_read (client, 1, &value, &found, &error));
  g_assert_false (found);
  g_assert_cmpuint (value, ==, 77);
  g_assert_true (shmkv_client_insert (client, 1, 10, &added, &error));
  g_assert_true (added);
  g_assert_true (shmkv_client_insert (client, 1, G_MAXUINT64, &added, &error));
  g_assert_false (added);
  g_assert_true (shmkv_client_read (client, 1, &value, &found, &error));
  g_assert_true (found);
  g_assert_cmpuint (value, ==, G_MAXUINT64);
  g_assert_true (shmkv_client_insert (client, G_MAXUINT64, 0, NULL, &error));
  g_assert_true (shmkv_client_read (client, G_MAXUINT64, &value, &found, &error));
  g_assert_true (found);
  g_assert_cmpuint (value, ==, 0);
  g_assert_true (shmkv_client_delete (client, 1, &found, &error));
  g_assert_true (found);
  g_assert_true (shmkv_client_delete (client, 1, &found, &error));
  g_assert_false (found);
  g_assert_true (shmkv_client_delete (client, 1, NULL, NULL));
  g_assert_true (shmkv_client_ping (client, &error));
  g_assert_no_error (error);
}

static void
test_session_calls (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  g_autoptr (GError) error = NULL;
  gboolean added = FALSE, found = TRUE;
  guint64 value = 77;

  g_assert_true (shmkv_session_get_client (session) == fixture->client);
  g_assert_true (shmkv_session_read (session, 0, &value, &found, &error));
  g_assert_false (found);
  g_assert_cmpuint (value, ==, 77);
  g_assert_true (shmkv_session_insert (session, 0, 5, &added, &error));
  g_assert_true (added);
  g_assert_true (shmkv_session_insert (session, 0, 6, &added, &error));
  g_assert_false (added);
  g_assert_true (shmkv_session_read (session, 0, &value, &found, &error));
  g_assert_true (found);
  g_assert_cmpuint (value, ==, 6);
  g_assert_true (shmkv_session_delete (session, 0, &found, &error));
  g_assert_true (found);
  g_assert_true (shmkv_session_delete (session, 0, NULL, NULL));
  g_assert_no_error (error);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 0);
}

static void
test_getters (Fixture *fixture, gconstpointer data)
{
  ShmkvClient *client = fixture->client;

  g_assert_cmpstr (shmkv_client_get_name (client), ==, fixture->name);
  g_assert_cmpuint (shmkv_client_get_n_buckets (client), ==, BUCKETS);
  g_assert_cmpuint (shmkv_client_get_server_pid (client), ==, getpid ());
  g_assert_true (shmkv_client_ref (client) == client);
  shmkv_client_unref (client);
  g_assert_true (shmkv_client_ping (client, NULL));
}

/* A session keeps its client. */
static void
test_references (Fixture *fixture, gconstpointer data)
{
  ShmkvClient *client = shmkv_client_new (fixture->name, NULL);
  g_autoptr (ShmkvSession) session = shmkv_session_new (client, NULL);

  shmkv_client_unref (client);
  g_assert_true (shmkv_session_insert (session, 1, 1, NULL, NULL));
}

/* ------------------------------------------------------- submit, flush, take */

static void
test_pipeline (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completions[8];
  char marks[8];
  gsize taken = 0;

  g_assert_cmpuint (shmkv_session_submit_read (session, 3, 0, &marks[0], &error), ==, 1);
  g_assert_cmpuint (shmkv_session_submit_insert (session, 3, 30, 0, &marks[1], &error), ==, 2);
  g_assert_cmpuint (shmkv_session_submit_read (session, 3, 0, &marks[2], &error), ==, 3);
  g_assert_cmpuint (shmkv_session_submit_insert (session, 3, 31, 0, &marks[3], &error), ==, 4);
  g_assert_cmpuint (shmkv_session_submit_delete (session, 3, 0, &marks[4], &error), ==, 5);
  g_assert_cmpuint (shmkv_session_submit_delete (session, 3, 0, &marks[5], &error), ==, 6);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 6);
  flush (session);
  while (taken < 6)
    {
      gssize n = shmkv_session_take (session, completions + taken, 8 - taken, -1, &error);

      g_assert_cmpint (n, >, 0);
      taken += (gsize) n;
      g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 6 - taken);
    }
  g_assert_cmpuint (taken, ==, 6);
  assert_completion (&completions[0], 1, SHMKV_OP_READ, SHMKV_STATUS_NO_KEY, 0);
  assert_completion (&completions[1], 2, SHMKV_OP_INSERT, SHMKV_STATUS_ADDED, 0);
  assert_completion (&completions[2], 3, SHMKV_OP_READ, SHMKV_STATUS_OK, 30);
  assert_completion (&completions[3], 4, SHMKV_OP_INSERT, SHMKV_STATUS_REPLACED, 0);
  assert_completion (&completions[4], 5, SHMKV_OP_DELETE, SHMKV_STATUS_OK, 0);
  assert_completion (&completions[5], 6, SHMKV_OP_DELETE, SHMKV_STATUS_NO_KEY, 0);
  for (guint i = 0; i < 6; i++)
    g_assert_true (completions[i].user_data == &marks[i]);
  g_assert_cmpint (shmkv_session_take (session, completions, 8, 0, &error), ==, 0);
  g_assert_no_error (error);
}

/* Every operation the general way. */
static void
test_submit (Fixture *fixture, gconstpointer data)
{
  static const ShmkvRequest requests[] = {
    { .op = SHMKV_OP_PING },
    { .op = SHMKV_OP_INSERT, .key = INTEGER (8), .value = INTEGER (9) },
    { .op = SHMKV_OP_READ, .key = INTEGER (8) },
    { .op = SHMKV_OP_START_WORKERS, .key = INTEGER (1) },
    { .op = SHMKV_OP_STOP_WORKER },
    { .op = SHMKV_OP_DELETE, .key = INTEGER (8) },
    { .op = SHMKV_OP_PRINT, .key = INTEGER (BUCKETS) },
    { .op = SHMKV_OP_START_WORKERS, .key = INTEGER (0) },
  };
  static const struct
  {
    ShmkvStatus status;
    guint64 value;
  } expected[] = {
    { SHMKV_STATUS_OK, 0 },           { SHMKV_STATUS_ADDED, 0 },        { SHMKV_STATUS_OK, 9 },
    { SHMKV_STATUS_OK, WORKERS + 1 }, { SHMKV_STATUS_OK, WORKERS },     { SHMKV_STATUS_OK, 0 },
    { SHMKV_STATUS_OUT_OF_RANGE, 0 }, { SHMKV_STATUS_TOO_MANY, 0 },
  };
  g_autoptr (ShmkvSession) session = session_new (fixture);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (requests); i++)
    g_assert_cmpuint (shmkv_session_submit (session, &requests[i], &error), ==, i + 1);
  flush (session);
  for (guint i = 0; i < G_N_ELEMENTS (requests); i++)
    {
      ShmkvCompletion completion = take_one (session);

      assert_completion (&completion, i + 1, requests[i].op, expected[i].status, expected[i].value);
    }
}

/* What is no operation takes no ID. */
static void
test_submit_invalid (Fixture *fixture, gconstpointer data)
{
  static const int ops[] = { 0, -1, 20, 255, 256, 257, G_MAXINT, G_MININT };
  g_autoptr (ShmkvSession) session = session_new (fixture);

  for (guint i = 0; i < G_N_ELEMENTS (ops); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_cmpuint (shmkv_session_submit (session, &(ShmkvRequest) { .op = (ShmkvOp) ops[i] },
                                              &error),
                        ==, 0);
      g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_INVALID);
    }
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 0);
  g_assert_cmpuint (shmkv_session_submit_read (session, 1, 0, NULL, NULL), ==, 1);
  flush (session);
  g_assert_cmpuint (take_one (session).id, ==, 1);
}

static void
test_take (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completions[4];
  gint64 start = g_get_monotonic_time ();

  /* Nothing to wait for is no reason not to wait. */
  g_assert_cmpint (shmkv_session_take (session, completions, 4, 0, &error), ==, 0);
  g_assert_cmpint (shmkv_session_take (session, completions, 4, 1, &error), ==, 0);
  g_assert_cmpint (shmkv_session_take (session, completions, 4, 30000, &error), ==, 0);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 30000);
  g_assert_no_error (error);
  flush (session);

  /* No more than there is room for. */
  for (guint i = 0; i < 10; i++)
    shmkv_session_submit_read (session, i, 0, NULL, NULL);
  flush (session);
  for (guint64 id = 1; id <= 10;)
    {
      gssize n = shmkv_session_take (session, completions, 3, -1, &error);

      g_assert_cmpint (n, >=, 1);
      g_assert_cmpint (n, <=, 3);
      for (gssize i = 0; i < n; i++)
        g_assert_cmpuint (completions[i].id, ==, id++);
    }
  g_assert_cmpint (shmkv_session_take (session, completions, 4, 0, &error), ==, 0);
}

/* A blocking call among others: what came before it is kept, in order. */
static void
test_call_between (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  guint64 id = 0, taken = 0;

  for (guint round = 0; round < 200; round++)
    {
      guint64 value = 0;
      gboolean found = FALSE;

      for (guint n = util_random_range (0, 60); n > 0; n--)
        {
          id++;
          g_assert_cmpuint (shmkv_session_submit_insert (session, 5, id, 0, NULL, NULL), ==, id);
        }
      g_assert_true (shmkv_session_read (session, 5, &value, &found, NULL));
      id++;
      g_assert_cmpint (found, ==, value > 0);
      g_assert_cmpuint (value, <, id);
      for (guint n = util_random_range (0, 60); n > 0 && shmkv_session_get_in_flight (session) > 0;
           n--)
        {
          ShmkvCompletion completion = take_one (session);

          g_assert_cmpuint (completion.id, >, taken);
          g_assert_cmpint (completion.op, ==, SHMKV_OP_INSERT);
          taken = completion.id;
        }
    }
  while (shmkv_session_get_in_flight (session) > 0)
    g_assert_cmpint (take_one (session).op, ==, SHMKV_OP_INSERT);
}

/* Far more than any ring holds, before anyone takes anything. */
static void
test_submit_all_first (Fixture *fixture, gconstpointer data)
{
  const guint64 n = UTIL_N (1000000);
  g_autoptr (ShmkvSession) session = session_new (fixture);
  g_autoptr (GError) error = NULL;
  guint64 taken = 0;

  for (guint64 i = 0; i < n; i++)
    if (i % 2 == 0)
      shmkv_session_submit_insert (session, i % 1000, i, 0, GSIZE_TO_POINTER (i), &error);
    else
      shmkv_session_submit_read (session, (i - 1) % 1000, 0, GSIZE_TO_POINTER (i), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, n);
  flush (session);
  while (taken < n)
    {
      ShmkvCompletion completions[64];
      gssize got = shmkv_session_take (session, completions, 64, -1, &error);

      g_assert_cmpint (got, >, 0);
      for (gssize i = 0; i < got; i++, taken++)
        {
          g_assert_cmpuint (completions[i].id, ==, taken + 1);
          g_assert_true (completions[i].user_data == GSIZE_TO_POINTER (taken));
          if (taken % 2 != 0)
            g_assert_cmpuint (completions[i].value, ==, taken - 1);
        }
      g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, n - taken);
    }
}

typedef struct
{
  ShmkvSession *session;
  guint64 n;
} Side;

static gpointer
submit_side (gpointer data)
{
  Side *side = data;
  g_autoptr (GError) error = NULL;

  for (guint64 i = 0; i < side->n; i++)
    {
      guint64 *number = g_new (guint64, 1);

      *number = i;
      if (i % 2 == 0)
        shmkv_session_submit_insert (side->session, 1, i, 0, number, &error);
      else
        shmkv_session_submit_read (side->session, 1, 0, number, &error);
      g_assert_no_error (error);
      if (i % 1000 == 999)
        flush (side->session);
    }
  flush (side->session);
  return NULL;
}

/* One thread submits, another one takes. */
static void
test_two_sides (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  g_autoptr (GError) error = NULL;
  Side side = { session, UTIL_N (500000) };
  GThread *thread = g_thread_new ("submitter", submit_side, &side);

  for (guint64 taken = 0; taken < side.n;)
    {
      ShmkvCompletion completions[16];
      gssize n = shmkv_session_take (session, completions, 16, -1, &error);

      g_assert_no_error (error);
      for (gssize i = 0; i < n; i++, taken++)
        {
          guint64 *number = completions[i].user_data;

          g_assert_cmpuint (completions[i].id, ==, taken + 1);
          g_assert_cmpuint (*number, ==, taken);
          if (taken % 2 != 0)
            g_assert_cmpuint (completions[i].value, ==, taken - 1);
          g_free (number);
        }
    }
  g_thread_join (thread);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 0);
}

static void
test_no_response (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  const ShmkvRequest failing
    = { .op = SHMKV_OP_START_WORKERS, .key = INTEGER (0), .flags = SHMKV_FLAG_NO_RESPONSE };
  ShmkvCompletion completion;
  guint64 value = 0;
  gboolean found = FALSE;

  g_assert_cmpuint (
    shmkv_session_submit_insert (session, 1, 11, SHMKV_FLAG_NO_RESPONSE, NULL, NULL), ==, 1);
  g_assert_cmpuint (shmkv_session_submit_read (session, 1, 0, NULL, NULL), ==, 2);
  g_assert_cmpuint (shmkv_session_submit (session, &failing, NULL), ==, 3);
  g_assert_cmpuint (shmkv_session_submit (session, &failing, NULL), ==, 4);
  g_assert_cmpuint (
    shmkv_session_submit_delete (session, 1, SHMKV_FLAG_NO_RESPONSE, NULL, NULL), ==, 5);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 1);
  g_assert_true (shmkv_session_read (session, 1, &value, &found, NULL));
  g_assert_false (found);
  g_assert_cmpuint (shmkv_session_get_silent_errors (session), ==, 2);
  completion = take_one (session);
  assert_completion (&completion, 2, SHMKV_OP_READ, SHMKV_STATUS_OK, 11);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 0);
}

/* ---------------------------------------------------------------- close */

/* What was submitted is carried out, flushed or not. */
static void
test_free_unflushed (Fixture *fixture, gconstpointer data)
{
  for (guint64 round = 0; round < 50; round++)
    {
      ShmkvSession *session = session_new (fixture);
      guint64 n = util_random_range (1, 300);

      for (guint64 i = 1; i <= n; i++)
        shmkv_session_submit_insert (session, round, i, round % 2, NULL, NULL);
      shmkv_session_free (session);
      for (guint64 value = 0, k = 0; value != n; k++)
        {
          gboolean found;

          g_assert_true (shmkv_client_read (fixture->client, round, &value, &found, NULL));
          g_assert_cmpuint (k, <, 100000);
        }
    }
}

/* Completions that nobody takes are lost, with all that belongs to them. */
static void
test_free_untaken (Fixture *fixture, gconstpointer data)
{
  for (guint64 key = 0; key < 500; key++)
    shmkv_client_insert (fixture->client, key, key, NULL, NULL);
  for (guint round = 0; round < 20; round++)
    {
      ShmkvSession *session = session_new (fixture);
      const ShmkvRequest stats = { .op = SHMKV_OP_STATS };

      for (guint i = 0; i < 10; i++)
        shmkv_session_submit (session, &stats, NULL);
      flush (session);
      /* So that all of them are in private memory, or none. */
      if (round % 2 == 0)
        g_assert_true (shmkv_session_insert (session, 1, 1, NULL, NULL));
      shmkv_session_free (session);
    }
}

static void
test_no_session (Fixture *fixture, gconstpointer data)
{
  ShmkvSession *sessions[SESSIONS];

  for (guint round = 0; round < 100; round++)
    {
      g_autoptr (GError) error = NULL;
      guint freed = util_random_range (0, SESSIONS);

      for (guint i = 0; i < SESSIONS; i++)
        sessions[i] = session_new (fixture);
      g_assert_null (shmkv_session_new (fixture->client, &error));
      g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_NO_SESSION);
      g_clear_error (&error);
      g_assert_false (shmkv_client_ping (fixture->client, &error));
      g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_NO_SESSION);

      shmkv_session_free (sessions[freed]);
      sessions[freed] = session_new (fixture);
      for (guint i = 0; i < SESSIONS; i++)
        {
          g_assert_true (shmkv_session_insert (sessions[i], i, i, NULL, NULL));
          shmkv_session_free (sessions[i]);
        }
    }
}

/* ------------------------------------------------------------ administration */

static void
test_workers (Fixture *fixture, gconstpointer data)
{
  static const guint64 too_many[]
    = { 0, MAX_WORKERS - WORKERS + 1, MAX_WORKERS + 1, G_GUINT64_CONSTANT (1) << 32, G_MAXUINT64 };
  ShmkvClient *client = fixture->client;
  guint n_workers = 0;

  for (guint i = 0; i < G_N_ELEMENTS (too_many); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (shmkv_client_start_workers (client, too_many[i], &n_workers, &error));
      g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_TOO_MANY);
    }
  g_assert_cmpuint (stat_value (client, "workers"), ==, WORKERS);
  g_assert_true (shmkv_client_start_workers (client, MAX_WORKERS - WORKERS, &n_workers, NULL));
  g_assert_cmpuint (n_workers, ==, MAX_WORKERS);
  for (guint n = MAX_WORKERS - 1; n > 0; n--)
    {
      g_assert_true (shmkv_client_stop_worker (client, &n_workers, NULL));
      g_assert_cmpuint (n_workers, ==, n);
      g_assert_cmpuint (stat_value (client, "workers"), ==, n);
    }
  {
    g_autoptr (GError) error = NULL;

    g_assert_false (shmkv_client_stop_worker (client, &n_workers, &error));
    g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_LAST_WORKER);
  }
  g_assert_true (shmkv_client_start_workers (client, 1, NULL, NULL));
  g_assert_true (shmkv_client_stop_worker (client, NULL, NULL));
}

static void
test_stats (Fixture *fixture, gconstpointer data)
{
  ShmkvClient *client = fixture->client;
  g_autoptr (ShmkvSession) session = session_new (fixture);
  guint64 value;
  gboolean found;

  for (guint64 key = 0; key < 100; key++)
    shmkv_session_insert (session, key, key, NULL, NULL);
  for (guint64 key = 50; key < 150; key++)
    shmkv_session_read (session, key, &value, &found, NULL);
  for (guint64 key = 90; key < 110; key++)
    shmkv_session_delete (session, key, NULL, NULL);
  g_assert_cmpuint (stat_value (client, "keys"), ==, 90);
  g_assert_cmpuint (stat_value (client, "buckets"), ==, BUCKETS);
  g_assert_cmpuint (stat_value (client, "longest_bucket"), >=, 90 / BUCKETS);
  g_assert_cmpuint (stat_value (client, "sessions"), ==, 2);
  g_assert_cmpuint (stat_value (client, "max_sessions"), ==, SESSIONS);
  g_assert_cmpuint (stat_value (client, "inserts"), ==, 100);
  g_assert_cmpuint (stat_value (client, "reads"), ==, 100);
  g_assert_cmpuint (stat_value (client, "read_hits"), ==, 50);
  g_assert_cmpuint (stat_value (client, "deletes"), ==, 20);
  g_assert_cmpuint (stat_value (client, "delete_hits"), ==, 10);
  g_assert_cmpuint (stat_value (client, "sessions_opened"), ==, 2);
  g_assert_cmpuint (stat_value (client, "batches"), >, 220);
  g_assert_cmpuint (stat_value (client, "shared_bytes"), ==,
                    shmkv_server_get_shared_size (fixture->server));
  stat_value (client, "uptime_ms");
}

/* Has a bucket printed with standard output in a file; returns what was
 * printed, once all of it is there. */
static char *
capture_print (Fixture *fixture, guint64 bucket, ShmkvPairs **pairs_out)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  char *text = NULL;
  int fd = g_file_open_tmp ("shmkv-test-XXXXXX", &path, &error), saved;
  guint n = 0, n_lines;

  g_assert_no_error (error);
  fflush (stdout);
  saved = dup (STDOUT_FILENO);
  dup2 (fd, STDOUT_FILENO);
  *pairs_out = shmkv_client_print (fixture->client, bucket, &error);
  n_lines = *pairs_out != NULL ? (guint) shmkv_pairs_get_length (*pairs_out) + 1 : 0;
  /* It is printed by a thread of its own. */
  for (gint64 end = g_get_monotonic_time () + UTIL_PATIENCE_US;
       n < n_lines && g_get_monotonic_time () < end; g_usleep (100))
    {
      g_clear_pointer (&text, g_free);
      g_file_get_contents (path, &text, NULL, NULL);
      n = 0;
      for (const char *c = text; *c != '\0'; c++)
        n += *c == '\n';
    }
  dup2 (saved, STDOUT_FILENO);
  close (saved);
  close (fd);
  unlink (path);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, n_lines);
  return text;
}

static void
check_printed (ShmkvPairs *pairs, const char *text, guint64 bucket, GHashTable *seen)
{
  gsize n = shmkv_pairs_get_length (pairs);
  g_autoptr (GString) expected = g_string_new (NULL);

  g_string_append_printf (expected, "bucket %u: %u %s\n", (guint) bucket, (guint) n,
                          n == 1 ? "pair" : "pairs");
  for (gsize i = 0; i < n; i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (pairs, i, &key, &value);
      g_assert_cmpint (key.kind, ==, SHMKV_KIND_INTEGER);
      g_assert_cmpint (value.kind, ==, SHMKV_KIND_INTEGER);
      g_assert_cmpuint (value.integer, ==, key.integer * 2);
      g_assert_true (g_hash_table_add (seen, GSIZE_TO_POINTER (key.integer)));
      g_string_append_printf (expected, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
                              key.integer, value.integer);
    }
  g_assert_cmpstr (text, ==, expected->str);
}

/* Empty buckets, small ones, and such as do not fit a ring. */
static void
test_print (Fixture *fixture, gconstpointer data)
{
  static const guint64 n_keys[] = { 0, 1, 100, 10000 };
  guint64 key = 0;

  for (guint i = 0; i < G_N_ELEMENTS (n_keys); i++)
    {
      g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);

      for (; key < n_keys[i]; key++)
        g_assert_true (shmkv_client_insert (fixture->client, key, key * 2, NULL, NULL));
      for (guint64 bucket = 0; bucket < BUCKETS; bucket++)
        {
          ShmkvPairs *pairs = NULL;
          g_autofree char *text = capture_print (fixture, bucket, &pairs);

          check_printed (pairs, text, bucket, seen);
          shmkv_pairs_unref (pairs);
        }
      g_assert_cmpuint (g_hash_table_size (seen), ==, n_keys[i]);
    }
}

static void
test_print_out_of_range (Fixture *fixture, gconstpointer data)
{
  static const guint64 buckets[]
    = { BUCKETS, BUCKETS + 1, G_MAXUINT32, G_GUINT64_CONSTANT (1) << 32, G_MAXUINT64 };

  for (guint i = 0; i < G_N_ELEMENTS (buckets); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (shmkv_client_print (fixture->client, buckets[i], &error));
      g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_OUT_OF_RANGE);
    }
}

/* Long answers among short ones, in order. */
static void
test_stats_pipelined (Fixture *fixture, gconstpointer data)
{
  static const ShmkvRequest stats = { .op = SHMKV_OP_STATS };
  g_autoptr (ShmkvSession) session = session_new (fixture);
  const guint64 n = UTIL_N (4000);

  for (guint64 i = 1; i <= n; i++)
    if (i % 3 == 0)
      g_assert_cmpuint (shmkv_session_submit (session, &stats, NULL), ==, i);
    else
      g_assert_cmpuint (shmkv_session_submit_insert (session, 1, i, 0, NULL, NULL), ==, i);
  flush (session);
  for (guint64 i = 1; i <= n; i++)
    {
      ShmkvCompletion completion = take_one (session);

      g_assert_cmpuint (completion.id, ==, i);
      g_assert_cmpint (completion.op, ==, i % 3 == 0 ? SHMKV_OP_STATS : SHMKV_OP_INSERT);
      g_assert_cmpint (completion.pairs != NULL, ==, i % 3 == 0);
      shmkv_completion_clear (&completion);
      g_assert_null (completion.pairs);
      g_assert_cmpuint (completion.id, ==, 0);
    }
}

/* All that was submitted before it is answered first, then it; the rest is up
 * to whoever owns the server. */
static void
test_quit (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  const ShmkvRequest quit = { .op = SHMKV_OP_QUIT };
  ShmkvCompletion completion;

  for (guint64 i = 1; i <= 1000; i++)
    shmkv_session_submit_insert (session, i, i, 0, NULL, NULL);
  g_assert_cmpuint (shmkv_session_submit (session, &quit, NULL), ==, 1001);
  flush (session);
  for (guint64 i = 1; i <= 1000; i++)
    g_assert_cmpuint (take_one (session).id, ==, i);
  completion = take_one (session);
  assert_completion (&completion, 1001, SHMKV_OP_QUIT, SHMKV_STATUS_OK, 0);
  g_assert_cmpuint (atomic_load (&fixture->n_quits), ==, 1);
  g_assert_true (shmkv_client_quit (fixture->client, NULL));
  g_assert_cmpuint (atomic_load (&fixture->n_quits), ==, 2);
}

/* ------------------------------------------------------------ many threads */

typedef struct
{
  ShmkvClient *client;
  guint64 key;
  guint n;
} User;

static gpointer
use_client (gpointer data)
{
  User *user = data;

  for (guint64 i = 0; i < user->n; i++)
    {
      g_autoptr (GError) error = NULL;
      gboolean found = FALSE;
      guint64 value = 0;

      shmkv_client_insert (user->client, user->key, i, NULL, &error);
      g_assert_no_error (error);
      shmkv_client_read (user->client, user->key, &value, &found, &error);
      g_assert_no_error (error);
      g_assert_true (found);
      g_assert_cmpuint (value, ==, i);
    }
  return NULL;
}

/* More threads than the server has sessions. */
static void
check_borrowing (Fixture *fixture, guint n_threads, guint n)
{
  g_autofree User *users = g_new (User, n_threads);
  g_autofree GThread **threads = g_new (GThread *, n_threads);

  for (guint i = 0; i < n_threads; i++)
    {
      users[i] = (User) { fixture->client, i, n };
      threads[i] = g_thread_new ("user", use_client, &users[i]);
    }
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);
}

static void
test_borrow (Fixture *fixture, gconstpointer data)
{
  check_borrowing (fixture, 4 * SESSIONS, UTIL_N (2000));
  g_assert_cmpuint (stat_value (fixture->client, "sessions_opened"), <=, SESSIONS);
}

/* While others have all but one. */
static void
test_borrow_one (Fixture *fixture, gconstpointer data)
{
  ShmkvSession *sessions[SESSIONS - 1];

  for (guint i = 0; i < G_N_ELEMENTS (sessions); i++)
    sessions[i] = session_new (fixture);
  check_borrowing (fixture, 6, UTIL_N (2000));
  for (guint i = 0; i < G_N_ELEMENTS (sessions); i++)
    shmkv_session_free (sessions[i]);
}

static gpointer
be_refused (gpointer data)
{
  User *user = data;

  for (guint i = 0; i < user->n; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (shmkv_client_ping (user->client, &error));
      g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_NO_SESSION);
    }
  return NULL;
}

/* Where nobody will give anything back, nobody waits for it. */
static void
test_borrow_none (Fixture *fixture, gconstpointer data)
{
  ShmkvSession *sessions[SESSIONS];
  GThread *threads[6];
  User user = { fixture->client, 0, 2000 };
  gint64 start = g_get_monotonic_time ();

  for (guint i = 0; i < SESSIONS; i++)
    sessions[i] = session_new (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("refused", be_refused, &user);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  /* Not one of them waited for the time-out. */
  g_assert_cmpint (g_get_monotonic_time () - start, <, UTIL_PATIENCE_US / 2);
  for (guint i = 0; i < SESSIONS; i++)
    shmkv_session_free (sessions[i]);
}

static gpointer
open_and_close (gpointer data)
{
  User *user = data;

  for (guint i = 0; i < user->n; i++)
    {
      g_autoptr (GError) error = NULL;
      ShmkvSession *session = shmkv_session_new (user->client, &error);

      if (session == NULL)
        {
          g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_NO_SESSION);
          continue;
        }
      g_assert_true (shmkv_session_insert (session, user->key, i, NULL, &error));
      g_assert_no_error (error);
      shmkv_session_free (session);
    }
  return NULL;
}

/* Sessions come and go in many threads and clients; in the end all are free. */
static void
test_open_and_close (Fixture *fixture, gconstpointer data)
{
  ShmkvClient *other = shmkv_client_new (fixture->name, NULL);
  GThread *threads[2 * SESSIONS];
  User users[G_N_ELEMENTS (threads)];
  ShmkvSession *sessions[SESSIONS];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      users[i] = (User) { i % 2 == 0 ? fixture->client : other, i, UTIL_N (600) };
      threads[i] = g_thread_new ("opener", open_and_close, &users[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  shmkv_client_unref (other);
  for (guint i = 0; i < SESSIONS; i++)
    UTIL_AWAIT ((sessions[i] = shmkv_session_new (fixture->client, NULL)) != NULL);
  for (guint i = 0; i < SESSIONS; i++)
    shmkv_session_free (sessions[i]);
}

/* Nobody spins: every answer takes a wake-up on either side.  One that were
 * lost would cost a slice of a tenth of a second. */
static void
test_sleepers (void)
{
  Fixture fixture;
  guint n_slow = 0, n = UTIL_N (4000);

  start_server (&fixture, SESSIONS, 0);
  fixture.client->spin_ns = 0;
  for (guint i = 0; i < n; i++)
    {
      gint64 start = g_get_monotonic_time ();

      g_assert_true (shmkv_client_ping (fixture.client, NULL));
      n_slow += g_get_monotonic_time () - start > 90000;
    }
  g_assert_cmpuint (n_slow, <=, n / 100);
  check_borrowing (&fixture, 2 * SESSIONS, UTIL_N (1000));
  tear_down (&fixture, NULL);
}

/* ---------------------------------------------------------------- settings */

static void
test_timeout (Fixture *fixture, gconstpointer data)
{
  static const gint64 timeouts[] = { -1, UTIL_PATIENCE_US, G_MAXINT64 / 1000, G_MAXINT64 };
  ShmkvClient *client = shmkv_client_new (fixture->name, NULL);

  g_assert_cmpint (shmkv_client_get_timeout (client), ==, SHMKV_TIMEOUT_DEFAULT);
  shmkv_client_unref (client);
  for (guint i = 0; i < G_N_ELEMENTS (timeouts); i++)
    {
      ShmkvSession *session;
      ShmkvCompletion completion;

      shmkv_client_set_timeout (fixture->client, timeouts[i]);
      g_assert_cmpint (shmkv_client_get_timeout (fixture->client), ==, timeouts[i]);
      for (guint k = 0; k < 100; k++)
        g_assert_true (shmkv_client_ping (fixture->client, NULL));
      session = session_new (fixture);
      shmkv_session_submit_read (session, 1, 0, NULL, NULL);
      flush (session);
      g_assert_cmpint (shmkv_session_take (session, &completion, 1, timeouts[i], NULL), ==, 1);
      shmkv_session_free (session);
    }
}

static void
test_strings (void)
{
  static const ShmkvStatus statuses[]
    = { SHMKV_STATUS_OK,          SHMKV_STATUS_ADDED,        SHMKV_STATUS_REPLACED,
        SHMKV_STATUS_NO_KEY,      SHMKV_STATUS_UNSUPPORTED,  SHMKV_STATUS_OUT_OF_RANGE,
        SHMKV_STATUS_TOO_MANY,    SHMKV_STATUS_LAST_WORKER,  SHMKV_STATUS_NO_MEMORY,
        SHMKV_STATUS_BUSY,        SHMKV_STATUS_TOO_LARGE,    SHMKV_STATUS_MISMATCH,
        SHMKV_STATUS_UNCHANGED,   SHMKV_STATUS_MISSED,       SHMKV_STATUS_NO_SPACE,
        SHMKV_STATUS_WRONG_KIND,  SHMKV_STATUS_OVERFLOW,     SHMKV_STATUS_BAD_CURSOR,
        SHMKV_STATUS_INVALID };
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (int op = SHMKV_OP_INSERT; op <= SHMKV_OP_SESSIONS; op++)
    g_assert_true (g_hash_table_add (seen, (gpointer) shmkv_op_to_string ((ShmkvOp) op)));
  g_assert_cmpstr (shmkv_op_to_string (SHMKV_OP_INSERT), ==, "insert");
  g_assert_cmpstr (shmkv_op_to_string ((ShmkvOp) 0), ==, "unknown");
  g_assert_cmpstr (shmkv_op_to_string ((ShmkvOp) 20), ==, "unknown");
  g_assert_cmpstr (shmkv_op_to_string ((ShmkvOp) -1), ==, "unknown");
  for (guint i = 0; i < G_N_ELEMENTS (statuses); i++)
    {
      g_assert_true (g_hash_table_add (seen, (gpointer) shmkv_status_to_string (statuses[i])));
      g_assert_cmpint (shmkv_status_is_failure (statuses[i]), ==,
                       statuses[i] >= SHMKV_STATUS_UNSUPPORTED);
    }
  g_assert_cmpstr (shmkv_status_to_string ((ShmkvStatus) 99), ==, "unknown");
  g_assert_true (shmkv_status_is_failure ((ShmkvStatus) 99));
}

int
main (int argc, char **argv)
{
#define ADD(name, function)                                                                        \
  g_test_add ("/session/" name, Fixture, NULL, set_up, function, tear_down)

  util_init (&argc, &argv);
  ADD ("call/client", test_client_calls);
  ADD ("call/session", test_session_calls);
  ADD ("call/between", test_call_between);
  ADD ("getters", test_getters);
  ADD ("references", test_references);
  ADD ("submit/pipeline", test_pipeline);
  ADD ("submit/every", test_submit);
  ADD ("submit/invalid", test_submit_invalid);
  ADD ("submit/all-first", test_submit_all_first);
  ADD ("submit/two-sides", test_two_sides);
  ADD ("submit/no-response", test_no_response);
  ADD ("take", test_take);
  ADD ("free/unflushed", test_free_unflushed);
  ADD ("free/untaken", test_free_untaken);
  ADD ("no-session", test_no_session);
  ADD ("admin/workers", test_workers);
  ADD ("admin/stats", test_stats);
  ADD ("admin/stats-pipelined", test_stats_pipelined);
  ADD ("admin/print", test_print);
  ADD ("admin/print-out-of-range", test_print_out_of_range);
  ADD ("admin/quit", test_quit);
  ADD ("borrow/many", test_borrow);
  ADD ("borrow/one", test_borrow_one);
  ADD ("borrow/none", test_borrow_none);
  ADD ("open-and-close", test_open_and_close);
  g_test_add_func ("/session/sleepers", test_sleepers);
  ADD ("timeout", test_timeout);
  g_test_add_func ("/session/strings", test_strings);
  return util_run ();
}
