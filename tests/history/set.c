/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "set.h"

#include <string.h>

#define MAX_REPORTS 3

/* A session's records. */
typedef struct
{
  const HistoryRecord *records;
  gsize n;
} Stream;

struct _HistorySet
{
  GPtrArray *files;                 /* GMappedFile */
  GArray *streams;                  /* Stream */
  GArray *sessions;                 /* HistorySession, the same */
  GHashTable *keys;                 /* of key and kind: the number of the key, from 1 */
  GArray *counts;                   /* gsize, by number: its operations; then where they begin */
};

/* ----------------------------------------------------------------- loading */

HistorySet *
history_set_new (void)
{
  HistorySet *set = g_new0 (HistorySet, 1);

  set->files = g_ptr_array_new_with_free_func ((GDestroyNotify) g_mapped_file_unref);
  set->streams = g_array_new (FALSE, FALSE, sizeof (Stream));
  set->sessions = g_array_new (FALSE, FALSE, sizeof (HistorySession));
  set->keys = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  set->counts = g_array_new (FALSE, TRUE, sizeof (gsize));
  return set;
}

void
history_set_free (HistorySet *set)
{
  g_ptr_array_unref (set->files);
  g_array_unref (set->streams);
  g_array_unref (set->sessions);
  g_hash_table_unref (set->keys);
  g_array_unref (set->counts);
  g_free (set);
}

/* Whoever wrote them has ended, or is this process: relaxed is enough for all. */
static guint64
get_invoked (const HistoryRecord *record)
{
  return atomic_load_explicit (&record->invoked, memory_order_relaxed);
}

static guint64
get_returned (const HistoryRecord *record)
{
  return atomic_load_explicit (&record->returned, memory_order_relaxed);
}

/* A session that was not closed ended no earlier than the last that it recorded. */
static guint64
get_end (const HistoryArea *area, const Stream *stream)
{
  guint64 ended = atomic_load_explicit (&area->ended, memory_order_relaxed);

  for (gsize i = 0; ended == 0 && i < stream->n; i++)
    ended = MAX (ended, MAX (get_invoked (&stream->records[i]), get_returned (&stream->records[i])));
  return ended;
}

static void
add_area (HistorySet *set, const HistoryHeader *header, guint64 number)
{
  const HistoryArea *area = history_area (header, number);
  Stream stream = { .records = history_records (header, number) };
  HistorySession session;

  while (stream.n < header->capacity && get_invoked (&stream.records[stream.n]) != 0)
    stream.n++;
  if (stream.n == 0)
    return;
  session.ended = get_end (area, &stream);
  g_array_append_val (set->streams, stream);
  g_array_append_val (set->sessions, session);
}

gboolean
history_set_add_file (HistorySet *set, const char *path, GError **error)
{
  GMappedFile *file = g_mapped_file_new (path, FALSE, error);
  const HistoryHeader *header;

  if (file == NULL)
    return FALSE;
  g_ptr_array_add (set->files, file);
  header = (const HistoryHeader *) (void *) g_mapped_file_get_contents (file);
  if (g_mapped_file_get_length (file) < sizeof *header || header->magic != HISTORY_MAGIC
      || history_file_size (header->n_areas, header->capacity) != g_mapped_file_get_length (file))
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s is not a history", path);
      return FALSE;
    }
  for (guint64 i = 0; i < header->n_areas; i++)
    add_area (set, header, i);
  return TRUE;
}

/* ---------------------------------------------------------------- splitting */

/* Keys are small numbers; so their kind fits in. */
static guint
get_key (HistorySet *set, const HistoryRecord *record)
{
  guint64 word = record->key << 1 | (record->key_kind == SHMKV_KIND_BYTES);
  guint number = GPOINTER_TO_UINT (g_hash_table_lookup (set->keys, &word));
  const gsize none = 0;

  if (number != 0)
    return number - 1;
  number = set->counts->len;
  g_array_append_val (set->counts, none);
  g_hash_table_insert (set->keys, g_memdup2 (&word, sizeof word), GUINT_TO_POINTER (number + 1));
  return number;
}

/* Which key each operation is about, in the order of the streams. */
static guint *
number_keys (HistorySet *set, gsize n_ops)
{
  guint *numbers = g_new (guint, n_ops), *at = numbers;

  for (guint i = 0; i < set->streams->len; i++)
    {
      const Stream *stream = &g_array_index (set->streams, Stream, i);

      for (gsize j = 0; j < stream->n; j++)
        {
          *at = get_key (set, &stream->records[j]);
          g_array_index (set->counts, gsize, *at++)++;
        }
    }
  return numbers;
}

/* A count becomes where that key's operations begin. */
static void
make_places (GArray *counts)
{
  gsize next = 0;

  for (guint i = 0; i < counts->len; i++)
    {
      gsize n = g_array_index (counts, gsize, i);

      g_array_index (counts, gsize, i) = next;
      next += n;
    }
}

/* Deals out a session's operations.  From the last to the first, to know when
 * something later was answered; so places count down. */
