/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "shmkv/error-private.h"
#include "shmkv/session-private.h"

/* About how many pairs a step asks for. */
#define LIMIT 256

#define FLAGS_ALL                                                                                  \
  (SHMKV_SCAN_INTEGER_KEYS | SHMKV_SCAN_BYTES_KEYS | SHMKV_SCAN_KEYS_ONLY | SHMKV_SCAN_PERMANENT)

struct _ShmkvScan
{
  ShmkvClient *client;
  GBytes *prefix;                   /* NULL: all keys */
  ShmkvScanFlags flags;
  guint64 cursor;
  gboolean ended;
};

ShmkvScan *
shmkv_scan_new (ShmkvClient *client, const ShmkvDatum *prefix, ShmkvScanFlags flags)
{
  ShmkvScan *scan;

  g_return_val_if_fail (client != NULL, NULL);
  g_return_val_if_fail (prefix == NULL || prefix->kind == SHMKV_KIND_BYTES, NULL);
  g_return_val_if_fail (((guint) flags & ~(guint) FLAGS_ALL) == 0, NULL);

  scan = g_new0 (ShmkvScan, 1);
  scan->client = shmkv_client_ref (client);
  if (prefix != NULL)
    scan->prefix = g_bytes_new (prefix->bytes, prefix->length);
  scan->flags = flags;
  return scan;
}

void
shmkv_scan_free (ShmkvScan *scan)
{
  g_return_if_fail (scan != NULL);

  g_clear_pointer (&scan->prefix, g_bytes_unref);
  shmkv_client_unref (scan->client);
  g_free (scan);
}

/* Gets some pairs, or none, and moves on. */
static ShmkvPairs *
step (ShmkvScan *scan, GError **error)
{
  guint64 words[SHMKV_WIRE_SCAN_WORDS] = {
    [SHMKV_WIRE_SCAN_CURSOR] = scan->cursor,
    [SHMKV_WIRE_SCAN_LIMIT] = LIMIT,
    [SHMKV_WIRE_SCAN_OPTIONS] = (guint64) scan->flags,
  };
  ShmkvRequest request = { .op = SHMKV_OP_SCAN, .value = shmkv_bytes (words, sizeof words) };
  ShmkvCompletion completion;

  if (scan->prefix != NULL)
    request.key = shmkv_datum_of_bytes (scan->prefix);
  if (!shmkv_client_call (scan->client, &request, &completion, error))
    return NULL;
  /* One that stays where it is would keep us here for ever. */
  if (completion.pairs == NULL || (completion.version == scan->cursor && scan->cursor != 0))
    {
      shmkv_error_set_protocol (error, shmkv_client_get_name (scan->client),
                                "a scan that does not go on");
      shmkv_completion_clear (&completion);
      return NULL;
    }
  scan->cursor = completion.version;
  scan->ended = scan->cursor == 0;
  return completion.pairs;
}

gboolean
shmkv_scan_next (ShmkvScan *scan, ShmkvPairs **pairs_out, GError **error)
{
  g_return_val_if_fail (scan != NULL, FALSE);
  g_return_val_if_fail (pairs_out != NULL, FALSE);

  *pairs_out = NULL;
  while (!scan->ended)
    {
      ShmkvPairs *pairs = step (scan, error);

      if (pairs == NULL)
        return FALSE;
      if (shmkv_pairs_get_length (pairs) > 0)
        {
          *pairs_out = pairs;
          return TRUE;
        }
      shmkv_pairs_unref (pairs);
    }
  return TRUE;
}
