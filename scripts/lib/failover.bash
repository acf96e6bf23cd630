# What dm-failover(1) does: runs, their events and evidence, calls of
# providers and scripts.  Its caller sets me, version, lib, plan, root, tmp,
# lock and, for a run, run, dir, schedule, test.
# shellcheck shell=bash
# shellcheck disable=SC2154

warn() { printf '%s: %s\n' "$me" "$*" >&2; }

# --- files and events -------------------------------------------------------

# durable FILE TO: a copy that is there whole or not at all.
durable() {
	cp -- "$1" "$2.part" && sync -d "$2.part" && mv -- "$2.part" "$2" && sync "$(dirname "$2")"
}

# note WORKLOAD STEP EVENT [MEMBERS]: one line of the run's events; an end is
# durable.  Names need no quoting in JSON, MEMBERS are some.  What was being
# written when the power went is not to take this line with it.
note() {
	local fd w=null rc=0
	[ -z "$1" ] || w=\"$1\"
	{
		flock "$fd"
		[ ! -s "$dir/events.jsonl" ] || tail -c 1 "$dir/events.jsonl" | read -r _ || echo >>"$dir/events.jsonl"
		printf '{"t":%s,"workload":%s,"step":"%s","event":"%s"%s}\n' \
		    "$EPOCHREALTIME" "$w" "$2" "$3" "${4:+,$4}" >>"$dir/events.jsonl"
	} {fd}>>"$dir/events.lock" || rc=4
	exec {fd}>&-
	[ "$3" = begin ] || sync -d "$dir/events.jsonl" || rc=4
	return "$rc"
}

# outcome_of RC ERROR: the members of an end.
outcome_of() {
	if [ -z "$2" ]; then
		printf '"code":%d' "$1"
	else
		printf '"code":%d,"error":%s' "$1" "$(jq -Rs . <<<"$2" | sed 's/\\n"$/"/')"
	fi
}

# run_list: the directories of this plan's runs, oldest first.
run_list() {
	local d
	for d in "$root"/runs/*/; do
		[ -e "$d/events.jsonl" ] || continue
		printf '%s\n' "${d%/}"
	done
}

# run_evidence DIR: the record of a run as it stands.  A line that a crash cut
# short counts as not written, and the first is told once; that takes the lock,
# as one may be being written.
run_evidence() {
	local fd at=$1/events.lock lines bad
	[ -r "$at" ] || at=/dev/null
	lines=$({ flock -s "$fd"; jq -cR '(fromjson? | objects) // false' "$1/events.jsonl"; } {fd}<"$at")
	if bad=$(grep -n -m 1 -x false <<<"$lines") && (set -C; : >"$tmp/${1##*/}.damaged") 2>/dev/null; then
		warn "$1/events.jsonl: line ${bad%%:*} is damaged or was cut short, and is left out"
	fi
	jq_dm -sc --slurpfile s "$1/schedule.json" 'include "failover"; map(objects) | evidence($s[0])' <<<"$lines"
}

# --- providers and scripts --------------------------------------------------

# of WORKLOAD FILTER: something of the schedule.
of() { jq -r --arg w "$1" "${@:3}" ".[] | select(.name == \$w) | $2" "$schedule"; }

