# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# Guests with one program each: those of tools/selftests/machines want a machine of
# their own, and a selftest that is asked for by name gets one.

# Where each of them runs, unless GOALLOC_KERNELS says otherwise, and on what.
declare -A MACHINE_KERNELS=(
	[checkers]="kunit"
	[fragmented]="6.1 6.12"
	[fuzz]="kunit"
	[hog]="6.1 6.12 kunit"
	[numa]="6.12"
	[random]="6.1 6.12 kunit"
	[sweep]="kunit"
)

machine_checkers()
{
	GUEST_CPUS=2
	GUEST_MEMORY=1G
	GUEST_APPEND=kasan_multi_shot
}

machine_fragmented()
{
	GUEST_CPUS=2
	GUEST_MEMORY=512M
}

# Of the kernel parameters those that it does not know become init's environment.
machine_fuzz()
{
	GUEST_CPUS=${KASAN_CPUS:-$GUEST_CPUS}
	GUEST_MEMORY=1536M
	[ "$GUEST_CPUS" -le 4 ] || GUEST_MEMORY=4G	# a worker on each
	GUEST_APPEND="FUZZ_SECONDS=${FUZZ_SECONDS:-100}${SEED:+ SEED=$SEED}"
	GUEST_APPEND+=" FUZZ_TIMES=${FUZZ_TIMES:-100}"
	[ -z "${FUZZ_PROGRAM:-}" ] || printf '%s' "$FUZZ_PROGRAM" >"$GUEST/root/rig/fuzz_program"
	MACHINE_SECONDS=$((${FUZZ_SECONDS:-100} * 4 + 1500))
	echo "RIG_PROGRAM_TIMEOUT=$((MACHINE_SECONDS - 100))" >>"$GUEST/root/rig/conf"
}

machine_hog()
{
	GUEST_CPUS=2
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

# More CPUs than there are: they stop at any instruction. What is freed is zeroed, so
# that an object shows whose memory went back.
machine_random()
{
	local name

	GUEST_CPUS=${GOALLOC_CPUS:-4}
	GUEST_MEMORY=1G
	[ "$1" != kunit ] || GUEST_CPUS=${KASAN_CPUS:-${GOALLOC_CPUS:-2}}
	GUEST_APPEND=init_on_free=1
	for name in {RANDOM,SCRIPT}_{SECONDS,OPS} SHRINK_SECONDS SEED; do
		[ -z "${!name:-}" ] || GUEST_APPEND+=" $name=${!name}"
	done
	MACHINE_SECONDS=$((${RANDOM_SECONDS:-30} + ${SCRIPT_SECONDS:-30} + 1500))
	[ -z "${RANDOM_OPS:-}" ] || MACHINE_SECONDS=$((MACHINE_SECONDS + RANDOM_OPS / 10000))
	echo "RIG_PROGRAM_TIMEOUT=$((MACHINE_SECONDS - 100))" >>"$GUEST/root/rig/conf"
}

# Poison of 2 MiB blocks at each of thousands of points would take most of the time.
machine_sweep()
{
	GUEST_CPUS=2
	GUEST_MEMORY=1G
	GUEST_APPEND="page_poison=0${SWEEP_STEP:+ SWEEP_STEP=$SWEEP_STEP}"
	MACHINE_SECONDS=3600
	echo "RIG_PROGRAM_TIMEOUT=$((MACHINE_SECONDS - 100))" >>"$GUEST/root/rig/conf"
}

# What make is told for those whose module is built in another way.
declare -A MACHINE_MODULE=(
	[fuzz]="KCOV_INSTRUMENT=y CONFIG_KUNIT="
)

# jobs_machines: all that were built, MACHINES.
jobs_machines()
{
	local name kernel

	for name in "${MACHINES[@]}"; do
		for kernel in ${GOALLOC_KERNELS:-${MACHINE_KERNELS[$name]}}; do
			machine_build "$name" "$kernel"
			job "$name-$kernel" "$BUILD/test/$name-$kernel" \
				machine_boot "$name" "$kernel" "machine_$name"
		done
	done
}

# jobs_soak LENGTH: what is random with 8 CPUs, for so many seconds, or until so many
# operations are done: "1000000000ops".  On the KUnit kernel there are no more than two
# for each of the host's: with eight on two, and other guests beside it, it hardly moved.
jobs_soak()
{
	local host

	host=$(nproc)
	GOALLOC_CPUS=8
	KASAN_CPUS=$((host < 4 ? 2 * host : 8))
	case $1 in
	*ops)	RANDOM_OPS=${1%ops} ;;
	*)	RANDOM_SECONDS=$1
		SCRIPT_SECONDS=$(($1 / 10 + 1))
		FUZZ_SECONDS=$1 ;;
	esac
	MACHINE_KERNELS[random]="6.12 kunit"
	jobs_machines
}

# jobs_preempt_machines: what is random, with real preemption.
jobs_preempt_machines()
{
	local GOALLOC_KERNELS="6.1-rt 6.12-rt" name machines=()

	for name in "${MACHINES[@]}"; do
		[ "$name" != random ] || machines+=("$name")
	done
	MACHINES=("${machines[@]}")
	jobs_machines
}

# jobs_selftest NAME
jobs_selftest()
{
	local kernel

	for kernel in ${GOALLOC_KERNELS:-kunit 6.1 6.12}; do
		machine_build "$1" "$kernel"
		job "$1-$kernel" "$BUILD/test/$1-$kernel" machine_boot "$1" "$kernel" :
	done
}

# machine_build PROGRAM KERNEL
machine_build()
{
	local args

	read -r -a args <<<"${MACHINE_MODULE[$1]:-}"
	kernel_use "$2"
	if [ ${#args[@]} -gt 0 ]; then
		module_build "$2-$1" "${args[@]}"
	else
		module_build "$2"
	fi
	selftest_modules_build
}

# machine_boot PROGRAM KERNEL SHAPE: SHAPE is the function that makes the machine
# what it is to be for a kernel; in GUEST_APPEND it may leave kernel parameters, in
# MACHINE_SECONDS how long the guest may take.
machine_boot()
{
	local append=init_on_alloc=0

	GUEST_APPEND=
	MACHINE_SECONDS=1800
	machine_build "$1" "$2"
	guest_make "$BUILD/test/$1-$2" machine RIG_PROGRAM_TIMEOUT=1700
	"$3" "$2"
	guest_add . "$MODULE_DIR/goalloc.ko"
	guest_add modules "${SELFTEST_MODULES[@]}"
	guest_add selftests "$BUILD/tools/selftests/$1"
	[ "$2" != kunit ] || append=page_poison=1
	say "running $1 on $KRELEASE, ${GUEST_CPUS%%,*} CPUs, $GUEST_MEMORY"
	guest_run "${GOALLOC_TIMEOUT:-$MACHINE_SECONDS}" progress "$append $GUEST_APPEND"
	judge "$GUEST" "$1"
}
