/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"

static const CliCommand *const commands[] = {
  &cli_cmd_insert,
  &cli_cmd_read,
  &cli_cmd_delete,
  &cli_cmd_add,
  &cli_cmd_subtract,
  &cli_cmd_exchange,
  &cli_cmd_cas,
  &cli_cmd_expire,
  &cli_cmd_ttl,
  &cli_cmd_wait,
  &cli_cmd_watch,
  &cli_cmd_lock,
  &cli_cmd_count,
  &cli_cmd_scan,
  &cli_cmd_clear,
  &cli_cmd_dump,
  &cli_cmd_load,
  &cli_cmd_print,
  &cli_cmd_thstart,
  &cli_cmd_thstop,
  &cli_cmd_quit,
  &cli_cmd_ping,
  &cli_cmd_stats,
  &cli_cmd_batch,
  &cli_cmd_test,
  &cli_cmd_bench,
  NULL
};

const CliCommand *const *
cli_commands (void)
{
  return commands;
}

const CliCommand *
cli_command_find (const char *name)
{
  for (const CliCommand *const *at = commands; *at != NULL; at++)
    {
      if (g_str_equal ((*at)->name, name) || g_strv_contains ((*at)->aliases, name))
        return *at;
    }
  return NULL;
}
