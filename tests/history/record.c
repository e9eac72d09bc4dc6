/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* record --name=NAME --file=FILE [--writer=N] [--threads=N] [--sessions=N]
 * [--ops=N] [--keys=N] [--hot=N] [--window=N] [--seed=N] [--die-at=N] [--may-lose]:
 * threads that do random things with a server, and write down what they did and
 * what they were told: history.h.  It judges nothing.
 *
 * Each thread opens so many sessions one after the other, and does its share of
 * the operations in each.  Half of them are on a few hot keys, which all writers
 * of all processes share.  What a thread has in flight changes from time to time:
 * one after the other, or up to --window.  Writers count from --writer, each
 * session of each thread of each process differently: what they write says who it
 * was, and comes only once.
 *
 * With --die-at it kills itself, without notice, when its first thread has
 * submitted so many.  With --may-lose the server may go, without that being a
 * failure.
 *
 * Says "ready" when it begins, "at N" eight times, N being the eighths that its
 * first thread has done, and how many operations it recorded at the end. */

#include "../helpers/helper.h"

#include "history.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define TAKE 64
#define WAIT_US 1000
#define TIMEOUT_US (120 * G_USEC_PER_SEC)
#define MAX_BYTES (128 * 1024)
#define MAX_SESSION_OPS (1 << 24)

/* Values: who wrote it, some random bits, and his count. */
#define WRITER_SHIFT 44
#define RANDOM_SHIFT 24
#define RANDOM_MASK ((G_GUINT64_CONSTANT (1) << (WRITER_SHIFT - RANDOM_SHIFT)) - 1)

static char *name;
static char *file;
static int first_writer = 1;
static int n_threads = 2;
static int n_sessions = 1;
static int n_ops = 100000;
static int n_keys = 1000;
static int n_hot = 8;
static int max_window = 128;
static gint64 seed = 1;
static int die_at = -1;
static gboolean may_lose;

static const GOptionEntry entries[] = {
  { "name", 0, 0, G_OPTION_ARG_STRING, &name, NULL, NULL },
  { "file", 0, 0, G_OPTION_ARG_FILENAME, &file, NULL, NULL },
  { "writer", 0, 0, G_OPTION_ARG_INT, &first_writer, NULL, NULL },
  { "threads", 0, 0, G_OPTION_ARG_INT, &n_threads, NULL, NULL },
  { "sessions", 0, 0, G_OPTION_ARG_INT, &n_sessions, NULL, NULL },
  { "ops", 0, 0, G_OPTION_ARG_INT, &n_ops, NULL, NULL },
  { "keys", 0, 0, G_OPTION_ARG_INT, &n_keys, NULL, NULL },
  { "hot", 0, 0, G_OPTION_ARG_INT, &n_hot, NULL, NULL },
  { "window", 0, 0, G_OPTION_ARG_INT, &max_window, NULL, NULL },
  { "seed", 0, 0, G_OPTION_ARG_INT64, &seed, NULL, NULL },
  { "die-at", 0, 0, G_OPTION_ARG_INT, &die_at, NULL, NULL },
  { "may-lose", 0, 0, G_OPTION_ARG_NONE, &may_lose, NULL, NULL },
  { NULL, 0, 0, 0, NULL, NULL, NULL }
};

/* What a thread knows of a key, from its own answers: it may be long over. */
typedef struct
{
  guint64 value;
  guint64 version;
  guint8 kind;
} Known;

typedef struct
{
  guint number;
  ShmkvClient *client;
  const HistoryHeader *header;
  GThread *thread;
  guint64 random;
  Known *known;
  guint8 *bytes[2];                 /* value, and expected value */
  char key[32];
  gboolean is_lost;                 /* the server is gone */
  guint64 n_recorded;
  guint n_said;

  /* Of the present session. */
  ShmkvSession *session;
  guint64 writer;
  HistoryRecord *records;
  gsize n_submitted;
  gsize n_taken;                    /* all before have been answered, or want no answer */
} Thread;

/* ------------------------------------------------------------------- random */

static guint64
mix (guint64 z)
{
  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

static guint64
next_random (Thread *thread)
{
  return mix (thread->random += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));
}

static guint
below (Thread *thread, guint n)
{
  return (guint) ((next_random (thread) >> 32) * n >> 32);
}

static gboolean
one_in (Thread *thread, guint n)
{
  return below (thread, n) == 0;
}

static guint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (guint64) now.tv_sec * 1000000000 + (guint64) now.tv_nsec;
}

/* ------------------------------------------------------------------- values */

