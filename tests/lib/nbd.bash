# NBD servers for tests:  load ../lib/nbd   (after common)
# Each is ended, by its own process id, when the test is.
# shellcheck shell=bash

# nbd SOCKET ARGUMENT...: nbdkit at $T/SOCKET; $uri names it, $pid is its own.
nbd() {
	local s=$1
	shift
	nbdkit -U "$T/$s" -P "$T/$s.pid" "$@" || return 1
	nbd_up "$s"
}

# nbd_qemu SOCKET ARGUMENT...: the same with qemu-nbd, for any number of clients.
nbd_qemu() {
	local s=$1
	shift
	qemu-nbd --fork --persistent --shared=0 --pid-file="$T/$s.pid" -k "$T/$s" "$@" || return 1
	nbd_up "$s"
}

# nbd_up SOCKET [EXPORT]: await it, see to its end, set $uri and $pid.
nbd_up() {
	wait_for [ -s "$T/$1.pid" ] && wait_for [ -S "$T/$1" ] || return 1
	pid=$(cat "$T/$1.pid")
	# shellcheck disable=SC2034  # for the tests
	uri="nbd+unix:///${2-}?socket=$T/$1"
	at_end nbd_end "$pid"
}
# nbd_end PID: and wait until it has.
nbd_gone() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
	[[ $stat == *") Z "* ]]	# waits to be reaped
}
nbd_end() {
	kill "$1" 2>/dev/null || return 0
	wait_for nbd_gone "$1"
}
