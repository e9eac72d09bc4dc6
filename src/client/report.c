/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/report.h"

#include "client/word.h"

#include <stdarg.h>
#include <stdio.h>

GQuark
cli_error_quark (void)
{
  return g_quark_from_static_string ("shmkv-client-error");
}

/* What a file or an argument says is not to move the cursor. */
static void
mask_controls (char *text)
{
  for (; *text != '\0'; text++)
    {
      if (g_ascii_iscntrl (*text))
        *text = '?';
    }
}

void
cli_warn (const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  mask_controls (message);
  fprintf (stderr, "shmkv-client: %s\n", message);
}

static CliExit
exit_for_library_error (int code)
{
  switch ((ShmkvError) code)
    {
    case SHMKV_ERROR_INVALID:
      return CLI_EXIT_USAGE;
    case SHMKV_ERROR_NO_SERVER:
    case SHMKV_ERROR_ACCESS:
    case SHMKV_ERROR_INCOMPATIBLE:
      return CLI_EXIT_NO_SERVER;
    case SHMKV_ERROR_TIMEOUT:
      return CLI_EXIT_TIMEOUT;
    case SHMKV_ERROR_SERVER_GONE:
    case SHMKV_ERROR_NO_SESSION:
    case SHMKV_ERROR_DROPPED:
    case SHMKV_ERROR_PROTOCOL:
    case SHMKV_ERROR_FORKED:
    case SHMKV_ERROR_UNSUPPORTED:
    case SHMKV_ERROR_OUT_OF_RANGE:
    case SHMKV_ERROR_TOO_MANY:
    case SHMKV_ERROR_LAST_WORKER:
    case SHMKV_ERROR_NO_MEMORY:
    case SHMKV_ERROR_BUSY:
    case SHMKV_ERROR_TOO_LARGE:
    case SHMKV_ERROR_NO_SPACE:
    case SHMKV_ERROR_WRONG_KIND:
    case SHMKV_ERROR_OVERFLOW:
    case SHMKV_ERROR_BAD_CURSOR:
    case SHMKV_ERROR_SYSTEM:
      break;
    }
  return CLI_EXIT_FAILED;
}

static CliExit
exit_for (const GError *error)
{
  if (error->domain == SHMKV_ERROR)
    return exit_for_library_error (error->code);
  if (g_error_matches (error, CLI_ERROR, CLI_ERROR_USAGE))
    return CLI_EXIT_USAGE;
  if (g_error_matches (error, CLI_ERROR, CLI_ERROR_TIMEOUT))
    return CLI_EXIT_TIMEOUT;
  return CLI_EXIT_FAILED;
}

static void
print_try (const CliCommand *command)
{
  fprintf (stderr, "Try 'shmkv-client %s%s--help' for more information.\n",
           command != NULL ? command->name : "", command != NULL ? " " : "");
}

CliExit
cli_report (const GError *error, const CliCommand *command)
{
  CliExit status = exit_for (error);

  if (g_error_matches (error, CLI_ERROR, CLI_ERROR_PIPE)
      || g_error_matches (error, CLI_ERROR, CLI_ERROR_INTERRUPTED))
    return status;
  cli_warn ("%s%s", error->message,
            g_error_matches (error, SHMKV_ERROR, SHMKV_ERROR_TIMEOUT)
              ? "; --timeout sets how long to wait" : "");
  if (status == CLI_EXIT_USAGE)
    print_try (command);
  return status;
}

void
cli_note (const CliContext *context, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  if (context->quiet)
    return;
  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  cli_warn ("%s", message);
}

static CliExit
report_key (const CliContext *context, const char *what, const ShmkvDatum *key)
{
  g_autoptr (GString) word = g_string_new (NULL);

  cli_word_append (word, key);
  cli_note (context, "%s: %s", what, word->str);
  return CLI_EXIT_NO;
}

CliExit
cli_report_no_key (const CliContext *context, const ShmkvDatum *key)
{
  return report_key (context, "no such key", key);
}

CliExit
cli_report_mismatch (const CliContext *context, const ShmkvDatum *key)
{
  return report_key (context, "the condition is not met, and nothing was changed", key);
}
