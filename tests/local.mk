# SPDX-License-Identifier: LGPL-2.1-or-later

# Every test speaks TAP, runs at the same time as the others, needs no network
# and no privileges, and skips what the machine cannot do.

# GTest programs, each from tests/NAME.c: `make check' runs them with --tap.
test_programs = \
	tests/test-client-parts \
	tests/test-client-work \
	tests/test-data \
	tests/test-decode \
	tests/test-execute \
	tests/test-journal \
	tests/test-lane \
	tests/test-name \
	tests/test-notify \
	tests/test-objects \
	tests/test-operate \
	tests/test-pending \
	tests/test-plain \
	tests/test-pool \
	tests/test-reclaim \
	tests/test-record \
	tests/test-request \
	tests/test-ring \
	tests/test-segment \
	tests/test-server \
	tests/test-session \
	tests/test-session-trouble \
	tests/test-table \
	tests/test-taker \
	tests/test-wait

# Those of them that are worth a run under a thread sanitizer, where it sees
# all threads: everything in one process.  For `make check-threads'.
THREAD_TESTS = \
	tests/test-client-work \
	tests/test-data \
	tests/test-execute \
	tests/test-lane \
	tests/test-objects \
	tests/test-operate \
	tests/test-pending \
	tests/test-plain \
	tests/test-pool \
	tests/test-reclaim \
	tests/test-request \
	tests/test-ring \
	tests/test-segment \
	tests/test-server \
	tests/test-session \
	tests/test-session-trouble \
	tests/test-table \
	tests/test-taker \
	tests/test-wait

# Scripts for bash, with real processes.
test_scripts = \
	tests/bench.test \
	tests/budget.test \
	tests/cli.test \
	tests/dump.test \
	tests/errors.test \
	tests/headers.test \
	tests/install.test \
	tests/layers.test \
	tests/lifecycle.test \
	tests/lines.test \
	tests/lock.test \
	tests/manpages.test \
	tests/mixed.test \
	tests/order.test \
	tests/peers.test \
	tests/prompt.test \
	tests/routines.test \
	tests/sessions.test \
	tests/strings.test \
	tests/symbols.test \
	tests/targets.test \
	tests/watch.test

# Scripts that run after all others.
last_test_scripts = \
	tests/leaks.test

# What tests include, source or call.
EXTRA_DIST += \
	tests/bench/budget \
	tests/bench/compare \
	tests/bench/instructions \
	tests/bench/lines \
	tests/bench/memory \
	tests/bench/targets \
	tests/demo \
	tests/lib.sh \
	$(test_scripts) \
	$(last_test_scripts)

check_PROGRAMS += $(test_programs)

TESTS = \
	$(test_programs) \
	$(test_scripts) \
	$(last_test_scripts)

$(last_test_scripts:.test=.log): $(test_programs:=.log) $(test_scripts:.test=.log)

# Programs that the scripts call: they use the library as everybody does.
helper_programs = \
	tests/helpers/blocked \
	tests/helpers/flood \
	tests/helpers/forks \
	tests/helpers/mixed \
	tests/helpers/notify \
	tests/helpers/pty \
	tests/helpers/stress \
	tests/helpers/talk

check_PROGRAMS += $(helper_programs)

tests_helpers_blocked_SOURCES = tests/helpers/blocked.c tests/helpers/helper.h
tests_helpers_blocked_LDADD = $(HELPER_LIBS)
tests_helpers_flood_SOURCES = tests/helpers/flood.c tests/helpers/helper.h
tests_helpers_flood_LDADD = $(HELPER_LIBS)
tests_helpers_forks_SOURCES = tests/helpers/forks.c tests/helpers/helper.h
tests_helpers_forks_LDADD = $(HELPER_LIBS)
tests_helpers_mixed_SOURCES = tests/helpers/mixed.c tests/helpers/helper.h
tests_helpers_mixed_LDADD = $(HELPER_LIBS)
tests_helpers_notify_LDADD =
tests_helpers_pty_LDADD =
tests_helpers_stress_SOURCES = tests/helpers/stress.c tests/helpers/helper.h
tests_helpers_stress_LDADD = $(HELPER_LIBS)
tests_helpers_talk_SOURCES = tests/helpers/talk.c tests/helpers/helper.h
tests_helpers_talk_LDADD = $(HELPER_LIBS)

