# A strict S3 server of our own, and sites in it:  load ../lib/s3   (after pipeline)
# shellcheck shell=bash

# shellcheck source=tests/lib/aws.bash
. "${BASH_SOURCE[0]%/*}/aws.bash"

# s3_start [OPTION...]: as of s3_server.py; AWS_* point to it.
s3_start() {
	aws_serve s3 "$DM_LIB/s3_server.py" "$@"
	s3_url=$aws_url
	s3_do PUT /bucket
}

# s3_do METHOD PATH [FILE]: one signed request, with a body or none; what it answers.
s3_do() {
	curl -sSf --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H "x-amz-content-sha256: $(sha256sum "${3-/dev/null}" | cut -d ' ' -f 1)" \
		-X "$1" ${3:+--data-binary "@$3"} "$s3_url$2"
}

# Look at the server without being asked for a signature.
s3_stats() {
	aws_control "$s3_url/_stats"
}
s3_faults() {
	aws_faults "$@"
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
