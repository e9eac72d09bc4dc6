/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What was retired is freed when no reader can hold it any more, and not before.
 *
 * What is freed is off the list; that it was not too early is what an address
 * sanitizer sees in the tests with threads, and so do the readers, mostly. */

#include "config.h"

#include "server/reclaim.h"
#include "util.h"

#include <stdlib.h>

#define SIZE 64

/* Retires some memory, which then is the newest of all. */
static ShmkvRetired *
retire (ShmkvReclaim *reclaim)
{
  ShmkvRetired *retired = shmkv_retired_new ();
  gpointer memory = malloc (SIZE);

  g_assert_nonnull (retired);
  g_assert_nonnull (memory);
  shmkv_reclaim_retire (reclaim, retired, memory, SIZE);
  return retired;
}

static ShmkvReader *
add_reader (ShmkvReclaim *reclaim)
{
  ShmkvReader *reader = shmkv_reader_new (reclaim);

  g_assert_nonnull (reader);
  return reader;
}

/* All up to there is freed, and nothing from there on; NULL: all is. */
static void
assert_first (ShmkvReclaim *reclaim, const ShmkvRetired *expected)
{
  g_assert_true (reclaim->first == expected);
  if (expected == NULL)
    g_assert_null (reclaim->last);
}

/* The same, also after another look. */
static void
assert_kept (ShmkvReclaim *reclaim, const ShmkvRetired *expected)
{
  assert_first (reclaim, expected);
  shmkv_reclaim_run (reclaim);
  assert_first (reclaim, expected);
}

/* ------------------------------------------------------------ no or one reader */

static void
test_nobody (void)
{
  ShmkvReclaim reclaim;

  shmkv_reclaim_init (&reclaim);
  shmkv_reclaim_run (&reclaim);
  for (guint i = 0; i < 3; i++)
    {
      retire (&reclaim);
      assert_first (&reclaim, NULL);
    }
  shmkv_reclaim_clear (&reclaim);
}

static void
test_pass (void)
{
  ShmkvReclaim reclaim;
  ShmkvRetired *first;
  ShmkvReader *reader;

  shmkv_reclaim_init (&reclaim);
  reader = add_reader (&reclaim);
  shmkv_reader_pass (reader);
  for (guint i = 0; i < 3; i++)
    {
      first = retire (&reclaim);
      retire (&reclaim);
      assert_kept (&reclaim, first);
      shmkv_reader_pass (reader);
      assert_first (&reclaim, NULL);
      shmkv_reader_pass (reader);
    }
  shmkv_reader_free (reader);
  shmkv_reclaim_clear (&reclaim);
}

/* What was retired before it came, it cannot hold; but another may. */
static void
test_latecomer (void)
{
  ShmkvReclaim reclaim;
  ShmkvReader *early, *late;
  ShmkvRetired *first, *second;

  shmkv_reclaim_init (&reclaim);
  early = add_reader (&reclaim);
  first = retire (&reclaim);
  late = add_reader (&reclaim);
  assert_kept (&reclaim, first);
  second = retire (&reclaim);
  shmkv_reader_pass (early);
  assert_kept (&reclaim, second);
  shmkv_reader_pass (late);
  assert_first (&reclaim, NULL);
  shmkv_reader_free (late);
  shmkv_reader_free (early);
  shmkv_reclaim_clear (&reclaim);
}

static void
test_rest (void)
{
  ShmkvReclaim reclaim;
  ShmkvRetired *held;
  ShmkvReader *reader;

  shmkv_reclaim_init (&reclaim);
  reader = add_reader (&reclaim);
  held = retire (&reclaim);
  assert_kept (&reclaim, held);
  shmkv_reader_rest (reader);
  /* It is about to sleep: somebody else looks after that. */
  assert_first (&reclaim, held);
  shmkv_reclaim_run (&reclaim);
  assert_first (&reclaim, NULL);

  retire (&reclaim);
  shmkv_reclaim_run (&reclaim);
  assert_first (&reclaim, NULL);

  shmkv_reader_resume (reader);
  held = retire (&reclaim);
  assert_kept (&reclaim, held);
  shmkv_reader_pass (reader);
  assert_first (&reclaim, NULL);
  shmkv_reader_free (reader);
  shmkv_reclaim_clear (&reclaim);
}

