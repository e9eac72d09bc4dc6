/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Byte by byte, so that no more of a record is in memory than what it means: a
 * value may have half a gigabyte. */

#include "config.h"

#include "client/dump-format.h"

#include "client/cli.h"
#include "client/number.h"
#include "client/word.h"

#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------------ writing */

#define PIECE 16384

static void
write_bytes (FILE *file, const guint8 *bytes, gsize length)
{
  char escaped[CLI_WORD_GROWTH * PIECE];

  for (gsize at = 0; at < length; at += PIECE)
    {
      const char *end = cli_word_escape (escaped, bytes + at, MIN (length - at, PIECE));

      fwrite (escaped, 1, end - escaped, file);
    }
}

void
cli_dump_write_datum (FILE *file, const ShmkvDatum *datum)
{
  if (datum->kind != SHMKV_KIND_BYTES)
    {
      fprintf (file, "%" G_GUINT64_FORMAT, datum->integer);
      return;
    }
  putc ('"', file);
  write_bytes (file, datum->bytes, datum->length);
  putc ('"', file);
}

void
cli_dump_write_header (FILE *file)
{
  fputs (CLI_DUMP_HEADER "\n", file);
}

void
cli_dump_write_record (FILE *file, const CliRecord *record)
{
  cli_dump_write_datum (file, &record->key);
  putc (' ', file);
  cli_dump_write_datum (file, &record->value);
  if (record->ttl_ms != 0)
    fprintf (file, " %" G_GUINT64_FORMAT, record->ttl_ms);
  putc ('\n', file);
}

void
cli_dump_write_trailer (FILE *file, guint64 n_records)
{
  fprintf (file, CLI_DUMP_TRAILER " %" G_GUINT64_FORMAT "\n", n_records);
}

/* ------------------------------------------------------------------ reading */

struct _CliDumpReader
{
  FILE *file;
  guint64 max_value;
  guint64 line;
  guint64 n_records;
  gboolean has_header;
  GByteArray *key;
  GByteArray *value;
};

CliDumpReader *
cli_dump_reader_new (FILE *file, guint64 max_value)
{
  CliDumpReader *reader = g_new (CliDumpReader, 1);

  *reader = (CliDumpReader) { .file = file,
                              .max_value = max_value,
                              .key = g_byte_array_new (),
                              .value = g_byte_array_new () };
  return reader;
}

void
cli_dump_reader_free (CliDumpReader *reader)
{
  g_byte_array_unref (reader->key);
  g_byte_array_unref (reader->value);
  g_free (reader);
}

guint64
cli_dump_reader_get_line (const CliDumpReader *reader)
{
  return reader->line;
}

static gboolean
refuse (GError **error, const char *why)
{
  g_set_error_literal (error, CLI_ERROR, CLI_ERROR_FAILED, why);
  return FALSE;
}

/* Where the file ends, or cannot be read. */
static gboolean
refuse_end (CliDumpReader *reader, GError **error)
{
  if (!ferror (reader->file))
    return refuse (error, "the file ends here, before its last line: it was cut off");
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot read: %s", g_strerror (errno));
  return FALSE;
}

/* The next byte, which must be `wanted`. */
static gboolean
expect (CliDumpReader *reader, char wanted, GError **error)
{
  int c = getc_unlocked (reader->file);

  if (c == (guchar) wanted)
    return TRUE;
  if (c == EOF)
    return refuse_end (reader, error);
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "there must be %s here",
               wanted == ' ' ? "a space between two words" : "the end of the line");
  return FALSE;
}

/* What a backslash begins; -1 where it is nothing. */
static int
take_escape (CliDumpReader *reader)
{
  char escape[2];
  const char *at = escape;
  int c = getc_unlocked (reader->file);

  escape[0] = (char) c;
  if (c == '\\' || c == '"')
    return c;
  if (c == EOF)
    return -1;
  c = getc_unlocked (reader->file);
  escape[1] = (char) c;
  return c == EOF ? -1 : cli_word_unescape (&at, escape + 2);
}

/* The next byte of a byte string; -1 at its closing quote, -2 on error. */
static int
take_byte (CliDumpReader *reader, GError **error)
{
  int c = getc_unlocked (reader->file);

  if (c == '"')
    return -1;
  if (c == '\\')
    {
      c = take_escape (reader);
      if (c >= 0)
        return c;
      refuse (error, "after a backslash there must be another, a quote, or two hexadecimal "
                     "digits");
      return -2;
    }
  if (c != EOF && g_ascii_isprint (c))
    return c;
  if (c == EOF)
    refuse_end (reader, error);
  else
    refuse (error, "a byte that is not printable ASCII must be escaped; or a quote is missing");
  return -2;
}

#define CHUNK 4096

/* Behind the opening quote. */
static gboolean
take_bytes (CliDumpReader *reader, const char *what, guint64 max, GByteArray *bytes,
            GError **error)
{
  guint8 chunk[CHUNK];
  guint n = 0;
  int c;

  g_byte_array_set_size (bytes, 0);
  while ((c = take_byte (reader, error)) >= 0)
    {
      chunk[n++] = (guint8) c;
      if (n == CHUNK)
        {
          g_byte_array_append (bytes, chunk, n);
          n = 0;
        }
      if (bytes->len + n > max)
        {
          g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED,
                       "%s is too long: %" G_GUINT64_FORMAT " bytes are possible", what, max);
          return FALSE;
        }
    }
  g_byte_array_append (bytes, chunk, n);
  return c == -1;
}

