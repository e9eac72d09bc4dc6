/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients do that are to be killed. */

#pragma once

#include "play.h"

G_BEGIN_DECLS

typedef enum
{
  ROLE_TOUR,                        /* everything there is, once */
  ROLE_PLAY,                        /* a play, and a proper end */
  ROLE_CHURN,                       /* attach, open sessions, close, detach, again and again */
  ROLE_WAIT,                        /* wait for a key for ever, with keys of the session */
  ROLE_WATCH,                       /* watch for ever, with a watcher that is slow */
  ROLE_WORKERS,                     /* more workers, and fewer */
  ROLE_LOOK,                        /* statistics, print, count, scan */
  N_ROLES
} Role;

/* Plays in a session of its own, or whatever the role is.  FALSE where something
 * is wrong; for ever, where nobody ends it. */
gboolean role_run (Role role, const char *name, guint64 seed, guint id, PlayProgress *progress,
                   GError **error);

/* A little more or less of ROLE_WORKERS, and of ROLE_LOOK. */
gboolean role_change_workers (ShmkvClient *client, GError **error);
gboolean role_look (ShmkvClient *client, GError **error);

G_END_DECLS
