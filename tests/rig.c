/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "rig.h"

#include "util.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ------------------------------------------------------------------- server */

/* Moves a region to where nothing lies before and behind it. */
static void
guard_region (ShmkvRegion *region, int protection, void **guards_out)
{
  guint8 *guards = mmap (NULL, region->size + 2 * SHMKV_WIRE_PAGE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void *base;

  g_assert_true (guards != MAP_FAILED);
  base = mmap (guards + SHMKV_WIRE_PAGE, region->size, protection, MAP_SHARED | MAP_FIXED,
               region->fd, 0);
  g_assert_true (base == guards + SHMKV_WIRE_PAGE);
  munmap (region->base, region->size);
  region->base = base;
  *guards_out = guards;
}

Rig *
rig_new (guint sessions, guint ring_size)
{
  return rig_new_with_table (sessions, ring_size,
                             &(ShmkvTableOptions) { .n_buckets = 7, .seed = util_random () });
}

Rig *
rig_new_with_table (guint sessions, guint ring_size, const ShmkvTableOptions *table)
{
  Rig *rig = g_new0 (Rig, 1);
  g_autoptr (GError) error = NULL;
  ShmkvSegmentOptions options;

  rig->name = util_name ();
  options = (ShmkvSegmentOptions) {
    .name = rig->name,
    .geometry = { .sessions = sessions, .ring_size = ring_size },
    .buckets = table->n_buckets,
    .max_value = SHMKV_WIRE_DEFAULT_MAX_VALUE,
    .mode = 0600,
    .group = (gid_t) -1,
  };
  rig->segment = shmkv_segment_create (&options, NULL, &error);
  g_assert_no_error (error);
  guard_region (&rig->segment->requests, PROT_READ, &rig->guards[0]);
  guard_region (&rig->segment->responses, PROT_READ | PROT_WRITE, &rig->guards[1]);
  rig->table = shmkv_table_new (table);
  rig->counters = shmkv_counters_new ();
  rig->lanes = shmkv_lanes_new (rig->segment, rig->table);
  g_assert_true (shmkv_executor_init (&rig->executor, NULL, rig->table, rig->counters));
  g_mutex_init (&rig->pump_mutex);
  shmkv_segment_publish (rig->segment);
  return rig;
}

void
rig_free (Rig *rig)
{
  gsize sizes[2] = { rig->segment->requests.size, rig->segment->responses.size };

  rig_pump_stop (rig);
  shmkv_lanes_free (rig->lanes);
  shmkv_executor_clear (&rig->executor);
  shmkv_counters_free (rig->counters);
  shmkv_table_free (rig->table);
  shmkv_segment_free (rig->segment);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    munmap (rig->guards[i], sizes[i] + 2 * SHMKV_WIRE_PAGE);
  g_mutex_clear (&rig->pump_mutex);
  g_free (rig->name);
  g_free (rig);
}

ShmkvRound
rig_serve (Rig *rig)
{
  return shmkv_lanes_serve (rig->lanes, &rig->executor, &rig->position);
}

void
rig_reap (Rig *rig)
{
  shmkv_lanes_reap (rig->lanes, &rig->executor);
}

guint64
rig_count (const Rig *rig, ShmkvCounter counter)
{
  return atomic_load (&rig->counters->values[counter]);
}

static gpointer
pump (gpointer data)
{
  Rig *rig = data;

  while (!atomic_load (&rig->pump_ends))
    {
      ShmkvRound round;

      g_mutex_lock (&rig->pump_mutex);
      round = rig_serve (rig);
      rig_reap (rig);
      g_mutex_unlock (&rig->pump_mutex);
      if (round.served == 0)
        g_usleep (100);
    }
  return NULL;
}

void
rig_pump_start (Rig *rig)
{
  atomic_store (&rig->pump_ends, FALSE);
  rig->pump = g_thread_new ("pump", pump, rig);
}

void
rig_pump_pause (Rig *rig)
{
  g_mutex_lock (&rig->pump_mutex);
}

void
rig_pump_resume (Rig *rig)
{
  g_mutex_unlock (&rig->pump_mutex);
}

void
rig_pump_stop (Rig *rig)
{
  if (rig->pump == NULL)
    return;
  atomic_store (&rig->pump_ends, TRUE);
  g_thread_join (g_steal_pointer (&rig->pump));
}

void
rig_say_farewell (Rig *rig)
{
  atomic_store (&shmkv_segment_responses_header (rig->segment)->service, SHMKV_WIRE_SERVICE_GONE);
  shmkv_lanes_wake_all (rig->lanes);
}

/* The kernel would drop the lock; our memory is still needed. */
void
rig_kill (Rig *rig)
{
  struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = 1 };

  g_assert_cmpint (fcntl (rig->segment->responses.fd, F_OFD_SETLK, &lock), ==, 0);
}

