/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/options.h"

#include "client/number.h"
#include "client/word.h"

#include <string.h>

#define GLOBAL(member) G_STRUCT_OFFSET (CliContext, member)

static const CliOption global_options[] = {
  { "name", 'n', CLI_OPTION_TEXT, GLOBAL (name), "NAME",
    "server to talk to (default: $SHMKV_NAME or \"" SHMKV_NAME_DEFAULT "\")" },
  { "owner", 0, CLI_OPTION_TEXT, GLOBAL (owner), "USER",
    "trust the server of this user (default: $SHMKV_OWNER)" },
  { "timeout", 't', CLI_OPTION_SECONDS, GLOBAL (timeout), "SECONDS",
    "wait so long for an answer, or \"inf\" (default: 5)" },
  { "json", 'j', CLI_OPTION_FLAG, GLOBAL (json), NULL, "print JSON, one object a line" },
  { "quiet", 'q', CLI_OPTION_FLAG, GLOBAL (quiet), NULL,
    "print no answers, only errors" },
  { "string", 0, CLI_OPTION_FLAG, GLOBAL (strings), NULL,
    "take keys and values for strings, also digits" },
  { "string-key", 0, CLI_OPTION_FLAG, GLOBAL (string_keys), NULL,
    "take keys for strings" },
  { "string-value", 0, CLI_OPTION_FLAG, GLOBAL (string_values), NULL,
    "take values for strings" },
  { "escaped", 0, CLI_OPTION_FLAG, GLOBAL (escaped), NULL,
    "take \"...\" with \\xx as scan and dump write it" },
  { "help", 'h', CLI_OPTION_FLAG, GLOBAL (help), NULL, "print this help and exit" },
  { "version", 'V', CLI_OPTION_FLAG, GLOBAL (version), NULL, "print the version and exit" },
  { "list-commands", 0, CLI_OPTION_FLAG, GLOBAL (list_commands) },
  { NULL }
};

G_STATIC_ASSERT (SHMKV_TIMEOUT_DEFAULT == 5 * G_USEC_PER_SEC); /* the help says so */

const CliOption *
cli_global_options (void)
{
  return global_options;
}

/* A table, and the structure that its values go to. */
typedef struct
{
  const CliOption *options;
  gpointer values;
} Target;

typedef struct
{
  Target global;
  Target own;
} Targets;

/* `given` is as GOption saw it: --name or -n. */
static const CliOption *
find_option (const CliOption *options, const char *given)
{
  for (; options != NULL && options->name != NULL; options++)
    {
      if (g_str_has_prefix (given, "--") ? g_str_equal (given + 2, options->name)
                                         : options->letter != 0 && given[1] == options->letter)
        return options;
    }
  return NULL;
}

static gboolean
set_option (const CliOption *option, const char *given, const char *text, gpointer values,
            GError **error)
{
  gpointer value = G_STRUCT_MEMBER_P (values, option->offset);

  switch (option->type)
    {
    case CLI_OPTION_FLAG:
      *(gboolean *) value = TRUE;
      return TRUE;
    case CLI_OPTION_TEXT:
      g_free (*(char **) value);
      *(char **) value = g_strdup (text);
      return TRUE;
    case CLI_OPTION_NUMBER:
      return cli_number_parse (given, text, option->min, option->max, value, error);
    case CLI_OPTION_SECONDS:
      return cli_seconds_parse (given, text, FALSE, value, error);
    case CLI_OPTION_WAIT:
      return cli_seconds_parse (given, text, TRUE, value, error);
    }
  g_return_val_if_reached (FALSE);
}

static gboolean
on_option (const char *given, const char *text, gpointer data, GError **error)
{
  const Targets *targets = data;
  const CliOption *option = find_option (targets->global.options, given);

  if (option != NULL)
    return set_option (option, given, text, targets->global.values, error);
  option = find_option (targets->own.options, given);
  g_return_val_if_fail (option != NULL, FALSE);
  return set_option (option, given, text, targets->own.values, error);
}

/* "Filename" only means that GOption leaves the bytes as they are, so that the
 * error for a name with an umlaut is about the name. */
