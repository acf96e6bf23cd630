# dm-replicate(1): the plan's iterations.
# bats file_tags=long
load ../lib/common
load ../lib/volumes
load ../lib/ssh
load ../lib/faults
load ../lib/pipeline

setup_file() {
	sshd_start
	image_ext4 "$BATS_FILE_TMPDIR/base.raw" 64M
}
teardown_file() { sshd_stop; }
setup() {
	dm_setup
	cp --sparse=always "$BATS_FILE_TMPDIR/base.raw" a.raw
	image_random b.raw 3148291
	site
}
teardown() { dm_teardown; }

# plan FILTER: a plan with the workload w (disks a and b), changed by FILTER.
plan() {
	jq -n --arg t "$T" '{site: "\($t)/site", workloads: [{name: "w", disks: [
		{name: "a", volume: "\($t)/a.raw"}, {name: "b", volume: "\($t)/b.raw"}]}]} | '"${1:-.}" >plan.json
}

# replicated [OPTION...]: a call that must go well.
replicated() {
	exits 0 within 200 dm-replicate --verbose "$@" plan.json
}

# both_back AT FILE FILE
both_back() {
	rm -f back.a back.b
	exits 0 dm-restore --at "$1" site w a=back.a b=back.b || return 1
	same "$2" back.a
	same "$3" back.b
}

change() {
	scatter a.raw 20 "$RANDOM"
	poke b.raw 1234567 4096
}

@test "first iteration, increments, one summary line for each" {
	plan
	replicated
	[[ $output == "w: checkpoint 1, full, "* ]]
	cp a.raw a1
	cp b.raw b1
	change
	replicated
	[[ $output == "w: checkpoint 2, incremental, "* ]]
	[ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ]
	both_back 2 a.raw b.raw
	both_back 1 a1 b1
}

@test "a site that is not mounted, or that cannot be written, is told and left alone" {
	plan '.site |= sub("/site$"; "/empty")'
	mkdir empty
	exits 1 dm-replicate plan.json
	[[ $err == "dm-replicate: w: $T/empty: no such site: is it mounted, and may you read it?"* ]]
	[ -z "$(ls -A empty)" ]
	plan
	touch site/locks
	exits 4 dm-replicate plan.json
	[[ $err == "dm-replicate: w: $T/site/locks/w: cannot be written: "* ]]
	[[ $err != *"line "* ]]
}

@test "quiet when nobody looks and all goes well" {
	plan
	exits 0 dm-replicate plan.json
	[ -z "$output" ] || die "$output"
}

