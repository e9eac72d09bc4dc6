/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a request that was decoded in full does. */

#pragma once

#include "server/executor.h"
#include "server/lane.h"
#include "server/request.h"

G_BEGIN_DECLS

/* Carries it out.  What the response has may lie in the executor's memory: it is
 * valid until the next.  FALSE where there is no response yet: the lane waits, or
 * is walking. */
gboolean shmkv_operate (ShmkvExecutor *executor, ShmkvLane *lane, const ShmkvServerRequest *request,
                        ShmkvResponse *response_out);

/* Looks whether the wait of an unparked lane is over.  FALSE where it goes on: the
 * lane is parked. */
gboolean shmkv_operate_wait (ShmkvExecutor *executor, ShmkvLane *lane,
                             ShmkvResponse *response_out);

/* The next step of a lane that is walking.  FALSE where there are more: the lane
 * is unfinished. */
gboolean shmkv_operate_walk (ShmkvExecutor *executor, ShmkvLane *lane,
                             ShmkvResponse *response_out);

G_END_DECLS
