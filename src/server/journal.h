/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The latest changes of keys, each with its position: 1, 2, 3 ..., for ever.
 *
 * Bounded: new ones push old ones out.  Not for two threads at a time. */

#pragma once

#include "wire/record.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct _ShmkvJournal ShmkvJournal;

/* Changes that it holds at most, and bytes of their keys.  At least one key of
 * SHMKV_WIRE_MAX_KEY_SIZE must fit. */
#define SHMKV_JOURNAL_CHANGES 16384u
#define SHMKV_JOURNAL_BYTES (1u << 20)

/* Holds nothing, and takes no memory to speak of, until it is opened. */
ShmkvJournal *shmkv_journal_new (void);
void shmkv_journal_free (ShmkvJournal *journal);

/* What happens while it is closed is missed: also by who was up to date.  FALSE
 * where there is no memory. */
gboolean shmkv_journal_open (ShmkvJournal *journal);
void shmkv_journal_close (ShmkvJournal *journal);

/* The position of the oldest change that it holds, and of the next to come. */
guint64 shmkv_journal_first (const ShmkvJournal *journal);
guint64 shmkv_journal_next (const ShmkvJournal *journal);

/* Of an open one. */
void shmkv_journal_append (ShmkvJournal *journal, const ShmkvField *key, guint change);

/* The change at `position`, from the first to before the next.  The key is valid
 * until the next append. */
guint shmkv_journal_get (const ShmkvJournal *journal, guint64 position, ShmkvField *key_out);

G_END_DECLS
