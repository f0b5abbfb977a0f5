#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make test: the suites on the KUnit kernel, the userspace selftests there, on the
# stock kernels and under real preemption, those that want a machine of their own, real
# programs; guests run side by side.
#
# test.sh [SUITE]: with a suite's name (or a pattern), only that suite; with a
# selftest's name only that one, on all of its kernels; "machines" are all that want
# one of their own.
# test.sh --programs: only the real programs.
# test.sh --soak LENGTH: what is random, for hours: see jobs_soak in machines.sh.
# test.sh --kcsan [WHAT]: data races, see kcsan.sh.
# test.sh --preempt [RUN]...: the selftests under real preemption with 1, 2 and 8 CPUs,
# the suites with 1 and 8, and what is random on PREEMPT_RT, or some of these.

# shellcheck source-path=SCRIPTDIR
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$VM/packages.sh"
. "$VM/kernel.sh"
. "$VM/module.sh"
. "$VM/guest.sh"
. "$VM/rootfs.sh"
. "$VM/programs.sh"
. "$VM/machines.sh"
. "$VM/jobs.sh"
. "$VM/kcsan.sh"

SUITE=${1:-}

passed=0
failed=0
skipped=0

# progress PID: the console and the channel in short.  Suites, the cases in
# them and whatever fails; of the selftests only what fails.
progress()
{
	# Not awk: Debian's reads a whole block before it looks at a line.
	guest_follow "$1" "$GUEST/console.log" | sed -u -n -E '
		s/^\[ *[0-9.]+\] //; t stripped
		:stripped
		/goalloc-rig: begin (rig|kernel-log|table)$/d
		s/.*goalloc-rig: begin (.*)/running \1/; t show
		s/.*goalloc-rig: (not ok: .*)/\1/; t show
		/^(    )?(not )?ok [0-9]+ /b show
		/^ +not ok [0-9]+ /b show
		/Kernel panic|BUG:|WARNING:/b show
		d
		:show
		s/^/          /p
	'
}

# judge [--kunit] PROGRAM...: look at the guest that ran, and add it up.
judge()
{
	local p f s

	rm -f "$GUEST/counts"
	"$VM/judge.py" --source "$KSRC" --nonce "$GUEST_NONCE" "$@" || :
	# A judge that did not come to its end did not say "all is well".
	[ -e "$GUEST/counts" ] || echo 0 1 0 >"$GUEST/counts"
	read -r p f s <"$GUEST/counts"
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + s))
	[ "$f" -eq 0 ] || note "details in $GUEST"
}

# What make test has of real preemption, and make test-preempt: runs as run_parse knows
# them.
PREEMPT=(6.12-rt 6.12-full-8cpu)
PREEMPT_ALL=(6.1-rt 6.1-rt-1cpu 6.1-rt-8cpu 6.12-rt 6.12-rt-1cpu 6.12-rt-8cpu
	     6.1-full 6.1-full-1cpu 6.1-full-8cpu 6.12-full 6.12-full-1cpu 6.12-full-8cpu
	     kunit-1cpu kunit-8cpu)

# run_parse RUN: a kernel's name, with -full when it is to be booted with preempt=full,
# and with -<n>cpu when it is not to have 2.  Sets RUN_KERNEL, RUN_APPEND, RUN_CPUS and
# RUN_PREEMPT, the model that the guest then has to find.
run_parse()
{
	RUN_KERNEL=$1 RUN_APPEND='' RUN_CPUS='' RUN_PREEMPT=''
	if [[ $RUN_KERNEL =~ -([0-9]+)cpu$ ]]; then
		RUN_CPUS=${BASH_REMATCH[1]}
		RUN_KERNEL=${RUN_KERNEL%-*}
	fi
	case $RUN_KERNEL in
	*-full)
		RUN_KERNEL=${RUN_KERNEL%-full}
		RUN_APPEND=preempt=full RUN_PREEMPT=full ;;
	*-rt)
		RUN_PREEMPT=rt ;;
	esac
}

# test_kunit [RUN]: the suites.
test_kunit()
{
	local append=page_poison=1
	[ -z "$SUITE" ] || append+=" kunit.filter_glob=$SUITE"

	run_parse "${1:-kunit}"
	kernel_use kunit
	module_build kunit
	guest_make "$BUILD/test/${1:-kunit}" kunit "RIG_CPUS=${RUN_CPUS:-2+}"
	[ -z "$RUN_CPUS" ] || GUEST_CPUS=$RUN_CPUS
	guest_add . "$MODULE_DIR/goalloc.ko" "$MODULE_DIR/goalloc_kunit.ko"
	say "running ${SUITE:-all suites} on the KUnit kernel $KRELEASE, $GUEST_CPUS CPUs"
	guest_run "${GOALLOC_TIMEOUT:-3600}" progress "$append"
	judge --kunit "$GUEST"
}

