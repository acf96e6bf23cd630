# dm-plan(5): what a plan may say.  plan_errors gives sentences that name the
# key, plan_workloads the workloads with the defaults filled in.

# --- kinds of values ------------------------------------------------------

def text($what; $re): {kind: "string", what: $what, re: $re};
def count($lo; $hi): {kind: "integer", lo: $lo, hi: $hi};
def one_of($words): {kind: "word", words: $words};
def record($keys; $required): {kind: "object", keys: $keys, required: $required};
def list($of): {kind: "array", of: $of};
def flag: {kind: "flag"};
def either($string; $object): {kind: "either", string: $string, object: $object};
# An object whose key "kind" chooses among several.
def variant($of): {kind: "variant", of: $of};

def any_text: text("a string that is not empty"; "^[^\\x00-\\x1f]+\\z");
# It is an operand of our own programs.
def site: text("a directory, written \"./-...\" when it begins with a dash"; "^[^\\x00-\\x1f-][^\\x00-\\x1f]*\\z");
def name: text("a name of up to 64 letters, digits, dots, dashes or underscores";
	"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\\z");
def size: text("a size such as \"32M\""; "^[1-9][0-9]*[KMGT]?\\z");
def duration: text("a duration such as \"15m\", \"2h\" or \"7d\""; "^[1-9][0-9]*[smhdw]\\z");
def one_rate: text("a rate such as \"20M\", \"100Mbit\" or \"none\", with \"@08:00-18:00\" behind it or not";
	"^(none|[1-9][0-9]*([KMGT]|[kKMG]?[bB][iI][tT])?)(@[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9])?\\z");
def rate: {kind: "either", string: one_rate, array: list(one_rate)};
def tracker: one_of(["auto", "scan", "state", "reflink", "bitmap", "full"]);
def fallback: one_of(["none", "scan", "full"]);
def freeze: one_of(["auto", "reflink", "none"]);

# --- the plan -------------------------------------------------------------

def host: either(any_text; record({ssh: any_text, options: list(any_text)}; ["ssh"]));

# What recovery needs to know; recovery of a workload goes into its checkpoints.
def script: either(any_text;
	record({command: any_text, test: flag, timeout: duration}; ["command"]));
def timeouts: record(
	(["quota", "create", "network", "start", "wait", "validate", "move", "stop", "points", "destroy"] |
		map({(.): duration}) | add); []);
def port: count(1; 65535);
def validation: record({
	kind: one_of(["agent", "osinfo", "services", "serial", "tcp", "http"]),
	text: any_text, services: list(name), network: name, port: port, path: any_text,
	status: count(100; 599), timeout: duration
}; ["kind"]);
def network: record({
	name: name, kind: one_of(["user", "bridge", "socket", "network"]), source: any_text,
	mac: text("a MAC address such as \"52:54:00:12:34:56\""; "^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\\z"),
	model: one_of(["virtio", "e1000", "e1000e", "rtl8139"]),
	address: text("an IP address"; "^[0-9a-fA-F.:]+\\z"),
	forward: list(record({guest: port, host: port}; ["guest"]))
}; ["name", "kind"]);
def machine_disk: record({
	name: name, boot: count(1; 99), bus: one_of(["virtio", "nvme", "scsi", "sata", "ide"]),
	target: text("an absolute path, which may follow \"file:\", or \"ebs:new\" with parameters";
		"^((file:)?/[^\\x00-\\x1f?]+|ebs:new([?][^\\x00-\\x1f]*)?)\\z"),
	home: any_text
}; ["name"]);
def recovery: record({
	provider: text("a provider's name or absolute path";
		"^(/[^\\x00-\\x1f]+|[A-Za-z0-9_][A-Za-z0-9._-]{0,63})\\z"),
	group: name, order: count(0; 9999), delay: duration,
	memory: size, cpus: count(1; 512), machine: name, cpu: any_text,
	firmware: one_of(["bios", "uefi"]),
	boot: record({kernel: any_text, initrd: any_text, cmdline: any_text}; ["kernel"]),
	disks: list(machine_disk), networks: list(network), validate: list(validation),
	pre: script, post: script, timeouts: timeouts, instant: flag, options: {kind: "anything"}
}; []);
def failover: record({
	directory: any_text, evidence: any_text, key: any_text,
	groups: list(record({name: name, delay: duration}; ["name"])),
	limits: record({storage: count(1; 256), calls: count(1; 256), calls_per_minute: count(1; 60000),
		machines: count(1; 100000), memory: size, disk: size}; []),
	thin: flag, timeouts: timeouts, pre: script, post: script
}; ["directory"]);

def disk: record({
	name: name, volume: any_text, target: any_text, tracker: tracker, fallback: fallback, freeze: freeze,
	state: any_text, points: any_text
}; ["name", "volume"]);

