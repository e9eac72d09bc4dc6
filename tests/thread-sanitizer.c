/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tells ThreadSanitizer what GLib's locks order.
 *
 * The sanitizer knows of the synchronization in code that was compiled with
 * it, and of pthread calls.  GLib usually was not, and its GMutex sleeps on a
 * futex without pthread, so that everything a GMutex guards would look like a
 * race.  The functions here take the place of GLib's for the callers in a test
 * program, do what GLib does, and report it.  Not covered: GRWLock, which is
 * pthread's and needs it not, and GLib's calls of its own functions.
 *
 * Empty in a build without the sanitizer.
 */

#include "config.h"

#include <glib.h>

#if defined __has_feature
#if __has_feature (thread_sanitizer)
#define THREAD_SANITIZER
#endif
#elif defined __SANITIZE_THREAD__
#define THREAD_SANITIZER
#endif

#ifdef THREAD_SANITIZER

#include <dlfcn.h>
#include <stdatomic.h>

/* GIO calls them as well, from its shared object. */
#pragma GCC visibility push(default)

void __tsan_acquire (void *address);
void __tsan_release (void *address);

/* GLib's function of the name.  Looked up when first called, which is before
 * any of our constructors: by those of GLib's libraries. */
#define REAL(name)                                                                                 \
  (G_GNUC_EXTENSION ({                                                                             \
    static _Atomic (void *) cache;                                                                 \
    (__typeof__ (&(name))) find (&cache, #name);                                                   \
  }))

static void *
find (_Atomic (void *) *cache, const char *name)
{
  void *function = atomic_load_explicit (cache, memory_order_relaxed); /* whoever stores, stores the same */

  if (function == NULL)
    {
      function = dlsym (RTLD_NEXT, name);
      g_assert (function != NULL);
      atomic_store_explicit (cache, function, memory_order_relaxed);
    }
  return function;
}

/* GLib makes a static GRWLock when it is first used, in a way that the sanitizer
 * cannot follow.  The one that every new GError takes is made here, while there
 * is one thread. */
__attribute__ ((constructor)) static void
make_static_locks (void)
{
  g_error_free (g_error_new_literal (G_FILE_ERROR, G_FILE_ERROR_FAILED, "none"));
}

void
g_mutex_lock (GMutex *mutex)
{
  REAL (g_mutex_lock) (mutex);
  __tsan_acquire (mutex);
}

gboolean
g_mutex_trylock (GMutex *mutex)
{
  gboolean locked = REAL (g_mutex_trylock) (mutex);

  if (locked)
    __tsan_acquire (mutex);
  return locked;
}

void
g_mutex_unlock (GMutex *mutex)
{
  __tsan_release (mutex);
  REAL (g_mutex_unlock) (mutex);
}

/* Whoever drops the last reference frees it, after all that others did with
 * theirs: the count is an atomic of GLib's. */
void
g_byte_array_unref (GByteArray *array)
{
  __tsan_release (array);
  __tsan_acquire (array);
  REAL (g_byte_array_unref) (array);
}

void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  __tsan_release (mutex);
  REAL (g_cond_wait) (cond, mutex);
  __tsan_acquire (mutex);
}

gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time)
{
  gboolean signalled;

  __tsan_release (mutex);
  signalled = REAL (g_cond_wait_until) (cond, mutex, end_time);
  __tsan_acquire (mutex);
  return signalled;
}

/* Its partner is the atomic load at the beginning of g_once_init_enter(),
 * which is a macro and so compiled with the sanitizer. */
void
(g_once_init_leave) (volatile void *location, gsize result)
{
  __tsan_release ((void *) location);
  REAL (g_once_init_leave) (location, result);
}

gboolean
(g_atomic_ref_count_dec) (gatomicrefcount *count)
{
  gboolean last;

  __tsan_release ((void *) count);
  last = REAL (g_atomic_ref_count_dec) (count);
  if (last)
    __tsan_acquire ((void *) count);
  return last;
}

void
g_async_queue_push (GAsyncQueue *queue, gpointer data)
{
  __tsan_release (queue);
  REAL (g_async_queue_push) (queue, data);
}

gpointer
g_async_queue_pop (GAsyncQueue *queue)
{
  gpointer data = REAL (g_async_queue_pop) (queue);

  __tsan_acquire (queue);
  return data;
}

gpointer
g_async_queue_try_pop (GAsyncQueue *queue)
{
  gpointer data = REAL (g_async_queue_try_pop) (queue);

  __tsan_acquire (queue);
  return data;
}

gpointer
g_async_queue_timeout_pop (GAsyncQueue *queue, guint64 timeout)
{
  gpointer data = REAL (g_async_queue_timeout_pop) (queue, timeout);

  __tsan_acquire (queue);
  return data;
}

#pragma GCC visibility pop

#endif
