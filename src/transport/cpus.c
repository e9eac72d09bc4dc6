/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "transport/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

static guint
affinity_count (void)
{
  cpu_set_t set;

  /* Fails where the machine has more CPUs than the set has room for: plenty. */
  if (sched_getaffinity (0, sizeof set, &set) != 0)
    return CPU_SETSIZE;
  return (guint) CPU_COUNT (&set);
}

/* The quota of one cgroup directory in whole CPUs, rounded up. */
static guint
quota_of (const char *directory)
{
  g_autofree char *path = g_build_filename (directory, "cpu.max", NULL);
  g_autofree char *text = NULL;
  unsigned long long quota, period;

  if (!g_file_get_contents (path, &text, NULL, NULL)
      || sscanf (text, "%llu %llu", &quota, &period) != 2 || period == 0)
    return G_MAXUINT;
  return (guint) MIN ((quota + period - 1) / period, G_MAXUINT);
}

/* The path of our cgroup in the unified hierarchy, or NULL. */
static char *
own_cgroup (void)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/self/cgroup", &text, NULL, NULL))
    return NULL;
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    if (g_str_has_prefix (*line, "0::/"))
      return g_build_filename ("/sys/fs/cgroup", *line + strlen ("0::"), NULL);
  return NULL;
}

static guint
quota_count (void)
{
  g_autofree char *directory = own_cgroup ();
  guint least = G_MAXUINT;

  while (directory != NULL && g_str_has_prefix (directory, "/sys/fs/cgroup"))
    {
      char *parent = g_path_get_dirname (directory);

      least = MIN (least, quota_of (directory));
      g_free (directory);
      directory = parent;
    }
  return least;
}

guint
shmkv_cpus_allowed (void)
{
  return MAX (MIN (affinity_count (), quota_count ()), 1);
}
