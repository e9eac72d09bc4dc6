/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "killer.h"

#include "client/random.h"
#include "transport/wait.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The longest life of a client and of a server. */
#define LIFE_US 40000
#define SERVER_LIFE_US 60000

/* How often it is looked which sessions of dead clients are gone. */
#define SESSIONS_US 20000

#define POLL_US 300

/* At a random one of all points: how often at most they are passed before. */
#define MOST_POINTS 12

/* ------------------------------------------------------------------- clients */

typedef enum
{
  VICTIM_NONE,
  VICTIM_LIVES,
  VICTIM_IS_STOPPED,
  VICTIM_IS_DEAD                    /* but its session may be there */
} VictimState;

typedef struct
{
  VictimState state;
  Process process;
  Role role;
  guint id;
  guint64 seed;
  gboolean at_point;
  gint64 due_us;                    /* when something is to happen to it */
  gint64 killed_us;                 /* the end of its life at the latest */
} Victim;

typedef struct
{
  Shared *shared;
  const Killer *killer;
  guint64 random;
  ShmkvClient *client;
  ShmkvSession *session;
  guint next_id;
  guint64 n_kills;
  gint64 next_look_us;
  Victim victims[N_PROGRESS / 2];
} Clients;

/* A random one of all points, sometimes early and sometimes late. */
static char *
random_point (guint64 *random)
{
  guint64 most = G_GUINT64_CONSTANT (1) << cli_random_below (random, MOST_POINTS);

  return g_strdup_printf ("any:%" G_GUINT64_FORMAT, 1 + cli_random_below (random, most));
}

static void
start_victim (Clients *clients, guint slot)
{
  Victim *victim = &clients->victims[slot];
  guint dice = (guint) cli_random_below (&clients->random, 12);
  g_autofree char *crash = NULL;

  *victim = (Victim) { .state = VICTIM_LIVES, .id = clients->next_id++ };
  /* Plays tell most. */
  victim->role = dice < N_ROLES ? (Role) dice : ROLE_PLAY;
  victim->seed = cli_random_next (&clients->random);
  victim->at_point = cli_random_below (&clients->random, 2) == 0;
  if (victim->at_point)
    crash = random_point (&clients->random);
  memset (&clients->shared->progress[slot], 0, sizeof (PlayProgress));
  victim->killed_us = g_get_monotonic_time () + (gint64) cli_random_below (&clients->random, LIFE_US);
  victim->due_us = victim->killed_us;
  if (cli_random_below (&clients->random, 8) == 0)
    victim->due_us -= LIFE_US / 4;
  victim->process = process_start_client (clients->killer->name, crash, victim->role, victim->seed,
                                          victim->id, clients->killer->fd, slot);
}

/* A victim's time has come: it is stopped for a while first, or dies. */
static void
strike (Clients *clients, Victim *victim)
{
  gint64 now = g_get_monotonic_time ();

  if (now >= victim->killed_us)
    kill (victim->process.pid, SIGKILL);
  else if (victim->state == VICTIM_LIVES)
    {
      kill (victim->process.pid, SIGSTOP);
      shared_add (&clients->shared->stops, 1);
      victim->state = VICTIM_IS_STOPPED;
      victim->due_us = now + (victim->killed_us - now) / 2;
    }
  else
    {
      kill (victim->process.pid, SIGCONT);
      victim->due_us = victim->killed_us;
    }
}

static void
note_end (Clients *clients, Victim *victim)
{
  g_autofree char *end = process_describe_end (&victim->process);

  victim->state = VICTIM_IS_DEAD;
  if (process_was_killed (&victim->process))
    {
      clients->n_kills++;
      shared_add (&clients->shared->client_kills, 1);
      shared_add (&clients->shared->points,
                  victim->at_point && victim->process.ended_ns / 1000 < victim->killed_us ? 1 : 0);
    }
  else if (!process_succeeded (&victim->process))
    shared_fail (clients->shared, "client %u, role %d, seed %" G_GUINT64_FORMAT ", %s", victim->id,
                 (int) victim->role, victim->seed, end);
}

/* Its session has ended: what did it leave? */
static void
check_rest (Clients *clients, guint slot)
{
  Victim *victim = &clients->victims[slot];
  const PlayProgress *progress = &clients->shared->progress[slot];
  g_autoptr (GError) error = NULL;
  Play play;

  play_init (&play, victim->seed, victim->id);
  if (!play_check_rest (&play, progress, clients->session, &error)
      || !check_owned (clients->client, victim->id, &error))
    shared_fail (clients->shared, "after client %u, role %d: %s", victim->id, (int) victim->role,
                 error->message);
  atomic_fetch_add (&clients->shared->progress[N_PROGRESS / 2].checked,
                    atomic_load (&progress->checked) + PLAY_KEYS);
  victim->state = VICTIM_NONE;
}