# test_selftests: all programs on the KUnit kernel.  goallocctl's test is a script, which
# starts hundreds of processes there and asks for little else than the selftests do.
test_selftests()
{
	kernel_use kunit
	module_build kunit
	guest_make "$BUILD/test/selftests-kunit" machine RIG_PROGRAM_TIMEOUT=1800
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add_tools
	say "running the selftests on the KUnit kernel $KRELEASE"
	guest_run "${GOALLOC_TIMEOUT:-3600}" progress page_poison=1
	judge "$GUEST" "${GUEST_PROGRAMS[@]}"
}

# test_stock RUN: all programs on one of Debian's kernels.  Whether it leaves memory
# is looked for where it has nothing but its name.
test_stock()
{
	local rounds=100

	run_parse "$1"
	[ "$RUN_KERNEL" = "$1" ] || rounds=0
	kernel_use "$RUN_KERNEL"
	module_build "$RUN_KERNEL"
	guest_make "$BUILD/test/$1" stock "RIG_CPUS=${RUN_CPUS:-2+}" \
		"RIG_PREEMPT=$RUN_PREEMPT" "RIG_ROUNDS=$rounds"
	[ -z "$RUN_CPUS" ] || GUEST_CPUS=$RUN_CPUS
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add_tools
	guest_add_goallocctl
	say "running the selftests on Debian's $KRELEASE, $GUEST_CPUS CPUs${RUN_APPEND:+, $RUN_APPEND}"
	# Debian's kernels zero every page, which would hide one of ours that is not.
	guest_run "${GOALLOC_TIMEOUT:-2400}" progress "init_on_alloc=0 $RUN_APPEND"
	judge "$GUEST" "${GUEST_PROGRAMS[@]}"
}

# jobs_tests RUN...: build for each, then it is a job.
jobs_tests()
{
	local run

	for run; do
		run_parse "$run"
		kernel_use "$RUN_KERNEL"
		module_build "$RUN_KERNEL"
		if [ "$RUN_KERNEL" = kunit ]; then
			job "$run" "$BUILD/test/$run" test_kunit "$run"
		else
			selftest_modules_build
			job "$run" "$BUILD/test/$run" test_stock "$run"
		fi
	done
}

# jobs_programs
jobs_programs()
{
	rootfs_use
	kernel_use 6.12
	module_build 6.12
	job programs "$BUILD/programs" test_programs
}

# guest_add_tools: the programs that run in every guest, GUEST_PROGRAMS by name.
guest_add_tools()
{
	local name

	GUEST_PROGRAMS=()
	selftest_modules_build
	guest_add modules "${SELFTEST_MODULES[@]}"
	for name in "${SELFTESTS[@]}"; do
		guest_add "selftests/$name" "$BUILD/tools/selftests/$name"
		GUEST_PROGRAMS+=("$name")
	done
	for name in "${LIBTESTS[@]}"; do
		guest_add "selftests/lib_$name" "$BUILD/lib/tests/bin/$name"
		GUEST_PROGRAMS+=("lib_$name")
	done
}

# guest_add_goallocctl: the tool, and its test.
guest_add_goallocctl()
{
	guest_add bin "$BUILD/tools/goallocctl"
	guest_add selftests/goallocctl "$TOP/tools/goallocctl/test.sh"
	GUEST_PROGRAMS+=(goallocctl)
}

# counts DIR: leave them there for .ci/run and say them; whether all is well.
counts()
{
	echo "$passed $failed" >"$1/counts"
	say "outputs and logs are in $BUILD/test and $BUILD/programs; $skipped skipped"
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

packages_need "${GUEST_PACKAGES[@]}"
source_use
SELFTESTS=()
LIBTESTS=()
MACHINES=()
[ "$SUITE" = --programs ] || rm -rf "$BUILD/test"
case $SUITE in
--programs)
	tool_build
	library_build
	test_programs
	counts "$BUILD/programs"
	exit
	;;
--soak)
	SUITE=
	selftests_build random fuzz
	jobs_soak "${2:-3600}"
	;;
--kcsan)
	test_kcsan "${2:-}"
	counts "$BUILD/test"
	exit
	;;
--preempt)
	SUITE=
	shift
	tools_build
	library_build
	jobs_tests "${@:-"${PREEMPT_ALL[@]}"}"
	[ $# -gt 0 ] || jobs_preempt_machines
	;;
'')
	tools_build
	library_build
	# The longest first.
	jobs_tests kunit
	job selftests-kunit "$BUILD/test/selftests-kunit" test_selftests
	selftest_modules_build
	jobs_programs
	jobs_machines
	jobs_tests "${PREEMPT[@]}" 6.1 6.12
	;;
machines)
	selftests_build
	jobs_machines
	;;
*)
	selftests_build "$SUITE"
	if [ ${#MACHINES[@]} -gt 0 ]; then
		jobs_machines
	elif [ ${#SELFTESTS[@]} -gt 0 ]; then
		jobs_selftest "$SUITE"
	else
		jobs_tests kunit
	fi
	;;
esac
jobs_run
counts "$BUILD/test"
