/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line of the server. */

#pragma once

#include "server/server.h"

G_BEGIN_DECLS

typedef struct
{
  ShmkvServerOptions server;
  gboolean has_buckets;             /* --buckets was given */
  char *text;                       /* to be shown instead of serving; transfer full */
} ShmkvOptions;

/* FALSE, with an error whose message is for the user, where the command line
 * is wrong.  The strings in `server` live as long as the process. */
gboolean shmkv_options_parse (int *argc, char ***argv, ShmkvOptions *options_out, GError **error);

/* Asks on the terminal for the number of buckets, again and again until the
 * answer makes sense; Enter and the end of input take the default. */
guint shmkv_options_ask_buckets (void);

G_END_DECLS
