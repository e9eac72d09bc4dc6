/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "process.h"

#include "transport/wait.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_US 200

/* ------------------------------------------------------------------- shared */

Shared *
shared_new (int *fd_out)
{
  int fd = memfd_create ("crash", 0);
  void *base;

  g_assert (fd >= 0 && ftruncate (fd, sizeof (Shared)) == 0);
  base = mmap (NULL, sizeof (Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  g_assert (base != MAP_FAILED);
  *fd_out = fd;
  return base;
}

void
shared_fail (Shared *shared, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  fprintf (stderr, "failure: %s\n", text);
  if (atomic_fetch_add (&shared->failures, 1) == 0)
    g_strlcpy (shared->failure, text, sizeof shared->failure);
  atomic_store (&shared->stop, TRUE);
}

gboolean
shared_goes_on (gpointer data)
{
  Shared *shared = data;

  return !atomic_load (&shared->stop);
}

void
shared_add (_Atomic guint64 *count, guint64 n)
{
  atomic_fetch_add (count, n);
}

void
shared_max (_Atomic gint64 *max, gint64 value)
{
  gint64 seen = atomic_load (max);

  while (seen < value && !atomic_compare_exchange_weak (max, &seen, value))
    ;
}

void
shared_note_death (Shared *shared, pid_t pid, gint64 when_ns)
{
  Death *death = &shared->deaths[atomic_fetch_add (&shared->n_deaths, 1) % N_DEATHS];

  atomic_store (&death->pid, 0);
  atomic_store (&death->when_ns, when_ns);
  atomic_store (&death->pid, (guint) pid);
}

gboolean
shared_find_death (Shared *shared, guint pid, gint64 *when_ns_out)
{
  for (guint i = 0; i < N_DEATHS; i++)
    if (atomic_load (&shared->deaths[i].pid) == pid)
      {
        *when_ns_out = atomic_load (&shared->deaths[i].when_ns);
        return TRUE;
      }
  return FALSE;
}

/* ----------------------------------------------------------------- processes */

/* A child, which does not outlive its parent.  0 in the child. */
static pid_t
begin_child (void)
{
  pid_t parent = getpid ();
  pid_t pid = fork ();

  g_assert (pid >= 0);
  if (pid > 0)
    return pid;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (1);
  return 0;
}

Process
process_fork (void (*run) (Shared *, gpointer), Shared *shared, gpointer data)
{
  Process process = { .pid = begin_child () };

  if (process.pid != 0)
    return process;
  while (!atomic_load (&shared->go) && shared_goes_on (shared))
    g_usleep (POLL_US);
  if (shared_goes_on (shared))
    run (shared, data);
  fflush (NULL);
  _exit (0);
}

/* Of the directory in which this program is. */
static char *
program_path (const char *program)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *directory = NULL;

  g_assert (self != NULL);
  directory = g_path_get_dirname (self);
  return g_build_filename (directory, program, NULL);
}

/* What a server prints and logs is of no use, unless one looks for a fault. */
static void
silence (void)
{
  int fd = open ("/dev/null", O_RDWR);

  dup2 (fd, STDIN_FILENO);
  dup2 (fd, STDOUT_FILENO);
  if (g_getenv ("CRASH_VERBOSE") == NULL)
    dup2 (fd, STDERR_FILENO);
  close (fd);
}

static Process
start (const char *program, const char *crash, gboolean silent, char **argv)
{
  g_autofree char *path = program_path (program);
  Process process = { .pid = begin_child () };

  if (process.pid != 0)
    return process;
  if (silent)
    silence ();
  unsetenv ("SHMKV_CRASH");
  if (crash != NULL)
    setenv ("SHMKV_CRASH", crash, 1);
  argv[0] = path;
  execv (path, argv);
  _exit (127);
}

Process
process_start_program (const char *program, const char *name, const char *crash, guint n_sessions)
{
  g_autofree char *name_option = g_strdup_printf ("--name=%s", name);
  g_autofree char *sessions_option = g_strdup_printf ("--sessions=%u", n_sessions);
  char *argv[] = { NULL, name_option, sessions_option, (char *) "--ring-size=16K",
                   (char *) "--buckets=500", (char *) "--max-workers=6", NULL };

  return start (program, crash, TRUE, argv);
}

Process
process_start_server (const char *name, const char *crash, guint n_sessions)
{
  return process_start_program ("crash-server", name, crash, n_sessions);
}

Process
process_start_shell (const char *line, const char *name, guint64 seed)
{
  Process process = { .pid = begin_child () };
  g_autofree char *seed_text = NULL;

  if (process.pid != 0)
    return process;
  seed_text = g_strdup_printf ("%" G_GUINT64_FORMAT, seed);
  setenv ("SHMKV_NAME", name, 1);
  setenv ("SEED", seed_text, 1);
  execl ("/bin/sh", "sh", "-c", line, (char *) NULL);
  _exit (127);
}

Process
process_start_client (const char *name, const char *crash, Role role, guint64 seed, guint id,
                      int fd, guint slot)
{
  gsize offset = offsetof (Shared, progress) + slot * sizeof (PlayProgress);
  g_autofree char *role_text = g_strdup_printf ("%d", (int) role);
  g_autofree char *seed_text = g_strdup_printf ("%" G_GUINT64_FORMAT, seed);
  g_autofree char *id_text = g_strdup_printf ("%u", id);
  g_autofree char *fd_text = g_strdup_printf ("%d", fd);
  g_autofree char *offset_text = g_strdup_printf ("%" G_GSIZE_FORMAT, offset);
  char *argv[] = { NULL, (char *) name, role_text, seed_text, id_text, fd_text, offset_text, NULL };

  return start ("crash-client", crash, FALSE, argv);
}

gboolean
process_has_ended (Process *process)
{
  if (!process->ended && waitpid (process->pid, &process->status, WNOHANG) == process->pid)
    {
      process->ended = TRUE;
      process->ended_ns = shmkv_now_ns ();
    }
  return process->ended;
}

gboolean
process_await_end (Process *process, gint64 timeout_us)
{
  gint64 deadline = g_get_monotonic_time () + timeout_us;

  while (!process_has_ended (process))
    {
      if (g_get_monotonic_time () >= deadline)
        return FALSE;
      g_usleep (POLL_US);
    }
  return TRUE;
}

gboolean
process_was_killed (const Process *process)
{
  return process->ended && WIFSIGNALED (process->status) && WTERMSIG (process->status) == SIGKILL;
}

gboolean
process_succeeded (const Process *process)
{
  return process->ended && WIFEXITED (process->status) && WEXITSTATUS (process->status) == 0;
}

char *
process_describe_end (const Process *process)
{
  if (!process->ended)
    return g_strdup ("still runs");
  if (WIFSIGNALED (process->status))
    return g_strdup_printf ("ended by signal %d", WTERMSIG (process->status));
  return g_strdup_printf ("ended with status %d", WEXITSTATUS (process->status));
}

void
process_stop (Process *process)
{
  int status;

  if (process->ended)
    return;
  kill (process->pid, SIGSTOP);
  if (waitpid (process->pid, &status, WUNTRACED) != process->pid || WIFSTOPPED (status))
    return;
  process->status = status;
  process->ended = TRUE;
  process->ended_ns = shmkv_now_ns ();
}

void
process_kill (Process *process)
{
  if (!process->ended)
    kill (process->pid, SIGKILL);
  process_await_end (process, PATIENCE_US);
}

/* ------------------------------------------------------------------- servers */

gboolean
is_gone (const GError *error)
{
  return g_error_matches (error, SHMKV_ERROR, SHMKV_ERROR_NO_SERVER)
         || g_error_matches (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE);
}

ShmkvClient *
process_attach (const char *name, Process *server, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_autoptr (GError) local_error = NULL;
      gboolean ended = process_has_ended (server);
      ShmkvClient *client = shmkv_client_new (name, &local_error);

      if (client != NULL)
        {
          shmkv_client_set_timeout (client, PATIENCE_US);
          return client;
        }
      if (ended || !is_gone (local_error) || g_get_monotonic_time () >= deadline)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return NULL;
        }
      g_usleep (POLL_US);
    }
}

