# The window law against a simulated world: the obligations that
# tests/sim/main.c states, each case over 40 seeds.
# bats file_tags=plain
load ../lib/common

obligations() {
	run "$DM_BUILD/sim/window" --check --seeds 40 "$@"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"$# cases, 40 seeds: the law keeps its obligations"* ]]
}

@test "the law keeps stores and long ways busy" {
	obligations "fast store" "cloud store" wan jitter
}

@test "the law follows a rate that falls and rises fourfold" {
	obligations step "wan step"
}

@test "the law gives way to a store that rejects" {
	obligations "rejects early" "rejects late"
}

@test "disks share a budget fairly" {
	obligations "late comers" "80 disks" "one tiny"
}

@test "the simulator finds a law that does not keep its obligations" {
	run "$DM_BUILD/sim/window" --check --seeds 1 --as fixed wan
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"FAILED wan"*"rate below 95 %"* ]]
}
