/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests of every kind: what is possible, and how it becomes records.
 *
 * The payload of a request is not put together anywhere but in the ring: it is
 * gathered from where the caller has its parts. */

#include "config.h"

#include "shmkv/error-private.h"
#include "shmkv/session-private.h"
#include "transport/crash.h"

#include <string.h>

/* ------------------------------------------------------- what is possible */

#define KIND(kind) (1u << SHMKV_KIND_##kind)
#define FLAG(flag) SHMKV_FLAG_##flag

/* What an operation can be asked with. */
typedef struct
{
  guint8 key_kinds;
  guint8 value_kinds;
  guint16 flags;                    /* beside NO_RESPONSE */
} Form;

#define A_KEY (KIND (INTEGER) | KIND (BYTES))
#define A_PREFIX (KIND (NONE) | KIND (BYTES))

static const Form forms[SHMKV_WIRE_N_OPS] = {
  [SHMKV_OP_INSERT]
  = { A_KEY, KIND (INTEGER) | KIND (BYTES),
      FLAG (IF_ABSENT) | FLAG (IF_PRESENT) | FLAG (IF_VALUE) | FLAG (IF_VERSION) | FLAG (TTL)
        | FLAG (SESSION) | FLAG (VERSION) | FLAG (OLD) },
  [SHMKV_OP_READ] = { A_KEY, KIND (NONE), FLAG (VERSION) },
  [SHMKV_OP_DELETE] = { A_KEY, KIND (NONE), FLAG (IF_VALUE) | FLAG (IF_VERSION) | FLAG (OLD) },
  [SHMKV_OP_PRINT] = { KIND (INTEGER), KIND (NONE), 0 },
  [SHMKV_OP_START_WORKERS] = { KIND (INTEGER), KIND (NONE), 0 },
  [SHMKV_OP_STOP_WORKER] = { KIND (NONE), KIND (NONE), 0 },
  [SHMKV_OP_QUIT] = { KIND (NONE), KIND (NONE), 0 },
  [SHMKV_OP_PING] = { KIND (NONE), KIND (NONE), 0 },
  [SHMKV_OP_STATS] = { KIND (NONE), KIND (NONE), 0 },
  [SHMKV_OP_ADD]
  = { A_KEY, KIND (INTEGER), FLAG (IF_PRESENT) | FLAG (IF_VERSION) | FLAG (WRAP) | FLAG (VERSION) },
  [SHMKV_OP_SUBTRACT]
  = { A_KEY, KIND (INTEGER), FLAG (IF_PRESENT) | FLAG (IF_VERSION) | FLAG (WRAP) | FLAG (VERSION) },
  [SHMKV_OP_EXPIRE] = { A_KEY, KIND (NONE), FLAG (TTL) },
  [SHMKV_OP_TTL] = { A_KEY, KIND (NONE), 0 },
  [SHMKV_OP_SCAN] = { A_PREFIX, KIND (BYTES), 0 },
  [SHMKV_OP_COUNT] = { KIND (NONE), KIND (NONE), 0 },
  [SHMKV_OP_CLEAR] = { KIND (NONE), KIND (NONE), 0 },
  [SHMKV_OP_WAIT] = { A_KEY, KIND (INTEGER), 0 },
  [SHMKV_OP_WATCH] = { A_PREFIX, KIND (INTEGER), 0 },
  [SHMKV_OP_SESSIONS] = { KIND (NONE), KIND (NONE), 0 },
};

static void set_invalid (GError **error, ShmkvError code, const char *format, ...)
  G_GNUC_PRINTF (3, 4);

static void
set_invalid (GError **error, ShmkvError code, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list arguments;

  va_start (arguments, format);
  what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, SHMKV_ERROR, (int) code, "%s: nothing was submitted", what);
}

/* Whether nothing is asked for that only a later version knows. */
static gboolean
is_understood (const ShmkvRequest *request)
{
  for (gsize i = 0; i < G_N_ELEMENTS (request->reserved); i++)
    if (request->reserved[i] != NULL)
      return FALSE;
  return TRUE;
}

