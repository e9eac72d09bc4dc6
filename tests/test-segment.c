/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The shared memory behind a name: who gets it, who finds it, who is refused
 * and why, and that nothing is left of it in the end. */

#include "config.h"

#include "transport/name.h"
#include "transport/segment-private.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSIONS 3
#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE

static ShmkvSegmentOptions
options_for (const char *name)
{
  return (ShmkvSegmentOptions) {
    .name = name,
    .geometry = { .sessions = SESSIONS, .ring_size = RING_SIZE },
    .buckets = 77,
    .max_value = 1000,
    .mode = 0600,
    .group = (gid_t) -1,
  };
}

static ShmkvSegment *
create (const char *name)
{
  ShmkvSegmentOptions options = options_for (name);
  g_autoptr (GError) error = NULL;
  ShmkvSegment *segment = shmkv_segment_create (&options, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (segment);
  return segment;
}

/* A server that clients can attach to. */
static ShmkvSegment *
create_ready (const char *name)
{
  ShmkvSegment *segment = create (name);

  shmkv_segment_publish (segment);
  return segment;
}

static ShmkvSegment *
attach (const char *name)
{
  g_autoptr (GError) error = NULL;
  ShmkvSegment *segment = shmkv_segment_attach (name, geteuid (), &error);

  g_assert_no_error (error);
  g_assert_nonnull (segment);
  return segment;
}

static void
assert_error (GError *error, ShmkvSegmentError code, const char *fragment)
{
  g_assert_error (error, SHMKV_SEGMENT_ERROR, (int) code);
  if (strstr (error->message, fragment) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, fragment);
  g_error_free (error);
}

static void
assert_not_created (const ShmkvSegmentOptions *options, ShmkvSegmentError code,
                    const char *fragment)
{
  GError *error = NULL;

  g_assert_null (shmkv_segment_create (options, NULL, &error));
  assert_error (error, code, fragment);
}

static void
assert_taken (const char *name, ShmkvSegmentError code, const char *fragment)
{
  ShmkvSegmentOptions options = options_for (name);

  assert_not_created (&options, code, fragment);
}

static void
assert_not_attached (const char *name, ShmkvSegmentError code, const char *fragment)
{
  GError *error = NULL;

  g_assert_null (shmkv_segment_attach (name, geteuid (), &error));
  assert_error (error, code, fragment);
}

static void
assert_nothing_left (const char *name)
{
  g_assert_false (util_object_exists (name, "requests"));
  g_assert_false (util_object_exists (name, "responses"));
}

/* A server that was killed: its files are there, its lock is not. */
static void
leave_behind (const char *name)
{
  ShmkvSegment *segment = create_ready (name);

  munmap (segment->requests.base, segment->requests.size);
  munmap (segment->responses.base, segment->responses.size);
  shmkv_segment_abandon (segment);
  segment->is_server = FALSE;
  shmkv_segment_free (segment);
  g_assert_true (util_object_exists (name, "requests"));
  g_assert_true (util_object_exists (name, "responses"));
}

/* --------------------------------------------------------- create and attach */

static void
test_attach (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);
  g_autoptr (ShmkvSegment) client = attach (name);

  g_assert_cmpstr (client->name, ==, name);
  g_assert_cmpuint (client->geometry.sessions, ==, SESSIONS);
  g_assert_cmpuint (client->geometry.ring_size, ==, RING_SIZE);
  g_assert_cmpuint (client->buckets, ==, 77);
  g_assert_cmpuint (client->server_pid, ==, getpid ());
  g_assert_false (client->is_server);
  g_assert_true (server->is_server);
}

/* What one side writes the other one sees, in every lane. */
static void
test_shared (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);
  g_autoptr (ShmkvSegment) client = attach (name);

  for (guint lane = 0; lane < SESSIONS; lane++)
    for (guint word = 0; word < RING_SIZE / 8; word++)
      {
        shmkv_segment_requests_ring (client, lane)[word] = lane * 1000000 + word;
        shmkv_segment_responses_ring (server, lane)[word] = lane * 2000000 + word;
      }
  for (guint lane = 0; lane < SESSIONS; lane++)
    {
      atomic_store (&shmkv_segment_requests_lane (client, lane)->tail, lane + 10);
      atomic_store (&shmkv_segment_responses_lane (server, lane)->positions.tail, lane + 20);
    }
  for (guint lane = 0; lane < SESSIONS; lane++)
    {
      for (guint word = 0; word < RING_SIZE / 8; word++)
        {
          g_assert_cmpuint (shmkv_segment_requests_ring (server, lane)[word], ==,
                            lane * 1000000 + word);
          g_assert_cmpuint (shmkv_segment_responses_ring (client, lane)[word], ==,
                            lane * 2000000 + word);
        }
      g_assert_cmpuint (atomic_load (&shmkv_segment_requests_lane (server, lane)->tail), ==,
                        lane + 10);
      g_assert_cmpuint (
        atomic_load (&shmkv_segment_responses_lane (client, lane)->positions.tail), ==, lane + 20);
    }
  g_assert_cmpuint (shmkv_segment_requests_header (client)->instance, ==,
                    shmkv_segment_responses_header (client)->instance);
  g_assert_cmpuint (shmkv_segment_responses_header (client)->instance, !=, 0);
}

/* How /proc/self/maps describes a mapping of the region, such as "rw-s". */
static guint
count_mappings (const char *name, const char *region, const char *access)
{
  g_autofree char *path = util_object_path (name, region);
  g_autofree char *maps = NULL;
  g_auto (GStrv) lines = NULL;
  guint n = 0;

  g_assert_true (g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL));
  lines = g_strsplit (maps, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    if (strstr (*line, path) != NULL && strstr (*line, access) != NULL)
      n++;
  return n;
}

