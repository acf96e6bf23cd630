# nbd: volumes against servers of others: nbdkit, qemu-nbd, qemu-storage-daemon.
load ../lib/common
load ../lib/volumes
load ../lib/nbd
load ../lib/pipeline

setup() { dm_setup; }
teardown() { dm_teardown; }

# copy FROM TO [OPTION...]: one disk, by way of descriptors.
copy() {
	pipeline 0 "dm-changed ${*:3} 'd=$1' | dm-describe | dm-send 'd=$1' | dm-write --json 'd=$2'"
}

# like TEXT FILE: is the export's content that of the file, says qemu-img?
like() {
	qemu-img compare -q -f raw -F raw "$1" "$2" >&2
}

# disk FILE: 24 MiB: data, a hole, zeros that are no hole, data.
disk() {
	image_random "$1" 8M
	truncate -s 24M "$1"
	poke_zero "$1" 16777216 1048576
	poke "$1" 20000001 3000000
}

@test "an export is read whole, and its holes are not" {
	disk a
	nbd s -r file a
	[ "$(dm-changed "d=$uri" | dm-json | jq -s '[.[] | select(.kind == "data") | .len] | add')" -lt 14000000 ]
	copy "$uri" b
	same a b
	[ "$(stat -c %b b)" -le 24000 ]
	# the same through a server that tells no holes, and one that has other blocks
	nbd s2 -r --filter=noextents file a
	copy "$uri" b
	same a b
	nbd s3 -r --filter=blocksize-policy file a blocksize-minimum=4096 blocksize-preferred=64K \
	    blocksize-maximum=64K blocksize-error-policy=error
	copy "$uri" b
	same a b
}

