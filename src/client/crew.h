/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Threads that begin together, are timed together, and give up together. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _CliCrew CliCrew;

/* What one thread does.  Looks at cli_crew_should_stop() now and then.  Returns
 * FALSE and sets `error` when it fails: the others are then to stop. */
typedef gboolean (*CliCrewFunc) (CliCrew *crew, gpointer data, GError **error);

typedef struct
{
  CliCrewFunc func;
  gpointer data;
} CliCrewTask;

/* Runs each of `tasks` in a thread of its own, all from the same moment on, and
 * waits for all of them.  `*ns_out` is the time until the last one was ready.
 * Of several errors the first is reported.  If `stop_at_signal`, a signal that
 * was caught (see interrupt.h) makes the threads stop too, and is an error. */
gboolean cli_crew_run (const CliCrewTask *tasks, guint n_tasks, gboolean stop_at_signal,
                       gint64 *ns_out, GError **error);

/* Whether one of the threads failed, or a signal came.  From any thread. */
gboolean cli_crew_should_stop (CliCrew *crew);

G_END_DECLS
