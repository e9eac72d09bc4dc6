/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The server's hash table: a GRWLock per bucket, and buckets that grow and
 * shrink by themselves.
 *
 * Two ways lead in.  shmkv_table_insert(), _read() and _delete() are for
 * integer keys with integer values and nothing else to them: the fast path,
 * whose pairs live in the bucket's own array.  shmkv_table_apply() does
 * everything, for keys and values of all kinds.  Both see the same keys.
 *
 * All functions may be called from any thread, except where said.  Per key the
 * operations are linearizable: each takes effect at one moment while it holds
 * its bucket's lock, or, read without (plain.h), at one at which nobody writes
 * there.  Under that lock nothing is logged or written, and nothing is allocated
 * but what the bucket itself needs. */

#pragma once

#include "server/reclaim.h"
#include "wire/record.h"

#include <glib.h>

G_BEGIN_DECLS

#define SHMKV_TABLE_MIN_BUCKETS 1u
#define SHMKV_TABLE_MAX_BUCKETS (1u << 24)
#define SHMKV_TABLE_DEFAULT_BUCKETS 5000u

typedef struct _ShmkvTable ShmkvTable;

/* Where a key belongs: computed once per request, before its bucket is
 * touched, so that the memory can be on its way (see the prefetches). */
typedef struct
{
  guint64 hash;
  guint32 bucket;
} ShmkvTablePlace;

typedef struct
{
  guint n_buckets;                  /* within the limits above */
  guint64 seed;                     /* makes the hash unpredictable to clients */
  guint64 max_memory;               /* bytes that the table may use; 0: no limit */
  gboolean evict;                   /* at the limit: make room, where otherwise inserts fail */
} ShmkvTableOptions;

typedef struct
{
  guint64 keys;
  guint64 memory;                   /* bytes allocated for the table, without the allocator's own */
  guint64 longest_bucket;           /* keys in the fullest bucket */
  guint64 expired;                  /* keys so far whose time to live ran out */
  guint64 evicted;                  /* keys so far that made room for others */
} ShmkvTableStats;

/* Told of a change, under the bucket's lock: to be quick, and not to call the
 * table.  `change` is a SHMKV_WIRE_CHANGE_*.  `key` is valid during the call. */
typedef void (*ShmkvTableChanged) (gpointer data, guint bucket, const ShmkvField *key,
                                   guint change);

/* NULL where there is not enough memory for the buckets, or where they take
 * more than `max_memory`. */
ShmkvTable *shmkv_table_new (const ShmkvTableOptions *options);

/* No other thread may be using the table. */
void shmkv_table_free (ShmkvTable *table);

guint shmkv_table_get_n_buckets (const ShmkvTable *table);

/* Bytes that a table of so many buckets takes while it is empty. */
guint64 shmkv_table_empty_size (guint n_buckets);

ShmkvTablePlace shmkv_table_locate (const ShmkvTable *table, guint64 key);

/* `key` of kind INTEGER (then as above) or BYTES, in private memory. */
ShmkvTablePlace shmkv_table_locate_key (const ShmkvTable *table, const ShmkvField *key);

/* Prefetches what an operation needs: once the bucket has arrived itself, see
 * plain.h.  It reads without the lock what may change under it; a stale address
 * is harmless to prefetch. */
void shmkv_table_prefetch (const ShmkvTable *table, const ShmkvTablePlace *place);

/* ----------------------------------------------------------------- readers */

/* Who reads without locks needs one; NULL where there is no memory. */
ShmkvReader *shmkv_table_add_reader (ShmkvTable *table);

/* --------------------------------------------------------------- fast path */

typedef enum
{
  SHMKV_TABLE_ADDED,
  SHMKV_TABLE_REPLACED,
  SHMKV_TABLE_NO_MEMORY,            /* the bucket could not grow; nothing changed */
  SHMKV_TABLE_NO_SPACE,             /* beyond the memory limit; nothing changed */
} ShmkvTableInsert;

typedef enum
{
  SHMKV_TABLE_ABSENT,
  SHMKV_TABLE_FOUND,
  SHMKV_TABLE_OTHER,                /* it has a value that is no integer: use shmkv_table_apply() */
} ShmkvTableRead;

ShmkvTableInsert shmkv_table_insert (ShmkvTable *table, const ShmkvTablePlace *place,
                                     guint64 value);
ShmkvTableRead shmkv_table_read (ShmkvTable *table, const ShmkvTablePlace *place,
                                 guint64 *value_out);
gboolean shmkv_table_delete (ShmkvTable *table, const ShmkvTablePlace *place);

/* -------------------------------------------------------------- everything */

/* An operation on a key.  Sizes, kinds, flags and the time to live are checked
 * by the caller. */
