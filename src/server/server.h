/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A server: regions, table, lanes, workers, and what holds them together. */

#pragma once

#include "server/table.h"

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

typedef struct _ShmkvServer ShmkvServer;

typedef struct
{
  const char *name;
  guint buckets;
  guint workers;
  guint max_workers;
  guint sessions;
  guint ring_size;                  /* bytes */
  mode_t mode;                      /* who may use it, as the mode of a file */
  gid_t group;                      /* (gid_t) -1: as it comes */
  gint64 spin_ns;                   /* 0 never spins */
  guint64 max_memory;               /* bytes that the table may use; 0: no limit */
  gboolean evict;                   /* at that limit: make room, where otherwise inserts fail */
  guint64 max_value;                /* bytes of a value; 0: SHMKV_WIRE_DEFAULT_MAX_VALUE */
} ShmkvServerOptions;

/* Called when a client sent Quit; by a worker. */
typedef void (*ShmkvServerQuitFunc) (gpointer data);

/* Starts a server: when this returns, clients can attach.  Errors are those of
 * transport/segment.h. */
ShmkvServer *shmkv_server_new (const ShmkvServerOptions *options, ShmkvServerQuitFunc quit,
                               gpointer quit_data, GError **error);

/* Ends it: removes the names, lets the workers finish their turns, tells every
 * client, and frees everything. */
void shmkv_server_free (ShmkvServer *server);

/* To be called a few times a second, always by the same thread: frees the lanes
 * of clients that died, deletes keys that have expired, and gives back memory
 * that the table no longer needs. */
void shmkv_server_reap (ShmkvServer *server);

/* To be called as often, by the same thread: where somebody else removed or
 * destroyed the regions, makes new ones, keeps the table, and says so.  Where that
 * fails, it is tried again at the next call; only where another server has the name
 * by now, there is nothing left to do but to end: then FALSE. */
gboolean shmkv_server_look_after_regions (ShmkvServer *server, GError **error);

/* Readable when it is time to call that at once; -1 where the system cannot tell. */
int shmkv_server_get_events_fd (const ShmkvServer *server);

/* Bytes of shared memory. */
guint64 shmkv_server_get_shared_size (const ShmkvServer *server);

/* Writes a summary to the log. */
void shmkv_server_log_stats (ShmkvServer *server);

/* Statistics as encoded pairs, with those of the table, which take long to make. */
GByteArray *shmkv_server_stats (ShmkvServer *server, const ShmkvTableStats *table);

/* What operations on the server itself do.  By workers.  They return a
 * SHMKV_WIRE_STATUS_*; `body_out`, transfer full, holds encoded pairs. */
guint shmkv_server_print (ShmkvServer *server, guint64 bucket, GByteArray **body_out);
guint shmkv_server_sessions (ShmkvServer *server, GByteArray **body_out);
guint shmkv_server_start_workers (ShmkvServer *server, guint64 n, guint64 *n_workers_out);
guint shmkv_server_stop_worker (ShmkvServer *server, guint64 *n_workers_out);
void shmkv_server_quit (ShmkvServer *server);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvServer, shmkv_server_free)

G_END_DECLS
