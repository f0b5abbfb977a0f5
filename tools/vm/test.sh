#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make test: the suites on the KUnit kernel, the userspace selftests there and
# on the stock kernels, those that want a machine of their own, then real programs.
#
# test.sh [SUITE]: with a suite's name (or a pattern), only that suite; with a
# selftest's name only that one, on all of its kernels; "machines" are all that want
# one of their own.
# test.sh --programs: only the real programs.

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

test_kunit()
{
	local append=page_poison=1
	[ -z "$SUITE" ] || append+=" kunit.filter_glob=$SUITE"

	kernel_use kunit
	module_build kunit
	guest_make "$BUILD/test/kunit" kunit RIG_PROGRAM_TIMEOUT=600
	guest_add . "$MODULE_DIR/goalloc.ko" "$MODULE_DIR/goalloc_kunit.ko"
	guest_add_tools
	say "running ${SUITE:-all suites} on the KUnit kernel $KRELEASE"
	guest_run "${GOALLOC_TIMEOUT:-1800}" progress "$append"
	judge --kunit "$GUEST" "${GUEST_PROGRAMS[@]}"
}

# test_stock SERIES
test_stock()
{
	kernel_use "$1"
	module_build "$1"
	guest_make "$BUILD/test/$1" stock
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add_tools
	say "running the selftests on Debian's $KRELEASE"
	# Debian's kernels zero every page, which would hide one of ours that is not.
	guest_run "${GOALLOC_TIMEOUT:-1200}" progress init_on_alloc=0
	judge "$GUEST" "${GUEST_PROGRAMS[@]}"
}

# guest_add_tools: all programs that run in every guest, GUEST_PROGRAMS by name.
guest_add_tools()
{
	local name

	GUEST_PROGRAMS=()
	[ -z "$SUITE" ] || return 0
	selftest_modules_build
	guest_add modules "${SELFTEST_MODULES[@]}"
	guest_add bin "$BUILD/tools/goallocctl"
	guest_add selftests/goallocctl "$TOP/tools/goallocctl/test.sh"
	GUEST_PROGRAMS+=(goallocctl)
	for name in "${SELFTESTS[@]}"; do
		guest_add "selftests/$name" "$BUILD/tools/selftests/$name"
		GUEST_PROGRAMS+=("$name")
	done
	for name in "${LIBTESTS[@]}"; do
		guest_add "selftests/lib_$name" "$BUILD/lib/tests/bin/$name"
		GUEST_PROGRAMS+=("lib_$name")
	done
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
case $SUITE in
--programs)
	tool_build
	library_build
	test_programs
	counts "$BUILD/programs"
	;;
'')
	rm -rf "$BUILD/test"
	tools_build
	library_build
	test_kunit
	test_stock 6.1
	test_stock 6.12
	test_machines
	test_programs
	counts "$BUILD/test"
	;;
machines)
	rm -rf "$BUILD/test"
	selftests_build
	test_machines
	counts "$BUILD/test"
	;;
*)
	rm -rf "$BUILD/test"
	selftests_build "$SUITE"
	if [ ${#MACHINES[@]} -gt 0 ]; then
		test_machines
	elif [ ${#SELFTESTS[@]} -gt 0 ]; then
		test_selftest "$SUITE"
	else
		test_kunit
	fi
	counts "$BUILD/test"
	;;
esac