@test "the tracker state, and how it recovers from losing its file" {
	plan ".workloads[0].disks |= map(.state = \"$T/\\(.name).ids\")"
	replicated
	change
	replicated
	[ -z "$err" ]
	[[ $output == *"2, incremental"* ]]
	change
	replicated
	both_back latest a.raw b.raw
	rm -f ./*.ids*
	change
	exits 1 dm-replicate plan.json
	[ "$(checkpoints site w)" -eq 3 ]
	jq '.workloads[0].fallback = "scan"' plan.json >p && mv p plan.json
	replicated
	[[ $err == *"falling back to scan"* ]]
	[[ $output == *"4, incremental"* ]]
	both_back latest a.raw b.raw
}

@test "the tracker state does not trust a file of another site" {
	plan ".workloads[0].disks |= map(.state = \"$T/\\(.name).ids\")"
	replicated
	change
	replicated
	rm -rf site
	exits 0 dm-checkpoint init site
	change
	replicated
	[[ $output == *"1, full"* ]]
	both_back 1 a.raw b.raw
}

@test "the tracker reflink reads clones and cleans them up" {
	fs_mount xfs x
	cp a.raw b.raw x
	plan ".workloads[0].disks |= map(.volume = \"$T/x/\\(.name).raw\" | .points = \"$T/x/the points\")"
	replicated
	cp x/a.raw a1
	for n in 2 3; do
		scatter x/a.raw 20 $n
		poke x/b.raw $((n * 100000)) 5000
		replicated
		[ -z "$err" ]
		[[ $output == *"$n, incremental, "* ]]
		both_back $n x/a.raw x/b.raw
	done
	[ "$(record site w '.changed | tonumber')" -lt 300000 ]
	[ "$(find 'x/the points' -type f | wc -l)" -eq 2 ]
	exits 0 dm-restore --at 1 site w a=old
	same a1 old
}

@test "the tracker reflink notices that its clone is gone" {
	fs_mount xfs x
	cp a.raw x
	plan ".workloads[0].disks = [{name: \"a\", volume: \"$T/x/a.raw\", points: \"$T/x/p\"}]"
	replicated
	rm -rf x/p
	scatter x/a.raw 5
	exits 1 dm-replicate plan.json
	[[ $err == *"no fallback"* ]]
	for f in scan full; do
		jq ".workloads[0].fallback = \"$f\"" plan.json >p && mv p plan.json
		rm -rf x/p
		scatter x/a.raw 5
		replicated
		[[ $err == *"falling back to $f"* ]]
		exits 0 dm-restore site w out.$f
		same x/a.raw out.$f
	done
}

@test "disks behind ssh, with every tracker" {
	fs_mount xfs x
	cp a.raw x
	plan ".workloads[0].host = \"src\" | .workloads[0].streams = 2 | .workloads[0].disks = [
		{name: \"a\", volume: \"$T/x/a.raw\", points: \"$T/x/p q\"},
		{name: \"b\", volume: \"$T/b.raw\", state: \"$T/b ids\"},
		{name: \"c\", volume: \"$T/a.raw\"},
		{name: \"d\", volume: \"$T/d'd.raw\", tracker: \"full\"}]"
	cp b.raw "d'd.raw"
	replicated
	for n in 2 3; do
		change
		scatter x/a.raw 10 $n
		poke "d'd.raw" $n 1
		replicated
		[ -z "$err" ] || die "$err"
	done
	exits 0 dm-restore site w a=oa b=ob c=oc d=od
	same x/a.raw oa
	same b.raw ob
	same a.raw oc
	same "d'd.raw" od
}

@test "what the other side says does not reach a terminal as it is" {
	mkdir .bin
	printf '#!/bin/sh\nprintf "a\\033[2Jb\\n" >&2\nexit 255\n' >.bin/ssh
	chmod +x .bin/ssh
	plan '.workloads[0].host = "src"'
	PATH=$T/.bin:$PATH exits 4 within 200 dm-replicate plan.json
	[[ $err == *"w: a?[2Jb"* && $err != *$'\e'* ]]
	fails grep -q $'\e' site/status/w.failed
}

@test "ssh asks nobody and notices a dead link, but the plan's options come first" {
	local real
	real=$(command -v ssh)
	mkdir .bin
	printf '#!/bin/sh\na=$*\nprintf "%%s\\n" "${a%%%% src *}" >>%q\nexec %q "$@"\n' "$T/calls" "$real" >.bin/ssh
	chmod +x .bin/ssh
	PATH=$T/.bin:$PATH
	plan '.workloads[0].host = {ssh: "src", options: ["-o", "ServerAliveInterval=7"]} |
		.workloads[0].disks[1].state = "'"$T"'/b.ids"'
	replicated
	[ "$(wc -l <calls)" -ge 3 ]	# what a tracker left, descriptors, data
	[ "$(sort -u calls)" = "-o ServerAliveInterval=7 -o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=4" ]
}

# bats test_tags=plain
@test "a host that does not answer is the environment's fault" {
	plan '.workloads[0].host = {ssh: "nowhere.invalid", options: ["-o", "BatchMode=yes"]}'
	exits 4 within 200 dm-replicate plan.json
	[[ $err == *"w: failed with code 4"* ]]
	[ "$(checkpoints site w)" -eq 0 ]
}

# bats test_tags=plain
@test "a guest that cannot be asked, at once" {
	plan '.workloads[0].source = {kind: "qemu", qmp: "/nowhere/qmp"}'
	# The shell is held up until the point's program has long ended.
	echo 'set -T; trap '\''[[ $BASH_COMMAND != holder=* ]] || sleep 0.5'\'' DEBUG' >slow
	BASH_ENV=$T/slow exits 4 dm-replicate --now plan.json
	[[ $err == *"/nowhere/qmp: "*"w: failed with code 4"* ]]
	[[ $err != *unbound* ]]
}

# bats test_tags=plain
@test "schedules: due, not due, --now" {
	plan '.workloads[0].schedule = {every: "1h"}'
	replicated
	replicated
	[[ $output == "w: not due for another "* ]]
	[ "$(checkpoints site w)" -eq 1 ]
	replicated --now
	[[ $output == *"checkpoint 2"* ]]
	plan '.workloads[0].schedule = {every: "2s"}'
	sleep 2.2
	replicated
	[[ $output == *"checkpoint 3"* ]]
}

# bats test_tags=plain
@test "retention is applied after success" {
	plan '.workloads[0].retention = {last: 2}'
	for n in 1 2 3 4; do
		poke b.raw $n 1
		replicated
	done
	[ "$(dm-checkpoint list --json site w | jq -c 'map(.seq)')" = '[3,4]' ]
	both_back 4 a.raw b.raw
}

# bats test_tags=plain
@test "workloads run side by side; one that fails stops no other" {
	plan '.workloads += [{name: "bad", disks: [{name: "x", volume: "/no/such/disk"}]},
		(.workloads[0] | .name = "v"), (.workloads[0] | .name = "u")] | .limits.parallel = 2'
	exits 4 within 200 dm-replicate --verbose plan.json
	for w in u v w; do
		[[ $output == *"$w: checkpoint 1, full"* ]]
	done
	[[ $err == *"bad: failed with code 4"* ]]
	[[ $err == *"/no/such/disk"* ]]
}

# bats test_tags=plain
@test "--workload picks" {
	plan '.workloads += [.workloads[0] | .name = "v"]'
	replicated --workload v
	[ "$(checkpoints site v)" -eq 1 ]
	[ "$(checkpoints site w)" -eq 0 ]
}

# bats test_tags=plain
@test "the recovery configuration goes into the checkpoint" {
	plan '.workloads[0].recovery = {memory: "8G", options: {note: "it'"'"'s"}}'
	replicated
	[ "$(record site w .recovery.options.note)" = "it's" ]
}

@test "--dry-run prints what a shell can run, and runs nothing" {
	plan '.workloads[0].recovery = {cpus: 2}'
	replicated
	change
	exits 0 dm-replicate --dry-run plan.json
	[ "$(checkpoints site w)" -eq 1 ]
	exits 0 within 200 bash -c "$output"
	[ "$(checkpoints site w)" -eq 2 ]
	both_back 2 a.raw b.raw
}

@test "a plan's budget, rates and priorities reach the windows" {
	plan '.limits = {budget: "64M", rate: ["100M", "none@00:00-24:00"]} |
		.workloads[0].priority = 20 | .workloads[0].limits = {rate: "500Mbit"}'
	DM_BUDGET=$T/budget replicated
	[ "$(dm-window --status --json --budget budget | jq -c .)" = '{"size":67108864,"held":0,"pipelines":[]}' ]
	both_back 1 a.raw b.raw
}

# gated: dm-changed waits until open_gate, so that the pipeline stands still;
# the file `waiting' says that it does.
gated() {
	mkdir -p .bin
	rm -f gate waiting
	printf '#!/bin/sh\n: >%q/waiting\nuntil [ -e %q/gate ]; do sleep 0.02; done\nexec %q "$@"\n' "$T" "$T" "$DM_BUILD/bin/dm-changed" >.bin/dm-changed
	chmod +x .bin/dm-changed
}
open_gate() {
	: >gate
}

@test "a second call while one runs leaves it alone" {
	plan
	gated
	PATH=$T/.bin:$PATH dm-replicate --verbose plan.json >first 2>&1 3>&- &
	first=$!
	wait_for test -e waiting	# a look at the lock would take it
	replicated
	[ "$output" = "w: still running" ]
	open_gate
	wait $first
	[[ $(cat first) == *"checkpoint 1, full"* ]]
}

@test "after a program was killed: said once, and the next call goes on" {
	plan
	replicated
	for victim in dm-window dm-recv dm-write dm-checkpoint; do
		change
		before=$(checkpoints site w)
		gated
		background "PATH=$T/.bin:\$PATH; exec dm-replicate --now plan.json"
		wait_for test -e waiting
		wait_for kill_one $victim
		open_gate
		code=0
		wait $group || code=$?
		[ "$code" -eq 4 ] || die "$victim: code $code: $(cat .bg.err)"
		[[ $(cat .bg.err) == *"$victim"*"killed by signal 9"* ]] || die "$victim: $(cat .bg.err)"
		[ "$(checkpoints site w)" -eq "$before" ]
		rm -f .bin/dm-changed
		replicated --now
		both_back latest a.raw b.raw
	done
}

@test "killed while it looks at the catalog: said, and code 4" {
	plan
	replicated
	mkdir .bin
	printf '#!/bin/sh\nkill -KILL $$\n' >.bin/dm-checkpoint
	chmod +x .bin/dm-checkpoint
	PATH=$T/.bin:$PATH run dm-replicate --now plan.json
	[ "$status" -eq 4 ]
	[[ $output == *"dm-checkpoint: killed by signal 9"* ]]
	rm .bin/dm-checkpoint
	replicated --now
}

@test "a terminated call ends its pipeline and the next one goes on" {
	plan
	gated	# for ever
	background "PATH=$T/.bin:\$PATH; exec dm-replicate plan.json"
	wait_for test -e waiting
	wait_for pgrep -g "$group" dm-write >/dev/null
	kill -TERM "$group"
	code=0
	wait $group || code=$?
	[ "$code" -eq 4 ]
	gone() { ! pgrep -g "$group" dm- >/dev/null; }
	wait_for gone
	replicated
	both_back latest a.raw b.raw
}

@test "a site of other chunks and another hash is served as it is" {
	rm -r site
	exits 0 dm-checkpoint init --chunk-size 64K --hash blake2b site
	plan
	replicated
	change
	replicated
	[[ $output == *"checkpoint 2, incremental"* ]]
	both_back 2 a.raw b.raw
}

@test "targets of their own: files" {
	plan ".workloads[0].disks |= map(.target = \"file:$T/copy.\\(.name)\")"
	replicated
	same a.raw copy.a
	same b.raw copy.b
	# their ids are in the site, so the next one is a scan
	change
	replicated
	[[ $output == "w: checkpoint 2, incremental, "* ]]
	same a.raw copy.a
	same b.raw copy.b
	exits 0 dm-checkpoint verify --json site
	jq -e '.ok and .reread == 2' <<<"$output" >/dev/null
}

@test "a site whose name has what a URI gives a meaning" {
	exits 0 dm-checkpoint init 'my #1? 50%25'
	plan '.site = "\($t)/my #1? 50%25"'
	replicated
	change
	replicated
	[[ $output == "w: checkpoint 2, incremental, "* ]]
	exits 0 dm-restore 'my #1? 50%25' w a=back.a b=back.b
	same a.raw back.a
	same b.raw back.b
	exits 0 dm-changed --against 'repo:my %231%3F 50%2525#w' a=a.raw b=b.raw
}
