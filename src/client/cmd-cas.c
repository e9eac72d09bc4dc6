/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) {
    .op = SHMKV_OP_INSERT,
    .flags = SHMKV_FLAG_IF_VALUE,
    .key = args->list[0].datum,
    .value = args->list[2].datum,
    .expected = args->list[1].datum,
  };
  return TRUE;
}

static CliExit
run_cas (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  ShmkvRequest request;

  if (!make_request (args, &request, error)
      || !cli_check_value_length (context, request.value.length, error))
    return CLI_EXIT_FAILED;
  return cli_call (context, "cas", &request, 1, error);
}

const CliCommand cli_cmd_cas = {
  .name = "cas",
  .aliases = { "compare-and-set" },
  .arguments = { { "KEY", CLI_ARGUMENT_KEY },
                 { "EXPECTED", CLI_ARGUMENT_VALUE },
                 { "NEW", CLI_ARGUMENT_VALUE } },
  .summary = "Set KEY to NEW if it is EXPECTED",
  .description =
    "Prints \"replaced\".  Where the value is another, or there is no such key, it\n"
    "changes nothing, prints nothing on standard output, and exits with 1.",
  .needs_client = TRUE,
  .make_request = make_request,
  .run = run_cas,
};
