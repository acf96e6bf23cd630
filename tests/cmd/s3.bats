# Sites in an object store, against a strict server; the vendor's own client
# looks at the server and at what lies there.
# bats file_tags=long
load ../lib/common
load ../lib/volumes
load ../lib/pipeline
load ../lib/faults
load ../lib/s3

setup() { dm_setup; }
teardown() { dm_teardown; }

# 24 MB of data in 64, so that a pack is more than one piece.
disk() {
	image_random part 24M
	truncate -s 64M "$1"
	dd if=part of="$1" bs=1M seek=3 conv=notrunc status=none
}
change() {
	poke "$1" $((3145728 + RANDOM * 700)) 1000000
}

# join DIR: another machine's directory for the same site.
join() {
	exits 0 dm-checkpoint init --store s3://bucket/site --join "$1"
}

# written SITE FILE: the acks of a whole iteration that is durable and not
# committed, in FILE.acks.
written() {
	sh_exits 0 "dm-changed disk=$2 | dm-describe | dm-window --resume $1 | dm-send disk=$2 | dm-recv |
		dm-write repo:$1 >$2.acks"
}

# committer SITE FILE: a dm-checkpoint that has all of FILE.acks but its end,
# and a lease; its number is $pid, go_on lets it have the rest.
committer() {
	mkfifo "$2.fifo"
	dm-checkpoint commit --workload w "$1" <"$2.fifo" 2>"$2.err" 3>&- &
	pid=$!
	at_end kill_if_alive "$pid"
	exec {fifo}>"$2.fifo"
	head -c -8 "$2.acks" >&"$fifo"
	wait_for s3_leased "$1"
}
go_on() {
	tail -c 8 "$1.acks" >&"$fifo"
	exec {fifo}>&-
}
kill_if_alive() {
	kill -KILL "$1" 2>/dev/null || :
}
# Is a lease of this directory there?
s3_leased() {
	s3_names site/open/ | grep -q "\.$(jq -r .machine "$1/config")\."
}
commits() {
	local got=0
	wait "$2" || got=$?
	[ "$got" = "$1" ] || die "dm-checkpoint ended with $got: $(cat ./*.err)"
}

@test "a site in a bucket: full and incremental there, listed, verified and recovered from two machines" {
	s3_start --page 7
	s3_site site
	disk a.raw
	full site w disk=a.raw
	cp --sparse=always a.raw old.raw
	change a.raw
	scan site w disk=a.raw
	[ "$(record site w .kind)" = incremental ]
	# The directory holds the index, locks and copies of records, and nothing else.
	[ -z "$(find site/chunks/packs site/catalog site/chunks/tmp -type f ! -name lock ! -name '*.copy')" ]
	join other
	[ "$(dm-checkpoint list --json other)" = "$(dm-checkpoint list --json site)" ]
	for s in site other; do
		dm-restore "$s" w back.raw
		same a.raw back.raw
		rm back.raw
		dm-restore --at 1 "$s" w back.raw
		same old.raw back.raw
		rm back.raw
		dm-checkpoint verify "$s" >/dev/null
	done
	# and on with the other
	change a.raw
	scan other w disk=a.raw
	[ "$(checkpoints site w)" = 3 ]
	# The index is anybody's to lose.
	rm -r site/chunks/index
	dm-restore site w back.raw
	same a.raw back.raw
	exits 1 dm-checkpoint init --store s3://bucket/site third
	[[ $err == *"has a site already"*--join* ]]
	exits 1 dm-checkpoint init --store s3://bucket/elsewhere --join third
	[[ $err == *"has no site"* ]]
}

@test "the vendor's client finds what is documented, and the server keeps its own rules" {
	local pack
	s3_start --page 3
	s3_site site
	disk a.raw
	full site w disk=a.raw
	unset LC_ALL
	# Debian's knows no endpoint by the environment.
	aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }
	aws s3api list-objects-v2 --bucket bucket --prefix site/ >list
	[ "$(jq -r '.Contents[].Key' list)" = "$(s3_names site/)" ]
	aws s3 cp s3://bucket/site/catalog/w/1.json record >/dev/null
	[ "$(jq -r .workload record)" = w ]
	pack=$(s3_names site/packs/ | head -n 1)
	aws s3api get-object --bucket bucket --key "$pack" --range bytes=0-6 head >/dev/null
	[ "$(cat head)" = dm-pack ]
	# what is refused: another's signature, a sum that is not the body's
	AWS_SECRET_ACCESS_KEY=wrong fails aws s3api list-objects-v2 --bucket bucket >list 2>&1
	grep -q SignatureDoesNotMatch list
	AWS_SECRET_ACCESS_KEY=wrong exits 4 dm-checkpoint list site
	[[ $err == *SignatureDoesNotMatch* ]]
	AWS_ACCESS_KEY_ID=else exits 4 dm-checkpoint list site
	[[ $err == *InvalidAccessKeyId* ]]
}

