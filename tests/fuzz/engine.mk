# SPDX-License-Identifier: LGPL-2.1-or-later

# Compiles all of the product for a fuzzing engine, beside the usual build, whose
# config.h it needs.  Called by `make fuzzers', in the build directory, with
#
#   ENGINE          libfuzzer or afl
#   SOURCE          the source directory
#   TARGETS         the names of the targets
#   FRESH           the sources that get tests/fuzz/fresh.h
#   COMPILE_FLAGS   for the preprocessor, of the project and of GLib
#   LIBS
#
# The programs are fuzz.out/ENGINE/TARGET.

libfuzzer_CC = clang
libfuzzer_PACKAGES = clang and libclang-rt-dev
libfuzzer_FLAGS = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
libfuzzer_LINK = -fsanitize=fuzzer,address,undefined

# For speed, without the sanitizers: what it finds is for the other to explain.
# Assertions and the memory around the regions are there all the same.
afl_CC = afl-clang-fast
afl_PACKAGES = afl++
afl_FLAGS =
afl_LINK = -fsanitize=fuzzer

CC = $($(ENGINE)_CC)
FLAGS = -O1 -g -fno-omit-frame-pointer $($(ENGINE)_FLAGS)

out = fuzz.out/$(ENGINE)
programs = $(TARGETS:%=$(out)/%)

product = $(filter-out %/main.c,$(wildcard $(SOURCE)/src/*/*.c))
sources = $(product:$(SOURCE)/%=%) tests/fuzz/fuzz.c
objects = $(sources:%.c=$(out)/%.o)
fresh_objects = $(FRESH:%.c=$(out)/%.o)

all: compiler
	@$(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST)) programs

programs: $(programs)

compiler:
	@command -v $(CC) >/dev/null \
	  || { echo 'There is no $(CC): install $($(ENGINE)_PACKAGES).' >&2; exit 1; }

$(fresh_objects): before = -include $(SOURCE)/tests/fuzz/fresh.h

$(out)/%.o: $(SOURCE)/%.c
	@mkdir -p $(@D)
	@echo "  $(CC)  $@"
	@$(CC) $(FLAGS) $(COMPILE_FLAGS) -DG_LOG_DOMAIN='"fuzz"' -DG_LOG_USE_STRUCTURED \
	  $(before) -MMD -MP -c -o $@ $<

$(out)/product.a: $(objects)
	@rm -f $@
	@ar rc $@ $^

$(programs): $(out)/%: $(out)/tests/fuzz/%.o $(out)/product.a
	@$(CC) $(FLAGS) $($(ENGINE)_LINK) -o $@ $^ $(LIBS)

-include $(objects:.o=.d) $(TARGETS:%=$(out)/tests/fuzz/%.d)

.PHONY: all compiler programs
.SECONDARY:
