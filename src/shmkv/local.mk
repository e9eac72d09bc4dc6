# SPDX-License-Identifier: LGPL-2.1-or-later

# The public library.

shmkvincludedir = $(includedir)/shmkv

shmkvinclude_HEADERS = \
	src/shmkv/shmkv-client.h \
	src/shmkv/shmkv-error.h \
	src/shmkv/shmkv-pairs.h \
	src/shmkv/shmkv-request.h \
	src/shmkv/shmkv-scan.h \
	src/shmkv/shmkv-session.h \
	src/shmkv/shmkv-types.h \
	src/shmkv/shmkv-watch.h \
	src/shmkv/shmkv.h

nodist_shmkvinclude_HEADERS = \
	src/shmkv/shmkv-version.h

# All of the library's code; for tests that look behind its exported symbols.
noinst_LTLIBRARIES += src/shmkv/libshmkv-core.la

src_shmkv_libshmkv_core_la_SOURCES = \
	src/shmkv/call.c \
	src/shmkv/claim.c \
	src/shmkv/client-private.h \
	src/shmkv/client.c \
	src/shmkv/error-private.h \
	src/shmkv/error.c \
	src/shmkv/fork-private.h \
	src/shmkv/fork.c \
	src/shmkv/pairs-private.h \
	src/shmkv/pairs.c \
	src/shmkv/pending.c \
	src/shmkv/pending.h \
	src/shmkv/scan.c \
	src/shmkv/session-private.h \
	src/shmkv/session.c \
	src/shmkv/submit.c \
	src/shmkv/taker.c \
	src/shmkv/taker.h \
	src/shmkv/types.c \
	src/shmkv/wait.c \
	src/shmkv/watch.c

src_shmkv_libshmkv_core_la_CPPFLAGS = \
	$(COMMON_CPPFLAGS) \
	-DG_LOG_DOMAIN='"shmkv"' \
	-DG_LOG_USE_STRUCTURED

lib_LTLIBRARIES += src/shmkv/libshmkv.la

src_shmkv_libshmkv_la_SOURCES =

src_shmkv_libshmkv_la_LIBADD = \
	src/shmkv/libshmkv-core.la \
	src/transport/libtransport.la \
	src/wire/libwire.la \
	$(GLIB_LIBS) \
	$(RT_LIBS)

# CURRENT:REVISION:AGE, changed once per release and not before:
#   the code changed at all         REVISION + 1
#   something was added             CURRENT + 1, REVISION = 0, AGE + 1
#   something was removed, or means CURRENT + 1, REVISION = 0, AGE = 0, and a
#   something else now              new SONAME: avoid it
# It is not the package's version.
src_shmkv_libshmkv_la_LDFLAGS = \
	-version-info 0:0:0 \
	-no-undefined \
	$(AM_LDFLAGS)

EXTRA_DIST += src/shmkv/libshmkv.map

if HAVE_LD_VERSION_SCRIPT
src_shmkv_libshmkv_la_LDFLAGS += -Wl,--version-script=$(srcdir)/src/shmkv/libshmkv.map
EXTRA_src_shmkv_libshmkv_la_DEPENDENCIES = src/shmkv/libshmkv.map
endif
