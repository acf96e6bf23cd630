# dm-serve(1) and nbdkit-dm-plugin(1), against clients that are not ours.
bats_require_minimum_version 1.5.0
load ../lib/common
load ../lib/volumes
load ../lib/pipeline
load ../lib/faults
load ../lib/serve
load ../lib/s3

setup_file() {
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR dm_setup || return 1
	image_ext4 a.raw 64M
	image_random b.raw 3148291
	site
	full site w a.raw b.raw
	cp a.raw a1
	cp b.raw b1
	ext4_change a.raw
	poke b.raw 5000 4096
	scan site w a.raw b.raw
	disk_of_parts d.raw
	full site parts d.raw
	export DM_MADE=$T
}
setup() {
	dm_setup || return 1
	site=$DM_MADE/site
	export TMPDIR=$T/tmp
	mkdir tmp
	plugin_env
}
teardown() { dm_teardown; }

# disk_of_parts FILE: GPT; ext4, swap, XFS.
disk_of_parts() {
	truncate -s 400M "$1"
	sfdisk -q "$1" <<-END2
		label: gpt
		start=2048, size=65536, name=root
		size=20480, name=swap
		size=655360, name=data
	END2
	image_ext4 p1 32M
	truncate -s 10M p2
	mkswap -q p2
	truncate -s 320M p3
	mkfs.xfs -q p3
	dd if=p1 of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
	dd if=p2 of="$1" bs=1M seek=33 conv=notrunc,sparse status=none
	dd if=p3 of="$1" bs=1M seek=43 conv=notrunc,sparse status=none
}

@test "clients see each disk: its size, read-only, several connections, hints" {
	serve s "$site" w
	nbdinfo --json --list "$(uri s a)" >list
	[ "$(jq -c '[.exports[] | [."export-name", ."export-size"]]' list)" = '[["a",67108864],["b",3148291]]' ]
	jq -e '.exports | all(.is_read_only and .can_multi_conn and .can_cache and .block_size_minimum == 1)' list
	nbdinfo "$(uri s b)" | grep 'b of w, checkpoint 2'
	run -1 nbdinfo "$(uri s b | sed 's,/b?,/c?,')"
	serve one --disk b "$site" w
	[ "$(nbdinfo --size "$(uri one b | sed 's,/b?,/?,')")" -eq 3148291 ]
	[ "$(jq '.disks | length' one.json)" -eq 1 ]
}

@test "a copy of what is served is the disk, also where its size is odd" {
	serve s "$site" w
	nbdcopy "$(uri s a)" a
	nbdcopy --requests=32 --connections=4 "$(uri s b)" b
	same "$DM_MADE/a.raw" a
	same "$DM_MADE/b.raw" b
	qemu-img compare -f raw -F raw "$DM_MADE/a.raw" "$(uri s a)"
	qemu-img compare -f raw -F raw "$DM_MADE/b.raw" "$(uri s b)"
	qemu-img convert -f raw -O qcow2 "$(uri s a)" a.qcow2
	qemu-img compare -f raw -F qcow2 "$DM_MADE/a.raw" a.qcow2
}

@test "reads of any size at any place, many in flight, a cache smaller than the disk" {
	serve s --cache 2M "$site" w
	within 200 /usr/bin/python3 "$DM_LIB/nbd_reads.py" "$(uri s a)" "$DM_MADE/a.raw" random 1500 1
	within 200 /usr/bin/python3 "$DM_LIB/nbd_reads.py" "$(uri s b)" "$DM_MADE/b.raw" random 1500 2
	for i in 3 4 5; do
		within 200 /usr/bin/python3 "$DM_LIB/nbd_reads.py" "$(uri s a)" "$DM_MADE/a.raw" random 500 "$i" &
	done
	wait
	within 200 /usr/bin/python3 "$DM_LIB/nbd_reads.py" "$(uri s a)" "$DM_MADE/a.raw" blocks 4096 >failed
	[ "$(cat failed)" -eq 0 ]
}

@test "holes are told, and are zero in the disk" {
	serve s "$site" w
	nbdinfo --map --json "$(uri s a)" >map
	[ "$(jq 'map(.length) | add' map)" -eq 67108864 ]
	jq -e 'any(.type == 3) and any(.type == 0) and all(.type == 0 or .type == 3)' map
	jq -r '.[] | select(.type == 3) | "\(.offset) \(.length)"' map | while read -r off len; do
		cmp -n "$len" -i "$off:0" "$DM_MADE/a.raw" /dev/zero
	done
	nbdcopy "$(uri s a)" a
	[ "$(stat -c %b a)" -le "$(stat -c %b "$DM_MADE/a.raw")" ]
}

