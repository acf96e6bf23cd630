# dm-status(1): from facts to states, and how they are shown.

def duration_seconds: {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[.[-1:]] * (.[:-1] | tonumber);
def instant: sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601;

# What one may be behind: what the plan says, else two of its intervals, since an
# iteration that begins when one is over needs time too.
def allowed: if .rpo then .rpo | duration_seconds
	elif .schedule then 2 * (.schedule.every | duration_seconds) else null end;

# The word for it.  Input: the workload's object so far.
def state:
	if .error then "unknown"
	elif .checkpoint == null then
		(if .running then "initializing" elif .interrupted then "failed" else "no checkpoint" end)
	elif .exceeded then "exceeded interval"
	elif .interrupted then "failed"
	elif .running then "synchronizing"
	else "in sync" end;

def workload_status($slots; $now):
	. as $f | (.list | last) as $last | .w as $w |
	([.open[] | select(.workload == $w.name)]) as $mine |
	([$mine[] | select(.alive)] | last) as $live |
	([$slots[] | select(.workload == $w.name)] | last) as $slot |
	($w | allowed) as $most |
	(if $last then $now - ($last.time | instant) else null end) as $lag |
	(if $last then ($last.committed | instant) - ($last.started | instant) else null end) as $took |
	(if $slot and $slot.total > 0 then [$slot.total - $slot.done, 0] | max else null end) as $backlog |
	(if $backlog != null and $slot.rate > 0 then $backlog / $slot.rate
	 elif $backlog == 0 then 0 else null end) as $eta |
	{
		workload: $w.name, site: $w.site,
		error: (if $f.error == "" then null else $f.error end),
		running: ($live != null or $slot != null),
		interrupted: ($live == null and $slot == null and
			any($mine[]; $last == null or (.started | instant) >= ($last.started | instant))),
		checkpoint: $last.seq, checkpoints: ($f.list | length), checkpoint_time: $last.time,
		interval_seconds: $most, lag_seconds: $lag,
		exceeded: ($f.error == "" and $most != null and
			(if $last then $lag > $most else $live == null and $slot == null end)),
		backlog_bytes: $backlog, done_bytes: $slot.done,
		rate_bytes_per_second: $slot.rate, window_bytes: $slot.window, window_reason: $slot.reason,
		eta_seconds: $eta,
		disks: [$w.disks[] | . as $d | ($last.disks // [] | map(select(.name == $d.name)) | first) as $c |
			{name: $d.name, size: $c.size, lag_seconds: (if $c then $lag else null end),
			 changed_bytes: ($c.changed // null | if type == "string" then tonumber else . end)}]
	} |
	# What the lag will have grown to when the next checkpoint is there.
	.predicted_lag_seconds = (
		if $last == null then null
		elif .running then (if $eta == null then null else $lag + $eta end)
		elif $w.schedule then [$lag, ($w.schedule.every | duration_seconds)] | max + ($took // 0)
		else null end) |
	.breach_predicted = (if $most == null or .predicted_lag_seconds == null then null
		else .predicted_lag_seconds > $most end) |
	.state = state;

def status($plan; $slots; $now):
	{plan: $plan, time: ($now | floor | todateiso8601), workloads: map(workload_status($slots; $now))};

# --- for people -----------------------------------------------------------

def span: if . == null then "-" else ceil |
	if . < 120 then "\(.)s" elif . < 7200 then "\(. / 60 | floor)m"
	elif . < 172800 then "\(. / 3600 | floor)h" else "\(. / 86400 | floor)d" end end;
def bytes: if . == null then "-" elif . < 10240 then "\(.)B" elif . < 10485760 then "\(. / 1024 | floor)K"
	elif . < 10737418240 then "\(. / 1048576 | floor)M" else "\(. / 1073741824 | floor)G" end;
def pad($n): . + (" " * ([$n - length, 0] | max)) + "  ";

def columns: ["WORKLOAD", "DISK", "STATE", "LAG", "ALLOWED", "BACKLOG", "RATE", "ETA", "PREDICTED", "CHECKPOINT"];
def rows: .workloads[] | . as $w | .disks | to_entries[] | .key as $i | .value |
	[(if $i == 0 then $w.workload else "" end), .name, $w.state, (.lag_seconds | span)] +
	(if $i > 0 then ["", "", "", "", "", ""] else [
		($w.interval_seconds | span), ($w.backlog_bytes | bytes),
		(if $w.rate_bytes_per_second == null then "-" else ($w.rate_bytes_per_second | bytes) + "/s" end),
		($w.eta_seconds | span),
		(if $w.breach_predicted then "breach (\($w.predicted_lag_seconds | span))"
		 elif $w.breach_predicted == false then "ok" else "-" end),
		($w.checkpoint // "-" | tostring)] end);
def table: [columns, rows] as $all |
	([range(0; columns | length)] | map(. as $i | [$all[][$i] | length] | max)) as $width |
	$all[] | [to_entries[] | .key as $i | .value | pad($width[$i])] | join("") | sub(" +$"; "");

# --- for Prometheus -------------------------------------------------------

def escaped: gsub("\\\\"; "\\\\") | gsub("\""; "\\\"") | gsub("\n"; "\\n");
def number: if . == true then 1 elif . == false then 0 else . end;
def metric($name; $help; $key): . as $s |
	[.workloads[] | select(.[$key] != null) |
		"\($name){plan=\"\($s.plan | escaped)\",workload=\"\(.workload | escaped)\"} \(.[$key] | number)"] |
	if length > 0 then "# HELP \($name) \($help)", "# TYPE \($name) gauge", .[] else empty end;
def states: ["initializing", "synchronizing", "in sync", "exceeded interval", "failed", "no checkpoint", "unknown"];
def prometheus:
	metric("dm_lag_seconds"; "Age of the newest recovery checkpoint."; "lag_seconds"),
	metric("dm_interval_seconds"; "Age that the plan allows."; "interval_seconds"),
	metric("dm_interval_exceeded"; "Whether the newest checkpoint is older than that."; "exceeded"),
	metric("dm_predicted_lag_seconds"; "Age when the next checkpoint will be there."; "predicted_lag_seconds"),
	metric("dm_breach_predicted"; "Whether that is more than the plan allows."; "breach_predicted"),
	metric("dm_running"; "Whether an iteration runs."; "running"),
	metric("dm_backlog_bytes"; "What the iteration under way has still to write."; "backlog_bytes"),
	metric("dm_rate_bytes_per_second"; "How fast it writes."; "rate_bytes_per_second"),
	metric("dm_eta_seconds"; "When that will be done."; "eta_seconds"),
	metric("dm_window_bytes"; "Mean window of a disk."; "window_bytes"),
	metric("dm_checkpoints"; "Recovery checkpoints in the catalog."; "checkpoints"),
	(. as $s | "# HELP dm_state The state the workload is in.", "# TYPE dm_state gauge",
		(.workloads[] | . as $w | states[] |
		"dm_state{plan=\"\($s.plan | escaped)\",workload=\"\($w.workload | escaped)\",state=\"\(.)\"} \(. == $w.state | number)"));
