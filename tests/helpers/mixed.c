/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* mixed --name=NAME [--threads=N] [--ops=N] [--window=N] [--max-value=BYTES]
 * [--seed=N]: threads that do random things with keys and values of all kinds
 * and lengths, each through a session, with many requests in flight, and check
 * every completion to the last byte.
 *
 * Each thread has keys of its own, half of them integers and half byte strings,
 * of which it knows at all times what must be there: its requests take effect in
 * their order, so what an answer must say is known when the request is submitted.
 * A byte string is not kept but made again from its number where it is compared.
 *
 * Says at the end how many completions were checked, how many bytes were among
 * them and how many completions were wrong; before that, what the first were. */

#include "helper.h"

#include <string.h>

#define KEYS 64
#define LONGEST_KEY 65536
#define MAX_REPORTS 5
#define TIMEOUT_US (120 * G_USEC_PER_SEC)

static char *name;
static int n_threads = 4;
static int n_ops = 20000;
static int window = 64;
static int max_value = 1 << 20;
static gint64 seed = 1;

static const GOptionEntry entries[] = {
  { "name", 0, 0, G_OPTION_ARG_STRING, &name, NULL, NULL },
  { "threads", 0, 0, G_OPTION_ARG_INT, &n_threads, NULL, NULL },
  { "ops", 0, 0, G_OPTION_ARG_INT, &n_ops, NULL, NULL },
  { "window", 0, 0, G_OPTION_ARG_INT, &window, NULL, NULL },
  { "max-value", 0, 0, G_OPTION_ARG_INT, &max_value, NULL, NULL },
  { "seed", 0, 0, G_OPTION_ARG_INT64, &seed, NULL, NULL },
  { NULL, 0, 0, 0, NULL, NULL, NULL }
};

/* A value: an integer, or so many bytes that follow from `number`; or none. */
typedef struct
{
  ShmkvKind kind;
  guint64 number;
  gsize length;
} Value;

/* What a completion must say. */
typedef struct
{
  guint64 id;
  ShmkvOp op;
  ShmkvStatus status;
  Value value;
} Expected;

typedef struct
{
  guint number;
  GThread *thread;
  ShmkvSession *session;
  guint64 random;
  guint8 *keys[KEYS / 2];
  gsize key_lengths[KEYS / 2];
  Value values[KEYS];
  guint8 *bytes[2];                 /* of the value and the expected value of a request */
  Expected *expected;               /* a ring of `window` */
  guint64 n_submitted;
  guint64 n_checked;
  guint64 n_bytes;
  guint64 n_wrong;
} Thread;

/* ------------------------------------------------------------------- random */

