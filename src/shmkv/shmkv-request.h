/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv-pairs.h>
#include <shmkv/shmkv-types.h>

G_BEGIN_DECLS

/**
 * ShmkvRequest:
 * @op: what to do
 * @flags: see #ShmkvFlags
 * @key: the key; an integer that is the bucket's index for %SHMKV_OP_PRINT, the
 *   number of workers for %SHMKV_OP_START_WORKERS
 * @value: the value for %SHMKV_OP_INSERT; an integer that is how much for
 *   %SHMKV_OP_ADD and %SHMKV_OP_SUBTRACT, and the version that is known for
 *   %SHMKV_OP_WAIT, for which there is shmkv_session_wait()
 * @expected: the value that %SHMKV_FLAG_IF_VALUE asks for
 * @version: the version that %SHMKV_FLAG_IF_VERSION asks for
 * @ttl_ms: what %SHMKV_FLAG_TTL sets: 1 to %SHMKV_TTL_MAX
 * @user_data: comes back with the completion; the library does not look at it
 * @reserved: %NULL, for what later versions add
 *
 * A request of any kind.  What is not needed is to be 0, which an initializer
 * with named members sees to; @expected, @version and @ttl_ms without their flag
 * are %SHMKV_ERROR_INVALID.  What its data point to is needed only until it
 * was submitted.
 *
 * |[<!-- language="C" -->
 * ShmkvRequest request = {
 *   .op = SHMKV_OP_INSERT,
 *   .flags = SHMKV_FLAG_IF_ABSENT | SHMKV_FLAG_TTL,
 *   .key = shmkv_string ("user:42:name"),
 *   .value = shmkv_bytes (name, name_length),
 *   .ttl_ms = 60000,
 * };
 * ]|
 */
typedef struct
{
  ShmkvOp op;
  ShmkvFlags flags;
  ShmkvDatum key;
  ShmkvDatum value;
  ShmkvDatum expected;
  guint64 version;
  guint64 ttl_ms;
  gpointer user_data;
  gpointer reserved[4];
} ShmkvRequest;

/**
 * ShmkvCompletion:
 * @id: the ID of the request
 * @user_data: what was submitted with the request
 * @op: the operation
 * @status: how it ended
 * @value: where @value_kind is %SHMKV_KIND_INTEGER, the value; else 0
 * @version: with %SHMKV_FLAG_VERSION, and for %SHMKV_OP_WAIT, the key's version;
 *   the next cursor of %SHMKV_OP_SCAN, the next position of %SHMKV_OP_WATCH;
 *   else 0
 * @bytes: (nullable): where @value_kind is %SHMKV_KIND_BYTES, the value
 * @pairs: (nullable): what %SHMKV_OP_PRINT, %SHMKV_OP_STATS, %SHMKV_OP_SESSIONS,
 *   %SHMKV_OP_SCAN and %SHMKV_OP_WATCH return
 * @value_kind: the kind of the value that the answer has: of what was read, of
 *   what was replaced or deleted with %SHMKV_FLAG_OLD, the result of Add; else
 *   %SHMKV_KIND_NONE
 * @reserved: for what later versions add; not set
 *
 * The answer to a request.  Whoever takes a completion owns what it points to,
 * and frees it with shmkv_completion_clear(); one whose @bytes and @pairs are
 * %NULL owns nothing and need not be cleared.
 */
typedef struct
{
  guint64 id;
  gpointer user_data;
  ShmkvOp op;
  ShmkvStatus status;
  guint64 value;
  guint64 version;
  GBytes *bytes;
  ShmkvPairs *pairs;
  ShmkvKind value_kind;
  gpointer reserved[1];
} ShmkvCompletion;

/**
 * shmkv_completion_clear:
 * @completion: a completion
 *
 * Frees what @completion owns, and sets it to zero.
 */
SHMKV_API void shmkv_completion_clear (ShmkvCompletion *completion);

G_END_DECLS
