/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys and values as words, in text: what scan, watch, print and dump write, and
 * what batches, load and --escaped read.
 *
 * An integer is its decimal digits.  A byte string stands in double quotes;
 * between them, printable ASCII stands for itself, but for the quote, the
 * backslash and the space; a backslash is doubled, and every other byte is a
 * backslash and two hexadecimal digits.  So each pair of different keys has
 * different words, and a word holds no space, no newline, and nothing that is
 * not ASCII.
 *
 * Who reads them also takes a space as it is, \" for the quote, and digits in
 * capitals. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

/* One word of a line, or of the command line. */
typedef struct
{
  char *text;              /* terminated */
  gsize length;
  gboolean quoted;         /* it stood in quotes, which are taken off: may hold any byte */
} CliWord;

void cli_word_append (GString *text, const ShmkvDatum *datum);

/* Writes what stands for `bytes` between the quotes to `to`, which has room for
 * CLI_WORD_GROWTH times as many; returns the end. */
#define CLI_WORD_GROWTH 3
char *cli_word_escape (char *to, const guint8 *bytes, gsize length);

/* What the escape after a backslash stands for; `at` points behind the
 * backslash, and is moved behind the escape.  -1 where it is none. */
int cli_word_unescape (const char **at, const char *end);

/* Takes the quotes and escapes off the word at `text`, which begins with a quote
 * and is written to.  Returns how many bytes it takes up, with both quotes; 0
 * with CLI_ERROR_USAGE where it is not well formed. */
gsize cli_word_unquote (char *text, gsize length, CliWord *word_out, GError **error);

/* Takes the word at `*line`, which begins with one, ends at `end` and is written
 * to; moves `*line` to the next. */
gboolean cli_word_next (char **line, const char *end, CliWord *word_out, GError **error);

/* The same, but leaves quotes and escapes for who reads the word later.  What
 * stands in quotes begins behind its first `skip` bytes, or nothing does. */
char *cli_word_cut (char **line, const char *end, gsize skip);

/* Finds the words of a line, which is written to, up to `max`; counts one more
 * where there are more. */
gboolean cli_words_split (char *line, gsize length, CliWord *words, guint max, guint *n_out,
                          GError **error);

/* What a word means as a key or a value: outside of quotes, a number is an
 * integer unless `is_string`; everything else is a byte string.  `what` names it
 * in the error, which is CLI_ERROR_USAGE. */
gboolean cli_word_to_datum (const char *what, const CliWord *word, gboolean is_string,
                            ShmkvDatum *datum_out, GError **error);

/* Whether `key` can be one, by its length.  The error is CLI_ERROR_USAGE. */
gboolean cli_key_check (const char *what, const ShmkvDatum *key, GError **error);

G_END_DECLS
