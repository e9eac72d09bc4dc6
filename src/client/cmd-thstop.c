/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) { .op = SHMKV_OP_STOP_WORKER };
  return TRUE;
}

static CliExit
run_thstop (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  ShmkvRequest request;

  (void) make_request (args, &request, NULL);
  return cli_call (context, "thstop", &request, 1, error);
}

const CliCommand cli_cmd_thstop = {
  .name = "thstop",
  .summary = "Stop one of the server's workers",
  .description = "Prints how many run now.  The last one cannot be stopped.",
  .needs_client = TRUE,
  .make_request = make_request,
  .run = run_thstop,
};
