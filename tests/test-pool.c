/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The workers: how many there are, and that they come and go as they are told,
 * whatever else is going on. */

#include "config.h"

#include "rig.h"
#include "server/pool.h"
#include "server/table-internal.h"
#include "transport/wait.h"
#include "util.h"
#include "wire/record.h"

#include <shmkv/shmkv.h>

#include <unistd.h>

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
  g_assert_cmpuint (count (&fixture, SHMKV_COUNTER_MUTES), ==, 0);
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

typedef struct
{
  ShmkvSegment *segment;
  gboolean rings;                   /* or only wakes */
  _Atomic gboolean ends;
} Ringer;

static gpointer
ring_without_end (gpointer data)
{
  Ringer *ringer = data;
  ShmkvRequestsHeader *header = shmkv_segment_requests_header (ringer->segment);

  while (!atomic_load (&ringer->ends))
    {
      if (ringer->rings)
        atomic_fetch_add (&header->doorbell, 1);
      shmkv_futex_wake (&header->doorbell, G_MAXINT);
    }
  return NULL;
}

/* Who rings for nothing is not listened to; others are served meanwhile, and when
 * it is over, all is as before. */
static void
check_mute (gboolean rings)
{
  Ringer ringer = { .rings = rings };
  g_autoptr (GError) error = NULL;
  guint64 mutes, sleeps;
  ShmkvClient *client;
  Fixture fixture;
  GThread *thread;

  fixture_init (&fixture, 4096, 20000, 2);
  start (&fixture, 1, SHMKV_POOL_DONE, 1);
  client = client_new (&fixture);
  g_assert_true (shmkv_client_ping (client, NULL));
  ringer.segment = shmkv_segment_attach (fixture.rig->name, geteuid (), &error);
  g_assert_no_error (error);
  thread = g_thread_new ("ringer", ring_without_end, &ringer);
  for (guint i = 0; i < 10; i++)
    {
      mutes = count (&fixture, SHMKV_COUNTER_MUTES);
      UTIL_AWAIT (count (&fixture, SHMKV_COUNTER_MUTES) > mutes);
      g_assert_true (shmkv_client_ping (client, NULL));
    }
  atomic_store (&ringer.ends, TRUE);
  g_thread_join (thread);
  do
    {
      mutes = count (&fixture, SHMKV_COUNTER_MUTES);
      sleeps = count (&fixture, SHMKV_COUNTER_SLEEPS);
      UTIL_AWAIT (count (&fixture, SHMKV_COUNTER_SLEEPS) >= sleeps + 3);
    }
  while (count (&fixture, SHMKV_COUNTER_MUTES) > mutes);
  g_assert_true (shmkv_client_ping (client, NULL));
  shmkv_client_unref (client);
  shmkv_segment_free (ringer.segment);
  fixture_clear (&fixture);
}

