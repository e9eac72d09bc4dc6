/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "server/incoming.h"

#include "server/request.h"

#include <stdlib.h>

/* What is the same in all pieces of a request. */
#define COMMON(word) ((word) & ~(SHMKV_WIRE_MORE | G_GUINT64_CONSTANT (0xffffffff)))

/* The rest is skipped: nothing of it is worth its memory. */
static void
give_up (ShmkvIncoming *incoming, guint status)
{
  incoming->status = status;
  g_clear_pointer (&incoming->payload, free);
  incoming->size = incoming->room = 0;
}

/* Room for `size` bytes in all, by doubling. */
static gboolean
make_room (ShmkvIncoming *incoming, gsize size)
{
  gsize room = MIN (MAX (size, 2 * incoming->room), incoming->max_size);
  guint64 *payload;

  if (size <= incoming->room)
    return TRUE;
  payload = realloc (incoming->payload, room);
  if (payload == NULL)
    return FALSE;
  incoming->payload = payload;
  incoming->room = room;
  return TRUE;
}

static void
append (ShmkvIncoming *incoming, const uint64_t *words, guint32 n_bytes)
{
  if (n_bytes == 0)
    return;
  if (n_bytes > incoming->max_size - incoming->size)
    give_up (incoming, SHMKV_WIRE_STATUS_TOO_LARGE);
  else if (!make_room (incoming, incoming->size + n_bytes))
    give_up (incoming, SHMKV_WIRE_STATUS_NO_MEMORY);
  else
    {
      shmkv_ring_copy_out (incoming->payload + incoming->size / 8, words, n_bytes);
      incoming->size += n_bytes;
    }
}

ShmkvIncomingResult
shmkv_incoming_take (ShmkvIncoming *incoming, const uint64_t *record, uint64_t word,
                     guint64 max_value)
{
  guint64 id = shmkv_load_word (record + 1);

  if (!incoming->active)
    *incoming = (ShmkvIncoming) {
      .active = TRUE,
      .header = COMMON (word),
      .id = id,
      .status = SHMKV_WIRE_STATUS_OK,
      .max_size = shmkv_server_request_max_payload (word, max_value),
    };
  else if (COMMON (word) != incoming->header || id != incoming->id)
    return SHMKV_INCOMING_BAD;

  if (incoming->status == SHMKV_WIRE_STATUS_OK)
    append (incoming, record + 2, shmkv_header_length (word) - SHMKV_WIRE_HEADER_SIZE);
  if ((word & SHMKV_WIRE_MORE) != 0)
    return SHMKV_INCOMING_MORE;
  incoming->active = FALSE;
  return SHMKV_INCOMING_COMPLETE;
}

void
shmkv_incoming_clear (ShmkvIncoming *incoming)
{
  free (incoming->payload);
  *incoming = (ShmkvIncoming) { 0 };
}