static void
deal_out (HistorySet *set, guint session, const guint *numbers, HistoryOp *ops)
{
  const Stream *stream = &g_array_index (set->streams, Stream, session);
  guint64 later = HISTORY_NEVER;

  for (gsize i = stream->n; i-- > 0;)
    {
      const HistoryRecord *record = &stream->records[i];
      guint64 returned = get_returned (record);
      HistoryOp *op = &ops[--g_array_index (set->counts, gsize, numbers[i])];

      if (returned != 0)
        later = returned;
      *op = (HistoryOp) { .record = record, .invoked = get_invoked (record), .session = session,
                          .returned = returned != 0 ? returned : HISTORY_NEVER };
      if ((record->flags & SHMKV_FLAG_NO_RESPONSE) != 0)
        op->returned = later;
    }
}

/* All operations by keys; within a key, by sessions and in their order.  The counts
 * end as where each key's operations begin. */
static HistoryOp *
split (HistorySet *set, gsize n_ops)
{
  HistoryOp *ops = g_new (HistoryOp, n_ops);
  g_autofree guint *numbers = number_keys (set, n_ops);
  const guint *end = numbers + n_ops;
  const gsize none = 0;

  g_array_append_val (set->counts, none);
  make_places (set->counts);
  /* Where the next key begins is where one ends. */
  memmove (set->counts->data, set->counts->data + sizeof (gsize),
           (set->counts->len - 1) * sizeof (gsize));
  for (guint i = set->streams->len; i-- > 0;)
    {
      end -= g_array_index (set->streams, Stream, i).n;
      deal_out (set, i, end, ops);
    }
  return ops;
}

/* ----------------------------------------------------------------- checking */

static const char *
find_fault (const Stream *stream, gsize i, gboolean *is_over)
{
  const HistoryRecord *record = &stream->records[i];
  guint64 returned = get_returned (record);

  if (i > 0 && get_invoked (record) < get_invoked (record - 1))
    return "it was submitted before the one before it";
  if ((record->flags & SHMKV_FLAG_NO_RESPONSE) != 0)
    return returned != 0 ? "it was answered, and wanted no answer" : NULL;
  if (returned == 0)
    {
      *is_over = TRUE;
      return NULL;
    }
  if (*is_over)
    return "it was answered, and one before it was not";
  return returned < get_invoked (record) ? "it was answered before it was submitted" : NULL;
}

/* Whether the session's answers came in its order.  NULL if so. */
static char *
check_stream (const Stream *stream, guint session)
{
  gboolean is_over = FALSE;
  guint64 last = 0;

  for (gsize i = 0; i < stream->n; i++)
    {
      const char *fault = find_fault (stream, i, &is_over);
      guint64 returned = get_returned (&stream->records[i]);

      if (fault == NULL && returned != 0 && returned < last)
        fault = "it was answered before the one before it";
      if (fault != NULL)
        return g_strdup_printf ("session %u, operation %" G_GSIZE_FORMAT ": %s\n", session, i,
                                fault);
      last = MAX (last, returned);
    }
  return NULL;
}

static void
report_fault (HistoryCounts *counts, GString *report, char *text)
{
  if (counts->n_wrong + counts->n_undecided < MAX_REPORTS && text != NULL)
    g_string_append (report, text);
  g_free (text);
}

static void
check_sessions (HistorySet *set, HistoryCounts *counts, GString *report)
{
  for (guint i = 0; i < set->streams->len; i++)
    {
      const Stream *stream = &g_array_index (set->streams, Stream, i);
      char *fault = check_stream (stream, i);

      counts->n_ops += stream->n;
      for (gsize j = 0; j < stream->n; j++)
        counts->n_pending += get_returned (&stream->records[j]) == 0
                             && (stream->records[j].flags & SHMKV_FLAG_NO_RESPONSE) == 0;
      if (fault == NULL)
        continue;
      report_fault (counts, report, fault);
      counts->n_wrong++;
    }
}

static void
check_key (HistorySet *set, HistoryChecker *checker, const HistoryOp *ops, gsize n,
           HistoryCounts *counts, GString *report)
{
  const HistorySession *sessions = (const HistorySession *) (void *) set->sessions->data;
  HistoryVerdict verdict = history_check_key (checker, ops, n, sessions);

  if (verdict == HISTORY_RIGHT)
    return;
  if (counts->n_wrong + counts->n_undecided < MAX_REPORTS)
    report_fault (counts, report, history_explain_key (checker, ops, n, sessions));
  if (verdict == HISTORY_WRONG)
    counts->n_wrong++;
  else
    counts->n_undecided++;
}

void
history_set_check (HistorySet *set, HistoryChecker *checker, HistoryCounts *counts,
                   GString *report)
{
  g_autofree HistoryOp *ops = NULL;

  *counts = (HistoryCounts) { .n_sessions = set->streams->len };
  check_sessions (set, counts, report);
  /* Without order in the sessions there is none for a key to follow. */
  if (counts->n_wrong > 0)
    return;
  ops = split (set, counts->n_ops);
  counts->n_keys = set->counts->len - 1;
  for (guint i = 0; i < counts->n_keys; i++)
    {
      gsize begin = g_array_index (set->counts, gsize, i);
      gsize end = i + 1 < counts->n_keys ? g_array_index (set->counts, gsize, i + 1)
                                         : counts->n_ops;

      check_key (set, checker, ops + begin, end - begin, counts, report);
    }
}
