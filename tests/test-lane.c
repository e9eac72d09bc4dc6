/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who gets a lane, who loses it, and how little the others notice. */

#include "config.h"

#include "rig.h"
#include "util.h"
#include "wire/record.h"

#include <pthread.h>

#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE
#define SESSIONS 3

typedef struct
{
  Rig *rig;
  Hand hand;                        /* has lane 0, not yet claimed */
  Hand other;                       /* has lane 1, and is served */
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->rig = rig_new (SESSIONS, RING_SIZE);
  hand_init (&fixture->hand, fixture->rig->name, 0);
  hand_open (&fixture->other, fixture->rig, 1);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  hand_clear (&fixture->hand);
  hand_clear (&fixture->other);
  rig_free (fixture->rig);
}

static void
open_hand (Fixture *fixture)
{
  hand_claim (&fixture->hand);
  rig_serve (fixture->rig);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_ACTIVE);
}

static void
lock_lane (Hand *hand)
{
  g_assert_true (shmkv_segment_lock_lane (hand->segment, hand->index));
}

static void
unlock_lane (Hand *hand)
{
  shmkv_segment_unlock_lane (hand->segment, hand->index);
}

/* The session works: it is answered in one round. */
static void
check_served (Fixture *fixture, Hand *hand)
{
  guint64 id = hand_submit (hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);

  hand_publish (hand);
  rig_serve (fixture->rig);
  hand_expect (hand, id, SHMKV_WIRE_STATUS_OK);
  hand_expect_none (hand);
  hand_give_back (hand);
}

static guint
count_active (Fixture *fixture)
{
  return shmkv_lanes_count_active (fixture->rig->lanes);
}

static guint64
count (Fixture *fixture, ShmkvCounter counter)
{
  return rig_count (fixture->rig, counter);
}

/* ------------------------------------------------------------------- coming */

static void
test_claim (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
  g_assert_cmpuint (hand_generation (hand), ==, 1);
  rig_serve (fixture->rig);
  rig_reap (fixture->rig);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
  g_assert_cmpuint (count_active (fixture), ==, 1);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_OPENED), ==, 1);

  hand_claim (hand);
  g_assert_cmpuint (rig_serve (fixture->rig).served, >, 0);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_ACTIVE);
  g_assert_cmpuint (hand_generation (hand), ==, 1);
  g_assert_cmpuint (hand_drop_reason (hand), ==, SHMKV_WIRE_DROP_NONE);
  g_assert_cmpuint (count_active (fixture), ==, 2);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_OPENED), ==, 2);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 0);
  check_served (fixture, hand);
  check_served (fixture, &fixture->other);
}

/* A claim without the lock is worth nothing, until the lock is there. */
static void
test_claim_without_lock (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  unlock_lane (hand);
  hand_claim (hand);
  hand_submit (hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
  hand_publish (hand);
  for (guint i = 0; i < 3; i++)
    {
      rig_serve (fixture->rig);
      rig_reap (fixture->rig);
      g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
      g_assert_cmpuint (hand_generation (hand), ==, 1);
    }
  hand_expect_none (hand);
  lock_lane (hand);
  rig_reap (fixture->rig);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_ACTIVE);
  rig_serve (fixture->rig);
  hand_expect (hand, hand->last_id, SHMKV_WIRE_STATUS_OK);
}

/* Only the state that the lane is in can be claimed. */
static void
test_claim_wrong (Fixture *fixture, gconstpointer data)
{
  const guint32 claims[] = {
    0,
    1,
    G_MAXUINT32,
    SHMKV_WIRE_LANE_FREE,
    SHMKV_WIRE_LANE_STATE (0, SHMKV_WIRE_LANE_FREE),
    SHMKV_WIRE_LANE_STATE (2, SHMKV_WIRE_LANE_FREE),
    SHMKV_WIRE_LANE_STATE (1, SHMKV_WIRE_LANE_ACTIVE),
    SHMKV_WIRE_LANE_STATE (1, SHMKV_WIRE_LANE_DROPPED),
    SHMKV_WIRE_LANE_STATE (0x1000001, SHMKV_WIRE_LANE_FREE) + 1,
  };

  for (guint i = 0; i < G_N_ELEMENTS (claims); i++)
    {
      hand_set_claim (&fixture->hand, claims[i]);
      rig_serve (fixture->rig);
      rig_reap (fixture->rig);
      g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_FREE);
      g_assert_cmpuint (hand_generation (&fixture->hand), ==, 1);
    }
  open_hand (fixture);
}

