/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/goalloc. Functions that return an int give 0 or a negative errno and
 * are silent, those that return a bool have said what went wrong.
 */
#ifndef DEV_H
#define DEV_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/goalloc.h>

#define DEVICE	"/dev/goalloc"

void dev_complain(int err);
bool dev_open(int *fd);
bool dev_borrow(int pid, int file, int *fd);
bool dev_explain_no_heap(int pid, int file);
bool dev_process_lives(int pid);
bool dev_info(int fd, struct goalloc_info *info);
bool dev_stats(int fd, struct goalloc_memstats *ms);

int dev_alloc(int fd, uint64_t bytes, uint64_t align, uint32_t flags, uint64_t *addr,
	      uint64_t *usable);
int dev_free(int fd, uint64_t addr);
int dev_alloc_batch(int fd, const uint64_t *bytes, uint64_t *addrs, uint32_t count,
		    uint32_t *done);
int dev_free_batch(int fd, const uint64_t *addrs, uint32_t count, uint32_t *done);
int dev_get_param(int fd, uint32_t id, uint64_t *value);
int dev_set_param(int fd, uint32_t id, uint64_t value);
int dev_scavenge(int fd, uint64_t bytes, uint64_t *released);
int dev_query(int fd, uint64_t addr, struct goalloc_query *q);
int dev_write(int fd, uint64_t addr, const void *from, uint64_t bytes);
int dev_read(int fd, uint64_t addr, void *to, uint64_t bytes);

const char *dev_old_hint(int err);
const char *dev_alloc_error(int err);
const char *dev_address_error(int err);
const char *dev_state_text(uint32_t state);

#endif /* DEV_H */
