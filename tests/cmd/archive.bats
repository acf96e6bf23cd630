# dm-checkpoint export and import: archives that plain tar reads, and that
# another site takes, or refuses.
load ../lib/common
load ../lib/pipeline
load ../lib/volumes
load ../lib/faults

setup() {
	dm_setup
	image_random a.raw 3M
	truncate -s 9000448 a.raw	# holes, and a tail that is no whole chunk
	poke a.raw 8500000 5000
	truncate -s 4M b.raw		# nothing but a hole
	image_random c.raw 1M
	site
	full site web1 a=a.raw b=b.raw c=c.raw
	poke a.raw 700000 4096
	scan site web1 a=a.raw b=b.raw c=c.raw
}
teardown() { dm_teardown; }

# refused CODE FILE: and nothing was made.
refused() {
	exits "$1" dm-checkpoint import --workload bad other "$2"
	[ "$(checkpoints other bad 2>/dev/null || echo 0)" -eq 0 ]
	[ "$(dm-checkpoint sessions --json other | jq length)" -eq 0 ]
}

@test "tar reads it: disks with their holes, and sums" {
	for z in "" --zstd; do
		rm -rf x out.tar
		exits 0 dm-checkpoint export $z site web1 out.tar
		[ "$(stat -c %a out.tar)" = 600 ]
		mkdir x
		tar -xf out.tar -C x
		for d in a b c; do
			same $d.raw x/$d.raw
		done
		(cd x && b2sum --quiet -c B2SUMS)
		[ "$(jq -r .checkpoint.disks[0].root x/manifest.json)" = "$(record site web1 .disks[0].root)" ]
		[ "$(stat -c %b x/b.raw)" -eq 0 ]
	done
	[ "$(stat -c %s out.tar)" -lt 6000000 ]
	exits 1 dm-checkpoint export site web1 out.tar
}

@test "an export killed at any call leaves nothing in the way of the next" {
	local n last
	cp -r site s
	rm -f count
	preload_fault none:any:1:EIO
	DM_FAULT_COUNT=$T/count dm-checkpoint export s web1 whole.tar
	no_fault
	last=$(tail -n 1 count | cut -d ' ' -f 2)
	[ "$last" -gt 20 ]
	for n in $(seq 1 $((last / 12 + 1)) "$last") $((last - 2)) $((last - 1)) "$last"; do
		preload_fault "dm-checkpoint:any:$n:KILL"
		fails dm-checkpoint export s web1 out.tar
		no_fault
		# what stands under the name is whole
		[ ! -e out.tar ] || cmp out.tar whole.tar
		rm -f out.tar
		exits 0 dm-checkpoint export s web1 out.tar
		cmp out.tar whole.tar
		[ "$(echo out.tar*)" = out.tar ]
		rm out.tar
	done
}

# named: an export killed in its midst where files have to have names; sets
# $nameless, which makes the next one do without those.
named() {
	local n
	for n in $(seq 1 60); do
		nameless=dm-checkpoint:openat:$n:EOPNOTSUPP
		preload_fault "$nameless,dm-checkpoint:fsync:1:KILL"
		dm-checkpoint export site web1 out.tar || true
		no_fault
		[ ! -e out.tar.part ] || return 0
		rm -f out.tar
	done
	return 1
}