@test "a disk of 64 TiB with almost nothing in it is there at once" {
	truncate -s 60T big.raw 2>/dev/null || truncate -s 15T big.raw
	poke big.raw $((1 << 43)) 65536
	site tall
	full tall w big.raw
	serve s tall w
	[ "$(nbdinfo --size "$(uri s big)")" -eq "$(stat -c %s big.raw)" ]
	within 200 qemu-img map --output=json -f raw "$(uri s big)" >map
	[ "$(jq '[.[] | select(.data)] | map(.length) | add' map)" -eq 1048576 ]
	qemu-io -r -f raw -c "read -v $(((1 << 43) + 512)) 64" "$(uri s big)" | sed -n 's/^[0-9a-f]*:  \(.\{47\}\).*/\1/p' >got
	od -An -v -tx1 -w16 -j $(((1 << 43) + 512)) -N 64 big.raw | sed 's/^ //' >want
	same want got
}

@test "two checkpoints at once" {
	serve old --at 1 "$site" w
	serve new "$site" w
	nbdcopy "$(uri old a)" a1
	nbdcopy "$(uri new a)" a2
	same "$DM_MADE/a1" a1
	same "$DM_MADE/a.raw" a2
	[ "$(jq .seq old.json)" -eq 1 ]
	[ "$(jq .seq new.json)" -eq 2 ]
}

@test "a site in a bucket is served: copied, read here and there while the store stumbles, mounted" {
	need_loop
	s3_start --page 7
	s3_site s3
	cp "$DM_MADE/a1" a.raw
	cp "$DM_MADE/b1" b.raw
	full s3 w a.raw b.raw
	cp "$DM_MADE"/[ab].raw .
	scan s3 w a.raw b.raw
	serve s s3 w
	nbdcopy --requests=32 --connections=4 "$(uri s a)" a
	nbdcopy "$(uri s b)" b
	same a.raw a
	same b.raw b
	serve old --at 1 --cache 2M s3 w
	aws_faults error=5 throttle=7 reset=9 short=11 expired=13
	within 200 /usr/bin/python3 "$DM_LIB/nbd_reads.py" "$(uri old a)" "$DM_MADE/a1" random 800 1
	within 200 /usr/bin/python3 "$DM_LIB/nbd_reads.py" "$(uri old b)" "$DM_MADE/b1" random 200 2
	aws_faults

	# another machine has the bucket only
	exits 0 dm-checkpoint init --store s3://bucket/site --join there
	serve w --writable there w
	qemu-io -f raw -c 'write -P 7 1M 64k' -c 'read -P 7 1M 64k' "$(uri w a)" >out
	fails grep -q 'Pattern verification failed' out
	nbdcopy "$(uri s a)" again
	same a.raw again
	mkdir m
	serve m --mount m s3 w
	diff -r "$DM_FILES" m/a/ --exclude 'new-*' --exclude 'log-*' --exclude 'dir-*' --exclude lost+found
	# what the store refuses is an error, not zeros
	aws_faults expired=1
	run -1 within 200 nbdcopy "$(uri w b)" none
}

@test "what is served is not pruned, and stays readable while all else goes" {
	cp "$DM_MADE"/[ab].raw .
	cp -r "$site" s
	mkfifo acks
	serve old --at 1 s w
	nbdcopy "$(uri old b)" b
	same "$DM_MADE/b1" b
	for i in 1 2; do
		poke a.raw 0 20000000
		scan s w a.raw b.raw
		dm-checkpoint prune --keep-last 1 s
	done
	[ "$(dm-checkpoint list --json s w | jq -c 'map(.seq)')" = '[1,4]' ]
	nbdcopy "$(uri old a)" a
	same "$DM_MADE/a1" a
	dm-checkpoint reindex s
	poke a.raw 0 20000000
	scan s w a.raw b.raw
	dm-checkpoint prune --keep-last 1 s
	/usr/bin/python3 "$DM_LIB/nbd_reads.py" "$(uri old a)" "$DM_MADE/a1" random 300 1
	dm-serve --stop old.pid
	dm-checkpoint prune --keep-last 1 s
	[ "$(dm-checkpoint list --json s w | jq -c 'map(.seq)')" = '[5]' ]
}

