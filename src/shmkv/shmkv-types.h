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
  SHMKV_OP_STATS = 9          /* the server's statistics */
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
  SHMKV_STATUS_NO_KEY = 3,        /* Read, Delete: there is no such key */
  SHMKV_STATUS_UNSUPPORTED = 16,  /* the server does not know this operation, kind or flag */
  SHMKV_STATUS_OUT_OF_RANGE = 17, /* Print: there is no such bucket */
  SHMKV_STATUS_TOO_MANY = 18,     /* ThStart: beyond the server's maximum, or 0 */
  SHMKV_STATUS_LAST_WORKER = 19,  /* ThStop: the last worker cannot be stopped */
  SHMKV_STATUS_NO_MEMORY = 20,    /* the server has no memory left for this */
  SHMKV_STATUS_BUSY = 21,         /* too much of the same is under way; try again */
  SHMKV_STATUS_TOO_LARGE = 22     /* the answer would be longer than 1 GiB */
} ShmkvStatus;

/**
 * ShmkvFlags:
 *
 * @SHMKV_FLAG_NO_RESPONSE: no completion is wanted.  The request still takes
 *   its place in the session's order; if it fails, the failure is counted,
 *   see shmkv_session_get_silent_errors().
 */
typedef enum
{
  SHMKV_FLAG_NONE = 0,
  SHMKV_FLAG_NO_RESPONSE = 1 << 0
} ShmkvFlags;

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
