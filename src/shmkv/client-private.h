/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "transport/segment.h"

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

struct _ShmkvClient
{
  gatomicrefcount references;
  ShmkvSegment *segment;
  _Atomic gint64 timeout_us;
  guint n_cpus;                     /* that this process may use */
  gint64 spin_ns;                   /* how long waiting threads may spin */
  gboolean forked;                  /* set in the child of a fork() */

  /* Under `mutex`. */
  GMutex mutex;
  GCond returned;                   /* a borrowed session came back */
  GPtrArray *idle;                  /* of ShmkvSession: for borrowing; the last is the warmest */
  guint n_borrowed;
  gboolean *has_lane;               /* by lane: one of our sessions has it or tries to.  Our
                                     * locks do not exclude ourselves. */
};

G_END_DECLS
