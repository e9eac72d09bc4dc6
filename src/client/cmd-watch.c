/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/args.h"
#include "client/cli.h"
#include "client/json.h"
#include "client/output.h"
#include "client/report.h"
#include "client/word.h"

typedef struct
{
  guint64 count;
} WatchOptions;

static const char *
get_change_name (guint64 change)
{
  switch ((ShmkvChange) change)
    {
    case SHMKV_CHANGE_SET:
      return "set";
    case SHMKV_CHANGE_DELETED:
      return "deleted";
    case SHMKV_CHANGE_EXPIRED:
      return "expired";
    case SHMKV_CHANGE_EVICTED:
      return "evicted";
    }
  return "unknown";
}

static void
print_change (const CliContext *context, const ShmkvDatum *key, const char *change, GString *line)
{
  if (context->json)
    {
      cli_json_open (line);
      cli_json_add_string (line, "change", change);
      cli_json_add_datum (line, "key", key);
      cli_print_json (context, line);
      return;
    }
  g_string_append_printf (line, "%s ", change);
  cli_word_append (line, key);
  g_string_append_c (line, '\n');
  cli_print_bytes (context, line->str, line->len);
  g_string_truncate (line, 0);
}

static gsize
print_changes (const CliContext *context, const ShmkvPairs *changes, guint64 max)
{
  gsize n = MIN (shmkv_pairs_get_length (changes), max);
  g_autoptr (GString) line = g_string_new (NULL);

  for (gsize i = 0; i < n; i++)
    {
      ShmkvDatum key, change;

      shmkv_pairs_get (changes, i, &key, &change);
      print_change (context, &key, get_change_name (change.integer), line);
    }
  return n;
}

/* Not to be silent about: who keeps a copy has to read the keys anew. */
static void
print_missed (const CliContext *context)
{
  g_autoptr (GString) line = g_string_new (NULL);

  cli_warn ("changes were missed here: they came faster than they were read");
  if (!context->json)
    return;
  cli_json_open (line);
  cli_json_add_string (line, "change", "missed");
  cli_print_json (context, line);
}

static gboolean
watch_all (const CliContext *context, ShmkvWatch *watch, guint64 max, GError **error)
{
  guint64 n = 0;

  while (n < max)
    {
      g_autoptr (ShmkvPairs) changes = NULL;
      gboolean missed = FALSE;

      if (!shmkv_watch_next (watch, -1, &changes, &missed, error))
        return FALSE;
      if (missed)
        print_missed (context);
      if (changes != NULL)
        n += print_changes (context, changes, max - n);
      if (!cli_output_flush (error))
        return FALSE;
    }
  return TRUE;
}

static CliExit
run_watch (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const WatchOptions *given = options;
  const ShmkvDatum *prefix = args->n > 0 ? &args->list[0].datum : NULL;
  g_autoptr (ShmkvWatch) watch = shmkv_watch_new (context->client, prefix, error);

  if (watch == NULL)
    return CLI_EXIT_FAILED;
  /* For scripts too: from here on, nothing is missed. */
  cli_note (context, "watching");
  return watch_all (context, watch, given->count, error) ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

static const WatchOptions defaults = { .count = G_MAXUINT64 };

static const CliOption watch_options[] = {
  { "count", 'c', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (WatchOptions, count), "N",
    "end after N changes", 1, G_MAXUINT64 },
  { NULL }
};

const CliCommand cli_cmd_watch = {
  .name = "watch",
  .arguments = { { "PREFIX", CLI_ARGUMENT_PREFIX, .optional = TRUE } },
  .summary = "Print what changes",
  .description =
    "Prints a line \"set KEY\", \"deleted KEY\", \"expired KEY\" or \"evicted KEY\" for each\n"
    "change, keys as scan prints them, until it is interrupted; with PREFIX only for\n"
    "keys that are strings and begin with it.  Says \"watching\" on standard error\n"
    "when it has begun, and that changes were missed where they came too fast.",
  .needs_client = TRUE,
  .options = watch_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .run = run_watch,
};
