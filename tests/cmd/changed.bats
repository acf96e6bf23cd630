# dm-changed and dm-describe as programs.
load ../lib/common
load ../lib/volumes
load ../lib/faults

setup() { dm_setup; }
teardown() { dm_teardown; }

hello() {
	jq -c 'select(.type == "hello")' "$1"
}

@test "what is not understood is refused, with the option named" {
	image_random a 1M
	exits 2 dm-changed --nosuch a >/dev/null
	one_line dm-changed: nosuch
	exits 2 sh -c 'dm-changed --since x --state y a >o; echo "$?"; dm-json <o >&2; exit 2'
	[[ $err == *"choose one of"* ]]
	exits 2 sh -c 'dm-changed --map wrong a >o; dm-json <o >&2; exit 2'
	[[ $err == *"--map wrong"* ]]
	exits 2 dm-describe --digest </dev/null
	one_line dm-describe: --digest
	exits 2 dm-describe --chunk-size 5000 </dev/null
	one_line dm-describe: chunk-size
	sh_exits 2 'dm-changed a=a a=a | dm-describe | cat >o; dm-json <o >&2; exit ${PIPESTATUS[0]}'
	[[ $err == *"two disks are called a"* ]]
	sh_exits 4 'dm-changed gone | dm-describe | dm-window | dm-json >/dev/null; exit ${PIPESTATUS[2]}'
}

@test "nothing binary is written to a terminal" {
	image_random a 1M
	exits 2 script -qec "dm-changed a" /dev/null
	[[ $output == *terminal* ]]
}

@test "a reader that goes away ends a scan quietly" {
	truncate -s 1G a
	image_random a 64M
	sh_exits 4 'dm-changed --state st a | :; exit ${PIPESTATUS[0]}'
	[ -z "$err" ]
}

@test "a state follows the disk; a lost one is said, not guessed" {
	image_random a 4M
	dm-changed --state st d=a | dm-json >1
	[ "$(hello 1 | jq -r .kind)" = full ]
	poke a 70000 10
	dm-changed --state st d=a | dm-json >2
	[ "$(hello 2 | jq -r .kind)" = incremental ]
	[ "$(hello 2 | jq -r .disks[0].base_root)" = "$(jq -r 'select(.type == "final") | .root' 1)" ]
	[ "$(jq -c 'select(.type == "extent") | [.off, .len]' 2)" = "[69632,4096]" ]
	# the iteration failed: the base is still the first state
	poke a 200000 10
	dm-changed --state st --base "$(hello 2 | jq -r .disks[0].base_root)" d=a | dm-json >3
	[ "$(jq -c 'select(.type == "extent") | [.off, .len]' 3 | wc -l)" -eq 2 ]
	# an unknown base
	exits 1 dm-changed --state st --base "blake3:$(printf '%064d' 1)" d=a
	[[ $output == *"not of the base"*"--fallback full"* ]]
	exits 0 dm-changed --state st --base "blake3:$(printf '%064d' 1)" --fallback full d=a
	one_line "sending the whole disk instead"
	# damaged
	poke st.next 5000 1
	rm -f st
	exits 1 dm-changed --state st d=a
	[[ $output == *damaged* ]]
}

@test "maps of qemu-img and nbdinfo, taken from pipes" {
	truncate -s 20M a
	image_random b 1M
	dd if=b of=a bs=1M seek=3 conv=notrunc status=none
	qemu-img map --output=json -f raw a | dm-changed --extents - --map allocation d=a | dm-json >1
	[ "$(jq -s '[.[] | select(.kind == "data") | .len] | add' 1)" -eq 1048576 ]
	nbdkit -U "$T/s" -P "$T/p" file a
	at_end kill_pid_file "$T/p"
	nbdinfo --map --json "nbd+unix:///?socket=$T/s" | dm-changed --extents - --map allocation d=a | dm-json >2
	[ "$(jq -c 'select(.type == "extent")' 1)" = "$(jq -c 'select(.type == "extent")' 2)" ]
	sh_exits 0 "nbdinfo --map --json 'nbd+unix:///?socket=$T/s' | dm-changed --extents - --map allocation d=a |
		dm-describe | dm-send d=a | dm-write --json d=copy"
	same a copy
}

@test "what an overlay holds over its backing file" {
	qemu-img create -q -f raw base.raw 8M
	image_random r 8M
	cp r base.raw
	qemu-img create -q -f qcow2 -F raw -b base.raw over.qcow2
	qemu-io -c 'write -P 7 1M 64k' -c 'write -z 2M 128k' over.qcow2 >/dev/null
	qemu-img convert -O raw over.qcow2 now.raw
	qemu-img map --output=json over.qcow2 | dm-changed --extents - --base-point p d=now.raw | dm-json >1
	[ "$(jq -c 'select(.type == "extent") | [.off, .len, .kind]' 1 | tr '\n' ' ')" = \
	    '[1048576,65536,"data"] [2097152,131072,"zero"] ' ]
}

