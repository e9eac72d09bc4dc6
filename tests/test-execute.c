/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the server does with the requests of a lane, and what it answers. */

#include "config.h"

#include "rig.h"
#include "util.h"
#include "wire/record.h"

#include <string.h>

#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE

typedef struct
{
  Rig *rig;
  Hand hand;                        /* has the last lane: behind its rings is nothing */
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->rig = rig_new (2, RING_SIZE);
  hand_open (&fixture->hand, fixture->rig, 1);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  hand_clear (&fixture->hand);
  rig_free (fixture->rig);
}

static guint64
submit (Fixture *fixture, guint op, guint n_words, guint64 key, guint64 value)
{
  return hand_submit (&fixture->hand, op, 0, n_words, key, value);
}

/* Publishes, and serves until nothing changes any more. */
static void
serve (Fixture *fixture)
{
  hand_publish (&fixture->hand);
  for (guint i = 0; rig_serve (fixture->rig).served > 0; i++)
    g_assert_cmpuint (i, <, 1000);
}

static guint64
count (Fixture *fixture, ShmkvCounter counter)
{
  return rig_count (fixture->rig, counter);
}

/* Whether the table has the key, with this value. */
static gboolean
table_has (Fixture *fixture, guint64 key, guint64 value)
{
  ShmkvTablePlace place = shmkv_table_locate (fixture->rig->table, key);
  guint64 found;

  return shmkv_table_read (fixture->rig->table, &place, &found) == SHMKV_TABLE_FOUND
         && found == value;
}

static guint64
table_keys (Fixture *fixture)
{
  ShmkvTableStats stats;

  shmkv_table_get_stats (fixture->rig->table, &stats);
  return stats.keys;
}

/* --------------------------------------------------------------- operations */

static void
test_operations (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint64 ids[8];

  ids[0] = submit (fixture, SHMKV_WIRE_OP_READ, 1, 5, 0);
  ids[1] = submit (fixture, SHMKV_WIRE_OP_INSERT, 2, 5, 50);
  ids[2] = submit (fixture, SHMKV_WIRE_OP_READ, 1, 5, 0);
  ids[3] = submit (fixture, SHMKV_WIRE_OP_INSERT, 2, 5, G_MAXUINT64);
  ids[4] = submit (fixture, SHMKV_WIRE_OP_READ, 1, 5, 0);
  ids[5] = submit (fixture, SHMKV_WIRE_OP_DELETE, 1, 5, 0);
  ids[6] = submit (fixture, SHMKV_WIRE_OP_DELETE, 1, 5, 0);
  ids[7] = submit (fixture, SHMKV_WIRE_OP_PING, 0, 0, 0);
  hand_expect_none (hand);
  serve (fixture);
  hand_expect (hand, ids[0], SHMKV_WIRE_STATUS_NO_KEY);
  hand_expect (hand, ids[1], SHMKV_WIRE_STATUS_ADDED);
  hand_expect_value (hand, ids[2], 50);
  hand_expect (hand, ids[3], SHMKV_WIRE_STATUS_REPLACED);
  hand_expect_value (hand, ids[4], G_MAXUINT64);
  hand_expect (hand, ids[5], SHMKV_WIRE_STATUS_OK);
  hand_expect (hand, ids[6], SHMKV_WIRE_STATUS_NO_KEY);
  hand_expect (hand, ids[7], SHMKV_WIRE_STATUS_OK);
  hand_expect_none (hand);

  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_INSERTS), ==, 2);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_READS), ==, 3);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_READ_HITS), ==, 2);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_DELETES), ==, 2);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_DELETE_HITS), ==, 1);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_OTHER_REQUESTS), ==, 1);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_FAILED_REQUESTS), ==, 0);
}

/* The ID is the client's own: it comes back as it is, whatever it is. */
static void
test_any_id (Fixture *fixture, gconstpointer data)
{
  static const guint64 ids[] = { 0, 1, G_MAXUINT64, G_MAXUINT32, 1, 1 };

  for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      fixture->hand.last_id = ids[i] - 1;
      submit (fixture, SHMKV_WIRE_OP_PING, 0, 0, 0);
    }
  serve (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
    hand_expect (&fixture->hand, ids[i], SHMKV_WIRE_STATUS_OK);
}

/* Nothing is seen before it was published. */
static void
test_unpublished (Fixture *fixture, gconstpointer data)
{
  guint64 id = submit (fixture, SHMKV_WIRE_OP_INSERT, 2, 1, 1);

  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 0);
  g_assert_false (table_has (fixture, 1, 1));
  hand_publish (&fixture->hand);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 1);
  hand_expect (&fixture->hand, id, SHMKV_WIRE_STATUS_ADDED);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 0);
}

/* ----------------------------------------------------------- not understood */

