/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/output.h"
#include "client/report.h"

static CliExit
run_delete (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  guint64 key = args->number[0];
  gboolean found;

  if (!shmkv_client_delete (context->client, key, &found, error))
    return CLI_EXIT_FAILED;

  if (!found && !context->json)
    return cli_report_no_key (context, key);
  cli_answer_delete (context, key, found);
  return found ? CLI_EXIT_OK : CLI_EXIT_NO;
}

const CliCommand cli_cmd_delete = {
  .name = "delete",
  .aliases = { "del", "rm" },
  .arguments = { { "KEY" } },
  .summary = "Forget KEY and its value",
  .description = "Prints \"deleted\".  Where there is no such key it prints nothing on standard\n"
                 "output and exits with 1.",
  .needs_client = TRUE,
  .batch_op = SHMKV_OP_DELETE,
  .run = run_delete,
};
