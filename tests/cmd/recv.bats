# dm-recv: passes on what verified and nothing else; workers that die, lie or
# are silent.
load ../lib/common
load ../lib/faults
load ../lib/volumes

setup() {
	dm_setup
	image_random a.raw 9M
	truncate -s 12M a.raw
}
teardown() { dm_teardown; }

# requests [WINDOW-OPTION...]: for all of a.raw.
requests() {
	descs --runs a=12M | dm-window "$@"
}
# chunks [SEND-OPTION...]: a stream of them in `c'.
chunks() {
	requests --interval 4M | dm-send "$@" a.raw >c
}
# compressible: a.raw is, so that as JSON it is short.
compressible() {
	yes 'the same line over and over' | head -c 9M >a.raw
	truncate -s 12M a.raw
}
# edit FILTER: `c' as JSON through jq and back.
edit() {
	dm-json -d <c | jq -c "$1" | dm-json -r
}
# recv CODE COMMAND...: workers, and what they send written to b.raw.
recv() {
	local code=$1
	shift
	rm -f b.raw
	requests --interval 2M >req
	sh_exits "$code" "set -o pipefail; within() { timeout -k 5 \"\$@\"; }
		within 200 dm-recv ${RECV-} -- $* <req | dm-recv | dm-write b.raw >/dev/null"
}
# once COMMAND ELSE: a worker that does the one the first time, then the other.
once() {
	cat >worker <<-EOF
		#!/bin/sh
		if mkdir once 2>/dev/null; then
			$1
		else
			$2
		fi
	EOF
	chmod +x worker
}

@test "a stream goes through as it came" {
	chunks
	exits 0 dm-recv <c
	dm-recv <c >d
	dm-json <c >c.json
	dm-json <d >d.json
	same c.json d.json
	dm-write b.raw <d >/dev/null
	same a.raw b.raw
}

@test "a stream cut anywhere is stopped early: code 4, never END" {
	local n size
	chunks
	size=$(stat -c %s c)
	for n in 0 1 15 16 40 $((size / 3)) $((size / 2)) $((size - 100)) $((size - 1)); do
		sh_exits 4 "head -c $n c | dm-recv >d"
		[ "$(dm-json <d 2>/dev/null | grep -c '"end"')" -eq 0 ]
	done
}

@test "damaged bits are refused" {
	local n size
	chunks
	size=$(stat -c %s c)
	for n in 3 20 30 50 $((size / 3)) $((size / 2)) $((size - 60)) $((size - 1)); do
		flip c "$n" d
		exits 3 dm-recv <d
	done
}

# forged FILTER: `c' changed as no writer of ours does; in `d'.
forged() {
	dm-json -d <c | jq -c "$1" | dm-json -r >d 2>/dev/null || :
	[ -s d ]
}

@test "lost, overtaken and foreign frames are refused" {
	compressible
	chunks --compress zstd
	forged 'select(.index != 5)'
	sh_exits 3 'dm-recv <d >e'
	one_line 'the barrier of epoch 2 stands for 8 chunks'
	forged 'select(.type != "barrier" or .epoch != 2)'
	sh_exits 3 'dm-recv <d >e'
	one_line 'the barrier of epoch 3 came where that of epoch 2 was due'
	forged 'if .index == 5 then .epoch = 1 else . end'
	sh_exits 3 'dm-recv <d >e'
	one_line 'came after the barrier of epoch 1'
	edit 'if .index == 5 then .type = "desc" | del(.data, .codec, .plain, .stored, .attempt) else . end' >d
	sh_exits 2 'dm-recv <d >e'
	one_line dm-send
	(cat c; head -c 100 c) >d
	sh_exits 3 'dm-recv <d >e'
	one_line 'after END'
}

@test "what fails in front is passed on and not said" {
	sh_exits 1 'set -o pipefail; descs a=3M | dm-window | dm-send a.raw | dm-recv | dm-json >d'
	one_line dm-send: '3145728 are asked for'
	sh_exits 1 'descs a=3M | dm-window | dm-send a.raw | dm-recv >/dev/null'
	one_line dm-send:
}

@test "--verify compares content with ids" {
	compressible
	chunks --compress zstd
	# Any id is false but one.
	dm-json -d <c | jq -c 'if .index == 5 then .id = "01" * 32 else . end' |
		dm-json -r --renumber >d
	exits 0 dm-recv <d
	sh_exits 3 'dm-recv --verify <d >e'
	one_line 'entry 5' 'id'
	exits 0 dm-recv --verify <c
}

@test "workers answer, one or several" {
	recv 0 dm-send a.raw
	same a.raw b.raw
	RECV='--streams 3' recv 0 dm-send a.raw
	same a.raw b.raw
}

@test "the command may be a shell line at the end of a pipe" {
	RECV='--streams 2' recv 0 sh -c "'dm-send a.raw | cat'"
	same a.raw b.raw
}

