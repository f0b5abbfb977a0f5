# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench under User-Mode Linux: objects beside their peers, in both orders.

# measure PROGRAM [PARAMETER]...
measure()
{
	local program=$1
	shift
	check "$program measures" insmod /goalloc_speed_bench.ko clock=ns \
		"quick=${RIG_QUICK:-0}" "$@" || return
	program "$program" cat /sys/kernel/debug/goalloc_speed_bench
	rmmod goalloc_speed_bench
}

channel_open
kmsg 'start'
check 'insmod goalloc' insmod /goalloc.ko
kmsg 'begin speed-first'
measure speed-first
kmsg 'begin speed-second'
measure speed-second backwards=1
check 'rmmod goalloc' rmmod goalloc
finish
# This ends the program that the kernel is; a reboot would begin it anew.
poweroff -f
