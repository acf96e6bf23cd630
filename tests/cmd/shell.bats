# dm-shell: the forced command of a recovery site's key.
load ../lib/common
load ../lib/pipeline
load ../lib/volumes
load ../lib/ssh

setup_file() {
	local d=$BATS_FILE_TMPDIR/ssh
	sshd_start || return 1
	image_random "$BATS_FILE_TMPDIR/a.raw" 3M
	sed -i "s|^|restrict,command=\"dm-shell a=$BATS_FILE_TMPDIR/a.raw\" |" "$d/key.pub"
}
teardown_file() { sshd_stop; }
setup() {
	dm_setup
	A=$BATS_FILE_TMPDIR/a.raw
}
teardown() { dm_teardown; }

@test "an iteration through a key that may do nothing else" {
	site
	pipeline 0 "ssh src 'dm-changed --workload w1 a=$A | dm-describe' |
		dm-window --acks acks | dm-recv --streams 2 -- ssh src dm-send --compress zstd a=$A |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w1 site"
	pipeline 0 "dm-recover --ids site w1 | ssh src 'dm-changed --against - a=$A | dm-describe' |
		dm-window --acks acks | dm-recv -- ssh src dm-send a=$A |
		dm-write repo:site | dm-checkpoint commit --acks acks --workload w1 site"
	recover site w1 latest a=b.raw
	same "$A" b.raw
}

# bats test_tags=plain
@test "everything else is refused" {
	while IFS= read -r c; do
		exits 1 ssh src "$c"
		[[ $err == *"dm-shell: refused"* ]] || die "$c: $err"
	done <<-END
		cat /etc/passwd
		dm-send a=/etc/passwd
		dm-send /etc/passwd
		dm-send $A
		dm-send a=$A; id
		dm-send a=$A && id
		dm-send a=$A > /tmp/x
		dm-send \$(id)
		dm-send \`id\`
		dm-changed a=$A | dm-describe | id
		dm-changed a=$A | dm-send a=$A
		dm-describe | dm-changed a=$A
		dm-changed --state a=/tmp/x a=$A
		dm-changed --against /etc/passwd a=$A
		dm-changed --extents /etc/passwd a=$A
		dm-changed --since /etc/passwd a=$A
		dm-changed --since=/etc/passwd a=$A
		dm-send '--all --pad' a=$A
		dm-send '--seal --unseal' /etc/shadow a=$A
		dm-send --seal /etc/shadow a=$A
		dm-send --key /etc/shadow a=$A
		dm-send seal:$A
		dm-recv -- id
		dm-write a=$A
		dm-send "a=$A"
		dm-send a=$A --compress
	END
	exits 1 ssh src
	[[ $err == *"no command"* ]]
	# A key file that is granted is no volume.
	SSH_ORIGINAL_COMMAND="dm-send seal:k" exits 1 dm-shell a="$A" seal:k
	one_line "refused: seal:k"
	# Nor is a file of the home directory a point.
	touch clone
	SSH_ORIGINAL_COMMAND="dm-changed --since clone a=$A" exits 1 dm-shell a="$A"
	one_line "refused: --since clone"
	SSH_ORIGINAL_COMMAND="dm-changed --since a=file:1@clone a=$A" exits 1 dm-shell a="$A"
	one_line "refused: --since a=file:1@clone"
}

@test "sealed with a granted key file" {
	dm-checkpoint key new k
	dm-changed a="$A" | dm-describe | dm-window >req
	cat >there <<-END
		#!/bin/sh
		SSH_ORIGINAL_COMMAND="\$*" exec dm-shell a=$A seal:$T/k
	END
	chmod +x there
	pipeline 0 "dm-recv --seal k -- ./there dm-send --seal $T/k a=$A <req | dm-write b.raw >/dev/null"
	same "$A" b.raw
	exits 1 ./there dm-send --seal "$T/other" a="$A" <req
}

@test "words may be quoted as the driver quotes them" {
	cp "$A" "it's a disk.raw"
	SSH_ORIGINAL_COMMAND="dm-send --all 'a=it'\\''s a disk.raw'" \
		dm-shell "a=it's a disk.raw" | dm-write b.raw >/dev/null
	same "$A" b.raw
}
