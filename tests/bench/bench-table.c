/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one operation on the table costs, without any queue around it.
 *
 * Keys are random and each is touched once per phase, in batches and with the
 * prefetches in stages, as the server's workers do it.  "insert" includes all
 * growth from an empty table, "delete" all shrinking, "churn" is to delete and
 * to insert a key in a full table.
 *
 * Memory is what the process has resident for the table, divided by the pairs:
 * after the inserts, at the worst moment since a tenth of them were in, and
 * what is left when all are deleted.  There is one malloc() arena for all
 * threads; were there more, glibc would have holes in each of them. */

#include "config.h"

#include "server/table.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_BATCH 256
#define MAX_THREADS 256
#define N_SAMPLES 200

static gint keys;
static gint buckets = SHMKV_TABLE_DEFAULT_BUCKETS;
static gint batch = 32;
static gint threads = 1;
static gboolean cpu_time;

static const GOptionEntry entries[] = {
  { "keys", 'k', 0, G_OPTION_ARG_INT, &keys, "So many keys, in place of several sizes", "N" },
  { "buckets", 'n', 0, G_OPTION_ARG_INT, &buckets, "So many buckets, with --keys", "N" },
  { "batch", 'b', 0, G_OPTION_ARG_INT, &batch, "Operations a batch; 0: no prefetch", "N" },
  { "threads", 't', 0, G_OPTION_ARG_INT, &threads, "Threads that share the keys", "N" },
  { "cpu", 'c', 0, G_OPTION_ARG_NONE, &cpu_time, "CPU time, for a busy machine", NULL },
  { NULL }
};

typedef enum
{
  INSERT,
  READ,
  MISS,
  CHURN,
  DELETE,
  N_PHASES
} Phase;

/* A thread's part of a phase. */
typedef struct
{
  ShmkvTable *table;
  Phase phase;
  guint64 first;
  guint64 end;
  guint64 wrong;
} Work;

/* A bijection, so that different numbers make different keys. */
static inline guint64
nth_key (guint64 n)
{
  n *= G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  n ^= n >> 31;
  return n * G_GUINT64_CONSTANT (0xd6e8feb86659fd93);
}

static inline gboolean
execute (Work *work, const ShmkvTablePlace *place, guint64 n)
{
  guint64 value;

  switch (work->phase)
    {
    case INSERT:
      return shmkv_table_insert (work->table, place, ~n) == SHMKV_TABLE_ADDED;
    case READ:
      return shmkv_table_read (work->table, place, &value) && value == ~n;
    case MISS:
      return !shmkv_table_read (work->table, place, &value);
    case CHURN:
      return shmkv_table_delete (work->table, place)
             && shmkv_table_insert (work->table, place, ~n) == SHMKV_TABLE_ADDED;
    default:
      return shmkv_table_delete (work->table, place);
    }
}

static void
run_batch (Work *work, guint64 first, guint size)
{
  guint64 offset = work->phase == MISS ? G_GUINT64_CONSTANT (1) << 40 : 0;
  ShmkvTablePlace places[MAX_BATCH];

  for (guint i = 0; i < size; i++)
    {
      places[i] = shmkv_table_locate (work->table, nth_key (offset + first + i));
      if (batch > 0)
        shmkv_table_prefetch_bucket (work->table, &places[i]);
    }
  if (batch > 0)
    for (guint i = 0; i < size; i++)
      shmkv_table_prefetch_slot (work->table, &places[i]);
  for (guint i = 0; i < size; i++)
    if (!execute (work, &places[i], first + i))
      work->wrong++;
}

static gpointer
run_work (gpointer data)
{
  Work *work = data;
  guint step = batch > 0 ? batch : MAX_BATCH;

  for (guint64 n = work->first; n < work->end; n += step)
    run_batch (work, n, MIN (step, work->end - n));
  return NULL;
}

