/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* stress --name=NAME [--writer=N] [--threads=N] [--ops=N] [--window=N] [--seed=N]
 * [--alone]: threads that do random things, each through a session, with many
 * requests in flight, and check every completion.  Several such processes may
 * run at once; they number their threads from --writer, each differently.
 *
 * Each thread has keys of its own, of which it knows at all times what must be
 * there: its requests take effect in their order, so what an answer must say is
 * known when the request is submitted.
 *
 * All threads of all processes also write and read a few keys together.  Values
 * there name the writer and count his writes.  Who reads such a key must not
 * find it absent once it was there, nor an older value of some writer after a
 * newer one of the same, where his own writes count as read: anything else is
 * not linearizable.  With --alone there are no such keys.
 *
 * In even threads one thread submits and takes, and mixes in blocking calls; in
 * odd ones a second thread takes.
 *
 * Says "ready" when all have their sessions, and at the end how many completions
 * were checked and how many were wrong; before that, what the first were. */

#include "helper.h"

#include <string.h>

#define OWN_KEYS 512
#define SHARED_KEYS 8
#define MAX_WRITERS 64
#define MAX_REPORTS 5
#define TAKE 32
#define TIMEOUT_US (120 * G_USEC_PER_SEC)

#define WRITER_SHIFT 48

static char *name;
static int first_writer;
static int n_threads = 4;
static int n_ops = 100000;
static int window = 512;
static gint64 seed = 1;
static gboolean alone;

static const GOptionEntry entries[] = {
  { "name", 0, 0, G_OPTION_ARG_STRING, &name, NULL, NULL },
  { "writer", 0, 0, G_OPTION_ARG_INT, &first_writer, NULL, NULL },
  { "threads", 0, 0, G_OPTION_ARG_INT, &n_threads, NULL, NULL },
  { "ops", 0, 0, G_OPTION_ARG_INT, &n_ops, NULL, NULL },
  { "window", 0, 0, G_OPTION_ARG_INT, &window, NULL, NULL },
  { "seed", 0, 0, G_OPTION_ARG_INT64, &seed, NULL, NULL },
  { "alone", 0, 0, G_OPTION_ARG_NONE, &alone, NULL, NULL },
  { NULL, 0, 0, 0, NULL, NULL, NULL }
};

/* What a completion must say. */
typedef struct
{
  guint64 id;
  ShmkvOp op;
  gboolean shared;
  guint64 key;                     /* where `shared`, its number */
  guint64 value;                   /* of a read that finds its key, or of an insert */
  ShmkvStatus status;              /* not where `shared` */
} Expected;

typedef struct
{
  guint writer;
  gboolean takes_apart;            /* a second thread takes */
  ShmkvSession *session;
  GThread *thread;
  guint64 random;

  /* The submitting side's. */
  guint64 last_id;
  guint64 n_shared_writes;
  gboolean present[OWN_KEYS];
  guint64 values[OWN_KEYS];

  /* Between the sides: a ring of `window`, under the mutex. */
  GMutex mutex;
  GCond changed;
  Expected *expected;
  guint64 n_expected;
  guint64 n_taken;
  gboolean ended;

  /* The taking side's. */
  guint64 newest[SHARED_KEYS][MAX_WRITERS]; /* seen so far, 0 for nothing */
  gboolean was_there[SHARED_KEYS];
  guint64 n_checked;
  guint64 n_wrong;
} Thread;

/* ------------------------------------------------------------------- random */

