/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The arguments of a command, on the command line and in a line of a batch. */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

/* Checks how many `words` there are, and parses the numbers among them.
 * `args_out` points into `words`.  The error is CLI_ERROR_USAGE. */
gboolean cli_args_parse (const CliCommand *command, char **words, CliArgs *args_out,
                         GError **error);

/* The command's name and its arguments as help shows them, such as
 * "insert KEY VALUE".  Transfer full. */
char *cli_args_usage (const CliCommand *command);

G_END_DECLS
