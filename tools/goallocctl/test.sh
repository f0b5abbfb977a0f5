#!/bin/sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
#
# Tests goallocctl where the module is loaded, as root.  TAP on standard output.
# Written for busybox.

dir=$(mktemp -d /tmp/goallocctl.XXXXXX) || exit 1
out=$dir/out
err=$dir/err
json=$dir/json
holder=

cleanup()
{
	release
	rm -rf "$dir"
}
trap cleanup EXIT

# note TEXT...: why a test failed.
note()
{
	echo "# $*"
}

# run STATUS ARGUMENT...: goallocctl with these, its output in $out and $err; fails
# if it does not exit with STATUS.
run()
{
	local wanted=$1 status=0
	shift
	goallocctl "$@" >"$out" 2>"$err" </dev/null || status=$?
	[ "$status" -eq "$wanted" ] && return
	note "goallocctl $*: exit status $status, not $wanted"
	sed 's/^/#   /' "$err"
	return 1
}

# says FILE PATTERN: whether a line of it matches.
says()
{
	grep -qE -- "$2" "$1" && return
	note "nothing matches $2:"
	head -n 8 "$1" | sed 's/^/#   /'
	return 1
}

silent()
{
	[ ! -s "$1" ] && return
	note "expected nothing:"
	head -n 8 "$1" | sed 's/^/#   /'
	return 1
}

# is WORD WORD WHAT
is()
{
	[ "$1" = "$2" ] && return
	note "$3: $1, not $2"
	return 1
}

# at_least NUMBER NUMBER WHAT
at_least()
{
	[ "$1" -ge "$2" ] 2>/dev/null && return
	note "$3: $1, less than $2"
	return 1
}

# Takes JSON apart, a document a line: "path value" lines with the number of the
# document in front, and how many there were.  Fails at what is no JSON.
flatten()
{
	awk '
	function fail(why)
	{
		print "# line " NR ": " why ": " substr(rest, 1, 40)
		bad = 1
		exit 1
	}
	function blank()
	{
		sub(/^[ \t]+/, "", rest)
	}
	function token(pattern, what,    text)
	{
		blank()
		if (!match(rest, pattern))
			fail("no " what)
		text = substr(rest, 1, RLENGTH)
		rest = substr(rest, RLENGTH + 1)
		return text
	}
	function string()
	{
		return token("^\"([^\"\\\\[:cntrl:]]|\\\\[\"\\\\/bfnrt]|" \
			     "\\\\u[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F])*\"", "string")
	}
	function members(path, n, key)
	{
		blank()
		for (n = 0; !(n == 0 && rest ~ /^[}]/); n++) {
			key = string()
			gsub(/"/, "", key)
			if ((path "." key) in seen)
				fail("twice " key)
			seen[path "." key] = 1
			token("^:", "colon")
			value(path "." key)
			blank()
			if (rest !~ /^,/)
				break
			token("^,", "comma")
		}
		token("^[}]", "end of an object")
	}
	function elements(path, n)
	{
		blank()
		for (n = 0; !(n == 0 && rest ~ /^[]]/); n++) {
			value(path "." n)
			blank()
			if (rest !~ /^,/) {
				n++
				break
			}
			token("^,", "comma")
		}
		token("^[]]", "end of an array")
		print path ".length " n
	}
	function value(path,    text)
	{
		blank()
		if (rest ~ /^[{]/) {
			token("^[{]", "object")
			members(path)
		} else if (rest ~ /^[[]/) {
			token("^[[]", "array")
			elements(path)
		} else if (rest ~ /^"/) {
			text = string()
			print path " " substr(text, 2, length(text) - 2)
		} else {
			print path " " token("^(true|false|null|-?(0|[1-9][0-9]*)" \
					     "(\\.[0-9]+)?([eE][-+]?[0-9]+)?)", "value")
		}
	}
	{
		rest = $0
		value(NR - 1)
		blank()
		if (rest != "")
			fail("more behind it")
	}
	END {
		if (bad || !NR)
			exit 1
		print "documents " NR
	}
	' "$1"
}

# run_json STATUS ARGUMENT...: the same with JSON, taken apart in $json.
run_json()
{
	run "$@" || return
	flatten "$out" >"$json" && return
	note "goallocctl $*: no JSON"
	grep '^#' "$json"
	return 1
}

# get PATH: of the first document.
get()
{
	local path value

	while read -r path value; do
		if [ "$path" = "0.$1" ]; then
			echo "$value"
			return
		fi
	done <"$json"
}

# A heap that another process has open: statements go to it by "tell", answers
# come back.  Sets $holder, and $fd and $id of the heap.
hold()
{
	local file key value

	[ -p "$dir/in" ] || mkfifo "$dir/in" "$dir/answers" || return
	goallocctl script <"$dir/in" >"$dir/answers" 2>&1 &
	holder=$!
	exec 7>"$dir/in" 8<"$dir/answers"
	: >"$dir/held"
	tell 'alloc 100 = a' && tell 'alloc 7 = t' && tell 'alloc 3M = big' || return
	for file in /proc/"$holder"/fdinfo/*; do
		while read -r key value; do
			[ "$key" = heap-id: ] && id=$value && fd=${file##*/} && return
		done <"$file"
	done
	note "fdinfo tells of no heap"
	return 1
}

