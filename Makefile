# dm: build, install, check.  `make help' lists the targets.
CC      ?= cc
PREFIX  ?= /usr/local
DESTDIR ?=
SAN     ?=
VERSION := 0.1.0
comma   := ,
B       := build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
PKGS    := libzstd libsodium libxxhash lmdb jansson libarchive libcurl libcrypto libxml-2.0

# Left out where the library is not installed, or with `make NBD=no'.
NBD     ?= $(shell pkg-config --exists libnbd 2>/dev/null && echo yes)
ifeq ($(NBD),yes)
PKGS    += libnbd
endif

# BLAKE3: the library where the system has one, else the C sources that the
# package librust-blake3-dev installs.
BLAKE3_PC  := $(shell pkg-config --exists libblake3 2>/dev/null && echo yes)
BLAKE3_SRC := $(if $(BLAKE3_PC),,$(lastword $(sort $(wildcard /usr/share/cargo/registry/blake3-*/c/blake3.c))))
BLAKE3_DIR := $(patsubst %/,%,$(dir $(BLAKE3_SRC)))

CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Werror=implicit-function-declaration -Werror=incompatible-pointer-types
# Where the compiler and the processor have them.
HARDCF  := $(shell for f in -fstack-clash-protection -fcf-protection; do \
	echo 'int x;' | $(CC) -Werror $$f -x c -c -o /dev/null - 2>/dev/null && echo $$f; done)
HARDEN  := -fstack-protector-strong $(HARDCF) -fPIC -fno-semantic-interposition $(if $(SAN),,-D_FORTIFY_SOURCE=2)
SANFLAG := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
CPPFLAGS += -Icommon -D_GNU_SOURCE -DDM_VERSION='"$(VERSION)"' -DDM_LIBDIR='"$(PREFIX)/lib/dm"' $(shell pkg-config --cflags $(PKGS)) \
	$(if $(BLAKE3_PC),$(shell pkg-config --cflags libblake3),-I$(BLAKE3_DIR))
ALL_CFLAGS := -std=c11 -pthread $(WARN) $(HARDEN) $(SANFLAG) $(CFLAGS)
LDFLAGS += -pthread -pie -Wl,--as-needed -Wl,-z,relro,-z,now $(SANFLAG)
LDLIBS  := -lm $(shell pkg-config --libs $(PKGS)) $(if $(BLAKE3_PC),$(shell pkg-config --libs libblake3))