@test "a site is named by its bucket alone, where no directory was made for it" {
	s3_start
	export XDG_CACHE_HOME=$T/cache
	exits 0 dm-checkpoint init s3://bucket/site
	mkfifo acks
	disk a.raw
	full s3://bucket/site w disk=a.raw
	change a.raw
	scan s3://bucket/site w disk=a.raw
	rm -r cache
	dm-restore s3://bucket/site w back.raw
	same a.raw back.raw
	sh_exits 0 "dm-recover s3://bucket/site w | dm-window | dm-send s3://bucket/site | dm-write again.raw"
	same a.raw again.raw
	exits 1 dm-checkpoint list s3://bucket/none
	[[ $err == *"has no site"* ]]
	exits 1 dm-checkpoint init s3://bucket/site
}

@test "a store that ignores conditions is refused, and so is one that is not there" {
	s3_start --ignore-condition yes
	exits 1 dm-checkpoint init --store s3://bucket/site site
	[[ $err == "dm-checkpoint: s3://bucket/site: the store ignores the condition of a put"* ]]
	[ ! -e site/config ]
	[ -z "$(s3_names site/)" ]
	exits 4 dm-checkpoint init --store s3://missing/site site
	[[ $err == *NoSuchBucket* ]]
	exits 2 dm-checkpoint init --store http://x/y site
	exits 2 dm-checkpoint init --join site
}

@test "an iteration that was cut off goes on where it was, from this machine and from another" {
	s3_start
	s3_site site --lease 4
	disk a.raw
	exits 4 within 200 bash -c "set -o pipefail; dm-changed disk=a.raw | dm-describe | dm-window --interval 4M |
		dm-send disk=a.raw | head -c 15M | dm-recv | dm-write repo:site | dm-checkpoint commit --workload w site"
	[ "$(dm-checkpoint sessions --json site | jq -c '[.[] | .alive]')" = '[false]' ]
	exits 4 within 200 bash -c "set -o pipefail; dm-changed disk=a.raw | dm-describe | dm-window --interval 4M --resume site |
		dm-send disk=a.raw | head -c 8M | dm-recv | dm-write repo:site | dm-checkpoint commit --workload w site"
	join other
	wait_for eval '! dm-checkpoint sessions --json other | jq -e "any(.alive)" >/dev/null'
	full other w disk=a.raw
	dm-restore site w back.raw
	same a.raw back.raw
	[ "$(dm-checkpoint sessions --json site)" = '[]' ]
}

@test "two writers of one workload: one commits, the other ends with 1" {
	local one two got=0
	s3_start
	s3_site site
	join other
	disk a.raw
	cp --sparse=always a.raw b.raw
	change b.raw
	written site a.raw
	committer site a.raw
	one=$pid onefd=$fifo
	written other b.raw
	committer other b.raw
	two=$pid
	go_on b.raw
	fifo=$onefd
	go_on a.raw
	wait "$one" || got=1$?
	wait "$two" || got=$((got + 1 + $?))
	[ "$got" = 11 ] || [ "$got" = 2 ] || die "$got: $(cat ./*.err)"
	grep -qh 'another writer committed checkpoint 1 of w' a.raw.err b.raw.err
	[ "$(checkpoints site w)" = 1 ]
	dm-restore site w back.raw
	cmp -s a.raw back.raw || same b.raw back.raw
	dm-checkpoint verify site >/dev/null
}

