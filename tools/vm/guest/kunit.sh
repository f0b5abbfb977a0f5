# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# The KUnit kernel: the suites run as their module is loaded and report in the
# kernel log.  Then the userspace selftests, under the same checkers.  What
# leaked is looked for after rmmod: nothing can refer to it any more then.

# KUnit's result lines lack the newline that would make printk show them at once.
# Another message does, and so the last one before a hang is seen, too.
heartbeat()
{
	while sleep 5; do
		kmsg 'suites are running'
	done
}

channel_open
quiet_faults
kmemleak_begin

kmsg 'start'
check 'two CPUs or more' [ "$(nproc)" -ge 2 ]
check 'insmod goalloc' insmod /goalloc.ko
kmsg 'begin kunit'
heartbeat &
check 'insmod goalloc_kunit' insmod /goalloc_kunit.ko
kill $!
kmsg 'end kunit'
check 'rmmod goalloc_kunit' rmmod goalloc_kunit
selftests
check 'rmmod goalloc' rmmod goalloc
check 'nothing left after rmmod' nothing_left
check 'no leak after rmmod' kmemleak_none
finish
