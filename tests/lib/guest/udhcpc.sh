#!/bin/sh
# What udhcpc calls in the test guest.
# shellcheck disable=SC2154  # its environment
case $1 in
bound | renew)
	ip addr replace "$ip/${mask:-24}" dev "$interface"
	[ -z "$router" ] || ip route replace default via "$router"
	;;
esac
