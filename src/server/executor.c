/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/executor.h"

#include "server/execute.h"

gboolean
shmkv_executor_init (ShmkvExecutor *executor, ShmkvServer *server, ShmkvTable *table,
                     ShmkvCounters *counters)
{
  *executor = (ShmkvExecutor) {
    .server = server,
    .table = table,
    .counters = counters,
    .batch_max = SHMKV_BATCH_MAX,
    .reader = shmkv_table_add_reader (table),
    .scratch = g_try_malloc (SHMKV_SCRATCH_SIZE),
    .answer = g_try_malloc (SHMKV_ANSWER_SIZE),
  };
  if (executor->reader != NULL && executor->scratch != NULL && executor->answer != NULL)
    return TRUE;
  shmkv_executor_clear (executor);
  return FALSE;
}

void
shmkv_executor_clear (ShmkvExecutor *executor)
{
  g_clear_pointer (&executor->reader, shmkv_reader_free);
  g_clear_pointer (&executor->scratch, g_free);
  g_clear_pointer (&executor->answer, g_free);
}
