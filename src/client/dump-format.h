/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text that dump writes and load reads:
 *
 *   shmkv-dump 1
 *   KEY VALUE
 *   KEY VALUE TTL
 *   end N
 *
 * KEY and VALUE are words as in word.h; TTL, where there is one, is how many
 * milliseconds the key had to live.  N is how many records there are: a file
 * without that line was cut off. */

#pragma once

#include <shmkv/shmkv.h>

#include <stdio.h>

G_BEGIN_DECLS

#define CLI_DUMP_HEADER "shmkv-dump 1"
#define CLI_DUMP_TRAILER "end"

typedef struct
{
  ShmkvDatum key;
  ShmkvDatum value;
  guint64 ttl_ms;          /* 0: never expires */
} CliRecord;

/* What goes wrong with writing, `file` remembers. */
void cli_dump_write_header (FILE *file);
void cli_dump_write_record (FILE *file, const CliRecord *record);
void cli_dump_write_trailer (FILE *file, guint64 n_records);

/* A key or a value only. */
void cli_dump_write_datum (FILE *file, const ShmkvDatum *datum);

typedef struct _CliDumpReader CliDumpReader;

/* Reads from `file`, which stays the caller's.  `max_value` is how long a value
 * may be. */
CliDumpReader *cli_dump_reader_new (FILE *file, guint64 max_value);
void cli_dump_reader_free (CliDumpReader *reader);

/* The line that was read last, or is being read, from 1 on. */
guint64 cli_dump_reader_get_line (const CliDumpReader *reader);

/* The next record, valid until the next call; `*more_out` is FALSE at the end.
 * Fails with CLI_ERROR_FAILED, and does not name the line. */
gboolean cli_dump_reader_next (CliDumpReader *reader, CliRecord *record_out, gboolean *more_out,
                               GError **error);

/* The same for those who want no value, which may be long: only the key of the
 * next record.  Then call cli_dump_reader_copy_rest(), which writes the rest of its
 * line as it is to `to`, or skips it where that is NULL.  It is not looked at. */
gboolean cli_dump_reader_next_key (CliDumpReader *reader, ShmkvDatum *key_out,
                                   gboolean *more_out, GError **error);
gboolean cli_dump_reader_copy_rest (CliDumpReader *reader, FILE *to, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CliDumpReader, cli_dump_reader_free)

G_END_DECLS
