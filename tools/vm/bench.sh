#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: what goalloc costs, in instructions and bytes.
#
# bench.sh [6.1|6.12|locks]...: on these of Debian's kernels, and how long the heap
# lock is held at most; else all.  The rows go to $BUILD/bench/*.tsv.  A target that
# is missed is a row like any other; what could not be measured is a failure, and so
# is a lock that is held for too long.
#
# QEMU counts: with -icount every instruction is a nanosecond of the guest's
# time and a tick of its cycle counter.  That takes one CPU and no KVM, and
# gives the same figures on every machine, however busy.

# shellcheck source-path=SCRIPTDIR
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$VM/packages.sh"
. "$VM/kernel.sh"
. "$VM/module.sh"
. "$VM/guest.sh"

BENCH=$BUILD/bench
GOALLOC_ACCEL=tcg
GOALLOC_CPUS=1

# Debian zeroes every page by default, then ours and everybody's are cleared
# twice.  Few machines have five levels of page tables, QEMU's has.
APPEND="init_on_alloc=0 no5lvl"

# bench_module_build: the modules of tools/bench against the symbols of the module
# that was built last.  Sets BENCH_MODULES.
bench_module_build()
{
	local dir=$MODULE_DIR/tools/bench

	mkdir -p "$dir"
	ln -sf "$TOP"/tools/bench/{Kbuild,goalloc_bench.c,churn_bench.c,pages_*.c} "$dir"
	logged "$BUILD/log/bench-$KRELEASE.log" make -C "$KDIR" M="$dir" -j "$JOBS" \
		KBUILD_EXTRA_SYMBOLS="$MODULE_DIR/Module.symvers" modules
	BENCH_MODULES=("$dir"/goalloc_{bench,churn_bench,pages_bench}.ko)
}

# progress PID: what runs.
progress()
{
	guest_follow "$1" "$GUEST/console.log" | awk '
		/goalloc-rig: begin/ && $NF != "rig" && $NF != "kernel-log" {
			print "          running " $NF; fflush()
		}
		/Kernel panic|BUG:|WARNING:/ { print "          " $0; fflush() }
	'
}

# measure SERIES
measure()
{
	kernel_use "$1"
	module_build "$1"
	bench_module_build
	guest_make "$BENCH/$1" bench
	# The long churn has 256 MiB of objects, and what is held besides.
	GUEST_MEMORY=2G
	GUEST_DEVICES=(-icount 'shift=0,sleep=off')
	guest_add . "$MODULE_DIR/goalloc.ko" "${BENCH_MODULES[@]}"
	guest_add bin "$BUILD/tools/bench/device"
	say "measuring on Debian's $KRELEASE"
	guest_run "${GOALLOC_TIMEOUT:-900}" progress "$APPEND"
	"$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" "${programs[@]}" \
		>"$GUEST/judge.log" || {
		cat "$GUEST/judge.log"
		grep -h '^device: ' "$GUEST"/device-*.tap >&2 || :
		die "could not measure on $KRELEASE; logs are in $GUEST"
	}
	echo "$KRELEASE" >"$GUEST/release"
}

# measure_locks: with a module that looks at the clock whenever it takes the heap lock
# and gives it up.
measure_locks()
{
	local status=0

	kernel_use 6.12
	module_build 6.12-locks KCFLAGS=-DGOALLOC_LOCK_TIMES
	selftest_modules_build
	logged "$BUILD/log/bench-locks.log" tool_compile "$BUILD/tools/bench/locks" \
		-I "$TOP/tools/selftests" "$TOP/tools/bench/locks.c"
	guest_make "$BENCH/locks" locks
	GUEST_DEVICES=(-icount 'shift=0,sleep=off')
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add modules "${SELFTEST_MODULES[@]}"
	guest_add bin "$BUILD/tools/bench/locks"
	say "measuring how long the heap lock is held"
	guest_run "${GOALLOC_TIMEOUT:-900}" progress "$APPEND"
	"$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" locks >"$GUEST/judge.log" ||
		status=$?
	grep -a "$(printf '^lock\t')" "$GUEST/locks.tap" | tee "$BENCH/locks.tsv" | column -t -s "$(printf '\t')" || :
	[ "$status" -eq 0 ] || {
		cat "$GUEST/judge.log"
		grep -h '^locks: ' "$GUEST/locks.tap" >&2 || :
		die "a lock is held for too long, or could not be measured; logs are in $GUEST"
	}
}

# machine: what ran, and on what.
machine()
{
	echo "goalloc $(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$TOP/dkms.conf")," \
		"commit $(git -C "$TOP" describe --always --dirty 2>/dev/null || echo unknown)"
	gcc --version | sed -n 1p
	qemu-system-x86_64 --version | sed -n 1p
	sed -n 's/^model name.*: //p' /proc/cpuinfo | uniq -c | sed 's/^ *//'
}

programs=({kernel,device,pages}-{first,second} churn)
series=("$@")
[ $# -gt 0 ] || series=(6.1 6.12 locks)
rm -rf "$BENCH"
packages_need "${GUEST_PACKAGES[@]}"
say "building what measures"
mkdir -p "$BUILD/tools/bench"
logged "$BUILD/log/bench-device.log" \
	tool_compile "$BUILD/tools/bench/device" "$TOP/tools/bench/device.c"
mkdir -p "$BENCH"
machine >"$BENCH/machine"
kernels=()
for kernel in "${series[@]}"; do
	if [ "$kernel" = locks ]; then
		measure_locks
	else
		measure "$kernel"
		kernels+=("$kernel")
	fi
done
[ ${#kernels[@]} -gt 0 ] || exit 0
"$TOP/tools/bench/report.py" "$BENCH" "${kernels[@]}" | tee "$BENCH/table.txt"
say "rows are in $BENCH/rows.tsv, targets in $BENCH/targets.tsv, this in $BENCH/table.txt"
