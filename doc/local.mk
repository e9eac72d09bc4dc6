# SPDX-License-Identifier: LGPL-2.1-or-later

# Documentation, examples, and the completions for bash.

dist_man_MANS += \
	doc/libshmkv.3 \
	doc/shmkv-client.1 \
	doc/shmkv-protocol.7 \
	doc/shmkv-server.1

dist_doc_DATA += \
	NEWS \
	README \
	doc/architecture \
	doc/performance \
	doc/protocol \
	doc/reliability

EXTRA_DIST += doc/HACKING

exampledir = $(docdir)/examples

dist_example_DATA = \
	doc/examples/counter.c \
	doc/examples/pipeline.c \
	doc/examples/strings.c

# Compiled with the tests, so that they go on to work.
check_PROGRAMS += \
	doc/examples/counter \
	doc/examples/pipeline \
	doc/examples/strings

doc_examples_counter_LDADD = $(HELPER_LIBS)
doc_examples_pipeline_LDADD = $(HELPER_LIBS)
doc_examples_strings_LDADD = $(HELPER_LIBS)

if BASH_COMPLETION
dist_bashcompletion_DATA = \
	completion/shmkv-client \
	completion/shmkv-server
endif
