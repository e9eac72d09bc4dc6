/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests in full: what they may look like, whoever wrote them. */

#include "config.h"

#include "rig.h"
#include "server/request.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>

#define MAX_VALUE 100000

/* Decodes a payload that lies where no byte more may be read. */
static ShmkvServerRequest
decode (guint64 header, const void *payload, gsize size, void **memory_out)
{
  ShmkvServerRequest request;
  void *exact = malloc (MAX (size, 1));

  if (size > 0)
    memcpy (exact, payload, size);
  shmkv_server_request_decode (&request, header, 77, exact, size, MAX_VALUE);
  g_assert_cmpuint (request.id, ==, 77);
  g_assert_cmpuint (request.op, ==, shmkv_header_unpack (header).op);
  *memory_out = exact;
  return request;
}

static guint
status_of (const HandRequest *request)
{
  guint64 header;
  g_autoptr (GByteArray) payload = hand_encode (request, &header);
  void *memory;
  guint status = decode (header, payload->data, payload->len, &memory).status;

  free (memory);
  return status;
}

static void
assert_field (const ShmkvField *field, const ShmkvField *expected)
{
  g_assert_cmpuint (field->kind, ==, expected->kind);
  if (field->kind == SHMKV_WIRE_KIND_BYTES)
    g_assert_cmpmem (field->bytes, field->integer, expected->bytes, expected->integer);
  else
    g_assert_cmpuint (field->integer, ==, expected->integer);
}

static ShmkvField
random_field (const guint8 *bytes)
{
  if (g_test_rand_bit ())
    return hand_integer (util_random ());
  return (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES,
                        .integer = util_random_range (1, 200),
                        .bytes = bytes + util_random_range (0, 50) };
}

/* What goes in comes out; and nothing does where a word is missing, or there is
 * one too many. */
static void
test_round (void)
{
  guint8 bytes[256];

  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = (guint8) i;
  for (guint round = 0; round < UTIL_N (20000); round++)
    {
      HandRequest in = {
        .op = SHMKV_WIRE_OP_INSERT,
        .flags = util_random_range (0, 1 << SHMKV_WIRE_N_FLAGS) & ~(guint) SHMKV_WIRE_FLAG_WRAP,
        .key = random_field (bytes),
        .value = random_field (bytes),
        .version = util_random (),
        .ttl_ms = 1 + util_random () % SHMKV_WIRE_MAX_TTL_MS,
      };
      guint64 header;
      g_autoptr (GByteArray) payload = NULL;
      ShmkvServerRequest out;
      void *memory;

      if ((in.flags & SHMKV_WIRE_FLAG_IF_VALUE) != 0)
        in.expected = random_field (bytes);
      payload = hand_encode (&in, &header);
      out = decode (header, payload->data, payload->len, &memory);
      g_assert_cmpuint (out.status, ==, SHMKV_WIRE_STATUS_OK);
      g_assert_cmpuint (out.flags, ==, in.flags);
      g_assert_cmpint (out.silent, ==, in.flags & SHMKV_WIRE_FLAG_NO_RESPONSE);
      assert_field (&out.key, &in.key);
      assert_field (&out.value, &in.value);
      assert_field (&out.expected, &in.expected);
      g_assert_cmpuint (out.version, ==,
                        (in.flags & SHMKV_WIRE_FLAG_IF_VERSION) != 0 ? in.version : 0);
      g_assert_cmpuint (out.ttl_ms, ==, (in.flags & SHMKV_WIRE_FLAG_TTL) != 0 ? in.ttl_ms : 0);
      g_assert_cmpuint (payload->len, <=, shmkv_server_request_max_payload (header, MAX_VALUE));
      free (memory);

      out = decode (header, payload->data, payload->len - 8, &memory);
      g_assert_cmpuint (out.status, ==, SHMKV_WIRE_STATUS_UNSUPPORTED);
      free (memory);
      g_byte_array_set_size (payload, payload->len + 8);
      out = decode (header, payload->data, payload->len, &memory);
      g_assert_cmpuint (out.status, ==, SHMKV_WIRE_STATUS_UNSUPPORTED);
      free (memory);
    }
}

