/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The arguments of a command, on the command line and in a line of a batch. */

#pragma once

#include "client/cli.h"
#include "client/word.h"

G_BEGIN_DECLS

/* Checks how many `words` there are, and what they mean.  `repeat` allows those
 * that may come again.  `args_out` points into the words; cli_args_clear() it.
 * The error is CLI_ERROR_USAGE. */
gboolean cli_args_parse (const CliContext *context, const CliCommand *command,
                         const CliWord *words, guint n_words, gboolean repeat, CliArgs *args_out,
                         GError **error);

/* The same for the words of the command line, which are written to. */
gboolean cli_args_parse_strv (const CliContext *context, const CliCommand *command, char **words,
                              CliArgs *args_out, GError **error);

void cli_args_clear (CliArgs *args);

/* Whether the user wants values to be byte strings. */
gboolean cli_values_are_strings (const CliContext *context);

/* What the value of an option means as a value, such as --if-value.  It is
 * written to. */
gboolean cli_value_parse (const CliContext *context, const char *what, char *text,
                          ShmkvDatum *datum_out, GError **error);

/* The command's name and its arguments as help shows them, such as
 * "insert KEY VALUE [KEY VALUE]...".  Transfer full. */
char *cli_args_usage (const CliCommand *command, gboolean repeat);

G_END_DECLS
