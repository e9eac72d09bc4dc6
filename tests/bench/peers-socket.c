/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "bench/peers-socket.h"

#include "bench/peers-work.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER_SIZE (64 * 1024)

typedef struct
{
  char *bytes;             /* never NULL */
  gsize size;
  gsize begin;
  gsize end;
} Buffer;

struct _PeersSocket
{
  int fd;
  Buffer out;
  Buffer in;
};

/* Makes room for `n` bytes behind the end. */
static void
make_room (Buffer *buffer, gsize n)
{
  if (buffer->size - buffer->end >= n)
    return;
  memmove (buffer->bytes, buffer->bytes + buffer->begin, buffer->end - buffer->begin);
  buffer->end -= buffer->begin;
  buffer->begin = 0;
  if (buffer->size - buffer->end < n)
    {
      buffer->size = MAX (2 * buffer->size, buffer->end + n);
      buffer->bytes = g_realloc (buffer->bytes, buffer->size);
    }
}

PeersSocket *
peers_socket_new (const char *path)
{
  PeersSocket *self = g_new0 (PeersSocket, 1);
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  self->out = (Buffer) { .bytes = g_malloc (BUFFER_SIZE), .size = BUFFER_SIZE };
  self->in = (Buffer) { .bytes = g_malloc (BUFFER_SIZE), .size = BUFFER_SIZE };
  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
    peers_fail ("the path is too long for a socket: %s", path);
  self->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (self->fd < 0 || connect (self->fd, (struct sockaddr *) &address, sizeof address) != 0)
    peers_fail ("cannot connect to %s: %s", path, g_strerror (errno));
  return self;
}

void
peers_socket_free (PeersSocket *self)
{
  close (self->fd);
  g_free (self->out.bytes);
  g_free (self->in.bytes);
  g_free (self);
}

char *
peers_socket_reserve (PeersSocket *self, gsize n)
{
  make_room (&self->out, n);
  return self->out.bytes + self->out.end;
}

void
peers_socket_wrote (PeersSocket *self, const char *end)
{
  self->out.end = end - self->out.bytes;
}

static void
receive_some (PeersSocket *self)
{
  gssize n;

  make_room (&self->in, BUFFER_SIZE);
  n = recv (self->fd, self->in.bytes + self->in.end, self->in.size - self->in.end, 0);
  if (n == 0)
    peers_fail ("the server closed the connection");
  if (n < 0 && errno != EINTR)
    peers_fail ("cannot receive: %s", g_strerror (errno));
  self->in.end += MAX (n, 0);
}

/* Receives meanwhile: a server that cannot send may not read either. */
static void
wait_for_room (PeersSocket *self)
{
  struct pollfd poll_fd = { .fd = self->fd, .events = POLLIN | POLLOUT };

  if (poll (&poll_fd, 1, -1) > 0 && (poll_fd.revents & ~POLLOUT) != 0)
    receive_some (self);
}

void
peers_socket_flush (PeersSocket *self)
{
  while (self->out.begin < self->out.end)
    {
      gssize n = send (self->fd, self->out.bytes + self->out.begin,
                       self->out.end - self->out.begin, MSG_DONTWAIT | MSG_NOSIGNAL);

      if (n >= 0)
        self->out.begin += n;
      else if (errno == EAGAIN)
        wait_for_room (self);
      else if (errno != EINTR)
        peers_fail ("cannot send: %s", g_strerror (errno));
    }
  self->out.begin = self->out.end = 0;
}

const char *
peers_socket_take (PeersSocket *self, gsize n)
{
  while (self->in.end - self->in.begin < n)
    receive_some (self);
  self->in.begin += n;
  return self->in.bytes + self->in.begin - n;
}

const char *
peers_socket_take_line (PeersSocket *self, gsize *length_out)
{
  gsize searched = 0;

  for (;;)
    {
      gsize length = self->in.end - self->in.begin;
      const char *begin = self->in.bytes + self->in.begin;
      const char *newline
        = length > searched ? memchr (begin + searched, '\n', length - searched) : NULL;

      if (newline != NULL)
        {
          *length_out = newline + 1 - begin;
          return peers_socket_take (self, *length_out);
        }
      searched = length;
      receive_some (self);
    }
}