/* Who claims and does not say so is found all the same, if later. */
static void
test_claim_silent (Fixture *fixture, gconstpointer data)
{
  hand_claim (&fixture->hand);
  atomic_fetch_sub (&shmkv_segment_requests_header (fixture->hand.segment)->arrivals, 1);
  rig_serve (fixture->rig);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_FREE);
  rig_reap (fixture->rig);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_ACTIVE);
}

/* -------------------------------------------------------------------- going */

static void
publish_inserts (Hand *hand, guint64 first, guint n)
{
  for (guint64 key = first; key < first + n; key++)
    hand_submit (hand, SHMKV_WIRE_OP_INSERT, 0, 2, key, key * 3);
  hand_publish (hand);
}

static void
assert_inserted (Fixture *fixture, guint64 first, guint n)
{
  for (guint64 key = first; key < first + n; key++)
    {
      ShmkvTablePlace place = shmkv_table_locate (fixture->rig->table, key);
      guint64 value = 0;

      g_assert_cmpint (shmkv_table_read (fixture->rig->table, &place, &value), ==,
                       SHMKV_TABLE_FOUND);
      g_assert_cmpuint (value, ==, key * 3);
    }
}

/* The lane is free for the next, all that was published is carried out, and
 * nothing more is answered. */
static void
assert_freed (Fixture *fixture, guint generation)
{
  Hand *hand = &fixture->hand;

  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
  g_assert_cmpuint (hand_generation (hand), ==, generation);
  g_assert_cmpuint (atomic_load (&hand->server->positions.head), ==, hand->requests.published);
  hand_expect_none (hand);
  g_assert_cmpuint (count_active (fixture), ==, 1);
  assert_inserted (fixture, 100, 100);
  check_served (fixture, &fixture->other);
}

static void
test_release (Fixture *fixture, gconstpointer data)
{
  open_hand (fixture);
  publish_inserts (&fixture->hand, 100, 100);
  hand_set_claim (&fixture->hand, 0);
  rig_serve (fixture->rig);
  assert_freed (fixture, 2);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_CLOSED), ==, 1);
  open_hand (fixture);
  check_served (fixture, &fixture->hand);
}

/* Any other claim is a farewell as well. */
static void
test_release_garbage (Fixture *fixture, gconstpointer data)
{
  const guint32 claims[] = { 1, G_MAXUINT32, SHMKV_WIRE_LANE_ACTIVE };

  for (guint i = 0; i < G_N_ELEMENTS (claims); i++)
    {
      open_hand (fixture);
      publish_inserts (&fixture->hand, 100, 100);
      hand_set_claim (&fixture->hand, claims[i]);
      rig_serve (fixture->rig);
      assert_freed (fixture, i + 2);
    }
}

/* A client that dies takes nothing with it. */
static void
test_death (Fixture *fixture, gconstpointer data)
{
  open_hand (fixture);
  rig_reap (fixture->rig);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_ACTIVE);
  publish_inserts (&fixture->hand, 100, 100);
  unlock_lane (&fixture->hand);
  rig_reap (fixture->rig);
  assert_freed (fixture, 2);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_RECLAIMED), ==, 1);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_CLOSED), ==, 0);
  lock_lane (&fixture->hand);
  open_hand (fixture);
  check_served (fixture, &fixture->hand);
}

/* One that claimed and died before it was admitted. */
static void
test_death_early (Fixture *fixture, gconstpointer data)
{
  hand_claim (&fixture->hand);
  unlock_lane (&fixture->hand);
  rig_serve (fixture->rig);
  rig_reap (fixture->rig);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_FREE);
  g_assert_cmpuint (hand_generation (&fixture->hand), ==, 1);
}

/* One whose responses nobody takes any more: the rest needs no room for any. */
static void
test_death_stalled (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint64 key = 1000;

  open_hand (fixture);
  do
    {
      while (hand_try_submit (hand, SHMKV_WIRE_OP_INSERT, 0, 2, key, key * 3))
        key++;
      hand_publish (hand);
      while (rig_serve (fixture->rig).served > 0)
        ;
    }
  while (hand_try_submit (hand, SHMKV_WIRE_OP_INSERT, 0, 2, key, key * 3) && key++ > 0);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_STALLS), >, 0);
  unlock_lane (hand);
  rig_reap (fixture->rig);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
  assert_inserted (fixture, 1000, (guint) (key - 1000));
  lock_lane (hand);
  open_hand (fixture);
  check_served (fixture, hand);
}

