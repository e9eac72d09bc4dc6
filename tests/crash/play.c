/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "play.h"

#include "client/random.h"
#include "transport/wait.h"

#include <stdatomic.h>
#include <string.h>

#define TAKE 32
#define TAKE_TIMEOUT_US (60 * G_USEC_PER_SEC)
#define LONGEST_KEY 40

/* How many operations are played before the window is another. */
#define ROUND 200

G_DEFINE_QUARK (play-error-quark, play_error)

/* What an operation is, and what must be answered. */
typedef struct
{
  ShmkvOp op;
  ShmkvFlags flags;
  gboolean common;                  /* it reads a key of everybody's */
  guint key;
  PlayValue value;
  PlayValue expected;               /* of IF_VALUE */
  ShmkvStatus status;
  PlayValue answer;                 /* the value in the answer */
} Step;

/* ------------------------------------------------------------------- values */

static guint64
word_at (guint64 number, gsize i)
{
  return cli_mix (number + i);
}

static void
fill (const PlayValue *value, guint8 *bytes)
{
  for (gsize i = 0; i < value->length; i += 8)
    {
      guint64 word = word_at (value->number, i);

      memcpy (bytes + i, &word, MIN (8, value->length - i));
    }
}

static gboolean
is_filled (const PlayValue *value, const guint8 *bytes)
{
  for (gsize i = 0; i < value->length; i += 8)
    {
      guint64 word = word_at (value->number, i);

      if (memcmp (bytes + i, &word, MIN (8, value->length - i)) != 0)
        return FALSE;
    }
  return TRUE;
}

/* Whether a completion has this value. */
static gboolean
has_value (const ShmkvCompletion *completion, const PlayValue *value)
{
  gsize length;
  const guint8 *bytes;

  if (completion->value_kind != value->kind)
    return FALSE;
  if (value->kind == SHMKV_KIND_INTEGER)
    return completion->value == value->number;
  if (value->kind == SHMKV_KIND_NONE)
    return TRUE;
  bytes = g_bytes_get_data (completion->bytes, &length);
  return length == value->length && is_filled (value, bytes);
}

static PlayValue
integer (guint64 number)
{
  return (PlayValue) { .kind = SHMKV_KIND_INTEGER, .number = number };
}

static PlayValue
some_bytes (guint64 number, gsize length)
{
  return (PlayValue) { .kind = SHMKV_KIND_BYTES, .number = number, .length = length };
}

static PlayValue
common_value (guint key)
{
  guint64 number = cli_mix (key + 1);

  if (key % 4 == 0)
    return integer (number);
  return some_bytes (number, key % 4 == 3 ? PLAY_LONGEST_VALUE : 5 * key);
}

/* Memory for the value of a request. */
static ShmkvDatum
datum (const PlayValue *value, guint8 *bytes)
{
  if (value->kind == SHMKV_KIND_INTEGER)
    return shmkv_integer (value->number);
  if (value->kind == SHMKV_KIND_NONE)
    return (ShmkvDatum) { .kind = SHMKV_KIND_NONE };
  fill (value, bytes);
  return shmkv_bytes (bytes, value->length);
}

/* Every other key is a byte string. */
static ShmkvDatum
key_datum (guint id, guint key, char text[LONGEST_KEY])
{
  if (key % 2 == 0)
    return shmkv_integer ((guint64) id << 8 | key);
  g_snprintf (text, LONGEST_KEY, "play:%u:%u", id, key);
  return shmkv_string (text);
}

static ShmkvDatum
common_key (guint key, char text[LONGEST_KEY])
{
  g_snprintf (text, LONGEST_KEY, "common:%u", key);
  return shmkv_string (text);
}

/* -------------------------------------------------------------------- steps */

void
play_init (Play *play, guint64 seed, guint id)
{
  *play = (Play) { .seed = seed, .id = id };
}

/* An insert whose conditions are met, or not. */
static void
insert (Play *play, Step *step, gboolean met)
{
  PlayValue *here = &play->values[step->key];

  step->op = SHMKV_OP_INSERT;
  if (!met)
    {
      step->status = SHMKV_STATUS_MISMATCH;
      return;
    }
  step->status = here->kind == SHMKV_KIND_NONE ? SHMKV_STATUS_ADDED : SHMKV_STATUS_REPLACED;
  if ((step->flags & SHMKV_FLAG_OLD) != 0)
    step->answer = *here;
  *here = step->value;
  here->owned = (step->flags & SHMKV_FLAG_SESSION) != 0;
}

static void
insert_plain (Play *play, Step *step)
{
  insert (play, step, TRUE);
}

static void
insert_old (Play *play, Step *step)
{
  step->flags = SHMKV_FLAG_OLD;
  insert (play, step, TRUE);
}

static void
insert_owned (Play *play, Step *step)
{
  step->flags = SHMKV_FLAG_SESSION;
  insert (play, step, TRUE);
}

static void
insert_silently (Play *play, Step *step)
{
  step->flags = SHMKV_FLAG_NO_RESPONSE;
  insert (play, step, TRUE);
}

static void
insert_if_absent (Play *play, Step *step)
{
  step->flags = SHMKV_FLAG_IF_ABSENT;
  insert (play, step, play->values[step->key].kind == SHMKV_KIND_NONE);
}

static void
insert_if_present (Play *play, Step *step)
{
  step->flags = SHMKV_FLAG_IF_PRESENT;
  insert (play, step, play->values[step->key].kind != SHMKV_KIND_NONE);
}

/* Expects what is there, or another value; both as often. */
static void
insert_if_value (Play *play, Step *step)
{
  const PlayValue *here = &play->values[step->key];
  gboolean right = play->n % 2 == 0 && here->kind != SHMKV_KIND_NONE;

  step->flags = SHMKV_FLAG_IF_VALUE;
  step->expected = right ? *here : integer (step->value.number);
  insert (play, step, right);
}

static void
delete_key (Play *play, Step *step)
{
  PlayValue *here = &play->values[step->key];

  step->op = SHMKV_OP_DELETE;
  step->status = here->kind == SHMKV_KIND_NONE ? SHMKV_STATUS_NO_KEY : SHMKV_STATUS_OK;
  if ((step->flags & SHMKV_FLAG_OLD) != 0)
    step->answer = *here;
  *here = (PlayValue) { .kind = SHMKV_KIND_NONE };
}

static void
delete_old (Play *play, Step *step)
{
  step->flags = SHMKV_FLAG_OLD;
  delete_key (play, step);
}

static void
add (Play *play, Step *step)
{
  PlayValue *here = &play->values[step->key];

  step->op = SHMKV_OP_ADD;
  step->flags = SHMKV_FLAG_WRAP;
  step->value = integer (step->value.number);
  if (here->kind == SHMKV_KIND_BYTES)
    {
      step->status = SHMKV_STATUS_WRONG_KIND;
      return;
    }
  here->kind = SHMKV_KIND_INTEGER;
  here->number += step->value.number;
  step->answer = integer (here->number);
}

static void
read_value (Step *step, PlayValue value)
{
  step->op = SHMKV_OP_READ;
  step->answer = value;
  step->status = value.kind == SHMKV_KIND_NONE ? SHMKV_STATUS_NO_KEY : SHMKV_STATUS_OK;
}

static void
read_own (Play *play, Step *step)
{
  read_value (step, play->values[step->key]);
}

static void
read_common (Play *play, Step *step)
{
  step->common = TRUE;
  step->key %= PLAY_COMMON_KEYS;
  read_value (step, common_value (step->key));
}

static void
ping (Play *play, Step *step)
{
  step->op = SHMKV_OP_PING;
}

/* How often each is chosen, of a hundred times. */
static const struct
{
  guint share;
  void (*act) (Play *, Step *);
} actions[] = {
  { 25, read_own },       { 10, read_common },      { 25, insert_plain },  { 5, insert_old },
  { 4, insert_if_absent }, { 4, insert_if_present }, { 4, insert_if_value }, { 3, insert_owned },
  { 2, insert_silently }, { 4, delete_key },        { 4, delete_old },     { 8, add },
  { 2, ping },
};

/* What is inserted. */
static PlayValue
new_value (guint64 *random, guint dice)
{
  guint64 number = cli_random_next (random);

  if (dice % 16 == 0)
    return some_bytes (number, cli_random_below (random, PLAY_LONGEST_VALUE));
  if (dice % 16 < 6)
    return some_bytes (number, cli_random_below (random, 200));
  return integer (number);
}

/* The next operation, with what must be answered; the play goes on behind it. */
static void
play_next (Play *play, Step *step_out)
{
  guint64 random = play->seed + cli_mix (++play->n);
  guint dice = (guint) cli_random_below (&random, 100), i = 0;

  *step_out = (Step) { .key = (guint) cli_random_below (&random, PLAY_KEYS) };
  step_out->value = new_value (&random, (guint) cli_random_below (&random, 64));
  while (dice >= actions[i].share)
    dice -= actions[i++].share;
  actions[i].act (play, step_out);
}

/* ------------------------------------------------------------------- player */

/* What is in flight. */
typedef struct
{
  guint64 n;                        /* the operation's number in the play */
  guint64 id;
  Step step;
} Flight;

