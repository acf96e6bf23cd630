# Trees of ids for targets outside of the chunk store: dm-write --site.
load ../lib/common
load ../lib/pipeline
load ../lib/volumes
load ../lib/nbd
load ../lib/faults

setup() {
	dm_setup
	test_drivers
	image_random a.raw 6M
	truncate -s 19000000 a.raw
	poke a.raw 18999000 1000
	site
}
teardown() { dm_teardown; }

# write CHANGED TARGET [OPTION...]: an iteration of w, of a.raw, onto TARGET.
write() {
	local changed=$1 target=$2
	shift 2
	pipeline "${CODE:-0}" "$changed d=a.raw | dm-describe | dm-window --acks acks --resume site |
		dm-recv -- dm-send --compress zstd d=a.raw |
		dm-write --site site $* 'd=$target' |
		dm-checkpoint commit --acks acks --workload w site"
}
full() { write "dm-changed" "$@"; }
scan() { write "dm-recover --ids site w | dm-changed --against -" "$@"; }
# mapped TARGET...: what the file ext says.
mapped() { write "dm-changed --extents ext --base-point '$(disk .source_point)'" "$@"; }
# disk FILTER: of the newest record.
disk() { record site w ".disks[0] | $1"; }
# root_of FILE: by a scan.
root_of() {
	dm-changed --state "$T/state.$RANDOM$RANDOM" "d=$1" |
		dm-json | jq -r 'select(.type == "final").root'
}

@test "a file's ids: --against, --audit, --since by root, the proof, verify" {
	full "file:$T/c.raw"
	same a.raw c.raw
	[ "$(disk .tree)" = "blake3:$(root_of a.raw)" ]
	[ "$(disk .root)" = "$(disk .tree)" ]
	[ "$(disk .partial)" = null ]
	# 4 KiB and less in leaves of their own, in one, over an edge, in the tail and
	# in a hole
	poke a.raw 1000 10
	poke a.raw 1200000 4096
	poke a.raw 1300000 70000
	poke a.raw 3145700 200
	poke a.raw 9000000 512
	poke a.raw 18999900 100
	dd if=/dev/zero of=a.raw bs=1M seek=4 count=1 conv=notrunc status=none
	scan "file:$T/c.raw"
	same a.raw c.raw
	[ "$(disk .tree)" = "blake3:$(root_of a.raw)" ]
	[ "$(record site w .kind)" = incremental ]
	# other ways to the ids
	exits 0 dm-changed --against repo:site#w d=a.raw
	poke a.raw 5000000 1
	dm-changed --against repo:site#w d=a.raw | dm-json | jq -es '[.[] | select(.type == "extent")] | length == 1' >/dev/null
	# the store has no content of it
	dm-checkpoint stats --json site | jq -e '.types.chunk.records == 0 and .types.leaves.records > 5 and
		.disks == 0 and .unique == 0' >/dev/null
	exits 1 dm-recover site w
	one_line "read it from there"
	exits 1 dm-send --all d=repo:site#w
	one_line "keeps disk d elsewhere"
	exits 1 dm-checkpoint export site w out.tar
	exits 0 dm-checkpoint verify site
	[[ $output == *"1 disks outside of the chunk store were read back"* ]]
}

@test "fragments without a scan: what is not sent is read back" {
	full "file:$T/c.raw"
	cp a.raw b.raw
	poke a.raw 2100000 4096
	poke a.raw 2300000 300
	poke a.raw 18999999 1
	printf '%s\n' "2100000 4096" "2300000 300" "18999999 1" >ext
	mapped "log+file:$T/c.raw?log=$T/calls"
	same a.raw c.raw
	[ "$(disk .tree)" = "blake3:$(root_of a.raw)" ]
	# a leaf for each piece, and no more
	[ "$(grep -c '^read' calls)" -eq 3 ]
	awk '/^read/ { if ($3 > 65536) exit 1 }' calls
}

@test "what the target did not hold shows before it is complete" {
	write "dm-changed --state st" "file:$T/c.raw"
	before=$(stat -c %y c.raw)
	poke c.raw 1210000 1
	touch -d "$before" c.raw
	poke a.raw 1200000 4096
	CODE=1 write "dm-changed --state st" "file:$T/c.raw"
	[[ $output == *"what was written is not what the source read"* ]]
	[ "$(checkpoints site w)" -eq 1 ]
}

