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

# module_build NAME [MAKE ARGUMENT]...: build against KDIR in $BUILD/NAME; sets
# MODULE_DIR.
module_build()
{
	local name=$1
	shift

	MODULE_DIR=$BUILD/$name
	module_links "$MODULE_DIR"
	say "building the module for $KRELEASE"
	logged "$BUILD/log/module-$name.log" \
		make -C "$KDIR" M="$MODULE_DIR" -j "$JOBS" "$@" modules
	if grep -E 'warning:|WARNING:' "$BUILD/log/module-$name.log"; then
		die "the module builds with warnings for $KRELEASE"
	fi
}

# tools_build: goallocctl and the selftests, linked statically for the guest.
# Sets SELFTESTS to their names.
tools_build()
{
	local source

	say "building goallocctl and the selftests"
	mkdir -p "$BUILD/tools/selftests"
	logged "$BUILD/log/goallocctl.log" tool_compile "$BUILD/tools/goallocctl" \
		"$TOP"/tools/goallocctl/*.c
	SELFTESTS=()
	for source in "$TOP"/tools/selftests/*.c; do
		[ -e "$source" ] || continue
		source=$(basename "$source" .c)
		logged "$BUILD/log/selftest-$source.log" \
			tool_compile "$BUILD/tools/selftests/$source" \
			"$TOP/tools/selftests/$source.c"
		SELFTESTS+=("$source")
	done
}

# tool_compile PROGRAM SOURCE...
tool_compile()
{
	local program=$1
	shift
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread \
		-I "$TOP/goalloc/include/uapi" -I "$TOP/tools/selftests" \
		-o "$program" "$@"
}
