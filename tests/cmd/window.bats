# dm-window: what it asks for, and what it does when others fail.
load ../lib/common
load ../lib/volumes

setup() {
	dm_setup
	mkfifo acks
}
teardown() { dm_teardown; }

# asked FILTER: the frames of `out', through jq.
asked() {
	dm-json <out 2>/dev/null | jq -rs "$1"
}

# window CODE DESCS-OPTIONS [WINDOW-OPTION...]: descs into dm-window into `out'.
window() {
	local code=$1 descs=$2
	shift 2
	sh_exits "$code" "set -o pipefail; descs $descs | dm-window $* >out"
}

# session DESCS-OPTIONS WINDOW-OPTIONS: a dm-window with acks in the background.
# What it sends appears in `seen' as JSON lines; lines of JSON given to
# descriptor 9 are its acks.
session() {
	: >seen
	mkfifo lines
	# shellcheck disable=SC2086  # options are words
	{
		descs $1 | {
			code=0
			dm-window --acks acks ${2-} 2>err || code=$?
			echo $code >code
		} | dm-json >seen 2>/dev/null || :
		touch closed
	} 3>&- &
	at_end reap $!
	dm-json -r <lines >acks 2>/dev/null 3>&- &
	at_end reap $!
	exec 9>lines
}
reap() { kill "$1" 2>/dev/null || :; }
descs_seen() { [ "$(grep -c '"desc"' seen)" -eq "$1" ]; }
# ends CODE: the dm-window of the session ends so, and all it said was seen.
ends() {
	wait_for test -e code || return 1
	wait_for test -e closed || return 1
	[ "$(cat code)" -eq "$1" ] || die "dm-window ended with $(cat code), not $1"
}

# answer FILTER: acks made from the frames seen, by jq.
answer() {
	jq -c "$1" seen >&9
}
hello='select(.type == "hello")'
written='select(.type == "desc") | .type = "written" | .how = "data" | .service_us = 1'

@test "runs are cut, and barrier and END are its own" {
	window 0 '--runs a=10M'
	[ "$(asked '[.[] | select(.type == "desc") | .len] | add')" -eq 10485760 ]
	[ "$(asked '[.[] | select(.type == "desc")] | length')" -eq 10 ]
	[ "$(asked '[.[] | select(.type == "barrier")][0] | "\(.epoch) \(.count) \(.bytes)"')" = "1 10 10485760" ]
	[ "$(asked '.[-1] | "\(.type) \(.count)"')" = "end 10" ]
	[ "$(asked '.[-2].type')" = barrier ]
}

@test "zeros are not asked for, and not cut" {
	window 0 '--runs --zero a=16T'
	[ "$(asked '[.[] | select(.type == "zero") | .len] | add')" -eq $((16 << 40)) ]
	[ "$(asked 'length')" -eq 4 ]
}

@test "requests go out as fast as they are read, whatever the clock says" {
	# 200,000 requests, many times what the output holds.
	(within 30 dm-window; echo $? >code) < <(descs --runs a=200G) | tail -c 200 >out
	[ "$(cat code)" -eq 0 ]
}

@test "a barrier each interval" {
	window 0 'a=10M' --interval 4M
	[ "$(asked '[.[] | select(.type == "barrier") | .count] | join(" ")')" = "4 8 10" ]
	[ "$(asked '[.[] | select(.type == "desc") | .epoch] | unique | join(" ")')" = "1 2 3" ]
}

@test "nothing to do is done too" {
	descs --zero a=1M | dm-json | jq -c 'select(.type != "desc")' | dm-json -r --renumber >none
	sh_exits 0 'dm-window <none >out'
	[ "$(asked '[.[].type] | join(" ")')" = "hello barrier end" ]
}

