# file: volumes: what they hold, what changed, and what may be written.
load ../lib/common
load ../lib/volumes
load ../lib/faults

setup() { dm_setup; }
teardown() { dm_teardown; }

# said OPTION... VOLUME: the bytes that dm-changed calls data.
said() {
	dm-changed "$@" | dm-json | jq -s '[.[] | select(.kind == "data") | .len] | add // 0'
}

# copy FROM TO [OPTION...]: one disk, file to file.
copy() {
	sh_exits 0 "dm-changed ${*:3} d=$1 | dm-describe | dm-send d=$1 | dm-write --json d=$2"
}

# blocks FILE: what filefrag sees, a line "logical physical" for each block of
# 4 KiB that holds data.
blocks() {
	filefrag -b4096 -v "$1" | sed -n 's/^ *[0-9]*: *\([0-9]*\)\.\. *\([0-9]*\): *\([0-9]*\)\.\. .*/\1 \2 \3/p' |
		while read -r lo hi phys; do
			for ((i = lo; i <= hi; i++)); do echo "$i $((phys + i - lo))"; done
		done
}

# changed_blocks OPTION...: blocks that dm-changed names.
changed_blocks() {
	dm-changed "$@" | dm-json | jq -r 'select(.type == "extent") | "\(.off) \(.len)"' |
		while read -r off len; do
			for ((i = off / 4096; i < (off + len + 4095) / 4096; i++)); do echo "$i"; done
		done | sort -n -u
}

@test "holes are not data, and odd sizes come whole" {
	truncate -s 10000777 a
	poke a 3000000 100
	poke a 10000700 77
	[ "$(said d=a)" -le 16384 ]
	copy a b
	same a b
	[ "$(stat -c %b b)" -le 64 ]
	truncate -s 1 c
	copy c c2
	same c c2
	: >e
	copy e e2
	same e e2
	[ -e e2 ]
}

@test "devices with sectors of 512 and 4096 bytes" {
	local s
	for s in 512 4096; do
		image_random r$s.raw 5M
		poke_zero r$s.raw 1048576 2097152
		loop_attach r$s.raw $s
		[ "$(dm-changed d=$loop | dm-json | jq -r 'select(.type == "hello") | .disks[0].block')" = $s ]
		truncate -s 6M t$s.raw
		poke t$s.raw 0 6291456
		src=$loop
		loop_attach t$s.raw $s
		copy "$src" "$loop"
		cmp -n 5242880 r$s.raw "$loop"
		# beyond the disk's end nothing was written
		cp t$s.raw before
		copy "$src" "$loop"
		same before t$s.raw
	done
}

@test "a full copy onto a device leaves nothing of the old" {
	truncate -s 8M a
	poke a 5000000 4096
	image_random old 8M
	loop_attach old
	copy a "$loop"
	same a "$loop"
	sh_exits 1 "dm-changed --extents /dev/null --base-point x d=a | dm-describe | dm-send d=a | dm-write d=$loop"
	one_line dm-write: "record="
}

@test "a device keeps its record where it is told" {
	image_random a 4M
	truncate -s 4M dev
	loop_attach dev
	sh_exits 0 "dm-changed --state st d=a | dm-describe | dm-send d=a | dm-write --json 'd=file:$loop?record=rec'"
	[ "$(jq -r .state rec)" = complete ]
	poke a 100000 5000
	sh_exits 0 "dm-changed --state st d=a | dm-describe | dm-send d=a | dm-write --json 'd=file:$loop?record=rec'"
	same a "$loop"
	# the same changes once more: the device is no longer their base
	sh_exits 1 "dm-changed --base \$(jq -r .base.root rec) --extents /dev/null d=a | dm-describe |
		dm-send d=a | dm-write 'd=file:$loop?record=rec'"
	one_line dm-write: base
}

@test "too small a device, a mounted one, one with a mounted file: refused" {
	image_random a 4M
	truncate -s 3M small
	loop_attach small
	sh_exits 1 "dm-changed d=a | dm-describe | dm-send d=a | dm-write d=$loop"
	one_line dm-write: "3145728 bytes"
	truncate -s 64M m
	mke2fs -q -t ext4 -F m
	loop_attach m
	mkdir mnt
	mount "$loop" mnt
	at_end umount "$T/mnt"
	sh_exits 1 "dm-changed d=a | dm-describe | dm-send d=a | dm-write d=$loop"
	one_line dm-write: "mounted at $T/mnt"
	sh_exits 1 "dm-changed d=a | dm-describe | dm-send d=a | dm-write d=m"
	one_line dm-write: "$loop"
	sum m >before
	sh_exits 1 "dm-changed d=a | dm-describe | dm-send d=a | dm-write d=$loop"
	[ "$(sum m)" = "$(cat before)" ]
}

@test "a file that somebody has open is refused" {
	image_random a 1M
	image_random b 1M
	sum b >before
	exec 9<b
	sh_exits 1 "dm-changed d=a | dm-describe | dm-send d=a | dm-write d=b 9<&-"
	exec 9<&-
	one_line dm-write: "open in process"
	[ "$(sum b)" = "$(cat before)" ]
	copy a b
	same a b
}

@test "a wrong base is refused before anything is written" {
	image_random a 4M
	copy a b --state st
	poke a 1000000 4096
	cp b b0; cp b.dm b0.dm
	copy a b --state st
	same a b
	sum b >before
	poke a 2000000 4096
	# changes since a state that b does not hold
	sh_exits 1 "dm-changed --extents /dev/null --base \$(jq -r .target.root b0.dm) d=a |
		dm-describe | dm-send d=a | dm-write d=b"
	one_line dm-write: "does not hold the base"
	[ "$(sum b)" = "$(cat before)" ]
	# touched by somebody else
	poke b 0 1
	sh_exits 1 "dm-changed --state st d=a | dm-describe | dm-send d=a | dm-write d=b"
	one_line dm-write: "was changed"
	# the record is gone
	rm b.dm
	sh_exits 1 "dm-changed --extents /dev/null --base-point p d=a | dm-describe | dm-send d=a | dm-write d=b"
	one_line dm-write: "nothing says what it holds"
	# the same of a file that is not there yet; none is left behind
	sh_exits 1 "dm-changed --extents /dev/null --base-point p d=a | dm-describe | dm-send d=a | dm-write d=c"
	[ ! -e c ]
}

@test "a write cut short leaves the file between states, which is said" {
	image_random a 4M
	copy a b --frozen
	sh_exits 4 "dm-changed --frozen --extents <(echo 0 4M) --base-point \$(jq -r .target.point b.dm) d=a |
		dm-describe | dm-send d=a | { head -c 1500000; until grep -q writing b.dm; do sleep 0.02; done; } |
		dm-write d=b"
	[ "$(jq -r .state b.dm)" = writing ]
	# another step is refused, the same one goes on
	sh_exits 1 "dm-changed --extents <(echo 0 4M) --base-point \$(jq -r .base.point b.dm) d=a |
		dm-describe | dm-send d=a | dm-write d=b"
	one_line dm-write: "between two states"
	sh_exits 0 "dm-changed --frozen --extents <(echo 0 4M) --base-point \$(jq -r .base.point b.dm) d=a |
		dm-describe | dm-send d=a | dm-write --json d=b"
	[ "$(jq -r .state b.dm)" = complete ]
	same a b
}

@test "resized disks: grown, shrunk, and their old tails" {
	image_random a 3M
	truncate -s 3145700 a
	copy a b --state st
	truncate -s 4200001 a
	copy a b --state st
	same a b
	poke a 4200000 1
	copy a b --state st
	same a b
	truncate -s 2500000 a
	copy a b --state st
	same a b
	[ "$(stat -c %s b)" -eq 2500000 ]
}

# pair TYPE: a chain of clones on a real file system, with filefrag and cmp as
# witnesses.
pair() {
	local i
	fs_mount "$1" fs 2G
	image_random fs/disk 12M
	truncate -s 20M fs/disk
	cp --reflink=always fs/disk fs/1
	chmod 400 fs/1
	copy fs/1 out
	same fs/1 out
	# in place, across block borders, new data in a hole, a hole punched
	poke fs/disk 5000000 4096
	poke fs/disk 8191 2
	poke fs/disk 15000000 100000
	fallocate -p -o 8M -l 512K fs/disk
	fallocate -o 18M -l 1M fs/disk
	cp --reflink=always fs/disk fs/2
	chmod 400 fs/2
	sync -f fs
	# every block that differs is named
	cmp -l fs/1 fs/2 | awk '{ print int(($1 - 1) / 4096) }' | sort -n -u >differ
	changed_blocks --since fs/1 d=fs/2 >named
	[ -s differ ]
	comm -23 <(sort differ) <(sort named) >missed
	[ ! -s missed ]
	# and none whose place filefrag finds unchanged
	blocks fs/1 | sort >m1
	blocks fs/2 | sort >m2
	comm -12 m1 m2 | cut -d' ' -f1 | sort >shared
	[ -s shared ]
	comm -12 shared <(sort named) >needless
	[ ! -s needless ]
	[ "$(dm-changed --since fs/1 d=fs/2 | dm-json | jq -r 'select(.type == "hello") | .kind')" = incremental ]
	copy fs/2 out --since fs/1
	same fs/2 out
}

@test "pairs of clones on XFS" { pair xfs; }

@test "pairs of clones on btrfs" { pair btrfs; }

@test "pairs of clones: compressed extents are not trusted" {
	fs_mount btrfs fs
	mount -o remount,compress-force=zstd fs
	yes abcdefgh | head -c 8M >fs/disk
	sync -f fs
	cp --reflink=always fs/disk fs/1
	chmod 400 fs/1
	printf X | dd of=fs/disk bs=1 seek=1000000 conv=notrunc status=none
	sync -f fs
	cmp -l fs/1 fs/disk | awk '{ print int(($1 - 1) / 4096) }' | sort -n -u >differ
	changed_blocks --since fs/1 d=fs/disk >named
	comm -23 <(sort differ) <(sort named) >missed
	[ -s differ ] && [ ! -s missed ]
}

@test "a pair is doubted when the older clone is gone, touched or foreign" {
	fs_mount xfs fs
	image_random fs/disk 2M
	cp --reflink=always fs/disk fs/1
	chmod 400 fs/1
	point=$(dm-changed d=fs/1 | dm-json | jq -r 'select(.type == "hello") | .disks[0].target_point')
	[ "$(said --since "$point@fs/1" d=fs/disk)" -eq 0 ]
	touch fs/1
	exits 1 dm-changed --since "$point@fs/1" d=fs/disk
	exits 1 dm-changed --since fs/2 d=fs/disk
	cp fs/disk elsewhere
	exits 1 dm-changed --since elsewhere d=fs/disk
	# no FIEMAP here
	mkdir tmp
	mount -t tmpfs none tmp
	at_end umount "$T/tmp"
	cp fs/disk tmp/a
	cp fs/disk tmp/b
	exits 1 dm-changed --since tmp/a d=tmp/b
	exits 0 dm-changed --since tmp/a --fallback full d=tmp/b
	one_line dm-changed: "sending the whole disk instead"
	[ "$(said --since tmp/a --fallback full d=tmp/b 2>/dev/null)" -eq 2097152 ]
}

@test "grown and shrunk clones" {
	fs_mount xfs fs
	image_random fs/disk 4M
	truncate -s 3500000 fs/disk
	cp --reflink=always fs/disk fs/1
	chmod 400 fs/1
	copy fs/1 out
	truncate -s 6000001 fs/disk
	poke fs/disk 6000000 1
	cp --reflink=always fs/disk fs/2
	chmod 400 fs/2
	copy fs/2 out --since fs/1
	same fs/2 out
	truncate -s 1500000 fs/disk
	cp --reflink=always fs/disk fs/3
	chmod 400 fs/3
	copy fs/3 out --since fs/2
	same fs/3 out
}

@test "directories keep a clone for each checkpoint" {
	fs_mount xfs fs
	mkdir fs/web1
	image_random a 8M
	copy a fs/web1 --state st
	same a fs/web1/d.000001.raw
	[ "$(stat -c %a fs/web1/d.000001.raw)" = 400 ]
	cp a a1
	poke a 1000000 4096
	copy a fs/web1 --state st
	same a fs/web1/d.000002.raw
	same a1 fs/web1/d.000001.raw
	# they share what did not change
	sync -f fs
	blocks fs/web1/d.000001.raw | sort >m1
	blocks fs/web1/d.000002.raw | sort >m2
	[ "$(comm -23 m2 m1 | wc -l)" -le 32 ]
	[ "$(ls -A fs/web1 | grep -c work)" -eq 0 ]
	# a foreign base
	sh_exits 1 "dm-changed --extents /dev/null --base-point x d=a | dm-describe | dm-send d=a | dm-write d=fs/web1"
	one_line dm-write: "no checkpoint of d here is the base"
	# interrupted: nothing is published, the next one succeeds
	poke a 2000000 4096
	sh_exits 4 "dm-changed --state st d=a | dm-describe | dm-send d=a | head -c 3000 | dm-write d=fs/web1"
	[ ! -e fs/web1/d.000003.raw ]
	sh_exits 0 "dm-changed --state st --base \$(jq -r .target.root fs/web1/d.000002.raw.dm) d=a |
		dm-describe | dm-send d=a | dm-write --json d=fs/web1"
	same a fs/web1/d.000003.raw
	same a1 fs/web1/d.000001.raw
}

@test "a directory without reflink is refused with advice" {
	image_random a 1M
	mkdir tmp
	mount -t tmpfs none tmp
	at_end umount "$T/tmp"
	sh_exits 1 "dm-changed d=a | dm-describe | dm-send d=a | dm-write d=tmp"
	one_line dm-write: "cannot clone files" "name a file"
	[ -z "$(ls tmp)" ]
}

@test "a disk full is told, and the file is not called complete" {
	small_fs small 4M
	image_random a 8M
	sh_exits 4 "dm-changed d=a | dm-describe | dm-send d=a | dm-write d=small/b"
	one_line dm-write: "No space left"
	[ "$(jq -r .state small/b.dm)" = writing ]
}

@test "log+: a sparse copy makes exactly these calls, in this order" {
	test_drivers
	truncate -s 1M a.raw
	poke a.raw 65536 65536
	poke a.raw 524288 4096
	dm-changed --chunk-size 64K a.raw | dm-describe | dm-send a.raw >chunks
	exits 0 dm-write --threads 1 'log+file:copy.raw?log=calls' <chunks
	[ "$(cat calls)" = "zero 0 65536
write 65536 65536
zero 131072 393216
write 524288 65536
zero 589824 458752
flush 1 0
finalize 0 0
close 0 0" ]
	same a.raw copy.raw
	[ "$(du -k copy.raw | cut -f1)" -le 136 ]
}