typedef struct
{
  guint op;                         /* INSERT, READ, DELETE, ADD, SUBTRACT, EXPIRE, TTL */
  guint flags;                      /* SHMKV_WIRE_FLAG_*; NO_RESPONSE means nothing here */
  ShmkvTablePlace place;
  ShmkvField key;
  ShmkvField value;                 /* INSERT; ADD, SUBTRACT: an integer */
  ShmkvField expected;              /* IF_VALUE */
  guint64 version;                  /* IF_VERSION */
  guint64 ttl_ms;                   /* TTL */
  guint64 owner;                    /* SESSION: a number of the session, not 0 */
  void *buffer;                     /* where bytes that are the answer go, and how many fit */
  gsize buffer_size;
  gboolean no_value;                /* READ: the value is not wanted */
} ShmkvTableCommand;

typedef struct
{
  guint status;                     /* SHMKV_WIRE_STATUS_* */
  ShmkvField value;                 /* that the answer has; bytes are in the command's buffer */
  guint64 version;                  /* VERSION; READ with it on an absent key: 0 */
  gsize needed;                     /* not 0: nothing was done, as the buffer is too small; come
                                     * again with one of this size (it may be too small again) */
} ShmkvTableAnswer;

void shmkv_table_apply (ShmkvTable *table, const ShmkvTableCommand *command,
                        ShmkvTableAnswer *answer_out);

/* The version of a key, 0 where it is absent.  From the time it is first asked
 * for until the next change, that is the key's version: keys whose version
 * nobody knows have none.  Where there is no memory for it, NO_VERSION, which no
 * key ever has. */
#define SHMKV_TABLE_NO_VERSION G_MAXUINT64
guint64 shmkv_table_get_version (ShmkvTable *table, const ShmkvTablePlace *place,
                                 const ShmkvField *key);

/* Deletes a key if it belongs to that session.  Whether it did. */
gboolean shmkv_table_delete_owned (ShmkvTable *table, const ShmkvTablePlace *place,
                                   const ShmkvField *key, guint64 owner);
gboolean shmkv_table_is_owned (ShmkvTable *table, const ShmkvTablePlace *place,
                               const ShmkvField *key, guint64 owner);

/* ------------------------------------------------------------- all the keys */

typedef struct
{
  ShmkvField prefix;                /* of kind NONE: any */
  guint64 limit;                    /* about how many pairs at most */
  guint options;                    /* SHMKV_WIRE_SCAN_OPTION_* */
} ShmkvTableScan;

/* A step of a scan: encoded pairs, transfer full, and in `*cursor` what the next
 * step starts from; 0 at the beginning and the end.  Every key that is there all
 * the time is visited exactly once.  A step ends after `limit` pairs, some
 * 256 KiB, or some hundred buckets; it may have found nothing.  Returns a
 * SHMKV_WIRE_STATUS_*: OK, BAD_CURSOR, NO_MEMORY, TOO_LARGE (beyond
 * SHMKV_WIRE_MAX_BODY; `*body_out` and `*cursor` are as before where it fails). */
guint shmkv_table_scan (ShmkvTable *table, const ShmkvTableScan *scan, guint64 *cursor,
                        GByteArray **body_out);

/* The pairs of a bucket, encoded, as they all were at one moment; how many in
 * `*n_out`.  `bucket` less than the number of buckets.  The same statuses, and
 * transfer full. */
guint shmkv_table_copy_bucket (ShmkvTable *table, guint bucket, GByteArray **body_out,
                               gsize *n_out);

/* Counts keys, or deletes them all, in steps that take some 100 us at most unless
 * a single bucket takes longer: from `*bucket` on, 0 at first, which moves along.
 * Adds how many keys there were to `*n`.  TRUE where that was the last step.  Each
 * bucket as it is at its own moment. */
gboolean shmkv_table_count_step (ShmkvTable *table, guint *bucket, guint64 *n);
gboolean shmkv_table_clear_step (ShmkvTable *table, guint *bucket, guint64 *n);

/* The same for statistics, which begin as zeros. */
gboolean shmkv_table_stats_step (ShmkvTable *table, guint *bucket, ShmkvTableStats *stats);

void shmkv_table_get_stats (ShmkvTable *table, ShmkvTableStats *stats_out);

/* ------------------------------------------------------------- observation */

/* Who is told of changes; before any other thread uses the table. */
void shmkv_table_set_changed (ShmkvTable *table, ShmkvTableChanged changed, gpointer data);

/* Of which: those in a bucket, while this was called more often with TRUE than
 * with FALSE; all, the same way. */
void shmkv_table_observe_bucket (ShmkvTable *table, guint bucket, gboolean observe);
void shmkv_table_observe_all (ShmkvTable *table, gboolean observe);

/* --------------------------------------------------------------- upkeep */

/* Deletes keys that have expired: in a large table only a part of it is looked
 * at.  To be called a few times a second, always by the same thread, and not by
 * one that serves. */
void shmkv_table_sweep (ShmkvTable *table);

/* Frees what readers may have kept from being freed.  To be called as
 * shmkv_table_sweep(). */
void shmkv_table_reclaim (ShmkvTable *table);

/* Gives memory back that nobody uses any more, where at least half of it became
 * free since the last time; TRUE if so.  Else it takes no time.  To be called
 * as shmkv_table_sweep(). */
gboolean shmkv_table_trim (ShmkvTable *table);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvTable, shmkv_table_free)

G_END_DECLS
