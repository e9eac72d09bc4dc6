/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pair of shared memory regions behind a server's name: creating, finding,
 * mapping, checking and removing them, and the locks that tell who is alive.
 *
 * Who is alive.  Open-file-description locks (F_OFD_SETLK): the kernel drops
 * them when the last descriptor of the open file goes, also by SIGKILL, also
 * before a zombie is reaped, and they mean the same in every pid namespace.
 *
 *   responses region, byte 0       held by the server for life; shared by whoever
 *                                  clears the region of a dead one
 *   responses region, byte 1       held by whoever clears it
 *   requests region, byte i        held by the session that has lane i
 *
 * Whose name it is.  A name belongs to whoever holds the life lock of the
 * responses region that is linked under it.  A starting server creates that
 * file (O_EXCL) or opens what is there, and tries the lock.  Where it fails, a
 * server lives or is just starting: refused.  Where the lock of a file that it
 * did not create is not taken, the owner is dead: it unlinks the file, holding
 * locks that keep others from taking or clearing it, and begins again.  The
 * first of them is a shared one, so that no client takes it for the owner's.  After locking it looks whether the file
 * is still linked, because somebody else may have done so in between.  Nobody
 * unlinks a region without holding its lock, so among any number of starters
 * exactly one wins; and everything else under the name (the requests region)
 * is only ever touched by the winner.  A region is never used twice.  A server that
 * replaces its own regions renames the new one, which it has locked, over the old.
 *
 * A region is visible before it is ready; `magic` is stored last. */

#pragma once

#include "transport/rescue.h"
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
  ShmkvRescue *rescue;              /* while it is mapped; see rescue.h */
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
  int watches[2];                   /* of a server, see shmkv_segment_watch(); 0 or -1: none */
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
 * want of memory.  Clients can attach after shmkv_segment_publish().  The name may be
 * that of `old`, or NULL, a segment of ours: then nobody else can take it meanwhile,
 * and `old` has it no more. */
ShmkvSegment *shmkv_segment_create (const ShmkvSegmentOptions *options, const ShmkvSegment *old,
                                    GError **error);
void shmkv_segment_publish (ShmkvSegment *segment);

/* What somebody else has done to a region of ours, as a verb for people such as
 * "removed"; NULL: nothing.  One that was truncated is made as long again, full of
 * zeros, so that fewer meet a signal in it; it is told only once.  Cheap enough for a
 * few times a second. */
const char *shmkv_segment_find_damage (const ShmkvSegment *segment);

/* Has the kernel tell through `inotify`, of inotify_init(), when it is time to look
 * for damage, as far as it can. */
void shmkv_segment_watch (ShmkvSegment *segment, int inotify);

/* No more: whoever still has them open could go on touching them. */
void shmkv_segment_unwatch (ShmkvSegment *segment, int inotify);

/* Tells clients that nothing in here will ever change again.  Who sleeps is to be
 * woken after that. */
void shmkv_segment_say_gone (ShmkvSegment *segment);

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

/* Whether memory of either region was lost: what was read out of it just now may be
 * anything. */
static inline gboolean
shmkv_segment_is_lost (const ShmkvSegment *segment)
{
  return shmkv_rescue_is_lost (segment->requests.rescue)
         || shmkv_rescue_is_lost (segment->responses.rescue);
}

/* Whether the server that made this segment lives, and we still share memory with
 * it. */
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
