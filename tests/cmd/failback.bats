# The way home: what was written where a disk was recovered to, and only that.
load ../lib/common
load ../lib/volumes
load ../lib/nbd
load ../lib/pipeline

# A disk home.raw, checkpoint 1 of it, and guest.qcow2 recovered from that, over
# NBD, with a dirty bitmap "r1" from the recovery on.
setup() {
	dm_setup
	site
	image_random home.raw 24M
	full site w d=home.raw
	root=$(record site w '.disks[0].root')
	qemu-img create -q -f qcow2 guest.qcow2 24M
	nbd_qemu s -f qcow2 guest.qcow2
	recover site w latest "d=$uri"
	nbd_end "$pid"
	qemu-img bitmap --add -g 4096 guest.qcow2 r1
}
teardown() { dm_teardown; }

# guest_ran: it wrote here and there, and its disk is served as it is now.
guest_ran() {
	qemu-io -f qcow2 -c 'write -P 1 1M 300k' -c 'write -P 2 12344k 64k' -c 'write -z 5M 1M' guest.qcow2 >/dev/null
	qemu-img bitmap --disable guest.qcow2 r1
	rm -f s.pid
	nbd_qemu s -r -f qcow2 -B r1 guest.qcow2
	nbdcopy "$uri" away.raw
}

# by_bitmap TARGET OPTION...: home, by the guest's bitmap.
by_bitmap() {
	echo "dm-changed --since d=r1 --base d=$root 'd=$uri&point=r2' | dm-describe |
		dm-send 'd=$uri&point=r2' | dm-write ${*:2} --json 'd=$1'"
}

# written: what the last dm-write was asked to write, in bytes.
written() { jq .bytes <<<"$output"; }

@test "by the dirty bitmap of the recovered guest, onto a home that did not move" {
	guest_ran
	# a device, which knows nothing of itself
	loop_attach home.raw
	pipeline 1 "$(by_bitmap "$loop")"
	one_line "--verify-base"
	pipeline 0 "$(by_bitmap "$loop" --verify-base)"
	[ "$(written)" = $(((300 + 64) * 1024)) ]	# as changed, not a byte more; zeros are no bytes
	same away.raw "$loop"
	# a second time its base is not there any more
	pipeline 1 "$(by_bitmap "$loop" --verify-base)"
	one_line "does not hold the base"
}

@test "by way of the site: checkpoints of the guest, then their differences" {
	guest_ran
	iterate site w "dm-changed --since d=r1 --base d=$root 'd=$uri&point=r2'" "'d=$uri&point=r2'"
	[ "$(record site w .kind)" = incremental ]
	cp home.raw home2.raw
	pipeline 0 "dm-recover --at 2 --since 1 site w | dm-window --acks acks |
		dm-recv -- dm-send repo:site | dm-write --verify-base --acks acks d=home.raw"
	same away.raw home.raw
	# over NBD, with the record that the recovery of home had left
	truncate -s 24M n.raw
	nbd h file n.raw
	pipeline 0 "dm-recover --at 1 site w | dm-send repo:site | dm-write --json 'd=$uri&record=$T/r'"
	sh_exits 0 "dm-recover --at 2 --since 1 site w | dm-send repo:site | dm-write --json 'd=$uri&record=$T/r'"
	[ "$(written)" -le $((4 * 1024 * 1024)) ]	# whole chunks
	same away.raw n.raw
}

@test "both sides went on: nothing is taken for the base, and scans find the way" {
	guest_ran
	poke home.raw 20000000 70000
	cp home.raw moved.raw
	pipeline 1 "$(by_bitmap home.raw --verify-base)"
	one_line "does not hold the base"
	same moved.raw home.raw
	iterate site w "dm-changed --since d=r1 --base d=$root 'd=$uri&point=r2'" "'d=$uri&point=r2'"

	# what home holds now is kept first; of it only travels what the site lacks
	pipeline 0 "dm-changed d=home.raw | dm-describe --digest d=home.raw | dm-window --acks acks --have site |
		dm-recv -- dm-send d=home.raw | dm-write repo:site |
		dm-checkpoint commit --acks acks --workload w-home site"
	[ "$(record site w-home .stored)" -lt 3000000 ]
	root=$(record site w-home '.disks[0].root')
	sh_exits 0 "dm-recover --at 2 --disk d --since root:$root site w | dm-send repo:site |
		dm-write --verify-base --json d=home.raw"
	[ "$(written)" -le $((5 * 1024 * 1024)) ]	# whole chunks, of both sides' changes
	same away.raw home.raw
	recover site w-home latest d=kept
	same moved.raw kept
}

@test "a disk that moves to a raw image takes its bitmap along" {
	qemu-storage-daemon --blockdev driver=file,node-name=f,filename=guest.qcow2 \
	    --blockdev driver=qcow2,node-name=d,file=f --chardev socket,id=qmp,path=qmp,server=on,wait=off --monitor qmp \
	    --nbd-server "addr.type=unix,addr.path=$T/e" --export nbd,id=e,node-name=d,name=d,writable=on 3>&- &
	daemon=$!
	at_end kill_daemon "$daemon"
	wait_for test -S qmp
	wait_for test -S e
	qemu-io -f raw -c 'write -P 1 1M 300k' "nbd+unix:///d?socket=$T/e" >/dev/null
	exits 0 within 200 dm-move --qmp qmp --bitmap r1 --keep d=moved.qcow2 d=moved.raw
	qemu-io -f raw -c 'write -P 2 12344k 64k' "nbd+unix:///d?socket=$T/e" >/dev/null
	kill "$daemon"
	wait "$daemon" || :
	nbd_qemu s -r -f qcow2 -B r1 moved.qcow2
	pipeline 0 "$(by_bitmap home.raw --verify-base)"
	[ "$(written)" = $(((300 + 64) * 1024)) ]
	same moved.raw home.raw
}
kill_daemon() {
	kill "$1" 2>/dev/null || :
}
