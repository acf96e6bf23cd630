# Running domains of libvirt: dm-point-libvirt(1).
# bats file_tags=plain,long
load ../lib/common
load ../lib/faults
load ../lib/guest
load ../lib/pipeline

setup_file() {
	guest_build
	[ -S /run/libvirt/libvirt-sock ] || {	# as init would
		virtlogd -d -p "$BATS_FILE_TMPDIR/virtlogd.pid" && libvirtd -d -p "$BATS_FILE_TMPDIR/libvirtd.pid"
	}
	wait_for virsh -q -c qemu:///system list
}
teardown_file() {
	local f
	for f in "$BATS_FILE_TMPDIR"/{libvirtd,virtlogd}.pid; do
		[ ! -e "$f" ] || kill "$(cat "$f")"
	done
}
setup() {
	dm_setup
	# QEMU is another user, who cannot look into the test's own directory.
	D=$(mktemp -d /var/tmp/dm-test.XXXXXX)
	chmod 755 "$D"
	at_end rm -rf "$D"
	domain=dm-test-$$
}
teardown() { dm_teardown; }

vsh() { virsh -q -c qemu:///system "$@"; }
start() {
	local d
	for d in a b; do
		qemu-img convert -O qcow2 "$d.raw" "$D/$d.qcow2"
	done
	chmod 666 "$D"/*.qcow2
	cat >domain.xml <<-END
		<domain type='qemu'><name>$domain</name><memory unit='MiB'>256</memory>
		<os><type arch='x86_64'>hvm</type><boot dev='hd'/></os><seclabel type='none'/><devices>
		<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
		<source file='$D/a.qcow2'/><target dev='vda' bus='virtio'/></disk>
		<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
		<source file='$D/b.qcow2'/><target dev='vdb' bus='virtio'/></disk>
		<serial type='pty'/></devices></domain>
	END
	vsh create domain.xml >/dev/null
	at_end virsh -q -c qemu:///system destroy "$domain"
}
# journals: the last numbers of the newest checkpoint, or failure.
journals() {
	local a b
	rm -f back.a back.b
	dm-restore site w vda=back.a vdb=back.b >/dev/null &&
		read -r _ a _ < <(journal_check back.a) && read -r _ b _ < <(journal_check back.b) || return 1
	[ "$b" -eq "$a" ] || [ "$b" -eq $((a - 1)) ] || return 1
	echo "$b"
}
unharmed() {
	[ "$(vsh domstate "$domain")" = running ] && [ ! -e "$D/dm-point-$domain" ] &&
		[[ $(vsh domjobinfo "$domain") == *None* ]]
}

@test "each iteration of a domain is one moment of all its disks, whatever is killed" {
	guest_boot_disk a.raw
	guest_data_disk b.raw
	site
	start
	jq -n --arg t "$T" --arg d "$domain" --arg s "$D" '{site: "\($t)/site", workloads: [{name: "w",
		source: {kind: "libvirt", domain: $d, scratch: $s},
		disks: [{name: "vda", volume: "vda"}, {name: "vdb", volume: "vdb"}]}]}' >plan.json
	# Iterations before the guest is up have no journal yet.
	last=0 SECONDS=0
	until [ "$last" -gt 0 ] || [ "$SECONDS" -gt 300 ]; do
		exits 0 within 300 dm-replicate --now plan.json
		[ -z "$err" ]
		last=$(journals 2>/dev/null) || last=0
	done
	[ "$last" -gt 0 ]
	for i in 1 2; do
		exits 0 within 300 dm-replicate --verbose --now plan.json
		[[ $output == *", incremental, "* ]]
		next=$(journals)
		[ "$next" -gt "$last" ]
		last=$next
		unharmed
		[ "$(vsh checkpoint-list --name "$domain" | grep -c dm-w)" -eq 1 ]
	done
	for i in 1 2; do
		background "exec dm-replicate --now plan.json"
		wait_for test -S "$D/dm-point-$domain/nbd"
		kill -KILL "-$group"
		wait_for unharmed
	done
	exits 0 within 300 dm-replicate --now plan.json
	[ -z "$err" ]
	[ "$(journals)" -gt "$last" ]
	# Somebody else's job, after a crash of the host that left our directory.
	mkdir "$D/dm-point-$domain"
	mkdir -m 777 "$D/theirs"
	cat >theirs.xml <<-END
		<domainbackup mode='pull'><server transport='unix' socket='$D/theirs/nbd'/><disks>
		<disk name='vda' backup='yes' type='file'><scratch file='$D/theirs/vda'/></disk><disk name='vdb' backup='no'/></disks></domainbackup>
	END
	vsh backup-begin "$domain" theirs.xml >/dev/null
	exits 4 within 200 dm-point-libvirt --domain "$domain" --owner x --scratch "$D" hold a=vda
	[[ $(vsh backup-dumpxml "$domain") == *"$D/theirs/nbd"* ]]
	vsh domjobabort "$domain"
	wait_for unharmed
	exits 1 dm-point-libvirt --domain "$domain" --owner x --scratch "$D" hold z=vdz
	one_line "$domain has no disk \"vdz\" (it has: vda, vdb)"
}

# overall: the plan's domains that are there, running or not.
domains() {
	vsh list --all --name | grep -- "^dm-.*-web-$$\$"
}
end_failover() {
	dm-failover --clean --force "$T/plan.json"
}

@test "a failover makes a domain of recovered disks, and brings home what it wrote" {
	guest_boot_disk a.raw
	guest_data_disk b.raw
	site
	mkdir "$D/images"
	jq -n --arg t "$T" --arg d "$D" --arg w "web-$$" '{site: "\($t)/site", failover: {directory: "\($d)/images"},
		workloads: [{name: $w, disks: [{name: "a", volume: "\($t)/a.raw"}, {name: "b", volume: "\($t)/b.raw"}],
			recovery: {provider: "libvirt", memory: "256M", options: {type: "qemu"}, disks: [{name: "a", boot: 1}],
				validate: [{kind: "serial", text: "dm-guest: ready"}]}}]}' >plan.json
	exits 0 dm-replicate --now plan.json
	at_end end_failover
	exits 0 within 300 dm-failover --json plan.json
	jq -e '.result == "completed" and .workloads[0].state == "up"' .out >/dev/null
	[ "$(vsh domstate "$(domains)")" = running ]
	exits 1 dm-failover plan.json
	one_line "is complete, and its machines are in use"
	# Its disks go elsewhere and come back while it runs; twice is as once.
	for to in .new '' ''; do
		jq --arg to "$to" '{format: 1, timeout: 60, machine: (.[0].machine | .disks |= map(.image += $to))}' \
		    "$D"/images/runs/*/schedule.json >request
		exits 0 within 200 sh -c 'dm-provider-libvirt move <request'
		[ "$(jq -c .moved <<<"$output")" = '["a","b"]' ]
		[ "$(vsh domblklist "$(domains)" | awk '{print $2}' | grep -c "/[ab].raw$to\$")" -eq 2 ]
	done
	[ "$(vsh domstate "$(domains)")" = running ]
	exits 0 within 300 dm-failover --failback --force --json plan.json
	jq -e '.workloads[0] | .state == "home" and (.steps | map(select(.step == "capture")) | last | .reply.by) == {a: "scan", b: "scan"}' .out >/dev/null
	[ "$(vsh domstate "$(domains)")" = "shut off" ]
	same b.raw "$(echo "$D"/images/runs/*/web-*/b.raw)"
	read -r first last _ < <(journal_check b.raw)
	[ "$first" -eq 1 ] && [ "$last" -gt 1 ]
	exits 0 dm-failover --clean --force plan.json
	[ -z "$(domains)" ] && [ -z "$(ls "$D/images/runs")" ]
}