def source:
	one_of(["auto", "never", "require"]) as $freeze |
	variant({
		file: record({kind: any_text}; []),
		qemu: record({kind: any_text, qmp: any_text, agent: any_text, freeze: $freeze,
			scratch: any_text, limit: size}; ["qmp"]),
		libvirt: record({kind: any_text, uri: any_text, domain: name, freeze: $freeze,
			scratch: any_text}; ["domain"]),
		ebs: record({kind: any_text, region: name, profile: any_text,
			instance: text("the id of an instance such as \"i-0123456789abcdef0\""; "^i-[0-9a-z]+\\z")}; ["instance"])
	});

def settings: {
	site: site, host: host, tracker: tracker, fallback: fallback, freeze: freeze,
	transforms: record({compress: one_of(["zstd", "none"]), 
		encrypt: record({key: any_text, source_key: any_text}; ["key"])}; []),
	streams: count(1; 64), window: size, interval: size,
	priority: count(1; 100), limits: record({rate: rate}; []),
	schedule: record({every: duration}; ["every"]), rpo: duration,
	retention: record({
		last: count(1; 100000), within: duration, daily: count(1; 100000),
		weekly: count(1; 100000), monthly: count(1; 100000)
	}; []),
	recovery: recovery, source: source
};

def plan: record({
	site: site,
	limits: record({parallel: count(1; 256), rate: rate,
		budget: text("a size such as \"512M\", or \"FILE,512M\""; "^([^,\\x00-\\x1f]+,)?[1-9][0-9]*[KMGT]?\\z")}; []),
	failover: failover,
	defaults: record(settings; []),
	workloads: list(record(settings + {name: name, disks: list(disk)}; ["name", "disks"]))
}; ["workloads"]);

# --- checking -------------------------------------------------------------

# Edits between two words, for suggestions.
def distance($a; $b):
	($a | explode) as $x | ($b | explode) as $y |
	reduce range(0; $x | length) as $i ([range(0; ($y | length) + 1)];
		. as $up |
		reduce range(0; $y | length) as $j ([$i + 1];
			. + [[.[$j] + 1, $up[$j + 1] + 1,
			    $up[$j] + (if $x[$i] == $y[$j] then 0 else 1 end)] | min])
	) | last;

def suggestion($word; $words):
	[select(($word | length) <= 64) | $words[] | {w: ., d: distance($word; .)} | select(.d <= 2 or (.w | startswith($word)))] |
	sort_by(.d) | if length > 0 then " (did you mean \"\(.[0].w)\"?)" else "" end;

# A key as it is, or quoted when it would not be one word of one line.
def at($path; $k): (if $k | test("^[^\\x00-\\x20\\x7f]+\\z") then $k else $k | tojson end) as $key |
	if $path == "" then $key else "\($path).\($key)" end;
def of($path): if $path == "" then "" else "\($path): " end;

def check($s; $path):
	if $s.kind == "anything" then
		if type == "object" then empty else of($path) + "must be an object" end
	elif $s.kind == "string" then
		if type != "string" then of($path) + "must be a string"
		elif test($s.re) then empty
		else of($path) + "must be \($s.what), not \(tojson)" end
	elif $s.kind == "flag" then
		if type == "boolean" then empty else of($path) + "must be true or false" end
	elif $s.kind == "word" then
		if type != "string" then of($path) + "must be a string"
		elif IN($s.words[]) then empty
		else of($path) + "must be one of \($s.words | map("\"\(.)\"") | join(", ")), not \(tojson)"
			+ suggestion(.; $s.words) end
	elif $s.kind == "integer" then
		if type != "number" then of($path) + "must be a number"
		elif . == floor and . >= $s.lo and . <= $s.hi then empty
		else of($path) + "must be a whole number from \($s.lo) to \($s.hi), not \(tojson)" end
	elif $s.kind == "either" then
		if type == "string" then check($s.string; $path)
		elif $s[type] then check($s[type]; $path)
		else of($path) + "must be a string or an \($s | del(.kind, .string) | keys[0])" end
	elif $s.kind == "variant" then
		if type != "object" then of($path) + "must be an object"
		else .kind as $k |
			if ($k | type) == "string" and ($s.of | has($k)) then check($s.of[$k]; $path)
			else of(at($path; "kind")) + "must be one of " +
				([$s.of | keys_unsorted[] | "\"\(.)\""] | join(", ")) end
		end
	elif $s.kind == "array" then
		if type != "array" then of($path) + "must be an array"
		elif length == 0 and $s.of.kind == "object" then of($path) + "must not be empty"
		else range(0; length) as $i | .[$i] | check($s.of; "\($path)[\($i)]") end
	elif type != "object" then of($path) + "must be an object"
	else
		($s.required[] as $k | select(has($k) | not) | at($path; $k) + ": is missing"),
		(to_entries[] | select(.key != "comment") | .key as $k |
			if $s.keys | has($k) then .value | check($s.keys[$k]; at($path; $k))
			else at($path; $k) + ": unknown key" + suggestion($k; $s.keys | keys) end)
	end;
# Is it of an unknown key?  (A value that says so is quoted, and its quotes too.)
def is_unknown: test(": unknown key( \\(did you mean \"[a-z_]+\"\\?\\))?\\z");

# The path of a volume that may be a regular file, else null.
def file_path:
	if test("^file:") then sub("^file:(//)?"; "") | if test("[%?#]") then null else . end
	elif test("^([a-z0-9+.-]{2,}:|/dev/)") then null
	else . end;

def plan_workloads:
	(.limits // {} | {budget, rate}) as $node |
	(.defaults // {}) as $d | (if has("site") then {site} else {} end) as $s |
	[.workloads[] | $s + $d + . | .node = $node |
		.tracker //= "auto" | .fallback //= "none" |
		.host |= (if . == null or . == "local" then null
			elif type == "string" then {ssh: ., options: []}
			else {ssh, options: (.options // [])} end) |
		.source //= {kind: "file"} | (.source.kind != "file") as $live |
		.tracker as $t | .fallback as $f | (.freeze // "auto") as $z |
		.disks |= map(
			.fallback //= $f | .tracker //= $t | .freeze //= $z |
			.path = (if $live then null else .volume | file_path end) |
			if .tracker == "auto" then
				.tracker = (if $live then "bitmap" elif .points then "reflink" elif .state then "state" else "scan" end)
			else . end)];

def twice($path): group_by(.)[] | select(length > 1) | of($path) + "\"\(.[0])\" appears twice";

# Keys of a recovery configuration that others need or exclude.
def recovery_sense($path; $disks; $groups):
	(select(has("group")) | .group as $g | select($groups | index($g) | not) |
		"\($path).group: failover.groups has no \"\($g)\""),
	(.networks // [] | map(.name) | twice("\($path).networks")),
	(.disks // [] | map(.name) | twice("\($path).disks")),
	(.disks // [] | to_entries[] | .key as $i | .value.name as $n | select($disks | index($n) | not) |
		"\($path).disks[\($i)].name: the workload has no disk \"\($n)\""),
	(.networks // [] | to_entries[] | .key as $i | .value |
		select(.kind != "user" and (has("source") | not)) |
		"\($path).networks[\($i)].source: is missing, and the kind \"\(.kind)\" needs it"),
	(.validate // [] | to_entries[] | .key as $i | .value |
		({tcp: "port", http: "port", serial: "text", services: "services"}[.kind]) as $need |
		select($need != null and (has($need) | not)) |
		"\($path).validate[\($i)].\($need): is missing, and the kind \"\(.kind)\" needs it");

# What the shape alone does not say; only asked when the shape is right.
def plan_sense:
	[.failover.groups // [] | .[].name] as $groups |
	(.workloads | map(.name) | twice("workloads")),
	($groups | twice("failover.groups")),
	(plan_workloads | to_entries[] | "workloads[\(.key)]" as $p | .value |
		(.disks | map(.name) | twice("\($p).disks")),
		(select(has("site") | not) | "\($p).site: is missing"),
		(select(has("recovery")) | [.disks[].name] as $names |
			.recovery | recovery_sense("\($p).recovery"; $names; $groups)),
		(select((.disks | map(has("target")) | unique | length) > 1) |
			"\($p).disks: either every disk has a target of its own or none"),
		.source.kind as $kind |
		(.source | select(.freeze == "require" and .kind == "qemu" and (has("agent") | not)) |
			"\($p).source.agent: is missing, and \"freeze\": \"require\" needs it"),
		(.disks | to_entries[] | "\($p).disks[\(.key)]" as $q | .value |
			(select(.tracker == "bitmap" and $kind == "file") |
				"\($q).tracker: \"bitmap\" needs a source of kind \"qemu\", \"libvirt\" or \"ebs\""),
			(select(.tracker == "reflink" and $kind != "file") |
				"\($q).tracker: \"reflink\" is for files; a guest's disks have \"bitmap\""),
			(select(.target // "" | startswith("ebs:") and (test("^ebs:(new)?([?]|$)") | not)) |
				"\($q).target: must be \"ebs:new\" with parameters or none: the snapshot to go on from is known from the catalog"),
			(select($kind == "ebs" and (.volume | test("^(vol-[0-9a-z]+|(/dev/)?[A-Za-z0-9]+)\\z") | not)) |
				"\($q).volume: must be a volume or a device of the instance, \"vol-...\" or \"/dev/sdf\", not \(.volume | tojson)"),
			(select(.tracker == "state" and (has("state") | not)) |
				"\($q).state: is missing, and the tracker \"state\" needs it"),
			(select(.tracker == "reflink" and (has("points") | not)) |
				"\($q).points: is missing, and the tracker \"reflink\" needs it"),
			(select(.tracker == "reflink" and .freeze == "none") |
				"\($q).freeze: the tracker \"reflink\" reads clones, so it cannot be \"none\""),
			(select(.freeze == "reflink" and .path == null) |
				"\($q).freeze: \"reflink\" is for regular files, not for \(.volume)")));

def plan_errors:
	[check(plan; "")] | if length > 0 then .[] else empty end;