/* Whether a datum, `what` of the request for `op`, is of one of these kinds. */
static gboolean
check_kind (ShmkvOp op, const char *what, const ShmkvDatum *datum, guint kinds, GError **error)
{
  const char *name = shmkv_op_to_string (op);

  if (G_LIKELY ((guint) datum->kind <= SHMKV_KIND_BYTES && (kinds >> datum->kind & 1) != 0
                && (datum->kind != SHMKV_KIND_BYTES || datum->bytes != NULL || datum->length == 0)))
    return TRUE;
  if ((guint) datum->kind > SHMKV_KIND_BYTES)
    set_invalid (error, SHMKV_ERROR_INVALID, "the %s of this %s is of kind %d, which does not exist",
                 what, name, (int) datum->kind);
  else if ((kinds >> datum->kind & 1) != 0)
    set_invalid (error, SHMKV_ERROR_INVALID, "the %s of this %s has a length and no bytes", what,
                 name);
  else if (kinds == KIND (NONE))
    set_invalid (error, SHMKV_ERROR_INVALID, "%s takes no %s", name, what);
  else if (datum->kind == SHMKV_KIND_NONE)
    set_invalid (error, SHMKV_ERROR_INVALID, "%s needs %s %s", name, *what == 'e' ? "an" : "a", what);
  else
    set_invalid (error, SHMKV_ERROR_INVALID, "%s takes no %s that is %s", name, what,
                 datum->kind == SHMKV_KIND_INTEGER ? "an integer" : "a byte string");
  return FALSE;
}

static gboolean
check_key (ShmkvOp op, const ShmkvDatum *key, GError **error)
{
  gboolean prefix = op == SHMKV_OP_SCAN || op == SHMKV_OP_WATCH;

  if (key->kind != SHMKV_KIND_BYTES)
    return TRUE;
  if (key->length == 0 && !prefix)
    set_invalid (error, SHMKV_ERROR_INVALID, "the key of this %s is empty", shmkv_op_to_string (op));
  else if (key->length > SHMKV_KEY_MAX)
    set_invalid (error, SHMKV_ERROR_INVALID,
                 "the key of this %s has %" G_GSIZE_FORMAT " bytes, more than %d",
                 shmkv_op_to_string (op), key->length, SHMKV_KEY_MAX);
  else
    return TRUE;
  return FALSE;
}

static gboolean
check_value (const ShmkvClient *client, ShmkvOp op, const ShmkvDatum *value, GError **error)
{
  /* What a scan has there are its words, and no value of a key. */
  if (value->kind != SHMKV_KIND_BYTES || op == SHMKV_OP_SCAN
      || value->length <= client->segment->max_value)
    return TRUE;
  set_invalid (error, SHMKV_ERROR_TOO_LARGE,
               "the value of this %s has %" G_GSIZE_FORMAT " bytes, more than the %" G_GUINT64_FORMAT
               " that the server named \"%s\" takes",
               shmkv_op_to_string (op), value->length, client->segment->max_value,
               client->segment->name);
  return FALSE;
}

/* What the flags announce. */
static gboolean
check_flagged (const ShmkvClient *client, const ShmkvRequest *request, GError **error)
{
  ShmkvOp op = request->op;

  if ((request->flags & SHMKV_FLAG_IF_VALUE) != 0
      && (!check_kind (op, "expected value", &request->expected, KIND (INTEGER) | KIND (BYTES), error)
          || !check_value (client, op, &request->expected, error)))
    return FALSE;
  if ((request->flags & SHMKV_FLAG_TTL) != 0
      && (request->ttl_ms == 0 || request->ttl_ms > SHMKV_TTL_MAX))
    {
      set_invalid (error, SHMKV_ERROR_INVALID,
                   "a time to live of %" G_GUINT64_FORMAT " milliseconds is not possible",
                   request->ttl_ms);
      return FALSE;
    }
  return TRUE;
}

