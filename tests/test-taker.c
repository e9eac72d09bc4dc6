/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Responses in, completions out; most of all when the server lies.  The ring
 * of responses lies in private memory, and the test writes it. */

#include "config.h"

#include "shmkv/pairs-private.h"
#include "shmkv/taker.h"
#include "util.h"
#include "wire/layout.h"

#include <string.h>

#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE
#define MAX_PIECE (RING_SIZE / 4 - SHMKV_WIRE_HEADER_SIZE)
#define MAX_VALUE 100000

typedef struct
{
  guint64 *words;
  _Atomic guint32 head_word;
  _Atomic guint32 tail_word;
  ShmkvProducer server;
  ShmkvPending pending;
  ShmkvTaker taker;
} Fake;

static void
fake_init_at (Fake *fake, guint32 position)
{
  fake->words = g_malloc0 (RING_SIZE);
  shmkv_pending_init (&fake->pending);
  shmkv_taker_init (&fake->taker, &fake->pending, MAX_VALUE);
  shmkv_producer_init (&fake->server, fake->words, RING_SIZE, &fake->tail_word, &fake->head_word,
                       position);
  shmkv_consumer_init (&fake->taker.ring, fake->words, RING_SIZE, &fake->head_word,
                       &fake->tail_word, position);
}

static void
fake_init (Fake *fake)
{
  fake_init_at (fake, (guint32) g_test_rand_int () & ~7u);
}

static void
fake_clear (Fake *fake)
{
  shmkv_taker_clear (&fake->taker);
  shmkv_pending_clear (&fake->pending);
  g_free (fake->words);
}

static void
ask_with (Fake *fake, guint op, guint flags, guint64 id)
{
  shmkv_pending_push (&fake->pending, op, flags, id, GSIZE_TO_POINTER (id + 1000));
}

static void
ask (Fake *fake, guint op, guint64 id)
{
  ask_with (fake, op, 0, id);
}

/* Writes a record with whatever the test wants it to say. */
static void
answer_words (Fake *fake, guint64 header, guint64 id, const guint64 *rest, guint n_rest)
{
  guint32 length = (2 + n_rest) * 8;
  guint64 *record = shmkv_producer_reserve (&fake->server, length);

  if (record == NULL)
    {
      shmkv_consumer_publish (&fake->taker.ring);
      g_assert_true (shmkv_producer_refresh (&fake->server));
      record = shmkv_producer_reserve (&fake->server, length);
    }
  g_assert_nonnull (record);
  record[0] = header;
  record[1] = id;
  for (guint i = 0; i < n_rest; i++)
    record[2 + i] = rest[i];
  shmkv_producer_commit (&fake->server, length);
  shmkv_producer_publish (&fake->server);
}

static guint64
header_of (guint n_words, guint op, guint value_kind, guint status)
{
  return shmkv_header_pack (n_words * 8, op, SHMKV_WIRE_KIND_NONE, value_kind, status);
}

static void
answer (Fake *fake, guint op, guint64 id, guint status)
{
  answer_words (fake, header_of (2, op, SHMKV_WIRE_KIND_NONE, status), id, NULL, 0);
}

static void
answer_value (Fake *fake, guint op, guint64 id, guint64 value)
{
  answer_words (fake, header_of (3, op, SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_STATUS_OK), id, &value,
                1);
}

/* A piece of a payload, of whole words. */
static void
answer_piece (Fake *fake, guint op, guint64 id, const guint64 *words, guint n_words, gboolean more)
{
  answer_words (fake,
                header_of (2 + n_words, op, SHMKV_WIRE_KIND_BYTES, SHMKV_WIRE_STATUS_OK)
                  | (more ? SHMKV_WIRE_MORE : 0),
                id, words, n_words);
}

/* Pairs of integers. */
static guint64 *
make_pairs (guint n_pairs)
{
  guint64 *body = g_new (guint64, n_pairs * 3 + 1), *cursor = body;

  for (guint i = 0; i < n_pairs; i++)
    {
      ShmkvPair pair = { .key = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = i },
                         .value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = i * 7 } };

      cursor = shmkv_pair_encode (cursor, &pair);
    }
  return body;
}

/* A payload of 1 + 3 * `n_pairs` words: their length, and pairs of integers. */
static guint64 *
make_body (guint n_pairs)
{
  guint64 *body = g_new (guint64, n_pairs * 3 + 1);
  g_autofree guint64 *pairs = make_pairs (n_pairs);

  body[0] = n_pairs * 24;
  memcpy (body + 1, pairs, n_pairs * 24);
  return body;
}

static void
check_pairs (const ShmkvPairs *pairs, guint n_pairs)
{
  g_assert_nonnull (pairs);
  g_assert_cmpuint (shmkv_pairs_get_length (pairs), ==, n_pairs);
  for (guint i = 0; i < n_pairs; i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (pairs, i, &key, &value);
      g_assert_cmpint (key.kind, ==, SHMKV_KIND_INTEGER);
      g_assert_cmpuint (key.integer, ==, i);
      g_assert_cmpint (value.kind, ==, SHMKV_KIND_INTEGER);
      g_assert_cmpuint (value.integer, ==, i * 7);
    }
}

static ShmkvTake
next (Fake *fake, ShmkvCompletion *completion)
{
  memset (completion, 0xaa, sizeof *completion);
  return shmkv_taker_next (&fake->taker, completion);
}

static void
assert_next (Fake *fake, guint64 id, ShmkvOp op, ShmkvStatus status, guint64 value)
{
  ShmkvCompletion completion;

  g_assert_cmpint (next (fake, &completion), ==, SHMKV_TAKE_ONE);
  g_assert_cmpuint (completion.id, ==, id);
  g_assert_cmpint (completion.op, ==, op);
  g_assert_cmpint (completion.status, ==, status);
  g_assert_cmpuint (completion.value, ==, value);
  g_assert_true (completion.user_data == GSIZE_TO_POINTER (id + 1000));
  g_assert_null (completion.pairs);
}

static void
assert_take (Fake *fake, ShmkvTake take)
{
  ShmkvCompletion completion;

  g_assert_cmpint (next (fake, &completion), ==, take);
}

/* ---------------------------------------------------------- a right server */

static void
test_single (void)
{
  Fake fake;

  fake_init (&fake);
  assert_take (&fake, SHMKV_TAKE_NONE);
  ask (&fake, SHMKV_OP_INSERT, 1);
  ask (&fake, SHMKV_OP_READ, 2);
  ask (&fake, SHMKV_OP_READ, 3);
  ask (&fake, SHMKV_OP_DELETE, 7);
  ask (&fake, SHMKV_OP_PRINT, 8);
  assert_take (&fake, SHMKV_TAKE_NONE);
  answer (&fake, SHMKV_OP_INSERT, 1, SHMKV_STATUS_REPLACED);
  answer_value (&fake, SHMKV_OP_READ, 2, G_MAXUINT64);
  answer (&fake, SHMKV_OP_READ, 3, SHMKV_STATUS_NO_KEY);
  assert_next (&fake, 1, SHMKV_OP_INSERT, SHMKV_STATUS_REPLACED, 0);
  assert_next (&fake, 2, SHMKV_OP_READ, SHMKV_STATUS_OK, G_MAXUINT64);
  assert_next (&fake, 3, SHMKV_OP_READ, SHMKV_STATUS_NO_KEY, 0);
  assert_take (&fake, SHMKV_TAKE_NONE);
  answer (&fake, SHMKV_OP_DELETE, 7, SHMKV_STATUS_OK);
  answer (&fake, SHMKV_OP_PRINT, 8, SHMKV_STATUS_OUT_OF_RANGE);
  assert_next (&fake, 7, SHMKV_OP_DELETE, SHMKV_STATUS_OK, 0);
  assert_next (&fake, 8, SHMKV_OP_PRINT, SHMKV_STATUS_OUT_OF_RANGE, 0);
  fake_clear (&fake);
}

