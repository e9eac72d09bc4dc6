/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the commands with many requests in flight add to the library. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

/* As shmkv_session_take() for as long as the client's time-out, but no answer
 * in that time is SHMKV_ERROR_TIMEOUT. */
gssize cli_session_take (ShmkvSession *session, ShmkvCompletion *completions, gsize n,
                         GError **error);

/* Sets SHMKV_ERROR_TIMEOUT. */
void cli_session_set_timeout_error (ShmkvSession *session, GError **error);

G_END_DECLS
