/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The workers: how many there are, and that they come and go as they are told,
 * whatever else is going on. */

#include "config.h"

#include "rig.h"
#include "server/pool.h"
#include "transport/wait.h"
#include "util.h"
#include "wire/record.h"

#include <shmkv/shmkv.h>

#define MAX_WORKERS 4
#define SESSIONS 8

typedef struct
{
  Rig *rig;
  ShmkvPool *pool;
} Fixture;

static void
fixture_init (Fixture *fixture, guint ring_size, gint64 spin_ns, guint max_awake)
{
  ShmkvPoolOptions options
    = { .max_workers = MAX_WORKERS, .spin_ns = spin_ns, .max_awake = max_awake };

  fixture->rig = rig_new (SESSIONS, ring_size);
  fixture->pool = shmkv_pool_new (&options, NULL, fixture->rig->table, fixture->rig->lanes,
                                  fixture->rig->segment);
}

static void
fixture_clear (Fixture *fixture)
{
  shmkv_pool_stop (fixture->pool);
  shmkv_pool_free (fixture->pool);
  rig_free (fixture->rig);
  UTIL_AWAIT (util_count_threads ("worker") == 0);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture_init (fixture, 16384, 20000, 2);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  fixture_clear (fixture);
}

static void
start (Fixture *fixture, guint64 n, ShmkvPoolResult result, guint n_workers)
{
  guint now = 99;

  g_assert_cmpint (shmkv_pool_start_workers (fixture->pool, n, &now), ==, result);
  g_assert_cmpuint (now, ==, n_workers);
  g_assert_cmpuint (shmkv_pool_get_n_workers (fixture->pool), ==, n_workers);
}

static void
stop (Fixture *fixture, ShmkvPoolResult result, guint n_workers)
{
  guint now = 99;

  g_assert_cmpint (shmkv_pool_stop_worker (fixture->pool, &now), ==, result);
  g_assert_cmpuint (now, ==, n_workers);
  g_assert_cmpuint (shmkv_pool_get_n_workers (fixture->pool), ==, n_workers);
}

static void
await_threads (guint n)
{
  UTIL_AWAIT (util_count_threads ("worker") == n);
}

static guint64
count (Fixture *fixture, ShmkvCounter counter)
{
  guint64 sum[SHMKV_N_COUNTERS] = { 0 };

  shmkv_pool_add_counters (fixture->pool, sum);
  return sum[counter];
}

static ShmkvClient *
client_new (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  ShmkvClient *client = shmkv_client_new (fixture->rig->name, &error);

  g_assert_no_error (error);
  shmkv_client_set_timeout (client, UTIL_PATIENCE_US);
  return client;
}

/* ------------------------------------------------------------------ accounts */

static void
test_start_stop (Fixture *fixture, gconstpointer data)
{
  g_assert_cmpuint (shmkv_pool_get_n_workers (fixture->pool), ==, 0);
  stop (fixture, SHMKV_POOL_LAST_WORKER, 0);
  start (fixture, 1, SHMKV_POOL_DONE, 1);
  await_threads (1);
  stop (fixture, SHMKV_POOL_LAST_WORKER, 1);
  start (fixture, 2, SHMKV_POOL_DONE, 3);
  await_threads (3);
  start (fixture, 1, SHMKV_POOL_DONE, 4);
  await_threads (4);
  stop (fixture, SHMKV_POOL_DONE, 3);
  await_threads (3);
  stop (fixture, SHMKV_POOL_DONE, 2);
  stop (fixture, SHMKV_POOL_DONE, 1);
  await_threads (1);
  stop (fixture, SHMKV_POOL_LAST_WORKER, 1);
  await_threads (1);
}

static void
test_limits (Fixture *fixture, gconstpointer data)
{
  static const guint64 too_many[]
    = { 0, MAX_WORKERS + 1, G_MAXUINT32, (guint64) G_MAXUINT32 + 1, (guint64) G_MAXUINT32 + 2,
        G_MAXINT64, G_MAXUINT64 - 1, G_MAXUINT64 };

  for (guint i = 0; i < G_N_ELEMENTS (too_many); i++)
    start (fixture, too_many[i], SHMKV_POOL_TOO_MANY, 0);
  start (fixture, MAX_WORKERS, SHMKV_POOL_DONE, MAX_WORKERS);
  await_threads (MAX_WORKERS);
  for (guint i = 0; i < G_N_ELEMENTS (too_many); i++)
    start (fixture, too_many[i], SHMKV_POOL_TOO_MANY, MAX_WORKERS);
  start (fixture, 1, SHMKV_POOL_TOO_MANY, MAX_WORKERS);
  await_threads (MAX_WORKERS);
  stop (fixture, SHMKV_POOL_DONE, MAX_WORKERS - 1);
  start (fixture, 2, SHMKV_POOL_TOO_MANY, MAX_WORKERS - 1);
  start (fixture, 1, SHMKV_POOL_DONE, MAX_WORKERS);
  await_threads (MAX_WORKERS);
}

