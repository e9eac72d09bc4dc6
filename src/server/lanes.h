/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All lanes of a server: who has come, who has gone, and who has work.
 *
 * By any worker at any time; see lane.h for how they keep out of each other's
 * way. */

#pragma once

#include "server/execute.h"
#include "server/lane.h"

G_BEGIN_DECLS

typedef struct _ShmkvLanes ShmkvLanes;

/* The segment and the table outlive the lanes.  NULL where there is no memory. */
ShmkvLanes *shmkv_lanes_new (const ShmkvSegment *segment, ShmkvTable *table);
void shmkv_lanes_free (ShmkvLanes *lanes);

/* What a round over the lanes found. */
typedef struct
{
  guint served;                     /* lanes for which there was something to do */
  guint waiting;                    /* lanes that had work when the round came to them, also
                                     * where another worker held them */
  guint small;                      /* lanes that had no more than a few requests */
  guint modest;                     /* lanes that had less to do than fits a batch */
  gboolean arriving;                /* there are claims to look at; see shmkv_lanes_serve() */
} ShmkvRound;

/* Gives every lane that has work one turn, beginning behind `*position`, which
 * moves along.  Claims are looked at a portion a round: whoever wants to sleep goes
 * on as long as there are more. */
ShmkvRound shmkv_lanes_serve (ShmkvLanes *lanes, ShmkvExecutor *executor, guint *position);

/* Looks after lanes whose owner died, and after whatever a round may have been
 * kept from noticing.  To be called a few times a second. */
void shmkv_lanes_reap (ShmkvLanes *lanes, ShmkvExecutor *executor);

/* Whether there is a lane for which a change is waiting: as long as there is,
 * whoever made the change is not to sleep, even where another worker holds the
 * lane and may have looked before. */
gboolean shmkv_lanes_any_ripe (const ShmkvLanes *lanes);

/* What sessions have done so far.  By any thread. */
typedef struct
{
  guint lane;
  guint client_pid;                 /* as the client says */
  guint64 requests;
  guint64 failed;
  guint64 bytes_in;
  guint64 bytes_out;
  gint64 opened_us;                 /* monotonic time */
} ShmkvSessionStats;

/* Those of the next active lane from `*lane` on, which moves behind it; FALSE
 * where there is none. */
gboolean shmkv_lanes_next_session (const ShmkvLanes *lanes, guint *lane,
                                   ShmkvSessionStats *stats_out);

guint shmkv_lanes_count_active (const ShmkvLanes *lanes);

/* Ends every session, without carrying out what they have published; where the
 * regions are lost, and no worker runs. */
void shmkv_lanes_end_sessions (ShmkvLanes *lanes, ShmkvExecutor *executor);

/* Wakes every client that sleeps on a lane, after the server said farewell. */
void shmkv_lanes_wake_all (ShmkvLanes *lanes);

G_END_DECLS
