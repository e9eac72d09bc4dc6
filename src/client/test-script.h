/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The test routines as plain data: which requests each makes, and which answer
 * to each of them is right.
 *
 * A script yields the same requests whenever it is run with the same seed.  So
 * the thread that takes responses runs a script of its own, and nothing has to
 * be handed over from the thread that submits. */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

typedef enum
{
  CLI_ROUTINE_INSERT,
  CLI_ROUTINE_READ_SEQUENTIAL,  /* the next one only after the answer to this one */
  CLI_ROUTINE_READ_PIPELINED,
  CLI_ROUTINE_DELETE,
  CLI_ROUTINE_READ_DELETED,     /* to see that they are gone */
  CLI_ROUTINE_MIXED,            /* reads, inserts and deletes at random */
  CLI_N_ROUTINES,               /* those that are reported */
  CLI_ROUTINE_CLEANUP = CLI_N_ROUTINES
} CliRoutine;

const char *cli_routine_get_name (CliRoutine routine);

/* Of `n_keys` keys from `key_base` on. */
typedef struct
{
  CliRoutine routine;
  guint64 key_base;
  guint64 n_keys;
  guint64 random;
  guint64 step;
  guint64 n_steps;
} CliScript;

/* `n_keys` from 1 to 2^32. */
CliScript cli_script_begin (CliRoutine routine, guint64 key_base, guint64 n_keys, guint64 seed);

/* One request, without what requests of other kinds have: there are millions. */
typedef struct
{
  ShmkvOp op;              /* insert, read or delete */
  guint64 key;
  guint64 value;           /* of an insert */
  gpointer user_data;
} CliStep;

/* The next request; not to be called more than n_steps times. */
CliStep cli_script_next (CliScript *script);

/* What the server's table should hold of a script's keys. */
typedef struct
{
  guint64 key_base;
  guint64 *values;         /* by key; 0 where there is none: scripts insert no 0 */
} CliModel;

/* Whether `completion` is the right answer to `step`.  Carries `step` out in the
 * model. */
gboolean cli_model_check (CliModel *model, const CliStep *step,
                          const ShmkvCompletion *completion);

G_END_DECLS
