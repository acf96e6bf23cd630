# dm-status(1): from facts to states, and how they are shown.

def duration_seconds: {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[.[-1:]] * (.[:-1] | tonumber);
def instant: sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601;
def whole: if type == "string" then tonumber else . end;
def most(f): [.[] | f | values] | max;

# What one may be behind: what the plan says, else two of its intervals, since an
# iteration that begins when one is over needs time too.
def allowed: if .rpo then .rpo | duration_seconds
	elif .schedule then 2 * (.schedule.every | duration_seconds) else null end;

# The words, the gravest first: a workload has that of its gravest disk.
def states: ["unknown", "exceeded interval", "failed", "no checkpoint", "initializing", "synchronizing", "in sync"];

# What is still to be done of a disk, by what the iteration under way reported of
# it.  Not all may be found yet: then it is that much at least, and when it will
# be done is not known.
def backlog($all_found):
	(if . then [.found - .done, 0] | max else null end) as $left |
	{
		backlog_bytes: $left, backlog_complete: (if . then $all_found else null end),
		scanned_bytes: .scanned, to_scan_bytes: .to_scan, done_bytes: .done, rate_bytes_per_second: .rate, window_bytes: .window, window_reason: .reason,
		eta_seconds: (if $left == null or ($all_found | not) then null elif $left == 0 then 0
			elif .rate != null and .rate > 0 then $left / .rate else null end),
		stalled: ($left != null and $left > 0 and .rate == 0)
	};

# Seconds that an iteration needs at least though not all is found: for the rest
# of the scan at its speed, and for what is found.
def least_seconds($report):
	([$report.disks[].scanned] | add) as $scanned | ([$report.disks[].to_scan] | add) as $to_scan |
	[(if $scanned > 0 then ([$to_scan - $scanned, 0] | max) * $report.seconds / $scanned else 0 end),
	 (.[] | if .backlog_bytes != null and .rate_bytes_per_second != null and .rate_bytes_per_second > 0
		then .backlog_bytes / .rate_bytes_per_second else 0 end)] | max;

# What all disks of a workload share.
def workload_facts($now):
	. as $f | .w as $w | (.list | last) as $last |
	([.open[] | select(.workload == $w.name)]) as $mine |
	([$mine[] | select(.alive)] != [] or .report != null) as $running |
	{
		error: (if .error == "" then null else .error end),
		allowed: ($w | allowed), running: $running, last: $last,
		failed: ($running | not and
			(any($mine[]; $last == null or (.started | instant) >= ($last.started | instant)) or
			 ($f.failed != null and ($last == null or ($f.failed.time | instant) >= ($last.committed | instant))))),
		took: (if $last then ($last.committed | instant) - ($last.started | instant) else 0 end)
	};

def disk_facts($f; $k; $now):
	. as $d | ([$f.list[] | select(any(.disks[]; .name == $d.name))] | last) as $at |
	($at.disks // [] | map(select(.name == $d.name)) | first) as $c |
	($f.report.disks // [] | map(select(.name == $d.name)) | first) as $r |
	# One from the future was made while a clock was wrong: its age is not known.
	(if $at then $now - ($at.time | instant) | if . < -60 then null else . end else null end) as $lag |
	{
		name: $d.name, size: ($c.size // $r.size | whole), checkpoint: $at.seq, checkpoint_time: $at.time,
		lag_seconds: $lag, changed_bytes: ($c.changed | whole),
		# What cannot be read may be late.
		exceeded: (if $k.error then null else $k.allowed != null and
			(if $lag then $lag > $k.allowed else $k.running | not end) end)
	} + ($r | backlog($f.report.complete == true));

# What the lag will have grown to when the next checkpoint is there, which is
# there for all disks at once; $eta: when that is.
def predicted($w; $k; $eta; $least; $stalled):
	.predicted_lag_seconds = (
		if .lag_seconds == null then null
		elif $k.running then (if $eta == null then null else .lag_seconds + $eta end)
		elif $w.schedule then ([.lag_seconds, ($w.schedule.every | duration_seconds)] | max) + $k.took
		else null end) |
	.breach_predicted = (
		if $k.allowed == null or .lag_seconds == null then null
		elif .predicted_lag_seconds != null then .predicted_lag_seconds > $k.allowed
		elif .lag_seconds > $k.allowed or ($k.running and ($stalled or .lag_seconds + $least > $k.allowed)) then true
		else null end);

def state($k):
	if $k.error then "unknown"
	elif .checkpoint == null then
		(if $k.running then "initializing" elif $k.failed then "failed" else "no checkpoint" end)
	elif .exceeded then "exceeded interval"
	elif $k.failed then "failed"
	elif $k.running then "synchronizing"
	else "in sync" end;

def workload_status($now):
	. as $f | .w as $w | workload_facts($now) as $k |
	[$w.disks[] | disk_facts($f; $k; $now)] |
	(if all(.[]; .eta_seconds != null) then most(.eta_seconds) else null end) as $eta |
	(if $f.report then least_seconds($f.report) else 0 end) as $least |
	any(.[]; .stalled) as $stalled |
	map(predicted($w; $k; $eta; $least; $stalled) | .state = state($k)) |
	. as $disks |
	def sum(f): if $f.report then map(f | values) | add else null end;
	{
		workload: $w.name, site: $w.site, error: $k.error,
		state: (states - (states - [$disks[].state]) | first),
		running: (if $k.error and $f.report == null then null else $k.running end),
		interrupted: (if $k.error then null else $k.failed end),
		last_failure: (if $k.failed then $f.failed else null end),
		checkpoint: $k.last.seq, checkpoints: (if $k.error then null else $f.list | length end), checkpoint_time: $k.last.time,
		interval_seconds: $k.allowed,
		lag_seconds: (if any(.lag_seconds == null) then null else most(.lag_seconds) end),
		exceeded: (if $k.error then null else any(.exceeded) end),
		backlog_bytes: sum(.backlog_bytes), backlog_complete: $f.report.complete,
		scanned_bytes: sum(.scanned_bytes), to_scan_bytes: sum(.to_scan_bytes),
		done_bytes: sum(.done_bytes), rate_bytes_per_second: sum(.rate_bytes_per_second),
		window_bytes: (if $f.report then map(.window_bytes | values) | add / length | floor else null end),
		eta_seconds: $eta, stalled: $stalled,
		predicted_lag_seconds: most(.predicted_lag_seconds),
		breach_predicted: (map(.breach_predicted) | if any(. == true) then true
			elif any(. == null) then null else false end),
		disks: .
	};

def status($plan; $now):
	{plan: $plan, time: ($now | floor | todateiso8601), workloads: map(workload_status($now))};

# --- for people -----------------------------------------------------------

def span: if . == null then "-" else ceil |
	if . < 120 then "\(.)s" elif . < 7200 then "\(. / 60 | floor)m"
	elif . < 172800 then "\(. / 3600 | floor)h" else "\(. / 86400 | floor)d" end end;
def bytes: if . == null then "-" elif . < 10240 then "\(.)B" elif . < 10485760 then "\(. / 1024 | floor)K"
	elif . < 10737418240 then "\(. / 1048576 | floor)M" else "\(. / 1073741824 | floor)G" end;
def pad($n): . + (" " * ([$n - length, 0] | max)) + "  ";

def columns: ["WORKLOAD", "DISK", "STATE", "LAG", "ALLOWED", "BACKLOG", "RATE", "ETA", "PREDICTED", "CHECKPOINT"];
def rows: .workloads[] | . as $w | .disks | to_entries[] | .key as $i | .value |
	[(if $i == 0 then $w.workload else "" end), .name, .state, (.lag_seconds | span),
	 (if $i == 0 then $w.interval_seconds | span else "" end),
	 (.backlog_bytes | bytes) + (if .backlog_complete == false then "+" else "" end),
	 (if .rate_bytes_per_second == null then "-" else (.rate_bytes_per_second | bytes) + "/s" end),
	 (if .stalled then "stalled" else .eta_seconds | span end),
	 (if .breach_predicted then "breach" + (if .predicted_lag_seconds then " (\(.predicted_lag_seconds | span))" else "" end)
	  elif .breach_predicted == false then "ok" else "-" end),
	 (.checkpoint // "-" | tostring)];
def table: [columns, rows] as $all |
	([range(0; columns | length)] | map(. as $i | [$all[][$i] | length] | max)) as $width |
	$all[] | [to_entries[] | .key as $i | .value | pad($width[$i])] | join("") | sub(" +$"; "");

# --- for Prometheus -------------------------------------------------------

def escaped: gsub("\\\\"; "\\\\") | gsub("\""; "\\\"") | gsub("\n"; "\\n");
def number: if . == true then 1 elif . == false then 0 else . end;
# Input: objects with labels and what is told of them.
def metric($name; $help; $key):
	[.[] | select(.[$key] != null) | "\($name){\(.labels)} \(.[$key] | number)"] |
	if length > 0 then "# HELP \($name) \($help)", "# TYPE \($name) gauge", .[] else empty end;
def metric_states($name; $help):
	"# HELP \($name) \($help)", "# TYPE \($name) gauge",
	(.[] | . as $x | states[] | "\($name){\($x.labels),state=\"\(.)\"} \(. == $x.state | number)");
# Of workloads, and with another beginning of the names of disks.
def metrics($dm; $whose):
	metric($dm + "_lag_seconds"; "Age of the newest recovery checkpoint\($whose)."; "lag_seconds"),
	metric($dm + "_interval_exceeded"; "Whether it is older than the plan allows."; "exceeded"),
	metric($dm + "_predicted_lag_seconds"; "Age when the next checkpoint will be there."; "predicted_lag_seconds"),
	metric($dm + "_breach_predicted"; "Whether that will be more than the plan allows."; "breach_predicted"),
	metric($dm + "_backlog_bytes"; "What the iteration under way has found and still to write."; "backlog_bytes"),
	metric($dm + "_backlog_complete"; "Whether it has found all."; "backlog_complete"),
	metric($dm + "_rate_bytes_per_second"; "How fast it writes."; "rate_bytes_per_second"),
	metric($dm + "_eta_seconds"; "When that will be done."; "eta_seconds"),
	metric($dm + "_stalled"; "Whether it writes nothing although there is a backlog."; "stalled"),
	metric_states($dm + "_state"; "The state it is in.");
def prometheus:
	(.plan | escaped) as $plan |
	[.workloads[] | .labels = "plan=\"\($plan)\",workload=\"\(.workload | escaped)\""] |
	metrics("dm"; ", of the disk furthest behind"),
	metric("dm_interval_seconds"; "Age that the plan allows."; "interval_seconds"),
	metric("dm_running"; "Whether an iteration runs."; "running"),
	metric("dm_window_bytes"; "Mean window of a disk."; "window_bytes"),
	metric("dm_checkpoints"; "Recovery checkpoints in the catalog."; "checkpoints"),
	([.[] | .labels as $l | .disks[] | .labels = "\($l),disk=\"\(.name | escaped)\""] |
		metrics("dm_disk"; " that has the disk"),
		metric("dm_disk_window_bytes"; "Bytes that may be in flight."; "window_bytes"));
