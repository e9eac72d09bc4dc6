/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/answer.h"

#include "client/json.h"
#include "client/output.h"
#include "client/report.h"
#include "client/word.h"

ShmkvDatum
cli_completion_get_value (const ShmkvCompletion *completion)
{
  ShmkvDatum value = { .kind = completion->value_kind, .integer = completion->value };

  if (completion->value_kind == SHMKV_KIND_BYTES)
    value.bytes = g_bytes_get_data (completion->bytes, &value.length);
  return value;
}

static gboolean
is_missing (const ShmkvCompletion *completion)
{
  return completion->status == SHMKV_STATUS_NO_KEY;
}

static gboolean
is_mismatch (const ShmkvCompletion *completion)
{
  return completion->status == SHMKV_STATUS_MISMATCH;
}

CliExit
cli_answer_exit (const ShmkvCompletion *completion)
{
  if (shmkv_status_is_failure (completion->status))
    return CLI_EXIT_FAILED;
  return is_missing (completion) || is_mismatch (completion) ? CLI_EXIT_NO : CLI_EXIT_OK;
}

/* --------------------------------------------------------------------- text */

static void
append_ttl (GString *line, guint64 ttl_ms)
{
  if (ttl_ms == 0)
    g_string_append (line, "never");
  else
    g_string_append_printf (line, "%" G_GUINT64_FORMAT, ttl_ms);
}

/* What became of it, in a word or two. */
static void
append_outcome (GString *line, const ShmkvRequest *request, const ShmkvCompletion *completion)
{
  const ShmkvDatum value = cli_completion_get_value (completion);

  if (shmkv_status_is_failure (completion->status))
    g_string_append_printf (line, "failed: %s", shmkv_status_to_string (completion->status));
  else if (is_missing (completion))
    g_string_append (line, "not found");
  else if (is_mismatch (completion))
    g_string_append (line, "not done");
  else if (request->op == SHMKV_OP_INSERT || request->op == SHMKV_OP_EXPIRE)
    g_string_append (line, shmkv_status_to_string (completion->status));
  else if (request->op == SHMKV_OP_DELETE)
    g_string_append (line, "deleted");
  else if (request->op == SHMKV_OP_PING)
    g_string_append (line, "alive");
  else if (request->op == SHMKV_OP_TTL)
    append_ttl (line, completion->value);
  else
    cli_word_append (line, &value);
}

/* What the user asked for beside that. */
static void
append_details (GString *line, const ShmkvRequest *request, const ShmkvCompletion *completion)
{
  const ShmkvDatum value = cli_completion_get_value (completion);

  if (cli_answer_exit (completion) != CLI_EXIT_OK)
    return;
  if (request->flags & SHMKV_FLAG_VERSION)
    g_string_append_printf (line, " %" G_GUINT64_FORMAT, completion->version);
  if ((request->flags & SHMKV_FLAG_OLD) && value.kind != SHMKV_KIND_NONE)
    {
      g_string_append_c (line, ' ');
      cli_word_append (line, &value);
    }
}

static void
print_text (const CliContext *context, const ShmkvRequest *request,
            const ShmkvCompletion *completion, gboolean with_key)
{
  g_autoptr (GString) line = g_string_new (NULL);

  if (with_key)
    {
      cli_word_append (line, &request->key);
      g_string_append_c (line, ' ');
    }
  append_outcome (line, request, completion);
  append_details (line, request, completion);
  g_string_append_c (line, '\n');
  cli_print_bytes (context, line->str, line->len);
}

/* --------------------------------------------------------------------- JSON */

static void
add_value (GString *line, const char *name, const ShmkvCompletion *completion)
{
  const ShmkvDatum value = cli_completion_get_value (completion);

  if (value.kind != SHMKV_KIND_NONE)
    cli_json_add_datum (line, name, &value);
}

static void
add_ttl (GString *line, const ShmkvCompletion *completion)
{
  if (is_missing (completion))
    return;
  cli_json_add_boolean (line, "expires", completion->value != 0);
  if (completion->value != 0)
    cli_json_add_unsigned (line, "ttl_ms", completion->value);
}

static void
add_insert (GString *line, const ShmkvRequest *request, const ShmkvCompletion *completion)
{
  cli_json_add_datum (line, "value", &request->value);
  cli_json_add_boolean (line, "added", completion->status == SHMKV_STATUS_ADDED);
  cli_json_add_boolean (line, "done", !is_mismatch (completion));
  add_value (line, "old", completion);
}

static void
add_delete (GString *line, const ShmkvCompletion *completion)
{
  cli_json_add_boolean (line, "found", !is_missing (completion));
  cli_json_add_boolean (line, "done", cli_answer_exit (completion) == CLI_EXIT_OK);
  add_value (line, "old", completion);
}

static void
add_sum (GString *line, const ShmkvCompletion *completion)
{
  add_value (line, "value", completion);
  cli_json_add_boolean (line, "found", !is_missing (completion));
  cli_json_add_boolean (line, "done", cli_answer_exit (completion) == CLI_EXIT_OK);
}