static void
check_unsupported (Fixture *fixture, const guint64 *words, guint n_words)
{
  Answer answer = { 0 };

  hand_write (&fixture->hand, words, n_words);
  serve (fixture);
  g_assert_true (hand_take (&fixture->hand, &answer));
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_UNSUPPORTED);
  g_assert_cmpuint (answer.id, ==, words[1]);
  g_assert_cmpuint (answer.op, ==, shmkv_header_unpack (words[0]).op);
  g_assert_false (answer.has_value);
  hand_give_back (&fixture->hand);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_ACTIVE);
}

static void
test_unknown_op (Fixture *fixture, gconstpointer data)
{
  for (guint op = SHMKV_WIRE_N_OPS; op < 256; op++)
    for (guint n_words = 2; n_words < 6; n_words++)
      {
        const guint64 words[6]
          = { shmkv_header_pack (n_words * 8, op, 0, 0, 0), op * 10 + n_words };

        check_unsupported (fixture, words, n_words);
      }
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_FAILED_REQUESTS), ==,
                    (256 - SHMKV_WIRE_N_OPS) * 4);
}

/* The kinds that an operation's key and value may have, as bits. */
static const struct
{
  guint keys, values;
} kinds_of[SHMKV_WIRE_N_OPS] = {
  [SHMKV_WIRE_OP_INSERT] = { 6, 6 },  [SHMKV_WIRE_OP_READ] = { 6, 1 },
  [SHMKV_WIRE_OP_DELETE] = { 6, 1 },  [SHMKV_WIRE_OP_PRINT] = { 2, 1 },
  [SHMKV_WIRE_OP_START_WORKERS] = { 2, 1 },
  [SHMKV_WIRE_OP_STOP_WORKER] = { 1, 1 },
  [SHMKV_WIRE_OP_QUIT] = { 1, 1 },    [SHMKV_WIRE_OP_PING] = { 1, 1 },
  [SHMKV_WIRE_OP_STATS] = { 1, 1 },   [SHMKV_WIRE_OP_ADD] = { 6, 2 },
  [SHMKV_WIRE_OP_SUBTRACT] = { 6, 2 }, [SHMKV_WIRE_OP_EXPIRE] = { 6, 1 },
  [SHMKV_WIRE_OP_TTL] = { 6, 1 },     [SHMKV_WIRE_OP_SCAN] = { 5, 4 },
  [SHMKV_WIRE_OP_COUNT] = { 1, 1 },   [SHMKV_WIRE_OP_CLEAR] = { 1, 1 },
  [SHMKV_WIRE_OP_WAIT] = { 6, 2 },    [SHMKV_WIRE_OP_WATCH] = { 5, 2 },
  [SHMKV_WIRE_OP_SESSIONS] = { 1, 1 },
};

static gboolean
kinds_fit (guint op, guint key_kind, guint value_kind)
{
  return (kinds_of[op].keys >> key_kind & 1) != 0 && (kinds_of[op].values >> value_kind & 1) != 0;
}

/* Every operation with every combination of kinds, but its own; and with its own
 * at every length, but the right one. */
static void
test_unknown_kinds (Fixture *fixture, gconstpointer data)
{
  for (guint op = 1; op < SHMKV_WIRE_N_OPS; op++)
    for (guint kinds = 0; kinds < 256; kinds++)
      for (guint n_words = 2; n_words < 8; n_words++)
        {
          guint key_kind = kinds & 0xf, value_kind = kinds >> 4;
          /* Byte strings of a length of 8. */
          gsize right = 16 + shmkv_field_size (key_kind, 8) + shmkv_field_size (value_kind, 8);
          const guint64 words[8]
            = { shmkv_header_pack (n_words * 8, op, key_kind, value_kind, 0), 7, 8, 8, 8, 8, 8, 8 };

          if (!kinds_fit (op, key_kind, value_kind) || n_words * 8 != right)
            check_unsupported (fixture, words, n_words);
        }
  g_assert_cmpuint (table_keys (fixture), ==, 0);
}

/* Flags that nobody knows, and those that the operation does not. */
static void
test_unknown_flags (Fixture *fixture, gconstpointer data)
{
  static const guint known[SHMKV_WIRE_N_OPS] = {
    [SHMKV_WIRE_OP_INSERT] = 0x37f,
    [SHMKV_WIRE_OP_READ] = 0x101,
    [SHMKV_WIRE_OP_DELETE] = 0x219,
    [SHMKV_WIRE_OP_ADD] = 0x195,
    [SHMKV_WIRE_OP_SUBTRACT] = 0x195,
    [SHMKV_WIRE_OP_EXPIRE] = 0x21,
  };

  for (guint op = 1; op < SHMKV_WIRE_N_OPS; op++)
    for (guint bit = 1; bit < 15; bit++)
      for (guint n_words = 2; n_words < 8; n_words++)
        {
          guint key_kind = (guint) __builtin_ctz (kinds_of[op].keys);
          guint value_kind = (guint) __builtin_ctz (kinds_of[op].values);
          const guint64 words[8]
            = { shmkv_header_pack (n_words * 8, op, key_kind, value_kind, 1u << bit),
                bit, 8, 8, 8, 8, 8, 8 };

          if ((known[op] >> bit & 1) == 0)
            check_unsupported (fixture, words, n_words);
        }
  g_assert_cmpuint (table_keys (fixture), ==, 0);
}

