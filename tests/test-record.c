/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The encoding of records: what is encoded comes back, and what cannot be is
 * refused.  Every buffer has exactly the size that it is said to have, so that
 * a sanitizer sees the first byte that is read beyond. */

#include "config.h"

#include "util.h"
#include "wire/layout.h"
#include "wire/record.h"

#include <string.h>

static const gsize lengths[] = { 0,  1,  2,  3,  7,   8,   9,    15,   16,   17,
                                 31, 32, 33, 63, 255, 256, 4095, 4097, 65535, 65536 };

/* ------------------------------------------------------------------- header */

static void
test_header_bits (void)
{
  guint64 word = shmkv_header_pack (0x11223344, 0x55, 0x6, 0x7, 0x09ab);
  ShmkvHeader header = shmkv_header_unpack (word | SHMKV_WIRE_MORE);

  g_assert_cmphex (word, ==, G_GUINT64_CONSTANT (0x09ab765511223344));
  g_assert_cmphex (header.length, ==, 0x11223344);
  g_assert_cmphex (header.op, ==, 0x55);
  g_assert_cmphex (header.key_kind, ==, 0x6);
  g_assert_cmphex (header.value_kind, ==, 0x7);
  g_assert_cmphex (header.extra, ==, 0x09ab);
  g_assert_true (header.more);
  g_assert_cmphex (SHMKV_WIRE_MORE, ==, G_GUINT64_CONSTANT (1) << 63);
}

static void
test_header_round_trip (void)
{
  for (guint i = 0; i < 100000; i++)
    {
      guint32 length = (guint32) g_test_rand_int ();
      guint op = util_random_range (0, 256);
      guint key_kind = util_random_range (0, 16), value_kind = util_random_range (0, 16);
      guint extra = util_random_range (0, 0x8000);
      gboolean more = g_test_rand_bit () != 0;
      guint64 word = shmkv_header_pack (length, op, key_kind, value_kind, extra)
                     | (more ? SHMKV_WIRE_MORE : 0);
      ShmkvHeader header = shmkv_header_unpack (word);

      g_assert_cmpuint (shmkv_header_length (word), ==, length);
      g_assert_cmpuint (header.length, ==, length);
      g_assert_cmpuint (header.op, ==, op);
      g_assert_cmpuint (header.key_kind, ==, key_kind);
      g_assert_cmpuint (header.value_kind, ==, value_kind);
      g_assert_cmpuint (header.extra, ==, extra);
      g_assert_cmpint (header.more, ==, more);
    }
}

/* ------------------------------------------------------------------- fields */

static void
test_field_size (void)
{
  g_assert_cmpuint (shmkv_field_size (SHMKV_WIRE_KIND_NONE, 100), ==, 0);
  g_assert_cmpuint (shmkv_field_size (SHMKV_WIRE_KIND_INTEGER, 100), ==, 8);
  for (gsize length = 0; length < 1000; length++)
    {
      gsize size = shmkv_field_size (SHMKV_WIRE_KIND_BYTES, length);

      g_assert_cmpuint (size % 8, ==, 0);
      g_assert_cmpuint (size, >=, 8 + length);
      g_assert_cmpuint (size, <, 8 + length + 8);
    }
}

/* Not NULL, and nothing behind. */
static guint64 *
copy_of (const guint64 *words, gsize n_bytes)
{
  return n_bytes > 0 ? g_memdup2 (words, n_bytes) : g_malloc (1);
}

static guint8 *
random_bytes (gsize n)
{
  guint8 *bytes = g_malloc (n);

  for (gsize i = 0; i < n; i++)
    bytes[i] = (guint8) g_test_rand_int ();
  return bytes;
}

/* Encodes into a buffer that holds nothing else. */
static guint64 *
encode (const ShmkvField *field, gsize *size_out)
{
  gsize size = shmkv_field_size (field->kind, field->integer);
  guint64 *buffer = g_malloc (size + 1);

  memset (buffer, 0xff, size);
  g_assert_true (shmkv_field_encode (buffer, field) == buffer + size / 8);
  *size_out = size;
  return buffer;
}

