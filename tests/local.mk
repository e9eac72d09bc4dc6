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
	tests/test-history \
	tests/test-journal \
	tests/test-lane \
	tests/test-name \
	tests/test-neighbours \
	tests/test-notify \
	tests/test-objects \
	tests/test-operate \
	tests/test-pending \
	tests/test-plain \
	tests/test-pool \
	tests/test-reclaim \
	tests/test-record \
	tests/test-regions \
	tests/test-request \
	tests/test-rescue \
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
	tests/test-regions \
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
	tests/access.test \
	tests/bench.test \
	tests/budget.test \
	tests/cli.test \
	tests/crash.test \
	tests/dump.test \
	tests/errors.test \
	tests/faults.test \
	tests/fuzz.test \
	tests/hazards.test \
	tests/headers.test \
	tests/history.test \
	tests/install.test \
	tests/kill.test \
	tests/layers.test \
	tests/lifecycle.test \
	tests/lines.test \
	tests/lock.test \
	tests/manpages.test \
	tests/mixed.test \
	tests/model.test \
	tests/neighbours.test \
	tests/order.test \
	tests/peers.test \
	tests/promises.test \
	tests/prompt.test \
	tests/regions.test \
	tests/routines.test \
	tests/sessions.test \
	tests/strings.test \
	tests/symbols.test \
	tests/systemd.test \
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
	tests/promises \
	tests/model/doorbell.pml \
	tests/model/lane.pml \
	tests/model/memory.h \
	tests/model/nap.pml \
	tests/model/ring.pml \
	tests/model/stall.pml \
	tests/model/workers.pml \
	tests/soak \
	tests/neighbours \
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
	tests/helpers/heirs \
	tests/helpers/mixed \
	tests/helpers/neighbour \
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
tests_helpers_heirs_SOURCES = tests/helpers/heirs.c tests/helpers/helper.h
tests_helpers_heirs_LDADD = $(HELPER_LIBS)
tests_helpers_mixed_SOURCES = tests/helpers/mixed.c tests/helpers/helper.h
tests_helpers_mixed_LDADD = $(HELPER_LIBS)
tests_helpers_neighbour_SOURCES = tests/helpers/neighbour.c tests/helpers/helper.h
tests_helpers_notify_LDADD =
tests_helpers_pty_LDADD =
tests_helpers_stress_SOURCES = tests/helpers/stress.c tests/helpers/helper.h
tests_helpers_stress_LDADD = $(HELPER_LIBS)
tests_helpers_talk_SOURCES = tests/helpers/talk.c tests/helpers/helper.h
tests_helpers_talk_LDADD = $(HELPER_LIBS)

# What records histories, and what checks them.
check_PROGRAMS += \
	tests/history/check \
	tests/history/record

tests_test_history_LDADD = tests/libhistory.la $(LDADD)
tests_history_check_SOURCES = tests/history/check-main.c
tests_history_check_LDADD = tests/libhistory.la $(HELPER_LIBS)
tests_history_record_SOURCES = \
	tests/helpers/helper.h \
	tests/history/history.h \
	tests/history/record.c
tests_history_record_LDADD = $(HELPER_LIBS)

HELPER_LIBS = \
	src/shmkv/libshmkv.la \
	$(GLIB_LIBS)

# Clients and servers that can be made to die at crash points, see
# src/transport/crash.h: what has such points is compiled again for them, and
# comes before the libraries that have it without.
crash_programs = \
	tests/crash/crash-client \
	tests/crash/crash-loop \
	tests/crash/crash-server

check_PROGRAMS += $(crash_programs)

CRASH_CPPFLAGS = \
	$(AM_CPPFLAGS) \
	$(XXHASH_CFLAGS) \
	-DG_LOG_USE_STRUCTURED \
	-DSHMKV_CRASH_POINTS

tests_crash_crash_server_SOURCES = \
	src/server/execute.c \
	src/server/front.c \
	src/server/lane.c \
	src/server/lanes.c \
	src/server/main.c \
	src/server/owned.c \
	src/server/pool.c \
	src/server/server.c \
	src/transport/crash.h \
	src/transport/segment-server.c \
	tests/crash/crash.c

tests_crash_crash_server_CPPFLAGS = \
	$(CRASH_CPPFLAGS) \
	-DG_LOG_DOMAIN='"shmkv-server"'

tests_crash_crash_server_LDADD = $(shmkv_server_LDADD)

tests_crash_crash_client_SOURCES = \
	src/shmkv/claim.c \
	src/shmkv/client.c \
	src/shmkv/session.c \
	src/shmkv/submit.c \
	src/shmkv/taker.c \
	src/shmkv/wait.c \
	src/transport/crash.h \
	src/transport/segment-client.c \
	tests/crash/crash-client.c \
	tests/crash/crash.c \
	tests/crash/play.c \
	tests/crash/play.h \
	tests/crash/roles.c \
	tests/crash/roles.h

