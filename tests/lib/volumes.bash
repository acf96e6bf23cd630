# Disks for tests:  load ../lib/volumes   (after common)
# shellcheck shell=bash

# A stable piece of /usr with a few thousand small and some large files.
DM_FILES=${DM_FILES:-/usr/share/perl}

# image_ext4 FILE [SIZE [DIR]]: an ext4 file system with real files in it,
# sparse where nothing was written.
image_ext4() {
	local dir=${3:-$DM_FILES}
	[ -d "$dir" ] || dir=/usr/share/doc
	rm -f "$1"
	truncate -s "${2:-64M}" "$1"
	mke2fs -q -t ext4 -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 \
	    -d "$dir" "$1" 2>&1 || die "mke2fs failed for $1"
}

# image_random FILE SIZE: incompressible, the same for the same name and size.
image_random() {
	local bytes
	bytes=$(numfmt --from=iec "$2")
	openssl enc -aes-128-ctr -nosalt -K "$(printf '%s' "${1##*/}$2" | md5sum | cut -c1-32)" \
	    -iv 00000000000000000000000000000000 </dev/zero 2>/dev/null |
		head -c "$bytes" >"$1"
	[ "$(stat -c %s "$1")" -eq "$bytes" ]
}

# poke FILE OFFSET LENGTH: overwrite with other bytes, in place.  One byte of
# chance is what was there before once in 256 times.
poke() {
	if [ "$3" -gt 3 ]; then
		head -c "$3" /dev/urandom
	else
		od -An -v -tu1 -w1 -j "$2" -N "$3" "$1" 2>/dev/null | awk -v n="$3" '
			{ old[NR] = $1 }
			END { for (i = 1; i <= n; i++) printf "\\%03o", (old[i] + 127) % 256 }' | xargs -0 printf '%b'
	fi | dd of="$1" bs=64K seek="$2" oflag=seek_bytes conv=notrunc status=none
}

# poke_zero FILE OFFSET LENGTH: write zeros (no hole).
poke_zero() {
	head -c "$3" /dev/zero |
		dd of="$1" bs=64K seek="$2" oflag=seek_bytes conv=notrunc status=none
}

# scatter FILE COUNT [SEED]: 4 KiB writes at pseudo-random places, one dd.
scatter() {
	local size=$(($(stat -c %s "$1") / 4096)) n x=${3:-1} i
	for ((i = 0; i < $2; i++)); do
		x=$(((x * 1103515245 + 12345) % 2147483648))
		n=$((x % size))
		poke "$1" $((n * 4096)) 4096
	done
}

# ext4_change FILE: what some hours of use do, through the file system and
# without mounting it: files added, replaced and removed.
ext4_change() {
	head -c 3000000 /dev/urandom >"$T/.new"
	seq 1 20000 >"$T/.log"
	debugfs -w -f /dev/stdin "$1" >/dev/null 2>&1 <<-END
		write $T/.new new-$RANDOM$RANDOM
		write $T/.log log-$RANDOM$RANDOM
		mkdir dir-$RANDOM$RANDOM
	END
	rm -f "$T/.new" "$T/.log"
}

# fs_clean FILE: the file system must be without fault.
fs_clean() {
	e2fsck -fn "$1" >"$T/.fsck" 2>&1 || { cat "$T/.fsck" >&2; return 1; }
}

# need_loop: loop devices are part of what is tested; say clearly why a
# machine cannot run this, and fail.
need_loop() {
	[ "$(id -u)" -eq 0 ] || die "this test needs root (loop devices)" || return 1
	[ -e /dev/loop-control ] || die "this test needs loop devices" || return 1
}

# loop_attach FILE [SECTOR]: sets $loop to a device over the file, gone at the
# end of the test.
loop_attach() {
	need_loop || return 1
	loop=$(losetup --find --show ${2:+--sector-size "$2"} "$1") || return 1
	at_end loop_detach "$loop"
}
loop_detach() {
	losetup -d "$1" 2>/dev/null || :
}

# fs_mount TYPE DIR [SIZE]: a new file system (xfs and btrfs can reflink) in a
# file on a loop device, mounted at DIR until the end of the test.
fs_mount() {
	local img
	need_loop || return 1
	img=$T/.$1.$RANDOM.img
	truncate -s "${3:-1G}" "$img"
	case $1 in
	xfs) mkfs.xfs -q -m reflink=1 "$img" ;;
	btrfs) mkfs.btrfs -q "$img" >/dev/null ;;
	ext4) mke2fs -q -t ext4 -F "$img" ;;
	*) die "fs_mount: $1?" ;;
	esac || return 1
	mkdir -p "$2"
	mount -o loop "$img" "$2" || return 1
	at_end wait_for umount "$2"
}
