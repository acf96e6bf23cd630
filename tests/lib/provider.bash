# A provider with faults for tests:  load ../lib/provider   (after common)
#
# $T/provider is one by its path.  It passes everything on to $T/real, if that
# is there, else it plays a platform on which a machine is a file.  Each call
# is a line "MACHINE VERB" in $T/calls.  What is in $T/fault/MACHINE.VERB or
# $T/fault/VERB happens instead of the verb: "fail", "hang", "garbage", or
# "late", which is to do it and then hang; "half" is to fail with a move done in
# part, "none" with one that did nothing, "verb" not to know the verb.
# shellcheck shell=bash

provider_make() {
	mkdir -p fault platform
	: >calls
	cat >provider <<-END
		#!/bin/bash
		T=$T
	END
	cat >>provider <<-'END'
		[ "$1" != --version ] || { echo "provider 0"; exit; }
		request=$(cat)
		name=$(jq -r '.machine.name // "all"' <<<"$request")
		echo "$name $1" >>$T/calls
		[ "$1" != quota ] || echo "$request" >$T/asked
		fault=$(cat "$T/fault/$name.$1" 2>/dev/null || cat "$T/fault/$1" 2>/dev/null)
		perform() {
			if [ -x $T/real ]; then $T/real "$1" <<<"$request"; return; fi
			id=$(jq -r '"\(.machine.run)-\(.machine.name)"' <<<"$request")
			case $1 in
			create) [ -e "$T/platform/$id" ] || echo created >"$T/platform/$id"; echo "{\"id\": \"$id\"}" ;;
			start) echo runs >"$T/platform/$id"; echo '{}' ;;
			wait) grep -q runs "$T/platform/$id" && echo '{"addresses": [{"network": "lan", "ip": "192.0.2.1"}]}' ;;
			validate) jq -c '{detail: "seen"}' <<<"$request" ;;
			destroy) rm -f "$T/platform/$id"; echo '{}' ;;
			*) echo '{}' ;;
			esac
		}
		case $fault in
		fail) echo "provider: $1 is out of order" >&2; exit 4 ;;
		no) echo "provider: $1 is not to be" >&2; exit 1 ;;
		half) jq -c '{moved: [.machine.disks[0].name]}' <<<"$request"; echo "provider: the disk is full" >&2; exit 4 ;;
		none) echo '{"moved": []}'; echo "provider: the disk is full" >&2; exit 4 ;;
		verb) echo "provider: unknown verb $1" >&2; exit 2 ;;
		garbage) echo 'not { json'; exit 0 ;;
		hang) trap '' TERM; bash -c 'trap "" TERM; while :; do sleep 1000; done' ;;
		late) perform "$1" >/dev/null; exec sleep 1000 ;;
		*) perform "$1" ;;
		esac
	END
	chmod +x provider
}

# fault VERB WHAT: from now on; fault VERB: no more.
fault() {
	if [ $# -eq 2 ]; then echo "$2" >"$T/fault/$1"; else rm -f "$T/fault/$1"; fi
}
