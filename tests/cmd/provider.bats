# dm-provider(7): requests that are wrong, idempotent verbs, checks by an agent.
# bats file_tags=plain
load ../lib/common

setup() { dm_setup; }
teardown() { dm_teardown; }

# request [FILTER]: a machine on an empty disk, changed by FILTER.
request() {
	truncate -s 1M disk.raw
	jq -n --arg t "$T" '{format: 1, timeout: 20, mode: "hard", machine: {name: "w", run: "r", directory: "\($t)/m",
		memory: 67108864, cpus: 1, isolated: true, facts: {accel: "tcg"}, validate: [{kind: "tcp", port: 80}],
		disks: [{name: "a", volume: "\($t)/disk.raw", format: "raw", size: 1048576, bus: "virtio", boot: 1}],
		networks: [{name: "lan", kind: "bridge", source: "br0"}]}} | '"${1:-.}" >request
}
verb() {
	exits "$1" within 200 sh -c "dm-provider-qemu $2 <request"
}

@test "requests that are wrong" {
	for p in dm-provider-qemu dm-provider-libvirt dm-provider-ec2; do
		sh_exits 2 "$p </dev/null"
		sh_exits 2 "$p fly </dev/null"
		one_line "$p: unknown verb fly"
		sh_exits 2 "$p create </dev/null"
		one_line 'no JSON object'
		sh_exits 2 "echo '[1]' | $p create"
		sh_exits 2 "echo '{} {}' | $p create"
		sh_exits 2 "echo '{}' | $p create"
		one_line 'format 1'
		sh_exits 2 "echo '{\"format\": 1, \"machine\": {\"name\": \"../x\", \"directory\": \"/x\"}}' | $p create"
		one_line 'machine.name'
		sh_exits 2 "echo '{\"format\": 1, \"machine\": {\"name\": \"x\", \"directory\": \"x\"}}' | $p destroy"
		one_line 'absolute path'
	done
}

@test "a verb that a platform does not have" {
	sh_exits 2 "echo '{}' | dm-provider-ec2 move"
	one_line 'move: machines on this platform cannot'
	[[ $(dm-provider-ec2 --help) == *"validate stop points destroy"* ]]
	[[ $(dm-provider-qemu --help) == *"validate move stop destroy"* ]]
}

@test "qemu: each verb twice is as once, and destroy leaves nothing" {
	request
	for v in create network start wait; do
		verb 0 "$v"
		verb 0 "$v"
	done
	pid=$(cat m/pid)
	[ "$(jq -r '.addresses[0].forward[0].guest' .out)" = 80 ]	# a bridge, isolated
	tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q 'restrict=on'
	jq '.check = {kind: "tcp", port: 80} | .timeout = 2' request >r && mv r request
	verb 1 validate		# QEMU accepts, the guest does not
	for v in stop destroy stop destroy; do verb 0 "$v"; done
	wait_for dead "$pid"
	[ -z "$(ls m)" ]
	same disk.raw <(head -c 1M /dev/zero)
}

@test "qemu: what cannot be is said" {
	request '.machine.disks[0].volume = "/no/such.raw"'
	verb 1 create
	one_line '/no/such.raw: there is no such disk'
	request '.machine.networks[0].kind = "network" | .machine.isolated = false'
	verb 0 create
	verb 2 network
	one_line 'no networks of kind "network"'
	request '.machine.cpu = "abacus"'
	verb 0 create
	verb 0 network
	verb 4 start
	one_line 'QEMU does not start' 'abacus'
	verb 4 wait
	request '{format: 1, machines: [.machine | .memory = 1e15]}'
	verb 1 quota
	one_line 'not enough memory for the guests'
	request
	verb 0 destroy
}

# In isolation what answers at a planned address is the original.
@test "isolated: a check never reaches what has the guest's address outside" {
	coproc ORIGINAL { exec python3 -c 'import http.server
s = http.server.HTTPServer(("127.0.0.2", 0), http.server.BaseHTTPRequestHandler)
print(s.server_port, flush=True)
s.serve_forever()'; }
	at_end kill "$ORIGINAL_PID"
	read -r port <&"${ORIGINAL[0]}"
	request ".timeout = 2 | .check = {kind: \"tcp\", port: $port} | .machine.networks = [{name: \"lan\", kind: \"socket\",
		source: \"230.0.0.1:4000\", address: \"127.0.0.2\", mac: \"52:54:00:00:00:01\"}] |
		.machine.options.uri = \"test://$T/node.xml\""
	cat >node.xml <<-END
		<node><domain type='test'><name>dm-r-w</name><memory>65536</memory><os><type>hvm</type></os>
		<devices><interface type='network'><source network='n'/><mac address='52:54:00:00:00:01'/></interface></devices></domain></node>
	END
	for p in qemu libvirt; do
		[ "$p" = libvirt ] || verb 0 create
		[ "$p" = libvirt ] || verb 0 network
		exits 1 within 200 sh -c "dm-provider-$p validate <request"
		one_line 'not known how to reach port' 'isolated'
		jq '.machine.isolated = false | .timeout = 60' request >open
		exits 0 within 200 sh -c "dm-provider-$p validate <open"
	done
}

# A guest's agent as it answers on Windows, where no real one can be had.
windows() {
	cat >windows <<-END
		#!/bin/bash
		me=dm-provider-windows about=
		. $DM_TOP/scripts/lib/provider.bash
		provider_agent() {
			case \$1 in
			*guest-get-osinfo*) echo '{"id": "mswindows", "pretty-name": "Windows Server 2022 Standard", "kernel-release": "20348"}' ;;
			*guest-exec-status*) jq -nc --arg out "\$(printf 'STATE : %s\r\n' "\$(cat $T/state)" | base64)" '{exited: true, exitcode: 0, "out-data": \$out}' ;;
			*guest-exec*) jq -c '.arguments' <<<"\$1" >>$T/ran; echo '{"pid": 7}' ;;
			esac
		}
		provider_main "\$@"
	END
	chmod +x windows
}
check() {
	request ".timeout = $([ "$1" -eq 0 ] && echo 60 || echo 3) | .check = $2"
	exits "$1" within 200 sh -c './windows validate <request'
}

@test "an agent's system and services" {
	windows
	check 0 '{kind: "osinfo", text: "Windows Server 2022"}'
	[[ $output == *20348* ]]
	check 1 '{kind: "osinfo", text: "Debian"}'
	one_line 'the guest is Windows Server 2022 Standard, not Debian'
	echo '4 RUNNING' >state
	check 0 '{kind: "services", services: ["W32Time", "Dnscache"]}'
	[ "$(jq -sc 'map([.path] + .arg)' ran)" = '[["sc.exe","query","W32Time"],["sc.exe","query","Dnscache"]]' ]
	echo '1 STOPPED' >state
	check 1 '{kind: "services", services: ["W32Time"]}'
	one_line 'service W32Time does not run' 'STOPPED'
}
