/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/log-limit.h"

void
shmkv_log_limit_clear (ShmkvLogLimit *limit)
{
  g_mutex_clear (&limit->mutex);
}

/* Under the mutex. */
static gboolean
take_line (ShmkvLogLimit *limit, gint64 now_us)
{
  if (now_us - limit->begin_us >= G_USEC_PER_SEC || limit->begin_us == 0)
    {
      limit->begin_us = now_us;
      limit->n = 0;
    }
  if (limit->n == SHMKV_LOG_LINES)
    return FALSE;
  limit->n++;
  return TRUE;
}

gboolean
shmkv_log_limit_pass (ShmkvLogLimit *limit, gint64 now_us)
{
  gboolean passes;

  g_mutex_lock (&limit->mutex);
  passes = take_line (limit, now_us);
  limit->n_unsaid += !passes;
  g_mutex_unlock (&limit->mutex);
  return passes;
}

guint64
shmkv_log_limit_take_unsaid (ShmkvLogLimit *limit, gint64 now_us)
{
  guint64 n_unsaid = 0;

  g_mutex_lock (&limit->mutex);
  if (limit->n_unsaid > 0 && take_line (limit, now_us))
    {
      n_unsaid = limit->n_unsaid;
      limit->n_unsaid = 0;
    }
  g_mutex_unlock (&limit->mutex);
  return n_unsaid;
}
