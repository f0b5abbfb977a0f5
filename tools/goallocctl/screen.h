/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A terminal as a screen with keys.
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stddef.h>

enum screen_key {
	KEY_NONE,	/* the time is over, or the window has another size */
	KEY_UP = 256,
	KEY_DOWN,
	KEY_LEFT,
	KEY_RIGHT,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_HOME,
	KEY_END,
};

bool screen_enter(void);
void screen_leave(void);
bool screen_write(const char *text, size_t len);
int screen_key(double until);

#endif /* SCREEN_H */
