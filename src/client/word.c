/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/word.h"

#include "client/cli.h"
#include "client/number.h"

#include <string.h>

static char *
escape_byte (char *to, guint8 byte)
{
  static const char digits[] = "0123456789abcdef";

  if (g_ascii_isgraph (byte) && byte != '"' && byte != '\\')
    {
      *to++ = (char) byte;
      return to;
    }
  *to++ = '\\';
  if (byte == '\\')
    *to++ = '\\';
  else
    {
      *to++ = digits[byte >> 4];
      *to++ = digits[byte & 15];
    }
  return to;
}

char *
cli_word_escape (char *to, const guint8 *bytes, gsize length)
{
  for (gsize i = 0; i < length; i++)
    to = escape_byte (to, bytes[i]);
  return to;
}

void
cli_word_append (GString *text, const ShmkvDatum *datum)
{
  gsize begin;

  if (datum->kind != SHMKV_KIND_BYTES)
    {
      g_string_append_printf (text, "%" G_GUINT64_FORMAT, datum->integer);
      return;
    }
  g_string_append_c (text, '"');
  begin = text->len;
  g_string_set_size (text, begin + CLI_WORD_GROWTH * datum->length);
  g_string_truncate (text, cli_word_escape (text->str + begin, datum->bytes, datum->length)
                             - text->str);
  g_string_append_c (text, '"');
}

int
cli_word_unescape (const char **at, const char *end)
{
  const char *escape = *at;

  if (end - escape >= 1 && (escape[0] == '\\' || escape[0] == '"'))
    {
      *at = escape + 1;
      return escape[0];
    }
  if (end - escape < 2 || !g_ascii_isxdigit (escape[0]) || !g_ascii_isxdigit (escape[1]))
    return -1;
  *at = escape + 2;
  return g_ascii_xdigit_value (escape[0]) << 4 | g_ascii_xdigit_value (escape[1]);
}

/* Behind the quote, to the other one; what it means is never longer. */
static const char *
unquote (const char *from, const char *end, char *to, gsize *length_out, GError **error)
{
  char *begin = to;

  while (from < end && *from != '"')
    {
      int byte = *from++;

      if (byte == '\\')
        byte = cli_word_unescape (&from, end);
      if (byte == -1)
        {
          g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE,
                               "after a backslash there must be another, a quote, or two "
                               "hexadecimal digits");
          return NULL;
        }
      *to++ = (char) byte;
    }
  if (from == end)
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE, "a quote is missing at the end");
      return NULL;
    }
  *to = '\0';
  *length_out = to - begin;
  return from + 1;
}

gsize
cli_word_unquote (char *text, gsize length, CliWord *word_out, GError **error)
{
  const char *end;

  *word_out = (CliWord) { .text = text, .quoted = TRUE };
  end = unquote (text + 1, text + length, text, &word_out->length, error);
  return end != NULL ? (gsize) (end - text) : 0;
}

/* Returns how many bytes the word takes up; 0 on error. */
static gsize
take_word (char *text, gsize length, CliWord *word_out, GError **error)
{
  gsize n = 0;

  if (*text == '"')
    n = cli_word_unquote (text, length, word_out, error);
  else
    {
      while (n < length && !g_ascii_isspace (text[n]))
        n++;
      *word_out = (CliWord) { .text = text, .length = n };
    }
  if (n > 0 && n < length && !g_ascii_isspace (text[n]))
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE,
                           "there must be a space after a word in quotes");
      return 0;
    }
  return n;
}

/* Terminates the word that ends at `end_of_word`; returns where the next begins. */
static char *
terminate (char *end_of_word, const char *end)
{
  char *next = end_of_word;

  if (next < end)
    *next++ = '\0';
  while (next < end && g_ascii_isspace (*next))
    next++;
  return next;
}

gboolean
cli_word_next (char **line, const char *end, CliWord *word_out, GError **error)
{
  gsize taken = take_word (*line, end - *line, word_out, error);

  if (taken == 0)
    return FALSE;
  *line = terminate (*line + taken, end);
  return TRUE;
}

char *
cli_word_cut (char **line, const char *end, gsize skip)
{
  char *word = *line, *at = word + skip;
  gboolean quoted = FALSE;

  if (at < end && *at == '"')
    {
      quoted = TRUE;
      at++;
    }
  for (; at < end && (quoted || !g_ascii_isspace (*at)); at++)
    {
      if (quoted && *at == '\\' && at + 1 < end)
        at++;
      else if (*at == '"')
        quoted = FALSE;
    }
  *line = terminate (at, end);
  return word;
}

gboolean
cli_words_split (char *line, gsize length, CliWord *words, guint max, guint *n_out, GError **error)
{
  const char *end = line + length;

  while (line < end && g_ascii_isspace (*line))
    line++;
  for (*n_out = 0; line < end && *n_out <= max; (*n_out)++)
    {
      if (*n_out < max && !cli_word_next (&line, end, &words[*n_out], error))
        return FALSE;
    }
  return TRUE;
}

/* Digits, or 0x and hexadecimal digits. */
static gboolean
looks_like_number (const char *text)
{
  gboolean hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  const char *digits = hex ? text + 2 : text;

  return *digits != '\0'
         && digits[strspn (digits, hex ? "0123456789abcdefABCDEF" : "0123456789")] == '\0';
}

gboolean
cli_word_to_datum (const char *what, const CliWord *word, gboolean is_string,
                   ShmkvDatum *datum_out, GError **error)
{
  guint64 number;

  *datum_out = shmkv_bytes (word->text, word->length);
  if (is_string || word->quoted || !looks_like_number (word->text))
    return TRUE;
  /* Not silently a string: that would be another key than what was meant. */
  if (!cli_number_parse (what, word->text, 0, G_MAXUINT64, &number, error))
    return FALSE;
  *datum_out = shmkv_integer (number);
  return TRUE;
}

gboolean
cli_key_check (const char *what, const ShmkvDatum *key, GError **error)
{
  if (key->kind != SHMKV_KIND_BYTES || (key->length > 0 && key->length <= SHMKV_KEY_MAX))
    return TRUE;
  if (key->length == 0)
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
                 "%s is empty; a key has at least one byte", what);
  else
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
                 "%s has %" G_GSIZE_FORMAT " bytes; the longest key has %d", what, key->length,
                 SHMKV_KEY_MAX);
  return FALSE;
}
