/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What sessions that behave badly can take from others: so much in a round and no
 * more.  Counted, not timed; tests/neighbours has the times. */

#include "config.h"

#include "rig.h"
#include "server/log-limit.h"
#include "util.h"
#include "wire/record.h"

#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE

/* As in lanes.c: looked at, and followed, in a round. */
#define SWEEP_LANES 64
#define SWEEP_CLAIMS 4

static void
check_served (Rig *rig, Hand *hand)
{
  guint64 id = hand_submit (hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);

  hand_publish (hand);
  rig_serve (rig);
  hand_expect (hand, id, SHMKV_WIRE_STATUS_OK);
  hand_give_back (hand);
}

/* As whoever counts arrivals without having come. */
static void
pretend_arrival (Hand *hand)
{
  atomic_fetch_add (&shmkv_segment_requests_header (hand->segment)->arrivals, 1);
}

/* --------------------------------------------------------------------- arrivals */

/* A round looks at so many lanes, however many there are; the next goes on where
 * it ended. */
static void
test_arrivals_lanes (void)
{
  const guint n = 3 * SWEEP_LANES + 1;
  Rig *rig = rig_new (n, RING_SIZE);
  Hand honest, late;

  hand_open (&honest, rig, 0);
  /* That sweep was complete: the next begins at the first lane again. */
  hand_init (&late, rig->name, n - 1);
  hand_claim (&late);
  for (guint i = 0; i < 3; i++)
    {
      check_served (rig, &honest);
      g_assert_cmpuint (hand_phase (&late), ==, SHMKV_WIRE_LANE_FREE);
    }
  check_served (rig, &honest);
  g_assert_cmpuint (hand_phase (&late), ==, SHMKV_WIRE_LANE_ACTIVE);
  g_assert_false (rig_serve (rig).arriving);
  hand_clear (&honest);
  hand_clear (&late);
  rig_free (rig);
}

/* Where arrivals never end, whoever has come is found all the same, and the server
 * knows that it has not seen them all. */
static void
test_arrivals_flood (void)
{
  const guint n = 3 * SWEEP_LANES + 1;
  Rig *rig = rig_new (n, RING_SIZE);
  Hand honest, late;

  hand_open (&honest, rig, 0);
  for (guint turn = 0; turn < 20; turn++)
    {
      guint rounds = 0;

      hand_init (&late, rig->name, util_random_range (1, n));
      hand_claim (&late);
      while (hand_phase (&late) == SHMKV_WIRE_LANE_FREE)
        {
          g_assert_cmpuint (rounds++, <, 2 * 4);
          pretend_arrival (&honest);
          check_served (rig, &honest);
          pretend_arrival (&honest);
        }
      pretend_arrival (&honest);
      g_assert_cmpuint (rig_serve (rig).waiting, ==, 0);
      hand_set_claim (&late, 0);
      rig_serve (rig);
      g_assert_cmpuint (hand_phase (&late), ==, SHMKV_WIRE_LANE_FREE);
      hand_clear (&late);
    }
  hand_clear (&honest);
  rig_free (rig);
}

/* A round follows so many claims, honest or not.  Those without a lock are nobody
 * who was let in. */
static void
check_claims (gboolean locked)
{
  const guint n = 40;
  Rig *rig = rig_new (n, RING_SIZE);
  g_autofree Hand *hands = g_new0 (Hand, n);
  guint rounds = 0;

  hand_open (&hands[0], rig, 0);
  for (guint i = 1; i < n; i++)
    {
      hand_init (&hands[i], rig->name, i);
      hand_claim (&hands[i]);
      if (!locked && i < n - 1)
        shmkv_segment_unlock_lane (hands[i].segment, i);
    }
  while (hand_phase (&hands[n - 1]) == SHMKV_WIRE_LANE_FREE)
    {
      guint64 before = rig_count (rig, SHMKV_COUNTER_SESSIONS_OPENED);

      g_assert_cmpuint (rounds++, <, n / SWEEP_CLAIMS + 1);
      check_served (rig, &hands[0]);
      g_assert_cmpuint (rig_count (rig, SHMKV_COUNTER_SESSIONS_OPENED) - before, <=, SWEEP_CLAIMS);
    }
  g_assert_cmpuint (rounds, >=, (n - 1) / SWEEP_CLAIMS);
  g_assert_cmpuint (shmkv_lanes_count_active (rig->lanes), ==, locked ? n : 2);
  if (!locked)
    {
      pretend_arrival (&hands[0]);
      g_assert_cmpuint (rig_serve (rig).served, ==, 0);
    }
  for (guint i = 0; i < n; i++)
    hand_clear (&hands[i]);
  rig_free (rig);
}