@test "a writer whose lease lapsed does not commit, whether it was given up or not" {
	s3_start
	s3_site site --lease 4
	join other
	disk a.raw
	written site a.raw
	committer site a.raw
	kill -STOP "$pid"
	# By the store's clock and not ours: until the other machine counts it out.
	wait_for eval '! dm-checkpoint sessions --json other | jq -e "any(.alive)" >/dev/null'
	kill -CONT "$pid"
	go_on a.raw
	commits 4 "$pid"
	grep -q 'lapsed' a.raw.err
	[ "$(checkpoints site w)" = 0 ]
	# Nothing is lost of it.
	full other w disk=a.raw
	dm-restore site w back.raw
	same a.raw back.raw
}

@test "a writer that was given up does not commit, though it believes in its lease" {
	s3_start
	s3_site site --lease 600	# it is not renewed meanwhile
	join other
	disk a.raw
	written site a.raw
	committer site a.raw
	for l in $(s3_names site/open/ | grep -v json); do
		s3_do DELETE "/bucket/$l"
	done
	exits 0 dm-checkpoint abandon other
	go_on a.raw
	commits 1 "$pid"
	grep -q 'was given up' a.raw.err
	[ "$(checkpoints site w)" = 0 ]
	full other w disk=a.raw
	dm-restore site w back.raw
	same a.raw back.raw
}

@test "prune waits for writers of other machines, hides from those that come what goes, and frees it" {
	local writer to before half
	s3_start
	s3_site site
	join other
	join third
	disk a.raw
	full site w disk=a.raw
	cp --sparse=always a.raw first.raw
	image_random others 24M
	dd if=others of=a.raw bs=1M seek=3 conv=notrunc status=none
	full site w disk=a.raw
	# The other machine is at work; what it writes is what the first checkpoint
	# had, and no state of its session names it yet.
	sh_exits 0 "dm-changed disk=first.raw | dm-describe | dm-window | dm-send disk=first.raw | dm-recv >first.stream"
	mkfifo in
	dm-write repo:other <in >first.acks 3>&- &
	writer=$!
	at_end kill_if_alive "$writer"
	exec {to}>in
	half=$(($(stat -c %s first.stream) / 2))
	head -c "$half" first.stream >&"$to"
	wait_for s3_leased other
	exits 0 dm-checkpoint prune --keep-last 1 --json site
	[ "$(jq -c '[.waiting > 8, .waits_for, .deleted]' <<<"$output")" = '[true,1,0]' ] || die "$output"
	# One that comes now does not count on what is doomed.
	before=$(s3_stats | jq '[.objects.bucket[]] | add')
	full third x disk=first.raw
	[ "$(s3_stats | jq '[.objects.bucket[]] | add')" -gt $((before + (10 << 20))) ]
	tail -c +$((half + 1)) first.stream >&"$to"
	exec {to}>&-
	wait "$writer"
	exits 0 dm-checkpoint commit --workload w other <first.acks
	exits 0 dm-checkpoint prune --keep-last 1 --json site
	[ "$(jq .waits_for <<<"$output")" = 0 ]
	for s in site other third; do
		dm-checkpoint verify "$s" >/dev/null
		dm-restore "$s" w back.raw
		same first.raw back.raw
		rm back.raw
		dm-restore "$s" x back.raw
		same first.raw back.raw
		rm back.raw
	done
	# All of the two is there once.
	[ "$(s3_stats | jq '[.objects.bucket[]] | add')" -lt $((before - (20 << 20))) ]
}

@test "a prune whose turn lapsed drops no more checkpoints" {
	local prune got=0
	s3_start
	s3_site site --lease 6
	image_random a.raw 1M
	for _ in 1 2 3; do
		full site w disk=a.raw
	done
	preload_fault dm-checkpoint:unlinkat:1:STOP	# the first is gone, and so is its copy
	dm-checkpoint prune --keep-last 1 site 2>prune.err 3>&- &
	prune=$!
	at_end kill_if_alive "$prune"
	no_fault
	wait_for grep -q '^State:.T' "/proc/$prune/status"
	[ "$(checkpoints site w)" = 2 ]
	sleep 7		# more than the lease lasts, which only its holder tells
	kill -CONT "$prune"
	wait "$prune" || got=$?
	[ "$got" = 4 ]
	grep -q lapsed prune.err
	[ "$(checkpoints site w)" = 2 ]
	exits 0 dm-restore --at 2 site w back.raw
	exits 0 dm-checkpoint prune --keep-last 1 site
	[ "$(checkpoints site w)" = 1 ]
}

