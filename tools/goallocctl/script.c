// SPDX-License-Identifier: GPL-2.0-only
/*
 * script: statements, one a line, on one heap. Objects have names.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "books.h"
#include "dev.h"
#include "goallocctl.h"
#include "heap.h"
#include "object.h"

/* As much of an object as one statement reads. */
#define READ_MAX	65536

struct name {
	struct name *next;
	uint64_t addr;
	char text[];
};

struct script {
	int fd;
	struct name *names;
};

struct statement {
	const char *word;
	const char *args;
	bool (*run)(struct script *s, char *args);
};

static bool name_valid(const char *text)
{
	const char *p;

	for (p = text; isalnum((unsigned char)*p) || *p == '_'; p++)
		;
	return isalpha((unsigned char)*text) && !*p;
}

static struct name *name_find(struct script *s, const char *text)
{
	struct name *n;

	for (n = s->names; n && strcmp(n->text, text); n = n->next)
		;
	return n;
}

/* A name that is there already gets the new address. */
static bool name_set(struct script *s, const char *text, uint64_t addr)
{
	struct name *n = name_find(s, text);

	if (!n) {
		n = malloc(sizeof(*n) + strlen(text) + 1);
		if (!n) {
			complain("out of memory");
			return false;
		}
		strcpy(n->text, text);
		n->next = s->names;
		s->names = n;
	}
	n->addr = addr;
	return true;
}

/* The next word of a line, ended by a zero; "" at the end. */
static char *next_word(char **line)
{
	char *word = *line + strspn(*line, " \t");

	*line = word + strcspn(word, " \t");
	if (**line)
		*(*line)++ = '\0';
	return word;
}

/* NAME or ADDRESS, either with +BYTES behind it. */
static bool parse_address(struct script *s, const char *text, uint64_t *addr)
{
	char first[128];
	const char *plus = strchrnul(text, '+');
	struct name *n;
	uint64_t more = 0;

	if (!*text) {
		complain("a name or an address is missing");
		return false;
	}
	snprintf(first, sizeof(first), "%.*s", (int)(plus - text), text);
	n = name_find(s, first);
	if (n) {
		*addr = n->addr;
	} else if (!parse_number(first, addr)) {
		complain("%s is neither a name nor an address", first);
		return false;
	}
	if (*plus && !parse_bytes(plus + 1, &more)) {
		complain("%s is no number of bytes", plus + 1);
		return false;
	}
	*addr += more;
	return true;
}

static bool nothing_more(char *line)
{
	const char *word = next_word(&line);

	if (*word)
		complain("unexpected: %s", word);
	return !*word;
}

static bool run_alloc(struct script *s, char *line)
{
	uint64_t bytes, align = 0, addr;
	const char *word = next_word(&line), *name = NULL;
	uint32_t flags = 0;

	if (!parse_bytes(word, &bytes)) {
		complain("%s is no number of bytes", *word ? word : "nothing");
		return false;
	}
	while (*(word = next_word(&line))) {
		if (!strcmp(word, "scan")) {
			flags |= GOALLOC_SCAN;
		} else if (!strcmp(word, "uninit")) {
			flags |= GOALLOC_UNINIT;
		} else if (!strcmp(word, "align")) {
			if (!parse_bytes(next_word(&line), &align)) {
				complain("align needs a number of bytes");
				return false;
			}
		} else if (!strcmp(word, "=")) {
			name = next_word(&line);
			if (!name_valid(name)) {
				complain("a name consists of letters, digits and _");
				return false;
			}
		} else {
			complain("unexpected: %s", word);
			return false;
		}
	}
	return object_alloc(s->fd, bytes, align, flags, &addr) &&
	       (!name || name_set(s, name, addr));
}

static bool run_free(struct script *s, char *line)
{
	uint64_t addr;

	return parse_address(s, next_word(&line), &addr) && nothing_more(line) &&
	       object_free(s->fd, addr);
}

static bool run_query(struct script *s, char *line)
{
	uint64_t addr;

	return parse_address(s, next_word(&line), &addr) && nothing_more(line) &&
	       object_query(s->fd, addr);
}

static bool run_write(struct script *s, char *line)
{
	uint64_t addr;
	int err;

	if (!parse_address(s, next_word(&line), &addr))
		return false;
	err = dev_write(s->fd, addr, line, strlen(line));
	if (err) {
		complain("write at %#" PRIx64 ": %s, %s", addr, dev_address_error(err),
			 errno_text(err));
		return false;
	}
	printf("%zu bytes written\n", strlen(line));
	return true;
}

/* As a string of C. */
static void print_quoted(const unsigned char *p, size_t n)
{
	putchar('"');
	for (; n; n--, p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (isprint(*p))
			putchar(*p);
		else
			printf("\\%03o", *p);
	}
	puts("\"");
}

static bool run_read(struct script *s, char *line)
{
	uint64_t addr, bytes;
	const char *word;
	char *buf;
	int err;

	if (!parse_address(s, next_word(&line), &addr))
		return false;
	word = next_word(&line);
	if (!parse_bytes(word, &bytes) || bytes > READ_MAX) {
		complain("how many bytes to read? at most %d", READ_MAX);
		return false;
	}
	if (!nothing_more(line))
		return false;
	buf = malloc(bytes + 1);
	if (!buf) {
		complain("out of memory");
		return false;
	}
	err = dev_read(s->fd, addr, buf, bytes);
	if (err)
		complain("read at %#" PRIx64 ": %s, %s", addr, dev_address_error(err),
			 errno_text(err));
	else
		print_quoted((unsigned char *)buf, bytes);
	free(buf);
	return !err;
}

static bool run_stat(struct script *s, char *line)
{
	struct goalloc_memstats ms;
	const char *word = next_word(&line);
	size_t i;

	if (!dev_stats(s->fd, &ms))
		return false;
	if (!*word) {
		books_print(NULL, &ms, 1);
		return true;
	}
	for (; *word; word = next_word(&line)) {
		for (i = 0; i < books_num_fields && strcmp(word, books_fields[i].name); i++)
			;
		if (i == books_num_fields) {
			complain("the books have no %s", word);
			return false;
		}
		printf("%s %" PRIu64 "\n", word, books_get(&ms, &books_fields[i]));
	}
	return true;
}

static bool run_help(struct script *s, char *line);

static const struct statement statements[] = {
	{ "alloc", "BYTES [scan] [uninit] [align N] [= NAME]", run_alloc },
	{ "write", "WHERE TEXT", run_write },
	{ "read", "WHERE BYTES", run_read },
	{ "query", "WHERE", run_query },
	{ "free", "WHERE", run_free },
	{ "stat", "[FIELD]...", run_stat },
	{ "help", "", run_help },
};

static bool run_help(struct script *s, char *line)
{
	size_t i;

	(void)s;
	for (i = 0; i < ARRAY_SIZE(statements); i++)
		printf("  %s%s%s\n", statements[i].word, *statements[i].args ? " " : "",
		       statements[i].args);
	puts("WHERE is NAME, NAME+BYTES or an address.");
	return nothing_more(line);
}

/* Return: whether it did what it should; after "-" it may also fail. */
static bool run_line(struct script *s, char *line)
{
	bool may_fail, done;
	const char *word;
	size_t i;

	line[strcspn(line, "\r\n")] = '\0';
	line += strspn(line, " \t");
	may_fail = *line == '-';
	line += may_fail;
	word = next_word(&line);
	if (!*word || *word == '#')
		return true;
	for (i = 0; i < ARRAY_SIZE(statements); i++) {
		if (!strcmp(statements[i].word, word)) {
			done = statements[i].run(s, line);
			return done || may_fail;
		}
	}
	complain("no such statement: %s; \"help\" lists them", word);
	return false;
}

/* A person may go on after a mistake, a script does not. */
static int run_lines(struct script *s, FILE *from)
{
	bool person = isatty(fileno(from));
	unsigned int number = 0;
	size_t room = 0;
	char *line = NULL;
	int err = DONE;

	for (;;) {
		if (person) {
			fputs("goalloc> ", stdout);
			fflush(stdout);
		}
		if (getline(&line, &room, from) < 0)
			break;
		number++;
		if (!person) {
			/* What is said next belongs to this line. */
			printf("> %.*s\n", (int)strcspn(line, "\r\n"), line);
		}
		if (run_line(s, line) || person)
			continue;
		complain("the script ends at line %u", number);
		err = FAILED;
		break;
	}
	if (person)
		putchar('\n');
	if (!err && ferror(from)) {
		complain("reading the script: %s", strerror(errno));
		err = FAILED;
	}
	free(line);
	return err;
}

static struct heap_choice choice;

static int script_run(int argc, char **argv)
{
	struct script s = { .fd = -1 };
	FILE *from = stdin;
	struct name *n;
	struct heap h;
	int err = FAILED;

	if (argc > 1)
		return usage_error("script", "unexpected: %s", argv[1]);
	if (argc && strcmp(argv[0], "-")) {
		from = fopen(argv[0], "re");
		if (!from) {
			complain("%s: %s", argv[0], strerror(errno));
			return FAILED;
		}
	}
	if (heap_choose_or_new(&choice, &h)) {
		s.fd = h.fd;
		err = run_lines(&s, from);
		heap_close(&h);
	}
	if (from != stdin)
		fclose(from);
	while ((n = s.names)) {
		s.names = n->next;
		free(n);
	}
	return err;
}

const struct command script_command = {
	.name = "script",
	.args = "[FILE]",
	.summary = "run statements on one heap, from a file or as typed",
	.help =
"The heap is a new one that ends with the script, unless another is chosen.\n"
"Statements, one a line, from FILE, or from the terminal without one or with -:\n"
"\n"
"  alloc BYTES [scan] [uninit] [align N] [= NAME]\n"
"                     make an object and give it a name\n"
"  write WHERE TEXT   write the rest of the line into it\n"
"  read WHERE BYTES   show what is in it\n"
"  query WHERE        show what lies there\n"
"  free WHERE         free it\n"
"  stat [FIELD]...    show the books, or some of their fields\n"
"  # ...              nothing\n"
"\n"
"WHERE is NAME, NAME+BYTES or an address. A name stays after its object is freed.\n"
"A statement that fails ends the script, unless \"-\" stands before it.\n",
	.heap = &choice,
	.run = script_run,
};
