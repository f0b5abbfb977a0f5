# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: what memory objects take, on Debian's 6.12; sourced by bench.sh. What is
# measured is in Documentation/benchmarks/memory.rst. GOALLOC_MEMORY_RUNS may name some
# of the runs, as in "zswap:goalloc zswap:kmalloc", and GOALLOC_MEMORY_CPUS other numbers
# of CPUs than 1 and 8.

# memory_runs: each workload with each allocator, a word for each pair.
memory_runs()
{
	local workload trace allocator

	for workload in uniform-1-2048 uniform-100-4096 zswap network 3.5-4-4.5K churn; do
		echo "$workload:goalloc" "$workload:kmalloc"
		case $workload in
		network | 3.5-4-4.5K)
			echo "$workload:goalloc-class" "$workload:kmem_cache" ;;
		esac
	done
	for trace in "$TOP"/tools/bench/traces/*.xz; do
		trace=$(basename "$trace" .xz)
		for workload in "$trace" "thin-$trace"; do
			for allocator in goalloc kmalloc; do
				echo "$workload:$allocator"
			done
		done
	done
}

# memory_guest CPUS RUN...: boot and measure, on the first CPU. What was found is in
# $BENCH/memory/<cpus>/*.tap.
memory_guest()
{
	local cpus=$1 trace
	shift

	mkdir -p "$BENCH/memory"
	guest_make "$BENCH/memory/$cpus" memory "MEMORY_RUNS='$*'"
	# The long churn has 256 MiB of objects, and what is held besides.
	# shellcheck disable=SC2034 # guest_qemu's
	GUEST_CPUS=$cpus GUEST_MEMORY=2G GUEST_DEVICES=(-icount 'shift=0,sleep=off')
	guest_add . "$MODULE_DIR/goalloc.ko" "${BENCH_MODULES[@]}"
	mkdir "$GUEST/root/traces"
	for trace in "$TOP"/tools/bench/traces/*.xz; do
		xz -dc "$trace" >"$GUEST/root/traces/$(basename "$trace" .xz)"
	done
	say "measuring memory on Debian's $KRELEASE, $cpus CPU"
	guest_run "${GOALLOC_TIMEOUT:-900}" progress "$APPEND"
	"$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" "$@" >"$GUEST/judge.log" || {
		cat "$GUEST/judge.log"
		die "could not measure memory; logs are in $GUEST"
	}
}

# measure_memory: rows, targets and a table to $BENCH, the table to stdout too. On one
# CPU, and on eight, of which seven have nothing to do: SLUB makes its slabs the larger
# the more CPUs there are.
measure_memory()
{
	local runs cpus

	packages_need xz-utils
	kernel_use 6.12
	module_build 6.12
	bench_module_build goalloc_memory_bench
	read -ra runs <<<"${GOALLOC_MEMORY_RUNS:-$(memory_runs | tr '\n' ' ')}"
	for cpus in ${GOALLOC_MEMORY_CPUS:-1 8}; do
		memory_guest "$cpus" "${runs[@]}"
	done
	"$TOP/tools/bench/memory_report.py" --cpus "${GOALLOC_MEMORY_CPUS:-1 8}" "$BENCH" \
		"${runs[@]}" | tee "$BENCH/memory.table.txt"
}
