/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every operation does, as a session sees it: all kinds of keys and values,
 * all flags, in one record or many, at once or later. */

#include "config.h"

#include "rig.h"
#include "util.h"
#include "wire/record.h"

#include <string.h>

#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE
#define MAX_RECORD (RING_SIZE / 4)

typedef struct
{
  Rig *rig;
  Hand hand;
  Hand other;
  Reply reply;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->rig = rig_new (2, RING_SIZE);
  fixture->reply = (Reply) { 0 };
  hand_open (&fixture->hand, fixture->rig, 1);
  hand_open (&fixture->other, fixture->rig, 0);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  reply_clear (&fixture->reply);
  hand_clear (&fixture->hand);
  hand_clear (&fixture->other);
  rig_free (fixture->rig);
}

/* Serves until nothing changes any more. */
static void
serve (Fixture *fixture)
{
  for (guint i = 0; rig_serve (fixture->rig).served > 0; i++)
    g_assert_cmpuint (i, <, 1000);
}

/* Submits a request, whose response is to come at once with this status; it is in
 * fixture->reply. */
static const Reply *
ask_by (Fixture *fixture, Hand *hand, guint status, HandRequest request)
{
  guint64 id = hand_request (hand, &request);

  hand_publish (hand);
  serve (fixture);
  hand_expect_reply (hand, id, status, &fixture->reply);
  hand_give_back (hand);
  g_assert_cmpuint (fixture->reply.op, ==, request.op);
  return &fixture->reply;
}

#define ASK(status, ...)                                                                           \
  ask_by (fixture, &fixture->hand, SHMKV_WIRE_STATUS_##status, (HandRequest) { __VA_ARGS__ })
#define ASK_BY(hand, status, ...)                                                                  \
  ask_by (fixture, hand, SHMKV_WIRE_STATUS_##status, (HandRequest) { __VA_ARGS__ })

#define OP(name) .op = SHMKV_WIRE_OP_##name
#define FLAG(name) SHMKV_WIRE_FLAG_##name
#define KEY(field) .key = (field)
#define VALUE(field) .value = (field)
#define TEXT(text) hand_bytes (text)
#define NUMBER(number) hand_integer (number)

static void
assert_none (const Reply *reply)
{
  g_assert_cmpuint (reply->value.kind, ==, SHMKV_WIRE_KIND_NONE);
}

static void
assert_integer (const Reply *reply, guint64 integer)
{
  g_assert_cmpuint (reply->value.kind, ==, SHMKV_WIRE_KIND_INTEGER);
  g_assert_cmpuint (reply->value.integer, ==, integer);
}

static void
assert_text (const Reply *reply, const char *text)
{
  g_assert_cmpuint (reply->value.kind, ==, SHMKV_WIRE_KIND_BYTES);
  g_assert_cmpmem (reply->value.bytes, reply->value.integer, text, strlen (text));
}

static guint64
count (Fixture *fixture, ShmkvCounter counter)
{
  return rig_count (fixture->rig, counter);
}

/* ------------------------------------------------------------ keys and values */

static void
test_kinds (Fixture *fixture, gconstpointer data)
{
  ASK (NO_KEY, OP (READ), KEY (TEXT ("5")));
  ASK (ADDED, OP (INSERT), KEY (TEXT ("5")), VALUE (TEXT ("five")));
  ASK (NO_KEY, OP (READ), KEY (NUMBER (5)));
  ASK (ADDED, OP (INSERT), KEY (NUMBER (5)), VALUE (TEXT ("")));
  assert_text (ASK (OK, OP (READ), KEY (TEXT ("5"))), "five");
  assert_text (ASK (OK, OP (READ), KEY (NUMBER (5))), "");
  ASK (REPLACED, OP (INSERT), KEY (NUMBER (5)), VALUE (NUMBER (55)));
  assert_integer (ASK (OK, OP (READ), KEY (NUMBER (5))), 55);
  ASK (REPLACED, OP (INSERT), KEY (NUMBER (5)), VALUE (TEXT ("five and fifty")));
  assert_text (ASK (OK, OP (READ), KEY (NUMBER (5))), "five and fifty");
  ASK (REPLACED, OP (INSERT), KEY (TEXT ("5")), VALUE (NUMBER (5)));
  assert_integer (ASK (OK, OP (READ), KEY (TEXT ("5"))), 5);
  assert_integer (ASK (OK, OP (COUNT)), 2);
  ASK (OK, OP (DELETE), KEY (NUMBER (5)));
  ASK (NO_KEY, OP (DELETE), KEY (NUMBER (5)));
  ASK (OK, OP (DELETE), KEY (TEXT ("5")));
  ASK (NO_KEY, OP (DELETE), KEY (TEXT ("5")));
  assert_integer (ASK (OK, OP (COUNT)), 0);

  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_INSERTS), ==, 5);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_READS), ==, 7);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_READ_HITS), ==, 5);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_DELETES), ==, 4);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_DELETE_HITS), ==, 2);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_FAILED_REQUESTS), ==, 0);
}

static void
test_conditions (Fixture *fixture, gconstpointer data)
{
  guint64 version;

  ASK (MISMATCH, OP (INSERT), .flags = FLAG (IF_PRESENT), KEY (TEXT ("k")), VALUE (NUMBER (1)));
  ASK (ADDED, OP (INSERT), .flags = FLAG (IF_ABSENT), KEY (TEXT ("k")), VALUE (NUMBER (1)));
  ASK (MISMATCH, OP (INSERT), .flags = FLAG (IF_ABSENT), KEY (TEXT ("k")), VALUE (NUMBER (2)));
  ASK (REPLACED, OP (INSERT), .flags = FLAG (IF_PRESENT), KEY (TEXT ("k")), VALUE (TEXT ("two")));
  ASK (MISMATCH, OP (INSERT), .flags = FLAG (IF_VALUE), KEY (TEXT ("k")), VALUE (NUMBER (3)),
       .expected = TEXT ("tw"));
  ASK (MISMATCH, OP (INSERT), .flags = FLAG (IF_VALUE), KEY (TEXT ("k")), VALUE (NUMBER (3)),
       .expected = NUMBER (3));
  ASK (REPLACED, OP (INSERT), .flags = FLAG (IF_VALUE), KEY (TEXT ("k")), VALUE (NUMBER (3)),
       .expected = TEXT ("two"));
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_MISMATCHES), ==, 4);

  version = ASK (OK, OP (READ), .flags = FLAG (VERSION), KEY (TEXT ("k")))->number;
  g_assert_true (fixture->reply.has_number);
  g_assert_cmpuint (version, !=, 0);
  assert_integer (&fixture->reply, 3);
  ASK (MISMATCH, OP (INSERT), .flags = FLAG (IF_VERSION), KEY (TEXT ("k")), VALUE (NUMBER (4)),
       .version = version + 1);
  ASK (REPLACED, OP (INSERT), .flags = FLAG (IF_VERSION) | FLAG (VERSION), KEY (TEXT ("k")),
       VALUE (NUMBER (4)), .version = version);
  g_assert_true (fixture->reply.has_number);
  g_assert_cmpuint (fixture->reply.number, !=, version);
  version = fixture->reply.number;
  g_assert_cmpuint (
    ASK (OK, OP (READ), .flags = FLAG (VERSION), KEY (TEXT ("k")))->number, ==, version);
  ASK (MISMATCH, OP (DELETE), .flags = FLAG (IF_VERSION), KEY (TEXT ("k")),
       .version = version - 1);
  ASK (MISMATCH, OP (DELETE), .flags = FLAG (IF_VALUE), KEY (TEXT ("k")), .expected = NUMBER (3));
  assert_integer (ASK (OK, OP (DELETE), .flags = FLAG (IF_VALUE) | FLAG (IF_VERSION) | FLAG (OLD),
                       KEY (TEXT ("k")), .expected = NUMBER (4), .version = version), 4);
  ASK (NO_KEY, OP (READ), .flags = FLAG (VERSION), KEY (TEXT ("k")));
  g_assert_cmpuint (fixture->reply.number, ==, 0);
  ASK (ADDED, OP (INSERT), .flags = FLAG (IF_VERSION), KEY (TEXT ("k")), VALUE (NUMBER (5)),
       .version = 0);
}

static void
test_old (Fixture *fixture, gconstpointer data)
{
  assert_none (
    ASK (ADDED, OP (INSERT), .flags = FLAG (OLD), KEY (NUMBER (1)), VALUE (TEXT ("one"))));
  assert_text (
    ASK (REPLACED, OP (INSERT), .flags = FLAG (OLD), KEY (NUMBER (1)), VALUE (NUMBER (2))), "one");
  assert_integer (
    ASK (REPLACED, OP (INSERT), .flags = FLAG (OLD), KEY (NUMBER (1)), VALUE (TEXT (""))), 2);
  assert_text (ASK (OK, OP (DELETE), .flags = FLAG (OLD), KEY (NUMBER (1))), "");
  assert_none (ASK (NO_KEY, OP (DELETE), .flags = FLAG (OLD), KEY (NUMBER (1))));
}

