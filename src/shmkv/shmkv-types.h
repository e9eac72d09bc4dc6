/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Marks what the library exports; everything else is hidden. */
#ifdef __GNUC__
#define SHMKV_API extern __attribute__ ((visibility ("default")))
#else
#define SHMKV_API extern
#endif

/**
 * SHMKV_NAME_DEFAULT:
 *
 * The server name that is meant where neither an argument nor the environment
 * variable `SHMKV_NAME` gives one.
 */
#define SHMKV_NAME_DEFAULT "default"

/**
 * SHMKV_NAME_MAX:
 *
 * The longest server name, in bytes.  A name consists of ASCII letters,
 * digits, `-`, `_` and `.`, and does not begin with a dot.
 */
#define SHMKV_NAME_MAX 64

/**
 * ShmkvOp:
 *
 * What a request asks for.  The numbers are those of the wire format.
 */
typedef enum
{
  SHMKV_OP_INSERT = 1,        /* set a key to a value */
  SHMKV_OP_READ = 2,          /* the value of a key */
  SHMKV_OP_DELETE = 3,        /* forget a key */
  SHMKV_OP_PRINT = 4,         /* print a bucket on the server's standard output, and return it */
  SHMKV_OP_START_WORKERS = 5, /* ThStart(n) */
  SHMKV_OP_STOP_WORKER = 6,   /* ThStop */
  SHMKV_OP_QUIT = 7,          /* end the server */
  SHMKV_OP_PING = 8,          /* nothing but an answer */
  SHMKV_OP_STATS = 9,         /* the server's statistics */
  SHMKV_OP_ADD = 10,          /* add to an integer */
  SHMKV_OP_SUBTRACT = 11,     /* subtract from one */
  SHMKV_OP_EXPIRE = 12,       /* set or remove a key's time to live */
  SHMKV_OP_TTL = 13,          /* how long a key has to live */
  SHMKV_OP_SCAN = 14,         /* a part of all pairs; see #ShmkvScan */
  SHMKV_OP_COUNT = 15,        /* how many keys there are */
  SHMKV_OP_CLEAR = 16,        /* delete them all */
  SHMKV_OP_WAIT = 17,         /* until a key changes; see shmkv_client_wait() */
  SHMKV_OP_WATCH = 18,        /* what changed; see #ShmkvWatch */
  SHMKV_OP_SESSIONS = 19      /* statistics of each session */
} ShmkvOp;

/**
 * ShmkvStatus:
 *
 * How a request ended.  Everything below %SHMKV_STATUS_UNSUPPORTED is an
 * answer, everything from there on a failure that changed nothing.  The
 * numbers are those of the wire format.
 */
typedef enum
{
  SHMKV_STATUS_OK = 0,            /* done; Read: here is the value */
  SHMKV_STATUS_ADDED = 1,         /* Insert: the key is new */
  SHMKV_STATUS_REPLACED = 2,      /* Insert: the key had a value */
  SHMKV_STATUS_NO_KEY = 3,        /* there is no such key */
  SHMKV_STATUS_MISMATCH = 4,      /* a condition was not met; nothing changed */
  SHMKV_STATUS_UNCHANGED = 5,     /* Wait, Watch: ended by the session's next request */
  SHMKV_STATUS_MISSED = 6,        /* Watch: there were changes that the server no longer knows */
  SHMKV_STATUS_UNSUPPORTED = 16,  /* the server does not know this operation, kind or flag */
  SHMKV_STATUS_OUT_OF_RANGE = 17, /* Print: there is no such bucket */
  SHMKV_STATUS_TOO_MANY = 18,     /* ThStart: beyond the server's maximum, or 0 */
  SHMKV_STATUS_LAST_WORKER = 19,  /* ThStop: the last worker cannot be stopped */
  SHMKV_STATUS_NO_MEMORY = 20,    /* the server has no memory left for this */
  SHMKV_STATUS_BUSY = 21,         /* too much of the same is under way; try again */
  SHMKV_STATUS_TOO_LARGE = 22,    /* the key, the value or the answer is longer than allowed */
  SHMKV_STATUS_NO_SPACE = 23,     /* it would go beyond the server's memory limit */
  SHMKV_STATUS_WRONG_KIND = 24,   /* Add, Subtract: the value is not an integer */
  SHMKV_STATUS_OVERFLOW = 25,     /* Add, Subtract: the result is not a 64-bit integer */
  SHMKV_STATUS_BAD_CURSOR = 26,   /* Scan: not a cursor that this server gave */
  SHMKV_STATUS_INVALID = 27       /* an empty key, or an impossible time to live */
} ShmkvStatus;

