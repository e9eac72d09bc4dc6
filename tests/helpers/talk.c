/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* talk NAME: a client of the server NAME that does what it is told, line by
 * line, until `end':
 *
 *   open    opens a session, and keeps it
 *   close   closes the one that was opened last
 *   ping    asks the server for an answer, through the client
 *   call    the same through the session that was opened last
 *   attach  attaches anew, in place of the old client and its sessions
 *   twice   attaches once more, opens a session there, and ends both
 *
 * Answers each with one line: "done", or "failed ERROR: MESSAGE". */

#include "helper.h"

#include <string.h>

typedef struct
{
  const char *name;
  ShmkvClient *client;
  GPtrArray *sessions;
} Talk;

static gboolean
open_session (Talk *talk, GError **error)
{
  ShmkvSession *session = shmkv_session_new (talk->client, error);

  if (session == NULL)
    return FALSE;
  g_ptr_array_add (talk->sessions, session);
  return TRUE;
}

static gboolean
call (Talk *talk, GError **error)
{
  const ShmkvRequest request = { .op = SHMKV_OP_PING };
  ShmkvCompletion completion;

  return shmkv_session_call (talk->sessions->pdata[talk->sessions->len - 1], &request, &completion,
                             error);
}

static gboolean
attach (Talk *talk, GError **error)
{
  ShmkvClient *client = shmkv_client_new (talk->name, error);

  if (client == NULL)
    return FALSE;
  g_ptr_array_set_size (talk->sessions, 0);
  g_clear_pointer (&talk->client, shmkv_client_unref);
  talk->client = client;
  return TRUE;
}

/* Where locks belong to processes, this would end all of them. */
static gboolean
attach_twice (Talk *talk, GError **error)
{
  ShmkvClient *client = shmkv_client_new (talk->name, error);
  ShmkvSession *session = client != NULL ? shmkv_session_new (client, error) : NULL;
  gboolean done = session != NULL;

  g_clear_pointer (&session, shmkv_session_free);
  g_clear_pointer (&client, shmkv_client_unref);
  return done;
}

static gboolean
obey (Talk *talk, const char *order, GError **error)
{
  if (strcmp (order, "open") == 0)
    return open_session (talk, error);
  if (strcmp (order, "ping") == 0)
    return shmkv_client_ping (talk->client, error);
  if (strcmp (order, "attach") == 0)
    return attach (talk, error);
  if (strcmp (order, "twice") == 0)
    return attach_twice (talk, error);
  if (strcmp (order, "call") == 0 && talk->sessions->len > 0)
    return call (talk, error);
  if (strcmp (order, "close") == 0 && talk->sessions->len > 0)
    {
      g_ptr_array_set_size (talk->sessions, (int) talk->sessions->len - 1);
      return TRUE;
    }
  helper_require (FALSE, order, NULL);
  return FALSE;
}

int
main (int argc, char **argv)
{
  Talk talk = { .name = argv[1] };
  char line[64];

  talk.sessions = g_ptr_array_new_with_free_func ((GDestroyNotify) shmkv_session_free);
  talk.client = helper_attach (talk.name);
  helper_say ("attached");
  while (fgets (line, sizeof line, stdin) != NULL)
    {
      g_autoptr (GError) error = NULL;

      g_strchomp (line);
      if (strcmp (line, "end") == 0)
        break;
      if (obey (&talk, line, &error))
        helper_say ("done");
      else
        helper_say ("failed %s: %s", helper_error_name (error), error->message);
    }
  g_ptr_array_unref (talk.sessions);
  shmkv_client_unref (talk.client);
  return EXIT_SUCCESS;
}