static void
test_add (Fixture *fixture, gconstpointer data)
{
  assert_integer (ASK (OK, OP (ADD), KEY (TEXT ("n")), VALUE (NUMBER (5))), 5);
  assert_integer (ASK (OK, OP (ADD), KEY (TEXT ("n")), VALUE (NUMBER (7))), 12);
  assert_integer (ASK (OK, OP (SUBTRACT), KEY (TEXT ("n")), VALUE (NUMBER (2))), 10);
  ASK (OVERFLOW, OP (SUBTRACT), KEY (TEXT ("n")), VALUE (NUMBER (11)));
  ASK (OVERFLOW, OP (ADD), KEY (TEXT ("n")), VALUE (NUMBER (G_MAXUINT64)));
  assert_integer (
    ASK (OK, OP (SUBTRACT), .flags = FLAG (WRAP), KEY (TEXT ("n")), VALUE (NUMBER (11))),
    G_MAXUINT64);
  assert_integer (
    ASK (OK, OP (ADD), .flags = FLAG (WRAP), KEY (TEXT ("n")), VALUE (NUMBER (3))), 2);
  ASK (NO_KEY, OP (ADD), .flags = FLAG (IF_PRESENT), KEY (NUMBER (1)), VALUE (NUMBER (3)));
  ASK (ADDED, OP (INSERT), KEY (NUMBER (1)), VALUE (TEXT ("one")));
  ASK (WRONG_KIND, OP (ADD), KEY (NUMBER (1)), VALUE (NUMBER (3)));
  assert_integer (
    ASK (OK, OP (ADD), .flags = FLAG (VERSION), KEY (TEXT ("n")), VALUE (NUMBER (1))), 3);
  g_assert_true (fixture->reply.has_number);
  ASK (MISMATCH, OP (ADD), .flags = FLAG (IF_VERSION), KEY (TEXT ("n")), VALUE (NUMBER (1)),
       .version = fixture->reply.number + 1);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_ADDS), ==, 11);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_FAILED_REQUESTS), ==, 3);
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

static void
test_ttl (Fixture *fixture, gconstpointer data)
{
  guint64 left;

  ASK (NO_KEY, OP (TTL), KEY (TEXT ("t")));
  ASK (NO_KEY, OP (EXPIRE), .flags = FLAG (TTL), KEY (TEXT ("t")), .ttl_ms = 5);
  ASK (INVALID, OP (INSERT), .flags = FLAG (TTL), KEY (TEXT ("t")), VALUE (NUMBER (1)));
  ASK (ADDED, OP (INSERT), KEY (TEXT ("t")), VALUE (NUMBER (1)));
  assert_integer (ASK (OK, OP (TTL), KEY (TEXT ("t"))), 0);
  ASK (OK, OP (EXPIRE), .flags = FLAG (TTL), KEY (TEXT ("t")), .ttl_ms = 1000000);
  left = ASK (OK, OP (TTL), KEY (TEXT ("t")))->value.integer;
  g_assert_cmpuint (left, >, 500000);
  g_assert_cmpuint (left, <=, 1000000);
  ASK (OK, OP (EXPIRE), KEY (TEXT ("t")));
  assert_integer (ASK (OK, OP (TTL), KEY (TEXT ("t"))), 0);
  ASK (REPLACED, OP (INSERT), .flags = FLAG (TTL), KEY (TEXT ("t")), VALUE (NUMBER (1)),
       .ttl_ms = 1);
  UTIL_AWAIT ((shmkv_table_sweep (fixture->rig->table),
               count_keys (fixture->rig->table) == 0));
  ASK (NO_KEY, OP (TTL), KEY (TEXT ("t")));
}

/* ------------------------------------------------------------ all the keys */

static const Reply *
scan (Fixture *fixture, guint status, ShmkvField prefix, guint64 cursor, guint64 limit,
      guint64 options)
{
  const guint64 words[SHMKV_WIRE_SCAN_WORDS] = { cursor, limit, options };

  return ask_by (fixture, &fixture->hand, status,
                 (HandRequest) { OP (SCAN), .key = prefix,
                                 .value = { .kind = SHMKV_WIRE_KIND_BYTES,
                                            .integer = sizeof words,
                                            .bytes = words } });
}

static guint
count_pairs (const Reply *reply)
{
  const guint64 *cursor = reply->value.bytes;
  gsize left = reply->value.integer;
  ShmkvPair pair;
  guint n = 0;

  while (shmkv_pair_decode (&cursor, &left, &pair))
    n++;
  g_assert_cmpuint (left, ==, 0);
  return n;
}

/* How many pairs a scan from begin to end tells. */
static guint
scan_all (Fixture *fixture, ShmkvField prefix, guint64 limit, guint options)
{
  guint64 cursor = 0;
  guint n = 0;

  do
    {
      const Reply *reply = scan (fixture, SHMKV_WIRE_STATUS_OK, prefix, cursor, limit, options);

      g_assert_cmpuint (reply->value.kind, ==, SHMKV_WIRE_KIND_BYTES);
      g_assert_true (reply->has_number);
      n += count_pairs (reply);
      cursor = reply->number;
    }
  while (cursor != 0);
  return n;
}

static void
test_scan (Fixture *fixture, gconstpointer data)
{
  const ShmkvField any = { .kind = SHMKV_WIRE_KIND_NONE };

  g_assert_cmpuint (scan_all (fixture, any, 10, 0), ==, 0);
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s-%u", i % 2 == 0 ? "even" : "odd", i);

      ASK (ADDED, OP (INSERT), KEY (TEXT (name)), VALUE (NUMBER (i)));
      ASK (ADDED, OP (INSERT), KEY (NUMBER (i)), VALUE (TEXT (name)));
    }
  for (guint limit = 1; limit < 200; limit *= 2)
    {
      g_assert_cmpuint (scan_all (fixture, any, limit, 0), ==, 100);
      g_assert_cmpuint (
        scan_all (fixture, any, limit, SHMKV_WIRE_SCAN_OPTION_INTEGER_KEYS), ==, 50);
      g_assert_cmpuint (scan_all (fixture, TEXT ("odd-"), limit, SHMKV_WIRE_SCAN_OPTION_KEYS_ONLY),
                        ==, 25);
      g_assert_cmpuint (scan_all (fixture, TEXT ("odd-1"), limit, 0), ==, 6);
    }
  scan (fixture, SHMKV_WIRE_STATUS_INVALID, any, 0, 0, 0);
  scan (fixture, SHMKV_WIRE_STATUS_UNSUPPORTED, any, 0, 1, SHMKV_WIRE_SCAN_OPTIONS_ALL + 1);
  scan (fixture, SHMKV_WIRE_STATUS_BAD_CURSOR, any, G_MAXUINT64, 1, 0);
  ASK (UNSUPPORTED, OP (SCAN), VALUE (TEXT ("too short")));
  assert_integer (ASK (OK, OP (COUNT)), 100);
  assert_integer (ASK (OK, OP (CLEAR)), 100);
  assert_integer (ASK (OK, OP (CLEAR)), 0);
  g_assert_cmpuint (scan_all (fixture, any, 10, 0), ==, 0);
}

/* --------------------------------------------------------------------- pieces */

static guint8 *
make_bytes (guint64 seed, gsize n)
{
  guint8 *bytes = g_malloc (n + 1);

  for (gsize i = 0; i < n; i++)
    bytes[i] = (guint8) ((seed + i) * 0x9e3779b1 >> 16);
  return bytes;
}

static ShmkvField
bytes_of (const guint8 *bytes, gsize n)
{
  return (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .integer = n, .bytes = bytes };
}

/* The other session is answered in one round, whatever this one is at. */
static void
check_other (Fixture *fixture)
{
  guint64 id = hand_submit (&fixture->other, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);

  hand_publish (&fixture->other);
  rig_serve (fixture->rig);
  hand_expect (&fixture->other, id, SHMKV_WIRE_STATUS_OK);
  hand_give_back (&fixture->other);
}

/* As ask_by(), with a payload of any size, in pieces of `piece` bytes. */
static const Reply *
ask_long (Fixture *fixture, guint status, const HandRequest *request, guint32 piece)
{
  Hand *hand = &fixture->hand;
  guint64 header, id = ++hand->last_id;
  g_autoptr (GByteArray) payload = hand_encode (request, &header);
  gsize sent = 0;

  reply_clear (&fixture->reply);
  do
    {
      guint32 n = (guint32) MIN (payload->len - sent, piece);
      guint64 more = sent + n < payload->len ? SHMKV_WIRE_MORE : 0;

      if (hand_try_piece (hand, header | more, id, payload->data + sent, n))
        sent += n;
      else
        {
          hand_publish (hand);
          check_other (fixture);
        }
    }
  while (sent < payload->len);
  hand_publish (hand);
  while (!hand_take_reply (hand, &fixture->reply))
    {
      hand_give_back (hand);
      check_other (fixture);
    }
  hand_give_back (hand);
  g_assert_cmpuint (fixture->reply.id, ==, id);
  g_assert_cmpuint (fixture->reply.status, ==, status);
  return &fixture->reply;
}

