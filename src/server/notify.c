/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/notify.h"

#include <errno.h>
#include <glib.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void
shmkv_notify (const char *state)
{
  const char *path = g_getenv ("NOTIFY_SOCKET");
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  size_t length;
  int fd;

  if (path == NULL || (path[0] != '/' && path[0] != '@'))
    return;
  length = strlen (path);
  if (length >= sizeof address.sun_path)
    return;
  memcpy (address.sun_path, path, length);
  /* The abstract namespace. */
  if (path[0] == '@')
    address.sun_path[0] = '\0';

  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0
      || sendto (fd, state, strlen (state), MSG_NOSIGNAL, (const struct sockaddr *) &address,
                 (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length))
           < 0)
    g_warning ("cannot notify the service manager: %s", g_strerror (errno));
  if (fd >= 0)
    close (fd);
}