/* -------------------------------------------------------------- no response */

static void
test_no_response (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint64 id;

  for (guint64 key = 0; key < 5; key++)
    hand_submit (hand, SHMKV_WIRE_OP_INSERT, SHMKV_WIRE_FLAG_NO_RESPONSE, 2, key, key * 2);
  hand_submit (hand, SHMKV_WIRE_OP_DELETE, SHMKV_WIRE_FLAG_NO_RESPONSE, 1, 4, 0);
  /* "No such key" is no failure. */
  hand_submit (hand, SHMKV_WIRE_OP_DELETE, SHMKV_WIRE_FLAG_NO_RESPONSE, 1, 4, 0);
  hand_submit (hand, SHMKV_WIRE_OP_READ, SHMKV_WIRE_FLAG_NO_RESPONSE, 1, 0, 0);
  hand_submit (hand, SHMKV_WIRE_OP_PING, SHMKV_WIRE_FLAG_NO_RESPONSE, 0, 0, 0);
  id = submit (fixture, SHMKV_WIRE_OP_PING, 0, 0, 0);
  serve (fixture);
  hand_expect (hand, id, SHMKV_WIRE_STATUS_OK);
  hand_expect_none (hand);
  for (guint64 key = 0; key < 4; key++)
    g_assert_true (table_has (fixture, key, key * 2));
  g_assert_cmpuint (table_keys (fixture), ==, 4);
  g_assert_cmpuint (atomic_load (&hand->server->silent_errors), ==, 0);
}

static void
test_silent_errors (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  for (guint i = 1; i <= 10; i++)
    {
      const guint64 words[2]
        = { shmkv_header_pack (16, 200, 0, 0, SHMKV_WIRE_FLAG_NO_RESPONSE), i };

      hand_write (hand, words, 2);
      hand_submit (hand, SHMKV_WIRE_OP_INSERT, SHMKV_WIRE_FLAG_NO_RESPONSE, 2, i, i);
      serve (fixture);
      hand_expect_none (hand);
      g_assert_cmpuint (atomic_load (&hand->server->silent_errors), ==, i);
    }
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_FAILED_REQUESTS), ==, 10);

  /* The next owner begins with none. */
  hand_set_claim (hand, 0);
  rig_serve (fixture->rig);
  hand_claim (hand);
  rig_serve (fixture->rig);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_ACTIVE);
  g_assert_cmpuint (atomic_load (&hand->server->silent_errors), ==, 0);
  hand_submit (hand, 200, SHMKV_WIRE_FLAG_NO_RESPONSE, 0, 0, 0);
  serve (fixture);
  g_assert_cmpuint (atomic_load (&hand->server->silent_errors), ==, 1);
}

/* ------------------------------------------------------------------ batches */

/* Random operations, lap after lap, against a table of GLib's. */
static void
test_model (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) model = g_hash_table_new (NULL, NULL);
  Hand *hand = &fixture->hand;

  for (guint round = 0; round < UTIL_N (20000); round++)
    {
      guint n = util_random_range (1, 100), ops[100];
      gpointer keys[100], values[100];

      for (guint i = 0; i < n; i++)
        {
          ops[i] = util_random_range (SHMKV_WIRE_OP_INSERT, SHMKV_WIRE_OP_DELETE + 1);
          keys[i] = GUINT_TO_POINTER (util_random_range (0, 50));
          values[i] = GSIZE_TO_POINTER (util_random ());
          submit (fixture, ops[i], ops[i] == SHMKV_WIRE_OP_INSERT ? 2 : 1,
                  GPOINTER_TO_SIZE (keys[i]), GPOINTER_TO_SIZE (values[i]));
        }
      serve (fixture);
      for (guint i = 0; i < n; i++)
        {
          guint64 id = hand->last_id - n + 1 + i;
          gpointer old = NULL;
          gboolean had = g_hash_table_lookup_extended (model, keys[i], NULL, &old);

          if (ops[i] == SHMKV_WIRE_OP_READ && had)
            hand_expect_value (hand, id, GPOINTER_TO_SIZE (old));
          else if (ops[i] == SHMKV_WIRE_OP_INSERT)
            hand_expect (hand, id, had ? SHMKV_WIRE_STATUS_REPLACED : SHMKV_WIRE_STATUS_ADDED);
          else
            hand_expect (hand, id, had ? SHMKV_WIRE_STATUS_OK : SHMKV_WIRE_STATUS_NO_KEY);
          if (ops[i] == SHMKV_WIRE_OP_INSERT)
            g_hash_table_insert (model, keys[i], values[i]);
          if (ops[i] == SHMKV_WIRE_OP_DELETE)
            g_hash_table_remove (model, keys[i]);
        }
      hand_expect_none (hand);
      hand_give_back (hand);
    }
  g_assert_cmpuint (table_keys (fixture), ==, g_hash_table_size (model));
}

