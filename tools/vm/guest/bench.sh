# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: everything twice, the second time in the opposite order, but for
# the long churn.  Each program prints rows for tools/bench/report.py.  With RIG_QUICK
# there are few of them.

# measure MODULE PROGRAM [PARAMETER]...: load a module that measures.
measure()
{
	local module=$1 program=$2
	shift 2
	check "$module measures, $program" insmod "/$module.ko" "$@" || return
	program "$program" cat "/sys/kernel/debug/$module"
	rmmod "$module"
}

channel_open
kmsg 'start'
check 'insmod goalloc' insmod /goalloc.ko
measure goalloc_speed_bench speed-first ${RIG_QUICK:+quick=1}
measure goalloc_speed_bench speed-second ${RIG_QUICK:+quick=1} backwards=1
if [ -z "$RIG_QUICK" ]; then
	# There are huge pages in the stock kernels, and they are another story.
	echo never >/sys/kernel/mm/transparent_hugepage/enabled
	measure goalloc_bench kernel-first
	program device-first device
	program device-second device backwards
	measure goalloc_bench kernel-second backwards=1
	measure goalloc_churn_bench churn
fi
check 'rmmod goalloc' rmmod goalloc
if [ -z "$RIG_QUICK" ]; then
	# Which has page allocators of its own.
	measure goalloc_pages_bench pages-first
	measure goalloc_pages_bench pages-second backwards=1
fi
finish
