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
	wait_for eval '[ "$(status ".backlog_bytes > 0 and .backlog_bytes <= 8388608")" = true ]'
	[ "$(status '[.running, .interrupted]')" = '[true,false]' ]
	dm-window --status --json --budget budget | jq -e '.pipelines[0].workload == "w" and .held <= 67108864'
	kill "$!"
	wait "$!" || :
	wait_for is failed
	plan
	dm-replicate --now plan.json
	is "in sync"
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
	! grep -vE '^(# (HELP|TYPE) dm_[a-z_]+ .+|dm_[a-z_]+\{[^{}]+\} [0-9.e+-]+)$' m.prom
	[ "$(find . -name 'm.prom*' | wc -l)" -eq 1 ]
	exits 4 dm-status --prometheus nowhere/m.prom plan.json
}

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
