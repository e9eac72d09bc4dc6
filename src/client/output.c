/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/output.h"

#include "client/json.h"
#include "client/word.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void
cli_output_guard (void)
{
  /* open() takes the lowest free number.  Opened the wrong way round, so that
   * using it is still an error. */
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    {
      if (fcntl (fd, F_GETFD) == -1 && errno == EBADF)
        (void) !open ("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

/* Why the first write failed that did: stdio only remembers that one did.  One
 * thread prints. */
static int failure;

static void
note_failure (void)
{
  if (failure == 0)
    failure = errno;
}

void
cli_print (const CliContext *context, const char *format, ...)
{
  va_list args;

  if (context->quiet)
    return;
  va_start (args, format);
  if (vprintf (format, args) < 0)
    note_failure ();
  va_end (args);
}

static void
print_bytes (gconstpointer bytes, gsize length)
{
  if (fwrite (bytes, 1, length, stdout) < length)
    note_failure ();
}

void
cli_print_json (const CliContext *context, GString *line)
{
  cli_json_close (line);
  if (!context->quiet)
    print_bytes (line->str, line->len);
  g_string_truncate (line, 0);
}

void
cli_print_bytes (const CliContext *context, gconstpointer bytes, gsize length)
{
  if (!context->quiet && length > 0)
    print_bytes (bytes, length);
}

void
cli_print_value (const CliContext *context, const ShmkvDatum *value)
{
  if (value->kind != SHMKV_KIND_BYTES)
    {
      cli_print (context, "%" G_GUINT64_FORMAT "\n", value->integer);
      return;
    }
  cli_print_bytes (context, value->bytes, value->length);
  if (isatty (STDOUT_FILENO) && (value->length == 0 || value->bytes[value->length - 1] != '\n'))
    cli_print (context, "\n");
}

static void
append_pair_json (GString *line, const ShmkvDatum *key, const ShmkvDatum *value, guint64 ttl_ms)
{
  cli_json_open (line);
  cli_json_add_datum (line, "key", key);
  if (value->kind != SHMKV_KIND_NONE)
    cli_json_add_datum (line, "value", value);
  if (ttl_ms != 0)
    cli_json_add_unsigned (line, "ttl_ms", ttl_ms);
}

void
cli_print_pair (const CliContext *context, const ShmkvDatum *key, const ShmkvDatum *value,
                guint64 ttl_ms, GString *line)
{
  if (context->json)
    {
      append_pair_json (line, key, value, ttl_ms);
      cli_print_json (context, line);
      return;
    }
  cli_word_append (line, key);
  if (value->kind != SHMKV_KIND_NONE)
    {
      g_string_append_c (line, ' ');
      cli_word_append (line, value);
    }
  g_string_append_c (line, '\n');
  cli_print_bytes (context, line->str, line->len);
  g_string_truncate (line, 0);
}

/* `why` is 0 where an earlier call failed that was not of this file. */
static gboolean
refuse_output (int why, GError **error)
{
  g_set_error (error, CLI_ERROR, why == EPIPE ? CLI_ERROR_PIPE : CLI_ERROR_FAILED,
               "cannot write to standard output%s%s", why != 0 ? ": " : "",
               why != 0 ? g_strerror (why) : "");
  return FALSE;
}

gboolean
cli_output_flush (GError **error)
{
  errno = 0;
  if (fflush (stdout) != 0 || ferror (stdout))
    return refuse_output (failure != 0 ? failure : errno, error);
  return TRUE;
}

gboolean
cli_output_close (GError **error)
{
  if (!cli_output_flush (error))
    return FALSE;
  if (fclose (stdout) != 0)
    return refuse_output (errno, error);
  return TRUE;
}