static void
check_value (Fixture *fixture, ShmkvField key, gsize n, guint32 piece)
{
  g_autofree guint8 *bytes = make_bytes (n, n);
  HandRequest insert = { OP (INSERT), .key = key, VALUE (bytes_of (bytes, n)) };
  HandRequest read = { OP (READ), .key = key };
  HandRequest delete = { OP (DELETE), .flags = FLAG (OLD) | FLAG (IF_VALUE), .key = key,
                         .expected = bytes_of (bytes, n) };

  ask_long (fixture, SHMKV_WIRE_STATUS_ADDED, &insert, piece);
  ask_long (fixture, SHMKV_WIRE_STATUS_OK, &read, piece);
  g_assert_cmpmem (fixture->reply.value.bytes, fixture->reply.value.integer, bytes, n);
  ask_long (fixture, SHMKV_WIRE_STATUS_OK, &delete, piece);
  g_assert_cmpmem (fixture->reply.value.bytes, fixture->reply.value.integer, bytes, n);
}

/* Values of all sizes, in pieces of all sizes. */
static void
test_pieces (Fixture *fixture, gconstpointer data)
{
  g_autofree guint8 *name = make_bytes (1, SHMKV_WIRE_MAX_KEY_SIZE);

  for (guint i = 0; i < UTIL_N (2000); i++)
    check_value (fixture, g_test_rand_bit () ? NUMBER (1) : TEXT ("key"),
                 util_random_range (0, 5000), util_random_range (1, (MAX_RECORD - 16) / 8 + 1) * 8);
  check_value (fixture, NUMBER (1), SHMKV_WIRE_DEFAULT_MAX_VALUE, MAX_RECORD - 16);
  check_value (fixture, bytes_of (name, SHMKV_WIRE_MAX_KEY_SIZE), SHMKV_WIRE_DEFAULT_MAX_VALUE,
               MAX_RECORD - 16);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_ACTIVE);
}

/* In a ring where long values fit one record, and a turn ends before all is
 * sent. */
static void
test_large_ring (void)
{
  const gsize sizes[] = { 60000, 100000, 262000, SHMKV_WIRE_DEFAULT_MAX_VALUE };
  Fixture fixture = { .rig = rig_new (2, 4u << 20) };
  Hand *hand = &fixture.hand;
  Reply *reply = &fixture.reply;

  hand_open (hand, fixture.rig, 1);
  hand_open (&fixture.other, fixture.rig, 0);
  for (guint i = 0; i < 50; i++)
    {
      gsize n = sizes[i % G_N_ELEMENTS (sizes)];
      guint32 piece = i % 2 == 0 ? 1u << 20 : 600000;
      g_autofree guint8 *bytes = make_bytes (i, n);
      HandRequest insert = { OP (INSERT), KEY (NUMBER (i)), VALUE (bytes_of (bytes, n)) };
      guint64 first;

      ask_long (&fixture, SHMKV_WIRE_STATUS_ADDED, &insert, piece - 16);
      /* Several at once, and one that is small behind them. */
      first = hand_submit (hand, SHMKV_WIRE_OP_READ, 0, 1, i, 0);
      for (guint k = 0; k < 5; k++)
        hand_submit (hand, SHMKV_WIRE_OP_READ, 0, 1, i, 0);
      hand_submit (hand, SHMKV_WIRE_OP_DELETE, 0, 1, i, 0);
      hand_publish (hand);
      for (guint k = 0; k < 7; k++)
        {
          reply_clear (reply);
          while (!hand_take_reply (hand, reply))
            {
              hand_give_back (hand);
              check_other (&fixture);
            }
          g_assert_cmpuint (reply->id, ==, first + k);
          g_assert_cmpuint (reply->status, ==, SHMKV_WIRE_STATUS_OK);
          if (k < 6)
            g_assert_cmpmem (reply->value.bytes, reply->value.integer, bytes, n);
        }
      hand_give_back (hand);
    }
  tear_down (&fixture, NULL);
}

/* What is too long is answered so, once, and changes nothing. */
static void
test_too_large (Fixture *fixture, gconstpointer data)
{
  const gsize sizes[] = { SHMKV_WIRE_DEFAULT_MAX_VALUE + 1, SHMKV_WIRE_DEFAULT_MAX_VALUE * 3 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree guint8 *bytes = make_bytes (i, sizes[i]);
      HandRequest insert = { OP (INSERT), KEY (NUMBER (1)), VALUE (bytes_of (bytes, sizes[i])) };

      assert_none (ask_long (fixture, SHMKV_WIRE_STATUS_TOO_LARGE, &insert, MAX_RECORD - 16));
      insert.key = bytes_of (bytes, SHMKV_WIRE_MAX_KEY_SIZE + 1);
      insert.value = NUMBER (1);
      ask_long (fixture, SHMKV_WIRE_STATUS_TOO_LARGE, &insert, MAX_RECORD - 16);
      check_value (fixture, NUMBER (2), 5000, 504);
    }
  assert_integer (ASK (OK, OP (COUNT)), 0);
}

/* A piece, and a record that cannot follow it. */
typedef struct
{
  const char *name;
  guint64 header;                   /* differs from the first one's by this */
  guint64 id;                       /* the same */
} BadPiece;

static const BadPiece bad_pieces[] = {
  { "id", 0, 1 },
  { "op", G_GUINT64_CONSTANT (2) << 32, 0 },
  { "key-kind", G_GUINT64_CONSTANT (3) << 40, 0 },
  { "value-kind", G_GUINT64_CONSTANT (3) << 44, 0 },
  { "flags", (guint64) SHMKV_WIRE_FLAG_OLD << 48, 0 },
  { "silent", (guint64) SHMKV_WIRE_FLAG_NO_RESPONSE << 48, 0 },
};

static void
test_bad_piece (Fixture *fixture, gconstpointer data)
{
  const BadPiece *bad = data;
  Hand *hand = &fixture->hand;
  const guint64 words[4] = { 1, 16, 3, 4 };
  guint64 header = shmkv_header_pack (0, SHMKV_WIRE_OP_INSERT, 1, 2, 0);
  guint64 before = hand_submit (hand, SHMKV_WIRE_OP_INSERT, 0, 2, 7, 7);

  g_assert_true (hand_try_piece (hand, header | SHMKV_WIRE_MORE, 9, words, 16));
  if (g_test_rand_bit ())
    {
      hand_publish (hand);
      serve (fixture);
    }
  header ^= bad->header | (g_test_rand_bit () ? SHMKV_WIRE_MORE : 0);
  g_assert_true (hand_try_piece (hand, header, 9 ^ bad->id, words + 2, 16));
  hand_publish (hand);
  util_log_catch ();
  serve (fixture);
  g_assert_cmpuint (util_log_caught ("dropped"), ==, 1);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_DROPPED);
  g_assert_cmpuint (hand_drop_reason (hand), ==, SHMKV_WIRE_DROP_BAD_PIECE);
  hand_expect (hand, before, SHMKV_WIRE_STATUS_ADDED);
  hand_expect_none (hand);
  check_other (fixture);
}

/* An owner that leaves in the middle takes what it began along. */
static void
test_pieces_left (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  const guint64 words[2] = { 1, 16 };
  guint64 header = shmkv_header_pack (0, SHMKV_WIRE_OP_INSERT, 1, 2, 0) | SHMKV_WIRE_MORE;

  for (guint i = 0; i < 10; i++)
    {
      g_assert_true (hand_try_piece (hand, header, 9, words, 16));
      hand_publish (hand);
      if (i % 2 == 0)
        serve (fixture);
      hand_set_claim (hand, 0);
      serve (fixture);
      g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
      hand_claim (hand);
      serve (fixture);
      assert_integer (ASK (OK, OP (COUNT)), 0);
    }
}

/* ----------------------------------------------------------------- batches */

typedef struct
{
  guint op;
  guint key;
  guint8 *value;
  gsize n;
} Step;

static void
step_free (Step *step)
{
  g_free (step->value);
  g_free (step);
}

static ShmkvField
model_key (guint key)
{
  static const char *const names[] = { "a", "key", "a longer key", "the longest key of them all" };

  return key < 4 ? NUMBER (key) : TEXT (names[key - 4]);
}

static gboolean
try_step (Fixture *fixture, const Step *step)
{
  HandRequest request = { .op = step->op, .key = model_key (step->key) };

  if (step->op == SHMKV_WIRE_OP_INSERT)
    {
      request.value = bytes_of (step->value, step->n);
      if (step->n == 8)
        request.value = NUMBER (8);
    }
  if (step->op == SHMKV_WIRE_OP_DELETE)
    request.flags = FLAG (OLD);
  return hand_try_request (&fixture->hand, &request);
}

static void
check_step (const Reply *reply, Step *step, Step **model)
{
  const Step *had = model[step->key];

  if (step->op == SHMKV_WIRE_OP_PING)
    g_assert_cmpuint (reply->status, ==, SHMKV_WIRE_STATUS_OK);
  else if (step->op == SHMKV_WIRE_OP_INSERT)
    g_assert_cmpuint (reply->status, ==,
                      had != NULL ? SHMKV_WIRE_STATUS_REPLACED : SHMKV_WIRE_STATUS_ADDED);
  else if (had == NULL)
    g_assert_cmpuint (reply->status, ==, SHMKV_WIRE_STATUS_NO_KEY);
  else
    {
      g_assert_cmpuint (reply->status, ==, SHMKV_WIRE_STATUS_OK);
      if (had->n == 8)
        assert_integer (reply, 8);
      else
        g_assert_cmpmem (reply->value.bytes, reply->value.integer, had->value, had->n);
    }
}

/* Random operations, as many as fit, with answers of all sizes in a ring that is
 * often full: each is carried out once, and in its order. */
