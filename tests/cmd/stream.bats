# The stream format: golden streams, good and bad, and dm-json both ways.
# shellcheck disable=SC2016
load ../lib/common

setup() { dm_setup; }
teardown() { dm_teardown; }

golden=$DM_TOP/tests/golden/v1

@test "golden streams have not changed" {
	mkdir made
	golden made
	for f in made/good/*.dms made/bad/* made/sealed/*; do
		same "$f" "$golden/${f#made/}"
	done
	[ "$(find made -type f | wc -l)" -eq "$(find "$golden" -name '*.dms' -o -name EXPECTED | wc -l)" ]
}

@test "good streams are shown as they were" {
	for f in "$golden"/good/*.dms; do
		exits 0 dm-json --data <"$f"
		[ -z "$err" ]
		same .out "${f%.dms}.json"
	done
}

@test "what was shown can be made a stream again" {
	for f in "$golden"/good/*.json; do
		dm-json -r <"$f" >again.dms
		dm-json --data <again.dms >again.json
		same again.json "$f"
	done
}

@test "payload and lines go through byte for byte" {
	dm-json -r <"$golden/good/chunks.json" | cmp - "$golden/good/chunks.dms"
	dm-json -r <"$golden/good/requests.json" | cmp - "$golden/good/requests.dms"
}

@test "bad streams are refused with the right code and cause" {
	while IFS=$'\t' read -r name code says; do
		exits "$code" dm-json <"$golden/bad/$name.dms"
		[[ $err == *"$says"* ]] || die "$name: no \"$says\" in: $err"
		[ "$(wc -l <.err)" -eq 1 ]
		[ "$(tail -n 1 .out | jq -r .type)" = abort ]
		[ "$(tail -n 1 .out | jq -r .code)" -eq "$code" ]
	done <"$golden/bad/EXPECTED"
}

@test "dm-recv takes the good ones" {
	for f in "$golden"/good/chunks*.dms; do
		exits 0 dm-recv <"$f"
		dm-json --data <.out >out.json
		jq -c 'select(.type != "progress" and .type != "stat" and .type != "other")' out.json >got
		jq -c 'select(.type != "progress" and .type != "stat" and .type != "other")' "${f%.dms}.json" >want
		same got want
	done
}

@test "dm-recv refuses the bad ones with the same code" {
	while IFS=$'\t' read -r name code says; do
		exits "$code" dm-recv <"$golden/bad/$name.dms"
		! dm-json <.out >out.json 2>out.err || die "$name: what came out ends well"
		[ "$(tail -n 1 out.json | jq -r .type)" = abort ] || die "$name: no abort at the end"
	done <"$golden/bad/EXPECTED"
}

@test "the first failure reaches the end of the pipeline and is said once" {
	sh_exits 4 "set -o pipefail; dm-json <$golden/bad/abort.dms | jq -c . | dm-json -r | dm-json >lines"
	one_line "dm-send: /dev/vdb: read at 4096: Input/output error"
	sh_exits 3 "set -o pipefail; dm-json --data <$golden/bad/body-bit.dms | jq -c . | dm-json -r | dm-json >lines"
	one_line "dm-json: input: damaged frame"
	[ "$(jq -r 'select(.type == "abort").text' lines)" = "dm-json: input: damaged frame" ]
}

@test "lines are out before the next is waited for" {
	mkfifo to from
	dm-json -r <to >made &
	exec 7>to
	head -n 2 "$golden/good/descs.json" >&7
	wait_for test -s made
	dm-json <made >lines || true
	[ "$(sed -n 2p lines | jq .index)" -eq 0 ]
	exec 7>&-
	wait $! || [ $? -eq 4 ]
}

@test "frames are shown before the next is waited for" {
	mkfifo to
	dm-json <to >lines &
	exec 7>to
	head -c 400 "$golden/good/descs.dms" >&7
	wait_for test -s lines
	[ "$(head -n 1 lines | jq -r .type)" = hello ]
	exec 7>&-
	wait $! || [ $? -eq 4 ]
}

@test "without --data the payload is left out, and that is not taken back" {
	dm-json <"$golden/good/chunks.dms" >lines
	[ "$(jq -c 'select(.type == "chunk") | [.data, .data_omitted]' lines | sort -u)" = '[null,true]' ]
	exits 3 dm-json -r <lines
	one_line "line 2" "--data"
}

@test "entries left out are refused, or numbered anew" {
	f=$golden/good/descs.json
	jq -c 'select(.type != "desc" or .index != 1)' "$f" >fewer
	exits 3 dm-json -r <fewer
	one_line "--renumber"
	dm-json -r --renumber <fewer | dm-json >lines
	[ "$(jq -s -c '[.[] | select(.type == "desc").index]' lines)" = '[0,1,2]' ]
	[ "$(jq 'select(.type == "end").count' lines)" -eq 6 ]
	# The indices may be left out altogether.
	jq -c 'del(.index)' fewer | dm-json -r --renumber | dm-json | cmp - lines
}

@test "numbers that a double cannot hold are strings" {
	f=$golden/good/runs.json
	[ "$(sed -n 3p "$f" | jq -c '[.len, .off]')" = '["9223372036854448128",262144]' ]
	jq -c . "$f" | dm-json -r | cmp - "$golden/good/runs.dms"
}

# line N of good/acks.json, changed by a jq program, must be refused
refused() {
	local n=$1 filter=$2 says=$3
	{ head -n $((n - 1)) "$golden/good/acks.json"
	  sed -n "${n}p" "$golden/good/acks.json" | jq -c "$filter"
	} >lines
	exits 3 dm-json -r <lines
	one_line "line $n: " "$says"
}

@test "wrong lines are refused by number and key" {
	refused 1 '.color = "red"' "unknown key 'color'"
	refused 1 'del(.session)' "'session'"
	refused 1 '.disks[0].size = -1' "'size'"
	refused 1 '.disks[0].sise = 1' "unknown key 'sise'"
	refused 1 '.kind = "half"' "'kind'"
	refused 1 '.chunk_size = 5' "chunks of 5 bytes"
	refused 1 '.type = "desc"' "the first line is not hello"
	refused 2 '.off = 1.5' "'off'"
	refused 2 '.off = "0x10"' "'off'"
	refused 2 '.off = 1' "grid"
	refused 2 '.zero = 1' "'zero'"
	refused 2 '.how = "magic"' "'how'"
	refused 2 '.type = "wrote"' "unknown type 'wrote'"
	refused 3 '.index = 0' "twice"
	refused 5 '.disk = 4' "disk 4"
	refused 2 '[.]' "not a JSON object"
	refused 2 '.frags = [[0]]' "'frags'"
	refused 2 '.id = "abc"' "'id'"
}

@test "what is no JSON at all is refused" {
	echo '{"type":"hello"' >lines
	exits 3 dm-json -r <lines
	one_line "line 1: not JSON"
	echo '{"type":"hello","type":"hello"}' >lines
	exits 3 dm-json -r <lines
	one_line "line 1: not JSON" duplicate
	head -c 6000000 /dev/zero | tr '\0' x >lines
	exits 3 dm-json -r <lines
	one_line "line 1: longer"
}

@test "lines that stop early make no ended stream" {
	head -n -1 "$golden/good/chunks.json" >lines
	exits 4 dm-json -r <lines
	one_line "ended before its END"
	cp .out made
	exits 4 dm-json <made
	{ cat "$golden/good/chunks.json"; echo '{}'; } >lines
	exits 3 dm-json -r <lines
	one_line "more lines after end"
	cp .out made
	exits 3 dm-json <made
}

@test "a stream is not written to a terminal" {
	exits 2 script -qec "dm-json -r <$golden/good/descs.json" /dev/null
	[[ $output == *terminal* ]]
}

@test "options that do not go together" {
	exits 2 dm-json --renumber </dev/null
	one_line --renumber
	exits 2 dm-json -r --data </dev/null
	one_line --data
	exits 2 dm-json file </dev/null
}