@test "what prune rewrites on one machine is found by another that had it in its index" {
	s3_start
	s3_site site
	disk a.raw
	for _ in 1 2 3; do
		full site w disk=a.raw
		change a.raw
	done
	join other
	dm-checkpoint verify other >/dev/null
	exits 0 dm-checkpoint prune --keep-last 1 --json site
	[ "$(jq .packs_removed <<<"$output")" -gt 0 ]
	scan other w disk=a.raw
	dm-restore other w back.raw
	same a.raw back.raw
	dm-checkpoint verify other >/dev/null
	dm-checkpoint verify site >/dev/null
	# and one that was pinned, or is read, stays
	dm-checkpoint pin other w latest
	full site w disk=a.raw
	exits 0 dm-checkpoint prune --keep-last 1 site
	[ "$(checkpoints other w)" = 2 ]
	dm-checkpoint unpin site w "$(dm-checkpoint list --json site w | jq -r '.[0].seq')"
	exits 0 dm-checkpoint prune --keep-last 1 other
	[ "$(checkpoints site w)" = 1 ]
}

@test "what is noted of the pruned is folded in a store too, and another machine goes on" {
	s3_start
	s3_site site
	image_random a.raw 64K
	full site w disk=a.raw
	for _ in 2 3 4 5 6; do
		poke a.raw $((RANDOM % 60000)) 100
		scan site w disk=a.raw
	done
	exits 0 dm-checkpoint pin site w 1
	exits 0 dm-checkpoint prune --keep-last 1 site
	noted() {
		s3_do GET /bucket/site/catalog/w/pruned | cut -d' ' -f1 | tr '\n' ' '
	}
	[ "$(noted)" = "2-5 2 4 " ]
	dm-checkpoint list --json site >noted.json
	exits 0 dm-checkpoint init --store s3://bucket/site --join other
	for _ in 7 8; do
		poke a.raw $((RANDOM % 60000)) 100
		scan other w disk=a.raw
	done
	# The eighth names the fourth, of which there is only the note.
	[ "$(dm-checkpoint show --json other w | jq '.chain | split(",") | length')" = 3 ]
	exits 0 dm-checkpoint prune --keep-last 1 other
	[ "$(noted)" = "2-7 2 4 " ]
	exits 0 dm-checkpoint verify --expect noted.json site
	[[ $output == *"w stands on checkpoint 1 as it was noted"* ]]
	dm-restore other w back.raw
	same a.raw back.raw
}

@test "throttling, errors, resets, damage and lost answers on the way are lived with" {
	s3_start --page 4 --fault throttle=11 --fault error=13 --fault reset=17 --fault expired=19 --fault short=7 \
		--fault badsum=5 --fault conflict=3 --fault lost=4
	s3_site site
	disk a.raw
	full site w disk=a.raw
	for _ in 1 2 3; do
		change a.raw
		scan site w disk=a.raw
	done
	[ "$(checkpoints site w)" = 4 ]
	dm-restore site w back.raw
	same a.raw back.raw
	exits 0 dm-checkpoint prune --keep-last 1 site
	dm-checkpoint verify site >/dev/null
}

@test "what the store refuses, however it puts that, is not done" {
	s3_start
	s3_site site
	disk a.raw
	written site a.raw
	s3_faults unfit=1
	exits 4 dm-checkpoint commit --workload w site <a.raw.acks
	one_line "InvalidRange"
	s3_faults
	[ "$(checkpoints site w 2>/dev/null || echo 0)" = 0 ]
	exits 0 dm-checkpoint commit --workload w site <a.raw.acks
	[ "$(checkpoints site w)" = 1 ]
}

# bats test_tags=plain
@test "an answer that never comes ends after a while" {
	requests() { s3_stats | jq '[.stats | .GET, .PUT, .HEAD, .DELETE | values] | add'; }
	local before
	s3_start
	s3_site site
	disk a.raw
	full site w disk=a.raw
	# One of some fifty requests: each ends after 20 seconds.
	before=$(requests)
	s3_faults silent=30
	dm-checkpoint list site >/dev/null
	within 300 dm-checkpoint verify site >/dev/null
	[ $(($(requests) - before)) -gt 30 ]
}

