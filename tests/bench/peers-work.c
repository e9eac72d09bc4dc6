/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "bench/peers-work.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ZIPF_THETA 0.99

/* Zipf keys are dear to make: so many are made before, and used in turn. */
#define N_ZIPF_KEYS (1u << 20)

typedef struct
{
  const PeersDriver *driver;
  gpointer store;
  guint64 n_keys;
  guint64 random;
  guint64 *zipf_keys;      /* N_ZIPF_KEYS of them */

  /* What is in flight: batches n_taken to n_sent, in a ring. */
  PeersBatch *batches;
  guint n_batches;
  int chunk;
  guint64 n_sent;
  guint64 n_taken;
} Work;

/* Makes the requests of a batch, the first of which is the first-th of a phase.
 * One call for a batch: for stores in the process each nanosecond counts. */
typedef void (*Fill) (Work *work, PeersBatch *batch, guint64 first);

typedef struct
{
  const char *name;
  Fill fill;
  gboolean multi;
} Phase;

typedef struct
{
  guint64 ops;
  guint64 wrong;
  double seconds;
} Result;

static gint64 option_keys = 1000000;
static gint64 option_ops = 1000000;
static gint64 option_seed = 1;
static double option_limit = 1;
static int option_window = 1024;
static int option_chunk;
static int option_pid;

static const GOptionEntry entries[] = {
  { "keys", 'k', 0, G_OPTION_ARG_INT64, &option_keys, "How many pairs", "N" },
  { "ops", 'o', 0, G_OPTION_ARG_INT64, &option_ops, "How many operations in a phase", "N" },
  { "limit", 'l', 0, G_OPTION_ARG_DOUBLE, &option_limit, "End a phase after so long, but not insert",
    "SECONDS" },
  { "window", 'w', 0, G_OPTION_ARG_INT, &option_window, "How many in flight at most", "N" },
  { "chunk", 'c', 0, G_OPTION_ARG_INT, &option_chunk, "How many to send together", "N" },
  { "seed", 's', 0, G_OPTION_ARG_INT64, &option_seed, "Of what is random", "N" },
  { "pid", 'p', 0, G_OPTION_ARG_INT, &option_pid, "The server, whose memory counts; else this process",
    "PID" },
  { NULL }
};

void
peers_fail (const char *format, ...)
{
  va_list arguments;

  fprintf (stderr, "%s: ", g_get_prgname ());
  va_start (arguments, format);
  vfprintf (stderr, format, arguments);
  va_end (arguments);
  fputc ('\n', stderr);
  exit (EXIT_FAILURE);
}

static gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