/* Nobody can write what is not his. */
static void
test_access (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);
  g_autoptr (ShmkvSegment) client = NULL;

  g_assert_cmpuint (count_mappings (name, "requests", " r--s "), ==, 1);
  g_assert_cmpuint (count_mappings (name, "responses", " rw-s "), ==, 1);
  client = attach (name);
  g_assert_cmpuint (count_mappings (name, "requests", " rw-s "), ==, 1);
  g_assert_cmpuint (count_mappings (name, "responses", " r--s "), ==, 1);
  /* Not even later. */
  g_assert_cmpint (mprotect (client->responses.base, client->responses.size, PROT_WRITE), ==, -1);
  g_assert_cmpint (errno, ==, EACCES);

  g_assert_cmpint (fcntl (server->requests.fd, F_GETFD) & FD_CLOEXEC, !=, 0);
  g_assert_cmpint (fcntl (server->responses.fd, F_GETFD) & FD_CLOEXEC, !=, 0);
  g_assert_cmpint (fcntl (client->requests.fd, F_GETFD) & FD_CLOEXEC, !=, 0);
  g_assert_cmpint (fcntl (client->responses.fd, F_GETFD) & FD_CLOEXEC, !=, 0);
}

static guint64
file_size (int fd)
{
  struct stat status;

  g_assert_cmpint (fstat (fd, &status), ==, 0);
  return (guint64) status.st_size;
}

/* Where everything is, for several geometries. */
static void
test_geometry (void)
{
  static const ShmkvGeometry geometries[]
    = { { 1, 4096 }, { 2, 65536 }, { 13, 8192 }, { 63, 4096 } };

  for (guint i = 0; i < G_N_ELEMENTS (geometries); i++)
    {
      g_autofree char *name = util_name ();
      ShmkvSegmentOptions options = options_for (name);
      g_autoptr (ShmkvSegment) server = NULL;
      guint8 *requests, *responses;
      guint last = geometries[i].sessions - 1;

      options.geometry = geometries[i];
      server = shmkv_segment_create (&options, NULL, NULL);
      g_assert_nonnull (server);
      g_assert_cmpuint (shmkv_segment_total_size (geometries[i]), ==,
                        file_size (server->requests.fd) + file_size (server->responses.fd));
      g_assert_cmpuint (server->requests.size, ==, file_size (server->requests.fd));
      g_assert_cmpuint (server->responses.size, ==, file_size (server->responses.fd));
      requests = server->requests.base;
      responses = server->responses.base;
      for (guint lane = 0; lane <= last; lane++)
        {
          g_assert_true ((guint8 *) shmkv_segment_requests_lane (server, lane)
                         == requests + 384 + lane * 256);
          g_assert_true ((guint8 *) shmkv_segment_responses_lane (server, lane)
                         == responses + 384 + lane * 128);
          g_assert_true ((guint8 *) shmkv_segment_requests_ring (server, lane)
                         == requests + server->requests.size
                              - (last - lane + 1) * geometries[i].ring_size);
          g_assert_true ((guint8 *) shmkv_segment_responses_ring (server, lane)
                         == responses + server->responses.size
                              - (last - lane + 1) * geometries[i].ring_size);
        }
      /* The rings begin at a page, behind the lanes. */
      g_assert_cmpuint (((guintptr) shmkv_segment_requests_ring (server, 0)) % 4096, ==, 0);
      g_assert_cmpuint (((guintptr) shmkv_segment_responses_ring (server, 0)) % 4096, ==, 0);
      g_assert_true ((void *) (shmkv_segment_requests_lane (server, last) + 1)
                     <= (void *) shmkv_segment_requests_ring (server, 0));
    }
}

/* Whatever cannot be is refused, and leaves nothing behind. */
static void
test_invalid (void)
{
  static const char *const names[] = { "", ".", "../x", "a/b", "a b", "a\n", "\xff\xfe" };
  static const ShmkvGeometry geometries[]
    = { { 0, 4096 },  { 1025, 4096 }, { G_MAXUINT32, 4096 }, { 1, 0 },
        { 1, 2048 },  { 1, 4095 },    { 1, 6000 },           { 1, 1u << 31 } };
  g_autofree char *name = util_name ();
  g_autofree char *long_name = g_strnfill (300, 'x');

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      assert_taken (names[i], SHMKV_SEGMENT_ERROR_INVALID, "a name is");
      assert_not_attached (names[i], SHMKV_SEGMENT_ERROR_INVALID, "a name is");
    }
  assert_taken (long_name, SHMKV_SEGMENT_ERROR_INVALID, "a name is");
  assert_not_attached (long_name, SHMKV_SEGMENT_ERROR_INVALID, "a name is");
  for (guint i = 0; i < G_N_ELEMENTS (geometries); i++)
    {
      ShmkvSegmentOptions options = options_for (name);

      options.geometry = geometries[i];
      assert_not_created (&options, SHMKV_SEGMENT_ERROR_INVALID, "sizes");
      assert_nothing_left (name);
    }
}

