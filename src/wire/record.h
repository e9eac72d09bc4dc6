/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The records that travel through a ring, and their encoding.
 *
 * A record is a sequence of 64-bit words in the machine's byte order:
 *
 *   word 0   bits  0..31  length of the whole record in bytes, a multiple of 8
 *            bits 32..39  operation (SHMKV_WIRE_OP_*)
 *            bits 40..43  kind of the key   (SHMKV_WIRE_KIND_*)
 *            bits 44..47  kind of the value (SHMKV_WIRE_KIND_*)
 *            bits 48..63  request: flags (SHMKV_WIRE_FLAG_*)
 *                         response: bits 48..62 status, bit 63 SHMKV_WIRE_MORE
 *   word 1   request ID, chosen by the client, echoed in the response
 *   then     the key's field, then the value's field
 *
 * A field of kind NONE takes no room, an INTEGER one word, BYTES a word that
 * holds the length in bytes followed by the bytes, padded to a multiple of 8.
 *
 * A record never wraps around the end of a ring: where it does not fit, a PAD
 * record (word 0 alone counts) takes up the rest.
 *
 * Loading word 0 once gives a consistent header; nothing in here looks at the
 * same word of shared memory twice.  The functions are pure: what they are
 * given is what they work on.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum
{
  SHMKV_WIRE_OP_PAD = 0,
  SHMKV_WIRE_OP_INSERT = 1,         /* key, value -> ADDED or REPLACED */
  SHMKV_WIRE_OP_READ = 2,           /* key -> OK and value, or NO_KEY */
  SHMKV_WIRE_OP_DELETE = 3,         /* key -> OK or NO_KEY */
  SHMKV_WIRE_OP_PRINT = 4,          /* key: bucket index -> OK and pairs, or OUT_OF_RANGE, BUSY, TOO_LARGE */
  SHMKV_WIRE_OP_START_WORKERS = 5,  /* key: how many -> OK and value: workers now, or TOO_MANY */
  SHMKV_WIRE_OP_STOP_WORKER = 6,    /* -> OK and value: workers now, or LAST_WORKER */
  SHMKV_WIRE_OP_QUIT = 7,           /* -> OK, and the server ends */
  SHMKV_WIRE_OP_PING = 8,           /* -> OK */
  SHMKV_WIRE_OP_STATS = 9,          /* -> OK and pairs: name, integer */
  SHMKV_WIRE_N_OPS                  /* a retired operation keeps its number */
};

enum
{
  SHMKV_WIRE_KIND_NONE = 0,
  SHMKV_WIRE_KIND_INTEGER = 1,
  SHMKV_WIRE_KIND_BYTES = 2,
};

/* Flags of a request.  An unknown flag is answered with UNSUPPORTED. */
enum
{
  SHMKV_WIRE_FLAG_NO_RESPONSE = 1 << 0,
};

/* Status of a response. */
enum
{
  SHMKV_WIRE_STATUS_OK = 0,
  SHMKV_WIRE_STATUS_ADDED = 1,
  SHMKV_WIRE_STATUS_REPLACED = 2,
  SHMKV_WIRE_STATUS_NO_KEY = 3,
  /* from here on, failures that changed nothing */
  SHMKV_WIRE_STATUS_FIRST_FAILURE = 16,
  SHMKV_WIRE_STATUS_UNSUPPORTED = 16,  /* an operation, kind or flag that this server does not know */
  SHMKV_WIRE_STATUS_OUT_OF_RANGE = 17, /* a bucket index that does not exist */
  SHMKV_WIRE_STATUS_TOO_MANY = 18,     /* more workers than the maximum, or none asked for */
  SHMKV_WIRE_STATUS_LAST_WORKER = 19,
  SHMKV_WIRE_STATUS_NO_MEMORY = 20,
  SHMKV_WIRE_STATUS_BUSY = 21,         /* too much of the same is under way; try again */
  SHMKV_WIRE_STATUS_TOO_LARGE = 22,    /* the answer would be longer than SHMKV_WIRE_MAX_BODY */
};

