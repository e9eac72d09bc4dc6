# SPDX-License-Identifier: LGPL-2.1-or-later

# Fuzz targets: one file each, with LLVMFuzzerTestOneInput().  `make check' runs
# them on their corpora and on random changes of those, whatever the compiler;
# `make fuzz' and `make fuzz-afl' compile everything for an engine.

fuzz_targets = args attach batch client dump lanes

# What looks at shared memory, or asks the kernel about it, is compiled for them
# with tests/fuzz/fresh.h; of the rest, they take what the other tests take.
fuzz_fresh_sources = \
	src/server/execute.c \
	src/server/incoming.c \
	src/server/lane.c \
	src/server/lanes.c \
	src/server/operate.c \
	src/shmkv/call.c \
	src/shmkv/claim.c \
	src/shmkv/client.c \
	src/shmkv/pairs.c \
	src/shmkv/scan.c \
	src/shmkv/session.c \
	src/shmkv/submit.c \
	src/shmkv/taker.c \
	src/shmkv/wait.c \
	src/shmkv/watch.c \
	src/transport/ring.c \
	src/transport/segment-client.c

check_LTLIBRARIES += \
	tests/fuzz/libfresh.la \
	tests/fuzz/libreplay.la

tests_fuzz_libfresh_la_SOURCES = \
	$(fuzz_fresh_sources) \
	tests/fuzz/fresh.h

tests_fuzz_libfresh_la_CPPFLAGS = \
	-include $(srcdir)/tests/fuzz/fresh.h \
	$(AM_CPPFLAGS) \
	-DG_LOG_DOMAIN='"shmkv"' \
	-DG_LOG_USE_STRUCTURED

tests_fuzz_libreplay_la_SOURCES = \
	tests/fuzz/fuzz.c \
	tests/fuzz/fuzz.h \
	tests/fuzz/replay.c

check_PROGRAMS += \
	tests/fuzz/fuzz-args \
	tests/fuzz/fuzz-attach \
	tests/fuzz/fuzz-batch \
	tests/fuzz/fuzz-broken \
	tests/fuzz/fuzz-client \
	tests/fuzz/fuzz-dump \
	tests/fuzz/fuzz-lanes

# First, as what it has is not taken from where it is linked otherwise.
FUZZ_LDADD = \
	tests/fuzz/libfresh.la \
	tests/fuzz/libreplay.la \
	$(LDADD)

tests_fuzz_fuzz_args_SOURCES = tests/fuzz/args.c
tests_fuzz_fuzz_args_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_attach_SOURCES = tests/fuzz/attach.c
tests_fuzz_fuzz_attach_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_batch_SOURCES = tests/fuzz/batch.c
tests_fuzz_fuzz_batch_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_broken_SOURCES = tests/fuzz/broken.c
tests_fuzz_fuzz_broken_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_client_SOURCES = tests/fuzz/client.c
tests_fuzz_fuzz_client_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_dump_SOURCES = tests/fuzz/dump.c
tests_fuzz_fuzz_dump_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_lanes_SOURCES = tests/fuzz/lanes.c
tests_fuzz_fuzz_lanes_LDADD = $(FUZZ_LDADD)

EXTRA_DIST += \
	tests/fuzz/args.dict \
	tests/fuzz/batch.dict \
	tests/fuzz/corpus \
	tests/fuzz/dump.dict \
	tests/fuzz/engine.mk \
	tests/fuzz/engine.test

# For an engine: FUZZ_ENGINE is libfuzzer or afl.
FUZZ_ENGINE = libfuzzer

fuzzers:
	@$(MAKE) $(AM_MAKEFLAGS) -f $(srcdir)/tests/fuzz/engine.mk \
	  ENGINE='$(FUZZ_ENGINE)' SOURCE='$(srcdir)' \
	  TARGETS='$(fuzz_targets)' FRESH='$(fuzz_fresh_sources)' \
	  COMPILE_FLAGS='$(DEFAULT_INCLUDES) $(AM_CPPFLAGS) $(XXHASH_CFLAGS) $(VISIBILITY_CFLAGS)' \
	  LIBS='$(XXHASH_LIBS) $(GIO_LIBS) $(RT_LIBS) -lm'

# For FUZZ_SECONDS each, of FUZZ_TARGETS; see tests/fuzz/engine.test.
fuzz: fuzzers
	@$(AM_TESTS_ENVIRONMENT) \
	  FUZZ_ENGINE='$(FUZZ_ENGINE)' $(BASH_PROGRAM) $(srcdir)/tests/fuzz/engine.test

fuzz-afl:
	@$(MAKE) $(AM_MAKEFLAGS) fuzz FUZZ_ENGINE=afl

.PHONY: fuzz fuzz-afl fuzzers