@test "damage is an error where it is, and never other bytes" {
	cp -r "$site" bad
	for p in bad/chunks/packs/*/*; do
		size=$(stat -c %s "$p")
		for o in $((size / 3)) $((size / 2)); do
			printf '\377\000\377\000' | dd of="$p" bs=1 seek=$o conv=notrunc status=none
		done
	done
	serve s bad w
	within 200 /usr/bin/python3 "$DM_LIB/nbd_reads.py" "$(uri s b)" "$DM_MADE/b.raw" blocks 4096 >b.failed
	within 200 /usr/bin/python3 "$DM_LIB/nbd_reads.py" "$(uri s a)" "$DM_MADE/a.raw" blocks 4096 >a.failed
	failed=$(($(cat a.failed) + $(cat b.failed)))
	[ "$failed" -gt 0 ]
	[ "$failed" -le 512 ]
	run -1 nbdcopy "$(uri s a)" "$(uri s b)" null:
	grep 'cannot be read' s.pid.log
	[ "$(nbdinfo --size "$(uri s a)")" -eq 67108864 ]
}

@test "an encrypted site, with its key and not without" {
	dm-checkpoint key new key
	cp "$DM_MADE/b.raw" .
	export DM_KEY_FILE=$T/key
	exits 0 dm-checkpoint init --encrypt sealed
	mkfifo acks
	full sealed w b.raw
	serve s sealed w
	nbdcopy "$(uri s b)" b
	same b.raw b
	unset DM_KEY_FILE
	exits 1 dm-serve sealed w
	one_line key
}

@test "writes go into an overlay of each disk, and nowhere else" {
	before=$(find "$site" -type f -exec sha256sum {} + | grep -v /index/ | sort | sum /dev/stdin)
	serve s --writable "$site" w
	qemu-io -f raw -c 'write -P 7 1M 200k' -c 'write -P 8 3000k 4k' "$(uri s a)"
	qemu-io -f raw -c 'write -P 9 1M 64k' "$(uri s b)"
	qemu-io -f raw -c 'read -P 7 1M 200k' -c 'read -P 8 3000k 4k' "$(uri s a)" >out
	fails grep -i failed out
	cp "$DM_MADE/b.raw" b
	head -c 65536 /dev/zero | tr '\0' '\011' | dd of=b bs=1M seek=1 conv=notrunc status=none
	nbdcopy "$(uri s b)" b2
	same b b2
	dm-serve --stop s.pid
	[ "$before" = "$(find "$site" -type f -exec sha256sum {} + | grep -v /index/ | sort | sum /dev/stdin)" ]
	serve s2 --writable "$site" w
	nbdcopy "$(uri s2 a)" a
	same "$DM_MADE/a.raw" a
}

@test "on TCP, at a port the system chose" {
	serve s --port 0 --writable "$site" w
	[[ $(uri s a) =~ ^nbd://127.0.0.1:[0-9]+/a$ ]]
	nbdcopy "$(uri s a)" a
	same "$DM_MADE/a.raw" a
	nbdcopy "$(uri s b)" b
	same "$DM_MADE/b.raw" b
}

@test "--mount: files of a whole disk and of partitions, read-only" {
	need_loop
	mkdir m
	serve s --mount m "$site" w
	[ "$(mounted s a)" = "$T/m/a" ]
	diff -r "$DM_FILES" m/a/ --exclude 'new-*' --exclude 'log-*' --exclude 'dir-*' --exclude lost+found
	run -1 touch m/a/x
	dm-serve --stop s.pid
	wait_for gone
	serve p --mount m "$site" parts
	diff -r "$DM_FILES" "$(mounted p d 1)/" --exclude lost+found
	[ "$(jq -c '[.mounts[] | [.partition, .type]]' p.json)" = '[[1,"ext4"],[3,"xfs"]]' ]
	grep 'd, partition 2: swap: not mounted' p.pid.log
	dm-serve --stop p.pid
	wait_for gone
	[ -z "$(ls m)" ]
}

@test "--mount --writable replays a journal, into the overlay" {
	need_loop
	mkdir m live
	truncate -s 32M j.raw
	mke2fs -q -t ext4 j.raw
	loop_attach j.raw
	mount -o commit=300 "$loop" live
	at_end umount "$T/live"
	seq 1 5000 >live/first
	sync -f live
	cp "$loop" now.raw
	grep -q needs_recovery <(dumpe2fs -h now.raw 2>/dev/null)
	site js
	full js w j=now.raw
	serve s --writable --mount m js w
	same live/first m/j/first
	run -1 touch m/j/x
	dm-serve --stop s.pid
	wait_for gone
}

@test "killed, it leaves nothing" {
	need_loop
	mkdir m
	serve s --mount m "$site" w
	[ -e m/a/lost+found ]
	kill -KILL "$(cat s.pid)"
	wait_for gone
	exits 1 dm-serve --stop s.pid
	[ ! -e s.pid ]
}

@test "a mount in use goes away when it is left" {
	need_loop
	mkdir m
	serve s --mount m "$site" w
	(cd m/a && exec sleep 1000) &
	sleeper=$!
	at_end kill "$sleeper"
	wait_for eval '[ "$(readlink "/proc/$sleeper/cwd")" = "$T/m/a" ]'
	dm-serve --stop s.pid
	grep 'in use' s.pid.log
	fails grep "$T/m" /proc/mounts
}

@test "it ends with its parent" {
	mkfifo said
	bash -c 'dm-serve --exit-with-parent --pid-file p "$0" w >said & wait' "$site" &
	parent=$!
	# To its end: it is closed when all is served.
	cat said >lines
	read -r name u <lines
	[ "$name" = a ]
	[ "$(nbdinfo --size "$u")" -eq 67108864 ]
	server=$(cat p)
	kill -KILL "$parent"
	wait_for bash -c "! kill -0 $server 2>/dev/null"
	wait_for gone
}

@test "in the foreground it says what it serves, and a signal ends it" {
	mkfifo said
	dm-serve --pid-file p "$site" w >said &
	pid=$!
	# To its end: it is closed when all is served.
	cat said >lines
	read -r name u <lines
	[ "$(nbdinfo --size "$u")" -eq 67108864 ]
	exits 1 dm-serve --pid-file p "$site" w
	one_line "p: another one has it"
	kill -TERM "$pid"
	wait "$pid"
	wait_for gone
	[ ! -e p ]
}

# patience SECONDS: what dm-serve has with servers that do not end.
patience() {
	mkdir -p .bin
	printf '#!/bin/sh\nexec %s %s\n' "$(command -v sleep)" "$1" >.bin/sleep
	chmod +x .bin/sleep
	PATH=$T/.bin:$PATH
}

@test "a server that does not end is killed" {
	patience 0.5
	serve s "$site" w
	for k in $(children "$(cat s.pid)"); do
		[ "$(cat "/proc/$k/comm" 2>/dev/null)" != nbdkit ] || server=$k
	done
	kill -STOP "$server"
	exits 0 dm-serve --stop s.pid
	[ -z "$err" ]
	wait_for dead "$server"
	[ ! -e s.pid.log ] || own_words s.pid.log
	[ ! -s s.pid.log ]
	wait_for gone
}

@test "a server that dies is not passed over, and not waited for again" {
	patience 1000
	mkfifo said
	dm-serve --pid-file p "$site" w >said 2>err &
	pid=$!
	cat said >lines
	for k in $(children "$pid"); do
		[ "$(cat "/proc/$k/comm" 2>/dev/null)" != nbdkit ] || kill -KILL "$k"
	done
	code=0
	wait "$pid" || code=$?
	[ "$code" -eq 4 ]
	grep 'ended on its own' err
	wait_for gone
}

# bats test_tags=plain
@test "what is not there is a definite no, said once" {
	exits 1 dm-serve "$site" nothing
	one_line nothing
	exits 1 dm-serve --at 9 "$site" w
	one_line "no checkpoint 9"
	exits 1 dm-serve --disk c "$site" w
	one_line "dm-serve: checkpoint 2 of w has no disk c"
	exits 1 dm-serve ./no-such-site w
	one_line no-such-site
	exits 1 dm-serve --background --pid-file p --at 9 "$site" w
	one_line "no checkpoint 9"
	exits 1 dm-serve --stop no-such-file
	one_line no-such-file
	exits 2 dm-serve --background "$site" w
	one_line --pid-file
	exits 2 dm-serve --port 99999 "$site" w
	one_line 99999
	exits 4 dm-serve --socket-dir ./nowhere "$site" w
	one_line directory
	gone
}

@test "parameters of the plugin" {
	plugin=$DM_BUILD/lib/nbdkit-dm-plugin.so
	no() {
		exits 1 nbdkit -U - "$plugin" "${@:2}" --run true
		[[ $err == *"$1"* ]]
	}
	no 'are needed' "$site"
	no 'given twice' "$site" workload=w workload=v
	no 'has no disk c' "$site" workload=w disk=c
	no 'no checkpoint 7' "$site" workload=w at=7
	no 'a size from 2M' "$site" workload=w cache=1
	no 'unknown parameter' "$site" workload=w frob=1
	nbdkit --dump-plugin "$plugin" | grep thread_model=parallel
	nbdkit -U - "$plugin" "$site" workload=w disk=b at=1 --run 'nbdcopy "$uri" b'
	same "$DM_MADE/b1" b
}
