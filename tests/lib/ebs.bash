# A strict EBS server of our own, and what its clients need:  load ../lib/ebs
# shellcheck shell=bash

# shellcheck source=tests/lib/aws.bash
. "${BASH_SOURCE[0]%/*}/aws.bash"

# ebs_start [OPTION...]: as of ebs_server.py; AWS_* point to it.
ebs_start() {
	aws_serve ebs "$DM_LIB/ebs_server.py" "$@"
	ebs_url=$aws_url
}

# Look at the server without being asked for a signature.
ebs_stats() {
	aws_control "$ebs_url/_stats"
}
ebs_last() {
	ebs_stats | jq -r '.snapshots[-1].id'
}
ebs_root() {
	ebs_stats | jq -r '.snapshots[-1].tags["dm:root"]'
}

# ebs_from FILE TARGET [OPTION of dm-changed...]: one iteration.
ebs_from() {
	dm-changed "${@:3}" "disk=$1" | dm-describe | dm-send "disk=$1" | dm-write -j 16 --json "disk=$2" >"$T/write.json"
}

# ebs_to SNAPSHOT FILE [OPTION of dm-changed...]
ebs_to() {
	dm-changed "${@:3}" "disk=ebs:$1" | dm-describe | dm-send -j 16 "disk=ebs:$1" | dm-write --json "$2" >"$T/write.json"
}

# ebs_control PATH JSON: tell the server something that no client may.
ebs_control() {
	aws_control "$ebs_url$1" "$2"
}

# ebs_instance ID DEVICE=FILE...: a machine, whose volumes these files are.
ebs_instance() {
	ebs_control /_instance "$(jq -nc --arg i "$1" '{id: $i, volumes: [$ARGS.positional[] | split("=") | {device: .[0], file: .[1]}]}' --args "${@:2}")"
}
