/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client that sleeps whenever it may, and a server that is awake: src/transport/wait.h
 * in this direction, with no time-outs to hide what goes wrong.
 *
 * One thread of the client submits, and sleeps for room; another takes the answers,
 * and sleeps for them.  The server puts off waking them as long as it has more to do.
 *
 * To hold: both threads of the client come to their end.  Where they do not, one
 * sleeps that was to be woken.
 *
 * Bugs that are to be found:
 *
 *   NO_NAP_FENCE      in nap()
 *   NO_WAKE_FENCE     in shmkv_lane_wake()
 *   WAKE_ONCE         the server wakes once for an announcement, not twice
 *   NAP_IS_FLAG       the announcement is 1 while the client naps, not a counter
 *   NO_LATE_WAKE      who puts off waking the client forgets it
 *   ALWAYS_LATER      the server puts it off although it knows of no other request */

#define N 4                         /* requests */
#define REQUESTS 3                  /* that fit the ring */

/* The last request wants no answer. */
#define ANSWERS (N - 1)

#define TAIL 0                      /* of the requests: ShmkvRequestsLane.tail */
#define ROOM_NAP 1
#define RESPONSE_NAP 2
#define POSITIONS 3                 /* both positions of the server, in one word */
#define N_WORDS 4

#define SUBMITTER 0
#define TAKER 1
#define SERVER 2
#define N_CPUS 3

#include "memory.h"

memory_of_3 ()

#define BOTH(head, tail) ((head) * 16 + (tail))
#define HEAD_OF(positions) ((positions) / 16)
#define TAIL_OF(positions) ((positions) % 16)

/* Where a client sleeps: on one half of POSITIONS. */
#define HEAD_FUTEX N_WORDS
#define TAIL_FUTEX (N_WORDS + 1)
#define HALF(futex, positions) (futex == HEAD_FUTEX -> HEAD_OF (positions) : TAIL_OF (positions))

/* ------------------------------------------------------------------- client */

#ifdef NO_NAP_FENCE
#define nap_fence(cpu) skip
#else
#define nap_fence(cpu) fence (cpu)
#endif

#ifdef NAP_IS_FLAG
#define announced(nap) (1 - nap)
#else
#define announced(nap) (nap + 1)
#endif

/* nap(): on the half of POSITIONS of which the caller has seen `position'. */
inline take_nap (cpu, nap_word, futex, position)
{
  nap = announced (nap);
  store_relaxed (cpu, nap_word, nap);
  nap_fence (cpu);
  load (cpu, POSITIONS, seen);
  if
  :: HALF (futex, seen) == position ->
     futex_sleep (cpu, futex, HALF (futex, words[POSITIONS]) == position)
  :: else
  fi;
  nap = announced (nap);
  store_relaxed (cpu, nap_word, nap)
}

/* shmkv_session_wait_for_room() and shmkv_session_publish() */
active proctype Submitter ()
{
  byte tail, head, nap, seen;

  do
  :: tail == N -> break
  :: tail < N && tail - head < REQUESTS ->
     tail++;
     store_release (SUBMITTER, TAIL, tail)
  :: else ->
     load (SUBMITTER, POSITIONS, seen);
     if
     :: HEAD_OF (seen) != head -> head = HEAD_OF (seen)
     :: else -> take_nap (SUBMITTER, ROOM_NAP, HEAD_FUTEX, head)
     fi;
     seen = 0
  od
}

/* shmkv_session_take() */
active proctype Taker ()
{
  byte head, nap, seen;

  do
  :: head == ANSWERS -> break
  :: else ->
     load (TAKER, POSITIONS, seen);
     if
     :: TAIL_OF (seen) != head -> head = TAIL_OF (seen)
     :: else -> take_nap (TAKER, RESPONSE_NAP, TAIL_FUTEX, head)
     fi;
     seen = 0
  od
}

/* ------------------------------------------------------------------- server */

#ifdef NO_WAKE_FENCE
#define wake_fence() skip
#else
#define wake_fence() fence (SERVER)
#endif

#ifdef WAKE_ONCE
#define WAKES 1
#else
#define WAKES 2
#endif

#ifdef ALWAYS_LATER
#define may_wake_later() (news_produced < 2)
#else
#define may_wake_later() (head != tail && news_produced < 2 && news_consumed < 2)
#endif

/* wake() in lane.c. */
inline wake (nap_word, futex, woken_nap, wakes)
{
  load (SERVER, nap_word, nap);
  if
  :: nap % 2 == 0
  :: else ->
     if
     :: nap != woken_nap -> d_step { woken_nap = nap; wakes = 0 }
     :: else
     fi;
     if
     :: wakes == WAKES
     :: else -> wakes++; futex_wake (SERVER, futex)
     fi
  fi;
  nap = 0
}

/* shmkv_execute_batch(), with one request in a batch, again and again; then
 * shmkv_lane_wake(). */
active proctype Server ()
{
  byte head, tail, produced, news_consumed, news_produced, nap;
  byte room_woken_nap, room_wakes, response_woken_nap, response_wakes;

  do
  :: head == N -> break
  :: else ->
     if
     :: head == tail -> words[TAIL] != tail; load (SERVER, TAIL, tail)
     :: else
     fi;
     d_step { head++; news_consumed++ };
     if
     :: head <= ANSWERS -> d_step { produced++; news_produced++ }
     :: else
     fi;
     store_release (SERVER, POSITIONS, BOTH (head, produced));
     if
     :: may_wake_later () ->
#ifdef NO_LATE_WAKE
        d_step { news_consumed = 0; news_produced = 0 }
#else
        skip
#endif
     :: else ->
        wake_fence ();
        if
        :: news_produced > 0 -> wake (RESPONSE_NAP, TAIL_FUTEX, response_woken_nap, response_wakes)
        :: else
        fi;
        if
        :: news_consumed > 0 -> wake (ROOM_NAP, HEAD_FUTEX, room_woken_nap, room_wakes)
        :: else
        fi;
        d_step { news_consumed = 0; news_produced = 0 }
     fi
  od
}
