/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/flow.h"

/* How often to let others run before going to sleep: being woken takes longer
 * than half a window. */
#define YIELDS 100

void
cli_flow_init (CliFlow *flow, guint window)
{
  *flow = (CliFlow) { .window = window };
  g_mutex_init (&flow->mutex);
  g_cond_init (&flow->moved);
}

void
cli_flow_clear (CliFlow *flow)
{
  g_cond_clear (&flow->moved);
  g_mutex_clear (&flow->mutex);
}

guint
cli_flow_get_room (CliFlow *flow, guint64 n_submitted)
{
  guint in_flight = (guint) n_submitted - (guint) g_atomic_int_get (&flow->taken);

  return in_flight < flow->window ? flow->window - in_flight : 0;
}

static gboolean
may_go_on (CliFlow *flow, guint64 n_submitted)
{
  return cli_flow_get_room (flow, n_submitted) > flow->window / 2 || cli_flow_is_aborted (flow);
}

static void
sleep_until_moved (CliFlow *flow, guint64 n_submitted)
{
  g_mutex_lock (&flow->mutex);
  flow->waiting_at = n_submitted;
  /* Set, then look once more: a full barrier each, like those in wake(). */
  g_atomic_int_set (&flow->is_waiting, TRUE);
  while (!may_go_on (flow, n_submitted))
    g_cond_wait (&flow->moved, &flow->mutex);
  g_atomic_int_set (&flow->is_waiting, FALSE);
  g_mutex_unlock (&flow->mutex);
}

gboolean
cli_flow_wait (CliFlow *flow, guint64 n_submitted)
{
  for (guint i = 0; i < YIELDS && !may_go_on (flow, n_submitted); i++)
    g_thread_yield ();
  if (!may_go_on (flow, n_submitted))
    sleep_until_moved (flow, n_submitted);
  return !cli_flow_is_aborted (flow);
}

/* After the change that the sleeper waits for; pairs with sleep_until_moved(). */
static void
wake (CliFlow *flow)
{
  if (!g_atomic_int_get (&flow->is_waiting))
    return;
  g_mutex_lock (&flow->mutex);
  if (may_go_on (flow, flow->waiting_at))
    g_cond_signal (&flow->moved);
  g_mutex_unlock (&flow->mutex);
}

void
cli_flow_took (CliFlow *flow, guint n)
{
  g_atomic_int_add ((gint *) &flow->taken, (gint) n);
  wake (flow);
}

void
cli_flow_finish (CliFlow *flow, guint64 n_submitted)
{
  flow->n_submitted = n_submitted;
  g_atomic_int_set (&flow->is_finished, TRUE);
}

gboolean
cli_flow_is_over (CliFlow *flow, guint64 n_taken)
{
  return g_atomic_int_get (&flow->is_finished) && n_taken == flow->n_submitted;
}

void
cli_flow_abort (CliFlow *flow)
{
  g_atomic_int_set (&flow->is_aborted, TRUE);
  wake (flow);
}

gboolean
cli_flow_is_aborted (CliFlow *flow)
{
  return g_atomic_int_get (&flow->is_aborted);
}
