# dm-send(1): what goes out, and what is refused.
load ../lib/common
load ../lib/volumes
load ../lib/faults

setup_file() {
	image_ext4 "$BATS_FILE_TMPDIR/base.raw" 64M
}
setup() {
	dm_setup
	cp --sparse=always "$BATS_FILE_TMPDIR/base.raw" d.raw
}
teardown() { dm_teardown; }

# to_copy OPTION...: send d.raw whole and write it to copy.raw.
to_copy() {
	rm -f copy.raw copy.raw.dm
	sh_exits 0 "set -o pipefail; dm-send --all $* d.raw | dm-write --json copy.raw"
}

# requests: those of a full iteration of d.raw, in the file req.
requests() {
	sh_exits 0 "set -o pipefail; dm-changed d.raw | dm-describe >req"
}

# says CODE FILE TEXT: the stream in FILE ends with an ABORT of that code.
says() {
	dm-json <"$2" | tail -n 1 | jq -e --argjson code "$1" --arg text "$3" \
	    '.type == "abort" and .code == $code and (.text | contains($text))' >&2
}

@test "a whole disk, byte for byte, holes kept" {
	to_copy
	same d.raw copy.raw
	fs_clean copy.raw
	[ "$(du -k copy.raw | cut -f1)" -le $(($(du -k d.raw | cut -f1) + 64)) ]
}

@test "chunks of every size, compressed and not" {
	for size in 4K 64K 256K 1M; do
		to_copy --chunk-size $size
		same d.raw copy.raw
		to_copy --compress zstd --chunk-size $size --threads 3
		same d.raw copy.raw
	done
}

@test "sizes that fit no grid" {
	for n in 0 1 511 4097 1048577 3500000; do
		image_random d.raw $n
		to_copy
		same d.raw copy.raw
		to_copy --chunk-size 4K --compress zstd:3
		same d.raw copy.raw
	done
}

@test "several disks, by name" {
	image_random e.raw 3M
	sh_exits 0 "set -o pipefail; dm-send --all a=d.raw b=e.raw | dm-write --json b=b.raw a=a.raw"
	same d.raw a.raw
	same e.raw b.raw
	jq -e '.disks == 2 and .bytes > 3145728 and .stored > 0' .out
}

@test "zeros are found and not sent" {
	head -c 8M /dev/zero >d.raw
	dm-send --all d.raw >s
	[ "$(stat -c %s s)" -lt 4096 ]
	sh_exits 0 "dm-write --json copy.raw <s"
	same d.raw copy.raw
	[ "$(du -k copy.raw | cut -f1)" -le 4 ]
}

@test "a loop device is a disk too" {
	loop_attach d.raw
	sh_exits 0 "set -o pipefail; dm-send --all $loop | dm-write --json copy.raw"
	same d.raw copy.raw
}

@test "a checkpoint is a disk too" {
	load ../lib/pipeline
	site
	full site w d.raw
	for disk in repo:site#w repo:site#w/1/d x=repo:site#w/1/d; do
		rm -f copy.raw copy.raw.dm
		sh_exits 0 "set -o pipefail; dm-send --all $disk | dm-write --json copy.raw"
		same d.raw copy.raw
	done
	# stored chunks go as they are, unless they are wanted plain
	dm-send --all repo:site#w >as-stored
	dm-send --all --compress none repo:site#w >plain
	[ "$(stat -c %s as-stored)" -lt $(($(stat -c %s plain) * 8 / 10)) ]
	sh_exits 0 "dm-write --json copy.raw <plain"
	same d.raw copy.raw
}

@test "standard input that asks nothing means everything" {
	sh_exits 0 "set -o pipefail; dm-send d.raw </dev/null | dm-write --json copy.raw"
	same d.raw copy.raw
}

@test "requests are answered each in its place" {
	requests
	sh_exits 0 "dm-send --threads 4 d.raw <req >s"
	dm-json <req | jq -c 'select(.type == "desc") | .index' >asked
	dm-json <s | jq -c 'select(.type == "chunk" or .type == "zero") | .index' >answered
	[ "$(wc -l <answered)" -ge "$(wc -l <asked)" ]
	sort -n answered | cmp - answered
	sh_exits 0 "dm-write --json copy.raw <s"
	same d.raw copy.raw
}

@test "only what is granted is read" {
	requests
	exits 1 dm-send other=d.raw another=d.raw <req
	cp .out s
	says 1 s "does not grant"
	truncate -s 65M d.raw
	exits 1 dm-send d.raw <req
	cp .out s
	says 1 s "d.raw"
}

@test "a file that changed since it was described is refused" {
	requests
	poke d.raw 4096 10
	exits 1 dm-send d.raw <req
	cp .out s
	says 1 s "state"
	sh_exits 0 "dm-send --allow-change d.raw <req >s"
	sh_exits 0 "dm-write --json copy.raw <s"
	same d.raw copy.raw
}

