# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: what memory mixes of objects take. Each workload on each allocator, by
# a module that is loaded for it, each time with slabs that have nothing free.

# drain: caches give back what they hold of free memory, goalloc's own do too.
drain()
{
	local cache

	sync
	echo 3 >/proc/sys/vm/drop_caches
	for cache in /sys/kernel/slab/*/shrink; do
		echo 1 >"$cache"
	done
}

# measure WORKLOAD ALLOCATOR
measure()
{
	local trace=${1#thin-}

	[ -e "/traces/$trace" ] && trace=/traces/$trace || trace=
	drain
	check "$1 on $2" taskset 1 insmod /goalloc_memory_bench.ko workload="$1" allocator="$2" \
		trace="$trace" || return
	program "$1:$2" cat /sys/kernel/debug/goalloc_memory_bench
	rmmod goalloc_memory_bench
}

channel_open
kmsg 'start'
check 'insmod goalloc' insmod /goalloc.ko
# 4 KiB at a time and no more.
echo never >/sys/kernel/mm/transparent_hugepage/enabled
for run in $MEMORY_RUNS; do
	measure "${run%:*}" "${run#*:}"
done
check 'rmmod goalloc' rmmod goalloc
finish
