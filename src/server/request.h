/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A request in full: any operation, with whatever its flags announce.
 *
 * Pure: it works on private memory, which the request points into. */

#pragma once

#include "server/table.h"
#include "wire/record.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  guint op;                         /* as the client wrote it: what the response echoes */
  guint status;                     /* OK, or why it cannot be carried out; then only `op`,
                                     * `silent` and `id` say anything */
  guint flags;                      /* SHMKV_WIRE_FLAG_* */
  gboolean silent;                  /* no response is wanted */
  guint64 id;
  ShmkvField key;
  ShmkvField value;
  ShmkvField expected;              /* IF_VALUE */
  guint64 version;                  /* IF_VERSION */
  guint64 ttl_ms;                   /* TTL */
  ShmkvTablePlace place;            /* of the key; for the caller to fill in */
} ShmkvServerRequest;

/* `header` is the first word of its first record, `size` that of its payload.
 * Values may be as long as `max_value`. */
void shmkv_server_request_decode (ShmkvServerRequest *request_out, guint64 header, guint64 id,
                                  const guint64 *payload, gsize size, guint64 max_value);

/* One that cannot be carried out. */
void shmkv_server_request_fail (ShmkvServerRequest *request_out, guint64 header, guint64 id,
                                guint status);

/* No payload with this header is longer. */
guint64 shmkv_server_request_max_payload (guint64 header, guint64 max_value);

/* Whether it works on a key, which has its place in the table. */
static inline gboolean
shmkv_server_request_has_place (const ShmkvServerRequest *request)
{
  if (request->status != SHMKV_WIRE_STATUS_OK)
    return FALSE;
  switch (request->op)
    {
    case SHMKV_WIRE_OP_INSERT:
    case SHMKV_WIRE_OP_READ:
    case SHMKV_WIRE_OP_DELETE:
    case SHMKV_WIRE_OP_ADD:
    case SHMKV_WIRE_OP_SUBTRACT:
    case SHMKV_WIRE_OP_EXPIRE:
    case SHMKV_WIRE_OP_TTL:
    case SHMKV_WIRE_OP_WAIT:
      return TRUE;
    default:
      return FALSE;
    }
}

/* Whether it changes nothing, so that nobody misses it who hears no answer.
 * Print prints, too: for whoever wants no more than that. */
gboolean shmkv_server_request_only_asks (const ShmkvServerRequest *request);

/* Whether an operation may take longer than many others together. */
gboolean shmkv_server_request_is_slow (guint op);

G_END_DECLS
