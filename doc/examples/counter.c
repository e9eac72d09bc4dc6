/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Counts how often it was run: the blocking calls of libshmkv.
 *
 *   cc -o counter counter.c $(pkg-config --cflags --libs shmkv)
 *   shmkv-server --buckets=5000 &
 *   ./counter
 *   ./counter
 *   shmkv-client quit
 *
 * An argument is the key to count under, in place of 1.
 *
 * Two of these that run at the same moment may both read the same number, and
 * one run is then not counted: read and insert are two requests. */

#include <shmkv/shmkv.h>

#include <stdio.h>
#include <stdlib.h>

/* Adds one to the number under `key`. */
static gboolean
count (ShmkvClient *client, guint64 key, guint64 *total_out, GError **error)
{
  guint64 total = 0;
  gboolean found;

  /* That there is no such key is an answer, not an error; `total` is then
   * untouched. */
  if (!shmkv_client_read (client, key, &total, &found, error))
    return FALSE;

  *total_out = total + 1;
  return shmkv_client_insert (client, key, *total_out, NULL, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (ShmkvClient) client = NULL;
  g_autoptr (GError) error = NULL;
  guint64 key = 1, total;

  if (argc > 1 && !g_ascii_string_to_unsigned (argv[1], 10, 0, G_MAXUINT64, &key, &error))
    {
      fprintf (stderr, "counter: %s\n", error->message);
      return EXIT_FAILURE;
    }

  /* NULL: the server that $SHMKV_NAME names, or the one named "default". */
  client = shmkv_client_new (NULL, &error);
  if (client == NULL || !count (client, key, &total, &error))
    {
      /* Its message is for people; error->code tells programs what went wrong,
       * such as SHMKV_ERROR_NO_SERVER or SHMKV_ERROR_TIMEOUT. */
      fprintf (stderr, "counter: %s\n", error->message);
      return EXIT_FAILURE;
    }

  printf ("%" G_GUINT64_FORMAT "\n", total);
  return EXIT_SUCCESS;
}