/* A batch ends with a request whose answer may be long; nothing gets lost. */
static void
test_mixed_batch (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  for (guint round = 0; round < 1000; round++)
    {
      guint n = util_random_range (1, 100);

      for (guint i = 0; i < n; i++)
        if (g_test_rand_bit ())
          submit (fixture, SHMKV_WIRE_OP_PING, 0, 0, 0);
        else
          submit (fixture, SHMKV_WIRE_OP_INSERT, 2, i, i);
      hand_publish (hand);
      for (guint i = 0; i < n; i++)
        {
          Answer answer = { 0 };

          while (!hand_take (hand, &answer))
            g_assert_cmpuint (rig_serve (fixture->rig).served, >, 0);
          g_assert_cmpuint (answer.id, ==, hand->last_id - n + 1 + i);
        }
      hand_expect_none (hand);
      hand_give_back (hand);
    }
}

/* -------------------------------------------------------------------- stalls */

/* Submits until there is no more room, even though the server was served. */
static guint
fill (Fixture *fixture)
{
  guint n = 0;

  for (;;)
    {
      while (hand_try_submit (&fixture->hand, SHMKV_WIRE_OP_READ, 0, 1, n, 0))
        n++;
      if (hand_phase (&fixture->hand) != SHMKV_WIRE_LANE_ACTIVE)
        return n;
      serve (fixture);
      if (!hand_try_submit (&fixture->hand, SHMKV_WIRE_OP_READ, 0, 1, n, 0))
        return n;
      n++;
    }
}

static void
test_stall (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  Hand other;
  guint n, answered = 0;
  guint64 id;

  hand_open (&other, fixture->rig, 0);
  n = fill (fixture);
  /* More than fit either ring: responses are shorter than requests. */
  g_assert_cmpuint (n, >, RING_SIZE / 24 + RING_SIZE / 2 / 24);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_STALLS), >, 0);

  /* It is left alone, and the others do not notice. */
  for (guint i = 0; i < 10; i++)
    {
      ShmkvRound round = rig_serve (fixture->rig);

      g_assert_cmpuint (round.served, ==, 0);
      g_assert_cmpuint (round.waiting, ==, 0);
    }
  id = hand_submit (&other, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
  hand_publish (&other);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 1);
  hand_expect (&other, id, SHMKV_WIRE_STATUS_OK);

  /* What was read makes no difference until it is given back. */
  while (answered < n / 4)
    hand_expect (hand, ++answered, SHMKV_WIRE_STATUS_NO_KEY);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 0);
  hand_give_back (hand);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 1);

  /* Nothing was lost on the way. */
  while (answered < n)
    {
      Answer answer;

      if (hand_take (hand, &answer))
        g_assert_cmpuint (answer.id, ==, ++answered);
      else
        {
          hand_give_back (hand);
          g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 1);
        }
    }
  hand_give_back (hand);
  serve (fixture);
  hand_expect_none (hand);
  hand_clear (&other);
}

/* A client that gives back a little at a time is served a little at a time. */
static void
test_stall_little (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint n = fill (fixture);

  for (guint id = 1; id <= n; id++)
    {
      hand_expect (hand, id, SHMKV_WIRE_STATUS_NO_KEY);
      hand_give_back (hand);
      serve (fixture);
      g_assert_cmpuint (rig_serve (fixture->rig).waiting, ==, 0);
    }
  hand_expect_none (hand);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_ACTIVE);
}

/* Answers of both lengths, in a ring that is nearly full all the time: at its
 * end, padding takes room as well. */
static void
test_stall_mixed (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint64 submitted, taken = 1;

  submitted = submit (fixture, SHMKV_WIRE_OP_INSERT, 2, 0, 0);
  serve (fixture);
  hand_expect (hand, 1, SHMKV_WIRE_STATUS_ADDED);
  while (taken < UTIL_N (200000))
    {
      Answer answer;

      /* Key 0 is there, key 1 is not. */
      while (hand_try_submit (hand, SHMKV_WIRE_OP_READ, 0, 1, util_random_range (0, 2), 0))
        submitted++;
      serve (fixture);
      for (guint n = util_random_range (1, 40); n > 0 && hand_take (hand, &answer); n--)
        g_assert_cmpuint (answer.id, ==, ++taken);
      hand_give_back (hand);
      serve (fixture);
      g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_ACTIVE);
    }
  g_assert_cmpuint (taken, <, submitted);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_STALLS), >, 0);
}

/* Requests without a response need no room for one: but they wait behind those
 * that do, or their order would be lost. */
static void
test_stall_silent (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  for (guint i = 0; i < 50; i++)
    {
      while (hand_try_submit (hand, SHMKV_WIRE_OP_INSERT, SHMKV_WIRE_FLAG_NO_RESPONSE, 2, i, i))
        ;
      serve (fixture);
    }
  g_assert_cmpuint (table_keys (fixture), ==, 50);
  hand_expect_none (hand);
}

/* ------------------------------------------------------------------- bodies */

