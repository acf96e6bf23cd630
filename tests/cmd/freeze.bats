# Files that are written to while dm-replicate reads them.
load ../lib/common
load ../lib/volumes
load ../lib/pipeline

setup() {
	dm_setup
	site
}
teardown() { dm_teardown; }

# plan DIR FILTER: the workload w, whose disk is DIR/d.raw.
plan() {
	jq -n --arg t "$T" --arg d "$1" '{site: "\($t)/site", workloads: [{name: "w", disks: [
		{name: "d", volume: "\($d)/d.raw"}]}]} | '"${2:-.}" >plan.json
}

# writer FILE: stamps rising numbers on the first and on the last block of a
# file, in this order, every millisecond or so, until $T/stop is there.
writer() {
	python3 - "$1" "$T/stop" <<-'END' &
		import os, sys, time
		f = os.open(sys.argv[1], os.O_RDWR)
		last = os.fstat(f).st_size - 4096
		n = 0
		while not os.path.exists(sys.argv[2]):
		    n += 1
		    block = n.to_bytes(8, "little") * 512
		    os.pwrite(f, block, 0)
		    os.pwrite(f, block, last)
		    time.sleep(0.001)
	END
	pid=$!
	at_end wait "$pid"
	at_end touch "$T/stop"
	wait_for stamped "$1"
}
stamp() { od -An -tu8 -j "$2" -N 8 "$1" | tr -d ' '; }
stamped() { [ "$(stamp "$1" 0)" -gt 0 ] && [ "$(stamp "$1" $(($(stat -c %s "$1") - 4096)))" -gt 0 ]; }

# one_moment FILE: both stamps are of one turn of the writer.
one_moment() {
	local first last
	first=$(stamp "$1" 0)
	last=$(stamp "$1" $(($(stat -c %s "$1") - 4096)))
	[ $((first - last)) -le 1 ] && [ $((first - last)) -ge 0 ] || die "stamps $first and $last"
}

frozen_disk() {
	local t
	image_random "$1/d.raw" 16M
	poke_zero "$1/d.raw" 0 4096
	poke_zero "$1/d.raw" 16773120 4096
	writer "$1/d.raw"
	for t in 1 2; do
		exits 0 within 120 dm-replicate --verbose plan.json
		[[ $output == "w: checkpoint $t, "* ]]
		rm -f back
		dm-restore site w d=back >/dev/null
		one_moment back
	done
	[ "$(stamp back 0)" -gt 1 ]
	# nothing stays
	[ "$(ls -A "$1")" = d.raw ]
}

@test "XFS: every checkpoint is of one moment, by scan and by state" {
	fs_mount xfs x 320M
	plan "$T/x"
	frozen_disk x
	touch stop
	wait "$pid"
	rm stop
	rm -rf site
	dm-checkpoint init site
	plan "$T/x" ".workloads[0].disks[0].state = \"$T/ids\""
	frozen_disk x
}

@test "btrfs: the same; a file without copy-on-write is read in place" {
	fs_mount btrfs b 320M
	plan "$T/b"
	frozen_disk b
	touch stop
	wait "$pid"
	mkdir b/n
	touch b/n/d.raw
	chattr +C b/n/d.raw
	head -c 5M /dev/urandom >b/n/d.raw
	plan "$T/b/n"
	rm -rf site
	dm-checkpoint init site
	exits 0 within 120 dm-replicate --verbose plan.json
	[ "$(ls -A b/n)" = d.raw ]
	plan "$T/b/n" '.defaults.freeze = "reflink"'
	exits 4 within 120 dm-replicate plan.json
	[[ $err == *clone* ]]
}