/* More than there is: one clear error, at once, and nothing is left. */
static void
test_no_space (void)
{
  g_autofree char *name = util_name ();
  ShmkvSegmentOptions options = options_for (name);
  struct statvfs shm;

  options.geometry.sessions = SHMKV_WIRE_MAX_SESSIONS;
  options.geometry.ring_size = SHMKV_WIRE_MAX_RING_SIZE;
  if (statvfs ("/dev/shm", &shm) != 0 || shm.f_blocks == 0
      || (guint64) shm.f_blocks * shm.f_frsize > G_GUINT64_CONSTANT (1) << 39)
    {
      g_test_skip ("/dev/shm is without a limit, or too large to run out");
      return;
    }
  assert_not_created (&options, SHMKV_SEGMENT_ERROR_NO_SPACE, "--ring-size");
  assert_nothing_left (name);
}

static mode_t
file_mode (int fd)
{
  struct stat status;

  g_assert_cmpint (fstat (fd, &status), ==, 0);
  return status.st_mode & 07777;
}

/* The modes are those that were asked for, whatever the umask. */
static void
test_modes (void)
{
  static const mode_t umasks[] = { 0000, 0022, 0077, 0777 };
  static const mode_t modes[] = { 0600, 0660, 0666 };

  for (guint i = 0; i < G_N_ELEMENTS (umasks); i++)
    for (guint k = 0; k < G_N_ELEMENTS (modes); k++)
      {
        g_autofree char *name = util_name ();
        ShmkvSegmentOptions options = options_for (name);
        mode_t before = umask (umasks[i]);
        g_autoptr (ShmkvSegment) server = NULL;

        options.mode = modes[k];
        options.group = getegid ();
        server = shmkv_segment_create (&options, NULL, NULL);
        umask (before);
        g_assert_nonnull (server);
        g_assert_cmphex (file_mode (server->requests.fd), ==, modes[k]);
        g_assert_cmphex (file_mode (server->responses.fd), ==, (modes[k] & 0444) | 0200);
      }
}

/* Another server's files are used only where its owner is trusted. */
static void
test_owner (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);
  GError *error = NULL;
  ShmkvSegment *client;
  uid_t other = 54321;

  if (geteuid () != 0)
    {
      g_assert_null (shmkv_segment_attach (name, other, &error));
      assert_error (error, SHMKV_SEGMENT_ERROR_ACCESS, "SHMKV_OWNER");
      return;
    }
  /* Root's are trusted by everyone. */
  client = shmkv_segment_attach (name, other, NULL);
  g_assert_nonnull (client);
  shmkv_segment_free (client);

  g_assert_cmpint (fchown (server->requests.fd, other, (gid_t) -1), ==, 0);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_ACCESS, "SHMKV_OWNER");
  g_assert_cmpint (fchown (server->responses.fd, other, (gid_t) -1), ==, 0);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_ACCESS, "SHMKV_OWNER");
  client = shmkv_segment_attach (name, other, NULL);
  g_assert_nonnull (client);
  shmkv_segment_free (client);
  /* A foreign file is no leftover of ours. */
  server->is_server = FALSE;
  shmkv_segment_free (g_steal_pointer (&server));
  assert_taken (name, SHMKV_SEGMENT_ERROR_ACCESS, "another user");
  g_assert_true (util_object_exists (name, "responses"));
  server = NULL;
  {
    g_autofree char *requests = shmkv_name_requests (name);
    g_autofree char *responses = shmkv_name_responses (name);

    shm_unlink (requests);
    shm_unlink (responses);
  }
}

/* ----------------------------------------------------------- one per name */

static void
test_in_use (void)
{
  g_autofree char *name = util_name ();
  g_autofree char *process = g_strdup_printf ("process %d", (int) getpid ());
  g_autoptr (ShmkvSegment) server = create (name);
  g_autoptr (ShmkvSegment) client = NULL;

  /* Not only once it is ready. */
  assert_taken (name, SHMKV_SEGMENT_ERROR_IN_USE, "already running");
  shmkv_segment_publish (server);
  assert_taken (name, SHMKV_SEGMENT_ERROR_IN_USE, process);
  client = attach (name);
  assert_taken (name, SHMKV_SEGMENT_ERROR_IN_USE, process);
  g_assert_true (shmkv_segment_server_is_alive (client));
}

static void
test_no_server (void)
{
  g_autofree char *name = util_name ();

  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "shmkv-server --name=");
  shmkv_segment_free (create_ready (name));
  assert_nothing_left (name);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "no server named");
}

/* A client that comes early waits for the server to be ready. */
static gpointer
attach_in_thread (gpointer data)
{
  return attach (data);
}

static void
test_starting (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create (name);
  GThread *thread = g_thread_new ("early", attach_in_thread, name);

  g_thread_yield ();
  shmkv_segment_publish (server);
  shmkv_segment_free (g_thread_join (thread));
}

/* But not for ever. */
static void
test_never_ready (void)
{
  g_autofree char *name = util_name ();
  ShmkvSegment *server = create (name);

  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "has not finished starting");
  shmkv_segment_free (server);
}

static void
test_leftover (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = NULL;
  g_autoptr (ShmkvSegment) client = NULL;

  leave_behind (name);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "no server named");
  server = create_ready (name);
  client = attach (name);
  g_assert_true (shmkv_segment_server_is_alive (client));
}

/* A starter has locked the dead server's region, and got no further: that is no
 * server that lives, whatever its header says. */
static void
test_half_cleared (void)
{
  g_autofree char *name = util_name ();
  g_autofree char *object = shmkv_name_responses (name);
  ShmkvSegmentOptions options = options_for (name);
  GError *error = NULL;
  int fd;

  leave_behind (name);
  fd = shm_open (object, O_RDWR, 0);
  g_assert_cmpint (fd, >=, 0);
  g_assert_true (shmkv_region_try_lock_dead (fd));
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "no server named");
  g_assert_null (shmkv_segment_create (&options, NULL, &error));
  assert_error (error, SHMKV_SEGMENT_ERROR_IN_USE, "already running");
  close (fd);
  shmkv_segment_free (create_ready (name));
  assert_nothing_left (name);
}

/* A client of the dead server keeps its memory, and does not take the new
 * server for its own. */
static void
test_replaced (void)
{
  g_autofree char *name = util_name ();
  ShmkvSegment *first = create_ready (name);
  g_autoptr (ShmkvSegment) client = attach (name);
  g_autoptr (ShmkvSegment) second = NULL;

  first->is_server = FALSE;
  shmkv_segment_free (first);
  g_assert_false (shmkv_segment_server_is_alive (client));
  second = create_ready (name);
  g_assert_false (shmkv_segment_server_is_alive (client));
  atomic_store (&shmkv_segment_requests_lane (client, 0)->tail, 5);
  g_assert_cmpuint (atomic_load (&shmkv_segment_requests_lane (second, 0)->tail), ==, 0);
}

static void
write_file (const char *name, const char *region, gsize size)
{
  g_autofree char *path = util_object_path (name, region);
  g_autofree guint32 *bytes = g_malloc (size + 4);

  for (gsize i = 0; i < size / 4 + 1; i++)
    bytes[i] = (guint32) g_test_rand_int ();
  g_assert_true (g_file_set_contents_full (path, (const char *) bytes, (gssize) size,
                                           G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

/* Files of anything under the name are neither trusted nor in the way. */
static void
test_garbage (void)
{
  static const gsize sizes[] = { 0, 1, 8, 383, 384, 4096, 20000 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *name = util_name ();
      g_autoptr (ShmkvSegment) server = NULL;
      g_autoptr (ShmkvSegment) client = NULL;

      write_file (name, "responses", sizes[i]);
      write_file (name, "requests", sizes[G_N_ELEMENTS (sizes) - 1 - i]);
      assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "no server named");
      server = create_ready (name);
      client = attach (name);
    }
}

static void
test_retire (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);
  g_autoptr (ShmkvSegment) client = attach (name);

  shmkv_segment_retire (server);
  assert_nothing_left (name);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "no server named");
  shmkv_segment_retire (server);
  shmkv_segment_retire (client);

  /* Who was attached goes on. */
  g_assert_true (shmkv_segment_server_is_alive (client));
  atomic_store (&shmkv_segment_requests_lane (client, 1)->tail, 5);
  g_assert_cmpuint (atomic_load (&shmkv_segment_requests_lane (server, 1)->tail), ==, 5);
  shmkv_segment_free (g_steal_pointer (&server));
  g_assert_false (shmkv_segment_server_is_alive (client));
}

/* The name may be another's by now: because it was retired, or because
 * somebody removed the files. */
static void
test_retire_late (void)
{
  g_autofree char *name = util_name ();
  g_autofree char *requests = shmkv_name_requests (name);
  g_autofree char *responses = shmkv_name_responses (name);
  ShmkvSegment *removed = create_ready (name), *retired;
  g_autoptr (ShmkvSegment) current = NULL;
  g_autoptr (ShmkvSegment) client = NULL;

  g_assert_cmpint (shm_unlink (requests), ==, 0);
  g_assert_cmpint (shm_unlink (responses), ==, 0);
  retired = create_ready (name);
  shmkv_segment_retire (retired);
  current = create_ready (name);
  shmkv_segment_free (removed);
  shmkv_segment_retire (retired);
  shmkv_segment_free (retired);
  g_assert_true (util_object_exists (name, "requests"));
  g_assert_true (util_object_exists (name, "responses"));
  client = attach (name);
}

/* ------------------------------------------------------------ planted files */

static void
plant_link (const char *path)
{
  g_assert_cmpint (symlink ("/dev/null", path), ==, 0);
}

static void
plant_dangling_link (const char *path)
{
  g_assert_cmpint (symlink ("shmkv-test-nowhere", path), ==, 0);
}

static void
plant_fifo (const char *path)
{
  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
}

static void
plant_directory (const char *path)
{
  g_assert_cmpint (mkdir (path, 0700), ==, 0);
}

static void (*const plants[]) (const char *path)
  = { plant_link, plant_dangling_link, plant_fifo, plant_directory };

static void
test_planted_responses (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (plants); i++)
    {
      g_autofree char *name = util_name ();
      g_autofree char *path = util_object_path (name, "responses");
      struct stat status;

      plants[i](path);
      assert_not_attached (name, SHMKV_SEGMENT_ERROR_ACCESS, "not a regular file");
      assert_taken (name, SHMKV_SEGMENT_ERROR_ACCESS, "not a regular file");
      g_assert_cmpint (lstat (path, &status), ==, 0);
      g_assert_cmpint (remove (path), ==, 0);
      assert_nothing_left (name);
      g_assert_false (g_file_test ("/dev/shm/shmkv-test-nowhere", G_FILE_TEST_EXISTS));
    }
}

/* In place of a running server's requests. */
static void
test_planted_requests (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (plants); i++)
    {
      g_autofree char *name = util_name ();
      g_autofree char *path = util_object_path (name, "requests");
      ShmkvSegment *server = create_ready (name);

      g_assert_cmpint (unlink (path), ==, 0);
      plants[i](path);
      assert_not_attached (name, SHMKV_SEGMENT_ERROR_ACCESS, "not a regular file");
      shmkv_segment_free (server);
      g_assert_cmpint (remove (path), ==, 0);
      assert_nothing_left (name);
    }
}

/* Both regions under another server's name, or one of them: a client that looks
 * for that one is not led here; nor is one that looks for this. */
static void
test_planted_names (void)
{
  g_autofree char *name = util_name ();
  g_autofree char *other = util_name ();
  g_autofree char *requests = util_object_path (name, "requests");
  g_autofree char *responses = util_object_path (name, "responses");
  g_autofree char *other_requests = util_object_path (other, "requests");
  g_autofree char *other_responses = util_object_path (other, "responses");
  ShmkvSegment *server = create_ready (name);

  g_assert_cmpint (link (requests, other_requests), ==, 0);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_ACCESS, "more names");
  assert_not_attached (other, SHMKV_SEGMENT_ERROR_NO_SERVER, "no server");
  g_assert_cmpint (link (responses, other_responses), ==, 0);
  assert_not_attached (other, SHMKV_SEGMENT_ERROR_ACCESS, "more names");
  g_assert_cmpint (unlink (other_requests), ==, 0);
  assert_not_attached (other, SHMKV_SEGMENT_ERROR_ACCESS, "more names");
  g_assert_cmpint (unlink (other_responses), ==, 0);
  shmkv_segment_free (attach (name));
  shmkv_segment_free (server);
  assert_nothing_left (name);
}

/* What lies there before a server starts is replaced, except a directory. */
static void
test_planted_before (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (plants); i++)
    {
      g_autofree char *name = util_name ();
      g_autofree char *path = util_object_path (name, "requests");

      plants[i](path);
      if (plants[i] == plant_directory)
        {
          assert_taken (name, SHMKV_SEGMENT_ERROR_SYSTEM, "leftover");
          g_assert_false (util_object_exists (name, "responses"));
          g_assert_cmpint (remove (path), ==, 0);
        }
      else
        shmkv_segment_free (create_ready (name));
      assert_nothing_left (name);
    }
}

/* ------------------------------------------------------ servers of other kinds */

static void
test_version (void)
{
  static const char swapped[] = "byte order", stranger[] = "not that of a shmkv server",
                    version[] = "version", layout[] = "another kind of machine";
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (server);
  ShmkvResponsesHeader saved = *header;

  atomic_store (&header->magic, GUINT64_SWAP_LE_BE (SHMKV_WIRE_MAGIC));
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_INCOMPATIBLE, swapped);
  atomic_store (&header->magic, SHMKV_WIRE_MAGIC + 1);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_INCOMPATIBLE, stranger);
  atomic_store (&header->magic, SHMKV_WIRE_MAGIC);

  header->major++;
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_INCOMPATIBLE, version);
  header->major = 0;
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_INCOMPATIBLE, version);
  header->major = saved.major;

  header->header_size += 128;
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_INCOMPATIBLE, layout);
  header->header_size = saved.header_size;
  header->requests_lane_size /= 2;
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_INCOMPATIBLE, layout);
  header->requests_lane_size = saved.requests_lane_size;
  header->responses_lane_size = 0;
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_INCOMPATIBLE, layout);
  header->responses_lane_size = saved.responses_lane_size;

  /* Whoever raises the minor version says that older readers may ignore it. */
  header->minor += 7;
  shmkv_segment_free (attach (name));
}

static void
test_sizes (void)
{
  static const ShmkvGeometry geometries[] = {
    { 0, RING_SIZE },         { SESSIONS + 1, RING_SIZE }, { G_MAXUINT32, RING_SIZE },
    { SESSIONS, 0 },          { SESSIONS, RING_SIZE / 2 }, { SESSIONS, RING_SIZE * 2 },
    { SESSIONS, RING_SIZE + 8 }, { SESSIONS, 1u << 30 },   { SESSIONS, 1u << 31 },
    { SESSIONS, G_MAXUINT32 }, { 1024, 1u << 30 },
    /* As long as the file is, and impossible all the same. */
    { 1, SESSIONS * RING_SIZE }, { 2 * SESSIONS, RING_SIZE / 2 },
  };
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (server);
  ShmkvGeometry geometry = header->geometry;

  for (guint i = 0; i < G_N_ELEMENTS (geometries); i++)
    {
      header->geometry = geometries[i];
      assert_not_attached (name, SHMKV_SEGMENT_ERROR_INCOMPATIBLE, "sizes");
    }
  header->geometry = geometry;
  shmkv_segment_free (attach (name));

  g_assert_cmpint (ftruncate (server->responses.fd, (off_t) server->responses.size + 4096), ==, 0);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_INCOMPATIBLE, "sizes");
  g_assert_cmpint (ftruncate (server->responses.fd, (off_t) server->responses.size), ==, 0);
  shmkv_segment_free (attach (name));
}

/* Regions that do not belong together: as if the server were just replaced. */
static void
test_instance (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);

  shmkv_segment_responses_header (server)->instance++;
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "try again");
  shmkv_segment_responses_header (server)->instance--;
  shmkv_segment_free (attach (name));
}

/* Regions that are not as long as they should be. */
static void
test_truncated (void)
{
  g_autofree char *name = util_name ();
  ShmkvSegment *server = create_ready (name);
  off_t size = (off_t) server->requests.size;

  g_assert_cmpint (ftruncate (server->requests.fd, size - 4096), ==, 0);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "try again");
  g_assert_cmpint (ftruncate (server->requests.fd, size), ==, 0);
  g_assert_cmpint (ftruncate (server->responses.fd, 100), ==, 0);
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "try again");
  shmkv_segment_free (server);
  assert_nothing_left (name);
}

/* ------------------------------------------------------------------ signals */

static void
ignore (int signum)
{
}