SRC   := $(sort $(filter-out $(if $(filter yes,$(NBD)),,common/volume/drv_nbd%),$(wildcard common/*/*.c)))
OBJ   := $(SRC:%.c=$(B)/%.o)
# Drivers and object stores whose libraries are many are loaded when they are
# needed, so that no program starts slower for them (base/module.h).
MODULES := $(patsubst %,$(B)/lib/dm/drv_%.so,ebs $(if $(filter yes,$(NBD)),nbd)) $(B)/lib/dm/object_s3.so
CMDS  := $(basename $(notdir $(wildcard cmd/dm-*.c)))
BIN   := $(CMDS:%=$(B)/bin/%)
UNIT  := $(patsubst tests/unit/%.c,$(B)/unit/%,$(filter-out $(if $(filter yes,$(NBD)),,tests/unit/test_nbd%),$(wildcard tests/unit/test_*.c)))
HELPERS := $(patsubst tests/lib/%.c,$(B)/lib/%,$(filter-out tests/lib/preload_%,$(wildcard tests/lib/*.c))) \
	$(patsubst tests/lib/%.c,$(B)/lib/%.so,$(wildcard tests/lib/preload_*.c))

ifneq ($(BLAKE3_PC),yes)
B3ASM := $(if $(filter x86_64,$(shell uname -m)),blake3_sse2_x86-64_unix blake3_sse41_x86-64_unix blake3_avx2_x86-64_unix blake3_avx512_x86-64_unix,$(if $(filter aarch64,$(shell uname -m)),blake3_neon))
B3OBJ := $(patsubst %,$(B)/blake3/%.o,blake3 blake3_dispatch blake3_portable $(B3ASM))
endif

Q       := $(if $(V),,@)
say      = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-5s %s\n' $(1) $(2))

all: $(BIN) $(MODULES)

$(B)/libdm.a: $(OBJ) $(B3OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/blake3/%.o: $(BLAKE3_DIR)/%.c
	@mkdir -p $(@D)
	$(call say,CC,$(notdir $<))
	$(Q)$(CC) -O3 -fPIC -c -o $@ $<
$(B)/blake3/%.o: $(BLAKE3_DIR)/%.S
	@mkdir -p $(@D)
	$(call say,AS,$(notdir $<))
	$(Q)$(CC) -fPIC -c -o $@ $<

$(B)/bin/%: $(B)/cmd/%.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/unit/%: $(B)/tests/unit/%.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/lib/%: $(B)/tests/lib/%.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/lib/dm/drv_%.so: $(B)/common/volume/drv_%.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,--exclude-libs,ALL -Wl,-Bsymbolic -o $@ $^ $(LDLIBS)

$(B)/lib/dm/object_%.so: $(B)/common/http/object_%.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,--exclude-libs,ALL -Wl,-Bsymbolic -o $@ $^ $(LDLIBS)

# Libraries that tests put in front of libc's calls.
$(B)/lib/preload_%.so: tests/lib/preload_%.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -D_GNU_SOURCE -std=c11 -O1 -g -fPIC -shared -o $@ $< -ldl

# The programs as tests run them: with the drivers that inject faults and log
# calls, which build/bin leaves out.
TESTBIN := $(CMDS:%=$(B)/testbin/%)
$(B)/drivers_test.o: common/volume/drivers.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) -DDM_TEST_DRIVERS $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/testbin/%: $(B)/cmd/%.o $(B)/drivers_test.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The simulator of dm-window's law, which it links as dm-window does.
$(B)/sim/window: $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/*.c)) $(B)/libdm.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
# Which seeds: make sim SEEDS=500 FROM=1000
SEEDS ?= 20
FROM  ?= 0
sim: $(B)/sim/window
	$< --check --seeds $(SEEDS) --from $(FROM) --plot $(B)/sim/window.svg
	@echo 'plot: $(B)/sim/window.svg'

# The plugin for nbdkit, where its headers are (package nbdkit-plugin-dev).
NBDKIT  := $(shell pkg-config --exists nbdkit 2>/dev/null && echo yes)
PLUGIN  := $(if $(NBDKIT),$(B)/lib/nbdkit-dm-plugin.so)
PLUGINDIR ?= $(if $(filter /usr,$(PREFIX)),$(shell pkg-config --variable=plugindir nbdkit 2>/dev/null),$(PREFIX)/lib/nbdkit/plugins)
$(B)/lib/nbdkit-dm-plugin.so: $(B)/cmd/nbdkit-dm-plugin.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(filter-out -pie,$(LDFLAGS)) -Wl,--exclude-libs,ALL -o $@ $^ $(LDLIBS)
plugin: $(PLUGIN)
	$(if $(NBDKIT),,$(call say,SKIP,'nbdkit-dm-plugin.so: no nbdkit headers; dm-serve will not work'))
all: plugin
testbuild: $(PLUGIN)
.PHONY: plugin

SCRIPTS := $(wildcard scripts/dm-*)
MAN     := $(wildcard man/*.[1-8])

unit: $(UNIT)
	@for t in $(UNIT); do $$t || exit 1; done

testbuild: $(BIN) $(MODULES) $(TESTBIN) $(UNIT) $(HELPERS) $(B)/sim/window

check: testbuild
	scripts/check-floors
	DM_BUILD=$(B) tests/run

lint:
	shellcheck -S warning $(SCRIPTS) scripts/demo scripts/check scripts/check-floors scripts/install-deps .ci/run tests/run tests/fuzz/run $(wildcard tests/bench/*) \
		tests/lib/*.bash scripts/lib/*.bash tests/lib/guest/init tests/lib/guest/udhcpc.sh
	mandoc -T lint -W warning $(MAN)
	cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --suppress=unusedStructMember \
		--suppress=ctunullpointer --error-exitcode=1 -Icommon -D_GNU_SOURCE -DDM_VERSION='"x"' common cmd

# Fuzz harnesses (clang's libFuzzer), each for FUZZ_SECONDS.
FUZZ_SECONDS ?= 20
FUZZ := $(patsubst tests/fuzz/%.c,build-fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
ifneq ($(B),build-fuzz)
build-fuzz/libdm.a: $(SRC) $(wildcard common/*/*.h)
	@$(MAKE) --no-print-directory CC=clang B=build-fuzz SAN=fuzzer-no-link,address,undefined $@
build-fuzz/%: tests/fuzz/%.c $(wildcard tests/fuzz/*.h) build-fuzz/libdm.a
	$(call say,FUZZ,$@)
	$(Q)clang $(CPPFLAGS) -std=c11 -pthread -g -O1 -fsanitize=fuzzer,address,undefined -o $@ $< build-fuzz/libdm.a $(LDLIBS)
endif
fuzz: $(FUZZ)
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ)

bench: all
	DM_BUILD=$(B) tests/bench/run

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7 \
		$(DESTDIR)$(PREFIX)/share/dm
	install -m 755 $(BIN) $(SCRIPTS) $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/lib/dm
	install -m 644 $(MODULES) $(DESTDIR)$(PREFIX)/lib/dm
	$(if $(PLUGIN),install -d $(DESTDIR)$(PLUGINDIR) && install -m 755 $(PLUGIN) $(DESTDIR)$(PLUGINDIR))
	install -m 644 $(wildcard scripts/lib/*.jq scripts/lib/*.bash) $(DESTDIR)$(PREFIX)/share/dm
	for m in $(MAN); do install -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/ || exit 1; done

help:
	@echo 'make             build into build/'
	@echo 'make check       build and run every test (SAN=address,undefined or SAN=thread: instrumented)'
	@echo 'make unit        unit tests only'
	@echo 'make lint        shellcheck, mandoc, cppcheck'
	@echo 'make fuzz        fuzz every parser, FUZZ_SECONDS=20 each'
	@echo 'make sim         simulate the window law: a table and a plot (SEEDS=20 FROM=0)'
	@echo 'make bench       compare with other tools on this machine'
	@echo 'make install     to DESTDIR and PREFIX (/usr/local)'

clean:
	rm -rf build build-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all unit check testbuild lint fuzz bench sim install help clean
.SECONDARY:
