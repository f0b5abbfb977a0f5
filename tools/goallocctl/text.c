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

/* -EALREADY as "EALREADY (Operation already in progress)"; the sign does not matter. */
const char *errno_text(int err)
{
	const char *name = strerrorname_np(abs(err));
	size_t size;
	char *out = text_buffer(&size);

	if (!err)
		return "success";
	snprintf(out, size, "%s (%s)", name ? name : "unknown", strerror(abs(err)));
	return out;
}
