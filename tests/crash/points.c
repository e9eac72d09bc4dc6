/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "points.h"

#include "bystander.h"
#include "client/random.h"
#include "transport/wait.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How many clients are on their tour at the same time, and servers. */
#define CLIENTS_AT_ONCE 12
#define SERVERS_AT_ONCE 12

#define N_BYSTANDERS 3
#define N_SESSIONS 128

/* Operations in a server's tour. */
#define SERVER_PLAY 1500

static void
print_result (const char *side, const char *point, const char *crash, const GError *error)
{
  if (error == NULL)
    printf ("ok %s %s (%s)\n", side, point, crash);
  else
    printf ("not ok %s %s (%s): %s\n", side, point, crash, error->message);
  fflush (stdout);
}

static gboolean
set_error (GError **error, const char *what, const Process *process)
{
  g_autofree char *end = process_describe_end (process);

  g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG, "%s: it %s", what, end);
  return FALSE;
}

/* What SHMKV_CRASH is to be. */
static char *
crash_at (const char *point, gboolean first, guint64 *random)
{
  return g_strdup_printf ("%s:%u", point, first ? 1 : 2 + (guint) cli_random_below (random, 30));
}

/* ------------------------------------------------------------------- clients */

typedef struct
{
  const char *point;
  gboolean first;                   /* the first time that it comes there; else it may never */
  char *crash;
  guint id;
  guint64 seed;
  Process process;
} Victim;

typedef struct
{
  Shared *shared;
  const char *name;
  int fd;
  ShmkvClient *client;
  ShmkvSession *session;
  GPtrArray *victims;
} Clients;

static void
victim_free (gpointer data)
{
  Victim *victim = data;

  g_free (victim->crash);
  g_free (victim);
}

static GPtrArray *
make_victims (const Points *points)
{
  GPtrArray *victims = g_ptr_array_new_with_free_func (victim_free);
  guint64 random = points->seed;

  for (guint i = 0; points->names[i] != NULL; i++)
    for (guint again = 0; again < points->times; again++)
      {
        Victim *victim = g_new0 (Victim, 1);

        victim->point = points->names[i];
        victim->first = again == 0;
        victim->id = victims->len;
        victim->seed = cli_random_next (&random);
        victim->crash = crash_at (victim->point, victim->first, &random);
        g_ptr_array_add (victims, victim);
      }
  return victims;
}

static gboolean
await_free (Clients *clients, Victim *victim, GError **error)
{
  gint64 deadline = victim->process.ended_ns + PATIENCE_US * 1000;

  for (;;)
    {
      g_autoptr (ShmkvPairs) sessions = shmkv_client_session_stats (clients->client, error);

      if (sessions == NULL)
        return FALSE;
      if (!has_session (sessions, victim->process.pid))
        break;
      if (shmkv_now_ns () > deadline)
        return set_error (error, "its session is still there", &victim->process);
      g_usleep (1000);
    }
  shared_max (&clients->shared->max_free_ns, shmkv_now_ns () - victim->process.ended_ns);
  return TRUE;
}

static gboolean
check_victim (Clients *clients, Victim *victim, GError **error)
{
  PlayProgress *progress = &clients->shared->progress[victim->id % N_PROGRESS];
  Play play;

  if (!process_await_end (&victim->process, PATIENCE_US))
    {
      process_kill (&victim->process);
      return set_error (error, "it hung", &victim->process);
    }
  if (!process_was_killed (&victim->process) && !process_succeeded (&victim->process))
    return set_error (error, "it did not die", &victim->process);
  if (victim->first && !process_was_killed (&victim->process))
    return set_error (error, "the point was never reached", &victim->process);
  if (process_was_killed (&victim->process))
    shared_add (&clients->shared->client_kills, 1);
  play_init (&play, victim->seed, victim->id);
  return await_free (clients, victim, error)
         && play_check_rest (&play, progress, clients->session, error)
         && check_owned (clients->client, victim->id, error);
}

static void
start_victim (Clients *clients, Victim *victim)
{
  memset (&clients->shared->progress[victim->id % N_PROGRESS], 0, sizeof (PlayProgress));
  victim->process = process_start_client (clients->name, victim->crash, ROLE_TOUR, victim->seed,
                                          victim->id, clients->fd, victim->id % N_PROGRESS);
}

static void
run_victims (Clients *clients)
{
  guint n = clients->victims->len;

  for (guint i = 0; i < n + CLIENTS_AT_ONCE; i++)
    {
      if (i >= CLIENTS_AT_ONCE && i - CLIENTS_AT_ONCE < n)
        {
          Victim *victim = clients->victims->pdata[i - CLIENTS_AT_ONCE];
          g_autoptr (GError) error = NULL;

          check_victim (clients, victim, &error);
          print_result ("client", victim->point, victim->crash, error);
        }
      if (i < n)
        start_victim (clients, clients->victims->pdata[i]);
    }
}

/* Nothing of all that is left: no session, no key. */
static gboolean
check_server (Clients *clients, guint64 sessions_wanted, GError **error)
{
  guint64 sessions, keys;

  if (!get_stat (clients->client, "sessions", &sessions, error)
      || !shmkv_client_count (clients->client, &keys, error))
    return FALSE;
  if (sessions == sessions_wanted && keys == PLAY_COMMON_KEYS)
    return TRUE;
  g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG,
               "%" G_GUINT64_FORMAT " sessions and %" G_GUINT64_FORMAT " keys are left", sessions,
               keys);
  return FALSE;
}

static void
require (gboolean done, Shared *shared, GError **error)
{
  if (!done)
    shared_fail (shared, "%s", (*error)->message);
  g_clear_error (error);
}

void
points_run_clients (Shared *shared, const Points *points)
{
  const char *name = points->name;
  g_autoptr (GPtrArray) victims = make_victims (points);
  Clients clients = { .shared = shared, .name = name, .fd = points->fd, .victims = victims };
  Process server = process_start_server (name, NULL, N_SESSIONS);
  Process bystanders[N_BYSTANDERS];
  Bystander bystander_data[N_BYSTANDERS];
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < N_BYSTANDERS; i++)
    {
      bystander_data[i] = (Bystander) { .name = name, .seed = points->seed, .number = i };
      bystanders[i] = process_fork (bystander_run, shared, &bystander_data[i]);
    }
  clients.client = process_attach (name, &server, &error);
  require (clients.client != NULL, shared, &error);
  clients.session = shmkv_session_new (clients.client, &error);
  require (clients.session != NULL && play_write_common (clients.session, &error), shared, &error);
  atomic_store (&shared->go, TRUE);
  run_victims (&clients);
  atomic_store (&shared->stop, TRUE);
  for (guint i = 0; i < N_BYSTANDERS; i++)
    if (!process_await_end (&bystanders[i], PATIENCE_US) || !process_succeeded (&bystanders[i]))
      shared_fail (shared, "a bystander did not end as it should");
  /* Ours, and the one that is borrowed for the question. */
  check_server (&clients, 2, &error);
  print_result ("client", "what is left", "afterwards", error);
  g_clear_error (&error);
  shmkv_session_free (clients.session);
  shmkv_client_unref (clients.client);
  kill (server.pid, SIGTERM);
  if (!process_await_end (&server, PATIENCE_US) || !process_succeeded (&server))
    shared_fail (shared, "the server did not end as it should");
  require (is_clean (name, &error), shared, &error);
}

/* ------------------------------------------------------------------- servers */

/* A client that sleeps until its server is gone. */
typedef struct
{
  const char *name;
  gboolean watches;
  GThread *thread;
  GError *error;
  gint64 woken_ns;
} Sleeper;

static gpointer
sleep_through (gpointer data)
{
  Sleeper *sleeper = data;
  ShmkvDatum key = shmkv_string ("never");
  g_autoptr (ShmkvClient) client = shmkv_client_new (sleeper->name, &sleeper->error);
  g_autoptr (ShmkvWatch) watch = NULL;
  g_autoptr (ShmkvPairs) changes = NULL;
  ShmkvCompletion completion;
  gboolean missed;

  if (client == NULL)
    ;
  else if (!sleeper->watches)
    shmkv_client_wait (client, &key, 0, -1, &completion, &sleeper->error);
  else if ((watch = shmkv_watch_new (client, &key, &sleeper->error)) != NULL)
    shmkv_watch_next (watch, -1, &changes, &missed, &sleeper->error);
  sleeper->woken_ns = shmkv_now_ns ();
  return NULL;
}

static gpointer
wait_for_bell (gpointer data)
{
  const char *name = data;
  g_autoptr (ShmkvClient) client = shmkv_client_new (name, NULL);
  ShmkvDatum key = shmkv_string ("bell");
  ShmkvCompletion completion;

  if (client != NULL && shmkv_client_wait (client, &key, 0, -1, &completion, NULL))
    shmkv_completion_clear (&completion);
  return NULL;
}

