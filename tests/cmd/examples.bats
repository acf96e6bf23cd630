# Every EXAMPLES block of the manual is run as it stands, by sh -e in an empty
# directory.  There, /srv/dm is a site with two checkpoints of the workload
# web1 (disk vdb), /dev/vdb the disk they were made of, /dev/vdc a disk of the
# same size to restore to, src is this machine by a real sshd, and bucket is one
# of an S3 server.
load ../lib/common
load ../lib/volumes
load ../lib/ssh
load ../lib/pipeline
load ../lib/serve
load ../lib/s3

setup_file() {
	sshd_start || return 1
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR dm_setup || return 1
	image_random part 1M
	image_ext4 vdb.raw 64M
	site srv
	full srv web1 vdb="$T/vdb.raw"
	cp part vdb.new
	dd if=vdb.new of=vdb.raw bs=1M seek=20 conv=notrunc status=none
	scan srv web1 vdb="$T/vdb.raw"
	export DM_EXAMPLE=$T
}
teardown_file() {
	sshd_stop
}
setup() { dm_setup && plugin_env; }
teardown() { dm_teardown; }

# blocks PAGE: the literal blocks of EXAMPLES, as block.1, block.2 ...
blocks() {
	awk '
		/^\.Sh / { on = ($0 == ".Sh EXAMPLES") }
		on && /^\.Bd -literal/ { out = "block." ++n; next }
		/^\.Ed/ { if (out) close(out); out = "" }
		out { gsub(/\\e/, "\\"); gsub(/\\&/, ""); gsub(/\\-/, "-"); print > out }
	' "$DM_TOP/man/$1"
}

# run_examples PAGE: each block in a fresh directory with fresh disks.
run_examples() {
	local b dir
	blocks "$1"
	[ -e block.1 ] || die "$1: no EXAMPLES" || return 1
	! grep -q s3:// block.* || s3_start || return 1
	for b in block.*; do
		dir=$T/$b.dir
		mkdir "$dir" "$dir.disks"
		cp -r "$DM_EXAMPLE/srv" "$dir.disks/srv-dm"
		cp "$DM_EXAMPLE/vdb.raw" "$dir.disks/vdb"
		truncate -s 64M "$dir.disks/vdc"
		sed "s,/srv/dm,$dir.disks/srv-dm,g; s,/dev/vdb,$dir.disks/vdb,g; s,/dev/vdc,$dir.disks/vdc,g;
		     s,/var/lib/dm,$dir.disks,g; s,/dev/shm/dm,$dir.disks/dm,g" "$b" >"$b.sh"
		(cd "$dir" && within 300 sh -e "../$b.sh") >"$b.out" 2>&1 </dev/null || {
			echo "$1: this example failed with code $?:" >&2
			cat "$b" >&2
			echo "--- it said:" >&2
			tail -n 20 "$b.out" >&2
			return 1
		}
	done
}

@test "dm.7" {
	run_examples dm.7
}

@test "dm-changed.1" {
	run_examples dm-changed.1
}

@test "dm-describe.1" {
	run_examples dm-describe.1
}

@test "dm-window.1" {
	run_examples dm-window.1
}

@test "dm-send.1" {
	run_examples dm-send.1
}

@test "dm-recv.1" {
	run_examples dm-recv.1
}

@test "dm-write.1" {
	run_examples dm-write.1
}

@test "dm-checkpoint.1" {
	run_examples dm-checkpoint.1
}

@test "dm-point-ebs.1" {
	run_examples dm-point-ebs.1
}

@test "dm-point-libvirt.1" {
	run_examples dm-point-libvirt.1
}

@test "dm-point-qemu.1" {
	run_examples dm-point-qemu.1
}

@test "dm-recover.1" {
	run_examples dm-recover.1
}

@test "dm-json.1" {
	run_examples dm-json.1
}

@test "dm-replicate.1" {
	run_examples dm-replicate.1
}

@test "dm-restore.1" {
	run_examples dm-restore.1
}

# bats test_tags=plain
@test "dm-failover.1" {
	run_examples dm-failover.1
}

@test "dm-provider-qemu.1" {
	run_examples dm-provider-qemu.1
}

@test "dm-provider-ec2.1" {
	run_examples dm-provider-ec2.1
}

@test "dm-provider-libvirt.1" {
	run_examples dm-provider-libvirt.1
}

# bats test_tags=plain
@test "dm-provider.7" {
	run_examples dm-provider.7
}

# bats test_tags=plain
@test "dm-move.1" {
	run_examples dm-move.1
}

# bats test_tags=plain
@test "dm-prep.1" {
	run_examples dm-prep.1
}

@test "dm-serve.1" {
	run_examples dm-serve.1
}

@test "nbdkit-dm-plugin.1" {
	run_examples nbdkit-dm-plugin.1
}

@test "dm-shell.1" {
	run_examples dm-shell.1
}

# bats test_tags=plain
@test "dm-status.1" {
	run_examples dm-status.1
}

@test "dm-plan.5" {
	run_examples dm-plan.5
}

@test "dm-stream.5" {
	run_examples dm-stream.5
}

@test "dm-repository.5" {
	run_examples dm-repository.5
}

@test "dm-crypto.7" {
	run_examples dm-crypto.7
}

@test "dm-volume.7" {
	run_examples dm-volume.7
}

@test "no page is left out" {
	local page
	for page in "$DM_TOP"/man/*.[1-8]; do
		page=${page##*/}
		grep -qxF "@test \"$page\" {" "$BATS_TEST_DIRNAME/examples.bats" || die "$page is not run"
	done
}
