/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Inserts and reads many keys with many requests in flight: the asynchronous
 * calls of libshmkv.
 *
 *   cc -o pipeline pipeline.c $(pkg-config --cflags --libs shmkv)
 *   shmkv-server --buckets=5000 &
 *   ./pipeline
 *   shmkv-client quit */

#include <shmkv/shmkv.h>

#include <stdio.h>
#include <stdlib.h>

#define N_KEYS 100000
#define BATCH 64

/* Enough to keep the server busy while completions are taken. */
#define WINDOW 1024

typedef struct
{
  guint64 n_wrong;
} Check;

static guint64
value_of (guint64 key)
{
  return key * key;
}

/* Requests come back in the order of their submission, each with the user data
 * that it was given: here the key. */
static void
check (Check *data, const ShmkvCompletion *completion)
{
  guint64 key = GPOINTER_TO_SIZE (completion->user_data);

  if (completion->op == SHMKV_OP_READ
      && (completion->status != SHMKV_STATUS_OK || completion->value != value_of (key)))
    data->n_wrong++;
  else if (shmkv_status_is_failure (completion->status))
    data->n_wrong++;
}

/* Takes completions until no more than `most` requests are in flight. */
static gboolean
take_down_to (ShmkvSession *session, guint64 most, Check *data, GError **error)
{
  ShmkvCompletion completions[BATCH];

  while (shmkv_session_get_in_flight (session) > most)
    {
      /* -1: for as long as the server lives. */
      gssize n = shmkv_session_take (session, completions, G_N_ELEMENTS (completions), -1, error);

      for (gssize i = 0; i < n; i++)
        check (data, &completions[i]);
      if (n < 0)
        return FALSE;
    }
  return TRUE;
}

static gboolean
run (ShmkvSession *session, Check *data, GError **error)
{
  for (guint64 key = 0; key < N_KEYS; key++)
    {
      /* The insert wants no response; a failure of it would be counted.  The
       * read that follows in the same session sees what it wrote. */
      if (shmkv_session_submit_insert (session, key, value_of (key), SHMKV_FLAG_NO_RESPONSE, NULL,
                                       error) == 0
          || shmkv_session_submit_read (session, key, SHMKV_FLAG_NONE, GSIZE_TO_POINTER (key),
                                        error) == 0)
        return FALSE;

      /* One flush for many requests: that is what makes it fast. */
      if (key % BATCH == BATCH - 1
          && (!shmkv_session_flush (session, error)
              || !take_down_to (session, WINDOW, data, error)))
        return FALSE;
    }
  return shmkv_session_flush (session, error) && take_down_to (session, 0, data, error);
}

int
main (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvClient) client = shmkv_client_new (NULL, &error);
  g_autoptr (ShmkvSession) session = client != NULL ? shmkv_session_new (client, &error) : NULL;
  Check data = { 0 };

  if (session == NULL || !run (session, &data, &error))
    {
      fprintf (stderr, "pipeline: %s\n", error->message);
      return EXIT_FAILURE;
    }
  data.n_wrong += shmkv_session_get_silent_errors (session);
  printf ("%d keys, %" G_GUINT64_FORMAT " wrong answers\n", N_KEYS, data.n_wrong);
  return data.n_wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
