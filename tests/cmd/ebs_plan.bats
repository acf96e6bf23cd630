# ebs: in plans: targets of dm-replicate, instances as sources, retention.
# bats file_tags=plain,long
load ../lib/common
load ../lib/volumes
load ../lib/ebs

setup() { dm_setup; }
teardown() { dm_teardown; }

# A gibibyte with some data, to a snapshot.
disk() {
	truncate -s 1G "$1"
	image_random part 6M
	dd if=part of="$1" bs=1M seek=3 conv=notrunc status=none
	dd if=part of="$1" bs=4K seek=100001 conv=notrunc status=none
}

# plan [FILTER]: file a.raw into EBS.
plan() {
	[ -d site ] || dm-checkpoint init site
	jq -n --arg t "$T" '{site: "\($t)/site", workloads: [{name: "w", retention: {last: 2}, disks: [
		{name: "a", volume: "\($t)/a.raw", state: "\($t)/a.ids", fallback: "full", target: "ebs:new?timeout=20"}]}]} | '"${1:-.}" >plan.json
}
ids() { ebs_stats | jq -r '[.snapshots[] | select(.tags["dm:owner"] and .state == "completed") | .id] | sort | join(" ")'; }
named() { dm-checkpoint list --json site w | jq -r '[.[].disks[0].point] | sort | join(" ")'; }

@test "each checkpoint is a snapshot on top of the last one, and goes with it" {
	local i parent=null
	ebs_start --describe 5
	disk a.raw
	plan
	for i in 1 2 3 4; do
		exits 0 dm-replicate --now --verbose plan.json
		[[ $output == "w: checkpoint $i, "* ]]
		[ "$(ids)" = "$(named)" ]
		# deleting a parent gives its blocks to the next one
		[ "$i" -gt 2 ] || [ "$(ebs_stats | jq -r '.snapshots[-1].parent')" = "$parent" ]
		parent=$(ebs_last)
		[ "$i" -eq 1 ] || [ "$(ebs_stats | jq '.snapshots[-1].own')" -le 2 ]
		ebs_to "$parent" back.raw
		same a.raw back.raw
		poke a.raw $((i * 70000000)) 5000
	done
	[ "$(wc -w <<<"$(ids)")" -eq 2 ]
}

@test "an iteration that was killed goes on with the same snapshot" {
	local before
	ebs_start --delay 300
	disk a.raw
	image_random more 40M
	dd if=more of=a.raw bs=1M seek=500 conv=notrunc status=none
	chmod 0400 a.raw
	plan '.workloads[0].disks[0] |= (del(.state) | .tracker = "full") | .workloads[0].interval = "4M" | .workloads[0].window = "8M"'
	setsid dm-replicate --now plan.json >/dev/null 2>&1 &
	begun() { [ "$(ebs_stats | jq '.stats["PUT blocks"] // 0')" -ge 30 ]; }
	wait_for begun
	kill -KILL -- -$!
	wait $! || true
	gone() { ! pgrep -g "$!" >/dev/null; }
	wait_for gone
	[ "$(ebs_stats | jq -r '[.snapshots[].state] | join(" ")')" = pending ]
	before=$(ebs_stats | jq '.snapshots[0].own')
	[ "$before" -lt 105 ]
	exits 0 dm-replicate --now plan.json
	[ "$(ebs_stats | jq -r '[.snapshots[].state] | join(" ")')" = completed ]
	[ "$(ebs_stats | jq '.snapshots[0].own')" -eq 105 ]
	# nothing that was put was put again, but what was under way
	[ "$(ebs_stats | jq '.stats["PUT blocks"]')" -le $((105 + 40)) ]
	[ "$(ids)" = "$(named)" ]
	ebs_to "$(ebs_last)" back.raw
	same a.raw back.raw

	# Another snapshot than the journal's, or none: from the beginning.
	[ "$(stat -c %s site/open/w=a)" -eq 0 ]
}

@test "a pending snapshot that is not there any more is not gone on with" {
	ebs_start --delay 150
	disk a.raw
	chmod 0400 a.raw
	plan '.workloads[0].disks[0] |= (del(.state) | .tracker = "full") | .workloads[0].interval = "2M" | .workloads[0].window = "4M"'
	setsid dm-replicate --now plan.json >/dev/null 2>&1 &
	some() { [ "$(ebs_stats | jq '.snapshots[0].own // 0')" -ge 8 ]; }
	wait_for some
	kill -KILL -- -$!
	wait $! || true
	gone() { ! pgrep -g "$!" >/dev/null; }
	wait_for gone
	aws_cli ec2 delete-snapshot --snapshot-id "$(ebs_last)"
	dm-replicate --now plan.json || dm-replicate --now plan.json
	[ "$(ids)" = "$(named)" ]
	ebs_to "$(ebs_last)" back.raw
	same a.raw back.raw
}

