/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* JSON objects, one a line.  Written by hand because the numbers are unsigned
 * and have 64 bits, which the usual libraries keep in a signed integer or a
 * double. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

void cli_json_open (GString *line);
void cli_json_add_unsigned (GString *line, const char *name, guint64 value);
void cli_json_add_fixed (GString *line, const char *name, double value, guint decimals);
void cli_json_add_boolean (GString *line, const char *name, gboolean value);
void cli_json_add_string (GString *line, const char *name, const char *value);

/* What a key or a value is, and its kind as another member, `name`_kind: an
 * integer is a number, of the kind "integer"; a byte string is a string, of the
 * kind "string" where it is valid UTF-8 without NUL, else in base64, of the kind
 * "base64"; nothing at all is null, of the kind "none". */
void cli_json_add_datum (GString *line, const char *name, const ShmkvDatum *value);

/* Ends the object and the line. */
void cli_json_close (GString *line);

G_END_DECLS