@test "where files have to have names, what a killed export left is taken over" {
	local holder
	dm-checkpoint export site web1 whole.tar
	named
	# not while somebody writes it
	mkfifo hold held
	python3 -c 'import fcntl, sys
f = open("out.tar.part", "r+")
fcntl.lockf(f, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()' <hold >held &
	holder=$!
	exec 8>hold
	read -r _ <held
	preload_fault "$nameless"
	exits 1 dm-checkpoint export site web1 out.tar
	one_line "out.tar.part: another program is writing it"
	exec 8>&-
	wait "$holder"
	truncate -s 20M out.tar.part
	exits 0 dm-checkpoint export site web1 out.tar
	[ "$(echo out.tar*)" = out.tar ]
	cmp out.tar whole.tar
	# killed between its two names: it is whole
	ln out.tar out.tar.part
	mv out.tar other.tar
	exits 0 dm-checkpoint export site web1 out.tar
	[ "$(echo out.tar*)" = out.tar ]
	cmp out.tar other.tar
	# somebody's file of that name stays as it is
	rm out.tar
	echo precious >out.tar.part
	chmod 644 out.tar.part
	exits 1 dm-checkpoint export site web1 out.tar
	one_line "in the way"
	[ "$(cat out.tar.part)" = precious ]
	rm out.tar.part
	ln -s other.tar out.tar.part
	exits 1 dm-checkpoint export site web1 out.tar
	[ -L out.tar.part ] && [ ! -e out.tar ]
	cmp other.tar whole.tar
}

@test "round trip: into another site, another geometry, an encrypted one" {
	dm-checkpoint export --at 1 site web1 - >first.tar
	dm-checkpoint export --zstd site web1 - >out.tar
	dm-checkpoint init other
	exits 0 dm-checkpoint import other out.tar
	[ "$(record other web1 .disks[0].root)" = "$(record site web1 .disks[0].root)" ]
	dm-checkpoint key new k
	export DM_KEY_FILE=k
	dm-checkpoint init --encrypt --chunk-size 64K --hash blake2b sealed
	exits 0 dm-checkpoint import --workload web9 sealed - <first.tar
	exits 0 dm-checkpoint import --workload web9 sealed out.tar
	[ "$(checkpoints sealed web9)" -eq 2 ]
	for s in "other web1" "sealed web9"; do
		exits 0 dm-checkpoint verify ${s% *}
		recover $s latest a=ra.raw b=rb.raw c=rc.raw
		same a.raw ra.raw
		same b.raw rb.raw
		same c.raw rc.raw
		rm -f r?.raw*
	done
	dm-checkpoint export --zstd sealed web9 - | tar --zstd -xO a.raw | cmp - a.raw
}

@test "cut and flipped archives import nothing" {
	local n size
	dm-checkpoint init other
	for z in "" --zstd; do
		rm -f out.tar
		dm-checkpoint export $z site web1 out.tar
		size=$(stat -c %s out.tar)
		for n in 0 100 600 3000 $((size / 3)) $((size / 2)) $((size - 12000)); do
			head -c "$n" out.tar >cut
			refused 3 cut
			cp out.tar flipped
			printf "\\x$(printf %02x $(($(od -An -tu1 -j $n -N 1 out.tar | tr -d ' ') ^ 16)))" |
				dd of=flipped bs=1 seek="$n" conv=notrunc status=none
			refused 3 flipped
		done
	done
}

@test "hostile archives are refused" {
	dm-checkpoint init other
	dm-checkpoint export site web1 out.tar
	mkdir x
	tar -xf out.tar -C x
	cd x
	tar -cf ../order.tar B2SUMS manifest.json a.raw b.raw c.raw
	tar -cf ../more.tar manifest.json a.raw b.raw c.raw B2SUMS a.raw
	tar -cf ../less.tar manifest.json a.raw c.raw B2SUMS
	ln -sf /etc/passwd l && tar -cf ../link.tar --transform 's/^l$/a.raw/' manifest.json l b.raw c.raw B2SUMS
	tar -cf ../dots.tar --transform 's,^a.raw,../a.raw,' -P manifest.json a.raw b.raw c.raw B2SUMS
	jq '.checkpoint.disks[0].size = 123' manifest.json >m && cat m >manifest.json
	tar -cf ../size.tar manifest.json a.raw b.raw c.raw B2SUMS
	jq '.checkpoint.disks[0].name = "../../x"' manifest.json >m && cat m >manifest.json
	tar -cf ../name.tar manifest.json a.raw b.raw c.raw B2SUMS
	cd ..
	for f in order more less link dots size name; do
		refused 3 $f.tar
	done
	tar --sparse -cf again.tar -C x B2SUMS >/dev/null
	refused 3 again.tar
}

# forged FILTER FILE: the archive out.tar with another manifest, and sums that fit.
forged() {
	rm -rf x
	mkdir x
	tar -xf out.tar -C x
	jq "$1" x/manifest.json >m
	mv m x/manifest.json
	(cd x && b2sum manifest.json ./*.raw | sed 's, \./, ,' >B2SUMS && tar -cf "../$2" manifest.json ./*.raw B2SUMS --transform 's,^\./,,')
}

@test "an archive does not pass for a state of another workload" {
	local root
	site evil
	cp c.raw d.raw
	full evil bad d=c.raw
	full site web2 d=d.raw
	root=$(record site web2 .disks[0].root)
	poke c.raw 0 1000
	full evil bad d=c.raw
	dm-checkpoint export evil bad out.tar
	forged ".checkpoint.disks[0].tree = \"$root\"" tree.tar
	exits 0 dm-checkpoint import site tree.tar
	[ "$(record site bad .disks[0].tree)" = null ]
	# what changed since web2's state is laid over that, and nothing else
	poke d.raw 500000 1000
	iterate site web2 "echo 499712 4096 | dm-changed --extents - --base $root d=d.raw" d=d.raw
	recover site web2 latest d=back.raw
	same d.raw back.raw
}

@test "what an archive wants to be run at a failover is not taken from strangers" {
	dm-checkpoint init other
	dm-checkpoint export site web1 out.tar
	forged '.checkpoint.recovery = {"post": "touch ran"}' script.tar
	exits 0 dm-checkpoint import other out.tar
	[ -z "$err" ]
	exits 0 dm-checkpoint import other script.tar
	[[ $err == *"recovery configuration was left out"*--recovery* ]]
	[ "$(record other web1 .recovery)" = null ]
	exits 0 dm-checkpoint import --recovery other script.tar
	[ -z "$err" ]
	[ "$(record other web1 .recovery.post)" = "touch ran" ]
}
