# ebs: volumes, against a strict server and with the vendor's own client.
# bats file_tags=long
load ../lib/common
load ../lib/volumes
load ../lib/ebs

setup() { dm_setup; }
teardown() { dm_teardown; }

# 20 MB of data in a gibibyte, some of it at the very end.
disk() {
	truncate -s 1G a.raw
	image_random part 8M
	dd if=part of=a.raw bs=1M seek=3 conv=notrunc status=none
	dd if=part of=a.raw bs=4K seek=100001 conv=notrunc status=none
	poke a.raw 1073741000 700
}

change() {
	poke a.raw 3145728 4096		# in a block the first snapshot has
	poke a.raw 900000000 100	# in one that it lacks
	poke_zero a.raw 5242880 1572864	# blocks that vanish
}

@test "a disk goes there in a full and an incremental snapshot, and comes back from both" {
	local one two root
	ebs_start --page 7
	disk
	ebs_from a.raw ebs:new --state disk=ids
	one=$(ebs_last) root=$(ebs_root)
	[ "$(ebs_stats | jq '.snapshots | length')" = 1 ]
	[ "$(ebs_stats | jq '.snapshots[0].own')" -le 40 ]
	ebs_to "$one" back1.raw
	same a.raw back1.raw
	cp --sparse=always a.raw old.raw

	change
	ebs_from a.raw "ebs:$one" --state disk=ids --base "disk=$root"
	two=$(ebs_last)
	[ "$(ebs_stats | jq -r '.snapshots[-1].parent')" = "$one" ]
	[ "$(ebs_stats | jq '.snapshots[-1].own')" -le 6 ]
	ebs_to "$two" back2.raw
	same a.raw back2.raw
	ebs_to "$one" back1.raw
	same old.raw back1.raw

	# and what differs between the two, both ways
	ebs_to "$two" back1.raw --since "disk=$one"
	[ "$(jq .bytes write.json)" -le 3145728 ]
	same a.raw back1.raw
	ebs_to "$one" back2.raw --since "disk=$two"
	same old.raw back2.raw
}

@test "from EBS into a repository by its own list of changes, and from there into EBS" {
	local one two root
	ebs_start --page 5
	disk
	ebs_from a.raw ebs:new --state disk=ids
	one=$(ebs_last) root=$(ebs_root)
	change
	ebs_from a.raw "ebs:$one" --state disk=ids --base "disk=$root"
	two=$(ebs_last)
	dm-checkpoint init site
	mkfifo acks
	for s in "$one" "$two"; do
		sh_exits 0 "dm-changed $([ "$s" = "$one" ] || echo "--since disk=$one") disk=ebs:$s | dm-describe |
			dm-window --acks acks | dm-recv -- dm-send -j 16 --compress zstd disk=ebs:$s |
			dm-write repo:site | dm-checkpoint commit --acks acks --workload w site"
	done
	[ "$(dm-checkpoint list --json site w | jq -r '[.[].disks[0].source_point] | join(" ")')" = "$one $two" ]
	[ "$(dm-checkpoint list --json site w | jq -r '.[1].kind')" = incremental ]
	dm-restore site w back.raw
	same a.raw back.raw

	sh_exits 0 "dm-recover --at latest site w | dm-window --acks acks | dm-recv -- dm-send repo:site |
		dm-write -j 16 --acks acks disk=ebs:new"
	ebs_to "$(ebs_last)" again.raw
	same a.raw again.raw
}

