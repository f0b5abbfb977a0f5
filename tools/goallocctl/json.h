/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * JSON on stdout: one document after the other, each on a line of its own.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

/* @key is NULL in an array and for the document itself. */
void json_object(const char *key);
void json_array(const char *key);
void json_end(void);

void json_number(const char *key, uint64_t value);
void json_signed(const char *key, int64_t value);
void json_real(const char *key, double value);
void json_text(const char *key, const char *value);
void json_bool(const char *key, bool value);
void json_null(const char *key);
void json_limit(const char *key, uint64_t value);
void json_address(const char *key, uint64_t value);

#endif /* JSON_H */
