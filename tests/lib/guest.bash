# Real guests for tests:  load ../lib/guest   (after common)
#
#   setup_file() { guest_build; }
#   guest_boot_disk a.raw; guest_data_disk b.raw; guest_start vm a.raw b.raw
#   guest_wait vm; guest_run vm number; ... guest_stop vm; journal_check a.raw
#
# The guest is a Linux kernel and busybox.  It starts from its first disk by
# itself, mounts every disk and keeps a journal on each: numbered records with
# checksums, flushed one by one (guest/journal.c).  It obeys lines on a serial
# port, runs qemu-guest-agent, and with a network card asks for an address and
# serves HTTP on port 80.
#
# guest_start gives each guest the directory $T/NAME with
#   qmp.dm, qmp     QMP sockets, one for the program under test, one for tests
#   agent           the guest agent's socket
#   cmd             the serial port for guest_run
#   console         what the guest and its kernel said; "dm-guest: ready:..."
#   pid             of QEMU
# Variables: GUEST_MEMORY (256) MiB; GUEST_BUS virtio (default) or nvme;
# GUEST_ARGS: an array with more arguments for QEMU.
# shellcheck shell=bash

# guest_build: kernel, system and journal, once for a file of tests.
guest_build() {
	local kernel version tool dir=$BATS_FILE_TMPDIR/guest
	[ "$(id -u)" -eq 0 ] || die "guests need root (loop devices)" || return 1
	# shellcheck disable=SC2012  # names without surprises
	kernel=$(ls -v /boot/vmlinuz-*-amd64 2>/dev/null | tail -n 1)
	[ -n "$kernel" ] || die "no kernel in /boot; see scripts/install-deps --check" || return 1
	version=${kernel#/boot/vmlinuz-}
	mkdir -p "$dir" && cp "$kernel" "$dir/vmlinuz" || return 1
	for tool in journal scatter; do
		cc -static -O2 -o "$dir/$tool" "$DM_LIB/guest/$tool.c" || return 1
	done
	guest_system "$dir/root" "$version" "$dir/journal" "$dir/scatter" || return 1
	(cd "$dir/root" && find . | cpio -o -H newc --quiet -R 0:0) >"$dir/initrd" || return 1
	rm -rf "$dir/root"
	guest_accel >/dev/null
}

# guest_system DIR VERSION TOOL...: the file system the kernel starts with.
guest_system() {
	local d=$1 version=$2 m f loader
	shift 2
	mkdir -p "$d"/{bin,dev,lib/modules,lib64,mnt,proc,run,sys,tmp} || return 1
	cp "$(command -v busybox)" "$d/bin/" || return 1
	for f in $("$d/bin/busybox" --list); do
		[ "$f" = busybox ] || ln -s busybox "$d/bin/$f"
	done
	cp "$DM_LIB/guest/init" "$d/init" && cp "$DM_LIB/guest/udhcpc.sh" "$d/bin/" &&
		cp "$@" "$d/bin/" || return 1
	for m in virtio_pci virtio_blk virtio_console virtio_net virtio_scsi sd_mod; do
		modprobe -S "$version" -D "$m" || die "no module $m for kernel $version" || return 1
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$d/modules"
	while IFS= read -r f; do
		cp "$f" "$d/lib/modules/" && basename "$f" .ko
	done <"$d/modules" >"$d/lib/modules.order"
	rm "$d/modules"
	f=$(command -v qemu-ga) || die "no qemu-ga" || return 1
	cp "$f" "$d/bin/"
	ldd "$f" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | while IFS= read -r f; do
		cp -L "$f" "$d/lib/"
	done
	loader=$(ldd "$f" | grep -o '/lib64/ld-[^ ]*')
	cp -L "$loader" "$d/lib/ld.so"
}

# guest_accel: kvm where a guest really starts with it, else tcg.
guest_accel() {
	local said=${TMPDIR:-/tmp}/dm-guest-accel.$UID accel=tcg dir=$BATS_FILE_TMPDIR/guest
	if [ -z "${DM_ACCEL-}" ] && [ -n "$(find "$said" -user "$UID" -mmin -600 2>/dev/null)" ]; then
		DM_ACCEL=$(cat "$said")
	fi
	if [ -z "${DM_ACCEL-}" ]; then
		if [ -w /dev/kvm ] && timeout -k 1 20 qemu-system-x86_64 -accel kvm -cpu host -m 256 -nodefaults \
		    -display none -no-reboot -serial "file:$dir/kvm" -kernel "$dir/vmlinuz" -initrd "$dir/initrd" \
		    -append "console=ttyS0 quiet panic=-1 guest_try" >"$dir/kvm.log" 2>&1 &&
		    grep -q 'dm-guest: ready' "$dir/kvm"; then
			accel=kvm
		fi
		echo "$accel" >"$said"
		DM_ACCEL=$accel
	fi
	export DM_ACCEL
	echo "$DM_ACCEL"
}

# guest_boot_disk FILE [SIZE]: a disk that a guest starts from.
guest_boot_disk() {
	local dir=$BATS_FILE_TMPDIR/guest at=$((1024 * 1024)) mnt rc=0
	rm -f "$1"
	truncate -s "${2:-128M}" "$1" && echo 'start=2048, type=83, bootable' | sfdisk -q "$1" || return 1
	dd if="$(guest_mbr)" of="$1" bs=440 count=1 conv=notrunc status=none || return 1
	mke2fs -q -t ext4 -F -O ^64bit,^metadata_csum -E "offset=$at,nodiscard" "$1" \
	    $((($(stat -c %s "$1") - at) / 1024))k 2>&1 || return 1
	mnt=$(mktemp -d "$T/mnt.XXXXXX")
	mount -o "loop,offset=$at" "$1" "$mnt" || return 1
	{
		mkdir -p "$mnt/boot" &&
			cp "$dir/vmlinuz" "$dir/initrd" "$mnt/boot/" &&
			cat >"$mnt/boot/extlinux.conf" <<-'CONF' &&
				DEFAULT dm
				PROMPT 0
				LABEL dm
				KERNEL vmlinuz
				INITRD initrd
				APPEND console=ttyS0 quiet panic=-1
			CONF
			extlinux --install "$mnt/boot" >/dev/null 2>&1
	} || rc=1
	umount "$mnt" && rmdir "$mnt"
	return "$rc"
}

guest_mbr() {
	local f
	for f in /usr/lib/EXTLINUX/mbr.bin /usr/lib/syslinux/mbr/mbr.bin; do
		[ ! -e "$f" ] || { echo "$f"; return 0; }
	done
	die "no mbr.bin of extlinux"
}

# guest_data_disk FILE [SIZE]: an empty file system for a journal.
guest_data_disk() {
	rm -f "$1"
	truncate -s "${2:-64M}" "$1" && mke2fs -q -t ext4 -F -E nodiscard "$1" 2>&1
}

# guest_start NAME DISK...: DISK is a raw image, or FORMAT:FILE.  The disks are
# the block nodes vda, vdb and so on.
guest_start() {
	local name=$1 dir=$T/$1 i=0 disk format node cpu=qemu64
	local -a args=()
	shift
	mkdir -p "$dir" || return 1
	for disk; do
		node=vd$(printf '\\%o' $((97 + i)))
		# shellcheck disable=SC2059
		node=$(printf "$node")
		format=raw
		case $disk in *:*) format=${disk%%:*} disk=${disk#*:} ;; esac
		args+=(-blockdev "driver=$format,node-name=$node,discard=unmap,file.driver=file,file.filename=$disk,file.discard=unmap")
		if [ "${GUEST_BUS:-virtio}" = nvme ]; then
			args+=(-device "nvme,drive=$node,serial=$node,id=dev-$node")
		else
			args+=(-device "virtio-blk-pci,drive=$node,serial=$node,id=dev-$node")
		fi
		i=$((i + 1))
	done
	[ "$DM_ACCEL" = tcg ] || cpu=host
	qemu-system-x86_64 -name "$name" -accel "$DM_ACCEL" -cpu "$cpu" -m "${GUEST_MEMORY:-256}" \
	    -nodefaults -no-user-config -display none -no-reboot \
	    -chardev "file,id=console,path=$dir/console" -serial chardev:console \
	    -chardev "socket,id=cmd,path=$dir/cmd,server=on,wait=off" -serial chardev:cmd \
	    -chardev "socket,id=qmp,path=$dir/qmp,server=on,wait=off" -mon chardev=qmp,mode=control \
	    -chardev "socket,id=qmpdm,path=$dir/qmp.dm,server=on,wait=off" -mon chardev=qmpdm,mode=control \
	    -chardev "socket,id=agent,path=$dir/agent,server=on,wait=off" -device virtio-serial-pci \
	    -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0 \
	    "${args[@]}" "${GUEST_ARGS[@]}" >"$dir/log" 2>&1 3>&- &
	echo $! >"$dir/pid"
	at_end guest_kill "$name"
	wait_for test -S "$dir/qmp.dm" || { cat "$dir/log" >&2; return 1; }
}

# guest_wait NAME [TEXT]: until the console says so; "dm-guest: ready" if left
# out.
guest_wait() {
	local dir=$T/$1 end=$((SECONDS + 300))
	until grep -q "${2:-dm-guest: ready}" "$dir/console" 2>/dev/null; do
		guest_alive "$1" || { cat "$dir/log" >&2; die "guest $1 ended"; return 1; }
		[ "$SECONDS" -lt "$end" ] || { tail -n 20 "$dir/console" >&2; die "guest $1 does not say: ${2-ready}"; return 1; }
		sleep 0.1
	done
}

guest_alive() {
	kill -0 "$(cat "$T/$1/pid")" 2>/dev/null
}

# guest_run NAME COMMAND: what it says; its status is returned.  "number" is
# the newest record that is on all disks, "stop" ends the guest cleanly.
guest_run() {
	local sock=$T/$1/cmd in pid line rc=125
	shift
	exec {in}< <(exec socat -T 60 STDIO,ignoreeof "UNIX-CONNECT:$sock" <<<"$*" 2>/dev/null 3>&-)
	pid=$!
	while IFS= read -r -t 60 line <&"$in"; do
		line=${line%$'\r'}
		case $line in
		::[0-9]*) rc=${line#::}; break ;;
		esac
		printf '%s\n' "$line"
	done
	exec {in}<&-
	kill "$pid" 2>/dev/null
	return "$rc"
}

# guest_number NAME: the newest record that is on all disks, as a number.
guest_number() {
	local n
	n=$(guest_run "$1" number) && echo $((10#$n))
}

# guest_qmp NAME JSON: one command of the guest's monitor; its return value,
# or failure with QEMU's words.
guest_qmp() {
	local in pid line rc=1
	exec {in}< <(exec socat -T 30 STDIO,ignoreeof "UNIX-CONNECT:$T/$1/qmp" 2>/dev/null 3>&- \
	    <<<'{"execute":"qmp_capabilities"}'$'\n'"$2")
	pid=$!
	while IFS= read -r -t 30 line <&"$in"; do
		case $line in
		'{"return": {}}'*) [ "$rc" -ne 1 ] || { rc=2; continue; } ;;&
		*'"error": '*) jq -r .error.desc <<<"$line" >&2; rc=1; break ;;
		'{"return": '*) jq -c .return <<<"$line"; rc=0; break ;;
		esac
	done
	exec {in}<&-
	kill "$pid" 2>/dev/null
	return "$rc"
}

