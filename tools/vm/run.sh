#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make run: goalloc on a stock Debian kernel, seen working.

# shellcheck source-path=SCRIPTDIR
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$VM/packages.sh"
. "$VM/kernel.sh"
. "$VM/module.sh"
. "$VM/guest.sh"

# show PID: what the programs print, without the rig's own lines.
show()
{
	local line shown='' blank=0

	guest_follow "$1" "$GUEST/channel.log" | while IFS= read -r line; do
		case $line in
		"rig-$GUEST_NONCE begin demo")
			shown=yes blank=0 ;;
		"rig-$GUEST_NONCE "*)
			shown= ;;
		'')
			blank=$((blank + 1)) ;;
		*)
			[ -n "$shown" ] || continue
			for (( ; blank > 0; blank--)); do
				echo
			done
			printf '        %s\n' "$line" ;;
		esac
	done
}

packages_need "${GUEST_PACKAGES[@]}"
kernel_use 6.12
module_build 6.12
tool_build
guest_make "$BUILD/run" run
guest_add . "$MODULE_DIR/goalloc.ko"
guest_add bin "$BUILD/tools/goallocctl"
say "booting Debian's $KRELEASE in QEMU, loading goalloc.ko, running goallocctl demo"
guest_run "${GOALLOC_TIMEOUT:-600}" show

say "what the kernel said about it (all of it: $GUEST/console.log)"
grep -a 'goalloc: ' "$GUEST/console.log" | tr -d '\r' | sed 's/^/        /' || :
say "looking back: module loaded and unloaded, nothing left, no warning in the log"
if ! "$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" demo; then
	say "FAILED; logs are in $GUEST"
	exit 1
fi
say "all held"
