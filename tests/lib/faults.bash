# Faults for tests:  load ../lib/faults   (after common)
# shellcheck shell=bash

# cut_at FILE BYTES: the beginning of a stream.
cut_at() {
	head -c "$2" "$1"
}

# flip FILE OFFSET OUT: a copy with the lowest bit of one byte inverted.
flip() {
	local byte
	cp -- "$1" "$3"
	byte=$(od -An -tu1 -j "$2" -N1 "$1")
	# shellcheck disable=SC2059
	printf "\\x$(printf %x $((byte ^ 1)))" |
		dd of="$3" bs=1 seek="$2" conv=notrunc status=none
}

# small_fs DIR SIZE: a tmpfs that soon is full.
small_fs() {
	[ "$(id -u)" -eq 0 ] || die "this test needs root (mount)" || return 1
	mkdir -p "$1"
	mount -t tmpfs -o size="$2" none "$1" || return 1
	at_end wait_for umount "$1"
}

# nbd_fault DIR ARG...: an nbdkit with the error filter on a socket; sets $nbd.
nbd_fault() {
	local file=$1
	shift
	nbdkit -U "$T/.nbd" -P "$T/.nbd.pid" --filter=error file "$file" "$@" || return 1
	at_end kill_pid_file "$T/.nbd.pid"
	# shellcheck disable=SC2034  # for the caller
	nbd="nbd+unix:///?socket=$T/.nbd"
}
kill_pid_file() {
	kill "$(cat "$1")" 2>/dev/null || :
}

# children PID: its processes, with theirs.
children() {
	local p
	# shellcheck disable=SC2013  # one line of words
	for p in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		echo "$p"
		children "$p"
	done
}

# background TEXT: run a line of shell as a process group of its own; sets
# $group.  kill_one NAME: SIGKILL one program of it.
background() {
	set -m
	bash -c "$1" >"$T/.bg.out" 2>"$T/.bg.err" 3>&- &
	group=$!
	set +m
	at_end kill_group "$group"
}
kill_group() {
	kill -KILL -- "-$1" 2>/dev/null || :
}
kill_one() {
	local p
	for p in $(children "$group"); do
		if [ "$(cat "/proc/$p/comm" 2>/dev/null)" = "$1" ]; then
			kill -KILL "$p" 2>/dev/null && return 0
		fi
	done
	return 1
}

# preload_fault PROGRAM:CALL:N:WHAT[,...]: that program's Nth call of the
# system fails (tests/lib/preload_fault.c), until no_fault.
preload_fault() {
	export LD_PRELOAD=$DM_BUILD/lib/preload_fault.so DM_FAULT=$1
	export ASAN_OPTIONS=verify_asan_link_order=0
}
no_fault() {
	unset LD_PRELOAD DM_FAULT
}
