/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/output.h"

static CliExit
run_thstart (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  guint n_workers;

  if (!shmkv_client_start_workers (context->client, args->number[0], &n_workers, error))
    return CLI_EXIT_FAILED;

  cli_answer_workers (context, SHMKV_OP_START_WORKERS, n_workers);
  return CLI_EXIT_OK;
}

const CliCommand cli_cmd_thstart = {
  .name = "thstart",
  .arguments = { { "N", .min = 1 } },
  .summary = "Add N workers to the server",
  .description = "Prints how many run now.",
  .needs_client = TRUE,
  .batch_op = SHMKV_OP_START_WORKERS,
  .run = run_thstart,
};
