/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Redis, or Valkey, over a Unix socket: GET and SET pipelined, and MGET.  A
 * client of our own, which does less for an answer than hiredis, where each is
 * an allocation.  Keys and values are 8 bytes. */

#include "bench/peers-socket.h"
#include "bench/peers-work.h"

#include <stdio.h>
#include <string.h>

/* More than any request takes for a key. */
#define REQUEST_MAX 64

static char *
put_text (char *to, const char *text)
{
  return g_stpcpy (to, text);
}

static char *
put_bytes (char *to, guint64 number)
{
  to = put_text (to, "$8\r\n");
  memcpy (to, &number, 8);
  return put_text (to + 8, "\r\n");
}

static char *
put_each (char *to, const PeersBatch *batch)
{
  for (gsize i = 0; i < batch->n; i++)
    {
      to = put_text (to, batch->writes[i] ? "*3\r\n$3\r\nSET\r\n" : "*2\r\n$3\r\nGET\r\n");
      to = put_bytes (to, batch->keys[i]);
      if (batch->writes[i])
        to = put_bytes (to, batch->values[i]);
    }
  return to;
}

static char *
put_multi (char *to, const PeersBatch *batch)
{
  to += sprintf (to, "*%" G_GSIZE_FORMAT "\r\n$4\r\nMGET\r\n", batch->n + 1);
  for (gsize i = 0; i < batch->n; i++)
    to = put_bytes (to, batch->keys[i]);
  return to;
}

static void
send_batch (gpointer store, PeersBatch *batch)
{
  char *to = peers_socket_reserve (store, (batch->n + 1) * REQUEST_MAX);

  peers_socket_wrote (store, batch->multi ? put_multi (to, batch) : put_each (to, batch));
  peers_socket_flush (store);
}

static guint64
take_value (PeersSocket *socket, PeersBatch *batch)
{
  guint64 value;
  gsize length;
  const char *line = peers_socket_take_line (socket, &length);

  if (length != 4 || memcmp (line, "$8\r\n", 4) != 0)
    {
      batch->wrong++;
      return 0;
    }
  memcpy (&value, peers_socket_take (socket, 10), 8);
  return value;
}

static void
take_line (PeersSocket *socket, const char *wanted)
{
  gsize length;
  const char *line = peers_socket_take_line (socket, &length);

  if (length != strlen (wanted) || memcmp (line, wanted, length) != 0)
    peers_fail ("the server said: %.*s", (int) length, line);
}

static void
take_batch (gpointer store, PeersBatch *batch)
{
  char count[32];

  snprintf (count, sizeof count, "*%" G_GSIZE_FORMAT "\r\n", batch->n);
  if (batch->multi)
    take_line (store, count);
  for (gsize i = 0; i < batch->n; i++)
    {
      if (batch->writes[i])
        take_line (store, "+OK\r\n");
      else
        batch->values[i] = take_value (store, batch);
    }
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
    "redis", 512, TRUE, open_store, send_batch, take_batch, close_store
  };

  return peers_main (&driver, argc, argv);
}
