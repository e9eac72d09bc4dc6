/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Carries out the operations of a file through one session.
 *
 * Up to a window of requests is in flight.  Before it waits for more input, it
 * sends what it has, takes and prints all the answers: so that a file goes
 * through at full speed, and a person or a program that types a line and waits
 * gets the answer. */

#include "config.h"

#include "client/answer.h"
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

/* What of a request in flight the print of its answer needs.  The bytes of key
 * and value are kept, and owned, only where they will be printed. */
typedef struct
{
  const char *name;
  ShmkvOp op;
  ShmkvFlags flags;
  ShmkvDatum key;
  ShmkvDatum value;
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

static ShmkvDatum
keep_datum (const CliContext *context, const ShmkvDatum *datum)
{
  ShmkvDatum kept = *datum;

  kept.bytes = context->json ? g_memdup2 (datum->bytes, datum->length) : NULL;
  return kept;
}

static void
clear_pending (Pending *pending)
{
  g_free ((gpointer) pending->key.bytes);
  g_free ((gpointer) pending->value.bytes);
  pending->key.bytes = pending->value.bytes = NULL;
}

static void
print_answer (Batch *batch, const Pending *pending, const ShmkvCompletion *completion)
{
  const ShmkvRequest request = {
    .op = pending->op, .flags = pending->flags, .key = pending->key, .value = pending->value
  };

  batch->n_missing += cli_answer_exit (completion) == CLI_EXIT_NO;
  if (shmkv_status_is_failure (completion->status) && batch->n_failed++ == 0)
    cli_warn ("%s:%" G_GUINT64_FORMAT ": %s", cli_lines_get_name (batch->lines), pending->line,
              shmkv_status_to_string (completion->status));
  cli_answer (batch->context, pending->name, &request, completion, FALSE);
}

/* Takes and prints at least one answer; not to be called with none to come. */
static gboolean
take_some (Batch *batch, GError **error)
{
  ShmkvCompletion completions[CHUNK];
  gssize n_taken = cli_session_take (batch->session, completions, CHUNK, error);

  for (gssize i = 0; i < n_taken; i++)
    {
      Pending *pending = &batch->pending[batch->n_answered % batch->window];

      print_answer (batch, pending, &completions[i]);
      clear_pending (pending);
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

/* What the library refuses, without asking the server, is answered in its turn
 * like what the server refuses. */
static gboolean
refuse (Batch *batch, const char *name, const ShmkvRequest *request, ShmkvStatus status,
        GError **error)
{
  const Pending pending = {
    .name = name,
    .op = request->op,
    .flags = request->flags,
    .key = request->key,
    .value = request->value,
    .line = cli_lines_get_number (batch->lines),
  };
  const ShmkvCompletion completion = { .op = request->op, .status = status };

  if (!drain (batch, error))
    return FALSE;
  print_answer (batch, &pending, &completion);
  return cli_output_flush (error);
}

static gboolean
submit (Batch *batch, const char *name, const ShmkvRequest *request, GError **error)
{
  Pending *pending = &batch->pending[batch->n_submitted % batch->window];
  g_autoptr (GError) local = NULL;

  if (!make_room (batch, error))
    return FALSE;
  if (shmkv_session_submit (batch->session, request, &local) == 0)
    {
      if (g_error_matches (local, SHMKV_ERROR, SHMKV_ERROR_TOO_LARGE))
        return refuse (batch, name, request, SHMKV_STATUS_TOO_LARGE, error);
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  *pending = (Pending) {
    .name = name,
    .op = request->op,
    .flags = request->flags,
    .key = keep_datum (batch->context, &request->key),
    .value = keep_datum (batch->context, &request->value),
    .line = cli_lines_get_number (batch->lines),
  };
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

/* Nothing of the line is needed afterwards: the session has copied the request. */
static gboolean
submit_line (Batch *batch, char *text, gsize length, GError **error)
{
  CliBatchLine line;
  gboolean done;

  if (!cli_batch_line_parse (batch->context, text, length, &line, error))
    return FALSE;
  done = line.command == NULL || submit (batch, line.command->name, &line.request, error);
  cli_batch_line_clear (&line);
  return done;
}

/* Up to the end, or to a line that cannot be understood. */
static gboolean
submit_all (Batch *batch, GError **error)
{
  char *text;
  gsize length;

  while (read_line (batch, &text, &length, error))
    {
      if (text == NULL)
        return TRUE;
      if (!submit_line (batch, text, length, error))
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
  g_autoptr (CliLines) lines = cli_lines_open (cli_args_get_text (args, 0), error);
  g_autoptr (ShmkvSession) session = lines != NULL ? shmkv_session_new (context->client, error)
                                                   : NULL;
  g_autofree Pending *pending = g_new0 (Pending, given->window);
  Batch batch = { .context = context, .session = session, .lines = lines, .pending = pending,
                  .window = given->window, .progress = cli_progress_start (context) };
  gboolean done;

  if (session == NULL)
    return CLI_EXIT_FAILED;
  batch.progress.enabled &= !isatty (STDOUT_FILENO);
  done = run_all (&batch, error);
  cli_progress_clear (&batch.progress);
  for (guint64 i = 0; i < batch.window; i++)
    clear_pending (&pending[i]);

  if (!done || batch.n_failed > 0)
    return CLI_EXIT_FAILED;
  return given->strict && batch.n_missing > 0 ? CLI_EXIT_NO : CLI_EXIT_OK;
}

static const BatchOptions defaults = { .window = 1024 };

static const CliOption batch_options[] = {
  { "window", 'w', CLI_OPTION_NUMBER, G_STRUCT_OFFSET (BatchOptions, window), "N",
    "requests in flight at most (default: 1024)", 1, 1 << 20 },
  { "strict", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (BatchOptions, strict), NULL,
    "exit with 1 if a key was missing or a condition not met" },
  { NULL }
};

const CliCommand cli_cmd_batch = {
  .name = "batch",
  .arguments = { { "FILE", CLI_ARGUMENT_TEXT, .optional = TRUE } },
  .summary = "Carry out the operations in a file",
  .description =
    "FILE, or standard input, has an operation on each line: insert KEY VALUE,\n"
    "read KEY, delete KEY, add KEY [N], subtract KEY [N], exchange KEY VALUE,\n"
    "cas KEY EXPECTED NEW, expire KEY MS, ttl KEY, count, thstart N, thstop or ping.\n"
    "Keys and values are as on the command line, or stand in quotes as scan writes\n"
    "them.  Before the key, insert, read, delete, add and subtract take their options,\n"
    "such as --if-absent or --ttl=5000; a key in quotes, or after --, is none.  Empty\n"
    "lines and those that begin with # are skipped.  Many are in flight at once,\n"
    "through one session, so they take effect in their order; each is answered with\n"
    "one line, in that order: added, replaced, the value, deleted, done, not found,\n"
    "not done, the number of workers, alive, or failed and why.  A line that cannot be\n"
    "understood ends the batch with status 2; what came before it is carried out.  A\n"
    "failed operation does not end it, but it exits with 5 then.",
  .needs_client = TRUE,
  .options = batch_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .run = run_batch,
};