static void
add_answer (GString *line, const ShmkvRequest *request, const ShmkvCompletion *completion)
{
  switch (request->op)
    {
    case SHMKV_OP_INSERT:
      add_insert (line, request, completion);
      break;
    case SHMKV_OP_READ:
    case SHMKV_OP_WAIT:
      add_value (line, "value", completion);
      cli_json_add_boolean (line, "found", !is_missing (completion));
      break;
    case SHMKV_OP_DELETE:
      add_delete (line, completion);
      break;
    case SHMKV_OP_ADD:
    case SHMKV_OP_SUBTRACT:
      add_sum (line, completion);
      break;
    case SHMKV_OP_EXPIRE:
      cli_json_add_boolean (line, "found", !is_missing (completion));
      break;
    case SHMKV_OP_TTL:
      cli_json_add_boolean (line, "found", !is_missing (completion));
      add_ttl (line, completion);
      break;
    case SHMKV_OP_START_WORKERS:
    case SHMKV_OP_STOP_WORKER:
      cli_json_add_unsigned (line, "workers", completion->value);
      break;
    case SHMKV_OP_COUNT:
    case SHMKV_OP_CLEAR:
      cli_json_add_unsigned (line, "keys", completion->value);
      break;
    default:
      break;
    }
}

/* Whether the key of the request is one, and no number of workers. */
static gboolean
has_key (const ShmkvRequest *request)
{
  return request->key.kind != SHMKV_KIND_NONE && request->op != SHMKV_OP_START_WORKERS;
}

static void
print_json (const CliContext *context, const char *name, const ShmkvRequest *request,
            const ShmkvCompletion *completion)
{
  g_autoptr (GString) line = g_string_new (NULL);

  cli_json_open (line);
  cli_json_add_string (line, "op", name);
  if (has_key (request))
    cli_json_add_datum (line, "key", &request->key);
  if (shmkv_status_is_failure (completion->status))
    cli_json_add_string (line, "failure", shmkv_status_to_string (completion->status));
  else
    add_answer (line, request, completion);
  if ((request->flags & SHMKV_FLAG_VERSION) && cli_answer_exit (completion) == CLI_EXIT_OK)
    cli_json_add_unsigned (line, "version", completion->version);
  cli_print_json (context, line);
}

/* -------------------------------------------------------------------- calls */

void
cli_answer (const CliContext *context, const char *name, const ShmkvRequest *request,
            const ShmkvCompletion *completion, gboolean with_key)
{
  if (context->json)
    print_json (context, name, request, completion);
  else
    print_text (context, request, completion, with_key);
}

/* What is no answer for standard output, but for JSON. */
static gboolean
report (const CliContext *context, const ShmkvRequest *request, const ShmkvCompletion *completion)
{
  if (context->json)
    return FALSE;
  if (is_missing (completion))
    cli_report_no_key (context, &request->key);
  else if (is_mismatch (completion))
    cli_report_mismatch (context, &request->key);
  else
    return FALSE;
  return TRUE;
}

CliExit
cli_answer_only (const CliContext *context, const char *name, const ShmkvRequest *request,
                 const ShmkvCompletion *completion)
{
  if (!report (context, request, completion))
    cli_answer (context, name, request, completion, FALSE);
  return cli_answer_exit (completion);
}

CliExit
cli_answer_value (const CliContext *context, const char *name, const ShmkvRequest *request,
                  const ShmkvCompletion *completion)
{
  const ShmkvDatum value = cli_completion_get_value (completion);

  if (context->json || value.kind == SHMKV_KIND_NONE || (request->flags & SHMKV_FLAG_VERSION))
    return cli_answer_only (context, name, request, completion);
  cli_print_value (context, &value);
  return CLI_EXIT_OK;
}

static CliExit
call_one (const CliContext *context, const char *name, const ShmkvRequest *request,
          GError **error)
{
  ShmkvCompletion completion;
  CliExit status;

  if (!shmkv_client_call (context->client, request, &completion, error))
    return CLI_EXIT_FAILED;
  if (request->op == SHMKV_OP_READ)
    status = cli_answer_value (context, name, request, &completion);
  else
    status = cli_answer_only (context, name, request, &completion);
  shmkv_completion_clear (&completion);
  return status;
}

/* The answers tell of each; this is for who does not read them. */
static void
warn_of_failures (const ShmkvCompletion *completions, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      if (shmkv_status_is_failure (completions[i].status))
        {
          cli_warn ("not all was done: %s", shmkv_status_to_string (completions[i].status));
          return;
        }
    }
}

static CliExit
call_many (const CliContext *context, const char *name, const ShmkvRequest *requests, guint n,
           GError **error)
{
  g_autofree ShmkvCompletion *completions = g_new0 (ShmkvCompletion, n);
  gboolean answered = shmkv_client_call_many (context->client, requests, n, completions, error);
  CliExit status = answered ? CLI_EXIT_OK : CLI_EXIT_FAILED;

  warn_of_failures (completions, n);
  for (guint i = 0; i < n; i++)
    {
      /* Where not all were answered, zero tells those that were not. */
      if (completions[i].op != 0)
        {
          cli_answer (context, name, &requests[i], &completions[i], TRUE);
          status = MAX (status, cli_answer_exit (&completions[i]));
        }
      shmkv_completion_clear (&completions[i]);
    }
  return status;
}

CliExit
cli_call (const CliContext *context, const char *name, const ShmkvRequest *requests, guint n,
          GError **error)
{
  if (n == 1)
    return call_one (context, name, requests, error);
  return call_many (context, name, requests, n, error);
}

gboolean
cli_check_value_length (const CliContext *context, gsize length, GError **error)
{
  guint64 max = shmkv_client_get_max_value (context->client);

  if (length <= max)
    return TRUE;
  g_set_error (error, SHMKV_ERROR, SHMKV_ERROR_TOO_LARGE,
               "the value is too long: the server takes %" G_GUINT64_FORMAT
               " bytes at most; its --max-value changes that",
               max);
  return FALSE;
}
