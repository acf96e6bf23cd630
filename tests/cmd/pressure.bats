# Pressure from the end: stores that throttle, stand still, or are slow, and
# links that are long.  Memory of every program stays bounded.
# bats file_tags=plain
load ../lib/common
load ../lib/volumes
load ../lib/nbd

setup() {
	dm_setup
	test_drivers
	mkfifo acks
}
teardown() { dm_teardown; }
reap() { kill -CONT "$1" 2>/dev/null; kill -9 "$1" 2>/dev/null || :; }

# anon PID: MiB of memory of its own.
anon() { awk '/^RssAnon/ { print int($2 / 1024) }' "/proc/$1/status"; }
# pid_of NAME: of the pipeline's program, by the file it left.
pid_of() { cat "$1.pid"; }
# put NAME: such a program, leaving its pid.
put() {
	mkdir -p .bin
	printf '#!/bin/sh\necho $$ >>%q/%s.pid\nexec %q "$@"\n' "$T" "$1" "$(command -v "$1")" >".bin/$1"
	chmod +x ".bin/$1"
}

@test "a store that throttles gets less at once, and all of it in the end" {
	image_random a.raw 120M
	sh_exits 0 'set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks | tee req |
		dm-recv -- dm-send --allow-change a.raw |
		dm-write --acks acks "fault+file:b.raw?write=EAGAIN@6x"'
	cmp a.raw b.raw
	# The window was pushed below what measuring alone allows.
	dm-json <req | jq -es 'map(select(.type == "stat") | select(.why == 5)) | length >= 1 and (map(.window) | min) < 16'
}

# refusals FILE FROM TO: how many of the calls in these lines of a log are made
# a second time: the store refused them.
refusals() {
	awk -v from="$2" -v to="$3" '$1 == "write" { n++; if (seen[$2]++ && n > from && n <= to) r++ } END { print r + 0 }' "$1"
}

@test "a store that takes two calls at once is asked for no more, and not again and again" {
	local n early late
	image_random a.raw 200M
	sh_exits 0 'set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks | tee req | dm-send --allow-change a.raw |
		dm-write --threads 16 --acks acks "log+fault+file:b.raw?most=2&delay=20&log=calls"'
	cmp a.raw b.raw
	n=$(grep -c '^write' calls)
	early=$(refusals calls 0 $((n / 4)))
	late=$(refusals calls $((n - n / 4)) "$n")
	echo "$n calls for 200 chunks; made again: $early of the first quarter, $late of the last"
	dm-json <req | jq -c 'select(.type == "stat") | [.window, .flight, .why]'
	[ "$early" -gt 0 ]
	[ "$late" -lt "$early" ]
	# What is in flight at last is what the store takes, and a little.
	dm-json <req | jq -es 'map(select(.type == "stat" and .why == 5)) | last | .window <= 8 and .flight <= 8'
}

@test "a store that never takes anything ends it with its reason" {
	image_random a.raw 2M
	sh_exits 4 'dm-changed a.raw | dm-describe | dm-window | dm-send --allow-change a.raw |
		dm-write "fault+file:b.raw?write=EIO@1+" >/dev/null'
	one_line dm-write: 'Input/output error'
}

# naks FILE: how many refusals these acks tell of, and the longest pause in ms.
naks() { dm-json <"$1" | jq -s -r '[.[] | select(.type == "nak")] | "\(length) \(map(.retry_ms) | max)"'; }

@test "an NBD server that fails one request in ten is asked for less, and gets all of it" {
	image_random a.raw 120M
	poke_zero a.raw 30000000 40000000
	image_random b.raw 120M
	# (Slow, so that it goes on for longer than the second between two STAT.)
	nbd s --filter=error --filter=delay file b.raw error=EIO error-rate=10% wdelay=30ms
	sh_exits 0 "set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks | tee req |
		dm-recv -- dm-send --allow-change a.raw | dm-write --acks acks 'a=$uri'"
	cmp a.raw b.raw
	dm-json <req | jq -es 'map(select(.type == "stat") | select(.why == 5)) | length >= 1 and (map(.window) | min) < 16'
	# And pieces of blocks, which are read, patched and written back.
	nbd t --filter=blocksize-policy --filter=error file b.raw error=ENOMEM error-rate=10% \
		blocksize-minimum=4096 blocksize-error-policy=error
	uri+="&record=$T/r"
	sh_exits 0 "dm-changed --state st a=a.raw | dm-describe | dm-send a=a.raw | dm-write 'a=$uri' >told"
	cmp a.raw b.raw
	python3 -c 'for i in range(0, 120 << 20, 1 << 20): print(i + 512, 20000, "data")' >map
	python3 -c 'import os
with open("a.raw", "r+b") as f:
    for i in range(0, 120 << 20, 1 << 20):
        f.seek(i + 512)
        f.write(os.urandom(20000))'
	sh_exits 0 "set -o pipefail
		dm-changed --extents a=map --base a=$(jq -r .target.root r) a=a.raw | dm-describe | dm-send --allow-change a=a.raw |
		dm-write 'a=$uri' >told"
	cmp a.raw b.raw
	[ "$(naks told | cut -d ' ' -f 1)" -gt 5 ]
}

@test "an NBD server whose storage is gone for seconds is waited for, not pressed" {
	local n most
	image_random a.raw 200M
	truncate -s 200M b.raw
	nbd s --filter=error --filter=log file b.raw error=EIO error-rate=100% error-file="$T/gone" logfile="$T/calls"
	(set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks | tee req |
			dm-send --allow-change a.raw | dm-write "a=$uri" | tee told >acks
		echo "${PIPESTATUS[*]}" >codes) 2>err &
	at_end reap $!
	wait_for eval '[ "$(stat -c %b b.raw)" -gt 40000 ]'
	touch gone
	sleep 4
	[ ! -e codes ]
	rm gone
	wait_for test -e codes
	[ "$(cat codes)" = "0 0 0 0 0 0 0" ]
	cmp a.raw b.raw
	# Pauses grew, so there were few tries.
	read -r n most < <(naks told)
	echo "$n refusals, pauses up to $most ms"
	[ "$n" -gt 8 ] && [ "$n" -lt 400 ] && [ "$most" -gt 500 ]
}

@test "an NBD server that fails all of it ends it with the first cause, and nothing is durable" {
	image_random a.raw 20M
	truncate -s 20M b.raw
	nbd s --filter=error file b.raw error=EIO error-pwrite-rate=100%
	sh_exits 4 "dm-changed a.raw | dm-describe | dm-window | dm-send --allow-change a.raw |
		timeout 100 dm-write 'a=$uri&timeout=2' >told"
	one_line dm-write: 'write at' 'Input/output error'
	dm-json <told | jq -es '(map(select(.type == "written" or .type == "durable")) | length == 0)
		and (last | .type == "abort")'
	# What no other time would change is not asked twice.
	nbd t --filter=error file b.raw error=ENOSPC error-pwrite-rate=100%
	sh_exits 4 "dm-changed a.raw | dm-describe | dm-window | dm-send --allow-change a.raw | dm-write 'a=$uri' >told"
	dm-json <told | jq -es 'map(select(.type == "nak")) | length == 0'
}

@test "a flush that fails is not made again, and what it was for is not durable" {
	image_random a.raw 60M
	truncate -s 60M b.raw
	cat >server <<-'SH'
		case $1 in
		get_size) stat -c %s "$DIR/b.raw" ;;
		pwrite) dd of="$DIR/b.raw" oflag=seek_bytes conv=notrunc seek="$4" bs=1M status=none ;;
		can_write | can_flush | can_zero) ;;
		zero) fallocate -z -o "$4" -l "$3" "$DIR/b.raw" ;;
		flush)
			echo flush >>"$DIR/flushes"
			[ "$(wc -l <"$DIR/flushes")" -ne 2 ] || { echo 'EIO the disk lost it' >&2; exit 1; } ;;
		*) exit 2 ;;
		esac
	SH
	chmod +x server
	sed -i "1i #!/bin/bash\nDIR=$T" server
	nbd s sh server
	sh_exits 4 "set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks --interval 16M |
		dm-send --allow-change a.raw | dm-write 'a=$uri' | tee told >acks"
	[ "$(wc -l <flushes)" -eq 2 ]
	dm-json <told | jq -es 'last | .type == "abort" and (.text | test("flush at 0: Input/output error"))'
	dm-json <told | jq -es 'map(select(.type == "durable")) | length == 1 and .[0].epoch == 1'
}

@test "while the store stands still, memory is bounded and nothing is lost" {
	local p most
	image_random a.raw 400M
	for p in dm-window dm-recv dm-send dm-write; do put "$p"; done
	(PATH=$T/.bin:$PATH; set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks |
			dm-recv --timeout 5 --streams 2 -- dm-send --allow-change a.raw | dm-write --acks acks b.raw
		echo "${PIPESTATUS[*]}" >codes) 2>err &
	at_end reap $!
	wait_for test -s dm-write.pid
	wait_for eval '[ -e b.raw ] && [ "$(stat -c %b b.raw)" -gt 40000 ]'
	kill -STOP "$(pid_of dm-write)"
	at_end reap "$(pid_of dm-write)"
	# Longer than a worker may be silent: who is not listened to is not silent.
	sleep 6
	[ ! -e codes ]
	for p in dm-window dm-recv dm-send; do
		most=64
		[ "$p" != dm-window ] || most=16
		for pid in $(cat "$p.pid"); do
			echo "$p $(anon "$pid") MiB of $most"
			[ "$(anon "$pid")" -le "$most" ]
		done
	done
	[ "$(anon "$(pid_of dm-write)")" -le 96 ]
	[ "$(wc -l <dm-send.pid)" -eq 2 ]
	kill -CONT "$(pid_of dm-write)"
	wait_for test -e codes
	[ "$(cat codes)" = "0 0 0 0 0" ]
	cmp a.raw b.raw
}

