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
#define MAX_PIECE (RING_SIZE / 4 - SHMKV_WIRE_HEADER_SIZE - 8)

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
fake_init (Fake *fake)
{
  guint32 position = (guint32) g_test_rand_int () & ~7u;

  fake->words = g_malloc0 (RING_SIZE);
  shmkv_pending_init (&fake->pending);
  shmkv_taker_init (&fake->taker, &fake->pending);
  shmkv_producer_init (&fake->server, fake->words, RING_SIZE, &fake->tail_word, &fake->head_word,
                       position);
  shmkv_consumer_init (&fake->taker.ring, fake->words, RING_SIZE, &fake->head_word,
                       &fake->tail_word, position);
}

static void
fake_clear (Fake *fake)
{
  shmkv_taker_clear (&fake->taker);
  shmkv_pending_clear (&fake->pending);
  g_free (fake->words);
}

static void
ask (Fake *fake, guint op, guint64 id)
{
  shmkv_pending_push (&fake->pending, op, id, GSIZE_TO_POINTER (id + 1000));
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

/* A piece of a body, of whole words. */
static void
answer_piece (Fake *fake, guint op, guint64 id, const guint64 *body, guint n_words, gboolean more)
{
  g_autofree guint64 *rest = g_new (guint64, n_words + 1);

  rest[0] = n_words * 8;
  if (n_words > 0)
    memcpy (rest + 1, body, n_words * 8);
  answer_words (fake,
                header_of (3 + n_words, op, SHMKV_WIRE_KIND_BYTES, SHMKV_WIRE_STATUS_OK)
                  | (more ? SHMKV_WIRE_MORE : 0),
                id, rest, n_words + 1);
}

/* A body of pairs of integers. */
static guint64 *
make_body (guint n_pairs)
{
  guint64 *body = g_new (guint64, n_pairs * 3 + 1), *cursor = body;

  for (guint i = 0; i < n_pairs; i++)
    cursor = shmkv_pair_encode (
      cursor, &(ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = i },
      &(ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = i * 7 });
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

static void
check_pieces (Fake *fake, guint64 id, const guint64 *body, guint n_pairs, guint n_words)
{
  ShmkvCompletion completion;
  guint sent = 0;

  ask (fake, SHMKV_OP_PRINT, id);
  while (sent < n_words)
    {
      guint piece = util_random_range (0, MAX_PIECE / 8 + 1);
      gboolean more = sent + piece < n_words;

      piece = MIN (piece, n_words - sent);
      answer_piece (fake, SHMKV_OP_PRINT, id, body + sent, piece, more);
      sent += piece;
      if (more)
        assert_take (fake, SHMKV_TAKE_SKIPPED);
    }
  if (n_words == 0)
    answer_piece (fake, SHMKV_OP_PRINT, id, body, 0, FALSE);
  g_assert_cmpint (next (fake, &completion), ==, SHMKV_TAKE_ONE);
  g_assert_cmpuint (completion.id, ==, id);
  g_assert_cmpint (completion.op, ==, SHMKV_OP_PRINT);
  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
  check_pairs (completion.pairs, n_pairs);
  shmkv_completion_clear (&completion);
  g_assert_null (completion.pairs);
}

/* Cut anywhere, also in the middle of a pair, and with pieces of nothing. */
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

      check_pieces (&fake, ++id, body, n_pairs, n_pairs * 3);
      ask (&fake, SHMKV_OP_READ, ++id);
      answer_value (&fake, SHMKV_OP_READ, id, id);
      assert_next (&fake, id, SHMKV_OP_READ, SHMKV_STATUS_OK, id);
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
  gsize size = shmkv_pair_size (&fields[0], &fields[1]) + shmkv_pair_size (&fields[2], &fields[3]);
  guint64 *body = g_malloc (size);
  ShmkvDatum key, value;
  ShmkvPairs *pairs;

  shmkv_pair_encode (shmkv_pair_encode (body, &fields[0], &fields[1]), &fields[2], &fields[3]);
  pairs = shmkv_pairs_new_take (body, size);
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
  shmkv_taker_abandon (&fake.taker, 2);
  shmkv_taker_abandon (&fake.taker, 4);
  answer_value (&fake, SHMKV_OP_READ, 1, 10);
  answer_value (&fake, SHMKV_OP_READ, 2, 20);
  answer_value (&fake, SHMKV_OP_READ, 3, 30);
  answer_piece (&fake, SHMKV_OP_STATS, 4, body, 4, TRUE);
  answer_piece (&fake, SHMKV_OP_STATS, 4, body + 4, 5, FALSE);
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

/* ------------------------------------------------------------- the backlog */

static void
keep (Fake *fake, guint64 id)
{
  ShmkvCompletion completion = { .id = id, .value = id * 3 };

  shmkv_taker_keep (&fake->taker, &completion);
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
  g_assert_false (shmkv_taker_has_kept (&fake.taker));
  assert_kept (&fake, 0, 16, 0);
  for (guint64 id = 1; id <= 10; id++)
    keep (&fake, id);
  g_assert_true (shmkv_taker_has_kept (&fake.taker));
  assert_kept (&fake, 1, 3, 3);
  keep (&fake, 11);
  assert_kept (&fake, 4, 1, 1);
  assert_kept (&fake, 5, 16, 7);
  g_assert_false (shmkv_taker_has_kept (&fake.taker));
  assert_kept (&fake, 0, 16, 0);
  keep (&fake, 12);
  assert_kept (&fake, 12, 1, 1);
  g_assert_false (shmkv_taker_has_kept (&fake.taker));
  fake_clear (&fake);
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

      completion.pairs = shmkv_pairs_new_take (make_body (5), 5 * 24);
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
  answer_piece (fake, SHMKV_OP_PRINT, 2, body, 3, FALSE);
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

/* Pairs, where an integer was asked for, which nobody would free. */
static void
lie_pairs_for_read (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer_piece (fake, SHMKV_OP_READ, 1, body, 6, FALSE);
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
  answer_piece (fake, SHMKV_OP_STATS, 2, body, 6, FALSE);
}

static void
lie_piece_wrong_id (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 77, body, 6, FALSE);
}

static void
lie_piece_id_zero (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 0, body, 6, FALSE);
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

  body[3] = 0x13;
  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 2, body, 6, FALSE);
}