/**
 * ShmkvFlags:
 *
 * @SHMKV_FLAG_NO_RESPONSE: no completion is wanted.  The request still takes
 *   its place in the session's order; if it fails, the failure is counted,
 *   see shmkv_session_get_silent_errors().
 * @SHMKV_FLAG_IF_ABSENT: Insert: only if there is no such key.
 * @SHMKV_FLAG_IF_PRESENT: Insert: only if there is one.  Add, Subtract: the
 *   same; without it an absent key counts as 0.
 * @SHMKV_FLAG_IF_VALUE: Insert, Delete: only if the value equals the request's
 *   `expected`, in kind and content.
 * @SHMKV_FLAG_IF_VERSION: Insert, Delete, Add, Subtract: only if the key's
 *   version is the request's `version`; 0 means that there is no such key.
 * @SHMKV_FLAG_TTL: Insert, Expire: the key expires `ttl_ms` milliseconds from
 *   when the server carries this out.  An insert without it makes a key that
 *   does not expire; Expire without it makes one of one that did.
 * @SHMKV_FLAG_SESSION: Insert: the key belongs to this session, and is deleted
 *   when the session ends, however it ends; unless another insert made it an
 *   ordinary one, or another's.
 * @SHMKV_FLAG_WRAP: Add, Subtract: calculate modulo 2^64, where otherwise the
 *   request fails with %SHMKV_STATUS_OVERFLOW.
 * @SHMKV_FLAG_VERSION: Insert, Read, Add, Subtract: the completion tells the
 *   key's version after the operation.
 * @SHMKV_FLAG_OLD: Insert, Delete: the completion tells the value that was
 *   replaced or deleted, of whatever kind.
 *
 * What a request asks for beside its operation.  The conditions may be
 * combined; where one is not met, the request completes with
 * %SHMKV_STATUS_MISMATCH and has changed nothing.
 *
 * A version is a number that tells the states of a key apart: it is never the
 * same again after a change, also where the key was deleted meanwhile.
 */
typedef enum
{
  SHMKV_FLAG_NONE = 0,
  SHMKV_FLAG_NO_RESPONSE = 1 << 0,
  SHMKV_FLAG_IF_ABSENT = 1 << 1,
  SHMKV_FLAG_IF_PRESENT = 1 << 2,
  SHMKV_FLAG_IF_VALUE = 1 << 3,
  SHMKV_FLAG_IF_VERSION = 1 << 4,
  SHMKV_FLAG_TTL = 1 << 5,
  SHMKV_FLAG_SESSION = 1 << 6,
  SHMKV_FLAG_WRAP = 1 << 7,
  SHMKV_FLAG_VERSION = 1 << 8,
  SHMKV_FLAG_OLD = 1 << 9
} ShmkvFlags;

/**
 * SHMKV_KEY_MAX:
 *
 * The longest byte string that can be a key, in bytes.  The shortest has one.
 */
#define SHMKV_KEY_MAX 65536

/**
 * SHMKV_TTL_MAX:
 *
 * The longest time to live, in milliseconds.
 */
#define SHMKV_TTL_MAX (G_GUINT64_CONSTANT (1) << 53)

/**
 * ShmkvKind:
 *
 * The kinds of keys and values.  The kind is part of a key: the integer 5 and
 * the string "5" are different keys.
 */
typedef enum
{
  SHMKV_KIND_NONE = 0,
  SHMKV_KIND_INTEGER = 1,
  SHMKV_KIND_BYTES = 2
} ShmkvKind;

/**
 * ShmkvDatum:
 * @kind: which of the others counts
 * @integer: the integer, where @kind is %SHMKV_KIND_INTEGER
 * @bytes: the bytes, where @kind is %SHMKV_KIND_BYTES; not terminated
 * @length: how many bytes
 *
 * One key or one value.  It owns nothing.
 */
typedef struct
{
  ShmkvKind kind;
  guint64 integer;
  const guint8 *bytes;
  gsize length;
} ShmkvDatum;

/**
 * shmkv_integer:
 *
 * Returns: a datum that is an integer
 */
static inline ShmkvDatum
shmkv_integer (guint64 integer)
{
  ShmkvDatum datum = { SHMKV_KIND_INTEGER, integer, NULL, 0 };

  return datum;
}

/**
 * shmkv_bytes:
 * @bytes: (array length=length): at least as long-lived as the datum
 * @length: how many bytes
 *
 * Returns: a datum that is a byte string
 */
static inline ShmkvDatum
shmkv_bytes (gconstpointer bytes, gsize length)
{
  ShmkvDatum datum = { SHMKV_KIND_BYTES, 0, (const guint8 *) bytes, length };

  return datum;
}

/**
 * shmkv_string:
 * @string: ends with a NUL, which is not part of the byte string
 *
 * Returns: a datum that is a byte string
 */
static inline ShmkvDatum
shmkv_string (const char *string)
{
  gsize length = 0;

  while (string[length] != '\0')
    length++;
  return shmkv_bytes (string, length);
}

/**
 * ShmkvChange:
 *
 * What happened to a key that is watched.
 */
typedef enum
{
  SHMKV_CHANGE_SET = 1,       /* it has a value, or another than before */
  SHMKV_CHANGE_DELETED = 2,   /* it was deleted, or its session ended */
  SHMKV_CHANGE_EXPIRED = 3,   /* its time to live ran out */
  SHMKV_CHANGE_EVICTED = 4    /* it made room for others */
} ShmkvChange;

/**
 * shmkv_op_to_string:
 *
 * Returns: (transfer none): the operation's name as users know it, such as
 *   `insert`; `unknown` for a number that is none.
 */
SHMKV_API const char *shmkv_op_to_string (ShmkvOp op);

/**
 * shmkv_status_to_string:
 *
 * Returns: (transfer none): a short lower-case description, such as
 *   `no such key`.
 */
SHMKV_API const char *shmkv_status_to_string (ShmkvStatus status);

/**
 * shmkv_status_is_failure:
 *
 * Returns: whether the request failed, as opposed to being answered.
 */
SHMKV_API gboolean shmkv_status_is_failure (ShmkvStatus status);

G_END_DECLS