static double
now_ns (void)
{
  struct timespec time;

  clock_gettime (cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

/* Returns nanoseconds, of all operations. */
static double
run_phase (ShmkvTable *table, Phase phase, guint64 first, guint64 end)
{
  Work work[MAX_THREADS];
  GThread *running[MAX_THREADS];
  double start = now_ns ();

  for (gint i = 0; i < threads; i++)
    {
      work[i] = (Work) { .table = table, .phase = phase,
                         .first = first + (end - first) * i / threads,
                         .end = first + (end - first) * (i + 1) / threads };
      if (i > 0)
        running[i] = g_thread_new ("bench", run_work, &work[i]);
    }
  run_work (&work[0]);
  for (gint i = 0; i < threads; i++)
    {
      if (i > 0)
        g_thread_join (running[i]);
      if (work[i].wrong > 0)
        g_error ("%" G_GUINT64_FORMAT " wrong answers", work[i].wrong);
    }
  return now_ns () - start;
}

static gsize
resident_size (void)
{
  g_autofree char *text = NULL;
  gsize pages = 0;

  if (!g_file_get_contents ("/proc/self/statm", &text, NULL, NULL)
      || sscanf (text, "%*u %zu", &pages) != 1)
    g_error ("/proc/self/statm cannot be read");
  return pages * sysconf (_SC_PAGESIZE);
}

static double
fill (ShmkvTable *table, guint64 n_keys, double *worst_out)
{
  gsize before = resident_size ();
  guint64 done = 0;
  double ns = 0;

  *worst_out = 0;
  for (guint i = 1; i <= N_SAMPLES; i++)
    {
      guint64 end = n_keys * i / N_SAMPLES;

      ns += run_phase (table, INSERT, done, end);
      done = end;
      if (i >= N_SAMPLES / 10)
        *worst_out = MAX (*worst_out, (double) (resident_size () - before) / done);
    }
  return ns;
}

static void
run_size (guint n_buckets, guint64 n_keys)
{
  gsize before = resident_size (), full;
  g_autoptr (ShmkvTable) table = shmkv_table_new (n_buckets, g_random_int ());
  double ns[N_PHASES], worst;

  ns[INSERT] = fill (table, n_keys, &worst);
  full = resident_size ();
  shmkv_table_trim (table);
  for (Phase phase = READ; phase < N_PHASES; phase++)
    ns[phase] = run_phase (table, phase, 0, n_keys);
  shmkv_table_trim (table);

  printf ("%9" G_GUINT64_FORMAT " %8u", n_keys, n_buckets);
  for (Phase phase = INSERT; phase < N_PHASES; phase++)
    printf (" %8.1f", ns[phase] / n_keys);
  printf (" %8.1f %8.1f %8.1f\n", (double) (full - before) / n_keys, worst,
          (double) (resident_size () - before) / n_keys);
}

/* In a process of its own, where nothing is left of the one before. */
static gboolean
run_in_child (guint n_buckets, guint64 n_keys)
{
  int status = 1;
  pid_t child;

  fflush (stdout);
  child = fork ();
  if (child == 0)
    {
      run_size (n_buckets, n_keys);
      fflush (stdout);
      _exit (0);
    }
  return child > 0 && waitpid (child, &status, 0) == child && status == 0;
}

static gboolean
parse_options (int *argc, char ***argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (g_option_context_parse (context, argc, argv, &error))
    {
      if (keys >= 0 && buckets > 0 && batch >= 0 && batch <= MAX_BATCH && threads > 0
          && threads <= MAX_THREADS)
        return TRUE;
      g_set_error_literal (&error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "out of range");
    }
  fprintf (stderr, "%s\n", error->message);
  return FALSE;
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    guint buckets;
    guint keys;
  } sizes[] = { { 5000, 100000 }, { 5000, 1000000 }, { 16, 1000000 }, { 5000, 10000000 } };

  if (!parse_options (&argc, &argv))
    return 2;
#ifdef M_ARENA_MAX
  mallopt (M_ARENA_MAX, 1);
#endif

  printf ("%9s %8s %44s %26s\n", "", "", "nanoseconds", "resident bytes a pair");
  printf ("%9s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n", "keys", "buckets", "insert", "read", "miss",
          "churn", "delete", "full", "worst", "emptied");
  if (keys > 0)
    return !run_in_child (buckets, keys);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    if (!run_in_child (sizes[i].buckets, sizes[i].keys))
      return 1;
  return 0;
}
