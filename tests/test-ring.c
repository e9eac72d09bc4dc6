/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ring: what goes in comes out, in order and whole; and whatever the other
 * end claims, nothing outside of the ring is touched.  The rings here are
 * smaller than any real one, so that every position can be tried, and have
 * exactly their size on the heap, so that a sanitizer sees what lies beyond. */

#include "config.h"

#include "transport/ring.h"
#include "util.h"

#include <string.h>

#define MIN_RECORD SHMKV_WIRE_HEADER_SIZE
#define NEAR_WRAP(bytes) ((guint32) 0 - (guint32) (bytes))

/* Both ends in one thread, and the words between them. */
typedef struct
{
  guint32 size;
  guint64 *words;
  _Atomic guint32 head_word;
  _Atomic guint32 tail_word;
  ShmkvProducer producer;
  ShmkvConsumer consumer;
} Ring;

static void
ring_init (Ring *ring, guint32 size, guint32 position)
{
  ring->size = size;
  ring->words = g_malloc (size);
  memset (ring->words, 0xee, size);
  atomic_init (&ring->head_word, ~position);
  atomic_init (&ring->tail_word, ~position);
  shmkv_producer_init (&ring->producer, ring->words, size, &ring->tail_word, &ring->head_word,
                       position);
  shmkv_consumer_init (&ring->consumer, ring->words, size, &ring->head_word, &ring->tail_word,
                       position);
}

static void
ring_clear (Ring *ring)
{
  g_free (ring->words);
}

static guint64
pattern (guint64 sequence, guint i)
{
  return (sequence + 1) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) + i;
}

/* Writes record number `sequence`; FALSE where there is no room. */
static gboolean
produce (ShmkvProducer *producer, guint64 sequence, guint32 length)
{
  guint64 *record = shmkv_producer_reserve (producer, length);

  if (record == NULL)
    return FALSE;
  shmkv_store_word (record, shmkv_header_pack (length, SHMKV_WIRE_OP_INSERT, 0, 0, 0));
  for (guint i = 1; i < length / 8; i++)
    shmkv_store_word (record + i, pattern (sequence, i));
  shmkv_producer_commit (producer, length);
  return TRUE;
}

/* Checks a record that was peeked at. */
static void
check_record (const guint64 *record, guint64 header, guint64 sequence, guint32 length)
{
  g_assert_cmpuint (shmkv_header_length (header), ==, length);
  for (guint i = 1; i < length / 8; i++)
    g_assert_cmphex (shmkv_load_word (record + i), ==, pattern (sequence, i));
}

static void
consume (ShmkvConsumer *consumer, guint64 sequence, guint32 length)
{
  const guint64 *record = NULL;
  guint64 header = 0;

  g_assert_cmpint (shmkv_consumer_peek (consumer, &record, &header), ==, SHMKV_RING_RECORD);
  check_record (record, header, sequence, length);
  shmkv_consumer_advance (consumer, length);
}

static void
assert_empty (ShmkvConsumer *consumer)
{
  const guint64 *record = NULL;
  guint64 header = 0;

  g_assert_cmpint (shmkv_consumer_peek (consumer, &record, &header), ==, SHMKV_RING_EMPTY);
}

static guint32
tail_of (const Ring *ring)
{
  return atomic_load (&ring->tail_word);
}

static guint32
head_of (const Ring *ring)
{
  return atomic_load (&ring->head_word);
}

/* ------------------------------------------------------------- honest peers */

static void
test_init (void)
{
  Ring ring;

  ring_init (&ring, 256, NEAR_WRAP (8));
  g_assert_cmpuint (tail_of (&ring), ==, NEAR_WRAP (8));
  g_assert_cmpuint (head_of (&ring), ==, NEAR_WRAP (8));
  g_assert_cmpuint (shmkv_producer_room (&ring.producer), ==, 256);
  g_assert_cmpuint (shmkv_producer_unpublished (&ring.producer), ==, 0);
  g_assert_cmpuint (shmkv_consumer_unpublished (&ring.consumer), ==, 0);
  g_assert_true (shmkv_producer_refresh (&ring.producer));
  g_assert_true (shmkv_consumer_refresh (&ring.consumer));
  assert_empty (&ring.consumer);
  ring_clear (&ring);
}

