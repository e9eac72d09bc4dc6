/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How shmkv-client understands what it is told, and how it prints: all that needs
 * no server. */

#include "config.h"

#include "client/args.h"
#include "client/batch-line.h"
#include "client/cli.h"
#include "client/conditions.h"
#include "client/dump-format.h"
#include "client/dump-sort.h"
#include "client/json.h"
#include "client/lines.h"
#include "client/number.h"
#include "client/options.h"
#include "client/output.h"
#include "client/statistics.h"
#include "client/word.h"
#include "shmkv/pairs-private.h"
#include "wire/record.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static void
assert_usage_error (GError *error, const char *fragment)
{
  g_assert_error (error, CLI_ERROR, CLI_ERROR_USAGE);
  if (strstr (error->message, fragment) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, fragment);
  g_error_free (error);
}

/* ------------------------------------------------------------------ numbers */

static void
test_number_accepts (void)
{
  static const struct
  {
    const char *text;
    guint64 number;
  } cases[] = {
    { "0", 0 },
    { "007", 7 },
    { "9223372036854775808", G_GUINT64_CONSTANT (9223372036854775808) },
    { "18446744073709551615", G_MAXUINT64 },
    { "0xff", 255 },
    { "0XFFFFFFFFFFFFFFFF", G_MAXUINT64 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      guint64 number = 42;

      g_assert_true (cli_number_parse ("KEY", cases[i].text, 0, G_MAXUINT64, &number, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (number, ==, cases[i].number);
    }
}

static void
test_number_rejects (void)
{
  static const struct
  {
    const char *text;
    const char *fragment;
  } cases[] = {
    { "", "is empty" },
    { "-5", "has a sign" },
    { "+5", "has a sign" },
    { "-", "is not a number" },
    { " 5", "is not a number" },
    { "5 ", "is not a number" },
    { "5x", "is not a number" },
    { "five", "is not a number" },
    { "1e3", "is not a number" },
    { "0x", "is not a number" },
    { "0x0x5", "is not a number" },
    { "0x-5", "is not a number" },
    { "18446744073709551616", "too large; the largest is 1000" },
    { "99999999999999999999999999", "too large" },
    { "0x10000000000000000", "too large" },
    { "1001", "too large; the largest is 1000" },
    { "9", "too small; the smallest is 10" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      GError *error = NULL;
      guint64 number = 42;

      g_assert_false (cli_number_parse ("KEY", cases[i].text, 10, 1000, &number, &error));
      g_assert_true (g_str_has_prefix (error->message, "KEY '"));
      assert_usage_error (error, cases[i].fragment);
      g_assert_cmpuint (number, ==, 42);
    }
}

static void
test_seconds (void)
{
  static const char *const bad[] = { "",  "x",  "0",   "-1",   "0.0",  "nan", "infinity",
                                     "5s", " 5", "1e99", "0x10", "-inf", "." };
  double seconds = 0;

  g_assert_true (cli_seconds_parse ("--timeout", "0.25", FALSE, &seconds, NULL));
  g_assert_cmpint (cli_seconds_to_usec (seconds), ==, 250000);
  g_assert_true (cli_seconds_parse ("--timeout", "1e-9", FALSE, &seconds, NULL));
  g_assert_cmpint (cli_seconds_to_usec (seconds), ==, 1);
  g_assert_true (cli_seconds_parse ("--timeout", "inf", FALSE, &seconds, NULL));
  g_assert_cmpint (cli_seconds_to_usec (seconds), ==, -1);
  g_assert_true (cli_seconds_parse ("--wait", "0", TRUE, &seconds, NULL));
  g_assert_cmpint (cli_seconds_to_usec (seconds), ==, 0);
  g_assert_false (cli_seconds_parse ("--wait", "-0", TRUE, &seconds, NULL));
  g_assert_false (cli_seconds_parse ("--wait", "-1", TRUE, &seconds, NULL));

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      GError *error = NULL;

      g_assert_false (cli_seconds_parse ("--timeout", bad[i], FALSE, &seconds, &error));
      assert_usage_error (error, "--timeout");
    }
}

/* -------------------------------------------------------------------- words */

static ShmkvDatum
bytes_datum (const char *bytes, gsize length)
{
  return shmkv_bytes (bytes, length);
}

static void
assert_datum (const ShmkvDatum *datum, const ShmkvDatum *expected)
{
  g_assert_cmpint (datum->kind, ==, expected->kind);
  g_assert_cmpuint (datum->integer, ==, expected->integer);
  g_assert_cmpmem (datum->bytes, datum->length, expected->bytes, expected->length);
}

static void
test_word_written (void)
{
  const ShmkvDatum integer = shmkv_integer (G_MAXUINT64);
  const ShmkvDatum bytes = bytes_datum ("a b\"\\\n\377\0~", 9);
  const ShmkvDatum empty = bytes_datum ("", 0);
  g_autoptr (GString) text = g_string_new (NULL);

  cli_word_append (text, &integer);
  cli_word_append (text, &bytes);
  cli_word_append (text, &empty);
  g_assert_cmpstr (text->str, ==, "18446744073709551615\"a\\20b\\22\\\\\\0a\\ff\\00~\"\"\"");
}

/* What is written is read again as what it was. */
static void
test_word_round_trip (void)
{
  for (guint i = 0; i < 1000; i++)
    {
      gsize length = (gsize) g_test_rand_int_range (0, 300);
      g_autofree char *bytes = g_malloc (length + 1);
      g_autoptr (GString) text = g_string_new (NULL);
      ShmkvDatum datum, again;
      CliWord word[1];
      guint n;

      for (gsize j = 0; j < length; j++)
        bytes[j] = (char) (i < 256 ? i : (guint) g_test_rand_int ());
      datum = bytes_datum (bytes, length);
      cli_word_append (text, &datum);
      g_assert_cmpuint (text->len, <=, CLI_WORD_GROWTH * length + 2);
      for (gsize j = 0; j < text->len; j++)
        g_assert_true (g_ascii_isgraph (text->str[j]));

      g_assert_true (cli_words_split (text->str, text->len, word, 1, &n, NULL));
      g_assert_cmpuint (n, ==, 1);
      g_assert_true (cli_word_to_datum ("KEY", word, FALSE, &again, NULL));
      assert_datum (&again, &datum);
    }
}

static void
test_words_split (void)
{
  char line[] = " \tset  \"a b\\0A\\\"\\\\\"  0x10\t5x \"\" more and more ";
  CliWord words[5];
  guint n;

  g_assert_true (cli_words_split (line, strlen (line), words, 5, &n, NULL));
  g_assert_cmpuint (n, ==, 6);
  g_assert_cmpstr (words[0].text, ==, "set");
  g_assert_cmpmem (words[1].text, words[1].length, "a b\n\"\\", 6);
  g_assert_true (words[1].quoted);
  g_assert_cmpstr (words[2].text, ==, "0x10");
  g_assert_cmpstr (words[3].text, ==, "5x");
  g_assert_cmpuint (words[4].length, ==, 0);
  g_assert_true (words[4].quoted);
}

static void
test_words_rejected (void)
{
  static const struct
  {
    const char *text;
    const char *fragment;
  } cases[] = {
    { "\"", "a quote is missing" },         { "\"abc", "a quote is missing" },
    { "\"abc\\\"", "a quote is missing" },  { "\"\\", "after a backslash" },
    { "\"\\x41\"", "after a backslash" },   { "\"\\4\"", "after a backslash" },
    { "\"\\4g\"", "after a backslash" },    { "\"a\"b", "a space after" },
    { "\"a\"\"b\"", "a space after" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *line = g_strdup (cases[i].text);
      GError *error = NULL;
      CliWord words[3];
      guint n;

      g_assert_false (cli_words_split (line, strlen (line), words, 3, &n, &error));
      assert_usage_error (error, cases[i].fragment);
    }
}

static void
test_word_meaning (void)
{
  static const struct
  {
    const char *text;
    gboolean is_integer;
    guint64 integer;
  } cases[] = {
    { "0", TRUE, 0 },       { "007", TRUE, 7 }, { "0xfF", TRUE, 255 }, { "0x", FALSE },
    { "18446744073709551615", TRUE, G_MAXUINT64 },
    { "-5", FALSE },        { "+5", FALSE },    { " 5", FALSE },       { "5 ", FALSE },
    { "5x", FALSE },        { "", FALSE },      { "five", FALSE },     { "1e3", FALSE },
    { "0x5g", FALSE },      { "1.5", FALSE },   { "-", FALSE },
  };
  char large[] = "18446744073709551616";
  const CliWord word = { large, strlen (large), FALSE };
  GError *error = NULL;
  ShmkvDatum datum;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = g_strdup (cases[i].text);
      const CliWord plain = { text, strlen (text), FALSE }, quoted = { text, strlen (text), TRUE };
      const ShmkvDatum string = shmkv_string (text), integer = shmkv_integer (cases[i].integer);

      g_assert_true (cli_word_to_datum ("KEY", &plain, FALSE, &datum, NULL));
      assert_datum (&datum, cases[i].is_integer ? &integer : &string);
      g_assert_true (cli_word_to_datum ("KEY", &plain, TRUE, &datum, NULL));
      assert_datum (&datum, &string);
      g_assert_true (cli_word_to_datum ("KEY", &quoted, FALSE, &datum, NULL));
      assert_datum (&datum, &string);
    }
  g_assert_false (cli_word_to_datum ("KEY", &word, FALSE, &datum, &error));
  assert_usage_error (error, "too large");
}

static void
test_key_length (void)
{
  g_autofree char *bytes = g_malloc0 (SHMKV_KEY_MAX + 1);
  const ShmkvDatum empty = bytes_datum ("", 0), longest = bytes_datum (bytes, SHMKV_KEY_MAX);
  const ShmkvDatum too_long = bytes_datum (bytes, SHMKV_KEY_MAX + 1), zero = shmkv_integer (0);
  GError *error = NULL;

  g_assert_true (cli_key_check ("KEY", &longest, NULL));
  g_assert_true (cli_key_check ("KEY", &zero, NULL));
  g_assert_false (cli_key_check ("KEY", &empty, &error));
  assert_usage_error (g_steal_pointer (&error), "KEY is empty");
  g_assert_false (cli_key_check ("KEY", &too_long, &error));
  assert_usage_error (error, "KEY has 65537 bytes");
}

/* -------------------------------------------------------------------- dumps */

static CliDumpReader *
open_dump (const char *text, gsize length, FILE **file_out)
{
  *file_out = fmemopen ((char *) text, length, "r");
  g_assert_nonnull (*file_out);
  return cli_dump_reader_new (*file_out, 1000);
}

static void
test_dump_round_trip (void)
{
  static const char key_bytes[] = "key\0\n\" \\\xff";
  g_autofree char *text = NULL;
  g_autofree guint8 *long_value = g_malloc (100000);
  gsize length = 0;
  const CliRecord records[] = {
    { shmkv_integer (0), shmkv_integer (G_MAXUINT64), 0 },
    { shmkv_string ("5"), shmkv_string (""), 1 },
    { bytes_datum (key_bytes, sizeof key_bytes), bytes_datum (key_bytes, sizeof key_bytes),
      SHMKV_TTL_MAX },
    { shmkv_integer (G_MAXUINT64), shmkv_bytes (long_value, 100000), 0 },
  };
  FILE *file = open_memstream (&text, &length);
  CliDumpReader *reader;
  gboolean more;
  CliRecord record;

  for (guint i = 0; i < 100000; i++)
    long_value[i] = (guint8) g_test_rand_int ();
  cli_dump_write_header (file);
  for (guint i = 0; i < G_N_ELEMENTS (records); i++)
    cli_dump_write_record (file, &records[i]);
  cli_dump_write_trailer (file, G_N_ELEMENTS (records));
  g_assert_cmpint (fclose (file), ==, 0);
  g_assert_true (g_str_has_prefix (text, "shmkv-dump 1\n0 18446744073709551615\n\"5\" \"\" 1\n"));

  file = fmemopen (text, length, "r");
  reader = cli_dump_reader_new (file, 100000);
  for (guint i = 0; i < G_N_ELEMENTS (records); i++)
    {
      g_assert_true (cli_dump_reader_next (reader, &record, &more, NULL));
      g_assert_true (more);
      g_assert_cmpuint (cli_dump_reader_get_line (reader), ==, i + 2);
      assert_datum (&record.key, &records[i].key);
      assert_datum (&record.value, &records[i].value);
      g_assert_cmpuint (record.ttl_ms, ==, records[i].ttl_ms);
    }
  g_assert_true (cli_dump_reader_next (reader, &record, &more, NULL));
  g_assert_false (more);
  cli_dump_reader_free (reader);
  fclose (file);
}

/* By keys, with the rest of each line as it is, but for every other record. */
static void
test_dump_copy (void)
{
  static const char text[] = "shmkv-dump 1\n1 2\n\"a\\20b\" \"\" 5\n3 \"c\\0a\"\n4 5 6\nend 4\n";
  g_autofree char *copy = NULL;
  gsize length = 0;
  FILE *from;
  FILE *to = open_memstream (&copy, &length);
  CliDumpReader *reader = open_dump (text, strlen (text), &from);
  gboolean more;
  ShmkvDatum key;

  for (guint i = 0; i < 4; i++)
    {
      g_assert_true (cli_dump_reader_next_key (reader, &key, &more, NULL));
      g_assert_true (more);
      if (i % 2 == 1)
        cli_dump_write_datum (to, &key);
      g_assert_true (cli_dump_reader_copy_rest (reader, i % 2 == 1 ? to : NULL, NULL));
    }
  g_assert_true (cli_dump_reader_next_key (reader, &key, &more, NULL));
  g_assert_false (more);
  fclose (to);
  g_assert_cmpstr (copy, ==, "\"a\\20b\" \"\" 5\n4 5 6\n");
  cli_dump_reader_free (reader);
  fclose (from);
}

#define SORT_RECORDS 20000
#define SORT_KEYS 5000
#define SORT_PART 100

/* Key `number` of as many integers as byte strings, in their order. */
static ShmkvField
sort_key (guint number, char *text)
{
  if (number < SORT_KEYS / 2)
    return (ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = number };
  return (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES,
                        .integer = (guint64) sprintf (text, "%u", number + 1000000),
                        .bytes = text };
}

/* Pairs of random keys, and values that count on from `first`; `values` gets that
 * of the first record with a key. */
static ShmkvPairs *
make_part (guint first, guint *values)
{
  guint64 *body = g_malloc0 (SORT_PART * 64);
  uint64_t *cursor = body;

  for (guint i = 0; i < SORT_PART; i++)
    {
      char text[16];
      guint number = (guint) g_test_rand_int_range (0, SORT_KEYS);
      ShmkvPair pair = { .key = sort_key (number, text),
                         .value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = first + i } };

      cursor = shmkv_pair_encode (cursor, &pair);
      if (values[number] == 0)
        values[number] = first + i;
    }
  return shmkv_pairs_new_take (body, (gsize) (cursor - body) * 8, NULL);
}

static char *
expected_sorted (const guint *values)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < SORT_KEYS; i++)
    {
      if (values[i] != 0 && i < SORT_KEYS / 2)
        g_string_append_printf (text, "%u %u\n", i, values[i]);
      else if (values[i] != 0)
        g_string_append_printf (text, "\"%u\" %u\n", i + 1000000, values[i]);
    }
  return g_string_free (text, FALSE);
}

