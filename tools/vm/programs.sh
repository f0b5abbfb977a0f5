# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make programs: real programs from a Debian root filesystem, each under glibc's
# malloc and under goalloc.  What runs is in guest/programs.sh.

# test_programs: boot, run and judge; the table is kept beside the guest's logs.
test_programs()
{
	local judged=()

	rootfs_use
	kernel_use 6.12
	module_build 6.12
	say "building what measures the programs"
	logged "$BUILD/log/measure.log" tool_compile "$BUILD/tools/measure" \
		"$VM/guest/measure.c"
	guest_make "$BUILD/programs" debian
	# shellcheck disable=SC2034 # guest_qemu's
	GUEST_MEMORY=${GOALLOC_MEMORY:-2G} GUEST_DEVICES=(
		-drive "file=$ROOTFS,format=raw,if=none,id=root,snapshot=on"
		-device "nvme,drive=root,serial=root")
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add rig "$BUILD/tools/measure" "$TOP/Documentation/example/words.c"
	mkdir -p "$GUEST/root/rig/input"
	cp -rL "$TOP/tools/goallocctl" "$TOP/goalloc/include/uapi" "$GUEST/root/rig/input/"
	programs_install "$GUEST/root/install"
	if [ -e "$BUILD/lib/tests/bin/preload" ]; then
		cp -r "$BUILD/lib/tests/bin" "$GUEST/root/rig/preload"
		judged=(lib_preload)
	fi
	say "running programs in Debian 12 on $KRELEASE, under glibc's malloc and under goalloc"
	guest_run "${GOALLOC_TIMEOUT:-3000}" progress
	judge "$GUEST" "${judged[@]}"
	"$VM/programs.py" --nonce "$GUEST_NONCE" "$GUEST" ||
		note "there is no table"
}

# programs_install DIR: what a user of the checkout installs, as Debian would.
programs_install()
{
	say "installing to a directory, for the guest"
	logged "$BUILD/log/install.log" make -C "$TOP" install BUILDDIR="$BUILD/install" \
		DESTDIR="$1" PREFIX=/usr
}
