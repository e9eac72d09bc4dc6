/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A server's side of a segment: making the name its own, creating the regions,
 * and removing them; see segment.h for who owns a name. */

#include "config.h"

#include "transport/segment-private.h"

#include "transport/name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------- the server */

/* Says who has the name, as far as the header tells. */
static void
set_in_use_error (GError **error, const char *name, int fd)
{
  ShmkvResponsesHeader header;
  g_autofree char *who = NULL;

  if (pread (fd, &header, sizeof header, 0) == (ssize_t) sizeof header
      && header.magic == SHMKV_WIRE_MAGIC)
    who = g_strdup_printf (" (process %u)", header.server_pid);
  shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_IN_USE,
             "a server named \"%s\" is already running%s: choose another --name, or stop it with "
             "'shmkv-client --name=%s quit'",
             name, who != NULL ? who : "", name);
}

/* Whether what is open may be replaced by us. */
static gboolean
check_leftover (int fd, const char *object, GError **error)
{
  struct stat status;

  if (fstat (fd, &status) != 0)
    {
      shmkv_segment_set_system_error (error, "examine", object);
      return FALSE;
    }
  if (S_ISREG (status.st_mode) && status.st_uid == geteuid ())
    return TRUE;
  shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_ACCESS,
             "cannot use the name: /dev/shm%s exists and %s: remove it, or choose another --name",
             object,
             S_ISREG (status.st_mode) ? "belongs to another user" : "is not a regular file");
  return FALSE;
}

typedef enum
{
  CLAIM_WON,
  CLAIM_AGAIN,
  CLAIM_LOST
} Claim;

/* Creates the responses region and locks it. */
static Claim
claim_by_creating (ShmkvSegment *segment, const char *object, GError **error)
{
  struct stat status;
  int fd = shm_open (object, O_RDWR | O_CREAT | O_EXCL, 0600);

  if (fd < 0)
    {
      if (errno == EEXIST)
        return CLAIM_AGAIN;
      shmkv_segment_set_system_error (error, "create", object);
      return CLAIM_LOST;
    }
  /* A starter that took the new file for a leftover may have been faster. */
  if (!shmkv_region_try_lock (fd, 0) || fstat (fd, &status) != 0 || status.st_nlink == 0)
    {
      close (fd);
      return CLAIM_AGAIN;
    }
  segment->responses.fd = fd;
  return CLAIM_WON;
}

/* Removes what is there, if its owner is dead. */
static Claim
claim_by_clearing (const char *name, const char *object, GError **error)
{
  Claim claim = CLAIM_LOST;
  struct stat status;
  int fd = shmkv_region_open (object, O_RDWR);

  if (fd < 0)
    {
      if (errno == ENOENT)
        return CLAIM_AGAIN;
      if (shmkv_region_is_no_file (errno) || errno == EACCES)
        shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_ACCESS,
                   "cannot use the name: /dev/shm%s exists and %s: remove it, or choose another "
                   "--name",
                   object,
                   errno == EACCES ? "belongs to another user" : "is not a regular file");
      else
        shmkv_segment_set_system_error (error, "open", object);
      return CLAIM_LOST;
    }
  if (!check_leftover (fd, object, error))
    ;
  else if (!shmkv_region_try_lock (fd, 0))
    set_in_use_error (error, name, fd);
  else
    {
      if (fstat (fd, &status) == 0 && status.st_nlink > 0 && shm_unlink (object) != 0
          && errno != ENOENT)
        shmkv_segment_set_system_error (error, "remove the leftover", object);
      else
        claim = CLAIM_AGAIN;
    }
  close (fd);
  return claim;
}

static gboolean
claim_name (ShmkvSegment *segment, GError **error)
{
  g_autofree char *object = shmkv_name_responses (segment->name);
  Claim claim;

  do
    {
      claim = claim_by_creating (segment, object, error);
      if (claim == CLAIM_AGAIN)
        claim = claim_by_clearing (segment->name, object, error);
    }
  while (claim == CLAIM_AGAIN);
  return claim == CLAIM_WON;
}

/* The name is ours, so whatever is here is a leftover. */
static gboolean
create_requests (ShmkvSegment *segment, GError **error)
{
  g_autofree char *object = shmkv_name_requests (segment->name);

  if (shm_unlink (object) != 0 && errno != ENOENT)
    {
      shmkv_segment_set_system_error (error, "remove the leftover", object);
      return FALSE;
    }
  segment->requests.fd = shm_open (object, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (segment->requests.fd < 0)
    {
      shmkv_segment_set_system_error (error, "create", object);
      return FALSE;
    }
  return TRUE;
}

static gboolean
commit_memory (int fd, gsize size, const char *object, ShmkvGeometry geometry, GError **error)
{
  int result;

  do
    result = posix_fallocate (fd, 0, (off_t) size);
  while (result == EINTR);
  if (result == 0)
    return TRUE;

  errno = result;
  if (result != ENOSPC)
    shmkv_segment_set_system_error (error, "reserve memory for", object);
  else
    shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_NO_SPACE,
               "not enough room in /dev/shm: %u sessions with rings of %u bytes need %"
               G_GUINT64_FORMAT " bytes of shared memory: enlarge /dev/shm, or lower --sessions or "
               "--ring-size",
               geometry.sessions, geometry.ring_size, shmkv_segment_total_size (geometry));
  return FALSE;
}

