# Recovery in EC2: dm-provider-ec2(1), against a strict server; and with
# DM_EC2=moto on moto_server, which nobody here wrote (of PyPI; the distribution
# has no package of it, so this is done by hand: DM_EC2=moto tests/run ec2.bats).
# bats file_tags=plain,long
load ../lib/common
load ../lib/volumes
load ../lib/ebs

setup() { dm_setup; }
teardown() { dm_teardown; }

# request SNAPSHOT [FILTER]: two disks, of which the second one is booted.
request() {
	jq -n --arg t "$T" --arg s "ebs:$1" '{format: 1, timeout: 60, mode: "hard", machine: {name: "web", run: "r1", directory: "\($t)/m",
		memory: 1073741824, cpus: 2, machine: "t3.medium", firmware: "uefi", isolated: false, validate: [],
		options: {region: "us-east-1", poll: 0.1, security_groups: ["sg-0aaa"], test: {subnet: "subnet-0bbb", security_groups: ["sg-0bbb"]}},
		disks: [{name: "b", volume: $s, boot: 2, size: 1}, {name: "a", volume: "\($s)?region=x", boot: 1, size: 1}],
		networks: [{name: "lan", kind: "network", source: "subnet-0aaa", address: "10.1.0.77"}, {name: "data", kind: "network", source: "subnet-0aaa"}]}} |
		'"${2:-.}" >request
}
verb() { exits "$1" within 120 sh -c "dm-provider-ec2 $2 <request"; }
quota() {
	jq '{format, timeout, machines: [.machine]}' request >q
	exits "$1" within 120 sh -c "dm-provider-ec2 quota <q"
}
state() { aws_control "$ebs_url/_state" | jq -r "$1"; }

snapshot() {
	truncate -s 1G a.raw
	poke a.raw 0 5000
	ebs_from a.raw ebs:new
	ebs_last
}

@test "each verb twice is as once, and destroy leaves nothing but the disks" {
	ebs_start
	request "$(snapshot)"
	for v in create create network start start wait; do
		verb 0 $v
	done
	[ "$(jq -c '[.addresses[] | [.network, .ip]]' <<<"$output")" = '[["lan","10.1.0.77"],["data","10.1.0.4"]]' ]
	[ "$(state '.instances | length')" = 1 ]
	[ "$(state '.nics | length')" = 2 ]
	[ "$(state '.images[] | [.root, .boot, (.disks | keys | join(" "))] | join(" ")')" = "/dev/xvda uefi /dev/sdf /dev/xvda" ]
	[ "$(state '.instances[] | [.type, .tags["dm:machine"], (.nics | length)] | join(" ")')" = "t3.medium r1/web 2" ]
	[ "$(state '[.nics[] | select(.index == 0) | .ip, .groups[]] | join(" ")')" = "10.1.0.77 sg-0aaa" ]
	ebs_control /_limits '{"console": "boot\r\nweb login: "}'
	jq '.check = {kind: "serial", text: "login:"}' request >r && mv r request
	verb 0 validate
	jq '.check = {kind: "serial", text: "panic"} | .timeout = 2' request >r && mv r request
	verb 1 validate
	one_line 'no "panic" on the serial console; last was: web login:'
	jq '.check = {kind: "agent"}' request >r && mv r request
	verb 2 validate
	one_line 'EC2 reaches no guest agent'
	jq 'del(.check) | .timeout = 60' request >r && mv r request
	for v in stop destroy destroy; do verb 0 $v; done
	[ "$(state '[.images, .nics, .volumes | length] | join(" ")')" = "0 0 0" ]
	[ "$(ebs_stats | jq '.snapshots | length')" = 1 ]
}

# moto_start: on a port that the system chooses.
moto_start() {
	moto_server -H 127.0.0.1 -p 0 >moto.log 2>&1 3>&- &
	at_end kill $!
	wait_for grep -q 'Running on http' moto.log
	aws_client "$(sed -n 's,.*Running on \(http://127[^ ]*\).*,\1,p' moto.log)"
}
volumes() { aws_cli ec2 describe-volumes "$@" | jq -r '[.Volumes[].VolumeId] | sort | join(" ")'; }

# bats test_tags=moto
@test "the same on moto" {
	local net cidr v before
	moto_start
	truncate -s 1G a.raw
	poke a.raw 0 5000
	ebs_from a.raw ebs:new
	# it makes a volume for StartSnapshot, which nobody asked for and nothing removes
	before=$(volumes)
	[ "$(wc -w <<<"$before")" -eq 1 ]
	read -r net cidr < <(aws_cli ec2 describe-subnets | jq -r '.Subnets[0] | "\(.SubnetId) \(.CidrBlock)"')
	request "$(jq -r .points.disk write.json)" "del(.machine.options.security_groups) |
		.machine.networks = [{name: \"lan\", kind: \"network\", source: \"$net\", address: \"${cidr%.*}.77\"}]"
	quota 0
	for v in create create network network start start wait; do verb 0 $v; done
	[ "$(volumes --filters Name=tag:dm:machine,Values=r1/web | wc -w)" -ge 1 ]
	for v in stop destroy destroy; do verb 0 $v; done
	[ "$(aws_cli ec2 describe-images --owners self | jq '.Images | length')" = 0 ]
	[ "$(aws_cli ec2 describe-network-interfaces | jq '.NetworkInterfaces | length')" = 0 ]
	[ "$(volumes)" = "$before" ]
}

@test "no room, nothing isolated, nothing that boots: said before anything is made" {
	local s
	ebs_start
	s=$(snapshot)
	request "$s" '.machine |= (.machine = "t3.micro" | .memory = 2147483648)'
	quota 1
	one_line 't3.micro has 1024 MiB of memory, and it needs 2048'
	request "$s" 'del(.machine.machine)'
	quota 1
	one_line 'the type of instance'
	ebs_control /_limits '{"vcpus": 1}'
	request "$s"
	quota 1
	one_line "the account's limit is 1 vCPUs: 0 are in use, and the machines need 2"
	ebs_control /_limits '{"vcpus": 32}'
	request "$s" '.machine.isolated = true | .machine.options.test.subnet = "subnet-0aaa"'
	quota 1
	one_line 'subnet subnet-0aaa is not isolated' '0.0.0.0/0'
	request "$s" '.machine.isolated = true | del(.machine.options.test)'
	quota 1
	one_line 'options.test.subnet'
	request "$s" '.machine.disks[0].volume = "/var/x.raw"'
	quota 1
	one_line 'this provider needs snapshots'
	request "$s" '.machine.isolated = true'
	quota 0
	verb 0 network
	# an address of the real network is not asked for in that of tests
	[ "$(state '[.nics[] | .subnet] | unique | join(" ")')" = subnet-0bbb ]
	verb 0 destroy
	request "$s" '.machine.networks[0].address = "10.9.0.1"'
	verb 1 network
	one_line '10.9.0.1 is not an address of subnet-0aaa, 10.1.0.0/24'
	[ "$(state '[.instances, .images, .nics | length] | add')" = 0 ]
}

@test "a machine that does not come up is no success" {
	ebs_start
	ebs_control /_limits '{"fail_status": true, "slow": 0}'
	request "$(snapshot)" '.machine.networks |= .[:1]'
	for v in create network start; do verb 0 $v; done
	jq '.timeout = 8' request >r && mv r request
	verb 4 wait
	one_line 'does not come up: its status checks say: ok impaired'
	jq '.timeout = 60' request >r && mv r request
	verb 0 destroy
	[ "$(state '[.images, .nics, .volumes | length] | add')" = 0 ]
}

# plan [FILTER]: recovery of what is in the site, by this provider.
plan() {
	mkdir -p runs
	jq -n --arg t "$T" '{site: "\($t)/site", failover: {directory: "\($t)/runs"}, workloads: [{name: "w",
		disks: [{name: "a", volume: "\($t)/a.raw", state: "\($t)/a.ids"}], recovery: {provider: "ec2", machine: "t3.medium",
		memory: "1G", disks: [{name: "a", target: "ebs:new?timeout=30"}],
		networks: [{name: "lan", kind: "network", source: "subnet-0aaa", address: "10.1.0.50"}],
		validate: [{kind: "serial", text: "login:", timeout: "60s"}],
		options: {poll: 0.1, test: {subnet: "subnet-0bbb"}}}}]} | '"${1:-.}" >plan.json
}

