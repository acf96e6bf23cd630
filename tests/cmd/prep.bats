# dm-prep(1) on real NTFS volumes with real hives, and on Linux roots.
# bats file_tags=plain
bats_require_minimum_version 1.5.0
load ../lib/common
load ../lib/volumes

setup() {
	dm_setup || return 1
	need_loop
	export TMPDIR=$T/tmp
	mkdir tmp
}
teardown() {
	# Whatever was found, nothing stays attached or mounted.
	[ -z "$(ls -A "$T/tmp")" ] || { ls -A "$T/tmp" >&2; dm_teardown; return 1; }
	dm_teardown && wait_for let_go
}
# Whoever looks at all loop devices just now holds this test's, too, for a moment.
let_go() { ! losetup -n -O BACK-FILE | grep -q "^$T/"; }

# hive FILE REG: a hive with what the text says.
hive() {
	/usr/bin/python3 "$DM_LIB/mkhive.py" >"$1"
	{ printf 'Windows Registry Editor Version 5.00\n\n'; cat; } >"$1.reg"
	hivexregedit --merge --prefix 'HKEY_LOCAL_MACHINE\X' "$1" "$1.reg"
	rm "$1.reg"
}
hives() {
	hive SYSTEM <<-'END2'
		[HKEY_LOCAL_MACHINE\X\Select]
		"Current"=dword:00000001
		"Default"=dword:00000001

		[HKEY_LOCAL_MACHINE\X\ControlSet001]

		[HKEY_LOCAL_MACHINE\X\ControlSet001\Control]

		[HKEY_LOCAL_MACHINE\X\ControlSet001\Services]

		[HKEY_LOCAL_MACHINE\X\ControlSet001\Services\stornvme]
		"Start"=dword:00000000
		"Type"=dword:00000001

		[HKEY_LOCAL_MACHINE\X\ControlSet001\Services\QEMU-GA]
		"Start"=dword:00000004
		"DisplayName"="Guest agent"
	END2
	hive SOFTWARE <<-'END2'
		[HKEY_LOCAL_MACHINE\X\Microsoft]

		[HKEY_LOCAL_MACHINE\X\Microsoft\Windows NT]

		[HKEY_LOCAL_MACHINE\X\Microsoft\Windows NT\CurrentVersion]
		"ProductName"="Windows Server 2022 Standard"
	END2
	for h in SAM SECURITY DEFAULT; do
		/usr/bin/python3 "$DM_LIB/mkhive.py" >"$h"
	done
}

# ntfs_do IMAGE OFFSET COMMAND...: in the volume, mounted at m.
ntfs_do() {
	local l
	l=$(losetup --find --show --offset "$2" "$1")
	mkdir -p m
	ntfs-3g "$l" m
	"${@:3}"
	wait_for umount m 2>/dev/null	# what was closed is let go of a little later
	losetup -d "$l"
}
put_windows() {
	mkdir -p m/Windows/System32/config m/Windows/System32/drivers m/Windows/INF
	cp SYSTEM SOFTWARE SAM SECURITY DEFAULT m/Windows/System32/config/
}
# windows IMAGE [gpt|dos]: a disk with Windows on its second partition, at 17 MiB.
windows() {
	truncate -s 60M "$1"
	if [ "${2:-gpt}" = gpt ]; then
		printf 'label: gpt\nsize=32768, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\ntype=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\n'
	else
		printf 'label: dos\nsize=32768, type=c\nsize=86016, type=7, bootable\n'
	fi | sfdisk -q "$1"
	loop=$(losetup --find --show --offset 17825792 --sizelimit 42M "$1")
	mkntfs -q -F "$loop" >/dev/null 2>&1
	losetup -d "$loop"
	hives
	ntfs_do "$1" 17825792 put_windows
}
found() {
	jq -e "$1" <<<"$output" >/dev/null || { echo "not so: $1" >&2; printf '%s\n' "$output" >&2; return 1; }
}
prep() {
	local want=$1
	shift
	exits "$want" within 200 dm-prep --json "$@"
	output=$(cat .out)
}

# driver DIR: a driver as makers ship it, in UTF-16 with strings.
driver() {
	mkdir -p "$1"
	printf 'MZ driver of a disk' >"$1/viostor.sys"
	iconv -f UTF-8 -t UTF-16 >"$1/viostor.inf" <<-'END2'
		; storage
		[Version]
		Signature="$Windows NT$"
		Class=SCSIAdapter
		ClassGUID={4D36E97B-E325-11CE-BFC1-08002BE10318}
		[Manufacturer]
		%Maker%=Disks,NTamd64
		[Disks.NTamd64]
		%Name% = scsi_inst, PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00, PCI\VEN_1AF4&DEV_1042
		[scsi_inst.Services]
		AddService = %Service%, 0x00000002, scsi_Service_Inst
		[scsi_Service_Inst]
		ServiceType    = %SERVICE_KERNEL_DRIVER%
		StartType      = 0
		ErrorControl   = 1
		ServiceBinary  = %12%\viostor.sys
		LoadOrderGroup = SCSI miniport
		[Strings]
		Maker = "Somebody"
		Name = "A disk"
		Service = "viostor"
		SERVICE_KERNEL_DRIVER = 1
	END2
}

@test "a device that is mounted is not written to" {
	truncate -s 8M d.raw
	mke2fs -q -F d.raw
	loop_attach d.raw
	mkdir m
	mount -o ro "$loop" m
	at_end umount "$T/m"
	driver drivers
	exits 1 within 60 dm-prep --inject drivers "$loop"
	one_line "$loop: in use: mounted at $T/m"
	exits 1 within 60 dm-prep --service QEMU-GA=auto "$loop"
	one_line "$loop: in use: mounted at $T/m"
}

@test "Windows on GPT and on MBR: hives, control set, drivers, and not a byte written" {
	for table in gpt dos; do
		rm -f w.raw
		windows w.raw "$table"
		before=$(sum w.raw)
		prep 0 w.raw
		found '.ready and .systems[0].kind == "windows" and .systems[0].partition == 2'
		found '.systems[0].name == "Windows Server 2022 Standard" and .systems[0].control_set == "ControlSet001"'
		found '.systems[0].hives == {SYSTEM: "ok", SOFTWARE: "ok", SAM: "ok", SECURITY: "ok", DEFAULT: "ok"}'
		found '.systems[0].boot_drivers == ["stornvme"]'
		found '.partitions | length == 2 and .[1].fs == "ntfs" and .[1].start == 17825792'
		[ "$before" = "$(sum w.raw)" ]
	done
	exits 0 dm-prep w.raw
	[ "$output" = "windows, partition 2: Windows Server 2022 Standard" ]
}

@test "a whole NTFS volume without a partition table" {
	truncate -s 30M v.raw
	mkntfs -q -F v.raw >/dev/null 2>&1
	hives
	ntfs_do v.raw 0 put_windows
	prep 0 v.raw
	found '.systems[0].partition == 0 and .ready'
}

@test "drivers and services are put in, and the old hive is kept" {
	windows w.raw
	driver drivers
	prep 0 --inject drivers --service QEMU-GA=auto w.raw
	found '.systems[0].injected == ["viostor"] and .systems[0].services == ["QEMU-GA=auto"] and .ready'
	collect() {
		cp m/Windows/System32/config/SYSTEM got
		cp m/Windows/System32/config/SYSTEM.before-dm kept
		cp m/Windows/System32/drivers/viostor.sys m/Windows/INF/viostor.inf .
	}
	ntfs_do w.raw 17825792 collect
	same viostor.sys drivers/viostor.sys
	same viostor.inf drivers/viostor.inf
	same kept SYSTEM
	s='ControlSet001\Services\viostor'
	[ "$(hivexget got "$s" Type)/$(hivexget got "$s" Start)/$(hivexget got "$s" ErrorControl)" = 1/0/1 ]
	[ "$(hivexget got "$s" ImagePath)" = 'system32\drivers\viostor.sys' ]
	[ "$(hivexget got "$s" Group)" = 'SCSI miniport' ]
	[ "$(hivexget got 'ControlSet001\Control\CriticalDeviceDatabase\pci#ven_1af4&dev_1042' Service)" = viostor ]
	[ "$(hivexget got 'ControlSet001\Control\CriticalDeviceDatabase\pci#ven_1af4&dev_1042' ClassGUID)" = '{4D36E97B-E325-11CE-BFC1-08002BE10318}' ]
	[ "$(hivexget got 'ControlSet001\Services\QEMU-GA' Start)" = 2 ]
	[ "$(hivexget got 'ControlSet001\Services\QEMU-GA' DisplayName)" = 'Guest agent' ]
	prep 0 w.raw
	found '.systems[0].boot_drivers == ["stornvme", "viostor"]'
	# And once more: the same again, the first hive still kept.
	prep 0 --inject drivers w.raw
	ntfs_do w.raw 17825792 cp m/Windows/System32/config/SYSTEM.before-dm kept
	same kept SYSTEM
}

@test "a volume without room for a driver: said, and the hive stays" {
	windows w.raw
	driver drivers
	head -c 1M /dev/urandom >>drivers/viostor.sys
	fill() { cat /dev/zero >m/fill 2>/dev/null || sync; }
	ntfs_do w.raw 17825792 fill
	prep 4 --inject drivers w.raw
	one_line "writing failed: " "No space left"
	ntfs_do w.raw 17825792 cp m/Windows/System32/config/SYSTEM kept
	same kept SYSTEM
	found '.ready | not'
}

@test "what is no driver or no service changes nothing" {
	windows w.raw
	before=$(sum w.raw)
	mkdir empty bad
	echo text >bad/x.sys
	prep 1 --inject empty w.raw
	one_line "no .sys file"
	prep 1 --inject bad w.raw
	one_line "is no driver"
	prep 1 --service nothing=auto w.raw
	one_line "no service nothing"
	exits 2 dm-prep --service QEMU-GA=soon w.raw
	exits 2 dm-prep --inject nowhere w.raw
	[ "$before" = "$(sum w.raw)" ]
}

@test "hibernated, dirty, BitLocker: refused, also for writing" {
	windows w.raw
	driver drivers
	cp w.raw h.raw
	hibernate() { { printf hibr; head -c 8188 /dev/zero; } >m/hiberfil.sys; }
	ntfs_do h.raw 17825792 hibernate
	before=$(sum h.raw)
	prep 1 --inject drivers h.raw
	[[ $err == *hibernated* ]]
	[ "$before" = "$(sum h.raw)" ]
	cp w.raw d.raw
	loop=$(losetup --find --show --offset 17825792 --sizelimit 42M d.raw)
	ntfsfix "$loop" >/dev/null
	losetup -d "$loop"
	before=$(sum d.raw)
	prep 1 --inject drivers d.raw
	[[ $err == *dirty* ]]
	[ "$before" = "$(sum d.raw)" ]
	cp w.raw b.raw
	printf -- '-FVE-FS-' | dd of=b.raw bs=1 seek=$((17825792 + 3)) conv=notrunc status=none
	prep 1 --inject drivers b.raw
	[[ $err == *BitLocker* ]]
	found '.partitions[1].fs == "BitLocker" and (.ready | not)'
}

@test "a damaged hive is bad bytes, and so is a hive of a stranger" {
	windows w.raw
	for how in cut flip noise empty; do
		cp w.raw x.raw
		damage() {
			local f=m/Windows/System32/config/SYSTEM
			case $how in
			cut) truncate -s 3000 $f ;;
			flip) printf '\377\377\377\177' | dd of=$f bs=1 seek=$((4096 + 32)) conv=notrunc status=none ;;
			noise) head -c 12288 /dev/urandom | dd of=$f bs=4096 seek=1 conv=notrunc status=none ;;
			empty) : >$f ;;
			esac
		}
		ntfs_do x.raw 17825792 damage
		prep 3 x.raw
		[[ $err == *"hive SYSTEM"* ]]
		found '.systems[0].hives.SYSTEM == "damaged" and .systems[0].hives.SAM == "ok"'
	done
}

@test "partition tables that lie" {
	truncate -s 20M p.raw
	printf 'label: dos\nstart=2048, size=2048, type=7\nstart=8192, size=8192, type=7\n' | sfdisk -q p.raw
	# The first reaches far beyond the end; the second covers it.
	printf '\377\377\377\177' | dd of=p.raw bs=1 seek=$((446 + 12)) conv=notrunc status=none
	prep 3 p.raw
	[[ $err == *"partition 1: it reaches beyond the end"* ]]
	windows w.raw
	truncate -s 30M w.raw
	prep 3 w.raw
	# Noise all over the table, many times.
	for i in 1 2 3 4; do
		truncate -s 20M n.raw
		head -c 510 /dev/urandom | dd of=n.raw conv=notrunc status=none
		printf '\125\252' | dd of=n.raw bs=1 seek=510 conv=notrunc status=none
		code=0
		within 200 dm-prep --json n.raw >out 2>err || code=$?
		[ "$code" -eq 1 ] || [ "$code" -eq 3 ] || die "code $code: $(cat err)"
		jq -e '.ready | not' out
	done
}

# linux DIR TYPE: a root to be copied, for what makes a machine start.
linux() {
	mkdir -p "$1"/{boot/grub,etc,usr/lib/modules/6.1.0-x,initrd/usr/lib/modules/6.1.0-x/kernel/drivers}
	printf 'PRETTY_NAME="Some Linux 12"\n' >"$1/etc/os-release"
	: >"$1/boot/grub/grub.cfg"
	: >"$1/boot/vmlinuz-6.1.0-x"
	echo kernel/drivers/nvme/host/nvme.ko >"$1/usr/lib/modules/6.1.0-x/modules.builtin"
	: >"$1/initrd/usr/lib/modules/6.1.0-x/kernel/drivers/virtio_blk.ko"
	initrd "$1"
}
initrd() {
	(cd "$1/initrd" && find . | cpio -o -H newc --quiet | gzip) >"$1/boot/initrd.img-6.1.0-x"
}
# linux_disk IMAGE DIR TYPE: on the one partition of an MBR with boot code.
linux_disk() {
	local l
	rm -f "$1"
	truncate -s 400M "$1"
	echo 'start=2048, type=83, bootable' | sfdisk -q "$1"
	printf '\353\143boot code' | dd of="$1" conv=notrunc status=none
	l=$(losetup --find --show --offset 1048576 "$1")
	case $3 in
	ext4) mke2fs -q -t ext4 -U "$uuid" "$l" ;;
	xfs) mkfs.xfs -q -m uuid="$uuid" "$l" ;;
	btrfs) mkfs.btrfs -q -U "$uuid" "$l" >/dev/null ;;
	esac
	mkdir -p m
	mount "$l" m
	cp -r "$2/." m/
	umount m
	losetup -d "$l"
}

@test "Linux on ext4, XFS and btrfs: fstab, drivers, boot loader" {
	linux root
	for type in ext4 xfs btrfs; do
		uuid=$(cat /proc/sys/kernel/random/uuid)
		echo "UUID=$uuid / $type defaults 0 1" >root/etc/fstab
		linux_disk l.raw root "$type"
		prep 0 l.raw
		found '.systems[0].kind == "linux" and .systems[0].name == "Some Linux 12" and .systems[0].kernel == "6.1.0-x"'
		found '.systems[0].drivers | .virtio_blk == "initramfs" and .nvme == "builtin" and .xen_blkfront == "absent"'
		found '.systems[0].loader | .name == "grub" and .bios and (.uefi | not)'
		found '.systems[0].fstab[0].name == "ok"'
	done
	prep 0 --bus nvme l.raw
	prep 1 --bus xen l.raw
	one_line "no driver for xen"
}

@test "Linux that would not start elsewhere" {
	uuid=$(cat /proc/sys/kernel/random/uuid)
	linux root
	printf '# disks\n/dev/sda1 / ext4 defaults 0 1\n/dev/vdb1 /data xfs nofail 0 0\nUUID=0000-1111 /mnt ext4 nofail 0 0\n' >root/etc/fstab
	linux_disk l.raw root ext4
	prep 1 l.raw
	one_line "fstab names /dev/sda1 for /"
	found '[.systems[0].fstab[].name] == ["changes", "changes", "elsewhere"]'
	echo "UUID=$uuid / ext4 defaults 0 1" >root/etc/fstab
	rm -r root/initrd/usr root/boot/grub
	: >root/usr/lib/modules/6.1.0-x/modules.builtin
	: >root/initrd/init
	initrd root
	linux_disk l.raw root ext4
	dd if=/dev/zero of=l.raw bs=440 count=1 conv=notrunc status=none
	prep 1 l.raw
	[[ $err == *"no disk driver"* && $err == *"no boot loader"* && $err == *"nothing starts from this disk"* ]]
	head -c 30000 /dev/urandom >root/boot/initrd.img-6.1.0-x
	linux_disk l.raw root ext4
	prep 3 l.raw
	[[ $err == *"initramfs"* ]]
}