static gboolean
set_access (int fd, mode_t mode, gid_t group, const char *object, GError **error)
{
  if (group != (gid_t) -1 && fchown (fd, (uid_t) -1, group) != 0)
    {
      shmkv_segment_set_system_error (error, "change the group of", object);
      return FALSE;
    }
  /* Not left to the umask. */
  if (fchmod (fd, mode) != 0)
    {
      shmkv_segment_set_system_error (error, "change the mode of", object);
      return FALSE;
    }
  return TRUE;
}

static guint64
new_instance (void)
{
  guint64 instance;

  do
    instance = (guint64) g_random_int () << 32 | g_random_int ();
  while (instance == 0);
  return instance;
}

/* Everything but `magic`. */
static void
fill_header (ShmkvSegment *segment, guint64 instance)
{
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (segment);

  header->major = SHMKV_WIRE_MAJOR;
  header->minor = SHMKV_WIRE_MINOR;
  header->header_size = sizeof (ShmkvResponsesHeader);
  header->requests_lane_size = sizeof (ShmkvRequestsLane);
  header->responses_lane_size = sizeof (ShmkvResponsesLane);
  header->geometry = segment->geometry;
  header->instance = instance;
  header->server_pid = segment->server_pid;
  header->buckets = segment->buckets;
  header->max_value = segment->max_value;
  /* relaxed: published by `magic` */
  atomic_store_explicit (&header->service, SHMKV_WIRE_SERVICE_STARTING, memory_order_relaxed);
}

static gboolean
build_responses (ShmkvSegment *segment, const ShmkvSegmentOptions *options, GError **error)
{
  g_autofree char *object = shmkv_name_responses (segment->name);
  gsize size = shmkv_segment_responses_size (segment->geometry);

  return commit_memory (segment->responses.fd, size, object, segment->geometry, error)
         && shmkv_region_map (&segment->responses, size, PROT_READ | PROT_WRITE, object, error)
         && set_access (segment->responses.fd, (options->mode & 0444) | 0200, options->group, object,
                        error);
}

static gboolean
build_requests (ShmkvSegment *segment, const ShmkvSegmentOptions *options, guint64 instance,
                GError **error)
{
  g_autofree char *object = shmkv_name_requests (segment->name);
  gsize size = shmkv_segment_requests_size (segment->geometry);

  if (!create_requests (segment, error)
      || !commit_memory (segment->requests.fd, size, object, segment->geometry, error))
    return FALSE;
  if (pwrite (segment->requests.fd, &instance, sizeof instance,
              offsetof (ShmkvRequestsHeader, instance))
      != (ssize_t) sizeof instance)
    {
      shmkv_segment_set_system_error (error, "write to", object);
      return FALSE;
    }
  return shmkv_region_map (&segment->requests, size, PROT_READ, object, error)
         && set_access (segment->requests.fd, options->mode, options->group, object, error);
}

ShmkvSegment *
shmkv_segment_create (const ShmkvSegmentOptions *options, GError **error)
{
  g_autoptr (ShmkvSegment) segment = NULL;
  guint64 instance = new_instance ();

  if (!shmkv_segment_check_name (options->name, error))
    return NULL;
  if (!shmkv_geometry_is_valid (options->geometry))
    {
      shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_INVALID,
                 "invalid sizes: %u to %u sessions, and rings of a power of two from %u to %u bytes "
                 "are possible",
                 SHMKV_WIRE_MIN_SESSIONS, SHMKV_WIRE_MAX_SESSIONS, SHMKV_WIRE_MIN_RING_SIZE,
                 SHMKV_WIRE_MAX_RING_SIZE);
      return NULL;
    }

  segment = shmkv_segment_new (options->name);
  segment->geometry = options->geometry;
  segment->buckets = options->buckets;
  segment->max_value = options->max_value;
  segment->server_pid = (guint32) getpid ();
  if (!claim_name (segment, error))
    return NULL;
  segment->is_server = TRUE;
  if (!build_requests (segment, options, instance, error)
      || !build_responses (segment, options, error))
    return NULL;
  fill_header (segment, instance);
  return g_steal_pointer (&segment);
}

void
shmkv_segment_publish (ShmkvSegment *segment)
{
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (segment);

  /* relaxed: published by `magic` */
  atomic_store_explicit (&header->service, SHMKV_WIRE_SERVICE_RUNNING, memory_order_relaxed);
  /* release: pairs with the acquire in header_is_ready() */
  atomic_store_explicit (&header->magic, SHMKV_WIRE_MAGIC, memory_order_release);
}

/* Where somebody else removed our region, its name may be another's by now. */
static void
unlink_if_linked (const ShmkvRegion *region, const char *object)
{
  struct stat status;

  if (region->fd >= 0 && fstat (region->fd, &status) == 0 && status.st_nlink > 0)
    shm_unlink (object);
}

void
shmkv_segment_retire (ShmkvSegment *segment)
{
  g_autofree char *requests = shmkv_name_requests (segment->name);
  g_autofree char *responses = shmkv_name_responses (segment->name);

  if (!segment->is_server)
    return;
  segment->is_server = FALSE;
  /* The responses region last: it is what the name hangs on. */
  unlink_if_linked (&segment->requests, requests);
  unlink_if_linked (&segment->responses, responses);
}

