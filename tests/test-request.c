/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests and answers of every kind and length, against a server that the test
 * makes up: what is submitted arrives, word by word, and what is answered is
 * taken, whatever the size of the rings.
 *
 * Requests and answers are made of a number, so that both ends can make them. */

#include "config.h"

#include "peer.h"
#include "shmkv/session-private.h"
#include "util.h"

#include <shmkv/shmkv.h>

#include <string.h>

#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE
#define SESSIONS 4
#define MAX_VALUE 30000

/* Long enough to be told apart from at once, short enough to wait for. */
#define SHORT_US 50000

/* ------------------------------------------------------------------- numbers */

/* Bytes that `number` stands for, at an address that is no multiple of 8, and
 * with nothing behind. */
typedef struct
{
  guint8 *memory;
  ShmkvDatum datum;
} Made;

static Made
make_bytes (guint64 number, gsize length)
{
  guint shift = (guint) (number % 8);
  Made made = { .memory = g_malloc (shift + length + 1) };

  for (gsize i = 0; i < length; i++)
    made.memory[shift + i] = (guint8) (number + i * 7 + i / 256);
  made.datum = shmkv_bytes (made.memory + shift, length);
  return made;
}

static gsize
make_length (GRand *rand, gsize max)
{
  switch (g_rand_int_range (rand, 0, 8))
    {
    case 0:
      return (gsize) g_rand_int_range (rand, 0, (gint32) max + 1);
    case 1:
      return max;
    case 2:
      return 0;
    default:
      return (gsize) g_rand_int_range (rand, 0, 100);
    }
}

static Made
make_datum (GRand *rand, gsize min, gsize max, gboolean big)
{
  guint64 number = (guint64) g_rand_int (rand) << 32 | g_rand_int (rand);

  gsize length;

  if (g_rand_boolean (rand))
    return (Made) { .datum = shmkv_integer (number) };
  length = make_length (rand, big ? max : 200);
  return make_bytes (number, CLAMP (length, min, max));
}

typedef struct
{
  ShmkvRequest request;
  Made key, value, expected;
} MadeRequest;

static ShmkvFlags
make_flags (GRand *rand, guint possible)
{
  /* All, none, or some. */
  guint mask = g_rand_int (rand) & (g_rand_boolean (rand) ? G_MAXUINT : g_rand_int (rand));

  return (ShmkvFlags) (possible & mask);
}

static void
make_request (MadeRequest *made, guint64 number)
{
  GRand *rand = g_rand_new_with_seed ((guint32) number);
  gboolean big = g_rand_int_range (rand, 0, 4) == 0;
  ShmkvRequest *request = &made->request;

  memset (made, 0, sizeof *made);
  made->key = make_datum (rand, 1, SHMKV_KEY_MAX, big && g_rand_boolean (rand));
  switch (g_rand_int_range (rand, 0, 6))
    {
    case 0:
    case 1:
      request->op = SHMKV_OP_INSERT;
      request->flags = make_flags (rand, (SHMKV_FLAG_WRAP - 1) | SHMKV_FLAG_VERSION
                                           | SHMKV_FLAG_OLD);
      made->value = make_datum (rand, 0, MAX_VALUE, big);
      break;
    case 2:
      request->op = SHMKV_OP_READ;
      request->flags = make_flags (rand, SHMKV_FLAG_VERSION | SHMKV_FLAG_NO_RESPONSE);
      break;
    case 3:
      request->op = SHMKV_OP_DELETE;
      request->flags = make_flags (rand, SHMKV_FLAG_IF_VALUE | SHMKV_FLAG_IF_VERSION
                                           | SHMKV_FLAG_OLD);
      break;
    case 4:
      request->op = SHMKV_OP_ADD;
      request->flags = make_flags (rand, SHMKV_FLAG_IF_VERSION | SHMKV_FLAG_WRAP);
      made->value = (Made) { .datum = shmkv_integer (number) };
      break;
    default:
      request->op = SHMKV_OP_EXPIRE;
      request->flags = make_flags (rand, SHMKV_FLAG_TTL);
      break;
    }
  request->key = made->key.datum;
  request->value = made->value.datum;
  if ((request->flags & SHMKV_FLAG_IF_VALUE) != 0)
    {
      made->expected = make_datum (rand, 0, MAX_VALUE, big);
      request->expected = made->expected.datum;
    }
  if ((request->flags & SHMKV_FLAG_IF_VERSION) != 0)
    request->version = number * 3;
  if ((request->flags & SHMKV_FLAG_TTL) != 0)
    request->ttl_ms = 1 + number % SHMKV_TTL_MAX;
  request->user_data = GSIZE_TO_POINTER (number);
  g_rand_free (rand);
}

static void
clear_request (MadeRequest *made)
{
  g_free (made->key.memory);
  g_free (made->value.memory);
  g_free (made->expected.memory);
}

/* What a request is answered with: a status, a number and a value. */
typedef struct
{
  guint status;
  ShmkvField number;
  Made value;
  ShmkvField field;
} MadeAnswer;

