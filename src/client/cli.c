/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"

#include "client/args.h"
#include "client/help.h"
#include "client/interrupt.h"
#include "client/number.h"
#include "client/options.h"
#include "client/output.h"
#include "client/report.h"

#include <pwd.h>

static void
remove_arg (char **args, guint index)
{
  g_free (args[index]);
  for (; args[index] != NULL; index++)
    args[index] = args[index + 1];
}

/* GOption leaves the "--" that makes "-5" an argument.  Where a command of the
 * user's own follows, only one before that is ours. */
static void
remove_separator (const CliCommand *command, char **args)
{
  for (guint i = 0; args[i] != NULL && (i < 2 || !command->ends_options); i++)
    {
      if (g_str_equal (args[i], "--"))
        {
          remove_arg (args, i);
          return;
        }
    }
}

/* A user's name or number. */
static gboolean
parse_owner (const char *text, uid_t *owner_out, GError **error)
{
  const struct passwd *user;
  guint64 number;

  if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32 - 1, &number, NULL))
    {
      *owner_out = (uid_t) number;
      return TRUE;
    }
  user = getpwnam (text);
  if (user == NULL)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "--owner '%s' is no user of this machine",
                   text);
      return FALSE;
    }
  *owner_out = user->pw_uid;
  return TRUE;
}

static gboolean
attach (CliContext *context, GError **error)
{
  uid_t owner;

  if (context->owner == NULL)
    context->client = shmkv_client_new (context->name, error);
  else if (parse_owner (context->owner, &owner, error))
    context->client = shmkv_client_new_for_owner (context->name, owner, error);
  if (context->client == NULL)
    return FALSE;
  if (context->timeout > 0)
    shmkv_client_set_timeout (context->client, cli_seconds_to_usec (context->timeout));
  return TRUE;
}

/* --help and the like; FALSE where there is none. */
static gboolean
print_information (const CliContext *context, const CliCommand *command)
{
  if (context->help && command != NULL)
    cli_help_print_command (command);
  else if (context->help)
    cli_help_print_program ();
  else if (context->version)
    cli_help_print_version ();
  else if (context->list_commands)
    cli_help_print_command_list ();
  else
    return FALSE;
  return TRUE;
}

/* `args` begins with the command's name. */
static CliExit
run_command (const CliCommand *command, CliContext *context, char ***args, gpointer values,
             GError **error)
{
  CliArgs parsed;
  CliExit status = CLI_EXIT_FAILED;

  if (!cli_options_parse (args, context, command, values, error))
    return CLI_EXIT_USAGE;
  if (print_information (context, command))
    return CLI_EXIT_OK;

  remove_arg (*args, 0);
  remove_separator (command, *args);
  if (!cli_args_parse_strv (context, command, *args, &parsed, error))
    return CLI_EXIT_USAGE;
  if ((command->check == NULL || command->check (context, &parsed, values, error))
      && (!command->needs_client || attach (context, error)))
    status = command->run (context, &parsed, values, error);
  cli_args_clear (&parsed);
  return status;
}

static CliExit
run_with_options (const CliCommand *command, CliContext *context, char ***args, GError **error)
{
  g_autofree gpointer values = g_memdup2 (command->defaults, command->options_size);
  CliExit status = run_command (command, context, args, values, error);

  cli_options_clear (command->options, values);
  return status;
}

/* Finds the command behind the global options. */
static CliExit
run (CliContext *context, char ***args, const CliCommand **command_out, GError **error)
{
  const char *name;

  if (!cli_options_parse (args, context, NULL, NULL, error))
    return CLI_EXIT_USAGE;
  remove_arg (*args, 0);
  name = **args;
  if (name != NULL)
    *command_out = cli_command_find (name);
  if (print_information (context, *command_out))
    return CLI_EXIT_OK;

  if (name == NULL)
    g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE, "no command was given");
  else if (*command_out == NULL)
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "there is no command '%s'", name);
  else
    return run_with_options (*command_out, context, args, error);
  return CLI_EXIT_USAGE;
}

CliExit
cli_main (char **argv)
{
  CliContext context = { 0 };
  const CliCommand *command = NULL;
  g_auto (GStrv) args = g_strdupv (argv);
  g_autoptr (GError) error = NULL;
  CliExit status = CLI_EXIT_USAGE;

  if (*args != NULL)
    status = run (&context, &args, &command, &error);
  g_clear_pointer (&context.client, shmkv_client_unref);
  if (error == NULL)
    cli_output_close (&error);
  if (error != NULL)
    status = cli_report (error, command);

  cli_options_clear (cli_global_options (), &context);
  cli_interrupt_finish (error);
  return status;
}
