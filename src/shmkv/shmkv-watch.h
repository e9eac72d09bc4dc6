/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv-client.h>

G_BEGIN_DECLS

/**
 * ShmkvWatch:
 *
 * Tells what changes from its beginning on.  Changes of one key come in their
 * order.  The server remembers a limited number of changes, and only while
 * somebody watches: who is too slow learns that he missed some, and can read
 * the keys anew.
 *
 * It has a session of its own.  One thread at a time may use it.
 */
typedef struct _ShmkvWatch ShmkvWatch;

/**
 * shmkv_watch_new:
 * @client: the client
 * @prefix: (nullable): only keys that are byte strings and begin with this byte
 *   string, which is copied; %NULL for all keys
 * @error: as shmkv_session_new() and shmkv_session_call()
 *
 * Begins to watch: every change from when this returns will be told.
 *
 * Returns: (transfer full): a watch, or %NULL
 */
SHMKV_API ShmkvWatch *shmkv_watch_new (ShmkvClient      *client,
                                       const ShmkvDatum *prefix,
                                       GError          **error);

/**
 * shmkv_watch_free:
 * @watch: (transfer full): the watch
 */
SHMKV_API void shmkv_watch_free (ShmkvWatch *watch);

/**
 * shmkv_watch_next:
 * @watch: the watch
 * @timeout_us: how long to wait, in microseconds; 0 does not wait, -1 waits for
 *   ever
 * @changes_out: (out) (transfer full): pairs of a key and a #ShmkvChange; %NULL
 *   where the time ran out, or with @missed_out
 * @missed_out: (out): changes were lost before those that the next call will
 *   tell
 * @error: as shmkv_session_call()
 *
 * Gets the next changes, as many as there are and fit one answer; waits for one
 * where there is none.
 *
 * Returns: whether there was an answer, or the time ran out
 */
SHMKV_API gboolean shmkv_watch_next (ShmkvWatch  *watch,
                                     gint64       timeout_us,
                                     ShmkvPairs **changes_out,
                                     gboolean    *missed_out,
                                     GError     **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvWatch, shmkv_watch_free)

G_END_DECLS
