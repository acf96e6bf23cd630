# From served disks to disks of their own: what dm-failover(1) does with the
# machines of an instant failover when they are up, and for --move.  Loaded with
# failover.bash.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034

# to_move: the workloads whose machines run from what is served.
to_move() {
	run_evidence "$dir" | jq -r --slurpfile s "$schedule" '.workloads[] | select(.state == "up" or .state == "unproven") |
		.name | . as $n | select($s[0][] | select(.name == $n) | .instant)' | while IFS= read -r w; do
		[ "${#only[@]}" -gt 0 ] && [[ " ${only[*]} " != *" $w "* ]] || echo "$w"
	done
}

# move_machines: each of them, as many at a time as disks may be rebuilt.
# While one is under way, or was cut off, the schedule says "moving": the machine
# may run from some volumes and some images, and what it wrote is in those.  Only
# its provider can say that it does not; that one attempt did nothing is nothing
# said of those before.
move_machines() {
	local w bad=0 rc
	local -a names pids=() fresh=()
	mapfile -t names < <(to_move)
	[ "${#names[@]}" -gt 0 ] || return 0
	for w in "${!names[@]}"; do
		fresh[w]=$(of "${names[w]}" '.moving | not')
		scheduled "${names[w]}" '.moving = true' || return 4
	done
	moving=yes
	for w in "${names[@]}"; do
		(
			trap - EXIT
			enter "$storage"
			rc=0
			move_machine "$w" || rc=$?
			leave "$storage"
			exit "$rc"
		) &
		pids+=("$!")
	done
	for w in "${!names[@]}"; do
		rc=0
		wait "${pids[w]}" || rc=$?
		case $rc in
		0) moved "${names[w]}" || bad=1 ;;
		*) bad=1 ;;
		esac
		if [ "$rc" -eq "$none_over" ] || { [ "$rc" -eq "$untouched" ] && [ "${fresh[w]}" = true ]; }; then
			scheduled "${names[w]}" 'del(.moving)' || bad=1
		fi
	done
	evidence_write || bad=1
	moving=no
	return "$bad"
}

# move_run: for machines that were left where they are, or could not be moved.
move_run() {
	local rc=0
	test=false
	run_in_use move
	gate 4 && calls=$gate
	gate "$(jq '.failover.limits.storage // 2' "$plan")" && storage=$gate
	move_machines || rc=1
	[ "$json" = no ] || cat "$evidence/$run.json"
	return "$rc"
}

# scheduled WORKLOAD FILTER: change what the schedule says of it, durably.
scheduled() {
	jq -c --arg w "$1" "map(if .name == \$w then $2 else . end)" "$schedule" >"$tmp/schedule.next" &&
		durable "$tmp/schedule.next" "$schedule"
}

# move_machine WORKLOAD: by its provider, if there is room.  $none_over: it runs
# from no image, as its provider says; $untouched: nothing was tried just now.
none_over=5 untouched=6
move_machine() {
	local need have rc=0
	need=$(of "$1" '[.machine.disks[] | select(.image | startswith($ARGS.named.dir)) | .size] | add // 0' --arg dir "$dir/")
	have=$(df --output=avail -B1 "$root" | tail -n 1)
	if [ "$need" -gt "$have" ] && [ "$(jq '.failover.thin // false' "$plan")" = false ]; then
		warn "$1: its machine stays on served disks: rebuilt they need $need bytes, and $root has $have"
		return "$untouched"
	fi
	provider "$1" move || rc=$?
	[ "$rc" -ne 2 ] || rc=$untouched	# it does not know the verb
	! jq -se '.[0].moved == []' "$tmp/$1.reply" >/dev/null 2>&1 || rc=$none_over
	[ "$rc" -eq 0 ] || return "$rc"
	jq -se --slurpfile s "$schedule" --arg w "$1" '
		(.[0].moved // [] | sort) == ([$s[0][] | select(.name == $w) | .machine.disks[].name] | sort)' "$tmp/$1.reply" >/dev/null ||
		{
			warn "$1: its machine stays on served disks: the provider cannot move it"
			! jq -se '.[0] | has("moved")' "$tmp/$1.reply" >/dev/null || return 1
			return "$untouched"
		}
}

# moved WORKLOAD: nothing of what was served is needed any more.
moved() {
	local f
	local -a overlays
	mapfile -t overlays < <(of "$1" '.machine.disks[].volume')
	scheduled "$1" '.instant = false | del(.moving) |
		.machine.disks |= map(.volume = (.keep // .image) | .format = (if .keep then "qcow2" else "raw" end))' || return 4
	for f in "${overlays[@]}"; do
		[[ $f != "$dir/"* ]] || rm -f -- "$f"
	done
	serve_end "$1" || { warn "$1: dm-serve does not end"; return 4; }
}
