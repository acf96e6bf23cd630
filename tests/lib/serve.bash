# Servers of checkpoints for tests:  load ../lib/serve   (after common)
# shellcheck shell=bash

# An instrumented plugin needs its run-time library in nbdkit, which has none.
plugin_env() {
	local lib=
	case $DM_BUILD in
	*-address*) lib=$(gcc -print-file-name=libasan.so) ;;
	*-thread*) lib=$(gcc -print-file-name=libtsan.so) ;;
	*) return 0 ;;
	esac
	mkdir -p "$T/.san"
	printf '#!/bin/sh\nLD_PRELOAD=%s ASAN_OPTIONS=detect_leaks=0 exec %s "$@"\n' \
	    "$lib" "$(command -v nbdkit)" >"$T/.san/nbdkit"
	chmod +x "$T/.san/nbdkit"
	PATH=$T/.san:$PATH
}

# serve NAME [OPTION]... SITE WORKLOAD: in the background until the end of the
# test, as NAME.json says.
serve() {
	local name=$1
	shift
	exits 0 within 200 dm-serve --json --background --pid-file "$T/$name.pid" "$@" || return 1
	# shellcheck disable=SC2154  # by exits
	printf '%s\n' "$output" >"$T/$name.json"
	at_end serve_end "$T/$name.pid"
}
serve_end() {
	[ ! -e "$1" ] || dm-serve --stop "$1" || :
}
# uri NAME DISK
uri() {
	jq -r --arg d "$2" '.disks[] | select(.name == $d) | .uri' "$T/$1.json"
}
# mounted NAME DISK [PART]: where.
mounted() {
	jq -r --arg d "$2" --arg p "${3-}" \
	    '.mounts[] | select(.disk == $d and ($p == "" or .partition == ($p | tonumber))) | .path' "$T/$1.json"
}

# gone: no server, mount, loop device or directory of the site under test is
# left.
gone() {
	! grep -qE " $T/(m|tmp)/" /proc/mounts || return 1
	! losetup -n -O BACK-FILE | grep -q "$TMPDIR" || return 1
	[ -z "$(ls -A "$TMPDIR")" ]
}