/* All in memory; in some runs; in one for each record, which are merged over two
 * levels.  Most keys come several times, from different runs: the first stays. */
static void
test_dump_sort (gconstpointer data)
{
  g_autofree guint *values = g_new0 (guint, SORT_KEYS);
  g_autofree char *expected = NULL;
  g_autofree char *text = NULL;
  gsize length = 0;
  FILE *file = open_memstream (&text, &length);
  CliProgress progress = { .enabled = FALSE };
  g_autoptr (CliDumpSort) sort = cli_dump_sort_new (GPOINTER_TO_SIZE (data), &progress);
  gboolean more = TRUE;

  for (guint i = 0; i < SORT_RECORDS; i += SORT_PART)
    {
      g_autoptr (ShmkvPairs) pairs = make_part (i + 1, values);

      g_assert_nonnull (pairs);
      g_assert_true (cli_dump_sort_add (sort, pairs, NULL));
    }
  while (more)
    g_assert_true (cli_dump_sort_write_next (sort, file, &more, NULL));
  g_assert_cmpint (fclose (file), ==, 0);
  expected = expected_sorted (values);
  g_assert_cmpstr (text, ==, expected);
}

/* How many records come before what is wrong, and in which line that is. */
static void
test_dump_rejected (void)
{
  static const struct
  {
    const char *text;
    guint line;
    const char *fragment;
  } cases[] = {
    { "x", 1, "no dump" },
    { "shmkv-dump 2\n", 1, "no dump" },
    { "shmkv-dump 1", 1, "no dump" },
    { "shmkv-dump 1\n", 2, "cut off" },
    { "shmkv-dump 1\n1 2\n", 3, "cut off" },
    { "shmkv-dump 1\n1 2", 2, "cut off" },
    { "shmkv-dump 1\n1 ", 2, "cut off" },
    { "shmkv-dump 1\n1", 2, "cut off" },
    { "shmkv-dump 1\n\"1", 2, "cut off" },
    { "shmkv-dump 1\n1 2\nend 2\n", 3, "should be 2 records" },
    { "shmkv-dump 1\n1 2\nend 0\n", 3, "should be 0 records" },
    { "shmkv-dump 1\n1 2\nend 1", 3, "cut off" },
    { "shmkv-dump 1\n1 2\nend 1\n\n", 4, "more after the last line" },
    { "shmkv-dump 1\n\nend 0\n", 2, "a number, or a string" },
    { "shmkv-dump 1\n1 2\n 3 4\nend 2\n", 3, "a number, or a string" },
    { "shmkv-dump 1\n1 2 \nend 1\n", 2, "a number, or a string" },
    { "shmkv-dump 1\n1  2\nend 1\n", 2, "a number, or a string" },
    { "shmkv-dump 1\n1\nend 1\n", 2, "a space between" },
    { "shmkv-dump 1\n1 2 3 4\nend 1\n", 2, "the end of the line" },
    { "shmkv-dump 1\n1 2 0\nend 1\n", 2, "time to live of 0" },
    { "shmkv-dump 1\n1 2 9007199254740993\nend 1\n", 2, "too large" },
    { "shmkv-dump 1\n1 18446744073709551616\nend 1\n", 2, "too large" },
    { "shmkv-dump 1\n1 0000000000000000000000000000000000000000\nend 1\n", 2, "" },
    { "shmkv-dump 1\n-1 2\nend 1\n", 2, "a number, or a string" },
    { "shmkv-dump 1\n\"\" 2\nend 1\n", 2, "the key is empty" },
    { "shmkv-dump 1\n\"a\n\" 2\nend 1\n", 2, "must be escaped" },
    { "shmkv-dump 1\n\"\\a\" 2\nend 1\n", 2, "after a backslash" },
    { "shmkv-dump 1\n\"\303\244\" 2\nend 1\n", 2, "must be escaped" },
    { "shmkv-dump 1\nerror\n", 2, "or the last line" },
  };
  g_autofree char *spaces = g_strnfill (1001, '-');
  g_autofree char *long_value = g_strdup_printf ("shmkv-dump 1\n1 \"%s\"\nend 1\n", spaces);

  for (guint i = 0; i <= G_N_ELEMENTS (cases); i++)
    {
      gboolean is_last = i == G_N_ELEMENTS (cases);
      const char *text = is_last ? long_value : cases[i].text;
      FILE *file;
      g_autoptr (CliDumpReader) reader = open_dump (text, strlen (text), &file);
      g_autoptr (GError) error = NULL;
      CliRecord record;
      gboolean more = TRUE;

      while (more && error == NULL)
        cli_dump_reader_next (reader, &record, &more, &error);
      g_assert_error (error, CLI_ERROR, CLI_ERROR_FAILED);
      g_assert_cmpuint (cli_dump_reader_get_line (reader), ==, is_last ? 2 : cases[i].line);
      if (strstr (error->message, is_last ? "the value is too long" : cases[i].fragment) == NULL)
        g_error ("%s: %s", text, error->message);
      fclose (file);
    }
}