@test "a dirty bitmap over NBD" {
	qemu-img create -q -f qcow2 d.qcow2 8M
	qemu-img bitmap --add d.qcow2 b0
	qemu-io -c 'write -P 9 3M 64k' d.qcow2 >/dev/null
	qemu-nbd --fork --persistent -r -B b0 -k "$T/q" --pid-file="$T/qp" -f qcow2 d.qcow2
	at_end kill_pid_file "$T/qp"
	nbdinfo --map=qemu:dirty-bitmap:b0 --json "nbd+unix:///?socket=$T/q" >map
	truncate -s 8M now
	dm-changed --extents map --base-point p d=now | dm-json >1
	[ "$(jq -c 'select(.type == "extent") | [.off, .len, .kind]' 1)" = '[3145728,65536,"data"]' ]
	qemu-img map --output=json --image-opts \
	    "driver=nbd,server.type=unix,server.path=$T/q,x-dirty-bitmap=qemu:dirty-bitmap:b0" |
		dm-changed --extents - --map bitmap --base-point p d=now | dm-json >2
	[ "$(jq -c 'select(.type == "extent") | [.off, .len, .kind]' 2)" = '[3145728,65536,"data"]' ]
}

@test "a map needs a base, and must be of this disk" {
	image_random a 1M
	exits 2 dm-changed --extents /dev/null d=a
	[[ $output == *"--base"* ]]
	echo "0 2M" >m
	exits 1 dm-changed --extents m --base-point p d=a
	[[ $output == *"of this disk"* ]]
	echo "0 x" >m
	exits 3 dm-changed --extents m --base-point p d=a
}

@test "an audit finds what the tracker hides" {
	image_random a 8M
	dm-checkpoint init site
	mkfifo acks
	sh_exits 0 'dm-changed d=a | dm-describe | dm-window --acks acks | dm-send d=a | dm-recv |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w site'
	poke a 5000000 1
	echo "0 4096" >lie
	sh_exits 0 'set -o pipefail; dm-recover --ids --at latest site w | dm-changed --against - --extents lie \
		--base-point p d=a | dm-json >ok'
	sh_exits 1 'dm-recover --ids --at latest site w | dm-changed --against - --extents lie \
		--base-point p --audit 100% d=a >o'
	one_line dm-changed: audit "$((5000000 / 65536 * 65536))"
	echo "4980736 65536" >truth
	sh_exits 0 'set -o pipefail; dm-recover --ids --at latest site w | dm-changed --against - --extents truth \
		--base-point p --audit 100% d=a | dm-json >ok'
}

@test "a scan against a checkpoint, and a state kept on the way" {
	truncate -s 8M a
	poke a 1000000 300000
	dm-checkpoint init site
	mkfifo acks
	sh_exits 0 'dm-changed d=a | dm-describe | dm-window --acks acks | dm-send d=a | dm-recv |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w site'
	poke a 7000000 10
	sh_exits 0 'set -o pipefail; dm-recover --ids --at latest site w | dm-changed --against - --state st d=a | dm-json >1'
	[ "$(jq -c 'select(.type == "extent") | [.off, .len]' 1)" = "[6946816,65536]" ]
	poke a 7500000 10
	dm-changed --state st d=a | dm-json >2
	[ "$(jq -c 'select(.type == "extent") | [.off, .len]' 2)" = "[7499776,4096]" ]
	# the same ids, named by their checkpoint
	dm-changed --against repo:site#w d=a | dm-json >3
	dm-recover --ids site w | dm-changed --against - d=a | dm-json >4
	[ "$(jq -c 'select(.type == "extent") | [.off, .len]' 3)" = "$(jq -c 'select(.type == "extent") | [.off, .len]' 4)" ]
	[ "$(dm-changed --against repo:site#w/2 d=a | dm-json | jq -r 'select(.type == "abort").code')" = 1 ]
	[ "$(dm-changed --against repo:site d=a | dm-json | jq -r 'select(.type == "abort").code')" = 2 ]
	# ids that were cut short
	dm-recover --ids --at latest site w | head -c 400 >ids
	exits 4 dm-changed --against ids d=a
	exits 3 dm-changed --against <(dm-changed d=a) d=a
}

@test "a read error ends a scan, and the state stays as it was" {
	test_drivers
	image_random a 8M
	dm-changed --state st d=a >/dev/null
	cp st.next before
	exits 4 dm-changed --state st 'd=fault+file:a?read=EIO@5' >/dev/null
	[[ $output == *"read of"*"Input/output error"* ]]
	same st before
	[ "$(ls st*)" = st ]
}

