/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/sum.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = cli_sum_request (SHMKV_OP_ADD, args);
  return TRUE;
}

static CliExit
run_add (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  return cli_sum_run (context, SHMKV_OP_ADD, args, options, error);
}

const CliCommand cli_cmd_add = {
  .name = "add",
  .aliases = { "incr", "increment" },
  .arguments = CLI_SUM_ARGUMENTS,
  .summary = "Add N, or 1, to the integer at KEY",
  .description =
    "Prints the sum.  A key that is not there counts as 0.  It is an error, and changes\n"
    "nothing, where the value is not an integer, or the sum more than\n"
    "18446744073709551615.",
  .needs_client = TRUE,
  .make_request = make_request,
  .options = cli_sum_options,
  .defaults = &cli_sum_defaults,
  .options_size = sizeof cli_sum_defaults,
  .has_conditions = TRUE,
  .run = run_add,
};
