# SPDX-License-Identifier: LGPL-2.1-or-later

# The wire format: layout of the regions, encoding of the records.

noinst_LTLIBRARIES += src/wire/libwire.la

src_wire_libwire_la_SOURCES = \
	src/wire/layout.h \
	src/wire/record.c \
	src/wire/record.h

src_wire_libwire_la_CPPFLAGS = $(COMMON_CPPFLAGS)
