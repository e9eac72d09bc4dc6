/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The plain loop; see bench-loop.h.  What depends on the operation is decided
 * once per chunk, and what is as it should be is seen in a few instructions:
 * check_strange() is for the rest. */

#include "config.h"

#include "client/bench-loop.h"

#include "client/cli.h"
#include "client/clock.h"
#include "client/session.h"

#define MAX_CHUNK 64
#define TAKE_CHUNK 64

/* Several chunks to a window, so that the server has work while one is made. */
guint
cli_bench_get_chunk (guint window)
{
  return CLAMP (window / 4, 1, MAX_CHUNK);
}

/* When chunks were begun, of those in flight: there are at most as many as fit
 * in the window. */
typedef struct
{
  gint64 *begun_ns;        /* a ring of n_slots */
  guint n_slots;
  guint64 n_begun;
  guint64 n_ended;
  guint64 ended_ops;       /* whose latency was counted */
} Chunks;

/* ------------------------------------------------------------------- submit */

/* Chosen all at once: a short loop, in which the generator's state stays in
 * registers. */
static void
choose_numbers (CliBenchLoop *loop, guint64 *numbers, guint n)
{
  CliKeygen *keygen = &loop->keygen;
  guint64 random = keygen->random;
  guint64 n_keys = keygen->n;

  if (keygen->distribution.kind != CLI_KEYS_UNIFORM)
    {
      for (guint i = 0; i < n; i++)
        numbers[i] = cli_keygen_next (keygen);
      return;
    }
  for (guint i = 0; i < n; i++)
    numbers[i] = cli_random_below (&random, n_keys);
  keygen->random = random;
}

/* The key's number comes back as user data, and tells which answer is right. */
static inline gboolean
submit_one (ShmkvSession *session, ShmkvOp op, guint64 key_base, guint64 number, GError **error)
{
  guint64 key = key_base + number;
  gpointer data = GSIZE_TO_POINTER (number);

  if (op == SHMKV_OP_READ)
    return shmkv_session_submit_read (session, key, SHMKV_FLAG_NONE, data, error) != 0;
  if (op == SHMKV_OP_INSERT)
    return shmkv_session_submit_insert (session, key, cli_bench_get_value (key), SHMKV_FLAG_NONE,
                                        data, error) != 0;
  return shmkv_session_submit_delete (session, key, SHMKV_FLAG_NONE, data, error) != 0;
}