@test "an EFI partition is looked into" {
	uuid=$(cat /proc/sys/kernel/random/uuid)
	linux root
	echo "UUID=$uuid / ext4 defaults 0 1" >root/etc/fstab
	truncate -s 200M e.raw
	printf 'label: gpt\nstart=2048, size=81920, type=U\ntype=L\n' | sfdisk -q e.raw
	mkfs.vfat --offset 2048 e.raw 40000 >/dev/null 2>&1
	mke2fs -q -t ext4 -U "$uuid" -E offset=$((83968 * 512)) -d root e.raw 100M
	prep 1 e.raw
	[[ $err == *"holds no program to start"* ]]
	mmd -i e.raw@@1M ::/EFI ::/EFI/BOOT ::/EFI/systemd
	echo MZ >efi
	mcopy -i e.raw@@1M efi ::/EFI/systemd/systemd-bootx64.efi
	prep 1 e.raw
	[[ $err == *"no EFI/BOOT"* ]]
	mcopy -i e.raw@@1M efi ::/EFI/BOOT/BOOTX64.EFI
	prep 0 e.raw
	found '.systems[0].loader | .esp and .uefi'
}

@test "links in a guest do not lead out of it" {
	uuid=$(cat /proc/sys/kernel/random/uuid)
	linux root
	echo secret >secret
	rm root/etc/os-release
	ln -s "$T/secret" root/etc/os-release
	ln -s ../../../../../../../../../../etc/passwd root/etc/fstab
	linux_disk l.raw root ext4
	prep 0 l.raw
	found '.systems[0].fstab == null and .systems[0].name == "Linux"'
	mkdir mine
	mv root/usr/lib/modules/6.1.0-x/modules.builtin root/boot/initrd.img-6.1.0-x mine/
	ln -s "$T/mine/modules.builtin" root/usr/lib/modules/6.1.0-x/
	ln -s "$T/mine/initrd.img-6.1.0-x" root/boot/
	linux_disk l.raw root ext4
	prep 1 l.raw
	[[ $err == *"no disk driver of a virtual machine"* ]]
	found '.systems[0].drivers | .virtio_blk == "absent" and .nvme == "absent"'
}

@test "a guest's words do not reach the terminal as they are" {
	uuid=$(cat /proc/sys/kernel/random/uuid)
	linux root
	printf 'PRETTY_NAME="a\e[2Jb\xc2\x9bc"\n' >root/etc/os-release
	printf '/dev/sda\e]0;x / ext4 defaults 0 1\n' >root/etc/fstab
	linux_disk l.raw root ext4
	exits 1 dm-prep l.raw
	[[ $output == *"a?[2Jb?c"* && $err == *"fstab names /dev/sda?]0;x for /"* && $output != *$'\e'* && $output != *$'\xc2\x9b'* ]]
}

@test "links on a Windows disk do not lead out of it" {
	local at=m/Windows/System32 name
	windows w.raw
	driver drivers
	mkdir mine
	cp SYSTEM SOFTWARE SAM SECURITY DEFAULT mine/
	echo mine >mine/file
	before=$(ls -l --full-time mine)
	lead() {
		mv "$at/$1" "$at/$1.0"
		ln -s "$T/mine/$2" "$at/$1"
	}
	for name in config drivers ../INF config/SYSTEM; do
		cp w.raw l.raw
		ntfs_do l.raw 17825792 lead "$name" "$([ "$name" != config/SYSTEM ] || echo SYSTEM)"
		prep 3 --inject drivers l.raw
		[[ $err == *"leads elsewhere"* ]]
		found '.ready | not'
		[ "$before" = "$(ls -l --full-time mine)" ]
	done
	lead_files() {
		for name in config/SYSTEM.dm-new drivers/viostor.sys.dm-new ../INF/viostor.inf; do
			ln -s "$T/mine/file" "$at/$name"
		done
		ln -s "$T/mine/none" "$at/config/SYSTEM.before-dm"
		ln -s "$T/mine" "$at/drivers/viostor.sys"
	}
	ntfs_do w.raw 17825792 lead_files
	prep 0 --inject drivers w.raw
	[ "$before" = "$(ls -l --full-time mine)" ]
	ntfs_do w.raw 17825792 cp "$at/config/SYSTEM.before-dm" m/Windows/INF/viostor.inf .
	same SYSTEM.before-dm SYSTEM
	same viostor.inf drivers/viostor.inf
}

@test "a device; and disks without a system" {
	windows w.raw
	loop_attach w.raw
	prep 0 "$loop"
	found '.systems[0].name == "Windows Server 2022 Standard"'
	image_ext4 data.raw 64M
	prep 1 data.raw
	one_line "no operating system"
	: >empty.raw
	exits 3 dm-prep empty.raw
	exits 4 dm-prep nowhere.raw
	one_line nowhere.raw
}
