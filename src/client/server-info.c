/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/server-info.h"

#include "client/cli.h"

#include <string.h>

static gboolean
is_named (const ShmkvDatum *datum, const char *name)
{
  return datum->kind == SHMKV_KIND_BYTES && datum->length == strlen (name)
         && memcmp (datum->bytes, name, datum->length) == 0;
}

gboolean
cli_server_info_get_workers (ShmkvClient *client, guint *n_workers_out, GError **error)
{
  g_autoptr (ShmkvPairs) pairs = shmkv_client_stats (client, error);
  gsize n_pairs = pairs != NULL ? shmkv_pairs_get_length (pairs) : 0;

  for (gsize i = 0; i < n_pairs; i++)
    {
      ShmkvDatum name, value;

      shmkv_pairs_get (pairs, i, &name, &value);
      if (is_named (&name, "workers"))
        {
          *n_workers_out = (guint) value.integer;
          return TRUE;
        }
    }
  if (pairs != NULL)
    g_set_error_literal (error, CLI_ERROR, CLI_ERROR_FAILED,
                         "the server does not tell how many workers it runs");
  return FALSE;
}
