/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* forks NAME HOW: a client of the server NAME that has a session, and a child.
 *
 *   check   the child sees that it cannot use what its parent made, and that a
 *           client of its own works; the parent that its own still works.  Says
 *           "ok", or what is wrong
 *   fork    says "ready PID" when there is a child, which lives until it is told
 *           a line; the parent waits to be killed
 *   exec    the same with a child that runs another program */

#define _GNU_SOURCE

#include "helper.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ends the program where a call did anything but fail with FORKED. */
static void
require_forked (gboolean done, const char *call, GError **error)
{
  helper_require (!done && g_error_matches (*error, SHMKV_ERROR, SHMKV_ERROR_FORKED), call, error);
  g_clear_error (error);
}

static void
check_inherited (ShmkvClient *client, ShmkvSession *session)
{
  const ShmkvRequest request = { .op = SHMKV_OP_PING };
  ShmkvCompletion completion;
  GError *error = NULL;
  gboolean done;

  done = shmkv_client_ping (client, &error);
  require_forked (done, "client ping", &error);
  done = shmkv_client_insert (client, 1, 2, NULL, &error);
  require_forked (done, "client insert", &error);
  done = shmkv_client_stats (client, &error) != NULL;
  require_forked (done, "client stats", &error);
  done = shmkv_session_new (client, &error) != NULL;
  require_forked (done, "session new", &error);
  done = shmkv_session_submit_read (session, 1, 0, NULL, &error) != 0;
  require_forked (done, "submit", &error);
  done = shmkv_session_flush (session, &error);
  require_forked (done, "flush", &error);
  done = shmkv_session_take (session, &completion, 1, 0, &error) >= 0;
  require_forked (done, "take", &error);
  done = shmkv_session_call (session, &request, &completion, &error);
  require_forked (done, "call", &error);
}

static void
check_own (const char *name)
{
  ShmkvClient *client = helper_attach (name);
  GError *error = NULL;

  helper_require (shmkv_client_ping (client, &error), "ping of the child's own client", &error);
  shmkv_client_unref (client);
}

/* In the child; returns its exit status. */
static int
check_child (const char *name, ShmkvClient *client, ShmkvSession *session)
{
  check_inherited (client, session);
  check_own (name);
  shmkv_session_free (session);
  shmkv_client_unref (client);
  check_own (name);
  return EXIT_SUCCESS;
}

static int
check (const char *name)
{
  ShmkvClient *client = helper_attach (name);
  ShmkvSession *session = helper_open (client);
  GError *error = NULL;
  gboolean found = FALSE;
  guint64 value = 0;
  int status;
  pid_t child;

  helper_require (shmkv_session_insert (session, 7, 8, NULL, &error), "insert", &error);
  child = fork ();
  if (child == 0)
    return check_child (name, client, session);
  helper_require (waitpid (child, &status, 0) == child && status == 0, "the child", NULL);
  helper_require (shmkv_session_read (session, 7, &value, &found, &error), "read", &error);
  helper_require (found && value == 8, "the parent's session", NULL);
  helper_require (shmkv_client_ping (client, &error), "the parent's client", &error);
  shmkv_session_free (session);
  shmkv_client_unref (client);
  helper_say ("ok");
  return EXIT_SUCCESS;
}

static void
wait_for_line (void)
{
  int c;

  do
    c = getchar ();
  while (c != EOF && c != '\n');
}

/* `ready` is closed when the child is what it will be. */
static void
live_as_child (gboolean exec, int ready)
{
  if (exec)
    {
      /* Closed by the exec, as descriptors of the library are. */
      execl ("/bin/sh", "sh", "-c", "read line", (char *) NULL);
      _exit (99);
    }
  close (ready);
  wait_for_line ();
  _exit (EXIT_SUCCESS);
}

static int
leave_child (const char *name, gboolean exec)
{
  int ready[2];
  pid_t child;
  char byte;

  helper_open (helper_attach (name));
  helper_require (pipe2 (ready, O_CLOEXEC) == 0, "pipe", NULL);
  child = fork ();
  if (child == 0)
    live_as_child (exec, ready[1]);
  close (ready[1]);
  helper_require (read (ready[0], &byte, 1) == 0, "the child", NULL);
  helper_say ("ready %d", (int) child);
  pause ();
  return EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  helper_require (argc == 3, "usage: forks NAME HOW", NULL);
  if (g_str_equal (argv[2], "check"))
    return check (argv[1]);
  return leave_child (argv[1], g_str_equal (argv[2], "exec"));
}
