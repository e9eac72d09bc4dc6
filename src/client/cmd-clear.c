/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"

typedef struct
{
  gboolean yes;
} ClearOptions;

static gboolean
check_clear (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const ClearOptions *given = options;

  if (!given->yes)
    g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE,
                         "this deletes all keys; --yes says that it is meant");
  return given->yes;
}

static CliExit
run_clear (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const ShmkvRequest request = { .op = SHMKV_OP_CLEAR };

  return cli_call (context, "clear", &request, 1, error);
}

static const ClearOptions defaults = { FALSE };

static const CliOption clear_options[] = {
  { "yes", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (ClearOptions, yes), NULL,
    "really; without it nothing is done" },
  { NULL }
};

const CliCommand cli_cmd_clear = {
  .name = "clear",
  .summary = "Delete all keys",
  .description = "Prints how many they were.",
  .needs_client = TRUE,
  .options = clear_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .check = check_clear,
  .run = run_clear,
};
