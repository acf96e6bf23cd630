# dm-write(1): what is written, acknowledged and refused.
load ../lib/common
load ../lib/volumes
load ../lib/faults

setup_file() {
	image_ext4 "$BATS_FILE_TMPDIR/base.raw" 48M
	cd "$BATS_FILE_TMPDIR"
	dm-send --all --chunk-size 64K d=base.raw >plain
	dm-send --all --compress zstd d=base.raw >packed
}
setup() {
	dm_setup
	for f in base.raw plain packed; do ln -s "$BATS_FILE_TMPDIR/$f" .; done
}
teardown() { dm_teardown; }

# complete FILE: does its record say that it is one state?
complete() {
	jq -e '.state == "complete"' "$1.dm"
}

# frame_starts FILE: where each frame begins.
frame_starts() {
	local pos=16 size
	size=$(stat -L -c %s "$1")
	while [ $pos -lt "$size" ]; do
		echo $pos
		pos=$((pos + 40 + $(od -An -tu4 -j $((pos + 16)) -N 4 "$1")))
	done
}

# frames FILE FILTER: of a stream, as JSON.
frames() {
	dm-json <"$1" | jq -c "$2"
}

@test "acks: each chunk, what is durable, the state made, the end" {
	sh_exits 0 "dm-write c.raw <packed >acks"
	[ -z "$err" ]
	same base.raw c.raw
	complete c.raw
	frames acks .type | sort | uniq -c | awk '{ print $2, $1 }' >types
	grep -qx '"durable" 1' types
	grep -qx '"final" 1' types
	[ "$(frames acks 'select(.type == "written") | .index' | sort -un | wc -l)" -eq \
	  "$(frames packed 'select(.type == "chunk" or .type == "zero") | .index' | wc -l)" ]
	[ "$(frames acks 'select(.type == "end") | [.count, .bytes, .root]')" = \
	  "$(frames packed 'select(.type == "end") | [.count, .bytes, .root]')" ]
	[ "$(frames acks 'select(.type == "final") | .side')" = '"target"' ]
}

@test "acks through a FIFO, and a summary" {
	mkfifo fifo
	cat fifo >acks 3>&- &
	exits 0 dm-write --acks fifo --json c.raw <packed
	wait $!
	jq -e '.disks == 1 and .chunks == 48 and .seconds > 0' .out
	[ "$(frames acks 'select(.type == "end") | .count')" -eq 48 ]
}

@test "nobody reads the FIFO: the work is done all the same" {
	mkfifo fifo
	exits 0 within 200 dm-write --acks fifo c.raw <packed
	same base.raw c.raw
}

@test "the reader of the FIFO dies: the work is done all the same" {
	mkfifo fifo
	head -c 200 fifo >/dev/null 3>&- &
	exits 0 within 200 dm-write --acks fifo c.raw <plain
	wait $!
	same base.raw c.raw
}

@test "the reader of standard output dies: quiet, exit 4" {
	sh_exits 4 'dm-write c.raw <plain | head -c 100 >/dev/null; exit ${PIPESTATUS[0]}'
	[ -z "$err" ]
	fails complete c.raw
}

@test "a stream cut anywhere: exit 4, nothing complete" {
	size=$(stat -L -c %s plain)
	for at in 0 7 16 30 48 100 300 70000 $((size / 3)) $((size / 2)) $((size - 40)) $((size - 1)); do
		cut_at plain $at >cut
		exits 4 dm-write --json c.raw <cut
		one_line dm-write: "ended before its END"
		fails complete c.raw
		rm -f c.raw c.raw.dm
	done
}

@test "a bit flipped anywhere: exit 3, nothing complete" {
	size=$(stat -L -c %s plain)
	for at in 3 20 47 60 120 250 400 70000 $((size / 3)) $((size / 2)) $((size - 30)) $((size - 1)); do
		flip plain $at bad
		exits 3 dm-write --json c.raw <bad
		one_line dm-write: input
		fails complete c.raw
		rm -f c.raw c.raw.dm
	done
}

@test "frames left out, repeated, out of order or of another stream: exit 3" {
	frame_starts packed >at
	readarray -t at <at
	head -c "${at[3]}" packed >bad1
	tail -c +$((at[4] + 1)) packed >>bad1
	head -c "${at[4]}" packed >bad2
	tail -c +$((at[3] + 1)) packed >>bad2
	{
		head -c "${at[3]}" packed
		tail -c +$((at[4] + 1)) packed | head -c $((at[5] - at[4]))
		tail -c +$((at[3] + 1)) packed | head -c $((at[4] - at[3]))
		tail -c +$((at[5] + 1)) packed
	} >bad3
	dm-send --all --compress zstd d=base.raw >other
	head -c "${at[3]}" packed >bad4
	tail -c +$((at[3] + 1)) other >>bad4
	cat packed packed >bad5
	for f in bad1 bad2 bad3 bad4 bad5; do
		rm -f c.raw c.raw.dm
		exits 3 dm-write --json c.raw <$f
		fails complete c.raw
	done
	cmp -s bad1 packed && die "nothing was changed"
	# within an epoch the order of entries is no matter
	dm-json --data <packed >lines
	{ head -n 1 lines; sed '1d;$d' lines | tac; tail -n 1 lines; } | dm-json -r >good
	exits 0 dm-write --json c.raw <good
	same base.raw c.raw
}

@test "targets that do not fit the disks" {
	dm-send --all a=base.raw b=base.raw >two
	exits 2 dm-write --json c.raw <two
	one_line dm-write: target
	exits 2 dm-write --json a=a.raw <two
	one_line dm-write: "disk b"
	exits 2 dm-write --json a=a.raw b=b.raw c=c.raw <two
	one_line dm-write: "target c"
	exits 2 dm-write --json x=a.raw x=b.raw <two
	[ ! -e a.raw ] && [ ! -e c.raw ]
	exits 2 dm-write --acks - --json c.raw <packed
	exits 2 dm-write --acks nowhere c.raw <packed
	one_line dm-write: nowhere
}

@test "changes onto another state than their base are refused" {
	exits 0 dm-write --json c.raw <packed
	frames packed 'if .type == "hello" then .kind = "incremental" | .disks[0].base_point = "file:1:2:3:4:5"
	    elif .type == "end" or .type == "zero" then . else empty end' |
		dm-json -r --renumber >inc
	exits 1 dm-write --json c.raw <inc
	one_line dm-write: c.raw base
	complete c.raw
	same base.raw c.raw
}

@test "content that is not what its id says" {
	id=$(printf '%064d' 7)
	dm-json --data <plain | jq -c --arg id "$id" 'if .type == "chunk" and (.frags | not) then .id = $id else . end' |
		dm-json -r --renumber >lies
	exits 1 dm-write --json c.raw <lies
	one_line dm-write: "changed while being read"
	fails complete c.raw
}

@test "no space: exit 4" {
	small_fs small 8M
	exits 4 dm-write --json small/c.raw <plain
	one_line dm-write: small/c.raw "No space left on device"
	fails complete small/c.raw
}

@test "a terminal gets one line instead of acks" {
	exits 0 script -qec "dm-write c.raw <packed" /dev/null
	[ "$(wc -l <.out)" -eq 1 ]
	grep -q '^1 disk, 48 chunks, .* written' .out
	exits 2 script -qec "dm-write --acks - c.raw <packed" /dev/null
}

@test "a write or flush that fails ends it: exit 4, nothing complete" {
	for call in pwritev:3:EIO pwritev:9:ENOSPC fdatasync:1:EIO fsync:4:EIO; do
		preload_fault dm-write:$call
		exits 4 dm-write --json c.raw <plain
		no_fault
		one_line "dm-write: c.raw"
		fails complete c.raw
		rm -f c.raw c.raw.dm
	done
}

# bats test_tags=plain
@test "memory is bounded however large the disk" {
	truncate -s 2T big.raw
	for i in $(seq 1 40); do poke big.raw $((i * 50000000000)) 300000; done
	dm-send --all --chunk-size 64K big.raw >s
	rm big.raw
	sh_exits 0 "ulimit -d 100000; dm-write --json big.raw <s"
}

@test "a source's word for its workload breaks neither a site nor a terminal" {
	image_random src.raw 64K
	exits 0 dm-checkpoint init site
	sh_exits 3 "dm-changed --workload $'a\\e\\xc2\\x9bb' d=src.raw | dm-describe | dm-window | dm-send d=src.raw | dm-write repo:site"
	one_line "'a???b' cannot be the name of a workload"
	[ -z "$(ls site/open)" ]
	exits 0 dm-checkpoint sessions site
	exits 0 dm-checkpoint prune --keep-last 1 site
	sh_exits 0 "dm-changed --workload $'a\\e\\xc2\\x9bb' d=src.raw | dm-describe | dm-window --progress | dm-send d=src.raw | dm-write out.raw"
	[[ $err == *"a???b: "* && $err != *$'\e'* ]]
}
