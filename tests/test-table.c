/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table: against a model that cannot be wrong, at its edges, without
 * memory, and with many threads at once.  After each part all buckets are
 * checked for what must be true of them. */

#include "config.h"

#include "server/table-internal.h"
#include "server/table.h"
#include "util.h"

#include <stdatomic.h>
#include <stdlib.h>

static ShmkvTable *
new_table (guint n_buckets)
{
  ShmkvTableOptions options = { .n_buckets = n_buckets, .seed = util_random () };
  ShmkvTable *table = shmkv_table_new (&options);

  g_assert_nonnull (table);
  g_assert_cmpuint (shmkv_table_get_n_buckets (table), ==, n_buckets);
  return table;
}

static ShmkvTableInsert
insert (ShmkvTable *table, guint64 key, guint64 value)
{
  ShmkvTablePlace place = shmkv_table_locate (table, key);

  shmkv_table_prefetch (table, &place);
  return shmkv_table_insert (table, &place, value);
}

/* Whether it is there. */
static gboolean
read_value (ShmkvTable *table, guint64 key, guint64 *value_out)
{
  ShmkvTablePlace place = shmkv_table_locate (table, key);

  shmkv_table_prefetch (table, &place);
  return shmkv_table_read (table, &place, value_out) == SHMKV_TABLE_FOUND;
}

static gboolean
delete (ShmkvTable *table, guint64 key)
{
  ShmkvTablePlace place = shmkv_table_locate (table, key);

  return shmkv_table_delete (table, &place);
}

static void
assert_absent (ShmkvTable *table, guint64 key)
{
  guint64 value = 4711;

  g_assert_false (read_value (table, key, &value));
  g_assert_cmpuint (value, ==, 4711);
  g_assert_false (delete (table, key));
}

static void
assert_value (ShmkvTable *table, guint64 key, guint64 expected)
{
  guint64 value;

  g_assert_true (read_value (table, key, &value));
  g_assert_cmpuint (value, ==, expected);
}

static guint64
count_keys (ShmkvTable *table)
{
  ShmkvTableStats stats;

  shmkv_table_get_stats (table, &stats);
  return stats.keys;
}

static guint64
used_memory (ShmkvTable *table)
{
  ShmkvTableStats stats;

  shmkv_table_get_stats (table, &stats);
  return stats.memory;
}

static void
check_all (ShmkvTable *table)
{
  for (guint i = 0; i < shmkv_table_get_n_buckets (table); i++)
    g_assert_cmpstr (shmkv_table_check_bucket (table, i), ==, NULL);
  g_assert_true (shmkv_table_check_memory (table));
}

/* -------------------------------------------------------------------- model */

/* Keys and values that fit in a pointer, which here is all of them. */
G_STATIC_ASSERT (sizeof (gpointer) == sizeof (guint64));
#define TO_POINTER(n) ((gpointer) (guintptr) (n))
#define TO_WORD(pointer) ((guint64) (guintptr) (pointer))

#define PAIR_SIZE (2 * sizeof (guint64))

typedef struct
{
  guint64 key;
  guint64 value;
} Pair;

/* A bucket's pairs. */
static GArray *
copy_bucket (ShmkvTable *table, guint bucket)
{
  GArray *pairs = g_array_new (FALSE, FALSE, sizeof (Pair));
  g_autoptr (GByteArray) body = NULL;
  const uint64_t *cursor;
  gsize left, n;
  ShmkvPair pair;

  g_assert_cmpuint (shmkv_table_copy_bucket (table, bucket, &body, &n), ==, SHMKV_WIRE_STATUS_OK);
  cursor = (gconstpointer) body->data;
  left = body->len;
  while (left > 0)
    {
      Pair copy;

      g_assert_true (shmkv_pair_decode (&cursor, &left, &pair));
      copy = (Pair) { .key = pair.key.integer, .value = pair.value.integer };
      g_array_append_val (pairs, copy);
    }
  g_assert_cmpuint (pairs->len, ==, n);
  return pairs;
}

/* That the buckets' copies together are the model: every pair in the bucket of
 * its key, once. */
