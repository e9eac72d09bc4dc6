/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"
#include "client/conditions.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) { .op = SHMKV_OP_READ, .key = args->list[0].datum };
  return TRUE;
}

static CliExit
run_read (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  g_autofree ShmkvRequest *requests = g_new0 (ShmkvRequest, args->n);

  for (guint i = 0; i < args->n; i++)
    {
      requests[i] = (ShmkvRequest) { .op = SHMKV_OP_READ, .key = args->list[i].datum };
      cli_conditions_apply (context, options, &requests[i]);
    }
  return cli_call (context, "read", requests, args->n, error);
}

static const CliConditions defaults = { .if_version = CLI_NO_VERSION };

static const CliOption read_options[] = {
  CLI_OPTION_SHOW_VERSION,
  { NULL }
};

const CliCommand cli_cmd_read = {
  .name = "read",
  .aliases = { "get" },
  .arguments = { { "KEY", CLI_ARGUMENT_KEY } },
  .n_repeated = 1,
  .summary = "Print the value of KEY",
  .description =
    "An integer is printed with a newline, a byte string byte for byte, with nothing\n"
    "added; only on a terminal with a newline where it has none at its end.  Where\n"
    "there is no such key it prints nothing on standard output and exits with 1.\n"
    "\n"
    "With several keys it prints a line \"KEY VALUE\" for each, as scan does, or \"KEY\n"
    "not found\"; with --show-version a line with VALUE and version.",
  .needs_client = TRUE,
  .make_request = make_request,
  .options = read_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .has_conditions = TRUE,
  .run = run_read,
};
