# dm-failover(1): the steps, their order and their faults, with a provider that
# plays a platform.  Real guests are in failover_guest.bats.
# bats file_tags=plain,long
load ../lib/common
load ../lib/volumes
load ../lib/ssh
load ../lib/faults
load ../lib/pipeline
load ../lib/provider
load ../lib/failover

@test "disks are the checkpoint, machines run, the record says so" {
	failed_over 0
	says '.result == "completed" and .code == 0 and .what == "failover"'
	says "$w"' | .state == "up" and .machine.addresses[0].ip == "192.0.2.1"'
	says "$w"' | [.steps[].step] == ["rebuild", "create", "network", "start", "wait"]'
	same disk.raw images/runs/*/w/root.raw
	same disk.raw images/runs/*/v/root.raw
	[ "$(ls platform | wc -l)" -eq 2 ]
	[ "$(jq -r "$w | .checkpoint.disks[0].root" "$evidence")" = "$(record site w '.disks[0].root')" ]
	says '.rpo_seconds > 0 and .rto_seconds > 0 and .rto_seconds < 300'
	flock -n images/lock true
}

@test "a complete failover stands until it is cleaned by force" {
	failed_over 0
	exits 1 dm-failover plan.json
	one_line 'is complete' '--clean --force'
	exits 0 dm-failover --clean plan.json
	[ "$(ls platform | wc -l)" -eq 2 ]
	run=$(ls images/runs)
	exits 1 dm-failover --clean --run "$run" plan.json
	one_line 'in use' '--force'
	exits 1 dm-failover --clean --run x plan.json
	one_line 'no run x'
	exits 0 dm-failover --clean --force --run "$run" plan.json
	nothing_left
	[ -z "$(ls images/runs)" ]
	[ -s "$evidence" ]
	failed_over 0
}

@test "groups, order and delays" {
	plan '.failover.groups = [{name: "db"}, {name: "web", delay: "1s"}] |
		.workloads[0].recovery = {provider: "\($t)/provider", group: "web"} |
		.workloads[1].recovery = {provider: "\($t)/provider", group: "db"} |
		.workloads += [.workloads[0] | .name = "u" | .recovery.order = 5]'
	full site u root="$T/disk.raw"
	failed_over 0
	[ "$(grep start calls | tr '\n' ' ')" = 'v start w start u start ' ]
	says '[.workloads[].name] == ["v", "w", "u"]'
	says '[.steps[].step] | index("delay before group web") != null'
	says '.steps[] | select(.step == "delay before group web") | .seconds >= 1'
	# The delay is kept between the last of one group and the first of the next.
	says '(.workloads[1].steps[] | select(.step == "create").started) > (.workloads[0].steps[] | select(.step == "wait").started)'
}

@test "what is recovered is as it was at the checkpoint, configuration too" {
	plan '.workloads[0].recovery = {provider: "\($t)/provider", memory: "64M", options: {n: 1}}'
	poke disk.raw 0 4096
	cp disk.raw second.raw
	exits 0 dm-replicate --now --workload w plan.json
	poke disk.raw 8192 4096
	plan '.workloads[0].recovery = {provider: "\($t)/provider", memory: "128M", cpus: 2, options: {n: 2}}'
	exits 0 dm-replicate --now --workload w plan.json
	plan '.workloads[0].recovery = {provider: "\($t)/none", memory: "1M", cpus: 7, options: {n: 3}}'
	failed_over 0 --workload w --at w=2 --at 1
	same second.raw images/runs/*/w/root.raw
	says '.workloads | length == 1'
	says "$w"' | .recovery.memory == "64M" and .recovery.options.n == 1 and .checkpoint.seq == 2'
	says "$w"' | .recovery.cpus == 7'	# not in the checkpoint's
	exits 0 dm-failover --clean --force plan.json
	failed_over 0 --workload w --at latest
	same disk.raw images/runs/*/w/root.raw
	says "$w"' | .recovery.cpus == 2 and .checkpoint.seq == 3'
}

@test "RPO is measured from the disaster" {
	at=$(record site w .time)
	failed_over 0 --disaster "$(date -u -d "$at + 90 seconds" +%FT%T.%NZ)" --workload w
	says '.rpo_seconds == 90'
}

