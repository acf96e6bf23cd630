# A real sshd for tests:  load ../lib/ssh   (after common)
#
#   setup_file() { sshd_start; }   teardown_file() { sshd_stop; }
#
# It listens on a loopback port the system chose, with keys made for this run
# only.  `ssh src COMMAND' then reaches this machine: an ssh on PATH adds the
# configuration.  Where ssh is not the subject, pseudo_ssh is quicker.
# shellcheck shell=bash

sshd_start() {
	local d=$BATS_FILE_TMPDIR/ssh sshd
	sshd=$(command -v sshd || echo /usr/sbin/sshd)
	mkdir -p "$d/bin"
	[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f "$d/host" || return 1
	ssh-keygen -q -t ed25519 -N '' -f "$d/key" || return 1
	cat >"$d/sshd_config" <<-END
		HostKey $d/host
		AuthorizedKeysFile $d/key.pub
		StrictModes no
		UsePAM no
		PasswordAuthentication no
		PermitRootLogin prohibit-password
		PidFile none
		LogLevel ERROR
		MaxStartups 100
		SetEnv PATH=$DM_BUILD/bin:$DM_TOP/scripts:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
	END
	# accept hands each connection to sshd -i, as inetd would.
	"$DM_BUILD/lib/accept" "$d/port" "$sshd" -i -f "$d/sshd_config" \
	    >"$d/log" 2>&1 3>&- &
	echo $! >"$d/pid"
	wait_for test -s "$d/port" || return 1
	printf '[127.0.0.1]:%s %s\n' "$(cat "$d/port")" "$(cut -d' ' -f1,2 "$d/host.pub")" >"$d/known"
	cat >"$d/ssh_config" <<-END
		Host src dst
		HostName 127.0.0.1
		Port $(cat "$d/port")
		User $(id -un)
		IdentityFile $d/key
		IdentitiesOnly yes
		UserKnownHostsFile $d/known
		StrictHostKeyChecking yes
		BatchMode yes
		LogLevel ERROR
	END
	printf '#!/bin/sh\nexec %s -F %s "$@"\n' "$(command -v ssh)" "$d/ssh_config" >"$d/bin/ssh"
	chmod +x "$d/bin/ssh"
	PATH=$d/bin:$PATH
	export PATH
	ssh src true || { cat "$d/log" >&2; return 1; }
}

sshd_stop() {
	local pid
	pid=$(cat "$BATS_FILE_TMPDIR/ssh/pid") && kill "$pid"
}

# pseudo_ssh: an ssh on PATH that runs the command here, by the shell, as the
# other side would; options and the host's name are dropped.
pseudo_ssh() {
	mkdir -p "$T/.bin"
	cat >"$T/.bin/ssh" <<-'END'
		#!/bin/sh
		while [ $# -gt 0 ]; do
			case $1 in
			-[bcDEeFIiJLlmOopQRSWw]) shift 2 ;;
			-*) shift ;;
			*) break ;;
			esac
		done
		shift
		exec sh -c "$*"
	END
	chmod +x "$T/.bin/ssh"
	PATH=$T/.bin:$PATH
}