static void
test_many (void)
{
  Fake fake;

  fake_init (&fake);
  for (guint64 id = 1; id <= UTIL_N (100000); id++)
    {
      ask (&fake, SHMKV_OP_READ, id);
      answer_value (&fake, SHMKV_OP_READ, id, id * 5);
      assert_next (&fake, id, SHMKV_OP_READ, SHMKV_STATUS_OK, id * 5);
    }
  fake_clear (&fake);
}

/* Answers with a payload in pieces of any size, all of which are skipped but the
 * last. */
static void
answer_in_pieces (Fake *fake, guint op, guint64 id, const guint64 *payload, guint n_words)
{
  guint sent = 0;

  while (sent < n_words)
    {
      guint most = MIN (MAX_PIECE / 8, n_words - sent);
      guint piece = util_random_range (1, most + 1);
      gboolean more = piece < n_words - sent;

      answer_piece (fake, op, id, payload + sent, piece, more);
      sent += piece;
      if (more)
        assert_take (fake, SHMKV_TAKE_SKIPPED);
      g_assert_cmpint (shmkv_taker_in_pieces (&fake->taker), ==, more || sent > piece);
    }
}

static void
check_pieces (Fake *fake, guint64 id, const guint64 *body, guint n_pairs)
{
  static const ShmkvOp ops[] = { SHMKV_OP_PRINT, SHMKV_OP_STATS, SHMKV_OP_SESSIONS, SHMKV_OP_SCAN,
                                 SHMKV_OP_WATCH };
  ShmkvOp op = ops[id % G_N_ELEMENTS (ops)];
  ShmkvCompletion completion;

  ask (fake, op, id);
  answer_in_pieces (fake, op, id, body, 1 + n_pairs * 3);
  g_assert_cmpint (next (fake, &completion), ==, SHMKV_TAKE_ONE);
  g_assert_cmpuint (completion.id, ==, id);
  g_assert_cmpint (completion.op, ==, op);
  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
  g_assert_cmpint (completion.value_kind, ==, SHMKV_KIND_NONE);
  g_assert_cmpuint (completion.version, ==, 0);
  g_assert_null (completion.bytes);
  check_pairs (completion.pairs, n_pairs);
  shmkv_completion_clear (&completion);
  g_assert_null (completion.pairs);
}

/* Cut anywhere, also in the middle of a pair. */
static void
test_pieces (void)
{
  guint64 id = 0;
  Fake fake;

  fake_init (&fake);
  for (guint round = 0; round < UTIL_N (2000); round++)
    {
      guint n_pairs = round < 10 ? round : util_random_range (0, 500);
      g_autofree guint64 *body = make_body (n_pairs);

      check_pieces (&fake, ++id, body, n_pairs);
      ask (&fake, SHMKV_OP_READ, ++id);
      answer_value (&fake, SHMKV_OP_READ, id, id);
      assert_next (&fake, id, SHMKV_OP_READ, SHMKV_STATUS_OK, id);
    }
  fake_clear (&fake);
}

static void
check_bytes (ShmkvCompletion *completion, guint64 id, ShmkvOp op, const guint8 *bytes, gsize length)
{
  gsize taken_length;
  gconstpointer taken;

  g_assert_cmpuint (completion->id, ==, id);
  g_assert_cmpint (completion->op, ==, op);
  g_assert_cmpint (completion->value_kind, ==, SHMKV_KIND_BYTES);
  g_assert_cmpuint (completion->value, ==, 0);
  g_assert_null (completion->pairs);
  taken = g_bytes_get_data (completion->bytes, &taken_length);
  g_assert_cmpmem (taken, taken_length, bytes, length);
  shmkv_completion_clear (completion);
  g_assert_null (completion->bytes);
}

/* Values of every length, cut anywhere, with a number and without. */
static void
test_values (void)
{
  static const struct
  {
    ShmkvOp op;
    guint flags;
    gboolean may_have_number;
  } cases[] = {
    { SHMKV_OP_READ, 0, FALSE },
    { SHMKV_OP_READ, SHMKV_FLAG_VERSION, TRUE },
    { SHMKV_OP_INSERT, SHMKV_FLAG_OLD, FALSE },
    { SHMKV_OP_INSERT, SHMKV_FLAG_OLD | SHMKV_FLAG_VERSION | SHMKV_FLAG_TTL, TRUE },
    { SHMKV_OP_DELETE, SHMKV_FLAG_OLD | SHMKV_FLAG_IF_VERSION, FALSE },
    { SHMKV_OP_WAIT, 0, TRUE },
  };
  Fake fake;

  fake_init (&fake);
  for (guint64 id = 1; id <= UTIL_N (4000); id++)
    {
      guint i = util_random_range (0, G_N_ELEMENTS (cases));
      gboolean number = cases[i].may_have_number && g_test_rand_bit ();
      gsize length = id < 100 ? id - 1 : util_random_range (0, id % 10 == 0 ? MAX_VALUE + 1 : 3000);
      guint n_words = (guint) ((length + 7) / 8) + 1 + (number ? 1 : 0), sent = 0;
      g_autofree guint64 *payload = g_new0 (guint64, n_words);
      guint8 *bytes = (guint8 *) (payload + n_words - (length + 7) / 8);
      ShmkvCompletion completion;

      payload[0] = id * 3;
      payload[number ? 1 : 0] = length;
      for (gsize k = 0; k < length; k++)
        bytes[k] = (guint8) (k * 11 + id);
      ask_with (&fake, cases[i].op, cases[i].flags, id);
      while (sent < n_words)
        {
          guint least = sent == 0 ? (number ? 2 : 1) : 1;
          guint most = MIN (MAX_PIECE / 8, n_words - sent);
          guint piece = g_test_rand_bit () ? most : util_random_range (least, most + 1);
          guint64 header
            = shmkv_header_pack (16 + piece * 8, cases[i].op,
                                 number ? SHMKV_WIRE_KIND_INTEGER : SHMKV_WIRE_KIND_NONE,
                                 SHMKV_WIRE_KIND_BYTES, 1)
              | (piece < n_words - sent ? SHMKV_WIRE_MORE : 0);

          answer_words (&fake, header, id, payload + sent, piece);
          sent += piece;
          if (sent < n_words)
            assert_take (&fake, SHMKV_TAKE_SKIPPED);
        }
      g_assert_cmpint (next (&fake, &completion), ==, SHMKV_TAKE_ONE);
      g_assert_cmpuint (completion.version, ==, number ? id * 3 : 0);
      g_assert_cmpint (completion.status, ==, SHMKV_STATUS_ADDED);
      check_bytes (&completion, id, cases[i].op, bytes, length);
    }
  fake_clear (&fake);
}

/* A number and no value, or an integer; with pairs. */
static void
test_numbers (void)
{
  g_autofree guint64 *body = make_body (2);
  guint64 words[8] = { 99, 5 };
  ShmkvCompletion completion;
  Fake fake;

  fake_init (&fake);
  ask_with (&fake, SHMKV_OP_INSERT, SHMKV_FLAG_VERSION, 1);
  ask_with (&fake, SHMKV_OP_ADD, SHMKV_FLAG_VERSION, 2);
  ask (&fake, SHMKV_OP_WATCH, 3);
  ask (&fake, SHMKV_OP_SCAN, 4);
  answer_words (&fake,
                shmkv_header_pack (24, SHMKV_OP_INSERT, SHMKV_WIRE_KIND_INTEGER, 0,
                                   SHMKV_STATUS_ADDED),
                1, words, 1);
  answer_words (&fake,
                shmkv_header_pack (32, SHMKV_OP_ADD, SHMKV_WIRE_KIND_INTEGER,
                                   SHMKV_WIRE_KIND_INTEGER, 0),
                2, words, 2);
  answer_words (&fake,
                shmkv_header_pack (24, SHMKV_OP_WATCH, SHMKV_WIRE_KIND_INTEGER, 0,
                                   SHMKV_STATUS_MISSED),
                3, words, 1);
  memcpy (words + 1, body, 7 * 8);
  answer_words (&fake,
                shmkv_header_pack (80, SHMKV_OP_SCAN, SHMKV_WIRE_KIND_INTEGER,
                                   SHMKV_WIRE_KIND_BYTES, 0),
                4, words, 8);
  for (guint id = 1; id <= 4; id++)
    {
      g_assert_cmpint (next (&fake, &completion), ==, SHMKV_TAKE_ONE);
      g_assert_cmpuint (completion.id, ==, id);
      g_assert_cmpuint (completion.version, ==, 99);
      g_assert_cmpuint (completion.value, ==, id == 2 ? 5 : 0);
      g_assert_cmpint (completion.value_kind, ==, id == 2 ? SHMKV_KIND_INTEGER : SHMKV_KIND_NONE);
      g_assert_null (completion.bytes);
      if (id == 4)
        check_pairs (completion.pairs, 2);
      else
        g_assert_null (completion.pairs);
      shmkv_completion_clear (&completion);
    }
  fake_clear (&fake);
}

/* Pairs of every kind, as whoever prints them sees them. */
static void
test_pairs (void)
{
  static const char name[] = "a name of odd length";
  ShmkvField fields[] = {
    { .kind = SHMKV_WIRE_KIND_BYTES, .integer = strlen (name), .bytes = name },
    { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = G_MAXUINT64 },
    { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 0, .bytes = name },
    { .kind = SHMKV_WIRE_KIND_NONE },
  };
  ShmkvPair both[] = { { .key = fields[0], .value = fields[1], .ttl_ms = 12345 },
                       { .key = fields[2], .value = fields[3] } };
  gsize size = shmkv_pair_size (&both[0]) + shmkv_pair_size (&both[1]);
  guint64 *body = g_malloc (size);
  ShmkvDatum key, value;
  ShmkvPairs *pairs;

  shmkv_pair_encode (shmkv_pair_encode (body, &both[0]), &both[1]);
  pairs = shmkv_pairs_new_take (body, size, NULL);
  g_assert_nonnull (pairs);
  g_assert_cmpuint (shmkv_pairs_get_length (pairs), ==, 2);
  g_assert_true (shmkv_pairs_ref (pairs) == pairs);
  shmkv_pairs_unref (pairs);

  shmkv_pairs_get (pairs, 0, &key, &value);
  g_assert_cmpint (key.kind, ==, SHMKV_KIND_BYTES);
  g_assert_cmpmem (key.bytes, key.length, name, strlen (name));
  g_assert_cmpint (value.kind, ==, SHMKV_KIND_INTEGER);
  g_assert_cmpuint (value.integer, ==, G_MAXUINT64);
  shmkv_pairs_get (pairs, 1, &key, NULL);
  g_assert_cmpint (key.kind, ==, SHMKV_KIND_BYTES);
  g_assert_cmpuint (key.length, ==, 0);
  shmkv_pairs_get (pairs, 1, NULL, &value);
  g_assert_cmpint (value.kind, ==, SHMKV_KIND_NONE);
  shmkv_pairs_get (pairs, 0, NULL, NULL);
  g_assert_cmpuint (shmkv_pairs_get_ttl (pairs, 0), ==, 12345);
  g_assert_cmpuint (shmkv_pairs_get_ttl (pairs, 1), ==, 0);
  shmkv_pairs_unref (pairs);
}

static void
test_abandoned (void)
{
  g_autofree guint64 *body = make_body (3);
  Fake fake;

  fake_init (&fake);
  for (guint64 id = 1; id <= 5; id++)
    ask (&fake, id == 4 ? SHMKV_OP_STATS : SHMKV_OP_READ, id);
  shmkv_taker_abandon (&fake.taker, 2, 1);
  shmkv_taker_abandon (&fake.taker, 4, 1);
  answer_value (&fake, SHMKV_OP_READ, 1, 10);
  answer_value (&fake, SHMKV_OP_READ, 2, 20);
  answer_value (&fake, SHMKV_OP_READ, 3, 30);
  answer_piece (&fake, SHMKV_OP_STATS, 4, body, 4, TRUE);
  answer_piece (&fake, SHMKV_OP_STATS, 4, body + 4, 6, FALSE);
  answer_value (&fake, SHMKV_OP_READ, 5, 50);
  assert_next (&fake, 1, SHMKV_OP_READ, SHMKV_STATUS_OK, 10);
  assert_take (&fake, SHMKV_TAKE_SKIPPED);
  assert_next (&fake, 3, SHMKV_OP_READ, SHMKV_STATUS_OK, 30);
  assert_take (&fake, SHMKV_TAKE_SKIPPED);
  assert_take (&fake, SHMKV_TAKE_SKIPPED);
  assert_next (&fake, 5, SHMKV_OP_READ, SHMKV_STATUS_OK, 50);
  assert_take (&fake, SHMKV_TAKE_NONE);
  fake_clear (&fake);
}

/* Ranges of any number, of which the beginning may have been answered. */
static void
test_abandoned_ranges (void)
{
  guint64 first = 1;
  Fake fake;

  fake_init (&fake);
  for (guint round = 0; round < UTIL_N (1000); round++)
    {
      guint64 n = util_random_range (0, 40), answered = util_random_range (0, (guint) n + 1);

      for (guint64 i = 0; i < n; i++)
        ask_with (&fake, SHMKV_OP_INSERT, SHMKV_FLAG_OLD, first + i);
      for (guint64 i = 0; i < n; i++)
        {
          guint64 words[2] = { 8, i };

          if (i == answered)
            shmkv_taker_abandon (&fake.taker, first + i, n - i);
          answer_words (&fake, header_of (4, SHMKV_OP_INSERT, SHMKV_WIRE_KIND_BYTES, 2), first + i,
                        words, 2);
          if (i < answered)
            {
              ShmkvCompletion completion;

              g_assert_cmpint (next (&fake, &completion), ==, SHMKV_TAKE_ONE);
              check_bytes (&completion, first + i, SHMKV_OP_INSERT, (const guint8 *) &words[1], 8);
            }
          else
            assert_take (&fake, SHMKV_TAKE_SKIPPED);
        }
      shmkv_taker_abandon (&fake.taker, first + n, 0);
      first += n;
    }
  g_assert_cmpuint (fake.taker.abandoned->len, ==, 0);
  fake_clear (&fake);
}

/* ------------------------------------------------------------- the backlog */

static void
keep (Fake *fake, guint64 id)
{
  ShmkvCompletion completion = { .id = id, .value = id * 3 };

  shmkv_taker_keep (&fake->taker, &completion);
}

static gboolean
has_kept (const ShmkvTaker *taker)
{
  return taker->backlog->len > taker->backlog_taken;
}