@test "a checkpoint of the repository becomes snapshots and a machine; a test leaves nothing" {
	ebs_start
	ebs_control /_limits '{"console": "w login:"}'
	truncate -s 1G a.raw
	poke a.raw 0 5000
	dm-checkpoint init site
	plan
	exits 0 dm-replicate --now plan.json
	exits 0 within 300 dm-failover --test --json plan.json
	[ "$(jq -r '[.result, .workloads[0].state, .workloads[0].machine.addresses[0].ip] | join(" ")' <<<"$output")" = "completed up 10.2.0.4" ]
	[ "$(state '[.images, .nics, .volumes | length] | add')" = 0 ]
	[ "$(ebs_stats | jq '.snapshots | length')" = 0 ]

	exits 0 within 300 dm-failover --json plan.json
	[ "$(jq -r '[.result, .workloads[0].machine.addresses[0].ip] | join(" ")' <<<"$output")" = "completed 10.1.0.50" ]
	ebs_to "$(ebs_last)" back.raw
	same a.raw back.raw
	exits 0 within 300 dm-failover --clean --force plan.json
	[ "$(state '[.images, .nics, .volumes | length] | add')" = 0 ]
	[ "$(ebs_stats | jq '.snapshots | length')" = 0 ]
}

@test "a checkpoint that is a snapshot is booted from, and stays" {
	ebs_start
	ebs_control /_limits '{"console": "w login:"}'
	truncate -s 1G a.raw
	poke a.raw 0 5000
	dm-checkpoint init site
	plan '.workloads[0].disks[0].target = "ebs:new"'
	exits 0 dm-replicate --now plan.json
	exits 0 dm-failover --dry-run plan.json
	[[ $output != *dm-restore* && $output == *"\"volume\":\"ebs:$(ebs_last)\""* ]]
	exits 0 within 300 dm-failover --test --json plan.json
	[ "$(jq -r .result <<<"$output")" = completed ]
	[ "$(state '[.images, .nics, .volumes | length] | add')" = 0 ]
	[ "$(ebs_stats | jq -r '[.snapshots[].state] | join(" ")')" = completed ]
}

# recovered [FILTER]: a gibibyte a.raw of which a machine was made in EC2.
recovered() {
	ebs_start
	ebs_control /_limits '{"console": "w login:"}'
	truncate -s 1G a.raw
	image_random part 8M
	dd if=part of=a.raw bs=1M seek=3 conv=notrunc status=none
	dm-checkpoint init site
	plan "$@"
	exits 0 dm-replicate --now plan.json
	exits 0 within 300 dm-failover plan.json
}

# guest_writes FILE: the machine does, and so it should be found in FILE.
guest_writes() {
	local at
	for at in 0 4000000 900000000; do
		head -c 5000 /dev/urandom >bytes
		ebs_control /_write "{\"device\": \"/dev/xvda\", \"offset\": $at, \"hex\": \"$(od -An -v -tx1 bytes | tr -d ' \n')\"}"
		dd if=bytes of="$1" bs=4096 seek="$at" oflag=seek_bytes conv=notrunc status=none
	done
}
# got: how many blocks were read of snapshots so far.
got() { ebs_stats | jq '[.stats | to_entries[] | select(.key | test("^GET [0-9]+$")).value] | add // 0'; }
failback() {
	exits "$1" within 300 dm-failover --failback --json "${@:2}" plan.json
	jq . "$T/.out" >told 2>/dev/null || :
}
by() { jq -r '[.workloads[0].steps[] | select(.step == "capture")] | last | .reply.by.a' told; }

