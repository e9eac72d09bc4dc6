/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/output.h"

static CliExit
run_insert (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  guint64 key = args->number[0], value = args->number[1];
  gboolean added;

  if (!shmkv_client_insert (context->client, key, value, &added, error))
    return CLI_EXIT_FAILED;

  cli_answer_insert (context, key, value, added);
  return CLI_EXIT_OK;
}

const CliCommand cli_cmd_insert = {
  .name = "insert",
  .aliases = { "set", "put" },
  .arguments = { { "KEY" }, { "VALUE" } },
  .summary = "Set KEY to VALUE",
  .description = "Prints \"added\" if the key is new, \"replaced\" if it had a value.",
  .needs_client = TRUE,
  .batch_op = SHMKV_OP_INSERT,
  .run = run_insert,
};
