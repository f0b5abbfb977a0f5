#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh [SECONDS]: a heap through a day's load in a virtual machine, on Debian's 6.12,
# and a diagram of it. An hour of the day takes 5 seconds, or what is given. The log and
# the diagram are put into $BUILD/heapday.

# shellcheck source-path=SCRIPTDIR/../vm
set -euo pipefail
. "$(dirname "$0")/../vm/lib.sh"
. "$VM/packages.sh"
. "$VM/kernel.sh"
. "$VM/module.sh"
. "$VM/guest.sh"

HERE=$TOP/tools/heapday
hour=${1:-5}

# show PID: the parts of the day as they begin.
show()
{
	guest_follow "$1" "$GUEST/channel.log" | sed -un 's/^phase [0-9.]* /        /p'
}

# facts: what ran, for the head of the diagram.
facts()
{
	echo "kernel Debian's $KRELEASE"
	echo "machine QEMU, ${GOALLOC_CPUS:-2} emulated CPUs, ${GOALLOC_MEMORY:-1G}"
}

packages_need "${GUEST_PACKAGES[@]}"
kernel_use 6.12
module_build 6.12
mkdir -p "$BUILD/tools"
logged "$BUILD/log/heapday.log" \
	tool_compile "$BUILD/tools/day" -I "$TOP/tools/selftests" "$HERE/day.c"
guest_make "$BUILD/heapday" heapday "HEAPDAY_HOUR=$hour"
guest_add . "$MODULE_DIR/goalloc.ko"
guest_add bin "$BUILD/tools/day"
guest_add rig/heapday.sh "$HERE/guest.sh"
say "a day on Debian's $KRELEASE, an hour takes $hour s"
guest_run "${GOALLOC_TIMEOUT:-300}" show init_on_alloc=0
"$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" day >"$GUEST/judge.log" || {
	cat "$GUEST/judge.log"
	die "the day did not come to its end; logs are in $GUEST"
}
facts | cat - "$GUEST/day.tap" >"$GUEST/day.txt"
"$HERE/draw.py" "$GUEST/day.txt" "$GUEST/heapday.svg"
say "the log is $GUEST/day.txt, the diagram $GUEST/heapday.svg"
