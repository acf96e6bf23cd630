# dm-failover(1) with guests that run: they keep a journal of numbered records,
# flushed one by one, and what comes up at the other site must have it whole.
# bats file_tags=plain,long
load ../lib/common
load ../lib/volumes
load ../lib/faults
load ../lib/pipeline
load ../lib/guest
load ../lib/failover

# Of the latter only how a failover is called and read: plans and machines are real.
setup_file() { guest_build; }
setup() {
	dm_setup
	site
	mkdir images
}
teardown() {
	[ ! -e plan.json ] || dm-failover --clean --force plan.json
	dm_teardown
}

# plan [FILTER]: the guest's workload web, of disks a and b.
plan() {
	jq -n --arg t "$T" '{site: "\($t)/site", failover: {directory: "\($t)/images"},
		workloads: [{name: "web", disks: [{name: "a", volume: "\($t)/a.point"}, {name: "b", volume: "\($t)/b.point"}],
			recovery: {memory: "256M", cpu: "qemu64", disks: [{name: "a", boot: 1, home: "\($t)/a.raw"}, {name: "b", home: "\($t)/b.raw"}],
				networks: [{name: "lan", kind: "user"}],
				validate: [{kind: "serial", text: "dm-guest: ready"}, {kind: "agent"}, {kind: "tcp", port: 80},
					{kind: "http", port: 80, text: "ok"}]}}]} | '"${1:-.}" >plan.json
}

# point: the disks of the running guest at one moment, and a checkpoint of it;
# sets $number to the newest record there was.
point() {
	guest_qmp vm '{"execute": "stop"}' >/dev/null || return 1
	cp --sparse=always a.raw a.point && cp --sparse=always b.raw b.point
	guest_qmp vm '{"execute": "cont"}' >/dev/null || return 1
	number=$(journal_check a.point | cut -d' ' -f2)
	exits 0 within 300 dm-replicate --now plan.json
}
more_records() {
	local from
	# A guest that has just got ready may not listen yet.
	from=$(guest_number vm || guest_number vm)
	wait_for eval "[ \"\$(guest_number vm)\" -gt $((from + 20)) ]"
}

