# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2207 # words without blanks, by design
#
# Completion of goallocctl for bash: source this file, or install it as
# goallocctl in /usr/share/bash-completion/completions.  Commands and options
# are those that the tool itself tells of in its help.

_goallocctl_commands()
{
	goallocctl --help 2>/dev/null | awk '/^  [a-z]/ { print $1 }'
}

_goallocctl_options()
{
	goallocctl "$1" --help 2>/dev/null |
		awk '/^  -/ { print substr($1, 1, 2); print $2 }'
}

_goallocctl_heaps()
{
	goallocctl heaps 2>/dev/null | awk 'NR > 1 { print $1; if ($2 !~ /:/) print $2 }'
}

# Processes that have a heap open.
_goallocctl_pids()
{
	goallocctl heaps 2>/dev/null | awk 'NR > 1 && $NF != "-" { print $NF }'
}

# _goallocctl_values COMMAND OPTION: what may follow; nothing if anything may.
_goallocctl_values()
{
	case $2 in
	-H | --heap) _goallocctl_heaps ;;
	-p | --pid) _goallocctl_pids ;;
	--limit | --max | --gc-percent) echo none ;;
	--state) echo cached partial full held ;;
	--class) echo tiny large exact ;;
	-s | --sort)
		case $1 in
		spans) echo address pages class live use free ;;
		top) echo id name pid objects alloc inuse idle released held mallocs frees ;;
		esac
		;;
	esac
}

# Whether an option has an argument.
_goallocctl_takes()
{
	goallocctl "$1" --help 2>/dev/null | awk -v option="$2" '
		/^  -/ && ($2 == option || $1 == option ",") {
			found = $3 ~ /^[A-Z]/
		}
		END { exit !found }
	'
}

_goallocctl()
{
	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]-}

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "$(_goallocctl_commands) help --help" -- "$current"))
	elif [ "$command" = help ]; then
		COMPREPLY=($(compgen -W "$(_goallocctl_commands)" -- "$current"))
	elif [[ $before == -* ]] && _goallocctl_takes "$command" "$before"; then
		COMPREPLY=($(compgen -W "$(_goallocctl_values "$command" "$before")" -- "$current"))
		if [ "$command" = map ] && [[ $before == -s || $before == --svg ]]; then
			compopt -o filenames
			COMPREPLY=($(compgen -f -- "$current"))
		fi
	elif [[ $current == -* ]]; then
		COMPREPLY=($(compgen -W "$(_goallocctl_options "$command")" -- "$current"))
	elif [ "$command" = script ]; then
		compopt -o filenames
		COMPREPLY=($(compgen -f -- "$current"))
	elif [ "$command" = scavenge ]; then
		COMPREPLY=($(compgen -W all -- "$current"))
	elif [ "$command" = limit ]; then
		COMPREPLY=($(compgen -W none -- "$current"))
	fi
}

complete -F _goallocctl goallocctl
