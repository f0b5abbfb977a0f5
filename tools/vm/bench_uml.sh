# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The part of make bench that takes time: nanoseconds, natively under User-Mode Linux,
# a kernel that is a program of this machine (see uml.config). bench.sh sources this
# and calls measure_uml.
#
# It boots UML_BOOTS times. Each boot measures in both orders; of the boots the middle
# one counts, row by row and ratio by ratio. Leaves $BENCH/uml.rows.tsv,
# uml.targets.tsv, and what the guests said in $BENCH/uml/<boot>.
#
# QUICK=1 measures a few sizes in one boot.

UML_BOOTS=3

# What it has is a file in memory, which it maps, also to execute from.
UML_MEMORY=512

# uml_memory_dir: a directory for that file with room for it.  In a container /dev/shm
# may be small, and must not hold programs.
uml_memory_dir()
{
	local dir room

	for dir in /dev/shm "${TMPDIR:-/tmp}" "$BENCH"; do
		room=$(df -Pm "$dir" 2>/dev/null | awk 'NR == 2 { print $4 }')
		[ "${room:-0}" -gt $((UML_MEMORY * 5 / 4)) ] || continue
		if uml_may_execute "$dir"; then
			echo "$dir"
			return
		fi
	done
	die "no room for a file of $UML_MEMORY MiB that may be executed from"
}

uml_may_execute()
{
	local program status=0

	program=$(mktemp "$1/goalloc-XXXXXX" 2>/dev/null) || return 1
	cp "$(type -P true)" "$program" && chmod 700 "$program" &&
		"$program" 2>/dev/null || status=1
	rm -f "$program"
	return "$status"
}

# uml_linux: become the kernel.  Its second serial line is the channel to the host.
uml_linux()
{
	ulimit -c 0
	exec env TMPDIR="$UML_DIR" "$KIMAGE" "mem=${UML_MEMORY}M" \
		"initrd=$GUEST/initramfs.gz" "uml_dir=$GUEST/" \
		con=null con0=null,fd:1 ssl=null ssl1=null,fd:4 ignore_loglevel
}

# uml_run SECONDS: as guest_run, without QEMU.
uml_run()
{
	local limit=$1 uml shown watchdog status=0

	guest_initramfs
	: >"$GUEST/console.log"
	(uml_linux >"$GUEST/console.log" 2>"$GUEST/uml.log" </dev/null \
		4>"$GUEST/channel.log") &
	uml=$!
	progress "$uml" &
	shown=$!
	# Without its first process, the others of the kernel die by themselves.
	# shellcheck disable=SC2064 # these two, now
	trap "kill -KILL $uml 2>/dev/null || :; kill $shown 2>/dev/null || :" EXIT
	guest_watchdog "$limit" "$uml" >/dev/null 2>&1 &
	watchdog=$!
	wait "$uml" || status=$?
	kill "$watchdog" 2>/dev/null || :
	wait "$watchdog" 2>/dev/null || :
	wait "$shown" || :
	trap - EXIT
	# Sometimes a timer still fires in a kernel that has taken itself down, and the
	# program aborts.  What it had to say is said by then, or the judge will miss it.
	if [ "$status" -gt 128 ] && tail -n 1 "$GUEST/console.log" | grep -q 'Power down'; then
		status=0
	fi
	[ ! -e "$GUEST/timeout" ] || status="timeout after $limit s"
	echo "$status" >"$GUEST/qemu.status"
}

# uml_boot NUMBER
uml_boot()
{
	guest_make "$BENCH/uml/$1" uml "RIG_QUICK=$QUICK"
	guest_add . "$MODULE_DIR/goalloc.ko" "${BENCH_MODULES[@]}"
	say "measuring under User-Mode Linux $KRELEASE, boot $1"
	uml_run "${GOALLOC_TIMEOUT:-300}"
	"$VM/judge.py" --plain --nonce "$GUEST_NONCE" "$GUEST" speed-{first,second} \
		>"$GUEST/judge.log" || {
		cat "$GUEST/judge.log"
		die "could not measure under User-Mode Linux; logs are in $GUEST"
	}
}

measure_uml()
{
	local boot boots=$UML_BOOTS

	[ -z "$QUICK" ] || boots=1
	kernel_use uml
	module_build uml "${KMAKE[@]}"
	bench_module_build goalloc_speed_bench
	UML_DIR=$(uml_memory_dir)
	mkdir -p "$BENCH/uml"
	for ((boot = 1; boot <= boots; boot++)); do
		uml_boot "$boot"
	done
	echo "User-Mode Linux $KRELEASE" >"$BENCH/uml/release"
	"$TOP/tools/bench/uml_report.py" "$BENCH" "$boots" | tee "$BENCH/uml.table.txt"
}