static void
lie_pairs_cut (Fake *fake)
{
  g_autofree guint64 *body = make_body (2);

  answer (fake, SHMKV_OP_READ, 1, 0);
  answer_piece (fake, SHMKV_OP_PRINT, 2, body, 2, TRUE);
  answer_piece (fake, SHMKV_OP_PRINT, 2, body + 2, 3, FALSE);
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

/* All lengths that a piece of four words can claim. */
static void
test_lie_piece_length (void)
{
  static const guint64 huge[] = { G_MAXUINT64, G_MAXUINT64 - 7, G_MAXUINT64 - 8, G_MAXUINT64 / 2,
                                  G_MAXUINT32, G_GUINT64_CONSTANT (1) << 32, 1 << 30 };

  for (guint i = 0; i < 64 + G_N_ELEMENTS (huge); i++)
    {
      guint64 words[4] = { i < 64 ? i : huge[i - 64], 0, 0, 0 };
      Fake fake;

      fake_init (&fake);
      ask (&fake, SHMKV_OP_PRINT, 1);
      answer_words (&fake,
                    header_of (6, SHMKV_OP_PRINT, SHMKV_WIRE_KIND_BYTES, 0) | SHMKV_WIRE_MORE, 1,
                    words, 4);
      assert_take (&fake, words[0] == 24 ? SHMKV_TAKE_SKIPPED : SHMKV_TAKE_BROKEN);
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
      guint64 id = 1;
      ShmkvCompletion completion;
      ShmkvTake take;
      Fake fake;

      fake_init (&fake);
      for (guint64 i = 1; i <= 8; i++)
        ask (&fake, SHMKV_OP_PRINT, i);
      for (guint i = 0; i < 8; i++)
        {
          guint n_words = util_random_range (0, 8);
          guint64 words[8], header;

          for (guint k = 0; k < n_words; k++)
            words[k] = util_random_range (0, k == 0 ? n_words * 8 : 40);
          header = header_of (2 + n_words, SHMKV_OP_PRINT, util_random_range (0, 4),
                              util_random_range (0, 32));
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
    { "pairs-for-read", lie_pairs_for_read },
    { "tail-odd", lie_tail_odd },
    { "tail-far", lie_tail_far },
    { "record-length", lie_record_length },
  };

  util_init (&argc, &argv);
  g_test_add_func ("/taker/single", test_single);
  g_test_add_func ("/taker/many", test_many);
  g_test_add_func ("/taker/pieces", test_pieces);
  g_test_add_func ("/taker/pairs", test_pairs);
  g_test_add_func ("/taker/abandoned", test_abandoned);
  g_test_add_func ("/taker/backlog/order", test_backlog);
  g_test_add_func ("/taker/backlog/clear", test_backlog_clear);
  g_test_add_func ("/taker/backlog/bounded", test_backlog_bounded);
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strconcat ("/taker/lie/", lies[i].name, NULL);

      g_test_add_data_func (path, (gconstpointer) lies[i].lie, test_lie);
    }
  g_test_add_func ("/taker/lie/kind", test_lie_kind);
  g_test_add_func ("/taker/lie/piece-length", test_lie_piece_length);
  g_test_add_func ("/taker/lie/endless", test_lie_endless);
  g_test_add_func ("/taker/lie/random", test_lie_random);
  return util_run ();
}