static void
assert_equal (ShmkvTable *table, GHashTable *model)
{
  guint64 n = 0, longest = 0;
  ShmkvTableStats stats;

  for (guint i = 0; i < shmkv_table_get_n_buckets (table); i++)
    {
      g_autoptr (GArray) pairs = copy_bucket (table, i);
      guint64 previous = 0;

      for (guint j = 0; j < pairs->len; j++)
        {
          Pair pair = g_array_index (pairs, Pair, j);
          ShmkvTablePlace place = shmkv_table_locate (table, pair.key);
          gpointer value;

          g_assert_cmpuint (place.bucket, ==, i);
          g_assert_true (j == 0 || place.hash > previous);
          g_assert_true (g_hash_table_lookup_extended (model, TO_POINTER (pair.key), NULL, &value));
          g_assert_cmpuint (pair.value, ==, TO_WORD (value));
          previous = place.hash;
        }
      n += pairs->len;
      longest = MAX (longest, pairs->len);
    }
  shmkv_table_get_stats (table, &stats);
  g_assert_cmpuint (n, ==, g_hash_table_size (model));
  g_assert_cmpuint (stats.keys, ==, n);
  g_assert_cmpuint (stats.longest_bucket, ==, longest);
}

static void
insert_both (ShmkvTable *table, GHashTable *model, guint64 key, guint64 value)
{
  ShmkvTableInsert expected = g_hash_table_contains (model, TO_POINTER (key))
                              ? SHMKV_TABLE_REPLACED : SHMKV_TABLE_ADDED;

  g_assert_cmpint (insert (table, key, value), ==, expected);
  g_hash_table_insert (model, TO_POINTER (key), TO_POINTER (value));
}

static void
read_both (ShmkvTable *table, GHashTable *model, guint64 key)
{
  gpointer value;

  if (g_hash_table_lookup_extended (model, TO_POINTER (key), NULL, &value))
    assert_value (table, key, TO_WORD (value));
  else
    assert_absent (table, key);
}

static void
delete_both (ShmkvTable *table, GHashTable *model, guint64 key)
{
  g_assert_cmpint (delete (table, key), ==, g_hash_table_remove (model, TO_POINTER (key)));
}

/* Of ten steps `inserts` insert, one reads, and the others delete. */
static void
run_steps (ShmkvTable *table, GHashTable *model, guint n, guint64 range, guint inserts)
{
  for (guint i = 0; i < n; i++)
    {
      guint64 key = util_random () % range;
      guint dice = util_random_range (0, 10);

      if (dice < inserts)
        insert_both (table, model, key, util_random ());
      else if (dice == inserts)
        read_both (table, model, key);
      else
        delete_both (table, model, key);
    }
}

/* Waves of mostly inserts and mostly deletes, so that buckets grow, shrink,
 * run empty and fill again. */
static void
run_waves (guint n_buckets, guint64 range)
{
  static const guint inserts[] = { 8, 5, 2, 0, 9, 4, 1, 0 };
  g_autoptr (GHashTable) model = g_hash_table_new (g_direct_hash, g_direct_equal);
  g_autoptr (ShmkvTable) table = new_table (n_buckets);
  guint n = UTIL_N ((g_test_slow () ? 40 : 4) * range);

  for (gsize i = 0; i < G_N_ELEMENTS (inserts); i++)
    {
      for (guint j = 0; j < 5; j++)
        {
          run_steps (table, model, n / 5, range, inserts[i]);
          check_all (table);
        }
      assert_equal (table, model);
    }
}

static void
test_model (gconstpointer data)
{
  guint n_buckets = GPOINTER_TO_UINT (data);
  static const guint64 ranges[] = { 10, 100, 3000, 20000 };

  for (gsize i = 0; i < G_N_ELEMENTS (ranges); i++)
    if (n_buckets < 100 || ranges[i] > 1000)
      run_waves (n_buckets, ranges[i]);
}

/* -------------------------------------------------------------------- edges */

