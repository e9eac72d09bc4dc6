/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Makes a program of a fuzz target, for any compiler:
 *
 *   fuzz-NAME [--random=N] [--seed=S] [--first=I] [FILE|DIRECTORY]...
 *
 * runs the files as inputs, and then N random mutations of them.  All of it is in
 * a process of its own: where that dies, or gets nowhere, its last input is left
 * in a file, which is named. */

#include "config.h"

#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define INPUT_MAX 4096

/* Seconds that one input may take, on any machine. */
#define PATIENCE 60

/* What is still there when the process is not. */
typedef struct
{
  _Atomic guint64 n_runs;
  guint64 index;                    /* of the random input; from 1 */
  gsize size;
  guint8 bytes[1 << 20];
} Last;

static Last *last;

static gint64 n_random;
static gint64 seed = -1;
static gint64 first = 1;
static char **paths;

/* --------------------------------------------------------------------- inputs */

static void
run (const guint8 *data, gsize size)
{
  /* Of its own, so that a sanitizer sees its ends.  Not g_malloc(), which has nothing
   * for nothing, and nothing has no place to count from. */
  guint8 *copy = malloc (size);

  g_assert_nonnull (copy);
  last->size = MIN (size, sizeof last->bytes);
  if (size > 0)
    {
      memcpy (copy, data, size);
      memcpy (last->bytes, data, last->size);
    }
  LLVMFuzzerTestOneInput (copy, size);
  atomic_fetch_add (&last->n_runs, 1);
  free (copy);
}

static void
add_file (GPtrArray *corpus, const char *path)
{
  g_autoptr (GError) error = NULL;
  char *text;
  gsize size;

  if (!g_file_get_contents (path, &text, &size, &error))
    g_error ("%s", error->message);
  g_ptr_array_add (corpus, g_bytes_new_take (text, size));
}

/* In the order of their names, so that a seed means the same everywhere. */
static void
add_directory (GPtrArray *corpus, const char *path)
{
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  if (directory == NULL)
    g_error ("cannot read %s", path);
  while ((name = g_dir_read_name (directory)) != NULL)
    g_ptr_array_add (names, g_build_filename (path, name, NULL));
  g_ptr_array_sort (names, (GCompareFunc) (void (*) (void)) g_strcmp0);
  for (guint i = 0; i < names->len; i++)
    add_file (corpus, names->pdata[i]);
}

/* ------------------------------------------------------------------- mutations */

static const guint8 *
bytes_of (const GPtrArray *corpus, guint32 index, gsize *size_out)
{
  return g_bytes_get_data (corpus->pdata[index % corpus->len], size_out);
}

static guint32
below (GRand *random, gsize n)
{
  return n > 0 ? g_rand_int (random) % (guint32) n : 0;
}

static void
insert_bytes (GByteArray *input, gsize at, const guint8 *bytes, gsize n)
{
  gsize behind = input->len - at;

  n = MIN (n, INPUT_MAX - input->len);
  g_byte_array_set_size (input, input->len + (guint) n);
  memmove (input->data + at + n, input->data + at, behind);
  memcpy (input->data + at, bytes, n);
}

/* A piece of another input, over what is there or in between. */
static void
splice (GByteArray *input, const GPtrArray *corpus, GRand *random)
{
  gsize size, begin, n, at = below (random, input->len + 1);
  const guint8 *other = bytes_of (corpus, g_rand_int (random), &size);

  begin = below (random, size);
  n = below (random, MIN (size - begin, 64) + 1);
  if (n == 0)
    return;
  if (g_rand_boolean (random))
    insert_bytes (input, at, other + begin, n);
  else
    memcpy (input->data + at, other + begin, MIN (n, input->len - at));
}

static void
mutate (GByteArray *input, const GPtrArray *corpus, GRand *random)
{
  static const guint8 numbers[] = { 0, 1, 7, 8, 16, 32, 64, 127, 128, 255 };
  guint32 at = below (random, input->len);
  guint8 byte = (guint8) g_rand_int (random);

  if (input->len == 0)
    {
      insert_bytes (input, 0, &byte, 1);
      return;
    }
  switch (g_rand_int (random) % 8)
    {
    case 0:
      input->data[at] ^= (guint8) (1u << byte % 8);
      break;
    case 1:
      input->data[at] = byte;
      break;
    case 2:
      input->data[at] = numbers[byte % G_N_ELEMENTS (numbers)];
      break;
    case 3:
      input->data[at] = (guint8) (input->data[at] + byte % 9 - 4);
      break;
    case 4:
      insert_bytes (input, at, &byte, 1);
      break;
    case 5:
      g_byte_array_remove_range (input, at, below (random, MIN (input->len - at, 16)) + 1);
      break;
    default:
      splice (input, corpus, random);
      break;
    }
}

