# Programs that die, calls that fail and power that is lost at any moment: each
# of these runs longer by hand, see tests/fault.
# bats file_tags=long
load ../lib/common
load ../lib/volumes
load ../lib/pipeline

setup() { dm_setup; }
teardown() { dm_teardown; }

@test "one program of the pipeline is killed, 60 times" {
	"$DM_TOP/tests/fault/kill-rounds" 60
}

@test "streams that are cut, damaged, reordered or mixed are refused by every reader" {
	"$DM_TOP/tests/fault/cut-stream" 8
}

@test "the writer and the committer are killed at their calls that touch files" {
	"$DM_TOP/tests/fault/crash-points" 20
}

@test "the same, with targets outside of the repository" {
	fs_mount xfs x 400M
	DM_CRASH_DIR=$T/x "$DM_TOP/tests/fault/crash-points" 8 dir
	FIRST=1 DM_CRASH_DIR=$T/x "$DM_TOP/tests/fault/crash-points" 4 dir
	"$DM_TOP/tests/fault/crash-points" 6 file
	FIRST=1 "$DM_TOP/tests/fault/crash-points" 4 file
}

# bats test_tags=plain
@test "power is lost while a site is written, and takes what was not synced" {
	"$DM_TOP/tests/fault/power-points" 120
}

# bats test_tags=plain
@test "calls of the system and allocations fail in every program" {
	"$DM_TOP/tests/fault/error-points" 4
	# A key that cannot be read: at each call.
	"$DM_TOP/tests/fault/error-points" all '^dm-recv --one-way'
}

# bats test_tags=plain
@test "files of a site rot, and that is found" {
	"$DM_TOP/tests/fault/bit-rot" 30
}

# bats test_tags=plain
@test "processes of a running plan are killed and stopped" {
	"$DM_TOP/tests/fault/plan-rounds" 6
}

@test "a file system is full in the middle of an iteration, and has room again" {
	fs_mount ext4 small 48M
	image_random a.raw 4M
	image_random b.raw 20M
	site small/site
	full small/site w a.raw
	fallocate -l 24M small/ballast
	cp b.raw a.raw
	pipeline 4 "$(iteration small/site w 'dm-recover --ids small/site w | dm-changed --frozen --against - a.raw' a.raw |
		sed 's/dm-window/dm-window --interval 2M/')"
	one_line 'No space left on device'
	[ "$(checkpoints small/site w)" -eq 1 ]
	exits 0 dm-checkpoint verify small/site
	rm small/ballast
	pipeline 0 "$(iteration small/site w 'dm-recover --ids small/site w | dm-changed --frozen --against - a.raw' a.raw |
		sed 's/dm-recv /tee asked | dm-recv /')"
	# What was durable before is not asked for again.
	[ "$(dm-json <asked | jq -n '[inputs | select(.type == "held")] | length')" -gt 0 ]
	recover small/site w latest a=back.raw
	same b.raw back.raw
	exits 0 dm-checkpoint verify small/site
}
