/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/input.h"

#include "client/answer.h"

#include <errno.h>
#include <unistd.h>

#define PIECE 65536

/* Reads once; 0 at the end, -1 on error. */
static gssize
read_piece (guint8 *buffer)
{
  gssize n;

  do
    n = read (STDIN_FILENO, buffer, PIECE);
  while (n < 0 && errno == EINTR);
  return n;
}

GBytes *
cli_input_read (const CliContext *context, GError **error)
{
  g_autoptr (GByteArray) value = g_byte_array_new ();
  guint8 buffer[PIECE];
  gssize n;

  while ((n = read_piece (buffer)) > 0)
    {
      g_byte_array_append (value, buffer, (guint) n);
      if (!cli_check_value_length (context, value->len, error))
        return NULL;
    }
  if (n < 0)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot read standard input: %s",
                   g_strerror (errno));
      return NULL;
    }
  return g_byte_array_free_to_bytes (g_steal_pointer (&value));
}
