/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table with keys and values of all kinds, and with all that goes with
 * them: every operation and flag against a model, with a clock that is ours,
 * with enough memory, with little, and with none. */

#include "config.h"

#include "server/table-internal.h"
#include "server/table.h"
#include "util.h"

#include <string.h>

#define BUFFER_SIZE (512u * 1024)

static gint64 now_ms = 1000000;

static gint64
fake_clock (void)
{
  return now_ms;
}

/* -------------------------------------------------------------------- model */

/* What the table should say of a key. */
typedef struct
{
  ShmkvField key;
  gboolean present;
  ShmkvField value;
  GByteArray *bytes;                /* of the value */
  guint64 version;                  /* 0: nobody knows it */
  gint64 expiry;
  guint64 owner;

  gboolean was_there;               /* all the time since the scan began */
  guint n_visits;
} Entry;

typedef struct
{
  ShmkvTable *table;
  ShmkvTableOptions options;
  Entry *entries;
  guint n_entries;
  GHashTable *indices;              /* of entries, by their keys as GBytes */
  guint64 last_version;
  guint64 n_no_space;
  guint64 n_evicted;
  gboolean short_of_memory;
  gboolean large;                   /* some keys and values are */

  gboolean observing;
  guint n_changes;                  /* told since the last operation */
  guint change;
  gint changed;                     /* of which entry */

  ShmkvTableScan scan;
  guint64 cursor;
  guint8 *buffer;
} Model;

/* Integers are keys of another kind than the bytes that they are made of. */
static GBytes *
key_as_bytes (const ShmkvField *key)
{
  g_autoptr (GByteArray) array = g_byte_array_new ();
  guint8 kind = key->kind;

  g_byte_array_append (array, &kind, 1);
  if (key->kind == SHMKV_WIRE_KIND_INTEGER)
    g_byte_array_append (array, (const guint8 *) &key->integer, 8);
  else
    g_byte_array_append (array, key->bytes, key->integer);
  return g_byte_array_free_to_bytes (g_steal_pointer (&array));
}

static gint
index_of (Model *model, const ShmkvField *key)
{
  g_autoptr (GBytes) bytes = key_as_bytes (key);
  gpointer index;

  g_assert_true (g_hash_table_lookup_extended (model->indices, bytes, NULL, &index));
  return GPOINTER_TO_INT (index);
}

static guint
random_length (Model *model, guint max, guint usual)
{
  if (model->large && util_random_range (0, 200) == 0)
    return util_random_range (0, max + 1);
  return util_random_range (0, util_random_range (0, 20) == 0 ? 8 * usual : usual);
}

/* Half of them integers.  Of bytes any, zeros too; some are an integer's. */
static ShmkvField
make_key (Model *model, guint index)
{
  guint64 integer = util_random_range (0, 4) == 0 ? index : util_random ();
  ShmkvField key = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = integer };
  guint8 *bytes;

  if (index % 2 == 0)
    return key;
  key.kind = SHMKV_WIRE_KIND_BYTES;
  key.integer = 1 + random_length (model, SHMKV_WIRE_MAX_KEY_SIZE - 1, 40);
  if (util_random_range (0, 10) == 0)
    key.integer = 8;
  bytes = g_malloc0 (key.integer + 8);
  for (guint64 i = 0; i < key.integer; i++)
    bytes[i] = util_random_range (0, 3) == 0 ? 0 : 'a' + util_random_range (0, 3);
  if (key.integer < 8)
    memcpy (bytes, &integer, key.integer);
  key.bytes = bytes;
  return key;
}

static void
forget (Entry *entry)
{
  entry->present = FALSE;
  entry->was_there = FALSE;
  entry->version = 0;
  entry->expiry = 0;
  entry->owner = 0;
}

/* What the table gets rid of by itself may go at any time. */
static void
changed (gpointer data, guint bucket, const ShmkvField *key, guint change)
{
  Model *model = data;
  gint index = index_of (model, key);
  Entry *entry = &model->entries[index];

  g_assert_cmpuint (bucket, ==, shmkv_table_locate_key (model->table, key).bucket);
  if (change == SHMKV_WIRE_CHANGE_EXPIRED)
    g_assert_true (!entry->present || (entry->expiry != 0 && entry->expiry <= now_ms));
  if (change == SHMKV_WIRE_CHANGE_EVICTED)
    g_assert_true (entry->present && entry->owner == 0 && model->options.evict);
  if (change == SHMKV_WIRE_CHANGE_EXPIRED || change == SHMKV_WIRE_CHANGE_EVICTED)
    {
      model->n_evicted += change == SHMKV_WIRE_CHANGE_EVICTED;
      forget (entry);
      return;
    }
  model->n_changes++;
  model->change = change;
  model->changed = index;
}

static Model *
new_model (const ShmkvTableOptions *options, guint n_entries, gboolean large)
{
  Model *model = g_new0 (Model, 1);

  model->options = *options;
  model->options.seed = util_random ();
  model->table = shmkv_table_new (&model->options);
  shmkv_table_set_clock (model->table, fake_clock);
  shmkv_table_set_changed (model->table, changed, model);
  model->large = large;
  model->indices = g_hash_table_new_full (g_bytes_hash, g_bytes_equal,
                                          (GDestroyNotify) g_bytes_unref, NULL);
  model->entries = g_new0 (Entry, n_entries);
  while (model->n_entries < n_entries)
    {
      Entry *entry = &model->entries[model->n_entries];
      g_autoptr (GBytes) bytes = NULL;

      entry->key = make_key (model, model->n_entries);
      bytes = key_as_bytes (&entry->key);
      if (g_hash_table_contains (model->indices, bytes))
        {
          g_free ((gpointer) entry->key.bytes);
          continue;
        }
      entry->bytes = g_byte_array_new ();
      g_hash_table_insert (model->indices, g_steal_pointer (&bytes),
                           GINT_TO_POINTER ((gint) model->n_entries++));
    }
  model->buffer = g_malloc (BUFFER_SIZE);
  return model;
}

static void
free_model (Model *model)
{
  for (guint i = 0; i < model->n_entries; i++)
    {
      g_free ((gpointer) model->entries[i].key.bytes);
      g_byte_array_unref (model->entries[i].bytes);
    }
  g_free ((gpointer) model->scan.prefix.bytes);
  g_free (model->entries);
  g_hash_table_unref (model->indices);
  shmkv_table_free (model->table);
  g_free (model->buffer);
  g_free (model);
}

static guint64
count_keys (ShmkvTable *table)
{
  guint bucket = 0;
  guint64 n = 0;

  while (!shmkv_table_count_step (table, &bucket, &n))
    ;
  return n;
}

static guint64
clear_keys (ShmkvTable *table)
{
  guint bucket = 0;
  guint64 n = 0;

  while (!shmkv_table_clear_step (table, &bucket, &n))
    ;
  return n;
}

static guint64
used_memory (ShmkvTable *table)
{
  ShmkvTableStats stats;

  shmkv_table_get_stats (table, &stats);
  return stats.memory;
}

static void
set_value (Entry *entry, const ShmkvField *value)
{
  entry->value = *value;
  g_byte_array_set_size (entry->bytes, 0);
  if (value->kind == SHMKV_WIRE_KIND_BYTES)
    g_byte_array_append (entry->bytes, value->bytes, value->integer);
  entry->value.bytes = entry->bytes->data;
}

static gboolean
is_same (const ShmkvField *one, const ShmkvField *other)
{
  return one->kind == other->kind && one->integer == other->integer
         && (one->kind != SHMKV_WIRE_KIND_BYTES || one->integer == 0
             || memcmp (one->bytes, other->bytes, one->integer) == 0);
}

/* As time goes. */
static void
settle (Entry *entry)
{
  if (entry->present && entry->expiry != 0 && entry->expiry <= now_ms)
    forget (entry);
}

/* ----------------------------------------------------------- one operation */

