/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "soak.h"

#include "bystander.h"
#include "client/random.h"
#include "killer.h"
#include "transport/wait.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N_SESSIONS 128
#define N_FOLLOWERS 4
#define POLL_US 20000

/* Before the server's memory counts as what it is to stay. */
#define WARM_UP_SECONDS 2.0

/* The server is stopped about so often, and for so long. */
#define STOP_EVERY_US 1500000
#define STOP_US 20000

typedef struct
{
  Shared *shared;
  const SoakOptions *options;
  int fd;
  guint64 random;
  Process server;
  ShmkvClient *client;
  ShmkvSession *session;
  GArray *children;                 /* Process */
  GArray *loads;                    /* Process */
  gint64 begin_us;
  gint64 next_stop_us;
  gint64 next_report_us;
  guint n_fds;                      /* of the server, at the beginning */
  double rss, first_rss, max_rss;   /* MiB; `first_rss` 0: it still warms up */
  guint max_fds;
  guint64 sessions, max_sessions;
  double last_latency, max_latency; /* p99.9 of an interval, ms */
  guint n_intervals;
  CliHistogram seen;                /* of the bystanders' latency, up to the last report */
} Soak;

static double
elapsed (const Soak *soak)
{
  return (double) (g_get_monotonic_time () - soak->begin_us) / G_USEC_PER_SEC;
}

/* ----------------------------------------------------------------- what it uses */

static guint
count_fds (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int) pid);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (directory != NULL && g_dir_read_name (directory) != NULL)
    n++;
  return n;
}

/* In MiB. */
static double
resident_memory (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", (int) pid);
  g_autofree char *text = NULL;
  char *end;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  g_ascii_strtoull (text, &end, 10);
  return (double) g_ascii_strtoull (end, NULL, 10) * (double) sysconf (_SC_PAGESIZE) / (1 << 20);
}

static guint64
count_checked (const Shared *shared)
{
  guint64 n = 0;

  for (guint i = 0; i < N_PROGRESS; i++)
    n += atomic_load (&shared->progress[i].checked);
  return n;
}

static guint64
count_kills (const Shared *shared)
{
  return atomic_load (&shared->client_kills) + atomic_load (&shared->server_kills);
}

/* -------------------------------------------------------------------- children */

static void
add_child (Soak *soak, void (*run) (Shared *, gpointer), gpointer data)
{
  Process child = process_fork (run, soak->shared, data);

  g_array_append_val (soak->children, child);
}

static void
add_bystander (Soak *soak, void (*run) (Shared *, gpointer), guint number)
{
  Bystander bystander = { .name = soak->options->name, .seed = soak->options->seed,
                          .number = number };

  /* The child has its own copy. */
  add_child (soak, run, &bystander);
}

static void
add_killer (Soak *soak, void (*run) (Shared *, gpointer), guint number, guint64 n_kills)
{
  Killer killer = { .name = soak->options->name, .seed = cli_random_next (&soak->random),
                    .fd = soak->fd, .at_once = soak->options->victims, .n_kills = n_kills,
                    .number = number };

  add_child (soak, run, &killer);
}

/* Before this process has anything to do with a server: children have nothing of
 * it then. */
static void
start_children (Soak *soak)
{
  guint n = soak->options->bystanders;

  for (guint i = 0; i < n; i++)
    add_bystander (soak, bystander_run, i);
  add_bystander (soak, bystander_watch, n);
  add_bystander (soak, bystander_change_workers, n + 1);
  add_bystander (soak, bystander_look, n + 2);
  add_bystander (soak, bystander_walk, n + 3);
  if (soak->options->victims == 0)
    return;
  add_killer (soak, killer_of_clients, 0, soak->options->client_kills);
  add_killer (soak, killer_of_servers, 0, soak->options->server_kills);
  for (guint i = 0; i < N_FOLLOWERS; i++)
    add_killer (soak, killer_follow, i, 0);
}

static void
start_loads (Soak *soak)
{
  for (guint i = 0; soak->options->loads != NULL && soak->options->loads[i] != NULL; i++)
    {
      Process load = process_start_shell (soak->options->loads[i], soak->options->name,
                                          cli_random_next (&soak->random));

      g_array_append_val (soak->loads, load);
    }
}

static gboolean
start (Soak *soak)
{
  g_autoptr (GError) error = NULL;

  soak->server = process_start_program ("../../shmkv-server", soak->options->name, NULL,
                                        N_SESSIONS);
  start_children (soak);
  soak->client = process_attach (soak->options->name, &soak->server, &error);
  soak->session = soak->client != NULL ? shmkv_session_new (soak->client, &error) : NULL;
  if (soak->session == NULL || !play_write_common (soak->session, &error))
    {
      shared_fail (soak->shared, "cannot begin: %s", error->message);
      return FALSE;
    }
  soak->n_fds = soak->max_fds = count_fds (soak->server.pid);
  soak->begin_us = g_get_monotonic_time ();
  soak->next_stop_us = soak->begin_us + STOP_EVERY_US;
  soak->next_report_us = soak->begin_us + (gint64) (soak->options->interval * G_USEC_PER_SEC);
  atomic_store (&soak->shared->go, TRUE);
  start_loads (soak);
  return TRUE;
}

/* ---------------------------------------------------------------------- limits */

/* The p99.9 of bystanders since the last report, in milliseconds. */
static double
interval_latency (Soak *soak)
{
  g_autofree CliHistogram *now = g_new0 (CliHistogram, 1);
  g_autofree CliHistogram *interval = g_new0 (CliHistogram, 1);

  for (guint i = 0; i < N_HISTOGRAMS; i++)
    cli_histogram_merge (now, &soak->shared->latency[i]);
  for (guint i = 0; i < CLI_HISTOGRAM_SIZE; i++)
    {
      /* Others count meanwhile. */
      interval->counts[i] = now->counts[i] - MIN (now->counts[i], soak->seen.counts[i]);
      interval->n += interval->counts[i];
    }
  interval->max = now->max;
  soak->seen = *now;
  return (double) cli_histogram_quantile (interval, 0.999) / 1e6;
}

static void
measure (Soak *soak)
{
  guint fds = count_fds (soak->server.pid);

  soak->rss = resident_memory (soak->server.pid);
  soak->max_rss = MAX (soak->max_rss, soak->rss);
  soak->max_fds = MAX (soak->max_fds, fds);
  if (soak->first_rss == 0 && elapsed (soak) > MIN (WARM_UP_SECONDS, soak->options->seconds / 4))
    soak->first_rss = soak->rss;
}

static void
check_limits (Soak *soak)
{
  const SoakOptions *options = soak->options;

  if (soak->first_rss > 0 && soak->max_rss - soak->first_rss > options->max_growth)
    shared_fail (soak->shared, "the server's memory grew from %.1f to %.1f MiB", soak->first_rss,
                 soak->max_rss);
  /* What is read of /proc, or written to it, is open for a moment. */
  if (soak->max_fds > soak->n_fds + 2)
    shared_fail (soak->shared, "the server has %u descriptors, %u at the beginning", soak->max_fds,
                 soak->n_fds);
  if (soak->last_latency > options->max_latency)
    shared_fail (soak->shared, "the bystanders' p99.9 was %.1f ms", soak->last_latency);
  if (soak->sessions > N_SESSIONS - 4)
    shared_fail (soak->shared, "%" G_GUINT64_FORMAT " sessions are in use", soak->sessions);
}

static void
report (Soak *soak)
{
  const Shared *shared = soak->shared;
  g_autoptr (GError) error = NULL;

  if (!get_stat (soak->client, "sessions", &soak->sessions, &error))
    {
      shared_fail (soak->shared, "statistics: %s", error->message);
      return;
    }
  soak->max_sessions = MAX (soak->max_sessions, soak->sessions);
  soak->last_latency = interval_latency (soak);
  soak->max_latency = MAX (soak->max_latency, soak->last_latency);
  soak->n_intervals++;
  fprintf (stderr,
           "%7.0f s  kills %" G_GUINT64_FORMAT " + %" G_GUINT64_FORMAT "  checked %" G_GUINT64_FORMAT
           "  rss %.1f MiB  fds %u  sessions %" G_GUINT64_FORMAT "  p99.9 %.2f ms\n",
           elapsed (soak), atomic_load (&shared->client_kills), atomic_load (&shared->server_kills),
           count_checked (shared), soak->rss, soak->max_fds, soak->sessions, soak->last_latency);
}

/* ------------------------------------------------------------------------- run */