typedef struct
{
  Player *player;
  guint window;
  guint64 first, last;              /* in flight: from `first`, without `last` */
  Flight flights[PLAY_WINDOW];
  ShmkvRequest request;
  char key[LONGEST_KEY];
  guint8 value[PLAY_LONGEST_VALUE + 8];
  guint8 expected[PLAY_LONGEST_VALUE + 8];
} Round;

static gboolean
set_wrong (GError **error, const Play *play, const Flight *flight, const ShmkvCompletion *completion)
{
  const Step *step = &flight->step;

  g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG,
               "play %u with seed %" G_GUINT64_FORMAT ", operation %" G_GUINT64_FORMAT
               ": %s (flags 0x%x) of %s key %u: \"%s\", kind %d, %" G_GUINT64_FORMAT
               " in place of \"%s\", kind %d, number %" G_GUINT64_FORMAT ", length %" G_GSIZE_FORMAT,
               play->id, play->seed, flight->n, shmkv_op_to_string (step->op), step->flags,
               step->common ? "common" : "own", step->key,
               shmkv_status_to_string (completion->status), (int) completion->value_kind,
               completion->value, shmkv_status_to_string (step->status), (int) step->answer.kind,
               step->answer.number, step->answer.length);
  return FALSE;
}

static gboolean
check (Player *player, const Flight *flight, const ShmkvCompletion *completion, GError **error)
{
  if (completion->id != flight->id || completion->op != flight->step.op
      || completion->status != flight->step.status || !has_value (completion, &flight->step.answer))
    return set_wrong (error, &player->play, flight, completion);
  /* relaxed: a count */
  atomic_fetch_add_explicit (&player->progress->checked, 1, memory_order_relaxed);
  return TRUE;
}

static void
make_request (Round *round, const Step *step)
{
  Player *player = round->player;
  gboolean has_key = step->op != SHMKV_OP_PING;

  round->request = (ShmkvRequest) { .op = step->op, .flags = step->flags };
  if (has_key)
    round->request.key = step->common ? common_key (step->key, round->key)
                                      : key_datum (player->play.id, step->key, round->key);
  if (step->op == SHMKV_OP_INSERT || step->op == SHMKV_OP_ADD)
    round->request.value = datum (&step->value, round->value);
  if ((step->flags & SHMKV_FLAG_IF_VALUE) != 0)
    round->request.expected = datum (&step->expected, round->expected);
}

static gboolean
submit_next (Round *round, GError **error)
{
  Player *player = round->player;
  Flight flight;

  play_next (&player->play, &flight.step);
  flight.n = player->play.n;
  make_request (round, &flight.step);
  /* relaxed: read by whoever saw the end of this process */
  atomic_store_explicit (&player->progress->submitted, flight.n, memory_order_relaxed);
  flight.id = shmkv_session_submit (player->session, &round->request, error);
  if (flight.id == 0)
    return FALSE;
  if ((flight.step.flags & SHMKV_FLAG_NO_RESPONSE) == 0)
    round->flights[round->last++ % PLAY_WINDOW] = flight;
  return TRUE;
}

static gboolean
take_some (Round *round, GError **error)
{
  ShmkvCompletion completions[TAKE];
  gssize n = shmkv_session_take (round->player->session, completions, TAKE, TAKE_TIMEOUT_US, error);
  gboolean right = TRUE;

  if (n == 0)
    g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG, "play %u: no answer for a minute",
                 round->player->play.id);
  if (n <= 0)
    return FALSE;
  for (gssize i = 0; i < n; i++)
    {
      right = right && check (round->player, &round->flights[round->first++ % PLAY_WINDOW],
                              &completions[i], error);
      shmkv_completion_clear (&completions[i]);
    }
  return right;
}

static gboolean
flush (Player *player, GError **error)
{
  if (!shmkv_session_flush (player->session, error))
    return FALSE;
  /* relaxed: as above */
  atomic_store_explicit (&player->progress->flushed, player->play.n, memory_order_relaxed);
  return TRUE;
}

/* Until at most `n` are in flight. */
static gboolean
take_until (Round *round, guint64 n, GError **error)
{
  if (round->last - round->first <= n)
    return TRUE;
  if (!flush (round->player, error))
    return FALSE;
  while (round->last - round->first > n)
    if (!take_some (round, error))
      return FALSE;
  return TRUE;
}

/* One operation that goes alone. */
static gboolean
play_alone (Round *round, GError **error)
{
  CliHistogram *latency = round->player->latency;
  gint64 begin = shmkv_now_ns ();

  if (!submit_next (round, error) || !take_until (round, 0, error))
    return FALSE;
  if (latency != NULL)
    cli_histogram_add (latency, (guint64) (shmkv_now_ns () - begin), 1);
  return TRUE;
}

