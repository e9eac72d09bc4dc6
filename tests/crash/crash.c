/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What SHMKV_CRASH in the environment asks for; see transport/crash.h. */

#include "config.h"

#include "transport/crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *wanted;          /* NULL: nothing; not terminated by what follows its name */
static size_t wanted_length;
static _Atomic long n_left;
static int signal_number = SIGKILL;

/* Before there are threads. */
__attribute__ ((constructor)) static void
read_environment (void)
{
  const char *colon;
  char *end;

  wanted = getenv ("SHMKV_CRASH");
  if (wanted == NULL)
    return;
  colon = strchr (wanted, ':');
  wanted_length = colon != NULL ? (size_t) (colon - wanted) : strlen (wanted);
  n_left = colon != NULL ? strtol (colon + 1, &end, 10) : 1;
  if (colon != NULL && strcmp (end, ":stop") == 0)
    signal_number = SIGSTOP;
}

static int
is_wanted (const char *name)
{
  return (wanted_length == 3 && strncmp (wanted, "any", 3) == 0)
         || (strlen (name) == wanted_length && strncmp (wanted, name, wanted_length) == 0);
}

void
shmkv_crash_point (const char *name)
{
  if (wanted == NULL || !is_wanted (name) || atomic_fetch_sub (&n_left, 1) != 1)
    return;
  kill (getpid (), signal_number);
  while (signal_number == SIGKILL)
    pause ();
}
