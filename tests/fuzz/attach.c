/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attaching to a server: regions of any size, with any header, that change while
 * the client looks at them.
 *
 * The files are real, but in memory, and have no names: shm_open() is ours.  Where
 * a client attaches, all that it will ever use of the regions is there; where it
 * does not, it says why. */

#include "config.h"

#include "fuzz/fuzz.h"

#include "wire/record.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING_SIZE SHMKV_WIRE_MIN_RING_SIZE
#define SIZE_LIMIT (64u << 10)

static struct
{
  FuzzInput input;
  int requests_fd;
  int responses_fd;
  ShmkvResponsesHeader *responses;
  ShmkvRequestsHeader *requests;
  gboolean changes;
} scene = { .requests_fd = -1 };

/* Gives away what the input says, under whatever name. */
int
shm_open (const char *name, int flags, mode_t mode)
{
  g_autofree char *path
    = g_strdup_printf ("/proc/self/fd/%d", g_str_has_suffix (name, ".requests")
                                             ? scene.requests_fd : scene.responses_fd);

  return open (path, flags | O_CLOEXEC);
}

/* ----------------------------------------------------------------- the regions */

static guint32
requests_size (ShmkvGeometry geometry)
{
  return (guint32) shmkv_geometry_region_size (geometry, sizeof (ShmkvRequestsHeader),
                                               sizeof (ShmkvRequestsLane));
}

static guint32
responses_size (ShmkvGeometry geometry)
{
  return (guint32) shmkv_geometry_region_size (geometry, sizeof (ShmkvResponsesHeader),
                                               sizeof (ShmkvResponsesLane));
}

/* What fits, or almost, or not at all; from one byte. */
static guint32
pick_size (guint32 right)
{
  guint8 how = fuzz_u8 (&scene.input);

  if (how < 192)
    return right;
  if (how < 240)
    return right + (how % 16 - 8u) * 8;
  return fuzz_u16 (&scene.input);
}

/* A page is there always, for what is written to it. */
static void
resize (int fd, guint32 size)
{
  g_assert_cmpint (ftruncate (fd, CLAMP (size, SHMKV_WIRE_PAGE, SIZE_LIMIT)), ==, 0);
}

static ShmkvResponsesHeader
right_header (ShmkvGeometry geometry)
{
  ShmkvResponsesHeader header;

  memset (&header, 0, sizeof header);
  header.magic = SHMKV_WIRE_MAGIC;
  header.major = SHMKV_WIRE_MAJOR;
  header.minor = SHMKV_WIRE_MINOR;
  header.header_size = sizeof (ShmkvResponsesHeader);
  header.requests_lane_size = sizeof (ShmkvRequestsLane);
  header.responses_lane_size = sizeof (ShmkvResponsesLane);
  header.geometry = geometry;
  header.instance = 1;
  header.buckets = 1;
  header.max_value = SHMKV_WIRE_DEFAULT_MAX_VALUE;
  header.service = SHMKV_WIRE_SERVICE_RUNNING;
  return header;
}

/* A byte of what is looked at, or a whole word. */
static void
change_header (void)
{
  guint8 *bytes = (guint8 *) scene.responses;
  guint8 where = fuzz_u8 (&scene.input);

  if (where < 128)
    bytes[where % 64] ^= fuzz_u8 (&scene.input);
  else if (where < 192)
    ((guint64 *) bytes)[where % 8] = fuzz_u64 (&scene.input);
  else if (where < 240)
    ((guint32 *) bytes)[where % 16] = fuzz_u32 (&scene.input);
  else
    *scene.responses = right_header ((ShmkvGeometry) { 1 + where % 2, RING_SIZE });
}

static void
write_regions (ShmkvGeometry geometry)
{
  guint n_changes = fuzz_u8 (&scene.input) % 8;

  resize (scene.requests_fd, pick_size (requests_size (geometry)));
  resize (scene.responses_fd, pick_size (responses_size (geometry)));
  *scene.responses = right_header (geometry);
  atomic_store (&scene.requests->instance, fuzz_u8 (&scene.input) < 240 ? 1 : 2);
  for (guint i = 0; i < n_changes; i++)
    change_header ();
}

static void
change_something (void)
{
  if (scene.changes && fuzz_left (&scene.input) > 0)
    change_header ();
}

/* ------------------------------------------------------------------ the client */

static void
touch (const void *begin, gsize size)
{
  const volatile guint8 *bytes = begin;

  (void) bytes[0];
  (void) bytes[size - 1];
}

/* All that sessions could use. */
static void
touch_all (const ShmkvSegment *segment)
{
  g_assert_true (shmkv_geometry_is_valid (segment->geometry));
  g_assert_cmpuint (segment->max_value, >, 0);
  g_assert_cmpuint (segment->max_value, <=, SHMKV_WIRE_MAX_VALUE_SIZE);
  touch (shmkv_segment_requests_header (segment), sizeof (ShmkvRequestsHeader));
  touch (shmkv_segment_responses_header (segment), sizeof (ShmkvResponsesHeader));
  for (guint i = 0; i < segment->geometry.sessions; i++)
    {
      touch (shmkv_segment_requests_lane (segment, i), sizeof (ShmkvRequestsLane));
      touch (shmkv_segment_responses_lane (segment, i), sizeof (ShmkvResponsesLane));
      touch (shmkv_segment_requests_ring (segment, i), segment->geometry.ring_size);
      touch (shmkv_segment_responses_ring (segment, i), segment->geometry.ring_size);
    }
}

static void
attach (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ShmkvSegment) segment = shmkv_segment_attach ("fuzz", geteuid (), &error);

  g_assert_cmpint (segment == NULL, ==, error != NULL);
  if (segment != NULL)
    touch_all (segment);
  else
    g_assert_true (error->message[0] != '\0');
}

/* ---------------------------------------------------------------------- a scene */

static gpointer
map_file (const char *name, int *fd_out)
{
  gpointer base;

  *fd_out = memfd_create (name, MFD_CLOEXEC);
  g_assert_cmpint (*fd_out, >=, 0);
  resize (*fd_out, SHMKV_WIRE_PAGE);
  base = mmap (NULL, SHMKV_WIRE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd_out, 0);
  g_assert_true (base != MAP_FAILED);
  return base;
}

/* Once. */
static void
init (void)
{
  fuzz_log_init ();
  scene.requests = map_file ("requests", &scene.requests_fd);
  scene.responses = map_file ("responses", &scene.responses_fd);
}

static void
set_alive (gboolean alive)
{
  struct flock lock
    = { .l_type = alive ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

  g_assert_cmpint (fcntl (scene.responses_fd, F_OFD_SETLK, &lock), ==, 0);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  guint8 how;

  if (scene.requests_fd < 0)
    init ();
  scene.input = (FuzzInput) { data, data + size };
  how = fuzz_u8 (&scene.input);
  scene.changes = (how & 4) != 0;
  fuzz_world_reset ();
  fuzz_watch (NULL, G_MAXSIZE);
  fuzz_on_look = fuzz_on_sleep = change_something;
  set_alive ((how & 0xf0) != 0xf0);
  write_regions ((ShmkvGeometry) { 1 + how % 2, RING_SIZE });
  attach ();
  return 0;
}
