/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/output.h"
#include "client/report.h"

#include <unistd.h>

static CliExit
run_print (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  g_autoptr (ShmkvPairs) pairs = NULL;
  g_autoptr (GString) line = g_string_new (NULL);
  guint64 bucket = args->list[0].number;
  gsize n_pairs;

  pairs = shmkv_client_print (context->client, bucket, error);
  if (pairs == NULL)
    return CLI_EXIT_FAILED;

  n_pairs = shmkv_pairs_get_length (pairs);
  for (gsize i = 0; i < n_pairs; i++)
    {
      ShmkvDatum key, value;

      shmkv_pairs_get (pairs, i, &key, &value);
      cli_print_pair (context, &key, &value, 0, line);
    }
  if (!context->quiet && isatty (STDERR_FILENO))
    cli_warn ("keys in bucket %" G_GUINT64_FORMAT " of %u: %" G_GSIZE_FORMAT, bucket,
              shmkv_client_get_n_buckets (context->client), n_pairs);
  return CLI_EXIT_OK;
}

const CliCommand cli_cmd_print = {
  .name = "print",
  .arguments = { { "INDEX" } },
  .summary = "Print what is in a bucket",
  .description = "Prints a line \"KEY VALUE\" for each key in bucket INDEX, which counts from 0.\n"
                 "The server prints the bucket on its own standard output as well.",
  .needs_client = TRUE,
  .run = run_print,
};
