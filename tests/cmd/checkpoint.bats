# dm-checkpoint: sites, what is sealed and what is refused, looking after it.
load ../lib/common
load ../lib/volumes
load ../lib/faults

setup() {
	dm_setup
	image_random a.raw 3M
	truncate -s 8M a.raw
	exits 0 dm-checkpoint init site
}
teardown() { dm_teardown; }

# store FILE [SITE]: write it whole, the acks are in acks.bin.
store() {
	dm-send --all vdb="$1" | dm-write "repo:${2:-site}" >acks.bin
}

# seal [OPTION...]: make a checkpoint of web1 from acks.bin.
seal() {
	dm-checkpoint commit --workload web1 "$@" site <acks.bin
}

# checkpoint FILE: both.
checkpoint() {
	store "$1" && seal
}

# count: checkpoints of web1.
count() {
	dm-checkpoint list --json site web1 | jq length
}

@test "init makes a site once" {
	exits 1 dm-checkpoint init site
	one_line "is a site already"
	exits 0 dm-checkpoint init --chunk-size 64K --hash blake2b --level 3 other
	exits 2 dm-checkpoint init --chunk-size 3M x
	exits 2 dm-checkpoint init --chunk-size 100000 x
	exits 2 dm-checkpoint init --hash md5 x
	[ ! -e x ]
	exits 1 dm-checkpoint list none
}

@test "commands and options that do not exist" {
	exits 2 dm-checkpoint
	exits 2 dm-checkpoint frobnicate site
	one_line frobnicate
	exits 2 dm-checkpoint list --frob site
	exits 2 dm-checkpoint commit site </dev/null
	one_line --workload
	exits 2 dm-checkpoint commit --workload ../x site </dev/null
	exits 0 dm-checkpoint --help
	for c in init commit list show verify prune pin unpin sessions abandon stats reindex; do
		exits 0 dm-checkpoint $c --help
		[[ $output == *"dm-checkpoint $c"* ]]
	done
}

@test "an empty site lists nothing" {
	exits 0 dm-checkpoint list site
	[ -z "$output" ]
	[ "$(dm-checkpoint list --json site)" = "[]" ]
	exits 1 dm-checkpoint show site web1
	one_line "no checkpoint of web1"
}

@test "a checkpoint is listed and shown" {
	checkpoint a.raw
	exits 0 dm-checkpoint list site
	[[ $output == *web1*full*"3.0 MiB"* ]]
	dm-checkpoint show --json site web1 >c.json
	[ "$(jq -r '[.workload, .seq, .parent, .kind, (.disks | length), .pinned] | join(" ")' c.json)" = \
	    "web1 1 0 full 1 false" ]
	[ "$(jq -r '.disks[0] | [.name, .size, .changed] | join(" ")' c.json)" = "vdb 8388608 3145728" ]
	[ "$(jq -r '.disks[0].point' c.json)" = "root:$(jq -r '.disks[0].root' c.json)" ]
	exits 0 dm-checkpoint show site web1
	[[ $output == *"checkpoint 1"*"disk vdb"* ]]
	[ -z "$(ls site/open)" ]
}

@test "commit is quiet, or tells one line" {
	store a.raw
	exits 0 seal
	[ -z "$output" ]
	store a.raw
	exits 0 seal --verbose
	[[ $output == "web1: checkpoint 2, full, 1 disk, 3.0 MiB changed"* ]]
}

@test "points in time" {
	for t in 2026-01-01T00:00Z 2026-02-01T00:00Z 2026-03-01T00:00Z; do
		store a.raw
		seal --time $t
	done
	at() { dm-checkpoint show --json --at "$1" site web1 | jq .seq; }
	[ "$(at latest)" = 3 ]
	[ "$(at 2)" = 2 ]
	[ "$(at 2026-02-14)" = 2 ]
	[ "$(at 2026-02-01T00:00Z)" = 2 ]
	[ "$(at 2026-01-31T23:59:59Z)" = 1 ]
	exits 1 dm-checkpoint show --at 2025-01-01 site web1
	one_line "2026-01-01T00:00:00Z"
	exits 1 dm-checkpoint show --at 4 site web1
	one_line "from 1 to 3"
	exits 2 dm-checkpoint show --at sometime site web1
}

@test "recovery configuration is kept with the checkpoint" {
	store a.raw
	echo '{"boot": "uefi", "nics": [{"mac": "52:54:00:12:34:56"}]}' >r.json
	seal --recovery r.json
	[ "$(dm-checkpoint show --json site web1 | jq -c .recovery)" = "$(jq -c . r.json)" ]
	echo '[1]' >list.json
	exits 2 seal --recovery list.json
	echo '{"a": 1,' >torn.json
	exits 2 seal --recovery torn.json
	one_line torn.json
	exits 2 seal --recovery absent.json
	[ "$(count)" -eq 1 ]
}

@test "the same acks again change nothing" {
	checkpoint a.raw
	exits 0 seal
	[ "$(count)" -eq 1 ]
}

@test "any cut is a failure and publishes nothing" {
	store a.raw
	size=$(stat -c %s acks.bin)
	for ((i = 0; i < size; i += 61)); do
		head -c $i acks.bin >cut.bin
		exits 4 dm-checkpoint commit --workload web1 site <cut.bin
		one_line "before its END"
	done
	[ "$(count)" -eq 0 ]
	exits 0 seal
}

@test "any flipped byte is refused" {
	store a.raw
	size=$(stat -c %s acks.bin)
	for ((i = 0; i < size; i += 53)); do
		cp acks.bin bad.bin
		byte=$(od -An -tu1 -j $i -N1 acks.bin)
		printf "\\x$(printf %x $((byte ^ 16)))" | dd of=bad.bin bs=1 seek=$i conv=notrunc status=none
		exits 3 dm-checkpoint commit --workload web1 site <bad.bin
	done
	[ "$(count)" -eq 0 ]
}

@test "more after END is refused" {
	store a.raw
	cat acks.bin acks.bin >more.bin
	exits 3 dm-checkpoint commit --workload web1 site <more.bin
	[ "$(count)" -eq 0 ]
}

