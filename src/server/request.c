/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/request.h"

/* ----------------------------------------------------------------- shapes */

#define NONE (1u << SHMKV_WIRE_KIND_NONE)
#define INTEGER (1u << SHMKV_WIRE_KIND_INTEGER)
#define BYTES (1u << SHMKV_WIRE_KIND_BYTES)

#define FLAG(name) SHMKV_WIRE_FLAG_##name

/* What a request for an operation may look like. */
typedef struct
{
  guint8 keys;                      /* a bit per kind */
  guint8 values;                    /* the same */
  guint16 flags;                    /* but for NO_RESPONSE, which all may have */
} Shape;

static const Shape shapes[SHMKV_WIRE_N_OPS] = {
  [SHMKV_WIRE_OP_INSERT] = { INTEGER | BYTES, INTEGER | BYTES,
                             FLAG (IF_ABSENT) | FLAG (IF_PRESENT) | FLAG (IF_VALUE)
                               | FLAG (IF_VERSION) | FLAG (TTL) | FLAG (SESSION) | FLAG (VERSION)
                               | FLAG (OLD) },
  [SHMKV_WIRE_OP_READ] = { INTEGER | BYTES, NONE, FLAG (VERSION) },
  [SHMKV_WIRE_OP_DELETE] = { INTEGER | BYTES, NONE,
                             FLAG (IF_VALUE) | FLAG (IF_VERSION) | FLAG (OLD) },
  [SHMKV_WIRE_OP_PRINT] = { INTEGER, NONE, 0 },
  [SHMKV_WIRE_OP_START_WORKERS] = { INTEGER, NONE, 0 },
  [SHMKV_WIRE_OP_STOP_WORKER] = { NONE, NONE, 0 },
  [SHMKV_WIRE_OP_QUIT] = { NONE, NONE, 0 },
  [SHMKV_WIRE_OP_PING] = { NONE, NONE, 0 },
  [SHMKV_WIRE_OP_STATS] = { NONE, NONE, 0 },
  [SHMKV_WIRE_OP_ADD] = { INTEGER | BYTES, INTEGER,
                          FLAG (IF_PRESENT) | FLAG (IF_VERSION) | FLAG (WRAP) | FLAG (VERSION) },
  [SHMKV_WIRE_OP_SUBTRACT] = { INTEGER | BYTES, INTEGER,
                               FLAG (IF_PRESENT) | FLAG (IF_VERSION) | FLAG (WRAP)
                                 | FLAG (VERSION) },
  [SHMKV_WIRE_OP_EXPIRE] = { INTEGER | BYTES, NONE, FLAG (TTL) },
  [SHMKV_WIRE_OP_TTL] = { INTEGER | BYTES, NONE, 0 },
  [SHMKV_WIRE_OP_SCAN] = { NONE | BYTES, BYTES, 0 },
  [SHMKV_WIRE_OP_COUNT] = { NONE, NONE, 0 },
  [SHMKV_WIRE_OP_CLEAR] = { NONE, NONE, 0 },
  [SHMKV_WIRE_OP_WAIT] = { INTEGER | BYTES, INTEGER, 0 },
  [SHMKV_WIRE_OP_WATCH] = { NONE | BYTES, INTEGER, 0 },
  [SHMKV_WIRE_OP_SESSIONS] = { NONE, NONE, 0 },
};

static gboolean
has_shape (const ShmkvHeader *header)
{
  const Shape *shape;

  /* Operation 0 is no request: nothing fits its shape. */
  if (header->op >= SHMKV_WIRE_N_OPS)
    return FALSE;
  shape = &shapes[header->op];
  return (shape->keys >> header->key_kind & 1) != 0
         && (shape->values >> header->value_kind & 1) != 0
         && (header->extra & ~(guint) (shape->flags | FLAG (NO_RESPONSE))) == 0;
}

/* ----------------------------------------------------------------- decode */

typedef struct
{
  const guint64 *at;
  gsize left;
} Payload;

static gboolean
take_field (Payload *payload, guint64 kind, ShmkvField *field_out)
{
  return kind <= SHMKV_WIRE_KIND_BYTES
         && shmkv_field_decode (&payload->at, &payload->left, (guint) kind, field_out);
}

static gboolean
take_word (Payload *payload, guint64 *word_out)
{
  if (payload->left < 8)
    return FALSE;
  *word_out = *payload->at++;
  payload->left -= 8;
  return TRUE;
}

static gboolean
take_expected (Payload *payload, ShmkvField *field_out)
{
  guint64 kind;

  return take_word (payload, &kind) && kind != SHMKV_WIRE_KIND_NONE
         && take_field (payload, kind, field_out);
}

