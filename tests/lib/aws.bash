# Servers of our own that speak as Amazon's, and what their clients need:
#   load ../lib/aws   (lib/ebs and lib/s3 do)
# shellcheck shell=bash

# aws_serve NAME COMMAND [ARGUMENT...]: start a server that writes its port to
# the file that becomes the first argument; AWS_* point to it, and aws_url
# tells where it is.
aws_serve() {
	rm -f "$T/$1.port"
	"$2" "$T/$1.port" "${@:3}" &
	at_end kill $!
	wait_for test -s "$T/$1.port"
	aws_url=http://127.0.0.1:$(cat "$T/$1.port")
	aws_client "$aws_url"
}

# aws_client URL: clients find URL, and keys that our servers take.
aws_client() {
	export AWS_ENDPOINT_URL=$1 AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
	export AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY='secret/of+the=tests'
	export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=$T/aws.config AWS_SHARED_CREDENTIALS_FILE=$T/aws.credentials
	unset AWS_PROFILE AWS_SESSION_TOKEN
}

# aws_control URL [JSON]: look at a server, or tell it something, behind the back
# of its clients: without a signature.
aws_control() {
	curl -sSf ${2+--data-binary "$2"} "$1"
}

# aws_faults [KIND=N]...: what fails from now on, of the server started last.
aws_faults() {
	local IFS='&'
	aws_control "$aws_url/_faults?$*"
}

# The vendor's client, also where it does not know AWS_ENDPOINT_URL.
aws_cli() {
	LC_ALL=C.UTF-8 aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"
}
