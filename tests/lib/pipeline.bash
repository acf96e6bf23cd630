# The two pipelines as tests type them:  load ../lib/pipeline   (after common)
# All run in $T, where `acks' is the FIFO; a hang is a failure.
# shellcheck shell=bash

# site [DIR]: a new site and the FIFO.
site() {
	exits 0 dm-checkpoint init "${1:-site}" || return 1
	[ -p acks ] || mkfifo acks
}

# pipeline CODE TEXT: run it, the last program must end with CODE.
pipeline() {
	exits "$1" within "${DM_TIMEOUT:-300}" bash -c "$2"
}

# iteration and iterate SITE WORKLOAD CHANGED VOLUME...: one iteration, where CHANGED is
# the text that makes extents and VOLUMEs are what dm-send may read.
iteration() {
	local site=$1 w=$2 changed=$3
	shift 3
	echo "$changed | dm-describe |
		dm-window --acks acks --resume $site |
		dm-recv -- dm-send --compress zstd $* |
		dm-write repo:$site |
		dm-checkpoint commit --acks acks --workload $w $site"
}
iterate() {
	pipeline 0 "$(iteration "$@")"
}

# full SITE WORKLOAD VOLUME...: everything that is not a hole.
full() {
	iterate "$1" "$2" "dm-changed ${*:3}" "${@:3}"
}

# scan SITE WORKLOAD VOLUME...: what differs from the newest checkpoint.
scan() {
	iterate "$1" "$2" "dm-recover --ids --at latest $1 $2 | dm-changed --against - ${*:3}" "${@:3}"
}

# recover SITE WORKLOAD AT NAME=TARGET...: these disks.
recover() {
	pipeline 0 "dm-recover --at $3 $(printf -- '--disk %s ' "${@:4}" | sed 's/=[^ ]*//g')$1 $2 |
		dm-window --acks acks |
		dm-recv -- dm-send repo:$1 |
		dm-write --acks acks ${*:4}"
}

# record SITE WORKLOAD FILTER: something of the newest checkpoint's record.
record() {
	dm-checkpoint list --json "$1" "$2" | jq -r "last | $3"
}

# checkpoints SITE WORKLOAD: how many there are.
checkpoints() {
	dm-checkpoint list --json "$1" "$2" | jq length
}