/* More often than the memory can be reserved in between. */
static void
set_storm (glong interval_us)
{
  struct itimerval timer = { { 0, interval_us }, { 0, interval_us } };

  g_assert_cmpint (setitimer (ITIMER_REAL, &timer, NULL), ==, 0);
}

/* On many kernels, each signal ends the reservation of memory, and what it had
 * reserved is given back: a start must not begin anew for ever. */
static void
test_signals (void)
{
  struct sigaction action = { .sa_handler = ignore }, before;
  g_autofree char *name = util_name ();
  ShmkvSegmentOptions options = options_for (name);
  g_autoptr (GError) error = NULL;
  ShmkvSegment *segment;
  sigset_t blocked;

  options.geometry.ring_size = 1 << 20;
  g_assert_cmpint (sigaction (SIGALRM, &action, &before), ==, 0);
  set_storm (100);
  segment = shmkv_segment_create (&options, NULL, &error);
  set_storm (0);
  g_assert_cmpint (sigaction (SIGALRM, &before, NULL), ==, 0);

  g_assert_no_error (error);
  g_assert_nonnull (segment);
  g_assert_cmpint (pthread_sigmask (SIG_SETMASK, NULL, &blocked), ==, 0);
  g_assert_cmpint (sigismember (&blocked, SIGALRM), ==, 0);
  shmkv_segment_free (segment);
  assert_nothing_left (name);
}

/* -------------------------------------------------------------------- locks */

static void
test_lane_locks (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);
  g_autoptr (ShmkvSegment) one = attach (name);
  ShmkvSegment *other = attach (name);

  for (guint lane = 0; lane < SESSIONS; lane++)
    {
      g_assert_false (shmkv_segment_lane_is_locked (server, lane));
      g_assert_true (shmkv_segment_lock_lane (one, lane));
      g_assert_true (shmkv_segment_lane_is_locked (server, lane));
      g_assert_false (shmkv_segment_lock_lane (other, lane));
      shmkv_segment_unlock_lane (other, lane);
      g_assert_true (shmkv_segment_lane_is_locked (server, lane));
      if (lane + 1 < SESSIONS)
        g_assert_false (shmkv_segment_lane_is_locked (server, lane + 1));
    }
  shmkv_segment_unlock_lane (one, 1);
  g_assert_true (shmkv_segment_lane_is_locked (server, 0));
  g_assert_false (shmkv_segment_lane_is_locked (server, 1));
  g_assert_true (shmkv_segment_lane_is_locked (server, 2));
  g_assert_true (shmkv_segment_lock_lane (other, 1));
  g_assert_false (shmkv_segment_lock_lane (one, 1));

  /* Who goes away lets go, however he goes. */
  shmkv_segment_free (other);
  g_assert_false (shmkv_segment_lane_is_locked (server, 1));
  g_assert_true (shmkv_segment_lane_is_locked (server, 2));
  g_assert_true (shmkv_segment_lock_lane (one, 1));
}

/* Another open and close of the same file by this process loses nothing. */
static void
test_lane_locks_reopen (void)
{
  g_autofree char *name = util_name ();
  g_autofree char *object = shmkv_name_requests (name);
  g_autoptr (ShmkvSegment) server = create_ready (name);
  g_autoptr (ShmkvSegment) client = attach (name);
  int fd;

  g_assert_true (shmkv_segment_lock_lane (client, 0));
  fd = shm_open (object, O_RDWR, 0);
  g_assert_cmpint (fd, >=, 0);
  close (fd);
  shmkv_segment_free (attach (name));
  g_assert_true (shmkv_segment_lane_is_locked (server, 0));
  g_assert_true (shmkv_segment_server_is_alive (client));
}

/* Who may read the file can take a read lock on it as soon as its server is gone:
 * that makes nobody believe that the server lives. */
static void
test_read_lock (void)
{
  g_autofree char *name = util_name ();
  g_autofree char *object = shmkv_name_responses (name);
  struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1 };
  ShmkvSegment *server = create_ready (name);
  g_autoptr (ShmkvSegment) client = attach (name);
  int fd = shm_open (object, O_RDONLY, 0);

  g_assert_cmpint (fcntl (fd, F_OFD_SETLK, &lock), ==, -1);
  server->is_server = FALSE;
  shmkv_segment_free (server);
  g_assert_cmpint (fcntl (fd, F_OFD_SETLK, &lock), ==, 0);
  g_assert_false (shmkv_segment_server_is_alive (client));
  assert_not_attached (name, SHMKV_SEGMENT_ERROR_NO_SERVER, "no server");
  shmkv_segment_free (create_ready (name));
  close (fd);
  assert_nothing_left (name);
}

/* Only where it is in the place of the lock of those who clear it is there nothing
 * to be done but to say so. */
static void
test_read_lock_of_clearers (void)
{
  g_autofree char *name = util_name ();
  g_autofree char *object = shmkv_name_responses (name);
  struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1 };
  ShmkvSegment *server = create_ready (name);
  int fd = shm_open (object, O_RDONLY, 0);

  g_assert_cmpint (fcntl (fd, F_OFD_SETLK, &lock), ==, 0);
  server->is_server = FALSE;
  shmkv_segment_free (server);
  assert_taken (name, SHMKV_SEGMENT_ERROR_ACCESS, "holds a lock");
  g_assert_cmpint (shm_unlink (object), ==, 0);
  shmkv_segment_free (create_ready (name));
  close (fd);
  assert_nothing_left (name);
}

/* A child that abandons what it inherited does not keep its parent's locks, nor
 * does it take them away; and the memory of a client is not there. */
