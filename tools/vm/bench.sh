#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: what goalloc costs beside its peers, in instructions, nanoseconds, locks
# and bytes.
#
# bench.sh [SERIES]...: these of 6.1, 6.12, locks, uml, scale, memory and library, or all. With
# QUICK=1 the instructions of a few sizes on 6.12, in a minute. Rows go to
# $BUILD/bench/rows.tsv, targets to targets.tsv, tables to table.txt. A target that is
# missed is a row like any other; what could not be measured is a failure, and so is a
# lock that is held for too long. With KEEP=1 the results of all series are kept in
# Documentation/benchmarks.
#
# QEMU counts: with -icount every instruction is a nanosecond of the guest's
# time and a tick of its cycle counter.  That takes one CPU and no KVM, and
# gives the same figures on every machine, however busy.
#
# A series NAME leaves $BENCH/NAME.table.txt, and if it has such, NAME.rows.tsv and
# NAME.targets.tsv: see tools/bench/figures.py.

# shellcheck source-path=SCRIPTDIR
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$VM/packages.sh"
. "$VM/kernel.sh"
. "$VM/module.sh"
. "$VM/guest.sh"

BENCH=$BUILD/bench
QUICK=${QUICK:-}
[ "$QUICK" != 0 ] || QUICK=
[ "${KEEP:-0}" != 0 ] || KEEP=
GOALLOC_ACCEL=tcg
GOALLOC_CPUS=1

# Debian zeroes every page by default, then ours and everybody's are cleared
# twice.  Few machines have five levels of page tables, QEMU's has.
APPEND="init_on_alloc=0 no5lvl"

