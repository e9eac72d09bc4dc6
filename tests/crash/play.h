/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A play: random operations on a few keys of one's own, of which it is known at
 * all times what must be there.
 *
 * Everything follows from the seed: whoever has it knows what the requests of a
 * dead process were, and what its keys must hold after any number of them.
 * Requests of a session take effect in order, each at most once and as a whole.
 * What was flushed is carried out.  So what a dead process leaves is the state
 * after some first part of its play, with all that it flushed in it and nothing
 * that it never submitted. */

#pragma once

#include "client/histogram.h"

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

#define PLAY_KEYS 12

/* Keys that everybody reads and nobody changes. */
#define PLAY_COMMON_KEYS 8

#define PLAY_WINDOW 256
#define PLAY_LONGEST_VALUE 40000

typedef enum
{
  PLAY_ERROR_WRONG,                 /* an answer or a state that cannot be */
} PlayError;

#define PLAY_ERROR (play_error_quark ())
GQuark play_error_quark (void);

/* What a key holds: an integer, or `length` bytes that follow from `number`. */
typedef struct
{
  ShmkvKind kind;                   /* NONE: there is no such key */
  guint64 number;
  gsize length;
  gboolean owned;                   /* it goes with the session */
} PlayValue;

typedef struct
{
  guint64 seed;
  guint id;                         /* tells the keys of different plays apart */
  guint64 n;                        /* operations so far */
  PlayValue values[PLAY_KEYS];
} Play;

/* How far a player has come; in memory that outlives it. */
typedef struct
{
  _Atomic guint64 submitted;        /* operations that the library was asked for */
  _Atomic guint64 flushed;          /* operations that the server was shown: they are carried out,
                                     * whatever happens to us */
  _Atomic guint64 checked;          /* answers that were checked, also in other plays */
} PlayProgress;

typedef struct
{
  ShmkvSession *session;
  Play play;
  PlayProgress *progress;
  CliHistogram *latency;            /* of operations that go alone; NULL: not wanted */
  gboolean pauses;                  /* now and then it does nothing for a while */
  gboolean (*goes_on) (gpointer);   /* NULL: always */
  gpointer data;
} Player;

void play_init (Play *play, guint64 seed, guint id);

/* Writes the keys that everybody reads. */
gboolean play_write_common (ShmkvSession *session, GError **error);

/* Plays up to `n` operations more, in windows of all sizes, and checks each
 * answer.  FALSE where the library failed, or an answer was wrong. */
gboolean player_run (Player *player, guint64 n, GError **error);

/* Whether what somebody left who had come so far, and is dead, is possible; and
 * deletes it. */
gboolean play_check_rest (const Play *begin, const PlayProgress *progress, ShmkvSession *session,
                          GError **error);

G_END_DECLS
