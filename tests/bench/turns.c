/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client and a worker in one thread, by turns: the client submits a window of
 * requests, the worker serves them, the client takes and checks the answers.
 * Nobody ever waits or spins, so that what is executed is the same every time,
 * down to the instruction; it is made to be run under valgrind.
 *
 * For tests/bench/instructions: submit_turn(), serve_turn() and take_turn() are
 * what is measured, and nothing else calls them.  Keys are put into the table
 * without them.
 *
 * For tests/bench/lines, which counts cache lines: with --areas there are two
 * clients and two workers, each client with a worker of its own, and on standard
 * output is where everything lies: ADDRESS SIZE INDEX NAME.  What has the same
 * name and index is the same memory, perhaps mapped twice.  A store to an area
 * named "begin ROLE" says who runs from then on, INDEX which pair. */

#include "config.h"

#include "rig.h"

#include "server/bucket.h"
#include "shmkv/session-private.h"

#include <pthread.h>
#include <shmkv/shmkv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_SIZE (256u << 10)
#define SEED G_GUINT64_CONSTANT (0x5eed5eed5eed5eed)
#define MAX_PAIRS 2
#define MAX_WINDOW 4096
#define WARM_TURNS 2

static char *op_name;
static gint ops = 100000;
static gint window = 1024;
static gint keys = 100000;
static gint buckets = 500;
static gboolean areas;

static const GOptionEntry entries[] = {
  { "op", 0, 0, G_OPTION_ARG_STRING, &op_name, "read, insert (new keys), replace or delete", "OP" },
  { "ops", 0, 0, G_OPTION_ARG_INT, &ops, "So many (default: 100000)", "N" },
  { "window", 0, 0, G_OPTION_ARG_INT, &window, "In a turn (default: 1024)", "N" },
  { "keys", 0, 0, G_OPTION_ARG_INT, &keys, "In the table (default: 100000)", "N" },
  { "buckets", 0, 0, G_OPTION_ARG_INT, &buckets, "Of the table (default: 500)", "N" },
  { "areas", 0, 0, G_OPTION_ARG_NONE, &areas, "Two clients and workers; say what is where", NULL },
  { NULL }
};

typedef struct
{
  const char *name;
  ShmkvOp op;
  gboolean filled;                  /* the keys are there at the beginning */
  gboolean replaces;
} Work;

/* Whose turn it is; each on a line of its own. */
typedef struct
{
  alignas (SHMKV_WIRE_ALIGN) _Atomic guint begun;
} Marker;

/* A client and its worker. */
typedef struct
{
  ShmkvExecutor executor;
  guint position;
  alignas (SHMKV_WIRE_ALIGN) Rig *rig;
  ShmkvSession *session;
  ShmkvOp op;
  gboolean replaces;
  guint64 next;                     /* number of the next key */
  guint64 checked;
  guint64 wanted[MAX_WINDOW];       /* keys of the turn */
  ShmkvCompletion completions[MAX_WINDOW];
  Marker submits, serves, takes, ends;
} Pair;

/* ------------------------------------------------------------ what lies where */

/* The server keeps its lanes to itself; this is how we know where. */
static struct
{
  gpointer memory;
  gsize size;
} aligned[16];
static guint n_aligned;

void *
aligned_alloc (size_t alignment, size_t size)
{
  void *memory;

  if (posix_memalign (&memory, alignment, size) != 0)
    return NULL;
  if (n_aligned < G_N_ELEMENTS (aligned))
    {
      aligned[n_aligned].memory = memory;
      aligned[n_aligned++].size = size;
    }
  return memory;
}

static void
say_at (guint64 address, guint64 size, guint index, const char *name)
{
  if (size > 0)
    printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %u %s\n", address, size, index, name);
}

static void
say (gconstpointer address, gsize size, guint index, const char *name)
{
  say_at ((guintptr) address, size, index, name);
}

static void
say_lanes (const Rig *rig)
{
  guint n = rig->segment->geometry.sessions;

  for (guint i = 0; i < n_aligned; i++)
    if (aligned[i].size == n * sizeof (ShmkvLane)
        && ((const ShmkvLane *) aligned[i].memory)->segment == rig->segment)
      {
        const ShmkvLane *lanes = aligned[i].memory;

        for (guint lane = 0; lane < n; lane++)
          {
            say (&lanes[lane], G_STRUCT_OFFSET (ShmkvLane, index), lane,
                 "server's lane, shared part");
            say (&lanes[lane].index, sizeof (ShmkvLane) - G_STRUCT_OFFSET (ShmkvLane, index), lane,
                 "server's lane, holder's part");
          }
      }
}

static void
say_table (const ShmkvTable *table)
{
  say (table, G_STRUCT_OFFSET (ShmkvTable, memory), 0, "table, constant part");
  say (&table->memory, sizeof *table - G_STRUCT_OFFSET (ShmkvTable, memory), 0, "table, counts");
  for (guint i = 0; i < table->hash.n_buckets; i++)
    {
      const ShmkvBucket *bucket = &table->buckets[i];

      say (bucket, sizeof *bucket, i, "bucket");
      say (bucket->lock.p, bucket->lock.p != NULL ? sizeof (pthread_rwlock_t) : 0, i,
           "bucket's lock");
      say (shmkv_get_slots (bucket), shmkv_slots_size (bucket), i, "slots");
    }
}

