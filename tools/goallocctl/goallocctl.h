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

/* What goalloc's page is; a page of the machine may be smaller. */
#define HEAP_PAGE	8192ULL

enum exit_code {
	DONE = 0,
	FAILED = 1,	/* said why on stderr */
	USAGE = 2,
};

enum option_kind {
	OPTION_FLAG,	/* @to is a bool */
	OPTION_TEXT,	/* const char * */
	OPTION_NUMBER,	/* uint64_t */
	OPTION_BYTES,	/* uint64_t, typed with K, M, G or T if one likes */
};

/**
 * struct option_spec - an option of a command
 * @letter: -c
 * @name: --count
 * @arg: what its argument is called, NULL for a flag
 * @kind: what its argument is
 * @to: where that goes; it is left as it is when the option is not given
 * @help: half a line about it
 */
struct option_spec {
	char letter;
	const char *name;
	const char *arg;
	enum option_kind kind;
	void *to;
	const char *help;
};

/* The heap that was chosen, as typed; all NULL if none was. */
struct heap_choice {
	const char *heap;
	const char *pid;
	const char *fd;
};

/**
 * struct command - one word after "goallocctl"
 * @name: the word
 * @args: what may follow the options, for the usage line
 * @summary: half a line about it
 * @help: the rest of its --help
 * @heap: where the choice of a heap goes, NULL if it takes none
 * @options: the options it takes besides
 * @num_options: how many
 * @run: does it with what is left of the command line without options. Return:
 *	an enum exit_code.
 */
struct command {
	const char *name;
	const char *args;
	const char *summary;
	const char *help;
	struct heap_choice *heap;
	const struct option_spec *options;
	size_t num_options;
	int (*run)(int argc, char **argv);
};

extern const struct command alloc_command, bench_command, classes_command, demo_command,
	free_command, heaps_command, info_command, limit_command, map_command, query_command,
	scavenge_command, script_command, spans_command, stat_command, top_command;

/* main.c */
int usage_error(const char *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* options.c */
int options_parse(const struct command *c, int argc, char **argv);
void options_help(const struct command *c);

/* text.c: numbers and words, to and from people */
bool parse_bytes(const char *text, uint64_t *bytes);
bool parse_number(const char *text, uint64_t *number);
bool parse_seconds(const char *text, double *seconds);
const char *plain_text(uint64_t n);
const char *count_text(uint64_t n);
const char *bytes_text(uint64_t bytes);
const char *size_text(uint64_t bytes);
const char *number_text(double number);
const char *limit_text(uint64_t bytes);
const char *errno_name(int err);
const char *errno_text(int err);
void clean_text(char *text);

#endif /* GOALLOCCTL_H */
