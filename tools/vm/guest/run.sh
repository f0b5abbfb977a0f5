# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# make run: the demonstration, and nothing left of it afterwards.

channel_open
kmsg 'start'
check 'the module loads' insmod /goalloc.ko &&
	program demo goallocctl demo
check 'the module unloads' unload goalloc
check 'nothing of it is left' nothing_left
finish
