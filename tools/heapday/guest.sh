# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's part of run.sh.

channel_open
kmsg 'start'
check 'the module loads' insmod /goalloc.ko &&
	program day day "$HEAPDAY_HOUR"
check 'the module unloads' rmmod goalloc
check 'nothing of it is left' nothing_left
finish