@test "the vendor's client reads what we wrote, and we what it wrote" {
	local token s i
	ebs_start
	disk
	ebs_from a.raw ebs:new
	s=$(ebs_last)
	aws_cli ebs list-snapshot-blocks --snapshot-id "$s" >list
	[ "$(jq '.Blocks | length' list)" = "$(ebs_stats | jq '.snapshots[0].own')" ]
	i=$(jq '.Blocks[3].BlockIndex' list) token=$(jq -r '.Blocks[3].BlockToken' list)
	aws_cli ebs get-snapshot-block --snapshot-id "$s" --block-index "$i" --block-token "$token" block >/dev/null
	dd if=a.raw bs=524288 skip="$i" count=1 status=none | cmp - block

	s=$(aws_cli ebs start-snapshot --volume-size 1 | jq -r .SnapshotId)
	for i in 0 5 2047; do
		head -c 524288 /dev/urandom >"b$i"
		aws_cli ebs put-snapshot-block --snapshot-id "$s" --block-index $i --block-data "b$i" --data-length 524288 \
			--checksum-algorithm SHA256 --checksum "$(openssl dgst -sha256 -binary "b$i" | base64)" >/dev/null
	done
	aws_cli ebs complete-snapshot --snapshot-id "$s" --changed-blocks-count 3 >/dev/null
	until [ "$(aws_cli ec2 describe-snapshots --snapshot-ids "$s" | jq -r '.Snapshots[0].State')" = completed ]; do :; done
	ebs_to "$s" back.raw
	for i in 0 5 2047; do
		dd if=back.raw bs=524288 skip=$i count=1 status=none | cmp - "b$i"
	done
	[ "$(stat -c %s back.raw)" = 1073741824 ]
}

@test "throttling, errors, resets, damage on the way, late names and old credentials are lived with" {
	local one root
	ebs_start --page 9 --fault throttle=7 --fault error=11 --fault reset=13 --fault badsum=17 --fault short=19 \
		--fault expired=23 --fault early=3 --fault empty=2 --fault late=2 --fault cut=29
	disk
	ebs_from a.raw ebs:new --state disk=ids
	one=$(ebs_last) root=$(ebs_root)
	change
	ebs_from a.raw "ebs:$one" --state disk=ids --base "disk=$root"
	ebs_to "$(ebs_last)" back.raw
	same a.raw back.raw
}

# bats test_tags=plain
@test "16 TiB: changes all over are listed, and a disk is copied, in little memory" {
	ebs_start --huge 1024
	python3 "$DM_LIB/anon_peak.py" 'dm-changed --since disk=snap-huge1 disk=ebs:snap-huge2 | dm-describe >list' >peak
	dm-json <list | tail -n 1 >end
	[ "$(jq -r '"\(.type) \(.bytes)"' end)" = "end $((32768 * 524288))" ]
	awk '$2 > 65536 { print; bad = 1 } END { exit bad }' peak >&2
	ebs_start --huge 262144
	python3 "$DM_LIB/anon_peak.py" 'dm-changed disk=ebs:snap-huge2 | dm-describe | dm-send disk=ebs:snap-huge2 |
		dm-write --json disk=ebs:new >write.json' >peak
	[ "$(ebs_stats | jq -r '.snapshots[0] | "\(.state) \(.size) \(.own)"')" = "completed 16384 127" ]	# the first is zeros
	awk '$2 > 131072 { print; bad = 1 } END { exit bad }' peak >&2
	grep -q '^dm-write ' peak
}

@test "a clock that is wrong by hours, here or there" {
	for clock in 7200 -7200; do
		ebs_start --clock $clock
		disk
		ebs_from a.raw ebs:new
		ebs_to "$(ebs_last)" back.raw
		same a.raw back.raw
	done
}

@test "a connection that never answers is given up and tried again" {
	ebs_start --fault silent=15
	disk
	ebs_from a.raw 'ebs:new?timeout=1'
	sh_exits 0 "dm-changed disk='ebs:$(ebs_last)?timeout=1' | dm-describe |
		dm-send -j 16 disk='ebs:$(ebs_last)?timeout=1' | dm-write --json back.raw"
	same a.raw back.raw
}

@test "bytes that are never those of their checksum are not written" {
	ebs_start --fault badsum=1
	disk
	ebs_from a.raw ebs:new
	sh_exits 4 "dm-changed disk=ebs:$(ebs_last) | dm-describe | dm-send disk=ebs:$(ebs_last) | dm-write --json back.raw"
	one_line "not those of its checksum"
}

@test "two disks of one stream become two snapshots" {
	ebs_start
	disk
	truncate -s 2G b.raw
	poke b.raw 1500000000 5000
	dm-changed a=a.raw b=b.raw | dm-describe | dm-send a=a.raw b=b.raw | dm-write --json a=ebs:new b=ebs:new >two.json
	[ "$(ebs_stats | jq -c '[.snapshots[] | .size] | sort')" = '[1,2]' ]
	for d in a b; do
		ebs_to "$(jq -r ".points.$d" two.json)" "back.$d"
		same "$d.raw" "back.$d"
	done
}

