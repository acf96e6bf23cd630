# What providers have in common: dm-provider(7).  A provider sets me and about,
# defines a function verb_X for each verb, and for validate
#   provider_agent JSON   put a command to the guest's agent, print its reply
#   provider_serial       print the path of the file with the serial output
#   provider_reach NETWORK PORT   print "host port" to reach that port of the guest
#   provider_proves HOST PORT     is the open connection to it one to the guest?
# shellcheck shell=bash
# shellcheck disable=SC2154

version=0.1.0

die() {
	local code=$1
	shift
	printf '%s: %s\n' "$me" "$*" >&2
	exit "$code"
}

help() {
	cat <<-END
		usage: $me VERB <REQUEST >REPLY

		$about

		verbs: quota create network start wait validate$(! can move || echo ' move') stop$(! can points || echo ' points') destroy

		REQUEST and REPLY are JSON; dm-failover(1) calls this.  See dm-provider(7).
	END
}

# can VERB: not every platform can do every one.
can() { declare -F "verb_$1" >/dev/null; }

# get FILTER: something of the request.  m FILTER [OPTION...]: of its machine.
get() { jq -r "$1" <<<"$request"; }
m() { jq -r "${@:2}" ".machine | $1" <<<"$request"; }

# reply JSON: the answer, and success.
reply() {
	printf '%s\n' "$1"
	exit 0
}

# left: whole seconds until the request's time is over, at least 1.
left() {
	local s=$((deadline - SECONDS))
	[ "$s" -ge 1 ] || s=1
	echo "$s"
}
over() { [ "$SECONDS" -ge "$deadline" ]; }

