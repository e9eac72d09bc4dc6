/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Records are kept until they fill the memory that there is for them, then
 * sorted and written to a temporary file: a run.  In the end the runs are merged.
 * Where everything fits, there is no run.
 *
 * A run is a dump like any other.  Who merges has the next key of each in memory,
 * but not its value: that may have half a gigabyte, and there are many runs.  It
 * is copied from file to file as the text that it is.
 *
 * A run keeps a file open.  So as soon as there are FAN_IN of a level, they are
 * merged to one of the next: each record is written once for each level, of which
 * there are few.  The levels fall from the first run to the last.
 *
 * The files have no name, and are gone with the process however it ends. */

#include "config.h"

#include "client/dump-sort.h"

#include "client/cli.h"
#include "client/interrupt.h"

#include <glib/gstdio.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FAN_IN 128

/* What a record takes beyond its bytes: in a list, and in the pairs. */
#define RECORD_SIZE (sizeof (CliRecord) + 48)

typedef struct
{
  FILE *file;
  guint level;
  CliDumpReader *reader;   /* NULL until it is merged */
  ShmkvDatum key;          /* of the next record */
  guint age;               /* how many runs that are merged with it are older */
} Run;

struct _CliDumpSort
{
  guint64 memory;
  CliProgress *progress;

  GPtrArray *parts;        /* the pairs that records point into */
  GArray *records;
  guint64 n_bytes;         /* that they take, about */
  guint next;              /* of them to be written */

  GPtrArray *runs;         /* the oldest first */
  GPtrArray *heap;         /* those being merged; the first has the least key */
  ShmkvDatum last;         /* the key that was written last */
  GByteArray *last_bytes;  /* what it points to */

  gboolean is_merging;     /* records are taken from the heap, not from memory */
  gboolean is_complete;    /* there comes no more */
};

/* TMPDIR may not be set: the directory is named by what it is. */
static gboolean
refuse (int why, GError **error)
{
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED,
               "cannot write to a temporary file in %s: %s; set TMPDIR to another directory, or "
               "use --unsorted", g_get_tmp_dir (), g_strerror (why));
  return FALSE;
}

/* ---------------------------------------------------------------- the order */

static int
compare_data (const ShmkvDatum *a, const ShmkvDatum *b)
{
  gsize common = MIN (a->length, b->length);
  int order;

  if (a->kind != b->kind)
    return a->kind < b->kind ? -1 : 1;
  if (a->kind == SHMKV_KIND_INTEGER)
    return (a->integer > b->integer) - (a->integer < b->integer);
  order = common > 0 ? memcmp (a->bytes, b->bytes, common) : 0;
  return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

static int
compare_records (gconstpointer a, gconstpointer b)
{
  const CliRecord *const record_a = a, *const record_b = b;

  return compare_data (&record_a->key, &record_b->key);
}

/* Of the same key, the record that was told first comes first. */
static gboolean
is_before (const Run *a, const Run *b)
{
  int order = compare_data (&a->key, &b->key);

  return order < 0 || (order == 0 && a->age < b->age);
}

/* ------------------------------------------------------------------- memory */

CliRecord
cli_dump_get_record (const ShmkvPairs *pairs, gsize index)
{
  CliRecord record;

  shmkv_pairs_get (pairs, index, &record.key, &record.value);
  record.ttl_ms = shmkv_pairs_get_ttl (pairs, index);
  return record;
}

static void
keep_record (CliDumpSort *sort, const ShmkvPairs *pairs, gsize index)
{
  const CliRecord record = cli_dump_get_record (pairs, index);

  g_array_append_val (sort->records, record);
  sort->n_bytes += RECORD_SIZE;
  if (record.key.kind == SHMKV_KIND_BYTES)
    sort->n_bytes += record.key.length;
  if (record.value.kind == SHMKV_KIND_BYTES)
    sort->n_bytes += record.value.length;
}

static void
forget_records (CliDumpSort *sort)
{
  g_array_set_size (sort->records, 0);
  g_ptr_array_set_size (sort->parts, 0);
  sort->n_bytes = 0;
}

static void
sort_records (CliDumpSort *sort)
{
  g_array_sort (sort->records, compare_records);
  sort->next = 0;
}

/* A key that was deleted and inserted again meanwhile may come twice. */
static gboolean
write_next_in_memory (CliDumpSort *sort, FILE *file)
{
  const CliRecord *records = (const CliRecord *) (gconstpointer) sort->records->data;
  guint at = sort->next;

  while (at > 0 && at < sort->records->len && compare_records (&records[at - 1], &records[at]) == 0)
    at++;
  if (at == sort->records->len)
    return FALSE;
  cli_dump_write_record (file, &records[at]);
  sort->next = at + 1;
  return TRUE;
}

/* --------------------------------------------------------------------- runs */

static void
run_free (Run *run)
{
  g_clear_pointer (&run->reader, cli_dump_reader_free);
  if (run->file != NULL)
    fclose (run->file);
  g_free (run);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Run, run_free)

static FILE *
open_temporary (GError **error)
{
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "shmkv-dump-XXXXXX", NULL);
  int fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0600);
  FILE *file;

  if (fd < 0)
    {
      refuse (errno, error);
      return NULL;
    }
  g_unlink (path);
  file = fdopen (fd, "w+");
  if (file == NULL)
    {
      refuse (errno, error);
      close (fd);
    }
  return file;
}

