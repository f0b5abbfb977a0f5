# shellcheck shell=dash disable=SC1090,SC1091
# SPDX-License-Identifier: GPL-2.0-only
#
# From the initramfs into Debian's root filesystem: the rig goes along, and init
# goes on there with debian_root.sh.

root=/dev/nvme0n1
tries=0
until [ -b "$root" ] || [ "$tries" -ge 100 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
mkdir -p /new
mount -t ext4 "$root" /new
mkdir -p /new/rig/bin
cp -r /rig /goalloc.ko /new/
cp -r /install/. /new/
cp /bin/busybox /new/rig/bin/
for dir in /proc /sys /dev; do
	mount --move "$dir" "/new$dir"
done
umount /tmp
mount -t tmpfs -o mode=1777 tmpfs /new/tmp
mount -t tmpfs tmpfs /new/run
exec switch_root /new /bin/sh /rig/debian_init