/* Owner after owner, anywhere in the rings. */
static void
test_owners (Fixture *fixture, gconstpointer data)
{
  for (guint generation = 1; generation <= 2000; generation++)
    {
      g_assert_cmpuint (hand_generation (&fixture->hand), ==, generation);
      open_hand (fixture);
      for (guint n = util_random_range (0, 8); n > 0; n--)
        check_served (fixture, &fixture->hand);
      publish_inserts (&fixture->hand, 0, util_random_range (0, 60));
      if (g_test_rand_bit ())
        rig_serve (fixture->rig);
      if (g_test_rand_bit ())
        {
          hand_set_claim (&fixture->hand, 0);
          rig_serve (fixture->rig);
        }
      else
        {
          unlock_lane (&fixture->hand);
          rig_reap (fixture->rig);
          lock_lane (&fixture->hand);
        }
      g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_FREE);
    }
  check_served (fixture, &fixture->other);
}

/* ------------------------------------------------------------------- hostile */

typedef void (*Attack) (Hand *hand);

static void
move_tail (Hand *hand, guint32 by)
{
  atomic_fetch_add (&hand->client->tail, by);
}

static void
attack_tail_far (Hand *hand)
{
  move_tail (hand, RING_SIZE + 8);
}

static void
attack_tail_half (Hand *hand)
{
  move_tail (hand, 1u << 31);
}

static void
attack_tail_back (Hand *hand)
{
  move_tail (hand, (guint32) -8);
}

static void
attack_tail_odd (Hand *hand)
{
  move_tail (hand, 20);
}

/* A record of two words, of which the first is `header`. */
static void
write_header (Hand *hand, guint64 header)
{
  const guint64 words[2] = { header, 1 };

  hand_write (hand, words, 2);
  hand_publish (hand);
}

static void
attack_length_zero (Hand *hand)
{
  write_header (hand, shmkv_header_pack (0, SHMKV_WIRE_OP_PING, 0, 0, 0));
}

static void
attack_length_short (Hand *hand)
{
  write_header (hand, shmkv_header_pack (8, SHMKV_WIRE_OP_PING, 0, 0, 0));
}

static void
attack_length_odd (Hand *hand)
{
  write_header (hand, shmkv_header_pack (12, SHMKV_WIRE_OP_PING, 0, 0, 0));
}

static void
attack_length_beyond (Hand *hand)
{
  write_header (hand, shmkv_header_pack (24, SHMKV_WIRE_OP_READ, 1, 0, 0));
}

static void
attack_length_max (Hand *hand)
{
  write_header (hand, shmkv_header_pack (G_MAXUINT32, SHMKV_WIRE_OP_PING, 0, 0, 0));
}

static void
attack_length_long (Hand *hand)
{
  write_header (hand, shmkv_header_pack (RING_SIZE / 4 + 8, SHMKV_WIRE_OP_PING, 0, 0, 0));
  move_tail (hand, RING_SIZE / 4 - 8);
}

static void
attack_padding (Hand *hand)
{
  write_header (hand, shmkv_header_pack (16, SHMKV_WIRE_OP_PAD, 0, 0, 0));
}

static void
attack_padding_zero (Hand *hand)
{
  write_header (hand, 0);
}

/* Good requests, and then a bad one: those before it count. */
static void
attack_late (Hand *hand)
{
  publish_inserts (hand, 100, 100);
  attack_length_zero (hand);
}

/* The same, where the server does not look for it first. */
static void
attack_late_padding (Hand *hand)
{
  publish_inserts (hand, 1, 1);
  hand_write (hand, (guint64[]) { 0, 1, 2 }, 3);
  hand_publish (hand);
}

static void
attack_late_silent (Hand *hand)
{
  publish_inserts (hand, 1, 1);
  hand_write (hand, (guint64[]) { (guint64) SHMKV_WIRE_FLAG_NO_RESPONSE << 48, 1, 2 }, 3);
  hand_publish (hand);
}

/* The word is looked at when room is needed: until then, go on. */
static void
forge_taken (Hand *hand, guint32 by)
{
  atomic_fetch_add (&hand->client->taken, by);
}