/* What no flag announces would be lost without a word. */
static gboolean
check_unflagged (const ShmkvRequest *request, GError **error)
{
  const char *member = NULL, *flag = NULL;

  if (request->expected.kind != SHMKV_KIND_NONE && (request->flags & SHMKV_FLAG_IF_VALUE) == 0)
    member = "an expected value", flag = "IF_VALUE";
  else if (request->version != 0 && (request->flags & SHMKV_FLAG_IF_VERSION) == 0)
    member = "a version", flag = "IF_VERSION";
  else if (request->ttl_ms != 0 && (request->flags & SHMKV_FLAG_TTL) == 0)
    member = "a time to live", flag = "TTL";
  if (G_LIKELY (member == NULL))
    return TRUE;
  set_invalid (error, SHMKV_ERROR_INVALID, "%s has %s without SHMKV_FLAG_%s",
               shmkv_op_to_string (request->op), member, flag);
  return FALSE;
}

gboolean
shmkv_request_check (const ShmkvClient *client, const ShmkvRequest *request, GError **error)
{
  ShmkvOp op = request->op;
  const Form *form;
  guint foreign;

  if (G_UNLIKELY ((guint) op >= G_N_ELEMENTS (forms) || forms[op].key_kinds == 0))
    {
      set_invalid (error, SHMKV_ERROR_INVALID, "%d is not an operation", (int) op);
      return FALSE;
    }
  form = &forms[op];
  foreign = (guint) request->flags & ~((guint) form->flags | SHMKV_FLAG_NO_RESPONSE);
  if (G_UNLIKELY (foreign != 0))
    {
      set_invalid (error, SHMKV_ERROR_INVALID, "%s knows no flag 0x%x", shmkv_op_to_string (op),
                   foreign);
      return FALSE;
    }
  if (G_UNLIKELY (!is_understood (request)))
    {
      set_invalid (error, SHMKV_ERROR_INVALID, "reserved members of the request are set");
      return FALSE;
    }
  return check_kind (op, "key", &request->key, form->key_kinds, error)
         && check_kind (op, "value", &request->value, form->value_kinds, error)
         && check_key (op, &request->key, error)
         && check_value (client, op, &request->value, error)
         && check_flagged (client, request, error)
         && check_unflagged (request, error);
}

/* ----------------------------------------------------------------- gather */

/* A payload: parts that lie anywhere, each of which is padded to whole words. */
typedef struct
{
  struct
  {
    const guint8 *bytes;
    gsize length;
  } parts[10];
  guint n_parts;
  guint64 words[8];                 /* what the parts point to that the caller does not have */
  guint n_words;
  gsize size;                       /* of the payload, from here on */
  guint at;                         /* the part that comes next */
  gsize offset;                     /* and how much of it has been copied */
} Gather;

static gsize
padded (gsize length)
{
  return (length + 7) & ~(gsize) 7;
}

static void
add_bytes (Gather *gather, const void *bytes, gsize length)
{
  g_assert (gather->n_parts < G_N_ELEMENTS (gather->parts));
  gather->parts[gather->n_parts].bytes = bytes;
  gather->parts[gather->n_parts++].length = length;
  gather->size += padded (length);
}

static void
add_word (Gather *gather, guint64 word)
{
  g_assert (gather->n_words < G_N_ELEMENTS (gather->words));
  gather->words[gather->n_words] = word;
  add_bytes (gather, &gather->words[gather->n_words++], 8);
}

static void
add_field (Gather *gather, const ShmkvDatum *datum)
{
  if (datum->kind == SHMKV_KIND_INTEGER)
    add_word (gather, datum->integer);
  if (datum->kind != SHMKV_KIND_BYTES)
    return;
  add_word (gather, datum->length);
  if (datum->length > 0)
    add_bytes (gather, datum->bytes, datum->length);
}

static void
gather_request (Gather *gather, const ShmkvRequest *request)
{
  add_field (gather, &request->key);
  add_field (gather, &request->value);
  if ((request->flags & SHMKV_FLAG_IF_VALUE) != 0)
    {
      add_word (gather, request->expected.kind);
      add_field (gather, &request->expected);
    }
  if ((request->flags & SHMKV_FLAG_IF_VERSION) != 0)
    add_word (gather, request->version);
  if ((request->flags & SHMKV_FLAG_TTL) != 0)
    add_word (gather, request->ttl_ms);
}

/* Copies `n` bytes of the part that comes next, and zeros where there are no
 * more.  The server reads them after the release of `tail`, and not before
 * whatever it does: what it loads earlier is its own concern. */
