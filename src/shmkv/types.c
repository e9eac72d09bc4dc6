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
G_STATIC_ASSERT ((int) SHMKV_FLAG_NO_RESPONSE == SHMKV_WIRE_FLAG_NO_RESPONSE);
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
      return "the answer would be too large";
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
