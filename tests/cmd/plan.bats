# Plans are checked before anything runs: dm-plan(5).
# bats file_tags=plain
load ../lib/common

setup() { dm_setup; }
teardown() { dm_teardown; }

# refused JSON TEXT...: one line that names the key; usage.
refused() {
	printf '%s\n' "$1" >plan.json
	exits 2 dm-replicate plan.json || return 1
	shift
	one_line "dm-replicate: plan.json: $1" "${@:2}"
}

# A plan that is right, changed by a jq FILTER.
broken() {
	jq "$1" >plan.json <<-'END'
		{ "site": "s", "workloads": [ { "name": "web1", "disks": [
		  { "name": "a", "volume": "/a" }, { "name": "b", "volume": "/b" } ] } ] }
	END
	exits 2 dm-replicate plan.json || return 1
	shift
	one_line "dm-replicate: plan.json: $1" "${@:2}"
}

@test "what is no JSON object is refused" {
	refused '{' 'is no JSON'
	refused $'{"site": "s", \x1eworkloads": []}' 'is no JSON'
	refused '' 'must hold one object'
	refused '{} {}' 'must hold one object'
	refused '[]' 'must be an object'
	refused '"x"' 'must be an object'
}

@test "a plan that cannot be read is named" {
	exits 2 dm-replicate no-such-plan.json
	one_line 'no-such-plan.json: cannot be read'
}

@test "required keys" {
	refused '{}' 'workloads: is missing'
	refused '{"workloads": []}' 'workloads: must not be empty'
	broken 'del(.workloads[0].name)' 'workloads[0].name: is missing'
	broken 'del(.workloads[0].disks)' 'workloads[0].disks: is missing'
	broken '.workloads[0].disks = []' 'workloads[0].disks: must not be empty'
	broken 'del(.workloads[0].disks[1].volume)' 'workloads[0].disks[1].volume: is missing'
	broken 'del(.site)' 'workloads[0].site: is missing'
}

@test "a site that looks like an option" {
	broken '.site = "-s"' 'site: must be a directory, written ' '"./-..."'
	broken '.workloads[0].site = "-s"' 'workloads[0].site: must be a directory'
}

@test "types" {
	broken '.workloads[0].disks[1].volume = 3' 'workloads[0].disks[1].volume: must be a string'
	broken '.workloads = {}' 'workloads: must be an array'
	broken '.workloads[0] = "web1"' 'workloads[0]: must be an object'
	broken '.workloads[0].streams = "2"' 'workloads[0].streams: must be a number'
	broken '.workloads[0].host = 7' 'workloads[0].host: must be a string or an object'
	broken '.workloads[0].host = {options: []}' 'workloads[0].host.ssh: is missing'
	broken '.workloads[0].host = {ssh: "h", options: "-p"}' 'workloads[0].host.options: must be an array'
	broken '.workloads[0].recovery = "x"' 'workloads[0].recovery: must be an object'
}

@test "values" {
	broken '.workloads[0].name = "a/b"' 'workloads[0].name: must be a name' '"a/b"'
	broken '.workloads[0].name = "-a"' 'workloads[0].name: must be a name'
	broken '.workloads[0].disks[0].name = ""' 'workloads[0].disks[0].name: must be a name'
	broken '.workloads[0].disks[0].volume = ""' 'workloads[0].disks[0].volume: must be'
	broken '.workloads[0].streams = 0' 'workloads[0].streams: must be a whole number from 1 to 64, not 0'
	broken '.workloads[0].streams = 1.5' 'workloads[0].streams: must be a whole number'
	broken '.workloads[0].window = "32 MB"' 'workloads[0].window: must be a size' '"32 MB"'
	broken '.workloads[0].schedule = {every: "15"}' 'workloads[0].schedule.every: must be a duration'
	broken '.limits.parallel = 0' 'limits.parallel: must be a whole number from 1 to 256'
	broken '.limits.budget = "lots"' 'limits.budget: must be a size'
	broken '.limits.rate = "20 MB/s"' 'limits.rate: must be a rate'
	broken '.limits.rate = ["20M", "1M@8-9"]' 'limits.rate[1]: must be a rate'
	broken '.workloads[0].limits = {rate: 5}' 'workloads[0].limits.rate: must be a string or an array'
	broken '.workloads[0].priority = 0' 'workloads[0].priority: must be a whole number from 1 to 100'
	broken '.workloads[0].retention = {last: -1}' 'workloads[0].retention.last: must be a whole number'
	broken '.workloads[0].transforms = {compress: "gzip"}' 'workloads[0].transforms.compress: must be one of "zstd", "none"'
}

