/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/lanes.h"

#include "server/log-limit.h"
#include "transport/crash.h"
#include "transport/wait.h"

#include <stdlib.h>

/* A turn ends after this many batches, so that no lane waits long for another
 * that never runs dry; after the first, where others have less to do than that, and
 * wait for its end more than for their own. */
#define TURN_BATCHES 4

/* The same, in bytes of requests. */
#define TURN_BYTES (256u << 10)

/* So many lanes are looked at in a round for new claims, and so many claims are
 * followed: whoever counts `arrivals` for nothing, or claims for ever, takes no
 * more than that from those who have a session. */
#define SWEEP_LANES 64
#define SWEEP_CLAIMS 4

/* A few requests. */
#define SMALL_BYTES 128

#define BITS 64

/* A look at all lanes for claims, after `arrivals` has changed.  One worker at a
 * time goes on with it. */
typedef struct
{
  _Atomic gboolean held;
  /* The holder's. */
  uint32_t arrivals;                /* at the beginning */
  guint next;                       /* lane to look at */
  guint left;                       /* lanes; 0: none is under way */
} Sweep;

struct _ShmkvLanes
{
  const ShmkvSegment *segment;
  guint n;
  ShmkvLane *lanes;
  ShmkvWaits *waits;
  ShmkvLogLimit drops_log;
  ShmkvLogLimit reclaims_log;
  _Atomic guint64 last_owner;       /* number of the session that was admitted last */
  const _Atomic uint32_t *arrivals; /* the clients' counter of changed claims */
  _Atomic uint32_t arrivals_seen;   /* those that were followed */
  Sweep sweep;
  _Atomic guint64 active[SHMKV_WIRE_MAX_SESSIONS / BITS]; /* a bit per lane; set and cleared by
                                                           * its holder */
};

ShmkvLanes *
shmkv_lanes_new (const ShmkvSegment *segment, ShmkvTable *table)
{
  ShmkvLanes *lanes = g_new0 (ShmkvLanes, 1);

  lanes->lanes = aligned_alloc (SHMKV_WIRE_ALIGN, segment->geometry.sessions * sizeof (ShmkvLane));
  if (lanes->lanes == NULL)
    {
      g_free (lanes);
      return NULL;
    }
  lanes->segment = segment;
  lanes->n = segment->geometry.sessions;
  lanes->arrivals = &shmkv_segment_requests_header (segment)->arrivals;
  lanes->waits = shmkv_waits_new (table);
  for (guint i = 0; i < lanes->n; i++)
    shmkv_lane_init (&lanes->lanes[i], segment, lanes->waits, i);
  return lanes;
}

void
shmkv_lanes_free (ShmkvLanes *lanes)
{
  for (guint i = 0; i < lanes->n; i++)
    shmkv_lane_clear (&lanes->lanes[i]);
  shmkv_waits_free (lanes->waits);
  shmkv_log_limit_clear (&lanes->drops_log);
  shmkv_log_limit_clear (&lanes->reclaims_log);
  free (lanes->lanes);
  g_free (lanes);
}

/* ------------------------------------------------------- coming and going */

static void
set_active (ShmkvLanes *lanes, const ShmkvLane *lane, gboolean active)
{
  guint64 bit = G_GUINT64_CONSTANT (1) << lane->index % BITS;

  /* relaxed: a hint where to look; the lane's turn orders what is found */
  if (active)
    atomic_fetch_or_explicit (&lanes->active[lane->index / BITS], bit, memory_order_relaxed);
  else
    atomic_fetch_and_explicit (&lanes->active[lane->index / BITS], ~bit, memory_order_relaxed);
}

static void
admit (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvLane *lane)
{
  /* A claim without its lock is not worth anything. */
  if (!shmkv_segment_lane_is_locked (lanes->segment, lane->index))
    return;
  SHMKV_CRASH_POINT ("admit-locked");
  /* relaxed: the number alone counts */
  shmkv_owned_init (&lane->owned,
                    atomic_fetch_add_explicit (&lanes->last_owner, 1, memory_order_relaxed) + 1);
  shmkv_lane_activate (lane);
  SHMKV_CRASH_POINT ("admit-activated");
  set_active (lanes, lane, TRUE);
  shmkv_count (executor->counters, SHMKV_COUNTER_SESSIONS_OPENED, 1);
}

