/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/args.h"

#include "client/number.h"

static guint
count_arguments (const CliCommand *command, guint *required_out)
{
  guint n = 0;

  *required_out = 0;
  for (; n < CLI_MAX_ARGS && command->arguments[n].name != NULL; n++)
    {
      if (!command->arguments[n].optional)
        *required_out = n + 1;
    }
  return n;
}

static gboolean
refuse_count (const CliCommand *command, const char *surplus, GError **error)
{
  g_autofree char *usage = cli_args_usage (command);

  if (surplus != NULL)
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "'%s' is too much; the usage is: %s", surplus,
                 usage);
  else
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "an argument is missing; the usage is: %s",
                 usage);
  return FALSE;
}

gboolean
cli_args_parse (const CliCommand *command, char **words, CliArgs *args_out, GError **error)
{
  guint n_words = g_strv_length (words);
  guint required, possible = count_arguments (command, &required);

  if (n_words < required || n_words > possible)
    return refuse_count (command, n_words > possible ? words[possible] : NULL, error);

  *args_out = (CliArgs) { { NULL } };
  for (guint i = 0; i < n_words; i++)
    {
      const CliArgument *argument = &command->arguments[i];

      args_out->text[i] = words[i];
      if (!argument->is_text
          && !cli_number_parse (argument->name, words[i], argument->min, G_MAXUINT64,
                                &args_out->number[i], error))
        return FALSE;
    }
  return TRUE;
}

char *
cli_args_usage (const CliCommand *command)
{
  GString *usage = g_string_new (command->name);

  for (guint i = 0; i < CLI_MAX_ARGS && command->arguments[i].name != NULL; i++)
    g_string_append_printf (usage, command->arguments[i].optional ? " [%s]" : " %s",
                            command->arguments[i].name);
  return g_string_free (usage, FALSE);
}