@test "input that is wrong is refused, and downstream is told" {
	window 3 '--false-end a=3M'
	[ "$(asked '.[-1] | "\(.type) \(.code)"')" = "abort 3" ]
	[ -n "$err" ]	# a file cannot speak
	window 3 '--twice a=3M'
	window 4 '--no-end a=3M'
	[ "$(asked '.[-1] | "\(.type) \(.code)"')" = "abort 4" ]
	sh_exits 3 '(descs a=3M; descs a=3M) | dm-window >out'
	sh_exits 3 'head -c 100000 /dev/urandom | dm-window >out'
	sh_exits 4 'dm-window </dev/null >out'
}

@test "in a pipeline only the last program speaks" {
	sh_exits 3 'set -o pipefail; descs --false-end a=3M | dm-window | dm-json >out'
	one_line 'dm-window: input: its END'
	sh_exits 4 'set -o pipefail; descs --abort a=3M | dm-window | dm-json >out'
	[ "$err" = "descs: told to fail" ]
}

@test "extents and identities are not what it takes" {
	truncate -s 3M a.raw
	sh_exits 2 'dm-changed a.raw | dm-window >out'
	one_line dm-window: dm-describe
	descs a=3M | dm-json | jq -c 'if .type == "hello" then .kind = "ids" else . end' | dm-json -r --renumber >ids
	sh_exits 2 'dm-window <ids >out'
	one_line dm-window: dm-changed
}

@test "no more is in flight than the window allows, and credit comes back" {
	session '--runs a=20M' '--window-min 4M --window-max 4M'
	wait_for descs_seen 4
	# One is written: one more is asked for, and the window stays full.
	answer "$hello"
	answer "$written | select(.index == 2)"
	wait_for descs_seen 5
	answer "$written | select(.index == 0 or .index == 3)"
	wait_for descs_seen 7
	[ "$(grep -c '"barrier"' seen)" -eq 0 ]
	exec 9>&-
	ends 4		# the acks ended before their END
}

@test "END goes out after the last acknowledgement, and acks have an END too" {
	session 'a=3M'
	wait_for descs_seen 3
	answer "$hello"
	answer "$written | select(.index > 0)"
	wait_for grep -q '"barrier"' seen
	[ "$(grep -c '"end"' seen)" -eq 0 ]
	answer "$written | select(.index == 0)"
	wait_for grep -q '"end"' seen
	answer 'select(.type == "end")'
	exec 9>&-
	ends 0
}

@test "acks of another session are refused" {
	session 'a=3M'
	wait_for descs_seen 3
	descs --session 2 a=3M | dm-json >&9
	ends 3
	grep -q '"abort".*another session' seen
	own_words err
	[ ! -s err ]
}

@test "an acknowledgement of what was not asked for is refused" {
	session 'a=3M'
	wait_for descs_seen 3
	answer "$hello"
	answer "$written | select(.index == 1) | .index = 7"
	ends 3
}

@test "the same acknowledgement twice is refused" {
	session 'a=3M'
	wait_for descs_seen 3
	answer "$hello"
	answer "$written | select(.index == 1)"
	answer "$written | select(.index == 1)"
	ends 3
}

@test "END on the acks before ours is refused" {
	session 'a=3M'
	wait_for descs_seen 3
	answer "$hello"
	descs a=3M | dm-json | jq -c 'select(.type == "end")' >&9
	ends 3
}

@test "a refusal shrinks the window" {
	session '--runs a=40M' '--window-min 8M --window-max 8M'
	wait_for descs_seen 8
	answer "$hello"
	echo '{"type":"nak","disk":0,"epoch":1,"index":3,"class":"throttle","again":false,"retry_ms":0}' >&9
	# Five come back, and only two may follow: 3 + 2 = 5, seven tenths of 8.
	answer "$written | select(.index < 5)"
	wait_for descs_seen 10
	answer "$written | select(.index == 5)"
	wait_for descs_seen 11
	exec 9>&-
	ends 4
	[ "$(grep -c '"desc"' seen)" -eq 11 ]
}

@test "a failure told by the acks ends it with that code, silently" {
	session 'a=3M'
	wait_for descs_seen 3
	answer "$hello"
	echo '{"type":"abort","code":1,"class":"permanent","text":"dm-write: no"}' >&9
	ends 1
	own_words err
	[ ! -s err ]
	grep -q '"abort".*dm-write: no' seen
}

