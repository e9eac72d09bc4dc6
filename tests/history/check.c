/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether a history of one key is linearizable, and in the order of its sessions.
 *
 * Keys can be looked at one by one, as linearizability is local (M. Herlihy and
 * J. Wing, "Linearizability: a correctness condition for concurrent objects",
 * TOPLAS 12(3), 1990).  For each, this is the search of J. Wing and C. Gong
 * ("Testing and verifying concurrent objects", JPDC 17, 1993): an operation may
 * be the next of an order that explains all answers if no other that is still to
 * come had returned before it was invoked; try one after the other, and go back
 * where it leads nowhere.  As G. Lowe does ("Testing for linearizability",
 * Concurrency and Computation 29(4), 2017), configurations that led nowhere are
 * remembered: what is still to come, and the state.
 *
 * Operations of a session take effect in its order, so a configuration is how far
 * each session is, and the next can only be the first that is left of some
 * session.  What a killed client left pending may take effect at any time, or
 * not at all, but in the same order too.  What wanted no answer took effect
 * before something later was answered.  All that belongs to a session may go at
 * any time after it ended.
 *
 * What makes it fast:
 *
 *   - An operation whose answer fits and that changes nothing is taken at once.
 *     In each order that begins here it can be moved to the front.  So is what is
 *     pending and can change nothing.
 *   - A state is not left as long as somebody is still to see it who cannot see
 *     it later: a version never comes again, and most values do not, as those who
 *     record see to it that each is written once.  Nor is the last passed over that
 *     can make what somebody is still to see.
 *   - First it searches in a way that may miss an order: it believes that values
 *     do not come again, and has what is pending take effect only where it cannot
 *     go on without.  What is found is right all the same.  Where nothing is
 *     found, it searches again, completely; so it refuses only what is wrong.
 *
 * Remembered configurations are known by 128 bits of hash.  Where two had the same,
 * it might refuse what is right, and never accept what is wrong. */

#include "config.h"

#include "check.h"

#include "model.h"

#include <string.h>

/* When pending operations take effect, before it is complete. */
typedef enum
{
  IF_STUCK,                         /* where nothing else can */
  IF_FAILED,                        /* also where all else led nowhere */
  COMPLETE,
} Level;

/* At the first levels so many sessions, one after the other, have pending
 * operations take effect with nothing else between them. */
static const gint max_switches[] = { [IF_STUCK] = 3, [IF_FAILED] = 3 };

/* The end of a session, in place of a choice. */
#define END 0xff

typedef struct
{
  gint32 slot;
  guint32 choice;
  guint64 rank;                     /* what is smaller is tried earlier */
} Move;

/* What was done, to be undone. */
typedef struct
{
  ModelState state;
  gint32 slot;
  guint32 choice;
  gint32 position;                  /* of the slot, before */
  gint16 last_pending;
  gint16 n_switches;
} Step;

/* Where there was a choice. */
typedef struct
{
  gsize n_steps;
  gsize first_move;
  gsize next_move;
  gboolean with_pending;            /* those are among the moves */
} Fork;

typedef struct
{
  guint64 a, b;
} Hash;

/* The operations of one session. */
typedef struct
{
  guint32 session;
  gint32 begin;
  gint32 end;
  gint32 n_left;                    /* that have to take effect */
  guint64 ended;
} Slot;

/* What is known of a value, or of a version. */
typedef struct
{
  guint64 word;
  guint32 kind;
  gint32 n_to_see;                  /* operations to come that must see it */
  gint32 n_makers;                  /* that may make it; version: done that know it */
  gint32 n_to_make;                 /* operations to come that may make it */
} Fact;

struct _HistoryChecker
{
  guint64 limit;
  guint64 n_steps;
  guint64 n_failures;

  GArray *ops;                      /* ModelOp */
  GArray *slots;                    /* Slot */
  GArray *facts;                    /* Fact: of values and of versions */
  GArray *index;                    /* gint32: into facts, by hash; 0: none */
  gboolean has_blind_sums;

