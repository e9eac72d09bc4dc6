/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Brings records in the order of their keys, with little memory whatever their
 * number: integers first, by their size; then byte strings, by their bytes. */

#pragma once

#include "client/dump-format.h"
#include "client/progress.h"

G_BEGIN_DECLS

typedef struct _CliDumpSort CliDumpSort;

/* Keeps about `memory` bytes of records in memory, and the others in temporary
 * files.  What takes long it draws with `progress`, which stays the caller's. */
CliDumpSort *cli_dump_sort_new (guint64 memory, CliProgress *progress);
void cli_dump_sort_free (CliDumpSort *sort);

/* Adds all of `pairs`, and keeps a reference where it needs one.  Not to be called
 * any more once they are written.  Fails where there is no room, and with
 * CLI_ERROR_INTERRUPTED. */
gboolean cli_dump_sort_add (CliDumpSort *sort, ShmkvPairs *pairs, GError **error);

/* Writes the next record to `file`, which remembers what goes wrong with that;
 * `*more_out` is FALSE where there was none.  Of records with the same key it
 * writes one.  Fails as cli_dump_sort_add() does. */
gboolean cli_dump_sort_write_next (CliDumpSort *sort, FILE *file, gboolean *more_out,
                                   GError **error);

/* The record that a pair is; it points into `pairs`. */
CliRecord cli_dump_get_record (const ShmkvPairs *pairs, gsize index);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CliDumpSort, cli_dump_sort_free)

G_END_DECLS
