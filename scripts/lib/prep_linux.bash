# Linux on a recovered disk, for dm-prep: fstab, initramfs, boot loader.
# shellcheck shell=bash disable=SC2154  # the program's variables

# linux_look NUMBER WHERE TYPE DEVICE
linux_look() {
	local n=$1 where=$2 type=$3 dev=$4 top sub
	fs_mount "$type" "$dev" || {
		problem 3 "$where" "its $type cannot be mounted: ${why##*$'\n'}"
		return
	}
	for sub in . @ root @rootfs; do
		top=$root/$sub
		[ "$sub" = . ] || [ "$type" = btrfs ] || continue
		if [ -d "$top/etc" ] && { [ -e "$top/etc/fstab" ] || [ -e "$top/etc/os-release" ]; }; then
			linux_system "$n" "$where" "$top"
			break
		fi
	done
	release
}

# inside TOP PATH: a file of that system, followed through links that stay in
# it; nothing when it is none.
inside() {
	local at
	at=$(chroot_path "$1" "$2") && [ -f "$at" ] && printf '%s' "$at"
}
# An absolute link is taken to begin at TOP.
chroot_path() {
	local top=$1 at=$2 i link
	for ((i = 0; i < 8; i++)); do
		[ -L "$top$at" ] || break
		link=$(readlink "$top$at")
		case $link in /*) at=$link ;; *) at=$(dirname "$at")/$link ;; esac
	done
	at=$(realpath -m -- "$top$at")
	case $at in "$(realpath "$top")"/*) printf '%s' "$at" ;; *) return 1 ;; esac
}

linux_system() {
	local n=$1 where=$2 top=$3 f name=Linux boot
	system=$(jq -nc --argjson n "$n" '{kind: "linux", partition: $n}')
	if f=$(inside "$top" /etc/os-release); then
		name=$(sed -n 's/^PRETTY_NAME=//p' "$f" | head -n 1 | tr -d '"' | head -c 200)
	fi
	note name "$(text "${name:-Linux}")"
	linux_fstab "$where" "$top"
	boot=$top/boot
	linux_boot_partition "$where" "$top" && boot=$boot_root
	linux_initramfs "$where" "$top" "$boot"
	linux_loader "$where" "$boot"
	jq -c . <<<"$system" >>"$run/systems"
}

# fstab: names that change with the bus, and file systems that are not here.
linux_fstab() {
	local where=$1 top=$2 f dev at fs opts key value list='[]' how
	f=$(inside "$top" /etc/fstab) || { note fstab null; return; }
	while read -r dev at fs opts _; do
		case $dev in '' | '#'*) continue ;; esac
		how=ok
		case $dev in
		/dev/sd[a-z]* | /dev/hd[a-z]* | /dev/vd[a-z]* | /dev/xvd[a-z]* | /dev/nvme[0-9]*)
			how=changes
			[[ ,$opts, == *,nofail,* || ,$opts, == *,noauto,* ]] ||
				problem 1 "$where" "fstab names $dev for $at, which may be called otherwise on another machine: use UUID=" ;;
		UUID=* | LABEL=*)
			key=${dev%%=*} value=${dev#*=} value=${value//\"/}
			if ! jq -se --arg k "${key,,}" --arg v "${value,,}" 'any(.[$k] | ascii_downcase == $v)' "$run/parts" >/dev/null; then
				how=elsewhere
				[ "$at" != / ] || problem 1 "$where" "fstab names $dev for /, which is not on this disk"
			fi ;;
		esac
		list=$(jq -c --arg d "$dev" --arg at "$at" --arg fs "$fs" --arg how "$how" '. + [{device: $d, at: $at, fs: $fs, name: $how}]' <<<"$list")
	done <"$f"
	note fstab "$list"
}

# A /boot of its own, on this disk: sets $boot_root.
linux_boot_partition() {
	local f dev key value type
	f=$(inside "$2" /etc/fstab) || return 1
	dev=$(awk '$1 !~ /^#/ && $2 == "/boot" { print $1; exit }' "$f")
	case $dev in UUID=* | LABEL=*) ;; *) return 1 ;; esac
	key=${dev%%=*} value=${dev#*=} value=${value//\"/}
	IFS=$'\t' read -r type dev < <(jq -r --arg k "${key,,}" --arg v "${value,,}" \
	    'select(.[$k] | ascii_downcase == $v) | [.fs, .device] | @tsv' "$run/parts")
	case ${type-} in ext2 | ext3 | ext4 | xfs | btrfs) ;; *) return 1 ;; esac
	fs_mount "$type" "$dev" || return 1
	boot_root=$root
}

# Which disk drivers the newest kernel has at the time it looks for its root.
linux_initramfs() {
	local where=$1 top=$2 boot=$3 kernel version image d f has found='{}' any=no
	kernel=$(find "$boot" -maxdepth 1 -name 'vmlinuz-*' -type f 2>/dev/null | sort -V | tail -n 1)
	[ -n "$kernel" ] || { note kernel null; return; }
	version=${kernel##*/vmlinuz-}
	note kernel "$(text "$version")"
	image=
	for d in "initrd.img-$version" "initramfs-$version.img" "initrd-$version"; do
		! f=$(inside "$boot" "/$d") || image=$f
	done
	if [ -n "$image" ]; then
		linux_list "$image" >"$run/initramfs" || {
			problem 3 "$where" "the initramfs of kernel $version cannot be read: make it anew, or take an older checkpoint"
			return
		}
	else
		: >"$run/initramfs"
	fi
	for d in usr/lib lib; do
		! f=$(inside "$top" "/$d/modules/$version/modules.builtin") || cat "$f"
	done >"$run/builtin" 2>/dev/null
	for d in virtio_blk virtio_scsi nvme xen_blkfront ahci hv_storvsc vmw_pvscsi; do
		has=absent
		! grep -qE "/${d//_/[_-]}\.ko" "$run/builtin" || has=builtin
		! grep -qE "(^|/)${d//_/[_-]}\.ko" "$run/initramfs" || has=initramfs
		[ "$has" = absent ] || any=yes
		found=$(jq -c --arg d "$d" --arg has "$has" '.[$d] = $has' <<<"$found")
	done
	note drivers "$found"
	[ "$any" = yes ] || problem 1 "$where" "kernel $version has no disk driver of a virtual machine in its initramfs"
	has=yes
	case $bus in
	virtio) has=$(jq -r 'if .virtio_blk == "absent" then "no" else "yes" end' <<<"$found") ;;
	scsi) has=$(jq -r 'if .virtio_scsi == "absent" and .vmw_pvscsi == "absent" and .hv_storvsc == "absent" then "no" else "yes" end' <<<"$found") ;;
	nvme) has=$(jq -r 'if .nvme == "absent" then "no" else "yes" end' <<<"$found") ;;
	xen) has=$(jq -r 'if .xen_blkfront == "absent" then "no" else "yes" end' <<<"$found") ;;
	sata) has=$(jq -r 'if .ahci == "absent" then "no" else "yes" end' <<<"$found") ;;
	esac
	[ "$has" = yes ] || problem 1 "$where" "kernel $version has no driver for $bus in its initramfs: add it there before the next checkpoint"
}

