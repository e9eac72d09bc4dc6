/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

/* How many workers the server runs, from its statistics. */
gboolean cli_server_info_get_workers (ShmkvClient *client, guint *n_workers_out, GError **error);

G_END_DECLS
