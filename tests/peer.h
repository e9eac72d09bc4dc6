/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A server that a test makes up: it has lanes and takes requests out of them,
 * in pieces or not, and what it answers is the test's.  Nothing of the real
 * server is in it but the memory that it shares. */

#pragma once

#include "transport/ring.h"
#include "transport/segment.h"

G_BEGIN_DECLS

typedef struct _Peer Peer;

/* A request, all of it. */
typedef struct
{
  guint lane;
  ShmkvHeader header;               /* of its first record */
  guint64 id;
  guint n_pieces;
  const guint64 *payload;
  gsize size;                       /* of it, in bytes */
} PeerRequest;

/* Called in the peer's thread; answers with peer_answer(), now or later. */
typedef void (*PeerHandler) (Peer *peer, const PeerRequest *request, gpointer data);

Peer *peer_new (guint sessions, guint ring_size, guint64 max_value, PeerHandler handler,
                gpointer data);
void peer_free (Peer *peer);

const char *peer_get_name (const Peer *peer);

/* To be called by the handler: an answer, whose number and value may be of kind
 * NONE.  It is sent as the client makes room. */
void peer_answer (Peer *peer, const PeerRequest *request, guint status, const ShmkvField *number,
                  const ShmkvField *value);

/* The same for what the handler remembers. */
void peer_answer_to (Peer *peer, guint lane, guint op, guint64 id, guint status,
                     const ShmkvField *number, const ShmkvField *value);

/* While it is paused, it reads and sends nothing; it still admits sessions. */
void peer_pause (Peer *peer);
void peer_resume (Peer *peer);

/* How many records it has taken out of the rings. */
guint64 peer_count_records (Peer *peer);

/* Says farewell, and does nothing any more. */
void peer_end (Peer *peer);

G_END_DECLS
