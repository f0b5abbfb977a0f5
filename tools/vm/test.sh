#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make test: the suites on the KUnit kernel, the userspace selftests there and
# on the stock kernels, then real programs on the latest of them.
#
# test.sh [SUITE]: with a suite's name (or a pattern), only that suite.
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

SUITE=${1:-}

passed=0
failed=0
skipped=0

# progress PID: the console and the channel in short.  Suites, the cases in
# them and whatever fails; of the selftests only what fails.
progress()
{
	guest_follow "$1" "$GUEST/console.log" | awk '
		{ sub(/^\[ *[0-9.]+\] /, "") }
		/goalloc-rig: begin/ && $3 != "rig" && $3 != "kernel-log" {
			print "          running " $3; fflush()
		}
		/^(    )?(not )?ok [0-9]+ / || /^ +not ok [0-9]+ / {
			print "          " $0; fflush()
		}
		/Kernel panic|BUG:|WARNING:/ { print "          " $0; fflush() }
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
	guest_make "$BUILD/test/kunit" kunit
	guest_add . "$MODULE_DIR/goalloc.ko" "$MODULE_DIR/goalloc_kunit.ko"
	guest_add_tools
	say "running ${SUITE:-all suites} on the KUnit kernel $KRELEASE"
	guest_run "${GOALLOC_TIMEOUT:-1200}" progress "$append"
	judge --kunit "$GUEST" "${SELFTESTS[@]}"
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
	guest_run "${GOALLOC_TIMEOUT:-600}" progress init_on_alloc=0
	judge "$GUEST" "${SELFTESTS[@]}"
}

guest_add_tools()
{
	local selftest

	[ -z "$SUITE" ] || return 0
	guest_add bin "$BUILD/tools/goallocctl"
	for selftest in "${SELFTESTS[@]}"; do
		guest_add selftests "$BUILD/tools/selftests/$selftest"
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
case $SUITE in
--programs)
	test_programs
	counts "$BUILD/programs"
	;;
'')
	rm -rf "$BUILD/test"
	tools_build
	test_kunit
	test_stock 6.1
	test_stock 6.12
	test_programs
	counts "$BUILD/test"
	;;
*)
	rm -rf "$BUILD/test"
	test_kunit
	counts "$BUILD/test"
	;;
esac
