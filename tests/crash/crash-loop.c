/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* crash-loop --name=NAME [--seed=N] [--times=N] --client-points=A,B | --server-points=A,B
 *            | [--seconds=N] [--client-kills=N --server-kills=N] ...
 *
 * Kills clients and servers, and checks what is left and who notices.  With points,
 * each of these crash points once and more; see points.h.  Without, everything at
 * once at random; see soak.h.  The servers' names begin with NAME. */

#include "config.h"

#include "points.h"
#include "soak.h"

#include <locale.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static char *client_points;
static char *server_points;
static int times = 1;
static gint64 seed = 1;
static gint64 client_kills;
static gint64 server_kills;
static int victims = 8;
static int bystanders = 3;
static SoakOptions options = {
  .seconds = 10,
  .interval = 10,
  .max_growth = 64,
  .max_latency = 1000,
};

static const GOptionEntry entries[] = {
  { "name", 0, 0, G_OPTION_ARG_STRING, &options.name, NULL, NULL },
  { "seed", 0, 0, G_OPTION_ARG_INT64, &seed, NULL, NULL },
  { "client-points", 0, 0, G_OPTION_ARG_STRING, &client_points, NULL, NULL },
  { "server-points", 0, 0, G_OPTION_ARG_STRING, &server_points, NULL, NULL },
  { "times", 0, 0, G_OPTION_ARG_INT, &times, NULL, NULL },
  { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.seconds, NULL, NULL },
  { "client-kills", 0, 0, G_OPTION_ARG_INT64, &client_kills, NULL, NULL },
  { "server-kills", 0, 0, G_OPTION_ARG_INT64, &server_kills, NULL, NULL },
  { "victims", 0, 0, G_OPTION_ARG_INT, &victims, NULL, NULL },
  { "bystanders", 0, 0, G_OPTION_ARG_INT, &bystanders, NULL, NULL },
  { "interval", 0, 0, G_OPTION_ARG_DOUBLE, &options.interval, NULL, NULL },
  { "max-growth", 0, 0, G_OPTION_ARG_DOUBLE, &options.max_growth, NULL, NULL },
  { "max-latency", 0, 0, G_OPTION_ARG_DOUBLE, &options.max_latency, NULL, NULL },
  { "load", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.loads, NULL, NULL },
  { NULL, 0, 0, 0, NULL, NULL, NULL }
};

static gboolean
run_points (Shared *shared, int fd)
{
  g_auto (GStrv) clients = g_strsplit (client_points != NULL ? client_points : "", ",", -1);
  g_auto (GStrv) servers = g_strsplit (server_points != NULL ? server_points : "", ",", -1);
  Points points = { .name = options.name, .seed = options.seed, .times = (guint) times, .fd = fd };

  points.names = clients[0] != NULL ? clients : servers;
  if (clients[0] != NULL)
    points_run_clients (shared, &points);
  else
    points_run_servers (shared, &points);
  printf ("kills %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT ", free after %.1f ms, gone after %.1f ms, "
          "started after %.1f ms\n",
          atomic_load (&shared->client_kills), atomic_load (&shared->server_kills),
          (double) atomic_load (&shared->max_free_ns) / 1e6,
          (double) atomic_load (&shared->max_gone_ns) / 1e6,
          (double) atomic_load (&shared->max_start_ns) / 1e6);
  return atomic_load (&shared->failures) == 0;
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  Shared *shared;
  int fd;

  setlocale (LC_ALL, "C");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || options.name == NULL || argc != 1
      || (client_points != NULL && server_points != NULL) || times < 1 || times > 100 || victims < 0 || victims > 32 || bystanders < 0 || bystanders > 32)
    {
      fprintf (stderr, "crash-loop: %s\n", error != NULL ? error->message : "usage");
      return 2;
    }
  options.seed = (guint64) seed;
  options.client_kills = (guint64) client_kills;
  options.server_kills = (guint64) server_kills;
  options.victims = (guint) victims;
  options.bystanders = (guint) bystanders;
  shared = shared_new (&fd);
  if (client_points != NULL || server_points != NULL)
    return run_points (shared, fd) ? EXIT_SUCCESS : EXIT_FAILURE;
  return soak_run (shared, fd, &options) ? EXIT_SUCCESS : EXIT_FAILURE;
}