static void
say_segment (const ShmkvSegment *segment)
{
  say (segment->requests.base, sizeof (ShmkvRequestsHeader), 0, "requests: header");
  say (segment->responses.base, sizeof (ShmkvResponsesHeader), 0, "responses: header");
  for (guint i = 0; i < segment->geometry.sessions; i++)
    {
      const ShmkvRequestsLane *lane = shmkv_segment_requests_lane (segment, i);

      say (lane, G_STRUCT_OFFSET (ShmkvRequestsLane, taken), i, "requests: claim and tail");
      say (&lane->taken, sizeof *lane - G_STRUCT_OFFSET (ShmkvRequestsLane, taken), i,
           "requests: taken");
      say (shmkv_segment_responses_lane (segment, i), sizeof (ShmkvResponsesLane), i,
           "responses: head and tail");
      say (shmkv_segment_requests_ring (segment, i), RING_SIZE, i, "requests: ring");
      say (shmkv_segment_responses_ring (segment, i), RING_SIZE, i, "responses: ring");
    }
}

static void
say_pair (const Pair *pair, guint i)
{
  const ShmkvSession *session = pair->session;

  say (&pair->submits, sizeof pair->submits, i, "begin client");
  say (&pair->serves, sizeof pair->serves, i, "begin worker");
  say (&pair->takes, sizeof pair->takes, i, "begin client again");
  say (&pair->ends, sizeof pair->ends, i, "begin nobody");
  say (pair, G_STRUCT_OFFSET (Pair, rig), i, "worker's own");
  say (&pair->rig, G_STRUCT_OFFSET (Pair, submits) - G_STRUCT_OFFSET (Pair, rig), i,
       "not counted");
  say (pair->executor.counters, sizeof *pair->executor.counters, i, "worker's counters");
  say (pair->executor.scratch, SHMKV_SCRATCH_SIZE, i, "worker's own");
  say (session, G_STRUCT_OFFSET (ShmkvSession, requests), i, "session, constant part");
  say (&session->requests, sizeof *session - G_STRUCT_OFFSET (ShmkvSession, requests), i,
       "session");
}

/* What lies below is of a thread, in whichever role it is just now. */
static void
say_stack (void)
{
  const guint below = 512 * 1024;
  guint8 here;

  say_at ((guintptr) &here - below, below + 64 * 1024, 0, "not counted");
}

/* ----------------------------------------------------------------------- turns */

/* A bijection, so that different numbers make different keys. */
static guint64
nth_key (guint64 n)
{
  n *= G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  n ^= n >> 31;
  return n * G_GUINT64_CONSTANT (0xd6e8feb86659fd93);
}

static void
mark (Marker *marker)
{
  atomic_fetch_add (&marker->begun, 1);
}

static guint64
submit_one (Pair *pair, guint64 key)
{
  switch (pair->op)
    {
    case SHMKV_OP_READ:
      return shmkv_session_submit_read (pair->session, key, SHMKV_FLAG_NONE, NULL, NULL);
    case SHMKV_OP_INSERT:
      return shmkv_session_submit_insert (pair->session, key, ~key, SHMKV_FLAG_NONE, NULL, NULL);
    default:
      return shmkv_session_submit_delete (pair->session, key, SHMKV_FLAG_NONE, NULL, NULL);
    }
}

static G_GNUC_NO_INLINE void
submit_turn (Pair *pair, guint n)
{
  for (guint i = 0; i < n; i++)
    submit_one (pair, pair->wanted[i]);
  shmkv_session_flush (pair->session, NULL);
}

static G_GNUC_NO_INLINE void
serve_turn (Pair *pair)
{
  if (shmkv_lanes_serve (pair->rig->lanes, &pair->executor, &pair->position).served == 0)
    g_error ("there is nothing to serve");
}

static G_GNUC_NO_INLINE guint
take_turn (Pair *pair, guint begin, guint n)
{
  gssize taken = shmkv_session_take (pair->session, pair->completions + begin, n - begin, 0, NULL);

  return begin + (guint) MAX (taken, 0);
}

static void
check (Pair *pair, guint n)
{
  ShmkvStatus right = pair->op != SHMKV_OP_INSERT ? SHMKV_STATUS_OK
                      : pair->replaces            ? SHMKV_STATUS_REPLACED
                                                  : SHMKV_STATUS_ADDED;

  for (guint i = 0; i < n; i++)
    if (pair->completions[i].status != right
        || (pair->op == SHMKV_OP_READ && pair->completions[i].value != ~pair->wanted[i]))
      g_error ("a wrong answer: status %d", pair->completions[i].status);
  pair->checked += n;
}

static guint64
choose_key (Pair *pair)
{
  guint64 number = pair->next++;

  return nth_key (pair->op == SHMKV_OP_READ || pair->replaces ? number % (guint) keys : number);
}

