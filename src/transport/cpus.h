/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How many CPUs this process may really use. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The smaller of the affinity mask and the CPU quota of the cgroup (version 2)
 * and its ancestors; at least 1.  Reads files: call it once and keep it. */
guint shmkv_cpus_allowed (void);

G_END_DECLS
