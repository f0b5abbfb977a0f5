# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# Guests with one program each: those of tools/selftests/machines want a machine of
# their own, and a selftest that is asked for by name gets one.

# Where each of them runs, unless GOALLOC_KERNELS says otherwise, and on what.
declare -A MACHINE_KERNELS=(
	[fragmented]="6.1 6.12"
	[hog]="6.1 6.12 kunit"
	[numa]="6.12"
)

machine_fragmented()
{
	GUEST_MEMORY=512M
}

machine_hog()
{
	GUEST_MEMORY=512M
	# KASAN takes its part.
	[ "$1" != kunit ] || GUEST_MEMORY=640M
}

machine_numa()
{
	GUEST_CPUS=4,sockets=2	# a node is a socket
	GUEST_MEMORY=1G
	GUEST_DEVICES=(
		-object "memory-backend-ram,id=m0,size=512M"
		-object "memory-backend-ram,id=m1,size=512M"
		-numa "node,nodeid=0,memdev=m0,cpus=0-1"
		-numa "node,nodeid=1,memdev=m1,cpus=2-3")
}

# test_machines: all that were built, MACHINES.
test_machines()
{
	local name kernel

	for name in "${MACHINES[@]}"; do
		for kernel in ${GOALLOC_KERNELS:-${MACHINE_KERNELS[$name]}}; do
			machine_boot "$name" "$kernel" "$BUILD/test/$name-$kernel" "machine_$name"
		done
	done
}

# test_selftest NAME
test_selftest()
{
	local kernel

	for kernel in ${GOALLOC_KERNELS:-kunit 6.1 6.12}; do
		machine_boot "$1" "$kernel" "$BUILD/test/$1-$kernel" :
	done
}

# machine_boot PROGRAM KERNEL DIR SHAPE: SHAPE is the function that makes the machine
# what it is to be for a kernel.
machine_boot()
{
	local append=init_on_alloc=0

	kernel_use "$2"
	module_build "$2"
	selftest_modules_build
	guest_make "$3" machine RIG_PROGRAM_TIMEOUT=600
	"$4" "$2"
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add modules "${SELFTEST_MODULES[@]}"
	guest_add selftests "$BUILD/tools/selftests/$1"
	[ "$2" != kunit ] || append=page_poison=1
	say "running $1 on $KRELEASE, ${GUEST_CPUS%%,*} CPUs, $GUEST_MEMORY"
	guest_run "${GOALLOC_TIMEOUT:-900}" progress "$append"
	judge "$GUEST" "$1"
}