/* What workers counted outlives them. */
static void
test_counters (Fixture *fixture, gconstpointer data)
{
  g_autoptr (ShmkvClient) client = NULL;
  guint64 n = 0;

  start (fixture, MAX_WORKERS, SHMKV_POOL_DONE, MAX_WORKERS);
  client = client_new (fixture);
  for (guint round = 0; round < 10; round++)
    {
      for (guint i = 0; i < 100; i++)
        g_assert_true (shmkv_client_insert (client, n++, i, NULL, NULL));
      if (round < 3)
        stop (fixture, SHMKV_POOL_DONE, MAX_WORKERS - 1 - round);
      g_assert_cmpuint (count (fixture, SHMKV_COUNTER_INSERTS), ==, n);
    }
  await_threads (1);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_INSERTS), ==, n);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_OPENED), ==, 1);
}

/* ---------------------------------------------------------------- idle, busy */

/* When there is nothing to do, it sleeps; who has something wakes it. */
static void
check_sleep (gint64 spin_ns, guint max_awake, guint n_workers)
{
  Fixture fixture;
  ShmkvClient *client;
  const ShmkvResponsesHeader *header;

  fixture_init (&fixture, 4096, spin_ns, max_awake);
  start (&fixture, n_workers, SHMKV_POOL_DONE, n_workers);
  header = shmkv_segment_responses_header (fixture.rig->segment);
  client = client_new (&fixture);
  for (guint i = 0; i < 200; i++)
    {
      UTIL_AWAIT (atomic_load (&header->server_asleep) == 1);
      g_assert_true (shmkv_client_ping (client, NULL));
    }
  UTIL_AWAIT (count (&fixture, SHMKV_COUNTER_SLEEPS) > 0);
  shmkv_client_unref (client);
  fixture_clear (&fixture);
}

static void
test_sleep (void)
{
  check_sleep (0, 1, 1);
  check_sleep (50000, 1, MAX_WORKERS);
  check_sleep (0, 2, MAX_WORKERS);
}

/* Stopping needs no client to wake anyone, nor does it wait for a slice to
 * pass. */
static void
test_stop_asleep (void)
{
  gint64 start_us = g_get_monotonic_time ();

  for (guint i = 0; i < 50; i++)
    {
      Fixture fixture;

      fixture_init (&fixture, 4096, i % 2 * 1000, 2);
      start (&fixture, 1 + i % MAX_WORKERS, SHMKV_POOL_DONE, 1 + i % MAX_WORKERS);
      if (i % 3 == 0)
        UTIL_AWAIT (count (&fixture, SHMKV_COUNTER_SLEEPS) > 0);
      fixture_clear (&fixture);
    }
  g_assert_cmpint (g_get_monotonic_time () - start_us, <, 50 * SHMKV_IDLE_SLICE_NS / 1000 / 3);
}

static void
test_stop_without_start (void)
{
  Fixture fixture;

  fixture_init (&fixture, 4096, 0, 1);
  fixture_clear (&fixture);
}

/* Keeps all lanes busy, for ever. */
typedef struct
{
  Hand hands[SESSIONS];
  _Atomic gboolean ends;
} Feeder;

static gpointer
feed (gpointer data)
{
  Feeder *feeder = data;

  while (!atomic_load (&feeder->ends))
    for (guint i = 0; i < SESSIONS; i++)
      {
        while (hand_try_submit (&feeder->hands[i], SHMKV_WIRE_OP_PING, SHMKV_WIRE_FLAG_NO_RESPONSE,
                                0, 0, 0))
          ;
        hand_publish (&feeder->hands[i]);
      }
  return NULL;
}

/* A worker stops after its turn, not when there is nothing left to do. */
static void
test_stop_busy (void)
{
  Fixture fixture;
  Feeder feeder;
  GThread *thread;

  fixture_init (&fixture, 1u << 18, 0, 2);
  for (guint i = 0; i < SESSIONS; i++)
    hand_open (&feeder.hands[i], fixture.rig, i);
  atomic_init (&feeder.ends, FALSE);
  start (&fixture, MAX_WORKERS, SHMKV_POOL_DONE, MAX_WORKERS);
  thread = g_thread_new ("feeder", feed, &feeder);
  /* By then the leader has called for help. */
  UTIL_AWAIT (count (&fixture, SHMKV_COUNTER_OTHER_REQUESTS) > 1000000 / UTIL_SLOWNESS);

  for (guint n = MAX_WORKERS - 1; n > 0; n--)
    stop (&fixture, SHMKV_POOL_DONE, n);
  UTIL_AWAIT_WITHIN (5 * G_USEC_PER_SEC, util_count_threads ("worker") == 1);
  start (&fixture, 2, SHMKV_POOL_DONE, 3);
  await_threads (3);
  shmkv_pool_stop (fixture.pool);
  await_threads (0);

  atomic_store (&feeder.ends, TRUE);
  g_thread_join (thread);
  for (guint i = 0; i < SESSIONS; i++)
    hand_clear (&feeder.hands[i]);
  fixture_clear (&fixture);
}

