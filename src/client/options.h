/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From tables of CliOption to a GOptionContext and back. */

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

/* Frees what parsing put into `values`. */
void cli_options_clear (const CliOption *options, gpointer values);

G_END_DECLS