static void
test_model (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  GQueue steps = G_QUEUE_INIT;
  Step *model[8] = { NULL };
  Step *next = NULL;
  Reply reply = { 0 };
  guint64 taken = hand->last_id;
  guint n_taken = 0;

  while (n_taken < UTIL_N (100000))
    {
      static const guint ops[] = { SHMKV_WIRE_OP_INSERT, SHMKV_WIRE_OP_READ, SHMKV_WIRE_OP_READ,
                                   SHMKV_WIRE_OP_DELETE, SHMKV_WIRE_OP_PING };

      for (guint n = util_random_range (0, 60); n > 0; n--)
        {
          if (next == NULL)
            {
              next = g_new0 (Step, 1);
              next->op = ops[util_random_range (0, G_N_ELEMENTS (ops))];
              next->key = util_random_range (0, G_N_ELEMENTS (model));
              next->n = util_random_range (0, util_random_range (0, 4) == 0 ? 960 : 20);
              next->value = make_bytes (util_random (), next->n);
              if (next->op == SHMKV_WIRE_OP_PING)
                next->key = 0;
            }
          if (next->op == SHMKV_WIRE_OP_PING
                ? !hand_try_submit (hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0)
                : !try_step (fixture, next))
            break;
          g_queue_push_tail (&steps, g_steal_pointer (&next));
        }
      hand_publish (hand);
      rig_serve (fixture->rig);
      for (guint n = util_random_range (0, 40); n > 0 && hand_take_reply (hand, &reply); n--)
        {
          Step *step = g_queue_pop_head (&steps);

          g_assert_cmpuint (reply.id, ==, ++taken);
          check_step (&reply, step, model);
          if (step->op == SHMKV_WIRE_OP_INSERT || step->op == SHMKV_WIRE_OP_DELETE)
            {
              Step **had = &model[step->key];

              g_clear_pointer (had, step_free);
              if (step->op == SHMKV_WIRE_OP_INSERT)
                *had = g_steal_pointer (&step);
            }
          g_clear_pointer (&step, step_free);
          reply_clear (&reply);
          n_taken++;
        }
      hand_give_back (hand);
    }
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_ACTIVE);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_STALLS), >, 0);
  reply_clear (&reply);
  g_clear_pointer (&next, step_free);
  g_queue_clear_full (&steps, (GDestroyNotify) step_free);
  for (guint i = 0; i < G_N_ELEMENTS (model); i++)
    g_clear_pointer (&model[i], step_free);
}

/* -------------------------------------------------------------------- waiting */

static guint64
begin (Fixture *fixture, HandRequest request)
{
  guint64 id = hand_request (&fixture->hand, &request);

  hand_publish (&fixture->hand);
  serve (fixture);
  return id;
}

static const Reply *
expect (Fixture *fixture, guint64 id, guint status)
{
  serve (fixture);
  hand_expect_reply (&fixture->hand, id, status, &fixture->reply);
  hand_give_back (&fixture->hand);
  return &fixture->reply;
}

static void
expect_parked (Fixture *fixture)
{
  ShmkvRound round = rig_serve (fixture->rig);

  g_assert_cmpuint (round.served + round.waiting, ==, 0);
  hand_expect_none (&fixture->hand);
  g_assert_false (shmkv_lanes_any_ripe (fixture->rig->lanes));
}

#define WAIT(field, known) (HandRequest) { OP (WAIT), KEY (field), VALUE (NUMBER (known)) }
#define SET(field, text)                                                                           \
  ASK_BY (&fixture->other, REPLACED, OP (INSERT), KEY (field), VALUE (TEXT (text)))

static void
test_wait (Fixture *fixture, gconstpointer data)
{
  Hand *other = &fixture->other;
  guint64 id, version;

  /* An absent key has the version 0. */
  id = begin (fixture, WAIT (TEXT ("k"), 0));
  expect_parked (fixture);
  check_other (fixture);
  ASK_BY (other, ADDED, OP (INSERT), KEY (TEXT ("k")), VALUE (TEXT ("one")));
  assert_text (expect (fixture, id, SHMKV_WIRE_STATUS_OK), "one");
  g_assert_true (fixture->reply.has_number);
  version = fixture->reply.number;
  g_assert_cmpuint (version, !=, 0);

  id = begin (fixture, WAIT (TEXT ("k"), version));
  expect_parked (fixture);
  SET (TEXT ("k"), "two");
  assert_text (expect (fixture, id, SHMKV_WIRE_STATUS_OK), "two");
  g_assert_cmpuint (fixture->reply.number, !=, version);

  /* Who is behind is told at once. */
  id = begin (fixture, WAIT (TEXT ("k"), version));
  assert_text (expect (fixture, id, SHMKV_WIRE_STATUS_OK), "two");
  version = fixture->reply.number;
  id = begin (fixture, WAIT (TEXT ("k"), version));
  expect_parked (fixture);
  ASK_BY (other, OK, OP (DELETE), KEY (TEXT ("k")));
  assert_none (expect (fixture, id, SHMKV_WIRE_STATUS_NO_KEY));
  id = begin (fixture, WAIT (TEXT ("k"), version));
  expect (fixture, id, SHMKV_WIRE_STATUS_NO_KEY);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_WAITS), ==, 5);
}

/* Other keys of the same bucket wake it, and it goes on waiting. */
static void
test_wait_neighbours (Fixture *fixture, gconstpointer data)
{
  guint64 id = begin (fixture, WAIT (NUMBER (1), 0));

  for (guint i = 2; i < 100; i++)
    {
      ASK_BY (&fixture->other, ADDED, OP (INSERT), KEY (NUMBER (i)), VALUE (NUMBER (1)));
      expect_parked (fixture);
    }
  ASK_BY (&fixture->other, ADDED, OP (INSERT), KEY (NUMBER (1)), VALUE (NUMBER (5)));
  assert_integer (expect (fixture, id, SHMKV_WIRE_STATUS_OK), 5);
}

/* The next request ends it, whether it comes at the same time or later; and all
 * are answered in their order. */
static void
test_wait_ended (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint64 id;

  for (guint i = 0; i < 40; i++)
    {
      HandRequest wait = WAIT (NUMBER (1), 0);

      hand_submit (hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
      id = hand_request (hand, &wait);
      if (i % 2 == 0)
        {
          hand_publish (hand);
          serve (fixture);
        }
      hand_submit (hand, SHMKV_WIRE_OP_READ, 0, 1, 1, 0);
      hand_publish (hand);
      serve (fixture);
      hand_expect (hand, id - 1, SHMKV_WIRE_STATUS_OK);
      hand_expect (hand, id, SHMKV_WIRE_STATUS_UNCHANGED);
      hand_expect (hand, id + 1, SHMKV_WIRE_STATUS_NO_KEY);
      hand_expect_none (hand);
      hand_give_back (hand);
    }
  /* One after the other: each ends the one before. */
  for (guint i = 0; i < 40; i++)
    {
      HandRequest wait = WAIT (NUMBER (1), 0);

      id = hand_request (hand, &wait);
    }
  hand_publish (hand);
  serve (fixture);
  for (guint i = 39; i > 0; i--)
    hand_expect (hand, id - i, SHMKV_WIRE_STATUS_UNCHANGED);
  expect_parked (fixture);
  /* One that nobody would hear of is over at once. */
  hand_submit (hand, SHMKV_WIRE_OP_WAIT, FLAG (NO_RESPONSE), 2, 1, 0);
  hand_publish (hand);
  serve (fixture);
  hand_expect (hand, id, SHMKV_WIRE_STATUS_UNCHANGED);
  expect_parked (fixture);
  g_assert_cmpuint (atomic_load (&hand->server->silent_errors), ==, 0);
}

/* It leaves while it waits, or breaks the rules. */
static void
test_wait_left (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  for (guint i = 0; i < 20; i++)
    {
      begin (fixture, i % 2 == 0 ? WAIT (NUMBER (1), 0)
                                 : (HandRequest) { OP (WATCH), VALUE (NUMBER (
                                   ASK (OK, OP (WATCH), VALUE (NUMBER (0)))->number)) });
      expect_parked (fixture);
      if (i % 4 < 2)
        hand_set_claim (hand, 0);
      else
        {
          shmkv_segment_unlock_lane (hand->segment, hand->index);
          rig_reap (fixture->rig);
          g_assert_true (shmkv_segment_lock_lane (hand->segment, hand->index));
        }
      serve (fixture);
      g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
      ASK_BY (&fixture->other, ADDED, OP (INSERT), KEY (NUMBER (1)), VALUE (NUMBER (5)));
      ASK_BY (&fixture->other, OK, OP (DELETE), KEY (NUMBER (1)));
      g_assert_false (shmkv_lanes_any_ripe (fixture->rig->lanes));
      hand_claim (hand);
      serve (fixture);
    }
  begin (fixture, WAIT (NUMBER (1), 0));
  util_log_catch ();
  atomic_fetch_add (&hand->client->tail, 20);
  serve (fixture);
  g_assert_cmpuint (util_log_caught ("dropped"), ==, 1);
  ASK_BY (&fixture->other, ADDED, OP (INSERT), KEY (NUMBER (1)), VALUE (NUMBER (5)));
  g_assert_false (shmkv_lanes_any_ripe (fixture->rig->lanes));
}

/* There is no room for the answer when the key changes. */
static void
test_wait_stalled (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  g_autofree guint8 *bytes = make_bytes (1, 900);
  guint64 id, n = 0;

  ASK (ADDED, OP (INSERT), KEY (NUMBER (2)), VALUE (bytes_of (bytes, 900)));
  while (hand_try_submit (hand, SHMKV_WIRE_OP_READ, 0, 1, 2, 0) && n < 4)
    n++;
  id = begin (fixture, WAIT (NUMBER (1), 0));
  ASK_BY (&fixture->other, ADDED, OP (INSERT), KEY (NUMBER (1)), VALUE (bytes_of (bytes, 900)));
  serve (fixture);
  g_assert_false (shmkv_lanes_any_ripe (fixture->rig->lanes));
  for (guint i = 0; hand->last_id == id && i < n + 2; i++)
    {
      reply_clear (&fixture->reply);
      while (!hand_take_reply (hand, &fixture->reply))
        {
          hand_give_back (hand);
          serve (fixture);
        }
      g_assert_cmpuint (fixture->reply.status, ==, SHMKV_WIRE_STATUS_OK);
      g_assert_cmpmem (fixture->reply.value.bytes, fixture->reply.value.integer, bytes, 900);
      if (fixture->reply.id == id)
        break;
    }
  g_assert_cmpuint (fixture->reply.id, ==, id);
}

/* ------------------------------------------------------------------- watching */

static HandRequest
watch (const char *prefix, guint64 position)
{
  HandRequest request = { OP (WATCH), VALUE (NUMBER (position)) };

  if (prefix != NULL)
    request.key = TEXT (prefix);
  return request;
}

/* Takes one pair from the reply, which must be this. */
static void
assert_change (const Reply *reply, gsize *at, ShmkvField key, guint change)
{
  const guint64 *cursor = (const guint64 *) reply->value.bytes + *at / 8;
  gsize left = reply->value.integer - *at;
  ShmkvPair pair;

  g_assert_true (shmkv_pair_decode (&cursor, &left, &pair));
  g_assert_cmpuint (pair.key.kind, ==, key.kind);
  if (key.kind == SHMKV_WIRE_KIND_BYTES)
    g_assert_cmpmem (pair.key.bytes, pair.key.integer, key.bytes, key.integer);
  else
    g_assert_cmpuint (pair.key.integer, ==, key.integer);
  g_assert_cmpuint (pair.value.kind, ==, SHMKV_WIRE_KIND_INTEGER);
  g_assert_cmpuint (pair.value.integer, ==, change);
  *at = reply->value.integer - left;
}

static guint64
begin_watch (Fixture *fixture)
{
  guint64 id = begin (fixture, watch (NULL, 0));

  expect (fixture, id, SHMKV_WIRE_STATUS_OK);
  g_assert_true (fixture->reply.has_number);
  g_assert_cmpuint (fixture->reply.number, !=, 0);
  g_assert_cmpuint (count_pairs (&fixture->reply), ==, 0);
  return fixture->reply.number;
}

static void
test_watch (Fixture *fixture, gconstpointer data)
{
  Hand *other = &fixture->other;
  guint64 position = begin_watch (fixture), id;
  gsize at = 0;

  ASK_BY (other, ADDED, OP (INSERT), KEY (NUMBER (5)), VALUE (NUMBER (1)));
  ASK_BY (other, ADDED, OP (INSERT), KEY (TEXT ("ab")), VALUE (TEXT ("1")));
  ASK_BY (other, OK, OP (DELETE), KEY (NUMBER (5)));
  ASK_BY (other, OK, OP (ADD), KEY (TEXT ("ac")), VALUE (NUMBER (1)));
  id = begin (fixture, watch (NULL, position));
  expect (fixture, id, SHMKV_WIRE_STATUS_OK);
  assert_change (&fixture->reply, &at, NUMBER (5), SHMKV_WIRE_CHANGE_SET);
  assert_change (&fixture->reply, &at, TEXT ("ab"), SHMKV_WIRE_CHANGE_SET);
  assert_change (&fixture->reply, &at, NUMBER (5), SHMKV_WIRE_CHANGE_DELETED);
  assert_change (&fixture->reply, &at, TEXT ("ac"), SHMKV_WIRE_CHANGE_SET);
  g_assert_cmpuint (at, ==, fixture->reply.value.integer);
  g_assert_cmpuint (fixture->reply.number, ==, position + 4);

  /* With a prefix, again from the same position. */
  id = begin (fixture, watch ("ab", position));
  expect (fixture, id, SHMKV_WIRE_STATUS_OK);
  at = 0;
  assert_change (&fixture->reply, &at, TEXT ("ab"), SHMKV_WIRE_CHANGE_SET);
  g_assert_cmpuint (at, ==, fixture->reply.value.integer);
  g_assert_cmpuint (fixture->reply.number, ==, position + 4);

  /* The empty prefix is that of all byte strings. */
  id = begin (fixture, watch ("", position));
  expect (fixture, id, SHMKV_WIRE_STATUS_OK);
  g_assert_cmpuint (count_pairs (&fixture->reply), ==, 2);

  id = begin (fixture, watch (NULL, position + 5));
  expect (fixture, id, SHMKV_WIRE_STATUS_INVALID);
}

static void
test_watch_parked (Fixture *fixture, gconstpointer data)
{
  Hand *other = &fixture->other;
  guint64 position = begin_watch (fixture), id;
  gsize at = 0;

  id = begin (fixture, watch ("x", position));
  expect_parked (fixture);
  /* What it does not look for does not wake it, and is not kept for it. */
  for (guint i = 0; i < UTIL_N (3 * SHMKV_JOURNAL_CHANGES); i++)
    ASK_BY (other, OK, OP (ADD), KEY (TEXT ("y")), VALUE (NUMBER (1)));
  expect_parked (fixture);
  ASK_BY (other, ADDED, OP (INSERT), KEY (TEXT ("xy")), VALUE (NUMBER (1)));
  expect (fixture, id, SHMKV_WIRE_STATUS_OK);
  assert_change (&fixture->reply, &at, TEXT ("xy"), SHMKV_WIRE_CHANGE_SET);
  g_assert_cmpuint (at, ==, fixture->reply.value.integer);

  id = begin (fixture, watch ("x", fixture->reply.number));
  expect_parked (fixture);
  hand_submit (&fixture->hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
  hand_publish (&fixture->hand);
  expect (fixture, id, SHMKV_WIRE_STATUS_UNCHANGED);
  hand_expect (&fixture->hand, id + 1, SHMKV_WIRE_STATUS_OK);
}

/* What it did not look for while it waited is not missed later, either. */
static void
test_watch_ended (Fixture *fixture, gconstpointer data)
{
  Hand *other = &fixture->other;
  guint64 position = begin_watch (fixture);
  gsize at = 0;

  for (guint round = 0; round < 3; round++)
    {
      guint64 id = begin (fixture, watch ("x", position));

      expect_parked (fixture);
      for (guint i = 0; i < SHMKV_JOURNAL_CHANGES * 2 / 3; i++)
        ASK_BY (other, OK, OP (ADD), KEY (TEXT ("y")), VALUE (NUMBER (1)));
      hand_submit (&fixture->hand, SHMKV_WIRE_OP_PING, 0, 0, 0, 0);
      hand_publish (&fixture->hand);
      expect (fixture, id, SHMKV_WIRE_STATUS_UNCHANGED);
      hand_expect (&fixture->hand, id + 1, SHMKV_WIRE_STATUS_OK);
      g_assert_true (fixture->reply.has_number);
      position = fixture->reply.number;
    }
  ASK_BY (other, ADDED, OP (INSERT), KEY (TEXT ("xy")), VALUE (NUMBER (1)));
  expect (fixture, begin (fixture, watch ("x", position)), SHMKV_WIRE_STATUS_OK);
  assert_change (&fixture->reply, &at, TEXT ("xy"), SHMKV_WIRE_CHANGE_SET);
}

/* More changes than fit one answer are told in several. */
static void
test_watch_many (Fixture *fixture, gconstpointer data)
{
  g_autofree guint8 *name = make_bytes (1, SHMKV_WIRE_MAX_KEY_SIZE);
  guint64 position = begin_watch (fixture), first = position;
  HandRequest insert = { OP (INSERT), VALUE (NUMBER (1)) };
  guint n = 0;

  for (guint i = 0; i < 5; i++)
    {
      insert.key = bytes_of (name, SHMKV_WIRE_MAX_KEY_SIZE - i);
      ask_long (fixture, SHMKV_WIRE_STATUS_ADDED, &insert, MAX_RECORD - 16);
    }
  while (position < first + 5)
    {
      HandRequest request = watch (NULL, position);

      ask_long (fixture, SHMKV_WIRE_STATUS_OK, &request, 32);
      g_assert_cmpuint (fixture->reply.number, >, position);
      position = fixture->reply.number;
      n += count_pairs (&fixture->reply);
    }
  g_assert_cmpuint (n, ==, 5);
}

static void
test_watch_missed (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint64 position = begin_watch (fixture), id, next;

  for (guint i = 0; i <= SHMKV_JOURNAL_CHANGES; i++)
    ASK_BY (&fixture->other, OK, OP (ADD), KEY (NUMBER (1)), VALUE (NUMBER (1)));
  id = begin (fixture, watch (NULL, position));
  next = expect (fixture, id, SHMKV_WIRE_STATUS_MISSED)->number;
  g_assert_true (fixture->reply.has_number);
  g_assert_cmpuint (next, ==, position + SHMKV_JOURNAL_CHANGES + 1);
  id = begin (fixture, watch (NULL, next));
  expect_parked (fixture);
  ASK_BY (&fixture->other, OK, OP (ADD), KEY (NUMBER (1)), VALUE (NUMBER (1)));
  next = expect (fixture, id, SHMKV_WIRE_STATUS_OK)->number;
  g_assert_cmpuint (count_pairs (&fixture->reply), ==, 1);

  /* While nobody watches nothing is kept: who was up to date may have missed
   * something. */
  hand_set_claim (hand, 0);
  serve (fixture);
  hand_claim (hand);
  serve (fixture);
  id = begin (fixture, watch (NULL, next));
  g_assert_cmpuint (expect (fixture, id, SHMKV_WIRE_STATUS_MISSED)->number, >, next);
}

/* ------------------------------------------------------------- session's keys */

static void
insert_owned (Fixture *fixture)
{
  ASK (ADDED, OP (INSERT), .flags = FLAG (SESSION), KEY (TEXT ("mine")), VALUE (NUMBER (1)));
  ASK (ADDED, OP (INSERT), .flags = FLAG (SESSION), KEY (NUMBER (1)), VALUE (TEXT ("x")));
  ASK (ADDED, OP (INSERT), .flags = FLAG (SESSION), KEY (NUMBER (2)), VALUE (NUMBER (1)));
  ASK (ADDED, OP (INSERT), .flags = FLAG (SESSION), KEY (NUMBER (3)), VALUE (NUMBER (1)));
  ASK (ADDED, OP (INSERT), KEY (NUMBER (4)), VALUE (NUMBER (1)));
  /* No longer the session's, or another one's. */
  ASK (REPLACED, OP (INSERT), KEY (NUMBER (2)), VALUE (NUMBER (1)));
  ASK_BY (&fixture->other, REPLACED, OP (INSERT), .flags = FLAG (SESSION), KEY (NUMBER (3)),
          VALUE (NUMBER (1)));
}

static void
assert_owned_gone (Fixture *fixture)
{
  Hand *other = &fixture->other;

  ASK_BY (other, NO_KEY, OP (READ), KEY (TEXT ("mine")));
  ASK_BY (other, NO_KEY, OP (READ), KEY (NUMBER (1)));
  for (guint i = 2; i <= 4; i++)
    ASK_BY (other, OK, OP (READ), KEY (NUMBER (i)));
  assert_integer (ASK_BY (other, OK, OP (CLEAR)), 3);
}

static void
test_owned (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  for (guint i = 0; i < 3; i++)
    {
      insert_owned (fixture);
      hand_set_claim (hand, 0);
      serve (fixture);
      assert_owned_gone (fixture);
      hand_claim (hand);
      serve (fixture);

      insert_owned (fixture);
      shmkv_segment_unlock_lane (hand->segment, hand->index);
      rig_reap (fixture->rig);
      assert_owned_gone (fixture);
      g_assert_true (shmkv_segment_lock_lane (hand->segment, hand->index));
      hand_claim (hand);
      serve (fixture);
    }
  insert_owned (fixture);
  util_log_catch ();
  atomic_fetch_add (&hand->client->tail, 20);
  serve (fixture);
  g_assert_cmpuint (util_log_caught ("dropped"), ==, 1);
  assert_owned_gone (fixture);
}

/* Many keys that come and go; those that are still there at the end go then.
 * Also those of requests that nobody waited for. */
static void
test_owned_many (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint n_left = 0;

  for (guint i = 0; i < UTIL_N (20000); i++)
    {
      ASK (ADDED, OP (INSERT), .flags = FLAG (SESSION), KEY (NUMBER (i)), VALUE (NUMBER (1)));
      if (i % 16 == 0)
        n_left++;
      else
        ASK (OK, OP (DELETE), KEY (NUMBER (i)));
    }
  assert_integer (ASK (OK, OP (COUNT)), n_left);
  for (guint i = 0; i < 20; i++)
    {
      HandRequest request = { OP (INSERT), .flags = FLAG (SESSION) | FLAG (NO_RESPONSE),
                              KEY (NUMBER (1000000 + i)), VALUE (TEXT ("x")) };

      hand_request (hand, &request);
    }
  hand_publish (hand);
  hand_set_claim (hand, 0);
  serve (fixture);
  assert_integer (ASK_BY (&fixture->other, OK, OP (COUNT)), 0);
}

/* More than are deleted in a turn; none of them is left behind. */
#define N_OWNED 300

static void
insert_many_owned (Fixture *fixture)
{
  for (guint i = 0; i < N_OWNED; i++)
    ASK (ADDED, OP (INSERT), .flags = FLAG (SESSION), KEY (NUMBER (i)), VALUE (NUMBER (1)));
  assert_integer (ASK (OK, OP (COUNT)), N_OWNED);
}

/* The lane is not free before all are gone, and others are served meanwhile. */
static void
expect_ending (Fixture *fixture, guint phase, guint phase_after)
{
  guint64 left = count_keys (fixture->rig->table);

  for (guint n = 0; left > 0; n++)
    {
      guint64 ping = hand_request (&fixture->other, &(HandRequest) { OP (PING) });
      guint64 before = left;

      g_assert_cmpuint (n, <, N_OWNED);
      g_assert_cmpuint (hand_phase (&fixture->hand), ==, phase);
      hand_publish (&fixture->other);
      rig_serve (fixture->rig);
      hand_expect (&fixture->other, ping, SHMKV_WIRE_STATUS_OK);
      hand_give_back (&fixture->other);
      left = count_keys (fixture->rig->table);
      g_assert_cmpuint (left, <, before);
      g_assert_cmpuint (left + 200, >, before);
    }
  serve (fixture);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, phase_after);
  g_assert_cmpuint (rig_serve (fixture->rig).waiting, ==, 0);
}

static void
claim_again (Fixture *fixture)
{
  hand_claim (&fixture->hand);
  serve (fixture);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_ACTIVE);
  ASK (OK, OP (PING));
}

static void
test_owned_portions (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint32 claim = hand_state (hand);

  insert_many_owned (fixture);
  hand_set_claim (hand, 0);
  rig_serve (fixture->rig);
  /* Too late to come back. */
  hand_set_claim (hand, claim - SHMKV_WIRE_LANE_ACTIVE + SHMKV_WIRE_LANE_FREE);
  expect_ending (fixture, SHMKV_WIRE_LANE_ACTIVE, SHMKV_WIRE_LANE_FREE);
  claim_again (fixture);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_CLOSED), ==, 1);

  insert_many_owned (fixture);
  shmkv_segment_unlock_lane (hand->segment, hand->index);
  rig_reap (fixture->rig);
  g_assert_cmpuint (count_keys (fixture->rig->table), >, 0);
  expect_ending (fixture, SHMKV_WIRE_LANE_ACTIVE, SHMKV_WIRE_LANE_FREE);
  g_assert_true (shmkv_segment_lock_lane (hand->segment, hand->index));
  claim_again (fixture);

  /* By the reaper alone. */
  insert_many_owned (fixture);
  shmkv_segment_unlock_lane (hand->segment, hand->index);
  for (guint i = 0; hand_phase (hand) != SHMKV_WIRE_LANE_FREE; i++)
    {
      g_assert_cmpuint (i, <, N_OWNED);
      rig_reap (fixture->rig);
    }
  g_assert_cmpuint (count_keys (fixture->rig->table), ==, 0);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_RECLAIMED), ==, 2);
}

/* The same where the lane is dropped, and while that lasts its owner goes. */
static void
test_owned_dropped (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  for (guint i = 0; i < 2; i++)
    {
      insert_many_owned (fixture);
      util_log_catch ();
      atomic_fetch_add (&hand->client->tail, 20);
      rig_serve (fixture->rig);
      g_assert_cmpuint (util_log_caught ("dropped"), ==, 1);
      g_assert_cmpuint (count_keys (fixture->rig->table), >, 0);
      if (i == 0)
        expect_ending (fixture, SHMKV_WIRE_LANE_DROPPED, SHMKV_WIRE_LANE_DROPPED);
      shmkv_segment_unlock_lane (hand->segment, hand->index);
      rig_reap (fixture->rig);
      if (i == 1)
        expect_ending (fixture, SHMKV_WIRE_LANE_DROPPED, SHMKV_WIRE_LANE_FREE);
      g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
      g_assert_true (shmkv_segment_lock_lane (hand->segment, hand->index));
      claim_again (fixture);
      g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_DROPPED), ==, i + 1);
      g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_RECLAIMED), ==, i + 1);
    }
}

/* What is left to be carried out may be much, too, and may insert such keys. */
static void
test_owned_rest (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  insert_many_owned (fixture);
  while (hand_try_request (hand, &(HandRequest) { OP (INSERT), .flags = FLAG (SESSION),
                                                  KEY (NUMBER (1000000 + hand->last_id)),
                                                  VALUE (NUMBER (1)) }))
    ;
  hand_publish (hand);
  shmkv_segment_unlock_lane (hand->segment, hand->index);
  rig_reap (fixture->rig);
  for (guint i = 0; hand_phase (hand) == SHMKV_WIRE_LANE_ACTIVE; i++)
    {
      g_assert_cmpuint (i, <, 1000);
      rig_serve (fixture->rig);
    }
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
  g_assert_cmpuint (count_keys (fixture->rig->table), ==, 0);
}

