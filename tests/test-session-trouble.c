/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The library when something goes wrong: a server that does not answer, ends,
 * is killed, or breaks the protocol; and a process that forks.  The server is
 * a rig in this process, which the test stops and starts. */

#include "config.h"

#include "rig.h"
#include "server/server.h"
#include "shmkv/session-private.h"
#include "util.h"

#include <shmkv/shmkv.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE
#define SESSIONS 3

/* Long enough to be told apart from at once, short enough to wait for. */
#define SHORT_US 50000

/* How long it may take to notice that a server is gone; it takes a quarter of
 * a second on a machine that has time. */
#define GONE_US (5 * G_USEC_PER_SEC)

typedef struct
{
  Rig *rig;
  ShmkvClient *client;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fixture->rig = rig_new (SESSIONS, RING_SIZE);
  rig_pump_start (fixture->rig);
  fixture->client = shmkv_client_new (fixture->rig->name, &error);
  g_assert_no_error (error);
  shmkv_client_set_timeout (fixture->client, UTIL_PATIENCE_US);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  shmkv_client_unref (fixture->client);
  rig_free (fixture->rig);
}

static ShmkvSession *
session_new (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  ShmkvSession *session = shmkv_session_new (fixture->client, &error);

  g_assert_no_error (error);
  return session;
}

/* One that gives up soon. */
static ShmkvSession *
session_new_impatient (Fixture *fixture)
{
  ShmkvSession *session;

  session = session_new (fixture);
  session->timeout_us = SHORT_US;
  return session;
}

static void
assert_code (GError *error, ShmkvError code)
{
  g_assert_error (error, SHMKV_ERROR, (int) code);
  g_assert_cmpuint (strlen (error->message), >, 20);
  g_error_free (error);
}

