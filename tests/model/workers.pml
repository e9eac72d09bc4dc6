/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The workers of src/server/pool.c: one leads, and sleeps on the doorbell; the others
 * help when called, and one of them is stopped by a request.  There are no time-outs
 * to hide what goes wrong.
 *
 * Lane 0 has one request, of any kind: one that takes long, before which the lead is
 * handed on; one that goes on at the lane's next turn; or one that makes
 * lane 2 ripe, where a Wait is parked.  Lane 1 has the request that stops a worker.
 *
 * To hold: where nothing goes on any more, all of that is done, as many threads are
 * left as there are to be, and one of them leads.
 *
 * Bugs that are to be found:
 *
 *   SLEEP_BESIDE      doze() sleeps though another worker is awake, who is about to
 *                     leave: what he did last may have made work
 *   LATE_LOOK         doze() looks who is awake after it has looked for work
 *   NO_DOZE_RECHECK   doze() does not look once more
 *   STOP_LEADER       the leader stops, too, if it hears of it first
 *   NO_BROADCAST      tell_to_stop() wakes nobody */

#define WORKERS 2

#define TAIL 0                      /* of the requests of lane 0, and 1 */
#define SERVER_ASLEEP 2
#define DOORBELL 3
#define N_WORDS 4

#define CLIENT WORKERS
#define N_CPUS (WORKERS + 1)

#include "memory.h"

memory_of_3 ()

mtype = { SLOW, WALK, RIPEN };
mtype kind;                         /* of the request in lane 0 */

#define RIPE 1
#define UNFINISHED 2

/* ShmkvLane.  What workers tell each other is sequentially consistent here; what they
 * and the client do is not. */
bit held[3];
byte attention[3];
bit done[2];                        /* the position of the requests */
bit walks;                          /* lane 0 */
bit parked = 1;                     /* lane 2 */

/* ShmkvPool; under its mutex, which is never held for more than a step here. */
byte n_idle, n_awake = WORKERS, n_to_stop, n_workers = WORKERS, n_threads = WORKERS, n_calls;
bit has_leader;
bit waits[WORKERS];                 /* on the condition `called' */

/* A mutex orders what was stored before. */
#define LOCKED(cpu) is_drained (cpu)

#define me (_pid - 1)

/* g_cond_signal(): wakes one, whichever. */
inline signal_one ()
{
  if
  :: waits[0] -> waits[0] = 0
  :: waits[1] -> waits[1] = 0
  :: else
  fi
}

inline broadcast ()
{
  waits[0] = 0;
  waits[1] = 0
}

/* ------------------------------------------------------------------- client */

/* shmkv_session_publish() and shmkv_session_wake_server() */
inline publish (lane)
{
  store_release (CLIENT, TAIL + lane, 1);
  fence (CLIENT);
  load (CLIENT, SERVER_ASLEEP, asleep);
  if
  :: asleep ->
     d_step { is_drained (CLIENT) -> words[DOORBELL]++ };
     futex_wake (CLIENT, DOORBELL)
  :: else
  fi;
  asleep = 0
}

/* ----------------------------------------------------------------- requests */

/* hand_on_lead() */
inline hand_on_lead ()
{
  atomic
  {
    if
    :: leads && n_threads > 1 ->
       LOCKED (me);
       leads = 0;
       has_leader = 0;
       signal_one ()
    :: else
    fi
  }
}

/* shmkv_pool_stop_worker() */
inline stop_worker ()
{
  d_step
  {
    LOCKED (me);
    if
    :: n_workers > 1 -> n_workers--; n_to_stop++;
#ifndef NO_BROADCAST
       broadcast ()
#endif
    :: else
    fi
  }
}

inline execute_kind ()
{
  if
  :: kind == SLOW -> hand_on_lead ()
  :: kind == WALK -> atomic { walks = 1; attention[0] = UNFINISHED }
  :: kind == RIPEN -> atomic { if :: parked -> attention[2] = RIPE :: else fi }
  fi
}

/* A turn of a lane that is held: shmkv_lane_begin(), shmkv_execute_batch(). */
inline take_turn (lane)
{
  if
  :: lane == 2 ->
     if
     :: parked -> atomic { parked = 0; attention[2] = 0; served = 1 }
     :: else
     fi
  :: lane == 0 && walks ->
     attention[0] = 0;
     atomic { walks = 0; served = 1 }
  :: lane < 2 && !(lane == 0 && walks) && !done[lane] ->
     if
     :: words[TAIL + lane] ->
        if
        :: lane == 0 -> execute_kind ()
        :: else -> stop_worker ()
        fi;
        atomic { done[lane] = 1; served = 1 }
     :: else
     fi
  :: else
  fi
}

