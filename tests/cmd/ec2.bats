# Recovery in EC2: dm-provider-ec2(1), against a strict server.
#
# With DM_EC2=moto the verbs are also tried on moto (PyPI), which nobody here
# wrote; moto_server must be on PATH then.
# bats file_tags=plain
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
state() { python3 -c 'import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1] + "/_state").read().decode())' "$ebs_url" | jq -r "$1"; }

snapshot() {
	truncate -s 1G a.raw
	poke a.raw 0 5000
	ebs_from a.raw ebs:new
	ebs_last
}

# moto_verbs: the same on moto, with a snapshot that we wrote there.
moto_verbs() {
	local port net cidr v
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	moto_server -H 127.0.0.1 -p "$port" >moto.log 2>&1 &
	at_end kill $!
	export AWS_ENDPOINT_URL=http://127.0.0.1:$port
	wait_for curl -s -o none "$AWS_ENDPOINT_URL/moto-api/"
	ebs_from a.raw ebs:new
	read -r net cidr < <(aws_cli ec2 describe-subnets | jq -r '.Subnets[0] | "\(.SubnetId) \(.CidrBlock)"')
	request "$(jq -r .points.disk write.json)" "del(.machine.options.security_groups) |
		.machine.networks = [{name: \"lan\", kind: \"network\", source: \"$net\", address: \"${cidr%.*}.77\"}]"
	quota 0
	for v in create create network network start start wait stop destroy destroy; do verb 0 $v; done
	[ "$(aws_cli ec2 describe-images --owners self | jq '.Images | length')" = 0 ]
	[ "$(aws_cli ec2 describe-network-interfaces | jq '.NetworkInterfaces | length')" = 0 ]
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
	[ "${DM_EC2-}" != moto ] || moto_verbs
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
	request "$(snapshot)" '.timeout = 8 | .machine.networks |= .[:1]'
	for v in create network start; do verb 0 $v; done
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
		validate: [{kind: "serial", text: "login:", timeout: "10s"}],
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
	exits 1 dm-failover --failback plan.json
	one_line 'its disks are in the cloud'
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
