# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0-only
#
# Guests side by side: most of the time one of them keeps one of its CPUs busy, so as
# many run as there are CPUs here, four at most.  What a job prints is shown when it has
# ended, so that it can be read; as it comes it is in build/test/<job>.out.

JOBS_AT_ONCE=${GOALLOC_GUESTS:-$(($(nproc) < 4 ? $(nproc) : 4))}

JOB_NAMES=()
JOB_DIRS=()
JOB_COMMANDS=()

# job NAME DIR COMMAND...: to be run by jobs_run, which reads DIR/counts then.
job()
{
	JOB_NAMES+=("$1")
	JOB_DIRS+=("$2")
	shift 2
	JOB_COMMANDS+=("$(printf '%q ' "$@")")
}

# jobs_run: all of them, in this order as there is room; adds them up.
jobs_run()
{
	local -A job_of=()
	local i next=0 n=${#JOB_NAMES[@]} pid

	say "$n guests, $JOBS_AT_ONCE at a time"
	mkdir -p "$BUILD/test"
	trap 'kill "${!job_of[@]}" 2>/dev/null || :' EXIT
	while [ "$next" -lt "$n" ] || [ "${#job_of[@]}" -gt 0 ]; do
		while [ "$next" -lt "$n" ] && [ "${#job_of[@]}" -lt "$JOBS_AT_ONCE" ]; do
			note "[$SECONDS s] begins: ${JOB_NAMES[next]}"
			job_run "$next" >"$BUILD/test/${JOB_NAMES[next]}.out" 2>&1 </dev/null &
			job_of[$!]=$next
			next=$((next + 1))
		done
		# The counts say how it went.
		pid=
		wait -n -p pid "${!job_of[@]}" || :
		[ -n "$pid" ] || die "a job was lost"
		i=${job_of[$pid]}
		unset "job_of[$pid]"
		cat "$BUILD/test/${JOB_NAMES[i]}.out"
		job_count "$i"
	done
	trap - EXIT
}

# job_run NUMBER: counts of a run before it say nothing about this one.
job_run()
{
	rm -f "${JOB_DIRS[$1]}/counts"
	eval "${JOB_COMMANDS[$1]}"
}

# job_count NUMBER: a job without counts has failed.
job_count()
{
	local p=0 f=1 s=0

	[ ! -e "${JOB_DIRS[$1]}/counts" ] || read -r p f s <"${JOB_DIRS[$1]}/counts"
	[ -n "$s" ] || s=0
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + s))
}
