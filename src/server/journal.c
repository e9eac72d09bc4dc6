/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/journal.h"

#include <string.h>

typedef struct
{
  guint64 integer;                  /* of the key's field */
  guint64 offset;                   /* BYTES: where they are, as `written` */
  guint8 kind;
  guint8 change;
} Entry;

struct _ShmkvJournal
{
  guint64 first;
  guint64 next;
  guint64 written;                  /* bytes of keys so far, and gaps where one would wrap */
  Entry *entries;                   /* NULL: closed; at the position modulo their number */
  guint8 *bytes;
};

ShmkvJournal *
shmkv_journal_new (void)
{
  ShmkvJournal *journal = g_new0 (ShmkvJournal, 1);

  journal->first = journal->next = 1;
  return journal;
}

void
shmkv_journal_free (ShmkvJournal *journal)
{
  shmkv_journal_close (journal);
  g_free (journal);
}

gboolean
shmkv_journal_open (ShmkvJournal *journal)
{
  journal->entries = g_try_new (Entry, SHMKV_JOURNAL_CHANGES);
  journal->bytes = g_try_malloc (SHMKV_JOURNAL_BYTES);
  if (journal->entries == NULL || journal->bytes == NULL)
    {
      shmkv_journal_close (journal);
      return FALSE;
    }
  /* One is left out, in the place of all that were missed. */
  journal->first = ++journal->next;
  return TRUE;
}

void
shmkv_journal_close (ShmkvJournal *journal)
{
  g_clear_pointer (&journal->entries, g_free);
  g_clear_pointer (&journal->bytes, g_free);
  journal->first = journal->next;
}

guint64
shmkv_journal_first (const ShmkvJournal *journal)
{
  return journal->first;
}

guint64
shmkv_journal_next (const ShmkvJournal *journal)
{
  return journal->next;
}

static Entry *
entry_at (const ShmkvJournal *journal, guint64 position)
{
  return &journal->entries[position % SHMKV_JOURNAL_CHANGES];
}

/* Where `length` bytes go, in one piece; pushes out whose bytes were there. */
static guint64
place_bytes (ShmkvJournal *journal, guint64 length)
{
  guint64 to_end = SHMKV_JOURNAL_BYTES - journal->written % SHMKV_JOURNAL_BYTES;
  guint64 offset = journal->written + (length <= to_end ? 0 : to_end);

  journal->written = offset + length;
  while (journal->first < journal->next
         && entry_at (journal, journal->first)->offset + SHMKV_JOURNAL_BYTES < journal->written)
    journal->first++;
  return offset;
}

void
shmkv_journal_append (ShmkvJournal *journal, const ShmkvField *key, guint change)
{
  Entry entry = { .integer = key->integer,
                  .offset = journal->written,
                  .kind = (guint8) key->kind,
                  .change = (guint8) change };

  if (key->kind == SHMKV_WIRE_KIND_BYTES)
    {
      entry.offset = place_bytes (journal, key->integer);
      memcpy (journal->bytes + entry.offset % SHMKV_JOURNAL_BYTES, key->bytes, key->integer);
    }
  if (journal->next - journal->first == SHMKV_JOURNAL_CHANGES)
    journal->first++;
  *entry_at (journal, journal->next++) = entry;
}

guint
shmkv_journal_get (const ShmkvJournal *journal, guint64 position, ShmkvField *key_out)
{
  const Entry *entry = entry_at (journal, position);

  *key_out = (ShmkvField) { .kind = entry->kind, .integer = entry->integer };
  if (entry->kind == SHMKV_WIRE_KIND_BYTES)
    key_out->bytes = journal->bytes + entry->offset % SHMKV_JOURNAL_BYTES;
  return entry->change;
}