/* All that the header announces, and nothing else. */
static gboolean
take_all (ShmkvServerRequest *request, const ShmkvHeader *header, Payload *payload)
{
  return take_field (payload, header->key_kind, &request->key)
         && take_field (payload, header->value_kind, &request->value)
         && ((request->flags & FLAG (IF_VALUE)) == 0
             || take_expected (payload, &request->expected))
         && ((request->flags & FLAG (IF_VERSION)) == 0 || take_word (payload, &request->version))
         && ((request->flags & FLAG (TTL)) == 0 || take_word (payload, &request->ttl_ms))
         && payload->left == 0;
}

/* Whether the key is a prefix of keys, or of no importance. */
static gboolean
is_prefix (guint op)
{
  return op == SHMKV_WIRE_OP_SCAN || op == SHMKV_WIRE_OP_WATCH;
}

static guint
check (const ShmkvServerRequest *request, guint64 max_value)
{
  if (request->key.kind == SHMKV_WIRE_KIND_BYTES)
    {
      if (request->key.integer > SHMKV_WIRE_MAX_KEY_SIZE)
        return SHMKV_WIRE_STATUS_TOO_LARGE;
      if (request->key.integer == 0 && !is_prefix (request->op))
        return SHMKV_WIRE_STATUS_INVALID;
    }
  /* What a scan has there are its words, and no value of a key. */
  if (request->value.kind == SHMKV_WIRE_KIND_BYTES && request->op != SHMKV_WIRE_OP_SCAN
      && request->value.integer > max_value)
    return SHMKV_WIRE_STATUS_TOO_LARGE;
  if ((request->flags & FLAG (TTL)) != 0
      && (request->ttl_ms == 0 || request->ttl_ms > SHMKV_WIRE_MAX_TTL_MS))
    return SHMKV_WIRE_STATUS_INVALID;
  return SHMKV_WIRE_STATUS_OK;
}

void
shmkv_server_request_fail (ShmkvServerRequest *request_out, guint64 header, guint64 id,
                           guint status)
{
  ShmkvHeader unpacked = shmkv_header_unpack (header);

  *request_out = (ShmkvServerRequest) {
    .op = unpacked.op,
    .status = status,
    .flags = unpacked.extra,
    .silent = (unpacked.extra & FLAG (NO_RESPONSE)) != 0,
    .id = id,
  };
}

void
shmkv_server_request_decode (ShmkvServerRequest *request_out, guint64 header, guint64 id,
                             const guint64 *payload, gsize size, guint64 max_value)
{
  ShmkvHeader unpacked = shmkv_header_unpack (header);
  Payload rest = { .at = payload, .left = size };

  shmkv_server_request_fail (request_out, header, id, SHMKV_WIRE_STATUS_UNSUPPORTED);
  if (has_shape (&unpacked) && take_all (request_out, &unpacked, &rest))
    request_out->status = check (request_out, max_value);
}

guint64
shmkv_server_request_max_payload (guint64 header, guint64 max_value)
{
  gboolean expects = (shmkv_header_unpack (header).extra & FLAG (IF_VALUE)) != 0;
  guint64 value = shmkv_field_size (SHMKV_WIRE_KIND_BYTES, max_value);

  return shmkv_field_size (SHMKV_WIRE_KIND_BYTES, SHMKV_WIRE_MAX_KEY_SIZE) + value
         + (expects ? 8 + value : 0) + 8 + 8;
}

/* -------------------------------------------------------------- properties */

gboolean
shmkv_server_request_only_asks (const ShmkvServerRequest *request)
{
  switch (request->op)
    {
    case SHMKV_WIRE_OP_READ:
    case SHMKV_WIRE_OP_PING:
    case SHMKV_WIRE_OP_STATS:
    case SHMKV_WIRE_OP_TTL:
    case SHMKV_WIRE_OP_SCAN:
    case SHMKV_WIRE_OP_COUNT:
    case SHMKV_WIRE_OP_WAIT:
    case SHMKV_WIRE_OP_WATCH:
    case SHMKV_WIRE_OP_SESSIONS:
      return TRUE;
    case SHMKV_WIRE_OP_PRINT:
      return !request->silent;
    default:
      return FALSE;
    }
}

gboolean
shmkv_server_request_is_slow (guint op)
{
  switch (op)
    {
    case SHMKV_WIRE_OP_PRINT:
    case SHMKV_WIRE_OP_START_WORKERS:
    case SHMKV_WIRE_OP_STATS:
    case SHMKV_WIRE_OP_SCAN:
    case SHMKV_WIRE_OP_COUNT:
    case SHMKV_WIRE_OP_CLEAR:
    case SHMKV_WIRE_OP_SESSIONS:
      return TRUE;
    default:
      return FALSE;
    }
}