/* ------------------------------------------------------------------- client */

void
hand_init (Hand *hand, const char *name, guint lane)
{
  g_autoptr (GError) error = NULL;

  *hand = (Hand) { .index = lane };
  hand->segment = shmkv_segment_attach (name, geteuid (), &error);
  g_assert_no_error (error);
  hand->client = shmkv_segment_requests_lane (hand->segment, lane);
  hand->server = shmkv_segment_responses_lane (hand->segment, lane);
  g_assert_true (shmkv_segment_lock_lane (hand->segment, lane));
}

void
hand_clear (Hand *hand)
{
  shmkv_segment_free (hand->segment);
}

void
hand_set_claim (Hand *hand, guint32 claim)
{
  atomic_store (&hand->client->claim, claim);
  atomic_fetch_add (&shmkv_segment_requests_header (hand->segment)->arrivals, 1);
}

void
hand_claim (Hand *hand)
{
  guint32 size = hand->segment->geometry.ring_size;

  shmkv_producer_init (&hand->requests, shmkv_segment_requests_ring (hand->segment, hand->index),
                       size, &hand->client->tail, &hand->server->positions.head,
                       atomic_load (&hand->server->positions.head));
  shmkv_consumer_init (&hand->responses, shmkv_segment_responses_ring (hand->segment, hand->index),
                       size, &hand->client->taken, &hand->server->positions.tail,
                       atomic_load (&hand->server->positions.tail));
  hand_set_claim (hand, hand_state (hand));
}

void
hand_open (Hand *hand, Rig *rig, guint lane)
{
  hand_init (hand, rig->name, lane);
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_FREE);
  hand_claim (hand);
  while (rig_serve (rig).arriving)
    ;
  g_assert_cmpuint (hand_phase (hand), ==, SHMKV_WIRE_LANE_ACTIVE);
}

guint32
hand_state (const Hand *hand)
{
  return atomic_load (&hand->server->state);
}

guint
hand_phase (const Hand *hand)
{
  return SHMKV_WIRE_LANE_PHASE (hand_state (hand));
}

guint
hand_generation (const Hand *hand)
{
  return SHMKV_WIRE_LANE_GENERATION (hand_state (hand));
}

guint
hand_drop_reason (const Hand *hand)
{
  return atomic_load (&hand->server->dropped);
}

static guint64 *
reserve (Hand *hand, guint32 length)
{
  guint64 *record = shmkv_producer_reserve (&hand->requests, length);

  if (record != NULL)
    return record;
  g_assert_true (shmkv_producer_refresh (&hand->requests));
  return shmkv_producer_reserve (&hand->requests, length);
}

gboolean
hand_try_submit (Hand *hand, guint op, guint flags, guint n_words, guint64 key, guint64 value)
{
  guint32 length = SHMKV_WIRE_HEADER_SIZE + n_words * 8;
  guint64 *record = reserve (hand, length);

  if (record == NULL)
    return FALSE;
  shmkv_store_word (record,
                    shmkv_header_pack (length, op,
                                       n_words > 0 ? SHMKV_WIRE_KIND_INTEGER : SHMKV_WIRE_KIND_NONE,
                                       n_words > 1 ? SHMKV_WIRE_KIND_INTEGER : SHMKV_WIRE_KIND_NONE,
                                       flags));
  shmkv_store_word (record + 1, ++hand->last_id);
  if (n_words > 0)
    shmkv_store_word (record + 2, key);
  if (n_words > 1)
    shmkv_store_word (record + 3, value);
  shmkv_producer_commit (&hand->requests, length);
  return TRUE;
}

