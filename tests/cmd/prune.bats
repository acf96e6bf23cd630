# dm-checkpoint prune: what it drops, and that nothing needed is lost while
# writers, readers and SIGKILL are at work.
load ../lib/common
load ../lib/volumes
load ../lib/faults

setup() {
	dm_setup
	image_random a.raw 4M
	truncate -s 16M a.raw
	exits 0 dm-checkpoint init --chunk-size 64K site
}
teardown() { dm_teardown; }

# iteration FILE [WORKLOAD [OPTION...]]: full, through the filters alone.
iteration() {
	dm-send --all --chunk-size 64K vdb="$1" | dm-write repo:site |
		dm-checkpoint commit --workload "${2:-web1}" "${@:3}" site
}

# seqs [WORKLOAD]: the numbers of its checkpoints in one line.
seqs() {
	dm-checkpoint list --json site "${1:-web1}" | jq -r 'map(.seq) | join(" ")'
}

# comes_back AT FILE
comes_back() {
	exits 0 bash -c "set -o pipefail
		dm-recover --at $1 site web1 | dm-send repo:site | dm-write out.raw >/dev/null"
	same "$2" out.raw
	rm -f out.raw out.raw.dm
}

stored() {
	du -sk site/chunks/packs | cut -f1
}

@test "rules" {
	for day in 01 02 03 04 05; do
		iteration a.raw web1 --time 2026-03-${day}T06:00Z
		iteration a.raw web1 --time 2026-03-${day}T18:00Z
	done
	exits 0 dm-checkpoint prune site
	[ "$(seqs)" = "1 2 3 4 5 6 7 8 9 10" ]
	exits 0 dm-checkpoint prune --dry-run --keep-last 2 site
	[ "$(seqs)" = "1 2 3 4 5 6 7 8 9 10" ]
	[ "$(dm-checkpoint prune --dry-run --json --keep-last 7 site | jq -c '[.dropped[].seq]')" = "[1,2,3]" ]
	dm-checkpoint pin site web1 3
	exits 0 dm-checkpoint prune --keep-daily 3 --keep-last 2 site
	[ "$(seqs)" = "3 6 8 9 10" ]
	dm-checkpoint unpin site web1 3
	exits 0 dm-checkpoint prune --keep-within 1s site
	[ "$(seqs)" = "10" ]
	exits 2 dm-checkpoint prune --keep-last 0 site
	exits 2 dm-checkpoint prune --keep-within soon site
	exits 1 dm-checkpoint prune nowhere
}

@test "one workload's checkpoints only" {
	for _ in 1 2; do iteration a.raw; iteration a.raw db1; done
	exits 0 dm-checkpoint prune --keep-last 1 site db1
	[ "$(seqs db1)" = 2 ]
	[ "$(seqs)" = "1 2" ]
}

@test "space comes back, and what is shared stays" {
	iteration a.raw
	cp a.raw b.raw
	poke b.raw 0 2000000
	iteration b.raw
	before=$(stored)
	exits 0 dm-checkpoint prune --keep-last 1 site
	[[ $output == *"1 checkpoints dropped, 1 kept"* ]]
	[ $((before - $(stored))) -gt 1800 ]
	comes_back latest b.raw
	exits 0 dm-checkpoint verify site
	[ "$(dm-checkpoint stats --json site | jq .packs)" -eq 1 ]
}

@test "an interrupted iteration keeps what it has, until it is given up" {
	iteration a.raw
	image_random b.raw 2M
	dm-send --all --chunk-size 64K vdb=b.raw | dm-write repo:site >/dev/null
	exits 0 dm-checkpoint prune --json site
	[ "$(jq -c '[.deleted, .waiting]' .out)" = "[0,0]" ]
	dm-checkpoint abandon site
	exits 0 dm-checkpoint prune --json site
	[ "$(jq .deleted .out)" -ge 32 ]
	exits 0 dm-checkpoint verify site
}

@test "old interrupted iterations are given up by prune" {
	dm-send --all --chunk-size 64K vdb=a.raw | dm-write repo:site >/dev/null
	exits 0 dm-checkpoint prune --json site
	[ "$(jq .abandoned .out)" -eq 0 ]
	sleeping() { [ "$(dm-checkpoint prune --json --abandon-after 1s site | jq .abandoned)" -eq 1 ]; }
	wait_for sleeping
	[ "$(dm-checkpoint sessions --json site)" = "[]" ]
}

@test "a writer at work is not waited for, and loses nothing" {
	iteration a.raw
	image_random b.raw 4M
	iteration b.raw
	# This one finds all of a.raw in checkpoint 1, which goes meanwhile.
	mkfifo gate
	dm-send --all --chunk-size 64K vdb=a.raw | dm-write repo:site >acks.bin 9<>gate &&
		exec 8<acks.bin
	(cat <&8; read -r _ <gate) | dm-checkpoint commit --workload web1 site &
	pid=$!
	joined() { [ "$(dm-checkpoint sessions --json site | jq '.[0].alive')" = true ]; }
	wait_for joined
	exits 0 within 100 dm-checkpoint prune --json --keep-last 1 site
	[ "$(jq '.dropped | length' .out)" -eq 1 ]
	[ "$(jq .deleted .out)" -eq 0 ]
	echo go >gate
	wait $pid
	[ "$(seqs)" = "2 3" ]
	exits 0 dm-checkpoint prune --keep-last 1 site
	comes_back latest a.raw
	exits 0 dm-checkpoint verify site
}

