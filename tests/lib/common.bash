# Common ground of the bats suites:  load ../lib/common
#
#   setup() { dm_setup; }   teardown() { dm_teardown; }
#
# dm_setup gives the test an empty directory $T, which is also the current one
# and goes away afterwards, and puts the programs under test on PATH.  What a
# test acquires it hands to `at_end', which runs in reverse order.
# shellcheck shell=bash

DM_TOP=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
DM_LIB=$DM_TOP/tests/lib
case ${DM_BUILD:=build} in /*) ;; *) DM_BUILD=$DM_TOP/$DM_BUILD ;; esac
case :$PATH: in
*":$DM_BUILD/bin:"*) ;;
*) PATH=$DM_BUILD/bin:$DM_BUILD/lib:$DM_TOP/scripts:$PATH:/usr/sbin:/sbin ;;
esac
export DM_TOP DM_LIB DM_BUILD PATH
export LC_ALL=C TZ=UTC

dm_setup() {
	T=$(mktemp -d "${BATS_TEST_TMPDIR:-${TMPDIR:-/tmp}}/t.XXXXXX")
	DM_END=$T.end
	export T DM_END
	: >"$DM_END"
	cd "$T" || return 1
}

dm_teardown() {
	local line bad=0
	cd "$T" || return 1
	while IFS= read -r line; do
		eval "$line" || { echo "# clean-up failed: $line" >&2; bad=1; }
	done < <(tac "$DM_END")
	cd / || return 1
	rm -rf "$T" "$DM_END"
	return "$bad"
}

# test_drivers: programs that also know the drivers fault+ and log+.
test_drivers() {
	PATH=$DM_BUILD/testbin:$PATH
}

# at_end COMMAND...: run it when the test is over, whatever its result.
at_end() {
	printf '%q ' "$@" >>"$DM_END"
	echo >>"$DM_END"
}

# die TEXT: fail the test with a reason.
die() {
	echo "$*" >&2
	return 1
}

# own_words FILE: take out of a standard error what the instrumented program did
# not say, also where a script passed it on behind a name.  When a thread that
# was joined still leaves the kernel, LeakSanitizer says that it has no
# registers or was not stopped, goes on, and finds no less.
own_words() {
	case $DM_BUILD in
	*-address*) sed -i -E '/^([^ ]+: )*==[0-9]+==(Unable to get registers from thread [0-9]+|Running thread [0-9]+ was not suspended\. False leaks are possible)\.$/d' "$1" ;;
	esac
}

# exits CODE COMMAND...: the command must end with this code.  $output holds
# what it wrote to both streams, $err its standard error alone.
exits() {
	local want=$1 got=0
	shift
	"$@" >"$T/.out" 2>"$T/.err" || got=$?
	own_words "$T/.err"
	output=$(tr -d '\0' <"$T/.out"; cat "$T/.err")
	err=$(cat "$T/.err")
	[ "$got" -eq "$want" ] && return 0
	echo "exit $got, expected $want: $*" >&2
	printf '%s\n' "$output" >&2
	return 1
}

# sh_exits CODE TEXT: the same for a line of shell, a pipeline for instance.
sh_exits() {
	exits "$1" bash -c "$2"
}

# fails COMMAND...: it must not succeed.  (A line that begins with "!" ends no
# test, whatever comes of it.)
fails() {
	! "$@" || die "was to fail: $*"
}

# one_line TEXT...: $err must be one line holding every TEXT.
one_line() {
	local want
	[ "$(printf '%s\n' "$err" | wc -l)" -eq 1 ] && [ -n "$err" ] ||
		die "expected one line on standard error, got: $err" || return 1
	for want; do
		[[ $err == *"$want"* ]] || die "no \"$want\" in: $err" || return 1
	done
}

# same FILE FILE: byte for byte.
same() {
	cmp -- "$1" "$2" >&2
}

# sum FILE: its SHA-256.
sum() {
	sha256sum -- "$1" | cut -d' ' -f1
}

# within SECONDS COMMAND...: a hang is a failure (code 124).  How fast it is is
# no matter: a machine may be busy, and instrumented programs are slow.
within() {
	timeout -k 5 "$@"
}

# dead PID: it has ended, also when nobody waited for it yet.
dead() {
	! grep -qs '^State:.[^ZX]' "/proc/$1/status"
}

# wait_for COMMAND...: until it succeeds, at most two minutes.
wait_for() {
	local end=$((SECONDS + 120))
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || die "waited in vain for: $*" || return 1
		sleep 0.05
	done
}
