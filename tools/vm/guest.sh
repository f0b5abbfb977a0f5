# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# One guest: an initramfs of busybox, our scripts, the module and its tools,
# booted in QEMU.  The first serial port is the kernel's console, the second
# the channel that tells the host what happened (see guest/lib.sh).

GUEST_PACKAGES=(qemu-system-x86 busybox-static cpio gzip python3 gcc make
		libc6-dev)

# guest_make DIR MODE [NAME=VALUE]...: begin a guest in the empty directory DIR,
# whose script is guest/MODE.sh; sets GUEST and GUEST_NONCE.  What it has may be
# changed before it runs: GUEST_CPUS, GUEST_MEMORY, GUEST_DEVICES.
guest_make()
{
	local mode=$2

	GUEST=$1
	GUEST_CPUS=${GOALLOC_CPUS:-2}
	GUEST_MEMORY=${GOALLOC_MEMORY:-1G}
	GUEST_DEVICES=()
	shift 2
	rm -rf "$GUEST"
	mkdir -p "$GUEST"/root/{bin,modules,rig,selftests}
	GUEST_NONCE=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
	cp /bin/busybox "$GUEST/root/bin/busybox"
	ln -s busybox "$GUEST/root/bin/sh"
	cp "$VM/guest/init" "$GUEST/root/init"
	cp "$VM"/guest/*.sh "$VM/guest/debian_init" "$GUEST/root/rig/"
	cp -r "$VM/guest/etc" "$GUEST/root/"
	printf '%s\n' "RIG_MODE=$mode" "RIG_NONCE=$GUEST_NONCE" "$@" \
		>"$GUEST/root/rig/conf"
}

# guest_add DIR FILE...: put files into a directory of the guest, or one file under
# another name.
guest_add()
{
	local dir=$1
	shift
	cp "$@" "$GUEST/root/$dir"
}

guest_initramfs()
{
	(cd "$GUEST/root" && find . | cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) \
		>"$GUEST/initramfs.gz"
	rm -rf "$GUEST/root"
}

# guest_tsc_khz: what the guest would have to find out, and finds wrong by a factor of
# some when this machine is busy.
guest_tsc_khz()
{
	gcc -O2 -o "$GUEST/tsc_khz" "$VM/tsc_khz.c"
	"$GUEST/tsc_khz"
}

# What the kernel says by itself of a CPU that does not come to something, or of a task that
# waits: a hang is found all the same, and a host that had other things to do is none.
GUEST_PATIENCE="rcupdate.rcu_cpu_stall_timeout=60 watchdog_thresh=30"
GUEST_PATIENCE+=" workqueue.watchdog_thresh=60 sysctl.kernel.hung_task_timeout_secs=400"

# guest_qemu APPEND OPTION...: become QEMU.
guest_qemu()
{
	local append=$1
	shift
	# With -icount the counter is QEMU's own.
	[[ " ${GUEST_DEVICES[*]} " = *" -icount "* ]] ||
		append+=" tsc_early_khz=$(guest_tsc_khz)"
	exec qemu-system-x86_64 -machine pc -accel "${GOALLOC_ACCEL:-tcg,thread=multi}" \
		-cpu max -smp "$GUEST_CPUS" -m "$GUEST_MEMORY" \
		-nodefaults -no-user-config -display none -no-reboot \
		-kernel "$KIMAGE" -initrd "$GUEST/initramfs.gz" \
		-append "console=ttyS0 panic=-1 no_timer_check tsc=reliable log_buf_len=8M $GUEST_PATIENCE $append" \
		"${GUEST_DEVICES[@]}" "$@"
}

# guest_run SECONDS STREAM [APPEND]: boot and wait, with the function STREAM
# showing what is of interest.  How QEMU ended goes to $GUEST/qemu.status
# ("timeout" when it had to be ended); whether all is well is for judge.py.
#
# A kernel that crashes before it has come to us is booted again: emulated CPUs may meet
# code that the kernel just patches in a way that real ones do not, and such an int3 is
# an oops.  One that does so three times is judged like any other.
guest_run()
{
	local boot

	guest_initramfs
	for boot in 1 2 3; do
		guest_boot "$@"
		if grep -q 'goalloc-rig: start' "$GUEST/console.log" || [ -e "$GUEST/timeout" ]; then
			break
		fi
		cp "$GUEST/console.log" "$GUEST/console-$boot.log"
		note "the kernel did not come to its init, see $GUEST/console-$boot.log"
	done
}

# guest_boot SECONDS STREAM [APPEND]: the same, once.
guest_boot()
{
	local limit=$1 stream=$2 append=${3:-} qemu shown watchdog status=0
	local begin=$SECONDS cpu

	cpu_used
	cpu=$CPU_USED
	: >"$GUEST/console.log"
	: >"$GUEST/channel.log"
	(guest_qemu "ignore_loglevel panic_on_warn=1 $append" \
		-serial "file:$GUEST/console.log" \
		-serial "file:$GUEST/channel.log") \
		>"$GUEST/qemu.log" 2>&1 </dev/null &
	qemu=$!
	"$stream" "$qemu" &
	shown=$!
	guest_watchdog "$limit" "$qemu" >/dev/null 2>&1 &
	watchdog=$!
	# shellcheck disable=SC2064 # these three, now
	trap "kill $qemu $shown $watchdog 2>/dev/null || :" EXIT
	wait "$qemu" || status=$?
	kill "$watchdog" 2>/dev/null || :
	wait "$watchdog" 2>/dev/null || :
	wait "$shown" || :
	trap - EXIT
	cpu_used
	note "it took $((SECONDS - begin)) s, and of a CPU $((CPU_USED - cpu)) s"
	[ ! -e "$GUEST/timeout" ] || status="timeout after $limit s"
	echo "$status" >"$GUEST/qemu.status"
}

# cpu_used: set CPU_USED to the seconds of CPU of this shell's children that have ended.
cpu_used()
{
	local stat

	read -r stat <"/proc/$BASHPID/stat"
	read -r -a stat <<<"${stat##*) }"
	CPU_USED=$(((stat[13] + stat[14]) / 100))
}

# guest_watchdog SECONDS PID: end QEMU when the time is over.
guest_watchdog()
{
	# Without exec or trap the sleep would outlive this process.
	local sleeping
	trap 'kill "$sleeping" 2>/dev/null; exit' TERM
	sleep "$1" &
	sleeping=$!
	wait "$sleeping"
	echo "$1 s" >"$GUEST/timeout"
	kill "$2"
	sleep 5
	kill -KILL "$2"
}

# guest_follow PID FILE: the file's lines as they come, until the process ends.
guest_follow()
{
	tail -q -s 0.2 -n +1 -F --pid="$1" "$2" 2>/dev/null | sed -u 's/\r$//'
}
