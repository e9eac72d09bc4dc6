/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"
#include "client/conditions.h"

static gboolean
check_delete (const CliContext *context, const CliArgs *args, gconstpointer options,
              GError **error)
{
  return cli_conditions_check (context, options, error);
}

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) { .op = SHMKV_OP_DELETE, .key = args->list[0].datum };
  return TRUE;
}

static CliExit
run_delete (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  g_autofree ShmkvRequest *requests = g_new0 (ShmkvRequest, args->n);
  ShmkvRequest common = { .op = SHMKV_OP_DELETE };

  cli_conditions_apply (context, options, &common);
  for (guint i = 0; i < args->n; i++)
    {
      requests[i] = common;
      requests[i].key = args->list[i].datum;
    }
  return cli_call (context, "delete", requests, args->n, error);
}

static const CliConditions defaults = { .if_version = CLI_NO_VERSION };

static const CliOption delete_options[] = {
  CLI_OPTION_IF_VALUE,
  CLI_OPTION_IF_VERSION,
  CLI_OPTION_OLD,
  { NULL }
};

const CliCommand cli_cmd_delete = {
  .name = "delete",
  .aliases = { "del", "rm" },
  .arguments = { { "KEY", CLI_ARGUMENT_KEY } },
  .n_repeated = 1,
  .summary = "Forget KEY and its value",
  .description =
    "Prints \"deleted\", and the value that it had where that is asked for.  Where there\n"
    "is no such key, or a condition is not met, it prints nothing on standard output\n"
    "and exits with 1.  With several keys, prints a line for each that begins with\n"
    "the key, and \"not found\" or \"not done\" for those.",
  .needs_client = TRUE,
  .make_request = make_request,
  .options = delete_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .has_conditions = TRUE,
  .check = check_delete,
  .run = run_delete,
};