# provider_path NAME
provider_path() {
	case $1 in
	/*) [ -x "$1" ] && printf '%s\n' "$1" ;;
	*) command -v "dm-provider-$1" ;;
	esac
}

# gate N: a FIFO of N tokens; sets $gate to a descriptor.
gate() {
	local fifo
	fifo=$(mktemp -u "$tmp/gate.XXXXXX")
	mkfifo "$fifo" && exec {gate}<>"$fifo" && rm "$fifo" || return 4
	head -c "$1" /dev/zero | tr '\0' . >&"$gate"
}
enter() { read -r -N 1 -u "$1"; }
leave() { printf . >&"$1"; }

# pace: not more calls in a minute than the plan allows.
pace() {
	local per fd next wait
	per=$(jq '.failover.limits.calls_per_minute // 0' "$plan")
	[ "$per" -gt 0 ] || return 0
	exec {fd}<>"$tmp/pace"
	flock "$fd"
	next=$(cat "$tmp/pace")
	read -r next wait < <(awk -v now="$(date +%s.%N)" -v next_at="${next:-0}" -v per="$per" 'BEGIN {
		t = next_at > now ? next_at : now; printf "%.3f %.3f\n", t + 60 / per, t - now }')
	printf '%s\n' "$next" >"$tmp/pace"
	exec {fd}>&-
	sleep "$wait"
}

# limited SECONDS IN OUT ERR COMMAND...: in a process group of its own, of which
# nothing is left when the time is over.  The locks are not handed down: what is
# started here may outlive us.  The files are its alone, as a signal finds us here.
limited() {
	local rc=0
	(
		trap - EXIT
		timeout -k 2 "$1" "${@:5}" {lock}>&- {storage}>&- {calls}>&- <"$2" >>"$3" 2>>"$4" &
		wait "$!" || rc=$?
		case $rc in
		124 | 137) kill -KILL -- "-$!" ;;
		esac
		exit "$rc"
	) 2>/dev/null &	# the shell tells who was killed
	wait "$!" || rc=$?
	return "$rc"
}

# why RC LIMIT FILE [PROVIDER]: one sentence on a failure.
why() {
	local last name_of=${4-}
	last=$(grep -v '^[[:space:]]*$' "$3" | tail -n 1 | tr -d '\000-\037' | cut -c 1-500)
	last=${last#"dm-provider-${name_of##*/}: "}
	last=${last#"${name_of##*/}: "}
	case $1 in
	124 | 137) echo "did not answer within $2s${last:+: $last}" ;;
	126 | 127) echo "cannot be run${last:+: $last}" ;;
	*) echo "${last:-failed with code $1 and said nothing}" ;;
	esac
}

# made WORKLOAD: the file with what rebuilding its disks made.
made() {
	if [ -s "$dir/$1/made.json" ]; then echo "$dir/$1/made.json"; else echo /dev/null; fi
}

