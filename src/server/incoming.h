/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A request that comes in pieces, or that is too long to be copied where the
 * others are: its payload is put together in memory of its own. */

#pragma once

#include "transport/ring.h"
#include "wire/record.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  SHMKV_INCOMING_MORE,              /* there is more to come */
  SHMKV_INCOMING_COMPLETE,
  SHMKV_INCOMING_BAD,               /* not a piece of the same request */
} ShmkvIncomingResult;

typedef struct
{
  gboolean active;                  /* a piece has come, and the last has not */
  guint64 header;                   /* of the first piece, without its length and MORE */
  guint64 id;
  guint status;                     /* OK; else what comes is skipped */
  guint64 max_size;                 /* more than that is TOO_LARGE */
  guint64 *payload;
  gsize size;                       /* bytes so far */
  gsize room;                       /* bytes that were allocated */
} ShmkvIncoming;

/* Takes a piece that lies at `record` in a ring, with the header `word`, which
 * was checked.  `max_value` is for the first. */
ShmkvIncomingResult shmkv_incoming_take (ShmkvIncoming *incoming, const uint64_t *record,
                                         uint64_t word, guint64 max_value);

/* Forgets everything. */
void shmkv_incoming_clear (ShmkvIncoming *incoming);

G_END_DECLS
