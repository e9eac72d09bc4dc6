/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The loop that can do all there is; see bench-loop.h.  Each operation in flight
 * has a slot, whose index is the user data of its requests.
 *
 * In an open loop the thread sleeps until shortly before the next operation is
 * to begin, and then looks at the clock: timers are late by some microseconds. */

#include "config.h"

#include "client/bench-loop.h"

#include "client/bench-scan.h"
#include "client/clock.h"
#include "client/random.h"
#include "client/session.h"

#include <sys/prctl.h>
#include <time.h>

#define TAKE_CHUNK 64

/* As YCSB's workload E. */
#define MAX_SCAN 100

/* How long before the time to wake up. */
#define EARLY_NS 50000

/* Not to sleep through a signal. */
#define MAX_SLEEP_NS 50000000

typedef struct
{
  CliBenchAction action;
  guint64 number;          /* of the key */
  gint64 begun_ns;
} Slot;

typedef struct
{
  CliBenchLoop *loop;
  Slot *slots;             /* loop->window of them */
  guint *free_slots;
  guint n_free;
  guint8 *key;             /* room for one */
  guint8 *value;           /* room for one */
  guint64 begun;
  gint64 start_ns;
  gint64 end_ns;           /* nothing begins from then on */
  gint64 now_ns;
  gboolean must_flush;
} Mix;

static gboolean
has_in_flight (const Mix *mix)
{
  return mix->n_free < mix->loop->window;
}

/* ------------------------------------------------------------------- submit */

static CliBenchAction
choose_action (CliBenchLoop *loop)
{
  const guint *percents = loop->work->percents;
  guint64 left = cli_random_below (&loop->keygen.random, 100);
  CliBenchAction action = 0;

  while (left >= percents[action])
    left -= percents[action++];
  return action;
}

static guint64
choose_number (CliBenchLoop *loop, CliBenchAction action)
{
  switch (action)
    {
    case CLI_BENCH_APPEND:
      return cli_keygen_add (&loop->keygen);
    case CLI_BENCH_PING:
      return 0;
    default:
      return cli_keygen_next (&loop->keygen);
    }
}

/* Where the cursor for key `number` is, as if keys had an order. */
static guint64
choose_cursor (const CliBenchLoop *loop, guint64 number)
{
  guint index = (guint) ((double) number / (double) loop->keygen.n * loop->cursors->len);

  return g_array_index (loop->cursors, guint64, MIN (index, loop->cursors->len - 1));
}

static ShmkvRequest
make_request (Mix *mix, const Slot *slot, guint64 words[CLI_BENCH_SCAN_WORDS])
{
  CliBenchLoop *loop = mix->loop;
  guint64 key = loop->key_base + slot->number;
  ShmkvRequest request = { .op = SHMKV_OP_PING };

  if (slot->action == CLI_BENCH_PING)
    return request;
  if (slot->action == CLI_BENCH_SCAN)
    return cli_bench_scan_request (words, choose_cursor (loop, slot->number),
                                   1 + cli_random_below (&loop->keygen.random, MAX_SCAN), FALSE);
  request.op = SHMKV_OP_READ;
  request.key = cli_bench_data_make_key (loop->data, key, mix->key);
  if (slot->action == CLI_BENCH_DELETE)
    request.op = SHMKV_OP_DELETE;
  else if (slot->action == CLI_BENCH_INSERT || slot->action == CLI_BENCH_APPEND)
    {
      request.op = SHMKV_OP_INSERT;
      request.value = cli_bench_data_make_value (loop->data, key, mix->value);
    }
  return request;
}

static gboolean
submit (Mix *mix, guint index, GError **error)
{
  guint64 words[CLI_BENCH_SCAN_WORDS];
  ShmkvRequest request = make_request (mix, &mix->slots[index], words);

  request.user_data = GUINT_TO_POINTER (index);
  mix->must_flush = TRUE;
  return shmkv_session_submit (mix->loop->session, &request, error) != 0;
}

static gboolean
begin_one (Mix *mix, gint64 begun_ns, GError **error)
{
  guint index = mix->free_slots[--mix->n_free];
  Slot *slot = &mix->slots[index];

  slot->action = choose_action (mix->loop);
  slot->number = choose_number (mix->loop, slot->action);
  slot->begun_ns = begun_ns;
  mix->begun++;
  return submit (mix, index, error);
}