/* FALSE where there is more. */
static gboolean
end_step (ShmkvExecutor *executor, ShmkvLane *lane)
{
  if (lane->ending == SHMKV_LANE_ENDING_REST)
    {
      if (!shmkv_execute_rest (executor, lane, lane->rest_begin))
        return FALSE;
      SHMKV_CRASH_POINT ("reset-rest-done");
      lane->ending = SHMKV_LANE_ENDING_OWNED;
    }
  return shmkv_owned_end (&lane->owned, executor->table);
}

/* The next portion of a session's end.  Until the last the lane counts as active,
 * and is one with work. */
static void
go_on_ending (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvLane *lane)
{
  shmkv_lane_begin (lane);
  if (!end_step (executor, lane))
    {
      shmkv_lane_set_unfinished (lane);
      return;
    }
  SHMKV_CRASH_POINT ("reset-owned-done");
  set_active (lanes, lane, FALSE);
  lane->ending = SHMKV_LANE_NOT_ENDING;
  if (!lane->left)
    return;
  lane->left = FALSE;
  shmkv_lane_free (lane);
}

/* What was published is carried out, unless the lane was dropped; and what was to
 * last as long as the session is taken back. */
static void
begin_ending (ShmkvLane *lane)
{
  lane->rest_begin = lane->requests.head;
  lane->ending = shmkv_lane_phase (lane) == SHMKV_WIRE_LANE_ACTIVE ? SHMKV_LANE_ENDING_REST
                                                                   : SHMKV_LANE_ENDING_OWNED;
}

/* The owner left: ends the session, and frees the lane. */
static void
dismiss (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvLane *lane, ShmkvCounter why)
{
  lane->left = TRUE;
  SHMKV_CRASH_POINT ("reset-begin");
  shmkv_count (executor->counters, why, 1);
  if (lane->ending == SHMKV_LANE_NOT_ENDING)
    begin_ending (lane);
  go_on_ending (lanes, executor, lane);
}

/* What happened to a lane, with its number as a field of its own. */
static void
write_log (const ShmkvLane *lane, GLogLevelFlags level, const char *what)
{
  g_autofree char *index = g_strdup_printf ("%u", lane->index);
  /* relaxed: for people */
  guint pid = atomic_load_explicit (&lane->client->client_pid, memory_order_relaxed);
  g_autofree char *client = g_strdup_printf ("%u", pid);

  g_log_structured (G_LOG_DOMAIN, level, "SHMKV_LANE", index, "SHMKV_CLIENT_PID", client, "MESSAGE",
                    "session %s of a client that says it is process %s: %s", index, client, what);
}

/* The same, unless too much of that was logged lately. */
static void
log_lane (const ShmkvLane *lane, ShmkvLogLimit *limit, GLogLevelFlags level, const char *what)
{
  if (shmkv_log_limit_pass (limit, g_get_monotonic_time ()))
    write_log (lane, level, what);
}

/* Why a lane was dropped, in words. */
static const char *
drop_reason (const ShmkvLane *lane)
{
  /* relaxed: we wrote it */
  switch (atomic_load_explicit (&lane->server->dropped, memory_order_relaxed))
    {
    case SHMKV_WIRE_DROP_BAD_INDEX:
      return "dropped, because a position in its rings is impossible";
    case SHMKV_WIRE_DROP_BAD_RECORD:
      return "dropped, because a record with an impossible length is in its ring";
    case SHMKV_WIRE_DROP_BAD_PIECE:
      return "dropped, because a record in its ring does not go on with the one before";
    default:
      return "dropped";
    }
}

/* Follows the claim of a lane that the caller holds.  While a session ends, its
 * claim means nothing. */
