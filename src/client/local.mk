# SPDX-License-Identifier: LGPL-2.1-or-later

# The command line tool: all but main() in a library, for the tests.  One
# command, one file: cmd-NAME.c.

noinst_LTLIBRARIES += src/client/libclient.la

src_client_libclient_la_SOURCES = \
	src/client/answer.c \
	src/client/answer.h \
	src/client/args.c \
	src/client/args.h \
	src/client/batch-line.c \
	src/client/batch-line.h \
	src/client/bench-data.c \
	src/client/bench-data.h \
	src/client/bench-loop.c \
	src/client/bench-loop.h \
	src/client/bench-mix.c \
	src/client/bench-plot.c \
	src/client/bench-plot.h \
	src/client/bench-report.c \
	src/client/bench-report.h \
	src/client/bench-run.c \
	src/client/bench-run.h \
	src/client/bench-scan.c \
	src/client/bench-scan.h \
	src/client/bench-work.c \
	src/client/bench-work.h \
	src/client/cli.c \
	src/client/cli.h \
	src/client/clock.h \
	src/client/cmd-add.c \
	src/client/cmd-batch.c \
	src/client/cmd-bench.c \
	src/client/cmd-cas.c \
	src/client/cmd-clear.c \
	src/client/cmd-count.c \
	src/client/cmd-delete.c \
	src/client/cmd-dump.c \
	src/client/cmd-exchange.c \
	src/client/cmd-expire.c \
	src/client/cmd-insert.c \
	src/client/cmd-load.c \
	src/client/cmd-lock.c \
	src/client/cmd-ping.c \
	src/client/cmd-print.c \
	src/client/cmd-quit.c \
	src/client/cmd-read.c \
	src/client/cmd-scan.c \
	src/client/cmd-stats.c \
	src/client/cmd-subtract.c \
	src/client/cmd-test.c \
	src/client/cmd-thstart.c \
	src/client/cmd-thstop.c \
	src/client/cmd-ttl.c \
	src/client/cmd-wait.c \
	src/client/cmd-watch.c \
	src/client/commands.c \
	src/client/conditions.c \
	src/client/conditions.h \
	src/client/crew.c \
	src/client/crew.h \
	src/client/dump-format.c \
	src/client/dump-format.h \
	src/client/dump-sort.c \
	src/client/dump-sort.h \
	src/client/flow.c \
	src/client/flow.h \
	src/client/help.c \
	src/client/help.h \
	src/client/histogram.c \
	src/client/histogram.h \
	src/client/input.c \
	src/client/input.h \
	src/client/interrupt.c \
	src/client/interrupt.h \
	src/client/json.c \
	src/client/json.h \
	src/client/keygen.c \
	src/client/keygen.h \
	src/client/lines.c \
	src/client/lines.h \
	src/client/number.c \
	src/client/number.h \
	src/client/options.c \
	src/client/options.h \
	src/client/output.c \
	src/client/output.h \
	src/client/progress.c \
	src/client/progress.h \
	src/client/random.h \
	src/client/report.c \
	src/client/report.h \
	src/client/run.c \
	src/client/run.h \
	src/client/server-info.c \
	src/client/server-info.h \
	src/client/session.c \
	src/client/session.h \
	src/client/statistics.c \
	src/client/statistics.h \
	src/client/stats-report.c \
	src/client/stats-report.h \
	src/client/sum.c \
	src/client/sum.h \
	src/client/test-lane.c \
	src/client/test-lane.h \
	src/client/test-report.c \
	src/client/test-report.h \
	src/client/test-script.c \
	src/client/test-script.h \
	src/client/word.c \
	src/client/word.h

src_client_libclient_la_CPPFLAGS = \
	$(COMMON_CPPFLAGS) \
	-DG_LOG_DOMAIN='"shmkv-client"' \
	-DG_LOG_USE_STRUCTURED

src_client_libclient_la_LIBADD = -lm

bin_PROGRAMS += shmkv-client

shmkv_client_SOURCES = \
	src/client/main.c

shmkv_client_CPPFLAGS = $(src_client_libclient_la_CPPFLAGS)

shmkv_client_LDADD = \
	src/client/libclient.la \
	src/shmkv/libshmkv.la \
	$(GLIB_LIBS)