static void
make_answer (MadeAnswer *made, guint64 id, guint op, guint flags)
{
  GRand *rand = g_rand_new_with_seed ((guint32) id + 77);
  gboolean bytes = op == SHMKV_OP_READ || (flags & SHMKV_FLAG_OLD) != 0;

  memset (made, 0, sizeof *made);
  /* Also such as do not exist yet. */
  made->status = (guint) g_rand_int_range (rand, 0, 40);
  if ((flags & SHMKV_FLAG_VERSION) != 0 && g_rand_boolean (rand))
    made->number = (ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = id * 11 };
  if (g_rand_int_range (rand, 0, 3) > 0)
    made->value = make_datum (rand, 0, MAX_VALUE, g_rand_int_range (rand, 0, 8) == 0);
  if (made->value.datum.kind == SHMKV_KIND_BYTES && !bytes)
    {
      g_clear_pointer (&made->value.memory, g_free);
      made->value.datum = shmkv_integer (id);
    }
  made->field = (ShmkvField) { .kind = made->value.datum.kind };
  if (made->field.kind == SHMKV_WIRE_KIND_BYTES)
    {
      made->field.integer = made->value.datum.length;
      made->field.bytes = made->value.datum.bytes;
    }
  else
    made->field.integer = made->value.datum.integer;
  g_rand_free (rand);
}

/* ---------------------------------------------------------------- the server */

static void
assert_datum (const ShmkvField *field, const ShmkvDatum *datum)
{
  g_assert_cmpuint (field->kind, ==, datum->kind);
  if (field->kind == SHMKV_WIRE_KIND_INTEGER)
    g_assert_cmpuint (field->integer, ==, datum->integer);
  if (field->kind == SHMKV_WIRE_KIND_BYTES)
    g_assert_cmpmem (field->bytes, field->integer, datum->bytes, datum->length);
}

typedef struct
{
  const guint64 *cursor;
  gsize left;
} Payload;

static ShmkvField
next_field (Payload *payload, guint kind)
{
  const guint64 *before = payload->cursor;
  ShmkvField field;

  g_assert_true (shmkv_field_decode (&payload->cursor, &payload->left, kind, &field));
  if (kind == SHMKV_WIRE_KIND_BYTES)
    for (const guint8 *byte = (const guint8 *) (before + 1) + field.integer;
         byte < (const guint8 *) payload->cursor; byte++)
      g_assert_cmpuint (*byte, ==, 0);
  return field;
}

static guint64
next_word (Payload *payload)
{
  return next_field (payload, SHMKV_WIRE_KIND_INTEGER).integer;
}

/* What arrived is what was submitted. */
static void
check_request (const PeerRequest *arrived, const ShmkvRequest *request)
{
  Payload payload = { arrived->payload, arrived->size };
  gsize room = shmkv_wire_max_record (RING_SIZE) - SHMKV_WIRE_HEADER_SIZE;
  ShmkvField field;

  g_assert_cmpuint (arrived->header.op, ==, request->op);
  g_assert_cmpuint (arrived->header.extra, ==, request->flags);
  g_assert_cmpuint (arrived->n_pieces, ==, arrived->size == 0 ? 1 : (arrived->size - 1) / room + 1);
  field = next_field (&payload, arrived->header.key_kind);
  assert_datum (&field, &request->key);
  field = next_field (&payload, arrived->header.value_kind);
  assert_datum (&field, &request->value);
  if ((request->flags & SHMKV_FLAG_IF_VALUE) != 0)
    {
      field = next_field (&payload, (guint) next_word (&payload));
      assert_datum (&field, &request->expected);
    }
  if ((request->flags & SHMKV_FLAG_IF_VERSION) != 0)
    g_assert_cmpuint (next_word (&payload), ==, request->version);
  if ((request->flags & SHMKV_FLAG_TTL) != 0)
    g_assert_cmpuint (next_word (&payload), ==, request->ttl_ms);
  g_assert_cmpuint (payload.left, ==, 0);
}

static gboolean
is_fast (guint64 id)
{
  return id % 5 == 2;
}

/* Request `id` is made of this number; see submit_number(). */
static void
echo (Peer *peer, const PeerRequest *arrived, gpointer data)
{
  guint64 seed = *(const guint64 *) data;
  MadeAnswer answer;

  if (is_fast (arrived->id))
    {
      g_assert_cmpuint (arrived->header.op, ==, SHMKV_WIRE_OP_READ);
      g_assert_cmpuint (arrived->size, ==, 8);
      g_assert_cmpuint (arrived->payload[0], ==, arrived->id);
    }
  else
    {
      MadeRequest made;

      make_request (&made, seed + arrived->id);
      check_request (arrived, &made.request);
      clear_request (&made);
    }
  make_answer (&answer, seed + arrived->id, arrived->header.op, arrived->header.extra);
  peer_answer (peer, arrived, answer.status, &answer.number, &answer.field);
  g_free (answer.value.memory);
}

/* ------------------------------------------------------------------- fixture */

typedef struct
{
  guint64 seed;
  Peer *peer;
  ShmkvClient *client;
  ShmkvSession *session;
} Fixture;

