/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a lane gets an owner, and is taken back: src/shmkv/claim.c, and update() and
 * reclaim() in src/server/lanes.c.
 *
 * Two clients want the one lane; each may die, or give up, at any step.  The lane was
 * another's before, who was dropped: his claim is still there, and a record that
 * nobody read.  Who has died, or let go in the midst of it all, may go on to write
 * until the next one has the lane's lock; later he cannot, as the lock goes only when
 * nothing of its holder runs any more.
 *
 * To hold: the server carries out what the session's owner published, in order, once,
 * and nothing else.  No two clients believe that the same session is theirs.  In the
 * end the lane is free, and no client waits.
 *
 * With IMPATIENT, a client may also give up while it waits to be admitted.  Then one
 * thing does not hold: the server may have been about to admit him, admits with the
 * lock of the next one, and then sees that somebody left.  The next one's session ends
 * without his doing; he is told so, but not what was carried out.
 *
 * Bugs that are to be found:
 *
 *   NO_GENERATION     the lane's state does not say how many owners it had
 *   NO_SECOND_LOOK    lock_lane() does not look at the phase again, with the lock
 *   CLAIM_FIRST       the client claims before it takes over the rings
 *   RELAXED_CLAIM     `claim' is stored without release
 *   ARRIVALS_FIRST    `arrivals' is counted before `claim' is stored
 *   RELAXED_STATE     `state' is stored without release
 *   NO_REST           the server frees a lane without what was published in it
 *   NO_LOCK           the server admits, and reclaims, without a look at the lock
 *   NO_REAPER         nobody looks for locks that are gone */

#define RECORDS 1                   /* of each client */
#define RING 2
#define LOOKS 1                     /* of the reaper, at claims */
#define POSITIONS 8                 /* 2^32 there */

#define STATE 0
#define HEAD 1                      /* the server's */
#define CLAIM 2
#define TAIL 3
#define ARRIVALS 4
#define SLOT 5                      /* and the next */
#define N_WORDS 7

#define CLIENTS 2                   /* CPUs 0 and 1 */
#define SERVER 2
#define N_CPUS 3

#include "memory.h"

memory_of_3 ()

#define FREE 1
#define ACTIVE 2
#define PHASE(state) ((state) % 4)
#define GENERATION(state) ((state) / 4)
#ifdef NO_GENERATION
#define LANE_STATE(generation, phase) (4 + phase)
#else
#define LANE_STATE(generation, phase) ((generation) * 4 + phase)
#endif

#define moved(position) ((position + 1) % POSITIONS)
#define TAG(client, number) (8 + (client) * 4 + (number))
#define STRANGER 1

/* Who has the lane's lock, plus 1; the kernel's. */
byte lock;
byte last_lock;                     /* who had it last, plus 1 */

/* What only the properties need. */
byte owner[8];                      /* who believes that a generation is his, plus 1 */
bit believes[CLIENTS], gave_up[CLIENTS];
byte published[CLIENTS], late[CLIENTS], done[CLIENTS];

/* ------------------------------------------------------------------- client */

#define me (_pid - 1)
#define other (1 - me)

#ifdef RELAXED_CLAIM
#define store_claim(v) store_relaxed (me, CLAIM, v)
#else
#define store_claim(v) store_release (me, CLAIM, v)
#endif

#define count_arrival() d_step { is_drained (me) -> words[ARRIVALS]++ }

inline set_claim (v)
{
#ifdef ARRIVALS_FIRST
  count_arrival ();
  store_claim (v)
#else
  store_claim (v);
  count_arrival ()
#endif
}

/* Nobody takes the lock while there is something under way of whoever had it. */
#define take_lock() atomic { lock == 0 && is_drained (other) -> lock = me + 1; last_lock = lock }
#define drop_lock() d_step { is_drained (me) -> lock = 0 }

/* take_over_rings() */
inline take_over ()
{
  load (me, HEAD, tail);
  store_release (me, TAIL, tail)
}

inline may_die () { if :: goto dead :: skip fi }

active [CLIENTS] proctype Client ()
{
  byte state, tail, free_state, number;

find:
  /* lock_lane() */
  PHASE (words[STATE]) == FREE;
  take_lock ();
  load (me, STATE, state);
#ifndef NO_SECOND_LOOK
  if
  :: PHASE (state) != FREE -> drop_lock (); goto find
  :: else
  fi;
#endif
  may_die ();

  /* shmkv_session_claim_lane() */
#ifndef CLAIM_FIRST
  take_over ();
#endif
  load (me, STATE, state);
  free_state = LANE_STATE (GENERATION (state), FREE);
  state = LANE_STATE (GENERATION (state), ACTIVE);
  set_claim (free_state);
#ifdef CLAIM_FIRST
  take_over ();
#endif
  may_die ();
  if
  :: words[STATE] != free_state ->
     if
     :: words[STATE] == state
     :: else -> goto release
     fi
#ifdef IMPATIENT
  :: gave_up[me] = 1; goto release
#endif
  fi;
  d_step
  {
    assert (owner[GENERATION (state)] == 0);
    owner[GENERATION (state)] = me + 1;
    believes[me] = 1;
    free_state = 0
  }

  /* shmkv_session_publish() */
  do
  :: number < RECORDS ->
     may_die ();
     store_relaxed (me, SLOT + tail % RING, TAG (me, number));
     may_die ();
     tail = moved (tail);
     number++;
     store_release (me, TAIL, tail);
     published[me]++
  :: break
  od;
  may_die ();

release:
  /* shmkv_session_release_lane(); it may not wait as long as the server takes. */
  believes[me] = 0;
  set_claim (0);
  if
  :: words[STATE] != state
  :: skip
  fi;

dead:
  skip;
  drop_lock ();

  /* Until somebody else has it; if it ever was ours. */
  if
  :: atomic { lock == 0 && last_lock == me + 1 && believes[me] ->
              words[SLOT + tail % RING] = TAG (me, number); words[TAIL] = moved (tail); late[me]++ }
  :: atomic { lock == 0 && last_lock == me + 1 && believes[me] -> words[CLAIM] = 0 }
  :: skip
  fi;
  believes[me] = 0;
  d_step { state = 0; tail = 0; free_state = 0; number = 0 }
}

/* ------------------------------------------------------------------- server */

/* set_state(), which wakes whoever sleeps on it: a system call, so it has drained. */
#ifdef RELAXED_STATE
#define set_state(v) store_relaxed (SERVER, STATE, v); is_drained (SERVER)
#else
#define set_state(v) store_release (SERVER, STATE, v); is_drained (SERVER)
#endif

#ifdef NO_LOCK
#define is_locked() true
#define is_abandoned() true
#else
#define is_locked() (lock != 0)
#define is_abandoned() (lock == 0)
#endif

/* Carries out one request. */
inline execute ()
{
  load (SERVER, SLOT + head % RING, tag);
  d_step
  {
    tag_owner = owner[GENERATION (state)];
    assert (tag_owner > 0 && tag == TAG (tag_owner - 1, done[tag_owner - 1]));
    done[tag_owner - 1]++;
    head = moved (head);
    tag = 0;
    tag_owner = 0
  }
}

/* shmkv_execute_rest(), then shmkv_lane_free() */
inline dismiss ()
{
#ifndef NO_REST
  load (SERVER, TAIL, tail);
  do
  :: head != tail -> execute ()
  :: else -> break
  od;
#endif
  owner[GENERATION (state)] = 0;
  state = LANE_STATE (GENERATION (state) + 1, FREE);
  store_release (SERVER, HEAD, head);
  set_state (state);
  tail = 0
}

/* update() */
inline follow_claim ()
{
  load (SERVER, CLAIM, claim);
  if
  :: PHASE (state) == FREE && claim == state && is_locked () ->
     state = LANE_STATE (GENERATION (state), ACTIVE);
     set_state (state)
  :: PHASE (state) == ACTIVE && claim != LANE_STATE (GENERATION (state), FREE) -> dismiss ()
  :: else
  fi;
  claim = 0
}

#define claim_changed() \
  (PHASE (state) == ACTIVE && words[CLAIM] != LANE_STATE (GENERATION (state), FREE))

/* Workers and the reaper: one of them at a time. */
active proctype Server ()
{
  byte state = LANE_STATE (1, FREE), head, tail, claim, tag, tag_owner, arrivals, looks;

end:
  do
     /* welcome() */
  :: words[ARRIVALS] != arrivals ->
     load (SERVER, ARRIVALS, arrivals);
     follow_claim ()
     /* shmkv_lane_has_work(), serve_held() */
  :: claim_changed () -> follow_claim ()
  :: PHASE (state) == ACTIVE && words[TAIL] != head ->
     execute ();
     store_release (SERVER, HEAD, head)
     /* shmkv_lanes_reap(): it follows claims too, but nobody is to need that. */
  :: looks < LOOKS -> looks++; follow_claim ()
#ifndef NO_REAPER
     /* reclaim() */
  :: PHASE (state) == ACTIVE && is_abandoned () -> dismiss ()
#endif
  od
}

/* ---------------------------------------------------------- before and after */

/* What the last owner left.  Until then nobody has anything to do. */
init
{
  d_step
  {
    words[CLAIM] = LANE_STATE (0, FREE);
    words[SLOT] = STRANGER;
    words[TAIL] = 1;
    words[STATE] = LANE_STATE (1, FREE)
  }
}

active proctype Monitor ()
{
  timeout ->
  assert (PHASE (words[STATE]) == FREE && lock == 0);
  assert (done[0] <= published[0] + late[0] && done[1] <= published[1] + late[1]);
  assert (done[0] >= published[0] || gave_up[1]);
  assert (done[1] >= published[1] || gave_up[0])
}
