/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "client/cli.h"
#include "client/output.h"

#include <shmkv/shmkv.h>
#include <signal.h>

/* Somebody truncated the server's memory: what needs it fails with an error. */
static void
on_bus_error (int number, siginfo_t *info, void *context)
{
  if (shmkv_handle_bus_error (info->si_addr))
    return;
  signal (SIGBUS, SIG_DFL);
  raise (SIGBUS);
}

static void
catch_bus_errors (void)
{
  struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_RESTART };

  sigaction (SIGBUS, &action, NULL);
}

int
main (int argc, char **argv)
{
  cli_output_guard ();
  catch_bus_errors ();
  g_log_writer_default_set_use_stderr (TRUE);
  g_set_prgname ("shmkv-client");
  return cli_main (argv);
}