static Run *
run_new (guint level, GError **error)
{
  FILE *file = open_temporary (error);
  Run *run;

  if (file == NULL)
    return NULL;
  run = g_new0 (Run, 1);
  run->file = file;
  run->level = level;
  return run;
}

/* Right after something was written, of which errno tells. */
static gboolean
run_check (const Run *run, GError **error)
{
  return cli_interrupt_check (error) && (!ferror (run->file) || refuse (errno, error));
}

static gboolean
run_close (Run *run, guint64 n_records, GError **error)
{
  cli_dump_write_trailer (run->file, n_records);
  return fflush (run->file) == 0 || refuse (errno, error);
}

/* Reads the next key. */
static gboolean
run_advance (Run *run, gboolean *more_out, GError **error)
{
  if (cli_dump_reader_next_key (run->reader, &run->key, more_out, error))
    return TRUE;
  g_prefix_error (error, "a temporary file in %s: ", g_get_tmp_dir ());
  return FALSE;
}

/* Takes the record whose key was read to `file`, or nowhere. */
static gboolean
run_copy (Run *run, FILE *file, GError **error)
{
  if (file != NULL)
    cli_dump_write_datum (file, &run->key);
  if (cli_dump_reader_copy_rest (run->reader, file, error))
    return TRUE;
  g_prefix_error (error, "a temporary file in %s: ", g_get_tmp_dir ());
  return FALSE;
}

/* ------------------------------------------------------------------ merging */

static Run *
heap_at (const GPtrArray *heap, guint index)
{
  return g_ptr_array_index (heap, index);
}

/* Moves what is at `index` down to its place. */
static void
sift_down (GPtrArray *heap, guint index)
{
  for (guint child = 2 * index + 1; child < heap->len; child = 2 * index + 1)
    {
      gpointer moved = heap_at (heap, index);

      if (child + 1 < heap->len && is_before (heap_at (heap, child + 1), heap_at (heap, child)))
        child++;
      if (!is_before (heap_at (heap, child), moved))
        return;
      heap->pdata[index] = heap->pdata[child];
      heap->pdata[child] = moved;
      index = child;
    }
}

/* Of the runs from `first` on. */
static gboolean
begin_merge (CliDumpSort *sort, guint first, GError **error)
{
  g_ptr_array_set_size (sort->heap, 0);
  sort->last.kind = SHMKV_KIND_NONE;
  for (guint i = first; i < sort->runs->len; i++)
    {
      Run *run = g_ptr_array_index (sort->runs, i);
      gboolean more;

      rewind (run->file);
      run->reader = cli_dump_reader_new (run->file, 0);
      run->age = i - first;
      if (!run_advance (run, &more, error))
        return FALSE;
      if (more)
        g_ptr_array_add (sort->heap, run);
    }
  for (guint i = sort->heap->len / 2; i > 0; i--)
    sift_down (sort->heap, i - 1);
  sort->is_merging = TRUE;
  return TRUE;
}

/* The reader's own copy goes when it reads on. */
static void
remember_key (CliDumpSort *sort, const ShmkvDatum *key)
{
  sort->last = *key;
  if (key->kind != SHMKV_KIND_BYTES)
    return;
  g_byte_array_set_size (sort->last_bytes, 0);
  g_byte_array_append (sort->last_bytes, key->bytes, (guint) key->length);
  sort->last.bytes = sort->last_bytes->data;
}

/* Takes the least key out of the heap. */
static gboolean
write_least (CliDumpSort *sort, FILE *file, GError **error)
{
  Run *run = heap_at (sort->heap, 0);
  gboolean more;

  if (!run_copy (run, file, error) || !run_advance (run, &more, error))
    return FALSE;
  if (!more)
    g_ptr_array_remove_index_fast (sort->heap, 0);
  sift_down (sort->heap, 0);
  return TRUE;
}