/* ---------------------------------------------------------------- open loop */

/* When the next operation is to begin. */
static gint64
get_due_ns (const Mix *mix)
{
  const CliBenchLoop *loop = mix->loop;

  return mix->start_ns + (gint64) (loop->first_ns + (double) mix->begun * loop->period_ns);
}

static gboolean
begin_due (Mix *mix, GError **error)
{
  CliBenchLoop *loop = mix->loop;

  for (guint i = 0; i < loop->chunk && mix->n_free > 0 && mix->begun < loop->max_ops; i++)
    {
      gint64 due_ns = get_due_ns (mix);

      if (due_ns > mix->now_ns)
        break;
      loop->behind_ns = mix->now_ns - due_ns;
      if (!begin_one (mix, due_ns, error))
        return FALSE;
    }
  return TRUE;
}

static void
sleep_ns (gint64 ns)
{
  const struct timespec time = { .tv_nsec = MIN (ns, MAX_SLEEP_NS) };

  if (ns > 0)
    nanosleep (&time, NULL);
}

/* Takes what comes before the next operation is due, or all ends; -1 on error. */
static gssize
take_before_due (Mix *mix, ShmkvCompletion *completions, GError **error)
{
  gint64 left_ns = MIN (get_due_ns (mix), mix->end_ns) - mix->now_ns - EARLY_NS;

  if (has_in_flight (mix))
    return shmkv_session_take (mix->loop->session, completions, TAKE_CHUNK,
                               CLAMP (left_ns, 0, MAX_SLEEP_NS) / 1000, error);
  sleep_ns (left_ns);
  return 0;
}

/* What was to begin before the end, and did not since there was no room in the
 * window, is late too. */
static void
count_unbegun (Mix *mix)
{
  CliBenchLoop *loop = mix->loop;
  gint64 due_ns = get_due_ns (mix);

  if (loop->period_ns > 0 && mix->begun < loop->max_ops && due_ns < mix->end_ns)
    loop->behind_ns = MAX (loop->behind_ns, mix->end_ns - due_ns);
}

/* -------------------------------------------------------------- closed loop */

static gboolean
begin_chunk (Mix *mix, GError **error)
{
  CliBenchLoop *loop = mix->loop;
  guint n = (guint) MIN (loop->chunk, loop->max_ops - mix->begun);

  if (mix->n_free < loop->chunk)
    return TRUE;
  for (guint i = 0; i < n; i++)
    {
      if (!begin_one (mix, mix->now_ns, error))
        return FALSE;
    }
  return TRUE;
}

/* -------------------------------------------------------------------- check */

/* Others may have keys too. */
static gboolean
are_pairs_right (CliBenchLoop *loop, const ShmkvPairs *pairs)
{
  gsize n = shmkv_pairs_get_length (pairs);

  loop->pairs += n;
  for (gsize i = 0; i < n; i++)
    {
      ShmkvDatum datum, value;
      guint64 key;

      shmkv_pairs_get (pairs, i, &datum, &value);
      if (cli_bench_data_find_key (loop->data, &datum, &key)
          && key - loop->key_base < CLI_KEYS_MAX
          && !cli_bench_data_is_value (loop->data, key, &value))
        return FALSE;
    }
  return TRUE;
}

static gboolean
is_value_right (const CliBenchLoop *loop, guint64 number, const ShmkvCompletion *completion)
{
  ShmkvDatum value = shmkv_integer (completion->value);

  value.kind = completion->value_kind;
  if (completion->bytes != NULL)
    value.bytes = g_bytes_get_data (completion->bytes, &value.length);
  return cli_bench_data_is_value (loop->data, loop->key_base + number, &value);
}

/* Of what is no failure. */
static gboolean
is_right (CliBenchLoop *loop, const Slot *slot, const ShmkvCompletion *completion)
{
  switch (completion->op)
    {
    case SHMKV_OP_INSERT:
      return completion->status == SHMKV_STATUS_ADDED
             || completion->status == SHMKV_STATUS_REPLACED;
    case SHMKV_OP_READ:
    case SHMKV_OP_DELETE:
      if (completion->status == SHMKV_STATUS_NO_KEY)
        {
          loop->missing++;
          /* An insert that failed made none. */
          return !loop->has_all_keys || loop->errors > 0;
        }
      return completion->status == SHMKV_STATUS_OK
             && (completion->op != SHMKV_OP_READ
                 || is_value_right (loop, slot->number, completion));
    case SHMKV_OP_SCAN:
      return completion->status == SHMKV_STATUS_OK && completion->pairs != NULL
             && are_pairs_right (loop, completion->pairs);
    default:
      return completion->status == SHMKV_STATUS_OK;
    }
}