# tell STATEMENT: and take the line that answers it.
tell()
{
	local line

	echo "$1" >&7
	while read -r line <&8; do
		echo "$line" >>"$dir/held"
		case $line in
		'> '*) ;;
		*) return ;;
		esac
	done
	note "no answer to: $1"
	return 1
}

release()
{
	[ -n "$holder" ] || return 0
	exec 7>&- 8<&-
	wait "$holder"
	holder=
}

# quiet: the background gives nothing back until the test has ended.
percent=/sys/module/goalloc/parameters/scavenge_percent
percent_was=
quiet()
{
	percent_was=$(cat "$percent") && echo 0 >"$percent"
}

quiet_no_more()
{
	[ -z "$percent_was" ] || echo "$percent_was" >"$percent"
	percent_was=
}

commands='heaps stat top classes spans map limit scavenge alloc free query script info
	demo bench'

# The tests.

test_help()
{
	local command line

	run 0 --help && silent "$err" || return
	for command in $commands; do
		says "$out" "^  $command " || return
	done
	for command in $commands; do
		run 0 "$command" --help && silent "$err" || return
		read -r line <"$out"
		case $line in
		"Usage: goallocctl $command "*) ;;
		*) note "help of $command: $line"; return 1 ;;
		esac
	done
	run 0 limit --help && cp "$out" "$dir/help" && run 0 help limit && cmp "$out" "$dir/help" &&
		says "$out" '^  -m, --max BYTES\|none '
}

# wrong ARGUMENT...: is told, with nothing done.
wrong()
{
	local what advice

	run 2 "$@" && silent "$out" || return
	{
		read -r what
		read -r advice
	} <"$err"
	case "$what
$advice" in
	goallocctl*:\ ?*"
Try: goallocctl "*--help) return ;;
	esac
	note "goallocctl $*: $what"
	return 1
}

test_usage()
{
	run 2 && wrong frobnicate && wrong --frobnicate &&
		wrong alloc && wrong alloc many && wrong alloc --count && wrong alloc --cuont 3 1 &&
		wrong alloc -x 1 && wrong alloc --count x 1 && wrong alloc --align 1Q 1 &&
		wrong alloc --fill 256 1 && wrong alloc 99999999999999999999 &&
		wrong free 0xc000000000 && wrong free --heap 1 && wrong free --heap 1 here &&
		wrong query 0xc000000000 && wrong stat now && wrong stat 1 0 && wrong stat 1 2 3 &&
		wrong heaps all && wrong top --sort taste && wrong top --delay 0 &&
		wrong spans --sort taste && wrong spans --state solid && wrong spans --class 68 &&
		wrong map --cell 3 && wrong map --row 5 && wrong limit much &&
		wrong limit 1M --limit 2M && wrong scavenge some && wrong demo --objects 5 &&
		wrong bench --runs 0 && wrong bench --size 0
}

test_nearest()
{
	wrong statt && says "$err" 'did you mean "stat"\?' &&
		wrong scav && says "$err" 'did you mean "scavenge"\?' &&
		wrong frobnicate || return
	! grep -q 'did you mean' "$err"
}

