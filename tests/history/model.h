/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the server promises for one key, as a machine: a state, and for an
 * operation and its answer the state that follows, or that this cannot be.
 *
 * Three things are not determined by the state:
 *
 *   versions    A state of a key has a version, which nobody knows until it is
 *               told.  All that is known then is that it was never told of
 *               another state of that key, nor will be.
 *   times       A key with a time to live expires at some moment between what
 *               its setter's stamps allow.
 *   sessions    What belongs to a session goes at some time after that ended.
 *
 * What may be this way or that is up to the caller: `choice'. */

#pragma once

#include "check.h"

G_BEGIN_DECLS

#define MODEL_NONE (-1)

/* Values and versions are known by their numbers in the checker. */
typedef struct
{
  guint64 value;
  gint32 value_id;                  /* NONE: no answer tells of it */
  gint32 version_id;                /* NONE: not told yet */
  gint32 expiry;                    /* which operation set its time to live; NONE */
  gint32 owner;                     /* the slot of the session that it belongs to; NONE */
  guint8 kind;                      /* SHMKV_KIND_NONE: there is no such key */
} ModelState;

/* An operation, made ready. */
typedef struct
{
  const HistoryRecord *record;
  guint64 invoked;
  guint64 returned;
  gint32 slot;                      /* its session's */
  gint32 index;                     /* its own */
  gboolean answered;
  gint32 sees;                      /* value that must be there before */
  gint32 makes;                     /* value that it may leave */
  gint32 sees_version;              /* version that must be there before */
  gint32 makes_version;             /* version that it leaves, and that is new */
  gint32 asks_version;              /* version that it compares with, also where in vain */
} ModelOp;

typedef enum
{
  MODEL_EXPIRED = 1 << 0,           /* the key has expired before */
  MODEL_MATCHES = 1 << 1,           /* a version that nobody was told of is the one asked for */
} ModelChoice;

static const ModelState model_absent = { .value_id = MODEL_NONE, .version_id = MODEL_NONE,
                                         .expiry = MODEL_NONE, .owner = MODEL_NONE };

/* Whether the answer was a success that changes the key.  Of what is not
 * answered that is not known: FALSE. */
gboolean model_is_change (const HistoryRecord *record);

/* Whether the operation can change the key at all. */
gboolean model_can_change (const HistoryRecord *record);

/* The value and the version that an answered operation found; FALSE: it does not
 * tell. */
gboolean model_seen_value (const HistoryRecord *record, guint8 *kind_out, guint64 *value_out);
gboolean model_seen_version (const HistoryRecord *record, guint64 *version_out);

/* The same for what it left. */
gboolean model_made_value (const HistoryRecord *record, gboolean answered, guint8 *kind_out,
                           guint64 *value_out);
gboolean model_made_version (const HistoryRecord *record, guint64 *version_out);

/* Whether a key in that state may have expired by that time, or must have. */
gboolean model_may_expire (const ModelOp *ops, const ModelState *state, guint64 time);
gboolean model_must_expire (const ModelOp *ops, const ModelState *state, guint64 time);

/* Whether the operation's answer is right in the state before, which becomes the
 * one after.  That a version is told for the first time is up to the caller. */
gboolean model_step (const ModelOp *ops, const ModelOp *op, guint choice, ModelState *state);

G_END_DECLS