/* Who resumes is as who has just passed. */
static void
test_resume (void)
{
  ShmkvReclaim reclaim;
  ShmkvReader *resting, *other;
  ShmkvRetired *before, *after;

  shmkv_reclaim_init (&reclaim);
  resting = add_reader (&reclaim);
  other = add_reader (&reclaim);
  shmkv_reader_rest (resting);
  before = retire (&reclaim);
  shmkv_reader_resume (resting);
  assert_kept (&reclaim, before);
  after = retire (&reclaim);
  shmkv_reader_pass (other);
  assert_kept (&reclaim, after);
  shmkv_reader_rest (resting);
  shmkv_reclaim_run (&reclaim);
  assert_first (&reclaim, NULL);
  shmkv_reader_free (resting);
  shmkv_reader_free (other);
  shmkv_reclaim_clear (&reclaim);
}

/* ------------------------------------------------------------- several readers */

#define N_READERS 5

/* The one that passed first, as seen from each retirement, decides. */
static void
test_oldest (void)
{
  ShmkvReader *readers[N_READERS];
  ShmkvRetired *retired[N_READERS];
  ShmkvReclaim reclaim;

  shmkv_reclaim_init (&reclaim);
  for (guint i = 0; i < N_READERS; i++)
    readers[i] = add_reader (&reclaim);
  for (guint i = 0; i < N_READERS; i++)
    {
      retired[i] = retire (&reclaim);
      for (guint k = 0; k + i + 1 < N_READERS; k++)
        shmkv_reader_pass (readers[k]);
      assert_kept (&reclaim, retired[0]);
    }
  /* The last never passed, the one before it after one retirement, and so on. */
  for (guint i = N_READERS; i-- > 1;)
    {
      shmkv_reader_rest (readers[i]);
      shmkv_reclaim_run (&reclaim);
      assert_first (&reclaim, retired[N_READERS - i]);
    }
  shmkv_reader_pass (readers[0]);
  assert_first (&reclaim, NULL);
  for (guint i = 0; i < N_READERS; i++)
    shmkv_reader_free (readers[i]);
  shmkv_reclaim_clear (&reclaim);
}

/* Whichever of them it is. */
static void
test_going (void)
{
  for (guint i = 0; i < N_READERS; i++)
    {
      ShmkvReader *readers[N_READERS];
      ShmkvReclaim reclaim;
      ShmkvRetired *held;

      shmkv_reclaim_init (&reclaim);
      for (guint k = 0; k < N_READERS; k++)
        readers[k] = add_reader (&reclaim);
      held = retire (&reclaim);
      for (guint k = 0; k < N_READERS; k++)
        if (k != i)
          shmkv_reader_pass (readers[k]);
      assert_kept (&reclaim, held);
      shmkv_reader_free (readers[i]);
      assert_first (&reclaim, NULL);
      for (guint k = 0; k < N_READERS; k++)
        if (k != i)
          shmkv_reader_free (readers[k]);
      g_assert_null (reclaim.readers);
      shmkv_reclaim_clear (&reclaim);
    }
}

typedef struct
{
  ShmkvReader *reader;
  gboolean rests;
  guint64 passed;                   /* how much was retired when it last held nothing */
} Actor;

static void
come_or_go (ShmkvReclaim *reclaim, Actor *actor, guint64 n_retired)
{
  if (actor->reader != NULL)
    g_clear_pointer (&actor->reader, shmkv_reader_free);
  else
    *actor = (Actor) { .reader = add_reader (reclaim), .passed = n_retired };
}

