# Two hosts with a link between them, for benches:  . tests/lib/links.bash
# Namespaces $A (the protected site, with sshd) and $B (the recovery site), and
# a device wan0 in both: veth with tbf, or a delay line (tests/lib/wan) with
# tbf.  For root.  Sets $tmp, and cleans up at the exit.
# shellcheck shell=bash disable=SC2154

[ "$(id -u)" -eq 0 ] || { echo "namespaces need root" >&2; exit 2; }
tmp=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
A=dm$$a B=dm$$b wan='' sshd='' mbit=0

links_clean() {
	link_down
	[ -z "$sshd" ] || kill "$sshd" 2>/dev/null
	ip netns del "$A" 2>/dev/null
	ip netns del "$B" 2>/dev/null
	rm -rf "$tmp"
}
trap links_clean EXIT
trap 'exit 4' TERM INT HUP

in_b() { ip netns exec "$B" "$@"; }

# link_up MBIT MILLISECONDS [LOSS]: 10.98.0.1 and 10.98.0.2 on device wan0, so
# long there and back.
link_up() {
	mbit=$1
	if [ "$2" = 0 ] && [ -z "${3-}" ]; then
		ip link add dmv$$a netns "$A" type veth peer name dmv$$b netns "$B"
		link_end "$A" dmv$$a 10.98.0.1
		link_end "$B" dmv$$b 10.98.0.2
	else
		mkfifo "$tmp/wan"
		wan "$A" "$B" "$(jq -n "$2 / 2")" "${3-0}" <"$tmp/wan" >"$tmp/wan.up" &
		wan=$!
		exec 7>"$tmp/wan"
		until [ -s "$tmp/wan.up" ]; do sleep 0.05; done
	fi
	for ns in "$A" "$B"; do
		ip netns exec "$ns" sysctl -qw net.ipv4.tcp_rmem='4096 131072 33554432' net.ipv4.tcp_wmem='4096 131072 33554432'
	done
	link_rate "$mbit"
}
link_end() {
	ip -n "$1" link set "$2" name wan0
	ip -n "$1" addr add "$3/24" dev wan0
	# Packets as they are on a wire with jumbo frames, like the delay line's.
	# Larger ones, to be cut by a device, would count with too few headers.
	ip -n "$1" link set wan0 mtu 9000 gso_max_segs 1 up
}
link_rate() {
	tc -n "$A" qdisc replace dev wan0 root tbf rate "$1mbit" burst 256kb latency 100ms
	tc -n "$B" qdisc replace dev wan0 root tbf rate "$1mbit" burst 256kb latency 100ms
}
link_down() {
	if [ -n "$wan" ]; then
		exec 7>&-
		wait "$wan" 2>/dev/null
		wan=
		rm -f "$tmp/wan" "$tmp/wan.up"
	else
		ip -n "$A" link del wan0 2>/dev/null
	fi
}

# hosts_up: both, and an ssh in $PATH that knows host src.
hosts_up() {
	ip netns add "$A"
	ip netns add "$B"
	ip -n "$A" link set lo up
	ip -n "$B" link set lo up
	mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f "$tmp/host"
	ssh-keygen -q -t ed25519 -N '' -f "$tmp/key"
	printf '%s\n' "HostKey $tmp/host" "AuthorizedKeysFile $tmp/key.pub" 'StrictModes no' 'UsePAM no' \
	    'PidFile none' 'LogLevel ERROR' 'MaxStartups 100' 'PermitRootLogin prohibit-password' \
	    'Port 22' "SetEnv PATH=$PATH" >"$tmp/sshd_config"
	printf '%s\n' 'Host src' 'HostName 10.98.0.1' "IdentityFile $tmp/key" 'IdentitiesOnly yes' \
	    'UserKnownHostsFile /dev/null' 'StrictHostKeyChecking no' 'BatchMode yes' 'LogLevel ERROR' \
	    'ConnectTimeout 10' 'ServerAliveInterval 5' 'Ciphers aes128-gcm@openssh.com' >"$tmp/ssh_config"
	ip netns exec "$A" "$(command -v sshd)" -D -f "$tmp/sshd_config" </dev/null >/dev/null 2>&1 &
	sshd=$!
	mkdir "$tmp/bin"
	printf '#!/bin/sh\nexec %s -F %s "$@"\n' "$(command -v ssh)" "$tmp/ssh_config" >"$tmp/bin/ssh"
	chmod +x "$tmp/bin/ssh"
	PATH=$tmp/bin:$PATH
}