@test "a writer of acks that dies before its first byte is seen" {
	session 'a=3M'
	exec 9>&-
	ends 4
}

@test "its reader going away ends it, before anyone opened the FIFO" {
	mkfifo hold
	exec 8<>hold
	{
		{ descs a=300M; cat hold; } | {
			code=0
			dm-window --acks acks 2>err || code=$?
			echo $code >code
		} | :
	} 8>&- 3>&- &
	at_end reap $!
	wait_for test -e code
	[ "$(cat code)" -eq 4 ]
	own_words err
	[ ! -s err ]
	exec 8>&-
}

@test "when nothing moves it gives up" {
	mkfifo hold
	exec 8<>hold
	exits 4 within 100 dm-window --timeout 1 <hold >out
	one_line dm-window: 'nothing moved for 1 seconds'
	exec 8>&-
}

@test "a reader that takes its time is waited for" {
	descs a=40000M >in
	sh_exits 0 'set -o pipefail
		dm-window --timeout 1 <in | { sleep 3; cat; } >out'
	[ "$(asked '.[-1].count')" -eq 40000 ]
}

@test "acks must be a FIFO that is there" {
	sh_exits 2 'descs a=1M | dm-window --acks nowhere >out'
	one_line dm-window: nowhere mkfifo
	: >file
	sh_exits 2 'descs a=1M | dm-window --acks file >out'
	one_line dm-window: file mkfifo
}

@test "descriptors are given back as they were" {
	mkfifo in
	exec 8<>in
	descs a=1M >&8
	exits 0 dm-window <&8 >out
	[ $((0$(sed -n 's/^flags:\s*//p' /proc/self/fdinfo/8) & 04000)) -eq 0 ]
	exec 8>&-
}

@test "a wrapper that holds the pipe open does not hold up the end" {
	truncate -s 3M a.raw
	sh_exits 0 'set -o pipefail
		descs a=3M | (dm-window --acks acks; echo $? >code; sleep 3) |
			timeout 100 dm-recv -- dm-send --allow-change a.raw |
			timeout 100 dm-write --acks acks b.raw'
	same a.raw b.raw
	[ "$(cat code)" -eq 0 ]
}

@test "progress goes to standard error" {
	sh_exits 0 'descs --runs a=30M | dm-window --progress 2>shown >out'
	grep -q 'dm-window: 30.0 MiB of 30.0 MiB' shown
}

# types: of the requests in `req', counted; not the figures among them.
types() { dm-json <req | jq -rs 'map(select(.type != "stat")) | group_by(.type)[] | "\(.[0].type) \(length)"' | xargs; }

# interrupted: an iteration of d.raw that is cut in its fourth epoch, when the
# third is durable.
durable() { dm-json <acked 2>/dev/null | grep -q '"durable","epoch":3'; }
interrupted() {
	: >acked
	dm-changed d.raw | dm-describe | dm-window --interval 2M --resume site | dm-send d.raw |
	    { stdbuf -o0 head -c 7000000; wait_for durable; } |
		dm-recv | dm-write repo:site >acked || :
	durable
}

@test "--resume does not ask again for what an interrupted iteration left" {
	image_random d.raw 12M
	chmod 400 d.raw
	dm-checkpoint init site
	interrupted 2>/dev/null
	dm-changed d.raw | dm-describe | dm-window --resume site >req
	[[ $(types) =~ ^"barrier 1 desc "([0-9]+)" end 1 held "([0-9]+)" hello 1"$ ]]
	[ $((BASH_REMATCH[1] + BASH_REMATCH[2])) -eq 12 ]
	[ "${BASH_REMATCH[2]}" -ge 6 ]
	sh_exits 0 'dm-recv -- dm-send d.raw <req | dm-write repo:site |
		dm-checkpoint commit --workload w site'
	sh_exits 0 'dm-recover --at latest site w | dm-window | dm-send repo:site | dm-write b.raw >/dev/null'
	same d.raw b.raw
}

