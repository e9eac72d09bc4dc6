/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sleeping, waking, and how long it pays to spin. */

#include "config.h"

#include "transport/cpus.h"
#include "transport/wait.h"
#include "util.h"

#include <sched.h>

#define NS_PER_MS INT64_C (1000000)
#define NS_PER_S INT64_C (1000000000)

/* Longer than any test may take, and shorter than what it waits with. */
#define SOON_NS (20 * NS_PER_S)
#define LONG_NS (60 * NS_PER_S)

/* What the spinner's budget falls to at most; see transport/wait.c. */
#define LEAST_NS 2000

/* -------------------------------------------------------------------- futex */

static void
test_mismatch (void)
{
  _Atomic uint32_t word = 1;
  int64_t start = shmkv_now_ns ();

  shmkv_futex_wait (&word, 0, LONG_NS);
  shmkv_futex_wait (&word, UINT32_MAX, LONG_NS);
  g_assert_cmpint (shmkv_now_ns () - start, <, SOON_NS);
}

/* Sleeps, instead of coming back at once again and again. */
static void
test_timeout (void)
{
  _Atomic uint32_t word = 7;
  int64_t start = shmkv_now_ns ();
  guint n = 0;

  do
    {
      shmkv_futex_wait (&word, 7, 50 * NS_PER_MS);
      n++;
    }
  while (shmkv_now_ns () - start < 50 * NS_PER_MS);
  g_assert_cmpuint (n, <, 50);
  g_assert_cmpint (shmkv_now_ns () - start, <, SOON_NS);
}

/* Also where it has more than a second. */
static void
test_timeout_seconds (void)
{
  _Atomic uint32_t word = 7;
  int64_t start = shmkv_now_ns ();
  guint n = 0;

  do
    {
      shmkv_futex_wait (&word, 7, 1100 * NS_PER_MS);
      n++;
    }
  while (shmkv_now_ns () - start < 1100 * NS_PER_MS);
  g_assert_cmpuint (n, <, 50);
  g_assert_cmpint (shmkv_now_ns () - start, <, SOON_NS);
}

#define N_SLEEPERS 8

typedef struct
{
  _Atomic uint32_t word;
  _Atomic uint32_t n_back;
} Bed;

static gpointer
sleep_once (gpointer data)
{
  Bed *bed = data;

  shmkv_futex_wait (&bed->word, 0, LONG_NS);
  atomic_fetch_add (&bed->n_back, 1);
  return NULL;
}

/* The word stays as it is, so that nothing but the wake-up ends the sleep.  A
 * thread may fall asleep after a wake-up: there is another one soon. */
