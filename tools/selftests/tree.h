/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /sys/kernel/debug/goalloc for the tests.
 */
#ifndef TREE_H
#define TREE_H

#include <ctype.h>
#include <dirent.h>
#include <sys/stat.h>
#include "heap.h"

#define TREE		"/sys/kernel/debug/goalloc"

/* Whether there is a place for the tree; a test that needs it is skipped without. */
static inline bool tree_mounted(void)
{
	DIR *dir = opendir("/sys/kernel/debug");
	unsigned int entries = 0;

	while (dir && readdir(dir))
		entries++;
	if (dir)
		closedir(dir);
	/* An unmounted one holds "." and ".." at most. */
	return entries >= 3;
}

/* All of a file as a string to be freed, or NULL. */
static inline char *tree_read(const char *path)
{
	size_t len = 0, room = 1 << 16;
	char *text = malloc(room);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	while (fd >= 0 && text && (n = read(fd, text + len, room - len - 1)) > 0) {
		len += n;
		if (room - len < 4096)
			text = realloc(text, room *= 2);
	}
	if (fd >= 0)
		close(fd);
	if (fd < 0 || n < 0 || !text) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

/* A file of a heap. */
static inline char *tree_read_heap(int id, const char *file)
{
	char path[128];

	snprintf(path, sizeof(path), TREE "/heaps/%d/%s", id, file);
	return tree_read(path);
}

/* How many heaps there are; -1 if that cannot be told. Ids go to @ids. */
static inline int tree_heaps(int *ids, int max)
{
	DIR *dir = opendir(TREE "/heaps");
	struct dirent *entry;
	int n = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (ids && n < max)
			ids[n] = atoi(entry->d_name);
		n++;
	}
	closedir(dir);
	return n;
}

/*
 * Waits for the number of heaps to become what it should be: the end of one may
 * take a moment. Return: the number that it is at last.
 */
static inline int tree_wait_heaps(int wanted)
{
	int wait, n = tree_heaps(NULL, 0);

	for (wait = 0; wait < 1200 && n != wanted; wait++) {
		usleep(50000);
		n = tree_heaps(NULL, 0);
	}
	return n;
}

/* The newest heap that this process has opened, or -1. */
static inline int tree_own_heap(void)
{
	char comm[32] = "", name[64], *text, *f;
	int ids[1024], n, i, best = -1;

	f = tree_read("/proc/self/comm");
	if (f)
		sscanf(f, "%31[^\n]", comm);
	free(f);
	snprintf(name, sizeof(name), "%s:%d\n", comm, (int)getpid());
	n = tree_heaps(ids, ARRAY_SIZE(ids));
	for (i = 0; i < n; i++) {
		text = tree_read_heap(ids[i], "name");
		if (text && !strcmp(text, name) && ids[i] > best)
			best = ids[i];
		free(text);
	}
	return best;
}

/* The number after a name at the beginning of a line; ~0 and false without. */
static inline bool tree_value(const char *text, const char *name, uint64_t *value)
{
	size_t len = strlen(name);
	const char *line;
	char *end;

	*value = ~0ULL;
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) || line[len] != ' ')
			continue;
		*value = strtoull(line + len + 1, &end, 10);
		return *end == '\n' || *end == '\0';
	}
	return false;
}

/* The fields of the books, in their order. */
#define FIELD(name) { #name, offsetof(struct goalloc_memstats, name) }
static const struct {
	const char *name;
	size_t offset;
} tree_fields[] = {
	FIELD(alloc), FIELD(total_alloc), FIELD(sys), FIELD(lookups), FIELD(mallocs),
	FIELD(frees), FIELD(heap_alloc), FIELD(heap_sys), FIELD(heap_idle), FIELD(heap_inuse),
	FIELD(heap_released), FIELD(heap_objects), FIELD(stack_inuse), FIELD(stack_sys),
	FIELD(mspan_inuse), FIELD(mspan_sys), FIELD(mcache_inuse), FIELD(mcache_sys),
	FIELD(buck_hash_sys), FIELD(gc_sys), FIELD(other_sys), FIELD(next_gc), FIELD(last_gc),
	FIELD(pause_total_ns), FIELD(num_gc), FIELD(num_forced_gc), FIELD(gc_cpu_fraction),
	FIELD(enable_gc),
};

static inline uint64_t tree_field(const struct goalloc_memstats *ms, size_t i)
{
	uint64_t value;

	memcpy(&value, (const char *)ms + tree_fields[i].offset, sizeof(value));
	return value;
}

#endif /* TREE_H */