@test "what is not there any more is not referred to" {
	store a.raw
	rm site/chunks/packs/*/*.pack
	exits 1 seal
	one_line vdb
	[ "$(count)" -eq 0 ]
}

@test "all of a disk again over packs that were lost makes no checkpoint, until verify forgot them" {
	checkpoint a.raw
	mkdir lost
	find site/chunks/packs -name '*.pack' -exec mv {} lost/ \;
	store a.raw
	exits 1 seal
	one_line vdb
	[ "$(dm-checkpoint list --json site | jq length)" = 1 ]
	exits 1 dm-checkpoint verify site
	checkpoint a.raw
	sh_exits 0 "dm-recover site web1 | dm-send repo:site | dm-write back.raw"
	same a.raw back.raw
}

@test "a state that is stored but in no session of the site is refused" {
	store a.raw
	dm-checkpoint abandon site
	exits 1 seal
	one_line session
	[ "$(count)" -eq 0 ]
}

@test "changes must start from the latest checkpoint" {
	checkpoint a.raw
	cp a.raw b.raw
	poke b.raw 1000000 4096
	checkpoint b.raw
	poke b.raw 2000000 4096
	checkpoint b.raw
	exits 0 dm-checkpoint init copy
	copy() {
		dm-recover "$@" site web1 | dm-send repo:site | dm-write repo:copy |
			dm-checkpoint commit --workload web1 copy
	}
	exits 1 copy --at 3 --since 2
	one_line "full iteration"
	exits 0 copy --at 1
	exits 0 copy --at 2 --since 1
	exits 1 copy --at 3 --since 1
	one_line "start from checkpoint 1" "checkpoint 2"
	exits 0 copy --at 3 --since 2
	[ "$(dm-checkpoint list --json copy | jq -c 'map(.kind)')" = '["full","incremental","incremental"]' ]
	for i in 1 2 3; do
		[ "$(dm-checkpoint show --json --at $i site web1 | jq .disks[0].root)" = \
		    "$(dm-checkpoint show --json --at $i copy web1 | jq .disks[0].root)" ]
	done
}

@test "one iteration of a workload at a time" {
	mkfifo slow
	dm-checkpoint commit --workload web1 site <slow 2>first.err &
	pid=$!
	exec 9>slow
	# Were the second one the faster, it would be alone.
	begun() { readlink /proc/"$pid"/fd/* | grep -q '/catalog/web1/lock$'; }
	wait_for begun
	exits 1 dm-checkpoint commit --workload web1 site </dev/null
	one_line "dm-checkpoint: another iteration of web1 is running"
	exits 4 dm-checkpoint commit --workload db1 site </dev/null
	exec 9>&-
	code=0
	wait $pid || code=$?
	[ "$code" -eq 4 ]
}

@test "the first cause is told once and passed back to the FIFO" {
	mkfifo acks
	cat acks >back.bin &
	pid=$!
	exits 4 within 100 bash -c 'head -c 5000000 a.raw >/dev/null; dm-send --all vdb=nowhere.raw |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload web1 site'
	one_line "dm-send" "nowhere.raw"
	wait $pid
	[ "$(dm-json <back.bin | jq -r 'select(.type == "abort").text')" = "$err" ]
}

@test "acks go on to the FIFO, END with the checkpoint" {
	store a.raw
	mkfifo acks
	cat acks >back.bin &
	pid=$!
	exits 0 within 100 dm-checkpoint commit --workload web1 --acks acks site <acks.bin
	wait $pid
	[ "$(dm-json <back.bin | jq -c 'del(.service_us)')" = "$(dm-json <acks.bin | jq -c 'del(.service_us)')" ]
	exits 0 within 100 bash -c 'dm-checkpoint commit --workload web1 --acks - site <acks.bin >out.bin'
	[ "$(dm-json <out.bin | tail -1 | jq -r .type)" = end ]
}

@test "a FIFO that nobody reads does not hold up a checkpoint" {
	store a.raw
	mkfifo acks
	exits 0 within 100 dm-checkpoint commit --workload web1 --acks acks site <acks.bin
	[ "$(count)" -eq 1 ]
	exits 2 dm-checkpoint commit --workload web1 --acks absent site <acks.bin
}

@test "a reader of the FIFO that goes away does not either" {
	store a.raw
	mkfifo acks
	head -c 10 acks >/dev/null &
	exits 0 within 100 dm-checkpoint commit --workload web1 --acks acks site <acks.bin
	[ "$(count)" -eq 1 ]
}

@test "interrupted sessions are listed and given up" {
	store a.raw
	[ "$(dm-checkpoint sessions --json site | jq -c '[length, .[0].alive, .[0].disks[0].name]')" = '[1,false,"vdb"]' ]
	exits 0 dm-checkpoint sessions site
	[[ $output == *interrupted* ]]
	exits 2 dm-checkpoint abandon site nonsense
	exits 0 dm-checkpoint abandon site "$(dm-checkpoint sessions --json site | jq -r '.[0].session')"
	[ "$(dm-checkpoint sessions --json site)" = "[]" ]
	exits 0 dm-checkpoint abandon site
}

@test "a session that ends and begins again while it is being given up is left alone" {
	local id n got=0
	store a.raw
	id=$(dm-checkpoint sessions --json site | jq -r '.[0].session')
	for n in {1..40}; do	# the call that opens its lock file is among them
		preload_fault "dm-checkpoint:openat:$n:STOP"
		dm-checkpoint abandon site "$id" 2>/dev/null 3>&- &
		no_fault
		wait_for grep -q '^State:.T' "/proc/$!/status"
		find "/proc/$!/fd" -lname "*/open/$id" | grep -q . && break
		kill -KILL "$!"
	done
	rm "site/open/$id"
	: >"site/open/$id"
	kill -CONT "$!"
	wait "$!" || got=$?
	[ "$got" = 1 ]
	[ -e "site/open/$id" ]
	[ -s "site/open/$id.json" ]
}

