/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "transport/wait.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C (1000000000)

/* 64 looks take about a microsecond.  Where they took this long, the thread
 * was not running. */
#define PREEMPTED_NS INT64_C (20000)

/* The budget never falls lower than this; a brief bout lasts no longer. */
#define LEAST_BUDGET_NS INT64_C (2000)

/* After so many bouts that did not pay, one is as long as it may be. */
#define PROBE_INTERVAL 64

bool
shmkv_futex_wait (const _Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
  struct timespec timeout = { .tv_sec = timeout_ns / NS_PER_S, .tv_nsec = timeout_ns % NS_PER_S };

  return syscall (SYS_futex, word, FUTEX_WAIT, expected, &timeout, NULL, 0) == 0
         || errno != ETIMEDOUT;
}

void
shmkv_futex_wake (const _Atomic uint32_t *word, int n)
{
  syscall (SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

int64_t
shmkv_now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void
shmkv_spinner_init (ShmkvSpinner *spinner, int64_t limit_ns)
{
  *spinner = (ShmkvSpinner) { .limit_ns = limit_ns, .budget_ns = limit_ns };
}

static int64_t
least (int64_t a, int64_t b)
{
  return a < b ? a : b;
}

static bool
give_up (ShmkvSpin *spin)
{
  ShmkvSpinner *spinner = spin->spinner;
  int64_t floor_ns = least (LEAST_BUDGET_NS, spinner->limit_ns);

  if (spin->brief)
    return false;
  spinner->failures++;
  spinner->budget_ns /= 2;
  if (spinner->budget_ns < floor_ns)
    spinner->budget_ns = floor_ns;
  return false;
}

/* How long this bout may last. */
static int64_t
allowance (const ShmkvSpin *spin)
{
  const ShmkvSpinner *spinner = spin->spinner;

  if (spin->brief)
    return least (LEAST_BUDGET_NS, spinner->limit_ns);
  return spinner->failures % PROBE_INTERVAL == PROBE_INTERVAL - 1 ? spinner->limit_ns
                                                                 : spinner->budget_ns;
}

bool
shmkv_spin_look (ShmkvSpin *spin)
{
  int64_t now = shmkv_now_ns ();

  if (spin->seen_ns == 0)
    spin->deadline_ns = now + allowance (spin);
  else if (now - spin->seen_ns > PREEMPTED_NS)
    return give_up (spin);
  if (now >= spin->deadline_ns)
    return give_up (spin);
  spin->seen_ns = now;
  return true;
}

void
shmkv_spin_paid (ShmkvSpin *spin)
{
  ShmkvSpinner *spinner = spin->spinner;

  if (spin->brief)
    return;
  spinner->failures = 0;
  spinner->budget_ns = least (spinner->budget_ns * 2, spinner->limit_ns);
}
