/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What add and subtract have in common. */

#pragma once

#include "client/conditions.h"

G_BEGIN_DECLS

#define CLI_SUM_ARGUMENTS \
  { { "KEY", CLI_ARGUMENT_KEY }, { "N", CLI_ARGUMENT_NUMBER, .optional = TRUE } }

extern const CliOption cli_sum_options[];
extern const CliConditions cli_sum_defaults;

/* The request for `op`; N is 1 where it is left out. */
ShmkvRequest cli_sum_request (ShmkvOp op, const CliArgs *args);

CliExit cli_sum_run (const CliContext *context, ShmkvOp op, const CliArgs *args,
                     gconstpointer options, GError **error);

G_END_DECLS
