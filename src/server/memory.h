/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The account of what the table has allocated. */

#pragma once

#include "wire/record.h"

#include <glib.h>
#include <stdatomic.h>

G_BEGIN_DECLS

typedef struct
{
  _Atomic gsize used;
  gsize max;                        /* beyond it: NO_SPACE */
  gsize shortage;                   /* beyond it: NO_MEMORY, for tests */
  gboolean evicts;                  /* who gets NO_SPACE evicts something and comes again */
} ShmkvMemory;

static inline gsize
shmkv_memory_used (ShmkvMemory *memory)
{
  /* relaxed: nothing else depends on it */
  return atomic_load_explicit (&memory->used, memory_order_relaxed);
}

/* To be called before it is allocated.  OK, NO_SPACE or NO_MEMORY.  Never counts
 * what is not allowed, so that one thread's failure is not another's. */
static inline guint
shmkv_memory_take (ShmkvMemory *memory, gsize bytes)
{
  gsize used = shmkv_memory_used (memory);

  do
    {
      if (used > memory->max || bytes > memory->max - used)
        return SHMKV_WIRE_STATUS_NO_SPACE;
      if (used > memory->shortage || bytes > memory->shortage - used)
        return SHMKV_WIRE_STATUS_NO_MEMORY;
    }
  /* relaxed: the same */
  while (!atomic_compare_exchange_weak_explicit (&memory->used, &used, used + bytes,
                                                 memory_order_relaxed, memory_order_relaxed));
  return SHMKV_WIRE_STATUS_OK;
}

/* Whether shmkv_memory_take() would do it now: before work that would be in vain. */
static inline guint
shmkv_memory_ask (ShmkvMemory *memory, gsize bytes)
{
  gsize used = shmkv_memory_used (memory);

  if (used > memory->max || bytes > memory->max - used)
    return SHMKV_WIRE_STATUS_NO_SPACE;
  if (used > memory->shortage || bytes > memory->shortage - used)
    return SHMKV_WIRE_STATUS_NO_MEMORY;
  return SHMKV_WIRE_STATUS_OK;
}

/* When it was freed. */
static inline void
shmkv_memory_give (ShmkvMemory *memory, gsize bytes)
{
  /* relaxed: the same */
  atomic_fetch_sub_explicit (&memory->used, bytes, memory_order_relaxed);
}

/* The pages that lie within memory which is about to be freed go back to the
 * kernel at once, so that a large hole costs addresses only. */
void shmkv_memory_discard (void *start, gsize size);

G_END_DECLS
