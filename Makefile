# SPDX-License-Identifier: MIT
#
# Cubby.  `make help` lists the targets; everything that is built lies under
# $(O), which is build/$(VARIANT).
#
# Yours to set: CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS, DESTDIR prefix bindir
# libdir includedir datadir mandir, O, V=1 (show commands), WERROR=1, T=name, JOBS.

VARIANT ?= release
O ?= build/$(VARIANT)
WERROR ?= 0
JOBS ?= 2

prefix ?= /usr/local
bindir ?= $(prefix)/bin
libdir ?= $(prefix)/lib
includedir ?= $(prefix)/include
datadir ?= $(prefix)/share
mandir ?= $(datadir)/man
pkgconfigdir ?= $(libdir)/pkgconfig
cmakedir ?= $(libdir)/cmake/cubby
INSTALL ?= install

VERSION := $(shell awk '/define CUBBY_VERSION_(MAJOR|MINOR|PATCH) / \
	{ v = v dot $$3; dot = "." } END { print v }' include/cubby/base.h)
SONAME := libcubby.so.$(firstword $(subst ., ,$(VERSION)))

# ------------------------------- variants ---------------------------------
#
# A variant is a compiler, an optimisation level and the flags that make it
# what it is; the last stay even where the user's CFLAGS replace the level.
#
## VARIANT=release: the one to use, and what make builds unless it is told
## VARIANT=debug: with checks inside, and of each call of a handle
## VARIANT=clang: as release, by clang
## VARIANT=asan: as debug, with AddressSanitizer and UBSan
## VARIANT=tsan: with ThreadSanitizer
## VARIANT=aarch64: as release, by a cross compiler

VARIANTS := release debug clang asan tsan aarch64
ifeq ($(filter $(VARIANT),$(VARIANTS)),)
$(error VARIANT is one of: $(VARIANTS))
endif

CC_clang := clang
CXX_clang := clang++
CC_aarch64 := aarch64-linux-gnu-gcc
CXX_aarch64 := aarch64-linux-gnu-g++
AR_aarch64 := aarch64-linux-gnu-ar

LEVEL_debug := -O1 -g
LEVEL_asan := -O1 -g -fno-omit-frame-pointer
LEVEL_tsan := -O1 -g -fno-omit-frame-pointer

VARIANT_CPPFLAGS_debug := -DCUBBY_DEBUG=1
VARIANT_CPPFLAGS_asan := -DCUBBY_DEBUG=1
VARIANT_FLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=all
VARIANT_FLAGS_tsan := -fsanitize=thread

ifneq ($(filter default,$(origin CC)),)
CC := $(or $(CC_$(VARIANT)),gcc)
endif
ifneq ($(filter default,$(origin CXX)),)
CXX := $(or $(CXX_$(VARIANT)),g++)
endif
ifneq ($(filter default,$(origin AR)),)
AR := $(or $(AR_$(VARIANT)),ar)
endif
CFLAGS ?= $(or $(LEVEL_$(VARIANT)),-O2 -g)
CXXFLAGS ?= $(CFLAGS)

# The sanitizers' run-time symbols may be left to the executable.
Z_DEFS := $(if $(filter asan tsan,$(VARIANT)),,-Wl,-z,defs)

# -------------------------------- flags -----------------------------------

WARN := -Wall -Wextra -Wshadow $(if $(filter 1,$(WERROR)),-Werror)
WARN_C := -Wstrict-prototypes -Wmissing-prototypes

MY_CPPFLAGS := -Iinclude $(VARIANT_CPPFLAGS_$(VARIANT))
MY_BOTH := $(WARN) -pthread -ffile-prefix-map=$(CURDIR)=. \
	$(VARIANT_FLAGS_$(VARIANT))
MY_CFLAGS := -std=gnu11 -D_GNU_SOURCE= $(WARN_C) $(MY_BOTH)
MY_LDFLAGS := -pthread $(VARIANT_FLAGS_$(VARIANT))

# $@.d, not $*.d: the .o and the .lo of one source have a file each.
DEPEND = -MMD -MP -MF $@.d
COMPILE = $(CC) $(MY_CPPFLAGS) $(CPPFLAGS) $(MY_CFLAGS) $(CFLAGS) $(DEPEND)
COMPILE_CXX = $(CXX) $(MY_CPPFLAGS) $(CPPFLAGS) $(MY_BOTH) $(CXXFLAGS) $(DEPEND)
LINK = $(CC) $(MY_LDFLAGS) $(CFLAGS) $(LDFLAGS)
LINK_CXX = $(CXX) $(MY_LDFLAGS) $(CXXFLAGS) $(LDFLAGS)

Q := $(if $(filter 1,$(V)),,@)
quiet := $(filter 1,$(V))$(findstring s,$(firstword -$(MAKEFLAGS)))
say = $(if $(quiet),,@printf '  %-5s %s\n' $(1) '$(patsubst $(O)/%,%,$@)')

# -------------------------------- sources ---------------------------------

LIB_SRC := $(sort $(wildcard lib/*.c))
RCU_HDR := include/cubby/rcu.h
LIB_HDR := $(sort $(filter-out $(RCU_HDR),\
	$(wildcard include/cubby/*.h include/cubby/*/*.h)))
LIB_O := $(LIB_SRC:%.c=$(O)/%.o)
LIB_LO := $(LIB_SRC:%.c=$(O)/%.lo)

