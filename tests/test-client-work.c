/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the test routines and the benchmarks of shmkv-client are made of: all that
 * needs no server. */

#include "config.h"

#include "client/bench-data.h"
#include "client/bench-work.h"
#include "client/cli.h"
#include "client/crew.h"
#include "client/flow.h"
#include "client/histogram.h"
#include "client/keygen.h"
#include "client/test-script.h"

#include <math.h>
#include <string.h>

static guint64
random_seed (void)
{
  return (guint64) (guint32) g_test_rand_int () << 32 | (guint32) g_test_rand_int ();
}

static void
assert_usage_error (GError *error, const char *fragment)
{
  g_assert_error (error, CLI_ERROR, CLI_ERROR_USAGE);
  if (strstr (error->message, fragment) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, fragment);
  g_error_free (error);
}

/* ---------------------------------------------------------------- histogram */

static void
check_histogram_bounds (guint64 value)
{
  guint index = cli_histogram_index (value);
  guint64 upper = cli_histogram_upper_bound (index);

  g_assert_cmpuint (index, <, CLI_HISTOGRAM_SIZE);
  g_assert_cmpuint (upper, >=, value);
  g_assert_cmpuint (upper - value, <=, value / CLI_HISTOGRAM_STEPS);
  if (upper < G_MAXUINT64)
    g_assert_cmpuint (cli_histogram_index (upper + 1), ==, index + 1);
}

static void
test_histogram_bounds (void)
{
  guint64 random = random_seed ();

  for (guint64 value = 0; value < 100000; value++)
    check_histogram_bounds (value);
  for (guint i = 0; i < 100000; i++)
    check_histogram_bounds (cli_random_next (&random) >> (i % 64));
  check_histogram_bounds (G_MAXUINT64);
  g_assert_cmpuint (cli_histogram_index (G_MAXUINT64), ==, CLI_HISTOGRAM_SIZE - 1);
}

static void
test_histogram_quantiles (void)
{
  g_autofree CliHistogram *histogram = g_new0 (CliHistogram, 1);
  g_autofree CliHistogram *other = g_new0 (CliHistogram, 1);

  g_assert_cmpuint (cli_histogram_quantile (histogram, 0.5), ==, 0);
  g_assert_cmpfloat (cli_histogram_mean (histogram), ==, 0);

  for (guint64 value = 1; value <= 100; value++)
    cli_histogram_add (value <= 50 ? histogram : other, value, 1);
  cli_histogram_merge (histogram, other);
  g_assert_cmpuint (cli_histogram_quantile (histogram, 0), ==, 1);
  g_assert_cmpuint (cli_histogram_quantile (histogram, 0.5), ==, 50);
  g_assert_cmpuint (cli_histogram_quantile (histogram, 0.99), ==, 99);
  g_assert_cmpuint (cli_histogram_quantile (histogram, 1), ==, 100);
  g_assert_cmpfloat (cli_histogram_mean (histogram), ==, 50.5);

  /* The greatest is known exactly, and bounds what is said of the others. */
  cli_histogram_add (histogram, 1000001, 900);
  g_assert_cmpuint (cli_histogram_quantile (histogram, 0.5), ==, 1000001);
  g_assert_cmpuint (histogram->max, ==, 1000001);
  g_assert_cmpuint (histogram->n, ==, 1000);
}

static int
compare_values (gconstpointer a, gconstpointer b)
{
  guint64 first = *(const guint64 *) a, second = *(const guint64 *) b;

  return (first > second) - (first < second);
}

/* Latencies from a nanosecond to hours: as many of each magnitude. */
static guint64 *
make_values (CliHistogram *histogram, gsize n)
{
  guint64 random = random_seed ();
  guint64 *values = g_new (guint64, n);

  for (gsize i = 0; i < n; i++)
    {
      values[i] = (cli_random_next (&random) | G_GUINT64_CONSTANT (1) << 63) >> (20 + i % 44);
      cli_histogram_add (histogram, values[i], 1);
    }
  qsort (values, n, sizeof *values, compare_values);
  return values;
}

#define N_VALUES 100003

/* Never below the truth, and at most 1/128 above it. */
static void
test_histogram_error (void)
{
  g_autofree CliHistogram *histogram = g_new0 (CliHistogram, 1);
  g_autofree guint64 *values = make_values (histogram, N_VALUES);

  for (guint i = 1; i <= 10000; i++)
    {
      double q = i / 10000.0;
      guint64 truth = values[(gsize) ceil (q * N_VALUES) - 1];
      guint64 told = cli_histogram_quantile (histogram, q);

      g_assert_cmpuint (told, >=, truth);
      g_assert_cmpfloat ((double) (told - truth), <=, truth / 128.0);
    }
  g_assert_cmpuint (cli_histogram_quantile (histogram, 1), ==, values[N_VALUES - 1]);
}

static void
test_histogram_deviation (void)
{
  g_autofree CliHistogram *histogram = g_new0 (CliHistogram, 1);

  g_assert_cmpfloat (cli_histogram_deviation (histogram), ==, 0);
  cli_histogram_add (histogram, 100, 5);
  g_assert_cmpfloat (cli_histogram_deviation (histogram), ==, 0);
  cli_histogram_add (histogram, 200, 5);
  g_assert_cmpfloat (cli_histogram_deviation (histogram), ==, 50);
  cli_histogram_add (histogram, 1000000, 10);
  g_assert_cmpfloat (fabs (cli_histogram_deviation (histogram) / 499925 - 1), <, 0.01);
}

static void
test_histogram_percentiles (void)
{
  g_autofree CliHistogram *histogram = g_new0 (CliHistogram, 1);
  g_autofree guint64 *values = make_values (histogram, N_VALUES);
  g_autoptr (GArray) lines = cli_histogram_percentiles (histogram);
  const CliPercentile *last = &g_array_index (lines, CliPercentile, lines->len - 1);

  g_assert_cmpuint (lines->len, >, 50);
  for (guint i = 0; i < lines->len; i++)
    {
      const CliPercentile *line = &g_array_index (lines, CliPercentile, i);

      g_assert_cmpfloat (line->n, >=, line->percentile * N_VALUES);
      g_assert_cmpuint (line->value, >=, values[line->n - 1]);
      if (line == last)
        break;
      g_assert_cmpfloat (line->percentile, <, line[1].percentile);
      g_assert_cmpuint (line->value, <=, line[1].value);
      g_assert_cmpuint (line->n, <=, line[1].n);
    }
  g_assert_cmpfloat (last->percentile, ==, 1);
  g_assert_cmpuint (last->n, ==, N_VALUES);
  g_assert_cmpuint (last->value, ==, values[N_VALUES - 1]);
}

static void
test_histogram_percentiles_of_one (void)
{
  g_autofree CliHistogram *histogram = g_new0 (CliHistogram, 1);
  g_autoptr (GArray) lines = NULL;

  cli_histogram_add (histogram, 5, 1);
  lines = cli_histogram_percentiles (histogram);
  g_assert_cmpuint (lines->len, ==, 1);
  g_assert_cmpuint (g_array_index (lines, CliPercentile, 0).value, ==, 5);
}

/* --------------------------------------------------------------------- keys */

static CliKeysDistribution
parse_distribution (const char *text)
{
  g_autoptr (GError) error = NULL;
  CliKeysDistribution distribution;

  g_assert_true (cli_keys_parse (text, &distribution, &error));
  g_assert_no_error (error);
  return distribution;
}

static void
test_keys_parse (void)
{
  static const char *const bad[] = { "",        "zipf",     "zipf:",     "zipf:0",  "zipf:-1",
                                     "zipf:x",  "zipf:0.9x", "zipf:1e5", "Uniform", "zipf:nan",
                                     "zipf:101", "ycsb",     "scrambled:", "latest:0",
                                     "latestt",  "scramble" };

  g_assert_cmpint (parse_distribution ("uniform").kind, ==, CLI_KEYS_UNIFORM);
  g_assert_cmpint (parse_distribution ("sequential").kind, ==, CLI_KEYS_SEQUENTIAL);
  g_assert_cmpint (parse_distribution ("zipf:0.99").kind, ==, CLI_KEYS_ZIPF);
  g_assert_cmpfloat (parse_distribution ("zipf:0.99").theta, ==, 0.99);
  g_assert_cmpint (parse_distribution ("scrambled").kind, ==, CLI_KEYS_SCRAMBLED);
  g_assert_cmpfloat (parse_distribution ("scrambled").theta, ==, 0.99);
  g_assert_cmpfloat (parse_distribution ("scrambled:1.5").theta, ==, 1.5);
  g_assert_cmpint (parse_distribution ("latest").kind, ==, CLI_KEYS_LATEST);
  g_assert_cmpfloat (parse_distribution ("latest:0.5").theta, ==, 0.5);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      GError *error = NULL;
      CliKeysDistribution distribution;

      g_assert_false (cli_keys_parse (bad[i], &distribution, &error));
      assert_usage_error (error, "distribution");
    }
}

static void
test_keys_sequential (void)
{
  const CliKeysDistribution distribution = parse_distribution ("sequential");
  static const guint64 expected[] = { 3, 4, 0, 1, 2, 3 };
  CliKeygen keygen;

  cli_keygen_init (&keygen, &distribution, 5, 1, 3);
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    g_assert_cmpuint (cli_keygen_next (&keygen), ==, expected[i]);
}

#define N_DRAWS 1000000

/* How often each key below `n` comes. */
static guint *
draw (const char *text, guint64 n)
{
  const CliKeysDistribution distribution = parse_distribution (text);
  guint *counts = g_new0 (guint, n);
  CliKeygen keygen;

  cli_keygen_init (&keygen, &distribution, n, random_seed (), 0);
  for (guint i = 0; i < N_DRAWS; i++)
    {
      guint64 key = cli_keygen_next (&keygen);

      g_assert_cmpuint (key, <, n);
      counts[key]++;
    }
  return counts;
}

/* Six standard deviations off: less than once in a hundred million. */
static void
assert_frequency (guint count, double probability)
{
  double expected = N_DRAWS * probability;

  g_assert_cmpfloat (fabs (count - expected), <=, 6 * sqrt (expected) + 1);
}

static void
test_keys_uniform (void)
{
  g_autofree guint *counts = draw ("uniform", 100);
  g_autofree guint *one = draw ("uniform", 1);

  for (guint i = 0; i < 100; i++)
    assert_frequency (counts[i], 0.01);
  g_assert_cmpuint (one[0], ==, N_DRAWS);
}

static void
check_zipf (double theta, guint n)
{
  g_autofree char *text = g_strdup_printf ("zipf:%.2f", theta);
  g_autofree guint *counts = draw (text, n);
  double sum = 0;
  guint tail = 0;
  double tail_probability = 0;
  double chi_square = 0;
  guint n_terms = 0;

  for (guint k = 1; k <= n; k++)
    sum += pow (k, -theta);
  for (guint k = 1; k <= n; k++)
    {
      double probability = pow (k, -theta) / sum;

      if (k <= 20)
        assert_frequency (counts[k - 1], probability);
      tail += k > 20 ? counts[k - 1] : 0;
      tail_probability += k > 20 ? probability : 0;
      if (probability * N_DRAWS >= 10)
        {
          double difference = counts[k - 1] - probability * N_DRAWS;

          chi_square += difference * difference / (probability * N_DRAWS);
          n_terms++;
        }
    }
  assert_frequency (tail, tail_probability);
  /* Ten standard deviations above its mean. */
  g_assert_cmpfloat (chi_square, <=, n_terms + 10 * sqrt (2.0 * n_terms) + 30);
}

static void
test_keys_zipf (void)
{
  static const double thetas[] = { 0.01, 0.5, 0.99, 1.0, 1.2, 3.0 };
  static const guint sizes[] = { 1, 2, 3, 1000, 100000 };

  for (guint i = 0; i < G_N_ELEMENTS (thetas); i++)
    {
      for (guint j = 0; j < G_N_ELEMENTS (sizes); j++)
        check_zipf (thetas[i], sizes[j]);
    }
}

/* Two generators that draw the same ranks. */
static void
init_pair (CliKeygen *ranks, CliKeygen *keys, const char *theta, const char *kind, guint64 n)
{
  g_autofree char *zipf = g_strconcat ("zipf:", theta, NULL);
  g_autofree char *other = g_strconcat (kind, ":", theta, NULL);
  const CliKeysDistribution of_ranks = parse_distribution (zipf);
  const CliKeysDistribution of_keys = parse_distribution (other);
  guint64 seed = random_seed ();

  cli_keygen_init (ranks, &of_ranks, n, seed, 0);
  cli_keygen_init (keys, &of_keys, n, seed, 0);
}

/* Each rank is another key: so the frequencies are those of the Zipf distribution,
 * which test_keys_zipf() checks. */
static void
check_scrambled (guint n)
{
  g_autofree gint64 *key_of = g_new (gint64, n);
  g_autofree gint64 *rank_of = g_new (gint64, n);
  CliKeygen ranks, keys;

  memset (key_of, -1, n * sizeof *key_of);
  memset (rank_of, -1, n * sizeof *rank_of);
  init_pair (&ranks, &keys, "0.3", "scrambled", n);
  for (guint i = 0; i < 200000; i++)
    {
      guint64 rank = cli_keygen_next (&ranks), key = cli_keygen_next (&keys);

      g_assert_cmpuint (key, <, n);
      g_assert_true (key_of[rank] == -1 || key_of[rank] == (gint64) key);
      g_assert_true (rank_of[key] == -1 || rank_of[key] == (gint64) rank);
      key_of[rank] = (gint64) key;
      rank_of[key] = (gint64) rank;
    }
  /* The most frequent ones are spread: both halves have a fair share. */
  if (n >= 1000)
    {
      guint n_upper = 0;

      for (guint rank = 0; rank < 100; rank++)
        n_upper += key_of[rank] >= n / 2;
      g_assert_cmpuint (n_upper, >=, 30);
      g_assert_cmpuint (n_upper, <=, 70);
    }
}

static void
test_keys_scrambled (void)
{
  static const guint sizes[] = { 1, 2, 3, 10, 1000, 4096, 65537 };
  CliKeygen ranks, keys;
  guint64 n_different = 0;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    check_scrambled (sizes[i]);

  /* As many keys as the number to multiply with would be; all would be one. */
  init_pair (&ranks, &keys, "0.99", "scrambled", G_GUINT64_CONSTANT (2654435761));
  for (guint i = 0; i < 1000; i++)
    {
      guint64 key = cli_keygen_next (&keys);

      g_assert_cmpuint (key, <, G_GUINT64_CONSTANT (2654435761));
      n_different += key != 0;
    }
  g_assert_cmpuint (n_different, >, 500);
}

static void
test_keys_latest (void)
{
  CliKeygen ranks, keys;

  init_pair (&ranks, &keys, "0.99", "latest", 1000);
  for (guint i = 0; i < 10000; i++)
    g_assert_cmpuint (cli_keygen_next (&keys), ==, 999 - cli_keygen_next (&ranks));

  /* The second of three generators, which added two before, and now two more. */
  init_pair (&ranks, &keys, "0.99", "latest", 1000);
  cli_keygen_share (&keys, 1, 3, 2);
  g_assert_cmpuint (cli_keygen_add (&keys), ==, 1007);
  g_assert_cmpuint (cli_keygen_add (&keys), ==, 1010);
  for (guint i = 0; i < 10000; i++)
    {
      guint64 rank = cli_keygen_next (&ranks);

      g_assert_cmpuint (cli_keygen_next (&keys), ==,
                        rank < 4 ? 1010 - 3 * rank : 999 - (rank - 4));
    }
}

/* --------------------------------------------------------------- benchmarks */

static void
test_work (void)
{
  static const char *const ops[] = { "insert", "read", "delete", "mixed", "ping" };
  static const char *const workloads[] = { "a", "b", "c", "d", "e", "F" };

  for (guint i = 0; i < G_N_ELEMENTS (ops) + G_N_ELEMENTS (workloads); i++)
    {
      const char *op = i < G_N_ELEMENTS (ops) ? ops[i] : NULL;
      const char *workload = op == NULL ? workloads[i - G_N_ELEMENTS (ops)] : NULL;
      g_autoptr (GError) error = NULL;
      CliBenchWork work;
      guint sum = 0;

      g_assert_true (cli_bench_work_parse (op, workload, CLI_BENCH_NO_READS, &work, &error));
      g_assert_no_error (error);
      for (guint j = 0; j < CLI_BENCH_N_ACTIONS; j++)
        sum += work.percents[j];
      g_assert_cmpuint (sum, ==, 100);
      parse_distribution (work.distribution);
    }
}

static void
check_data (gsize key_size, gsize value_min, gsize value_max)
{
  CliBenchData data = { .key_size = key_size, .value_min = value_min, .value_max = value_max };
  g_autofree guint8 *key_buffer = g_malloc (key_size);
  g_autofree guint8 *value_buffer = g_malloc (value_max);
  guint64 random = random_seed ();
  gboolean has_min = FALSE, has_max = FALSE;

  cli_bench_data_init (&data);
  for (guint i = 0; i < 5000; i++)
    {
      guint64 key = cli_random_next (&random) >> (i % 64), found;
      g_autofree char *digits = g_strdup_printf ("%016" G_GINT64_MODIFIER "x", key);
      ShmkvDatum made = cli_bench_data_make_key (&data, key, key_buffer);
      ShmkvDatum value = cli_bench_data_make_value (&data, key, value_buffer);

      g_assert_true (key_size == 0 ? made.integer == key : memcmp (made.bytes, digits, 16) == 0);
      g_assert_true (cli_bench_data_find_key (&data, &made, &found));
      g_assert_cmpuint (found, ==, key);
      g_assert_true (cli_bench_data_is_value (&data, key, &value));
      /* A few bytes can be those of another key by chance. */
      if (value_max == 0 || value.length >= 8)
        g_assert_false (cli_bench_data_is_value (&data, key + 1, &value));
      if (value_max == 0)
        continue;
      g_assert_cmpuint (value.length, >=, value_min);
      g_assert_cmpuint (value.length, <=, value_max);
      has_min |= value.length == value_min;
      has_max |= value.length == value_max;
      /* Each byte counts. */
      value_buffer[i % value.length] ^= 1;
      g_assert_false (cli_bench_data_is_value (&data, key, &value));
      value_buffer[i % value.length] ^= 1;
      value.length--;
      g_assert_false (cli_bench_data_is_value (&data, key, &value));
    }
  g_assert_true (value_max == 0 || (has_min && has_max));
  cli_bench_data_clear (&data);
}

static void
test_data (void)
{
  static const gsize key_sizes[] = { 0, 16, 17, 100 };

  for (guint i = 0; i < G_N_ELEMENTS (key_sizes); i++)
    {
      check_data (key_sizes[i], 0, 0);
      check_data (key_sizes[i], 1, 1);
      check_data (key_sizes[i], 5, 9);
      check_data (key_sizes[i], 8, 8);
      check_data (key_sizes[i], 100, 200);
      check_data (key_sizes[i], 100000, 100000);
    }
}

/* ------------------------------------------------------------ test routines */

/* A table that answers rightly, except that it forgets the key `broken`. */
static ShmkvCompletion
answer (GHashTable *table, const CliStep *step, guint64 broken)
{
  ShmkvCompletion completion = { .op = step->op, .user_data = step->user_data };
  guint64 *value = g_hash_table_lookup (table, &step->key);

  if (step->op == SHMKV_OP_INSERT)
    {
      completion.status = value != NULL ? SHMKV_STATUS_REPLACED : SHMKV_STATUS_ADDED;
      if (step->key != broken)
        g_hash_table_replace (table, g_memdup2 (&step->key, 8), g_memdup2 (&step->value, 8));
      return completion;
    }
  completion.status = value != NULL ? SHMKV_STATUS_OK : SHMKV_STATUS_NO_KEY;
  if (step->op == SHMKV_OP_READ && value != NULL)
    completion.value = *value;
  else if (step->op == SHMKV_OP_DELETE)
    g_hash_table_remove (table, &step->key);
  return completion;
}

