/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "model.h"

#define MS G_GUINT64_CONSTANT (1000000)

static gboolean
has_flag (const HistoryRecord *record, ShmkvFlags flag)
{
  return (record->flags & flag) != 0;
}

static gboolean
is_sum (const HistoryRecord *record)
{
  return record->op == SHMKV_OP_ADD || record->op == SHMKV_OP_SUBTRACT;
}

/* -------------------------------------------------------- what answers tell */

gboolean
model_is_change (const HistoryRecord *record)
{
  switch (record->op)
    {
    case SHMKV_OP_INSERT:
      return record->status == SHMKV_STATUS_ADDED || record->status == SHMKV_STATUS_REPLACED;
    case SHMKV_OP_DELETE:
    case SHMKV_OP_ADD:
    case SHMKV_OP_SUBTRACT:
      return record->status == SHMKV_STATUS_OK;
    default:
      return FALSE;
    }
}

gboolean
model_can_change (const HistoryRecord *record)
{
  return record->op != SHMKV_OP_READ && record->op != SHMKV_OP_WAIT
         && record->op != SHMKV_OP_TTL;
}

gboolean
model_seen_value (const HistoryRecord *record, guint8 *kind_out, guint64 *value_out)
{
  gboolean is_change = model_is_change (record);

  *kind_out = record->answer_kind;
  *value_out = record->answer;
  switch (record->op)
    {
    case SHMKV_OP_READ:
    case SHMKV_OP_WAIT:
      return record->status == SHMKV_STATUS_OK;
    case SHMKV_OP_INSERT:
    case SHMKV_OP_DELETE:
      if (is_change && has_flag (record, SHMKV_FLAG_OLD))
        return record->answer_kind != SHMKV_KIND_NONE;
      *kind_out = record->expected_kind;
      *value_out = record->expected;
      return is_change && has_flag (record, SHMKV_FLAG_IF_VALUE);
    case SHMKV_OP_ADD:
    case SHMKV_OP_SUBTRACT:
      *value_out += record->op == SHMKV_OP_ADD ? -record->value : record->value;
      /* 0 may have been an absent key. */
      return is_change && *value_out != 0;
    default:
      return FALSE;
    }
}

/* Whether the answer says that the key was there and met the conditions; it may have
 * failed then for another reason. */
static gboolean
was_met (const HistoryRecord *record)
{
  return record->status != SHMKV_STATUS_MISMATCH && record->status != SHMKV_STATUS_NO_KEY;
}

gboolean
model_seen_version (const HistoryRecord *record, guint64 *version_out)
{
  if (record->op == SHMKV_OP_WAIT && record->status == SHMKV_STATUS_UNCHANGED)
    *version_out = record->value;
  else if (has_flag (record, SHMKV_FLAG_IF_VERSION) && was_met (record))
    *version_out = record->version;
  else if (model_is_change (record))
    return FALSE;
  else if (record->op == SHMKV_OP_WAIT || has_flag (record, SHMKV_FLAG_VERSION))
    *version_out = record->answer_version;
  else
    return FALSE;
  return *version_out != 0;
}

gboolean
model_made_value (const HistoryRecord *record, gboolean answered, guint8 *kind_out,
                  guint64 *value_out)
{
  if (answered && !model_is_change (record))
    return FALSE;
  if (record->op == SHMKV_OP_INSERT)
    {
      *kind_out = record->value_kind;
      *value_out = record->value;
      return TRUE;
    }
  *kind_out = SHMKV_KIND_INTEGER;
  *value_out = record->answer;
  return answered && is_sum (record);
}

gboolean
model_made_version (const HistoryRecord *record, guint64 *version_out)
{
  *version_out = record->answer_version;
  return model_is_change (record) && has_flag (record, SHMKV_FLAG_VERSION)
         && record->answer_version != 0;
}

/* --------------------------------------------------------------------- time */

static guint64
after (guint64 stamp, guint64 ns)
{
  return stamp > HISTORY_NEVER - ns ? HISTORY_NEVER : stamp + ns;
}

gboolean
model_may_expire (const ModelOp *ops, const ModelState *state, guint64 time)
{
  const ModelOp *setter;

  if (state->expiry == MODEL_NONE)
    return FALSE;
  setter = &ops[state->expiry];
  return after (time, HISTORY_CLOCK_LAG)
         >= after (setter->invoked, setter->record->ttl_ms * MS);
}

gboolean
model_must_expire (const ModelOp *ops, const ModelState *state, guint64 time)
{
  const ModelOp *setter;

  if (state->expiry == MODEL_NONE)
    return FALSE;
  setter = &ops[state->expiry];
  return time > after (after (setter->returned, setter->record->ttl_ms * MS),
                       HISTORY_CLOCK_LAG);
}