@test "a line's end is part of a value, also the last" {
	broken '.workloads[0].name += "\n"' 'workloads[0].name: must be a name' '"web1\n"'
	broken '.workloads[0].disks[0].volume += "\n"' 'workloads[0].disks[0].volume: must be' '"/a\n"'
	broken '.workloads[0].window = "32M\n"' 'workloads[0].window: must be a size'
	broken '.workloads[0]["site\u001b\n"] = 1' 'workloads[0]."site\u001b\n": unknown key'
}

@test "plans that were changed at random are taken or refused, never misread" {
	"$DM_TOP/tests/fault/plan-mutants" 12
}

@test "unknown keys are refused, with a guess" {
	broken '.workload = 1' 'workload: unknown key (did you mean "workloads"?)'
	broken '.workloads[0].disk = 1' 'workloads[0].disk: unknown key (did you mean "disks"?)'
	broken '.workloads[0].retension = {}' 'workloads[0].retension: unknown key (did you mean "retention"?)'
	broken '.workloads[0].retention = {dayly: 3}' 'workloads[0].retention.dayly: unknown key (did you mean "daily"?)'
	broken '.workloads[0].disks[0].tracker = "relink"' 'workloads[0].disks[0].tracker: must be one of' '(did you mean "reflink"?)'
	broken '.defaults = {name: "x"}' 'defaults.name: unknown key'
	broken '.zzzzzz = 1' 'zzzzzz: unknown key'
	[[ $err != *mean* ]]
}

@test "what the shape does not say" {
	broken '.workloads += .workloads' 'workloads: "web1" appears twice'
	broken '.workloads[0].disks[1].name = "a"' 'workloads[0].disks: "a" appears twice'
	broken '.workloads[0].disks[0].tracker = "state"' 'workloads[0].disks[0].state: is missing'
	broken '.workloads[0].disks[0].tracker = "reflink"' 'workloads[0].disks[0].points: is missing'
	broken '.workloads[0].disks[1].target = "file:/x"' 'workloads[0].disks: either every disk has a target'
}

@test "every mistake is told, each on its line" {
	printf '{"site": 1, "workloads": [{"name": 2, "disks": [{"name": "a"}]}]}' >plan.json
	exits 2 dm-replicate plan.json
	[ "$(printf '%s\n' "$err" | wc -l)" -eq 3 ]
	[[ $err == *"plan.json: site: must be a string"* ]]
	[[ $err == *"workloads[0].name: must be a string"* ]]
	[[ $err == *"workloads[0].disks[0].volume: is missing"* ]]
}

@test "comments may stand anywhere" {
	printf '{"comment": "x", "site": "s", "workloads": [{"comment": ["y"], "name": "w",
		"disks": [{"comment": 3, "name": "a", "volume": "/a"}]}]}' >plan.json
	exits 1 dm-replicate plan.json
	[[ $err == *"no such site"* ]]
}

@test "a workload that is asked for must be in the plan" {
	printf '{"site": "s", "workloads": [{"name": "w", "disks": [{"name": "a", "volume": "/a"}]}]}' >plan.json
	exits 2 dm-replicate --workload v plan.json
	one_line 'plan.json: has no workload "v"'
}

@test "the command line" {
	exits 2 dm-replicate
	one_line 'one plan is needed'
	exits 2 dm-replicate --frobnicate x
	one_line 'unknown option --frobnicate'
	exits 2 dm-replicate --now --force x
	one_line 'given twice'
	exits 0 dm-replicate --help
	[[ $output == usage:* ]]
	exits 0 dm-replicate --version
	[[ $output == "dm-replicate "* ]]
}
