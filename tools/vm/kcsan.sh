# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# make test-kcsan: data races.  The suites and the selftests in which several CPUs
# are at work, or the background beside a test, run on the KCSAN kernel; whatever KCSAN
# reports of our modules is a failure.

KCSAN_SUITES=(concurrency mstats malloc ring bulk mcache mcentral sweep sparse scavenge
	      limits shrink thin backing)
KCSAN_SELFTESTS=(threads stale batch mmap process heaps settle limits params debugfs
		 random)

# On average a watchpoint is set each 1000 accesses of a CPU, and stands for 100
# microseconds: half of the time, about.
KCSAN_APPEND=${GOALLOC_KCSAN:-kcsan.skip_watch=2000 kcsan.udelay_task=200}

# What is random works so long with everybody at once.
KCSAN_APPEND+=" RANDOM_SECONDS=${RANDOM_SECONDS:-180}"

# test_kcsan [WHAT]: a suite's name, a selftest's, "suites" or "selftests"; all by
# default.
test_kcsan()
{
	local what=${1:-} suites=()

	SELFTESTS=()
	MACHINES=()
	case $what in
	'')		suites=("${KCSAN_SUITES[@]}")
			selftests_build "${KCSAN_SELFTESTS[@]}" ;;
	suites)		suites=("${KCSAN_SUITES[@]}") ;;
	selftests)	selftests_build "${KCSAN_SELFTESTS[@]}" ;;
	goalloc_*)	suites=("${what#goalloc_}") ;;
	*)		selftests_build "$what" ;;
	esac
	kernel_use kcsan
	module_build kcsan
	selftest_modules_build
	[ ${#suites[@]} -eq 0 ] || kcsan_suites "${suites[@]}"
	SELFTESTS+=("${MACHINES[@]}")
	[ ${#SELFTESTS[@]} -eq 0 ] || kcsan_selftests
}

kcsan_guest()
{
	guest_make "$BUILD/test/kcsan-$1" kcsan RIG_PROGRAM_TIMEOUT=1800 "RIG_SUITES='$2'"
	GUEST_CPUS=${GOALLOC_CPUS:-4}
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add modules "${SELFTEST_MODULES[@]}"
}

# kcsan_run PROGRAM...: a report of KCSAN is no reason to stop.
kcsan_run()
{
	say "looking for data races: $(basename "$GUEST") on $KRELEASE, $GUEST_CPUS CPUs"
	guest_run "${GOALLOC_TIMEOUT:-4800}" progress "panic_on_warn=0 $KCSAN_APPEND"
	judge "$GUEST" "$@"
	"$VM/kcsan.py" "$GUEST"
}

kcsan_suites()
{
	kcsan_guest suites "$*"
	guest_add . "$MODULE_DIR/goalloc_kunit.ko"
	kcsan_run "${@/#/goalloc_}"
}

kcsan_selftests()
{
	local name

	kcsan_guest selftests ''
	for name in "${SELFTESTS[@]}"; do
		guest_add selftests "$BUILD/tools/selftests/$name"
	done
	kcsan_run "${SELFTESTS[@]}"
}
