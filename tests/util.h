/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the test programs share. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How many times slower a test runs than without a sanitizer, roughly. */
#if defined __has_feature
#if __has_feature (thread_sanitizer)
#define UTIL_SLOWNESS 20
#define UTIL_HAS_THREAD_SANITIZER 1
#elif __has_feature (address_sanitizer)
#define UTIL_SLOWNESS 4
#endif
#endif
#ifndef UTIL_SLOWNESS
#if defined __SANITIZE_THREAD__
#define UTIL_SLOWNESS 20
#define UTIL_HAS_THREAD_SANITIZER 1
#elif defined __SANITIZE_ADDRESS__
#define UTIL_SLOWNESS 4
#else
#define UTIL_SLOWNESS 1
#endif
#endif

#ifndef UTIL_HAS_THREAD_SANITIZER
#define UTIL_HAS_THREAD_SANITIZER 0
#endif

/* `n` repetitions, or fewer where they take long. */
#define UTIL_N(n) ((n) / UTIL_SLOWNESS)

/* How long an event may take before the test fails: no machine is that slow. */
#define UTIL_PATIENCE_US (60 * G_USEC_PER_SEC)

/* Waits until `condition` is true, whoever makes it so; with less patience where
 * it should be a matter of milliseconds. */
#define UTIL_AWAIT(condition) UTIL_AWAIT_WITHIN (UTIL_PATIENCE_US, condition)

#define UTIL_AWAIT_WITHIN(patience_us, condition)                                                  \
  G_STMT_START                                                                                     \
  {                                                                                                \
    gint64 util_deadline = g_get_monotonic_time () + (patience_us);                                \
                                                                                                   \
    while (!(condition))                                                                           \
      {                                                                                            \
        if (g_get_monotonic_time () > util_deadline)                                               \
          g_error ("%s:%d: waited in vain for: %s", __FILE__, __LINE__, #condition);               \
        g_usleep (100);                                                                            \
      }                                                                                            \
  }                                                                                                \
  G_STMT_END

/* In place of g_test_init(); also keeps the log. */
void util_init (int *argc, char ***argv);

/* In place of g_test_run(); also fails where this process left something in
 * /dev/shm. */
int util_run (void);

/* The name of a server that nobody else has.  Transfer full. */
char *util_name (void);

/* The path of a shared memory object, such as "requests".  Transfer full. */
char *util_object_path (const char *name, const char *region);

gboolean util_object_exists (const char *name, const char *region);

guint64 util_random (void);

/* From `begin` to `end`, without `end`. */
guint util_random_range (guint begin, guint end);

/* Warnings are fatal, unless between these two, of which the second tells how
 * many there were that contain `fragment`. */
void util_log_catch (void);
guint util_log_caught (const char *fragment);

/* How many threads of this process have the name. */
guint util_count_threads (const char *name);

G_END_DECLS
