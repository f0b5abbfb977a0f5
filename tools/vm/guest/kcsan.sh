# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# The KCSAN kernel: a race that is there to be found, then the suites of RIG_SUITES,
# one after the other, and the selftests.  It is on from then to the end.

kcsan=/sys/kernel/debug/kcsan
kunit=/sys/module/kunit/parameters/filter_glob
books=/sys/kernel/debug/goalloc/heaps
looking=

# counter NAME: one of KCSAN's figures.
counter()
{
	sed -n "s/^$1: *//p" "$kcsan"
}

# watched: it looked, and had room for all but a few of its watchpoints.
watched()
{
	local set

	cat "$kcsan"
	set=$(counter setup_watchpoints)
	[ "$set" -gt 10000 ] && [ "$(counter no_capacity)" -lt $((set / 100)) ]
}

# look_begin, look_end: whoever reads what there is of all heaps takes no lock for most
# of it.  A file that is being read holds on to the module.
look_begin()
{
	rm -f /tmp/enough
	while [ ! -e /tmp/enough ]; do
		cat "$books"/*/* "$books"/*/memstats/summary 2>/dev/null
	done >/dev/null &
	looking=$!
}

look_end()
{
	touch /tmp/enough
	wait "$looking"
}

# suite NAME: with a third of the usual work where much is done, as each operation takes
# many times as long.
suite()
{
	local status=0

	# With a newline it would be another name.
	printf 'goalloc_%s' "$1" >"$kunit"
	# Others count what is done under a lock.
	case $1 in
	concurrency*) look_begin ;;
	esac
	kmsg "begin goalloc_$1"
	insmod /goalloc_kunit.ko concurrency_ops=3000000 || status=$?
	kmsg "end goalloc_$1"
	[ ! "$looking" ] || look_end
	looking=
	program "goalloc_$1" cat "/sys/kernel/debug/kunit/goalloc_${1%%.*}/results"
	rmmod goalloc_kunit && return "$status"
}

channel_open
quiet_faults
# A task that waits for a test may wait for minutes.
echo 0 >/proc/sys/kernel/hung_task_timeout_secs
kmsg 'start'
check 'two CPUs or more' [ "$(nproc)" -ge 2 ]
check 'KCSAN is switched on' sh -c "echo on >$kcsan"
# Once at least; also of one side only, if the other was not caught in the act.
kmsg 'goalloc-expect: 1 KCSAN: data-race in planted_'
kmsg 'goalloc-expect: any KCSAN: data-race in (planted_read|planted_write)'
check 'a race is planted' insmod /modules/planted_race.ko
check 'and gone' rmmod planted_race
check 'insmod goalloc' insmod /goalloc.ko
for name in $RIG_SUITES; do
	check "the suite $name is loaded" suite "$name"
done
look_begin
selftests
look_end
check 'rmmod goalloc' unload goalloc
check 'KCSAN is switched off' sh -c "echo off >$kcsan"
check 'it looked at what it could' watched
check 'nothing left after rmmod' nothing_left
finish
