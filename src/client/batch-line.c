/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/batch-line.h"

#include "client/args.h"

#include <string.h>

/* The operation, its arguments, and one that is too much. */
#define MAX_WORDS (CLI_MAX_ARGS + 2)

/* Ends with NULL; what comes after MAX_WORDS words is left out. */
static void
split (char *line, char *words[MAX_WORDS + 1])
{
  guint n = 0;

  for (; n < MAX_WORDS; n++)
    {
      while (g_ascii_isspace (*line))
        line++;
      if (*line == '\0')
        break;
      words[n] = line;
      while (*line != '\0' && !g_ascii_isspace (*line))
        line++;
      if (*line != '\0')
        *line++ = '\0';
    }
  words[n] = NULL;
}

static gboolean
parse_words (char **words, ShmkvRequest *request_out, GError **error)
{
  const CliCommand *command = cli_command_find (words[0]);
  CliArgs args;

  if (command == NULL || command->batch_op == 0)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "there is no operation '%s'", words[0]);
      return FALSE;
    }
  if (!cli_args_parse (command, words + 1, &args, error))
    return FALSE;
  *request_out = (ShmkvRequest) {
    .op = command->batch_op, .key = args.number[0], .value = args.number[1]
  };
  return TRUE;
}

gboolean
cli_batch_line_parse (char *line, gsize length, gboolean *wanted_out, ShmkvRequest *request_out,
                      GError **error)
{
  char *words[MAX_WORDS + 1];

  if (memchr (line, '\0', length) != NULL)
    {
      g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE, "there is a zero byte in it");
      return FALSE;
    }
  split (line, words);
  *wanted_out = words[0] != NULL && words[0][0] != '#';
  return !*wanted_out || parse_words (words, request_out, error);
}
