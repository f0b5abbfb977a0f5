// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options by a command's table.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "goallocctl.h"

#define MOST_OPTIONS	16

/* All that a command takes. */
struct option_list {
	struct option_spec specs[MOST_OPTIONS];
	size_t n;
};

static void add(struct option_list *l, const struct option_spec *o)
{
	if (l->n < MOST_OPTIONS)
		l->specs[l->n++] = *o;
}

static void collect(const struct command *c, struct option_list *l)
{
	size_t i;

	l->n = 0;
	if (c->heap) {
		add(l, &(struct option_spec){
			'H', "heap", "ID|NAME", OPTION_TEXT, &c->heap->heap,
			"the heap with this number or name" });
		add(l, &(struct option_spec){
			'p', "pid", "PID[:FD]", OPTION_TEXT, &c->heap->pid,
			"the heap that a process has open" });
		add(l, &(struct option_spec){
			'F', "fd", "FD", OPTION_TEXT, &c->heap->fd,
			"which file of it, its first heap otherwise" });
	}
	for (i = 0; i < c->num_options; i++)
		add(l, &c->options[i]);
}

static const struct option_spec *by_letter(const struct option_list *l, int letter)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (l->specs[i].letter == letter)
			return &l->specs[i];
	return NULL;
}

static int take(const struct command *c, const struct option_spec *o, const char *arg)
{
	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)o->to = true;
		return DONE;
	case OPTION_TEXT:
		*(const char **)o->to = arg;
		return DONE;
	case OPTION_NUMBER:
		if (parse_number(arg, o->to))
			return DONE;
		return usage_error(c->name, "--%s: %s is no number", o->name, arg);
	default:
		if (parse_bytes(arg, o->to))
			return DONE;
		return usage_error(c->name, "--%s: %s is no number of bytes, as 100, 4K or 0x10 is",
				   o->name, arg);
	}
}

/* Leaves optind at the first argument that is no option. Return: DONE or USAGE. */
int options_parse(const struct command *c, int argc, char **argv)
{
	struct option longs[MOST_OPTIONS + 1] = { 0 };
	char shorts[2 * MOST_OPTIONS + 2] = ":", *p = shorts + 1;
	struct option_list l;
	size_t i;
	int opt;

	collect(c, &l);
	for (i = 0; i < l.n; i++) {
		const struct option_spec *o = &l.specs[i];

		longs[i].name = o->name;
		longs[i].has_arg = o->arg ? required_argument : no_argument;
		longs[i].val = o->letter;
		*p++ = o->letter;
		if (o->arg)
			*p++ = ':';
	}
	*p = '\0';

	opterr = 0;
	while ((opt = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct option_spec *o = by_letter(&l, opt == ':' ? optopt : opt);

		if (opt == ':' && o)
			return usage_error(c->name, "-%c, --%s needs %s", o->letter, o->name,
					   o->arg);
		if (!o && optopt && !by_letter(&l, optopt))
			return usage_error(c->name, "no such option: -%c", optopt);
		if (!o)
			return usage_error(c->name, "no such option: %s", argv[optind - 1]);
		if (take(c, o, optarg))
			return USAGE;
	}
	return DONE;
}

void options_help(const struct command *c)
{
	struct option_list l;
	char left[64];
	size_t i;

	collect(c, &l);
	puts("\nOptions:");
	for (i = 0; i < l.n; i++) {
		const struct option_spec *o = &l.specs[i];

		snprintf(left, sizeof(left), "-%c, --%s%s%s", o->letter, o->name,
			 o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-24s  %s\n", left, o->help);
	}
	printf("  %-24s  %s\n", "-h, --help", "this");
}
