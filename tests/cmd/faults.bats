# Programs that die, and disks that fail, at any moment: longer runs of the
# same are tests/fault/kill-rounds and tests/fault/crash-points by hand.
load ../lib/common

@test "one program of the pipeline is killed, 150 times" {
	run -0 "$DM_TOP/tests/fault/kill-rounds" 150
	echo "$output"
}

@test "streams that are cut, damaged, reordered or mixed are refused by every reader" {
	run -0 "$DM_TOP/tests/fault/cut-stream" 8
	echo "$output"
}

@test "the writer and the committer are killed at their calls that touch files" {
	run -0 "$DM_TOP/tests/fault/crash-points" 30
	echo "$output"
}
