/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What checks histories is itself checked: with histories that are right though
 * they do not look it, and wrong ones; with random ones that were made by doing
 * one operation after the other, which are right; and with those after a random
 * change, which a search without any cleverness judges, too. */

#include "config.h"

#include "history/check.h"
#include "history/model.h"
#include "history/set.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define MS G_GUINT64_CONSTANT (1000000)
#define MAX_SESSIONS 6
#define MAX_OPS 400

/* ------------------------------------------------------------------ by hand */

/* Times are small numbers; sessions count from 0 and come in order. */
typedef struct
{
  guint session;
  guint64 invoked;
  guint64 returned;                 /* 0: pending, or silent */
  ShmkvOp op;
  ShmkvStatus status;
  guint flags;
  guint64 value;
  guint64 expected;
  guint64 version;
  guint64 answer;                   /* 0: no value */
  guint64 answer_version;
  guint32 ttl_ms;
  guint8 kind;                      /* of all values; 0: integer */
} Line;

typedef struct
{
  const char *path;
  HistoryVerdict verdict;
  Line lines[10];
  guint64 ended[3];                 /* of sessions; 0: never */
} Case;

#define INSERT SHMKV_OP_INSERT
#define READ SHMKV_OP_READ
#define DELETE SHMKV_OP_DELETE
#define ADD SHMKV_OP_ADD
#define SUBTRACT SHMKV_OP_SUBTRACT
#define EXPIRE SHMKV_OP_EXPIRE
#define TTL SHMKV_OP_TTL
#define WAIT SHMKV_OP_WAIT
#define OK SHMKV_STATUS_OK
#define ADDED SHMKV_STATUS_ADDED
#define REPLACED SHMKV_STATUS_REPLACED
#define NO_KEY SHMKV_STATUS_NO_KEY
#define MISMATCH SHMKV_STATUS_MISMATCH
#define UNCHANGED SHMKV_STATUS_UNCHANGED

