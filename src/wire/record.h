/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The records that travel through a ring, and their encoding.
 *
 * A record is a sequence of 64-bit words in the machine's byte order:
 *
 *   word 0   bits  0..31  length of the whole record in bytes, a multiple of 8
 *            bits 32..39  operation (SHMKV_WIRE_OP_*)
 *            bits 40..43  kind of the key   (SHMKV_WIRE_KIND_*)
 *            bits 44..47  kind of the value (SHMKV_WIRE_KIND_*)
 *            bits 48..62  request: flags (SHMKV_WIRE_FLAG_*); response: status
 *            bit  63      SHMKV_WIRE_MORE
 *   word 1   request ID, chosen by the client, echoed in the response
 *   then     the payload
 *
 * The payload of a request is the key's field, the value's field, and what its
 * flags announce, in this order: IF_VALUE a word with the kind and the field of
 * the expected value, IF_VERSION a word, TTL a word.  That of a response is the
 * number's field (in the place of the key: a version, cursor or position) and
 * the value's field.
 *
 * A field of kind NONE takes no room, an INTEGER one word, BYTES a word that
 * holds the length in bytes followed by the bytes, padded to a multiple of 8.
 *
 * A record that would be longer than shmkv_wire_max_record() travels in
 * pieces: records in a row with the same word 0 but for length and MORE, and
 * with the same ID.  All but the last have MORE set; the payload is what
 * follows the two words in all of them, put together.  The first piece of a
 * response has the number and the length of the value.
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

/* "-> X and value" tells what the response carries.  An operation on a key may
 * also be answered with a failure; see below. */
enum
{
  SHMKV_WIRE_OP_PAD = 0,
  SHMKV_WIRE_OP_INSERT = 1,         /* key, value -> ADDED or REPLACED, or MISMATCH */
  SHMKV_WIRE_OP_READ = 2,           /* key -> OK and value, or NO_KEY */
  SHMKV_WIRE_OP_DELETE = 3,         /* key -> OK, or NO_KEY, or MISMATCH */
  SHMKV_WIRE_OP_PRINT = 4,          /* key: bucket index -> OK and pairs, or OUT_OF_RANGE, BUSY, TOO_LARGE */
  SHMKV_WIRE_OP_START_WORKERS = 5,  /* key: how many -> OK and value: workers now, or TOO_MANY */
  SHMKV_WIRE_OP_STOP_WORKER = 6,    /* -> OK and value: workers now, or LAST_WORKER */
  SHMKV_WIRE_OP_QUIT = 7,           /* -> OK, and the server ends */
  SHMKV_WIRE_OP_PING = 8,           /* -> OK */
  SHMKV_WIRE_OP_STATS = 9,          /* -> OK and pairs: name, integer */
  SHMKV_WIRE_OP_ADD = 10,           /* key, value: how much -> OK and value: the sum, or NO_KEY (with
                                     * IF_PRESENT), MISMATCH, WRONG_KIND, OVERFLOW */
  SHMKV_WIRE_OP_SUBTRACT = 11,      /* the same, downwards */
  SHMKV_WIRE_OP_EXPIRE = 12,        /* key -> OK or NO_KEY; with TTL it expires then, without it never */
  SHMKV_WIRE_OP_TTL = 13,           /* key -> OK and value: milliseconds left, 0: for ever; or NO_KEY */
  SHMKV_WIRE_OP_SCAN = 14,          /* key: prefix or none, value: SHMKV_WIRE_SCAN_* words -> OK, number:
                                     * the next cursor, and pairs; or BAD_CURSOR */
  SHMKV_WIRE_OP_COUNT = 15,         /* -> OK and value: how many keys */
  SHMKV_WIRE_OP_CLEAR = 16,         /* -> OK and value: how many keys were deleted */
  SHMKV_WIRE_OP_WAIT = 17,          /* key, value: a version -> OK, number: its version now, and value; or
                                     * NO_KEY; or UNCHANGED where the session goes on first */
  SHMKV_WIRE_OP_WATCH = 18,         /* key: prefix or none, value: a position -> OK, number: the next
                                     * position, and pairs: key, SHMKV_WIRE_CHANGE_*; or MISSED and the
                                     * number; or UNCHANGED and the number where the session goes on
                                     * first.  Position 0 is answered at once, with the next position
                                     * and no pairs */
  SHMKV_WIRE_OP_SESSIONS = 19,      /* -> OK and pairs: name, integer */
  SHMKV_WIRE_N_OPS                  /* a retired operation keeps its number */
};

