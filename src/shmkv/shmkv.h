/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libshmkv: talk to a shmkv server on the same machine through shared memory.
 *
 * Include only this header. */

#pragma once

#include <shmkv/shmkv-types.h>
#include <shmkv/shmkv-error.h>
#include <shmkv/shmkv-pairs.h>
#include <shmkv/shmkv-request.h>
#include <shmkv/shmkv-client.h>
#include <shmkv/shmkv-session.h>
#include <shmkv/shmkv-scan.h>
#include <shmkv/shmkv-watch.h>
#include <shmkv/shmkv-version.h>
