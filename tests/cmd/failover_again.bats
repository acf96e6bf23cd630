# dm-failover(1): runs that go on or are ended, and what is known of them.
# bats file_tags=plain,long
load ../lib/common
load ../lib/volumes
load ../lib/faults
load ../lib/pipeline
load ../lib/provider
load ../lib/failover

@test "a machine that is up is not touched when the run goes on and its platform fails" {
	fault w.network fail
	failed_over 1
	fault w.network
	poke images/runs/*/v/root.raw 0 4096	# its guest works on
	cp images/runs/*/v/root.raw wrote.raw
	for verb in create wait; do
		: >calls
		fault "v.$verb" fail
		failed_over 1
		fault "v.$verb"
		[ -z "$(grep -E 'v (stop|destroy)' calls)" ]
		says '.result == "partial"'
		says '.workloads[] | select(.name == "v") | .state == "unproven"'
		says "$w"' | .state == "up"'
	done
	failed_over 0
	says '[.workloads[].state] == ["up", "up"]'
	same wrote.raw images/runs/*/v/root.raw
}

@test "who asks for the status is in nobody's way" {
	mkdir bin
	cat >bin/jq <<-END
		#!/bin/sh
		[ ! -e $T/images/lock ] || flock -s -n $T/images/lock true || touch $T/taken
		exec $(command -v jq) "\$@"
	END
	chmod +x bin/jq
	failed_over 0
	PATH=$T/bin:$PATH exits 0 dm-failover --status plan.json
	[[ $output == *completed* ]]
	[ ! -e taken ]
}

@test "an event that was cut short takes no other with it" {
	fault w.network fail
	failed_over 1
	fault w.network
	run=$(ls images/runs)
	printf '{"t":17\0' >>"images/runs/$run/events.jsonl"
	before=$(wc -l <"images/runs/$run/events.jsonl")
	failed_over 0
	one_line "runs/$run/events.jsonl: line $((before + 1)) is damaged or was cut short"
	sed "$((before + 1))d" "images/runs/$run/events.jsonl" | jq -s . >events
	jq -e --argjson n "$before" '.[$n] | .event == "start"' events
	says '.result == "completed"'
}

@test "instant: a server that went with its host is not in the way when the run goes on" {
	plan 'del(.workloads[1]) | .workloads[0].recovery = {provider: "\($t)/provider", instant: true}'
	mkdir tmp
	export TMPDIR=$T/tmp	# of what is killed nobody tidies that
	fault w.start hang
	background "exec dm-failover plan.json"
	wait_for grep -q 'w start' calls
	kill_group "$group"
	wait_for flock -n images/lock true
	fault w.start
	kill -KILL -- "-$(cat images/runs/*/w/serve.pid)"
	wait_for ended "$T/images/runs/.*/w[.]sock"
	[ -S images/runs/*/w/w.sock ]
	failed_over 1
	one_line 'w: its machine stays on served disks: the provider cannot move it'
	says '.result == "completed"'
}

@test "a signal that comes while an event is noted ends it all the same" {
	mkdir bin
	cat >bin/flock <<-END
		#!/bin/sh
		[ \$# -ne 1 ] || [ ! -s "\$(echo $T/images/runs/*/events.jsonl)" ] || [ -e $T/hit ] ||
			{ touch $T/hit; kill -TERM \$PPID; }
		exec $(command -v flock) "\$@"
	END
	chmod +x bin/flock
	for test in '' --test; do
		rm -f hit
		# shellcheck disable=SC2086
		PATH=$T/bin:$PATH exits 4 within 60 dm-failover $test plan.json
		[ -e hit ]
		exits 0 dm-failover --clean plan.json
	done
	nothing_left
}

