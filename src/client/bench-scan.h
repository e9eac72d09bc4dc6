/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Short scans that begin somewhere in the table. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

/* What a scan asks for; doc/protocol has it under SCAN. */
#define CLI_BENCH_SCAN_WORDS 3

/* A request for about `limit` pairs from `cursor` on.  It points to `words`. */
ShmkvRequest cli_bench_scan_request (guint64 words[CLI_BENCH_SCAN_WORDS], guint64 cursor,
                                     guint64 limit, gboolean keys_only);

/* Places where scans can begin, all over the table: a GArray of guint64, with one
 * at least.  NULL on error. */
GArray *cli_bench_scan_find_cursors (ShmkvSession *session, GError **error);

G_END_DECLS
