/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one operation on the table costs, without any queue around it.
 *
 * Keys are random and each is touched once per phase, in batches and with the
 * prefetches in stages, as the server's workers do it.  "insert" includes all
 * growth from an empty table, "delete" all shrinking, "churn" is to delete and
 * to insert a key in a full table.
 *
 * First keys and values are integers; then keys have 16 bytes and values 100,
 * which with nothing around them would be 116 a pair.
 *
 * Memory is what the process has resident for the table, divided by the pairs:
 * after the inserts, at the worst moment since a tenth of them were in, and
 * what is left when all are deleted.  There is one malloc() arena for all
 * threads; were there more, glibc would have holes in each of them.
 *
 * With --evict it is about inserts of new keys into a table at its limit, which
 * evicts others; and about those that fail, as all keys belong to sessions. */

#include "config.h"

#include "server/plain.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_BATCH 256
#define MAX_THREADS 256
#define N_SAMPLES 200

#define KEY_SIZE 16
#define VALUE_SIZE 100

/* With --evict: the limit, and so many inserts are measured, or as many as there
 * is patience for. */
#define EVICT_MEMORY (64u * 1024 * 1024)
#define EVICT_INSERTS 200000u
#define EVICT_PATIENCE_NS 3e9

static gint keys;
static gint buckets = SHMKV_TABLE_DEFAULT_BUCKETS;
static gint batch = 32;
static gint threads = 1;
static gboolean cpu_time;
static gboolean bytes;
static gboolean evict;

static const GOptionEntry entries[] = {
  { "keys", 'k', 0, G_OPTION_ARG_INT, &keys, "So many keys, in place of several sizes", "N" },
  { "buckets", 'n', 0, G_OPTION_ARG_INT, &buckets, "So many buckets, with --keys", "N" },
  { "batch", 'b', 0, G_OPTION_ARG_INT, &batch, "Operations a batch; 0: no prefetch", "N" },
  { "threads", 't', 0, G_OPTION_ARG_INT, &threads, "Threads that share the keys", "N" },
  { "bytes", 'B', 0, G_OPTION_ARG_NONE, &bytes, "Byte strings, with --keys", NULL },
  { "evict", 'e', 0, G_OPTION_ARG_NONE, &evict, "Inserts at the limit of memory, only", NULL },
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

/* The key of the number, in `words`. */
static inline ShmkvField
nth_bytes (guint64 n, guint64 words[2])
{
  words[0] = nth_key (n);
  words[1] = ~n;
  return (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .integer = KEY_SIZE, .bytes = words };
}

static gboolean
apply (Work *work, guint op, const ShmkvTablePlace *place, guint64 n, guint status)
{
  guint64 words[2], value[(VALUE_SIZE + 7) / 8] = { n }, buffer[(VALUE_SIZE + 7) / 8];
  ShmkvTableCommand command = {
    .op = op,
    .place = *place,
    .key = nth_bytes (n, words),
    .value = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = VALUE_SIZE, .bytes = value },
    .buffer = buffer,
    .buffer_size = sizeof buffer,
  };
  ShmkvTableAnswer answer;

  shmkv_table_apply (work->table, &command, &answer);
  return answer.status == status
         && (op != SHMKV_WIRE_OP_READ || status != SHMKV_WIRE_STATUS_OK || buffer[0] == n);
}

