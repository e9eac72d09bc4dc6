/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A server whose regions somebody else removes, truncates or overwrites: it says
 * so, keeps its table and makes new ones; clients get an error, and can attach
 * again. */

#include "config.h"

#include "server/server.h"
#include "transport/segment.h"
#include "util.h"
#include "wire/record.h"

#include <errno.h>
#include <fcntl.h>
#include <shmkv/shmkv.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SESSIONS 8
#define WORKERS 3
#define N_KEYS 100

typedef struct
{
  char *name;
  char *paths[2];                   /* requests, responses */
  ShmkvServer *server;
  ShmkvClient *client;
  ShmkvSession *session;
  GThread *keeper;
  _Atomic gboolean ends;
  GError *lost;                     /* why there is no keeper any more */
} Fixture;

enum
{
  REQUESTS,
  RESPONSES
};

static void
on_quit (gpointer data)
{
}

/* Both sides are in this process, and so is the one handler. */
static void
on_bus_error (int number, siginfo_t *info, void *context)
{
  if (shmkv_handle_bus_error (info->si_addr))
    return;
  signal (SIGBUS, SIG_DFL);
  raise (SIGBUS);
}

static void
catch_bus_errors (void)
{
  struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };

  g_assert_cmpint (sigaction (SIGBUS, &action, NULL), ==, 0);
}

/* ------------------------------------------------------------------ fixture */

/* What main() does in a server. */
static gpointer
keep (gpointer data)
{
  Fixture *fixture = data;

  while (!atomic_load (&fixture->ends)
         && shmkv_server_look_after_regions (fixture->server, &fixture->lost))
    {
      shmkv_server_reap (fixture->server);
      g_usleep (1000);
    }
  return NULL;
}

static void
keeper_start (Fixture *fixture)
{
  atomic_store (&fixture->ends, FALSE);
  fixture->keeper = g_thread_new ("keeper", keep, fixture);
}

static void
keeper_stop (Fixture *fixture)
{
  atomic_store (&fixture->ends, TRUE);
  if (fixture->keeper != NULL)
    g_thread_join (g_steal_pointer (&fixture->keeper));
}

static ShmkvServer *
server_new (const char *name, GError **error)
{
  ShmkvServerOptions options = {
    .name = name,
    .buckets = 7,
    .workers = WORKERS,
    .max_workers = 4,
    .sessions = SESSIONS,
    .ring_size = 4096,
    .mode = 0600,
    .group = (gid_t) -1,
  };

  return shmkv_server_new (&options, on_quit, NULL, error);
}

/* For a moment there may be no regions under the name. */
static ShmkvClient *
attach_again (const char *name)
{
  ShmkvClient *client = NULL;

  UTIL_AWAIT ((client = shmkv_client_new (name, NULL)) != NULL);
  return client;
}

static void
attach (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  do
    {
      g_clear_error (&error);
      g_clear_pointer (&fixture->client, shmkv_client_unref);
      fixture->client = attach_again (fixture->name);
      shmkv_client_set_timeout (fixture->client, UTIL_PATIENCE_US);
      fixture->session = shmkv_session_new (fixture->client, &error);
    }
  while (g_error_matches (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE));
  g_assert_no_error (error);
}

static void
detach (Fixture *fixture)
{
  shmkv_session_free (fixture->session);
  g_clear_pointer (&fixture->client, shmkv_client_unref);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fixture->name = util_name ();
  fixture->paths[REQUESTS] = util_object_path (fixture->name, "requests");
  fixture->paths[RESPONSES] = util_object_path (fixture->name, "responses");
  fixture->server = server_new (fixture->name, &error);
  g_assert_no_error (error);
  attach (fixture);
  keeper_start (fixture);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  keeper_stop (fixture);
  detach (fixture);
  shmkv_server_free (fixture->server);
  for (guint i = 0; i < G_N_ELEMENTS (fixture->paths); i++)
    {
      unlink (fixture->paths[i]);
      g_free (fixture->paths[i]);
    }
  g_free (fixture->name);
}

/* -------------------------------------------------------------------- calls */

static ShmkvCompletion
call (Fixture *fixture, ShmkvRequest request)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completion;

  shmkv_session_call (fixture->session, &request, &completion, &error);
  g_assert_no_error (error);
  return completion;
}

