/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading plain pairs without the bucket's lock: when that is refused, and what
 * is read while others write. */

#include "config.h"

#include "server/plain.h"
#include "util.h"

#include <stdatomic.h>
#include <string.h>

static ShmkvTable *
new_table (guint n_buckets)
{
  ShmkvTableOptions options = { .n_buckets = n_buckets, .seed = util_random () };
  ShmkvTable *table = shmkv_table_new (&options);

  g_assert_nonnull (table);
  return table;
}

static ShmkvReader *
add_reader (ShmkvTable *table)
{
  ShmkvReader *reader = shmkv_table_add_reader (table);

  g_assert_nonnull (reader);
  return reader;
}

static ShmkvTableInsert
insert (ShmkvTable *table, guint64 key, guint64 value)
{
  ShmkvTablePlace place = shmkv_table_locate (table, key);

  return shmkv_table_insert (table, &place, value);
}

static gboolean
delete (ShmkvTable *table, guint64 key)
{
  ShmkvTablePlace place = shmkv_table_locate (table, key);

  return shmkv_table_delete (table, &place);
}

/* Inserts in full: with a time to live if it is not 0, and bytes if `text`. */
static guint
apply_insert (ShmkvTable *table, guint64 key, guint64 value, const char *text, guint64 ttl_ms)
{
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_INSERT,
    .flags = ttl_ms != 0 ? SHMKV_WIRE_FLAG_TTL : 0,
    .place = shmkv_table_locate (table, key),
    .key = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = key },
    .value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = value },
    .ttl_ms = ttl_ms,
  };
  ShmkvTableAnswer answer;

  if (text != NULL)
    command.value = (ShmkvField) {
      .kind = SHMKV_WIRE_KIND_BYTES, .integer = strlen (text), .bytes = text
    };
  shmkv_table_apply (table, &command, &answer);
  return answer.status;
}

static void
check_all (ShmkvTable *table)
{
  for (guint i = 0; i < shmkv_table_get_n_buckets (table); i++)
    g_assert_cmpstr (shmkv_table_check_bucket (table, i), ==, NULL);
  g_assert_true (shmkv_table_check_memory (table));
}

/* Whether it can be read without the lock; then it must be so. */
static gboolean
peek (const ShmkvTable *table, guint64 key, ShmkvTableRead expected, guint64 expected_value)
{
  ShmkvTablePlace place = shmkv_plain_locate (table, key);
  ShmkvTableRead found;
  guint64 value;

  if (!shmkv_plain_peek (table, &place, &found, &value))
    return FALSE;
  g_assert_cmpint (found, ==, expected);
  if (found == SHMKV_TABLE_FOUND)
    g_assert_cmpuint (value, ==, expected_value);
  return TRUE;
}

static void
assert_read (ShmkvTable *table, guint64 key, ShmkvTableRead expected, guint64 expected_value)
{
  ShmkvTablePlace place = shmkv_plain_locate (table, key);
  guint64 value = ~expected_value;

  g_assert_cmpint (shmkv_plain_read (table, &place, &value), ==, expected);
  if (expected == SHMKV_TABLE_FOUND)
    g_assert_cmpuint (value, ==, expected_value);
}

static ShmkvBucket *
bucket_of (ShmkvTable *table, guint64 key)
{
  return &table->buckets[shmkv_table_locate (table, key).bucket];
}

/* ---------------------------------------------------------------- one thread */

/* Every state of every bucket, as long as it has nothing but plain pairs. */
static void
test_peek (gconstpointer data)
{
  g_autoptr (ShmkvTable) table = new_table (GPOINTER_TO_UINT (data));
  const guint n = UTIL_N (5000);

  for (guint64 key = 0; key < n; key++)
    {
      g_assert_true (peek (table, key, SHMKV_TABLE_ABSENT, 0));
      insert (table, key, ~key);
      g_assert_true (peek (table, key, SHMKV_TABLE_FOUND, ~key));
      insert (table, key, key * 3);
      g_assert_true (peek (table, key / 2, SHMKV_TABLE_FOUND, key / 2 * 3));
    }
  for (guint64 key = 0; key < n; key++)
    {
      g_assert_true (peek (table, key, SHMKV_TABLE_FOUND, key * 3));
      delete (table, key);
      g_assert_true (peek (table, key, SHMKV_TABLE_ABSENT, 0));
    }
  check_all (table);
}

/* While a writer is at it, and only in that bucket. */
static void
test_writer (void)
{
  g_autoptr (ShmkvTable) table = new_table (2);
  guint64 key = shmkv_table_key_at (table, 12345), other = shmkv_table_key_at (table, ~12345ull);
  ShmkvBucket *bucket = bucket_of (table, key);

  g_assert_true (bucket != bucket_of (table, other));
  insert (table, key, 1);
  insert (table, other, 2);
  shmkv_lock_to_write (bucket);
  g_assert_false (peek (table, key, SHMKV_TABLE_FOUND, 1));
  g_assert_true (peek (table, other, SHMKV_TABLE_FOUND, 2));
  shmkv_unlock_to_write (bucket);
  g_assert_true (peek (table, key, SHMKV_TABLE_FOUND, 1));

  shmkv_lock_to_read (bucket);
  g_assert_true (peek (table, key, SHMKV_TABLE_FOUND, 1));
  shmkv_unlock_to_read (bucket);
}

/* Who has been overtaken by any change hears of it. */
static void
test_overtaken (void)
{
  g_autoptr (ShmkvTable) table = new_table (1);
  const ShmkvBucket *bucket = &table->buckets[0];
  guint32 sequence = shmkv_reading_begin (bucket);
  guint cleared = 0;
  guint64 n = 0;

#define ASSERT_OVERTAKEN_BY(change)                                                                \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_assert_true (shmkv_reading_is_valid (bucket, sequence));                                     \
    change;                                                                                        \
    g_assert_false (shmkv_reading_is_valid (bucket, sequence));                                    \
    sequence = shmkv_reading_begin (bucket);                                                       \
    g_assert_cmpuint (sequence % 2, ==, 0);                                                        \
  }                                                                                                \
  G_STMT_END

  ASSERT_OVERTAKEN_BY (insert (table, 1, 1));
  ASSERT_OVERTAKEN_BY (insert (table, 1, 2));
  ASSERT_OVERTAKEN_BY (apply_insert (table, 1, 3, NULL, 0));
  ASSERT_OVERTAKEN_BY (apply_insert (table, 1, 0, "bytes", 0));
  ASSERT_OVERTAKEN_BY (apply_insert (table, 1, 4, NULL, 1000000));
  ASSERT_OVERTAKEN_BY (insert (table, 1, 5));
  ASSERT_OVERTAKEN_BY (delete (table, 1));
  insert (table, 1, 1);
  sequence = shmkv_reading_begin (bucket);
  ASSERT_OVERTAKEN_BY (shmkv_table_clear_step (table, &cleared, &n));
  g_assert_cmpuint (n, ==, 1);
  assert_read (table, 1, SHMKV_TABLE_ABSENT, 0);
  g_assert_true (shmkv_reading_is_valid (bucket, sequence));
#undef ASSERT_OVERTAKEN_BY
}

/* An object sends all of its bucket's readers to the lock, until it is gone. */
static void
test_objects (void)
{
  g_autoptr (ShmkvTable) table = new_table (1);

  insert (table, 1, 10);
  apply_insert (table, 2, 0, "bytes", 0);
  apply_insert (table, 3, 30, NULL, 1000000);
  for (guint64 key = 1; key <= 4; key++)
    g_assert_false (peek (table, key, SHMKV_TABLE_FOUND, 0));
  assert_read (table, 1, SHMKV_TABLE_FOUND, 10);
  assert_read (table, 2, SHMKV_TABLE_OTHER, 0);
  assert_read (table, 3, SHMKV_TABLE_FOUND, 30);
  assert_read (table, 4, SHMKV_TABLE_ABSENT, 0);

  insert (table, 2, 20);
  g_assert_false (peek (table, 2, SHMKV_TABLE_FOUND, 20));
  delete (table, 3);
  g_assert_true (peek (table, 1, SHMKV_TABLE_FOUND, 10));
  g_assert_true (peek (table, 2, SHMKV_TABLE_FOUND, 20));
  g_assert_true (peek (table, 3, SHMKV_TABLE_ABSENT, 0));
  check_all (table);
}

/* The key that no slot can hold, and its neighbour. */
static void
test_last_key (gconstpointer data)
{
  g_autoptr (ShmkvTable) table = new_table (GPOINTER_TO_UINT (data));
  guint64 last = shmkv_table_key_at (table, SHMKV_EMPTY);
  guint64 neighbour = shmkv_table_key_at (table, SHMKV_EMPTY - 1);

  g_assert_false (peek (table, last, SHMKV_TABLE_ABSENT, 0));
  assert_read (table, last, SHMKV_TABLE_ABSENT, 0);
  g_assert_true (peek (table, neighbour, SHMKV_TABLE_ABSENT, 0));
  insert (table, last, 7);
  g_assert_true (peek (table, neighbour, SHMKV_TABLE_ABSENT, 0));
  insert (table, neighbour, 8);
  g_assert_false (peek (table, last, SHMKV_TABLE_FOUND, 7));
  assert_read (table, last, SHMKV_TABLE_FOUND, 7);
  g_assert_true (peek (table, neighbour, SHMKV_TABLE_FOUND, 8));
  delete (table, last);
  assert_read (table, last, SHMKV_TABLE_ABSENT, 0);
  check_all (table);
}

/* The array that was retired is what a reader may be looking at; the table does
 * not count it any more. */
static void
test_retired (void)
{
  g_autoptr (ShmkvTable) table = new_table (1);
  ShmkvReader *reader = add_reader (table);
  const ShmkvSlot *seen;

  insert (table, 1, 1);
  seen = shmkv_get_slots (&table->buckets[0]);
  for (guint64 key = 2; key <= 1000; key++)
    insert (table, key, key);
  g_assert_true (shmkv_get_slots (&table->buckets[0]) != seen);
  g_assert_nonnull (table->reclaim.first);
  check_all (table);
  /* Still ours: an address sanitizer sees if not. */
  g_assert_cmpuint (shmkv_load_slot_word (&seen[0].hash) != 0, ==, TRUE);

  shmkv_table_reclaim (table);
  g_assert_nonnull (table->reclaim.first);
  shmkv_reader_pass (reader);
  g_assert_null (table->reclaim.first);

  for (guint64 key = 1; key <= 1000; key++)
    delete (table, key);
  g_assert_nonnull (table->reclaim.first);
  check_all (table);
  shmkv_reader_rest (reader);
  shmkv_table_reclaim (table);
  g_assert_null (table->reclaim.first);
  shmkv_reader_free (reader);
}

/* ------------------------------------------------------------------- threads */

#define N_READERS 3
#define N_WRITERS 2
#define N_STABLE 64
#define N_VOLATILE 1200

typedef struct
{
  guint n_buckets;
  gboolean with_objects;            /* keys become objects, and plain again */
  gboolean with_clear;              /* all keys go, now and then */
  gboolean short_of_memory;         /* buckets cannot always grow */
  gboolean evicts;
} Scenario;

/* The versions of a key are counted up: before it is written, and after. */
typedef struct
{
  _Atomic guint64 begun;
  _Atomic guint64 done;
} Versions;

typedef struct
{
  Scenario scenario;
  ShmkvTable *table;
  Versions stable[N_WRITERS][N_STABLE];     /* of keys that are never deleted */
  Versions others[N_WRITERS][N_VOLATILE];
  _Atomic gboolean done;
} Field;

typedef struct
{
  Field *field;
  guint index;
  GRand *random;
  guint n_steps;
} Actor;

