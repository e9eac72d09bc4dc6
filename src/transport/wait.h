/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for the other side: spin while it pays, then sleep on a futex.
 *
 * The sleeper announces itself in a word of its own region, runs a full fence,
 * and looks once more; the publisher publishes, runs a full fence, and looks
 * for an announcement.  Whatever the order, one of them sees the other: this
 * is Dekker's argument, and both fences are needed on every machine, also on
 * x86, which lets a load overtake an earlier store.  Each side sleeps on a
 * word that the other side writes, so nobody needs write access to a region
 * that is not his.
 *
 * A client announces itself with a counter that is odd while it naps.  The
 * publisher remembers the last value for which it woke, so one announcement
 * costs it at most two system calls, whatever the announcer does afterwards.
 *
 * Every sleep has a time-out (SHMKV_SLICE_NS), after which the sleeper checks
 * whether the other side is alive.  So the worst that a lost or forged wake-up
 * can do is to cost one slice. */

#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A peer's death is noticed within two slices. */
#define SHMKV_SLICE_NS INT64_C (100000000)

/* A worker with nothing to do wakes this often. */
#define SHMKV_IDLE_SLICE_NS INT64_C (250000000)

/* About as long as waking a sleeping thread takes on a virtual machine: to
 * spin for so long never costs more than twice the best choice in hindsight
 * (Karlin et al., "Competitive randomized algorithms for non-uniform
 * problems", 1990, for the deterministic case).  Rather more than less, so
 * that a probe outlasts the peer's awakening; see ShmkvSpinner. */
#define SHMKV_SPIN_DEFAULT_NS INT64_C (100000)

/* Sleeps until woken, at most `timeout_ns`, unless `*word` is not `expected`.
 * May return for no reason at all.  False where the time has passed. */
bool shmkv_futex_wait (const _Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns);

/* Wakes at most `n` sleepers. */
void shmkv_futex_wake (const _Atomic uint32_t *word, int n);

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t shmkv_now_ns (void);

/* Tells the CPU that this is a spin loop. */
static inline void
shmkv_cpu_relax (void)
{
#if defined __x86_64__ || defined __i386__
  __builtin_ia32_pause ();
#elif defined __aarch64__
  __asm__ volatile ("isb" ::: "memory");
#else
  atomic_signal_fence (memory_order_seq_cst);
#endif
}

/* What a waiting thread has learnt about spinning; private to it.
 *
 * The budget doubles when spinning paid, and halves when it did not.  Two
 * threads that have both learnt to sleep would never find out that they could
 * answer each other at once: each finds the other asleep, and the other takes
 * too long to wake.  So every now and then one spins up to the limit all the
 * same; that catches the answer of a peer that had to be woken, and the peer
 * the question that follows at once. */
typedef struct
{
  int64_t limit_ns;     /* never spin longer; 0 never spins */
  int64_t budget_ns;    /* how long it pays at present */
  uint32_t failures;    /* bouts in a row that did not pay */
} ShmkvSpinner;

/* One bout of spinning. */
typedef struct
{
  ShmkvSpinner *spinner;
  bool brief;           /* see shmkv_spin_begin_briefly() */
  int64_t seen_ns;      /* the last look at the clock; 0 before the first */
  int64_t deadline_ns;
  uint32_t polls;
} ShmkvSpin;

/* `limit_ns` 0 never spins. */
void shmkv_spinner_init (ShmkvSpinner *spinner, int64_t limit_ns);

static inline ShmkvSpin
shmkv_spin_begin (ShmkvSpinner *spinner)
{
  return (ShmkvSpin) { .spinner = spinner };
}

/* A bout for a thread whose CPU others wait for, maybe the one that it waits for
 * itself: just long enough for an answer that is under way.  Nothing is learnt
 * from it. */
static inline ShmkvSpin
shmkv_spin_begin_briefly (ShmkvSpinner *spinner)
{
  return (ShmkvSpin) { .spinner = spinner, .brief = true };
}

/* Looks at the clock; see shmkv_spin_again(). */
bool shmkv_spin_look (ShmkvSpin *spin);

/* To be called after each look that found nothing.  False when it is time to
 * sleep: the budget is used up, or this thread lost its CPU meanwhile, which
 * tells that somebody else has better use for it.  The clock is read rarely,
 * so a short wait never pays for it. */
static inline bool
shmkv_spin_again (ShmkvSpin *spin)
{
  if ((++spin->polls & 63) == 0)
    return shmkv_spin_look (spin);
  /* An answer that comes at once is not kept waiting for the end of a pause. */
  if (spin->polls > 64)
    shmkv_cpu_relax ();
  return spin->spinner->budget_ns > 0;
}

/* To be called when the bout ends with what was waited for: more of it. */
void shmkv_spin_paid (ShmkvSpin *spin);