/* Three records of each length at each offset: into an empty ring, any record
 * fits, with its padding. */
static void
check_offset (guint32 size, guint32 position, guint32 length)
{
  guint32 to_end = shmkv_ring_to_end (size, position);
  guint32 padding = length <= to_end ? 0 : to_end;
  Ring ring;

  ring_init (&ring, size, position);
  for (guint i = 0; i < 3; i++)
    {
      g_assert_true (produce (&ring.producer, i, length));
      if (i == 0)
        g_assert_cmpuint (shmkv_producer_unpublished (&ring.producer), ==, padding + length);
      shmkv_producer_publish (&ring.producer);
      consume (&ring.consumer, i, length);
      if (i == 0)
        g_assert_cmpuint (shmkv_consumer_unpublished (&ring.consumer), ==, padding + length);
      shmkv_consumer_publish (&ring.consumer);
      g_assert_cmpuint (head_of (&ring), ==, tail_of (&ring));
      g_assert_true (shmkv_producer_refresh (&ring.producer));
      g_assert_cmpuint (shmkv_producer_room (&ring.producer), ==, size);
    }
  ring_clear (&ring);
}

static void
test_every_offset (void)
{
  static const guint32 sizes[] = { 64, 128, 512 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint32 offset = 0; offset < 2 * sizes[i]; offset += 8)
      for (guint32 length = MIN_RECORD; length <= shmkv_wire_max_record (sizes[i]); length += 8)
        {
          check_offset (sizes[i], offset, length);
          check_offset (sizes[i], NEAR_WRAP (sizes[i]) + offset, length);
        }
}

/* Padding at the end is no record, and what was published with nothing behind
 * it is consumed all the same. */
static void
test_padding_alone (void)
{
  Ring ring;

  ring_init (&ring, 256, NEAR_WRAP (24));
  g_assert_nonnull (shmkv_producer_reserve (&ring.producer, 32));
  shmkv_producer_publish (&ring.producer);
  g_assert_cmpuint (tail_of (&ring), ==, 0);
  assert_empty (&ring.consumer);
  g_assert_cmpuint (shmkv_consumer_unpublished (&ring.consumer), ==, 24);

  /* A reservation that nobody commits takes nothing more. */
  g_assert_true (shmkv_producer_reserve (&ring.producer, 32) == ring.words);
  g_assert_true (shmkv_producer_reserve (&ring.producer, 64) == ring.words);
  g_assert_true (produce (&ring.producer, 0, 48));
  shmkv_producer_publish (&ring.producer);
  consume (&ring.consumer, 0, 48);
  assert_empty (&ring.consumer);
  ring_clear (&ring);
}

static void
check_full (guint32 size, guint32 position, guint32 length)
{
  guint32 to_end = shmkv_ring_to_end (size, position);
  guint32 n = to_end / length + (size - to_end) / length, i;
  Ring ring;

  ring_init (&ring, size, position);
  for (i = 0; produce (&ring.producer, i, length); i++)
    shmkv_producer_publish (&ring.producer);
  g_assert_cmpuint (i, ==, n);
  g_assert_cmpuint (tail_of (&ring) - position, <=, size);
  g_assert_true (shmkv_producer_refresh (&ring.producer));
  g_assert_false (produce (&ring.producer, n, length));

  /* What was read is room only once it is given back. */
  consume (&ring.consumer, 0, length);
  g_assert_true (shmkv_producer_refresh (&ring.producer));
  g_assert_false (produce (&ring.producer, n, length));
  for (i = 1; i < n; i++)
    consume (&ring.consumer, i, length);
  assert_empty (&ring.consumer);
  shmkv_consumer_publish (&ring.consumer);
  /* And only once the producer has looked. */
  g_assert_false (produce (&ring.producer, n, length));
  g_assert_true (shmkv_producer_refresh (&ring.producer));
  g_assert_true (produce (&ring.producer, n, length));
  shmkv_producer_publish (&ring.producer);
  consume (&ring.consumer, n, length);
  ring_clear (&ring);
}

