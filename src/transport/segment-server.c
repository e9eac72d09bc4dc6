/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A server's side of a segment: making the name its own, creating the regions,
 * and removing them; see segment.h for who owns a name. */

#include "config.h"

#include "transport/segment-private.h"

#include "transport/crash.h"
#include "transport/name.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------- the server */

typedef enum
{
  CLAIM_WON,
  CLAIM_AGAIN,
  CLAIM_LOST
} Claim;

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

/* Why it cannot be cleared.  Who has a read lock where the clearing lock is was let
 * in as a client once, and only people can tell what to do about him. */
static Claim
explain_locked (const char *name, const char *object, int fd, GError **error)
{
  short type = shmkv_region_is_locked (fd, 0) ? F_WRLCK : shmkv_region_lock_type (fd, 1);

  switch (type)
    {
    case F_UNLCK:
      return CLAIM_AGAIN;
    case F_RDLCK:
      shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_ACCESS,
                 "cannot use the name: its last server is dead, but another process holds a lock "
                 "on /dev/shm%s: remove that file, or choose another --name",
                 object);
      return CLAIM_LOST;
    default:
      set_in_use_error (error, name, fd);
      return CLAIM_LOST;
    }
}

static Claim
fail_to_lock (const char *object, GError **error)
{
  shmkv_segment_set_system_error (error, "lock", object);
  return CLAIM_LOST;
}

static void
set_occupied_error (GError **error, const char *object, const char *why)
{
  shmkv_segment_set_error (error, SHMKV_SEGMENT_ERROR_ACCESS,
             "cannot use the name: /dev/shm%s exists and %s: remove it, or choose another --name",
             object, why);
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
  set_occupied_error (error, object,
                      S_ISREG (status.st_mode) ? "belongs to another user"
                                               : "is not a regular file");
  return FALSE;
}

/* Of an object; where glibc's and musl's shm_open() have it. */
static char *
path_of (const char *object)
{
  return g_strconcat ("/dev/shm", object, NULL);
}