/* Runs all routines against a table, and returns how many answers were wrong. */
static guint
run_routines (guint64 key_base, guint64 n_keys, guint64 broken)
{
  g_autoptr (GHashTable) table
    = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  g_autofree guint64 *values = g_new0 (guint64, n_keys);
  CliModel model = { key_base, values };
  guint64 seed = random_seed ();
  guint n_wrong = 0;

  for (CliRoutine routine = CLI_ROUTINE_INSERT; routine <= CLI_ROUTINE_CLEANUP; routine++)
    {
      CliScript script = cli_script_begin (routine, key_base, n_keys, seed);
      CliScript again = script;

      while (script.step < script.n_steps)
        {
          CliStep step = cli_script_next (&script), same = cli_script_next (&again);
          ShmkvCompletion completion = answer (table, &step, broken);

          g_assert_cmpuint (step.key - key_base, <, n_keys);
          g_assert_cmpuint (step.key, ==, same.key);
          g_assert_cmpuint (step.value, ==, same.value);
          n_wrong += !cli_model_check (&model, &same, &completion);
        }
      if (routine == CLI_ROUTINE_DELETE || routine == CLI_ROUTINE_CLEANUP)
        g_assert_cmpuint (g_hash_table_size (table), ==, 0);
    }
  return n_wrong;
}

static void
test_routines (void)
{
  guint64 near_the_end = G_MAXUINT64 - 500;

  g_assert_cmpuint (run_routines (0, 1, G_MAXUINT64), ==, 0);
  g_assert_cmpuint (run_routines (near_the_end, 1000, 1000), ==, 0);
  g_assert_cmpuint (run_routines (1000, 1000, 1500), >, 0);
}

static void
test_model_notices (void)
{
  guint64 value = 0;
  CliModel model = { 5, &value };
  const CliStep insert = { .op = SHMKV_OP_INSERT, .key = 5, .value = 7 };
  const CliStep read = { .op = SHMKV_OP_READ, .key = 5 };
  const ShmkvCompletion added = { .op = SHMKV_OP_INSERT, .status = SHMKV_STATUS_ADDED };
  ShmkvCompletion answered = { .op = SHMKV_OP_READ, .status = SHMKV_STATUS_OK, .value = 7 };

  g_assert_true (cli_model_check (&model, &insert, &added));
  g_assert_false (cli_model_check (&model, &insert, &added));
  g_assert_true (cli_model_check (&model, &read, &answered));
  g_assert_false (cli_model_check (&model, &read, &added));
  answered.value = 8;
  g_assert_false (cli_model_check (&model, &read, &answered));
  answered.status = SHMKV_STATUS_NO_KEY;
  g_assert_false (cli_model_check (&model, &read, &answered));
  answered.status = SHMKV_STATUS_NO_MEMORY;
  g_assert_false (cli_model_check (&model, &read, &answered));
}

/* ------------------------------------------------------------------ threads */

static gboolean
count_up (CliCrew *crew, gpointer data, GError **error)
{
  g_atomic_int_inc ((gint *) data);
  return TRUE;
}

static gboolean
wait_for_stop (CliCrew *crew, gpointer data, GError **error)
{
  while (!cli_crew_should_stop (crew))
    g_thread_yield ();
  return TRUE;
}

static gboolean
fail (CliCrew *crew, gpointer data, GError **error)
{
  g_set_error_literal (error, CLI_ERROR, CLI_ERROR_FAILED, "failed");
  return FALSE;
}

static gboolean
fail_after_the_other (CliCrew *crew, gpointer data, GError **error)
{
  wait_for_stop (crew, data, NULL);
  g_set_error_literal (error, CLI_ERROR, CLI_ERROR_FAILED, "failed later");
  return FALSE;
}

static void
test_crew (void)
{
  gint n = 0;
  const CliCrewTask good[] = { { count_up, &n }, { count_up, &n }, { count_up, &n } };
  const CliCrewTask bad[] = { { wait_for_stop }, { fail_after_the_other }, { fail } };
  g_autoptr (GError) error = NULL;
  gint64 ns = -1;

  g_assert_true (cli_crew_run (good, 3, FALSE, &ns, &error));
  g_assert_no_error (error);
  g_assert_cmpint (n, ==, 3);
  g_assert_cmpint (ns, >=, 0);

  g_assert_false (cli_crew_run (bad, 3, FALSE, &ns, &error));
  g_assert_error (error, CLI_ERROR, CLI_ERROR_FAILED);
  g_assert_cmpstr (error->message, ==, "failed");
}

