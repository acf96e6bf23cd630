# Failback of dm-failover(1): what differs after running here goes home.
# Its caller has loaded failover.bash and set up plan, root, tmp and lock.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034

# The steps are pipelines of their own: home's present state becomes a
# checkpoint first, so that nothing is lost there and the difference has a
# base; then the recovered machine's does; then the difference is written home,
# where the base is proved by reading.

# What takes long is waited for, so that a signal is not.

# replicated WORKLOAD STEP PLAN: one iteration; sets $seq to the checkpoint.
replicated() {
	local w=$1 site before rc=0 error=''
	site=$(of "$w" .site)
	note "$w" "$2" begin
	before=$(dm-checkpoint show --json "$site" "$w" 2>/dev/null | jq .seq)
	dm-replicate --now --workload "$w" "$3" >"$tmp/$w.out" 2>"$tmp/$w.err" </dev/null {lock}>&- &
	wait "$!" || rc=$?
	seq=$(dm-checkpoint show --json "$site" "$w" 2>/dev/null | jq .seq)
	if [ "$rc" -ne 0 ]; then
		error=$(grep -v ': failed with code' "$tmp/$w.err" >"$tmp/$w.why"; why "$rc" 0 "$tmp/$w.why")
	elif [ "$seq" -le "${before:-0}" ]; then
		rc=4 error="an iteration of this workload is running: stop its replication first"
	fi
	note "$w" "$2" end "$(outcome_of "$rc" "$error"),\"reply\":{\"seq\":${seq:-null}}"
	[ "$rc" -eq 0 ] || warn "$w: $2: $error"
	return "$rc"
}

