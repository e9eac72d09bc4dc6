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

/* An integer is a number and valid UTF-8 a string; other bytes are an object
 * whose "hex" holds them. */
void cli_json_add_datum (GString *line, const char *name, const ShmkvDatum *value);

/* Ends the object and the line. */
void cli_json_close (GString *line);

G_END_DECLS
