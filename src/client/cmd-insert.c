/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"
#include "client/args.h"
#include "client/cli.h"
#include "client/conditions.h"
#include "client/input.h"

/* Whether a value is to come from standard input. */
static gboolean
is_input (const CliContext *context, const CliArg *value)
{
  return g_str_equal (value->text, "-") && !value->quoted && !cli_values_are_strings (context);
}

static gboolean
check_insert (const CliContext *context, const CliArgs *args, gconstpointer options,
              GError **error)
{
  guint n_inputs = 0;

  for (guint i = 1; i < args->n; i += 2)
    n_inputs += is_input (context, &args->list[i]);
  if (n_inputs > 1)
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE,
                           "standard input can be one value, not several");
      return FALSE;
    }
  return cli_conditions_check (context, options, error);
}

static gboolean
make_request (const CliArgs *args, ShmkvRequest *request_out, GError **error)
{
  *request_out = (ShmkvRequest) {
    .op = SHMKV_OP_INSERT, .key = args->list[0].datum, .value = args->list[1].datum
  };
  return TRUE;
}

/* Takes the value from standard input where that is asked for.  The bytes then
 * belong to `*input`. */
static gboolean
take_value (const CliContext *context, const CliArg *value, GBytes **input, ShmkvRequest *request,
            GError **error)
{
  if (is_input (context, value))
    {
      *input = cli_input_read (context, error);
      if (*input == NULL)
        return FALSE;
      request->value.kind = SHMKV_KIND_BYTES;
      request->value.bytes = g_bytes_get_data (*input, &request->value.length);
    }
  return cli_check_value_length (context, request->value.length, error);
}

static CliExit
run_insert (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  g_autofree ShmkvRequest *requests = g_new0 (ShmkvRequest, args->n / 2);
  ShmkvRequest common = { .op = SHMKV_OP_INSERT };
  g_autoptr (GBytes) input = NULL;

  cli_conditions_apply (context, options, &common);
  for (guint i = 0; i < args->n / 2; i++)
    {
      requests[i] = common;
      requests[i].key = args->list[2 * i].datum;
      requests[i].value = args->list[2 * i + 1].datum;
      if (!take_value (context, &args->list[2 * i + 1], &input, &requests[i], error))
        return CLI_EXIT_FAILED;
    }
  return cli_call (context, "insert", requests, args->n / 2, error);
}

static const CliConditions defaults = { .if_version = CLI_NO_VERSION };

static const CliOption insert_options[] = {
  CLI_OPTION_IF_ABSENT,
  CLI_OPTION_IF_PRESENT,
  CLI_OPTION_IF_VALUE,
  CLI_OPTION_IF_VERSION,
  CLI_OPTION_TTL,
  CLI_OPTION_SHOW_VERSION,
  CLI_OPTION_OLD,
  { NULL }
};

const CliCommand cli_cmd_insert = {
  .name = "insert",
  .aliases = { "set", "put" },
  .arguments = { { "KEY", CLI_ARGUMENT_KEY }, { "VALUE", CLI_ARGUMENT_VALUE } },
  .n_repeated = 2,
  .summary = "Set KEY to VALUE",
  .description =
    "Prints \"added\" if the key is new, \"replaced\" if it had a value; then its\n"
    "version and the value that it had, where they are asked for.  Where a condition\n"
    "is not met it changes nothing, prints nothing on standard output, and exits\n"
    "with 1.  With several keys, prints a line for each that begins with the key, and\n"
    "\"not done\" for those.\n"
    "\n"
    "A VALUE of - is standard input, byte for byte.  To store a -, use --string-value.",
  .needs_client = TRUE,
  .make_request = make_request,
  .options = insert_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .has_conditions = TRUE,
  .check = check_insert,
  .run = run_insert,
};
