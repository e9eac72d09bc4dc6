/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/clock.h"
#include "client/json.h"
#include "client/output.h"

typedef struct
{
  guint64 count;
} PingOptions;

static void
print_round_trip (const CliContext *context, gint64 ns)
{
  g_autoptr (GString) line = g_string_new (NULL);

  if (!context->json)
    {
      cli_print (context, "%.2f us\n", ns / 1e3);
      return;
    }
  cli_json_open (line);
  cli_json_add_string (line, "op", shmkv_op_to_string (SHMKV_OP_PING));
  cli_json_add_unsigned (line, "round_trip_ns", ns);
  cli_print_json (context, line);
}

static CliExit
run_ping (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const PingOptions *ping = options;
  const ShmkvRequest request = { .op = SHMKV_OP_PING };
  g_autoptr (ShmkvSession) session = shmkv_session_new (context->client, error);

  if (session == NULL)
    return CLI_EXIT_FAILED;
  for (guint64 i = 0; i < ping->count; i++)
    {
      ShmkvCompletion completion;
      gint64 start = cli_clock_ns ();

      if (!shmkv_session_call (session, &request, &completion, error))
        return CLI_EXIT_FAILED;
      print_round_trip (context, cli_clock_ns () - start);
    }
  return CLI_EXIT_OK;
}

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) { .op = SHMKV_OP_PING };
  return TRUE;
}

static const PingOptions defaults = { .count = 1 };

static const CliOption ping_options[] = {
  { "count", 'c', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (PingOptions, count), "N",
    "how often (default: 1)", 1, G_MAXUINT64 },
  { NULL }
};

const CliCommand cli_cmd_ping = {
  .name = "ping",
  .summary = "Ask the server for a sign of life",
  .description = "Prints how long the answer took.  The first one may have had to wake the server.",
  .needs_client = TRUE,
  .make_request = make_request,
  .options = ping_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .run = run_ping,
};
