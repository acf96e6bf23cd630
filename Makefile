# dm: build, install, check.  `make help' lists the targets.
CC      ?= cc
PREFIX  ?= /usr/local
DESTDIR ?=
SAN     ?=
VERSION := 0.1.0
B       := build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
comma   := ,
PKGS    := libzstd libsodium libxxhash lmdb jansson libarchive

# BLAKE3: the library where the system has one, else the C sources that the
# package librust-blake3-dev installs.
BLAKE3_PC  := $(shell pkg-config --exists libblake3 2>/dev/null && echo yes)
BLAKE3_SRC := $(if $(BLAKE3_PC),,$(lastword $(sort $(wildcard /usr/share/cargo/registry/blake3-*/c/blake3.c))))
BLAKE3_DIR := $(patsubst %/,%,$(dir $(BLAKE3_SRC)))

CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Werror=implicit-function-declaration -Werror=incompatible-pointer-types
HARDEN  := -fstack-protector-strong -fPIE $(if $(SAN),,-D_FORTIFY_SOURCE=2)
SANFLAG := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
CPPFLAGS += -Icommon -D_GNU_SOURCE -DDM_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS)) \
	$(if $(BLAKE3_PC),$(shell pkg-config --cflags libblake3),-I$(BLAKE3_DIR))
ALL_CFLAGS := -std=c11 -pthread $(WARN) $(HARDEN) $(SANFLAG) $(CFLAGS)
LDFLAGS += -pthread -pie -Wl,--as-needed -Wl,-z,relro,-z,now $(SANFLAG)
LDLIBS  := $(shell pkg-config --libs $(PKGS)) $(if $(BLAKE3_PC),$(shell pkg-config --libs libblake3))

SRC   := $(sort $(wildcard common/*/*.c))
OBJ   := $(SRC:%.c=$(B)/%.o)
CMDS  := $(basename $(notdir $(wildcard cmd/dm-*.c)))
BIN   := $(CMDS:%=$(B)/bin/%)
UNIT  := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
HELPERS := $(patsubst tests/lib/%.c,$(B)/lib/%,$(wildcard tests/lib/*.c))

ifneq ($(BLAKE3_PC),yes)
B3ASM := $(if $(filter x86_64,$(shell uname -m)),blake3_sse2_x86-64_unix blake3_sse41_x86-64_unix blake3_avx2_x86-64_unix blake3_avx512_x86-64_unix,$(if $(filter aarch64,$(shell uname -m)),blake3_neon))
B3OBJ := $(patsubst %,$(B)/blake3/%.o,blake3 blake3_dispatch blake3_portable $(B3ASM))
endif

all: $(BIN)

$(B)/libdm.a: $(OBJ) $(B3OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/blake3/%.o: $(BLAKE3_DIR)/%.c
	@mkdir -p $(@D)
	$(CC) -O3 -fPIE -c -o $@ $<
$(B)/blake3/%.o: $(BLAKE3_DIR)/%.S
	@mkdir -p $(@D)
	$(CC) -fPIE -c -o $@ $<

$(B)/bin/%: $(B)/cmd/%.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/unit/%: $(B)/tests/unit/%.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/lib/%: $(B)/tests/lib/%.o $(B)/libdm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

unit: $(UNIT)
	@for t in $(UNIT); do $$t || exit 1; done

clean:
	rm -rf build build-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all unit clean
.SECONDARY:
