# dm-status: ages, states, predictions, and the codes and texts made of them.
load ../lib/common
load ../lib/volumes

setup() {
	dm_setup
	image_random a.raw 4M
	dm-checkpoint init site
	export DM_BUDGET=$T/budget
}
teardown() { dm_teardown; }

# plan [FILTER]: plan.json, changed by a jq filter.
plan() {
	jq "${1-.}" >plan.json <<-'END'
		{ "site": "site", "limits": { "budget": "64M" }, "workloads": [
			{ "name": "w", "disks": [ { "name": "d", "volume": "a.raw" }, { "name": "e", "volume": "a.raw" } ],
			  "schedule": { "every": "1h" } } ] }
	END
}
# status FILTER: of the first workload.
status() { dm-status --json plan.json 2>/dev/null | jq -c ".workloads[0] | $1"; }
is() { [ "$(status .state)" = "\"$1\"" ]; }
reap() { kill "$1" 2>/dev/null || :; }

@test "no checkpoint, in sync, exceeded" {
	plan
	exits 1 dm-status plan.json
	[[ $output == *"no checkpoint"* ]]
	dm-replicate --now plan.json
	exits 0 dm-status plan.json
	[[ $output == *"w  "*"d  "*"in sync"*"2h"*"ok"*"1"* ]]
	[ "$(status '[.checkpoint, .interval_seconds, .exceeded, .breach_predicted, (.disks | map(.name))]')" = \
		'[1,7200,false,false,["d","e"]]' ]
	[ "$(status ".lag_seconds >= 0 and .lag_seconds < 100")" = true ]
	plan '.workloads[0].rpo = "1s"'
	sleep 1.1
	exits 1 dm-status plan.json
	[[ $output == *"exceeded interval"*"breach"* ]]
	[ "$(status .exceeded)" = true ]
	plan 'del(.workloads[0].schedule)'
	exits 0 dm-status plan.json
}

@test "an iteration that runs tells backlog and time; a killed one has failed" {
	plan '.workloads[0].limits = {rate: "64K"}'
	dm-replicate --now plan.json 2>err &
	at_end reap $!
	wait_for is initializing
	exits 0 dm-status plan.json
	wait_for eval '[ "$(status ".backlog_bytes > 0 and .backlog_bytes <= 8388608 and .backlog_complete")" = true ]'
	[ "$(status '[.running, .interrupted]')" = '[true,false]' ]
	dm-window --status --json --budget budget | jq -e '.pipelines[0].workload == "w" and .held <= 67108864'
	# A report of nobody's is nobody's, whatever process has its number now.
	jq ".pid = $BASHPID" site/status/w.running >left
	kill "$!"
	wait "$!" || :
	wait_for is failed
	mv left site/status/w.running
	[ "$(status '[.state, .running, .backlog_bytes]')" = '["failed",false,null]' ]
	plan
	dm-replicate --now plan.json
	is "in sync"
}

@test "each disk has its own backlog, and a breach is predicted before it is there" {
	rm -r site
	dm-checkpoint init --chunk-size 64K site	# so that a rate is soon known
	plan 'del(.limits) | .workloads[0].disks[1].volume = "b.raw"'
	image_random a.raw 16M
	image_random b.raw 3M
	dm-replicate --now plan.json
	poke a.raw 0 16777216
	# 16 MiB at 64 KiB a second are more than four minutes.
	plan 'del(.limits) | .workloads[0] += {limits: {rate: "64K"}, rpo: "2m"} | .workloads[0].disks[1].volume = "b.raw"'
	dm-replicate --now plan.json 2>err &
	at_end reap $!
	wait_for eval '[ "$(status ".disks[0].eta_seconds > 0")" = true ]'
	dm-status --json plan.json >s
	jq -e '.workloads[0] | .state == "synchronizing" and .backlog_complete and .running and
		(.exceeded | not) and .breach_predicted and .predicted_lag_seconds > 120 and
		(.disks[0] | .name == "d" and .backlog_bytes > 0 and .backlog_bytes + .done_bytes == 16777216 and
			.rate_bytes_per_second > 0 and .breach_predicted and .window_bytes > 0) and
		(.disks[1] | .name == "e" and .backlog_bytes == 0 and .eta_seconds == 0)' s
	# What is told is what was measured: the limit.
	jq -e '.workloads[0].disks[0] | (.rate_bytes_per_second | . > 30000 and . < 130000) and
		(.eta_seconds | . > 120 and . < 600)' s
	exits 0 dm-status plan.json
	[[ $output == *"d  "*"synchronizing"*"breach ("* ]]
	dm-status --prometheus m.prom plan.json
	grep -q '^dm_disk_backlog_bytes{plan="plan.json",workload="w",disk="d"} [1-9]' m.prom
	grep -q '^dm_disk_backlog_bytes{plan="plan.json",workload="w",disk="e"} 0$' m.prom
	grep -q '^dm_breach_predicted{plan="plan.json",workload="w"} 1$' m.prom
}

@test "a failure before anything was written is told too, until the next success" {
	plan '.workloads[0].disks[0].volume = "nowhere.raw"'
	exits 4 dm-replicate --now plan.json
	is failed
	[[ $(status '[.last_failure.code, .last_failure.error]') == '[4,'*nowhere.raw* ]]
	plan
	dm-replicate --now plan.json
	[ "$(status '[.state, .last_failure]')" = '["in sync",null]' ]
	plan '.workloads[0].disks[0].volume = "nowhere.raw"'
	exits 4 dm-replicate --now plan.json
	is failed
	[ "$(status .checkpoint)" = 1 ]
}