static void
insert_all (Fixture *fixture)
{
  for (guint i = 0; i < N_KEYS; i++)
    call (fixture, (ShmkvRequest) { .op = SHMKV_OP_INSERT, .key = shmkv_integer (i),
                                    .value = shmkv_integer (1000 + i) });
  call (fixture, (ShmkvRequest) { .op = SHMKV_OP_INSERT, .flags = SHMKV_FLAG_SESSION,
                                  .key = shmkv_string ("mine"), .value = shmkv_integer (1) });
}

static void
expect_all (Fixture *fixture)
{
  for (guint i = 0; i < N_KEYS; i++)
    {
      ShmkvCompletion completion
        = call (fixture, (ShmkvRequest) { .op = SHMKV_OP_READ, .key = shmkv_integer (i) });

      g_assert_cmpint (completion.status, ==, SHMKV_STATUS_OK);
      g_assert_cmpuint (completion.value, ==, 1000 + i);
    }
}

/* What a call says in the end. */
static GError *
await_error (Fixture *fixture)
{
  const ShmkvRequest request = { .op = SHMKV_OP_READ, .key = shmkv_integer (1) };
  ShmkvCompletion completion;
  GError *error = NULL;

  while (shmkv_session_call (fixture->session, &request, &completion, &error))
    continue;
  return error;
}

static void
expect_gone (Fixture *fixture)
{
  g_autoptr (GError) error = await_error (fixture);

  g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE);
}

/* A worker may have found zeros where there was a claim before anybody noticed what
 * they mean. */
static void
expect_gone_or_dropped (Fixture *fixture)
{
  g_autoptr (GError) error = await_error (fixture);

  if (!g_error_matches (error, SHMKV_ERROR, SHMKV_ERROR_DROPPED))
    g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE);
}

static guint64
statistic (Fixture *fixture, const char *name)
{
  ShmkvCompletion completion = call (fixture, (ShmkvRequest) { .op = SHMKV_OP_STATS });

  for (gsize i = 0; i < shmkv_pairs_get_length (completion.pairs); i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (completion.pairs, i, &key, &value);
      if (key.length == strlen (name) && memcmp (key.bytes, name, key.length) == 0)
        {
          shmkv_completion_clear (&completion);
          return value.integer;
        }
    }
  g_error ("there is no %s", name);
}

/* ------------------------------------------------------------------- damage */

static void
truncate_to (Fixture *fixture, guint region, off_t length)
{
  g_assert_cmpint (truncate (fixture->paths[region], length), ==, 0);
}

static void
remove_requests (Fixture *fixture)
{
  g_assert_cmpint (unlink (fixture->paths[REQUESTS]), ==, 0);
}

static void
remove_responses (Fixture *fixture)
{
  g_assert_cmpint (unlink (fixture->paths[RESPONSES]), ==, 0);
}

/* Before anybody looks: otherwise one may be of the new ones. */
static void
remove_both (Fixture *fixture)
{
  gboolean is_kept = fixture->keeper != NULL;

  keeper_stop (fixture);
  remove_requests (fixture);
  remove_responses (fixture);
  if (is_kept)
    keeper_start (fixture);
}

static void
empty_requests (Fixture *fixture)
{
  truncate_to (fixture, REQUESTS, 0);
}

static void
empty_responses (Fixture *fixture)
{
  truncate_to (fixture, RESPONSES, 0);
}

/* Only the rings are gone. */
static void
cut_requests (Fixture *fixture)
{
  truncate_to (fixture, REQUESTS, 4096);
}

static void
cut_responses (Fixture *fixture)
{
  truncate_to (fixture, RESPONSES, 4096);
}

/* As long as before when the server looks, but empty. */
static void
clear (Fixture *fixture, guint region)
{
  struct stat status;

  keeper_stop (fixture);
  g_assert_cmpint (stat (fixture->paths[region], &status), ==, 0);
  truncate_to (fixture, region, 0);
  truncate_to (fixture, region, status.st_size);
  keeper_start (fixture);
}

static void
clear_requests (Fixture *fixture)
{
  clear (fixture, REQUESTS);
}

static void
clear_responses (Fixture *fixture)
{
  clear (fixture, RESPONSES);
}

/* Another file under our name: it is not ours to remove. */
static void
rename_responses (Fixture *fixture)
{
  g_autofree char *elsewhere = g_strconcat (fixture->paths[RESPONSES], ".elsewhere", NULL);

  g_assert_cmpint (rename (fixture->paths[RESPONSES], elsewhere), ==, 0);
  unlink (elsewhere);
}

typedef struct
{
  const char *name;
  const char *verb;                 /* in the log */
  void (*damage) (Fixture *fixture);
} Damage;

/* The first ones leave the memory as it is. */
#define N_REMOVALS 4

/* These can happen at any moment. */
#define N_AT_ANY_TIME 8

static const Damage damages[] = {
  { "requests-removed", "removed", remove_requests },
  { "responses-removed", "removed", remove_responses },
  { "both-removed", "removed", remove_both },
  { "responses-renamed", "removed", rename_responses },
  { "requests-emptied", "truncated", empty_requests },
  { "responses-emptied", "truncated", empty_responses },
  { "requests-cut", "truncated", cut_requests },
  { "responses-cut", "truncated", cut_responses },
  { "requests-cleared", "overwrote", clear_requests },
  { "responses-cleared", "overwrote", clear_responses },
};

/* A thread sanitizer cannot have its own accesses raise a signal: it holds locks of
 * its own there, which what the handler does would wait for. */
static guint
n_damages (void)
{
#if UTIL_HAS_THREAD_SANITIZER
  return N_REMOVALS;
#else
  return G_N_ELEMENTS (damages);
#endif
}

/* -------------------------------------------------------------------- tests */

/* What clients find afterwards: the table, but nothing that belonged to sessions. */
static void
expect_new_regions (Fixture *fixture, guint n_replaced)
{
  ShmkvCompletion completion;

  detach (fixture);
  attach (fixture);
  expect_all (fixture);
  completion = call (fixture, (ShmkvRequest) { .op = SHMKV_OP_READ,
                                               .key = shmkv_string ("mine") });
  g_assert_cmpint (completion.status, ==, SHMKV_STATUS_NO_KEY);
  g_assert_cmpuint (statistic (fixture, "regions_replaced"), ==, n_replaced);
  g_assert_cmpuint (statistic (fixture, "workers"), ==, WORKERS);
  g_assert_cmpuint (statistic (fixture, "keys"), ==, N_KEYS);
  /* What was counted before stays. */
  g_assert_cmpuint (statistic (fixture, "inserts"), ==, N_KEYS + 1);
}

static void
test_damage (Fixture *fixture, gconstpointer data)
{
  const Damage *damage = data;
  g_autofree char *message = g_strdup_printf ("somebody else %s the shared memory", damage->verb);

  insert_all (fixture);
  util_log_catch ();
  damage->damage (fixture);
  expect_gone_or_dropped (fixture);
  expect_new_regions (fixture, 1);
  g_assert_cmpuint (statistic (fixture, "sessions"), ==, 1);
  g_assert_cmpuint (util_log_caught (message), ==, 1);
}

/* As whoever may write to it can: that is no damage, and keeps nobody from coming. */
static void
test_extended (Fixture *fixture, gconstpointer data)
{
  struct stat before, after;

  insert_all (fixture);
  g_assert_cmpint (stat (fixture->paths[REQUESTS], &before), ==, 0);
  keeper_stop (fixture);
  truncate_to (fixture, REQUESTS, before.st_size + 4096);
  detach (fixture);
  attach (fixture);
  expect_all (fixture);
  keeper_start (fixture);
  UTIL_AWAIT (stat (fixture->paths[REQUESTS], &after) == 0 && after.st_size == before.st_size);
  expect_all (fixture);
  g_assert_cmpuint (statistic (fixture, "regions_replaced"), ==, 0);
}

/* Again and again, with workers and clients at it. */
typedef struct
{
  const char *name;
  _Atomic gboolean *ends;
  guint64 answers;
  guint gone;
} Reader;

