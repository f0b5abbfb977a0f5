#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make shell: the guest of make run, with a shell in it.

# shellcheck source-path=SCRIPTDIR
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$VM/packages.sh"
. "$VM/kernel.sh"
. "$VM/module.sh"
. "$VM/guest.sh"

packages_need "${GUEST_PACKAGES[@]}"
kernel_use 6.12
module_build 6.12
tools_build
library_build
words_build
guest_make "$BUILD/shell" shell
guest_add . "$MODULE_DIR/goalloc.ko"
guest_add bin "$BUILD/tools/goallocctl" "$BUILD/tools/words"
for selftest in "${SELFTESTS[@]}"; do
	guest_add selftests "$BUILD/tools/selftests/$selftest"
done
guest_initramfs
say "booting Debian's $KRELEASE; Ctrl-A x ends it"
guest_qemu "quiet" -serial mon:stdio