static void
assert_same_field (const ShmkvField *a, const ShmkvField *b)
{
  g_assert_cmpuint (a->kind, ==, b->kind);
  if (a->kind == SHMKV_WIRE_KIND_INTEGER)
    g_assert_cmpuint (a->integer, ==, b->integer);
  if (a->kind == SHMKV_WIRE_KIND_BYTES)
    g_assert_cmpmem (a->bytes, a->integer, b->bytes, b->integer);
}

static void
check_field (const ShmkvField *field)
{
  gsize size, left;
  g_autofree guint64 *buffer = encode (field, &size);
  const guint64 *cursor = buffer;
  ShmkvField decoded;

  left = size;
  g_assert_true (shmkv_field_decode (&cursor, &left, field->kind, &decoded));
  assert_same_field (&decoded, field);
  g_assert_true (cursor == buffer + size / 8);
  g_assert_cmpuint (left, ==, 0);
  if (field->kind == SHMKV_WIRE_KIND_BYTES)
    for (gsize i = field->integer; i < size - 8; i++)
      g_assert_cmpuint (((const guint8 *) decoded.bytes)[i], ==, 0);
}

#define BYTES_FIELD(text) \
  { .kind = SHMKV_WIRE_KIND_BYTES, .integer = sizeof (text) - 1, .bytes = (text) }

/* Which of these equals which, and begins with which. */
static void
test_field_compare (void)
{
  static const char again[] = "a\0b";
  static const ShmkvField fields[] = {
    { .kind = SHMKV_WIRE_KIND_NONE },
    { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = 0 },
    { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = 3 },
    { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 0, .bytes = NULL },
    BYTES_FIELD ("a"),
    BYTES_FIELD ("a\0b"),
    BYTES_FIELD ("a\0c"),
    BYTES_FIELD ("b"),
  };
  /* By the first, a digit for each prefix among the second. */
  static const char *const prefixes[G_N_ELEMENTS (fields)]
    = { "0", "0", "0", "03", "034", "0345", "0346", "037" };
  const ShmkvField copy = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 3, .bytes = again };

  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    for (guint j = 0; j < G_N_ELEMENTS (fields); j++)
      {
        gboolean begins = strchr (prefixes[i], (int) ('0' + j)) != NULL;

        g_assert_cmpint (shmkv_field_equals (&fields[i], &fields[j]), ==, i == j);
        g_assert_cmpint (shmkv_field_begins_with (&fields[i], &fields[j]), ==, begins);
      }
  g_assert_true (shmkv_field_equals (&copy, &fields[5]));
  g_assert_true (shmkv_field_begins_with (&copy, &fields[5]));
}

static void
test_field_round_trip (void)
{
  check_field (&(ShmkvField) { .kind = SHMKV_WIRE_KIND_NONE });
  check_field (&(ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = 0 });
  check_field (&(ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = G_MAXUINT64 });
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autofree guint8 *bytes = random_bytes (lengths[i]);

      check_field (&(ShmkvField) {
        .kind = SHMKV_WIRE_KIND_BYTES, .integer = lengths[i], .bytes = bytes });
    }
}

/* What follows a field is left alone. */
static void
test_field_rest (void)
{
  guint64 buffer[] = { 5, 0x0000000504030201, 77 };
  const guint64 *cursor = buffer;
  gsize left = sizeof buffer;
  ShmkvField field;

  g_assert_true (shmkv_field_decode (&cursor, &left, SHMKV_WIRE_KIND_BYTES, &field));
  g_assert_true (cursor == &buffer[2]);
  g_assert_cmpuint (left, ==, 8);
  g_assert_true (shmkv_field_decode (&cursor, &left, SHMKV_WIRE_KIND_NONE, &field));
  g_assert_true (cursor == &buffer[2]);
  g_assert_true (shmkv_field_decode (&cursor, &left, SHMKV_WIRE_KIND_INTEGER, &field));
  g_assert_cmpuint (field.integer, ==, 77);
  g_assert_cmpuint (left, ==, 0);
}

