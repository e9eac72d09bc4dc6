/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Data on standard output: answers as text or JSON. */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

/* Opens /dev/null in place of standard descriptors that are closed, so that no
 * file opened later, such as the shared memory, can take their place. */
void cli_output_guard (void);

/* Prints unless the user asked for quiet. */
void cli_print (const CliContext *context, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Ends a JSON line and prints it, unless the user asked for quiet.  Empties
 * `line`. */
void cli_print_json (const CliContext *context, GString *line);

/* Answers, one line each, as JSON where the user asked for it. */
void cli_answer_insert (const CliContext *context, guint64 key, guint64 value, gboolean added);
void cli_answer_read (const CliContext *context, guint64 key, gboolean found, guint64 value);
void cli_answer_delete (const CliContext *context, guint64 key, gboolean found);
void cli_answer_workers (const CliContext *context, ShmkvOp op, guint64 n_workers);
void cli_answer_ping (const CliContext *context);
void cli_answer_failure (const CliContext *context, ShmkvOp op, ShmkvStatus status);

/* One key or value as text: bytes stand in double quotes, with \xx for those
 * that are not printable ASCII, for the quote and for the backslash. */
void cli_text_append_datum (GString *text, const ShmkvDatum *datum);

/* Hands on what was printed.  Fails with CLI_ERROR_PIPE if nobody reads it any
 * more, and with CLI_ERROR_FAILED if any of it could not be written. */
gboolean cli_output_flush (GError **error);

/* At the end: the same, and closes standard output. */
gboolean cli_output_close (GError **error);

G_END_DECLS
