# Each program links the libraries it uses and no other: dm(7), HOUSE.
load ../lib/common

setup() { dm_setup; }
teardown() { dm_teardown; }

# needs PROGRAM: the libraries it names, libc's own left out.
needs() {
	readelf -d "$DM_BUILD/bin/$1" |
		sed -n 's/.*(NEEDED).*\[lib\([a-z0-9_+-]*\)[.-].*/\1/p' |
		grep -vE '^(c|m|gcc_s|pthread|asan|ubsan|tsan|dl|rt|resolv|stdc\+\+)$' | sort | tr '\n' ' '
}

# only PROGRAM LIBRARY...: no library but these, though not all need be there.
only() {
	local p=$1 lib
	shift
	[ -x "$DM_BUILD/bin/$p" ] || die "no $p" || return 1
	for lib in $(needs "$p"); do
		[[ " $* " == *" $lib "* ]] || die "$p links lib$lib" || return 1
	done
}

@test "a program that only moves frames knows neither repository nor JSON" {
	only dm-recv blake3 xxhash zstd sodium
	[[ $(needs dm-recv) == *zstd* ]]
}

@test "dm-json needs jansson and no repository" {
	only dm-json blake3 xxhash zstd sodium jansson
	[[ $(needs dm-json) == *jansson* ]]
}

@test "programs with volumes or sites, and nothing more than those need" {
	local p
	for p in dm-changed dm-describe dm-window dm-send dm-write dm-recover; do
		only "$p" blake3 xxhash zstd sodium lmdb jansson
	done
	only dm-checkpoint blake3 xxhash zstd sodium lmdb jansson archive
}

@test "the floors hold" {
	exits 0 "$DM_TOP/scripts/check-floors"
}

@test "a file that includes upward is found" {
	cp -r "$DM_TOP/common" "$DM_TOP/cmd" "$BATS_TEST_TMPDIR"
	mkdir "$BATS_TEST_TMPDIR/scripts"
	cp "$DM_TOP/scripts/check-floors" "$BATS_TEST_TMPDIR/scripts"
	T=$BATS_TEST_TMPDIR
	echo '#include "stream/frame.h"' >>"$T/common/volume/volume.c"
	exits 1 "$T/scripts/check-floors"
	[[ $err == *"common/volume/volume.c:"*"volume must not include stream/frame.h"* ]]
}
