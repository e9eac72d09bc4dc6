/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) {
    .op = SHMKV_OP_START_WORKERS, .key = shmkv_integer (args->list[0].number)
  };
  return TRUE;
}

static CliExit
run_thstart (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  ShmkvRequest request;

  (void) make_request (args, &request, NULL);
  return cli_call (context, "thstart", &request, 1, error);
}

const CliCommand cli_cmd_thstart = {
  .name = "thstart",
  .arguments = { { "N", .min = 1 } },
  .summary = "Add N workers to the server",
  .description = "Prints how many run now.",
  .needs_client = TRUE,
  .make_request = make_request,
  .run = run_thstart,
};