/* Mostly short; some are longer than a ring's record, or than the ring. */
static gsize
bytes_length (guint64 word)
{
  guint64 dice = mix (word);

  if (dice % 4096 == 0)
    return 8 + (dice >> 32) % (MAX_BYTES - 8);
  if (dice % 128 == 0)
    return 8 + (dice >> 32) % 2000;
  return 8 + (dice >> 32) % 56;
}

/* `bytes' has room for whole words. */
static gsize
make_bytes (guint64 word, guint8 *bytes)
{
  gsize length = bytes_length (word);

  memcpy (bytes, &word, 8);
  for (gsize i = 8; i < length; i += 8)
    {
      guint64 more = mix (word + i);

      memcpy (bytes + i, &more, 8);
    }
  return length;
}

static gboolean
are_bytes (guint64 word, const guint8 *bytes, gsize length)
{
  if (length != bytes_length (word))
    return FALSE;
  for (gsize i = 8; i < length; i += 8)
    {
      guint64 more = mix (word + i);

      if (memcmp (bytes + i, &more, MIN (length - i, 8)) != 0)
        return FALSE;
    }
  return TRUE;
}

static ShmkvDatum
make_datum (guint8 kind, guint64 word, guint8 *bytes)
{
  if (kind == SHMKV_KIND_INTEGER)
    return shmkv_integer (word);
  return shmkv_bytes (bytes, make_bytes (word, bytes));
}

static guint8
get_answer (const ShmkvCompletion *completion, guint64 *word_out)
{
  gsize length = 0;
  const guint8 *bytes;

  *word_out = completion->value;
  if (completion->value_kind != SHMKV_KIND_BYTES)
    return (guint8) completion->value_kind;
  bytes = g_bytes_get_data (completion->bytes, &length);
  if (length < 8)
    return HISTORY_KIND_TORN;
  memcpy (word_out, bytes, 8);
  return are_bytes (*word_out, bytes, length) ? SHMKV_KIND_BYTES : HISTORY_KIND_TORN;
}

/* --------------------------------------------------------------- operations */

/* What makes a state that nobody else makes. */
static guint64
new_value (Thread *thread)
{
  return thread->writer << WRITER_SHIFT
         | (next_random (thread) & RANDOM_MASK) << RANDOM_SHIFT | thread->n_submitted;
}

/* One of those that the operation knows, or none. */
static void
choose_condition (Thread *thread, const Known *known, HistoryRecord *record, guint allowed)
{
  static const ShmkvFlags conditions[8] = { SHMKV_FLAG_IF_ABSENT, SHMKV_FLAG_IF_PRESENT,
                                            SHMKV_FLAG_IF_VALUE, SHMKV_FLAG_IF_VERSION };
  ShmkvFlags flag = conditions[below (thread, 8)] & allowed;

  if (flag == SHMKV_FLAG_IF_VALUE && known->kind == SHMKV_KIND_NONE)
    return;
  record->flags |= flag;
  if (flag == SHMKV_FLAG_IF_VALUE)
    {
      record->expected_kind = known->kind;
      record->expected = known->value;
    }
  if (flag == SHMKV_FLAG_IF_VERSION)
    record->version = one_in (thread, 8) ? 0 : known->version;
}

static void
want (Thread *thread, HistoryRecord *record, ShmkvFlags flag, guint one_in_n)
{
  if (one_in (thread, one_in_n))
    record->flags |= flag;
}

static void
prepare_insert (Thread *thread, const Known *known, HistoryRecord *record)
{
  record->op = SHMKV_OP_INSERT;
  record->value = new_value (thread);
  record->value_kind = record->key % 4 == 2 || one_in (thread, 8) ? SHMKV_KIND_BYTES
                                                                  : SHMKV_KIND_INTEGER;
  choose_condition (thread, known, record, ~0u);
  want (thread, record, SHMKV_FLAG_OLD, 3);
  want (thread, record, SHMKV_FLAG_VERSION, 4);
  want (thread, record, SHMKV_FLAG_NO_RESPONSE, 32);
  if (record->key % 4 != 3)
    return;
  want (thread, record, SHMKV_FLAG_SESSION, 4);
  want (thread, record, SHMKV_FLAG_TTL, 3);
}

static void
prepare_delete (Thread *thread, const Known *known, HistoryRecord *record)
{
  record->op = SHMKV_OP_DELETE;
  choose_condition (thread, known, record, SHMKV_FLAG_IF_VALUE | SHMKV_FLAG_IF_VERSION);
  want (thread, record, SHMKV_FLAG_OLD, 2);
  want (thread, record, SHMKV_FLAG_NO_RESPONSE, 32);
}

