# What all programs have in common on the command line: dm(7), EXIT STATUS.
load ../lib/common
load ../lib/volumes

setup() { dm_setup; }
teardown() { dm_teardown; }

programs="dm-changed dm-describe dm-window dm-send dm-recv dm-write dm-checkpoint dm-recover dm-json dm-point-qemu"
scripts="dm-failover dm-move dm-point-ebs dm-point-libvirt dm-prep dm-replicate dm-restore dm-serve dm-shell"
providers="dm-provider-ec2 dm-provider-libvirt dm-provider-qemu"

@test "--help tells how, and that is no error" {
	for p in $programs $scripts $providers; do
		exits 0 "$p" --help </dev/null
		[ -z "$err" ]
		[[ $output == usage:\ $p* ]]
	done
}

@test "--version names the program; the number is the same for all" {
	for p in $programs $scripts $providers; do
		exits 0 "$p" --version </dev/null
		[[ $output =~ ^$p\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
		echo "${output#* }" >>versions
	done
	[ "$(sort -u versions | wc -l)" -eq 1 ]
}

@test "an unknown option is a usage error, in one line" {
	for p in $programs $scripts $providers; do
		exits 2 "$p" --frobnicate </dev/null
		one_line "$p: " frobnicate
	done
}

@test "an option given twice is a usage error" {
	exits 2 dm-window --window 8M --window 16M </dev/null
	one_line dm-window: window
	exits 2 dm-send --compress zstd --compress zstd x </dev/null
	one_line dm-send: compress
	exits 2 dm-recover --at 1 --at 2 site w </dev/null
	one_line dm-recover: at
	exits 2 dm-restore --at 1 --at 2 site w x </dev/null
	one_line dm-restore: at
}

@test "a value that is none is a usage error" {
	exits 2 dm-window --window lots </dev/null
	one_line dm-window: window
	exits 2 dm-recv --streams 0 -- true </dev/null
	one_line dm-recv: streams
	exits 2 dm-window --window </dev/null
	one_line dm-window: window
}

@test "operands that are missing are a usage error" {
	for p in dm-changed dm-send dm-write dm-recover dm-restore dm-replicate; do
		exits 2 "$p" </dev/null
		one_line "$p: "
	done
	exits 2 dm-checkpoint </dev/null
	one_line dm-checkpoint:
	exits 2 dm-checkpoint frobnicate </dev/null
	one_line dm-checkpoint: frobnicate
}

# on_terminal TEXT: run with a terminal as standard output and as standard
# error; $output is what it said, $code how it ended.
on_terminal() {
	code=0
	script -qec "$1" /dev/null </dev/null >"$T/.tty" 2>&1 || code=$?
	output=$(tr -d '\0\r' <"$T/.tty")
}

@test "a binary stream is never written to a terminal" {
	image_random a.raw 1M
	dm-changed a.raw >extents
	dm-describe <extents >descs
	for text in 'dm-changed a.raw' 'dm-describe <extents' 'dm-window <descs' 'dm-send a.raw <descs' \
	    'dm-recv <descs'; do
		on_terminal "$text"
		[ "$code" -eq 2 ] || die "$text: code $code: $output"
		[[ $output == *terminal* ]] || die "$text: $output"
		[[ $output != *dm-stream/1* ]]
		[ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ]
	done
}

@test "0: done" {
	image_random a.raw 3M
	sh_exits 0 'dm-changed a.raw | dm-describe | dm-send a.raw | dm-write b.raw >/dev/null'
	same a.raw b.raw
}

@test "1: a definite no" {
	exits 0 dm-checkpoint init site
	exits 1 dm-checkpoint init site
	one_line dm-checkpoint: site
	sh_exits 1 'dm-recover site nothing >/dev/null'
}

@test "3: bytes that are wrong" {
	for p in dm-describe dm-window dm-recv dm-json; do
		sh_exits 3 "printf 'this is no stream at all, whatever it may be' | $p >/dev/null"
	done
	sh_exits 3 "printf 'this is no stream at all, whatever it may be' | dm-write x.raw"
	[ -n "$err" ]
}

@test "4: the environment" {
	sh_exits 4 'dm-changed ./no-such-disk >/dev/null'
	for p in dm-describe dm-window dm-recv dm-json; do
		sh_exits 4 "$p </dev/null >/dev/null"
	done
	sh_exits 4 'dm-write x.raw </dev/null'
	one_line 'dm-write: '
}

@test "a reader that goes away is no news: silent, 4" {
	image_random a.raw 8M
	mkfifo out
	for text in 'dm-changed a.raw' 'dm-changed a.raw | dm-describe | dm-send a.raw'; do
		sh_exits 0 "head -c 20 <out >/dev/null & ($text >out; echo \$? >code); wait"
		[ "$(cat code)" -eq 4 ] || [ "$(cat code)" -eq 0 ]
		[ -z "$err" ] || die "$text: $err"
	done
	[ "$(cat code)" -eq 4 ]
}

@test "every page of a program has its synopsis, exit status and examples" {
	for p in $programs $scripts $providers; do
		for s in SYNOPSIS DESCRIPTION 'EXIT STATUS' EXAMPLES; do
			grep -q "^\.Sh $s" "$DM_TOP/man/$p.1" || die "$p.1: no $s"
		done
	done
}

@test "every option of --help is described in its page" {
	for p in $programs $scripts $providers; do
		"$p" --help | grep -oE '^ +(-[a-z], +)?--[a-z-]+' | sed 's/.* //' | sort -u >help.opts
		grep -oE 'Fl -[a-z-]+' "$DM_TOP/man/$p.1" | sed 's/^Fl -/--/' | sort -u >page.opts
		comm -23 help.opts page.opts | grep -vxE -- '--(help|version)' >missing || :
		[ ! -s missing ] || die "$p.1 does not describe: $(tr '\n' ' ' <missing)"
	done
}
