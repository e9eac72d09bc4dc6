/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The journal of changes: what it holds, and what it has to forget. */

#include "config.h"

#include "rig.h"
#include "server/journal.h"
#include "util.h"

#include <string.h>

static void
test_positions (void)
{
  ShmkvJournal *journal = shmkv_journal_new ();
  ShmkvField key = hand_integer (5);
  guint64 before, next;

  g_assert_true (shmkv_journal_open (journal));
  next = shmkv_journal_next (journal);
  g_assert_cmpuint (next, >, 0);
  g_assert_cmpuint (shmkv_journal_first (journal), ==, next);
  shmkv_journal_append (journal, &key, SHMKV_WIRE_CHANGE_SET);
  key = hand_bytes ("name");
  shmkv_journal_append (journal, &key, SHMKV_WIRE_CHANGE_DELETED);
  g_assert_cmpuint (shmkv_journal_first (journal), ==, next);
  g_assert_cmpuint (shmkv_journal_next (journal), ==, next + 2);
  g_assert_cmpuint (shmkv_journal_get (journal, next, &key), ==, SHMKV_WIRE_CHANGE_SET);
  g_assert_cmpuint (key.kind, ==, SHMKV_WIRE_KIND_INTEGER);
  g_assert_cmpuint (key.integer, ==, 5);
  g_assert_cmpuint (shmkv_journal_get (journal, next + 1, &key), ==, SHMKV_WIRE_CHANGE_DELETED);
  g_assert_cmpmem (key.bytes, key.integer, "name", 4);

  /* While it is closed, everybody misses something. */
  before = shmkv_journal_next (journal);
  shmkv_journal_close (journal);
  g_assert_true (shmkv_journal_open (journal));
  g_assert_cmpuint (shmkv_journal_first (journal), >, before);
  g_assert_cmpuint (shmkv_journal_first (journal), ==, shmkv_journal_next (journal));
  shmkv_journal_free (journal);
}

/* A key that tells which it is, of a length that it tells as well. */
static void
make_key (guint64 number, guint max, guint8 *bytes, ShmkvField *key_out)
{
  guint length = 8 + (guint) (number * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) >> 40) % (max - 7);

  *key_out = hand_integer (number);
  if (number % 3 == 0)
    return;
  memset (bytes, (guint8) number, length);
  memcpy (bytes, &number, 8);
  *key_out
    = (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .integer = length, .bytes = bytes };
}

/* Keys of all sizes, many times more than it holds: the latest are there, and as
 * they were. */
static void
check_overflow (guint max)
{
  ShmkvJournal *journal = shmkv_journal_new ();
  g_autofree guint8 *bytes = g_malloc (SHMKV_WIRE_MAX_KEY_SIZE);
  guint64 begin;
  guint fewest = SHMKV_JOURNAL_CHANGES;
  guint n = UTIL_N (3 * SHMKV_JOURNAL_BYTES / max) + 4 * SHMKV_JOURNAL_CHANGES;

  g_assert_true (shmkv_journal_open (journal));
  begin = shmkv_journal_next (journal);
  for (guint i = 0; i < n; i++)
    {
      guint64 first, at;
      ShmkvField key, found;

      make_key (i, max, bytes, &key);
      shmkv_journal_append (journal, &key, 1 + i % 4);
      first = shmkv_journal_first (journal);
      g_assert_cmpuint (shmkv_journal_next (journal), ==, begin + i + 1);
      g_assert_cmpuint (first, <=, begin + i);
      if (first > begin)
        fewest = MIN (fewest, (guint) (begin + i + 1 - first));
      at = first + util_random () % (begin + i + 1 - first);
      make_key (at - begin, max, bytes, &key);
      g_assert_cmpuint (shmkv_journal_get (journal, at, &found), ==, 1 + (at - begin) % 4);
      g_assert_cmpuint (found.kind, ==, key.kind);
      g_assert_cmpuint (found.integer, ==, key.integer);
      if (key.kind == SHMKV_WIRE_KIND_BYTES)
        g_assert_cmpmem (found.bytes, found.integer, key.bytes, key.integer);
    }
  g_assert_cmpuint (fewest, >=, MIN (SHMKV_JOURNAL_CHANGES, SHMKV_JOURNAL_BYTES / max - 1));
  shmkv_journal_free (journal);
}

static void
test_overflow (void)
{
  check_overflow (8);
  check_overflow (100);
  check_overflow (5000);
  check_overflow (SHMKV_WIRE_MAX_KEY_SIZE);
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/journal/positions", test_positions);
  g_test_add_func ("/journal/overflow", test_overflow);
  return util_run ();
}