static gpointer
read_on (gpointer data)
{
  Reader *reader = data;
  ShmkvClient *client = attach_again (reader->name);

  for (guint64 key = 0; !atomic_load (reader->ends); key = (key + 1) % N_KEYS)
    {
      g_autoptr (GError) error = NULL;
      gboolean found;
      guint64 value;

      if (shmkv_client_read (client, key, &value, &found, &error))
        {
          g_assert_true (found);
          g_assert_cmpuint (value, ==, 1000 + key);
          reader->answers++;
          continue;
        }
      g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE);
      reader->gone++;
      shmkv_client_unref (client);
      client = attach_again (reader->name);
    }
  shmkv_client_unref (client);
  return NULL;
}

static void
test_under_load (Fixture *fixture, gconstpointer data)
{
  const guint rounds = 6;
  Reader readers[3] = { 0 };
  GThread *threads[G_N_ELEMENTS (readers)];
  _Atomic gboolean ends = FALSE;

  insert_all (fixture);
  util_log_catch ();
  for (guint i = 0; i < G_N_ELEMENTS (readers); i++)
    {
      readers[i] = (Reader) { .name = fixture->name, .ends = &ends };
      threads[i] = g_thread_new ("reader", read_on, &readers[i]);
    }
  for (guint i = 0; i < rounds; i++)
    {
      guint which = util_random_range (0, MIN (n_damages (), N_AT_ANY_TIME));

      g_usleep (util_random_range (0, 20000));
      damages[which].damage (fixture);
      expect_gone (fixture);
      expect_new_regions (fixture, i + 1);
      g_test_message ("%s", damages[which].name);
    }
  atomic_store (&ends, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (readers); i++)
    {
      g_thread_join (threads[i]);
      g_assert_cmpuint (readers[i].answers, >, 0);
      g_assert_cmpuint (readers[i].gone, <=, 2 * rounds);
    }
  util_log_caught ("");
}

/* Those who sleep are told at once. */
static gpointer
wait_long (gpointer data)
{
  Fixture *fixture = data;
  const ShmkvDatum key = shmkv_integer (1);
  ShmkvCompletion completion;
  GError *error = NULL;

  shmkv_client_wait (fixture->client, &key, G_MAXUINT64 >> 1, -1, &completion, &error);
  shmkv_client_wait (fixture->client, &key, completion.version, -1, &completion, &error);
  return error;
}

static void
test_sleepers (Fixture *fixture, gconstpointer data)
{
  GThread *threads[SESSIONS - 2];

  insert_all (fixture);
  util_log_catch ();
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("sleeper", wait_long, fixture);
  UTIL_AWAIT (statistic (fixture, "waits") >= 2 * G_N_ELEMENTS (threads));
  remove_both (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      g_autoptr (GError) error = g_thread_join (threads[i]);

      g_assert_error (error, SHMKV_ERROR, SHMKV_ERROR_SERVER_GONE);
    }
  expect_new_regions (fixture, 1);
  util_log_caught ("");
}

/* Long enough for some attempts. */
static void
look_after_for_a_second (Fixture *fixture)
{
  gint64 end = g_get_monotonic_time () + G_USEC_PER_SEC;

  while (g_get_monotonic_time () < end)
    {
      g_assert_true (shmkv_server_look_after_regions (fixture->server, NULL));
      shmkv_server_reap (fixture->server);
      g_usleep (1000);
    }
}

/* Where there is no way to make new regions, the table waits for one. */
static void
test_no_room (Fixture *fixture, gconstpointer data)
{
  struct rlimit limit, none;

  insert_all (fixture);
  keeper_stop (fixture);
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  none = (struct rlimit) { .rlim_cur = 4096, .rlim_max = limit.rlim_max };
  util_log_catch ();
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &none), ==, 0);
  remove_both (fixture);
  look_after_for_a_second (fixture);
  expect_gone (fixture);
  g_assert_false (util_object_exists (fixture->name, "requests"));
  g_assert_false (util_object_exists (fixture->name, "responses"));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  keeper_start (fixture);
  expect_new_regions (fixture, 1);
  g_assert_cmpuint (util_log_caught ("cannot make new regions"), ==, 1);
}

/* In place of the C library's: what lanes and pools are in. */
static _Atomic gboolean has_no_memory;

