/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Messages on standard error. */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

/* One line, after the program's name; control characters in it become "?". */
void cli_warn (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* Says what went wrong; the library also says what to do.  `command` (nullable)
 * is the one that was to run.  Returns the exit status that belongs to it. */
CliExit cli_report (const GError *error, const CliCommand *command);

/* What a command has to say beside its answer, unless the user asked for quiet. */
void cli_note (const CliContext *context, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Says that there is no such key, or that the condition on it is not met;
 * returns CLI_EXIT_NO. */
CliExit cli_report_no_key (const CliContext *context, const ShmkvDatum *key);
CliExit cli_report_mismatch (const CliContext *context, const ShmkvDatum *key);

G_END_DECLS
