/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/batch-line.h"

#include "client/args.h"
#include "client/options.h"

#include <string.h>

/* The arguments of an operation, and one that is too much. */
#define MAX_WORDS (CLI_MAX_ARGS + 1)

/* Where the words begin: an escape may be a zero byte, the line has none. */
static gboolean
check_zero (const char *text, gsize length, GError **error)
{
  if (memchr (text, '\0', length) == NULL)
    return TRUE;
  g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE, "there is a zero byte in it");
  return FALSE;
}

static gboolean
parse_operation (char **text, const char *end, const CliCommand **command_out, GError **error)
{
  CliWord name;

  if (!cli_word_next (text, end, &name, error))
    return FALSE;
  *command_out = cli_command_find (name.text);
  if (*command_out != NULL && (*command_out)->make_request != NULL)
    return TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "there is no operation '%.100s'", name.text);
  return FALSE;
}

static gboolean
parse_arguments (const CliContext *context, char *text, const char *end, CliBatchLine *line,
                 GError **error)
{
  CliWord words[MAX_WORDS];
  CliArgs args;
  guint n;
  gboolean done;

  if (!cli_words_split (text, end - text, words, MAX_WORDS, &n, error)
      || !cli_args_parse (context, line->command, words, MIN (n, MAX_WORDS), FALSE, &args, error))
    return FALSE;
  done = line->command->make_request (&args, &line->request, error);
  cli_args_clear (&args);
  return done;
}

static gboolean
apply_conditions (const CliContext *context, CliBatchLine *line, GError **error)
{
  CliContext escaped = *context;

  /* In a line, any value may stand in quotes, that of --if-value too. */
  escaped.escaped = TRUE;
  if (!cli_conditions_check (&escaped, &line->conditions, error))
    return FALSE;
  cli_conditions_apply (&escaped, &line->conditions, &line->request);
  return TRUE;
}

static gboolean
parse_with_options (const CliContext *context, char *text, const char *end, CliBatchLine *line,
                    GError **error)
{
  const CliCommand *command = line->command;

  /* Others have options of another kind, such as ping --count: not in a line. */
  if (!command->has_conditions)
    return cli_options_take (NULL, &text, end, NULL, error)
           && parse_arguments (context, text, end, line, error);
  line->conditions = *(const CliConditions *) command->defaults;
  return cli_options_take (command->options, &text, end, &line->conditions, error)
         && parse_arguments (context, text, end, line, error)
         && apply_conditions (context, line, error);
}

gboolean
cli_batch_line_parse (const CliContext *context, char *text, gsize length, CliBatchLine *line_out,
                      GError **error)
{
  const char *end = text + length;

  line_out->command = NULL;
  line_out->conditions.if_value = NULL;
  if (!check_zero (text, length, error))
    return FALSE;
  while (g_ascii_isspace (*text))
    text++;
  if (*text == '#' || *text == '\0')
    return TRUE;
  if (!parse_operation (&text, end, &line_out->command, error))
    return FALSE;
  if (!cli_options_ahead (text))
    return parse_arguments (context, text, end, line_out, error);
  if (parse_with_options (context, text, end, line_out, error))
    return TRUE;
  cli_batch_line_clear (line_out);
  return FALSE;
}

void
cli_batch_line_clear (CliBatchLine *line)
{
  g_clear_pointer (&line->conditions.if_value, g_free);
}
