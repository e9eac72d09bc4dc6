/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything at once, for as long as one likes. */

#pragma once

#include "process.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;
  guint64 seed;
  double seconds;
  guint64 client_kills;             /* the run ends when there were so many; 0: at its time */
  guint64 server_kills;             /* the same; both are to be reached */
  guint victims;                    /* that live at the same time; 0: nobody is killed */
  guint bystanders;
  double interval;                  /* seconds between reports */
  double max_growth;                /* of the server's resident memory, in MiB */
  double max_latency;               /* p99.9, in milliseconds */
  char **loads;                     /* what else is to run, for the shell; (nullable) */
} SoakOptions;

/* Whether all was as it should be. */
gboolean soak_run (Shared *shared, int fd, const SoakOptions *options);

G_END_DECLS