@test "ext4: what changes while it is read is found out, and no checkpoint made" {
	fs_mount ext4 e 320M
	image_random e/d.raw 16M
	poke_zero e/d.raw 0 4096
	poke_zero e/d.raw 16773120 4096
	plan "$T/e"
	writer e/d.raw
	local rc=0
	within 120 dm-replicate plan.json 2>err || rc=$?
	[ "$rc" -eq 1 ] || [ "$rc" -eq 4 ]
	grep -q "changed while being read\|no longer in the state asked for\|is at .* but" err
	[ "$(checkpoints site w)" = 0 ]
	touch stop
	wait "$pid"
	exits 0 within 120 dm-replicate plan.json
	dm-restore site w d=back >/dev/null
	same e/d.raw back
	# asked for and impossible
	plan "$T/e" '.workloads[0].disks[0].freeze = "reflink"'
	exits 4 within 120 dm-replicate plan.json
	[[ $err == *clone* ]]
	[ "$(checkpoints site w)" = 1 ]
}

@test "an interrupted iteration goes on with its clone, others leave none" {
	fs_mount xfs x 320M
	image_random x/d.raw 16M
	plan "$T/x" '.workloads[0] += {interval: "4M"}'
	dm-replicate --dry-run plan.json >shown
	grep -q '.dm-points/w/d/' shown
	[ "$(ls -A x)" = d.raw ]
	# the stream is cut after some of it is durable
	mkdir bin
	printf '#!/bin/sh\nhead -c 10000000 | %s "$@"\n' "$(command -v dm-write)" >bin/dm-write
	chmod +x bin/*
	PATH=$T/bin:$PATH exits 4 within 120 dm-replicate plan.json
	local clone
	clone=$(ls x/.dm-points/w/d)
	[ -n "$clone" ]
	poke x/d.raw 13000000 5000
	cp "x/.dm-points/w/d/$clone" was
	exits 0 within 120 dm-replicate --verbose plan.json
	dm-restore site w d=back >/dev/null
	same was back
	[ "$(ls -A x)" = d.raw ]
	# one that never began to write leaves nothing to go on with
	printf '#!/bin/sh\nexit 4\n' >bin/dm-write
	poke x/d.raw 9000000 5000
	PATH=$T/bin:$PATH exits 4 within 120 dm-replicate plan.json
	[ "$(ls -A x)" = d.raw ]
}

@test "an interrupted iteration onto a directory goes on from what is durable" {
	fs_mount xfs x 400M
	image_random x/d.raw 16M
	mkdir x/out bin
	plan "$T/x" '.workloads[0] += {interval: "2M"} | .workloads[0].disks[0].target = "\($d)/out"'
	exits 0 within 120 dm-replicate plan.json
	poke x/d.raw 0 12000000
	# the stream is cut after some of it is durable
	printf '#!/bin/sh\nhead -c 9000000 | %s "$@"\n' "$(command -v dm-write)" >bin/dm-write
	chmod +x bin/*
	PATH=$T/bin:$PATH exits 4 within 120 dm-replicate plan.json
	dm-checkpoint sessions --json site | jq -e '.[0].disks[0].work | endswith("/x/out/.d.work")' >/dev/null
	printf '#!/bin/sh\ntee %s | %s "$@"\n' "$T/chunks" "$(command -v dm-write)" >bin/dm-write
	PATH=$T/bin:$PATH exits 0 within 120 dm-replicate --verbose plan.json
	# at most what was being written, an interval that was being flushed, and a
	# chunk more of each
	[ "$(dm-json <chunks | jq -r .type | grep -c held)" -ge 2 ]
	same x/d.raw x/out/d.000002.raw
	exits 0 dm-checkpoint verify --json site
	jq -e '.ok and .reread == 2' <<<"$output" >/dev/null
}

@test "freeze in a plan: what it may say" {
	plan /dev '.workloads[0].disks[0].freeze = "reflink"'
	exits 2 dm-replicate plan.json
	one_line "disks[0].freeze" "regular files"
	plan "$T" '.workloads[0].disks[0] += {freeze: "none", tracker: "reflink", points: "p"}'
	exits 2 dm-replicate plan.json
	one_line "cannot be \"none\""
	plan "$T" '.defaults.freeze = "clone"'
	exits 2 dm-replicate plan.json
	one_line "defaults.freeze" '"auto", "reflink", "none"'
	truncate -s 1M d.raw
	plan "$T" '.defaults.freeze = "none"'
	exits 0 dm-replicate --dry-run plan.json
	[[ $output != *dm-points* ]]
}