# facts FILTER: what dm-status says of an iteration that is told to it.
facts() {
	jq -n '{w: {name: "w", site: "s", rpo: "1h", disks: [{name: "d"}, {name: "e"}]}, open: [], error: "", failed: null,
		list: [{seq: 1, time: "2026-01-01T00:00:00Z", started: "2026-01-01T00:00:01Z", committed: "2026-01-01T00:00:10Z",
			disks: [{name: "d", size: 9000, changed: "5"}, {name: "e", size: 9000, changed: 0}]}],
		report: {complete: true, seconds: 10, disks: [
			{name: "d", size: 9000, scanned: 0, to_scan: 0, found: 9000, done: 3000, rate: 10, window: 4096, reason: "start"},
			{name: "e", size: 9000, scanned: 0, to_scan: 0, found: 8000, done: 8000, rate: 0, window: 4096, reason: "start"}]}} | '"$1" |
		jq -sc -L "$DM_TOP/scripts/lib" 'include "status"; status("p"; "2026-01-01T00:30:00Z" | fromdateiso8601).workloads[0] |
			[.state, .lag_seconds, .eta_seconds, .predicted_lag_seconds, .breach_predicted, .exceeded]'
}

# bats test_tags=plain
@test "predictions: from backlog and rate, from the scan, for what stands still, for a new disk" {
	[ "$(facts .)" = '["synchronizing",1800,600,2400,false,false]' ]
	[ "$(facts '.report.disks[0].rate = 3')" = '["synchronizing",1800,2000,3800,true,false]' ]
	# Nothing moves: it will never be done.
	[ "$(facts '.report.disks[0].rate = 0')" = '["synchronizing",1800,null,null,true,false]' ]
	[ "$(facts '.report.disks[0].rate = null')" = '["synchronizing",1800,null,null,null,false]' ]
	# Not all is found: not known, but too late when what is known is too much.
	[ "$(facts '.report.complete = false')" = '["synchronizing",1800,null,null,null,false]' ]
	[ "$(facts '.report.complete = false | .report.disks[1] += {scanned: 1, to_scan: 1000}')" = '["synchronizing",1800,null,null,true,false]' ]
	[ "$(facts '.report = null | .list[0].time = "2025-12-31T23:00:00Z"')" = '["exceeded interval",5400,null,null,true,true]' ]
	# A disk that no checkpoint has is not in sync because another is.
	[ "$(facts '.w.disks += [{name: "n"}] | .report = null')" = '["no checkpoint",null,null,null,null,true]' ]
	[ "$(facts '.w.disks += [{name: "n"}]')" = '["initializing",null,null,null,null,false]' ]
	# Of a site that cannot be read nothing is known, and nobody is told that all is well.
	[ "$(facts '.error = "s: gone" | .list = [] | .report = null')" = '["unknown",null,null,null,null,null]' ]
}

@test "Prometheus text replaces its file as a whole" {
	plan
	dm-replicate --now plan.json
	echo old >m.prom
	ln m.prom before
	exits 0 dm-status --prometheus m.prom plan.json
	[ -z "$output" ]
	[ "$(cat before)" = old ]
	[ "$(stat -c %a m.prom)" = 644 ]
	grep -q '^dm_lag_seconds{plan="plan.json",workload="w"} [0-9]' m.prom
	grep -q '^dm_interval_exceeded{plan="plan.json",workload="w"} 0$' m.prom
	grep -q '^dm_state{plan="plan.json",workload="w",state="in sync"} 1$' m.prom
	# Comments come before their metric, each line is one of the two.
	grep -q '^dm_disk_lag_seconds{plan="plan.json",workload="w",disk="e"} [0-9]' m.prom
	fails grep -vE '^(# (HELP|TYPE) dm_[a-z_]+ .+|dm_[a-z_]+\{[^{}]+\} [0-9.e+-]+)$' m.prom
	[ "$(find . -name 'm.prom*' | wc -l)" -eq 1 ]
	exits 4 dm-status --prometheus nowhere/m.prom plan.json
}

@test "a checkpoint from the future is no news, and the next iteration does not wait for that day" {
	mkdir bin
	cat >bin/dm-checkpoint <<-END
		#!/bin/bash
		[ "\$1" != commit ] || set -- commit --time 2099-01-01T00:00Z "\${@:2}"
		exec $(command -v dm-checkpoint) "\$@"
	END
	chmod +x bin/dm-checkpoint
	plan
	PATH=$T/bin:$PATH dm-replicate plan.json
	exits 1 dm-status plan.json
	is "exceeded interval"
	[ "$(status '[.checkpoint, .lag_seconds, .exceeded]')" = '[1,null,true]' ]
	exits 0 dm-replicate plan.json
	exits 0 dm-status plan.json
	[ "$(status '[.checkpoint, .exceeded]')" = '[2,false]' ]
}

# bats test_tags=plain
@test "a plan of more than one argument's size" {
	plan '.workloads[0] as $w | .workloads = [range(14) as $i | $w | .name = "w\($i)" |
		.recovery.options.note = "x" * 10000]'
	exits 1 dm-status plan.json
	[ "$(grep -c 'no checkpoint' .out)" -eq 28 ]
	[ -z "$err" ]
}

# bats test_tags=plain
@test "wrong plans, names and sites" {
	plan '.workloads[0].rpo = "soon"'
	exits 2 dm-status plan.json
	one_line dm-status: 'workloads[0].rpo'
	exits 2 dm-status
	exits 2 dm-status --json --json plan.json
	plan
	exits 2 dm-status --workload x plan.json
	one_line '"x"'
	plan '.site = "nowhere"'
	exits 4 dm-status plan.json
	[[ $output == *unknown* && $err == *dm-status:*nowhere* ]]
}
