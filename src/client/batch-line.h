/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One line of a batch: an operation as on the command line, such as
 * "insert 5 7" or "insert --ttl=5000 user:42 "Zo\c3\ab"", its words as word.h
 * describes them; or nothing, or a comment that begins with #.  Options come
 * before the key: so what is behind it may begin with a -. */

#pragma once

#include "client/conditions.h"

G_BEGIN_DECLS

typedef struct
{
  const CliCommand *command; /* NULL where there is nothing to do */
  ShmkvRequest request;      /* points into the line, and to the conditions */
  CliConditions conditions;  /* set where the line has options */
} CliBatchLine;

/* Parses `text` of `length` bytes, which is also terminated and is written to.
 * The error is CLI_ERROR_USAGE; otherwise, cli_batch_line_clear() it. */
gboolean cli_batch_line_parse (const CliContext *context, char *text, gsize length,
                               CliBatchLine *line_out, GError **error);

void cli_batch_line_clear (CliBatchLine *line);

G_END_DECLS