@test "a disk that the base does not have is sent whole" {
	image_random a 2M
	image_random b 3M
	dm-checkpoint init site
	mkfifo acks
	sh_exits 0 'dm-changed a | dm-describe | dm-window --acks acks | dm-send a | dm-recv |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w site'
	dm-recover --ids --at latest site w >ids
	dm-changed --against ids a b 2>said | dm-json >1
	grep -q "disk b is not in the base" said
	[ "$(hello 1 | jq -c '[.kind, (.disks | map(has("base_root")))]')" = '["incremental",[true,false]]' ]
	[ "$(jq -c 'select(.type == "extent") | [.disk, .off, .len]' 1)" = "[1,0,3145728]" ]
	exits 2 dm-changed --against - --extents - --base-point p a </dev/null
	exits 1 dm-changed --against ids --extents b=/dev/null --base-point b=p --audit 5 a b
	[[ $output == *"--audit cannot be done"* ]]
}

@test "disks take turns" {
	image_random a 200M
	cp a b
	dm-changed a b | dm-json | jq -r 'select(.type == "extent") | .disk' | uniq -c >turns
	[ "$(wc -l <turns)" -ge 2 ]
	dm-changed --state a=sa --state b=sb a b | dm-json >1
	[ "$(jq -c 'select(.type == "final") | .disk' 1 | wc -l)" -eq 2 ]
	[ "$(jq -r 'select(.type == "extent") | .disk' 1 | uniq | wc -l)" -gt 2 ]
	poke b 100 1
	dm-changed --state a=sa --state b=sb a b | dm-json >2
	[ "$(jq -c 'select(.type == "extent") | [.disk, .off]' 2)" = "[1,0]" ]
	exits 2 dm-changed --state sa a b
	[[ $output == *"which disk"* ]]
}

@test "identified descriptors tell zeros and content" {
	truncate -s 4M a
	poke_zero a 0 1048576
	poke a 2000000 4096
	dm-changed d=a | dm-describe --digest d=a | dm-json >1
	[ "$(jq -c 'select(.type == "desc" and .id) | .off' 1)" = 1048576 ]
	# the same content has the same id wherever it is
	cp a b
	truncate -s 6M b
	dm-changed b | dm-describe --digest b | dm-json >2
	[ "$(jq -r 'select(.id) | .id' 1)" = "$(jq -r 'select(.id) | .id' 2)" ]
	sh_exits 2 'dm-changed d=a | dm-describe --digest x=a | dm-json >o; exit ${PIPESTATUS[1]}'
}

@test "descriptors come before the input ends" {
	mkfifo in out
	image_random a 1M
	dm-changed d=a >x
	dm-describe <in >out &
	at_end kill_quietly $!
	exec 8>in 7<out
	head -c $(($(stat -c %s x) - 88)) x >&8
	# preface, HELLO and a DESC frame arrive although no END was sent
	timeout 100 head -c $(($(stat -c %s x) - 88)) <&7 >got
	exec 8>&-
	cat <&7 >>got
	grep -q "input: ended before its END" got
}
kill_quietly() { kill "$1" 2>/dev/null || :; }

@test "a cut input is exit 4, a damaged one exit 3, wherever it is" {
	local n
	truncate -s 40M a
	for ((n = 0; n < 40; n += 4)); do poke a $((n * 1000000)) 10; done
	dm-changed d=a >x
	for ((n = 0; n < $(stat -c %s x); n += 37)); do
		head -c "$n" x >cut
		exits 4 dm-describe <cut >/dev/null
		flip x "$n" bad
		exits 3 dm-describe <bad >/dev/null
	done
}

# bats test_tags=plain
@test "16 TiB with changes all over, in constant memory" {
	fs_mount xfs fs
	cd fs
	truncate -s 16T a
	for ((n = 0; n < 400; n++)); do
		echo x | dd of=a bs=1 seek=$((n * 43980465111 + n)) conv=notrunc status=none
	done
	for how in "" "--state st" "--state st"; do
		exits 0 /usr/bin/time -f %M bash -c "exec dm-changed $how d=a >x"
		[ "$(tail -n1 "$T/.err")" -lt 65536 ]
		exits 0 /usr/bin/time -f %M bash -c "exec dm-describe <x >y"
		[ "$(tail -n1 "$T/.err")" -lt 65536 ]
	done
	[ "$(dm-changed d=a | dm-describe | dm-json | jq -s '[.[] | select(.type == "desc" and (.zero | not))] | length')" -eq 400 ]
	echo y | dd of=a bs=1 seek=9999999999999 conv=notrunc status=none
	[ "$(dm-changed --state st d=a | dm-json | jq -c 'select(.type == "extent") | .off')" = $((9999999999999 / 4096 * 4096)) ]
	cd "$T"
}
