# Programs that die, calls that fail and power that is lost at any moment: each
# of these runs longer by hand, see tests/fault.
load ../lib/common

@test "one program of the pipeline is killed, 60 times" {
	"$DM_TOP/tests/fault/kill-rounds" 60
}

@test "streams that are cut, damaged, reordered or mixed are refused by every reader" {
	"$DM_TOP/tests/fault/cut-stream" 8
}

@test "the writer and the committer are killed at their calls that touch files" {
	"$DM_TOP/tests/fault/crash-points" 20
}

# bats test_tags=plain
@test "power is lost while a site is written, and takes what was not synced" {
	"$DM_TOP/tests/fault/power-points" 120
}

# bats test_tags=plain
@test "calls of the system and allocations fail in every program" {
	"$DM_TOP/tests/fault/error-points" 4
}

# bats test_tags=plain
@test "files of a site rot, and that is found" {
	"$DM_TOP/tests/fault/bit-rot" 30
}

# bats test_tags=plain
@test "processes of a running plan are killed and stopped" {
	"$DM_TOP/tests/fault/plan-rounds" 6
}