enum
{
  SHMKV_WIRE_KIND_NONE = 0,
  SHMKV_WIRE_KIND_INTEGER = 1,
  SHMKV_WIRE_KIND_BYTES = 2,
};

/* Flags of a request.  One that is unknown, or that its operation cannot do
 * anything with, is answered with UNSUPPORTED. */
enum
{
  SHMKV_WIRE_FLAG_NO_RESPONSE = 1 << 0,
  /* conditions; where one is not met: MISMATCH, and nothing changed */
  SHMKV_WIRE_FLAG_IF_ABSENT = 1 << 1,  /* INSERT */
  SHMKV_WIRE_FLAG_IF_PRESENT = 1 << 2, /* INSERT; ADD and SUBTRACT, which otherwise begin at 0 */
  SHMKV_WIRE_FLAG_IF_VALUE = 1 << 3,   /* INSERT, DELETE: the value is this; a word with its kind, a field */
  SHMKV_WIRE_FLAG_IF_VERSION = 1 << 4, /* INSERT, DELETE, ADD, SUBTRACT: the version is this; a word */
  /* what else an insert sets */
  SHMKV_WIRE_FLAG_TTL = 1 << 5,        /* INSERT, EXPIRE: expires after so many milliseconds; a word */
  SHMKV_WIRE_FLAG_SESSION = 1 << 6,    /* INSERT: the key goes when the session ends */
  SHMKV_WIRE_FLAG_WRAP = 1 << 7,       /* ADD, SUBTRACT: modulo 2^64; without it OVERFLOW */
  /* what the answer tells */
  SHMKV_WIRE_FLAG_VERSION = 1 << 8,    /* INSERT, READ, ADD, SUBTRACT: number: the version afterwards */
  SHMKV_WIRE_FLAG_OLD = 1 << 9,        /* INSERT, DELETE: the value that was replaced or deleted */
  SHMKV_WIRE_N_FLAGS = 10
};

/* The longest time to live: some 292 million years would not fit. */
#define SHMKV_WIRE_MAX_TTL_MS (UINT64_C (1) << 53)

/* The words in the value of a SCAN. */
enum
{
  SHMKV_WIRE_SCAN_CURSOR = 0,       /* 0 begins; opaque.  0 in the answer: that was all */
  SHMKV_WIRE_SCAN_LIMIT = 1,        /* about how many pairs at most, at least 1 */
  SHMKV_WIRE_SCAN_OPTIONS = 2,      /* SHMKV_WIRE_SCAN_OPTION_* */
  SHMKV_WIRE_SCAN_WORDS
};
enum
{
  SHMKV_WIRE_SCAN_OPTION_INTEGER_KEYS = 1 << 0, /* only these; neither of both: all */
  SHMKV_WIRE_SCAN_OPTION_BYTES_KEYS = 1 << 1,
  SHMKV_WIRE_SCAN_OPTION_KEYS_ONLY = 1 << 2,    /* the values are of kind NONE */
  SHMKV_WIRE_SCAN_OPTION_PERMANENT = 1 << 3,    /* without the keys that belong to a session */
  SHMKV_WIRE_SCAN_OPTIONS_ALL = (1 << 4) - 1
};

/* What happened to a key, as WATCH tells. */
enum
{
  SHMKV_WIRE_CHANGE_SET = 1,        /* it has a value, or another than before */
  SHMKV_WIRE_CHANGE_DELETED = 2,
  SHMKV_WIRE_CHANGE_EXPIRED = 3,
  SHMKV_WIRE_CHANGE_EVICTED = 4,
};