@test "what cannot be chosen is refused before anything is done" {
	exits 1 dm-failover --at 7 plan.json
	[ ! -e images/runs ]
	exits 2 dm-failover --at u=1 plan.json
	one_line 'no workload "u"'
	exits 2 dm-failover --workload u plan.json
	exits 2 dm-failover --disaster whenever plan.json
	plan 'del(.failover)'
	exits 2 dm-failover plan.json
	one_line 'failover: is missing'
	plan '.failover.directory = "\($t)/absent"'
	exits 1 dm-failover plan.json
	one_line 'no such directory'
	[ ! -s calls ]
}

@test "a group that the plan has no more is named" {
	plan '.failover.groups = [{name: "db"}] | .workloads[0].recovery = {group: "db", provider: "\($t)/provider"}'
	exits 0 dm-replicate --now plan.json
	plan
	exits 2 dm-failover plan.json
	one_line 'workload w: checkpoint 2 puts it into group "db"'
}

@test "a provider that fails or answers rubbish, at each verb" {
	for verb in create network start wait; do
		for what in fail garbage; do
			[ "$what" = fail ] || [ "$verb" = create ] || [ "$verb" = wait ] || continue
			fault "w.$verb" "$what"
			failed_over 1 --test
			says "$w"' | .state == "failed"'
			says '.workloads[] | select(.name == "v").state == "up"'
			says '.result == "partial"'
			says "$w | .steps[] | select(.step == \"$verb\") | .code == 4 and .error != null"
			fault "w.$verb"
			nothing_left
			[ -z "$(ls images/runs)" ]
		done
	done
	fault validate no
	plan '.defaults.recovery.validate = [{kind: "agent"}]'
	failed_over 1 --test
	says "$w"' | .state == "unproven" and (.validation[0] | .ok == false and .error == "validate is not to be")'
	nothing_left
}

@test "a provider that hangs, at each verb" {
	verbs="create network start wait"
	for verb in $verbs; do
		full site "$verb" root="$T/disk.raw"
		fault "$verb.$verb" hang
	done
	# Each has little time for the one verb that hangs.
	plan '.workloads += [("create", "network", "start", "wait") | {name: ., disks: [{name: "root", volume: "\($t)/disk.raw"}],
		recovery: {provider: "\($t)/provider", timeouts: {(.): "1s"}}}]'
	failed_over 1 --test
	for verb in $verbs; do
		says ".workloads[] | select(.name == \"$verb\") | .state == \"failed\" and (.steps[] | select(.step == \"$verb\") | .error | startswith(\"did not answer within\"))"
	done
	says "$w"' | .state == "up"'
	nothing_left
	# It was done and then hung: what it did is found and removed.
	fault start late
	plan '.defaults.recovery.timeouts = {start: "2s"}'
	failed_over 4 --test --workload w
	fault start
	nothing_left
}

@test "one that failed is run again, and goes on" {
	fault w.network fail
	failed_over 1
	fault w.network
	: >calls
	failed_over 0
	says '.result == "completed"'
	[ "$(ls images/runs | wc -l)" -eq 1 ]
	# v stayed up and its disk as it is; w's disk was not used yet.
	says '[.workloads[].steps[] | select(.step == "rebuild")] | length == 2'
	fault w.wait fail
	exits 0 dm-failover --clean --force plan.json
	failed_over 1
	fault w.wait
	failed_over 0
	says "$w"' | [.steps[] | select(.step == "rebuild")] | length == 2'	# it had been started
}

@test "a provider that is not there" {
	plan '.defaults.recovery.provider = "none-such"'
	failed_over 4
	one_line 'provider "none-such" is not on PATH'
}

@test "scripts get ids and addresses; one that fails loses nothing" {
	plan '.failover.post = "cat >\($t)/post; exit 7" | .failover.pre = "echo $DM_RUN >\($t)/pre" |
		.workloads[0].recovery = {provider: "\($t)/provider", post: "cat >\($t)/post.w"}'
	failed_over 1
	says '.result == "partial" and .code == 1'
	says '.steps[] | select(.step == "post") | .code == 7 and .error != null'
	says '[.workloads[].state] == ["up", "up"]'
	[ "$(jq -r '.workloads[] | select(.name == "v") | .addresses[0].ip' post)" = 192.0.2.1 ]
	[ "$(jq -r '.workloads | map(.name) | join(" ")' post.w)" = w ]
	[ "$(jq -r '.workloads[0].id' post.w)" = "$(cat pre)-w" ]
	[ "$(ls platform | wc -l)" -eq 2 ]
}

