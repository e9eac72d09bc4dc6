/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/test-script.h"

#include "client/random.h"

/* One at a time takes much longer, and tells as much about the time. */
#define MAX_SEQUENTIAL 100000

const char *
cli_routine_get_name (CliRoutine routine)
{
  switch (routine)
    {
    case CLI_ROUTINE_INSERT:
      return "insert";
    case CLI_ROUTINE_READ_SEQUENTIAL:
      return "read-sequential";
    case CLI_ROUTINE_READ_PIPELINED:
      return "read-pipelined";
    case CLI_ROUTINE_DELETE:
      return "delete";
    case CLI_ROUTINE_READ_DELETED:
      return "read-deleted";
    case CLI_ROUTINE_MIXED:
      return "mixed";
    case CLI_ROUTINE_CLEANUP:
      return "cleanup";
    }
  return "unknown";
}

CliScript
cli_script_begin (CliRoutine routine, guint64 key_base, guint64 n_keys, guint64 seed)
{
  gboolean is_slow = routine == CLI_ROUTINE_READ_SEQUENTIAL;

  return (CliScript) {
    .routine = routine,
    .key_base = key_base,
    .n_keys = n_keys,
    .random = cli_mix (seed + routine),
    .n_steps = is_slow ? MIN (n_keys, MAX_SEQUENTIAL) : n_keys,
  };
}

/* Half reads, a quarter inserts, a quarter deletes. */
static ShmkvOp
choose_op (guint64 random)
{
  if (random & 1)
    return SHMKV_OP_READ;
  return random & 2 ? SHMKV_OP_INSERT : SHMKV_OP_DELETE;
}

CliStep
cli_script_next (CliScript *script)
{
  guint64 number = script->step++;
  guint64 value = cli_random_next (&script->random) | 1;
  CliStep step = { .key = number, .user_data = GSIZE_TO_POINTER (number) };

  switch (script->routine)
    {
    case CLI_ROUTINE_INSERT:
      step.op = SHMKV_OP_INSERT;
      break;
    case CLI_ROUTINE_READ_SEQUENTIAL:
    case CLI_ROUTINE_READ_PIPELINED:
      step.op = SHMKV_OP_READ;
      step.key = cli_random_below (&script->random, script->n_keys);
      break;
    case CLI_ROUTINE_READ_DELETED:
      step.op = SHMKV_OP_READ;
      break;
    case CLI_ROUTINE_DELETE:
    case CLI_ROUTINE_CLEANUP:
      step.op = SHMKV_OP_DELETE;
      break;
    case CLI_ROUTINE_MIXED:
      step.op = choose_op (value >> 1);
      step.key = cli_random_below (&script->random, script->n_keys);
      break;
    }
  step.key += script->key_base;
  if (step.op == SHMKV_OP_INSERT)
    step.value = value;
  return step;
}

static gboolean
check_insert (guint64 *present, const CliStep *step, const ShmkvCompletion *completion)
{
  gboolean was_there = *present != 0;

  if (shmkv_status_is_failure (completion->status))
    return FALSE;
  *present = step->value;
  return completion->status == (was_there ? SHMKV_STATUS_REPLACED : SHMKV_STATUS_ADDED);
}

static gboolean
check_read (const guint64 *present, const ShmkvCompletion *completion)
{
  if (*present == 0)
    return completion->status == SHMKV_STATUS_NO_KEY;
  return completion->status == SHMKV_STATUS_OK && completion->value == *present;
}

static gboolean
check_delete (guint64 *present, const ShmkvCompletion *completion)
{
  gboolean was_there = *present != 0;

  if (shmkv_status_is_failure (completion->status))
    return FALSE;
  *present = 0;
  return completion->status == (was_there ? SHMKV_STATUS_OK : SHMKV_STATUS_NO_KEY);
}

gboolean
cli_model_check (CliModel *model, const CliStep *step, const ShmkvCompletion *completion)
{
  guint64 *present = &model->values[step->key - model->key_base];

  if (completion->op != step->op || completion->user_data != step->user_data)
    return FALSE;
  if (step->op == SHMKV_OP_INSERT)
    return check_insert (present, step, completion);
  if (step->op == SHMKV_OP_READ)
    return check_read (present, completion);
  return check_delete (present, completion);
}
