/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/bench-loop.h"

#include "client/cli.h"
#include "client/clock.h"
#include "client/session.h"

#define MAX_CHUNK 64
#define TAKE_CHUNK 256

static const struct
{
  const char *name;
  CliBenchOp op;
} ops[] = {
  { "insert", CLI_BENCH_INSERT }, { "read", CLI_BENCH_READ },   { "delete", CLI_BENCH_DELETE },
  { "mixed", CLI_BENCH_MIXED },   { "ping", CLI_BENCH_PING },
};

gboolean
cli_bench_op_parse (const char *text, CliBenchOp *op_out, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (ops); i++)
    {
      if (g_str_equal (text, ops[i].name))
        {
          *op_out = ops[i].op;
          return TRUE;
        }
    }
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "there is no operation '%s' to measure; insert, read, delete, mixed and ping are "
               "possible",
               text);
  return FALSE;
}

/* Several chunks to a window, so that the server has work while one is made. */
guint
cli_bench_get_chunk (guint window)
{
  return CLAMP (window / 4, 1, MAX_CHUNK);
}

guint64
cli_bench_get_value (guint64 key)
{
  return cli_mix (key);
}

/* When chunks were begun, of those in flight: there are at most as many as fit
 * in the window. */
typedef struct
{
  gint64 *begun_ns;        /* a ring of n_slots */
  guint n_slots;
  guint64 n_begun;
  guint64 n_ended;
} Chunks;

static ShmkvOp
choose_op (CliBenchLoop *loop)
{
  switch (loop->op)
    {
    case CLI_BENCH_INSERT:
      return SHMKV_OP_INSERT;
    case CLI_BENCH_READ:
      return SHMKV_OP_READ;
    case CLI_BENCH_DELETE:
      return SHMKV_OP_DELETE;
    case CLI_BENCH_PING:
      return SHMKV_OP_PING;
    case CLI_BENCH_MIXED:
      break;
    }
  return cli_random_next (&loop->keygen.random) & 1 ? SHMKV_OP_READ : SHMKV_OP_INSERT;
}

/* The key's number comes back as user data, and tells which answer is right. */
static inline guint64
submit_one (CliBenchLoop *loop, GError **error)
{
  ShmkvOp op = choose_op (loop);
  guint64 number = cli_keygen_next (&loop->keygen);
  guint64 key = loop->key_base + number;
  gpointer data = GSIZE_TO_POINTER (number);
  ShmkvSession *session = loop->session;

  if (op == SHMKV_OP_READ)
    return shmkv_session_submit_read (session, key, SHMKV_FLAG_NONE, data, error);
  if (op == SHMKV_OP_INSERT)
    return shmkv_session_submit_insert (session, key, cli_bench_get_value (key), SHMKV_FLAG_NONE,
                                        data, error);
  if (op == SHMKV_OP_DELETE)
    return shmkv_session_submit_delete (session, key, SHMKV_FLAG_NONE, data, error);
  return shmkv_session_submit (session, &(ShmkvRequest) { .op = op, .user_data = data }, error);
}

static gboolean
submit_chunk (CliBenchLoop *loop, Chunks *chunks, guint n, gint64 now_ns, GError **error)
{
  for (guint i = 0; i < n; i++)
    {
      if (submit_one (loop, error) == 0)
        return FALSE;
    }
  chunks->begun_ns[chunks->n_begun++ % chunks->n_slots] = now_ns;
  return shmkv_session_flush (loop->session, error);
}

static inline void
check_one (CliBenchLoop *loop, const ShmkvCompletion *completion)
{
  guint64 key = loop->key_base + GPOINTER_TO_SIZE (completion->user_data);
  gboolean wrong = completion->id != loop->next_id;

  if (G_UNLIKELY (shmkv_status_is_failure (completion->status)))
    loop->errors++;
  else if (completion->status == SHMKV_STATUS_NO_KEY)
    {
      loop->missing++;
      wrong |= loop->has_all_keys;
    }
  else if (completion->op == SHMKV_OP_READ)
    wrong |= completion->value != cli_bench_get_value (key);
  loop->wrong += wrong;
  loop->next_id = completion->id + 1;
}

/* Takes what there is, and waits for it if `must_wait`. */
static gboolean
take_some (CliBenchLoop *loop, gboolean must_wait, GError **error)
{
  ShmkvCompletion completions[TAKE_CHUNK];
  gssize n = must_wait
               ? cli_session_take (loop->session, completions, TAKE_CHUNK, error)
               : shmkv_session_take (loop->session, completions, TAKE_CHUNK, 0, error);

  for (gssize i = 0; i < n; i++)
    check_one (loop, &completions[i]);
  loop->ops += MAX (n, 0);
  return n >= 0;
}

/* Chunks end in the order in which they began.  All but the last are full. */
static void
end_chunks (CliBenchLoop *loop, Chunks *chunks, guint64 submitted, gint64 now_ns)
{
  for (; chunks->n_ended < chunks->n_begun; chunks->n_ended++)
    {
      gint64 begun_ns = chunks->begun_ns[chunks->n_ended % chunks->n_slots];
      guint64 first = chunks->n_ended * loop->chunk;
      guint64 end = MIN (first + loop->chunk, submitted);

      if (end > loop->ops)
        break;
      cli_histogram_add (&loop->latency, now_ns - begun_ns, end - first);
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
          guint n = MIN (loop->chunk, loop->max_ops - submitted);

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
      end_chunks (loop, chunks, submitted, now_ns);
    }
}

gboolean
cli_bench_loop_run (CliCrew *crew, gpointer data, GError **error)
{
  CliBenchLoop *loop = data;
  guint n_slots = loop->window / loop->chunk;
  g_autofree gint64 *begun_ns = g_new (gint64, n_slots);
  Chunks chunks = { .begun_ns = begun_ns, .n_slots = n_slots };

  return run (crew, loop, &chunks, error);
}