static void
test_fork (void)
{
  g_autofree char *name = util_name ();
  g_autoptr (ShmkvSegment) server = create_ready (name);
  ShmkvSegment *client = attach (name);
  int ready[2], end[2], status;
  char byte;
  pid_t child;

  g_assert_true (shmkv_segment_lock_lane (client, 0));
  g_assert_cmpint (pipe (ready), ==, 0);
  g_assert_cmpint (pipe (end), ==, 0);
  child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      guint mapped = count_mappings (name, "requests", " rw-s ");

      shmkv_segment_abandon (client);
      close (end[1]);
      if (write (ready[1], "", 1) != 1 || read (end[0], &byte, 1) != 0)
        _exit (1);
      _exit (mapped == 0 ? 0 : 2);
    }
  close (end[0]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  g_assert_true (shmkv_segment_lane_is_locked (server, 0));
  shmkv_segment_free (client);
  g_assert_false (shmkv_segment_lane_is_locked (server, 0));
  close (end[1]);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  close (ready[0]);
  close (ready[1]);
}

/* ------------------------------------------------------------ many at once */

#define N_STARTERS 8

typedef struct
{
  const char *name;
  pthread_barrier_t *start, *end;
  _Atomic guint *n_winners;
} Starter;

static gpointer
run_starter (gpointer data)
{
  Starter *starter = data;
  ShmkvSegmentOptions options = options_for (starter->name);
  GError *error = NULL;
  ShmkvSegment *segment;

  pthread_barrier_wait (starter->start);
  segment = shmkv_segment_create (&options, NULL, &error);
  if (segment != NULL)
    {
      shmkv_segment_publish (segment);
      atomic_fetch_add (starter->n_winners, 1);
    }
  else
    assert_error (error, SHMKV_SEGMENT_ERROR_IN_USE, "already running");
  pthread_barrier_wait (starter->end);
  return segment;
}

/* Among any number of starters exactly one wins, whether or not a dead server
 * has left something behind; and it works. */
static void
check_starters (const char *name)
{
  pthread_barrier_t start, end;
  _Atomic guint n_winners = 0;
  Starter starter = { name, &start, &end, &n_winners };
  GThread *threads[N_STARTERS];
  ShmkvSegment *winner = NULL;

  pthread_barrier_init (&start, NULL, N_STARTERS);
  pthread_barrier_init (&end, NULL, N_STARTERS + 1);
  for (guint i = 0; i < N_STARTERS; i++)
    threads[i] = g_thread_new ("starter", run_starter, &starter);
  pthread_barrier_wait (&end);
  g_assert_cmpuint (atomic_load (&n_winners), ==, 1);
  for (guint i = 0; i < N_STARTERS; i++)
    {
      ShmkvSegment *segment = g_thread_join (threads[i]);

      if (segment != NULL)
        winner = segment;
    }
  shmkv_segment_free (attach (name));
  shmkv_segment_free (winner);
  assert_nothing_left (name);
  pthread_barrier_destroy (&start);
  pthread_barrier_destroy (&end);
}

static void
test_threads (void)
{
  for (guint round = 0; round < 40; round++)
    {
      g_autofree char *name = util_name ();

      if (round % 2 != 0)
        leave_behind (name);
      check_starters (name);
    }
}

/* What the server has is what others find under the name. */
static void
assert_linked (const ShmkvSegment *segment)
{
  struct stat requests, responses;

  g_assert_cmpint (fstat (segment->requests.fd, &requests), ==, 0);
  g_assert_cmpint (fstat (segment->responses.fd, &responses), ==, 0);
  g_assert_cmpuint (requests.st_nlink, ==, 1);
  g_assert_cmpuint (responses.st_nlink, ==, 1);
}

/* Starts again and again; never are there two. */
static gpointer
run_restarter (gpointer data)
{
  Starter *starter = data;
  ShmkvSegmentOptions options = options_for (starter->name);

  for (guint i = 0; i < 300; i++)
    {
      ShmkvSegment *segment = shmkv_segment_create (&options, NULL, NULL);

      if (segment == NULL)
        continue;
      g_assert_cmpuint (atomic_fetch_add (starter->n_winners, 1), ==, 0);
      shmkv_segment_publish (segment);
      assert_linked (segment);
      g_assert_cmpuint (atomic_fetch_sub (starter->n_winners, 1), ==, 1);
      /* Every other one dies without a farewell. */
      if (i % 2 != 0)
        segment->is_server = FALSE;
      shmkv_segment_free (segment);
    }
  return NULL;
}

static void
test_restarts (void)
{
  g_autofree char *name = util_name ();
  _Atomic guint n_winners = 0;
  Starter starter = { name, NULL, NULL, &n_winners };
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("restarter", run_restarter, &starter);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  shmkv_segment_free (create_ready (name));
  assert_nothing_left (name);
}

/* Takes whatever is not locked for a leftover, as a starter does, but never
 * starts. */
static gpointer
run_clearer (gpointer data)
{
  Starter *starter = data;
  g_autofree char *object = shmkv_name_responses (starter->name);

  while (atomic_load (starter->n_winners) == 0)
    {
      int fd = shm_open (object, O_RDWR, 0);
      struct stat status;

      if (fd < 0)
        continue;
      if (shmkv_region_try_lock_dead (fd) && fstat (fd, &status) == 0 && status.st_nlink > 0)
        shm_unlink (object);
      close (fd);
    }
  return NULL;
}

