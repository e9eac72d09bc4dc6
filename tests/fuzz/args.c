/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line of the client: the words are what stands between zero bytes.
 * Up to where it would look for a server, it is done as cli.c does it. */

#include "config.h"

#include "fuzz/fuzz.h"

#include "client/args.h"
#include "client/number.h"
#include "client/options.h"

#define WORDS_MAX 16

/* What a function returned, that can only say that a word is wrong. */
static void
judge (gboolean done, GError **error)
{
  g_assert_cmpint (done, ==, *error == NULL);
  g_assert_true (done || (*error)->domain == CLI_ERROR);
  g_assert_true (done || (*error)->message[0] != '\0');
  g_clear_error (error);
}

static char **
split (const guint8 *data, gsize size)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  gsize begin = 0;

  g_ptr_array_add (words, g_strdup ("shmkv-client"));
  for (gsize at = 0; at <= size && words->len < WORDS_MAX; at++)
    if (at == size || data[at] == '\0')
      {
        g_ptr_array_add (words, g_strndup ((const char *) data + begin, at - begin));
        begin = at + 1;
      }
  g_ptr_array_add (words, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&words), FALSE);
}

static void
remove_first (char **words)
{
  g_free (words[0]);
  do
    words[0] = words[1];
  while (*words++ != NULL);
}

/* The words as a command's arguments. */
static void
parse_arguments (const CliContext *context, const CliCommand *command, char **words,
                 gconstpointer values)
{
  g_autoptr (GError) error = NULL;
  CliArgs args;
  gboolean done = cli_args_parse_strv (context, command, words, &args, &error);

  judge (done, &error);
  if (!done)
    return;
  for (guint i = 0; i < args.n; i++)
    g_assert_nonnull (cli_args_get_text (&args, i));
  if (command->check != NULL)
    judge (command->check (context, &args, values, &error), &error);
  if (command->make_request != NULL)
    {
      ShmkvRequest request;

      judge (command->make_request (&args, &request, &error), &error);
    }
  cli_args_clear (&args);
}

static void
parse_command (CliContext *context, const CliCommand *command, char ***words)
{
  g_autofree gpointer values = g_memdup2 (command->defaults, command->options_size);
  g_autoptr (GError) error = NULL;
  gboolean done = cli_options_parse (words, context, command, values, &error);

  judge (done, &error);
  if (done)
    {
      remove_first (*words);
      parse_arguments (context, command, *words, values);
    }
  cli_options_clear (command->options, values);
}

/* Each word, as whatever a word can be. */
static void
parse_words (char **words)
{
  for (; *words != NULL; words++)
    {
      g_autoptr (GError) error = NULL;
      guint64 number;
      double seconds;
      gboolean done = cli_number_parse ("number", *words, 1, G_MAXUINT64, &number, &error);

      judge (done, &error);
      g_assert_true (!done || number >= 1);
          done = cli_seconds_parse ("seconds", *words, TRUE, &seconds, &error);
      judge (done, &error);
      g_assert_true (!done || cli_seconds_to_usec (seconds) >= (seconds > 1e9 ? -1 : 0));
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_auto (GStrv) words = split (data, size);
  g_autoptr (GError) error = NULL;
  CliContext context = { 0 };
  const CliCommand *command;
  gboolean done;

  fuzz_log_init ();
  parse_words (words + 1);
  done = cli_options_parse (&words, &context, NULL, NULL, &error);
  judge (done, &error);
  if (done && words[1] != NULL && (command = cli_command_find (words[1])) != NULL)
    {
      remove_first (words);
      parse_command (&context, command, &words);
    }
  cli_options_clear (cli_global_options (), &context);
  return 0;
}