@test "bytes that were damaged on the way are not called rotten" {
	local n
	s3_start
	s3_site site
	disk a.raw
	full site w disk=a.raw
	for n in 1 7 15; do
		s3_faults flip=$n
		exits 0 dm-checkpoint verify --json site
		s3_faults
		jq -e '.ok and (.damaged | length) == 0' <<<"$output" >/dev/null
	done
	for n in 1 7 15; do
		s3_faults flip=$n
		exits 0 dm-restore site w back.raw
		same a.raw back.raw
		s3_faults flip=$n
		exits 0 dm-checkpoint export site w out.tar
		s3_faults
		rm back.raw out.tar
	done
}

@test "a store that lists more than was asked for misleads nobody" {
	local before
	s3_start
	dm-checkpoint key new k
	export DM_KEY_FILE=k
	s3_site site --encrypt
	disk a.raw
	full site w disk=a.raw
	before=$(dm-checkpoint list --json site)
	# where "catalog/", "slots/" and "packs/" are expected in front
	s3_do PUT /bucket/x
	s3_do PUT /bucket/site/x
	s3_do PUT /bucket/site/other11/bad/9.json
	s3_do PUT /bucket/site/other/7
	s3_faults loose=1
	[ "$before" = "$(dm-checkpoint list --json site)" ]
	rm -r site/chunks/index
	dm-checkpoint verify site >/dev/null
	dm-restore site w back.raw
	same a.raw back.raw
}

@test "a store does not say where on this machine something is kept" {
	s3_start
	s3_site site
	s3_do GET /bucket/site/config >is
	jq --arg at "$T/elsewhere" '.index = $at | .index_map = 262144' is >config
	s3_do PUT /bucket/site/config config
	join other
	[ "$(jq -c '[.index, .index_map]' other/config)" = '[null,null]' ]
	exits 0 dm-checkpoint verify other
	[ ! -e elsewhere ]
}

@test "bytes that rotted in the store are found, named and stored anew" {
	local pack
	s3_start
	s3_site site
	disk a.raw
	full site w disk=a.raw
	pack=$(s3_names site/packs/ | head -n 1)
	curl -sSf "$s3_url/_corrupt?bucket=bucket&key=$pack&at=5000000" >/dev/null
	exits 1 dm-checkpoint verify site
	[[ $output == *"damaged: chunk"* ]]
	full site w disk=a.raw
	dm-restore site w back.raw
	same a.raw back.raw
	exits 1 dm-restore --at 1 site w no.raw || dm-restore --at 1 site w no2.raw
}

@test "encrypted at rest: nothing can be read there, and keys are changed from any machine" {
	s3_start
	dm-checkpoint key new k1
	dm-checkpoint key new k2
	s3_site site --encrypt --key k1
	export DM_KEY_FILE=k1
	disk a.raw
	printf 'a secret that is easy to find' | dd of=a.raw bs=1M seek=5 conv=notrunc status=none
	full site w disk=a.raw
	join other
	dm-restore other w back.raw
	same a.raw back.raw
	s3_do GET /bucket/site/catalog/w/1.json | fails grep -qa source_point
	for p in $(s3_names site/packs/); do
		s3_do GET "/bucket/$p" | fails grep -qa 'easy to find'
	done
	DM_KEY_FILE='' exits 1 dm-checkpoint list other
	# A key that was added here opens it there.
	dm-checkpoint key add --new-key k2 site second
	exits 0 dm-checkpoint list --key k2 other
	dm-checkpoint key remove --key k2 other first
	exits 1 dm-checkpoint list --key k1 site
	dm-checkpoint verify --key k2 site >/dev/null
}

@test "this build's programs link no HTTP library, and say so when the module is missing" {
	local dir
	for p in "$DM_BUILD"/bin/dm-*; do
		! ldd "$p" | grep -q libcurl || die "$p"
	done
	s3_start
	s3_site site
	mkdir -p away/bin
	cp "$DM_BUILD/bin/dm-checkpoint" away/bin
	exits 4 away/bin/dm-checkpoint list site
	[[ $err == *"lacks lib/dm/object_s3.so"* ]]
}

@test "killed at any moment, it loses nothing that was acknowledged" {
	s3_start
	STORE=s3://bucket/killed PATIENCE=300 "$DM_TOP/tests/fault/kill-rounds" 40
}
