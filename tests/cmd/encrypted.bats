# Sites encrypted at rest: nothing readable lies there, every reader needs the
# key, and what can be checked without it is.  dm-crypto(7)
load ../lib/common
load ../lib/pipeline
load ../lib/volumes

setup() {
	dm_setup
	image_random a.raw 5M
	truncate -s 8M a.raw
	printf 'a line nobody shall read %.0s' {1..2000} | dd of=a.raw bs=1M seek=6 conv=notrunc status=none
	dm-checkpoint key new k
	dm-checkpoint key new other
	export DM_KEY_FILE=$T/k
	exits 0 dm-checkpoint init --encrypt site
	mkfifo acks
}
teardown() { dm_teardown; }

# locked CODE COMMAND...: run without any key.
locked() {
	local code=$1
	shift
	exits "$code" env -u DM_KEY_FILE "$@"
}

@test "iterations, overlays, recovery, prune and verify, as in a plain site" {
	full site web1 secretdisk=a.raw
	cp a.raw first.raw
	for i in 1 2 3; do
		poke a.raw $((i * 700000)) 4096
		scan site web1 secretdisk=a.raw
	done
	recover site web1 latest secretdisk=b.raw
	same a.raw b.raw
	recover site web1 1 secretdisk=c.raw
	same first.raw c.raw
	[ "$(dm-checkpoint stats --json site | jq .types.overlay.records)" -gt 0 ]
	exits 0 dm-checkpoint verify site
	exits 0 dm-checkpoint prune --keep-last 1 site
	exits 0 dm-checkpoint prune --keep-last 1 site
	recover site web1 latest secretdisk=d.raw
	same a.raw d.raw
	rm -r site/chunks/index
	exits 0 dm-checkpoint verify --json site
	[ "$(jq .ok <<<"$output")" = true ]
	recover site web1 latest secretdisk=e.raw
	same a.raw e.raw
}

