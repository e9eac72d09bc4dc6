/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

/* Takes `body`, the `n_bytes` of a response that carries pairs (see
 * wire/record.h).  NULL where they are not well formed, or where there is no memory
 * for them, which is then in `*no_memory_out', unless NULL. */
ShmkvPairs *shmkv_pairs_new_take (guint64 *body, gsize n_bytes, gboolean *no_memory_out);

G_END_DECLS