test_alloc()
{
	run 0 alloc 100 7 0 40K && silent "$err" &&
		says "$out" '^ +0xc000000000 +100 +112 +12  9$' &&
		says "$out" '^ +0xc0000[0-9a-f]+ +7 +7 +0  tiny$' &&
		says "$out" '^ +0x10 +0 +0 +0  -$' &&
		says "$out" '^ +0xc0000[0-9a-f]+ +40960 +40960 +0  large$' &&
		says "$out" '^4 objects: ' || return
	run 0 alloc 24 --scan --count 3 && says "$out" ' 3 scan$' &&
		is "$(grep -c ' 3 scan$' "$out")" 3 'objects' || return
	run 0 alloc --align 64K 100 --fill 0xaa && says "$out" '^ +0xc000.[0-9]0000 ' || return
	run 0 alloc 1000 --count 2000 --quiet && is "$(wc -l <"$out")" 2 'lines' &&
		says "$out" '^2,000 objects: 1\.9 MiB asked for, 2\.0 MiB usable'
}

test_alloc_json()
{
	run_json 0 alloc 100 5 --count 2 --json && is "$(get objects.length)" 4 'objects' &&
		is "$(get objects.0.usable)" 112 'usable' && is "$(get objects.0.class)" 9 'class' &&
		is "$(get objects.2.tiny)" true 'tiny' && is "$(get asked)" 210 'asked' &&
		is "$(get heap_objects)" 4 'live'
}

test_alloc_refused()
{
	run 1 alloc 100 --align 3 && says "$err" 'alloc 100: not an alignment.*EINVAL' &&
		run 1 alloc 2000G && says "$err" 'larger than a heap.*EFBIG'
}

test_heaps()
{
	run 0 heaps && silent "$err" && says "$out" '^ +0 kernel ' &&
		says "$out" "^ +$id goallocctl:$holder +3 .* $holder\$" &&
		run_json 0 heaps --json && is "$(get all)" true 'all' &&
		is "$(get heaps.0.name)" kernel 'name' && is "$(get heaps.0.pid)" null 'pid' &&
		says "$json" "^0\.heaps\.1\.pid $holder\$"
}

test_choices()
{
	local choice

	for choice in "--heap $id" "--heap goallocctl:$holder" "--pid $holder" '' "--pid $holder:$fd" \
			"--pid $holder --fd $fd"; do
		# shellcheck disable=SC2086 # none, one or two words
		run_json 0 stat $choice --json && is "$(get heap.id)" "$id" "id by $choice" &&
			is "$(get heap_objects)" 3 "objects by $choice" || return
	done
	run 1 stat --heap 4000000000 && says "$err" 'there is no heap 4000000000' &&
		run 1 stat --heap nobody && says "$err" 'there is no heap nobody' &&
		run 1 stat --pid 1 && says "$err" 'process 1 has no heap' &&
		run 1 stat --pid 4000000 && says "$err" 'there is no process 4000000' &&
		run 1 stat --pid "$holder:0" && says "$err" 'file 0 of process .* is no heap' &&
		run 1 stat --pid one && says "$err" 'neither PID nor PID:FD' &&
		run 1 stat --pid "$holder" --heap "$id" && says "$err" 'use one of them'
}

# A name says nothing of a process any more; it is found all the same.
test_named()
{
	printf 'my \303\274 heap\n' >"/sys/kernel/debug/goalloc/heaps/$id/name" &&
		run 0 heaps && says "$out" "^ +$id my ü heap +3 .* $holder\$" &&
		run_json 0 query --heap "$(printf 'my \303\274 heap')" 0xc000000000 --json &&
		is "$(get heap.pid)" "$holder" 'pid' && is "$(get heap.name)" 'my ü heap' 'name'
}

test_stat()
{
	run 0 stat --heap "$id" && silent "$err" && says "$out" '^  mallocs +3$' &&
		says "$out" '^  heap_alloc +3,145,856 +3\.0 MiB$' && says "$out" '^ +0 +large +1 ' &&
		run_json 0 stat --heap "$id" --json && is "$(get next_gc)" null 'next_gc' &&
		is "$(get heap_alloc)" 3145856 'heap_alloc'
}

