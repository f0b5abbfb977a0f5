# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: malloc() in a process, the C library's and ours, in both orders.

channel_open
kmsg 'start'
check 'insmod goalloc' insmod /goalloc.ko
echo never >/sys/kernel/mm/transparent_hugepage/enabled

# goalloc PROGRAM [backwards]
goalloc()
{
	local program=$1
	shift
	program "$program" env GOALLOC_PRELOAD=strict \
		LD_PRELOAD=/libgoalloc-preload.so library goalloc "$@"
}

program glibc-first library glibc
goalloc goalloc-first
program mmap-first library mmap
program mmap-second library mmap backwards
goalloc goalloc-second backwards
program glibc-second library glibc backwards
check 'rmmod goalloc' rmmod goalloc
finish
