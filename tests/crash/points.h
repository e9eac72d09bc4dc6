/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every crash point, one after the other or several at a time.  For each a line is
 * printed: "ok", or "not ok", with "client" or "server", the name and what there is
 * to say. */

#pragma once

#include "process.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;                 /* of the server, or what those of servers begin with */
  guint64 seed;
  char **names;
  guint times;                      /* each ends so many processes: one at its first time, the
                                     * others at random ones */
  int fd;                           /* where Shared is open */
} Points;

void points_run_clients (Shared *shared, const Points *points);
void points_run_servers (Shared *shared, const Points *points);

G_END_DECLS
