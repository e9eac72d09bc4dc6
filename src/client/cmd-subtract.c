/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/sum.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = cli_sum_request (SHMKV_OP_SUBTRACT, args);
  return TRUE;
}

static CliExit
run_subtract (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  return cli_sum_run (context, SHMKV_OP_SUBTRACT, args, options, error);
}

const CliCommand cli_cmd_subtract = {
  .name = "subtract",
  .aliases = { "decr", "decrement" },
  .arguments = CLI_SUM_ARGUMENTS,
  .summary = "Subtract N, or 1, from the integer at KEY",
  .description =
    "Prints the difference.  A key that is not there counts as 0.  It is an error, and\n"
    "changes nothing, where the value is not an integer, or the difference less than 0.",
  .needs_client = TRUE,
  .make_request = make_request,
  .options = cli_sum_options,
  .defaults = &cli_sum_defaults,
  .options_size = sizeof cli_sum_defaults,
  .has_conditions = TRUE,
  .run = run_subtract,
};
