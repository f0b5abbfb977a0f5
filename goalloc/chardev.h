/* SPDX-License-Identifier: GPL-2.0-only */
/* The device /dev/goalloc: a heap for each open file. */
#ifndef GOALLOC_CHARDEV_H
#define GOALLOC_CHARDEV_H

int goalloc_chardev_init(void);
void goalloc_chardev_exit(void);

#endif /* GOALLOC_CHARDEV_H */