  /* The search. */
  Level level;
  ModelState state;
  guint64 n_left;
  guint64 n_tried;                  /* at this level */
  gint16 last_pending;
  gint16 n_switches;
  GArray *positions;                /* gint32, by slot: the first operation that is left */
  GArray *invoked;                  /* guint64, by slot: that one's stamps; NEVER: none */
  GArray *returned;
  GArray *steps;
  GArray *forks;
  GArray *moves;
  GHashTable *failed;               /* Hash */

  HistoryEnd end;                   /* of the longest order so far */
};

#define ITEM(array, type, i) g_array_index (array, type, i)
#define OPS(checker) ((const ModelOp *) (void *) (checker)->ops->data)
#define FACT(checker, id) (&ITEM ((checker)->facts, Fact, id))

/* ------------------------------------------------------------------ checker */

static guint
hash_hash (gconstpointer hash)
{
  return (guint) ((const Hash *) hash)->a;
}

static gboolean
hash_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (Hash)) == 0;
}

HistoryChecker *
history_checker_new (void)
{
  HistoryChecker *checker = g_new0 (HistoryChecker, 1);

  checker->ops = g_array_new (FALSE, FALSE, sizeof (ModelOp));
  checker->slots = g_array_new (FALSE, FALSE, sizeof (Slot));
  checker->facts = g_array_new (FALSE, FALSE, sizeof (Fact));
  checker->index = g_array_new (FALSE, TRUE, sizeof (gint32));
  checker->positions = g_array_new (FALSE, FALSE, sizeof (gint32));
  checker->invoked = g_array_new (FALSE, FALSE, sizeof (guint64));
  checker->returned = g_array_new (FALSE, FALSE, sizeof (guint64));
  checker->steps = g_array_new (FALSE, FALSE, sizeof (Step));
  checker->forks = g_array_new (FALSE, FALSE, sizeof (Fork));
  checker->moves = g_array_new (FALSE, FALSE, sizeof (Move));
  checker->failed = g_hash_table_new_full (hash_hash, hash_equal, g_free, NULL);
  return checker;
}

void
history_checker_free (HistoryChecker *checker)
{
  g_array_unref (checker->ops);
  g_array_unref (checker->slots);
  g_array_unref (checker->facts);
  g_array_unref (checker->index);
  g_array_unref (checker->positions);
  g_array_unref (checker->invoked);
  g_array_unref (checker->returned);
  g_array_unref (checker->steps);
  g_array_unref (checker->forks);
  g_array_unref (checker->moves);
  g_hash_table_unref (checker->failed);
  g_free (checker);
}

void
history_checker_set_limit (HistoryChecker *checker, guint64 limit)
{
  checker->limit = limit;
}

guint64
history_checker_get_steps (const HistoryChecker *checker)
{
  return checker->n_steps;
}

guint64
history_checker_get_failures (const HistoryChecker *checker)
{
  return checker->n_failures;
}

/* -------------------------------------------------------------------- facts */

