/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv-types.h>

G_BEGIN_DECLS

/**
 * SHMKV_ERROR:
 *
 * The error domain of the library.  Programming errors, such as a %NULL
 * session, are not reported through it but by g_return_if_fail().
 */
#define SHMKV_ERROR (shmkv_error_quark ())

/**
 * ShmkvError:
 *
 * @SHMKV_ERROR_INVALID: an argument is not valid, such as a server name with
 *   a slash, or a key that an operation does not take; nothing was sent.  Also
 *   %SHMKV_STATUS_INVALID from a blocking call.
 * @SHMKV_ERROR_NO_SERVER: no server runs under that name.
 * @SHMKV_ERROR_ACCESS: there is something under that name, but this user may
 *   not use it, or it belongs to somebody who cannot be trusted.
 * @SHMKV_ERROR_INCOMPATIBLE: the server speaks another version of the
 *   protocol, or its memory is not laid out as this library expects.
 * @SHMKV_ERROR_SERVER_GONE: the server ended, was killed or was replaced.  The
 *   outcome of requests that were not answered is unknown.  The client is of
 *   no more use: make a new one.
 * @SHMKV_ERROR_TIMEOUT: the time-out ran out.  The outcome of the request is
 *   unknown.
 * @SHMKV_ERROR_NO_SESSION: every session that the server was started with is
 *   taken.
 * @SHMKV_ERROR_DROPPED: the server no longer serves this session, because
 *   what it found in its lane broke the protocol.  Or only a part of a long
 *   request could be submitted, and nothing can be submitted behind it.
 * @SHMKV_ERROR_PROTOCOL: what the server wrote breaks the protocol.
 * @SHMKV_ERROR_FORKED: the handle was made by the parent process.
 * @SHMKV_ERROR_UNSUPPORTED: %SHMKV_STATUS_UNSUPPORTED from a blocking call.
 * @SHMKV_ERROR_OUT_OF_RANGE: %SHMKV_STATUS_OUT_OF_RANGE from a blocking call.
 * @SHMKV_ERROR_TOO_MANY: %SHMKV_STATUS_TOO_MANY from a blocking call.
 * @SHMKV_ERROR_LAST_WORKER: %SHMKV_STATUS_LAST_WORKER from a blocking call.
 * @SHMKV_ERROR_NO_MEMORY: %SHMKV_STATUS_NO_MEMORY from a blocking call.  Or
 *   this process had no memory for an answer, which is lost: then the session
 *   is of no more use.  Or it had none for a session.
 * @SHMKV_ERROR_BUSY: %SHMKV_STATUS_BUSY from a blocking call.
 * @SHMKV_ERROR_TOO_LARGE: a value is longer than the server takes, see
 *   shmkv_client_get_max_value(), and nothing was sent.  Or
 *   %SHMKV_STATUS_TOO_LARGE from a blocking call.
 * @SHMKV_ERROR_NO_SPACE: %SHMKV_STATUS_NO_SPACE from a blocking call.
 * @SHMKV_ERROR_WRONG_KIND: %SHMKV_STATUS_WRONG_KIND from a blocking call.  Or
 *   the value that was read is a byte string, where the call returns integers.
 * @SHMKV_ERROR_OVERFLOW: %SHMKV_STATUS_OVERFLOW from a blocking call.
 * @SHMKV_ERROR_BAD_CURSOR: %SHMKV_STATUS_BAD_CURSOR from a blocking call.
 * @SHMKV_ERROR_SYSTEM: a system call failed; the message says which and why.
 */
typedef enum
{
  SHMKV_ERROR_INVALID,
  SHMKV_ERROR_NO_SERVER,
  SHMKV_ERROR_ACCESS,
  SHMKV_ERROR_INCOMPATIBLE,
  SHMKV_ERROR_SERVER_GONE,
  SHMKV_ERROR_TIMEOUT,
  SHMKV_ERROR_NO_SESSION,
  SHMKV_ERROR_DROPPED,
  SHMKV_ERROR_PROTOCOL,
  SHMKV_ERROR_FORKED,
  SHMKV_ERROR_UNSUPPORTED,
  SHMKV_ERROR_OUT_OF_RANGE,
  SHMKV_ERROR_TOO_MANY,
  SHMKV_ERROR_LAST_WORKER,
  SHMKV_ERROR_NO_MEMORY,
  SHMKV_ERROR_BUSY,
  SHMKV_ERROR_TOO_LARGE,
  SHMKV_ERROR_NO_SPACE,
  SHMKV_ERROR_WRONG_KIND,
  SHMKV_ERROR_OVERFLOW,
  SHMKV_ERROR_BAD_CURSOR,
  SHMKV_ERROR_SYSTEM
} ShmkvError;

SHMKV_API GQuark shmkv_error_quark (void);

G_END_DECLS
