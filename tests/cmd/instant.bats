# Instant recovery: a guest runs from a checkpoint that was not restored, and is
# moved to its rebuilt disks while it runs.  dm-serve(1), dm-move(1).
bats_require_minimum_version 1.5.0
load ../lib/common
load ../lib/volumes
load ../lib/pipeline
load ../lib/faults
load ../lib/guest
load ../lib/serve

# A site with a guest's two disks as a power cut left them.
setup_file() {
	local n
	guest_build || return 1
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR dm_setup || return 1
	guest_boot_disk a.raw
	guest_data_disk b.raw
	guest_start vm a.raw b.raw
	guest_wait vm
	for ((n = 0; n < 20; )); do
		n=$(guest_number vm) || n=0
	done
	guest_kill vm
	site
	full site vm a.raw b.raw
	echo "$n" >number
	export DM_MADE=$T
}
setup() {
	dm_setup || return 1
	site=$DM_MADE/site
	export TMPDIR=$T/tmp
	mkdir tmp
}
teardown() { dm_teardown; }

# overlays: of what s serves, for a guest to write to.
overlays() {
	local d
	for d in a b; do
		qemu-img create -q -f qcow2 -F raw -b "$(uri s "$d")" "$d.qcow2"
	done
}

# past N: the guest's journal has gone on beyond it.
past() {
	local n
	n=$(guest_number vm) && [ "$n" -gt "$1" ]
}

# bats test_tags=plain
@test "a guest boots from a checkpoint and moves to its rebuilt disks while it runs" {
	serve s "$site" vm
	overlays
	guest_start vm qcow2:a.qcow2 qcow2:b.qcow2
	guest_wait vm
	wait_for past "$(cat "$DM_MADE/number")"
	exits 0 within 300 dm-move --json --qmp vm/qmp.dm vda=new-a.raw vdb=new-b.raw
	[ "$(jq -r '.[1].target' <<<"$output")" = "$T/new-b.raw" ]
	dm-serve --stop s.pid
	rm a.qcow2 b.qcow2
	n=$(guest_number vm)
	wait_for past "$((n + 5))"
	guest_alive vm
	guest_kill vm
	read -r first last _ <<<"$(journal_check new-b.raw)"
	[ "$((10#$first))" -le 1 ]
	[ "$((10#$last))" -gt "$((n + 4))" ]
	journal_check new-a.raw
	[ "$(stat -c %a new-a.raw)" = 600 ]
	[ $(($(stat -c %b new-a.raw) * 512)) -lt "$(stat -c %s new-a.raw)" ]
}

# bats test_tags=plain
@test "a move that cannot be made leaves the guest where it is" {
	serve s --writable "$site" vm
	GUEST_ARGS=()
	overlays
	guest_start vm qcow2:a.qcow2 qcow2:b.qcow2
	guest_wait vm
	: >there
	exits 1 within 60 dm-move --qmp vm/qmp.dm vda=new vdb=there
	one_line "there: is there already"
	exits 1 within 60 dm-move --qmp vm/qmp.dm vdx=new
	one_line "no block node vdx"
	exits 4 within 60 dm-move --qmp ./nowhere vda=new
	one_line nowhere
	exits 2 within 60 dm-move --qmp vm/qmp.dm vda
	exits 2 within 60 dm-move --qmp vm/qmp.dm vda=x vdb=x
	exits 2 within 60 dm-move --qmp vm/qmp.dm --bitmap m vda=new
	one_line "--bitmap needs --keep for each disk"
	exits 2 within 60 dm-move --qmp vm/qmp.dm --bitmap m --keep vdb=k vda=new
	one_line "--keep vdb: is not moved"
	exits 1 within 60 dm-move --qmp vm/qmp.dm --bitmap m --keep vda=k vda=new
	one_line 'vda: has no dirty bitmap "m"'
	[ ! -e new ] && [ ! -e k ]
	exits 4 within 60 dm-move --qmp vm/qmp.dm --limit 100K --timeout 2 vda=new
	one_line "not done after 2 seconds"
	truncate -s 1G used
	mke2fs -q -F used
	loop_attach used
	mkdir m
	mount "$loop" m
	at_end umount "$T/m"
	exits 1 within 60 dm-move --qmp vm/qmp.dm vda="$loop"
	one_line "$loop: in use: mounted at $T/m"
	small_fs tiny 2M
	exits 4 within 60 dm-move --qmp vm/qmp.dm vda=tiny/new
	one_line "vda: "
	[ ! -e new ] && [ ! -e tiny/new ]
	[ "$(guest_qmp vm '{"execute":"query-jobs"}')" = '[]' ]
	n=$(guest_number vm)
	wait_for past "$n"
	exits 0 within 300 dm-move --qmp vm/qmp.dm vda=new vdb=new-b
}
