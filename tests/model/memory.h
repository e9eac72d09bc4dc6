/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory as CPUs have it, for the models in this directory.  Spin's own memory is
 * sequentially consistent: each store is seen by all at once.  With that, no missing
 * fence would ever be found.
 *
 * Each CPU has a buffer of its stores.  It sees them itself at once; the others see
 * one when it drains to memory, which happens at any time, and in any order with two
 * exceptions: stores to the same word keep theirs, and a release store drains after
 * all that were stored before it.  So a load overtakes earlier stores, as on x86
 * (TSO), and stores overtake each other, as on arm64.  A full fence waits until the
 * buffer is empty.
 *
 * A load takes what is in memory when its turn comes.  That on arm64 loads overtake
 * each other is not in here, but for ring.pml, which has it for the one place where
 * much depends on it: a record is not read before the position that shows it.
 * Elsewhere an acquire is taken for granted.
 *
 * What is atomic and both loads and stores works on memory directly.  It is never
 * in the buffer, so it keeps nothing back that follows it; that is as on x86, and a
 * little stronger than on arm64.
 *
 * A model says how many words and CPUs it has, N_WORDS and N_CPUS, before it
 * includes this, and lets memory work: memory_of_...() below. */

#define DEPTH 3

typedef Buffer
{
  byte n;
  byte word[DEPTH];
  byte value[DEPTH];
  bit release[DEPTH];
}

byte words[N_WORDS];
Buffer buffer[N_CPUS];

inline put (cpu, w, v, is_release)
{
  d_step
  {
    buffer[cpu].n < DEPTH ->
    buffer[cpu].word[buffer[cpu].n] = w;
    buffer[cpu].value[buffer[cpu].n] = v;
    buffer[cpu].release[buffer[cpu].n] = is_release;
    buffer[cpu].n++
  }
}

/* atomic_store_explicit() */
#define store_relaxed(cpu, w, v) put (cpu, w, v, 0)
#define store_release(cpu, w, v) put (cpu, w, v, 1)

/* atomic_load_explicit() */
inline load (cpu, w, result)
{
  d_step
  {
    result = words[w];
    if :: buffer[cpu].n > 0 && buffer[cpu].word[0] == w -> result = buffer[cpu].value[0] :: else fi;
    if :: buffer[cpu].n > 1 && buffer[cpu].word[1] == w -> result = buffer[cpu].value[1] :: else fi;
    if :: buffer[cpu].n > 2 && buffer[cpu].word[2] == w -> result = buffer[cpu].value[2] :: else fi
  }
}

#define is_drained(cpu) (buffer[cpu].n == 0)

/* atomic_thread_fence (memory_order_seq_cst) */
#define fence(cpu) is_drained (cpu)

/* No store of this CPU to this word is on its way. */
#define is_settled(cpu, w) \
  (!(buffer[cpu].n > 0 && buffer[cpu].word[0] == w) \
   && !(buffer[cpu].n > 1 && buffer[cpu].word[1] == w) \
   && !(buffer[cpu].n > 2 && buffer[cpu].word[2] == w))

/* ------------------------------------------------------------------ draining */

#define may_drain_0(cpu) (buffer[cpu].n > 0)
#define may_drain_1(cpu) \
  (buffer[cpu].n > 1 && !buffer[cpu].release[1] && buffer[cpu].word[1] != buffer[cpu].word[0])
#define may_drain_2(cpu) \
  (buffer[cpu].n > 2 && !buffer[cpu].release[2] && buffer[cpu].word[2] != buffer[cpu].word[0] \
   && buffer[cpu].word[2] != buffer[cpu].word[1])

inline move_up (cpu, to)
{
  buffer[cpu].word[to] = buffer[cpu].word[to + 1];
  buffer[cpu].value[to] = buffer[cpu].value[to + 1];
  buffer[cpu].release[to] = buffer[cpu].release[to + 1]
}

/* The last place is cleared, so that what is no longer there makes no difference. */
inline drain (cpu, i)
{
  words[buffer[cpu].word[i]] = buffer[cpu].value[i];
  if :: i < 1 -> move_up (cpu, 0) :: else fi;
  if :: i < 2 -> move_up (cpu, 1) :: else fi;
  buffer[cpu].word[2] = 0;
  buffer[cpu].value[2] = 0;
  buffer[cpu].release[2] = 0;
  buffer[cpu].n--
}

#define drain_of(cpu) \
  :: d_step { may_drain_0 (cpu) -> drain (cpu, 0) } \
  :: d_step { may_drain_1 (cpu) -> drain (cpu, 1) } \
  :: d_step { may_drain_2 (cpu) -> drain (cpu, 2) }

#define memory_of_2() \
  active proctype Memory () { end: do drain_of (0) drain_of (1) od }
#define memory_of_3() \
  active proctype Memory () { end: do drain_of (0) drain_of (1) drain_of (2) od }
#define memory_of_4() \
  active proctype Memory () { end: do drain_of (0) drain_of (1) drain_of (2) drain_of (3) od }

/* --------------------------------------------------------------------- futex */

/* The word on which each CPU sleeps, plus 1. */
byte asleep_on[N_CPUS];

/* shmkv_futex_wait(), but without a time-out: what it would hide is to be found.
 * The kernel compares and goes to sleep in one. */
#define futex_sleep(cpu, w, is_expected) \
  atomic { if :: is_expected -> asleep_on[cpu] = w + 1 :: else fi }; \
  asleep_on[cpu] == 0

inline wake_if_on (cpu, w)
{
  if :: asleep_on[cpu] == w + 1 -> asleep_on[cpu] = 0 :: else fi
}

#if N_CPUS == 2
#define wake_all_on(w) wake_if_on (0, w); wake_if_on (1, w)
#elif N_CPUS == 3
#define wake_all_on(w) wake_if_on (0, w); wake_if_on (1, w); wake_if_on (2, w)
#else
#define wake_all_on(w) wake_if_on (0, w); wake_if_on (1, w); wake_if_on (2, w); wake_if_on (3, w)
#endif

/* shmkv_futex_wake(): the kernel has a full fence between what its caller stored
 * and its look for sleepers. */
#define futex_wake(cpu, w) d_step { is_drained (cpu) -> wake_all_on (w) }
