/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Places where a process may be made to die, for tests.
 *
 * In what is installed they are nothing at all.  The programs in tests/crash are
 * compiled from the same sources with -DSHMKV_CRASH_POINTS: there, the process
 * kills itself by SIGKILL where the environment variable SHMKV_CRASH says so,
 * with the name of a point and how often it is to be passed before, as in
 * SHMKV_CRASH=claim-locked:3 for the third time.  `any' counts all points.  With
 * `:stop' behind that, it stops itself by SIGSTOP and can be continued.
 *
 * Each point has a name of its own.  tests/kill.test finds them in the sources,
 * and fails where one is never reached. */

#pragma once

#ifdef SHMKV_CRASH_POINTS

void shmkv_crash_point (const char *name);

#define SHMKV_CRASH_POINT(name) shmkv_crash_point (name)

#else

#define SHMKV_CRASH_POINT(name) ((void) 0)

#endif
