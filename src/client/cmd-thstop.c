/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/output.h"

static CliExit
run_thstop (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  guint n_workers;

  if (!shmkv_client_stop_worker (context->client, &n_workers, error))
    return CLI_EXIT_FAILED;

  cli_answer_workers (context, SHMKV_OP_STOP_WORKER, n_workers);
  return CLI_EXIT_OK;
}

const CliCommand cli_cmd_thstop = {
  .name = "thstop",
  .summary = "Stop one of the server's workers",
  .description = "Prints how many run now.  The last one cannot be stopped.",
  .needs_client = TRUE,
  .batch_op = SHMKV_OP_STOP_WORKER,
  .run = run_thstop,
};
