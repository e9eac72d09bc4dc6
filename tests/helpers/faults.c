/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A shared object for LD_PRELOAD that makes calls of the C library fail.
 *
 *   SHMKV_FAULT=CALL:WHICH:HOW    which call of which function, and how it fails
 *   SHMKV_FAULT_COUNT=FILE        at the end, how often each function was called is
 *                                 added to FILE, as lines "CALL N"
 *
 * WHICH is a number, from 1; `all'; `odd', every other one from the first on; or a
 * number and a plus sign, that one and all behind it.  HOW is the name of an errno, or
 * `short': what reads or writes, does so with half of the bytes.
 *
 * Memory counts where the product itself asks for it: what GLib needs for itself is
 * not the product's to survive.  `syscall' is the futex calls that sleep.
 *
 * Only programs whose name begins with shmkv- are concerned, and those that
 * SHMKV_FAULT_PROGRAM names: not the shells that start them. */

#define _GNU_SOURCE
/* Its functions are inline ones in front of those that are replaced here. */
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The names below are those of the GNU C library. */
#ifndef __GLIBC__
typedef int ShmkvNothing;
#else

#define EXPORT __attribute__ ((visibility ("default")))

/* ------------------------------------------------------------------ the plan */

/* Every function, in the order of CALLS. */
#define CALLS(X) \
  X (open) X (shm_open) X (shm_unlink) X (posix_fallocate) X (fstat) X (fchmod) X (fchown) X (mmap) \
  X (munmap) X (madvise) X (fcntl) X (syscall) X (pthread_create) X (sched_getaffinity) X (read) \
  X (write) X (pread) X (pwrite) X (eventfd) X (pipe2) X (poll) X (socket) X (sendto) X (rename) \
  X (fsync) X (fdopen) X (malloc) X (calloc) X (realloc) X (aligned_alloc) X (g_try_malloc) \
  X (g_try_malloc0_n) X (g_try_realloc)

#define NUMBER(name) CALL_##name,
#define NAME(name) #name,

enum
{
  CALLS (NUMBER) N_CALLS
};

static const char *const names[] = { CALLS (NAME) };

static struct
{
  bool active;
  int call;                         /* N_CALLS: none */
  unsigned long first, step;        /* 0: only the first */
  int code;
  bool is_short;
} plan = { .call = N_CALLS };

static atomic_ulong counts[N_CALLS];

static const struct
{
  const char *name;
  int code;
} codes[] = {
  { "EACCES", EACCES }, { "EAGAIN", EAGAIN }, { "EINTR", EINTR },   { "EINVAL", EINVAL },
  { "EIO", EIO },       { "EMFILE", EMFILE }, { "ENFILE", ENFILE }, { "ENOMEM", ENOMEM },
  { "ENOSPC", ENOSPC }, { "EPERM", EPERM },   { "ENOSYS", ENOSYS }, { "ECONNREFUSED", ECONNREFUSED },
  { "ENOLCK", ENOLCK },
};

static void
die (const char *what)
{
  fprintf (stderr, "faults: %s\n", what);
  _exit (99);
}

static void
read_how (const char *how)
{
  plan.is_short = strcmp (how, "short") == 0;
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (strcmp (codes[i].name, how) == 0)
      plan.code = codes[i].code;
  if (!plan.is_short && plan.code == 0)
    die ("SHMKV_FAULT has no such errno");
}

static void
read_plan (const char *text)
{
  char call[32], which[16], how[16];
  char *end;

  if (sscanf (text, "%31[^:]:%15[^:]:%15s", call, which, how) != 3)
    die ("SHMKV_FAULT is not CALL:WHICH:HOW");
  for (plan.call = 0; plan.call < N_CALLS && strcmp (names[plan.call], call) != 0; plan.call++)
    ;
  if (plan.call == N_CALLS)
    die ("SHMKV_FAULT has no such call");
  plan.first = 1;
  if (strcmp (which, "all") == 0)
    plan.step = 1;
  else if (strcmp (which, "odd") == 0)
    plan.step = 2;
  else
    {
      plan.first = strtoul (which, &end, 10);
      plan.step = *end == '+';
    }
  read_how (how);
}

/* Before main(), but after what the C library needs for itself. */
__attribute__ ((constructor)) static void
begin (void)
{
  const char *program = getenv ("SHMKV_FAULT_PROGRAM");
  const char *text = getenv ("SHMKV_FAULT");

  if (strstr (program_invocation_short_name, program != NULL ? program : "shmkv-") == NULL)
    return;
  if (text != NULL)
    read_plan (text);
  plan.active = true;
}

