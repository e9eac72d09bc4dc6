/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A lane, as the server sees it: one session's requests in, its responses out.
 *
 * Any worker may serve any lane, one at a time: whoever holds it.  Nobody waits
 * for a lane.  Who finds one with work that another holds goes on, but does not
 * go to sleep: the holder may have looked before the work came.
 *
 * All members belong to the holder, except those marked as shared. */

#pragma once

#include "server/incoming.h"
#include "server/owned.h"
#include "server/stats.h"
#include "server/waits.h"
#include "transport/ring.h"
#include "transport/segment.h"

G_BEGIN_DECLS

/* The announcement that we last woke for, and how often. */
typedef struct
{
  guint32 nap;
  guint wakes;
} ShmkvNap;

/* A response in full. */
typedef struct
{
  guint op;
  guint status;
  guint64 id;
  gboolean has_number;
  guint64 number;
  ShmkvField value;
  gpointer memory;                  /* where the value's bytes are, for g_free(); NULL: in memory of
                                     * somebody else's, and valid only now */
  GByteArray *array;                /* the same */
} ShmkvResponse;

typedef struct
{
  gboolean active;
  guint64 sent;                     /* bytes of the payload that are on their way */
  ShmkvResponse response;
} ShmkvOutgoing;

/* A request that is not answered yet: a WAIT or WATCH, or a COUNT, CLEAR or STATS
 * that is under way and goes on at the lane's next turns. */
typedef struct
{
  guint op;                         /* 0: none */
  guint64 id;
  ShmkvField key;                   /* or prefix */
  ShmkvTablePlace place;
  guint64 version;                  /* WATCH: the position */
  gpointer memory;                  /* where the key's bytes are */
  ShmkvParked waiter;
  guint bucket;                     /* COUNT, CLEAR, STATS: the next one */
  guint64 n_keys;                   /* COUNT, CLEAR: so far */
  ShmkvTableStats stats;            /* STATS: the same */
  gboolean silent;                  /* COUNT, CLEAR, STATS: no response is wanted */
} ShmkvLaneWait;

/* How a session ends: at the lane's turns, a portion at each, as it may leave much
 * behind. */
typedef enum
{
  SHMKV_LANE_NOT_ENDING,
  SHMKV_LANE_ENDING_REST,           /* what was published is carried out */
  SHMKV_LANE_ENDING_OWNED,          /* its keys are deleted */
} ShmkvLaneEnding;

/* What a session has done so far; written by the holder, for people. */
typedef struct
{
  _Atomic guint64 requests;
  _Atomic guint64 failed;
  _Atomic guint64 bytes_in;
  _Atomic guint64 bytes_out;
  _Atomic gint64 opened_us;
} ShmkvLaneCounts;

/* Why a lane needs another look than at its requests; bits of `attention`, beside
 * SHMKV_WAITS_RIPE. */
#define SHMKV_LANE_STALLED 2u       /* the response ring is full */
#define SHMKV_LANE_UNFINISHED 4u    /* there is more to do at the next turn, and nothing that
                                     * this would have to wait for */

typedef struct
{
  /* Shared: read by every worker that looks for work. */
  alignas (SHMKV_WIRE_ALIGN) _Atomic gboolean held;
  _Atomic guint32 claim;            /* what the owner claimed it with */
  _Atomic guint attention;
  _Atomic guint32 stalled_at;       /* what the client had taken when it stalled */
  const ShmkvRequestsLane *client;
  ShmkvResponsesLane *server;
  const uint64_t *ring;             /* of requests */
  guint32 ring_size;

  alignas (SHMKV_WIRE_ALIGN) guint index;
  const ShmkvSegment *segment;
  ShmkvWaits *waits;
  guint64 max_value;
  guint32 state;                    /* what we told the client; SHMKV_WIRE_LANE_* */
  ShmkvConsumer requests;
  ShmkvProducer responses;
  ShmkvIncoming incoming;
  ShmkvOutgoing outgoing;
  ShmkvLaneWait wait;
  ShmkvOwned owned;
  gboolean watches;                 /* the session has begun to watch */
  ShmkvLaneEnding ending;
  gboolean left;                    /* its owner did: in the end the lane is free */
  guint32 rest_begin;               /* of the requests that it left */
  guint32 silent_errors;
  guint32 news_consumed;            /* bytes published that nobody was woken for */
  guint32 news_produced;            /* the same */
  ShmkvNap room_nap;
  ShmkvNap response_nap;
  ShmkvLaneCounts counts;           /* shared: read by whoever is asked for them */
} ShmkvLane;

/* The segment and `waits` outlive it. */
void shmkv_lane_init (ShmkvLane *lane, const ShmkvSegment *segment, ShmkvWaits *waits, guint index);
void shmkv_lane_clear (ShmkvLane *lane);

/* Whether there is no room for responses. */
static inline gboolean
shmkv_lane_is_stalled (const ShmkvLane *lane)
{
  /* relaxed: a hint where to look for work */
  return (atomic_load_explicit (&lane->attention, memory_order_relaxed) & SHMKV_LANE_STALLED) != 0;
}

/* Whether the client's claim asks for a change of phase. */
gboolean shmkv_lane_claim_changed (const ShmkvLane *lane);

/* Whether a lane to which attention is drawn has something to do. */
static inline gboolean
shmkv_lane_is_ready (const ShmkvLane *lane, guint attention)
{
  if ((attention & SHMKV_LANE_STALLED) == 0)
    return TRUE;
  /* relaxed: whoever takes the lane looks again, with acquire */
  return atomic_load_explicit (&lane->client->taken, memory_order_relaxed)
         != atomic_load_explicit (&lane->stalled_at, memory_order_relaxed);
}

/* Whether an active lane has something for a worker to do: requests, room that
 * it was waiting for, a change that it was waiting for, or an owner that left.
 * By any worker. */
static inline gboolean
shmkv_lane_has_work (const ShmkvLane *lane)
{
  guint attention;
  guint32 head;

  /* relaxed: whoever takes the lane looks again, with acquire */
  if (G_UNLIKELY (atomic_load_explicit (&lane->client->claim, memory_order_relaxed)
                  != atomic_load_explicit (&lane->claim, memory_order_relaxed)))
    return TRUE;
  /* relaxed: the same */
  attention = atomic_load_explicit (&lane->attention, memory_order_relaxed);
  if (G_UNLIKELY (attention != 0))
    return shmkv_lane_is_ready (lane, attention);
  /* relaxed: the same */
  head = atomic_load_explicit (&lane->server->positions.head, memory_order_relaxed);
  /* The line of the next request is under way while that of `tail` is. */
  __builtin_prefetch (lane->ring + (head & (lane->ring_size - 1)) / 8);
  /* relaxed: the same */
  return atomic_load_explicit (&lane->client->tail, memory_order_relaxed) != head;
}

/* FALSE where somebody else holds it. */
static inline gboolean
shmkv_lane_hold (ShmkvLane *lane)
{
  /* acquire: pairs with the release in shmkv_lane_let_go(), for what the last
   * holder left in the lane */
  return !atomic_exchange_explicit (&lane->held, TRUE, memory_order_acquire);
}

static inline void
shmkv_lane_let_go (ShmkvLane *lane)
{
  /* release: pairs with the acquire in shmkv_lane_hold() */
  atomic_store_explicit (&lane->held, FALSE, memory_order_release);
}

static inline guint
shmkv_lane_phase (const ShmkvLane *lane)
{
  return SHMKV_WIRE_LANE_PHASE (lane->state);
}

/* The phase, and the client that sleeps on it. */
void shmkv_lane_activate (ShmkvLane *lane);
void shmkv_lane_drop (ShmkvLane *lane, guint reason);
void shmkv_lane_free (ShmkvLane *lane);

/* Shows the client what was consumed and produced. */
void shmkv_lane_publish (ShmkvLane *lane);

/* Wakes the client if it sleeps on what was published since this was last called.
 * Returns how many had to be woken. */
guint shmkv_lane_wake (ShmkvLane *lane);

/* Begins a turn of an active lane. */
void shmkv_lane_begin (ShmkvLane *lane);

/* How many small responses fit, at most `wanted`.  0: the lane is stalled, or to be
 * looked at again at its next turn; or dropped. */
guint shmkv_lane_room (ShmkvLane *lane, guint wanted);

/* Puts a small response on its way, for which there is room: without a value, or
 * with an integer. */
static inline void
shmkv_lane_respond (ShmkvLane *lane, guint op, guint status, guint64 id)
{
  uint64_t *record = shmkv_producer_place (&lane->responses, SHMKV_WIRE_HEADER_SIZE);

  shmkv_store_word (record, shmkv_header_pack (SHMKV_WIRE_HEADER_SIZE, op, SHMKV_WIRE_KIND_NONE,
                                               SHMKV_WIRE_KIND_NONE, status));
  shmkv_store_word (record + 1, id);
  shmkv_producer_commit (&lane->responses, SHMKV_WIRE_HEADER_SIZE);
}

static inline void
shmkv_lane_respond_integer (ShmkvLane *lane, guint op, guint status, guint64 id, guint64 value)
{
  const guint32 length = SHMKV_WIRE_HEADER_SIZE + 8;
  uint64_t *record = shmkv_producer_place (&lane->responses, length);

  shmkv_store_word (record, shmkv_header_pack (length, op, SHMKV_WIRE_KIND_NONE,
                                               SHMKV_WIRE_KIND_INTEGER, status));
  shmkv_store_word (record + 1, id);
  shmkv_store_word (record + 2, value);
  shmkv_producer_commit (&lane->responses, length);
}

/* Puts a response of any size on its way, and takes its memory over.  `behind`
 * small responses fit behind it.  FALSE where there is no room for all that now:
 * then it is the lane's outgoing one, and no other may be given before it is
 * sent.  (Where there is no memory for that, NO_MEMORY is the response.) */
gboolean shmkv_lane_answer (ShmkvLane *lane, ShmkvResponse *response, guint behind);

/* Frees what a response has, where it is not wanted. */
void shmkv_response_clear (ShmkvResponse *response);

/* Sends what is outgoing, in pieces as there is room.  FALSE where that is not
 * all: the lane is stalled, or unfinished. */
gboolean shmkv_lane_send (ShmkvLane *lane);

/* Parks the lane with what it waits for; see waits.h.  Unparks it, if it is. */
void shmkv_lane_park (ShmkvLane *lane);
void shmkv_lane_unpark (ShmkvLane *lane);

/* Whether it is in the midst of a COUNT, CLEAR or STATS. */
static inline gboolean
shmkv_lane_is_walking (const ShmkvLane *lane)
{
  return lane->wait.op == SHMKV_WIRE_OP_COUNT || lane->wait.op == SHMKV_WIRE_OP_CLEAR
         || lane->wait.op == SHMKV_WIRE_OP_STATS;
}

/* There is more to do at the next turn. */
void shmkv_lane_set_unfinished (ShmkvLane *lane);

/* It waits no longer. */
void shmkv_lane_end_wait (ShmkvLane *lane);

/* Adds to one of the lane's counts; by the holder. */
static inline void
shmkv_lane_count (_Atomic guint64 *count, guint64 n)
{
  /* relaxed: for people, with one writer */
  atomic_store_explicit (count, atomic_load_explicit (count, memory_order_relaxed) + n,
                         memory_order_relaxed);
}

G_END_DECLS
