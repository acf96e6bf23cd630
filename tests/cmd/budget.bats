# dm-window: the budget of a node, rate limits, and what it shows of them.
load ../lib/common
load ../lib/volumes
load ../lib/faults

setup() {
	dm_setup
	mkfifo acks
}
teardown() { dm_teardown; }

reap() { kill -9 "$1" 2>/dev/null || :; }

# busy NAME SIZE [OPTION ...]: in the background, a dm-window of that workload
# whose requests nobody answers; they are seen in NAME.seen, its pid is pid_NAME.
busy() {
	local name=$1 size=$2
	shift 2
	mkfifo "$name.acks"
	exec {hold}<>"$name.acks"
	descs --runs a="$size" | dm-json | jq -c --arg w "$name" 'if .type == "hello" then .workload = $w else . end' |
		dm-json -r >"$name.in"
	dm-window --acks "$name.acks" "$@" <"$name.in" >"$name.out" 2>"$name.err" &
	eval "pid_$name=$!"
	at_end reap $!
}

asked() { dm-json <"$1.out" 2>/dev/null | grep -c '"desc"' || :; }
asks() { [ "$(asked "$1")" -eq "$2" ]; }

# All that `other' asked for was written: it asks for more then, as it may.
answer_all() {
	dm-json <other.out 2>/dev/null | jq -c 'if .type == "hello" then . elif .type == "desc" then
		.type = "written" | .how = "data" | .service_us = 1000 else empty end' |
		head -n 41 | dm-json -r >"other.acks" 2>/dev/null || :
}
two_take_part() { [ "$(status | jq '.pipelines | length')" -eq 2 ]; }

status() { dm-window --budget budget --status --json; }

@test "a budget and limits that make no sense are refused" {
	: >in
	exits 1 dm-window --status --budget none
	one_line dm-window: none 'No such file'
	exits 2 dm-window --status
	one_line dm-window: --budget
	exits 2 dm-window --budget budget <in
	one_line dm-window: --acks
	exits 2 dm-window --budget budget,lots --acks acks <in
	one_line dm-window: lots
	echo something >other
	exits 2 dm-window --budget other --acks acks <in
	one_line dm-window: other 'something else'
	exits 2 dm-window --shared-limit 20M --acks acks <in
	one_line dm-window: --shared-name
	exits 2 dm-window --limit quick <in
	one_line dm-window: quick 20M
	exits 2 dm-window --limit 1M@8-9 <in
	exits 2 dm-window --window-min 8M --window-max 4M <in
	one_line dm-window: --window-min
}

@test "pipelines share a budget, and a killed one's part returns at once" {
	busy first 500M --budget budget,40M --window-min 64M --window-max 64M
	wait_for asks first 40
	busy second 500M --budget budget --window-min 64M --window-max 64M
	wait_for two_take_part
	[ "$(asked second)" -eq 0 ]
	dm-window --budget budget --status | grep -q '^first .* 40.0 MiB'
	kill -9 "$pid_first"
	wait_for asks second 40
	[ "$(status | jq -c '[.pipelines[].workload]')" = '["second"]' ]
	[ "$(status | jq .size)" -eq 41943040 ]
	[ "$(status | jq .held)" -eq 41943040 ]
}

@test "a late comer has its share as soon as the first's is written" {
	truncate -s 300M a.raw
	image_random a.raw 300M
	busy other 500M --budget budget,40M --window-min 64M --window-max 64M
	wait_for asks other 40
	mkfifo acks2
	(dm-changed a.raw | dm-describe | dm-window --acks acks2 --budget budget |
		dm-recv -- dm-send --allow-change a.raw | dm-write --acks acks2 b.raw; echo $? >code) 2>err2 &
	at_end reap $!
	wait_for two_take_part
	[ ! -e code ]
	# All that the first has in flight is written: the halves are equal now.
	answer_all
	wait_for test -e code
	[ "$(cat code)" -eq 0 ]
	cmp a.raw b.raw
	[ "$(status | jq .held)" -le 41943040 ]
}

# held NAME: MiB of the budget a workload holds, 0 if it takes no part.
held() { status 2>/dev/null | jq --arg w "$1" '[.pipelines[] | select(.workload == $w) | .held] | add // 0 | . / 1048576'; }
# share NAME LOW HIGH: it holds so many MiB; the sum is never more than the budget.
share() {
	local now
	[ "$(status | jq '.held <= 41943040')" = true ] || die "more is held than there is" || return 1
	now=$(held "$1")
	[ "${now%.*}" -ge "$2" ] && [ "${now%.*}" -le "$3" ]
}
flight() { jq --argjson d "$1" '.disks[$d].flight / 1048576 | floor' site/status/low.running; }

