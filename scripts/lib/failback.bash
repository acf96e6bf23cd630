# Failback of dm-failover(1): what differs after running here goes home.
# Its caller has loaded failover.bash and set up plan, root, tmp and lock.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034

# The steps are pipelines of their own: home's present state becomes a
# checkpoint first, so that nothing is lost there and the difference has a
# base; then the recovered machine's does; then the difference is written home,
# where the base is proved by reading.

# replicated WORKLOAD STEP PLAN: one iteration; sets $seq to the checkpoint.
replicated() {
	local w=$1 site before rc=0 error=''
	site=$(of "$w" .site)
	note "$w" "$2" begin
	before=$(dm-checkpoint show --json "$site" "$w" 2>/dev/null | jq .seq)
	dm-replicate --now --workload "$w" "$3" >"$tmp/$w.out" 2>"$tmp/$w.err" </dev/null {lock}>&- || rc=$?
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
		(if .host == null then del(.host) else . end) | .disks |= map({name, tracker: "scan", volume: (.name as $n |
			($more | map(select(.name == $n) | .home // empty) | first) // .volume)})]}' "$plan"
}

# captured_plan WORKLOAD: the disks of the machine that ran here.
captured_plan() {
	jq --arg w "$1" --arg dir "$dir/$1" --slurpfile plan "$plan" '{failover: $plan[0].failover, workloads: [.[] | select(.name == $w) |
		{name, site, recovery: .record.recovery, disks: [.machine.disks[] |
			{name, tracker: "scan", volume: (if .format == "raw" then .volume
				else "nbd+unix:///?socket=\($dir)/\(.name).nbd" end)}]} |
		if .recovery then . else del(.recovery) end]}' "$schedule"
}

# overlays_served WORKLOAD: what is no raw image is read through qemu-nbd.
overlays_served() {
	local name volume
	while IFS=$'\t' read -r name volume; do
		qemu-nbd --read-only --persistent --fork --format=qcow2 --pid-file="$dir/$1/$name.nbd.pid" \
		    --socket="$dir/$1/$name.nbd" "$volume" {lock}>&- 2>"$tmp/$1.err" ||
			{ warn "$1: $name cannot be read: $(why 1 0 "$tmp/$1.err")"; return 4; }
	done < <(of "$1" '.machine.disks[] | select(.format != "raw") | "\(.name)\t\(.volume)"')
}
overlays_ended() {
	local f
	for f in "$dir/$1"/*.nbd.pid; do
		[ -e "$f" ] || continue
		kill "$(cat "$f")" 2>/dev/null
		rm -f "$f" "${f%.pid}"
	done
}

# return_text WORKLOAD BASE SEQ: the pipeline that writes the difference home.
return_text() {
	jq_dm -r --arg base "$2" --arg seq "$3" 'include "failback"; return_home($base; $seq)' "$tmp/$1.home.json"
}

# bring_home WORKLOAD
bring_home() {
	local w=$1 seq base text rc=0 error=''
	home_plan "$w" >"$tmp/$w.home.json" && captured_plan "$w" >"$tmp/$w.captured.json" || return 4
	provider "$w" stop "{\"mode\": \"$([ "$force" = yes ] && echo hard || echo graceful)\"}" || {
		warn "$w: its machine does not stop; --force switches it off"
		return 1
	}
	replicated "$w" home "$tmp/$w.home.json" || return
	base=$seq
	overlays_served "$w" && replicated "$w" capture "$tmp/$w.captured.json"
	rc=$?
	overlays_ended "$w"
	[ "$rc" -eq 0 ] || return "$rc"
	text=$(return_text "$w" "$base" "$seq") && [ -n "$text" ] || return 4
	note "$w" return begin
	bash -c "$text" >"$tmp/$w.out" 2>"$tmp/$w.err" </dev/null {lock}>&- || rc=$?
	[ "$rc" -eq 0 ] || error=$(why "$rc" 0 "$tmp/$w.err")
	[ "$rc" -le 4 ] || rc=4
	note "$w" return end "$(outcome_of "$rc" "$error"),\"reply\":{\"base\":$base,\"seq\":$seq}"
	[ "$rc" -eq 0 ] || { warn "$w: return: $error"; return "$rc"; }
	note "$w" up end '"state":"home"'
}

# The run whose machines are in use: sets dir, run and schedule.
run_in_use() {
	local d
	while IFS= read -r d; do
		run_evidence "$d" | jq -e '.what == "failover" and any(.workloads[]; .state == "up" or .state == "unproven")' >/dev/null || continue
		[ -z "$only_run" ] || [ "${d##*/}" = "$only_run" ] || continue
		dir=$d
	done < <(run_list)
	[ -n "$dir" ] || die 1 "$root: there is no failover to bring home"
	run=${dir##*/} schedule=$dir/schedule.json
}

failback() {
	local w names rc
	dir='' worst=0 test=false
	run_in_use
	gate 4 && calls=$gate && storage=$gate
	mapfile -t names < <(run_evidence "$dir" | jq -r '.workloads[] | select(.state == "up" or .state == "unproven") | .name')
	for w in "${names[@]}"; do
		[ "${#only[@]}" -eq 0 ] || [[ " ${only[*]} " == *" $w "* ]] || continue
		if [ "$dry" = yes ]; then
			printf '# %s: a checkpoint of home by dm-replicate, as BASE; then one of what ran here, as SEQ:\n' "$w"
			home_plan "$w" | tee "$tmp/$w.home.json"
			captured_plan "$w"
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
