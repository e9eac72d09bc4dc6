/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One client thread of the test routines: a session with keys of its own, a
 * thread that submits, and a thread that takes and checks the responses. */

#pragma once

#include "client/crew.h"
#include "client/flow.h"
#include "client/test-script.h"

G_BEGIN_DECLS

typedef struct
{
  ShmkvSession *session;
  CliFlow flow;
  CliScript script;        /* of the routine that is being run */
  CliModel model;
  guint window;
  guint64 n_keys;
  guint64 next_id;         /* that the next response should have */
  guint64 n_wrong;         /* in this routine */
  char *first_wrong;       /* (nullable) ever: what was asked and answered */
} CliTestLane;

/* A lane for `n_keys` keys from `key_base` on, which the server does not hold. */
CliTestLane *cli_test_lane_new (ShmkvClient *client, guint64 key_base, guint64 n_keys,
                                guint window, GError **error);
void cli_test_lane_free (CliTestLane *lane);

/* Makes the lane ready for a routine, and adds what its threads are to do to
 * `tasks`: at most two. */
void cli_test_lane_prepare (CliTestLane *lane, CliRoutine routine, guint64 seed, GArray *tasks);

/* After the routine; also after one that failed. */
void cli_test_lane_finish (CliTestLane *lane);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CliTestLane, cli_test_lane_free)

G_END_DECLS