@test "a damaged record is told, and hides no other" {
	checkpoint a.raw
	checkpoint a.raw
	sed -i 's/"full"/"fool"/' site/catalog/web1/1.json
	exits 3 dm-checkpoint list site
	one_line catalog/web1/1.json kind
	exits 0 dm-checkpoint show site web1
	exits 0 dm-checkpoint show --at 2 site web1
}

@test "verify finds damage and names what it costs" {
	checkpoint a.raw
	exits 0 dm-checkpoint verify site
	[[ $output == *"1 checkpoints"* ]]
	pack=$(find site/chunks/packs -name '*.pack' -size +1M)
	poke "$pack" 1500000 16
	exits 1 dm-checkpoint verify --json site
	[ "$(jq -c '[.ok, (.damaged | length), .affected[0].workload, .affected[0].seq, .affected[0].disk]' <.out)" = \
	    '[false,1,"web1",1,"vdb"]' ]
	checkpoint a.raw		# stores the chunk anew
	exits 0 dm-checkpoint verify site
}

@test "a deleted or rebuilt index loses nothing" {
	checkpoint a.raw
	rm -r site/chunks/index
	exits 0 dm-checkpoint verify site
	exits 0 dm-checkpoint reindex site
	exits 0 dm-checkpoint verify site
	exits 0 dm-checkpoint stats site
	[ "$(dm-checkpoint stats --json site | jq .types.chunk.records)" -eq 3 ]
}

@test "output that cannot be written is a failure" {
	checkpoint a.raw
	exits 4 bash -c 'dm-checkpoint list site >/dev/full'
	exits 4 bash -c 'dm-checkpoint show --json site web1 >/dev/full'
}

@test "a record that rots in a harmless place is found" {
	dm-checkpoint init --chunk-size 64K rot
	head -c 100000 /dev/urandom >rot.raw
	dm-send --all --chunk-size 64K vdb=rot.raw | dm-write repo:rot |
		dm-checkpoint commit --workload w rot
	[ "$(jq -r '.check | test("^xxh3:[0-9a-f]{16}$")' rot/catalog/w/1.json)" = true ]
	exits 0 dm-checkpoint verify rot
	sed -i 's/"root:/"rnot:/' rot/catalog/w/1.json
	exits 1 dm-checkpoint verify rot
	[[ $output == *"catalog/w/1.json"*"does not agree with its check"* ]]
	# A record of a version that made no check is taken as it is.
	jq 'del(.check) | .disks[0].point |= sub("rnot"; "root")' rot/catalog/w/1.json >old
	cp old rot/catalog/w/1.json
	exits 0 dm-checkpoint verify rot
}

# more: three more checkpoints of a.raw, each changed a little.
more() {
	local i
	for i in 1 2 3; do
		poke a.raw $((i * 70000)) 4096
		checkpoint a.raw
	done
}

# forge FILE FILTER: into f; a record without a check is taken as it is.
forge() {
	jq "del(.check) | $2" "$1" >f
}