@test "verify names what differs in a file that should not" {
	fs_mount xfs x 320M
	mkdir x/disks
	full "$T/x/disks"
	poke a.raw 1200000 4096
	scan "$T/x/disks"
	exits 0 dm-checkpoint verify --json site
	jq -e '.ok and .reread == 2 and .outside == 0' <<<"$output" >/dev/null
	chmod u+w x/disks/d.000001.raw
	poke x/disks/d.000001.raw 3200000 1
	poke x/disks/d.000001.raw 5200000 1
	exits 1 dm-checkpoint verify site
	[[ $output == *"affected: w checkpoint 1, disk d: "*"2 chunks are not what was written, the first at 3145728"* ]]
	[[ $output != *"checkpoint 2,"* ]]
	rm x/disks/d.000002.raw
	exits 1 dm-checkpoint verify --json site
	jq -e '.affected | length == 2' <<<"$(sed '/^dm-/d' <<<"$output")" >/dev/null
	# prune keeps the tree of what is left, and no more
	exits 0 dm-checkpoint prune --keep-last 1 site
	exits 0 dm-recover --ids site w
}

@test "what an iteration left that was killed before its checkpoint goes with prune" {
	local i
	fs_mount xfs x 320M
	mkdir x/disks
	full "$T/x/disks"
	poke a.raw 1200000 4096
	for i in 2 3; do
		preload_fault dm-checkpoint:linkat:1:KILL	# its file is there, its record is not
		CODE=137 scan "$T/x/disks"
		no_fault
		[ "$(checkpoints site w)" -eq 1 ]
		[ -e "x/disks/d.00000$i.raw" ]
	done
	# it may yet become one
	exits 0 dm-checkpoint prune site
	[ "$(ls x/disks/*.raw | wc -l)" -eq 3 ]
	scan "$T/x/disks"
	[ "$(disk .point)" = "$T/x/disks/d.000004.raw" ]
	# not ours to judge: of no site, of another, and changed since
	cp x/disks/d.000003.raw.dm dm
	for i in 'del(.site)' '.site = "00000000000000000000000000000000"' '.identity += "1"'; do
		rm x/disks/d.000003.raw.dm
		jq "$i" dm >x/disks/d.000003.raw.dm
		exits 0 dm-checkpoint prune --dry-run --json site
		[ "$(jq .orphans <<<"$output")" -eq 1 ]
	done
	cp dm x/disks/d.000003.raw.dm
	# a checkpoint whose record is lost is none
	mv site/catalog/w/1.json lost
	exits 0 dm-checkpoint prune --dry-run --json site
	[ "$(jq .orphans <<<"$output")" -eq 0 ]
	mv lost site/catalog/w/1.json
	exits 0 dm-checkpoint prune site
	[[ $output == *"2 files that became no checkpoint removed"* ]]
	[ "$(cd x/disks && echo d.*.raw d.*.dm)" = "d.000001.raw d.000004.raw d.000001.raw.dm d.000004.raw.dm" ]
	same a.raw x/disks/d.000004.raw
	# also when checkpoints were dropped before
	poke a.raw 2200000 4096
	preload_fault dm-checkpoint:linkat:1:KILL
	CODE=137 scan "$T/x/disks"
	no_fault
	scan "$T/x/disks"
	exits 0 dm-checkpoint prune --keep-last 1 site
	[[ $output == *"2 checkpoints dropped, 1 kept"*"1 files that became no checkpoint removed"* ]]
	[ "$(cd x/disks && echo d.*)" = "d.000006.raw d.000006.raw.dm" ]
	same a.raw x/disks/d.000006.raw
	exits 0 dm-checkpoint verify site
}

@test "a base without a tree: ids become known as chunks are written" {
	pipeline 0 "dm-changed d=a.raw | dm-describe | dm-window --acks acks |
		dm-recv -- dm-send d=a.raw | dm-write d=c.raw |
		dm-checkpoint commit --acks acks --workload w site"
	[ "$(disk .tree)" = null ]
	exits 1 dm-recover --ids site w
	one_line "not in the chunk store"
	poke a.raw 1200000 4096
	echo "1200000 4096" >ext
	mapped c.raw
	[ "$(disk .partial)" = true ]
	[ "$(disk .root)" = null ]
	[ "$(disk .tree)" != null ]
	# unknown is not "unchanged", not even zeros, and no reason for an alarm
	dm-recover --ids site w | dm-changed --against - --audit 100% d=a.raw | dm-json |
		jq -es '[.[] | select(.type == "extent") | .len] | add | . > 17000000 and . < 18999000' >/dev/null
	# all of it, found by that scan: now it is whole
	scan c.raw
	same a.raw c.raw
	[ "$(disk .partial)" = null ]
	[ "$(disk .tree)" = "blake3:$(root_of a.raw)" ]
	exits 0 dm-checkpoint verify site
}