/* The server is stopped for a moment, and everybody waits. */
static void
stop_server (Soak *soak)
{
  if (g_get_monotonic_time () < soak->next_stop_us)
    return;
  kill (soak->server.pid, SIGSTOP);
  g_usleep (cli_random_below (&soak->random, STOP_US));
  kill (soak->server.pid, SIGCONT);
  shared_add (&soak->shared->stops, 1);
  soak->next_stop_us = g_get_monotonic_time ()
                       + (gint64) cli_random_below (&soak->random, 2 * STOP_EVERY_US);
}

static gboolean
is_over (const Soak *soak)
{
  const SoakOptions *options = soak->options;

  if (options->client_kills == 0 && options->server_kills == 0)
    return elapsed (soak) >= options->seconds;
  return atomic_load (&soak->shared->client_kills) >= options->client_kills
         && atomic_load (&soak->shared->server_kills) >= options->server_kills;
}

static void
check_load (Soak *soak, Process *load, gboolean at_end)
{
  g_autofree char *end = NULL;

  if (at_end && !process_has_ended (load))
    {
      kill (load->pid, SIGTERM);
      if (!process_await_end (load, PATIENCE_US))
        process_kill (load);
      return;
    }
  if (!load->ended && process_has_ended (load) && !process_succeeded (load))
    {
      end = process_describe_end (load);
      shared_fail (soak->shared, "another load %s", end);
    }
}

static void
check_loads (Soak *soak, gboolean at_end)
{
  for (guint i = 0; i < soak->loads->len; i++)
    check_load (soak, &g_array_index (soak->loads, Process, i), at_end);
}

static void
run (Soak *soak)
{
  while (shared_goes_on (soak->shared) && !is_over (soak))
    {
      g_usleep (POLL_US);
      measure (soak);
      stop_server (soak);
      check_loads (soak, FALSE);
      if (process_has_ended (&soak->server))
        shared_fail (soak->shared, "the server is dead");
      else if (g_get_monotonic_time () >= soak->next_report_us)
        {
          report (soak);
          check_limits (soak);
          soak->next_report_us += (gint64) (soak->options->interval * G_USEC_PER_SEC);
        }
    }
  report (soak);
  check_limits (soak);
}

/* ------------------------------------------------------------------------- end */

static void
end_children (Soak *soak)
{
  check_loads (soak, TRUE);
  atomic_store (&soak->shared->stop, TRUE);
  for (guint i = 0; i < soak->children->len; i++)
    {
      Process *child = &g_array_index (soak->children, Process, i);
      g_autofree char *end = NULL;

      if (process_await_end (child, 2 * PATIENCE_US) && process_succeeded (child))
        continue;
      end = process_describe_end (child);
      shared_fail (soak->shared, "process %u of the test %s", i, end);
      process_kill (child);
    }
}

/* Every lane can be had. */
static gboolean
open_all (Soak *soak, GError **error)
{
  g_autoptr (GPtrArray) sessions
    = g_ptr_array_new_with_free_func ((GDestroyNotify) shmkv_session_free);

  /* Ours, and the one that was borrowed for questions. */
  while (sessions->len < N_SESSIONS - 2)
    {
      ShmkvSession *session = shmkv_session_new (soak->client, error);

      if (session == NULL)
        {
          g_prefix_error (error, "with %u sessions: ", sessions->len);
          return FALSE;
        }
      g_ptr_array_add (sessions, session);
    }
  return TRUE;
}

static gboolean
check_rest (Soak *soak, GError **error)
{
  guint64 keys;

  if (!get_stat (soak->client, "sessions", &soak->sessions, error)
      || !shmkv_client_count (soak->client, &keys, error) || !open_all (soak, error))
    return FALSE;
  if (soak->loads->len == 0 && (soak->sessions != 2 || keys != PLAY_COMMON_KEYS))
    {
      g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG,
                   "%" G_GUINT64_FORMAT " sessions and %" G_GUINT64_FORMAT " keys are left",
                   soak->sessions, keys);
      return FALSE;
    }
  if (count_fds (soak->server.pid) == soak->n_fds)
    return TRUE;
  g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG, "the server has %u descriptors, %u before",
               count_fds (soak->server.pid), soak->n_fds);
  return FALSE;
}

