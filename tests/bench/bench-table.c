/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one operation on the table costs, without any queue around it.
 *
 * Keys are random and each is touched once per phase, in batches and with the
 * prefetches in stages, as the server's workers do it.  Memory is what the
 * process is charged for, divided by the pairs: at the end of the inserts, and
 * at the worst moment since a tenth of them were in. */

#include "config.h"

#include "server/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_BATCH 256
#define SAMPLES 1000

static gint opt_keys;
static gint opt_buckets = SHMKV_TABLE_DEFAULT_BUCKETS;
static gint opt_batch = 32;
static gint opt_threads = 1;

static const GOptionEntry options[] = {
  { "keys", 'k', 0, G_OPTION_ARG_INT, &opt_keys, "Only this many keys", "N" },
  { "buckets", 'n', 0, G_OPTION_ARG_INT, &opt_buckets, "Buckets, together with --keys", "N" },
  { "batch", 'b', 0, G_OPTION_ARG_INT, &opt_batch, "Keys a batch, 0: no prefetch", "N" },
  { "threads", 't', 0, G_OPTION_ARG_INT, &opt_threads, "Threads that share the keys", "N" },
  { NULL }
};

typedef enum { INSERT, READ, MISS, CHURN, DELETE } Phase;

typedef struct
{
  ShmkvTable *table;
  Phase phase;
  guint64 first;
  guint64 end;
  guint64 wrong;
} Work;

/* A bijection, so that different indices make different keys. */
static inline guint64
nth_key (guint64 n)
{
  n *= G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  n ^= n >> 31;
  return n * G_GUINT64_CONSTANT (0xd6e8feb86659fd93);
}

static gsize
resident_size (void)
{
  g_autofree char *statm = NULL;
  gsize pages = 0;

  if (g_file_get_contents ("/proc/self/statm", &statm, NULL, NULL))
    sscanf (statm, "%*u %zu", &pages);
  return pages * sysconf (_SC_PAGESIZE);
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
  ShmkvTablePlace places[MAX_BATCH];
  guint64 beyond = work->phase == MISS ? G_GUINT64_CONSTANT (1) << 40 : 0;

  for (guint i = 0; i < size; i++)
    {
      places[i] = shmkv_table_locate (work->table, nth_key (beyond + first + i));
      if (opt_batch > 0)
        shmkv_table_prefetch_bucket (work->table, &places[i]);
    }
  for (guint i = 0; i < size && opt_batch > 0; i++)
    shmkv_table_prefetch_slot (work->table, &places[i]);
  for (guint i = 0; i < size; i++)
    work->wrong += !execute (work, &places[i], first + i);
}

static gpointer
run_work (gpointer data)
{
  Work *work = data;
  guint step = opt_batch > 0 ? opt_batch : MAX_BATCH;

  for (guint64 n = work->first; n < work->end; n += step)
    run_batch (work, n, MIN (step, work->end - n));
  return NULL;
}

/* Nanoseconds an operation. */
static double
run_phase (ShmkvTable *table, Phase phase, guint64 first, guint64 end)
{
  g_autofree Work *work = g_new0 (Work, opt_threads);
  g_autofree GThread **threads = g_new0 (GThread *, opt_threads);
  gint64 start = g_get_monotonic_time ();

  for (gint i = 0; i < opt_threads; i++)
    {
      work[i] = (Work) { .table = table, .phase = phase,
                         .first = first + (end - first) * i / opt_threads,
                         .end = first + (end - first) * (i + 1) / opt_threads };
      if (opt_threads > 1)
        threads[i] = g_thread_new ("bench", run_work, &work[i]);
    }
  if (opt_threads == 1)
    run_work (work);
  for (gint i = 0; i < opt_threads; i++)
    {
      if (threads[i] != NULL)
        g_thread_join (threads[i]);
      if (work[i].wrong != 0)
        g_error ("%" G_GUINT64_FORMAT " wrong answers", work[i].wrong);
    }
  return (g_get_monotonic_time () - start) * 1e3 / (end - first);
}

static void
run_size (guint n_buckets, guint64 n_keys)
{
  g_autoptr (ShmkvTable) table = shmkv_table_new (n_buckets, g_random_int ());
  gsize before = resident_size ();
  double insert = 0, read, miss, churn, delete, last = 0, worst = 0;
  guint64 done = 0;

  for (guint i = 1; i <= SAMPLES && done < n_keys; i++)
    {
      guint64 end = n_keys * i / SAMPLES;

      insert += run_phase (table, INSERT, done, end) * (end - done) / n_keys;
      done = end;
      last = (double) (resident_size () - before) / done;
      if (i >= SAMPLES / 10)
        worst = MAX (worst, last);
    }
  read = run_phase (table, READ, 0, n_keys);
  miss = run_phase (table, MISS, 0, n_keys);
  churn = run_phase (table, CHURN, 0, n_keys);
  delete = run_phase (table, DELETE, 0, n_keys);
  printf ("%9" G_GUINT64_FORMAT " %8u %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f\n", n_keys, n_buckets,
          insert, read, miss, churn, delete, last, worst,
          (double) (resident_size () - before) / n_keys);
}

int
main (int argc, char *argv[])
{
  static const struct { guint n_buckets; guint64 n_keys; } sizes[] = {
    { 5000, 100000 }, { 5000, 1000000 }, { 16, 1000000 }, { 5000, 10000000 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || opt_batch > MAX_BATCH
      || opt_threads < 1)
    {
      fprintf (stderr, "%s\n", error != NULL ? error->message : "out of range");
      return 2;
    }

  printf ("%9s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n", "keys", "buckets", "insert", "read", "miss",
          "churn", "delete", "B/pair", "worst", "left");
  if (opt_keys > 0)
    run_size (opt_buckets, opt_keys);
  else
    for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
      run_size (sizes[i].n_buckets, sizes[i].n_keys);
  return 0;
}
