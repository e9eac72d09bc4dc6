/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/output.h"

#include "client/json.h"

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

void
cli_print (const CliContext *context, const char *format, ...)
{
  va_list args;

  if (context->quiet)
    return;
  va_start (args, format);
  vprintf (format, args);
  va_end (args);
}

void
cli_print_json (const CliContext *context, GString *line)
{
  cli_json_close (line);
  if (!context->quiet)
    fwrite (line->str, 1, line->len, stdout);
  g_string_truncate (line, 0);
}

static GString *
open_answer (ShmkvOp op)
{
  GString *line = g_string_new (NULL);

  cli_json_open (line);
  cli_json_add_string (line, "op", shmkv_op_to_string (op));
  return line;
}

static void
close_answer (const CliContext *context, GString *line)
{
  cli_print_json (context, line);
  g_string_free (line, TRUE);
}

void
cli_answer_insert (const CliContext *context, guint64 key, guint64 value, gboolean added)
{
  GString *line;

  if (!context->json)
    {
      cli_print (context, "%s\n", added ? "added" : "replaced");
      return;
    }
  line = open_answer (SHMKV_OP_INSERT);
  cli_json_add_unsigned (line, "key", key);
  cli_json_add_unsigned (line, "value", value);
  cli_json_add_boolean (line, "added", added);
  close_answer (context, line);
}

void
cli_answer_read (const CliContext *context, guint64 key, gboolean found, guint64 value)
{
  GString *line;

  if (!context->json && found)
    cli_print (context, "%" G_GUINT64_FORMAT "\n", value);
  else if (!context->json)
    cli_print (context, "not found\n");
  if (!context->json)
    return;
  line = open_answer (SHMKV_OP_READ);
  cli_json_add_unsigned (line, "key", key);
  if (found)
    cli_json_add_unsigned (line, "value", value);
  cli_json_add_boolean (line, "found", found);
  close_answer (context, line);
}

void
cli_answer_delete (const CliContext *context, guint64 key, gboolean found)
{
  GString *line;

  if (!context->json)
    {
      cli_print (context, "%s\n", found ? "deleted" : "not found");
      return;
    }
  line = open_answer (SHMKV_OP_DELETE);
  cli_json_add_unsigned (line, "key", key);
  cli_json_add_boolean (line, "found", found);
  close_answer (context, line);
}

void
cli_answer_workers (const CliContext *context, ShmkvOp op, guint64 n_workers)
{
  GString *line;

  if (!context->json)
    {
      cli_print (context, "%" G_GUINT64_FORMAT "\n", n_workers);
      return;
    }
  line = open_answer (op);
  cli_json_add_unsigned (line, "workers", n_workers);
  close_answer (context, line);
}

void
cli_answer_ping (const CliContext *context)
{
  if (context->json)
    close_answer (context, open_answer (SHMKV_OP_PING));
  else
    cli_print (context, "alive\n");
}

void
cli_answer_failure (const CliContext *context, ShmkvOp op, ShmkvStatus status)
{
  GString *line;

  if (!context->json)
    {
      cli_print (context, "failed: %s\n", shmkv_status_to_string (status));
      return;
    }
  line = open_answer (op);
  cli_json_add_string (line, "failure", shmkv_status_to_string (status));
  close_answer (context, line);
}

static void
append_bytes (GString *text, const guint8 *bytes, gsize length)
{
  for (gsize i = 0; i < length; i++)
    {
      if (g_ascii_isprint (bytes[i]) && bytes[i] != '\\' && bytes[i] != '"')
        g_string_append_c (text, bytes[i]);
      else
        g_string_append_printf (text, "\\%02x", bytes[i]);
    }
}

void
cli_text_append_datum (GString *text, const ShmkvDatum *datum)
{
  if (datum->kind == SHMKV_KIND_INTEGER)
    {
      g_string_append_printf (text, "%" G_GUINT64_FORMAT, datum->integer);
      return;
    }
  g_string_append_c (text, '"');
  append_bytes (text, datum->bytes, datum->length);
  g_string_append_c (text, '"');
}

/* `why` is 0 where an earlier call failed that nobody looked at. */
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
    return refuse_output (errno, error);
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
