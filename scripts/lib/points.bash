# Points of a guest's disks, for dm-replicate: sourced, and part of it.
# shellcheck shell=bash disable=SC2154,SC2034  # its variables

point='' holder=''

# begun: the points towards which iterations of the workload were interrupted,
# as an array of name, point.
begun() {
	local d
	{
		dm-checkpoint sessions --json "$site" 2>/dev/null |
			jq -c --arg w "$name" '.[] | select(.workload == $w and (.alive | not)) | .disks[] | {name, point: .target_point}'
		for d in $(get '.disks[].name'); do
			[ ! -s "$site/open/$name=$d" ] || head -n 1 "$site/open/$name=$d" | jq -c --arg d "$d" '{name: $d, point}' 2>/dev/null
		done
	} | jq -sc .
}

# point_open: make and hold a point when the workload's source is a guest; sets
# point to what it says.  The holder lets go when it is told how the iteration
# went, and also when we are not there any more.
point_open() {
	local command begun='[]' rc=0
	point=''
	[ "$source" != file ] || return 0
	[ "$source" != ebs ] || begun=$(begun) || return 4
	command=$(jq -r -L "$lib" --argjson w "$work" --argjson base "$base" --argjson begun "$begun" \
	    'include "pipeline"; {w: $w, base: $base, begun: $begun, owner: "\($w.name)-\(.id[:8])"} | hold' "$site/config") || return 4
	if [ "$dry" = yes ]; then
		printf '# %s: a point by: %s\n' "$name" "$command"
		point=$(jq -nc --argjson w "$work" --argjson base "$base" '{disks: [$w.disks[] |
			.name as $n | ($base.disks // [] | map(select(.name == $n)) | first) as $k |
			{name: $n, volume: (if $w.source.kind == "ebs" then "ebs:SNAPSHOT" else "nbd+unix:///\($n)?socket=SOCKET&point=POINT" end),
				since: $k.source_point, size: ($k.size // 0 | tonumber)}]}')
		return
	fi
	# One that ends at once takes the variables of the coprocess along.
	coproc HOLD { there "$command" 2>"$tmp/$name.hold"; }
	holder=$! hold_in=${HOLD[1]-}
	if [ -z "${HOLD[0]-}" ] || ! IFS= read -r point <&"${HOLD[0]}"; then
		wait "$holder" || rc=$?
		holder=''
		point_words
		printf '%s: failed with code %d\n' "$name" "$((rc == 0 || rc > 4 ? 4 : rc))" >&2
		return "$((rc == 0 || rc > 4 ? 4 : rc))"
	fi
	[[ $point != *'"notes":[]'* ]] || return 0
	while IFS= read -r command; do
		warn "$command"
	done < <(jq -r '.notes[]' <<<"$point")
}

point_words() {
	told "$tmp/$name.hold"
}

# point_close: tell the holder what the catalog says.
point_close() {
	local rc=0 word=abandoned rec rec_seq rec_point
	[ -n "$holder" ] || return 0
	newest || return 4	# nobody knows: the next run asks again
	[[ $point != *"\"point\":\"$rec_point\""* ]] || [ -z "$rec_point" ] || word=committed
	trap '' PIPE
	{ echo "$word" >&"$hold_in"; } 2>/dev/null
	trap - PIPE
	wait "$holder" || rc=$?
	holder=''
	point_words
	return "$rc"
}
