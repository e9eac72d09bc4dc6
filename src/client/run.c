/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/run.h"

#include "client/report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How often to look whether all is well. */
#define LOOK_SECONDS 1

static void
fill_signals (sigset_t *set)
{
  sigemptyset (set);
  sigaddset (set, SIGHUP);
  sigaddset (set, SIGINT);
  sigaddset (set, SIGQUIT);
  sigaddset (set, SIGTERM);
  sigaddset (set, SIGCHLD);
}

/* In the child. */
static G_GNUC_NORETURN void
become (const CliRun *run, const sigset_t *mask)
{
  int why;

  sigprocmask (SIG_SETMASK, mask, NULL);
  if (run->inherited_fd >= 0)
    fcntl (run->inherited_fd, F_SETFD, 0);
  execvp (run->argv[0], run->argv);
  why = errno;
  cli_warn ("cannot run %s: %s", run->argv[0], g_strerror (why));
  _exit (why == ENOENT ? 127 : 126);
}

/* FALSE while it runs. */
static gboolean
has_ended (pid_t pid, int *status_out)
{
  int status;

  if (waitpid (pid, &status, WNOHANG) != pid)
    return FALSE;
  *status_out = WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status);
  return TRUE;
}

/* The terminal sends what is typed to all of its foreground processes. */
static void
hand_on (pid_t pid, const siginfo_t *info)
{
  if (info->si_code != SI_KERNEL)
    kill (pid, info->si_signo);
}

static int
await_end (const CliRun *run, pid_t pid, const sigset_t *signals)
{
  const struct timespec interval = { .tv_sec = LOOK_SECONDS };
  int status;

  while (!has_ended (pid, &status))
    {
      siginfo_t info;
      int signum = sigtimedwait (signals, &info, &interval);

      if (signum > 0 && signum != SIGCHLD)
        hand_on (pid, &info);
      else if (signum < 0)
        run->look (run->data);
    }
  return status;
}

int
cli_run (const CliRun *run, GError **error)
{
  sigset_t signals, mask;
  pid_t pid;
  int status;

  /* Whoever started us may ignore it, and then there would be no status. */
  signal (SIGCHLD, SIG_DFL);
  fill_signals (&signals);
  sigprocmask (SIG_BLOCK, &signals, &mask);
  fflush (stdout);
  pid = fork ();
  if (pid < 0)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot start a process: %s",
                   g_strerror (errno));
      sigprocmask (SIG_SETMASK, &mask, NULL);
      return -1;
    }
  if (pid == 0)
    become (run, &mask);
  status = await_end (run, pid, &signals);
  sigprocmask (SIG_SETMASK, &mask, NULL);
  return status;
}
