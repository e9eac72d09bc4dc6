/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) { .op = SHMKV_OP_COUNT };
  return TRUE;
}

static CliExit
run_count (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const ShmkvRequest request = { .op = SHMKV_OP_COUNT };

  return cli_call (context, "count", &request, 1, error);
}

const CliCommand cli_cmd_count = {
  .name = "count",
  .summary = "Print how many keys there are",
  .description = "Keys that expired within the last quarter of a second may be among them.",
  .needs_client = TRUE,
  .make_request = make_request,
  .run = run_count,
};
