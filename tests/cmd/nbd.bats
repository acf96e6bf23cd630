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
	nbd s4 -r --filter=delay file a rdelay=1
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

# at_once LOG: how many requests that read, write or zero a server had at the
# same time, as nbdkit's filter log tells it.
at_once() {
	awk '/\.\.\.(Read|Write|Zero) / { n--; next } / (Read|Write|Zero) / { if (++n > most) most = n } END { print most + 0 }' "$1"
}

@test "a slow server is kept busy by several requests" {
	image_random a 16M
	nbd s -r --filter=log --filter=delay file a rdelay=50ms logfile="$T/calls"
	copy "$uri" b
	[ "$(at_once calls)" -ge 4 ]
	same a b
}

@test "a slow store gets the fragments of a chunk, and what is zero between them, together" {
	local threads
	python3 -c 'import os
with open("a", "wb") as f:
    for i in range(127):
        f.seek(65536 * i + 512)
        f.write(os.urandom(32768))
    f.truncate(65536 * 128)'
	for threads in 1 16; do
		image_random b 8M
		nbd "s$threads" --filter=log --filter=delay file b wdelay=60ms logfile="$T/calls$threads"
		sh_exits 0 "dm-changed d=a | dm-describe | dm-send --allow-change d=a |
			dm-write --threads $threads --json 'd=$uri'"
		# A chunk is 32 requests, and one thread has one chunk.
		[ "$(at_once "calls$threads")" -ge 16 ]
		same a b
	done
	# Blocks that fragments do not end on are read, and one is refused zeros.
	image_random b 8M
	nbd sp --filter=blocksize-policy --filter=nozero file b blocksize-minimum=4096 blocksize-error-policy=error
	sh_exits 0 "dm-changed d=a | dm-describe | dm-send --allow-change d=a | dm-write --json 'd=$uri'"
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

@test "one export is not the target, nor the source, of two disks" {
	image_random a 1M
	image_random b 1M
	truncate -s 1M t
	nbd s file t
	uri="nbd+unix:///a?socket=$T/s"
	cp t before
	sh_exits 2 "dm-send --all a b | dm-write --json '$uri'"
	one_line dm-write: 'no target'
	same t before
	sh_exits 1 "set -o pipefail; dm-changed a b | dm-describe | dm-send --allow-change '$uri' >/dev/null"
	one_line dm-send: 'does not grant'
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

# extents OPTION... DISK: lines "offset length kind".
extents() {
	dm-changed "$@" | dm-json | jq -r 'select(.type == "extent") | "\(.off) \(.len) \(.kind)"'
}

# bitmaps NEW OLD: in guest.qcow2, from the point NEW on its bitmap tells what
# changed, and OLD's tells no more.
bitmaps() {
	qemu-img bitmap --add -g 4096 guest.qcow2 "$1"
	[ -z "${2-}" ] || qemu-img bitmap --disable guest.qcow2 "$2"
}

@test "a dirty bitmap tells what changed, iteration after iteration" {
	disk a
	qemu-img convert -f raw -O qcow2 a guest.qcow2
	site
	bitmaps p1
	nbd_qemu s -r -f qcow2 guest.qcow2
	full site w "'d=$uri&point=p1'"
	[ "$(record site w '.disks[0].source_point')" = p1 ]
	nbd_end "$pid"

	qemu-io -f qcow2 -c 'write -P 5 1M 100k' -c 'write -z 5M 1M' -c 'write -P 6 25165312 512' guest.qcow2 >/dev/null
	bitmaps p2 p1
	rm s.pid
	nbd_qemu s -r -f qcow2 -B p1 guest.qcow2
	extents --since p1 "d=$uri&point=p2" >told
	diff - told <<-END >&2
		1048576 102400 data
		5242880 1048576 zero
		25161728 4096 data
	END
	[ "$(nbdinfo --map=qemu:dirty-bitmap:p1 --json "$uri" | jq '[.[] | select(.type == 1).length] | add')" = \
	    "$(awk '{ n += $2 } END { print n }' told)" ]
	iterate site w "dm-changed --since p1 'd=$uri&point=p2'" "'d=$uri&point=p2'"
	[ "$(record site w '.disks[0].source_point')" = p2 ]
	[ "$(record site w .kind)" = incremental ]
	nbdcopy "$uri" now
	recover site w latest d=back
	same now back
	# a bitmap of another name, by parameter
	[ "$(extents --since anything "d=$uri&bitmap=p1")" = "$(cat told)" ]
	# from another base than the newest checkpoint's: refused by the site
	pipeline 1 "$(iteration site w "dm-changed --since p1 'd=$uri&point=p3'" "'d=$uri&point=p3'")"
	[ "$(checkpoints site w)" = 2 ]
}

@test "a running writer's bitmap, by qemu-storage-daemon" {
	disk a
	qemu-img convert -f raw -O qcow2 a guest.qcow2
	bitmaps p1
	nbd_qsd s guest.qcow2 writable=on bitmaps.0=p1
	[ -z "$(extents --since p1 "d=$uri")" ]
	qemu-io -f raw -c 'write -P 9 3M 64k' "$uri" >/dev/null
	[ "$(extents --since p1 "d=$uri")" = "3145728 65536 data" ]
	# it has no name: the state may change any moment
	[ "$(dm-changed "d=$uri" | dm-json | jq -r 'select(.type == "hello") | .disks[0].frozen')" = false ]
	# as a target, incrementally
	dm-changed --state st d=a | dm-describe | dm-send d=a | dm-write --json "d=$uri&record=$T/r"
	poke a 7000000 100000
	dm-changed --state st d=a | dm-describe | dm-send d=a | dm-write --json "d=$uri&record=$T/r"
	like "$uri" a
}

@test "a bitmap that is lost or inconsistent is no answer: scan, or send all, loudly" {
	disk a
	qemu-img convert -f raw -O qcow2 a guest.qcow2
	bitmaps p1
	site
	nbd_qsd s guest.qcow2 writable=on bitmaps.0=p1
	full site w "'d=$uri'"
	qemu-io -f raw -c 'write -P 9 3M 64k' -c flush "$uri" >/dev/null
	kill -9 "$pid"
	wait_for nbd_gone "$pid"
	rm -f s s.pid
	# the killed writer left it in use: qemu-nbd will not export it
	exits 1 qemu-nbd --fork -r -B p1 -f qcow2 -k "$T/s" guest.qcow2
	nbd_qemu s -r -f qcow2 guest.qcow2
	sh_exits 1 "dm-changed --since p1 'd=$uri' >/dev/null"
	one_line 'no dirty bitmap "p1"' "--fallback scan or full"
	sh_exits 2 "dm-changed --fallback scan --since p1 'd=$uri' >/dev/null"

	sh_exits 0 "dm-changed --fallback full --since p1 'd=$uri' | dm-json >told"
	one_line 'no dirty bitmap "p1"' "sending the whole disk instead"
	[ "$(jq -r 'select(.type == "hello") | .kind' told)" = full ]
	sh_exits 0 "dm-recover --ids site w | dm-changed --against - --fallback scan --since p1 'd=$uri' | dm-json >told"
	one_line 'no dirty bitmap "p1"' "scanning the whole disk instead"
	[ "$(jq -r 'select(.type == "extent") | "\(.off) \(.len) \(.kind)"' told)" = "3145728 65536 data" ]
	iterate site w "dm-recover --ids site w | dm-changed --against - --fallback scan --since p1 'd=$uri' 2>/dev/null" "'d=$uri'"
	[ "$(record site w .kind)" = incremental ]
	# by what was seen last time, too
	dm-changed --state st "d=$uri" >/dev/null
	sh_exits 0 "dm-changed --state st --fallback scan --since p1 'd=$uri' | dm-json >told"
	one_line "scanning the whole disk instead"
	[ "$(jq -r 'select(.type == "hello") | .kind' told)" = incremental ]

	# a server that knows no meta contexts at all
	nbd s2 -r --no-sr file a
	sh_exits 1 "dm-changed --since p1 'd=$uri' >/dev/null"
	one_line 'no dirty bitmap "p1"'
	copy "$uri" b
	same a b
}

@test "TLS: who the server is is checked, with certificates and with keys" {
	disk a
	mkdir pki
	certtool --generate-privkey --key-type=ecdsa --outfile pki/ca-key.pem 2>/dev/null
	printf 'cn = test\nca\ncert_signing_key\nexpiration_days = 2\n' >ca.info
	certtool --generate-self-signed --load-privkey pki/ca-key.pem --template ca.info \
	    --outfile pki/ca-cert.pem 2>/dev/null
	certtool --generate-privkey --key-type=ecdsa --outfile pki/server-key.pem 2>/dev/null
	printf 'cn = localhost\ndns_name = localhost\ntls_www_server\nsigning_key\nencryption_key\nexpiration_days = 2\n' >s.info
	certtool --generate-certificate --load-ca-certificate pki/ca-cert.pem --load-ca-privkey pki/ca-key.pem \
	    --load-privkey pki/server-key.pem --template s.info --outfile pki/server-cert.pem 2>/dev/null
	nbd_tcp -r --tls=require --tls-certificates="$T/pki" file a
	copy "nbds://localhost:$port/?tls-certificates=$T/pki" b
	same a b
	# plain is refused by it; a server for another host by us
	sh_exits 4 "dm-changed 'd=nbd://localhost:$port' >/dev/null"
	one_line "TLS"
	sh_exits 4 "dm-changed 'd=nbds://127.0.0.1:$port/?tls-certificates=$T/pki' >/dev/null"
	one_line "certificate"
	# and one whose certificate another has signed
	mkdir other
	certtool --generate-privkey --key-type=ecdsa --outfile other/key.pem 2>/dev/null
	certtool --generate-self-signed --load-privkey other/key.pem --template ca.info \
	    --outfile other/ca-cert.pem 2>/dev/null
	sh_exits 4 "dm-changed 'd=nbds://localhost:$port/?tls-certificates=$T/other' >/dev/null"
	one_line "certificate"
	# one that has no TLS is not spoken to
	nbd plain -r file a
	sh_exits 4 "dm-changed 'd=nbds+unix:///?socket=$T/plain' >/dev/null"

	echo "alice:$(openssl rand -hex 32)" >keys
	nbd psk --tls=require --tls-psk="$T/keys" file b
	copy a "nbds+unix:///?socket=$T/psk&tls-psk-file=$T/keys&tls-username=alice"
	sh_exits 4 "dm-changed 'd=nbds+unix:///?socket=$T/psk&tls-psk-file=$T/keys&tls-username=bob' >/dev/null"
	one_line "$T/psk"
}

# bats test_tags=plain
@test "without libnbd the rest is there, and these are refused" {
	mkdir -p b/bin b/lib/dm
	cp "$DM_BUILD/bin/dm-changed" b/bin
	[ "$(ldd "$DM_BUILD/bin/dm-changed" | grep -c libnbd)" = 0 ]
	grep -q libnbd <(ldd "$DM_BUILD/lib/dm/drv_nbd.so")
	[ -z "$(make -n -C "$DM_TOP" NBD=no B="$T/n" | grep drv_nbd)" ]
	sh_exits 2 "b/bin/dm-changed d=nbd://h/x >/dev/null"
	one_line "libnbd"
	disk a
	b/bin/dm-changed d=a | dm-json >/dev/null
}