static void
set_up_with (Fixture *fixture, guint64 max_value, PeerHandler handler, gpointer data)
{
  g_autoptr (GError) error = NULL;

  fixture->seed = (guint32) g_test_rand_int ();
  fixture->peer = peer_new (SESSIONS, RING_SIZE, max_value, handler,
                            data != NULL ? data : &fixture->seed);
  fixture->client = shmkv_client_new (peer_get_name (fixture->peer), &error);
  g_assert_no_error (error);
  shmkv_client_set_timeout (fixture->client, UTIL_PATIENCE_US);
  fixture->session = shmkv_session_new (fixture->client, &error);
  g_assert_no_error (error);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  set_up_with (fixture, MAX_VALUE, echo, NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  shmkv_session_free (fixture->session);
  shmkv_client_unref (fixture->client);
  peer_free (fixture->peer);
}

static void
assert_code (GError *error, ShmkvError code)
{
  g_assert_error (error, SHMKV_ERROR, (int) code);
  g_assert_cmpuint (strlen (error->message), >, 20);
  g_error_free (error);
}

/* Submits what its ID stands for. */
static void
submit_number (Fixture *fixture, guint64 id)
{
  g_autoptr (GError) error = NULL;
  MadeRequest made;
  guint64 submitted;

  if (is_fast (id))
    {
      g_assert_cmpuint (shmkv_session_submit_read (fixture->session, id, 0,
                                                   GSIZE_TO_POINTER (fixture->seed + id), &error),
                        ==, id);
      return;
    }
  make_request (&made, fixture->seed + id);
  submitted = shmkv_session_submit (fixture->session, &made.request, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (submitted, ==, id);
  clear_request (&made);
}

static gboolean
is_silent (const Fixture *fixture, guint64 id)
{
  MadeRequest made;
  gboolean silent;

  if (is_fast (id))
    return FALSE;
  make_request (&made, fixture->seed + id);
  silent = (made.request.flags & SHMKV_FLAG_NO_RESPONSE) != 0;
  clear_request (&made);
  return silent;
}

/* Clears it, too. */
static void
check_completion (const Fixture *fixture, ShmkvCompletion *completion, guint64 id)
{
  MadeRequest made = { .request = { .op = SHMKV_OP_READ } };
  MadeAnswer answer;

  if (!is_fast (id))
    make_request (&made, fixture->seed + id);
  make_answer (&answer, fixture->seed + id, made.request.op, made.request.flags);
  g_assert_cmpuint (completion->id, ==, id);
  g_assert_true (completion->user_data == GSIZE_TO_POINTER (fixture->seed + id));
  g_assert_cmpint (completion->op, ==, made.request.op);
  g_assert_cmpint (completion->status, ==, answer.status);
  g_assert_cmpuint (completion->version, ==, answer.number.integer);
  g_assert_cmpint (completion->value_kind, ==, answer.field.kind);
  g_assert_null (completion->pairs);
  if (answer.field.kind == SHMKV_WIRE_KIND_BYTES)
    {
      gsize length;
      gconstpointer bytes = g_bytes_get_data (completion->bytes, &length);

      g_assert_cmpmem (bytes, length, answer.field.bytes, answer.field.integer);
      g_assert_cmpuint (completion->value, ==, 0);
    }
  else
    {
      g_assert_null (completion->bytes);
      g_assert_cmpuint (completion->value, ==, answer.field.integer);
    }
  shmkv_completion_clear (completion);
  g_assert_null (completion->bytes);
  g_free (answer.value.memory);
  clear_request (&made);
}

/* Takes up to `most`; `*taken` is the ID of the last that was. */
static gsize
take (Fixture *fixture, gsize most, gint64 timeout_us, guint64 *taken)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completions[32];
  gssize n = shmkv_session_take (fixture->session, completions,
                                 MIN (most, G_N_ELEMENTS (completions)), timeout_us, &error);

  g_assert_no_error (error);
  for (gssize i = 0; i < n; i++)
    {
      do
        ++*taken;
      while (is_silent (fixture, *taken));
      check_completion (fixture, &completions[i], *taken);
    }
  return (gsize) n;
}

static void
take_all (Fixture *fixture, guint64 *taken)
{
  g_assert_true (shmkv_session_flush (fixture->session, NULL));
  while (shmkv_session_get_in_flight (fixture->session) > 0)
    g_assert_cmpuint (take (fixture, 32, UTIL_PATIENCE_US, taken), >, 0);
}

/* --------------------------------------------------------- there and back */

static void
test_round_trip (Fixture *fixture, gconstpointer data)
{
  guint64 taken = 0;

  for (guint64 id = 1; id <= UTIL_N (20000); id++)
    {
      submit_number (fixture, id);
      if (util_random_range (0, 10) == 0)
        take (fixture, util_random_range (1, 20), 0, &taken);
      if (util_random_range (0, 500) == 0)
        take_all (fixture, &taken);
    }
  take_all (fixture, &taken);
}

/* Nobody takes anything before all is submitted. */
static void
test_backlog (Fixture *fixture, gconstpointer data)
{
  guint64 taken = 0;

  for (guint64 id = 1; id <= UTIL_N (6000); id++)
    submit_number (fixture, id);
  take_all (fixture, &taken);
}

typedef struct
{
  Fixture *fixture;
  _Atomic gboolean submitted;
} TwoThreads;

static gpointer
be_taking (gpointer data)
{
  TwoThreads *two = data;
  guint64 taken = 0;

  while (!atomic_load (&two->submitted) || shmkv_session_get_in_flight (two->fixture->session) > 0)
    take (two->fixture, 32, 1000, &taken);
  return NULL;
}

static void
test_two_threads (Fixture *fixture, gconstpointer data)
{
  TwoThreads two = { .fixture = fixture };
  GThread *thread = g_thread_new ("taking", be_taking, &two);

  for (guint64 id = 1; id <= UTIL_N (20000); id++)
    submit_number (fixture, id);
  g_assert_true (shmkv_session_flush (fixture->session, NULL));
  atomic_store (&two.submitted, TRUE);
  g_thread_join (thread);
  g_assert_cmpuint (shmkv_session_get_in_flight (fixture->session), ==, 0);
}

/* Answers with the value of an insert to the read that follows. */
typedef struct
{
  guint64 *payload;
  gsize size;
} Memory;

static void
remember (Peer *peer, const PeerRequest *request, gpointer data)
{
  static const ShmkvField none = { .kind = SHMKV_WIRE_KIND_NONE };
  Memory *memory = data;

  if (request->header.op == SHMKV_WIRE_OP_INSERT)
    {
      g_free (memory->payload);
      memory->payload = g_memdup2 (request->payload, request->size);
      memory->size = request->size;
      peer_answer (peer, request, SHMKV_WIRE_STATUS_ADDED, &none, &none);
    }
  else
    {
      Payload payload = { memory->payload, memory->size };
      ShmkvField value;

      next_word (&payload);
      value = next_field (&payload, SHMKV_WIRE_KIND_BYTES);
      peer_answer (peer, request, SHMKV_WIRE_STATUS_OK, &none, &value);
    }
}

/* Every length near the ends of pieces, and the longest. */
static void
test_lengths (void)
{
  gsize room = shmkv_wire_max_record (RING_SIZE) - SHMKV_WIRE_HEADER_SIZE;
  gsize max = 5 * 1024 * 1024;
  Memory memory = { .payload = NULL };
  Fixture fixture;

  set_up_with (&fixture, max, remember, &memory);
  g_assert_cmpuint (shmkv_client_get_max_value (fixture.client), ==, max);
  for (guint i = 0; i < 3 * 64 + 2; i++)
    {
      gsize length = i < 192 ? room * (1 + i / 64) - 48 + i % 64 : max - (i - 192);
      Made value = make_bytes (i, length);
      ShmkvRequest requests[2]
        = { { .op = SHMKV_OP_INSERT, .key = shmkv_integer (1), .value = value.datum },
            { .op = SHMKV_OP_READ, .key = shmkv_integer (1) } };
      ShmkvCompletion completions[2];
      g_autoptr (GError) error = NULL;
      gsize n;
      gconstpointer bytes;

      shmkv_session_call_many (fixture.session, requests, 2, completions, &error);
      g_assert_no_error (error);
      bytes = g_bytes_get_data (completions[1].bytes, &n);
      g_assert_cmpmem (bytes, n, value.datum.bytes, length);
      shmkv_completion_clear (&completions[1]);
      g_free (value.memory);
    }
  tear_down (&fixture, NULL);
  g_free (memory.payload);
}

/* ------------------------------------------------------------- call many */

static void
check_call_many (Fixture *fixture, guint64 first, gsize n)
{
  g_autofree MadeRequest *made = g_new (MadeRequest, n + 1);
  g_autofree ShmkvRequest *requests = g_new (ShmkvRequest, n + 1);
  g_autofree ShmkvCompletion *completions = g_new (ShmkvCompletion, n + 1);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < n; i++)
    {
      make_request (&made[i], fixture->seed + first + i);
      requests[i] = made[i].request;
      if (is_fast (first + i))
        requests[i] = (ShmkvRequest) { .op = SHMKV_OP_READ,
                                       .key = shmkv_integer (first + i),
                                       .user_data = made[i].request.user_data };
    }
  memset (completions, 0xaa, n * sizeof *completions);
  shmkv_session_call_many (fixture->session, requests, n, completions, &error);
  g_assert_no_error (error);
  for (gsize i = 0; i < n; i++)
    {
      check_completion (fixture, &completions[i], first + i);
      clear_request (&made[i]);
    }
}