@test "a worker that dies is replaced, and what it owed comes once" {
	once 'dm-send a.raw | stdbuf -o0 head -c 3000000' 'exec dm-send a.raw'
	recv 0 ./worker
	same a.raw b.raw
	rmdir once
	RECV='--streams 3' recv 0 ./worker
	same a.raw b.raw
	rmdir once
	once 'kill -9 $$' 'exec dm-send a.raw'
	recv 0 ./worker
	same a.raw b.raw
}

@test "a worker that sends garbage is replaced" {
	once 'dm-send a.raw | { stdbuf -o0 head -c 2000000; head -c 100000 /dev/urandom; cat; }' 'exec dm-send a.raw'
	recv 0 ./worker
	same a.raw b.raw
	recv 3 head -c 100000 /dev/urandom
	one_line 'worker 1'
}

@test "a worker that dies before its END is heard is not believed" {
	chunks
	once 'dm-send a.raw | stdbuf -o0 head -c '"$(($(stat -c %s c) - 40))" 'exec dm-send a.raw'
	recv 0 ./worker
	same a.raw b.raw
}

@test "a silent worker is replaced" {
	# (Not one second: one that starts on a busy machine may be as silent.)
	mkfifo hold
	exec 8<>hold	# whoever reads it waits until the test is over
	once 'exec 8<&-; exec cat hold' 'exec dm-send a.raw'
	RECV='--timeout 3' recv 0 ./worker
	same a.raw b.raw
	rmdir once
	once 'exec 8<&-; dm-send a.raw | { stdbuf -o0 head -c 2000000; exec cat hold; }' 'exec dm-send a.raw'
	RECV='--timeout 3 --streams 2' recv 0 ./worker
	same a.raw b.raw
	exec 8>&-
}

@test "workers that never do it: their failure ends the job, once" {
	recv 4 sh -c "'exit 0'"
	one_line 'worker 1: ended before its END'
	recv 4 /nowhere/dm-send
	one_line /nowhere/dm-send 'No such file'
	recv 4 sh -c "'exit 127'"
	one_line 'ended with status 127'
	recv 2 sh -c "'exit 2'"
	one_line 'ended with status 2'
	recv 4 dm-send nowhere.raw
	one_line dm-send: nowhere.raw
}

@test "an answer that differs from its request is refused" {
	compressible
	recv 3 sh -c "'dm-send --compress zstd a.raw | dm-json -d | jq --unbuffered -c \"if .index == 3 then .off = 4194304 else . end\" | dm-json -r'"
	[[ $err == *'entry 3 differs'* ]]
	recv 3 sh -c "'dm-send --compress zstd a.raw | dm-json -d | jq --unbuffered -c \"if .index == 3 then .index = 30 else . end\" | dm-json -r'"
	[[ $err == *'entry 30'* ]]
}

@test "a worker of another session, size or point is refused" {
	descs --session 2 --runs a=12M | dm-window >req2
	recv 3 sh -c "'dm-send a.raw <req2; cat >/dev/null'"
	one_line 'another session'
	truncate -s 13M big.raw
	recv 1 dm-send big.raw
	one_line '13631488'
	# Answers of a source in another state than the requests name.
	chunks
	requests | dm-json |
		jq -c 'if .type == "hello" then .disks[0] += {target_point: "then", frozen: true} else . end' |
		dm-json -r >req
	sh_exits 1 'dm-recv -- sh -c "cat c; cat >/dev/null" <req >d'
	one_line 'worker 1: disk a is at' '"then" is asked for'
}

@test "zeros do not cross the link" {
	descs --zero a=12M | dm-window >req
	sh_exits 0 'dm-recv -- sh -c "tee asked | dm-send a.raw" <req >c'
	[ "$(dm-json <c | grep -c '"zero"')" -eq 12 ]
	[ "$(dm-json <asked | grep -cE '"zero"|"desc"|"barrier"')" -eq 0 ]
}

@test "runs that nobody cut before are cut" {
	descs --runs a=12M >req
	RECV='--streams 2'
	sh_exits 0 'dm-recv --streams 2 -- dm-send a.raw <req | dm-write b.raw >/dev/null'
	same a.raw b.raw
}

@test "requests that are wrong are refused, and the workers end" {
	descs --false-end --runs a=12M >req
	sh_exits 3 'dm-recv -- dm-send a.raw <req >d'
	descs --no-end --runs a=12M >req
	sh_exits 4 'dm-recv -- dm-send a.raw <req >d'
	one_line 'input: ended before its END'
	descs --abort --runs a=12M >req
	sh_exits 4 'set -o pipefail; dm-recv -- dm-send a.raw <req | dm-json >d'
	[ "$err" = 'descs: told to fail' ]
}

