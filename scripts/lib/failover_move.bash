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
# may run from some volumes and some images, and what it wrote is in those.
move_machines() {
	local w bad=0 rc
	local -a names pids=()
	mapfile -t names < <(to_move)
	[ "${#names[@]}" -gt 0 ] || return 0
	moving=yes
	for w in "${names[@]}"; do
		scheduled "$w" '.moving = true' || return 4
	done
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
		"$stayed") bad=1; scheduled "${names[w]}" 'del(.moving)' || return 4 ;;
		*) bad=1 ;;
		esac
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

# move_machine WORKLOAD: by its provider, if there is room.  $stayed: no disk of
# it was moved, and that is sure.
stayed=5
move_machine() {
	local need have rc=0
	need=$(of "$1" '[.machine.disks[] | select(.image | startswith($ARGS.named.dir)) | .size] | add // 0' --arg dir "$dir/")
	have=$(df --output=avail -B1 "$root" | tail -n 1)
	if [ "$need" -gt "$have" ] && [ "$(jq '.failover.thin // false' "$plan")" = false ]; then
		warn "$1: its machine stays on served disks: rebuilt they need $need bytes, and $root has $have"
		return "$stayed"
	fi
	provider "$1" move || rc=$?
	if [ "$rc" -ne 0 ]; then
		[ "$rc" -ne 2 ] && ! jq -se '.[0].moved == []' "$tmp/$1.reply" >/dev/null 2>&1 || rc=$stayed
		return "$rc"
	fi
	jq -se --slurpfile s "$schedule" --arg w "$1" '
		(.[0].moved // [] | sort) == ([$s[0][] | select(.name == $w) | .machine.disks[].name] | sort)' "$tmp/$1.reply" >/dev/null ||
		{
			warn "$1: its machine stays on served disks: the provider cannot move it"
			! jq -se '.[0].moved // [] | . == []' "$tmp/$1.reply" >/dev/null || rc=$stayed
			return "$((rc ? rc : 1))"
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