static void
assert_kept (Fake *fake, guint64 first, gsize n, gsize expected)
{
  ShmkvCompletion completions[16];

  g_assert_cmpuint (shmkv_taker_take_kept (&fake->taker, completions, n), ==, expected);
  for (gsize i = 0; i < expected; i++)
    {
      g_assert_cmpuint (completions[i].id, ==, first + i);
      g_assert_cmpuint (completions[i].value, ==, (first + i) * 3);
    }
}

static void
test_backlog (void)
{
  Fake fake;

  fake_init (&fake);
  g_assert_false (has_kept (&fake.taker));
  assert_kept (&fake, 0, 16, 0);
  for (guint64 id = 1; id <= 10; id++)
    keep (&fake, id);
  g_assert_true (has_kept (&fake.taker));
  assert_kept (&fake, 1, 3, 3);
  keep (&fake, 11);
  assert_kept (&fake, 4, 1, 1);
  assert_kept (&fake, 5, 16, 7);
  g_assert_false (has_kept (&fake.taker));
  assert_kept (&fake, 0, 16, 0);
  keep (&fake, 12);
  assert_kept (&fake, 12, 1, 1);
  g_assert_false (has_kept (&fake.taker));
  fake_clear (&fake);
}

/* Some callers want the last, not the first. */
static void
test_backlog_from (void)
{
  for (guint64 n_before = 0; n_before < 8; n_before++)
    for (guint64 n_taken = 0; n_taken <= n_before; n_taken++)
      for (guint64 n_after = 0; n_after < 5; n_after++)
        {
          ShmkvCompletion completions[8];
          Fake fake;

          fake_init (&fake);
          for (guint64 id = 1; id <= n_before + n_after; id++)
            keep (&fake, id);
          assert_kept (&fake, 1, n_taken, n_taken);
          g_assert_cmpuint (shmkv_taker_take_kept_from (&fake.taker, n_before + 1, completions, 8),
                            ==, n_after);
          for (guint64 i = 0; i < n_after; i++)
            g_assert_cmpuint (completions[i].id, ==, n_before + 1 + i);
          keep (&fake, 100);
          assert_kept (&fake, n_taken + 1, n_before - n_taken, n_before - n_taken);
          assert_kept (&fake, 100, 8, 1);
          g_assert_false (has_kept (&fake.taker));
          fake_clear (&fake);
        }
}

/* What was kept with its pairs, and never taken, is freed. */
static void
test_backlog_clear (void)
{
  Fake fake;

  fake_init (&fake);
  for (guint64 id = 1; id <= 4; id++)
    {
      ShmkvCompletion completion = { .id = id };

      completion.pairs = shmkv_pairs_new_take (make_pairs (5), 5 * 24, NULL);
      completion.bytes = g_bytes_new ("abc", 3);
      shmkv_taker_keep (&fake.taker, &completion);
    }
  for (guint i = 0; i < 2; i++)
    {
      ShmkvCompletion completion;

      g_assert_cmpuint (shmkv_taker_take_kept (&fake.taker, &completion, 1), ==, 1);
      check_pairs (completion.pairs, 5);
      shmkv_completion_clear (&completion);
    }
  fake_clear (&fake);
}

/* It takes as much memory as is kept, not as has ever been. */
static void
test_backlog_bounded (void)
{
  guint64 first = 1, last = 0;
  Fake fake;

  fake_init (&fake);
  while (last < 100)
    keep (&fake, ++last);
  for (guint i = 0; i < 200000; i++)
    {
      assert_kept (&fake, first++, 1, 1);
      keep (&fake, ++last);
    }
  g_assert_cmpuint (fake.taker.backlog->len, <, 10000);
  fake_clear (&fake);
}

/* -------------------------------------------------------- a hostile server */

typedef void (*Lie) (Fake *fake);

static void
lie_unknown_id (Fake *fake)
{
  answer (fake, SHMKV_OP_READ, 99, 0);
}

static void
lie_id_zero (Fake *fake)
{
  answer (fake, SHMKV_OP_READ, 0, 0);
}

static void
lie_wrong_op (Fake *fake)
{
  answer (fake, SHMKV_OP_DELETE, 1, 0);
}

static void
lie_out_of_order (Fake *fake)
{
  answer (fake, SHMKV_OP_PRINT, 2, 0);
  answer (fake, SHMKV_OP_READ, 1, 0);
}

static void
lie_twice (Fake *fake)
{
  answer (fake, SHMKV_OP_READ, 1, 0);
  answer (fake, SHMKV_OP_READ, 1, 0);
}

static void
lie_unasked (Fake *fake)
{
  g_autofree guint64 *body = make_body (1);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 2, body, 4, FALSE);
  answer (fake, SHMKV_OP_READ, 3, 0);
}

static void
lie_more_on_nothing (Fake *fake)
{
  answer_words (fake, header_of (2, SHMKV_OP_READ, SHMKV_WIRE_KIND_NONE, 0) | SHMKV_WIRE_MORE, 1,
                NULL, 0);
}

static void
lie_more_on_integer (Fake *fake)
{
  guint64 value = 5;

  answer_words (fake, header_of (3, SHMKV_OP_READ, SHMKV_WIRE_KIND_INTEGER, 0) | SHMKV_WIRE_MORE, 1,
                &value, 1);
}

static void
lie_integer_missing (Fake *fake)
{
  answer_words (fake, header_of (2, SHMKV_OP_READ, SHMKV_WIRE_KIND_INTEGER, 0), 1, NULL, 0);
}

static void
lie_integer_long (Fake *fake)
{
  guint64 values[] = { 5, 6 };

  answer_words (fake, header_of (4, SHMKV_OP_READ, SHMKV_WIRE_KIND_INTEGER, 0), 1, values, 2);
}

static void
lie_nothing_long (Fake *fake)
{
  guint64 value = 5;

  answer_words (fake, header_of (3, SHMKV_OP_READ, SHMKV_WIRE_KIND_NONE, 0), 1, &value, 1);
}

static void
lie_with_key (Fake *fake)
{
  guint64 value = 5;

  answer_words (fake,
                shmkv_header_pack (24, SHMKV_OP_READ, SHMKV_WIRE_KIND_INTEGER,
                                   SHMKV_WIRE_KIND_INTEGER, 0),
                1, &value, 1);
}

/* The following begin with an honest answer to request 1. */
static void
lie_piece_then_other (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 2, body, 3, TRUE);
  answer_piece (fake, SHMKV_OP_PRINT, 3, body, 3, TRUE);
}

static void
lie_piece_then_small (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 2, body, 3, TRUE);
  answer (fake, SHMKV_OP_PRINT, 2, 0);
}

static void
lie_piece_then_value (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 2, body, 3, TRUE);
  answer_value (fake, SHMKV_OP_READ, 3, 7);
}

static void
lie_piece_wrong_op (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_STATS, 2, body, 7, FALSE);
}

static void
lie_piece_wrong_id (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 77, body, 7, FALSE);
}

static void
lie_piece_id_zero (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 0, body, 7, FALSE);
}

static void
lie_piece_without_field (Fake *fake)
{
  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_words (fake, header_of (2, SHMKV_OP_PRINT, SHMKV_WIRE_KIND_BYTES, 0), 2, NULL, 0);
}

/* Pairs that cannot be: of an unknown kind, and cut off. */
static void
lie_pairs_kind (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  body[4] = 0x13;
  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 2, body, 7, FALSE);
}

