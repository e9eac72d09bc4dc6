/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One line on standard error, drawn over and over while something takes long;
 * nothing at all where that is not a terminal. */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

typedef struct
{
  gboolean enabled;
  gboolean drawn;
  gint64 next;             /* when it is time to draw again */
} CliProgress;

CliProgress cli_progress_start (const CliContext *context);

/* Whether some time passed since it was last drawn. */
gboolean cli_progress_is_due (const CliProgress *progress);

void cli_progress_draw (CliProgress *progress, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Before anything else is printed. */
void cli_progress_clear (CliProgress *progress);

G_END_DECLS