static gboolean
is_linked (const struct stat *ours, const char *object)
{
  g_autofree char *path = path_of (object);
  struct stat named;

  if (stat (path, &named) != 0)
    return errno != ENOENT;
  return named.st_dev == ours->st_dev && named.st_ino == ours->st_ino;
}

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
  SHMKV_CRASH_POINT ("start-created");
  /* A starter that took the new file for a leftover may have been faster. */
  if (!shmkv_region_try_lock (fd, 0) || fstat (fd, &status) != 0 || !is_linked (&status, object))
    {
      close (fd);
      return CLAIM_AGAIN;
    }
  segment->responses.fd = fd;
  SHMKV_CRASH_POINT ("start-locked");
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
        set_occupied_error (error, object,
                            errno == EACCES ? "belongs to another user" : "is not a regular file");
      else
        shmkv_segment_set_system_error (error, "open", object);
      return CLAIM_LOST;
    }
  if (!check_leftover (fd, object, error))
    ;
  else if (!shmkv_region_try_lock_dead (fd))
    claim = errno == EAGAIN || errno == EACCES ? explain_locked (name, object, fd, error)
                                               : fail_to_lock (object, error);
  else
    {
      SHMKV_CRASH_POINT ("replace-locked");
      /* By its links alone it could have another name, and this one be another's. */
      if (fstat (fd, &status) == 0 && is_linked (&status, object) && shm_unlink (object) != 0
          && errno != ENOENT)
        shmkv_segment_set_system_error (error, "remove the leftover", object);
      else
        claim = CLAIM_AGAIN;
      SHMKV_CRASH_POINT ("replace-unlinked");
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
create_in_place_of_requests (const char *object, int *fd_out, GError **error)
{
  if (shm_unlink (object) != 0 && errno != ENOENT)
    {
      if (errno == EACCES || errno == EPERM)
        set_occupied_error (error, object, "belongs to another user");
      else
        shmkv_segment_set_system_error (error, "remove the leftover", object);
      return FALSE;
    }
  SHMKV_CRASH_POINT ("start-cleared");
  *fd_out = shm_open (object, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (*fd_out >= 0)
    return TRUE;
  shmkv_segment_set_system_error (error, "create", object);
  return FALSE;
}

static gboolean
create_requests (ShmkvSegment *segment, GError **error)
{
  g_autofree char *object = shmkv_name_requests (segment->name);

  if (!create_in_place_of_requests (object, &segment->requests.fd, error))
    return FALSE;
  SHMKV_CRASH_POINT ("start-requests-created");
  return TRUE;
}

/* Whether the name is still that of a segment of ours. */
static gboolean
has_name (const ShmkvSegment *segment)
{
  g_autofree char *object = shmkv_name_responses (segment->name);
  struct stat status;

  return segment->is_server && fstat (segment->responses.fd, &status) == 0 && status.st_nlink > 0
         && is_linked (&status, object);
}

/* Where the name is ours it stays so: the new responses region takes the place of the
 * old one in one step, locked already.  Until then it has the name of the requests
 * region, where a successor would clear it away. */
static gboolean
claim_by_replacing (ShmkvSegment *segment, GError **error)
{
  g_autofree char *requests = shmkv_name_requests (segment->name);
  g_autofree char *responses = shmkv_name_responses (segment->name);
  g_autofree char *from = path_of (requests), *to = path_of (responses);
  int fd;

  if (!create_in_place_of_requests (requests, &fd, error))
    return FALSE;
  if (!shmkv_region_try_lock (fd, 0) || rename (from, to) != 0)
    {
      shmkv_segment_set_system_error (error, "replace", responses);
      close (fd);
      shm_unlink (requests);
      return FALSE;
    }
  segment->responses.fd = fd;
  return TRUE;
}

/* Many kernels end it at any signal, and free what it had reserved:
 * signals that keep coming would make it begin anew for ever.  So they wait. */
static int
reserve (int fd, gsize size)
{
  sigset_t all, before;
  int result;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  do
    result = posix_fallocate (fd, 0, (off_t) size);
  while (result == EINTR);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  return result;
}

static gboolean
commit_memory (int fd, gsize size, const char *object, ShmkvGeometry geometry, GError **error)
{
  int result = reserve (fd, size);

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

/* Where somebody cuts a region off; see rescue.h. */
static void
set_repair (ShmkvSegment *segment)
{
  shmkv_rescue_set_repair (segment->responses.rescue, segment->responses.fd,
                           offsetof (ShmkvResponsesHeader, service), SHMKV_WIRE_SERVICE_LOST);
  shmkv_rescue_set_repair (segment->requests.rescue, segment->requests.fd, -1, 0);
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

/* Before the rest, which may take a while: those who may come then wait, instead of
 * hearing that they may not. */
static gboolean
let_wait (ShmkvSegment *segment, const ShmkvSegmentOptions *options, GError **error)
{
  g_autofree char *object = shmkv_name_responses (segment->name);

  return set_access (segment->responses.fd, (options->mode & 0444) | 0200, options->group, object,
                     error);
}

static gboolean
build_responses (ShmkvSegment *segment, GError **error)
{
  g_autofree char *object = shmkv_name_responses (segment->name);
  gsize size = shmkv_segment_responses_size (segment->geometry);

  return commit_memory (segment->responses.fd, size, object, segment->geometry, error)
         && shmkv_region_map (&segment->responses, size, PROT_READ | PROT_WRITE, object, error);
}

/* Not through the mapping, which is read-only. */
static gboolean
write_instance (int fd, guint64 instance, const char *object, GError **error)
{
  gsize done = 0;

  while (done < sizeof instance)
    {
      gssize n = pwrite (fd, (const char *) &instance + done, sizeof instance - done,
                         (off_t) (offsetof (ShmkvRequestsHeader, instance) + done));

      if (n < 0 && errno != EINTR)
        {
          shmkv_segment_set_system_error (error, "write to", object);
          return FALSE;
        }
      done += (gsize) MAX (n, 0);
    }
  return TRUE;
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
  SHMKV_CRASH_POINT ("start-requests-committed");
  if (!write_instance (segment->requests.fd, instance, object, error))
    return FALSE;
  SHMKV_CRASH_POINT ("start-instance-written");
  return shmkv_region_map (&segment->requests, size, PROT_READ, object, error)
         && set_access (segment->requests.fd, options->mode, options->group, object, error);
}

ShmkvSegment *
shmkv_segment_create (const ShmkvSegmentOptions *options, const ShmkvSegment *old, GError **error)
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
  if (!(old != NULL && has_name (old) ? claim_by_replacing (segment, error)
                                      : claim_name (segment, error)))
    return NULL;
  segment->is_server = TRUE;
  if (!let_wait (segment, options, error) || !build_requests (segment, options, instance, error)
      || !build_responses (segment, error))
    return NULL;
  SHMKV_CRASH_POINT ("start-built");
  fill_header (segment, instance);
  set_repair (segment);
  SHMKV_CRASH_POINT ("start-header-filled");
  return g_steal_pointer (&segment);
}

void
shmkv_segment_publish (ShmkvSegment *segment)
{
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (segment);

  /* relaxed: published by `magic` */
  atomic_store_explicit (&header->service, SHMKV_WIRE_SERVICE_RUNNING, memory_order_relaxed);
  SHMKV_CRASH_POINT ("start-before-magic");
  /* release: pairs with the acquire in header_is_ready() */
  atomic_store_explicit (&header->magic, SHMKV_WIRE_MAGIC, memory_order_release);
  SHMKV_CRASH_POINT ("start-published");
}

/* ------------------------------------------------------------------ damage */

static const char *
find_damage_to (const ShmkvRegion *region, const char *object)
{
  struct stat status;

  if (fstat (region->fd, &status) != 0)
    return NULL;
  if ((guint64) status.st_size < region->size)
    {
      if (!shmkv_rescue_repair (region->rescue))
        g_warning ("cannot make /dev/shm%s as long again as it was: %s", object,
                   g_strerror (errno));
      return "truncated";
    }
  if (shmkv_rescue_is_lost (region->rescue))
    return "truncated";
  /* Nobody has lost anything, but some clients may not take it for ours.  Where that
   * fails, others do. */
  if ((guint64) status.st_size > region->size)
    (void) !ftruncate (region->fd, (off_t) region->size);
  return is_linked (&status, object) ? NULL : "removed";
}

/* As they are where a region was truncated and made as long again since we looked. */
static gboolean
are_headers_intact (const ShmkvSegment *segment)
{
  const ShmkvResponsesHeader *responses = shmkv_segment_responses_header (segment);
  const ShmkvRequestsHeader *requests = shmkv_segment_requests_header (segment);

  /* relaxed: nobody but us is to write them */
  return atomic_load_explicit (&responses->magic, memory_order_relaxed) == SHMKV_WIRE_MAGIC
         && atomic_load_explicit (&requests->instance, memory_order_relaxed) == responses->instance;
}

const char *
shmkv_segment_find_damage (const ShmkvSegment *segment)
{
  g_autofree char *requests = shmkv_name_requests (segment->name);
  g_autofree char *responses = shmkv_name_responses (segment->name);
  const char *damage = find_damage_to (&segment->responses, responses);
  const char *other = find_damage_to (&segment->requests, requests);

  if (damage == NULL)
    damage = other;
  if (damage == NULL && !are_headers_intact (segment))
    damage = "overwrote";
  return damage;
}

void
shmkv_segment_watch (ShmkvSegment *segment, int inotify)
{
  const guint32 events = IN_ATTRIB | IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF;
  g_autofree char *requests = shmkv_name_requests (segment->name);
  g_autofree char *responses = shmkv_name_responses (segment->name);
  g_autofree char *requests_path = path_of (requests);
  g_autofree char *responses_path = path_of (responses);

  /* Without it, damage is found a little later. */
  segment->watches[0] = inotify_add_watch (inotify, requests_path, events);
  segment->watches[1] = inotify_add_watch (inotify, responses_path, events);
}

void
shmkv_segment_unwatch (ShmkvSegment *segment, int inotify)
{
  for (guint i = 0; i < G_N_ELEMENTS (segment->watches); i++)
    {
      if (segment->watches[i] > 0)
        inotify_rm_watch (inotify, segment->watches[i]);
      segment->watches[i] = 0;
    }
}

void
shmkv_segment_say_gone (ShmkvSegment *segment)
{
  ShmkvResponsesHeader *header = shmkv_segment_responses_header (segment);

  if (shmkv_rescue_is_lost (segment->responses.rescue))
    return;
  /* release: pairs with the acquire in the client's
   * shmkv_session_server_is_running(); what was answered was answered before */
  atomic_store_explicit (&header->service, SHMKV_WIRE_SERVICE_GONE, memory_order_release);
}

/* ---------------------------------------------------------------- the end */

/* Where somebody else removed our region, its name may be another's by now. */
static void
unlink_if_linked (const ShmkvRegion *region, const char *object)
{
  struct stat status;

  if (region->fd >= 0 && fstat (region->fd, &status) == 0 && is_linked (&status, object))
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
  SHMKV_CRASH_POINT ("stop-begin");
  /* The responses region last: it is what the name hangs on. */
  unlink_if_linked (&segment->requests, requests);
  SHMKV_CRASH_POINT ("stop-requests-unlinked");
  unlink_if_linked (&segment->responses, responses);
  SHMKV_CRASH_POINT ("stop-unlinked");
}

