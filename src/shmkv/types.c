/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "transport/name.h"
#include "wire/record.h"

#include <shmkv/shmkv.h>

/* The public numbers are those of the wire format. */
G_STATIC_ASSERT ((int) SHMKV_OP_INSERT == SHMKV_WIRE_OP_INSERT);
G_STATIC_ASSERT ((int) SHMKV_OP_READ == SHMKV_WIRE_OP_READ);
G_STATIC_ASSERT ((int) SHMKV_OP_DELETE == SHMKV_WIRE_OP_DELETE);
G_STATIC_ASSERT ((int) SHMKV_OP_PRINT == SHMKV_WIRE_OP_PRINT);
G_STATIC_ASSERT ((int) SHMKV_OP_START_WORKERS == SHMKV_WIRE_OP_START_WORKERS);
G_STATIC_ASSERT ((int) SHMKV_OP_STOP_WORKER == SHMKV_WIRE_OP_STOP_WORKER);
G_STATIC_ASSERT ((int) SHMKV_OP_QUIT == SHMKV_WIRE_OP_QUIT);
G_STATIC_ASSERT ((int) SHMKV_OP_PING == SHMKV_WIRE_OP_PING);
G_STATIC_ASSERT ((int) SHMKV_OP_STATS == SHMKV_WIRE_OP_STATS);
G_STATIC_ASSERT ((int) SHMKV_OP_ADD == SHMKV_WIRE_OP_ADD);
G_STATIC_ASSERT ((int) SHMKV_OP_SUBTRACT == SHMKV_WIRE_OP_SUBTRACT);
G_STATIC_ASSERT ((int) SHMKV_OP_EXPIRE == SHMKV_WIRE_OP_EXPIRE);
G_STATIC_ASSERT ((int) SHMKV_OP_TTL == SHMKV_WIRE_OP_TTL);
G_STATIC_ASSERT ((int) SHMKV_OP_SCAN == SHMKV_WIRE_OP_SCAN);
G_STATIC_ASSERT ((int) SHMKV_OP_COUNT == SHMKV_WIRE_OP_COUNT);
G_STATIC_ASSERT ((int) SHMKV_OP_CLEAR == SHMKV_WIRE_OP_CLEAR);
G_STATIC_ASSERT ((int) SHMKV_OP_WAIT == SHMKV_WIRE_OP_WAIT);
G_STATIC_ASSERT ((int) SHMKV_OP_WATCH == SHMKV_WIRE_OP_WATCH);
G_STATIC_ASSERT ((int) SHMKV_OP_SESSIONS == SHMKV_WIRE_OP_SESSIONS);
G_STATIC_ASSERT ((int) SHMKV_STATUS_OK == SHMKV_WIRE_STATUS_OK);
G_STATIC_ASSERT ((int) SHMKV_STATUS_ADDED == SHMKV_WIRE_STATUS_ADDED);
G_STATIC_ASSERT ((int) SHMKV_STATUS_REPLACED == SHMKV_WIRE_STATUS_REPLACED);
G_STATIC_ASSERT ((int) SHMKV_STATUS_NO_KEY == SHMKV_WIRE_STATUS_NO_KEY);
G_STATIC_ASSERT ((int) SHMKV_STATUS_UNSUPPORTED == SHMKV_WIRE_STATUS_UNSUPPORTED);
G_STATIC_ASSERT ((int) SHMKV_STATUS_OUT_OF_RANGE == SHMKV_WIRE_STATUS_OUT_OF_RANGE);
G_STATIC_ASSERT ((int) SHMKV_STATUS_TOO_MANY == SHMKV_WIRE_STATUS_TOO_MANY);
G_STATIC_ASSERT ((int) SHMKV_STATUS_LAST_WORKER == SHMKV_WIRE_STATUS_LAST_WORKER);
G_STATIC_ASSERT ((int) SHMKV_STATUS_NO_MEMORY == SHMKV_WIRE_STATUS_NO_MEMORY);
G_STATIC_ASSERT ((int) SHMKV_STATUS_BUSY == SHMKV_WIRE_STATUS_BUSY);
G_STATIC_ASSERT ((int) SHMKV_STATUS_TOO_LARGE == SHMKV_WIRE_STATUS_TOO_LARGE);
G_STATIC_ASSERT ((int) SHMKV_STATUS_MISMATCH == SHMKV_WIRE_STATUS_MISMATCH);
G_STATIC_ASSERT ((int) SHMKV_STATUS_UNCHANGED == SHMKV_WIRE_STATUS_UNCHANGED);
G_STATIC_ASSERT ((int) SHMKV_STATUS_MISSED == SHMKV_WIRE_STATUS_MISSED);
G_STATIC_ASSERT ((int) SHMKV_STATUS_NO_SPACE == SHMKV_WIRE_STATUS_NO_SPACE);
G_STATIC_ASSERT ((int) SHMKV_STATUS_WRONG_KIND == SHMKV_WIRE_STATUS_WRONG_KIND);
G_STATIC_ASSERT ((int) SHMKV_STATUS_OVERFLOW == SHMKV_WIRE_STATUS_OVERFLOW);
G_STATIC_ASSERT ((int) SHMKV_STATUS_BAD_CURSOR == SHMKV_WIRE_STATUS_BAD_CURSOR);
G_STATIC_ASSERT ((int) SHMKV_STATUS_INVALID == SHMKV_WIRE_STATUS_INVALID);
G_STATIC_ASSERT ((int) SHMKV_FLAG_NO_RESPONSE == SHMKV_WIRE_FLAG_NO_RESPONSE);
G_STATIC_ASSERT ((int) SHMKV_FLAG_IF_ABSENT == SHMKV_WIRE_FLAG_IF_ABSENT);
G_STATIC_ASSERT ((int) SHMKV_FLAG_IF_PRESENT == SHMKV_WIRE_FLAG_IF_PRESENT);
G_STATIC_ASSERT ((int) SHMKV_FLAG_IF_VALUE == SHMKV_WIRE_FLAG_IF_VALUE);
G_STATIC_ASSERT ((int) SHMKV_FLAG_IF_VERSION == SHMKV_WIRE_FLAG_IF_VERSION);
G_STATIC_ASSERT ((int) SHMKV_FLAG_TTL == SHMKV_WIRE_FLAG_TTL);
G_STATIC_ASSERT ((int) SHMKV_FLAG_SESSION == SHMKV_WIRE_FLAG_SESSION);
G_STATIC_ASSERT ((int) SHMKV_FLAG_WRAP == SHMKV_WIRE_FLAG_WRAP);
G_STATIC_ASSERT ((int) SHMKV_FLAG_VERSION == SHMKV_WIRE_FLAG_VERSION);
G_STATIC_ASSERT ((int) SHMKV_FLAG_OLD == SHMKV_WIRE_FLAG_OLD);
G_STATIC_ASSERT ((int) SHMKV_SCAN_INTEGER_KEYS == SHMKV_WIRE_SCAN_OPTION_INTEGER_KEYS);
G_STATIC_ASSERT ((int) SHMKV_SCAN_BYTES_KEYS == SHMKV_WIRE_SCAN_OPTION_BYTES_KEYS);
G_STATIC_ASSERT ((int) SHMKV_SCAN_KEYS_ONLY == SHMKV_WIRE_SCAN_OPTION_KEYS_ONLY);
G_STATIC_ASSERT ((int) SHMKV_SCAN_PERMANENT == SHMKV_WIRE_SCAN_OPTION_PERMANENT);
G_STATIC_ASSERT ((int) SHMKV_CHANGE_SET == SHMKV_WIRE_CHANGE_SET);
G_STATIC_ASSERT ((int) SHMKV_CHANGE_DELETED == SHMKV_WIRE_CHANGE_DELETED);
G_STATIC_ASSERT ((int) SHMKV_CHANGE_EXPIRED == SHMKV_WIRE_CHANGE_EXPIRED);
G_STATIC_ASSERT ((int) SHMKV_CHANGE_EVICTED == SHMKV_WIRE_CHANGE_EVICTED);
G_STATIC_ASSERT (SHMKV_KEY_MAX == SHMKV_WIRE_MAX_KEY_SIZE);
G_STATIC_ASSERT (SHMKV_TTL_MAX == SHMKV_WIRE_MAX_TTL_MS);
G_STATIC_ASSERT ((int) SHMKV_KIND_INTEGER == SHMKV_WIRE_KIND_INTEGER);
G_STATIC_ASSERT ((int) SHMKV_KIND_BYTES == SHMKV_WIRE_KIND_BYTES);
G_STATIC_ASSERT (SHMKV_NAME_MAX == SHMKV_NAME_MAX_LENGTH);

