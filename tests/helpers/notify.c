/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* notify SOCKET PROGRAM [ARGUMENT...]: runs a program as a service manager does
 * that wants to be told when it is ready.  SOCKET is a path, or @NAME in the
 * abstract namespace.  Prints "process PID" first and "notified: TEXT" whenever
 * the program says TEXT.  Ends as the program does. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void
require (int done, const char *what)
{
  if (done)
    return;
  perror (what);
  exit (99);
}

static int
listen_at (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  size_t length = strlen (path);
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  require (fd >= 0 && length < sizeof address.sun_path, "open a socket");
  memcpy (address.sun_path, path, length);
  if (path[0] == '@')
    address.sun_path[0] = '\0';
  require (bind (fd, (const struct sockaddr *) &address,
                 (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length)) == 0,
           path);
  return fd;
}

static pid_t
start (const char *path, char **argv, int alive)
{
  pid_t child = fork ();

  require (child >= 0, "fork");
  if (child > 0)
    return child;
  /* Stays open as long as the program runs. */
  fcntl (alive, F_SETFD, 0);
  setenv ("NOTIFY_SOCKET", path, 1);
  execvp (argv[0], argv);
  require (0, argv[0]);
  return -1;
}

static void
hear (int fd)
{
  char text[256];
  ssize_t n = recv (fd, text, sizeof text - 1, MSG_DONTWAIT);

  if (n < 0)
    return;
  printf ("notified: %.*s\n", (int) n, text);
  fflush (stdout);
}

int
main (int argc, char **argv)
{
  struct pollfd polls[2] = { { .events = POLLIN }, { .events = POLLIN } };
  int alive[2], status;
  pid_t child;

  require (argc > 2, "usage: notify SOCKET PROGRAM");
  require (pipe2 (alive, O_CLOEXEC) == 0, "pipe");
  polls[0].fd = listen_at (argv[1]);
  polls[1].fd = alive[0];
  child = start (argv[1], argv + 2, alive[1]);
  close (alive[1]);
  printf ("process %d\n", (int) child);
  fflush (stdout);

  while (polls[1].revents == 0)
    if (poll (polls, 2, -1) > 0 && polls[0].revents != 0)
      hear (polls[0].fd);
  /* What it said last. */
  hear (polls[0].fd);
  require (waitpid (child, &status, 0) == child, "waitpid");
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}