@test "a full disk: the reserve makes prune possible" {
	[ -s site/reserve ]
	size=$(stat -c %s site/reserve)
	fs_mount ext4 small 64M
	exits 0 dm-checkpoint init small/site
	[ "$(stat -c %s small/site/reserve)" -eq "$size" ]
	image_random big.raw 20M
	store() {
		dm-send --all vdb=big.raw | dm-write repo:small/site |
			dm-checkpoint commit --workload web1 small/site
	}
	store
	poke big.raw 0 20971520
	store
	fallocate -l 1G small/filler 2>/dev/null || head -c 1G /dev/zero >small/filler 2>/dev/null || :
	exits 0 dm-checkpoint prune --keep-last 1 small/site
	exits 0 dm-checkpoint verify small/site
	rm small/filler
	[ "$(dm-checkpoint list --json small/site web1 | jq length)" -eq 1 ]
}

@test "files of a directory target go with their checkpoints" {
	fs_mount xfs x 400M
	mkdir x/copies
	for i in 1 2 3; do
		poke a.raw 4096 4096
		dm-send --all --chunk-size 64K vdb=a.raw | dm-write "$PWD/x/copies" |
			dm-checkpoint commit --workload web1 site
	done
	[ "$(ls x/copies/*.raw | wc -l)" -eq 3 ]
	exits 0 dm-checkpoint prune --keep-last 2 site
	[ "$(seqs)" = "2 3" ]
	[ ! -e x/copies/vdb.000001.raw ]
	[ ! -e x/copies/vdb.000001.raw.dm ]
	same a.raw x/copies/vdb.000003.raw
	[ -z "$(ls site/dead)" ]
}

@test "a copy that is written in place is never removed" {
	for i in 1 2; do
		dm-send --all --chunk-size 64K vdb=a.raw | dm-write "vdb=$PWD/copy.raw" |
			dm-checkpoint commit --workload web1 site
	done
	exits 0 dm-checkpoint prune --keep-last 1 site
	[ "$(seqs)" = 2 ]
	same a.raw copy.raw
}

@test "writers, readers, prune and SIGKILL: nothing that is listed is lost" {
	local i seq writer reader
	mkdir kept
	iteration a.raw
	cp a.raw kept/1.raw
	(	# each state is kept before its checkpoint can be seen
		for i in 2 3 4 5 6 7 8 9 10; do
			poke a.raw $((RANDOM * 100)) 70000
			[ $((i % 3)) -ne 0 ] || image_random part$i 300K
			[ $((i % 3)) -ne 0 ] || dd if=part$i of=a.raw bs=64K seek=$i conv=notrunc status=none
			cp a.raw kept/$i.raw
			[ $((i % 4)) -ne 1 ] || cp kept/$((i - 3)).raw kept/$i.raw
			cp kept/$i.raw a.raw
			until iteration a.raw; do :; done
		done
	) >writer.log 2>&1 &
	writer=$!
	(	# A checkpoint may be pruned before dm-recover holds it, or after that has
		# told all and before dm-send holds it.  Then there is nothing, but never
		# anything else than what was kept.
		while kill -0 $writer 2>/dev/null; do
			seq=$(seqs | tr ' ' '\n' | shuf -n 1)
			if (set -o pipefail
			    dm-recover --at "$seq" site web1 | dm-send repo:site | dm-write r.raw) >/dev/null 2>reader.err
			then cmp kept/"$seq".raw r.raw || exit 1
			else grep -Eq 'pruned|is not there|has no checkpoint' reader.err || { cat reader.err; exit 1; }
				! dm-checkpoint show --at "$seq" site web1 >/dev/null 2>&1 || { cat reader.err; exit 1; }
			fi
			rm -f r.raw r.raw.dm
		done
	) >reader.log 2>&1 &
	reader=$!
	while kill -0 $writer 2>/dev/null; do
		timeout -s KILL "0.$(printf %03d $((RANDOM % 300)))" \
		    dm-checkpoint prune --keep-last 3 site >/dev/null 2>&1 || :
	done
	wait $writer || die "writer: $(cat writer.log)"
	wait $reader || die "reader: $(cat reader.log)"
	exits 0 dm-checkpoint verify site
	for seq in $(seqs); do comes_back "$seq" kept/"$seq".raw; done
	exits 0 dm-checkpoint prune --keep-last 1 site
	exits 0 dm-checkpoint prune --keep-last 1 site
	exits 0 dm-checkpoint verify site
	[ "$(seqs)" = 10 ]
	comes_back 10 kept/10.raw
	exits 0 dm-checkpoint reindex site
	exits 0 dm-checkpoint verify site
	comes_back 10 kept/10.raw
}
# Every other step, of instrumented programs every fourth, so that a few runs
# meet all of them.
@test "prune is killed or fails at its steps" {
	local n total i how stride=2
	case $DM_BUILD in *-address*) stride=4 ;; esac
	iteration a.raw
	cp a.raw 1.raw
	for i in 2 3 4 5; do
		poke a.raw $((i * 300000)) 400000
		iteration a.raw
		cp a.raw $i.raw
	done
	dm-checkpoint pin site web1 1	# what is noted of 2 to 4 must link 5 to it
	dm-send --all --chunk-size 64K vdb=1.raw | dm-write repo:site >/dev/null
	dm-checkpoint abandon site
	small_fs ram 256M		# syncs cost nothing there
	mv site a.raw [1-5].raw ram
	cd ram
	mv site start
	cp -r start site
	export DM_FAULT_COUNT=$PWD/count
	preload_fault none:any:1:EIO
	dm-checkpoint prune --keep-last 1 site >/dev/null
	no_fault
	[ "$(cut -d' ' -f1 site/catalog/web1/pruned | tr '\n' ' ')" = "2-4 2 4 " ]
	total=$(awk '$1 == "dm-checkpoint" { print $2 }' count)
	[ "$total" -gt 20 ]
	for ((n = 1 + RANDOM % stride; n <= total; n += stride)); do
		for how in KILL EIO; do
			[ $how = KILL ] || [ $((RANDOM % 4)) -eq 0 ] || continue
			rm -rf site
			cp -r start site
			preload_fault dm-checkpoint:any:$n:$how
			dm-checkpoint prune --keep-last 1 site >/dev/null 2>&1 || :
			no_fault
			exits 0 dm-checkpoint verify site
			exits 0 dm-checkpoint prune --keep-last 1 site
			[ "$(seqs)" = "1 5" ]
			[ "$(cut -d' ' -f1 site/catalog/web1/pruned | tr '\n' ' ')" = "2-4 2 4 " ]
			exits 0 dm-checkpoint verify site
			comes_back 5 5.raw
		done
	done
	comes_back 1 1.raw
	cd ..
}

