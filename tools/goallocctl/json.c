// SPDX-License-Identifier: GPL-2.0-only
/*
 * JSON on stdout.
 */
#include <inttypes.h>
#include <stdio.h>
#include <linux/goalloc.h>

#include "json.h"

#define DEPTH	8

/* Whether something stands in it already, and what ends it. */
static struct {
	bool begun;
	char end;
} open_ones[DEPTH];

static unsigned int depth;

static void string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ')
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void begin(const char *key)
{
	if (depth) {
		if (open_ones[depth - 1].begun)
			putchar(',');
		open_ones[depth - 1].begun = true;
	}
	if (key) {
		string(key);
		putchar(':');
	}
}

static void open_one(const char *key, char start, char end)
{
	begin(key);
	putchar(start);
	open_ones[depth].begun = false;
	open_ones[depth++].end = end;
}

void json_object(const char *key)
{
	open_one(key, '{', '}');
}

void json_array(const char *key)
{
	open_one(key, '[', ']');
}

/* Of the object or array that was begun last. */
void json_end(void)
{
	putchar(open_ones[--depth].end);
	if (!depth) {
		putchar('\n');
		fflush(stdout);
	}
}

void json_number(const char *key, uint64_t value)
{
	begin(key);
	printf("%" PRIu64, value);
}

void json_signed(const char *key, int64_t value)
{
	begin(key);
	printf("%" PRId64, value);
}

void json_real(const char *key, double value)
{
	begin(key);
	/* There is neither infinity nor not-a-number. */
	if (value - value == 0)
		printf("%.3f", value);
	else
		printf("null");
}

void json_text(const char *key, const char *value)
{
	begin(key);
	string(value);
}

void json_bool(const char *key, bool value)
{
	begin(key);
	printf("%s", value ? "true" : "false");
}

void json_null(const char *key)
{
	begin(key);
	printf("null");
}

/* No limit is null: few readers have numbers of 64 bits. */
void json_limit(const char *key, uint64_t value)
{
	if (value == GOALLOC_NO_LIMIT)
		json_null(key);
	else
		json_number(key, value);
}

/* As people type it. */
void json_address(const char *key, uint64_t value)
{
	begin(key);
	printf("\"%#" PRIx64 "\"", value);
}