static void
add_entries (GOptionGroup *group, const Target *target)
{
  for (const CliOption *at = target->options; at != NULL && at->name != NULL; at++)
    {
      GOptionEntry entries[] = {
        { at->name, at->letter, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK,
          (gpointer) on_option },
        { NULL }
      };

      if (at->type == CLI_OPTION_FLAG)
        {
          entries[0].flags = G_OPTION_FLAG_NONE;
          entries[0].arg = G_OPTION_ARG_NONE;
          entries[0].arg_data = G_STRUCT_MEMBER_P (target->values, at->offset);
        }
      g_option_group_add_entries (group, entries);
    }
}

static GOptionContext *
new_option_context (Targets *targets, gboolean stop_at_argument)
{
  GOptionContext *context = g_option_context_new (NULL);
  GOptionGroup *group = g_option_group_new ("", "", "", targets, NULL);

  add_entries (group, &targets->global);
  add_entries (group, &targets->own);
  g_option_context_set_main_group (context, group);
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_strict_posix (context, stop_at_argument);
  return context;
}

/* "Unknown option -5" would not tell what is wrong with `read -5`. */
static gboolean
refuse_unknown (const char *given, GError **error)
{
  if (g_ascii_isdigit (given[1]))
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
                 "'%.100s' has a sign; only numbers without one are possible, and strings after --",
                 given);
  else
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "Unknown option %.100s", given);
  return FALSE;
}

static const char *
find_negative_number (char **argv)
{
  for (; *argv != NULL && !g_str_equal (*argv, "--"); argv++)
    {
      if ((*argv)[0] == '-' && g_ascii_isdigit ((*argv)[1]))
        return *argv;
    }
  return NULL;
}

static void
explain (GError **error, const GError *cause, char **argv)
{
  const char *negative = find_negative_number (argv);

  if (negative != NULL && g_error_matches (cause, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION))
    refuse_unknown (negative, error);
  else
    g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE, cause->message);
}

gboolean
cli_options_parse (char ***argv, CliContext *context, const CliCommand *command, gpointer values,
                   GError **error)
{
  Targets targets = { { global_options, context },
                      { command != NULL ? command->options : NULL, values } };
  gboolean stop = command == NULL || command->ends_options;
  g_autoptr (GOptionContext) parser = new_option_context (&targets, stop);
  g_autoptr (GError) local = NULL;

  if (g_option_context_parse_strv (parser, argv, &local))
    return TRUE;
  explain (error, local, *argv);
  return FALSE;
}

/* The option that `given` is, which may be --name=text, then cut at the =; and
 * its text, NULL where there is none. */
static const CliOption *
split_option (const CliOption *options, char *given, char **text_out)
{
  char *equals = strchr (given, '=');
  const CliOption *option;

  *text_out = equals != NULL ? equals + 1 : NULL;
  if (equals != NULL)
    *equals = '\0';
  option = find_option (options, given);
  if (option != NULL && (option->type != CLI_OPTION_FLAG || equals == NULL))
    return option;
  if (equals != NULL)
    *equals = '='; /* for the error */
  return NULL;
}

/* --name, --name=text or --name text. */
static gboolean
take_option (const CliOption *options, char **line, const char *end, gpointer values,
             GError **error)
{
  gsize n = strcspn (*line, "= \t\n\f\r");
  char *given = cli_word_cut (line, end, (*line)[n] == '=' ? n + 1 : n);
  char *text;
  const CliOption *option = split_option (options, given, &text);

  if (option == NULL)
    return refuse_unknown (given, error);
  if (option->type != CLI_OPTION_FLAG && text == NULL)
    {
      if (*line == end)
        {
          g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "Missing argument for %s", given);
          return FALSE;
        }
      text = cli_word_cut (line, end, 0);
    }
  return set_option (option, given, text, values, error);
}

gboolean
cli_options_take (const CliOption *options, char **line, const char *end, gpointer values,
                  GError **error)
{
  while (cli_options_ahead (*line))
    {
      if (g_str_has_prefix (*line, "--") && ((*line)[2] == '\0' || g_ascii_isspace ((*line)[2])))
        {
          cli_word_cut (line, end, 0);
          return TRUE;
        }
      if (!take_option (options, line, end, values, error))
        return FALSE;
    }
  return TRUE;
}

void
cli_options_clear (const CliOption *options, gpointer values)
{
  for (; options != NULL && options->name != NULL; options++)
    {
      if (options->type == CLI_OPTION_TEXT)
        g_clear_pointer ((char **) G_STRUCT_MEMBER_P (values, options->offset), g_free);
    }
}