# bench_module_build MODULE...: these of tools/bench, against the symbols of the module
# that was built last.  Sets BENCH_MODULES.
bench_module_build()
{
	local dir=$MODULE_DIR/tools/bench modules=("${@/%/.ko}")

	mkdir -p "$dir"
	find "$dir" -xtype l -delete
	ln -sf "$TOP"/tools/bench/{Kbuild,*.[ch]} "$dir"
	logged "$BUILD/log/bench-$KRELEASE.log" make -C "$KDIR" M="$dir" "${KMAKE[@]}" -j "$JOBS" \
		KBUILD_EXTRA_SYMBOLS="$MODULE_DIR/Module.symvers" "${modules[@]}"
	BENCH_MODULES=("${modules[@]/#/$dir/}")
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

# measure SERIES: instructions, on one of Debian's kernels.
measure()
{
	local modules=(goalloc_speed_bench) programs=(speed-{first,second}) only=--speed

	if [ -z "$QUICK" ]; then
		only=
		modules+=(goalloc_{bench,churn_bench,pages_bench})
		programs+=({kernel,device,pages}-{first,second} churn)
	fi
	kernel_use "$1"
	module_build "$1"
	bench_module_build "${modules[@]}"
	guest_make "$BENCH/$1" bench "RIG_QUICK=$QUICK"
	# The long churn has 256 MiB of objects, and what is held besides.
	GUEST_MEMORY=2G
	GUEST_DEVICES=(-icount 'shift=0,sleep=off')
	guest_add . "$MODULE_DIR/goalloc.ko" "${BENCH_MODULES[@]}"
	[ -n "$QUICK" ] || guest_add bin "$BUILD/tools/bench/device"
	say "measuring on Debian's $KRELEASE"
	guest_run "${GOALLOC_TIMEOUT:-1200}" progress "$APPEND"
	"$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" "${programs[@]}" \
		>"$GUEST/judge.log" || {
		cat "$GUEST/judge.log"
		grep -hs '^device: ' "$GUEST"/device-*.tap >&2 || :
		die "could not measure on $KRELEASE; logs are in $GUEST"
	}
	echo "Debian's $KRELEASE" >"$GUEST/release"
	"$TOP/tools/bench/report.py" ${only:+"$only"} "$BENCH" "$1" | tee "$BENCH/$1.table.txt"
	[ -n "$QUICK" ] || measure_path "$1"
}

# measure_path SERIES: each instruction of the hot path, after measure.  QEMU writes
# down every block of a module that runs.
measure_path()
{
	local name=path-$1 range=0xffffffffc0000000+0x3f000000

	guest_make "$BENCH/$name" path
	GUEST_DEVICES=(-icount 'shift=0,sleep=off'
		       -d "exec,nochain" -dfilter "$range" -D "$GUEST/trace.log")
	guest_add . "$MODULE_DIR/goalloc.ko" "$MODULE_DIR/tools/bench/goalloc_speed_bench.ko"
	say "looking at each instruction of the hot path"
	guest_run "${GOALLOC_TIMEOUT:-300}" progress "$APPEND nokaslr"
	"$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" speed-path sections \
		>"$GUEST/judge.log" || {
		cat "$GUEST/judge.log"
		die "could not look at the hot path on $KRELEASE; logs are in $GUEST"
	}
	echo "Debian's $KRELEASE" >"$GUEST/release"
	"$TOP/tools/bench/listing.py" "$BENCH" "$1" "$MODULE_DIR/goalloc.ko" \
		"$MODULE_DIR/tools/bench/goalloc_speed_bench.ko"
	rm "$GUEST/trace.log"	# 100 MB
	cat "$BENCH/$name.rows.tsv" >>"$BENCH/$1.rows.tsv"
	cat "$BENCH/$name.targets.tsv" >>"$BENCH/$1.targets.tsv"
	rm "$BENCH/$name".{rows,targets}.tsv
	note "it is in $BENCH/listing-$1.txt"
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
	grep -a "$(printf '^lock\t')" "$GUEST/locks.tap" >"$BENCH/locks.tsv" || :
	"$TOP/tools/bench/locks_report.py" "$BENCH" | tee "$BENCH/locks.table.txt"
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

# keep: what is found is to be read without running it.
keep()
{
	local dir=$TOP/Documentation/benchmarks

	rm -f "$dir"/*.svg "$dir"/listing-*.txt
	cp "$BENCH"/{machine,table.txt,targets.tsv,*.svg,listing-*.txt} "$dir"
	cp "$BENCH/rows.tsv" "$dir/last.tsv"
	note "kept in $dir"
}

# Each of the other parts has its function, measure_<series>.
for part in uml scale memory library; do
	# shellcheck source=/dev/null # there may be none
	[ ! -e "$VM/bench_$part.sh" ] || . "$VM/bench_$part.sh"
done

[ -z "$KEEP" ] || [ -z "$QUICK$*" ] || die "only all series are kept"
series=("$@")
if [ $# -eq 0 ] && [ -n "$QUICK" ]; then
	series=(6.12)
elif [ $# -eq 0 ]; then
	series=(6.1 6.12 locks uml scale memory library)
fi
for name in "${series[@]}"; do
	case $name in
	6.1 | 6.12)	;;
	*)		declare -F "measure_$name" >/dev/null || die "no such series: $name" ;;
	esac
done
mkdir -p "$BENCH"
rm -rf "$BENCH"/{machine,{rows,targets}.tsv,table.txt,*.svg}
packages_need "${GUEST_PACKAGES[@]}" binutils
machine >"$BENCH/machine"
if [ -z "$QUICK" ]; then
	say "building what measures"
	mkdir -p "$BUILD/tools/bench"
	logged "$BUILD/log/bench-device.log" \
		tool_compile "$BUILD/tools/bench/device" "$TOP/tools/bench/device.c"
fi
for name in "${series[@]}"; do
	rm -rf "${BENCH:?}"/{,path-}"$name" "$BENCH/$name".{rows.tsv,targets.tsv,table.txt,tsv} \
		"$BENCH/listing-$name.txt"
	case $name in
	6.1 | 6.12)	measure "$name" ;;
	# Each part has its own idea of a guest.
	*)		(measure_"$name") ;;
	esac
done
{
	cat "$BENCH/machine"
	for name in "${series[@]}"; do
		[ ! -e "$BENCH/$name.table.txt" ] || cat "$BENCH/$name.table.txt"
	done
} >"$BENCH/table.txt"
"$TOP/tools/bench/collect.py" "$BENCH" "${series[@]}" | tee -a "$BENCH/table.txt"
"$TOP/tools/bench/chart.py" "$BENCH"
say "in $BENCH: rows.tsv, targets.tsv, table.txt and charts as SVG"
[ -z "$KEEP" ] || keep
