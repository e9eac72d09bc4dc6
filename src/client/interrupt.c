/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/interrupt.h"

#include "client/cli.h"

#include <signal.h>
#include <stdatomic.h>

/* The signal that came, or 0.  At file level because a signal handler has
 * nothing else to write to.  Relaxed: nothing is published with it. */
static atomic_int caught;

static void
on_signal (int signum)
{
  /* relaxed: nothing else is read because of it */
  atomic_store_explicit (&caught, signum, memory_order_relaxed);
}

static void
catch_one (int signum)
{
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND };
  struct sigaction old;

  /* Who was started by nohup, or in the background without job control, goes
   * on ignoring it. */
  if (sigaction (signum, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
    return;
  sigemptyset (&action.sa_mask);
  sigaction (signum, &action, NULL);
}

void
cli_interrupt_catch (void)
{
  catch_one (SIGINT);
  catch_one (SIGTERM);
  catch_one (SIGHUP);
  signal (SIGPIPE, SIG_IGN);
}

gboolean
cli_interrupt_caught (void)
{
  /* relaxed: nothing else is read because of it */
  return atomic_load_explicit (&caught, memory_order_relaxed) != 0;
}

gboolean
cli_interrupt_check (GError **error)
{
  if (!cli_interrupt_caught ())
    return TRUE;
  g_set_error_literal (error, CLI_ERROR, CLI_ERROR_INTERRUPTED, "interrupted");
  return FALSE;
}

static void
die_by (int signum)
{
  signal (signum, SIG_DFL);
  raise (signum);
}

void
cli_interrupt_finish (const GError *error)
{
  /* relaxed: nothing else is read because of it */
  int signum = atomic_load_explicit (&caught, memory_order_relaxed);

  if (signum != 0)
    die_by (signum);
  if (g_error_matches (error, CLI_ERROR, CLI_ERROR_PIPE))
    die_by (SIGPIPE);
}