typedef struct
{
  Shared *shared;
  int fd;
  const char *point;
  char *crash;
  char *name;
  guint number;
  guint64 seed;
  gboolean first;
  Process process;                  /* that looks after it */
} Server;

/* A client of this server that dies with keys of its session. */
static gboolean
lose_client (Server *server, ShmkvClient *client, const Process *process, GError **error)
{
  Process victim = process_start_client (server->name, NULL, ROLE_WAIT, server->seed, 0, server->fd,
                                         server->number % (N_PROGRESS / 2));
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;
  gboolean was_there = FALSE, is_there = TRUE;

  while (is_there || !was_there)
    {
      g_autoptr (ShmkvPairs) sessions = shmkv_client_session_stats (client, error);
      guint64 count;

      if (sessions == NULL || !shmkv_client_count (client, &count, error))
        break;
      is_there = has_session (sessions, victim.pid);
      /* Its session, and all its keys. */
      if (is_there && !was_there && count > 100)
        {
          process_kill (&victim);
          was_there = TRUE;
        }
      if (g_get_monotonic_time () > deadline)
        {
          set_error (error, "a dead client's session is not ended", process);
          break;
        }
      g_usleep (1000);
    }
  process_kill (&victim);
  return *error == NULL;
}

/* A session that ends with requests that nobody has looked at. */
static gboolean
leave_rest (ShmkvClient *client, Process *process, GError **error)
{
  g_autoptr (ShmkvSession) session = shmkv_session_new (client, error);
  ShmkvRequest ping = { .op = SHMKV_OP_PING };
  ShmkvCompletion completion;

  if (session == NULL || !shmkv_session_call (session, &ping, &completion, error))
    return FALSE;
  process_stop (process);
  for (guint i = 0; i < 20; i++)
    shmkv_session_submit_insert (session, i, i, SHMKV_FLAG_NONE, NULL, NULL);
  shmkv_session_flush (session, NULL);
  g_clear_pointer (&session, shmkv_session_free);
  if (!process->ended)
    kill (process->pid, SIGCONT);
  return shmkv_client_ping (client, error);
}

static gboolean
ring_bell (const char *name, ShmkvClient *client, GError **error)
{
  GThread *waiter = g_thread_new ("bell", wait_for_bell, (gpointer) name);
  ShmkvRequest request = { .op = SHMKV_OP_INSERT, .key = shmkv_string ("bell"),
                           .value = shmkv_integer (1) };
  ShmkvCompletion completion;
  gboolean done;

  /* It makes no difference if it is not asleep then, but for what is reached. */
  g_usleep (20000);
  done = shmkv_client_call (client, &request, &completion, error);
  g_thread_join (waiter);
  return done;
}

static gboolean
play_a_little (Server *server, ShmkvClient *client, GError **error)
{
  Player player = { .progress = &server->shared->progress[server->number % (N_PROGRESS / 2)] };
  gboolean done;

  player.session = shmkv_session_new (client, error);
  if (player.session == NULL)
    return FALSE;
  play_init (&player.play, server->seed, 1);
  done = play_write_common (player.session, error) && player_run (&player, SERVER_PLAY, error);
  shmkv_session_free (player.session);
  return done;
}

/* Everything that a server can be brought to do, and its end. */
static gboolean
tour (Server *server, ShmkvClient *client, Process *process, GError **error)
{
  guint64 count;
  guint n;

  return play_a_little (server, client, error)
         && shmkv_client_start_workers (client, 2, &n, error)
         && shmkv_client_count (client, &count, error)
         && ring_bell (server->name, client, error)
         && leave_rest (client, process, error)
         && lose_client (server, client, process, error)
         && shmkv_client_stop_worker (client, &n, error)
         && shmkv_client_stop_worker (client, &n, error)
         && shmkv_client_quit (client, error);
}

/* A server that was killed, so that the next one finds its regions. */
static gboolean
leave_regions (const char *name, GError **error)
{
  Process process = process_start_server (name, NULL, 8);
  ShmkvClient *client = process_attach (name, &process, error);

  process_kill (&process);
  if (client == NULL)
    return FALSE;
  shmkv_client_unref (client);
  return TRUE;
}

/* Whether who slept was told. */
static gboolean
check_sleeper (Server *server, Sleeper *sleeper, const Process *process, GError **error)
{
  g_autoptr (GError) gone = NULL;

  g_thread_join (sleeper->thread);
  gone = g_steal_pointer (&sleeper->error);
  shared_max (&server->shared->max_gone_ns, sleeper->woken_ns - process->ended_ns);
  if (is_gone (gone))
    return TRUE;
  g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG, "who slept was told: %s",
               gone != NULL ? gone->message : "nothing");
  return FALSE;
}

