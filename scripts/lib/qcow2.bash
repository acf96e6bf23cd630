# Raw images with dirty bitmaps that last: for dm-failover(1) and dm-move(1).
# shellcheck shell=bash

# qcow2_wrap IMAGE FILE SIZE: a new FILE in format qcow2 for bitmaps, whose data
# is the raw IMAGE, which stays what it is and where it is.  FILE is made over a
# stand-in, as making one empties its data file.
qcow2_wrap() {
	local none=$2.none
	qemu-img create -q -f qcow2 -o "cluster_size=2M,data_file_raw=on,data_file=${none//,/,,}" "$2" "$3" &&
		qemu-img amend -q -f qcow2 -o "data_file=${1//,/,,}" "$2" && rm -f -- "$none"
}
