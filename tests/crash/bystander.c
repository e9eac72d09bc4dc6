/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "bystander.h"

#include "client/random.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Plays of bystanders are told from those of victims by their numbers. */
#define FIRST_ID (1u << 20)

/* Slots of progress of bystanders are the last ones. */
#define slot_of(number) (N_PROGRESS - 1 - (number))

#define WALK_KEYS 3000
#define WATCH_CHANGES 50

typedef gboolean (*Step) (ShmkvClient *client, GError **error);

static void
fail (Shared *shared, const Bystander *bystander, const char *what, const GError *error)
{
  shared_fail (shared, "bystander %u, who %s: %s", bystander->number, what, error->message);
}

static ShmkvClient *
attach (const char *name, GError **error)
{
  ShmkvClient *client = shmkv_client_new (name, error);

  if (client != NULL)
    shmkv_client_set_timeout (client, PATIENCE_US);
  return client;
}

/* --------------------------------------------------------------------- play */

/* What is there when the session has ended: keys of it may go a little later. */
static gboolean
check_end (const Play *play, ShmkvClient *client, GError **error)
{
  g_autoptr (ShmkvSession) session = shmkv_session_new (client, error);
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;
  PlayProgress progress = { 0 };

  while (session != NULL)
    {
      g_autoptr (GError) local_error = NULL;

      if (play_check_rest (play, &progress, session, &local_error))
        return TRUE;
      if (!g_error_matches (local_error, PLAY_ERROR, PLAY_ERROR_WRONG)
          || g_get_monotonic_time () > deadline)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      g_usleep (10000);
    }
  return FALSE;
}

void
bystander_run (Shared *shared, gpointer data)
{
  const Bystander *bystander = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvClient) client = attach (bystander->name, &error);
  Player player = { .progress = &shared->progress[slot_of (bystander->number)], .pauses = TRUE,
                    .goes_on = shared_goes_on, .data = shared };
  gboolean right;

  player.session = client != NULL ? shmkv_session_new (client, &error) : NULL;
  player.latency = bystander->number < N_HISTOGRAMS ? &shared->latency[bystander->number] : NULL;
  play_init (&player.play, bystander->seed + bystander->number, FIRST_ID + bystander->number);
  right = player.session != NULL && player_run (&player, G_MAXUINT64, &error);
  g_clear_pointer (&player.session, shmkv_session_free);
  if (!right || !check_end (&player.play, client, &error))
    fail (shared, bystander, "plays", error);
}

/* -------------------------------------------------------------------- watch */

static gboolean
set_wrong (GError **error, const char *what)
{
  g_set_error_literal (error, PLAY_ERROR, PLAY_ERROR_WRONG, what);
  return FALSE;
}

static gboolean
submit_changes (ShmkvSession *session, const char *prefix, GError **error)
{
  for (guint i = 0; i < WATCH_CHANGES; i++)
    {
      g_autofree char *key = g_strdup_printf ("%s%u", prefix, i);
      ShmkvRequest request = { .op = i % 2 == 0 ? SHMKV_OP_INSERT : SHMKV_OP_DELETE,
                               .key = shmkv_string (key) };
      ShmkvCompletion completion;

      /* A key that is set, and deleted. */
      g_clear_pointer (&key, g_free);
      key = g_strdup_printf ("%s%u", prefix, i / 2);
      request.key = shmkv_string (key);
      if (i % 2 == 0)
        request.value = shmkv_integer (i);
      if (!shmkv_session_call (session, &request, &completion, error))
        return FALSE;
      if (completion.status != (i % 2 == 0 ? SHMKV_STATUS_ADDED : SHMKV_STATUS_OK))
        return set_wrong (error, "a watched key was changed by somebody else");
    }
  return TRUE;
}

/* Whether change number `i` is as it was made. */
static gboolean
check_change (const char *prefix, guint i, ShmkvPairs *changes, gsize index, GError **error)
{
  g_autofree char *wanted = g_strdup_printf ("%s%u", prefix, i / 2);
  ShmkvDatum key, value;

  shmkv_pairs_get (changes, index, &key, &value);
  return (key.kind == SHMKV_KIND_BYTES && key.length == strlen (wanted)
          && memcmp (key.bytes, wanted, key.length) == 0
          && value.integer == (i % 2 == 0 ? SHMKV_CHANGE_SET : SHMKV_CHANGE_DELETED))
         || set_wrong (error, "a change was told out of order");
}

static gboolean
hear_changes (Shared *shared, ShmkvWatch *watch, const char *prefix, guint64 *n_checked,
              GError **error)
{
  for (guint i = 0; i < WATCH_CHANGES;)
    {
      g_autoptr (ShmkvPairs) changes = NULL;
      gboolean missed;

      if (!shmkv_watch_next (watch, PATIENCE_US, &changes, &missed, error))
        return FALSE;
      if (missed)
        {
          shared_add (&shared->missed, 1);
          return TRUE;
        }
      if (changes == NULL)
        return set_wrong (error, "a change was never told");
      for (gsize at = 0; at < shmkv_pairs_get_length (changes); at++, i++)
        if (i >= WATCH_CHANGES || !check_change (prefix, i, changes, at, error))
          return i < WATCH_CHANGES ? FALSE : set_wrong (error, "too many changes");
      *n_checked += shmkv_pairs_get_length (changes);
    }
  return TRUE;
}

static gboolean
watch_once (Shared *shared, const Bystander *bystander, ShmkvClient *client, ShmkvSession *session,
            GError **error)
{
  g_autofree char *prefix = g_strdup_printf ("watched:%u:", bystander->number);
  ShmkvDatum datum = shmkv_string (prefix);
  g_autoptr (ShmkvWatch) watch = shmkv_watch_new (client, &datum, error);
  guint64 n_checked = 0;
  gboolean right;

  right = watch != NULL && submit_changes (session, prefix, error)
          && hear_changes (shared, watch, prefix, &n_checked, error);
  atomic_fetch_add (&shared->progress[slot_of (bystander->number)].checked, n_checked);
  return right;
}

void
bystander_watch (Shared *shared, gpointer data)
{
  const Bystander *bystander = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvClient) client = attach (bystander->name, &error);
  g_autoptr (ShmkvSession) session = client != NULL ? shmkv_session_new (client, &error) : NULL;

  while (error == NULL && shared_goes_on (shared))
    if (watch_once (shared, bystander, client, session, &error))
      g_usleep (5000);
  if (error != NULL)
    fail (shared, bystander, "watches", error);
}

/* ----------------------------------------------------------------- workers etc. */

static void
repeat (Shared *shared, const Bystander *bystander, const char *what, Step step,
        _Atomic guint64 *count, guint pause_us)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvClient) client = attach (bystander->name, &error);

  while (error == NULL && shared_goes_on (shared))
    if (step (client, &error))
      {
        shared_add (count, 1);
        g_usleep (pause_us);
      }
  if (error != NULL)
    fail (shared, bystander, what, error);
}

void
bystander_change_workers (Shared *shared, gpointer data)
{
  repeat (shared, data, "starts and stops workers", role_change_workers, &shared->worker_changes,
          10000);
}

void
bystander_look (Shared *shared, gpointer data)
{
  const Bystander *bystander = data;

  repeat (shared, bystander, "looks", role_look,
          &shared->progress[slot_of (bystander->number)].checked, 20000);
}

/* --------------------------------------------------------------------- walk */

static gboolean
insert_all (ShmkvSession *session, GError **error)
{
  for (guint i = 0; i < WALK_KEYS; i++)
    {
      g_autofree char *key = g_strdup_printf ("walk:%u", i);
      ShmkvRequest request
        = { .op = SHMKV_OP_INSERT, .flags = SHMKV_FLAG_NO_RESPONSE, .key = shmkv_integer (i),
            .value = shmkv_integer (i) };

      if (i % 3 == 0)
        request.key = shmkv_string (key);
      if (shmkv_session_submit (session, &request, error) == 0)
        return FALSE;
    }
  return shmkv_session_flush (session, error);
}

static gboolean
scan_all (ShmkvClient *client, guint64 *n_out, GError **error)
{
  g_autoptr (ShmkvScan) scan = shmkv_scan_new (client, NULL, SHMKV_SCAN_ALL);

  *n_out = 0;
  for (;;)
    {
      g_autoptr (ShmkvPairs) pairs = NULL;

      if (!shmkv_scan_next (scan, &pairs, error))
        return FALSE;
      if (pairs == NULL)
        return TRUE;
      *n_out += shmkv_pairs_get_length (pairs);
    }
}

static gboolean
check_count (const char *what, guint64 found, guint64 wanted, GError **error)
{
  if (found == wanted)
    return TRUE;
  g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG,
               "%s: %" G_GUINT64_FORMAT " keys in place of %" G_GUINT64_FORMAT, what, found, wanted);
  return FALSE;
}

static gboolean
walk_once (ShmkvClient *client, ShmkvSession *session, GError **error)
{
  guint64 counted, scanned, cleared, rest;
  ShmkvRequest ping = { .op = SHMKV_OP_PING };
  ShmkvCompletion completion;

  return insert_all (session, error) && shmkv_session_call (session, &ping, &completion, error)
         && shmkv_client_count (client, &counted, error)
         && check_count ("count", counted, WALK_KEYS, error)
         && scan_all (client, &scanned, error) && check_count ("scan", scanned, WALK_KEYS, error)
         && shmkv_client_clear (client, &cleared, error)
         && check_count ("clear", cleared, WALK_KEYS, error)
         && shmkv_client_count (client, &rest, error) && check_count ("rest", rest, 0, error);
}

void
bystander_walk (Shared *shared, gpointer data)
{
  const Bystander *bystander = data;
  g_autofree char *name = g_strdup_printf ("%s-walk", bystander->name);
  g_autoptr (GError) error = NULL;
  Process server = process_start_server (name, NULL, 8);
  g_autoptr (ShmkvClient) client = process_attach (name, &server, &error);
  g_autoptr (ShmkvSession) session = client != NULL ? shmkv_session_new (client, &error) : NULL;

  while (error == NULL && shared_goes_on (shared))
    if (walk_once (client, session, &error))
      {
        atomic_fetch_add (&shared->progress[slot_of (bystander->number)].checked, 3 * WALK_KEYS);
        g_usleep (20000);
      }
  if (error != NULL)
    fail (shared, bystander, "walks", error);
  kill (server.pid, SIGTERM);
  if (!process_await_end (&server, PATIENCE_US) || !process_succeeded (&server))
    shared_fail (shared, "the server that is walked through did not end as it should");
}
