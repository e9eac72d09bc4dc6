/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The lines of a file or of standard input, with the answer to the question
 * that a batch asks before each: would I have to wait for the next? */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Room for a key and a value of a megabyte, with every byte escaped. */
#define CLI_LINE_MAX (4 << 20)

typedef struct _CliLines CliLines;

/* `path` NULL or "-" means standard input. */
CliLines *cli_lines_open (const char *path, GError **error);
void cli_lines_free (CliLines *lines);

/* What it is called in messages. */
const char *cli_lines_get_name (const CliLines *lines);

/* The number of the last line, from 1 on. */
guint64 cli_lines_get_number (const CliLines *lines);

/* Whether cli_lines_next() would return without waiting. */
gboolean cli_lines_ready (CliLines *lines);

/* The next line, without its newline but terminated; `*line_out` is NULL at the
 * end.  It belongs to `lines`, may be written to, and is valid until the next
 * call of any function.  Fails with CLI_ERROR_FAILED, or CLI_ERROR_USAGE for a
 * line of more than CLI_LINE_MAX bytes. */
gboolean cli_lines_next (CliLines *lines, char **line_out, gsize *length_out, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CliLines, cli_lines_free)

G_END_DECLS
