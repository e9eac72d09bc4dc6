/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What --help, --version and --list-commands print on standard output. */

#pragma once

#include "client/cli.h"

G_BEGIN_DECLS

void cli_help_print_program (void);
void cli_help_print_command (const CliCommand *command);
void cli_help_print_version (void);
void cli_help_print_command_list (void);

G_END_DECLS
