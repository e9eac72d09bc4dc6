/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* check [--limit=N] FILE...: whether what recorders wrote about one server, from
 * its start on, can be explained, key by key and session by session: see check.c.
 *
 * Says what was checked, in one line, and before that what is wrong. */

#include "config.h"

#include "set.h"

#include <stdio.h>
#include <stdlib.h>

static gint64 limit;
static char **files;

static const GOptionEntry entries[] = {
  { "limit", 0, 0, G_OPTION_ARG_INT64, &limit, NULL, NULL },
  { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &files, NULL, NULL },
  { NULL, 0, 0, 0, NULL, NULL, NULL }
};

static void
require (gboolean done, GError *error)
{
  if (done)
    return;
  fprintf (stderr, "check: %s\n", error != NULL ? error->message : "which histories?");
  exit (2);
}

static void
report (const HistoryCounts *counts, const HistoryChecker *checker, double seconds)
{
  printf ("checked %" G_GUINT64_FORMAT ", pending %" G_GUINT64_FORMAT ", sessions %"
          G_GUINT64_FORMAT ", keys %" G_GUINT64_FORMAT ", steps back %" G_GUINT64_FORMAT
          ", seconds %.2f, undecided %" G_GUINT64_FORMAT ", wrong %" G_GUINT64_FORMAT "\n",
          counts->n_ops, counts->n_pending, counts->n_sessions, counts->n_keys,
          history_checker_get_failures (checker), seconds, counts->n_undecided, counts->n_wrong);
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (HistoryChecker) checker = history_checker_new ();
  g_autoptr (HistorySet) set = history_set_new ();
  g_autoptr (GString) text = g_string_new (NULL);
  gint64 begin = g_get_monotonic_time ();
  HistoryCounts counts;
  GError *error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  require (g_option_context_parse (context, &argc, &argv, &error), error);
  require (files != NULL, NULL);
  history_checker_set_limit (checker, (guint64) limit);
  for (guint i = 0; files[i] != NULL; i++)
    require (history_set_add_file (set, files[i], &error), error);
  history_set_check (set, checker, &counts, text);
  fputs (text->str, stdout);
  report (&counts, checker, (double) (g_get_monotonic_time () - begin) / 1e6);
  g_strfreev (files);
  return counts.n_wrong == 0 && counts.n_undecided == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