static ShmkvField
random_value (Model *model, guint8 *bytes)
{
  ShmkvField value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = util_random () };

  switch (util_random_range (0, 4))
    {
    case 0:
      return value;
    case 1:
      value.integer = util_random_range (0, 5);
      return value;
    default:
      value.kind = SHMKV_WIRE_KIND_BYTES;
      value.integer = random_length (model, 300 * 1024, 150);
      value.bytes = bytes;
      memset (bytes, util_random_range (0, 256), value.integer);
      if (value.integer > 8)
        memcpy (bytes + value.integer - 8, &(guint64) { util_random () }, 8);
      return value;
    }
}

static guint
some_flag (guint flag, guint one_in)
{
  return util_random_range (0, one_in) == 0 ? flag : 0;
}

static guint
random_flags (guint op)
{
  switch (op)
    {
    case SHMKV_WIRE_OP_INSERT:
      return some_flag (SHMKV_WIRE_FLAG_IF_ABSENT, 10) | some_flag (SHMKV_WIRE_FLAG_IF_PRESENT, 10)
             | some_flag (SHMKV_WIRE_FLAG_IF_VALUE, 10) | some_flag (SHMKV_WIRE_FLAG_IF_VERSION, 10)
             | some_flag (SHMKV_WIRE_FLAG_TTL, 5) | some_flag (SHMKV_WIRE_FLAG_SESSION, 8)
             | some_flag (SHMKV_WIRE_FLAG_VERSION, 5) | some_flag (SHMKV_WIRE_FLAG_OLD, 3);
    case SHMKV_WIRE_OP_READ:
      return some_flag (SHMKV_WIRE_FLAG_VERSION, 4);
    case SHMKV_WIRE_OP_DELETE:
      return some_flag (SHMKV_WIRE_FLAG_IF_VALUE, 6) | some_flag (SHMKV_WIRE_FLAG_IF_VERSION, 6)
             | some_flag (SHMKV_WIRE_FLAG_OLD, 3);
    case SHMKV_WIRE_OP_ADD:
    case SHMKV_WIRE_OP_SUBTRACT:
      return some_flag (SHMKV_WIRE_FLAG_IF_PRESENT, 4) | some_flag (SHMKV_WIRE_FLAG_IF_VERSION, 6)
             | some_flag (SHMKV_WIRE_FLAG_WRAP, 2) | some_flag (SHMKV_WIRE_FLAG_VERSION, 6);
    case SHMKV_WIRE_OP_EXPIRE:
      return some_flag (SHMKV_WIRE_FLAG_TTL, 2);
    default:
      return 0;
    }
}

static gboolean
are_met (const ShmkvTableCommand *command, const Entry *entry)
{
  guint flags = command->flags;

  if ((flags & SHMKV_WIRE_FLAG_IF_ABSENT) != 0 && entry->present)
    return FALSE;
  if ((flags & SHMKV_WIRE_FLAG_IF_PRESENT) != 0 && !entry->present)
    return FALSE;
  if ((flags & SHMKV_WIRE_FLAG_IF_VALUE) != 0
      && (!entry->present || !is_same (&entry->value, &command->expected)))
    return FALSE;
  if ((flags & SHMKV_WIRE_FLAG_IF_VERSION) == 0)
    return TRUE;
  if (command->version == 0)
    return !entry->present;
  return entry->present && entry->version == command->version;
}

static void
assert_version (Model *model, Entry *entry, guint64 version)
{
  g_assert_cmpuint (version, >, model->last_version);
  model->last_version = version;
  entry->version = version;
}

/* A failure for want of memory, if it may be one.  What must always work is to
 * replace a value by one that takes no more. */
static gboolean
is_failure (Model *model, const ShmkvTableCommand *command, const ShmkvTableAnswer *answer,
            const Entry *entry)
{
  guint attributes = SHMKV_WIRE_FLAG_TTL | SHMKV_WIRE_FLAG_SESSION | SHMKV_WIRE_FLAG_VERSION;

  if (answer->status == SHMKV_WIRE_STATUS_NO_SPACE)
    g_assert_cmpuint (model->options.max_memory, !=, 0);
  else if (answer->status == SHMKV_WIRE_STATUS_NO_MEMORY)
    g_assert_true (model->short_of_memory);
  else
    return FALSE;
  g_assert_cmpuint (answer->value.kind, ==, SHMKV_WIRE_KIND_NONE);
  if (command->op == SHMKV_WIRE_OP_INSERT && entry->present && (command->flags & attributes) == 0
      && entry->value.kind == command->value.kind)
    g_assert_true (command->value.kind == SHMKV_WIRE_KIND_BYTES
                   && command->value.integer > entry->value.integer);
  g_assert_cmpuint (command->op, !=, SHMKV_WIRE_OP_DELETE);
  model->n_no_space++;
  return TRUE;
}

static void
assert_old (const ShmkvTableCommand *command, const ShmkvTableAnswer *answer, const Entry *entry)
{
  if ((command->flags & SHMKV_WIRE_FLAG_OLD) != 0 && entry->present)
    g_assert_true (is_same (&answer->value, &entry->value));
  else
    g_assert_cmpuint (answer->value.kind, ==, SHMKV_WIRE_KIND_NONE);
}

static void
check_mismatch (Model *model, const ShmkvTableCommand *command, const ShmkvTableAnswer *answer,
                Entry *entry)
{
  gboolean asked = (command->flags & SHMKV_WIRE_FLAG_VERSION) != 0 && entry->present;

  if (asked && entry->version == 0)
    {
      if (is_failure (model, command, answer, entry))
        return;
      assert_version (model, entry, answer->version);
    }
  g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_MISMATCH);
  g_assert_cmpuint (answer->value.kind, ==, SHMKV_WIRE_KIND_NONE);
  g_assert_cmpuint (answer->version, ==, asked ? entry->version : 0);
}

static gint64
expiry_of (const ShmkvTableCommand *command)
{
  return (command->flags & SHMKV_WIRE_FLAG_TTL) != 0 ? now_ms + (gint64) command->ttl_ms : 0;
}

/* These return the change that observers must be told, or 0. */

static guint
check_insert (Model *model, const ShmkvTableCommand *command, const ShmkvTableAnswer *answer,
              Entry *entry)
{
  if (!are_met (command, entry))
    {
      check_mismatch (model, command, answer, entry);
      return 0;
    }
  if (is_failure (model, command, answer, entry))
    return 0;
  g_assert_cmpuint (answer->status, ==,
                    entry->present ? SHMKV_WIRE_STATUS_REPLACED : SHMKV_WIRE_STATUS_ADDED);
  assert_old (command, answer, entry);
  entry->present = TRUE;
  set_value (entry, &command->value);
  entry->version = 0;
  if ((command->flags & SHMKV_WIRE_FLAG_VERSION) != 0)
    assert_version (model, entry, answer->version);
  entry->expiry = expiry_of (command);
  entry->owner = (command->flags & SHMKV_WIRE_FLAG_SESSION) != 0 ? command->owner : 0;
  return SHMKV_WIRE_CHANGE_SET;
}

static guint
check_read (Model *model, const ShmkvTableCommand *command, const ShmkvTableAnswer *answer,
            Entry *entry)
{
  if (!entry->present)
    {
      g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_NO_KEY);
      g_assert_cmpuint (answer->version, ==, 0);
      return 0;
    }
  if ((command->flags & SHMKV_WIRE_FLAG_VERSION) != 0)
    {
      if (entry->version != 0)
        g_assert_cmpuint (answer->version, ==, entry->version);
      else if (is_failure (model, command, answer, entry))
        return 0;
      else
        assert_version (model, entry, answer->version);
    }
  g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_OK);
  g_assert_true (is_same (&answer->value, &entry->value));
  return 0;
}

