/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/args.h"

#include "client/number.h"

#include <string.h>

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
refuse_count (const CliCommand *command, gboolean repeat, const char *surplus, GError **error)
{
  g_autofree char *usage = cli_args_usage (command, repeat);

  if (surplus != NULL)
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "'%.100s' is too much; the usage is: %s",
                 surplus, usage);
  else
    g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "an argument is missing; the usage is: %s",
                 usage);
  return FALSE;
}

static gboolean
check_count (const CliCommand *command, const CliWord *words, guint n_words, gboolean repeat,
             GError **error)
{
  guint required, possible = count_arguments (command, &required);
  guint n_repeated = repeat ? command->n_repeated : 0;

  if (n_words < required)
    return refuse_count (command, repeat, NULL, error);
  if (n_words <= possible)
    return TRUE;
  if (n_repeated == 0)
    return refuse_count (command, repeat, words[possible].text, error);
  return (n_words - possible) % n_repeated == 0 || refuse_count (command, repeat, NULL, error);
}

/* What the word at `index` is given for. */
static const CliArgument *
get_argument (const CliCommand *command, guint index)
{
  guint required, n = count_arguments (command, &required);

  if (index >= n)
    index = n - command->n_repeated + (index - n) % command->n_repeated;
  return &command->arguments[index];
}

gboolean
cli_values_are_strings (const CliContext *context)
{
  return context->strings || context->string_values;
}

static gboolean
parse_one (const CliContext *context, const CliArgument *argument, const CliWord *word,
           CliArg *arg_out, GError **error)
{
  *arg_out = (CliArg) { .text = word->text, .quoted = word->quoted };
  switch (argument->type)
    {
    case CLI_ARGUMENT_NUMBER:
      return cli_number_parse (argument->name, word->text, argument->min, G_MAXUINT64,
                               &arg_out->number, error);
    case CLI_ARGUMENT_TEXT:
      return TRUE;
    case CLI_ARGUMENT_KEY:
      return cli_word_to_datum (argument->name, word, context->strings || context->string_keys,
                                &arg_out->datum, error)
             && cli_key_check (argument->name, &arg_out->datum, error);
    case CLI_ARGUMENT_VALUE:
      return cli_word_to_datum (argument->name, word, cli_values_are_strings (context),
                                &arg_out->datum, error);
    case CLI_ARGUMENT_PREFIX:
      arg_out->datum = shmkv_bytes (word->text, word->length);
      return arg_out->datum.length == 0
             || cli_key_check (argument->name, &arg_out->datum, error);
    }
  g_return_val_if_reached (FALSE);
}

gboolean
cli_args_parse (const CliContext *context, const CliCommand *command, const CliWord *words,
                guint n_words, gboolean repeat, CliArgs *args_out, GError **error)
{
  *args_out = (CliArgs) { NULL };
  if (!check_count (command, words, n_words, repeat, error))
    return FALSE;

  args_out->list = g_new (CliArg, n_words);
  for (; args_out->n < n_words; args_out->n++)
    {
      if (!parse_one (context, get_argument (command, args_out->n), &words[args_out->n],
                      &args_out->list[args_out->n], error))
        {
          cli_args_clear (args_out);
          return FALSE;
        }
    }
  return TRUE;
}

/* With --escaped, a word may stand in quotes. */
static gboolean
take_word (const CliContext *context, const char *what, char *text, CliWord *word_out,
           GError **error)
{
  gsize length = strlen (text), taken;

  *word_out = (CliWord) { .text = text, .length = length };
  if (!context->escaped || *text != '"')
    return TRUE;
  taken = cli_word_unquote (text, length, word_out, error);
  if (taken > 0 && taken < length)
    g_set_error_literal (error, CLI_ERROR, CLI_ERROR_USAGE, "there is more after the quotes");
  if (taken == length)
    return TRUE;
  g_prefix_error (error, "%s: ", what);
  return FALSE;
}

/* Keys and values may; a file's name, or a command, is not ours to read. */
static gboolean
may_be_quoted (const CliCommand *command, guint index)
{
  guint required;

  if (index >= count_arguments (command, &required) && command->n_repeated == 0)
    return FALSE;
  switch (get_argument (command, index)->type)
    {
    case CLI_ARGUMENT_KEY:
    case CLI_ARGUMENT_VALUE:
    case CLI_ARGUMENT_PREFIX:
      return TRUE;
    case CLI_ARGUMENT_NUMBER:
    case CLI_ARGUMENT_TEXT:
      break;
    }
  return FALSE;
}

gboolean
cli_args_parse_strv (const CliContext *context, const CliCommand *command, char **words,
                     CliArgs *args_out, GError **error)
{
  guint n = g_strv_length (words);
  g_autofree CliWord *taken = g_new (CliWord, n);

  *args_out = (CliArgs) { NULL };
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *what = g_strdup_printf ("argument %u", i + 1);

      if (!may_be_quoted (command, i))
        taken[i] = (CliWord) { .text = words[i], .length = strlen (words[i]) };
      else if (!take_word (context, what, words[i], &taken[i], error))
        return FALSE;
    }
  return cli_args_parse (context, command, taken, n, TRUE, args_out, error);
}

void
cli_args_clear (CliArgs *args)
{
  g_free (args->list);
  *args = (CliArgs) { NULL };
}

gboolean
cli_value_parse (const CliContext *context, const char *what, char *text, ShmkvDatum *datum_out,
                 GError **error)
{
  CliWord word;

  return take_word (context, what, text, &word, error)
         && cli_word_to_datum (what, &word, cli_values_are_strings (context), datum_out, error);
}

static void
append_names (GString *usage, const CliCommand *command, guint begin, guint end)
{
  for (guint i = begin; i < end; i++)
    g_string_append_printf (usage, command->arguments[i].optional ? "%s[%s]" : "%s%s",
                            i > begin ? " " : "", command->arguments[i].name);
}

char *
cli_args_usage (const CliCommand *command, gboolean repeat)
{
  GString *usage = g_string_new (command->name);
  guint required, n = count_arguments (command, &required);
  guint n_repeated = repeat ? command->n_repeated : 0;

  if (n > 0)
    g_string_append_c (usage, ' ');
  append_names (usage, command, 0, n);
  if (n_repeated > 1)
    {
      g_string_append (usage, " [");
      append_names (usage, command, n - n_repeated, n);
      g_string_append_c (usage, ']');
    }
  if (n_repeated > 0)
    g_string_append (usage, "...");
  return g_string_free (usage, FALSE);
}
