# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# One selftest on any kernel, and what it leaves behind.

channel_open
kmemleak_begin 2>/dev/null
kmsg 'start'
check 'insmod goalloc' insmod /goalloc.ko
selftests
check 'rmmod goalloc' rmmod goalloc
check 'nothing left after rmmod' nothing_left
[ ! -e /sys/kernel/debug/kmemleak ] ||
	check 'no leak after rmmod' kmemleak_none
finish
