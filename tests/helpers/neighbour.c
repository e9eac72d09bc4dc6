/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* neighbour NAME KIND[,KIND]... [N]: a client of the server NAME that is a
 * nuisance to all others, N times over (1) for each kind, each in a thread with a
 * session of its own.  Says "ready" once all are at it, and goes on until its input
 * ends.  The kinds are at the end of this file; where the library would be too
 * well-behaved, they write the shared memory by hand. */

#include "helper.h"

#include "transport/ring.h"
#include "transport/segment.h"
#include "transport/wait.h"

#include <string.h>
#include <unistd.h>

#define TIMEOUT_US (60 * G_USEC_PER_SEC)
#define N_KEYS 1000
#define LARGE (1u << 20)

typedef struct
{
  const char *name;                 /* of the server */
  guint index;
  gboolean said;
  GAsyncQueue *ready;
} Neighbour;

static void
say_ready (Neighbour *neighbour)
{
  if (!neighbour->said)
    g_async_queue_push (neighbour->ready, neighbour);
  neighbour->said = TRUE;
}

/* ------------------------------------------------------------------- by hand */

typedef struct
{
  ShmkvSegment *segment;
  ShmkvRequestsHeader *header;
  guint lane;
  ShmkvRequestsLane *client;
  const ShmkvResponsesLane *server;
  ShmkvProducer requests;
  ShmkvConsumer responses;
  guint64 last_id;
} Hand;

static Hand *
hand_new (const char *name)
{
  g_autoptr (GError) error = NULL;
  Hand *hand = g_new0 (Hand, 1);

  hand->segment = shmkv_segment_attach (name, geteuid (), &error);
  helper_require (hand->segment != NULL, "attach", &error);
  hand->header = shmkv_segment_requests_header (hand->segment);
  return hand;
}

static guint32
hand_state (const Hand *hand)
{
  return atomic_load (&hand->server->state);
}

/* The server looks, asleep or not. */
static void
ring_bell (Hand *hand)
{
  atomic_fetch_add (&hand->header->doorbell, 1);
  shmkv_futex_wake (&hand->header->doorbell, G_MAXINT);
}

static void
set_claim (Hand *hand, guint32 claim)
{
  atomic_store (&hand->client->claim, claim);
  atomic_fetch_add (&hand->header->arrivals, 1);
  ring_bell (hand);
}

static void
await_phase (Hand *hand, guint phase)
{
  for (guint32 state = hand_state (hand); SHMKV_WIRE_LANE_PHASE (state) != phase;
       state = hand_state (hand))
    shmkv_futex_wait (&hand->server->state, state, SHMKV_SLICE_NS);
}

/* Locks `lane`, and claims it where it is free; FALSE where somebody has it. */
static gboolean
try_claim (Hand *hand, guint lane)
{
  guint32 size = hand->segment->geometry.ring_size, head, tail;

  hand->lane = lane;
  hand->client = shmkv_segment_requests_lane (hand->segment, lane);
  hand->server = shmkv_segment_responses_lane (hand->segment, lane);
  if (SHMKV_WIRE_LANE_PHASE (hand_state (hand)) != SHMKV_WIRE_LANE_FREE
      || !shmkv_segment_lock_lane (hand->segment, lane))
    return FALSE;
  head = atomic_load (&hand->server->positions.head);
  tail = atomic_load (&hand->server->positions.tail);
  shmkv_producer_init (&hand->requests, shmkv_segment_requests_ring (hand->segment, lane), size,
                       &hand->client->tail, &hand->server->positions.head, head);
  shmkv_consumer_init (&hand->responses, shmkv_segment_responses_ring (hand->segment, lane), size,
                       &hand->client->taken, &hand->server->positions.tail, tail);
  atomic_store (&hand->client->client_pid, (guint32) getpid ());
  set_claim (hand, hand_state (hand));
  return TRUE;
}