static gboolean
execute_bytes (Work *work, const ShmkvTablePlace *place, guint64 n)
{
  switch (work->phase)
    {
    case INSERT:
      return apply (work, SHMKV_WIRE_OP_INSERT, place, n, SHMKV_WIRE_STATUS_ADDED);
    case READ:
      return apply (work, SHMKV_WIRE_OP_READ, place, n, SHMKV_WIRE_STATUS_OK);
    case MISS:
      return apply (work, SHMKV_WIRE_OP_READ, place, n, SHMKV_WIRE_STATUS_NO_KEY);
    case CHURN:
      return apply (work, SHMKV_WIRE_OP_DELETE, place, n, SHMKV_WIRE_STATUS_OK)
             && apply (work, SHMKV_WIRE_OP_INSERT, place, n, SHMKV_WIRE_STATUS_ADDED);
    default:
      return apply (work, SHMKV_WIRE_OP_DELETE, place, n, SHMKV_WIRE_STATUS_OK);
    }
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
      return shmkv_plain_read (work->table, place, &value) == SHMKV_TABLE_FOUND && value == ~n;
    case MISS:
      return shmkv_plain_read (work->table, place, &value) == SHMKV_TABLE_ABSENT;
    case CHURN:
      return shmkv_table_delete (work->table, place)
             && shmkv_table_insert (work->table, place, ~n) == SHMKV_TABLE_ADDED;
    default:
      return shmkv_table_delete (work->table, place);
    }
}

static inline ShmkvTablePlace
locate (const ShmkvTable *table, guint64 n)
{
  guint64 words[2];
  ShmkvField key;

  if (!bytes)
    return shmkv_plain_locate (table, nth_key (n));
  key = nth_bytes (n, words);
  return shmkv_table_locate_key (table, &key);
}

static inline void
prefetch (const Work *work, const ShmkvTablePlace *place)
{
  if (!bytes && (work->phase == READ || work->phase == MISS))
    shmkv_plain_prefetch_slots (work->table, place);
  else
    shmkv_table_prefetch (work->table, place);
}

static void
run_batch (Work *work, guint64 first, guint size)
{
  guint64 offset = work->phase == MISS ? G_GUINT64_CONSTANT (1) << 40 : 0;
  ShmkvTablePlace places[MAX_BATCH];

  for (guint i = 0; i < size; i++)
    {
      places[i] = locate (work->table, offset + first + i);
      if (batch > 0)
        shmkv_plain_prefetch_bucket (work->table, &places[i]);
    }
  for (guint i = 0; batch > 0 && i < MIN (size, SHMKV_PREFETCH_AHEAD); i++)
    prefetch (work, &places[i]);
  for (guint i = 0; i < size; i++)
    {
      if (batch > 0 && i + SHMKV_PREFETCH_AHEAD < size)
        prefetch (work, &places[i + SHMKV_PREFETCH_AHEAD]);
      if (!(bytes ? execute_bytes (work, &places[i], offset + first + i)
                  : execute (work, &places[i], first + i)))
        work->wrong++;
    }
}

static gpointer
run_work (gpointer data)
{
  Work *work = data;
  ShmkvReader *reader = shmkv_table_add_reader (work->table);
  guint step = batch > 0 ? batch : MAX_BATCH;

  for (guint64 n = work->first; n < work->end; n += step)
    {
      run_batch (work, n, MIN (step, work->end - n));
      shmkv_reader_pass (reader);
    }
  shmkv_reader_free (reader);
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
  ShmkvTableOptions options = { .n_buckets = n_buckets, .seed = g_random_int () };
  g_autoptr (ShmkvTable) table = shmkv_table_new (&options);
  double ns[N_PHASES], worst;

  ns[INSERT] = fill (table, n_keys, &worst);
  full = resident_size ();
  shmkv_table_trim (table);
  for (Phase phase = READ; phase < N_PHASES; phase++)
    ns[phase] = run_phase (table, phase, 0, n_keys);
  shmkv_table_trim (table);

  printf ("%-8s %9" G_GUINT64_FORMAT " %8u", bytes ? "bytes" : "integers", n_keys, n_buckets);
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

/* ----------------------------------------------------------------- eviction */

/* An insert of whatever status. */
static guint
insert_nth (ShmkvTable *table, guint64 n, guint64 owner)
{
  guint64 words[2], value[(VALUE_SIZE + 7) / 8] = { n };
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_INSERT,
    .flags = owner != 0 ? SHMKV_WIRE_FLAG_SESSION : 0,
    .key = nth_bytes (n, words),
    .value = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = VALUE_SIZE, .bytes = value },
    .owner = owner,
  };
  ShmkvTablePlace place = locate (table, n);
  ShmkvTableAnswer answer;

  if (!bytes && owner == 0)
    return shmkv_table_insert (table, &place, ~n);
  if (!bytes)
    {
      command.key = (ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = nth_key (n) };
      command.value = command.key;
    }
  command.place = place;
  shmkv_table_apply (table, &command, &answer);
  return answer.status;
}

