/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Writes all keys to a file in their order, so that equal contents make equal
 * files; or with --unsorted as the server tells them, which needs no room to sort.
 *
 * A file is written under another name and renamed when it is complete, so that
 * an older dump is not lost where this one fails. */

#include "config.h"

#include "client/cli.h"
#include "client/dump-format.h"
#include "client/dump-sort.h"
#include "client/interrupt.h"
#include "client/output.h"
#include "client/progress.h"
#include "client/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much is in memory at a time to be sorted. */
#define SORT_MEMORY (G_GUINT64_CONSTANT (64) << 20)

/* Records between two looks at what became of them. */
#define CHECK_INTERVAL 1024

typedef struct
{
  gboolean unsorted;
  guint64 sort_memory;
} DumpOptions;

/* Where it goes. */
typedef struct
{
  char *path;              /* what it is called, or where its links lead */
  char *temporary;         /* (nullable) */
  FILE *file;
} Target;

typedef struct
{
  const CliContext *context;
  Target target;
  CliProgress progress;
  guint64 n_expected;
  guint64 n_written;
} Dump;

static gboolean
refuse (const Target *target, int why, GError **error)
{
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot write %s%s%s", target->path,
               why != 0 ? ": " : "", why != 0 ? g_strerror (why) : "");
  return FALSE;
}

/* Takes the place of a file with the same rights, where there is one. */
static gboolean
open_temporary (Target *target, const struct stat *old, GError **error)
{
  int fd;

  target->temporary = g_strdup_printf ("%s.%d.tmp", target->path, (int) getpid ());
  fd = open (target->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
             old != NULL ? old->st_mode & 0600 : 0666);
  if (fd < 0)
    {
      g_clear_pointer (&target->temporary, g_free);
      return refuse (target, errno, error);
    }
  target->file = fdopen (fd, "w");
  if (target->file == NULL || (old != NULL && fchmod (fd, old->st_mode & 0777) != 0))
    return refuse (target, errno, error);
  return TRUE;
}

/* Something that is there and no file, such as /dev/stdout or a pipe, is
 * written to as it is. */
static gboolean
open_path (Target *target, GError **error)
{
  g_autofree char *real = realpath (target->path, NULL);
  struct stat old;

  if (real == NULL || stat (real, &old) != 0)
    return open_temporary (target, NULL, error);
  if (S_ISREG (old.st_mode))
    {
      g_free (target->path);
      target->path = g_strdup (real);
      return open_temporary (target, &old, error);
    }
  target->file = fopen (target->path, "we");
  return target->file != NULL || refuse (target, errno, error);
}

static gboolean
open_target (Target *target, const char *path, GError **error)
{
  gboolean is_stdout = path == NULL || g_str_equal (path, "-");

  *target = (Target) { .path = g_strdup (is_stdout ? "standard output" : path) };
  if (!is_stdout)
    return open_path (target, error);
  target->file = stdout;
  return TRUE;
}

/* Ends with all of it on the disk, or nothing. */
static gboolean
close_target (Target *target, gboolean done, GError **error)
{
  errno = 0;
  if (done && (ferror (target->file) || fflush (target->file) != 0))
    done = refuse (target, errno, error);
  if (done && target->temporary != NULL && fsync (fileno (target->file)) != 0)
    done = refuse (target, errno, error);
  if (target->file != NULL && fclose (target->file) != 0 && done)
    done = refuse (target, errno, error);
  if (done && target->temporary != NULL && rename (target->temporary, target->path) != 0)
    done = refuse (target, errno, error);
  if (!done && target->temporary != NULL)
    unlink (target->temporary);
  return done;
}

static void
clear_target (Target *target)
{
  g_free (target->temporary);
  g_free (target->path);
}

static gboolean
check_target (const Target *target, GError **error)
{
  if (!cli_interrupt_check (error))
    return FALSE;
  if (target->file == stdout)
    return cli_output_flush (error);
  return !ferror (target->file) || refuse (target, errno, error);
}

static void
note_written (Dump *dump)
{
  dump->n_written++;
  if (cli_progress_is_due (&dump->progress))
    cli_progress_draw (&dump->progress,
                       "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " keys written",
                       dump->n_written, dump->n_expected);
}

/* As they come. */
static gboolean
stream (Dump *dump, ShmkvScan *scan, GError **error)
{
  for (;;)
    {
      g_autoptr (ShmkvPairs) pairs = NULL;
      gsize n;

      if (!shmkv_scan_next (scan, &pairs, error))
        return FALSE;
      if (pairs == NULL)
        return TRUE;
      n = shmkv_pairs_get_length (pairs);
      for (gsize i = 0; i < n; i++)
        {
          const CliRecord record = cli_dump_get_record (pairs, i);

          cli_dump_write_record (dump->target.file, &record);
          note_written (dump);
        }
      if (!check_target (&dump->target, error))
        return FALSE;
    }
}

