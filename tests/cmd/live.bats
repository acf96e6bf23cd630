# Running guests: points of their disks, and iterations while they write.
# bats file_tags=plain,long
load ../lib/common
load ../lib/volumes
load ../lib/faults
load ../lib/guest
load ../lib/pipeline
load ../lib/ssh

setup_file() { guest_build; }
setup() { dm_setup; }
teardown() { dm_teardown; }

# plan FILTER: a plan with the guest vm, disks vda and vdb.
plan() {
	jq -n --arg t "$T" '{site: "\($t)/site", workloads: [{name: "w",
		source: {kind: "qemu", qmp: "\($t)/vm/qmp.dm", agent: "\($t)/vm/agent", scratch: $t},
		disks: [{name: "vda", volume: "vda"}, {name: "vdb", volume: "vdb"}]}]} | '"${1:-.}" >plan.json
}

# vm: the guest runs; its second disk is qcow2.
vm() {
	guest_boot_disk a.raw
	guest_data_disk b.raw
	qemu-img convert -O qcow2 b.raw b.qcow2
	site
	guest_start vm a.raw qcow2:b.qcow2
	guest_wait vm
}

replicated() {
	exits 0 within 300 dm-replicate --now --verbose plan.json
}

# nodes: the guest's block nodes.
nodes() {
	guest_qmp vm '{"execute":"query-named-block-nodes","arguments":{"flat":true}}'
}
bitmaps() {
	nodes | jq -r --arg n "$1" '.[] | select(."node-name" == $n) | ."dirty-bitmaps" // [] | .[].name'
}

# unharmed: the guest runs and writes, and nothing of a point is left but, at
# most, the bitmaps of disk vda: $1 (1) of them.  Who cleans up after one that
# was killed may not be done yet.
unharmed() {
	local was
	wait_for at_rest "${1:-1}" || die "$left" || return 1
	was=$(guest_number vm)
	wait_for number_after "$was"
}
# at_rest BITMAPS: else $left says what is not.
at_rest() {
	local was q
	left="the guest does not run"
	[ "$(guest_qmp vm '{"execute":"query-status"}' | jq -r .status)" = running ] || return 1
	for q in query-block-jobs query-block-exports; do
		was=$(guest_qmp vm "{\"execute\":\"$q\"}")
		left="$q: $was"
		[ "$was" = '[]' ] || return 1
	done
	left="nodes are left"
	nodes | jq -e 'all(.[]; ."node-name" | startswith("dm-") | not)' >/dev/null || return 1
	left="files are left"
	! ls -d "$T"/dm-point-* 2>/dev/null || return 1
	left="bitmaps are left"
	[ "$(bitmaps vda | wc -l)" -le "$1" ]
}
number_after() {
	[ "$(guest_number vm)" -gt "$1" ]
}

# whole AT BEFORE AFTER: this checkpoint's disks are of one moment between two
# numbers of the journal.
whole() {
	local a b first
	rm -f back.a back.b
	exits 0 dm-restore --at "$1" site w vda=back.a vdb=back.b || return 1
	read -r first a _ < <(journal_check back.a)
	read -r _ b _ < <(journal_check back.b)
	[ "$first" -eq 1 ] || return 1
	[ "$b" -eq "$a" ] || [ "$b" -eq $((a - 1)) ] || die "disks of different moments: $a, $b" || return 1
	[ "$b" -ge "$2" ] && [ "$b" -le "$3" ] || die "checkpoint $1 ends at $b, not from $2 to $3" || return 1
}

@test "a guest starts from its disk, and its journals survive a power cut" {
	guest_boot_disk a.raw
	guest_data_disk b.raw
	guest_start vm a.raw b.raw
	guest_wait vm
	seen=$(guest_number vm)
	guest_kill vm
	read -r first last_a _ < <(journal_check a.raw)
	read -r _ last_b _ < <(journal_check b.raw)
	[ "$first" -eq 1 ] && [ "$last_a" -ge "$seen" ]
	[ "$last_b" -eq "$last_a" ] || [ "$last_b" -eq $((last_a - 1)) ]
}