static void
test_empty (void)
{
  g_autoptr (ShmkvTable) table = new_table (7);
  guint64 memory = used_memory (table);

  for (guint64 key = 0; key < 1000; key++)
    assert_absent (table, key);
  for (guint i = 0; i < 7; i++)
    {
      g_autoptr (GArray) pairs = copy_bucket (table, i);

      g_assert_cmpuint (pairs->len, ==, 0);
    }
  check_all (table);
  g_assert_cmpuint (count_keys (table), ==, 0);
  g_assert_cmpuint (used_memory (table), ==, memory);
}

/* Inserted, replaced, deleted and inserted again, next to whatever is there. */
static void
try_key (ShmkvTable *table, guint64 key)
{
  guint64 n = count_keys (table), value = util_random ();

  assert_absent (table, key);
  g_assert_cmpint (insert (table, key, 0), ==, SHMKV_TABLE_ADDED);
  assert_value (table, key, 0);
  g_assert_cmpint (insert (table, key, G_MAXUINT64), ==, SHMKV_TABLE_REPLACED);
  assert_value (table, key, G_MAXUINT64);
  g_assert_cmpuint (count_keys (table), ==, n + 1);
  g_assert_true (delete (table, key));
  assert_absent (table, key);
  g_assert_cmpuint (count_keys (table), ==, n);
  g_assert_cmpint (insert (table, key, value), ==, SHMKV_TABLE_ADDED);
  assert_value (table, key, value);
}

static void
test_extreme_keys (void)
{
  static const guint n_buckets[] = { 1, 2, 5000 };

  for (gsize i = 0; i < G_N_ELEMENTS (n_buckets); i++)
    {
      g_autoptr (ShmkvTable) table = new_table (n_buckets[i]);

      try_key (table, 0);
      try_key (table, 1);
      try_key (table, G_MAXINT64);
      try_key (table, G_GUINT64_CONSTANT (1) << 63);
      try_key (table, G_MAXUINT64);
      check_all (table);
    }
}

/* The hash that marks an empty slot belongs to a key, too. */
static void
test_extreme_hashes (void)
{
  static const guint n_buckets[] = { 1, 2, 7, 5000 };

  for (gsize i = 0; i < G_N_ELEMENTS (n_buckets); i++)
    {
      g_autoptr (GHashTable) model = g_hash_table_new (g_direct_hash, g_direct_equal);
      g_autoptr (ShmkvTable) table = new_table (n_buckets[i]);
      guint64 last = shmkv_table_key_at (table, G_MAXUINT64);

      g_assert_cmpuint (shmkv_table_locate (table, last).hash, ==, G_MAXUINT64);
      g_assert_cmpuint (shmkv_table_locate (table, last).bucket, ==, n_buckets[i] - 1);
      try_key (table, last);
      g_assert_true (delete (table, last));
      for (guint64 n = 0; n < 20; n++)
        {
          insert_both (table, model, shmkv_table_key_at (table, G_MAXUINT64 - n), n);
          insert_both (table, model, shmkv_table_key_at (table, n), n);
          assert_equal (table, model);
        }
      check_all (table);
      delete_both (table, model, last);
      read_both (table, model, last);
      assert_equal (table, model);
    }
}

/* Keys that all want to live in the same place: slow, but right, and in no
 * more memory than that many others would take. */
static void
run_cluster (guint n_buckets, guint64 first_hash)
{
  g_autoptr (GHashTable) model = g_hash_table_new (g_direct_hash, g_direct_equal);
  g_autoptr (ShmkvTable) table = new_table (n_buckets);
  guint64 memory = used_memory (table);
  guint n = 2000;

  for (guint i = 0; i < n; i++)
    insert_both (table, model, shmkv_table_key_at (table, first_hash + i * 7919 % n), i);
  check_all (table);
  assert_equal (table, model);
  g_assert_cmpuint (used_memory (table) - memory, <, n * 4 * PAIR_SIZE);
  for (guint i = 0; i < n; i++)
    {
      delete_both (table, model, shmkv_table_key_at (table, first_hash + i * 4127 % n));
      if (i % 100 == 0)
        check_all (table);
    }
  assert_equal (table, model);
  g_assert_cmpuint (used_memory (table), ==, memory);
}