# provider WORKLOAD VERB [OBJECT]: call it; OBJECT goes into the request, and
# what is under "check" into the events.
provider() {
	local w=$1 step=$2 name path limit rc=0 error='' at=$tmp/$1 end
	note "$w" "$step" begin
	{
		IFS=$'\t' read -r name limit
		cat >"$at.request"
	} < <(jq -rc --arg w "$w" --arg step "$step" --argjson more "${3:-null}" \
	    --slurpfile made "$(made "$w")" '
		.[] | select(.name == $w) | .machine.disks |= map(
			if ($made[0].points[.name] // "") | startswith("snap-") then .volume = "ebs:" + $made[0].points[.name] else . end) |
		($more.check.timeout? // .limits[$step] // 3600) as $limit |
		"\(.provider)\t\($limit)", ({format: 1, timeout: $limit, machine} + ($more // {}))' "$schedule")
	: >"$at.reply"
	: >"$at.err"
	if path=$(provider_path "$name"); then
		enter "$calls"
		pace
		# A provider keeps its own limit, this one is for those that hang.
		limited "$((limit + 2))" "$at.request" "$at.reply" "$at.err" "$path" "$step" || rc=$?
		leave "$calls"
		[ "$rc" -eq 0 ] || error=$(why "$rc" "$((limit + 2))" "$at.err" "$name")
		[ "$rc" -le 4 ] || rc=4
	else
		rc=4 error="provider \"$name\" is not on PATH as dm-provider-$name"
	fi
	if ! end=$(jq -sc --argjson more "${3:-null}" 'select(length == 1 and (.[0] | type == "object")) |
	    {reply: .[0]} + ($more // {} | {check} | with_entries(select(.value != null)))' "$at.reply" 2>/dev/null) || [ -z "$end" ]; then
		[ "$rc" -ne 0 ] || error="the reply is no JSON object"
		[ "$rc" -ne 0 ] || rc=4
		end=$(jq -nc --argjson more "${3:-null}" '$more // {} | {check} | with_entries(select(.value != null))')
	fi
	end=${end#\{}
	end=${end%\}}
	note "$w" "$step" end "$(outcome_of "$rc" "$error")${end:+,$end}"
	[ "$rc" -eq 0 ] || warn "$w: $step: $error"
	return "$rc"
}

# script WORKLOAD pre|post FILE: a script of the plan, or of a workload, with
# FILE on its standard input.  0 also when there is none.
script() {
	local w=$1 s command limit rc=0 error=''
	if [ -n "$w" ]; then s=$(of "$w" ".recovery.$2 | tojson"); else s=$(jq -c ".failover.$2" "$plan"); fi
	[ "$s" != null ] || return 0
	s=$(jq_dm -c 'include "failover"; script_of' <<<"$s")
	note "$w" "$2" begin
	if [ "$test" = true ] && jq -e '.test | not' <<<"$s" >/dev/null; then
		note "$w" "$2" end '"code":0,"skipped":"not for tests"'
		return 0
	fi
	command=$(jq -r .command <<<"$s") limit=$(jq .timeout <<<"$s")
	: >"$tmp/$w.script"
	DM_RUN=$run DM_TEST=$test DM_WORKLOAD=$w limited "$limit" "$3" "$tmp/$w.script" "$tmp/$w.script" sh -c "$command" || rc=$?
	[ "$rc" -eq 0 ] || error=$(why "$rc" "$limit" "$tmp/$w.script")
	note "$w" "$2" end "$(outcome_of "$rc" "$error")"
	[ "$rc" -eq 0 ] || warn "${w:+$w: }script \"$2\": $error"
	return "$rc"
}

# --- one workload -----------------------------------------------------------

# The pipeline that rebuilds a workload's disks, as words; none when they are
# snapshots already.
restore_words() {
	of "$1" '[.machine.disks[] | select(.image | startswith("ebs:snap-") | not)] as $d | select($d | length > 0) |
		["dm-restore", "--at", (.seq | tostring)] +
		(if any($d[]; .image | startswith("ebs:")) then ["--json"] else [] end) + [.site, .name] +
		[$d[] | "\(.name)=" + if .image | startswith("ebs:") then .image else "file:\(.image | @uri | gsub("%2F"; "/"))" end] | .[]'
}

# serve_words: the command that serves them instead.
serve_words() {
	of "$1" '["dm-serve", "--at", (.seq | tostring), "--json", "--background", "--pid-file", $ARGS.named.dir + "/serve.pid",
		"--socket-dir", $ARGS.named.dir, .site, .name] | .[]' --arg dir "$dir/$1"
}

# rebuild WORKLOAD: its disks, when there is room for one more.
rebuild() {
	local w=$1 rc=0 error='' words image to
	mkdir -p "$dir/$w/machine" || return 4
	enter "$storage"
	note "$w" rebuild begin
	serve_end "$w"
	rm -f "$dir/$w/made.json"
	while IFS= read -r image; do
		# An earlier attempt's, of this run's own directory.
		[[ $image != "$dir/"* ]] || rm -f -- "$image" "$image.dm"
	done < <(of "$w" '.machine.disks[] | .image, .volume')
	if [ "$(of "$w" .instant)" = true ]; then
		mapfile -t words < <(serve_words "$w")
		to=$dir/$w/served.json
	else
		mapfile -t words < <(restore_words "$w")
		to=$dir/$w/made.json
	fi
	[ "${#words[@]}" -eq 0 ] || "${words[@]}" >"$to" 2>"$tmp/$w.restore" </dev/null {lock}>&- {storage}>&- {calls}>&- || rc=$?
	[ "$rc" -ne 0 ] || overlays "$w" 2>"$tmp/$w.restore" || rc=$?
	if [ "$rc" -ne 0 ]; then
		error=$(why "$rc" 0 "$tmp/$w.restore")
		rm -f "$dir/$w/made.json"
	fi
	leave "$storage"
	note "$w" rebuild end "$(outcome_of "$rc" "$error")"
	[ "$rc" -eq 0 ] || warn "$w: its disks cannot be rebuilt: $error"
	return "$rc"
}

# overlays WORKLOAD: what the guest writes goes there, where the disk itself is
# not to be written; and a bitmap that tells, after a real failover, what that
# was, so that failback need not read the whole disk.
overlays() {
	local name image to size bitmap
	bitmap=$(of "$1" '.bitmap // empty')
	while IFS=$'\t' read -r name image to size; do
		[ "$image" != "$to" ] || continue
		if [ -e "$dir/$1/served.json" ]; then
			image=$(jq -r --arg n "$name" '.disks[] | select(.name == $n) | .uri' "$dir/$1/served.json")
			qemu-img create -q -f qcow2 -F raw -b "$image" "$to" || return 4
		elif [ "$test" = true ]; then
			chmod 0400 "$image" && qemu-img create -q -f qcow2 -F raw -b "$image" "$to" || return 4
		else
			qcow2_wrap "$image" "$to" "$size" || return 4
		fi
		[ -z "$bitmap" ] || qemu-img bitmap --add -g 65536 "$to" "$bitmap" || return 4
	done < <(of "$1" '.machine.disks[] | "\(.name)\t\(.image)\t\(.volume)\t\(.size)"')
}

# overlays_ended WORKLOAD: what failback reads its disks through, or one that was
# killed did; a process id could be another's by now.
overlays_ended() {
	local f pid
	for f in "$dir/$1"/*.nbd.pid; do
		[ -e "$f" ] || continue
		pid=$(cat "$f")
		! grep -qzxF -e "--pid-file=$f" "/proc/$pid/cmdline" 2>/dev/null || {
			kill "$pid" && timeout 10 tail -f /dev/null --pid="$pid"
		}
		rm -f "$f" "${f%.pid}"
	done
}

# serve_end WORKLOAD: nobody serves its disks any more.  One that went with its
# host, or was killed with all that is its own, leaves a socket in the way.
serve_end() {
	overlays_ended "$1"
	if [ -e "$dir/$1/serve.pid" ]; then dm-serve --stop "$dir/$1/serve.pid" 2>/dev/null; fi
	rm -f "$dir/$1/served.json"
	[ ! -e "$dir/$1/serve.pid" ] && rm -f -- "$dir/$1/$1.sock"
}

# abandon WORKLOAD [OBJECT]: end and remove its machine, whatever state it is
# in; with "purge" also disks of it that the platform has.
abandon() {
	provider "$1" stop '{"mode": "hard"}'
	provider "$1" destroy "${2-}" || return 4
	serve_end "$1" || { warn "$1: dm-serve does not end"; return 4; }
}

# machine_up WORKLOAD: from created to validated; the last event says how far.
machine_up() {
	local w=$1 verb check bad=0 rc=0 was
	was=$(kept "$w")
	for verb in create network start wait; do
		provider "$w" "$verb" && continue || rc=$?
		# What it wrote since an earlier attempt had it up is nowhere else.
		if [ "$was" = machine ]; then
			note "$w" up end '"state":"unproven"'
			return "$rc"
		fi
		if ! abandon "$w"; then
			warn "$w: its machine could not be removed: $me --clean does that when the provider answers again"
		fi
		note "$w" up end '"state":"failed"'
		return "$rc"
	done
	while IFS= read -r check; do
		provider "$w" validate "{\"check\": $check}" || bad=1
	done < <(of "$w" '.machine.validate[] | tojson')
	note "$w" up end "\"state\":\"$([ "$bad" -eq 0 ] && echo up || echo unproven)\""
	if [ "$(of "$w" .recovery.post)" != null ]; then
		run_evidence "$dir" | jq_dm --arg w "$w" 'include "failover"; addresses | .workloads |= map(select(.name == $w))' >"$tmp/$w.doc"
		script "$w" post "$tmp/$w.doc" || bad=1
	fi
	return "$bad"
}

# --- the run ----------------------------------------------------------------

run_begin() {
	local v
	v=$(jq -nc --arg f "$version" --arg r "$(dm-recover --version 2>&1)" '{"dm-failover": $f, "dm-recover": ($r | split(" ") | last)}')
	while IFS= read -r name; do
		v=$(jq -c --arg n "${name##*/}" --arg v "$("$(provider_path "$name")" --version 2>/dev/null </dev/null | head -n 1)" \
		    '.[$n] = $v' <<<"$v")
	done < <(jq -r '[.[].provider] | unique[]' "$schedule")
	v=$(jq -nc --arg run "$run" --arg plan "$(readlink -f "$plan")" --arg sum "$(sha256sum <"$plan" | cut -d' ' -f1)" \
	    --argjson test "$test" --argjson d "${disaster:-$(date +%s.%N)}" --arg host "$(uname -n)" --argjson v "$v" \
	    '{run: $run, plan: $plan, plan_sha256: $sum, what: (if $test then "test" else "failover" end), disaster: $d, host: $host, versions: $v}') || return 4
	v=${v#\{}
	note '' run start "${v%\}}"
}

# enough: is there room for all of it?  Providers are asked for theirs.
enough() {
	local need have name names up rc=0
	note '' quota begin
	need=$(jq_dm --slurpfile p "$plan" --arg dir "$dir/" 'include "failover";
		[.[] | select(.instant | not) | .machine.disks[] | select(.image | startswith($dir)) | .size] | add // 0' "$schedule")
	# What an earlier attempt made takes no more room.
	have=$(df --output=avail -B1 "$root" | tail -n 1)
	have=$((have + $(jq -r '.[] | select(.instant | not) | .machine.disks[].image | select(startswith($dir))' --arg dir "$dir/" "$schedule" |
		xargs -rd '\n' stat -c '%b %B' -- 2>/dev/null | awk '{ s += $1 * $2 } END { printf "%.0f", s }')))
	error=$(jq_dm -r --slurpfile p "$plan" --argjson need "$need" --argjson have "$have" --arg root "$root" 'include "failover";
		def gib: . / 1073741824 * 100 | ceil / 100 | "\(.) GiB";
		($p[0].failover.limits // {}) as $l | ([.[].machine.memory] | add) as $memory |
		if $l.machines and length > $l.machines then "\(length) machines, and failover.limits.machines is \($l.machines)"
		elif $l.memory and $memory > ($l.memory | bytes) then "the guests need \($memory | gib) of memory, and failover.limits.memory is \($l.memory)"
		elif $l.disk and $need > ($l.disk | bytes) then "the disks need \($need | gib), and failover.limits.disk is \($l.disk)"
		elif $need > $have and ($p[0].failover.thin | not) then
			"\($root): not enough space for the guests: their disks need \($need | gib), \($have | gib) is free"
		else "" end' "$schedule")
	if [ -z "$error" ]; then
		up=$(run_evidence "$dir" | jq -c '[.workloads[] | select(.state == "up" or .state == "unproven").name]')
		[ -n "$up" ] || up='[]'
		mapfile -t names < <(jq -r --argjson up "$up" '[.[] | select(IN(.name; $up[]) | not) | .provider] | unique[]' "$schedule")
		for name in "${names[@]}"; do
			quota "$name" "$up" || { rc=$?; break; }
		done
	else
		rc=1
	fi
	note '' quota end "$(outcome_of "$rc" "$error")"
	[ "$rc" -eq 0 ] || warn "$error"
	return "$rc"
}

# quota PROVIDER UP: for its machines but those that are up; sets $error when it
# says no.
quota() {
	local path rc=0 limit
	path=$(provider_path "$1") || { error="provider \"$1\" is not on PATH as dm-provider-$1"; return 4; }
	limit=$(jq --arg p "$1" '[.[] | select(.provider == $p) | .limits.quota] | max' "$schedule")
	jq -c --arg p "$1" --argjson up "$2" --argjson limit "$limit" '{format: 1, timeout: $limit,
		machines: [.[] | select(.provider == $p and (IN(.name; $up[]) | not)) | .machine]}' "$schedule" >"$tmp/quota.request"
	pace
	: >"$tmp/quota.reply"
	: >"$tmp/quota.err"
	limited "$((limit + 2))" "$tmp/quota.request" "$tmp/quota.reply" "$tmp/quota.err" "$path" quota || {
		rc=$?
		error=$(why "$rc" "$((limit + 2))" "$tmp/quota.err" "$1")
		error="provider $1: quota: $error"
		[ "$rc" -le 4 ] || rc=4
		return "$rc"
	}
	jq -se 'length == 1 and (.[0] | type == "object")' "$tmp/quota.reply" >/dev/null 2>&1 || {
		error="provider $1: quota: the reply is no JSON object"
		return 4
	}
	# What it found out once it gets back with each request.
	jq -c --arg p "$1" --slurpfile r "$tmp/quota.reply" \
	    'map(if .provider == $p then .machine.facts = ($r[0].facts // {}) else . end)' "$schedule" >"$tmp/schedule.facts" &&
		durable "$tmp/schedule.facts" "$schedule"
}

# kept WORKLOAD: what an earlier attempt left of it that still counts.
kept() {
	[ -n "$old" ] || { echo nothing; return; }
	run_evidence "$dir" | jq -r --arg w "$1" '.workloads[] | select(.name == $w) |
		(.steps | map(select(.step == "rebuild" and .code == 0)) | length > 0) as $built |
		(.steps | map(.step) | (rindex("start") // -1) > (rindex("rebuild") // -1)) as $started |
		if .state == "up" or .state == "unproven" then "machine"
		elif $built and ($started | not) then "disks" else "nothing" end'
}

failover() {
	local w rc n order group names pids
	worst=0
	gate "$(jq '.failover.limits.storage // 2' "$plan")" && storage=$gate
	gate "$(jq '.failover.limits.calls // 4' "$plan")" && calls=$gate
	declare -gA building=() outcome=()
	mapfile -t names < <(jq -r '.[].name' "$schedule")
	enough || { worst=$?; return; }

	run_evidence "$dir" >"$tmp/doc.pre"
	script '' pre "$tmp/doc.pre" || { worst=1; return; }
	for w in "${names[@]}"; do
		script "$w" pre "$tmp/doc.pre" || { outcome[$w]=1 worst=1; }
	done

	for w in "${names[@]}"; do
		[ -z "${outcome[$w]-}" ] || continue
		case $(kept "$w") in
		machine) continue ;;
		disks) [ "$(of "$w" .instant)" = true ] && [ ! -e "$dir/$w/served.json" ] || continue ;;
		esac
		[ -z "$old" ] || [ ! -e "$dir/$w/machine" ] || abandon "$w" '{"purge": true}' || { outcome[$w]=4 worst=4; continue; }
		rebuild "$w" &
		building[$w]=$!
	done

	while IFS=$'\t' read -r n group order; do
		boot_step "$n" "$group" "$order"
	done < <(jq -r '[.[] | [.n, (.group // "-"), .order]] | unique[] | @tsv' "$schedule")
}

# boot_step N GROUP ORDER: the workloads that start together, after their delays.
boot_step() {
	local w rc members pids=() delay=0
	mapfile -t members < <(jq -r --argjson n "$1" --argjson o "$3" '.[] | select(.n == $n and .order == $o) | .name' "$schedule")
	for w in "${members[@]}"; do
		[ -n "${building[$w]-}" ] || continue
		wait "${building[$w]}" || { outcome[$w]=$?; note "$w" up end '"state":"failed"'; }
	done
	if [ "$1" != "${last_group-$1}" ]; then
		delay=$(jq --argjson n "$1" '[.[] | select(.n == $n) | .group_delay] | first' "$schedule")
	fi
	last_group=$1
	[ "$delay" -eq 0 ] || pause "$delay" "group $2"
	for w in "${members[@]}"; do
		[ -z "${outcome[$w]-}" ] || continue
		(
			trap - EXIT
			delay=$(of "$w" .delay)
			[ "$delay" -eq 0 ] || pause "$delay" "$w"
			machine_up "$w"
		) &
		pids+=("$!:$w")
	done
	for w in "${pids[@]}"; do
		rc=0
		wait "${w%%:*}" || rc=$?
		outcome[${w#*:}]=$rc
	done
	for w in "${members[@]}"; do
		[ "${outcome[$w]}" -le "$worst" ] || worst=${outcome[$w]}
	done
}

# pause SECONDS WHAT: a delay of the plan.
pause() {
	note '' "delay before $2" begin
	sleep "$1" {lock}>&- &
	wait "$!"
	note '' "delay before $2" end '"code":0'
}

# run_end: post script, result, evidence; a test is cleaned up.
run_end() {
	local result code gone=no
	result=$(result)
	if [ "$result" != failed ]; then
		run_evidence "$dir" | jq_dm --arg r "$result" 'include "failover"; addresses | .result = $r' >"$tmp/doc.post"
		script '' post "$tmp/doc.post" || { [ "$worst" -ge 1 ] || worst=1; }
	fi
	[ "$worst" -eq 0 ] || [ "$result" = failed ] || result=partial
	code=$worst
	[ "$result" != partial ] || code=1
	if [ "$test" = true ] && [ "$keep" = no ]; then
		if machines_end "$dir"; then
			gone=yes
		else
			code=4
			warn "the test is not cleaned up; do that with: $me --clean $plan"
		fi
	fi
	note '' run finish "\"result\":\"$result\",\"code\":$code"
	evidence_write || code=4
	[ "$gone" = no ] || [ -e "$evidence/$run.json" ] || {
		gone=no
		warn "$dir: is kept, as there is no other record of the test"
	}
	if [ "$json" = no ] && { [ -t 1 ] || [ "$result" != completed ] || [ "$keep" = yes ]; }; then
		run_evidence "$dir" | jq_dm -r 'include "failover"; summary'
	fi
	if [ "$test" = false ] && [ "$stay" = no ]; then
		move_machines || [ "$code" -ge 1 ] || code=1
	fi
	[ "$json" = no ] || cat "$evidence/$run.json"
	[ "$gone" = no ] || rm -rf -- "$dir"
	exit "$code"
}

# result: completed, partial or failed, from what is up.
result() {
	run_evidence "$dir" | jq -r --argjson worst "$worst" '[.workloads[].state] |
		if all(. == "up") and $worst == 0 then "completed"
		elif any(. == "up" or . == "unproven") then "partial" else "failed" end'
}

# interrupted: by a signal.  Ends our children, not the machines of a failover.
interrupted() {
	local w
	trap '' TERM INT HUP
	end_children $$
	# The signal may have come in note, which has the events locked.
	[ -z "${fd-}" ] || exec {fd}>&-
	[ "$verb" != clean ] || die 4 "interrupted: what is left is cleaned by the next --clean"
	if [ -n "${schedule-}" ] && [ -e "${dir-}/events.jsonl" ]; then
		storage='' calls=''
		gate 4 && calls=$gate && storage=$gate
		if [ "$test" = true ]; then
			note '' run finish '"result":"interrupted","code":4'
			evidence_write
			if machines_end "$dir" && [ -e "$evidence/$run.json" ]; then rm -rf -- "$dir"; fi
		else
			evidence_write
			for w in $(jq -r '.[].name' "$schedule"); do
				overlays_ended "$w"
			done
			[ "${moving-no}" = no ] || {
				warn "interrupted: machines that were not moved stay on served disks; go on with: $me --move $plan"
				exit 4
			}
			warn "interrupted: run it again to go on, or end it with: $me --clean --run $run $plan"
		fi
	fi
	exit 4
}

# descendants PID: its processes with theirs.
descendants() {
	local p
	# shellcheck disable=SC2013  # one line of words
	for p in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		echo "$p"
		descendants "$p"
	done
}
end_children() {
	local all
	mapfile -t all < <(descendants "$1" | grep -vx "$BASHPID")
	[ "${#all[@]}" -gt 0 ] || return 0
	kill -TERM "${all[@]}" 2>/dev/null
	timeout 5 tail -f /dev/null "${all[@]/#/--pid=}" 2>/dev/null
	kill -KILL "${all[@]}" 2>/dev/null
	return 0
}

# --- evidence ---------------------------------------------------------------

# evidence_write: the record of this run, durable, signed when there is a key.
evidence_write() {
	mkdir -p "$evidence" 2>/dev/null || { warn "$evidence: cannot be made"; return 4; }
	run_evidence "$dir" | jq -e . >"$tmp/evidence.json" || { warn "$dir: its events cannot be read"; return 4; }
	durable "$tmp/evidence.json" "$evidence/$run.json" || { warn "$evidence/$run.json: cannot be written"; return 4; }
	[ -n "$sign_key" ] || return 0
	if ! minisign -S -s "$sign_key" -m "$evidence/$run.json" -x "$tmp/evidence.minisig" \
	    -t "dm-failover $run" </dev/null >"$tmp/sign.err" 2>&1; then
		warn "$evidence/$run.json: is not signed: $(why 1 0 "$tmp/sign.err")"
		return 4
	fi
	durable "$tmp/evidence.minisig" "$evidence/$run.json.minisig"
}

# evidence_verify FILE PUBLIC: exits 0 only for what the key's owner signed.
evidence_verify() {
	local f
	for f in "$1" "$1.minisig" "$2"; do
		[ -r "$f" ] || die 1 "$f: cannot be read"
	done
	if ! minisign -V -q -p "$2" -m "$1" >/dev/null 2>&1 </dev/null; then
		die 1 "$1: is not what was signed, or not with this key"
	fi
}

# --- ending runs ------------------------------------------------------------

# machines_end DIR: remove the machines of a run; 4 when one is still there.
machines_end() {
	local w names bad=0 was_dir=$dir was=$schedule
	names=$(jq -r '.[].name' "$1/schedule.json") && [ -n "$names" ] ||
		{ warn "$1/schedule.json: does not say which machines there are"; return 4; }
	dir=$1 schedule=$1/schedule.json
	for w in $names; do
		[ -e "$dir/$w/machine" ] || continue
		abandon "$w" '{"purge": true}' || bad=4
	done
	dir=$was_dir schedule=$was
	return "$bad"
}

# clean_run DIR: its machines, then the directory.
clean_run() {
	machines_end "$1" || { warn "run ${1##*/}: a machine is still there, so its disks are kept"; return 4; }
	rm -rf -- "$1"
}

# clean_tests: those that an earlier call left; only one runs at a time.
clean_tests() {
	local d
	gate 4 && calls=$gate && storage=$gate
	while IFS= read -r d; do
		[ "$d" != "$dir" ] || continue
		[ "$(run_evidence "$d" | jq -r .what)" = test ] || continue
		clean_run "$d" || true
	done < <(run_list)
}

clean_runs() {
	local d what n=0 rc=0 lives
	gate 4 && calls=$gate && storage=$gate
	run='' dir='' schedule=''
	while IFS= read -r d; do
		[ -z "$only_run" ] || [ "${d##*/}" = "$only_run" ] || continue
		# Of one whose record cannot be read, machines may be in use.
		read -r what lives < <(run_evidence "$d" |
			jq -r '"\(.what) \(any(.workloads[]; .state == "up" or .state == "unproven"))"') || what=unknown lives=true
		if [ "$what" != test ] && [ "$lives" = true ] && [ "$force" = no ]; then
			[ -z "$only_run" ] || die 1 "run $only_run: its machines are in use; --force removes them and their disks"
			continue
		fi
		n=$((n + 1))
		clean_run "$d" || rc=$?
	done < <(run_list)
	[ -z "$only_run" ] || [ "$n" -gt 0 ] || die 1 "there is no run $only_run in $root"
	return "$rc"
}

# The run whose machines are in use: sets dir, run and schedule.
run_in_use() {
	local d
	dir=
	while IFS= read -r d; do
		run_evidence "$d" | jq -e '.what == "failover" and any(.workloads[]; .state == "up" or .state == "unproven")' >/dev/null || continue
		[ -z "$only_run" ] || [ "${d##*/}" = "$only_run" ] || continue
		dir=$d
	done < <(run_list)
	[ -n "$dir" ] || die 1 "$root: there is no failover${1:+ to $1}"
	run=${dir##*/} schedule=$dir/schedule.json
}

# --- showing ----------------------------------------------------------------

# show_schedule FILE: what would be run, as text for a shell.
show_schedule() {
	local w words
	schedule=$1
	while IFS= read -r w; do
		of "$w" '"# \(.name): group \(.group // "-"), order \(.order), delay \(.group_delay + .delay)s, checkpoint \(.seq) of \(.record.time), provider \(.provider)"'
		if [ "$(of "$w" .instant)" = true ]; then
			mapfile -t words < <(dir=$(of "$w" '.machine.directory | split("/")[:-2] | join("/")') && serve_words "$w")
		else
			mapfile -t words < <(restore_words "$w")
		fi
		[ "${#words[@]}" -eq 0 ] || printf '%q ' "${words[@]}"
		printf '\n'
		of "$w" '.machine as $m | ("create", "network", "start", "wait", ($m.validate[] | {check: .})) | . as $v |
			(if $v | type == "string" then {verb: $v} else {verb: "validate"} + $v end) as $c |
			"\($ARGS.named.p) \($c.verb) <<'"'END'"'\n\({format: 1, machine: $m} + ($c | del(.verb)) | tojson)\nEND"' --arg p "$(provider_word "$(of "$w" .provider)")"
	done < <(jq -r '.[].name' "$schedule")
}
provider_word() {
	case $1 in
	/*) printf '%s' "$1" ;;
	*) printf 'dm-provider-%s' "$1" ;;
	esac
}
