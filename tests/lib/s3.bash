# A strict S3 server of our own, and sites in it:  load ../lib/s3   (after pipeline)
# shellcheck shell=bash

# s3_start [OPTION...]: as of s3_server.py; AWS_* point to it.
s3_start() {
	rm -f "$T/s3.port"
	python3 "$DM_LIB/s3_server.py" "$T/s3.port" "$@" &
	s3_pid=$!
	at_end kill "$s3_pid"
	wait_for test -s "$T/s3.port"
	s3_url=http://127.0.0.1:$(cat "$T/s3.port")
	export AWS_ENDPOINT_URL=$s3_url AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
	export AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY='secret/of+the=tests'
	export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=$T/aws.config AWS_SHARED_CREDENTIALS_FILE=$T/aws.credentials
	unset AWS_PROFILE AWS_SESSION_TOKEN
	s3_do PUT /bucket
}

# s3_do METHOD PATH: one signed request, what it answers.
s3_do() {
	curl -sSf --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" \
		-X "$1" "$s3_url$2"
}

# Look at the server, or change its faults, without being asked for a signature.
s3_stats() {
	curl -sSf "$s3_url/_stats"
}
s3_faults() {
	local IFS='&'
	curl -sSf "$s3_url/_faults?$*" >/dev/null
}
# s3_names PREFIX: objects of the bucket whose names begin so.
s3_names() {
	s3_stats | jq -r --arg p "$1" '.objects.bucket | keys[] | select(startswith($p))'
}

# s3_site DIR [OPTION...]: a new site at s3://bucket/site.
s3_site() {
	exits 0 dm-checkpoint init --store s3://bucket/site "${@:2}" "$1" || return 1
	[ -p acks ] || mkfifo acks
}
