/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The queue of requests that wait for their answers. */

#include "config.h"

#include "shmkv/pending.h"
#include "util.h"

static void
push (ShmkvPending *pending, guint64 id)
{
  shmkv_pending_push (pending, (guint) (id % 11), (guint) (id % 1021), id, GSIZE_TO_POINTER (id * 3));
}

static void
pop (ShmkvPending *pending, guint64 id)
{
  ShmkvPendingEntry entry = { 0 };

  g_assert_true (shmkv_pending_pop (pending, &entry));
  g_assert_cmpuint (entry.id, ==, id);
  g_assert_cmpuint (entry.op, ==, id % 11);
  g_assert_cmpuint (entry.flags, ==, id % 1021);
  g_assert_true (entry.user_data == GSIZE_TO_POINTER (id * 3));
}

static void
assert_empty (ShmkvPending *pending)
{
  ShmkvPendingEntry entry;

  g_assert_false (shmkv_pending_pop (pending, &entry));
}

static void
test_empty (void)
{
  ShmkvPending pending;

  shmkv_pending_init (&pending);
  assert_empty (&pending);
  push (&pending, 1);
  pop (&pending, 1);
  assert_empty (&pending);
  assert_empty (&pending);
  shmkv_pending_clear (&pending);
}

/* All numbers of entries around the ends of chunks. */
static void
test_chunks (void)
{
  guint64 pushed = 0, popped = 0;
  ShmkvPending pending;

  shmkv_pending_init (&pending);
  for (guint n = 0; n < 3 * SHMKV_PENDING_CHUNK + 3; n += n % SHMKV_PENDING_CHUNK < 3 ? 1 : 73)
    {
      for (guint i = 0; i < n; i++)
        push (&pending, ++pushed);
      for (guint i = 0; i < n; i++)
        pop (&pending, ++popped);
      assert_empty (&pending);
    }
  shmkv_pending_clear (&pending);
}

static void
test_random (void)
{
  guint64 pushed = 0, popped = 0;
  ShmkvPending pending;

  shmkv_pending_init (&pending);
  for (guint round = 0; round < UTIL_N (4000); round++)
    {
      for (guint n = util_random_range (0, 700); n > 0; n--)
        push (&pending, ++pushed);
      for (guint n = util_random_range (0, 700); n > 0 && popped < pushed; n--)
        pop (&pending, ++popped);
      if (popped == pushed)
        assert_empty (&pending);
    }
  while (popped < pushed)
    pop (&pending, ++popped);
  assert_empty (&pending);
  shmkv_pending_clear (&pending);
}

/* What is left is freed. */
static void
test_clear (void)
{
  for (guint n = 0; n < 3 * SHMKV_PENDING_CHUNK; n += 100)
    {
      ShmkvPending pending;

      shmkv_pending_init (&pending);
      for (guint i = 0; i < n; i++)
        push (&pending, i);
      for (guint i = 0; i < n / 2; i++)
        pop (&pending, i);
      shmkv_pending_clear (&pending);
    }
}

typedef struct
{
  ShmkvPending pending;
  guint64 n;
  guint64 *numbers;                 /* what the user data points to */
} Stream;

static gpointer
push_all (gpointer data)
{
  Stream *stream = data;

  for (guint64 i = 0; i < stream->n; i++)
    {
      stream->numbers[i] = i;
      shmkv_pending_push (&stream->pending, 2, 0, i + 1, &stream->numbers[i]);
      if (i % 5000 == 0)
        g_thread_yield ();
    }
  return NULL;
}

static void
test_threads (void)
{
  Stream stream = { .n = UTIL_N (2000000) };
  GThread *thread;

  shmkv_pending_init (&stream.pending);
  stream.numbers = g_new0 (guint64, stream.n);
  thread = g_thread_new ("pusher", push_all, &stream);
  for (guint64 i = 0; i < stream.n; i++)
    {
      ShmkvPendingEntry entry = { 0 };

      while (!shmkv_pending_pop (&stream.pending, &entry))
        g_thread_yield ();
      g_assert_cmpuint (entry.id, ==, i + 1);
      g_assert_true (entry.user_data == &stream.numbers[i]);
      g_assert_cmpuint (stream.numbers[i], ==, i);
    }
  g_thread_join (thread);
  assert_empty (&stream.pending);
  shmkv_pending_clear (&stream.pending);
  g_free (stream.numbers);
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/pending/empty", test_empty);
  g_test_add_func ("/pending/chunks", test_chunks);
  g_test_add_func ("/pending/random", test_random);
  g_test_add_func ("/pending/clear", test_clear);
  g_test_add_func ("/pending/threads", test_threads);
  return util_run ();
}