/* Words that tell where they are. */
static GByteArray *
make_body (guint n_words)
{
  GByteArray *body = g_byte_array_new ();

  for (guint64 i = 0; i < n_words; i++)
    {
      guint64 word = i * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

      g_byte_array_append (body, (const guint8 *) &word, sizeof word);
    }
  return body;
}

/* A lane of our own, in the place of the rig's, and its client. */
typedef struct
{
  ShmkvLane lane;
  Rig *rig;
  Hand hand;
} Single;

static void
single_init (Single *single)
{
  single->rig = rig_new (1, RING_SIZE);
  shmkv_lane_init (&single->lane, single->rig->segment, NULL, 0);
  hand_init (&single->hand, single->rig->name, 0);
  hand_claim (&single->hand);
  g_assert_true (shmkv_lane_claim_changed (&single->lane));
  shmkv_lane_activate (&single->lane);
}

static void
single_clear (Single *single)
{
  shmkv_lane_clear (&single->lane);
  hand_clear (&single->hand);
  rig_free (single->rig);
}

static gboolean
answer_body (Single *single, guint64 id, const guint64 *number, GByteArray *body, gsize n)
{
  ShmkvResponse response = {
    .op = SHMKV_WIRE_OP_PRINT,
    .id = id,
    .has_number = number != NULL,
    .number = number != NULL ? *number : 0,
    .value = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = n, .bytes = body->data },
    .array = body,
  };

  return shmkv_lane_answer (&single->lane, &response, 0);
}

static void
check_body (Single *single, guint64 id, gsize n_bytes)
{
  g_autoptr (GByteArray) body = make_body ((guint) n_bytes / 8 + 1);
  Reply reply = { 0 };
  gboolean sent, has_number = g_test_rand_bit ();

  sent = answer_body (single, id, has_number ? &id : NULL, g_byte_array_ref (body), n_bytes);
  g_assert_cmpint (sent, !=, single->lane.outgoing.active);
  for (;;)
    {
      shmkv_lane_begin (&single->lane);
      sent = shmkv_lane_send (&single->lane);
      g_assert_cmpint (sent, !=, single->lane.outgoing.active);
      g_assert_cmpint (sent, !=, shmkv_lane_is_stalled (&single->lane));
      shmkv_lane_publish (&single->lane);
      g_assert_cmpint (hand_take_reply (&single->hand, &reply), ==, sent);
      hand_expect_none (&single->hand);
      hand_give_back (&single->hand);
      if (sent)
        break;
      g_assert_true (shmkv_lane_has_work (&single->lane));
    }
  g_assert_cmpuint (reply.id, ==, id);
  g_assert_cmpuint (reply.status, ==, SHMKV_WIRE_STATUS_OK);
  g_assert_cmpint (reply.has_number, ==, has_number);
  g_assert_cmpuint (reply.number, ==, has_number ? id : 0);
  g_assert_cmpmem (reply.value.bytes, reply.value.integer, body->data, n_bytes);
  reply_clear (&reply);
}

/* Bodies of all sizes, also larger than the ring. */
static void
test_body (void)
{
  const guint piece = RING_SIZE / 4 - 24;
  const guint sizes[] = { 0,         1,         7,         8,         9,
                          piece - 8, piece - 1, piece,     piece + 1, piece + 8,
                          2 * piece, 4 * piece, 9 * piece, RING_SIZE, 8 * RING_SIZE };
  Single single;

  single_init (&single);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    check_body (&single, i + 1, sizes[i]);
  for (guint i = 0; i < UTIL_N (1000); i++)
    check_body (&single, i, util_random_range (0, 16000));
  single_clear (&single);
}

/* Whatever happens to the lane, a body that is being sent is freed. */
static void
test_body_dropped (void)
{
  for (guint i = 0; i < 4; i++)
    {
      Single single;

      single_init (&single);
      g_assert_false (answer_body (&single, 1, NULL, make_body (RING_SIZE), 8 * RING_SIZE));
      g_assert_false (shmkv_lane_send (&single.lane));
      shmkv_lane_publish (&single.lane);
      switch (i)
        {
        case 0:
          break;
        case 1:
          shmkv_lane_drop (&single.lane, SHMKV_WIRE_DROP_BAD_RECORD);
          break;
        case 2:
          shmkv_lane_free (&single.lane);
          break;
        default:
          atomic_store (&single.hand.client->taken, 4);
          g_assert_false (shmkv_lane_send (&single.lane));
          g_assert_cmpuint (hand_phase (&single.hand), ==, SHMKV_WIRE_LANE_DROPPED);
          g_assert_cmpuint (hand_drop_reason (&single.hand), ==, SHMKV_WIRE_DROP_BAD_INDEX);
        }
      if (i > 0)
        {
          g_assert_false (single.lane.outgoing.active);
          g_assert_null (single.lane.outgoing.response.array);
        }
      single_clear (&single);
    }
}

/* --------------------------------------------------------------------- naps */

/* Publishes what changes both positions, with these announcements; returns how
 * many were woken. */
