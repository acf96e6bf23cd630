# Sealed streams end to end: keys, conversations, one-way streams, and all who
# meddle with them.  dm-crypto(7)
load ../lib/common
load ../lib/pipeline
load ../lib/volumes
load ../lib/ssh

setup() {
	dm_setup
	image_random a.raw 9M
	truncate -s 12M a.raw
	dm-checkpoint key new k
	dm-checkpoint key new other
}
teardown() { dm_teardown; }

# requests: for all of a.raw, plain.
requests() {
	dm-changed a.raw | dm-describe | dm-window
}
# nothing_written: no content reached the target.
nothing_written() {
	[ ! -e b.raw ] || [ "$(du -k b.raw | cut -f1)" -eq 0 ] || die "b.raw was written"
}
# refused CODE TEXT PIPELINE: it ends so, says so, and writes nothing.
refused() {
	rm -f b.raw
	pipeline "$1" "$3 | dm-write b.raw >/dev/null"
	[[ $err == *"$2"* ]] || die "no \"$2\" in: $err"
	nothing_written
}

@test "a key is a private file, and never overwritten" {
	[ "$(stat -c %a k)" = 600 ]
	fails cmp -s k other
	sum k >before
	exits 1 dm-checkpoint key new k
	one_line "exists already"
	sum k | same before -
	chmod 640 k
	exits 2 dm-json --unseal k </dev/null
	one_line "chmod 600 k"
	exits 2 dm-json --unseal absent </dev/null
	one_line absent
	echo "dm-key/1 0123" >damaged
	chmod 600 damaged
	exits 2 dm-json --unseal damaged </dev/null
	one_line "is damaged"
}

@test "a passphrase gives the same key everywhere, for one name" {
	(umask 077; echo "correct horse battery staple" >phrase)
	exits 0 dm-checkpoint key new --from phrase --salt nightly k1
	exits 0 dm-checkpoint key new --from phrase --salt nightly k2
	exits 0 dm-checkpoint key new --from phrase --salt weekly k3
	same k1 k2
	fails cmp -s k1 k3
	exits 2 dm-json --unseal phrase </dev/null
	one_line "dm-checkpoint key new --from"
	exits 2 dm-checkpoint key new --from phrase k4
	[ ! -e k4 ]
}

@test "workers talk sealed: an iteration, and nobody on the line sees names or content" {
	requests >req
	cat >tap <<-'END'
		#!/bin/bash
		tee -a asked | dm-send --seal k --compress zstd a.raw | tee -a answered
	END
	chmod +x tap
	pipeline 0 "dm-recv --seal k -- ./tap <req | dm-write b.raw >/dev/null"
	same a.raw b.raw
	[ "$(stat -c %s answered)" -gt 9000000 ]
	for f in asked answered; do
		[ "$(grep -c a.raw $f)" -eq 0 ]
		LC_ALL=C grep -aq "$(head -c 400 a.raw | tail -c 8 | tr -d '\0\n\\[]*.^$')" $f && die "content seen in $f"
		[ "$(grep -ao Dfm1 $f | wc -l)" -gt 3 ]
	done
	exits 3 dm-json <answered
	one_line sealed
}

@test "several workers, each with a conversation of its own" {
	requests >req
	pipeline 0 "dm-recv --seal k --pad --streams 3 -- dm-send --seal k --pad a.raw <req | dm-write b.raw >/dev/null"
	same a.raw b.raw
}

@test "a worker that dies is replaced by another conversation" {
	requests >req
	cat >dies <<-'END'
		#!/bin/bash
		if mkdir once 2>/dev/null; then dm-send --seal k a.raw | stdbuf -o0 head -c 3000000
		else exec dm-send --seal k a.raw; fi
	END
	chmod +x dies
	pipeline 0 "dm-recv --seal k -- ./dies <req | dm-write b.raw >/dev/null"
	same a.raw b.raw
}

@test "wrong key, and downgrades of either side: refused before any write" {
	requests >req
	refused 1 "another key" "dm-recv --seal k -- dm-send --seal other a.raw <req"
	refused 3 "not sealed" "dm-recv --seal k -- dm-send a.raw <req"
	# either side may be the first to see it
	refused 3 "sealed" "dm-recv -- dm-send --seal k a.raw <req"
	refused 3 "one way" "dm-recv --seal k -- sh -c 'dm-send --seal k --all --one-way a.raw' <req"
	dm-send --seal k --all a.raw >one
	refused 3 "not sealed" "dm-send --all a.raw | dm-recv --one-way --unseal k"
	refused 3 "no key was given" "dm-recv <one"
	refused 3 sealed "cat one"
	refused 1 "another key" "dm-recv --one-way --unseal other <one"
	exits 2 dm-recv --unseal k <one
	one_line --one-way
}