/* --------------------------------------------------------------------- storm */

typedef struct
{
  ShmkvClient *client;
  guint64 key;
  guint n;
} Writer;

/* Pipelined writes and reads, each read of what was written just before. */
static gpointer
write_and_read (gpointer data)
{
  Writer *writer = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvSession) session = shmkv_session_new (writer->client, &error);
  guint64 submitted = 0, taken = 0;

  g_assert_no_error (error);
  while (taken < writer->n)
    {
      ShmkvCompletion completions[32];
      gssize n;

      for (guint i = 0; i < 32 && submitted < writer->n; i++, submitted++)
        if (submitted % 2 == 0)
          shmkv_session_submit_insert (session, writer->key, submitted, 0, NULL, &error);
        else
          shmkv_session_submit_read (session, writer->key, 0, NULL, &error);
      g_assert_no_error (error);
      shmkv_session_flush (session, &error);
      n = shmkv_session_take (session, completions, 32, -1, &error);
      g_assert_no_error (error);
      for (gssize i = 0; i < n; i++, taken++)
        {
          g_assert_cmpuint (completions[i].id, ==, taken + 1);
          if (taken % 2 != 0)
            g_assert_cmpuint (completions[i].value, ==, taken - 1);
        }
    }
  return NULL;
}

typedef struct
{
  Fixture *fixture;
  _Atomic gboolean ends;
  _Atomic gint balance;             /* workers that were started and not stopped */
} Storm;

static gpointer
start_and_stop (gpointer data)
{
  Storm *storm = data;
  ShmkvPool *pool = storm->fixture->pool;

  while (!atomic_load (&storm->ends))
    {
      guint64 n = (guint64) g_random_int_range (0, 4);
      guint now;

      if (g_random_boolean ())
        {
          if (shmkv_pool_start_workers (pool, n, &now) == SHMKV_POOL_DONE)
            atomic_fetch_add (&storm->balance, (gint) n);
        }
      else if (shmkv_pool_stop_worker (pool, &now) == SHMKV_POOL_DONE)
        atomic_fetch_sub (&storm->balance, 1);
      g_assert_cmpuint (now, >=, 1);
      g_assert_cmpuint (now, <=, MAX_WORKERS);
      g_usleep ((gulong) g_random_int_range (0, 200));
    }
  return NULL;
}

static void
test_storm (Fixture *fixture, gconstpointer data)
{
  Storm storm = { .fixture = fixture };
  ShmkvClient *client;
  Writer writers[3];
  GThread *storms[2], *threads[G_N_ELEMENTS (writers)];
  guint64 n = 0;

  start (fixture, 1, SHMKV_POOL_DONE, 1);
  atomic_init (&storm.balance, 1);
  client = client_new (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (storms); i++)
    storms[i] = g_thread_new ("storm", start_and_stop, &storm);
  for (guint i = 0; i < G_N_ELEMENTS (writers); i++)
    {
      writers[i] = (Writer) { .client = client, .key = i, .n = UTIL_N (1000000) };
      threads[i] = g_thread_new ("writer", write_and_read, &writers[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (writers); i++)
    g_thread_join (threads[i]);
  atomic_store (&storm.ends, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (storms); i++)
    g_thread_join (storms[i]);
  shmkv_client_unref (client);
  /* Nothing is lost of what those counted that are no more. */
  for (guint i = 0; i < G_N_ELEMENTS (writers); i++)
    n += writers[i].n;
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_INSERTS), ==, n / 2);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_READS), ==, n / 2);
  g_assert_cmpuint (shmkv_pool_get_n_workers (fixture->pool), ==, atomic_load (&storm.balance));
  await_threads (shmkv_pool_get_n_workers (fixture->pool));
}

int
main (int argc, char **argv)
{
#define ADD(name, function)                                                                        \
  g_test_add ("/pool/" name, Fixture, NULL, set_up, function, tear_down)

  util_init (&argc, &argv);
  ADD ("start-stop", test_start_stop);
  ADD ("limits", test_limits);
  ADD ("counters", test_counters);
  g_test_add_func ("/pool/sleep", test_sleep);
  g_test_add_func ("/pool/stop/asleep", test_stop_asleep);
  g_test_add_func ("/pool/stop/without-start", test_stop_without_start);
  g_test_add_func ("/pool/stop/busy", test_stop_busy);
  ADD ("storm", test_storm);
  return util_run ();
}
