/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Those who kill; for process_fork(). */

#pragma once

#include "process.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;                 /* of the server; another one is killed, NAME-doomed */
  guint64 seed;
  int fd;                           /* where Shared is open */
  guint at_once;                    /* how many clients live at the same time */
  guint64 n_kills;                  /* so many are enough; 0: never */
  guint number;                     /* of a follower */
} Killer;

/* Starts clients of the server, stops some for a moment, kills them at a random
 * time or point, and checks what they leave. */
void killer_of_clients (Shared *shared, gpointer killer);

/* Starts servers, kills them at a random time or point, and starts the next one. */
void killer_of_servers (Shared *shared, gpointer killer);

/* A client of those servers: it goes from one to the next. */
void killer_follow (Shared *shared, gpointer killer);

G_END_DECLS