# guest_stop NAME: as an orderly shutdown; guest_kill NAME: as a power cut.
guest_stop() {
	guest_run "$1" stop >/dev/null &
	guest_gone "$1"
}
guest_kill() {
	kill -KILL "$(cat "$T/$1/pid")" 2>/dev/null
	guest_gone "$1"
}
guest_gone() {
	local end=$((SECONDS + 120)) pid
	pid=$(cat "$T/$1/pid")
	while kill -0 "$pid" 2>/dev/null; do
		[ "$SECONDS" -lt "$end" ] || die "guest $1 does not end" || return 1
		sleep 0.05
	done
}

# journal_check IMAGE: "FIRST LAST TIME" of the journal on a disk's image, as
# one finds it after a power cut; the image itself is not touched.  Fails when
# the file system or the journal is not whole.
journal_check() {
	local copy=$1.check skip=0 rc=0 fsck=0
	[ "$(od -An -tx1 -j510 -N2 "$1")" != " 55 aa" ] || skip=1	# MiB: the partition
	dd if="$1" of="$copy" bs=1M skip="$skip" conv=sparse status=none || return 1
	e2fsck -fp "$copy" >"$copy.log" 2>&1 || fsck=$?	# 1: its journal was replayed
	if [ "$fsck" -gt 1 ]; then
		cat "$copy.log" >&2
		rc=1
	else
		debugfs -R "cat /journal" "$copy" 2>/dev/null |
			"$BATS_FILE_TMPDIR/guest/journal" check - || rc=1
	fi
	rm -f "$copy" "$copy.log"
	return "$rc"
}
