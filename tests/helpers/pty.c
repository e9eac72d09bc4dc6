/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* pty PROGRAM [ARGUMENT...]: runs a program on a terminal of its own.  What
 * comes on standard input is typed there, what appears there goes to standard
 * output; without echo, and with newlines as they are.  The end of the input is
 * not typed: that is ^D, \004.  Ends as the program does. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void
require (int done, const char *what)
{
  if (done)
    return;
  perror (what);
  exit (99);
}

/* Opens both ends. */
static int
open_terminal (int *slave_out)
{
  int master = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);
  struct termios settings;

  require (master >= 0 && grantpt (master) == 0 && unlockpt (master) == 0, "open a terminal");
  *slave_out = open (ptsname (master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  require (*slave_out >= 0, "open the terminal's other end");
  require (tcgetattr (*slave_out, &settings) == 0, "tcgetattr");
  settings.c_lflag &= ~(tcflag_t) ECHO;
  settings.c_oflag &= ~(tcflag_t) OPOST;
  require (tcsetattr (*slave_out, TCSANOW, &settings) == 0, "tcsetattr");
  return master;
}

static void
run_program (int slave, char **argv)
{
  setsid ();
  ioctl (slave, TIOCSCTTY, 0);
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    require (dup2 (slave, fd) == fd, "dup2");
  execvp (argv[0], argv);
  require (0, argv[0]);
}

/* Copies what is there; 0 at the end. */
static int
copy (int from, int to)
{
  char buffer[4096];
  ssize_t n = read (from, buffer, sizeof buffer);

  if (n < 0 && errno == EINTR)
    return 1;
  if (n <= 0)
    return 0;
  for (ssize_t done = 0, written; done < n; done += written)
    {
      written = write (to, buffer + done, (size_t) (n - done));
      require (written >= 0, "write");
    }
  return 1;
}

/* Until nobody has the terminal any more. */
static void
relay (int master)
{
  struct pollfd polls[] = { { .fd = master, .events = POLLIN },
                            { .fd = STDIN_FILENO, .events = POLLIN } };

  for (;;)
    {
      if (poll (polls, 2, -1) < 0)
        continue;
      if (polls[0].revents != 0 && !copy (master, STDOUT_FILENO))
        return;
      if (polls[1].revents != 0 && !copy (STDIN_FILENO, master))
        polls[1].fd = -1;
    }
}

int
main (int argc, char **argv)
{
  int slave, status;
  int master = open_terminal (&slave);
  pid_t child = fork ();

  require (argc > 1 && child >= 0, "fork");
  if (child == 0)
    run_program (slave, argv + 1);
  close (slave);
  relay (master);
  require (waitpid (child, &status, 0) == child, "waitpid");
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}