/* The server ends meanwhile. */
static void
test_owned_end (Fixture *fixture, gconstpointer data)
{
  insert_many_owned (fixture);
  hand_set_claim (&fixture->hand, 0);
  rig_serve (fixture->rig);
  g_assert_cmpuint (count_keys (fixture->rig->table), >, 0);
}

/* Who waits for a key of a session that ends hears of it. */
static void
test_owned_wait (Fixture *fixture, gconstpointer data)
{
  guint64 id, version;

  ASK_BY (&fixture->other, ADDED, OP (INSERT), .flags = FLAG (SESSION), KEY (TEXT ("leader")),
          VALUE (NUMBER (1)));
  version = ASK (OK, OP (READ), .flags = FLAG (VERSION), KEY (TEXT ("leader")))->number;
  id = begin (fixture, WAIT (TEXT ("leader"), version));
  expect_parked (fixture);
  shmkv_segment_unlock_lane (fixture->other.segment, fixture->other.index);
  rig_reap (fixture->rig);
  expect (fixture, id, SHMKV_WIRE_STATUS_NO_KEY);
}

/* -------------------------------------------------------------------- hostile */

/* Words that are requests more often than not, of any operation that needs no
 * server. */
static guint64
random_header (void)
{
  static const guint ops[]
    = { SHMKV_WIRE_OP_INSERT,   SHMKV_WIRE_OP_READ,  SHMKV_WIRE_OP_DELETE, SHMKV_WIRE_OP_ADD,
        SHMKV_WIRE_OP_SUBTRACT, SHMKV_WIRE_OP_EXPIRE, SHMKV_WIRE_OP_TTL,   SHMKV_WIRE_OP_SCAN,
        SHMKV_WIRE_OP_COUNT,    SHMKV_WIRE_OP_CLEAR, SHMKV_WIRE_OP_WAIT,   SHMKV_WIRE_OP_WATCH,
        SHMKV_WIRE_OP_PING,     77 };
  guint flags = util_random_range (0, 3) == 0
                  ? util_random_range (0, 1 << 11)
                  : util_random_range (0, 2) << util_random_range (0, 11);

  return shmkv_header_pack (0, ops[util_random_range (0, G_N_ELEMENTS (ops))],
                            util_random_range (0, 4) % 3, util_random_range (0, 4) % 3, flags)
         | (util_random_range (0, 10) == 0 ? SHMKV_WIRE_MORE : 0);
}

static guint64
random_word (void)
{
  static const guint64 words[] = { 0, 1, 2, 3, 8, 9, 16, 24, 1000, G_MAXUINT32, G_MAXUINT64 };

  return g_test_rand_bit () ? words[util_random_range (0, G_N_ELEMENTS (words))]
                            : util_random_range (0, 64);
}

/* Random requests, with words that change while the server reads them: whatever
 * comes of it, the other session is served, and a lane that is dropped is as good
 * as new afterwards. */
static void
test_hostile (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  guint n_dropped = 0, n_answered = 0;
  Reply reply = { 0 };

  util_log_catch ();
  for (guint round = 0; round < UTIL_N (60000); round++)
    {
      for (guint n = util_random_range (1, 12); n > 0; n--)
        {
          guint64 words[40], header = random_header ();
          guint n_words = util_random_range (0, util_random_range (0, 3) == 0 ? 40 : 7);

          for (guint i = 0; i < n_words; i++)
            words[i] = random_word ();
          if (!hand_try_piece (hand, header, util_random_range (0, 30) == 0, words, n_words * 8))
            break;
        }
      hand_publish (hand);
      check_other (fixture);
      if (hand_phase (hand) == SHMKV_WIRE_LANE_ACTIVE)
        {
          while (hand_take_reply (hand, &reply))
            {
              n_answered++;
              reply_clear (&reply);
            }
          hand_give_back (hand);
          if (util_random_range (0, 100) != 0)
            continue;
          hand_set_claim (hand, 0);
          serve (fixture);
        }
      else
        {
          g_assert_cmpuint (hand_drop_reason (hand), ==, SHMKV_WIRE_DROP_BAD_PIECE);
          n_dropped++;
          shmkv_segment_unlock_lane (hand->segment, hand->index);
          rig_reap (fixture->rig);
          g_assert_true (shmkv_segment_lock_lane (hand->segment, hand->index));
        }
      reply_clear (&reply);
      g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
      hand_claim (hand);
      serve (fixture);
    }
  reply_clear (&reply);
  g_assert_cmpuint (util_log_caught ("dropped"), >, 0);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_SESSIONS_DROPPED), ==, n_dropped);
  g_assert_cmpuint (n_dropped, >, 0);
  g_assert_cmpuint (n_answered, >, 0);
}

typedef struct
{
  Hand *hand;
  _Atomic gboolean ends;
} Scribbler;

static gpointer
scribble (gpointer data)
{
  Scribbler *scribbler = data;
  guint64 *ring = shmkv_segment_requests_ring (scribbler->hand->segment, scribbler->hand->index);

  /* Not the first word of a record: then the lane would be dropped at once. */
  while (!atomic_load (&scribbler->ends))
    for (guint i = 0; i < RING_SIZE / 8; i++)
      if (i % 16 != 0 && g_random_int_range (0, 4) == 0)
        shmkv_store_word (ring + i, (guint64) g_random_int_range (0, 64));
  return NULL;
}

static void
test_changing (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;
  Scribbler scribbler = { .hand = hand };
  GThread *thread = g_thread_new ("scribbler", scribble, &scribbler);
  guint64 words[14] = { 0 };
  Reply reply = { 0 };

  for (guint round = 0; round < UTIL_N (20000); round++)
    {
      guint64 header = random_header () & ~SHMKV_WIRE_MORE;

      while (hand_try_piece (hand, header, 1, words, sizeof words))
        ;
      hand_publish (hand);
      check_other (fixture);
      g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_ACTIVE);
      while (hand_take_reply (hand, &reply))
        reply_clear (&reply);
      hand_give_back (hand);
    }
  reply_clear (&reply);
  atomic_store (&scribbler.ends, TRUE);
  g_thread_join (thread);
}

/* ------------------------------------------------------------------ in steps */

/* More keys than a step counts or clears, in each bucket. */
#define N_STEP_KEYS 14000

static void
fill (Fixture *fixture)
{
  for (guint i = 0; i < N_STEP_KEYS; i++)
    {
      ShmkvTablePlace place = shmkv_table_locate (fixture->rig->table, i);

      shmkv_table_insert (fixture->rig->table, &place, i);
    }
}

/* Submits one that takes several steps, has it begun, and a ping behind it. */
static guint64
begin_steps (Fixture *fixture, HandRequest request)
{
  guint64 id;

  fill (fixture);
  id = hand_request (&fixture->hand, &request);
  hand_request (&fixture->hand, &(HandRequest) { OP (PING) });
  hand_publish (&fixture->hand);
  g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 1);
  return id;
}

/* Other lanes are served between the steps, and the session's next request waits
 * for the last. */
static void
test_steps (Fixture *fixture, gconstpointer data)
{
  const guint ops[] = { SHMKV_WIRE_OP_COUNT, SHMKV_WIRE_OP_CLEAR };

  for (guint i = 0; i < G_N_ELEMENTS (ops); i++)
    {
      guint64 id = begin_steps (fixture, (HandRequest) { .op = ops[i] });

      for (guint step = 1; step < 7; step++)
        {
          guint64 ping = hand_request (&fixture->other, &(HandRequest) { OP (PING) });

          hand_expect_none (&fixture->hand);
          hand_publish (&fixture->other);
          g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 2);
          hand_expect (&fixture->other, ping, SHMKV_WIRE_STATUS_OK);
          hand_give_back (&fixture->other);
        }
      hand_expect_value (&fixture->hand, id, N_STEP_KEYS);
      hand_expect (&fixture->hand, id + 1, SHMKV_WIRE_STATUS_OK);
      hand_give_back (&fixture->hand);
      g_assert_cmpuint (rig_serve (fixture->rig).waiting, ==, 0);
    }
  g_assert_cmpuint (count_keys (fixture->rig->table), ==, 0);
  g_assert_cmpuint (count (fixture, SHMKV_COUNTER_OTHER_REQUESTS), ==, 2 + 2 + 2 * 6);
}

/* Statistics as well; here is no server that would have the rest of them. */
static void
test_steps_stats (Fixture *fixture, gconstpointer data)
{
  begin_steps (fixture, (HandRequest) { OP (STATS) });
  for (guint step = 1; step < 6; step++)
    {
      guint64 ping = hand_request (&fixture->other, &(HandRequest) { OP (PING) });

      hand_publish (&fixture->other);
      g_assert_cmpuint (rig_serve (fixture->rig).served, ==, 2);
      hand_expect (&fixture->other, ping, SHMKV_WIRE_STATUS_OK);
      hand_give_back (&fixture->other);
      hand_expect_none (&fixture->hand);
    }
  hand_set_claim (&fixture->hand, 0);
  serve (fixture);
  g_assert_cmpuint (hand_phase (&fixture->hand), ==, SHMKV_WIRE_LANE_FREE);
}

