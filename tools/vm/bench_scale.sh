#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The part of make bench that counts locks: with 1, 2, 4 and 8 CPUs, on Debian's
# 6.12. bench.sh sources this and calls measure_scale; started by itself it does
# only that:
#
# bench_scale.sh [-v] [CPUS]...: -v shows each class of objects, too. GOALLOC_SCALE_OPS
# is how many allocations are counted in each work (1000000), GOALLOC_SCALE_WORKS which
# works are done.
#
# Leaves $BENCH/scale.rows.tsv, scale.targets.tsv, scale.table.txt, and what the guests
# said in $BENCH/scale-<CPUs>.
#
# Only counts are taken, so there is no -icount, which allows one CPU: each CPU of
# the guest is a thread of QEMU.

# shellcheck source-path=SCRIPTDIR disable=SC2034

SCALE_WORKS="private private-many pairs pairs-deep larson softirq stress"
read -r -a SCALE_WORKS <<<"${GOALLOC_SCALE_WORKS:-$SCALE_WORKS}"

# scale_build: the module of tools/bench that this needs, against the symbols of the
# module that was built last.
scale_build()
{
	local dir=$MODULE_DIR/tools/scale

	mkdir -p "$dir"
	ln -sf "$TOP"/tools/bench/{Kbuild,scale_bench.c} "$dir"
	logged "$BUILD/log/bench-scale.log" make -C "$KDIR" M="$dir" -j "$JOBS" \
		KBUILD_EXTRA_SYMBOLS="$MODULE_DIR/Module.symvers" goalloc_scale_bench.ko
	SCALE_MODULE=$dir/goalloc_scale_bench.ko
}

scale_progress()
{
	guest_follow "$1" "$GUEST/console.log" |
		awk '/Kernel panic|BUG:|WARNING:|goalloc_scale_bench:/ { print "          " $0; fflush() }'
}

# scale_guest CPUS
scale_guest()
{
	guest_make "$BENCH/scale-$1" scale RIG_SCALE_WORKS="'${SCALE_WORKS[*]}'" \
		RIG_SCALE_OPS="${GOALLOC_SCALE_OPS:-1000000}" RIG_SCALE_CPUS="$1"
	GUEST_CPUS=$1
	guest_add . "$MODULE_DIR/goalloc.ko" "$SCALE_MODULE"
	say "counting locks with $1 CPUs"
	guest_run "${GOALLOC_TIMEOUT:-600}" scale_progress "init_on_alloc=0"
	"$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" "${SCALE_WORKS[@]}" \
		>"$GUEST/judge.log" || {
		cat "$GUEST/judge.log"
		die "could not count locks with $1 CPUs; logs are in $GUEST"
	}
}

# measure_scale [CPUS]...
measure_scale()
{
	local cpus GOALLOC_ACCEL=tcg,thread=multi

	[ $# -gt 0 ] || set -- 1 2 4 8
	kernel_use 6.12
	module_build 6.12
	scale_build
	for cpus; do
		scale_guest "$cpus"
	done
	"$TOP/tools/bench/scale_report.py" "${scale_options[@]}" --works "${SCALE_WORKS[*]}" \
		"$BENCH" "$@" |
		tee "$BENCH/scale.table.txt"
}

scale_options=()
[ "${BASH_SOURCE[0]}" = "$0" ] || return 0

set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$VM/packages.sh"
. "$VM/kernel.sh"
. "$VM/module.sh"
. "$VM/guest.sh"
BENCH=$BUILD/bench
packages_need "${GUEST_PACKAGES[@]}"
if [ "${1:-}" = -v ]; then
	scale_options=(--classes)
	shift
fi
mkdir -p "$BENCH"
measure_scale "$@"