/* Status of a response. */
enum
{
  SHMKV_WIRE_STATUS_OK = 0,
  SHMKV_WIRE_STATUS_ADDED = 1,
  SHMKV_WIRE_STATUS_REPLACED = 2,
  SHMKV_WIRE_STATUS_NO_KEY = 3,
  SHMKV_WIRE_STATUS_MISMATCH = 4,      /* a condition was not met */
  SHMKV_WIRE_STATUS_UNCHANGED = 5,     /* WAIT, WATCH: ended by the session's next request */
  SHMKV_WIRE_STATUS_MISSED = 6,        /* WATCH: changes that are no longer known */
  /* from here on, failures that changed nothing */
  SHMKV_WIRE_STATUS_FIRST_FAILURE = 16,
  SHMKV_WIRE_STATUS_UNSUPPORTED = 16,  /* an operation, kind or flag that this server does not know */
  SHMKV_WIRE_STATUS_OUT_OF_RANGE = 17, /* a bucket index that does not exist */
  SHMKV_WIRE_STATUS_TOO_MANY = 18,     /* more workers than the maximum, or none asked for */
  SHMKV_WIRE_STATUS_LAST_WORKER = 19,
  SHMKV_WIRE_STATUS_NO_MEMORY = 20,
  SHMKV_WIRE_STATUS_BUSY = 21,         /* too much of the same is under way; try again */
  SHMKV_WIRE_STATUS_TOO_LARGE = 22,    /* a key, a value or the answer is longer than allowed */
  SHMKV_WIRE_STATUS_NO_SPACE = 23,     /* beyond the server's memory limit */
  SHMKV_WIRE_STATUS_WRONG_KIND = 24,   /* ADD, SUBTRACT: the value is no integer */
  SHMKV_WIRE_STATUS_OVERFLOW = 25,     /* ADD, SUBTRACT: the result is no 64-bit integer */
  SHMKV_WIRE_STATUS_BAD_CURSOR = 26,   /* SCAN: not one that this server gave */
  SHMKV_WIRE_STATUS_INVALID = 27,      /* an empty key, a time to live of 0 or beyond the maximum */
};

/* In the header: the payload goes on in the next record. */
#define SHMKV_WIRE_MORE UINT64_C (0x8000000000000000)

#define SHMKV_WIRE_HEADER_SIZE 16u
#define SHMKV_WIRE_PAD_SIZE 8u
#define SHMKV_WIRE_MAX_KEY_SIZE 65536u


/* How long a value may be is the server's to say, up to this. */
#define SHMKV_WIRE_MAX_VALUE_SIZE (UINT64_C (1) << 29)
#define SHMKV_WIRE_DEFAULT_MAX_VALUE (UINT64_C (1) << 20)

/* The longest value of a response. */
#define SHMKV_WIRE_MAX_BODY (UINT64_C (1) << 30)

/* The longest payload, of a request or a response. */
#define SHMKV_WIRE_MAX_PAYLOAD (SHMKV_WIRE_MAX_BODY + 64)

/* The largest response without bytes: header, number, value. */
#define SHMKV_WIRE_SMALL_RESPONSE 32u

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
  bool more;
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

/* Whether both are of the same kind and content. */
bool shmkv_field_equals (const ShmkvField *one, const ShmkvField *other);

/* Whether `field` is a byte string that begins with `prefix`, one too; or
 * `prefix` is of kind NONE, which all fields begin with. */
bool shmkv_field_begins_with (const ShmkvField *field, const ShmkvField *prefix);

/* A body of pairs, as Print, Stats and Scan answer with, is a sequence of
 * entries: a word (bits 0..3 the key's kind, bits 4..7 the value's, bit 8
 * SHMKV_WIRE_PAIR_TTL), the key's field, the value's field, and with PAIR_TTL a
 * word: the milliseconds after which it expires. */
#define SHMKV_WIRE_PAIR_TTL 0x100u

typedef struct
{
  ShmkvField key;
  ShmkvField value;
  uint64_t ttl_ms;                  /* 0: never expires */
} ShmkvPair;

/* Decodes one from private memory, as shmkv_field_decode(). */
bool shmkv_pair_decode (const uint64_t **cursor, size_t *left, ShmkvPair *pair_out);
size_t shmkv_pair_size (const ShmkvPair *pair);
uint64_t *shmkv_pair_encode (uint64_t *cursor, const ShmkvPair *pair);