/* Some are in flight before, which stay where they are. */
static void
test_call_many (Fixture *fixture, gconstpointer data)
{
  static const gsize numbers[] = { 0, 1, 2, 3, 100, 3000, 1, 500 };
  guint64 taken = 0, id = 1;

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      guint64 before;

      for (guint k = 0; k < i * 7; k++)
        submit_number (fixture, id++);
      before = shmkv_session_get_in_flight (fixture->session);
      /* A call takes no silent requests. */
      for (gsize left = numbers[i]; left > 0;)
        {
          gsize n = 0;

          while (is_silent (fixture, id))
            submit_number (fixture, id++);
          while (n < left && !is_silent (fixture, id + n))
            n++;
          check_call_many (fixture, id, n);
          id += n;
          left -= n;
        }
      g_assert_cmpuint (shmkv_session_get_in_flight (fixture->session), ==, before);
      while (shmkv_session_get_in_flight (fixture->session) > 0)
        {
          /* Those of the calls are not among them. */
          ShmkvCompletion completion;

          g_assert_cmpint (shmkv_session_take (fixture->session, &completion, 1, -1, NULL), ==, 1);
          g_assert_cmpuint (completion.id, >, taken);
          taken = completion.id;
          check_completion (fixture, &completion, taken);
        }
      taken = id - 1;
    }
}

/* Integers, far more than fit the rings and all that is between. */
static void
count_up (Peer *peer, const PeerRequest *request, gpointer data)
{
  static const ShmkvField none = { .kind = SHMKV_WIRE_KIND_NONE };
  ShmkvField value = { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = request->payload[0] + 1 };

  peer_answer (peer, request, SHMKV_WIRE_STATUS_OK, &none, &value);
}

static void
test_call_many_integers (void)
{
  gsize n = UTIL_N (1000000);
  g_autofree ShmkvRequest *requests = g_new0 (ShmkvRequest, n);
  g_autofree ShmkvCompletion *completions = g_new (ShmkvCompletion, n);
  Fixture fixture;

  set_up_with (&fixture, MAX_VALUE, count_up, NULL);
  for (gsize i = 0; i < n; i++)
    requests[i] = (ShmkvRequest) { .op = SHMKV_OP_READ, .key = shmkv_integer (i * 3) };
  g_assert_true (shmkv_session_call_many (fixture.session, requests, n, completions, NULL));
  for (gsize i = 0; i < n; i++)
    {
      g_assert_cmpuint (completions[i].id, ==, i + 1);
      g_assert_cmpuint (completions[i].value, ==, i * 3 + 1);
    }
  g_assert_cmpuint (shmkv_session_get_in_flight (fixture.session), ==, 0);
  g_assert_true (shmkv_client_call_many (fixture.client, requests, 100, completions, NULL));
  g_assert_cmpuint (completions[99].value, ==, 99 * 3 + 1);
  tear_down (&fixture, NULL);
}