/* -------------------------------------------------------------------- lines */

static gboolean
parse_line (char *text, CliBatchLine *line_out, GError **error)
{
  const CliContext context = { 0 };

  return cli_batch_line_parse (&context, text, strlen (text), line_out, error);
}

static void
test_batch_line_accepts (void)
{
  const ShmkvDatum none = { SHMKV_KIND_NONE };
  const ShmkvDatum five = shmkv_integer (5), seven = shmkv_integer (7), one = shmkv_integer (1);
  const ShmkvDatum text = shmkv_string ("text"), digits = shmkv_string ("5");
  const struct
  {
    const char *text;
    ShmkvOp op;
    ShmkvDatum key;
    ShmkvDatum value;
    ShmkvFlags flags;
  } cases[] = {
    { "insert 5 7", SHMKV_OP_INSERT, five, seven },
    { "set 5 0xff", SHMKV_OP_INSERT, five, shmkv_integer (255) },
    { "\t put  18446744073709551615 0 \r", SHMKV_OP_INSERT, shmkv_integer (G_MAXUINT64),
      shmkv_integer (0) },
    { "insert text \"5\"", SHMKV_OP_INSERT, text, digits },
    { "insert \"te\\78t\" -", SHMKV_OP_INSERT, text, shmkv_string ("-") },
    { "read 5", SHMKV_OP_READ, five, none },
    { "get \"5\"", SHMKV_OP_READ, digits, none },
    { "delete 5", SHMKV_OP_DELETE, five, none },
    { "del 5", SHMKV_OP_DELETE, five, none },
    { "rm 5", SHMKV_OP_DELETE, five, none },
    { "add 5", SHMKV_OP_ADD, five, one },
    { "incr 5 7", SHMKV_OP_ADD, five, seven },
    { "subtract 5 7", SHMKV_OP_SUBTRACT, five, seven },
    { "decr 5", SHMKV_OP_SUBTRACT, five, one },
    { "exchange 5 7", SHMKV_OP_INSERT, five, seven, SHMKV_FLAG_OLD },
    { "cas 5 1 7", SHMKV_OP_INSERT, five, seven, SHMKV_FLAG_IF_VALUE },
    { "expire 5 100", SHMKV_OP_EXPIRE, five, none, SHMKV_FLAG_TTL },
    { "expire 5 never", SHMKV_OP_EXPIRE, five, none },
    { "ttl 5", SHMKV_OP_TTL, five, none },
    { "count", SHMKV_OP_COUNT, none, none },
    { "thstart 2", SHMKV_OP_START_WORKERS, shmkv_integer (2), none },
    { "thstop", SHMKV_OP_STOP_WORKER, none, none },
    { "ping", SHMKV_OP_PING, none, none },
    { "insert --if-absent 5 7", SHMKV_OP_INSERT, five, seven, SHMKV_FLAG_IF_ABSENT },
    { "insert  --if-present\t--old --show-version  --ttl=100 5 7", SHMKV_OP_INSERT, five, seven,
      SHMKV_FLAG_IF_PRESENT | SHMKV_FLAG_OLD | SHMKV_FLAG_VERSION | SHMKV_FLAG_TTL },
    { "set --ttl 0x64 5 7", SHMKV_OP_INSERT, five, seven, SHMKV_FLAG_TTL },
    { "insert --if-value=1 5 7", SHMKV_OP_INSERT, five, seven, SHMKV_FLAG_IF_VALUE },
    { "insert --if-value=x --if-value 1 5 7", SHMKV_OP_INSERT, five, seven, SHMKV_FLAG_IF_VALUE },
    { "insert --if-version=9 -- 5 7", SHMKV_OP_INSERT, five, seven, SHMKV_FLAG_IF_VERSION },
    { "delete --if-value 1 --if-version 9 --old 5", SHMKV_OP_DELETE, five, none,
      SHMKV_FLAG_IF_VALUE | SHMKV_FLAG_IF_VERSION | SHMKV_FLAG_OLD },
    { "read --show-version 5", SHMKV_OP_READ, five, none, SHMKV_FLAG_VERSION },
    { "add --wrap 5", SHMKV_OP_ADD, five, one, SHMKV_FLAG_WRAP },
    { "subtract --if-present --show-version 5 7", SHMKV_OP_SUBTRACT, five, seven,
      SHMKV_FLAG_IF_PRESENT | SHMKV_FLAG_VERSION },
    { "read \"--old\"", SHMKV_OP_READ, shmkv_string ("--old"), none },
    { "read -- --old", SHMKV_OP_READ, shmkv_string ("--old"), none },
    { "read -- -5\n", SHMKV_OP_READ, shmkv_string ("-5"), none },
    { "read -- --", SHMKV_OP_READ, shmkv_string ("--"), none },
    { "read -", SHMKV_OP_READ, shmkv_string ("-"), none },
    { "insert 5 --old", SHMKV_OP_INSERT, five, shmkv_string ("--old") },
    { "insert --old 5 --x=\"y", SHMKV_OP_INSERT, five, shmkv_string ("--x=\"y"), SHMKV_FLAG_OLD },
    { "expire -- 5 100", SHMKV_OP_EXPIRE, five, none, SHMKV_FLAG_TTL },
    { "ping --", SHMKV_OP_PING, none, none },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text_of_line = g_strdup (cases[i].text);
      g_autoptr (GError) error = NULL;
      CliBatchLine line;

      g_assert_true (parse_line (text_of_line, &line, &error));
      g_assert_no_error (error);
      g_assert_nonnull (line.command);
      g_assert_cmpint (line.request.op, ==, cases[i].op);
      g_assert_cmpint (line.request.flags, ==, cases[i].flags);
      assert_datum (&line.request.key, &cases[i].key);
      assert_datum (&line.request.value, &cases[i].value);
      if (line.request.flags & SHMKV_FLAG_IF_VALUE)
        assert_datum (&line.request.expected, &one);
      if (line.request.flags & SHMKV_FLAG_IF_VERSION)
        g_assert_cmpuint (line.request.version, ==, 9);
      if (line.request.flags & SHMKV_FLAG_TTL)
        g_assert_cmpuint (line.request.ttl_ms, ==, 100);
      cli_batch_line_clear (&line);
    }
}