static const Case cases[] = {
  { "right/concurrent-writes", HISTORY_RIGHT,
    { { 0, 1, 9, INSERT, REPLACED, .value = 5 },
      { 1, 1, 9, INSERT, ADDED, .value = 6 },
      { 2, 10, 11, READ, OK, .answer = 5 } } },
  { "right/read-while-written", HISTORY_RIGHT,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 9, INSERT, REPLACED, .value = 6 },
      { 1, 4, 5, READ, OK, .answer = 6 },
      { 2, 3, 4, READ, OK, .answer = 5 } } },
  { "wrong/stale-read", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 4, INSERT, REPLACED, .value = 6 },
      { 1, 5, 6, READ, OK, .answer = 5 } } },
  { "wrong/old-after-new", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 9, INSERT, REPLACED, .value = 6 },
      { 1, 4, 5, READ, OK, .answer = 6 },
      { 2, 6, 7, READ, OK, .answer = 5 } } },
  { "wrong/never-written", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 1, 1, 9, READ, OK, .answer = 7 } } },
  { "wrong/torn", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5, .kind = SHMKV_KIND_BYTES },
      { 1, 1, 9, READ, OK, .answer = 5, .kind = HISTORY_KIND_TORN } } },
  { "wrong/other-kind", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5, .kind = SHMKV_KIND_BYTES },
      { 1, 1, 9, READ, OK, .answer = 5 } } },
  { "wrong/lost-insert", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 1, 3, 4, READ, NO_KEY } } },
  { "wrong/two-added", HISTORY_WRONG,
    { { 0, 1, 9, INSERT, ADDED, .value = 5 },
      { 1, 1, 9, INSERT, ADDED, .value = 6 } } },
  { "right/two-added-and-delete", HISTORY_RIGHT,
    { { 0, 1, 9, INSERT, ADDED, .value = 5 },
      { 1, 1, 9, INSERT, ADDED, .value = 6 },
      { 2, 1, 9, DELETE, OK } } },
  { "wrong/deleted-twice", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 4, DELETE, OK },
      { 1, 3, 4, DELETE, OK } } },
  { "wrong/delete-comes-back", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 4, DELETE, OK },
      { 1, 5, 6, READ, OK, .answer = 5 } } },
  { "wrong/delete-of-nothing", HISTORY_WRONG, { { 0, 1, 2, DELETE, OK } } },
  { "wrong/old-value", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 4, INSERT, REPLACED, SHMKV_FLAG_OLD, .value = 6, .answer = 5 },
      { 0, 5, 6, DELETE, OK, SHMKV_FLAG_OLD, .answer = 5 } } },
  { "wrong/old-value-twice", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 9, INSERT, REPLACED, SHMKV_FLAG_OLD, .value = 6, .answer = 5 },
      { 1, 3, 9, INSERT, REPLACED, SHMKV_FLAG_OLD, .value = 7, .answer = 5 } } },
  { "wrong/old-value-unasked", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 4, DELETE, OK, .answer = 5 } } },

  { "wrong/value-cas-twice", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 9, INSERT, REPLACED, SHMKV_FLAG_IF_VALUE, .value = 6, .expected = 5 },
      { 1, 3, 9, INSERT, REPLACED, SHMKV_FLAG_IF_VALUE, .value = 7, .expected = 5 } } },
  { "right/value-cas-came-again", HISTORY_RIGHT,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 9, INSERT, REPLACED, SHMKV_FLAG_IF_VALUE, .value = 6, .expected = 5 },
      { 1, 3, 9, INSERT, REPLACED, SHMKV_FLAG_IF_VALUE, .value = 7, .expected = 5 },
      { 2, 3, 9, INSERT, REPLACED, .value = 5 } } },
  { "wrong/mismatch-that-matches", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 1, 3, 4, INSERT, MISMATCH, SHMKV_FLAG_IF_VALUE, .value = 6, .expected = 5 } } },
  { "wrong/mismatch-has-changed", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 1, 3, 4, INSERT, MISMATCH, SHMKV_FLAG_IF_ABSENT, .value = 6 },
      { 1, 5, 6, READ, OK, .answer = 6 } } },
  { "wrong/if-absent-twice", HISTORY_WRONG,
    { { 0, 1, 9, INSERT, ADDED, SHMKV_FLAG_IF_ABSENT, .value = 5 },
      { 1, 1, 9, INSERT, ADDED, SHMKV_FLAG_IF_ABSENT, .value = 6 } } },
  { "wrong/if-present-of-nothing", HISTORY_WRONG,
    { { 0, 1, 9, INSERT, REPLACED, SHMKV_FLAG_IF_PRESENT, .value = 5 } } },
  { "wrong/delete-if-other", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 1, 3, 4, DELETE, OK, SHMKV_FLAG_IF_VALUE, .expected = 6 } } },

  { "right/version", HISTORY_RIGHT,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 0, 3, 4, INSERT, REPLACED, .value = 6 },
      { 0, 5, 6, READ, OK, SHMKV_FLAG_VERSION, .answer = 6, .answer_version = 2 },
      { 0, 7, 8, INSERT, REPLACED, SHMKV_FLAG_IF_VERSION, .value = 7, .version = 2 },
      { 1, 1, 9, DELETE, MISMATCH, SHMKV_FLAG_IF_VERSION, .version = 1 } } },
  { "wrong/version-cas-twice", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 0, 3, 9, INSERT, REPLACED, SHMKV_FLAG_IF_VERSION, .value = 6, .version = 1 },
      { 1, 3, 9, INSERT, REPLACED, SHMKV_FLAG_IF_VERSION, .value = 7, .version = 1 } } },
  { "wrong/version-stays", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 0, 3, 4, INSERT, REPLACED, .value = 5 },
      { 0, 5, 6, READ, OK, SHMKV_FLAG_VERSION, .answer = 5, .answer_version = 1 } } },
  { "wrong/version-comes-again", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 0, 3, 4, DELETE, OK },
      { 0, 5, 6, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 6, .answer_version = 1 } } },
  { "wrong/two-versions", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 4, READ, OK, SHMKV_FLAG_VERSION, .answer = 5, .answer_version = 1 },
      { 1, 3, 4, READ, OK, SHMKV_FLAG_VERSION, .answer = 5, .answer_version = 2 } } },
  { "wrong/no-version", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 4, READ, OK, SHMKV_FLAG_VERSION, .answer = 5 } } },
  { "wrong/version-of-nothing", HISTORY_WRONG,
    { { 0, 3, 4, READ, NO_KEY, SHMKV_FLAG_VERSION, .answer_version = 3 } } },
  { "wrong/version-0-of-something", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 4, DELETE, OK, SHMKV_FLAG_IF_VERSION } } },
  { "wrong/cas-of-what-was-deleted", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 1, 3, 4, DELETE, OK },
      { 1, 5, 6, INSERT, ADDED, .value = 5 },
      { 0, 7, 8, INSERT, REPLACED, SHMKV_FLAG_IF_VERSION, .value = 6, .version = 1 } } },

  { "right/sums", HISTORY_RIGHT,
    { { 0, 1, 9, ADD, OK, .value = 5, .answer = 12 },
      { 1, 1, 9, ADD, OK, .value = 7, .answer = 7 },
      { 2, 1, 9, SUBTRACT, OK, .value = 12, .answer = 0, .kind = SHMKV_KIND_INTEGER } } },
  { "wrong/lost-update", HISTORY_WRONG,
    { { 0, 1, 9, ADD, OK, .value = 5, .answer = 5 },
      { 1, 1, 9, ADD, OK, .value = 7, .answer = 7 } } },
  { "wrong/sum", HISTORY_WRONG,
    { { 0, 1, 2, ADD, OK, .value = 5, .answer = 5 },
      { 0, 3, 4, SUBTRACT, OK, .value = 2, .answer = 2 } } },
  { "wrong/sum-lost-later", HISTORY_WRONG,
    { { 0, 1, 2, ADD, OK, .value = 5, .answer = 5 },
      { 1, 3, 4, ADD, OK, .value = 7, .answer = 12 },
      { 0, 5, 6, READ, OK, .answer = 5 } } },
  { "wrong/overflow-without-need", HISTORY_WRONG,
    { { 0, 1, 2, ADD, SHMKV_STATUS_OVERFLOW, .value = 5 } } },
  { "wrong/no-overflow", HISTORY_WRONG,
    { { 0, 1, 2, SUBTRACT, OK, .value = 1, .answer = G_MAXUINT64 } } },
  { "right/wrap", HISTORY_RIGHT,
    { { 0, 1, 2, SUBTRACT, OK, SHMKV_FLAG_WRAP, .value = 1, .answer = G_MAXUINT64 } } },
  { "wrong/sum-of-bytes", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5, .kind = SHMKV_KIND_BYTES },
      { 0, 3, 4, ADD, OK, .value = 1, .answer = 6 } } },
  { "wrong/wrong-kind-of-nothing", HISTORY_WRONG,
    { { 0, 3, 4, ADD, SHMKV_STATUS_WRONG_KIND, .value = 1 } } },

  { "wrong/session-order", HISTORY_WRONG,
    { { 0, 1, 9, INSERT, ADDED, .value = 5 },
      { 0, 2, 9, READ, OK, .answer = 5 },
      { 0, 3, 9, INSERT, REPLACED, .value = 6 },
      { 1, 1, 9, READ, OK, .answer = 6 },
      { 1, 2, 9, READ, OK, .answer = 5 } } },
  { "wrong/reads-own-writes", HISTORY_WRONG,
    { { 0, 1, 9, INSERT, ADDED, .value = 5 },
      { 0, 2, 9, READ, NO_KEY } } },
  { "wrong/first-of-session", HISTORY_WRONG,
    { { 0, 1, 9, READ, OK, .answer = 5 },
      { 0, 2, 9, INSERT, ADDED, .value = 5 } } },

  { "right/pending-took-effect", HISTORY_RIGHT,
    { { 0, 1, 0, INSERT, .value = 5 },
      { 1, 90, 91, READ, OK, .answer = 5 } } },
  { "right/pending-did-not", HISTORY_RIGHT,
    { { 0, 1, 0, INSERT, .value = 5 },
      { 1, 90, 91, READ, NO_KEY } } },
  { "right/pending-late", HISTORY_RIGHT,
    { { 0, 1, 0, INSERT, .value = 5 },
      { 1, 80, 81, READ, NO_KEY },
      { 1, 90, 91, READ, OK, .answer = 5 } } },
  { "wrong/pending-twice", HISTORY_WRONG,
    { { 0, 1, 0, INSERT, .value = 5 },
      { 1, 80, 81, READ, OK, .answer = 5 },
      { 1, 82, 83, DELETE, OK },
      { 1, 90, 91, READ, OK, .answer = 5 } } },
  { "wrong/pending-too-early", HISTORY_WRONG,
    { { 0, 90, 0, INSERT, .value = 5 },
      { 1, 80, 81, READ, OK, .answer = 5 } } },
  { "right/pending-in-order", HISTORY_RIGHT,
    { { 0, 1, 0, INSERT, .value = 5 },
      { 0, 2, 0, DELETE },
      { 0, 3, 0, INSERT, .value = 7 },
      { 1, 80, 81, INSERT, ADDED, .value = 4 },
      { 1, 90, 91, READ, OK, .answer = 7 } } },
  { "wrong/pending-order", HISTORY_WRONG,
    { { 0, 1, 0, INSERT, .value = 5 },
      { 0, 2, 0, INSERT, .value = 6 },
      { 1, 80, 81, READ, OK, .answer = 6 },
      { 1, 90, 91, READ, OK, .answer = 5 } } },
  { "wrong/pending-gap", HISTORY_WRONG,
    { { 0, 1, 0, ADD, .value = 5 },
      { 0, 2, 0, ADD, .value = 1 },
      { 1, 80, 81, READ, OK, .answer = 1 } } },
  { "right/pending-cas", HISTORY_RIGHT,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 0, 3, 0, INSERT, .flags = SHMKV_FLAG_IF_VERSION, .value = 6, .version = 1 },
      { 1, 5, 6, READ, OK, .answer = 6 } } },
  { "wrong/pending-cas-in-vain", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 0, 3, 4, INSERT, REPLACED, .value = 7 },
      { 0, 5, 0, INSERT, .flags = SHMKV_FLAG_IF_VERSION, .value = 6, .version = 1 },
      { 1, 7, 8, READ, OK, .answer = 6 } } },

  { "right/silent", HISTORY_RIGHT,
    { { 0, 1, 0, INSERT, .flags = SHMKV_FLAG_NO_RESPONSE, .value = 5 },
      { 0, 2, 3, READ, OK, .answer = 5 } } },
  { "wrong/silent-lost", HISTORY_WRONG,
    { { 0, 1, 0, INSERT, .flags = SHMKV_FLAG_NO_RESPONSE, .value = 5 },
      { 0, 2, 3, READ, NO_KEY } } },
  { "wrong/silent-late", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 4 },
      { 0, 3, 0, INSERT, .flags = SHMKV_FLAG_NO_RESPONSE, .value = 5 },
      { 0, 4, 5, READ, OK, .answer = 5 },
      { 1, 6, 7, READ, OK, .answer = 4 } } },

  { "right/expired", HISTORY_RIGHT,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_TTL, .value = 5, .ttl_ms = 10 },
      { 0, 1 * MS, 2 * MS, READ, OK, .answer = 5 },
      { 0, 11 * MS, 12 * MS, READ, NO_KEY },
      { 1, 11 * MS, 12 * MS, INSERT, ADDED, .value = 6 } } },
  { "wrong/expired-early", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_TTL, .value = 5, .ttl_ms = 10 },
      { 0, 1 * MS, 2 * MS, READ, NO_KEY } } },
  { "wrong/not-expired", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_TTL, .value = 5, .ttl_ms = 10 },
      { 0, 20 * MS, 21 * MS, READ, OK, .answer = 5 } } },
  { "wrong/expired-comes-back", HISTORY_WRONG,
    { { 0, 1, 9 * MS, INSERT, ADDED, SHMKV_FLAG_TTL, .value = 5, .ttl_ms = 10 },
      { 0, 11 * MS, 12 * MS, READ, NO_KEY },
      { 0, 13 * MS, 14 * MS, READ, OK, .answer = 5 } } },
  { "wrong/time-to-live-forgotten", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 3, 4, EXPIRE, OK, SHMKV_FLAG_TTL, .ttl_ms = 10 },
      { 0, 30 * MS, 31 * MS, INSERT, REPLACED, .value = 6 } } },
  { "right/time-to-live-removed", HISTORY_RIGHT,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_TTL, .value = 5, .ttl_ms = 10 },
      { 0, 3, 4, EXPIRE, OK },
      { 0, 30 * MS, 31 * MS, READ, OK, .answer = 5 } } },
  { "right/time-to-live", HISTORY_RIGHT,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_TTL, .value = 5, .ttl_ms = 10 },
      { 0, 5 * MS, 6 * MS, TTL, OK, .answer = 5 } } },
  { "wrong/time-to-live", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_TTL, .value = 5, .ttl_ms = 100 },
      { 0, 50 * MS, 51 * MS, TTL, OK, .answer = 90 } } },
  { "wrong/time-to-live-of-other", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, .value = 5 },
      { 0, 50 * MS, 51 * MS, TTL, OK, .answer = 90 } } },

  { "right/session-key", HISTORY_RIGHT,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_SESSION, .value = 5 },
      { 1, 11, 12, READ, OK, .answer = 5 },
      { 1, 13, 14, READ, NO_KEY } },
    { 10 } },
  { "wrong/session-key-early", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_SESSION, .value = 5 },
      { 1, 3, 4, READ, NO_KEY } },
    { 10 } },
  { "wrong/session-key-comes-back", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_SESSION, .value = 5 },
      { 1, 11, 12, READ, NO_KEY },
      { 1, 13, 14, READ, OK, .answer = 5 } },
    { 10 } },
  { "wrong/session-key-of-other", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_SESSION, .value = 5 },
      { 1, 3, 4, INSERT, REPLACED, .value = 6 },
      { 1, 13, 14, READ, NO_KEY } },
    { 10 } },
  { "right/session-key-pending", HISTORY_RIGHT,
    { { 0, 1, 0, INSERT, .flags = SHMKV_FLAG_SESSION, .value = 5 },
      { 1, 11, 12, READ, OK, .answer = 5 },
      { 1, 13, 14, READ, NO_KEY } },
    { 10 } },
  { "wrong/pending-after-the-end", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_SESSION, .value = 5 },
      { 0, 3, 0, INSERT, .value = 6 },
      { 1, 13, 14, READ, NO_KEY },
      { 1, 15, 16, READ, OK, .answer = 6 } },
    { 10 } },

  { "right/wait", HISTORY_RIGHT,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 1, 3, 9, WAIT, OK, .value = 1, .answer = 6, .answer_version = 2 },
      { 2, 4, 5, INSERT, REPLACED, .value = 6 } } },
  { "wrong/wait-of-the-known", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 1, 3, 9, WAIT, OK, .value = 1, .answer = 5, .answer_version = 1 } } },
  { "wrong/wait-unchanged", HISTORY_WRONG,
    { { 0, 1, 2, INSERT, ADDED, SHMKV_FLAG_VERSION, .value = 5, .answer_version = 1 },
      { 0, 3, 4, INSERT, REPLACED, .value = 6 },
      { 1, 5, 9, WAIT, UNCHANGED, .value = 1 } } },
};