/* Also where nobody wants to know. */
static void
test_steps_silent (Fixture *fixture, gconstpointer data)
{
  guint64 id = begin_steps (fixture, (HandRequest) { OP (CLEAR), .flags = FLAG (NO_RESPONSE) });

  serve (fixture);
  hand_expect (&fixture->hand, id + 1, SHMKV_WIRE_STATUS_OK);
  hand_expect_none (&fixture->hand);
  g_assert_cmpuint (count_keys (fixture->rig->table), ==, 0);
}

/* What was begun to be cleared is cleared, however the session ends; nobody is
 * told.  The lane's next owner has nothing to do with it. */
static void
test_steps_left (Fixture *fixture, gconstpointer data)
{
  Hand *hand = &fixture->hand;

  for (guint i = 0; i < 4; i++)
    {
      gboolean clears = i % 2 == 0;

      begin_steps (fixture,
                   (HandRequest) { .op = clears ? SHMKV_WIRE_OP_CLEAR : SHMKV_WIRE_OP_COUNT });
      if (i < 2)
        hand_set_claim (hand, 0);
      else
        {
          shmkv_segment_unlock_lane (hand->segment, hand->index);
          rig_reap (fixture->rig);
          g_assert_true (shmkv_segment_lock_lane (hand->segment, hand->index));
        }
      serve (fixture);
      g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
      g_assert_cmpuint (count_keys (fixture->rig->table), ==, clears ? 0 : N_STEP_KEYS);
      hand_claim (hand);
      serve (fixture);
      hand_expect_none (hand);
      ASK (OK, OP (PING));
    }
}

/* The server ends in between. */
static void
test_steps_end (Fixture *fixture, gconstpointer data)
{
  begin_steps (fixture, (HandRequest) { OP (CLEAR) });
}

/* -------------------------------------------------------------------- threads */

typedef struct
{
  Rig *rig;
  _Atomic gboolean ends;
} Crew;

static gpointer
help_serving (gpointer data)
{
  Crew *crew = data;
  ShmkvCounters *counters = shmkv_counters_new ();
  ShmkvExecutor executor;
  guint position = 0;

  g_assert_true (shmkv_executor_init (&executor, NULL, crew->rig->table, counters));
  while (!atomic_load (&crew->ends))
    if (shmkv_lanes_serve (crew->rig->lanes, &executor, &position).served == 0)
      g_thread_yield ();
  shmkv_executor_clear (&executor);
  shmkv_counters_free (counters);
  return NULL;
}

typedef struct
{
  const char *name;
  guint lane;
  guint n;
  _Atomic guint *n_done;            /* of the one that waits */
} Player;

static void
await_reply (Hand *hand, guint64 id, guint status, Reply *reply)
{
  reply_clear (reply);
  UTIL_AWAIT (hand_take_reply (hand, reply));
  hand_give_back (hand);
  g_assert_cmpuint (reply->id, ==, id);
  g_assert_cmpuint (reply->status, ==, status);
}

static void
open_in_thread (Hand *hand, const Player *player)
{
  hand_init (hand, player->name, player->lane);
  hand_claim (hand);
  UTIL_AWAIT (hand_phase (hand) == SHMKV_WIRE_LANE_ACTIVE);
}

static guint64
request_in_thread (Hand *hand, HandRequest request)
{
  guint64 id;

  UTIL_AWAIT (hand_try_request (hand, &request));
  id = hand->last_id;
  hand_publish (hand);
  return id;
}

/* Changes the key, again whenever the change was seen. */
static gpointer
change (gpointer data)
{
  Player *player = data;
  Reply reply = { 0 };
  Hand hand;

  open_in_thread (&hand, player);
  for (guint i = 0; i < player->n; i++)
    {
      guint64 id = request_in_thread (
        &hand, (HandRequest) { OP (ADD), KEY (TEXT ("ball")), VALUE (NUMBER (1)) });

      await_reply (&hand, id, SHMKV_WIRE_STATUS_OK, &reply);
      UTIL_AWAIT (atomic_load (player->n_done) > i);
    }
  reply_clear (&reply);
  hand_clear (&hand);
  return NULL;
}

static gpointer
wait_for_changes (gpointer data)
{
  Player *player = data;
  Reply reply = { 0 };
  guint64 version = 0;
  Hand hand;

  open_in_thread (&hand, player);
  for (guint i = 0; i < player->n; i++)
    {
      guint64 id = request_in_thread (&hand, WAIT (TEXT ("ball"), version));

      await_reply (&hand, id, SHMKV_WIRE_STATUS_OK, &reply);
      assert_integer (&reply, i + 1);
      version = reply.number;
      atomic_store (player->n_done, i + 1);
    }
  reply_clear (&reply);
  hand_clear (&hand);
  return NULL;
}

static gpointer
watch_changes (gpointer data)
{
  Player *player = data;
  Reply reply = { 0 };
  guint64 position;
  guint n = 0;
  Hand hand;

  open_in_thread (&hand, player);
  await_reply (&hand, request_in_thread (&hand, watch ("b", 0)), SHMKV_WIRE_STATUS_OK, &reply);
  position = reply.number;
  atomic_store (player->n_done, 0);
  while (n < player->n)
    {
      await_reply (&hand, request_in_thread (&hand, watch ("b", position)), SHMKV_WIRE_STATUS_OK,
                   &reply);
      g_assert_cmpuint (reply.number, >, position);
      position = reply.number;
      n += count_pairs (&reply);
      atomic_store (player->n_done, n);
    }
  g_assert_cmpuint (n, ==, player->n);
  reply_clear (&reply);
  hand_clear (&hand);
  return NULL;
}

/* Round after round: no change is missed by who waits for it. */
static void
play (GThreadFunc waits)
{
  Crew crew = { .rig = rig_new (2, RING_SIZE) };
  _Atomic guint n_done = G_MAXUINT;
  Player players[2];
  GThread *workers[2], *threads[2];

  for (guint i = 0; i < G_N_ELEMENTS (workers); i++)
    workers[i] = g_thread_new ("helper", help_serving, &crew);
  for (guint i = 0; i < G_N_ELEMENTS (players); i++)
    players[i] = (Player) { crew.rig->name, i, UTIL_N (20000), &n_done };
  if (waits == wait_for_changes)
    atomic_store (&n_done, 0);
  threads[0] = g_thread_new ("waits", waits, &players[0]);
  UTIL_AWAIT (atomic_load (&n_done) == 0);
  threads[1] = g_thread_new ("changes", change, &players[1]);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  atomic_store (&crew.ends, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (workers); i++)
    g_thread_join (workers[i]);
  rig_free (crew.rig);
}

static void
test_wait_threads (void)
{
  play (wait_for_changes);
}

static void
test_watch_threads (void)
{
  play (watch_changes);
}

int
main (int argc, char **argv)
{
#define ADD(name, function)                                                                        \
  g_test_add ("/operate/" name, Fixture, NULL, set_up, function, tear_down)

  util_init (&argc, &argv);
  ADD ("key/kinds", test_kinds);
  ADD ("key/conditions", test_conditions);
  ADD ("key/old", test_old);
  ADD ("key/add", test_add);
  ADD ("key/ttl", test_ttl);
  ADD ("scan", test_scan);
  ADD ("pieces/sizes", test_pieces);
  g_test_add_func ("/operate/pieces/large-ring", test_large_ring);
  ADD ("pieces/too-large", test_too_large);
  for (guint i = 0; i < G_N_ELEMENTS (bad_pieces); i++)
    {
      g_autofree char *path = g_strconcat ("/operate/pieces/bad/", bad_pieces[i].name, NULL);

      g_test_add (path, Fixture, &bad_pieces[i], set_up, test_bad_piece, tear_down);
    }
  ADD ("pieces/left", test_pieces_left);
  ADD ("model", test_model);
  ADD ("wait/wait", test_wait);
  ADD ("wait/neighbours", test_wait_neighbours);
  ADD ("wait/ended", test_wait_ended);
  ADD ("wait/left", test_wait_left);
  ADD ("wait/stalled", test_wait_stalled);
  ADD ("watch/watch", test_watch);
  ADD ("watch/parked", test_watch_parked);
  ADD ("watch/ended", test_watch_ended);
  ADD ("watch/many", test_watch_many);
  ADD ("watch/missed", test_watch_missed);
  ADD ("owned/owned", test_owned);
  ADD ("owned/many", test_owned_many);
  ADD ("owned/portions", test_owned_portions);
  ADD ("owned/dropped", test_owned_dropped);
  ADD ("owned/rest", test_owned_rest);
  ADD ("owned/end", test_owned_end);
  ADD ("owned/wait", test_owned_wait);
  ADD ("steps/steps", test_steps);
  ADD ("steps/stats", test_steps_stats);
  ADD ("steps/silent", test_steps_silent);
  ADD ("steps/left", test_steps_left);
  ADD ("steps/end", test_steps_end);
  ADD ("hostile/random", test_hostile);
  ADD ("hostile/changing", test_changing);
  g_test_add_func ("/operate/threads/wait", test_wait_threads);
  g_test_add_func ("/operate/threads/watch", test_watch_threads);
  return util_run ();
}