static void
test_full (void)
{
  for (guint32 offset = 0; offset < 256; offset += 8)
    for (guint32 length = MIN_RECORD; length <= 64; length += 8)
      {
        check_full (256, offset, length);
        check_full (256, NEAR_WRAP (256) + offset, length);
      }
}

static void
test_publish_batch (void)
{
  Ring ring;

  ring_init (&ring, 1024, 0);
  for (guint i = 0; i < 5; i++)
    {
      g_assert_true (produce (&ring.producer, i, 32));
      g_assert_cmpuint (shmkv_producer_unpublished (&ring.producer), ==, (i + 1) * 32);
      g_assert_cmpuint (tail_of (&ring), ==, 0);
      assert_empty (&ring.consumer);
    }
  shmkv_producer_publish (&ring.producer);
  g_assert_cmpuint (shmkv_producer_unpublished (&ring.producer), ==, 0);
  g_assert_cmpuint (tail_of (&ring), ==, 160);
  for (guint i = 0; i < 5; i++)
    {
      consume (&ring.consumer, i, 32);
      g_assert_cmpuint (shmkv_consumer_unpublished (&ring.consumer), ==, (i + 1) * 32);
      g_assert_cmpuint (head_of (&ring), ==, 0);
    }
  shmkv_consumer_publish (&ring.consumer);
  g_assert_cmpuint (shmkv_consumer_unpublished (&ring.consumer), ==, 0);
  g_assert_cmpuint (head_of (&ring), ==, 160);
  ring_clear (&ring);
}

/* A server's two ends in one store. */
static void
test_publish_both (void)
{
  ShmkvPositions positions;
  Ring in, out;

  ring_init (&in, 256, NEAR_WRAP (48));
  ring_init (&out, 256, 64);
  in.consumer.head_word = &positions.head;
  in.producer.head_word = &positions.head;
  out.producer.tail_word = &positions.tail;
  out.consumer.tail_word = &positions.tail;
  atomic_init (&positions.head, NEAR_WRAP (48));
  atomic_init (&positions.tail, 64);

  for (guint i = 0; i < 3; i++)
    g_assert_true (produce (&in.producer, i, 32));
  shmkv_producer_publish (&in.producer);
  for (guint i = 0; i < 2; i++)
    {
      consume (&in.consumer, i, 32);
      g_assert_true (produce (&out.producer, i, 40));
    }
  assert_empty (&out.consumer);
  shmkv_ring_publish_both (&in.consumer, &out.producer, &positions);
  g_assert_cmpuint (shmkv_consumer_unpublished (&in.consumer), ==, 0);
  g_assert_cmpuint (shmkv_producer_unpublished (&out.producer), ==, 0);
  g_assert_cmpuint (atomic_load (&positions.head), ==, 32);
  g_assert_cmpuint (atomic_load (&positions.tail), ==, 64 + 80);
  g_assert_true (shmkv_producer_refresh (&in.producer));
  g_assert_cmpuint (shmkv_producer_room (&in.producer), ==, 256 - 32);
  for (guint i = 0; i < 2; i++)
    consume (&out.consumer, i, 40);
  assert_empty (&out.consumer);
  ring_clear (&in);
  ring_clear (&out);
}

