/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a command while a key is held, as flock(1) does with a file.
 *
 * The key belongs to a session, and goes with it.  The command inherits a
 * descriptor that keeps the session alive: so where this process is killed, the
 * lock is held on until the command has ended too, and whatever else has the
 * descriptor.  Where this process is there to see the command's end, it deletes
 * the key at once, if that is still its own. */

#include "config.h"

#include "client/answer.h"
#include "client/cli.h"
#include "client/number.h"
#include "client/report.h"
#include "client/run.h"
#include "client/word.h"

#include <math.h>
#include <unistd.h>

typedef struct
{
  double wait;
  guint64 conflict_status;
} LockOptions;

typedef struct
{
  const CliContext *context;
  ShmkvSession *session;
  ShmkvDatum key;
  guint64 version;         /* that the key got from us */
  gboolean is_lost;        /* which was said */
} Lock;

/* For people who ask who has it; not too long a value. */
static char *
describe_holder (char **argv)
{
  g_autofree char *command = g_strjoinv (" ", argv);

  return g_strdup_printf ("%s %d %.200s", g_get_host_name (), (int) getpid (), command);
}

/* As shmkv_client_call(), in the lock's session. */
static gboolean
call (Lock *lock, const ShmkvRequest *request, ShmkvCompletion *completion_out, GError **error)
{
  if (!shmkv_session_call (lock->session, request, completion_out, error))
    return FALSE;
  if (!shmkv_status_is_failure (completion_out->status))
    return TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot take the lock: %s",
               shmkv_status_to_string (completion_out->status));
  shmkv_completion_clear (completion_out);
  return FALSE;
}

/* One attempt. */
static gboolean
try_to_take (Lock *lock, const char *holder, gboolean *taken_out, GError **error)
{
  const ShmkvRequest request = {
    .op = SHMKV_OP_INSERT,
    .flags = SHMKV_FLAG_IF_ABSENT | SHMKV_FLAG_SESSION | SHMKV_FLAG_VERSION,
    .key = lock->key,
    .value = shmkv_string (holder),
  };
  ShmkvCompletion completion;

  if (!call (lock, &request, &completion, error))
    return FALSE;
  *taken_out = completion.status == SHMKV_STATUS_ADDED;
  lock->version = completion.version;
  shmkv_completion_clear (&completion);
  return TRUE;
}

static void
say_who (Lock *lock, const ShmkvCompletion *completion)
{
  const ShmkvDatum holder = cli_completion_get_value (completion);
  g_autoptr (GString) word = g_string_new (NULL);

  cli_word_append (word, &holder);
  cli_note (lock->context, "the lock is taken: %s", word->str);
}

static gint64
get_time_left (gint64 deadline)
{
  return deadline < 0 ? -1 : MAX (deadline - g_get_monotonic_time (), 0);
}

/* Waits until the key that somebody else has changes.  `*changed_out` is FALSE
 * where the time ran out. */
static gboolean
await_change (Lock *lock, gint64 deadline, gboolean *changed_out, GError **error)
{
  const ShmkvRequest request
    = { .op = SHMKV_OP_READ, .flags = SHMKV_FLAG_VERSION, .key = lock->key };
  gint64 left = get_time_left (deadline);
  ShmkvCompletion held, now;
  gboolean done = TRUE;

  *changed_out = TRUE;
  if (!call (lock, &request, &held, error))
    return FALSE;
  if (held.status == SHMKV_STATUS_OK && left != 0)
    {
      done = shmkv_session_wait (lock->session, &lock->key, held.version, left, &now, error);
      *changed_out
        = done && (now.status != SHMKV_STATUS_UNCHANGED || get_time_left (deadline) != 0);
      if (done)
        shmkv_completion_clear (&now);
    }
  else if (held.status == SHMKV_STATUS_OK)
    *changed_out = FALSE;
  if (done && !*changed_out)
    say_who (lock, &held);
  shmkv_completion_clear (&held);
  return done;
}

/* `*taken_out` is FALSE where the time ran out. */
static gboolean
take (Lock *lock, const char *holder, double wait, gboolean *taken_out, GError **error)
{
  gint64 wait_us = cli_seconds_to_usec (wait);
  gint64 deadline = wait_us < 0 ? -1 : g_get_monotonic_time () + wait_us;
  gboolean changed = TRUE;

  *taken_out = FALSE;
  while (changed)
    {
      if (!try_to_take (lock, holder, taken_out, error))
        return FALSE;
      if (*taken_out)
        return TRUE;
      if (!await_change (lock, deadline, &changed, error))
        return FALSE;
    }
  return TRUE;
}