static void
prepare_sum (Thread *thread, const Known *known, HistoryRecord *record)
{
  record->op = one_in (thread, 4) ? SHMKV_OP_SUBTRACT : SHMKV_OP_ADD;
  record->value_kind = SHMKV_KIND_INTEGER;
  record->value = 1 + (next_random (thread) >> 20);
  choose_condition (thread, known, record, SHMKV_FLAG_IF_PRESENT | SHMKV_FLAG_IF_VERSION);
  want (thread, record, SHMKV_FLAG_WRAP, 2);
  want (thread, record, SHMKV_FLAG_VERSION, 4);
  want (thread, record, SHMKV_FLAG_NO_RESPONSE, 32);
}

static void
prepare_read (Thread *thread, const Known *known, HistoryRecord *record)
{
  record->op = SHMKV_OP_READ;
  want (thread, record, SHMKV_FLAG_VERSION, 4);
  if (!one_in (thread, 32) || known->version == 0)
    return;
  record->op = SHMKV_OP_WAIT;
  record->flags = SHMKV_FLAG_NONE;
  record->value_kind = SHMKV_KIND_INTEGER;
  record->value = known->version;
}

static void
prepare_time (Thread *thread, HistoryRecord *record)
{
  record->op = one_in (thread, 2) ? SHMKV_OP_TTL : SHMKV_OP_EXPIRE;
  if (record->op == SHMKV_OP_EXPIRE)
    want (thread, record, SHMKV_FLAG_TTL, 2);
}

/* By classes of keys: registers, counters, byte strings, and what goes by
 * itself. */
static void
prepare_op (Thread *thread, const Known *known, HistoryRecord *record)
{
  guint dice = below (thread, 100), class = record->key % 4;

  if (dice < 40)
    prepare_read (thread, known, record);
  else if (class == 3 && dice < 55)
    prepare_time (thread, record);
  else if (class == 1 && dice < 85)
    prepare_sum (thread, known, record);
  else if (dice < 86)
    prepare_insert (thread, known, record);
  else if (dice < 98)
    prepare_delete (thread, known, record);
  else
    prepare_sum (thread, known, record);
  if ((record->flags & SHMKV_FLAG_TTL) != 0)
    record->ttl_ms = 1 + below (thread, one_in (thread, 4) ? 1000 : 20);
}

static guint64
choose_key (Thread *thread)
{
  return below (thread, one_in (thread, 2) ? (guint) n_hot : (guint) n_keys);
}

/* --------------------------------------------------------------- submitting */

static void
fill_request (Thread *thread, const HistoryRecord *record, ShmkvRequest *request)
{
  *request = (ShmkvRequest) { .op = record->op, .flags = record->flags, .version = record->version,
                              .ttl_ms = record->ttl_ms, .user_data = (gpointer) record };
  if (record->key_kind == SHMKV_KIND_INTEGER)
    request->key = shmkv_integer (record->key);
  else
    {
      g_snprintf (thread->key, sizeof thread->key, "history %" G_GUINT64_FORMAT, record->key);
      request->key = shmkv_string (thread->key);
    }
  if (record->value_kind != SHMKV_KIND_NONE)
    request->value = make_datum (record->value_kind, record->value, thread->bytes[0]);
  if (record->expected_kind != SHMKV_KIND_NONE)
    request->expected = make_datum (record->expected_kind, record->expected, thread->bytes[1]);
}

/* Whether the server may have gone; anything else is not to happen. */
static void
lose (Thread *thread, const char *what, GError **error)
{
  gboolean gone = may_lose && g_error_matches (*error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE);

  helper_require (gone, what, error);
  g_clear_error (error);
  thread->is_lost = TRUE;
}

static void
begin_record (HistoryRecord *record)
{
  /* release: what is recorded is there when it counts, for those who find the file
   * when this process is no more; the kernel is their acquire */
  atomic_store_explicit (&record->invoked, now_ns (), memory_order_release);
}

static void
submit (Thread *thread, HistoryRecord *record)
{
  GError *error = NULL;
  ShmkvRequest request;

  fill_request (thread, record, &request);
  begin_record (record);
  thread->n_submitted++;
  if (shmkv_session_submit (thread->session, &request, &error) == 0)
    lose (thread, "submit", &error);
}

