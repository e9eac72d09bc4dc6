/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One line of a batch: an operation as on the command line, such as
 * "insert 5 7"; or nothing, or a comment that begins with #. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

/* Parses `line` of `length` bytes, which is also terminated and is written to.
 * Where there is nothing to do, `*wanted_out` is FALSE.  The error is
 * CLI_ERROR_USAGE. */
gboolean cli_batch_line_parse (char *line, gsize length, gboolean *wanted_out,
                               ShmkvRequest *request_out, GError **error);

G_END_DECLS