static void
attack_taken_far (Hand *hand)
{
  forge_taken (hand, RING_SIZE);
}

static void
attack_taken_back (Hand *hand)
{
  /* Further back than the lane ever was. */
  forge_taken (hand, (guint32) -32);
}

static void
attack_taken_odd (Hand *hand)
{
  forge_taken (hand, 4);
}

static const struct
{
  const char *name;
  Attack attack;
  guint reason;
} attacks[] = {
  { "tail-far", attack_tail_far, SHMKV_WIRE_DROP_BAD_INDEX },
  { "tail-half", attack_tail_half, SHMKV_WIRE_DROP_BAD_INDEX },
  { "tail-back", attack_tail_back, SHMKV_WIRE_DROP_BAD_INDEX },
  { "tail-odd", attack_tail_odd, SHMKV_WIRE_DROP_BAD_INDEX },
  { "taken-far", attack_taken_far, SHMKV_WIRE_DROP_BAD_INDEX },
  { "taken-back", attack_taken_back, SHMKV_WIRE_DROP_BAD_INDEX },
  { "taken-odd", attack_taken_odd, SHMKV_WIRE_DROP_BAD_INDEX },
  { "length-zero", attack_length_zero, SHMKV_WIRE_DROP_BAD_RECORD },
  { "length-short", attack_length_short, SHMKV_WIRE_DROP_BAD_RECORD },
  { "length-odd", attack_length_odd, SHMKV_WIRE_DROP_BAD_RECORD },
  { "length-beyond", attack_length_beyond, SHMKV_WIRE_DROP_BAD_RECORD },
  { "length-max", attack_length_max, SHMKV_WIRE_DROP_BAD_RECORD },
  { "length-long", attack_length_long, SHMKV_WIRE_DROP_BAD_RECORD },
  { "padding", attack_padding, SHMKV_WIRE_DROP_BAD_RECORD },
  { "padding-zero", attack_padding_zero, SHMKV_WIRE_DROP_BAD_RECORD },
  { "late", attack_late, SHMKV_WIRE_DROP_BAD_RECORD },
  { "late-padding", attack_late_padding, SHMKV_WIRE_DROP_BAD_RECORD },
  { "late-silent", attack_late_silent, SHMKV_WIRE_DROP_BAD_RECORD },
};

/* Serves, and keeps the lane busy, until the attack is noticed. */
static void
serve_until_dropped (Fixture *fixture)
{
  for (guint i = 0; hand_phase (&fixture->hand) == SHMKV_WIRE_LANE_ACTIVE; i++)
    {
      g_assert_cmpuint (i, <, 1000);
      rig_serve (fixture->rig);
      if (hand_phase (&fixture->hand) == SHMKV_WIRE_LANE_ACTIVE
          && hand_try_submit (&fixture->hand, SHMKV_WIRE_OP_READ, 0, 1, i, 0))
        hand_publish (&fixture->hand);
    }
}

static void
test_attack (Fixture *fixture, gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  Hand *hand = &fixture->hand;

  open_hand (fixture);
  check_served (fixture, hand);
  util_log_catch ();
  attacks[i].attack (hand);
  serve_until_dropped (fixture);
  g_assert_cmpuint (util_log_caught ("dropped"), ==, 1);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_DROPPED);
  g_assert_cmpuint (hand_generation (hand), ==, 1);
  g_assert_cmpuint (hand_drop_reason (hand), ==, attacks[i].reason);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_DROPPED), ==, 1);
  g_assert_cmpuint (count_active (fixture), ==, 1);
  if (attacks[i].attack == attack_late)
    assert_inserted (fixture, 100, 100);

  /* Nobody else notices, and it is not looked at any more. */
  check_served (fixture, &fixture->other);
  move_tail (hand, 8);
  hand_set_claim (hand, 0);
  rig_serve (fixture->rig);
  rig_reap (fixture->rig);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_DROPPED);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 0);

  /* When it lets go, the lane is as good as new. */
  unlock_lane (hand);
  rig_reap (fixture->rig);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
  g_assert_cmpuint (hand_generation (hand), ==, 2);
  lock_lane (hand);
  open_hand (fixture);
  g_assert_cmpuint (hand_drop_reason (hand), ==, SHMKV_WIRE_DROP_NONE);
  for (guint k = 0; k < 1000; k++)
    check_served (fixture, hand);
  check_served (fixture, &fixture->other);
}