static void
update (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvLane *lane)
{
  if (G_UNLIKELY (lane->ending != SHMKV_LANE_NOT_ENDING))
    {
      go_on_ending (lanes, executor, lane);
      return;
    }
  if (G_LIKELY (!shmkv_lane_claim_changed (lane)) || shmkv_segment_is_lost (lanes->segment))
    return;
  if (shmkv_lane_phase (lane) == SHMKV_WIRE_LANE_FREE)
    admit (lanes, executor, lane);
  else
    dismiss (lanes, executor, lane, SHMKV_COUNTER_SESSIONS_CLOSED);
}

/* Whoever held it is gone, or was dropped and has let go; unless that is known. */
static void
reclaim (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvLane *lane)
{
  if (shmkv_lane_phase (lane) == SHMKV_WIRE_LANE_FREE || lane->left
      || shmkv_segment_lane_is_locked (lanes->segment, lane->index))
    return;
  SHMKV_CRASH_POINT ("reap-found");
  log_lane (lane, &lanes->reclaims_log, G_LOG_LEVEL_INFO, "reclaimed, because the client is gone");
  dismiss (lanes, executor, lane, SHMKV_COUNTER_SESSIONS_RECLAIMED);
}

/* ----------------------------------------------------------------- service */

/* Batch after batch, but no more than a turn of them. */
static void
execute_turn (ShmkvExecutor *executor, ShmkvLane *lane, ShmkvRound *round)
{
  guint max = executor->hurries ? 1 : TURN_BATCHES;
  guint32 begin = lane->requests.head;
  ShmkvBatchResult result = shmkv_execute_batch (executor, lane);
  guint n = 1;

  round->served += result != SHMKV_BATCH_NOTHING;
  round->modest += result == SHMKV_BATCH_LAST;
  round->small += result == SHMKV_BATCH_LAST && lane->requests.head - begin <= SMALL_BYTES;
  for (; result == SHMKV_BATCH_MORE && n < max && lane->requests.head - begin < TURN_BYTES
         && shmkv_lane_phase (lane) == SHMKV_WIRE_LANE_ACTIVE;
       n++)
    result = shmkv_execute_batch (executor, lane);
  if (result == SHMKV_BATCH_MORE)
    shmkv_execute_later (executor, lane);
}

/* One turn of a lane that the caller holds. */
static void
serve_held (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvLane *lane, ShmkvRound *round)
{
  update (lanes, executor, lane);
  if (G_UNLIKELY (lane->ending != SHMKV_LANE_NOT_ENDING))
    round->served++;
  if (lane->ending != SHMKV_LANE_NOT_ENDING || shmkv_lane_phase (lane) != SHMKV_WIRE_LANE_ACTIVE)
    return;
  shmkv_lane_begin (lane);
  execute_turn (executor, lane, round);

  if (G_UNLIKELY (shmkv_lane_phase (lane) == SHMKV_WIRE_LANE_DROPPED))
    {
      log_lane (lane, &lanes->drops_log, G_LOG_LEVEL_WARNING, drop_reason (lane));
      shmkv_count (executor->counters, SHMKV_COUNTER_SESSIONS_DROPPED, 1);
      begin_ending (lane);
      go_on_ending (lanes, executor, lane);
    }
}

static void
serve_lane (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvLane *lane, ShmkvRound *round)
{
  if (!shmkv_lane_hold (lane))
    return;
  serve_held (lanes, executor, lane, round);
  shmkv_lane_let_go (lane);
}

static gboolean
is_active (const ShmkvLanes *lanes, guint index)
{
  /* relaxed: a lane that is just becoming active or free is held meanwhile, and
   * whoever finds it so comes again */
  return (atomic_load_explicit (&lanes->active[index / BITS], memory_order_relaxed)
            >> index % BITS
          & 1)
         != 0;
}

/* Whether somebody claims a lane that is free, with whatever right.  Active ones
 * need no look: a changed claim there counts as work. */
static gboolean
is_claimed (const ShmkvLane *lane)
{
  /* relaxed: we wrote it, or another worker did, who still holds the lane or has
   * freed it; a claim that follows that is counted after it */
  uint32_t state = atomic_load_explicit (&lane->server->state, memory_order_relaxed);

  /* relaxed: update() looks again, with acquire */
  return SHMKV_WIRE_LANE_PHASE (state) == SHMKV_WIRE_LANE_FREE
         && atomic_load_explicit (&lane->client->claim, memory_order_relaxed) == state;
}