/* Every call on a session that waits for something fails in the same way. */
static void
assert_waiting_fails (ShmkvSession *session, ShmkvError code)
{
  const ShmkvRequest request = { .op = SHMKV_OP_READ, .key = shmkv_string ("key") };
  ShmkvCompletion completion;
  GError *error = NULL;
  guint64 value;
  gboolean found;

  g_assert_cmpint (shmkv_session_take (session, &completion, 1, -1, &error), ==, -1);
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_session_insert (session, 1, 1, NULL, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_session_read (session, 1, &value, &found, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_session_delete (session, 1, NULL, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_session_call_many (session, &request, 1, &completion, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_cmpuint (completion.id, ==, 0);
  g_assert_false (shmkv_session_wait (session, &request.key, 0, -1, &completion, &error));
  assert_code (g_steal_pointer (&error), code);
  /* Without anyone who wants to know why. */
  g_assert_false (shmkv_session_insert (session, 1, 1, NULL, NULL));
}

/* As does every other. */
static void
assert_session_fails (ShmkvSession *session, ShmkvError code)
{
  ShmkvCompletion completion;
  GError *error = NULL;

  g_assert_false (shmkv_session_flush (session, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_cmpint (shmkv_session_take (session, &completion, 1, 0, &error), ==, -1);
  assert_code (g_steal_pointer (&error), code);
  assert_waiting_fails (session, code);
}

static void
assert_client_fails (ShmkvClient *client, ShmkvError code)
{
  const ShmkvRequest request = { .op = SHMKV_OP_READ, .key = shmkv_string ("key") };
  ShmkvScan *scan = shmkv_scan_new (client, NULL, SHMKV_SCAN_ALL);
  ShmkvCompletion completion;
  ShmkvPairs *pairs;
  GError *error = NULL;
  guint64 value;
  gboolean found;

  g_assert_null (shmkv_session_new (client, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_insert (client, 1, 1, NULL, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_read (client, 1, &value, &found, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_delete (client, 1, NULL, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_null (shmkv_client_print (client, 1, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_null (shmkv_client_stats (client, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_start_workers (client, 1, NULL, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_stop_worker (client, NULL, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_ping (client, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_quit (client, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_call (client, &request, &completion, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_call_many (client, &request, 1, &completion, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_wait (client, &request.key, 0, -1, &completion, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_count (client, &value, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_clear (client, NULL, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_null (shmkv_client_session_stats (client, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_null (shmkv_watch_new (client, NULL, &error));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_scan_next (scan, &pairs, &error));
  assert_code (g_steal_pointer (&error), code);
  shmkv_scan_free (scan);
}

/* Submits until there is no room; returns how many were submitted. */
static guint64
fill (ShmkvSession *session, ShmkvError code)
{
  GError *error = NULL;
  guint64 n = 0;

  while (shmkv_session_submit_insert (session, n, n, 0, NULL, &error) != 0)
    g_assert_cmpuint (++n, <, 1000000);
  assert_code (error, code);
  return n;
}

/* -------------------------------------------------------------------- attach */

static void
assert_not_attached (const char *name, ShmkvError code)
{
  GError *error = NULL;

  g_assert_null (shmkv_client_new (name, &error));
  assert_code (error, code);
}

static void
test_attach (Fixture *fixture, gconstpointer data)
{
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (fixture->rig->segment);
  static const guint64 impossible[] = { 0, SHMKV_WIRE_MAX_VALUE_SIZE + 1, G_MAXUINT64 };
  g_autofree char *nobody = util_name ();

  assert_not_attached ("", SHMKV_ERROR_INVALID);
  assert_not_attached ("../etc", SHMKV_ERROR_INVALID);
  assert_not_attached (nobody, SHMKV_ERROR_NO_SERVER);
  header->major++;
  assert_not_attached (fixture->rig->name, SHMKV_ERROR_INCOMPATIBLE);
  header->major--;
  for (guint i = 0; i < G_N_ELEMENTS (impossible); i++)
    {
      header->max_value = impossible[i];
      assert_not_attached (fixture->rig->name, SHMKV_ERROR_INCOMPATIBLE);
    }
  header->max_value = SHMKV_WIRE_MAX_VALUE_SIZE;
  shmkv_client_unref (shmkv_client_new (fixture->rig->name, NULL));

  g_setenv ("SHMKV_NAME", nobody, TRUE);
  assert_not_attached (NULL, SHMKV_ERROR_NO_SERVER);
  g_setenv ("SHMKV_NAME", fixture->rig->name, TRUE);
  shmkv_client_unref (shmkv_client_new (NULL, NULL));
  g_unsetenv ("SHMKV_NAME");
}

static void
test_owner (Fixture *fixture, gconstpointer data)
{
  const char *name = fixture->rig->name;
  g_autofree char *myself = g_strdup_printf ("%u", (guint) geteuid ());
  ShmkvClient *client;

  g_setenv ("SHMKV_OWNER", "no such user", TRUE);
  assert_not_attached (name, SHMKV_ERROR_INVALID);
  g_setenv ("SHMKV_OWNER", "-1", TRUE);
  assert_not_attached (name, SHMKV_ERROR_INVALID);
  /* The user ID that stands for nobody at all. */
  g_setenv ("SHMKV_OWNER", "4294967295", TRUE);
  assert_not_attached (name, SHMKV_ERROR_INVALID);
  g_setenv ("SHMKV_OWNER", myself, TRUE);
  client = shmkv_client_new (name, NULL);
  g_assert_nonnull (client);
  shmkv_client_unref (client);
  g_setenv ("SHMKV_OWNER", "root", TRUE);
  if (geteuid () == 0)
    shmkv_client_unref (shmkv_client_new (name, NULL));
  else
    assert_not_attached (name, SHMKV_ERROR_ACCESS);
  g_unsetenv ("SHMKV_OWNER");

  client = shmkv_client_new_for_owner (name, geteuid (), NULL);
  g_assert_nonnull (client);
  shmkv_client_unref (client);
}

/* ------------------------------------------------------------------ time-outs */

/* A request that was not answered in time may be carried out later; its answer
 * is nobody's any more. */
static void
test_timeout_call (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new_impatient (fixture);
  ShmkvCompletion completion;
  GError *error = NULL;
  gboolean added = TRUE;

  rig_pump_pause (fixture->rig);
  shmkv_session_submit_read (session, 9, 0, NULL, NULL);
  for (guint i = 0; i < 3; i++)
    {
      gint64 start = g_get_monotonic_time ();

      g_assert_false (shmkv_session_insert (session, i, 1, NULL, &error));
      assert_code (g_steal_pointer (&error), SHMKV_ERROR_TIMEOUT);
      g_assert_cmpint (g_get_monotonic_time () - start, >=, SHORT_US);
      g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 1);
    }
  rig_pump_resume (fixture->rig);
  session->timeout_us = UTIL_PATIENCE_US;
  g_assert_true (shmkv_session_insert (session, 2, 1, &added, NULL));
  g_assert_false (added);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 1);
  g_assert_cmpint (shmkv_session_take (session, &completion, 1, -1, NULL), ==, 1);
  g_assert_cmpuint (completion.id, ==, 1);
  g_assert_cmpint (completion.op, ==, SHMKV_OP_READ);
  g_assert_cmpint (shmkv_session_take (session, &completion, 1, 0, NULL), ==, 0);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 0);
}

/* Where there was no room in time, nothing was submitted. */
static void
test_timeout_submit (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new_impatient (fixture);
  guint64 n, taken = 0;
  GError *error = NULL;

  rig_pump_pause (fixture->rig);
  n = fill (session, SHMKV_ERROR_TIMEOUT);
  g_assert_cmpuint (n, ==, RING_SIZE / 32);
  g_assert_cmpuint (shmkv_session_submit_read (session, 1, 0, NULL, &error), ==, 0);
  assert_code (error, SHMKV_ERROR_TIMEOUT);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, n);
  rig_pump_resume (fixture->rig);

  session->timeout_us = UTIL_PATIENCE_US;
  g_assert_cmpuint (shmkv_session_submit_read (session, 1, 0, NULL, NULL), ==, n + 1);
  g_assert_true (shmkv_session_flush (session, NULL));
  while (taken < n + 1)
    {
      ShmkvCompletion completion;

      g_assert_cmpint (shmkv_session_take (session, &completion, 1, -1, NULL), ==, 1);
      g_assert_cmpuint (completion.id, ==, ++taken);
    }
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 0);
}

/* No session where the server does not even admit it; the lane is not lost. */
static void
test_timeout_open (Fixture *fixture, gconstpointer data)
{
  ShmkvSession *sessions[SESSIONS];
  GError *error = NULL;

  rig_pump_pause (fixture->rig);
  shmkv_client_set_timeout (fixture->client, SHORT_US);
  for (guint i = 0; i < SESSIONS; i++)
    {
      g_assert_null (shmkv_session_new (fixture->client, &error));
      assert_code (g_steal_pointer (&error), SHMKV_ERROR_TIMEOUT);
      g_assert_false (shmkv_client_ping (fixture->client, &error));
      assert_code (g_steal_pointer (&error), SHMKV_ERROR_TIMEOUT);
    }
  rig_pump_resume (fixture->rig);
  shmkv_client_set_timeout (fixture->client, UTIL_PATIENCE_US);
  for (guint i = 0; i < SESSIONS; i++)
    {
      UTIL_AWAIT ((sessions[i] = shmkv_session_new (fixture->client, NULL)) != NULL);
      g_assert_true (shmkv_session_insert (sessions[i], i, i, NULL, NULL));
    }
  for (guint i = 0; i < SESSIONS; i++)
    shmkv_session_free (sessions[i]);
}

/* A borrowed session with an answer outstanding is not lent to anyone else. */
static void
test_timeout_borrowed (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2 * SESSIONS; i++)
    {
      GError *error = NULL;

      UTIL_AWAIT (shmkv_client_ping (fixture->client, NULL));
      rig_pump_pause (fixture->rig);
      shmkv_client_set_timeout (fixture->client, SHORT_US);
      g_assert_false (shmkv_client_insert (fixture->client, i, 1, NULL, &error));
      assert_code (error, SHMKV_ERROR_TIMEOUT);
      rig_pump_resume (fixture->rig);
      shmkv_client_set_timeout (fixture->client, UTIL_PATIENCE_US);
    }
  UTIL_AWAIT (shmkv_client_ping (fixture->client, NULL));
}

/* Sessions keep the time-out that they were opened with. */
static void
test_timeout_kept (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) patient = session_new (fixture), impatient = NULL;
  GError *error = NULL;

  shmkv_client_set_timeout (fixture->client, SHORT_US);
  UTIL_AWAIT ((impatient = shmkv_session_new (fixture->client, NULL)) != NULL);
  shmkv_client_set_timeout (fixture->client, 1);
  g_assert_cmpint (patient->timeout_us, ==, UTIL_PATIENCE_US);
  g_assert_cmpint (impatient->timeout_us, ==, SHORT_US);
  rig_pump_pause (fixture->rig);
  g_assert_false (shmkv_session_insert (impatient, 1, 1, NULL, &error));
  assert_code (error, SHMKV_ERROR_TIMEOUT);
  rig_pump_resume (fixture->rig);
  g_assert_true (shmkv_session_insert (patient, 1, 1, NULL, NULL));
}

/* ------------------------------------------------------------ server is gone */

typedef struct
{
  Fixture *fixture;
  ShmkvSession *session;
} Victim;

static gpointer
be_taking (gpointer data)
{
  Victim *victim = data;
  ShmkvCompletion completion;
  GError *error = NULL;

  g_assert_cmpint (shmkv_session_take (victim->session, &completion, 1, -1, &error), ==, -1);
  assert_code (error, SHMKV_ERROR_SERVER_GONE);
  return NULL;
}

static gpointer
be_calling (gpointer data)
{
  Victim *victim = data;
  GError *error = NULL;

  g_assert_false (shmkv_session_insert (victim->session, 1, 1, NULL, &error));
  assert_code (error, SHMKV_ERROR_SERVER_GONE);
  return NULL;
}

static gpointer
be_submitting (gpointer data)
{
  Victim *victim = data;

  fill (victim->session, SHMKV_ERROR_SERVER_GONE);
  return NULL;
}

static gpointer
be_opening (gpointer data)
{
  Victim *victim = data;
  GError *error = NULL;

  g_assert_null (shmkv_session_new (victim->fixture->client, &error));
  assert_code (error, SHMKV_ERROR_SERVER_GONE);
  return NULL;
}

/* Whether a client naps, which is the last thing it does before it sleeps. */
static gboolean
naps (const ShmkvSession *session)
{
  return atomic_load (&session->client_lane->response_nap) % 2 != 0
         || atomic_load (&session->client_lane->room_nap) % 2 != 0;
}

/* Whoever waits, for whatever, is told soon when the server ends this way. */
static void
check_gone (void (*end) (Rig *rig), GThreadFunc wait)
{
  Fixture fixture;
  Victim victim = { .fixture = &fixture };
  GThread *thread;
  gint64 start;

  set_up (&fixture, NULL);
  if (wait != be_opening)
    victim.session = session_new (&fixture);
  shmkv_client_set_timeout (fixture.client, -1);
  rig_pump_pause (fixture.rig);
  thread = g_thread_new ("victim", wait, &victim);
  if (victim.session != NULL)
    UTIL_AWAIT (naps (victim.session));
  start = g_get_monotonic_time ();
  end (fixture.rig);
  g_thread_join (thread);
  g_assert_cmpint (g_get_monotonic_time () - start, <, GONE_US);
  if (victim.session != NULL)
    {
      assert_waiting_fails (victim.session, SHMKV_ERROR_SERVER_GONE);
      shmkv_session_free (victim.session);
    }
  assert_client_fails (fixture.client, SHMKV_ERROR_SERVER_GONE);
  rig_pump_resume (fixture.rig);
  tear_down (&fixture, NULL);
}

static void
check_gone_all (void (*end) (Rig *rig))
{
  check_gone (end, be_taking);
  check_gone (end, be_calling);
  check_gone (end, be_submitting);
  check_gone (end, be_opening);
}

static void
test_gone_farewell (void)
{
  check_gone_all (rig_say_farewell);
}

static void
test_gone_killed (void)
{
  check_gone_all (rig_kill);
}

/* Who polls and never waits notices as well. */
static void
test_gone_polling (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  gint64 start = g_get_monotonic_time ();
  ShmkvCompletion completion;
  GError *error = NULL;

  rig_kill (fixture->rig);
  while (shmkv_session_take (session, &completion, 1, 0, &error) == 0)
    g_assert_cmpint (g_get_monotonic_time () - start, <, GONE_US);
  assert_code (error, SHMKV_ERROR_SERVER_GONE);
}

/* What was answered was answered. */
static void
test_gone_last_words (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  ShmkvCompletion completions[8];
  GError *error = NULL;

  rig_pump_pause (fixture->rig);
  for (guint i = 0; i < 5; i++)
    shmkv_session_submit_insert (session, i, i, 0, NULL, NULL);
  g_assert_true (shmkv_session_flush (session, NULL));
  rig_serve (fixture->rig);
  rig_say_farewell (fixture->rig);
  g_assert_cmpint (shmkv_session_take (session, completions, 2, -1, &error), ==, 2);
  g_assert_cmpint (shmkv_session_take (session, completions + 2, 6, -1, &error), ==, 3);
  for (guint i = 0; i < 5; i++)
    {
      g_assert_cmpuint (completions[i].id, ==, i + 1);
      g_assert_cmpint (completions[i].status, ==, SHMKV_STATUS_ADDED);
    }
  g_assert_no_error (error);
  assert_session_fails (session, SHMKV_ERROR_SERVER_GONE);
  rig_pump_resume (fixture->rig);
}

/* A real server ends, while many wait for different things. */
static gpointer
wait_for_nothing (gpointer data)
{
  ShmkvClient *client = data;
  g_autoptr (GError) error = NULL;
  ShmkvSession *session = shmkv_session_new (client, &error);
  ShmkvCompletion completion;

  if (session != NULL)
    {
      g_assert_cmpint (shmkv_session_take (session, &completion, 1, -1, &error), ==, -1);
      shmkv_session_free (session);
    }
  g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE);
  return NULL;
}

static gpointer
work_until_gone (gpointer data)
{
  ShmkvClient *client = data;
  g_autoptr (GError) error = NULL;

  while (shmkv_client_insert (client, 1, 1, NULL, &error))
    ;
  g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE);
  return NULL;
}

static void
no_quit (gpointer data)
{
}

static ShmkvServer *
server_new (const char *name, gint64 spin_ns)
{
  ShmkvServerOptions options = {
    .name = name,
    .buckets = 10,
    .workers = 2,
    .max_workers = 2,
    .sessions = 16,
    .ring_size = RING_SIZE,
    .mode = 0600,
    .group = (gid_t) -1,
    .spin_ns = spin_ns,
  };
  ShmkvServer *server = shmkv_server_new (&options, no_quit, NULL, NULL);

  g_assert_nonnull (server);
  return server;
}

static void
test_gone_server (void)
{
  for (guint round = 0; round < 20; round++)
    {
      g_autofree char *name = util_name ();
      ShmkvServer *server = server_new (name, round % 2 * 20000);
      ShmkvClient *client = shmkv_client_new (name, NULL);
      GThread *threads[8];
      gint64 start;

      shmkv_client_set_timeout (client, -1);
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        threads[i] = g_thread_new ("victim", i % 2 == 0 ? work_until_gone : wait_for_nothing,
                                   client);
      if (round % 3 != 0)
        g_assert_true (shmkv_client_ping (client, NULL));
      start = g_get_monotonic_time ();
      shmkv_server_free (server);
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        g_thread_join (threads[i]);
      g_assert_cmpint (g_get_monotonic_time () - start, <, GONE_US);
      assert_client_fails (client, SHMKV_ERROR_SERVER_GONE);
      shmkv_client_unref (client);
    }
}

/* Ends a server over which 12 sessions sleep; how long until all know. */
static gint64
time_farewell (void)
{
  g_autofree char *name = util_name ();
  ShmkvServer *server = server_new (name, 0);
  ShmkvClient *client = shmkv_client_new (name, NULL);
  GThread *threads[12];
  Victim victims[G_N_ELEMENTS (threads)];
  gint64 start, taken;

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      victims[i].session = shmkv_session_new (client, NULL);
      g_assert_nonnull (victims[i].session);
      threads[i] = g_thread_new ("victim", be_taking, &victims[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    UTIL_AWAIT (naps (victims[i].session));
  start = g_get_monotonic_time ();
  shmkv_server_free (server);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  taken = g_get_monotonic_time () - start;
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    shmkv_session_free (victims[i].session);
  shmkv_client_unref (client);
  return taken;
}

/* They are told, and need not find out by themselves, which they do after a
 * slice of a tenth of a second: so many hardly ever in less than 70 ms. */
static void
test_gone_at_once (void)
{
  guint n_fast = 0;

  for (guint round = 0; round < 9; round++)
    n_fast += time_farewell () < 70000;
  g_assert_cmpuint (n_fast, >=, 4);
}

/* ------------------------------------------------------- the protocol is broken */

/* The client's own words, as if something had written to them. */
static void
test_dropped (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  ShmkvSession *bystander;

  util_log_catch ();
  atomic_fetch_add (&session->client_lane->tail, 4);
  UTIL_AWAIT (atomic_load (&session->server_lane->state) != session->state);
  assert_session_fails (session, SHMKV_ERROR_DROPPED);
  g_assert_cmpuint (util_log_caught ("dropped"), ==, 1);
  /* It is only this session. */
  g_assert_true (shmkv_client_ping (fixture->client, NULL));
  bystander = session_new (fixture);
  g_assert_true (shmkv_session_insert (bystander, 1, 1, NULL, NULL));
  shmkv_session_free (bystander);
}

/* A lane that went to somebody else, in the same phase. */
static void
test_dropped_generation (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  _Atomic guint32 *state
    = &shmkv_segment_responses_lane (fixture->rig->segment, session->lane)->state;

  rig_pump_pause (fixture->rig);
  atomic_fetch_add (state, SHMKV_WIRE_LANE_STATE (1, 0));
  assert_session_fails (session, SHMKV_ERROR_DROPPED);
  atomic_fetch_sub (state, SHMKV_WIRE_LANE_STATE (1, 0));
  rig_pump_resume (fixture->rig);
}

/* What the server has in its own mapping of a session's lane. */
typedef struct
{
  ShmkvResponsesLane *lane;
  guint64 *ring;
} Forge;

static Forge
forge_of (Fixture *fixture, const ShmkvSession *session)
{
  return (Forge) {
    .lane = shmkv_segment_responses_lane (fixture->rig->segment, session->lane),
    .ring = shmkv_segment_responses_ring (fixture->rig->segment, session->lane),
  };
}

/* Puts a response behind those that are there. */
static void
forge_response (const Forge *forge, const guint64 *words, guint n_words)
{
  guint32 tail = atomic_load (&forge->lane->positions.tail);

  for (guint i = 0; i < n_words; i++)
    shmkv_store_word (forge->ring + (tail & (RING_SIZE - 1)) / 8 + i, words[i]);
  atomic_store (&forge->lane->positions.tail, tail + n_words * 8);
  shmkv_futex_wake (&forge->lane->positions.tail, 1);
}

static gpointer
be_deceived (gpointer data)
{
  ShmkvSession *session = data;
  GError *error = NULL;
  guint64 value;
  gboolean found;

  g_assert_false (shmkv_session_read (session, 1, &value, &found, &error));
  assert_code (error, SHMKV_ERROR_PROTOCOL);
  return NULL;
}

/* Answers that are none, to whoever waits in a call; `lie` from a few. */
static void
check_protocol (Fixture *fixture, const guint64 *words, guint n_words, guint32 tail_by)
{
  ShmkvSession *session = session_new (fixture);
  Forge forge = forge_of (fixture, session);
  guint32 before = atomic_load (&forge.lane->positions.tail);
  GThread *thread;

  rig_pump_pause (fixture->rig);
  thread = g_thread_new ("deceived", be_deceived, session);
  UTIL_AWAIT (naps (session));
  if (n_words > 0)
    forge_response (&forge, words, n_words);
  else
    {
      atomic_fetch_add (&forge.lane->positions.tail, tail_by);
      shmkv_futex_wake (&forge.lane->positions.tail, 1);
    }
  g_thread_join (thread);
  assert_session_fails (session, SHMKV_ERROR_PROTOCOL);

  /* The rig's own end has not moved. */
  atomic_store (&forge.lane->positions.tail, before);
  rig_pump_resume (fixture->rig);
  shmkv_session_free (session);
  UTIL_AWAIT (shmkv_client_ping (fixture->client, NULL));
}

static void
test_protocol (Fixture *fixture, gconstpointer data)
{
  const guint64 unknown_id[] = { shmkv_header_pack (16, SHMKV_OP_READ, 0, 0, 0), 99 };
  const guint64 wrong_op[] = { shmkv_header_pack (16, SHMKV_OP_DELETE, 0, 0, 0), 1 };
  const guint64 more[] = { shmkv_header_pack (16, SHMKV_OP_READ, 0, 0, 0) | SHMKV_WIRE_MORE, 1 };
  const guint64 length[] = { shmkv_header_pack (24, SHMKV_OP_READ, 0, 0, 0), 1, 1 };
  const guint64 garbage[] = { G_MAXUINT64, G_MAXUINT64 };
  /* A version that was not asked for. */
  const guint64 number[]
    = { shmkv_header_pack (24, SHMKV_OP_READ, SHMKV_WIRE_KIND_INTEGER, 0, 0), 1, 5 };
  /* Bytes that are not there. */
  const guint64 cut[]
    = { shmkv_header_pack (24, SHMKV_OP_READ, 0, SHMKV_WIRE_KIND_BYTES, 0), 1, 8 };

  check_protocol (fixture, unknown_id, 2, 0);
  check_protocol (fixture, wrong_op, 2, 0);
  check_protocol (fixture, more, 2, 0);
  check_protocol (fixture, length, 3, 0);
  check_protocol (fixture, garbage, 2, 0);
  check_protocol (fixture, NULL, 0, 4);
  check_protocol (fixture, NULL, 0, RING_SIZE + 8);
  check_protocol (fixture, NULL, 0, (guint32) -8);
  check_protocol (fixture, number, 3, 0);
  check_protocol (fixture, cut, 3, 0);
}

/* A server that claims to have read what was never written. */
static void
test_protocol_head (Fixture *fixture, gconstpointer data)
{
  ShmkvSession *session = session_new (fixture);
  Forge forge = forge_of (fixture, session);
  guint32 before;

  rig_pump_pause (fixture->rig);
  before = atomic_load (&forge.lane->positions.head);
  atomic_store (&forge.lane->positions.head, before + 2 * RING_SIZE);
  fill (session, SHMKV_ERROR_PROTOCOL);
  assert_session_fails (session, SHMKV_ERROR_PROTOCOL);
  atomic_store (&forge.lane->positions.head, before);
  rig_pump_resume (fixture->rig);
  shmkv_session_free (session);
}

/* Any bytes at all in what the server writes: an error, or an answer, but
 * nothing worse. */
static void
test_protocol_random (Fixture *fixture, gconstpointer data)
{
  for (guint round = 0; round < UTIL_N (400); round++)
    {
      ShmkvSession *session;
      ShmkvCompletion completions[4];
      Forge forge;
      ShmkvResponsesLane saved;

      UTIL_AWAIT ((session = shmkv_session_new (fixture->client, NULL)) != NULL);
      session->timeout_us = 100;
      forge = forge_of (fixture, session);
      rig_pump_pause (fixture->rig);
      memcpy (&saved, forge.lane, sizeof saved);
      for (guint i = 0; i < 20; i++)
        {
          guint32 tail = atomic_load (&forge.lane->positions.tail);
          gssize n;

          for (guint k = 0; k < 16; k++)
            shmkv_store_word (forge.ring + (tail / 8 + k) % (RING_SIZE / 8),
                              k % 2 == 1 ? util_random_range (1, 8)
                                         : shmkv_header_pack (util_random_range (2, 5) * 8,
                                                              SHMKV_OP_READ, 0,
                                                              util_random_range (0, 4), 0));
          atomic_store (&forge.lane->positions.tail, tail + util_random_range (0, 8) * 8);
          if (util_random_range (0, 50) == 0)
            atomic_store (&forge.lane->positions.head, (guint32) g_test_rand_int ());
          shmkv_session_submit_read (session, 1, 0, NULL, NULL);
          shmkv_session_flush (session, NULL);
          n = shmkv_session_take (session, completions, 4, 0, NULL);
          for (gssize k = 0; k < n; k++)
            shmkv_completion_clear (&completions[k]);
        }
      memcpy (forge.lane, &saved, sizeof saved);
      rig_pump_resume (fixture->rig);
      shmkv_session_free (session);
    }
}

/* The last owner of the lane died asleep: its announcement is not ours. */
static void
test_died_asleep (Fixture *fixture, gconstpointer data)
{
  ShmkvSession *session;

  for (guint lane = 0; lane < SESSIONS; lane++)
    {
      ShmkvRequestsLane *words = shmkv_segment_requests_lane (fixture->client->segment, lane);

      atomic_store (&words->response_nap, 2 * lane + 1);
      atomic_store (&words->room_nap, G_MAXUINT32);
    }
  session = session_new (fixture);
  g_assert_false (naps (session));
  g_assert_true (shmkv_session_insert (session, 1, 1, NULL, NULL));
  g_assert_false (naps (session));
  shmkv_session_free (session);
}

/* ----------------------------------------------------------------- borrowing */

/* The answer to Quit is kept back until the test lets it go. */
typedef struct
{
  GMutex mutex;
  GCond cond;
  gboolean stuck, freed;
} Plug;

static void
get_stuck (gpointer data)
{
  Plug *plug = data;

  g_mutex_lock (&plug->mutex);
  plug->stuck = TRUE;
  g_cond_broadcast (&plug->cond);
  while (!plug->freed)
    g_cond_wait (&plug->cond, &plug->mutex);
  g_mutex_unlock (&plug->mutex);
}

static gpointer
quit_slowly (gpointer data)
{
  g_assert_true (shmkv_client_quit (data, NULL));
  return NULL;
}

typedef struct
{
  ShmkvClient *client;
  pthread_barrier_t barrier;
} Race;

/* Once at a time, so that nobody comes later whose coming would help. */
static gpointer
ping_at_once (gpointer data)
{
  Race *race = data;

  for (guint i = 0; i < UTIL_N (20000); i++)
    {
      g_autoptr (GError) error = NULL;

      pthread_barrier_wait (&race->barrier);
      shmkv_client_ping (race->client, &error);
      g_assert_no_error (error);
    }
  return NULL;
}

static gpointer
serve_too (gpointer data)
{
  Rig *rig = data;
  ShmkvCounters *counters = shmkv_counters_new ();
  ShmkvExecutor executor;
  guint position = 0;

  g_assert_true (shmkv_executor_init (&executor, NULL, rig->table, counters));
  while (!atomic_load (&rig->pump_ends))
    if (shmkv_lanes_serve (rig->lanes, &executor, &position).served == 0)
      g_thread_yield ();
  shmkv_executor_clear (&executor);
  shmkv_counters_free (counters);
  return NULL;
}

/* One of two sessions is in a call that takes long; other threads share the
 * other, and do not wait for the first. */
static void
test_borrow_stuck (Fixture *fixture, gconstpointer data)
{
  Plug plug = { .stuck = FALSE };
  g_autofree char *name = util_name ();
  ShmkvServerOptions options = {
    .name = name,
    .buckets = 1,
    .workers = 1,
    .max_workers = 1,
    .sessions = 1,
    .ring_size = RING_SIZE,
    .mode = 0600,
    .group = (gid_t) -1,
  };
  ShmkvServer *server = shmkv_server_new (&options, get_stuck, &plug, NULL);
  ShmkvSession *reserved[SESSIONS - 2];
  Race race = { .client = fixture->client };
  GThread *slow, *fast[2], *serving;
  gint64 start;

  rig_pump_stop (fixture->rig);
  fixture->rig->executor.server = server;
  rig_pump_start (fixture->rig);
  for (guint i = 0; i < G_N_ELEMENTS (reserved); i++)
    reserved[i] = session_new (fixture);
  slow = g_thread_new ("slow", quit_slowly, fixture->client);
  g_mutex_lock (&plug.mutex);
  while (!plug.stuck)
    g_cond_wait (&plug.cond, &plug.mutex);
  g_mutex_unlock (&plug.mutex);
  /* The pump is stuck in the slow call. */
  serving = g_thread_new ("serving", serve_too, fixture->rig);

  start = g_get_monotonic_time ();
  pthread_barrier_init (&race.barrier, NULL, G_N_ELEMENTS (fast));
  for (guint i = 0; i < G_N_ELEMENTS (fast); i++)
    fast[i] = g_thread_new ("fast", ping_at_once, &race);
  for (guint i = 0; i < G_N_ELEMENTS (fast); i++)
    g_thread_join (fast[i]);
  pthread_barrier_destroy (&race.barrier);
  g_assert_cmpint (g_get_monotonic_time () - start, <, UTIL_PATIENCE_US / 2);

  g_mutex_lock (&plug.mutex);
  plug.freed = TRUE;
  g_cond_broadcast (&plug.cond);
  g_mutex_unlock (&plug.mutex);
  g_thread_join (slow);
  for (guint i = 0; i < G_N_ELEMENTS (reserved); i++)
    shmkv_session_free (reserved[i]);
  rig_pump_stop (fixture->rig);
  g_thread_join (serving);
  shmkv_server_free (server);
}

/* A borrowed session that is of no more use is not lent again. */
static void
test_borrow_dropped (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2 * SESSIONS; i++)
    {
      const ShmkvSession *session;
      GError *error = NULL;

      UTIL_AWAIT (shmkv_client_ping (fixture->client, NULL));
      g_assert_cmpuint (fixture->client->idle->len, ==, 1);
      session = g_ptr_array_index (fixture->client->idle, 0);
      util_log_catch ();
      atomic_fetch_add (&session->client_lane->tail, 4);
      UTIL_AWAIT (atomic_load (&session->server_lane->state) != session->state);
      g_assert_false (shmkv_client_ping (fixture->client, &error));
      assert_code (error, SHMKV_ERROR_DROPPED);
      /* It is counted after it was logged, and after the client was told. */
      UTIL_AWAIT (rig_count (fixture->rig, SHMKV_COUNTER_SESSIONS_DROPPED) == i + 1);
      g_assert_cmpuint (util_log_caught ("dropped"), ==, 1);
      g_assert_true (shmkv_client_ping (fixture->client, NULL));
    }
}

/* ---------------------------------------------------------------------- fork */

/* Runs in a child; what a failing check says goes to standard error. */
static void
child_of_fork (Fixture *fixture, ShmkvSession *session)
{
  GError *error = NULL;
  ShmkvClient *client;

  assert_session_fails (session, SHMKV_ERROR_FORKED);
  g_assert_cmpuint (shmkv_session_submit_insert (session, 1, 1, 0, NULL, NULL), ==, 0);
  g_assert_cmpuint (shmkv_session_submit_read (session, 1, 0, NULL, NULL), ==, 0);
  g_assert_cmpuint (shmkv_session_submit_delete (session, 1, 0, NULL, NULL), ==, 0);
  assert_client_fails (fixture->client, SHMKV_ERROR_FORKED);
  g_assert_cmpint (shmkv_client_dup_fd (fixture->client, &error), ==, -1);
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_FORKED);
  g_assert_cmpstr (shmkv_client_get_name (fixture->client), ==, fixture->rig->name);
  shmkv_session_get_in_flight (session);
  shmkv_session_get_silent_errors (session);
  shmkv_session_free (session);
  shmkv_client_unref (fixture->client);

  /* A client of its own, which the parent serves. */
  client = shmkv_client_new (fixture->rig->name, NULL);
  g_assert_nonnull (client);
  shmkv_client_set_timeout (client, UTIL_PATIENCE_US);
  g_assert_true (shmkv_client_insert (client, 1, 2, NULL, NULL));
  shmkv_client_unref (client);
}

static void
assert_exits (pid_t child)
{
  int status;

  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

static void
test_fork (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvSession) session = session_new (fixture);
  guint64 value = 0;
  gboolean found = FALSE;
  pid_t child;

  g_assert_true (shmkv_client_ping (fixture->client, NULL));
  shmkv_session_submit_insert (session, 5, 6, 0, NULL, NULL);
  child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      child_of_fork (fixture, session);
      _exit (0);
    }
  assert_exits (child);
  /* The parent goes on as if nothing had happened. */
  g_assert_true (shmkv_session_read (session, 5, &value, &found, NULL));
  g_assert_cmpuint (value, ==, 6);
  g_assert_true (shmkv_client_read (fixture->client, 1, &value, &found, NULL));
  g_assert_cmpuint (value, ==, 2);
}

/* A process that opens a session, forks, and is killed when `go` says so; its
 * child lives on until `end` closes. */
static void
fork_and_die (Fixture *fixture, int result, int go, int end)
{
  ShmkvClient *client = shmkv_client_new (fixture->rig->name, NULL);
  ShmkvSession *session = shmkv_session_new (client, NULL);
  guint lane = session->lane;
  char byte;

  if (fork () == 0)
    {
      if (write (result, &lane, sizeof lane) != sizeof lane)
        _exit (1);
      close (result);
      _exit (read (end, &byte, 1) == 0 ? 0 : 1);
    }
  if (read (go, &byte, 1) == 1)
    kill (getpid (), SIGKILL);
  _exit (1);
}

/* A child that lives on does not keep its parent's sessions alive. */
static void
test_fork_locks (Fixture *fixture, gconstpointer data)
{
  ShmkvSegment *segment = fixture->rig->segment;
  int result[2], go[2], end[2], status;
  guint lane = G_MAXUINT;
  pid_t child;

  g_assert_true (pipe (result) == 0 && pipe (go) == 0 && pipe (end) == 0);
  child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      close (result[0]);
      close (go[1]);
      close (end[1]);
      fork_and_die (fixture, result[1], go[0], end[0]);
    }
  close (result[1]);
  close (go[0]);
  close (end[0]);
  g_assert_cmpint (read (result[0], &lane, sizeof lane), ==, sizeof lane);
  g_assert_cmpuint (lane, <, SESSIONS);
  g_assert_true (shmkv_segment_lane_is_locked (segment, lane));
  g_assert_cmpint (write (go[1], "", 1), ==, 1);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFSIGNALED (status));
  g_assert_false (shmkv_segment_lane_is_locked (segment, lane));
  UTIL_AWAIT (rig_count (fixture->rig, SHMKV_COUNTER_SESSIONS_RECLAIMED) == 1);
  close (end[1]);
  close (go[1]);
  close (result[0]);
}

int
main (int argc, char **argv)
{
#define ADD(name, function)                                                                        \
  g_test_add ("/trouble/" name, Fixture, NULL, set_up, function, tear_down)

  util_init (&argc, &argv);
  ADD ("attach/errors", test_attach);
  ADD ("attach/owner", test_owner);
  ADD ("timeout/call", test_timeout_call);
  ADD ("timeout/submit", test_timeout_submit);
  ADD ("timeout/open", test_timeout_open);
  ADD ("timeout/borrowed", test_timeout_borrowed);
  ADD ("timeout/kept", test_timeout_kept);
  g_test_add_func ("/trouble/gone/farewell", test_gone_farewell);
  g_test_add_func ("/trouble/gone/killed", test_gone_killed);
  ADD ("gone/polling", test_gone_polling);
  ADD ("gone/last-words", test_gone_last_words);
  g_test_add_func ("/trouble/gone/server", test_gone_server);
  g_test_add_func ("/trouble/gone/at-once", test_gone_at_once);
  ADD ("dropped/dropped", test_dropped);
  ADD ("dropped/generation", test_dropped_generation);
  ADD ("protocol/answers", test_protocol);
  ADD ("protocol/head", test_protocol_head);
  ADD ("protocol/random", test_protocol_random);
  ADD ("died-asleep", test_died_asleep);
  ADD ("borrow/stuck", test_borrow_stuck);
  ADD ("borrow/dropped", test_borrow_dropped);
  ADD ("fork/fork", test_fork);
  ADD ("fork/locks", test_fork_locks);
  return util_run ();
}