# home_plan WORKLOAD: the disks at home, read and compared.
home_plan() {
	jq_dm --arg w "$1" 'include "plan"; {failover, workloads: [plan_workloads[] | select(.name == $w) |
		(.recovery.disks // []) as $more |
		with_entries(select(.key | IN("name", "site", "host", "transforms", "streams", "window", "interval",
			"priority", "limits", "recovery", "disks"))) |
		(if .host == null then del(.host) else . end) | .disks |= map((.name as $n |
			$more | map(select(.name == $n) | .home // empty) | first) as $home |
			{name, tracker: "scan", volume: ($home // .volume)} + if .target then {target} else {} end)]}' "$plan"
}

# no_home WORKLOAD: why nothing can be written where its disks came from.
no_home() {
	jq_dm -r --arg w "$1" 'include "plan"; plan_workloads[] | select(.name == $w and .source.kind == "ebs") |
		[.recovery.disks // [] | .[] | select(.home) | .name] as $home |
		[.disks[].name | select(IN($home[]) | not)] | select(length > 0) |
		"home is volumes of an instance of EC2 (\(join(", "))), and those cannot be written: boot the instance from snapshots of what ran here, or name files or devices as \"home\" in recovery.disks"' "$plan"
}

# captured WORKLOAD BASE: what pipeline.jq needs to send what the machine that
# ran here wrote, on top of a checkpoint, whose record is BASE.  Bitmaps, or for
# snapshots the cloud, tell that, if BASE is what they began from: home has not
# moved then.  Else disks are compared with BASE.
captured() {
	jq --arg w "$1" --arg dir "$dir/$1" --argjson base "$2" --slurpfile plan "$plan" --slurpfile cloud "$(points_of "$1")" \
	    --slurpfile config "$(of "$1" .site)/config" --slurpfile kept <(bitmaps_kept "$1") --argjson force "${3:-null}" --arg now "$EPOCHREALTIME" -L "$lib" 'include "plan";
		.[] | select(.name == $w) | . as $s |
		def disk($of; $n): $of.disks[] | select(.name == $n);
		([.machine.disks[] | .name as $n | if $cloud[0] then disk($cloud[0]; $n) | {name, volume, since, new: .volume}
			else (if .format == "raw" then .volume else "nbd+unix:///?socket=\($dir)/\(.name).nbd" end) as $v |
				{name, volume: $v, since: (if $kept[0][$n] then $s.bitmap else null end),
				 new: "\($v)&bitmap=\($s.bitmap)&point=\($s.bitmap).\($now)"} end]) as $here |
		({failover: $plan[0].failover, workloads: [{name, site, recovery: .record.recovery,
			disks: [$here[] | {name, tracker: "scan", volume}]} |
			if .recovery then . else del(.recovery) end]} | plan_workloads[0]) as $w |
		[$here[] | select(.name as $n | $force == null and .since and disk($s.record; $n).root and
			disk($s.record; $n).root == disk($base; $n).root and
			disk($s.record; $n).size == disk($base; $n).size)] as $known |
		([$known[].name]) as $names |
		{w: $w, base: $base, site: $config[0], progress: false, make: {}, old: {},
			tracker: ([$w.disks[].name | {key: ., value: (if IN($names[]) then "bitmap" else "scan" end)}] | from_entries),
			new: ([$known[] | {key: .name, value: .new}] | from_entries),
			since: ([$known[] | {key: .name, value: .since}] | from_entries),
			root: ([$names[] | {key: ., value: disk($base; .).root}] | from_entries),
			scan: [$w.disks[].name | select(IN($names[]) | not)]}' "$schedule"
}

# points_of WORKLOAD: the file with the snapshots of its disks, if they are in
# the cloud.
points_of() {
	if [ -s "$dir/$1/points.json" ]; then echo "$dir/$1/points.json"; else echo /dev/null; fi
}

# in_cloud WORKLOAD: are the machine's disks snapshots?  elsewhere: is the
# checkpoint itself?
in_cloud() { [ "$(of "$1" 'any(.machine.disks[]; .volume | startswith("ebs:"))')" = true ]; }
elsewhere() { [ "$(of "$1" 'any(.record.disks[]; .point | startswith("snap-"))')" = true ]; }

# points_made WORKLOAD: have its platform make snapshots of its disks.
points_made() {
	in_cloud "$1" || return 0
	provider "$1" points && cp "$tmp/$1.reply" "$dir/$1/points.json"
}

# bitmaps_kept WORKLOAD: by disk name, whether its bitmap can be trusted: one
# that was in use when the machine was killed cannot.
bitmaps_kept() {
	local name volume bitmap
	bitmap=$(of "$1" '.bitmap // ""')
	while IFS=$'\t' read -r name volume; do
		qemu-img info -U --output=json "$volume" 2>/dev/null | jq --arg n "$name" --arg b "$bitmap" '{($n):
			any(."format-specific".data.bitmaps[]?; .name == $b and .granularity and (.flags == ["auto"]))}'
	done < <(of "$1" '.machine.disks[] | select(.format == "qcow2") | "\(.name)\t\(.volume)"') | jq -s 'add // {}'
}

# capture WORKLOAD BASE: what ran here becomes a checkpoint; sets $seq to it.
capture() {
	local w=$1 site base facts lock_w rc=0 error=''
	site=$(of "$w" .site)
	base=$(dm-checkpoint show --json --at "$2" "$site" "$w") || return
	facts=$(captured "$w" "$base") || return 4
	overlays_served "$w" "$facts" || return
	note "$w" capture begin
	exec {lock_w}>>"$site/locks/$w" || return 4
	if flock -n "$lock_w"; then
		captured_run "$w" "$facts" "$base" || rc=$?
		# A bitmap that is no good after all.
		if [ "$rc" -eq 1 ] && jq -e '.since != {}' <<<"$facts" >/dev/null; then
			warn "$w: what was changed is not to be had: $(why 1 0 "$tmp/$w.err"); its disks are compared"
			facts=$(captured "$w" "$base" true) && rc=0 && captured_run "$w" "$facts" "$base" || rc=$?
		fi
		[ "$rc" -eq 0 ] || error=$(why "$rc" 0 "$tmp/$w.err")
	else
		rc=4 error="an iteration of this workload is running: stop its replication first"
	fi
	seq=$(dm-checkpoint show --json "$site" "$w" | jq .seq)
	exec {lock_w}>&-
	note "$w" capture end "$(outcome_of "$rc" "$error"),\"reply\":$(jq -c --argjson seq "${seq:-null}" '{seq: $seq, by: .tracker}' <<<"$facts")"
	[ "$rc" -eq 0 ] || warn "$w: capture: $error"
	return "$rc"
}

# captured_run WORKLOAD FACTS BASE: the pipeline, which must make a checkpoint.
captured_run() {
	local text rc=0
	text=$(jq_dm -r 'include "pipeline"; pipeline' <<<"$2") && [ -n "$text" ] || return 4
	bash -c "$text" >"$tmp/$1.out" 2>"$tmp/$1.err" </dev/null {lock}>&- &
	wait "$!" || rc=$?
	[ "$rc" -le 4 ] || rc=4
	return "$rc"
}

# overlays_served WORKLOAD FACTS: what is no raw image is read through qemu-nbd,
# with its bitmap if that is to be asked.
overlays_served() {
	local name volume since
	local -a bitmap
	overlays_ended "$1"
	while IFS=$'\t' read -r name volume since; do
		bitmap=()
		[ -z "$since" ] || bitmap=("--bitmap=$since")
		qemu-nbd --read-only --persistent --fork --format=qcow2 --pid-file="$dir/$1/$name.nbd.pid" "${bitmap[@]}" \
		    --socket="$dir/$1/$name.nbd" "$volume" {lock}>&- 2>"$tmp/$1.err" ||
			{ warn "$1: $name cannot be read: $(why 1 0 "$tmp/$1.err")"; return 4; }
	done < <(of "$1" '.machine.disks[] | select(.format != "raw") | "\(.name)\t\(.volume)\t\($ARGS.named.facts.since[.name] // "")"' \
	    --argjson facts "$2")
}

# return_text WORKLOAD BASE SEQ: the pipeline that writes the difference home.
return_text() {
	jq_dm -r --arg base "$2" --arg seq "$3" 'include "failback"; return_home($base; $seq)' "$tmp/$1.home.json"
}
# straight_text WORKLOAD BASE: the same for a site that has no content, from the
# snapshots that the machine's disks became.
straight_text() {
	local base facts
	base=$(dm-checkpoint show --json --at "$2" "$(of "$1" .site)" "$1") && facts=$(captured "$1" "$base") || return
	jq_dm -r --argjson facts "$facts" 'include "failback"; return_straight($facts)' "$tmp/$1.home.json"
}

# bring_home WORKLOAD
bring_home() {
	local w=$1 seq base text rc=0 error=''
	# It may run from both, and only the provider can tell, while it runs.
	[ "$(of "$w" '.moving // false')" = false ] || {
		warn "$w: the move of its disks was not finished; finish it first: $me --move $plan"
		return 1
	}
	home_plan "$w" >"$tmp/$w.home.json" || return 4
	provider "$w" stop "{\"mode\": \"$([ "$force" = yes ] && echo hard || echo graceful)\"}" || {
		warn "$w: its machine does not stop; --force switches it off"
		return 1
	}
	points_made "$w" || return
	replicated "$w" home "$tmp/$w.home.json" || return
	base=$seq
	if elsewhere "$w"; then
		text=$(straight_text "$w" "$base")
	else
		capture "$w" "$base"
		rc=$?
		overlays_ended "$w"
		[ "$rc" -eq 0 ] || return "$rc"
		text=$(return_text "$w" "$base" "$seq")
	fi
	[ -n "$text" ] || return 4
	note "$w" return begin
	bash -c "$text" >"$tmp/$w.out" 2>"$tmp/$w.err" </dev/null {lock}>&- &
	wait "$!" || rc=$?
	[ "$rc" -eq 0 ] || error=$(why "$rc" 0 "$tmp/$w.err")
	[ "$rc" -le 4 ] || rc=4
	note "$w" return end "$(outcome_of "$rc" "$error"),\"reply\":{\"base\":$base,\"seq\":$seq}"
	[ "$rc" -eq 0 ] || { warn "$w: return: $error"; return "$rc"; }
	note "$w" up end '"state":"home"'
	! in_cloud "$w" || provider "$w" points '{"mode": "drop"}'
}

failback() {
	local w names rc where
	worst=0 test=false
	run_in_use "bring home"
	gate 4 && calls=$gate && storage=$gate
	mapfile -t names < <(run_evidence "$dir" | jq -r '.workloads[] | select(.state == "up" or .state == "unproven") | .name')
	for w in "${names[@]}"; do
		[ "${#only[@]}" -eq 0 ] || [[ " ${only[*]} " == *" $w "* ]] || continue
		where=$(no_home "$w")
		if [ -n "$where" ]; then
			warn "$w: $where"
			[ "$worst" -ge 1 ] || worst=1
			continue
		fi
		if [ "$dry" = yes ]; then
			printf '# %s: a checkpoint of home by dm-replicate, as BASE; then one of what ran here, as SEQ:\n' "$w"
			home_plan "$w" | tee "$tmp/$w.home.json"
			captured "$w" "$(of "$w" '.record | .seq = "BASE"' -c)" | jq_dm -r 'include "pipeline"; pipeline'
			return_text "$w" BASE SEQ
			printf '\n'
			continue
		fi
		rc=0
		bring_home "$w" || rc=$?
		[ "$rc" -le "$worst" ] || worst=$rc
	done
	[ "$dry" = no ] || exit 0
	note '' run finish "\"result\":\"$(run_evidence "$dir" | jq -r 'if all(.workloads[]; .state == "home") then "home"
		elif any(.workloads[]; .state == "up") then "partial" else .result end')\",\"code\":$worst"
	evidence_write || worst=4
	[ "$json" = no ] || cat "$evidence/$run.json"
	exit "$worst"
}
