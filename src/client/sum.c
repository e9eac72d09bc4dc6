/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/sum.h"

#include "client/answer.h"

const CliConditions cli_sum_defaults = { .if_version = CLI_NO_VERSION };

const CliOption cli_sum_options[] = {
  CLI_OPTION_IF_PRESENT,
  CLI_OPTION_IF_VERSION,
  CLI_OPTION_WRAP,
  CLI_OPTION_SHOW_VERSION,
  { NULL }
};

ShmkvRequest
cli_sum_request (ShmkvOp op, const CliArgs *args)
{
  return (ShmkvRequest) {
    .op = op,
    .key = args->list[0].datum,
    .value = shmkv_integer (args->n > 1 ? args->list[1].number : 1),
  };
}

CliExit
cli_sum_run (const CliContext *context, ShmkvOp op, const CliArgs *args, gconstpointer options,
             GError **error)
{
  ShmkvRequest request = cli_sum_request (op, args);

  cli_conditions_apply (context, options, &request);
  return cli_call (context, shmkv_op_to_string (op), &request, 1, error);
}