guint64
hand_submit (Hand *hand, guint op, guint flags, guint n_words, guint64 key, guint64 value)
{
  g_assert_true (hand_try_submit (hand, op, flags, n_words, key, value));
  return hand->last_id;
}

void
hand_write (Hand *hand, const guint64 *words, guint n_words)
{
  guint64 *record = reserve (hand, n_words * 8);

  g_assert_nonnull (record);
  shmkv_ring_copy_in (record, words, n_words * 8);
  shmkv_producer_commit (&hand->requests, n_words * 8);
}

GByteArray *
hand_encode (const HandRequest *request, guint64 *header_out)
{
  gsize size = shmkv_field_size (request->key.kind, request->key.integer)
               + shmkv_field_size (request->value.kind, request->value.integer)
               + shmkv_field_size (request->expected.kind, request->expected.integer) + 3 * 8;
  GByteArray *payload = g_byte_array_sized_new ((guint) size);
  guint64 *begin = (guint64 *) (void *) payload->data;
  uint64_t *end = shmkv_field_encode (begin, &request->key);

  end = shmkv_field_encode (end, &request->value);
  if ((request->flags & SHMKV_WIRE_FLAG_IF_VALUE) != 0)
    {
      *end++ = request->expected.kind;
      end = shmkv_field_encode (end, &request->expected);
    }
  if ((request->flags & SHMKV_WIRE_FLAG_IF_VERSION) != 0)
    *end++ = request->version;
  if ((request->flags & SHMKV_WIRE_FLAG_TTL) != 0)
    *end++ = request->ttl_ms;
  payload->len = (guint) (end - begin) * 8;
  *header_out = shmkv_header_pack (0, request->op, request->key.kind, request->value.kind,
                                   request->flags);
  return payload;
}

gboolean
hand_try_piece (Hand *hand, guint64 header, guint64 id, const void *payload, guint32 n)
{
  guint32 length = SHMKV_WIRE_HEADER_SIZE + n;
  guint64 *record = reserve (hand, length);

  if (record == NULL)
    return FALSE;
  shmkv_store_word (record, header | length);
  shmkv_store_word (record + 1, id);
  shmkv_ring_copy_in (record + 2, payload, n);
  shmkv_producer_commit (&hand->requests, length);
  return TRUE;
}

gboolean
hand_try_request (Hand *hand, const HandRequest *request)
{
  guint64 header;
  g_autoptr (GByteArray) payload = hand_encode (request, &header);

  if (!hand_try_piece (hand, header, hand->last_id + 1, payload->data, payload->len))
    return FALSE;
  hand->last_id++;
  return TRUE;
}

guint64
hand_request (Hand *hand, const HandRequest *request)
{
  g_assert_true (hand_try_request (hand, request));
  return hand->last_id;
}

ShmkvField
hand_integer (guint64 integer)
{
  return (ShmkvField) { .kind = SHMKV_WIRE_KIND_INTEGER, .integer = integer };
}

ShmkvField
hand_bytes (const char *text)
{
  return (ShmkvField) { .kind = SHMKV_WIRE_KIND_BYTES, .integer = strlen (text), .bytes = text };
}

void
hand_publish (Hand *hand)
{
  shmkv_producer_publish (&hand->requests);
}

gboolean
hand_take (Hand *hand, Answer *answer_out)
{
  const guint64 *record = NULL;
  guint64 word = 0;
  ShmkvHeader header;
  ShmkvRingPeek peek = shmkv_consumer_peek (&hand->responses, &record, &word);

  if (peek == SHMKV_RING_EMPTY)
    return FALSE;
  g_assert_cmpint (peek, ==, SHMKV_RING_RECORD);
  header = shmkv_header_unpack (word);
  g_assert_cmpuint (header.key_kind, ==, SHMKV_WIRE_KIND_NONE);
  g_assert_cmpuint (header.value_kind, <=, SHMKV_WIRE_KIND_INTEGER);
  g_assert_false (header.more);
  g_assert_cmpuint (header.length, ==, 16 + shmkv_field_size (header.value_kind, 0));
  *answer_out = (Answer) {
    .id = shmkv_load_word (record + 1),
    .op = header.op,
    .status = header.extra,
    .has_value = header.value_kind == SHMKV_WIRE_KIND_INTEGER,
  };
  if (answer_out->has_value)
    answer_out->value = shmkv_load_word (record + 2);
  shmkv_consumer_advance (&hand->responses, header.length);
  return TRUE;
}

