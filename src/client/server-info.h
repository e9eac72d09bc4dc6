/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What commands want to know of the server, from its statistics. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

typedef struct
{
  guint workers;
  guint64 version;         /* 10000 * major + 100 * minor + micro; 0: it does not tell */
  guint64 max_memory;      /* 0: no limit */
  gboolean tells_cpu;
  guint64 cpu_us;          /* user and system time since it started */
} CliServerInfo;

/* Fails where the server does not tell how many workers it runs. */
gboolean cli_server_info_get (ShmkvClient *client, CliServerInfo *info_out, GError **error);

/* How many workers the server runs. */
gboolean cli_server_info_get_workers (ShmkvClient *client, guint *n_workers_out, GError **error);

G_END_DECLS
