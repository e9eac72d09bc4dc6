/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv-client.h>

G_BEGIN_DECLS

/**
 * ShmkvScanFlags:
 *
 * @SHMKV_SCAN_INTEGER_KEYS: only keys that are integers
 * @SHMKV_SCAN_BYTES_KEYS: only keys that are byte strings
 * @SHMKV_SCAN_KEYS_ONLY: without the values, whose kind is %SHMKV_KIND_NONE then
 * @SHMKV_SCAN_PERMANENT: without keys that belong to a session
 */
typedef enum
{
  SHMKV_SCAN_ALL = 0,
  SHMKV_SCAN_INTEGER_KEYS = 1 << 0,
  SHMKV_SCAN_BYTES_KEYS = 1 << 1,
  SHMKV_SCAN_KEYS_ONLY = 1 << 2,
  SHMKV_SCAN_PERMANENT = 1 << 3
} ShmkvScanFlags;

/**
 * ShmkvScan:
 *
 * Goes through the table.  Every key that is there from the beginning to the
 * end of the scan comes exactly once, whatever others insert and delete
 * meanwhile; a key that is there for a part of that time comes once or not at
 * all, unless it was deleted and inserted again meanwhile: then it may come
 * twice.  The order means nothing.
 *
 * It holds no memory and no lock in the server between two steps.  One thread
 * at a time may use it.
 */
typedef struct _ShmkvScan ShmkvScan;

/**
 * shmkv_scan_new:
 * @client: the client
 * @prefix: (nullable): only keys that are byte strings and begin with this byte
 *   string, which is copied
 * @flags: see #ShmkvScanFlags
 *
 * Begins a scan.  Nothing is sent before shmkv_scan_next(), which also says
 * where @prefix is too long.
 *
 * Returns: (transfer full): a scan, which holds a reference to @client
 */
SHMKV_API ShmkvScan *shmkv_scan_new (ShmkvClient      *client,
                                     const ShmkvDatum *prefix,
                                     ShmkvScanFlags    flags);

/**
 * shmkv_scan_free:
 * @scan: (transfer full): the scan
 */
SHMKV_API void shmkv_scan_free (ShmkvScan *scan);

/**
 * shmkv_scan_next:
 * @scan: the scan
 * @pairs_out: (out) (transfer full): the next pairs, at least one; %NULL where
 *   there are no more
 * @error: as the calls of #ShmkvClient; %SHMKV_ERROR_INVALID where the prefix
 *   is longer than %SHMKV_KEY_MAX.  After an error, it may be called again and
 *   goes on where it was.
 *
 * Gets the next pairs, a few hundred at a time, or fewer where they are long.
 *
 * Returns: whether there was an answer
 */
SHMKV_API gboolean shmkv_scan_next (ShmkvScan *scan, ShmkvPairs **pairs_out, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvScan, shmkv_scan_free)

G_END_DECLS
