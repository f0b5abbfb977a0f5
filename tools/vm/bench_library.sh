# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: malloc() in a process, libgoalloc's and glibc's, in instructions on
# Debian's 6.1 and 6.12; sourced by bench.sh.

# library_guest SERIES: boot and measure. Rows are in $BENCH/library/<series>/*.tap.
library_guest()
{
	local programs=({glibc,goalloc,mmap}-{first,second}) loader libc

	kernel_use "$1"
	module_build "$1"
	mkdir -p "$BENCH/library"
	guest_make "$BENCH/library/$1" library
	# shellcheck disable=SC2034 # guest_qemu's
	GUEST_DEVICES=(-icount 'shift=0,sleep=off')
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add bin "$BUILD/tools/bench/library"
	# The C library is this machine's, as the program is.
	loader=$(ldd "$BUILD/tools/bench/library" | sed -n 's/^\s*\(\/\S*ld-linux\S*\).*/\1/p')
	libc=$(ldd "$BUILD/tools/bench/library" | sed -n 's/^\s*libc\.so\.6 => \(\S*\).*/\1/p')
	mkdir -p "$GUEST/root/$(dirname "$loader")" "$GUEST/root/$(dirname "$libc")"
	cp -L "$loader" "$GUEST/root/$loader"
	cp -L "$libc" "$GUEST/root/$libc"
	guest_add . "$BUILD/lib/libgoalloc-preload.so"
	say "measuring malloc() on Debian's $KRELEASE"
	guest_run "${GOALLOC_TIMEOUT:-600}" progress "$APPEND"
	"$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" "${programs[@]}" \
		>"$GUEST/judge.log" || {
		cat "$GUEST/judge.log"
		grep -hs '^library: ' "$GUEST"/*.tap >&2 || :
		die "could not measure malloc() on $KRELEASE; logs are in $GUEST"
	}
}

# measure_library: rows and a table to $BENCH, the table to stdout too.
measure_library()
{
	library_build
	mkdir -p "$BUILD/tools/bench"
	logged "$BUILD/log/bench-library.log" gcc -std=gnu11 -O2 -Wall -Wextra -Werror \
		-o "$BUILD/tools/bench/library" "$TOP/tools/bench/library.c"
	library_guest 6.1
	library_guest 6.12
	"$TOP/tools/bench/library_report.py" "$BENCH" 6.1 6.12 | tee "$BENCH/library.table.txt"
}