static guint64
stable_key (guint writer, guint i)
{
  return ((guint64) writer << 40) + i;
}

static guint64
other_key (guint writer, guint i)
{
  return ((guint64) (writer + N_WRITERS) << 40) + i;
}

/* A value tells whose it is. */
static guint64
value_of (guint64 key, guint64 version)
{
  return version << 32 | (guint32) ((key * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) >> 32);
}

/* Writes the next version of a key, plain or as an object. */
static gboolean
write_next (Actor *actor, Versions *versions, guint64 key)
{
  const Scenario *scenario = &actor->field->scenario;
  guint64 version = atomic_load (&versions->begun) + 1;
  ShmkvTable *table = actor->field->table;
  gboolean written;

  atomic_store (&versions->begun, version);
  if (scenario->with_objects && g_rand_int_range (actor->random, 0, 4) == 0)
    written = apply_insert (table, key, value_of (key, version), NULL,
                            g_rand_boolean (actor->random) ? 1000000 : 0)
              < SHMKV_WIRE_STATUS_FIRST_FAILURE;
  else
    written = insert (table, key, value_of (key, version)) <= SHMKV_TABLE_REPLACED;
  g_assert_true (written || scenario->short_of_memory || scenario->evicts);
  if (written)
    atomic_store (&versions->done, version);
  return written;
}

static void
use_other (Actor *actor, guint i, gboolean fill)
{
  guint64 key = other_key (actor->index, i);

  if (g_rand_int_range (actor->random, 0, 10) < (fill ? 8 : 2))
    write_next (actor, &actor->field->others[actor->index][i], key);
  else if (actor->field->scenario.with_objects && g_rand_int_range (actor->random, 0, 4) == 0)
    apply_insert (actor->field->table, key, 0, "bytes", 0);
  else
    delete (actor->field->table, key);
}

static void
clear (Actor *actor)
{
  guint bucket = 0;
  guint64 n = 0;

  while (!shmkv_table_clear_step (actor->field->table, &bucket, &n))
    ;
}

/* Fills the buckets and empties them, in turns. */
static gpointer
write_on (gpointer data)
{
  Actor *actor = data;
  Field *field = actor->field;

  for (guint step = 0; step < actor->n_steps; step++)
    {
      guint i = g_rand_int_range (actor->random, 0, N_VOLATILE);

      use_other (actor, i, step / (3 * N_VOLATILE) % 2 == 0);
      i = g_rand_int_range (actor->random, 0, N_STABLE);
      write_next (actor, &field->stable[actor->index][i], stable_key (actor->index, i));
      if (field->scenario.with_clear && step % 2000 == 0)
        clear (actor);
    }
  return NULL;
}

/* What is read is a version of that key, no older than what was written before
 * and no newer than what has been begun. */
static gboolean
check_key (Field *field, Versions *versions, guint64 key)
{
  guint64 oldest = atomic_load (&versions->done), newest, version, value;
  ShmkvTablePlace place = shmkv_plain_locate (field->table, key);
  ShmkvTableRead found = shmkv_plain_read (field->table, &place, &value);

  if (found == SHMKV_TABLE_OTHER)
    g_assert_true (field->scenario.with_objects);
  if (found != SHMKV_TABLE_FOUND)
    return FALSE;
  newest = atomic_load (&versions->begun);
  version = value >> 32;
  g_assert_cmpuint (value, ==, value_of (key, version));
  g_assert_cmpuint (version, >=, oldest);
  g_assert_cmpuint (version, <=, newest);
  return TRUE;
}

static gpointer
read_on (gpointer data)
{
  Actor *actor = data;
  Field *field = actor->field;
  gboolean may_miss = field->scenario.with_clear || field->scenario.evicts;
  ShmkvReader *reader = add_reader (field->table);

  while (!atomic_load_explicit (&field->done, memory_order_relaxed))
    {
      for (guint n = 0; n < 32; n++)
        {
          guint writer = g_rand_int_range (actor->random, 0, N_WRITERS);
          guint stable = g_rand_int_range (actor->random, 0, N_STABLE);
          guint other = g_rand_int_range (actor->random, 0, N_VOLATILE);

          g_assert_true (check_key (field, &field->stable[writer][stable],
                                    stable_key (writer, stable))
                         || may_miss);
          check_key (field, &field->others[writer][other], other_key (writer, other));
        }
      if (g_rand_int_range (actor->random, 0, 8) == 0)
        {
          shmkv_reader_rest (reader);
          shmkv_table_reclaim (field->table);
          shmkv_reader_resume (reader);
        }
      shmkv_reader_pass (reader);
    }
  shmkv_reader_free (reader);
  return NULL;
}

static void
field_init (Field *field, const Scenario *scenario)
{
  ShmkvTableOptions options = { .n_buckets = scenario->n_buckets, .seed = util_random () };
  guint64 empty_size = shmkv_table_empty_size (scenario->n_buckets);

  /* Some two thirds of what all keys would take. */
  if (scenario->evicts)
    {
      options.max_memory = empty_size + N_WRITERS * N_VOLATILE * sizeof (ShmkvSlot);
      options.evict = TRUE;
    }
  *field = (Field) { .scenario = *scenario, .table = shmkv_table_new (&options) };
  g_assert_nonnull (field->table);
  for (guint writer = 0; writer < N_WRITERS; writer++)
    for (guint i = 0; i < N_STABLE; i++)
      insert (field->table, stable_key (writer, i), value_of (stable_key (writer, i), 0));
  if (scenario->short_of_memory)
    shmkv_table_limit_slots (field->table, N_WRITERS * N_VOLATILE * sizeof (ShmkvSlot));
}

static void
start (Actor *actor, GThread **thread_out, const char *name, GThreadFunc function)
{
  actor->random = g_rand_new_with_seed ((guint32) util_random ());
  *thread_out = g_thread_new (name, function, actor);
}

static void
stop (Actor *actor, GThread *thread)
{
  g_thread_join (thread);
  g_rand_free (actor->random);
}

static void
test_threads (gconstpointer data)
{
  g_autofree Field *field = g_new (Field, 1);
  GThread *writing[N_WRITERS], *reading[N_READERS];
  Actor writers[N_WRITERS], readers[N_READERS];

  field_init (field, data);
  for (guint i = 0; i < N_READERS; i++)
    {
      readers[i] = (Actor) { .field = field, .index = i };
      start (&readers[i], &reading[i], "reader", read_on);
    }
  for (guint i = 0; i < N_WRITERS; i++)
    {
      writers[i] = (Actor) { .field = field, .index = i,
                             .n_steps = UTIL_N (g_test_slow () ? 2000000 : 100000) };
      start (&writers[i], &writing[i], "writer", write_on);
    }
  for (guint i = 0; i < N_WRITERS; i++)
    stop (&writers[i], writing[i]);
  atomic_store (&field->done, TRUE);
  for (guint i = 0; i < N_READERS; i++)
    stop (&readers[i], reading[i]);

  shmkv_table_reclaim (field->table);
  g_assert_null (field->table->reclaim.first);
  check_all (field->table);
  shmkv_table_free (field->table);
}

/* -------------------------------------------------------------- large buckets */

/* Keys that stay: of fewer no large bucket shrinks to another. */
#define N_STAYING (SHMKV_LARGE_CAPACITY / 4)

typedef struct
{
  ShmkvTable *table;
  _Atomic guint64 n_staying;        /* as many are there already */
  guint32 seed;
  _Atomic gboolean done;
} Large;

static gpointer
read_large (gpointer data)
{
  Large *large = data;
  ShmkvReader *reader = add_reader (large->table);
  GRand *random = g_rand_new_with_seed (large->seed);

  while (!atomic_load_explicit (&large->done, memory_order_relaxed))
    {
      for (guint i = 0; i < 16; i++)
        {
          guint64 key = g_rand_int (random) % atomic_load (&large->n_staying);

          assert_read (large->table, key, SHMKV_TABLE_FOUND, ~key);
        }
      shmkv_reader_pass (reader);
    }
  g_rand_free (random);
  shmkv_reader_free (reader);
  return NULL;
}

static gboolean
is_large (Large *large)
{
  return shmkv_is_large (shmkv_get_capacity (&large->table->buckets[0]));
}

/* From a bucket that is copied to grow to one that is not, in which the array
 * grows in its place, and back again; while others read. */
static void
test_large (void)
{
  Large large = { .table = new_table (1), .n_staying = 1, .seed = (guint32) util_random () };
  GThread *threads[N_READERS];
  guint64 n = 1, most;

  insert (large.table, 0, ~G_GUINT64_CONSTANT (0));
  for (guint i = 0; i < N_READERS; i++)
    threads[i] = g_thread_new ("reader", read_large, &large);
  while (!is_large (&large))
    {
      g_assert_cmpint (insert (large.table, n, ~n), ==, SHMKV_TABLE_ADDED);
      n++;
      atomic_store (&large.n_staying, MIN (n, N_STAYING));
    }
  g_assert_false (peek (large.table, 0, SHMKV_TABLE_FOUND, 0));
  /* And once more, in its place. */
  for (most = n + n / 2; n < most; n++)
    insert (large.table, n, ~n);
  g_assert_false (peek (large.table, n, SHMKV_TABLE_ABSENT, 0));
  while (is_large (&large))
    g_assert_true (delete (large.table, --n));
  g_assert_cmpuint (n, >, N_STAYING);
  g_assert_true (peek (large.table, n, SHMKV_TABLE_ABSENT, 0));
  atomic_store (&large.done, TRUE);
  for (guint i = 0; i < N_READERS; i++)
    g_thread_join (threads[i]);
  check_all (large.table);
  shmkv_table_free (large.table);
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
  static const struct
  {
    const char *path;
    Scenario scenario;
  } scenarios[] = {
    { "/plain/threads/1", { .n_buckets = 1 } },
    { "/plain/threads/16", { .n_buckets = 16 } },
    { "/plain/threads/500", { .n_buckets = 500 } },
    { "/plain/threads/objects/1", { .n_buckets = 1, .with_objects = TRUE } },
    { "/plain/threads/objects/500", { .n_buckets = 500, .with_objects = TRUE } },
    { "/plain/threads/clear/1", { .n_buckets = 1, .with_clear = TRUE } },
    { "/plain/threads/clear/16", { .n_buckets = 16, .with_clear = TRUE } },
    { "/plain/threads/no-memory/1", { .n_buckets = 1, .short_of_memory = TRUE } },
    { "/plain/threads/no-memory/16", { .n_buckets = 16, .short_of_memory = TRUE } },
    { "/plain/threads/evict/16", { .n_buckets = 16, .evicts = TRUE } },
    { "/plain/threads/evict/objects",
      { .n_buckets = 16, .evicts = TRUE, .with_objects = TRUE } },
  };

  util_init (&argc, &argv);

  add_for_buckets ("/plain/peek", 1, test_peek);
  add_for_buckets ("/plain/peek", 3, test_peek);
  add_for_buckets ("/plain/peek", 500, test_peek);
  g_test_add_func ("/plain/writer", test_writer);
  g_test_add_func ("/plain/overtaken", test_overtaken);
  g_test_add_func ("/plain/objects", test_objects);
  add_for_buckets ("/plain/last-key", 1, test_last_key);
  add_for_buckets ("/plain/last-key", 3, test_last_key);
  g_test_add_func ("/plain/retired", test_retired);
  for (gsize i = 0; i < G_N_ELEMENTS (scenarios); i++)
    g_test_add_data_func (scenarios[i].path, &scenarios[i].scenario, test_threads);
  g_test_add_func ("/plain/large", test_large);

  return util_run ();
}
