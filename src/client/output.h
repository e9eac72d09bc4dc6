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

/* As many bytes as there are, unless the user asked for quiet. */
void cli_print_bytes (const CliContext *context, gconstpointer bytes, gsize length);

/* A value by itself: an integer and a newline, or a byte string as it is.  On a
 * terminal a byte string gets a newline too where it has none at its end. */
void cli_print_value (const CliContext *context, const ShmkvDatum *value);

/* A line with a key, its value where it is known, and in JSON its time to live
 * where that is not 0.  `line` is for its use, and empty. */
void cli_print_pair (const CliContext *context, const ShmkvDatum *key, const ShmkvDatum *value,
                     guint64 ttl_ms, GString *line);

/* Hands on what was printed.  Fails with CLI_ERROR_PIPE if nobody reads it any
 * more, and with CLI_ERROR_FAILED if any of it could not be written. */
gboolean cli_output_flush (GError **error);

/* At the end: the same, and closes standard output. */
gboolean cli_output_close (GError **error);

G_END_DECLS
