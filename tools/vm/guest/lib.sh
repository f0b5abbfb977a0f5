# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the guest's scripts share: the channel to the host, checks told as TAP,
# and looks at what a module leaves behind.
#
# The channel is the second serial port.  It carries what programs print,
# between a begin and an end line with the exit status, and at last one line
# that says the script came to its end.  The lines of the rig carry a number
# the host made up for this boot, so that nothing else looks like them.

channel_open()
{
	exec 3>/dev/ttyS1
	stty -F /dev/ttyS1 raw -echo
}

channel_say()
{
	printf '\nrig-%s %s\n' "$RIG_NONCE" "$*" >&3
}

# program NAME COMMAND...: run it, its output to the host.
program()
{
	local name=$1 status=0
	shift
	kmsg "begin $name"
	channel_say begin "$name"
	timeout -s KILL "${RIG_PROGRAM_TIMEOUT:-900}" "$@" \
		>&3 2>&1 </dev/null || status=$?
	channel_say end "$name" "$status"
	kmsg "end $name"
	return "$status"
}

# finish: what the rig itself found, the kernel log with its levels, and the
# word the host waits for.
finish()
{
	channel_say begin rig
	checks_print >&3
	channel_say end rig 0
	program kernel-log busybox dmesg -r -s 16777216
	channel_say 'done'
	exec 3>&-
}

kmsg()
{
	echo "<6>goalloc-rig: $*" >/dev/kmsg
}

# check DESCRIPTION COMMAND...: one line of TAP by whether the command succeeds;
# what it prints becomes diagnostics.
checks=0
check()
{
	local what=$1 word=ok
	shift
	checks=$((checks + 1))
	"$@" >/tmp/check.out 2>&1 || word='not ok'
	{
		sed 's/^/# /' /tmp/check.out
		echo "$word $checks $what"
	} >>/tmp/checks
	[ "$word" = ok ] || { kmsg "$word: $what"; return 1; }
}

checks_print()
{
	echo 'TAP version 13'
	echo "1..$checks"
	cat /tmp/checks
}

fails()
{
	! "$@"
}

# unload MODULE: rmmod; whoever has only just ended may have it for a moment.
unload()
{
	local seconds=60

	until rmmod "$1"; do
		[ "$seconds" -gt 0 ] || return 1
		seconds=$((seconds - 1))
		sleep 1
	done
}

# nothing_left: after rmmod no trace of the module is to be found.  A cache whose
# objects RCU frees leaves sysfs by a work item on 6.1: a moment is allowed.
nothing_left()
{
	local seconds=60

	until nothing_now; do
		[ "$seconds" -gt 0 ] || return 1
		seconds=$((seconds - 1))
		sleep 1
	done
}

nothing_now()
{
	local left=0 found

	for found in /dev/goalloc /sys/kernel/debug/goalloc /sys/module/goalloc \
		     /sys/class/misc/goalloc /sys/kernel/slab/goalloc*; do
		[ ! -e "$found" ] || { echo "$found is still there"; left=1; }
	done
	grep goalloc /proc/slabinfo && left=1
	grep goalloc /proc/vmallocinfo && left=1
	grep goalloc /proc/misc /proc/devices && left=1
	# shellcheck disable=SC2009 # busybox has no pgrep -l
	ps -o comm | grep goalloc && left=1
	return "$left"
}

# kmemleak_begin: what the boot left is not ours.
kmemleak_begin()
{
	echo clear >/sys/kernel/debug/kmemleak
}

# kmemleak_none: an object is reported when two scans found it unchanged and
# without a reference, and it was 5 s old at the second.  A kmemleak that has given up
# refuses to scan, and has nothing to report.
kmemleak_none()
{
	echo scan >/sys/kernel/debug/kmemleak || return
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak || return
	cat /sys/kernel/debug/kmemleak
	[ -z "$(cat /sys/kernel/debug/kmemleak)" ]
}

# quiet_faults: injected failures are wanted, a stack dump for each is not.
quiet_faults()
{
	local verbose

	for verbose in /sys/kernel/debug/fail*/verbose; do
		[ ! -e "$verbose" ] || echo 0 >"$verbose"
	done
}

# cpus_are NUMBER: as many, or so many and more with a + behind it.
cpus_are()
{
	echo "there are $(nproc)"
	case $1 in
	*+) [ "$(nproc)" -ge "${1%+}" ] ;;
	*) [ "$(nproc)" -eq "$1" ] ;;
	esac
}

# preemption_is full|rt: a kernel that ignored what it was told would test nothing.
preemption_is()
{
	uname -v
	case $1 in
	full) grep '(full)' /sys/kernel/debug/sched/preempt ;;
	rt) uname -v | grep PREEMPT_RT ;;
	esac
}

selftests()
{
	local test

	for test in /selftests/*; do
		[ ! -x "$test" ] || program "${test##*/}" "$test"
	done
}