static void
submit_any (Thread *thread)
{
  HistoryRecord *record = &thread->records[thread->n_submitted];

  record->key = choose_key (thread);
  record->key_kind = record->key % 3 == 2 ? SHMKV_KIND_BYTES : SHMKV_KIND_INTEGER;
  prepare_op (thread, &thread->known[record->key], record);
  submit (thread, record);
}

/* ------------------------------------------------------------------- taking */

static void
learn (Thread *thread, const HistoryRecord *record)
{
  Known *known = &thread->known[record->key];

  if (record->answer_version != 0)
    known->version = record->answer_version;
  if (record->op == SHMKV_OP_INSERT && record->status <= SHMKV_STATUS_REPLACED)
    {
      known->kind = record->value_kind;
      known->value = record->value;
    }
  else if (record->answer_kind == SHMKV_KIND_INTEGER || record->answer_kind == SHMKV_KIND_BYTES)
    {
      known->kind = record->answer_kind;
      known->value = record->answer;
    }
}

static gboolean
wants_answer (const HistoryRecord *record)
{
  return (record->flags & SHMKV_FLAG_NO_RESPONSE) == 0;
}

/* The next that is to be answered. */
static void
skip_silent (Thread *thread)
{
  while (thread->n_taken < thread->n_submitted && !wants_answer (&thread->records[thread->n_taken]))
    thread->n_taken++;
}

static void
record_answer (Thread *thread, ShmkvCompletion *completion, guint64 now)
{
  HistoryRecord *record;

  skip_silent (thread);
  record = &thread->records[thread->n_taken];
  helper_require (completion->user_data == record && thread->n_taken < thread->n_submitted,
                  "answers come in order", NULL);
  thread->n_taken++;
  record->status = (guint8) completion->status;
  record->answer_version = completion->version;
  record->answer_kind = get_answer (completion, &record->answer);
  learn (thread, record);
  /* release: as in begin_record() */
  atomic_store_explicit (&record->returned, now, memory_order_release);
  shmkv_completion_clear (completion);
}

/* Returns whether there was anything in that time. */
static gboolean
take (Thread *thread, gint64 timeout_us)
{
  ShmkvCompletion completions[TAKE];
  GError *error = NULL;
  guint64 now;
  gssize n;

  if (!shmkv_session_flush (thread->session, &error))
    {
      lose (thread, "flush", &error);
      return FALSE;
    }
  n = shmkv_session_take (thread->session, completions, TAKE, timeout_us, &error);
  if (n < 0)
    {
      lose (thread, "take", &error);
      return FALSE;
    }
  now = now_ns ();
  for (gssize i = 0; i < n; i++)
    record_answer (thread, &completions[i], now);
  return n > 0;
}

/* A wait that is the last may last for ever: what comes next ends it. */
static void
submit_after_wait (Thread *thread)
{
  HistoryRecord *record = &thread->records[thread->n_submitted];

  record->op = SHMKV_OP_READ;
  record->key_kind = SHMKV_KIND_INTEGER;
  submit (thread, record);
}

static gsize
count_in_flight (Thread *thread)
{
  skip_silent (thread);
  return thread->n_submitted - thread->n_taken;
}

/* Until no more than that are in flight. */
static void
drain (Thread *thread, gsize window)
{
  while (!thread->is_lost && count_in_flight (thread) > window)
    {
      gboolean waits = thread->records[thread->n_submitted - 1].op == SHMKV_OP_WAIT;

      if (take (thread, waits ? WAIT_US : TIMEOUT_US) || thread->is_lost)
        continue;
      helper_require (waits, "an answer comes", NULL);
      submit_after_wait (thread);
    }
}

/* ------------------------------------------------------------------ threads */

static gsize
choose_window (Thread *thread)
{
  if (one_in (thread, 3))
    return 1;
  return 1 + below (thread, 1u << below (thread, g_bit_storage ((gulong) max_window)));
}

static void
look_at_time (Thread *thread)
{
  guint64 n = thread->n_recorded + thread->n_submitted;

  if (thread->number != 0)
    return;
  if (die_at >= 0 && n >= (guint64) die_at)
    raise (SIGKILL);
  n *= (guint64) n_threads;
  while (thread->n_said < 8 && n * 8 >= (guint64) n_ops * (thread->n_said + 1))
    helper_say ("at %u", ++thread->n_said);
}

/* Some with the same window.  One place is left for
 * submit_after_wait(). */