/* Any lane, the last ones first: others look at the first. */
static void
claim_any (Hand *hand)
{
  for (guint lane = hand->segment->geometry.sessions; lane-- > 0;)
    if (try_claim (hand, lane))
      {
        await_phase (hand, SHMKV_WIRE_LANE_ACTIVE);
        return;
      }
  helper_require (FALSE, "find a lane", NULL);
}

static Hand *
hand_open (const char *name)
{
  Hand *hand = hand_new (name);

  claim_any (hand);
  return hand;
}

/* A read; FALSE where there is no room. */
static gboolean
submit_read (Hand *hand, guint64 key)
{
  const guint32 length = SHMKV_WIRE_HEADER_SIZE + 8;
  guint64 *record;

  shmkv_producer_refresh (&hand->requests);
  record = shmkv_producer_reserve (&hand->requests, length);
  if (record == NULL)
    return FALSE;
  shmkv_store_word (record, shmkv_header_pack (length, SHMKV_WIRE_OP_READ, SHMKV_WIRE_KIND_INTEGER,
                                               SHMKV_WIRE_KIND_NONE, 0));
  shmkv_store_word (record + 1, ++hand->last_id);
  shmkv_store_word (record + 2, key);
  shmkv_producer_commit (&hand->requests, length);
  return TRUE;
}

static void
submit_all_that_fits (Hand *hand)
{
  while (submit_read (hand, hand->last_id % N_KEYS))
    ;
  shmkv_producer_publish (&hand->requests);
}

static void
take_all (Hand *hand)
{
  const guint64 *record;
  guint64 word;

  while (shmkv_consumer_peek (&hand->responses, &record, &word) == SHMKV_RING_RECORD)
    shmkv_consumer_advance (&hand->responses, shmkv_header_length (word));
  shmkv_consumer_publish (&hand->responses);
}

/* ---------------------------------------------------------------- the library */

static ShmkvSession *
session_of (Neighbour *neighbour)
{
  ShmkvClient *client = helper_attach (neighbour->name);

  shmkv_client_set_timeout (client, TIMEOUT_US);
  return helper_open (client);
}

static void
submit (ShmkvSession *session, const ShmkvRequest *request)
{
  g_autoptr (GError) error = NULL;

  helper_require (shmkv_session_submit (session, request, &error) != 0, "submit", &error);
}

/* What cannot be done now is nothing to us. */
static void
call (ShmkvSession *session, const ShmkvRequest *request)
{
  g_autoptr (GError) error = NULL;
  ShmkvCompletion completion = { 0 };

  if (shmkv_session_call (session, request, &completion, &error))
    shmkv_completion_clear (&completion);
}

/* A value of a megabyte under a key of ours. */
static void
insert_large (ShmkvSession *session, const char *key)
{
  g_autofree char *bytes = g_malloc0 (LARGE);
  const ShmkvRequest request = { .op = SHMKV_OP_INSERT, .key = shmkv_string (key),
                                 .value = shmkv_bytes (bytes, LARGE) };

  call (session, &request);
}

/* -------------------------------------------------------------------- the kinds */

/* Burns as much of the CPUs as others do, and has nothing to do with the server:
 * what it costs is nothing that a server could mend. */
static void
burn (Neighbour *neighbour)
{
  say_ready (neighbour);
  for (;;)
    shmkv_cpu_relax ();
}

/* Submits changes without end, which nobody answers. */
static void
flood (Neighbour *neighbour)
{
  ShmkvSession *session = session_of (neighbour);

  say_ready (neighbour);
  for (guint64 i = 0;; i++)
    {
      const ShmkvRequest request = { .op = SHMKV_OP_INSERT, .flags = SHMKV_FLAG_NO_RESPONSE,
                                     .key = shmkv_integer (i % N_KEYS),
                                     .value = shmkv_integer (i) };

      submit (session, &request);
    }
}

