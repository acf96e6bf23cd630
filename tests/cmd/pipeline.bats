# The main job: disks go into a site and come back, byte for byte, by the
# pipelines of dm(7).
load ../lib/common
load ../lib/volumes
load ../lib/ssh
load ../lib/pipeline

setup_file() {
	sshd_start
	image_ext4 "$BATS_FILE_TMPDIR/base.raw" 64M
}
teardown_file() { sshd_stop; }
setup() {
	dm_setup
	cp --sparse=always "$BATS_FILE_TMPDIR/base.raw" disk.raw
	site
}
teardown() { dm_teardown; }

# comes_back WORKLOAD AT NAME FILE: the checkpoint's disk equals the file.
comes_back() {
	rm -f back.raw
	recover site "$1" "$2" "$3=back.raw"
	same "$4" back.raw
}

@test "full, then incremental by scan, and both come back" {
	full site w disk.raw
	cp disk.raw 1.raw
	ext4_change disk.raw
	scan site w disk.raw
	[ "$(checkpoints site w)" -eq 2 ]
	[ "$(record site w .kind)" = incremental ]
	comes_back w 1 disk 1.raw
	comes_back w latest disk disk.raw
	fs_clean back.raw
}

@test "a full iteration skips holes and zeros" {
	poke_zero disk.raw $((50 << 20)) 4194304
	full site w disk.raw
	[ "$(du -sm site | cut -f1)" -lt 45 ]
	comes_back w latest disk disk.raw
}

@test "an empty disk" {
	truncate -s 8M e.raw
	full site w e.raw
	comes_back w latest e e.raw
	poke e.raw 4096 100
	scan site w e.raw
	comes_back w latest e e.raw
}

@test "no change at all makes a checkpoint that costs next to nothing" {
	full site w disk.raw
	before=$(du -sk site | cut -f1)
	scan site w disk.raw
	[ "$(record site w .changed)" -eq 0 ]
	[ $(($(du -sk site | cut -f1) - before)) -lt 200 ]
	comes_back w latest disk disk.raw
}

@test "a chain of eight increments: every state comes back" {
	full site w disk.raw
	cp disk.raw 1.raw
	for n in 2 3 4 5 6 7 8 9; do
		scatter disk.raw 40 $n
		poke_zero disk.raw $((n << 20)) 70000
		scan site w disk.raw
		cp disk.raw $n.raw
	done
	for n in 1 2 5 8 9; do
		comes_back w $n disk $n.raw
	done
}

@test "scattered small writes cost about their size" {
	image_random r.raw 64M
	full site w r.raw
	before=$(du -sk site | cut -f1)
	scatter r.raw 64 7
	scan site w r.raw
	# 64 leaves of 64 KiB at the most, as the scan sees leaves
	[ "$(record site w .changed)" -le $((64 * 65536)) ]
	[ $(($(du -sk site | cut -f1) - before)) -lt 5000 ]
	comes_back w latest r r.raw
}

@test "incremental by a state file" {
	text=$(iteration site w "dm-changed --state disk.ids disk.raw" disk.raw)
	pipeline 0 "$text"
	cp disk.raw 1.raw
	ext4_change disk.raw
	root=$(record site w '.disks[0].root')
	iterate site w "dm-changed --state disk.ids --base $root disk.raw" disk.raw
	[ "$(record site w .kind)" = incremental ]
	[ "$(record site w '.changed | tonumber')" -lt 20000000 ]
	scatter disk.raw 10 3
	root=$(record site w '.disks[0].root')
	iterate site w "dm-changed --state disk.ids --base $root disk.raw" disk.raw
	comes_back w 1 disk 1.raw
	comes_back w latest disk disk.raw
}

@test "incremental by reflink clones, on XFS and on btrfs" {
	for fs in xfs btrfs; do
		fs_mount $fs $fs
		cp disk.raw $fs/disk.raw
		cp --reflink=always $fs/disk.raw $fs/1
		chmod 0400 $fs/1
		full site $fs disk=$fs/1
		ext4_change $fs/disk.raw
		poke $fs/disk.raw $((33 << 20)) 4096
		cp --reflink=always $fs/disk.raw $fs/2
		chmod 0400 $fs/2
		iterate site $fs "dm-changed --since disk=$fs/1 disk=$fs/2" disk=$fs/2
		[ "$(record site $fs .kind)" = incremental ]
		[ "$(record site $fs '.changed | tonumber')" -lt 12000000 ]
		comes_back $fs 1 disk $fs/1
		comes_back $fs latest disk $fs/2
	done
}