/* A number up to the next byte that is no digit, which is left; `first` is its
 * first one. */
static gboolean
take_number (CliDumpReader *reader, int first, guint64 max, guint64 *number_out, GError **error)
{
  char digits[32];
  gsize n = 0;
  int c = first;

  for (; c != EOF && g_ascii_isdigit (c) && n < sizeof digits - 1;
       c = getc_unlocked (reader->file))
    digits[n++] = (char) c;
  digits[n] = '\0';
  ungetc (c, reader->file);
  if (n > 0 && cli_number_parse ("number", digits, 0, max, number_out, NULL))
    return TRUE;
  if (n > 0)
    return refuse (error, "the number is too large");
  return c == EOF ? refuse_end (reader, error)
                  : refuse (error, "there must be a number, or a string in quotes");
}

static gboolean
take_datum (CliDumpReader *reader, int first, const char *what, guint64 max, GByteArray *bytes,
            ShmkvDatum *datum_out, GError **error)
{
  guint64 number;

  if (first == '"')
    {
      if (!take_bytes (reader, what, max, bytes, error))
        return FALSE;
      *datum_out = shmkv_bytes (bytes->data, bytes->len);
      return TRUE;
    }
  if (!take_number (reader, first, G_MAXUINT64, &number, error))
    return FALSE;
  *datum_out = shmkv_integer (number);
  return TRUE;
}

/* At the end of a record: the time to live, or nothing. */
static gboolean
take_ttl (CliDumpReader *reader, guint64 *ttl_ms_out, GError **error)
{
  int c = getc_unlocked (reader->file);

  *ttl_ms_out = 0;
  if (c != ' ')
    {
      ungetc (c, reader->file);
      return TRUE;
    }
  c = getc_unlocked (reader->file);
  if (!take_number (reader, c, SHMKV_TTL_MAX, ttl_ms_out, error))
    return FALSE;
  return *ttl_ms_out != 0 || refuse (error, "a time to live of 0 is not possible");
}

static gboolean
take_key (CliDumpReader *reader, int first, ShmkvDatum *key_out, GError **error)
{
  if (!take_datum (reader, first, "the key", SHMKV_KEY_MAX, reader->key, key_out, error))
    return FALSE;
  if (key_out->kind == SHMKV_KIND_BYTES && key_out->length == 0)
    return refuse (error, "the key is empty");
  reader->n_records++;
  return TRUE;
}

/* Behind the key. */
static gboolean
take_rest (CliDumpReader *reader, CliRecord *record_out, GError **error)
{
  return expect (reader, ' ', error)
         && take_datum (reader, getc_unlocked (reader->file), "the value", reader->max_value,
                        reader->value, &record_out->value, error)
         && take_ttl (reader, &record_out->ttl_ms, error) && expect (reader, '\n', error);
}

/* Whether `text` comes next. */
static gboolean
take_text (CliDumpReader *reader, const char *text)
{
  for (; *text != '\0'; text++)
    {
      if (getc_unlocked (reader->file) != (guchar) *text)
        return FALSE;
    }
  return TRUE;
}

static gboolean
take_header (CliDumpReader *reader, GError **error)
{
  reader->line = 1;
  reader->has_header = TRUE;
  if (take_text (reader, CLI_DUMP_HEADER "\n"))
    return TRUE;
  if (ferror (reader->file))
    return refuse_end (reader, error);
  return refuse (error, "this is no dump: the first line must be \"" CLI_DUMP_HEADER "\"");
}

/* Behind its first letter. */
static gboolean
take_trailer (CliDumpReader *reader, GError **error)
{
  guint64 n;

  if (!take_text (reader, &CLI_DUMP_TRAILER " "[1]))
    return refuse (error, "there must be a number, a string in quotes, or the last line");
  if (!take_number (reader, getc_unlocked (reader->file), G_MAXUINT64, &n, error)
      || !expect (reader, '\n', error))
    return FALSE;
  if (n != reader->n_records)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED,
                   "there should be %" G_GUINT64_FORMAT " records before this line, but there are %"
                   G_GUINT64_FORMAT, n, reader->n_records);
      return FALSE;
    }
  reader->line++;
  return getc_unlocked (reader->file) == EOF ? TRUE
                                             : refuse (error, "there is more after the last line");
}

gboolean
cli_dump_reader_next_key (CliDumpReader *reader, ShmkvDatum *key_out, gboolean *more_out,
                          GError **error)
{
  int c;

  *more_out = FALSE;
  if (!reader->has_header && !take_header (reader, error))
    return FALSE;
  reader->line++;
  c = getc_unlocked (reader->file);
  if (c == EOF)
    return refuse_end (reader, error);
  if (c == CLI_DUMP_TRAILER[0])
    return take_trailer (reader, error);
  *more_out = TRUE;
  return take_key (reader, c, key_out, error);
}

gboolean
cli_dump_reader_next (CliDumpReader *reader, CliRecord *record_out, gboolean *more_out,
                      GError **error)
{
  if (!cli_dump_reader_next_key (reader, &record_out->key, more_out, error))
    return FALSE;
  return !*more_out || take_rest (reader, record_out, error);
}

gboolean
cli_dump_reader_copy_rest (CliDumpReader *reader, FILE *to, GError **error)
{
  char piece[CHUNK];

  do
    {
      if (fgets (piece, sizeof piece, reader->file) == NULL)
        return refuse_end (reader, error);
      if (to != NULL)
        fputs (piece, to);
    }
  while (strchr (piece, '\n') == NULL);
  return TRUE;
}
