/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/server-info.h"

#include "client/cli.h"
#include "client/statistics.h"

gboolean
cli_server_info_get (ShmkvClient *client, CliServerInfo *info_out, GError **error)
{
  g_autoptr (ShmkvPairs) pairs = shmkv_client_stats (client, error);
  g_autoptr (CliStatistics) statistics = NULL;
  guint64 workers, user_us = 0, system_us = 0;
  CliServerInfo info = { 0 };

  if (pairs == NULL)
    return FALSE;
  statistics = cli_statistics_new (pairs);
  if (!cli_statistics_find (statistics, "workers", &workers))
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_FAILED,
                           "the server does not tell how many workers it runs");
      return FALSE;
    }
  info.workers = (guint) workers;
  cli_statistics_find (statistics, "version", &info.version);
  cli_statistics_find (statistics, "max_memory", &info.max_memory);
  info.tells_cpu = cli_statistics_find (statistics, "cpu_user_us", &user_us)
                   && cli_statistics_find (statistics, "cpu_system_us", &system_us);
  info.cpu_us = user_us + system_us;
  *info_out = info;
  return TRUE;
}

gboolean
cli_server_info_get_workers (ShmkvClient *client, guint *n_workers_out, GError **error)
{
  CliServerInfo info;

  if (!cli_server_info_get (client, &info, error))
    return FALSE;
  *n_workers_out = info.workers;
  return TRUE;
}
