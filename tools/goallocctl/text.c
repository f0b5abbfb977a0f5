// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers and words, to and from people.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "goallocctl.h"

/* Texts are returned in these, the oldest is used again. */
#define TEXTS	16

static char *text_buffer(size_t *size)
{
	static char buffers[TEXTS][96];
	static unsigned int next;

	*size = sizeof(buffers[0]);
	return buffers[next++ % TEXTS];
}

/* Digits, decimal or after 0x, and nothing behind them but a suffix if there is room for it. */
static bool parse(const char *text, uint64_t *value, const char **suffix)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, text[0] == '0' && (text[1] | 32) == 'x' ? 16 : 10);
	*suffix = end;
	return !errno && end != text;
}

/* A number of bytes: decimal or 0x..., with K, M, G or T for powers of 1024. */
bool parse_bytes(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	const char *suffix, *unit;
	unsigned int shift = 0;

	if (!parse(text, bytes, &suffix))
		return false;
	if (*suffix) {
		unit = strchr(suffixes, *suffix & ~32);
		if (!unit)
			return false;
		shift = 10 * (unit - suffixes + 1);
		suffix++;
		if ((*suffix | 32) == 'b' || !strcmp(suffix, "iB"))
			suffix += strlen(suffix);
	}
	if (*suffix || *bytes > UINT64_MAX >> shift)
		return false;
	*bytes <<= shift;
	return true;
}

bool parse_number(const char *text, uint64_t *number)
{
	const char *suffix;

	return parse(text, number, &suffix) && !*suffix;
}

/* Seconds, with a point if need be; more than none, less than a day. */
bool parse_seconds(const char *text, double *seconds)
{
	char *end;

	if (*text != '.' && (*text < '0' || *text > '9'))
		return false;
	*seconds = strtod(text, &end);
	return end != text && !*end && *seconds > 0.0001 && *seconds < 86400;
}

/* 1234567 as 1,234,567. */
const char *count_text(uint64_t n)
{
	char digits[24], *out;
	size_t size, len, i;

	len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	out = text_buffer(&size);
	for (i = size = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			out[size++] = ',';
		out[size++] = digits[i];
	}
	out[size] = '\0';
	return out;
}

/* Nothing but digits. */
const char *plain_text(uint64_t n)
{
	size_t size;
	char *out = text_buffer(&size);

	snprintf(out, size, "%llu", (unsigned long long)n);
	return out;
}

/* 1536 as 1.5 KiB. */
const char *bytes_text(uint64_t bytes)
{
	static const char * const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = bytes;
	unsigned int unit = 0;
	size_t size;
	char *out = text_buffer(&size);

	while (value >= 1024 && unit < ARRAY_SIZE(units) - 1) {
		value /= 1024;
		unit++;
	}
	snprintf(out, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}

static const char *short_text(double value, unsigned int base, const char *units)
{
	size_t size;
	char *out = text_buffer(&size);

	if (value < 999.5) {
		snprintf(out, size, "%.0f", value);
		return out;
	}
	for (; value >= 999.5 && *units; units++)
		value /= base;
	snprintf(out, size, "%.*f%c", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[-1]);
	return out;
}

/* Bytes in at most five columns: 100, 1.50K, 12.0M. */
const char *size_text(uint64_t bytes)
{
	return short_text(bytes, 1024, "KMGTPE");
}

/* The same for what is counted in thousands. */
const char *number_text(double number)
{
	return short_text(number, 1000, "kMGTPE");
}

const char *limit_text(uint64_t bytes)
{
	return bytes == GOALLOC_NO_LIMIT ? "none" : bytes_text(bytes);
}

/* Bytes of a well-formed character of UTF-8 that a terminal shows, or 0. */
static int printable(const unsigned char *s)
{
	uint32_t c = s[0];
	int more, i;

	if (c < 0x80)
		return c >= ' ' && c < 0x7f;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
	c &= 0x3f >> more;
	for (i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	/* Neither control characters, nor too long, nor half of UTF-16. */
	if (c < 0xa0 || (more == 2 && c < 0x800) || (more == 3 && c < 0x10000) ||
	    (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return 0;
	return more + 1;
}

/* What others chose, and may go to a terminal: question marks for the rest. */
void clean_text(char *text)
{
	while (*text) {
		int n = printable((unsigned char *)text);

		if (!n) {
			*text = '?';
			n = 1;
		}
		text += n;
	}
}

/* -EALREADY as "EALREADY". */
const char *errno_name(int err)
{
	const char *name = strerrorname_np(abs(err));

	return name ? name : "unknown";
}

/* -EALREADY as "EALREADY (Operation already in progress)"; the sign does not matter. */
const char *errno_text(int err)
{
	size_t size;
	char *out = text_buffer(&size);

	if (!err)
		return "success";
	snprintf(out, size, "%s (%s)", errno_name(err), strerror(abs(err)));
	return out;
}