static void
fill_record (HistoryRecord *record, const Line *line)
{
  guint8 kind = line->kind != 0 ? line->kind : SHMKV_KIND_INTEGER;
  guint8 written = kind == HISTORY_KIND_TORN ? SHMKV_KIND_BYTES : kind;
  gboolean has_value = line->op == INSERT || line->op == ADD || line->op == SUBTRACT
                       || line->op == WAIT;
  gboolean has_expected = (line->flags & SHMKV_FLAG_IF_VALUE) != 0;
  gboolean has_answer = line->answer != 0 || ((line->op == ADD || line->op == SUBTRACT)
                                              && line->status == OK);

  *record = (HistoryRecord) {
    .invoked = line->invoked, .returned = line->returned, .key = 1,
    .value = line->value, .expected = line->expected, .version = line->version,
    .answer = line->answer, .answer_version = line->answer_version, .ttl_ms = line->ttl_ms,
    .flags = (guint16) line->flags, .op = (guint8) line->op, .status = (guint8) line->status,
    .key_kind = SHMKV_KIND_INTEGER,
    .value_kind = has_value ? written : SHMKV_KIND_NONE,
    .expected_kind = has_expected ? written : SHMKV_KIND_NONE,
    .answer_kind = has_answer ? kind : SHMKV_KIND_NONE,
  };
}