static guint
publish_with (Single *single, guint32 response_nap, guint32 room_nap)
{
  atomic_store (&single->hand.client->response_nap, response_nap);
  atomic_store (&single->hand.client->room_nap, room_nap);
  shmkv_lane_respond (&single->lane, SHMKV_WIRE_OP_PING, SHMKV_WIRE_STATUS_OK, 1);
  shmkv_consumer_advance (&single->lane.requests, SHMKV_WIRE_HEADER_SIZE);
  shmkv_lane_publish (&single->lane);
  return shmkv_lane_wake (&single->lane);
}

/* One announcement costs at most two system calls, whatever follows, and none
 * where nothing changed. */
static void
test_naps (void)
{
  Single single;

  single_init (&single);
  g_assert_cmpuint (publish_with (&single, 0, 0), ==, 0);
  g_assert_cmpuint (publish_with (&single, 1, 0), ==, 1);
  g_assert_cmpuint (shmkv_lane_wake (&single.lane), ==, 0);
  g_assert_cmpuint (publish_with (&single, 1, 0), ==, 1);
  g_assert_cmpuint (publish_with (&single, 1, 0), ==, 0);
  g_assert_cmpuint (publish_with (&single, 2, 0), ==, 0);
  g_assert_cmpuint (publish_with (&single, 3, 1), ==, 2);
  g_assert_cmpuint (publish_with (&single, 3, 1), ==, 2);
  g_assert_cmpuint (publish_with (&single, 3, 1), ==, 0);
  g_assert_cmpuint (publish_with (&single, 3, 2), ==, 0);
  g_assert_cmpuint (publish_with (&single, 3, 3), ==, 1);
  g_assert_cmpuint (publish_with (&single, G_MAXUINT32, 3), ==, 2);
  g_assert_cmpuint (publish_with (&single, 0, 3), ==, 0);
  g_assert_cmpuint (publish_with (&single, 1, 3), ==, 1);
  single_clear (&single);
}

static void
test_naps_counted (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  for (guint i = 0; i < 5; i++)
    {
      atomic_store (&hand->client->response_nap, 2 * i + 1);
      for (guint k = 0; k < 3; k++)
        {
          submit (fixture, SHMKV_WIRE_OP_PING, 0, 0, 0);
          serve (fixture);
        }
      g_assert_cmpuint (count (fixture, SHMKV_COUNTER_WAKES), ==, 2 * (i + 1));
    }
}

/* Has the client nap anew: who sleeps already was woken. */
static void
nap_anew (Hand *hand)
{
  guint32 nap = atomic_load (&hand->client->response_nap);

  atomic_store (&hand->client->response_nap, (nap | 1) + 2);
  atomic_store (&hand->client->room_nap, 0);
}

static guint64
count_wakes (const Rig *rig)
{
  return rig_count (rig, SHMKV_COUNTER_WAKES);
}