/* The same with values of a megabyte. */
static void
flood_large (Neighbour *neighbour)
{
  ShmkvSession *session = session_of (neighbour);
  g_autofree char *key = g_strdup_printf ("large %u", neighbour->index);
  g_autofree char *bytes = g_malloc0 (LARGE);
  const ShmkvRequest request = { .op = SHMKV_OP_INSERT, .flags = SHMKV_FLAG_NO_RESPONSE,
                                 .key = shmkv_string (key), .value = shmkv_bytes (bytes, LARGE) };

  say_ready (neighbour);
  for (;;)
    submit (session, &request);
}

/* Submits as much as fits, and never takes an answer. */
static void
sleep_on (Neighbour *neighbour)
{
  Hand *hand = hand_open (neighbour->name);

  submit_all_that_fits (hand);
  ring_bell (hand);
  say_ready (neighbour);
  for (;;)
    pause ();
}

/* Fills both rings, and then gives back eight bytes at a time. */
static void
dribble (Neighbour *neighbour)
{
  Hand *hand = hand_open (neighbour->name);

  say_ready (neighbour);
  for (;;)
    {
      guint32 produced = atomic_load (&hand->server->positions.tail);

      submit_all_that_fits (hand);
      if (atomic_load (&hand->client->taken) != produced)
        atomic_fetch_add (&hand->client->taken, 8);
      ring_bell (hand);
    }
}

/* Wakes the server for nothing. */
static void
storm (Neighbour *neighbour)
{
  Hand *hand = hand_open (neighbour->name);

  say_ready (neighbour);
  for (;;)
    ring_bell (hand);
}

/* Says that it sleeps, each time anew, while it does not. */
static void
nap (Neighbour *neighbour)
{
  Hand *hand = hand_open (neighbour->name);

  atomic_store (&hand->client->response_nap, 1);
  atomic_store (&hand->client->room_nap, 1);
  say_ready (neighbour);
  for (;;)
    {
      submit_read (hand, 1);
      shmkv_producer_publish (&hand->requests);
      take_all (hand);
      atomic_fetch_add (&hand->client->response_nap, 2);
      atomic_fetch_add (&hand->client->room_nap, 2);
    }
}

/* Says that somebody came, while nobody did. */
static void
arrive (Neighbour *neighbour)
{
  Hand *hand = hand_open (neighbour->name);

  say_ready (neighbour);
  for (;;)
    atomic_fetch_add (&hand->header->arrivals, 1);
}

/* Takes every lane that is free, gives all back, and takes them again. */
static void
claim (Neighbour *neighbour)
{
  guint n = 0;
  Hand *hands[SHMKV_WIRE_MAX_SESSIONS];

  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    hands[i] = NULL;
  hands[0] = hand_new (neighbour->name);
  n = hands[0]->segment->geometry.sessions;
  for (guint i = 1; i < n; i++)
    {
      hands[i] = g_new (Hand, 1);
      *hands[i] = *hands[0];
    }
  say_ready (neighbour);
  for (;;)
    {
      gboolean have[SHMKV_WIRE_MAX_SESSIONS];

      for (guint i = 0; i < n; i++)
        have[i] = try_claim (hands[i], i);
      for (guint i = 0; i < n; i++)
        if (have[i])
          {
            set_claim (hands[i], 0);
            shmkv_segment_unlock_lane (hands[i]->segment, i);
          }
    }
}

/* Takes every lane that is free, and keeps them. */
static void
hold (Neighbour *neighbour)
{
  Hand *hand = hand_new (neighbour->name);

  for (guint i = 0; i < hand->segment->geometry.sessions; i++)
    if (try_claim (hand, i))
      await_phase (hand, SHMKV_WIRE_LANE_ACTIVE);
  say_ready (neighbour);
  for (;;)
    pause ();
}

/* Reads a value of a megabyte again and again, and gives back 64 bytes at a
 * time. */