/* A queue of `sent` without the queue: what matters is who waits for whom. */
typedef struct
{
  CliFlow flow;
  gint sent;               /* atomic */
  guint total;
} FlowFixture;

static gboolean
send_all (CliCrew *crew, gpointer data, GError **error)
{
  FlowFixture *fixture = data;

  for (guint n = 0; n < fixture->total;)
    {
      guint room = cli_flow_get_room (&fixture->flow, n);

      g_assert_cmpuint (room, <=, fixture->flow.window);
      if (room == 0)
        {
          g_assert_true (cli_flow_wait (&fixture->flow, n));
          continue;
        }
      g_atomic_int_inc (&fixture->sent);
      n++;
    }
  cli_flow_finish (&fixture->flow, fixture->total);
  return TRUE;
}

static gboolean
take_all (CliCrew *crew, gpointer data, GError **error)
{
  FlowFixture *fixture = data;

  for (guint n = 0; !cli_flow_is_over (&fixture->flow, n);)
    {
      guint sent = (guint) g_atomic_int_get (&fixture->sent);

      g_assert_cmpuint (sent - n, <=, fixture->flow.window);
      if (sent == n)
        g_thread_yield ();
      else
        cli_flow_took (&fixture->flow, sent - n);
      n = sent;
    }
  return TRUE;
}

static void
test_flow (void)
{
  static const guint windows[] = { 1, 2, 3, 1000 };

  for (guint i = 0; i < G_N_ELEMENTS (windows); i++)
    {
      FlowFixture fixture = { .total = 20000 };
      const CliCrewTask tasks[] = { { send_all, &fixture }, { take_all, &fixture } };
      gint64 ns;

      cli_flow_init (&fixture.flow, windows[i]);
      g_assert_true (cli_crew_run (tasks, 2, FALSE, &ns, NULL));
      cli_flow_clear (&fixture.flow);
    }
}

static gboolean
wait_in_full_window (CliCrew *crew, gpointer data, GError **error)
{
  g_assert_false (cli_flow_wait (data, 1));
  return TRUE;
}

static gboolean
abort_flow (CliCrew *crew, gpointer data, GError **error)
{
  cli_flow_abort (data);
  return TRUE;
}

static void
test_flow_abort (void)
{
  for (guint i = 0; i < 100; i++)
    {
      CliFlow flow;
      const CliCrewTask tasks[] = { { wait_in_full_window, &flow }, { abort_flow, &flow } };
      gint64 ns;

      cli_flow_init (&flow, 1);
      g_assert_true (cli_crew_run (tasks, 2, FALSE, &ns, NULL));
      cli_flow_clear (&flow);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/client/histogram/bounds", test_histogram_bounds);
  g_test_add_func ("/client/histogram/quantiles", test_histogram_quantiles);
  g_test_add_func ("/client/histogram/error", test_histogram_error);
  g_test_add_func ("/client/histogram/deviation", test_histogram_deviation);
  g_test_add_func ("/client/histogram/percentiles", test_histogram_percentiles);
  g_test_add_func ("/client/histogram/percentiles-of-one", test_histogram_percentiles_of_one);
  g_test_add_func ("/client/keys/parse", test_keys_parse);
  g_test_add_func ("/client/keys/sequential", test_keys_sequential);
  g_test_add_func ("/client/keys/uniform", test_keys_uniform);
  g_test_add_func ("/client/keys/zipf", test_keys_zipf);
  g_test_add_func ("/client/keys/scrambled", test_keys_scrambled);
  g_test_add_func ("/client/keys/latest", test_keys_latest);
  g_test_add_func ("/client/bench/work", test_work);
  g_test_add_func ("/client/bench/data", test_data);
  g_test_add_func ("/client/routines/right", test_routines);
  g_test_add_func ("/client/routines/wrong", test_model_notices);
  g_test_add_func ("/client/crew", test_crew);
  g_test_add_func ("/client/flow/window", test_flow);
  g_test_add_func ("/client/flow/abort", test_flow_abort);
  return g_test_run ();
}
