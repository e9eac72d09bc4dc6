/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names of servers, and of the shared memory objects that belong to one. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define SHMKV_NAME_MAX_LENGTH 64
#define SHMKV_NAME_FALLBACK "default"
#define SHMKV_NAME_VARIABLE "SHMKV_NAME"

/* The rule, in words for an error message. */
#define SHMKV_NAME_RULE \
  "1 to 64 letters, digits, '-', '_' and '.', not beginning with '.'"

gboolean shmkv_name_is_valid (const char *name);

/* `name`, or what the environment says if it is not empty, or the fallback.  Transfer none; valid
 * until the environment changes.  Not checked. */
const char *shmkv_name_resolve (const char *name);

/* The names for shm_open(3).  Transfer full. */
char *shmkv_name_requests (const char *name);
char *shmkv_name_responses (const char *name);

G_END_DECLS
