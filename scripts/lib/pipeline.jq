# The shell text of one iteration.  Input: an object of
#   w         a workload of plan_workloads
#   base      the newest checkpoint's record, or null
#   tracker   by disk name: what it is to use now
#   old, new  by disk name: reflink clones, paths on the source; or what a
#             point of a guest serves
#   since     by disk name: the point a guest's bitmap starts from
#   root      by disk name: the root that bitmap is told from, where its name is
#             not that of a point in the catalog
#   point     what a point of a guest says, or null
#   make      by disk name: those of new that are not there yet
#   scan      names of the disks to compare with the base's ids
#   progress  whether to show it
#   ids       whether the site can keep the ids of targets elsewhere
#   id        of the site
#   site      its config

# A word for the shell.
def q: if test("^[A-Za-z0-9_@%+=:,./-]+\\z") then . else @sh end;
def words: map(q) | join(" ");

# The words before a command that runs where the disks are.  Nobody may be here
# to answer a question, and a link that has died does not say so.  ssh takes the
# first value it is given, so what the plan says goes first.
def ssh: ["ssh"] + .options +
	["-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", .ssh];

# Run TEXT where the disks are.
def there($host):
	if $host == null then . else ($host | ssh) + [.] | words end;

def base_of($in; $name): $in.base.disks // [] | map(select(.name == $name)) | first;

# The volume to read: the clone where there is one.
def volume($in): .name + "=" + ($in.new[.name] // .volume);

# Keys for what crosses the link: ours, and the same one where the disks are.
def key_here($in): $in.w.transforms.encrypt.key;
def key_there($in): $in.w.transforms.encrypt | .source_key // .key;
def seal($option; $key): if $key then [$option, $key] else [] end;

def changed($in):
	["dm-changed", "--workload", $in.w.name] +
	(if $in.w.disks[0].target then [] else
		(if $in.site.chunk_size != 1048576 then ["--chunk-size", ($in.site.chunk_size | tostring)] else [] end) +
		(if $in.site.algorithm != "blake3" then ["--algo", $in.site.algorithm] else [] end)
	 end) +
	([$in.w.disks[] | . as $d | $in.tracker[.name] as $t | base_of($in; .name) as $b |
		if .tracker == "state" then
			["--state", "\($d.name)=\($d.state)"] +
			(if $t == "state" and $b.root then ["--base", "\($d.name)=\($b.root)"] else [] end)
		elif $t == "reflink" and $in.old[$d.name] then
			["--since", "\($d.name)=\($in.old[$d.name])"]
		elif $t == "bitmap" and $in.since[$d.name] then
			["--since", "\($d.name)=\($in.since[$d.name])"] +
			(if $in.root[$d.name] then ["--base", "\($d.name)=\($in.root[$d.name])"] else [] end)
		else [] end +
		(if $t == "full" or (.tracker == "state" and $b == null) then ["--full", $d.name]
		 else [] end)] | add) +
	(if $in.scan | length > 0 then ["--against", "-"] + seal("--unseal"; key_there($in)) else [] end) +
	[$in.w.disks[] | volume($in)];

# The command that holds a point of a guest's disks while it runs.  Input: an
# object with w, base, owner, and begun, points of interrupted iterations.
def hold:
	. as $in | .w.source as $s |
	([.base.disks // [] | .[].source_point | strings | select(startswith("dm-"))] | unique) as $points |
	def option($name; $value): if $value then ["--" + $name, $value] else [] end;
	["dm-point-\($s.kind)"] +
	option("qmp"; $s.qmp) + option("agent"; $s.agent) + option("uri"; $s.uri) +
	option("domain"; $s.domain) + option("freeze"; $s.freeze) +
	option("scratch"; $s.scratch) + option("limit"; $s.limit) +
	option("instance"; $s.instance) + option("region"; $s.region) + option("profile"; $s.profile) +
	["--owner", .owner] +
	(if $s.kind == "ebs" then
		([$in.base.disks // [] | .[] | select(.source_point // "" | startswith("snap-")) |
			"--base", "\(.name)=\(.source_point)"] +
		 [$in.begun[]? | select(.point | startswith("snap-")) | "--resume", "\(.name)=\(.point)"])
	 else option("base"; if ($points | length) == 1 then $points[0] else null end) end) +
	["hold"] + [.w.disks[] | "\(.name)=\(.volume)"] | words;

# Make clones: of one disk beside each other, and whole under their names.
def clone($in):
	[$in.w.disks[] | select($in.make[.name]) | $in.make[.name] as $to |
		"mkdir -p \($to | sub("/[^/]*$"; "") | q) && cp --reflink=always \(.path // .volume | q) \($to + ".part" | q) && chmod 0400 \($to + ".part" | q) && mv \($to + ".part" | q) \($to | q)"
	] | join(" && ");

# A new snapshot is made on top of the newest checkpoint's, and belongs to the
# site; its journal is among the site's open iterations.
def ebs_target($in; $target): . as $d |
	(base_of($in; $d.name).point // "new" | if startswith("snap-") then . else "new" end) as $parent |
	($target | sub("^[^?]*[?]?"; "")) as $given |
	"ebs:\($parent)?" + ([($given | select(. != "")),
		(select($in.id) | "owner=\($in.id)"),
		(select($in.id) | "journal=\("\($in.w.site)/open/\($in.w.name)=\($d.name)" | @uri)")] | join("&"));

def targets($in):
	if $in.w.disks[0].target then [$in.w.disks[] | .name + "=" + (.target as $t |
		if $t | startswith("ebs:") then ebs_target($in; $t) else $t end)]
	else ["repo:" + ($in.w.site | gsub("%"; "%25") | gsub("#"; "%23") | gsub("\\?"; "%3F"))] end;

# What limits a workload, for dm-window: its own part and the node's.
def rates($option): if . == null then [] elif type == "string" then [$option, .]
	else map($option, .) end;
def limited($w):
	(if $w.priority then ["--priority", ($w.priority | tostring)] else [] end) +
	($w.limits.rate | rates("--limit")) +
	($w.node.rate | rates("--shared-limit")) +
	(if $w.node.rate then ["--shared-name", $w.plan] else [] end) | words;
# A file of its own may be named; else it is one for each user of this machine.
def budget($w):
	if $w.node.budget == null and $w.node.rate == null then ""
	elif $w.node.budget // "" | contains(",") then "--budget " + ($w.node.budget | q) + " "
	else "--budget \"${DM_BUDGET:-/dev/shm/dm-budget.$(id -u)}\(if $w.node.budget then "," + $w.node.budget else "" end)\" "
	end;

# Where dm-status finds how far an iteration is.
def report($w): "\($w.site)/status/\($w.name).running";

def stages($in):
	$in.w as $w |
	(if $in.scan | length > 0 then
		[["dm-recover", "--ids", "--at", ($in.base.seq | tostring)] + seal("--seal"; key_here($in)) +
			(if ($in.scan | length) < ($in.base.disks | length)
			 then [$in.scan[] | "--disk", .] else [] end) +
			[$w.site, $w.name] | words]
	else [] end) +
	(["dm-describe"] + seal("--seal"; key_there($in)) | words) as $describe |
	(if $w.host == null then [(changed($in) | words), $describe]
	 else [changed($in) | words + " | " + $describe | there($w.host)] end) +
	["dm-window --acks \"$tmp/acks\" " + budget($w) + (limited($w) | if . == "" then "" else . + " " end) +
		((if $w.window then ["--window", $w.window] else [] end) +
		(if $w.interval then ["--interval", $w.interval] else [] end) +
		(if $in.progress then ["--progress"] else [] end) +
		["--report", report($in.w)] +
		seal("--unseal"; key_here($in)) +
		["--resume", $w.site] | words)] +
	[["dm-recv"] + seal("--seal"; key_here($in)) + (if $w.streams then ["--streams", ($w.streams | tostring)] else [] end) +
		["--"] | words + " " +
		(["dm-send"] + seal("--seal"; key_there($in)) +
		 (if ($w.transforms.compress // "zstd") == "zstd" then ["--compress", "zstd"] else [] end) +
		 [$w.disks[] | volume($in)] | words | there($w.host))] +
	[["dm-write"] + (if $in.ids and $w.disks[0].target then ["--site", $w.site] else [] end) +
		targets($in) | words] +
	["dm-checkpoint commit --acks \"$tmp/acks\" " +
		(["--workload", $w.name] | words) +
		(if $w.recovery then " --recovery \"$tmp/recovery.json\"" else "" end) + " " +
		($w.site | q)];

# The program of each stage.
def programs($in): stages($in) | map(split(" ")[0]);

def pipeline:
	. as $in |
	[
		"tmp=$(mktemp -d) || exit 4",
		"trap 'rm -rf \"$tmp\"' EXIT",
		"mkfifo \"$tmp/acks\" || exit 4",
		"mkdir -p \($in.w.site + "/status" | q) || exit 4",
		(select($in.w.recovery) |
			"printf '%s\\n' \($in.w.recovery | tojson | @sh) >\"$tmp/recovery.json\" || exit 4"),
		(select($in.make | length > 0) | clone($in) | there($in.w.host) + " || exit 4"),
		(stages($in) | join(" |\n  "))
	] | join("\n");
