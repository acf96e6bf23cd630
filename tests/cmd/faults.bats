# Programs that die, and disks that fail, at any moment: longer runs of the
# same are tests/fault/kill-rounds and tests/fault/crash-points by hand.
load ../lib/common

@test "one program of the pipeline is killed, 150 times" {
	"$DM_TOP/tests/fault/kill-rounds" 150
}

@test "streams that are cut, damaged, reordered or mixed are refused by every reader" {
	"$DM_TOP/tests/fault/cut-stream" 8
}

@test "the writer and the committer are killed at their calls that touch files" {
	"$DM_TOP/tests/fault/crash-points" 30
}