static void
assert_field_refused (const guint64 *buffer, gsize n_bytes, guint kind)
{
  const guint64 *cursor = buffer;
  gsize left = n_bytes;
  ShmkvField field;

  g_assert_false (shmkv_field_decode (&cursor, &left, kind, &field));
  g_assert_true (cursor == buffer);
  g_assert_cmpuint (left, ==, n_bytes);
}

/* Every beginning of a valid field. */
static void
test_field_truncated (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autofree guint8 *bytes = random_bytes (lengths[i]);
      ShmkvField field
        = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = lengths[i], .bytes = bytes };
      gsize size;
      g_autofree guint64 *whole = encode (&field, &size);

      for (gsize n = 0; n < size; n += n < 64 || n + 64 > size ? 1 : 61)
        {
          g_autofree guint64 *part = copy_of (whole, n);

          assert_field_refused (part, n, SHMKV_WIRE_KIND_BYTES);
          if (n < 8)
            assert_field_refused (part, n, SHMKV_WIRE_KIND_INTEGER);
        }
    }
}

/* Lengths that no memory has, some of which wrap when they are rounded up. */
static void
test_field_hostile_length (void)
{
  for (gsize n = 8; n <= 48; n++)
    {
      guint64 *buffer = g_malloc0 (n);
      guint64 beyond = n - 8 + 1;

      for (guint64 k = 0; k < 64; k++)
        {
          const guint64 hostile[] = {
            beyond + k,
            G_MAXUINT64 - k,
            G_MAXUINT64 / 2 - 32 + k,
            (guint64) G_MAXUINT32 - 32 + k,
            ((guint64) G_MAXUINT32 << 32) + k,
          };

          for (guint i = 0; i < G_N_ELEMENTS (hostile); i++)
            {
              buffer[0] = hostile[i];
              assert_field_refused (buffer, n, SHMKV_WIRE_KIND_BYTES);
            }
        }
      /* The bytes would fit, their padding would not. */
      if (n % 8 != 0)
        {
          buffer[0] = n - 8;
          assert_field_refused (buffer, n, SHMKV_WIRE_KIND_BYTES);
        }
      g_free (buffer);
    }
}

static void
test_field_unknown_kind (void)
{
  static const guint64 buffer[4] = { 8, 8, 8, 8 };

  for (guint kind = SHMKV_WIRE_KIND_BYTES + 1; kind < 300; kind++)
    assert_field_refused (buffer, sizeof buffer, kind);
  assert_field_refused (buffer, sizeof buffer, G_MAXUINT);
}

/* -------------------------------------------------------------------- pairs */

/* Fields of every kind, with lengths of every remainder. */
static ShmkvField
random_field (guint8 *bytes, gsize n_bytes)
{
  ShmkvField field = { .kind = util_random_range (0, 3) };

  if (field.kind == SHMKV_WIRE_KIND_INTEGER)
    field.integer = util_random ();
  if (field.kind == SHMKV_WIRE_KIND_BYTES)
    {
      field.integer = util_random_range (0, (guint) n_bytes);
      field.bytes = bytes + util_random_range (0, (guint) (n_bytes - field.integer));
    }
  return field;
}

#define N_PAIRS 20

typedef struct
{
  ShmkvPair pairs[N_PAIRS];
  guint64 *words;
  gsize ends[N_PAIRS];              /* where each pair ends, in bytes */
} Body;

static void
body_init (Body *body, guint8 *bytes, gsize n_bytes)
{
  gsize size = 0;
  guint64 *cursor;

  for (guint i = 0; i < N_PAIRS; i++)
    {
      body->pairs[i] = (ShmkvPair) { .key = random_field (bytes, n_bytes),
                                     .value = random_field (bytes, n_bytes),
                                     .ttl_ms = g_test_rand_bit () ? util_random () | 1 : 0 };
      size += shmkv_pair_size (&body->pairs[i]);
      body->ends[i] = size;
    }
  body->words = g_malloc (size);
  memset (body->words, 0xff, size);
  cursor = body->words;
  for (guint i = 0; i < N_PAIRS; i++)
    {
      cursor = shmkv_pair_encode (cursor, &body->pairs[i]);
      g_assert_true (cursor == body->words + body->ends[i] / 8);
    }
}

