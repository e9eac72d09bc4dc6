/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients see of a server: the regions, the lanes in them, and the workers that
 * serve these.  The table stays where the regions are lost: then the front is
 * replaced by a new one.
 *
 * A front belongs to one thread; its workers use what they were given when they
 * were started. */

#pragma once

#include "server/pool.h"
#include "server/server.h"

G_BEGIN_DECLS

typedef struct
{
  ShmkvSegment *segment;
  ShmkvLanes *lanes;                /* from shmkv_front_open() on */
  ShmkvPool *pool;                  /* the same */
} ShmkvFront;

/* Takes the name, perhaps over from `old`, which may be NULL, and makes the regions.
 * Clients that come now wait. */
ShmkvFront *shmkv_front_new (const ShmkvServerOptions *options, const ShmkvFront *old,
                             GError **error);

/* Starts workers, and lets clients in; the server and the table outlive it.  Where it
 * fails, the front can only be closed. */
gboolean shmkv_front_open (ShmkvFront *front, const ShmkvServerOptions *options,
                           ShmkvServer *server, ShmkvTable *table, GError **error);

/* Gives up the name, and stops the workers, each after its turn; idempotent. */
void shmkv_front_stop (ShmkvFront *front);

/* The same, but for the name. */
void shmkv_front_stop_workers (ShmkvFront *front);

/* After stopping: tells all clients that the server is gone. */
void shmkv_front_say_farewell (ShmkvFront *front);

/* After that. */
void shmkv_front_free (ShmkvFront *front);

G_END_DECLS
