/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keys that go when a session ends, as far as it can tell: the table knows
 * whose a key is, this only where to look.  Belongs to whoever holds the lane. */

#pragma once

#include "server/table.h"

G_BEGIN_DECLS

typedef struct
{
  guint64 owner;                    /* number of the session, never 0 */
  GHashTable *keys;                 /* copies, with their places; NULL: none so far */
  guint limit;                      /* so many, and it is time to look which are still ours */
  gboolean ends;                    /* the session does, as far as `iter` has come */
  GHashTableIter iter;
} ShmkvOwned;

/* Begins a session. */
void shmkv_owned_init (ShmkvOwned *owned, guint64 owner);

/* Remembers `key`, which is about to be inserted; FALSE where there is no memory
 * for that. */
gboolean shmkv_owned_add (ShmkvOwned *owned, ShmkvTable *table, const ShmkvField *key,
                          const ShmkvTablePlace *place);

/* Ends it, some hundred microseconds at a time: deletes those that still belong
 * to the session.  TRUE where that was all; none may be added from the first call
 * on. */
gboolean shmkv_owned_end (ShmkvOwned *owned, ShmkvTable *table);

/* Without deleting them: where the table goes, too. */
void shmkv_owned_clear (ShmkvOwned *owned);

G_END_DECLS