/* SplitMix64's finalizer: a permutation of all 64-bit numbers. */
static inline guint64
mix (guint64 x)
{
  x = (x ^ x >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ x >> 31;
}

static inline guint64
next_random (Work *work)
{
  work->random += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  return mix (work->random);
}

/* Never 0 for a key below 2^64 - 1: the factor is odd. */
static inline guint64
value_of (guint64 key)
{
  return (key + 1) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
}

/* ------------------------------------------------------------------- the keys */

static inline void
ask (PeersBatch *batch, gsize i, guint64 key, gboolean write)
{
  batch->keys[i] = key;
  batch->writes[i] = write;
  batch->values[i] = write ? value_of (key) : 0;
}

static void
fill_ascending (Work *work, PeersBatch *batch, guint64 first)
{
  for (gsize i = 0; i < batch->n; i++)
    ask (batch, i, first + i, TRUE);
}

/* The high half of a product instead of a division. */
static void
fill_uniform (Work *work, PeersBatch *batch, guint64 first)
{
  for (gsize i = 0; i < batch->n; i++)
    ask (batch, i, (next_random (work) >> 32) * work->n_keys >> 32, FALSE);
}

static void
fill_zipf (Work *work, PeersBatch *batch, guint64 first)
{
  for (gsize i = 0; i < batch->n; i++)
    ask (batch, i, work->zipf_keys[(first + i) % N_ZIPF_KEYS], next_random (work) & 1);
}

/* The approximation that YCSB uses, of J. Gray et al., "Quickly generating
 * billion-record synthetic databases" (SIGMOD 1994); ranks are scattered over
 * the keys by a hash as there. */
static guint64 *
make_zipf_keys (Work *work)
{
  guint64 *keys = g_new (guint64, N_ZIPF_KEYS);
  double n = work->n_keys, theta = ZIPF_THETA, zeta = 0, half = pow (0.5, theta), eta;

  for (guint64 rank = 1; rank <= work->n_keys; rank++)
    zeta += pow (rank, -theta);
  eta = (1 - pow (2 / n, 1 - theta)) / (1 - (1 + half) / zeta);
  for (guint i = 0; i < N_ZIPF_KEYS; i++)
    {
      double u = (next_random (work) >> 11) * 0x1p-53;
      double uz = u * zeta;
      guint64 rank = uz < 1 ? 0 : uz < 1 + half ? 1 : n * pow (eta * u - eta + 1, 1 / (1 - theta));

      keys[i] = mix (rank) % work->n_keys;
    }
  return keys;
}

/* ------------------------------------------------------------------- the loop */

static void
send_batch (Work *work, const Phase *phase, guint64 first, gsize n)
{
  PeersBatch *batch = &work->batches[work->n_sent++ % work->n_batches];

  batch->n = n;
  batch->multi = phase->multi;
  phase->fill (work, batch, first);
  work->driver->send (work->store, batch);
}

/* Takes the oldest and checks all that it read. */
static void
take_batch (Work *work, Result *result)
{
  PeersBatch *batch = &work->batches[work->n_taken++ % work->n_batches];

  if (work->driver->take != NULL)
    work->driver->take (work->store, batch);
  for (gsize i = 0; i < batch->n; i++)
    result->wrong += batch->values[i] != value_of (batch->keys[i]);
  result->wrong += batch->wrong;
  result->ops += batch->n;
  batch->wrong = 0;
}

static Result
run_pipelined (Work *work, const Phase *phase, guint64 max_ops, double limit)
{
  gint64 begun = now_ns (), end = limit > 0 ? begun + (gint64) (limit * 1e9) : G_MAXINT64;
  guint in_flight = work->driver->take != NULL ? work->n_batches : 1;
  Result result = { 0 };

  for (guint64 sent = 0; sent < max_ops && now_ns () < end;)
    {
      gsize n = MIN ((guint64) work->chunk, max_ops - sent);

      send_batch (work, phase, sent, n);
      sent += n;
      if (work->n_sent - work->n_taken == in_flight)
        take_batch (work, &result);
    }
  while (work->n_taken < work->n_sent)
    take_batch (work, &result);
  result.seconds = (now_ns () - begun) / 1e9;
  return result;
}

/* One after the other; `times` gets what each took, with one look at the clock. */
static Result
run_sequential (Work *work, const Phase *phase, guint64 max_ops, double limit, GArray *times)
{
  gint64 begun = now_ns (), before = begun, end = begun + (gint64) (limit * 1e9);
  Result result = { 0 };

  for (guint64 i = 0; i < max_ops && before < end; i++)
    {
      gint64 after;
      guint64 took;

      send_batch (work, phase, i, 1);
      take_batch (work, &result);
      after = now_ns ();
      took = after - before;
      before = after;
      g_array_append_val (times, took);
    }
  result.seconds = (before - begun) / 1e9;
  return result;
}

/* ---------------------------------------------------------------- the results */

/* In bytes, with what it shares. */
static guint64
resident (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", option_pid > 0 ? option_pid : getpid ());
  g_autofree char *text = NULL;
  gulong total, pages;

  if (!g_file_get_contents (path, &text, NULL, NULL) || sscanf (text, "%lu %lu", &total, &pages) != 2)
    peers_fail ("cannot read %s", path);
  return (guint64) pages * sysconf (_SC_PAGESIZE);
}

static void
print_result (Work *work, const char *phase, const Result *result, const char *rest)
{
  printf ("%s,%s,%" G_GUINT64_FORMAT ",%.6f,%.4f,%.1f,%s\n", work->driver->name, phase, result->ops,
          result->seconds, result->ops / result->seconds / 1e6, result->seconds / result->ops * 1e9,
          rest);
  fflush (stdout);
}

static guint64
do_pipelined (Work *work, const Phase *phase, guint64 ops, double limit)
{
  guint64 before = resident (), after;
  Result result = run_pipelined (work, phase, ops, limit);
  g_autofree char *rest = NULL;

  after = resident ();
  if (phase->fill == fill_ascending)
    rest = g_strdup_printf (",,%" G_GUINT64_FORMAT ",%.1f", result.wrong,
                            after > before ? (double) (after - before) / ops : 0);
  else
    rest = g_strdup_printf (",,%" G_GUINT64_FORMAT ",", result.wrong);
  print_result (work, phase->name, &result, rest);
  return result.wrong;
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
  const guint64 *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

static guint64
quantile (const GArray *times, double share)
{
  return g_array_index (times, guint64, (gsize) ceil (share * times->len) - 1);
}

static guint64
do_sequential (Work *work, const Phase *phase)
{
  g_autoptr (GArray) times = g_array_sized_new (FALSE, FALSE, sizeof (guint64), 1 << 20);
  Result result = run_sequential (work, phase, option_ops, option_limit, times);
  g_autofree char *rest = NULL;

  g_array_sort (times, compare_times);
  rest = g_strdup_printf ("%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",",
                          quantile (times, 0.5), quantile (times, 0.99), result.wrong);
  print_result (work, phase->name, &result, rest);
  return result.wrong;
}

/* ------------------------------------------------------------------- the whole */

static void
make_batches (Work *work)
{
  int chunk = option_chunk > 0 ? option_chunk : work->driver->chunk;

  work->chunk = CLAMP (chunk, 1, MAX (option_window / 2, 1));
  work->n_batches = MAX (option_window / work->chunk, 1);
  work->batches = g_new0 (PeersBatch, work->n_batches);
  for (guint i = 0; i < work->n_batches; i++)
    {
      work->batches[i].keys = g_new0 (guint64, work->chunk);
      work->batches[i].values = g_new0 (guint64, work->chunk);
      work->batches[i].writes = g_new0 (gboolean, work->chunk);
    }
}

static void
free_batches (Work *work)
{
  for (guint i = 0; i < work->n_batches; i++)
    {
      g_free (work->batches[i].keys);
      g_free (work->batches[i].values);
      g_free (work->batches[i].writes);
    }
  g_free (work->batches);
}

static guint64
do_all (Work *work)
{
  static const Phase insert = { "insert", fill_ascending, FALSE };
  static const Phase read = { "read", fill_uniform, FALSE };
  static const Phase multiget = { "multiget", fill_uniform, TRUE };
  static const Phase mixed = { "mixed", fill_zipf, FALSE };
  static const Phase roundtrip = { "roundtrip", fill_uniform, FALSE };
  guint64 wrong = do_pipelined (work, &insert, work->n_keys, 0);

  wrong += do_pipelined (work, &read, option_ops, option_limit);
  if (work->driver->has_multi)
    wrong += do_pipelined (work, &multiget, option_ops, option_limit);
  wrong += do_pipelined (work, &mixed, option_ops, option_limit);
  return wrong + do_sequential (work, &roundtrip);
}

static void
parse_options (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("WHERE");
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    peers_fail ("%s", error->message);
  /* Keys have 32 bits: see fill_uniform(). */
  if (argc != 2 || option_keys < 2 || option_keys > G_MAXUINT32 || option_ops < 1
      || option_limit <= 0 || option_window < 1)
    peers_fail ("give it WHERE, and at least 2 keys, 1 operation, a limit and a window");
}

int
peers_main (const PeersDriver *driver, int argc, char **argv)
{
  Work work = { .driver = driver };
  guint64 wrong;

  parse_options (argc, argv);
  work.n_keys = option_keys;
  work.random = mix (option_seed);
  work.zipf_keys = make_zipf_keys (&work);
  make_batches (&work);
  work.store = driver->open (argv[1], work.n_keys);

  wrong = do_all (&work);

  driver->close (work.store);
  free_batches (&work);
  g_free (work.zipf_keys);
  return wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
