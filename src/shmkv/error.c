/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/error-private.h"

#include "transport/segment.h"

G_DEFINE_QUARK (shmkv-error-quark, shmkv_error)

static ShmkvError
code_of_segment (int code)
{
  switch ((ShmkvSegmentError) code)
    {
    case SHMKV_SEGMENT_ERROR_INVALID:
      return SHMKV_ERROR_INVALID;
    case SHMKV_SEGMENT_ERROR_NO_SERVER:
      return SHMKV_ERROR_NO_SERVER;
    case SHMKV_SEGMENT_ERROR_ACCESS:
      return SHMKV_ERROR_ACCESS;
    case SHMKV_SEGMENT_ERROR_INCOMPATIBLE:
      return SHMKV_ERROR_INCOMPATIBLE;
    case SHMKV_SEGMENT_ERROR_IN_USE:
    case SHMKV_SEGMENT_ERROR_NO_SPACE:
    case SHMKV_SEGMENT_ERROR_SYSTEM:
      break;
    }
  return SHMKV_ERROR_SYSTEM;
}

void
shmkv_error_take_segment (GError **dest, GError *error)
{
  g_set_error_literal (dest, SHMKV_ERROR, code_of_segment (error->code), error->message);
  g_error_free (error);
}

void
shmkv_error_set_gone (GError **error, const char *name)
{
  g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE,
               "the server named \"%s\" is gone: it ended, was killed or was replaced, and whether "
               "unanswered requests were carried out is unknown",
               name);
}

void
shmkv_error_set_forked (GError **error)
{
  g_set_error_literal (error, SHMKV_ERROR, SHMKV_ERROR_FORKED,
                       "this client belongs to the parent process: make a new one after fork()");
}

void
shmkv_error_set_protocol (GError **error, const char *name, const char *what)
{
  g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_PROTOCOL,
               "the server named \"%s\" breaks the protocol: %s", name, what);
}

static ShmkvError
code_of_status (ShmkvStatus status)
{
  switch (status)
    {
    case SHMKV_STATUS_OUT_OF_RANGE:
      return SHMKV_ERROR_OUT_OF_RANGE;
    case SHMKV_STATUS_TOO_MANY:
      return SHMKV_ERROR_TOO_MANY;
    case SHMKV_STATUS_LAST_WORKER:
      return SHMKV_ERROR_LAST_WORKER;
    case SHMKV_STATUS_NO_MEMORY:
      return SHMKV_ERROR_NO_MEMORY;
    case SHMKV_STATUS_BUSY:
      return SHMKV_ERROR_BUSY;
    case SHMKV_STATUS_TOO_LARGE:
      return SHMKV_ERROR_TOO_LARGE;
    case SHMKV_STATUS_NO_SPACE:
      return SHMKV_ERROR_NO_SPACE;
    case SHMKV_STATUS_WRONG_KIND:
      return SHMKV_ERROR_WRONG_KIND;
    case SHMKV_STATUS_OVERFLOW:
      return SHMKV_ERROR_OVERFLOW;
    case SHMKV_STATUS_BAD_CURSOR:
      return SHMKV_ERROR_BAD_CURSOR;
    case SHMKV_STATUS_INVALID:
      return SHMKV_ERROR_INVALID;
    case SHMKV_STATUS_UNSUPPORTED:
    case SHMKV_STATUS_OK:
    case SHMKV_STATUS_ADDED:
    case SHMKV_STATUS_REPLACED:
    case SHMKV_STATUS_NO_KEY:
    case SHMKV_STATUS_MISMATCH:
    case SHMKV_STATUS_UNCHANGED:
    case SHMKV_STATUS_MISSED:
      break;
    }
  return SHMKV_ERROR_UNSUPPORTED;
}

/* Whether it changes something, where it does not fail. */
static gboolean
is_change (ShmkvOp op)
{
  switch (op)
    {
    case SHMKV_OP_INSERT:
    case SHMKV_OP_DELETE:
    case SHMKV_OP_ADD:
    case SHMKV_OP_SUBTRACT:
    case SHMKV_OP_EXPIRE:
    case SHMKV_OP_START_WORKERS:
    case SHMKV_OP_STOP_WORKER:
      return TRUE;
    default:
      return FALSE;
    }
}

/* Whether it is the last that this library knows, or one before. */
static gboolean
is_known (ShmkvStatus status)
{
  return (guint) status <= SHMKV_STATUS_INVALID;
}

void
shmkv_error_set_status (GError **error, ShmkvOp op, ShmkvStatus status)
{
  if (is_known (status))
    g_set_error (error, SHMKV_ERROR, (int) code_of_status (status), "%s failed: %s%s",
                 shmkv_op_to_string (op), shmkv_status_to_string (status),
                 is_change (op) ? ": nothing was changed" : "");
  else
    g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_UNSUPPORTED,
                 "%s failed for a reason that only later versions of this library know: status %u",
                 shmkv_op_to_string (op), (guint) status);
}