static void
sip (Neighbour *neighbour)
{
  g_autofree char *key = g_strdup_printf ("sip%05u", neighbour->index % 100000);
  const guint32 length = SHMKV_WIRE_HEADER_SIZE + 16;
  Hand *hand;
  guint64 word;

  insert_large (session_of (neighbour), key);
  memcpy (&word, key, sizeof word);
  hand = hand_open (neighbour->name);
  say_ready (neighbour);
  for (;;)
    {
      guint64 *record;

      while (shmkv_producer_refresh (&hand->requests)
             && (record = shmkv_producer_reserve (&hand->requests, length)) != NULL)
        {
          shmkv_store_word (record,
                            shmkv_header_pack (length, SHMKV_WIRE_OP_READ, SHMKV_WIRE_KIND_BYTES,
                                               SHMKV_WIRE_KIND_NONE, 0));
          shmkv_store_word (record + 1, ++hand->last_id);
          shmkv_store_word (record + 2, sizeof word);
          shmkv_store_word (record + 3, word);
          shmkv_producer_commit (&hand->requests, length);
        }
      shmkv_producer_publish (&hand->requests);
      if (atomic_load (&hand->server->positions.tail) - atomic_load (&hand->client->taken) >= 64)
        atomic_fetch_add (&hand->client->taken, 64);
      ring_bell (hand);
    }
}

/* The same at full speed. */
static void
gulp (Neighbour *neighbour)
{
  g_autofree char *key = g_strdup_printf ("gulp %u", neighbour->index);
  ShmkvSession *session = session_of (neighbour);
  const ShmkvRequest request = { .op = SHMKV_OP_READ, .key = shmkv_string (key) };

  insert_large (session, key);
  say_ready (neighbour);
  for (;;)
    {
      for (guint i = 0; i < 16; i++)
        submit (session, &request);
      while (shmkv_session_get_in_flight (session) > 0)
        {
          ShmkvCompletion completions[16];
          gssize n = shmkv_session_take (session, completions, 16, TIMEOUT_US, NULL);

          for (gssize i = 0; i < n; i++)
            shmkv_completion_clear (&completions[i]);
        }
    }
}

/* What takes long on a large table. */
static void
hog (Neighbour *neighbour)
{
  ShmkvSession *session = session_of (neighbour);
  const ShmkvRequest requests[] = {
    { .op = SHMKV_OP_COUNT },
    { .op = SHMKV_OP_SCAN, .key = shmkv_string ("no such prefix") },
    { .op = SHMKV_OP_STATS },
    { .op = SHMKV_OP_SESSIONS },
  };

  say_ready (neighbour);
  for (guint i = 0;; i++)
    call (session, &requests[i % G_N_ELEMENTS (requests)]);
}

/* Deletes everything, again and again. */
static void
clear (Neighbour *neighbour)
{
  ShmkvSession *session = session_of (neighbour);
  const ShmkvRequest request = { .op = SHMKV_OP_CLEAR };

  say_ready (neighbour);
  for (;;)
    call (session, &request);
}

/* Is told of every change. */
static void
watch (Neighbour *neighbour)
{
  ShmkvClient *client = helper_attach (neighbour->name);
  const ShmkvDatum everything = shmkv_string ("");
  g_autoptr (GError) error = NULL;
  ShmkvWatch *watch = shmkv_watch_new (client, &everything, &error);

  helper_require (watch != NULL, "watch", &error);
  say_ready (neighbour);
  for (;;)
    {
      ShmkvPairs *changes = NULL;
      gboolean missed;

      if (!shmkv_watch_next (watch, TIMEOUT_US, &changes, &missed, &error))
        g_clear_error (&error);
      g_clear_pointer (&changes, shmkv_pairs_unref);
    }
}

/* Starts and stops workers. */
static void
flap (Neighbour *neighbour)
{
  ShmkvSession *session = session_of (neighbour);
  const ShmkvRequest start = { .op = SHMKV_OP_START_WORKERS, .value = shmkv_integer (1) };
  const ShmkvRequest stop = { .op = SHMKV_OP_STOP_WORKER };

  say_ready (neighbour);
  for (;;)
    {
      call (session, &start);
      call (session, &stop);
    }
}