@test "a disk that grows, and one that shrinks, in a chunk that nobody sent" {
	full "file:$T/c.raw"
	for size in 20500123 17000001; do
		truncate -s "$size" a.raw
		poke a.raw 0 10
		echo "0 10" >ext
		mapped "file:$T/c.raw"
		same a.raw c.raw
		[ "$(disk .tree)" = "blake3:$(root_of a.raw)" ]
		[ "$(disk .partial)" = null ]
	done
}

@test "an NBD export, of an encrypted site" {
	exits 0 dm-checkpoint key new k
	export DM_KEY_FILE=$T/k
	rm -rf site
	exits 0 dm-checkpoint init --encrypt site
	truncate -s 19000000 n.raw
	nbd_qemu sock -f raw n.raw
	full "$uri&record=$T/rec"
	poke a.raw 1200000 4096
	scan "$uri&record=$T/rec"
	[ "$(disk .tree)" = "blake3:$(root_of a.raw)" ]
	exits 0 dm-checkpoint verify site
	fails grep -qaF "$(head -c 12 a.raw | tr -d '\0')" -r site/chunks
	exits 0 dm-checkpoint prune --keep-last 1 site
	exits 0 dm-recover --ids site w
}

@test "refused: another chunk size, some disks in a repository" {
	exits 0 dm-checkpoint init --chunk-size 64K small
	sh_exits 1 "dm-send --all d=a.raw | dm-write --json --site small d=c.raw"
	one_line "--chunk-size 65536"
	sh_exits 2 "dm-send --all d=a.raw e=a.raw | dm-write --json --site site d=c.raw e=repo:site"
	one_line "in a repository"
	sh_exits 0 "dm-send --all d=a.raw | dm-write --site site repo:site | dm-checkpoint commit --workload w site"
	[ "$(disk .tree)" = null ]
	exits 0 dm-recover site w
}

# interrupted TARGET: a copy of a.raw that is cut in its fourth epoch, when the
# third is durable.
durable() { dm-json <acked 2>/dev/null | grep -q '"durable","epoch":3'; }
interrupted() {
	: >acked
	dm-send --all --interval 2M d=a.raw | { stdbuf -o0 head -c 7000000; wait_for durable; } |
		dm-write --site site "d=$1" >acked 2>/dev/null || :
	durable
}
# copy TARGET: once more, with what is held left out; the types of its frames.
copy() {
	sh_exits 0 "dm-send --all --interval 2M --resume site d=a.raw | tee chunks | dm-write --site site 'd=$1' |
		dm-checkpoint commit --workload w site"
	dm-json <chunks | jq -rs 'map(select(.type | IN("chunk", "held", "barrier"))) |
		group_by(.type)[] | "\(.[0].type) \(length)"' | xargs
}

@test "an interrupted copy goes on: in place, in a directory, on a device" {
	image_random a.raw 12M
	truncate -s 40M a.raw
	chmod 400 a.raw
	fs_mount xfs x 320M
	truncate -s 40M dev.img
	image_random noise 40M
	cp noise dev.img
	loop_attach dev.img
	for target in "file:$T/c.raw" "$T/x" "file:$loop?record=$T/rec"; do
		interrupted "$target"
		[[ $(copy "$target") =~ ^"barrier "[23]" chunk "([0-9]+)" held "([0-9]+)$ ]]
		[ $((BASH_REMATCH[1] + BASH_REMATCH[2])) -eq 12 ]
		[ "${BASH_REMATCH[2]}" -ge 6 ]
		case $target in
		*c.raw) same a.raw c.raw ;;
		"$T/x") same a.raw x/d.000001.raw ;;
		*) same a.raw "$loop" ;;
		esac
		exits 0 dm-checkpoint verify site
		[ -z "$(ls site/open)" ]
		rm -rf site
		exits 0 dm-checkpoint init site
	done
}

@test "what is gone, or may be of another state, is not held" {
	image_random a.raw 12M
	chmod 400 a.raw
	interrupted "file:$T/c.raw"
	cp -r site site2
	# the file that the session names is another one now
	rm c.raw
	sh_exits 1 "dm-send --all --resume site d=a.raw | dm-write --site site --json d=file:$T/c.raw"
	one_line "said to be here from an interrupted iteration, but it is not"
	[ "$(copy "file:$T/c.raw")" = "barrier 6 chunk 12" ]
	same a.raw c.raw
	# a source that is not frozen
	rm -rf site c.raw c.raw.dm
	exits 0 dm-checkpoint init site
	chmod 600 a.raw
	interrupted "file:$T/c.raw"
	[ "$(copy "file:$T/c.raw")" = "barrier 6 chunk 12" ]
	same a.raw c.raw
}