static void
test_mute (void)
{
  check_mute (TRUE);
  check_mute (FALSE);
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

/* ----------------------------------------------------------------- handing on */

/* Two counts of keys, which the clock that they look at does not let end; and
 * what keeps the worker busy that leads meanwhile. */
static struct
{
  Fixture fixture;
  Hand hands[3];
  _Atomic guint n_looks;
  _Atomic gboolean ends;
  _Atomic gboolean held;
  _Atomic gboolean asleep;
} handing;

static gint64
look_at_clock (void)
{
  const ShmkvResponsesHeader *header;
  guint n;

  if (!atomic_load (&handing.held))
    return 0;
  n = atomic_fetch_add (&handing.n_looks, 1);
  header = shmkv_segment_responses_header (handing.fixture.rig->segment);
  if (n == 1)
    {
      gboolean asleep;

      hand_publish (&handing.hands[2]);
      while (count (&handing.fixture, SHMKV_COUNTER_OTHER_REQUESTS) < 500)
        ;
      asleep = atomic_load (&header->server_asleep) != 0;
      /* Unless there is nothing left to do. */
      atomic_store (&handing.asleep,
                    asleep && atomic_load (&handing.hands[2].server->positions.head)
                                != handing.hands[2].requests.tail);
      atomic_store (&handing.ends, TRUE);
    }
  while (!atomic_load (&handing.ends))
    g_usleep (100);
  return G_MAXINT32;
}

static void
submit_count (guint i)
{
  hand_submit (&handing.hands[i], SHMKV_WIRE_OP_COUNT, 0, 0, 0, 0);
  hand_publish (&handing.hands[i]);
}

/* One that is about to sleep may hand the lead on instead.  Whoever has it then
 * does not sleep, and no client is told to wake him. */
static void
hand_on (void)
{
  ShmkvTableCommand command = { .op = SHMKV_WIRE_OP_INSERT,
                                .flags = SHMKV_WIRE_FLAG_TTL,
                                .key = hand_integer (1),
                                .value = hand_integer (1),
                                .ttl_ms = 1 };
  ShmkvTableAnswer answer;

  atomic_store (&handing.held, FALSE);
  atomic_store (&handing.ends, FALSE);
  atomic_store (&handing.n_looks, 0);
  fixture_init (&handing.fixture, 1u << 20, 0, 3);
  for (guint i = 0; i < G_N_ELEMENTS (handing.hands); i++)
    hand_open (&handing.hands[i], handing.fixture.rig, i);
  shmkv_table_set_clock (handing.fixture.rig->table, look_at_clock);
  command.place = shmkv_table_locate_key (handing.fixture.rig->table, &command.key);
  shmkv_table_apply (handing.fixture.rig->table, &command, &answer);
  while (hand_try_submit (&handing.hands[2], SHMKV_WIRE_OP_PING, SHMKV_WIRE_FLAG_NO_RESPONSE, 0, 0,
                          0))
    ;
  atomic_store (&handing.held, TRUE);
  start (&handing.fixture, 3, SHMKV_POOL_DONE, 3);

  /* As long as the first one is at it, who leads goes to sleep again and again. */
  submit_count (0);
  UTIL_AWAIT (atomic_load (&handing.n_looks) == 1);
  g_usleep (1000);
  submit_count (1);
  UTIL_AWAIT (atomic_load (&handing.ends));
  g_assert_false (atomic_load (&handing.asleep));

  for (guint i = 0; i < G_N_ELEMENTS (handing.hands); i++)
    hand_clear (&handing.hands[i]);
  fixture_clear (&handing.fixture);
}

static void
test_hand_on (void)
{
  for (guint i = 0; i < 20; i++)
    hand_on ();
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

/* Has the workers do what takes long, and hand on the lead for it. */
static gpointer
keep_busy (gpointer data)
{
  Storm *storm = data;
  ShmkvClient *client = client_new (storm->fixture);

  while (!atomic_load (&storm->ends))
    {
      ShmkvRequest request = { .op = g_random_boolean () ? SHMKV_OP_COUNT : SHMKV_OP_PING };
      g_autoptr (GError) error = NULL;
      ShmkvCompletion completion;

      shmkv_client_call (client, &request, &completion, &error);
      g_assert_no_error (error);
      g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
    }
  shmkv_client_unref (client);
  return NULL;
}

static void
test_storm (Fixture *fixture, gconstpointer data)
{
  Storm storm = { .fixture = fixture };
  ShmkvClient *client;
  Writer writers[3];
  GThread *storms[3], *threads[G_N_ELEMENTS (writers)];
  guint64 n = 0;

  start (fixture, 1, SHMKV_POOL_DONE, 1);
  atomic_init (&storm.balance, 1);
  client = client_new (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (storms); i++)
    storms[i] = g_thread_new ("storm", i < 2 ? start_and_stop : keep_busy, &storm);
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

/* ------------------------------------------------------------------- waiting */

typedef struct
{
  ShmkvClient *client;
  guint n;
  _Atomic guint *seen;
} Player;

static ShmkvSession *
session_new (ShmkvClient *client)
{
  g_autoptr (GError) error = NULL;
  ShmkvSession *session = shmkv_session_new (client, &error);

  g_assert_no_error (error);
  return session;
}

static void
call (ShmkvSession *session, ShmkvRequest request, ShmkvCompletion *completion_out)
{
  g_autoptr (GError) error = NULL;

  shmkv_session_call (session, &request, completion_out, &error);
  g_assert_no_error (error);
  g_assert_cmpint (completion_out->status, ==, SHMKV_STATUS_OK);
}

/* Waits for every change, one by one. */
static gpointer
wait_for_changes (gpointer data)
{
  Player *player = data;
  g_autoptr (ShmkvSession) session = session_new (player->client);
  guint64 version = 0;

  for (guint i = 0; i < player->n; i++)
    {
      ShmkvCompletion completion;

      call (session, (ShmkvRequest) { .op = SHMKV_OP_WAIT, .key = shmkv_string ("ball"),
                                      .value = shmkv_integer (version) }, &completion);
      g_assert_cmpuint (completion.value, ==, i + 1);
      version = completion.version;
      atomic_store (player->seen, i + 1);
    }
  return NULL;
}

/* All workers sleep, again and again, and the lead goes from one to the other; who
 * waits for a change is woken by it, not by a slice that has passed. */
static void
check_wait (guint n_workers, gint64 spin_ns, guint max_awake)
{
  const guint n = UTIL_N (5000);
  gint64 start_us = g_get_monotonic_time ();
  _Atomic guint seen = 0;
  g_autoptr (ShmkvSession) session = NULL;
  ShmkvClient *client;
  Fixture fixture;
  Player player;
  GThread *thread;

  fixture_init (&fixture, 4096, spin_ns, max_awake);
  start (&fixture, n_workers, SHMKV_POOL_DONE, n_workers);
  client = client_new (&fixture);
  session = session_new (client);
  player = (Player) { client, n, &seen };
  thread = g_thread_new ("waits", wait_for_changes, &player);
  for (guint i = 0; i < n; i++)
    {
      ShmkvCompletion completion;

      call (session, (ShmkvRequest) { .op = SHMKV_OP_ADD, .key = shmkv_string ("ball"),
                                      .value = shmkv_integer (1) }, &completion);
      UTIL_AWAIT (atomic_load (&seen) > i);
      if (i % 3 == 0)
        {
          call (session, (ShmkvRequest) { .op = SHMKV_OP_COUNT }, &completion);
          g_assert_cmpuint (completion.value, ==, 1);
        }
    }
  g_thread_join (thread);
  g_assert_cmpint (g_get_monotonic_time () - start_us, <,
                   n * (SHMKV_IDLE_SLICE_NS / 1000) / 20 * UTIL_SLOWNESS);
  g_clear_pointer (&session, shmkv_session_free);
  shmkv_client_unref (client);
  fixture_clear (&fixture);
}

static void
test_wait (void)
{
  check_wait (1, 0, 1);
  check_wait (MAX_WORKERS, 0, 2);
  check_wait (MAX_WORKERS, 20000, 4);
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
  g_test_add_func ("/pool/mute", test_mute);
  g_test_add_func ("/pool/stop/asleep", test_stop_asleep);
  g_test_add_func ("/pool/stop/without-start", test_stop_without_start);
  g_test_add_func ("/pool/stop/busy", test_stop_busy);
  g_test_add_func ("/pool/hand-on", test_hand_on);
  ADD ("storm", test_storm);
  g_test_add_func ("/pool/wait", test_wait);
  return util_run ();
}
