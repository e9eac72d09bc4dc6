/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/lines.h"

#include "client/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* To begin with; a buffer grows where a line needs it. */
#define BUFFER_SIZE 65536

/* What was read and not returned yet is buffer[start..end), of `size` bytes and
 * one for a terminator.  `read_errno` is kept until the lines before it are
 * returned. */
struct _CliLines
{
  char *name;
  int fd;
  guint64 number;
  gboolean at_end;
  int read_errno;
  gsize start;
  gsize end;
  gsize size;
  gsize searched;          /* no newline in buffer[start..searched) */
  char *buffer;
};

CliLines *
cli_lines_open (const char *path, GError **error)
{
  gboolean is_stdin = path == NULL || g_str_equal (path, "-");
  int fd = is_stdin ? STDIN_FILENO : open (path, O_RDONLY | O_CLOEXEC);
  CliLines *lines;

  if (fd < 0)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot open %s: %s", path,
                   g_strerror (errno));
      return NULL;
    }
  lines = g_new (CliLines, 1);
  *lines = (CliLines) { .name = g_strdup (is_stdin ? "standard input" : path),
                        .fd = fd,
                        .size = BUFFER_SIZE,
                        .buffer = g_malloc (BUFFER_SIZE + 1) };
  return lines;
}

void
cli_lines_free (CliLines *lines)
{
  if (lines->fd != STDIN_FILENO)
    close (lines->fd);
  g_free (lines->buffer);
  g_free (lines->name);
  g_free (lines);
}

const char *
cli_lines_get_name (const CliLines *lines)
{
  return lines->name;
}

guint64
cli_lines_get_number (const CliLines *lines)
{
  return lines->number;
}

static char *
find_newline (CliLines *lines)
{
  char *newline = memchr (lines->buffer + lines->searched, '\n', lines->end - lines->searched);

  /* Not to look at all of a long line again for each piece of it. */
  lines->searched = newline != NULL ? (gsize) (newline - lines->buffer) : lines->end;
  return newline;
}

static gboolean
is_too_long (const CliLines *lines)
{
  return lines->end - lines->start > CLI_LINE_MAX;
}

/* Whether reading more would be of no use for the next line. */
static gboolean
is_complete (CliLines *lines)
{
  return find_newline (lines) != NULL || lines->at_end || is_too_long (lines);
}

/* Makes room behind what was read. */
static void
make_room (CliLines *lines)
{
  memmove (lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
  lines->end -= lines->start;
  lines->searched -= lines->start;
  lines->start = 0;
  if (lines->end <= lines->size / 2)
    return;
  lines->size *= 2;
  lines->buffer = g_realloc (lines->buffer, lines->size + 1);
}

/* Reads once.  Not to be called where is_complete(). */
static void
fill (CliLines *lines)
{
  gssize n;

  make_room (lines);
  do
    n = read (lines->fd, lines->buffer + lines->end, lines->size - lines->end);
  while (n < 0 && errno == EINTR);

  if (n > 0)
    lines->end += n;
  else
    lines->at_end = TRUE;
  if (n < 0)
    lines->read_errno = errno;
}

gboolean
cli_lines_ready (CliLines *lines)
{
  while (!is_complete (lines))
    {
      struct pollfd pollfd = { .fd = lines->fd, .events = POLLIN };

      if (poll (&pollfd, 1, 0) == 0)
        return FALSE;
      fill (lines);
    }
  return TRUE;
}

static gboolean
refuse_long_line (CliLines *lines, GError **error)
{
  lines->number++;
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "the line is longer than %d bytes",
               CLI_LINE_MAX);
  return FALSE;
}

/* At the end: the last line may have no newline. */
static gboolean
finish (CliLines *lines, GError **error)
{
  if (lines->read_errno == 0)
    return TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot read %s: %s", lines->name,
               g_strerror (lines->read_errno));
  return FALSE;
}

gboolean
cli_lines_next (CliLines *lines, char **line_out, gsize *length_out, GError **error)
{
  char *newline;

  while (!is_complete (lines))
    fill (lines);

  newline = find_newline (lines);
  *line_out = NULL;
  if (newline != NULL ? newline - lines->buffer - lines->start > CLI_LINE_MAX
                      : is_too_long (lines))
    return refuse_long_line (lines, error);
  if (newline == NULL && lines->start == lines->end)
    return finish (lines, error);
  if (newline == NULL)
    newline = lines->buffer + lines->end++;

  *newline = '\0';
  *line_out = lines->buffer + lines->start;
  *length_out = newline - *line_out;
  lines->start += *length_out + 1;
  lines->searched = lines->start;
  lines->number++;
  return TRUE;
}
