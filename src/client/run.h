/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Running a command of the user's. */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

typedef struct
{
  char **argv;
  int inherited_fd;        /* one more descriptor that it gets; -1: none */

  /* Called now and then while it runs. */
  void (*look) (gpointer data);
  gpointer data;
} CliRun;

/* Runs it and waits for its end.  Signals that are meant to end this process are
 * handed on to it: but those from the terminal it gets by itself.
 *
 * Returns its exit status: 128 + N where signal N ended it, 127 where it was not
 * found, 126 where it could not be run; -1 on error. */
int cli_run (const CliRun *run, GError **error);

G_END_DECLS
