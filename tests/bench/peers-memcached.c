/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* memcached, from 1.6 on, over a Unix socket, in its meta protocol: a client of
 * our own, which does less for an answer than a general one.  Keys are decimal
 * digits, the shortest that the protocol takes; values are 8 bytes.  Writes are
 * quiet, and a no-op behind them tells that they were done: a failed one would
 * be answered, and be a wrong answer here. */

#include "bench/peers-socket.h"
#include "bench/peers-work.h"

#include <string.h>

/* More than any request takes for a key. */
#define REQUEST_MAX 64

static char *
put_text (char *to, const char *text)
{
  return g_stpcpy (to, text);
}

static char *
put_number (char *to, guint64 number)
{
  char digits[20];
  gsize n = 0;

  do
    digits[n++] = '0' + number % 10;
  while ((number /= 10) != 0);
  while (n > 0)
    *to++ = digits[--n];
  return to;
}

static char *
put_write (char *to, guint64 key, guint64 value)
{
  to = put_number (put_text (to, "ms "), key);
  to = put_text (to, " 8 q\r\n");
  memcpy (to, &value, 8);
  return put_text (to + 8, "\r\n");
}

static char *
put_read (char *to, guint64 key)
{
  return put_text (put_number (put_text (to, "mg "), key), " v\r\n");
}

static char *
put_each (char *to, const PeersBatch *batch)
{
  gsize n_writes = 0;

  for (gsize i = 0; i < batch->n; i++)
    {
      to = batch->writes[i] ? put_write (to, batch->keys[i], batch->values[i])
                            : put_read (to, batch->keys[i]);
      n_writes += batch->writes[i];
    }
  return n_writes > 0 ? put_text (to, "mn\r\n") : to;
}

static char *
put_multi (char *to, const PeersBatch *batch)
{
  to = put_text (to, "get");
  for (gsize i = 0; i < batch->n; i++)
    {
      *to++ = ' ';
      to = put_number (to, batch->keys[i]);
    }
  return put_text (to, "\r\n");
}

static void
send_batch (gpointer store, PeersBatch *batch)
{
  char *to = peers_socket_reserve (store, (batch->n + 1) * REQUEST_MAX);

  peers_socket_wrote (store, batch->multi ? put_multi (to, batch) : put_each (to, batch));
  peers_socket_flush (store);
}

/* The value behind the line that begins with `head`. */
static guint64
take_value (PeersSocket *socket, const char *head, PeersBatch *batch)
{
  guint64 value;
  gsize length, head_length = strlen (head);
  const char *line = peers_socket_take_line (socket, &length);

  if (length < head_length + 4 || memcmp (line, head, head_length) != 0
      || memcmp (line + length - 4, " 8\r\n", 4) != 0)
    {
      batch->wrong++;
      return 0;
    }
  memcpy (&value, peers_socket_take (socket, 10), 8);
  return value;
}

static void
take_end (PeersSocket *socket, const char *wanted, PeersBatch *batch)
{
  gsize length;
  const char *line = peers_socket_take_line (socket, &length);

  if (length != strlen (wanted) || memcmp (line, wanted, length) != 0)
    peers_fail ("the server said: %.*s", (int) length, line);
}

static void
take_batch (gpointer store, PeersBatch *batch)
{
  gsize n_writes = 0;

  for (gsize i = 0; i < batch->n; i++)
    {
      n_writes += batch->writes[i];
      if (!batch->writes[i])
        batch->values[i] = take_value (store, batch->multi ? "VALUE " : "VA", batch);
    }
  if (batch->multi)
    take_end (store, "END\r\n", batch);
  else if (n_writes > 0)
    take_end (store, "MN\r\n", batch);
}

static gpointer
open_store (const char *path, guint64 n)
{
  return peers_socket_new (path);
}

static void
close_store (gpointer store)
{
  peers_socket_free (store);
}

int
main (int argc, char **argv)
{
  static const PeersDriver driver = {
    "memcached", 512, TRUE, open_store, send_batch, take_batch, close_store
  };

  return peers_main (&driver, argc, argv);
}