/* The next portion of a sweep, by its holder.  How many were let in. */
static guint
sweep_on (ShmkvLanes *lanes, ShmkvExecutor *executor)
{
  Sweep *sweep = &lanes->sweep;
  guint followed = 0, admitted = 0;

  for (guint n = 0; n < SWEEP_LANES && sweep->left > 0 && followed < SWEEP_CLAIMS; n++)
    {
      ShmkvLane *lane = &lanes->lanes[sweep->next];

      if (is_claimed (lane))
        {
          /* Whoever holds it may have looked before: not without it. */
          if (!shmkv_lane_hold (lane))
            break;
          update (lanes, executor, lane);
          admitted += shmkv_lane_phase (lane) != SHMKV_WIRE_LANE_FREE;
          shmkv_lane_let_go (lane);
          followed++;
        }
      sweep->next = sweep->next + 1 < lanes->n ? sweep->next + 1 : 0;
      sweep->left--;
    }
  return admitted;
}

/* Follows claims that came since somebody last did. */
static void
welcome (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvRound *round)
{
  Sweep *sweep = &lanes->sweep;
  /* acquire: pairs with the release in the client's set_claim() */
  uint32_t arrivals = atomic_load_explicit (lanes->arrivals, memory_order_acquire);

  /* acquire: pairs with the release below, for what a sweep of another worker
   * found */
  if (G_LIKELY (arrivals == atomic_load_explicit (&lanes->arrivals_seen, memory_order_acquire)))
    return;
  round->arriving = TRUE;
  /* acquire: pairs with the release below, for what the last holder left */
  if (atomic_exchange_explicit (&sweep->held, TRUE, memory_order_acquire))
    return;
  if (sweep->left == 0)
    {
      sweep->arrivals = arrivals;
      sweep->left = lanes->n;
    }
  round->served += sweep_on (lanes, executor);
  if (sweep->left == 0)
    {
      round->arriving = arrivals != sweep->arrivals;
      /* release: pairs with the acquire above */
      atomic_store_explicit (&lanes->arrivals_seen, sweep->arrivals, memory_order_release);
    }
  /* release: pairs with the acquire above */
  atomic_store_explicit (&sweep->held, FALSE, memory_order_release);
}

/* Gives a turn to the lanes of a word of bits, those behind `from` first. */
static void
serve_word (ShmkvLanes *lanes, ShmkvExecutor *executor, guint word, guint64 mask,
            ShmkvRound *round, guint *position)
{
  /* relaxed: a hint; the lane's turn orders what is found */
  guint64 bits = atomic_load_explicit (&lanes->active[word], memory_order_relaxed) & mask;

  for (; bits != 0; bits &= bits - 1)
    {
      guint index = word * BITS + (guint) __builtin_ctzll (bits);
      ShmkvLane *lane = &lanes->lanes[index];

      if (!shmkv_lane_has_work (lane))
        continue;
      round->waiting++;
      *position = index;
      serve_lane (lanes, executor, lane, round);
    }
}

static void
note_hurry (ShmkvExecutor *executor, gboolean hurries, guint batch_max)
{
  /* It rarely changes, and what is not stored to stays clean. */
  if (G_UNLIKELY (executor->hurries != hurries))
    executor->hurries = hurries;
  if (G_UNLIKELY (executor->batch_max != batch_max))
    executor->batch_max = batch_max;
}

ShmkvRound
shmkv_lanes_serve (ShmkvLanes *lanes, ShmkvExecutor *executor, guint *position)
{
  ShmkvRound round = { 0 };
  guint n_words = (lanes->n + BITS - 1) / BITS;
  guint first = *position / BITS;
  /* The lanes up to and including the one that was served last come last. */
  guint64 behind = ~G_GUINT64_CONSTANT (1) << *position % BITS;

  welcome (lanes, executor, &round);
  serve_word (lanes, executor, first, behind, &round, position);
  for (guint i = 1; i < n_words; i++)
    serve_word (lanes, executor, (first + i) % n_words, G_MAXUINT64, &round, position);
  serve_word (lanes, executor, first, ~behind, &round, position);
  note_hurry (executor, round.modest > 0 && round.waiting > 1,
              round.small > 0 && round.waiting > 1 ? SHMKV_BATCH_SHORT : SHMKV_BATCH_MAX);
  return round;
}

