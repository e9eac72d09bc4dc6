/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/pool.h"

#include "transport/crash.h"
#include "transport/wait.h"

#include <sched.h>
#include <stdlib.h>

/* The leader calls for help after this many rounds in a row with more than one
 * lane waiting: a wake-up costs as much as a few thousand requests. */
#define BACKLOG_ROUNDS 16

/* A helper goes back to sleep after this many rounds in a row without work. */
#define IDLE_ROUNDS 8

/* The leader tells clients how crowded it is after so many rounds with work. */
#define CROWD_ROUNDS 64

/* While stopping, the leader is woken again this often: it may have been just
 * about to sleep. */
#define STOP_STEP_US 1000

/* After so many times in a row that the leader was woken for nothing, it is deaf for
 * a moment; then after fewer, until it had work or slept in peace.  Who has work
 * then waits no longer than that. */
#define VAIN_RINGS 64
#define VAIN_RINGS_AGAIN 4
#define DEAF_US 200

typedef struct
{
  ShmkvCounters counters;           /* first: it is aligned */
  ShmkvPool *pool;
  ShmkvExecutor executor;
  gboolean leads;
  guint position;                   /* in the lanes */
  guint backlog;                    /* rounds in a row that called for help */
  guint vain;                       /* times in a row that it was woken for nothing */
  guint crowd_rounds;               /* since it was told how crowded it is */
  guint most_waiting;               /* lanes in one of these rounds */
} Worker;

struct _ShmkvPool
{
  ShmkvPoolOptions options;
  ShmkvServer *server;
  ShmkvTable *table;
  ShmkvLanes *lanes;
  const ShmkvSegment *segment;

  _Atomic gboolean quit;
  _Atomic guint n_idle;             /* helpers that sleep; written under the mutex */
  _Atomic guint n_awake;            /* workers that do not; the same */
  _Atomic guint n_to_stop;          /* helpers that were told and have not heard yet; the same */

  /* Under the mutex. */
  GMutex mutex;
  GCond called;                     /* helpers sleep on it */
  GCond ended;
  guint n_workers;                  /* without those that were told to stop */
  guint n_threads;                  /* with them */
  guint n_calls;                    /* helpers that were called and have not heard yet */
  gboolean has_leader;
  GPtrArray *workers;
  ShmkvCounters ended_counters;     /* of workers that are no more */
};

/* ------------------------------------------------------------------ leader */

static gboolean
is_quitting (ShmkvPool *pool)
{
  /* relaxed: nothing else is read because of it */
  return atomic_load_explicit (&pool->quit, memory_order_relaxed);
}

static void
call_helper (ShmkvPool *pool)
{
  g_mutex_lock (&pool->mutex);
  if (pool->n_calls < pool->n_idle)
    {
      pool->n_calls++;
      g_cond_signal (&pool->called);
    }
  g_mutex_unlock (&pool->mutex);
}

/* Calls for help where the work stays more than this worker can take. */
static void
consider_help (Worker *worker, const ShmkvRound *round)
{
  ShmkvPool *pool = worker->pool;

  if (G_LIKELY (round->waiting < 2))
    {
      worker->backlog = 0;
      return;
    }
  if (++worker->backlog < BACKLOG_ROUNDS)
    return;
  worker->backlog = 0;
  /* relaxed: hints; call_helper() looks again */
  if (atomic_load_explicit (&pool->n_idle, memory_order_relaxed) > 0
      && atomic_load_explicit (&pool->n_awake, memory_order_relaxed) < pool->options.max_awake)
    call_helper (pool);
}

/* By the leader, after a round: clients that see more threads at work than there
 * are CPUs leave theirs to others sooner. */
static void
note_crowd (Worker *worker, const ShmkvRound *round)
{
  ShmkvPool *pool = worker->pool;
  _Atomic uint32_t *word = &shmkv_segment_responses_header (pool->segment)->crowd;
  guint crowd;

  worker->most_waiting = MAX (worker->most_waiting, round->waiting);
  if (++worker->crowd_rounds < CROWD_ROUNDS)
    return;
  /* relaxed: a hint */
  crowd = worker->most_waiting + atomic_load_explicit (&pool->n_awake, memory_order_relaxed);
  worker->crowd_rounds = worker->most_waiting = 0;
  /* relaxed: the same; its cache line is one that all clients read */
  if (atomic_load_explicit (word, memory_order_relaxed) != crowd)
    atomic_store_explicit (word, crowd, memory_order_relaxed);
}

static ShmkvRound
serve (Worker *worker)
{
  shmkv_reader_pass (worker->executor.reader);
  return shmkv_lanes_serve (worker->pool->lanes, &worker->executor, &worker->position);
}