/* What is left of a time to live. */
static gboolean
is_left (const ModelOp *ops, const ModelState *state, const ModelOp *op)
{
  guint64 left = op->record->answer, least, most;
  const ModelOp *setter;

  if (state->expiry == MODEL_NONE)
    return left == 0;
  setter = &ops[state->expiry];
  most = after (after (setter->returned, setter->record->ttl_ms * MS), 2 * HISTORY_CLOCK_LAG);
  least = setter->invoked + setter->record->ttl_ms * MS;
  if (left == 0 || left > setter->record->ttl_ms)
    return FALSE;
  return after (op->invoked, left * MS) <= most
         && (left == 1 || after (after (op->returned, left * MS), 2 * HISTORY_CLOCK_LAG) >= least);
}

/* --------------------------------------------------------------- operations */

static gboolean
is_value (const ModelState *state, guint8 kind, guint64 value)
{
  return state->kind == kind && state->value == value;
}

/* With what is asked for where nobody was told: see ModelChoice. */
static gboolean
has_version (const ModelOp *op, const ModelState *state, guint choice)
{
  if (op->record->version == 0)
    return state->kind == SHMKV_KIND_NONE;
  if (state->kind == SHMKV_KIND_NONE)
    return FALSE;
  if (state->version_id != MODEL_NONE)
    return state->version_id == op->asks_version;
  if (op->answered)
    return was_met (op->record);
  return (choice & MODEL_MATCHES) != 0;
}

static gboolean
meets_conditions (const ModelOp *op, const ModelState *state, guint choice)
{
  const HistoryRecord *record = op->record;
  gboolean present = state->kind != SHMKV_KIND_NONE;

  if (has_flag (record, SHMKV_FLAG_IF_ABSENT) && present)
    return FALSE;
  if (has_flag (record, SHMKV_FLAG_IF_PRESENT) && !present)
    return FALSE;
  if (has_flag (record, SHMKV_FLAG_IF_VALUE)
      && !is_value (state, record->expected_kind, record->expected))
    return FALSE;
  return !has_flag (record, SHMKV_FLAG_IF_VERSION) || has_version (op, state, choice);
}

/* Whether the answer is that, without a value. */
static gboolean
is_status (const ModelOp *op, ShmkvStatus status)
{
  return !op->answered
         || (op->record->status == status && op->record->answer_kind == SHMKV_KIND_NONE);
}

/* The same, and without a version. */
static gboolean
is_plainly (const ModelOp *op, ShmkvStatus status)
{
  return is_status (op, status) && (!op->answered || op->record->answer_version == 0);
}

/* Whether the version that is told of the state before fits, and the state with
 * it.  Where there is no key, it is 0; where there is one, it is not. */
static gboolean
is_told_version (const ModelOp *op, ModelState *state)
{
  if (!op->answered)
    return TRUE;
  if (!has_flag (op->record, SHMKV_FLAG_VERSION) && op->record->op != SHMKV_OP_WAIT)
    return op->record->answer_version == 0;
  if (state->kind == SHMKV_KIND_NONE)
    return op->record->answer_version == 0;
  if (op->record->answer_version == 0
      || (state->version_id != MODEL_NONE && state->version_id != op->sees_version))
    return FALSE;
  state->version_id = op->sees_version;
  return TRUE;
}

static gboolean
is_mismatch (const ModelOp *op, ModelState *state)
{
  return is_status (op, SHMKV_STATUS_MISMATCH) && is_told_version (op, state);
}

/* Whether the version of the state after is told, if it is to be. */
static gboolean
is_made_version (const ModelOp *op, ModelState *state)
{
  state->version_id = op->makes_version;
  return !op->answered
         || has_flag (op->record, SHMKV_FLAG_VERSION) == (op->record->answer_version != 0);
}

/* Whether the value that there was is told, if it is to be. */
static gboolean
is_old_value (const ModelOp *op, const ModelState *state)
{
  if (!op->answered)
    return TRUE;
  if (!has_flag (op->record, SHMKV_FLAG_OLD) || state->kind == SHMKV_KIND_NONE)
    return op->record->answer_kind == SHMKV_KIND_NONE;
  return is_value (state, op->record->answer_kind, op->record->answer);
}

static gboolean
insert (const ModelOp *op, guint choice, ModelState *state)
{
  const HistoryRecord *record = op->record;
  gboolean present = state->kind != SHMKV_KIND_NONE;

  if (!meets_conditions (op, state, choice))
    return is_mismatch (op, state);
  if (op->answered && record->status != (present ? SHMKV_STATUS_REPLACED : SHMKV_STATUS_ADDED))
    return FALSE;
  if (!is_old_value (op, state))
    return FALSE;
  *state = (ModelState) {
    .kind = record->value_kind,
    .value = record->value,
    .value_id = op->makes,
    .expiry = has_flag (record, SHMKV_FLAG_TTL) ? op->index : MODEL_NONE,
    .owner = has_flag (record, SHMKV_FLAG_SESSION) ? op->slot : MODEL_NONE,
  };
  return is_made_version (op, state);
}

