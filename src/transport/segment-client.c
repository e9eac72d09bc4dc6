/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client's side of a segment: finding a server's regions, and checking that
 * they are what they should be before anything in them is used. */

#include "config.h"

#include "transport/segment-private.h"

#include "transport/crash.h"
#include "transport/name.h"
#include "wire/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long to wait for a server that holds the life lock and is not ready. */
#define STARTING_US (1 * G_USEC_PER_SEC)
#define STARTING_STEP_US 1000

/* -------------------------------------------------------------- a client */

typedef enum
{
  ATTACH_DONE,
  ATTACH_STARTING,                  /* not ready, or just being replaced: try again */
  ATTACH_FAILED
} Attach;

static void
set_no_server_error (GError **error, const char *name)
{
  shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_NO_SERVER,
             "no server named \"%s\" is running: start one with 'shmkv-server --name=%s'", name,
             name);
}

/* Opens one of the regions, and sees to it that nobody planted it. */
static Attach
open_region (ShmkvRegion *region, const char *name, const char *object, int flags, uid_t owner,
             GError **error)
{
  struct stat status;

  region->fd = shmkv_region_open (object, flags);
  if (region->fd < 0)
    {
      if (errno == ENOENT)
        set_no_server_error (error, name);
      else if (shmkv_region_is_no_file (errno))
        shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_ACCESS,
                   "will not use /dev/shm%s: it is not a regular file, so no server made it: "
                   "remove it",
                   object);
      else if (errno == EACCES)
        shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_ACCESS,
                   "may not use the server named \"%s\": it belongs to another user, who did not "
                   "share it: start your own with another --name, or have it started with --group "
                   "and --mode",
                   name);
      else
        shmkv_segment_set_system_error (error, "open", object);
      return ATTACH_FAILED;
    }
  if (fstat (region->fd, &status) != 0)
    {
      shmkv_segment_set_system_error (error, "examine", object);
      return ATTACH_FAILED;
    }
  region->size = (gsize) status.st_size;
  if (!S_ISREG (status.st_mode))
    {
      shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_ACCESS,
                 "will not use /dev/shm%s: it is not a regular file, so no server made it: remove "
                 "it",
                 object);
      return ATTACH_FAILED;
    }
  if (status.st_uid != owner && status.st_uid != 0)
    {
      shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_ACCESS,
                 "will not use the server named \"%s\": it belongs to user %u, who could read and "
                 "change everything: if you trust that user, say so with --owner or SHMKV_OWNER",
                 name, (guint) status.st_uid);
      return ATTACH_FAILED;
    }
  /* Under a second name it could be found by those who look for another server. */
  if (status.st_nlink > 1)
    {
      shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_ACCESS,
                 "will not use the server named \"%s\": /dev/shm%s has more names than this one, "
                 "which no server gave it: remove them",
                 name, object);
      return ATTACH_FAILED;
    }
  return status.st_nlink == 0 ? ATTACH_STARTING : ATTACH_DONE;
}

static gboolean
check_version (const ShmkvResponsesHeader *header, guint64 magic, const char *name, GError **error)
{
  if (magic == SHMKV_WIRE_MAGIC_SWAPPED)
    shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_INCOMPATIBLE,
               "cannot use the server named \"%s\": it has another byte order", name);
  else if (magic != SHMKV_WIRE_MAGIC)
    shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_INCOMPATIBLE,
               "cannot use the server named \"%s\": its shared memory is not that of a shmkv server",
               name);
  else if (header->major != SHMKV_WIRE_MAJOR)
    shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_INCOMPATIBLE,
               "cannot use the server named \"%s\": it speaks version %u of the protocol, this "
               "library version %u: install matching versions and restart the server",
               name, header->major, SHMKV_WIRE_MAJOR);
  else if (header->header_size != sizeof (ShmkvResponsesHeader)
           || header->requests_lane_size != sizeof (ShmkvRequestsLane)
           || header->responses_lane_size != sizeof (ShmkvResponsesLane))
    shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_INCOMPATIBLE,
               "cannot use the server named \"%s\": its shared memory is laid out for another kind "
               "of machine",
               name);
  else
    return TRUE;
  return FALSE;
}

