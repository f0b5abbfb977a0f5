# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: how long the heap lock is held.

channel_open
kmsg 'start'
check 'insmod goalloc' insmod /goalloc.ko
check 'the clock counts instructions' \
	grep -qx tsc /sys/devices/system/clocksource/clocksource0/current_clocksource
program locks locks
check 'rmmod goalloc' rmmod goalloc
finish