/* What was not logged, in one line. */
static void
log_unsaid (ShmkvLogLimit *limit, GLogLevelFlags level, const char *what)
{
  guint64 n = shmkv_log_limit_take_unsaid (limit, g_get_monotonic_time ());

  if (n > 0)
    g_log_structured (G_LOG_DOMAIN, level, "MESSAGE",
                      "%" G_GUINT64_FORMAT " more sessions were %s since: too many to log each", n,
                      what);
}

void
shmkv_lanes_reap (ShmkvLanes *lanes, ShmkvExecutor *executor)
{
  log_unsaid (&lanes->drops_log, G_LOG_LEVEL_WARNING, "dropped");
  log_unsaid (&lanes->reclaims_log, G_LOG_LEVEL_INFO, "reclaimed");
  for (guint i = 0; i < lanes->n; i++)
    {
      ShmkvLane *lane = &lanes->lanes[i];

      if (!shmkv_lane_hold (lane))
        continue;
      update (lanes, executor, lane);
      reclaim (lanes, executor, lane);
      shmkv_lane_let_go (lane);
    }
}

void
shmkv_lanes_end_sessions (ShmkvLanes *lanes, ShmkvExecutor *executor)
{
  /* The lanes are freed before the executor is. */
  shmkv_execute_forget_owed (executor);
  for (guint i = 0; i < lanes->n; i++)
    if (is_active (lanes, i))
      {
        while (!shmkv_owned_end (&lanes->lanes[i].owned, executor->table))
          continue;
        set_active (lanes, &lanes->lanes[i], FALSE);
        shmkv_count (executor->counters, SHMKV_COUNTER_SESSIONS_CLOSED, 1);
      }
}

gboolean
shmkv_lanes_any_ripe (const ShmkvLanes *lanes)
{
  return shmkv_waits_any_ripe (lanes->waits);
}

gboolean
shmkv_lanes_next_session (const ShmkvLanes *lanes, guint *lane, ShmkvSessionStats *stats_out)
{
  while (*lane < lanes->n)
    {
      const ShmkvLane *next = &lanes->lanes[(*lane)++];

      if (!is_active (lanes, next->index))
        continue;
      /* relaxed: all for people */
      *stats_out = (ShmkvSessionStats) {
        .lane = next->index,
        .client_pid = atomic_load_explicit (&next->client->client_pid, memory_order_relaxed),
        .requests = atomic_load_explicit (&next->counts.requests, memory_order_relaxed),
        .failed = atomic_load_explicit (&next->counts.failed, memory_order_relaxed),
        /* relaxed: the same */
        .bytes_in = atomic_load_explicit (&next->counts.bytes_in, memory_order_relaxed),
        .bytes_out = atomic_load_explicit (&next->counts.bytes_out, memory_order_relaxed),
        .opened_us = atomic_load_explicit (&next->counts.opened_us, memory_order_relaxed),
      };
      return TRUE;
    }
  return FALSE;
}

guint
shmkv_lanes_count_active (const ShmkvLanes *lanes)
{
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (lanes->active); i++)
    /* relaxed: a count */
    n += (guint) __builtin_popcountll (
      atomic_load_explicit (&lanes->active[i], memory_order_relaxed));
  return n;
}

void
shmkv_lanes_wake_all (ShmkvLanes *lanes)
{
  for (guint i = 0; i < lanes->n; i++)
    {
      const ShmkvResponsesLane *lane = lanes->lanes[i].server;

      shmkv_futex_wake (&lane->state, G_MAXINT);
      shmkv_futex_wake (&lane->positions.head, G_MAXINT);
      shmkv_futex_wake (&lane->positions.tail, G_MAXINT);
    }
}
