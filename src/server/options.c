/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/options.h"

#include "server/table.h"
#include "transport/name.h"
#include "transport/wait.h"
#include "wire/layout.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_WORKERS 64
#define LIMIT_WORKERS 1024
#define DEFAULT_SESSIONS 64
#define DEFAULT_RING_SIZE (64u << 10)
#define MAX_SPIN_US 1000000
#define MAX_MEMORY (G_GUINT64_CONSTANT (1) << 62)

#define VERSION_TEXT \
  "shmkv-server (shmkv) " PACKAGE_VERSION "\n" \
  "License LGPL-2.1-or-later: GNU Lesser General Public License, version 2.1 or later.\n" \
  "This is free software: you are free to change and redistribute it.\n" \
  "There is NO WARRANTY, to the extent permitted by law.\n"

static gboolean
fail (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
fail (GError **error, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  g_propagate_error (error,
                     g_error_new_valist (G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format, arguments));
  va_end (arguments);
  return FALSE;
}

static gboolean
parse_number (const char *option, const char *text, guint min, guint max, guint *number_out,
              GError **error)
{
  guint64 number;

  if (!g_ascii_string_to_unsigned (text, 10, min, max, &number, NULL))
    return fail (error, "invalid %s \"%s\": it takes a whole number from %u to %u", option, text,
                 min, max);
  *number_out = (guint) number;
  return TRUE;
}

/* A number of bytes up to `max`, with K, M or G behind it for multiples of 1024. */
static gboolean
parse_bytes (const char *text, guint64 max, guint64 *bytes_out)
{
  static const char units[] = "KMG";
  g_autofree char *digits = g_strdup (text);
  gsize length = strlen (digits);
  const char *unit = length > 0 ? strchr (units, g_ascii_toupper (digits[length - 1])) : NULL;
  guint shift = 0;
  guint64 number;

  if (unit != NULL)
    {
      shift = (guint) (unit - units + 1) * 10;
      digits[length - 1] = '\0';
    }
  if (!g_ascii_string_to_unsigned (digits, 10, 0, max >> shift, &number, NULL))
    return FALSE;
  *bytes_out = number << shift;
  return TRUE;
}

static gboolean
parse_ring_size (const char *text, guint *size_out, GError **error)
{
  guint64 size;

  if (!parse_bytes (text, SHMKV_WIRE_MAX_RING_SIZE, &size)
      || !shmkv_geometry_is_valid (
        (ShmkvGeometry) { .sessions = 1, .ring_size = (uint32_t) size }))
    return fail (error, "invalid --ring-size \"%s\": it takes a power of two from 4K to 1G", text);
  *size_out = (guint) size;
  return TRUE;
}

static gboolean
parse_max_memory (const char *text, guint64 *size_out, GError **error)
{
  return parse_bytes (text, MAX_MEMORY, size_out)
         || fail (error, "invalid --max-memory \"%s\": it takes a number of bytes, with K, M or G "
                         "behind it for more; 0 is no limit", text);
}

static gboolean
parse_max_value (const char *text, guint64 *size_out, GError **error)
{
  return (parse_bytes (text, SHMKV_WIRE_MAX_VALUE_SIZE, size_out) && *size_out > 0)
         || fail (error, "invalid --max-value \"%s\": it takes a number of bytes from 1 to 512M",
                  text);
}

static gboolean
parse_evict (const char *text, gboolean *evict_out, GError **error)
{
  if (strcmp (text, "none") != 0 && strcmp (text, "lru") != 0)
    return fail (error, "invalid --evict \"%s\": it takes none or lru", text);
  *evict_out = text[0] == 'l';
  return TRUE;
}

static gboolean
parse_mode (const char *text, mode_t *mode_out, GError **error)
{
  guint64 mode;

  /* Clients write requests, so to let somebody read is to let him write. */
  if (!g_ascii_string_to_unsigned (text, 8, 0, 0777, &mode, NULL)
      || (mode != 0600 && mode != 0660 && mode != 0666))
    return fail (error, "invalid --mode \"%s\": 0600 is for the owner alone, 0660 for a group, 0666 "
                        "for everyone", text);
  *mode_out = (mode_t) mode;
  return TRUE;
}

static gboolean
parse_group (const char *text, gid_t *group_out, GError **error)
{
  const struct group *entry;
  guint64 number;

  if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32 - 1, &number, NULL))
    {
      *group_out = (gid_t) number;
      return TRUE;
    }
  entry = getgrnam (text);
  if (entry == NULL)
    return fail (error, "invalid --group \"%s\": there is no such group", text);
  *group_out = entry->gr_gid;
  return TRUE;
}

