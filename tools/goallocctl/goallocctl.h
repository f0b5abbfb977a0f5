/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * goallocctl: what its commands have in common.
 */
#ifndef GOALLOCCTL_H
#define GOALLOCCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/goalloc.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

enum exit_code {
	DONE = 0,
	FAILED = 1,	/* said why on stderr */
	USAGE = 2,
};

/**
 * struct command - one word after "goallocctl"
 * @name: the word
 * @args: what may follow, for the usage line
 * @summary: half a line about it
 * @help: the rest of its --help
 * @run: does it; argv[0] is the name. Return: an enum exit_code.
 */
struct command {
	const char *name;
	const char *args;
	const char *summary;
	const char *help;
	int (*run)(int argc, char **argv);
};

extern const struct command alloc_command, demo_command, free_command, heaps_command,
	info_command, query_command, script_command, stat_command;

/* main.c */
int usage_error(const char *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* text.c: numbers and words, to and from people */
bool parse_bytes(const char *text, uint64_t *bytes);
bool parse_number(const char *text, uint64_t *number);
const char *count_text(uint64_t n);
const char *bytes_text(uint64_t bytes);
const char *errno_text(int err);

#endif /* GOALLOCCTL_H */
