/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Carries out the requests of a lane, a batch at a time.
 *
 * A batch goes through stages, so that the memory that a request needs is on
 * its way while the others are looked at: decode all, hash and prefetch the
 * buckets, prefetch locks and slots, execute and respond, publish once.
 *
 * Reading, inserting and deleting integers, with nothing else to it, goes a
 * short way: such a request is known by its first word.  All others are copied
 * and decoded in full; see request.h. */

#pragma once

#include "server/executor.h"
#include "server/lane.h"

G_BEGIN_DECLS

#define SHMKV_BATCH_MAX 64

/* The same beside a lane that waits with no more than a few requests: it waits for
 * the end of this. */
#define SHMKV_BATCH_SHORT 16

/* A batch takes no more bytes of requests than this, nor does one end with many
 * more bytes of responses. */
#define SHMKV_BATCH_BYTES (64u << 10)

typedef enum
{
  SHMKV_BATCH_NOTHING,              /* to do, or no room for responses; or the lane was dropped */
  SHMKV_BATCH_LAST,                 /* something was done; nothing more for now */
  SHMKV_BATCH_MORE,                 /* something was done, and there may be more */
} ShmkvBatchResult;

/* Serves a batch of an active lane that the caller holds. */
ShmkvBatchResult shmkv_execute_batch (ShmkvExecutor *executor, ShmkvLane *lane);

/* To be called where a lane's turn ends while there may be more: its client may be
 * asleep, and is woken once that is worth it, at a later turn; but before anything
 * that takes long.  The lane is one in an array of all. */
void shmkv_execute_later (ShmkvExecutor *executor, ShmkvLane *lane);

/* Before the lanes are freed: nobody is owed anything there any more. */
void shmkv_execute_forget_owed (ShmkvExecutor *executor);

/* Carries out what the lane's last owner published from `begin` on, without
 * answering: no more than a turn of it.  TRUE where that was all. */
gboolean shmkv_execute_rest (ShmkvExecutor *executor, ShmkvLane *lane, guint32 begin);

G_END_DECLS
