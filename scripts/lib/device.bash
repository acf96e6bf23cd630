# Whether somebody uses a device: for dm-move(1) and dm-prep(1).
# shellcheck shell=bash

# used_by DEVICE: print what uses it, or nothing; fails when that cannot be told.
used_by() {
	local all
	all=$(lsblk -nro TYPE,MOUNTPOINTS -- "$1") &&
		awk 'NR > 1 && $1 != "part" || $2 != "" { print $2 == "" ? "there is a device on it" : "mounted at " $2; exit }' <<<"$all"
}
