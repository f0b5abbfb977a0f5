// SPDX-License-Identifier: GPL-2.0-only
/*
 * goallocctl: use goalloc from a shell, and see how it does.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "goallocctl.h"

static const struct command * const commands[] = {
	&demo_command,
	&info_command,
	&heaps_command,
	&stat_command,
	&script_command,
	&alloc_command,
	&free_command,
	&query_command,
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
	printf("Usage: goallocctl %s%s%s\n%c%s.\n\n%s", c->name, *c->args ? " " : "", c->args,
	       c->summary[0] & ~32, c->summary + 1, c->help);
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
		return usage_error(NULL, argv[1][0] == '-' ? "no such option: %s" :
				   "no such command: %s", argv[1]);
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
	return c->run(argc - 1, argv + 1);
}
