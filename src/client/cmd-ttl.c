/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) { .op = SHMKV_OP_TTL, .key = args->list[0].datum };
  return TRUE;
}

static CliExit
run_ttl (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  ShmkvRequest request;

  (void) make_request (args, &request, NULL);
  return cli_call (context, "ttl", &request, 1, error);
}

const CliCommand cli_cmd_ttl = {
  .name = "ttl",
  .arguments = { { "KEY", CLI_ARGUMENT_KEY } },
  .summary = "Print when KEY will expire",
  .description =
    "Prints how many milliseconds the key has to live, or \"never\".  Where there is no\n"
    "such key it prints nothing on standard output and exits with 1.",
  .needs_client = TRUE,
  .make_request = make_request,
  .run = run_ttl,
};
