/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The histories of one server: all files that recorders wrote, key by key. */

#pragma once

#include "check.h"

G_BEGIN_DECLS

typedef struct
{
  guint64 n_ops;
  guint64 n_pending;                /* of which: never answered, though that was wanted */
  guint64 n_sessions;
  guint64 n_keys;
  guint64 n_wrong;                  /* keys, and sessions, that cannot be explained */
  guint64 n_undecided;              /* keys, not counted there */
} HistoryCounts;

typedef struct _HistorySet HistorySet;

HistorySet *history_set_new (void);
void history_set_free (HistorySet *set);

/* What is in the file must not change any more. */
gboolean history_set_add_file (HistorySet *set, const char *path, GError **error);

/* Checks everything.  The first few things that are wrong are told in `report'. */
void history_set_check (HistorySet *set, HistoryChecker *checker, HistoryCounts *counts_out,
                        GString *report);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (HistorySet, history_set_free)

G_END_DECLS
