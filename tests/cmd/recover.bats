# dm-recover: a checkpoint as descriptors, whole or what differs.
load ../lib/common
load ../lib/volumes

setup() {
	dm_setup
	image_random a.raw 5M
	truncate -s 40000000 a.raw		# the tail is no whole chunk
	poke a.raw 39999000 1000
	image_random b.raw 2M
	exits 0 dm-checkpoint init site
	iteration
	cp a.raw a1.raw
	poke a.raw 3000000 4096
	poke_zero a.raw 1048576 1048576
	iteration
}
teardown() { dm_teardown; }

iteration() {
	dm-send --all vdb=a.raw vdc=b.raw | dm-write repo:site |
		dm-checkpoint commit --workload web1 site
}

# entries [OPTION...]: the descriptors as JSON.
entries() {
	dm-recover "$@" site web1 | dm-json | jq -c 'select(.type == "desc")'
}

@test "both points come back" {
	exits 0 bash -c 'dm-recover site web1 | dm-send repo:site | dm-write vdb=x.raw vdc=y.raw >/dev/null'
	same a.raw x.raw
	same b.raw y.raw
	exits 0 bash -c 'dm-recover --at 1 --disk vdb site web1 | dm-send repo:site | dm-write z.raw >/dev/null'
	same a1.raw z.raw
}

@test "every byte is named once, zeros as runs" {
	entries --disk vdb >e
	[ "$(jq -s 'map(.len) | add' e)" -eq 40000000 ]
	[ "$(jq -s '[sort_by(.off) | [., .[1:]] | transpose[] | select(.[1] != null) |
	    .[0].off + .[0].len == .[1].off] | all' e)" = true ]
	[ "$(jq -s 'map(select(.zero)) | length' e)" -eq 2 ]
	[ "$(jq -s 'map(select(.id)) | length' e)" -eq 5 ]	# 4 of 5 MiB, and the tail
}

@test "ids, with and without those of leaves" {
	[ "$(dm-recover --ids site web1 | dm-json | head -1 | jq -r .kind)" = ids ]
	[ "$(entries --ids --disk vdc | jq -s 'map(.leaves | length) | add')" -eq 32 ]
	[ "$(entries --ids-chunk | jq -s 'map(select(.leaves)) | length')" -eq 0 ]
	exits 2 dm-recover --ids --ids-chunk site web1
}

@test "only what differs" {
	entries --since 1 >e
	[ "$(jq -s 'map(.len) | add' e)" -eq 2097152 ]
	[ "$(jq -s 'map(select(.zero)) | map(.off)' e | jq -c .)" = "[1048576]" ]
	[ "$(dm-recover --since 1 site web1 | dm-json | head -1 | jq -r .kind)" = incremental ]
	[ -z "$(entries --since latest)" ]
	# Back from the newer to the older one, in place.
	cp a.raw x.raw
	exits 0 bash -c 'dm-recover --at 2 --disk vdb site web1 | dm-send repo:site | dm-write x.raw >/dev/null'
	exits 0 bash -c 'dm-recover --at 1 --since 2 --disk vdb site web1 | dm-send repo:site | dm-write x.raw >/dev/null'
	same a1.raw x.raw
}

@test "since a root" {
	root=$(dm-checkpoint show --json --at 1 site web1 | jq -r '.disks[0].root')
	[ "$(entries --disk vdb --since "root:$root" | jq -s 'map(.len) | add')" -eq 2097152 ]
	exits 2 dm-recover --since "root:$root" site web1
	exits 2 dm-recover --disk vdb --since root:blake3:xyz site web1
}

@test "what is not there" {
	exits 1 dm-recover site web2
	exits 1 dm-recover --at 3 site web1
	exits 1 dm-recover --disk vdd site web1
	exits 1 dm-recover --since 7 site web1
	exits 1 dm-recover none web1
	exits 2 dm-recover site
	exits 1 bash -c 'dm-recover --disk vdd site web1 | dm-send repo:site | dm-write x.raw'
	one_line dm-recover vdd
	[ ! -e x.raw ]
}

@test "a damaged tree is told downstream, and nothing is made of it" {
	# A node's record: its magic, its type, and then the body that is spoiled.
	for pack in site/chunks/packs/*/*.pack; do
		for at in $(LC_ALL=C grep -aboP 'MER1\x03' "$pack" | cut -d: -f1); do
			poke "$pack" $((at + 100)) 8
		done
	done
	exits 3 bash -c 'dm-recover site web1 | dm-send repo:site | dm-write vdb=x.raw vdc=y.raw'
	one_line dm-recover damaged
}

@test "the reader goes away" {
	exits 0 bash -c 'dm-recover --ids site web1 | head -c 100 >/dev/null; [ ${PIPESTATUS[0]} -ne 1 ]'
	[ -z "$err" ]
}
