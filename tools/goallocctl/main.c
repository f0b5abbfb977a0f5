// SPDX-License-Identifier: GPL-2.0-only
/*
 * goallocctl: use goalloc from a shell, and see how it does.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "goallocctl.h"

static const struct command * const commands[] = {
	&heaps_command,
	&stat_command,
	&top_command,
	&classes_command,
	&spans_command,
	&map_command,
	&limit_command,
	&scavenge_command,
	&alloc_command,
	&free_command,
	&query_command,
	&script_command,
	&info_command,
	&demo_command,
	&bench_command,
};

/* What went wrong, on stderr. */
void complain(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("goallocctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* A mistake in what was typed. @command may be NULL. Return: USAGE. */
int usage_error(const char *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "goallocctl%s%s: ", command ? " " : "", command ? command : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nTry: goallocctl %s%s--help\n", command ? command : "",
		command ? " " : "");
	return USAGE;
}

static void help(FILE *to)
{
	size_t i;

	fprintf(to, "Usage: goallocctl COMMAND [ARGUMENT]...\n"
		"Use goalloc, the Go runtime's memory allocator in the kernel, by /dev/goalloc,\n"
		"and see how its heaps do.\n\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(to, "\n\"goallocctl COMMAND --help\" says more about each.\n"
		"It exits with 0 if all went well, 1 if something failed, 2 if it was used wrongly.\n");
}

static void command_help(const struct command *c)
{
	printf("Usage: goallocctl %s [OPTION]...%s%s\n%c%s.\n\n%s", c->name, *c->args ? " " : "",
	       c->args, c->summary[0] & ~32, c->summary + 1, c->help);
	options_help(c);
}

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	if (b < a)
		a = b;
	return c < a ? c : a;
}

/* How many letters to insert, drop or replace to make one of the other. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[32], above, left, i, k;
	size_t n = strlen(b);

	if (n >= ARRAY_SIZE(row))
		return n;
	for (k = 0; k <= n; k++)
		row[k] = k;
	for (i = 1; *a; a++, i++) {
		above = row[0];
		row[0] = i;
		for (k = 1; k <= n; k++) {
			left = min3(row[k] + 1, row[k - 1] + 1, above + (*a != b[k - 1]));
			above = row[k];
			row[k] = left;
		}
	}
	return row[n];
}

/* The command that was perhaps meant, or NULL. */
static const struct command *nearest(const char *name)
{
	const struct command *best = NULL;
	unsigned int least = 3, d;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		d = distance(name, commands[i]->name);
		if (*name && !strncmp(commands[i]->name, name, strlen(name)))
			d = 1;
		if (d < least && d < strlen(commands[i]->name)) {
			least = d;
			best = commands[i];
		}
	}
	return best;
}

static int no_such_command(const char *name)
{
	const struct command *c = nearest(name);

	if (*name == '-')
		return usage_error(NULL, "no such option: %s", name);
	if (c)
		return usage_error(NULL, "no such command: %s; did you mean \"%s\"?", name,
				   c->name);
	return usage_error(NULL, "no such command: %s", name);
}

static const struct command *find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static bool is_help(const char *arg)
{
	return !strcmp(arg, "--help") || !strcmp(arg, "-h");
}

/* What was printed has to have arrived. */
static int finish(int err)
{
	if (fflush(stdout) || ferror(stdout)) {
		complain("writing the output: %s", strerror(errno));
		return FAILED;
	}
	return err;
}

int main(int argc, char **argv)
{
	const struct command *c;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2) {
		help(stderr);
		return USAGE;
	}
	if (is_help(argv[1]) || (!strcmp(argv[1], "help") && argc == 2)) {
		help(stdout);
		return DONE;
	}
	if (!strcmp(argv[1], "help")) {
		argv++;
		argc--;
	}
	c = find(argv[1]);
	if (!c)
		return no_such_command(argv[1]);
	for (i = 2; i < argc && strcmp(argv[i], "--"); i++) {
		if (is_help(argv[i])) {
			command_help(c);
			return DONE;
		}
	}
	if (!strcmp(argv[0], "help")) {
		command_help(c);
		return DONE;
	}
	argc--;
	argv++;
	if (options_parse(c, argc, argv))
		return USAGE;
	return finish(c->run(argc - optind, argv + optind));
}