static gboolean
delete (const ModelOp *op, guint choice, ModelState *state)
{
  if (state->kind == SHMKV_KIND_NONE)
    return is_plainly (op, SHMKV_STATUS_NO_KEY);
  if (!meets_conditions (op, state, choice))
    return is_mismatch (op, state);
  if (op->answered && op->record->status != SHMKV_STATUS_OK)
    return FALSE;
  if (!is_old_value (op, state))
    return FALSE;
  *state = model_absent;
  return !op->answered || op->record->answer_version == 0;
}

static gboolean
add (const ModelOp *op, guint choice, ModelState *state)
{
  const HistoryRecord *record = op->record;
  gboolean present = state->kind != SHMKV_KIND_NONE, overflows;
  guint64 before = present ? state->value : 0, result;

  if (!present && has_flag (record, SHMKV_FLAG_IF_PRESENT))
    return is_plainly (op, SHMKV_STATUS_NO_KEY);
  if (!meets_conditions (op, state, choice))
    return is_mismatch (op, state);
  /* That the version is the one asked for is told even where it fails. */
  if (op->answered && op->asks_version != MODEL_NONE)
    state->version_id = op->asks_version;
  if (present && state->kind != SHMKV_KIND_INTEGER)
    return is_plainly (op, SHMKV_STATUS_WRONG_KIND);
  if (record->op == SHMKV_OP_ADD)
    overflows = __builtin_add_overflow (before, record->value, &result);
  else
    overflows = __builtin_sub_overflow (before, record->value, &result);
  if (overflows && !has_flag (record, SHMKV_FLAG_WRAP))
    return is_plainly (op, SHMKV_STATUS_OVERFLOW);
  if (op->answered
      && (record->status != SHMKV_STATUS_OK || record->answer_kind != SHMKV_KIND_INTEGER
          || record->answer != result))
    return FALSE;
  state->kind = SHMKV_KIND_INTEGER;
  state->value = result;
  state->value_id = op->makes;
  return is_made_version (op, state);
}

static gboolean
read_value (const ModelOp *op, ModelState *state)
{
  if (!op->answered)
    return TRUE;
  if (state->kind == SHMKV_KIND_NONE)
    return is_plainly (op, SHMKV_STATUS_NO_KEY);
  return op->record->status == SHMKV_STATUS_OK
         && is_value (state, op->record->answer_kind, op->record->answer)
         && is_told_version (op, state);
}

/* UNCHANGED says that the version was once the known one; the others, that it
 * is another. */
static gboolean
wait (const ModelOp *op, ModelState *state)
{
  const HistoryRecord *record = op->record;

  if (!op->answered)
    return TRUE;
  if (record->status != SHMKV_STATUS_UNCHANGED)
    return record->value != record->answer_version && read_value (op, state);
  if (!is_plainly (op, SHMKV_STATUS_UNCHANGED))
    return FALSE;
  if (record->value == 0 || state->kind == SHMKV_KIND_NONE)
    return record->value == 0 && state->kind == SHMKV_KIND_NONE;
  if (state->version_id != MODEL_NONE)
    return state->version_id == op->sees_version;
  state->version_id = op->sees_version;
  return TRUE;
}

static gboolean
expire (const ModelOp *op, ModelState *state)
{
  if (state->kind == SHMKV_KIND_NONE)
    return is_plainly (op, SHMKV_STATUS_NO_KEY);
  state->expiry = has_flag (op->record, SHMKV_FLAG_TTL) ? op->index : MODEL_NONE;
  return is_plainly (op, SHMKV_STATUS_OK);
}

static gboolean
tell_ttl (const ModelOp *ops, const ModelOp *op, const ModelState *state)
{
  if (!op->answered)
    return TRUE;
  if (state->kind == SHMKV_KIND_NONE)
    return is_plainly (op, SHMKV_STATUS_NO_KEY);
  return op->record->status == SHMKV_STATUS_OK && op->record->answer_kind == SHMKV_KIND_INTEGER
         && op->record->answer_version == 0 && is_left (ops, state, op);
}

gboolean
model_step (const ModelOp *ops, const ModelOp *op, guint choice, ModelState *state)
{
  if ((choice & MODEL_EXPIRED) != 0)
    *state = model_absent;
  switch (op->record->op)
    {
    case SHMKV_OP_INSERT:
      return insert (op, choice, state);
    case SHMKV_OP_READ:
      return read_value (op, state);
    case SHMKV_OP_DELETE:
      return delete (op, choice, state);
    case SHMKV_OP_ADD:
    case SHMKV_OP_SUBTRACT:
      return add (op, choice, state);
    case SHMKV_OP_EXPIRE:
      return expire (op, state);
    case SHMKV_OP_TTL:
      return tell_ttl (ops, op, state);
    case SHMKV_OP_WAIT:
      return wait (op, state);
    default:
      return FALSE;
    }
}