/* Whether all others sleep.  One who does not may be about to, or to stop, and have
 * made work in his last turn, where nobody but him looks. */
static gboolean
is_alone (ShmkvPool *pool)
{
  /* acquire: pairs with what those who go to sleep store under the mutex, so that
   * we see what they left */
  return atomic_load_explicit (&pool->n_awake, memory_order_acquire) == 1;
}

/* Does not hear the bell for a moment.  Nobody sees it asleep, so the honest do
 * not ring, and are found afterwards. */
static void
be_deaf (Worker *worker)
{
  shmkv_count (&worker->counters, SHMKV_COUNTER_MUTES, 1);
  shmkv_reader_rest (worker->executor.reader);
  g_usleep (DEAF_US);
  shmkv_reader_resume (worker->executor.reader);
  worker->vain = VAIN_RINGS - VAIN_RINGS_AGAIN;
}

/* Sleeps until a client rings the doorbell, or a slice has passed. */
static void
doze (Worker *worker)
{
  ShmkvPool *pool = worker->pool;
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (pool->segment);
  const _Atomic uint32_t *doorbell = &shmkv_segment_requests_header (pool->segment)->doorbell;
  /* Before we look for work: only the leader wakes others who could make some. */
  gboolean alone = is_alone (pool);
  ShmkvRound round;
  uint32_t rung;
  bool woken;

  /* relaxed: ordered by the fence */
  atomic_store_explicit (&header->server_asleep, 1, memory_order_relaxed);
  SHMKV_CRASH_POINT ("doze-announced");
  /* pairs with the fence in the client's shmkv_session_wake_server(): either it
   * sees that we sleep, or we see what it published */
  atomic_thread_fence (memory_order_seq_cst);
  /* acquire: pairs with the release of whoever rings */
  rung = atomic_load_explicit (doorbell, memory_order_acquire);
  round = serve (worker);
  /* The word is the new leader's now, if there is one. */
  if (!worker->leads)
    return;
  if (round.served == 0 && round.waiting == 0 && !round.arriving && alone && !is_quitting (pool))
    {
      shmkv_count (&worker->counters, SHMKV_COUNTER_SLEEPS, 1);
      shmkv_reader_rest (worker->executor.reader);
      woken = shmkv_futex_wait (doorbell, rung, SHMKV_IDLE_SLICE_NS);
      shmkv_reader_resume (worker->executor.reader);
      SHMKV_CRASH_POINT ("doze-woken");
      worker->vain = woken ? worker->vain + 1 : 0;
    }
  else if (round.served > 0)
    worker->vain = 0;
  else if (round.waiting > 0 || !alone)
    /* A helper is at it, and may be waiting for this CPU. */
    sched_yield ();
  /* relaxed: a client that sees it late rings for nothing */
  atomic_store_explicit (&header->server_asleep, 0, memory_order_relaxed);
}

/* By a worker that is about to do something that takes long: somebody else is to
 * look after the other lanes meanwhile.  Where all are awake, that is who finds
 * nothing to do first, and only then. */
static void
hand_on_lead (gpointer data)
{
  Worker *worker = data;
  ShmkvPool *pool = worker->pool;

  if (!worker->leads)
    return;
  g_mutex_lock (&pool->mutex);
  if (pool->n_threads > 1)
    {
      worker->leads = pool->has_leader = FALSE;
      g_cond_signal (&pool->called);
    }
  g_mutex_unlock (&pool->mutex);
  SHMKV_CRASH_POINT ("lead-handed-on");
}

/* Until the lead is handed on, or the server ends. */
static void
lead (Worker *worker)
{
  ShmkvPool *pool = worker->pool;
  ShmkvSpinner spinner;
  ShmkvSpin spin;

  /* relaxed: whoever had the lead may have been about to sleep when he handed it
   * on; the mutex orders that before this */
  atomic_store_explicit (&shmkv_segment_responses_header (pool->segment)->server_asleep, 0,
                         memory_order_relaxed);
  shmkv_spinner_init (&spinner, pool->options.spin_ns);
  spin = shmkv_spin_begin (&spinner);
  while (worker->leads && !is_quitting (pool))
    {
      ShmkvRound round = serve (worker);

      if (round.served > 0)
        {
          worker->vain = 0;
          consider_help (worker, &round);
          note_crowd (worker, &round);
          if (spin.polls > 0)
            shmkv_spin_paid (&spin);
          spin = shmkv_spin_begin (&spinner);
        }
      else if (!shmkv_spin_again (&spin))
        {
          if (worker->vain < VAIN_RINGS)
            doze (worker);
          else
            be_deaf (worker);
          spin = shmkv_spin_begin (&spinner);
        }
    }
}