/* Each end looks at the other's word only when what it knows has run out. */
static void
test_cached_index (void)
{
  const guint64 *record = NULL;
  guint64 header = 0;
  Ring ring;

  ring_init (&ring, 256, 0);
  for (guint i = 0; i < 2; i++)
    g_assert_true (produce (&ring.producer, i, 32));
  shmkv_producer_publish (&ring.producer);
  consume (&ring.consumer, 0, 32);
  atomic_store (&ring.tail_word, 13);
  consume (&ring.consumer, 1, 32);
  g_assert_cmpint (shmkv_consumer_peek (&ring.consumer, &record, &header), ==,
                   SHMKV_RING_BAD_INDEX);

  atomic_store (&ring.head_word, 13);
  for (guint i = 0; i < 6; i++)
    g_assert_true (produce (&ring.producer, i, 32));
  g_assert_false (produce (&ring.producer, 6, 32));
  g_assert_false (shmkv_producer_refresh (&ring.producer));
  ring_clear (&ring);
}

static void
test_copy (void)
{
  guint64 from[8], to[8];

  for (guint n = 0; n <= 8; n++)
    {
      for (guint i = 0; i < 8; i++)
        {
          from[i] = util_random ();
          to[i] = i;
        }
      if (n % 2 == 0)
        shmkv_ring_copy_in (to, from, n * 8);
      else
        shmkv_ring_copy_out (to, from, n * 8);
      for (guint i = 0; i < 8; i++)
        g_assert_cmphex (to[i], ==, i < n ? from[i] : i);
    }
}

/* Random lengths and batches against a model that counts in 64 bits. */
static void
test_model (void)
{
  guint32 size = 1024;
  guint64 tail = NEAR_WRAP (10000) & ~7u, head = tail, published = tail, n_out = 0;
  g_autoptr (GQueue) queue = g_queue_new ();
  Ring ring;

  ring_init (&ring, size, (guint32) tail);
  for (guint64 n_in = 0; n_in < UTIL_N (1000000);)
    {
      guint32 length = util_random_range (2, shmkv_wire_max_record (size) / 8 + 1) * 8;
      guint64 to_end = size - tail % size, padding = length <= to_end ? 0 : to_end;
      gboolean fits;

      g_assert_true (shmkv_producer_refresh (&ring.producer));
      g_assert_cmpuint (shmkv_producer_room (&ring.producer), ==, size - (tail - head));
      fits = tail - head + padding + length <= size;
      g_assert_cmpint (produce (&ring.producer, n_in, length), ==, fits);
      if (fits)
        {
          tail += padding + length;
          g_queue_push_tail (queue, GUINT_TO_POINTER (length));
          n_in++;
          g_assert_cmpuint (shmkv_producer_unpublished (&ring.producer), ==, tail - published);
        }
      if (fits && util_random_range (0, 4) != 0)
        continue;

      shmkv_producer_publish (&ring.producer);
      published = tail;
      g_assert_cmpuint (tail_of (&ring), ==, (guint32) tail);
      for (guint n = util_random_range (1, 8); n > 0 && !g_queue_is_empty (queue); n--)
        consume (&ring.consumer, n_out++, GPOINTER_TO_UINT (g_queue_pop_head (queue)));
      if (g_queue_is_empty (queue))
        assert_empty (&ring.consumer);
      head += shmkv_consumer_unpublished (&ring.consumer);
      shmkv_consumer_publish (&ring.consumer);
      g_assert_cmpuint (head_of (&ring), ==, (guint32) head);
    }
  ring_clear (&ring);
}

/* ------------------------------------------------------------ hostile peers */

/* A consumer that was shown `given`, has read up to `read`, and has seen the
 * tail at `seen`; all relative to a position. */
static void
check_forged_tail (guint32 position, gint64 given, gint64 seen, gint64 claim)
{
  guint32 size = 64;
  gboolean possible = claim >= seen && claim - given <= size && claim % 8 == 0;
  _Atomic guint32 head_word, tail_word;
  guint64 *words = g_malloc0 (size);
  ShmkvConsumer consumer;

  shmkv_consumer_init (&consumer, words, size, &head_word, &tail_word, position + (guint32) given);
  consumer.tail = position + (guint32) seen;
  atomic_init (&tail_word, position + (guint32) claim);
  g_assert_cmpint (shmkv_consumer_refresh (&consumer), ==, possible);
  g_assert_cmpuint (consumer.tail, ==, position + (guint32) (possible ? claim : seen));
  g_free (words);
}

