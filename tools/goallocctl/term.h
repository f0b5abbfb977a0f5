/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What there is to write on.
 */
#ifndef TERM_H
#define TERM_H

#include <stdbool.h>

void term_size(unsigned int *columns, unsigned int *lines);
bool term_color(void);
bool term_utf8(void);

#endif /* TERM_H */