@test "what an iteration that failed or was killed began does not stay pending" {
	local root one
	ebs_start --delay 300
	disk
	image_random more 64M
	dd if=more of=a.raw bs=1M seek=200 conv=notrunc status=none
	# the source ends in the middle
	sh_exits 4 "dm-send --all disk=a.raw | head -c 20M | dm-write --json disk=ebs:new"
	[ "$(ebs_stats | jq '.snapshots | length')" = 0 ]
	# and so does the writer, without a word
	dm-send --all disk=a.raw >stream
	dm-write --json disk=ebs:new <stream >/dev/null 2>&1 &
	wait_for eval '[ "$(ebs_stats | jq ".snapshots[0].own // 0")" -gt 0 ]'
	kill -9 $!
	wait $! || true
	[ "$(ebs_stats | jq -r '.snapshots[0].state')" = pending ]
	dm-write -j 16 --json disk=ebs:new <stream >/dev/null
	[ "$(ebs_stats | jq -r '[.snapshots[].state] | join(" ")')" = completed ]
}

@test "refused: a parent that holds another state, none at all, what is not there" {
	local one two root
	ebs_start
	disk
	ebs_from a.raw ebs:new --state disk=ids
	one=$(ebs_last) root=$(ebs_root)
	change
	ebs_from a.raw "ebs:$one" --state disk=ids --base "disk=$root"
	two=$(ebs_last)
	poke a.raw 0 10
	sh_exits 1 "dm-changed --state disk=ids --base disk=$root disk=a.raw | dm-describe | dm-send disk=a.raw |
		dm-write --json disk=ebs:$two"
	one_line "does not hold the state this iteration starts from"
	sh_exits 1 "dm-changed --state disk=ids --base disk=$root disk=a.raw | dm-describe | dm-send disk=a.raw |
		dm-write --json disk=ebs:new"
	one_line "ebs:snap-"
	exits 1 dm-changed disk=ebs:snap-0123456789abcdef0
	one_line "does not exist"
	exits 1 dm-changed --since disk=snap-0123456789abcdef0 "disk=ebs:$one"
	one_line "does not exist"
	exits 2 dm-changed disk=ebs:vol-1
	one_line "name of a snapshot"
	[ "$(ebs_stats | jq -r '[.snapshots[].state] | join(" ")')" = "completed completed" ]
}

@test "credentials from each place, and no secret in what is said" {
	local s secret=$AWS_SECRET_ACCESS_KEY
	ebs_start
	disk
	ebs_from a.raw ebs:new
	s=$(ebs_last)
	secret=$AWS_SECRET_ACCESS_KEY
	printf '[default]\naws_access_key_id = AKIDTEST\naws_secret_access_key = wrong\n' >aws.credentials
	printf '[other]\naws_access_key_id=AKIDTEST\naws_secret_access_key = %s\n' "$secret" >>aws.credentials
	printf '[profile called]\nregion = eu-west-1\ncredential_process = cat %s\n' "$T/key.json" >aws.config
	printf '{"Version": 1, "AccessKeyId": "AKIDTEST", "SecretAccessKey": "%s"}\n' "$secret" >key.json
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
	exits 1 dm-changed "disk=ebs:$s"
	one_line "InvalidSignatureException"
	[[ $output != *wrong* ]]
	AWS_PROFILE=other dm-changed "disk=ebs:$s" >/dev/null
	dm-changed "disk=ebs:$s?profile=other&region=us-west-2" >/dev/null
	AWS_PROFILE=called dm-changed "disk=ebs:$s" >/dev/null
	rm aws.credentials aws.config
	AWS_CONTAINER_CREDENTIALS_FULL_URI=$ebs_url/container AWS_CONTAINER_AUTHORIZATION_TOKEN=container-token \
		dm-changed "disk=ebs:$s" >/dev/null
	AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=$ebs_url dm-changed "disk=ebs:$s" >/dev/null
	exits 2 dm-changed "disk=ebs:$s"
	one_line "AWS credentials"
	unset AWS_REGION AWS_DEFAULT_REGION
	exits 2 dm-changed "disk=ebs:$s"
	one_line region
	[[ $output != *"$secret"* ]]
}