static void
lie_pairs_cut (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  body[0] = 40;
  answer_piece (fake, SHMKV_OP_PRINT, 2, body, 2, TRUE);
  answer_piece (fake, SHMKV_OP_PRINT, 2, body + 2, 4, FALSE);
}

static void
lie_tail_odd (Fake *fake)
{
  answer (fake, SHMKV_OP_READ, 1, 0);
  atomic_fetch_add (&fake->tail_word, 4);
}

static void
lie_tail_far (Fake *fake)
{
  answer (fake, SHMKV_OP_READ, 1, 0);
  atomic_fetch_add (&fake->tail_word, 2 * RING_SIZE);
}

static void
lie_record_length (Fake *fake)
{
  answer_words (fake, header_of (1, SHMKV_OP_READ, SHMKV_WIRE_KIND_NONE, 0), 1, NULL, 0);
}

/* A server that answers something else to "read 1, print 2, read 3", asked one
 * after the other, as far as it was answered. */
static void
test_lie (gconstpointer data)
{
  Lie lie = (Lie) data;
  ShmkvCompletion completion;
  ShmkvTake take;
  Fake fake;

  fake_init (&fake);
  ask (&fake, SHMKV_OP_READ, 1);
  if (lie != lie_unasked)
    {
      ask (&fake, SHMKV_OP_PRINT, 2);
      ask (&fake, SHMKV_OP_READ, 3);
    }
  lie (&fake);
  while ((take = next (&fake, &completion)) == SHMKV_TAKE_ONE || take == SHMKV_TAKE_SKIPPED)
    if (take == SHMKV_TAKE_ONE)
      {
        g_assert_cmpuint (completion.id, ==, 1);
        g_assert_cmpint (completion.op, ==, SHMKV_OP_READ);
        g_assert_null (completion.pairs);
      }
  g_assert_cmpint (take, ==, SHMKV_TAKE_BROKEN);
  fake_clear (&fake);
}

/* Answers with bytes that are wrong in one way, and the same that are right; to
 * one who asked for a value of at most MAX_VALUE bytes. */
typedef struct
{
  const char *what;
  guint op, flags;                  /* asked with */
  struct
  {
    guint64 header;                 /* but for the length; 0: there is no such record */
    guint64 id;
    guint n_words;
    guint64 first[3];               /* words; what follows is 0 */
  } records[3];
} ValueLie;

#define PACK(op, key_kind, value_kind, status)                                                     \
  ((guint64) (op) << 32 | (guint64) (key_kind) << 40 | (guint64) (value_kind) << 44                \
   | (guint64) (status) << 48)
#define VALUE(op) PACK (op, 0, 2, 0)
#define NUMBERED(op) PACK (op, 1, 2, 0)
#define MORE SHMKV_WIRE_MORE

static const ValueLie value_lies[] = {
  { "insert without OLD", SHMKV_OP_INSERT, 0, { { VALUE (1), 1, 2, { 8 } } } },
  { "insert with everything but OLD", SHMKV_OP_INSERT, SHMKV_FLAG_VERSION | SHMKV_FLAG_TTL,
    { { VALUE (1), 1, 2, { 8 } } } },
  { "delete without OLD", SHMKV_OP_DELETE, 0, { { VALUE (3), 1, 2, { 8 } } } },
  { "ping", SHMKV_OP_PING, 0, { { VALUE (8), 1, 2, { 8 } } } },
  { "count", SHMKV_OP_COUNT, 0, { { VALUE (15), 1, 2, { 8 } } } },
  { "number for read", SHMKV_OP_READ, 0, { { NUMBERED (2), 1, 3, { 5, 8 } } } },
  { "number for read without value", SHMKV_OP_READ, 0,
    { { PACK (2, 1, 0, 0), 1, 1, { 5 } } } },
  { "number for ping", SHMKV_OP_PING, 0,
    { { PACK (8, 1, 0, 0), 1, 1, { 5 } } } },
  { "number that is bytes", SHMKV_OP_WAIT, 0,
    { { PACK (17, 2, 0, 0), 1, 2, { 8 } } } },
  { "number of a kind that is none", SHMKV_OP_WAIT, 0,
    { { PACK (17, 7, 0, 0), 1, 2, { 8 } } } },
  { "number that is missing", SHMKV_OP_WAIT, 0,
    { { PACK (17, 1, 0, 0), 1, 0, { 0 } } } },
  { "number with something behind", SHMKV_OP_WAIT, 0,
    { { PACK (17, 1, 0, 0), 1, 2, { 1, 1 } } } },
  { "number and integer, of which one is missing", SHMKV_OP_WAIT, 0,
    { { PACK (17, 1, 1, 0), 1, 1, { 1 } } } },
  { "number in pieces", SHMKV_OP_WAIT, 0,
    { { PACK (17, 1, 1, 0) | MORE, 1, 1, { 1 } },
      { PACK (17, 1, 1, 0), 1, 1, { 1 } } } },
  { "length that is missing", SHMKV_OP_READ, 0, { { VALUE (2), 1, 0, { 0 } } } },
  { "length that comes later", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 0, { 0 } }, { VALUE (2), 1, 2, { 8 } } } },
  { "length behind a number that comes later", SHMKV_OP_WAIT, 0,
    { { NUMBERED (17) | MORE, 1, 1, { 5 } }, { NUMBERED (17), 1, 2, { 8 } } } },
  { "too long for this server", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 10, { MAX_VALUE + 1 } } } },
  { "not as long as it says", SHMKV_OP_READ, 0, { { VALUE (2), 1, 3, { 17 } } } },
  { "longer than it says", SHMKV_OP_READ, 0, { { VALUE (2), 1, 4, { 16 } } } },
  { "more, and all is there", SHMKV_OP_READ, 0, { { VALUE (2) | MORE, 1, 3, { 16 } } } },
  { "more, and nothing was announced", SHMKV_OP_READ, 0, { { VALUE (2) | MORE, 1, 1, { 0 } } } },
  { "too much in the second", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 24 } }, { VALUE (2), 1, 2, { 0 } } } },
  { "too little in the second", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 40 } }, { VALUE (2), 1, 2, { 0 } } } },
  { "nothing in the second", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 40 } }, { VALUE (2) | MORE, 1, 0, { 0 } } } },
  { "the second before the first", SHMKV_OP_READ, 0,
    { { VALUE (2), 1, 2, { 0 } }, { VALUE (2) | MORE, 1, 3, { 24 } } } },
  { "another ID in the second", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 24 } }, { VALUE (2), 2, 1, { 0 } } } },
  { "ID 0 in the second", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 24 } }, { VALUE (2), 0, 1, { 0 } } } },
  { "another operation in the second", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 24 } }, { VALUE (1), 1, 1, { 0 } } } },
  { "another kind in the second", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 24 } },
      { PACK (2, 0, 1, 0), 1, 1, { 0 } } } },
  { "no kind in the second", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 24 } },
      { PACK (2, 0, 0, 0), 1, 1, { 0 } } } },
  { "a number in the second", SHMKV_OP_WAIT, 0,
    { { VALUE (17) | MORE, 1, 3, { 24 } }, { NUMBERED (17), 1, 1, { 0 } } } },
  { "another status in the second", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 24 } },
      { PACK (2, 0, 2, 1), 1, 1, { 0 } } } },
  { "another answer in between", SHMKV_OP_READ, 0,
    { { VALUE (2) | MORE, 1, 3, { 24 } },
      { PACK (2, 0, 1, 0), 2, 1, { 0 } },
      { VALUE (2), 1, 1, { 0 } } } },
  { "pairs with an odd length", SHMKV_OP_SCAN, 0, { { NUMBERED (14), 1, 4, { 5, 12 } } } },
  { "pairs without a key", SHMKV_OP_SCAN, 0, { { NUMBERED (14), 1, 3, { 5, 8 } } } },
};