static guint64
next_random (guint64 *state)
{
  guint64 z = *state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

static guint
below (Thread *thread, guint n)
{
  return (guint) (next_random (&thread->random) % n);
}

static void
make_bytes (guint64 number, guint8 *bytes, gsize length)
{
  for (gsize i = 0; i < length; i += 8)
    {
      guint64 word = next_random (&number);

      memcpy (bytes + i, &word, MIN (8, length - i));
    }
}

static gboolean
are_bytes (guint64 number, const guint8 *bytes, gsize length)
{
  for (gsize i = 0; i < length; i += 8)
    {
      guint64 word = next_random (&number);

      if (memcmp (bytes + i, &word, MIN (8, length - i)) != 0)
        return FALSE;
    }
  return TRUE;
}

/* ----------------------------------------------------------- keys and values */

static void
make_keys (Thread *thread)
{
  for (guint i = 0; i < KEYS / 2; i++)
    {
      /* Long enough to be different, and to name the thread. */
      gsize length = i == 0 ? LONGEST_KEY : 8 + below (thread, i < 4 ? 5000 : 60);

      thread->key_lengths[i] = length;
      thread->keys[i] = g_malloc (length);
      make_bytes (next_random (&thread->random), thread->keys[i], length);
      memcpy (thread->keys[i], &thread->number, 4);
      memcpy (thread->keys[i] + 4, &i, 4);
    }
}

static ShmkvDatum
key_datum (const Thread *thread, guint key)
{
  if (key % 2 == 0)
    return shmkv_integer ((guint64) thread->number << 32 | key);
  return shmkv_bytes (thread->keys[key / 2], thread->key_lengths[key / 2]);
}

static ShmkvDatum
value_datum (const Value *value, guint8 *bytes)
{
  if (value->kind == SHMKV_KIND_INTEGER)
    return shmkv_integer (value->number);
  make_bytes (value->number, bytes, value->length);
  return shmkv_bytes (bytes, value->length);
}

static Value
choose_value (Thread *thread)
{
  Value value = { .kind = SHMKV_KIND_BYTES, .number = next_random (&thread->random) };
  guint choice = below (thread, 100);

  if (choice < 40)
    value.kind = SHMKV_KIND_INTEGER;
  else if (choice < 75)
    value.length = below (thread, 100);
  else if (choice < 95)
    value.length = below (thread, (guint) MIN (max_value, 20000) + 1);
  else
    value.length = choice == 99 ? (gsize) max_value : below (thread, (guint) max_value + 1);
  return value;
}

/* All empty strings are. */
static gboolean
is_same (const Value *a, const Value *b)
{
  return a->kind == b->kind && a->length == b->length
         && (a->number == b->number || (a->kind == SHMKV_KIND_BYTES && a->length == 0));
}

/* --------------------------------------------------------------------- check */

static gboolean
is_value (const Value *value, const ShmkvCompletion *completion)
{
  gsize length = 0;
  const guint8 *bytes;

  if (completion->value_kind != value->kind || completion->pairs != NULL
      || (completion->bytes != NULL) != (value->kind == SHMKV_KIND_BYTES))
    return FALSE;
  if (value->kind != SHMKV_KIND_BYTES)
    return completion->value == (value->kind == SHMKV_KIND_INTEGER ? value->number : 0);
  bytes = g_bytes_get_data (completion->bytes, &length);
  return length == value->length && are_bytes (value->number, bytes, length);
}

static void
check (Thread *thread, const ShmkvCompletion *completion)
{
  const Expected *expected = &thread->expected[thread->n_checked++ % (guint) window];

  thread->n_bytes += expected->value.length;
  if (completion->id == expected->id && completion->op == expected->op
      && completion->status == expected->status && is_value (&expected->value, completion))
    return;
  if (thread->n_wrong++ < MAX_REPORTS)
    helper_say ("thread %u: %s, ID %" G_GUINT64_FORMAT ": expected '%s' and a value of kind %d and "
                "%" G_GSIZE_FORMAT " bytes; got ID %" G_GUINT64_FORMAT ", '%s' and kind %d",
                thread->number, shmkv_op_to_string (expected->op), expected->id,
                shmkv_status_to_string (expected->status), expected->value.kind,
                expected->value.length, completion->id,
                shmkv_status_to_string (completion->status), completion->value_kind);
}

static void
take_some (Thread *thread)
{
  ShmkvCompletion completions[16];
  GError *error = NULL;
  gssize n;

  helper_require (shmkv_session_flush (thread->session, &error), "flush", &error);
  n = shmkv_session_take (thread->session, completions, G_N_ELEMENTS (completions), TIMEOUT_US,
                          &error);
  helper_require (n > 0, "take", &error);
  for (gssize i = 0; i < n; i++)
    {
      check (thread, &completions[i]);
      shmkv_completion_clear (&completions[i]);
    }
}

/* -------------------------------------------------------------------- submit */

/* One of the conditions, and whether it is met. */
static gboolean
choose_condition (Thread *thread, const Value *present, ShmkvRequest *request)
{
  Value expected = *present;

  switch (below (thread, 6))
    {
    case 0:
      request->flags |= SHMKV_FLAG_IF_ABSENT;
      return present->kind == SHMKV_KIND_NONE;
    case 1:
      request->flags |= SHMKV_FLAG_IF_PRESENT;
      return present->kind != SHMKV_KIND_NONE;
    case 2:
      if (expected.kind == SHMKV_KIND_NONE || below (thread, 2) == 0)
        expected = choose_value (thread);
      request->flags |= SHMKV_FLAG_IF_VALUE;
      request->expected = value_datum (&expected, thread->bytes[1]);
      return is_same (&expected, present);
    default:
      return TRUE;
    }
}

static void
want_old (Thread *thread, const Value *present, ShmkvRequest *request, Expected *expected)
{
  if (below (thread, 3) != 0)
    return;
  request->flags |= SHMKV_FLAG_OLD;
  expected->value = *present;
}

static void
prepare_insert (Thread *thread, Value *present, ShmkvRequest *request, Expected *expected)
{
  Value value = choose_value (thread);

  request->value = value_datum (&value, thread->bytes[0]);
  if (!choose_condition (thread, present, request))
    {
      expected->status = SHMKV_STATUS_MISMATCH;
      return;
    }
  expected->status
    = present->kind == SHMKV_KIND_NONE ? SHMKV_STATUS_ADDED : SHMKV_STATUS_REPLACED;
  want_old (thread, present, request, expected);
  *present = value;
}

static void
prepare_delete (Thread *thread, Value *present, ShmkvRequest *request, Expected *expected)
{
  Value other = choose_value (thread);
  gboolean differs = below (thread, 4) == 0 && !is_same (&other, present);

  if (differs)
    {
      request->flags = SHMKV_FLAG_IF_VALUE;
      request->expected = value_datum (&other, thread->bytes[1]);
    }
  if (present->kind == SHMKV_KIND_NONE)
    expected->status = SHMKV_STATUS_NO_KEY;
  else if (differs)
    expected->status = SHMKV_STATUS_MISMATCH;
  else
    {
      want_old (thread, present, request, expected);
      *present = (Value) { .kind = SHMKV_KIND_NONE };
    }
}

static void
prepare_add (Thread *thread, Value *present, ShmkvRequest *request, Expected *expected)
{
  guint64 amount = next_random (&thread->random) >> below (thread, 64);
  gboolean down = request->op == SHMKV_OP_SUBTRACT, overflows;
  guint64 result;

  request->value = shmkv_integer (amount);
  if (present->kind == SHMKV_KIND_BYTES)
    {
      expected->status = SHMKV_STATUS_WRONG_KIND;
      return;
    }
  overflows = down ? __builtin_sub_overflow (present->number, amount, &result)
                   : __builtin_add_overflow (present->number, amount, &result);
  if (below (thread, 2) == 0)
    request->flags = SHMKV_FLAG_WRAP;
  else if (overflows)
    {
      expected->status = SHMKV_STATUS_OVERFLOW;
      return;
    }
  *present = (Value) { .kind = SHMKV_KIND_INTEGER, .number = result };
  expected->value = *present;
}

static void
prepare (Thread *thread, ShmkvRequest *request, Expected *expected)
{
  guint key = below (thread, KEYS), choice = below (thread, 100);
  Value *present = &thread->values[key];

  request->key = key_datum (thread, key);
  if (choice < 45)
    {
      request->op = SHMKV_OP_INSERT;
      prepare_insert (thread, present, request, expected);
    }
  else if (choice < 80)
    {
      request->op = SHMKV_OP_READ;
      expected->status = present->kind == SHMKV_KIND_NONE ? SHMKV_STATUS_NO_KEY : SHMKV_STATUS_OK;
      expected->value = *present;
    }
  else if (choice < 90)
    {
      request->op = SHMKV_OP_DELETE;
      prepare_delete (thread, present, request, expected);
    }
  else
    {
      request->op = choice < 95 ? SHMKV_OP_ADD : SHMKV_OP_SUBTRACT;
      prepare_add (thread, present, request, expected);
    }
}

static void
submit_one (Thread *thread)
{
  ShmkvRequest request = { .flags = SHMKV_FLAG_NONE };
  Expected expected = { .status = SHMKV_STATUS_OK };
  GError *error = NULL;

  prepare (thread, &request, &expected);
  expected.op = request.op;
  expected.id = shmkv_session_submit (thread->session, &request, &error);
  helper_require (expected.id != 0, "submit", &error);
  thread->expected[thread->n_submitted++ % (guint) window] = expected;
}

static void
delete_all (Thread *thread)
{
  for (guint key = 0; key < KEYS; key++)
    {
      ShmkvRequest request = { .op = SHMKV_OP_DELETE, .key = key_datum (thread, key) };
      ShmkvCompletion completion;
      GError *error = NULL;

      helper_require (shmkv_session_call (thread->session, &request, &completion, &error), "delete",
                      &error);
      shmkv_completion_clear (&completion);
    }
}

static gpointer
run (gpointer data)
{
  Thread *thread = data;

  for (int i = 0; i < n_ops; i++)
    {
      while (thread->n_submitted - thread->n_checked >= (guint) window)
        take_some (thread);
      submit_one (thread);
    }
  while (thread->n_checked < thread->n_submitted)
    take_some (thread);
  delete_all (thread);
  return NULL;
}

/* ---------------------------------------------------------------------- main */

static void
thread_start (Thread *thread, guint number, ShmkvClient *client)
{
  *thread = (Thread) {
    .number = number,
    .session = helper_open (client),
    .random = (guint64) seed * 1000003 + number,
    .expected = g_new0 (Expected, window),
    .bytes = { g_malloc ((gsize) max_value + 1), g_malloc ((gsize) max_value + 1) },
  };
  make_keys (thread);
  thread->thread = g_thread_new ("mixed", run, thread);
}

static void
thread_end (Thread *thread)
{
  g_thread_join (thread->thread);
  shmkv_session_free (thread->session);
  for (guint i = 0; i < KEYS / 2; i++)
    g_free (thread->keys[i]);
  g_free (thread->bytes[0]);
  g_free (thread->bytes[1]);
  g_free (thread->expected);
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  guint64 n_checked = 0, n_bytes = 0, n_wrong = 0;
  GError *error = NULL;
  ShmkvClient *client;
  Thread *threads;

  g_option_context_add_main_entries (context, entries, NULL);
  helper_require (g_option_context_parse (context, &argc, &argv, &error), "options", &error);
  client = helper_attach (name);
  shmkv_client_set_timeout (client, TIMEOUT_US);
  threads = g_new0 (Thread, n_threads);
  for (int i = 0; i < n_threads; i++)
    thread_start (&threads[i], (guint) i, client);
  for (int i = 0; i < n_threads; i++)
    {
      thread_end (&threads[i]);
      n_checked += threads[i].n_checked;
      n_bytes += threads[i].n_bytes;
      n_wrong += threads[i].n_wrong;
    }
  helper_say ("checked %" G_GUINT64_FORMAT ", bytes %" G_GUINT64_FORMAT ", wrong %" G_GUINT64_FORMAT,
              n_checked, n_bytes, n_wrong);
  g_free (threads);
  shmkv_client_unref (client);
  return n_wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