@test "each iteration of a guest that writes is one moment of all its disks" {
	vm
	guest_run vm 'echo 2 >/run/pause'
	plan
	for i in 1 2 3 4; do
		before[i]=$(guest_number vm)
		replicated
		after[i]=$(guest_number vm)
		[ -z "$err" ]
		[ "$i" -eq 1 ] || [[ $output == *", incremental, "* ]]
		unharmed
	done
	[ "$(record site w .changed)" -lt 20000000 ]
	for i in 1 2 3 4; do
		whole "$i" "${before[i]}" "${after[i]}"
	done
	# After an orderly stop the qcow2 image has kept its bitmap, the raw one has not.
	guest_stop vm
	guest_start vm a.raw qcow2:b.qcow2
	guest_wait vm
	exits 1 dm-replicate plan.json
	[[ $err == *"disk vda: its tracker has lost checkpoint 4"* ]]
	plan '.workloads[0].fallback = "scan"'
	before[5]=$(guest_number vm)
	exits 0 dm-replicate --dry-run plan.json
	replicated
	[[ $err == *"disk vda: its tracker has lost checkpoint 4: falling back to scan"* ]]
	[[ $err != *"disk vdb"* ]]
	whole 5 "${before[5]}" "$(guest_number vm)"
	# Restored disks are a machine that starts.
	guest_kill vm
	rm -rf vm
	guest_start again back.a back.b
	guest_wait again
	[ "$(guest_number again)" -ge "${before[5]}" ]
}

@test "whatever is killed, the guest goes on and so does the next iteration" {
	vm
	guest_run vm 'echo 5 >/run/pause'
	plan
	replicated
	for victim in dm-point-qemu dm-send dm-replicate dm-write dm-point-qemu dm-changed dm-replicate; do
		guest_run vm 'dd if=/dev/urandom of=/mnt/vdb/new bs=64k count=100 conv=fsync' >/dev/null
		background "exec dm-replicate --now plan.json"
		wait_for holding
		if [ "$victim" = dm-replicate ]; then
			kill -KILL "-$group"
		else
			kill_one "$victim" || :
		fi
		wait_for let_go
		wait "$group" || :
		unharmed 2
	done
	before=$(guest_number vm)
	replicated
	[ -z "$err" ]
	unharmed
	whole latest "$before" "$(guest_number vm)"
}
holding() {
	ls "$T"/dm-point-*/nbd >/dev/null 2>&1
}
let_go() {
	! holding
}

@test "disks that are not there, or not in the plan; bitmaps and jobs of others" {
	vm
	plan '.workloads[0].disks += [{name: "vdc", volume: "vdc"}]'
	exits 1 dm-replicate plan.json
	[[ $err == *'disk vdc: the guest has no disk "vdc" (it has: vda, vdb)'* ]]
	unharmed 0
	plan
	replicated

	# Plugged in while the guest runs: said until the plan names it.
	truncate -s 8M c.raw
	guest_qmp vm "{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"raw\",\"node-name\":\"vdc\",\"file\":{\"driver\":\"file\",\"filename\":\"$T/c.raw\"}}}"
	guest_qmp vm '{"execute":"device_add","arguments":{"driver":"virtio-blk-pci","drive":"vdc","id":"dev-vdc"}}'
	replicated
	[[ $err == *"the guest's disk vdc is not replicated"* ]]
	plan '.workloads[0].disks += [{name: "vdc", volume: "vdc"}]'
	replicated
	[ -z "$err" ]
	replicated
	plan

	# A disk that grew is another disk.
	guest_qmp vm '{"execute":"block_resize","arguments":{"node-name":"vdb","size":75497472}}'
	exits 1 dm-replicate plan.json
	[[ $err == *"disk vdb: its tracker has lost checkpoint 4"* ]]
	plan '.workloads[0].fallback = "scan"'
	replicated

	# Somebody else's NBD server and backup job.
	plan
	guest_qmp vm "{\"execute\":\"nbd-server-start\",\"arguments\":{\"addr\":{\"type\":\"unix\",\"data\":{\"path\":\"$T/other\"}}}}"
	exits 1 dm-replicate plan.json
	[[ $err == *"NBD server already running"* ]]
	exits 1 dm-replicate plan.json
	[ "$(bitmaps vda | wc -l)" -eq 1 ]
	guest_qmp vm '{"execute":"nbd-server-stop"}'
	replicated
	[[ $err != *"has lost"* ]]

	# A bitmap that was deleted.
	for node in vda vdb; do
		guest_qmp vm "{\"execute\":\"block-dirty-bitmap-remove\",\"arguments\":{\"node\":\"$node\",\"name\":\"$(bitmaps $node)\"}}"
	done
	exits 1 dm-replicate plan.json
	[[ $err == *"disk vda: its tracker has lost"* ]]
	unharmed

	# And a guest that is not there.
	guest_kill vm
	exits 4 dm-replicate plan.json
	[[ $err == *"vm/qmp.dm: connect: Connection refused"* ]]
}

# at_send TEXT: programs on PATH of which dm-send waits for the file go, and says
# so by the file waits.
at_send() {
	mkdir -p bin
	printf '#!/bin/sh\n: >%q/waits\nuntil [ -e %q/go ]; do sleep 0.05; done\nexec %q "$@"\n' \
	    "$T" "$T" "$(command -v dm-send)" >bin/dm-send
	chmod +x bin/dm-send
}
# nothing_runs: no program of an iteration, no lock of one.  Who was orphaned
# is reaped by somebody else, in his own time.
nothing_runs() {
	gone() { ! pgrep -g "$group"; }
	wait_for gone >&2 || die "processes are left" || return 1
	! pgrep -f "^dm-(point|send|recv|write|window|changed|checkpoint).*$T" >&2 || die "processes are left" || return 1
	flock -n site/locks/w true || die "a lock is left" || return 1
	[ "$(dm-checkpoint sessions --json site | jq 'map(select(.alive)) | length')" = 0 ]
}

@test "a guest killed in mid-iteration costs that iteration; another job is let alone" {
	vm
	plan
	replicated
	at_send
	guest_run vm 'dd if=/dev/urandom of=/mnt/vdb/new bs=64k count=50 conv=fsync' >/dev/null
	background "PATH=$T/bin:\$PATH exec dm-replicate --now plan.json"
	wait_for test -e waits
	guest_kill vm
	: >go
	rc=0
	wait "$group" || rc=$?
	[ "$rc" -eq 4 ]
	[ "$(grep -c 'the other side closed the connection' .bg.err)" -eq 1 ]
	grep -qx 'w: failed with code 4' .bg.err
	nothing_runs
	wait_for let_go
	[ "$(checkpoints site w)" -eq 1 ]
	# It comes back; what its bitmaps knew is lost, and that is said.
	rm -rf vm
	guest_start vm a.raw qcow2:b.qcow2
	guest_wait vm
	exits 1 dm-replicate --now plan.json
	[[ $err == *"disk vda: its tracker has lost checkpoint 1"* ]]
	plan '.workloads[0].fallback = "scan"'
	before=$(guest_number vm)
	replicated
	whole 2 "$before" "$(guest_number vm)"
	unharmed

	# Somebody else's bitmap, and a backup job of his: QEMU allows one.
	plan
	guest_qmp vm '{"execute":"block-dirty-bitmap-add","arguments":{"node":"vda","name":"other"}}'
	truncate -s "$(stat -c %s a.raw)" other.raw
	guest_qmp vm "{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"raw\",\"node-name\":\"to\",\"file\":{\"driver\":\"file\",\"filename\":\"$T/other.raw\"}}}"
	guest_qmp vm '{"execute":"blockdev-backup","arguments":{"job-id":"other","device":"vda","target":"to","sync":"none"}}'
	exits 1 dm-replicate --now plan.json
	[[ $err == *'disk vda: the guest does not use "vda" itself: a job of somebody else'* ]]
	wait_for let_go
	[ "$(guest_qmp vm '{"execute":"query-block-jobs"}' | jq -r '.[].device')" = other ]
	[ "$(bitmaps vda | sort | head -n 1 | cut -c1-3)" = dm- ] && [ "$(bitmaps vda | grep -cx other)" -eq 1 ]
	guest_qmp vm '{"execute":"block-job-cancel","arguments":{"device":"other"}}'
	wait_for no_jobs
	guest_qmp vm '{"execute":"blockdev-del","arguments":{"node-name":"to"}}'
	replicated
	[ -z "$err" ]
	[ "$(bitmaps vda | grep -cx other)" -eq 1 ]
	unharmed 2
}
no_jobs() {
	[ "$(guest_qmp vm '{"execute":"query-block-jobs"}')" = '[]' ]
}