/* What is silent is over when something later of its session is. */
static void
end_silent (HistoryOp *ops, gsize n)
{
  for (gsize i = n; i-- > 0;)
    if ((ops[i].record->flags & SHMKV_FLAG_NO_RESPONSE) != 0)
      ops[i].returned = i + 1 < n && ops[i + 1].session == ops[i].session ? ops[i + 1].returned
                                                                          : HISTORY_NEVER;
}

static void
test_case (gconstpointer data)
{
  const Case *of = data;
  g_autoptr (HistoryChecker) checker = history_checker_new ();
  HistoryRecord records[G_N_ELEMENTS (of->lines)];
  HistoryOp ops[G_N_ELEMENTS (of->lines)];
  HistorySession sessions[G_N_ELEMENTS (of->ended)];
  g_autofree char *text = NULL;
  gsize n = 0;

  for (; n < G_N_ELEMENTS (of->lines) && of->lines[n].invoked != 0; n++)
    {
      const Line *line = &of->lines[n];

      fill_record (&records[n], line);
      ops[n] = (HistoryOp) { &records[n], line->invoked,
                             line->returned != 0 ? line->returned : HISTORY_NEVER, line->session };
    }
  end_silent (ops, n);
  for (gsize i = 0; i < G_N_ELEMENTS (sessions); i++)
    sessions[i].ended = of->ended[i] != 0 ? of->ended[i] : HISTORY_NEVER;
  g_assert_cmpint (history_check_key (checker, ops, n, sessions), ==, of->verdict);
  text = history_explain_key (checker, ops, n, sessions);
  g_assert_true ((text == NULL) == (of->verdict == HISTORY_RIGHT));
}

/* ---------------------------------------------------------------- made ones */

/* A server of one key, in which things happen one after the other. */
typedef struct
{
  GRand *random;
  guint n_sessions;
  guint n_values;                   /* that are written; 0: each once */
  guint64 now;
  guint64 last_version;
  guint64 last_value;

  guint8 kind;
  guint64 value;
  guint64 version;
  guint64 expiry;                   /* a time; 0: none */
  guint owner;                      /* a session and 1; 0: none */

  struct
  {
    HistoryRecord records[MAX_OPS];
    guint64 returned[MAX_OPS];
    guint n;                        /* submitted */
    guint n_done;
    guint n_answered;
    guint n_wanted;
    gboolean dead;
    guint64 ended;
  } sessions[MAX_SESSIONS];
} Maker;

static guint
below (Maker *maker, guint n)
{
  return (guint) g_rand_int_range (maker->random, 0, (gint32) n);
}

static guint64
make_value (Maker *maker)
{
  if (maker->n_values > 0)
    return 1 + below (maker, maker->n_values);
  return ++maker->last_value << 20;
}

/* Some value that there was, or will be. */
static guint64
any_value (Maker *maker)
{
  if (maker->n_values > 0 || maker->last_value == 0)
    return make_value (maker);
  return (1 + below (maker, (guint) maker->last_value)) << 20;
}

/* The present one, or one of those before. */
static guint64
any_version (Maker *maker)
{
  guint64 n_back = below (maker, 3);

  return maker->last_version - MIN (maker->last_version, n_back);
}

static guint8
any_kind (Maker *maker)
{
  return below (maker, 5) == 0 ? SHMKV_KIND_BYTES : SHMKV_KIND_INTEGER;
}

