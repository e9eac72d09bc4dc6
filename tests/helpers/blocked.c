/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* blocked NAME HOW N: a client of the server NAME with N threads that all wait
 * for it, with no time-out, while it ends.
 *
 *   kill   all wait for the next response; the server is killed by SIGKILL
 *   stuck  the server is stopped (SIGSTOP), and the threads wait for an answer,
 *          for room for a request, for a session, or for any response; then it
 *          is killed by SIGKILL
 *   quit   all wait for the next response; the server is asked to quit
 *
 * Prints how each wait ended, "WAIT: ERROR", sorted and counted, and "longest:
 * N ms" after the server's end, for the slowest. */

#define _GNU_SOURCE

#include "helper.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

typedef enum
{
  WAIT_RESPONSE,
  WAIT_ANSWER,
  WAIT_ROOM,
  WAIT_SESSION,
  N_WAITS
} Wait;

static const char *const wait_names[N_WAITS] = { "response", "answer", "room", "session" };

typedef struct
{
  Wait wait;
  ShmkvClient *client;
  ShmkvSession *session;
  GThread *thread;
  GError *error;
  gint64 ended_us;
} Waiter;

static void
wait_in (Waiter *waiter)
{
  ShmkvCompletion completion;
  gboolean found;
  guint64 value;

  switch (waiter->wait)
    {
    case WAIT_RESPONSE:
      while (shmkv_session_take (waiter->session, &completion, 1, -1, &waiter->error) >= 0)
        ;
      break;
    case WAIT_ANSWER:
      while (shmkv_session_read (waiter->session, 1, &value, &found, &waiter->error))
        ;
      break;
    case WAIT_ROOM:
      while (shmkv_session_submit_insert (waiter->session, 1, 1, SHMKV_FLAG_NO_RESPONSE, NULL,
                                          &waiter->error)
             != 0)
        ;
      break;
    default:
      while ((waiter->session = shmkv_session_new (waiter->client, &waiter->error)) != NULL)
        shmkv_session_free (waiter->session);
      break;
    }
}

static gpointer
run (gpointer data)
{
  Waiter *waiter = data;

  wait_in (waiter);
  waiter->ended_us = g_get_monotonic_time ();
  return NULL;
}

/* How many threads of process `pid` are in one of `states`; of 'S', 'T', ... */
static guint
count_threads (guint pid, const char *states)
{
  g_autofree char *path = g_strdup_printf ("/proc/%u/task", pid);
  DIR *tasks = opendir (path);
  struct dirent *entry;
  guint n = 0;

  helper_require (tasks != NULL, path, NULL);
  while ((entry = readdir (tasks)) != NULL)
    {
      g_autofree char *file = g_strdup_printf ("%s/%s/stat", path, entry->d_name);
      g_autofree char *text = NULL;
      const char *state;

      if (entry->d_name[0] == '.' || !g_file_get_contents (file, &text, NULL, NULL))
        continue;
      state = strrchr (text, ')');
      if (state != NULL && strchr (states, state[2]) != NULL)
        n++;
    }
  closedir (tasks);
  return n;
}

static void
await_threads (guint pid, const char *states, guint n)
{
  gint64 deadline = g_get_monotonic_time () + 30 * G_USEC_PER_SEC;

  while (count_threads (pid, states) < n)
    {
      helper_require (g_get_monotonic_time () < deadline, "the threads do not sleep", NULL);
      g_usleep (1000);
    }
}

static void
send_signal (guint pid, int signum)
{
  helper_require (kill ((pid_t) pid, signum) == 0, g_strerror (errno), NULL);
}

static void
start (Waiter *waiters, guint n, ShmkvClient *client, gboolean stuck)
{
  for (guint i = 0; i < n; i++)
    {
      waiters[i] = (Waiter) { .wait = stuck ? (Wait) (i % N_WAITS) : WAIT_RESPONSE,
                              .client = client };
      if (waiters[i].wait != WAIT_SESSION)
        waiters[i].session = helper_open (client);
    }
  if (stuck)
    {
      send_signal (shmkv_client_get_server_pid (client), SIGSTOP);
      await_threads (shmkv_client_get_server_pid (client), "T", 1);
    }
  for (guint i = 0; i < n; i++)
    waiters[i].thread = g_thread_new ("waiter", run, &waiters[i]);
  await_threads ((guint) getpid (), "S", n);
}

/* Returns when the server has ended. */
static gint64
end_server (ShmkvClient *client, gboolean quit)
{
  GError *error = NULL;

  if (quit)
    helper_require (shmkv_client_quit (client, &error), "quit", &error);
  else
    send_signal (shmkv_client_get_server_pid (client), SIGKILL);
  return g_get_monotonic_time ();
}

static void
report (Waiter *waiters, guint n, gint64 since_us)
{
  gint64 longest_us = 0;

  for (Wait wait = 0; wait < N_WAITS; wait++)
    for (int code = 0; code <= SHMKV_ERROR_SYSTEM; code++)
      {
        GError sample = { .domain = SHMKV_ERROR, .code = code };
        guint count = 0;

        for (guint i = 0; i < n; i++)
          count += waiters[i].wait == wait && waiters[i].error->code == code;
        if (count > 0)
          helper_say ("%s: %s %u", wait_names[wait], helper_error_name (&sample), count);
      }
  for (guint i = 0; i < n; i++)
    longest_us = MAX (longest_us, waiters[i].ended_us - since_us);
  helper_say ("longest: %d ms", (int) (longest_us / 1000));
}

int
main (int argc, char **argv)
{
  guint n = argc == 4 ? (guint) atoi (argv[3]) : 0;
  g_autofree Waiter *waiters = g_new0 (Waiter, n + 1);
  ShmkvClient *client = helper_attach (argv[1]);
  gint64 since_us;

  helper_require (n > 0, "usage: blocked NAME HOW N", NULL);
  shmkv_client_set_timeout (client, -1);
  start (waiters, n, client, g_str_equal (argv[2], "stuck"));
  since_us = end_server (client, g_str_equal (argv[2], "quit"));
  for (guint i = 0; i < n; i++)
    g_thread_join (waiters[i].thread);
  report (waiters, n, since_us);

  for (guint i = 0; i < n; i++)
    {
      g_clear_pointer (&waiters[i].session, shmkv_session_free);
      g_clear_error (&waiters[i].error);
    }
  shmkv_client_unref (client);
  return EXIT_SUCCESS;
}
