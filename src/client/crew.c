/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/crew.h"

#include "client/clock.h"
#include "client/interrupt.h"

struct _CliCrew
{
  GMutex mutex;
  GCond opened;
  gboolean is_open;        /* under `mutex`: the threads may begin */
  GError *error;           /* under `mutex`: the first one */
  gint failed;             /* atomic: there is an error */
  gboolean stop_at_signal;
};

typedef struct
{
  CliCrew *crew;
  const CliCrewTask *task;
  GThread *thread;
  gint64 end_ns;
} Member;

static void
wait_until_open (CliCrew *crew)
{
  g_mutex_lock (&crew->mutex);
  while (!crew->is_open)
    g_cond_wait (&crew->opened, &crew->mutex);
  g_mutex_unlock (&crew->mutex);
}

static void
open_gate (CliCrew *crew)
{
  g_mutex_lock (&crew->mutex);
  crew->is_open = TRUE;
  g_cond_broadcast (&crew->opened);
  g_mutex_unlock (&crew->mutex);
}

static void
take_error (CliCrew *crew, GError *error)
{
  g_mutex_lock (&crew->mutex);
  if (crew->error == NULL)
    crew->error = error;
  else
    g_error_free (error);
  g_atomic_int_set (&crew->failed, TRUE);
  g_mutex_unlock (&crew->mutex);
}

static gpointer
run_member (gpointer data)
{
  Member *member = data;
  CliCrew *crew = member->crew;
  GError *error = NULL;

  wait_until_open (crew);
  if (!cli_crew_should_stop (crew) && !member->task->func (crew, member->task->data, &error))
    take_error (crew, error);
  member->end_ns = cli_clock_ns ();
  return NULL;
}

/* Those that could not be started have no thread. */
static void
start_members (CliCrew *crew, Member *members, const CliCrewTask *tasks, guint n_tasks)
{
  for (guint i = 0; i < n_tasks; i++)
    {
      GError *error = NULL;

      members[i] = (Member) { .crew = crew, .task = &tasks[i] };
      members[i].thread = g_thread_try_new ("crew", run_member, &members[i], &error);
      if (members[i].thread == NULL)
        take_error (crew, error);
    }
}

static gint64
join_members (Member *members, guint n_members)
{
  gint64 end_ns = 0;

  for (guint i = 0; i < n_members; i++)
    {
      if (members[i].thread == NULL)
        continue;
      g_thread_join (members[i].thread);
      end_ns = MAX (end_ns, members[i].end_ns);
    }
  return end_ns;
}

gboolean
cli_crew_run (const CliCrewTask *tasks, guint n_tasks, gboolean stop_at_signal, gint64 *ns_out,
              GError **error)
{
  CliCrew crew = { .stop_at_signal = stop_at_signal };
  g_autofree Member *members = g_new (Member, n_tasks);
  gint64 start_ns;

  g_mutex_init (&crew.mutex);
  g_cond_init (&crew.opened);
  start_members (&crew, members, tasks, n_tasks);
  start_ns = cli_clock_ns ();
  open_gate (&crew);
  *ns_out = join_members (members, n_tasks) - start_ns;
  g_cond_clear (&crew.opened);
  g_mutex_clear (&crew.mutex);

  if (crew.error == NULL)
    return !stop_at_signal || cli_interrupt_check (error);
  g_propagate_error (error, crew.error);
  return FALSE;
}

gboolean
cli_crew_should_stop (CliCrew *crew)
{
  return g_atomic_int_get (&crew->failed) || (crew->stop_at_signal && cli_interrupt_caught ());
}
