/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory whose file somebody else cuts off.
 *
 * Whoever may write to a shared memory object may also truncate it, and objects
 * made with shm_open() cannot be sealed against that.  To touch what is missing
 * then raises SIGBUS in whoever does, at any load or store.  There is no way to
 * look first: the file may be cut off between looking and touching.
 *
 * So the mappings are registered here, and a handler of the signal calls
 * shmkv_rescue(): it puts private memory full of zeros in the place of the whole
 * mapping, for good, and the load or store is done again.  The bytes are then
 * as good as any that a hostile peer writes, which all code stands anyway.  But
 * what was half read when the other half went is not: who has read something looks
 * at shmkv_rescue_is_lost() before it counts.
 *
 * Who has a handler: the programs.  The library installs none, and exports the
 * call for the handler of the program that uses it.
 *
 * Whoever made the file also repairs it: makes it as long again as it was, so that
 * those who touch it next find zeros, and not the signal.  They cannot tell from
 * that alone; so a word in the file, the mark, is stored first. */

#pragma once

#include <glib.h>
#include <stdatomic.h>

G_BEGIN_DECLS

typedef struct
{
  _Atomic gboolean lost;
} ShmkvRescue;

/* Registers `size` bytes at `base`, mapped with `protection`.  By any thread. */
ShmkvRescue *shmkv_rescue_watch (gpointer base, gsize size, int protection);

/* By who made the file: has it repaired through `fd`, after `mark` was stored at
 * `mark_offset`; where that is negative, without a mark. */
void shmkv_rescue_set_repair (ShmkvRescue *rescue, int fd, goffset mark_offset, guint32 mark);

/* Before it is unmapped. */
void shmkv_rescue_end (ShmkvRescue *rescue);

/* Called with the address at which SIGBUS was raised, by its handler: whether the
 * access may be done again.  Async-signal-safe; keeps errno. */
gboolean shmkv_rescue (const void *address);

/* By who finds that the file was cut off before anybody met the signal: marks the
 * memory as lost, and repairs the file.  FALSE, and errno, where that fails. */
gboolean shmkv_rescue_repair (ShmkvRescue *rescue);

/* Whether the memory was lost: nothing that was read out of it since counts, and
 * perhaps nothing is shared any more.  NULL is not lost. */
static inline gboolean
shmkv_rescue_is_lost (const ShmkvRescue *rescue)
{
  /* pairs with the release in lose(): what was read before is not from memory that
   * was put in the place of what is lost */
  atomic_thread_fence (memory_order_acquire);
  /* relaxed: ordered by the fence */
  return rescue != NULL && atomic_load_explicit (&rescue->lost, memory_order_relaxed);
}

G_END_DECLS