@test "a running guest: tested beside itself, lost, recovered in order, brought home" {
	guest_boot_disk a.raw
	guest_data_disk b.raw
	guest_start vm a.raw b.raw
	guest_wait vm
	plan '.failover.groups = [{name: "db"}, {name: "web", delay: "1s"}] | .workloads[0].recovery.group = "web" |
		.workloads += [.workloads[0] | .name = "db" | .disks |= .[:1] | .recovery.disks |= .[:1] | .recovery.group = "db" |
			del(.recovery.disks[0].home)]'
	more_records
	point
	first=$number
	more_records
	point
	second=$number
	[ "$second" -gt "$first" ]

	# A test of the older checkpoint in isolation, while the original goes on.
	before=$(guest_number vm)
	failed_over 0 --test --keep --workload web --at 1
	says '.result == "completed" and ([.workloads[0].validation[].ok] == [true, true, true, true])'
	[ "$(guest_number vm)" -gt "$before" ]
	base=$(echo images/runs/*/web)
	[ "$(journal_check "$base/a.raw" | cut -d' ' -f1,2)" = "1 $first" ]
	read -r begin last _ < <(journal_check "$base/b.raw")
	[ "$begin" -eq 1 ] && [ "$last" -ge $((first - 1)) ] && [ "$last" -le "$first" ]
	tr '\0' ' ' <"/proc/$(cat "$base/machine/pid")/cmdline" >cmdline
	grep -q 'restrict=on' cmdline
	fails grep -qF "$T/a.raw" cmdline
	pid=$(cat "$base/machine/pid")
	exits 0 dm-failover --clean plan.json
	wait_for dead "$pid"
	[ -z "$(ls images/runs)" ]
	more_records

	# The original is lost with records that were never replicated.
	guest_kill vm
	lost=$(journal_check a.raw | cut -d' ' -f2)
	[ "$lost" -gt "$second" ]
	failed_over 0
	says '.result == "completed" and [.workloads[].name] == ["db", "web"]'
	says '(.workloads[1].steps[] | select(.step == "create").started) > (.workloads[0].steps | last | .started)'
	says '[.workloads[].checkpoint.seq] == [2, 2]'
	says '.workloads[1].rpo_seconds > .workloads[1].rto_seconds or .workloads[1].rto_seconds > 0'

	# Home again, with what was written meanwhile; home's own records are kept.
	exits 0 within 300 dm-failover --failback --force --workload web --json plan.json
	says '.workloads[1].state == "home" and ([.workloads[1].steps[].step] | .[-4:] == ["stop", "home", "capture", "return"])'
	same a.raw images/runs/*/web/a.raw
	same b.raw images/runs/*/web/b.raw
	read -r begin last _ < <(journal_check a.raw)
	[ "$begin" -eq 1 ] && [ "$last" -gt "$second" ]
	rm -f back.*
	exits 0 dm-restore --at 3 site web a=back.a
	[ "$(journal_check back.a | cut -d' ' -f1,2)" = "1 $lost" ]
	guest_start vm a.raw b.raw
	guest_wait vm
	guest_kill vm
}

# grows IMAGE [THAN]: its journal does, as a copy shows.
grows() {
	local n
	cp --sparse=always "$1" live.raw
	n=$(journal_check live.raw 2>/dev/null | cut -d' ' -f2)
	[ "${n:-0}" -gt "$2" ]
}

# switched_off PID: with the power of its host; files and locks are let go then.
switched_off() {
	kill -KILL "$1"
	wait_for dead "$1"
}
# How the manual starts the machines of a run, its directory, again.
again=$(awk '/^\.Ss When this host was restarted/ { on = 1 } on && /^\.Ed/ { exit }
	on && out; on && /^\.Bd -literal/ { out = 1 }' "$DM_TOP/man/dm-failover.1" | sed 's,^cd .*,cd "$1",')

@test "home that did not move is brought up to date by the guest's bitmaps alone" {
	guest_boot_disk a.point
	guest_data_disk b.point
	plan '.workloads[0].recovery.disks |= map(.home = "\($t)/\(.name).point") | .workloads[0].recovery.validate |= .[:1]'
	exits 0 dm-replicate --now plan.json
	failed_over 0
	dir=$(echo images/runs/*/web)
	[ "$(qemu-img info -U --output=json "$dir/b.qcow2" | jq -r '."format-specific".data."data-file-raw"')" = true ]
	exits 0 within 300 dm-failover --failback --force --json plan.json
	says '.workloads[0] | .state == "home" and (.steps | map(select(.step == "capture")) | last | .reply.by) == {a: "bitmap", b: "bitmap"}'
	same a.point "$dir/a.raw"
	same b.point "$dir/b.raw"
	read -r begin last _ < <(journal_check b.point)
	[ "$begin" -eq 1 ] && [ "$last" -gt 1 ]
	exits 0 dm-failover --clean --force plan.json

	# A guest that was killed has left bitmaps that nobody may trust.
	exits 0 dm-replicate --now plan.json
	failed_over 0
	dir=$(echo images/runs/*/web)
	switched_off "$(cat "$dir/machine/pid")"
	exits 0 sh -ec "$again" sh images/runs/*
	jq -c '{format: 1, timeout: 300, machine: ., check: .validate[0]}' "$dir/machine/machine.json" >request
	exits 0 dm-provider-qemu validate <request
	exits 0 within 300 dm-failover --failback --force --json plan.json
	says '.workloads[0] | .state == "home" and (.steps | map(select(.step == "capture")) | last | .reply.by) == {a: "scan", b: "scan"}'
	same b.point "$dir/b.raw"
}

@test "an instant failover moves its guest to rebuilt disks while it runs" {
	guest_boot_disk a.point
	guest_data_disk b.point
	plan '.workloads[0].recovery.disks |= map(.home = "\($t)/\(.name).point") | .workloads[0].recovery.instant = true'
	exits 0 dm-replicate --now plan.json
	failed_over 0 --stay
	dir=$(echo images/runs/*/web)
	pid=$(cat "$dir/machine/pid")
	[ ! -e "$dir/b.raw" ] && [ -e "$dir/serve.pid" ]
	# A move that is killed leaves a job, and the next one goes on from there.
	(trap - EXIT; exec dm-move --limit 100K --qmp "$dir/machine/qmp.sock" "$(node b)=$T/$dir/b.raw" 3>&-) &
	wait_for test -e "$dir/b.raw"
	kill -KILL "$!"
	wait "$!" || :
	exits 0 within 300 dm-failover --move --json plan.json
	says '.result == "completed" and (.workloads[0].steps | last | .step == "move" and .code == 0)'
	[ ! -e "$dir/serve.pid" ] && [ ! -e "$dir/b.qcow2" ]
	wait_for ended "nbdkit.*$T"
	kill -0 "$pid"
	[ "$(jq -r '[.disks[].volume] | join(" ")' "$dir/machine/machine.json")" = "$T/$dir/a.moved.qcow2 $T/$dir/b.moved.qcow2" ]
	wait_for grows "$dir/b.raw" 1
	wait_for grows "$dir/b.raw" "$(journal_check live.raw | cut -d' ' -f2)"
	exits 0 dm-failover --move plan.json	# nothing is left to do
	exits 0 within 300 dm-failover --failback --force --json plan.json
	says '.workloads[0].steps | map(select(.step == "capture")) | last | .reply.by == {a: "bitmap", b: "bitmap"}'
	same a.point "$dir/a.raw"
	same b.point "$dir/b.raw"
	exits 0 dm-failover --clean plan.json

	# By itself, and when it cannot be moved, it stays.
	exits 0 dm-replicate --now plan.json
	failed_over 0
	says '.workloads[0].steps | last | .step == "move" and .code == 0'
	dir=$(echo images/runs/*/web)
	[ ! -e "$dir/serve.pid" ]
	kill -0 "$(cat "$dir/machine/pid")"
	exits 0 dm-failover --clean --force plan.json
	mkdir "$T/taken" tmp
	export TMPDIR=$T/tmp	# of what is killed nobody tidies that
	plan '.workloads[0].recovery.instant = true | .workloads[0].recovery.disks[1].target = "\($t)/taken"'
	exits 0 dm-replicate --now plan.json
	failed_over 1
	[[ $err == *"web: move: $T/taken: is there already"* ]]
	says '.result == "completed" and .workloads[0].state == "up"'
	dir=$(echo images/runs/*/web)
	[ -e "$dir/serve.pid" ]
	kill -0 "$(cat "$dir/machine/pid")"
	# Then its host loses power: its bitmaps are lost, and it is moved without.
	switched_off "$(cat "$dir/machine/pid")"
	kill -KILL -- "-$(cat "$dir/serve.pid")"
	wait_for ended "nbdkit.*$T"
	rm "$dir/web.sock"
	exits 0 dm-serve --at "$(jq '.[0].seq' "$dir/../schedule.json")" --background --pid-file "$dir/serve.pid" \
	    --socket-dir "$PWD/$dir" site web
	exits 0 sh -ec "$again" sh "$dir/.."
	rmdir taken
	exits 0 within 300 dm-failover --move plan.json
	[ -s taken ] && [ ! -e "$dir/serve.pid" ]
	[ "$(qemu-img info -U --output=json "$dir/b.moved.qcow2" | jq -c '."format-specific".data | [."data-file", .bitmaps]')" = "[\"$T/taken\",null]" ]
	switched_off "$(cat "$dir/machine/pid")"
	exits 0 sh -ec "$again" sh "$dir/.."
	exits 0 dm-provider-qemu validate <<<"$(jq '{format: 1, timeout: 300, machine: ., check: .validate[0]}' "$dir/machine/machine.json")"
}
# node DISK: of the machine at $dir.
node() {
	ln -sf qmp.sock "$dir/machine/qmp"
	T=$dir guest_qmp machine '{"execute": "query-block"}' | jq -r --arg d "disk-$1" '.[] | select(.device == $d) | .inserted."node-name"'
}

@test "a machine that does not fit is refused, and one that hangs is ended" {
	guest_boot_disk a.point
	guest_data_disk b.point
	plan '.workloads[0].recovery.memory = "900G"'
	exits 0 dm-replicate --now plan.json
	failed_over 1
	one_line 'not enough memory for the guests'
	[ ! -e images/runs/*/web ]
	exits 0 dm-failover --clean plan.json
	# Not its system disk: it never gets ready.
	plan '.workloads[0].recovery |= (.disks = [{name: "b", boot: 1}, {name: "a", boot: 2}] | .boot = {kernel: "/dev/null"} |
		.validate = [{kind: "serial", text: "dm-guest: ready", timeout: "2s"}])'
	exits 0 dm-replicate --now plan.json
	failed_over 4 --test
	says '.workloads[0].state == "failed" and .result == "failed"'
	wait_for ended "$T/images"
	[ -z "$(ls images/runs)" ]
}
