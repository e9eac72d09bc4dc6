/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/session.h"

void
cli_session_set_timeout_error (ShmkvSession *session, GError **error)
{
  const ShmkvClient *client = shmkv_session_get_client (session);

  g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_TIMEOUT,
               "the server named \"%s\" did not answer within %g seconds, and whether the requests "
               "were carried out is unknown",
               shmkv_client_get_name (client),
               shmkv_client_get_timeout (client) / (double) G_USEC_PER_SEC);
}

gssize
cli_session_take (ShmkvSession *session, ShmkvCompletion *completions, gsize n, GError **error)
{
  gint64 timeout_us = shmkv_client_get_timeout (shmkv_session_get_client (session));
  gssize n_taken = shmkv_session_take (session, completions, n, timeout_us, error);

  if (n_taken != 0)
    return n_taken;
  cli_session_set_timeout_error (session, error);
  return -1;
}