@test "a record that was replaced, or put back from before, is found" {
	checkpoint a.raw
	cp -r site before
	more
	exits 0 dm-checkpoint verify site
	mkdir kept && cp -p site/catalog/web1/*.json kept
	# Forged: good in itself.
	forge kept/2.json '.disks[0].size = 4194304'
	cp --remove-destination f site/catalog/web1/2.json
	exits 0 dm-checkpoint show --at 2 site web1
	exits 1 dm-checkpoint verify --json site
	[ "$(jq -c '[.affected[] | [.seq, .disk]] | unique | .[0]' <.out)" = '[2,""]' ]
	exits 1 dm-recover --at 2 site web1
	[[ $err == *"checkpoints 1 and 2"* || $err == *"checkpoints 2 and 3"* ]]
	exits 1 dm-checkpoint export --at 2 site web1 x.tar
	exits 1 dm-send "repo:site#web1/2" </dev/null
	exits 0 bash -c "dm-recover --at 4 site web1 >/dev/null"
	cp --remove-destination kept/2.json site/catalog/web1/2.json
	# Of another history: the site was put back and went on from there.
	poke a.raw 300000 4096
	dm-send --all vdb=a.raw | dm-write repo:before | dm-checkpoint commit --workload web1 before
	cp --remove-destination before/catalog/web1/2.json site/catalog/web1/
	exits 1 dm-checkpoint verify site
	[[ $output == *"web1 checkpoint 2, its record: "*"checkpoint 3 was made after"* ]]
	cp --remove-destination kept/2.json site/catalog/web1/2.json
	exits 0 dm-checkpoint verify site
	# The latest does not fit the one before: nothing is made on top of it.
	forge kept/3.json '.chunks = 1'
	cp --remove-destination f site/catalog/web1/3.json
	store a.raw
	exits 1 dm-checkpoint commit --workload web1 site <acks.bin
	one_line "checkpoints 3 and 4" replaced
	[ "$(ls site/catalog/web1 | grep -c json)" -eq 4 ]
	# Whoever cuts the chain out is found too.
	cp --remove-destination kept/3.json site/catalog/web1/3.json
	forge kept/4.json 'del(.chain)'
	cp --remove-destination f site/catalog/web1/4.json
	exits 1 dm-checkpoint verify site
	[[ $output == *"web1 checkpoint 4, its record: it is not chained"* ]]
}

@test "the chain holds over what was pruned, and b2sum can follow it" {
	checkpoint a.raw
	more
	more
	cp -p site/catalog/web1/*.json .
	exits 0 dm-checkpoint pin site web1 2
	exits 0 dm-checkpoint prune --keep-last 2 site
	[ "$(ls site/catalog/web1 | grep json | tr '\n' ' ')" = "2.json 6.json 7.json " ]
	exits 0 dm-checkpoint verify site
	exits 0 bash -c "dm-recover --at 2 site web1 >/dev/null"
	# link SEQ: of a record that is there.
	link() {
		echo "$(jq -r .chain "$1.json" | cut -d: -f2) $(b2sum -l 256 <"$1.json" | cut -d' ' -f1)" |
			b2sum -l 256 | cut -d' ' -f1
	}
	# far SEQ N: the nth link that it names.
	far() {
		jq -r .chain "$1.json" | cut -d: -f2 | cut -d, -f "$2"
	}
	for n in 1 2 3 4 5 6; do
		[ "$(link $n)" = "$(far $((n + 1)) 1)" ]
	done
	[ "$(link 2)" = "$(far 4 2)" ]
	[ "$(link 4)" = "$(far 6 2)" ]
	[ "$(dm-checkpoint show --json site web1 | jq -r .link)" = "blake2b:$(link 7)" ]
	while read -r seq chain content; do
		[[ $seq != *-* ]] || continue
		[ "$seq $chain $content" = "$seq $(jq -r .chain "$seq.json" | cut -d: -f2) $(b2sum -l 256 <"$seq.json" | cut -d' ' -f1)" ]
	done <site/catalog/web1/pruned
	[ "$(cut -d' ' -f1 site/catalog/web1/pruned | tr '\n' ' ')" = "1-1 3-5 4 " ]
	# Behind pruned ones a forgery shows all the same.
	forge 2.json '.chunks = 1'
	cp --remove-destination f site/catalog/web1/2.json
	exits 1 dm-checkpoint verify site
	[[ $output == *"web1 checkpoint 2, its record: "*"checkpoint 6 was made after"* ]]
	exits 1 dm-recover --at 2 site web1
	cp --remove-destination 2.json site/catalog/web1/2.json
	# So does a note that is another's; a line that was cut short does not hurt.
	cp site/catalog/web1/pruned notes
	sed -i '/^4 /s/.$/x/; /^4 /s/ [^ ]*$/ '"$(printf %064d 7)"'/' site/catalog/web1/pruned
	exits 1 dm-checkpoint verify site
	[[ $output == *"web1 checkpoint 4, its record: what is noted of it"* ]]
	# And one that is needed and was cut out, until it is given up.
	grep -v '^4 ' notes >site/catalog/web1/pruned
	exits 1 dm-checkpoint verify site
	[[ $output == *"web1 checkpoint 5, its record: it was pruned, and what was noted of it is gone"* ]]
	cp -r site given
	exits 0 dm-checkpoint prune --forget-missing given
	exits 0 dm-checkpoint verify given
	(cat notes; printf '9 0123') >site/catalog/web1/pruned
	exits 0 dm-checkpoint verify site
	exits 0 dm-checkpoint unpin site web1 2
	exits 0 dm-checkpoint prune --keep-last 2 site
	[ "$(cat site/catalog/web1/pruned)" = "1-5 gone" ]
	exits 0 dm-checkpoint verify site
}

@test "what is noted of the pruned stays small, whoever reads meanwhile" {
	truncate -s 64K small.raw
	image_random small.raw 64K
	dm-checkpoint init --chunk-size 64K many
	# Verify goes on all the time, and finds nothing.
	(
		while [ ! -e stop ]; do
			dm-checkpoint verify many >verify.out 2>&1 || { cp verify.out failed; break; }
		done
	) 3>&- &
	for i in $(seq 40); do
		poke small.raw $((i * 1000)) 100
		dm-send --all --chunk-size 64K vdb=small.raw | dm-write repo:many | dm-checkpoint commit --workload w many
		[ $((i % 13)) -ne 3 ] || dm-checkpoint pin many w $i
		[ $((i % 4)) -ne 0 ] || exits 0 dm-checkpoint prune --keep-last 2 many
	done
	touch stop
	wait $!
	[ ! -e failed ] || { cat failed; false; }
	# One that was being read when its turn came goes now.
	exits 0 dm-checkpoint prune --keep-last 2 many
	exits 0 dm-checkpoint verify many
	[ "$(dm-checkpoint list --json many | jq -c 'map(.seq)')" = '[3,16,29,39,40]' ]
	# Of 35, those by which the steps go from 39 to 29, 29 to 16, 16 to 3, and the
	# rows of the others; which these are hangs on what verify read at the time.
	[ "$(wc -l <many/catalog/w/pruned)" -le 18 ]
	for seq in 3 16 29; do
		cp many/catalog/w/$seq.json was
		forge was '.chunks = 77'
		cp --remove-destination f many/catalog/w/$seq.json
		exits 1 dm-checkpoint verify many
		[[ $output == *"w checkpoint $seq, its record: "* ]]
		cp --remove-destination was many/catalog/w/$seq.json
	done
	rm many/catalog/w/16.json
	exits 1 dm-checkpoint verify many
	[[ $output == *"w checkpoint 16, its record: it is gone, and prune did not drop it"* ]]
	# What the chain needs is not thrown away meanwhile.
	cp many/catalog/w/pruned notes
	exits 0 dm-checkpoint prune --keep-last 2 many
	cmp notes many/catalog/w/pruned
	exits 0 dm-checkpoint prune --forget-missing --keep-last 2 many
	exits 0 dm-checkpoint verify many
}

@test "verify holds the site against what was noted of it elsewhere" {
	local why='[.affected[] | .seq, .disk, .why]'
	checkpoint a.raw
	more
	dm-checkpoint list --json site >noted
	dm-checkpoint show --json site web1 >latest
	exits 0 dm-checkpoint verify --expect noted site
	[[ $output == *"web1 stands on checkpoint 4 as it was noted"* ]]
	exits 0 dm-checkpoint verify --json --expect latest site
	[ "$(jq -c .expected <.out)" = '[{"workload":"web1","seq":4}]' ]
	exits 0 dm-checkpoint verify --json site
	[ "$(jq .expected <.out)" = null ]
	cp -r site before
	more
	exits 0 dm-checkpoint verify --expect noted site
	# The whole site is put back: good in itself.
	exits 0 dm-checkpoint verify before
	dm-checkpoint list --json site >noted7
	exits 1 dm-checkpoint verify --json --expect noted7 before
	[ "$(jq -c "$why" <.out)" = '[7,"","it was noted, and the newest here is 4: this is an older site"]' ]
	# And goes on from there.
	for i in 1 2 3; do
		poke a.raw $((i * 50000)) 999
		dm-send --all vdb=a.raw | dm-write repo:before | dm-checkpoint commit --workload web1 before
	done
	exits 0 dm-checkpoint verify --expect noted before
	exits 1 dm-checkpoint verify --json --expect noted7 before
	[ "$(jq -c "$why | .[:2]" <.out)" = '[7,""]' ]
	[[ $(jq -r .affected[0].why <.out) == "its link is not the one that was noted"* ]]
	# The noted record stays, and what follows is another's: nothing leads to it.
	forge before/catalog/web1/7.json 'del(.chain)'
	cp --remove-destination f before/catalog/web1/7.json
	exits 1 dm-checkpoint verify --json --expect noted before
	[ "$(jq -c '[.affected[].why] | any(test("as noted, but nothing links checkpoint 7 to it"))' <.out)" = true ]
	# The newest that was noted and is there counts; a pin keeps it.
	dm-checkpoint pin site web1 2
	exits 0 dm-checkpoint prune --keep-last 1 site
	exits 0 dm-checkpoint verify --expect noted site
	[[ $output == *"web1 stands on checkpoint 2 as it was noted"* ]]
	exits 1 dm-checkpoint verify --json --expect latest site
	[[ $(jq -r .affected[0].why <.out) == "it was noted and is not here any more"* ]]
	jq '[.[], (.[0] | .workload = "other")]' noted >two
	exits 1 dm-checkpoint verify --json --expect two site
	[ "$(jq -c '[.affected[] | .workload]' <.out)" = '["other"]' ]
	# What nobody noted.
	echo '[]' >none
	exits 2 dm-checkpoint verify --expect none site
	one_line "no checkpoint is noted"
	jq 'map(del(.link))' noted >none
	exits 2 dm-checkpoint verify --expect none site
	one_line "entry 1"
	exits 2 dm-checkpoint verify --expect a.raw site
	exits 2 dm-checkpoint verify --expect nowhere site
	one_line "No such file"
}

@test "a record that is gone without prune is told until somebody says so" {
	checkpoint a.raw
	more
	rm site/catalog/web1/2.json
	exits 1 dm-checkpoint verify --json site
	[ "$(jq -c '.affected | map([.seq, .disk, .why])' <.out)" = \
	    '[[2,"","it is gone, and prune did not drop it"]]' ]
	exits 0 bash -c "dm-recover --at 3 site web1 >/dev/null"
	exits 0 dm-checkpoint prune --dry-run --forget-missing --json site
	[ "$(jq .forgotten <.out)" -eq 1 ]
	exits 1 dm-checkpoint verify site
	exits 0 dm-checkpoint prune --forget-missing site
	[[ $output == *"1 records that are gone noted"* ]]
	exits 0 dm-checkpoint verify site
	checkpoint a.raw
	exits 0 dm-checkpoint verify site
}

# The manual is enough to get one's disks back without these programs.
@test "a reader made from dm-repository(5) alone gets the disk back" {
	dm-checkpoint init site5
	head -c 3000000 /dev/urandom >d.raw
	yes some text | head -c 1000000 >>d.raw
	truncate -s 37000001 d.raw
	dm-send --all vdb=d.raw | dm-write repo:site5 | dm-checkpoint commit --workload w site5
	cp d.raw 1.raw
	for i in 1 2 3; do
		poke d.raw $((i * 1000000)) 5000
		poke d.raw $((30000000 + i * 4096)) 5000
		dm-changed --against 'repo:site5#w' vdb=d.raw | dm-describe | dm-window |
			dm-send --compress zstd vdb=d.raw | dm-write repo:site5 |
			dm-checkpoint commit --workload w site5
	done
	[ "$(dm-checkpoint stats --json site5 | jq .types.overlay.records)" != 0 ]
	"$DM_LIB/read-site.py" site5 w 1 vdb >back1.raw
	same 1.raw back1.raw
	"$DM_LIB/read-site.py" site5 w 4 vdb >back.raw
	same d.raw back.raw
}