/* Decodes all that a body's first `n_bytes` hold: exactly the whole pairs. */
static void
check_body_part (const Body *body, const guint64 *words, gsize n_bytes)
{
  const guint64 *cursor = words;
  gsize left = n_bytes;
  ShmkvPair pair;
  guint i;

  for (i = 0; i < N_PAIRS && body->ends[i] <= n_bytes; i++)
    {
      g_assert_true (shmkv_pair_decode (&cursor, &left, &pair));
      assert_same_field (&pair.key, &body->pairs[i].key);
      assert_same_field (&pair.value, &body->pairs[i].value);
      g_assert_cmpuint (pair.ttl_ms, ==, body->pairs[i].ttl_ms);
      g_assert_true (cursor == words + body->ends[i] / 8);
      g_assert_cmpuint (left, ==, n_bytes - body->ends[i]);
    }
  if (left > 0)
    {
      const guint64 *before = cursor;
      gsize left_before = left;

      g_assert_false (shmkv_pair_decode (&cursor, &left, &pair));
      g_assert_true (cursor == before);
      g_assert_cmpuint (left, ==, left_before);
    }
}

static void
test_pair_round_trip (void)
{
  guint8 bytes[50];

  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = (guint8) (i + 1);
  for (guint round = 0; round < UTIL_N (400); round++)
    {
      Body body;
      gsize size;

      body_init (&body, bytes, sizeof bytes);
      size = body.ends[N_PAIRS - 1];
      for (gsize n = 0; n <= size; n++)
        {
          g_autofree guint64 *part = copy_of (body.words, n);

          check_body_part (&body, part, n);
        }
      g_free (body.words);
    }
}

static void
assert_pair_refused (const guint64 *words, gsize n_bytes)
{
  const guint64 *cursor = words;
  gsize left = n_bytes;
  ShmkvPair pair;

  g_assert_false (shmkv_pair_decode (&cursor, &left, &pair));
  g_assert_true (cursor == words);
  g_assert_cmpuint (left, ==, n_bytes);
}

static void
test_pair_hostile_kinds (void)
{
  guint64 words[6] = { 0, 0, 0, 0, 0, 0 };

  for (guint kinds = 0; kinds < 0x100; kinds++)
    {
      const guint64 *cursor = words;
      gsize left = sizeof words;
      ShmkvPair pair;

      words[0] = kinds;
      g_assert_cmpint (shmkv_pair_decode (&cursor, &left, &pair), ==,
                       (kinds & 0xf) <= 2 && kinds >> 4 <= 2);
      for (guint bit = 9; bit < 64; bit++)
        {
          words[0] = kinds | G_GUINT64_CONSTANT (1) << bit;
          assert_pair_refused (words, sizeof words);
        }
    }
}

/* A time to live is announced, is there, and is not 0. */
static void
test_pair_ttl (void)
{
  guint64 words[] = { SHMKV_WIRE_PAIR_TTL | 0x11, 1, 2, 3 };
  const guint64 *cursor = words;
  gsize left = sizeof words;
  ShmkvPair pair;

  assert_pair_refused (words, sizeof words - 8);
  g_assert_true (shmkv_pair_decode (&cursor, &left, &pair));
  g_assert_cmpuint (left, ==, 0);
  g_assert_cmpuint (pair.ttl_ms, ==, 3);
  words[3] = 0;
  assert_pair_refused (words, sizeof words);
}

/* Anything at all ends, and never reaches beyond. */
static void
test_pair_random (void)
{
  for (guint round = 0; round < UTIL_N (100000); round++)
    {
      gsize n_bytes = util_random_range (0, 20) * 8, left = n_bytes;
      g_autofree guint64 *words = g_malloc (MAX (n_bytes, 1));
      const guint64 *cursor = words;
      ShmkvPair pair;

      /* Mostly small numbers, which look like kinds and lengths. */
      for (gsize i = 0; i < n_bytes / 8; i++)
        words[i] = g_test_rand_bit () ? util_random_range (0, 0x23) : util_random_range (0, 40);
      while (left > 0 && shmkv_pair_decode (&cursor, &left, &pair))
        {
          g_assert_true (cursor == words + (n_bytes - left) / 8);
          if (pair.key.kind == SHMKV_WIRE_KIND_BYTES)
            g_free (g_memdup2 (pair.key.bytes, pair.key.integer));
          if (pair.value.kind == SHMKV_WIRE_KIND_BYTES)
            g_free (g_memdup2 (pair.value.bytes, pair.value.integer));
        }
    }
}

/* ------------------------------------------------------------------- limits */

static void
test_limits (void)
{
  /* The largest request of integers, and what answers it, fit any ring. */
  g_assert_cmpuint (shmkv_wire_max_record (SHMKV_WIRE_MIN_RING_SIZE), >=,
                    SHMKV_WIRE_HEADER_SIZE + 16);
  g_assert_cmpuint (SHMKV_WIRE_SMALL_RESPONSE, ==, SHMKV_WIRE_HEADER_SIZE + 8 + 8);
  /* A record and the padding before it always fit an empty ring. */
  g_assert_cmpuint (2 * shmkv_wire_max_record (SHMKV_WIRE_MAX_RING_SIZE), <=,
                    SHMKV_WIRE_MAX_RING_SIZE);
}

static void
test_geometry (void)
{
  static const struct
  {
    ShmkvGeometry geometry;
    gboolean valid;
  } cases[] = {
    { { 1, 4096 }, TRUE },
    { { 1024, 1u << 30 }, TRUE },
    { { 64, 65536 }, TRUE },
    { { 0, 4096 }, FALSE },
    { { 1025, 4096 }, FALSE },
    { { G_MAXUINT32, 4096 }, FALSE },
    { { 1, 0 }, FALSE },
    { { 1, 2048 }, FALSE },
    { { 1, 4095 }, FALSE },
    { { 1, 4104 }, FALSE },
    { { 1, 12288 }, FALSE },
    { { 1, 1u << 31 }, FALSE },
    { { 1, G_MAXUINT32 }, FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    g_assert_cmpint (shmkv_geometry_is_valid (cases[i].geometry), ==, cases[i].valid);
  /* The largest sizes do not wrap. */
  g_assert_cmpuint (shmkv_geometry_region_size ((ShmkvGeometry) { 1024, 1u << 30 }, 384, 256), ==,
                    (G_GUINT64_CONSTANT (1) << 40) + 65 * 4096);
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/record/header/bits", test_header_bits);
  g_test_add_func ("/record/header/round-trip", test_header_round_trip);
  g_test_add_func ("/record/field/size", test_field_size);
  g_test_add_func ("/record/field/round-trip", test_field_round_trip);
  g_test_add_func ("/record/field/compare", test_field_compare);
  g_test_add_func ("/record/field/rest", test_field_rest);
  g_test_add_func ("/record/field/truncated", test_field_truncated);
  g_test_add_func ("/record/field/hostile-length", test_field_hostile_length);
  g_test_add_func ("/record/field/unknown-kind", test_field_unknown_kind);
  g_test_add_func ("/record/pair/round-trip", test_pair_round_trip);
  g_test_add_func ("/record/pair/hostile-kinds", test_pair_hostile_kinds);
  g_test_add_func ("/record/pair/ttl", test_pair_ttl);
  g_test_add_func ("/record/pair/random", test_pair_random);
  g_test_add_func ("/record/limits", test_limits);
  g_test_add_func ("/record/geometry", test_geometry);
  return util_run ();
}
