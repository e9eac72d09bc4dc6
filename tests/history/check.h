/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether what was answered about one key can be explained: see check.c. */

#pragma once

#include "history.h"

G_BEGIN_DECLS

/* A stamp that never comes. */
#define HISTORY_NEVER G_MAXUINT64

/* The server counts milliseconds, and so rounds twice. */
#define HISTORY_CLOCK_LAG G_GUINT64_CONSTANT (3000000)

typedef struct
{
  const HistoryRecord *record;
  guint64 invoked;
  guint64 returned;                 /* NEVER: pending.  Of what is not answered by wish: when
                                     * something later of its session was */
  guint32 session;
} HistoryOp;

typedef struct
{
  guint64 ended;                    /* from then on what belongs to it may go; NEVER: it stays */
} HistorySession;

typedef enum
{
  HISTORY_RIGHT,
  HISTORY_WRONG,
  HISTORY_UNDECIDED,                /* not within the limit */
} HistoryVerdict;

typedef struct _HistoryChecker HistoryChecker;

HistoryChecker *history_checker_new (void);
void history_checker_free (HistoryChecker *checker);

/* How many configurations may be looked at for each key before it gives up; 0: as
 * many as it takes.  By default some millions, beyond some per operation. */
void history_checker_set_limit (HistoryChecker *checker, guint64 limit);

/* Operations on one key, those of each session together and in its order, with
 * stamps that do not fall. */
HistoryVerdict history_check_key (HistoryChecker *checker, const HistoryOp *ops, gsize n,
                                  const HistorySession *sessions);

/* Where the last check came to an end without success: with the longest order that
 * it found, in numbers of operations. */
#define HISTORY_END_LAST 12
#define HISTORY_END_NEXT 24

typedef struct
{
  gsize n_done;                     /* how long that order is */
  guint n_last;
  gint32 last[HISTORY_END_LAST];    /* its last ones; -1: the end of a session */
  guint n_next;
  gint32 next[HISTORY_END_NEXT];    /* what could have been next, by the stamps */
  guint8 kind;                      /* of the value that the key then has; 0: none */
  guint64 value;
} HistoryEnd;

const HistoryEnd *history_checker_get_end (const HistoryChecker *checker);

/* What is wrong with it, for people; NULL where nothing is.  As little as can be is
 * shown: of what was answered later than needed nothing. */
char *history_explain_key (HistoryChecker *checker, const HistoryOp *ops, gsize n,
                           const HistorySession *sessions);

/* An operation as a line of text. */
char *history_describe (const HistoryOp *op);

/* Configurations looked at so far, and those of them that led nowhere. */
guint64 history_checker_get_steps (const HistoryChecker *checker);
guint64 history_checker_get_failures (const HistoryChecker *checker);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (HistoryChecker, history_checker_free)

G_END_DECLS