/* ----------------------------------------------------------------- helpers */

/* Under the mutex. */
static gboolean
is_called (const ShmkvPool *pool)
{
  return pool->n_calls > 0 || !pool->has_leader;
}

/* Sleeps until called, perhaps to lead, or until it is to stop: then FALSE. */
static gboolean
sleep_until_called (Worker *worker)
{
  ShmkvPool *pool = worker->pool;
  gboolean goes_on = TRUE;

  g_mutex_lock (&pool->mutex);
  pool->n_idle++;
  pool->n_awake--;
  shmkv_reader_rest (worker->executor.reader);
  while (!is_called (pool) && pool->n_to_stop == 0 && !is_quitting (pool))
    g_cond_wait (&pool->called, &pool->mutex);
  shmkv_reader_resume (worker->executor.reader);
  pool->n_idle--;
  pool->n_awake++;

  if (is_quitting (pool))
    goes_on = FALSE;
  else if (!pool->has_leader)
    /* First of all: whoever had the lead waits for nobody. */
    worker->leads = pool->has_leader = TRUE;
  else if (pool->n_to_stop > 0)
    {
      pool->n_to_stop--;
      goes_on = FALSE;
    }
  else
    pool->n_calls--;
  pool->n_calls = MIN (pool->n_calls, pool->n_idle);
  g_mutex_unlock (&pool->mutex);
  return goes_on;
}

/* Also one that never runs out of work is to hear that it shall stop. */
static gboolean
may_go_on (ShmkvPool *pool)
{
  /* relaxed: sleep_until_called() looks again */
  return atomic_load_explicit (&pool->n_to_stop, memory_order_relaxed) == 0 && !is_quitting (pool);
}

/* Also by one that does not lead any more: what it did last may have made work
 * where nobody else looks. */
static void
serve_until_idle (Worker *worker)
{
  for (guint idle = 0; idle < IDLE_ROUNDS && may_go_on (worker->pool); idle++)
    if (serve (worker).served > 0 || shmkv_lanes_any_ripe (worker->pool->lanes))
      idle = 0;
}

/* Before it stops: it may have had no time for what it has just made.  Another
 * worker may hold such a lane, and have looked before. */
static void
serve_ripe (Worker *worker)
{
  while (shmkv_lanes_any_ripe (worker->pool->lanes) && !is_quitting (worker->pool))
    serve (worker);
}

/* Until it is to stop: then FALSE; or to lead. */
static gboolean
help (Worker *worker)
{
  while (sleep_until_called (worker))
    {
      if (worker->leads)
        return TRUE;
      serve_until_idle (worker);
    }
  return FALSE;
}

/* ------------------------------------------------------------------ threads */

/* If nobody leads. */
static void
take_lead (Worker *worker)
{
  ShmkvPool *pool = worker->pool;

  g_mutex_lock (&pool->mutex);
  worker->leads = !pool->has_leader;
  pool->has_leader = TRUE;
  g_mutex_unlock (&pool->mutex);
}

static void
worker_free (Worker *worker)
{
  shmkv_executor_clear (&worker->executor);
  free (worker);
}

static void
retire (Worker *worker)
{
  ShmkvPool *pool = worker->pool;

  SHMKV_CRASH_POINT ("worker-ends");
  /* Before anybody hears that we are gone, who may then free the table. */
  shmkv_executor_clear (&worker->executor);
  g_mutex_lock (&pool->mutex);
  for (guint i = 0; i < SHMKV_N_COUNTERS; i++)
    /* relaxed: our own */
    shmkv_count (&pool->ended_counters, i,
                 atomic_load_explicit (&worker->counters.values[i], memory_order_relaxed));
  g_ptr_array_remove_fast (pool->workers, worker);
  pool->n_awake--;
  pool->n_threads--;
  g_cond_signal (&pool->ended);
  g_mutex_unlock (&pool->mutex);
  worker_free (worker);
}

static gpointer
run (gpointer data)
{
  Worker *worker = data;

  SHMKV_CRASH_POINT ("worker-begins");
  take_lead (worker);
  do
    if (worker->leads)
      {
        lead (worker);
        serve_until_idle (worker);
      }
  while (help (worker));
  serve_ripe (worker);
  retire (worker);
  return NULL;
}

static Worker *
worker_new (ShmkvPool *pool)
{
  Worker *worker = aligned_alloc (SHMKV_WIRE_ALIGN, sizeof (Worker));

  if (worker == NULL)
    return NULL;
  *worker = (Worker) { .pool = pool };
  if (!shmkv_executor_init (&worker->executor, pool->server, pool->table, &worker->counters))
    {
      free (worker);
      return NULL;
    }
  worker->executor.before_slow = hand_on_lead;
  worker->executor.before_slow_data = worker;
  return worker;
}