static void
test_arrivals_claims (void)
{
  check_claims (TRUE);
}

static void
test_arrivals_unlocked (void)
{
  check_claims (FALSE);
}

/* ------------------------------------------------------------------------ turns */

static void
fill (Hand *hand)
{
  shmkv_producer_refresh (&hand->requests);
  while (hand_try_submit (hand, SHMKV_WIRE_OP_READ, 0, 1, 1, 0))
    ;
  hand_publish (hand);
}

static guint
take_all (Hand *hand)
{
  Answer answer;
  guint n = 0;

  while (hand_take (hand, &answer))
    n++;
  hand_give_back (hand);
  return n;
}

/* Beside one that asks for little, those that never run dry have short turns; long
 * ones again when it is gone. */
static void
test_turns (void)
{
  enum { N_BUSY = 5 };
  Rig *rig = rig_new (N_BUSY + 1, 65536);
  Hand busy[N_BUSY], modest;

  for (guint i = 0; i < N_BUSY; i++)
    hand_open (&busy[i], rig, i);
  hand_open (&modest, rig, N_BUSY);
  for (guint i = 0; i < N_BUSY; i++)
    fill (&busy[i]);
  check_served (rig, &modest);
  for (guint i = 0; i < N_BUSY; i++)
    take_all (&busy[i]);
  for (guint round = 0; round < 10; round++)
    {
      for (guint i = 0; i < N_BUSY; i++)
        fill (&busy[i]);
      check_served (rig, &modest);
      for (guint i = 0; i < N_BUSY; i++)
        g_assert_cmpuint (take_all (&busy[i]), ==, SHMKV_BATCH_SHORT);
    }
  rig_serve (rig);
  take_all (&busy[0]);
  rig_serve (rig);
  g_assert_cmpuint (take_all (&busy[0]), >, SHMKV_BATCH_MAX);
  for (guint i = 0; i < N_BUSY; i++)
    hand_clear (&busy[i]);
  hand_clear (&modest);
  rig_free (rig);
}

/* ----------------------------------------------------------------------- waking */

static void
nap_anew (Hand *hand)
{
  atomic_store (&hand->client->response_nap, atomic_load (&hand->client->response_nap) | 1);
  atomic_fetch_add (&hand->client->response_nap, 2);
  atomic_store (&hand->client->room_nap, atomic_load (&hand->client->room_nap) | 1);
  atomic_fetch_add (&hand->client->room_nap, 2);
}

/* Who says that it sleeps, again and again, costs two wake-ups a turn, however
 * much there is in it. */
static void
test_naps (void)
{
  Rig *rig = rig_new (1, 65536);
  Hand hand;

  hand_open (&hand, rig, 0);
  for (guint i = 0; i < 100; i++)
    {
      guint64 before = rig_count (rig, SHMKV_COUNTER_WAKES);

      fill (&hand);
      nap_anew (&hand);
      rig_serve (rig);
      g_assert_cmpuint (rig_count (rig, SHMKV_COUNTER_WAKES) - before, <=, 2);
      take_all (&hand);
    }
  g_assert_cmpuint (rig_count (rig, SHMKV_COUNTER_WAKES), >, 0);
  hand_clear (&hand);
  rig_free (rig);
}

typedef struct
{
  Rig *rig;
  guint n;                          /* times that something slow began */
  guint64 wakes;                    /* when it did last */
} Slow;

static void
on_slow (gpointer data)
{
  Slow *slow = data;

  slow->n++;
  slow->wakes = rig_count (slow->rig, SHMKV_COUNTER_WAKES);
}

/* A client that was not woken yet, as its answers go on, is not asleep while the
 * server does something slow for another. */