@test "incremental by extents from other tools" {
	full site w disk.raw
	cp disk.raw 1.raw
	poke disk.raw $((12 << 20)) 4096
	poke disk.raw $((40 << 20)) 65536
	poke_zero disk.raw $((2 << 20)) 1048576
	printf '%s\n' "$((2 << 20)) 1048576 zero" "$((12 << 20)) 4096" "$((40 << 20)) 65536 data" >plain
	root=$(record site w '.disks[0].root')
	iterate site w "dm-changed --extents plain --base $root disk.raw" disk.raw
	[ "$(record site w '.changed | tonumber')" -lt 2000000 ]
	comes_back w latest disk disk.raw
	comes_back w 1 disk 1.raw
}

@test "a first iteration by the maps of qemu-img and nbdinfo" {
	qemu-img map --output=json -f raw disk.raw >qemu.json
	iterate site q "dm-changed --extents qemu.json --map allocation disk.raw" disk.raw
	comes_back q latest disk disk.raw
	nbdkit -U - file disk.raw --run 'nbdinfo --map --json "$uri"' >nbd.json
	iterate site n "dm-changed --extents - --map allocation disk.raw <nbd.json" disk.raw
	comes_back n latest disk disk.raw
}

@test "several disks share a checkpoint" {
	image_random b.raw 5M
	truncate -s 9M c.raw
	poke c.raw 5000000 300000
	full site w root=disk.raw data=b.raw c.raw
	cp disk.raw 1.raw
	cp b.raw 1b.raw
	ext4_change disk.raw
	poke b.raw 100000 4096
	scan site w root=disk.raw data=b.raw c.raw
	[ "$(record site w '.disks | map(.name) | sort | join(" ")')" = "c data root" ]
	recover site w latest root=r1 data=r2 c=r3
	same disk.raw r1
	same b.raw r2
	same c.raw r3
	recover site w 1 root=o1 data=o2 c=o3
	same 1.raw o1
	same 1b.raw o2
	comes_back w latest data b.raw
}

@test "disks are added and removed" {
	image_random b.raw 3M
	image_random c.raw 2M
	full site w disk.raw b.raw
	scatter disk.raw 5
	scan site w disk.raw b.raw c.raw
	[ "$(record site w '.disks | length')" -eq 3 ]
	recover site w latest disk=o1 b=o2 c=o3
	same disk.raw o1
	same b.raw o2
	same c.raw o3
	scan site w disk.raw c.raw
	[ "$(record site w '.disks | length')" -eq 2 ]
	comes_back w latest c c.raw
	comes_back w 1 b b.raw
}

@test "a disk grows and shrinks" {
	image_random r.raw 10485760
	full site w r.raw
	cp r.raw 1.raw
	truncate -s $((12 * 1048576 + 12800)) r.raw
	poke r.raw $((11 << 20)) 5000
	scan site w r.raw
	comes_back w latest r r.raw
	cp r.raw 2.raw
	truncate -s $((7 * 1048576 + 512)) r.raw
	scan site w r.raw
	comes_back w latest r r.raw
	comes_back w 2 r 2.raw
	comes_back w 1 r 1.raw
}

@test "sizes that are no multiple of anything" {
	for n in 1 511 512 4097 65535 65536 65537 1048575 1048577 3148291; do
		image_random r.raw $n
		rm -rf site
		site
		full site w r.raw
		comes_back w latest r r.raw
		poke r.raw $((n - 1)) 1
		scan site w r.raw
		comes_back w latest r r.raw
	done
}

@test "loop devices with sectors of 512 and 4096 bytes" {
	for sector in 512 4096; do
		cp disk.raw dev.raw
		loop_attach dev.raw $sector
		src=$loop
		truncate -s 64M to.raw
		loop_attach to.raw $sector
		dst=$loop
		full site w$sector vdb=$src
		poke $src $((9 << 20)) 8192
		sync $src
		scan site w$sector vdb=$src
		recover site w$sector latest vdb=$dst
		cmp $src $dst
		loop_detach $src
		loop_detach $dst
	done
}

@test "changes made through a mounted file system; the copy is clean" {
	loop_attach disk.raw
	mkdir m
	full site w vdb=$loop
	mount $loop m
	cp -r /etc m/etc
	rm -rf m/lost+found
	umount m
	scan site w vdb=$loop
	recover site w latest vdb=back.raw
	cmp $loop back.raw
	fs_clean back.raw
}