void *
aligned_alloc (size_t alignment, size_t size)
{
  void *memory = NULL;
  int code = atomic_load (&has_no_memory) ? ENOMEM : posix_memalign (&memory, alignment, size);

  errno = code;
  return memory;
}

/* Nor does it fall over what is not there meanwhile. */
static void
test_no_memory (Fixture *fixture, gconstpointer data)
{
  insert_all (fixture);
  keeper_stop (fixture);
  util_log_catch ();
  atomic_store (&has_no_memory, TRUE);
  remove_both (fixture);
  look_after_for_a_second (fixture);
  shmkv_server_log_stats (fixture->server);
  expect_gone (fixture);
  atomic_store (&has_no_memory, FALSE);
  keeper_start (fixture);
  detach (fixture);
  attach (fixture);
  expect_all (fixture);
  g_assert_cmpuint (util_log_caught ("cannot make new regions"), ==, 1);
}

typedef struct
{
  const char *name;
  _Atomic gboolean ends;
  guint tries;
} Starter;

/* As many servers as want to start meanwhile. */
static gpointer
try_to_start (gpointer data)
{
  Starter *starter = data;
  ShmkvSegmentOptions options = {
    .name = starter->name,
    .geometry = { .sessions = 1, .ring_size = SHMKV_WIRE_MIN_RING_SIZE },
    .buckets = 1,
    .max_value = SHMKV_WIRE_DEFAULT_MAX_VALUE,
    .mode = 0600,
    .group = (gid_t) -1,
  };

  for (; !atomic_load (&starter->ends); starter->tries++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (shmkv_segment_create (&options, NULL, &error));
      g_assert_error (error, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_IN_USE);
    }
  return NULL;
}

/* A server that lost only the memory keeps its name all the time. */
static void
test_name_kept (Fixture *fixture, gconstpointer data)
{
  const guint rounds = 5;
  Starter starter = { .name = fixture->name };
  GThread *thread;

  insert_all (fixture);
  util_log_catch ();
  thread = g_thread_new ("starter", try_to_start, &starter);
  for (guint i = 0; i < rounds; i++)
    {
      empty_requests (fixture);
      expect_gone_or_dropped (fixture);
      expect_new_regions (fixture, i + 1);
    }
  atomic_store (&starter.ends, TRUE);
  g_thread_join (thread);
  g_assert_cmpuint (starter.tries, >, 0);
  g_assert_null (fixture->lost);
  util_log_caught ("");
}

/* A name that another server has by now is lost, and that server is left alone. */
static void
test_name_taken (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  ShmkvServer *other;

  insert_all (fixture);
  keeper_stop (fixture);
  util_log_catch ();
  remove_both (fixture);
  other = server_new (fixture->name, &error);
  g_assert_no_error (error);
  keeper_start (fixture);
  /* It gives up by itself. */
  g_thread_join (g_steal_pointer (&fixture->keeper));
  g_assert_error (fixture->lost, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_IN_USE);
  g_clear_error (&fixture->lost);
  expect_gone (fixture);
  g_assert_true (util_object_exists (fixture->name, "requests"));
  g_assert_true (util_object_exists (fixture->name, "responses"));
  detach (fixture);
  attach (fixture);
  g_assert_cmpuint (statistic (fixture, "keys"), ==, 0);
  shmkv_server_free (other);
  util_log_caught ("");
}

int
main (int argc, char **argv)
{
#define ADD(name, data, function)                                                                  \
  g_test_add ("/regions/" name, Fixture, data, set_up, function, tear_down)

  util_init (&argc, &argv);
  catch_bus_errors ();
  for (guint i = 0; i < n_damages (); i++)
    {
      g_autofree char *path = g_strconcat ("/regions/", damages[i].name, NULL);

      g_test_add (path, Fixture, &damages[i], set_up, test_damage, tear_down);
    }
  ADD ("extended", NULL, test_extended);
  ADD ("under-load", NULL, test_under_load);
  ADD ("sleepers", NULL, test_sleepers);
  ADD ("no-room", NULL, test_no_room);
  ADD ("no-memory", NULL, test_no_memory);
#if !UTIL_HAS_THREAD_SANITIZER
  ADD ("name-kept", NULL, test_name_kept);
#endif
  ADD ("name-taken", NULL, test_name_taken);
  return util_run ();
}
