/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A server without workers, for tests that want to say when it does what; and
 * a client that writes its lane by hand, honestly or not. */

#pragma once

#include "server/lanes.h"
#include "transport/ring.h"
#include "transport/segment.h"

G_BEGIN_DECLS

/* ------------------------------------------------------------------- server */

typedef struct
{
  char *name;
  ShmkvSegment *segment;
  void *guards[2];                  /* memory around the regions that nobody may touch */
  ShmkvTable *table;
  ShmkvCounters *counters;
  ShmkvLanes *lanes;
  ShmkvExecutor executor;           /* without a server: no Print and the like */
  guint position;

  /* See rig_pump_start(). */
  GThread *pump;
  GMutex pump_mutex;
  _Atomic gboolean pump_ends;
} Rig;

/* Clients can attach when this returns. */
Rig *rig_new (guint sessions, guint ring_size);
Rig *rig_new_with_table (guint sessions, guint ring_size, const ShmkvTableOptions *table);
void rig_free (Rig *rig);

/* One round over the lanes. */
ShmkvRound rig_serve (Rig *rig);
void rig_reap (Rig *rig);

guint64 rig_count (const Rig *rig, ShmkvCounter counter);

/* Has a thread serve and reap, round after round, until it is stopped.  The
 * rig is not served between pause and resume. */
void rig_pump_start (Rig *rig);
void rig_pump_pause (Rig *rig);
void rig_pump_resume (Rig *rig);
void rig_pump_stop (Rig *rig);

/* What a client sees of a server that ends, or that is killed. */
void rig_say_farewell (Rig *rig);
void rig_kill (Rig *rig);

/* ------------------------------------------------------------------- client */

typedef struct
{
  ShmkvSegment *segment;
  guint index;
  ShmkvRequestsLane *client;
  const ShmkvResponsesLane *server;
  ShmkvProducer requests;
  ShmkvConsumer responses;
  guint64 last_id;
} Hand;

/* Attaches, and locks a lane.  Claims nothing. */
void hand_init (Hand *hand, const char *name, guint lane);
void hand_clear (Hand *hand);

/* Begins where the server is, and claims the lane; hand_set_claim() with any
 * value. */
void hand_claim (Hand *hand);
void hand_set_claim (Hand *hand, guint32 claim);

/* Init, claim, and have the rig admit it. */
void hand_open (Hand *hand, Rig *rig, guint lane);

guint32 hand_state (const Hand *hand);
guint hand_phase (const Hand *hand);
guint hand_generation (const Hand *hand);
guint hand_drop_reason (const Hand *hand);

/* Submits a request of `n_words` integers, for which there is room; returns
 * its ID.  The server sees it after hand_publish(). */
guint64 hand_submit (Hand *hand, guint op, guint flags, guint n_words, guint64 key, guint64 value);

/* As above; FALSE where there is no room. */
gboolean hand_try_submit (Hand *hand, guint op, guint flags, guint n_words, guint64 key,
                          guint64 value);
void hand_publish (Hand *hand);

/* Writes a record of these words as it is. */
void hand_write (Hand *hand, const guint64 *words, guint n_words);

/* A request of any kind. */
typedef struct
{
  guint op;
  guint flags;
  ShmkvField key;
  ShmkvField value;
  ShmkvField expected;              /* IF_VALUE */
  guint64 version;                  /* IF_VERSION */
  guint64 ttl_ms;                   /* TTL */
} HandRequest;

ShmkvField hand_integer (guint64 integer);
ShmkvField hand_bytes (const char *text);

/* The payload, transfer full, and a header without a length. */
GByteArray *hand_encode (const HandRequest *request, guint64 *header_out);

/* Writes a record, or a piece of one where MORE is in the header, with `n` bytes
 * of payload; FALSE where there is no room. */
gboolean hand_try_piece (Hand *hand, guint64 header, guint64 id, const void *payload, guint32 n);

/* Submits a request that fits one record; FALSE where there is no room.  The
 * second must succeed, and returns its ID. */
gboolean hand_try_request (Hand *hand, const HandRequest *request);
guint64 hand_request (Hand *hand, const HandRequest *request);

typedef struct
{
  guint64 id;
  guint op;
  guint status;
  gboolean has_value;
  guint64 value;
} Answer;

/* The next response; FALSE where there is none.  Fails the test where it is not
 * well formed.  Gives the room back with hand_give_back(). */
gboolean hand_take (Hand *hand, Answer *answer_out);
void hand_give_back (Hand *hand);

/* A response of any kind and size. */
typedef struct
{
  guint64 id;
  guint op;
  guint status;
  gboolean has_number;
  guint64 number;
  ShmkvField value;                 /* bytes are in the payload */
  GByteArray *payload;
} Reply;

/* Takes the next, which begins as zeros; FALSE where its last piece has not come
 * yet: call again with the same. */
gboolean hand_take_reply (Hand *hand, Reply *reply);
void hand_expect_reply (Hand *hand, guint64 id, guint status, Reply *reply);
void reply_clear (Reply *reply);

/* Takes a response, which must be that to `id`. */
void hand_expect (Hand *hand, guint64 id, guint status);
void hand_expect_value (Hand *hand, guint64 id, guint64 value);
void hand_expect_none (Hand *hand);

G_END_DECLS
