/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What load reads: any file.  What it takes for a record comes out again where it
 * is written and read once more; what it refuses, it says why. */

#include "config.h"

#include "fuzz/fuzz.h"

#include "client/dump-format.h"

#include <stdlib.h>
#include <string.h>

#define MAX_VALUE 4096

typedef struct
{
  char *text;
  size_t size;
  FILE *file;
} Memory;

static FILE *
open_to_read (const void *bytes, gsize size)
{
  FILE *file = fmemopen ((void *) (guintptr) bytes, MAX (size, 1), "r");

  g_assert_nonnull (file);
  /* Of no byte there is no file. */
  if (size == 0)
    getc_unlocked (file);
  return file;
}

static void
judge (gboolean done, const GError *error)
{
  g_assert_cmpint (done, ==, error == NULL);
}

static void
compare (const ShmkvDatum *one, const ShmkvDatum *other)
{
  g_assert_cmpuint (one->kind, ==, other->kind);
  if (one->kind == SHMKV_KIND_INTEGER)
    g_assert_cmpuint (one->integer, ==, other->integer);
  else
    g_assert_cmpmem (one->bytes, one->length, other->bytes, other->length);
}

/* Writes a record as a dump of its own, reads it, and compares. */
static void
write_and_read (const CliRecord *record)
{
  g_autoptr (GError) error = NULL;
  Memory memory = { NULL };
  CliDumpReader *reader;
  CliRecord again;
  gboolean more;
  FILE *file;

  memory.file = open_memstream (&memory.text, &memory.size);
  cli_dump_write_header (memory.file);
  cli_dump_write_record (memory.file, record);
  cli_dump_write_trailer (memory.file, 1);
  fclose (memory.file);

  file = open_to_read (memory.text, memory.size);
  reader = cli_dump_reader_new (file, MAX_VALUE);
  g_assert_true (cli_dump_reader_next (reader, &again, &more, &error) && more);
  compare (&record->key, &again.key);
  compare (&record->value, &again.value);
  g_assert_cmpuint (record->ttl_ms, ==, again.ttl_ms);
  g_assert_true (cli_dump_reader_next (reader, &again, &more, &error) && !more);
  cli_dump_reader_free (reader);
  fclose (file);
  free (memory.text);
}

/* As load does.  Returns how many records there were. */
static guint64
read_records (FILE *file)
{
  g_autoptr (CliDumpReader) reader = cli_dump_reader_new (file, MAX_VALUE);
  g_autoptr (GError) error = NULL;
  guint64 n = 0;
  gboolean more = TRUE, done = TRUE;
  CliRecord record;

  while (done && more)
    {
      done = cli_dump_reader_next (reader, &record, &more, &error);
      judge (done, error);
      if (!done || !more)
        break;
      n++;
      /* Enough for all forms that there are. */
      if (n <= 3)
        write_and_read (&record);
    }
  g_assert_cmpuint (cli_dump_reader_get_line (reader), >, 0);
  return n;
}

/* As dump does where it sorts: keys only. */
static guint64
read_keys (FILE *file)
{
  g_autoptr (CliDumpReader) reader = cli_dump_reader_new (file, MAX_VALUE);
  g_autoptr (GError) error = NULL;
  guint64 n = 0;
  gboolean more = TRUE, done = TRUE;
  ShmkvDatum key;

  while (done && more)
    {
      done = cli_dump_reader_next_key (reader, &key, &more, &error);
      judge (done, error);
      if (!done || !more)
        break;
      n++;
      done = cli_dump_reader_copy_rest (reader, NULL, &error);
      judge (done, error);
    }
  return n;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  FILE *file = open_to_read (data, size);
  guint64 n_records = read_records (file);

  fclose (file);
  file = open_to_read (data, size);
  g_assert_cmpuint (read_keys (file), >=, n_records);
  fclose (file);
  return 0;
}
