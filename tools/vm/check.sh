#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check: everything that can be said without running the module.  Each
# check is silent when all is well; any line of output is a failure.

# shellcheck source-path=SCRIPTDIR
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$VM/packages.sh"
. "$VM/kernel.sh"
. "$VM/module.sh"
. "$VM/pagesize.sh"

CHECK=$BUILD/check

passed=0
failed=0

# check DESCRIPTION COMMAND...
check()
{
	local what=$1 out=$CHECK/output
	shift
	say "$what"
	if "$@" >"$out" 2>&1 </dev/null && [ ! -s "$out" ]; then
		passed=$((passed + 1))
		return
	fi
	[ -s "$out" ] || echo "$1 failed and said nothing" >"$out"
	sed 's/^/        /' "$out"
	failed=$((failed + 1))
}

# our_files PATTERN...: files of the checkout, without what is built in it.
our_files()
{
	local pattern
	for pattern; do
		find "$TOP" \( -path "$TOP/.git" -o -path "$TOP/build" \) -prune -o \
			-type f -name "$pattern" ! -name '*.mod.c' -print
	done | sort
}

# checkpatch_exempt FILE: what checkpatch cannot know.  compat.h is where kernel
# versions are told apart, and the only place.  Programs use the C library's
# names and have none of the kernel's macros; that a word in a message is also
# the name of a function there means nothing; memory they share with the kernel
# or another process is volatile to them.  The harness of the selftests is made
# of macros that stand for functions, and one loop for many sizes is a macro, too.
checkpatch_exempt()
{
	local tools=CAMELCASE,PREFER_DEFINED_ATTRIBUTE_MACRO,BIT_MACRO,STRCPY
	tools+=,EMBEDDED_FUNCTION_NAME,VOLATILE,ENOSYS

	case $1 in
	*/compat.h)
		echo --ignore=LINUX_VERSION_CODE,CONSTANT_COMPARISON,MACRO_ARG_UNUSED ;;
	"$TOP"/tools/selftests/*)
		echo "--ignore=$tools,COMPLEX_MACRO,MULTISTATEMENT_MACRO_USE_DO_WHILE" ;;
	"$TOP"/tools/bench/speed.h | "$TOP"/tools/bench/speed_loops.c)
		echo --ignore=COMPLEX_MACRO,MACRO_ARG_REUSE,MACRO_ARG_UNUSED ;;
	"$TOP"/tools/* | "$TOP"/Documentation/example/words.c)
		echo "--ignore=$tools,PREFER_KERNEL_TYPES" ;;
	esac
}

run_checkpatch()
{
	local file

	# Each in turn takes minutes.
	our_files '*.c' '*.h' | while read -r file; do
		echo "$(checkpatch_exempt "$file")" -f "$file"
	done | (cd "$KSRC" && xargs -P "$JOBS" -L 1 perl scripts/checkpatch.pl \
		--strict --terse --no-summary --show-types) || :
}

tools_build_silently()
{
	(BUILD=$CHECK/tools && tools_build && library_build && words_build) |
		grep -v '^\[' || :
	tool_compile "$CHECK/tools/device" "$TOP/tools/bench/device.c"
	tool_compile "$CHECK/tools/locks" -I "$TOP/tools/selftests" "$TOP/tools/bench/locks.c"
	gcc -std=gnu11 -O2 -Wall -Wextra -o "$CHECK/tools/library" "$TOP/tools/bench/library.c"
	gcc -std=gnu11 -O2 -Wall -Wextra -fno-builtin -fPIC -shared -pthread \
		-o "$CHECK/tools/record.so" "$TOP/tools/bench/record/record.c"
}

run_kernel_doc()
{
	our_files '*.c' '*.h' | grep "^$TOP/goalloc/" |
		xargs perl "$KSRC/scripts/kernel-doc" -v -none 2>&1 |
		grep -vE 'info: Scanning doc for|no structured comments found' || :
}

# run_man: that a page has no date is wanted, the commit has it.
run_man()
{
	local page

	for page in "$TOP"/Documentation/*.[1-9]; do
		mandoc -T lint -W warning "$page" | grep -v 'WARNING: missing date' || :
		{ LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z \
			"$page" >"$CHECK/man.out"; } 2>&1 || :
		[ -s "$CHECK/man.out" ] || echo "$page: man shows nothing"
	done
}

run_shellcheck()
{
	our_files '*' | grep -vE '\.(c|h|o|ko|py|rst|txt|a|so)$' | while read -r file; do
		head -n 2 "$file" | grep -aqE '^#!.*\b(ba|da)?sh\b|^# shellcheck shell=' || continue
		(cd "$TOP" && shellcheck -x -f gcc "${file#"$TOP"/}") || :
	done
}

run_python()
{
	local file
	our_files '*' | while read -r file; do
		case $file in
		*.py) ;;
		*) head -n 1 "$file" | grep -aq '^#!.*python' || continue ;;
		esac
		python3 -W error -c 'import pathlib, sys
compile(pathlib.Path(sys.argv[1]).read_text(), sys.argv[1], "exec")' "$file" || :
	done
}

# build_silently NAME MAKE-ARGUMENT...: the warnings of a full build of the
# module in a directory of that name.
build_silently()
{
	local dir=$CHECK/$1
	shift

	module_links "$dir"
	make_silently "$dir" "$@"
}

# build_user SERIES DIR: a module that uses goalloc's symbols.
build_user()
{
	local module=$CHECK/w1-$1 dir=$2

	mkdir -p "$module/$(dirname "$dir")"
	cp -rsf "$TOP/$dir" "$module/$(dirname "$dir")"
	make_silently "$module/$dir" W=1 KBUILD_EXTRA_SYMBOLS="$module/Module.symvers"
}

# make_silently DIR MAKE-ARGUMENT...
make_silently()
{
	local dir=$1 log=$1.log
	shift

	if ! make -C "$KDIR" M="$dir" -j "$JOBS" "$@" modules >"$log" 2>&1; then
		cat "$log"
		return 1
	fi
	grep -E ':[0-9]+(:[0-9]+)?: |warning|WARNING|error|ERROR|^[^ ]+: In function' "$log" || :
}

rm -rf "$CHECK"
mkdir -p "$CHECK"
packages_need spin sparse shellcheck perl python3 mandoc man-db "${KERNEL_BUILD_PACKAGES[@]}"
source_use

check "size classes: the committed tables are what the generator makes" \
	"$TOP/tools/mksizeclasses" --check "$TOP/goalloc"
check "checkpatch --strict" run_checkpatch
check "kernel-doc" run_kernel_doc
check "man pages" run_man
check "shellcheck" run_shellcheck
check "python compiles" run_python
check "the rig's judge is not lenient" "$VM/judge_test.py" "$KSRC"
check "the protocol: models hold, and their mutants do not" "$TOP/tools/models/check.py"
check "the protocol: each barrier and each mutant is documented" "$TOP/tools/models/barriers.py"
check "goallocctl, library, selftests and the tutorial's program build without warnings" tools_build_silently
for kernel in 6.1 6.12 kunit; do
	kernel_use "$kernel"
	check "$KRELEASE: builds without warnings, W=1" \
		build_silently "w1-$kernel" W=1
	[ "$kernel" = kunit ] ||
		check "$KRELEASE: the benchmark's module builds" \
			build_user "$kernel" tools/bench
	check "$KRELEASE: the selftests' modules build" \
		build_user "$kernel" tools/selftests/modules
	[ "$kernel" != 6.12 ] ||
		check "$KRELEASE: the example in Documentation builds" \
			build_user 6.12 Documentation/example
	[ "$kernel" != 6.1 ] || continue
	check "$KRELEASE: sparse" build_silently "sparse-$kernel" C=2 CHECK=sparse
done
for size in 16 64; do
	pagesize_use "$size"
	check "$KRELEASE, arm64, pages of $size KiB: builds without warnings, W=1" \
		pagesize_build "$CHECK/w1-${size}k" W=1
done

echo "$passed $failed" >"$CHECK/counts"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