/* Answers only the first `*data` of all requests. */
static void
count_up_to (Peer *peer, const PeerRequest *request, gpointer data)
{
  _Atomic guint64 *last = data;

  if (request->id <= atomic_load (last))
    count_up (peer, request, data);
}

/* What came in time is handed out; what comes later is nobody's. */
static void
test_call_many_timeout (void)
{
  const guint n = 1000;
  g_autofree ShmkvRequest *requests = g_new0 (ShmkvRequest, n);
  g_autofree ShmkvCompletion *completions = g_new (ShmkvCompletion, n);
  _Atomic guint64 last = 400;
  GError *error = NULL;
  Fixture fixture;

  set_up_with (&fixture, MAX_VALUE, count_up_to, &last);
  fixture.session->timeout_us = SHORT_US;
  for (guint i = 0; i < n; i++)
    requests[i] = (ShmkvRequest) { .op = SHMKV_OP_READ, .key = shmkv_integer (i) };
  g_assert_false (shmkv_session_call_many (fixture.session, requests, n, completions, &error));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_TIMEOUT);
  for (guint i = 0; i < n; i++)
    {
      g_assert_cmpuint (completions[i].id, ==, i < 400 ? i + 1 : 0);
      g_assert_cmpuint (completions[i].value, ==, i < 400 ? i + 1 : 0);
    }
  g_assert_cmpuint (shmkv_session_get_in_flight (fixture.session), ==, 0);
  tear_down (&fixture, NULL);
}

/* Nothing is submitted where one of them is wrong. */
static void
test_call_many_invalid (Fixture *fixture, gconstpointer data)
{
  ShmkvRequest requests[3] = { { .op = SHMKV_OP_READ, .key = shmkv_integer (1) },
                               { .op = SHMKV_OP_READ, .key = shmkv_integer (1) },
                               { .op = SHMKV_OP_READ } };
  ShmkvCompletion completions[3];
  GError *error = NULL;

  memset (completions, 0xaa, sizeof completions);
  g_assert_false (shmkv_session_call_many (fixture->session, requests, 3, completions, &error));
  g_assert_nonnull (strstr (error->message, "request 3 of 3"));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (completions[i].id, ==, 0);
  g_assert_false (shmkv_client_call_many (fixture->client, requests, 3, completions, &error));
  g_assert_nonnull (strstr (error->message, "request 3 of 3"));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  g_assert_cmpuint (peer_count_records (fixture->peer), ==, 0);
}

/* ---------------------------------------------------------------- the limits */

static void
assert_refused (Fixture *fixture, ShmkvRequest request, ShmkvError code, const char *fragment)
{
  ShmkvCompletion completion;
  GError *error = NULL;

  g_assert_cmpuint (shmkv_session_submit (fixture->session, &request, &error), ==, 0);
  if (strstr (error->message, fragment) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, fragment);
  g_assert_nonnull (strstr (error->message, "nothing was submitted"));
  assert_code (g_steal_pointer (&error), code);
  g_assert_false (shmkv_client_call (fixture->client, &request, &completion, &error));
  assert_code (g_steal_pointer (&error), code);
  /* Without anyone who wants to know why. */
  g_assert_cmpuint (shmkv_session_submit (fixture->session, &request, NULL), ==, 0);
}