@test "an old conversation played again is refused" {
	requests >req
	cat >tap <<-'END'
		#!/bin/sh
		tee asked | dm-send --seal k a.raw | tee answered
	END
	chmod +x tap
	pipeline 0 "dm-recv --seal k -- ./tap <req | dm-write b.raw >/dev/null"
	same a.raw b.raw
	refused 3 "does not open" "dm-recv --seal k -- sh -c 'cat answered; cat >/dev/null' <req"
	exits 3 dm-send --seal k a.raw <asked
	[ "$(dm-send --seal k a.raw <asked 2>/dev/null | wc -c)" -lt 1000 ]
}

@test "one way: pushed or carried in a file, bound to a session" {
	dm-send --all --seal k --session "disk 7, monday" a.raw >c
	pipeline 0 "dm-recv --one-way --unseal k --session 'disk 7, monday' <c | dm-write b.raw >/dev/null"
	same a.raw b.raw
	refused 3 "another session" "dm-recv --one-way --unseal k --session 'disk 7, tuesday' <c"
	refused 3 "another session" "dm-recv --one-way --unseal k <c"
	exits 2 dm-recv --session x <c
}

@test "a one-way stream that was cut or changed is not a whole one" {
	local n size
	dm-send --all --seal k a.raw >c
	size=$(stat -c %s c)
	for n in 10 60 200 $((size / 2)) $((size - 20)) $((size - 1)); do
		sh_exits 4 "head -c $n c | dm-recv --one-way --unseal k >d"
		[ "$(dm-json <d 2>/dev/null | grep -c '"end"')" -eq 0 ]
		cp c flipped
		printf "\\x$(printf %02x $(($(od -An -tu1 -j $n -N 1 c | tr -d ' ') ^ 4)))" |
			dd of=flipped bs=1 seek="$n" conv=notrunc status=none
		fails dm-recv --one-way --unseal k <flipped >d 2>/dev/null
		[ "$(dm-json <d 2>/dev/null | grep -c '"end"')" -eq 0 ]
	done
}

@test "descriptors, ids and requests are sealed where they cross the link" {
	site
	full site w1 a=a.raw
	for change in some none; do
		[ $change = none ] || poke a.raw 2097152 1000000
		pipeline 0 "dm-recover --ids --seal k --at latest site w1 |
			{ dm-changed --against - --unseal k a=a.raw | dm-describe --seal k --pad; } |
			dm-window --unseal k --acks acks |
			dm-recv --seal k -- dm-send --seal k a=a.raw |
			dm-write repo:site | dm-checkpoint commit --acks acks --workload w1 site"
	done
	recover site w1 latest a=b.raw
	same a.raw b.raw
	pipeline 0 "dm-changed --seal k --session s a=a.raw | dm-describe --unseal k --seal k --session s |
		dm-window --unseal k --seal k --session s | dm-send --unseal k --one-way --seal k --session s a=a.raw |
		dm-recv --one-way --unseal k --session s | dm-write c.raw >/dev/null"
	same a.raw c.raw
	refused 3 "not sealed" "dm-changed a.raw | dm-describe --unseal k | dm-window | dm-send a.raw"
	refused 1 "another key" "dm-changed a.raw | dm-describe --seal other | dm-window --unseal k | dm-send a.raw"
}

@test "without ssh: plain TCP" {
	requests >req
	accept port dm-send --seal k a.raw 3>&- 2>log &
	at_end kill $!
	wait_for test -s port
	pipeline 0 "dm-recv --seal k --streams 2 -- socat -t 60 - TCP:127.0.0.1:$(cat port) <req | dm-write b.raw >/dev/null"
	same a.raw b.raw
	refused 1 "another key" "dm-recv --seal other -- socat -t 60 - TCP:127.0.0.1:$(cat port) <req"
}

@test "keys are not seen in messages, and not in command lines" {
	local secret
	secret=$(cut -d' ' -f2 k)
	requests >req
	for c in "dm-recv --seal k -- dm-send --seal other a.raw" "dm-recv --one-way --unseal k" \
	    "dm-json --unseal k" "dm-send --seal $secret a.raw"; do
		bash -c "$c <req" >/dev/null 2>>said || true
	done
	[ -s said ]
	fails grep -q "$(cut -c1-16 <<<"$secret")" <(grep -v "key file $secret" said)
}