static guint
check_delete (Model *model, const ShmkvTableCommand *command, const ShmkvTableAnswer *answer,
              Entry *entry)
{
  if (!entry->present)
    {
      g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_NO_KEY);
      return 0;
    }
  if (!are_met (command, entry))
    {
      check_mismatch (model, command, answer, entry);
      return 0;
    }
  g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_OK);
  assert_old (command, answer, entry);
  forget (entry);
  return SHMKV_WIRE_CHANGE_DELETED;
}

static guint
check_add (Model *model, const ShmkvTableCommand *command, const ShmkvTableAnswer *answer,
           Entry *entry)
{
  guint64 value = entry->present ? entry->value.integer : 0, amount = command->value.integer;
  gboolean add = command->op == SHMKV_WIRE_OP_ADD;
  guint64 result = add ? value + amount : value - amount;
  gboolean over = add ? result < value : amount > value;

  if ((command->flags & SHMKV_WIRE_FLAG_IF_PRESENT) != 0 && !entry->present)
    {
      g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_NO_KEY);
      return 0;
    }
  if (!are_met (command, entry))
    {
      check_mismatch (model, command, answer, entry);
      return 0;
    }
  if (entry->present && entry->value.kind != SHMKV_WIRE_KIND_INTEGER)
    {
      g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_WRONG_KIND);
      return 0;
    }
  if (over && (command->flags & SHMKV_WIRE_FLAG_WRAP) == 0)
    {
      g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_OVERFLOW);
      return 0;
    }
  if (is_failure (model, command, answer, entry))
    return 0;
  g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_OK);
  g_assert_cmpuint (answer->value.kind, ==, SHMKV_WIRE_KIND_INTEGER);
  g_assert_cmpuint (answer->value.integer, ==, result);
  entry->present = TRUE;
  set_value (entry, &answer->value);
  if ((command->flags & SHMKV_WIRE_FLAG_VERSION) != 0)
    assert_version (model, entry, answer->version);
  else if (entry->version != 0)
    {
      ShmkvTablePlace place = command->place;

      assert_version (model, entry, shmkv_table_get_version (model->table, &place, &entry->key));
    }
  return SHMKV_WIRE_CHANGE_SET;
}

static guint
check_expire (Model *model, const ShmkvTableCommand *command, const ShmkvTableAnswer *answer,
              Entry *entry)
{
  if (!entry->present)
    {
      g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_NO_KEY);
      return 0;
    }
  if (is_failure (model, command, answer, entry))
    {
      g_assert_true ((command->flags & SHMKV_WIRE_FLAG_TTL) != 0 && entry->expiry == 0);
      return 0;
    }
  g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_OK);
  entry->expiry = expiry_of (command);
  return 0;
}

static guint
check_ttl (const ShmkvTableAnswer *answer, Entry *entry)
{
  if (!entry->present)
    {
      g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_NO_KEY);
      return 0;
    }
  g_assert_cmpuint (answer->status, ==, SHMKV_WIRE_STATUS_OK);
  g_assert_cmpuint (answer->value.kind, ==, SHMKV_WIRE_KIND_INTEGER);
  g_assert_cmpuint (answer->value.integer, ==, entry->expiry == 0 ? 0 : entry->expiry - now_ms);
  return 0;
}

static guint
check_answer (Model *model, const ShmkvTableCommand *command, const ShmkvTableAnswer *answer,
              Entry *entry)
{
  switch (command->op)
    {
    case SHMKV_WIRE_OP_INSERT:
      return check_insert (model, command, answer, entry);
    case SHMKV_WIRE_OP_READ:
      return check_read (model, command, answer, entry);
    case SHMKV_WIRE_OP_DELETE:
      return check_delete (model, command, answer, entry);
    case SHMKV_WIRE_OP_EXPIRE:
      return check_expire (model, command, answer, entry);
    case SHMKV_WIRE_OP_TTL:
      return check_ttl (answer, entry);
    default:
      return check_add (model, command, answer, entry);
    }
}

static void
assert_told (Model *model, const Entry *entry, guint change)
{
  if (change == 0 || !model->observing)
    {
      g_assert_cmpuint (model->n_changes, ==, 0);
      return;
    }
  g_assert_cmpuint (model->n_changes, ==, 1);
  g_assert_cmpuint (model->change, ==, change);
  g_assert_cmpint (model->changed, ==, entry - model->entries);
}

/* A buffer that is too small changes nothing. */
static void
apply (Model *model, ShmkvTableCommand *command, ShmkvTableAnswer *answer)
{
  command->buffer = model->buffer;
  command->buffer_size = util_random_range (0, 100) & ~7u;
  shmkv_table_apply (model->table, command, answer);
  if (answer->needed == 0)
    return;
  g_assert_cmpuint (answer->needed, >, command->buffer_size);
  g_assert_cmpuint (model->n_changes, ==, 0);
  command->buffer_size = answer->needed;
  shmkv_table_apply (model->table, command, answer);
  g_assert_cmpuint (answer->needed, ==, 0);
}

static guint
random_op (guint inserts)
{
  static const guint ops[] = {
    SHMKV_WIRE_OP_READ, SHMKV_WIRE_OP_READ, SHMKV_WIRE_OP_ADD, SHMKV_WIRE_OP_SUBTRACT,
    SHMKV_WIRE_OP_EXPIRE, SHMKV_WIRE_OP_TTL,
  };
  guint dice = util_random_range (0, 16);

  if (dice < 6)
    return ops[dice];
  return dice - 6 < inserts ? SHMKV_WIRE_OP_INSERT : SHMKV_WIRE_OP_DELETE;
}

static void
run_command (Model *model, Entry *entry, guint op)
{
  static guint8 value_bytes[BUFFER_SIZE], expected_bytes[BUFFER_SIZE];
  ShmkvTableCommand command = {
    .op = op,
    .flags = random_flags (op),
    .key = entry->key,
    .place = shmkv_table_locate_key (model->table, &entry->key),
    .value = random_value (model, value_bytes),
    .expected = random_value (model, expected_bytes),
    .version = util_random_range (0, 3) == 0 ? util_random_range (0, 5) : entry->version,
    .ttl_ms = util_random_range (1, 5000),
    .owner = util_random_range (1, 4),
  };
  ShmkvTableAnswer answer;

  if (util_random_range (0, 4) != 0)
    command.expected = entry->value;
  if (op == SHMKV_WIRE_OP_ADD || op == SHMKV_WIRE_OP_SUBTRACT)
    command.value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER,
                                   .integer = util_random_range (0, 4) };
  model->n_changes = 0;
  apply (model, &command, &answer);
  assert_told (model, entry, check_answer (model, &command, &answer, entry));
}

/* By the fast path; an integer's key. */
static void
run_fast (Model *model, Entry *entry, guint op)
{
  ShmkvTablePlace place = shmkv_table_locate (model->table, entry->key.integer);
  guint64 value = util_random ();
  ShmkvField field = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = value };
  ShmkvTableInsert result;
  guint change = 0;

  model->n_changes = 0;
  switch (op)
    {
    case SHMKV_WIRE_OP_INSERT:
      result = shmkv_table_insert (model->table, &place, value);
      if (result > SHMKV_TABLE_REPLACED)
        {
          g_assert_true (model->options.max_memory != 0 || model->short_of_memory);
          g_assert_false (entry->present && entry->value.kind == SHMKV_WIRE_KIND_INTEGER);
          break;
        }
      g_assert_cmpint (result, ==, entry->present ? SHMKV_TABLE_REPLACED : SHMKV_TABLE_ADDED);
      entry->present = TRUE;
      set_value (entry, &field);
      entry->version = 0;
      entry->expiry = 0;
      entry->owner = 0;
      change = SHMKV_WIRE_CHANGE_SET;
      break;
    case SHMKV_WIRE_OP_DELETE:
      g_assert_cmpint (shmkv_table_delete (model->table, &place), ==, entry->present);
      change = entry->present ? SHMKV_WIRE_CHANGE_DELETED : 0;
      forget (entry);
      break;
    default:
      switch (shmkv_table_read (model->table, &place, &value))
        {
        case SHMKV_TABLE_ABSENT:
          g_assert_false (entry->present);
          break;
        case SHMKV_TABLE_OTHER:
          g_assert_true (entry->present && entry->value.kind == SHMKV_WIRE_KIND_BYTES);
          break;
        case SHMKV_TABLE_FOUND:
          g_assert_true (entry->present && entry->value.kind == SHMKV_WIRE_KIND_INTEGER);
          g_assert_cmpuint (value, ==, entry->value.integer);
        }
    }
  assert_told (model, entry, change);
}

static void
run_owner (Model *model, Entry *entry)
{
  ShmkvTablePlace place = shmkv_table_locate_key (model->table, &entry->key);
  guint64 owner = util_random_range (1, 4);
  gboolean owned = entry->present && entry->owner == owner;

  g_assert_cmpint (shmkv_table_is_owned (model->table, &place, &entry->key, owner), ==, owned);
  if (util_random_range (0, 2) == 0)
    return;
  model->n_changes = 0;
  g_assert_cmpint (shmkv_table_delete_owned (model->table, &place, &entry->key, owner), ==, owned);
  assert_told (model, entry, owned ? SHMKV_WIRE_CHANGE_DELETED : 0);
  if (owned)
    forget (entry);
}

/* --------------------------------------------------------------------- scan */

static gboolean
is_wanted (const ShmkvTableScan *scan, const Entry *entry)
{
  guint integers = SHMKV_WIRE_SCAN_OPTION_INTEGER_KEYS, bytes = SHMKV_WIRE_SCAN_OPTION_BYTES_KEYS;
  guint kinds = scan->options & (integers | bytes);
  gboolean is_integer = entry->key.kind == SHMKV_WIRE_KIND_INTEGER;

  if (kinds == integers && !is_integer)
    return FALSE;
  if (kinds == bytes && is_integer)
    return FALSE;
  if ((scan->options & SHMKV_WIRE_SCAN_OPTION_PERMANENT) != 0 && entry->owner != 0)
    return FALSE;
  if (scan->prefix.kind == SHMKV_WIRE_KIND_NONE)
    return TRUE;
  return !is_integer && entry->key.integer >= scan->prefix.integer
         && memcmp (entry->key.bytes, scan->prefix.bytes, scan->prefix.integer) == 0;
}

static void
check_pair (Model *model, const ShmkvPair *pair, gboolean keys_only, gboolean plain)
{
  Entry *entry = &model->entries[index_of (model, &pair->key)];

  settle (entry);
  g_assert_true (entry->present);
  if (keys_only)
    g_assert_cmpuint (pair->value.kind, ==, SHMKV_WIRE_KIND_NONE);
  else
    g_assert_true (is_same (&pair->value, &entry->value));
  g_assert_cmpuint (pair->ttl_ms, ==, entry->expiry == 0 ? 0 : entry->expiry - now_ms);
  if (plain)
    return;
  g_assert_true (is_wanted (&model->scan, entry));
  g_assert_cmpuint (entry->n_visits++, ==, 0);
}

static gsize
check_pairs (Model *model, const GByteArray *body, gboolean keys_only, gboolean plain)
{
  const uint64_t *cursor = (gconstpointer) body->data;
  gsize left = body->len, n = 0;
  ShmkvPair pair;

  for (; left > 0; n++)
    {
      g_assert_true (shmkv_pair_decode (&cursor, &left, &pair));
      check_pair (model, &pair, keys_only, plain);
    }
  return n;
}

static void
begin_scan (Model *model)
{
  const Entry *like = &model->entries[util_random_range (0, model->n_entries)];
  guint length = util_random_range (0, 4);

  g_free ((gpointer) model->scan.prefix.bytes);
  model->scan = (ShmkvTableScan) { .options = util_random_range (0, 16) };
  if (like->key.kind == SHMKV_WIRE_KIND_BYTES && util_random_range (0, 2) == 0)
    {
      model->scan.prefix = like->key;
      model->scan.prefix.integer = MIN (like->key.integer, length);
      model->scan.prefix.bytes = g_memdup2 (like->key.bytes, like->key.integer);
    }
  for (guint i = 0; i < model->n_entries; i++)
    {
      settle (&model->entries[i]);
      model->entries[i].was_there = model->entries[i].present;
      model->entries[i].n_visits = 0;
    }
}

/* Keys whose attributes changed may have been wanted only at times. */
static void
end_scan (Model *model)
{
  for (guint i = 0; i < model->n_entries; i++)
    {
      Entry *entry = &model->entries[i];

      settle (entry);
      if (entry->was_there && (model->scan.options & SHMKV_WIRE_SCAN_OPTION_PERMANENT) == 0)
        g_assert_cmpuint (entry->n_visits, ==, is_wanted (&model->scan, entry));
    }
}

static void
step_scan (Model *model)
{
  g_autoptr (GByteArray) body = NULL;
  guint64 before = model->cursor;

  if (before == 0)
    begin_scan (model);
  model->scan.limit = util_random_range (1, 40);
  g_assert_cmpuint (shmkv_table_scan (model->table, &model->scan, &model->cursor, &body), ==,
                    SHMKV_WIRE_STATUS_OK);
  check_pairs (model, body, (model->scan.options & SHMKV_WIRE_SCAN_OPTION_KEYS_ONLY) != 0, FALSE);
  g_assert_true (model->cursor == 0 || model->cursor != before);
  if (model->cursor == 0)
    end_scan (model);
}

/* ----------------------------------------------------------------- the whole */

static guint64
count_present (Model *model)
{
  guint64 n = 0;

  for (guint i = 0; i < model->n_entries; i++)
    {
      settle (&model->entries[i]);
      n += model->entries[i].present;
    }
  return n;
}

static void
check_all (Model *model)
{
  gsize total = 0;

  for (guint i = 0; i < model->options.n_buckets; i++)
    {
      g_autoptr (GByteArray) body = NULL;
      gsize n;

      g_assert_cmpstr (shmkv_table_check_bucket (model->table, i), ==, NULL);
      g_assert_cmpuint (shmkv_table_copy_bucket (model->table, i, &body, &n), ==,
                        SHMKV_WIRE_STATUS_OK);
      g_assert_cmpuint (check_pairs (model, body, FALSE, TRUE), ==, n);
      total += n;
    }
  g_assert_cmpuint (total, ==, count_present (model));
  g_assert_cmpuint (count_keys (model->table), ==, total);
  g_assert_true (shmkv_table_check_memory (model->table));
}

static void
step (Model *model, guint inserts)
{
  Entry *entry = &model->entries[util_random_range (0, model->n_entries)];
  guint dice = util_random_range (0, 100);

  if (util_random_range (0, 10) == 0)
    now_ms += util_random_range (0, 30);
  settle (entry);
  if (dice < 20 && entry->key.kind == SHMKV_WIRE_KIND_INTEGER)
    run_fast (model, entry, random_op (inserts));
  else if (dice < 25)
    run_owner (model, entry);
  else
    run_command (model, entry, random_op (inserts));
  if (util_random_range (0, 10) == 0)
    step_scan (model);
}

/* Says what happens. */
static void
observe (Model *model, gboolean all)
{
  model->observing = TRUE;
  if (all)
    shmkv_table_observe_all (model->table, TRUE);
  else
    for (guint i = 0; i < model->options.n_buckets; i++)
      shmkv_table_observe_bucket (model->table, i, TRUE);
}

static void
clear (Model *model)
{
  guint64 n = count_present (model);
  guint64 memory = shmkv_table_empty_size (model->options.n_buckets);

  g_assert_cmpuint (clear_keys (model->table), ==, n);
  for (guint i = 0; i < model->n_entries; i++)
    forget (&model->entries[i]);
  check_all (model);
  g_assert_cmpuint (used_memory (model->table), ==, memory);
}