static void
test_limits (void)
{
  g_autofree guint8 *bytes = g_malloc0 (MAX_VALUE + 8);
  ShmkvField key = { .kind = SHMKV_WIRE_KIND_BYTES, .bytes = bytes };
  HandRequest request = { .op = SHMKV_WIRE_OP_INSERT, .key = key, .value = hand_integer (1) };

  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_INVALID);
  request.key.integer = 1;
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_OK);
  request.key.integer = SHMKV_WIRE_MAX_KEY_SIZE;
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_OK);
  request.key.integer++;
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_TOO_LARGE);

  request.key = hand_integer (1);
  request.value = key;
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_OK);
  request.value.integer = MAX_VALUE;
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_OK);
  request.value.integer++;
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_TOO_LARGE);

  request.value = hand_integer (1);
  request.flags = SHMKV_WIRE_FLAG_TTL;
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_INVALID);
  request.ttl_ms = SHMKV_WIRE_MAX_TTL_MS;
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_OK);
  request.ttl_ms++;
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_INVALID);

  /* An expected value has a kind, and no other than these two. */
  request = (HandRequest) { .op = SHMKV_WIRE_OP_DELETE,
                            .flags = SHMKV_WIRE_FLAG_IF_VALUE,
                            .key = hand_integer (1) };
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_UNSUPPORTED);
  request.expected = hand_integer (1);
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_OK);

  /* A prefix may be empty: that of all byte strings. */
  request = (HandRequest) { .op = SHMKV_WIRE_OP_WATCH, .key = key, .value = hand_integer (0) };
  g_assert_cmpuint (status_of (&request), ==, SHMKV_WIRE_STATUS_OK);
}

static guint64
random_word (void)
{
  static const guint64 words[]
    = { 0, 1, 2, 3, 7, 8, 9, 16, 0xffff, 0x10000, G_MAXUINT32, G_MAXUINT64, G_MAXUINT64 - 7 };

  return g_test_rand_bit () ? words[util_random_range (0, G_N_ELEMENTS (words))] : util_random ();
}

/* Whatever the words are: nothing is read beyond them, and what is said of them
 * is true. */
static void
test_random (void)
{
  guint n_ok = 0;

  for (guint round = 0; round < UTIL_N (500000); round++)
    {
      guint64 payload[32];
      guint n = util_random_range (0, G_N_ELEMENTS (payload) + 1);
      guint64 header = util_random_range (0, 8) == 0
                         ? util_random ()
                         : shmkv_header_pack (0, util_random_range (0, SHMKV_WIRE_N_OPS + 1),
                                              util_random_range (0, 4), util_random_range (0, 4),
                                              util_random_range (0, 4) == 0
                                                ? util_random_range (0, 1 << 12)
                                                : 1u << util_random_range (0, 12));
      ShmkvServerRequest request;
      void *memory;

      for (guint i = 0; i < n; i++)
        payload[i] = random_word ();
      request = decode (header, payload, n * 8, &memory);
      if (request.status == SHMKV_WIRE_STATUS_OK)
        {
          const ShmkvField *fields[] = { &request.key, &request.value, &request.expected };

          n_ok++;
          for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
            if (fields[i]->kind == SHMKV_WIRE_KIND_BYTES)
              {
                const guint8 *bytes = fields[i]->bytes;

                g_assert_cmpuint (fields[i]->integer, <=, n * 8);
                g_assert_true (bytes >= (guint8 *) memory
                               && bytes + fields[i]->integer <= (guint8 *) memory + n * 8);
              }
        }
      free (memory);
    }
  g_assert_cmpuint (n_ok, >, 0);
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/decode/round", test_round);
  g_test_add_func ("/decode/limits", test_limits);
  g_test_add_func ("/decode/random", test_random);
  return util_run ();
}