static void
test_refused (Fixture *fixture, gconstpointer data)
{
  static const guint8 zeros[SHMKV_KEY_MAX + 1];
  const ShmkvDatum one = shmkv_integer (1), text = shmkv_string ("text");
  const ShmkvDatum empty = shmkv_bytes (NULL, 0), nowhere = shmkv_bytes (NULL, 5);
  const ShmkvDatum long_key = shmkv_bytes (zeros, sizeof zeros);
  const ShmkvDatum long_value = shmkv_bytes (zeros, MAX_VALUE + 1);
  const ShmkvDatum strange = { .kind = (ShmkvKind) 3 }, stranger = { .kind = (ShmkvKind) -1 };
  int mark;

#define REFUSED(code, fragment, ...)                                                               \
  assert_refused (fixture, (ShmkvRequest) { __VA_ARGS__ }, SHMKV_ERROR_##code, fragment)
#define INVALID(fragment, ...) REFUSED (INVALID, fragment, __VA_ARGS__)

  INVALID ("not an operation", .op = (ShmkvOp) 0);
  INVALID ("not an operation", .op = (ShmkvOp) 20);
  INVALID ("not an operation", .op = (ShmkvOp) -1);
  INVALID ("needs a key", .op = SHMKV_OP_READ);
  INVALID ("needs a value", .op = SHMKV_OP_INSERT, .key = one);
  INVALID ("takes no value", .op = SHMKV_OP_READ, .key = one, .value = one);
  INVALID ("takes no key", .op = SHMKV_OP_PING, .key = one);
  INVALID ("takes no value", .op = SHMKV_OP_COUNT, .value = text);
  INVALID ("takes no value that is a byte string", .op = SHMKV_OP_ADD, .key = one, .value = text);
  INVALID ("takes no key that is a byte string", .op = SHMKV_OP_PRINT, .key = text);
  INVALID ("takes no key that is an integer", .op = SHMKV_OP_SCAN, .key = one, .value = text);
  INVALID ("kind 3", .op = SHMKV_OP_READ, .key = strange);
  INVALID ("kind -1", .op = SHMKV_OP_READ, .key = stranger);
  INVALID ("kind 3", .op = SHMKV_OP_INSERT, .key = one, .value = strange);
  INVALID ("no bytes", .op = SHMKV_OP_INSERT, .key = one, .value = nowhere);
  INVALID ("no bytes", .op = SHMKV_OP_READ, .key = nowhere);
  INVALID ("is empty", .op = SHMKV_OP_READ, .key = empty);
  INVALID ("65537 bytes", .op = SHMKV_OP_READ, .key = long_key);
  INVALID ("65537 bytes", .op = SHMKV_OP_WATCH, .key = long_key, .value = one);
  INVALID ("flag 0x2", .op = SHMKV_OP_READ, .key = one, .flags = SHMKV_FLAG_IF_ABSENT);
  INVALID ("flag 0x400", .op = SHMKV_OP_INSERT, .key = one, .value = one,
           .flags = (ShmkvFlags) (1 << 10));
  INVALID ("flag 0xfffffc00", .op = SHMKV_OP_INSERT, .key = one, .value = one,
           .flags = (ShmkvFlags) 0xfffffc00);
  INVALID ("needs an expected value", .op = SHMKV_OP_DELETE, .key = one,
           .flags = SHMKV_FLAG_IF_VALUE);
  INVALID ("a time to live without SHMKV_FLAG_TTL", .op = SHMKV_OP_INSERT, .key = one,
           .value = one, .ttl_ms = 1);
  INVALID ("a version without SHMKV_FLAG_IF_VERSION", .op = SHMKV_OP_WAIT, .key = one,
           .value = one, .version = 1);
  INVALID ("an expected value without SHMKV_FLAG_IF_VALUE", .op = SHMKV_OP_DELETE, .key = one,
           .expected = one);
  INVALID ("time to live of 0", .op = SHMKV_OP_EXPIRE, .key = one, .flags = SHMKV_FLAG_TTL);
  INVALID ("time to live of", .op = SHMKV_OP_EXPIRE, .key = one, .flags = SHMKV_FLAG_TTL,
           .ttl_ms = SHMKV_TTL_MAX + 1);
  for (guint i = 0; i < 4; i++)
    {
      ShmkvRequest request = { .op = SHMKV_OP_PING };

      request.reserved[i] = &mark;
      assert_refused (fixture, request, SHMKV_ERROR_INVALID, "reserved");
    }
  REFUSED (TOO_LARGE, "30001 bytes", .op = SHMKV_OP_INSERT, .key = one, .value = long_value);
  REFUSED (TOO_LARGE, "30001 bytes", .op = SHMKV_OP_DELETE, .key = one, .expected = long_value,
           .flags = SHMKV_FLAG_IF_VALUE);

  /* No ID was used up. */
  g_assert_cmpuint (shmkv_session_submit_read (fixture->session, 1, 0, NULL, NULL), ==, 1);
  g_assert_cmpuint (peer_count_records (fixture->peer), ==, 0);
}

/* The short functions take flags, but for those that need more than a flag. */
static void
test_short_functions (void)
{
  static const guint flags[] = { SHMKV_FLAG_IF_VALUE, SHMKV_FLAG_IF_VERSION, SHMKV_FLAG_TTL };
  ShmkvCompletion completion;
  ShmkvSession *session;
  GError *error = NULL;
  Fixture fixture;

  set_up_with (&fixture, MAX_VALUE, count_up, NULL);
  session = fixture.session;
  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_assert_cmpuint (shmkv_session_submit_insert (session, 1, 1, (ShmkvFlags) flags[i], NULL,
                                                     &error),
                        ==, 0);
      assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
      g_assert_cmpuint (shmkv_session_submit_delete (session, 1, (ShmkvFlags) flags[i], NULL,
                                                     &error),
                        ==, 0);
      assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
    }
  g_assert_cmpuint (shmkv_session_submit_read (session, 1, SHMKV_FLAG_OLD, NULL, &error), ==, 0);
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  g_assert_cmpuint (shmkv_session_submit_insert (session, 1, 1,
                                                 SHMKV_FLAG_IF_ABSENT | SHMKV_FLAG_VERSION, NULL,
                                                 NULL),
                    ==, 1);
  g_assert_cmpuint (shmkv_session_submit_read (session, 9, SHMKV_FLAG_VERSION, &completion, NULL),
                    ==, 2);
  g_assert_cmpuint (shmkv_session_submit_delete (session, 1, SHMKV_FLAG_OLD, NULL, NULL), ==, 3);
  g_assert_true (shmkv_session_flush (session, NULL));
  for (guint i = 1; i <= 3; i++)
    {
      g_assert_cmpint (shmkv_session_take (session, &completion, 1, -1, NULL), ==, 1);
      g_assert_cmpuint (completion.id, ==, i);
    }
  tear_down (&fixture, NULL);
}

/* What makes no sense for a call. */
static void
test_calls_refused (Fixture *fixture, gconstpointer data)
{
  ShmkvRequest request
    = { .op = SHMKV_OP_INSERT, .key = shmkv_integer (1), .value = shmkv_integer (1) };
  ShmkvDatum empty = shmkv_bytes (NULL, 0);
  ShmkvCompletion completion;
  GError *error = NULL;

  request.flags = SHMKV_FLAG_SESSION;
  g_assert_false (shmkv_client_call (fixture->client, &request, &completion, &error));
  g_assert_nonnull (strstr (error->message, "shmkv_session_new"));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  g_assert_false (shmkv_client_call_many (fixture->client, &request, 1, &completion, &error));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  request.flags = SHMKV_FLAG_NO_RESPONSE;
  g_assert_false (shmkv_client_call (fixture->client, &request, &completion, &error));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  g_assert_false (shmkv_session_call (fixture->session, &request, &completion, &error));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  g_assert_false (shmkv_session_call_many (fixture->session, &request, 1, &completion, &error));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  g_assert_false (shmkv_session_wait (fixture->session, &empty, 1, 0, &completion, &error));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  g_assert_false (shmkv_client_wait (fixture->client, &empty, 1, 0, &completion, &error));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_INVALID);
  g_assert_cmpuint (peer_count_records (fixture->peer), ==, 0);
}

