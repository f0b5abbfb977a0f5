# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: how often locks are taken. Each work has a heap of its own, whose
# books are looked at when all its objects are freed.

tree=/sys/kernel/debug/goalloc/heaps

scale_heap()
{
	for heap in "$tree"/[1-9]*; do
		[ ! -d "$heap" ] || echo "$heap"
	done
}

one_heap()
{
	[ "$(scale_heap | wc -l)" -eq 1 ]
}

# Spans of large objects may go back by way of a work item, but books are of objects.
books_balance()
{
	local heap mallocs frees

	heap=$(scale_heap)
	mallocs=$(cat "$heap/memstats/mallocs")
	frees=$(cat "$heap/memstats/frees")
	echo "mallocs $mallocs frees $frees"
	[ "$mallocs" -gt 0 ] && [ "$mallocs" -eq "$frees" ] &&
		[ "$(cat "$heap/memstats/heap_alloc")" -eq 0 ] &&
		[ "$(cat "$heap/memstats/heap_objects")" -eq 0 ]
}

no_faults()
{
	cat "$(scale_heap)/faults"
	awk 'NR > 1 && $NF != 0 { bad = 1 } END { exit bad || NR < 2 }' "$(scale_heap)/faults"
}

# What the module found in the counters is not more than debugfs says: that has
# what came before and after, too.
counted_alike()
{
	awk '
		FILENAME ~ /goalloc_scale_bench$/ && $4 == "mcentral" && $5 == "-" {
			locks = $7; contended = $8
		}
		FILENAME ~ /mcentral$/ && FNR == 1 {
			for (i = 1; i <= NF; i++) column[$i] = i
		}
		FILENAME ~ /mcentral$/ && FNR > 1 {
			all_locks += $column["locks"]; all_contended += $column["contended"]
		}
		END {
			print "module:", locks, contended, "debugfs:", all_locks, all_contended
			exit !(all_locks > 0 && locks <= all_locks && contended <= all_contended)
		}
	' /sys/kernel/debug/goalloc_scale_bench "$(scale_heap)/mcentral"
}

scale_work()
{
	local work=$1

	kmsg "begin $work"
	check "$work: done, and no object changed meanwhile" \
		insmod /goalloc_scale_bench.ko work="$work" ops="$RIG_SCALE_OPS" || return
	program "$work" cat /sys/kernel/debug/goalloc_scale_bench
	check "$work: one heap" one_heap
	check "$work: as much freed as made" books_balance
	check "$work: no bad free" no_faults
	check "$work: the same counters in debugfs" counted_alike
	check "$work: rmmod" rmmod goalloc_scale_bench
}

channel_open
kmsg 'start'
if check 'insmod goalloc' insmod /goalloc.ko; then
	check 'as many CPUs as were asked for' [ "$(nproc)" -eq "$RIG_SCALE_CPUS" ]
	for work in $RIG_SCALE_WORKS; do
		scale_work "$work"
	done
	check 'rmmod goalloc' rmmod goalloc
fi
finish