HELPER_LIBS = \
	src/shmkv/libshmkv.la \
	$(GLIB_LIBS)

# Programs that measure, or that count for tests; compiled with the tests.
check_PROGRAMS += \
	tests/bench/bench-table \
	tests/bench/limits \
	tests/bench/lines-count \
	tests/bench/turns

tests_bench_limits_LDADD = $(GLIB_LIBS)
tests_bench_lines_count_LDADD = $(GLIB_LIBS)

# What tests/bench/peers runs: a program for each peer.  Those that need nothing
# more are compiled with the tests; the others, where their library is there, by
# `make bench-peers' only.
tested_peers_programs = \
	tests/bench/peers-ghashtable \
	tests/bench/peers-memcached \
	tests/bench/peers-redis \
	tests/bench/peers-shmkv

check_PROGRAMS += $(tested_peers_programs)

peers_programs =
EXTRA_PROGRAMS += $(peers_programs)
CLEANFILES += $(peers_programs)

PEERS_LIBS = \
	tests/bench/libpeers.la \
	$(GLIB_LIBS)

tests_bench_peers_ghashtable_LDADD = $(PEERS_LIBS)
tests_bench_peers_memcached_LDADD = $(PEERS_LIBS)
tests_bench_peers_redis_LDADD = $(PEERS_LIBS)
tests_bench_peers_shmkv_LDADD = src/shmkv/libshmkv.la $(PEERS_LIBS)

if HAVE_LMDB
peers_programs += tests/bench/peers-lmdb
tests_bench_peers_lmdb_CFLAGS = $(AM_CFLAGS) $(LMDB_CFLAGS)
tests_bench_peers_lmdb_LDADD = $(PEERS_LIBS) $(LMDB_LIBS)
endif

if HAVE_TDB
peers_programs += tests/bench/peers-tdb
tests_bench_peers_tdb_CFLAGS = $(AM_CFLAGS) $(TDB_CFLAGS)
tests_bench_peers_tdb_LDADD = $(PEERS_LIBS) $(TDB_LIBS)
endif

if HAVE_KYOTOCABINET
peers_programs += tests/bench/peers-kyotocabinet
tests_bench_peers_kyotocabinet_CFLAGS = $(AM_CFLAGS) $(KYOTOCABINET_CFLAGS)
tests_bench_peers_kyotocabinet_LDADD = $(PEERS_LIBS) $(KYOTOCABINET_LIBS)
endif

if HAVE_URCU
peers_programs += tests/bench/peers-urcu
tests_bench_peers_urcu_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS)
tests_bench_peers_urcu_LDADD = $(PEERS_LIBS) $(URCU_LIBS)
endif

# In the tarball also where it is made without those libraries.
EXTRA_DIST += \
	tests/bench/peers \
	tests/bench/peers-kyotocabinet.c \
	tests/bench/peers-lmdb.c \
	tests/bench/peers-tdb.c \
	tests/bench/peers-urcu.c

# shmkv and what people would use instead, on the same work: tests/bench/peers
# says with which settings.
bench-peers: all
	$(MAKE) $(AM_MAKEFLAGS) $(tested_peers_programs) $(peers_programs)
	@AWK='$(AWK)' PKG_CONFIG='$(PKG_CONFIG)' BUILD=. $(BASH_PROGRAM) $(srcdir)/tests/bench/peers

clean-local:
	rm -rf bench-peers.out

.PHONY: bench-peers

check_LTLIBRARIES = \
	tests/bench/libpeers.la \
	tests/libthread-sanitizer.la \
	tests/libutil.la

tests_libthread_sanitizer_la_SOURCES = tests/thread-sanitizer.c

tests_bench_libpeers_la_SOURCES = \
	tests/bench/peers-socket.c \
	tests/bench/peers-socket.h \
	tests/bench/peers-work.c \
	tests/bench/peers-work.h

tests_bench_libpeers_la_LIBADD = -lm

tests_libutil_la_SOURCES = \
	tests/peer.c \
	tests/peer.h \
	tests/rig.c \
	tests/rig.h \
	tests/util.c \
	tests/util.h

# For programs that say nothing else, which are the tests: all of the library,
# hidden symbols too, all of the server and of the client tool but main().
AM_CPPFLAGS = \
	$(COMMON_CPPFLAGS) \
	-I$(top_srcdir)/tests \
	$(GIO_CFLAGS)

LDADD = \
	tests/libutil.la \
	src/client/libclient.la \
	src/shmkv/libshmkv-core.la \
	src/server/libserver.la \
	src/transport/libtransport.la \
	src/wire/libwire.la \
	tests/libthread-sanitizer.la \
	$(XXHASH_LIBS) \
	$(GIO_LIBS) \
	$(RT_LIBS)

# Seconds after which a test that hangs is an error.
TEST_TIMEOUT = 300
if HAVE_TIMEOUT
TEST_RUN = $(TIMEOUT) $(TEST_TIMEOUT)
endif

TAP_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh

TEST_EXTENSIONS = .test
LOG_DRIVER = $(TAP_DRIVER)
LOG_COMPILER = $(TEST_RUN) $(SHELL) -c 'exec "$$0" --tap'
TEST_LOG_DRIVER = $(TAP_DRIVER)
TEST_LOG_COMPILER = $(TEST_RUN) $(BASH_PROGRAM)

# What the user's environment says about shmkv and GLib is not about the tests.
# GLib before 2.76 has an allocator of its own, behind which sanitizers see less.
AM_TESTS_ENVIRONMENT = \
	G_SLICE=always-malloc; export G_SLICE; \
	unset SHMKV_NAME SHMKV_OWNER NOTIFY_SOCKET G_MESSAGES_DEBUG; \
	TOP_SRCDIR='$(abs_top_srcdir)'; export TOP_SRCDIR; \
	TOP_BUILDDIR='$(abs_top_builddir)'; export TOP_BUILDDIR; \
	G_TEST_SRCDIR='$(abs_top_srcdir)/tests'; export G_TEST_SRCDIR; \
	G_TEST_BUILDDIR='$(abs_top_builddir)/tests'; export G_TEST_BUILDDIR; \
	PACKAGE_VERSION='$(PACKAGE_VERSION)'; export PACKAGE_VERSION; \
	CC='$(CC)'; export CC; \
	CPPFLAGS='$(CPPFLAGS)'; export CPPFLAGS; \
	CFLAGS='$(CFLAGS)'; export CFLAGS; \
	LDFLAGS='$(LDFLAGS)'; export LDFLAGS; \
	GLIB_CFLAGS='$(GLIB_CFLAGS)'; export GLIB_CFLAGS; \
	GLIB_LIBS='$(GLIB_LIBS)'; export GLIB_LIBS; \
	NM='$(NM)'; export NM; \
	PKG_CONFIG='$(PKG_CONFIG)'; export PKG_CONFIG;

# How near the product is to what it is to reach.  TARGETS is options and rows, see
# tests/bench/targets.
bench-targets: all
	$(MAKE) $(AM_MAKEFLAGS) tests/bench/limits$(EXEEXT) tests/bench/turns$(EXEEXT) \
	  $(tested_peers_programs) $(peers_programs)
	@$(BASH_PROGRAM) $(srcdir)/tests/bench/targets $(TARGETS)

mostlyclean-local:
	rm -rf bench-targets.out

.PHONY: bench-targets

# As `make check', with the tests in THREAD_TESTS only; for CFLAGS=-fsanitize=thread.
check-threads:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(THREAD_TESTS)'

.PHONY: check-threads
