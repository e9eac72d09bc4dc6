/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/bench-scan.h"

#include "client/cli.h"

/* Pairs from one cursor to the next, about. */
#define DISTANCE 100

ShmkvRequest
cli_bench_scan_request (guint64 words[CLI_BENCH_SCAN_WORDS], guint64 cursor, guint64 limit,
                        gboolean keys_only)
{
  words[0] = cursor;
  words[1] = limit;
  words[2] = keys_only ? SHMKV_SCAN_KEYS_ONLY : SHMKV_SCAN_ALL;
  return (ShmkvRequest) {
    .op = SHMKV_OP_SCAN, .value = shmkv_bytes (words, CLI_BENCH_SCAN_WORDS * sizeof *words)
  };
}

/* Moves `*cursor` on; 0 is the end. */
static gboolean
step (ShmkvSession *session, guint64 *cursor, GError **error)
{
  guint64 words[CLI_BENCH_SCAN_WORDS];
  ShmkvRequest request = cli_bench_scan_request (words, *cursor, DISTANCE, TRUE);
  ShmkvCompletion completion;
  ShmkvStatus status;

  if (!shmkv_session_call (session, &request, &completion, error))
    return FALSE;
  status = completion.status;
  *cursor = completion.version;
  shmkv_completion_clear (&completion);
  if (status == SHMKV_STATUS_OK)
    return TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "the server does not scan: %s",
               shmkv_status_to_string (status));
  return FALSE;
}

GArray *
cli_bench_scan_find_cursors (ShmkvSession *session, GError **error)
{
  g_autoptr (GArray) cursors = g_array_new (FALSE, FALSE, sizeof (guint64));
  guint64 cursor = 0;

  do
    {
      g_array_append_val (cursors, cursor);
      if (!step (session, &cursor, error))
        return NULL;
    }
  while (cursor != 0);
  return g_steal_pointer (&cursors);
}
