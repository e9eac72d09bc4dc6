/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Frees memory that readers without a lock may still be looking at.
 *
 * A writer first takes the memory out of everybody's sight, then retires it; it
 * is freed when every reader has since said that it holds nothing it found
 * before.  A reader says so between two batches, and costs nobody anything
 * while nothing was retired: it compares two words, neither of which changes.
 *
 * Every retirement begins an epoch.  A reader announces the epoch that it found
 * when it held nothing; what was retired up to the oldest announcement is free.
 * A reader that rests, because its thread is about to sleep, holds nothing.
 *
 * This is quiescent-state-based reclamation: P. McKenney and J. Slingwine,
 * "Read-copy update" (1998); T. Hart et al., "Performance of memory reclamation
 * for lockless synchronization" (2007).  Nobody ever waits for a reader: one
 * that is preempted only keeps memory from being freed. */

#pragma once

#include <glib.h>
#include <stdalign.h>
#include <stdatomic.h>

G_BEGIN_DECLS

typedef struct _ShmkvReader ShmkvReader;
typedef struct _ShmkvRetired ShmkvRetired;

typedef struct
{
  /* Read by all readers, and written when something was retired. */
  alignas (64) _Atomic guint64 epoch;

  alignas (64) GMutex mutex;        /* what follows is under it */
  ShmkvReader *readers;
  ShmkvRetired *first;              /* the oldest */
  ShmkvRetired *last;
} ShmkvReclaim;

/* A reading thread's own. */
struct _ShmkvReader
{
  alignas (64) _Atomic guint64 seen; /* the epoch announced, or SHMKV_READER_RESTS */
  ShmkvReclaim *reclaim;
  ShmkvReader *next;
};

#define SHMKV_READER_RESTS G_MAXUINT64

void shmkv_reclaim_init (ShmkvReclaim *reclaim);

/* Frees whatever is left.  There are no readers any more. */
void shmkv_reclaim_clear (ShmkvReclaim *reclaim);

/* ----------------------------------------------------------------- readers */

/* One that does not rest; NULL where there is no memory. */
ShmkvReader *shmkv_reader_new (ShmkvReclaim *reclaim);
void shmkv_reader_free (ShmkvReader *reader);

/* From now on, until it resumes, the thread holds nothing and reads nothing. */
void shmkv_reader_rest (ShmkvReader *reader);
void shmkv_reader_resume (ShmkvReader *reader);

/* The part of shmkv_reader_pass() where there is something to do. */
void shmkv_reader_announce (ShmkvReader *reader, guint64 epoch);

/* The thread holds nothing of what it found before. */
static inline void
shmkv_reader_pass (ShmkvReader *reader)
{
  /* acquire: pairs with the release in shmkv_reclaim_retire(); what was retired
   * by then is not found any more */
  guint64 epoch = atomic_load_explicit (&reader->reclaim->epoch, memory_order_acquire);

  /* relaxed: our own */
  if (G_UNLIKELY (epoch != atomic_load_explicit (&reader->seen, memory_order_relaxed)))
    shmkv_reader_announce (reader, epoch);
}

/* ----------------------------------------------------------------- writers */

/* What it takes to retire something later on, when nothing may fail; NULL where
 * there is no memory.  With g_free() where it is not needed after all. */
ShmkvRetired *shmkv_retired_new (void);

/* Frees `memory` of malloc(), of that size, when no reader can hold it any more.
 * Nobody can find it now. */
void shmkv_reclaim_retire (ShmkvReclaim *reclaim, ShmkvRetired *retired, gpointer memory,
                           gsize size);

/* Frees what can be freed: for a thread that is no reader, from time to time. */
void shmkv_reclaim_run (ShmkvReclaim *reclaim);

G_END_DECLS
