/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From tables of CliOption to a GOptionContext and back; and the same options at
 * the beginning of a line, of which there may be millions. */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

/* --name, --timeout and so on: their values go to a CliContext. */
const CliOption *cli_global_options (void);

/* Parses the global options into `context` and those of `command` (nullable)
 * into `values`, and removes them from `*argv`, which begins with the name of
 * the program.  Without a command it stops at the first argument, which is
 * then the command.  The error is CLI_ERROR_USAGE. */
gboolean cli_options_parse (char ***argv, CliContext *context, const CliCommand *command,
                            gpointer values, GError **error);

/* Whether a line begins with an option.  A lone - is none. */
static inline gboolean
cli_options_ahead (const char *line)
{
  return line[0] == '-' && line[1] != '\0' && !g_ascii_isspace (line[1]);
}

/* Parses the options, up to the first other word or behind --, at the beginning
 * of the line from `*line` to `end`, where it is terminated; it is written to.
 * `*line` is moved to what follows.  A value in quotes keeps them, as with
 * --escaped.  The error is CLI_ERROR_USAGE, and `values` are to be cleared all
 * the same. */
gboolean cli_options_take (const CliOption *options, char **line, const char *end,
                           gpointer values, GError **error);

/* Frees what parsing put into `values`. */
void cli_options_clear (const CliOption *options, gpointer values);

G_END_DECLS
