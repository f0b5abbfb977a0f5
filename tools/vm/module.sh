# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Building the module for a kernel, and the tools for a guest.  Each kernel has
# a directory of its own, so that builds do not disturb each other.

# module_links DIR: a directory to build in, of links to the sources.
module_links()
{
	mkdir -p "$1"
	find "$1" -xtype l -delete
	cp -rsf "$TOP/Kbuild" "$TOP/dkms.conf" "$TOP/goalloc" "$TOP/kunit" "$1"
}

# Those that were built by this run; another NAME for other arguments.
declare -A MODULES_BUILT=()

# module_build NAME [MAKE ARGUMENT]...: build against KDIR in $BUILD/NAME; sets
# MODULE_DIR.
module_build()
{
	local name=$1
	shift

	MODULE_DIR=$BUILD/$name
	[ -z "${MODULES_BUILT[$name]:-}" ] || return 0
	module_links "$MODULE_DIR"
	say "building the module for $KRELEASE"
	logged "$BUILD/log/module-$name.log" \
		make -C "$KDIR" M="$MODULE_DIR" -j "$JOBS" "$@" modules
	if grep -E 'warning:|WARNING:' "$BUILD/log/module-$name.log"; then
		die "the module builds with warnings for $KRELEASE"
	fi
	MODULES_BUILT[$name]=yes
}

# tool_build: goallocctl, linked statically for the guest.
tool_build()
{
	say "building goallocctl"
	mkdir -p "$BUILD/tools"
	logged "$BUILD/log/goallocctl.log" tool_compile "$BUILD/tools/goallocctl" \
		"$TOP"/tools/goallocctl/*.c
}

# selftests_build [NAME]...: these programs of tools/selftests or all, and those of
# tools/selftests/machines, linked statically; those whose name ends in 32 for 32
# bits.  Sets SELFTESTS to the names of the former, MACHINES to those of the latter.
# shellcheck disable=SC2120 # test.sh has them
selftests_build()
{
	local source name

	source_use
	say "building the selftests"
	mkdir -p "$BUILD/tools/selftests"
	SELFTESTS=()
	MACHINES=()
	for source in "$TOP"/tools/selftests/{,machines/}*.c; do
		name=$(basename "$source" .c)
		[ $# -eq 0 ] || [[ " $* " = *" $name "* ]] || continue
		[[ $name != *32 ]] || packages_need libc6-dev-i386 "$(package_gcc32)"
		logged "$BUILD/log/selftest-$name.log" \
			selftest_compile "$BUILD/tools/selftests/$name" "$source"
		if [[ $source = */machines/* ]]; then
			MACHINES+=("$name")
		else
			SELFTESTS+=("$name")
		fi
	done
}

# selftest_modules_build: the modules that selftests load, for the module that was
# built last.  Sets SELFTEST_MODULES.
selftest_modules_build()
{
	local dir=$MODULE_DIR/tools/selftests/modules

	SELFTEST_MODULES=("$dir"/*.ko)
	[ -z "${MODULES_BUILT[$dir]:-}" ] || return 0
	# kbuild does not look whether the symbols they use have changed.
	rm -rf "$dir"
	mkdir -p "$dir"
	cp -rsf "$TOP/tools/selftests/modules" "$MODULE_DIR/tools/selftests"
	logged "$BUILD/log/selftest-modules-$KRELEASE.log" make -C "$KDIR" M="$dir" -j "$JOBS" \
		KBUILD_EXTRA_SYMBOLS="$MODULE_DIR/Module.symvers" modules
	# shellcheck disable=SC2034 # guests have them
	SELFTEST_MODULES=("$dir"/*.ko)
	MODULES_BUILT[$dir]=yes
}

# package_gcc32: what the compiler itself has for 32 bits.  gcc-multilib would
# bring it, too, but rules out every cross compiler.
package_gcc32()
{
	echo "lib32gcc-$(gcc -dumpversion)-dev"
}

tools_build()
{
	tool_build
	# shellcheck disable=SC2119
	selftests_build
}

# library_build: libgoalloc and what is preloaded, in $BUILD/lib, and their tests.
# Sets LIBTESTS to the names of those that are linked statically; the others,
# preload and its plugin, are for a guest with the C library in it.
library_build()
{
	local source name

	say "building the library and its tests"
	library_make all
	LIBTESTS=()
	for source in "$TOP"/tools/lib/tests/*.c; do
		name=$(basename "$source" .c)
		case $name in
		preload)
			library_make "$BUILD/lib/tests/bin/preload" ;;
		plugin)
			library_make "$BUILD/lib/tests/bin/libplugin.so" ;;
		*)
			library_make "$BUILD/lib/tests/bin/$name"
			LIBTESTS+=("$name") ;;
		esac
	done
}

# library_make TARGET
library_make()
{
	logged "$BUILD/log/library-${1##*/}.log" make -C "$TOP/tools/lib" O="$BUILD/lib" \
		CFLAGS='-O2 -g -Werror' "$1"
	if grep -E 'warning:' "$BUILD/log/library-${1##*/}.log"; then
		die "the library builds with warnings"
	fi
}

# words_build: the program of the tutorial, against the library just built.
words_build()
{
	logged "$BUILD/log/words.log" tool_compile "$BUILD/tools/words" -I "$TOP/tools/lib" \
		"$TOP/Documentation/example/words.c" "$BUILD/lib/libgoalloc.a"
}

# tool_compile PROGRAM SOURCE-OR-FLAG...
tool_compile()
{
	local program=$1
	shift
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread \
		-I "$TOP/goalloc/include/uapi" -o "$program" "$@"
}

# selftest_compile PROGRAM SOURCE: the harness is the kernel's.  Its macros would
# not stand our warnings, as a system header's they need not.
selftest_compile()
{
	local bits=()

	[[ $1 != *32 ]] ||
		bits=(-m32 -idirafter "/usr/include/$(gcc -print-multiarch)")
	tool_compile "$1" "${bits[@]}" -I "$TOP/tools/selftests" \
		-isystem "$KSRC/tools/testing/selftests" "$2"
}