/* The options as they were given, so that what is wrong with them can be said
 * well: GOption's own integers are signed, its strings must be valid in the
 * locale, and its messages name no limits. */
typedef struct
{
  char *name;
  char *buckets;
  char *workers;
  char *max_workers;
  char *sessions;
  char *ring_size;
  char *max_memory;
  char *evict;
  char *max_value;
  char *mode;
  char *group;
  char *spin;
} Texts;

static gboolean
parse_numbers (const Texts *texts, ShmkvOptions *options, GError **error)
{
  ShmkvServerOptions *server = &options->server;
  guint spin_us = SHMKV_SPIN_DEFAULT_NS / 1000;

  options->has_buckets = texts->buckets != NULL;
  server->buckets = SHMKV_TABLE_DEFAULT_BUCKETS;
  server->workers = 1;
  server->max_workers = DEFAULT_MAX_WORKERS;
  server->sessions = DEFAULT_SESSIONS;
  server->ring_size = DEFAULT_RING_SIZE;
  if ((texts->buckets != NULL
       && !parse_number ("--buckets", texts->buckets, SHMKV_TABLE_MIN_BUCKETS,
                         SHMKV_TABLE_MAX_BUCKETS, &server->buckets, error))
      || (texts->workers != NULL
          && !parse_number ("--workers", texts->workers, 1, LIMIT_WORKERS, &server->workers, error))
      || (texts->max_workers != NULL
          && !parse_number ("--max-workers", texts->max_workers, 1, LIMIT_WORKERS,
                            &server->max_workers, error))
      || (texts->sessions != NULL
          && !parse_number ("--sessions", texts->sessions, SHMKV_WIRE_MIN_SESSIONS,
                            SHMKV_WIRE_MAX_SESSIONS, &server->sessions, error))
      || (texts->ring_size != NULL
          && !parse_ring_size (texts->ring_size, &server->ring_size, error))
      || (texts->spin != NULL
          && !parse_number ("--spin", texts->spin, 0, MAX_SPIN_US, &spin_us, error)))
    return FALSE;
  server->spin_ns = (gint64) spin_us * 1000;
  if (server->workers > server->max_workers)
    return fail (error, "--workers=%u is more than --max-workers=%u", server->workers,
                 server->max_workers);
  return TRUE;
}

static gboolean
parse_memory (const Texts *texts, ShmkvServerOptions *server, GError **error)
{
  server->max_value = SHMKV_WIRE_DEFAULT_MAX_VALUE;
  if ((texts->max_memory != NULL
       && !parse_max_memory (texts->max_memory, &server->max_memory, error))
      || (texts->evict != NULL && !parse_evict (texts->evict, &server->evict, error))
      || (texts->max_value != NULL && !parse_max_value (texts->max_value, &server->max_value, error)))
    return FALSE;
  if (server->evict && server->max_memory == 0)
    return fail (error, "--evict=lru needs a limit: give --max-memory, too");
  return TRUE;
}

static gboolean
parse_texts (const Texts *texts, ShmkvOptions *options, GError **error)
{
  ShmkvServerOptions *server = &options->server;

  server->name = shmkv_name_resolve (texts->name);
  if (!shmkv_name_is_valid (server->name))
    {
      g_autofree char *shown = g_strescape (server->name, NULL);

      return fail (error, "invalid server name \"%.80s\": a name is " SHMKV_NAME_RULE, shown);
    }
  server->mode = 0600;
  server->group = (gid_t) -1;
  return parse_numbers (texts, options, error) && parse_memory (texts, server, error)
         && (texts->mode == NULL || parse_mode (texts->mode, &server->mode, error))
         && (texts->group == NULL || parse_group (texts->group, &server->group, error));
}

