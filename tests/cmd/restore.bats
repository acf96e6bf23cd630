# dm-restore(1): the recovery pipeline with one command.
load ../lib/common
load ../lib/volumes
load ../lib/faults
load ../lib/pipeline

setup_file() {
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR dm_setup || return 1
	image_ext4 a.raw 64M
	image_random b.raw 3148291
	site
	full site w a.raw b.raw
	full site one a.raw
	cp a.raw a1
	cp b.raw b1
	ext4_change a.raw
	poke b.raw 5000 4096
	scan site w a.raw b.raw
	export DM_MADE=$T
}
setup() {
	dm_setup
	site=$DM_MADE/site
}
teardown() { dm_teardown; }

@test "all disks of the newest checkpoint" {
	exits 0 dm-restore "$site" w a=x b=y
	same "$DM_MADE/a.raw" x
	same "$DM_MADE/b.raw" y
	fs_clean x
}

@test "an older one, by number" {
	exits 0 dm-restore --at 1 "$site" w a=x b=y
	same "$DM_MADE/a1" x
	same "$DM_MADE/b1" y
}

@test "one disk of several, by its target's name or by --disk" {
	exits 0 dm-restore "$site" w b=y
	same "$DM_MADE/b.raw" y
	exits 0 dm-restore --disk b "$site" w z
	same "$DM_MADE/b.raw" z
}

@test "a workload of one disk needs no name" {
	exits 0 dm-restore "$site" one x
	same "$DM_MADE/a1" x
}

@test "a target on a device" {
	truncate -s 64M dev
	loop_attach dev
	exits 0 dm-restore "$site" w a="$loop"
	cmp "$DM_MADE/a.raw" "$loop"
}

@test "a mounted target is refused and stays as it is" {
	truncate -s 64M dev
	mke2fs -q -t ext4 -F dev
	loop_attach dev
	mkdir m
	mount "$loop" m
	at_end umount "$T/m"
	exits 1 dm-restore "$site" w a="$loop"
	one_line dm-write: mounted
	umount m
	mount "$loop" m
	umount m
	fs_clean dev
	mount "$loop" m
}

@test "a target that is too small is refused" {
	truncate -s 32M dev
	loop_attach dev
	exits 1 dm-restore "$site" w a="$loop"
	one_line dm-write:
}

@test "what is not there is a definite no" {
	exits 1 dm-restore "$site" nothing x
	one_line dm-recover:
	exits 1 dm-restore --at 9 "$site" w a=x
	one_line dm-recover:
	exits 1 dm-restore ./no-such-site w x
	one_line dm-recover:
	exits 1 dm-restore "$site" w c=x
	[ -n "$err" ]
	[ ! -s x ]
}

@test "several targets must say their disks" {
	exits 2 dm-restore "$site" w a=x y
	one_line "dm-restore: y:"
}

@test "--dry-run prints what a shell can run" {
	exits 0 dm-restore --dry-run --at 1 "$site" w a=x
	[ ! -e x ]
	exits 0 bash -c "$output"
	same "$DM_MADE/a1" x
}

@test "names with blanks and quotes" {
	mkdir "it's here"
	exits 0 dm-restore "$site" w "a=it's here/x y"
	same "$DM_MADE/a.raw" "it's here/x y"
	cp -r "$site" "the site"
	exits 0 dm-restore "the site" w a=z
	same "$DM_MADE/a.raw" z
}

@test "--progress shows the way" {
	exits 0 dm-restore --progress "$site" w a=x
	[[ $err == *%* ]]
}

@test "told to end, it writes no more" {
	mkdir bin
	# One that takes its time to end is waited for.
	printf '#!/bin/bash\nsleep 1000 &\ntrap "kill $!; sleep 1; : >ended; exit" TERM\nwait\n' >bin/dm-send
	chmod +x bin/dm-send
	export TMPDIR=$T
	background "PATH=$T/bin:\$PATH; exec dm-restore $site one $T/x"
	wait_for pgrep -f "^dm-write .*$T/x"
	kill -TERM "$group"
	rc=0; wait "$group" || rc=$?
	[ "$rc" -eq 4 ]
	[ -e ended ]
	[ -z "$(pgrep -f "^dm-(write|window|recover) .*$T")" ]
	[ -z "$(find . -name 'tmp.*')" ]
}

@test "damage in the site is found and said once" {
	cp -r "$site" bad
	for p in bad/chunks/packs/*/*; do
		size=$(stat -c %s "$p")
		for ((o = 5000; o < size - 5000; o += size / 20 + 1)); do
			printf '\377\000\377\000' | dd of="$p" bs=1 seek=$o conv=notrunc status=none
		done
	done
	code=0
	dm-restore bad w a=x 2>err || code=$?
	[ "$code" -eq 3 ] || [ "$code" -eq 1 ] || die "code $code"
	own_words err
	[ "$(wc -l <err)" -eq 1 ]
}
