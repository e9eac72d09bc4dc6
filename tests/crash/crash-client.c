/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* crash-client NAME ROLE SEED ID FD OFFSET: a client of the server NAME that does
 * random things, with points at which it may be made to die; see roles.h and
 * transport/crash.h.  It tells how far it has come in the file that is open as FD. */

#include "config.h"

#include "roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static PlayProgress *
map_progress (int fd, gsize offset)
{
  char *base = mmap (NULL, offset + sizeof (PlayProgress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  g_assert (base != MAP_FAILED);
  return (PlayProgress *) (void *) (base + offset);
}

static guint64
number (const char *text)
{
  return g_ascii_strtoull (text, NULL, 10);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  if (argc != 7 || number (argv[2]) >= N_ROLES)
    {
      fprintf (stderr, "usage: crash-client NAME ROLE SEED ID FD OFFSET\n");
      return 2;
    }
  if (role_run ((Role) number (argv[2]), argv[1], number (argv[3]), (guint) number (argv[4]),
                map_progress ((int) number (argv[5]), number (argv[6])), &error))
    return EXIT_SUCCESS;
  fprintf (stderr, "crash-client: role %s, seed %s, play %s: %s\n", argv[2], argv[3], argv[4],
           error->message);
  return EXIT_FAILURE;
}