static void
test_wake_before_slow (void)
{
  Rig *rig = rig_new (SWEEP_LANES + 2, 65536);
  Slow slow = { .rig = rig };
  Hand sleeper, hog;

  rig->executor.before_slow = on_slow;
  rig->executor.before_slow_data = &slow;
  /* Not in the same word of bits. */
  hand_open (&sleeper, rig, 1);
  hand_open (&hog, rig, SWEEP_LANES + 1);
  fill (&sleeper);
  nap_anew (&sleeper);
  hand_submit (&hog, SHMKV_WIRE_OP_COUNT, 0, 0, 0, 0);
  hand_publish (&hog);
  rig->position = 0;
  rig_serve (rig);
  g_assert_cmpuint (slow.n, ==, 1);
  g_assert_cmpuint (slow.wakes, ==, 2);
  g_assert_cmpuint (take_all (&hog), ==, 1);
  g_assert_cmpuint (take_all (&sleeper), >=, SHMKV_BATCH_MAX);
  /* Once is enough. */
  hand_submit (&hog, SHMKV_WIRE_OP_COUNT, 0, 0, 0, 0);
  hand_publish (&hog);
  rig->position = 1;
  rig_serve (rig);
  g_assert_cmpuint (slow.n, ==, 2);
  g_assert_cmpuint (slow.wakes, ==, 2);
  hand_clear (&sleeper);
  hand_clear (&hog);
  rig_free (rig);
}

/* -------------------------------------------------------------------------- log */

static void
test_log_limit (void)
{
  const gint64 begin = 7 * G_USEC_PER_SEC;
  ShmkvLogLimit limit = { 0 };

  g_assert_cmpuint (shmkv_log_limit_take_unsaid (&limit, begin), ==, 0);
  for (guint i = 0; i < 1000; i++)
    g_assert_true (shmkv_log_limit_pass (&limit, begin + i) == (i < SHMKV_LOG_LINES));
  g_assert_cmpuint (shmkv_log_limit_take_unsaid (&limit, begin + G_USEC_PER_SEC - 1), ==, 0);
  g_assert_cmpuint (shmkv_log_limit_take_unsaid (&limit, begin + G_USEC_PER_SEC), ==,
                    1000 - SHMKV_LOG_LINES);
  g_assert_cmpuint (shmkv_log_limit_take_unsaid (&limit, begin + 9 * G_USEC_PER_SEC), ==, 0);
  for (guint i = 0; i < 1000; i++)
    g_assert_true (shmkv_log_limit_pass (&limit, begin + 2 * G_USEC_PER_SEC + i)
                   == (i < SHMKV_LOG_LINES));
  shmkv_log_limit_clear (&limit);
}

/* Whoever is dropped and comes again cannot fill the log. */
static void
test_log (void)
{
  const guint n = 500;
  gint64 begin_us = g_get_monotonic_time ();
  Rig *rig = rig_new (1, RING_SIZE);
  guint seconds, logged;
  Hand hand;

  util_log_catch ();
  for (guint i = 0; i < n; i++)
    {
      hand_open (&hand, rig, 0);
      atomic_fetch_add (&hand.client->tail, 4);
      rig_serve (rig);
      g_assert_cmpuint (hand_phase (&hand), ==, SHMKV_WIRE_LANE_DROPPED);
      hand_clear (&hand);
      rig_reap (rig);
    }
  seconds = (guint) ((g_get_monotonic_time () - begin_us) / G_USEC_PER_SEC);
  logged = util_log_caught ("a position in its rings is impossible");
  g_assert_cmpuint (rig_count (rig, SHMKV_COUNTER_SESSIONS_DROPPED), ==, n);
  g_assert_cmpuint (logged, >, 0);
  g_assert_cmpuint (logged, <=, (seconds + 1) * SHMKV_LOG_LINES);
  rig_free (rig);
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/neighbours/arrivals/lanes", test_arrivals_lanes);
  g_test_add_func ("/neighbours/arrivals/flood", test_arrivals_flood);
  g_test_add_func ("/neighbours/arrivals/claims", test_arrivals_claims);
  g_test_add_func ("/neighbours/arrivals/unlocked", test_arrivals_unlocked);
  g_test_add_func ("/neighbours/turns", test_turns);
  g_test_add_func ("/neighbours/wakes/naps", test_naps);
  g_test_add_func ("/neighbours/wakes/slow", test_wake_before_slow);
  g_test_add_func ("/neighbours/log/limit", test_log_limit);
  g_test_add_func ("/neighbours/log/log", test_log);
  return util_run ();
}
