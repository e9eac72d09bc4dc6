/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a service manager hears from the server. */

#include "config.h"

#include "server/notify.h"
#include "util.h"

#include <glib/gstdio.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct
{
  char *directory;
  int fd;
} Manager;

/* A socket at `path`, which may begin with '@'. */
static void
manager_listen (Manager *manager, const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  size_t length = strlen (path);

  g_assert_cmpuint (length, <=, sizeof address.sun_path);
  memcpy (address.sun_path, path, length);
  if (path[0] == '@')
    address.sun_path[0] = '\0';
  manager->fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  g_assert_cmpint (manager->fd, >=, 0);
  g_assert_cmpint (bind (manager->fd, (const struct sockaddr *) &address,
                         (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length)),
                   ==, 0);
  g_setenv ("NOTIFY_SOCKET", path, TRUE);
}

static void
manager_init (Manager *manager)
{
  manager->fd = -1;
  manager->directory = g_dir_make_tmp ("shmkv-test-XXXXXX", NULL);
  g_assert_nonnull (manager->directory);
}

static void
manager_clear (Manager *manager)
{
  if (manager->fd >= 0)
    close (manager->fd);
  g_rmdir (manager->directory);
  g_free (manager->directory);
  g_unsetenv ("NOTIFY_SOCKET");
}

/* A datagram has arrived when it was sent: nothing to wait for. */
static void
assert_heard (const Manager *manager, const char *state)
{
  char buffer[256];
  ssize_t n = recv (manager->fd, buffer, sizeof buffer, 0);

  g_assert_cmpmem (buffer, n, state, strlen (state));
}

static void
assert_silent (const Manager *manager)
{
  char buffer[256];

  g_assert_cmpint (recv (manager->fd, buffer, sizeof buffer, 0), ==, -1);
}

static void
check_states (const Manager *manager)
{
  shmkv_notify ("READY=1");
  assert_heard (manager, "READY=1");
  assert_silent (manager);
  shmkv_notify ("STOPPING=1\nSTATUS=so long");
  shmkv_notify ("");
  assert_heard (manager, "STOPPING=1\nSTATUS=so long");
  assert_heard (manager, "");
  assert_silent (manager);
}

static void
test_path (void)
{
  g_autofree char *path = NULL;
  Manager manager;

  manager_init (&manager);
  path = g_build_filename (manager.directory, "notify", NULL);
  manager_listen (&manager, path);
  check_states (&manager);
  g_unlink (path);
  manager_clear (&manager);
}

/* As long as an address can be, without a terminating zero; and one more. */
static void
test_long_path (void)
{
  const gsize longest = sizeof ((struct sockaddr_un *) NULL)->sun_path - 1;
  g_autofree char *fill = g_strnfill (longest, 'x');
  g_autofree char *path = NULL, *longer = NULL;
  Manager manager;

  manager_init (&manager);
  longer = g_build_filename (manager.directory, fill, NULL);
  path = g_strndup (longer, longest);
  manager_listen (&manager, path);
  check_states (&manager);

  g_setenv ("NOTIFY_SOCKET", longer, TRUE);
  shmkv_notify ("READY=1");
  assert_silent (&manager);
  g_unlink (path);
  manager_clear (&manager);
}

static void
test_abstract (void)
{
  g_autofree char *name = util_name ();
  g_autofree char *path = g_strconcat ("@shmkv/", name, NULL);
  Manager manager;

  manager_init (&manager);
  manager_listen (&manager, path);
  check_states (&manager);
  manager_clear (&manager);
}

/* Nobody wants to know, or not in a way that we speak. */
static void
test_nobody (void)
{
  static const char *const others[] = { "", "relative", "vsock:2:1234" };

  g_unsetenv ("NOTIFY_SOCKET");
  shmkv_notify ("READY=1");
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      g_setenv ("NOTIFY_SOCKET", others[i], TRUE);
      shmkv_notify ("READY=1");
    }
  g_unsetenv ("NOTIFY_SOCKET");
}

/* A manager that is gone is worth a warning, and no more. */
static void
test_gone (void)
{
  g_autofree char *path = NULL;
  Manager manager;

  manager_init (&manager);
  path = g_build_filename (manager.directory, "nobody", NULL);
  g_setenv ("NOTIFY_SOCKET", path, TRUE);
  util_log_catch ();
  shmkv_notify ("READY=1");
  g_assert_cmpuint (util_log_caught ("cannot notify the service manager"), ==, 1);
  manager_clear (&manager);
}

/* No descriptor is left open, however it ends. */
static void
test_descriptors (void)
{
  int before = dup (0), after;

  g_assert_cmpint (before, >=, 0);
  close (before);
  test_abstract ();
  test_gone ();
  after = dup (0);
  g_assert_cmpint (after, ==, before);
  close (after);
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/notify/path", test_path);
  g_test_add_func ("/notify/long-path", test_long_path);
  g_test_add_func ("/notify/abstract", test_abstract);
  g_test_add_func ("/notify/nobody", test_nobody);
  g_test_add_func ("/notify/gone", test_gone);
  g_test_add_func ("/notify/descriptors", test_descriptors);
  return util_run ();
}