/* Until it evicts, or fails, and some more, as it is to be steady. */
static guint64
fill_up (ShmkvTable *table, guint64 owner)
{
  ShmkvTableStats stats = { .evicted = 0 };
  guint64 n = 0, end;
  guint n_failures = 0;
  double limit;

  while (stats.evicted == 0 && n_failures < 100)
    {
      for (end = n + 1000; n < end; n++)
        n_failures += insert_nth (table, n, owner) == SHMKV_WIRE_STATUS_NO_SPACE && owner != 0;
      shmkv_table_get_stats (table, &stats);
    }
  limit = now_ns () + EVICT_PATIENCE_NS;
  for (end = n + n / 5; owner == 0 && n < end && now_ns () < limit; n++)
    insert_nth (table, n, owner);
  return n;
}

static void
run_evict (guint n_buckets, guint64 owner)
{
  ShmkvTableOptions options = { .n_buckets = n_buckets, .seed = g_random_int (), .evict = TRUE,
                                .max_memory = EVICT_MEMORY };
  g_autoptr (ShmkvTable) table = shmkv_table_new (&options);
  guint64 first = fill_up (table, owner), n = 0;
  double start = now_ns (), ns = 0, before = start, after, worst = 0;
  ShmkvTableStats stats;

  for (; n < EVICT_INSERTS && ns < EVICT_PATIENCE_NS; n++, before = after)
    {
      insert_nth (table, first + n, owner);
      after = now_ns ();
      worst = MAX (worst, after - before);
      ns = after - start;
    }
  shmkv_table_get_stats (table, &stats);
  printf ("%-8s %-6s %8u %10" G_GUINT64_FORMAT " %8.1f %12.0f\n", bytes ? "bytes" : "integers",
          owner != 0 ? "owned" : "", n_buckets, stats.keys, ns / n, worst);
  fflush (stdout);
}

static int
run_all_evict (void)
{
  static const guint n_buckets[] = { 10, 100, 5000 };

  printf ("%-8s %-6s %8s %10s %8s %12s\n", "", "", "buckets", "keys", "ns", "worst ns");
  for (guint64 owner = 0; owner < 2; owner++)
    for (bytes = FALSE; bytes <= TRUE; bytes++)
      for (gsize i = 0; i < G_N_ELEMENTS (n_buckets); i++)
        run_evict (n_buckets[i], owner);
  return 0;
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
    gboolean bytes;
  } sizes[] = { { 5000, 100000, FALSE }, { 5000, 1000000, FALSE }, { 16, 1000000, FALSE },
                { 5000, 10000000, FALSE }, { 5000, 100000, TRUE }, { 5000, 1000000, TRUE },
                { 16, 1000000, TRUE } };

  if (!parse_options (&argc, &argv))
    return 2;
#ifdef M_ARENA_MAX
  mallopt (M_ARENA_MAX, 1);
#endif

  if (evict)
    return run_all_evict ();
  printf ("%-8s %9s %8s %44s %26s\n", "", "", "", "nanoseconds", "resident bytes a pair");
  printf ("%-8s %9s %8s %8s %8s %8s %8s %8s %8s %8s %8s\n", "", "keys", "buckets", "insert", "read", "miss",
          "churn", "delete", "full", "worst", "emptied");
  if (keys > 0)
    return !run_in_child (buckets, keys);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      bytes = sizes[i].bytes;
      if (!run_in_child (sizes[i].buckets, sizes[i].keys))
        return 1;
    }
  return 0;
}