/* shmkv_lane_has_work() */
inline look_at (lane)
{
  work = (attention[lane] != 0);
  if
  :: !work && lane < 2 -> work = (words[TAIL + lane] != done[lane])
  :: else
  fi
}

/* shmkv_lanes_serve() */
inline serve ()
{
  lane = 0; served = 0; waiting = 0;
  do
  :: lane == 3 -> break
  :: else ->
     look_at (lane);
     if
     :: work ->
        waiting = 1;
        if
        :: atomic { !held[lane] -> held[lane] = 1 };
           take_turn (lane);
           held[lane] = 0
        :: held[lane]
        fi
     :: else
     fi;
     atomic { work = 0; lane++ }
  od;
  lane = 0
}

#define any_ripe() (attention[2] != 0)

/* ------------------------------------------------------------------ workers */

/* sleep_until_called() */
inline sleep_until_called ()
{
  atomic { LOCKED (me) -> n_idle++; n_awake-- };
  do
  :: atomic
     {
       n_calls == 0 && has_leader && n_to_stop == 0 ->
       waits[me] = 1
     };
end_waiting:
     !waits[me]
  :: atomic
     {
       !(n_calls == 0 && has_leader && n_to_stop == 0) ->
       n_idle--;
       n_awake++;
       if
       :: !has_leader -> leads = 1; has_leader = 1
       :: has_leader && n_to_stop > 0 -> n_to_stop--; goes_on = 0
       :: has_leader && n_to_stop == 0 -> n_calls--
       fi;
       n_calls = (n_calls < n_idle -> n_calls : n_idle);
       break
     }
  od
}

#if defined SLEEP_BESIDE
#define is_alone() true
#elif defined LATE_LOOK
#define is_alone() (n_awake == 1)
#else
#define is_alone() alone
#endif


/* run() */
active [WORKERS] proctype Worker ()
{
  byte lane, rung;
  bit leads, dozes, alone, served, waiting, work, goes_on = 1;

  kind != 0;
  /* take_lead() */
  d_step { leads = !has_leader; has_leader = 1 }
  do
  :: goes_on && leads ->
     /* lead() */
     store_relaxed (me, SERVER_ASLEEP, 0);
     do
     :: !leads -> break
     :: else ->
        if
        :: dozes ->
           alone = (n_awake == 1);
           store_relaxed (me, SERVER_ASLEEP, 1);
           fence (me);
           load (me, DOORBELL, rung)
        :: else
        fi;
#ifdef NO_DOZE_RECHECK
        if :: !dozes -> serve () :: else -> served = 0; waiting = 0 fi;
#else
        serve ();
#endif
        if
        :: !leads
        :: leads && !dozes ->
           dozes = !served;
           /* call_helper(): whether it pays is not what this is about. */
           if
           :: atomic { LOCKED (me) && served && n_calls < n_idle -> n_calls++; signal_one () }
           :: skip
           fi
        :: leads && dozes ->
           if
           :: !served && !waiting && is_alone () ->
              atomic { if :: words[DOORBELL] == rung -> asleep_on[me] = DOORBELL + 1 :: else fi };
end_asleep:
              asleep_on[me] == 0
           :: else
           fi;
           store_relaxed (me, SERVER_ASLEEP, 0);
           d_step { dozes = 0; rung = 0; alone = 0 }
        fi;
#ifdef STOP_LEADER
        if
        :: d_step { n_to_stop > 0 -> n_to_stop--; leads = 0; goes_on = 0 }
        :: n_to_stop == 0
        fi
#endif
     od;
     atomic { dozes = 0; rung = 0; alone = 0 }
  :: goes_on && !leads ->
     /* serve_until_idle() */
     do
     :: n_to_stop == 0 ->
        serve ();
        if
        :: !served && !any_ripe () -> break
        :: else
        fi
     :: n_to_stop > 0 -> break
     od;
     atomic { served = 0; waiting = 0 };
     sleep_until_called ()
  :: !goes_on -> break
  od;

  /* serve_ripe(), retire() */
  do
  :: any_ripe () -> serve ()
  :: else -> break
  od;
  atomic { LOCKED (me) -> n_awake--; n_threads--; served = 0; waiting = 0 }
}

active proctype Client ()
{
  bit asleep;

  if :: kind = WALK :: kind = RIPEN :: kind = SLOW fi;
  publish (0);
  publish (1)
}

active proctype Monitor ()
{
  timeout ->
  assert (done[0] && done[1] && !walks && (kind != RIPEN || !parked));
  assert (n_threads == n_workers && n_to_stop == 0 && n_threads > 0);
  assert (asleep_on[0] == DOORBELL + 1 || asleep_on[1] == DOORBELL + 1)
}
