/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How far the thread that submits may be ahead of the thread that takes the
 * responses: by a window of requests.
 *
 * The submitting thread calls cli_flow_wait() and cli_flow_finish(), the taking
 * one cli_flow_took() and cli_flow_is_over(); either may call cli_flow_abort().
 * A thread that ran into the window waits until half of it is free, so that it
 * is woken twice a window and not once per response. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  GMutex mutex;
  GCond moved;
  guint window;
  guint taken;             /* atomic; free-running */
  gint is_waiting;         /* atomic: the submitting thread sleeps, or is about to */
  guint64 waiting_at;      /* under `mutex`: how many it has submitted */
  gint is_aborted;         /* atomic */
  gint is_finished;        /* atomic; `n_submitted` is valid */
  guint64 n_submitted;     /* written before `is_finished` */
} CliFlow;

/* `window` at least 1, and at most 2^30. */
void cli_flow_init (CliFlow *flow, guint window);
void cli_flow_clear (CliFlow *flow);

/* How many requests may be submitted after `n_submitted`; 0 where the window is
 * full. */
guint cli_flow_get_room (CliFlow *flow, guint64 n_submitted);

/* Waits for room; what was submitted must have been flushed.  FALSE if the flow
 * was aborted. */
gboolean cli_flow_wait (CliFlow *flow, guint64 n_submitted);

/* `n` more responses were taken. */
void cli_flow_took (CliFlow *flow, guint n);

/* There will be no more than `n_submitted` requests. */
void cli_flow_finish (CliFlow *flow, guint64 n_submitted);

/* Whether all there will be was taken. */
gboolean cli_flow_is_over (CliFlow *flow, guint64 n_taken);

/* One of the threads gave up; the other is not to wait for it. */
void cli_flow_abort (CliFlow *flow);

gboolean cli_flow_is_aborted (CliFlow *flow);

G_END_DECLS