/* What a client publishes wrongly just before it goes is as little harm. */
static void
test_attack_at_end (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      open_hand (fixture);
      attacks[i].attack (&fixture->hand);
      unlock_lane (&fixture->hand);
      rig_reap (fixture->rig);
      g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_FREE);
      g_assert_cmpuint (hand_generation (&fixture->hand), ==, i + 2);
      check_served (fixture, &fixture->other);
      lock_lane (&fixture->hand);
    }
  open_hand (fixture);
  check_served (fixture, &fixture->hand);
}

/* A word that may well be a header: of any operation but those for which this
 * server would need workers and a printer. */
static guint64
random_word (void)
{
  guint op = util_random_range (0, 7);
  guint length = util_random_range (0, 8) * 8;

  if (op > SHMKV_WIRE_OP_DELETE)
    op = op == 4 ? SHMKV_WIRE_OP_PING : 200 + op;
  if (util_random_range (0, 20) == 0)
    length = (guint) g_test_rand_int ();
  return shmkv_header_pack (length, op, util_random_range (0, 3), util_random_range (0, 3),
                            util_random_range (0, 3));
}

static void
scribble (Hand *hand)
{
  guint64 *ring = shmkv_segment_requests_ring (hand->segment, hand->index);
  _Atomic guint32 *words[]
    = { &hand->client->tail,     &hand->client->taken,        &hand->client->claim,
        &hand->client->room_nap, &hand->client->response_nap, &hand->client->client_pid };
  guint what = util_random_range (0, 40);

  for (guint n = util_random_range (0, 20); n > 0; n--)
    shmkv_store_word (ring + util_random_range (0, RING_SIZE / 8), random_word ());
  if (what < G_N_ELEMENTS (words))
    atomic_store (words[what], (guint32) g_test_rand_int ());
  else if (what < 20)
    atomic_fetch_add (&hand->client->tail, util_random_range (0, 32) * 8);
  else if (what < 30)
    atomic_store (&hand->client->taken, atomic_load (&hand->server->positions.tail));
  else if (what < 32)
    hand_set_claim (hand, util_random_range (0, 2) * hand_state (hand));
}

static void
test_scribble (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint n_dropped = 0;

  util_log_catch ();
  for (guint round = 0; round < UTIL_N (100000); round++)
    {
      if (hand_phase (hand) == SHMKV_WIRE_LANE_FREE)
        hand_claim (hand);
      scribble (hand);
      check_served (fixture, &fixture->other);
      if (hand_phase (hand) == SHMKV_WIRE_LANE_DROPPED)
        {
          n_dropped++;
          unlock_lane (hand);
          rig_reap (fixture->rig);
          g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
          lock_lane (hand);
        }
    }
  /* Not each, where there are too many. */
  g_assert_cmpuint (util_log_caught ("dropped"), <=, n_dropped);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_DROPPED), ==, n_dropped);
  g_assert_cmpuint (n_dropped, >, 0);
  g_test_message ("%u times dropped, %" G_GUINT64_FORMAT " times opened", n_dropped,
                  count (fixture, SHMKV_COUNTER_SESSIONS_OPENED));
}

/* ------------------------------------------------------------------- rounds */

