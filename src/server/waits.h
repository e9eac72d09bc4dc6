/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who waits for which keys to change.
 *
 * A lane that waits is parked here, and forgotten by everybody else; when what
 * it waits for happens, it becomes ripe: the next worker that comes by finds
 * work there.  Changes are told by the table, under the lock of a bucket; so
 * the mutex in here is taken after such a lock, and never the other way round.
 *
 * How no change is lost: first the table is told to tell (observe), then the
 * lane is parked, then its worker looks whether it has happened already.  What
 * changes before that look is seen by it, what changes after makes the lane
 * ripe. */

#pragma once

#include "server/journal.h"
#include "server/table.h"

#include <stdatomic.h>

G_BEGIN_DECLS

typedef struct _ShmkvWaits ShmkvWaits;

/* What a lane waits for; a member of it. */
typedef struct
{
  /* The holder's: set before it is parked, unchanged while it is. */
  _Atomic guint *attention;         /* gets SHMKV_WAITS_RIPE */
  gboolean parked;
  gboolean watches;                 /* keys with a prefix, else one bucket */
  guint bucket;
  ShmkvField prefix;

  /* While it is parked, under the mutex. */
  guint64 position;                 /* watches: nothing before it matters */
  gboolean ripe;
  GList link;
} ShmkvParked;

/* The bit in `attention` of a waiter that is ripe. */
#define SHMKV_WAITS_RIPE 1u

/* Is told of the table's changes from now on; the table outlives it. */
ShmkvWaits *shmkv_waits_new (ShmkvTable *table);

/* No other thread may be using the table; nobody is parked. */
void shmkv_waits_free (ShmkvWaits *waits);

/* By the holder of the lane, with no lock held. */
void shmkv_waits_park (ShmkvWaits *waits, ShmkvParked *waiter);

/* Takes it out, ripe or not, and clears the bit.  Does nothing where it is not
 * parked. */
void shmkv_waits_unpark (ShmkvWaits *waits, ShmkvParked *waiter);

/* Whether a lane is parked that is ripe. */
gboolean shmkv_waits_any_ripe (const ShmkvWaits *waits);

/* A session begins to watch, and ends: changes are kept while there is one.
 * FALSE where there is no memory. */
gboolean shmkv_waits_begin_watch (ShmkvWaits *waits);
void shmkv_waits_end_watch (ShmkvWaits *waits);

/* Encodes, as pairs, the changes from `*position` on of keys with the prefix
 * into `buffer`, as many as fit; a key of the greatest size does.  `*position`
 * becomes that behind the last that was looked at.  OK; MISSED, with `*position`
 * the next to come; INVALID where it has not come yet. */
guint shmkv_waits_get_changes (ShmkvWaits *waits, const ShmkvField *prefix, guint64 *position,
                               void *buffer, gsize size, gsize *used_out);

/* The position of the next change to come. */
guint64 shmkv_waits_get_position (ShmkvWaits *waits);

G_END_DECLS
