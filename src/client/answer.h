/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the server answered, on standard output; and the calls that end with it. */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

/* What the answer has for a value; of kind NONE where it has none.  Belongs to
 * the completion. */
ShmkvDatum cli_completion_get_value (const ShmkvCompletion *completion);

/* The exit status that belongs to an answer. */
CliExit cli_answer_exit (const ShmkvCompletion *completion);

/* Prints an answer on a line: as text, after the key where `with_key`, or as
 * JSON with `name` as its "op". */
void cli_answer (const CliContext *context, const char *name, const ShmkvRequest *request,
                 const ShmkvCompletion *completion, gboolean with_key);

/* The same for a request whose answer is all that is printed: that there is no
 * such key, or that the condition is not met, is for standard error then. */
CliExit cli_answer_only (const CliContext *context, const char *name, const ShmkvRequest *request,
                         const ShmkvCompletion *completion);

/* The same, but the value is printed as cli_print_value() does. */
CliExit cli_answer_value (const CliContext *context, const char *name,
                          const ShmkvRequest *request, const ShmkvCompletion *completion);

/* Carries out `n` requests, and prints the answers with their keys where they
 * are more than one. */
CliExit cli_call (const CliContext *context, const char *name, const ShmkvRequest *requests,
                  guint n, GError **error);

/* Whether the server takes so long a value; else SHMKV_ERROR_TOO_LARGE. */
gboolean cli_check_value_length (const CliContext *context, gsize length, GError **error);

G_END_DECLS