static void
make_condition (Maker *maker, HistoryRecord *record)
{
  static const guint conditions[] = { 0, 0, 0, SHMKV_FLAG_IF_ABSENT, SHMKV_FLAG_IF_PRESENT,
                                      SHMKV_FLAG_IF_VALUE, SHMKV_FLAG_IF_VERSION };
  guint flag = conditions[below (maker, G_N_ELEMENTS (conditions))];

  if (record->op == DELETE)
    flag &= SHMKV_FLAG_IF_VALUE | SHMKV_FLAG_IF_VERSION;
  else if (record->op != INSERT)
    flag &= SHMKV_FLAG_IF_PRESENT | SHMKV_FLAG_IF_VERSION;
  record->flags |= flag;
  if (flag == SHMKV_FLAG_IF_VALUE)
    {
      record->expected_kind = any_kind (maker);
      record->expected = any_value (maker);
    }
  if (flag == SHMKV_FLAG_IF_VERSION)
    record->version = any_version (maker);
}

static void
make_flags (Maker *maker, HistoryRecord *record, guint flags)
{
  record->flags |= (guint16) (flags & g_rand_int (maker->random) & g_rand_int (maker->random));
  if (record->op != READ && record->op != WAIT && record->op != TTL && below (maker, 25) == 0)
    record->flags |= SHMKV_FLAG_NO_RESPONSE;
  if ((record->flags & SHMKV_FLAG_TTL) != 0)
    record->ttl_ms = 1 + below (maker, 30);
}

static void
make_request (Maker *maker, HistoryRecord *record)
{
  static const ShmkvOp ops[] = { READ, READ, READ, READ, INSERT, INSERT, INSERT, DELETE, ADD, ADD,
                                 SUBTRACT, EXPIRE, TTL, WAIT };

  *record = (HistoryRecord) { .op = (guint8) ops[below (maker, G_N_ELEMENTS (ops))], .key = 1,
                              .key_kind = SHMKV_KIND_INTEGER };
  switch (record->op)
    {
    case INSERT:
      record->value_kind = any_kind (maker);
      record->value = make_value (maker);
      make_condition (maker, record);
      make_flags (maker, record, SHMKV_FLAG_VERSION | SHMKV_FLAG_OLD | SHMKV_FLAG_TTL
                                   | SHMKV_FLAG_SESSION);
      break;
    case READ:
      make_flags (maker, record, SHMKV_FLAG_VERSION);
      break;
    case DELETE:
      make_condition (maker, record);
      make_flags (maker, record, SHMKV_FLAG_OLD);
      break;
    case ADD:
    case SUBTRACT:
      record->value_kind = SHMKV_KIND_INTEGER;
      record->value = 1 + below (maker, maker->n_values > 0 ? 3 : 1000000);
      make_condition (maker, record);
      make_flags (maker, record, SHMKV_FLAG_VERSION | SHMKV_FLAG_WRAP);
      break;
    case EXPIRE:
      make_flags (maker, record, SHMKV_FLAG_TTL);
      break;
    case WAIT:
      record->value_kind = SHMKV_KIND_INTEGER;
      record->value = any_version (maker);
      break;
    default:
      break;
    }
}

static guint64
get_version (Maker *maker)
{
  if (maker->kind == SHMKV_KIND_NONE)
    return 0;
  if (maker->version == 0)
    maker->version = ++maker->last_version;
  return maker->version;
}

static void
forget (Maker *maker)
{
  maker->kind = SHMKV_KIND_NONE;
  maker->value = maker->version = maker->expiry = 0;
  maker->owner = 0;
}

static gboolean
are_met (const Maker *maker, const HistoryRecord *record)
{
  gboolean present = maker->kind != SHMKV_KIND_NONE;

  return !((record->flags & SHMKV_FLAG_IF_ABSENT) != 0 && present)
         && !((record->flags & SHMKV_FLAG_IF_PRESENT) != 0 && !present)
         && !((record->flags & SHMKV_FLAG_IF_VALUE) != 0
              && (maker->kind != record->expected_kind || maker->value != record->expected))
         && !((record->flags & SHMKV_FLAG_IF_VERSION) != 0
              && (record->version == 0 ? present
                                       : !present || maker->version != record->version));
}

static void
tell (Maker *maker, HistoryRecord *record, ShmkvStatus status, gboolean value)
{
  record->status = (guint8) status;
  if (value)
    {
      record->answer_kind = maker->kind;
      record->answer = maker->value;
    }
  if ((record->flags & SHMKV_FLAG_VERSION) != 0 && status < SHMKV_STATUS_UNSUPPORTED)
    record->answer_version = get_version (maker);
}

static void
do_insert (Maker *maker, HistoryRecord *record, guint session)
{
  ShmkvStatus status = maker->kind != SHMKV_KIND_NONE ? REPLACED : ADDED;

  if (!are_met (maker, record))
    {
      tell (maker, record, MISMATCH, FALSE);
      return;
    }
  if ((record->flags & SHMKV_FLAG_OLD) != 0)
    {
      record->answer_kind = maker->kind;
      record->answer = maker->value;
    }
  forget (maker);
  maker->kind = record->value_kind;
  maker->value = record->value;
  maker->owner = (record->flags & SHMKV_FLAG_SESSION) != 0 ? session + 1 : 0;
  if ((record->flags & SHMKV_FLAG_TTL) != 0)
    maker->expiry = maker->now + record->ttl_ms * MS;
  tell (maker, record, status, FALSE);
}

static void
do_delete (Maker *maker, HistoryRecord *record)
{
  if (maker->kind == SHMKV_KIND_NONE)
    tell (maker, record, NO_KEY, FALSE);
  else if (!are_met (maker, record))
    tell (maker, record, MISMATCH, FALSE);
  else
    {
      tell (maker, record, OK, (record->flags & SHMKV_FLAG_OLD) != 0);
      forget (maker);
    }
}