const char *
shmkv_op_to_string (ShmkvOp op)
{
  switch (op)
    {
    case SHMKV_OP_INSERT:
      return "insert";
    case SHMKV_OP_READ:
      return "read";
    case SHMKV_OP_DELETE:
      return "delete";
    case SHMKV_OP_PRINT:
      return "print";
    case SHMKV_OP_START_WORKERS:
      return "thstart";
    case SHMKV_OP_STOP_WORKER:
      return "thstop";
    case SHMKV_OP_QUIT:
      return "quit";
    case SHMKV_OP_PING:
      return "ping";
    case SHMKV_OP_STATS:
      return "stats";
    case SHMKV_OP_ADD:
      return "add";
    case SHMKV_OP_SUBTRACT:
      return "subtract";
    case SHMKV_OP_EXPIRE:
      return "expire";
    case SHMKV_OP_TTL:
      return "ttl";
    case SHMKV_OP_SCAN:
      return "scan";
    case SHMKV_OP_COUNT:
      return "count";
    case SHMKV_OP_CLEAR:
      return "clear";
    case SHMKV_OP_WAIT:
      return "wait";
    case SHMKV_OP_WATCH:
      return "watch";
    case SHMKV_OP_SESSIONS:
      return "sessions";
    }
  return "unknown";
}

const char *
shmkv_status_to_string (ShmkvStatus status)
{
  switch (status)
    {
    case SHMKV_STATUS_OK:
      return "done";
    case SHMKV_STATUS_ADDED:
      return "added";
    case SHMKV_STATUS_REPLACED:
      return "replaced";
    case SHMKV_STATUS_NO_KEY:
      return "no such key";
    case SHMKV_STATUS_MISMATCH:
      return "the condition is not met";
    case SHMKV_STATUS_UNCHANGED:
      return "unchanged";
    case SHMKV_STATUS_MISSED:
      return "changes were missed";
    case SHMKV_STATUS_UNSUPPORTED:
      return "the server does not know this operation";
    case SHMKV_STATUS_OUT_OF_RANGE:
      return "no such bucket";
    case SHMKV_STATUS_TOO_MANY:
      return "more workers than the server's --max-workers";
    case SHMKV_STATUS_LAST_WORKER:
      return "the last worker cannot be stopped";
    case SHMKV_STATUS_NO_MEMORY:
      return "the server is out of memory";
    case SHMKV_STATUS_BUSY:
      return "the server has too much of this to do: try again";
    case SHMKV_STATUS_TOO_LARGE:
      return "the key, the value or the answer is too long";
    case SHMKV_STATUS_NO_SPACE:
      return "beyond the server's --max-memory";
    case SHMKV_STATUS_WRONG_KIND:
      return "the value is not an integer";
    case SHMKV_STATUS_OVERFLOW:
      return "the result is not a 64-bit integer";
    case SHMKV_STATUS_BAD_CURSOR:
      return "not a cursor of this server";
    case SHMKV_STATUS_INVALID:
      return "an empty key, or a time to live that is not possible";
    }
  return "unknown";
}

gboolean
shmkv_status_is_failure (ShmkvStatus status)
{
  return (guint) status >= SHMKV_WIRE_STATUS_FIRST_FAILURE;
}

const char *
shmkv_version (void)
{
  return PACKAGE_VERSION;
}
