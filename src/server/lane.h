/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A lane, as the server sees it: one session's requests in, its responses out.
 *
 * Any worker may serve any lane, one at a time: whoever holds it.  Nobody waits
 * for a lane.  Who finds one with work that another holds goes on, but does not
 * go to sleep: the holder may have looked before the work came.
 *
 * All members belong to the holder, except those marked as shared. */

#pragma once

#include "server/stats.h"
#include "transport/ring.h"
#include "transport/segment.h"

G_BEGIN_DECLS

/* The announcement that we last woke for, and how often. */
typedef struct
{
  guint32 nap;
  guint wakes;
} ShmkvNap;

typedef struct
{
  guint64 id;
  guint op;
  guint32 sent;                     /* bytes of `body` that are on their way */
  GByteArray *body;                 /* NULL: nothing to send */
} ShmkvOutgoing;

typedef struct
{
  /* Shared: read by every worker that looks for work. */
  alignas (SHMKV_WIRE_ALIGN) _Atomic gboolean held;
  _Atomic guint32 claim;            /* what the owner claimed it with */
  _Atomic gboolean stalled;         /* the response ring is full */
  _Atomic guint32 stalled_at;       /* what the client had taken then */
  const ShmkvRequestsLane *client;
  ShmkvResponsesLane *server;
  const uint64_t *ring;             /* of requests */
  guint32 ring_size;

  alignas (SHMKV_WIRE_ALIGN) guint index;
  const ShmkvSegment *segment;
  guint32 state;                    /* what we told the client; SHMKV_WIRE_LANE_* */
  ShmkvConsumer requests;
  ShmkvProducer responses;
  ShmkvOutgoing outgoing;
  guint32 silent_errors;
  ShmkvNap room_nap;
  ShmkvNap response_nap;
} ShmkvLane;

void shmkv_lane_init (ShmkvLane *lane, const ShmkvSegment *segment, guint index);
void shmkv_lane_clear (ShmkvLane *lane);

/* Whether there is no room for responses. */
static inline gboolean
shmkv_lane_is_stalled (const ShmkvLane *lane)
{
  /* relaxed: a hint where to look for work */
  return atomic_load_explicit (&lane->stalled, memory_order_relaxed);
}

/* Whether the client's claim asks for a change of phase. */
gboolean shmkv_lane_claim_changed (const ShmkvLane *lane);

/* Whether an active lane has something for a worker to do: requests, room that
 * it was waiting for, or an owner that left.  By any worker. */
static inline gboolean
shmkv_lane_has_work (const ShmkvLane *lane)
{
  guint32 head;

  /* relaxed: whoever takes the lane looks again, with acquire */
  if (G_UNLIKELY (atomic_load_explicit (&lane->client->claim, memory_order_relaxed)
                  != atomic_load_explicit (&lane->claim, memory_order_relaxed)))
    return TRUE;
  if (G_UNLIKELY (shmkv_lane_is_stalled (lane)))
    /* relaxed: the same */
    return atomic_load_explicit (&lane->client->taken, memory_order_relaxed)
           != atomic_load_explicit (&lane->stalled_at, memory_order_relaxed);
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

/* Ends a batch: shows the client what was consumed and produced, and wakes it
 * where it sleeps.  Returns how many had to be woken. */
guint shmkv_lane_publish (ShmkvLane *lane);

/* Begins a turn of an active lane. */
void shmkv_lane_begin (ShmkvLane *lane);

/* How many small responses fit, at most `wanted`.  0: the lane is stalled. */
guint shmkv_lane_room (ShmkvLane *lane, guint wanted);

/* Puts a small response on its way, for which there is room. */
static inline void
shmkv_lane_respond (ShmkvLane *lane, guint op, guint status, guint64 id, const guint64 *value)
{
  guint32 length = SHMKV_WIRE_HEADER_SIZE + (value != NULL ? 8 : 0);
  uint64_t *record = shmkv_producer_reserve (&lane->responses, length);

  shmkv_store_word (record, shmkv_header_pack (length, op, SHMKV_WIRE_KIND_NONE,
                                               value != NULL ? SHMKV_WIRE_KIND_INTEGER
                                                             : SHMKV_WIRE_KIND_NONE,
                                               status));
  shmkv_store_word (record + 1, id);
  if (value != NULL)
    shmkv_store_word (record + 2, *value);
  shmkv_producer_commit (&lane->responses, length);
}

/* Takes `body`, and sends it as the response to `id`, in pieces as there is
 * room.  One at a time. */
void shmkv_lane_respond_body (ShmkvLane *lane, guint op, guint64 id, GByteArray *body);

/* Goes on with that.  FALSE where there is no room: the lane is stalled. */
gboolean shmkv_lane_send (ShmkvLane *lane);

G_END_DECLS