/* Somebody else may be faster to lock what was just created. */
static void
test_clearer (void)
{
  g_autofree char *name = util_name ();
  _Atomic guint ends = 0;
  Starter starter = { name, NULL, NULL, &ends };
  ShmkvSegmentOptions options = options_for (name);
  GThread *thread = g_thread_new ("clearer", run_clearer, &starter);
  guint n_created = 0;

  for (guint i = 0; i < UTIL_N (8000) && n_created < 4000; i++)
    {
      GError *error = NULL;
      ShmkvSegment *segment = shmkv_segment_create (&options, NULL, &error);

      if (segment == NULL)
        {
          assert_error (error, SHMKV_SEGMENT_ERROR_IN_USE, "already running");
          continue;
        }
      assert_linked (segment);
      n_created++;
      shmkv_segment_free (segment);
    }
  atomic_store (&ends, 1);
  g_thread_join (thread);
  g_assert_cmpuint (n_created, >, 0);
  assert_nothing_left (name);
}

/* A process that starts a server when the pipe `go` closes, tells how that
 * went, and keeps it until `end` closes. */
static void
start_in_child (const char *name, int go, int result, int end)
{
  ShmkvSegmentOptions options = options_for (name);
  g_autoptr (GError) error = NULL;
  ShmkvSegment *segment;
  char byte, answer;

  if (read (go, &byte, 1) != 0)
    _exit (1);
  segment = shmkv_segment_create (&options, NULL, &error);
  answer = segment != NULL                                                              ? 'w'
           : g_error_matches (error, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_IN_USE) ? 'l'
                                                                                        : 'e';
  if (write (result, &answer, 1) != 1 || read (end, &byte, 1) != 0)
    _exit (1);
  if (segment != NULL)
    shmkv_segment_free (segment);
  _exit (0);
}

static void
test_processes (void)
{
  for (guint round = 0; round < 10; round++)
    {
      g_autofree char *name = util_name ();
      int go[2], result[2], end[2], status;
      char answers[N_STARTERS];
      pid_t children[N_STARTERS];
      guint n_winners = 0;

      if (round % 2 != 0)
        leave_behind (name);
      g_assert_true (pipe (go) == 0 && pipe (result) == 0 && pipe (end) == 0);
      for (guint i = 0; i < N_STARTERS; i++)
        {
          children[i] = fork ();
          g_assert_cmpint (children[i], >=, 0);
          if (children[i] == 0)
            {
              close (go[1]);
              close (end[1]);
              start_in_child (name, go[0], result[1], end[0]);
            }
        }
      close (go[1]);
      for (guint i = 0; i < N_STARTERS; i++)
        {
          g_assert_cmpint (read (result[0], &answers[i], 1), ==, 1);
          g_assert_cmpint (answers[i], !=, 'e');
          n_winners += answers[i] == 'w';
        }
      g_assert_cmpuint (n_winners, ==, 1);
      close (end[1]);
      for (guint i = 0; i < N_STARTERS; i++)
        {
          g_assert_cmpint (waitpid (children[i], &status, 0), ==, children[i]);
          g_assert_cmpint (status, ==, 0);
        }
      close (go[0]);
      close (end[0]);
      close (result[0]);
      close (result[1]);
      assert_nothing_left (name);
    }
}

int
main (int argc, char **argv)
{
  util_init (&argc, &argv);
  g_test_add_func ("/segment/attach", test_attach);
  g_test_add_func ("/segment/shared", test_shared);
  g_test_add_func ("/segment/access", test_access);
  g_test_add_func ("/segment/geometry", test_geometry);
  g_test_add_func ("/segment/invalid", test_invalid);
  g_test_add_func ("/segment/no-space", test_no_space);
  g_test_add_func ("/segment/modes", test_modes);
  g_test_add_func ("/segment/owner", test_owner);
  g_test_add_func ("/segment/name/in-use", test_in_use);
  g_test_add_func ("/segment/name/no-server", test_no_server);
  g_test_add_func ("/segment/name/starting", test_starting);
  g_test_add_func ("/segment/name/never-ready", test_never_ready);
  g_test_add_func ("/segment/name/leftover", test_leftover);
  g_test_add_func ("/segment/name/half-cleared", test_half_cleared);
  g_test_add_func ("/segment/name/replaced", test_replaced);
  g_test_add_func ("/segment/name/garbage", test_garbage);
  g_test_add_func ("/segment/name/retire", test_retire);
  g_test_add_func ("/segment/name/retire-late", test_retire_late);
  g_test_add_func ("/segment/planted/responses", test_planted_responses);
  g_test_add_func ("/segment/planted/requests", test_planted_requests);
  g_test_add_func ("/segment/planted/names", test_planted_names);
  g_test_add_func ("/segment/planted/before", test_planted_before);
  g_test_add_func ("/segment/other/version", test_version);
  g_test_add_func ("/segment/other/sizes", test_sizes);
  g_test_add_func ("/segment/other/instance", test_instance);
  g_test_add_func ("/segment/other/truncated", test_truncated);
  g_test_add_func ("/segment/signals", test_signals);
  g_test_add_func ("/segment/lock/lanes", test_lane_locks);
  g_test_add_func ("/segment/lock/reopen", test_lane_locks_reopen);
  g_test_add_func ("/segment/lock/read", test_read_lock);
  g_test_add_func ("/segment/lock/read-of-clearers", test_read_lock_of_clearers);
  g_test_add_func ("/segment/lock/fork", test_fork);
  g_test_add_func ("/segment/many/threads", test_threads);
  g_test_add_func ("/segment/many/restarts", test_restarts);
  g_test_add_func ("/segment/many/clearer", test_clearer);
  g_test_add_func ("/segment/many/processes", test_processes);
  return util_run ();
}