@test "what a machine wrote in EC2 goes home, and nothing else does" {
	local before
	recovered
	cp --sparse=always a.raw want.raw
	guest_writes want.raw
	before=$(got)
	exits 0 dm-failover --failback --dry-run plan.json
	[[ $output == *"dm-write --verify-base"* ]]
	failback 0
	same want.raw a.raw
	[ "$(jq -r .result told)" = home ]
	[ "$(by)" = bitmap ]
	[ $(($(got) - before)) -le 4 ]		# a write may cross into the next block
	dm-restore site w back.raw
	same want.raw back.raw
	# points go when they are not needed any more, what the run was made of with it
	[ "$(ebs_stats | jq '[.snapshots[] | select(.tags["dm:source"])] | length')" = 0 ]
	[ "$(ebs_stats | jq '.snapshots | length')" = 1 ]
	exits 0 within 300 dm-failover --clean --force plan.json
	[ "$(state '[.images, .nics, .volumes | length] | add')" = 0 ]
	[ "$(ebs_stats | jq '.snapshots | length')" = 0 ]
}

@test "home went on meanwhile, and Amazon does not compare: disks are read, and home's state is kept" {
	recovered
	cp --sparse=always a.raw want.raw
	guest_writes want.raw
	poke a.raw 6000000 9000
	cp --sparse=always a.raw moved.raw
	failback 0
	same want.raw a.raw
	[ "$(by)" = scan ]
	dm-restore --at 2 site w kept.raw
	same moved.raw kept.raw
	exits 0 within 300 dm-failover --clean --force plan.json

	# the base is right, but its snapshot has no list of changes with another volume's
	exits 0 within 300 dm-failover plan.json
	ebs_control /_limits '{"one_volume": true}'
	guest_writes want.raw
	failback 0
	[[ $err == *"not related"*"its disks are compared"* ]]
	same want.raw a.raw
	[ "$(by)" = scan ]
}

@test "a failback that was interrupted is done again; what it left goes with the run" {
	recovered
	cp --sparse=always a.raw want.raw
	guest_writes want.raw
	aws_faults badsum=1
	failback 4
	[[ $err == *"not those of its checksum"* ]]
	[ "$(ebs_stats | jq '[.snapshots[] | select(.tags["dm:source"])] | length')" = 1 ]
	aws_faults
	failback 0
	same want.raw a.raw
	[ "$(ebs_stats | jq '[.snapshots[] | select(.tags["dm:source"])] | length')" = 0 ]
	exits 0 within 300 dm-failover --clean --force plan.json
	[ "$(ebs_stats | jq '.snapshots | length')" = 0 ]
}

@test "checkpoints that are snapshots: home gets what the machine wrote on top of its own" {
	local before
	recovered '.workloads[0].disks[0] |= (.target = "ebs:new" | .fallback = "full")'
	cp --sparse=always a.raw want.raw
	guest_writes want.raw
	before=$(got)
	failback 0
	same want.raw a.raw
	[ "$(jq -r .result told)" = home ]
	[ $(($(got) - before)) -le 4 ]
	exits 0 within 300 dm-failover --clean --force plan.json
	# the checkpoints stay
	[ "$(ebs_stats | jq '.snapshots | length')" = "$(dm-checkpoint list --json site w | jq length)" ]
}

@test "home that is volumes of EC2 itself cannot be written, and that is said before anything is done" {
	recovered
	jq '.workloads[0] |= (.source = {kind: "ebs", instance: "i-0aa"} | .disks = [{name: "a", volume: "/dev/xvda"}])' plan.json >p && mv p plan.json
	exits 1 dm-failover --failback plan.json
	one_line 'home is volumes of an instance of EC2 (a)'
	[ "$(state '[.instances[].state] | join(" ")')" = running ]
}
