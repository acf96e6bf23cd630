# Pressure from the end: stores that throttle, stand still, or are slow, and
# links that are long.  Memory of every program stays bounded.
# bats file_tags=plain
load ../lib/common
load ../lib/volumes

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

@test "a store that never takes anything ends it with its reason" {
	image_random a.raw 2M
	sh_exits 4 'dm-changed a.raw | dm-describe | dm-window | dm-send --allow-change a.raw |
		dm-write "fault+file:b.raw?write=EIO@1+" >/dev/null'
	one_line dm-write: 'Input/output error'
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
