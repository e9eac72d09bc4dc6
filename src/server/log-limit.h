/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How often something is logged that clients can bring about: so often in a second
 * and no more; the rest is counted.  By any thread. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define SHMKV_LOG_LINES 10

typedef struct
{
  GMutex mutex;
  gint64 begin_us;                  /* of the second that counts */
  guint n;                          /* that were logged in it */
  guint64 n_unsaid;
} ShmkvLogLimit;

/* Zeros are one that has not begun. */
void shmkv_log_limit_clear (ShmkvLogLimit *limit);

/* Whether to log one more now, a monotonic time. */
gboolean shmkv_log_limit_pass (ShmkvLogLimit *limit, gint64 now_us);

/* How many were not logged, once there may be a line that says so; that is one of
 * those lines.  0: none, or not yet. */
guint64 shmkv_log_limit_take_unsaid (ShmkvLogLimit *limit, gint64 now_us);

G_END_DECLS
