/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/notify.h"
#include "server/options.h"
#include "server/server.h"
#include "transport/segment.h"

#include <errno.h>
#include <glib-unix.h>
#include <locale.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Exit statuses; EXIT_FAILURE is for everything else. */
#define EXIT_USAGE 2
#define EXIT_IN_USE 3

/* A dead client's lane is free again after at most this and the reaping. */
#define REAP_INTERVAL_MS 250

typedef struct
{
  GMainLoop *loop;
  ShmkvServer *server;
  guint listening;                  /* the source of the regions' events; 0: none at present */
  const char *reason;               /* why it ends */
  int status;
} Main;

static gboolean
on_quit (gpointer data)
{
  Main *main_data = data;

  g_main_loop_quit (main_data->loop);
  return G_SOURCE_REMOVE;
}

/* By a worker, perhaps before the loop runs. */
static void
on_quit_request (gpointer data)
{
  g_idle_add (on_quit, data);
}

static gboolean
on_terminate (gpointer data)
{
  Main *main_data = data;

  main_data->reason = "was asked to by a signal";
  g_main_loop_quit (main_data->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_hangup (gpointer data)
{
  g_message ("there is no configuration to reload: nothing changed");
  return G_SOURCE_CONTINUE;
}

static gboolean
on_usr1 (gpointer data)
{
  Main *main_data = data;

  shmkv_server_log_stats (main_data->server);
  return G_SOURCE_CONTINUE;
}

static void
look_after_regions (Main *main_data)
{
  g_autoptr (GError) error = NULL;

  if (shmkv_server_look_after_regions (main_data->server, &error))
    return;
  g_warning ("%s", error->message);
  main_data->reason = "lost its name to another server";
  main_data->status = EXIT_IN_USE;
  g_main_loop_quit (main_data->loop);
}

/* Then not until the next reaping: whoever may write to the regions can bring about
 * such events without end, and is not to have us do nothing else. */
static gboolean
on_regions_touched (gint fd, GIOCondition condition, gpointer data)
{
  Main *main_data = data;

  main_data->listening = 0;
  look_after_regions (main_data);
  return G_SOURCE_REMOVE;
}

static void
listen_to_regions (Main *main_data)
{
  int fd = shmkv_server_get_events_fd (main_data->server);

  if (fd >= 0 && main_data->listening == 0)
    main_data->listening = g_unix_fd_add (fd, G_IO_IN, on_regions_touched, main_data);
}

static gboolean
on_reap (gpointer data)
{
  Main *main_data = data;

  look_after_regions (main_data);
  shmkv_server_reap (main_data->server);
  listen_to_regions (main_data);
  return G_SOURCE_CONTINUE;
}

/* By whichever thread touched memory that is not there any more; see
 * transport/rescue.h.  Where the memory is not of ours, it ends the process as if
 * there were no handler. */
static void
on_bus_error (int number, siginfo_t *info, void *context)
{
  if (shmkv_rescue (info->si_addr))
    return;
  signal (SIGBUS, SIG_DFL);
  raise (SIGBUS);
}

static void
catch_bus_errors (void)
{
  struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_RESTART };

  sigaction (SIGBUS, &action, NULL);
}

static void
watch_events (Main *main_data)
{
  /* Whoever reads what Print prints may go away. */
  signal (SIGPIPE, SIG_IGN);
  g_unix_signal_add (SIGTERM, on_terminate, main_data);
  g_unix_signal_add (SIGINT, on_terminate, main_data);
  g_unix_signal_add (SIGHUP, on_hangup, main_data);
  g_unix_signal_add (SIGUSR1, on_usr1, main_data);
  g_timeout_add (REAP_INTERVAL_MS, on_reap, main_data);
}

static void
log_start (const ShmkvServer *server, const ShmkvServerOptions *options)
{
  guint64 size = shmkv_server_get_shared_size (server);
  g_autofree char *buckets = g_strdup_printf ("%u", options->buckets);
  g_autofree char *workers = g_strdup_printf ("%u", options->workers);
  g_autofree char *sessions = g_strdup_printf ("%u", options->sessions);
  g_autofree char *bytes = g_strdup_printf ("%" G_GUINT64_FORMAT, size);

  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "SHMKV_NAME", options->name,
                    "SHMKV_BUCKETS", buckets, "SHMKV_WORKERS", workers, "SHMKV_SESSIONS", sessions,
                    "SHMKV_SHARED_BYTES", bytes, "MESSAGE",
                    "server \"%s\" is ready: %s buckets, %s %s, %s sessions, %s bytes of shared "
                    "memory committed",
                    options->name, buckets, workers, options->workers == 1 ? "worker" : "workers",
                    sessions, bytes);
}

