/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* flood NAME N: a client of the server NAME that submits N reads before it
 * takes the first response, then looks whether all of them came, in order and
 * right; then N inserts without a response, after which it closes the session
 * at once and looks from another one whether they were carried out; then
 * requests without a response that fail, which must be counted.
 *
 * Says what it found right, and ends with 1 at the first thing that is wrong. */

#include "helper.h"

#define N_KEYS 1000
#define N_MISSING 7                /* every so many reads ask for a key that is not there */
#define N_TAKEN 256
#define TIMEOUT_US (60 * G_USEC_PER_SEC)

static guint64
value_of (guint64 key)
{
  return key * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) + 1;
}

static void
insert_keys (ShmkvSession *session)
{
  GError *error = NULL;

  for (guint64 key = 0; key < N_KEYS; key++)
    helper_require (shmkv_session_insert (session, key, value_of (key), NULL, &error), "insert",
                    &error);
}

/* The key of read `i`, which counts from 1 as the IDs do. */
static guint64
key_of_read (guint64 i)
{
  return i % N_MISSING == 0 ? N_KEYS + i : i % N_KEYS;
}

static void
check_read (const ShmkvCompletion *completion, guint64 i, guint64 first_id)
{
  guint64 key = key_of_read (i);
  gboolean present = key < N_KEYS;

  if (completion->id == first_id + i - 1
      && completion->user_data == GSIZE_TO_POINTER (i)
      && completion->op == SHMKV_OP_READ
      && completion->status == (present ? SHMKV_STATUS_OK : SHMKV_STATUS_NO_KEY)
      && completion->value == (present ? value_of (key) : 0))
    return;
  helper_say ("read %" G_GUINT64_FORMAT " of key %" G_GUINT64_FORMAT " came back as ID %"
              G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT ", user data %" G_GSIZE_FORMAT
              ", \"%s\", value %" G_GUINT64_FORMAT,
              i, key, completion->id, first_id + i - 1, GPOINTER_TO_SIZE (completion->user_data),
              shmkv_status_to_string (completion->status), completion->value);
  exit (EXIT_FAILURE);
}

static void
take_all (ShmkvSession *session, guint64 n, guint64 first_id)
{
  ShmkvCompletion completions[N_TAKEN];
  GError *error = NULL;
  guint64 taken = 0;

  while (taken < n)
    {
      gssize some = shmkv_session_take (session, completions, N_TAKEN, TIMEOUT_US, &error);

      helper_require (some > 0, "take", &error);
      for (gssize i = 0; i < some; i++)
        check_read (&completions[i], ++taken, first_id);
    }
  helper_require (shmkv_session_get_in_flight (session) == 0, "nothing is in flight", NULL);
  helper_require (shmkv_session_take (session, completions, 1, 0, &error) == 0,
                  "no more than was asked for", &error);
}

static void
check_reads (ShmkvClient *client, guint64 n)
{
  ShmkvSession *session = helper_open (client);
  GError *error = NULL;
  guint64 first_id = 0;

  insert_keys (session);
  for (guint64 i = 1; i <= n; i++)
    {
      guint64 id = shmkv_session_submit_read (session, key_of_read (i), SHMKV_FLAG_NONE,
                                              GSIZE_TO_POINTER (i), &error);

      helper_require (id != 0, "submit", &error);
      if (i == 1)
        first_id = id;
    }
  helper_require (shmkv_session_flush (session, &error), "flush", &error);
  helper_require (shmkv_session_get_in_flight (session) == n, "all are in flight", NULL);
  take_all (session, n, first_id);
  shmkv_session_free (session);
  helper_say ("reads: ok");
}

static void
check_silent_inserts (ShmkvClient *client, guint64 n)
{
  const guint64 base = G_GUINT64_CONSTANT (1) << 40;
  ShmkvSession *session = helper_open (client);
  GError *error = NULL;

  for (guint64 i = 0; i < n; i++)
    helper_require (shmkv_session_submit_insert (session, base + i, value_of (i),
                                                 SHMKV_FLAG_NO_RESPONSE, NULL, &error)
                      != 0,
                    "submit", &error);
  helper_require (shmkv_session_get_in_flight (session) == 0, "no response is expected", NULL);
  shmkv_session_free (session);

  session = helper_open (client);
  for (guint64 i = 0; i < n; i++)
    {
      gboolean found = FALSE;
      guint64 value = 0;

      helper_require (shmkv_session_read (session, base + i, &value, &found, &error), "read", &error);
      helper_require (found && value == value_of (i), "what was inserted before the close", NULL);
    }
  shmkv_session_free (session);
  helper_say ("inserts before the close: ok");
}

static void
check_silent_errors (ShmkvClient *client)
{
  const ShmkvRequest wrong = { .op = SHMKV_OP_PRINT, .flags = SHMKV_FLAG_NO_RESPONSE,
                               .key = shmkv_integer (G_MAXUINT64) };
  const ShmkvRequest ping = { .op = SHMKV_OP_PING };
  ShmkvSession *session = helper_open (client);
  ShmkvCompletion completion;
  GError *error = NULL;

  for (guint i = 0; i < 5; i++)
    helper_require (shmkv_session_submit (session, &wrong, &error) != 0, "submit", &error);
  helper_require (shmkv_session_submit_read (session, G_MAXUINT64, SHMKV_FLAG_NO_RESPONSE, NULL,
                                             &error)
                    != 0,
                  "submit", &error);
  helper_require (shmkv_session_call (session, &ping, &completion, &error), "ping", &error);
  helper_require (shmkv_session_get_silent_errors (session) == 5, "the count of failures", NULL);
  shmkv_session_free (session);
  helper_say ("failures without a response: ok");
}

int
main (int argc, char **argv)
{
  guint64 n = argc == 3 ? g_ascii_strtoull (argv[2], NULL, 10) : 0;
  ShmkvClient *client;

  helper_require (n > 0, "usage: flood NAME N", NULL);
  client = helper_attach (argv[1]);
  shmkv_client_set_timeout (client, TIMEOUT_US);
  check_reads (client, n);
  check_silent_inserts (client, MAX (n / 100, 1));
  check_silent_errors (client);
  shmkv_client_unref (client);
  return EXIT_SUCCESS;
}
