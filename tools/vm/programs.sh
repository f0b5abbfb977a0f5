# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make programs: real programs from a Debian root filesystem, each under glibc's
# malloc and under goalloc.  What runs is in guest/programs.sh.

# test_programs: boot, run and judge; the table is kept beside the guest's logs.
test_programs()
{
	if [ ! -e "$TOP/tools/lib/preload.c" ]; then
		note "no preload library yet: no programs"
		return
	fi
	rootfs_use
	kernel_use 6.12
	module_build 6.12
	library_build
	say "building what measures the programs"
	logged "$BUILD/log/measure.log" tool_compile "$BUILD/tools/measure" \
		"$VM/guest/measure.c"
	guest_make "$BUILD/programs" debian
	# shellcheck disable=SC2034 # guest_qemu's
	GUEST_MEMORY=2G GUEST_DEVICES=(
		-drive "file=$ROOTFS,format=raw,if=none,id=root,snapshot=on"
		-device "nvme,drive=root,serial=root")
	mkdir -p "$GUEST/root/rig/udev" "$GUEST/root/rig/input"
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add rig "$BUILD/tools/measure" "$BUILD/lib/libgoalloc-preload.so"
	guest_add rig/udev "$TOP"/tools/udev/*
	cp -rL "$TOP/tools/goallocctl" "$TOP/goalloc/include/uapi" "$GUEST/root/rig/input/"
	say "running programs in Debian 12 on $KRELEASE, under glibc's malloc and under goalloc"
	guest_run "${GOALLOC_TIMEOUT:-1500}" progress
	judge "$GUEST"
	"$VM/programs.py" --nonce "$GUEST_NONCE" "$GUEST" ||
		note "there is no table"
}
