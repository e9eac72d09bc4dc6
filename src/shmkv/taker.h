/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The taking side of a session: response records in, completions out.
 *
 * Everything here is guarded by the session's `taking` mutex: it is the thread
 * that takes completions, or the submitting thread that found no room and
 * moves what has arrived out of the way (to the backlog). */

#pragma once

#include "shmkv/pending.h"
#include "transport/ring.h"

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

typedef struct
{
  ShmkvConsumer ring;
  ShmkvPending *pending;
  GArray *body;                     /* of guint64: the pieces so far of a response in pieces */
  guint64 body_id;                  /* whose they are; 0: none */
  GArray *backlog;                  /* of ShmkvCompletion: moved out of the ring, not yet taken */
  guint backlog_taken;              /* how many at its start are */
  GArray *abandoned;                /* of guint64: IDs that nobody waits for any more, ascending */
} ShmkvTaker;

typedef enum
{
  SHMKV_TAKE_NONE,
  SHMKV_TAKE_ONE,
  SHMKV_TAKE_SKIPPED,               /* a record that completes nothing that anyone waits for */
  SHMKV_TAKE_BROKEN                 /* the server broke the protocol */
} ShmkvTake;

void shmkv_taker_init (ShmkvTaker *taker, ShmkvPending *pending);
void shmkv_taker_clear (ShmkvTaker *taker);

/* The next completion out of the ring. */
ShmkvTake shmkv_taker_next (ShmkvTaker *taker, ShmkvCompletion *completion_out);

/* Keeps one for later. */
void shmkv_taker_keep (ShmkvTaker *taker, const ShmkvCompletion *completion);

/* Takes up to `n` of those that were kept. */
gsize shmkv_taker_take_kept (ShmkvTaker *taker, ShmkvCompletion *completions_out, gsize n);

/* Nobody waits for the completion of `id` any more. */
void shmkv_taker_abandon (ShmkvTaker *taker, guint64 id);

static inline gboolean
shmkv_taker_has_kept (const ShmkvTaker *taker)
{
  return taker->backlog->len > taker->backlog_taken;
}

G_END_DECLS