static void
do_sum (Maker *maker, HistoryRecord *record)
{
  guint64 sum = record->op == ADD ? maker->value + record->value : maker->value - record->value;
  gboolean overflows = record->op == ADD ? sum < record->value : maker->value < record->value;

  if (maker->kind == SHMKV_KIND_NONE && (record->flags & SHMKV_FLAG_IF_PRESENT) != 0)
    tell (maker, record, NO_KEY, FALSE);
  else if (!are_met (maker, record))
    tell (maker, record, MISMATCH, FALSE);
  else if (maker->kind == SHMKV_KIND_BYTES)
    tell (maker, record, SHMKV_STATUS_WRONG_KIND, FALSE);
  else if (overflows && (record->flags & SHMKV_FLAG_WRAP) == 0)
    tell (maker, record, SHMKV_STATUS_OVERFLOW, FALSE);
  else
    {
      maker->kind = SHMKV_KIND_INTEGER;
      maker->value = sum;
      maker->version = 0;
      tell (maker, record, OK, TRUE);
    }
}

static void
do_other (Maker *maker, HistoryRecord *record)
{
  gboolean present = maker->kind != SHMKV_KIND_NONE;

  if (record->op == WAIT)
    {
      if (get_version (maker) == record->value)
        record->status = UNCHANGED;
      else
        {
          tell (maker, record, present ? OK : NO_KEY, present);
          record->answer_version = get_version (maker);
        }
      return;
    }
  tell (maker, record, present ? OK : NO_KEY, record->op == READ);
  if (present && record->op == TTL)
    {
      record->answer_kind = SHMKV_KIND_INTEGER;
      if (maker->expiry != 0)
        record->answer = MAX ((maker->expiry - maker->now) / MS, 1);
    }
  if (present && record->op == EXPIRE)
    maker->expiry
      = (record->flags & SHMKV_FLAG_TTL) != 0 ? maker->now + record->ttl_ms * MS : 0;
}

static void
do_next (Maker *maker, guint session)
{
  HistoryRecord *record = &maker->sessions[session].records[maker->sessions[session].n_done++];

  if (maker->expiry != 0 && maker->expiry <= maker->now)
    forget (maker);
  if (record->op == INSERT)
    do_insert (maker, record, session);
  else if (record->op == DELETE)
    do_delete (maker, record);
  else if (record->op == ADD || record->op == SUBTRACT)
    do_sum (maker, record);
  else
    do_other (maker, record);
}

static void
submit_next (Maker *maker, guint session)
{
  HistoryRecord *record = &maker->sessions[session].records[maker->sessions[session].n++];

  make_request (maker, record);
  record->invoked = maker->now;
}

static void
answer_next (Maker *maker, guint session)
{
  guint i = maker->sessions[session].n_answered++;

  maker->sessions[session].returned[i] = maker->now;
}

/* Something happens in a session; or it dies, and what it left may yet happen. */
static void
happen (Maker *maker, guint session, guint window)
{
  guint in_flight = maker->sessions[session].n - maker->sessions[session].n_answered;
  gboolean dead = maker->sessions[session].dead;
  guint dice = below (maker, 100);

  if (maker->sessions[session].ended != 0)
    return;
  if (dice == 99 && !dead && below (maker, 10) == 0 && maker->sessions[session].n > 0)
    maker->sessions[session].dead = TRUE;
  else if (dead && dice >= 95)
    {
      maker->sessions[session].ended = maker->now;
      if (maker->owner == session + 1)
        forget (maker);
    }
  else if (dice < 33 && !dead && in_flight < window
           && maker->sessions[session].n < maker->sessions[session].n_wanted)
    submit_next (maker, session);
  else if (dice < 66 && maker->sessions[session].n_done < maker->sessions[session].n)
    do_next (maker, session);
  else if (!dead && maker->sessions[session].n_answered < maker->sessions[session].n_done)
    answer_next (maker, session);
}

static gboolean
is_finished (const Maker *maker)
{
  for (guint i = 0; i < maker->n_sessions; i++)
    if (maker->sessions[i].ended == 0 && !maker->sessions[i].dead
        && maker->sessions[i].n_answered < maker->sessions[i].n_wanted)
      return FALSE;
  return TRUE;
}

static void
make (Maker *maker, guint n_sessions, guint n_ops, guint window, guint n_values)
{
  memset (maker->sessions, 0, sizeof maker->sessions);
  forget (maker);
  maker->n_sessions = n_sessions;
  maker->n_values = n_values;
  maker->now = 1000 * MS;
  maker->last_version = maker->last_value = 0;
  for (guint i = 0; i < n_sessions; i++)
    maker->sessions[i].n_wanted = n_ops;
  while (!is_finished (maker))
    {
      maker->now += below (maker, 40) == 0 ? 5 * MS : 1 + below (maker, 1000);
      happen (maker, below (maker, n_sessions), window);
    }
}

/* As the checker wants it; FALSE: nothing happened. */
static gsize
collect (Maker *maker, HistoryOp *ops, HistorySession *sessions)
{
  gsize n = 0;

  for (guint i = 0; i < maker->n_sessions; i++)
    {
      guint64 stamp = 1;

      for (guint j = 0; j < maker->sessions[i].n; j++, n++)
        {
          HistoryRecord *record = &maker->sessions[i].records[j];
          gboolean answered = j < maker->sessions[i].n_answered;

          stamp = MAX (stamp, record->invoked);
          if (answered)
            stamp = MAX (stamp, maker->sessions[i].returned[j]);
          ops[n] = (HistoryOp) { record, record->invoked,
                                 answered ? maker->sessions[i].returned[j] : HISTORY_NEVER, i };
        }
      sessions[i].ended = maker->sessions[i].dead ? stamp : HISTORY_NEVER;
    }
  end_silent (ops, n);
  return n;
}

/* --------------------------------------------------------------- brute force */

/* The search without cleverness: all orders.  What versions were told on the way is
 * looked for in the order itself. */
typedef struct
{
  ModelOp ops[MAX_SESSIONS * MAX_OPS];
  guint n_sessions;
  gint32 begins[MAX_SESSIONS];
  gint32 ends[MAX_SESSIONS];
  gint32 positions[MAX_SESSIONS];
  guint64 ended[MAX_SESSIONS];
  gint32 order[MAX_SESSIONS * MAX_OPS];
  guint n_order;
  guint64 n_tried;
} Brute;

