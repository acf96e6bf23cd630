# The shell text that writes a difference home: dm-failover(1), Failback.
# Input: a plan of one workload, its disks as they are at home.

include "pipeline";

def return_home($base; $seq): .workloads[0] | .host as $host |
	(if $host == null or $host == "local" then null
	 elif $host | type == "string" then {ssh: $host, options: []} else {options: []} + $host end) as $host |
	([.disks[] | "\(.name)=\(.volume)"] | words) as $volumes |
	[
		"tmp=$(mktemp -d) || exit 4",
		"trap 'rm -rf \"$tmp\"' EXIT",
		"mkfifo \"$tmp/acks\" || exit 4",
		(["dm-recover", "--since", $base, "--at", $seq, .site, .name] | words) + " |",
		"  dm-window --acks \"$tmp/acks\" |",
		"  " + (["dm-recv", "--", "dm-send", "repo:" + .site] | words) + " |",
		"  " + (if $host == null then "dm-write --verify-base --acks \"$tmp/acks\" " + $volumes
			else ("dm-write --verify-base " + $volumes | there($host)) + " >\"$tmp/acks\"" end)
	] | join("\n");
