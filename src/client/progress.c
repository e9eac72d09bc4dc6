/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_US (G_USEC_PER_SEC / 5)
#define ERASE_LINE "\r\033[K"

static gboolean
is_terminal (void)
{
  const char *term = getenv ("TERM");

  return isatty (STDERR_FILENO) && term != NULL && strcmp (term, "dumb") != 0;
}

CliProgress
cli_progress_start (const CliContext *context)
{
  return (CliProgress) { .enabled = !context->quiet && is_terminal (),
                         .next = g_get_monotonic_time () + INTERVAL_US };
}

gboolean
cli_progress_is_due (const CliProgress *progress)
{
  return progress->enabled && g_get_monotonic_time () >= progress->next;
}

void
cli_progress_draw (CliProgress *progress, const char *format, ...)
{
  va_list args;

  if (!progress->enabled)
    return;
  fputs (ERASE_LINE, stderr);
  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  fflush (stderr);
  progress->drawn = TRUE;
  progress->next = g_get_monotonic_time () + INTERVAL_US;
}

void
cli_progress_clear (CliProgress *progress)
{
  if (progress->drawn)
    fputs (ERASE_LINE, stderr);
  progress->drawn = FALSE;
}
