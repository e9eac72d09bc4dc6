# SPDX-License-Identifier: LGPL-2.1-or-later

# What library and server share to reach each other's memory: rings, waiting
# and waking, the segments.

noinst_LTLIBRARIES += src/transport/libtransport.la

src_transport_libtransport_la_SOURCES = \
	src/transport/cpus.c \
	src/transport/cpus.h \
	src/transport/crash.h \
	src/transport/name.c \
	src/transport/name.h \
	src/transport/rescue.c \
	src/transport/rescue.h \
	src/transport/ring.c \
	src/transport/ring.h \
	src/transport/segment-client.c \
	src/transport/segment-private.h \
	src/transport/segment-server.c \
	src/transport/segment.c \
	src/transport/segment.h \
	src/transport/wait.c \
	src/transport/wait.h

src_transport_libtransport_la_CPPFLAGS = \
	$(COMMON_CPPFLAGS) \
	-DG_LOG_DOMAIN='"shmkv"' \
	-DG_LOG_USE_STRUCTURED