static void
end (Soak *soak)
{
  g_autoptr (GError) error = NULL;

  end_children (soak);
  if (soak->session != NULL && !check_rest (soak, &error))
    shared_fail (soak->shared, "at the end: %s", error->message);
  g_clear_error (&error);
  g_clear_pointer (&soak->session, shmkv_session_free);
  g_clear_pointer (&soak->client, shmkv_client_unref);
  if (!soak->server.ended)
    kill (soak->server.pid, SIGTERM);
  if (!process_await_end (&soak->server, PATIENCE_US) || !process_succeeded (&soak->server))
    shared_fail (soak->shared, "the server did not end as it should");
  if (!is_clean (soak->options->name, &error))
    shared_fail (soak->shared, "at the end: %s", error->message);
}

static void
row (const char *what, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
row (const char *what, const char *format, ...)
{
  va_list arguments;

  printf ("%-44s ", what);
  va_start (arguments, format);
  vprintf (format, arguments);
  va_end (arguments);
  putchar ('\n');
}

static double
ms (gint64 ns)
{
  return (double) ns / 1e6;
}

static void
print_summary (const Soak *soak, double seconds)
{
  Shared *shared = soak->shared;
  const SoakOptions *options = soak->options;

  row ("seed", "%" G_GUINT64_FORMAT, options->seed);
  row ("seconds", "%.0f", seconds);
  row ("clients killed", "%" G_GUINT64_FORMAT, atomic_load (&shared->client_kills));
  row ("servers killed", "%" G_GUINT64_FORMAT, atomic_load (&shared->server_kills));
  row ("killed at crash points", "%" G_GUINT64_FORMAT, atomic_load (&shared->points));
  row ("kills", "%" G_GUINT64_FORMAT, count_kills (shared));
  row ("servers that ended as asked", "%" G_GUINT64_FORMAT, atomic_load (&shared->server_ends));
  row ("clients and servers stopped for a while", "%" G_GUINT64_FORMAT,
       atomic_load (&shared->stops));
  row ("workers started and stopped", "%" G_GUINT64_FORMAT, 2 * atomic_load (&shared->worker_changes));
  row ("checked operations", "%" G_GUINT64_FORMAT, count_checked (shared));
  row ("watchers that missed changes", "%" G_GUINT64_FORMAT, atomic_load (&shared->missed));
  row ("dead client's session gone, at most", "%.1f ms", ms (atomic_load (&shared->max_free_ns)));
  row ("killed server ended by the kernel, at most", "%.1f ms",
       ms (atomic_load (&shared->max_end_ns)));
  row ("killed server noticed, at most", "%.1f ms", ms (atomic_load (&shared->max_gone_ns)));
  row ("next server usable, at most", "%.1f ms", ms (atomic_load (&shared->max_start_ns)));
  row ("resident memory, warm, most (limit)", "%.1f, %.1f (%.1f) MiB", soak->first_rss,
       soak->max_rss, soak->first_rss + options->max_growth);
  row ("descriptors, first, most", "%u, %u", soak->n_fds, soak->max_fds);
  row ("sessions, most (of)", "%" G_GUINT64_FORMAT " (%u)", soak->max_sessions, N_SESSIONS);
  row ("bystanders' p99.9 of an interval, most (limit)", "%.2f (%.0f) ms", soak->max_latency,
       options->max_latency);
  row ("failures", "%u", atomic_load (&shared->failures));
  if (atomic_load (&shared->failures) > 0)
    row ("the first", "%s", shared->failure);
  row ("verdict", "%s", atomic_load (&shared->failures) == 0 ? "holds" : "does not hold");
  fflush (stdout);
}

gboolean
soak_run (Shared *shared, int fd, const SoakOptions *options)
{
  g_autofree Soak *soak = g_new0 (Soak, 1);
  double seconds = 0;

  *soak = (Soak) { .shared = shared, .options = options, .fd = fd, .random = options->seed };
  soak->children = g_array_new (FALSE, FALSE, sizeof (Process));
  soak->loads = g_array_new (FALSE, FALSE, sizeof (Process));
  if (start (soak))
    {
      run (soak);
      seconds = elapsed (soak);
    }
  end (soak);
  print_summary (soak, seconds);
  g_array_unref (soak->children);
  g_array_unref (soak->loads);
  return atomic_load (&shared->failures) == 0;
}