static void
rest_or_pass (Actor *actor, guint64 n_retired)
{
  if (actor->reader == NULL)
    return;
  actor->passed = n_retired;
  if (actor->rests)
    shmkv_reader_resume (actor->reader);
  else if (g_test_rand_bit ())
    shmkv_reader_pass (actor->reader);
  else
    {
      shmkv_reader_rest (actor->reader);
      actor->rests = TRUE;
      return;
    }
  actor->rests = FALSE;
}

/* Against a model: a retirement is kept for those who then were reading, until
 * they have all passed, rested or gone. */
static void
test_model (void)
{
  g_autoptr (GPtrArray) nodes = g_ptr_array_new ();
  Actor actors[N_READERS] = { { NULL } };
  guint64 n_retired = 0;
  ShmkvReclaim reclaim;

  shmkv_reclaim_init (&reclaim);
  for (guint step = 0; step < UTIL_N (200000); step++)
    {
      guint i = util_random_range (0, N_READERS);
      guint64 oldest = G_MAXUINT64;

      switch (util_random_range (0, 5))
        {
        case 0:
          g_ptr_array_add (nodes, retire (&reclaim));
          n_retired++;
          break;
        case 1:
          come_or_go (&reclaim, &actors[i], n_retired);
          break;
        default:
          rest_or_pass (&actors[i], n_retired);
        }
      shmkv_reclaim_run (&reclaim);
      for (guint k = 0; k < N_READERS; k++)
        if (actors[k].reader != NULL && !actors[k].rests)
          oldest = MIN (oldest, actors[k].passed);
      assert_first (&reclaim, oldest < n_retired ? g_ptr_array_index (nodes, oldest) : NULL);
    }
  for (guint i = 0; i < N_READERS; i++)
    g_clear_pointer (&actors[i].reader, shmkv_reader_free);
  shmkv_reclaim_clear (&reclaim);
}

/* ------------------------------------------------------------------ the rest */

/* What nobody ever freed goes in the end: a leak checker sees if not. */
static void
test_clear (void)
{
  ShmkvReclaim reclaim;
  ShmkvReader *reader;

  shmkv_reclaim_init (&reclaim);
  reader = add_reader (&reclaim);
  for (guint i = 0; i < 3; i++)
    retire (&reclaim);
  /* As if whoever runs it had not come any more. */
  g_mutex_lock (&reclaim.mutex);
  reclaim.readers = NULL;
  g_mutex_unlock (&reclaim.mutex);
  shmkv_reclaim_clear (&reclaim);
  free (reader);
}

static void
test_not_needed (void)
{
  g_free (shmkv_retired_new ());
}

/* Nobody waits for another who is at it. */
static void
test_busy (void)
{
  ShmkvReclaim reclaim;
  ShmkvRetired *held;
  ShmkvReader *reader;

  shmkv_reclaim_init (&reclaim);
  reader = add_reader (&reclaim);
  held = retire (&reclaim);
  g_mutex_lock (&reclaim.mutex);
  shmkv_reader_pass (reader);
  shmkv_reclaim_run (&reclaim);
  assert_first (&reclaim, held);
  g_mutex_unlock (&reclaim.mutex);
  assert_first (&reclaim, held);
  shmkv_reclaim_run (&reclaim);
  assert_first (&reclaim, NULL);
  shmkv_reader_free (reader);
  shmkv_reclaim_clear (&reclaim);
}

/* ------------------------------------------------------------------- threads */

#define N_CELLS 4
#define N_THREADS 4
#define N_WORDS 8

/* All words are the same, as long as it is not freed. */
typedef struct
{
  guint64 words[N_WORDS];
} Thing;

typedef struct
{
  ShmkvReclaim reclaim;
  _Atomic (Thing *) cells[N_CELLS];
  _Atomic gboolean done;
} Shop;

static Thing *
thing_new (guint64 number)
{
  Thing *thing = malloc (sizeof *thing);

  g_assert_nonnull (thing);
  for (guint i = 0; i < N_WORDS; i++)
    thing->words[i] = number;
  return thing;
}