@test "an export is written whole: data, zeros and what was there before" {
	disk a
	local filter
	for filter in "" --filter=nozero --filter=noextents \
	    "--filter=blocksize-policy blocksize-minimum=16K blocksize-preferred=64K blocksize-maximum=64K blocksize-error-policy=error"; do
		image_random old 24M
		nbd s ${filter%% *} file old ${filter#"${filter%% *}"}
		copy a "$uri"
		like "$uri" a
		nbd_end "$pid"
		same old a
		rm s s.pid
	done
	# only what is not named anywhere is left alone
	image_random big 25M
	cp big before
	nbd s file big
	copy a "$uri"
	cmp -n 25165824 big a
	cmp -i 25165824 big before
}

@test "from export to export, of qemu's and of nbdkit's" {
	disk a
	qemu-img convert -f raw -O qcow2 a a.qcow2
	qemu-img create -q -f qcow2 b.qcow2 24M
	nbd_qemu s -r -f qcow2 a.qcow2
	local from=$uri
	nbd_qemu t -f qcow2 b.qcow2
	copy "$from" "$uri"
	like "$uri" a
	nbdcopy "$from" n.raw
	same n.raw a
	nbd_end "$pid"
	qemu-img compare -q a b.qcow2
	[ "$(stat -c %s b.qcow2)" -lt 16000000 ]
}

@test "sizes that are no multiple of anything" {
	local n
	for n in 1 511 513 1048577 3000001; do
		image_random a $n
		nbd s file a
		copy "$uri" b
		same a b
		truncate -s $n c
		nbd t --filter=blocksize-policy file c blocksize-minimum=512 blocksize-preferred=4K blocksize-maximum=1M
		copy b "$uri"
		nbd_end "$pid"
		same b c
		nbd_end "$(cat s.pid)"
		rm s s.pid t t.pid
	done
}

@test "into a site from an export, and back onto one" {
	disk a
	site
	nbd_qemu s -f raw a
	full site w "'d=$uri'"
	qemu-io -f raw -c 'write -P 7 5000000 5000' -c 'write -z 0 1M' "$uri" >/dev/null
	scan site w "'d=$uri'"
	[ "$(checkpoints site w)" = 2 ]
	truncate -s 24M b
	nbd t file b
	recover site w latest "d=$uri"
	same a b
}

@test "a server that fails, dies, sticks or is slow" {
	disk a
	nbd s -r --filter=error file a error-pread=EIO error-pread-rate=100%
	sh_exits 4 "dm-send --all 'd=$uri' >/dev/null"
	one_line "read at" "Input/output error"
	nbd s2 --filter=error file a error-pwrite=ENOSPC error-pwrite-rate=100%
	cp a b
	sh_exits 4 "dm-send --all d=b | dm-write --json 'd=$uri'"
	one_line "write at" "No space left on device"
	# killed in the middle
	nbd s4 -r --filter=delay file a rdelay=100ms
	dm-send --all "d=$uri" >out 2>err &
	local sender=$!
	at_end nbd_end "$sender"
	wait_for [ -s out ]
	kill -9 "$pid"
	rc=0; wait "$sender" || rc=$?
	[ "$rc" -eq 4 ]
	grep -q "the server ended the connection\|Connection reset" err

	# stuck: no byte for the time the URI allows
	nbd s5 -r --filter=delay file a rdelay=60
	sh_exits 4 "dm-send --all 'd=$uri&timeout=1' >/dev/null"
	one_line "said nothing for 1 s"

	# not there, not so called
	sh_exits 4 "dm-changed 'd=nbd+unix:///?socket=$T/nosuch' >/dev/null"
	one_line "No such file"
	nbd s6 --filter=exportname file a exportname-strict=true exportname=x
	sh_exits 4 "dm-changed 'd=nbd+unix:///y?socket=$T/s6' >/dev/null"
	one_line "no export named 'y'"
}

@test "a slow server is kept busy by several requests" {
	image_random a 16M
	nbd s -r --filter=delay file a rdelay=50ms
	local t0=${EPOCHREALTIME/./}
	copy "$uri" b
	# one after another the 64 requests of 256 KiB would take 3.2 s
	[ $((${EPOCHREALTIME/./} - t0)) -lt 1600000 ]
	same a b
}

@test "read-only exports, and small ones, are no targets" {
	disk a
	nbd s -r file a
	sh_exits 1 "dm-send --all d=a | dm-write --json 'd=$uri'"
	one_line "read-only"
	truncate -s 23M c
	nbd s2 file c
	sh_exits 1 "dm-send --all d=a | dm-write --json 'd=$uri'"
	one_line "has 24117248 bytes, the disk has 25165824"
}

@test "an increment is written only onto its base" {
	disk a
	truncate -s 24M t
	nbd s file t
	# no record: refused; with one: taken, and only from that state on
	sh_exits 0 "dm-changed --state st d=a | dm-describe | dm-send d=a | dm-write --json 'd=$uri&record=$T/r'"
	same a t
	poke a 1000000 5000
	root=$(jq -r .target.root r)
	cp st.next keep
	sh_exits 1 "dm-changed --state keep d=a | dm-describe | dm-send d=a | dm-write --json 'd=$uri'"
	one_line "record=FILE" "--verify-base"
	sh_exits 0 "dm-changed --state st --base $root d=a | dm-describe | dm-send d=a | dm-write --json 'd=$uri&record=$T/r'"
	same a t
	jq -e '.state == "complete" and .target.root' r
	# the record of another export
	truncate -s 24M t2
	nbd s2 file t2
	cp st.next keep
	sh_exits 1 "dm-changed --state keep d=a | dm-describe | dm-send d=a | dm-write --json 'd=$uri&record=$T/r'"
	one_line "is the record of nbd:$T/s:"
	same <(head -c 25165824 /dev/zero) t2

	# proved by reading it
	poke a 2000000 5000
	uri="nbd+unix:///?socket=$T/s"
	sh_exits 0 "dm-changed --state st d=a | dm-describe | dm-send d=a | dm-write --verify-base --json 'd=$uri'"
	same a t
	poke a 3000000 5000
	poke t 9000000 1
	cp t t.before
	sh_exits 1 "dm-changed --state st d=a | dm-describe | dm-send d=a | dm-write --verify-base --json 'd=$uri'"
	one_line "does not hold the base"
	same t t.before
}
