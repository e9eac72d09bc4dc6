/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A server that sleeps whenever it may, and clients that wake it: src/transport/wait.h
 * in this direction, with no time-outs to hide what goes wrong.
 *
 * To hold: where nothing goes on any more, everything that was published is served.
 *
 * Bugs that are to be found:
 *
 *   NO_BELL_FENCE     in shmkv_session_wake_server()
 *   NO_DOZE_FENCE     in doze()
 *   NO_DOZE_RECHECK   doze() does not look once more
 *   LATE_RUNG         doze() loads the doorbell after it has looked once more
 *   NO_COUNT          the client wakes, but does not count the doorbell
 *   WAKE_FIRST        the client wakes before it counts the doorbell */

#define REQUESTS 2                  /* of each client */

#define TAIL 0                      /* of client 0; client 1 has the next word */
#define SERVER_ASLEEP 2
#define DOORBELL 3
#define N_WORDS 4

#define SERVER 2
#define N_CPUS 3

#include "memory.h"

memory_of_3 ()

/* ------------------------------------------------------------------- client */

#ifdef NO_BELL_FENCE
#define bell_fence() skip
#else
#define bell_fence() fence (_pid - 1)
#endif

/* The release of the addition keeps what was stored before in front of it. */
#define count_ring(cpu) d_step { is_drained (cpu) -> words[DOORBELL]++ }

inline ring (cpu)
{
#if defined NO_COUNT
  futex_wake (cpu, DOORBELL)
#elif defined WAKE_FIRST
  futex_wake (cpu, DOORBELL);
  count_ring (cpu)
#else
  count_ring (cpu);
  futex_wake (cpu, DOORBELL)
#endif
}

#define me (_pid - 1)

/* shmkv_session_publish() and shmkv_session_wake_server() */
active [2] proctype Client ()
{
  byte tail, asleep;

  do
  :: tail == REQUESTS -> break
  :: else ->
     tail++;
     store_release (me, TAIL + me, tail);
     bell_fence ();
     load (me, SERVER_ASLEEP, asleep);
     if
     :: asleep -> ring (me)
     :: else
     fi;
     asleep = 0
  od
}

/* ------------------------------------------------------------------- server */

byte head[2];

/* shmkv_lanes_serve() */
inline serve ()
{
  served = 0;
  load (SERVER, TAIL, tail);
  d_step { if :: tail != head[0] -> served = 1; head[0] = tail :: else fi; tail = 0 }
  load (SERVER, TAIL + 1, tail);
  d_step { if :: tail != head[1] -> served = 1; head[1] = tail :: else fi; tail = 0 }
}

#ifdef NO_DOZE_FENCE
#define doze_fence() skip
#else
#define doze_fence() fence (SERVER)
#endif

/* lead() and doze(), which are the same but for what is done before and after they
 * serve. */
active proctype Server ()
{
  byte rung, tail;
  bit dozes, served;

  do
  :: if
     :: dozes ->
        store_relaxed (SERVER, SERVER_ASLEEP, 1);
        doze_fence ();
        load (SERVER, DOORBELL, rung)
     :: else
     fi;
#ifdef NO_DOZE_RECHECK
     if :: !dozes -> serve () :: else -> served = 0 fi;
#else
     serve ();
#endif
     if
     :: !dozes -> dozes = !served
     :: else ->
        if
        :: !served ->
#ifdef LATE_RUNG
           load (SERVER, DOORBELL, rung);
#endif
           atomic { if :: words[DOORBELL] == rung -> asleep_on[SERVER] = DOORBELL + 1 :: else fi };
end_asleep:
           asleep_on[SERVER] == 0
        :: else
        fi;
        store_relaxed (SERVER, SERVER_ASLEEP, 0);
        d_step { dozes = 0; rung = 0; served = 0 }
     fi
  od
}

active proctype Monitor ()
{
  timeout -> assert (head[0] == REQUESTS && head[1] == REQUESTS)
}