/* Where `op` is a constant, so is what it decides. */
static inline gboolean
submit_all (const CliBenchLoop *loop, ShmkvOp op, const guint64 *numbers, guint n, GError **error)
{
  ShmkvSession *session = loop->session;
  guint64 key_base = loop->key_base;

  for (guint i = 0; i < n; i++)
    {
      if (!submit_one (session, op, key_base, numbers[i], error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
submit_mixed (CliBenchLoop *loop, const guint64 *numbers, guint n, GError **error)
{
  guint reads = loop->work->percents[CLI_BENCH_READ];

  for (guint i = 0; i < n; i++)
    {
      ShmkvOp op = cli_random_below (&loop->keygen.random, 100) < reads ? SHMKV_OP_READ
                                                                       : SHMKV_OP_INSERT;

      if (!submit_one (loop->session, op, loop->key_base, numbers[i], error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
submit_pings (CliBenchLoop *loop, guint n, GError **error)
{
  const ShmkvRequest ping = { .op = SHMKV_OP_PING };

  for (guint i = 0; i < n; i++)
    {
      if (shmkv_session_submit (loop->session, &ping, error) == 0)
        return FALSE;
    }
  return TRUE;
}

static gboolean
submit_some (CliBenchLoop *loop, guint n, GError **error)
{
  const guint *percents = loop->work->percents;
  guint64 numbers[MAX_CHUNK];

  if (percents[CLI_BENCH_PING] == 100)
    return submit_pings (loop, n, error);
  choose_numbers (loop, numbers, n);
  if (percents[CLI_BENCH_READ] == 100)
    return submit_all (loop, SHMKV_OP_READ, numbers, n, error);
  if (percents[CLI_BENCH_INSERT] == 100)
    return submit_all (loop, SHMKV_OP_INSERT, numbers, n, error);
  if (percents[CLI_BENCH_DELETE] == 100)
    return submit_all (loop, SHMKV_OP_DELETE, numbers, n, error);
  return submit_mixed (loop, numbers, n, error);
}

static gboolean
submit_chunk (CliBenchLoop *loop, Chunks *chunks, guint n, gint64 now_ns, GError **error)
{
  if (!submit_some (loop, n, error))
    return FALSE;
  chunks->begun_ns[chunks->n_begun++ % chunks->n_slots] = now_ns;
  return shmkv_session_flush (loop->session, error);
}

/* -------------------------------------------------------------------- check */

/* Whether it is what nearly all are: the next one, with the right value, or a key
 * that was set. */
static inline gboolean
is_as_usual (const CliBenchLoop *loop, const ShmkvCompletion *completion, guint64 id)
{
  guint64 key = loop->key_base + GPOINTER_TO_SIZE (completion->user_data);

  if (completion->id != id)
    return FALSE;
  if (completion->op == SHMKV_OP_READ)
    return completion->status == SHMKV_STATUS_OK
           && completion->value == cli_bench_get_value (key)
           && completion->value_kind == SHMKV_KIND_INTEGER;
  if (completion->op == SHMKV_OP_INSERT)
    return completion->status == SHMKV_STATUS_ADDED
           || completion->status == SHMKV_STATUS_REPLACED;
  return completion->status == SHMKV_STATUS_OK;
}

static void
check_strange (CliBenchLoop *loop, ShmkvCompletion *completion, guint64 id)
{
  gboolean wrong = completion->id != id;

  if (completion->status == SHMKV_STATUS_NO_KEY && completion->op != SHMKV_OP_INSERT)
    {
      loop->missing++;
      wrong |= loop->has_all_keys;
    }
  else if (shmkv_status_is_failure (completion->status))
    loop->errors++;
  else
    wrong |= !is_as_usual (loop, completion, completion->id);
  loop->wrong += wrong;
  if (completion->bytes != NULL)
    shmkv_completion_clear (completion);
}

static void
check_some (CliBenchLoop *loop, ShmkvCompletion *completions, gsize n)
{
  guint64 id = loop->next_id;

  for (gsize i = 0; i < n; i++)
    {
      guint64 actual = completions[i].id;

      if (G_UNLIKELY (!is_as_usual (loop, &completions[i], id)))
        check_strange (loop, &completions[i], id);
      id = actual + 1;
    }
  loop->next_id = id;
}

/* --------------------------------------------------------------------- loop */

/* Takes what there is, and waits for it if `must_wait`. */
static gboolean
take_some (CliBenchLoop *loop, gboolean must_wait, GError **error)
{
  ShmkvCompletion completions[TAKE_CHUNK];
  gssize n = must_wait
               ? cli_session_take (loop->session, completions, TAKE_CHUNK, error)
               : shmkv_session_take (loop->session, completions, TAKE_CHUNK, 0, error);

  if (n < 0)
    return FALSE;
  check_some (loop, completions, (gsize) n);
  loop->ops += (guint64) n;
  return TRUE;
}

/* Counts the latency of what was taken by now.  Responses come in the order of
 * the chunks, all of which are full but the last. */
static void
count_latency (CliBenchLoop *loop, Chunks *chunks, gint64 now_ns)
{
  while (chunks->ended_ops < loop->ops)
    {
      guint64 chunk_end = (chunks->n_ended + 1) * loop->chunk;
      guint64 end = MIN (chunk_end, loop->ops);
      gint64 begun_ns = chunks->begun_ns[chunks->n_ended % chunks->n_slots];

      cli_histogram_add (&loop->latency, (guint64) (now_ns - begun_ns), end - chunks->ended_ops);
      chunks->ended_ops = end;
      if (end == chunk_end)
        chunks->n_ended++;
    }
}

static gboolean
run (CliCrew *crew, CliBenchLoop *loop, Chunks *chunks, GError **error)
{
  gint64 now_ns = cli_clock_ns ();
  gint64 end_ns = loop->max_ns > 0 ? now_ns + loop->max_ns : G_MAXINT64;
  guint64 submitted = 0;

  for (;;)
    {
      gboolean more = submitted < loop->max_ops && now_ns < end_ns && !cli_crew_should_stop (crew);
      gboolean fits = submitted - loop->ops + loop->chunk <= loop->window;

      if (more && fits)
        {
          guint n = (guint) MIN (loop->chunk, loop->max_ops - submitted);

          if (!submit_chunk (loop, chunks, n, now_ns, error))
            return FALSE;
          submitted += n;
          fits = submitted - loop->ops + loop->chunk <= loop->window;
        }
      else if (submitted == loop->ops)
        return TRUE;
      if (!take_some (loop, !more || !fits, error))
        return FALSE;
      now_ns = cli_clock_ns ();
      count_latency (loop, chunks, now_ns);
    }
}

static gboolean
run_plain (CliCrew *crew, CliBenchLoop *loop, GError **error)
{
  guint n_slots = loop->window / loop->chunk + 1;
  g_autofree gint64 *begun_ns = g_new (gint64, n_slots);
  Chunks chunks = { .begun_ns = begun_ns, .n_slots = n_slots };

  return run (crew, loop, &chunks, error);
}

gboolean
cli_bench_loop_run (CliCrew *crew, gpointer data, GError **error)
{
  CliBenchLoop *loop = data;

  if (loop->period_ns > 0 || !cli_bench_work_is_plain (loop->work)
      || !cli_bench_data_is_plain (loop->data))
    return cli_bench_mix_run (crew, loop, error);
  return run_plain (crew, loop, error);
}