static void
test_clusters (void)
{
  run_cluster (1, 0);
  run_cluster (1, G_GUINT64_CONSTANT (1) << 63);
  run_cluster (1, G_MAXUINT64 - 1999);
  run_cluster (7, G_MAXUINT64 / 7 - 1000);
  run_cluster (7, G_MAXUINT64 / 7 - 1999);
  run_cluster (7, G_MAXUINT64 / 7 + 1);
  run_cluster (7, G_MAXUINT64 - 2000);
}

/* ------------------------------------------------------------ growth and memory */

/* What a pair takes at the worst moment, from the first `full` keys on. */
static void
fill (ShmkvTable *table, guint64 n_keys, guint64 full)
{
  guint64 memory = used_memory (table), step = n_keys / 50;

  for (guint64 key = 0; key < n_keys; key++)
    {
      g_assert_cmpint (insert (table, key, ~key), ==, SHMKV_TABLE_ADDED);
      if (key >= full && key % step == 0)
        g_assert_cmpuint (used_memory (table) - memory, <, 28 * key);
    }
}

static void
run_fill (guint n_buckets, guint64 n_keys)
{
  g_autoptr (ShmkvTable) table = new_table (n_buckets);
  guint64 memory = used_memory (table);

  fill (table, n_keys, 200 * n_buckets);
  check_all (table);
  g_assert_cmpuint (count_keys (table), ==, n_keys);
  for (guint64 key = 0; key < n_keys; key++)
    assert_value (table, key, ~key);

  for (guint64 key = n_keys; key-- > n_keys / 20;)
    g_assert_true (delete (table, key));
  check_all (table);
  g_assert_cmpuint (used_memory (table) - memory, <, 60 * (n_keys / 20) + 400 * n_buckets);
  for (guint64 key = 0; key < n_keys; key++)
    if (key < n_keys / 20)
      assert_value (table, key, ~key);
    else
      assert_absent (table, key);

  for (guint64 key = 0; key < n_keys / 20; key++)
    g_assert_true (delete (table, key));
  check_all (table);
  g_assert_cmpuint (count_keys (table), ==, 0);
  g_assert_cmpuint (used_memory (table), ==, memory);
}

static void
test_growth (void)
{
  run_fill (1, UTIL_N (200000));
  run_fill (16, UTIL_N (200000));
  run_fill (500, UTIL_N (500000));
  if (g_test_slow ())
    run_fill (5000, UTIL_N (10000000));
}

static void
test_trim (void)
{
  g_autoptr (ShmkvTable) table = new_table (100);
  guint64 n_keys = 2000000;

  g_assert_false (shmkv_table_trim (table));
  for (guint64 key = 0; key < n_keys; key++)
    insert (table, key, key);
  g_assert_false (shmkv_table_trim (table));
  for (guint64 key = 0; key < n_keys / 4; key++)
    delete (table, key);
  g_assert_false (shmkv_table_trim (table));
  for (guint64 key = 0; key < n_keys; key++)
    delete (table, key);
  g_assert_true (shmkv_table_trim (table));
  g_assert_false (shmkv_table_trim (table));
}

/* Returns the first key that does not fit. */
static guint64
fill_to_the_limit (ShmkvTable *table, GHashTable *model)
{
  guint64 key = 0;

  while (insert (table, key, ~key) == SHMKV_TABLE_ADDED)
    {
      g_hash_table_insert (model, TO_POINTER (key), TO_POINTER (~key));
      key++;
    }
  return key;
}

/* A bucket that has shrunk takes room for two arrays when it grows again, and there
 * may be too little for that.  Whether it was refused. */
static gboolean
insert_again (ShmkvTable *table, GHashTable *model, guint64 key)
{
  ShmkvTableInsert result = insert (table, key, key);

  if (result != SHMKV_TABLE_NO_MEMORY)
    g_assert_cmpint (result, ==, SHMKV_TABLE_ADDED);
  if (result == SHMKV_TABLE_ADDED)
    g_hash_table_insert (model, TO_POINTER (key), TO_POINTER (key));
  return result == SHMKV_TABLE_NO_MEMORY;
}

static void
test_no_memory (void)
{
  static const gsize limits[] = { 0, 1, 200, 5000, 100000, 3000000 };

  for (gsize i = 0; i < G_N_ELEMENTS (limits); i++)
    {
      g_autoptr (GHashTable) model = g_hash_table_new (g_direct_hash, g_direct_equal);
      g_autoptr (ShmkvTable) table = new_table (3);
      guint64 memory, key;
      guint n_refused = 0;

      shmkv_table_limit_slots (table, limits[i]);
      key = fill_to_the_limit (table, model);
      memory = used_memory (table);
      for (guint j = 0; j < 1000; j++)
        g_assert_cmpint (insert (table, key, 1), ==, SHMKV_TABLE_NO_MEMORY);
      g_assert_cmpuint (used_memory (table), ==, memory);
      assert_absent (table, key);
      check_all (table);
      assert_equal (table, model);

      for (guint64 other = 0; other < key; other++)
        {
          insert_both (table, model, other, other);
          delete_both (table, model, other);
          n_refused += insert_again (table, model, other);
        }
      /* Most have room: a bucket rarely shrinks by one key. */
      g_assert_cmpuint (n_refused, <=, key / 2 + 3);
      check_all (table);
      assert_equal (table, model);

      shmkv_table_limit_slots (table, 4 * limits[i] + 50000);
      for (guint64 other = 0; other < 2 * key + 10; other++)
        insert_both (table, model, other, other);
      assert_equal (table, model);
    }
}

/* Where a bucket cannot grow it is filled up first. */
static void
test_little_memory (void)
{
  g_autoptr (GHashTable) model = g_hash_table_new (g_direct_hash, g_direct_equal);
  g_autoptr (ShmkvTable) table = new_table (1);
  guint64 memory = used_memory (table), key;

  for (key = 0; key < 1000; key++)
    insert_both (table, model, key, key);
  shmkv_table_limit_slots (table, used_memory (table) - memory);
  while (insert (table, key, key) == SHMKV_TABLE_ADDED)
    g_hash_table_insert (model, TO_POINTER (key), TO_POINTER (key)), key++;

  g_assert_cmpuint (key * PAIR_SIZE, >, (used_memory (table) - memory) * 85 / 100);
  check_all (table);
  assert_equal (table, model);
  while (key-- > 0)
    delete_both (table, model, key);
  check_all (table);
  g_assert_cmpuint (used_memory (table), ==, memory);
}

/* --------------------------------------------------------------------- hash */

static void
test_bijection (void)
{
  g_autoptr (ShmkvTable) table = new_table (1);

  for (guint i = 0; i < 100000; i++)
    {
      guint64 word = i < 1000 ? i : i < 2000 ? 999 - (guint64) i : util_random ();
      guint64 hash = shmkv_table_locate (table, word).hash;
      guint64 key = shmkv_table_key_at (table, word);

      g_assert_cmpuint (shmkv_table_key_at (table, hash), ==, word);
      g_assert_cmpuint (shmkv_table_locate (table, key).hash, ==, word);
    }
}

static void
test_seeds (void)
{
  ShmkvTableOptions options = { .n_buckets = 5000, .seed = 0 };
  ShmkvTableOptions other_options = { .n_buckets = 5000, .seed = 1 };
  g_autoptr (ShmkvTable) one = shmkv_table_new (&options);
  g_autoptr (ShmkvTable) same = shmkv_table_new (&options);
  g_autoptr (ShmkvTable) other = shmkv_table_new (&other_options);
  guint n = 0;

  for (guint64 key = 0; key < 10000; key++)
    {
      ShmkvTablePlace place = shmkv_table_locate (one, key);

      g_assert_cmpuint (place.bucket, ==, shmkv_table_locate (same, key).bucket);
      n += place.bucket == shmkv_table_locate (other, key).bucket;
    }
  g_assert_cmpuint (n, <, 50);
}

/* Pearson's statistic of keys over buckets is about normal for so many of
 * them: this is nine standard deviations away. */
static void
assert_even (const guint *counts, guint n_buckets, guint n_keys)
{
  double expected = (double) n_keys / n_buckets, sum = 0;

  for (guint i = 0; i < n_buckets; i++)
    sum += (counts[i] - expected) * (counts[i] - expected) / expected;
  sum -= n_buckets;
  g_assert_cmpfloat (sum * sum, <, 81 * 2.0 * n_buckets);
}

/* Keys `step` apart, or random ones where that is 0.  So many steps must not
 * come full circle. */
static void
run_distribution (guint n_buckets, guint64 step)
{
  g_autoptr (ShmkvTable) table = new_table (n_buckets);
  g_autofree guint *counts = g_new0 (guint, n_buckets);
  guint64 key = util_random ();
  guint n_keys = 20 * n_buckets;

  for (guint i = 0; i < n_keys; i++)
    {
      counts[shmkv_table_locate (table, key).bucket]++;
      key = step == 0 ? util_random () : key + step;
    }
  assert_even (counts, n_buckets, n_keys);
}

static void
test_distribution (void)
{
  run_distribution (5000, 0);
  for (guint shift = 0; shift < 44; shift++)
    {
      run_distribution (5000, G_GUINT64_CONSTANT (1) << shift);
      run_distribution (1024, G_GUINT64_CONSTANT (1) << shift);
      run_distribution (1021, G_GUINT64_CONSTANT (1000) << shift);
    }
}

/* ------------------------------------------------------------------ threads */

#define N_THREADS 4
#define N_READERS 16
#define N_OWN_KEYS 500
#define N_SHARED_KEYS 50

/* A thread's own keys have no other user, so it knows what they must be.  The
 * value of a shared key is a multiple of it. */
typedef struct
{
  ShmkvTable *table;
  guint64 first_key;
  guint64 values[N_OWN_KEYS];       /* 0: absent */
  GRand *random;
  guint n_steps;
} Actor;

static guint64
shared_key (Actor *actor)
{
  return g_rand_int_range (actor->random, 1, N_SHARED_KEYS);
}

static void
use_own_key (Actor *actor)
{
  guint i = g_rand_int_range (actor->random, 0, N_OWN_KEYS);
  guint64 key = actor->first_key + i, value;

  switch (g_rand_int_range (actor->random, 0, 3))
    {
    case 0:
      value = 1 + g_rand_int (actor->random);
      g_assert_cmpint (insert (actor->table, key, value), ==,
                       actor->values[i] == 0 ? SHMKV_TABLE_ADDED : SHMKV_TABLE_REPLACED);
      actor->values[i] = value;
      break;
    case 1:
      value = 0;
      g_assert_cmpint (read_value (actor->table, key, &value), ==, actor->values[i] != 0);
      g_assert_cmpuint (value, ==, actor->values[i]);
      break;
    default:
      g_assert_cmpint (delete (actor->table, key), ==, actor->values[i] != 0);
      actor->values[i] = 0;
    }
}

static void
use_shared_key (Actor *actor)
{
  guint64 key = shared_key (actor), value;

  switch (g_rand_int_range (actor->random, 0, 3))
    {
    case 0:
      g_assert_cmpint (insert (actor->table, key, key * g_rand_int (actor->random)), !=,
                       SHMKV_TABLE_NO_MEMORY);
      break;
    case 1:
      if (read_value (actor->table, key, &value))
        g_assert_cmpuint (value % key, ==, 0);
      break;
    default:
      delete (actor->table, key);
    }
}

/* Looks at all keys of a bucket, of whichever thread. */
static void
look_around (Actor *actor)
{
  guint n_buckets = shmkv_table_get_n_buckets (actor->table);
  guint bucket = g_rand_int_range (actor->random, 0, n_buckets);
  g_autoptr (GArray) pairs = copy_bucket (actor->table, bucket);

  g_assert_cmpstr (shmkv_table_check_bucket (actor->table, bucket), ==, NULL);
  for (guint i = 0; i < pairs->len; i++)
    {
      Pair pair = g_array_index (pairs, Pair, i);

      g_assert_cmpuint (shmkv_table_locate (actor->table, pair.key).bucket, ==, bucket);
      g_assert_true (pair.key >= N_SHARED_KEYS || pair.value % pair.key == 0);
    }
  g_assert_cmpuint (count_keys (actor->table), <, N_SHARED_KEYS + N_THREADS * N_OWN_KEYS);
}