static guint64
next_random (Thread *thread)
{
  guint64 z = thread->random += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

static guint
below (Thread *thread, guint n)
{
  return (guint) (next_random (thread) >> 32) % n;
}

/* ----------------------------------------------------------------- checking */

static void
report (Thread *thread, const Expected *expected, const ShmkvCompletion *completion,
        const char *what)
{
  if (thread->n_wrong++ >= MAX_REPORTS)
    return;
  helper_say ("wrong: writer %u, %s %" G_GUINT64_FORMAT " of %s key %" G_GUINT64_FORMAT ": %s: \"%s\""
              " %" G_GUINT64_FORMAT " in place of \"%s\" %" G_GUINT64_FORMAT,
              thread->writer, shmkv_op_to_string (expected->op), expected->id,
              expected->shared ? "shared" : "own", expected->key, what,
              shmkv_status_to_string (completion->status), completion->value,
              shmkv_status_to_string (expected->status), expected->value);
}

/* What was read from, or written to, a shared key. */
static const char *
check_shared_value (Thread *thread, guint64 key, guint64 value)
{
  guint writer = (guint) (value >> WRITER_SHIFT);
  guint64 count = value & ((G_GUINT64_CONSTANT (1) << WRITER_SHIFT) - 1);

  if (writer >= MAX_WRITERS || count == 0)
    return "nobody wrote that";
  if (count < thread->newest[key][writer])
    return "a value that was overwritten before";
  thread->newest[key][writer] = count;
  thread->was_there[key] = TRUE;
  return NULL;
}

static const char *
check_shared (Thread *thread, const Expected *expected, const ShmkvCompletion *completion)
{
  if (expected->op == SHMKV_OP_READ)
    {
      if (completion->status == SHMKV_STATUS_OK)
        return check_shared_value (thread, expected->key, completion->value);
      if (completion->status != SHMKV_STATUS_NO_KEY || thread->was_there[expected->key])
        return "the key was there before";
      return NULL;
    }
  if (completion->status == SHMKV_STATUS_ADDED && thread->was_there[expected->key])
    return "the key was there before";
  if (completion->status != SHMKV_STATUS_ADDED && completion->status != SHMKV_STATUS_REPLACED)
    return "no answer to an insert";
  return check_shared_value (thread, expected->key, expected->value);
}

static void
check (Thread *thread, const Expected *expected, const ShmkvCompletion *completion)
{
  const char *what = NULL;

  thread->n_checked++;
  if (completion->id != expected->id || completion->op != expected->op
      || completion->user_data != GSIZE_TO_POINTER (expected->id))
    what = "out of order";
  else if (expected->shared)
    what = check_shared (thread, expected, completion);
  else if (completion->status != expected->status
           || (expected->op == SHMKV_OP_READ && completion->value != expected->value))
    what = "wrong answer";
  if (what != NULL)
    report (thread, expected, completion, what);
}

/* ------------------------------------------------------------------- taking */

static guint64
count_in_flight (Thread *thread)
{
  guint64 n;

  g_mutex_lock (&thread->mutex);
  n = thread->n_expected - thread->n_taken;
  g_mutex_unlock (&thread->mutex);
  return n;
}

static void
take_some (Thread *thread)
{
  ShmkvCompletion completions[TAKE];
  GError *error = NULL;
  gssize n = shmkv_session_take (thread->session, completions, TAKE, TIMEOUT_US, &error);

  helper_require (n > 0, "take", &error);
  for (gssize i = 0; i < n; i++)
    {
      Expected expected;

      g_mutex_lock (&thread->mutex);
      helper_require (thread->n_taken < thread->n_expected, "a completion that nobody waits for",
                      NULL);
      expected = thread->expected[thread->n_taken % (guint) window];
      thread->n_taken++;
      g_cond_broadcast (&thread->changed);
      g_mutex_unlock (&thread->mutex);
      check (thread, &expected, &completions[i]);
      shmkv_completion_clear (&completions[i]);
    }
}

/* Whether there is something to take, or will be. */
static gboolean
await_expected (Thread *thread)
{
  gboolean more;

  g_mutex_lock (&thread->mutex);
  while (thread->n_taken == thread->n_expected && !thread->ended)
    g_cond_wait (&thread->changed, &thread->mutex);
  more = thread->n_taken < thread->n_expected;
  g_mutex_unlock (&thread->mutex);
  return more;
}

static gpointer
run_taker (gpointer data)
{
  while (await_expected (data))
    take_some (data);
  return NULL;
}

static void
flush (Thread *thread)
{
  GError *error = NULL;

  helper_require (shmkv_session_flush (thread->session, &error), "flush", &error);
}

/* Until there are at most `n` in flight. */
static void
drain (Thread *thread, guint64 n)
{
  if (count_in_flight (thread) <= n)
    return;
  flush (thread);
  if (!thread->takes_apart)
    {
      while (count_in_flight (thread) > n)
        take_some (thread);
      return;
    }
  g_mutex_lock (&thread->mutex);
  while (thread->n_expected - thread->n_taken > n)
    g_cond_wait (&thread->changed, &thread->mutex);
  g_mutex_unlock (&thread->mutex);
}

/* --------------------------------------------------------------- submitting */

static guint64
own_key (const Thread *thread, guint64 key)
{
  return ((guint64) thread->writer + 1) << WRITER_SHIFT | key;
}

static void
submit (Thread *thread, Expected expected, ShmkvFlags flags)
{
  ShmkvRequest request = { .op = expected.op, .flags = flags };
  GError *error = NULL;
  guint64 id;

  expected.id = ++thread->last_id;
  request.key = shmkv_integer (expected.shared ? expected.key : own_key (thread, expected.key));
  if (expected.op == SHMKV_OP_INSERT)
    request.value = shmkv_integer (expected.value);
  request.user_data = GSIZE_TO_POINTER (expected.id);
  if (flags == SHMKV_FLAG_NONE)
    {
      drain (thread, (guint64) window - 1);
      g_mutex_lock (&thread->mutex);
      thread->expected[thread->n_expected % (guint) window] = expected;
      thread->n_expected++;
      g_cond_broadcast (&thread->changed);
      g_mutex_unlock (&thread->mutex);
    }
  id = shmkv_session_submit (thread->session, &request, &error);
  helper_require (id != 0, "submit", &error);
  helper_require (id == expected.id, "IDs count up from 1", NULL);
}

static Expected
expect_read (Thread *thread, guint key)
{
  return (Expected) { .op = SHMKV_OP_READ, .key = key,
                      .value = thread->present[key] ? thread->values[key] : 0,
                      .status = thread->present[key] ? SHMKV_STATUS_OK : SHMKV_STATUS_NO_KEY };
}

static Expected
expect_insert (Thread *thread, guint key)
{
  Expected expected = { .op = SHMKV_OP_INSERT, .key = key, .value = next_random (thread),
                        .status = thread->present[key] ? SHMKV_STATUS_REPLACED
                                                       : SHMKV_STATUS_ADDED };

  thread->present[key] = TRUE;
  thread->values[key] = expected.value;
  return expected;
}

static Expected
expect_delete (Thread *thread, guint key)
{
  Expected expected = { .op = SHMKV_OP_DELETE, .key = key,
                        .status = thread->present[key] ? SHMKV_STATUS_OK : SHMKV_STATUS_NO_KEY };

  thread->present[key] = FALSE;
  return expected;
}

static void
submit_shared (Thread *thread)
{
  Expected expected = { .op = below (thread, 3) == 0 ? SHMKV_OP_INSERT : SHMKV_OP_READ,
                        .shared = TRUE, .key = below (thread, SHARED_KEYS) };

  if (expected.op == SHMKV_OP_INSERT)
    expected.value = (guint64) thread->writer << WRITER_SHIFT | ++thread->n_shared_writes;
  submit (thread, expected, SHMKV_FLAG_NONE);
}

/* A blocking call in between: completions of what came before are kept. */
static void
call (Thread *thread)
{
  Expected expected = expect_read (thread, below (thread, OWN_KEYS));
  guint64 value = 0;
  GError *error = NULL;
  gboolean found;

  expected.id = ++thread->last_id;
  helper_require (shmkv_session_read (thread->session, own_key (thread, expected.key), &value,
                                      &found, &error),
                  "blocking read", &error);
  thread->n_checked++;
  if (found != (expected.status == SHMKV_STATUS_OK) || value != expected.value)
    report (thread, &expected,
            &(ShmkvCompletion) { .status = found ? SHMKV_STATUS_OK : SHMKV_STATUS_NO_KEY,
                                 .value = value },
            "wrong answer to a blocking call");
}

static void
submit_any (Thread *thread)
{
  guint dice = below (thread, alone ? 800 : 1000);
  guint key = below (thread, OWN_KEYS);

  if (dice < 400)
    submit (thread, expect_read (thread, key), SHMKV_FLAG_NONE);
  else if (dice < 600)
    submit (thread, expect_insert (thread, key), SHMKV_FLAG_NONE);
  else if (dice < 750)
    submit (thread, expect_delete (thread, key), SHMKV_FLAG_NONE);
  else if (dice < 800)
    submit (thread, expect_insert (thread, key), SHMKV_FLAG_NO_RESPONSE);
  else if (dice < 990)
    submit_shared (thread);
  else if (dice < 997)
    flush (thread);
  else if (dice < 999)
    drain (thread, below (thread, (guint) window));
  else if (!thread->takes_apart)
    call (thread);
}

/* ------------------------------------------------------------------ threads */

/* Leaves none of its own keys behind. */
static void
sweep (Thread *thread)
{
  for (guint key = 0; key < OWN_KEYS; key++)
    submit (thread, expect_read (thread, key), SHMKV_FLAG_NONE);
  for (guint key = 0; key < OWN_KEYS; key++)
    submit (thread, expect_delete (thread, key), SHMKV_FLAG_NONE);
  for (guint key = 0; key < OWN_KEYS; key++)
    submit (thread, expect_read (thread, key), SHMKV_FLAG_NONE);
}

static void
end_taker (Thread *thread, GThread *taker)
{
  g_mutex_lock (&thread->mutex);
  thread->ended = TRUE;
  g_cond_broadcast (&thread->changed);
  g_mutex_unlock (&thread->mutex);
  g_thread_join (taker);
}

static gpointer
run (gpointer data)
{
  Thread *thread = data;
  GThread *taker = thread->takes_apart ? g_thread_new ("taker", run_taker, thread) : NULL;

  for (int i = 0; i < n_ops; i++)
    submit_any (thread);
  sweep (thread);
  drain (thread, 0);
  if (taker != NULL)
    end_taker (thread, taker);
  if (shmkv_session_get_in_flight (thread->session) != 0
      || shmkv_session_get_silent_errors (thread->session) != 0)
    {
      helper_say ("wrong: writer %u: %" G_GUINT64_FORMAT " still in flight, %u silent errors",
                  thread->writer, shmkv_session_get_in_flight (thread->session),
                  shmkv_session_get_silent_errors (thread->session));
      thread->n_wrong++;
    }
  return NULL;
}

static Thread *
thread_start (ShmkvClient *client, guint index)
{
  Thread *thread = g_new0 (Thread, 1);

  thread->writer = (guint) first_writer + index;
  thread->takes_apart = index % 2 == 1;
  thread->session = helper_open (client);
  thread->random = (guint64) seed * MAX_WRITERS + thread->writer;
  thread->expected = g_new0 (Expected, window);
  g_mutex_init (&thread->mutex);
  g_cond_init (&thread->changed);
  thread->thread = g_thread_new ("stress", run, thread);
  return thread;
}

static void
thread_join (Thread *thread, guint64 *n_checked, guint64 *n_wrong)
{
  g_thread_join (thread->thread);
  *n_checked += thread->n_checked;
  *n_wrong += thread->n_wrong;
  shmkv_session_free (thread->session);
  g_mutex_clear (&thread->mutex);
  g_cond_clear (&thread->changed);
  g_free (thread->expected);
  g_free (thread);
}

static void
parse_options (int *argc, char ***argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  GError *error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  helper_require (g_option_context_parse (context, argc, argv, &error), "usage", &error);
  helper_require (first_writer >= 0 && n_threads > 0 && first_writer + n_threads <= MAX_WRITERS
                    && window > 0,
                  "usage", NULL);
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) threads = g_ptr_array_new ();
  guint64 n_checked = 0, n_wrong = 0;
  ShmkvClient *client;

  parse_options (&argc, &argv);
  client = helper_attach (name);
  shmkv_client_set_timeout (client, TIMEOUT_US);
  for (guint i = 0; i < (guint) n_threads; i++)
    g_ptr_array_add (threads, thread_start (client, i));
  helper_say ("ready");
  for (guint i = 0; i < threads->len; i++)
    thread_join (threads->pdata[i], &n_checked, &n_wrong);
  shmkv_client_unref (client);
  g_free (name);
  helper_say ("checked %" G_GUINT64_FORMAT ", wrong %" G_GUINT64_FORMAT, n_checked, n_wrong);
  return n_wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