# The names in an initramfs: several archives one after another, the last one
# compressed.
linux_list() {
	if command -v lsinitramfs >/dev/null; then
		timeout -k 5 60 lsinitramfs "$1" 2>/dev/null | head -n 200000 | grep .
	elif command -v lsinitrd >/dev/null; then
		timeout -k 5 60 lsinitrd "$1" 2>/dev/null | head -n 200000 | grep .
	else
		need lsinitramfs initramfs-tools-core "to look into an initramfs"
	fi
}

# What starts the kernel, and in which of the two ways.
linux_loader() {
	local where=$1 boot=$2 esp mbr loader=none bios=no uefi=no
	mbr=$(head -c 440 -- "$disk" | tr -d '\0' | wc -c)
	[ "$mbr" -eq 0 ] || bios=yes
	[ ! -e "$boot/extlinux.conf" ] && [ ! -e "$boot/extlinux/extlinux.conf" ] && [ ! -e "$boot/syslinux/syslinux.cfg" ] || loader=extlinux
	[ ! -d "$boot/loader/entries" ] || loader=systemd-boot
	[ ! -e "$boot/grub/grub.cfg" ] && [ ! -e "$boot/grub2/grub.cfg" ] || loader=grub
	esp=$(jq -r 'select(.type == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" or .type == "ef") | .device' "$run/parts" | head -n 1)
	if [ -n "$esp" ]; then
		if command -v mdir >/dev/null; then
			mdir -i "$esp" -/ -b ::/EFI >"$run/esp" 2>/dev/null </dev/null || : >"$run/esp"
			if grep -qi '\.efi$' "$run/esp"; then
				uefi=yes
				[ "$loader" != none ] || ! grep -qi '/systemd/' "$run/esp" || loader=systemd-boot
				[ "$loader" != none ] || loader=efi
				grep -qi '/boot/boot[a-z0-9]*\.efi$' "$run/esp" ||
					problem 1 "$where" "the EFI partition has no EFI/BOOT: firmware that does not know this system starts nothing else"
			else
				problem 1 "$where" "the EFI partition holds no program to start"
			fi
		else
			uefi=unknown
		fi
	fi
	note loader "$(jq -nc --arg l "$loader" --arg b "$bios" --arg u "$uefi" --argjson esp "$(bool test -n "$esp")" \
	    '{name: $l, bios: ($b == "yes"), uefi: (if $u == "unknown" then null else $u == "yes" end), esp: $esp}')"
	[ "$loader" != none ] || problem 1 "$where" "there is no boot loader that is known (grub, extlinux, systemd-boot)"
	[ "$bios" = yes ] || [ "$uefi" != no ] || problem 1 "$where" "nothing starts from this disk: no code in its first sector and no EFI partition"
}
