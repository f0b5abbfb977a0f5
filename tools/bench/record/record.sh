#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# record.sh [DIR]: record the traces of tools/bench/traces anew, there or in DIR.
#
# What a program asks for depends on its version and on the machine: the traces in
# the tree are what is measured, and new ones are other traces.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../traces}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# record NAME COMMAND...
record()
{
	local name=$1
	shift
	env -i HOME=/nonexistent PATH=/usr/bin:/bin LANG=C.UTF-8 PYTHONMALLOC=malloc \
		PYTHONHASHSEED=1 GOALLOC_RECORD="$work/$name" LD_PRELOAD="$work/record.so" "$@"
	"$here/show.py" "$work/$name"
	xz -9e --check=crc32 -c "$work/$name" >"$dir/$name.xz"
	stat -c '  %n: %s bytes' "$dir/$name.xz"
}

gcc -std=gnu11 -O2 -Wall -Wextra -Werror -fno-builtin -fPIC -shared -pthread \
	-o "$work/record.so" "$here/record.c"
mkdir -p "$dir"

# The driver only runs others, the compiler proper is what allocates.
gcc -E -I "$here/../../../goalloc/include/uapi" -o "$work/input.i" "$here/../../lib/malloc.c"
record gcc "$(gcc -print-prog-name=cc1)" -quiet -fpreprocessed -O2 -o "$work/output.s" \
	"$work/input.i"
record python3 /usr/bin/python3 -s "$here/words.py" "$here"/../../lib/*.c
