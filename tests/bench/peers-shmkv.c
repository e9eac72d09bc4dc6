/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* shmkv itself, through libshmkv as everybody uses it: one session. */

#include "bench/peers-work.h"

#include <shmkv/shmkv.h>

#define CHUNK 64

typedef struct
{
  ShmkvClient *client;
  ShmkvSession *session;
} Store;

static gpointer
open_store (const char *name, guint64 n)
{
  g_autoptr (GError) error = NULL;
  Store *store = g_new0 (Store, 1);

  store->client = shmkv_client_new (name, &error);
  if (store->client != NULL)
    store->session = shmkv_session_new (store->client, &error);
  if (store->session == NULL)
    peers_fail ("%s", error->message);
  return store;
}

static void
send_batch (gpointer data, PeersBatch *batch)
{
  ShmkvSession *session = ((Store *) data)->session;
  GError *error = NULL;
  guint64 id = 1;

  for (gsize i = 0; i < batch->n && id != 0; i++)
    {
      if (batch->writes[i])
        id = shmkv_session_submit_insert (session, batch->keys[i], batch->values[i],
                                          SHMKV_FLAG_NONE, NULL, &error);
      else
        id = shmkv_session_submit_read (session, batch->keys[i], SHMKV_FLAG_NONE, NULL, &error);
    }
  if (id == 0 || !shmkv_session_flush (session, &error))
    peers_fail ("%s", error->message);
}

static inline void
check_one (PeersBatch *batch, gsize i, const ShmkvCompletion *completion)
{
  if (shmkv_status_is_failure (completion->status))
    batch->wrong++;
  else if (!batch->writes[i])
    batch->values[i] = completion->value;
}

static void
take_batch (gpointer data, PeersBatch *batch)
{
  ShmkvSession *session = ((Store *) data)->session;
  ShmkvCompletion completions[CHUNK];
  GError *error = NULL;

  for (gsize taken = 0; taken < batch->n;)
    {
      gsize most = MIN (batch->n - taken, G_N_ELEMENTS (completions));
      gssize n = shmkv_session_take (session, completions, most, -1, &error);

      if (n < 0)
        peers_fail ("%s", error->message);
      for (gssize i = 0; i < n; i++)
        check_one (batch, taken + i, &completions[i]);
      taken += n;
    }
}

static void
close_store (gpointer data)
{
  Store *store = data;

  shmkv_session_free (store->session);
  shmkv_client_unref (store->client);
  g_free (store);
}

int
main (int argc, char **argv)
{
  static const PeersDriver driver = {
    "shmkv", CHUNK, FALSE, open_store, send_batch, take_batch, close_store
  };

  return peers_main (&driver, argc, argv);
}