static gboolean
play_round (Round *round, guint64 n, GError **error)
{
  for (; n > 0; n--)
    if (round->window == 1 ? !play_alone (round, error)
                           : !take_until (round, round->window - 1, error)
                               || !submit_next (round, error))
      return FALSE;
  return take_until (round, 0, error);
}

static gboolean
goes_on (const Player *player)
{
  return player->goes_on == NULL || player->goes_on (player->data);
}

gboolean
player_run (Player *player, guint64 n, GError **error)
{
  static const guint windows[] = { 1, 1, 2, 16, 64, PLAY_WINDOW };
  g_autofree Round *round = g_new (Round, 1);
  guint64 random = player->play.seed ^ player->play.n;

  round->player = player;
  round->first = round->last = 0;
  while (n > 0 && goes_on (player))
    {
      guint64 now = MIN (n, ROUND);

      round->window = windows[cli_random_below (&random, G_N_ELEMENTS (windows))];
      if (round->window == 1)
        now = MIN (now, ROUND / 4);
      if (!play_round (round, now, error))
        return FALSE;
      n -= now;
      if (player->pauses && cli_random_below (&random, 4) == 0)
        g_usleep (cli_random_below (&random, 1000));
    }
  return TRUE;
}

/* --------------------------------------------------------------- common keys */

gboolean
play_write_common (ShmkvSession *session, GError **error)
{
  g_autofree guint8 *bytes = g_malloc (PLAY_LONGEST_VALUE + 8);
  char text[LONGEST_KEY];

  for (guint key = 0; key < PLAY_COMMON_KEYS; key++)
    {
      PlayValue value = common_value (key);
      ShmkvRequest request = { .op = SHMKV_OP_INSERT, .key = common_key (key, text),
                               .value = datum (&value, bytes) };
      ShmkvCompletion completion;

      if (!shmkv_session_call (session, &request, &completion, error))
        return FALSE;
      if (completion.status == SHMKV_STATUS_ADDED)
        continue;
      g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG, "a common key: %s",
                   shmkv_status_to_string (completion.status));
      return FALSE;
    }
  return TRUE;
}

/* ---------------------------------------------------------------- the rest */

static gboolean
call_on_all (const Play *play, ShmkvOp op, ShmkvSession *session, ShmkvCompletion *completions_out,
             GError **error)
{
  ShmkvRequest requests[PLAY_KEYS];
  char texts[PLAY_KEYS][LONGEST_KEY];

  for (guint key = 0; key < PLAY_KEYS; key++)
    requests[key] = (ShmkvRequest) { .op = op, .key = key_datum (play->id, key, texts[key]) };
  return shmkv_session_call_many (session, requests, PLAY_KEYS, completions_out, error);
}

/* Whether the keys hold what they do at this moment of the play, with its session
 * at its end. */
static gboolean
is_state (const Play *play, const ShmkvCompletion *completions)
{
  const PlayValue none = { .kind = SHMKV_KIND_NONE };

  for (guint key = 0; key < PLAY_KEYS; key++)
    if (!has_value (&completions[key], play->values[key].owned ? &none : &play->values[key]))
      return FALSE;
  return TRUE;
}

static gboolean
is_possible (const Play *begin, guint64 flushed, guint64 submitted,
             const ShmkvCompletion *completions)
{
  Play play = *begin;
  Step step;

  while (play.n < flushed)
    play_next (&play, &step);
  while (!is_state (&play, completions))
    {
      if (play.n >= submitted)
        return FALSE;
      play_next (&play, &step);
    }
  return TRUE;
}

static void
clear_all (ShmkvCompletion *completions)
{
  for (guint key = 0; key < PLAY_KEYS; key++)
    shmkv_completion_clear (&completions[key]);
}

gboolean
play_check_rest (const Play *begin, const PlayProgress *progress, ShmkvSession *session,
                 GError **error)
{
  guint64 flushed = atomic_load (&progress->flushed);
  guint64 submitted = atomic_load (&progress->submitted);
  ShmkvCompletion completions[PLAY_KEYS];
  gboolean possible;

  if (!call_on_all (begin, SHMKV_OP_READ, session, completions, error))
    return FALSE;
  possible = is_possible (begin, flushed, submitted, completions);
  clear_all (completions);
  if (!possible)
    {
      g_set_error (error, PLAY_ERROR, PLAY_ERROR_WRONG,
                   "what play %u with seed %" G_GUINT64_FORMAT " left is the state after no number "
                   "of operations from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                   begin->id, begin->seed, flushed, submitted);
      return FALSE;
    }
  if (!call_on_all (begin, SHMKV_OP_DELETE, session, completions, error))
    return FALSE;
  clear_all (completions);
  return TRUE;
}