@test "over ssh: the source behind it, with several streams" {
	pipeline 0 "ssh src 'cd $T && dm-changed disk.raw | dm-describe' |
		dm-window --acks acks |
		dm-recv --streams 2 -- ssh src dm-send --compress zstd $T/disk.raw |
		dm-write repo:site |
		dm-checkpoint commit --acks acks --workload w site"
	ext4_change disk.raw
	pipeline 0 "dm-recover --ids --at latest site w |
		ssh src 'cd $T && dm-changed --against - disk.raw | dm-describe' |
		dm-window --acks acks |
		dm-recv --streams 2 -- ssh src dm-send --compress zstd $T/disk.raw |
		dm-write repo:site |
		dm-checkpoint commit --acks acks --workload w site"
	comes_back w latest disk disk.raw
}

@test "over ssh: a plain filter without a pool" {
	pipeline 0 "ssh src 'cd $T && dm-changed disk.raw | dm-describe' |
		dm-window --acks acks | ssh src dm-send $T/disk.raw | dm-recv |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w site"
	comes_back w latest disk disk.raw
}

@test "over ssh: pushed" {
	pipeline 0 "dm-changed disk.raw | dm-describe | dm-window | dm-send --compress zstd disk.raw |
		ssh dst 'cd $T && dm-recv | dm-write repo:site | dm-checkpoint commit --workload w site'"
	comes_back w latest disk disk.raw
}

@test "over ssh: pushed, with acks back through it" {
	mkfifo back
	pipeline 0 "dm-changed disk.raw | dm-describe | dm-window --acks back | dm-send --compress zstd disk.raw |
		ssh dst 'cd $T && dm-recv | dm-write repo:site | dm-checkpoint commit --acks - --workload w site' >back"
	comes_back w latest disk disk.raw
}

@test "over ssh: recovery to the other side" {
	full site w disk.raw
	pipeline 0 "dm-recover site w | dm-window | dm-send repo:site | ssh dst 'cd $T && dm-recv | dm-write over.raw'"
	same disk.raw over.raw
}

@test "carried in a file" {
	sh_exits 0 "dm-changed disk.raw | dm-describe | dm-send --compress zstd disk.raw >carried"
	sh_exits 0 "dm-recv <carried | dm-write repo:site | dm-checkpoint commit --workload w site"
	comes_back w latest disk disk.raw
	ext4_change disk.raw
	sh_exits 0 "dm-recover --ids site w >ids"
	sh_exits 0 "dm-changed --against - disk.raw <ids | dm-describe | dm-send --compress zstd disk.raw >carried"
	sh_exits 0 "dm-recv <carried | dm-write repo:site | dm-checkpoint commit --workload w site"
	comes_back w latest disk disk.raw
}

@test "on one machine, without a site" {
	sh_exits 0 "dm-changed disk.raw | dm-describe | dm-send disk.raw | dm-write copy.raw"
	same disk.raw copy.raw
	[ "$(du -sm copy.raw | cut -f1)" -lt 45 ]
}

@test "a stream that has passed through jq is still whole" {
	pipeline 0 "dm-changed disk.raw | dm-describe | dm-json | jq --unbuffered -c . | dm-json -r |
		dm-window --acks acks | dm-recv -- dm-send disk.raw |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w site"
	comes_back w latest disk disk.raw
}

@test "a checkpoint is chosen by number, time and latest" {
	full site w disk.raw
	cp disk.raw 1.raw
	sleep 1.1
	between=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	sleep 1.1
	ext4_change disk.raw
	scan site w disk.raw
	comes_back w "$between" disk 1.raw
	comes_back w 2 disk disk.raw
	comes_back w latest disk disk.raw
	sh_exits 1 "dm-recover --at 7 site w >/dev/null"
	sh_exits 1 "dm-recover --at -2h site w >/dev/null"
}

@test "the recovery configuration is kept with the checkpoint" {
	echo '{"memory": "8G", "nics": [{"mac": "52:54:00:00:00:01"}]}' >r.json
	pipeline 0 "dm-changed disk.raw | dm-describe | dm-window --acks acks | dm-recv -- dm-send disk.raw |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w --recovery r.json site"
	[ "$(record site w .recovery.nics[0].mac)" = 52:54:00:00:00:01 ]
}

@test "a wrong base is refused and nothing is published" {
	full site w disk.raw
	dm-recover --ids --at 1 site w >ids
	scatter disk.raw 5 1
	scan site w disk.raw
	scatter disk.raw 5 2
	pipeline 1 "$(iteration site w 'dm-changed --against - disk.raw <ids' disk.raw)"
	[[ $err == *"base"* ]]
	[ "$(printf '%s\n' "$err" | wc -l)" -eq 1 ]
	[ "$(checkpoints site w)" -eq 2 ]
}
