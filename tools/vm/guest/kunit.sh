# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# The KUnit kernel: the suites run as their module is loaded and report in the
# kernel log.  What leaked is looked for after rmmod: nothing can refer to it any more
# then.

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
check "$RIG_CPUS CPUs" cpus_are "$RIG_CPUS"
# Suites make millions of objects; that kmemleak is told of each has machines of its own.
check 'insmod goalloc' insmod /goalloc.ko kmemleak=0
kmsg 'begin kunit'
heartbeat &
check 'insmod goalloc_kunit' insmod /goalloc_kunit.ko
kill $!
kmsg 'end kunit'
check 'rmmod goalloc_kunit' unload goalloc_kunit
check 'rmmod goalloc' unload goalloc
check 'nothing left after rmmod' nothing_left
check 'no leak after rmmod' kmemleak_none
finish