/* Has the server print. */
static void
print (Neighbour *neighbour)
{
  ShmkvSession *session = session_of (neighbour);

  say_ready (neighbour);
  for (guint64 i = 0;; i++)
    {
      const ShmkvRequest request = { .op = SHMKV_OP_PRINT, .flags = SHMKV_FLAG_NO_RESPONSE,
                                     .key = shmkv_integer (i % 64) };

      submit (session, &request);
    }
}

/* Forges a position, is dropped, and claims a lane again.  Only half of them: to
 * be left without any is what claimers are for. */
static void
forge (Neighbour *neighbour)
{
  Hand *hand = hand_new (neighbour->name);
  guint n = hand->segment->geometry.sessions;

  for (guint lane = n / 2;; lane = lane + 1 < n ? lane + 1 : n / 2)
    {
      if (try_claim (hand, lane))
        {
          await_phase (hand, SHMKV_WIRE_LANE_ACTIVE);
          atomic_fetch_add (&hand->client->tail, 3);
          ring_bell (hand);
          await_phase (hand, SHMKV_WIRE_LANE_DROPPED);
          set_claim (hand, 0);
          shmkv_segment_unlock_lane (hand->segment, lane);
        }
      say_ready (neighbour);
    }
}

/* Opens sessions and ends them, in good order. */
static void
come_and_go (Neighbour *neighbour)
{
  ShmkvClient *client = helper_attach (neighbour->name);

  say_ready (neighbour);
  for (;;)
    {
      ShmkvSession *session = shmkv_session_new (client, NULL);

      if (session != NULL)
        shmkv_session_free (session);
    }
}

typedef struct
{
  const char *name;
  void (*run) (Neighbour *neighbour);
} Kind;

static const Kind kinds[] = {
  { "burner", burn },         { "flooder", flood },   { "large-flooder", flood_large },
  { "sleeper", sleep_on },    { "dribbler", dribble }, { "wake-storm", storm },
  { "napper", nap },          { "arrivals", arrive }, { "claimer", claim },
  { "holder", hold },         { "come-and-go", come_and_go }, { "slow-reader", sip },
  { "large-reader", gulp },   { "hog", hog },         { "clearer", clear },
  { "watcher", watch },       { "flapper", flap },    { "printer", print },
  { "forger", forge },
};

/* ------------------------------------------------------------------------ main */

typedef struct
{
  const Kind *kind;
  Neighbour neighbour;
} Start;

static gpointer
run (gpointer data)
{
  Start *start = data;

  start->kind->run (&start->neighbour);
  return NULL;
}

static const Kind *
find_kind (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (strcmp (kinds[i].name, name) == 0)
      return &kinds[i];
  return NULL;
}

/* `n` threads, until all are at it. */
static void
start_all (const char *name, GAsyncQueue *ready, const Kind *kind, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      Start *start = g_new0 (Start, 1);

      *start = (Start) { .kind = kind, .neighbour = { .name = name, .index = i, .ready = ready } };
      g_thread_unref (g_thread_new (kind->name, run, start));
    }
  for (guint i = 0; i < n; i++)
    g_async_queue_pop (ready);
}

int
main (int argc, char **argv)
{
  guint64 n = argc == 4 ? g_ascii_strtoull (argv[3], NULL, 10) : 1;
  GAsyncQueue *ready = g_async_queue_new ();
  char **names = argc >= 3 ? g_strsplit (argv[2], ",", -1) : NULL;

  helper_require (names != NULL && n > 0, "usage: neighbour NAME KIND[,KIND]... [N]", NULL);
  for (guint i = 0; names[i] != NULL; i++)
    {
      const Kind *kind = find_kind (names[i]);

      helper_require (kind != NULL, names[i], NULL);
      start_all (argv[1], ready, kind, (guint) n);
    }
  helper_say ("ready");
  while (getchar () != EOF)
    ;
  /* The threads go on to the last. */
  _exit (EXIT_SUCCESS);
}