/* One that has much to do does not keep the others waiting. */
static void
test_fair (void)
{
  Rig *rig = rig_new (2, 65536);
  Hand busy, modest;
  ShmkvRound round;
  Answer answer;
  guint n = 0;

  hand_open (&busy, rig, 0);
  hand_open (&modest, rig, 1);
  while (hand_try_submit (&busy, SHMKV_WIRE_OP_READ, 0, 1, n, 0))
    n++;
  hand_publish (&busy);
  hand_submit (&modest, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
  hand_publish (&modest);
  round = rig_serve (rig);
  g_assert_cmpuint (round.waiting, ==, 2);
  g_assert_cmpuint (round.served, ==, 2);
  hand_expect (&modest, 1, SHMKV_WIRE_STATUS_OK);
  for (n = 0; hand_take (&busy, &answer); n++)
    ;
  g_assert_cmpuint (n, >=, SHMKV_BATCH_MAX);
  g_assert_cmpuint (n, <=, 1000);
  round = rig_serve (rig);
  g_assert_cmpuint (round.waiting, ==, 1);
  hand_clear (&busy);
  hand_clear (&modest);
  rig_free (rig);
}

static void
check_position (Rig *rig, Hand *hand, guint before, guint after)
{
  hand_submit (hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
  hand_publish (hand);
  rig->position = before;
  g_assert_cmpuint (rig_serve (rig).served, ==, 1);
  g_assert_cmpuint (rig->position, ==, after);
}

/* A round begins behind the lane that was served last. */
static void
test_position (void)
{
  Rig *rig = rig_new (3, RING_SIZE);
  Hand hands[3];

  for (guint i = 0; i < 3; i++)
    hand_open (&hands[i], rig, i);
  for (guint before = 0; before < 3; before++)
    for (guint after = 0; after < 3; after++)
      check_position (rig, &hands[after], before, after);
  rig_serve (rig);
  g_assert_cmpuint (rig->position, ==, 2);
  for (guint i = 0; i < 3; i++)
    hand_clear (&hands[i]);
  rig_free (rig);
}

/* As many lanes as do not fit one word of bits; a round sees them all, wherever
 * it begins. */
static void
test_many_lanes (void)
{
  const guint n = 130;
  Rig *rig = rig_new (n, RING_SIZE);
  g_autofree Hand *hands = g_new0 (Hand, n);

  for (guint i = 0; i < n; i++)
    hand_open (&hands[i], rig, i);
  g_assert_cmpuint (shmkv_lanes_count_active (rig->lanes), ==, n);
  for (guint position = 0; position < n; position++)
    {
      ShmkvRound round;

      for (guint i = 0; i < n; i++)
        {
          hand_submit (&hands[i], SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
          hand_publish (&hands[i]);
        }
      rig->position = position;
      round = rig_serve (rig);
      g_assert_cmpuint (round.waiting, ==, n);
      g_assert_cmpuint (round.served, ==, n);
      g_assert_cmpuint (rig->position, ==, position);
      for (guint i = 0; i < n; i++)
        {
          hand_expect (&hands[i], position + 1, SHMKV_WIRE_STATUS_OK);
          hand_give_back (&hands[i]);
        }
    }
  for (guint i = 0; i < n; i++)
    hand_clear (&hands[i]);
  rig_free (rig);
}

/* ------------------------------------------------------------------ threads */

static void
test_hold (void)
{
  Rig *rig = rig_new (1, RING_SIZE);
  ShmkvLane lane;

  shmkv_lane_init (&lane, rig->segment, NULL, 0);
  for (guint i = 0; i < 3; i++)
    {
      g_assert_true (shmkv_lane_hold (&lane));
      g_assert_false (shmkv_lane_hold (&lane));
      g_assert_false (shmkv_lane_hold (&lane));
      shmkv_lane_let_go (&lane);
    }
  shmkv_lane_clear (&lane);
  rig_free (rig);
}

typedef struct
{
  ShmkvLane lane;
  guint n_held;                     /* guarded by the lane: no atomic */
  guint n_each;
} Turns;

static gpointer
take_turns (gpointer data)
{
  Turns *turns = data;

  for (guint i = 0; i < turns->n_each; i++)
    {
      while (!shmkv_lane_hold (&turns->lane))
        g_thread_yield ();
      turns->n_held++;
      shmkv_lane_let_go (&turns->lane);
    }
  return NULL;
}

/* One at a time, and each finds what the last one left. */
static void
test_hold_threads (void)
{
  Rig *rig = rig_new (1, RING_SIZE);
  Turns turns = { .n_each = UTIL_N (400000) };
  GThread *threads[4];

  shmkv_lane_init (&turns.lane, rig->segment, NULL, 0);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("turns", take_turns, &turns);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (turns.n_held, ==, G_N_ELEMENTS (threads) * turns.n_each);
  shmkv_lane_clear (&turns.lane);
  rig_free (rig);
}

typedef struct
{
  Rig *rig;
  ShmkvCounters *counters;
  _Atomic gboolean *ends;
} Helper;

static gpointer
help_serving (gpointer data)
{
  Helper *helper = data;
  ShmkvExecutor executor;
  guint position = 0;

  g_assert_true (shmkv_executor_init (&executor, NULL, helper->rig->table, helper->counters));
  while (!atomic_load (helper->ends))
    if (shmkv_lanes_serve (helper->rig->lanes, &executor, &position).served == 0)
      g_thread_yield ();
  shmkv_executor_clear (&executor);
  return NULL;
}

#define N_HELPERS 3

typedef struct
{
  Rig *rig;
  _Atomic gboolean ends;
  Helper helpers[N_HELPERS];
  GThread *threads[N_HELPERS];
} Crew;

static void
crew_start (Crew *crew, guint sessions)
{
  crew->rig = rig_new (sessions, RING_SIZE);
  atomic_init (&crew->ends, FALSE);
  for (guint i = 0; i < N_HELPERS; i++)
    {
      crew->helpers[i]
        = (Helper) { .rig = crew->rig, .counters = shmkv_counters_new (), .ends = &crew->ends };
      crew->threads[i] = g_thread_new ("helper", help_serving, &crew->helpers[i]);
    }
}

static void
crew_stop (Crew *crew)
{
  atomic_store (&crew->ends, TRUE);
  for (guint i = 0; i < N_HELPERS; i++)
    {
      g_thread_join (crew->threads[i]);
      shmkv_counters_free (crew->helpers[i].counters);
    }
  rig_free (crew->rig);
}

typedef struct
{
  const char *name;
  guint lane;
  guint n;
  pthread_barrier_t *barrier;
} Client;

/* Comes and goes, at the same time as the others: then nobody's arrival helps
 * another's to be noticed. */
static gpointer
come_and_go (gpointer data)
{
  Client *client = data;
  Hand hand;

  hand_init (&hand, client->name, client->lane);
  for (guint i = 0; i < client->n; i++)
    {
      guint generation = hand_generation (&hand);
      Answer answer = { 0 };

      pthread_barrier_wait (client->barrier);
      hand_claim (&hand);
      UTIL_AWAIT (hand_phase (&hand) == SHMKV_WIRE_LANE_ACTIVE);
      hand_submit (&hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
      hand_publish (&hand);
      UTIL_AWAIT (hand_take (&hand, &answer));
      g_assert_cmpuint (answer.id, ==, hand.last_id);
      pthread_barrier_wait (client->barrier);
      hand_set_claim (&hand, 0);
      UTIL_AWAIT (hand_phase (&hand) == SHMKV_WIRE_LANE_FREE);
      g_assert_cmpuint (hand_generation (&hand), ==, generation + 1);
    }
  hand_clear (&hand);
  return NULL;
}

/* Every change of a claim is noticed at once, not only by whoever reaps. */
static void
test_come_and_go (void)
{
  Client clients[3];
  GThread *threads[G_N_ELEMENTS (clients)];
  pthread_barrier_t barrier;
  Crew crew;

  pthread_barrier_init (&barrier, NULL, G_N_ELEMENTS (clients));
  crew_start (&crew, G_N_ELEMENTS (clients));
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    {
      clients[i] = (Client) { .name = crew.rig->name, .lane = i, .n = UTIL_N (4000) };
      clients[i].barrier = &barrier;
      threads[i] = g_thread_new ("client", come_and_go, &clients[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    g_thread_join (threads[i]);
  crew_stop (&crew);
  pthread_barrier_destroy (&barrier);
}

/* What happens while a worker carries out a request. */
typedef struct
{
  Rig *rig;
  Hand *hand;
} Meanwhile;

/* The client leaves, and another worker comes by and finds its lane held: it
 * may not go to sleep. */
static void
leave_meanwhile (gpointer data)
{
  Meanwhile *meanwhile = data;
  ShmkvExecutor executor;
  guint position = 0;
  ShmkvRound round;

  g_assert_true (
    shmkv_executor_init (&executor, NULL, meanwhile->rig->table, meanwhile->rig->counters));
  hand_set_claim (meanwhile->hand, 0);
  shmkv_lanes_serve (meanwhile->rig->lanes, &executor, &position);
  round = shmkv_lanes_serve (meanwhile->rig->lanes, &executor, &position);
  shmkv_executor_clear (&executor);
  g_assert_cmpuint (round.served + round.waiting, >, 0);
  g_assert_cmpuint (hand_phase (meanwhile->hand), ==, SHMKV_WIRE_LANE_ACTIVE);
}

/* What comes while a lane is held is not forgotten. */
static void
test_meanwhile (Fixture *fixture, gconstpointer data)
{
  g_autofree char *name = util_name ();
  ShmkvServerOptions options = {
    .name = name,
    .buckets = 1,
    .workers = 1,
    .max_workers = 1,
    .sessions = 1,
    .ring_size = RING_SIZE,
    .mode = 0600,
    .group = (gid_t) -1,
  };
  Meanwhile meanwhile = { fixture->rig, &fixture->hand };
  ShmkvServer *server = shmkv_server_new (&options, leave_meanwhile, &meanwhile, NULL);

  g_assert_nonnull (server);
  fixture->rig->executor.server = server;
  open_hand (fixture);
  hand_submit (&fixture->hand, SHMKV_WIRE_OP_QUIT, 0, 0, 0, 0);
  hand_publish (&fixture->hand);
  for (guint i = 0; rig_serve (fixture->rig).served > 0; i++)
    g_assert_cmpuint (i, <, 100);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_FREE);
  g_assert_cmpuint (hand_generation (&fixture->hand), ==, 2);
  shmkv_server_free (server);
}

/* Adds up in one key, and reads back what it wrote. */
static gpointer
read_own_writes (gpointer data)
{
  Client *client = data;
  guint64 taken = 0, submitted = 0;
  Hand hand;

  hand_init (&hand, client->name, client->lane);
  hand_claim (&hand);
  UTIL_AWAIT (hand_phase (&hand) == SHMKV_WIRE_LANE_ACTIVE);
  while (taken < client->n)
    {
      gboolean idle = TRUE;
      Answer answer;

      while (submitted < client->n && g_random_int_range (0, 50) != 0
             && (submitted % 2 == 0
                   ? hand_try_submit (&hand, SHMKV_WIRE_OP_INSERT, 0, 2, client->lane, submitted)
                   : hand_try_submit (&hand, SHMKV_WIRE_OP_READ, 0, 1, client->lane, 0)))
        submitted++;
      hand_publish (&hand);
      while (hand_take (&hand, &answer))
        {
          g_assert_cmpuint (answer.id, ==, taken + 1);
          if (taken % 2 != 0)
            g_assert_cmpuint (answer.value, ==, taken - 1);
          taken++;
          idle = FALSE;
        }
      hand_give_back (&hand);
      if (idle)
        g_thread_yield ();
    }
  hand_clear (&hand);
  return NULL;
}

/* With more workers than lanes, each lane's requests keep their order. */
static void
test_order (void)
{
  Client clients[2];
  GThread *threads[G_N_ELEMENTS (clients)];
  Crew crew;

  crew_start (&crew, G_N_ELEMENTS (clients));
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    {
      clients[i] = (Client) { .name = crew.rig->name, .lane = i, .n = UTIL_N (400000) };
      threads[i] = g_thread_new ("client", read_own_writes, &clients[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    g_thread_join (threads[i]);
  crew_stop (&crew);
}

int
main (int argc, char **argv)
{
#define ADD(name, function)                                                                        \
  g_test_add ("/lane/" name, Fixture, NULL, set_up, function, tear_down)

  util_init (&argc, &argv);
  ADD ("claim/claim", test_claim);
  ADD ("claim/without-lock", test_claim_without_lock);
  ADD ("claim/wrong", test_claim_wrong);
  ADD ("claim/silent", test_claim_silent);
  ADD ("release/release", test_release);
  ADD ("release/garbage", test_release_garbage);
  ADD ("death/death", test_death);
  ADD ("death/early", test_death_early);
  ADD ("death/stalled", test_death_stalled);
  ADD ("owners", test_owners);
  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      g_autofree char *path = g_strconcat ("/lane/attack/", attacks[i].name, NULL);

      g_test_add (path, Fixture, GUINT_TO_POINTER (i), set_up, test_attack, tear_down);
    }
  ADD ("attack/at-end", test_attack_at_end);
  ADD ("attack/scribble", test_scribble);
  g_test_add_func ("/lane/round/fair", test_fair);
  g_test_add_func ("/lane/round/position", test_position);
  g_test_add_func ("/lane/round/many-lanes", test_many_lanes);
  g_test_add_func ("/lane/hold/hold", test_hold);
  g_test_add_func ("/lane/hold/threads", test_hold_threads);
  ADD ("hold/meanwhile", test_meanwhile);
  g_test_add_func ("/lane/threads/come-and-go", test_come_and_go);
  g_test_add_func ("/lane/threads/order", test_order);
  return util_run ();
}