@test "its reader going away ends it and its workers" {
	requests >req
	sh_exits 4 'dm-recv -- sh -c "echo \$\$ >pid; exec dm-send a.raw" <req | head -c 1000000 >/dev/null
		exit "${PIPESTATUS[0]}"'
	[ -z "$err" ]
	wait_for eval '! kill -0 "$(cat pid)" 2>/dev/null'
}

@test "different commands share the work, and one that is wrong is left out" {
	cp a.raw other.raw
	requests --interval 2M >req
	# The first keeps its answers back until the second was asked too.
	sh_exits 0 'set -o pipefail
		dm-recv --worker "tee 1 | dm-send a=a.raw | (until dm-json <2 2>/dev/null | grep -q desc; do sleep 0.05; done; cat)" \
			--worker "tee 2 | dm-send a=other.raw" <req |
		dm-recv | dm-write b.raw >/dev/null'
	same a.raw b.raw
	[ $(($(dm-json <1 | grep -c '"desc"') + $(dm-json <2 | grep -c '"desc"'))) -eq 12 ]
	truncate -s 13M big.raw
	rm b.raw
	sh_exits 0 'set -o pipefail; dm-recv --worker "dm-send a=big.raw" --worker "dm-send a=other.raw" <req |
		dm-recv | dm-write b.raw >/dev/null'
	one_line 'worker 1' '13631488' 'not used any more'
	same a.raw b.raw
	rm b.raw
	sh_exits 0 'set -o pipefail; dm-recv --worker "exit 127" --worker "exit 2" -- dm-send a=other.raw <req |
		dm-recv | dm-write b.raw >/dev/null'
	[[ $err == *"worker 1"*"not used"* && $err == *"worker 2"*"not used"* ]]
	same a.raw b.raw
	sh_exits 1 'dm-recv --worker "dm-send a=big.raw" --worker "dm-send a=big.raw >&1" <req >/dev/null'
}

@test "what a liar was asked for is asked of another, and nothing of it passes" {
	ln a.raw other.raw	# one volume: whoever says HELLO first, they agree
	requests --interval 2M >req
	sh_exits 0 'set -o pipefail
		dm-recv --worker "dm-send a=a.raw | dm-json -d | jq --unbuffered -c \"if .type == \\\"chunk\\\" then .off = 0 else . end\" | dm-json -r" \
			--worker "dm-send a=other.raw" <req |
		dm-recv | dm-write b.raw >/dev/null'
	same a.raw b.raw
}

@test "a cut that outlasts five failures is survived, and said" {
	mkdir up
	cat >link <<-'END'
		#!/bin/sh
		[ -d up ] || exit 4
		[ ! -e cut ] || exec dm-send a.raw
		dm-send a.raw | stdbuf -o0 head -c 2000000
		: >cut
		rmdir up
		exit 4
	END
	chmod +x link
	requests --interval 2M >req
	(within 300 dm-recv --give-up-after 60 -- ./link <req 2>said | dm-recv | dm-write b.raw >/dev/null
		echo "${PIPESTATUS[*]}" >codes) &
	at_end reap $!
	wait_for grep -qs 'three times in a row' said
	grep -q '^dm-recv: worker 1: [^:]*(three' said
	[ ! -e codes ]
	mkdir up
	wait_for test -e codes
	[ "$(cat codes)" = "0 0 0" ]
	same a.raw b.raw
	grep -q 'works again' said
}
reap() { kill "$1" 2>/dev/null || :; }

@test "when nothing comes for long it gives up with the reason" {
	cat >link <<-'END'
		#!/bin/sh
		mkdir used 2>/dev/null || { sleep 0.2; exit 4; }
		dm-send a.raw | stdbuf -o0 head -c 2000000
	END
	chmod +x link
	requests >req
	sh_exits 4 'within() { timeout -k 5 "$@"; }; within 200 dm-recv --give-up-after 2 -- ./link <req >/dev/null'
	[[ $err == *"nothing came for 2 seconds, the last failure: "* ]]
}

@test "workers that work and fail again and again spend the budget of retries" {
	# Each answers one chunk of many and dies.
	printf '#!/bin/sh\ndm-send a.raw | stdbuf -o0 head -c 1100000\n' >link
	chmod +x link
	truncate -s 300M a.raw
	openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 </dev/zero 2>/dev/null | head -c 300M >a.raw
	descs --runs a=300M | dm-window >req
	sh_exits 4 'within() { timeout -k 5 "$@"; }; within 250 dm-recv --streams 8 -- ./link <req >/dev/null'
	[[ $err == *"workers fail too often"* ]]
}

@test "options without a use are usage errors" {
	exits 2 dm-recv --give-up-after 5 </dev/null
	exits 2 dm-recv --streams 40 --worker a --worker b </dev/null
	one_line 'more than 64'

	exits 2 dm-recv --streams 2 </dev/null
	one_line command
	exits 2 dm-recv --verify -- true </dev/null
	exits 2 dm-recv -- </dev/null
}
