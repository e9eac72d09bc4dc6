/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

/* Takes `body`, the `n_bytes` of a response that carries pairs (see
 * wire/record.h).  NULL where they are not well formed. */
ShmkvPairs *shmkv_pairs_new_take (guint64 *body, gsize n_bytes);

G_END_DECLS