provider_main() {
	case ${1-} in
	--help) help; exit 0 ;;
	--version) echo "$me $version"; exit 0 ;;
	quota | create | network | start | wait | validate | move | stop | points | destroy) ;;
	'') die 2 "a verb is needed; try '$me --help'" ;;
	*) die 2 "unknown verb $1; try '$me --help'" ;;
	esac
	can "$1" || die 2 "$1: machines on this platform cannot"
	[ $# -eq 1 ] || die 2 "one verb is needed; try '$me --help'"
	request=$(jq -ce 'select(type == "object")' 2>/dev/null) && [ -n "$request" ] && [ "$(wc -l <<<"$request")" -eq 1 ] ||
		die 2 "the request is no JSON object"
	[ "$(get .format)" = 1 ] || die 2 "the request is not of format 1"
	deadline=$(get 'if (.timeout | type) == "number" and .timeout >= 1 then .timeout | floor else 60 end')
	deadline=$((SECONDS + deadline))
	if [ "$1" != quota ]; then
		name=$(m '.name // ""') dir=$(m '.directory // ""')
		[[ $name =~ ^[A-Za-z0-9_][A-Za-z0-9._-]*$ ]] || die 2 "machine.name: is missing or wrong"
		[[ $dir == /* ]] || die 2 "machine.directory: must be an absolute path"
	fi
	"verb_$1"
}

# --- validation -------------------------------------------------------------

verb_validate() {
	local kind
	kind=$(get '.check.kind // ""')
	case $kind in
	agent | osinfo | services | serial | tcp | http) "check_$kind" ;;
	*) die 2 "check.kind: \"$kind\" is not known" ;;
	esac
}

passed() { reply "$(jq -nc --arg d "$1" '{ok: true, detail: $d}')"; }

check_agent() {
	provider_agent '{"execute": "guest-ping"}' >/dev/null || die 1 "the guest agent does not answer"
	passed "the guest agent answers"
}

check_osinfo() {
	local info text
	info=$(provider_agent '{"execute": "guest-get-osinfo"}') || die 1 "the guest agent does not tell the system"
	text=$(get '.check.text // ""')
	[ -z "$text" ] || [[ $info == *"$text"* ]] || die 1 "the guest is $(jq -r '."pretty-name" // .name // "unknown"' <<<"$info"), not $text"
	passed "$(jq -r '"\(."pretty-name" // .name // "unknown"), \(."kernel-release" // "")"' <<<"$info")"
}

# agent_run COMMAND...: run it in the guest; its exit code, and what it printed.
agent_run() {
	local pid status
	pid=$(provider_agent "$(jq -nc '{execute: "guest-exec", arguments: {path: $ARGS.positional[0],
		arg: $ARGS.positional[1:], "capture-output": true}}' --args "$@")" | jq .pid) && [ -n "$pid" ] || return 4
	until over; do
		status=$(provider_agent "{\"execute\": \"guest-exec-status\", \"arguments\": {\"pid\": $pid}}") || return 4
		if [ "$(jq .exited <<<"$status")" = true ]; then
			jq -r '."out-data" // "" | @base64d' <<<"$status"
			return "$(jq '.exitcode // 4' <<<"$status")"
		fi
		sleep 0.2
	done
	return 4
}

# Services of the guest must run; one that starts late has the time there is.
check_services() {
	local id s got out=''
	id=$(provider_agent '{"execute": "guest-get-osinfo"}' | jq -r .id) && [ -n "$id" ] ||
		die 1 "the guest agent does not tell the system"
	while IFS= read -r s; do
		while :; do
			if [ "$id" = mswindows ]; then
				got=$(agent_run sc.exe query "$s") && [[ $got == *RUNNING* ]] && break
			else
				got=$(agent_run systemctl is-active "$s") && break
			fi
			[ -z "$got" ] || out=$got
			over && die 1 "service $s does not run: $(tr -s '\n\r' ' ' <<<"$out")"
			sleep 1
		done
	done < <(get '.check.services[]')
	passed "$(get '.check.services | join(", ")') run"
}

# The text may be there already or is waited for.
check_serial() {
	local text file
	text=$(get '.check.text // ""')
	[ -n "$text" ] || die 2 "check.text: is missing"
	file=$(provider_serial) && [ -r "$file" ] || die 4 "the serial output cannot be read"
	timeout "$(left)" grep -q -m 1 -a -F -e "$text" < <(exec tail -n +1 -f --pid=$$ "$file" 2>/dev/null) ||
		die 1 "no \"$text\" on the serial console; last was: $(tail -n 1 "$file" | tr -d '\000-\037' | cut -c 1-200)"
	passed "\"$text\""
}

reach() {
	local at
	at=$(provider_reach "$(get '.check.network // ""')" "$(get .check.port)") && [ -n "$at" ] ||
		die 1 "it is not known how to reach port $(get .check.port)$(get '(if .check.network then " on network \(.check.network)" else "" end) +
			if .machine.isolated then ": the machine is isolated" else "" end')"
	echo "$at"
}

check_tcp() {
	local host port at text got
	at=$(reach) || exit
	read -r host port <<<"$at"
	text=$(get '.check.text // ""')
	while :; do
		got=$(tcp_try "$host" "$port" "$text") && break
		over && die 1 "port $(get .check.port) at $host:$port: ${got:-no connection}"
		sleep 0.5
	done
	passed "$host:$port${text:+ says \"$text\"}"
}

# tcp_try HOST PORT TEXT: one connection, which must be the guest's and say
# TEXT when there is one; prints why not.
tcp_try() {
	local fd got=''
	{ exec {fd}<>"/dev/tcp/$1/$2"; } 2>/dev/null || return 1
	if [ -n "$3" ]; then
		while IFS= read -r -t "$(left)" -u "$fd" got || [ -n "$got" ]; do
			[[ $got != *"$3"* ]] || return 0
			got=
		done
		echo "it did not say \"$3\""
		return 1
	fi
	provider_proves "$1" "$2" || { echo "the guest does not accept"; return 1; }
}

check_http() {
	local host port at url code text
	at=$(reach) || exit
	read -r host port <<<"$at"
	[[ $host != *:* ]] || host="[$host]"
	url=http://$host:$port$(get '.check.path // "/"')
	text=$(get '.check.text // ""')
	while :; do
		code=$(curl -sS -g --noproxy '*' --max-time "$(left)" -o "$tmp/body" -w '%{http_code}' "$url" 2>"$tmp/curl.err") || code=000
		if [ "$code" != 000 ] && [ "$(get "if .check.status then .check.status == $((10#$code)) else $((10#$code)) < 400 end")" = true ] &&
		    { [ -z "$text" ] || grep -qaF -e "$text" "$tmp/body"; }; then
			passed "$url: $code"
		fi
		if over; then
			[ "$code" != 000 ] || die 1 "$url: $(tail -n 1 "$tmp/curl.err")"
			die 1 "$url: answers $code${text:+, and not with \"$text\"}"
		fi
		sleep 0.5
	done
}
