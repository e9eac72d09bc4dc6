/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What happens to clients in the child of a fork().
 *
 * The child inherits the descriptors, and with them the locks on the parent's
 * lanes, which would then outlive the parent.  So it closes them at once, and
 * marks the clients as unusable.  The shared memory itself is not there in the
 * child (MADV_DONTFORK). */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

/* Keeps fork() waiting, while a client has descriptors and is not watched. */
void shmkv_fork_hold (void);
void shmkv_fork_let_go (void);

/* Under that. */
void shmkv_fork_watch (ShmkvClient *client);
void shmkv_fork_unwatch (ShmkvClient *client);

G_END_DECLS
