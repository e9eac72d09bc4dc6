/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"
#include "client/report.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) {
    .op = SHMKV_OP_INSERT,
    .flags = SHMKV_FLAG_OLD,
    .key = args->list[0].datum,
    .value = args->list[1].datum,
  };
  return TRUE;
}

static CliExit
print_old (const CliContext *context, const ShmkvRequest *request,
           const ShmkvCompletion *completion)
{
  if (context->json || completion->status != SHMKV_STATUS_ADDED)
    return cli_answer_value (context, "exchange", request, completion);
  cli_note (context, "the key is new: there was no value to print");
  return CLI_EXIT_OK;
}

static CliExit
run_exchange (const CliContext *context, const CliArgs *args, gconstpointer options,
              GError **error)
{
  ShmkvRequest request;
  ShmkvCompletion completion;
  CliExit status;

  if (!make_request (args, &request, error)
      || !cli_check_value_length (context, request.value.length, error)
      || !shmkv_client_call (context->client, &request, &completion, error))
    return CLI_EXIT_FAILED;
  status = print_old (context, &request, &completion);
  shmkv_completion_clear (&completion);
  return status;
}

const CliCommand cli_cmd_exchange = {
  .name = "exchange",
  .aliases = { "getset" },
  .arguments = { { "KEY", CLI_ARGUMENT_KEY }, { "VALUE", CLI_ARGUMENT_VALUE } },
  .summary = "Set KEY to VALUE, print what it was",
  .description =
    "Prints the value that the key had, as read does.  Where there was none it prints\n"
    "nothing on standard output, says so, and exits with 0: it is set all the same.",
  .needs_client = TRUE,
  .make_request = make_request,
  .run = run_exchange,
};