/* In the header of a response: the value goes on in the next record, which
 * has the same ID.  The value's bytes are those of all records in a row. */
#define SHMKV_WIRE_MORE UINT64_C (0x8000000000000000)

#define SHMKV_WIRE_HEADER_SIZE 16u
#define SHMKV_WIRE_PAD_SIZE 8u
#define SHMKV_WIRE_MAX_KEY_SIZE 65536u

/* The longest value of a response, over all its pieces. */
#define SHMKV_WIRE_MAX_BODY (UINT64_C (1) << 30)

/* The largest response without a body, and the room a request may count on. */
#define SHMKV_WIRE_SMALL_RESPONSE 24u

/* No record is longer than this; what is longer travels in pieces.  So a
 * record and the padding before it always fit an empty ring. */
static inline uint32_t
shmkv_wire_max_record (uint32_t ring_size)
{
  return ring_size / 4;
}

typedef struct
{
  uint32_t length;
  uint8_t op;
  uint8_t key_kind;
  uint8_t value_kind;
  uint16_t extra;                   /* flags of a request, status of a response */
  bool more;                        /* responses only */
} ShmkvHeader;

static inline uint64_t
shmkv_header_pack (uint32_t length, unsigned op, unsigned key_kind, unsigned value_kind,
                   unsigned extra)
{
  return (uint64_t) length | (uint64_t) op << 32 | (uint64_t) key_kind << 40
         | (uint64_t) value_kind << 44 | (uint64_t) extra << 48;
}

static inline uint32_t
shmkv_header_length (uint64_t word)
{
  return (uint32_t) word;
}

static inline ShmkvHeader
shmkv_header_unpack (uint64_t word)
{
  return (ShmkvHeader) {
    .length = shmkv_header_length (word),
    .op = (uint8_t) (word >> 32),
    .key_kind = (uint8_t) (word >> 40 & 0xf),
    .value_kind = (uint8_t) (word >> 44 & 0xf),
    .extra = (uint16_t) (word >> 48 & 0x7fff),
    .more = (word & SHMKV_WIRE_MORE) != 0,
  };
}

/* Bytes of a field of `kind` that holds `length` bytes (ignored for others). */
static inline size_t
shmkv_field_size (unsigned kind, size_t length)
{
  switch (kind)
    {
    case SHMKV_WIRE_KIND_INTEGER:
      return 8;
    case SHMKV_WIRE_KIND_BYTES:
      return 8 + ((length + 7) & ~(size_t) 7);
    default:
      return 0;
    }
}

/* One key or value.  `bytes` points into somebody else's memory. */
typedef struct
{
  unsigned kind;
  uint64_t integer;                 /* INTEGER: the value; BYTES: the length */
  const void *bytes;                /* BYTES only; padded and readable up to the next multiple of 8 */
} ShmkvField;

/* Reads the field of `kind` at `*cursor`, which must be private memory of
 * `*left` bytes, and moves both past it.  False, with nothing moved, where it
 * would reach beyond, or where the kind is unknown. */
bool shmkv_field_decode (const uint64_t **cursor, size_t *left, unsigned kind,
                         ShmkvField *field_out);

/* Writes `field` at `cursor`, where shmkv_field_size() bytes are free, and
 * returns the place behind it.  Padding is zeroed. */
uint64_t *shmkv_field_encode (uint64_t *cursor, const ShmkvField *field);

/* A body of pairs, as Print and Stats answer with, is a sequence of entries:
 * a word (bits 0..3 the key's kind, bits 4..7 the value's), the key's field,
 * the value's field.  Decodes one from private memory, as above. */
bool shmkv_pair_decode (const uint64_t **cursor, size_t *left, ShmkvField *key_out,
                        ShmkvField *value_out);
size_t shmkv_pair_size (const ShmkvField *key, const ShmkvField *value);
uint64_t *shmkv_pair_encode (uint64_t *cursor, const ShmkvField *key, const ShmkvField *value);
