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

# nbd_qsd SOCKET FILE ARGUMENT...: FILE (qcow2) by qemu-storage-daemon as export
# vda, with more properties of the export as ARGUMENTs.
nbd_qsd() {
	local s=$1 f=$2 IFS=,
	shift 2
	qemu-storage-daemon --daemonize --pidfile "$T/$s.pid" \
	    --blockdev driver=file,node-name=f,filename="$f" --blockdev driver=qcow2,node-name=d,file=f \
	    --nbd-server addr.type=unix,addr.path="$T/$s",max-connections=0 \
	    --export "type=nbd,id=e,node-name=d,name=vda${*:+,$*}" || return 1
	nbd_up "$s" vda
}

# nbd_tcp ARGUMENT...: nbdkit on a port of 127.0.0.1 that the system chose; $port.
nbd_tcp() {
	python3 - "$@" >"$T/port" <<-'END' &
		import os, socket, sys
		s = socket.socket()
		s.bind(("127.0.0.1", 0))
		s.listen(16)
		print(s.getsockname()[1], flush=True)
		os.dup2(s.fileno(), 3)
		os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
		null = os.open(os.devnull, os.O_RDWR)
		os.dup2(null, 0)
		os.dup2(null, 1)
		os.execvp("nbdkit", ["nbdkit", "-f"] + sys.argv[1:])
	END
	pid=$!
	at_end nbd_end "$pid"
	wait_for [ -s "$T/port" ] || return 1
	# shellcheck disable=SC2034  # for the tests
	port=$(cat "$T/port")
}