static void
test_lie_values (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (value_lies); i++)
    {
      const ValueLie *lie = &value_lies[i];
      ShmkvTake take = SHMKV_TAKE_SKIPPED;
      ShmkvCompletion completion;
      Fake fake;

      g_test_message ("%s", lie->what);
      fake_init (&fake);
      ask_with (&fake, lie->op, lie->flags, 1);
      ask_with (&fake, lie->op, lie->flags, 2);
      for (guint k = 0; k < G_N_ELEMENTS (lie->records) && lie->records[k].header != 0; k++)
        {
          guint64 words[16] = { 0 };
          guint n_words = lie->records[k].n_words;

          memcpy (words, lie->records[k].first, sizeof lie->records[k].first);
          answer_words (&fake, lie->records[k].header | (16 + n_words * 8), lie->records[k].id,
                        words, n_words);
        }
      while (take == SHMKV_TAKE_SKIPPED)
        take = next (&fake, &completion);
      g_assert_cmpint (take, ==, SHMKV_TAKE_BROKEN);
      fake_clear (&fake);
    }
}

/* A response that ends with its first piece, whatever becomes of it. */
static void
test_cut_off (void)
{
  guint64 words[3] = { 5000 };
  Fake fake;

  fake_init (&fake);
  ask (&fake, SHMKV_OP_READ, 1);
  answer_words (&fake, header_of (5, SHMKV_OP_READ, SHMKV_WIRE_KIND_BYTES, 0) | MORE, 1, words, 3);
  assert_take (&fake, SHMKV_TAKE_SKIPPED);
  assert_take (&fake, SHMKV_TAKE_NONE);
  fake_clear (&fake);
}

/* More than there is memory for, which the server may send: that is not its
 * fault, and no reason to end the program. */
static void
test_no_memory (void)
{
  guint64 words[3] = { G_GUINT64_CONSTANT (1) << 60 };
  Fake fake;

  if (UTIL_SLOWNESS > 1)
    {
      g_test_skip ("sanitizers end the program where there is no memory");
      return;
    }
  fake_init (&fake);
  fake.taker.max_value = G_MAXINT64;
  ask (&fake, SHMKV_OP_READ, 1);
  answer_words (&fake, header_of (5, SHMKV_OP_READ, SHMKV_WIRE_KIND_BYTES, 0) | MORE, 1, words, 3);
  assert_take (&fake, SHMKV_TAKE_NO_MEMORY);
  fake_clear (&fake);
}

/* Kinds of values that do not exist. */
static void
test_lie_kind (void)
{
  for (guint kind = SHMKV_WIRE_KIND_BYTES + 1; kind < 16; kind++)
    for (guint n_words = 0; n_words < 3; n_words++)
      {
        const guint64 words[3] = { 8, 1, 1 };
        Fake fake;

        fake_init (&fake);
        ask (&fake, SHMKV_OP_READ, 1);
        answer_words (&fake, header_of (2 + n_words, SHMKV_OP_READ, kind, 0), 1, words, n_words);
        assert_take (&fake, SHMKV_TAKE_BROKEN);
        fake_clear (&fake);
      }
}

/* All lengths that a piece of four words can claim: it is the last, or it is
 * not. */
static void
test_lie_piece_length (void)
{
  static const guint64 huge[] = { G_MAXUINT64, G_MAXUINT64 - 7, G_MAXUINT64 - 8, G_MAXUINT64 / 2,
                                  SHMKV_WIRE_MAX_BODY + 8, SHMKV_WIRE_MAX_BODY + 1,
                                  MAX_VALUE + 1, MAX_VALUE + 8, MAX_VALUE, G_MAXUINT32 };

  for (guint i = 0; i < 2 * (64 + G_N_ELEMENTS (huge)); i++)
    {
      guint64 length = i / 2 < 64 ? i / 2 : huge[i / 2 - 64];
      guint64 words[4] = { length, 0, 0, 0 };
      gboolean more = i % 2 == 0;
      ShmkvCompletion completion;
      ShmkvTake take;
      Fake fake;

      fake_init (&fake);
      ask (&fake, SHMKV_OP_READ, 1);
      answer_words (&fake,
                    header_of (6, SHMKV_OP_READ, SHMKV_WIRE_KIND_BYTES, 0)
                      | (more ? SHMKV_WIRE_MORE : 0),
                    1, words, 4);
      take = next (&fake, &completion);
      if (more)
        g_assert_cmpint (take, ==, length > 24 && length <= MAX_VALUE ? SHMKV_TAKE_SKIPPED
                                                                      : SHMKV_TAKE_BROKEN);
      else
        g_assert_cmpint (take, ==, length > 16 && length <= 24 ? SHMKV_TAKE_ONE
                                                               : SHMKV_TAKE_BROKEN);
      if (take == SHMKV_TAKE_ONE)
        shmkv_completion_clear (&completion);
      fake_clear (&fake);
    }
}

/* Pieces that nobody asked for are found out before they fill the memory. */
static void
test_lie_endless (void)
{
  g_autofree guint64 *body = g_new0 (guint64, MAX_PIECE / 8);

  for (guint64 id = 0; id <= 2; id++)
    {
      ShmkvTake take = SHMKV_TAKE_SKIPPED;
      Fake fake;

      fake_init (&fake);
      ask (&fake, SHMKV_OP_READ, 1);
      for (guint i = 0; i < 1000 && take == SHMKV_TAKE_SKIPPED; i++)
        {
          ShmkvCompletion completion;

          answer_piece (&fake, SHMKV_OP_PRINT, id, body, MAX_PIECE / 8, TRUE);
          take = next (&fake, &completion);
        }
      g_assert_cmpint (take, ==, SHMKV_TAKE_BROKEN);
      fake_clear (&fake);
    }
}

/* Records that are almost right, with anything in them. */
static void
test_lie_random (void)
{
  for (guint round = 0; round < UTIL_N (20000); round++)
    {
      static const guint ops[] = { SHMKV_OP_PRINT, SHMKV_OP_SCAN, SHMKV_OP_READ, SHMKV_OP_WAIT };
      guint op = ops[round % G_N_ELEMENTS (ops)];
      guint64 id = 1;
      ShmkvCompletion completion;
      ShmkvTake take;
      Fake fake;

      fake_init (&fake);
      for (guint64 i = 1; i <= 8; i++)
        ask_with (&fake, op, g_test_rand_bit () ? SHMKV_FLAG_VERSION : 0, i);
      for (guint i = 0; i < 8; i++)
        {
          guint n_words = util_random_range (0, 8);
          guint64 words[8], header;

          for (guint k = 0; k < n_words; k++)
            words[k] = util_random_range (0, k == 0 ? n_words * 8 : 40);
          header = shmkv_header_pack ((2 + n_words) * 8, op, util_random_range (0, 2),
                                      util_random_range (0, 4), util_random_range (0, 32));
          if (g_test_rand_bit ())
            header |= SHMKV_WIRE_MORE;
          if (util_random_range (0, 10) == 0)
            header ^= G_GUINT64_CONSTANT (1) << util_random_range (0, 64);
          answer_words (&fake, header, id, words, n_words);
          if (util_random_range (0, 3) == 0)
            id++;
        }
      while ((take = next (&fake, &completion)) == SHMKV_TAKE_ONE || take == SHMKV_TAKE_SKIPPED)
        if (take == SHMKV_TAKE_ONE)
          shmkv_completion_clear (&completion);
      fake_clear (&fake);
    }
}

