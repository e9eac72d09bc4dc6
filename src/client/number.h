/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Numbers as users type them. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* An unsigned number between `min` and `max`: decimal, or hexadecimal after
 * 0x.  No sign, no space.  `what` names it in the error, which is
 * CLI_ERROR_USAGE. */
gboolean cli_number_parse (const char *what, const char *text, guint64 min, guint64 max,
                           guint64 *number_out, GError **error);

/* Seconds: a decimal number greater than 0, or also 0 where `zero_too`; or
 * "inf". */
gboolean cli_seconds_parse (const char *what, const char *text, gboolean zero_too,
                            double *seconds_out, GError **error);

/* Microseconds for the library: -1 where `seconds` are infinite, 0 only where
 * they are 0. */
gint64 cli_seconds_to_usec (double seconds);

G_END_DECLS