/* Each from the seed and its number alone, so that it can be had again. */
static void
run_random (const GPtrArray *corpus, guint64 index)
{
  const guint32 seeds[] = { (guint32) seed, (guint32) index, (guint32) (index >> 32) };
  GRand *random = g_rand_new_with_seed_array (seeds, G_N_ELEMENTS (seeds));
  g_autoptr (GByteArray) input = g_byte_array_sized_new (INPUT_MAX);
  gsize size;
  const guint8 *bytes = bytes_of (corpus, g_rand_int (random), &size);

  g_byte_array_append (input, bytes, (guint) MIN (size, INPUT_MAX));
  for (guint n = 1 + g_rand_int (random) % 8; n > 0; n--)
    mutate (input, corpus, random);
  g_rand_free (random);
  last->index = index;
  run (input->data, input->len);
}

static int
run_all (void)
{
  g_autoptr (GPtrArray) corpus
    = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (char **path = paths; path != NULL && *path != NULL; path++)
    if (g_file_test (*path, G_FILE_TEST_IS_DIR))
      add_directory (corpus, *path);
    else
      add_file (corpus, *path);
  if (corpus->len == 0)
    g_ptr_array_add (corpus, g_bytes_new (NULL, 0));
  for (guint i = 0; i < corpus->len; i++)
    {
      gsize size;
      const guint8 *bytes = bytes_of (corpus, i, &size);

      run (bytes, size);
    }
  for (gint64 i = 0; i < n_random; i++)
    run_random (corpus, (guint64) (first + i));
  return 0;
}

/* ---------------------------------------------------------------------- watch */

static void
keep_last (const char *program)
{
  g_autofree char *name = g_path_get_basename (program);
  g_autofree char *path = g_strdup_printf ("%s.%d.input", name, (int) getpid ());
  g_autoptr (GError) error = NULL;

  if (last->index > 0)
    g_printerr ("the input that did it: --seed=%" G_GINT64_FORMAT " --first=%" G_GUINT64_FORMAT
                " --random=1\n",
                seed, last->index);
  if (g_file_set_contents (path, (const char *) last->bytes, (gssize) last->size, &error))
    g_printerr ("it is in the file %s\n", path);
  else
    g_printerr ("%s\n", error->message);
}

/* Waits for the child, as long as it gets anywhere.  Its status. */
static int
watch (pid_t child)
{
  guint64 n_before = 0;
  gint64 since = g_get_monotonic_time ();
  int status;

  while (waitpid (child, &status, WNOHANG) == 0)
    {
      guint64 n = atomic_load (&last->n_runs);

      if (n != n_before)
        since = g_get_monotonic_time ();
      n_before = n;
      if (g_get_monotonic_time () - since > PATIENCE * G_USEC_PER_SEC)
        {
          g_printerr ("an input takes more than %d s\n", PATIENCE);
          kill (child, SIGABRT);
          waitpid (child, &status, 0);
          break;
        }
      g_usleep (2000);
    }
  return status;
}

static const GOptionEntry entries[] = {
  { "random", 0, 0, G_OPTION_ARG_INT64, &n_random, "Random inputs", "N" },
  { "seed", 0, 0, G_OPTION_ARG_INT64, &seed, "Where they come from", "S" },
  { "first", 0, 0, G_OPTION_ARG_INT64, &first, "The first of them", "I" },
  { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &paths, NULL, NULL },
  { 0 }
};

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("[FILE|DIRECTORY]...");
  g_autoptr (GError) error = NULL;
  gint64 begin_us = g_get_monotonic_time ();
  pid_t child;
  int status;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    g_error ("%s", error->message);
  if (seed < 0)
    seed = g_random_int ();
  last = mmap (NULL, sizeof *last, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert (last != MAP_FAILED);

  child = fork ();
  g_assert (child >= 0);
  if (child == 0)
    exit (run_all ());
  status = watch (child);
  if (WIFSIGNALED (status))
    g_printerr ("%s\n", g_strsignal (WTERMSIG (status)));
  g_print ("%" G_GUINT64_FORMAT " inputs in %.1f s, seed %" G_GINT64_FORMAT "\n",
           atomic_load (&last->n_runs), (double) (g_get_monotonic_time () - begin_us) / 1e6, seed);
  g_strfreev (paths);
  if (status == 0)
    return 0;
  keep_last (argv[0]);
  return 1;
}
