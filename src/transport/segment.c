/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "transport/segment-private.h"

#include "transport/name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

G_DEFINE_QUARK (shmkv-segment-error-quark, shmkv_segment_error)

/* ---------------------------------------------------------------- errors */

void
shmkv_segment_set_error (GError **error, ShmkvSegmentError code, const char *format, ...)
{
  va_list arguments;

  if (error == NULL)
    return;
  va_start (arguments, format);
  *error = g_error_new_valist (SHMKV_SEGMENT_ERROR, code, format, arguments);
  va_end (arguments);
}

/* What a failed call says about errno. */
void
shmkv_segment_set_system_error (GError **error, const char *call, const char *object)
{
  int code = errno;

  shmkv_segment_set_error (error,
             code == EACCES || code == EPERM ? SHMKV_SEGMENT_ERROR_ACCESS
                                             : SHMKV_SEGMENT_ERROR_SYSTEM,
             "cannot %s /dev/shm%s: %s", call, object, g_strerror (code));
}

gboolean
shmkv_segment_check_name (const char *name, GError **error)
{
  g_autofree char *shown = NULL;

  if (shmkv_name_is_valid (name))
    return TRUE;
  shown = g_strescape (name, NULL);
  shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_INVALID,
             "invalid server name \"%.80s\": a name is " SHMKV_NAME_RULE, shown);
  return FALSE;
}

/* ----------------------------------------------------------------- locks */

static struct flock
one_byte (short type, guint offset)
{
  return (struct flock) { .l_type = type, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1 };
}

gboolean
shmkv_region_try_lock (int fd, guint offset)
{
  struct flock lock = one_byte (F_WRLCK, offset);

  return fcntl (fd, F_OFD_SETLK, &lock) == 0;
}

gboolean
shmkv_region_try_lock_dead (int fd)
{
  struct flock owner = one_byte (F_RDLCK, 0), clearer = one_byte (F_WRLCK, 1);

  return fcntl (fd, F_OFD_SETLK, &owner) == 0 && fcntl (fd, F_OFD_SETLK, &clearer) == 0;
}

void
shmkv_region_unlock (int fd, guint offset)
{
  struct flock lock = one_byte (F_UNLCK, offset);

  fcntl (fd, F_OFD_SETLK, &lock);
}

/* What somebody else holds.  Where the question fails, nothing may be concluded
 * from it: the cautious answer is the whole lock. */
short
shmkv_region_lock_type (int fd, guint offset)
{
  struct flock lock = one_byte (F_WRLCK, offset);

  return fcntl (fd, F_OFD_GETLK, &lock) != 0 ? F_WRLCK : lock.l_type;
}

/* A read lock does not count.  Whoever may read the file can take one when the
 * lock's holder is gone, and would make him live for ever; and who clears a dead
 * server's region is not that server. */
gboolean
shmkv_region_is_locked (int fd, guint offset)
{
  return shmkv_region_lock_type (fd, offset) == F_WRLCK;
}

/* --------------------------------------------------------------- regions */

void
shmkv_region_close (ShmkvRegion *region)
{
  if (region->rescue != NULL)
    shmkv_rescue_end (region->rescue);
  if (region->base != NULL)
    munmap (region->base, region->size);
  if (region->fd >= 0)
    close (region->fd);
  *region = (ShmkvRegion) { .fd = -1 };
}

gboolean
shmkv_region_map (ShmkvRegion *region, gsize size, int protection, const char *object, GError **error)
{
  void *base = mmap (NULL, size, protection, MAP_SHARED, region->fd, 0);

  if (base == MAP_FAILED)
    {
      shmkv_segment_set_system_error (error, "map", object);
      return FALSE;
    }
  region->base = base;
  region->size = size;
  region->rescue = shmkv_rescue_watch (base, size, protection);
  return TRUE;
}

/* Opens what is under a name, whatever it is, without being blocked or led
 * elsewhere by it. */
int
shmkv_region_open (const char *object, int flags)
{
  return shm_open (object, flags | O_NONBLOCK, 0);
}

gboolean
shmkv_region_is_no_file (int code)
{
  /* A symbolic link; a directory, for which glibc's shm_open() changes EISDIR
   * to EINVAL; a socket or the like. */
  return code == ELOOP || code == EISDIR || code == EINVAL || code == ENXIO;
}

ShmkvSegment *
shmkv_segment_new (const char *name)
{
  ShmkvSegment *segment = g_new0 (ShmkvSegment, 1);

  segment->name = g_strdup (name);
  segment->requests.fd = -1;
  segment->responses.fd = -1;
  return segment;
}

