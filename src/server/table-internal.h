/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the table shows to its own tests, and to nobody else. */

#pragma once

#include "server/table.h"

G_BEGIN_DECLS

/* NULL if all that must be true of the bucket is true, or else what is not. */
const char *shmkv_table_check_bucket (ShmkvTable *table, guint bucket);

/* The one key that is located at `hash`. */
guint64 shmkv_table_key_at (const ShmkvTable *table, guint64 hash);

/* Growth that would take the slots of all the buckets beyond `bytes` fails as
 * if there were no memory left. */
void shmkv_table_limit_slots (ShmkvTable *table, gsize bytes);

G_END_DECLS