@test "a snapshot that no checkpoint names goes; one that is newer, in use, or another's stays" {
	local one orphan root
	ebs_start
	disk a.raw
	plan
	exits 0 dm-replicate --now plan.json
	one=$(ids)
	# complete, but the commit never came
	root=$(ebs_root)
	poke a.raw 0 100
	dm-changed --workload w --state a=other --full a a=a.raw | dm-describe | dm-send a=a.raw |
		dm-write --json "a=ebs:new?owner=$(jq -r .id site/config)" >/dev/null
	orphan=$(ebs_last)
	dm-changed --workload w --full a a=a.raw | dm-describe | dm-send a=a.raw |
		dm-write --json "a=ebs:new?owner=another" >/dev/null
	target=a=ebs:new?owner=$(jq -r .id site/config)
	exits 0 dm-checkpoint prune --target "$target" --json site w
	[ "$(jq .points.removed <<<"$output")" = 0 ]	# the newest known is older
	exits 0 dm-replicate --now plan.json
	fails grep -qF "$orphan" <<<"$(ids)"
	[ "$(ebs_stats | jq '.snapshots | length')" -eq 3 ]
	# an image is made of the oldest
	aws_cli ec2 register-image --name used --root-device-name /dev/xvda --architecture x86_64 --virtualization-type hvm \
		--block-device-mappings "DeviceName=/dev/xvda,Ebs={SnapshotId=$one}" >image
	exits 0 dm-checkpoint prune --keep-last 1 --target "$target" site w
	[[ $output == *"1 are left for the next time: $one: "*InvalidSnapshot.InUse* ]]
	aws_cli ec2 deregister-image --image-id "$(jq -r .ImageId image)"
	exits 0 dm-checkpoint prune --keep-last 1 --target "$target" --dry-run site w
	[[ $output == *"1 points of other targets would go"* ]]
	exits 0 dm-checkpoint prune --keep-last 1 --target "$target" site w
	[ "$(ebs_stats | jq '.snapshots | length')" -eq 2 ]
	[ "$(ids | tr ' ' '\n' | grep -cF "$(named)")" -eq 1 ]
	exits 2 dm-checkpoint prune --target "$target" site
	one_line 'needs a workload'
	exits 2 dm-checkpoint prune --target a=file:x site w
	one_line 'no points of its own'
}

@test "the site knows the ids of it all, also of blocks that changed in part: a scan finds what differs" {
	local i
	ebs_start
	disk a.raw
	plan '.workloads[0].disks[0] |= (.fallback = "scan")'
	for i in 1 2 3; do
		exits 0 dm-replicate --now plan.json
		[ "$(dm-checkpoint list --json site w | jq -r 'last.disks[0] | "\(.partial) \(.tree == .root)"')" = "null true" ]
		poke a.raw $((3145728 + i * 1000000)) 5000	# over two leaves, in part
		poke a.raw $((i * 300000000)) 100	# where there was nothing
		poke_zero a.raw $((i * 1000000 + 4194304)) 70000
	done
	plan '.workloads[0].disks[0] |= del(.state)'
	exits 0 dm-replicate --now --verbose plan.json
	[[ $output == "w: checkpoint 4, incremental"* ]]
	[ "$(ebs_stats | jq '.snapshots[-1].own')" -le 8 ]
	rm a.ids
	poke a.raw 77 7
	plan '.workloads[0].disks[0].fallback = "scan"'
	exits 0 dm-replicate --now --verbose plan.json
	[[ $output == *"checkpoint 5, incremental"* && $err == *"falling back to scan"* ]]
	[ "$(ebs_stats | jq '.snapshots[-1].own')" -le 2 ]
	ebs_to "$(ebs_last)" back.raw
	same a.raw back.raw
}

@test "a parent that somebody deleted: a full one, as the plan allows" {
	ebs_start
	disk a.raw
	plan
	exits 0 dm-replicate --now plan.json
	aws_cli ec2 delete-snapshot --snapshot-id "$(ebs_last)"
	poke a.raw 0 100
	exits 0 dm-replicate --now --verbose plan.json
	[[ $output == "w: checkpoint 2, full"* && $err == *"falling back to full"* ]]
	ebs_to "$(ebs_last)" back.raw
	same a.raw back.raw
}