test_stat_interval()
{
	run 0 stat --heap "$id" 0.2 3 && is "$(wc -l <"$out")" 4 'lines' &&
		run_json 0 stat --heap "$id" 0.2 2 --json && says "$json" '^documents 2$' &&
		is "$(get mallocs_per_s)" 0.000 'rate'
}

# stat does not keep a heap alive, and ends with it.
test_stat_ends()
{
	local status=0

	hold || return
	: >"$out"
	timeout 60 goallocctl stat --heap "$id" 0.2 >"$out" 2>"$err" 7>&- 8<&- &
	while [ ! -s "$out" ] && kill -0 $!; do
		sleep 0.1
	done
	release
	wait $! || status=$?
	is "$status" 0 'exit status' && says "$err" 'has gone' || return
	run 0 heaps && ! grep -qE "^ *$id " "$out"
}

test_free()
{
	local tiny

	# Which page another CPU has set aside for it is not known.
	tiny=$(awk -F, '/ bytes/ && ++n == 2 { print $1 }' "$dir/held")
	run 1 free --pid "$holder" 0xc000000000 0xc000000000 "$(printf '%#x' $((tiny + 1)))" \
		0xd000000000 0 &&
		says "$out" '^0xc000000000 freed$' && says "$out" '^0 freed$' &&
		is "$(wc -l <"$out")" 2 'freed' &&
		says "$err" 'free 0xc000000000: freed already, EALREADY' &&
		says "$err" "free ${tiny%?}[0-9a-f]: not the first byte.*EINVAL" &&
		says "$err" 'free 0xd000000000: in no span in use, ENOENT' &&
		is "$(wc -l <"$err")" 3 'refused' &&
		run_json 1 free --json --pid "$holder" 0xc000000000 "$tiny" &&
		is "$(get addresses.0.errno)" EALREADY 'errno' &&
		is "$(get addresses.1.freed)" true 'freed' &&
		tell '-free a' && says "$dir/held" 'freed already'
}

test_query()
{
	local big

	big=$(sed -n 's/, 3145728 bytes.*//p' "$dir/held")
	run_json 0 query --heap "$id" "$big" --json && is "$(get addresses.0.base)" "$big" 'base' &&
		is "$(get addresses.0.state)" live 'state' &&
		run 0 query --heap "$id" "$big" && says "$out" "^$big live, 3145728 bytes" &&
		run 1 query --heap "$id" 0xd000000000 && says "$err" ENOENT
}

# Objects made in another process's heap stay there.
test_alloc_elsewhere()
{
	local addr

	run_json 0 alloc --heap "$id" 500 --fill 7 --json || return
	addr=$(get objects.0.address)
	tell "read $addr 3" && says "$dir/held" '"\\007\\007\\007"' && tell "free $addr" &&
		run 1 free --heap "$id" "$addr" && says "$err" EALREADY
}

test_classes()
{
	run 0 classes --heap "$id" && silent "$err" && says "$out" '^ +9 +112 +73 +13\.6% +[01] ' &&
		says "$out" '^large ' && ! grep -qE '^ +10 ' "$out" &&
		run 0 classes --heap "$id" --all && at_least "$(wc -l <"$out")" 69 'lines' &&
		run_json 0 classes --heap "$id" --json --all &&
		is "$(get classes.67.object_size)" 32768 'size' &&
		is "$(get classes.0.live)" 1 'live' &&
		run_json 0 classes --heap "$id" --json 0.2 2 && says "$json" '^documents 2$'
}

test_spans()
{
	run 0 spans --heap "$id" && silent "$err" && says "$out" '^ +0xc00[0-9a-f]+ +384 large ' &&
		run 0 spans --heap "$id" --class large && is "$(grep -c '^ *0xc0' "$out")" 1 'spans' &&
		run 0 spans --heap "$id" --state full && says "$out" ' full$' &&
		run_json 0 spans --heap "$id" --json --sort pages -n 1 &&
		is "$(get spans.0.pages)" 384 'pages' && is "$(get spans.length)" 1 'lines' &&
		run_json 0 spans --heap "$id" --json --sort address --reverse &&
		is "$(get spans.length)" "$(get found)" 'spans'
}

