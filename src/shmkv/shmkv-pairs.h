/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv-types.h>

G_BEGIN_DECLS

/**
 * ShmkvPairs:
 *
 * An immutable list of key-value pairs, as Print, Stats and Scan return it.  May
 * be used from several threads at once.
 */
typedef struct _ShmkvPairs ShmkvPairs;

/**
 * shmkv_pairs_ref:
 *
 * Returns: (transfer full): @pairs
 */
SHMKV_API ShmkvPairs *shmkv_pairs_ref (ShmkvPairs *pairs);

/**
 * shmkv_pairs_unref:
 * @pairs: (transfer full): the pairs
 */
SHMKV_API void shmkv_pairs_unref (ShmkvPairs *pairs);

/**
 * shmkv_pairs_get_length:
 *
 * Returns: how many pairs there are
 */
SHMKV_API gsize shmkv_pairs_get_length (const ShmkvPairs *pairs);

/**
 * shmkv_pairs_get:
 * @pairs: the pairs
 * @index: less than shmkv_pairs_get_length()
 * @key_out: (out) (optional): the key
 * @value_out: (out) (optional): the value
 *
 * The bytes in @key_out and @value_out belong to @pairs and stay valid as long
 * as it does.
 */
SHMKV_API void shmkv_pairs_get (const ShmkvPairs *pairs,
                                gsize             index,
                                ShmkvDatum       *key_out,
                                ShmkvDatum       *value_out);

/**
 * shmkv_pairs_get_ttl:
 * @pairs: the pairs
 * @index: less than shmkv_pairs_get_length()
 *
 * Returns: after how many milliseconds the pair expires, counted from when the
 *   server looked; 0 where it does not
 */
SHMKV_API guint64 shmkv_pairs_get_ttl (const ShmkvPairs *pairs, gsize index);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvPairs, shmkv_pairs_unref)

G_END_DECLS
