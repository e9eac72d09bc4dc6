/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Comes before everything else (-include) in the sources that look at shared
 * memory, where they are compiled for a fuzz target; nothing in them changes.
 *
 * Each atomic load of a word that a peer could write goes through the target
 * first, which may write something else there just then: so whatever a check has
 * seen, a second look sees other bytes.  And what would ask the kernel asks the
 * target: who is alive, what time it is, whether to sleep.  Nothing blocks, and
 * an input is the same run each time. */

#pragma once

/* First: it says which functions the system's headers declare. */
#include "config.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

extern uintptr_t fuzz_watched_begin;
extern size_t fuzz_watched_size;

void fuzz_on_load (const volatile void *word, size_t size);

static inline void
fuzz_before_load (const volatile void *word, size_t size)
{
  if ((uintptr_t) word - fuzz_watched_begin < fuzz_watched_size)
    fuzz_on_load (word, size);
}

#undef atomic_load_explicit
#ifdef __clang__
#define FUZZ_ATOMIC_LOAD __c11_atomic_load
#else
#define FUZZ_ATOMIC_LOAD __atomic_load_n
#endif
#define atomic_load_explicit(object, order) \
  (fuzz_before_load ((object), sizeof *(object)), FUZZ_ATOMIC_LOAD ((object), (order)))

/* The kernel's part. */
#define shmkv_futex_wait fuzz_futex_wait
#define shmkv_futex_wake fuzz_futex_wake
#define shmkv_now_ns fuzz_now_ns
#define g_get_monotonic_time fuzz_get_monotonic_time
#define g_usleep fuzz_usleep
#define shmkv_segment_lane_is_locked fuzz_segment_lane_is_locked
#define shmkv_segment_lock_lane fuzz_segment_lock_lane
#define shmkv_segment_unlock_lane fuzz_segment_unlock_lane
#define shmkv_segment_server_is_alive fuzz_segment_server_is_alive

/* What is more than a session could need is not there. */
#define g_try_malloc fuzz_try_malloc
#define g_try_malloc_n fuzz_try_malloc_n

/* The server around the lanes. */
#define shmkv_server_print fuzz_server_print
#define shmkv_server_stats fuzz_server_stats
#define shmkv_server_sessions fuzz_server_sessions
#define shmkv_server_start_workers fuzz_server_start_workers
#define shmkv_server_stop_worker fuzz_server_stop_worker
#define shmkv_server_quit fuzz_server_quit