@test "an instance's volumes into a repository, back into EBS, and into another region" {
	local old
	ebs_start
	disk a.raw
	disk b.raw
	ebs_instance i-0aa /dev/xvda="$T/a.raw" /dev/sdf="$T/b.raw" /dev/sdg="$T/a.raw"
	plan '.workloads = [{name: "w", source: {kind: "ebs", instance: "i-0aa", region: "us-east-1"}, disks: [
		{name: "a", volume: "/dev/xvda"}, {name: "b", volume: "sdf"}]}]'
	exits 0 dm-replicate --now --verbose plan.json
	[[ $output == *"checkpoint 1, full"*"(/dev/sdg) of i-0aa is not replicated"* ]]
	[ "$(ebs_stats | jq '.snapshots | length')" -eq 2 ]
	old=$(ebs_stats | jq -c '[.snapshots[].id]')
	poke a.raw 3145728 100
	poke_zero b.raw 5242880 1572864
	exits 0 dm-replicate --now --verbose plan.json
	[[ $output == *"checkpoint 2, incremental"* ]]
	# one call made both, and those that are no base any more are gone
	[ "$(ebs_stats | jq -r '[.snapshots[].tags["dm:point"]] | unique | length')" -eq 1 ]
	[ "$(ebs_stats | jq -c --argjson old "$old" '[.snapshots[] | select(.id | IN($old[]))]')" = '[]' ]

	# recovery: into snapshots of this server, and of another one
	exits 0 dm-restore --json site w a=ebs:new b="ebs:new?region=eu-west-1"
	jq .points .out >points
	for d in a b; do
		ebs_to "$(jq -r ".$d" points)" "back.$d"
		same "$d.raw" "back.$d"
	done
	# from one region's snapshot into another's
	one=$(jq -r .a points) there=$ebs_url
	ebs_start
	dm-changed "a=ebs:$one?endpoint=$there" | dm-describe | dm-send -j 16 "a=ebs:$one?endpoint=$there" |
		dm-write -j 16 --json "a=ebs:new?region=us-east-1" >write.json
	ebs_to "$(jq -r .points.a write.json)" over.raw
	same a.raw over.raw
}

@test "what a plan cannot say of EBS" {
	ebs_start
	disk a.raw
	plan '.workloads[0].disks[0].target = "ebs:snap-123"'
	exits 2 dm-replicate --now plan.json
	one_line 'known from the catalog'
	plan '.workloads[0] |= (.source = {kind: "ebs"} | .disks[0].volume = "/x/y")'
	exits 2 dm-replicate --now plan.json
	[[ $err == *"source.instance: is missing"* ]]
	plan '.workloads[0] |= (.source = {kind: "ebs", instance: "i-1"} | .disks[0].volume = "/x/y.raw")'
	exits 2 dm-replicate --now plan.json
	one_line 'a volume or a device of the instance'
}

@test "points: what is not there, and what is in the way" {
	ebs_start
	disk a.raw
	ebs_instance i-0aa /dev/xvda="$T/a.raw"
	exits 1 dm-point-ebs --instance i-0aa --owner w hold a=/dev/sdz </dev/null
	one_line 'i-0aa has no volume "/dev/sdz" (it has: /dev/xvda vol-'
	exits 4 dm-point-ebs --instance i-0bb --owner w hold a=/dev/xvda </dev/null
	one_line 'DescribeInstances: InvalidInstanceID.NotFound'
	exits 2 dm-point-ebs --instance x --owner w hold a=/dev/xvda
	exits 0 dm-point-ebs --instance i-0aa --owner w --base a=snap-0123456789abcdef0 hold a=xvda </dev/null
	[ "$(jq -r '.disks[0] | "\(.since) \(.why)"' <<<"$output")" = "null there is no snapshot snap-0123456789abcdef0" ]
	point=$(jq -r .point <<<"$output")
	# nobody said how it went: it is there to be gone on with, and then to be cleaned
	exits 0 dm-point-ebs --instance i-0aa --owner w --resume "a=$point" hold a=xvda </dev/null
	[ "$(jq -r .point <<<"$output")" = "$point" ]
	exits 0 dm-point-ebs --instance i-0aa --owner w --all clean a=xvda
	[ "$(ebs_stats | jq '.snapshots | length')" -eq 0 ]
}
