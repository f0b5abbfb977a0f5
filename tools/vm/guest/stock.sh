# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# A stock kernel: the userspace selftests, then the module loaded, used and
# unloaded again and again with a look at the machine's memory.

# memory: what is compared, in KiB.  Free is with the pages that wait in the
# CPUs' own lists, which MemFree leaves out.
memory()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	echo 3 >/proc/sys/vm/drop_caches
	awk '
		FILENAME == "/proc/zoneinfo" && $1 == "count:" { free += $2 * 4 }
		$1 == "MemFree:" { free += $2 }
		/^(Slab|SUnreclaim|Percpu|VmallocUsed|KernelStack):/ { print $1, $2 }
		END { print "Free:", free }
	' /proc/meminfo /proc/zoneinfo
}

demo()
{
	goallocctl demo --objects 2000 >/tmp/demo.out 2>&1 ||
		{ tail -n 20 /tmp/demo.out; return 1; }
}

# rounds N: load and unload, with some work in every fifth round.
rounds()
{
	local n=0

	while [ "$n" -lt "$1" ]; do
		insmod /goalloc.ko || return
		[ $((n % 5)) -ne 0 ] || demo || return
		unload goalloc || return
		n=$((n + 1))
	done
}

# memory_same: the first rounds are for what the kernel itself keeps on first
# use.  What leaks does so in every hundred (RIG_ROUNDS); what the slabs of an idle guest vary by,
# some of them of 32 KiB, goes up in one and down in another.
memory_same()
{
	local try

	rounds 10 || return
	memory >/tmp/memory.before
	for try in 1 2 3 4 5; do
		rounds "$RIG_ROUNDS" || return
		memory >/tmp/memory.after
		echo "rounds, $try"
		! memory_compare /tmp/memory.before /tmp/memory.after || return 0
		mv /tmp/memory.after /tmp/memory.before
	done
	return 1
}

# memory_compare BEFORE AFTER: the allowance is what an idle guest varies by; a page
# lost at each load, or four at each use, are beyond it.
memory_compare()
{
	awk '
		NR == FNR { before[$1] = $2; next }
		{
			lost = $1 == "Free:" ? before[$1] - $2 : $2 - before[$1]
			allowed = $1 == "Free:" ? 320 : $1 ~ /^S/ ? 160 : 64
			printf "%-12s before %7d after %7d KiB, %+d in use (allowed %+d)\n",
				$1, before[$1], $2, lost, allowed
			if (lost > allowed)
				bad = 1
		}
		END { exit bad || NR == 0 }
	' "$1" "$2"
}

rmmod_refused_while_open()
{
	local refused=0

	exec 4<>/dev/goalloc || return
	! rmmod goalloc || refused=1
	exec 4>&-
	return "$refused"
}

channel_open
kmsg 'start'
check "$RIG_CPUS CPUs" cpus_are "$RIG_CPUS"
[ -z "$RIG_PREEMPT" ] || check "preemption is $RIG_PREEMPT" preemption_is "$RIG_PREEMPT"
check 'insmod goalloc' insmod /goalloc.ko
selftests
check 'rmmod refused while a file is open' rmmod_refused_while_open
check 'rmmod goalloc' unload goalloc
check 'nothing left after rmmod' nothing_left
if [ "$RIG_ROUNDS" -gt 0 ]; then
	check "memory is the same after $RIG_ROUNDS rounds of insmod, use, rmmod" memory_same
	check 'nothing left after them' nothing_left
fi
finish