STATIC := $(O)/libcubby.a
SHARED_REAL := $(O)/libcubby.so.$(VERSION)
SHARED := $(O)/libcubby.so

# libcubby-rcu, and the tests that use flavours, are for where this compiler
# finds liburcu; the others need nothing of it.
URCU := liburcu-bp
URCU_CFLAGS := $(shell pkg-config --cflags $(URCU) 2> /dev/null)
URCU_LIBS := $(shell pkg-config --libs $(URCU) 2> /dev/null)
HAS_URCU := $(if $(URCU_LIBS),$(shell printf '%s\n' \
	'#include <urcu/urcu-bp.h>' 'int main(void) { return 0; }' | \
	$(CC) $(URCU_CFLAGS) -x c -o /dev/null - $(URCU_LIBS) 2> /dev/null && \
	echo yes))
MALLOC_SRC := $(sort $(wildcard lib/preload/*.c))
MALLOC_LO := $(filter-out $(O)/lib/host.lo $(O)/lib/pin.lo,$(LIB_LO)) \
	$(MALLOC_SRC:%.c=$(O)/%.lo)
MALLOC_REAL := $(O)/libcubby-malloc.so.$(VERSION)
MALLOC := $(O)/libcubby-malloc.so
MALLOC_SONAME := libcubby-malloc.so.$(firstword $(subst ., ,$(VERSION)))
WITH_MALLOC := $(and $(MALLOC_SRC),$(filter-out asan tsan,$(VARIANT)))
RCU_SRC := $(sort $(wildcard lib/rcu/*.c))
RCU_STATIC := $(O)/libcubby-rcu.a
RCU_SHARED_REAL := $(O)/libcubby-rcu.so.$(VERSION)
RCU_SHARED := $(O)/libcubby-rcu.so
RCU_SONAME := libcubby-rcu.so.$(firstword $(subst ., ,$(VERSION)))
WITH_RCU := $(and $(RCU_SRC),$(HAS_URCU))

# A test program is tests/<kind>/<prefix>_*.c, the prefix being the kind but
# for unit tests; what is in tests/support is linked into all of them.
PREFIX_unit := test
KINDS_PROGRAM := unit stress oom abuse smoke
KINDS_SCRIPT := tools install
KINDS ?= $(KINDS_PROGRAM) $(if $(filter release,$(VARIANT)),$(KINDS_SCRIPT))

TEST_SRC := $(sort $(foreach k,$(filter $(KINDS_PROGRAM),$(KINDS)),\
	$(wildcard tests/$(k)/$(or $(PREFIX_$(k)),$(k))_*.c tests/$(k)/*.cc)))
# What names a flavour is linked with all of them, and nothing else is.
URCU_SRC := $(shell grep -lE '^\#include ("support/flavor\.h"|<urcu)' \
	$(TEST_SRC) $(wildcard tests/support/*.c) /dev/null)
URCU_SRC += tests/support/flavor.c
ifeq ($(HAS_URCU),)
TESTS_LEFT_OUT := $(filter $(URCU_SRC),$(TEST_SRC))
TEST_SRC := $(filter-out $(URCU_SRC),$(TEST_SRC))
endif
TEST_BIN := $(patsubst %.c,$(O)/%,$(filter %.c,$(TEST_SRC)))
TEST_BIN_CXX := $(patsubst %.cc,$(O)/%,$(filter %.cc,$(TEST_SRC)))
TEST_SH := $(sort $(foreach k,$(filter $(KINDS_SCRIPT),$(KINDS)),\
	$(wildcard tests/$(k)/test_*.sh)))
TEST_SUPPORT := $(patsubst %.c,$(O)/%.o,$(sort $(filter-out $(URCU_SRC),\
	$(wildcard tests/support/*.c))))
TEST_URCU_SUPPORT := $(patsubst %.c,$(O)/%.o,$(sort $(filter $(URCU_SRC),\
	$(wildcard tests/support/*.c))))
TESTS := $(TEST_BIN) $(TEST_BIN_CXX) $(TEST_SH)
TESTS := $(filter-out $(LEAVE_OUT:%=$(O)/tests/unit/%) \
	$(LEAVE_OUT:%=$(O)/tests/stress/%),$(TESTS))
ifneq ($(T),)
TESTS := $(filter %/$(T) %/$(T).sh,$(TESTS))
endif
RUN ?= check

.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
.DEFAULT_GOAL := all
.PHONY: FORCE

## all: all libraries, and cubby-run
## lib: all libraries
## static: build/VARIANT/libcubby.a
## shared: build/VARIANT/libcubby.so and its links
## rcu: build/VARIANT/libcubby-rcu.*, where liburcu-bp is
## malloc: build/VARIANT/libcubby-malloc.so, to be preloaded
.PHONY: all lib static shared rcu malloc
all: lib
lib: static shared rcu malloc
static: $(STATIC)
shared: $(SHARED)
rcu: $(if $(WITH_RCU),$(RCU_STATIC) $(RCU_SHARED),$(if $(RCU_SRC),$(O)/no-urcu))

# Said once a build folder.
$(O)/no-urcu:
	@mkdir -p $(@D)
	@echo "  no $(URCU) for $(CC): libcubby-rcu is not built" | tee $@

# Two files that are rewritten when what they hold changes: the commands, on
# which every object depends, and the sources, on which the libraries do.
quote = '$(subst ','\'',$(1))'
update = @mkdir -p $(@D); printf '%s\n' $(1) > $@.new; \
	if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
$(O)/flags: FORCE
	$(call update,$(call quote,$(COMPILE)) $(call quote,$(COMPILE_CXX)) \
		$(call quote,$(LINK)))
$(O)/sources: FORCE
	$(call update,$(LIB_SRC) $(RCU_SRC) $(MALLOC_SRC))

# What a folder's objects are compiled with besides; tests see the internals.
# The archive, too, may go into a plugin.
$(O)/lib/%.o $(O)/lib/%.lo: MORE := -fvisibility=hidden
# The malloc leaves out what it does not call.
$(O)/lib/%.lo: MORE += -ffunction-sections -fdata-sections
$(O)/lib/%.o: MORE += -fPIC
$(O)/lib/rcu/%.o $(O)/lib/rcu/%.lo: MORE += $(URCU_CFLAGS)
# Not to become calls of themselves.
$(O)/lib/preload/%.o $(O)/lib/preload/%.lo: \
	MORE += -Ilib -fno-builtin-malloc -fno-builtin-calloc
# operator new throws what is not C's.
$(O)/lib/preload/cxx.lo: MORE += -fexceptions
# What is run once, or seldom, is small rather than fast.
SELDOM := adopt annotate budget cache cpu debug_rules direct domain error finding fork \
	granule handle layout lock options os percpu quiesce reclaim registry report \
	reserve sample sample_fault side stacks stats stripe task text users usable \
	validate walk watch weak_plan weak_setup
$(foreach s,o lo,$(SELDOM:%=$(O)/lib/%.$s)): \
	MORE += $(if $(filter -O2,$(CFLAGS)),-Os)
$(O)/tests/%.o: MORE := -Ilib -Itests
$(O)/tests/%.o: CXX_STD := -std=c++11
$(O)/bench/%.o: CXX_STD := -std=c++17

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) $(MORE) -c -o $@ $<

$(O)/%.lo: %.c $(O)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) $(MORE) -fPIC -c -o $@ $<

$(O)/%.o: %.cc $(O)/flags
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(COMPILE_CXX) $(CXX_STD) -c -o $@ $<

$(STATIC): $(LIB_O) $(O)/sources
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $(LIB_O)

# nodelete: a thread that ends after dlclose() still runs our key's destructor,
# and caches outlive the plugin that made them.
$(SHARED_REAL): $(LIB_LO) $(O)/sources lib/cubby.map
	$(call say,LD)
	$(Q)$(LINK) -shared $(Z_DEFS) -Wl,-z,nodelete -Wl,-soname,$(SONAME) \
		-Wl,--version-script=lib/cubby.map -o $@ $(LIB_LO)

$(O)/$(SONAME): $(SHARED_REAL)
	$(Q)ln -sf $(notdir $<) $@

$(SHARED): $(O)/$(SONAME)
	$(Q)ln -sf $(notdir $<) $@

malloc: $(if $(WITH_MALLOC),$(MALLOC))

# now: no call of ours is bound by the loader while a lock is held.
$(MALLOC_REAL): $(MALLOC_LO) $(O)/sources lib/preload/cubby-malloc.map \
		lib/preload/keep.ld
	$(call say,LD)
	$(Q)$(LINK) -shared $(Z_DEFS) -Wl,-z,nodelete -Wl,-z,now \
		-Wl,-Bsymbolic-functions -Wl,--gc-sections \
		-Wl,-T,lib/preload/keep.ld \
		-Wl,-soname,$(MALLOC_SONAME) \
		-Wl,--version-script=lib/preload/cubby-malloc.map -o $@ $(MALLOC_LO)

$(O)/$(MALLOC_SONAME): $(MALLOC_REAL)
	$(Q)ln -sf $(notdir $<) $@

$(MALLOC): $(O)/$(MALLOC_SONAME)
	$(Q)ln -sf $(notdir $<) $@

$(RCU_STATIC): $(RCU_SRC:%.c=$(O)/%.o) $(O)/sources
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

# nodelete: handlers of fork() are for ever, and so are caches with our flavour.
$(RCU_SHARED_REAL): $(RCU_SRC:%.c=$(O)/%.lo) $(O)/sources lib/rcu/cubby-rcu.map
	$(call say,LD)
	$(Q)$(LINK) -shared $(Z_DEFS) -Wl,-z,nodelete -Wl,-soname,$(RCU_SONAME) \
		-Wl,--version-script=lib/rcu/cubby-rcu.map -o $@ \
		$(filter %.lo,$^) $(URCU_LIBS)

$(O)/$(RCU_SONAME): $(RCU_SHARED_REAL)
	$(Q)ln -sf $(notdir $<) $@

$(RCU_SHARED): $(O)/$(RCU_SONAME)
	$(Q)ln -sf $(notdir $<) $@

# --------------------------------- tests ----------------------------------
#
# Tests link the archive, and so reach the internal symbols of their module.

needs_cmocka = $(if $(filter $(O)/tests/unit/% $(O)/tests/stress/% \
	$(O)/tests/oom/%,$@),-lcmocka)
needs_urcu = $(if $(filter $(URCU_SRC:%.c=$(O)/%),$@),$(TEST_URCU_LIBS))
TEST_URCU_LIBS := $(addprefix -lurcu-,memb mb qsbr bp common)
TEST_URCU_BIN := $(patsubst %.c,$(O)/%,$(filter $(URCU_SRC),$(TEST_SRC)))
$(TEST_URCU_BIN): $(TEST_URCU_SUPPORT)
$(TEST_BIN): %: %.o $(TEST_SUPPORT) $(STATIC)
	$(call say,LD)
	$(Q)$(LINK) -o $@ $(filter-out $(STATIC),$^) $(STATIC) $(needs_cmocka) $(needs_urcu) -lm

# Parts of the malloc that stand alone.
$(O)/tests/unit/test_pages: $(O)/lib/preload/pages.o
$(O)/tests/unit/test_recent: $(O)/lib/preload/recent.o

$(TEST_BIN_CXX): %: %.o $(STATIC)
	$(call say,LD)
	$(Q)$(LINK_CXX) -o $@ $^

## tests: build the test programs, run none
.PHONY: tests check
tests: $(TESTS)

## check: every test of this VARIANT; T=name runs one, KINDS="unit oom" some
check: $(TESTS) $(if $(filter %.sh,$(TESTS)),lib)
	$(if $(TESTS),,$(error no test $(if $(T),is named $(T),is there)))
	$(if $(TESTS_LEFT_OUT),@echo "no $(URCU): these do not run:" \
		$(notdir $(TESTS_LEFT_OUT:%.c=%)))
	@O=$(O) VARIANT=$(VARIANT) scripts/run-tests -j $(JOBS) -n $(RUN) \
		-w '$(WAITERS)' -w stress_soak $(TESTS)

# What waits most of its time leaves the cores to others, as stress_soak does, which
# is nice; what takes longest does not begin last.
WAITERS := stress_stopped test_rcu_barrier test_rcu_fork test_rcu_limits \
	test_rcu_order test_rcu_poll test_rcu_stall test_rcu_threads
LONG := test_narrow test_plants test_check_sequences test_weak_plants
TESTS := $(strip $(filter $(LONG:%=\%/%.sh),$(TESTS)) \
	$(filter-out $(LONG:%=\%/%.sh),$(TESTS)))

# stress_soak goes on for half a minute here; elsewhere for a round.  An hour of it
# is check-soak.
check: export CUBBY_SOAK_ROUNDS ?= 3

# The same tests, or the core of them, in other circumstances.
CORE := unit stress
MEMCHECK := valgrind -q --error-exitcode=99 --leak-check=full \
	--errors-for-leak-kinds=definite --fair-sched=yes \
	--suppressions=$(CURDIR)/tests/support/memcheck.supp
QEMU := qemu-aarch64 -L /usr/aarch64-linux-gnu

## check-debug: the same with every internal check compiled in
## check-clang: unit, stress and abuse tests, compiled by clang
## check-asan: unit and stress tests under ASan and UBSan
## check-tsan: unit and stress tests under TSan
## check-memcheck: unit and stress tests under memcheck
## check-chunks: unit and stress tests with every cache in chunks
## check-small: unit and stress tests in 2 GiB of address space
## check-thread: all test programs with magazines of threads, not of CPUs
## check-mmcid: unit and stress tests with CPUs told apart by mm_cid
## check-none: unit and stress tests without magazines
## check-watch: stress tests with every cache watching its objects
## check-qemu: the smoke programs for aarch64, under qemu
CIRCUMSTANCES := debug clang asan tsan memcheck chunks small thread mmcid none \
	watch qemu
.PHONY: $(CIRCUMSTANCES:%=check-%)
check-debug: how = VARIANT=debug
check-clang: how = VARIANT=clang KINDS="$(CORE) abuse"
check-asan: how = VARIANT=asan KINDS="$(CORE)"
check-tsan: how = VARIANT=tsan KINDS="$(CORE)"
# gcc 12's TSan finds no room where addresses have 32 random bits.
check-tsan: export WRAP = $(shell setarch -R true 2> /dev/null && echo setarch -R)
check-tsan: export TSAN_OPTIONS := \
	suppressions=$(CURDIR)/tests/support/rcu.supp $(TSAN_OPTIONS)
check-memcheck: how = KINDS="$(CORE)"
check-memcheck: export WRAP = $(MEMCHECK)
# Under these what is tested is the library as it is without them; what it tells them
# of objects is for test_valgrind and test_sanitizers.
check-asan check-tsan check-memcheck: export CUBBY_OPTIONS = annotate=off
check-chunks: how = KINDS="$(CORE)"
check-chunks: export CUBBY_OPTIONS = chunks
check-small: how = KINDS="$(CORE)"
check-small: export CUBBY_OPTIONS = budget=2G
check-thread: how = KINDS="$(KINDS_PROGRAM)"
check-thread: export CUBBY_OPTIONS = front=thread
check-mmcid: how = KINDS="$(CORE)"
check-mmcid: export CUBBY_OPTIONS = front=mmcid
check-none: how = KINDS="$(CORE)"
check-none: export CUBBY_OPTIONS = front=none
# The oracles of these tests read what is free, so it is not poisoned.  What
# stress_oracle plants is found by others first, and stress_abort fills magazines
# by frees, which a quarantine takes.
check-watch: how = KINDS=stress
check-watch: export LEAVE_OUT = stress_oracle stress_abort stress_stopped
check-watch: export CUBBY_DEBUG = red-zone+quarantine=16K
check-qemu: how = VARIANT=aarch64 KINDS=smoke
check-qemu: export CUBBY_OPTIONS = budget=64G
check-qemu: export WRAP = $(QEMU)
# What waits for time, or for what these do not change, is left out.
check-chunks check-small check-mmcid check-none check-clang check-asan \
check-tsan check-memcheck: export LEAVE_OUT = test_rcu_limits test_rcu_stall \
	test_rcu_order test_rcu_fork test_stats_sums stress_stopped
# The faults that test_sample makes on purpose are errors to memcheck; the others take
# long there, and have threads that are in stress_threads too, or arithmetic alone.
check-memcheck: export LEAVE_OUT += test_sample test_bits stress_soak \
	stress_ownership
check-tsan: export LEAVE_OUT += test_bits
check-debug check-thread: export CUBBY_TEST_SCALE ?= 50
check-clang check-chunks check-small: export CUBBY_TEST_SCALE ?= 30
check-asan check-none check-mmcid check-watch check-qemu: \
	export CUBBY_TEST_SCALE ?= 20
check-tsan: export CUBBY_TEST_SCALE ?= 10
check-memcheck: export CUBBY_TEST_SCALE ?= 3
$(CIRCUMSTANCES:%=check-%): export CUBBY_SOAK_ROUNDS ?= 1
$(CIRCUMSTANCES:%=check-%):
	+@$(MAKE) --no-print-directory RUN=$(@:check-%=%) $(how) check

## check-long: the suite, release and debug, with 20 times the work
.PHONY: check-long
check-long: export CUBBY_TEST_SCALE ?= 2000
check-long:
	+@$(MAKE) --no-print-directory RUN=long check
	+@$(MAKE) --no-print-directory RUN=long VARIANT=debug check

## check-soak: stress_soak for SECONDS=3600, half of them with each front end
SECONDS ?= 3600
.PHONY: check-soak
check-soak: export CUBBY_SOAK_S = $(shell expr $(SECONDS) / 2)
check-soak: export TEST_TIMEOUT_S = $(shell expr $(SECONDS) / 2 + 300)
check-soak:
	+@$(MAKE) --no-print-directory RUN=soak T=stress_soak check
	+@CUBBY_OPTIONS=front=thread $(MAKE) --no-print-directory \
		RUN=soak-thread T=stress_soak check
	@grep -h '^#' $(O)/test-logs/soak*/stress.stress_soak.out

## check-fuzz: calls of malloc that a fuzzer makes up, for SECONDS=3600, against a model
.PHONY: check-fuzz
check-fuzz:
	+@$(MAKE) --no-print-directory O=build/fuzz CC=clang CPPFLAGS=-DCUBBY_DEBUG=1 \
		CFLAGS="-O1 -g -fsanitize=fuzzer-no-link" build/fuzz/malloc_model
	@mkdir -p build/fuzz/corpus
	cd build/fuzz && ./malloc_model -max_total_time=$(SECONDS) -max_len=4000 \
		-len_control=10 -print_final_stats=1 -timeout=20 corpus

# The malloc is the program's own here, so that the fuzzer sees its branches.
$(O)/malloc_model: tests/tools/malloc_model.c tests/tools/malloc_check.h $(MALLOC_LO)
	$(call say,LD)
	$(Q)$(COMPILE) -DFUZZ -fno-builtin -o $@ $< $(MALLOC_LO) -fsanitize=fuzzer

## check-programs: real programs under libcubby-malloc.so, and a table of them
.PHONY: check-programs
check-programs:
	@O=$(O) scripts/check-programs

## check-model: models of the fast path, and what planted bugs do to them
.PHONY: check-model
check-model:
	@O=$(O) tests/model/run-model

## check-layers: no file includes a header of a higher layer
## check-house: the house rules that a script can check
## check-abi: version script, exported symbols and headers agree
## check-headers: each public header compiles alone, C11 to C++20
## check-sequences: restartable sequences, as disassembled, and their length
.PHONY: check-layers check-house check-abi check-headers check-sequences
check-layers:
	@scripts/check-layers
check-house: lib
	@scripts/check-house $(STATIC) $(SHARED) \
		$(if $(WITH_RCU),$(RCU_STATIC) $(RCU_SHARED))
check-abi: shared rcu
	@scripts/check-abi $(SHARED)
	$(if $(WITH_RCU),@scripts/check-abi $(RCU_SHARED))
check-headers:
	@scripts/check-headers
check-sequences:
	@scripts/check-sequences

## check-all: all of the above except check-long, with a sum at the end
.PHONY: check-all
check-all:
	@+scripts/check --no-install

FORMATTED = $(sort $(wildcard include/cubby/*.h include/cubby/*/*.h lib/*.[ch] \
	lib/*/*.[ch] lib/tools/*/*.[ch] tests/*/*.[ch] tests/*/*.cc bench/*.[ch] bench/*.cc \
	bench/*/*.[ch] bench/*/*.cc))

## format: let clang-format rewrite the sources
## format-check: fail if `make format` would change something
.PHONY: format format-check
format:
	clang-format -i $(FORMATTED)
format-check:
	@printf '%s\n' $(FORMATTED) | xargs -P $(JOBS) -I FILE sh -c \
		'clang-format FILE | cmp -s - FILE || \
			{ echo "make format would change FILE"; exit 1; }'

# ------------------------------- benchmarks -------------------------------
#
# bench_*.c are programs over Google Benchmark, all but one; truck*.c are one
# program, and what else is in bench/ goes into all of the former, but the rivals
# of weak handles, which need liburcu and GObject, into bench_weak* only.  All use
# the shared library, as a user would; libfloor.so is one that does nothing.

BENCH_SRC := $(sort $(wildcard bench/bench_*.c))
BENCH_ALONE := $(O)/bench/bench_threads
BENCH_WEAK := $(patsubst %.c,$(O)/%,$(filter bench/bench_weak%,$(BENCH_SRC)))
BENCH_BIN := $(filter-out $(BENCH_ALONE) $(BENCH_WEAK),$(BENCH_SRC:%.c=$(O)/%))
TRUCK_SRC := $(sort $(wildcard bench/truck*.c))
RIVALS_WEAK := $(sort $(wildcard bench/rivals/weak_*.c))
BENCH_SUPPORT := $(patsubst %.c,$(O)/%.o,$(filter-out $(BENCH_SRC) \
	$(TRUCK_SRC) $(RIVALS_WEAK),$(sort $(wildcard bench/*.c \
	bench/rivals/*.c)))) $(O)/bench/gb.o
BENCH_WEAK_SUPPORT := $(RIVALS_WEAK:%.c=$(O)/%.o) $(O)/bench/rivals/weak_ptr.o
BENCH_NEEDS_GB := $(O)/bench/gb.o $(O)/bench/context.o
BENCH_LIBS := -lbenchmark -lstdc++ -lm
GLIB = $(shell pkg-config $(1) glib-2.0)
WEAK = $(shell pkg-config $(1) gobject-2.0 liburcu liburcu-bp liburcu-qsbr \
	liburcu-cds)

$(O)/bench/machine.o: MY_CPPFLAGS += -DBENCH_CFLAGS='"$(CFLAGS)"'
$(O)/bench/truck_glib.o: MY_CPPFLAGS += $(call GLIB,--cflags)
$(O)/bench/rivals/weak_%.o: MY_CPPFLAGS += $(call WEAK,--cflags)

FLOOR := $(O)/bench/libfloor.so
$(FLOOR): $(O)/bench/floor/floor.lo
	$(call say,LD)
	$(Q)$(LINK) -shared $(Z_DEFS) -Wl,-soname,$(@F) -o $@ $<

$(BENCH_BIN): %: %.o $(BENCH_SUPPORT) $(SHARED) $(FLOOR)
	$(call say,LD)
	$(Q)$(LINK) -Wl,-rpath,'$$ORIGIN/..:$$ORIGIN' -o $@ $^ $(BENCH_LIBS)

$(BENCH_WEAK): %: %.o $(BENCH_SUPPORT) $(BENCH_WEAK_SUPPORT) $(SHARED) $(FLOOR)
	$(call say,LD)
	$(Q)$(LINK) -Wl,-rpath,'$$ORIGIN/..:$$ORIGIN' -o $@ $^ $(BENCH_LIBS) \
		$(call WEAK,--libs)

$(BENCH_ALONE): %: %.o $(filter-out $(BENCH_NEEDS_GB),$(BENCH_SUPPORT)) \
		$(SHARED) $(FLOOR)
	$(call say,LD)
	$(Q)$(LINK) -Wl,-rpath,'$$ORIGIN/..:$$ORIGIN' -o $@ $^

$(O)/bench/truck: $(TRUCK_SRC:%.c=$(O)/%.o) $(SHARED)
	$(call say,LD)
	$(Q)$(LINK) -Wl,-rpath,'$$ORIGIN/..' -o $@ $^ $(call GLIB,--libs) -lm

$(O)/tests/unit/test_rcu_library: $(RCU_STATIC)

# The event loop, and what it is tried with, which uses no library of ours.
SERVER := $(O)/bench/server/server
SERVER_LOAD := $(O)/bench/server/load
SERVER_O := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard bench/server/*.c)))
$(SERVER): $(filter-out $(SERVER_LOAD).o,$(SERVER_O)) $(SHARED)
	$(call say,LD)
	$(Q)$(LINK) -Wl,-rpath,'$$ORIGIN/../..' -o $@ $^ -lurcu-memb

$(SERVER_LOAD): $(SERVER_LOAD).o
	$(call say,LD)
	$(Q)$(LINK) -o $@ $^

# What malloc-goals runs besides, with a malloc that is preloaded.
MALLOC_RUN := $(addprefix $(O)/bench/programs/,nothing pairs returned starts)
$(MALLOC_RUN): %: %.o
	$(call say,LD)
	$(Q)$(LINK) -o $@ $^

# What D2 runs besides, and what it is run by.
ORDERS := $(O)/bench/programs/orders
SPENT := $(O)/bench/programs/spent
$(ORDERS): $(ORDERS).o $(SHARED)
	$(call say,LD)
	$(Q)$(LINK) -Wl,-rpath,'$$ORIGIN/../..' -o $@ $^

$(SPENT): $(SPENT).o
	$(call say,LD)
	$(Q)$(LINK) -o $@ $^

# The one unit test of something that is not in the library.
$(O)/tests/unit/test_gb: $(O)/bench/gb.o
$(O)/tests/unit/test_gb: needs_cmocka = -lcmocka $(BENCH_LIBS)

## bench: build the benchmarks; scripts/run-bench runs them
## bench-quick: run them for a few minutes, to see that all works
## bench-debug: what CUBBY_DEBUG costs, beside memcheck: ten minutes
## truck: build the truck comparison
## quickstart: run it: the table and the picture
## massif: run it under massif with malloc and with Cubby: two profiles, a picture
## malloc-goals: CPU time and memory of real programs under five mallocs
## server: build the event loop whose events carry handles, and its clients
.PHONY: bench bench-quick bench-debug truck quickstart massif server \
	malloc-goals malloc-run
bench: $(BENCH_BIN) $(BENCH_WEAK) $(BENCH_ALONE) $(ORDERS) $(SPENT) truck server \
	malloc-run
bench-quick: bench
	@scripts/run-bench --quick --build $(O)
bench-debug: bench
	@scripts/run-bench --build $(O) D1 D2
malloc-run: $(MALLOC_RUN) $(SPENT)
malloc-goals: malloc-run
	@scripts/malloc-goals --build $(O)
truck: $(O)/bench/truck
server: $(SERVER) $(SERVER_LOAD)
quickstart:
	@scripts/quickstart
massif: truck
	@scripts/massif $(O)/bench/truck

# ------------------------------- cubby-run --------------------------------
#
# A program of its own, which nothing of the library is linked to.

RUN_SRC := $(sort $(wildcard lib/tools/run/*.c))
RUN_TOOL := $(if $(RUN_SRC),$(O)/cubby-run)
$(RUN_TOOL): $(RUN_SRC:%.c=$(O)/%.o)
	$(call say,LD)
	$(Q)$(LINK) -o $@ $^

.PHONY: install-run uninstall-run
all malloc: $(RUN_TOOL)
check: $(if $(filter %/test_run.sh,$(TESTS)),$(RUN_TOOL))
install: $(if $(RUN_TOOL),install-run)
uninstall: uninstall-run

install-run: $(RUN_TOOL)
	$(INSTALL) -d $(DESTDIR)$(bindir)
	$(INSTALL) -m 755 $(RUN_TOOL) $(DESTDIR)$(bindir)

uninstall-run:
	rm -f $(DESTDIR)$(bindir)/cubby-run

# -------------------------------- install ---------------------------------

# What tells build systems where the rest is; cmake's are relative to cmakedir.
from_cmakedir = $(shell realpath -ms --relative-to=$(cmakedir) $(1))
CMAKE_FILES := cubby-config.cmake cubby-config-version.cmake
FILLED_IN := $(addprefix $(O)/,cubby.pc $(CMAKE_FILES))
FILLED_IN_RCU := $(O)/cubby-rcu.pc
# What programs are compiled with, too: CUBBY_DEBUG, in the variants that have it.
DEFINES := $(VARIANT_CPPFLAGS_$(VARIANT))
no :=
one_space := $(no) $(no)
TOOLS := $(sort $(wildcard lib/tools/cubby-*))
MASSIF := $(sort $(wildcard lib/tools/massif/*.awk))
massifdir := $(datadir)/cubby/massif
from_bindir = $(shell realpath -ms --relative-to=$(bindir) $(1))
PAGES := $(sort $(wildcard docs/man/*.[1-8]))
# page.3 goes to man3/page.3, and each further name in it is a link: manN/a.N=page.N
MAN_PAGES := $(foreach p,$(notdir $(PAGES)),man$(subst .,,$(suffix $(p)))/$(p))
MAN_LINKS = $(shell scripts/man-links $(PAGES))
SUPPRESSIONS := $(sort $(wildcard tests/support/*.supp))
$(FILLED_IN): $(O)/%: lib/%.in include/cubby/base.h FORCE
	$(fill_in)
$(FILLED_IN_RCU): $(O)/%: lib/rcu/%.in include/cubby/base.h FORCE
	$(fill_in)
define fill_in
	@mkdir -p $(@D)
	$(Q)sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(libdir)|' \
		-e 's|@includedir@|$(includedir)|' \
		-e 's|@libdir_from_here@|$(call from_cmakedir,$(libdir))|' \
		-e 's|@includedir_from_here@|$(call from_cmakedir,$(includedir))|' \
		-e 's| *@defines@|$(DEFINES:%=$(one_space)%)|' \
		-e 's|@defined@|$(DEFINES:-D%=%)|' \
		-e 's|@urcu_libs@|$(subst $(one_space),;,$(strip $(URCU_LIBS)))|' \
		-e 's|@version@|$(VERSION)|' $< > $@
endef

## install: libraries, headers, *.pc and the CMake package to DESTDIR/prefix
## uninstall: remove what install put there
.PHONY: install install-rcu install-malloc uninstall
install: lib $(FILLED_IN) $(if $(WITH_RCU),install-rcu) \
		$(if $(WITH_MALLOC),install-malloc)
	$(INSTALL) -d $(DESTDIR)$(libdir) $(DESTDIR)$(pkgconfigdir) \
		$(DESTDIR)$(cmakedir) $(DESTDIR)$(datadir)/cubby \
		$(DESTDIR)$(bindir) \
		$(sort $(dir $(MAN_PAGES:%=$(DESTDIR)$(mandir)/%)))
	$(if $(TOOLS),$(INSTALL) -m 755 $(TOOLS) $(DESTDIR)$(bindir))
	$(if $(MASSIF),$(INSTALL) -d $(DESTDIR)$(massifdir))
	$(if $(MASSIF),$(INSTALL) -m 644 $(MASSIF) $(DESTDIR)$(massifdir))
	$(if $(MASSIF),sed -i 's|^\(share=.*\)/massif$$|\1/$(call from_bindir,$(massifdir))|' \
		$(DESTDIR)$(bindir)/cubby-massif)
	@set -e; for page in $(MAN_PAGES); do \
		$(INSTALL) -m 644 docs/man/$${page##*/} \
			$(DESTDIR)$(mandir)/$$page; \
	done
	@set -e; for link in $(MAN_LINKS); do \
		ln -sf $${link#*=} $(DESTDIR)$(mandir)/$${link%=*}; \
	done
	$(INSTALL) -m 644 $(STATIC) $(DESTDIR)$(libdir)
	$(INSTALL) -m 755 $(SHARED_REAL) $(DESTDIR)$(libdir)
	ln -sf $(notdir $(SHARED_REAL)) $(DESTDIR)$(libdir)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(libdir)/libcubby.so
	$(INSTALL) -m 644 $(O)/cubby.pc $(DESTDIR)$(pkgconfigdir)
	$(INSTALL) -m 644 $(CMAKE_FILES:%=$(O)/%) $(DESTDIR)$(cmakedir)
	$(INSTALL) -m 644 $(SUPPRESSIONS) $(DESTDIR)$(datadir)/cubby
	@set -e; for header in $(LIB_HDR:include/%=%); do \
		$(INSTALL) -D -m 644 include/$$header \
			$(DESTDIR)$(includedir)/$$header; \
	done
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; \
	elif [ -z "$(DESTDIR)" ]; then \
		echo "run ldconfig as root, or set LD_LIBRARY_PATH=$(libdir)"; fi

install-rcu: rcu $(FILLED_IN_RCU)
	$(INSTALL) -d $(DESTDIR)$(libdir) $(DESTDIR)$(pkgconfigdir)
	$(INSTALL) -m 644 $(RCU_STATIC) $(DESTDIR)$(libdir)
	$(INSTALL) -m 755 $(RCU_SHARED_REAL) $(DESTDIR)$(libdir)
	ln -sf $(notdir $(RCU_SHARED_REAL)) $(DESTDIR)$(libdir)/$(RCU_SONAME)
	ln -sf $(RCU_SONAME) $(DESTDIR)$(libdir)/libcubby-rcu.so
	$(INSTALL) -m 644 $(FILLED_IN_RCU) $(DESTDIR)$(pkgconfigdir)
	$(INSTALL) -D -m 644 $(RCU_HDR) $(DESTDIR)$(includedir)/cubby/rcu.h

install-malloc: malloc
	$(INSTALL) -d $(DESTDIR)$(libdir)
	$(INSTALL) -m 755 $(MALLOC_REAL) $(DESTDIR)$(libdir)
	ln -sf $(notdir $(MALLOC_REAL)) $(DESTDIR)$(libdir)/$(MALLOC_SONAME)
	ln -sf $(MALLOC_SONAME) $(DESTDIR)$(libdir)/libcubby-malloc.so

uninstall:
	rm -f $(foreach name,$(notdir $(STATIC) $(SHARED) $(SONAME) \
		$(SHARED_REAL) $(RCU_STATIC) $(RCU_SHARED) $(RCU_SONAME) \
		$(RCU_SHARED_REAL) $(MALLOC) $(MALLOC_SONAME) \
		$(MALLOC_REAL)),$(DESTDIR)$(libdir)/$(name)) \
		$(DESTDIR)$(pkgconfigdir)/cubby.pc \
		$(DESTDIR)$(pkgconfigdir)/cubby-rcu.pc \
		$(CMAKE_FILES:%=$(DESTDIR)$(cmakedir)/%) \
		$(SUPPRESSIONS:tests/support/%=$(DESTDIR)$(datadir)/cubby/%) \
		$(TOOLS:lib/tools/%=$(DESTDIR)$(bindir)/%) \
		$(MAN_PAGES:%=$(DESTDIR)$(mandir)/%) \
		$(foreach link,$(MAN_LINKS),\
			$(DESTDIR)$(mandir)/$(firstword $(subst =, ,$(link)))) \
		$(MASSIF:lib/tools/massif/%=$(DESTDIR)$(massifdir)/%) \
		$(patsubst include/%,$(DESTDIR)$(includedir)/%,$(LIB_HDR) $(RCU_HDR))
	rmdir $(DESTDIR)$(massifdir) $(DESTDIR)$(includedir)/cubby/inline \
		$(DESTDIR)$(includedir)/cubby $(DESTDIR)$(cmakedir) \
		$(DESTDIR)$(datadir)/cubby 2> /dev/null || true

## dist: build/cubby-VERSION.tar.gz of the last commit
## clean: remove everything that was built, in all variants
## help: this list
.PHONY: dist clean help
dist:
	@mkdir -p build
	git archive --prefix=cubby-$(VERSION)/ \
		-o build/cubby-$(VERSION).tar.gz HEAD

clean:
	rm -rf build

help:
	@for words in '[a-z-]*' 'VARIANT=[a-z0-9]*'; do \
		sed -n "s/^## \($$words\): /\1\t/p" \
			$(firstword $(MAKEFILE_LIST)); \
	done | awk -F '\t' '{ printf "  %-16s %s\n", $$1, $$2 }'

ifneq ($(wildcard $(O)),)
-include $(shell find $(O) -name '*.d')
endif