/* Uses it until it is dead. */
static gboolean
use (Server *server, Process *process, GError **error)
{
  g_autoptr (GError) tour_error = NULL;
  ShmkvClient *client = process_attach (server->name, process, &tour_error);
  Sleeper sleepers[2] = { { .name = server->name }, { .name = server->name, .watches = TRUE } };
  gboolean right = TRUE, slept = client != NULL;

  for (guint i = 0; i < G_N_ELEMENTS (sleepers) && slept; i++)
    sleepers[i].thread = g_thread_new ("sleeper", sleep_through, &sleepers[i]);
  if (client != NULL && tour (server, client, process, &tour_error))
    g_assert (tour_error == NULL);
  if (tour_error != NULL && !is_gone (tour_error))
    {
      process_kill (process);
      g_propagate_error (error, g_steal_pointer (&tour_error));
      right = FALSE;
    }
  if (!process_await_end (process, PATIENCE_US))
    {
      right = right && set_error (error, "it did not end", process);
      process_kill (process);
    }
  for (guint i = 0; i < G_N_ELEMENTS (sleepers) && slept; i++)
    right = check_sleeper (server, &sleepers[i], process, right ? error : NULL) && right;
  g_clear_pointer (&client, shmkv_client_unref);
  return right;
}

/* Whether the next server starts at once and works; and leaves nothing. */
static gboolean
start_again (Server *server, GError **error)
{
  gint64 begin = shmkv_now_ns ();
  Process process = process_start_server (server->name, NULL, 8);
  ShmkvClient *client = process_attach (server->name, &process, error);
  guint64 count = 1;
  gboolean done;

  if (client == NULL)
    {
      process_kill (&process);
      return FALSE;
    }
  shared_max (&server->shared->max_start_ns, shmkv_now_ns () - begin);
  done = shmkv_client_insert (client, 1, 1, NULL, error)
         && shmkv_client_count (client, &count, error);
  shmkv_client_unref (client);
  kill (process.pid, SIGTERM);
  if (!process_await_end (&process, PATIENCE_US))
    process_kill (&process);
  if (!done)
    return FALSE;
  if (count != 1 || !process_succeeded (&process))
    return set_error (error, "the next server does not do what it should", &process);
  return is_clean (server->name, error);
}

static gboolean
run_server (Server *server, GError **error)
{
  Process process;

  if (!leave_regions (server->name, error))
    return FALSE;
  process = process_start_server (server->name, server->crash, 8);
  if (!use (server, &process, error))
    return FALSE;
  if (!process_was_killed (&process) && (server->first || !process_succeeded (&process)))
    return set_error (error, "the point was never reached", &process);
  if (process_was_killed (&process))
    shared_add (&server->shared->server_kills, 1);
  return start_again (server, error);
}

static void
look_after (Shared *shared, gpointer data)
{
  Server *server = data;
  g_autoptr (GError) error = NULL;

  run_server (server, &error);
  print_result ("server", server->point, server->crash, error);
}

static void
start_server (Server *server, guint number, const Points *points, guint64 *random)
{
  server->number = number;
  server->point = points->names[number / points->times];
  server->first = number % points->times == 0;
  server->seed = cli_random_next (random);
  server->name = g_strdup_printf ("%s-%u", points->name, number);
  server->crash = crash_at (server->point, server->first, random);
  server->process = process_fork (look_after, server->shared, server);
}

static void
end_server (Server *server)
{
  if (!process_await_end (&server->process, 4 * PATIENCE_US)
      || !process_succeeded (&server->process))
    shared_fail (server->shared, "who looks after the server that is to die at %s does not end",
                 server->crash);
  g_free (server->name);
  g_free (server->crash);
}

void
points_run_servers (Shared *shared, const Points *points)
{
  guint n = points->times * g_strv_length (points->names);
  guint64 random = points->seed;
  Server servers[SERVERS_AT_ONCE];

  atomic_store (&shared->go, TRUE);
  for (guint i = 0; i < n + SERVERS_AT_ONCE; i++)
    {
      Server *server = &servers[i % SERVERS_AT_ONCE];

      if (i >= SERVERS_AT_ONCE && i - SERVERS_AT_ONCE < n)
        end_server (server);
      *server = (Server) { .shared = shared, .fd = points->fd };
      if (i < n)
        start_server (server, i, points, &random);
    }
}