/* Under the mutex, which the new thread waits for. */
static gboolean
start_thread (ShmkvPool *pool)
{
  Worker *worker = worker_new (pool);
  GThread *thread;

  if (worker == NULL)
    return FALSE;
  thread = g_thread_try_new ("worker", run, worker, NULL);
  if (thread == NULL)
    {
      worker_free (worker);
      return FALSE;
    }
  g_thread_unref (thread);
  g_ptr_array_add (pool->workers, worker);
  pool->n_threads++;
  pool->n_awake++;
  return TRUE;
}

/* Under the mutex. */
static void
tell_to_stop (ShmkvPool *pool, guint n)
{
  pool->n_to_stop += n;
  g_cond_broadcast (&pool->called);
}

static ShmkvPoolResult
start_threads (ShmkvPool *pool, guint n)
{
  for (guint started = 0; started < n; started++)
    if (!start_thread (pool))
      {
        tell_to_stop (pool, started);
        return SHMKV_POOL_NO_THREADS;
      }
  pool->n_workers += n;
  return SHMKV_POOL_DONE;
}

ShmkvPoolResult
shmkv_pool_start_workers (ShmkvPool *pool, guint64 n, guint *n_workers_out)
{
  ShmkvPoolResult result = SHMKV_POOL_TOO_MANY;

  g_mutex_lock (&pool->mutex);
  if (n > 0 && n <= pool->options.max_workers - pool->n_workers)
    result = start_threads (pool, (guint) n);
  *n_workers_out = pool->n_workers;
  g_mutex_unlock (&pool->mutex);
  return result;
}

ShmkvPoolResult
shmkv_pool_stop_worker (ShmkvPool *pool, guint *n_workers_out)
{
  ShmkvPoolResult result = SHMKV_POOL_LAST_WORKER;

  g_mutex_lock (&pool->mutex);
  if (pool->n_workers > 1)
    {
      pool->n_workers--;
      tell_to_stop (pool, 1);
      result = SHMKV_POOL_DONE;
    }
  *n_workers_out = pool->n_workers;
  g_mutex_unlock (&pool->mutex);
  return result;
}

guint
shmkv_pool_get_n_workers (ShmkvPool *pool)
{
  guint n_workers;

  g_mutex_lock (&pool->mutex);
  n_workers = pool->n_workers;
  g_mutex_unlock (&pool->mutex);
  return n_workers;
}

void
shmkv_pool_add_counters (ShmkvPool *pool, guint64 sum[SHMKV_N_COUNTERS])
{
  g_mutex_lock (&pool->mutex);
  shmkv_counters_add (sum, &pool->ended_counters);
  for (guint i = 0; i < pool->workers->len; i++)
    shmkv_counters_add (sum, &((Worker *) g_ptr_array_index (pool->workers, i))->counters);
  g_mutex_unlock (&pool->mutex);
}

/* -------------------------------------------------------------------- pool */

ShmkvPool *
shmkv_pool_new (const ShmkvPoolOptions *options, ShmkvServer *server, ShmkvTable *table,
                ShmkvLanes *lanes, const ShmkvSegment *segment)
{
  ShmkvPool *pool = aligned_alloc (SHMKV_WIRE_ALIGN, sizeof (ShmkvPool));

  if (pool == NULL)
    return NULL;
  *pool = (ShmkvPool) {
    .options = *options,
    .server = server,
    .table = table,
    .lanes = lanes,
    .segment = segment,
    .workers = g_ptr_array_new (),
  };
  g_mutex_init (&pool->mutex);
  g_cond_init (&pool->called);
  g_cond_init (&pool->ended);
  return pool;
}

void
shmkv_pool_stop (ShmkvPool *pool)
{
  const _Atomic uint32_t *doorbell = &shmkv_segment_requests_header (pool->segment)->doorbell;

  g_mutex_lock (&pool->mutex);
  /* relaxed: the mutex orders it for helpers; the leader looks again and again */
  atomic_store_explicit (&pool->quit, TRUE, memory_order_relaxed);
  g_cond_broadcast (&pool->called);
  while (pool->n_threads > 0)
    {
      shmkv_futex_wake (doorbell, G_MAXINT);
      g_cond_wait_until (&pool->ended, &pool->mutex, g_get_monotonic_time () + STOP_STEP_US);
    }
  g_mutex_unlock (&pool->mutex);
}

void
shmkv_pool_free (ShmkvPool *pool)
{
  g_ptr_array_unref (pool->workers);
  g_cond_clear (&pool->called);
  g_cond_clear (&pool->ended);
  g_mutex_clear (&pool->mutex);
  free (pool);
}