static inline guint64
mix (guint64 z)
{
  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

#define KIND_VERSION 255

static void
clear_facts (HistoryChecker *checker, gsize n_ops)
{
  gsize size = 16;

  /* Each operation knows two values and three versions at most. */
  while (size < n_ops * 8)
    size *= 2;
  g_array_set_size (checker->index, 0);
  g_array_set_size (checker->index, (guint) size);
  g_array_set_size (checker->facts, 1);
}

/* Where the number of a value or version is, or is to be; 0: it has none. */
static gint32 *
find_fact (const HistoryChecker *checker, guint kind, guint64 word)
{
  gsize mask = checker->index->len - 1;
  gsize i = mix (word + kind * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) & mask;
  gint32 *at = &ITEM (checker->index, gint32, i);

  while (*at != 0 && (FACT (checker, *at)->word != word || FACT (checker, *at)->kind != kind))
    {
      i = (i + 1) & mask;
      at = &ITEM (checker->index, gint32, i);
    }
  return at;
}

static gint32
get_fact (HistoryChecker *checker, guint kind, guint64 word)
{
  gint32 *at = find_fact (checker, kind, word);
  Fact fact = { .word = word, .kind = kind };

  if (*at == 0)
    {
      *at = (gint32) checker->facts->len;
      g_array_append_val (checker->facts, fact);
    }
  return *at;
}

static gint32
get_version (HistoryChecker *checker, guint64 version)
{
  return get_fact (checker, KIND_VERSION, version);
}

/* -------------------------------------------------------------- preparation */

static void
learn_value (HistoryChecker *checker, ModelOp *op)
{
  guint64 value;
  guint8 kind;

  if (op->answered && model_seen_value (op->record, &kind, &value))
    {
      op->sees = get_fact (checker, kind, value);
      FACT (checker, op->sees)->n_to_see++;
    }
  if (model_made_value (op->record, op->answered, &kind, &value))
    {
      op->makes = get_fact (checker, kind, value);
      FACT (checker, op->makes)->n_makers++;
      FACT (checker, op->makes)->n_to_make++;
    }
  else if (!op->answered
           && (op->record->op == SHMKV_OP_ADD || op->record->op == SHMKV_OP_SUBTRACT))
    checker->has_blind_sums = TRUE;
}

static void
learn_version (HistoryChecker *checker, ModelOp *op)
{
  guint64 version;

  if ((op->record->flags & SHMKV_FLAG_IF_VERSION) != 0 && op->record->version != 0)
    op->asks_version = get_version (checker, op->record->version);
  if (!op->answered)
    return;
  if (model_seen_version (op->record, &version))
    {
      op->sees_version = get_version (checker, version);
      FACT (checker, op->sees_version)->n_to_see++;
    }
  if (model_made_version (op->record, &version))
    op->makes_version = get_version (checker, version);
}

static void
add_op (HistoryChecker *checker, const HistoryOp *from, const HistorySession *sessions)
{
  Slot *slot = NULL;
  ModelOp op = {
    .record = from->record,
    .invoked = from->invoked,
    .returned = from->returned,
    .index = (gint32) checker->ops->len,
    .answered = from->returned != HISTORY_NEVER
                && (from->record->flags & SHMKV_FLAG_NO_RESPONSE) == 0,
    .sees = MODEL_NONE,
    .makes = MODEL_NONE,
    .sees_version = MODEL_NONE,
    .makes_version = MODEL_NONE,
    .asks_version = MODEL_NONE,
  };

  if (checker->slots->len > 0)
    slot = &ITEM (checker->slots, Slot, checker->slots->len - 1);
  if (slot == NULL || slot->session != from->session)
    {
      Slot new_slot = { .session = from->session, .begin = op.index, .end = op.index,
                        .ended = sessions[from->session].ended };

      g_array_append_val (checker->slots, new_slot);
      slot = &ITEM (checker->slots, Slot, checker->slots->len - 1);
    }
  slot->end++;
  if (op.returned != HISTORY_NEVER)
    slot->n_left++;
  op.slot = (gint32) checker->slots->len - 1;
  learn_value (checker, &op);
  learn_version (checker, &op);
  g_array_append_val (checker->ops, op);
}

static void
prepare (HistoryChecker *checker, const HistoryOp *ops, gsize n, const HistorySession *sessions)
{
  g_array_set_size (checker->ops, 0);
  g_array_set_size (checker->slots, 0);
  clear_facts (checker, n);
  checker->has_blind_sums = FALSE;
  for (gsize i = 0; i < n; i++)
    add_op (checker, &ops[i], sessions);
}

/* ----------------------------------------------------------------- position */

static void
set_position (HistoryChecker *checker, gint32 slot, gint32 position)
{
  const ModelOp *op = &OPS (checker)[position];
  gboolean any = position < ITEM (checker->slots, Slot, slot).end;

  ITEM (checker->positions, gint32, slot) = position;
  ITEM (checker->invoked, guint64, slot) = any ? op->invoked : HISTORY_NEVER;
  ITEM (checker->returned, guint64, slot) = any ? op->returned : HISTORY_NEVER;
}

static const ModelOp *
get_first (const HistoryChecker *checker, gint32 slot)
{
  return &OPS (checker)[ITEM (checker->positions, gint32, slot)];
}

/* What was invoked later cannot be next. */
static guint64
get_horizon (const HistoryChecker *checker)
{
  const guint64 *returned = (const guint64 *) (void *) checker->returned->data;
  guint64 horizon = HISTORY_NEVER;

  for (guint i = 0; i < checker->returned->len; i++)
    horizon = MIN (horizon, returned[i]);
  return horizon;
}

static gboolean
is_same_state (const ModelState *a, const ModelState *b)
{
  return a->kind == b->kind && a->value == b->value && a->version_id == b->version_id
         && a->expiry == b->expiry && a->owner == b->owner;
}

/* ------------------------------------------------------------------ failure */

static void
hash_word (Hash *hash, guint64 word)
{
  hash->a = mix (hash->a ^ word) + G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  hash->b = mix (hash->b + word) ^ G_GUINT64_CONSTANT (0xd1342543de82ef95);
}

/* Of all that decides what may come. */
static Hash
hash_configuration (const HistoryChecker *checker)
{
  const ModelState *state = &checker->state;
  Hash hash = { 1, 2 };

  for (guint i = 0; i < checker->positions->len; i++)
    hash_word (&hash, (guint64) ITEM (checker->positions, gint32, i));
  hash_word (&hash, state->value);
  hash_word (&hash, (guint64) state->kind << 32 | (guint32) state->version_id);
  hash_word (&hash, (guint64) (guint32) state->expiry << 32 | (guint32) state->owner);
  if (checker->level < COMPLETE)
    hash_word (&hash, (guint64) (guint16) checker->last_pending << 16
                        | (guint16) checker->n_switches);
  return hash;
}

static gboolean
has_failed (const HistoryChecker *checker)
{
  Hash hash;

  if (g_hash_table_size (checker->failed) == 0)
    return FALSE;
  hash = hash_configuration (checker);
  return g_hash_table_contains (checker->failed, &hash);
}

static void
note_failure (HistoryChecker *checker)
{
  Hash hash = hash_configuration (checker);

  g_hash_table_add (checker->failed, g_memdup2 (&hash, sizeof hash));
  checker->n_failures++;
}

/* The longest order says most about what is wrong. */
static void
note_end (HistoryChecker *checker)
{
  HistoryEnd *end = &checker->end;
  guint n = checker->steps->len;

  if (n < end->n_done || (n == end->n_done && n > 0))
    return;
  end->n_done = n;
  end->kind = checker->state.kind;
  end->value = checker->state.value;
  end->n_last = MIN (n, HISTORY_END_LAST);
  for (guint i = 0; i < end->n_last; i++)
    {
      const Step *step = &ITEM (checker->steps, Step, n - end->n_last + i);

      end->last[i] = step->choice == END ? -1 : step->position;
    }
  end->n_next = 0;
  for (guint slot = 0; slot < checker->slots->len && end->n_next < HISTORY_END_NEXT; slot++)
    if (ITEM (checker->returned, guint64, slot) != HISTORY_NEVER
        && ITEM (checker->invoked, guint64, slot) <= get_horizon (checker))
      end->next[end->n_next++] = ITEM (checker->positions, gint32, slot);
}

/* -------------------------------------------------------------------- moves */

/* Those who know a version do not know it of two states. */
static gboolean
is_new_version (const HistoryChecker *checker, gint32 version_id)
{
  return version_id == MODEL_NONE || FACT (checker, version_id)->n_makers == 0;
}

static gboolean
versions_fit (const HistoryChecker *checker, const ModelOp *op, guint choice)
{
  gboolean told = (choice & MODEL_EXPIRED) == 0 && checker->state.version_id != MODEL_NONE;

  if (!is_new_version (checker, op->makes_version)
      || (op->makes_version != MODEL_NONE && op->makes_version == op->sees_version))
    return FALSE;
  if ((choice & MODEL_MATCHES) != 0 && !is_new_version (checker, op->asks_version))
    return FALSE;
  return told || is_new_version (checker, op->sees_version);
}

/* Whether a value that is gone may come again. */
static gboolean
may_come_again (const HistoryChecker *checker, gint32 value_id)
{
  const Fact *value = FACT (checker, value_id);

  if (checker->level < COMPLETE)
    return FALSE;
  return value->n_makers > 1
         || (value->kind == SHMKV_KIND_INTEGER && checker->has_blind_sums);
}

/* Whether others are still to see the state that `op' leaves for `next', and
 * could not later. */
static gboolean
is_still_needed (const HistoryChecker *checker, const ModelOp *op, const ModelState *next)
{
  const ModelState *state = &checker->state;
  gint32 seen = op != NULL ? op->sees : MODEL_NONE;
  gint32 seen_version = op != NULL ? op->sees_version : MODEL_NONE;

  if (state->version_id != MODEL_NONE && next->version_id != state->version_id
      && FACT (checker, state->version_id)->n_to_see > (seen_version == state->version_id))
    return TRUE;
  return state->value_id != MODEL_NONE && next->value_id != state->value_id
         && FACT (checker, state->value_id)->n_to_see > (seen == state->value_id)
         && !may_come_again (checker, state->value_id);
}

/* Whether others are still to see what `op' was the last that could make, and does
 * not: a silent one whose condition is not met in `next'. */
static gboolean
is_missed (const HistoryChecker *checker, const ModelOp *op, const ModelState *next)
{
  const Fact *value;

  if (op->makes == MODEL_NONE || op->makes == next->value_id)
    return FALSE;
  value = FACT (checker, op->makes);
  return value->n_to_make == 1 && value->n_to_see > (op->sees == op->makes)
         && !(checker->level == COMPLETE && value->kind == SHMKV_KIND_INTEGER
              && checker->has_blind_sums);
}

/* A sum that its own answer does not tell may be told by others. */
static void
find_value (const HistoryChecker *checker, const ModelOp *op, ModelState *state)
{
  gint32 id;

  if (op->answered || state->kind != SHMKV_KIND_INTEGER
      || (op->record->op != SHMKV_OP_ADD && op->record->op != SHMKV_OP_SUBTRACT))
    return;
  id = *find_fact (checker, SHMKV_KIND_INTEGER, state->value);
  state->value_id = id != 0 ? id : MODEL_NONE;
}

/* Whether it can be next, with the state that follows. */
static gboolean
try_op (const HistoryChecker *checker, const ModelOp *op, guint choice, ModelState *next)
{
  *next = checker->state;
  if (!model_step (OPS (checker), op, choice, next) || !versions_fit (checker, op, choice))
    return FALSE;
  find_value (checker, op, next);
  return !is_still_needed (checker, op, next) && !is_missed (checker, op, next);
}

static void
count_op (HistoryChecker *checker, const ModelOp *op, gint by)
{
  if (op->sees != MODEL_NONE)
    FACT (checker, op->sees)->n_to_see -= by;
  if (op->sees_version != MODEL_NONE)
    {
      FACT (checker, op->sees_version)->n_to_see -= by;
      FACT (checker, op->sees_version)->n_makers += by;
    }
  if (op->makes_version != MODEL_NONE)
    FACT (checker, op->makes_version)->n_makers += by;
  if (op->makes != MODEL_NONE)
    FACT (checker, op->makes)->n_to_make -= by;
  if (op->returned != HISTORY_NEVER)
    checker->n_left -= (guint64) (gint64) by;
}

static void
push_step (HistoryChecker *checker, gint32 slot, guint choice)
{
  Step step = { .state = checker->state, .slot = slot, .choice = choice,
                .position = ITEM (checker->positions, gint32, slot),
                .last_pending = checker->last_pending, .n_switches = checker->n_switches };

  g_array_append_val (checker->steps, step);
  checker->n_steps++;
  checker->n_tried++;
}

static void
note_pending (HistoryChecker *checker, const ModelOp *op)
{
  if (op->returned != HISTORY_NEVER)
    {
      checker->last_pending = -1;
      checker->n_switches = 0;
    }
  else if (checker->last_pending != op->slot)
    {
      checker->last_pending = (gint16) op->slot;
      checker->n_switches++;
    }
}

static void
do_op (HistoryChecker *checker, const ModelOp *op, guint choice, const ModelState *next)
{
  push_step (checker, op->slot, choice);
  count_op (checker, op, 1);
  note_pending (checker, op);
  checker->state = *next;
  set_position (checker, op->slot, op->index + 1);
}

static void
do_end (HistoryChecker *checker, gint32 slot)
{
  push_step (checker, slot, END);
  checker->state = model_absent;
  set_position (checker, slot, ITEM (checker->slots, Slot, slot).end);
}

static gboolean
do_move (HistoryChecker *checker, const Move *move)
{
  const ModelOp *op = get_first (checker, move->slot);
  ModelState next;

  if (move->choice == END)
    {
      do_end (checker, move->slot);
      return TRUE;
    }
  if (!try_op (checker, op, move->choice, &next))
    return FALSE;
  do_op (checker, op, move->choice, &next);
  return TRUE;
}

static void
undo_step (HistoryChecker *checker)
{
  const Step *step = &ITEM (checker->steps, Step, checker->steps->len - 1);

  if (step->choice != END)
    count_op (checker, &OPS (checker)[step->position], -1);
  set_position (checker, step->slot, step->position);
  checker->state = step->state;
  checker->last_pending = step->last_pending;
  checker->n_switches = step->n_switches;
  g_array_set_size (checker->steps, checker->steps->len - 1);
}

/* ------------------------------------------------------------------- search */

/* What can be taken without a choice: see the top. */
static gboolean
is_free (const HistoryChecker *checker, const ModelOp *op, const ModelState *next)
{
  ModelState same = *next;

  if (!op->answered && model_can_change (op->record))
    return FALSE;
  if (op->answered && (model_is_change (op->record) || op->record->op == SHMKV_OP_EXPIRE))
    return FALSE;
  if (checker->level < COMPLETE && checker->state.version_id == MODEL_NONE)
    same.version_id = MODEL_NONE;
  return is_same_state (&same, &checker->state);
}

/* Takes all that can be, from every session. */
static void
take_free (HistoryChecker *checker)
{
  guint64 horizon = get_horizon (checker);
  gboolean again;

  do
    {
      again = FALSE;
      for (gint32 slot = 0; slot < (gint32) checker->slots->len; slot++)
        while (ITEM (checker->invoked, guint64, slot) <= horizon
               && ITEM (checker->invoked, guint64, slot) != HISTORY_NEVER)
          {
            const ModelOp *op = get_first (checker, slot);
            guint64 returned = op->returned;
            ModelState next;

            if (model_must_expire (OPS (checker), &checker->state, op->invoked)
                || !try_op (checker, op, 0, &next) || !is_free (checker, op, &next))
              break;
            do_op (checker, op, 0, &next);
            if (returned == horizon)
              {
                horizon = get_horizon (checker);
                again = TRUE;
              }
          }
    }
  while (again);
}

static void
add_move (HistoryChecker *checker, gint32 slot, guint choice, guint64 rank)
{
  Move move = { .slot = slot, .choice = choice, .rank = rank };

  g_array_append_val (checker->moves, move);
}

/* Who sees the present value goes first: nobody else may replace it.  Of what is
 * pending, that goes first whose value somebody sees. */
static guint64
rank_op (const HistoryChecker *checker, const ModelOp *op, guint choice, const ModelState *next)
{
  guint64 rank = (op->returned >> 1) + (choice != 0);

  if (choice == 0 && op->sees != MODEL_NONE && op->sees == checker->state.value_id)
    return 0;
  if (op->returned == HISTORY_NEVER && next->value_id != MODEL_NONE
      && FACT (checker, next->value_id)->n_to_see > 0)
    return 1;
  return rank;
}

/* The next takes effect before any of the others can have returned. */
static void
add_op_moves (HistoryChecker *checker, const ModelOp *op, guint64 horizon)
{
  gboolean may_expire = model_may_expire (OPS (checker), &checker->state, horizon);
  gboolean must_expire = model_must_expire (OPS (checker), &checker->state, op->invoked);
  gboolean may_match = !op->answered && op->asks_version != MODEL_NONE;

  for (guint choice = 0; choice <= (MODEL_EXPIRED | MODEL_MATCHES); choice++)
    {
      ModelState next;

      if (((choice & MODEL_EXPIRED) != 0 && !may_expire)
          || ((choice & MODEL_EXPIRED) == 0 && must_expire)
          || ((choice & MODEL_MATCHES) != 0
              && (!may_match || (choice & MODEL_EXPIRED) != 0
                  || checker->state.version_id != MODEL_NONE)))
        continue;
      if (try_op (checker, op, choice, &next))
        add_move (checker, op->slot, choice, rank_op (checker, op, choice, &next));
    }
}

/* At the first levels there is a limit to what pending operations may do. */
static gboolean
may_be_pending (const HistoryChecker *checker, const ModelOp *op)
{
  return checker->level == COMPLETE || checker->last_pending == op->slot
         || checker->n_switches < max_switches[checker->level];
}

/* Whether nothing is left of a session that has to take effect. */
static gboolean
is_over (const HistoryChecker *checker, gint32 slot)
{
  return ITEM (checker->returned, guint64, slot) == HISTORY_NEVER;
}

/* The end of the session that the key belongs to. */
static void
add_end_move (HistoryChecker *checker, guint64 horizon)
{
  gint32 slot = checker->state.owner;

  if (slot == MODEL_NONE || ITEM (checker->slots, Slot, slot).ended == HISTORY_NEVER
      || ITEM (checker->slots, Slot, slot).ended > horizon || !is_over (checker, slot))
    return;
  if (!is_still_needed (checker, NULL, &model_absent))
    add_move (checker, slot, END, HISTORY_NEVER);
}

static gint
compare_moves (gconstpointer a, gconstpointer b)
{
  const Move *left = a, *right = b;

  return (left->rank > right->rank) - (left->rank < right->rank);
}

static void
sort_moves (HistoryChecker *checker, gsize first)
{
  gsize n = checker->moves->len - first;

  if (n > 1)
    qsort (&ITEM (checker->moves, Move, first), n, sizeof (Move), compare_moves);
}

/* What can be next, from `moves->len' on: of what is pending, or of the others. */
static void
find_moves (HistoryChecker *checker, gboolean pending)
{
  guint64 horizon = get_horizon (checker);
  gsize first = checker->moves->len;

  for (gint32 slot = 0; slot < (gint32) checker->slots->len; slot++)
    {
      guint64 invoked = ITEM (checker->invoked, guint64, slot);
      const ModelOp *op = get_first (checker, slot);

      if (invoked > horizon || invoked == HISTORY_NEVER
          || (op->returned == HISTORY_NEVER) != pending)
        continue;
      if (!pending || may_be_pending (checker, op))
        add_op_moves (checker, op, horizon);
    }
  if (!pending)
    add_end_move (checker, horizon);
  sort_moves (checker, first);
}

/* Where the search stands there are these moves, or more to be found.  FALSE:
 * there is none. */
static gboolean
push_fork (HistoryChecker *checker)
{
  Fork fork = { .n_steps = checker->steps->len, .first_move = checker->moves->len,
                .next_move = checker->moves->len };

  find_moves (checker, FALSE);
  if (checker->moves->len == fork.first_move)
    {
      find_moves (checker, TRUE);
      fork.with_pending = TRUE;
    }
  if (checker->moves->len == fork.first_move)
    return FALSE;
  if (checker->moves->len > fork.first_move + 1 && has_failed (checker))
    {
      g_array_set_size (checker->moves, (guint) fork.first_move);
      return FALSE;
    }
  g_array_append_val (checker->forks, fork);
  return TRUE;
}

/* Back to where the last fork was. */
static void
go_back (HistoryChecker *checker, const Fork *fork)
{
  while (checker->steps->len > fork->n_steps)
    undo_step (checker);
}

static void
pop_fork (HistoryChecker *checker, const Fork *fork)
{
  if (checker->moves->len > fork->first_move + 1)
    note_failure (checker);
  g_array_set_size (checker->moves, (guint) fork->first_move);
  g_array_set_size (checker->forks, checker->forks->len - 1);
}

/* The next move of the last fork that has one.  FALSE: all were tried. */
static gboolean
take_next_move (HistoryChecker *checker)
{
  while (checker->forks->len > 0)
    {
      Fork *fork = &ITEM (checker->forks, Fork, checker->forks->len - 1);

      go_back (checker, fork);
      if (fork->next_move == checker->moves->len && !fork->with_pending
          && checker->level > IF_STUCK)
        {
          fork->with_pending = TRUE;
          find_moves (checker, TRUE);
        }
      if (fork->next_move == checker->moves->len)
        {
          pop_fork (checker, fork);
          continue;
        }
      if (do_move (checker, &ITEM (checker->moves, Move, fork->next_move++)))
        return TRUE;
    }
  return FALSE;
}

static void
begin_search (HistoryChecker *checker, Level level)
{
  guint n_slots = checker->slots->len;

  checker->level = level;
  checker->state = model_absent;
  checker->n_tried = 0;
  checker->last_pending = -1;
  checker->n_switches = 0;
  checker->n_left = 0;
  g_array_set_size (checker->positions, n_slots);
  g_array_set_size (checker->invoked, n_slots);
  g_array_set_size (checker->returned, n_slots);
  for (gint32 slot = 0; slot < (gint32) n_slots; slot++)
    {
      set_position (checker, slot, ITEM (checker->slots, Slot, slot).begin);
      checker->n_left += (guint64) ITEM (checker->slots, Slot, slot).n_left;
    }
  g_array_set_size (checker->forks, 0);
  g_array_set_size (checker->moves, 0);
  g_array_set_size (checker->steps, 0);
  checker->end = (HistoryEnd) { .n_done = 0 };
  if (g_hash_table_size (checker->failed) > 0)
    g_hash_table_remove_all (checker->failed);
}

/* Undoes what counts operations, for the next search. */
static void
end_search (HistoryChecker *checker)
{
  while (checker->steps->len > 0)
    undo_step (checker);
}

static HistoryVerdict
search (HistoryChecker *checker, Level level, guint64 limit)
{
  HistoryVerdict verdict = HISTORY_WRONG;

  begin_search (checker, level);
  for (;;)
    {
      take_free (checker);
      if (checker->n_left == 0)
        verdict = HISTORY_RIGHT;
      else if (limit != 0 && checker->n_tried > limit)
        verdict = HISTORY_UNDECIDED;
      if (verdict != HISTORY_WRONG)
        break;
      note_end (checker);
      push_fork (checker);
      if (!take_next_move (checker))
        break;
    }
  end_search (checker);
  return verdict;
}

static HistoryVerdict
decide (HistoryChecker *checker)
{
  guint64 n = checker->ops->len;
  guint64 limit = checker->limit != 0 ? checker->limit : 5000000 + 20 * n;
  HistoryVerdict verdict = search (checker, IF_STUCK, 10000 + 4 * n);

  if (verdict != HISTORY_RIGHT)
    verdict = search (checker, IF_FAILED, 100000 + 10 * n);
  if (verdict != HISTORY_RIGHT)
    verdict = search (checker, COMPLETE, limit);
  return verdict;
}

HistoryVerdict
history_check_key (HistoryChecker *checker, const HistoryOp *ops, gsize n,
                   const HistorySession *sessions)
{
  prepare (checker, ops, n, sessions);
  return decide (checker);
}

const HistoryEnd *
history_checker_get_end (const HistoryChecker *checker)
{
  return &checker->end;
}