static void
test_forged_tail (void)
{
  static const guint32 positions[] = { 0, 32, NEAR_WRAP (32), NEAR_WRAP (64), 1u << 31 };

  for (guint i = 0; i < G_N_ELEMENTS (positions); i++)
    for (gint64 seen = 0; seen <= 64; seen += 8)
      {
        for (gint64 claim = -200; claim <= 200; claim++)
          check_forged_tail (positions[i], 0, seen, claim);
        for (guint bit = 8; bit < 32; bit++)
          {
            check_forged_tail (positions[i], 0, seen, seen + (G_GINT64_CONSTANT (1) << bit));
            check_forged_tail (positions[i], 0, seen, seen - (G_GINT64_CONSTANT (1) << bit));
          }
      }
}

/* A producer whose consumer was last seen at `seen`, and that has published up
 * to `published` and written more; all relative to a position. */
static void
check_forged_head (guint32 position, gint64 seen, gint64 published, gint64 claim)
{
  guint32 size = 64;
  gboolean possible = claim >= seen && claim <= published && claim % 8 == 0;
  _Atomic guint32 head_word, tail_word;
  guint64 *words = g_malloc0 (size);
  ShmkvProducer producer;

  shmkv_producer_init (&producer, words, size, &tail_word, &head_word,
                       position + (guint32) published);
  producer.head = position + (guint32) seen;
  producer.tail += 16;
  atomic_init (&head_word, position + (guint32) claim);
  g_assert_cmpint (shmkv_producer_refresh (&producer), ==, possible);
  g_assert_cmpuint (producer.head, ==, position + (guint32) (possible ? claim : seen));
  g_free (words);
}

static void
test_forged_head (void)
{
  static const guint32 positions[] = { 0, 32, NEAR_WRAP (32), NEAR_WRAP (64), 1u << 31 };

  for (guint i = 0; i < G_N_ELEMENTS (positions); i++)
    for (gint64 published = 0; published <= 48; published += 8)
      {
        for (gint64 claim = -200; claim <= 200; claim++)
          check_forged_head (positions[i], 0, published, claim);
        for (guint bit = 8; bit < 32; bit++)
          {
            check_forged_head (positions[i], 0, published,
                               published + (G_GINT64_CONSTANT (1) << bit));
            check_forged_head (positions[i], 0, published, -(G_GINT64_CONSTANT (1) << bit));
          }
      }
}

/* What a consumer must say of a header with this operation and length, in a
 * ring that holds `available` bytes at `offset` and zeros everywhere else. */
static ShmkvRingPeek
judge (guint32 size, guint32 offset, guint32 available, guint op, guint32 length)
{
  guint32 to_end = size - offset;

  if (length % 8 != 0 || length > available || length > to_end)
    return SHMKV_RING_BAD_RECORD;
  if (op != SHMKV_WIRE_OP_PAD)
    return length >= 16 && length <= size / 4 ? SHMKV_RING_RECORD : SHMKV_RING_BAD_RECORD;
  if (length != to_end || length >= size / 4)
    return SHMKV_RING_BAD_RECORD;
  /* Zeros follow: padding of no length. */
  return available > length ? SHMKV_RING_BAD_RECORD : SHMKV_RING_EMPTY;
}

static void
check_forged_record (guint32 position, guint32 available, guint op, guint32 length)
{
  guint32 size = 128, offset = position % size;
  const guint64 *record = NULL;
  guint64 header = 0;
  ShmkvRingPeek expected = judge (size, offset, available, op, length), peek;
  Ring ring;

  ring_init (&ring, size, position);
  memset (ring.words, 0, size);
  ring.words[offset / 8] = shmkv_header_pack (length, op, 1, 1, 0);
  atomic_store (&ring.tail_word, position + available);
  peek = shmkv_consumer_peek (&ring.consumer, &record, &header);
  if (peek != expected)
    g_error ("at %u of %u, %u bytes available, operation %u of %u bytes: %d instead of %d", offset,
             size, available, op, length, (int) peek, (int) expected);
  if (peek == SHMKV_RING_RECORD)
    {
      g_assert_true (record == ring.words + offset / 8);
      g_assert_cmphex (header, ==, ring.words[offset / 8]);
    }
  /* Nobody was told that anything was consumed. */
  g_assert_cmpuint (head_of (&ring), ==, position);
  ring_clear (&ring);
}

