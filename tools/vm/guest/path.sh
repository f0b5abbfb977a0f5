# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: which instructions the hot path has. QEMU writes down what runs;
# tools/bench/listing.py wants to know where that was.

channel_open
kmsg 'start'
check 'insmod goalloc' insmod /goalloc.ko
check 'goalloc_speed_bench measures' insmod /goalloc_speed_bench.ko path=1
program speed-path cat /sys/kernel/debug/goalloc_speed_bench
program sections grep -H . /sys/module/goalloc/sections/.text \
	/sys/module/goalloc_speed_bench/sections/.text
rmmod goalloc_speed_bench
check 'rmmod goalloc' rmmod goalloc
finish