/* ------------------------------------------------------- many short ones at once */

/* Two takers of the same stream: one takes what it can at a time, the other one
 * after the other. */
typedef struct
{
  Fake many;
  Fake single;
  guint64 last_id;
  guint64 last_answered;
  guint64 last_abandoned;
  guint n_short;                    /* that were taken many at a time */
} Twins;

static void
twins_init (Twins *twins)
{
  guint32 position = (guint32) g_test_rand_int () & ~7u;

  *twins = (Twins) { .n_short = 0 };
  fake_init_at (&twins->many, position);
  fake_init_at (&twins->single, position);
}

static void
twins_clear (Twins *twins)
{
  fake_clear (&twins->many);
  fake_clear (&twins->single);
}

static guint
op_of (guint64 id)
{
  static const guint ops[] = { SHMKV_OP_READ, SHMKV_OP_INSERT, SHMKV_OP_DELETE, SHMKV_OP_READ,
                               SHMKV_OP_PING, SHMKV_OP_SCAN,   SHMKV_OP_ADD };

  return ops[id % G_N_ELEMENTS (ops)];
}

static void
twins_ask (Twins *twins, guint n)
{
  for (; n > 0; n--)
    {
      guint64 id = ++twins->last_id;

      ask_with (&twins->many, op_of (id), SHMKV_FLAG_VERSION, id);
      ask_with (&twins->single, op_of (id), SHMKV_FLAG_VERSION, id);
    }
}

/* Whether both have room for so many words, wherever they are in their rings. */
static gboolean
twins_have_room (Twins *twins, guint n_words)
{
  Fake *fakes[] = { &twins->many, &twins->single };

  for (guint i = 0; i < G_N_ELEMENTS (fakes); i++)
    {
      shmkv_consumer_publish (&fakes[i]->taker.ring);
      g_assert_true (shmkv_producer_refresh (&fakes[i]->server));
      if (shmkv_producer_room (&fakes[i]->server) < 2 * n_words * 8)
        return FALSE;
    }
  return TRUE;
}

/* Says the same to both. */
static void
twins_answer (Twins *twins, guint64 header, guint64 id, const guint64 *words, guint n_words)
{
  answer_words (&twins->many, header, id, words, n_words);
  answer_words (&twins->single, header, id, words, n_words);
}

static void
answer_short (Twins *twins, guint64 id, guint status)
{
  gboolean has_value = g_test_rand_bit ();
  guint64 value = util_random ();

  twins_answer (twins,
                header_of (has_value ? 3 : 2, op_of (id),
                           has_value ? SHMKV_WIRE_KIND_INTEGER : SHMKV_WIRE_KIND_NONE, status),
                id, &value, has_value);
}

/* With a number, or pairs in one piece or two. */
static void
answer_long (Twins *twins, guint64 id)
{
  g_autofree guint64 *body = make_body (2);
  const guint64 pieces = header_of (0, SHMKV_OP_SCAN, SHMKV_WIRE_KIND_BYTES, SHMKV_STATUS_OK);
  guint64 words[2] = { id, id * 2 };

  if (op_of (id) != SHMKV_OP_SCAN)
    twins_answer (twins,
                  shmkv_header_pack (32, op_of (id), SHMKV_WIRE_KIND_INTEGER,
                                     SHMKV_WIRE_KIND_INTEGER, SHMKV_STATUS_OK),
                  id, words, 2);
  else if (g_test_rand_bit ())
    twins_answer (twins, pieces | 9 * 8, id, body, 7);
  else
    {
      twins_answer (twins, pieces | 5 * 8 | SHMKV_WIRE_MORE, id, body, 3);
      twins_answer (twins, pieces | 6 * 8, id, body + 3, 4);
    }
}

/* Almost as it should be: any bit of the first words is wrong. */
static void
answer_wrong (Twins *twins, guint64 id)
{
  guint64 header = header_of (3, op_of (id), SHMKV_WIRE_KIND_INTEGER, SHMKV_WIRE_STATUS_OK);
  guint bit = util_random_range (0, 128);

  if (bit < 64)
    header ^= G_GUINT64_CONSTANT (1) << bit;
  else
    id ^= G_GUINT64_CONSTANT (1) << (bit - 64);
  twins_answer (twins, header, id, &id, 1);
}

static void
twins_answer_some (Twins *twins, gboolean hostile)
{
  for (guint n = util_random_range (0, 60); n > 0; n--)
    {
      guint64 id = twins->last_answered + 1;
      guint kind = util_random_range (0, 100);

      /* Who answers what nobody asked is hostile. */
      if ((id > twins->last_id && (!hostile || kind > 0)) || !twins_have_room (twins, 11))
        return;
      if (hostile && kind == 0)
        answer_wrong (twins, id);
      else if (kind < 10)
        answer_long (twins, id);
      else
        answer_short (twins, id, util_random_range (0, 0x8000));
      twins->last_answered++;
    }
}

static void
assert_same (ShmkvCompletion *one, ShmkvCompletion *other)
{
  g_assert_cmpuint (one->id, ==, other->id);
  g_assert_true (one->user_data == other->user_data);
  g_assert_cmpint (one->op, ==, other->op);
  g_assert_cmpint (one->status, ==, other->status);
  g_assert_cmpint (one->value_kind, ==, other->value_kind);
  g_assert_cmpuint (one->value, ==, other->value);
  g_assert_cmpuint (one->version, ==, other->version);
  g_assert_cmpint (one->bytes == NULL, ==, other->bytes == NULL);
  g_assert_cmpint (one->pairs == NULL, ==, other->pairs == NULL);
  shmkv_completion_clear (one);
  shmkv_completion_clear (other);
}

/* As the session does: short ones, then one that may not be. */
static gsize
take_many (Twins *twins, ShmkvCompletion *completions, gsize n, ShmkvTake *take_out)
{
  gsize taken = 0;

  *take_out = SHMKV_TAKE_ONE;
  while (taken < n)
    {
      gsize n_short;

      memset (&completions[taken], 0xaa, (n - taken) * sizeof *completions);
      n_short = shmkv_taker_take_short (&twins->many.taker, &completions[taken], n - taken);
      g_assert_cmpuint (n_short, <=, n - taken);
      taken += n_short;
      twins->n_short += n_short;
      if (taken == n)
        break;
      *take_out = shmkv_taker_next (&twins->many.taker, &completions[taken]);
      if (*take_out == SHMKV_TAKE_ONE)
        taken++;
      else if (*take_out != SHMKV_TAKE_SKIPPED)
        break;
    }
  return taken;
}

/* FALSE where the stream is broken, which it is for both. */
static gboolean
twins_take (Twins *twins)
{
  ShmkvCompletion completions[40], single;
  gsize n = util_random_range (1, G_N_ELEMENTS (completions) + 1), taken;
  ShmkvTake take, single_take;

  taken = take_many (twins, completions, n, &take);
  for (gsize i = 0; i < taken; i++)
    {
      do
        single_take = next (&twins->single, &single);
      while (single_take == SHMKV_TAKE_SKIPPED);
      g_assert_cmpint (single_take, ==, SHMKV_TAKE_ONE);
      assert_same (&completions[i], &single);
    }
  if (taken == n)
    return TRUE;
  do
    single_take = next (&twins->single, &single);
  while (single_take == SHMKV_TAKE_SKIPPED);
  g_assert_cmpint (take, ==, single_take);
  return take != SHMKV_TAKE_BROKEN;
}

