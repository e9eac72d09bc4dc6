/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/json.h"
#include "client/output.h"

/* The name of statistic `index`, and its value. */
static char *
get_statistic (const ShmkvPairs *pairs, gsize index, ShmkvDatum *value_out)
{
  ShmkvDatum name;

  shmkv_pairs_get (pairs, index, &name, value_out);
  return g_utf8_make_valid ((const char *) name.bytes, name.length);
}

static int
find_width (const ShmkvPairs *pairs)
{
  gsize n_pairs = shmkv_pairs_get_length (pairs);
  gsize width = 0;

  for (gsize i = 0; i < n_pairs; i++)
    {
      ShmkvDatum name;

      shmkv_pairs_get (pairs, i, &name, NULL);
      width = MAX (width, name.length);
    }
  return MIN (width, 60);
}

static void
print_text (const CliContext *context, const ShmkvPairs *pairs)
{
  gsize n_pairs = shmkv_pairs_get_length (pairs);
  int width = find_width (pairs);

  for (gsize i = 0; i < n_pairs; i++)
    {
      ShmkvDatum value;
      g_autofree char *name = get_statistic (pairs, i, &value);
      g_autoptr (GString) text = g_string_new (NULL);

      cli_text_append_datum (text, &value);
      cli_print (context, "%-*s %s\n", width, name, text->str);
    }
}

static void
print_json (const CliContext *context, const ShmkvPairs *pairs)
{
  gsize n_pairs = shmkv_pairs_get_length (pairs);
  g_autoptr (GString) line = g_string_new (NULL);

  cli_json_open (line);
  for (gsize i = 0; i < n_pairs; i++)
    {
      ShmkvDatum value;
      g_autofree char *name = get_statistic (pairs, i, &value);

      cli_json_add_datum (line, name, &value);
    }
  cli_print_json (context, line);
}

static CliExit
run_stats (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  g_autoptr (ShmkvPairs) pairs = shmkv_client_stats (context->client, error);

  if (pairs == NULL)
    return CLI_EXIT_FAILED;
  if (context->json)
    print_json (context, pairs);
  else
    print_text (context, pairs);
  return CLI_EXIT_OK;
}

const CliCommand cli_cmd_stats = {
  .name = "stats",
  .summary = "Print the server's statistics",
  .description = "Prints a line \"NAME VALUE\" for each, with --json one object for all.",
  .needs_client = TRUE,
  .run = run_stats,
};