/* Versions are small numbers here: their own IDs. */
static void
brute_add (Brute *brute, const HistoryOp *from, gint32 index)
{
  ModelOp *op = &brute->ops[index];
  guint64 version;

  *op = (ModelOp) { .record = from->record, .invoked = from->invoked, .returned = from->returned,
                    .slot = (gint32) from->session, .index = index,
                    .answered = from->returned != HISTORY_NEVER
                                && (from->record->flags & SHMKV_FLAG_NO_RESPONSE) == 0,
                    .sees = MODEL_NONE, .makes = MODEL_NONE, .sees_version = MODEL_NONE,
                    .makes_version = MODEL_NONE, .asks_version = MODEL_NONE };
  if ((from->record->flags & SHMKV_FLAG_IF_VERSION) != 0 && from->record->version != 0)
    op->asks_version = (gint32) from->record->version;
  if (op->answered && model_seen_version (from->record, &version))
    op->sees_version = (gint32) version;
  if (op->answered && model_made_version (from->record, &version))
    op->makes_version = (gint32) version;
}

static void
brute_prepare (Brute *brute, const HistoryOp *ops, gsize n, const HistorySession *sessions,
               guint n_sessions)
{
  gint32 index = 0;

  brute->n_sessions = n_sessions;
  brute->n_order = 0;
  brute->n_tried = 0;
  for (guint i = 0; i < n_sessions; i++)
    {
      brute->begins[i] = brute->positions[i] = index;
      for (; index < (gint32) n && ops[index].session == i; index++)
        brute_add (brute, &ops[index], index);
      brute->ends[i] = index;
      brute->ended[i] = sessions[i].ended;
    }
}

static gboolean
brute_was_told (const Brute *brute, gint32 version)
{
  for (guint i = 0; i < brute->n_order; i++)
    if (brute->ops[brute->order[i]].sees_version == version
        || brute->ops[brute->order[i]].makes_version == version)
      return TRUE;
  return FALSE;
}

static gboolean
brute_is_new (const Brute *brute, gint32 version)
{
  return version == MODEL_NONE || !brute_was_told (brute, version);
}

static gboolean brute_search (Brute *brute, ModelState state);

static gboolean
brute_try (Brute *brute, guint session, guint choice, guint64 horizon, ModelState state)
{
  gint32 index = brute->positions[session];
  const ModelOp *op = &brute->ops[index];
  gboolean told = (choice & MODEL_EXPIRED) == 0 && state.version_id != MODEL_NONE;
  gboolean found;

  if (!brute_is_new (brute, op->makes_version)
      || (op->makes_version != MODEL_NONE && op->makes_version == op->sees_version)
      || (!told && !brute_is_new (brute, op->sees_version))
      || ((choice & MODEL_MATCHES) != 0
          && (op->answered || op->asks_version == MODEL_NONE || told
              || !brute_is_new (brute, op->asks_version))))
    return FALSE;
  if (((choice & MODEL_EXPIRED) != 0 ? !model_may_expire (brute->ops, &state, horizon)
                                     : model_must_expire (brute->ops, &state, op->invoked))
      || !model_step (brute->ops, op, choice, &state))
    return FALSE;
  brute->order[brute->n_order++] = index;
  brute->positions[session]++;
  found = brute_search (brute, state);
  brute->positions[session]--;
  brute->n_order--;
  return found;
}

static gboolean
brute_try_end (Brute *brute, guint session)
{
  gint32 position = brute->positions[session];
  gboolean found;

  if (position < brute->ends[session] && brute->ops[position].returned != HISTORY_NEVER)
    return FALSE;
  brute->positions[session] = brute->ends[session];
  found = brute_search (brute, model_absent);
  brute->positions[session] = position;
  return found;
}

static gboolean
brute_search (Brute *brute, ModelState state)
{
  guint64 horizon = HISTORY_NEVER;

  brute->n_tried++;
  for (guint i = 0; i < brute->n_sessions; i++)
    if (brute->positions[i] < brute->ends[i])
      horizon = MIN (horizon, brute->ops[brute->positions[i]].returned);
  if (horizon == HISTORY_NEVER)
    return TRUE;
  for (guint i = 0; i < brute->n_sessions; i++)
    {
      if (state.owner == (gint32) i && brute->ended[i] <= horizon && brute_try_end (brute, i))
        return TRUE;
      if (brute->positions[i] == brute->ends[i]
          || brute->ops[brute->positions[i]].invoked > horizon)
        continue;
      for (guint choice = 0; choice < 4; choice++)
        if (brute_try (brute, i, choice, horizon, state))
          return TRUE;
    }
  return FALSE;
}

/* -------------------------------------------------------------- random tests */

static void
assert_verdict (HistoryChecker *checker, const HistoryOp *ops, gsize n,
                const HistorySession *sessions, HistoryVerdict expected)
{
  HistoryVerdict verdict = history_check_key (checker, ops, n, sessions);
  g_autofree char *text = NULL;

  if (verdict == expected)
    return;
  for (gsize i = 0; i < n; i++)
    {
      g_autofree char *line = history_describe (&ops[i]);

      g_test_message ("%s", line);
    }
  text = history_explain_key (checker, ops, n, sessions);
  g_test_message ("%s", text != NULL ? text : "nothing is wrong");
  g_assert_cmpint (verdict, ==, expected);
}

static Maker *
maker_new (void)
{
  Maker *maker = g_new0 (Maker, 1);

  maker->random = g_rand_new_with_seed (g_test_rand_int ());
  return maker;
}

static void
maker_free (Maker *maker)
{
  g_rand_free (maker->random);
  g_free (maker);
}

static guint
scale (guint n)
{
  const char *times = g_getenv ("HISTORY_TIMES");

  return n * (times != NULL ? (guint) g_ascii_strtoull (times, NULL, 10) : 1);
}

/* What was made is right: for keys with few values, and for such with many.  The
 * long ones have so many blind sums, in so many dead sessions, that for a few of
 * them it takes very long to find which took effect. */