@test "pipelines of plans: fair between disks, by priority, to late ones, and back from killed ones" {
	local t0
	test_drivers
	export DM_BUDGET=$T/budget
	dm-checkpoint init site
	image_random a.raw 400M
	# Stores that take a second for each call, so that shares stand still.
	jq -n '{site: "site", limits: {budget: "40M"}, defaults: {window: "64M"}, workloads: [
		{name: "low", disks: [
			{name: "a", volume: "a.raw", freeze: "none", target: "fault+file:la.raw?delay=1000"},
			{name: "b", volume: "a.raw", freeze: "none", target: "fault+file:lb.raw?delay=1000"}]},
		{name: "high", priority: 60, disks: [
			{name: "a", volume: "a.raw", freeze: "none", target: "fault+file:ha.raw?delay=1000"}]}]}' >plan.json
	background 'exec dm-replicate --now --workload low plan.json'
	wait_for share low 40 40
	# Its disks have equal parts.
	wait_for eval '[ "$(flight 0)" -ge 18 ] && [ "$(flight 1)" -ge 18 ]'
	# A late one with six times the weight of a disk: 60 to two times 10.
	background 'exec dm-replicate --now --workload high plan.json'
	wait_for share high 29 31
	wait_for share low 9 11
	t0=$EPOCHREALTIME
	kill -9 "$(status | jq '.pipelines[] | select(.workload == "high") | .pid')"
	wait_for share low 39 40
	# At once, and not when somebody finds out in the end.
	[ $((${EPOCHREALTIME/./} - ${t0/./})) -lt 10000000 ]
}

@test "a rate limit holds, with and without acks" {
	local t0 t1
	t0=$(date +%s%N)
	descs --runs a=40M | dm-window --limit 10M >out
	t1=$(date +%s%N)
	[ $((t1 - t0)) -gt 3800000000 ]		# 40 MiB: 4 s
	[ "$(dm-json <out | grep -c '"desc"')" -ge 1 ]
	image_random a.raw 20M
	t0=$(date +%s%N)
	sh_exits 0 'set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks --budget budget \
			--shared-limit 10M --shared-name plan --limit none |
		dm-recv -- dm-send --allow-change a.raw | dm-write --acks acks b.raw'
	t1=$(date +%s%N)
	[ $((t1 - t0)) -gt 1800000000 ]
	cmp a.raw b.raw
}

@test "a limit counts what travels, not what it is unpacked" {
	local t0 t1
	# 80 MiB that shrink to a small part: at 5 MiB/s this is not 16 s.
	yes 'the same line over and over' | head -c 80M >a.raw
	t0=$(date +%s%N)
	sh_exits 0 'set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks --limit 5M |
		dm-recv -- dm-send --compress zstd --allow-change a.raw | dm-write --acks acks b.raw'
	t1=$(date +%s%N)
	[ $((t1 - t0)) -lt 14000000000 ]
}

@test "a limit holds for many disks and workers, of whom each tells a part" {
	local d disks='' targets='' t0 t1
	for d in a b c d; do
		python3 -c 'import os, sys
with open(sys.argv[1], "wb") as f:
    for i in range(768):
        f.seek(65536 * i)
        f.write(os.urandom(32768))' "$d.raw"
		disks+=" $d=$d.raw" targets+=" $d=$d.copy"
	done
	t0=$(date +%s%N)
	sh_exits 0 "set -o pipefail
		dm-changed$disks | dm-describe | dm-window --acks acks --limit 200Mbit |
		dm-recv --streams 4 -- dm-send --allow-change$disks | dm-write --acks acks$targets"
	t1=$(date +%s%N)
	[ $((t1 - t0)) -gt 3800000000 ]		# 96 MiB: 4.03 s
	cmp d.raw d.copy
}

@test "requests tell the windows, and why they are so" {
	image_random a.raw 100M
	sh_exits 0 'set -o pipefail
		dm-changed a.raw | dm-describe | dm-window --acks acks | tee req |
		dm-recv -- dm-send --allow-change a.raw | dm-write --acks acks b.raw'
	dm-json <req | jq -es 'map(select(.type == "stat" and .window)) |
		length >= 1 and all(.window >= 16 and .window <= 64)'
}