static void
look_at (const Thing *thing)
{
  for (guint i = 1; i < N_WORDS; i++)
    g_assert_cmpuint (thing->words[i], ==, thing->words[0]);
}

/* Looks at all things, once and again, and holds them until the end. */
static void
look_around (Shop *shop)
{
  const Thing *things[N_CELLS];

  for (guint i = 0; i < N_CELLS; i++)
    {
      /* acquire: pairs with the writer's exchange */
      things[i] = atomic_load_explicit (&shop->cells[i], memory_order_acquire);
      look_at (things[i]);
    }
  for (guint i = 0; i < N_CELLS; i++)
    look_at (things[i]);
}

static gpointer
read_on (gpointer data)
{
  Shop *shop = data;
  ShmkvReader *reader = add_reader (&shop->reclaim);

  for (guint i = 1; !atomic_load_explicit (&shop->done, memory_order_relaxed); i++)
    {
      look_around (shop);
      if (i % 64 == 0)
        {
          shmkv_reader_free (reader);
          reader = add_reader (&shop->reclaim);
        }
      else if (i % 8 == 0)
        {
          shmkv_reader_rest (reader);
          shmkv_reclaim_run (&shop->reclaim);
          shmkv_reader_resume (reader);
        }
      else
        shmkv_reader_pass (reader);
    }
  shmkv_reader_free (reader);
  return NULL;
}

static void
replace (Shop *shop, guint cell, guint64 number)
{
  ShmkvRetired *retired = shmkv_retired_new ();
  Thing *old = atomic_exchange (&shop->cells[cell], thing_new (number));

  g_assert_nonnull (retired);
  shmkv_reclaim_retire (&shop->reclaim, retired, old, sizeof *old);
}

static gpointer
replace_on (gpointer data)
{
  Shop *shop = data;

  for (guint64 i = 0; i < UTIL_N (200000); i++)
    replace (shop, i % N_CELLS, i);
  return NULL;
}

static void
test_threads (void)
{
  GThread *readers[N_THREADS], *writers[2];
  Shop shop = { .done = FALSE };

  shmkv_reclaim_init (&shop.reclaim);
  for (guint i = 0; i < N_CELLS; i++)
    atomic_store (&shop.cells[i], thing_new (i));
  for (guint i = 0; i < N_THREADS; i++)
    readers[i] = g_thread_new ("reader", read_on, &shop);
  for (guint i = 0; i < G_N_ELEMENTS (writers); i++)
    writers[i] = g_thread_new ("writer", replace_on, &shop);
  for (guint i = 0; i < G_N_ELEMENTS (writers); i++)
    g_thread_join (writers[i]);
  atomic_store (&shop.done, TRUE);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (readers[i]);
  shmkv_reclaim_run (&shop.reclaim);
  assert_first (&shop.reclaim, NULL);
  for (guint i = 0; i < N_CELLS; i++)
    free (atomic_load (&shop.cells[i]));
  shmkv_reclaim_clear (&shop.reclaim);
}

int
main (int argc, char *argv[])
{
  util_init (&argc, &argv);

  g_test_add_func ("/reclaim/nobody", test_nobody);
  g_test_add_func ("/reclaim/pass", test_pass);
  g_test_add_func ("/reclaim/latecomer", test_latecomer);
  g_test_add_func ("/reclaim/rest", test_rest);
  g_test_add_func ("/reclaim/resume", test_resume);
  g_test_add_func ("/reclaim/oldest", test_oldest);
  g_test_add_func ("/reclaim/going", test_going);
  g_test_add_func ("/reclaim/model", test_model);
  g_test_add_func ("/reclaim/clear", test_clear);
  g_test_add_func ("/reclaim/not-needed", test_not_needed);
  g_test_add_func ("/reclaim/busy", test_busy);
  g_test_add_func ("/reclaim/threads", test_threads);

  return util_run ();
}