/* Copies what the header says to private memory, and checks it there. */
static Attach
read_header (ShmkvSegment *segment, guint64 *instance_out, GError **error)
{
  const ShmkvResponsesHeader *header = segment->responses.base;
  /* acquire: pairs with the release in shmkv_segment_publish() */
  guint64 magic = atomic_load_explicit (&header->magic, memory_order_acquire);
  ShmkvResponsesHeader copy;

  if (magic == 0)
    return ATTACH_STARTING;
  memcpy (&copy, header, sizeof copy);
  if (!check_version (&copy, magic, segment->name, error))
    return ATTACH_FAILED;
  /* It ends, or is about to make new regions. */
  if (copy.service != SHMKV_WIRE_SERVICE_RUNNING)
    return ATTACH_STARTING;
  if (!shmkv_geometry_is_valid (copy.geometry)
      || shmkv_segment_responses_size (copy.geometry) != segment->responses.size)
    {
      shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_INCOMPATIBLE,
                 "cannot use the server named \"%s\": the sizes in its shared memory do not fit "
                 "together",
                 segment->name);
      return ATTACH_FAILED;
    }
  if (copy.max_value < 1 || copy.max_value > SHMKV_WIRE_MAX_VALUE_SIZE)
    {
      shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_INCOMPATIBLE,
                 "cannot use the server named \"%s\": no server takes values of up to %" G_GUINT64_FORMAT
                 " bytes",
                 segment->name, copy.max_value);
      return ATTACH_FAILED;
    }
  segment->geometry = copy.geometry;
  segment->buckets = copy.buckets;
  segment->max_value = copy.max_value;
  segment->server_pid = copy.server_pid;
  *instance_out = copy.instance;
  return ATTACH_DONE;
}

static Attach
attach_responses (ShmkvSegment *segment, uid_t owner, guint64 *instance_out, GError **error)
{
  g_autofree char *object = shmkv_name_responses (segment->name);
  Attach attach;

  attach = open_region (&segment->responses, segment->name, object, O_RDONLY, owner, error);
  if (attach != ATTACH_DONE)
    return attach;
  SHMKV_CRASH_POINT ("attach-opened");
  if (!shmkv_region_is_locked (segment->responses.fd, 0))
    {
      set_no_server_error (error, segment->name);
      return ATTACH_FAILED;
    }
  if (segment->responses.size < sizeof (ShmkvResponsesHeader))
    return ATTACH_STARTING;
  if (!shmkv_region_map (&segment->responses, segment->responses.size, PROT_READ, object, error))
    return ATTACH_FAILED;
  SHMKV_CRASH_POINT ("attach-mapped");
  return read_header (segment, instance_out, error);
}

static Attach
attach_requests (ShmkvSegment *segment, uid_t owner, guint64 instance, GError **error)
{
  g_autofree char *object = shmkv_name_requests (segment->name);
  gsize size = shmkv_segment_requests_size (segment->geometry);
  g_autoptr (GError) local_error = NULL;
  Attach attach;

  attach = open_region (&segment->requests, segment->name, object, O_RDWR, owner, &local_error);
  /* Gone since we opened the other: the server ends, or another one starts. */
  if (g_error_matches (local_error, SHMKV_SEGMENT_ERROR, SHMKV_SEGMENT_ERROR_NO_SERVER))
    return ATTACH_STARTING;
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  if (attach != ATTACH_DONE)
    return attach;
  SHMKV_CRASH_POINT ("attach-requests-opened");
  /* Whoever may write to it may also make it longer, which takes nothing from us. */
  if (segment->requests.size < size)
    return ATTACH_STARTING;
  if (!shmkv_region_map (&segment->requests, size, PROT_READ | PROT_WRITE, object, error))
    return ATTACH_FAILED;
  /* relaxed: written before the `magic` that we acquired */
  if (atomic_load_explicit (&shmkv_segment_requests_header (segment)->instance,
                            memory_order_relaxed)
      != instance)
    return ATTACH_STARTING;
  return ATTACH_DONE;
}

static Attach
attach_once (const char *name, uid_t owner, ShmkvSegment **segment_out, GError **error)
{
  g_autoptr (ShmkvSegment) segment = shmkv_segment_new (name);
  guint64 instance = 0;
  Attach attach;

  attach = attach_responses (segment, owner, &instance, error);
  if (attach == ATTACH_DONE)
    attach = attach_requests (segment, owner, instance, error);
  if (attach == ATTACH_DONE)
    {
      /* What a child inherits it could write to in its parent's name. */
      madvise (segment->requests.base, segment->requests.size, MADV_DONTFORK);
      madvise (segment->responses.base, segment->responses.size, MADV_DONTFORK);
      *segment_out = g_steal_pointer (&segment);
      SHMKV_CRASH_POINT ("attach-done");
    }
  return attach;
}

ShmkvSegment *
shmkv_segment_attach (const char *name, uid_t owner, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + STARTING_US;
  ShmkvSegment *segment = NULL;

  if (!shmkv_segment_check_name (name, error))
    return NULL;
  for (;;)
    {
      switch (attach_once (name, owner, &segment, error))
        {
        case ATTACH_DONE:
          return segment;
        case ATTACH_FAILED:
          return NULL;
        case ATTACH_STARTING:
          break;
        }
      if (g_get_monotonic_time () >= deadline)
        {
          shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_NO_SERVER,
                     "the server named \"%s\" has not finished starting: try again", name);
          return NULL;
        }
      g_usleep (STARTING_STEP_US);
    }
}