test_map()
{
	local escape pages sys

	escape=$(printf '\033')
	run 0 map --heap "$id" && says "$out" '^ +0xc000000000 ' && ! grep -q "$escape" "$out" &&
		run 0 map --heap "$id" --ascii && says "$out" '^ +0xc000000000 .*[Loo]' || return
	! LC_ALL=C grep -q "$(printf '[\200-\377]')" "$out" || return
	run_json 0 stat --heap "$id" --json || return
	sys=$(get heap_sys)
	run_json 0 map --heap "$id" --json || return
	pages=$(($(get pages_inuse) + $(get pages_idle) + $(get pages_released)))
	is $((pages * 8192)) "$sys" 'bytes of all pages' &&
		is "$(awk '$1 ~ /^0\.runs\.[0-9]+\.pages$/ { n += $2 } END { print n }' "$json")" \
			"$pages" 'pages of all runs' &&
		run 0 map --heap "$id" --cell 64 && run 1 map --heap "$id" --svg /none/where &&
		says "$err" '^goallocctl: /none/where: '
}

# Tags that match, attributes in quotes, no bare < or &.
svg_is_whole()
{
	awk '
	function fail(why)
	{
		print "# " why
		exit bad = 1
	}
	{ text = text $0 "\n" }
	END {
		if (text !~ /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<svg /)
			fail("does not begin as SVG")
		n = split(text, part, "<")
		for (i = 3; i <= n; i++) {
			end = index(part[i], ">")
			if (!end)
				fail("a tag without end: " part[i])
			tag = substr(part[i], 1, end - 1)
			rest = substr(part[i], end + 1)
			gsub(/&(amp|lt|gt|quot|#[0-9]+);/, "", rest)
			if (rest ~ /[&>]/)
				fail("in the text: " rest)
			if (depth == 0 && rest ~ /[^ \n]/)
				fail("outside of everything: " rest)
			if (tag ~ /^\//) {
				if (!depth || open[depth--] != substr(tag, 2))
					fail("closes nothing: " tag)
				if (!depth && i != n)
					fail("more behind the end")
				continue
			}
			name = tag
			sub(/[ \n\/].*/, "", name)
			count[name]++
			attributes = substr(tag, length(name) + 1)
			while (match(attributes, /^[ \n]+[a-zA-Z-]+="[^"&<]*"/))
				attributes = substr(attributes, RLENGTH + 1)
			if (attributes !~ /^\/?$/)
				fail("attributes of " tag)
			if (attributes == "")
				open[++depth] = name
		}
		if (depth)
			fail("no end of " open[depth])
		if (count["title"] < 3 || !count["text"] || count["svg"] != 1)
			fail("too little in it")
	}
	' "$1"
}

test_svg()
{
	run 0 map --heap "$id" --svg "$dir/heap.svg" && says "$out" 'drawn into' &&
		svg_is_whole "$dir/heap.svg" && says "$dir/heap.svg" 'large objects: 3\.0 MiB' &&
		says "$dir/heap.svg" '<title>0xc00[0-9a-f]+: span of 384 pages, class large' &&
		run 0 map --heap "$id" --svg - --row 1024 && svg_is_whole "$out"
}

test_limit()
{
	run 0 limit --heap "$id" && silent "$err" && says "$out" '^  limit +none' &&
		run_json 0 limit --heap "$id" 64M --max 1G --gc-percent 50 --json &&
		is "$(get limit)" 67108864 'limit' && is "$(get max)" 1073741824 'max' &&
		is "$(get gc_percent)" 50 'gc_percent' &&
		run 1 limit --heap "$id" --gc-percent 100001 && says "$err" 'gc_percent .*cannot be' &&
		run 0 limit --heap "$id" --max 4M && run 1 alloc --heap "$id" 8M &&
		says "$err" 'ENOMEM' && says "$err" 'goallocctl limit' &&
		run_json 0 limit --heap "$id" none --max none --gc-percent none --json &&
		is "$(get limit)" null 'limit' && is "$(get max)" null 'max' &&
		is "$(get gc_percent)" null 'gc_percent'
}

test_scavenge()
{
	local addr

	quiet || return
	run_json 0 alloc --heap "$id" 2M --fill 1 --json || return
	addr=$(get objects.0.address)
	run 0 free --heap "$id" "$addr" && run_json 0 scavenge --heap "$id" 1M --json &&
		at_least "$(get released)" 1048576 'released' &&
		run_json 0 scavenge --heap "$id" --json && at_least "$(get released)" 8192 'the rest' &&
		is "$(get heap_idle)" "$(get heap_released)" 'idle afterwards' &&
		run 0 scavenge --heap "$id" all && says "$out" ' 0 bytes came back'
}

test_kernel_heap()
{
	run_json 0 stat --heap 0 --json && is "$(get heap.name)" kernel 'name' &&
		run 0 classes --heap 0 && run 0 spans --heap 0 && run 0 map --heap 0 &&
		run 0 map --heap 0 --svg "$dir/kernel.svg" && run 0 limit --heap 0 &&
		run 0 scavenge --heap 0 && run 1 alloc --heap 0 100 && says "$err" "the kernel's" &&
		run 0 stat --heap kernel
}

test_top()
{
	run 0 top --once --delay 0.2 && silent "$err" && says "$out" '^goalloc .* heaps, ' &&
		says "$out" "^ *$id goallocctl:$holder +$holder +3 3\.00M" &&
		run 0 top --delay 0.2 --count 2 --sort id --reverse &&
		is "$(grep -c '^goalloc ' "$out")" 2 'tables' &&
		run_json 0 top --once --delay 0.2 --json && says "$json" '^documents 1$' &&
		says "$json" "^0\.heaps\.[0-9]+\.pid $holder\$" &&
		run_json 0 top --count 3 --delay 0.1 --json && says "$json" '^documents 3$'
}

# Rates are what the counts of two looks differ by.
test_top_rates()
{
	local working status=2 tries=0

	(exec 2>/dev/null; while sleep 0.1 && echo 'alloc 64'; do :; done) >&7 &
	working=$!
	# Until there was something to see: either of them may stand still.
	while [ "$status" -eq 2 ] && [ "$tries" -lt 15 ]; do
		tries=$((tries + 1))
		status=0
		run_json 0 top --count 6 --delay 0.7 --json &&
			says "$json" '^documents 6$' && top_rates_hold || status=$?
	done
	kill "$working"
	wait "$working" 2>/dev/null
	return "$status"
}

# Whether they are what was made; 2 if nothing was.
top_rates_hold()
{
	awk -v id="$id" '
		{
			split($1, at, ".")
			doc = at[1]
			heap = doc "." at[3]
		}
		at[2] == "seconds" { seconds[doc] = $2 }
		at[4] == "id" { mine[doc] = $2 == id ? heap : mine[doc] }
		at[4] == "mallocs" { mallocs[heap] = $2 }
		at[4] == "mallocs_per_s" { rate[heap] = $2 }
		END {
			for (doc = 1; doc < 6; doc++) {
				made = mallocs[mine[doc]] - mallocs[mine[doc - 1]]
				told = rate[mine[doc]] * seconds[doc]
				all += made
				if (told > made - 0.1 && told < made + 0.1)
					continue
				print "# made " made ", told " told
				bad = 1
			}
			if (!all)
				print "# nothing was made"
			exit bad ? 1 : all ? 0 : 2
		}
	' "$json"
}

test_script()
{
	printf 'alloc 100 = a\nfree a\n-free a\nstat frees\n' >"$dir/statements"
	run 0 script "$dir/statements" && says "$out" '^frees 1$' && says "$err" EALREADY || return
	printf 'alloc 1\nfree 5\nalloc 2\n' >"$dir/statements"
	run 1 script "$dir/statements" && says "$err" 'the script ends at line 2'
}

test_info()
{
	run 0 info && says "$out" '^heap page +8\.0 KiB$' && run_json 0 info --json &&
		is "$(get heap_base)" 0xc000000000 'heap_base' && is "$(get num_size_classes)" 68 'classes'
}

test_demo()
{
	run_json 0 demo --objects 1000 --json && is "$(get held)" true 'held' &&
		is "$(get steps.length)" 19 'steps' && is "$(get after.heap_objects)" 0 'left' &&
		run 0 demo --objects 200 --seed 7 && says "$out" '^All 19 steps held'
}

test_bench()
{
	run_json 0 bench --ms 1 --runs 3 --json && is "$(get tests.length)" 9 'tests' &&
		is "$(grep -c '^0\.tests\.[0-9]*\.ns ' "$json")" 9 'figures' &&
		says "$json" '^0\.tests\.8\.ratio [0-9.]+$'
}

# elsewhere COMMAND: goallocctl in a mount namespace that was changed by it.
elsewhere()
{
	unshare -m sh -c "$1"' && shift && exec goallocctl "$@"' sh "$@" \
		>"$out" 2>"$err" </dev/null
}

test_no_module()
{
	local status=0

	elsewhere 'umount /sys/kernel/debug && mount -t ramfs none /dev' alloc 100 || status=$?
	is "$status" 1 'exit status' && silent "$out" &&
		is "$(cat "$err")" \
			'goallocctl: /dev/goalloc: no such file: is the module loaded? try: modprobe goalloc' \
			'what is said' || return
	elsewhere 'umount /sys/kernel/debug && mount -t ramfs none /dev' heaps && return 1
	says "$err" '^goallocctl: /dev/goalloc: .* try: modprobe goalloc$'
}

test_no_debugfs()
{
	elsewhere 'umount /sys/kernel/debug' heaps || return
	says "$err" 'is debugfs mounted\? try: mount -t debugfs' &&
		says "$out" "^ +$id goallocctl:$holder " || return
	elsewhere 'umount /sys/kernel/debug' stat --heap "$id" || return
	says "$out" '^  mallocs +3$' || return
	elsewhere 'umount /sys/kernel/debug' classes --heap "$id" && says "$out" '^ +9 +112 +- ' || return
	! elsewhere 'umount /sys/kernel/debug' spans --heap "$id" && says "$err" 'is debugfs mounted'
}

# nobody ARGUMENT...: as a user who may do nothing in particular.  Under another
# name, as start-stop-daemon does not start what runs already.
nobody()
{
	chmod 755 "$dir"
	cp "$(command -v goallocctl)" "$dir/nobody" || return
	start-stop-daemon -S -c 65534:65534 -x "$dir/nobody" -- "$@" >"$out" 2>"$err" </dev/null
}

test_no_permission()
{
	nobody alloc 1 && return 1
	silent "$out" &&
		says "$err" '/dev/goalloc: no permission: try as root, .* group goalloc' || return
	nobody stat --pid "$holder" && return 1
	silent "$out" && says "$err" 'this takes its owner or root' || return
	nobody heaps && is "$(wc -l <"$out")" 1 'lines' && says "$err" 'debugfs is for root'
}

# What cannot be written is no success.
test_full()
{
	local status=0

	[ -c /dev/full ] || mknod /dev/full c 1 7 || return
	goallocctl heaps >/dev/full 2>"$err" || status=$?
	is "$status" 1 'exit status' && says "$err" 'No space left'
}

# A test has a heap of another process to look at, unless it makes one itself.
plain_tests='help usage nearest alloc alloc_json alloc_refused stat_ends script info demo bench
	full'
heap_tests='heaps choices named stat stat_interval free query alloc_elsewhere classes spans map svg
	limit scavenge kernel_heap top top_rates no_module no_debugfs no_permission'

# with_heap TEST
with_heap()
{
	local status=0

	if hold; then
		"$1" || status=$?
	else
		status=1
	fi
	quiet_no_more
	release
	return "$status"
}

# now NAME: hundredths of a second since the machine started.
now()
{
	local uptime

	read -r uptime _ </proc/uptime
	eval "$1=\$((${uptime%.*} * 100 + 1\${uptime#*.} - 100))"
}

n=0
failed=0
start=0
end=0
# shellcheck disable=SC2086 # words
set -- $plain_tests $heap_tests
echo 'TAP version 13'
echo "1..$#"
for name; do
	n=$((n + 1))
	word=ok
	now start
	case " $plain_tests " in
	*[[:space:]]"$name"[[:space:]]*) "test_$name" ;;
	*) with_heap "test_$name" ;;
	esac || word='not ok'
	[ "$word" = ok ] || failed=$((failed + 1))
	now end
	note "$(((end - start) / 100)).$(((end - start) / 10 % 10)) s"
	echo "$word $n $name"
done
[ "$failed" -eq 0 ]
