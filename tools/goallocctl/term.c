// SPDX-License-Identifier: GPL-2.0-only
/*
 * What there is to write on.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "term.h"

static unsigned int from_environment(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);
	int value = text ? atoi(text) : 0;

	return value > 0 && value < 10000 ? (unsigned int)value : otherwise;
}

/* 80 by 24 if nobody knows. */
void term_size(unsigned int *columns, unsigned int *lines)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || !w.ws_col || !w.ws_row) {
		*columns = from_environment("COLUMNS", 80);
		*lines = from_environment("LINES", 24);
		return;
	}
	*columns = w.ws_col;
	*lines = w.ws_row;
}

/* https://no-color.org: any value but an empty one. */
bool term_color(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

/* By the variables that say so, as a static program has no locales. */
bool term_utf8(void)
{
	const char *set = getenv("LC_ALL");

	if (!set || !*set)
		set = getenv("LC_CTYPE");
	if (!set || !*set)
		set = getenv("LANG");
	if (!set || !*set)
		return true;
	return strcasestr(set, "utf-8") || strcasestr(set, "utf8");
}