static void
test_right (void)
{
  g_autoptr (HistoryChecker) checker = history_checker_new ();
  Maker *maker = maker_new ();
  HistoryOp *ops = g_new (HistoryOp, MAX_SESSIONS * MAX_OPS);
  HistorySession sessions[MAX_SESSIONS];
  guint n_histories = scale (400), n_undecided = 0;

  history_checker_set_limit (checker, 200000);
  for (guint i = 0; i < n_histories; i++)
    {
      gboolean small = below (maker, 2) == 0;
      gsize n;

      make (maker, 1 + below (maker, MAX_SESSIONS), small ? 8 : MAX_OPS,
            1 + below (maker, small ? 8 : 4 + i % 8), small ? 1 + below (maker, 4) : 0);
      n = collect (maker, ops, sessions);
      if (history_check_key (checker, ops, n, sessions) == HISTORY_UNDECIDED && !small)
        n_undecided++;
      else
        assert_verdict (checker, ops, n, sessions, HISTORY_RIGHT);
    }
  g_test_message ("%u of %u were left undecided", n_undecided, n_histories);
  g_assert_cmpuint (n_undecided, <=, 2 + n_histories / 100);
  g_free (ops);
  maker_free (maker);
}

/* Changes something: an answer, or a stamp. */
static void
spoil (Maker *maker, HistoryOp *ops, gsize n)
{
  HistoryOp *op = &ops[below (maker, (guint) n)];
  HistoryRecord *record = (HistoryRecord *) op->record;

  switch (below (maker, 8))
    {
    case 0:
    case 1:
      record->answer = any_value (maker);
      break;
    case 2:
      record->status = (guint8) below (maker, 6);
      break;
    case 3:
      record->answer_version = below (maker, (guint) maker->last_version + 2);
      break;
    case 4:
      record->value = any_value (maker);
      break;
    case 5:
      record->answer_kind = (guint8) below (maker, 3);
      break;
    case 6:
      record->flags ^= (guint16) (1u << below (maker, 10));
      break;
    default:
      {
        HistoryRecord other = *ops[below (maker, (guint) n)].record;

        record->status = other.status;
        record->answer = other.answer;
        record->answer_kind = other.answer_kind;
        record->answer_version = other.answer_version;
      }
    }
}

/* Without what is left to do at once, answers come as late as they are, or all at
 * once: then there is more than one order to try. */
static void
delay (HistoryOp *ops, gsize n)
{
  guint64 last = 0;

  for (gsize i = 0; i < n; i++)
    if (ops[i].returned != HISTORY_NEVER)
      last = MAX (last, ops[i].returned);
  for (gsize i = 0; i < n; i++)
    if (ops[i].returned != HISTORY_NEVER)
      ops[i].returned = last;
}

/* The same verdict as by brute force, and both verdicts often. */
static void
test_spoilt (void)
{
  g_autoptr (HistoryChecker) checker = history_checker_new ();
  Maker *maker = maker_new ();
  Brute *brute = g_new0 (Brute, 1);
  HistoryOp ops[MAX_SESSIONS * 4];
  HistorySession sessions[MAX_SESSIONS];
  guint n_histories = scale (20000), n_wrong = 0;

  for (guint i = 0; i < n_histories; i++)
    {
      HistoryVerdict expected;
      gsize n;

      make (maker, 1 + below (maker, 3), 1 + below (maker, 4), 1 + below (maker, 4),
            below (maker, 2) * (1 + below (maker, 3)));
      n = collect (maker, ops, sessions);
      if (n == 0)
        continue;
      if (below (maker, 2) == 0)
        delay (ops, n);
      for (guint j = below (maker, 3); j > 0; j--)
        spoil (maker, ops, n);
      brute_prepare (brute, ops, n, sessions, maker->n_sessions);
      expected = brute_search (brute, model_absent) ? HISTORY_RIGHT : HISTORY_WRONG;
      assert_verdict (checker, ops, n, sessions, expected);
      n_wrong += expected == HISTORY_WRONG;
    }
  g_test_message ("%u of %u were wrong", n_wrong, n_histories);
  g_assert_cmpuint (n_wrong, >, n_histories / 8);
  g_assert_cmpuint (n_wrong, <, n_histories - n_histories / 8);
  g_free (brute);
  maker_free (maker);
}

/* In a long history something that cannot be.  FALSE: there was no place for it. */
static gboolean
plant (Maker *maker, HistoryOp *ops, gsize n)
{
  HistoryOp *op = &ops[below (maker, (guint) n)];
  HistoryRecord *record = (HistoryRecord *) op->record;

  if (op->returned == HISTORY_NEVER || record->answer_kind == SHMKV_KIND_NONE
      || (record->flags & SHMKV_FLAG_NO_RESPONSE) != 0
      || (record->op != READ && (record->flags & SHMKV_FLAG_OLD) == 0))
    return FALSE;
  if (below (maker, 2) == 0)
    record->answer = (maker->last_value + 1) << 20;
  else
    record->answer_kind = HISTORY_KIND_TORN;
  return TRUE;
}

static void
test_planted (void)
{
  g_autoptr (HistoryChecker) checker = history_checker_new ();
  Maker *maker = maker_new ();
  HistoryOp *ops = g_new (HistoryOp, MAX_SESSIONS * MAX_OPS);
  HistorySession sessions[MAX_SESSIONS];
  guint n_planted = 0;

  history_checker_set_limit (checker, 200000);
  for (guint i = 0; i < scale (60); i++)
    {
      gsize n;

      make (maker, 1 + below (maker, MAX_SESSIONS), 100, 1 + below (maker, 8), 0);
      n = collect (maker, ops, sessions);
      if (n == 0 || !plant (maker, ops, n))
        continue;
      g_assert_cmpint (history_check_key (checker, ops, n, sessions), !=, HISTORY_RIGHT);
      n_planted++;
    }
  g_assert_cmpuint (n_planted, >, 0);
  g_free (ops);
  maker_free (maker);
}

/* --------------------------------------------------------------------- main */

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strconcat ("/history/", cases[i].path, NULL);

      g_test_add_data_func (path, &cases[i], test_case);
    }
  g_test_add_func ("/history/made/right", test_right);
  g_test_add_func ("/history/made/spoilt", test_spoilt);
  g_test_add_func ("/history/made/planted", test_planted);
  return g_test_run ();
}