tests_crash_crash_client_CPPFLAGS = \
	$(CRASH_CPPFLAGS) \
	-DG_LOG_DOMAIN='"shmkv"'

tests_crash_crash_loop_SOURCES = \
	tests/crash/bystander.c \
	tests/crash/bystander.h \
	tests/crash/crash-loop.c \
	tests/crash/killer.c \
	tests/crash/killer.h \
	tests/crash/play.c \
	tests/crash/play.h \
	tests/crash/points.c \
	tests/crash/points.h \
	tests/crash/process.c \
	tests/crash/process.h \
	tests/crash/roles.c \
	tests/crash/roles.h \
	tests/crash/soak.c \
	tests/crash/soak.h

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
	rm -rf bench-peers.out fuzz.out

.PHONY: bench-peers

check_LTLIBRARIES = \
	tests/bench/libpeers.la \
	tests/libhistory.la \
	tests/helpers/libfaults.la \
	tests/libthread-sanitizer.la \
	tests/libutil.la

tests_libthread_sanitizer_la_SOURCES = tests/thread-sanitizer.c

# For LD_PRELOAD; with a path where it would be installed, which it never is, as
# there would be no shared object otherwise.  It is no part of what sanitizers see.
tests_helpers_libfaults_la_SOURCES = tests/helpers/faults.c
tests_helpers_libfaults_la_CPPFLAGS =
tests_helpers_libfaults_la_LDFLAGS = -module -shared -avoid-version -rpath /nowhere
tests_helpers_libfaults_la_LIBADD = -ldl

tests_bench_libpeers_la_SOURCES = \
	tests/bench/peers-socket.c \
	tests/bench/peers-socket.h \
	tests/bench/peers-work.c \
	tests/bench/peers-work.h

tests_bench_libpeers_la_LIBADD = -lm

tests_libhistory_la_SOURCES = \
	tests/history/check.c \
	tests/history/check.h \
	tests/history/explain.c \
	tests/history/history.h \
	tests/history/model.c \
	tests/history/model.h \
	tests/history/set.c \
	tests/history/set.h

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
# A script that did not come to its end has no plan, which is an error already.
AM_TEST_LOG_DRIVER_FLAGS = --ignore-exit

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

# What it promises of reliability, measured.  PROMISES is options and rows, see
# tests/promises.
check-promises: all
	$(MAKE) $(AM_MAKEFLAGS) tests/helpers/blocked$(EXEEXT) tests/helpers/heirs$(EXEEXT) \
	  tests/helpers/mixed$(EXEEXT) tests/helpers/stress$(EXEEXT)
	@$(BASH_PROGRAM) $(srcdir)/tests/promises $(PROMISES)

.PHONY: check-promises

mostlyclean-local:
	rm -rf bench-targets.out promises.out

.PHONY: bench-targets

# Everything at once, with kills, for long: tests/soak says what.  SOAK is more
# options of it.
check-soak: all
	$(MAKE) $(AM_MAKEFLAGS) $(crash_programs)
	@$(BASH_PROGRAM) $(srcdir)/tests/soak --seconds=$(SECONDS) --seed=$(SEED) \
	  --kills=$(KILLS) $(SOAK)

.PHONY: check-soak

# What honest sessions are left with beside others that are a nuisance.  NEIGHBOURS
# is options and kinds, see tests/neighbours.
check-neighbours: all
	$(MAKE) $(AM_MAKEFLAGS) tests/helpers/neighbour$(EXEEXT)
	@$(AM_TESTS_ENVIRONMENT) $(BASH_PROGRAM) $(srcdir)/tests/neighbours $(NEIGHBOURS)

.PHONY: check-neighbours

# As `make check', with the tests in THREAD_TESTS only; for CFLAGS=-fsanitize=thread.
check-threads:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(THREAD_TESTS)'

.PHONY: check-threads

# tests/history.test for longer: OPS operations are recorded and checked, in rounds.
OPS = 20000000
check-history: all
	$(MAKE) $(AM_MAKEFLAGS) tests/history/check$(EXEEXT) tests/history/record$(EXEEXT)
	@TOP_SRCDIR='$(abs_top_srcdir)' TOP_BUILDDIR='$(abs_top_builddir)' \
	  HISTORY_OPS='$(OPS)' SHMKV_TEST_SEED='$(SEED)' \
	  $(BASH_PROGRAM) $(srcdir)/tests/history.test

.PHONY: check-history