static void
test_forged_record (void)
{
  static const guint32 huge[] = { 1024, 65536, 1u << 31, (1u << 31) + 32, NEAR_WRAP (8),
                                  NEAR_WRAP (16), NEAR_WRAP (64), NEAR_WRAP (128), G_MAXUINT32 };
  static const guint ops[] = { SHMKV_WIRE_OP_PAD, SHMKV_WIRE_OP_INSERT, 0xff };

  for (guint op = 0; op < G_N_ELEMENTS (ops); op++)
    for (guint32 offset = 0; offset < 128; offset += 8)
      for (guint32 available = 8; available <= 128; available += 8)
        {
          for (guint32 length = 0; length <= 272; length++)
            check_forged_record (offset, available, ops[op], length);
          for (guint i = 0; i < G_N_ELEMENTS (huge); i++)
            {
              check_forged_record (offset, available, ops[op], huge[i]);
              check_forged_record (NEAR_WRAP (128) + offset, available, ops[op], huge[i]);
            }
        }
}

/* Padding behind padding would keep the consumer busy for ever. */
static void
test_padding_twice (void)
{
  const guint64 *record = NULL;
  guint64 header = 0;
  Ring ring;

  ring_init (&ring, 256, 240);
  ring.words[30] = shmkv_header_pack (16, SHMKV_WIRE_OP_PAD, 0, 0, 0);
  for (guint32 length = 0; length <= 256; length += 8)
    {
      ring.words[0] = shmkv_header_pack (length, SHMKV_WIRE_OP_PAD, 0, 0, 0);
      ring.consumer.head = ring.consumer.tail = 240;
      atomic_store (&ring.tail_word, 240 + 256);
      g_assert_cmpint (shmkv_consumer_peek (&ring.consumer, &record, &header), ==,
                       SHMKV_RING_BAD_RECORD);
    }
  ring_clear (&ring);
}

/* Anything at all: no end outside of the ring, and no more than it holds. */
static void
test_random (void)
{
  for (guint round = 0; round < UTIL_N (100000); round++)
    {
      guint32 size = 64u << util_random_range (0, 4);
      guint32 position = (guint32) g_test_rand_int () & ~7u, consumed = 0;
      const guint64 *record = NULL;
      guint64 header = 0;
      Ring ring;

      ring_init (&ring, size, position);
      for (guint i = 0; i < size / 8; i++)
        ring.words[i] = shmkv_header_pack (util_random_range (0, size / 16) * 8,
                                           util_random_range (0, 3), 0, 0, 0);
      atomic_store (&ring.tail_word, position + util_random_range (0, size / 8 + 2) * 8);
      while (shmkv_consumer_peek (&ring.consumer, &record, &header) == SHMKV_RING_RECORD)
        {
          guint32 length = shmkv_header_length (header);
          g_autofree guint64 *copy = g_malloc (length);

          shmkv_ring_copy_out (copy, record, length);
          shmkv_consumer_advance (&ring.consumer, length);
          consumed += length;
          g_assert_cmpuint (consumed, <=, size);
        }
      ring_clear (&ring);
    }
}

/* ------------------------------------------------------------------ threads */

#define STREAM_SIZE 4096u
#define STREAM_SHADOW (STREAM_SIZE / 16)

/* What a record says in the ring is atomic, so a thread sanitizer could not
 * tell whether the indices order it.  Each record's shadow is not atomic. */
typedef struct
{
  Ring ring;
  guint64 n;
  guint32 seed;
  guint64 shadow[STREAM_SHADOW];
  guint64 stalls;
} Stream;