static void
check (CliBenchLoop *loop, const Slot *slot, const ShmkvCompletion *completion)
{
  gboolean wrong = completion->id != loop->next_id;

  if (shmkv_status_is_failure (completion->status))
    loop->errors++;
  else
    wrong |= !is_right (loop, slot, completion);
  loop->wrong += wrong;
  loop->next_id = completion->id + 1;
}

/* --------------------------------------------------------------------- loop */

static gboolean
end_one (Mix *mix, ShmkvCompletion *completion, GError **error)
{
  CliBenchLoop *loop = mix->loop;
  guint index = GPOINTER_TO_UINT (completion->user_data);
  Slot *slot = &mix->slots[index];
  gboolean failed = shmkv_status_is_failure (completion->status);

  check (loop, slot, completion);
  shmkv_completion_clear (completion);
  if (slot->action == CLI_BENCH_MODIFY && !failed)
    {
      /* That was its first half. */
      slot->action = CLI_BENCH_INSERT;
      return submit (mix, index, error);
    }
  cli_histogram_add (&loop->latency, (guint64) (mix->now_ns - slot->begun_ns), 1);
  mix->free_slots[mix->n_free++] = index;
  loop->ops++;
  return TRUE;
}

/* Waits for responses where nothing can be done without them. */
static gboolean
take_some (Mix *mix, gboolean more, GError **error)
{
  CliBenchLoop *loop = mix->loop;
  ShmkvCompletion completions[TAKE_CHUNK];
  guint needed = loop->period_ns > 0 ? 1 : loop->chunk;
  gboolean done = TRUE;
  gssize n;

  if (!more || mix->n_free < needed)
    n = cli_session_take (loop->session, completions, TAKE_CHUNK, error);
  else if (loop->period_ns > 0)
    n = take_before_due (mix, completions, error);
  else
    n = shmkv_session_take (loop->session, completions, TAKE_CHUNK, 0, error);
  mix->now_ns = cli_clock_ns ();
  for (gssize i = 0; i < n; i++)
    {
      if (done)
        done = end_one (mix, &completions[i], error);
      else
        shmkv_completion_clear (&completions[i]);
    }
  return done && n >= 0;
}

static gboolean
flush (Mix *mix, GError **error)
{
  if (!mix->must_flush)
    return TRUE;
  mix->must_flush = FALSE;
  return shmkv_session_flush (mix->loop->session, error);
}

static gboolean
run (CliCrew *crew, Mix *mix, GError **error)
{
  CliBenchLoop *loop = mix->loop;

  for (;;)
    {
      gboolean more = mix->begun < loop->max_ops && mix->now_ns < mix->end_ns
                      && !cli_crew_should_stop (crew);

      if (more && !(loop->period_ns > 0 ? begin_due (mix, error) : begin_chunk (mix, error)))
        return FALSE;
      if (!flush (mix, error))
        return FALSE;
      more = more && mix->begun < loop->max_ops;
      if (!more && !has_in_flight (mix))
        return TRUE;
      if (!take_some (mix, more, error))
        return FALSE;
    }
}

gboolean
cli_bench_mix_run (CliCrew *crew, gpointer data, GError **error)
{
  CliBenchLoop *loop = data;
  g_autofree Slot *slots = g_new0 (Slot, loop->window);
  g_autofree guint *free_slots = g_new (guint, loop->window);
  g_autofree guint8 *key = g_malloc (loop->data->key_size);
  g_autofree guint8 *value = g_malloc (loop->data->value_max);
  Mix mix = { .loop = loop, .slots = slots, .free_slots = free_slots, .key = key, .value = value };

  for (guint i = 0; i < loop->window; i++)
    free_slots[mix.n_free++] = i;
  /* Not to let others of the kernel's timers come first. */
  prctl (PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  mix.start_ns = mix.now_ns = cli_clock_ns ();
  mix.end_ns = loop->max_ns > 0 ? mix.start_ns + loop->max_ns : G_MAXINT64;
  if (!run (crew, &mix, error))
    return FALSE;
  count_unbegun (&mix);
  return TRUE;
}
