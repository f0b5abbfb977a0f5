#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Other page sizes: kernels for arm64, where they can be chosen, from Debian's
# source of 6.12, kept in the cache:
#
#   pagesize/<version>-<size>k-<key>/   tinyconfig with pagesize.config; the key
#                                       covers source, configuration, compiler
#
# To build the module against one it needs to be prepared only (.prepared), which
# takes half a minute.  To run it, the kernel has to be built (.complete).
#
# pagesize.sh SIZE [SUITE]: run the suites, or those whose name is like SUITE, on
# a kernel with pages of SIZE KiB, 4, 16 or 64, in an emulated machine.  Not all
# suites are written for pages that several heap pages share; goalloc_sparse is.
#
# Sourced, it has for make check: pagesize_use, pagesize_build.

# shellcheck source-path=SCRIPTDIR
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	. "$(dirname "$0")/lib.sh"
	. "$VM/packages.sh"
	. "$VM/kernel.sh"
	. "$VM/module.sh"
fi

PAGESIZE_MAKE=(ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-)

# pagesize_use SIZE: set KDIR and KRELEASE to a kernel that is prepared.
pagesize_use()
{
	local size=$1 key

	packages_need gcc-aarch64-linux-gnu "${KERNEL_BUILD_PACKAGES[@]}"
	source_use
	key=$({
		aarch64-linux-gnu-gcc --version | sed -n 1p
		pagesize_config "$size"
	} | sha256sum | cut -c 1-12)
	KDIR=$CACHE/pagesize/$KSRC_VERSION-${size}k-$key
	if [ ! -e "$KDIR/.prepared" ]; then
		cache_lock "pagesize-$size"
		[ -e "$KDIR/.prepared" ] || pagesize_prepare "$size"
		cache_unlock
	fi
	KRELEASE=$(<"$KDIR/include/config/kernel.release")
}

# pagesize_config SIZE: the lines of the fragment that say something.
pagesize_config()
{
	{
		grep -E '^(CONFIG_|# CONFIG_[A-Z0-9_]+ is not set)' "$VM/pagesize.config"
		echo "CONFIG_ARM64_${1}K_PAGES=y"
	} | LC_ALL=C sort
}

pagesize_prepare()
{
	local size=$1 log=$BUILD/log/pagesize-$1.log make

	make=(make -C "$KSRC" O="$KDIR" "${PAGESIZE_MAKE[@]}")
	say "preparing a kernel with pages of $size KiB in $KDIR"
	mkdir -p "$KDIR"
	logged "$log" "${make[@]}" tinyconfig
	pagesize_config "$size" >"$KDIR/pagesize.config"
	logged "$log" env ARCH=arm64 "$KSRC/scripts/kconfig/merge_config.sh" -m -O "$KDIR" \
		"$KDIR/.config" "$KDIR/pagesize.config"
	logged "$log" "${make[@]}" olddefconfig
	pagesize_config_check
	logged "$log" "${make[@]}" -j "$JOBS" modules_prepare
	touch "$KDIR/.prepared"
}

# pagesize_config_check: see kernel_config_check.
pagesize_config_check()
{
	local line

	while read -r line; do
		case $line in
		CONFIG_*)
			grep -qxF -e "$line" "$KDIR/.config" ||
				die "the configuration did not take $line" ;;
		'# CONFIG_'*)
			line=${line#\# }
			! grep -q "^${line%% *}=" "$KDIR/.config" ||
				die "the configuration has ${line%% *}" ;;
		esac
	done <"$KDIR/pagesize.config"
}

# pagesize_build DIR MAKE-ARGUMENT...: the warnings of a build of the module against
# the kernel in use.  One that is only prepared does not know which symbols it has.
pagesize_build()
{
	local dir=$1 log=$1.log
	shift

	module_links "$dir"
	if ! make -C "$KDIR" M="$dir" "${PAGESIZE_MAKE[@]}" -j "$JOBS" "$@" \
		KBUILD_MODPOST_WARN=1 modules >"$log" 2>&1; then
		cat "$log"
		return 1
	fi
	grep -E ':[0-9]+(:[0-9]+)?: |warning|WARNING|error|ERROR|^[^ ]+: In function' "$log" |
		if [ -e "$KDIR/.complete" ]; then cat; else
			grep -vE '^WARNING: (modpost: (".*" \[.*\] undefined!|suppressed )|Module.symvers)|unresolved symbol errors[.]$|turn errors into warning'
		fi || :
}