static void
warn_lost (Lock *lock, const char *why)
{
  if (!lock->is_lost)
    cli_warn ("the lock was lost while the command ran: %s", why);
  lock->is_lost = TRUE;
}

/* Now and then: whether the server is still there. */
static void
look_at_server (gpointer data)
{
  Lock *lock = data;
  ShmkvCompletion completion;
  g_autoptr (GError) error = NULL;

  if (!lock->is_lost && shmkv_session_take (lock->session, &completion, 1, 0, &error) < 0)
    warn_lost (lock, error->message);
}

/* Not somebody else's, who may have it if ours was deleted. */
static void
release (Lock *lock)
{
  const ShmkvRequest request = {
    .op = SHMKV_OP_DELETE,
    .flags = SHMKV_FLAG_IF_VERSION,
    .key = lock->key,
    .version = lock->version,
  };
  ShmkvCompletion completion;
  g_autoptr (GError) error = NULL;

  if (!call (lock, &request, &completion, &error))
    {
      warn_lost (lock, error->message);
      return;
    }
  if (completion.status != SHMKV_STATUS_OK)
    warn_lost (lock, "somebody deleted or changed the key");
  shmkv_completion_clear (&completion);
}

/* Returns the command's exit status, or -1. */
static int
run_command (Lock *lock, char **argv, GError **error)
{
  CliRun run = { .argv = argv, .look = look_at_server, .data = lock };
  int status = -1;

  run.inherited_fd = shmkv_client_dup_fd (lock->context->client, error);
  if (run.inherited_fd >= 0)
    {
      status = cli_run (&run, error);
      close (run.inherited_fd);
    }
  release (lock);
  return status;
}

static char **
get_command (const CliArgs *args)
{
  char **argv = g_new0 (char *, args->n);

  for (guint i = 1; i < args->n; i++)
    argv[i - 1] = g_strdup (args->list[i].text);
  return argv;
}

static CliExit
run_lock (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const LockOptions *given = options;
  g_auto (GStrv) argv = get_command (args);
  g_autofree char *holder = describe_holder (argv);
  g_autoptr (ShmkvSession) session = shmkv_session_new (context->client, error);
  Lock lock = { .context = context, .session = session, .key = args->list[0].datum };
  gboolean taken;
  int status;

  if (session == NULL || !take (&lock, holder, given->wait, &taken, error))
    return CLI_EXIT_FAILED;
  if (!taken)
    return (CliExit) given->conflict_status;
  status = run_command (&lock, argv, error);
  return status >= 0 ? (CliExit) status : CLI_EXIT_FAILED;
}

static const LockOptions defaults = { .wait = INFINITY, .conflict_status = CLI_EXIT_NO };

static const CliOption lock_options[] = {
  { "wait", 'w', CLI_OPTION_WAIT, G_STRUCT_OFFSET (LockOptions, wait), "SECONDS",
    "wait so long for the lock; 0: not at all (default: \"inf\")" },
  { "conflict-status", 0, CLI_OPTION_NUMBER, G_STRUCT_OFFSET (LockOptions, conflict_status), "N",
    "exit with N if it was not to be had (default: 1)", 0, 255 },
  { NULL }
};

const CliCommand cli_cmd_lock = {
  .name = "lock",
  .arguments = { { "KEY", CLI_ARGUMENT_KEY },
                 { "COMMAND", CLI_ARGUMENT_TEXT },
                 { "ARG", CLI_ARGUMENT_TEXT, .optional = TRUE } },
  .n_repeated = 1,
  .ends_options = TRUE,
  .summary = "Run COMMAND while KEY is held",
  .description =
    "Takes KEY as a lock, waits for it where somebody else has it, runs COMMAND, and\n"
    "gives it back.  Options stand before KEY.  Exits with the status of COMMAND, with\n"
    "128+N where signal N ended it, 127 where it was not found, and 126 where it could\n"
    "not be run.  SIGHUP, SIGINT, SIGQUIT and SIGTERM are handed on to COMMAND.\n"
    "\n"
    "Should shmkv-client be killed, the lock stays until COMMAND has ended too, and\n"
    "whatever it started and left running.  If the server ends, COMMAND goes on: the\n"
    "lock is gone then, and a warning says so.",
  .needs_client = TRUE,
  .options = lock_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .run = run_lock,
};