@test "nothing readable lies in the site" {
	local id
	full site web1 secretdisk=a.raw
	poke a.raw 700000 4096
	sh_exits 1 "$(iteration site web1 'dm-recover --ids --at latest site web1 | dm-changed --against - secretdisk=a.raw' secretdisk=a.raw |
		sed 's/dm-checkpoint commit.*/head -c 100 | false/')" || true
	fails grep -raq "nobody shall read" site
	fails grep -raq secretdisk site
	id=$(dm-recover --ids --at latest site web1 | dm-json | jq -r 'select(.id) | .id' | head -n 1)
	[ ${#id} -eq 64 ]
	[ "$(cat site/chunks/packs/*/*.pack | od -An -v -tx1 | tr -d ' \n' | grep -c "$id")" -eq 0 ]
	[ "$(find site -type f -perm /077 | wc -l)" -eq 0 ]
}

@test "without the key, or with another: refused; counted and checked still" {
	full site web1 a=a.raw
	for c in "list site" "show site web1" "prune --keep-last 1 site" "sessions site"; do
		locked 1 dm-checkpoint $c
		one_line "is encrypted" DM_KEY_FILE
		exits 1 dm-checkpoint ${c%% *} --key other ${c#* }
		one_line "does not open the site"
	done
	locked 1 dm-recover site web1
	locked 1 dm-send --all repo:site#web1
	locked 0 dm-recover --key k --at latest site web1
	locked 0 dm-checkpoint list --key k site
	locked 0 dm-checkpoint verify --json site
	[ "$(jq -c '[.ok, .locked, .checkpoints]' <<<"$output")" = '[true,true,0]' ]
	locked 0 dm-checkpoint stats --json site
	[ "$(jq .logical <<<"$output")" = null ]
	locked 0 dm-checkpoint reindex site
	exits 0 dm-checkpoint verify site
}

@test "a flipped bit is found without the key; a pack of another site is not believed" {
	local p
	full site web1 a=a.raw
	p=$(find site/chunks/packs -name '*.pack' | head -n 1)
	poke "$p" 3000000 1
	locked 1 dm-checkpoint verify site
	[[ $output == *damaged* ]]
	exits 1 dm-checkpoint verify site
	full site web1 a=a.raw
	exits 0 dm-checkpoint verify site
}

@test "a record moved to another number is refused" {
	full site web1 a=a.raw
	poke a.raw 700000 4096
	scan site web1 a=a.raw
	cp site/catalog/web1/1.json old
	cp --remove-destination old site/catalog/web1/2.json
	exits 3 dm-checkpoint list site
	one_line "not written for this place"
}

@test "a record of another history of the same site is found, over pruned ones too" {
	full site web1 a=a.raw
	cp -r site before
	for i in 1 2 3; do
		poke a.raw $((i * 70000)) 4096
		scan site web1 a=a.raw
		[ $i -gt 1 ] || { cp -r site fork; poke a.raw 900000 4096; scan fork web1 a=a.raw; }
	done
	exits 0 dm-checkpoint verify site
	cp -p site/catalog/web1/3.json .
	# Sealed with the same key, for this place: only the chain tells.
	cp --remove-destination fork/catalog/web1/3.json site/catalog/web1/
	exits 0 dm-checkpoint show --at 3 site web1
	exits 1 dm-checkpoint verify site
	[[ $output == *"web1 checkpoint 3, its record: "* ]]
	exits 1 dm-recover --at 3 site web1
	one_line "checkpoints 3 and 4"
	cp --remove-destination 3.json site/catalog/web1/
	# Notes of what was pruned are keyed: they tell nothing of the records.
	exits 0 dm-checkpoint pin site web1 1
	exits 0 dm-checkpoint prune --keep-last 2 site
	exits 0 dm-checkpoint verify site
	fails grep -q "$(b2sum -l 256 <fork/catalog/web1/2.json | cut -c1-64)" site/catalog/web1/pruned
	[ "$(cut -d' ' -f1 site/catalog/web1/pruned | tr '\n' ' ')" = "2 " ]
	# Only with the key can records be held against what was noted.
	dm-checkpoint list --json site >noted
	exits 0 dm-checkpoint verify --expect noted site
	DM_KEY_FILE= exits 2 dm-checkpoint verify --expect noted site
	one_line "needs the key"
}

@test "keys: list, add, rotate, remove; a passphrase opens too" {
	(umask 077; echo "correct horse battery staple" >phrase)
	full site web1 a=a.raw
	exits 0 dm-checkpoint key add --new-key phrase site boss
	exits 0 dm-checkpoint key list --json site
	[ "$(jq -c 'map([.name, .kind])' <<<"$output")" = '[["first","file"],["boss","passphrase"]]' ]
	exits 0 dm-checkpoint list --key phrase site
	exits 1 dm-checkpoint key rotate --key other --new-key other site
	exits 0 dm-checkpoint key rotate --key k --new-key other site
	[[ $err == *revoke* ]]
	exits 1 dm-checkpoint list --key k site
	exits 0 dm-checkpoint list --key other site
	DM_KEY_FILE=$T/other recover site web1 latest a=b.raw
	same a.raw b.raw
	exits 0 dm-checkpoint key remove --key other site boss
	exits 1 dm-checkpoint key remove --key other site first
	one_line "only key"
	fails grep -q "$(cut -d' ' -f2 k | cut -c1-20)" site/config
	exits 1 dm-checkpoint list --key phrase site
}

@test "an older program refuses the site by its feature" {
	[ "$(jq -c .features site/config)" = '["encryption"]' ]
	jq '.features = ["encryption", "something-new"]' site/config >c
	cat c >site/config
	exits 3 dm-checkpoint list site
	one_line something-new
}

@test "a plain site in the place of the encrypted one is not taken for it" {
	full site web1 a=a.raw
	mv site away
	dm-checkpoint init site
	for c in "dm-checkpoint list --key k site" "dm-recover --key k site web1" "dm-send --all --key k repo:site#web1"; do
		exits 1 $c
		one_line "is not encrypted, and a key was given"
	done
	sh_exits 1 "dm-changed a=a.raw | dm-describe | dm-window | dm-send a=a.raw | dm-write --key k repo:site"
	[[ $err == *"is not encrypted"* ]]
	fails grep -raq "nobody shall read" site
	exits 0 dm-checkpoint list site
}
