/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "roles.h"

#include "client/random.h"

#define OWNED_KEYS 100

/* Whatever else may be answered. */
static gboolean
is_fine (GError **error, ShmkvError one, ShmkvError other)
{
  if (!g_error_matches (*error, SHMKV_ERROR, (int) one)
      && !g_error_matches (*error, SHMKV_ERROR, (int) other))
    return FALSE;
  g_clear_error (error);
  return TRUE;
}

/* Keys that go with the session. */
static gboolean
insert_owned (ShmkvSession *session, guint id, GError **error)
{
  for (guint i = 0; i < OWNED_KEYS; i++)
    {
      g_autofree char *key = g_strdup_printf ("owned:%u:%u", id, i);
      ShmkvRequest request = { .op = SHMKV_OP_INSERT, .flags = SHMKV_FLAG_SESSION,
                               .key = shmkv_string (key), .value = shmkv_integer (i) };

      if (shmkv_session_submit (session, &request, error) == 0)
        return FALSE;
    }
  return shmkv_session_flush (session, error);
}

static gboolean
play (ShmkvClient *client, guint64 seed, guint id, PlayProgress *progress, guint64 n,
      GError **error)
{
  Player player = { .progress = progress, .pauses = TRUE };
  gboolean done;

  player.session = shmkv_session_new (client, error);
  if (player.session == NULL)
    return FALSE;
  play_init (&player.play, seed, id);
  done = player_run (&player, n, error);
  shmkv_session_free (player.session);
  return done;
}

static gboolean
wait (ShmkvClient *client, guint id, gint64 timeout_us, GError **error)
{
  ShmkvSession *session = shmkv_session_new (client, error);
  ShmkvDatum key = shmkv_string ("never");
  ShmkvCompletion completion;
  gboolean done;

  if (session == NULL)
    return FALSE;
  done = insert_owned (session, id, error)
         && shmkv_session_wait (session, &key, 0, timeout_us, &completion, error);
  if (done)
    shmkv_completion_clear (&completion);
  shmkv_session_free (session);
  return done;
}

static gboolean
watch (ShmkvClient *client, gint64 timeout_us, guint n, GError **error)
{
  ShmkvDatum prefix = shmkv_string ("play:");
  g_autoptr (ShmkvWatch) watch = shmkv_watch_new (client, &prefix, error);

  if (watch == NULL)
    return FALSE;
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (ShmkvPairs) changes = NULL;
      gboolean missed;

      if (!shmkv_watch_next (watch, timeout_us, &changes, &missed, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
role_change_workers (ShmkvClient *client, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  guint n;

  if ((shmkv_client_start_workers (client, 2, &n, &local_error)
       || is_fine (&local_error, SHMKV_ERROR_TOO_MANY, SHMKV_ERROR_BUSY))
      && (shmkv_client_stop_worker (client, &n, &local_error)
          || is_fine (&local_error, SHMKV_ERROR_LAST_WORKER, SHMKV_ERROR_BUSY))
      && (shmkv_client_stop_worker (client, &n, &local_error)
          || is_fine (&local_error, SHMKV_ERROR_LAST_WORKER, SHMKV_ERROR_BUSY)))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
scan (ShmkvClient *client, GError **error)
{
  ShmkvDatum prefix = shmkv_string ("common:");
  g_autoptr (ShmkvScan) scan = shmkv_scan_new (client, &prefix, SHMKV_SCAN_ALL);
  gsize n = 0;

  for (;;)
    {
      g_autoptr (ShmkvPairs) pairs = NULL;

      if (!shmkv_scan_next (scan, &pairs, error))
        return FALSE;
      if (pairs == NULL)
        break;
      n += shmkv_pairs_get_length (pairs);
    }
  if (n == PLAY_COMMON_KEYS)
    return TRUE;
  g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG,
               "a scan found %" G_GSIZE_FORMAT " common keys", n);
  return FALSE;
}

gboolean
role_look (ShmkvClient *client, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (ShmkvPairs) stats = shmkv_client_stats (client, error);
  g_autoptr (ShmkvPairs) sessions = stats != NULL ? shmkv_client_session_stats (client, error) : NULL;
  g_autoptr (ShmkvPairs) bucket = NULL;
  guint64 count;

  if (sessions == NULL || !shmkv_client_count (client, &count, error) || !scan (client, error))
    return FALSE;
  bucket = shmkv_client_print (client, 0, &local_error);
  if (bucket != NULL || is_fine (&local_error, SHMKV_ERROR_BUSY, SHMKV_ERROR_NO_MEMORY))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
churn (const char *name, GError **error)
{
  g_autoptr (ShmkvClient) client = shmkv_client_new (name, error);
  g_autoptr (ShmkvSession) one = client != NULL ? shmkv_session_new (client, error) : NULL;
  g_autoptr (ShmkvSession) other = one != NULL ? shmkv_session_new (client, error) : NULL;

  return other != NULL && shmkv_client_ping (client, error);
}

/* First the play: what it leaves can be told as long as it is the only one. */
static gboolean
tour (const char *name, ShmkvClient *client, guint64 seed, guint id, PlayProgress *progress,
      GError **error)
{
  if (!play (client, seed, id, progress, 4000, error))
    return FALSE;
  for (guint i = 0; i < 20; i++)
    if (!wait (client, id, 2000, error) || !watch (client, 2000, 2, error)
        || !role_change_workers (client, error) || !role_look (client, error) || !churn (name, error))
      return FALSE;
  return TRUE;
}

static gboolean
run_role (Role role, const char *name, ShmkvClient *client, guint64 seed, guint id,
          PlayProgress *progress, GError **error)
{
  guint64 random = seed;
  gboolean done = TRUE;

  switch (role)
    {
    case ROLE_TOUR:
      return tour (name, client, seed, id, progress, error);
    case ROLE_PLAY:
      return play (client, seed, id, progress, 1 + cli_random_below (&random, 20000), error);
    case ROLE_WAIT:
      return wait (client, id, -1, error);
    case ROLE_WATCH:
      return watch (client, -1, G_MAXUINT, error);
    case ROLE_CHURN:
      while (done)
        done = churn (name, error);
      return FALSE;
    case ROLE_WORKERS:
      while (done)
        done = role_change_workers (client, error);
      return FALSE;
    case ROLE_LOOK:
      while (done)
        done = role_look (client, error);
      return FALSE;
    default:
      g_assert_not_reached ();
    }
}

gboolean
role_run (Role role, const char *name, guint64 seed, guint id, PlayProgress *progress,
          GError **error)
{
  ShmkvClient *client = shmkv_client_new (name, error);
  gboolean done;

  if (client == NULL)
    return FALSE;
  shmkv_client_set_timeout (client, 60 * G_USEC_PER_SEC);
  done = run_role (role, name, client, seed, id, progress, error);
  shmkv_client_unref (client);
  return done;
}