/* Mostly short ones. */
static guint32
stream_length (GRand *rand)
{
  guint32 longest = g_rand_int_range (rand, 0, 16) == 0 ? shmkv_wire_max_record (STREAM_SIZE) : 64;

  return (guint32) g_rand_int_range (rand, 2, (gint32) longest / 8 + 1) * 8;
}

/* Where the shadow of a record is: no other record in the ring has it. */
static guint64 *
shadow_of (Stream *stream, const guint64 *record)
{
  return &stream->shadow[(guint) (record - stream->ring.words) / 2 % STREAM_SHADOW];
}

static gpointer
stream_producer (gpointer data)
{
  Stream *stream = data;
  ShmkvProducer *producer = &stream->ring.producer;
  g_autoptr (GRand) rand = g_rand_new_with_seed (stream->seed);

  for (guint64 i = 0; i < stream->n; i++)
    {
      guint32 length = stream_length (rand);
      guint64 *record;

      while ((record = shmkv_producer_reserve (producer, length)) == NULL)
        {
          shmkv_producer_publish (producer);
          g_assert_true (shmkv_producer_refresh (producer));
          stream->stalls++;
          g_thread_yield ();
        }
      *shadow_of (stream, record) = i;
      g_assert_true (produce (producer, i, length));
      if (i % 7 == 0)
        shmkv_producer_publish (producer);
    }
  shmkv_producer_publish (producer);
  return NULL;
}

static void
stream_consume (Stream *stream)
{
  ShmkvConsumer *consumer = &stream->ring.consumer;
  g_autoptr (GRand) rand = g_rand_new_with_seed (stream->seed);

  for (guint64 i = 0; i < stream->n; i++)
    {
      guint32 length = stream_length (rand);
      const guint64 *record = NULL;
      guint64 header = 0;
      ShmkvRingPeek peek;

      while ((peek = shmkv_consumer_peek (consumer, &record, &header)) == SHMKV_RING_EMPTY)
        {
          shmkv_consumer_publish (consumer);
          g_thread_yield ();
        }
      g_assert_cmpint (peek, ==, SHMKV_RING_RECORD);
      check_record (record, header, i, length);
      g_assert_cmpuint (*shadow_of (stream, record), ==, i);
      shmkv_consumer_advance (consumer, length);
      if (i % 5 == 0)
        shmkv_consumer_publish (consumer);
    }
  assert_empty (consumer);
}

static void
test_threads (void)
{
  g_autofree Stream *stream = g_new0 (Stream, 1);
  GThread *thread;

  stream->n = UTIL_N (2000000);
  stream->seed = (guint32) g_test_rand_int ();
  ring_init (&stream->ring, STREAM_SIZE, NEAR_WRAP (stream->n * 16 & ~7u));
  thread = g_thread_new ("producer", stream_producer, stream);
  stream_consume (stream);
  g_thread_join (thread);
  g_test_message ("the producer found the ring full %" G_GUINT64_FORMAT " times", stream->stalls);
  ring_clear (&stream->ring);
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/ring/init", test_init);
  g_test_add_func ("/ring/every-offset", test_every_offset);
  g_test_add_func ("/ring/padding-alone", test_padding_alone);
  g_test_add_func ("/ring/full", test_full);
  g_test_add_func ("/ring/publish-batch", test_publish_batch);
  g_test_add_func ("/ring/publish-both", test_publish_both);
  g_test_add_func ("/ring/cached-index", test_cached_index);
  g_test_add_func ("/ring/copy", test_copy);
  g_test_add_func ("/ring/model", test_model);
  g_test_add_func ("/ring/forged/tail", test_forged_tail);
  g_test_add_func ("/ring/forged/head", test_forged_head);
  g_test_add_func ("/ring/forged/record", test_forged_record);
  g_test_add_func ("/ring/forged/padding-twice", test_padding_twice);
  g_test_add_func ("/ring/forged/random", test_random);
  g_test_add_func ("/ring/threads", test_threads);
  return util_run ();
}
