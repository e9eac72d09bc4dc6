/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/error-private.h"
#include "shmkv/session-private.h"

struct _ShmkvWatch
{
  ShmkvSession *session;
  GBytes *prefix;                   /* NULL: all keys */
  guint64 position;                 /* of the change that comes next */
};

/* Asks for what changed from our position on, and moves it. */
static gboolean
ask (ShmkvWatch *watch, gint64 timeout_us, ShmkvCompletion *completion_out, GError **error)
{
  ShmkvRequest request = { .op = SHMKV_OP_WATCH, .value = shmkv_integer (watch->position) };

  if (watch->prefix != NULL)
    request.key = shmkv_datum_of_bytes (watch->prefix);
  /* Position 0 asks where to begin, and is answered at once. */
  if (watch->position == 0
        ? !shmkv_session_call (watch->session, &request, completion_out, error)
        : !shmkv_session_call_patiently (watch->session, &request, timeout_us, completion_out,
                                         error))
    return FALSE;
  if (!shmkv_completion_check (completion_out, error))
    return FALSE;
  /* It need not be told where nothing happened. */
  if (completion_out->version != 0)
    watch->position = completion_out->version;
  return TRUE;
}

ShmkvWatch *
shmkv_watch_new (ShmkvClient *client, const ShmkvDatum *prefix, GError **error)
{
  g_autoptr (ShmkvWatch) watch = NULL;
  ShmkvCompletion completion;
  ShmkvSession *session;

  g_return_val_if_fail (client != NULL, NULL);
  g_return_val_if_fail (prefix == NULL || prefix->kind == SHMKV_KIND_BYTES, NULL);

  session = shmkv_session_new (client, error);
  if (session == NULL)
    return NULL;
  watch = g_new0 (ShmkvWatch, 1);
  watch->session = session;
  if (prefix != NULL)
    watch->prefix = g_bytes_new (prefix->bytes, prefix->length);
  if (!ask (watch, 0, &completion, error))
    return NULL;
  shmkv_completion_clear (&completion);
  if (watch->position == 0)
    {
      shmkv_error_set_protocol (error, shmkv_client_get_name (client),
                                "a watch without its position");
      return NULL;
    }
  return g_steal_pointer (&watch);
}

void
shmkv_watch_free (ShmkvWatch *watch)
{
  g_return_if_fail (watch != NULL);

  shmkv_session_free (watch->session);
  g_clear_pointer (&watch->prefix, g_bytes_unref);
  g_free (watch);
}

/* How much of a time-out is left. */
static gint64
left_us (gint64 deadline_ns)
{
  return deadline_ns == G_MAXINT64 ? -1 : MAX (deadline_ns - shmkv_now_ns (), 0) / 1000;
}

gboolean
shmkv_watch_next (ShmkvWatch *watch, gint64 timeout_us, ShmkvPairs **changes_out,
                  gboolean *missed_out, GError **error)
{
  gint64 deadline_ns;

  g_return_val_if_fail (watch != NULL, FALSE);
  g_return_val_if_fail (timeout_us >= -1, FALSE);
  g_return_val_if_fail (changes_out != NULL, FALSE);
  g_return_val_if_fail (missed_out != NULL, FALSE);

  *changes_out = NULL;
  *missed_out = FALSE;
  deadline_ns = shmkv_deadline_ns (shmkv_now_ns (), timeout_us);
  for (;;)
    {
      ShmkvCompletion completion;

      if (!ask (watch, left_us (deadline_ns), &completion, error))
        return FALSE;
      if (completion.pairs != NULL && shmkv_pairs_get_length (completion.pairs) > 0)
        {
          *changes_out = completion.pairs;
          return TRUE;
        }
      *missed_out = completion.status == SHMKV_STATUS_MISSED;
      shmkv_completion_clear (&completion);
      /* Others' changes only. */
      if (*missed_out || (timeout_us >= 0 && shmkv_now_ns () >= deadline_ns))
        return TRUE;
    }
}