@test "dm-json opens and seals" {
	dm-send --all a.raw | dm-json -d >plain.json
	dm-send --all --seal k --pad --session s a.raw | dm-json -d --unseal k --session s >opened.json
	same <(grep -Ev '"(hello|stat|end)"' plain.json) <(grep -Ev '"(hello|stat|end)"' opened.json)
	dm-json -r --seal k <opened.json | dm-json -d --unseal k >again.json
	same opened.json again.json
	[ "$(dm-send --all a.raw | wc -c)" -lt "$(dm-send --all --seal k --pad a.raw | wc -c)" ]
}

@test "golden sealed streams are read for ever" {
	local g=$DM_TOP/tests/golden/v1/sealed
	(umask 077; printf 'dm-key/1 %s\n' "$(printf '2a%.0s' {1..32})" >k3)
	for f in "$g"/*.dms; do
		dm-json -d --unseal k3 --session "golden session" <"$f" >got
		same got "$DM_TOP/tests/golden/v1/good/chunks.json"
		exits 3 dm-json --unseal k3 <"$f"
	done
}

@test "a plan seals what crosses the link" {
	pseudo_ssh
	cat >plan.json <<-END
		{ "site": "site", "workloads": [ { "name": "w1", "host": "src",
		  "transforms": { "encrypt": { "key": "k", "source_key": "$T/other.name" } },
		  "disks": [ { "name": "a", "volume": "$T/a.raw" } ] } ] }
	END
	cp -p k other.name
	site
	exits 0 dm-replicate --dry-run plan.json
	[ "$(grep -o -- '--seal' <<<"$output" | wc -l)" -eq 3 ]
	exits 0 dm-replicate plan.json
	poke a.raw 700000 4096
	exits 0 dm-replicate plan.json
	recover site w1 latest a=b.raw
	same a.raw b.raw
	cp -p other other.name.2 && cp --remove-destination -p other other.name
	exits 1 dm-replicate plan.json
	[[ $err == *"another key"* ]]
	sed -i 's/"key": "k", //' plan.json
	exits 2 dm-replicate plan.json
}

# bats test_tags=plain
@test "programs that read hostile bytes have given up their rights" {
	local p
	for p in "dm-json" "dm-recv" "dm-json -r" "dm-recv -- true" "dm-window"; do
		mkfifo in
		$p <in >/dev/null 2>&1 3>&- &
		exec 7>in
		wait_for grep -q '^Seccomp:.2' /proc/$!/status
		grep -q '^NoNewPrivs:.1' /proc/$!/status
		exec 7>&-
		wait $! || true
		rm in
	done
}

# bats test_tags=plain
@test "who reads workers is confined, who starts them reads nothing, workers are free" {
	local us broker worker
	mkfifo in
	dm-recv -- sh -c 'echo $$ >pid.new; mv pid.new pid; exec dm-send a.raw' <in >out.bin 3>&- &
	us=$!
	exec 7>in
	wait_for grep -q '^Seccomp:.2' /proc/$us/status
	broker=$(cat /proc/$us/task/$us/children)
	grep -q '^Name:.dm-broker' /proc/${broker% }/status
	grep -q '^Seccomp:.0' /proc/${broker% }/status
	requests >&7 7>&-
	wait_for test -e pid
	worker=$(cat pid)
	[ "$(ps -o ppid= "$worker")" -eq "$broker" ]
	grep -q '^NoNewPrivs:.0' "/proc/$worker/status"
	exec 7>&-
	wait $us
	wait_for test ! -e "/proc/${broker% }"
	dm-write b.raw <out.bin >/dev/null
	same a.raw b.raw
	# Without whoever starts them there is one clear word, and an end.
	rm pid in && mkfifo in
	dm-recv -- sh -c 'echo $$ >pid.new; mv pid.new pid; exec dm-send a.raw' <in 2>err 3>&- | cat >out.bin &
	exec 7>in
	requests | head -c -20 >&7 7>&-
	wait_for test -e pid
	kill -KILL "$(ps -o ppid= "$(cat pid)" | tr -d ' ')"
	wait $!
	exec 7>&-
	dm-json <out.bin | tail -n 1 | jq -e '.type == "abort" and .code == 4 and (.text | contains("is gone"))'
}