static void
delete_all (Model *model)
{
  guint64 memory = shmkv_table_empty_size (model->options.n_buckets);

  now_ms += 10000;
  shmkv_table_sweep (model->table);
  for (guint i = 0; i < model->n_entries; i++)
    {
      Entry *entry = &model->entries[i];
      ShmkvTableCommand command = {
        .op = SHMKV_WIRE_OP_DELETE,
        .key = entry->key,
        .place = shmkv_table_locate_key (model->table, &entry->key),
      };
      ShmkvTableAnswer answer;

      settle (entry);
      shmkv_table_apply (model->table, &command, &answer);
      g_assert_cmpuint (answer.status, ==,
                        entry->present ? SHMKV_WIRE_STATUS_OK : SHMKV_WIRE_STATUS_NO_KEY);
      forget (entry);
      if (i % 50 == 0)
        check_all (model);
    }
  check_all (model);
  g_assert_cmpuint (used_memory (model->table), ==, memory);
}

static void
run_waves (Model *model, guint n_steps)
{
  static const guint inserts[] = { 9, 6, 2, 5, 8, 3 };

  for (gsize i = 0; i < G_N_ELEMENTS (inserts); i++)
    for (guint j = 0; j < 10; j++)
      {
        for (guint n = 0; n < n_steps / 60; n++)
          step (model, inserts[i]);
        check_all (model);
        if (util_random_range (0, 4) == 0)
          {
            model->n_changes = 0;
            shmkv_table_sweep (model->table);
            check_all (model);
          }
        if (util_random_range (0, 30) == 0)
          clear (model);
        if (i == 2 && j == 0 && !model->observing)
          observe (model, util_random_range (0, 2) == 0);
      }
  delete_all (model);
}

static void
test_model (gconstpointer data)
{
  ShmkvTableOptions options = { .n_buckets = GPOINTER_TO_UINT (data) };
  static const guint sizes[] = { 20, 300, 4000 };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      Model *model = new_model (&options, sizes[i], i > 0);

      run_waves (model, UTIL_N (g_test_slow () ? 600000 : 60000));
      free_model (model);
    }
}

/* Where growth fails, nothing changes; without any memory left, or at the
 * server's limit, where it does not evict what it can. */
static void
test_limits (gconstpointer data)
{
  guint n_buckets = GPOINTER_TO_UINT (data);
  static const gsize limits[] = { 300, 2000, 20000, 200000 };
  guint64 n_failures = 0, n_evicted = 0;

  for (gsize i = 0; i < 3 * G_N_ELEMENTS (limits); i++)
    {
      gsize limit = limits[i / 3];
      ShmkvTableOptions options = { .n_buckets = n_buckets, .evict = i % 3 == 2 };
      Model *model;

      if (i % 3 != 0)
        options.max_memory = shmkv_table_empty_size (n_buckets) + limit;
      model = new_model (&options, 30 + limit / 60, i > 6);
      if (i % 3 == 0)
        {
          shmkv_table_limit_slots (model->table, limit);
          model->short_of_memory = TRUE;
        }
      if (options.evict)
        observe (model, TRUE);
      run_waves (model, UTIL_N (30000));
      n_evicted += model->n_evicted;
      n_failures += model->n_no_space;
      free_model (model);
    }
  g_assert_cmpuint (n_failures, >, 0);
  g_assert_cmpuint (n_evicted, >, 0);
}

/* -------------------------------------------------------------------- edges */

/* Cursors that nobody was given. */
static void
test_bad_cursor (void)
{
  ShmkvTableOptions options = { .n_buckets = 7, .seed = util_random () };
  g_autoptr (ShmkvTable) table = shmkv_table_new (&options);
  ShmkvTableScan scan = { .limit = 1 };
  guint n_accepted = 0;

  for (guint i = 0; i < 10000; i++)
    {
      guint64 cursor = i < 100 ? i + 1 : util_random (), before = cursor;
      g_autoptr (GByteArray) body = NULL;

      if (shmkv_table_scan (table, &scan, &cursor, &body) == SHMKV_WIRE_STATUS_OK)
        n_accepted++;
      else
        g_assert_cmpuint (cursor, ==, before);
      g_assert_true ((cursor == before) == (body == NULL));
    }
  g_assert_cmpuint (n_accepted, <, 3);
}

/* Keys of integers and of bytes whose hash is the one that marks an empty slot,
 * or nearly so, as objects. */
static void
test_last_keys (void)
{
  ShmkvTableOptions options = { .n_buckets = 3, .seed = util_random () };
  g_autoptr (ShmkvTable) table = shmkv_table_new (&options);

  for (guint flags = 0; flags <= SHMKV_WIRE_FLAG_VERSION; flags += SHMKV_WIRE_FLAG_VERSION)
    for (guint64 i = 0; i < 100; i++)
      {
        ShmkvField key = { .kind = SHMKV_WIRE_KIND_INTEGER,
                           .integer = shmkv_table_key_at (table, G_MAXUINT64 - i) };
        ShmkvTableCommand command = {
          .op = SHMKV_WIRE_OP_INSERT,
          .flags = flags,
          .place = shmkv_table_locate_key (table, &key),
          .key = key,
          .value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = i },
        };
        ShmkvTableAnswer answer;

        shmkv_table_apply (table, &command, &answer);
        g_assert_cmpuint (answer.status, ==,
                          flags == 0 ? SHMKV_WIRE_STATUS_ADDED : SHMKV_WIRE_STATUS_REPLACED);
        command.op = SHMKV_WIRE_OP_READ;
        shmkv_table_apply (table, &command, &answer);
        g_assert_cmpuint (answer.value.integer, ==, i);
        g_assert_cmpuint (count_keys (table), ==, flags == 0 ? i + 1 : 100);
        for (guint bucket = 0; bucket < 3; bucket++)
          g_assert_cmpstr (shmkv_table_check_bucket (table, bucket), ==, NULL);
      }
  g_assert_cmpuint (clear_keys (table), ==, 100);
  g_assert_cmpuint (used_memory (table), ==, shmkv_table_empty_size (3));
}

/* ------------------------------------------------------------------ expiry */

typedef struct
{
  guint n[5];                       /* by change */
} Tally;

static void
count_change (gpointer data, guint bucket, const ShmkvField *key, guint change)
{
  Tally *tally = data;

  tally->n[change]++;
}

static ShmkvField
integer (guint64 n)
{
  return (ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = n };
}

static guint
insert (ShmkvTable *table, guint64 key, guint flags, guint64 ttl_ms, guint64 owner)
{
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_INSERT,
    .flags = flags,
    .place = shmkv_table_locate (table, key),
    .key = integer (key),
    .value = integer (key),
    .ttl_ms = ttl_ms,
    .owner = owner,
  };
  ShmkvTableAnswer answer;

  shmkv_table_apply (table, &command, &answer);
  return answer.status;
}

static gboolean
is_present (ShmkvTable *table, guint64 key)
{
  ShmkvTablePlace place = shmkv_table_locate (table, key);
  guint64 value;

  return shmkv_table_read (table, &place, &value) == SHMKV_TABLE_FOUND;
}

static ShmkvTable *
new_table (const ShmkvTableOptions *options, Tally *tally)
{
  ShmkvTable *table = shmkv_table_new (options);

  shmkv_table_set_clock (table, fake_clock);
  shmkv_table_set_changed (table, count_change, tally);
  shmkv_table_observe_all (table, TRUE);
  return table;
}