@test "a run whose record cannot be read keeps its machines and disks" {
	failed_over 0
	run=$(ls images/runs)
	cp "images/runs/$run/events.jsonl" events
	: >"images/runs/$run/events.jsonl"
	exits 0 dm-failover --clean plan.json
	[ "$(ls platform | wc -l)" -eq 2 ]
	exits 1 dm-failover plan.json
	[[ $err == *"run $run: its record cannot be read"*"--clean --force --run $run"* ]]
	[ "$(ls images/runs)" = "$run" ]
	cp events "images/runs/$run/events.jsonl"
	mv "images/runs/$run/schedule.json" schedule
	exits 4 dm-failover --clean --force plan.json
	[[ $err == *"does not say which machines there are"* ]]
	[ -e "images/runs/$run/w/root.raw" ]
	mv schedule "images/runs/$run/schedule.json"
	exits 0 dm-failover --clean --force plan.json
	nothing_left
}

@test "--clean and --status are for whole runs" {
	failed_over 0
	exits 2 dm-failover --clean --force --workload w plan.json
	one_line '--workload makes no sense with --clean'
	[ "$(ls platform | wc -l)" -eq 2 ]
	exits 2 dm-failover --status --workload w plan.json
}

readers() { [ "$(pgrep -fc "^qemu-nbd .*$T/images")" -eq "$1" ]; }
@test "failback: one that was ended or killed leaves no reader in the way of the next" {
	plan 'del(.workloads[1]) | .workloads[0].recovery = {provider: "\($t)/provider", instant: true}'
	failed_over 1
	qemu-io -f qcow2 -c 'write -P 7 1M 64k' images/runs/*/w/root.qcow2 >/dev/null
	mkdir bin
	cat >bin/dm-write <<-END
		#!/bin/bash
		! ls $T/images/runs/*/w/*.nbd.pid >$T/hangs 2>/dev/null || exec sleep 1000
		exec $DM_BUILD/bin/dm-write "\$@"
	END
	chmod +x bin/dm-write
	for signal in TERM KILL; do
		rm -f hangs
		background "PATH=$T/bin:\$PATH; exec dm-failover --failback plan.json"
		wait_for test -s hangs
		[ "$signal" = TERM ] || kill_group "$group"
		[ "$signal" = KILL ] || kill -TERM "$group"
		rc=0; wait "$group" || rc=$?
		[ "$rc" -eq 4 ] || [ "$signal" = KILL ]
		wait_for flock -n images/lock true
		wait_for readers "$([ "$signal" = KILL ] && echo 1 || echo 0)"
	done
	exits 0 within 200 dm-failover --failback plan.json
	qemu-img compare -q -f raw -F qcow2 disk.raw images/runs/*/w/root.qcow2
	exits 0 dm-failover --clean plan.json
	nothing_left
}

@test "what an earlier attempt made takes no more room" {
	small_fs images 9M
	fault w.start fail
	failed_over 1
	fault w.start
	[ "$(df --output=avail -B1 images | tail -n 1)" -lt 6291456 ]
	failed_over 0
	[ "$(jq -c '[.machines[].name]' asked)" = '["w"]' ]
}

@test "nothing is done that cannot be noted" {
	failed_over 0
	# Room for what is written before, and no more.
	pages=$((($(jq 'map(del(.machine.facts))' images/runs/*/schedule.json | wc -c) + 4095) / 4096 +
		($(wc -c <plan.json) + 4095) / 4096))
	exits 0 dm-failover --clean --force plan.json
	small_fs images $((pages * 4))k
	: >calls
	exits 4 dm-failover plan.json
	[[ $err == *"its events cannot be written" ]]
	[ ! -s calls ]
	[ -z "$(ls images/runs)" ]
}

@test "a test whose evidence cannot be written keeps its record" {
	: >images/evidence
	exits 4 dm-failover --test plan.json
	[[ $err == *"images/evidence: cannot be made"*"is kept"* ]]
	[ -z "$(ls platform)" ]
	rm images/evidence
	exits 0 dm-failover --status plan.json
	[[ $output == *"test  completed"*"w  checkpoint 1  up"* ]]
	exits 0 dm-failover --clean plan.json
	[ -z "$(ls images/runs)" ]
}
