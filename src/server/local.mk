# SPDX-License-Identifier: LGPL-2.1-or-later

# The server: all but main() in a library, for the tests.

noinst_LTLIBRARIES += src/server/libserver.la

src_server_libserver_la_SOURCES = \
	src/server/execute.c \
	src/server/execute.h \
	src/server/lane.c \
	src/server/lane.h \
	src/server/lanes.c \
	src/server/lanes.h \
	src/server/notify.c \
	src/server/notify.h \
	src/server/options.c \
	src/server/options.h \
	src/server/pool.c \
	src/server/pool.h \
	src/server/printer.c \
	src/server/printer.h \
	src/server/server.c \
	src/server/server.h \
	src/server/stats.c \
	src/server/stats.h \
	src/server/table-internal.h \
	src/server/table.c \
	src/server/table.h

src_server_libserver_la_CPPFLAGS = \
	$(COMMON_CPPFLAGS) \
	-DG_LOG_DOMAIN='"shmkv-server"' \
	-DG_LOG_USE_STRUCTURED

bin_PROGRAMS += shmkv-server

shmkv_server_SOURCES = \
	src/server/main.c

shmkv_server_CPPFLAGS = $(src_server_libserver_la_CPPFLAGS)

shmkv_server_LDADD = \
	src/server/libserver.la \
	src/transport/libtransport.la \
	src/wire/libwire.la \
	$(GLIB_LIBS) \
	$(RT_LIBS)