static void
submit_pings (Hand *hand, guint n)
{
  for (guint i = 0; i < n; i++)
    hand_submit (hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
}

/* A batch of the lane; whether it had to wake the client. */
static gboolean
batch_wakes (Single *single, ShmkvBatchResult expected)
{
  guint64 before = count_wakes (single->rig);
  guint32 tail = single->lane.server->positions.tail;

  g_assert_cmpint (shmkv_execute_batch (&single->rig->executor, &single->lane), ==, expected);
  /* Whoever does not sleep sees it at once. */
  g_assert_cmpuint (single->lane.server->positions.tail, !=, tail);
  return count_wakes (single->rig) > before;
}

/* Where there is more to do, the client sleeps on until all is done. */
static void
test_nap_dry (void)
{
  Single single;

  single_init (&single);
  nap_anew (&single.hand);
  submit_pings (&single.hand, SHMKV_BATCH_MAX + 1);
  hand_publish (&single.hand);
  g_assert_false (batch_wakes (&single, SHMKV_BATCH_MORE));
  g_assert_true (batch_wakes (&single, SHMKV_BATCH_LAST));

  /* Also where that is the end of a batch by accident. */
  nap_anew (&single.hand);
  submit_pings (&single.hand, SHMKV_BATCH_MAX);
  hand_publish (&single.hand);
  g_assert_true (batch_wakes (&single, SHMKV_BATCH_MORE));
  g_assert_cmpint (shmkv_execute_batch (&single.rig->executor, &single.lane), ==,
                   SHMKV_BATCH_NOTHING);
  single_clear (&single);
}

/* Or until so much is done that it is worth it. */
static void
test_nap_much (void)
{
  const guint enough = RING_SIZE / 2 / SHMKV_WIRE_HEADER_SIZE / SHMKV_BATCH_MAX;
  Single single;

  single_init (&single);
  nap_anew (&single.hand);
  submit_pings (&single.hand, (enough + 1) * SHMKV_BATCH_MAX);
  hand_publish (&single.hand);
  for (guint i = 1; i < enough; i++)
    g_assert_false (batch_wakes (&single, SHMKV_BATCH_MORE));
  g_assert_true (batch_wakes (&single, SHMKV_BATCH_MORE));
  single_clear (&single);
}

/* Who waits for room alike, though nothing is answered. */
static void
test_nap_room (void)
{
  Single single;
  guint64 before;
  guint n = 0;

  single_init (&single);
  while (hand_try_submit (&single.hand, SHMKV_WIRE_OP_INSERT, SHMKV_WIRE_FLAG_NO_RESPONSE, 2, 1, 1))
    n++;
  hand_publish (&single.hand);
  atomic_store (&single.hand.client->room_nap, 1);
  before = count_wakes (single.rig);
  g_assert_cmpint (shmkv_execute_batch (&single.rig->executor, &single.lane), ==, SHMKV_BATCH_MORE);
  g_assert_cmpint (count_wakes (single.rig) > before, ==,
                   SHMKV_BATCH_MAX * 32 >= RING_SIZE / 2);
  while (shmkv_execute_batch (&single.rig->executor, &single.lane) == SHMKV_BATCH_MORE)
    ;
  g_assert_cmpuint (count_wakes (single.rig), >, before);
  g_assert_cmpuint (single.lane.news_consumed, ==, 0);
  g_assert_cmpuint (n, >, SHMKV_BATCH_MAX);
  single_clear (&single);
}

typedef struct
{
  Rig *rig;
  Hand *hand;
  guint64 woken_before;             /* what there was to count when it began */
  guint32 tail_before;
} Slow;

static void
note_slow (gpointer data)
{
  Slow *slow = data;

  slow->woken_before = count_wakes (slow->rig);
  slow->tail_before = atomic_load (&slow->hand->server->positions.tail);
}

/* Before something slow begins, whoever waits for what is done is woken. */
static void
test_nap_slow (Fixture *fixture, gconstpointer data)
{
  static const guint ops[] = { SHMKV_WIRE_OP_COUNT, SHMKV_WIRE_OP_CLEAR, SHMKV_WIRE_OP_SCAN };
  Hand *hand = &fixture->hand;
  Slow slow = { .rig = fixture->rig, .hand = hand };

  fixture->rig->executor.before_slow = note_slow;
  fixture->rig->executor.before_slow_data = &slow;
  for (guint i = 0; i < G_N_ELEMENTS (ops); i++)
    {
      guint64 before = count_wakes (fixture->rig);
      guint32 tail = atomic_load (&hand->server->positions.tail);

      nap_anew (hand);
      submit_pings (hand, 3);
      submit (fixture, ops[i], 0, 0, 0);
      serve (fixture);
      g_assert_cmpuint (slow.tail_before, !=, tail);
      g_assert_cmpuint (slow.woken_before, >, before);
      g_assert_cmpuint (count_wakes (fixture->rig), >, slow.woken_before);
    }
}

/* Who serves on after the lanes are freed does not look after them any more. */
static void
test_nap_end (void)
{
  g_autofree Fixture *single = g_new0 (Fixture, 1);

  single->rig = rig_new (1, 4 * RING_SIZE);
  hand_open (&single->hand, single->rig, 0);
  submit_pings (&single->hand, 10 * SHMKV_BATCH_MAX);
  hand_publish (&single->hand);
  g_assert_cmpuint (rig_serve (single->rig).served, ==, 1);
  g_assert_true (single->rig->executor.owes);
  shmkv_lanes_end_sessions (single->rig->lanes, &single->rig->executor);
  g_assert_false (single->rig->executor.owes);
  g_assert_cmpuint (single->rig->executor.owed[0], ==, 0);
  tear_down (single, NULL);
}

/* Whatever ends a batch before the requests are at an end. */
static void
test_nap_wait (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint64 before = count_wakes (fixture->rig);

  nap_anew (hand);
  submit_pings (hand, 3);
  submit (fixture, SHMKV_WIRE_OP_WAIT, 2, 5, 0);
  hand_publish (hand);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 1);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 0);
  g_assert_cmpuint (count_wakes (fixture->rig), ==, before + 1);
}

static void
test_nap_stall (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint64 before = count_wakes (fixture->rig);

  for (guint64 stalls = 0; stalls == 0; stalls = count (fixture, SHMKV_COUNTER_STALLS))
    {
      guint32 tail = atomic_load (&hand->server->positions.tail);

      nap_anew (hand);
      before = count_wakes (fixture->rig);
      while (hand_try_submit (hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0))
        ;
      serve (fixture);
      g_assert_cmpint (count_wakes (fixture->rig) > before, ==,
                       atomic_load (&hand->server->positions.tail) != tail);
    }
}

/* A lane that is dropped: what was answered before is worth waking for, as the
 * client may have been about to sleep when it was told. */
