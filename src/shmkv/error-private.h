/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <shmkv/shmkv.h>

G_BEGIN_DECLS

/* The transport's error in the words of the library; takes `error`. */
void shmkv_error_take_segment (GError **dest, GError *error);

void shmkv_error_set_gone (GError **error, const char *name);
void shmkv_error_set_forked (GError **error);
void shmkv_error_set_protocol (GError **error, const char *name, const char *what);

/* The error for a blocking call that ended with a failure status. */
void shmkv_error_set_status (GError **error, ShmkvOp op, ShmkvStatus status);

G_END_DECLS