gsize
shmkv_segment_requests_size (ShmkvGeometry geometry)
{
  return shmkv_geometry_region_size (geometry, sizeof (ShmkvRequestsHeader),
                                     sizeof (ShmkvRequestsLane));
}

gsize
shmkv_segment_responses_size (ShmkvGeometry geometry)
{
  return shmkv_geometry_region_size (geometry, sizeof (ShmkvResponsesHeader),
                                     sizeof (ShmkvResponsesLane));
}

guint64
shmkv_segment_total_size (ShmkvGeometry geometry)
{
  return (guint64) shmkv_segment_requests_size (geometry) + shmkv_segment_responses_size (geometry);
}

/* ------------------------------------------------------------------- both */

void
shmkv_segment_free (ShmkvSegment *segment)
{
  shmkv_segment_retire (segment);
  shmkv_region_close (&segment->requests);
  shmkv_region_close (&segment->responses);
  g_free (segment->name);
  g_free (segment);
}

void
shmkv_segment_abandon (ShmkvSegment *segment)
{
  /* The addresses may meanwhile be used for something else. */
  segment->requests.base = NULL;
  segment->responses.base = NULL;
  shmkv_region_close (&segment->requests);
  shmkv_region_close (&segment->responses);
}

gboolean
shmkv_segment_server_is_alive (const ShmkvSegment *segment)
{
  return !shmkv_segment_is_lost (segment) && shmkv_region_is_locked (segment->responses.fd, 0);
}

gboolean
shmkv_segment_lock_lane (ShmkvSegment *segment, guint lane)
{
  g_return_val_if_fail (lane < segment->geometry.sessions, FALSE);

  return shmkv_region_try_lock (segment->requests.fd, lane);
}

void
shmkv_segment_unlock_lane (ShmkvSegment *segment, guint lane)
{
  g_return_if_fail (lane < segment->geometry.sessions);

  shmkv_region_unlock (segment->requests.fd, lane);
}

gboolean
shmkv_segment_lane_is_locked (const ShmkvSegment *segment, guint lane)
{
  g_return_val_if_fail (lane < segment->geometry.sessions, TRUE);

  return shmkv_region_is_locked (segment->requests.fd, lane);
}

/* ----------------------------------------------------------- what is inside */

/* An offset inside a region, from the private geometry.  Aborts where the
 * region is too small, which the checks at attach rule out. */
static void *
region_at (const ShmkvRegion *region, guint64 offset, guint64 length)
{
  g_assert (length <= region->size && offset <= region->size - length);
  return (char *) region->base + offset;
}

ShmkvResponsesHeader *
shmkv_segment_responses_header (const ShmkvSegment *segment)
{
  return region_at (&segment->responses, 0, sizeof (ShmkvResponsesHeader));
}

ShmkvRequestsHeader *
shmkv_segment_requests_header (const ShmkvSegment *segment)
{
  return region_at (&segment->requests, 0, sizeof (ShmkvRequestsHeader));
}

ShmkvResponsesLane *
shmkv_segment_responses_lane (const ShmkvSegment *segment, guint lane)
{
  g_assert (lane < segment->geometry.sessions);
  return region_at (&segment->responses,
                    sizeof (ShmkvResponsesHeader) + (guint64) lane * sizeof (ShmkvResponsesLane),
                    sizeof (ShmkvResponsesLane));
}

ShmkvRequestsLane *
shmkv_segment_requests_lane (const ShmkvSegment *segment, guint lane)
{
  g_assert (lane < segment->geometry.sessions);
  return region_at (&segment->requests,
                    sizeof (ShmkvRequestsHeader) + (guint64) lane * sizeof (ShmkvRequestsLane),
                    sizeof (ShmkvRequestsLane));
}

guint64 *
shmkv_segment_responses_ring (const ShmkvSegment *segment, guint lane)
{
  guint64 rings = shmkv_geometry_rings_offset (segment->geometry, sizeof (ShmkvResponsesHeader),
                                               sizeof (ShmkvResponsesLane));

  g_assert (lane < segment->geometry.sessions);
  return region_at (&segment->responses, rings + (guint64) lane * segment->geometry.ring_size,
                    segment->geometry.ring_size);
}

guint64 *
shmkv_segment_requests_ring (const ShmkvSegment *segment, guint lane)
{
  guint64 rings = shmkv_geometry_rings_offset (segment->geometry, sizeof (ShmkvRequestsHeader),
                                               sizeof (ShmkvRequestsLane));

  g_assert (lane < segment->geometry.sessions);
  return region_at (&segment->requests, rings + (guint64) lane * segment->geometry.ring_size,
                    segment->geometry.ring_size);
}