/* Key n expires after n + 1 seconds: swept in time, and told. */
static void
test_sweep (gconstpointer data)
{
  ShmkvTableOptions options = { .n_buckets = GPOINTER_TO_UINT (data), .seed = util_random () };
  Tally tally = { .n = { 0 } };
  g_autoptr (ShmkvTable) table = new_table (&options, &tally);
  ShmkvTableStats stats;

  for (guint i = 0; i < 3000; i++)
    insert (table, i, SHMKV_WIRE_FLAG_TTL, (i + 1) * 1000, 0);
  insert (table, 3000, 0, 0, 0);
  for (guint i = 1; i <= 3000; i++)
    {
      now_ms += 999;
      g_assert_true (is_present (table, i - 1));
      now_ms += 1;
      g_assert_false (is_present (table, i - 1));
      g_assert_cmpuint (count_keys (table), ==, 3001 - i);
      if (i % 100 == 0)
        {
          shmkv_table_sweep (table);
          g_assert_cmpuint (tally.n[SHMKV_WIRE_CHANGE_EXPIRED], ==, i);
          shmkv_table_get_stats (table, &stats);
          g_assert_cmpuint (stats.expired, ==, i);
        }
    }
  for (guint i = 0; i < options.n_buckets; i++)
    g_assert_cmpstr (shmkv_table_check_bucket (table, i), ==, NULL);
  g_assert_true (is_present (table, 3000));
  clear_keys (table);
  g_assert_cmpuint (tally.n[SHMKV_WIRE_CHANGE_DELETED], ==, 1);
  g_assert_cmpuint (used_memory (table), ==, shmkv_table_empty_size (options.n_buckets));
}

/* ---------------------------------------------------------------- eviction */

#define N_CACHED 20000u

/* How many would have been there if the oldest were evicted. */
typedef struct
{
  guint *keys;
  guint n_keys;
  guint next;
  gboolean *present;
  guint n_hits;
} Queue;

static void
ask_queue (Queue *queue, guint key)
{
  if (queue->present[key])
    {
      queue->n_hits++;
      return;
    }
  queue->present[queue->keys[queue->next]] = FALSE;
  queue->keys[queue->next] = key;
  queue->present[key] = TRUE;
  queue->next = (queue->next + 1) % queue->n_keys;
}

/* A key that is asked for is inserted where it is absent, as in a cache, some
 * keys much more often than others.  Returns how many were there. */
static guint
run_cache (ShmkvTable *table, guint n_steps, Queue *queue, gboolean bytes, guint64 limit)
{
  static guint8 value[64];
  guint n_hits = 0;

  for (guint i = 0; i < n_steps; i++)
    {
      double x = g_test_rand_double ();
      guint64 key = (guint64) (N_CACHED * x * x * x * x);
      ShmkvField field = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 8, .bytes = &key };
      ShmkvTableCommand command = { .op = SHMKV_WIRE_OP_READ, .key = bytes ? field : integer (key),
                                    .buffer = value, .buffer_size = sizeof value };
      ShmkvTableAnswer answer;

      ask_queue (queue, key);
      command.place = shmkv_table_locate_key (table, &command.key);
      shmkv_table_apply (table, &command, &answer);
      if (answer.status == SHMKV_WIRE_STATUS_OK)
        {
          n_hits++;
          continue;
        }
      command.op = SHMKV_WIRE_OP_INSERT;
      command.value = bytes ? (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 1 + key % 60,
                                             .bytes = value }
                            : integer (key);
      shmkv_table_apply (table, &command, &answer);
      g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_ADDED);
      g_assert_cmpuint (used_memory (table), <=, limit);
    }
  return n_hits;
}

static void
run_eviction (guint n_buckets, gboolean bytes)
{
  ShmkvTableOptions options = {
    .n_buckets = n_buckets,
    .seed = util_random (),
    .max_memory = shmkv_table_empty_size (n_buckets) + 200000,
    .evict = TRUE,
  };
  Tally tally = { .n = { 0 } };
  g_autoptr (ShmkvTable) table = new_table (&options, &tally);
  guint n_steps = MAX (UTIL_N (200000), 50000u), n_hits;
  g_autofree guint *keys = g_new0 (guint, N_CACHED);
  g_autofree gboolean *present = g_new0 (gboolean, N_CACHED);
  Queue queue = { .keys = keys, .n_keys = 1, .present = present };
  ShmkvTableStats stats;

  run_cache (table, n_steps, &queue, bytes, options.max_memory);
  shmkv_table_get_stats (table, &stats);
  queue.n_keys = stats.keys;
  run_cache (table, n_steps, &queue, bytes, options.max_memory);
  queue.n_hits = 0;
  n_hits = run_cache (table, n_steps, &queue, bytes, options.max_memory);
  shmkv_table_get_stats (table, &stats);
  g_test_message ("%u buckets: %" G_GUINT64_FORMAT " keys, %.1f%% hits, in a queue %.1f%%",
                  n_buckets, stats.keys, 100.0 * n_hits / n_steps, 100.0 * queue.n_hits / n_steps);
  if (UTIL_SLOWNESS < 10)
    g_assert_cmpuint (n_hits, >, queue.n_hits + n_steps / 50);
  g_assert_cmpuint (stats.evicted, ==, tally.n[SHMKV_WIRE_CHANGE_EVICTED]);
  g_assert_cmpuint (stats.evicted, >, 0);
  for (guint i = 0; i < n_buckets; i++)
    g_assert_cmpstr (shmkv_table_check_bucket (table, i), ==, NULL);
  g_assert_true (shmkv_table_check_memory (table));
  clear_keys (table);
  g_assert_cmpuint (used_memory (table), ==, shmkv_table_empty_size (n_buckets));
}

static void
insert_new (ShmkvTable *table, guint64 n, gboolean bytes)
{
  static const guint8 value[100];
  ShmkvField field = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 8, .bytes = (guint8 *) &n };
  ShmkvTableCommand command = { .op = SHMKV_WIRE_OP_INSERT, .key = bytes ? field : integer (n),
                                .value = integer (n) };
  ShmkvTableAnswer answer;

  if (bytes)
    command.value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .integer = sizeof value,
                                   .bytes = value };
  command.place = shmkv_table_locate_key (table, &command.key);
  shmkv_table_apply (table, &command, &answer);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_ADDED);
}

/* New keys at the limit, and none is ever used again: the pairs remain spread
 * evenly, and no more are evicted than there are new ones. */
static void
run_steady (guint n_buckets, gboolean bytes)
{
  ShmkvTableOptions options = {
    .n_buckets = n_buckets,
    .seed = util_random (),
    .max_memory = shmkv_table_empty_size (n_buckets) + 1000000,
    .evict = TRUE,
  };
  Tally tally = { .n = { 0 } };
  g_autoptr (ShmkvTable) table = new_table (&options, &tally);
  guint n = 0, n_evicted;
  gsize longest = 0;

  for (; n < 100000; n++)
    insert_new (table, n, bytes);
  n_evicted = tally.n[SHMKV_WIRE_CHANGE_EVICTED];
  for (; n < 200000; n++)
    {
      insert_new (table, n, bytes);
      for (guint i = 0; n % 5000 == 0 && i < n_buckets; i++)
        longest = MAX (longest, shmkv_table_longest_way (table, i));
    }
  n_evicted = tally.n[SHMKV_WIRE_CHANGE_EVICTED] - n_evicted;
  g_test_message ("%u buckets: %u evicted, %" G_GSIZE_FORMAT " from home", n_buckets, n_evicted,
                  longest);
  g_assert_cmpuint (n_evicted, <, 105000);
  g_assert_cmpuint (longest, <, 500);
}

static void
test_steady (gconstpointer data)
{
  run_steady (GPOINTER_TO_UINT (data), FALSE);
  run_steady (GPOINTER_TO_UINT (data), TRUE);
}

/* What will never fit does not cost the others their place. */
static void
test_too_large (void)
{
  ShmkvTableOptions options = {
    .n_buckets = 10,
    .seed = util_random (),
    .max_memory = shmkv_table_empty_size (10) + 100000,
    .evict = TRUE,
  };
  Tally tally = { .n = { 0 } };
  g_autoptr (ShmkvTable) table = new_table (&options, &tally);
  g_autofree guint8 *bytes = g_malloc0 (100000);
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_INSERT,
    .place = shmkv_table_locate (table, 1),
    .key = integer (1),
    .value = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 100000, .bytes = bytes },
  };
  ShmkvTableAnswer answer;

  for (guint i = 0; i < 500; i++)
    insert (table, 100 + i, 0, 0, 0);
  shmkv_table_apply (table, &command, &answer);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_NO_SPACE);
  g_assert_cmpuint (count_keys (table), ==, 500);
  command.value.integer = 95000;
  shmkv_table_apply (table, &command, &answer);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_ADDED);
  g_assert_cmpuint (count_keys (table), <, 500);
  g_assert_cmpuint (used_memory (table), <=, options.max_memory);
}

