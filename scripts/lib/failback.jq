# The shell text that writes a difference home: dm-failover(1), Failback.
# Input: a plan of one workload, its disks as they are at home.

include "pipeline";

# $describe: text that tells what differs; $source: words, the volumes that it
# is read from.
def homewards($describe; $source): .host as $host |
	(if $host == null or $host == "local" then null
	 elif $host | type == "string" then {ssh: $host, options: []} else {options: []} + $host end) as $host |
	([.disks[] | "\(.name)=\(.volume)"] | words) as $volumes |
	[
		"tmp=$(mktemp -d) || exit 4",
		"trap 'rm -rf \"$tmp\"' EXIT",
		"mkfifo \"$tmp/acks\" || exit 4",
		$describe + " |",
		"  dm-window --acks \"$tmp/acks\" |",
		"  " + (["dm-recv", "--", "dm-send"] + $source | words) + " |",
		"  " + (if $host == null then "dm-write --verify-base --acks \"$tmp/acks\" " + $volumes
			else ("dm-write --verify-base " + $volumes | there($host)) + " >\"$tmp/acks\"" end)
	] | join("\n");

def return_home($base; $seq): .workloads[0] |
	homewards(["dm-recover", "--since", $base, "--at", $seq, .site, .name] | words; ["repo:" + .site]);

# $in: as of pipeline.jq, what a machine wrote on top of what home holds.
def return_straight($in): .workloads[0] |
	homewards((if $in.scan | length > 0 then
			(["dm-recover", "--ids", "--at", ($in.base.seq | tostring)] +
			 (if ($in.scan | length) < ($in.base.disks | length) then [$in.scan[] | "--disk", .] else [] end) +
			 [.site, .name] | words) + " |\n  "
		 else "" end) + ($in | changed($in) | words) + " | dm-describe";
		[$in.w.disks[] | volume($in)]);