static gboolean
collect (Dump *dump, ShmkvScan *scan, CliDumpSort *sort, GError **error)
{
  guint64 n_read = 0;

  for (;;)
    {
      g_autoptr (ShmkvPairs) pairs = NULL;

      if (!shmkv_scan_next (scan, &pairs, error) || !cli_interrupt_check (error))
        return FALSE;
      if (pairs == NULL)
        return TRUE;
      if (!cli_dump_sort_add (sort, pairs, error))
        return FALSE;
      n_read += shmkv_pairs_get_length (pairs);
      if (cli_progress_is_due (&dump->progress))
        cli_progress_draw (&dump->progress,
                           "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " keys read", n_read,
                           dump->n_expected);
    }
}

static gboolean
write_sorted (Dump *dump, CliDumpSort *sort, GError **error)
{
  for (;;)
    {
      gboolean more;

      if (!cli_dump_sort_write_next (sort, dump->target.file, &more, error))
        return FALSE;
      if (!more)
        return TRUE;
      note_written (dump);
      if (dump->n_written % CHECK_INTERVAL == 0 && !check_target (&dump->target, error))
        return FALSE;
    }
}

static gboolean
stream_sorted (Dump *dump, ShmkvScan *scan, guint64 memory, GError **error)
{
  g_autoptr (CliDumpSort) sort = cli_dump_sort_new (memory, &dump->progress);

  return collect (dump, scan, sort, error) && write_sorted (dump, sort, error);
}

/* ---------------------------------------------------------------------- all */

static gboolean
write_all (Dump *dump, const DumpOptions *given, GError **error)
{
  g_autoptr (ShmkvScan) scan
    = shmkv_scan_new (dump->context->client, NULL, SHMKV_SCAN_PERMANENT);
  gboolean done;

  cli_dump_write_header (dump->target.file);
  done = given->unsorted ? stream (dump, scan, error)
                         : stream_sorted (dump, scan, given->sort_memory, error);
  if (done)
    cli_dump_write_trailer (dump->target.file, dump->n_written);
  cli_progress_clear (&dump->progress);
  return done && check_target (&dump->target, error);
}

/* Opens, writes and closes. */
static gboolean
make_dump (Dump *dump, const char *path, const DumpOptions *given, GError **error)
{
  gboolean done = open_target (&dump->target, path, error);
  gboolean is_stdout = dump->target.file == stdout;

  dump->progress.enabled &= !is_stdout || !isatty (STDOUT_FILENO);
  done = done && write_all (dump, given, error);
  if (!is_stdout)
    done = close_target (&dump->target, done, error);
  clear_target (&dump->target);
  if (done && !is_stdout && isatty (STDERR_FILENO))
    cli_note (dump->context, "keys written: %" G_GUINT64_FORMAT, dump->n_written);
  return done;
}

static CliExit
run_dump (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const DumpOptions *given = options;
  Dump dump = { .context = context, .progress = cli_progress_start (context) };

  if (dump.progress.enabled && !shmkv_client_count (context->client, &dump.n_expected, error))
    return CLI_EXIT_FAILED;
  cli_interrupt_catch ();
  return make_dump (&dump, cli_args_get_text (args, 0), given, error) ? CLI_EXIT_OK
                                                                     : CLI_EXIT_FAILED;
}

static const DumpOptions defaults = { .sort_memory = SORT_MEMORY };

static const CliOption dump_options[] = {
  { "unsorted", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (DumpOptions, unsorted), NULL,
    "in no order, without temporary files" },
  /* For the tests: many temporary files with few keys. */
  { "sort-memory", 0, CLI_OPTION_NUMBER, G_STRUCT_OFFSET (DumpOptions, sort_memory), "BYTES",
    NULL, 1, G_MAXUINT64 },
  { NULL }
};

const CliCommand cli_cmd_dump = {
  .name = "dump",
  .aliases = { "save" },
  .arguments = { { "FILE", CLI_ARGUMENT_TEXT, .optional = TRUE } },
  .summary = "Write all keys and values to a file",
  .description =
    "Writes to FILE, or to standard output, what load reads: text, a line for each\n"
    "key, with its time to live where it has one.  Keys that belong to a session, such\n"
    "as locks, are left out.  FILE takes its place when it is complete.  While others\n"
    "change keys, each is written as it is at some moment.\n"
    "\n"
    "The order is that of the keys, so that the same keys and values make the same\n"
    "file.  What is too much to be sorted in memory goes to temporary files in $TMPDIR,\n"
    "or in /tmp, which take as much room as FILE, or up to twice as much; --unsorted\n"
    "needs none, and writes in another order each time.",
  .needs_client = TRUE,
  .options = dump_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .run = run_dump,
};