__attribute__ ((destructor)) static void
end (void)
{
  const char *path = getenv ("SHMKV_FAULT_COUNT");
  FILE *file;

  if (!plan.active || path == NULL)
    return;
  plan.active = false;
  file = fopen (path, "a");
  if (file == NULL)
    die ("cannot write to SHMKV_FAULT_COUNT");
  for (int i = 0; i < N_CALLS; i++)
    if (counts[i] > 0)
      fprintf (file, "%s %lu\n", names[i], counts[i]);
  fclose (file);
}

/* Counts the call; whether it is to fail. */
static bool
is_hit (int call)
{
  unsigned long n;

  if (!plan.active)
    return false;
  n = atomic_fetch_add (&counts[call], 1) + 1;
  if (plan.call != call || n < plan.first)
    return false;
  return n == plan.first || (plan.step > 0 && (n - plan.first) % plan.step == 0);
}

/* The same for calls that fail with -1, and have no short form. */
static bool
fails (int call)
{
  if (!is_hit (call))
    return false;
  errno = plan.code;
  return true;
}

/* The same for calls that may do less than they were told. */
static bool
fails_or_shortens (int call, size_t *n)
{
  if (!is_hit (call))
    return false;
  if (plan.is_short)
    {
      *n = *n > 1 ? *n / 2 : *n;
      return false;
    }
  errno = plan.code;
  return true;
}

/* Whether it is the product that calls. */
static bool
is_ours (const void *caller)
{
  Dl_info info;
  const char *file;

  if (!plan.active || dladdr (caller, &info) == 0 || info.dli_fname == NULL)
    return false;
  file = strrchr (info.dli_fname, '/');
  return strstr (file != NULL ? file : info.dli_fname, "shmkv") != NULL;
}