@test "a pre script that fails stops the run, or its workload" {
	plan '.failover.pre = "exit 3"'
	failed_over 1
	says '.result == "failed"'
	fails grep create calls
	exits 0 dm-failover --clean plan.json
	plan '.workloads[0].recovery = {provider: "\($t)/provider", pre: "echo no luck >&2; exit 3"}'
	failed_over 1
	[[ $err == *'w: script "pre": no luck'* ]]
	says "$w"' | .state == "not started"'
	says '.workloads[] | select(.name == "v").state == "up"'
}

@test "a test touches no target, runs no script that is not for tests" {
	truncate -s 3M target.raw
	plan '.failover.post = "touch \($t)/post" | .failover.pre = {command: "echo $DM_TEST >\($t)/pre", test: true} |
		.workloads[0].recovery = {provider: "\($t)/provider", disks: [{name: "root", target: "\($t)/target.raw"}]}'
	failed_over 0 --test --keep
	says '.what == "test" and .result == "completed"'
	[ ! -e post ]
	[ "$(cat pre)" = true ]
	[ "$(tr -d '\0' <target.raw | wc -c)" -eq 0 ]
	[ "$(stat -c %a images/runs/*/w/root.raw)" = 400 ]
	qemu-img compare -q -f raw -F qcow2 disk.raw images/runs/*/w/root.qcow2
	exits 0 dm-failover --status plan.json
	[[ $output == *"test  completed"* ]]
	exits 0 dm-failover --clean plan.json
	nothing_left
	[ -z "$(ls images/runs)" ]
	# For real it is written.
	failed_over 0 --workload w
	same disk.raw target.raw
}

@test "two failovers at once: the second says so" {
	fault w.wait hang
	plan '.defaults.recovery.timeouts = {wait: "30s"}'
	background "exec dm-failover plan.json"
	wait_for grep -q 'w wait' calls
	exits 1 dm-failover plan.json
	one_line 'another failover is running'
	exits 1 dm-failover --test plan.json
	exits 1 dm-failover --clean plan.json
	exits 0 dm-failover --status plan.json
	[[ $output == *running* ]]
	fault w.wait
	kill -TERM "$group"
	wait_for flock -n images/lock true
	failed_over 0
}

@test "interrupted by a signal: it can be run again, or cleaned" {
	fault w.start late
	background "exec dm-failover plan.json"
	wait_for grep -q 'w start' calls
	kill -TERM "$group"
	rc=0; wait "$group" || rc=$?
	[ "$rc" -eq 4 ]
	[[ $(cat .bg.err) == *"run it again"* ]]
	wait_for ended "^(timeout|bash|sleep).*$T/"
	fault w.start
	failed_over 0
	says '.result == "completed"'
	exits 0 dm-failover --clean --force plan.json
	# A test that is interrupted is cleaned up.
	fault w.start hang
	: >calls
	background "exec dm-failover --test plan.json"
	wait_for grep -q 'w start' calls
	kill -TERM "$group"
	rc=0; wait "$group" || rc=$?
	[ "$rc" -eq 4 ]
	nothing_left
	[ -z "$(ls images/runs)" ]
}

@test "killed outright: the next call goes on or cleans" {
	fault w.start hang
	plan '.defaults.recovery.timeouts = {start: "2s"}'
	background "exec dm-failover --test plan.json"
	wait_for grep -q 'w start' calls
	kill_group "$group"
	wait_for flock -n images/lock true
	fault w.start
	plan
	exits 0 dm-failover --status plan.json
	[[ $output == *"test  interrupted"* ]]
	failed_over 0 --test	# the next test removes what is left
	[ -z "$(ls images/runs)" ]
	[ -z "$(ls platform)" ]
}

@test "failback: what differs goes home, what home had is kept" {
	pseudo_ssh
	plan 'del(.workloads[1]) | .workloads[0].host = "src"'
	exits 1 dm-failover --failback plan.json
	one_line 'no failover to bring home'
	failed_over 0
	poke disk.raw 8192 4096		# after the checkpoint: lost to the failover
	cp disk.raw lost.raw
	poke "$(echo images/runs/*/w/root.raw)" 2000000 4096
	exits 0 dm-failover --failback --dry-run plan.json
	[[ $output == *"ssh -o BatchMode=yes "*" src "*"dm-write --verify-base"* ]]
	fault stop no
	exits 1 dm-failover --failback plan.json
	[[ $err == *"does not stop; --force"* ]]
	same disk.raw lost.raw
	fault stop
	exits 0 within 200 dm-failover --failback --json plan.json
	evidence=.out
	says "$w"' | .state == "home" and .rto_seconds > 0'
	says '.result == "home"'
	same disk.raw images/runs/*/w/root.raw
	exits 0 dm-restore --at 2 site w kept.raw
	same kept.raw lost.raw
	# Home is in the state of the latest checkpoint, and replication goes on.
	[ "$(record site w .seq)" -eq 3 ]
	exits 0 dm-replicate --now plan.json
	[ "$(record site w .changed)" -eq 0 ]
	exits 0 dm-failover --clean plan.json
	nothing_left
}

@test "failback: a link that breaks, a home that is not as it was read" {
	plan 'del(.workloads[1])'
	failed_over 0
	poke "$(echo images/runs/*/w/root.raw)" 2000000 4096
	mkdir bin
	# Somebody writes to home between its checkpoint and the return.
	cat >bin/dm-recover <<-END
		#!/bin/bash
		case "\$*" in *--since*) printf x | dd of=$T/disk.raw bs=1 seek=1500000 conv=notrunc status=none ;; esac
		exec $DM_BUILD/bin/dm-recover "\$@"
	END
	chmod +x bin/dm-recover
	PATH=$T/bin:$PATH exits 1 dm-failover --failback plan.json
	[[ $err == *"w: return:"* ]]
	printf '#!/bin/sh\nexit 4\n' >bin/dm-recover
	PATH=$T/bin:$PATH exits 4 dm-failover --failback plan.json
	rm bin/dm-recover
	exits 0 dm-failover --failback plan.json
	same disk.raw images/runs/*/w/root.raw
}

@test "instant: disks are served, not rebuilt, and what was written to them goes home" {
	failed_over 0 --test --keep --instant --workload w
	[ ! -e "$(echo images/runs/*/w)/root.raw" ]
	qemu-img compare -q -f raw -F qcow2 disk.raw images/runs/*/w/root.qcow2
	exits 0 dm-failover --clean plan.json
	wait_for ended "$T/images"
	plan 'del(.workloads[1]) | .workloads[0].recovery = {provider: "\($t)/provider", instant: true}'
	failed_over 1
	one_line 'w: its machine stays on served disks: the provider cannot move it'
	says '.result == "completed"'
	exits 1 dm-failover --move plan.json
	fault w.move none
	exits 1 dm-failover --move plan.json
	one_line 'w: move: the disk is full'
	fault w.move
	qemu-io -f qcow2 -c 'write -P 7 1M 64k' images/runs/*/w/root.qcow2 >/dev/null
	exits 0 dm-failover --failback --json plan.json
	evidence=.out
	says "$w"' | .steps | map(select(.step == "capture")) | last | .reply.by == {root: "bitmap"}'
	[ "$(record site w .changed)" -le 1048576 ]
	qemu-img compare -q -f raw -F qcow2 disk.raw images/runs/*/w/root.qcow2
	[ "$(od -An -tx1 -j1M -N2 disk.raw)" = " 07 07" ]
	exits 0 dm-failover --clean plan.json
	wait_for ended "$T/images"
	nothing_left
}

@test "instant: while a machine runs from both, or nobody knows, nothing goes home" {
	local how
	plan 'del(.workloads[1]) | .workloads[0].recovery = {provider: "\($t)/provider", instant: true}'
	fault w.move half
	failed_over 1
	one_line 'w: move: the disk is full'
	# What an attempt does not touch stays as the one before left it.
	for how in half fail verb '' room; do
		fault w.move "$how"
		[ -n "$how" ] || fault w.move
		[ "$how" != room ] || { mkdir bin; printf '#!/bin/sh\necho Avail\necho 1\n' >bin/df; chmod +x bin/df; }
		PATH=$T/bin:$PATH exits 1 dm-failover --move plan.json
		: >calls
		exits 1 dm-failover --failback --force plan.json
		one_line 'w: the move of its disks was not finished; finish it first: dm-failover --move plan.json'
		[ ! -s calls ]
	done
	fault w.move none
	exits 1 dm-failover --move plan.json
	fault w.move
	exits 0 dm-failover --failback plan.json
	exits 0 dm-failover --clean plan.json
	wait_for ended "$T/images"
	nothing_left
}

@test "limits of the plan and of the machine" {
	plan '.failover.limits = {machines: 1}'
	failed_over 1
	one_line '2 machines' 'failover.limits.machines is 1'
	plan '.failover.limits = {memory: "1G"}'
	failed_over 1
	one_line 'need 2 GiB of memory'
	plan '.failover.limits = {disk: "4M"}'
	failed_over 1
	one_line 'failover.limits.disk is 4M'
	fails grep create calls
	says '.result == "failed"'
	plan '.failover.limits = {calls_per_minute: 240, calls: 1, storage: 1}'
	SECONDS=0
	failed_over 0
	[ "$(wc -l <calls)" -eq 9 ]
	[ "$SECONDS" -ge 2 ]
}

@test "no room for the disks" {
	small_fs images 4M
	failed_over 1
	one_line 'not enough space for the guests'
	plan '.failover.thin = true'
	failed_over 4
	[[ $err == *"cannot be rebuilt"* ]]
}

@test "not more disks are rebuilt at a time than allowed" {
	mkdir bin
	cat >bin/dm-restore <<-END
		#!/bin/bash
		echo + >>$T/restores
		until [ "\$(grep -c + $T/restores)" -ge "\$(cat $T/together)" ]; do sleep 0.02; done
		$DM_TOP/scripts/dm-restore "\$@"; rc=\$?
		echo - >>$T/restores
		exit \$rc
	END
	chmod +x bin/dm-restore
	for x in 1 2 3; do full site "x$x" root="$T/disk.raw"; done
	plan '.failover.limits = {storage: 1} | .workloads += [("x1", "x2", "x3") | {name: ., disks: [{name: "root", volume: "\($t)/disk.raw"}]}]'
	echo 1 >together
	PATH=$T/bin:$PATH failed_over 0 --test
	[ "$(tr -d '\n' <restores)" = +-+-+-+-+- ]
	: >restores
	echo 2 >together	# the first goes on when another one has begun
	plan '.failover.limits = {storage: 5} | .workloads += [("x1", "x2", "x3") | {name: ., disks: [{name: "root", volume: "\($t)/disk.raw"}]}]'
	PATH=$T/bin:$PATH failed_over 0 --test
	[[ $(tr -d '\n' <restores) == ++* ]]
}

@test "evidence is signed, verified, and tampering is found" {
	minisign -G -W -p pub -s key </dev/null >/dev/null
	minisign -G -W -p other -s other.key </dev/null >/dev/null
	plan '.failover.key = "\($t)/key"'
	failed_over 0 --test
	exits 0 dm-failover --verify "$evidence" --key pub
	exits 1 dm-failover --verify "$evidence" --key other
	one_line 'is not what was signed'
	sed 's/"completed"/"failed"/' "$evidence" >forged
	cp "$evidence.minisig" forged.minisig
	exits 1 dm-failover --verify forged --key pub
	flip "$evidence" 100 flipped
	cp "$evidence.minisig" flipped.minisig
	exits 1 dm-failover --verify flipped --key pub
	sed 's/trusted comment: dm/trusted comment: xx/' "$evidence.minisig" >forged.minisig
	cp "$evidence" forged
	exits 1 dm-failover --verify forged --key pub
	exits 1 dm-failover --verify absent --key pub
	exits 2 dm-failover --verify "$evidence"
	plan '.failover.key = "\($t)/no-key"'
	exits 1 dm-failover --test plan.json
	one_line 'cannot be read'
}

@test "--dry-run prints the steps and does none" {
	plan '.defaults.recovery.validate = [{kind: "serial", text: "it'"'"'s up"}]'
	exits 0 dm-failover --dry-run plan.json
	[ ! -e images/runs ]
	[ ! -s calls ]
	[[ $output == *"dm-restore --at 1"* ]]
	grep -v '^dm-restore' .out >steps
	exits 0 sh -e steps
	[ "$(grep -c 'validate' calls)" -eq 2 ]
}

@test "a recorded configuration is checked before it is followed" {
	local bad
	for bad in '{"memory": 512}' '{"provider": "../x: unknown key"}' '{"firmware": "x: unknown key (did you mean \"bios\"?)"}' '{"post": ["touch ran"]}' '{"boot": "x"}' '{"networks": [{"name": "../n", "kind": "user"}]}'; do
		echo "$bad" >bad.json
		dm-send --all root=disk.raw | dm-write repo:site | dm-checkpoint commit --workload w --recovery bad.json site
		exits 3 dm-failover --test plan.json
		one_line "dm-failover: workload w: recovery of checkpoint $(dm-checkpoint show --json site w | jq .seq).$(jq -r 'keys[0]' bad.json)"
	done
	[ -z "$(ls images)" ] || [ -z "$(ls images/runs)" ]
	echo '{"memory": "64M", "of_a_later_version": 1}' >bad.json
	dm-send --all root=disk.raw | dm-write repo:site | dm-checkpoint commit --workload w --recovery bad.json site
	failed_over 0 --test
}

@test "keys of recovery and failover are checked" {
	refused() {
		plan "$1"
		exits 2 dm-failover plan.json || return 1
		one_line "dm-failover: plan.json: $2"
	}
	refused '.failover.limit = {}' 'failover.limit: unknown key (did you mean "limits"?)'
	refused '.failover.directory = 3' 'failover.directory: must be a string'
	refused '.failover.groups = [{}]' 'failover.groups[0].name: is missing'
	refused '.failover.groups = [{name: "a"}, {name: "a"}]' 'failover.groups: "a" appears twice'
	refused '.failover.thin = 1' 'failover.thin: must be true or false'
	refused '.failover.post = {test: true}' 'failover.post.command: is missing'
	refused '.failover.timeouts = {starts: "1s"}' 'failover.timeouts.starts: unknown key (did you mean "start"?)'
	refused '.workloads[0].recovery = {memory: "much"}' 'workloads[0].recovery.memory: must be a size'
	refused '.workloads[0].recovery = {group: "a"}' 'workloads[0].recovery.group: failover.groups has no "a"'
	refused '.workloads[0].recovery = {disks: [{name: "x"}]}' 'workloads[0].recovery.disks[0].name: the workload has no disk "x"'
	refused '.workloads[0].recovery = {disks: [{name: "root", bus: "usb"}]}' 'workloads[0].recovery.disks[0].bus: must be one of'
	refused '.workloads[0].recovery = {disks: [{name: "root", target: "x"}]}' 'workloads[0].recovery.disks[0].target: must be an absolute path'
	refused '.workloads[0].recovery = {networks: [{name: "n", kind: "bridge"}]}' 'workloads[0].recovery.networks[0].source: is missing'
	refused '.workloads[0].recovery = {networks: [{name: "n", kind: "user", mac: "x"}]}' 'workloads[0].recovery.networks[0].mac: must be a MAC'
	refused '.workloads[0].recovery = {validate: [{kind: "tcp"}]}' 'workloads[0].recovery.validate[0].port: is missing'
	refused '.workloads[0].recovery = {validate: [{kind: "smell"}]}' 'workloads[0].recovery.validate[0].kind: must be one of'
	refused '.workloads[0].recovery = {provider: "a/b"}' 'workloads[0].recovery.provider: must be'
	refused '.workloads[0].recovery = {order: -1}' 'workloads[0].recovery.order: must be a whole number'
	refused '.workloads[0].recovery = {instant: "yes"}' 'workloads[0].recovery.instant: must be true or false'
}

@test "options that do not go together" {
	exits 2 dm-failover --keep plan.json
	exits 2 dm-failover --status --clean plan.json
	exits 2 dm-failover --status --at 1 plan.json
	exits 2 dm-failover --run x plan.json
	exits 2 dm-failover --clean --test plan.json
	exits 2 dm-failover --test --test plan.json
	exits 2 dm-failover
	exits 2 dm-failover --at
}