static void
twins_abandon_some (Twins *twins)
{
  guint64 n = util_random_range (1, 5);
  guint64 first = twins->last_id - n + 1;

  /* In order, and of those that were not answered. */
  if (twins->last_id < n || first <= MAX (twins->last_answered, twins->last_abandoned))
    return;
  shmkv_taker_abandon (&twins->many.taker, first, n);
  shmkv_taker_abandon (&twins->single.taker, first, n);
  twins->last_abandoned = twins->last_id;
}

/* A stream in which all kinds of responses follow each other, and that breaks where
 * the server is hostile. */
static guint
check_twins (gboolean hostile, guint n_rounds)
{
  gboolean goes_on = TRUE;
  Twins twins;

  twins_init (&twins);
  for (guint round = 0; goes_on && round < n_rounds; round++)
    {
      twins_ask (&twins, util_random_range (0, 50));
      if (util_random_range (0, 8) == 0)
        twins_abandon_some (&twins);
      twins_answer_some (&twins, hostile);
      goes_on = twins_take (&twins);
      g_assert_true (goes_on || hostile);
      g_assert_true (!goes_on || twins.many.taker.ring.head == twins.single.taker.ring.head);
    }
  twins_clear (&twins);
  return twins.n_short;
}

/* No more than asked for, and nothing that needs a closer look.  (Not at the end of
 * the ring, where it stops as well.) */
static void
test_short_end (void)
{
  g_autofree guint64 *body = make_body (1);
  ShmkvCompletion completions[8];
  Fake fake;

  fake_init_at (&fake, 0);
  for (guint64 id = 1; id <= 8; id++)
    ask (&fake, id == 6 ? SHMKV_OP_PRINT : SHMKV_OP_READ, id);
  for (guint64 id = 1; id <= 5; id++)
    answer_value (&fake, SHMKV_OP_READ, id, id * 5);
  answer_piece (&fake, SHMKV_OP_PRINT, 6, body, 2, TRUE);
  answer_piece (&fake, SHMKV_OP_PRINT, 6, body + 2, 2, FALSE);
  answer_value (&fake, SHMKV_OP_READ, 7, 35);

  g_assert_cmpuint (shmkv_taker_take_short (&fake.taker, completions, 0), ==, 0);
  g_assert_cmpuint (shmkv_taker_take_short (&fake.taker, completions, 1), ==, 1);
  g_assert_cmpuint (completions[0].id, ==, 1);
  g_assert_cmpuint (completions[0].value, ==, 5);
  g_assert_cmpuint (shmkv_taker_take_short (&fake.taker, completions, 8), ==, 4);
  g_assert_cmpuint (completions[3].id, ==, 5);
  assert_take (&fake, SHMKV_TAKE_SKIPPED);
  g_assert_cmpuint (shmkv_taker_take_short (&fake.taker, completions, 8), ==, 0);
  g_assert_cmpint (next (&fake, completions), ==, SHMKV_TAKE_ONE);
  check_pairs (completions[0].pairs, 1);
  shmkv_completion_clear (&completions[0]);
  shmkv_taker_abandon (&fake.taker, 8, 1);
  g_assert_cmpuint (shmkv_taker_take_short (&fake.taker, completions, 8), ==, 0);
  assert_next (&fake, 7, SHMKV_OP_READ, SHMKV_STATUS_OK, 35);
  fake_clear (&fake);
}

/* A record of which only the beginning was published is no record. */
static void
test_short_cut (void)
{
  ShmkvCompletion completions[8];
  Fake fake;

  fake_init_at (&fake, 0);
  for (guint64 id = 1; id <= 3; id++)
    {
      ask (&fake, SHMKV_OP_READ, id);
      answer_value (&fake, SHMKV_OP_READ, id, id);
    }
  atomic_fetch_sub (&fake.tail_word, 8);
  assert_next (&fake, 1, SHMKV_OP_READ, SHMKV_STATUS_OK, 1);
  g_assert_cmpuint (shmkv_taker_take_short (&fake.taker, completions, 8), ==, 1);
  g_assert_cmpuint (completions[0].id, ==, 2);
  g_assert_cmpuint (shmkv_taker_take_short (&fake.taker, completions, 8), ==, 0);
  assert_take (&fake, SHMKV_TAKE_BROKEN);
  fake_clear (&fake);
}

static void
test_short (void)
{
  g_assert_cmpuint (check_twins (FALSE, UTIL_N (20000)), >, 0);
}

static void
test_short_hostile (void)
{
  for (guint i = 0; i < UTIL_N (2000); i++)
    check_twins (TRUE, 100);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    Lie lie;
  } lies[] = {
    { "unknown-id", lie_unknown_id },
    { "id-zero", lie_id_zero },
    { "wrong-op", lie_wrong_op },
    { "out-of-order", lie_out_of_order },
    { "twice", lie_twice },
    { "unasked", lie_unasked },
    { "more-on-nothing", lie_more_on_nothing },
    { "more-on-integer", lie_more_on_integer },
    { "integer-missing", lie_integer_missing },
    { "integer-long", lie_integer_long },
    { "nothing-long", lie_nothing_long },
    { "with-key", lie_with_key },
    { "piece-then-other", lie_piece_then_other },
    { "piece-then-small", lie_piece_then_small },
    { "piece-then-value", lie_piece_then_value },
    { "piece-wrong-op", lie_piece_wrong_op },
    { "piece-wrong-id", lie_piece_wrong_id },
    { "piece-id-zero", lie_piece_id_zero },
    { "piece-without-field", lie_piece_without_field },
    { "pairs-kind", lie_pairs_kind },
    { "pairs-cut", lie_pairs_cut },
    { "tail-odd", lie_tail_odd },
    { "tail-far", lie_tail_far },
    { "record-length", lie_record_length },
  };

  util_init (&argc, &argv);
  g_test_add_func ("/taker/single", test_single);
  g_test_add_func ("/taker/many", test_many);
  g_test_add_func ("/taker/pieces", test_pieces);
  g_test_add_func ("/taker/values", test_values);
  g_test_add_func ("/taker/numbers", test_numbers);
  g_test_add_func ("/taker/pairs", test_pairs);
  g_test_add_func ("/taker/abandoned", test_abandoned);
  g_test_add_func ("/taker/abandoned-ranges", test_abandoned_ranges);
  g_test_add_func ("/taker/backlog/order", test_backlog);
  g_test_add_func ("/taker/backlog/from", test_backlog_from);
  g_test_add_func ("/taker/backlog/clear", test_backlog_clear);
  g_test_add_func ("/taker/backlog/bounded", test_backlog_bounded);
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strconcat ("/taker/lie/", lies[i].name, NULL);

      g_test_add_data_func (path, (gconstpointer) lies[i].lie, test_lie);
    }
  g_test_add_func ("/taker/lie/values", test_lie_values);
  g_test_add_func ("/taker/lie/cut-off", test_cut_off);
  g_test_add_func ("/taker/no-memory", test_no_memory);
  g_test_add_func ("/taker/lie/kind", test_lie_kind);
  g_test_add_func ("/taker/lie/piece-length", test_lie_piece_length);
  g_test_add_func ("/taker/lie/endless", test_lie_endless);
  g_test_add_func ("/taker/lie/random", test_lie_random);
  g_test_add_func ("/taker/short/end", test_short_end);
  g_test_add_func ("/taker/short/cut", test_short_cut);
  g_test_add_func ("/taker/short/right", test_short);
  g_test_add_func ("/taker/short/hostile", test_short_hostile);
  return util_run ();
}
