/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keeps a list of visitors under one key: byte strings, a time to live, and
 * changes that depend on what is there.
 *
 *   cc -o strings strings.c $(pkg-config --cflags --libs shmkv)
 *   shmkv-server --buckets=5000 &
 *   ./strings alice
 *   ./strings bob
 *   shmkv-client quit
 *
 * However many of these run at the same moment, none is forgotten: each changes
 * the list only if it still is as it was read, and else reads it again. */

#include <shmkv/shmkv.h>

#include <stdio.h>
#include <stdlib.h>

#define KEY "example:visitors"

/* The list is forgotten ten minutes after it was begun or changed. */
#define TTL_MS (10 * 60 * 1000)

/* Begins an empty list, unless there is one. */
static gboolean
begin (ShmkvClient *client, GError **error)
{
  ShmkvRequest request = {
    .op = SHMKV_OP_INSERT,
    .flags = SHMKV_FLAG_IF_ABSENT | SHMKV_FLAG_TTL,
    .key = shmkv_string (KEY),
    .value = shmkv_string (""),
    .ttl_ms = TTL_MS,
  };
  ShmkvCompletion completion;

  /* That the list is there, SHMKV_STATUS_MISMATCH, is an answer, not an error.
   * This one owns nothing that had to be cleared. */
  return shmkv_client_call (client, &request, &completion, error);
}

/* Gets the list, and which version of it that is. */
static gboolean
read_list (ShmkvClient *client, char **list_out, guint64 *version_out, GError **error)
{
  ShmkvRequest request
    = { .op = SHMKV_OP_READ, .flags = SHMKV_FLAG_VERSION, .key = shmkv_string (KEY) };
  ShmkvCompletion completion;

  if (!shmkv_client_call (client, &request, &completion, error))
    return FALSE;
  *version_out = completion.version;
  /* Others may have put an integer there, or have deleted it; byte strings are
   * not terminated. */
  *list_out = completion.bytes != NULL ? g_strndup (g_bytes_get_data (completion.bytes, NULL),
                                                    g_bytes_get_size (completion.bytes))
                                       : g_strdup ("");
  shmkv_completion_clear (&completion);
  return TRUE;
}

/* Replaces that version of the list, or none. */
static gboolean
replace_list (ShmkvClient *client, const char *list, guint64 version, gboolean *replaced_out,
              GError **error)
{
  ShmkvRequest request = {
    .op = SHMKV_OP_INSERT,
    .flags = SHMKV_FLAG_IF_VERSION | SHMKV_FLAG_TTL,
    .key = shmkv_string (KEY),
    .value = shmkv_string (list),
    .version = version,
    .ttl_ms = TTL_MS,
  };
  ShmkvCompletion completion;

  if (!shmkv_client_call (client, &request, &completion, error))
    return FALSE;
  *replaced_out = completion.status != SHMKV_STATUS_MISMATCH;
  return TRUE;
}

/* Adds a name to the list; returns what it is then. */
static char *
add (ShmkvClient *client, const char *name, GError **error)
{
  for (;;)
    {
      g_autofree char *old_list = NULL, *new_list = NULL;
      guint64 version;
      gboolean replaced;

      if (!read_list (client, &old_list, &version, error))
        return NULL;
      new_list = g_strconcat (old_list, *old_list != '\0' ? " " : "", name, NULL);
      if (!replace_list (client, new_list, version, &replaced, error))
        return NULL;
      if (replaced)
        return g_steal_pointer (&new_list);
      /* Somebody was faster. */
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (ShmkvClient) client = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *list = NULL;

  client = shmkv_client_new (NULL, &error);
  if (client != NULL && begin (client, &error))
    list = add (client, argc > 1 ? argv[1] : "somebody", &error);
  if (list == NULL)
    {
      fprintf (stderr, "strings: %s\n", error->message);
      return EXIT_FAILURE;
    }
  printf ("%s\n", list);
  return EXIT_SUCCESS;
}
