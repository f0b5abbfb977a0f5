# shellcheck shell=dash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# The real programs that run in the Debian guest, each under glibc's malloc and
# under goalloc.  A row is
#
#	each program NAME RESULT 'COMMAND'
#
# COMMAND is run by sh in an empty directory, by an ordinary user of group
# goalloc; $INPUT is a directory with what inputs made.  RESULT is a function that
# prints, in that directory, what must be equal under both; the command's standard
# output is in the file out.

# The tests of a Python module by name, with what became of them.  The rest of
# what Python prints has times in it.
python_tests()
{
	grep -E ' \.\.\. (ok|skipped|expected failure|FAIL|ERROR|unexpected success)' out |
		LC_ALL=C sort
	grep -oE '^Ran [0-9]+ tests?' out
	grep -E '^(OK|FAILED|Tests result:)' out
}

output()
{
	cat out
}

# Whatever the program made.
files()
{
	LC_ALL=C sha256sum -- *
}

programs()
{
	local module

	# With PYTHONMALLOC=malloc every object is malloc's, not only large ones.
	for module in json dict list bytes re gc sqlite3; do
		"$@" "python3-test_$module" python_tests \
			"PYTHONMALLOC=malloc exec python3 -m test -v test_$module"
	done
	"$@" sqlite3-million files \
		"exec sqlite3 -batch -bail :memory: <\$INPUT/million.sql"
	"$@" gcc-O2 files \
		"exec gcc -std=gnu11 -O2 -I \$INPUT/uapi -c \$INPUT/goallocctl/demo.c \
			\$INPUT/goallocctl/script.c \$INPUT/goallocctl/workload.c"
	"$@" sort-million files \
		"LC_ALL=C exec sort --parallel=2 -S 256M -o sorted \$INPUT/lines"
}

# inputs: make in the current directory what the commands read.  There is no
# chance in it.
inputs()
{
	cp -r /rig/input/. .
	awk 'BEGIN {
		for (x = 1; i++ < 1000000; ) {
			x = x * 48271 % 2147483647
			printf "%010d line %d of many, %d\n", x, i, x % 977
		}
	}' >lines
	cat >million.sql <<'END'
CREATE TABLE item(
	id INTEGER PRIMARY KEY, part INTEGER NOT NULL,
	price INTEGER NOT NULL, name TEXT NOT NULL);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
INSERT INTO item
	SELECT i, i * 7919 % 10007, i * 48271 % 99991,
		printf('item %x of %d', i * 69621 % 2147483647, i % 977)
	FROM n;
COMMIT;
CREATE INDEX item_part ON item(part, price);
CREATE INDEX item_name ON item(name);
SELECT count(*), sum(price), min(name), max(name) FROM item;
SELECT part % 16 AS shelf, count(*), sum(price), max(length(name))
	FROM item GROUP BY shelf ORDER BY shelf;
SELECT count(DISTINCT price) FROM item;
UPDATE item SET price = price + 1, name = name || ' new' WHERE part BETWEEN 100 AND 1099;
DELETE FROM item WHERE part BETWEEN 2000 AND 2499;
.output dump.sql
.dump
END
}