gboolean
is_clean (const char *name, GError **error)
{
  g_autofree char *prefix = g_strdup_printf ("shmkv.%s.", name);
  g_autoptr (GDir) directory = g_dir_open ("/dev/shm", 0, error);
  const char *entry;

  if (directory == NULL)
    return FALSE;
  while ((entry = g_dir_read_name (directory)) != NULL)
    if (g_str_has_prefix (entry, prefix))
      {
        g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG, "/dev/shm/%s is left", entry);
        return FALSE;
      }
  return TRUE;
}

/* ---------------------------------------------------------------- statistics */

static gboolean
is_named (const ShmkvDatum *key, const char *name)
{
  return key->length == strlen (name) && memcmp (key->bytes, name, key->length) == 0;
}

gboolean
get_stat (ShmkvClient *client, const char *stat, guint64 *number_out, GError **error)
{
  g_autoptr (ShmkvPairs) stats = shmkv_client_stats (client, error);

  if (stats == NULL)
    return FALSE;
  for (gsize i = 0; i < shmkv_pairs_get_length (stats); i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (stats, i, &key, &value);
      if (is_named (&key, stat))
        {
          *number_out = value.integer;
          return TRUE;
        }
    }
  g_assert_not_reached ();
}

gboolean
has_session (ShmkvPairs *sessions, pid_t pid)
{
  static const char suffix[] = ".client_pid";
  const gsize n = sizeof suffix - 1;

  for (gsize i = 0; i < shmkv_pairs_get_length (sessions); i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (sessions, i, &key, &value);
      if (key.length > n && memcmp (key.bytes + key.length - n, suffix, n) == 0
          && value.integer == (guint64) pid)
        return TRUE;
    }
  return FALSE;
}

gboolean
check_owned (ShmkvClient *client, guint id, GError **error)
{
  g_autofree char *prefix = g_strdup_printf ("owned:%u:", id);
  ShmkvDatum datum = shmkv_string (prefix);
  g_autoptr (ShmkvScan) scan = shmkv_scan_new (client, &datum, SHMKV_SCAN_KEYS_ONLY);
  g_autoptr (ShmkvPairs) pairs = NULL;

  if (!shmkv_scan_next (scan, &pairs, error))
    return FALSE;
  if (pairs == NULL)
    return TRUE;
  g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG,
               "%" G_GSIZE_FORMAT " keys of the dead session of client %u are there",
               shmkv_pairs_get_length (pairs), id);
  return FALSE;
}