/* ------------------------------------------------------------------ cut short */

/* Submits an insert of the longest value into rings that are full before. */
static guint64
submit_long (ShmkvSession *session, GError **error)
{
  Made value = make_bytes (1, MAX_VALUE);
  ShmkvRequest request
    = { .op = SHMKV_OP_INSERT, .key = shmkv_integer (1), .value = value.datum };
  guint64 id = shmkv_session_submit (session, &request, error);

  g_free (value.memory);
  return id;
}

static void
assert_cut (ShmkvSession *session)
{
  ShmkvCompletion completion;
  GError *error = NULL;

  for (guint i = 0; i < 3; i++)
    {
      g_assert_cmpuint (shmkv_session_submit_insert (session, 1, 1, 0, NULL, &error), ==, 0);
      assert_code (g_steal_pointer (&error), SHMKV_ERROR_DROPPED);
      g_assert_cmpuint (submit_long (session, &error), ==, 0);
      assert_code (g_steal_pointer (&error), SHMKV_ERROR_DROPPED);
      g_assert_false (shmkv_session_call (session, &(ShmkvRequest) { .op = SHMKV_OP_PING },
                                          &completion, &error));
      assert_code (g_steal_pointer (&error), SHMKV_ERROR_DROPPED);
    }
}

/* Time runs out in the middle of a request: there is no way to go on with the
 * session, but what was submitted before is answered. */
static void
test_cut_timeout (void)
{
  ShmkvCompletion completion;
  ShmkvSession *session;
  GError *error = NULL;
  Fixture fixture;

  set_up_with (&fixture, MAX_VALUE, count_up, NULL);
  session = fixture.session;
  session->timeout_us = SHORT_US;
  peer_pause (fixture.peer);
  for (guint i = 1; i <= 5; i++)
    g_assert_cmpuint (shmkv_session_submit_read (session, i, 0, NULL, NULL), ==, i);
  g_assert_cmpuint (submit_long (session, &error), ==, 0);
  g_assert_nonnull (strstr (error->message, "only a part"));
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_TIMEOUT);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 5);
  assert_cut (session);
  peer_resume (fixture.peer);
  assert_cut (session);
  g_assert_true (shmkv_session_flush (session, NULL));
  for (guint i = 1; i <= 5; i++)
    {
      g_assert_cmpint (shmkv_session_take (session, &completion, 1, -1, NULL), ==, 1);
      g_assert_cmpuint (completion.id, ==, i);
      g_assert_cmpuint (completion.value, ==, i + 1);
    }
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, 0);
  g_assert_cmpint (shmkv_session_take (session, &completion, 1, 0, NULL), ==, 0);
  assert_cut (session);
  tear_down (&fixture, NULL);
}

/* Where there was no room even for the first piece, nothing has happened. */
static void
test_cut_before (void)
{
  ShmkvCompletion completion;
  ShmkvSession *session;
  GError *error = NULL;
  guint64 n = 0;
  Fixture fixture;

  set_up_with (&fixture, MAX_VALUE, count_up, NULL);
  session = fixture.session;
  session->timeout_us = SHORT_US;
  peer_pause (fixture.peer);
  while (shmkv_session_submit_read (session, n, 0, NULL, NULL) != 0)
    n++;
  g_assert_cmpuint (submit_long (session, &error), ==, 0);
  assert_code (g_steal_pointer (&error), SHMKV_ERROR_TIMEOUT);
  g_assert_cmpuint (shmkv_session_get_in_flight (session), ==, n);
  peer_resume (fixture.peer);
  session->timeout_us = UTIL_PATIENCE_US;
  g_assert_cmpuint (submit_long (session, &error), ==, n + 1);
  g_assert_true (shmkv_session_flush (session, NULL));
  for (guint64 i = 1; i <= n + 1; i++)
    {
      g_assert_cmpint (shmkv_session_take (session, &completion, 1, -1, NULL), ==, 1);
      g_assert_cmpuint (completion.id, ==, i);
    }
  tear_down (&fixture, NULL);
}

static gpointer
submit_in_vain (gpointer data)
{
  ShmkvSession *session = data;
  GError *error = NULL;

  g_assert_cmpuint (submit_long (session, &error), ==, 0);
  assert_code (error, SHMKV_ERROR_SERVER_GONE);
  return NULL;
}

static void
test_cut_gone (Fixture *fixture, gconstpointer data)
{
  GThread *thread;

  peer_pause (fixture->peer);
  thread = g_thread_new ("submitting", submit_in_vain, fixture->session);
  UTIL_AWAIT (atomic_load (&fixture->session->client_lane->room_nap) % 2 != 0);
  peer_end (fixture->peer);
  g_thread_join (thread);
}

/* A borrowed session that was cut is not lent again. */
static void
test_cut_borrowed (void)
{
  Made value = make_bytes (1, MAX_VALUE);
  ShmkvRequest request
    = { .op = SHMKV_OP_INSERT, .key = shmkv_integer (1), .value = value.datum };
  ShmkvCompletion completion;
  GError *error = NULL;
  Fixture fixture;

  set_up_with (&fixture, MAX_VALUE, count_up, NULL);
  for (guint i = 0; i < 5; i++)
    {
      g_assert_true (shmkv_client_call (fixture.client, &request, &completion, NULL));
      peer_pause (fixture.peer);
      shmkv_client_set_timeout (fixture.client, SHORT_US);
      g_assert_false (shmkv_client_call (fixture.client, &request, &completion, &error));
      assert_code (g_steal_pointer (&error), SHMKV_ERROR_TIMEOUT);
      g_assert_cmpuint (fixture.client->idle->len, ==, 0);
      peer_resume (fixture.peer);
      shmkv_client_set_timeout (fixture.client, UTIL_PATIENCE_US);
    }
  tear_down (&fixture, NULL);
  g_free (value.memory);
}