@test "a file that changes while being read is noticed" {
	requests
	n=$(($(stat -c %s req) - 100))
	mkfifo in
	dm-send d.raw <in >s 3>&- &
	pid=$!
	exec 7>in
	head -c $n req >&7
	wait_for test -s s
	poke d.raw 4096 10
	tail -c +$((n + 1)) req >&7
	exec 7>&-
	code=0
	wait $pid || code=$?
	[ $code -eq 4 ]
	says 4 s "changed while being read"
}

@test "requests cut short or damaged" {
	requests
	size=$(stat -c %s req)
	for at in 0 5 16 40 100 $((size / 2)) $((size - 1)); do
		cut_at req $at >cut
		exits 4 dm-send d.raw <cut
	done
	for at in 3 20 44 60 90 150 $((size / 2)) $((size - 5)); do
		flip req $at bad
		exits 3 dm-send d.raw <bad
	done
	cat req req >twice
	exits 3 dm-send d.raw <twice
}

@test "a failure upstream goes on down, once" {
	sh_exits 4 "dm-changed nowhere.raw | dm-describe | dm-send d.raw | dm-write copy.raw >acks"
	one_line dm-changed: nowhere.raw
	says 4 acks nowhere.raw
}

@test "compress says what it takes" {
	for bad in gzip zstd: zstd:0 zstd:99 zstdx; do
		exits 2 dm-send --compress $bad d.raw </dev/null
		one_line dm-send: compress
	done
	exits 2 dm-send --chunk-size 5000 --all d.raw
	one_line dm-send: chunk-size
	exits 2 dm-send x=d.raw x=d.raw </dev/null
}

@test "a reader that goes away: quiet, exit 4" {
	image_random d.raw 8M
	sh_exits 4 'dm-send --all d.raw | head -c 100 >/dev/null; exit ${PIPESTATUS[0]}'
	[ -z "$err" ]
}

@test "a read error stops it and names the place" {
	preload_fault dm-send:pread:5:EIO
	sh_exits 4 "set -o pipefail; dm-send --all d.raw | dm-write --json copy.raw"
	no_fault
	one_line "dm-send: d.raw: read at" "Input/output error"
}

@test "compression that follows the link" {
	yes "a line that is like the others" | head -c 24M >text.raw
	exits 0 dm-send --compress zstd:auto --all text.raw
	dm-send --compress zstd:auto --all text.raw | dm-write copy.raw >/dev/null
	same text.raw copy.raw
	# a line that is slow: what is sent last is small
	dm-send --compress zstd:auto --all text.raw |
		{ for _ in $(seq 40); do head -c 65536; sleep 0.02; done; cat; } | dm-json >slow.json
	[ "$(jq -s 'map(select(.type == "chunk")) | last | .stored' slow.json)" -lt 100000 ]
	exits 2 dm-send --compress zstd:fast --all text.raw
}

@test "what was compressed for the wire is stored as it came, and sent again so" {
	yes "a line that is like the others" | head -c 4M >text.raw
	dm-checkpoint init site
	mkfifo acks
	dm-changed a=text.raw | dm-describe | dm-window --acks acks |
		dm-recv -- dm-send --compress zstd:7 a=text.raw | tee wire |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w site
	dm-recover site w | dm-send repo:site >out
	stored() { dm-json -d <"$1" | jq -c 'select(.type == "chunk") | [.off, .codec, .stored, .data]' | sort; }
	stored wire >one
	stored out >two
	[ "$(wc -l <one)" -eq 4 ]
	same one two
}

durable_twice() {
	dm-json <acks 2>/dev/null | grep -q '"durable","epoch":2,"count":8'
}
@test "--all makes a barrier each interval, and leaves out what a site holds" {
	image_random big.raw 9M
	truncate -s 20M big.raw
	chmod 400 big.raw
	dm-send --all --interval 4M big.raw | dm-json | jq -r 'select(.type == "barrier") | "\(.epoch) \(.count) \(.bytes)"' >b
	[ "$(cat b)" = "$(printf '1 4 4194304\n2 8 8388608')" ]
	dm-send --all big.raw | dm-json >all
	fails grep -q barrier all
	# cut once the second interval is durable
	exits 0 dm-checkpoint init site
	: >acks
	dm-send --all --interval 4M big.raw | { stdbuf -o0 head -c 8800000; wait_for durable_twice; } |
		dm-write repo:site >acks 2>/dev/null || :
	durable_twice
	sh_exits 0 'dm-send --all --resume site big.raw | tee s | dm-write repo:site | dm-checkpoint commit --workload w site'
	[ "$(dm-json <s | jq -r .type | grep -c held)" -ge 8 ]
	sh_exits 0 'dm-recover site w | dm-window | dm-send repo:site | dm-write --json back.raw'
	same big.raw back.raw
	exits 2 dm-send --resume site big.raw <s
}
