/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"
#include "client/conditions.h"
#include "client/number.h"

#include <math.h>

/* The conditions come first, for their options. */
typedef struct
{
  CliConditions common;
  guint64 since;
  double wait;             /* less than 0 where it was not given */
} WaitOptions;

/* In seconds.  A time-out that was asked for, with the global option, is meant
 * for the only thing that this waits long for. */
static double
get_limit (const CliContext *context, const WaitOptions *given)
{
  if (given->wait >= 0)
    return given->wait;
  return context->timeout > 0 ? context->timeout : INFINITY;
}

/* The version that the key has now; 0 where there is no such key. */
static gboolean
find_version (const CliContext *context, const ShmkvDatum *key, guint64 *version_out,
              GError **error)
{
  const ShmkvRequest request
    = { .op = SHMKV_OP_READ, .flags = SHMKV_FLAG_VERSION, .key = *key };
  ShmkvCompletion completion;

  if (!shmkv_client_call (context->client, &request, &completion, error))
    return FALSE;
  *version_out = completion.status == SHMKV_STATUS_NO_KEY ? 0 : completion.version;
  shmkv_completion_clear (&completion);
  return TRUE;
}

static CliExit
print_change (const CliContext *context, const ShmkvRequest *request,
              const ShmkvCompletion *completion, double wait, GError **error)
{
  if (completion->status != SHMKV_STATUS_UNCHANGED)
    return cli_answer_value (context, "wait", request, completion);
  g_set_error (error, CLI_ERROR, CLI_ERROR_TIMEOUT, "the key did not change within %g seconds",
               wait);
  return CLI_EXIT_TIMEOUT;
}

static CliExit
run_wait (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const WaitOptions *given = options;
  const ShmkvDatum *key = &args->list[0].datum;
  ShmkvRequest request = { .op = SHMKV_OP_WAIT, .key = *key };
  ShmkvCompletion completion;
  guint64 version = given->since;
  double limit = get_limit (context, given);
  CliExit status;

  if (version == CLI_NO_VERSION && !find_version (context, key, &version, error))
    return CLI_EXIT_FAILED;
  if (!shmkv_client_wait (context->client, key, version, cli_seconds_to_usec (limit),
                          &completion, error))
    return CLI_EXIT_FAILED;
  cli_conditions_apply (context, &given->common, &request);
  status = print_change (context, &request, &completion, limit, error);
  shmkv_completion_clear (&completion);
  return status;
}

static const WaitOptions defaults = {
  .common = { .if_version = CLI_NO_VERSION }, .since = CLI_NO_VERSION, .wait = -1
};

static const CliOption wait_options[] = {
  { "since", 's', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (WaitOptions, since), "N",
    "until its version is not N; 0: until there is one", 0, CLI_NO_VERSION - 1 },
  { "wait", 'w', CLI_OPTION_WAIT, G_STRUCT_OFFSET (WaitOptions, wait), "SECONDS",
    "wait so long (default: --timeout, or \"inf\")" },
  CLI_OPTION_SHOW_VERSION,
  { NULL }
};

const CliCommand cli_cmd_wait = {
  .name = "wait",
  .arguments = { { "KEY", CLI_ARGUMENT_KEY } },
  .summary = "Wait until KEY changes",
  .description =
    "Waits until the key is set, deleted, or expires, from now on or, with --since,\n"
    "from when it had that version, which --show-version of insert, read and wait\n"
    "tells.  Then prints the value that it has, as read does; where there is none any\n"
    "more, it prints nothing on standard output and exits with 1.  Where the time\n"
    "runs out it exits with 4.",
  .needs_client = TRUE,
  .options = wait_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .run = run_wait,
};