static int
fail_to_start (const GError *error)
{
  gboolean in_use = g_error_matches (error, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_IN_USE);

  fprintf (stderr, "shmkv-server: %s\n", error->message);
  return in_use ? EXIT_IN_USE : EXIT_FAILURE;
}

static gpointer
do_nothing (gpointer data)
{
  return data;
}

/* GLib has a thread of its own for signals, and ends the program, with a dump,
 * where it cannot have it. */
static gboolean
can_start_threads (GError **error)
{
  GThread *thread = g_thread_try_new ("first", do_nothing, NULL, error);

  if (thread == NULL)
    return FALSE;
  g_thread_join (thread);
  return TRUE;
}

static int
serve (const ShmkvServerOptions *options)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  Main main_data = { .loop = loop, .reason = "was asked to by a client",
                     .status = EXIT_SUCCESS };

  if (!can_start_threads (&error))
    {
      fprintf (stderr, "shmkv-server: cannot start a thread: %s\n", error->message);
      return EXIT_FAILURE;
    }
  catch_bus_errors ();
  /* First, so that no signal ends us with the regions left behind. */
  watch_events (&main_data);
  main_data.server = shmkv_server_new (options, on_quit_request, &main_data, &error);
  if (main_data.server == NULL)
    return fail_to_start (error);
  listen_to_regions (&main_data);
  log_start (main_data.server, options);
  shmkv_notify ("READY=1");

  g_main_loop_run (loop);

  shmkv_notify ("STOPPING=1");
  g_message ("server \"%s\" ends: it %s", options->name, main_data.reason);
  shmkv_server_free (main_data.server);
  return main_data.status;
}

static int
show (char *text_to_free)
{
  g_autofree char *text = text_to_free;

  if (fputs (text, stdout) != EOF && fclose (stdout) == 0)
    return EXIT_SUCCESS;
  fprintf (stderr, "shmkv-server: cannot write to standard output: %s\n", g_strerror (errno));
  return EXIT_FAILURE;
}

/* No worker waits for a slow reader of the log: a pipe that takes a write has
 * room for PIPE_BUF bytes. */
static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  static GMutex mutex;
  struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
  GLogWriterOutput output = G_LOG_WRITER_HANDLED;

  g_mutex_lock (&mutex);
  if (poll (&ready, 1, 0) != 0)
    output = g_log_writer_default (level, fields, n_fields, data);
  g_mutex_unlock (&mutex);
  return output;
}

/* What one worker frees, another is to use: with an arena for every thread, as
 * glibc would have it, memory for values is kept in as many places. */
static void
share_memory (void)
{
#ifdef M_ARENA_MAX
  mallopt (M_ARENA_MAX, 1);
#endif
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  ShmkvOptions options;

  share_memory ();
  setlocale (LC_ALL, "");
  g_set_prgname ("shmkv-server");
  /* Standard output is for what Print prints. */
  g_log_writer_default_set_use_stderr (TRUE);
  g_log_set_writer_func (write_log, NULL, NULL);

  if (!shmkv_options_parse (&argc, &argv, &options, &error))
    {
      fprintf (stderr, "shmkv-server: %s\nTry 'shmkv-server --help'.\n", error->message);
      return EXIT_USAGE;
    }
  if (options.text != NULL)
    return show (options.text);
  if (!options.has_buckets && isatty (STDIN_FILENO))
    options.server.buckets = shmkv_options_ask_buckets ();
  return serve (&options.server);
}