@test "scratch space that is full costs the iteration and not the guest" {
	vm
	plan
	replicated
	hold="dm-point-qemu --qmp vm/qmp.dm --owner x"
	# In place: what was a hole before costs no scratch space.
	write='dd if=/dev/urandom of=/mnt/vdb/new bs=64k count=200 conv=notrunc,fsync'
	guest_run vm "$write" >/dev/null

	# Over its limit.
	mkfifo word
	$hold --scratch "$T" --limit 2M hold vdb=vdb <word >point 2>said &
	pid=$!
	exec 7>word
	wait_for test -s point
	guest_run vm "$write" >/dev/null
	rc=0
	wait "$pid" || rc=$?
	[ "$rc" -eq 4 ]
	grep -q 'scratch images may grow to 2.0 MiB' said
	exec 7>&-
	unharmed

	# Over what the file system has.
	small_fs tiny 3M
	$hold --scratch "$T/tiny" hold vdb=vdb <word >point 2>said &
	pid=$!
	exec 7>word
	wait_for test -s point
	guest_run vm "$write" >/dev/null
	rc=0
	wait "$pid" || rc=$?
	[ "$rc" -eq 4 ]
	grep -q 'no space left for scratch images' said
	exec 7>&-
	unharmed
	exits 0 $hold --scratch "$T" --all clean vdb=vdb
	replicated
	[ -z "$err" ]
	unharmed
}

@test "a point by ssh is let go when the connection is cut; a frozen guest is thawed" {
	sshd_start
	at_end sshd_stop
	vm
	plan '.workloads[0].host = "src" | .workloads[0].source.freeze = "require"'
	replicated
	guest_run vm 'dd if=/dev/urandom of=/mnt/vdb/new bs=64k count=300 conv=fsync' >/dev/null
	background "exec dm-replicate --now plan.json"
	wait_for holding
	kill_one ssh
	kill -KILL "-$group"
	wait_for let_go
	unharmed 2
	replicated
	[ -z "$err" ]
	# No agent where it is required: nothing is made.
	plan '.workloads[0].source.freeze = "require" | .workloads[0].source.agent = "/nowhere"'
	exits 4 dm-replicate plan.json
	[[ $err == *"the guest's file systems cannot be frozen: /nowhere: connect: No such file"* ]]
	unharmed
	plan '.workloads[0].source.agent = "/nowhere"'
	replicated
	[[ $err == *"not frozen: /nowhere: connect"* ]]
	# Two at once.
	mkfifo word
	dm-point-qemu --qmp vm/qmp.dm --owner x --scratch "$T" hold vdb=vdb <word >point &
	pid=$!
	exec 7>word
	wait_for test -s point
	exits 1 dm-point-qemu --qmp vm/qmp --owner y --scratch "$T" hold vdb=vdb
	one_line "another run holds a point of this guest"
	echo abandoned >&7
	wait "$pid"
	unharmed
}

@test "a guest that is off: its disks in a storage daemon" {
	site
	image_ext4 b.raw 32M
	qemu-img convert -O qcow2 b.raw b.qcow2
	mkdir vm
	daemon() {
		rm -f vm/qmp.dm
		qemu-storage-daemon --blockdev driver=qcow2,node-name=vdb,file.driver=file,file.filename=b.qcow2 \
		    --chardev socket,id=qmp,path=vm/qmp.dm,server=on,wait=off --monitor qmp 3>&- &
		pid=$!
		at_end kill_pid "$pid"
		wait_for test -S vm/qmp.dm
	}
	plan '.workloads[0].disks = [{name: "vdb", volume: "vdb"}] | del(.workloads[0].source.agent)'
	daemon
	replicated
	kill "$pid"
	wait "$pid"
	qemu-io -f qcow2 -c 'write -P 7 1M 64k' b.qcow2 >/dev/null
	daemon
	replicated
	[[ $output == *"2, incremental, "* ]]
	[ -z "$err" ]
	[ "$(record site w .changed)" -lt 1100000 ]
	kill "$pid"
	wait "$pid"
	exits 0 dm-restore site w vdb=back
	qemu-img compare -f raw -F qcow2 back b.qcow2
}
kill_pid() {
	kill "$1" 2>/dev/null || :
}
