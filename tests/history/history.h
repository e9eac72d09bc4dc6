/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients did and were told, in a file that outlives them.
 *
 * A recorder maps the file and writes each operation twice: before it is
 * submitted, with the stamp `invoked' last, and after its answer was taken, with
 * `returned' last.  What a killed process stored in a mapping stays; so in the
 * end every operation is in one of these states:
 *
 *   invoked == 0     it never began; nor did what follows in its area
 *   returned == 0    it is pending: it may have taken effect, at any time after
 *                    it was invoked, or not at all
 *   else             it took effect between the two, and this is its answer
 *
 * Stamps are nanoseconds of CLOCK_MONOTONIC, which is one for all processes.
 *
 * After the header come the areas, one for each session that a recorder opens,
 * and after them their records. */

#pragma once

#include <shmkv/shmkv.h>

#include <stdatomic.h>

G_BEGIN_DECLS

#define HISTORY_MAGIC G_GUINT64_CONSTANT (0x31796f7473696873)

/* A value is its kind and a word.  For bytes the word is a number from which all
 * of them follow; where they do not, or the length is wrong, the kind is this. */
#define HISTORY_KIND_TORN 9

typedef struct
{
  _Atomic guint64 invoked;
  _Atomic guint64 returned;
  guint64 key;
  guint64 value;                    /* INSERT; ADD, SUBTRACT: how much; WAIT: the known version */
  guint64 expected;                 /* IF_VALUE */
  guint64 version;                  /* IF_VERSION */
  guint64 answer;                   /* the completion's value */
  guint64 answer_version;
  guint32 ttl_ms;
  guint16 flags;                    /* ShmkvFlags */
  guint8 op;                        /* ShmkvOp */
  guint8 status;                    /* ShmkvStatus */
  guint8 key_kind;                  /* ShmkvKind, as all that follow */
  guint8 value_kind;
  guint8 expected_kind;
  guint8 answer_kind;
  guint32 reserved;
} HistoryRecord;

typedef struct
{
  _Atomic guint64 ended;            /* before the session was closed; 0: it was not */
  guint64 reserved[7];
} HistoryArea;

typedef struct
{
  guint64 magic;
  guint64 n_areas;
  guint64 capacity;                 /* records of each area */
  guint64 reserved[5];
} HistoryHeader;

G_STATIC_ASSERT (sizeof (HistoryRecord) == 80);
G_STATIC_ASSERT (sizeof (HistoryArea) == 64);
G_STATIC_ASSERT (sizeof (HistoryHeader) == 64);

static inline gsize
history_file_size (guint64 n_areas, guint64 capacity)
{
  return sizeof (HistoryHeader) + n_areas * (sizeof (HistoryArea) + capacity * sizeof (HistoryRecord));
}

static inline HistoryArea *
history_area (const HistoryHeader *header, guint64 area)
{
  return (HistoryArea *) (header + 1) + area;
}

static inline HistoryRecord *
history_records (const HistoryHeader *header, guint64 area)
{
  return (HistoryRecord *) history_area (header, header->n_areas) + area * header->capacity;
}

G_END_DECLS
