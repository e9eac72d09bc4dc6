/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/args.h"
#include "client/cli.h"
#include "client/output.h"
#include "client/progress.h"

#include <string.h>
#include <unistd.h>

typedef struct
{
  gboolean keys_only;
  gboolean integers;
  gboolean strings;
  guint64 limit;
} ScanOptions;

static gboolean
check_scan (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const ScanOptions *given = options;

  if (!given->integers || (!given->strings && args->n == 0))
    return TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "--integers and %s leave no keys",
               given->strings ? "--strings" : "a prefix, which only strings have,");
  return FALSE;
}

static ShmkvScan *
new_scan (const CliContext *context, const CliArgs *args, const ScanOptions *given)
{
  ShmkvScanFlags flags = (given->keys_only ? SHMKV_SCAN_KEYS_ONLY : 0)
                         | (given->integers ? SHMKV_SCAN_INTEGER_KEYS : 0)
                         | (given->strings || args->n > 0 ? SHMKV_SCAN_BYTES_KEYS : 0);
  const ShmkvDatum *prefix = args->n > 0 ? &args->list[0].datum : NULL;

  return shmkv_scan_new (context->client, prefix != NULL && prefix->length > 0 ? prefix : NULL,
                         flags);
}

/* Prints up to `max` of them. */
static gsize
print_pairs (const CliContext *context, const ShmkvPairs *pairs, guint64 max)
{
  gsize n = MIN (shmkv_pairs_get_length (pairs), max);
  g_autoptr (GString) line = g_string_new (NULL);

  for (gsize i = 0; i < n; i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (pairs, i, &key, &value);
      cli_print_pair (context, &key, &value, shmkv_pairs_get_ttl (pairs, i), line);
    }
  return n;
}

static gboolean
scan_all (const CliContext *context, ShmkvScan *scan, guint64 limit, CliProgress *progress,
          GError **error)
{
  guint64 n = 0;

  while (n < limit)
    {
      g_autoptr (ShmkvPairs) pairs = NULL;

      if (!shmkv_scan_next (scan, &pairs, error))
        return FALSE;
      if (pairs == NULL)
        return TRUE;
      n += print_pairs (context, pairs, limit - n);
      if (!cli_output_flush (error))
        return FALSE;
      if (cli_progress_is_due (progress))
        cli_progress_draw (progress, "%" G_GUINT64_FORMAT " keys", n);
    }
  return TRUE;
}

static CliExit
run_scan (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const ScanOptions *given = options;
  g_autoptr (ShmkvScan) scan = new_scan (context, args, given);
  CliProgress progress = cli_progress_start (context);
  gboolean done;

  progress.enabled &= !isatty (STDOUT_FILENO);
  done = scan_all (context, scan, given->limit, &progress, error);
  cli_progress_clear (&progress);
  return done ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

static const ScanOptions defaults = { .limit = G_MAXUINT64 };

static const CliOption scan_options[] = {
  { "keys-only", 'k', CLI_OPTION_FLAG, G_STRUCT_OFFSET (ScanOptions, keys_only), NULL,
    "print keys without their values" },
  { "integers", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (ScanOptions, integers), NULL,
    "only keys that are integers" },
  { "strings", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (ScanOptions, strings), NULL,
    "only keys that are strings" },
  { "limit", 'l', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (ScanOptions, limit), "N",
    "stop after N keys", 1, G_MAXUINT64 },
  { NULL }
};

const CliCommand cli_cmd_scan = {
  .name = "scan",
  .aliases = { "list" },
  .arguments = { { "PREFIX", CLI_ARGUMENT_PREFIX, .optional = TRUE } },
  .summary = "Print all keys and values",
  .description =
    "Prints a line \"KEY VALUE\" for each key, in no order; with PREFIX only those that\n"
    "are strings and begin with it.  Integers are their digits.  A string stands in\n"
    "quotes, and in it, what is not printable ASCII, and quotes and spaces, as \\xx,\n"
    "a backslash as \\\\.  --escaped takes keys in this form.",
  .needs_client = TRUE,
  .options = scan_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .check = check_scan,
  .run = run_scan,
};
