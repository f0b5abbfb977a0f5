# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: everything twice, the second time in the opposite order.  Each
# program prints rows for tools/bench/report.py.

# kernel FIRST-OR-SECOND [PARAMETER]...: load the module that measures.
kernel()
{
	local pass=$1
	shift
	check "the module measures, $pass" insmod /goalloc_bench.ko "$@" || return
	program "kernel-$pass" cat /sys/kernel/debug/goalloc_bench
	rmmod goalloc_bench
}

channel_open
kmsg 'start'
check 'insmod goalloc' insmod /goalloc.ko
# There are huge pages in the stock kernels, and they are another story.
echo never >/sys/kernel/mm/transparent_hugepage/enabled
kernel first
program device-first device
program device-second device backwards
kernel second backwards=1
check 'rmmod goalloc' rmmod goalloc
finish
