/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/json.h"
#include "client/output.h"

static CliExit
run_quit (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  g_autoptr (GString) line = g_string_new (NULL);

  if (!shmkv_client_quit (context->client, error))
    return CLI_EXIT_FAILED;
  if (!context->json)
    return CLI_EXIT_OK;

  cli_json_open (line);
  cli_json_add_string (line, "op", shmkv_op_to_string (SHMKV_OP_QUIT));
  cli_print_json (context, line);
  return CLI_EXIT_OK;
}

const CliCommand cli_cmd_quit = {
  .name = "quit",
  .summary = "End the server",
  .description = "Its keys and values are gone afterwards.  Prints nothing.",
  .needs_client = TRUE,
  .run = run_quit,
};