/* The keys of a session are never evicted, not even all together. */
static void
test_owned (gconstpointer data)
{
  ShmkvTableOptions options = {
    .n_buckets = GPOINTER_TO_UINT (data),
    .seed = util_random (),
    .max_memory = shmkv_table_empty_size (GPOINTER_TO_UINT (data)) + 100000,
    .evict = TRUE,
  };
  Tally tally = { .n = { 0 } };
  g_autoptr (ShmkvTable) table = new_table (&options, &tally);
  guint n = 0, status;

  for (guint i = 0; i < 3000; i++)
    insert (table, 1000000 + i, 0, 0, 0);
  while ((status = insert (table, n, SHMKV_WIRE_FLAG_SESSION, 0, 1)) == SHMKV_WIRE_STATUS_ADDED)
    {
      n++;
      insert (table, 2000000 + n, 0, 0, 0);
    }
  g_assert_cmpuint (status, ==, SHMKV_WIRE_STATUS_NO_SPACE);
  g_assert_cmpuint (n, >, 1000);
  for (guint i = 0; i < n; i++)
    g_assert_true (is_present (table, i));
  for (guint i = 0; i < options.n_buckets; i++)
    g_assert_cmpstr (shmkv_table_check_bucket (table, i), ==, NULL);
}

/* The version that goes with a mismatch is that of the key: 0 only where there
 * is none. */
static void
test_mismatch (gconstpointer data)
{
  ShmkvTableOptions options = { .n_buckets = GPOINTER_TO_UINT (data), .seed = util_random () };
  Tally tally = { .n = { 0 } };
  g_autoptr (ShmkvTable) table = new_table (&options, &tally);
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_INSERT,
    .flags = SHMKV_WIRE_FLAG_IF_ABSENT | SHMKV_WIRE_FLAG_VERSION,
    .place = shmkv_table_locate (table, 1),
    .key = integer (1),
    .value = integer (2),
  };
  ShmkvTableAnswer answer;

  insert (table, 1, 0, 0, 0);
  shmkv_table_apply (table, &command, &answer);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_MISMATCH);
  g_assert_cmpuint (answer.version, !=, 0);
  command.flags = SHMKV_WIRE_FLAG_IF_VERSION;
  command.version = answer.version;
  shmkv_table_apply (table, &command, &answer);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_REPLACED);
}

/* To ask for the version of a long value needs no room for another one. */
static void
test_adorn_long (gconstpointer data)
{
  ShmkvTableOptions options = {
    .n_buckets = GPOINTER_TO_UINT (data),
    .seed = util_random (),
    .max_memory = shmkv_table_empty_size (GPOINTER_TO_UINT (data)) + 100000,
    .evict = TRUE,
  };
  Tally tally = { .n = { 0 } };
  g_autoptr (ShmkvTable) table = new_table (&options, &tally);
  g_autofree guint8 *bytes = g_malloc0 (60000), *buffer = g_malloc (60000);
  ShmkvTableCommand command = {
    .op = SHMKV_WIRE_OP_INSERT,
    .key = integer (7),
    .value = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 60000, .bytes = bytes },
    .buffer = buffer,
    .buffer_size = 60000,
  };
  ShmkvTableAnswer answer;
  guint64 version;

  command.place = shmkv_table_locate_key (table, &command.key);
  for (guint i = 0; i < 60000; i++)
    bytes[i] = (guint8) (i * 7 + i / 256);
  shmkv_table_apply (table, &command, &answer);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_ADDED);
  command.op = SHMKV_WIRE_OP_READ;
  command.flags = SHMKV_WIRE_FLAG_VERSION;
  command.value.kind = SHMKV_WIRE_KIND_NONE;
  shmkv_table_apply (table, &command, &answer);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_OK);
  version = answer.version;
  g_assert_cmpuint (version, !=, 0);
  shmkv_table_apply (table, &command, &answer);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_OK);
  g_assert_cmpuint (answer.version, ==, version);
  g_assert_cmpmem (answer.value.bytes, answer.value.integer, bytes, 60000);
  g_assert_cmpuint (tally.n[SHMKV_WIRE_CHANGE_EVICTED], ==, 0);
  for (guint i = 0; i < options.n_buckets; i++)
    g_assert_cmpstr (shmkv_table_check_bucket (table, i), ==, NULL);
  g_assert_true (shmkv_table_check_memory (table));
}

static void
test_eviction (gconstpointer data)
{
  run_eviction (GPOINTER_TO_UINT (data), FALSE);
  run_eviction (GPOINTER_TO_UINT (data), TRUE);
}

/* ------------------------------------------------------------------ threads */

#define N_THREADS 4
#define N_COUNTERS 8
#define N_OWN_KEYS 200

/* A thread has keys of its own, and counts with the others. */
typedef struct
{
  ShmkvTable *table;
  guint number;
  guint n_steps;
  guint lengths[N_OWN_KEYS];        /* of the values, and 1; 0: absent */
  guint64 counted[N_COUNTERS];
  GRand *random;
} Actor;

static ShmkvTableCommand
make_command (ShmkvTable *table, guint op, const ShmkvField *key)
{
  return (ShmkvTableCommand) { .op = op, .key = *key,
                               .place = shmkv_table_locate_key (table, key) };
}

/* Of even number an integer, else bytes. */
static ShmkvField
counter_key (guint i, guint64 *storage)
{
  *storage = i;
  if (i % 2 == 0)
    return integer (i);
  return (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 8, .bytes = storage };
}

static void
count_by_adding (Actor *actor, guint i)
{
  guint64 storage;
  ShmkvField key = counter_key (i, &storage);
  ShmkvTableCommand command = make_command (actor->table, SHMKV_WIRE_OP_ADD, &key);
  ShmkvTableAnswer answer;

  command.value = integer (1);
  command.flags = g_rand_int_range (actor->random, 0, 4) == 0 ? SHMKV_WIRE_FLAG_VERSION : 0;
  shmkv_table_apply (actor->table, &command, &answer);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_OK);
  actor->counted[i]++;
}

/* Reads, and inserts one more if nobody else did. */
static void
count_by_version (Actor *actor, guint i)
{
  guint64 storage;
  ShmkvField key = counter_key (i, &storage);
  ShmkvTableCommand command = make_command (actor->table, SHMKV_WIRE_OP_READ, &key);
  ShmkvTableAnswer answer;

  command.flags = SHMKV_WIRE_FLAG_VERSION;
  shmkv_table_apply (actor->table, &command, &answer);
  command.op = SHMKV_WIRE_OP_INSERT;
  command.flags = SHMKV_WIRE_FLAG_IF_VERSION;
  command.version = answer.version;
  command.value = integer (answer.value.integer + 1);
  shmkv_table_apply (actor->table, &command, &answer);
  if (answer.status == SHMKV_WIRE_STATUS_MISMATCH)
    return;
  g_assert_cmpuint (answer.status, ==, command.version == 0 ? SHMKV_WIRE_STATUS_ADDED
                                                            : SHMKV_WIRE_STATUS_REPLACED);
  actor->counted[i]++;
}

static void
use_own_key (Actor *actor)
{
  static const guint8 zeros[1024];
  guint i = g_rand_int_range (actor->random, 0, N_OWN_KEYS);
  guint64 words[2] = { actor->number, i }, buffer[128];
  ShmkvField key = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 16, .bytes = words };
  ShmkvTableCommand command = make_command (actor->table, SHMKV_WIRE_OP_READ, &key);
  ShmkvTableAnswer answer;

  command.buffer = buffer;
  command.buffer_size = sizeof buffer;
  shmkv_table_apply (actor->table, &command, &answer);
  g_assert_cmpuint (answer.status, ==,
                    actor->lengths[i] == 0 ? SHMKV_WIRE_STATUS_NO_KEY : SHMKV_WIRE_STATUS_OK);
  if (actor->lengths[i] != 0)
    g_assert_cmpuint (answer.value.integer, ==, actor->lengths[i] - 1);

  actor->lengths[i] = g_rand_int_range (actor->random, 0, 3) == 0
                      ? 0 : 1 + g_rand_int_range (actor->random, 0, 300);
  command.op = actor->lengths[i] == 0 ? SHMKV_WIRE_OP_DELETE : SHMKV_WIRE_OP_INSERT;
  if (actor->lengths[i] != 0)
    command.value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES,
                                   .integer = actor->lengths[i] - 1, .bytes = zeros };
  shmkv_table_apply (actor->table, &command, &answer);
  g_assert_cmpuint (answer.status, <=, SHMKV_WIRE_STATUS_NO_KEY);
}

/* Keys that expire at once, for the sweeps. */
static void
insert_brief (Actor *actor)
{
  insert (actor->table, 1000 + g_rand_int_range (actor->random, 0, 1000), SHMKV_WIRE_FLAG_TTL,
          1, 0);
}

static void
look_around (Actor *actor)
{
  ShmkvTableScan scan = { .limit = 50 };
  guint64 cursor = 0;
  guint n_buckets = shmkv_table_get_n_buckets (actor->table);
  guint bucket = g_rand_int_range (actor->random, 0, n_buckets);

  g_assert_cmpstr (shmkv_table_check_bucket (actor->table, bucket), ==, NULL);
  do
    {
      g_autoptr (GByteArray) body = NULL;

      g_assert_cmpuint (shmkv_table_scan (actor->table, &scan, &cursor, &body), ==,
                        SHMKV_WIRE_STATUS_OK);
    }
  while (cursor != 0);
  if (actor->number == 0)
    shmkv_table_sweep (actor->table);
}

static gpointer
act (gpointer data)
{
  Actor *actor = data;

  for (guint i = 0; i < actor->n_steps; i++)
    {
      guint counter = g_rand_int_range (actor->random, 0, N_COUNTERS);

      use_own_key (actor);
      if (counter % 3 == 0)
        count_by_version (actor, counter);
      else
        count_by_adding (actor, counter);
      if (i % 10 == 0)
        insert_brief (actor);
      if (i % 500 == 0)
        look_around (actor);
    }
  return NULL;
}

static void
assert_counters (ShmkvTable *table, const Actor *actors)
{
  for (guint i = 0; i < N_COUNTERS; i++)
    {
      guint64 storage, sum = 0;
      ShmkvField key = counter_key (i, &storage);
      ShmkvTableCommand command = make_command (table, SHMKV_WIRE_OP_READ, &key);
      ShmkvTableAnswer answer;

      for (guint j = 0; j < N_THREADS; j++)
        sum += actors[j].counted[i];
      shmkv_table_apply (table, &command, &answer);
      g_assert_cmpuint (answer.value.integer, ==, sum);
    }
}

static gint64
fast_clock (void)
{
  return g_get_monotonic_time ();
}

static void
test_threads (gconstpointer data)
{
  ShmkvTableOptions options = { .n_buckets = GPOINTER_TO_UINT (data), .seed = util_random () };
  g_autoptr (ShmkvTable) table = shmkv_table_new (&options);
  g_autofree Actor *actors = g_new0 (Actor, N_THREADS);
  GThread *threads[N_THREADS];

  shmkv_table_set_clock (table, fast_clock);
  for (guint i = 0; i < N_THREADS; i++)
    {
      actors[i].table = table;
      actors[i].number = i;
      actors[i].random = g_rand_new_with_seed (util_random ());
      actors[i].n_steps = UTIL_N (100000);
      threads[i] = g_thread_new ("actor", act, &actors[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (threads[i]);
      g_rand_free (actors[i].random);
    }
  assert_counters (table, actors);
  for (guint i = 0; i < options.n_buckets; i++)
    g_assert_cmpstr (shmkv_table_check_bucket (table, i), ==, NULL);
  g_assert_true (shmkv_table_check_memory (table));
}

/* Any, of a few, which is not likely to fit next to all others. */
static gpointer
act_in_cache (gpointer data)
{
  static const guint8 zeros[512];
  Actor *actor = data;

  for (guint i = 0; i < actor->n_steps; i++)
    {
      guint64 n = g_rand_int_range (actor->random, 0, 5000), storage;
      ShmkvField key = counter_key (n, &storage);
      ShmkvTableCommand command = make_command (actor->table, SHMKV_WIRE_OP_INSERT, &key);
      ShmkvTableAnswer answer;
      guint64 value;

      command.value = integer (n);
      if (n % 3 == 0)
        command.value = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .integer = n % 512,
                                       .bytes = zeros };
      if (n % 2 == 0 && shmkv_table_read (actor->table, &command.place, &value)
                        == SHMKV_TABLE_FOUND)
        g_assert_cmpuint (value, ==, n);
      shmkv_table_apply (actor->table, &command, &answer);
      g_assert_cmpuint (answer.status, <=, SHMKV_WIRE_STATUS_REPLACED);
    }
  return NULL;
}

static void
test_threads_evicting (gconstpointer data)
{
  ShmkvTableOptions options = {
    .n_buckets = GPOINTER_TO_UINT (data),
    .seed = util_random (),
    .max_memory = shmkv_table_empty_size (GPOINTER_TO_UINT (data)) + 150000,
    .evict = TRUE,
  };
  g_autoptr (ShmkvTable) table = shmkv_table_new (&options);
  Actor actors[N_THREADS];
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    {
      actors[i] = (Actor) { .table = table, .n_steps = MAX (UTIL_N (100000), 10000u),
                            .random = g_rand_new_with_seed (util_random ()) };
      threads[i] = g_thread_new ("actor", act_in_cache, &actors[i]);
    }
  for (guint i = 0; i < 100; i++)
    {
      g_assert_cmpuint (used_memory (table), <=, options.max_memory);
      g_assert_cmpstr (shmkv_table_check_bucket (table, i % options.n_buckets), ==, NULL);
    }
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (threads[i]);
      g_rand_free (actors[i].random);
    }
  for (guint i = 0; i < options.n_buckets; i++)
    g_assert_cmpstr (shmkv_table_check_bucket (table, i), ==, NULL);
  g_assert_true (shmkv_table_check_memory (table));
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
  static const guint n_buckets[] = { 1, 3, 100 };

  util_init (&argc, &argv);

  for (gsize i = 0; i < G_N_ELEMENTS (n_buckets); i++)
    {
      add_for_buckets ("/objects/model", n_buckets[i], test_model);
      add_for_buckets ("/objects/limits", n_buckets[i], test_limits);
      add_for_buckets ("/objects/sweep", n_buckets[i], test_sweep);
      add_for_buckets ("/objects/eviction", n_buckets[i], test_eviction);
      add_for_buckets ("/objects/steady", n_buckets[i], test_steady);
      add_for_buckets ("/objects/owned", n_buckets[i], test_owned);
      add_for_buckets ("/objects/adorn-long", n_buckets[i], test_adorn_long);
      add_for_buckets ("/objects/mismatch", n_buckets[i], test_mismatch);
      add_for_buckets ("/objects/threads", n_buckets[i], test_threads);
      add_for_buckets ("/objects/threads-evicting", n_buckets[i], test_threads_evicting);
    }
  g_test_add_func ("/objects/bad-cursor", test_bad_cursor);
  g_test_add_func ("/objects/last-keys", test_last_keys);
  g_test_add_func ("/objects/too-large-to-evict", test_too_large);
  return util_run ();
}
