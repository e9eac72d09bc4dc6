/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/output.h"
#include "client/report.h"

static CliExit
run_read (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  guint64 key = args->number[0], value = 0;
  gboolean found;

  if (!shmkv_client_read (context->client, key, &value, &found, error))
    return CLI_EXIT_FAILED;

  if (!found && !context->json)
    return cli_report_no_key (context, key);
  cli_answer_read (context, key, found, value);
  return found ? CLI_EXIT_OK : CLI_EXIT_NO;
}

const CliCommand cli_cmd_read = {
  .name = "read",
  .aliases = { "get" },
  .arguments = { { "KEY" } },
  .summary = "Print the value of KEY",
  .description = "Where there is no such key it prints nothing on standard output and exits with\n"
                 "1.",
  .needs_client = TRUE,
  .batch_op = SHMKV_OP_READ,
  .run = run_read,
};
