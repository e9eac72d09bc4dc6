/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A response in pieces, of which few fit the ring: the lane is stalled, and not looked
 * at until the client takes some.  That is all there is to tell a worker that it has
 * something to do, as the request is done.  In the server there are the leading worker, which sleeps on the
 * doorbell, and the reaper, which may hold the lane at any moment, and serves it, but
 * then goes away.  There are no time-outs to hide what goes wrong.
 *
 * To hold: all pieces are sent and taken.
 *
 * Bugs that are to be found:
 *
 *   NO_STALL_FENCE    in set_stalled()
 *   NO_STALL_RECHECK  set_stalled() does not look at `taken' again
 *   SLEEP_BESIDE      doze() sleeps though somebody else holds a lane with work */

#define PIECES 3
#define ROOM 1                      /* pieces that fit the ring */
#define LOOKS 2                     /* of the reaper */

#define TAKEN 0
#define POSITION 1                  /* pieces produced; with the first, the request is done */
#define SERVER_ASLEEP 2
#define DOORBELL 3
#define HELD 4                      /* from here on: ShmkvLane, in the server's memory */
#define ATTENTION 5
#define STALLED_AT 6
#define N_WORDS 7

#define TAKER 0
#define WORKER 1
#define REAPER 2
#define N_CPUS 3

#include "memory.h"

memory_of_3 ()

/* ------------------------------------------------------------------- client */

/* shmkv_session_take(), by one that never sleeps, and shmkv_session_wake_server() */
active proctype Taker ()
{
  byte head, seen;

  do
  :: head == PIECES -> break
  :: else ->
     words[POSITION] != head;
     load (TAKER, POSITION, seen);
     assert (seen - head <= ROOM);
     head = seen;
     store_release (TAKER, TAKEN, head);
     fence (TAKER);
     load (TAKER, SERVER_ASLEEP, seen);
     if
     :: seen ->
        d_step { is_drained (TAKER) -> words[DOORBELL]++ };
        futex_wake (TAKER, DOORBELL)
     :: else
     fi;
     seen = 0
  od
}

/* ------------------------------------------------------------------- server */

#ifdef NO_STALL_FENCE
#define stall_fence(cpu) skip
#else
#define stall_fence(cpu) fence (cpu)
#endif

/* The bit SHMKV_LANE_STALLED.  Who holds the lane, alone changes it, and relaxed: on
 * arm64 that may be seen as late as any other store. */
#define set_bit(cpu, value) store_relaxed (cpu, ATTENTION, value)

/* ShmkvLane, what only its holder sees: no memory as CPUs have it. */
byte lane_tail, lane_taken, lane_published;

/* set_stalled() */
inline set_stalled (cpu)
{
  store_relaxed (cpu, STALLED_AT, lane_taken);
  set_bit (cpu, 1);
  stall_fence (cpu);
#ifdef NO_STALL_RECHECK
  seen = lane_taken;
#else
  load (cpu, TAKEN, seen);
#endif
  if
  :: seen == lane_taken -> stalled = 1
  :: else -> set_bit (cpu, 0)
  fi
}

/* shmkv_lane_send() */
inline send (cpu)
{
  do
  :: stalled || lane_tail == PIECES -> break
  :: !stalled && lane_tail < PIECES && lane_tail - lane_taken < ROOM -> lane_tail++
  :: else ->
     load (cpu, TAKEN, seen);
     if
     :: seen != lane_taken -> lane_taken = seen
     :: else -> set_stalled (cpu)
     fi
  od;
  stalled = 0
}

/* shmkv_execute_batch() */
inline execute_batch (cpu)
{
  send (cpu);
  if
  :: lane_tail != lane_published ->
     served = 1;
     lane_published = lane_tail;
     store_release (cpu, POSITION, lane_tail)
  :: else
  fi
}

/* shmkv_lane_has_work() */
inline look (cpu)
{
  load (cpu, ATTENTION, seen);
  if
  :: seen ->
     load (cpu, TAKEN, seen);
     load (cpu, STALLED_AT, other);
     waiting = (seen != other)
  :: else ->
     load (cpu, POSITION, seen);
     waiting = (seen == 0)
  fi;
  d_step { seen = 0; other = 0 }
}

/* shmkv_lanes_serve(); shmkv_lane_hold(), shmkv_lane_begin(), shmkv_lane_let_go() */
inline serve (cpu)
{
  d_step { served = 0; waiting = 0 }
  look (cpu);
  if
  :: waiting ->
     d_step { is_settled (cpu, HELD) -> seen = words[HELD]; words[HELD] = 1 };
     if
     :: !seen ->
        load (cpu, ATTENTION, seen);
        if :: seen -> set_bit (cpu, 0) :: else fi;
        execute_batch (cpu);
        store_release (cpu, HELD, 0)
     :: else
     fi
  :: else
  fi;
  seen = 0
}

#ifdef SLEEP_BESIDE
#define may_sleep() (!served)
#else
#define may_sleep() (!served && !waiting)
#endif

/* lead() and doze(); see doorbell.pml. */
active proctype Worker ()
{
  byte rung, seen, other;
  bit dozes, stalled, served, waiting;

  do
  :: if
     :: dozes ->
        store_relaxed (WORKER, SERVER_ASLEEP, 1);
        fence (WORKER);
        load (WORKER, DOORBELL, rung)
     :: else
     fi;
     serve (WORKER);
     if
     :: !dozes -> dozes = !served
     :: else ->
        if
        :: may_sleep () ->
           atomic { if :: words[DOORBELL] == rung -> asleep_on[WORKER] = DOORBELL + 1 :: else fi };
end_asleep:
           asleep_on[WORKER] == 0
        :: else
        fi;
        store_relaxed (WORKER, SERVER_ASLEEP, 0);
        d_step { dozes = 0; rung = 0; waiting = 0; served = 0 }
     fi
  od
}

/* shmkv_server_reap(), where it serves: at any moment, or never. */
active proctype Reaper ()
{
  byte looks, seen, other;
  bit stalled, served, waiting;

  do
  :: looks < LOOKS -> looks++; serve (REAPER)
  :: break
  od
}
