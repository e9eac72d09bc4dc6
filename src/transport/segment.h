/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pair of shared memory regions behind a server's name: creating, finding,
 * mapping, checking and removing them, and the locks that tell who is alive.
 *
 * Who is alive.  Open-file-description locks (F_OFD_SETLK): the kernel drops
 * them when the last descriptor of the open file goes, also by SIGKILL, also
 * before a zombie is reaped, and they mean the same in every pid namespace.
 *
 *   responses region, byte 0       held by the server for life
 *   requests region, byte i        held by the session that has lane i
 *
 * Whose name it is.  A name belongs to whoever holds the life lock of the
 * responses region that is linked under it.  A starting server creates that
 * file (O_EXCL) or opens what is there, and tries the lock.  Where it fails, a
 * server lives or is just starting: refused.  Where it holds the lock of a
 * file that it did not create, the owner is dead: it unlinks the file, still
 * holding the lock, and begins again.  After locking it looks whether the file
 * is still linked, because somebody else may have done so in between.  Nobody
 * unlinks a region without holding its lock, so among any number of starters
 * exactly one wins; and everything else under the name (the requests region)
 * is only ever touched by the winner.  A region is never used twice.
 *
 * A region is visible before it is ready; `magic` is stored last. */

#pragma once

#include "wire/layout.h"

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

#define SHMKV_SEGMENT_ERROR (shmkv_segment_error_quark ())

typedef enum
{
  SHMKV_SEGMENT_ERROR_INVALID,      /* the name, or the sizes asked for */
  SHMKV_SEGMENT_ERROR_NO_SERVER,
  SHMKV_SEGMENT_ERROR_ACCESS,
  SHMKV_SEGMENT_ERROR_INCOMPATIBLE,
  SHMKV_SEGMENT_ERROR_IN_USE,       /* another server has the name */
  SHMKV_SEGMENT_ERROR_NO_SPACE,
  SHMKV_SEGMENT_ERROR_SYSTEM,
} ShmkvSegmentError;

GQuark shmkv_segment_error_quark (void);

typedef struct
{
  int fd;
  void *base;
  gsize size;
} ShmkvRegion;

typedef struct
{
  char *name;
  ShmkvGeometry geometry;           /* private and checked */
  guint32 buckets;
  guint32 server_pid;
  guint64 max_value;
  ShmkvRegion requests;
  ShmkvRegion responses;
  gboolean is_server;
} ShmkvSegment;

typedef struct
{
  const char *name;
  ShmkvGeometry geometry;
  guint32 buckets;
  guint64 max_value;
  mode_t mode;                      /* of the requests region; the responses region is never
                                     * writable but by its owner */
  gid_t group;                      /* (gid_t) -1: as it comes */
} ShmkvSegmentOptions;

/* For the server.  Both regions are committed: no access will ever fail for
 * want of memory.  Clients can attach after shmkv_segment_publish(). */
ShmkvSegment *shmkv_segment_create (const ShmkvSegmentOptions *options, GError **error);
void shmkv_segment_publish (ShmkvSegment *segment);

/* Removes the names; idempotent.  Clients that are attached keep their memory
 * and see that the service is gone. */
void shmkv_segment_retire (ShmkvSegment *segment);

/* For a client.  `owner` is the user whose server is trusted; root's always
 * is.  Waits up to a second for a server that is just starting. */
ShmkvSegment *shmkv_segment_attach (const char *name, uid_t owner, GError **error);

/* Unmaps and closes; a server also retires. */
void shmkv_segment_free (ShmkvSegment *segment);

/* In the child of a fork(): closes the descriptors, whose locks would outlive
 * the parent otherwise.  The memory is not there in the child. */
void shmkv_segment_abandon (ShmkvSegment *segment);

/* Bytes of shared memory that the regions of this geometry take. */
guint64 shmkv_segment_total_size (ShmkvGeometry geometry);

/* Whether the server that made this segment lives. */
gboolean shmkv_segment_server_is_alive (const ShmkvSegment *segment);

/* A client takes and gives back lanes.  The lock excludes other clients, not
 * other users of the same segment: the caller sees to those. */
gboolean shmkv_segment_lock_lane (ShmkvSegment *segment, guint lane);
void shmkv_segment_unlock_lane (ShmkvSegment *segment, guint lane);

/* For the server: whether anyone has the lane. */
gboolean shmkv_segment_lane_is_locked (const ShmkvSegment *segment, guint lane);

/* The checked way to everything inside.  `lane` less than the number of lanes. */
ShmkvResponsesHeader *shmkv_segment_responses_header (const ShmkvSegment *segment);
ShmkvRequestsHeader *shmkv_segment_requests_header (const ShmkvSegment *segment);
ShmkvResponsesLane *shmkv_segment_responses_lane (const ShmkvSegment *segment, guint lane);
ShmkvRequestsLane *shmkv_segment_requests_lane (const ShmkvSegment *segment, guint lane);
guint64 *shmkv_segment_responses_ring (const ShmkvSegment *segment, guint lane);
guint64 *shmkv_segment_requests_ring (const ShmkvSegment *segment, guint lane);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ShmkvSegment, shmkv_segment_free)

G_END_DECLS
