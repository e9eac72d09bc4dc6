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

/* A response with bytes, of which all pieces but the last may be there. */
typedef struct
{
  guint64 id;                       /* whose it is; 0: none */
  guint64 header;                   /* word 0 of its first piece, but for length and MORE */
  guint64 number;
  guint64 length;                   /* of the bytes, as its first piece says */
  guint8 *data;                     /* room for them and their padding */
  gsize size;                       /* how much room that is */
  gsize filled;                     /* how much has arrived */
} ShmkvTakerBody;

typedef struct
{
  ShmkvConsumer ring;
  ShmkvPending *pending;
  guint64 max_value;                /* the longest value that the server may have */
  ShmkvTakerBody body;
  GArray *backlog;                  /* of ShmkvCompletion: moved out of the ring, not yet taken */
  guint backlog_taken;              /* how many at its start are */
  GArray *abandoned;                /* of ranges of IDs that nobody waits for any more, ascending */
} ShmkvTaker;

typedef enum
{
  SHMKV_TAKE_NONE,
  SHMKV_TAKE_ONE,
  SHMKV_TAKE_SKIPPED,               /* a record that completes nothing that anyone waits for */
  SHMKV_TAKE_BROKEN,                /* the server broke the protocol */
  SHMKV_TAKE_NO_MEMORY              /* there is none for what it sends */
} ShmkvTake;

void shmkv_taker_init (ShmkvTaker *taker, ShmkvPending *pending, guint64 max_value);
void shmkv_taker_clear (ShmkvTaker *taker);

/* The next completion out of the ring. */
ShmkvTake shmkv_taker_next (ShmkvTaker *taker, ShmkvCompletion *completion_out);

/* The next completions out of the ring, at most `n`, up to its end, as long as they
 * are what most are: a status, or a status and an integer. */
gsize shmkv_taker_take_short (ShmkvTaker *taker, ShmkvCompletion *completions_out, gsize n);

/* Keeps one for later. */
void shmkv_taker_keep (ShmkvTaker *taker, const ShmkvCompletion *completion);

/* Takes up to `n` of those that were kept. */
gsize shmkv_taker_take_kept (ShmkvTaker *taker, ShmkvCompletion *completions_out, gsize n);

/* Takes those with an ID from `first` on, at most `n`: there are no more. */
gsize shmkv_taker_take_kept_from (ShmkvTaker *taker, guint64 first,
                                  ShmkvCompletion *completions_out, gsize n);

/* Nobody waits any more for the completions of `n` requests from `first` on. */
void shmkv_taker_abandon (ShmkvTaker *taker, guint64 first, guint64 n);

/* Whether there was a piece of a response and will be another. */
static inline gboolean
shmkv_taker_in_pieces (const ShmkvTaker *taker)
{
  return taker->body.id != 0;
}

static inline gboolean
shmkv_taker_goes_on (ShmkvTake take)
{
  return take == SHMKV_TAKE_ONE || take == SHMKV_TAKE_SKIPPED;
}

G_END_DECLS
