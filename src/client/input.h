/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

/* Reads standard input to its end, and fails where the server would not take so
 * long a value. */
GBytes *cli_input_read (const CliContext *context, GError **error);

G_END_DECLS