static void
run_episode (Thread *thread, gsize n_records)
{
  gsize window = choose_window (thread);
  gsize n = window * (1 + below (thread, 8));

  while (n-- > 0 && !thread->is_lost && thread->n_submitted + 1 < n_records)
    {
      submit_any (thread);
      look_at_time (thread);
      if (!thread->is_lost && count_in_flight (thread) >= window)
        drain (thread, window - 1 - (window > 1 ? below (thread, (guint) window / 2 + 1) : 0));
    }
}

static HistoryArea *
open_session (Thread *thread, guint number)
{
  guint64 area = thread->number * (guint64) n_sessions + number;
  GError *error = NULL;

  thread->writer = (guint64) first_writer + area;
  thread->records = history_records (thread->header, area);
  thread->n_submitted = thread->n_taken = 0;
  thread->session = shmkv_session_new (thread->client, &error);
  if (thread->session == NULL)
    lose (thread, "open a session", &error);
  return history_area (thread->header, area);
}

static void
run_session (Thread *thread, guint number)
{
  HistoryArea *area = open_session (thread, number);

  while (!thread->is_lost && thread->n_submitted + 1 < thread->header->capacity)
    run_episode (thread, thread->header->capacity);
  if (thread->session == NULL)
    return;
  drain (thread, 0);
  thread->n_recorded += thread->n_submitted;
  if (!thread->is_lost)
    /* release: as in begin_record() */
    atomic_store_explicit (&area->ended, now_ns (), memory_order_release);
  g_clear_pointer (&thread->session, shmkv_session_free);
}

static gpointer
run (gpointer data)
{
  Thread *thread = data;

  for (guint i = 0; i < (guint) n_sessions && !thread->is_lost; i++)
    run_session (thread, i);
  return NULL;
}

static void
thread_start (Thread *thread, guint number, ShmkvClient *client, const HistoryHeader *header)
{
  *thread = (Thread) { .number = number,
                       .client = client,
                       .header = header,
                       .random = mix ((guint64) seed * 1000003 + (guint64) first_writer + number),
                       .known = g_new0 (Known, n_keys),
                       .bytes = { g_malloc (MAX_BYTES + 8), g_malloc (MAX_BYTES + 8) } };
  thread->thread = g_thread_new ("record", run, thread);
}

static guint64
thread_join (Thread *thread)
{
  g_thread_join (thread->thread);
  g_free (thread->known);
  g_free (thread->bytes[0]);
  g_free (thread->bytes[1]);
  return thread->n_recorded;
}

/* --------------------------------------------------------------------- main */

static HistoryHeader *
map_file (void)
{
  guint64 n_areas = (guint64) n_threads * (guint64) n_sessions;
  guint64 capacity = (guint64) n_ops / n_areas + 2;
  gsize size = history_file_size (n_areas, capacity);
  int fd = open (file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  HistoryHeader *header = MAP_FAILED;

  if (fd >= 0 && ftruncate (fd, (off_t) size) == 0)
    header = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (header == MAP_FAILED)
    {
      helper_say ("failed: %s: %s", file, g_strerror (errno));
      exit (EXIT_FAILURE);
    }
  close (fd);
  *header = (HistoryHeader) { .magic = HISTORY_MAGIC, .n_areas = n_areas, .capacity = capacity };
  return header;
}

static void
parse_options (int *argc, char ***argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  GError *error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  helper_require (g_option_context_parse (context, argc, argv, &error), "usage", &error);
  helper_require (name != NULL && file != NULL && n_threads > 0 && n_sessions > 0
                    && n_ops >= n_threads * n_sessions && n_keys > 0 && n_hot > 0
                    && n_hot <= n_keys && max_window > 0 && first_writer > 0
                    && n_ops / n_threads / n_sessions < MAX_SESSION_OPS,
                  "usage", NULL);
}

int
main (int argc, char **argv)
{
  g_autofree Thread *threads = NULL;
  HistoryHeader *header;
  ShmkvClient *client;
  guint64 n = 0;

  parse_options (&argc, &argv);
  header = map_file ();
  client = helper_attach (name);
  shmkv_client_set_timeout (client, TIMEOUT_US);
  threads = g_new0 (Thread, n_threads);
  helper_say ("ready");
  for (guint i = 0; i < (guint) n_threads; i++)
    thread_start (&threads[i], i, client, header);
  for (guint i = 0; i < (guint) n_threads; i++)
    n += thread_join (&threads[i]);
  shmkv_client_unref (client);
  munmap (header, history_file_size (header->n_areas, header->capacity));
  helper_say ("recorded %" G_GUINT64_FORMAT, n);
  g_free (name);
  g_free (file);
  return EXIT_SUCCESS;
}