@test "--resume believes only ids when the source may have changed" {
	image_random d.raw 12M
	dm-checkpoint init site
	interrupted 2>/dev/null
	dm-changed d.raw | dm-describe | dm-window --resume site >req
	[ "$(types)" = "barrier 1 desc 12 end 1 hello 1" ]
	image_random d2.raw 1M
	dd if=d2.raw of=d.raw bs=1M seek=1 conv=notrunc status=none
	dm-changed d.raw | dm-describe --digest d.raw | dm-window --resume site >req
	[[ $(types) =~ " held "([0-9]+) ]]
	dm-json <req | jq -es 'any(.index == 1 and .type == "desc")'
	sh_exits 0 'dm-recv -- dm-send d.raw <req | dm-write repo:site |
		dm-checkpoint commit --workload w site'
	sh_exits 0 'dm-recover --at latest site w | dm-window | dm-send repo:site | dm-write b.raw >/dev/null'
	same d.raw b.raw
}

@test "--have sends references for content the site holds" {
	image_random d.raw 6M
	dm-checkpoint init site
	sh_exits 0 'dm-changed d.raw | dm-describe | dm-window | dm-send d.raw | dm-write repo:site |
		dm-checkpoint commit --workload w site'
	truncate -s 8M d.raw
	image_random more 1M
	dd if=more of=d.raw bs=1M seek=7 conv=notrunc status=none
	sh_exits 0 'set -o pipefail
		dm-changed other=d.raw | dm-describe --digest other=d.raw |
		dm-window --acks acks --have site | tee req | dm-recv -- dm-send other=d.raw |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w2 site'
	[ "$(types)" = "barrier 1 desc 1 end 1 hello 1 ref 6 zero 1" ]
	sh_exits 0 'dm-recover --at latest site w2 | dm-window | dm-send repo:site | dm-write b.raw >/dev/null'
	same d.raw b.raw
	# A site that does not hold them after all gets the data.
	dm-checkpoint init site2
	sh_exits 0 'set -o pipefail
		dm-changed other=d.raw | dm-describe --digest other=d.raw |
		dm-window --acks acks --have site --interval 2M | tee req | dm-recv -- dm-send other=d.raw |
		dm-write repo:site2 | dm-checkpoint commit --acks acks --workload w2 site2'
	[[ $(types) == *" desc 7 "*" ref 7 "* ]]
	rm b.raw
	sh_exits 0 'dm-recover --at latest site2 w2 | dm-window | dm-send repo:site2 | dm-write b.raw >/dev/null'
	same d.raw b.raw
	exits 2 dm-window --have site </dev/null
}

@test "templates and clones cost references only, across disks and workloads" {
	dm-checkpoint init site
	image_random template.raw 8M
	iterate_have() {
		sh_exits 0 "dm-changed $2 | dm-describe --digest $2 | dm-window --acks acks --have site |
			tee req | dm-recv -- dm-send $2 | tee wire | dm-write repo:site |
			dm-checkpoint commit --acks acks --workload $1 site"
	}
	iterate_have first d=template.raw
	before=$(dm-checkpoint stats --json site | jq .stored)
	for i in 1 2 3; do
		cp template.raw clone$i.raw
		poke clone$i.raw $((i * 1048576)) 1000
		iterate_have vm$i x=clone$i.raw
		[ "$(dm-json <wire | jq -s 'map(select(.type == "chunk")) | length')" -eq 1 ]
		[ "$(dm-json <wire | jq -s 'map(select(.type == "ref")) | length')" -eq 7 ]
	done
	dm-checkpoint stats --json site >stats
	[ "$(jq .checkpoints stats)" -eq 4 ]
	[ "$(jq .logical stats)" -eq $((4 * 8 * 1048576)) ]
	[ "$(jq .unique stats)" -eq $((11 * 1048576)) ]
	[ $(($(jq .stored stats) - before)) -lt 3300000 ]
	[ "$(jq '.ratio > 2.8' stats)" = true ]
	dm-recover site vm2 | dm-send repo:site | dm-write back.raw >/dev/null
	same clone2.raw back.raw
}
