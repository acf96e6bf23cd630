# Calls of the aws command line: sourced by what talks to EC2.  Its caller sets
# me, and tmp, a directory of its own; region and profile may be empty.
# shellcheck shell=bash disable=SC2154

# One call may be throttled while many are made: the client waits and tries
# again by itself.
export AWS_RETRY_MODE=${AWS_RETRY_MODE:-standard} AWS_MAX_ATTEMPTS=${AWS_MAX_ATTEMPTS:-8} AWS_PAGER=''

# ec2 ARGUMENT...: its answer as JSON; what it complained of is in $tmp/aws.
# Older clients do not know AWS_ENDPOINT_URL, so it becomes an option.
ec2() {
	local at=${AWS_ENDPOINT_URL_EC2-${AWS_ENDPOINT_URL-}} words=()
	[ -z "$region" ] || words+=(--region "$region")
	[ -z "$profile" ] || words+=(--profile "$profile")
	[ -z "$at" ] || words+=(--endpoint-url "$at")
	LC_ALL=C.UTF-8 aws --output json "${words[@]}" ec2 "$@" 2>"$tmp/aws"
}

# aws_words: one line of it, "RunInstances: InvalidParameterValue: ...".
aws_words() {
	local line
	line=$(grep -v '^[[:space:]]*$' "$tmp/aws" | tail -n 1 | tr -d '\000-\037' | cut -c 1-400)
	sed -E 's/^An error occurred \(([^)]*)\) when calling the ([A-Za-z0-9]+) operation( \([^)]*\))?: */\2: \1: /' <<<"${line:-the aws command line failed and said nothing}"
}

# aws_said NAME...: was one of these the error?
aws_said() {
	local n
	for n; do
		! grep -q -F -e "($n)" "$tmp/aws" || return 0
	done
	return 1
}

aws_there() {
	command -v aws >/dev/null
}
