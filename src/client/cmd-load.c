/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Inserts what dump wrote, with many requests in flight. */

#include "config.h"

#include "client/cli.h"
#include "client/dump-format.h"
#include "client/json.h"
#include "client/output.h"
#include "client/progress.h"
#include "client/session.h"

#include <errno.h>
#include <string.h>

#define WINDOW 1024

/* Requests between two flushes, and completions taken at once. */
#define CHUNK 64

typedef struct
{
  gboolean if_absent;
} LoadOptions;

typedef struct
{
  const CliContext *context;
  ShmkvSession *session;
  CliDumpReader *reader;
  const char *name;        /* of the file */
  ShmkvFlags flags;
  CliProgress progress;
  guint64 n_submitted;
  guint64 n_answered;
  guint64 n_kept;          /* that were there, with --if-absent */
  gboolean is_refused;     /* the server refused one */
} Load;

/* A line is good for the number that came with its request: the answers come in
 * the order of the requests. */
static gboolean
check_answer (Load *load, const ShmkvCompletion *completion, GError **error)
{
  load->n_answered++;
  load->n_kept += completion->status == SHMKV_STATUS_MISMATCH;
  if (!shmkv_status_is_failure (completion->status))
    return TRUE;
  load->is_refused = TRUE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "%s:%" G_GSIZE_FORMAT ": %s", load->name,
               GPOINTER_TO_SIZE (completion->user_data),
               shmkv_status_to_string (completion->status));
  return FALSE;
}

/* Takes at least one; not to be called with none to come. */
static gboolean
take_some (Load *load, GError **error)
{
  ShmkvCompletion completions[CHUNK];
  gssize n = cli_session_take (load->session, completions, CHUNK, error);

  for (gssize i = 0; i < n; i++)
    {
      if (!check_answer (load, &completions[i], error))
        return FALSE;
    }
  if (cli_progress_is_due (&load->progress))
    cli_progress_draw (&load->progress, "%" G_GUINT64_FORMAT " keys loaded", load->n_answered);
  return n > 0;
}

static gboolean
drain (Load *load, guint64 n_left, GError **error)
{
  if (load->n_submitted - load->n_answered <= n_left)
    return TRUE;
  if (!shmkv_session_flush (load->session, error))
    return FALSE;
  while (load->n_submitted - load->n_answered > n_left)
    {
      if (!take_some (load, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
submit (Load *load, const CliRecord *record, GError **error)
{
  const ShmkvRequest request = {
    .op = SHMKV_OP_INSERT,
    .flags = load->flags | (record->ttl_ms != 0 ? SHMKV_FLAG_TTL : 0),
    .key = record->key,
    .value = record->value,
    .ttl_ms = record->ttl_ms,
    .user_data = GSIZE_TO_POINTER (cli_dump_reader_get_line (load->reader)),
  };

  if (!drain (load, WINDOW - 1, error)
      || shmkv_session_submit (load->session, &request, error) == 0)
    return FALSE;
  load->n_submitted++;
  return load->n_submitted % CHUNK != 0 || shmkv_session_flush (load->session, error);
}

/* Up to the end, or to a record that is not well formed. */
static gboolean
submit_all (Load *load, GError **error)
{
  for (;;)
    {
      CliRecord record;
      gboolean more;

      if (!cli_dump_reader_next (load->reader, &record, &more, error))
        {
          g_prefix_error (error, "%s:%" G_GUINT64_FORMAT ": ", load->name,
                          cli_dump_reader_get_line (load->reader));
          return FALSE;
        }
      if (!more)
        return TRUE;
      if (!submit (load, &record, error))
        return FALSE;
    }
}

/* What came before a bad record is loaded; where the server refused one of those,
 * that is the first bad one. */
static gboolean
load_all (Load *load, GError **error)
{
  g_autoptr (GError) local = NULL;
  gboolean read_all = submit_all (load, &local);

  if ((read_all || local->domain == CLI_ERROR) && !load->is_refused && !drain (load, 0, error))
    return FALSE;
  if (read_all)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static void
print_result (const Load *load)
{
  g_autoptr (GString) line = g_string_new (NULL);
  guint64 n_loaded = load->n_answered - load->n_kept;

  if (!load->context->json)
    {
      cli_print (load->context, "%" G_GUINT64_FORMAT "\n", n_loaded);
      return;
    }
  cli_json_open (line);
  cli_json_add_string (line, "op", "load");
  cli_json_add_unsigned (line, "loaded", n_loaded);
  cli_json_add_unsigned (line, "kept", load->n_kept);
  cli_print_json (load->context, line);
}

static CliExit
load_file (const CliContext *context, FILE *file, const char *name, gboolean if_absent,
           GError **error)
{
  g_autoptr (ShmkvSession) session = shmkv_session_new (context->client, error);
  g_autoptr (CliDumpReader) reader
    = cli_dump_reader_new (file, shmkv_client_get_max_value (context->client));
  Load load = { .context = context,
                .session = session,
                .reader = reader,
                .name = name,
                .flags = if_absent ? SHMKV_FLAG_IF_ABSENT : SHMKV_FLAG_NONE,
                .progress = cli_progress_start (context) };
  gboolean done;

  if (session == NULL)
    return CLI_EXIT_FAILED;
  done = load_all (&load, error);
  cli_progress_clear (&load.progress);
  if (!done)
    return CLI_EXIT_FAILED;
  print_result (&load);
  return CLI_EXIT_OK;
}

static CliExit
run_load (const CliContext *context, const CliArgs *args, gconstpointer options, GError **error)
{
  const LoadOptions *given = options;
  const char *path = cli_args_get_text (args, 0);
  gboolean is_stdin = path == NULL || g_str_equal (path, "-");
  FILE *file = is_stdin ? stdin : fopen (path, "re");
  CliExit status;

  if (file == NULL)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "cannot open %s: %s", path,
                   g_strerror (errno));
      return CLI_EXIT_FAILED;
    }
  status = load_file (context, file, is_stdin ? "standard input" : path, given->if_absent, error);
  if (!is_stdin)
    fclose (file);
  return status;
}

static const LoadOptions defaults = { FALSE };

static const CliOption load_options[] = {
  { "if-absent", 0, CLI_OPTION_FLAG, G_STRUCT_OFFSET (LoadOptions, if_absent), NULL,
    "leave keys alone that are there" },
  { NULL }
};

const CliCommand cli_cmd_load = {
  .name = "load",
  .aliases = { "restore" },
  .arguments = { { "FILE", CLI_ARGUMENT_TEXT, .optional = TRUE } },
  .summary = "Insert what dump wrote",
  .description =
    "Reads FILE, or standard input, and prints how many keys it inserted.  Keys that\n"
    "are there get the values of the file, others stay.\n"
    "\n"
    "At the first bad record it says the line and why, goes no further, and exits with\n"
    "5; what came before is loaded.  Up to 1024 requests are in flight: if the server\n"
    "refuses a record, some of those behind it may have been carried out.",
  .needs_client = TRUE,
  .options = load_options,
  .defaults = &defaults,
  .options_size = sizeof defaults,
  .run = run_load,
};