@test "while a server behind the writer stands still, the memory of all is bounded" {
	local p most server
	image_random a.raw 400M
	truncate -s 400M t.raw
	nbd s file t.raw
	server=$pid
	dm-checkpoint init site
	for p in dm-changed dm-describe dm-window dm-recv dm-send dm-write dm-checkpoint; do put "$p"; done
	(PATH=$T/.bin:$PATH; set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks --timeout 7 |
			dm-recv --timeout 3 --streams 2 -- dm-send --allow-change a.raw | dm-write "a=$uri" |
			dm-checkpoint commit --acks acks --workload w site
		echo "${PIPESTATUS[*]}" >codes) 2>err &
	at_end reap $!
	wait_for eval '[ "$(stat -c %b t.raw)" -gt 40000 ]'
	kill -STOP "$server"
	at_end reap "$server"
	# Longer than a worker may be silent, and than anything else may: the
	# writer says that it is there.
	sleep 9
	[ ! -e codes ]
	for p in dm-window dm-recv dm-send dm-write dm-checkpoint; do
		most=64
		[ "$p" != dm-window ] && [ "$p" != dm-checkpoint ] || most=16
		for pid in $(cat "$p.pid"); do
			echo "$p $(anon "$pid") MiB of $most"
			[ "$(anon "$pid")" -le "$most" ]
		done
	done
	[ "$(wc -l <dm-send.pid)" -eq 2 ]
	kill -CONT "$server"
	wait_for test -e codes
	[ "$(cat codes)" = "0 0 0 0 0 0" ]
	cmp a.raw t.raw
}

# cached FILE: MiB of a file or device in the page cache.
cached() {
	python3 - "$1" <<-'END'
		import ctypes, mmap, os, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		size = os.lseek(fd, 0, os.SEEK_END)
		libc = ctypes.CDLL(None, use_errno=True)
		libc.mmap.restype = ctypes.c_void_p
		libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
		at = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
		pages = (ctypes.c_ubyte * (size // 4096))()
		if libc.mincore(ctypes.c_void_p(at), ctypes.c_size_t(size), pages):
		    sys.exit("mincore: errno %d" % ctypes.get_errno())
		print(sum(p & 1 for p in pages) * 4096 >> 20)
	END
}

# fills_no_cache CHUNK TARGET: copy a.raw onto it in chunks of this size.
fills_no_cache() {
	sh_exits 0 "set -o pipefail
		dm-send --all --chunk-size $1 --allow-change d=a.raw | dm-write --json 'd=$2'"
	echo "$2 in chunks of $1: $(cached "$2") MiB cached"
	[ "$(cached "$2")" -le 40 ]
	cmp -n 314572800 a.raw "$2"
}

@test "writing leaves the page cache to others, past it or through it" {
	local dir
	if [ "$(stat -f -c %T .)" = tmpfs ]; then	# which is nothing but cache
		dir=$(mktemp -d /var/tmp/dm-cache.XXXXXX)
		at_end rm -rf "$dir"
		cd "$dir"
	fi
	image_random a.raw 300M
	fills_no_cache 1M b.raw
	rm b.raw
	fills_no_cache 32K b.raw	# too short to go past it
	truncate -s 300M l.raw
	loop_attach l.raw
	fills_no_cache 1M "$loop"
	fills_no_cache 32K "$loop"
}

@test "a worker that is stopped is replaced" {
	image_random a.raw 60M
	put dm-send
	(PATH=$T/.bin:$PATH; set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks --interval 20M |
			dm-recv --timeout 3 --streams 2 -- dm-send --allow-change a.raw |
			dm-write --acks acks "fault+file:b.raw?delay=50"
		echo "${PIPESTATUS[*]}" >codes) 2>err &
	at_end reap $!
	wait_for test -s dm-send.pid
	# Stopped when it owes something, not before it was asked.
	wait_for eval '[ "$(stat -c %b b.raw 2>/dev/null || echo 0)" -gt 0 ]'
	kill -STOP "$(head -n 1 dm-send.pid)"
	at_end reap "$(head -n 1 dm-send.pid)"
	wait_for test -e codes
	[ "$(cat codes)" = "0 0 0 0 0" ]
	cmp a.raw b.raw
	[ "$(wc -l <dm-send.pid)" -ge 3 ]
}

@test "dm-window sleeps while the target takes its time over the end" {
	image_random a.raw 3M
	dm-changed a=a.raw | dm-describe |
		{ TIMEFORMAT='%R %U %S'; time dm-window --acks acks; } 2>spent |
		dm-send a=a.raw | dm-write --acks acks "a=fault+file:b.raw?delay=700" >/dev/null
	cmp a.raw b.raw
	# Open, write, flush and finalize take as long: seconds, all but none of
	# them of the processor.
	awk '{ exit !($1 > 1.4 && $2 + $3 < $1 / 4) }' spent || die "$(cat spent)"
}
