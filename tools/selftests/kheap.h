/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Modules that tests load from /modules, and kernel heaps by one of them
 * (modules/kheap.c, which says what can be told to it).
 */
#ifndef KHEAP_H
#define KHEAP_H

#include <stdarg.h>
#include <sys/syscall.h>
#include "device.h"

#define KHEAP_FILE	"/sys/kernel/debug/kheap"

static inline long module_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

/* A test that was ended may have left it. 0 or an errno; -ENOENT if there is none. */
static inline long module_load(const char *name, const char *params)
{
	char path[64];
	long ret;
	int fd;

	snprintf(path, sizeof(path), "/modules/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	module_unload(name);
	ret = syscall(SYS_finit_module, fd, params, 0) ? -errno : 0;
	close(fd);
	return ret;
}

/* Tells it something; 0 or a negative errno. */
static inline long kheap(const char *format, ...)
{
	char line[128];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return dev_write_file(KHEAP_FILE, line);
}

/* What came of it; ~0 if it does not say. */
static inline uint64_t kheap_value(const char *name)
{
	uint64_t value;

	dev_line(KHEAP_FILE, name, 1, &value);
	return value;
}

/* The path of a file of one of its heaps in debugfs. */
static inline const char *kheap_path(int heap, const char *file)
{
	static __thread char path[320];
	DIR *dir = opendir(DEV_TREE "/heaps");
	struct dirent *entry;
	char name[16], *text;
	bool found = false;

	snprintf(name, sizeof(name), "kheap%d\n", heap);
	while (dir && !found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), DEV_TREE "/heaps/%s/name", entry->d_name);
		text = dev_read_file(path);
		found = text && !strcmp(text, name);
		free(text);
		snprintf(path, sizeof(path), DEV_TREE "/heaps/%s/%s", entry->d_name, file);
	}
	if (dir)
		closedir(dir);
	return found ? path : "";
}

/* A number of such a file; ~0 if it does not say. */
static inline uint64_t kheap_tree(int heap, const char *file, const char *name, int word)
{
	uint64_t value;

	dev_line(kheap_path(heap, file), name, word, &value);
	return value;
}

#endif /* KHEAP_H */
