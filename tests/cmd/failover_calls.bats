# dm-failover(1): calls of providers and scripts that do not come back.
# bats file_tags=plain,long
load ../lib/common
load ../lib/volumes
load ../lib/faults
load ../lib/pipeline
load ../lib/provider
load ../lib/failover

# hangs VERB: only its call has little time, and all others what they need.
hangs() {
	plan ".defaults.recovery += {validate: [{kind: \"agent\"$([ "$1" != validate ] || echo ', timeout: "1s"')}],
		timeouts: (if \"$1\" == \"validate\" then {} else {$1: \"1s\"} end)} | del(.workloads[1])"
	fault "$1" hang
}

@test "a provider that hangs at quota, validate, stop and destroy" {
	hangs quota
	failed_over 4
	says '.result == "failed"'
	one_line 'quota: did not answer'
	[ ! -e images/runs/*/w ]
	fault quota
	hangs validate
	failed_over 1 --test
	nothing_left
	fault validate
	hangs stop
	failed_over 0 --test
	fault stop
	nothing_left
	hangs destroy
	failed_over 4 --test
	[[ $err == *"not cleaned up"*--clean* ]]
	fault destroy
	plan 'del(.workloads[1])'
	exits 0 dm-failover --clean plan.json
	nothing_left
}

@test "a script that hangs, and what it started, end" {
	plan '.failover.post = {command: "bash -c \"while :; do sleep 1000; done\" \($t)/x; true", timeout: "1s"}'
	failed_over 1
	says '.steps[] | select(.step == "post") | .error | startswith("did not answer within 1s")'
	wait_for ended "$T/x"
}

@test "an interrupted --clean can be called again" {
	failed_over 0
	fault w.destroy hang
	background "exec dm-failover --clean --force plan.json"
	wait_for grep -q 'w destroy' calls
	kill -TERM "$group"
	rc=0; wait "$group" || rc=$?
	[ "$rc" -eq 4 ]
	[[ $(cat .bg.err) == *"interrupted: what is left"* ]]
	[ ! -e images/evidence/.json ]
	fault w.destroy
	exits 0 dm-failover --clean --force plan.json
	nothing_left
}