/* All the ways to write what is expected; the key is always 5. */
static void
test_batch_line_expected (void)
{
  const struct
  {
    const char *text;
    ShmkvDatum expected;
  } cases[] = {
    { "delete --if-value=0x10 5", shmkv_integer (16) },
    { "delete --if-value= 5", bytes_datum ("", 0) },
    { "delete --if-value=\"\" 5", bytes_datum ("", 0) },
    { "delete --if-value=\"16\" 5", shmkv_string ("16") },
    { "delete --if-value \"16\" 5", shmkv_string ("16") },
    { "delete --if-value=\"a\\20b\" 5", shmkv_string ("a b") },
    { "delete --if-value  \"a b\"  5", shmkv_string ("a b") },
    { "delete --if-value=\" \\\" \\\\\" 5", shmkv_string (" \" \\") },
    { "delete --if-value=\"\\00\\0a\" 5", bytes_datum ("\0\n", 2) },
    { "delete --if-value=a\"b 5", shmkv_string ("a\"b") },
    { "delete --if-value a=\"b 5", shmkv_string ("a=\"b") },
    { "delete --if-value=a=b 5", shmkv_string ("a=b") },
    { "delete --if-value --old 5", shmkv_string ("--old") },
    { "delete --if-value -- 5", shmkv_string ("--") },
  };
  const ShmkvDatum five = shmkv_integer (5);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = g_strdup (cases[i].text);
      g_autoptr (GError) error = NULL;
      CliBatchLine line;

      g_assert_true (parse_line (text, &line, &error));
      g_assert_no_error (error);
      g_assert_cmpint (line.request.flags, ==, SHMKV_FLAG_IF_VALUE);
      assert_datum (&line.request.key, &five);
      assert_datum (&line.request.expected, &cases[i].expected);
      cli_batch_line_clear (&line);
    }
}

static void
test_batch_line_skips (void)
{
  static const char *const cases[] = { "", "   ", "\t\r", "# comment", "  #insert 5 7", "#",
                                       "# \"" };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = g_strdup (cases[i]);
      CliBatchLine line = { .command = cli_command_find ("read") };

      g_assert_true (parse_line (text, &line, NULL));
      g_assert_null (line.command);
      cli_batch_line_clear (&line);
    }
}

static void
test_batch_line_rejects (void)
{
  static const struct
  {
    const char *text;
    const char *fragment;
  } cases[] = {
    { "frobnicate 5", "there is no operation 'frobnicate'" },
    { "INSERT 5 7", "there is no operation 'INSERT'" },
    { "quit", "there is no operation 'quit'" },
    { "batch x", "there is no operation 'batch'" },
    { "clear", "there is no operation 'clear'" },
    { "lock a b", "there is no operation 'lock'" },
    { "insert 5", "an argument is missing; the usage is: insert KEY VALUE" },
    { "read", "an argument is missing" },
    { "read 5 6", "'6' is too much; the usage is: read KEY" },
    { "insert 1 2 3 4 5 6 7", "'3' is too much; the usage is: insert KEY VALUE" },
    { "insert 1 2 3 4", "'3' is too much" },
    { "thstop 1", "'1' is too much" },
    { "insert \"\" 7", "KEY is empty" },
    { "insert 18446744073709551616 7", "KEY '18446744073709551616' is too large" },
    { "add 5 x", "N 'x' is not a number" },
    { "add 5 -7", "N '-7' has a sign" },
    { "expire 5 0", "MS '0' is too small" },
    { "expire 5 9007199254740993", "MS '9007199254740993' is too large" },
    { "expire 5 soon", "MS 'soon' is not a number" },
    { "thstart 0", "N '0' is too small" },
    { "read \"5", "a quote is missing" },
    { "insert --frob 5 7", "Unknown option --frob" },
    { "insert --frob=\"a b\" 5 7", "Unknown option --frob=\"a b\"" },
    { "insert --wrap 5 7", "Unknown option --wrap" },
    { "insert --json 5 7", "Unknown option --json" },
    { "insert --if-absent=1 5 7", "Unknown option --if-absent=1" },
    { "insert -t 5 7", "Unknown option -t" },
    { "insert --= 5 7", "Unknown option --=" },
    { "insert - --old 5 7", "'5' is too much" },
    { "read --if-absent 5", "Unknown option --if-absent" },
    { "cas --old 5 1 7", "Unknown option --old" },
    { "ping --count=2", "Unknown option --count=2" },
    { "read -5", "'-5' has a sign" },
    { "insert --ttl", "Missing argument for --ttl" },
    { "insert --ttl ", "Missing argument for --ttl" },
    { "insert --ttl= 5 7", "--ttl '' is empty" },
    { "insert --ttl=0 5 7", "--ttl '0' is too small" },
    { "insert --ttl -5 5 7", "--ttl '-5' has a sign" },
    { "insert --ttl=x --if-value=1 5 7", "--ttl 'x' is not a number" },
    { "insert --if-value=1 --ttl=x 5 7", "--ttl 'x' is not a number" },
    { "insert --if-value 5 7", "an argument is missing" },
    { "insert --if-value=1 5 7 8", "'8' is too much" },
    { "insert --if-absent --if-present 5 7", "--if-absent and --if-present" },
    { "insert --if-absent --if-value=1 5 7", "--if-absent and --if-value" },
    { "insert --if-absent --if-version=1 5 7", "--if-absent and --if-version" },
    { "delete --if-value=18446744073709551616 5",
      "--if-value '18446744073709551616' is too large" },
    { "delete --if-value=\"a\\zb\" 5", "--if-value: after a backslash" },
    { "delete --if-value=\"a\"b 5", "--if-value: there is more after the quotes" },
    { "delete --if-value=\"a\\\" 5", "an argument is missing" },
    { "delete 5 --old", "'--old' is too much" },
    { "delete --", "an argument is missing" },
  };
  char zero[] = "read\0 5";

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = g_strdup (cases[i].text);
      GError *error = NULL;
      CliBatchLine line;

      g_assert_false (parse_line (text, &line, &error));
      assert_usage_error (error, cases[i].fragment);
    }
  {
    const CliContext context = { 0 };
    GError *error = NULL;
    CliBatchLine line;

    g_assert_false (cli_batch_line_parse (&context, zero, sizeof zero - 1, &line, &error));
    assert_usage_error (error, "zero byte");
  }
}

/* A file with `length` bytes of `contents`, opened and removed. */
static CliLines *
open_lines (const char *contents, gssize length)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  CliLines *lines;
  int fd = g_file_open_tmp ("shmkv-lines-XXXXXX", &path, &error);

  g_assert_no_error (error);
  close (fd);
  g_assert_true (g_file_set_contents (path, contents, length, NULL));
  lines = cli_lines_open (path, &error);
  g_assert_no_error (error);
  unlink (path);
  return lines;
}