gboolean
shmkv_options_parse (int *argc, char ***argv, ShmkvOptions *options_out, GError **error)
{
  /* Not freed: the name is used as long as the server runs. */
  static Texts texts;
  gboolean show_help = FALSE, show_version = FALSE;
  const GOptionEntry entries[] = {
    { "name", 'n', 0, G_OPTION_ARG_FILENAME, &texts.name,
      "Name of the server (default: $SHMKV_NAME, or \"default\")", "NAME" },
    { "buckets", 'b', 0, G_OPTION_ARG_FILENAME, &texts.buckets,
      "Buckets of the hash table; asked for on a terminal (default: 5000)", "N" },
    { "workers", 'w', 0, G_OPTION_ARG_FILENAME, &texts.workers,
      "Workers to start with (default: 1)", "N" },
    { "max-workers", 0, 0, G_OPTION_ARG_FILENAME, &texts.max_workers,
      "Most workers that ThStart can bring it to (default: 64)", "N" },
    { "sessions", 's', 0, G_OPTION_ARG_FILENAME, &texts.sessions,
      "Sessions that clients can have open at once (default: 64)", "N" },
    { "ring-size", 0, 0, G_OPTION_ARG_FILENAME, &texts.ring_size,
      "Size of a session's two rings, a power of two (default: 64K)", "SIZE" },
    { "max-memory", 0, 0, G_OPTION_ARG_FILENAME, &texts.max_memory,
      "Most memory that the table takes (default: no limit)", "SIZE" },
    { "evict", 0, 0, G_OPTION_ARG_FILENAME, &texts.evict,
      "What makes room at that limit: none or lru (default: none)", "HOW" },
    { "max-value", 0, 0, G_OPTION_ARG_FILENAME, &texts.max_value,
      "Longest value that is taken (default: 1M)", "SIZE" },
    { "mode", 0, 0, G_OPTION_ARG_FILENAME, &texts.mode,
      "Who may use the server: 0600, 0660 or 0666 (default: 0600)", "MODE" },
    { "group", 0, 0, G_OPTION_ARG_FILENAME, &texts.group,
      "Group of the shared memory, for --mode=0660", "GROUP" },
    { "spin", 0, 0, G_OPTION_ARG_FILENAME, &texts.spin,
      "Longest time to spin before sleeping, in microseconds (default: 100)", "USEC" },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &show_help, "Show this help", NULL },
    { "version", 'V', 0, G_OPTION_ARG_NONE, &show_version, "Show the version", NULL },
    { 0 }
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  *options_out = (ShmkvOptions) { 0 };
  /* GOption's own help does not look whether it could be written. */
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_summary (context,
                                "A key-value server for the processes of one machine, over shared "
                                "memory.");
  g_option_context_set_description (context,
                                    "Clients: shmkv-client(1), or the library, libshmkv(3).\n"
                                    "Stop it with SIGTERM, or with 'shmkv-client quit'.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (show_help)
    options_out->text = g_option_context_get_help (context, TRUE, NULL);
  else if (show_version)
    options_out->text = g_strdup (VERSION_TEXT);
  if (options_out->text != NULL)
    return TRUE;
  if (*argc > 1)
    return fail (error, "unexpected argument \"%s\"", (*argv)[1]);
  return parse_texts (&texts, options_out, error);
}

guint
shmkv_options_ask_buckets (void)
{
  guint buckets = SHMKV_TABLE_DEFAULT_BUCKETS;
  char *line = NULL;
  size_t size = 0;

  for (;;)
    {
      fprintf (stderr, "Number of buckets [%u]: ", SHMKV_TABLE_DEFAULT_BUCKETS);
      if (getline (&line, &size, stdin) < 0)
        {
          fputc ('\n', stderr);
          break;
        }
      g_strstrip (line);
      if (line[0] == '\0'
          || parse_number ("answer", line, SHMKV_TABLE_MIN_BUCKETS, SHMKV_TABLE_MAX_BUCKETS, &buckets,
                           NULL))
        break;
      fprintf (stderr, "Please enter a whole number from %u to %u, or nothing for %u.\n",
               SHMKV_TABLE_MIN_BUCKETS, SHMKV_TABLE_MAX_BUCKETS, SHMKV_TABLE_DEFAULT_BUCKETS);
    }
  free (line);
  return buckets;
}