@test "records that are moved are not lost when another takes their new pack in first" {
	local prune
	cp a.raw 1.raw
	iteration 1.raw
	image_random 2.raw 4M
	iteration 2.raw
	[ "$(find site/chunks/packs -name '*.pack' | wc -l)" -eq 2 ]
	# both are small, and become one, which has its name, and is not in the index
	preload_fault dm-checkpoint:renameat:1:STOP
	dm-checkpoint prune site >/dev/null 3>&- &
	prune=$!
	no_fault
	wait_for grep -q '^State:.T' "/proc/$prune/status"
	[ "$(find site/chunks/packs -name '*.pack' | wc -l)" -eq 3 ]
	exits 0 dm-checkpoint stats site
	kill -CONT "$prune"
	wait "$prune"
	[ "$(find site/chunks/packs -name '*.pack' | wc -l)" -eq 1 ]
	comes_back 1 1.raw
	comes_back 2 2.raw
	exits 0 dm-checkpoint prune site
	comes_back 2 2.raw
	exits 0 dm-checkpoint verify site
}

@test "a prune that died between hiding and listing does not let the next delete too early" {
	iteration a.raw
	image_random b.raw 4M
	iteration b.raw
	image_random c.raw 1M
	iteration c.raw
	mkfifo gate
	exec 7<>gate
	# Somebody is at work while the first prune runs, and then is not.
	dm-send --all --chunk-size 64K vdb=c.raw | dm-write repo:site >c.acks
	(cat c.acks; read -r _ <&7) | dm-checkpoint commit --workload db1 site 3>&- &
	wait_for eval '[ "$(dm-checkpoint sessions --json site | jq ".[0].alive")" = true ]'
	exits 0 dm-checkpoint prune --json --keep-last 2 site web1
	[ "$(jq .waits_for .out)" -eq 1 ]
	echo >&7
	wait $!
	# A writer that has found content of checkpoint 2, and says so nowhere yet.
	dm-send --all --chunk-size 64K vdb=b.raw >b.chunks
	(head -c 3000000 b.chunks; read -r _ <&7; tail -c +3000001 b.chunks) | dm-write repo:site >b.acks 3>&- &
	writer=$!
	wait_for eval '[ "$(stat -c %s b.acks)" -gt 2000 ]'
	preload_fault dm-checkpoint:renameat:3:KILL	# before: what was pruned is noted, small packs merged
	exits 137 dm-checkpoint prune --keep-last 1 site web1
	no_fault
	[ "$(seqs)" = 3 ]
	exits 0 dm-checkpoint prune --json --keep-last 1 site web1
	[ "$(jq .waits_for .out)" -eq 1 ]
	echo >&7
	wait $writer
	exits 0 dm-checkpoint commit --workload web1 site <b.acks
	comes_back latest b.raw
	exits 0 dm-checkpoint verify site
}
