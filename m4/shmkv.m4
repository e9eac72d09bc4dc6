dnl SPDX-License-Identifier: LGPL-2.1-or-later

dnl SHMKV_MISSING(WHAT, DEBIAN-PACKAGE)
dnl Ends configure: WHAT is not there.
AC_DEFUN([SHMKV_MISSING], [AC_MSG_ERROR([$1 is missing.
  Debian and Ubuntu have it in the package $2.
  `./autogen.sh --install-deps' installs all that shmkv needs, or says how.])])

dnl SHMKV_NEEDS_LINUX(WHAT)
dnl Ends configure: the C library has no WHAT.
AC_DEFUN([SHMKV_NEEDS_LINUX], [AC_MSG_ERROR([the C library has no $1.
  shmkv runs on Linux only, from version 3.15 on, and needs the headers of its
  C library: on Debian and Ubuntu, the package libc6-dev.
  `./autogen.sh --install-deps' installs all that shmkv needs, or says how.])])

dnl SHMKV_PEER(VARIABLE, MODULES)
dnl A library to measure ours against: tells the conditional HAVE_VARIABLE.  It
dnl is no error where it is missing: `make bench-peers' says so.
AC_DEFUN([SHMKV_PEER], [
  PKG_CHECK_MODULES([$1], [$2], [shmkv_have_peer=yes], [shmkv_have_peer=no])
  AM_CONDITIONAL([HAVE_$1], [test "x$shmkv_have_peer" = xyes])
])

dnl SHMKV_C11_ATOMICS
dnl Ends configure where the compiler has no C11, or where atomics of 64 bits
dnl are not lock-free: a lock would be private to each process.
AC_DEFUN([SHMKV_C11_ATOMICS], [
  AC_CACHE_CHECK([for C11 with lock-free atomics], [shmkv_cv_c11_atomics],
    [AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#if ATOMIC_INT_LOCK_FREE != 2 || ATOMIC_LLONG_LOCK_FREE != 2
#error atomics take locks
#endif
_Static_assert (sizeof (_Atomic uint64_t) == 8, "size");
static struct { alignas (128) _Atomic uint64_t word; } line;
]], [[
atomic_store_explicit (&line.word, 1, memory_order_release);
atomic_thread_fence (memory_order_seq_cst);
return atomic_load_explicit (&line.word, memory_order_acquire) != 1;
]])], [shmkv_cv_c11_atomics=yes], [shmkv_cv_c11_atomics=no])])
  AS_IF([test "x$shmkv_cv_c11_atomics" != xyes], [AC_MSG_ERROR([
  $CC cannot compile C11 with lock-free atomics of 32 and 64 bits.
  Any gcc from version 4.9 and clang from version 3.6 on can, on most machines:
  name one with ./configure CC=...  On Debian and Ubuntu: the package gcc.])])
])

dnl SHMKV_CHECK_CFLAGS(VARIABLE, FLAGS)
dnl Sets VARIABLE to those FLAGS that the compiler knows, and substitutes it.
AC_DEFUN([SHMKV_CHECK_CFLAGS], [
  AC_SUBST([$1])
  $1=
  shmkv_CFLAGS_before=$CFLAGS
  for shmkv_flag in m4_normalize([$2]); do
    dnl gcc accepts any -Wno-..., clang any -W..., unless told otherwise.
    AS_CASE([$shmkv_flag],
      [-Wno-*], [shmkv_positive=-W${shmkv_flag@%:@-Wno-}],
      [shmkv_positive=$shmkv_flag])
    AS_VAR_PUSHDEF([shmkv_cache], [shmkv_cv_cflag_$shmkv_flag])
    AC_CACHE_CHECK([whether $CC accepts $shmkv_flag], [shmkv_cache], [
      CFLAGS="$shmkv_CFLAGS_before -Werror $shmkv_positive"
      AC_COMPILE_IFELSE([AC_LANG_SOURCE([[extern int shmkv; int shmkv;]])],
        [AS_VAR_SET([shmkv_cache], [yes])], [AS_VAR_SET([shmkv_cache], [no])])
      CFLAGS=$shmkv_CFLAGS_before
    ])
    AS_VAR_IF([shmkv_cache], [yes], [AS_VAR_APPEND([$1], [" $shmkv_flag"])])
    AS_VAR_POPDEF([shmkv_cache])
  done
])

dnl SHMKV_LD_VERSION_SCRIPT
dnl Tells the conditional HAVE_LD_VERSION_SCRIPT.
AC_DEFUN([SHMKV_LD_VERSION_SCRIPT], [
  AC_CACHE_CHECK([whether the linker takes version scripts], [shmkv_cv_ld_version_script], [
    shmkv_LDFLAGS_before=$LDFLAGS
    LDFLAGS="$LDFLAGS -shared -fPIC -Wl,--version-script=conftest.map"
    echo 'TEST { global: shmkv; local: *; };' >conftest.map
    AC_LINK_IFELSE([AC_LANG_SOURCE([[int shmkv (void); int shmkv (void) { return 0; }]])],
      [shmkv_cv_ld_version_script=yes], [shmkv_cv_ld_version_script=no])
    rm -f conftest.map
    LDFLAGS=$shmkv_LDFLAGS_before
  ])
  AM_CONDITIONAL([HAVE_LD_VERSION_SCRIPT], [test "x$shmkv_cv_ld_version_script" = xyes])
])

dnl SHMKV_SYSTEMD_UNITS(VARIABLE, MANAGER, DIRECTORY)
dnl Where units go, or nothing.  What pkg-config says is for what is installed in
dnl /usr: others may not be able to write there.  systemd also looks in /usr/local.
AC_DEFUN([SHMKV_SYSTEMD_UNITS], [
  AC_ARG_WITH([$1],
    [AS_HELP_STRING([--with-$1=DIR],
      [where the unit of $2 goes, or no @<:@what pkg-config says if PREFIX is /usr, otherwise PREFIX/lib/systemd/$3@:>@])],
    [], [with_$1=yes])
  AS_CASE([$with_$1],
    [no], [$1=],
    [yes | check | ''],
      [AS_IF([test "x$prefix" = x/usr], [$1=`$PKG_CONFIG --variable=$1 systemd 2>/dev/null`], [$1=])
       AS_IF([test -z "$$1"], [$1='${prefix}/lib/systemd/$3'])],
    [$1=$with_$1])
  AC_SUBST([$1])
])
