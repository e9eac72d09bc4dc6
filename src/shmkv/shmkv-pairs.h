/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv-types.h>

G_BEGIN_DECLS

/**
 * ShmkvKind:
 *
 * The kinds of keys and values.  The kind is part of a key: the integer 5 and
 * the string "5" are different keys.
 */
typedef enum
{
  SHMKV_KIND_NONE = 0,
  SHMKV_KIND_INTEGER = 1,
  SHMKV_KIND_BYTES = 2
} ShmkvKind;

/**
 * ShmkvDatum:
 * @kind: which of the others counts
 * @integer: the integer, where @kind is %SHMKV_KIND_INTEGER
 * @bytes: the bytes, where @kind is %SHMKV_KIND_BYTES; not terminated
 * @length: how many bytes
 *
 * One key or one value.
 */
typedef struct
{
  ShmkvKind kind;
  guint64 integer;
  const guint8 *bytes;
  gsize length;
} ShmkvDatum;

/**
 * ShmkvPairs:
 *
 * An immutable list of key-value pairs, as Print and Stats return it.  May be
 * used from several threads at once.
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

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvPairs, shmkv_pairs_unref)

G_END_DECLS