# pagesize_use_image SIZE: the same, and it is built: KIMAGE.
pagesize_use_image()
{
	local log=$BUILD/log/pagesize-$1.log

	pagesize_use "$1"
	KIMAGE=$KDIR/arch/arm64/boot/Image
	[ ! -e "$KDIR/.complete" ] || return 0
	cache_lock "pagesize-$1"
	if [ ! -e "$KDIR/.complete" ]; then
		say "building it, some minutes (log: $log)"
		with_progress "$log" 'objects built' '^  (CC|AS|LD|AR) ' \
			make -C "$KSRC" O="$KDIR" "${PAGESIZE_MAKE[@]}" -j "$JOBS" Image modules ||
			{ tail -n 40 "$log" >&2; die "the kernel did not build, see $log"; }
		touch "$KDIR/.complete"
	fi
	cache_unlock
}

# pagesize_guest DIR: an initramfs with the module and its suites, of pagesize_build.
pagesize_guest()
{
	local dir=$1 root=$1/root

	rm -rf "$root"
	mkdir -p "$root"/{dev,proc,sys,tmp,selftests}
	cp "$dir/goalloc.ko" "$dir/goalloc_kunit.ko" "$root"
	logged "$BUILD/log/pagesize-init.log" pagesize_compile "$root/init" "$VM/guest/pagesize.c"
}

# pagesize_compile PROGRAM SOURCE-OR-FLAG...
pagesize_compile()
{
	local program=$1
	shift
	aarch64-linux-gnu-gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread \
		-o "$program" "$@"
}

# pagesize_run DIR [APPEND]: boot it; the console goes to DIR/console.log.
pagesize_run()
{
	local dir=$1

	(cd "$dir/root" && find . | cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) \
		>"$dir/initramfs.gz"
	timeout "${GOALLOC_TIMEOUT:-1800}" qemu-system-aarch64 -machine virt,gic-version=3 \
		-cpu max,lpa2=off -accel tcg,thread=multi -smp "${GOALLOC_CPUS:-2}" \
		-m "${GOALLOC_MEMORY:-1G}" -nodefaults -no-user-config -display none -no-reboot \
		-kernel "$KIMAGE" -initrd "$dir/initramfs.gz" \
		-append "console=ttyAMA0 panic=-1 panic_on_warn=1 page_poison=1 ignore_loglevel ${2:-}" \
		-serial "file:$dir/console.log" </dev/null
}

# pagesize_judge LOG: all suites passed, no splat, and the guest came to its end.
pagesize_judge()
{
	local log=$1 passed failed

	passed=$(grep -cE '^(\[ *[0-9.]+\] )?ok [0-9]+ goalloc_' "$log") || :
	failed=$(grep -cE '^(\[ *[0-9.]+\] )?[[:space:]]*not ok ' "$log") || :
	grep -E '^(\[ *[0-9.]+\] )?[[:space:]]*not ok ' "$log" || :
	if grep -E 'BUG:|WARNING:|Kernel panic|possible .* detected|suspicious RCU' "$log"; then
		failed=$((failed + 1))
	fi
	if ! grep -q 'goalloc-rig: done' "$log"; then
		echo "the guest did not come to its end"
		failed=$((failed + 1))
	fi
	echo "$passed suites passed, $failed failures"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

pagesize_main()
{
	local size=$1 dir=$BUILD/pagesize/$1k

	packages_need libc6-dev-arm64-cross qemu-system-arm cpio gzip
	pagesize_use_image "$size"
	say "building the module for pages of $size KiB"
	pagesize_build "$dir"
	pagesize_guest "$dir"
	say "running ${2:-all suites} with pages of $size KiB (console: $dir/console.log)"
	pagesize_run "$dir" "${2:+kunit.filter_glob=$2}" || :
	tr -d '\r' <"$dir/console.log" >"$dir/console.txt"
	pagesize_judge "$dir/console.txt"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	case ${1:-} in
	4|16|64) pagesize_main "$@" ;;
	*) die "usage: pagesize.sh 4|16|64 [SUITE]" ;;
	esac
fi
