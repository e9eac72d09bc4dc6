/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "util.h"

#include "transport/segment.h"

#include <shmkv/shmkv.h>

#include <string.h>
#include <unistd.h>

#define SHM_DIRECTORY "/dev/shm"

/* ---------------------------------------------------------------------- log */

static GMutex log_mutex;
static GPtrArray *log_messages;     /* NULL: not catching */

static gboolean
catch (const char *message)
{
  gboolean caught = FALSE;

  g_mutex_lock (&log_mutex);
  if (log_messages != NULL)
    {
      g_ptr_array_add (log_messages, g_strdup (message));
      caught = TRUE;
    }
  g_mutex_unlock (&log_mutex);
  return caught;
}

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  for (gsize i = 0; i < n_fields; i++)
    if ((level & G_LOG_LEVEL_WARNING) != 0 && strcmp (fields[i].key, "MESSAGE") == 0
        && catch (fields[i].value))
      return G_LOG_WRITER_HANDLED;
  return g_log_writer_default (level, fields, n_fields, data);
}

void
util_log_catch (void)
{
  g_mutex_lock (&log_mutex);
  g_assert_null (log_messages);
  log_messages = g_ptr_array_new_with_free_func (g_free);
  g_mutex_unlock (&log_mutex);
}

guint
util_log_caught (const char *fragment)
{
  guint n = 0;

  g_mutex_lock (&log_mutex);
  for (guint i = 0; i < log_messages->len; i++)
    if (strstr (g_ptr_array_index (log_messages, i), fragment) != NULL)
      n++;
  g_clear_pointer (&log_messages, g_ptr_array_unref);
  g_mutex_unlock (&log_mutex);
  return n;
}

/* -------------------------------------------------------------------- names */

static char *
name_prefix (void)
{
  return g_strdup_printf ("test-%d-", (int) getpid ());
}

char *
util_name (void)
{
  static guint counter;
  g_autofree char *prefix = name_prefix ();

  return g_strdup_printf ("%s%u", prefix, (guint) g_atomic_int_add (&counter, 1));
}

char *
util_object_path (const char *name, const char *region)
{
  return g_strdup_printf (SHM_DIRECTORY "/shmkv.%s.%s", name, region);
}

gboolean
util_object_exists (const char *name, const char *region)
{
  g_autofree char *path = util_object_path (name, region);

  return g_file_test (path, G_FILE_TEST_EXISTS) || g_file_test (path, G_FILE_TEST_IS_SYMLINK);
}

static guint
count_leftovers (void)
{
  g_autofree char *own = name_prefix ();
  g_autofree char *prefix = g_strconcat ("shmkv.", own, NULL);
  g_autoptr (GDir) directory = g_dir_open (SHM_DIRECTORY, 0, NULL);
  const char *entry;
  guint n = 0;

  while (directory != NULL && (entry = g_dir_read_name (directory)) != NULL)
    if (g_str_has_prefix (entry, prefix))
      {
        g_printerr ("left behind: " SHM_DIRECTORY "/%s\n", entry);
        n++;
      }
  return n;
}

/* -------------------------------------------------------------------- others */

void
util_init (int *argc, char ***argv)
{
  g_test_init (argc, argv, NULL);
  /* GLib's macro for quarks has a race, harmless, which a thread sanitizer
   * reports: these exist before there are threads. */
  shmkv_error_quark ();
  shmkv_segment_error_quark ();
  g_log_set_writer_func (write_log, NULL, NULL);
}

int
util_run (void)
{
  int status = g_test_run ();

  return count_leftovers () > 0 ? 1 : status;
}

guint64
util_random (void)
{
  return (guint64) (guint32) g_test_rand_int () << 32 | (guint32) g_test_rand_int ();
}

guint
util_random_range (guint begin, guint end)
{
  return (guint) g_test_rand_int_range ((gint32) begin, (gint32) end);
}

guint
util_count_threads (const char *name)
{
  g_autoptr (GDir) directory = g_dir_open ("/proc/self/task", 0, NULL);
  const char *entry;
  guint n = 0;

  g_assert_nonnull (directory);
  while ((entry = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/task", entry, "comm", NULL);
      g_autofree char *comm = NULL;

      if (g_file_get_contents (path, &comm, NULL, NULL) && strcmp (g_strchomp (comm), name) == 0)
        n++;
    }
  return n;
}
