/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"
#include "client/number.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  const char *text = args->list[1].text;

  *request_out = (ShmkvRequest) { .op = SHMKV_OP_EXPIRE, .key = args->list[0].datum };
  if (g_str_equal (text, "never"))
    return TRUE;
  request_out->flags = SHMKV_FLAG_TTL;
  return cli_number_parse ("MS", text, 1, SHMKV_TTL_MAX, &request_out->ttl_ms, error);
}

static gboolean
check_expire (const CliContext *context, const CliArgs *args, gconstpointer options,
              GError **error)
{
  ShmkvRequest request;

  return make_request (args, &request, error);
}

static CliExit
run_expire (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  ShmkvRequest request;

  if (!make_request (args, &request, error))
    return CLI_EXIT_USAGE;
  return cli_call (context, "expire", &request, 1, error);
}

const CliCommand cli_cmd_expire = {
  .name = "expire",
  .arguments = { { "KEY", CLI_ARGUMENT_KEY }, { "MS", CLI_ARGUMENT_TEXT } },
  .summary = "Let KEY expire after MS milliseconds",
  .description =
    "Prints \"done\".  MS may be \"never\", for a key that stays until it is deleted.\n"
    "Where there is no such key it prints nothing on standard output and exits with 1.",
  .needs_client = TRUE,
  .make_request = make_request,
  .check = check_expire,
  .run = run_expire,
};
