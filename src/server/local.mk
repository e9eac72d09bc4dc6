# SPDX-License-Identifier: LGPL-2.1-or-later

# The server: all but main() in a library, for the tests.

noinst_LTLIBRARIES += src/server/libserver.la

src_server_libserver_la_SOURCES = \
	src/server/bucket.c \
	src/server/bucket.h \
	src/server/commands.c \
	src/server/execute.c \
	src/server/execute.h \
	src/server/executor.c \
	src/server/executor.h \
	src/server/front.c \
	src/server/front.h \
	src/server/hash.c \
	src/server/hash.h \
	src/server/heap.c \
	src/server/heap.h \
	src/server/incoming.c \
	src/server/incoming.h \
	src/server/journal.c \
	src/server/journal.h \
	src/server/lane.c \
	src/server/lane.h \
	src/server/lanes.c \
	src/server/lanes.h \
	src/server/log-limit.c \
	src/server/log-limit.h \
	src/server/memory.h \
	src/server/notify.c \
	src/server/notify.h \
	src/server/objects.c \
	src/server/objects.h \
	src/server/operate.c \
	src/server/operate.h \
	src/server/options.c \
	src/server/options.h \
	src/server/owned.c \
	src/server/owned.h \
	src/server/plain.h \
	src/server/pool.c \
	src/server/pool.h \
	src/server/printer.c \
	src/server/printer.h \
	src/server/reclaim.c \
	src/server/reclaim.h \
	src/server/request.c \
	src/server/request.h \
	src/server/scan.c \
	src/server/server.c \
	src/server/server.h \
	src/server/stats.c \
	src/server/stats.h \
	src/server/table-internal.h \
	src/server/table.c \
	src/server/table.h \
	src/server/upkeep.c \
	src/server/waits.c \
	src/server/waits.h

src_server_libserver_la_CPPFLAGS = \
	$(COMMON_CPPFLAGS) \
	$(XXHASH_CFLAGS) \
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
	$(XXHASH_LIBS) \
	$(GLIB_LIBS) \
	$(RT_LIBS)
