/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the table shows to its own tests, and to nobody else. */

#pragma once

#include "server/table.h"

G_BEGIN_DECLS

/* NULL if all that must be true of the bucket is true, or else what is not. */
const char *shmkv_table_check_bucket (ShmkvTable *table, guint bucket);

/* How far the bucket's pair, or its object's word, that is furthest from home is. */
gsize shmkv_table_longest_way (ShmkvTable *table, guint bucket);

/* The one key that is located at `hash`. */
guint64 shmkv_table_key_at (const ShmkvTable *table, guint64 hash);

/* What would take all the buckets' contents beyond `bytes` fails as if there
 * were no memory left. */
void shmkv_table_limit_slots (ShmkvTable *table, gsize bytes);

/* Whether what the table says it uses is what its buckets have.  While no other
 * thread uses it. */
gboolean shmkv_table_check_memory (ShmkvTable *table);

/* Milliseconds; never going back. */
typedef gint64 (*ShmkvTableClock) (void);

/* In place of the system's. */
void shmkv_table_set_clock (ShmkvTable *table, ShmkvTableClock clock);

G_END_DECLS