/* Checks those whose sessions are gone. */
static void
check_dead (Clients *clients)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvPairs) sessions = shmkv_client_session_stats (clients->client, &error);

  if (sessions == NULL)
    {
      shared_fail (clients->shared, "who kills clients: %s", error->message);
      return;
    }
  for (guint i = 0; i < clients->killer->at_once; i++)
    {
      Victim *victim = &clients->victims[i];
      gint64 dead_ns = shmkv_now_ns () - victim->process.ended_ns;

      if (victim->state != VICTIM_IS_DEAD)
        continue;
      if (!has_session (sessions, victim->process.pid))
        {
          shared_max (&clients->shared->max_free_ns, dead_ns);
          check_rest (clients, i);
        }
      else if (dead_ns > PATIENCE_US * 1000)
        shared_fail (clients->shared, "the session of dead client %u is still there", victim->id);
    }
}

static gboolean
is_enough (const Clients *clients)
{
  return !shared_goes_on (clients->shared)
         || (clients->killer->n_kills > 0 && clients->n_kills >= clients->killer->n_kills);
}

/* Whether there is anyone left. */
static gboolean
look_after (Clients *clients)
{
  gint64 now = g_get_monotonic_time ();
  gboolean enough = is_enough (clients), any = FALSE;

  for (guint i = 0; i < clients->killer->at_once; i++)
    {
      Victim *victim = &clients->victims[i];

      if (victim->state == VICTIM_NONE && !enough)
        start_victim (clients, i);
      else if (victim->state == VICTIM_LIVES || victim->state == VICTIM_IS_STOPPED)
        {
          if (process_has_ended (&victim->process))
            note_end (clients, victim);
          else if (now >= victim->due_us)
            strike (clients, victim);
        }
      any = any || victim->state != VICTIM_NONE;
    }
  return any;
}

static gboolean
has_failed (const Shared *shared)
{
  return atomic_load (&shared->failures) > 0;
}

void
killer_of_clients (Shared *shared, gpointer data)
{
  const Killer *killer = data;
  g_autofree Clients *clients = g_new0 (Clients, 1);
  g_autoptr (GError) error = NULL;

  *clients = (Clients) { .shared = shared, .killer = killer, .random = killer->seed };
  clients->client = shmkv_client_new (killer->name, &error);
  clients->session = clients->client != NULL ? shmkv_session_new (clients->client, &error) : NULL;
  if (clients->session == NULL)
    shared_fail (shared, "who kills clients: %s", error->message);
  while (clients->session != NULL && look_after (clients) && !has_failed (shared))
    {
      g_usleep (POLL_US);
      if (g_get_monotonic_time () < clients->next_look_us)
        continue;
      check_dead (clients);
      clients->next_look_us = g_get_monotonic_time () + SESSIONS_US;
    }
  g_clear_pointer (&clients->session, shmkv_session_free);
  g_clear_pointer (&clients->client, shmkv_client_unref);
}

/* ------------------------------------------------------------------- servers */

static char *
doomed_name (const Killer *killer)
{
  return g_strdup_printf ("%s-doomed", killer->name);
}

/* Whether the server can be used; a bit, as it may be about to die. */
static void
use (Shared *shared, Process *server, const char *name, gint64 begin_ns)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvClient) client = process_attach (name, server, &error);

  if (client != NULL)
    {
      shared_max (&shared->max_start_ns, shmkv_now_ns () - begin_ns);
      shmkv_client_insert (client, 1, 1, NULL, &error);
    }
  if (error != NULL && !is_gone (error))
    shared_fail (shared, "who kills servers: %s", error->message);
}

