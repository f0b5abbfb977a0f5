# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# One selftest on any kernel, or all of them on the KUnit kernel, and what they leave
# behind.

channel_open
quiet_faults
kmemleak_begin 2>/dev/null
kmsg 'start'
check 'insmod goalloc' insmod /goalloc.ko
selftests
check 'rmmod goalloc' unload goalloc
check 'nothing left after rmmod' nothing_left
[ ! -e /sys/kernel/debug/kmemleak ] ||
	check 'no leak after rmmod' kmemleak_none
finish
