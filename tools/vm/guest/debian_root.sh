# shellcheck shell=dash disable=SC1091
# SPDX-License-Identifier: GPL-2.0-only
#
# In Debian's root filesystem: the group and the device's mode as systemd's
# programs make them from tools/udev, then every program of programs.sh under
# glibc's malloc and under goalloc.

. /rig/programs.sh

PRELOAD=/rig/libgoalloc-preload.so
SECONDS_EACH=${RIG_PROGRAM_TIMEOUT:-600}
export INPUT=/tmp/input

# The group is made and the rule is read before the device exists, as after the
# installation of a package.
udev_start()
{
	mkdir -p /usr/lib/sysusers.d /usr/lib/udev/rules.d
	cp /rig/udev/goalloc.conf /usr/lib/sysusers.d/
	cp /rig/udev/60-goalloc.rules /usr/lib/udev/rules.d/
	systemd-sysusers goalloc.conf &&
		getent group goalloc &&
		useradd --create-home --groups goalloc member &&
		useradd --create-home user &&
		/lib/systemd/systemd-udevd --daemon
}

device_mode()
{
	udevadm settle --timeout=30 || return
	ls -l /dev/goalloc
	[ "$(stat -c '%a %U %G' /dev/goalloc)" = '660 root goalloc' ]
}

# as USER COMMAND...
as()
{
	local user=$1
	shift
	setpriv --reuid="$user" --regid="$user" --init-groups \
		--inh-caps=-all --bounding-set=-all --no-new-privs "$@"
}

opens()
{
	as "$1" sh -c ': <>/dev/goalloc'
}

# one SIDE NAME RESULT COMMAND: run it in a directory of its own; what must be
# equal to the other side's goes to /tmp/result.SIDE.
one()
{
	local side=$1 name=$2 result=$3 command=$4 preload='' status=0

	[ "$side" = glibc ] || preload=$PRELOAD
	rm -rf /tmp/work "/tmp/result.$side"
	mkdir /tmp/work && chown member: /tmp/work && cd /tmp/work || return
	/rig/measure /tmp/measured "$SECONDS_EACH" \
		setpriv --reuid=member --regid=member --init-groups \
		env HOME=/home/member ${preload:+LD_PRELOAD="$preload"} \
		sh -c "$command" >out 2>/tmp/errors || status=$?
	"$result" >"/tmp/result.$side"
	sed "s/^/$name\t$side\t/" /tmp/measured >>/tmp/table
	cat /tmp/measured
	tail -n 20 /tmp/errors
	[ "$status" -eq 0 ] || tail -n 20 out
	cd / && rm -rf /tmp/work
	return "$status"
}

# The dynamic linker goes on without a library it cannot load, and a library may
# fall back: then the heaps seen are none.
was_goalloc()
{
	cat /tmp/errors
	tail -n 1 /tmp/table
	[ "$(tail -n 1 /tmp/table | cut -f 8)" -gt 0 ] && ! grep -q 'ld\.so' /tmp/errors
}

same()
{
	[ -s /tmp/result.glibc ] || { echo "there is no result"; return 1; }
	cmp /tmp/result.glibc /tmp/result.goalloc && return
	diff /tmp/result.glibc /tmp/result.goalloc | head -n 40
	return 1
}

# both NAME RESULT COMMAND
both()
{
	kmsg "begin $1"
	check "$1 runs under glibc's malloc" one glibc "$@"
	check "$1 runs under goalloc" one goalloc "$@"
	check "$1 had its memory from goalloc" was_goalloc
	check "$1 gives the same under both" same
	kmsg "end $1"
}

make_inputs()
{
	mkdir "$INPUT" && cd "$INPUT" && inputs && cd / && ls -l "$INPUT"
}

udev_stop()
{
	udevadm control --exit
}

channel_open
kmsg 'start'
check 'systemd-sysusers makes the group, udevd runs' udev_start
check 'insmod goalloc' insmod /goalloc.ko
check 'udev gives group goalloc the device' device_mode
check 'a member of the group opens it' opens member
check 'another user does not' fails opens user
check 'the programs have what they read' make_inputs &&
	programs both
check 'rmmod goalloc' rmmod goalloc
check 'udevd ends' udev_stop
check 'nothing left after rmmod' nothing_left
program table cat /tmp/table || :
finish