static void
check_wake (guint n_sleepers, int n_at_once)
{
  Bed bed = { 0, 0 };
  GThread *threads[N_SLEEPERS];
  int64_t start = shmkv_now_ns ();

  for (guint i = 0; i < n_sleepers; i++)
    threads[i] = g_thread_new ("sleeper", sleep_once, &bed);
  while (atomic_load (&bed.n_back) < n_sleepers && shmkv_now_ns () - start < LONG_NS)
    {
      shmkv_futex_wake (&bed.word, n_at_once);
      g_thread_yield ();
    }
  for (guint i = 0; i < n_sleepers; i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (shmkv_now_ns () - start, <, SOON_NS);
}

static void
test_wake (void)
{
  for (guint i = 0; i < UTIL_N (200); i++)
    check_wake (1, 1);
  check_wake (N_SLEEPERS, 1);
  check_wake (N_SLEEPERS, INT_MAX);
}

typedef struct
{
  _Atomic uint32_t ball;
  guint n;
} Game;

/* Adds one to the ball whenever it is odd. */
static gpointer
play (gpointer data)
{
  Game *game = data;

  for (guint i = 0; i < game->n; i++)
    {
      uint32_t ball;

      while ((ball = atomic_load (&game->ball)) % 2 == 0)
        shmkv_futex_wait (&game->ball, ball, LONG_NS);
      atomic_store (&game->ball, ball + 1);
      shmkv_futex_wake (&game->ball, 1);
    }
  return NULL;
}

/* No wake-up is lost between the look at the word and the sleep. */
static void
test_ping_pong (void)
{
  Game game = { 0, UTIL_N (20000) };
  int64_t start = shmkv_now_ns ();
  GThread *thread = g_thread_new ("player", play, &game);

  for (guint i = 0; i < game.n; i++)
    {
      uint32_t ball = 2 * i + 1;

      atomic_store (&game.ball, ball);
      shmkv_futex_wake (&game.ball, 1);
      while (atomic_load (&game.ball) == ball)
        shmkv_futex_wait (&game.ball, ball, LONG_NS);
    }
  g_thread_join (thread);
  g_assert_cmpint (shmkv_now_ns () - start, <, LONG_NS);
}

static void
test_now (void)
{
  int64_t before = g_get_monotonic_time (), now = shmkv_now_ns (), after = g_get_monotonic_time ();

  g_assert_cmpint (now / 1000, >=, before);
  g_assert_cmpint (now / 1000, <=, after);
}

/* ----------------------------------------------------------------- spinning */

/* Spins until it is time to sleep. */
static int64_t
spin_out (ShmkvSpinner *spinner)
{
  ShmkvSpin spin = shmkv_spin_begin (spinner);
  int64_t start = shmkv_now_ns ();

  while (shmkv_spin_again (&spin))
    ;
  return shmkv_now_ns () - start;
}

static void
pay (ShmkvSpinner *spinner)
{
  ShmkvSpin spin = shmkv_spin_begin (spinner);

  shmkv_spin_paid (&spin);
}

static void
test_never (void)
{
  ShmkvSpinner spinner;
  ShmkvSpin spin;

  shmkv_spinner_init (&spinner, 0);
  for (guint i = 0; i < 1000; i++)
    {
      spin = shmkv_spin_begin (&spinner);
      g_assert_false (shmkv_spin_again (&spin));
      g_assert_cmpint (spinner.budget_ns, ==, 0);
      shmkv_spin_paid (&spin);
      g_assert_cmpint (spinner.budget_ns, ==, 0);
    }
  /* Also for somebody who goes on asking. */
  spin = shmkv_spin_begin (&spinner);
  for (guint i = 0; i < 1000; i++)
    g_assert_false (shmkv_spin_again (&spin));
  g_assert_cmpint (spinner.budget_ns, ==, 0);
}

/* Halves whenever it did not pay, down to a little. */
static void
test_shrink (void)
{
  ShmkvSpinner spinner;
  int64_t budget = 1 * NS_PER_MS;

  shmkv_spinner_init (&spinner, budget);
  g_assert_cmpint (spinner.budget_ns, ==, budget);
  while (budget > LEAST_NS)
    {
      spin_out (&spinner);
      budget = MAX (budget / 2, LEAST_NS);
      g_assert_cmpint (spinner.budget_ns, ==, budget);
    }
  spin_out (&spinner);
  g_assert_cmpint (spinner.budget_ns, ==, LEAST_NS);
}

/* Grows whenever it did, up to the limit. */
static void
test_grow (void)
{
  ShmkvSpinner spinner;
  guint n = 0;

  shmkv_spinner_init (&spinner, 1 * NS_PER_MS);
  while (spinner.budget_ns > LEAST_NS)
    spin_out (&spinner);
  while (spinner.budget_ns < spinner.limit_ns)
    {
      int64_t before = spinner.budget_ns;

      pay (&spinner);
      g_assert_cmpint (spinner.budget_ns, >, before);
      g_assert_cmpint (spinner.budget_ns, <=, spinner.limit_ns);
      g_assert_cmpuint (++n, <, 100);
    }
  pay (&spinner);
  g_assert_cmpint (spinner.budget_ns, ==, spinner.limit_ns);
}

/* Whatever the limit and whatever happens, the budget stays below it. */
static void
test_limit (void)
{
  static const int64_t limits[] = { 1, 500, 1000, 1999, 2000, 2001, 3000, 50000 };

  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    {
      ShmkvSpinner spinner;

      shmkv_spinner_init (&spinner, limits[i]);
      for (guint k = 0; k < 100; k++)
        {
          if (g_test_rand_bit ())
            spin_out (&spinner);
          else
            pay (&spinner);
          g_assert_cmpint (spinner.budget_ns, >, 0);
          g_assert_cmpint (spinner.budget_ns, <=, limits[i]);
        }
    }
}

/* A bout takes what it may, unless something takes the CPU away: not always. */
static void
test_duration (void)
{
  int64_t limit = 100000, shortest = INT64_MAX, longest = 0;

  for (guint i = 0; i < 1000 && (longest < limit || shortest > 10 * limit); i++)
    {
      ShmkvSpinner spinner;
      int64_t duration;

      shmkv_spinner_init (&spinner, limit);
      duration = spin_out (&spinner);
      shortest = MIN (shortest, duration);
      longest = MAX (longest, duration);
    }
  g_assert_cmpint (longest, >=, limit);
  g_assert_cmpint (shortest, <, 10 * limit);
}

/* Who was not running for a while does not go on spinning. */
static void
test_preempted (void)
{
  ShmkvSpinner spinner;
  ShmkvSpin spin;
  int64_t resumed;

  shmkv_spinner_init (&spinner, LONG_NS);
  spin = shmkv_spin_begin (&spinner);
  g_assert_true (shmkv_spin_look (&spin));
  resumed = shmkv_now_ns () + NS_PER_MS;
  while (shmkv_now_ns () < resumed)
    ;
  g_assert_false (shmkv_spin_look (&spin));
  g_assert_cmpint (spinner.budget_ns, ==, LONG_NS / 2);
}

/* --------------------------------------------------------------------- CPUs */

static void
test_cpus (void)
{
  cpu_set_t all, one;
  int first = 0;

  if (sched_getaffinity (0, sizeof all, &all) != 0)
    {
      g_test_skip ("this machine has more CPUs than fit a cpu_set_t");
      return;
    }
  g_assert_cmpuint (shmkv_cpus_allowed (), >=, 1);
  g_assert_cmpuint (shmkv_cpus_allowed (), <=, CPU_COUNT (&all));

  while (!CPU_ISSET (first, &all))
    first++;
  CPU_ZERO (&one);
  CPU_SET (first, &one);
  g_assert_cmpint (sched_setaffinity (0, sizeof one, &one), ==, 0);
  g_assert_cmpuint (shmkv_cpus_allowed (), ==, 1);
  g_assert_cmpint (sched_setaffinity (0, sizeof all, &all), ==, 0);
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/wait/futex/mismatch", test_mismatch);
  g_test_add_func ("/wait/futex/timeout", test_timeout);
  g_test_add_func ("/wait/futex/timeout-seconds", test_timeout_seconds);
  g_test_add_func ("/wait/futex/wake", test_wake);
  g_test_add_func ("/wait/futex/ping-pong", test_ping_pong);
  g_test_add_func ("/wait/now", test_now);
  g_test_add_func ("/wait/spin/never", test_never);
  g_test_add_func ("/wait/spin/shrink", test_shrink);
  g_test_add_func ("/wait/spin/grow", test_grow);
  g_test_add_func ("/wait/spin/limit", test_limit);
  g_test_add_func ("/wait/spin/duration", test_duration);
  g_test_add_func ("/wait/spin/preempted", test_preempted);
  g_test_add_func ("/wait/cpus", test_cpus);
  return util_run ();
}