static gboolean
write_next_merged (CliDumpSort *sort, FILE *file, gboolean *more_out, GError **error)
{
  /* A key that came before, from another run. */
  while (sort->heap->len > 0 && compare_data (&heap_at (sort->heap, 0)->key, &sort->last) == 0)
    {
      if (!write_least (sort, NULL, error))
        return FALSE;
    }
  *more_out = sort->heap->len > 0;
  if (!*more_out)
    return TRUE;
  remember_key (sort, &heap_at (sort->heap, 0)->key);
  return write_least (sort, file, error);
}

/* ---------------------------------------------------------------------- all */

static gboolean
write_next (CliDumpSort *sort, FILE *file, gboolean *more_out, GError **error)
{
  if (sort->is_merging)
    return write_next_merged (sort, file, more_out, error);
  *more_out = write_next_in_memory (sort, file);
  return TRUE;
}

/* Whatever write_next() has. */
static gboolean
write_run (CliDumpSort *sort, guint level, GError **error)
{
  g_autoptr (Run) run = run_new (level, error);
  guint64 n = 0;

  if (run == NULL)
    return FALSE;
  cli_dump_write_header (run->file);
  for (gboolean more = TRUE; more; n += more)
    {
      if (!write_next (sort, run->file, &more, error) || !run_check (run, error))
        return FALSE;
      if (sort->is_merging && cli_progress_is_due (sort->progress))
        cli_progress_draw (sort->progress, "merging: %" G_GUINT64_FORMAT " keys", n);
    }
  if (!run_close (run, n, error))
    return FALSE;
  g_ptr_array_add (sort->runs, g_steal_pointer (&run));
  return TRUE;
}

/* The last ones, which have a level, to one of the next. */
static gboolean
merge_last (CliDumpSort *sort, GError **error)
{
  guint first = sort->runs->len - FAN_IN;
  const Run *run = g_ptr_array_index (sort->runs, first);

  if (!begin_merge (sort, first, error) || !write_run (sort, run->level + 1, error))
    return FALSE;
  sort->is_merging = FALSE;
  g_ptr_array_remove_range (sort->runs, first, FAN_IN);
  return TRUE;
}

/* As the levels fall, the first of them tells of all. */
static gboolean
can_merge (const CliDumpSort *sort)
{
  guint n = sort->runs->len;
  const Run *first, *last;

  if (n < FAN_IN)
    return FALSE;
  first = g_ptr_array_index (sort->runs, n - FAN_IN);
  last = g_ptr_array_index (sort->runs, n - 1);
  return first->level == last->level;
}

/* From memory to a run. */
static gboolean
spill (CliDumpSort *sort, GError **error)
{
  sort_records (sort);
  if (!write_run (sort, 0, error))
    return FALSE;
  forget_records (sort);
  while (can_merge (sort))
    {
      if (!merge_last (sort, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
cli_dump_sort_add (CliDumpSort *sort, ShmkvPairs *pairs, GError **error)
{
  gsize n = shmkv_pairs_get_length (pairs);

  g_ptr_array_add (sort->parts, shmkv_pairs_ref (pairs));
  for (gsize i = 0; i < n; i++)
    {
      if (sort->n_bytes >= sort->memory)
        {
          if (!spill (sort, error))
            return FALSE;
          g_ptr_array_add (sort->parts, shmkv_pairs_ref (pairs));
        }
      keep_record (sort, pairs, i);
    }
  return TRUE;
}

static gboolean
complete (CliDumpSort *sort, GError **error)
{
  sort->is_complete = TRUE;
  if (sort->runs->len > 0)
    return spill (sort, error) && begin_merge (sort, 0, error);
  sort_records (sort);
  return TRUE;
}

gboolean
cli_dump_sort_write_next (CliDumpSort *sort, FILE *file, gboolean *more_out, GError **error)
{
  if (!sort->is_complete && !complete (sort, error))
    return FALSE;
  return cli_interrupt_check (error) && write_next (sort, file, more_out, error);
}

CliDumpSort *
cli_dump_sort_new (guint64 memory, CliProgress *progress)
{
  CliDumpSort *sort = g_new0 (CliDumpSort, 1);

  sort->memory = memory;
  sort->progress = progress;
  sort->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) shmkv_pairs_unref);
  sort->records = g_array_new (FALSE, FALSE, sizeof (CliRecord));
  sort->runs = g_ptr_array_new_with_free_func ((GDestroyNotify) run_free);
  sort->heap = g_ptr_array_new ();
  sort->last_bytes = g_byte_array_new ();
  return sort;
}

void
cli_dump_sort_free (CliDumpSort *sort)
{
  g_ptr_array_unref (sort->parts);
  g_array_unref (sort->records);
  g_ptr_array_unref (sort->heap);
  g_ptr_array_unref (sort->runs);
  g_byte_array_unref (sort->last_bytes);
  g_free (sort);
}