/* The next function of this name; looked up once. */
#define REAL(name) \
  ({ \
    static _Atomic (void *) real; \
    if (real == NULL) \
      real = dlsym (RTLD_NEXT, #name); \
    (__typeof__ (&name)) real; \
  })

/* -------------------------------------------------------------------- files */

#define OPEN(name) \
  EXPORT int name (const char *path, int flags, ...) \
  { \
    va_list arguments; \
    mode_t mode; \
    va_start (arguments, flags); \
    mode = va_arg (arguments, mode_t); \
    va_end (arguments); \
    return fails (CALL_open) ? -1 : REAL (name) (path, flags, mode); \
  }

OPEN (open)
OPEN (open64)

/* Of what GLib opens, too. */
#define FOPEN(name) \
  EXPORT FILE *name (const char *path, const char *mode) \
  { \
    return fails (CALL_open) ? NULL : REAL (name) (path, mode); \
  }

FOPEN (fopen64)

#define PLAIN(type, failure, name, parameters, ...) \
  EXPORT type name parameters \
  { \
    return fails (CALL_##name) ? (failure) : REAL (name) (__VA_ARGS__); \
  }

#define PLAIN_64(type, failure, name, parameters, ...) \
  PLAIN (type, failure, name, parameters, __VA_ARGS__) \
  EXPORT type name##64 parameters \
  { \
    return fails (CALL_##name) ? (failure) : REAL (name##64) (__VA_ARGS__); \
  }

PLAIN (int, -1, shm_open, (const char *name, int flags, mode_t mode), name, flags, mode)
PLAIN (int, -1, shm_unlink, (const char *name), name)
PLAIN (int, -1, fstat, (int fd, struct stat *status), fd, status)
PLAIN (int, -1, fchmod, (int fd, mode_t mode), fd, mode)
PLAIN (int, -1, fchown, (int fd, uid_t user, gid_t group), fd, user, group)
PLAIN_64 (void *, MAP_FAILED, mmap,
          (void *base, size_t n, int protection, int flags, int fd, off_t offset), base, n,
          protection, flags, fd, offset)
PLAIN (int, -1, munmap, (void *base, size_t n), base, n)
PLAIN (int, -1, madvise, (void *base, size_t n, int advice), base, n, advice)
PLAIN (int, -1, rename, (const char *from, const char *to), from, to)
PLAIN (int, -1, fsync, (int fd), fd)
PLAIN (FILE *, NULL, fdopen, (int fd, const char *mode), fd, mode)
PLAIN (int, -1, eventfd, (unsigned initial, int flags), initial, flags)
PLAIN (int, -1, pipe2, (int fds[2], int flags), fds, flags)
PLAIN (int, -1, poll, (struct pollfd *fds, nfds_t n, int timeout), fds, n, timeout)
PLAIN (int, -1, socket, (int domain, int type, int protocol), domain, type, protocol)
PLAIN (int, -1, sched_getaffinity, (pid_t pid, size_t size, cpu_set_t *set), pid, size, set)

#define FALLOCATE(name, type) \
  EXPORT int name (int fd, type offset, type n) \
  { \
    return is_hit (CALL_posix_fallocate) ? plan.code : REAL (name) (fd, offset, n); \
  }

FALLOCATE (posix_fallocate, off_t)
FALLOCATE (posix_fallocate64, off64_t)

#define FCNTL(name) \
  EXPORT int name (int fd, int order, ...) \
  { \
    va_list arguments; \
    void *argument; \
    va_start (arguments, order); \
    argument = va_arg (arguments, void *); \
    va_end (arguments); \
    return fails (CALL_fcntl) ? -1 : REAL (name) (fd, order, argument); \
  }

FCNTL (fcntl)
FCNTL (fcntl64)

#define TRANSFER(type, name, parameters, ...) \
  EXPORT type name parameters \
  { \
    return !is_eventfd (fd) && fails_or_shortens (CALL_##name, &n) ? -1 \
                                                                   : REAL (name) (__VA_ARGS__); \
  }

/* What wakes a loop takes eight bytes, or none: no fault that there is. */
static bool
is_eventfd (int fd)
{
  struct stat status;

  return plan.active && REAL (fstat) (fd, &status) == 0 && (status.st_mode & S_IFMT) == 0;
}

TRANSFER (ssize_t, read, (int fd, void *bytes, size_t n), fd, bytes, n)
TRANSFER (ssize_t, write, (int fd, const void *bytes, size_t n), fd, bytes, n)
TRANSFER (ssize_t, pread, (int fd, void *bytes, size_t n, off_t offset), fd, bytes, n, offset)
TRANSFER (ssize_t, pwrite, (int fd, const void *bytes, size_t n, off_t offset), fd, bytes, n, offset)
TRANSFER (ssize_t, sendto,
          (int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to, socklen_t length),
          fd, bytes, n, flags, to, length)

EXPORT ssize_t
pread64 (int fd, void *bytes, size_t n, off64_t offset)
{
  return fails_or_shortens (CALL_pread, &n) ? -1 : REAL (pread64) (fd, bytes, n, offset);
}

EXPORT ssize_t
pwrite64 (int fd, const void *bytes, size_t n, off64_t offset)
{
  return fails_or_shortens (CALL_pwrite, &n) ? -1 : REAL (pwrite64) (fd, bytes, n, offset);
}

/* ------------------------------------------------------------------ threads */

EXPORT long
syscall (long number, ...)
{
  va_list arguments;
  long a[6];

  va_start (arguments, number);
  for (int i = 0; i < 6; i++)
    a[i] = va_arg (arguments, long);
  va_end (arguments);
  if (number == SYS_futex && a[1] == FUTEX_WAIT && fails (CALL_syscall))
    return -1;
  return REAL (syscall) (number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

EXPORT int
pthread_create (pthread_t *thread, const pthread_attr_t *attributes, void *(*run) (void *),
                void *data)
{
  return is_hit (CALL_pthread_create) ? plan.code
                                      : REAL (pthread_create) (thread, attributes, run, data);
}

/* ------------------------------------------------------------------- memory */

/* What dlsym() needs on the way to the real calloc(). */
extern void *__libc_malloc (size_t n);
extern void *__libc_calloc (size_t n, size_t size);
extern void *__libc_realloc (void *memory, size_t n);

#define CALLER __builtin_return_address (0)

EXPORT void *
malloc (size_t n)
{
  return is_ours (CALLER) && fails (CALL_malloc) ? NULL : __libc_malloc (n);
}

EXPORT void *
calloc (size_t n, size_t size)
{
  return is_ours (CALLER) && fails (CALL_calloc) ? NULL : __libc_calloc (n, size);
}

EXPORT void *
realloc (void *memory, size_t n)
{
  return is_ours (CALLER) && fails (CALL_realloc) ? NULL : __libc_realloc (memory, n);
}

EXPORT void *
aligned_alloc (size_t alignment, size_t n)
{
  return is_ours (CALLER) && fails (CALL_aligned_alloc) ? NULL
                                                        : REAL (aligned_alloc) (alignment, n);
}

/* GLib's, which return NULL where there is no memory. */
extern void *g_try_malloc (size_t n);
extern void *g_try_malloc0_n (size_t n, size_t size);
extern void *g_try_realloc (void *memory, size_t n);

PLAIN (void *, NULL, g_try_malloc, (size_t n), n)
PLAIN (void *, NULL, g_try_malloc0_n, (size_t n, size_t size), n, size)
PLAIN (void *, NULL, g_try_realloc, (void *memory, size_t n), memory, n)

#endif
