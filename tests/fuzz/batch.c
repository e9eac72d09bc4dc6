/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines of a batch, and what is printed of the keys and values in them: as words,
 * which mean the same where they are read again, and in JSON, which is JSON. */

#include "config.h"

#include "fuzz/fuzz.h"

#include "client/batch-line.h"
#include "client/json.h"
#include "client/word.h"

#include <string.h>

/* ------------------------------------------------------------------------ JSON */

/* A value at `*at`: of those that we write.  Moves behind it. */
static gboolean skip_value (const char **at);

static gboolean
skip_hex (const char **at)
{
  for (guint i = 0; i < 4; i++)
    if (!g_ascii_isxdigit (*(*at)++))
      return FALSE;
  return TRUE;
}

static gboolean
skip_string (const char **at)
{
  if (*(*at)++ != '"')
    return FALSE;
  while (**at != '"')
    {
      guchar c = (guchar) *(*at)++;

      if (c < 0x20)
        return FALSE;
      if (c != '\\')
        continue;
      c = (guchar) *(*at)++;
      if (c == '\0' || strchr ("\"\\/bfnrtu", c) == NULL || (c == 'u' && !skip_hex (at)))
        return FALSE;
    }
  (*at)++;
  return TRUE;
}

static gboolean
skip_number (const char **at)
{
  const char *begin = *at;

  while (g_ascii_isdigit (**at))
    (*at)++;
  return *at - begin == 1 || (*at > begin && *begin != '0');
}

static gboolean
skip_object (const char **at)
{
  if (*(*at)++ != '{')
    return FALSE;
  do
    if (!skip_string (at) || *(*at)++ != ':' || !skip_value (at))
      return FALSE;
  while (*(*at)++ == ',');
  return (*at)[-1] == '}';
}

static gboolean
skip_value (const char **at)
{
  switch (**at)
    {
    case '{':
      return skip_object (at);
    case '"':
      return skip_string (at);
    case 'n':
    case 't':
      *at += 4;
      return TRUE;
    default:
      return skip_number (at);
    }
}

static void
check_json (const ShmkvDatum *datum)
{
  g_autoptr (GString) line = g_string_new (NULL);
  const char *at;

  cli_json_open (line);
  cli_json_add_datum (line, "key", datum);
  cli_json_add_unsigned (line, "n", datum->integer);
  cli_json_add_boolean (line, "is", TRUE);
  cli_json_close (line);
  g_assert_cmpuint (strlen (line->str), ==, line->len);
  g_assert_true (g_utf8_validate (line->str, -1, NULL));
  at = line->str;
  g_assert_true (skip_object (&at));
  g_assert_cmpstr (at, ==, "\n");
}

/* ----------------------------------------------------------------------- words */

static void
check_word (const ShmkvDatum *datum)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  CliWord words[2];
  ShmkvDatum again;
  guint n;

  cli_word_append (text, datum);
  g_assert_cmpuint (strspn (text->str, "\n \t"), ==, 0);
  g_assert_true (cli_words_split (text->str, text->len, words, G_N_ELEMENTS (words), &n, &error));
  g_assert_cmpuint (n, ==, 1);
  g_assert_true (cli_word_to_datum ("word", &words[0], FALSE, &again, &error));
  g_assert_cmpuint (again.kind, ==, datum->kind);
  if (datum->kind == SHMKV_KIND_INTEGER)
    g_assert_cmpuint (again.integer, ==, datum->integer);
  else
    g_assert_cmpmem (again.bytes, again.length, datum->bytes, datum->length);
}

static void
check_datum (const ShmkvDatum *datum)
{
  if (datum->kind == SHMKV_KIND_NONE)
    return;
  check_json (datum);
  check_word (datum);
}

/* ----------------------------------------------------------------------- lines */

static void
parse_line (const CliContext *context, const guint8 *bytes, gsize size)
{
  g_autofree char *text = g_strndup ((const char *) bytes, size);
  g_autoptr (GError) error = NULL;
  CliBatchLine line;
  gboolean done;

  /* g_strndup() stops at a zero byte; the line does not. */
  memcpy (text, bytes, size);
  done = cli_batch_line_parse (context, text, size, &line, &error);
  g_assert_cmpint (done, ==, error == NULL);
  g_assert_true (done || g_error_matches (error, CLI_ERROR, CLI_ERROR_USAGE));
  if (!done)
    return;
  if (line.command != NULL)
    {
      check_datum (&line.request.key);
      check_datum (&line.request.value);
    }
  cli_batch_line_clear (&line);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  const CliContext contexts[] = { { 0 }, { .strings = TRUE }, { .string_values = TRUE } };
  const ShmkvDatum all = shmkv_bytes (data, size);
  const CliContext *context = &contexts[size % G_N_ELEMENTS (contexts)];

  fuzz_log_init ();
  check_datum (&all);
  while (size > 0)
    {
      const guint8 *newline = memchr (data, '\n', size);
      gsize length = newline != NULL ? (gsize) (newline - data) : size;

      parse_line (context, data, length);
      data += MIN (length + 1, size);
      size -= MIN (length + 1, size);
    }
  return 0;
}
