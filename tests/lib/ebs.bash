# A strict EBS server of our own, and what its clients need:  load ../lib/ebs
# shellcheck shell=bash

# ebs_start [OPTION...]: as of ebs_server.py; AWS_* point to it.
ebs_start() {
	rm -f "$T/ebs.port"
	python3 "$DM_LIB/ebs_server.py" "$T/ebs.port" "$@" &
	ebs_pid=$!
	at_end kill "$ebs_pid"
	wait_for test -s "$T/ebs.port"
	ebs_url=http://127.0.0.1:$(cat "$T/ebs.port")
	export AWS_ENDPOINT_URL=$ebs_url AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
	export AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY='secret/of+the=tests'
	export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=$T/aws.config AWS_SHARED_CREDENTIALS_FILE=$T/aws.credentials
	unset AWS_PROFILE AWS_SESSION_TOKEN
}

# Look at the server without being asked for a signature.
ebs_stats() {
	python3 -c 'import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1] + "/_stats").read().decode())' "$ebs_url"
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
	python3 -c 'import sys, urllib.request; urllib.request.urlopen(urllib.request.Request(sys.argv[1], sys.argv[2].encode(), method="POST"))' "$ebs_url$1" "$2"
}

# ebs_instance ID DEVICE=FILE...: a machine, whose volumes these files are.
ebs_instance() {
	ebs_control /_instance "$(jq -nc --arg i "$1" '{id: $i, volumes: [$ARGS.positional[] | split("=") | {device: .[0], file: .[1]}]}' --args "${@:2}")"
}

# The vendor's client, also where it does not know AWS_ENDPOINT_URL.
aws_cli() {
	LC_ALL=C.UTF-8 aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"
}