static gpointer
act (gpointer data)
{
  Actor *actor = data;

  for (guint i = 0; i < actor->n_steps; i++)
    {
      use_own_key (actor);
      use_shared_key (actor);
      if (i % 1000 == 0)
        look_around (actor);
    }
  return NULL;
}

static void
assert_own_keys (Actor *actor)
{
  for (guint i = 0; i < N_OWN_KEYS; i++)
    if (actor->values[i] == 0)
      assert_absent (actor->table, actor->first_key + i);
    else
      assert_value (actor->table, actor->first_key + i, actor->values[i]);
}

static void
test_threads (gconstpointer data)
{
  guint n_buckets = GPOINTER_TO_UINT (data);
  g_autoptr (ShmkvTable) table = new_table (n_buckets);
  g_autofree Actor *actors = g_new0 (Actor, N_THREADS);
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    {
      actors[i].table = table;
      actors[i].first_key = 1000000 * (i + 1);
      actors[i].random = g_rand_new_with_seed (util_random ());
      actors[i].n_steps = UTIL_N (g_test_slow () ? 2000000 : 200000);
      threads[i] = g_thread_new ("actor", act, &actors[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i < N_THREADS; i++)
    {
      assert_own_keys (&actors[i]);
      g_rand_free (actors[i].random);
    }
  check_all (table);
}

typedef struct
{
  ShmkvTable *table;
  _Atomic guint n_running;
  _Atomic gboolean done;
} Crowd;

static gpointer
read_on (gpointer data)
{
  Crowd *crowd = data;

  atomic_fetch_add (&crowd->n_running, 1);
  while (!atomic_load_explicit (&crowd->done, memory_order_relaxed))
    assert_value (crowd->table, 1, 1);
  return NULL;
}

/* So many readers that one of them always has the lock.  They only stop when
 * the writer is through. */
static void
test_writer_among_readers (void)
{
  g_autoptr (ShmkvTable) table = new_table (1);
  Crowd crowd = { .table = table };
  GThread *threads[N_READERS];

  insert (table, 1, 1);
  for (guint i = 0; i < N_READERS; i++)
    threads[i] = g_thread_new ("reader", read_on, &crowd);
  UTIL_AWAIT (atomic_load (&crowd.n_running) == N_READERS);
  for (guint64 key = 2; key < 100; key++)
    g_assert_cmpint (insert (table, key, key), ==, SHMKV_TABLE_ADDED);
  atomic_store (&crowd.done, TRUE);
  for (guint i = 0; i < N_READERS; i++)
    g_thread_join (threads[i]);
  check_all (table);
}

static void
add_for_buckets (const char *path, guint n_buckets, GTestDataFunc test)
{
  g_autofree char *full_path = g_strdup_printf ("%s/%u", path, n_buckets);

  g_test_add_data_func (full_path, GUINT_TO_POINTER (n_buckets), test);
}

int
main (int argc, char *argv[])
{
  static const guint n_buckets[] = { 1, 2, 7, 5000 };

  util_init (&argc, &argv);

  g_test_add_func ("/table/empty", test_empty);
  g_test_add_func ("/table/extreme-keys", test_extreme_keys);
  g_test_add_func ("/table/extreme-hashes", test_extreme_hashes);
  g_test_add_func ("/table/clusters", test_clusters);
  for (gsize i = 0; i < G_N_ELEMENTS (n_buckets); i++)
    add_for_buckets ("/table/model", n_buckets[i], test_model);
  g_test_add_func ("/table/growth", test_growth);
  g_test_add_func ("/table/trim", test_trim);
  g_test_add_func ("/table/no-memory", test_no_memory);
  g_test_add_func ("/table/little-memory", test_little_memory);
  g_test_add_func ("/table/hash/bijection", test_bijection);
  g_test_add_func ("/table/hash/seeds", test_seeds);
  g_test_add_func ("/table/hash/distribution", test_distribution);
  add_for_buckets ("/table/threads", 1, test_threads);
  add_for_buckets ("/table/threads", 3, test_threads);
  add_for_buckets ("/table/threads", 5000, test_threads);
  g_test_add_func ("/table/writer-among-readers", test_writer_among_readers);

  return util_run ();
}
