/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The server's hash table: a GRWLock per bucket, and buckets that grow and
 * shrink by themselves.
 *
 * All functions may be called from any thread, except where said.  Per key the
 * operations are linearizable: each takes effect at one moment while it holds
 * its bucket's lock.  Under that lock nothing is logged or written, and
 * nothing is allocated but a bucket's new slots. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define SHMKV_TABLE_MIN_BUCKETS 1u
#define SHMKV_TABLE_MAX_BUCKETS (1u << 24)
#define SHMKV_TABLE_DEFAULT_BUCKETS 5000u

typedef struct _ShmkvTable ShmkvTable;

typedef struct
{
  guint64 key;
  guint64 value;
} ShmkvTablePair;

typedef enum
{
  SHMKV_TABLE_ADDED,
  SHMKV_TABLE_REPLACED,
  SHMKV_TABLE_NO_MEMORY,            /* the bucket could not grow; nothing changed */
} ShmkvTableInsert;

typedef struct
{
  guint64 keys;
  guint64 memory;                   /* bytes allocated for the table, without the allocator's own */
  guint64 longest_bucket;           /* keys in the fullest bucket */
} ShmkvTableStats;

/* Where a key belongs: computed once per request, before its bucket is
 * touched, so that the memory can be on its way (see the prefetches). */
typedef struct
{
  guint64 hash;
  guint32 bucket;
} ShmkvTablePlace;

/* `n_buckets` within the limits above.  `seed` makes the hash unpredictable to
 * clients.  NULL where there is not enough memory for the buckets. */
ShmkvTable *shmkv_table_new (guint n_buckets, guint64 seed);

/* No other thread may be using the table. */
void shmkv_table_free (ShmkvTable *table);

guint shmkv_table_get_n_buckets (const ShmkvTable *table);

ShmkvTablePlace shmkv_table_locate (const ShmkvTable *table, guint64 key);

/* Two stages, each to be run over a whole batch before the next: the bucket's
 * lock and header, then (they have arrived meanwhile) the lock's own memory
 * and the slot.  They read without the lock what may change under them; a
 * stale address is harmless to prefetch. */
void shmkv_table_prefetch_bucket (const ShmkvTable *table, const ShmkvTablePlace *place);
void shmkv_table_prefetch_slot (const ShmkvTable *table, const ShmkvTablePlace *place);

ShmkvTableInsert shmkv_table_insert (ShmkvTable *table, const ShmkvTablePlace *place,
                                     guint64 value);
gboolean shmkv_table_read (ShmkvTable *table, const ShmkvTablePlace *place, guint64 *value_out);
gboolean shmkv_table_delete (ShmkvTable *table, const ShmkvTablePlace *place);

/* A copy of a bucket's pairs, as they all were at one moment.  `bucket` less
 * than the number of buckets.  Transfer full; of ShmkvTablePair. */
GArray *shmkv_table_copy_bucket (ShmkvTable *table, guint bucket);

/* Gives memory back that nobody uses any more, where at least half of it became
 * free since the last time; TRUE if so.  Else it takes no time.  To be called
 * now and then, always by the same thread, and not by one that serves. */
gboolean shmkv_table_trim (ShmkvTable *table);

/* Each bucket as it is at its own moment. */
void shmkv_table_get_stats (ShmkvTable *table, ShmkvTableStats *stats_out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvTable, shmkv_table_free)

G_END_DECLS
