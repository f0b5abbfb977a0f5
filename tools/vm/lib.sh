# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# What every script of the rig begins with: where things are, how a step is
# announced, how an error ends the run.

: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}"
export HOME

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VM=$TOP/tools/vm
BUILD=${GOALLOC_BUILD:-$TOP/build}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/goalloc
JOBS=${GOALLOC_JOBS:-$(nproc)}

# What make of a make above would confuse the makes below.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES KBUILD_OUTPUT

SECONDS=0

# say TEXT: one step, with the time since the start.
say()
{
	printf '[%3d s] %s\n' "$SECONDS" "$*"
}

# note TEXT: something that belongs to the step above.
note()
{
	printf '        %s\n' "$*"
}

die()
{
	printf '[%3d s] error: %s\n' "$SECONDS" "$*" >&2
	exit 1
}

# logged FILE COMMAND...: run quietly; show the end of FILE if it fails.
logged()
{
	local log=$1
	shift
	mkdir -p "$(dirname "$log")"
	if ! "$@" >"$log" 2>&1 </dev/null; then
		tail -n 40 "$log" >&2
		die "$1 failed, see $log"
	fi
}

# cache_lock NAME: hold a lock of the cache until this process ends, so that
# two runs do not build the same kernel at the same time.
cache_lock()
{
	mkdir -p "$CACHE"
	exec {cache_lock_fd}>"$CACHE/.lock-$1"
	if ! flock -n "$cache_lock_fd"; then
		note "waiting for another run that prepares $1"
		flock "$cache_lock_fd"
	fi
}

cache_unlock()
{
	exec {cache_lock_fd}>&-
}
