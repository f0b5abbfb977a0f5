// SPDX-License-Identifier: GPL-2.0-only
/*
 * Heaps that processes have open, from /proc/PID/fdinfo. Processes of others
 * are left out when they may not be looked into, and come and go anyhow:
 * nothing here is an error but the lack of memory.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "goallocctl.h"
#include "proc.h"

#define PROC_SELF	0

static const struct {
	const char *key;
	size_t offset;
} figures[] = {
	{ "heap-objects:", offsetof(struct proc_heap, objects) },
	{ "heap-alloc:", offsetof(struct proc_heap, alloc) },
	{ "heap-inuse:", offsetof(struct proc_heap, inuse) },
	{ "heap-idle:", offsetof(struct proc_heap, idle) },
	{ "heap-released:", offsetof(struct proc_heap, released) },
	{ "heap-backed:", offsetof(struct proc_heap, backed) },
	{ "heap-mallocs:", offsetof(struct proc_heap, mallocs) },
	{ "heap-frees:", offsetof(struct proc_heap, frees) },
};

static void take_line(struct proc_heap *h, char *line, bool *found)
{
	size_t i;

	if (sscanf(line, "heap-id: %u", &h->id) == 1) {
		*found = true;
	} else if (!strncmp(line, "heap-name:", 10)) {
		line += 10 + strspn(line + 10, " \t");
		line[strcspn(line, "\n")] = '\0';
		snprintf(h->name, sizeof(h->name), "%.*s", (int)sizeof(h->name) - 1, line);
		clean_text(h->name);
	}
	for (i = 0; i < ARRAY_SIZE(figures); i++) {
		size_t len = strlen(figures[i].key);

		if (!strncmp(line, figures[i].key, len))
			*(uint64_t *)((char *)h + figures[i].offset) =
				strtoull(line + len, NULL, 10);
	}
}

/* One file; a @pid of 0 is this process. Return: whether it is a heap. */
bool proc_heap_read(int pid, int fd, struct proc_heap *h)
{
	char path[64], *line = NULL;
	bool found = false;
	size_t room = 0;
	FILE *f;

	if (pid == PROC_SELF)
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	else
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	f = fopen(path, "re");
	if (!f)
		return false;
	*h = (struct proc_heap){ .pid = pid, .fd = fd };
	while (getline(&line, &room, f) > 0)
		take_line(h, line, &found);
	free(line);
	fclose(f);
	return found;
}

static DIR *open_files(int pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	return opendir(path);
}

/* The next of a process's files that is a heap. */
static bool next_file(DIR *dir, int pid, struct proc_heap *h)
{
	struct dirent *entry;

	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    proc_heap_read(pid, atoi(entry->d_name), h))
			return true;
	return false;
}

/* The heap of a process's lowest file that is one. */
bool proc_heap_first(int pid, struct proc_heap *h)
{
	struct proc_heap one;
	bool found = false;
	DIR *dir = open_files(pid);

	if (!dir)
		return false;
	while (next_file(dir, pid, &one)) {
		if (!found || one.fd < h->fd)
			*h = one;
		found = true;
	}
	closedir(dir);
	return found;
}

/* A heap of a process by its number, as the lowest file that is it. */
bool proc_heap_of(int pid, unsigned int id, struct proc_heap *h)
{
	struct proc_heap one;
	bool found = false;
	DIR *dir = open_files(pid);

	if (!dir)
		return false;
	while (next_file(dir, pid, &one)) {
		if (one.id == id && (!found || one.fd < h->fd)) {
			*h = one;
			found = true;
		}
	}
	closedir(dir);
	return found;
}

static bool append(struct proc_heap **heaps, size_t *n, const struct proc_heap *one)
{
	struct proc_heap *more;

	/* Room for a power of two. */
	if (!(*n & (*n - 1))) {
		more = reallocarray(*heaps, *n ? 2 * *n : 1, sizeof(*more));
		if (!more)
			return false;
		*heaps = more;
	}
	(*heaps)[(*n)++] = *one;
	return true;
}

static int by_id(const void *a, const void *b)
{
	const struct proc_heap *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

/*
 * All that can be seen, by id, then process, then file; a heap that several
 * have open is there several times. free() them. Return: false if there was no
 * memory for them.
 */
bool proc_heaps(struct proc_heap **heaps, size_t *n)
{
	struct dirent *entry;
	struct proc_heap one;
	bool done = true;
	DIR *proc, *dir;

	*heaps = NULL;
	*n = 0;
	proc = opendir("/proc");
	if (!proc)
		return true;
	while (done && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);

		dir = pid > 0 ? open_files(pid) : NULL;
		if (!dir)
			continue;
		while (done && next_file(dir, pid, &one))
			done = append(heaps, n, &one);
		closedir(dir);
	}
	closedir(proc);
	if (done && *n)
		qsort(*heaps, *n, sizeof(**heaps), by_id);
	return done;
}
