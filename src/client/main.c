/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/output.h"

int
main (int argc, char **argv)
{
  cli_output_guard ();
  g_log_writer_default_set_use_stderr (TRUE);
  g_set_prgname ("shmkv-client");
  return cli_main (argv);
}