static void
test_nap_drop (Fixture *fixture, gconstpointer data)
{
  const guint64 bad = 8;
  Hand *hand = &fixture->hand;
  guint64 before = count_wakes (fixture->rig);
  guint32 tail = atomic_load (&hand->server->positions.tail);

  nap_anew (hand);
  submit_pings (hand, 3);
  hand_write (hand, &bad, 1);
  hand_publish (hand);
  util_log_catch ();
  rig_serve (fixture->rig);
  g_assert_cmpuint (util_log_caught ("dropped"), ==, 1);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_DROPPED);
  g_assert_cmpuint (atomic_load (&hand->server->positions.tail), !=, tail);
  g_assert_cmpuint (count_wakes (fixture->rig), ==, before + 1);
}

/* Submits one of many kinds of requests; FALSE where there is no room. */
static gboolean
submit_any (Hand *hand, const char *text)
{
  guint64 key = util_random_range (0, 20);
  guint flags = util_random_range (0, 8) == 0 ? SHMKV_WIRE_FLAG_NO_RESPONSE : 0;

  switch (util_random_range (0, 40))
    {
    case 0:
      return hand_try_submit (hand, SHMKV_WIRE_OP_COUNT, flags, 0, 0, 0);
    case 1:
      return hand_try_submit (hand, SHMKV_WIRE_OP_CLEAR, flags, 0, 0, 0);
    case 2:
      return hand_try_submit (hand, SHMKV_WIRE_OP_WAIT, 0, 2, 1000, 0);
    case 3 ... 7:
      return hand_try_request (hand, &(HandRequest) { .op = SHMKV_WIRE_OP_INSERT,
                                                      .flags = flags,
                                                      .key = hand_integer (key),
                                                      .value = hand_bytes (text) });
    case 8 ... 20:
      return hand_try_submit (hand, SHMKV_WIRE_OP_INSERT, flags, 2, key, key);
    case 21 ... 30:
      return hand_try_submit (hand, SHMKV_WIRE_OP_READ, 0, 1, key, 0);
    default:
      return hand_try_submit (hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
    }
}

static void
take_all (Hand *hand)
{
  Reply reply = { 0 };

  while (hand_take_reply (hand, &reply))
    reply_clear (&reply);
  reply_clear (&reply);
}

/* Whatever it asks and whenever it takes: who sleeps on what has changed since was
 * woken, once the server has nothing to do for it. */
static void
test_nap_random (Fixture *fixture, gconstpointer data)
{
  g_autofree char *text = g_strnfill (700, 'x');
  Hand *hand = &fixture->hand;

  for (guint round = 0; round < UTIL_N (20000); round++)
    {
      const ShmkvPositions *positions = &hand->server->positions;
      guint32 tail = atomic_load (&positions->tail), head = atomic_load (&positions->head);
      guint64 before = count_wakes (fixture->rig);
      gboolean for_room = g_test_rand_bit (), changed;

      nap_anew (hand);
      if (for_room)
        atomic_store (&hand->client->room_nap, atomic_load (&hand->client->response_nap));
      if (for_room)
        atomic_fetch_add (&hand->client->response_nap, 1);
      for (guint n = util_random_range (0, 150); n > 0; n--)
        if (!submit_any (hand, text))
          break;
      serve (fixture);
      g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_ACTIVE);
      changed = for_room ? atomic_load (&positions->head) != head
                         : atomic_load (&positions->tail) != tail;
      g_assert_cmpint (count_wakes (fixture->rig) > before, ==, changed);
      if (g_test_rand_bit ())
        {
          take_all (hand);
          hand_give_back (hand);
        }
    }
}

int
main (int argc, char **argv)
{
#define ADD(name, function)                                                                        \
  g_test_add ("/execute/" name, Fixture, NULL, set_up, function, tear_down)

  util_init (&argc, &argv);
  ADD ("operations", test_operations);
  ADD ("any-id", test_any_id);
  ADD ("unpublished", test_unpublished);
  ADD ("unknown/op", test_unknown_op);
  ADD ("unknown/kinds", test_unknown_kinds);
  ADD ("unknown/flags", test_unknown_flags);
  ADD ("silent/done", test_no_response);
  ADD ("silent/errors", test_silent_errors);
  ADD ("batch/model", test_model);
  ADD ("batch/mixed", test_mixed_batch);
  ADD ("stall/stall", test_stall);
  ADD ("stall/little", test_stall_little);
  ADD ("stall/mixed", test_stall_mixed);
  ADD ("stall/silent", test_stall_silent);
  g_test_add_func ("/execute/body/sizes", test_body);
  g_test_add_func ("/execute/body/dropped", test_body_dropped);
  g_test_add_func ("/execute/nap/once", test_naps);
  ADD ("nap/counted", test_naps_counted);
  g_test_add_func ("/execute/nap/dry", test_nap_dry);
  g_test_add_func ("/execute/nap/much", test_nap_much);
  g_test_add_func ("/execute/nap/room", test_nap_room);
  g_test_add_func ("/execute/nap/end", test_nap_end);
  ADD ("nap/slow", test_nap_slow);
  ADD ("nap/wait", test_nap_wait);
  ADD ("nap/stall", test_nap_stall);
  ADD ("nap/drop", test_nap_drop);
  ADD ("nap/random", test_nap_random);
  return util_run ();
}