/* Appends the next record's payload; FALSE where there is none. */
static gboolean
take_piece (Hand *hand, Reply *reply, ShmkvHeader *header_out)
{
  const guint64 *record = NULL;
  guint64 word = 0;
  ShmkvRingPeek peek = shmkv_consumer_peek (&hand->responses, &record, &word);
  guint32 n, at = reply->payload->len;

  if (peek == SHMKV_RING_EMPTY)
    return FALSE;
  g_assert_cmpint (peek, ==, SHMKV_RING_RECORD);
  *header_out = shmkv_header_unpack (word);
  if (at > 0)
    {
      g_assert_cmpuint (reply->id, ==, shmkv_load_word (record + 1));
      g_assert_cmpuint (reply->op, ==, header_out->op);
      g_assert_cmpuint (reply->status, ==, header_out->extra);
    }
  reply->id = shmkv_load_word (record + 1);
  reply->op = header_out->op;
  reply->status = header_out->extra;
  n = header_out->length - SHMKV_WIRE_HEADER_SIZE;
  g_byte_array_set_size (reply->payload, at + n);
  if (n > 0)
    shmkv_ring_copy_out ((guint64 *) (void *) (reply->payload->data + at), record + 2, n);
  shmkv_consumer_advance (&hand->responses, header_out->length);
  return TRUE;
}

gboolean
hand_take_reply (Hand *hand, Reply *reply)
{
  ShmkvHeader header;
  ShmkvField number;
  const guint64 *cursor;
  gsize left;

  if (reply->payload == NULL)
    reply->payload = g_byte_array_new ();
  do
    if (!take_piece (hand, reply, &header))
      return FALSE;
  while (header.more);

  cursor = (const guint64 *) (const void *) reply->payload->data;
  left = reply->payload->len;
  g_assert_true (shmkv_field_decode (&cursor, &left, header.key_kind, &number));
  g_assert_true (shmkv_field_decode (&cursor, &left, header.value_kind, &reply->value));
  g_assert_cmpuint (left, ==, 0);
  g_assert_cmpuint (number.kind, <=, SHMKV_WIRE_KIND_INTEGER);
  reply->has_number = number.kind == SHMKV_WIRE_KIND_INTEGER;
  reply->number = number.integer;
  return TRUE;
}

void
reply_clear (Reply *reply)
{
  g_clear_pointer (&reply->payload, g_byte_array_unref);
  *reply = (Reply) { 0 };
}

void
hand_expect_reply (Hand *hand, guint64 id, guint status, Reply *reply)
{
  reply_clear (reply);
  g_assert_true (hand_take_reply (hand, reply));
  g_assert_cmpuint (reply->id, ==, id);
  g_assert_cmpuint (reply->status, ==, status);
}

void
hand_give_back (Hand *hand)
{
  shmkv_consumer_publish (&hand->responses);
}

void
hand_expect (Hand *hand, guint64 id, guint status)
{
  Answer answer = { 0 };

  g_assert_true (hand_take (hand, &answer));
  g_assert_cmpuint (answer.id, ==, id);
  g_assert_cmpuint (answer.status, ==, status);
  g_assert_false (answer.has_value);
}

void
hand_expect_value (Hand *hand, guint64 id, guint64 value)
{
  Answer answer = { 0 };

  g_assert_true (hand_take (hand, &answer));
  g_assert_cmpuint (answer.id, ==, id);
  g_assert_cmpuint (answer.status, ==, SHMKV_WIRE_STATUS_OK);
  g_assert_true (answer.has_value);
  g_assert_cmpuint (answer.value, ==, value);
}

void
hand_expect_none (Hand *hand)
{
  Answer answer;

  g_assert_false (hand_take (hand, &answer));
}