static void
copy_part (Gather *gather, guint8 *to, gsize n)
{
  gsize length = gather->parts[gather->at].length;
  gsize here = gather->offset < length ? MIN (n, length - gather->offset) : 0;

  if (here > 0)
    memcpy (to, gather->parts[gather->at].bytes + gather->offset, here);
  if (here < n)
    memset (to + here, 0, n - here);
  gather->offset += n;
  if (gather->offset == padded (length))
    {
      gather->at++;
      gather->offset = 0;
    }
}

/* Copies the next `n` bytes, whole words, out of what is left. */
static void
copy_out (Gather *gather, guint8 *to, gsize n)
{
  gather->size -= n;
  while (n > 0)
    {
      gsize part = MIN (n, padded (gather->parts[gather->at].length) - gather->offset);

      copy_part (gather, to, part);
      to += part;
      n -= part;
    }
}

/* ----------------------------------------------------------------- submit */

static uint64_t *
reserve (ShmkvSession *session, guint32 length, GError **error)
{
  uint64_t *record;

  if (G_UNLIKELY (session->client->forked))
    {
      shmkv_error_set_forked (error);
      return NULL;
    }
  record = shmkv_producer_reserve (&session->requests, length);
  return record != NULL ? record : shmkv_session_wait_for_room (session, length, error);
}

/* Some pieces of a request are with the server, and there will be no more: it
 * would take whatever comes for the rest. */
static void
cut (ShmkvSession *session, GError **error)
{
  session->cut = TRUE;
  /* There is no room left, as far as is known: whoever wants some comes to where
   * the above is looked at. */
  session->requests.head = session->requests.tail - session->requests.size;
  g_prefix_error (error, "only a part of the request was submitted, and this session is of no more "
                         "use: ");
}

/* A record with what comes next, as much as fits. */
static gboolean
submit_piece (ShmkvSession *session, const ShmkvRequest *request, Gather *gather, guint64 id,
              GError **error)
{
  guint32 room = shmkv_wire_max_record (session->requests.size) - SHMKV_WIRE_HEADER_SIZE;
  guint32 here = (guint32) MIN (gather->size, room);
  guint32 length = SHMKV_WIRE_HEADER_SIZE + here;
  gboolean more = here < gather->size;
  guint64 header = shmkv_header_pack (length, request->op, request->key.kind, request->value.kind,
                                      request->flags);
  uint64_t *record = reserve (session, length, error);

  if (record == NULL)
    return FALSE;
  /* Who answers before he has seen the last piece breaks the protocol. */
  if (!more && (request->flags & SHMKV_FLAG_NO_RESPONSE) == 0)
    shmkv_session_expect (session, request->op, request->flags, id, request->user_data);
  shmkv_store_word (record, header | (more ? SHMKV_WIRE_MORE : 0));
  shmkv_store_word (record + 1, id);
  SHMKV_CRASH_POINT ("piece-half");
  copy_out (gather, (guint8 *) (record + 2), here);
  SHMKV_CRASH_POINT ("piece-filled");
  shmkv_producer_commit (&session->requests, length);
  SHMKV_CRASH_POINT ("piece-committed");
  if (shmkv_producer_unpublished (&session->requests) >= SHMKV_PUBLISH_BYTES)
    shmkv_session_publish (session);
  return TRUE;
}

guint64
shmkv_session_submit_any (ShmkvSession *session, const ShmkvRequest *request, GError **error)
{
  guint64 id = session->last_id + 1;
  Gather gather;

  /* Its arrays need no value. */
  gather.n_parts = gather.n_words = gather.at = 0;
  gather.size = gather.offset = 0;
  gather_request (&gather, request);
  if (gather.size > SHMKV_WIRE_MAX_PAYLOAD)
    {
      set_invalid (error, SHMKV_ERROR_TOO_LARGE, "this %s is too long",
                   shmkv_op_to_string (request->op));
      return 0;
    }
  if (!submit_piece (session, request, &gather, id, error))
    return 0;
  session->last_id = id;
  while (gather.size > 0)
    {
      SHMKV_CRASH_POINT ("piece-between");
      if (!submit_piece (session, request, &gather, id, error))
        {
          cut (session, error);
          return 0;
        }
    }
  return id;
}