static void
run_turn (Pair *pair, guint n)
{
  for (guint i = 0; i < n; i++)
    pair->wanted[i] = choose_key (pair);
  mark (&pair->submits);
  submit_turn (pair, n);
  mark (&pair->ends);
  for (guint taken = 0; taken < n;)
    {
      mark (&pair->serves);
      serve_turn (pair);
      mark (&pair->takes);
      taken = take_turn (pair, taken, n);
      mark (&pair->ends);
    }
  check (pair, n);
}

/* ------------------------------------------------------------------------ frame */

static void
fill (Rig *rig, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      guint64 key = nth_key (i);
      ShmkvTablePlace place = shmkv_table_locate (rig->table, key);

      shmkv_table_insert (rig->table, &place, ~key);
    }
}

static Pair *
pair_new (Rig *rig, ShmkvClient *client, const Work *work, guint64 first)
{
  gpointer memory = aligned_alloc (SHMKV_WIRE_ALIGN, sizeof (Pair));
  Pair *pair = memset (memory, 0, sizeof *pair);

  pair->rig = rig;
  pair->op = work->op;
  pair->replaces = work->replaces;
  pair->next = first;
  if (!shmkv_executor_init (&pair->executor, NULL, rig->table, shmkv_counters_new ()))
    g_error ("there is no memory");
  rig_pump_start (rig);
  pair->session = shmkv_session_new (client, NULL);
  rig_pump_stop (rig);
  g_assert_nonnull (pair->session);
  return pair;
}

static void
pair_free (Pair *pair)
{
  ShmkvCounters *counters = pair->executor.counters;

  rig_pump_start (pair->rig);
  shmkv_session_free (pair->session);
  rig_pump_stop (pair->rig);
  shmkv_executor_clear (&pair->executor);
  shmkv_counters_free (counters);
  free (pair);
}

static void
say_all (Rig *rig, Pair **pairs, guint n)
{
  for (guint i = 0; i < n; i++)
    say_pair (pairs[i], i);
  say_segment (rig->segment);
  say_segment (pairs[0]->session->client->segment);
  say_lanes (rig);
  say_table (rig->table);
  say_stack ();
  fflush (stdout);
}

static void
run_all (Pair **pairs, guint n)
{
  while (pairs[n - 1]->checked < (guint64) ops)
    for (guint i = 0; i < n; i++)
      run_turn (pairs[i], (guint) MIN ((guint64) window, (guint64) ops - pairs[i]->checked));
}

/* With --areas the first turns are not to be counted: the positions that each
 * side caches are not yet what they are later. */
static void
warm_up (Pair **pairs, guint n)
{
  for (guint turn = 0; turn < WARM_TURNS; turn++)
    for (guint i = 0; i < n; i++)
      run_turn (pairs[i], (guint) window);
  for (guint i = 0; i < n; i++)
    pairs[i]->checked = 0;
}

static void
run (Rig *rig, ShmkvClient *client, const Work *work)
{
  Pair *pairs[MAX_PAIRS];
  guint n = areas ? MAX_PAIRS : 1;

  for (guint i = 0; i < n; i++)
    pairs[i] = pair_new (rig, client, work, i * (guint64) keys / n);
  if (areas)
    {
      warm_up (pairs, n);
      say_all (rig, pairs, n);
    }
  run_all (pairs, n);
  for (guint i = 0; i < n; i++)
    pair_free (pairs[i]);
}

static const Work works[] = {
  { "read", SHMKV_OP_READ, TRUE, FALSE },
  { "insert", SHMKV_OP_INSERT, FALSE, FALSE },
  { "replace", SHMKV_OP_INSERT, TRUE, TRUE },
  { "delete", SHMKV_OP_DELETE, TRUE, FALSE },
};

static const Work *
find_work (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (works); i++)
    if (g_strcmp0 (op_name, works[i].name) == 0)
      return &works[i];
  g_printerr ("turns: --op is read, insert, replace or delete\n");
  exit (2);
}

static void
check_options (const Work *work)
{
  if (window < 1 || window > MAX_WINDOW || ops < 1 || keys < 1 || buckets < 1)
    {
      g_printerr ("turns: --window is 1 to %d, and the others at least 1\n", MAX_WINDOW);
      exit (2);
    }
  if ((areas && (work->op == SHMKV_OP_DELETE || !work->filled))
      || (work->op == SHMKV_OP_DELETE && ops > keys))
    {
      g_printerr ("turns: there are not so many keys to insert or delete\n");
      exit (2);
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  const Work *work;
  ShmkvClient *client;
  Rig *rig;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      g_printerr ("turns: %s\n", error->message);
      return 2;
    }
  work = find_work ();
  check_options (work);
  rig = rig_new_with_table (2, RING_SIZE, &(ShmkvTableOptions) { .n_buckets = (guint) buckets,
                                                                 .seed = SEED });
  if (work->filled)
    fill (rig, (guint) keys);
  client = shmkv_client_new (rig->name, &error);
  if (client == NULL)
    g_error ("%s", error->message);
  run (rig, client, work);
  shmkv_client_unref (client);
  rig_free (rig);
  return 0;
}