/* --------------------------------------------------- a server with other ideas */

/* Gives the answer that the test wants to every request. */
typedef struct
{
  guint status;
  ShmkvField number, value;
} Fixed;

static void
answer_fixed (Peer *peer, const PeerRequest *request, gpointer data)
{
  const Fixed *fixed = data;

  peer_answer (peer, request, fixed->status, &fixed->number, &fixed->value);
}

/* Between requests: the peer's thread sees all of it or nothing. */
static void
set_fixed (Peer *peer, Fixed *fixed, Fixed wanted)
{
  peer_pause (peer);
  *fixed = wanted;
  peer_resume (peer);
}

#define NUMBER(n) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = (n) }

/* The blocking calls look at what they get. */
static void
test_strange_answers (void)
{
  static const guint64 word = 0x414243;
  const ShmkvField bytes = { .kind = SHMKV_WIRE_KIND_BYTES, .integer = 3, .bytes = &word };
  Fixed fixed = { .status = SHMKV_WIRE_STATUS_OK };
  g_autoptr (ShmkvScan) scan = NULL;
  ShmkvCompletion completion;
  ShmkvPairs *pairs;
  GError *error = NULL;
  Fixture fixture;
  guint64 value = 5;
  gboolean found;

  set_up_with (&fixture, MAX_VALUE, answer_fixed, &fixed);
#define FAILS(call, code)                                                                          \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_assert_false (call);                                                                         \
    assert_code (g_steal_pointer (&error), SHMKV_ERROR_##code);                                    \
  }                                                                                                \
  G_STMT_END

  /* Nothing where there should be something. */
  FAILS (shmkv_client_read (fixture.client, 1, &value, &found, &error), PROTOCOL);
  FAILS (shmkv_session_read (fixture.session, 1, &value, &found, &error), PROTOCOL);
  FAILS (shmkv_client_count (fixture.client, &value, &error), PROTOCOL);
  FAILS (shmkv_client_clear (fixture.client, NULL, &error), PROTOCOL);
  FAILS (shmkv_client_start_workers (fixture.client, 1, NULL, &error), PROTOCOL);
  FAILS (shmkv_client_stats (fixture.client, &error) != NULL, PROTOCOL);
  FAILS (shmkv_client_session_stats (fixture.client, &error) != NULL, PROTOCOL);
  FAILS (shmkv_watch_new (fixture.client, NULL, &error) != NULL, PROTOCOL);
  scan = shmkv_scan_new (fixture.client, NULL, SHMKV_SCAN_ALL);
  FAILS (shmkv_scan_next (scan, &pairs, &error), PROTOCOL);
  g_assert_cmpuint (value, ==, 5);

  /* Bytes where the caller wants an integer. */
  set_fixed (fixture.peer, &fixed, (Fixed) { .value = bytes });
  FAILS (shmkv_client_read (fixture.client, 1, &value, &found, &error), WRONG_KIND);
  FAILS (shmkv_session_read (fixture.session, 1, &value, &found, &error), WRONG_KIND);
  g_assert_cmpuint (value, ==, 5);

  /* A scan that stays where it is. */
  set_fixed (fixture.peer, &fixed,
             (Fixed) { .number = NUMBER (7),
                       .value = { .kind = SHMKV_WIRE_KIND_BYTES, .bytes = &word } });
  FAILS (shmkv_scan_next (scan, &pairs, &error), PROTOCOL);

  /* Failures that are not known yet. */
  set_fixed (fixture.peer, &fixed, (Fixed) { .status = 999 });
  FAILS (shmkv_client_call (fixture.client,
                            &(ShmkvRequest) { .op = SHMKV_OP_READ, .key = shmkv_integer (1) },
                            &completion, &error),
         UNSUPPORTED);
  g_assert_true (shmkv_session_call (fixture.session,
                                     &(ShmkvRequest) { .op = SHMKV_OP_READ,
                                                       .key = shmkv_integer (1) },
                                     &completion, NULL));
  g_assert_cmpint (completion.status, ==, 999);
#undef FAILS
  tear_down (&fixture, NULL);
}

int
main (int argc, char **argv)
{
#define ADD(name, function)                                                                        \
  g_test_add ("/request/" name, Fixture, NULL, set_up, function, tear_down)

  util_init (&argc, &argv);
  ADD ("round-trip", test_round_trip);
  ADD ("backlog", test_backlog);
  ADD ("two-threads", test_two_threads);
  g_test_add_func ("/request/lengths", test_lengths);
  ADD ("call-many/any", test_call_many);
  g_test_add_func ("/request/call-many/integers", test_call_many_integers);
  g_test_add_func ("/request/call-many/timeout", test_call_many_timeout);
  ADD ("call-many/invalid", test_call_many_invalid);
  ADD ("refused/requests", test_refused);
  ADD ("refused/calls", test_calls_refused);
  g_test_add_func ("/request/short-functions", test_short_functions);
  g_test_add_func ("/request/cut/timeout", test_cut_timeout);
  g_test_add_func ("/request/cut/before", test_cut_before);
  ADD ("cut/gone", test_cut_gone);
  g_test_add_func ("/request/cut/borrowed", test_cut_borrowed);
  g_test_add_func ("/request/strange-answers", test_strange_answers);
  return util_run ();
}
