/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the two sides of a segment share. */

#pragma once

#include "transport/segment.h"

G_BEGIN_DECLS

void shmkv_segment_set_error (GError **error, ShmkvSegmentError code, const char *format, ...)
  G_GNUC_PRINTF (3, 4);

/* What a failed call on a shared memory object says about errno. */
void shmkv_segment_set_system_error (GError **error, const char *call, const char *object);

gboolean shmkv_segment_check_name (const char *name, GError **error);

/* A segment of this name with nothing open. */
ShmkvSegment *shmkv_segment_new (const char *name);

gsize shmkv_segment_requests_size (ShmkvGeometry geometry);
gsize shmkv_segment_responses_size (ShmkvGeometry geometry);

/* Opens what is under a name, whatever it is, without being blocked or led
 * elsewhere by it.  A descriptor, or -1 and errno. */
int shmkv_region_open (const char *object, int flags);

/* Whether that errno says that it is no regular file. */
gboolean shmkv_region_is_no_file (int code);

gboolean shmkv_region_map (ShmkvRegion *region, gsize size, int protection, const char *object,
                           GError **error);
void shmkv_region_close (ShmkvRegion *region);

/* One byte of a file as a lock; see segment.h. */
gboolean shmkv_region_try_lock (int fd, guint offset);
void shmkv_region_unlock (int fd, guint offset);

/* The locks of whoever clears a responses region: that its owner is dead and nobody
 * takes it for himself meanwhile, and that nobody else clears it. */
gboolean shmkv_region_try_lock_dead (int fd);

/* What somebody else holds: F_UNLCK, F_WRLCK, or F_RDLCK, which is
 * nobody's who uses the region as he should. */
short shmkv_region_lock_type (int fd, guint offset);

/* Whether somebody else holds it, and does not share it. */
gboolean shmkv_region_is_locked (int fd, guint offset);

G_END_DECLS
