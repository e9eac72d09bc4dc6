/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/lanes.h"

#include "transport/wait.h"

#include <stdlib.h>

/* A turn ends after this many batches, so that no lane waits long for another
 * that never runs dry. */
#define TURN_BATCHES 4

/* The same, in bytes of requests. */
#define TURN_BYTES (256u << 10)

#define BITS 64

struct _ShmkvLanes
{
  const ShmkvSegment *segment;
  guint n;
  ShmkvLane *lanes;
  ShmkvWaits *waits;
  _Atomic guint64 last_owner;       /* number of the session that was admitted last */
  const _Atomic uint32_t *arrivals; /* the clients' counter of changed claims */
  _Atomic uint32_t arrivals_seen;
  _Atomic guint64 active[SHMKV_WIRE_MAX_SESSIONS / BITS]; /* a bit per lane; set and cleared by
                                                           * its holder */
};

ShmkvLanes *
shmkv_lanes_new (const ShmkvSegment *segment, ShmkvTable *table)
{
  ShmkvLanes *lanes = g_new0 (ShmkvLanes, 1);

  lanes->segment = segment;
  lanes->n = segment->geometry.sessions;
  lanes->arrivals = &shmkv_segment_requests_header (segment)->arrivals;
  lanes->lanes = aligned_alloc (SHMKV_WIRE_ALIGN, lanes->n * sizeof (ShmkvLane));
  if (lanes->lanes == NULL)
    g_error ("out of memory");
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
  /* relaxed: the number alone counts */
  shmkv_owned_init (&lane->owned,
                    atomic_fetch_add_explicit (&lanes->last_owner, 1, memory_order_relaxed) + 1);
  shmkv_lane_activate (lane);
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
  shmkv_count (executor->counters, why, 1);
  if (lane->ending == SHMKV_LANE_NOT_ENDING)
    begin_ending (lane);
  go_on_ending (lanes, executor, lane);
}

/* Logs what happened to a lane, with its number as a field of its own. */
static void
log_lane (const ShmkvLane *lane, GLogLevelFlags level, const char *what)
{
  g_autofree char *index = g_strdup_printf ("%u", lane->index);
  /* relaxed: for people */
  guint pid = atomic_load_explicit (&lane->client->client_pid, memory_order_relaxed);
  g_autofree char *client = g_strdup_printf ("%u", pid);

  g_log_structured (G_LOG_DOMAIN, level, "SHMKV_LANE", index, "SHMKV_CLIENT_PID", client, "MESSAGE",
                    "session %s of a client that says it is process %s: %s", index, client, what);
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
  if (G_LIKELY (!shmkv_lane_claim_changed (lane)))
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
  log_lane (lane, G_LOG_LEVEL_INFO, "reclaimed, because the client is gone");
  dismiss (lanes, executor, lane, SHMKV_COUNTER_SESSIONS_RECLAIMED);
}

/* ----------------------------------------------------------------- service */

/* Batch after batch, but no more than a turn of them.  Whether there was
 * something to do. */
static gboolean
execute_turn (ShmkvExecutor *executor, ShmkvLane *lane)
{
  guint32 begin = lane->requests.head;
  ShmkvBatchResult result = shmkv_execute_batch (executor, lane);
  gboolean served = result != SHMKV_BATCH_NOTHING;

  for (guint n = 1; result == SHMKV_BATCH_MORE && n < TURN_BATCHES
                    && lane->requests.head - begin < TURN_BYTES
                    && shmkv_lane_phase (lane) == SHMKV_WIRE_LANE_ACTIVE;
       n++)
    result = shmkv_execute_batch (executor, lane);
  return served;
}

/* One turn of a lane that the caller holds. */
static gboolean
serve_held (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvLane *lane)
{
  gboolean served;

  update (lanes, executor, lane);
  if (G_UNLIKELY (lane->ending != SHMKV_LANE_NOT_ENDING))
    return TRUE;
  if (shmkv_lane_phase (lane) != SHMKV_WIRE_LANE_ACTIVE)
    return FALSE;
  shmkv_lane_begin (lane);
  served = execute_turn (executor, lane);

  if (G_UNLIKELY (shmkv_lane_phase (lane) == SHMKV_WIRE_LANE_DROPPED))
    {
      log_lane (lane, G_LOG_LEVEL_WARNING, drop_reason (lane));
      shmkv_count (executor->counters, SHMKV_COUNTER_SESSIONS_DROPPED, 1);
      begin_ending (lane);
      go_on_ending (lanes, executor, lane);
    }
  return served;
}

/* Whether there was something to do. */
static gboolean
serve_lane (ShmkvLanes *lanes, ShmkvExecutor *executor, ShmkvLane *lane)
{
  gboolean served;

  if (!shmkv_lane_hold (lane))
    return FALSE;
  served = serve_held (lanes, executor, lane);
  shmkv_lane_let_go (lane);
  return served;
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

/* Follows all claims.  FALSE where a lane could not be looked at.  Active ones
 * need not be: a changed claim there counts as work. */
static gboolean
update_all (ShmkvLanes *lanes, ShmkvExecutor *executor)
{
  gboolean complete = TRUE;

  for (guint i = 0; i < lanes->n; i++)
    if (shmkv_lane_hold (&lanes->lanes[i]))
      {
        update (lanes, executor, &lanes->lanes[i]);
        shmkv_lane_let_go (&lanes->lanes[i]);
      }
    else if (!is_active (lanes, i))
      complete = FALSE;
  return complete;
}

/* Follows the claims that changed since somebody last did.  Whether there was
 * something to do. */
static gboolean
welcome (ShmkvLanes *lanes, ShmkvExecutor *executor)
{
  /* acquire: pairs with the release in the client's set_claim() */
  uint32_t arrivals = atomic_load_explicit (lanes->arrivals, memory_order_acquire);

  /* relaxed: a hint; who comes late does it twice */
  if (G_LIKELY (arrivals == atomic_load_explicit (&lanes->arrivals_seen, memory_order_relaxed)))
    return FALSE;
  if (update_all (lanes, executor))
    /* relaxed: the same */
    atomic_store_explicit (&lanes->arrivals_seen, arrivals, memory_order_relaxed);
  return TRUE;
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
      if (serve_lane (lanes, executor, lane))
        round->served++;
    }
}

ShmkvRound
shmkv_lanes_serve (ShmkvLanes *lanes, ShmkvExecutor *executor, guint *position)
{
  ShmkvRound round = { 0 };
  guint n_words = (lanes->n + BITS - 1) / BITS;
  guint first = *position / BITS;
  /* The lanes up to and including the one that was served last come last. */
  guint64 behind = ~G_GUINT64_CONSTANT (1) << *position % BITS;

  if (welcome (lanes, executor))
    round.served++;
  serve_word (lanes, executor, first, behind, &round, position);
  for (guint i = 1; i < n_words; i++)
    serve_word (lanes, executor, (first + i) % n_words, G_MAXUINT64, &round, position);
  serve_word (lanes, executor, first, ~behind, &round, position);
  return round;
}

void
shmkv_lanes_reap (ShmkvLanes *lanes, ShmkvExecutor *executor)
{
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