/* One server's life.  Most die, some are asked to end. */
static void
kill_server (Shared *shared, const char *name, guint64 *random)
{
  guint dice = (guint) cli_random_below (random, 8);
  g_autofree char *crash = dice < 4 ? random_point (random) : NULL;
  gint64 begin_ns = shmkv_now_ns ();
  Process server = process_start_server (name, crash, 16);
  gboolean at_point = FALSE;
  gint64 killed_ns;

  /* Some do not live to be ready. */
  if (dice == 4)
    g_usleep (cli_random_below (random, 5000));
  else
    {
      use (shared, &server, name, begin_ns);
      at_point = process_await_end (&server, (gint64) cli_random_below (random, SERVER_LIFE_US));
    }
  killed_ns = at_point ? server.ended_ns : shmkv_now_ns ();
  if (!at_point)
    kill (server.pid, dice == 7 ? SIGTERM : SIGKILL);
  if (!process_await_end (&server, PATIENCE_US))
    shared_fail (shared, "a server does not end");
  shared_note_death (shared, server.pid, dice == 7 && !at_point ? server.ended_ns : killed_ns);
  if (!server.ended)
    return;
  if (process_was_killed (&server))
    {
      shared_add (&shared->server_kills, 1);
      shared_add (&shared->points, at_point ? 1 : 0);
      shared_max (&shared->max_end_ns, server.ended_ns - killed_ns);
    }
  else if (process_succeeded (&server) && dice == 7)
    shared_add (&shared->server_ends, 1);
  else
    {
      g_autofree char *end = process_describe_end (&server);

      shared_fail (shared, "a server that was to be killed %s", end);
    }
}

/* The last one ends as it should, and leaves nothing. */
static void
end_server (Shared *shared, const char *name)
{
  g_autoptr (GError) error = NULL;
  Process server = process_start_server (name, NULL, 16);

  use (shared, &server, name, shmkv_now_ns ());
  kill (server.pid, SIGTERM);
  if (!process_await_end (&server, PATIENCE_US) || !process_succeeded (&server))
    shared_fail (shared, "the last server does not end as it should");
  if (!is_clean (name, &error))
    shared_fail (shared, "after the last server: %s", error->message);
}

void
killer_of_servers (Shared *shared, gpointer data)
{
  const Killer *killer = data;
  g_autofree char *name = doomed_name (killer);
  guint64 random = killer->seed;

  while (shared_goes_on (shared)
         && (killer->n_kills == 0 || atomic_load (&shared->server_kills) < killer->n_kills))
    kill_server (shared, name, &random);
  end_server (shared, name);
}

/* ----------------------------------------------------------------- followers */

static gboolean
follow_and_play (Shared *shared, ShmkvClient *client, guint64 seed, guint slot, GError **error)
{
  Player player = { .progress = &shared->progress[slot], .goes_on = shared_goes_on,
                    .data = shared };
  gboolean done;

  player.session = shmkv_session_new (client, error);
  if (player.session == NULL)
    return FALSE;
  play_init (&player.play, seed, slot);
  done = play_write_common (player.session, error) && player_run (&player, G_MAXUINT64, error);
  shmkv_session_free (player.session);
  return done;
}

static gboolean
follow_and_sleep (ShmkvClient *client, gboolean watches, GError **error)
{
  ShmkvDatum key = shmkv_string ("never");
  ShmkvCompletion completion;
  g_autoptr (ShmkvWatch) watch = NULL;
  g_autoptr (ShmkvPairs) changes = NULL;
  gboolean missed;

  if (!watches)
    return shmkv_client_wait (client, &key, 0, G_USEC_PER_SEC, &completion, error);
  watch = shmkv_watch_new (client, &key, error);
  return watch != NULL && shmkv_watch_next (watch, G_USEC_PER_SEC, &changes, &missed, error);
}

/* Our server is gone, as was just said: since when? */
static void
note_gone (Shared *shared, guint pid)
{
  gint64 now = shmkv_now_ns (), died;

  /* Who kills it may find out later than we. */
  for (guint i = 0; i < 1000 && shared_goes_on (shared); i++)
    {
      if (shared_find_death (shared, pid, &died))
        {
          shared_max (&shared->max_gone_ns, now - died);
          return;
        }
      g_usleep (POLL_US);
    }
}

/* As long as this server lives. */
static void
follow (Shared *shared, const Killer *killer, const char *name, guint64 seed)
{
  guint slot = N_PROGRESS / 2 + 1 + killer->number;
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvClient) client = shmkv_client_new (name, &error);

  if (client != NULL)
    shmkv_client_set_timeout (client, PATIENCE_US);
  if (client != NULL && killer->number == 0)
    follow_and_play (shared, client, seed, slot, &error);
  else if (client != NULL)
    while (shared_goes_on (shared) && follow_and_sleep (client, killer->number == 1, &error))
      ;
  if (client != NULL && is_gone (error))
    note_gone (shared, shmkv_client_get_server_pid (client));
  if (error != NULL && !is_gone (error))
    shared_fail (shared, "follower %u: %s", killer->number, error->message);
}

void
killer_follow (Shared *shared, gpointer data)
{
  const Killer *killer = data;
  g_autofree char *name = doomed_name (killer);
  guint64 random = killer->seed + killer->number;

  while (shared_goes_on (shared))
    {
      follow (shared, killer, name, cli_random_next (&random));
      g_usleep (POLL_US);
    }
}
