/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is wrong with a history, for people.
 *
 * If a history can be explained, so can what there was of it at any earlier time.
 * So there is a first answer with which it cannot be: all later ones are left
 * out. */

#include "config.h"

#include "check.h"

#include <stdlib.h>

/* ------------------------------------------------------------- descriptions */

static void
append_value (GString *text, guint8 kind, guint64 value)
{
  switch (kind)
    {
    case SHMKV_KIND_NONE:
      g_string_append (text, " nothing");
      break;
    case SHMKV_KIND_INTEGER:
      g_string_append_printf (text, " %" G_GUINT64_FORMAT, value);
      break;
    case SHMKV_KIND_BYTES:
      g_string_append_printf (text, " bytes:%" G_GUINT64_FORMAT, value);
      break;
    default:
      g_string_append_printf (text, " torn:%" G_GUINT64_FORMAT, value);
    }
}

static void
append_stamp (GString *text, guint64 stamp)
{
  if (stamp == HISTORY_NEVER)
    g_string_append (text, "never");
  else
    g_string_append_printf (text, "%" G_GUINT64_FORMAT ".%09" G_GUINT64_FORMAT,
                            stamp / 1000000000, stamp % 1000000000);
}

static void
append_request (GString *text, const HistoryRecord *record)
{
  g_string_append (text, shmkv_op_to_string (record->op));
  if (record->op == SHMKV_OP_INSERT || record->value_kind != SHMKV_KIND_NONE)
    append_value (text, record->value_kind, record->value);
  if ((record->flags & SHMKV_FLAG_IF_ABSENT) != 0)
    g_string_append (text, " if-absent");
  if ((record->flags & SHMKV_FLAG_IF_PRESENT) != 0)
    g_string_append (text, " if-present");
  if ((record->flags & SHMKV_FLAG_IF_VALUE) != 0)
    {
      g_string_append (text, " if-value");
      append_value (text, record->expected_kind, record->expected);
    }
  if ((record->flags & SHMKV_FLAG_IF_VERSION) != 0)
    g_string_append_printf (text, " if-version %" G_GUINT64_FORMAT, record->version);
  if ((record->flags & SHMKV_FLAG_TTL) != 0)
    g_string_append_printf (text, " ttl %u ms", record->ttl_ms);
  if ((record->flags & SHMKV_FLAG_SESSION) != 0)
    g_string_append (text, " session");
  if ((record->flags & SHMKV_FLAG_WRAP) != 0)
    g_string_append (text, " wrap");
}

static void
append_answer (GString *text, const HistoryOp *op)
{
  const HistoryRecord *record = op->record;

  if ((record->flags & SHMKV_FLAG_NO_RESPONSE) != 0)
    g_string_append (text, ": no answer wanted");
  else if (op->returned == HISTORY_NEVER)
    g_string_append (text, ": pending");
  else
    {
      g_string_append_printf (text, ": %s", shmkv_status_to_string (record->status));
      if (record->answer_kind != SHMKV_KIND_NONE)
        append_value (text, record->answer_kind, record->answer);
      if (record->answer_version != 0)
        g_string_append_printf (text, ", version %" G_GUINT64_FORMAT, record->answer_version);
    }
}

char *
history_describe (const HistoryOp *op)
{
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "session %u, ", op->session);
  append_stamp (text, op->invoked);
  g_string_append (text, " to ");
  append_stamp (text, op->returned);
  g_string_append (text, ": ");
  append_request (text, op->record);
  append_answer (text, op);
  return g_string_free (text, FALSE);
}

/* --------------------------------------------------------------- truncation */

/* What there was at that time.  Returns how many operations. */
static gsize
truncate_at (const HistoryOp *ops, gsize n, guint64 time, HistoryOp *ops_out)
{
  gsize n_out = 0;

  for (gsize i = 0; i < n; i++)
    {
      if (ops[i].invoked > time)
        continue;
      ops_out[n_out] = ops[i];
      if (ops[i].returned > time)
        ops_out[n_out].returned = HISTORY_NEVER;
      n_out++;
    }
  return n_out;
}

static gint
compare_stamps (gconstpointer a, gconstpointer b)
{
  const guint64 *left = a, *right = b;

  return (*left > *right) - (*left < *right);
}

/* The times of all answers, in order. */
static GArray *
list_times (const HistoryOp *ops, gsize n)
{
  GArray *times = g_array_new (FALSE, FALSE, sizeof (guint64));

  for (gsize i = 0; i < n; i++)
    if (ops[i].returned != HISTORY_NEVER)
      g_array_append_val (times, ops[i].returned);
  if (times->len > 1)
    qsort (times->data, times->len, sizeof (guint64), compare_stamps);
  return times;
}

/* Leaves in `ops_out' what there was at the first time at which it is wrong. */
static gsize
find_first (HistoryChecker *checker, const HistoryOp *ops, gsize n,
            const HistorySession *sessions, HistoryOp *ops_out)
{
  g_autoptr (GArray) times = list_times (ops, n);
  gsize low = 0, high = times->len - 1, n_out;

  while (low < high)
    {
      gsize middle = low + (high - low) / 2;

      n_out = truncate_at (ops, n, g_array_index (times, guint64, middle), ops_out);
      if (history_check_key (checker, ops_out, n_out, sessions) == HISTORY_RIGHT)
        low = middle + 1;
      else
        high = middle;
    }
  return truncate_at (ops, n, g_array_index (times, guint64, low), ops_out);
}

/* -------------------------------------------------------------- explanation */

static void
append_op (GString *text, const HistoryOp *op)
{
  g_autofree char *line = history_describe (op);

  g_string_append_printf (text, "    %s\n", line);
}

static void
append_end (GString *text, const HistoryOp *ops, const HistoryEnd *end)
{
  g_string_append_printf (text, "  the longest order that explains answers has %" G_GSIZE_FORMAT
                                " of them, and ends with\n", end->n_done);
  for (guint i = 0; i < end->n_last; i++)
    {
      if (end->last[i] >= 0)
        append_op (text, &ops[end->last[i]]);
      else
        g_string_append (text, "    the end of a session\n");
    }
  g_string_append (text, "  then there is");
  append_value (text, end->kind, end->value);
  g_string_append (text, ", and the next could be none of\n");
  for (guint i = 0; i < end->n_next; i++)
    append_op (text, &ops[end->next[i]]);
}

char *
history_explain_key (HistoryChecker *checker, const HistoryOp *ops, gsize n,
                     const HistorySession *sessions)
{
  HistoryVerdict verdict = history_check_key (checker, ops, n, sessions);
  g_autofree HistoryOp *first = NULL;
  GString *text;
  gsize n_first;

  if (verdict == HISTORY_RIGHT)
    return NULL;
  first = g_new (HistoryOp, n);
  n_first = find_first (checker, ops, n, sessions, first);
  verdict = history_check_key (checker, first, n_first, sessions);
  text = g_string_new (NULL);
  g_string_append_printf (text, "%s key %" G_GUINT64_FORMAT ": %s explains the first %"
                                G_GSIZE_FORMAT " of its %" G_GSIZE_FORMAT " operations\n",
                          ops[0].record->key_kind == SHMKV_KIND_BYTES ? "bytes" : "integer",
                          ops[0].record->key,
                          verdict == HISTORY_WRONG ? "no order" : "none of the orders tried",
                          n_first, n);
  append_end (text, first, history_checker_get_end (checker));
  return g_string_free (text, FALSE);
}
