# The order of a failover and its evidence: dm-failover(1).
#
# schedule takes an object of
#   plan      the plan
#   picks     for each workload its name, site and the record of its checkpoint
#   run, dir  the run's name and directory
#   test      whether it is a test, in isolation
#   instant   whether every disk is to be served and not rebuilt
# and gives the workloads in boot order.

include "plan";

def bytes: {"K": 1024, "M": 1048576, "G": 1073741824, "T": 1099511627776}[.[-1:]] as $unit |
	if $unit then (.[:-1] | tonumber) * $unit else tonumber end;
def seconds: {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[.[-1:]] * (.[:-1] | tonumber);

def time_limits: {
	quota: 60, create: 120, network: 60, start: 120, wait: 300, validate: 300, move: 86400, stop: 120,
	points: 86400, destroy: 120
};

# As it was at the checkpoint; the present plan only for what is not in it.
def recovery_of($present; $recorded): {provider: "qemu"} + ($present // {}) + ($recorded // {});

# The image of a disk: the snapshot that is the checkpoint, what the recovery
# configuration names, else a file of the run.  A test never writes to what is
# named; a new snapshot is the run's own.
def image($in; $w; $disk; $of; $point):
	if $point | startswith("snap-") then "ebs:\($point)"
	elif $of.target // "" | startswith("ebs:") then
		$of.target + (if $of.target | contains("?") then "&" else "?" end) + "owner=\($in.run)"
	elif $of.target and ($in.test | not) then $of.target | sub("^file:"; "")
	else "\($in.dir)/\($w)/\($disk).raw" end;

# A raw image keeps no bitmap.  QEMU, when we start it ourselves, can keep one
# in a qcow2 file whose data is that image; others have no rights to the image
# then.
def tracked($in; $r; $size): ($in.test | not) and $r.provider == "qemu" and $size % 512 == 0;

# By what name a disk's bitmap notes what was written to it since it was recovered.
def bitmap($in): if $in.test then null else "dm-\($in.run)" end;

# As a provider gets it: what is booted first has the lowest number.
def machine($in; $w; $record; $r):
	{
		name: $w, run: $in.run, directory: "\($in.dir)/\($w)/machine",
		memory: ($r.memory // "1G" | bytes), cpus: ($r.cpus // 1), bitmap: bitmap($in),
		isolated: $in.test, options: ($r.options // {})
	} + ($r | {machine, cpu, firmware, boot} | with_entries(select(.value != null))) + {
		disks: [$record.disks | to_entries[] | .key as $i | .value as $d |
			($r.disks // [] | map(select(.name == $d.name)) | first // {}) as $of |
			{name: $d.name, size: ($d.size | tonumber), bus: ($of.bus // "virtio"),
			 boot: ($of.boot // (100 + $i)), image: image($in; $w; $d.name; $of; $d.point)} |
			if .image | startswith("ebs:") then .volume = .image | .format = "raw"
			elif $in.test or $in.instant or $r.instant or tracked($in; $r; .size) then
				.volume = "\($in.dir)/\($w)/\($d.name).qcow2" | .format = "qcow2"
			else .volume = .image | .format = "raw" end |
			if ($in.instant or $r.instant) and tracked($in; $r; .size) then
				.keep = "\($in.dir)/\($w)/\($d.name).moved.qcow2"
			else . end],
		networks: [$r.networks // [] | .[] | del(.comment)],
		validate: [$r.validate // [] | .[] | del(.comment) |
			if .timeout then .timeout |= seconds else . end]
	};

def schedule:
	. as $in | ($in.plan.failover // {}) as $f |
	[$f.groups // [] | to_entries[] | {key: .value.name, value: {n: .key, delay: (.value.delay // "0s" | seconds)}}] |
	from_entries as $groups |
	($in.plan | plan_workloads | map({key: .name, value: .}) | from_entries) as $now |
	[$in.picks[] | . as $p | recovery_of($now[.name].recovery; .record.recovery) as $r |
		{
			name, site, seq: .record.seq, record, recovery: $r, provider: $r.provider,
			group: ($r.group // null), order: ($r.order // 0), delay: ($r.delay // "0s" | seconds),
			n: (if $r.group then $groups[$r.group].n else ($groups | length) end),
			group_delay: ($groups[$r.group // ""].delay // 0),
			instant: (($in.instant or ($r.instant // false)) and
				(.record.disks | all(.point | startswith("snap-")) | not)),
			bitmap: bitmap($in),
			limits: (time_limits + ([$f.timeouts // {}, $r.timeouts // {}] | map(del(.comment) | map_values(seconds)) | add)),
			machine: machine($in; .name; .record; $r)
		}] |
	sort_by(.n, .order, .name);

# What is wrong with the configurations in the records of what was picked, which
# may be of anybody who can write to the site.  A key that another version knows
# is no reason not to recover.
def recorded_errors:
	.picks[] | "workload \(.name): recovery of checkpoint \(.record.seq)" as $at | .record.recovery |
	select(. != null) | check(recovery; $at) | select(is_unknown | not);

# What of a recorded configuration cannot be followed today.
def schedule_errors:
	.[] | select(.n == null) |
	"workload \(.name): checkpoint \(.seq) puts it into group \"\(.group)\", which the plan's failover.groups does not have";

# A script of the plan: {command, test, timeout}, or nothing.
def script_of: if . == null then empty elif type == "string" then {command: ., test: false, timeout: 600}
	else {command, test: (.test // false), timeout: (.timeout // "10m" | seconds)} end;

# --- evidence ---------------------------------------------------------------

def rounded: . * 1000 | round / 1000;
def stamp: . as $t | (floor | strftime("%Y-%m-%dT%H:%M:%S")) +
	"." + ("000\(($t - ($t | floor)) * 1000 | floor)" | .[-3:]) + "Z";
def epoch: (.[:19] + "Z" | fromdateiso8601) +
	(if test("\\.[0-9]+Z$") then capture("(?<f>\\.[0-9]+)Z$").f | "0\(.)" | tonumber else 0 end);

# Steps from events: an end closes the last begin of its workload and step.
def steps: reduce .[] as $e ([];
	if $e.event == "begin" then . + [{step: $e.step, started: ($e.t | stamp), t: $e.t}]
	else (map(.step == $e.step and (has("code") | not)) | rindex(true)) as $i |
		if $i == null then . else
			.[$i] |= (del(.t) + {seconds: ($e.t - .t | rounded), code: $e.code} +
				($e | {error, check, reply, skipped} | with_entries(select(.value != null)))) end
	end) | map(if has("code") then . else del(.t) + {code: null} end);

def reply_of($step): map(select(.step == $step and .code == 0) | .reply) | last // null;

def workload_evidence($run; $events):
	. as $w | ([$events[] | select(.workload == $w.name)]) as $mine |
	([$mine[] | select(.step == "up" and .event == "end")] | last) as $up |
	([$mine[] | select(.step != "up")] | steps) as $steps |
	([$mine[] | select(.state == "up")] | last) as $proved |
	($w.record.time | epoch) as $point |
	{
		name, site,
		checkpoint: ($w.record | {seq, parent, session, time, committed, kind, hash,
			disks: [.disks[] | {name, size, root, point}]}),
		provider, group, order, recovery,
		state: ($up.state // "not started"),
		machine: ($steps | {id: (reply_of("create").id? // null),
			addresses: ((reply_of("wait") // {}).addresses // [])}),
		validation: [$steps[] | select(.step == "validate") | {started, seconds, ok: (.code == 0)} + .check +
			(.reply // {} | del(.ok)) + (if .error then {error} else {} end)],
		rpo_seconds: ($run.disaster - $point | rounded),
		rto_seconds: (if $proved and $up.state != "failed" then $proved.t - $run.t | rounded else null end),
		steps: [$steps[] | del(.check)]
	};

# The record of a run, from its first event, its schedule and all events.
def evidence($schedule):
	. as $events | .[0] as $run | (map(select(.event == "start" or .event == "finish")) | last |
		if .event == "finish" then . else null end) as $last |
	[$schedule[] | workload_evidence($run; $events)] as $workloads |
	{
		format: 1, what: $run.what, run: $run.run, plan: $run.plan, plan_sha256: $run.plan_sha256,
		host: $run.host, versions: $run.versions,
		started: ($run.t | stamp), disaster: ($run.disaster | stamp),
		ended: (if $last then $last.t | stamp else null end),
		result: ($last.result // "interrupted"), code: $last.code,
		rpo_seconds: ([$workloads[].rpo_seconds] | max),
		rto_seconds: (if all($workloads[]; .rto_seconds) then [$workloads[].rto_seconds] | max else null end),
		steps: ([$events[] | select(.workload == null and (.event == "begin" or .event == "end"))] | steps),
		workloads: $workloads
	};

# What a post script gets.
def addresses:
	{run, plan, what, result, workloads: [.workloads[] |
		{name, state, id: .machine.id, addresses: .machine.addresses, provider,
		 checkpoint: (.checkpoint | {seq, time})}]};

# The lines of --status and of the end.
def summary:
	def s: if . == null then "-" else "\(. * 10 | round / 10)s" end;
	"\(.run)  \(.what)  \(.result)  RPO \(.rpo_seconds | s)  RTO \(.rto_seconds | s)",
	(.workloads[] | "  \(.name)  checkpoint \(.checkpoint.seq)  \(.state)  RPO \(.rpo_seconds | s)  RTO \(.rto_seconds | s)" +
		(if .validation | length > 0 then "  validated \([.validation[] | select(.ok)] | length) of \(.validation | length)" else "" end) +
		([.machine.addresses[]? | .ip // empty, (.forward[]? | "\(.host):\(.port)->\(.guest)")] |
			if length > 0 then "  " + join(" ") else "" end)),
	(.steps[], .workloads[].steps[] | select(.error) | "  ! \(.step): \(.error)");
