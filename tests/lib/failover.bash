# Plans of two workloads for dm-failover(1) and a provider that plays a platform:
#   load ../lib/failover   (after common, volumes, faults, pipeline and provider)
# shellcheck shell=bash disable=SC2120,SC2119  # FILTER may be given

setup_file() {
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR dm_setup || return 1
	image_random base.raw 3M
	site
	full site w root="$T/base.raw"
	full site v root="$T/base.raw"
	export DM_FIRST=$T
}
setup() {
	dm_setup
	cp -r "$DM_FIRST/site" site
	cp "$DM_FIRST/base.raw" disk.raw
	mkfifo acks
	provider_make
	mkdir images
	plan
}
# A test that failed leaves no server behind.
teardown() {
	rm -rf fault
	dm-failover --clean --force plan.json >clean.log 2>&1 || :
	dm_teardown
}

# plan [FILTER]: workloads w and v, one disk each, changed by FILTER.
plan() {
	jq -n --arg t "$T" '{site: "\($t)/site", failover: {directory: "\($t)/images"},
		defaults: {recovery: {provider: "\($t)/provider"}},
		workloads: [("w", "v") | {name: ., disks: [{name: "root", volume: "\($t)/disk.raw"}]}]} | '"${1:-.}" >plan.json
}

# failed_over CODE [OPTION...]: sets $evidence to the record's path.
failed_over() {
	local want=$1
	shift
	exits "$want" within 300 dm-failover --json "$@" plan.json || return 1
	# shellcheck disable=SC2012,SC2010  # names are ours
	evidence=images/evidence/$(ls -t images/evidence | grep 'json$' | head -n 1)
}

# says FILTER: true of the record of evidence.
says() {
	jq -e "$1" "$evidence" >/dev/null || { jq . "$evidence" >&2; die "not so: $1"; }
}
# shellcheck disable=SC2034  # for the tests
w='.workloads[] | select(.name == "w")'

# ended PATTERN: no process has such a command line.  What was killed may take a
# moment to be gone.
ended() {
	! pgrep -f "$1" >/dev/null
}
# nothing_left: no process of this test, no machine, no lock.
nothing_left() {
	wait_for ended "^(timeout|bash|sleep).*$T/" || die "processes are left" || return 1
	[ -z "$(ls platform)" ] || die "machines are left: $(ls platform)" || return 1
	flock -n images/lock true || die "the lock is held"
}
