# dm-failover(1): calls of providers and scripts that do not come back.
# bats file_tags=plain,long
load ../lib/common
load ../lib/volumes
load ../lib/faults
load ../lib/pipeline
load ../lib/provider
load ../lib/failover

@test "a provider that hangs at quota, validate, stop and destroy" {
	plan '.defaults.recovery += {validate: [{kind: "agent", timeout: "1s"}],
		timeouts: {quota: "1s", stop: "1s", destroy: "1s"}} | del(.workloads[1])'
	fault quota hang
	failed_over 4
	says '.result == "failed"'
	one_line 'quota: did not answer'
	[ ! -e images/runs/*/w ]
	fault quota
	fault validate hang
	failed_over 1 --test
	nothing_left
	fault validate
	fault stop hang
	failed_over 0 --test
	fault stop
	nothing_left
	fault destroy hang
	failed_over 4 --test
	[[ $err == *"not cleaned up"*--clean* ]]
	fault destroy
	exits 0 dm-failover --clean plan.json
	nothing_left
}

@test "a script that hangs, and what it started, end" {
	plan '.failover.post = {command: "bash -c \"while :; do sleep 1000; done\" \($t)/x; true", timeout: "1s"}'
	failed_over 1
	says '.steps[] | select(.step == "post") | .error | startswith("did not answer within 1s")'
	! pgrep -f "$T/x"
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
