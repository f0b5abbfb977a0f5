# shellcheck shell=dash disable=SC1091
# SPDX-License-Identifier: GPL-2.0-only
#
# In Debian's root filesystem, with goalloc installed by make install: the group
# and the device's mode as systemd's programs make them from the installed rules,
# a program built with the installed library, then every program of programs.sh
# under glibc's malloc and under goalloc.

. /rig/programs.sh

PRELOAD=/usr/lib/libgoalloc-preload.so
SECONDS_EACH=${RIG_PROGRAM_TIMEOUT:-1200}
export INPUT=/tmp/input

# The group is made and the rule is read before the device exists, as after the
# installation of a package.
udev_start()
{
	systemd-sysusers goalloc.conf &&
		getent group goalloc &&
		useradd --create-home --groups goalloc member &&
		useradd --create-home user &&
		/lib/systemd/systemd-udevd --daemon
}

device_mode()
{
	udevadm settle --timeout=120 || return
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

# built_and_runs FLAG...: the tutorial's program, built as the library's users
# build theirs, counts its own words.
built_and_runs()
{
	# shellcheck disable=SC2046 # words
	gcc -Wall -Wextra -Werror -o /tmp/words /rig/words.c "$@" \
		$(pkg-config --cflags --libs goalloc) &&
		as member /tmp/words </rig/words.c >/tmp/words.out || return
	tail -n 3 /tmp/words.out
	tail -n 1 /tmp/words.out | grep -qE '^[0-9]+ words'
}

# stressed [COMMAND...]: stress-ng's stressor for devices, of which it knows nothing,
# on ours; run by that command.  It counts rounds, and one is not done in vain.
stressed()
{
	local status=0

	(cd /tmp && "$@" stress-ng --dev 2 --dev-file /dev/goalloc --timeout 12s \
		--metrics-brief --temp-path /tmp) >/tmp/stress-ng 2>&1 || status=$?
	cat /tmp/stress-ng
	[ "$status" -eq 0 ] &&
		awk '/metrc:.* dev / && $5 > 0 { done = 1 } END { exit !done }' /tmp/stress-ng
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
		env HOME=/home/member \
		${preload:+LD_PRELOAD="$preload" GOALLOC_PRELOAD=strict} \
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
check 'a program builds with the installed library and runs' built_and_runs
check 'the same, linked statically' built_and_runs -static
check 'stress-ng has the device as root' stressed
check 'stress-ng has the device as a member of the group' stressed as member
[ ! -e /rig/preload ] || program lib_preload \
	env -C /rig/preload LD_PRELOAD="$PRELOAD" ./preload
check 'the programs have what they read' make_inputs &&
	programs both
check 'rmmod goalloc' unload goalloc
check 'udevd ends' udev_stop
check 'nothing left after rmmod' nothing_left
program table cat /tmp/table || :
finish
