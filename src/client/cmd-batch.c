/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Carries out the operations of a file through one session.
 *
 * Up to a window of requests is in flight.  Before it waits for more input, it
 * sends what it has, takes and prints all the answers: so that a file goes
 * through at full speed, and a person or a program that types a line and waits
 * gets the answer. */

#include "config.h"

#include "client/batch-line.h"
#include "client/cli.h"
#include "client/lines.h"
#include "client/output.h"
#include "client/progress.h"
#include "client/report.h"
#include "client/session.h"

#include <unistd.h>

/* Requests between two flushes, and completions taken at once. */
#define CHUNK 64

typedef struct
{
  guint64 window;
  gboolean strict;
} BatchOptions;

/* A request in flight, for the print of its answer. */
typedef struct
{
  ShmkvRequest request;
  guint64 line;
} Pending;

typedef struct
{
  const CliContext *context;
  ShmkvSession *session;
  CliLines *lines;
  CliProgress progress;
  Pending *pending;        /* a ring of `window` */
  guint64 window;
  guint64 n_submitted;
  guint64 n_answered;
  guint64 n_missing;       /* reads and deletes that found no key */
  guint64 n_failed;
} Batch;

static void
print_answer (Batch *batch, const Pending *pending, const ShmkvCompletion *completion)
{
  const ShmkvRequest *request = &pending->request;
  gboolean found = completion->status != SHMKV_STATUS_NO_KEY;

  batch->n_missing += !found;
  if (shmkv_status_is_failure (completion->status))
    {
      cli_answer_failure (batch->context, request->op, completion->status);
      if (batch->n_failed++ == 0)
        cli_warn ("%s:%" G_GUINT64_FORMAT ": %s", cli_lines_get_name (batch->lines),
                  pending->line, shmkv_status_to_string (completion->status));
    }
  else if (request->op == SHMKV_OP_INSERT)
    cli_answer_insert (batch->context, request->key, request->value,
                       completion->status == SHMKV_STATUS_ADDED);
  else if (request->op == SHMKV_OP_READ)
    cli_answer_read (batch->context, request->key, found, completion->value);
  else if (request->op == SHMKV_OP_DELETE)
    cli_answer_delete (batch->context, request->key, found);
  else if (request->op == SHMKV_OP_PING)
    cli_answer_ping (batch->context);
  else
    cli_answer_workers (batch->context, request->op, completion->value);
}

/* Takes and prints at least one answer; not to be called with none to come. */
static gboolean
take_some (Batch *batch, GError **error)
{
  ShmkvCompletion completions[CHUNK];
  gssize n_taken = cli_session_take (batch->session, completions, CHUNK, error);

  for (gssize i = 0; i < n_taken; i++)
    {
      print_answer (batch, &batch->pending[batch->n_answered % batch->window], &completions[i]);
      batch->n_answered++;
      shmkv_completion_clear (&completions[i]);
    }
  if (cli_progress_is_due (&batch->progress))
    cli_progress_draw (&batch->progress, "%" G_GUINT64_FORMAT " operations", batch->n_answered);
  return n_taken > 0;
}

static gboolean
drain (Batch *batch, GError **error)
{
  if (batch->n_answered == batch->n_submitted)
    return TRUE;
  if (!shmkv_session_flush (batch->session, error))
    return FALSE;
  while (batch->n_answered < batch->n_submitted)
    {
      if (!take_some (batch, error))
        return FALSE;
    }
  return cli_output_flush (error);
}

static gboolean
make_room (Batch *batch, GError **error)
{
  if (batch->n_submitted - batch->n_answered < batch->window)
    return TRUE;
  return shmkv_session_flush (batch->session, error) && take_some (batch, error);
}

static gboolean
submit (Batch *batch, const ShmkvRequest *request, GError **error)
{
  Pending *pending = &batch->pending[batch->n_submitted % batch->window];

  if (!make_room (batch, error))
    return FALSE;
  *pending = (Pending) { .request = *request, .line = cli_lines_get_number (batch->lines) };
  if (shmkv_session_submit (batch->session, request, error) == 0)
    return FALSE;
  batch->n_submitted++;
  return batch->n_submitted % CHUNK != 0 || shmkv_session_flush (batch->session, error);
}

static gboolean
read_line (Batch *batch, char **line_out, gsize *length_out, GError **error)
{
  if (!cli_lines_ready (batch->lines) && !drain (batch, error))
    return FALSE;
  return cli_lines_next (batch->lines, line_out, length_out, error);
}

/* Up to the end, or to a line that cannot be understood. */
static gboolean
submit_all (Batch *batch, GError **error)
{
  char *line;
  gsize length;

  while (read_line (batch, &line, &length, error))
    {
      ShmkvRequest request;
      gboolean wanted;

      if (line == NULL)
        return TRUE;
      if (!cli_batch_line_parse (line, length, &wanted, &request, error)
          || (wanted && !submit (batch, &request, error)))
        return FALSE;
    }
  return FALSE;
}

/* What came before a bad line is carried out, and answered, all the same. */
static gboolean
run_all (Batch *batch, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (submit_all (batch, &local))
    return drain (batch, error);
  if (local->domain == CLI_ERROR && !drain (batch, error))
    return FALSE;
  if (g_error_matches (local, CLI_ERROR, CLI_ERROR_USAGE))
    g_prefix_error (&local, "%s:%" G_GUINT64_FORMAT ": ", cli_lines_get_name (batch->lines),
                    cli_lines_get_number (batch->lines));
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static CliExit
run_batch (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const BatchOptions *given = options;
  g_autoptr (CliLines) lines = cli_lines_open (args->text[0], error);
  g_autoptr (ShmkvSession) session = lines != NULL ? shmkv_session_new (context->client, error)
                                                   : NULL;
  g_autofree Pending *pending = g_new (Pending, given->window);
  Batch batch = { .context = context, .session = session, .lines = lines, .pending = pending,
                  .window = given->window, .progress = cli_progress_start (context) };
  gboolean done;

  if (session == NULL)
    return CLI_EXIT_FAILED;
  batch.progress.enabled &= !isatty (STDOUT_FILENO);
  done = run_all (&batch, error);
  cli_progress_clear (&batch.progress);

  if (!done || batch.n_failed > 0)
    return CLI_EXIT_FAILED;
  return given->strict && batch.n_missing > 0 ? CLI_EXIT_NO : CLI_EXIT_OK;
}

static const BatchOptions defaults = { .window = 1024 };

static const CliOption batch_options[] = {
  { "window", 'w', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (BatchOptions, window), "N",
    "requests in flight at most (default: 1024)", 1, 1 << 20 },
  { "strict", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (BatchOptions, strict), NULL,
    "exit with 1 if a read or delete found no key" },
  { NULL }
};

const CliCommand cli_cmd_batch = {
  .name = "batch",
  .arguments = { { "FILE", .is_text = TRUE, .optional = TRUE } },
  .summary = "Carry out the operations in a file",
  .description =
    "FILE, or standard input, has an operation on each line: insert KEY VALUE,\n"
    "read KEY, delete KEY, thstart N, thstop or ping.  Empty lines and those that\n"
    "begin with # are skipped.  Many are in flight at once, through one session, so\n"
    "they take effect in their order; each is answered with one line, in that order:\n"
    "added, replaced, the value, deleted, not found, the number of workers, alive, or\n"
    "failed and why.  A line that cannot be understood ends the batch with status 2;\n"
    "what came before it is carried out.  A failed operation does not end it, but it\n"
    "exits with 5 then.",
  .needs_client = TRUE,
  .options = batch_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .run = run_batch,
};