static void
assert_line (CliLines *lines, const char *expected)
{
  g_autoptr (GError) error = NULL;
  char *line;
  gsize length = 0;

  g_assert_true (cli_lines_ready (lines));
  g_assert_true (cli_lines_next (lines, &line, &length, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (line, ==, expected);
  if (expected != NULL)
    g_assert_cmpuint (length, ==, strlen (expected));
}

static void
test_lines_file (void)
{
  g_autoptr (CliLines) lines = open_lines ("one\n\ntwo\nlast", -1);
  g_autoptr (CliLines) empty = open_lines ("", 0);

  assert_line (lines, "one");
  assert_line (lines, "");
  assert_line (lines, "two");
  assert_line (lines, "last");
  g_assert_cmpuint (cli_lines_get_number (lines), ==, 4);
  assert_line (lines, NULL);
  assert_line (lines, NULL);
  assert_line (empty, NULL);
}

/* Longer than the buffer, so that lines lie across its end. */
static void
test_lines_many (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (CliLines) lines = NULL;

  for (guint i = 0; i < 50000; i++)
    g_string_append_printf (text, "line %u\n", i);
  lines = open_lines (text->str, text->len);
  for (guint i = 0; i < 50000; i++)
    {
      g_autofree char *expected = g_strdup_printf ("line %u", i);

      assert_line (lines, expected);
    }
  assert_line (lines, NULL);
}

static void
test_lines_long (void)
{
  g_autofree char *text = g_malloc (2 * CLI_LINE_MAX + 2);
  g_autoptr (CliLines) lines = NULL;
  GError *error = NULL;
  char *line;
  gsize length;

  memset (text, 'x', 2 * CLI_LINE_MAX + 2);
  text[CLI_LINE_MAX] = '\n';
  lines = open_lines (text, 2 * CLI_LINE_MAX + 2);
  g_assert_true (cli_lines_next (lines, &line, &length, &error));
  g_assert_cmpuint (length, ==, CLI_LINE_MAX);
  g_assert_false (cli_lines_next (lines, &line, &length, &error));
  g_assert_cmpuint (cli_lines_get_number (lines), ==, 2);
  assert_usage_error (error, "longer than");
}

static void
test_lines_ready (void)
{
  g_autoptr (CliLines) lines = NULL;
  g_autofree char *path = NULL;
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  path = g_strdup_printf ("/proc/self/fd/%d", fds[0]);
  lines = cli_lines_open (path, NULL);
  if (lines == NULL)
    {
      g_test_skip ("there is no /proc");
      return;
    }

  g_assert_false (cli_lines_ready (lines));
  g_assert_cmpint (write (fds[1], "read", 4), ==, 4);
  g_assert_false (cli_lines_ready (lines));
  g_assert_cmpint (write (fds[1], " 5\nre", 5), ==, 5);
  assert_line (lines, "read 5");
  g_assert_false (cli_lines_ready (lines));
  close (fds[1]);
  close (fds[0]);
  assert_line (lines, "re");
  assert_line (lines, NULL);
}

static void
test_lines_errors (void)
{
  GError *error = NULL;
  g_autoptr (CliLines) directory = NULL;
  char *line;
  gsize length;

  g_assert_null (cli_lines_open ("/nonexistent/file", &error));
  g_assert_error (error, CLI_ERROR, CLI_ERROR_FAILED);
  g_clear_error (&error);

  directory = cli_lines_open ("/", &error);
  g_assert_no_error (error);
  g_assert_true (cli_lines_ready (directory));
  g_assert_false (cli_lines_next (directory, &line, &length, &error));
  g_assert_error (error, CLI_ERROR, CLI_ERROR_FAILED);
  g_clear_error (&error);
}

/* --------------------------------------------------------------------- text */

static void
test_json (void)
{
  const ShmkvDatum integer = { .kind = SHMKV_KIND_INTEGER, .integer = G_MAXUINT64 };
  const ShmkvDatum text = bytes_datum ("\303\244", 2);
  const ShmkvDatum binary = bytes_datum ("\377\001", 2);
  const ShmkvDatum none = { .kind = SHMKV_KIND_NONE };
  const ShmkvDatum with_nul = bytes_datum ("a\0b", 3);
  g_autoptr (GString) line = g_string_new (NULL);

  cli_json_open (line);
  cli_json_add_unsigned (line, "u", G_MAXUINT64);
  cli_json_add_fixed (line, "f", 1.5, 3);
  cli_json_add_fixed (line, "inf", INFINITY, 3);
  cli_json_add_boolean (line, "t", TRUE);
  cli_json_add_boolean (line, "n", FALSE);
  cli_json_add_string (line, "s\"", "a\\b\"c\n\t\001{");
  cli_json_add_datum (line, "i", &integer);
  cli_json_add_datum (line, "x", &text);
  cli_json_add_datum (line, "b", &binary);
  cli_json_add_datum (line, "n", &with_nul);
  cli_json_add_datum (line, "0", &none);
  cli_json_close (line);
  g_assert_cmpstr (line->str, ==,
                   "{\"u\":18446744073709551615,\"f\":1.500,\"inf\":null,\"t\":true,\"n\":false,"
                   "\"s\\\"\":\"a\\\\b\\\"c\\u000a\\u0009\\u0001{\","
                   "\"i\":18446744073709551615,\"i_kind\":\"integer\","
                   "\"x\":\"\303\244\",\"x_kind\":\"string\","
                   "\"b\":\"/wE=\",\"b_kind\":\"base64\",\"n\":\"YQBi\",\"n_kind\":\"base64\","
                   "\"0\":null,\"0_kind\":\"none\"}\n");
}

/* --------------------------------------------------------------- statistics */

/* As the server sends them. */
static ShmkvPairs *
make_pairs (const char *const *names, const guint64 *values, guint n)
{
  g_autofree guint64 *buffer = g_new0 (guint64, n * 16);
  uint64_t *cursor = (uint64_t *) buffer;

  for (guint i = 0; i < n; i++)
    {
      const ShmkvPair pair = {
        .key = { SHMKV_WIRE_KIND_BYTES, strlen (names[i]), names[i] },
        .value = { SHMKV_WIRE_KIND_INTEGER, values[i], NULL },
      };

      cursor = shmkv_pair_encode (cursor, &pair);
    }
  return shmkv_pairs_new_take (g_memdup2 (buffer, (gsize) ((char *) cursor - (char *) buffer)),
                               (gsize) ((char *) cursor - (char *) buffer), NULL);
}

static void
test_statistics (void)
{
  /* Long names: what is encoded is read up to the next multiple of 8. */
  static const char names[][32] = {
    "service_ns_256", "reads", "service_ns_64", "of_a_later_version", "keys", "service_ns_128",
    "service_ns_512", "service_ns_x",
  };
  static const guint64 values[] = { 9, 5, 90, 1, 7, 0, 1, 3 };
  const char *pointers[G_N_ELEMENTS (names)];
  g_autoptr (ShmkvPairs) pairs = NULL;
  g_autoptr (CliStatistics) statistics = NULL;
  guint64 value = 0;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    pointers[i] = names[i];
  pairs = make_pairs (pointers, values, G_N_ELEMENTS (names));
  g_assert_nonnull (pairs);
  statistics = cli_statistics_new (pairs);

  g_assert_cmpuint (statistics->list->len, ==, 4);
  g_assert_cmpuint (statistics->service->len, ==, 4);
  g_assert_cmpstr (g_array_index (statistics->list, CliStatistic, 0).name, ==, "keys");
  g_assert_cmpstr (g_array_index (statistics->list, CliStatistic, 1).name, ==, "reads");
  g_assert_cmpint (g_array_index (statistics->list, CliStatistic, 2).info->type, ==,
                   CLI_STATISTIC_UNKNOWN);
  g_assert_true (cli_statistics_find (statistics, "reads", &value));
  g_assert_cmpuint (value, ==, 5);
  g_assert_false (cli_statistics_find (statistics, "service_ns_64", &value));

  g_assert_cmpuint (cli_statistics_count_service (statistics), ==, 100);
  g_assert_cmpuint (cli_statistics_get_service (statistics, 0.5), ==, 64);
  g_assert_cmpuint (cli_statistics_get_service (statistics, 0.9), ==, 64);
  g_assert_cmpuint (cli_statistics_get_service (statistics, 0.91), ==, 256);
  g_assert_cmpuint (cli_statistics_get_service (statistics, 0.99), ==, 256);
  g_assert_cmpuint (cli_statistics_get_service (statistics, 1), ==, G_MAXUINT64);
}

/* ------------------------------------------------------ commands and options */

static void
test_commands (void)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  for (const CliCommand *const *at = cli_commands (); *at != NULL; at++)
    {
      const CliCommand *command = *at;

      g_assert_true (cli_command_find (command->name) == command);
      g_assert_true (g_hash_table_add (names, (char *) command->name));
      for (guint i = 0; command->aliases[i] != NULL; i++)
        {
          g_assert_true (cli_command_find (command->aliases[i]) == command);
          g_assert_true (g_hash_table_add (names, (char *) command->aliases[i]));
        }
      g_assert_cmpuint (strlen (command->summary), <, 46);
      g_assert_nonnull (command->run);
      g_assert_true ((command->options == NULL) == (command->defaults == NULL));
    }
  g_assert_null (cli_command_find ("nonsense"));
  g_assert_null (cli_command_find (""));
}

static gboolean
parse_options (const char *words, CliContext *context, char ***rest_out, GError **error)
{
  *rest_out = g_strsplit (words, " ", -1);
  return cli_options_parse (rest_out, context, NULL, NULL, error);
}

static void
test_options_global (void)
{
  CliContext context = { 0 };
  g_auto (GStrv) rest = NULL;

  g_assert_true (parse_options ("prog --name=a --json -n b --timeout 0.5 read --quiet 5", &context,
                                &rest, NULL));
  g_assert_cmpstr (context.name, ==, "b");
  g_assert_true (context.json);
  g_assert_false (context.quiet);
  g_assert_cmpfloat (context.timeout, ==, 0.5);
  g_assert_cmpstr (rest[1], ==, "read");
  g_assert_cmpstr (rest[2], ==, "--quiet");
  cli_options_clear (cli_global_options (), &context);
}

static void
test_options_command (void)
{
  const CliCommand *command = cli_command_find ("batch");
  g_autofree gpointer values = g_memdup2 (command->defaults, command->options_size);
  g_auto (GStrv) args = g_strsplit ("batch file --window=9 --quiet --strict", " ", -1);
  CliContext context = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_true (cli_options_parse (&args, &context, command, values, &error));
  g_assert_no_error (error);
  g_assert_true (context.quiet);
  g_assert_cmpstr (args[1], ==, "file");
  g_assert_null (args[2]);
  for (const CliOption *option = command->options; option->name != NULL; option++)
    {
      if (g_str_equal (option->name, "window"))
        g_assert_cmpuint (*(guint64 *) G_STRUCT_MEMBER_P (values, option->offset), ==, 9);
      else
        g_assert_true (*(gboolean *) G_STRUCT_MEMBER_P (values, option->offset));
    }
}

static void
test_options_bad (void)
{
  static const struct
  {
    const char *words;
    const char *fragment;
  } cases[] = {
    { "prog --nonsense", "--nonsense" },
    { "prog --timeout", "--timeout" },
    { "prog --timeout=-1", "not more than 0" },
    { "prog --timeout=0", "not more than 0" },
    { "prog -5", "has a sign" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      CliContext context = { 0 };
      g_auto (GStrv) rest = NULL;
      GError *error = NULL;

      g_assert_false (parse_options (cases[i].words, &context, &rest, &error));
      assert_usage_error (error, cases[i].fragment);
      cli_options_clear (cli_global_options (), &context);
    }
}

static void
test_args_usage (void)
{
  static const struct
  {
    const char *name;
    const char *usage;
    const char *once;
  } cases[] = {
    { "set", "insert KEY VALUE [KEY VALUE]...", "insert KEY VALUE" },
    { "read", "read KEY...", "read KEY" },
    { "lock", "lock KEY COMMAND [ARG]...", "lock KEY COMMAND [ARG]" },
    { "batch", "batch [FILE]", "batch [FILE]" },
    { "ping", "ping", "ping" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const CliCommand *command = cli_command_find (cases[i].name);
      g_autofree char *usage = cli_args_usage (command, TRUE);
      g_autofree char *once = cli_args_usage (command, FALSE);

      g_assert_cmpstr (usage, ==, cases[i].usage);
      g_assert_cmpstr (once, ==, cases[i].once);
    }
}

/* Parses `words`, which are separated by |. */
static gboolean
parse_args (const CliContext *context, const char *name, char **words, CliArgs *args_out,
            GError **error)
{
  return cli_args_parse_strv (context, cli_command_find (name), words, args_out, error);
}

static void
test_args_repeated (void)
{
  const CliContext context = { 0 };
  g_auto (GStrv) words = g_strsplit ("a|1|b|2|3|c", "|", -1);
  g_auto (GStrv) odd = g_strsplit ("a|1|b", "|", -1);
  const ShmkvDatum b = shmkv_string ("b"), three = shmkv_integer (3), c = shmkv_string ("c");
  GError *error = NULL;
  CliArgs args;

  g_assert_true (parse_args (&context, "insert", words, &args, NULL));
  g_assert_cmpuint (args.n, ==, 6);
  assert_datum (&args.list[2].datum, &b);
  assert_datum (&args.list[4].datum, &three);
  assert_datum (&args.list[5].datum, &c);
  cli_args_clear (&args);
  g_assert_false (parse_args (&context, "insert", odd, &args, &error));
  assert_usage_error (error, "an argument is missing");
}

static void
test_args_escaped (void)
{
  const CliContext plain = { 0 }, escaped = { .escaped = TRUE };
  g_auto (GStrv) words = g_strsplit ("\"a\\00\"|\"5\"|5", "|", -1);
  g_auto (GStrv) lock = g_strsplit ("\"a\"|\"b\"", "|", -1);
  g_auto (GStrv) bad = g_strsplit ("\"a\"b", "|", -1);
  const ShmkvDatum as_is = shmkv_string ("\"a\\00\""), a = bytes_datum ("a\0", 2);
  const ShmkvDatum digits = shmkv_string ("5"), five = shmkv_integer (5);
  GError *error = NULL;
  CliArgs args;

  g_assert_true (parse_args (&plain, "read", words, &args, NULL));
  assert_datum (&args.list[0].datum, &as_is);
  cli_args_clear (&args);
  g_assert_true (parse_args (&escaped, "read", words, &args, NULL));
  assert_datum (&args.list[0].datum, &a);
  assert_datum (&args.list[1].datum, &digits);
  assert_datum (&args.list[2].datum, &five);
  cli_args_clear (&args);
  g_assert_true (parse_args (&escaped, "lock", lock, &args, NULL));
  g_assert_cmpstr (args.list[0].text, ==, "a");
  g_assert_cmpstr (args.list[1].text, ==, "\"b\"");
  cli_args_clear (&args);
  g_assert_false (parse_args (&escaped, "read", bad, &args, &error));
  assert_usage_error (error, "argument 1: there is more after the quotes");
}

/* What follows the first argument of lock is not ours. */
static void
test_options_ended (void)
{
  const CliCommand *command = cli_command_find ("lock");
  g_autofree gpointer values = g_memdup2 (command->defaults, command->options_size);
  g_auto (GStrv) args = g_strsplit ("lock --wait=0 key cmd --wait=1 -x --json", " ", -1);
  CliContext context = { 0 };

  g_assert_true (cli_options_parse (&args, &context, command, values, NULL));
  g_assert_cmpuint (g_strv_length (args), ==, 6);
  g_assert_cmpstr (args[3], ==, "--wait=1");
  g_assert_false (context.json);
}

static void
test_conditions (void)
{
  const CliContext context = { 0 };
  static const CliConditions bad[] = {
    { .if_absent = TRUE, .if_present = TRUE, .if_version = CLI_NO_VERSION },
    { .if_absent = TRUE, .if_value = (char *) "5", .if_version = CLI_NO_VERSION },
    { .if_absent = TRUE, .if_version = 7 },
  };
  g_autofree char *text = g_strdup ("007");
  const CliConditions all
    = { .if_present = TRUE, .if_value = text, .if_version = 9, .ttl_ms = 3, .old = TRUE };
  const CliConditions none = { .if_version = CLI_NO_VERSION };
  const ShmkvDatum seven = shmkv_integer (7);
  ShmkvRequest request = { .op = SHMKV_OP_INSERT };
  GError *error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_false (cli_conditions_check (&context, &bad[i], &error));
      assert_usage_error (g_steal_pointer (&error), "cannot both be met");
    }
  g_assert_true (cli_conditions_check (&context, &none, NULL));
  cli_conditions_apply (&context, &none, &request);
  g_assert_cmpint (request.flags, ==, SHMKV_FLAG_NONE);
  g_assert_true (cli_conditions_check (&context, &all, NULL));
  cli_conditions_apply (&context, &all, &request);
  g_assert_cmpint (request.flags, ==,
                   SHMKV_FLAG_IF_PRESENT | SHMKV_FLAG_IF_VALUE | SHMKV_FLAG_IF_VERSION
                     | SHMKV_FLAG_TTL | SHMKV_FLAG_OLD);
  g_assert_cmpuint (request.version, ==, 9);
  g_assert_cmpuint (request.ttl_ms, ==, 3);
  assert_datum (&request.expected, &seven);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/client/number/accepts", test_number_accepts);
  g_test_add_func ("/client/number/rejects", test_number_rejects);
  g_test_add_func ("/client/number/seconds", test_seconds);
  g_test_add_func ("/client/word/written", test_word_written);
  g_test_add_func ("/client/word/round-trip", test_word_round_trip);
  g_test_add_func ("/client/word/split", test_words_split);
  g_test_add_func ("/client/word/rejected", test_words_rejected);
  g_test_add_func ("/client/word/meaning", test_word_meaning);
  g_test_add_func ("/client/word/key-length", test_key_length);
  g_test_add_func ("/client/dump/round-trip", test_dump_round_trip);
  g_test_add_func ("/client/dump/copy", test_dump_copy);
  g_test_add_data_func ("/client/dump/sort/memory", GSIZE_TO_POINTER (100000000), test_dump_sort);
  g_test_add_data_func ("/client/dump/sort/runs", GSIZE_TO_POINTER (100000), test_dump_sort);
  g_test_add_data_func ("/client/dump/sort/levels", GSIZE_TO_POINTER (1), test_dump_sort);
  g_test_add_func ("/client/dump/rejected", test_dump_rejected);
  g_test_add_func ("/client/batch-line/accepts", test_batch_line_accepts);
  g_test_add_func ("/client/batch-line/expected", test_batch_line_expected);
  g_test_add_func ("/client/batch-line/skips", test_batch_line_skips);
  g_test_add_func ("/client/batch-line/rejects", test_batch_line_rejects);
  g_test_add_func ("/client/lines/file", test_lines_file);
  g_test_add_func ("/client/lines/many", test_lines_many);
  g_test_add_func ("/client/lines/long", test_lines_long);
  g_test_add_func ("/client/lines/ready", test_lines_ready);
  g_test_add_func ("/client/lines/errors", test_lines_errors);
  g_test_add_func ("/client/output/json", test_json);
  g_test_add_func ("/client/statistics", test_statistics);
  g_test_add_func ("/client/commands", test_commands);
  g_test_add_func ("/client/options/global", test_options_global);
  g_test_add_func ("/client/options/command", test_options_command);
  g_test_add_func ("/client/options/bad", test_options_bad);
  g_test_add_func ("/client/options/ended", test_options_ended);
  g_test_add_func ("/client/options/conditions", test_conditions);
  g_test_add_func ("/client/args/usage", test_args_usage);
  g_test_add_func ("/client/args/repeated", test_args_repeated);
  g_test_add_func ("/client/args/escaped", test_args_escaped);
  return g_test_run ();
}
