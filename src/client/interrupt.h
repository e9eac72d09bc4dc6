/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ctrl-C for commands that have something to put back before they end. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* From now on SIGINT, SIGTERM and SIGHUP are only noted, the first time: who
 * sends it twice means it.  A reader of standard output that goes away is an
 * error of the writing call instead of the end. */
void cli_interrupt_catch (void);

/* Whether such a signal came.  From any thread. */
gboolean cli_interrupt_caught (void);

/* FALSE with CLI_ERROR_INTERRUPTED if such a signal came. */
gboolean cli_interrupt_check (GError **error);

/* Ends the process by the signal that was noted, so that its parent learns of
 * it; or by SIGPIPE, if `error` (nullable) says that nobody reads standard
 * output.  Returns where there was neither. */
void cli_interrupt_finish (const GError *error);

G_END_DECLS
